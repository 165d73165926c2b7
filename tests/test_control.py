"""Optimal policies against value iteration by loops; greedy policies by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings

import markov_entanglement as me
from helpers import Case, build, cases
from markov_entanglement.errors import InvalidInput


def _joint_reward(case: Case) -> np.ndarray:
    out = np.zeros((len(case.truth.states), len(case.truth.actions)))
    for s, state in enumerate(case.truth.states):
        for a, action in enumerate(case.truth.actions):
            out[s, a] = sum(
                r[u * k + v] for r, u, v, k in zip(case.rewards, state, action, case.n_actions, strict=True)
            )
    return out


def _available(case: Case) -> np.ndarray:
    ok = case.kernel.sum(axis=2) > 0.5
    if getattr(case.system, "budget", None) is not None:
        ok &= np.array([sum(a) == case.system.budget for a in case.truth.actions])
    return ok


def best_values(case: Case) -> np.ndarray:
    """Value iteration, 4000 sweeps at most."""
    reward, ok = _joint_reward(case), _available(case)
    v = np.zeros(len(reward))
    for _ in range(4000):
        q = np.where(ok, reward + case.discount * case.kernel @ v, -np.inf)
        new = q.max(axis=1)
        if np.abs(new - v).max() < 1e-13 * max(1.0, np.abs(new).max()):
            break
        v = new
    return new


def worth(case: Case, table: np.ndarray) -> np.ndarray:
    """Values of a policy table by a dense solve; fails when it uses an unavailable action."""
    assert (table[~_available(case)] == 0).all() and np.abs(table.sum(axis=1) - 1).max() < 1e-12
    p = np.einsum("sa,sat->st", table, case.kernel)
    r = (table * _joint_reward(case)).sum(axis=1)
    return np.linalg.solve(np.eye(len(p)) - case.discount * p, r)


@given(cases(agents=(1, 3)))
@settings(max_examples=30)
def test_optimal_policy_earns_what_value_iteration_says(case: Case) -> None:
    found = me.optimal_policy(case.system)
    table = found.table.toarray()
    assert set(np.unique(table)) <= {0.0, 1.0}
    best = best_values(case)
    assert np.abs(worth(case, table) - best).max() < 1e-7 * max(1.0, np.abs(best).max())
    assert (worth(case, case.table) <= best + 1e-7 * max(1.0, np.abs(best).max())).all()


def test_worse_policies_are_caught() -> None:
    """Negative control: the uniform policy is not optimal, and an unavailable action is noticed."""
    case = build("mdp", (2, 2), (2, 2), "table", False, 0)
    uniform = _available(case) / _available(case).sum(axis=1, keepdims=True)
    assert np.abs(worth(case, uniform) - best_values(case)).max() > 1e-2
    assert not _available(case).all()
    with pytest.raises(AssertionError):
        worth(case, np.full((4, 4), 0.25))


def test_ties_go_to_the_first_action() -> None:
    system = me.MultiAgentMDP(
        np.full((4, 2, 4), 0.25), [[0, 1], [0, 1]], n_states=(2, 2), n_actions=(2, 1), discount=0.9
    )
    assert me.optimal_policy(system).table.toarray().tolist() == [[1, 0]] * 4


def test_optimum_of_a_budget() -> None:
    """Served arms turn good and stay: serve a bad one whenever there is one."""
    arm = np.array([[[1.0, 0.0], [0.1, 0.9]], [[0.0, 1.0], [0.1, 0.9]]])
    system = me.WeaklyCoupledMDP([arm] * 2, [[0, 1]] * 2, discount=0.9, budget=1)
    chosen = me.optimal_policy(system).table.toarray().argmax(axis=1).tolist()
    assert chosen[1] == 2 and chosen[2] == 1  # states (0, 1) and (1, 0): the arm in state 0
    found = me.compare({"best": me.optimal_policy(system), "index": me.IndexPolicy([1, 0])}, system)
    assert found.lines[0].value == pytest.approx(found.lines[1].value)


def test_a_chain_has_one_policy() -> None:
    system = me.gallery.build("appendix-e").system
    assert me.optimal_policy(system).table.toarray().tolist() == [[1.0]] * 4


@pytest.mark.parametrize("far", [1e6, 1e9, 1e12])
@pytest.mark.parametrize(("unit", "shift"), [(1.0, 0.0), (1e-9, 0.0), (1e9, 0.0), (1.0, 1e8)])
def test_forbidden_pairs_units_and_constants(far: float, unit: float, shift: float) -> None:
    """Every deterministic policy that uses no forbidden pair, on rewards of order one."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        n, k, gamma = int(rng.integers(2, 5)), int(rng.integers(2, 4)), float(rng.choice([0.5, 0.9, 0.99]))
        p = rng.dirichlet(np.full(n, 0.5), (n, k))
        r = rng.random((n, k)) if seed % 2 else rng.integers(0, 3, (n, k)).astype(float)
        never = np.eye(k, dtype=bool)[rng.integers(0, k, n)] & (rng.random((n, 1)) < 0.6)
        raw = unit * np.where(never, -far, r + shift)
        system = me.MultiAgentMDP(p, raw, n_states=(n,), n_actions=(k,), discount=gamma)
        values, rows = [], np.arange(n)
        for a in itertools.product(*[np.flatnonzero(~row) for row in never]):
            values.append(np.linalg.solve(np.eye(n) - gamma * p[rows, a], r[rows, a]))
        found = me.optimal_policy(system).table.toarray().argmax(axis=1)
        assert not never[rows, found].any()
        got = np.linalg.solve(np.eye(n) - gamma * p[rows, found], r[rows, found])
        assert np.abs(np.max(values, axis=0) - got).max() < (1e-9 + 1e-15 * shift) / (1 - gamma)


