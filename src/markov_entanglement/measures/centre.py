"""Minimax centre of laws: the law whose largest total-variation distance to a set of laws is least.

Definition. For laws p_1..p_K over n categories,

    min over q in the simplex of  f(q) = max_k TV(p_k, q),   TV(p, q) = 1/2 |p - q|_1.

It is Eq. 5 of Chen & Peng (arXiv 2506.02385) for one local pair x_i: p_k = p_i(.|x) over the joint pairs x that share
x_i; the largest value over x_i is E_i by `atv`.

Method. f is convex; cutting planes (Kelley) minimise a convex F over the simplex by the LP

    min t  over x in the simplex,  t + a_c.x >= b_c for the cuts c found so far.

F is visited at the solution x of the LP or, when x is no better than the best point so far, half-way to it: then either
the cut there removes x, or the half-way point halves the gap. Two choices of F:

- over laws (n variables, K > n): F = f. TV(p, q) = max over sets A of p(A) - q(A), attained at A = {p > q}: one cut
  t + q(A) >= p_k(A) for each of the n farthest rows.
- over weights (K variables, K <= n): by the minimax theorem min f = max over weights w of g(w) = min_q sum_k w_k
  TV(p_k, q), a weighted L1 median; F = -g, cut t + sum_k w_k TV(p_k, q_w) >= 0, and q = sum of the medians q_w with the
  multipliers of their cuts.

Guarantee. No bound rests on the tolerances of the LP solver. The upper bound is f at a point of the simplex. The lower
one is g(w), less the tolerance of the median, or comes from multipliers lambda >= 0 of sum 1:

    F(x) >= sum_c lambda_c (b_c - a_c.x) >= sum_c lambda_c b_c - max_j sum_c lambda_c a_cj.

Laws that lie between two of them (all equal, two rows, two categories among these) need no LP: the midpoint
of a farthest pair attains half the pair's distance, which is a lower bound.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints
from .._compiled import compiled
from .._lp import Program
from .._work import in_threads
from ..errors import InvalidInput, NoConvergence
from .median import frozen_view, grouped_l1_medians

#: x -> (f(x), low -> cuts (a, b) of f at x that exceed `low` there).
_Oracle = Callable[[Floats], tuple[float, Callable[[float], tuple[Floats, Floats]]]]

#: Entries of all laws from which on threads share the groups.
_THREADED = 200_000
#: Rounds of cutting planes allowed for each variable.
_ROUNDS = 20


@compiled
def _distances(laws, q, first, last, out):  # type: ignore[no-untyped-def]
    """TV(p_k, q) of the rows first..last-1, into out; returns the index of the farthest, from 0."""
    far = 0
    for k in range(first, last):
        total = 0.0
        for j in range(laws.shape[1]):
            total += abs(laws[k, j] - q[j])
        out[k - first] = 0.5 * total
        if total > 2.0 * out[far]:
            far = k - first
    return far


@compiled
def _midpoints(laws, starts, exact, q, value, gap):  # type: ignore[no-untyped-def]
    """Groups solved by the midpoint of a farthest pair; the others get gap = -1."""
    out = np.empty(len(laws))
    for g in range(len(value)):
        first, last = starts[g], starts[g + 1]
        if first == last:
            continue
        a = b = first
        for _ in range(2):  # the farthest from the first, and from that
            for j in range(laws.shape[1]):
                q[g, j] = laws[b, j]
            a, b = b, first + _distances(laws, q[g], first, last, out)
        bound = 0.5 * out[b - first]
        for j in range(laws.shape[1]):
            q[g, j] = 0.5 * (laws[a, j] + laws[b, j])
        value[g] = out[_distances(laws, q[g], first, last, out)]
        gap[g] = max(value[g] - bound, 0.0)
        if gap[g] > exact:
            gap[g] = -1.0


def _distinct(laws: Floats) -> Floats:
    """The rows without repetitions."""
    mixed = np.einsum("kj,j->k", laws, np.sin(np.arange(1.0, laws.shape[1] + 1.0)))
    order = np.argsort(mixed)
    again = np.flatnonzero(mixed[order[1:]] == mixed[order[:-1]]) + 1
    again = again[(laws[order[again]] == laws[order[again - 1]]).all(axis=1)]
    return np.delete(laws, order[again], axis=0)


class _Model:
    """min t over x in the simplex, t + a_c.x >= b_c: the cuts c found so far of a convex function of x."""

    def __init__(self, dim: int) -> None:
        self.dim, self.made = dim, 0
        self.a, self.b, self.made_as = np.empty((0, dim)), np.empty(0), np.empty(0, np.int64)
        self.lp, t = Program(np.empty(0), presolve=False), np.append(np.zeros(dim), 1.0)
        self.lp.add(None, t, -2.0 * t, 1.0 + t)
        self.lp.cut(1.0 - t[None], np.ones(1), np.ones(1))

    def add(self, a: Floats, b: Floats) -> None:
        """Add the cuts t + a.x >= b."""
        self.lp.cut(np.column_stack([a, np.ones(len(a))]), b)
        self.a, self.b = np.vstack([self.a, a]), np.concatenate([self.b, b])
        self.made_as = np.concatenate([self.made_as, np.arange(self.made, self.made + len(a))])
        self.made += len(a)

    def solve(self) -> tuple[Floats, Floats, Ints] | None:
        """(x, multipliers of the cuts, indices of slack cuts), or None when the LP solver gives up."""
        solved = self.lp.solve()
        if solved is None or not (lam := np.maximum(solved[1][1:], 0.0)).sum() > 0.0:
            return None
        x = np.maximum(solved[0][: self.dim], 0.0)
        over = self.a @ x + solved[0][self.dim] - self.b
        return x / x.sum(), lam / lam.sum(), np.flatnonzero((lam == 0.0) & (over > 1e3 * tol.CENTRE_GAP))

    def drop(self, cuts: Ints) -> None:
        """Forget these cuts."""
        self.lp.drop(cuts + 1)
        self.a, self.b = np.delete(self.a, cuts, axis=0), np.delete(self.b, cuts)
        self.made_as = np.delete(self.made_as, cuts)


def _least(oracle: _Oracle, x: Floats) -> tuple[Floats, float, float, Floats]:
    """Least value of a convex function over the simplex by cutting planes, from the start x.

    Returns the best point, its value, a lower bound, and the multipliers of the cuts, by order of creation.
    """
    model, best, high, low, dropped_at = _Model(len(x)), x, np.inf, -np.inf, -np.inf
    weights = np.ones(1)
    for _ in range(_ROUNDS * (5 + len(x))):
        point, (value, cuts) = x, oracle(x)
        if value >= high:
            point = 0.5 * (x + best)
            value, cuts = oracle(point)
        if value < high:
            best, high = point, value
        if high - low <= tol.CENTRE_GAP:
            break
        a, b = cuts(low)
        model.add(a, b)
        solved = model.solve()
        if solved is None:
            break
        x, lam, slack = solved
        bound = float(lam @ model.b - (lam @ model.a).max())
        if bound > low:
            low, weights = bound, np.zeros(model.made)
            weights[model.made_as] = lam
        # Dropping cuts only after the bound has risen keeps the number of rounds finite.
        old = slack[slack < len(model.b) - 2 * len(b)]
        if len(model.b) > 4 * model.dim and len(old) > model.dim and low > dropped_at:
            model.drop(old)
            dropped_at = low
    return best, high, low, weights


def _over_laws(laws: Floats) -> tuple[Floats, float, float]:
    """(q, value, lower bound) by cutting planes over laws."""
    m, distance = min(laws.shape[1], len(laws)), np.empty(len(laws))

    def oracle(q: Floats) -> tuple[float, Callable[[float], tuple[Floats, Floats]]]:
        far = _distances(laws, q, 0, len(laws), distance)

        def cuts(low: float) -> tuple[Floats, Floats]:
            rows = np.argpartition(distance, len(laws) - m)[len(laws) - m :]
            p = laws[rows[distance[rows] > low]]
            return (p > q).astype(np.float64), np.where(p > q, p, 0.0).sum(axis=1)

        return float(distance[far]), cuts

    box = laws.max(axis=0) + laws.min(axis=0)
    q, high, low, _ = _least(oracle, box / box.sum())
    return q, high, low


def _over_weights(laws: Floats) -> tuple[Floats, float, float]:
    """(q, value, lower bound) by cutting planes over weights."""
    K, medians, distance = len(laws), [], np.empty(len(laws))

    def oracle(w: Floats) -> tuple[float, Callable[[float], tuple[Floats, Floats]]]:
        q, value = grouped_l1_medians(laws, w, np.array([0, K]))

        def cuts(_: float) -> tuple[Floats, Floats]:
            medians.append(q[0])
            _distances(laws, q[0], 0, K, distance)
            return distance[None].copy(), np.zeros(1)

        return tol.LEVEL_TIE - float(value[0]), cuts

    _, high, _, lam = _least(oracle, np.full(K, 1.0 / K))
    q = lam @ np.array(medians[: len(lam)])
    far = _distances(laws, q, 0, K, distance)
    return q, float(distance[far]), -high


def _certified(laws: Floats) -> tuple[Floats, float, float]:
    """(q, value, certified gap) of one group of distinct rows; the problem in fewer variables comes first."""
    ways = (_over_laws, _over_weights) if len(laws) > laws.shape[1] else (_over_weights, _over_laws)
    found: list[tuple[Floats, float, float]] = []
    for way in ways:
        found.append(way(laws))
        q, value, _ = min(found, key=lambda f: f[1])
        gap = value - max(0.0, *(f[2] for f in found))
        if gap <= tol.CENTRE_GAP:
            return q, value, max(gap, 0.0)
    raise NoConvergence("minimax centre: the gap stays above the tolerance", (q, value), gap)


def grouped_minimax_centres(laws: Floats, starts: Ints) -> tuple[Floats, Floats, Floats]:
    """The minimax centre of each group of rows; internal, nothing is validated.

    Group g is the rows starts[g]:starts[g+1] of laws (R, n). Returns q (G, n), value (G,) and the certified
    gap (G,), at most `_tolerance.CENTRE_GAP`. An empty group has q = NaN, value 0 and gap 0. Raises
    `NoConvergence`, with the best (q, value) and its gap, for a group that cannot be certified.
    """
    laws, starts = frozen_view(laws, np.float64), frozen_view(starts, np.int64)
    groups, n = len(starts) - 1, laws.shape[1]
    q, value, gap = np.full((groups, n), np.nan), np.zeros(groups), np.zeros(groups)
    _midpoints(laws, starts, tol.ROW_SUM_EXACT * n, q, value, gap)

    def certify(g: int) -> None:
        """The centre of one group; groups are independent."""
        rows = _distinct(laws[starts[g] : starts[g + 1]])
        q[g], value[g], gap[g] = _certified(frozen_view(rows, np.float64))

    hard = np.flatnonzero(gap < 0.0).tolist()
    if hard:
        in_threads(certify, hard, None if laws.size >= _THREADED else 1)
    return q, value, gap


def minimax_centre(laws: ArrayLike) -> tuple[Floats, float]:
    """The law q whose largest total-variation distance to given laws is least, and it (Eq. 5, one local pair).

    Parameters
    ----------
    laws : (K, n) rows p_k, probability laws over n categories.

    Returns
    -------
    q : (n,) a minimiser over the simplex of max_k TV(p_k, q), TV = 1/2 L1; it need not be the only one.
    value : the largest distance from q to a row, within 1e-9 (certified) of the minimum.

    Raises
    ------
    InvalidInput : rows that are not laws.
    NoConvergence : the gap could not be certified; carries the best (q, value) and the gap reached.

    Examples
    --------
    >>> q, value = minimax_centre([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.25, 0.5, 0.25]])
    >>> [float(x) for x in q], value
    ([0.5, 0.5, 0.0], 0.5)
    """
    p = _check.probabilities("laws", laws)
    if p.ndim != 2:
        raise InvalidInput("laws", f"{p.ndim} axes", "it must be (K, n), one law a row", "Pass a matrix.")
    q, value, _ = grouped_minimax_centres(p, np.array([0, len(p)]))
    return q[0], float(value[0])
