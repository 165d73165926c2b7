"""Appendix C (Chen & Peng): separability with weights >= 0 asks for more. `P_SEP` is the no-signalling polytope and
`P_SEP+` the local (Bell) polytope; a Popescu-Rohrlich box is in the first and not in the second.

For two agents with two local pairs the no-signalling polytope has 24 vertices, 16 products of deterministic maps and
8 boxes, and a member is in `P_SEP+` iff all 8 CHSH combinations are at most 2 (Fine 1982; Barrett et al. 2005)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_separability as oracle
from markov_entanglement.separable.decide import separability
from markov_entanglement.separable.local_polytope import local_polytope

PRODUCTS = [
    np.kron(np.eye(2)[list(f)], np.eye(2)[list(g)])
    for f in itertools.product(range(2), repeat=2)
    for g in itertools.product(range(2), repeat=2)
]


def pr_box(alpha: int, beta: int, gamma: int) -> np.ndarray:
    """`a xor b = xy xor alpha x xor beta y xor gamma`, uniform otherwise."""
    p = np.zeros((4, 4))
    for x, y, a in itertools.product(range(2), repeat=3):
        b = a ^ (x & y) ^ (alpha & x) ^ (beta & y) ^ gamma
        p[2 * x + y, 2 * a + b] = 0.5
    return p


BOXES = [pr_box(*bits) for bits in itertools.product(range(2), repeat=3)]


def chsh(p: np.ndarray) -> float:
    """Largest of the 8 CHSH combinations."""
    sign = np.array([1.0, -1.0, -1.0, 1.0])
    e = p @ sign
    return max(s * (e.sum() - 2 * e[k]) for k in range(4) for s in (1.0, -1.0))


def check(p: np.ndarray, verdict: str) -> None:
    answer = local_polytope(me.JointChain(p, (2, 2)))
    assert answer.verdict == verdict
    rows = np.arange(4)
    if verdict == "mixture":
        c = answer.certificate
        oracle.check_decomposition(c.weights, c.factors, p, rows, (2, 2), mixture=True)
    else:
        assert oracle.check_bell(answer.inequality, p, rows, (2, 2)) == pytest.approx(answer.gap, abs=1e-9)


def test_the_24_vertices() -> None:
    assert len({v.tobytes() for v in PRODUCTS + BOXES}) == 24
    for p in PRODUCTS:
        check(p, "mixture")
    for p in BOXES:
        assert chsh(p) == 4.0
        check(p, "no-mixture")
        answer = separability(me.JointChain(p, (2, 2)))
        assert answer.verdict == "separable" and answer.certificate.weights.min() < 0.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.floats(0.0, 1.0))
def test_random_mixtures_of_the_vertices(seed: int, count: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    picked = rng.choice(24, size=count, replace=False)
    weights = rng.dirichlet(np.ones(count)) * (1.0 - share)
    p = sum(w * (PRODUCTS + BOXES)[k] for w, k in zip(weights, picked, strict=True))
    p = p + share * BOXES[int(rng.integers(8))]
    value = chsh(p)
    if abs(value - 2.0) > 1e-6:
        check(p, "mixture" if value < 2.0 else "no-mixture")
    assert separability(me.JointChain(p, (2, 2))).verdict == "separable"


@pytest.mark.parametrize("excess", [1e-6, 1e-3])
def test_tight_on_both_sides_of_a_facet(excess: float) -> None:
    """`(1 - s) uniform + s box` has CHSH 4 s: the boundary is s = 1/2."""
    for s, verdict in ((0.5, "mixture"), (0.5 - excess, "mixture"), (0.5 + excess, "no-mixture")):
        check(np.full((4, 4), 0.25 * (1 - s)) + s * BOXES[0], verdict)


def test_the_distance_of_a_box() -> None:
    """The L1 distance from a box to the polytope is 2: four rows, each off by at least 1/2."""
    answer = local_polytope(me.JointChain(BOXES[0], (2, 2)))
    assert answer.gap == pytest.approx(2.0, abs=1e-9)
    assert "negative weights" in answer.sentence