# --- greedy ----------------------------------------------------------------------------------------------


def test_greedy_in_a_joint_table() -> None:
    q = np.array([[0.0, 2.0, 1.0], [np.nan, -5.0, -np.inf], [1.0, 1.0, 0.0]])
    assert me.greedy_policy(q).table.toarray().argmax(axis=1).tolist() == [1, 1, 0]
    assert me.greedy_policy(q.tolist()).table.toarray().argmax(axis=1).tolist() == [1, 1, 0]
    with pytest.raises(InvalidInput, match="joint state 1"):
        me.greedy_policy([[0.0, 1.0], [np.nan, -np.inf]])


def test_no_value_no_choice() -> None:
    assert me.greedy_policy([[np.nan, 1.0], [1.0, np.nan]]).table.toarray().tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "q",
    [
        np.ma.masked_array([[0.0, 1.0], [2.0, 1.0]], mask=[[0, 1], [0, 0]]),
        [np.ma.masked_array([[0.0, 1.0]], mask=[[0, 1]])],
        [["0.5", "1"], ["1", "2"]],
        np.array([["2020-01-01", "2021-01-01"]], dtype="datetime64[D]"),
        np.array([[1j, 2.0]]),
        [np.array([[1j, 2.0]])],
        np.array([[object(), 1.0]]),
        [[0.0, np.inf], [1.0, 2.0]],
        [[0.0, 1.0], [1.0]],
        np.zeros((2, 2, 2)),
        "best",
        None,
        {"a": 1},
    ],
    ids=range(13),
)
def test_what_is_no_table_is_refused(q: object) -> None:
    with pytest.raises(InvalidInput, match=r"^q"):
        me.greedy_policy(q)


def test_flat_tables_are_refused_and_the_remedies_work() -> None:
    case = build("weakly-coupled", (2, 2), (2, 2), "uniform", False, 2)
    d = me.value_decomposition(case.chain)
    for flat in (d.local_q, list(d.local_q)):
        with pytest.raises(InvalidInput, match="decomposition itself"):
            me.greedy_policy(flat)
    shaped = me.greedy_policy([t.reshape(2, 2) for t in d.local_q])
    for ours, theirs in zip(shaped.tables, me.greedy_policy(d).tables, strict=True):
        assert ours.tolist() == theirs.tolist()
    rows = [np.array([0.0, 1.0]), np.array([2.0, 1.0])]
    with pytest.raises(InvalidInput, match=r"np\.array"):
        me.greedy_policy(rows)
    assert me.greedy_policy(np.array(rows)).table.toarray().tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("types", [1, 2])
