"""Which arms split into closed classes, and where service ignores the states, against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import markov_entanglement as me
from markov_entanglement.bandits.count_chain import count_chain
from markov_entanglement.bandits.count_space import activation, enumerate_counts, ranks_of
from markov_entanglement.bandits.structure import ignores_states, require_one_class, usable_actions
from markov_entanglement.errors import SeveralRecurrentClasses

STUCK = np.stack([np.eye(3)] * 2)
MIXING = np.full((2, 3, 3), 1 / 3)


def bandit(kernels, n_arms, budget):
    kernels = np.asarray(kernels, dtype=float)
    rewards = np.zeros((*kernels.shape[:-3], kernels.shape[-1], 2))
    return me.RestlessBandit(kernels, rewards, n_arms=n_arms, budget=budget, discount=0.9)


@pytest.mark.parametrize("n", [5, 500])
@pytest.mark.parametrize(
    "ask",
    [
        lambda chain: me.entanglement(chain, "policy"),
        lambda chain: me.entanglement(chain, "policy", method="simulate"),
        lambda chain: me.entanglement(chain, "atv", support="reachable"),
        lambda chain: me.value_decomposition(chain),
        lambda chain: me.analyze(chain, rng=0),
        lambda chain: me.estimate_error(chain.bandit, chain.policy, rng=0),
    ],
    ids=["policy", "simulated", "atv", "values", "analyze", "error"],
)
def test_small_and_large_bandits_refuse_alike(ask, n):
    chain = bandit(STUCK, n, 1).under(me.IndexPolicy([0, 1, 2]))
    with pytest.raises(SeveralRecurrentClasses, match=r"3 sets .* arm of type 0 .* \{0\}, \{1\}, \{2\}"):
        ask(chain)


def test_types_are_named_and_types_without_arms_skipped():
    policy = me.IndexPolicy([0, 1, 2])
    with pytest.raises(SeveralRecurrentClasses, match="arm of type 1"):
        require_one_class(bandit([MIXING, STUCK], [3, 3], 2), policy)
    require_one_class(bandit([MIXING, STUCK], [3, 0], 2), policy)


def test_transient_states_are_no_class_and_actions_join():
    leak = np.array([[0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5]])
    require_one_class(bandit([leak, leak], 9, 3), me.IndexPolicy([0, 1, 2]))
    joined = np.array([[0, 1, 0], [1, 0, 0], [1.0, 0, 0]])
    require_one_class(bandit([np.eye(3), joined], 9, 3), me.UniformPolicy())


def test_only_actions_that_the_policy_can_use_join():
    """Nobody served, or everybody: the other action's moves do not count."""
    swap = np.array([[0.5, 0.5], [1, 0]])
    for budget, kernels in ((0, [np.eye(2), swap]), (6, [swap, np.eye(2)])):
        with pytest.raises(SeveralRecurrentClasses):
            require_one_class(bandit(kernels, 6, budget), me.UniformPolicy())
        require_one_class(bandit(kernels[::-1], 6, budget), me.UniformPolicy())  # negative control
        require_one_class(bandit(kernels, 6, 3), me.UniformPolicy())
    # Type 0 is always served first and uses the budget up, so type 1 never moves.
    pair = [[swap, swap], [np.eye(2), swap]]
    with pytest.raises(SeveralRecurrentClasses, match="type 1"):
        require_one_class(bandit(pair, [4, 4], 4), me.IndexPolicy([[1, 1], [0, 0]]))
    require_one_class(bandit(pair, [4, 4], 5), me.IndexPolicy([[1, 1], [0, 0]]))


def test_long_lists_are_cut():
    with pytest.raises(SeveralRecurrentClasses, match=r"9 sets.*\{3\}, \.\.\."):
        require_one_class(bandit(np.stack([np.eye(9)] * 2), 4, 1), me.UniformPolicy())


