"""Weighted L1 median of laws: the law nearest to a weighted set of laws in total variation.

Definition. For laws p_1..p_K over n categories and weights w_k >= 0,

    min over q in the simplex of  f(q) = sum_k w_k TV(p_k, q),   TV(p, q) = 1/2 |p - q|_1.

It is Eq. 7 of Chen & Peng (arXiv 2506.02385) for one local pair x_i: p_k = p_i(.|x) and w_k = mu(x) over the joint
pairs x that share x_i; q is then the row M_i(.|x_i), and the values, summed over x_i, give E_i by `mu-atv`.

Method. f = sum_j f_j(q_j) is separable and convex, coupled by sum_j q_j = 1 alone. f_j'(x) = (weight of the rows with
p_kj < x) - W/2 off the data, so every q_j is a weighted quantile of column j at ONE common level. The sum over j of the
quantiles rises with the level, and its mean over all levels is sum_j (mean of column j) = 1: some level brackets 1, and
any fill between the lower and upper quantiles there is optimal (q >= 0 never binds, for data are >= 0). The one used
is proportional, hence invariant to relabelling.

Guarantee. Weights are turned into even integers that sum to about 2^60. Cumulative weights are then exact whatever the
order, and an odd trial level is never tied; duality gap a few units of rounding. Expected cost O(nK): the quantiles at
the first level are found by selection, and each later level cuts off a share of the levels that remain.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints
from .._compiled import compiled
from .._work import in_threads, workers_of
from ..errors import InvalidInput

#: Half the integer that stands for the total weight of a group.
_HALF = 1 << 59
#: Threads pay from this many entries on (about 2 ms of work).
_THREADED = 200_000
#: Where the first bracket of levels is split.
_SPLIT = 0.5 - 0.1 / np.pi
#: Runs up to this length are sorted, longer ones partitioned.
_SHORT = 8
#: A sum of quantiles this near to 1 is 1.
_ROUNDING = 4 * np.finfo(np.float64).eps
# Integer state of one category: the run [_A, _B) of the values strictly inside the bracket, the lowest and
# the highest cumulative weight at which its quantile still jumps (_LOW, _HIGH), and the last selection: its
# run [_M, _E), the weight strictly below it (_BELOW) and up to it (_UPTO).
_A, _B, _LOW, _HIGH, _M, _E, _BELOW, _UPTO = range(8)


@compiled
def _partition(v, w, j, a, b, pivot):  # type: ignore[no-untyped-def]
    """Move the entries <= pivot of the run [a, b) to its front; return where they end, and their weight."""
    m, weight = np.uintp(a), 0
    for i in range(np.uintp(a), np.uintp(b)):
        x, y = v[j, i], w[j, i]
        v[j, i], w[j, i] = v[j, m], w[j, m]
        v[j, m], w[j, m] = x, y
        take = x <= pivot
        weight += y if take else 0
        m += np.uintp(take)
    return np.int64(m), weight


@compiled
def _scan(v, w, j, a, b, below, level):  # type: ignore[no-untyped-def]
    """`_select` for a short run: sort it (once: it stays sorted) and walk up to the level."""
    for i in range(a + 1, b):
        x, y, k = v[j, i], w[j, i], i
        while k > a and v[j, k - 1] > x:
            v[j, k], w[j, k] = v[j, k - 1], w[j, k - 1]
            k -= 1
        v[j, k], w[j, k] = x, y
    while True:
        upto, e = below + w[j, a], a + 1
        while e < b and v[j, e] == v[j, a]:
            upto += w[j, e]
            e += 1
        if upto > level:
            return a, e, below, upto
        a, below = e, upto


@compiled
def _select(v, w, j, a, b, below, level):  # type: ignore[no-untyped-def]
    """Weighted quickselect: (start, end, weight below, weight up to) of the quantile at `level`.

    The pivot is the median of three entries at places from a fixed pseudo-random sequence: no order makes it slow.
    """
    h, bound, upto = 1, 2.0, -1
    while b - a > _SHORT:
        if upto < 0:
            h = (h * 1103515245 + 12345) & 0x7FFFFFFF
            third = (b - a) // 3
            at = a + (h * third >> 31)
            x, y, z = v[j, at], v[j, at + third], v[j, at + 2 * third]
            bound = max(min(x, y), min(max(x, y), z))
        m, weight = _partition(v, w, j, a, b, bound)
        if below + weight < level:
            a, below = m, below + weight
            if upto >= 0:
                return a, b, below, upto
        elif m < b:
            b, upto = m, -1
        else:  # the pivot is the largest value of the run: next, split off what lies strictly below it
            bound, upto = np.nextafter(bound, -1.0), below + weight
    return _scan(v, w, j, a, b, below, level)


@compiled
def _gather(laws, weights, first, last, v, w, state, edge):  # type: ignore[no-untyped-def]
    """Write the positive entries of each column, with integer weights; the zeros are its lowest value."""
    n, total, whole = laws.shape[1], 0.0, 0
    for k in range(first, last):
        total += weights[k]
    state[:, :] = 0
    for k in range(first, last):
        y = 2 * int(weights[k] / total * _HALF + 0.5)
        if y == 0:
            continue
        whole += y
        for j in range(n):
            m, x = state[j, _B], laws[k, j]
            v[j, m], w[j, m] = x, y
            positive = x > 0.0
            state[j, _B] = m + positive
            state[j, _LOW] += 0 if positive else y
    for j in range(n):
        state[j, _HIGH] = whole
        edge[j, 0] = 0.0
        edge[j, 1] = 2.0 if state[j, _B] > 0 else 0.0


@compiled
def _quantiles(v, w, state, edge, level):  # type: ignore[no-untyped-def]
    """Quantile of each column at an odd level, into edge[:, 2]: (their sum, distance to the next jump)."""
    total, room = 0.0, 4 * _HALF
    for j in range(len(state)):
        if level < state[j, _LOW]:
            edge[j, 2] = edge[j, 0]
            if edge[j, 0] < edge[j, 1]:
                room = min(room, state[j, _LOW] - level)
        elif level > state[j, _HIGH]:
            edge[j, 2] = edge[j, 1]
            if edge[j, 0] < edge[j, 1]:
                room = min(room, level - state[j, _HIGH])
        else:
            m, e, below, upto = _select(v, w, j, state[j, _A], state[j, _B], state[j, _LOW], level)
            state[j, _M], state[j, _E], state[j, _BELOW], state[j, _UPTO] = m, e, below, upto
            edge[j, 2] = v[j, m]
            room = min(room, level - below, upto - level)
        total += edge[j, 2]
    return total, room


@compiled
def _narrow(state, edge, level, right):  # type: ignore[no-untyped-def]
    """Make the level of the last selection the left (if the common level is right of it) or right end."""
    for j in range(len(state)):
        inside = state[j, _LOW] < level < state[j, _HIGH]
        edge[j, 0 if right else 1] = edge[j, 2]
        if inside and right:
            state[j, _A], state[j, _LOW] = state[j, _E], state[j, _UPTO]
        elif inside:
            state[j, _B], state[j, _HIGH] = state[j, _M], state[j, _BELOW]


@compiled
def _search(v, w, state, edge, tie):  # type: ignore[no-untyped-def]
    """Shrink the bracket of the common level until its jumps are one; leaves edge[:, :2] around q.

    edge[j, 0] and edge[j, 1] are the quantiles at the two ends of the bracket, the run [_A, _B) the values strictly
    between; a column whose edges are equal has no jump left. The first level is half the weight for two categories (the
    answer), else an irrational fraction, as jumps lie at rational ones; then the sum of the quantiles is interpolated.
    Jumps within `tie` of a level are never parted.
    """
    part, level, shift = 0.5 if len(state) == 2 else _SPLIT, 0, 0
    while True:
        if shift == 0:
            first, last, low, high = 4 * _HALF, 0, 0.0, 0.0
            for j in range(len(state)):
                low += edge[j, 0]
                high += edge[j, 1]
                if edge[j, 0] < edge[j, 1]:
                    first, last = min(first, state[j, _LOW]), max(last, state[j, _HIGH])
            if last - first <= 2 * tie:
                return
            if level > 0:
                part = min(max((1.0 - low) / (high - low), 0.5 * _SPLIT), 1.0 - 0.5 * _SPLIT)
            level = (first + int(part * (last - first))) | 1
        total, room = _quantiles(v, w, state, edge, level + shift)
        if shift == 0 and room <= tie:  # test on both sides of the jumps here, not between them
            shift = tie
            continue
        if shift == 0 and abs(total - 1.0) <= _ROUNDING:
            for j in range(len(state)):
                edge[j, 0] = edge[j, 1] = edge[j, 2]
            return
        _narrow(state, edge, level + shift, total < 1.0)
        shift = -tie if shift > 0 and total >= 1.0 else 0


@compiled
def _fill(edge, q):  # type: ignore[no-untyped-def]
    """The point of the segment from edge[:, 0] to edge[:, 1] whose entries sum to 1."""
    low, high = 0.0, 0.0
    for j in range(len(q)):
        low += edge[j, 0]
        high += edge[j, 1]
    t = min(max((1.0 - low) / (high - low), 0.0), 1.0) if high > low else 0.0
    for j in range(len(q)):
        q[j] = min(edge[j, 0] + t * (edge[j, 1] - edge[j, 0]), edge[j, 1])


@compiled
def _objective(laws, weights, first, last, q):  # type: ignore[no-untyped-def]
    """sum_k w_k TV(p_k, q), summed over the rows with Neumaier's compensation."""
    total, lost = 0.0, 0.0
    for k in range(first, last):
        distance = 0.0
        for j in range(len(q)):
            distance += abs(laws[k, j] - q[j])
        x = weights[k] * distance
        s = total + x
        lost += (total - s) + x if total >= x else (x - s) + total
        total = s
    return 0.5 * (total + lost)


