"""The per-arm engine against exact chains, numpy's selection, and the count engine."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from markov_entanglement import _tolerance as tol
from markov_entanglement.bandits.arms import Arms, _advance, arm_path, arm_totals
from markov_entanglement.bandits.count_chain import count_chain
from markov_entanglement.bandits.simulate import simulate
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.measures.entanglement import entanglement
from markov_entanglement.model.bandit import RestlessBandit
from markov_entanglement.model.policy import IndexPolicy, UniformPolicy
from markov_entanglement.model.weakly_coupled import WeaklyCoupledMDP
from markov_entanglement.runs.draws import bits

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)


def random_arms(n, states, budget, seed=0):
    rng = np.random.default_rng(seed)
    kernels = rng.dirichlet(np.ones(states), size=(n, 2, states))
    return Arms(kernels, rng.normal(size=(n, states, 2)), rng.random((n, states)), budget=budget)


def test_uniforms_are_splitmix64():
    """First outputs of SplitMix64 from seed 1234567, as published with the reference implementation."""
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [int(bits(np.uint64(1234567), k)) for k in range(3)] == known


@pytest.mark.parametrize("shift, state", [(0, 1), (-1, 1), (1, 0)])
def test_ties_of_the_upper_halves_are_settled_by_the_lower_ones(shift, state):
    """The 64-bit threshold is x, x - 1 or x + 1 for the (even) random number x that the arm will see."""
    x = int(bits(np.uint64(5), 0)) // 2 * 2
    edge = x + shift
    table = np.array([[0, 1, edge >> 32, 0, 0, 0]], dtype=np.uint32)
    low = np.array([[edge & 0xFFFFFFFF, 0, 0, 0]], dtype=np.uint32)
    states, classes = np.zeros(1, np.int32), np.zeros(1, np.int64)
    none, earned = np.zeros((0, 0, 0), np.int32), np.zeros(1)
    _advance(np.uint64(5), 0, 0, 1, 0, table, low, np.array([[[3.0, 7.0]] * 2]), states, classes,
             np.zeros(1, np.int32), earned, none, none)  # fmt: skip
    assert (states[0], classes[0], earned[0]) == (state, state, 3.0)


def test_probabilities_of_zero_and_one_never_err():
    kernels = np.array([[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]] * 2)
    path = arm_path(Arms(np.stack([kernels] * 4), np.zeros((4, 3)), np.zeros((4, 3)), budget=2), 3000, rng=0)
    assert (path.states == np.arange(3001)[:, None] % 3).all()


def test_joint_occupancy_of_two_different_arms():
    rng = np.random.default_rng(4)
    kernels = [rng.dirichlet(np.ones(2), size=(2, 2)), rng.dirichlet(np.ones(3), size=(2, 3))]
    weak = WeaklyCoupledMDP(kernels, [[0, 1], [1, 0, 2]], discount=0.5, budget=1)
    policy = IndexPolicy([[3, 1], [2, 5, 0]])
    chain = weak.under(policy)
    path = simulate(weak, policy, 100_000, rng=0)
    pairs = 2 * path.states[:-1] + path.actions
    visited = 6 * pairs[:, 0] + pairs[:, 1]
    exact = np.zeros(24)
    exact[6 * chain.pairs[:, 0] + chain.pairs[:, 1]] = chain.occupancy
    batches = np.stack([np.bincount(b, minlength=24) / len(b) for b in np.array_split(visited, 50)])
    stderr = batches.std(axis=0, ddof=1) / np.sqrt(50)
    assert (np.abs(batches.mean(axis=0) - exact) < 4.5 * stderr + 1e-9).all() and stderr.max() < 0.01
    assert (np.abs(batches.mean(axis=0) - np.roll(exact, 1)) > 10 * stderr).any()  # negative control
    assert (path.rewards[:, 0] == np.array([0, 1])[path.states[:-1, 0]]).all()
    totals = arm_totals(Arms.of(weak, policy), 100_000, rng=1, burn_in=100)
    e = entanglement(chain, "policy").per_agent
    assert np.abs(totals.entanglement - e).max() < 0.01 and e.max() > 0.05


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 5), st.data())
def test_selection_is_that_of_a_sort(n, states, levels, data):
    """Whatever the number of classes: the served have at least the priority of the others."""
    budget = data.draw(st.integers(0, n))
    rng = np.random.default_rng(n)
    priority = rng.integers(0, levels + 1, (n, states)) if levels < 5 else rng.random((n, states))
    arms = Arms(
        rng.dirichlet(np.ones(states), size=(n, 2, states)), np.zeros((n, states)), priority, budget=budget
    )
    path = arm_path(arms, 5, rng=0)
    for s, a in zip(path.states[:-1], path.actions, strict=True):
        now = priority[np.arange(n), s]
        assert a.sum() == budget
        assert budget in (0, n) or now[a == 1].min() >= now[a == 0].max()


def test_selection_through_several_rounds_of_buckets():
    arms = random_arms(20_000, 3, 4321)  # 60,000 classes: two rounds
    path = arm_path(arms, 4, rng=0, start=np.arange(20_000) % 3)
    for s, a in zip(path.states[:-1], path.actions, strict=True):
        rank = arms.table[np.arange(20_000), s]
        assert (np.flatnonzero(a) == np.sort(np.argsort(rank)[:4321])).all()


def test_ties_are_uniform():
    arms = Arms(np.full((5, 2, 2, 2), 0.5), np.zeros((5, 2)), np.zeros((5, 2)), budget=2)
    seen = Counter(tuple(np.flatnonzero(a).tolist()) for a in arm_path(arms, 20_000, rng=1).actions)
    assert set(seen) == set(combinations(range(5), 2))
    assert stats.chisquare(list(seen.values())).pvalue > 1e-4


def test_law_is_that_of_counts():
    """Alike arms, circulant with 5 arms: occupancy of the exact count chain."""
    bandit = RestlessBandit([P0, P0.T], [-1, 0, 0, 1], n_arms=5, budget=1, discount=0.5)
    policy = IndexPolicy([1, 2, 3, 0])
    exact = count_chain(bandit, policy)
    path = arm_path(Arms.of(bandit, policy), 100_000, rng=6)
    two = (path.states[:-1] == 2).sum(axis=1)
    law = np.bincount(exact.counts[:, 0, 2], exact.count_occupancy, minlength=6)
    batches = np.stack([np.bincount(b, minlength=6) / len(b) for b in np.array_split(two, 50)])
    stderr = batches.std(axis=0, ddof=1) / np.sqrt(50)
    assert (np.abs(batches.mean(axis=0) - law) < 4.5 * stderr).all()


def test_totals_agree_with_the_path():
    arms = random_arms(30, 3, 7)
    path = arm_path(arms, 200, rng=3)
    totals = arm_totals(arms, 200, rng=3, flows=True)
    pairs = 2 * path.states[:-1] + path.actions
    assert (np.stack([np.bincount(p, minlength=6) for p in pairs.T]).reshape(30, 3, 2) == totals.visits).all()
    flows = np.zeros((30, 6, 6), dtype=int)
    for before, after in pairwise(pairs):
        flows[np.arange(30), before, after] += 1
    assert (flows == totals.flows).all() and np.allclose(path.rewards.sum(axis=1), totals.rewards)
    assert (totals.states == path.states[-1]).all()
    assert json.dumps(totals.to_dict(), allow_nan=False)


def test_same_seed_same_bytes_for_any_number_of_workers():
    arms = random_arms(60_000, 2, 9000)
    one, three = (arm_totals(arms, 4, rng=5, workers=k) for k in (1, 3))
    assert one.states.tobytes() == three.states.tobytes() and one.visits.tobytes() == three.visits.tobytes()
    assert one.rewards.tobytes() == three.rewards.tobytes()
    assert (arm_totals(arms, 4, rng=6).states != one.states).any()


def test_refusals(monkeypatch):
    good = np.full((3, 2, 2, 2), 0.5)
    with pytest.raises(InvalidInput, match="sum to 1"):
        Arms(good * 1.1, np.zeros((3, 2)), np.zeros((3, 2)), budget=1)
    with pytest.raises(InvalidInput, match="S, S"):
        Arms(np.full((3, 2, 2, 4), 0.25), np.zeros((3, 2)), np.zeros((3, 2)), budget=1)
    with pytest.raises(InvalidInput, match="rewards"):
        Arms(good, np.zeros((2, 2)), np.zeros((3, 2)), budget=1)
    with pytest.raises(InvalidInput, match="priority"):
        Arms(good, np.zeros((3, 2)), np.full((3, 2), np.nan), budget=1)
    for budget in (4, -1, 1.5):
        with pytest.raises(InvalidInput, match="budget"):
            Arms(good, np.zeros((3, 2)), np.zeros((3, 2)), budget=budget)
    arms = random_arms(3, 2, 1)
    with pytest.raises(InvalidInput, match="start"):
        arm_path(arms, 3, rng=0, start=[0, 1])
    with pytest.raises(InvalidInput, match=r"0\.\.1"):
        arm_path(arms, 3, rng=0, start=[0, 1, 2])
    with pytest.raises(InvalidInput, match="integer state"):
        arm_path(arms, 3, rng=0, start=[0.0, 1.0, 1.0])
    with pytest.raises(InvalidInput, match="steps"):
        arm_totals(arms, 0, rng=0)
    with pytest.raises(TooLarge, match="arm_totals"):
        arm_path(arms, 10**9, rng=0)
    with pytest.raises(TooLarge, match=r"2\^31"):
        arm_totals(arms, 2**31, rng=0)
    monkeypatch.setattr(tol, "BYTES", 1000)
    with pytest.raises(TooLarge, match="flows=False"):
        arm_totals(random_arms(40, 2, 1), 5, rng=0, flows=True)


def test_what_is_not_an_index_policy_on_a_budget():
    kernels = np.full((2, 2, 2, 2), 0.5)
    free = WeaklyCoupledMDP(kernels, [[0, 1], [0, 1]], discount=0.5)
    with pytest.raises(Unsupported, match="budget"):
        Arms.of(free, IndexPolicy([0, 1]))
    tied = WeaklyCoupledMDP(kernels, [[0, 1], [0, 1]], discount=0.5, budget=1)
    with pytest.raises(Unsupported, match="UniformPolicy"):
        Arms.of(tied, UniformPolicy())
    with pytest.raises(InvalidInput, match="agent 0"):
        Arms.of(tied, IndexPolicy([0, 1, 2]))
    shared = WeaklyCoupledMDP(kernels, np.zeros((4, 4)), discount=0.5, budget=1)
    with pytest.raises(Unsupported, match="shared reward"):
        Arms.of(shared, IndexPolicy([0, 1]))
    capped = WeaklyCoupledMDP(
        kernels, [[0, 1], [0, 1]], discount=0.5, budget=1, resources=[([0, 1], 1, "<=")]
    )
    with pytest.raises(Unsupported, match=r"no resources, or use me\.simulate"):
        Arms.of(capped, IndexPolicy([0, 1]))
    assert (simulate(capped, IndexPolicy([0, 1]), 9, rng=0).actions.sum(axis=1) == 1).all()


@pytest.mark.parametrize("run", [arm_path, arm_totals])
@pytest.mark.parametrize(
    "what", [3, None, RestlessBandit(np.full((2, 2, 2), 0.5), [0, 1], n_arms=3, budget=1, discount=0.5)]
)
def test_what_is_not_built_as_arms_is_told_how(run, what):
    with pytest.raises(Unsupported, match=r"arms: got a .*me\.Arms\.of\(system, policy\)"):
        run(what, 3, rng=0)
    if what is not None and what != 3:
        assert run(Arms.of(what, IndexPolicy([0, 1])), 3, rng=0) is not None  # as it says
