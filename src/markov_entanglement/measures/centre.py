"""Minimax centre of laws: the law whose largest total-variation distance to a set of laws is least.

Definition. For laws p_1..p_K over n categories,

    min over q in the simplex of  f(q) = max_k TV(p_k, q),   TV(p, q) = 1/2 |p - q|_1.

It is Eq. 5 of Chen & Peng (arXiv 2506.02385) for one local pair x_i: p_k = p_i(.|x) over the joint pairs x
that share x_i; the largest value over x_i is E_i by `atv`.

Method. TV(p, q) = max over sets A of p(A) - q(A), attained at A = {j : p_j > q_j}. So f is the upper
envelope of the cuts p_k(A) - q(A), and cutting planes solve an LP in n + 1 variables,

    min t  over q in the simplex,  t >= p_k(A) - q(A) for the cuts found so far,

adding one cut for each of the n farthest rows. Rows are compared half-way between the solution x of the LP
and the best q found: either the farthest row's cut removes x, or the half-way point halves the gap.

Guarantee. No bound rests on the tolerances of the LP solver: the upper bound is f at a point of the simplex,
the lower one is recomputed from the multipliers. With lambda >= 0 summing to 1 over the cuts,

    f(q) >= sum_c lambda_c (b_c - q(A_c)) >= sum_c lambda_c b_c - max_j sum_{c : j in A_c} lambda_c.

Laws that lie between two of them (all equal, two rows, two categories among these) need no LP: the midpoint
of a farthest pair attains half the pair's distance, which is a lower bound.
"""

from __future__ import annotations

from typing import Any

import highspy
import numpy as np
from numpy.typing import ArrayLike

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints
from ..errors import InvalidInput, NoConvergence
from .median import frozen_view, jit

#: Rounds of cutting planes allowed, beside 20 for each category.
_ROUNDS = 100
_OPTIONS: dict[str, Any] = {
    "output_flag": False,
    "presolve": "off",
    "solver": "simplex",
    "parallel": "off",
    "primal_feasibility_tolerance": 1e-10,
    "dual_feasibility_tolerance": 1e-10,
}


@jit
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


@jit
def _midpoints(laws, starts, exact, q, value, gap):  # type: ignore[no-untyped-def]
    """Groups solved by the midpoint of a farthest pair; the others get gap = -1."""
    most = 0
    for g in range(len(value)):
        most = max(most, starts[g + 1] - starts[g])
    out = np.empty(most)
    for g in range(len(value)):
        first, last = starts[g], starts[g + 1]
        if first == last:
            continue
        a = first + _distances(laws, laws[first], first, last, out)
        b = first + _distances(laws, laws[a], first, last, out)
        bound = 0.5 * out[b - first]
        for j in range(laws.shape[1]):
            q[g, j] = 0.5 * (laws[a, j] + laws[b, j])
        value[g] = out[_distances(laws, q[g], first, last, out)]
        gap[g] = max(value[g] - bound, 0.0)
        if gap[g] > exact:
            gap[g] = -1.0


@jit
def _distinct(laws, key, order):  # type: ignore[no-untyped-def]
    """Mask of the rows to keep when equal rows are dropped; `order` sorts `key`, a function of the row."""
    keep = np.ones(len(order), np.bool_)
    head = order[0]
    for i in range(1, len(order)):
        k = order[i]
        same = key[k] == key[head]
        for j in range(laws.shape[1]):
            same = same and laws[k, j] == laws[head, j]
        keep[k] = not same
        head = head if same else k
    return keep


@jit
def _keys(laws):  # type: ignore[no-untyped-def]
    """A number for each row, the same for equal rows."""
    key = np.zeros(len(laws))
    for k in range(len(laws)):
        for j in range(laws.shape[1]):
            key[k] += laws[k, j] * np.sin(j + 1.0)
    return key