@compiled
def _trivial(laws, weights, first, last, q):  # type: ignore[no-untyped-def]
    """Fill q and return True when the rows of positive weight are all equal, or there are none."""
    found, n = -1, laws.shape[1]
    for k in range(first, last):
        if weights[k] > 0.0:
            if found < 0:
                found = k
            for j in range(n):
                if laws[k, j] != laws[found, j]:
                    return False
    for j in range(n):
        if found >= 0:
            q[j] = laws[found, j]
        else:
            q[j] = 0.0
            for k in range(first, last):
                q[j] += laws[k, j] / (last - first)
    return True


@compiled
def _solve(laws, weights, starts, tie, q, value):  # type: ignore[no-untyped-def]
    """Every group in turn, in the scratch of the largest."""
    n, most = laws.shape[1], 0
    for g in range(len(value)):
        most = max(most, starts[g + 1] - starts[g])
    v, w = np.empty((n, most + 8)), np.empty((n, most + 8), np.int64)
    state, edge = np.empty((n, 8), np.int64), np.empty((n, 3))
    for g in range(len(value)):
        first, last = starts[g], starts[g + 1]
        value[g] = 0.0
        if first < last and not _trivial(laws, weights, first, last, q[g]):
            _gather(laws, weights, first, last, v, w, state, edge)
            _search(v, w, state, edge, tie)
            _fill(edge, q[g])
            value[g] = _objective(laws, weights, first, last, q[g])


