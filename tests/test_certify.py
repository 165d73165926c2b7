"""Certificates by simulation against exact chains and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
from test_agents import patients

INDEX = me.IndexPolicy(PRIORITY)


def mean_field_values(gamma: float) -> np.ndarray:
    """(8,) Eq. 2 of one circulant arm in the limit, where state 2 is served with chance 4/7 and the others never."""
    served, p, r = np.array([0.0, 0.0, 4 / 7, 0.0]), np.zeros((8, 8)), np.repeat(REWARD, 2)
    for s in range(4):
        for a, law in enumerate((PASSIVE, ACTIVE)):
            p[2 * s + a, 0::2], p[2 * s + a, 1::2] = (
                np.array(law)[s] * (1 - served),
                np.array(law)[s] * served,
            )
    return np.linalg.solve(np.eye(8) - gamma * p, r)


def circulant(n: int, gamma: float = 0.5) -> me.RestlessBandit:
    return me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=n, budget=n // 5, discount=gamma)


def test_the_limit_of_the_circulant_bandit_is_certified_in_a_narrow_bracket() -> None:
    """1.560 in L2(mu) at N = 1800 by an independent program, 4 % wide at most; variance ratio about 6.8e3."""
    found = me.certify([mean_field_values(0.5)], circulant(1800), INDEX, steps=(16,), starts=20_000, rng=0)
    low, high = found.l2[16]
    assert low < 1.5598 < high and (high - low) / 1.5598 < 0.04 and not found.caution
    assert 5e3 < found.variance_ratio[16] < 9e3
    none = me.certify([mean_field_values(0.5)], circulant(1800), INDEX, steps=(16,), control="none", rng=0)
    assert none.l2[16][1] - none.l2[16][0] > 10 * (high - low)


def test_brackets_of_any_candidate_contain_its_exact_error() -> None:
    system, policy = patients(6, 5, 2)
    chain = system.under(policy)
    truth, rng = me.value_decomposition(chain), np.random.default_rng(0)
    q, mu = truth.joint_q, chain.occupancy
    tables = [rng.random(4) * 5 for _ in range(6)]
    d = sum(t[chain.pairs[:, i]] for i, t in enumerate(tables))
    nonlinear = lambda x: (x % 2).sum(axis=1) ** 2 + 30.0  # noqa: E731
    for candidate, values in ((tables, d), (nonlinear, nonlinear(chain.pairs)), (truth, truth.sum_q)):
        found = me.certify(candidate, chain, steps=(4, 16, 90), starts=2000, rng=3)
        err = q - values
        for k in (4, 16, 90):
            assert found.l2[k][0] <= np.sqrt(mu @ err**2) <= found.l2[k][1], k
            assert found.mu[k][0] <= mu @ np.abs(err) <= found.mu[k][1], k
        wide = [high - low for low, high in found.l2.values()]
        assert wide[2] < wide[0]
    again = me.certify(truth, chain, steps=(4, 16, 90), starts=2000, rng=3)
    assert again.to_dict() == found.to_dict() and "95 %" in found.sentence and found.variance_ratio[90] > 1


def test_what_limits_the_width_is_said() -> None:
    system, policy = patients(6, 5, 2)
    short = me.certify([np.zeros(4)] * 6, system, policy, steps=(1,), starts=1000, rng=0)
    assert "take more steps" in short.limits
    good = me.value_decomposition(system.under(policy))
    long = me.certify(good, system, policy, steps=(120,), starts=400, rng=0)
    assert "starts" in long.limits
    assert long.l2[120][1] - long.l2[120][0] < short.l2[1][1] - short.l2[1][0]


def test_candidates_that_do_not_fit_are_refused() -> None:
    system, policy = patients(3, 0, 1)
    wrong = {"2 local tables": [np.zeros(4)] * 2, "shape": [np.zeros(3)] * 3, "not finite": [np.full(4, np.nan)] * 3,
             "returns": lambda x: x, "candidate": 3}  # fmt: skip
    for words, candidate in wrong.items():
        with pytest.raises(InvalidInput, match=words):
            me.certify(candidate, system, policy, steps=(2,), starts=200, rng=0)
    with pytest.raises(InvalidInput, match="discount"):
        me.certify(
            [np.zeros(4)] * 3, me.WeaklyCoupledMDP(system.kernels, [[0, 1]] * 3, budget=1), policy, rng=0
        )
    with pytest.raises(Unsupported, match="rewards"):
        me.certify(
            [np.zeros(4)] * 3, me.WeaklyCoupledMDP(system.kernels, discount=0.9, budget=1), policy, rng=0
        )
    with pytest.raises(Unsupported, match="one local table per arm type"):
        me.certify(lambda x: x[:, 0], circulant(10), INDEX, rng=0)
