"""The exact count chain against published numbers, the joint pair chain, and moments in closed form."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.special import comb
from scipy.stats import binom

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement import errors
from markov_entanglement.bandits.count_chain import CountChain, count_chain
from markov_entanglement.bandits.count_operator import CountOperator, binomial_table, predicted_bytes
from markov_entanglement.bandits.count_space import (
    activation,
    enumerate_counts,
    enumerate_pairs,
    number_of_pairs,
)
from markov_entanglement.bandits.mean_field import mean_field
from markov_entanglement.bandits.type_operator import TypeOperator, count_operator, few_each
from markov_entanglement.model.bandit import RestlessBandit
from markov_entanglement.model.policy import IndexPolicy, LocalPolicy, UniformPolicy

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
CIRCULANT = [P0, P0.T]
ORDER = IndexPolicy([1, 2, 3, 0])
# Gast, Gaujal, Yan, example 2 (three states, mean-field 2-cycle).
GAST = [
    [[0.02232142, 0.10229283, 0.87538575], [0.03426605, 0.17175704, 0.79397691],
     [0.52324756, 0.45523298, 0.02151947]],
    [[0.14874601, 0.30435809, 0.54689589], [0.56845754, 0.41117331, 0.02036915],
     [0.2526557, 0.27310439, 0.4742399]],
]  # fmt: skip


def circulant(n: int, gamma: float = 0.5, policy: IndexPolicy = ORDER) -> CountChain:
    return count_chain(
        RestlessBandit(CIRCULANT, [-1, 0, 0, 1], n_arms=n, budget=n // 5, discount=gamma), policy
    )


def random_bandit(rng, states, arms, budget, types=1, zeros=0.0):
    """Kernels with entries at 0 (a share `zeros` of them) and a common state that keeps arms unichain."""
    k = rng.dirichlet(np.ones(states), size=(types, 2, states))
    k *= rng.random(k.shape) >= zeros
    k[..., 0] += 0.05
    k /= k.sum(axis=-1, keepdims=True)
    n_arms = arms if types > 1 else arms[0]
    kernels = k if types > 1 else k[0]
    rewards = rng.normal(size=(types, states, 2)) if types > 1 else rng.normal(size=(states, 2))
    return RestlessBandit(kernels, rewards, n_arms=n_arms, budget=budget, discount=0.8)


# --- published numbers -----------------------------------------------------------------------------------

TABLE = {
    5: (0.0817592, 0.0397425, 0.0429941, 0.2263230, 0.066535, 0.225413),
    10: (0.0616116, 0.0295957, 0.0725765, 0.4006142, 0.049110, 0.187366),
    15: (0.0522905, 0.0248791, 0.0979374, 0.5517638, 0.035404, 0.148348),
    20: (0.0467269, 0.0221043, 0.1192319, 0.6790218, 0.025857, 0.115808),
}


@pytest.mark.parametrize("n", TABLE)
def test_circulant_numbers(n):
    chain = circulant(n)
    got = (
        chain.policy_entanglement.per_agent[0],
        chain.mu_atv.per_agent[0],
        chain.local_values().error("mu"),
        chain.local_values(0.9).error("mu"),
        chain.corrected_values().error("mu"),
        chain.corrected_values(0.9).error("mu"),
    )
    for value, want, digits in zip(got, TABLE[n], (7, 7, 7, 7, 6, 6), strict=True):
        assert abs(value - want) <= 2 * 10.0**-digits


def test_another_order_has_other_numbers():
    """Negative control: the numbers above belong to that policy."""
    chain = circulant(5, policy=IndexPolicy([3, 2, 1, 0]))
    assert abs(chain.policy_entanglement.per_agent[0] - TABLE[5][0]) > 1e-3


@pytest.mark.parametrize("n, want", [(5, 0.179333), (10, 0.153008), (20, 0.144112), (30, 0.146451)])
def test_two_cycle_does_not_vanish(n, want):
    rows = np.array(GAST)
    rows /= rows.sum(axis=-1, keepdims=True)
    reward = np.column_stack([np.zeros(3), [0.37401552, 0.11740814, 0.07866135]])
    bandit = RestlessBandit(rows, reward, n_arms=n, budget=2 * n // 5, discount=0.9)
    chain = count_chain(bandit, IndexPolicy([2, 1, 0]))
    assert abs(chain.policy_entanglement.per_agent[0] - want) <= 1e-6


def test_error_signs_and_scaling():
    """Local TD grows, both corrected tables vanish, the pair table is the better one."""
    td, state, pair = zip(
        *(
            (
                c.local_values().error("mu"),
                c.corrected_values().error("mu"),
                c.corrected_values(table="pair").error("mu"),
            )
            for c in map(circulant, (5, 10, 20, 30))
        ),
        strict=True,
    )
    assert np.all(np.diff(td) > 0) and np.all(np.diff(state) < 0) and np.all(np.diff(pair) < 0)
    assert all(p < s / 3 for p, s in zip(pair, state, strict=True))


# --- the joint pair chain, built here ----------------------------------------------------------------------


@dataclass
class Joint:
    types: list[int]
    pairs: list[tuple[tuple[int, ...], tuple[int, ...]]]
    step: np.ndarray
    mu: np.ndarray
    reward: np.ndarray
    q: np.ndarray
    choice: dict


def joint_chain(bandit: RestlessBandit, classes: np.ndarray) -> Joint:
    """Everything on joint pairs, arm by arm; `classes` (T, S), 0 served first, ties by lot."""
    types = [t for t in range(bandit.n_types) for _ in range(bandit.n_arms[t])]
    n, states = len(types), bandit.n_states
    all_states = list(itertools.product(range(states), repeat=n))
    choice = {}
    for s in all_states:
        level = [classes[t, x] for t, x in zip(types, s, strict=True)]
        options = []
        for active in itertools.combinations(range(n), bandit.budget):
            idle = [i for i in range(n) if i not in active]
            if not active or not idle or max(level[i] for i in active) <= min(level[i] for i in idle):
                options.append(tuple(int(i in active) for i in range(n)))
        choice[s] = options
    pairs = [(s, a) for s in all_states for a in choice[s]]
    kernel = np.ones((len(pairs), 1))
    for i, t in enumerate(types):
        rows = np.array([bandit.kernels[t, a[i], s[i]] for s, a in pairs])
        kernel = (kernel[:, :, None] * rows[:, None, :]).reshape(len(pairs), -1)
    spread = np.zeros((len(all_states), len(pairs)))
    place = {s: k for k, s in enumerate(all_states)}
    for j, (s, _) in enumerate(pairs):
        spread[place[s], j] = 1 / len(choice[s])
    step = kernel @ spread
    mu = np.linalg.lstsq(np.vstack([step.T - np.eye(len(pairs)), np.ones(len(pairs))]),
                         np.append(np.zeros(len(pairs)), 1.0))[0]  # fmt: skip
    reward = np.array(
        [sum(bandit.rewards[t, x, u] for t, x, u in zip(types, s, a, strict=True)) for s, a in pairs]
    )
    q = np.linalg.solve(np.eye(len(pairs)) - bandit.discount * step, reward)
    return Joint(types, pairs, step, np.maximum(mu, 0), reward, q, choice)


def local_pairs(joint: Joint, i: int) -> np.ndarray:
    return np.array([2 * s[i] + a[i] for s, a in joint.pairs])


def fit_by_lp(laws: np.ndarray, weights: np.ndarray) -> float:
    """`min_q sum_k w_k TV(p_k, q)` over the simplex, by linear programming."""
    laws, weights = laws[weights > 0], weights[weights > 0]
    if len(laws) == 0:
        return 0.0
    k, n = laws.shape
    cost = np.concatenate([np.zeros(n), 0.5 * np.repeat(weights, n)])
    pick = np.tile(np.eye(n), (k, 1))
    upper = np.vstack([np.hstack([pick, -np.eye(k * n)]), np.hstack([-pick, -np.eye(k * n)])])
    rhs = np.concatenate([laws.ravel(), -laws.ravel()])
    equal = np.append(np.ones(n), np.zeros(k * n))[None]
    return float(linprog(cost, A_ub=upper, b_ub=rhs, A_eq=equal, b_eq=[1.0]).fun)


def joint_entanglement(joint: Joint, i: int, states: int) -> tuple[float, float, np.ndarray]:
    """Eq. 7, Prop. 7.2 and P_i of arm i from joint pairs."""
    mine = local_pairs(joint, i)
    laws = joint.step @ np.eye(2 * states)[mine]
    local = np.full((2 * states, 2 * states), np.nan)
    exact = policy = 0.0
    for x in range(2 * states):
        at = mine == x
        exact += fit_by_lp(laws[at], joint.mu[at])
        if joint.mu[at].sum() > 1e-13:
            local[x] = joint.mu[at] @ laws[at] / joint.mu[at].sum()
    act = np.array([np.mean([a[i] for a in joint.choice[s]]) for s, _ in joint.pairs])
    for x in range(states):
        at = mine // 2 == x
        policy += fit_by_lp(np.column_stack([1 - act[at], act[at]]), joint.mu[at])
    return exact, policy, local


def compare(bandit: RestlessBandit, policy, classes: np.ndarray) -> None:
    """Every output of the count chain equals that of the joint pair chain."""
    chain, joint = count_chain(bandit, policy), joint_chain(bandit, np.asarray(classes))
    cells = bandit.n_types * bandit.n_states
    place = {
        (tuple(p), tuple(z)): j
        for j, (p, z) in enumerate(
            zip(chain.states.passive.tolist(), chain.states.served.tolist(), strict=True)
        )
    }
    to = np.empty(len(joint.pairs), dtype=int)
    for j, (s, a) in enumerate(joint.pairs):
        parts = np.zeros((2, cells), dtype=int)
        for t, x, u in zip(joint.types, s, a, strict=True):
            parts[u, t * bandit.n_states + x] += 1
        to[j] = place[tuple(parts[0].tolist()), tuple(parts[1].tolist())]
    np.testing.assert_allclose(
        np.bincount(to, joint.mu, minlength=chain.n_pairs), chain.occupancy, atol=1e-11
    )
    np.testing.assert_allclose(chain.local_values().joint_q[to], joint.q, atol=1e-9)
    np.testing.assert_allclose(chain.rewards[to], joint.reward, atol=1e-12)
    tables = []
    for t in range(bandit.n_types):
        if bandit.n_arms[t] == 0:
            assert np.isnan(chain.mu_atv.per_agent[t])
            tables.append(np.full(2 * bandit.n_states, np.nan))
            continue
        exact, by_policy, local = joint_entanglement(joint, joint.types.index(t), bandit.n_states)
        assert abs(chain.mu_atv.per_agent[t] - exact) < 1e-8
        assert abs(chain.policy_entanglement.per_agent[t] - by_policy) < 1e-8
        assert exact <= by_policy + 1e-9
        np.testing.assert_allclose(chain.local_transition(t), local, atol=1e-9)
        seen = ~np.isnan(local[:, 0])
        q = np.full(len(local), np.nan)
        inner = np.eye(seen.sum()) - bandit.discount * local[np.ix_(seen, seen)]
        q[seen] = np.linalg.solve(inner, bandit.rewards[t].ravel()[seen])
        tables.append(q)
    values = chain.local_values()
    np.testing.assert_allclose(values.local_q, tables, atol=1e-8)
    total = sum(tables[t][local_pairs(joint, i)] for i, t in enumerate(joint.types))
    err = (joint.q - total)[joint.mu > 1e-13]
    mu = joint.mu[joint.mu > 1e-13]
    assert abs(values.error("mu") - mu @ np.abs(err)) < 1e-8
    assert abs(values.error("l2") - np.sqrt(mu @ err**2)) < 1e-8
    assert abs(values.error("sup") - np.abs(err).max()) < 1e-7
    q = joint.q[joint.mu > 1e-13]
    if mu @ (q - mu @ q) ** 2 > 1e-12:
        spread = np.sqrt((mu @ (err - mu @ err) ** 2) / (mu @ (q - mu @ q) ** 2))
        assert abs(values.unexplained - spread) < 1e-8
    assert abs(values.relative_error - mu @ np.abs(err) / (mu @ np.abs(q))) < 1e-8


CASES = [
    # states, arms, budget, classes (T, S)
    (3, (3,), 1, [[0, 1, 2]]),
    (3, (4,), 2, [[2, 0, 1]]),
    (2, (4,), 3, [[1, 0]]),
    (3, (3,), 2, [[0, 0, 1]]),  # equal priorities
    (3, (4,), 2, [[0, 1, 1]]),
    (2, (2, 2), 2, [[0, 2], [1, 3]]),  # two types, interleaved
    (3, (2, 1), 1, [[0, 1, 3], [2, 1, 0]]),  # a class across types
    (2, (1, 2), 2, [[0, 0], [0, 1]]),
    (2, (0, 3), 1, [[0, 1], [1, 0]]),  # a type without arms
    (3, (3,), 0, [[0, 1, 2]]),
    (3, (3,), 3, [[0, 1, 2]]),
    (3, (1,), 1, [[0, 1, 2]]),
    (3, (1, 1, 1, 1), 2, [[0, 5, 7], [9, 1, 4], [2, 3, 11], [6, 8, 10]]),  # many types, one arm each
    (3, (1, 1, 1), 1, [[0, 2, 1], [1, 2, 0], [2, 0, 1]]),  # classes across them
    (2, (2, 1, 0, 1), 2, [[0, 6], [1, 3], [2, 4], [5, 7]]),  # the largest first
    (2, (1, 3, 1), 3, [[0, 1], [2, 0], [1, 1]]),
]


@pytest.mark.parametrize("states, arms, budget, classes", CASES)
@pytest.mark.parametrize("zeros", [0.0, 0.5])
@pytest.mark.parametrize("dense", [1500, 0])
def test_against_the_joint_chain(states, arms, budget, classes, zeros, dense, monkeypatch):
    monkeypatch.setattr(tol, "COUNT_DENSE", dense)
    rng = np.random.default_rng([states, budget, len(arms), sum(map(sum, classes))])
    bandit = random_bandit(rng, states, arms, budget, len(arms), zeros)
    priority = -np.asarray(classes, dtype=float)
    compare(bandit, IndexPolicy(priority if len(arms) > 1 else priority[0]), np.asarray(classes))


def test_shared_priority_over_types_and_uniform_policy():
    rng = np.random.default_rng(7)
    bandit = random_bandit(rng, 2, (2, 1), 1, 2)
    compare(bandit, IndexPolicy([0.0, 5.0]), np.array([[1, 0], [1, 0]]))
    compare(bandit, UniformPolicy(), np.zeros((2, 2)))


def test_the_comparison_can_fail():
    """Negative control: strict priorities are not ties by lot."""
    bandit = random_bandit(np.random.default_rng(3), 3, (3,), 1)
    with pytest.raises((AssertionError, KeyError)):
        compare(bandit, IndexPolicy([2, 1, 0]), np.array([[0, 0, 1]]))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 3), st.integers(2, 3), st.data())
def test_random_bandits(seed, states, arms, data):
    rng = np.random.default_rng(seed)
    budget = data.draw(st.integers(0, arms))
    classes = np.array([data.draw(st.lists(st.integers(0, 2), min_size=states, max_size=states))])
    bandit = random_bandit(rng, states, (arms,), budget, zeros=0.3)
    compare(bandit, IndexPolicy(-classes[0].astype(float)), classes)


# --- the operator ----------------------------------------------------------------------------------------------


def explicit_circulant(n: int, counts: np.ndarray, budget: int) -> np.ndarray:
    """Dense count transition of the circulant bandit: half of the passive arms of a state step down, half of
    the active ones up, each by a fair coin."""
    side = n + 1
    rank = np.full(side**3, -1)
    key = (counts[:, 0] * side + counts[:, 1]) * side + counts[:, 2]
    rank[key] = np.arange(len(counts))
    half = [comb(k, np.arange(k + 1)) / 2.0**k for k in range(n + 1)]
    out = np.zeros((len(counts), len(counts)))
    for row, c in enumerate(counts):
        left, z = budget, np.zeros(4, dtype=int)
        for s in (2, 1, 0, 3):
            z[s] = min(left, c[s])
            left -= z[s]
        law, where = np.ones(1), np.array([key[row]])
        for s in range(4):
            for movers, shift in ((c[s] - z[s], -1), (z[s], 1)):
                if movers:
                    weight = [side**2, side, 1, 0]
                    change = weight[(s + shift) % 4] - weight[s]
                    where = (where[:, None] + change * np.arange(movers + 1)).ravel()
                    law = (law[:, None] * half[movers]).ravel()
                    where, inverse = np.unique(where, return_inverse=True)
                    law = np.bincount(inverse, law)
        out[row, rank[where]] = law
    return out


def test_matrix_free_equals_the_explicit_matrix_at_30_arms():
    chain = circulant(30)
    assert chain.n_counts == chain.n_pairs == 5456
    dense = explicit_circulant(30, chain.states.counts.astype(int), 6)
    assert np.abs(dense.sum(axis=1) - 1).max() < 1e-12
    rng = np.random.default_rng(0)
    for _ in range(3):
        f = rng.normal(size=5456)
        assert np.abs(chain.choice @ chain.operator.expect(f) - dense @ f).max() < 1e-10
        assert np.abs(chain.step_left(f) - f @ dense).max() < 1e-10
    assert abs(chain.transition - dense).max() < 1e-12
    # The conclusions satisfy the explicit equations, which have one solution.
    mu, v = chain.count_occupancy, chain.local_values().joint_q
    assert np.abs(mu @ dense - mu).sum() < 1e-10 and abs(mu.sum() - 1) < 1e-12
    assert np.abs(v - 0.5 * dense @ v - chain.rewards).max() < 1e-10


def moments(pairs, kernels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (J, C) and covariance (J, C, C) of the next counts, in closed form."""
    types, _, states, _ = kernels.shape
    flat = np.zeros((2, types * states, types * states))
    for t in range(types):
        block = slice(t * states, (t + 1) * states)
        flat[:, block, block] = kernels[t]
    sources = np.stack([pairs.passive, pairs.served], axis=1).astype(float)
    mean = np.einsum("jac,acd->jd", sources, flat)
    single = np.einsum("acd,de->acde", flat, np.eye(types * states)) - np.einsum("acd,ace->acde", flat, flat)
    return mean, np.einsum("jac,acde->jde", sources, single)


