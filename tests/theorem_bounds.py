"""What the theorems on `4 gamma sum_i E_i r_i^max / (1 - gamma)^2` have in common; one test file states each.

Their first halves bound the bias of the local transition of Eq. 2: `TV(P_i, M_i*) <= E_i` for the local model M_i* that
attains E_i, in the matching sense: the largest over visited local pairs for `atv` and `tv`, the mu_i-mean for `mu-atv`
and `mu-tv`.
"""

from __future__ import annotations

import numpy as np
import pytest

import markov_entanglement as me
import oracles_values as oracle
from helpers import Case
from markov_entanglement.measures.joint import JointDistance


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


def bias(local: np.ndarray, model: np.ndarray, weight: np.ndarray | None) -> float:
    """TV between the rows of P_i and M_i, the largest (weight None) or the mean; NaN rows were never visited."""
    seen = ~np.isnan(local[:, 0])
    tv = 0.5 * np.abs(local[seen] - model[seen]).sum(axis=1)
    return float(tv.max() if weight is None else weight[seen] @ tv)


def first_half(case: Case, measured: me.Entanglement) -> None:
    """`TV(P_i, M_i*) <= E_i`, P_i by loops over the raw arrays, M_i* the model of the library, which attains E_i."""
    truth = case.truth
    for i, fit in enumerate(measured.fits):
        at = np.array([x[i] for x in truth.pairs])
        visits = np.bincount(at, truth.mu, truth.sizes[i])
        mean = measured.distance == "mu-atv"
        gaps = 0.5 * np.abs(truth.next_law(i) - np.nan_to_num(fit.law)[at]).sum(axis=1)
        attained = float(truth.mu @ gaps if mean else gaps[truth.recurrent].max())
        assert attained == pytest.approx(fit.value, abs=1e-8)
        assert bias(truth.local_transition(i), fit.law, visits if mean else None) <= fit.value + 1e-8


def joint_first_half(p: np.ndarray, sizes: tuple[int, ...], found: JointDistance) -> None:
    """The same for one joint number: M_i = the marginals of the nearest separable P', equal on rows of equal x_i."""
    pairs = oracle.product(sizes)
    mu = oracle.stationary(p)
    cube = found.nearest.reshape(len(found.rows), *map(len, found.alphabet))
    for i, m in enumerate(sizes):
        marginal = cube.sum(axis=tuple(j + 1 for j in range(len(sizes)) if j != i))
        model = np.full((m, m), np.nan)
        for row, law in zip(found.rows, marginal, strict=True):
            full = np.zeros(m)
            full[found.alphabet[i]] = law
            if np.isnan(model[row[i], 0]):
                model[row[i]] = full
            assert np.abs(model[row[i]] - full).max() <= 1e-6  # no signalling
        local = oracle.local_transition(p, pairs, mu, i, m)
        visits = np.array([sum(w for w, x in zip(mu, pairs, strict=True) if x[i] == k) for k in range(m)])
        assert bias(local, model, visits if found.distance == "mu-tv" else None) <= found.value + 1e-6


def holds(case: Case, distance: str, norm: str, name: str) -> None:
    """Both halves hold; the library states the same truth and a bound at most as large."""
    measured = me.entanglement(case.chain, distance)
    first_half(case, measured)
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
