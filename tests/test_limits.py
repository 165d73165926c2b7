"""Limit constants against closed forms, exact small chains of two types, and simulation."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from markov_entanglement.bandits.count_chain import count_chain
from markov_entanglement.bandits.fluid import fluid
from markov_entanglement.bandits.mean_field import mean_field
from markov_entanglement.errors import Unsupported
from markov_entanglement.model.bandit import RestlessBandit
from markov_entanglement.model.policy import IndexPolicy

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
CIRCULANT = np.array([P0, P0.T])
ORDER = IndexPolicy([1, 2, 3, 0])


def circulant(gamma=0.5, budget=6):
    return RestlessBandit(CIRCULANT, [-1, 0, 0, 1], n_arms=30, budget=budget, discount=gamma)


def test_circulant_constants():
    c = mean_field(circulant(), ORDER).limit_constants
    want = [[0.1275, -0.0325, -0.0525, -0.0425], [-0.0325, 0.1475, -0.0425, -0.0725],
            [-0.0525, -0.0425, 0.2275, -0.1325], [-0.0425, -0.0725, -0.1325, 0.2475]]  # fmt: skip
    np.testing.assert_allclose(c.covariance, want, atol=1e-12)
    assert c.policy_entanglement[0] == pytest.approx(0.217467, abs=5e-7)
    assert c.entanglement[0] == pytest.approx(0.104468, abs=5e-7)
    assert c.error_mu == pytest.approx(0.0293346, abs=5e-8)
    assert c.error_l2 == pytest.approx(0.0367655, abs=5e-8)
    assert c.unexplained == pytest.approx(0.04401, abs=5e-6)
    q = [[-0.863636, -1.287879], [-0.287879, -0.015152], [-0.015152, 0.409091], [1.409091, 1.136364]]
    np.testing.assert_allclose(c.local_q[0], q, atol=5e-7)
    np.testing.assert_allclose(c.slope[0] - c.slope[0].mean(), np.array([-0.9, -0.3, -0.1, 1.3]), atol=1e-12)
    gap = np.array([-0.0363636, -0.0121212, -0.0848485, -0.1090909])
    np.testing.assert_allclose(c.gap[0] - c.gap[0].mean(), gap - gap.mean(), atol=5e-8)
    np.testing.assert_allclose(
        c.slope - c.local_slope - c.gap, (c.slope - c.local_slope - c.gap)[0, 0], atol=1e-12
    )
    assert c.relative_error / np.sqrt(300) == pytest.approx(0.0042, abs=5e-5)
    json.dumps(c.to_dict(), allow_nan=False)


def test_circulant_gamma_point_nine():
    c = mean_field(circulant(0.9), ORDER).limit_constants
    assert c.unexplained == pytest.approx(0.21995, abs=5e-6)
    assert c.error_mu * np.sqrt(1800) == pytest.approx(7.243, abs=5e-4)
    assert c.error_l2 * np.sqrt(1800) == pytest.approx(9.078, abs=5e-4)


@pytest.mark.parametrize("budget", [1, 4, 9, 13])
def test_circulant_any_budget(budget):
    """State 2 is always marginal: `sqrt(N) E = p sqrt(2 Sigma_22/pi)` with `Sigma = P_0' Sigma P_0 + noise`."""
    c = mean_field(circulant(budget=budget), ORDER).limit_constants
    alpha = budget / 30
    m = np.array([0.25 - alpha / 2] * 2 + [0.25 + alpha / 2] * 2)
    z = np.array([0, 0, alpha, 0])
    noise = sum(
        w * (np.diag(p[x]) - np.outer(p[x], p[x]))
        for p, law in ((P0, m - z), (P0.T, z))
        for x, w in enumerate(law)
    )
    sigma, power = np.zeros((4, 4)), np.eye(4)
    for _ in range(300):
        sigma += power.T @ noise @ power
        power = power @ P0
    np.testing.assert_allclose(c.covariance, sigma, atol=1e-12)
    assert c.policy_entanglement[0] == pytest.approx(
        alpha / m[2] * np.sqrt(2 * sigma[2, 2] / np.pi), abs=1e-12
    )


def test_lemma_7_8_is_an_upper_bound():
    c = mean_field(circulant(), ORDER).limit_constants
    value, low, high = c.lemma_7_8
    draws = np.random.default_rng(7).multivariate_normal(np.zeros(4), c.covariance, 400_000)
    top = 16 * np.abs(draws).max(axis=1)
    assert low < value < high and abs(top.mean() - value) < 4 * (high - low)
    assert value > 40 * c.policy_entanglement[0]
    assert c.lemma_7_8 == mean_field(circulant(), ORDER).limit_constants.lemma_7_8


def test_equal_types_are_one_type():
    one = mean_field(circulant(), ORDER).limit_constants
    b = RestlessBandit([CIRCULANT] * 2, [-1, 0, 0, 1], n_arms=[20, 10], budget=6, discount=0.5)
    two = mean_field(b, ORDER).limit_constants
    fold = two.covariance.reshape(2, 4, 2, 4).sum(axis=(0, 2))
    np.testing.assert_allclose(fold, one.covariance, atol=1e-12)
    for name in ("policy_entanglement", "entanglement"):
        np.testing.assert_allclose(getattr(two, name), getattr(one, name)[0], atol=1e-12)
    for name in ("error_mu", "error_l2", "unexplained", "relative_error"):
        assert getattr(two, name) == pytest.approx(getattr(one, name), abs=1e-12)
    assert np.isnan(two.lemma_7_8[0])


def test_twin_states_are_one_state():
    """Splitting state 2 into twins of equal priority changes no constant: service within the class counts."""
    old = [0, 1, 2, 2, 3]
    split = CIRCULANT[:, old][:, :, old].copy()
    split[:, :, 2] *= 0.3
    split[:, :, 3] *= 0.7
    b = RestlessBandit(split, np.array([-1, 0, 0, 1])[old], n_arms=30, budget=6, discount=0.5)
    mf, one = mean_field(b, IndexPolicy([1, 2, 3, 3, 0])), mean_field(circulant(), ORDER)
    assert mf.marginal == ((0, 2), (0, 3))
    c, want = mf.limit_constants, one.limit_constants
    for name in ("policy_entanglement", "entanglement", "error_mu", "error_l2", "unexplained"):
        assert getattr(c, name) == pytest.approx(getattr(want, name), abs=1e-12), name


def test_random_service_has_no_error():
    """One class for all states: service is independent of the state, so nothing is entangled."""
    b = circulant()
    mf = mean_field(b, IndexPolicy([1, 1, 1, 1]))
    c = mf.limit_constants
    assert [c.policy_entanglement[0], c.entanglement[0], c.error_mu, c.error_l2] == [0.0] * 4
    np.testing.assert_allclose(mf.activation, 0.2)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_random_service_of_random_arms_has_exactly_none(scale):
    """A class for all states, or one per type: exact zeros on any machine and at any scale of the rewards."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        types, n = int(rng.integers(1, 4)), int(rng.integers(2, 5))
        arms = rng.integers(5, 20, types)
        b = RestlessBandit(rng.dirichlet(np.ones(n), (types, 2, n)), scale * rng.normal(size=(types, n, 2)),
                           n_arms=arms, budget=int(rng.integers(1, arms.sum())), discount=0.95)  # fmt: skip
        c = mean_field(b, IndexPolicy([[seed % 2 * t] * n for t in range(types)])).limit_constants
        assert not np.any([*c.policy_entanglement, *c.entanglement, c.error_mu, c.error_l2])
        assert c.edge == np.inf and c.valid_from == 1
    strict = mean_field(
        b, IndexPolicy([list(range(n))] * types)
    )  # negative control: strict priorities entangle
    assert strict.refused or max(strict.limit_constants.policy_entanglement) > 0


