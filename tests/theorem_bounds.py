"""What the four theorems on `4 gamma sum_i E_i r_i^max / (1 - gamma)^2` have in common; one test file states each."""

from __future__ import annotations

import numpy as np
import pytest

import markov_entanglement as me
from helpers import Case


def error(case: Case, norm: str) -> float:
    """`||Q - sum_i Q_i||` by dense solves, "mu" or "sup" over the recurrent pairs."""
    truth = case.truth
    err = truth.q(truth.reward(case.rewards), case.discount)
    for i, r in enumerate(case.rewards):
        err = err - truth.local_q(i, r, case.discount)[[x[i] for x in truth.pairs]]
    on = truth.recurrent
    return float(np.abs(err[on]).max()) if norm == "sup" else float(truth.mu[on] @ np.abs(err[on]))


def bound(e: np.ndarray, r_max: list[float], gamma: float) -> float:
    return 4 * gamma * float(e @ r_max) / (1 - gamma) ** 2


def holds(case: Case, distance: str, norm: str, name: str) -> None:
    """The bound holds; the library states the same truth and a bound at most as large."""
    measured = me.entanglement(case.chain, distance)
    limit = bound(measured.per_agent, [float(np.abs(r).max()) for r in case.rewards], case.discount)
    found = error(case, norm)
    assert found <= limit * (1 + 1e-9) + 1e-8 / (1 - case.discount) ** 2
    d = me.value_decomposition(case.chain)
    assert d.error(norm) == pytest.approx(found, abs=1e-5 * max(1.0, np.abs(d.joint_q).max()))
    lines = {b.name: b for b in me.error_bounds(d, [measured])}
    assert lines[name].value <= limit * (1 + 1e-12) + 1e-12  # rewards of visited pairs only


def followers(n: int, rare: float) -> me.Chain:
    """Agent 0 is 1 with probability `rare`, afresh at each step; all others repeat what it was."""
    sizes = (2,) * n
    p = np.zeros((2**n, 2**n))
    for x in range(2**n):
        first = x >> (n - 1)
        for y0, w in enumerate((1 - rare, rare)):
            p[x, (y0 << (n - 1)) + (2 ** (n - 1) - 1) * first] = w
    return me.JointChain(p, sizes).under()


def extreme(n: int, rare: float, gamma: float, distance: str, norm: str) -> tuple[float, float]:
    """(error, bound) of the followers paid -1 and 1, where `err = gamma sum_{i>0} (r_i(x_0) - mean)` exactly."""
    chain = followers(n, rare)
    e = me.entanglement(chain, distance).per_agent
    each = 0.5 if distance == "atv" else rare
    assert e.tolist() == pytest.approx([0.0] + [each] * (n - 1), abs=1e-9)
    found = me.value_decomposition(chain, [[0.0, 0.0]] + [[-1.0, 1.0]] * (n - 1), gamma).error(norm)
    size = 2 - 2 * rare if norm == "sup" else 4 * rare * (1 - rare)
    assert found == pytest.approx(gamma * (n - 1) * size, rel=1e-9)
    return found, bound(e, [0.0] + [1.0] * (n - 1), gamma)
