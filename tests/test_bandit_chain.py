"""Which arms split into closed classes, and where service ignores the states, against enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

import markov_entanglement as me
from markov_entanglement.bandits.count_chain import count_chain
from markov_entanglement.bandits.count_space import activation, enumerate_counts, ranks_of
from markov_entanglement.bandits.structure import (
    ignores_states,
    off_beat,
    require_one_class,
    usable_actions,
)
from markov_entanglement.errors import InvalidInput, SeveralRecurrentClasses

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


def test_labels_stand_in_messages_and_in_local_pairs():
    labels = {"names": ["new", "old"], "states": ["low", "mid", "top"], "actions": ["wait", "call"]}
    given = {"n_arms": [3, 3], "budget": 2, "discount": 0.5, "labels": labels}
    stuck = me.RestlessBandit([MIXING, STUCK], [0.0, 1.0, 2.0], **given)
    with pytest.raises(
        SeveralRecurrentClasses, match=r"arm of type old never leaves: \{low\}, \{mid\}, \{top\}"
    ):
        require_one_class(stuck, me.IndexPolicy([0, 1, 2]))
    fine = me.RestlessBandit([MIXING, MIXING], [0.0, 1.0, 2.0], **given)
    chain = fine.under(me.IndexPolicy([0, 1, 2])).exact
    assert chain.pair_names(0) == [f"{s}, {a}" for s in ("low", "mid", "top") for a in ("wait", "call")]
    assert [u.name for u in chain.units] == ["new: 3 arms", "old: 3 arms"]
    with pytest.raises(InvalidInput, match="2 entries for arm type old"):
        fine.under(me.IndexPolicy([[0, 1, 2], [0, 1]]))


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


# --- arms with a clock ------------------------------------------------------------------------------------------


def with_clock(local, hours):
    """Local kernels (2, s, s) with an hour beside the state: `hour * s + state`, one hour a step."""
    return np.stack([np.kron(np.roll(np.eye(hours), 1, axis=1), k) for k in local])


SHIFT = np.array([[[0.9, 0.1], [0.3, 0.7]], [[0.4, 0.6], [0.1, 0.9]]])
SHIFT_ORDER = me.IndexPolicy([1, 0] * 3)


def shifts(n):
    return me.RestlessBandit(with_clock(SHIFT, 3), [0, 1] * 3, n_arms=n, budget=n // 3, discount=0.9)


@pytest.mark.parametrize("n", [6, 60, 300])
@pytest.mark.parametrize(
    "ask", [lambda b: me.analyze(b, SHIFT_ORDER), lambda b: me.estimate_error(b, SHIFT_ORDER, rng=0),
            lambda b: me.estimate_entanglement(b, SHIFT_ORDER, rng=0), lambda b: me.paper_error(b, SHIFT_ORDER, rng=0)],
)  # fmt: skip
def test_arms_that_share_a_clock_are_refused(ask, n):
    with pytest.raises(
        SeveralRecurrentClasses, match=r"type 0 .* period 3; .* me\.estimate_error\(.*start=counts"
    ):
        ask(shifts(n))


@pytest.mark.parametrize(
    "hours, arms, refused",
    [((3,), [1], None), ((2, 3), [1, 1], None), ((2, 3), [1, 2], r"type 1 .* period 3"), ((4, 6), [1, 0], None),
     ((4, 6), [1, 1], r"types 0 and 1 .* period 2"), ((1, 6), [5, 1], None), ((6, 3), [1, 1], "period 3")],
)  # fmt: skip
def test_only_common_divisors_of_periods_split(hours, arms, refused):
    """Small ones also by the exact chain; types are padded with states that lead into the clock."""
    size = 2 * max(hours)
    kernels = np.zeros((len(hours), 2, size, size))
    for t, h in enumerate(hours):
        kernels[t, :, :, 0] = 1.0
        kernels[t, :, : 2 * h] = 0.0
        kernels[t, :, : 2 * h, : 2 * h] = with_clock(SHIFT, h)
    b, policy = bandit(kernels, arms, 1), me.IndexPolicy([np.arange(size)] * len(hours))
    if refused:
        with pytest.raises(SeveralRecurrentClasses, match=refused):
            require_one_class(b, policy)
    else:
        require_one_class(b, policy)
    if sum(arms) <= 2:
        if refused:
            with pytest.raises(SeveralRecurrentClasses):
                count_chain(b, policy).count_occupancy  # noqa: B018
        else:
            assert count_chain(b, policy).count_occupancy.sum() == pytest.approx(1)


def test_a_start_answers_where_clocks_differ():
    """The remedy: six arms, two per hour. Brute force over their 64 joint states: hours go round, so they drop out."""
    states = list(itertools.product((0, 1), repeat=6))
    chance = np.zeros((64, 6))  # of service, lower state first, ties uniform
    for k, s in enumerate(states):
        low = s.count(0)
        chance[k] = [min(2, low) / max(low, 1) if x == 0 else max(2 - low, 0) / max(6 - low, 1) for x in s]
    move = np.zeros((64, 64))
    for k, s in enumerate(states):
        sets = [
            c for c in itertools.combinations(range(6), 2) if sum(s[i] for i in c) == max(2 - s.count(0), 0)
        ]
        for c in sets:
            laws = [SHIFT[int(i in c), s[i]] for i in range(6)]
            move[k] += [np.prod([laws[i][t[i]] for i in range(6)]) / len(sets) for t in states]
    assert np.allclose(move.sum(axis=1), 1)
    mu = np.linalg.lstsq(np.vstack([move.T - np.eye(64), np.ones(64)]), np.r_[np.zeros(64), 1], rcond=None)[0]
    exact = 0.0
    for x in (0, 1):  # every hour alike
        at = [(mu[k] / 6, chance[k, i]) for k, s in enumerate(states) for i in range(6) if s[i] == x]
        w, p = np.array(at).T
        order = np.argsort(p)
        q = p[order][np.searchsorted(np.cumsum(w[order]), w.sum() / 2)]
        exact += w @ np.abs(p - q)
    e = me.estimate_entanglement(shifts(6), SHIFT_ORDER, rng=1, start=[1, 1] * 3, steps=6000)
    assert e.reliable and e.interval[0, 0] < exact < e.interval[0, 1] and np.ptp(e.interval) < 0.05 * exact
    found = me.estimate_error(shifts(6), SHIFT_ORDER, rng=0, start=[1, 1] * 3, starts=400, training=20_000)
    assert found.reliable and 0 < found.error_mu < found.error_mu_interval[1] < np.inf


def test_strides_meet_every_phase():
    b = me.RestlessBandit(with_clock(SHIFT, 5), [0, 1] * 5, n_arms=4, budget=1, discount=0.5)
    policy = me.IndexPolicy([1, 0] * 5)
    assert [off_beat(b, policy, k) for k in (24, 25, 26, 30)] == [24, 26, 26, 31]
    rest = bandit(MIXING, 4, 1)
    assert off_beat(rest, me.IndexPolicy([0, 1, 2]), 25) == 25
    # All arms in one phase, a reward in one phase only: one phase alone has Q without spread between phases.
    pay = np.zeros(10)
    pay[:2] = 1.0
    b = me.RestlessBandit(with_clock(SHIFT, 5), pay, n_arms=4, budget=1, discount=0.5)
    e = me.estimate_error(
        b, policy, rng=0, start=[4] + [0] * 9, starts=200, training=2000, local_q=np.zeros((10, 2))
    )
    value = 4 * 0.5 ** np.arange(5) / (1 - 0.5**5)  # Q, the phase k steps before the reward; D = 0
    assert e.error_l2_interval[0] < value.std() < e.error_l2_interval[1]


# --- named arms -----------------------------------------------------------------------------------------------------


def closed_classes(kernels, arms, budget, priority):
    """Closed classes of the joint chain of named arms, and of their counts, by loops over all joint moves."""
    types = np.repeat(np.arange(len(arms)), arms)
    n, size = len(types), kernels.shape[-1]
    states = list(itertools.product(range(size), repeat=n))
    where = {s: k for k, s in enumerate(states)}
    graph = np.zeros((len(states),) * 2, dtype=bool)
    for s in states:
        value = [priority[types[i]][s[i]] for i in range(n)]
        for c in itertools.combinations(range(n), budget):
            rest = [i for i in range(n) if i not in c]
            if c and rest and min(value[i] for i in c) < max(value[i] for i in rest):
                continue
            for t in itertools.product(
                *[np.flatnonzero(kernels[types[i], int(i in c), s[i]]) for i in range(n)]
            ):
                graph[where[s], where[t]] = True
    count, label = connected_components(graph, directed=True, connection="strong")
    open_ = set(label[(graph & (label[:, None] != label)).any(axis=1)])
    kept = [np.flatnonzero(label == k) for k in range(count) if k not in open_]

    def counts(s):
        return tuple(tuple(np.bincount(np.array(s)[types == t], minlength=size)) for t in range(len(arms)))

    return len(kept), len({frozenset(counts(states[k]) for k in members) for members in kept})


def test_random_sparse_arms_against_named_ones():
    """Never refused but rightly, and the exact chain sees what counts show."""
    seen = set()
    for seed in range(80):
        rng = np.random.default_rng(seed)
        types, size = int(rng.integers(1, 3)), int(rng.integers(2, 4))
        arms = rng.integers(1, 3, types) if types > 1 else rng.integers(1, 4, 1)
        kernels = rng.exponential(size=(types, 2, size, size)) * (rng.random((types, 2, size, size)) < 0.4)
        empty = kernels.sum(axis=-1) == 0
        kernels[empty, rng.integers(size, size=empty.sum())] = 1
        kernels /= kernels.sum(axis=-1, keepdims=True)
        priority, budget = rng.integers(0, 3, (types, size)), int(rng.integers(0, arms.sum() + 1))
        b, policy = bandit(kernels, arms, budget), me.IndexPolicy(list(priority.astype(float)))
        named, counted = closed_classes(kernels, arms, budget, priority)
        try:
            require_one_class(b, policy)
        except SeveralRecurrentClasses:
            assert counted > 1, seed
        try:
            count_chain(b, policy).count_occupancy  # noqa: B018
            assert counted == 1, seed
        except SeveralRecurrentClasses:
            assert counted > 1, seed
        seen.add((named > 1, counted > 1))
    assert seen == {(False, False), (True, False), (True, True)}
