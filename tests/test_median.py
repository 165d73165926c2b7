"""Weighted L1 median: certificates, exact arithmetic, ties, groups, batches, malformed input."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from markov_entanglement.errors import InvalidInput
from markov_entanglement.measures.median import grouped_l1_medians, weighted_l1_median

GAP = 1e-12


def random_problem(rng, K, n, kind):
    """Laws and weights with what makes medians hard: ties, zeros, few distinct rows, skewed weights."""
    laws = rng.dirichlet(np.full(n, rng.choice([0.1, 1.0, 10.0])), K)
    if kind == "lattice":
        laws = rng.multinomial(4, np.full(n, 1.0 / n), K) / 4.0
    elif kind == "sparse":
        laws = laws * (rng.random((K, n)) < 0.4)
        laws[np.arange(K), rng.integers(n, size=K)] += 0.1
        laws /= laws.sum(axis=1, keepdims=True)
    elif kind == "repeated":
        laws = laws[rng.integers(min(K, 3), size=K)]
    elif kind == "near":
        laws = laws[:1] + 1e-9 * (laws - laws[:1])
    weights = {
        "equal": np.full(K, 1.0 / K),
        "random": rng.random(K),
        "integer": rng.integers(0, 3, K).astype(float),
        "skewed": 2.0 ** -rng.integers(0, 70, K).astype(float),
    }[rng.choice(["equal", "random", "integer", "skewed"])]
    return laws, weights


KINDS = ("dense", "lattice", "sparse", "repeated", "near")


@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 9), st.sampled_from(KINDS))
def test_duality_gap(seed: int, K: int, n: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    laws, weights = random_problem(rng, K, n, kind)
    q, value = weighted_l1_median(laws, weights)
    assert oracles.is_law(q)
    upper = oracles.median_upper(laws, weights, q)
    assert value == pytest.approx(upper, rel=4e-15, abs=1e-300)
    if weights.sum() > 0:
        assert oracles.median_gap(laws, weights, q) <= GAP * weights.sum()


@pytest.mark.parametrize("K, n", [(50, 4), (500, 8), (5000, 8), (5000, 64), (100_000, 3)])
def test_duality_gap_of_large_problems(K: int, n: int) -> None:
    rng = np.random.default_rng(K + n)
    laws = rng.dirichlet(np.ones(n), K)
    for weights in (rng.random(K), np.full(K, 1.0 / K)):
        q, value = weighted_l1_median(laws, weights)
        assert oracles.is_law(q)
        assert abs(value - oracles.median_lower(laws, weights, q)) <= GAP * weights.sum()


def test_the_certificate_can_fail() -> None:
    """Negative control: any other law is caught, however near, and so is a wrong multiplier."""
    rng = np.random.default_rng(0)
    laws, weights = rng.dirichlet(np.ones(5), 31), rng.random(31)
    q, _ = weighted_l1_median(laws, weights)
    assert oracles.median_gap(laws, weights, q) <= GAP
    for size in (1e-2, 1e-5):
        other = q.copy()
        other[0] += size
        other[1] -= size
        assert oracles.median_gap(laws, weights, other) > 1e-7
    assert oracles.median_gap(laws, weights, weights @ laws / weights.sum()) > 1e-3
    assert not oracles.is_law(q * 1.001) and not oracles.is_law([1.5, -0.5])


def test_equals_rational_arithmetic() -> None:
    """200 small cases with ties and zero weights; the data are dyadic, so that floats hold them exactly."""
    rng = np.random.default_rng(1)
    for case in range(200):
        K, n = rng.integers(1, 7), rng.integers(1, 5)
        laws = rng.multinomial(rng.choice([2, 4, 64]), np.full(n, 1.0 / n), K)
        laws = laws / laws.sum(axis=1, keepdims=True)
        weights = rng.integers(0, 4, K).astype(float)
        q, value = weighted_l1_median(laws, weights)
        exact = oracles.exact_median_value(laws, weights)
        assert value == pytest.approx(float(exact), rel=4e-16, abs=4e-16), case
        assert oracles.is_law(q)


def test_rational_oracle_by_hand() -> None:
    """Negative control of the oracle: cases solved by hand."""
    assert oracles.exact_median_value([[1, 0], [0, 1]], [1, 1]) == 1
    assert oracles.exact_median_value([[1, 0], [0, 1]], [3, 1]) == 1
    assert oracles.exact_median_value([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [1, 1, 1]) == 2
    assert oracles.exact_median_value([[1, 0, 0], [0, 1, 0], [0, 0, 1]], [5, 1, 1]) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_equals_linear_program(kind: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(6):
        laws, weights = random_problem(rng, int(rng.integers(2, 15)), int(rng.integers(2, 6)), kind)
        _, value = weighted_l1_median(laws, weights)
        assert value == pytest.approx(oracles.median_by_linprog(laws, weights), abs=1e-8)


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_two_categories_are_the_weighted_median(seed: int, K: int) -> None:
    rng = np.random.default_rng(seed)
    p, w = rng.integers(0, 9, K) / 8.0, rng.integers(1, 5, K).astype(float)
    q, value = weighted_l1_median(np.column_stack([p, 1 - p]), w)
    assert w[p < q[0]].sum() <= w.sum() / 2 and w[p > q[0]].sum() <= w.sum() / 2
    assert value == pytest.approx(min((w * np.abs(p - x)).sum() for x in p), rel=1e-15, abs=1e-15)


def test_ties_of_rounded_weights_are_found() -> None:
    """.1 + .2 != .3 in floats: the two halves still weigh the same, and the fill between them is even."""
    q, value = weighted_l1_median([[1, 0], [1, 0], [0, 1]], [0.1, 0.2, 0.3])
    assert q.tolist() == [0.5, 0.5] and value == pytest.approx(0.3, rel=1e-15)


@given(st.integers(0, 10**6), st.integers(2, 25), st.integers(2, 6), st.sampled_from(KINDS))
def test_invariances(seed: int, K: int, n: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    laws, weights = random_problem(rng, K, n, kind)
    weights[0] += 1.0
    q, value = weighted_l1_median(laws, weights)
    rows, columns = rng.permutation(K), rng.permutation(n)
    for other, order in (
        (weighted_l1_median(laws[rows], weights[rows]), slice(None)),
        (weighted_l1_median(laws[:, columns], weights), columns),
        (weighted_l1_median(laws, 8 * weights), slice(None)),
        (weighted_l1_median(np.repeat(laws, 2, axis=0), np.repeat(weights / 2, 2)), slice(None)),
        (weighted_l1_median(np.vstack([laws, np.eye(n)]), np.append(weights, np.zeros(n))), slice(None)),
    ):
        assert other[0] == pytest.approx(q[order], abs=1e-13)
    assert weighted_l1_median(laws, 8 * weights)[1] == pytest.approx(8 * value, rel=1e-14)


def test_equal_rows_are_returned_unchanged() -> None:
    law = np.array([0.1, 0.2, 0.3, 0.4 - 3e-15])
    q, value = weighted_l1_median([law, law, law, [0, 0, 0, 1]], [0.3, 0.5, 0.1, 0.0])
    assert q.tolist() == law.tolist() and value == 0.0
    q, value = weighted_l1_median([law])
    assert q.tolist() == law.tolist() and value == 0.0


def test_without_weight() -> None:
    q, value = weighted_l1_median([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    assert q.tolist() == [0.5, 0.5] and value == 0.0


@pytest.mark.parametrize("scale", [1e-310, 1e-150, 1e150, 1e305])
def test_scale_of_weights(scale: float) -> None:
    rng = np.random.default_rng(3)
    laws, weights = rng.dirichlet(np.ones(4), 20), rng.integers(1, 9, 20).astype(float)
    q, value = weighted_l1_median(laws, weights)
    q2, value2 = weighted_l1_median(laws, weights * scale)
    assert q2 == pytest.approx(q, abs=1e-11) and value2 / scale == pytest.approx(value, rel=1e-11)


def grouped_problem(rng, groups, n):
    """Rows of groups of sizes 0, 1 and more; some groups without weight."""
    sizes = rng.integers(0, 12, groups) * (rng.random(groups) < 0.8)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    weights = rng.random(starts[-1]) * (rng.random(starts[-1]) < 0.7)
    return rng.dirichlet(np.ones(n), starts[-1]), weights, starts


def test_groups_equal_single_problems() -> None:
    laws, weights, starts = grouped_problem(np.random.default_rng(4), 60, 5)
    q, value = grouped_l1_medians(laws, weights, starts)
    for g, (a, b) in enumerate(pairwise(starts)):
        if a == b:
            assert np.isnan(q[g]).all() and value[g] == 0.0
        elif not weights[a:b].any():
            assert q[g] == pytest.approx(laws[a:b].mean(axis=0), abs=1e-15) and value[g] == 0.0
        else:
            single = weighted_l1_median(laws[a:b], weights[a:b])
            assert q[g].tobytes() == single[0].tobytes() and value[g] == single[1]
    none = grouped_l1_medians(np.empty((0, 3)), np.empty(0), np.zeros(4, np.int64))
    assert np.isnan(none[0]).all() and none[0].shape == (3, 3) and not none[1].any()


def test_threads_do_not_change_a_bit() -> None:
    laws, weights, starts = grouped_problem(np.random.default_rng(5), 3000, 16)
    assert laws.size > 200_000
    one = grouped_l1_medians(laws, weights, starts, threads=1)
    for threads in (None, 2, 3, 7):
        many = grouped_l1_medians(laws, weights, starts, threads=threads)
        assert [a.tobytes() for a in many] == [a.tobytes() for a in one]


def test_inputs_of_any_layout_and_untouched() -> None:
    rng = np.random.default_rng(6)
    laws, weights = rng.dirichlet(np.ones(4), 30), rng.random(30)
    before = laws.copy(), weights.copy()
    q, value = weighted_l1_median(laws, weights)
    q2, value2 = weighted_l1_median(np.asfortranarray(laws), np.repeat(weights, 2)[::2])
    assert q2.tobytes() == q.tobytes() and value2 == value
    assert np.array_equal(laws, before[0]) and np.array_equal(weights, before[1])
    q3, value3 = weighted_l1_median(laws.tolist(), weights.tolist())
    assert q3.tobytes() == q.tobytes() and value3 == value


def test_batches_and_default_weights() -> None:
    rng = np.random.default_rng(7)
    laws, weights = rng.dirichlet(np.ones(3), (2, 4, 9)), rng.random((2, 4, 9))
    q, value = weighted_l1_median(laws, weights)
    assert q.shape == (2, 4, 3) and value.shape == (2, 4)
    for at in np.ndindex(2, 4):
        single = weighted_l1_median(laws[at], weights[at])
        assert q[at].tobytes() == single[0].tobytes() and value[at] == single[1]
    even = weighted_l1_median(laws[0, 0])
    assert even[0].tolist() == weighted_l1_median(laws[0, 0], np.ones(9))[0].tolist()
    assert even[1] == pytest.approx(weighted_l1_median(laws[0, 0], np.ones(9))[1] / 9, rel=1e-15)
    assert isinstance(even[1], float)


@pytest.mark.parametrize("pattern", ["sorted", "organ", "saw", "interleaved", "few"])
def test_patterns_do_not_make_selection_quadratic(pattern: str) -> None:
    i = np.arange(100_000)
    p = {
        "sorted": i / 1e5,
        "organ": np.minimum(i, 1e5 - i) / 1e5,
        "saw": (i % 317) / 317,
        "interleaved": np.where(i % 2, i, 1e5 - i) / 1e5,
        "few": (i % 7) / 7,
    }[pattern]
    start = time.perf_counter()
    q, _ = weighted_l1_median(np.column_stack([p, 1 - p]))
    assert time.perf_counter() - start < 5.0
    assert q[0] == pytest.approx(np.median(p), abs=2e-5)


@pytest.mark.parametrize(
    "laws, weights, word",
    [
        ([[0.5, 0.6]], None, "laws"),
        ([[1.5, -0.5]], None, "laws"),
        ([[np.nan, 1.0]], None, "laws"),
        ([0.5, 0.5], None, "laws"),
        (1.0, None, "laws"),
        (np.empty((0, 3)), None, "laws"),
        ([[0.5, 0.5], [1.0]], None, "laws"),
        ([["a", "b"]], None, "laws"),
        ([[1.0, 0.0]], [1.0, 1.0], "weights"),
        ([[1.0, 0.0]], 1.0, "weights"),
        ([[1.0, 0.0]], [-1.0], "weights"),
        ([[1.0, 0.0]], [np.inf], "weights"),
        ([[1.0, 0.0], [0.0, 1.0]], [1.7e308, 1.7e308], "weights"),
    ],
)
def test_malformed(laws: object, weights: object, word: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^{word}(\[1\])?: got"), np.errstate(over="ignore"):
        weighted_l1_median(laws, weights)
