"""Theorem 3.2 (Chen & Peng). If `P = sum_j x_j P_0^(j) (x) ... (x) P_{N-1}^(j)` then agent i's local transition is
`P_i = sum_j x_j P_i^(j)`, and with `Q_i = (I - gamma P_i)^{-1} r_i` the joint values are `Q = sum_i Q_i`, for all
local rewards."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_separability as oracle
from markov_entanglement.separable.decide import separability


def values_add_up(certificate, law, rows, sizes, gamma: float, rng) -> float:
    """Largest `|Q - sum_i Q_i|` with Q_i from the certificate's `sum_j x_j P_i^(j)`."""
    local = np.stack(np.unravel_index(rows, sizes), axis=1)
    total, reward = np.zeros(len(rows)), np.zeros(len(rows))
    for i, m in enumerate(sizes):
        r = rng.uniform(-1, 1, size=m)
        p_i = sum(w * f for w, f in zip(certificate.weights, certificate.factors[i], strict=True))
        total += np.linalg.solve(np.eye(m) - gamma * p_i, r)[local[:, i]]
        reward += r[local[:, i]]
    q = np.linalg.solve(np.eye(len(rows)) - gamma * law[:, rows], reward)
    return float(np.abs(q - total).max())


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(2, 2), (3, 4), (2, 3, 2), (2, 2, 2, 2)]),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 0.95]),
)
def test_separable_chains_decompose(seed: int, sizes: tuple[int, ...], sparse: bool, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    p = oracle.separable(rng, sizes, sparse)
    certificate = separability(me.JointChain(p, sizes)).certificate
    for i in range(len(sizes)):
        law = oracle.next_law(p, sizes, i)  # depends on x_i only, so any row gives P_i
        at = np.unravel_index(np.arange(math.prod(sizes)), sizes)[i]
        assert np.abs(certificate.local_transition(i)[at] - law).max() <= 1e-10
    assert values_add_up(certificate, p, np.arange(len(p)), sizes, gamma, rng) <= 1e-9 / (1 - gamma)


def test_example_3_3_on_its_restricted_support() -> None:
    """Extreme: a shared coin serves exactly one agent; the actions always sum to 1, yet values add up."""
    chain = me.gallery.build("shared-randomness").chain()
    answer = separability(chain)
    assert (answer.agentwise, answer.verdict) == ("separable", "separable")
    assert answer.support[0] < answer.support[1]
    at = np.ravel_multi_index(chain.pairs.T, chain.sizes)
    law = np.zeros((chain.n_pairs, math.prod(chain.sizes)))
    law[:, at] = chain.step.toarray()
    oracle.check_decomposition(answer.certificate.weights, answer.certificate.factors, law, at, chain.sizes)
    rng = np.random.default_rng(0)
    assert values_add_up(answer.certificate, law, at, chain.sizes, 0.9, rng) <= 1e-9


def test_the_condition_is_needed() -> None:
    """Negative control: one row nudged by 1e-3 and values no longer add up."""
    rng = np.random.default_rng(1)
    p = oracle.separable(rng, (2, 3), sparse=False)
    certificate = separability(me.JointChain(p, (2, 3))).certificate
    q = oracle.nudge(rng, p, (2, 3), 1e-3)
    assert values_add_up(certificate, q, np.arange(6), (2, 3), 0.9, rng) > 1e-5
    assert values_add_up(certificate, p, np.arange(6), (2, 3), 0.9, rng) == pytest.approx(0.0, abs=1e-10)