def test_greedy_in_the_decomposition_of_a_bandit(types: int) -> None:
    """One priority per type, the gain of service in its own table; the policy runs."""
    rng = np.random.default_rng(types)
    k, r = rng.dirichlet(np.ones(3), (types, 2, 3)), rng.random((types, 3, 2))
    bandit = me.RestlessBandit(k, r, n_arms=[4] * types, budget=2, discount=0.8)
    d = me.value_decomposition(bandit.under(me.UniformPolicy()))
    with pytest.raises(InvalidInput, match="decomposition itself"):
        me.greedy_policy(d.local_q)
    policy = me.greedy_policy(d)
    for t in range(types):
        q = d.local_q[t].reshape(3, 2)
        assert policy.priority[t] == pytest.approx(q[:, 1] - q[:, 0])
    assert me.value_decomposition(bandit.under(policy)).error() >= 0


def test_greedy_in_optimal_values_is_optimal() -> None:
    case = build("mdp", (2, 3), (2, 2), "table", False, 4)
    v = best_values(case)
    q = np.where(_available(case), _joint_reward(case) + case.discount * case.kernel @ v, -np.inf)
    assert np.abs(worth(case, me.greedy_policy(q).table.toarray()) - v).max() < 1e-9


def test_greedy_in_local_tables() -> None:
    policy = me.greedy_policy([np.array([[0.0, 1.0], [2.0, 1.0]]), np.array([[np.nan, 3.0, np.nan]])])
    assert isinstance(policy, me.LocalPolicy)
    assert [t.tolist() for t in policy.tables] == [[[0, 1], [1, 0]], [[0, 1, 0]]]


def test_greedy_in_a_decomposition_with_a_budget() -> None:
    """The gains Q_i(s, 1) - Q_i(s, 0) are the priorities."""
    case = build("weakly-coupled", (3, 2), (2, 2), "uniform", False, 2, budget=1)
    d = me.value_decomposition(case.chain)
    policy = me.greedy_policy(d)
    assert isinstance(policy, me.IndexPolicy) and not policy.shared
    for i, priority in enumerate(policy.priority):
        q = d.local_q[i].reshape(-1, 2)
        assert priority == pytest.approx(q[:, 1] - q[:, 0])
    table = case.system.bind(policy).table(np.array(case.truth.states)).toarray()
    for s, state in enumerate(case.truth.states):
        gains = [p[k] for p, k in zip(policy.priority, state, strict=True)]
        assert table[s, 2 if gains[0] > gains[1] else 1] == 1.0
    case.system.under(policy).occupancy  # noqa: B018  a policy that runs


def test_greedy_in_a_decomposition_without_a_budget() -> None:
    case = build("weakly-coupled", (3, 2), (2, 3), "uniform", False, 3)
    d = me.value_decomposition(case.chain)
    policy = me.greedy_policy(d)
    for i, t in enumerate(policy.tables):
        assert t.argmax(axis=1).tolist() == d.local_q[i].reshape(t.shape).argmax(axis=1).tolist()


def test_a_pair_never_visited_is_not_chosen() -> None:
    """Agent 0 never plays action 1 in state 0: greedy keeps to what was seen."""
    kernel = np.full((2, 2, 2), 0.5)
    system = me.MultiAgentMDP(kernel, [[[0, 99], [0, 1]]], n_states=(2,), n_actions=(2,), discount=0.5)
    d = me.value_decomposition(system.under(np.array([[1.0, 0.0], [0.5, 0.5]])))
    assert np.isnan(d.local_q[0][1])
    assert me.greedy_policy(d).tables[0].tolist() == [[1, 0], [0, 1]]


def test_policy_improvement() -> None:
    """Greedy in the exact joint Q of a policy is never worse."""
    for seed in range(5):
        case = build("mdp", (2, 2), (2, 2), "uniform", False, seed)
        q = np.full(case.table.shape, -np.inf)
        at = case.truth.position(case.chain)
        values = me.value_decomposition(case.chain).joint_q[at]
        for (s, a), v in zip(case.truth.index, values, strict=True):
            q[s, a] = v
        better = me.greedy_policy(q).table.toarray()
        assert (worth(case, better) >= worth(case, case.table) - 1e-12).all()


def test_sparse_tables_work_as_policies() -> None:
    case = build("mdp", (2, 2), (2, 1), "uniform", False, 0)
    policy = me.optimal_policy(case.system)
    assert sp.issparse(policy.table)
    chain = case.system.under(policy)
    assert chain.n_pairs == 4
    assert list(itertools.chain(*chain.states.tolist())) == [0, 0, 0, 1, 1, 0, 1, 1]
