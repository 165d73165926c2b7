"""Policies without the product of actions: marginals and samples against tables, and thousands of agents."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from helpers import index_table
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.measures.local_fit import fit_mean
from markov_entanglement.model.spaces import about

DRAWS = 20_000


def coupled(sizes: tuple[int, ...], states: int = 2, budget: int | None = None, discount: float = 0.9) -> Any:
    """Agents with `sizes` local actions and drawn kernels."""
    rng = np.random.default_rng(0)
    kinds = {a: rng.dirichlet(np.ones(states), size=(a, states)) for a in set(sizes)}
    rewards = [np.arange(states, dtype=float)] * len(sizes)
    return me.WeaklyCoupledMDP([kinds[a] for a in sizes], rewards, discount=discount, budget=budget)


def actions_of(sizes: tuple[int, ...]) -> np.ndarray:
    return np.array(list(itertools.product(*map(range, sizes))))


def uniform(sizes: tuple[int, ...], budget: int | None) -> np.ndarray:
    """(joint actions,) the law, by listing."""
    fits = np.array([budget is None or sum(a) == budget for a in actions_of(sizes)], float)
    return fits / fits.sum()


class Own:
    """A user's policy: the first agent copies its state, the others are uniform; no table anywhere."""

    def __init__(self, n: int) -> None:
        self.n = n

    def marginals(self, states: np.ndarray) -> list[np.ndarray]:
        first = np.eye(2)[states[:, 0]]
        return [first, *[np.full((len(states), 2), 0.5)] * (self.n - 1)]

    def sample(self, states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        out = rng.integers(0, 2, size=states.shape)
        out[:, 0] = states[:, 0]
        return out


BUDGETS = [((2, 2, 2), 1), ((2, 2, 2), 0), ((2, 2, 2), 3), ((3, 2, 4), 3), ((3, 3), 4), ((3, 3), 0), ((1, 4), 2),
           ((2, 3, 2), None), ((3,), None), ((2, 2, 2, 2, 2), 2)]  # fmt: skip


@pytest.mark.parametrize(("sizes", "budget"), BUDGETS)
@pytest.mark.parametrize("listed", [True, False], ids=["small", "as if large"])
def test_uniform(
    sizes: tuple[int, ...], budget: int | None, listed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    law, actions, n = uniform(sizes, budget), actions_of(sizes), len(sizes)
    bound = coupled(sizes, budget=budget).bind(me.UniformPolicy())
    states = np.zeros((DRAWS, n), dtype=np.int64)
    assert bound.table(states[:1]).toarray()[0] == pytest.approx(law)
    for i, m in enumerate(bound.marginals(states[:2])):
        right = [law[actions[:, i] == a].sum() for a in range(sizes[i])]
        assert m == pytest.approx(np.tile(right, (2, 1)), abs=1e-12) and m.sum(axis=1) == pytest.approx(
            [1.0, 1.0]
        )
    if not listed and budget is None:
        monkeypatch.setattr(tol, "BYTES", 7)
    elif not listed:
        bound.listed = False
    drawn = bound.sample(states, np.random.default_rng(1))
    share = np.bincount(drawn @ [math.prod(sizes[i + 1 :]) for i in range(n)], minlength=len(law)) / DRAWS
    assert (np.abs(share - law) <= 6 * np.sqrt(law * (1 - law) / DRAWS)).all()
    assert (share[law == 0] == 0).all()


@pytest.mark.parametrize(("sizes", "budget"), BUDGETS)
def test_small_systems_keep_their_stream(sizes: tuple[int, ...], budget: int | None) -> None:
    """One uniform number per joint action, by inversion of the listed law: what the table did."""
    law, n = uniform(sizes, budget), len(sizes)
    u = np.random.default_rng(5).random(DRAWS)
    k = np.minimum(np.searchsorted(np.cumsum(law[law > 0]), u, side="right"), (law > 0).sum() - 1)
    bound = coupled(sizes, budget=budget).bind(me.UniformPolicy())
    drawn = bound.sample(np.zeros((DRAWS, n), dtype=np.int64), np.random.default_rng(5))
    assert drawn.tolist() == actions_of(sizes)[law > 0][k].tolist()


@pytest.mark.parametrize("large", [False, True])
def test_local(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    sizes = (2, 3, 1, 4)
    tables = [rng.dirichlet(np.ones(a), size=2) for a in sizes]
    tables[1][0], tables[3][1] = [0.0, 1.0, 0.0], [0.5, 0.5, 0.0, 0.0]
    bound = coupled(sizes).bind(me.LocalPolicy(tables))
    for state in ([0, 0, 0, 0], [1, 0, 1, 1]):
        law = np.ones(1)
        for t, s in zip(tables, state, strict=True):
            law = np.kron(law, t[s])
        states = np.tile(state, (DRAWS, 1))
        for m, t, s in zip(bound.marginals(states[:1]), tables, state, strict=True):
            assert m.tolist() == [t[s].tolist()]
        if large:
            monkeypatch.setattr(tol, "BYTES", 7)
        drawn = bound.sample(states, np.random.default_rng(3))
        monkeypatch.undo()
        if not large:
            u = np.random.default_rng(3).random(DRAWS)
            k = np.searchsorted(np.cumsum(law[law > 0]), u, side="right")
            assert drawn.tolist() == actions_of(sizes)[law > 0][k].tolist()
        share = np.bincount(drawn @ [12, 4, 4, 1], minlength=24) / DRAWS
        assert (np.abs(share - law) <= 6 * np.sqrt(law * (1 - law) / DRAWS)).all() and (
            share[law == 0] == 0
        ).all()


def test_index() -> None:
    sizes, priority = (2,) * 4, [2.0, 1.0, 1.0]
    bound = coupled(sizes, 3, budget=2).bind(me.IndexPolicy(priority))
    table = index_table([np.array(priority)] * 4, (3,) * 4, 2)
    for state in ((0, 1, 2, 1), (0, 0, 1, 2), (1, 2, 2, 1), (0, 0, 0, 2)):
        law = table[np.ravel_multi_index(state, (3,) * 4)]
        states = np.tile(state, (DRAWS, 1))
        for i, m in enumerate(bound.marginals(states[:1])):
            assert m[0, 1] == pytest.approx(law[actions_of(sizes)[:, i] == 1].sum())
        share = (
            np.bincount(bound.sample(states, np.random.default_rng(3)) @ [8, 4, 2, 1], minlength=16) / DRAWS
        )
        assert (np.abs(share - law) <= 6 * np.sqrt(law * (1 - law) / DRAWS)).all()


def test_callables_and_objects() -> None:
    def law(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        return {(1, 0): 0.25, (0, 0): 0.25, (0, 1): 0.5} if state[0] else {(1, 1): 1.0, (0, 1): 0.0}

    bound, states = coupled((2, 2)).bind(law), np.tile([1, 0], (DRAWS, 1))
    assert bound.law((1, 0)) == {(0, 0): 0.25, (0, 1): 0.5, (1, 0): 0.25} and bound.law((0, 1)) == {
        (1, 1): 1.0
    }
    assert [m[0].tolist() for m in bound.marginals(states[:1])] == [[0.75, 0.25], [0.5, 0.5]]
    u = np.random.default_rng(4).random(DRAWS)
    right = np.array([[0, 0], [0, 1], [1, 0]])[np.searchsorted([0.25, 0.75, 1.0], u, side="right")]
    assert bound.sample(states, np.random.default_rng(4)).tolist() == right.tolist()

    bound = coupled((2, 2, 2)).bind(Own(3))
    assert bound.marginals(np.array([[1, 0, 0]]))[0].tolist() == [[0.0, 1.0]]
    assert bound.sample(np.array([[1, 0, 0]]), np.random.default_rng(0))[0, 0] == 1
    with pytest.raises(Unsupported, match=r"a Own without `law`.*law\(state\).*me.simulate") as e:
        coupled((2, 2, 2)).under(Own(3))
    assert "joint actions" in str(e.value)
    assert me.simulate(coupled((2, 2, 2)), Own(3), 5, rng=0).steps == 5  # the other remedy


@pytest.mark.parametrize(
    "answer",
    [np.zeros((1, 2)), np.zeros((1, 3), int), np.full((1, 2), 2), np.full((1, 2), -1), "no"],
    ids=str,
)
def test_samples_of_the_user_are_checked(answer: Any) -> None:
    class Wrong(Own):
        def sample(self, states: np.ndarray, rng: np.random.Generator) -> Any:
            return answer

    with pytest.raises(InvalidInput, match=r"policy.sample"):
        me.simulate(coupled((2, 2)), Wrong(2), 5, rng=0)


def test_simulated_actions_are_feasible() -> None:
    """A policy off the budget is refused where it runs, too."""
    local = me.LocalPolicy([[[0.5, 0.5]] * 2] * 3)
    with pytest.raises(InvalidInput, match="the budget is 1"):
        me.simulate(coupled((2, 2, 2), budget=1), local, 50, rng=0)
    assert me.simulate(coupled((2, 2, 2)), local, 50, rng=0).steps == 50


# --- thousands of agents ----------------------------------------------------------------------------------

MANY = 2000
POLICIES = {
    "uniform": (me.UniformPolicy(), None, (2,) * MANY),
    "uniform on a budget": (me.UniformPolicy(), 700, (2,) * MANY),
    "uniform on a budget of many actions": (me.UniformPolicy(), 1500, (3, 2) * (MANY // 2)),
    "local": (me.LocalPolicy([[[0.3, 0.7], [1.0, 0.0]]] * MANY), None, (2,) * MANY),
    "index": (me.IndexPolicy([0, 1]), 700, (2,) * MANY),
    "own": (Own(MANY), None, (2,) * MANY),
}


@pytest.mark.parametrize("name", POLICIES)
def test_thousands_of_agents(name: str) -> None:
    policy, budget, sizes = POLICIES[name]
    system = coupled(sizes, budget=budget)
    path = me.simulate(system, policy, 4, rng=0)
    assert path.states.shape == (5, MANY) and (path.actions < np.array(sizes)).all()
    if budget is not None:
        assert (path.actions.sum(axis=1) == budget).all()
    bound = system.bind(policy)
    states = np.random.default_rng(1).integers(0, 2, size=(2, MANY))
    marginals = bound.marginals(states)
    assert [m.shape for m in marginals] == [(2, a) for a in sizes]
    mean = np.array([m @ np.arange(m.shape[1]) for m in marginals])
    assert np.all([m.sum(axis=1) == pytest.approx([1, 1]) for m in marginals])
    if budget is not None:
        assert mean.sum(axis=0) == pytest.approx([budget] * 2, rel=1e-9)
    drawn = bound.sample(states, np.random.default_rng(2))
    variance = np.array([m @ np.arange(m.shape[1]) ** 2 for m in marginals]) - mean**2
    half = slice(0, MANY // 2)  # of half of the agents; a budget makes them only more alike
    off = np.abs(drawn.T[half].sum(axis=0) - mean[half].sum(axis=0))
    assert (off <= 6 * np.sqrt(variance[half].sum(axis=0)) + 1e-9).all()
    if name != "own":
        with pytest.raises(TooLarge, match=r"me.RestlessBandit.*me.simulate"):
            bound.law(states[0])


def test_marginals_of_a_large_budget_by_counting() -> None:
    """12 agents with 3 or 2 actions: whole numbers of joint actions, convolved by hand."""
    sizes, budget = (3,) * 7 + (2,) * 5, 9
    marginals = coupled(sizes, budget=budget).bind(me.UniformPolicy()).marginals(np.zeros((1, 12), int))

    def ways(rest: list[int]) -> list[int]:
        out = [1]
        for k in rest:
            out = [
                sum(out[b - a] for a in range(k) if 0 <= b - a < len(out)) for b in range(len(out) + k - 1)
            ]
        return out

    for i, k in enumerate(sizes):
        rest = ways([s for j, s in enumerate(sizes) if j != i])
        count = [rest[budget - a] for a in range(k)]
        assert marginals[i][0] == pytest.approx(np.array(count) / sum(count), abs=1e-13)


# --- sizes are known before work ----------------------------------------------------------------------------

ARM = np.array(
    [[[0.9, 0.1, 0.0], [0.3, 0.6, 0.1], [0.0, 0.2, 0.8]], [[0.5, 0.5, 0.0], [0.1, 0.5, 0.4], [0.0, 0.1, 0.9]]]
)


@pytest.mark.parametrize("n", [20, 41, 647, 10_000])
def test_too_many_arms_to_list_are_stepped(n: int) -> None:
    system = me.WeaklyCoupledMDP([ARM] * n, [[0.0, 1.0, 2.0]] * n, discount=0.9, budget=n // 4)
    assert len(repr(system)) < 80
    index = me.IndexPolicy([2, 1, 0])
    for chain in (system.under(index), system.under(index, initial=(0,) * n)):
        assert len(repr(chain)) < 80 and chain.runs.walk(2, np.random.default_rng(0), 3).states.shape == (
            2,
            n,
        )
        with pytest.raises(TooLarge, match=r"me.RestlessBandit.*me.simulate") as e:
            me.separability(chain)
        assert len(str(e.value)) < 250
    first = system.under(index, initial=(1,) * n).runs.walk(2, np.random.default_rng(0))
    assert (first.states == 1).all() and me.check_system(system, index).ok
    if n > 20:
        with pytest.raises(TooLarge, match=r"me.RestlessBandit.*me.simulate"):
            system.under(np.ones((3, 1)))
    with pytest.raises(InvalidInput, match=r"initial\[1\]"):
        system.under(index, initial=(0, 3, *(0,) * (n - 2)))
    path = me.simulate(system, index, 3, rng=0)
    assert (path.actions.sum(axis=1) == n // 4).all()
    bandit = me.RestlessBandit(ARM, [0.0, 1.0, 2.0], n_arms=n, budget=n // 4, discount=0.9)
    assert bandit.under(index).n_agents == n


def test_policies_of_a_system_too_large_to_list_are_compared_by_runs() -> None:
    system = me.WeaklyCoupledMDP([ARM] * 24, [[0.0, 1.0, 2.0]] * 24, discount=0.9, budget=6)
    found = me.compare({"index": me.IndexPolicy([2, 1, 0]), "uniform": "uniform"}, system)
    assert "replications" in found.lines[0].estimator and found.lines[0].uncertainty > 0


def test_large_numbers_in_words() -> None:
    assert (about(81), about(3**1000), about(3**20_000)) == ("81", "about 10^477", "about 10^9542")
    wrong = np.zeros((5, 5))
    with pytest.raises(InvalidInput, match=r"about 10\^477"):
        me.WeaklyCoupledMDP([ARM] * 1000, wrong, discount=0.9)


# --- rows of the policy and of the kernel ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mdp", "chain", "weakly-coupled", "ends"])
def test_rows_of_policy_and_kernel(kind: str) -> None:
    """Against sums over raw arrays; together they bound the whole (spec 9.5)."""
    rng = np.random.default_rng(6)
    n_states, n_actions = (2, 3), (1, 1) if kind == "chain" else (3, 2)
    js, ja = 6, math.prod(n_actions)
    kernel, table = rng.dirichlet(np.ones(js), size=(js, ja)), rng.dirichlet(np.ones(ja), size=js)
    rewards = [rng.normal(size=2), rng.normal(size=3)]
    live, ends = list(range(js)), {}
    if kind == "ends":
        live, ends = [0, 1, 3, 4, 5], {"terminal": [(0, 2)], "restart": (1, 0)}
    if kind == "chain":
        chain = me.JointChain(kernel[:, 0], n_states).under()
    elif kind == "weakly-coupled":
        arms = [rng.dirichlet(np.ones(s), size=(a, s)) for s, a in zip(n_states, n_actions, strict=True)]
        kernel = np.einsum("asx,bty->stabxy", *arms).reshape(js, ja, js)
        chain = me.WeaklyCoupledMDP(arms, rewards, discount=0.9).under(table)
    else:
        system = me.MultiAgentMDP(
            kernel, rewards, n_states=n_states, n_actions=n_actions, discount=0.9, **ends
        )
        chain = system.under(table)
    states, actions = actions_of(n_states), actions_of(n_actions)
    nu = np.array([chain.occupancy[chain.pair_state == k].sum() for k in range(len(chain.states))])
    order = [int(np.flatnonzero((states == s).all(axis=1))[0]) for s in chain.states]
    assert sorted(order) == live
    pairs = {tuple(x): k for k, x in enumerate(chain.pairs)}
    for i in range(2):
        rows = chain.rows(i, "policy")
        right = [[table[s][actions[:, i] == a].sum() for a in range(n_actions[i])] for s in order]
        assert rows.law == pytest.approx(np.array(right)) and rows.weight == pytest.approx(nu)
        assert rows.key.tolist() == states[order, i].tolist() and rows.n_keys == n_states[i]
        rows = chain.rows(i, "kernel")
        assert rows.law.shape == (len(pairs), n_states[i] + bool(ends)) and rows.n_keys == chain.sizes[i]
        for s in live:
            for a in range(ja):
                x = pairs[tuple(states[s] * n_actions + actions[a])]
                law = [kernel[s, a, [t for t in live if states[t, i] == v]].sum() for v in range(n_states[i])]
                law += [kernel[s, a, 2]] if ends else []
                assert (
                    rows.law[x] == pytest.approx(law)
                    and rows.key[x] == states[s, i] * n_actions[i] + actions[a, i]
                )
        e, parts = (
            me.entanglement(chain).per_agent[i],
            [fit_mean(chain.rows(i, k)).value for k in ("kernel", "policy")],
        )
        assert e <= sum(parts) + 1e-12
        assert parts[1] == pytest.approx(me.entanglement(chain, "policy").per_agent[i])
        if kind == "weakly-coupled":
            assert parts[0] < 1e-12
