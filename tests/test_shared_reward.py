"""Splits of a shared reward: reference numbers of games, two linear programs by loops, and no trace of labels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

import markov_entanglement as me
from markov_entanglement.values.shared_reward import _shortest, fit_shared_reward

CLIMBING = [[11, -30, 0], [-30, 7, 6], [0, 0, 5]]
QTRAN = [[8, -12, -12], [-12, 0, 0], [-12, 0, 0]]


def penalty(k: float) -> list[list[float]]:
    return [[10, 0, k], [0, 2, 0], [k, 0, 10]]


#: game -> e(r) and least total span under the uniform law, then e(r) under .7/3 on the diagonal and .05 elsewhere.
GAMES = {
    "climbing": (CLIMBING, 8.666667, 11, 5.0),
    "penalty -10": (penalty(-10), 4.444444, 4, 3.2),
    "penalty -25": (penalty(-25), 7.777778, 4, None),
    "penalty -100": (penalty(-100), 24.444444, 4, None),
    "qtran": (QTRAN, 3.555556, 24, 3.2),
    "two-step 2B": ([[0, 1], [1, 8]], 1.5, 2, None),
    "coordination": ([[1, 0], [0, 1]], 0.5, 0, None),
}


def spans(local: tuple[np.ndarray, ...], pairs: np.ndarray) -> float:
    return sum(float(np.ptp(t[np.unique(pairs[:, i])])) for i, t in enumerate(local))


@pytest.mark.parametrize("game", GAMES)
def test_games(game: str) -> None:
    table, error, span, correlated = GAMES[game]
    r, k = np.array(table, dtype=float), len(table)
    pairs = np.array(list(itertools.product(range(k), repeat=2)))
    fit = fit_shared_reward(pairs, (k, k), np.full(k * k, 1 / k**2), r.ravel())
    assert fit.error == pytest.approx(error, abs=1e-6)
    assert spans(fit.local, pairs) == pytest.approx(span, abs=1e-9)
    for t in fit.local:
        assert t.max() + t.min() == pytest.approx(fit.local[0].max() + fit.local[0].min(), abs=1e-9)
    if correlated is not None:
        law = np.where(np.eye(k, dtype=bool), 0.7 / 3, 0.05).ravel()
        assert fit_shared_reward(pairs, (k, k), law, r.ravel()).error == pytest.approx(correlated, abs=1e-9)


#: game -> centred e(r) under both laws of `GAMES`.
CENTRED = {
    "climbing": (9.925926, 7.0),
    "penalty -10": (4.740741, 4.48),
    "penalty -25": (8.592593, None),
    "penalty -100": (30.814815, None),
    "qtran": (4.740741, 4.48),
    "two-step 2B": (1.5, None),
    "coordination": (0.5, None),
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("game", CENTRED)
def test_games_without_a_mean(game: str, large: bool) -> None:
    """The centred fit; the one that scales is as good, and no span is below that of the whole program."""
    r, k = np.array(GAMES[game][0], dtype=float), len(GAMES[game][0])
    pairs = np.array(list(itertools.product(range(k), repeat=2)))
    laws = np.full(k * k, 1 / k**2), np.where(np.eye(k, dtype=bool), 0.7 / 3, 0.05).ravel()
    for law, expected in zip(laws, CENTRED[game], strict=True):
        if expected is not None:
            fit = fit_shared_reward(pairs, (k, k), law, r.ravel(), split="lad-centred", large=large)
            fitted = fit.local[0][pairs[:, 0]] + fit.local[1][pairs[:, 1]]
            assert fit.error == pytest.approx(expected, abs=1e-6) and abs(law @ (r.ravel() - fitted)) < 1e-9
            whole = fit_shared_reward(pairs, (k, k), law, r.ravel(), split="lad-centred")
            assert spans(whole.local, pairs) <= spans(fit.local, pairs) + 1e-5


def test_the_centre_of_several_constants() -> None:
    """Coordination: every constant in [0, 1] is a minimiser of span 0; the one that leaves no mean is taken."""
    pairs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    fit = fit_shared_reward(pairs, (2, 2), np.full(4, 0.25), np.array([1.0, 0, 0, 1]))
    assert [t.tolist() for t in fit.local] == [[0.25, 0.25], [0.25, 0.25]]


def centred_program(
    pairs: np.ndarray, sizes: np.ndarray, mu: np.ndarray, r: np.ndarray
) -> tuple[float, float]:
    """Centred e(r) and the least total span at it, by primal programs with one equation more."""
    at = np.flatnonzero(mu > 0)
    first = np.concatenate([[0], np.cumsum(sizes)])
    m, n = int(first[-1]), len(at)
    fit = np.zeros((n, m))
    for i in range(len(sizes)):
        fit[np.arange(n), first[i] + pairs[at, i]] = 1
    w, rest = mu[at], r[at]
    rows = np.block([[fit, -np.eye(n)], [-fit, -np.eye(n)]])
    found = linprog(np.append(np.zeros(m), w), rows, np.append(rest, -rest), np.append(w @ fit, np.zeros(n))[None],
                    [w @ rest], bounds=[(None, None)] * m + [(0, None)] * n, method="highs")  # fmt: skip
    k, least = len(sizes), found.fun
    box = []
    for i in range(k):
        for x in np.unique(pairs[at, i]):
            one = np.zeros(m + n + 2 * k)
            one[first[i] + x], one[m + n + i] = 1, -1
            other = np.zeros(m + n + 2 * k)
            other[first[i] + x], other[m + n + k + i] = -1, 1
            box += [one, other]
    wide = np.hstack([rows, np.zeros((2 * n, 2 * k))])
    cap = np.concatenate([np.zeros(m), w, np.zeros(2 * k)])[None]
    cost = np.concatenate([np.zeros(m + n), np.ones(k), -np.ones(k)])
    span = linprog(cost, np.vstack([wide, np.array(box), cap]),
                   np.concatenate([rest, -rest, np.zeros(len(box)), [least + 1e-9 * max(1.0, least)]]),
                   np.concatenate([w @ fit, np.zeros(n + 2 * k)])[None], [w @ rest],
                   bounds=[(None, None)] * m + [(0, None)] * n + [(None, None)] * (2 * k), method="highs")  # fmt: skip
    return least, span.fun


def test_a_constant_and_a_sum_at_any_size() -> None:
    pairs = np.array(list(itertools.product(range(3), range(4))))
    for r in (np.full(12, 3.5), np.zeros(12), 1e9 * pairs[:, 0] - 1e9, pairs @ [1.0, -2.0]):
        fit = fit_shared_reward(pairs, (3, 4), np.full(12, 1 / 12), r, split="lad-centred", large=True)
        assert fit.error <= 1e-9 * max(1.0, np.abs(r).max())
        fitted = fit.local[0][pairs[:, 0]] + fit.local[1][pairs[:, 1]]
        assert fitted == pytest.approx(r, abs=1e-8 * max(1.0, np.abs(r).max()))


@pytest.mark.parametrize("seed", range(25))
def test_the_centred_fit_against_programs_by_loops(seed: int) -> None:
    pairs, sizes, mu, r = problem(seed)
    fit = fit_shared_reward(pairs, sizes, mu, r, split="lad-centred")
    error, span = centred_program(pairs, sizes, mu, r)
    at = mu > 0
    assert fit.error == pytest.approx(error, abs=1e-7)
    assert spans(fit.local, pairs[at]) == pytest.approx(span, abs=1e-5)
    assert fit_shared_reward(pairs, sizes, mu, r, split="lad-centred", large=True).error == pytest.approx(
        error, abs=1e-7
    )


def problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs on part of a product, sizes, a law with zeros, and a reward with ties."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, rng.integers(2, 5))
    every = np.array(list(itertools.product(*map(range, sizes))))
    pairs = every[rng.permutation(len(every))[: max(1, int(rng.choice([0.4, 0.8, 1.0]) * len(every)))]]
    n = len(pairs)
    mu = [np.full(n, 1 / n), rng.dirichlet(np.full(n, 2.0))][rng.integers(2)]
    mu = np.where(rng.random(n) < 0.2, 0.0, mu) if n > 4 else mu
    mu = mu / mu.sum() if mu.sum() > 0 else np.full(n, 1 / n)
    reward = [rng.integers(0, 3, n), rng.normal(size=n), rng.integers(-9, 9, n)][rng.integers(3)]
    return pairs, sizes, mu, reward.astype(float)


def two_programs(pairs: np.ndarray, sizes: np.ndarray, mu: np.ndarray, r: np.ndarray) -> tuple[float, float]:
    """`e(r)`, and the least total span at it, by primal programs over tables, absolute values and limits."""
    at = np.flatnonzero(mu > 0)
    n, agents, first = len(at), len(sizes), np.concatenate([[0], np.cumsum(sizes)])
    m = first[-1]
    width = m + n + 2 * agents
    rows, rhs = [], []
    for k, x in enumerate(at):
        for sign in (1.0, -1.0):
            row = np.zeros(width)
            row[first[:-1] + pairs[x]] = sign
            row[m + k] = -1.0
            rows.append(row)
            rhs.append(sign * r[x])
    error = linprog(
        np.r_[np.zeros(m), mu[at], np.zeros(2 * agents)], np.array(rows), rhs, bounds=(None, None)
    ).fun
    for i in range(agents):
        for x in np.unique(pairs[at, i]):
            for sign, limit in ((1.0, m + n + i), (-1.0, m + n + agents + i)):
                row = np.zeros(width)
                row[first[i] + x], row[limit] = sign, -sign
                rows.append(row)
                rhs.append(0.0)
    rows.append(np.r_[np.zeros(m), mu[at], np.zeros(2 * agents)])
    rhs.append(error + 1e-11)
    cost = np.r_[np.zeros(m + n), np.ones(agents), -np.ones(agents)]
    return error, linprog(cost, np.array(rows), rhs, bounds=(None, None)).fun


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_least_error_then_least_span(seed: int) -> None:
    pairs, sizes, mu, r = problem(seed)
    fit = fit_shared_reward(pairs, sizes, mu, r)
    error, span = two_programs(pairs, sizes, mu, r)
    assert fit.error == pytest.approx(error, abs=1e-9)
    attained = sum(t[pairs[:, i]] for i, t in enumerate(fit.local))
    assert mu @ np.abs(r - attained) == pytest.approx(fit.error, abs=1e-12)
    assert spans(fit.local, pairs[mu > 0]) == pytest.approx(span, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 1e-9, 1e-6, 1e9, 1e100]))
def test_agents_labels_units_and_constants_leave_no_trace(seed: int, unit: float) -> None:
    pairs, sizes, mu, r = problem(seed)
    rng = np.random.default_rng(seed)
    order, agents = rng.permutation(len(pairs)), rng.permutation(len(sizes))
    names = [rng.permutation(k) for k in sizes]
    other = np.stack([names[i][pairs[order, i]] for i in agents], axis=1)
    fit = fit_shared_reward(pairs, sizes, mu, r)
    again = fit_shared_reward(other, sizes[agents], mu[order], unit * (r[order] + 5.0))
    assert again.error / unit == pytest.approx(fit.error, abs=1e-9)
    assert spans(again.local, other[mu[order] > 0]) / unit == pytest.approx(
        spans(fit.local, pairs[mu > 0]), abs=1e-9
    )
    for place, i in enumerate(agents):
        seen = np.unique(pairs[mu > 0, i])
        table = again.local[place][names[i][seen]] / unit
        np.testing.assert_allclose(table, fit.local[i][seen] + 5.0 / len(sizes), atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_values_do_not_depend_on_the_order_of_labels(seed: int) -> None:
    """The same chain with agents and labels permuted: `e(r)`, `unexplained` and every error are the same."""
    rng = np.random.default_rng(seed)
    sizes = (2, 3)
    pairs = list(itertools.product(range(2), range(3)))
    p, r = rng.dirichlet(np.ones(6), 6), rng.integers(0, 3, 6).astype(float)
    first = me.value_decomposition(me.JointChain(p, sizes, discount=0.9).under(), r)
    names = [rng.permutation(k) for k in sizes]
    moved = [int(np.ravel_multi_index((names[1][b], names[0][a]), (3, 2))) for a, b in pairs]
    q, s = np.empty((6, 6)), np.empty(6)
    q[np.ix_(moved, moved)], s[moved] = p, r
    second = me.value_decomposition(me.JointChain(q, (3, 2), discount=0.9).under(), s)
    assert first.shared.error == pytest.approx(second.shared.error, abs=1e-9)
    assert first.unexplained == pytest.approx(second.unexplained, abs=1e-9)
    assert first.error() == pytest.approx(second.error(), abs=1e-9)
    assert first.unexplained > 0.01 or first.shared.error < 1e-9


def test_rare_pairs_keep_their_reward() -> None:
    """An additive reward is split exactly, also where the law is far below the solver's tolerance."""
    pairs = np.array(list(itertools.product(range(3), range(2))))
    mu = np.array([0.5, 0.5 - 1e-9, 1e-11, 1e-13, 1e-9, 1e-200])
    tables = [np.array([0.0, 7.0, -3.0]), np.array([1.0, 2.5])]
    r = tables[0][pairs[:, 0]] + tables[1][pairs[:, 1]]
    fit = fit_shared_reward(pairs, (3, 2), mu, r)
    np.testing.assert_allclose(fit.local[0][pairs[:, 0]] + fit.local[1][pairs[:, 1]], r, atol=1e-9)
    assert fit_shared_reward(pairs, (3, 2), mu, np.full(6, 3.5)).local[1].tolist() == [1.75, 1.75]


def test_the_shortest_vector_of_a_cone() -> None:
    """Against SLSQP; draw 1252 is one on which `scipy.optimize.nnls` gives a vector that misses a limit by 3."""
    rng = np.random.default_rng(0)
    for k in range(1253):
        m, n = int(rng.integers(1, 25)), int(rng.integers(1, 8))
        a = rng.integers(-2, 3, (m, n)).astype(float) if k % 2 else rng.normal(size=(m, n))
        inside = rng.normal(size=n)
        b = a @ inside - rng.random(m) * (rng.random(m) < 0.5)
        y = _shortest(a, b)
        assert (b - a @ y).max() < 1e-9
        if k % 50 == 0 or k == 1252:
            limits = {"type": "ineq", "fun": lambda v, a=a, b=b: a @ v - b, "jac": lambda v, a=a: a}
            best = minimize(
                lambda v: v @ v, inside, jac=lambda v: 2 * v, constraints=limits, options={"ftol": 1e-14}
            ).x
            assert np.linalg.norm(y) <= np.linalg.norm(best) * (1 + 1e-6) + 1e-9
