"""LP-priority against brute force over all policies of one arm and known orders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize_scalar

from markov_entanglement.bandits.lp_priority import lp_priority
from markov_entanglement.bandits.whittle import whittle_index
from markov_entanglement.errors import Unsupported
from markov_entanglement.model.bandit import RestlessBandit
from markov_entanglement.model.policy import IndexPolicy

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
CIRCULANT = np.array([P0, P0.T])


def stationary(p):
    n = len(p)
    return np.linalg.lstsq(np.vstack([p.T - np.eye(n), np.ones(n)]), np.r_[np.zeros(n), 1], rcond=None)[0]


def best_gain(kernel, r, price):
    """Largest average reward of one arm that pays `price` for service, over all 2^S policies."""
    n = len(r)
    rows = np.arange(n)
    gains = []
    for act in itertools.product((0, 1), repeat=n):
        a = np.array(act)
        gains.append(stationary(kernel[a, rows]) @ (r[rows, a] - price * a))
    return max(gains)


def relaxed_value(kernels, r, mass, alpha):
    """`min_price sum_t mass_t gain_t(price) + alpha price` (a convex function of the price)."""

    def dual(price):
        return (
            sum(w * best_gain(k, x, price) for w, k, x in zip(mass, kernels, r, strict=True)) + alpha * price
        )

    best = minimize_scalar(dual, bounds=(-50, 50), method="bounded", options={"xatol": 1e-10})
    return best.fun, dual


def conveyor(n=8):
    """Conveyor of Hong et al. (2023), Fig. 2."""
    k, r = np.zeros((2, n, n)), np.zeros((n, 2))
    for s in range(n):
        good = 1 if s < n // 2 else 0
        k[good, s, (s + 1) % n] += 0.1
        k[good, s, s] += 0.9
        back = {0: 0.0, 1: 1.0}.get(s, 0.5 - 0.01 * s)
        k[1 - good, s, max(s - 1, 0)] += back
        k[1 - good, s, s] += 1 - back
    r[n - 1, 0] = 0.1
    return k, r


def test_circulant():
    b = RestlessBandit(CIRCULANT, [-1, 0, 0, 1], n_arms=30, budget=6, discount=0.5)
    lp = lp_priority(b)
    assert lp.price == pytest.approx(1, abs=1e-12) and lp.value == pytest.approx(0.2, abs=1e-12)
    np.testing.assert_allclose(lp.index, [-2, -1, 0, -1], atol=1e-12)
    assert lp.index[1] == lp.index[3], "equal priorities are one class to the last bit"
    assert lp.occupancy.sum() == pytest.approx(1) and lp.occupancy[..., 1].sum() == pytest.approx(0.2)
    assert lp.to_dict()["price_interval"] == [lp.price, lp.price]
    IndexPolicy(lp.index)


def test_conveyor_order_and_price_interval():
    k, r = conveyor()
    lp = lp_priority(RestlessBandit(k, r, n_arms=100, budget=50, discount=0.9))
    assert np.argsort(-lp.index).tolist() == [1, 2, 3, 0, 7, 6, 5, 4]
    assert lp.price == 0.0 and lp.value == pytest.approx(0.0125)
    np.testing.assert_allclose(lp.price_interval, (-0.025, 0.025), atol=1e-9)


def test_non_indexable_arm_has_a_priority():
    p0 = np.array([[0, 0.4156, 0.3942], [0.5676, 0, 0.0133], [0.0191, 0.1097, 0]])
    p1 = np.array([[0, 0.0903, 0.1301], [0.1903, 0, 0.6234], [0.2901, 0.3901, 0]])
    k = np.array([p + np.diag(1 - p.sum(axis=1)) for p in (p0, p1)])
    r = np.array([[0.458, 0.9631], [0.5308, 0.7963], [0.6873, 0.1057]])
    b = RestlessBandit(k, r, n_arms=10, budget=5, discount=0.9)
    assert whittle_index(b).indexable == (False,)
    lp = lp_priority(b)
    assert lp.value == pytest.approx(relaxed_value([k], [r], [1], 0.5)[0], abs=1e-8)
    assert lp.index[0] > lp.index[2] > lp.index[1] and abs(lp.index[2]) < 1e-10


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 4), st.integers(1, 11))
def test_brute_force(seed, types, n, budget):
    rng = np.random.default_rng(seed)
    k, r = rng.dirichlet(np.ones(n), (types, 2, n)), rng.random((types, n, 2))
    arms = rng.integers(4, 9, types)
    b = RestlessBandit(k, r, n_arms=arms, budget=min(budget, int(arms.sum())), discount=0.9)
    lp = lp_priority(b)
    value, dual = relaxed_value(k, r, arms / arms.sum(), b.budget / arms.sum())
    assert lp.value == pytest.approx(value, abs=1e-7)
    assert dual(lp.price) == pytest.approx(lp.value, abs=1e-9), "the price is optimal for the dual"
    index, served, idle = np.atleast_2d(lp.index), lp.occupancy[..., 1], lp.occupancy[..., 0]
    assert (index[served > 1e-9] >= -1e-9).all() and (index[idle > 1e-9] <= 1e-9).all()
    for t in range(types):
        pay = r[t] - [0, lp.price]
        h = np.zeros(n)
        for _ in range(3000):
            h = (pay + np.stack([k[t, 0] @ h, k[t, 1] @ h], axis=1)).max(axis=1)
            h -= h[0]
        q = pay + np.stack([k[t, 0] @ h, k[t, 1] @ h], axis=1)
        np.testing.assert_allclose(index[t], q[:, 1] - q[:, 0], atol=1e-8)


def test_indexable_arm_same_order_as_whittle_where_it_matters():
    rng = np.random.default_rng(7)
    for _ in range(10):
        k, r = rng.dirichlet(np.ones(3), (2, 3)), rng.random((3, 2))
        b = RestlessBandit(k, r, n_arms=10, budget=4, discount=0.9)
        w, lp = whittle_index(b, criterion="average"), lp_priority(b)
        np.testing.assert_array_equal(
            np.sign(np.round(w.index - lp.price, 9)), np.sign(np.round(lp.index, 9))
        )


def test_several_optimal_classes_and_unused_types():
    stay, move = np.eye(2), np.array([[0.0, 1], [1, 0]])
    lp = lp_priority(RestlessBandit([stay, move], [[0, 0], [1, 0]], n_arms=4, budget=2, discount=0.9))
    assert np.isfinite(lp.index).all()
    b = RestlessBandit([CIRCULANT] * 2, [-1, 0, 0, 1], n_arms=[30, 0], budget=6, discount=0.5)
    lp = lp_priority(b)
    np.testing.assert_allclose(lp.index[0], lp.index[1], atol=1e-9)
    assert lp.occupancy[1].sum() == 0


def test_refusals():
    with pytest.raises(Unsupported, match="RestlessBandit"):
        lp_priority(CIRCULANT)
    apart = np.array([np.eye(2), np.eye(2)])
    with pytest.raises(Unsupported, match="never reach"):
        lp_priority(RestlessBandit(apart, [[0, 0], [1, 2]], n_arms=4, budget=2, discount=0.9))


def test_same_bytes():
    rng = np.random.default_rng(1)
    b = RestlessBandit(rng.dirichlet(np.ones(4), (5, 2, 4)), rng.random((5, 4, 2)),
                       n_arms=[3] * 5, budget=6, discount=0.9)  # fmt: skip
    assert lp_priority(b).index.tobytes() == lp_priority(b).index.tobytes()


# --- units, constants, forbidden pairs ---------------------------------------------------------------------


def relaxation(kernels, r, mass, alpha, never):
    """Optimum and price of the relaxation without the pairs of the mask, by loops; None without a solution."""
    types, n = r.shape[:2]
    rows, rhs = [], []
    for t in range(types):
        for s in range(n):
            row = np.zeros(r.shape)
            row[t, s] += 1.0
            row[t] -= kernels[t, :, :, s].T
            rows.append(row.ravel())
            rhs.append(0.0)
        row = np.zeros(r.shape)
        row[t] = 1.0
        rows.append(row.ravel())
        rhs.append(mass[t])
    row = np.zeros(r.shape)
    row[..., 1] = 1.0
    limits = [(0, 0) if x else (0, None) for x in never.ravel()]
    out = linprog(
        -r.ravel(), A_eq=np.array([*rows, row.ravel()]), b_eq=[*rhs, alpha], bounds=limits, method="highs"
    )
    return None if out.status else (-out.fun, -out.eqlin.marginals[-1])


def case(seed, forbid):
    """Kernels, rewards, arms, budget and the pairs that are not allowed."""
    rng = np.random.default_rng(seed)
    types, n = rng.integers(1, 4), rng.integers(2, 5)
    k, r = rng.dirichlet(np.ones(n), (types, 2, n)), rng.random((types, n, 2))
    arms = rng.integers(2, 9, types)
    never = np.zeros(r.shape, dtype=bool)
    for t in range(types if forbid else 0):
        for s in rng.choice(n, rng.integers(0, n), replace=False):
            never[t, s, rng.integers(2)] = True
    return k, r, arms, int(rng.integers(1, arms.sum())), never


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.sampled_from([1e-9, 1e-6, 1.0, 1e9]), st.sampled_from([0.0, 100.0]),
    st.sampled_from([None, 1e4, 1e9, 1e12]),
)  # fmt: skip
def test_any_unit_any_constant_any_forbidden_pair(seed, unit, shift, far):
    """Value and price of a masked program on rewards of order one; priorities by masked value iteration."""
    k, r, arms, budget, never = case(seed, far is not None)
    total = arms.sum()
    want = relaxation(k, r, arms / total, budget / total, never)
    if want is None:
        return
    raw = unit * np.where(never, -(far or 0.0), r + shift)
    lp = lp_priority(RestlessBandit(k, raw, n_arms=arms, budget=budget, discount=0.9))
    assert lp.value / unit - shift == pytest.approx(want[0], abs=1e-9)
    low, high = (x / unit for x in lp.price_interval)
    price = lp.price / unit
    assert low - 1e-9 <= want[1] <= high + 1e-9 and low <= price <= high
    index = np.atleast_2d(lp.index) / unit
    for t in range(len(r)):
        pay, h = np.where(never[t], -np.inf, r[t] - [0, price]), np.zeros(r.shape[1])
        for _ in range(3000):
            h = (pay + np.stack([k[t, 0] @ h, k[t, 1] @ h], axis=1)).max(axis=1)
            h -= h[0]
        q = r[t] - [0, price] + np.stack([k[t, 0] @ h, k[t, 1] @ h], axis=1)
        both = ~never[t].any(axis=1)
        np.testing.assert_allclose(index[t, both], (q[:, 1] - q[:, 0])[both], atol=1e-8)
        assert (index[t, never[t, :, 1]] < -10).all() and (index[t, never[t, :, 0]] > 10).all()
    assert (lp.occupancy[never] == 0).all()


def test_a_budget_that_needs_a_forbidden_pair():
    """Every arm is served in every step: the dear action is taken, and the value says what it costs."""
    k = np.full((1, 2, 2, 2), 0.5)
    r = np.array([[[0.0, 1.0], [0.5, -1e9]]])
    lp = lp_priority(RestlessBandit(k[0], r[0], n_arms=4, budget=4, discount=0.9))
    assert lp.value == pytest.approx(0.5 * (1 - 1e9)) and lp.occupancy[0, 1, 1] == pytest.approx(0.5)


def test_equal_priorities_at_any_unit_beside_a_forbidden_pair():
    r = np.array([[[-1.0, -1], [0, 0], [0, 0], [1, 1]]] * 2)
    r[1, 0, 1] = -1e12
    for unit in (1.0, 1e-9):
        b = RestlessBandit([CIRCULANT] * 2, unit * r, n_arms=[30, 30], budget=12, discount=0.5)
        lp = lp_priority(b)
        assert lp.index[0, 1] == lp.index[0, 3]
        assert np.unique(lp.index[0]) == pytest.approx(np.array([-2, -1, 0]) * unit)
