"""The parity chain: three binary agents, `x_0', x_2'` uniform and independent, `x_1' = x_0' xor x_2`. It is entangled
by Def. 6.2, yet agent-wise separable, and `Q = sum_i Q_i` for every reward."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_separability as oracle
from markov_entanglement.separable.decide import separability

SIZES = (2, 2, 2)


def parity() -> np.ndarray:
    p = np.zeros((8, 8))
    for x in range(8):
        for u in range(2):
            for v in range(2):
                p[x, 4 * u + 2 * (u ^ (x & 1)) + v] = 0.25
    return p


def test_two_verdicts_for_two_questions() -> None:
    answer = separability(me.gallery.build("parity").chain())
    assert (answer.agentwise, answer.verdict) == ("separable", "entangled")
    assert answer.witness is None and answer.certificate is None
    assert oracle.check_equation(answer.equation, parity(), np.arange(8), SIZES) == pytest.approx(0.5)
    assert answer.equation.agents == (0, 1)
    assert answer.agentwise_residual <= 1e-15
    assert np.allclose(np.concatenate(answer.local_laws), 0.5)


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.99))
def test_values_add_up_for_every_reward(seed: int, gamma: float) -> None:
    rng = np.random.default_rng(seed)
    r = [rng.normal(size=2) for _ in SIZES]
    local = np.stack(np.unravel_index(np.arange(8), SIZES), axis=1)
    q = np.linalg.solve(np.eye(8) - gamma * parity(), sum(r[i][local[:, i]] for i in range(3)))
    parts = [np.linalg.solve(np.eye(2) - gamma * np.full((2, 2), 0.5), ri) for ri in r]
    assert np.abs(q - sum(parts[i][local[:, i]] for i in range(3))).max() <= 1e-12 / (1 - gamma)


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1.0))
def test_any_share_of_parity_is_entangled(seed: int, share: float) -> None:
    """Extreme: mixed into products of uniform laws, which are the only ones that leave its single-agent laws alone."""
    p = (1 - share) / 8 + share * parity()
    answer = separability(me.JointChain(p, SIZES))
    assert (answer.agentwise, answer.verdict) == ("separable", "entangled")
    assert oracle.check_equation(answer.equation, p, np.arange(8), SIZES) == pytest.approx(share / 2)
    assert not math.isclose(oracle.distance_to_span(p, SIZES), 0.0, abs_tol=share / 100)