@pytest.mark.parametrize(
    "way, states, arms, budget, ranks",
    [
        (CountOperator, 4, [20], 5, [0, 1, 2, 3]),  # dense kernels
        (CountOperator, 16, [3], 1, list(range(16))),  # keys wider than 64 bits
        (CountOperator, 3, [6, 5], 4, [0, 2, 4, 1, 2, 3]),
        (CountOperator, 3, [9], 4, [0, 0, 0]),
        (CountOperator, 2, [150], 40, [1, 0]),
        (TypeOperator, 3, [6, 5], 4, [0, 2, 4, 1, 2, 3]),
        (TypeOperator, 3, [1, 1, 1, 1, 1], 2, [8, 2, 6, 1, 4, 3, 0, 7, 9, 5, 10, 12, 11, 13, 14]),
        (TypeOperator, 3, [2, 0, 1, 3], 3, [0, 0, 1, 1, 0, 2, 0, 1, 2, 2, 1, 0]),
        (TypeOperator, 2, [40, 1, 7], 12, [0, 4, 5, 2, 1, 3]),
        (TypeOperator, 5, [2, 1], 0, list(range(10))),
    ],
)
def test_moments_in_closed_form(way, states, arms, budget, ranks):
    rng = np.random.default_rng(1)
    kernels = rng.dirichlet(np.ones(states), size=(len(arms), 2, states))
    pairs = enumerate_pairs(arms, states, np.array(ranks), budget)
    operator = way(pairs, kernels)
    counts = pairs.counts.astype(float)
    mean, covariance = moments(pairs, kernels)
    for d in range(0, counts.shape[1], 3):
        np.testing.assert_allclose(operator.expect(counts[:, d]), mean[:, d], atol=1e-10)
        second = covariance[:, d, -1] + mean[:, d] * mean[:, -1]
        np.testing.assert_allclose(operator.expect(counts[:, d] * counts[:, -1]), second, atol=1e-9)
    v, f = rng.random(operator.n_pairs), rng.random(operator.n_counts)
    assert abs(v @ operator.expect(f) - operator.push(v) @ f) < 1e-9 * v.sum()
    assert abs(operator.push(v).sum() - v.sum()) < 1e-10 * v.sum()


