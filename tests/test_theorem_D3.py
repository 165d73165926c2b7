"""Lemma D.3 (Chen & Peng). For gamma in (0, 1) and P on the full product: P is separable iff its resolvent is,
`(1-gamma)(I - gamma P)^{-1}`.

The separable matrices with entries of any sign are the tensor product of algebras with unit (matrices with equal row
sums), so powers, limits and inverses stay inside; back, `gamma P = I - (1-gamma) R^{-1}`. The same with "agent-wise
separable" on any support: functions of x_i alone are an invariant space of P iff they are one of R.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_separability as oracle
from markov_entanglement.separable.decide import separability

SEEDS, GAMMAS = st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.5, 0.9, 0.99])


def resolvent(p: np.ndarray, gamma: float) -> np.ndarray:
    return (1 - gamma) * np.linalg.inv(np.eye(len(p)) - gamma * p)


@given(SEEDS, st.sampled_from([(2, 2), (2, 3), (2, 2, 2)]), st.booleans(), GAMMAS)
def test_separable_stays_separable(seed: int, sizes, sparse: bool, gamma: float) -> None:
    p = oracle.separable(np.random.default_rng(seed), sizes, sparse)
    r = resolvent(p, gamma)
    assert oracle.distance_to_span(r, sizes) <= 1e-10
    answer = separability(me.JointChain(np.maximum(r, 0.0), sizes))
    assert answer.verdict == "separable"
    c = answer.certificate
    oracle.check_decomposition(c.weights, c.factors, r, np.arange(math.prod(sizes)), sizes)


@given(
    SEEDS,
    st.sampled_from(["random", "entangled 1e-3", "pair 1e-3"]),
    st.integers(2, 3),
    st.booleans(),
    GAMMAS,
)
def test_entangled_stays_entangled(seed: int, kind: str, n_agents: int, sparse: bool, gamma: float) -> None:
    """And the way back: what the resolvent is, P is, also by solving for P from R."""
    system = oracle.planted(np.random.default_rng(seed), kind, n_agents, sparse)
    r = resolvent(system.p, gamma)
    assert np.abs((np.eye(len(r)) - (1 - gamma) * np.linalg.inv(r)) / gamma - system.p).max() <= 1e-9 / (
        1 - gamma
    )
    answer = separability(me.JointChain(np.maximum(r, 0.0), system.sizes))
    assert answer.verdict in (system.verdict, "undecided")
    if system.verdict == "entangled" and gamma <= 0.9:
        assert answer.verdict == "entangled"
        assert math.prod(system.sizes) > 12 or oracle.distance_to_span(r, system.sizes) > 1e-10
        if answer.equation is not None:
            assert oracle.check_equation(answer.equation, r, np.arange(len(r)), system.sizes) > 1e-9


@settings(max_examples=40)
@given(SEEDS, st.sampled_from(["restricted", "cut", "separable"]), st.integers(2, 3), GAMMAS)
def test_agentwise_on_any_support(seed: int, kind: str, n_agents: int, gamma: float) -> None:
    system = oracle.planted(np.random.default_rng(seed), kind, n_agents, True)
    inner = system.p[np.ix_(system.rows, system.rows)]
    law = np.zeros((len(system.rows), len(system.p)))
    law[:, system.rows] = resolvent(inner, gamma)
    spread = oracle.largest_difference(law, system.sizes, system.rows)
    if system.agentwise == "separable":
        assert spread <= 1e-9
    else:
        assert spread > 1e-6 * gamma * (1 - gamma)


@pytest.mark.parametrize("gamma", [0.3, 0.9])
def test_the_parity_chain_keeps_both_verdicts(gamma: float) -> None:
    """Extreme: agent-wise separable and entangled by Def. 6.2, P and its resolvent alike."""
    p = np.zeros((8, 8))
    for x in range(8):
        for u in range(2):
            for v in range(2):
                p[x, 4 * u + 2 * (u ^ (x & 1)) + v] = 0.25
    for chain in (p, resolvent(p, gamma)):
        answer = separability(me.JointChain(chain, (2, 2, 2)))
        assert (answer.agentwise, answer.verdict) == ("separable", "entangled")


def test_closed_form() -> None:
    """`d (eps e')(x)(e eps')` squares to 0: the resolvent of the App. E chain has `gamma (1-gamma) d` for d."""
    e, eps, d, gamma = np.ones(2), np.array([1.0, -1.0]), 0.2, 0.6
    part = np.kron(np.outer(eps, e), np.outer(e, eps))
    r = resolvent(np.full((4, 4), 0.25) + d * part, gamma)
    assert np.allclose(r, (1 - gamma) * np.eye(4) + gamma / 4 + gamma * (1 - gamma) * d * part)
    answer = separability(me.JointChain(r, (2, 2)))
    assert answer.verdict == "entangled" and answer.gap == pytest.approx(4 * gamma * (1 - gamma) * d)


def test_discount_zero_forgets_the_chain() -> None:
    """Negative control: at gamma = 0 the resolvent is the identity, separable whatever P is."""
    p = np.array([[0.25] * 4, [0.25] * 4, [0.25] * 4, [1.0, 0, 0, 0]])
    assert separability(me.JointChain(p, (2, 2))).verdict == "entangled"
    assert separability(me.JointChain(resolvent(p, 0.0), (2, 2))).verdict == "separable"