class _Model:
    """The LP over the cuts so far, in n + 1 variables (q, t)."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.sets: Floats = np.empty((0, n))
        self.rhs: Floats = np.empty(0)
        self.lp = highspy.Highs()
        for name, option in _OPTIONS.items():
            self.lp.setOptionValue(name, option)
        self.lp.addVars(n + 1, np.zeros(n + 1), np.ones(n + 1))
        self.lp.changeColCost(n, 1.0)
        self.lp.addRow(1.0, 1.0, n, np.arange(n, dtype=np.int32), np.ones(n))

    def add(self, laws: Floats, q: Floats) -> None:
        """The cut of each row at q: t + q(A) >= p(A), A = {p > q}."""
        cut = laws > q
        rhs = (laws * cut).sum(axis=1)
        full = np.column_stack([cut, np.ones(len(cut), bool)])
        starts = np.concatenate([[0], np.cumsum(full.sum(axis=1))]).astype(np.int32)
        index = np.nonzero(full)[1].astype(np.int32)
        top = np.full(len(cut), highspy.kHighsInf)
        self.lp.addRows(len(cut), rhs, top, len(index), starts[:-1], index, np.ones(len(index)))
        self.sets, self.rhs = np.vstack([self.sets, cut]), np.concatenate([self.rhs, rhs])

    def solve(self) -> tuple[Floats, float, Ints] | None:
        """(minimiser q, lower bound recomputed from the multipliers, slack cuts), or None if the LP fails."""
        self.lp.run()
        if self.lp.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            self.lp.clearSolver()
            self.lp.run()
        if self.lp.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        solution = self.lp.getSolution()
        q, t = np.maximum(solution.col_value[: self.n], 0.0), solution.col_value[self.n]
        lam = np.maximum(solution.row_dual[1:], 0.0)
        total = lam.sum()
        bound = float(lam @ self.rhs - (lam @ self.sets).max()) / total if total > 0.0 else 0.0
        slack = np.flatnonzero((lam == 0.0) & (self.sets @ q + t > self.rhs + 1e3 * tol.CENTRE_GAP))
        return q / q.sum(), bound, slack

    def drop(self, cuts: Ints) -> None:
        """Forget these cuts."""
        self.lp.deleteRows(len(cuts), (cuts + 1).astype(np.int32))
        self.sets, self.rhs = np.delete(self.sets, cuts, axis=0), np.delete(self.rhs, cuts)


def _cutting_planes(laws: Floats) -> tuple[Floats, float, float]:
    """(q, value, certified gap) of one group of distinct rows."""
    K, n = laws.shape
    model, m, distance = _Model(n), min(n, K), np.empty(K)
    box = laws.max(axis=0) + laws.min(axis=0)
    x = best = box / box.sum()
    high, low, dropped_at = np.inf, 0.0, -1.0
    for _ in range(_ROUNDS + 20 * n):
        point, far = x, _distances(laws, x, 0, K, distance)
        if distance[far] >= high:
            point = 0.5 * (x + best)
            far = _distances(laws, point, 0, K, distance)
        if distance[far] < high:
            best, high = point, distance[far]
        if high - low <= tol.CENTRE_GAP:
            return best, float(high), float(max(high - low, 0.0))
        rows = np.argpartition(distance, K - m)[K - m :]
        model.add(laws[rows[distance[rows] > low]], point)
        solved = model.solve()
        if solved is None:
            break
        x, bound, slack = solved
        low = max(low, bound)
        # Dropping cuts only after the bound has risen keeps the number of rounds finite.
        old = slack[slack < len(model.rhs) - 2 * m]
        if len(model.rhs) > 4 * n and len(old) > n and low > dropped_at:
            model.drop(old)
            dropped_at = low
    raise NoConvergence("minimax centre: the gap stays above the tolerance", (best, high), float(high - low))


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
    for g in np.flatnonzero(gap < 0.0):
        rows = laws[starts[g] : starts[g + 1]]
        key = _keys(rows)
        rows = rows[_distinct(rows, key, np.argsort(key))]
        q[g], value[g], gap[g] = _cutting_planes(frozen_view(rows, np.float64))
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