@pytest.mark.parametrize("ties", [False, True])
def test_eight_different_arms(ties):
    """The count chain of arms that are all different is the joint chain of a weakly coupled system."""
    rng = np.random.default_rng(11)
    kernels, rewards = rng.dirichlet(np.ones(3), size=(8, 2, 3)), rng.normal(size=(8, 3, 2))
    priority = [
        *(rng.integers(0, 5, size=(8, 3)) if ties else rng.permutation(24).reshape(8, 3)).astype(float)
    ]
    bandit = RestlessBandit(kernels, rewards, n_arms=[1] * 8, budget=3, discount=0.9)
    system = me.WeaklyCoupledMDP(list(kernels), list(rewards), budget=3, discount=0.9)
    counts, joint = count_chain(bandit, IndexPolicy(priority)), system.under(IndexPolicy(priority))
    assert isinstance(counts.operator, TypeOperator) and counts.n_pairs == joint.n_pairs
    for distance in ("mu-atv", "atv", "policy", "kernel", "spectral"):
        got, want = (me.entanglement(c, distance).per_agent for c in (counts, joint))
        np.testing.assert_allclose(got, want, atol=1e-9)
    assert np.abs(np.sort(counts.occupancy) - np.sort(joint.occupancy)).max() < 1e-11
    got, want = (me.value_decomposition(c) for c in (counts, joint))
    for norm in ("mu", "l2", "sup"):
        assert got.error(norm) == pytest.approx(want.error(norm), rel=1e-8)
    for a, b in zip(got.local_q, want.local_q, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    bounds = [me.certificate(c, None, 0.9, d.sum_q).to_dict() for c, d in ((counts, got), (joint, want))]
    for norm, by_k in bounds[0].items():
        np.testing.assert_allclose(list(by_k.values()), list(bounds[1][norm].values()), rtol=1e-8)
    got, want = (me.additive_values(c) for c in (counts, joint))
    assert got.error("mu") == pytest.approx(want.error("mu"), rel=1e-7)
    assert got.vdn_gap.value == pytest.approx(want.vdn_gap.value, rel=1e-7)


def test_partners_of_different_arms():
    """Two arms of one type and two that are alone: who explains whom, as of the arms one by one."""
    rng = np.random.default_rng(2)
    kernels, rewards = rng.dirichlet(np.ones(3), size=(3, 2, 3)), rng.normal(size=(3, 3, 2))
    priority = rng.permutation(9).reshape(3, 3).astype(float)
    of = [0, 1, 1, 2]
    bandit = RestlessBandit(kernels, rewards, n_arms=[1, 2, 1], budget=2, discount=0.9)
    system = me.WeaklyCoupledMDP(list(kernels[of]), list(rewards[of]), budget=2, discount=0.9)
    counts = count_chain(bandit, IndexPolicy([*priority]))
    joint = system.under(IndexPolicy([*priority[of]]))
    for u, i in ((0, 0), (1, 1), (2, 3)):
        for other, j in ((0, 0), (1, 2), (2, 3)):
            if u == other != 1:
                assert counts.partner_rows(u, other) is None
                continue
            got, want = counts.partner_rows(u, other), joint.partner_rows(i, j)
            assert got.n_keys == want.n_keys
            np.testing.assert_allclose(got.key_weight, want.key_weight, atol=1e-11)
            np.testing.assert_allclose(got.mean_law, want.mean_law, atol=1e-9)


def test_the_way_that_takes_less_work():
    """Types with few counts each are replaced whole; one type, or many arms of three states, cell by cell."""
    assert few_each([1] * 12, 3) and few_each([20, 20, 1], 3) and few_each([200, 0, 300], 2)
    assert not few_each([5], 3) and not few_each([60, 60], 3) and not few_each([1600, 2], 2)
    kernels = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 2, 3))
    for arms, way in (([3, 2], TypeOperator), ([60, 1], CountOperator)):
        assert type(count_operator(enumerate_pairs(arms, 3, np.arange(6), 1), kernels)) is way


