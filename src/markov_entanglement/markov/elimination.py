"""State reduction without subtraction (Grassmann, Taksar, Heyman): masses right relative to their size.

Eliminating state k sends what would enter it to where it goes next, `a_ij += a_ik a_kj / sum_{j > k} a_kj`. Only
rates of *leaving* occur, added, multiplied and divided; so a rate of 1e-300 counts as what it is. Masses are quotients
of sums of products with one rate from each row (trees), so relative errors e of rates in w rows move them by 2 w e at
most (O'Cinneide, Numer. Math. 65, 1993). The order is one of low bandwidth; states are eliminated in panels, the rest
of a panel's window by one matrix product.
"""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import reverse_cuthill_mckee

from .. import _tolerance as tol
from .._check import Floats, Ints, sums_by

#: States of a panel.
_PANEL = 64


def leaving(graph: sp.csr_array) -> tuple[sp.csr_array, Floats]:
    """`graph` with 0 on its diagonal, and the row sums of that."""
    row = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    data = np.where(graph.indices == row, 0.0, graph.data)
    return sp.csr_array((data, graph.indices, graph.indptr), graph.shape), sums_by(row, data, graph.shape[0])


def jumps(moves: sp.csr_array, out: Floats) -> sp.csr_array:
    """Where each state goes when it is left: rows divided by their sums."""
    data = moves.data / np.repeat(out, np.diff(moves.indptr))
    return sp.csr_array((data, moves.indices, moves.indptr), moves.shape)


def reduced_law(
    moves: sp.csr_array, out: Floats, among: slice = slice(None)
) -> tuple[Floats, str, float] | None:
    """Stationary law of one class given that it is in one of some states, and a bound of the relative errors of masses.

    None: too large, or products of rates leave the range of doubles and matter. They do not where the masses agree
    that come without them and with larger ones in their place, for the true ones lie between.
    """
    plan = _ordered(moves)
    if plan is None:
        return None
    order, reach, free = plan
    n, back = len(out), np.argsort(order)[among]
    rates = sp.csr_array(jumps(moves, out)[order][:, order])
    low = _eliminated(rates, reach, free, out[order], back, 0.0)
    if low is None:
        return None
    # each elimination: a sum over up to w rates, a product, a quotient and a sum, in w rows
    width = reach - np.arange(n) + n - np.maximum(reach, free)
    error = float((2.0 * width * (8.0 + np.log2(width))).sum()) * 2.0**-53
    if not low[2]:
        high, at = _eliminated(rates, reach, free, out[order], back, tol.LEAST_RATE), low[0] > tol.LEAST_MASS
        if high is None:
            return None
        error += abs(high[1] - low[1]) + np.abs(high[0][at] / low[0][at] - 1.0).max()
    return (low[0], "elimination", error) if error < tol.STATIONARY_ERROR else None


def _ordered(moves: sp.csr_array) -> tuple[Ints, Ints, int] | None:
    """An order, where the window of each state ends, and the first that is in every window; None: too much work."""
    n = moves.shape[0]
    order, reach, free = np.arange(n), np.full(n, n), 0
    if n > tol.GTH_STATES and moves.nnz < 0.1 * n * n:
        pattern = sp.csr_array(moves + moves.T)
        degree = np.diff(pattern.indptr)
        hubs = degree > 20 * degree.mean()  # e.g. where all tasks start
        easy = order[~hubs]
        easy = easy[reverse_cuthill_mckee(sp.csr_array(pattern[easy][:, easy]), symmetric_mode=True)]
        row, column = sp.coo_array(pattern[easy][:, easy]).coords
        order, free = np.concatenate([easy, order[hubs]]), len(easy)
        reach[:free] = np.arange(1, free + 1)
        np.maximum.at(reach, row, column + 1)
        reach[:free] = np.maximum.accumulate(reach[:free])
    width = (reach - np.arange(n) + n - np.maximum(reach, free)).astype(np.float64)
    return (order, reach, free) if (width**2).sum() < tol.GTH_WORK and 16 * width.sum() < tol.BYTES else None


def _eliminated(
    rates: sp.csr_array, reach: Ints, free: int, out: Floats, back: Ints, floor: float
) -> tuple[Floats, float, bool] | None:
    """Masses of the states `back`, the sum of the logarithms of rates of leaving, and whether all products are safe.

    Products of positive numbers are at least `floor`. None: a state cannot be left, in these numbers.
    """
    n, logs, safe, panels = len(out), 0.0, True, []
    states, a = np.arange(0), np.zeros((0, 0))
    for lo in range(0, n - 1, _PANEL):
        b = min(_PANEL, n - 1 - lo)
        top = int(reach[lo + b - 1])
        window = np.concatenate([np.arange(lo, top), np.arange(max(top, free), n)])
        if len(window) > len(states):
            fresh, at = rates[window][:, window].toarray(), np.searchsorted(window, states)
            fresh[np.ix_(at, at)] = a
            states, a = window, fresh
        for k in range(b):
            leave = a[k, k + 1 :].sum()
            if leave == 0.0:
                return None
            a[k, k + 1 :] /= leave
            a[k, k] = leave
            logs += math.log(leave)
            a[k + 1 : b, k + 1 :] += _product(a[k + 1 : b, k : k + 1], a[k : k + 1, k + 1 :], floor)
            a[b:, k + 1 : b] += _product(a[b:, k : k + 1], a[k : k + 1, k + 1 : b], floor)
        least = [np.min(part, where=part > 0, initial=1.0) for part in (a[:, :b], a[:b])]
        safe &= bool(least[0] * least[1] >= tol.LEAST_RATE)
        panels.append((states, a[:, :b].copy()))
        a[b:, b:] += _product(a[b:, :b], a[:b, b:], floor)
        states, a = states[b:], a[b:, b:]
    # the balance of each state when it was eliminated, last first; powers of two are kept apart
    share, power = np.ones(n), np.zeros(n, dtype=np.int32)
    for states, into in reversed(panels):
        for k in range(into.shape[1] - 1, -1, -1):
            via = np.flatnonzero(into[k + 1 :, k]) + k + 1
            most = power[states[via]].max(initial=-(2**30))  # none: all products vanished
            mass = np.ldexp(share[states[via]], power[states[via]] - most) @ into[via, k] / into[k, k]
            share[states[k]], exponent = math.frexp(mass)
            power[states[k]] = most + exponent
    slow, exponents = np.frexp(out[back])
    power = power[back] - exponents
    law = np.ldexp(share[back] / slow, power - power.max())
    return law / law.sum(), logs, safe


def _product(left: Floats, right: Floats, floor: float) -> Floats:
    product = left * right if left.shape[1] == 1 else left @ right
    if floor:
        some = (left > 0).astype(np.float64) @ (right > 0).astype(np.float64) > 0
        np.maximum(product, floor, out=product, where=some)
    return product
