"""Lemma H.3, the identity that the proof of Theorem H.2 uses. For transition matrices M_j of all agents and f of x_i
alone,

    ((M_0 (x) ... (x) M_{N-1}) f)(x) = (M_i f)(x_i),

so a separable comparison `P' = sum_j x_j P_0^(j) (x) ... (x) P_{N-1}^(j)` acts on such an f as
`P_i' = sum_j x_j P_i^(j)`.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_separability as oracle
from markov_entanglement.separable.decomposition import decompose

SHAPES = st.sampled_from([(2,), (2, 3), (3, 2, 2), (2, 2, 2, 2)])


def along(f: np.ndarray, sizes: tuple[int, ...], i: int) -> np.ndarray:
    """The function x -> f(x_i) on the full product, by a loop."""
    return np.array([f[x[i]] for x in itertools.product(*map(range, sizes))])


@given(st.integers(0, 2**32 - 1), SHAPES)
def test_a_product_acts_by_its_own_factor(seed: int, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    factors = [rng.dirichlet(np.full(m, 0.5), size=m) for m in sizes]
    whole = oracle.kron_all(factors)
    for i, m in enumerate(sizes):
        f = rng.normal(size=m)
        assert np.allclose(whole @ along(f, sizes, i), along(factors[i] @ f, sizes, i), atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(2, 2), (3, 2), (2, 3, 2)]), st.booleans())
def test_a_separable_comparison_acts_by_its_local_transition(seed: int, sizes, sparse: bool) -> None:
    """Weights of both signs; the library's decomposition gives the P_i', its chain applies P'."""
    rng = np.random.default_rng(seed)
    p = oracle.separable(rng, sizes, sparse)
    found, chain = decompose(p, sizes), me.JointChain(p, sizes).under()
    for i, m in enumerate(sizes):
        f = rng.normal(size=m)
        local = sum(w * t for w, t in zip(found.weights, found.factors[i], strict=True))
        assert np.allclose(p @ along(f, sizes, i), along(local @ f, sizes, i), atol=1e-9)
        assert np.allclose(
            chain.apply(along(f, sizes, i)), along(found.local_transition(i) @ f, sizes, i), atol=1e-9
        )


@given(st.integers(0, 2**32 - 1))
def test_the_other_factors_must_be_transitions(seed: int) -> None:
    """Negative control: with row sums c_j instead of 1 the identity is off by the product of the other c_j."""
    rng = np.random.default_rng(seed)
    a, b, f = rng.dirichlet(np.ones(2), size=2), rng.dirichlet(np.ones(3), size=3), rng.normal(size=2)
    c = rng.uniform(0.5, 0.9)
    assert np.allclose(np.kron(a, c * b) @ along(f, (2, 3), 0), c * along(a @ f, (2, 3), 0))


def test_an_entangled_transition_does_not() -> None:
    """Negative control: agent 0 copies agent 1, and no function of x_0 is the image of `f(x_0)`."""
    p = np.zeros((4, 4))
    for x in range(4):
        p[x, [2 * (x % 2), 2 * (x % 2) + 1]] = 0.5
    image = (p @ along(np.array([0.0, 1.0]), (2, 2), 0)).reshape(2, 2)
    assert np.ptp(image, axis=1).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("sizes", [(1, 1), (1, 3)])
def test_extreme_single_pairs(sizes: tuple[int, ...]) -> None:
    p = np.full((math.prod(sizes),) * 2, 1 / math.prod(sizes))
    assert decompose(p, sizes).local_transition(0) == pytest.approx(np.ones((1, 1)))