def test_too_many_beginnings_go_cell_by_cell(monkeypatch):
    """Uniform service: nearly every choice of arms is a beginning of its own."""
    kernels = np.random.default_rng(0).dirichlet(np.ones(3), size=(8, 2, 3))
    pairs = enumerate_pairs([1] * 8, 3, np.zeros(24, dtype=int), 4)
    monkeypatch.setattr(tol, "BYTES", TypeOperator(pairs, kernels).peak - 1)
    with pytest.raises(errors.TooLarge, match=r"count operator of 8 arms: got .* GiB"):
        TypeOperator(pairs, kernels)


@pytest.mark.parametrize(
    "arms, states, budget", [([3], 2, 1), ([1, 1, 1], 3, 2), ([2, 0, 3], 3, 4), ([4, 1], 2, 0)]
)
def test_number_of_pairs(arms, states, budget):
    every = enumerate_pairs(arms, states, np.zeros(len(arms) * states, dtype=int), budget)
    assert number_of_pairs(arms, states, budget) == len(every.count)


def test_served_counts_are_hypergeometric():
    pairs = enumerate_pairs([5], 3, np.array([0, 0, 1]), 2)
    at = np.flatnonzero((pairs.counts[pairs.count] == [3, 1, 1]).all(axis=1))
    got = {tuple(pairs.served[j].tolist()): pairs.probability[j] for j in at}
    assert got == pytest.approx({(2, 0, 0): 3 / 6, (1, 1, 0): 3 / 6})
    rho = activation(np.array([[3, 1, 1]]), np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(rho, [[0.5, 0.5, 0.0]])


def test_enumeration_and_binomials():
    counts = enumerate_counts([3, 2], 3)
    assert len(counts) == 10 * 6 and len(np.unique(counts, axis=0)) == 60
    assert (counts[:, :3].sum(axis=1) == 3).all() and (counts[:, 3:].sum(axis=1) == 2).all()
    table = binomial_table(6, 0.3, 0.7)
    np.testing.assert_allclose(table[21:28], [comb(6, j) * 0.3**j * 0.7 ** (6 - j) for j in range(7)])


def test_reachability_does_not_underflow():
    """A move of probability 1e-200 by two arms at once has probability 0 in floating point, yet it exists."""
    tiny = 1e-200
    k = np.array([[1 - tiny, tiny], [0.5, 0.5]])
    for arms in ([2], [2, 1], [1, 1]):
        pairs = enumerate_pairs(arms, 2, np.arange(2 * len(arms)), 0)
        operator = count_operator(pairs, np.array([[k, k]] * len(arms)))
        far, near = np.zeros((2, operator.n_counts), dtype=bool)
        far[0], near[-1] = True, True  # all arms in state 1, all in state 0
        assert operator.expect(far.astype(float))[-1] == 0.0
        assert operator.can_reach(far).all()
        assert operator.reached_from(near).all()


# --- consequences ------------------------------------------------------------------------------------------------


def test_uniform_policy_is_separable():
    bandit = random_bandit(np.random.default_rng(5), 3, (6,), 2)
    chain = count_chain(bandit, UniformPolicy())
    assert chain.mu_atv.per_agent[0] < 1e-12 and chain.policy_entanglement.per_agent[0] < 1e-12
    assert chain.local_values().error("sup") < 1e-9
    assert chain.corrected_values(table="pair").error("sup") < 1e-9


def test_limit_constants_are_approached():
    """Two types, the budget ends inside type 1: type 0 disentangles, type 1 like 1/sqrt(N)."""
    rng = np.random.default_rng(0)
    kernels, rewards = rng.dirichlet(np.ones(2), size=(2, 2, 2)), rng.normal(size=(2, 2, 2))
    bandit = RestlessBandit(kernels, rewards, n_arms=[18, 36], budget=18, discount=0.8)
    policy = IndexPolicy([[3, 1], [2, 0]])
    chain, limits = count_chain(bandit, policy), mean_field(bandit, policy).limit_constants
    e = chain.policy_entanglement.per_agent * np.sqrt(54)
    np.testing.assert_allclose(e, limits.policy_entanglement, rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(
        chain.mu_atv.per_agent * np.sqrt(54), limits.entanglement, rtol=0.05, atol=1e-3
    )
    assert chain.local_values().error("mu") / np.sqrt(54) == pytest.approx(limits.error_mu, rel=0.05)
    assert chain.corrected_values().error("mu") < 0.1 * chain.local_values().error("mu")


def test_ties_need_the_pair_table():
    """Ties in the marginal class: the error by state grows, the one by pair stays bounded."""
    rng = np.random.default_rng(0)
    kernels, rewards = rng.dirichlet(np.ones(3), size=(2, 3)), rng.normal(size=(3, 2))
    errors_at = []
    for n in (5, 20):
        bandit = RestlessBandit(kernels, rewards, n_arms=n, budget=2 * n // 5, discount=0.8)
        chain = count_chain(bandit, IndexPolicy([1, 1, 0]))
        errors_at.append([chain.corrected_values(table=k).error("mu") for k in ("state", "pair")])
    assert errors_at[1][0] > 1.5 * errors_at[0][0]
    assert max(e[1] for e in errors_at) < 0.02


def test_mean_error_is_zero_and_rows_are_laws():
    chain = circulant(20)
    for values in (chain.local_values(), chain.corrected_values()):
        at = chain.occupancy > 0
        assert abs(chain.occupancy[at] @ values.residual[at]) < 1e-10
    rows = chain.rows()
    assert abs(rows.weight.sum() - 1) < 1e-12
    assert np.abs(rows.law.sum(axis=1) - 1).max() < 1e-12 and rows.law.min() >= 0
    # Stationarity of the compression (Lemma G.1): mu_i P_i = mu_i.
    seen = rows.key_weight > 0
    np.testing.assert_allclose(
        rows.key_weight[seen] @ chain.local_transition()[seen], rows.key_weight, atol=1e-11
    )


def test_certificates_hold_the_error():
    chain = circulant(10, gamma=0.9)
    for values in (chain.local_values(), chain.corrected_values()):
        bounds = me.certificate(chain, None, values.discount, values.sum_q, ks=(1, 3, 60)).to_dict()
        for norm, by_k in bounds.items():
            for low, high in by_k.values():
                assert low <= values.error(norm) * (1 + 1e-9) and values.error(norm) <= high * (1 + 1e-9)
            assert by_k[60][1] - by_k[60][0] < 0.005 * by_k[60][1]


def test_bounds_of_the_paper():
    chain = circulant(10)
    e = chain.mu_atv.total
    assert chain.local_values().error("mu") <= 4 * 0.5 * e / 0.25
    assert chain.mu_atv.total == pytest.approx(10 * chain.mu_atv.worst)


def test_periodic_chain():
    cycle = np.roll(np.eye(3), 1, axis=1)
    chain = count_chain(
        RestlessBandit([cycle, cycle], [1, 0, 0], n_arms=1, budget=0, discount=0.5), IndexPolicy([0, 1, 2])
    )
    np.testing.assert_allclose(chain.count_occupancy, np.full(3, 1 / 3))
    np.testing.assert_allclose(
        chain.local_values().joint_q, np.array([1, 2, 4])[[1, 0, 2]] / 7 * 2, atol=1e-12
    )


def test_same_bytes():
    one, two = circulant(20), circulant(20)
    assert one.count_occupancy.tobytes() == two.count_occupancy.tobytes()
    assert one.rows().law.tobytes() == two.rows().law.tobytes()
    assert one.local_values().joint_q.tobytes() == two.local_values().joint_q.tobytes()


def test_shapes_frozen_and_json():
    chain = circulant(5)
    assert chain.counts.shape == chain.served.shape == (56, 1, 4)
    assert (chain.served.sum(axis=(1, 2)) == 1).all() and (chain.counts.sum(axis=(1, 2)) == 5).all()
    assert chain.transition.shape == (56, 56)
    with pytest.raises(ValueError, match="read-only"):
        chain.occupancy[0] = 1.0
    assert "56 count states" in repr(chain)
    out = chain.mu_atv.to_dict()
    assert out["multiplicity"] == [5] and out["estimator"] == "exact count chain"
    assert set(chain.local_values().to_dict()) >= {"error_mu", "error_sup", "error_l2", "unexplained"}
    assert "0.0397425" in repr(chain.mu_atv) and "local TD" in repr(chain.local_values())


# --- refusals -------------------------------------------------------------------------------------------------------


def test_refusals():
    bandit = RestlessBandit(CIRCULANT, [-1, 0, 0, 1], n_arms=5, budget=1, discount=0.5)
    with pytest.raises(errors.Unsupported, match="RestlessBandit"):
        count_chain("bandit", ORDER)
    with pytest.raises(errors.Unsupported, match="LocalPolicy"):
        count_chain(bandit, LocalPolicy([np.full((4, 2), 0.5)] * 5))
    with pytest.raises(errors.InvalidInput, match="3 entries for arm type 0"):
        count_chain(bandit, IndexPolicy([1, 2, 3]))
    chain = count_chain(bandit, ORDER)
    for call in (lambda: chain.rows(1), lambda: chain.local_values(1.0),
                 lambda: chain.corrected_values(table="action"),
                 lambda: me.certificate(chain, None, None, chain.local_values().sum_q, ks=(0,)),
                 lambda: chain.local_values().error("l3")):  # fmt: skip
        with pytest.raises(errors.InvalidInput):
            call()


def test_several_recurrent_classes_are_named():
    split = np.eye(2)
    bandit = RestlessBandit([split, split], [0, 1], n_arms=2, budget=1, discount=0.5)
    with pytest.raises(errors.SeveralRecurrentClasses, match=r"\(0, 2\).*\(1, 1\)"):
        _ = count_chain(bandit, IndexPolicy([1, 0])).occupancy


def test_too_large_is_refused_before_allocation():
    def chain(n, kernels=CIRCULANT, policy=ORDER):
        return count_chain(
            RestlessBandit(kernels, [-1, 0, 0, 1], n_arms=n, budget=n // 5, discount=0.5), policy
        )

    start = time.perf_counter()
    with pytest.raises(errors.TooLarge, match="count states of 1800 arms"):
        chain(1800)
    dense = np.random.default_rng(0).dirichlet(np.ones(4), size=(2, 4))
    with pytest.raises(errors.TooLarge, match=r"count operator of 80 arms \(predicted\): got .* GiB"):
        chain(80, kernels=dense)
    with pytest.raises(errors.TooLarge, match="predicted"):
        chain(60, policy=UniformPolicy())
    assert time.perf_counter() - start < 60.0  # seconds; building the last two takes minutes and gigabytes
    with pytest.raises(errors.TooLarge, match="pairs of counts and served counts"):
        enumerate_pairs([120], 4, np.zeros(4, dtype=int), 60)
    with pytest.raises(errors.TooLarge, match="count transition matrix"):
        _ = chain(45).transition


def test_prediction_of_the_size():
    kernels = np.array([CIRCULANT])
    ranks = np.array([2, 1, 0, 3])
    predicted = predicted_bytes([60], 4, ranks, 12, kernels)
    built = CountOperator(enumerate_pairs([60], 4, ranks, 12), kernels).peak
    assert 0.3 * built < predicted < 1.5 * built


@pytest.mark.parametrize(
    "arms, budget, priority", [([7], 3, [[0, 1]]), ([3, 4], 3, [[2, 0], [1, 3]]), ([5], 2, [[1, 1]])]
)
def test_matrix_of_two_state_arms(arms, budget, priority):
    """Rows are sums of binomials, one for each type, state and action; moves that are sure or impossible included."""
    rng = np.random.default_rng(4)
    kernels = rng.dirichlet(np.ones(2), size=(len(arms), 2, 2))
    kernels[0, 1, 0] = [0.0, 1.0]
    chain = count_chain(
        RestlessBandit(kernels, rng.random((len(arms), 2, 2)), n_arms=arms, budget=budget, discount=0.9),
        IndexPolicy(priority),
    )
    states = list(itertools.product(*[range(n + 1) for n in arms]))  # arms in state 0, type by type
    matrix = chain.operator.matrix().toarray()
    for j in range(chain.n_pairs):
        laws = []
        for t in range(len(arms)):
            law = np.ones(1)
            for a, moved in enumerate((chain.counts[j, t] - chain.served[j, t], chain.served[j, t])):
                for s, n in enumerate(moved):
                    law = np.convolve(law, binom.pmf(np.arange(n + 1), n, kernels[t, a, s, 0]))
            laws.append(law)
        want = [np.prod([law[k] for law, k in zip(laws, x, strict=True)]) for x in states]
        np.testing.assert_allclose(matrix[j], want, rtol=1e-11, atol=0)
    f = rng.random((chain.n_counts, 3))
    got = np.stack([chain.operator.expect(np.ascontiguousarray(c)) for c in f.T], axis=1)
    np.testing.assert_allclose(chain.kernel.apply(f), got, atol=1e-13)
    u = rng.random(chain.n_pairs)
    np.testing.assert_allclose(chain.kernel.apply_left(u), chain.operator.push(u), atol=1e-13)