def test_distance_to_the_edge():
    """Circulant: state 2 is served first, so the edge is where its .35 of the arms fall to .2; their deviation is
    the root of .2275."""
    mf = mean_field(circulant(), ORDER)
    assert mf.limit_constants.edge == pytest.approx(0.15 / np.sqrt(0.2275), abs=1e-12)
    least = mf.limit_constants.valid_from
    assert least in (91, 92)  # 9 * .2275 / .15^2 = 91, and rounding
    away = (
        "30 arms fluctuate across the edge of the affine piece, 1.7 standard deviations from the fixed point"
    )
    assert mf.caution == f"{away}; limits predict once there are at least about {least} arms"
    enough = RestlessBandit(CIRCULANT, [-1, 0, 0, 1], n_arms=95, budget=19, discount=0.5)
    assert mean_field(enough, ORDER).caution == "" == mean_field(circulant(budget=30), ORDER).caution
    section = mf.section()
    assert (section["valid_from"], section["caution"]) == (least, mf.caution)
    assert mean_field(enough, ORDER).section()["caution"] is None


def test_constants_predict_where_they_say_so():
    """Random strict bandits at N = 50 against exact chains: within 10 %, or told that there are too few."""
    good, bad = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        b = RestlessBandit(rng.dirichlet(np.ones(3), size=(2, 3)), rng.normal(size=(3, 2)), n_arms=50,
                           budget=int(rng.integers(5, 45)), discount=0.9)  # fmt: skip
        mf = mean_field(b, IndexPolicy(rng.permutation(3).astype(float)))
        if mf.refused is None and (not mf.caution or len(bad) < 5):
            truth = count_chain(b, mf.policy).local_values().unexplained
            off = abs(np.log(mf.limit_constants.unexplained / truth))
            (bad if mf.caution else good).append(off)
    assert len(good) >= 3 and max(good) < np.log(1.1)
    assert max(bad) > np.log(1.4)  # negative control: predictions that the caution rightly doubts


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 4), st.booleans())
def test_slope_solves_bellman_in_the_piece(seed, types, n, shared):
    """`h` is the exact slope: the affine value satisfies Bellman wherever the marginal class does not change."""
    rng = np.random.default_rng(seed)
    arms = rng.integers(5, 20, types)
    b = RestlessBandit(rng.dirichlet(np.ones(n), (types, 2, n)), rng.random((types, n, 2)),
                       n_arms=arms, budget=int(rng.integers(1, arms.sum())), discount=0.8)  # fmt: skip
    policy = IndexPolicy(rng.permutation(n) if shared else rng.permutation(types * n).reshape(types, n))
    mf = mean_field(b, policy)
    if mf.refused is not None:
        return
    f, h = fluid(b, policy), mf.limit_constants.slope.ravel()
    m = mf.fixed_point.ravel()

    def reward(x):
        return float((x * (1 - f.activation(x))) @ f.rewards[:, 0] + (x * f.activation(x)) @ f.rewards[:, 1])

    eps = 1e-6
    for _ in range(5):
        e = f.basis @ rng.standard_normal(f.basis.shape[1]) * eps * min(1, 1e3 * m[m > 0].min())
        x = m + np.where(m > 0, 1, 0) * e
        if abs(e[m == 0]).sum() or f.marginal_at(x) != f.marginal_at(m):
            continue
        left = h @ (x - m)
        right = reward(x) - reward(m) + 0.8 * h @ (f.step(x) - f.step(m))
        assert left == pytest.approx(right, abs=1e-4 * eps)


