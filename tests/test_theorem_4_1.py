"""Theorem 4.1 (Chen & Peng), N = 2, and agent-wise for every N: if for one gamma > 0 there are local functions
`Q_i(r_i)` with `Q = sum_i Q_i` for all rewards, then P is (agent-wise) separable.

Read backwards it is constructive: for every P that is not, the witness names rewards of a single agent at which
every function of that agent's pair is off by at least half of the gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_separability as oracle
from markov_entanglement.separable.decide import separability


def best_local_error(p: np.ndarray, sizes: tuple[int, ...], witness) -> float:
    """Least sup error of a function of x_i against Q at the witness rewards: half the widest spread of Q."""
    local = np.stack(np.unravel_index(np.arange(len(p)), sizes), axis=1)[:, witness.agent]
    reward = np.asarray(witness.rewards[witness.agent])[local]
    q = np.linalg.solve(np.eye(len(p)) - witness.discount * p, reward)
    return max(0.5 * float(np.ptp(q[local == k])) for k in range(sizes[witness.agent]))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([2, 3]),
    st.booleans(),
    st.sampled_from(["random", "entangled 1e-3", "entangled 1e-6"]),
    st.sampled_from([0.1, 0.5, 0.9, 0.99]),
)
def test_entangled_chains_have_a_witness(seed: int, n: int, sparse: bool, kind: str, gamma: float) -> None:
    system = oracle.planted(np.random.default_rng(seed), kind, n, sparse)
    answer = separability(me.JointChain(system.p, system.sizes), discount=gamma)
    assert answer.agentwise == system.agentwise
    if answer.agentwise == "entangled":
        gap = oracle.check_witness(answer.witness, system.p, system.rows, system.sizes)
        error = best_local_error(system.p, system.sizes, answer.witness)
        assert error >= 0.5 * gap * (1 - 1e-9) - 1e-13
        assert gap > 1e-9
    else:
        assert answer.witness is None


def test_separable_chains_have_none() -> None:
    rng = np.random.default_rng(0)
    for sparse in (False, True):
        system = oracle.planted(rng, "separable", 2, sparse)
        answer = separability(me.JointChain(system.p, system.sizes))
        assert answer.witness is None and answer.equation is None


@pytest.mark.parametrize("delta", [0.25, 0.2, 1e-3, -0.1])
def test_appendix_e_is_tight(delta: float) -> None:
    """`Q(x) - Q(y) = 8 gamma |delta|` by the closed form of the resolvent; local functions that read all rewards
    still add up, which the witness reports."""
    witness = separability(appendix_e(delta), discount=0.9).witness
    assert witness.agent == 1
    assert witness.gap == pytest.approx(8 * 0.9 * abs(delta), abs=1e-12)
    assert witness.additive_residual <= 1e-12


def appendix_e(delta: float):
    e, eps = np.ones((2, 1)), np.array([[1.0], [-1.0]])
    return me.JointChain(0.25 * np.kron(e @ e.T, e @ e.T) + delta * np.kron(eps @ e.T, e @ eps.T), (2, 2))


def test_some_witnesses_exclude_every_additive_function() -> None:
    """A follower that copies x_0 AND x_1: not even functions that read all rewards add up."""
    p = np.zeros((4, 4))
    for x in range(4):
        p[x, [0, 1]] = 0.5
    p[3] = (0.0, 0.0, 0.5, 0.5)
    witness = separability(me.JointChain(p, (2, 2))).witness
    assert witness.additive_residual > 0.1
