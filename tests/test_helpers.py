"""The oracles catch wrong answers: one negative control for each."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import Truth, build, centre_lp, gth, index_table, median_lp, product_kernel, separable_chain

TWO = (np.eye(2)[:, None], np.ones((2, 1)), (2,), (1,))


def test_stationary_law_by_reduction() -> None:
    p = np.array([[0.9, 0.1, 0.0], [0.0, 0.5, 0.5], [0.2, 0.0, 0.8]])
    mu = gth(p)
    assert np.abs(mu @ p - mu).max() < 1e-15
    assert np.abs(mu - 1 / 3).max() > 0.1  # the uniform law would be wrong


def test_classes_are_counted() -> None:
    assert len(Truth(*TWO).classes) == 2
    one = Truth(np.array([[[0.0, 1.0]], [[1.0, 0.0]]]), *TWO[1:])
    assert one.classes == [[0, 1]]
    with pytest.raises(ValueError):  # a law with two classes has no `mu`
        Truth(*TWO).mu  # noqa: B018


def test_positions_refuse_other_pairs() -> None:
    case = build("mdp", (2, 2), (2, 1), "uniform", False, 0)
    other = build("mdp", (2, 3), (2, 1), "uniform", False, 0)
    assert len(case.truth.position(case.chain)) == case.chain.n_pairs
    with pytest.raises(AssertionError):
        case.truth.position(other.chain)


def test_programs_have_the_textbook_values() -> None:
    laws = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert median_lp(laws, np.array([1.0, 1.0, 1.0])) == pytest.approx(1.0)
    assert median_lp(laws, np.array([3.0, 1.0, 1.0])) == pytest.approx(2.0)
    assert centre_lp(laws) == pytest.approx(0.5)
    assert centre_lp(laws[1:]) == pytest.approx(0.0)
    assert median_lp(laws, np.ones(3)) != pytest.approx(0.5)


def test_index_tables_serve_the_highest() -> None:
    table = index_table([np.array([0.0, 1.0])] * 2, (2, 2), 1)
    assert table[1].tolist() == [0, 1, 0, 0]  # state (0, 1): agent 1
    assert table[0].tolist() == [0, 0.5, 0.5, 0]  # a tie
    assert index_table([np.array([1.0, 0.0])] * 2, (2, 2), 1)[1].tolist() == [0, 0, 1, 0]


def test_product_kernels_are_row_major() -> None:
    a, b = np.array([[[0.9, 0.1], [0.2, 0.8]]]), np.array([[[0.5, 0.5, 0], [0, 1, 0], [0.1, 0.2, 0.7]]])
    assert np.allclose(product_kernel([a, b])[:, 0], np.kron(a[0], b[0]))
    assert not np.allclose(product_kernel([a, b])[:, 0], np.kron(b[0], a[0]))


@pytest.mark.parametrize("signed", [False, True])
def test_planted_separable_chains_are_laws(signed: bool) -> None:
    p = separable_chain((2, 3), 3, 1, signed)
    assert p.min() >= 0 and np.abs(p.sum(axis=1) - 1).max() < 1e-12