class TwoTypes:
    """Exact chain of two types of two-state arms in count space; written without the library."""

    def __init__(self, kernels, rewards, per_type, budget, gamma, rank, mean_law):
        self.n, self.gamma = per_type, gamma
        self.cells = [(i, j) for i in range(per_type + 1) for j in range(per_type + 1)]
        size = len(self.cells)
        move, pay = np.zeros((size, size)), np.zeros(size)
        pairs = []
        for k, cell in enumerate(self.cells):
            for p, z in self.service(cell, budget, rank):
                laws = [self.next_law(kernels[t], cell[t], z[t]) for t in (0, 1)]
                row = np.outer(*laws).ravel()
                r = sum(self.count(cell[t], z[t]).ravel() @ rewards[t].ravel() for t in (0, 1))
                move[k] += p * row
                pay[k] += p * r
                q = np.array([self.count(cell[t], z[t]) for t in (0, 1)])
                pairs.append((k, p, r, row, q))
        a = np.vstack([move.T - np.eye(size), np.ones(size)])
        self.mu = np.linalg.lstsq(a, np.r_[np.zeros(size), 1], rcond=None)[0]
        v = np.linalg.solve(np.eye(size) - gamma * move, pay)
        w = np.array([self.mu[k] * p for k, p, *_ in pairs])
        true = np.array([r + gamma * row @ v for _, _, r, row, _ in pairs])
        approx = np.array([(q * mean_law).sum() for *_, q in pairs])
        err = true - approx
        self.l2 = np.sqrt(w @ (err - w @ err) ** 2)
        self.l1 = w @ np.abs(err - w @ err)
        self.true_l2 = np.sqrt(w @ (true - w @ true) ** 2)
        self.move = move
        self.entangled = [self.policy(t, budget, rank) for t in (0, 1)]

    def service(self, cell, budget, rank):
        """(probability, served (2, 2) by type and state) outcomes; at most two cells share a class."""
        have = np.array([[self.n - cell[t], cell[t]] for t in (0, 1)])
        z, left = np.zeros((2, 2), dtype=int), budget
        out = None
        for c in range(rank.max() + 1):
            where = np.argwhere(rank == c)
            total = sum(have[tuple(x)] for x in where)
            if total <= left:
                for x in where:
                    z[tuple(x)] = have[tuple(x)]
                left -= total
            elif len(where) == 1:
                z[tuple(where[0])] = left
                break
            else:
                first, second = map(tuple, where)
                out = (first, second, total, left)
                break
        if out is None:
            return [(1.0, z)]
        first, second, total, left = out
        results = []
        for k in range(max(0, left - have[second]), min(left, have[first]) + 1):
            y = z.copy()
            y[first], y[second] = k, left - k
            results.append((hypergeom.pmf(k, total, have[first], left), y))
        return results

    def count(self, ones, z):
        """Pair counts (state, action) of one type."""
        have = np.array([self.n - ones, ones])
        return np.stack([have - z, z], axis=1)

    def next_law(self, kernel, ones, z):
        """Law of the number of arms of one type in state 1 after a step."""
        law = np.ones(1)
        q = self.count(ones, z)
        for s in (0, 1):
            for a in (0, 1):
                law = np.convolve(law, binom.pmf(np.arange(q[s, a] + 1), q[s, a], kernel[a, s, 1]))
        return law

    def policy(self, t, budget, rank):
        """Prop. 7.2 value of type t: weighted median over the exact occupancy."""
        total = 0.0
        for s in (0, 1):
            w, p = [], []
            for k, cell in enumerate(self.cells):
                have = self.n - cell[t] if s == 0 else cell[t]
                if have:
                    mean = sum(pr * z[t, s] for pr, z in self.service(cell, budget, rank))
                    w.append(self.mu[k] * have / self.n)
                    p.append(mean / have)
            w, p = np.array(w), np.array(p)
            order = np.argsort(p)
            q = p[order][np.searchsorted(np.cumsum(w[order]), w.sum() / 2)]
            total += w @ np.abs(p - q)
        return total


