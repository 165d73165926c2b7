"""Eq. 7 by runs: laws of next pairs against enumeration, estimates against exact chains, refusals that are followed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import Unsupported
from markov_entanglement.runs.next_pairs import race, served
from test_agents import patients


def laws_at(kernels: Any, pair: np.ndarray) -> list[np.ndarray]:
    """K_i(.|x_i) of every agent at local pairs 2 s + a."""
    return [np.asarray(k)[x % 2, x // 2] for k, x in zip(kernels, pair, strict=True)]


def chances(system: me.WeaklyCoupledMDP, priority: Any, pair: np.ndarray) -> np.ndarray:
    bound = system.bind(me.IndexPolicy(priority))
    sizes = np.array(system.spaces.n_states)
    out = np.full((1, sizes.sum()), np.nan)
    served(pair[None], sizes, race(bound, system.kernels), out)
    return out[0]


def enumerated(laws: list[np.ndarray], rank: list[np.ndarray], budget: int) -> np.ndarray:
    """The same over all next states of the others."""
    out = []
    for i, mine in enumerate(rank):
        others = [j for j in range(len(rank)) if j != i]
        for r in mine:
            total = 0.0
            for after in itertools.product(*(range(len(rank[j])) for j in others)):
                levels = [rank[j][t] for j, t in zip(others, after, strict=True)]
                above, equal = sum(x < r for x in levels), sum(x == r for x in levels)
                chance = np.prod([laws[j][t] for j, t in zip(others, after, strict=True)])
                total += chance * min(1.0, max(0, budget - above) / (equal + 1))
            out.append(total)
    return np.array(out)


@pytest.mark.parametrize("seed", range(12))
def test_chances_of_service_are_those_over_all_next_states(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    sizes, budget, classes = rng.integers(1, 4, n), int(rng.integers(0, n + 1)), int(rng.integers(1, 12))
    kernels = [rng.dirichlet(np.full(s, 0.5), (2, s)) for s in sizes]
    for k in kernels[::2]:  # states that nothing leads to
        k[..., 0] = 0.0 if k.shape[-1] > 1 else 1.0
        k /= k.sum(axis=-1, keepdims=True)
    priority = [rng.integers(0, classes, s).astype(float) for s in sizes]
    pair = np.array([rng.integers(0, 2 * s) for s in sizes])
    laws = laws_at(kernels, pair)
    found = chances(me.WeaklyCoupledMDP(kernels, budget=budget), priority, pair)
    want = enumerated(laws, [-p for p in priority], budget)
    met = np.concatenate(laws) > 0
    assert np.abs(found - want)[met].max() < 1e-12


def test_hundreds_of_equal_priorities_are_served_uniformly() -> None:
    """All arms in one class but a few above: the law of (above, equal) by a convolution in two numbers."""
    rng, n, budget = np.random.default_rng(0), 150, 40
    kernels = [rng.dirichlet(np.ones(3), (2, 3)) for _ in range(n)]
    pair = rng.integers(0, 6, n)
    laws = laws_at(kernels, pair)
    found = chances(me.WeaklyCoupledMDP(kernels, budget=budget), [[2.0, 1.0, 0.0]] * n, pair).reshape(n, 3)
    for i in (0, 17):
        law = np.zeros((n, n))
        law[0, 0] = 1.0
        for j in range(n):
            if j != i:
                up = np.zeros_like(law)
                up[1:] += law[:-1] * laws[j][0]
                up[:, 1:] += law[:, :-1] * laws[j][1]
                law = up + law * laws[j][2]
        g, t = np.indices(law.shape)
        assert found[i, 0] == pytest.approx((law.sum(axis=1) * np.minimum(1, budget / (np.arange(n) + 1))).sum(),
                                            abs=1e-12)  # fmt: skip
        assert found[i, 1] == pytest.approx((law * np.clip((budget - g) / (t + 1), 0, 1)).sum(), abs=1e-12)
        assert found[i, 2] == pytest.approx((law * np.clip((budget - g - t) / np.maximum(n - g - t, 1), 0, 1)).sum(),
                                            abs=1e-12)  # fmt: skip


def test_estimates_contain_eq_7_of_the_exact_chain() -> None:
    missed = 0
    for seed in range(3):
        system, policy = patients(6, seed, 2, low=0.2)
        chain = system.under(policy)
        exact = me.entanglement(chain, "mu-atv")
        e = me.entanglement(chain, "mu-atv", method="simulate", rng=seed)
        missed += int(((exact.per_agent < e.interval[:, 0]) | (exact.per_agent > e.interval[:, 1])).sum())
        assert not e.caution and np.diff(e.interval).max() < 0.01
        assert (e.per_agent < e.cross_fitted + 1e-12).all()
        assert (exact.per_agent <= me.entanglement(chain, "policy").per_agent + 1e-12).all()  # Prop. 7.2
        for mine, theirs in zip(e.optimal_local, exact.optimal_local, strict=True):
            known = ~np.isnan(theirs)
            assert np.abs(np.reshape(mine, theirs.shape) - theirs)[known].max() < 0.05
    assert missed <= 3  # of 18, at 95 %


def test_sizes_may_differ_and_ties_are_those_of_the_exact_chain() -> None:
    rng = np.random.default_rng(5)
    kernels = [rng.dirichlet(np.ones(s), (2, s)) for s in (2, 3, 2, 4)]
    system = me.WeaklyCoupledMDP(kernels, budget=2)
    chain = system.under(me.IndexPolicy([rng.integers(0, 3, k.shape[1]) for k in kernels]))
    exact = me.entanglement(chain, "mu-atv").per_agent
    e = me.entanglement(chain, "mu-atv", method="simulate", rng=0)
    assert ((e.interval[:, 0] <= exact) & (exact <= e.interval[:, 1])).all()
    again = me.entanglement(chain, "mu-atv", method="simulate", rng=0)
    assert np.array_equal(e.interval, again.interval)
    assert e.distance == "mu-atv" and "Eq. 7" in e.estimator and "mu-atv" in repr(e)


@pytest.mark.parametrize("policy", ["uniform", "free", "local"])
def test_policies_that_read_no_other_agent_are_not_entangled(policy: str) -> None:
    rng = np.random.default_rng(3)
    kernels = [rng.dirichlet(np.ones(s), (2, s)) for s in (2, 3, 2)]
    system = me.WeaklyCoupledMDP(kernels, budget=1 if policy == "uniform" else None)
    given = (
        me.LocalPolicy([rng.dirichlet(np.ones(2), k.shape[1]) for k in kernels])
        if policy == "local"
        else "uniform"
    )
    e = me.entanglement(system.under(given), "mu-atv", method="simulate", rng=0)
    assert e.per_agent.max() < 1e-14 and 0 < e.interval[:, 1].max() < 0.01


def test_a_hundred_arms_are_answered_at_once_and_in_an_analysis() -> None:
    system, policy = patients(100, 0, 10)
    e = me.entanglement(system.under(policy), rng=0)  # too large to list, so by runs
    a = me.analyze(system, policy, distances=["policy", "mu-atv"])
    both = a.entanglements
    assert e.distance == "mu-atv" and e.per_agent.max() < 0.3
    assert (both["mu-atv"].per_agent <= both["policy"].interval[:, 1]).all()
    assert a.to_dict()["entanglement"]["mu-atv"]["estimator"].startswith("Eq. 7")


def test_what_has_no_law_of_next_pairs_says_so_and_the_other_way_works() -> None:
    kernels = [np.full((2, 2, 2), 0.5)] * 3
    limited = me.WeaklyCoupledMDP(kernels, resources=[([0, 1], 1, "<=")])
    chain = limited.under(me.IndexPolicy([1, 0]))
    with pytest.raises(Unsupported, match=r"by priority on a budget.*Ask 'policy'"):
        me.entanglement(chain, "mu-atv", method="simulate", rng=0)
    assert me.entanglement(chain, "policy", method="simulate", rng=0).interval is not None
    assert me.entanglement(chain, "mu-atv").per_agent.shape == (3,)
    joint = me.gallery.build("parity").chain()
    with pytest.raises(Unsupported, match=r"kernels of their own.*exact chain"):
        me.entanglement(joint, "mu-atv", method="simulate", rng=0)
    bandit = me.gallery.build("circulant-bandit", n_arms=300).system
    runs = bandit.under(me.IndexPolicy([1, 2, 3, 0])).runs
    with pytest.raises(Unsupported, match="runs estimate policy"):
        me.entanglement(runs, "mu-atv")
