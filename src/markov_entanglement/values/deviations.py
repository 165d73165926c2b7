"""Least absolute deviations of additive functions at any size: `min sum_x w(x) |r(x) - sum_i t_i(x_i)|`; least squares.

The dual is `max z r` with `|z| <= w` and z orthogonal to every additive function; both are followed by the interior
point method of Portnoy and Koenker (Statistical Science 12, 1997), whose equations have one unknown per local pair
however many joint pairs there are. A mean is left by no function of columns from which their own means are taken: the
*centred* fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpstrf

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._compiled import compiled


@compiled
def products(column, q, out):  # type: ignore[no-untyped-def]
    """Add the upper half of the products under weights q (n,) of the 0/1 columns that `column` (n, N) numbers."""
    for x in range(len(q)):
        for i in range(column.shape[1]):
            row = column[x, i]
            for j in range(i, column.shape[1]):
                out[row, column[x, j]] += q[x]


def numbered(pairs: Ints) -> tuple[list[Ints], Ints]:
    """Per agent its local pairs that occur, and the joint pairs (n, N) in numbers of these, agent after agent."""
    found = [np.unique(x, return_inverse=True) for x in pairs.T]
    first = np.cumsum([0] + [len(seen) for seen, _ in found[:-1]])
    column = np.stack([f + key.reshape(-1) for f, (_, key) in zip(first, found, strict=True)], axis=1)
    return [seen for seen, _ in found], column


class Columns:
    """0/1 columns (n, m), numbered by `column` (n, N); those that are kept, less their `means` where given."""

    def __init__(self, column: Ints, m: int, kept: Ints | None = None, means: Floats | None = None) -> None:
        n, agents = column.shape
        place = sp.csr_array((np.ones(column.size), column.ravel(), np.arange(n + 1) * agents), shape=(n, m))
        self.kept = np.arange(m) if kept is None else kept
        self.column, self.m = column, m
        self.place = place if kept is None else sp.csr_array(place[:, kept])
        self.means = np.zeros(len(self.kept)) if means is None else means

    def __matmul__(self, t: Floats) -> Floats:
        return np.asarray(self.place @ t - self.means @ t)

    def onto(self, x: Floats) -> Floats:
        """Its transpose times (n,)."""
        return np.asarray(self.place.T @ x - self.means * x.sum())

    def gram(self, q: Floats) -> Floats:
        """(k, k) products under weights q (n,)."""
        half = np.zeros((self.m, self.m))
        products(self.column, q, half)
        gram = (half + np.triu(half, 1).T)[np.ix_(self.kept, self.kept)]
        side = np.outer(self.place.T @ q, self.means)
        return np.asarray(gram + q.sum() * np.outer(self.means, self.means) - side - side.T)

    def factor(self, q: Floats) -> Any:
        """Of the equations with weights q (n,)."""
        gram = self.gram(q)
        return cho_factor(gram + np.diag(tol.DEVIATIONS_RIDGE * np.diag(gram)))


def least_squares(columns: Columns, w: Floats, f: Floats) -> Floats:
    """Tables (m,) of the additive function nearest to f (n,) in L2(w).

    Columns are scaled to length 1, so that rare ones count as well; two steps of refinement.
    """
    gram = columns.gram(w)
    size = 1.0 / np.sqrt(np.diag(gram))
    upper, pivot, rank, _ = dpstrf(gram * np.outer(size, size), tol=tol.DEVIATIONS_RANK)
    kept = pivot[:rank] - 1
    root, t = np.triu(upper)[:rank, :rank], np.zeros(len(size))
    for _ in range(3):
        miss = (size * columns.onto(w * (f - columns @ t)))[kept]
        t[kept] += size[kept] * cho_solve((root, False), miss)
    return t


def least_deviations(columns: Columns, w: Floats, r: Floats, centred: bool) -> tuple[Floats, float, Floats]:
    """Tables t (m,) and c of the additive function with the least deviation, and multipliers (n,) of its residuals."""
    size = float(w.sum())
    mean = float(w @ r) / size
    w, r = w / size, r - mean
    m, means = columns.m, columns.place.T @ w if centred else None
    _, pivot, rank, _ = dpstrf(Columns(columns.column, m, None, means).gram(w), tol=tol.DEVIATIONS_RANK)
    kept = np.sort(pivot[:rank] - 1)
    columns = Columns(columns.column, m, kept, None if means is None else means[kept])
    x = 0.5 * w
    s = w - x
    b = columns.onto(x)
    y = -cho_solve(columns.factor(w), columns.onto(w * r))
    slack = -r - columns @ y
    scale = float(w @ np.abs(r))
    z, v = (np.maximum(f, 0.0) + tol.DEVIATIONS_INSIDE * scale for f in (slack, -slack))
    for _ in range(tol.DEVIATIONS_STEPS):
        if -r @ x - y @ b + v @ w <= tol.DEVIATIONS_GAP * scale:
            break
        q = 1.0 / (z / x + v / s)
        factor = columns.factor(q)

        def towards(target: Floats, factor: Any = factor, q: Floats = q) -> tuple[Floats, Floats]:
            dy = cho_solve(factor, columns.onto(q * target))
            return dy, q * (columns @ dy - target)

        dy, dx = towards(z - v)
        dz, dv = -z * (1.0 + dx / x), -v * (1.0 - dx / s)
        primal, dual = _reach((x, dx), (s, -dx)), _reach((z, dz), (v, dv))
        if min(primal, dual) < 1.0:
            gap = z @ x + v @ s
            after = (z + dual * dz) @ (x + primal * dx) + (v + dual * dv) @ (s - primal * dx)
            centre = gap * (after / gap) ** 3 / (2 * len(r))
            more, less, pull = dx * dz / x, -dx * dv / s, centre * (1.0 / x - 1.0 / s)
            dy, dx = towards(z - v + more - less - pull)
            dz = centre / x - z - z * dx / x - more
            dv = centre / s - v + v * dx / s - less
            primal, dual = _reach((x, dx), (s, -dx)), _reach((z, dz), (v, dv))
        x, s = x + primal * dx, s - primal * dx
        y, z, v = y + dual * dy, z + dual * dz, v + dual * dv
    tables = np.zeros(m)
    tables[kept] = -y
    return tables, mean + float(columns.means @ y), (2.0 * x - w) * size


def _reach(*moves: tuple[Floats, Floats]) -> float:
    """How far these may go before one is negative; at most 1."""
    least = min(float((a[d < 0] / -d[d < 0]).min(initial=np.inf)) for a, d in moves)
    return min(0.9995 * least, 1.0)