@pytest.mark.parametrize("tied", [False, True])
def test_two_types_against_exact_chains(tied):
    """Constants against exact chains of N = 12, 24, 48 arms; the difference falls with N (to 1-6 % at 48)."""
    rng = np.random.default_rng(12)
    kernels, rewards = rng.dirichlet([2, 2], (2, 2, 2)), rng.random((2, 2, 2))
    rank = np.array([[1, 0], [1, 0]]) if tied else np.array([[3, 1], [2, 0]])
    gaps = {"l1": [], "l2": [], "unexplained": [], "e0": [], "e1": []}
    for per_type in (6, 12, 24):
        budget = per_type * 2 // 3
        b = RestlessBandit(kernels, rewards, n_arms=[per_type] * 2, budget=budget, discount=0.8)
        mf = mean_field(b, IndexPolicy(-rank.astype(float)))
        c, root = mf.limit_constants, np.sqrt(2 * per_type)
        exact = TwoTypes(b.kernels, b.rewards, per_type, budget, 0.8, rank, c.local_q)
        assert (len(mf.marginal) == 2) == tied
        gaps["l1"].append(exact.l1 / root / c.error_mu - 1)
        gaps["l2"].append(exact.l2 / root / c.error_l2 - 1)
        gaps["unexplained"].append(exact.l2 / exact.true_l2 / c.unexplained - 1)
        for t in (0, 1):
            want = c.policy_entanglement[t]
            gaps[f"e{t}"].append(
                exact.entangled[t] * root / want - 1 if want > 1e-9 else exact.entangled[t] * root
            )
    for name, gap in gaps.items():
        assert abs(gap[-1]) < 0.08, (name, gap)
        assert abs(gap[-1]) < max(abs(gap[0]), 0.03), (name, gap)


