"""Weakly coupled systems on all joint states without a list of them, against brute force on raw arrays."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import TooLarge
from markov_entanglement.markov import large, linear, tree
from markov_entanglement.markov.large import LargeChain
from markov_entanglement.markov.product import ProductKernel


class Raw:
    """Everything by sums over listed joint pairs: kernels (A, S, S) and rewards (S, A) of each agent, `law(s)` ->
    {joint action: probability}."""

    def __init__(self, kernels: Any, rewards: Any, law: Any, gamma: float) -> None:
        sizes = [k.shape[1] for k in kernels]
        self.states = list(itertools.product(*map(range, sizes)))
        found = [(s, a, p) for s in self.states for a, p in sorted(law(s).items()) if p > 0]
        self.s, self.a, self.p = (list(c) for c in zip(*found, strict=True))
        self.kernel = np.ones((len(found), len(self.states)))
        for x, (s, a) in enumerate(zip(self.s, self.a, strict=True)):
            for y, t in enumerate(self.states):
                for i, k in enumerate(kernels):
                    self.kernel[x, y] *= k[a[i], s[i], t[i]]
        choice = np.zeros((len(self.states), len(found)))
        choice[[self.states.index(s) for s in self.s], range(len(found))] = self.p
        self.step = self.kernel @ choice
        vals, vecs = np.linalg.eig(self.step.T)
        mu = np.real(vecs[:, np.abs(vals - 1).argmin()])
        self.mu = mu / mu.sum()
        each = list(zip(self.s, self.a, strict=True))
        self.r = np.array([sum(r[s[i], a[i]] for i, r in enumerate(rewards)) for s, a in each])
        self.q = np.linalg.solve(np.eye(len(found)) - gamma * self.step, self.r)
        self.x = np.array([[s[i] * k.shape[0] + a[i] for i, k in enumerate(kernels)] for s, a in each])
        self.sizes = [k.shape[0] * k.shape[1] for k in kernels]

    def law(self, i: int) -> Any:
        """(n, m_i) law of agent i's next pair."""
        return self.step @ np.eye(self.sizes[i])[self.x[:, i]]

    def local(self, i: int) -> Any:
        """(m_i, m_i) Eq. 2."""
        own = np.eye(self.sizes[i])[self.x[:, i]]
        with np.errstate(invalid="ignore"):
            return (own.T @ (self.mu[:, None] * self.law(i))) / (self.mu @ own)[:, None]


def arms(rng: np.random.Generator, sizes: Any, zeros: bool = False) -> tuple[list[Any], list[Any]]:
    kernels = [rng.dirichlet(np.ones(s), size=(2, s)) for s in sizes]
    if zeros:
        kernels = [
            np.where(k == k.max(axis=2, keepdims=True), k, k * (rng.random(k.shape) < 0.6)) for k in kernels
        ]
        kernels = [k / k.sum(axis=2, keepdims=True) for k in kernels]
    return kernels, [rng.random((s, 2)) for s in sizes]


def served(priority: Any, budget: int) -> Any:
    """The index policy: those of highest priority, ties shared alike."""

    def law(s: Any) -> dict[tuple[int, ...], float]:
        value = [priority[i][k] for i, k in enumerate(s)]
        ways = [c for c in itertools.combinations(range(len(s)), budget)
                if sum(value[i] for i in c) == sum(sorted(value)[::-1][:budget])]  # fmt: skip
        return {tuple(int(i in c) for i in range(len(s))): 1 / len(ways) for c in ways}

    return law


CASES = {
    "budget 1": ((3, 4, 3), 1, False, False),
    "budget 2": ((3, 2, 3, 2), 2, False, False),
    "ties": ((3, 4, 3), 1, True, False),
    "ties, budget 2": ((3, 3, 2, 3), 2, True, False),
    "zeros": ((4, 3, 4), 1, False, True),
    "budget 0": ((3, 4), 0, False, False),
}


