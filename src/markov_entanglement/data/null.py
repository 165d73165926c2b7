"""The permutation null: what a table of counts would show if the outcome did not depend on the context, given the key.

Under that hypothesis the outcomes of the steps of one key may be dealt out anew among them. The law of the dealt table
needs the margins n(c) and n(k, u) alone: given them it is multivariate hypergeometric, so no step is kept. A context
met once is a row with one outcome; all such rows of a key with the same outcome are one row of the median.

Two numbers are compared. The plug-in entanglement `sum_k min_q sum_c n(c)/n TV(n(c, .)/n(c), q)`, Eq. 7 on the
empirical laws, says how high the noise floor is. The test rests on the conditional mutual information of context and
outcome, which finds the same dependence in fewer steps: p = (1 + number of tables that show as much) / (1 + tables).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._compiled import compiled
from .._hypergeometric import hypergeometric
from .._random import seed_of, stream
from .._types import RNG
from .._work import in_threads
from ..measures.median import ragged_l1_medians
from .contingency import Contingency

#: Tables that are dealt unless they are large, and the fewest; the fewest of which the median is taken.
TABLES, FEWEST, LEVELS = 199, 99, 19
#: Cells of all dealt tables from which threads pay.
_THREADED = 1e6


@dataclass(frozen=True, eq=False, repr=False)
class Null:
    """What was seen and what chance alone shows.

    Attributes
    ----------
    plug_in : Eq. 7 on the empirical laws, biased high.
    level : its mean over dealt tables, the noise floor; spread : its standard deviation over them.
    information : conditional mutual information I(u; c | k) of the empirical laws in nats, biased high.
    information_level, information_spread : its mean and standard deviation over dealt tables.
    p_value : share of tables, with the one seen, that show as much information.
    tables : how many were dealt.
    """

    plug_in: float
    level: float
    spread: float
    information: float
    information_level: float
    information_spread: float
    p_value: float
    tables: int

    @classmethod
    def unknown(cls) -> Null:
        """Nothing was seen."""
        no = math.nan
        return cls(no, no, no, no, no, no, p_value=1.0, tables=0)


@dataclass(frozen=True, eq=False, repr=False)
class _Margins:
    """Rows met at least twice, with those met once as one row for each outcome; the outcomes of each key."""

    rows: Ints  # (K + 1,)
    columns: Ints  # (K + 1,)
    cells: Ints  # (K + 1,)
    size: Ints  # (R,) steps of each row; -1: those met once with the outcome of its place
    urn: Ints  # outcomes of each key
    seen: Ints  # (cells,) the table itself
    steps: int


@compiled
def _deal(rng, rows, columns, cells, size, urn, out):  # type: ignore[no-untyped-def]
    """Counts of a table with the same margins."""
    for k in range(len(rows) - 1):
        m, at = columns[k + 1] - columns[k], cells[k]
        left, rest = urn[columns[k] : columns[k + 1]].copy(), 0
        for u in range(m):
            rest += left[u]
        unit = 0
        for r in range(rows[k], rows[k + 1]):
            if size[r] < 0:  # what is left is met once each
                for u in range(m):
                    out[at + u] = left[u] if u == unit else 0
                unit += 1
            else:
                need, others = size[r], rest
                for u in range(m):
                    others -= left[u]
                    got = hypergeometric(rng, left[u], others, need)
                    out[at + u] = got
                    left[u] -= got
                    need -= got
                rest -= size[r]
            at += m


@compiled
def _information(rows, columns, cells, counts, urn):  # type: ignore[no-untyped-def]
    """`sum n(c, u) log(n(c, u) n(k) / (n(c) n(k, u)))`."""
    whole = 0.0
    for k in range(len(rows) - 1):
        m, at, total = columns[k + 1] - columns[k], cells[k], 0.0
        for u in range(m):
            total += urn[columns[k] + u]
        for _ in range(rows[k], rows[k + 1]):
            here = 0
            for u in range(m):
                here += counts[at + u]
            for u in range(m):
                n = counts[at + u]
                if n > 0:
                    whole += n * math.log(n / here * (total / urn[columns[k] + u]))
            at += m
    return whole


@compiled
def _laws(rows, columns, cells, counts, laws, weights):  # type: ignore[no-untyped-def]
    """Empirical laws and weights of the rows of counts."""
    for k in range(len(rows) - 1):
        m, at = columns[k + 1] - columns[k], cells[k]
        for r in range(rows[k], rows[k + 1]):
            total = 0
            for u in range(m):
                total += counts[at + u]
            weights[r] = total
            for u in range(m):
                laws[at + u] = counts[at + u] / total if total > 0 else 0.0
            at += m


def empirical(rows: Ints, columns: Ints, cells: Ints, counts: Ints) -> tuple[Floats, Floats]:
    """Laws (cells,) and weights (rows,) of counts laid out as in `Grid`."""
    laws, weights = np.empty(len(counts)), np.empty(int(rows[-1]))
    _laws(rows, columns, cells, counts, laws, weights)
    return laws, weights


def _margins(table: Contingency) -> _Margins:
    grid = table.grid
    counts = grid.counts.sum(axis=0)
    wide, high = np.diff(grid.columns), np.diff(grid.rows)
    of_row = np.repeat(np.arange(len(high)), high)  # key of each row
    start = grid.cells[of_row] + (np.arange(len(of_row)) - grid.rows[of_row]) * wide[of_row]
    size = np.add.reduceat(counts, start) if len(start) else np.zeros(0, dtype=np.int64)
    many = size > 1
    once = np.bincount(of_row[~many], minlength=len(high)) > 0
    tall = np.bincount(of_row[many], minlength=len(high)) + np.where(once, wide, 0)
    rows = np.concatenate([[0], np.cumsum(tall)])
    cells = np.concatenate([[0], np.cumsum(tall * wide)])
    sizes, seen = np.full(int(rows[-1]), -1, dtype=np.int64), np.zeros(int(cells[-1]), dtype=np.int64)
    urn = np.zeros(int(grid.columns[-1]), dtype=np.int64)
    for k in range(len(high)):
        block = counts[grid.cells[k] : grid.cells[k + 1]].reshape(high[k], wide[k])
        keep = many[grid.rows[k] : grid.rows[k + 1]]
        sizes[rows[k] : rows[k] + keep.sum()] = size[grid.rows[k] : grid.rows[k + 1]][keep]
        units = [np.diag(block[~keep].sum(axis=0))] if once[k] else []
        seen[cells[k] : cells[k + 1]] = np.concatenate([block[keep], *units]).ravel()
        urn[grid.columns[k] : grid.columns[k + 1]] = block.sum(axis=0)
    parts = (rows, grid.columns, cells, sizes, urn, seen)
    a, b, c, d, e, f = (freeze(np.asarray(part, dtype=np.int64)) for part in parts)
    return _Margins(a, b, c, d, e, f, int(counts.sum()))


def null(table: Contingency, *, rng: RNG, tables: int | None = None) -> Null:
    """Deal tables with the margins of this one; `tables` of them, by default as many as take seconds.

    The same seed gives the same numbers, whatever the number of threads.
    """
    m = _margins(table)
    shape = (m.rows, m.columns, m.cells)
    size = max(len(m.seen), 1)
    if tables is None:
        tables = int(np.clip(tol.LOG_DEALT // size, FEWEST, TABLES))
    levels = int(np.clip(tol.LOG_MEDIANS // size, LEVELS, tables))

    def shows(counts: Ints, median: bool) -> tuple[float, float]:
        found = ragged_l1_medians(*empirical(*shape, counts), *shape)[1].sum() if median else math.nan
        return float(found) / m.steps, _information(*shape, counts, m.urn) / m.steps

    seed = seed_of(rng)

    def dealt(k: int) -> tuple[float, float]:
        counts = np.empty(len(m.seen), dtype=np.int64)
        _deal(stream(seed, k), *shape, m.size, m.urn, counts)
        return shows(counts, k < levels)

    plug_in, information = shows(m.seen, True)
    small = size * tables < _THREADED
    every = [dealt(k) for k in range(tables)] if small else in_threads(dealt, range(tables), None)
    level, chance = np.array(every).T
    as_much = int((chance >= information - 1e-12).sum())
    return Null(
        plug_in, float(level[:levels].mean()), float(level[:levels].std(ddof=1)), information, float(chance.mean()),
        float(chance.std(ddof=1)), (1 + as_much) / (1 + tables), tables,
    )  # fmt: skip


def information_of(table: Contingency, left_out: int) -> float:
    """Plug-in conditional mutual information in nats, without one block of time."""
    grid, keep = table.grid, table.block != left_out
    counts = np.zeros(int(grid.cells[-1]), dtype=np.int64)
    np.add.at(counts, grid.cell[keep], table.count[keep])
    wide, high = np.diff(grid.columns), np.diff(grid.rows)
    column = np.concatenate(
        [np.tile(np.arange(a, a + w), h) for a, w, h in zip(grid.columns, wide, high, strict=False)]
    )
    urn = np.bincount(column, counts, int(grid.columns[-1])).astype(np.int64)
    return float(_information(*grid.shape, counts, urn)) / max(int(counts.sum()), 1)