@st.composite
def questions(draw):
    types, states = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    arms = draw(st.lists(st.integers(0, 3), min_size=types, max_size=types).filter(any))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    # few edges each, so that closed classes are common
    kernels = np.eye(states)[rng.integers(states, size=(types, 2, states))]
    mixed = rng.random(size=(types, 2, states)) < 0.3
    kernels = np.where(mixed[..., None], 0.5 * (kernels + np.roll(kernels, 1, axis=-1)), kernels)
    policy = me.IndexPolicy(rng.integers(0, 3, size=(types, states)))
    return bandit(kernels, arms, draw(st.integers(0, sum(arms)))), policy


@given(questions())
def test_a_refusal_is_right(question):
    """Refused here: the exact count chain has several classes too. Usable actions include all that occur."""
    b, policy = question
    ranks = ranks_of(b, policy)
    counts = enumerate_counts([int(n) for n in b.n_arms], b.n_states)
    share = activation(counts, ranks, b.budget)
    usable = usable_actions(b, policy).reshape(-1, 2)
    for x in range(counts.shape[1]):
        here = counts[:, x] > 0
        assert usable[x, 0] or not (share[here, x] < 1).any()
        assert usable[x, 1] or not (share[here, x] > 0).any()
    try:
        require_one_class(b, policy)
    except SeveralRecurrentClasses:
        with pytest.raises(SeveralRecurrentClasses):
            count_chain(b, policy).count_occupancy  # noqa: B018
    if ignores_states(b, ranks):
        for t, s in itertools.product(np.flatnonzero(b.n_arms), range(b.n_states)):
            x = t * b.n_states + s
            here = share[counts[:, x] > 0][:, t * b.n_states : (t + 1) * b.n_states]
            assert np.ptp(share[counts[:, x] > 0, x]) < 1e-12 and here.size


def test_the_check_finds_what_it_should():
    """Negative control of the test above: the chain of stuck arms is refused by both, the mixing one by neither."""
    policy = me.IndexPolicy([0, 1, 2])
    for kernels, several in ((STUCK, True), (MIXING, False)):
        b = bandit(kernels, 3, 1)
        for ask in (
            lambda b: require_one_class(b, policy),
            lambda b: count_chain(b, policy).count_occupancy,
        ):
            if several:
                with pytest.raises(SeveralRecurrentClasses):
                    ask(b)
            else:
                ask(b)


@pytest.mark.parametrize(
    "policy, budget, ignores",
    [
        (me.UniformPolicy(), 3, True),
        (me.IndexPolicy([4, 4, 4]), 3, True),
        (me.IndexPolicy([0, 1, 2]), 3, False),
        (me.IndexPolicy([0, 1, 2]), 0, True),
        (me.IndexPolicy([0, 1, 2]), 6, True),
        (me.IndexPolicy([0, 0, 1]), 3, False),
    ],
)
def test_where_service_ignores_the_states(policy, budget, ignores):
    chain = bandit(np.random.default_rng(3).dirichlet(np.ones(3), size=(2, 3)), 6, budget).under(policy)
    assert chain.ignores_states == ignores
    assert (me.entanglement(chain, "atv", support="reachable").worst < 1e-12) == ignores


def test_the_checker_names_arms_that_split() -> None:
    """A bandit too large to enumerate: `check_system` fails the line instead of passing a simulated path."""
    stuck = np.stack([np.eye(3)] * 2)
    bandit = me.RestlessBandit(stuck, [0, 1, 2.0], n_arms=500, budget=1, discount=0.9)
    found = me.check_system(bandit, me.IndexPolicy([0, 1, 2]))
    assert not found.ok and "an arm of type 0 never leaves" in found.summary()
    with pytest.raises(SeveralRecurrentClasses):
        me.estimate_entanglement(bandit, me.IndexPolicy([0, 1, 2]), rng=0)
    mixing = me.RestlessBandit(np.full((2, 3, 3), 1 / 3), [0, 1, 2.0], n_arms=500, budget=1, discount=0.9)
    assert me.check_system(mixing, me.IndexPolicy([0, 1, 2])).ok
