"""Lemma D.1 (Chen & Peng). The span Omega_m of the m x m transition matrices has dimension `m (m - 1) + 1`; a basis
is `T_0` = "all rows go to 0" and `T_{k,l}` = "row k goes to l, all others to 0", k = 0..m-1, l = 1..m-1. It is the
space of matrices with equal row sums."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markov_entanglement.errors import InvalidInput
from markov_entanglement.separable.omega import coordinate_map, omega_basis, omega_dimension, project

SIZES = [1, 2, 3, 4, 6]


@pytest.mark.parametrize("m", SIZES)
def test_a_basis_of_transition_matrices(m: int) -> None:
    basis = omega_basis(m)
    assert basis.shape == (m * (m - 1) + 1, m, m) and len(basis) == omega_dimension((m,))
    assert set(np.unique(basis)) <= {0.0, 1.0}
    assert (basis.sum(axis=2) == 1.0).all()
    assert np.linalg.matrix_rank(basis.reshape(len(basis), -1)) == len(basis)


@pytest.mark.parametrize("m", SIZES)
def test_transition_matrices_span_no_more(m: int) -> None:
    rng = np.random.default_rng(m)
    sample = rng.dirichlet(np.ones(m), size=(3 * m * m, m)).reshape(3 * m * m, -1)
    assert np.linalg.matrix_rank(sample) == m * (m - 1) + 1
    both = np.vstack([sample, omega_basis(m).reshape(-1, m * m)])
    assert np.linalg.matrix_rank(both) == m * (m - 1) + 1


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.floats(-3, 3))
def test_equal_row_sums_are_the_span(m: int, seed: int, c: float) -> None:
    """`M = sum_{k, l>=1} M_kl T_{k,l} + (c - sum_{k, l>=1} M_kl) T_0` for every M with row sums c."""
    matrix = np.random.default_rng(seed).normal(size=(m, m))
    matrix[:, 0] += c - matrix.sum(axis=1)
    rebuilt = (c - matrix[:, 1:].sum()) * omega_basis(m)[0]
    for k in range(m):
        for l in range(1, m):
            rebuilt = rebuilt + matrix[k, l] * omega_basis(m)[1 + k * (m - 1) + l - 1]
    assert np.allclose(rebuilt, matrix, atol=1e-12)
    coordinates = coordinate_map(m) @ matrix.ravel()
    assert np.allclose(np.tensordot(coordinates, omega_basis(m), axes=1), matrix, atol=1e-12)


@given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_the_projection_is_orthogonal(m: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(m, m))
    inside = project(matrix.reshape(-1), (m,), (m,)).reshape(m, m)
    assert np.ptp(inside.sum(axis=1)) <= 1e-12
    assert np.abs(np.tensordot(omega_basis(m), matrix - inside, axes=2)).max() <= 1e-12
    assert np.ptp(matrix.sum(axis=1)) > 1e-12  # the projection had something to remove


def test_extreme_a_single_pair() -> None:
    assert omega_basis(1).tolist() == [[[1.0]]]


@pytest.mark.parametrize("m", [0, -1, 2.5, "3", True])
def test_malformed_size(m: object) -> None:
    with pytest.raises(InvalidInput):
        omega_basis(m)  # type: ignore[arg-type]