@pytest.fixture(params=list(CASES))
def both(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[LargeChain, Raw]:
    """A chain made as large ones are, and the truth."""
    sizes, budget, ties, zeros = CASES[request.param]
    rng = np.random.default_rng(5)
    kernels, rewards = arms(rng, sizes, zeros)
    apart = [2.0 ** rng.permutation(20)[:s] + 2.0 ** (-i - 1) for i, s in enumerate(sizes)]
    priority = [rng.integers(0, 3, s).astype(float) for s in sizes] if ties else apart
    system = me.WeaklyCoupledMDP(kernels, rewards, discount=0.9, budget=budget)
    monkeypatch.setattr(tol, "EXPLICIT_KERNEL", 0)
    monkeypatch.setattr(tol, "LARGE", 0)
    monkeypatch.setattr(LargeChain, "fits", lambda self, i: False)
    monkeypatch.setattr(tree, "_LAST", 3)
    monkeypatch.setattr(large, "_BLOCK", 7)
    monkeypatch.setattr(linear, "_BASIS", 10**9)
    chain = system.under(me.IndexPolicy(priority))
    assert isinstance(chain, LargeChain)
    return chain, Raw(kernels, rewards, served(priority, budget), 0.9)


def test_pairs_and_long_run(both: tuple[LargeChain, Raw]) -> None:
    chain, raw = both
    assert (chain.pairs == raw.x).all()
    assert [tuple(s) for s in chain.states.tolist()] == raw.states
    assert np.abs(chain.choice.data - raw.p).max() < 1e-15
    assert np.abs(chain.occupancy - raw.mu).max() < 1e-12
    assert (chain.recurrent == (raw.mu > 1e-13)).all()
    assert np.abs(chain.occupancy - raw.mu).sum() <= chain.stationary.error_bound + 1e-11
    f = np.random.default_rng(0).normal(size=len(raw.q))
    assert np.abs(chain.apply(f) - raw.step @ f).max() < 1e-13


def test_local_laws(both: tuple[LargeChain, Raw]) -> None:
    chain, raw = both
    for i in range(chain.n_agents):
        mine, truth = chain.local_transition(i), raw.local(i)
        mass = np.bincount(raw.x[:, i], raw.mu, raw.sizes[i])
        assert np.abs(chain.key_weight(i) - mass).max() < 1e-12
        seen = mass > 1e-9
        assert np.abs(mine[seen] - truth[seen]).max() < 1e-9


def test_laws_one_by_one(both: tuple[LargeChain, Raw], monkeypatch: pytest.MonkeyPatch) -> None:
    """All laws of an agent at once: no entry that is 0 is anything else; and the spectral norm of what they miss."""
    chain, raw = both
    monkeypatch.setattr(LargeChain, "fits", lambda self, i: True)
    spectral = me.entanglement(chain, "spectral").per_agent
    for i in range(chain.n_agents):
        law, x = raw.law(i), raw.x[:, i]
        mine = chain.next_law(i)
        assert np.abs(mine - law).max() < 1e-14 and ((mine > 0) == (law > 1e-14)).all()
        mass = np.bincount(x, raw.mu, raw.sizes[i])
        seen = mass > 1e-12
        mean = np.stack(
            [raw.mu[x == k] @ law[x == k] / mass[k] if seen[k] else 0 * law[0] for k in range(len(mass))]
        )
        missed = (law - mean[x])[:, seen] / np.sqrt(mass[seen])
        norm = np.linalg.norm(np.sqrt(raw.mu)[:, None] * missed, 2)
        assert spectral[i] == pytest.approx(norm, abs=1e-7)


def median(values: Any, weights: Any) -> float:
    return min(float(weights @ np.abs(values - v)) for v in values)


def test_distances(both: tuple[LargeChain, Raw]) -> None:
    """Two actions: the median law is made of medians of one number in each next state (the rest is its complement)."""
    chain, raw = both
    policy, weak = me.entanglement(chain, "policy").per_agent, me.entanglement(chain, "mu-atv").per_agent
    for i in range(chain.n_agents):
        acts = np.array([a[i] for a in raw.a])
        nu = {s: sum(m for m, t in zip(raw.mu, raw.s, strict=True) if t == s) for s in raw.states}
        one = {
            s: sum(p for p, t, a in zip(raw.p, raw.s, acts, strict=True) if t == s and a) for s in raw.states
        }
        want = 0.0
        for own in range(raw.sizes[i] // 2):
            at = [s for s in raw.states if s[i] == own]
            want += median(np.array([one[s] for s in at]), np.array([nu[s] for s in at]))
        assert policy[i] == pytest.approx(want, abs=1e-12)
        law, want = raw.law(i), 0.0
        for own in range(raw.sizes[i]):
            at = np.flatnonzero(raw.x[:, i] == own)
            # p((s', 1)) and p((s', 0)) = P(s') - p((s', 1)): both miss the median by as much
            want += sum(median(law[at, k], raw.mu[at]) for k in range(1, raw.sizes[i], 2)) if len(at) else 0.0
        assert weak[i] == pytest.approx(want, abs=1e-11)


def test_values_errors_and_certificates(both: tuple[LargeChain, Raw]) -> None:
    chain, raw = both
    found = me.value_decomposition(chain)
    assert np.abs(found.joint_q - raw.q).max() < 1e-10
    total = np.zeros(len(raw.q))
    for i in range(chain.n_agents):
        p, q = raw.local(i), np.full(raw.sizes[i], np.nan)
        seen = np.flatnonzero(np.bincount(raw.x[:, i], raw.mu, raw.sizes[i]) > 1e-12)
        reward = chain.system.rewards.local[i]  # type: ignore[union-attr, index]
        q[seen] = np.linalg.solve(np.eye(len(seen)) - 0.9 * p[np.ix_(seen, seen)], reward[seen])
        total += q[raw.x[:, i]]
    at = raw.mu > 1e-12
    miss = raw.q - total
    assert np.abs(found.residual - miss)[at].max() < 1e-8
    assert found.error("mu") == pytest.approx(raw.mu[at] @ np.abs(miss[at]), abs=1e-9)
    certificate = me.certificate(chain, None, None, found.sum_q)
    for norm in ("mu", "sup", "l2"):
        low, high = certificate.interval(norm)
        assert low <= found.error(norm) + 1e-12 and found.error(norm) <= high + 1e-12
        assert high - low <= 0.01 * high + 1e-11


def test_budget_without_a_basis(both: tuple[LargeChain, Raw], monkeypatch: pytest.MonkeyPatch) -> None:
    chain, raw = both
    monkeypatch.setattr("markov_entanglement.values.budget._basis", lambda values: None)
    found, values = me.error_budget(chain), me.value_decomposition(chain)
    features = np.concatenate([np.eye(m)[raw.x[:, i]] for i, m in enumerate(raw.sizes)], axis=1)
    at = raw.mu > 1e-12
    root, features = np.sqrt(raw.mu[at]), features[at]
    err = root * values.residual[at]
    best = features @ np.linalg.lstsq(root[:, None] * features, err)[0]
    floor = np.linalg.norm(err - root * best)
    assert found.error == pytest.approx(np.linalg.norm(err), abs=1e-9)
    assert found.floor == pytest.approx(floor, abs=1e-9)
    assert found.bias == pytest.approx(np.sqrt(max(np.linalg.norm(err) ** 2 - floor**2, 0.0)), abs=1e-7)


def test_an_analysis_says_what_it_leaves_out(
    both: tuple[LargeChain, Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, raw = both
    monkeypatch.setattr(LargeChain, "_measure", _refuse)
    found = me.analyze(chain)
    apart = 0.0  # how far two laws of an agent are apart that it cannot tell
    for i in range(chain.n_agents):
        law, x, at = raw.law(i), raw.x[:, i], raw.mu > 1e-9
        apart = max(apart, max(np.ptp(law[at & (x == k)], axis=0).max() for k in set(x[at])))
    assert found.agentwise == ("entangled" if apart > 1e-6 else "undecided")
    assert ("mu-atv" in str(found.to_dict()["separability"]["explanation"])) == (apart > 1e-6)
    refused = dict(found.refused)
    assert {"atv", "spectral", "separability", "bounds by the spread of local values"} <= set(refused)
    assert found.certificate is not None and found.budget is not None and "policy" in found.entanglements
    assert any("Prop. 7.2" in b.name for b in found.bounds)
    assert found.to_dict()["system"]["joint_states"] == len(chain.states)


def _refuse(self: LargeChain, i: int, rows: int) -> None:
    raise TooLarge("laws", "these", "none", "Ask for less.")


def test_laws_of_all_pairs_are_asked_for_by_name(
    both: tuple[LargeChain, Raw], monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, _ = both
    monkeypatch.setattr(tol, "LAWS_UNASKED", 1.0)
    refused = dict(me.analyze(chain, distances=None).refused)
    assert "me.entanglement(chain, 'mu-atv')" in refused["mu-atv"]
    assert len(me.entanglement(chain, "mu-atv").per_agent) == chain.n_agents


def test_a_large_chain_is_the_same_chain() -> None:
    """Its digest, pairs and rows are those of the list that it replaces."""
    rng = np.random.default_rng(3)
    kernels, rewards = arms(rng, (4, 3, 5))
    system = me.WeaklyCoupledMDP(kernels, rewards, discount=0.8, budget=1)
    policy = me.IndexPolicy([rng.integers(0, 2, s).astype(float) for s in (4, 3, 5)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tol, "EXPLICIT_KERNEL", 0)
        large_one = system.under(policy)
    small = system.under(policy)
    assert isinstance(large_one, LargeChain) and not isinstance(small, LargeChain)
    assert large_one.summary() == small.summary()
    assert (large_one.pairs == small.pairs).all() and (large_one.states == small.states).all()
    assert (large_one.choice != small.choice).nnz == 0
    for i, kind in itertools.product(range(3), ("pair", "policy", "kernel")):
        a, b = large_one.rows(i, kind), small.rows(i, kind)  # type: ignore[arg-type]
        assert (a.key == b.key).all() and np.abs(a.law - b.law).max() < 1e-14


def test_pairs_of_a_large_chain_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    kernels, rewards = arms(rng, (4, 3, 5))
    system = me.WeaklyCoupledMDP(kernels, rewards, discount=0.8, budget=1)
    monkeypatch.setattr(tol, "EXPLICIT_KERNEL", 0)
    monkeypatch.setattr(tol, "CHAIN_BYTES", 200 * 3 * 60 - 1)
    assert isinstance(system.under(me.IndexPolicy([np.arange(s) + 0.1 * s for s in (4, 3, 5)])), LargeChain)
    with pytest.raises(TooLarge, match="180 pairs"):
        system.under("uniform")


@pytest.mark.parametrize("last", [2, 12, 1000])
def test_operator_equals_the_matrix(last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any joint actions in any states, some states with none, axes together or apart."""
    monkeypatch.setattr(tree, "_LAST", last)
    monkeypatch.setattr(tree, "_SHARED", 1)
    rng = np.random.default_rng(last)
    sizes = (3, 2, 4, 2)
    kernels = [rng.dirichlet(np.ones(s), size=(2, s)) for s in sizes]
    actions = np.array(sorted(a for a in itertools.product((0, 1), repeat=4) if sum(a) != 3))
    states = list(itertools.product(*map(range, sizes)))
    pairs = [(s, j) for s in range(len(states)) for j in range(len(actions)) if s % 7 and rng.random() < 0.3]
    state, code = (np.array(c) for c in zip(*pairs, strict=True))
    matrix = np.array([
        [np.prod([k[a, states[s][i], t[i]] for i, (k, a) in enumerate(zip(kernels, actions[j], strict=True))])
         for t in states] for s, j in pairs
    ])  # fmt: skip
    kernel = ProductKernel(kernels, actions, code, state)
    f, u = rng.normal(size=(len(states), 3)), rng.normal(size=len(pairs))
    assert np.abs(kernel.apply(f) - matrix @ f).max() < 1e-14
    assert np.abs(kernel.apply(f[:, 0]) - matrix @ f[:, 0]).max() < 1e-14
    assert np.abs(kernel.apply_left(u) - u @ matrix).max() < 1e-13
    assert ((kernel.support((f[:, 0] > 1).astype(float)) > 0) == (matrix @ (f[:, 0] > 1) > 0)).all()
    assert ((kernel.support_left(u) > 0) == ((u > 0) @ matrix > 0)).all()
