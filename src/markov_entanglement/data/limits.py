"""Lower and upper confidence limits of entanglement from a table of counts.

Let k be the key, x the context, u the outcome of a step, and E = sum_x mu(x) TV(p(.|x), M(.|k)) at the best M (Eq. 7).

Lower (a balanced witness). For any f(x, u) in [0, 1] with F(k, u) = E[f(x, u) | k]:

    adv_k = E[1{k} (f(x_t, u_t) - F(k, u_t))],   spread_k = max_u F - min_u F,   E >= sum_k adv_k / (1 + spread_k),

for (f - F)/(1 + spread) has mean 0 over x for every u and values in an interval of length 1: it is feasible for the
dual of the weighted median. f is learned on one half of the time, the sum is taken on the other.

Upper (Jensen). For any M, fitted on one half, 1/(2n) sum |n(x, u) - n(x) M(u|k)| on the other has a mean of at least E,
whatever the number of visits; where contexts are met about once it is near 1 and says nothing.

Both halves take both parts; standard errors are those of batch means over time, linearised (variation of F and of the
spread included). They are added over the halves, not in squares: where E = 0 the two are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from .._check import Floats, Ints
from .._compiled import compiled
from ..measures.median import ragged_l1_medians
from .contingency import Contingency, Grid
from .null import empirical

#: One-sided confidence of each limit.
LEVEL = 0.95


@dataclass(frozen=True, eq=False, repr=False)
class Limit:
    """A limit: the estimate that it rests on, its standard error, and the name of what was chosen in each half."""

    value: float
    estimate: float
    stderr: float
    chosen: tuple[str, ...] = ()


#: Makes f (cells,) in [0, 1] of a grid and the counts (cells,) that it may learn from.
Witness = Callable[[Grid, Ints], Floats]


@compiled
def _hard(rows, columns, cells, n, f):  # type: ignore[no-untyped-def]
    """1 where an outcome is met more often with a context than with its key."""
    for k in range(len(rows) - 1):
        m = columns[k + 1] - columns[k]
        of_u, total = np.zeros(m), 0.0
        for c in range(cells[k], cells[k + 1]):
            of_u[(c - cells[k]) % m] += n[c]
            total += n[c]
        for r in range(rows[k + 1] - rows[k]):
            at = cells[k] + r * m
            here = 0.0
            for u in range(m):
                here += n[at + u]
            for u in range(m):
                f[at + u] = 1.0 if n[at + u] * total > of_u[u] * here else 0.0


@compiled
def _dual(rows, columns, cells, laws, weights, q, f):  # type: ignore[no-untyped-def]
    """The dual of the weighted median: 1 above q, 0 below, and at q what makes all outcomes have one level."""
    for k in range(len(rows) - 1):
        m = columns[k + 1] - columns[k]
        above, tied, total = np.zeros(m), np.zeros(m), 0.0
        for r in range(rows[k + 1] - rows[k]):
            w, at = weights[rows[k] + r], cells[k] + r * m
            total += w
            for u in range(m):
                d = laws[at + u] - q[columns[k] + u]
                if abs(d) <= 1e-12:
                    tied[u] += w
                elif d > 0.0:
                    above[u] += w
        low, high = 0.0, total
        for u in range(m):
            low, high = max(low, above[u]), min(high, above[u] + tied[u])
        level = 0.5 * (low + high)
        for r in range(rows[k + 1] - rows[k]):
            at, met = cells[k] + r * m, weights[rows[k] + r] > 0.0
            for u in range(m):
                d = laws[at + u] - q[columns[k] + u]
                part = min(max((level - above[u]) / tied[u], 0.0), 1.0) if tied[u] > 0.0 else 0.0
                if not met:
                    f[at + u] = 0.5
                else:
                    f[at + u] = part if abs(d) <= 1e-12 else (1.0 if d > 0.0 else 0.0)


@compiled
def _balanced(rows, columns, cells, n, f, y):  # type: ignore[no-untyped-def]
    """What a step in each cell adds to the lower limit, linearised; returns the sum over the steps of counts n."""
    whole = 0.0
    for k in range(len(rows) - 1):
        m, tall = columns[k + 1] - columns[k], rows[k + 1] - rows[k]
        of_u, F, total = np.zeros(m), np.zeros(m), 0.0
        for r in range(tall):
            at, here = cells[k] + r * m, 0.0
            for u in range(m):
                here += n[at + u]
                of_u[u] += n[at + u]
            total += here
            for u in range(m):
                F[u] += here * f[at + u]
        if total == 0.0:
            continue
        top, low, mean = -1, -1, 0.0
        for u in range(m):
            F[u] /= total
            of_u[u] /= total
            mean += of_u[u] * F[u]
            if of_u[u] > 0.0:
                top = u if top < 0 or F[u] > F[top] else top
                low = u if low < 0 or F[u] < F[low] else low
        spread, met = F[top] - F[low], 0.0
        for c in range(cells[k], cells[k + 1]):
            met += n[c] * f[c]
        adv = met / total - mean
        whole += total * adv / (1.0 + spread)
        for r in range(tall):
            at, own = cells[k] + r * m, 0.0
            for u in range(m):
                own += of_u[u] * f[at + u]
            tilt = adv * (f[at + top] - f[at + low] - spread) / (1.0 + spread) ** 2
            for u in range(m):
                y[at + u] = (f[at + u] - own - F[u] + mean) / (1.0 + spread) - tilt
    return whole


@compiled
def _jensen(rows, columns, cells, n, known, M, y):  # type: ignore[no-untyped-def]
    """What a step in each cell adds to the upper limit; returns the sum over the steps of counts n."""
    whole = 0.0
    for k in range(len(rows) - 1):
        m = columns[k + 1] - columns[k]
        for r in range(rows[k + 1] - rows[k]):
            at, here, signs = cells[k] + r * m, 0.0, 0.0
            for u in range(m):
                here += n[at + u]
            for u in range(m):
                d = n[at + u] - here * M[columns[k] + u]
                y[at + u] = 1.0 if d > 0.0 else (-1.0 if d < 0.0 else 0.0)
                signs += y[at + u] * M[columns[k] + u]
            for u in range(m):
                y[at + u] = 0.5 * (y[at + u] - signs) if known[k] else 1.0
                whole += n[at + u] * y[at + u]
    return whole


def hard(grid: Grid, n: Ints) -> Floats:
    """The hard classifier `p(u|x) > p(u|k)`."""
    f = np.empty(len(n))
    _hard(*grid.shape, n, f)
    return f


def dual(grid: Grid, n: Ints) -> Floats:
    """The dual of the weighted median of the empirical laws."""
    laws, weights = empirical(*grid.shape, n)
    f = np.empty(len(n))
    _dual(*grid.shape, laws, weights, ragged_l1_medians(laws, weights, *grid.shape)[0], f)
    return f


WITNESSES: Mapping[str, Witness] = {"classifier": hard, "dual of the median": dual}


def _chosen(grid: Grid, first: Ints, second: Ints, witnesses: Mapping[str, Witness]) -> str:
    """The witness that does best on the other quarter of the half that it may see."""
    if len(witnesses) == 1:
        return next(iter(witnesses))
    y = np.empty(len(first))

    def worth(name: str) -> float:
        both = ((first, second), (second, first))
        return sum(
            _balanced(*grid.shape, on, witnesses[name](grid, n), y) / max(on.sum(), 1) for n, on in both
        )

    return max(witnesses, key=worth)


def lower(table: Contingency, witnesses: Mapping[str, Witness] = WITNESSES, *, level: float = LEVEL) -> Limit:
    """Lower confidence limit of E, the witness chosen inside the half that it is fitted on."""
    grid, chosen = table.grid, []

    def half(fit: tuple[int, int], on: Ints, y: Floats) -> float:
        a, b = (grid.counts[q] for q in fit)
        chosen.append(_chosen(grid, a, b, witnesses))
        return _balanced(*grid.shape, on, witnesses[chosen[-1]](grid, a + b), y)

    estimate, stderr = _both(table, half)
    return Limit(estimate - _quantile(table, level) * stderr, estimate, stderr, tuple(chosen))


def upper(table: Contingency) -> Limit:
    """Upper confidence limit of E."""
    grid = table.grid

    def half(fit: tuple[int, int], on: Ints, y: Floats) -> float:
        laws, weights = empirical(*grid.shape, grid.counts[list(fit)].sum(axis=0))
        M, _ = ragged_l1_medians(laws, weights, *grid.shape)
        known = np.add.reduceat(weights, grid.rows[:-1]) > 0
        return _jensen(*grid.shape, on, known, M, y)

    estimate, stderr = _both(table, half)
    return Limit(min(estimate + _quantile(table, LEVEL) * stderr, 1.0), estimate, stderr)


def _quantile(table: Contingency, level: float) -> float:
    return float(stdtrit(table.n_blocks // 2 - 1, level))


def _both(table: Contingency, half: Callable[[tuple[int, int], Ints, Floats], float]) -> tuple[float, float]:
    """Mean over both halves of `half(quarters to fit on, counts to sum over, contributions)`; standard errors added."""
    grid, means, errors = table.grid, [], []
    second = table.block >= table.n_blocks // 2
    for fit, rest, there in (((0, 1), (2, 3), second), ((2, 3), (0, 1), ~second)):
        on, y = grid.counts[list(rest)].sum(axis=0), np.empty(grid.counts.shape[1])
        means.append(half(fit, on, y) / max(int(on.sum()), 1))
        weight = table.count[there].astype(np.float64)
        total = np.bincount(table.block[there], weight * y[grid.cell[there]], table.n_blocks)
        steps = np.bincount(table.block[there], weight, table.n_blocks)
        batch = total[steps > 0] / steps[steps > 0]
        errors.append(batch.std(ddof=1) / math.sqrt(len(batch)) if len(batch) > 1 else math.inf)
    return float(np.mean(means)), float(np.mean(errors))
