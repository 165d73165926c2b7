"""Whittle indices against closed forms, brute force and arms without an index."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import markov_entanglement as me
from markov_entanglement.bandits.whittle import _indices, myopic_priority, whittle_index
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.model.bandit import RestlessBandit
from markov_entanglement.model.policy import IndexPolicy

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
CIRCULANT = np.array([P0, P0.T])
CIRCULANT_R = [-1, 0, 0, 1]


def advantage(kernel, r, gamma, subsidy):
    """`alpha_s(subsidy)` by policy iteration (gamma < 1) on one arm; shares nothing with the source."""
    n = kernel.shape[-1]
    pay = np.stack([r[:, 0] + subsidy, r[:, 1]], axis=1)
    act = np.zeros(n, dtype=int)
    for _ in range(200):
        p = kernel[act, np.arange(n)]
        v = np.linalg.solve(np.eye(n) - gamma * p, pay[np.arange(n), act])
        q = pay + gamma * np.stack([kernel[0] @ v, kernel[1] @ v], axis=1)
        gain = q[np.arange(n), 1 - act] - q[np.arange(n), act]
        if gain.max() <= 1e-12:
            return q[:, 1] - q[:, 0]
        act = np.where(gain > 1e-12, 1 - act, act)
    raise AssertionError("policy iteration did not stop")


def bisect(kernel, r, gamma):
    """Index by bisection on the subsidy, one state at a time (valid for indexable arms)."""
    bound = 4 * (np.abs(r).max() + 1) / (1 - gamma)
    out = np.empty(kernel.shape[-1])
    for s in range(len(out)):
        lo, hi = -bound, bound
        for _ in range(70):
            mid = (lo + hi) / 2
            lo, hi = (mid, hi) if advantage(kernel, r, gamma, mid)[s] > 0 else (lo, mid)
        out[s] = (lo + hi) / 2
    return out


def monotone(kernel, r, gamma, grid):
    """Whether the passive set only grows along the grid."""
    passive = np.array([advantage(kernel, r, gamma, x) <= 0 for x in grid])
    return bool((passive[1:] >= passive[:-1]).all())


def non_indexable_arm():
    p0 = np.array([[0, 0.4156, 0.3942], [0.5676, 0, 0.0133], [0.0191, 0.1097, 0]])
    p1 = np.array([[0, 0.0903, 0.1301], [0.1903, 0, 0.6234], [0.2901, 0.3901, 0]])
    k = np.array([p + np.diag(1 - p.sum(axis=1)) for p in (p0, p1)])
    return k, np.array([[0.458, 0.9631], [0.5308, 0.7963], [0.6873, 0.1057]])


@pytest.mark.parametrize("gamma", [0.3, 0.5, 0.9, 0.99, 0.9999])
def test_circulant_closed_form(gamma):
    w = whittle_index(CIRCULANT, CIRCULANT_R, discount=gamma)
    top = gamma / (1 + (1 - gamma) ** 2)
    assert w.indexable == (True,)
    np.testing.assert_allclose(w.index, [-gamma / 2, gamma / 2, top, -top], atol=1e-12 / (1 - gamma))


def test_circulant_average():
    w = whittle_index(CIRCULANT, CIRCULANT_R, criterion="average")
    np.testing.assert_allclose(w.index, [-0.5, 0.5, 1, -1], atol=1e-12)


def test_restart_average():
    p0 = np.zeros((5, 5))
    p0[:, 0] = 0.1
    for s in range(5):
        p0[s, min(s + 1, 4)] += 0.9
    p1 = np.zeros((5, 5))
    p1[:, 0] = 1
    r = np.stack([0.9 ** np.arange(1, 6), np.zeros(5)], axis=1)
    w = whittle_index([p0, p1], r, criterion="average")
    np.testing.assert_allclose(w.index, [-0.9, -0.729, -0.50949, -0.258788, 0.009892], atol=2e-6)


@pytest.mark.parametrize(("p", "g", "tau"), [(0.3, 0.05, 0.1), (0.05, 0.1, 0.4), (0.02, 0.3, 0.15)])
def test_health_closed_form(p, g, tau):
    gamma = 0.95
    stay = [g, 1 - g]
    w = whittle_index([[[1 - p, p], stay], [[1 - p - tau, p + tau], stay]], [0, 1], discount=gamma)
    np.testing.assert_allclose(w.index, [gamma * tau / (1 - gamma * (1 - p - g)), 0], atol=1e-12)


def armman(a0, a1, last):
    """Rows S and L are the same for both actions; the reward is that of the next state."""
    k = np.array([[last, row, [0, 0.4, 0.6]] for row in (a0, a1)])
    return k, np.einsum("ast,t->sa", k, [1, 0.5, 0])


def test_armman_batch():
    a, ra = armman([0, 0.2, 0.8], [0.8, 0.2, 0], [0.1, 0.9, 0])
    b, rb = armman([0, 0.6, 0.4], [0.4, 0.6, 0], [0.9, 0.1, 0])
    c, rc = armman([0, 0.9, 0.1], [0.1, 0.9, 0], [0.1, 0.9, 0])
    w = whittle_index([a, b, c], [ra, rb, rc], discount=0.9)
    np.testing.assert_allclose(w.index[:, 1], [1.04675, 1.758665, 0.154845], atol=1e-6)
    np.testing.assert_allclose(w.index[:, [0, 2]], 0, atol=1e-12)
    w = whittle_index([a, b, c], [ra, rb, rc], criterion="average")
    np.testing.assert_allclose(w.index[:, 1], [29 / 27, 13 / 4, 1 / 6], atol=1e-12)


@pytest.mark.parametrize(("p", "cost", "want"), [(0.5, 1, [1, 2.5, 4.5, 7, 10]), (0.8, 2, [2, 5.6, 10.8])])
def test_age_of_information(p, cost, want):
    size = 60
    p0 = np.eye(size, k=1)
    p0[-1, -1] = 1
    p1 = (1 - p) * p0
    p1[:, 0] += p
    w = whittle_index([p0, p1], -cost * np.arange(1, size + 1), criterion="average")
    np.testing.assert_allclose(w.index[: len(want)], want, atol=1e-6)


def test_deadline():
    gamma, deadline, load = 0.99, 12, 9
    states = [(0, 0)] + [(t, b) for t in range(1, deadline + 1) for b in range(load + 1)]
    where = {x: i for i, x in enumerate(states)}
    fresh = np.zeros(len(states))
    fresh[0] = 0.3
    for t in range(1, deadline + 1):
        for b in range(1, load + 1):
            fresh[where[t, b]] = 0.7 / (deadline * load)
    k, r = np.zeros((2, len(states), len(states))), np.zeros((len(states), 2))
    for (t, b), i in where.items():
        for a in (0, 1):
            left = max(b - a, 0)
            r[i, a] = 0.5 * (a == 1 and b > 0) - (0.2 * left**2 if t == 1 else 0)
            if t <= 1:
                k[a, i] = fresh
            else:
                k[a, i, where[t - 1, left]] = 1
    w = whittle_index(k, r, discount=gamma)
    assert w.indexable == (True,)
    for (t, b), i in where.items():
        tail = 0.2 * max(b - t + 1, 0) ** 2 - 0.2 * max(b - t, 0) ** 2
        want = 0.0 if b == 0 else 0.5 if b <= t - 1 else gamma ** (t - 1) * tail + 0.5
        assert w.index[i] == pytest.approx(want, abs=1e-9), (t, b)


def gast(example):
    p0, p1, r1 = {
        1: ([[0.5214073, 0.40392496, 0.07466774], [0.0158415, 0.21455666, 0.76960184],
             [0.53722329, 0.37651148, 0.08626522]],
            [[0.24639364, 0.23402385, 0.51958251], [0.49681581, 0.49509821, 0.00808597],
             [0.37826553, 0.15469252, 0.46704195]], [0.72232506, 0.18844869, 0.25752477]),
        2: ([[0.02232142, 0.10229283, 0.87538575], [0.03426605, 0.17175704, 0.79397691],
             [0.52324756, 0.45523298, 0.02151947]],
            [[0.14874601, 0.30435809, 0.54689589], [0.56845754, 0.41117331, 0.02036915],
             [0.2526557, 0.27310439, 0.4742399]], [0.37401552, 0.11740814, 0.07866135]),
        3: ([[0.47819592, 0.02090623, 0.50089785], [0.08063373, 0.15456935, 0.76479692],
             [0.66552514, 0.08481946, 0.2496554]],
            [[0.00279465, 0.37327924, 0.62392611], [0.51582335, 0.46333908, 0.02083756],
             [0.41875202, 0.17776712, 0.40348086]], [0.97658608, 0.53014109, 0.40394919]),
    }[example]  # fmt: skip
    k = np.array([p0, p1])
    return k / k.sum(axis=-1, keepdims=True), np.stack([np.zeros(3), r1], axis=1)


def test_gast_average():
    k, r = zip(*[gast(e) for e in (1, 2, 3)], strict=True)
    w = whittle_index(np.array(k), np.array(r), criterion="average")
    want = [[0.722325, 0.308282, 0.199544], [0.374016, 0.181994, -0.021156], [0.976586, 0.581752, 0.318045]]
    np.testing.assert_allclose(w.index, want, atol=2e-6)


def test_indexability_is_not_enough():
    k = np.zeros((2, 5, 5))
    k[:, 4] = [0.005, 0, 0.005, 0, 0.99]
    k[:, 3, 4] = 1
    for start, engaged in ((0, 1), (2, 3)):
        k[0, start, [engaged, 4]] = [0.01, 0.99]
        k[1, start, engaged] = 1
    k[0, 1, 4] = 1
    k[1, 1, [1, 4]] = [0.99, 0.01]
    w = whittle_index(k, [0, 0.99, 0, 1, 0], discount=0.99)
    assert w.indexable == (True,)
    np.testing.assert_allclose(w.index, [0.970157, 0.970157, 0.980005, 0, 0], atol=1e-6)
    assert w.index[0] == w.index[1], "equal indices are one class to the last bit"


def test_non_indexable_arm_says_so():
    k, r = non_indexable_arm()
    assert whittle_index(k, r, discount=0.5).indexable == (True,)
    w = whittle_index(k, r, discount=0.9)
    assert w.verdict == ("non-indexable",) and np.isnan(w.index).all()
    assert "me.lp_priority" in w.sentence
    state, subsidy = w.violation[0]
    assert advantage(k, r, 0.9, subsidy - 1e-6)[state] < 0 < advantage(k, r, 0.9, subsidy + 1e-6)[state]
    assert w.to_dict()["index"] == [None] * 3
    with pytest.raises(InvalidInput, match="finite"):
        IndexPolicy(w.index)


def test_one_arm_without_an_index_among_many_is_named():
    """Numbers and names; the way on that the message names works."""
    k, r = non_indexable_arm()
    rng = np.random.default_rng(0)
    kernels, rewards = rng.dirichlet(np.ones(3), (40, 2, 3)), rng.random((40, 3, 2))
    kernels[[17, 23]], rewards[[17, 23]] = k, r
    names = [f"patient {t}" for t in range(40)]
    labels = {"names": names, "states": ["bad", "fair", "good"]}
    bandit = RestlessBandit(kernels, rewards, n_arms=[1] * 40, budget=5, discount=0.9, labels=labels)
    found = whittle_index(bandit)
    bad = [t for t, ok in enumerate(found.indexable) if not ok]
    assert {17, 23} <= set(bad)
    for t in bad[:5]:
        assert f"patient {t}" in found.sentence
    state = ("bad", "fair", "good")[found.violation[bad[0]][0]]
    assert f"arm type patient {bad[0]} is passive in state {state} at" in found.sentence
    with pytest.raises(InvalidInput, match=r"patient 17.*me.lp_priority"):
        IndexPolicy(found)
    with pytest.raises(InvalidInput, match=r"entries must be finite.*me.lp_priority"):
        IndexPolicy(found.index)
    with pytest.raises(Unsupported, match=r"patient 17.*the word 'lp'"):
        bandit.under("whittle")
    assert bandit.under(IndexPolicy(me.lp_priority(bandit))).n_agents == 40
    assert f"arm type {bad[0]} is passive in state" in whittle_index(kernels, rewards, discount=0.9).sentence


def test_agents_of_a_weakly_coupled_system_are_arms():
    rng = np.random.default_rng(1)
    kernels, rewards = rng.dirichlet(np.ones(3), (4, 2, 3)), rng.random((4, 3, 2))
    for more in ({}, {"budget": 2}, {"resources": [([0, 1], 2, "<=")]}):
        system = me.WeaklyCoupledMDP(list(kernels), list(rewards), discount=0.8, **more)
        alone = [whittle_index(k, r, discount=0.8).index for k, r in zip(kernels, rewards, strict=True)]
        np.testing.assert_allclose(whittle_index(system).index, alone, rtol=1e-12)
        np.testing.assert_array_equal(myopic_priority(system), rewards[..., 1] - rewards[..., 0])
        if "budget" in more:
            bandit = RestlessBandit(kernels, rewards, n_arms=[1] * 4, budget=2, discount=0.8)
            np.testing.assert_array_equal(me.lp_priority(system).index, me.lp_priority(bandit).index)
        else:
            with pytest.raises(Unsupported, match=r"the budget is a row .* needs a budget"):
                me.lp_priority(system)


def test_systems_whose_agents_are_no_arms_are_told_what_they_lack():
    arm, wide = np.full((2, 2, 2), 0.5), np.full((2, 3, 3), 1 / 3)
    two = [[0, 1], [0, 1, 2]]
    ragged = me.WeaklyCoupledMDP([arm, wide], two, discount=0.9, budget=1)
    levels = me.WeaklyCoupledMDP([np.full((3, 2, 2), 0.5)] * 2, [[0, 1]] * 2, discount=0.9)
    with pytest.raises(Unsupported, match=r"two actions each. Ask for one agent: me.whittle_index"):
        myopic_priority(levels)
    assert whittle_index(arm, [0, 1], discount=0.9).index.shape == (2,)  # as it says
    with pytest.raises(Unsupported, match=r"a JointChain.*me.WeaklyCoupledMDP"):
        whittle_index(me.JointChain(np.full((4, 4), 0.25), (2, 2)))
    with pytest.raises(InvalidInput, match="own"):
        whittle_index(ragged, [0, 1])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.sampled_from([0.5, 0.9, 0.97]), st.booleans())
def test_brute_force(seed, n, gamma, sparse):
    rng = np.random.default_rng(seed)
    k = rng.dirichlet(np.full(n, 0.05 if sparse else 1.0), (2, n))
    r = rng.random((n, 2))
    w = whittle_index(k, r, discount=gamma)
    if w.indexable[0]:
        np.testing.assert_allclose(w.index, bisect(k, r, gamma), atol=1e-7)
        around = np.sort(np.concatenate([w.index - 1e-5, w.index + 1e-5, np.linspace(-3, 3, 31)]))
        assert monotone(k, r, gamma, around)
    else:
        state, subsidy = w.violation[0]
        near = [advantage(k, r, gamma, subsidy + e)[state] for e in (-1e-7, 1e-7)]
        assert near[0] < near[1] and abs(near[0]) < 1e-4


def test_non_indexable_share_agrees_with_a_grid():
    rng = np.random.default_rng(5)
    k = rng.dirichlet(np.full(3, 0.3), (300, 2, 3))
    r = rng.random((300, 3, 2))
    w = whittle_index(k, r, discount=0.95)
    assert 0 < 300 - sum(w.indexable) < 60
    for t in range(300):
        if not monotone(k[t], r[t], 0.95, np.linspace(-8, 8, 161)):
            assert not w.indexable[t]


def test_average_is_the_limit_of_discounted():
    rng = np.random.default_rng(3)
    k, r = rng.dirichlet(np.ones(4), (50, 2, 4)), rng.random((50, 4, 2))
    average = whittle_index(k, r, criterion="average")
    near = whittle_index(k, r, discount=1 - 1e-7)
    assert average.verdict == near.verdict
    np.testing.assert_allclose(average.index, near.index, atol=1e-5)


def test_ties_form_one_class():
    same = np.full((2, 3, 3), 1 / 3)
    w = whittle_index(same, [[0, 1], [0, 1], [0, 2]], discount=0.9)
    assert w.index.tolist() == [1.0, 1.0, 2.0]
    twin = np.array([[[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], [[0.2, 0.2, 0.6]] * 3])
    w = whittle_index(twin, [[0.3, 0.4], [0.3, 0.4], [0.1, 0.7]], discount=0.9)
    assert w.index[0] == w.index[1] != w.index[2]
    zero = whittle_index(CIRCULANT, [5, 5, 5, 5], discount=0.9)
    assert len(set(np.abs(zero.index).tolist())) == 1 and abs(zero.index[0]) < 1e-12


def test_relabelling_and_scale():
    rng = np.random.default_rng(11)
    k, r = rng.dirichlet(np.ones(5), (2, 5)), rng.random((5, 2))
    base = whittle_index(k, r, discount=0.9).index
    order = rng.permutation(5)
    moved = whittle_index(k[:, order][:, :, order], r[order], discount=0.9).index
    np.testing.assert_allclose(moved, base[order], atol=1e-12)
    np.testing.assert_allclose(whittle_index(k, 1e6 * r, discount=0.9).index, 1e6 * base, rtol=1e-12)


def test_multichain_average_is_undecided():
    two = np.array([[[1, 0], [0, 1]], [[1, 0], [0, 1]]], dtype=float)
    fine = np.array([[[0.5, 0.5], [0.5, 0.5]]] * 2)
    w = whittle_index([two, fine], [[[0, 1], [0, 1]]], criterion="average")
    assert w.verdict == ("undecided", "indexable")
    assert "closed classes" in w.sentence and np.isnan(w.index[0]).all() and np.isfinite(w.index[1]).all()
    assert w.to_dict()["violation"][0]["subsidy"] is None
    later = np.array([[[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]]], dtype=float)
    w = whittle_index(later, [[0, 0], [0, 1]], criterion="average")
    assert w.verdict == ("undecided",)


def test_bandit_input_and_shapes():
    b = RestlessBandit(CIRCULANT, CIRCULANT_R, n_arms=30, budget=6, discount=0.5)
    assert whittle_index(b).index.shape == (4,)
    two = RestlessBandit([CIRCULANT] * 2, CIRCULANT_R, n_arms=[10, 20], budget=6, discount=0.5)
    w = whittle_index(two)
    assert w.index.shape == (2, 4) and w.indexable == (True, True)
    assert len(IndexPolicy(w.index).ranks(2)) == 2
    np.testing.assert_array_equal(myopic_priority(two), np.zeros((2, 4)))
    assert myopic_priority(b).shape == (4,)


def test_large_arm_against_bisection():
    rng = np.random.default_rng(2)
    k, r = rng.dirichlet(np.ones(200), (2, 200)), rng.random((200, 2))
    w = whittle_index(k, r, discount=0.9)
    assert w.indexable == (True,)
    for s in (0, 77, 199):
        assert abs(advantage(k, r, 0.9, w.index[s])[s]) < 1e-10


def test_same_bytes():
    rng = np.random.default_rng(2)
    k, r = rng.dirichlet(np.ones(4), (500, 2, 4)), rng.random((500, 4, 2))
    many = whittle_index(k, r, discount=0.9).index
    one = np.array([whittle_index(k[t], r[t], discount=0.9).index for t in range(500)])
    np.testing.assert_allclose(many, one, rtol=1e-12, equal_nan=True)
    assert many.tobytes() == whittle_index(k, r, discount=0.9).index.tobytes()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: whittle_index(CIRCULANT, discount=0.5), "rewards"),
        (lambda: whittle_index(CIRCULANT, CIRCULANT_R), "discount"),
        (lambda: whittle_index(CIRCULANT, CIRCULANT_R, discount=1.0), "gamma"),
        (lambda: whittle_index(CIRCULANT, CIRCULANT_R, discount=0.5, criterion="total"), "criterion"),
        (lambda: whittle_index(2 * CIRCULANT, CIRCULANT_R, discount=0.5), "sum"),
        (lambda: whittle_index(CIRCULANT, [1, 2], discount=0.5), "rewards"),
        (lambda: whittle_index(CIRCULANT[:, :2], CIRCULANT_R, discount=0.5), r"\(2, S, S\)"),
        (lambda: whittle_index(P0, CIRCULANT_R, discount=0.5), "shape"),
        (lambda: whittle_index(3, CIRCULANT_R, discount=0.5), "must be"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(InvalidInput, match=match):
        call()


def test_bandit_with_rewards_refused():
    b = RestlessBandit(CIRCULANT, CIRCULANT_R, n_arms=30, budget=6, discount=0.5)
    with pytest.raises(InvalidInput, match="own"):
        whittle_index(b, CIRCULANT_R)
    with pytest.raises(Unsupported, match="RestlessBandit"):
        myopic_priority(CIRCULANT)


# --- forbidden pairs, units, constants ---------------------------------------------------------------------


def never_pairs(rng, n):
    """(S, 2) mask: at most one action of a state, never of every state."""
    never = np.zeros((n, 2), dtype=bool)
    for s in rng.choice(n, rng.integers(1, n), replace=False):
        never[s, rng.integers(2)] = True
    return never


def masked_advantage(kernel, r, gamma, never, subsidy):
    """`alpha_s(subsidy)` when the pairs of the mask may not be used: policy iteration without their numbers."""
    n = len(r)
    rows, act = np.arange(n), np.where(never[:, 0], 1, 0)
    pay = np.stack([r[:, 0] + subsidy, r[:, 1]], axis=1)
    for _ in range(300):
        v = np.linalg.solve(np.eye(n) - gamma * kernel[act, rows], pay[rows, act])
        q = pay + gamma * np.stack([kernel[0] @ v, kernel[1] @ v], axis=1)
        gain = np.where(never[rows, 1 - act], -1.0, q[rows, 1 - act] - q[rows, act])
        if gain.max() <= 1e-12:
            return q[:, 1] - q[:, 0]
        act = np.where(gain > 1e-12, 1 - act, act)
    raise AssertionError("policy iteration did not stop")


def masked_index(kernel, r, gamma, never):
    """Index by bisection of the states that keep both actions, NaN elsewhere; None when one has no single zero."""
    bound, out = 40 / (1 - gamma), np.full(len(r), np.nan)
    for s in np.flatnonzero(~never.any(axis=1)):
        low, high = -bound, bound
        ends = [masked_advantage(kernel, r, gamma, never, x)[s] for x in (low, high)]
        if not ends[0] > 0 > ends[1]:
            return None
        for _ in range(70):
            mid = (low + high) / 2
            low, high = (mid, high) if masked_advantage(kernel, r, gamma, never, mid)[s] > 0 else (low, mid)
        out[s] = (low + high) / 2
    return out


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(2, 5),
    st.sampled_from([0.5, 0.9, 0.97]),
    st.sampled_from([1e4, 1e9, 1e12]),
)
def test_a_forbidding_reward_costs_the_others_no_digit(seed, n, gamma, far):
    rng = np.random.default_rng(seed)
    k, r, never = rng.dirichlet(np.ones(n), (2, n)), rng.random((n, 2)), never_pairs(rng, n)
    w, want = whittle_index(k, np.where(never, -far, r), discount=gamma), masked_index(k, r, gamma, never)
    if want is None:
        assert w.indexable == (False,)
        return
    assert w.indexable == (True,)
    both = ~never.any(axis=1)
    np.testing.assert_allclose(w.index[both], want[both], atol=1e-9)
    assert (w.index[never[:, 1]] < -far / 1000).all() and (w.index[never[:, 0]] > far / 1000).all()


def test_the_digits_are_lost_without_care():
    """Negative control: the same path followed on the rewards as they are."""
    worst = 0.0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        k, r, never = rng.dirichlet(np.ones(4), (2, 4)), rng.random((4, 2)), never_pairs(rng, 4)
        both, raw = ~never.any(axis=1), _indices(k[None], np.where(never, -1e12, r)[None], 0.9)[0][0]
        worst = max(worst, np.abs(raw - masked_index(k, r, 0.9, never))[both].max())
    assert worst > 1e-3


@pytest.mark.parametrize("far", [1e6, 1e9, 1e12])
@pytest.mark.parametrize("seed", range(4))
def test_a_forbidding_reward_under_the_average_criterion(seed, far):
    """Every policy of the arm that the mask admits, on a grid of subsidies just beside the indices."""
    rng = np.random.default_rng(seed)
    n = 4
    k, r, never = rng.dirichlet(np.ones(n), (2, n)), rng.random((n, 2)), never_pairs(rng, n)
    w = whittle_index(k, np.where(never, -far, r), criterion="average")
    assert w.indexable == (True,)
    policies = [a for a in itertools.product((0, 1), repeat=n) if not never[np.arange(n), a].any()]
    both = ~never.any(axis=1)
    for s in np.flatnonzero(both):
        for step, action in ((-1e-7, 1), (1e-7, 0)):
            subsidy, gains = w.index[s] + step, {}
            for a in policies:
                p, act = k[list(a), np.arange(n)], np.array(a)
                mu = np.linalg.lstsq(
                    np.vstack([p.T - np.eye(n), np.ones(n)]), np.r_[np.zeros(n), 1], rcond=None
                )[0]
                gains[a] = mu @ (r[np.arange(n), act] + subsidy * (act == 0))
            assert max(gains, key=gains.get)[s] == action


@pytest.mark.parametrize("unit", [1e-9, 1e-6, 1e9])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_units_and_constants_of_rewards(unit, shift):
    rng = np.random.default_rng(5)
    k, r = rng.dirichlet(np.ones(5), (2, 5)), rng.random((5, 2))
    for options in ({"discount": 0.95}, {"criterion": "average"}):
        plain = whittle_index(k, r, **options)
        moved = whittle_index(k, unit * (r + shift), **options)
        np.testing.assert_allclose(moved.index / unit, plain.index, atol=1e-9 + 1e-13 * shift)
        assert np.argsort(moved.index).tolist() == np.argsort(plain.index).tolist()


def test_equal_indices_beside_a_forbidden_pair_stay_equal():
    r = np.array([[-1.0, -1], [0, 0], [0, -1e12], [1, 1]])
    twins = np.zeros((2, 8, 8))
    twins[:, :4, :4] = twins[:, 4:, 4:] = CIRCULANT
    w = whittle_index(twins, np.vstack([r, r]), discount=0.5)
    assert w.index[:4].tolist() == w.index[4:].tolist()


def belief_arm(rest, served, length):
    """An arm seen only when it is served: (last seen, steps since), the chain of beliefs stops at its end."""
    kernels, pay = np.zeros((2, 2 * length, 2 * length)), np.zeros(2 * length)
    for seen in (0, 1):
        belief = served[seen]
        for age in range(length):
            x = seen * length + age
            pay[x] = belief
            kernels[0, x, seen * length + min(age + 1, length - 1)] = 1
            kernels[1, x, [0, length]] = 1 - belief, belief
            belief = belief * rest[1] + (1 - belief) * rest[0]
    return kernels, pay


def test_arms_without_an_average_index_are_told_what_works():
    """Two ends that never meet: the average criterion has no index, and discounted ones grow like 1/(1 - gamma)."""
    kernels, pay = belief_arm((0.2, 0.8), (0.5, 0.9), 4)
    average = whittle_index(kernels, pay, criterion="average")
    assert average.verdict == ("undecided",) and "discount near 1" not in average.sentence
    assert "your own discount" in average.sentence and "me.lp_priority" in average.sentence
    near, nearer = (whittle_index(kernels, pay, discount=g).index[0] for g in (0.999, 0.99999))
    assert near == pytest.approx(43.4, abs=0.05) and nearer == pytest.approx(4320, abs=0.5)
    assert np.isfinite(whittle_index(kernels, pay, discount=0.9).index).all()
    bandit = me.RestlessBandit(kernels, pay, n_arms=10, budget=3, discount=0.9)
    assert np.isfinite(me.lp_priority(bandit).index).all()
