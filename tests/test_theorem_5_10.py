"""Theorem 5.10: two agents, entanglement by `mu-atv`, error in the L1(mu) norm.

For the values `Q = (I - gamma P)^-1 r` and the local values `Q_i = (I - gamma P_i)^-1 r_i` of Eq. 2,

    ||Q - sum_i Q_i||_mu <= 4 gamma sum_i E_i r_i^max / (1 - gamma)^2,   r_i^max = max |r_i|,

where `E_i = min_M sum_x mu(x) TV(p_i(.|x), M(.|x_i))` (Eq. 7) and `||f||_mu = sum_x mu(x) |f(x)|`.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import markov_entanglement as me
from helpers import Case, cases

DISTANCE, NORM, AGENTS = "mu-atv", "mu", (2, 2)


def error(case: Case) -> float:
    """`||Q - sum_i Q_i||` by dense solves."""
    truth = case.truth
    err = truth.q(truth.reward(case.rewards), case.discount)
    for i, r in enumerate(case.rewards):
        err = err - truth.local_q(i, r, case.discount)[[x[i] for x in truth.pairs]]
    on = truth.recurrent
    return float(truth.mu[on] @ np.abs(err[on]))


def bound(e: np.ndarray, r_max: list[float], gamma: float) -> float:
    return 4 * gamma * float(e @ r_max) / (1 - gamma) ** 2


@given(cases(agents=AGENTS))
@settings(max_examples=60)
def test_bound_holds(case: Case) -> None:
    e = me.entanglement(case.chain, DISTANCE).per_agent
    r_max = [float(np.abs(r).max()) for r in case.rewards]
    limit = bound(e, r_max, case.discount)
    found = error(case)
    assert found <= limit * (1 + 1e-9) + 1e-8 / (1 - case.discount) ** 2
    # the library states the same truth and a bound at most as large (rewards of visited pairs only)
    d = me.value_decomposition(case.chain)
    assert d.error(NORM) == pytest.approx(found, abs=1e-5 * max(1.0, np.abs(d.joint_q).max()))
    lines = {b.name: b for b in me.error_bounds(d, [me.entanglement(case.chain, DISTANCE)])}
    assert lines["Theorem 5.10"].value <= limit * (1 + 1e-12) + 1e-12


def followers(n: int, rare: float) -> me.Chain:
    """Agent 0 is 1 with probability `rare`, afresh at each step; all others repeat what it was."""
    sizes = (2,) * n
    p = np.zeros((2**n, 2**n))
    for x in range(2**n):
        first = x >> (n - 1)
        for y0, w in enumerate((1 - rare, rare)):
            p[x, (y0 << (n - 1)) + (2 ** (n - 1) - 1) * first] = w
    return me.JointChain(p, sizes).under()


@pytest.mark.parametrize("n", [2])
@pytest.mark.parametrize("gamma", [0.001, 0.1, 0.5])
@pytest.mark.parametrize("rare", [0.001, 0.1, 0.5])
def test_tight_example(n: int, gamma: float, rare: float) -> None:
    """`err = gamma sum_i (r_i(x_0) - mean)` exactly, hence bound / error = 1 / ((1-rare)(1-gamma)^2): the
    constant 4 cannot be improved."""
    chain = followers(n, rare)
    rewards = [[0.0, 0.0]] + [[-1.0, 1.0]] * (n - 1)
    e = me.entanglement(chain, DISTANCE).per_agent
    assert e.tolist() == pytest.approx([0.0] + [rare] * (n - 1), abs=1e-9)
    found = me.value_decomposition(chain, rewards, gamma).error(NORM)
    assert found == pytest.approx(gamma * (n - 1) * 4 * rare * (1 - rare), rel=1e-9)
    limit = bound(e, [0.0] + [1.0] * (n - 1), gamma)
    assert limit / found == pytest.approx(1 / ((1 - rare) * (1 - gamma) ** 2), rel=1e-6)


def test_a_smaller_constant_fails() -> None:
    """Negative control: with 3.9 for 4 the same example breaks the claim."""
    chain, gamma, n = followers([2][0], 0.001), 0.001, [2][0]
    e = me.entanglement(chain, DISTANCE).per_agent
    found = me.value_decomposition(chain, [[0.0, 0.0]] + [[-1.0, 1.0]] * (n - 1), gamma).error(NORM)
    limit = bound(e, [0.0] + [1.0] * (n - 1), gamma)
    assert 3.9 / 4 * limit < found <= limit


def test_other_distances_do_not_carry_the_bound() -> None:
    """Negative control: `mu-atv` of the leader alone says nothing about the followers."""
    chain, gamma = followers(2, 0.1), 0.5
    e = me.entanglement(chain, "mu-atv").per_agent * ([1.0] + [0.0] * (2 - 1))
    rewards = [[0.0, 0.0]] + [[-1.0, 1.0]] * (2 - 1)
    found = me.value_decomposition(chain, rewards, gamma).error("mu")
    assert bound(e, [1.0] * 2, gamma) < found