def frozen_view(a: Any, kind: type) -> Any:
    """A C-contiguous read-only view, so that the kernel is compiled for one kind of array."""
    view: NDArray[Any] = np.ascontiguousarray(a, kind).view()
    view.flags.writeable = False
    return view


def grouped_l1_medians(
    laws: Floats, weights: Floats, starts: Ints, *, threads: int | None = None
) -> tuple[Floats, Floats]:
    """The weighted L1 median of each group of rows; internal, nothing is validated.

    laws (R, n) and weights (R,) are sorted by group, group g is the rows starts[g]:starts[g+1].
    Returns q (G, n) and value (G,). An empty group has q = NaN and value 0; a group without weight the
    mean of its rows and value 0. Large work is shared by `threads` threads (default: up to 4); groups are
    independent, so their number does not change a bit of the answer.
    """
    laws, weights = frozen_view(laws, np.float64), frozen_view(weights, np.float64)
    starts = frozen_view(starts, np.int64)
    groups, tie = len(starts) - 1, 2 * int(_HALF * tol.LEVEL_TIE)
    q, value = np.full((groups, laws.shape[1]), np.nan), np.zeros(groups)

    def solve(span: tuple[int, int]) -> None:
        a, b = span
        _solve(laws, weights, starts[a : b + 1], tie, q[a:b], value[a:b])

    threads = 1 if threads is None and laws.size < _THREADED else workers_of(threads)
    if threads == 1 or groups < 2:
        solve((0, groups))
    else:
        aims = np.linspace(starts[0], starts[-1], 4 * threads + 1)
        cuts = np.unique(np.concatenate([[0], np.searchsorted(starts, aims), [groups]]))
        in_threads(solve, list(pairwise(cuts.tolist())), threads)
    return q, value


