"""Minimax centre: certified gaps against an independent bound, exact short cuts, groups, failures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from markov_entanglement import _tolerance
from markov_entanglement.errors import InvalidInput, NoConvergence
from markov_entanglement.measures import centre
from markov_entanglement.measures.centre import grouped_minimax_centres, minimax_centre

GAP = 1e-9
KINDS = ("dense", "spiky", "lattice", "repeated", "mixture", "near")


def random_laws(rng, K, n, kind):
    """Laws with what makes centres hard: one-hot rows, repeated rows, a low-dimensional set, tiny sets."""
    laws = rng.dirichlet(np.full(n, 0.05 if kind == "spiky" else 1.0), K)
    if kind == "lattice":
        laws = rng.multinomial(2, np.full(n, 1.0 / n), K) / 2.0
    elif kind == "repeated":
        laws = laws[rng.integers(min(K, 4), size=K)]
    elif kind == "mixture":
        laws = rng.dirichlet(np.ones(3), K) @ rng.dirichlet(np.ones(n), 3)
    elif kind == "near":
        laws = laws[:1] + 10.0 ** -rng.integers(1, 12) * (laws - laws[:1])
    return laws / laws.sum(axis=1, keepdims=True)


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 9), st.sampled_from(KINDS))
def test_certified_gap(seed: int, K: int, n: int, kind: str) -> None:
    laws = random_laws(np.random.default_rng(seed), K, n, kind)
    q, value, gap = grouped_minimax_centres(laws, np.array([0, K]))
    assert oracles.is_law(q[0]) and 0.0 <= gap[0] <= GAP
    assert value[0] == pytest.approx(oracles.centre_upper(laws, q[0]), rel=1e-14, abs=1e-15)
    assert value[0] - oracles.centre_lower(laws) <= 2e-8  # the oracle's linear program stops at 1e-7
    assert value[0] - gap[0] <= oracles.centre_upper(laws, laws.mean(axis=0)) + 1e-15


@pytest.mark.parametrize("K, n", [(50, 4), (500, 8), (12, 40)])
def test_certified_gap_of_larger_problems(K: int, n: int) -> None:
    laws = np.random.default_rng(K).dirichlet(np.ones(n), K)
    q, value = minimax_centre(laws)
    assert oracles.is_law(q)
    assert value == pytest.approx(oracles.centre_upper(laws, q), rel=1e-14)
    assert value - oracles.centre_lower(laws) <= GAP


def test_the_certificate_can_fail() -> None:
    """Negative control: a perturbed centre is caught, and the lower bound is not the upper one in disguise."""
    laws = np.random.default_rng(0).dirichlet(np.ones(5), 40)
    q, _ = minimax_centre(laws)
    low = oracles.centre_lower(laws)
    assert oracles.centre_upper(laws, q) - low <= GAP
    caught = 0
    for j in range(5):
        other = q.copy()
        other[j] += 1e-4
        other /= other.sum()
        caught += oracles.centre_upper(laws, other) - low > 1e-6
    assert caught >= 4
    assert oracles.centre_upper(laws, laws.mean(axis=0)) - low > 1e-3


@given(st.integers(0, 10**6), st.integers(2, 20), st.integers(2, 8), st.sampled_from(KINDS))
def test_both_ways_agree(seed: int, K: int, n: int, kind: str) -> None:
    laws = random_laws(np.random.default_rng(seed), K, n, kind)
    laws = centre.frozen_view(np.unique(laws, axis=0), np.float64)
    for way in (centre._over_laws, centre._over_weights):
        q, value, low = way(laws)
        assert oracles.is_law(q) and value == pytest.approx(oracles.centre_upper(laws, q), abs=1e-14)
        assert -1e-15 <= value - low <= GAP


def test_one_and_two_rows_and_two_categories_are_exact() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.dirichlet(np.ones(6), 2)
    q, value = minimax_centre([a])
    assert q.tolist() == a.tolist() and value == 0.0
    q, value = minimax_centre([a, a, a])
    assert q.tolist() == a.tolist() and value == 0.0
    q, value = minimax_centre([a, b, a])
    assert q == pytest.approx((a + b) / 2, abs=1e-16) and value == pytest.approx(
        oracles.tv(a, b) / 2, rel=1e-15
    )
    p = rng.random(30)
    q, value = minimax_centre(np.column_stack([p, 1 - p]))
    assert q[0] == pytest.approx((p.min() + p.max()) / 2, abs=1e-16)
    assert value == pytest.approx((p.max() - p.min()) / 2, rel=1e-15)
    q, value = minimax_centre(np.ones((3, 1)))
    assert q.tolist() == [1.0] and value == 0.0


def test_short_cuts_build_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise AssertionError("a linear program was built")

    monkeypatch.setattr(centre, "_certified", refuse)
    rng = np.random.default_rng(2)
    a, b = rng.dirichlet(np.ones(5), 2)
    minimax_centre(np.linspace(0, 1, 9)[:, None] * a + np.linspace(1, 0, 9)[:, None] * b)
    with pytest.raises(AssertionError):
        minimax_centre(np.eye(3))


@pytest.mark.parametrize("n", [3, 10, 40])
def test_unit_laws(n: int) -> None:
    q, value = minimax_centre(np.eye(n))
    assert value == pytest.approx(1 - 1 / n, abs=GAP) and q == pytest.approx(np.full(n, 1 / n), abs=n * GAP)


def test_repeated_rows_and_order_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    laws = rng.dirichlet(np.ones(6), 50)
    _, value = minimax_centre(laws)
    assert minimax_centre(np.repeat(laws, 20, axis=0))[1] == pytest.approx(value, abs=GAP)
    assert minimax_centre(laws[rng.permutation(50)])[1] == pytest.approx(value, abs=GAP)
    assert minimax_centre(laws[:, rng.permutation(6)])[1] == pytest.approx(value, abs=GAP)
    assert (centre._distinct(laws) == laws).all()
    for n in range(2, 40):
        laws = rng.dirichlet(np.ones(n), 50)
        few = centre._distinct(np.vstack([laws, laws[::-1], laws]))
        assert len(few) == 50 and {tuple(p) for p in few} == {tuple(p) for p in laws}


def test_groups_equal_single_problems() -> None:
    rng = np.random.default_rng(4)
    sizes = rng.integers(0, 9, 25)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    laws = rng.dirichlet(np.ones(4), starts[-1])
    q, value, gap = grouped_minimax_centres(laws, starts)
    assert gap.max() <= GAP
    for g, (a, b) in enumerate(pairwise(starts)):
        if a == b:
            assert np.isnan(q[g]).all() and value[g] == 0.0 and gap[g] == 0.0
        else:
            single = minimax_centre(laws[a:b])
            assert q[g].tobytes() == single[0].tobytes() and value[g] == single[1]
    none = grouped_minimax_centres(np.empty((0, 3)), np.zeros(3, np.int64))
    assert np.isnan(none[0]).all() and not none[1].any()


def test_same_input_same_bytes() -> None:
    laws = np.random.default_rng(5).dirichlet(np.ones(7), 60)
    (q, value), (q2, value2) = minimax_centre(laws), minimax_centre(laws.copy())
    assert q.tobytes() == q2.tobytes() and value == value2


def test_no_convergence_carries_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    laws = np.random.default_rng(6).dirichlet(np.ones(4), 20)
    _, value = minimax_centre(laws)
    monkeypatch.setattr(_tolerance, "CENTRE_GAP", -1.0)
    with pytest.raises(NoConvergence, match="minimax centre") as caught:
        minimax_centre(laws)
    q, best = caught.value.best
    assert oracles.is_law(q) and best == pytest.approx(value, abs=1e-12)
    assert abs(caught.value.residual) <= 1e-12


def test_a_failing_solver_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """When every LP fails the answer is refused, and the residual is an honest gap."""
    laws = np.random.default_rng(7).dirichlet(np.ones(4), 20)
    _, value = minimax_centre(laws)
    monkeypatch.setattr(centre._Model, "solve", lambda _: None)
    with pytest.raises(NoConvergence) as caught:
        minimax_centre(laws)
    q, best = caught.value.best
    assert best == pytest.approx(oracles.centre_upper(laws, q), abs=1e-14)
    assert best - caught.value.residual <= value + 1e-12


@pytest.mark.parametrize(
    "laws",
    [
        [[0.5, 0.6]],
        [[1.5, -0.5]],
        [[np.nan, 1.0]],
        [0.5, 0.5],
        np.full((2, 2, 2), 0.5),
        np.empty((0, 3)),
        [[0.5, 0.5], [1.0]],
    ],
)
def test_malformed(laws: object) -> None:
    with pytest.raises(InvalidInput, match=r"^laws(\[1\])?: got"):
        minimax_centre(laws)
