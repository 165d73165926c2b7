"""Appendix D in N agents. The span of the products of transition matrices is the tensor product of the
`Omega_{m_i}`, of dimension `prod_i (m_i (m_i - 1) + 1)`, and a transition matrix on the full product is separable iff
it lies in it: iff for every i, `sum_t P(x, x'[x'_i <- t])` does not depend on x_i."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_separability as oracle
from markov_entanglement.separable.decide import separability
from markov_entanglement.separable.omega import joint, omega_basis, omega_dimension, project, realign

SHAPES = [(2, 2), (2, 3), (3, 3), (2, 2, 2)]


@pytest.mark.parametrize("sizes", SHAPES)
def test_the_dimension(sizes: tuple[int, ...]) -> None:
    products = [oracle.kron_all(parts).ravel() for parts in itertools.product(*map(omega_basis, sizes))]
    assert len(products) == omega_dimension(sizes) == np.linalg.matrix_rank(np.array(products))
    rng = np.random.default_rng(0)
    sample = [
        oracle.kron_all([rng.dirichlet(np.ones(m), size=m) for m in sizes]).ravel()
        for _ in range(omega_dimension(sizes) + 20)
    ]
    assert np.linalg.matrix_rank(np.array(sample)) == omega_dimension(sizes)
    assert np.linalg.matrix_rank(np.array(products + sample)) == omega_dimension(sizes)


def signals(p: np.ndarray, sizes: tuple[int, ...]) -> float:
    """Largest violation of the equations of the statement, by loops."""
    n, worst = len(sizes), 0.0
    cube = p.reshape(*sizes, *sizes)
    for i in range(n):
        for x in itertools.product(*map(range, sizes)):
            for other in range(sizes[i]):
                y = (*x[:i], other, *x[i + 1 :])
                worst = max(worst, float(np.abs(cube[x].sum(axis=i) - cube[y].sum(axis=i)).max()))
    return worst


@given(st.integers(0, 2**32 - 1), st.sampled_from(SHAPES))
def test_every_transition_in_the_span_is_separable(seed: int, sizes: tuple[int, ...]) -> None:
    """A random direction of the span, as far as entries stay >= 0: a face of P_SEP."""
    rng = np.random.default_rng(seed)
    n = math.prod(sizes)
    direction = joint(project(rng.normal(size=[m * m for m in sizes]), sizes, sizes), sizes, sizes)
    direction -= direction.sum(axis=1, keepdims=True) / n
    p = np.full((n, n), 1.0 / n)
    p = np.maximum(p + direction / (-direction.min() * n), 0.0)
    assert signals(p, sizes) <= 1e-12 and p.min() <= 1e-15
    answer = separability(me.JointChain(p, sizes))
    assert answer.verdict == "separable"
    oracle.check_decomposition(answer.certificate.weights, answer.certificate.factors, p, np.arange(n), sizes)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["separable", "pair 1e-3", "random"]), st.booleans())
def test_separable_iff_no_signalling(seed: int, kind: str, sparse: bool) -> None:
    system = oracle.planted(np.random.default_rng(seed), kind, 3, sparse)
    answer = separability(me.JointChain(system.p, system.sizes))
    assert (signals(system.p, system.sizes) < 1e-9) == (answer.verdict == "separable")


def test_realigning_turns_products_into_outer_products() -> None:
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=(m, m)) for m in (2, 3, 4))
    tensor = realign(oracle.kron_all([a, b, c]), (2, 3, 4), (2, 3, 4))
    assert np.array_equal(tensor, np.multiply.outer(np.multiply.outer(a.ravel(), b.ravel()), c.ravel()))
    assert np.array_equal(joint(tensor, (2, 3, 4), (2, 3, 4)), oracle.kron_all([a, b, c]))