@compiled
def _ragged(laws, weights, rows, columns, cells, tie, q, value):  # type: ignore[no-untyped-def]
    """`_solve` for groups of different widths, each a block of `cells`."""
    one = np.zeros(2, np.int64)
    for g in range(len(value)):
        n, m = rows[g + 1] - rows[g], columns[g + 1] - columns[g]
        one[1] = n
        block = laws[cells[g] : cells[g + 1]].reshape((n, m))
        part = q[columns[g] : columns[g + 1]].reshape((1, m))
        _solve(block, weights[rows[g] : rows[g + 1]], one, tie, part, value[g : g + 1])


def ragged_l1_medians(
    laws: Floats, weights: Floats, rows: Ints, columns: Ints, cells: Ints
) -> tuple[Floats, Floats]:
    """The weighted L1 median of each group, which has its own number of categories; internal, nothing is validated.

    Group g has the rows rows[g]:rows[g+1] of weights (R,), the categories columns[g]:columns[g+1], and its laws, row by
    row, at cells[g]:cells[g+1] of `laws`. Returns q, at the columns, and value (G,).
    """
    q, value = np.zeros(int(columns[-1])), np.zeros(len(rows) - 1)
    rows, columns, cells = (frozen_view(a, np.int64) for a in (rows, columns, cells))
    laws, weights = frozen_view(laws, np.float64), frozen_view(weights, np.float64)
    _ragged(laws, weights, rows, columns, cells, 2 * int(_HALF * tol.LEVEL_TIE), q, value)
    return q, value


def weighted_l1_median(laws: ArrayLike, weights: ArrayLike | None = None) -> tuple[Floats, Floats | float]:
    """The law q nearest to weighted laws in total variation, and its distance (Eq. 7, for one local pair).

    Parameters
    ----------
    laws : (K, n) rows p_k, probability laws over n categories; or a batch (..., K, n).
    weights : (K,) or (..., K), w_k >= 0; default 1/K. If all are 0, q is the mean of the rows.

    Returns
    -------
    q : (n,) or (..., n), a minimiser over the simplex of sum_k w_k TV(p_k, q), TV = 1/2 L1. It need not be
        the only one; the answer does not depend on the order of the categories beyond rounding.
    value : float or (...,), the minimum. Exact up to rounding (duality gap below 1e-12 of the total weight).

    Raises
    ------
    InvalidInput : rows that are not laws, negative weights, shapes that do not match.

    Examples
    --------
    >>> q, value = weighted_l1_median([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0]], [1, 1, 2])
    >>> [float(x) for x in q], value
    ([0.5, 0.5, 0.0], 1.0)
    """
    p = _check.probabilities("laws", laws)
    if p.ndim < 2:
        raise InvalidInput("laws", "a single law", "it must be (K, n) or (..., K, n)", "Pass [law].")
    *batch, K, n = p.shape
    if weights is None:
        w = np.full(p.shape[:-1], 1.0 / K)
    else:
        w = _check.nonnegative("weights", weights, shape=p.shape[:-1])
        if not math.isfinite(w.sum()):
            raise InvalidInput("weights", "a sum that overflows", "it must be finite", "Scale the weights.")
    starts = np.arange(0, math.prod(batch) * K + 1, K)
    q, value = grouped_l1_medians(p.reshape(-1, n), w.reshape(-1), starts)
    if not batch:
        return q[0], float(value[0])
    return q.reshape(*batch, n), value.reshape(batch)