def simulate(b, rank, reps, steps, rng):
    """Count-space simulation of one type, vectorised over replications; states (steps, reps, S), served."""
    n, s = int(b.n_arms[0]), b.n_states
    counts = np.tile(np.diff(np.linspace(0, n, s + 1).astype(int)), (reps, 1))
    order = np.argsort(rank)
    path = []
    for _ in range(steps):
        served, left = np.zeros_like(counts), np.full(reps, b.budget)
        for x in order:
            served[:, x] = np.minimum(counts[:, x], left)
            left = left - served[:, x]
        path.append((counts, served))
        moved = np.zeros_like(counts)
        for a, group in ((0, counts - served), (1, served)):
            for x in range(s):
                moved += rng.multinomial(group[:, x], b.kernels[0, a, x])
        counts = moved
    return path


def test_simulation_of_a_random_arm():
    """`sqrt(N) E` and `Sigma` within 5 standard errors (from independent replications) at N = 10,000."""
    rng = np.random.default_rng(8)
    k, r = rng.dirichlet(np.ones(3), (2, 3)), rng.random((3, 2))
    b = RestlessBandit(k, r, n_arms=10_000, budget=4_000, discount=0.9)
    policy = IndexPolicy([3, 2, 1])
    mf = mean_field(b, policy)
    c, x = mf.limit_constants, mf.marginal[0][1]
    reps = 800
    path = simulate(b, policy.ranks(1)[0], reps, 90, rng)[40:]
    counts = np.array([p[0] for p in path])
    p = np.array([z[:, x] / n[:, x] for n, z in path])
    value = np.sqrt(10_000) * (counts[..., x] / 10_000 * np.abs(p - np.median(p))).mean(axis=0)
    assert (
        abs(value.mean() - c.policy_entanglement[0]) < 5 * value.std() / np.sqrt(reps) + 0.01 * value.mean()
    )
    xi = (counts / 10_000 - mf.fixed_point[0]) * 100
    square = (xi[..., x] ** 2).mean(axis=0)
    assert abs(square.mean() - c.covariance[x, x]) < 5 * square.std() / np.sqrt(reps) + 0.01 * square.mean()


def test_budget_without_fluctuation():
    for budget in (0, 30):
        c = mean_field(circulant(budget=budget), ORDER).limit_constants
        assert c.error_mu == pytest.approx(0, abs=1e-12) and c.policy_entanglement[0] == 0
        assert np.isnan(c.relative_error) and c.to_dict()["relative_error"] is None


def test_arms_that_hardly_mix_are_refused():
    slow = (1 - 1e-9) * np.eye(2) + 5e-10
    b = RestlessBandit([slow, slow], [0, 1], n_arms=10, budget=3, discount=0.5)
    mf = mean_field(b, IndexPolicy([1, 2]))
    with pytest.raises(Unsupported):
        _ = mf.limit_constants
