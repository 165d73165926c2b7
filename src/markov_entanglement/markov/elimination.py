"""State reduction without subtraction (Grassmann, Taksar, Heyman): masses right relative to their size.

Eliminating state k sends what would enter it to where it goes next, `a_ij += a_ik a_kj / sum_{j > k} a_kj`. Only
rates of *leaving* occur, added, multiplied and divided; so a rate of 1e-300 counts as what it is. A relative error
of one rate moves each mass of m states relatively by at most 2 m times as much (O'Cinneide, Numer. Math. 65, 1993).

The order is one of low bandwidth. States are eliminated in panels, the rest of a panel's window by one matrix product.
Small systems whose intermediate rates leave the range of doubles are reduced in decimals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import reverse_cuthill_mckee

from .. import _tolerance as tol
from .._check import Floats, Ints

#: States of a panel.
_PANEL = 64


class _Panel(NamedTuple):
    """Eliminated together: `states` (m,) of the window, rates `into` (m, b) the first b of them when each was
    eliminated (below its diagonal), and their rates `leave` (b,) to what is left then."""

    states: Ints
    into: Any
    leave: Any


def leaving(graph: sp.csr_array) -> tuple[sp.csr_array, Floats]:
    """`graph` without its diagonal, and the row sums of that."""
    coo = sp.coo_array(graph)
    off = coo.coords[0] != coo.coords[1]
    moves = sp.csr_array((coo.data[off], (coo.coords[0][off], coo.coords[1][off])), shape=graph.shape)
    return moves, np.asarray(moves.sum(axis=1)).ravel()


def reduced_law(moves: sp.csr_array) -> tuple[Floats, str, float] | None:
    """(n,) stationary law of one class, from its rates of leaving, and a bound of the relative errors of all masses.

    None: too large, or not to be had from numbers of this kind.
    """
    return _in_range(moves, 1, _law)


def reduced_absorption(moves: sp.csr_array, classes: int) -> tuple[Floats, str, float] | None:
    """(classes,) chance of ending in each class from a start, and a bound of the relative errors; None as above.

    The rows of `moves` are those of transient states, of the start, and empty ones of the classes.
    """
    return _in_range(moves, classes + 1, lambda panels, rates, order, out: rates[0, 1:])


def _in_range(
    moves: sp.csr_array, keep: int, read: Callable[[list[_Panel], Any, Ints, Floats], Any]
) -> tuple[Floats, str, float] | None:
    n = moves.shape[0]
    out = np.asarray(moves.sum(axis=1)).ravel()
    plan = _ordered(moves, keep)
    if plan is None:
        return None
    rates = sp.csr_array(
        (moves.data / np.repeat(out, np.diff(moves.indptr)), moves.indices, moves.indptr), moves.shape
    )
    for wide in (False, True) if n <= tol.GTH_DECIMAL else (False,):
        with localcontext(Context(prec=30)):
            found = _eliminated(rates, *plan, keep, wide)
            if found is not None:
                law = np.asarray(read(*found, plan[0], out), dtype=np.float64)
                # each elimination: a sum over up to w rates, a product, a quotient and a sum, in w rows
                width = np.array([len(p.states) for p in found[0]], dtype=np.float64)
                steps = np.array([len(p.leave) for p in found[0]])
                return (
                    law / law.sum(),
                    "elimination",
                    float(steps @ (2.0 * width * (8.0 + np.log2(width)))) * 2.0**-53,
                )
    return None


def _ordered(moves: sp.csr_array, keep: int) -> tuple[Ints, Ints, int] | None:
    """An order that ends with the last `keep` states, where the window of each ends, and the first that is in every
    window; None if the work is too large."""
    n = moves.shape[0]
    order, reach, free = np.arange(n), np.full(n, n), 0
    if n > tol.GTH_STATES and moves.nnz < 0.1 * n * n:
        pattern = sp.csr_array(moves + moves.T)
        degree = np.diff(pattern.indptr)
        hubs = degree[: n - keep] > 20 * degree.mean()  # e.g. where all tasks start
        easy = np.flatnonzero(~hubs)
        easy = easy[reverse_cuthill_mckee(sp.csr_array(pattern[easy][:, easy]), symmetric_mode=True)]
        order, free = np.concatenate([easy, np.flatnonzero(hubs), order[n - keep :]]), len(easy)
        row, column = sp.coo_array(pattern[easy][:, easy]).coords
        end = np.arange(1, free + 1)
        np.maximum.at(end, row, column + 1)
        reach[:free] = np.maximum.accumulate(end)
    width = (reach - np.arange(n) + n - np.maximum(reach, free)).astype(np.float64)
    if (width**2).sum() > tol.GTH_WORK or 8 * width.sum() > tol.BYTES / 2:
        return None
    return order, reach, free


def _eliminated(
    rates: sp.csr_array, order: Ints, reach: Ints, free: int, keep: int, wide: bool
) -> tuple[list[_Panel], Any] | None:
    """Panels, and the rates between the kept states; None where a product may have left the range of doubles."""
    rates = sp.csr_array(rates[order][:, order])
    n, panels = len(order), []
    states, a = np.arange(0), np.zeros((0, 0))
    for lo in range(0, n - keep, _PANEL):
        b = min(_PANEL, n - keep - lo)
        top = int(reach[lo + b - 1])
        window = np.concatenate([np.arange(lo, top), np.arange(max(top, free), n)])
        if len(window) > len(states):
            fresh = rates[window][:, window].toarray()
            fresh = np.vectorize(Decimal, otypes=[object])(fresh) if wide else fresh
            at = np.searchsorted(window, states)
            fresh[np.ix_(at, at)] = a
            states, a = window, fresh
        leave = np.empty(b, dtype=a.dtype)
        for k in range(b):
            leave[k] = a[k, k + 1 :].sum()
            if leave[k] == 0:
                return None
            a[k, k + 1 :] /= leave[k]
            a[k, k] = 1
            a[k + 1 : b, k + 1 :] += a[k + 1 : b, k, None] * a[k, k + 1 :]
            a[b:, k + 1 : b] += a[b:, k, None] * a[k, k + 1 : b]
        if not wide:
            least = [np.min(part, where=part > 0, initial=1.0) for part in (a[:, :b], a[:b])]
            if least[0] * least[1] < tol.LEAST_RATE:
                return None
        panels.append(_Panel(order[states], a[:, :b].copy(), leave))
        a[b:, b:] += a[b:, :b] @ a[:b, b:]
        states, a = states[b:], a[b:, b:]
    return panels, a


def _law(panels: list[_Panel], rates: Any, order: Ints, out: Floats) -> Any:
    """Masses by the balance of each state when it was eliminated, last first; powers of two kept apart."""
    n, wide = len(out), rates.dtype == object
    share, power = np.full(n, Decimal(1)) if wide else np.ones(n), np.zeros(n, dtype=np.int32)
    for states, into, leave in reversed(panels):
        for k in range(len(leave) - 1, -1, -1):
            via = np.flatnonzero(into[k + 1 :, k]) + k + 1
            at = states[via]
            if wide:
                share[states[k]] = (share[at] @ into[via, k]) / leave[k]
            else:
                most = power[at].max()
                mass = float(np.ldexp(share[at], power[at] - most) @ into[via, k]) / leave[k]
                share[states[k]], exponent = math.frexp(mass)
                power[states[k]] = most + exponent
    if wide:
        share /= np.vectorize(Decimal, otypes=[object])(out)
        return share / share.sum()
    slow, exponents = np.frexp(out)
    power -= exponents
    return np.ldexp(share / slow, power - power.max())
