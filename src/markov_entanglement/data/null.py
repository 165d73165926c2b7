"""The permutation null: what a table of counts would show if the outcome did not depend on the context, given the key.

Under that hypothesis the outcomes of the steps of one key may be dealt out anew among them. The law of the dealt table
needs the margins n(c) and n(k, u) alone: given them it is multivariate hypergeometric, so no step is kept. A context
met once is a row with one outcome; all such rows of a key with the same outcome are one row of the median.

The number that is compared is the plug-in entanglement `sum_k min_q sum_c n(c)/n TV(n(c, .)/n(c), q)`: Eq. 7 on the
empirical laws, biased high. p = (1 + number of tables that show as much) / (1 + tables), valid at any size.
"""

from __future__ import annotations

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

#: Tables that are dealt unless they are large, and the fewest.
TABLES, FEWEST = 199, 39


@dataclass(frozen=True, eq=False, repr=False)
class Null:
    """What was seen and what chance alone shows.

    Attributes
    ----------
    plug_in : Eq. 7 on the empirical laws, biased high.
    level : its mean over dealt tables, the noise floor; spread : its standard deviation over them.
    p_value : share of tables, with the one seen, that show as much.
    tables : how many were dealt.
    """

    plug_in: float
    level: float
    spread: float
    p_value: float
    tables: int


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
    return _Margins(*(freeze(np.asarray(a, dtype=np.int64)) for a in parts), steps=int(counts.sum()))


def null(table: Contingency, *, rng: RNG, tables: int | None = None) -> Null:
    """Deal tables with the margins of this one; `tables` of them, by default as many as take seconds.

    The same seed gives the same numbers, whatever the number of threads.
    """
    m = _margins(table)
    shape = (m.rows, m.columns, m.cells)
    if tables is None:
        tables = int(np.clip(tol.LOG_DEALT // max(len(m.seen), 1), FEWEST, TABLES))

    def shows(counts: Ints) -> float:
        return float(ragged_l1_medians(*empirical(*shape, counts), *shape)[1].sum()) / m.steps

    seed = seed_of(rng)

    def dealt(k: int) -> float:
        counts = np.empty(len(m.seen), dtype=np.int64)
        _deal(stream(seed, k), *shape, m.size, m.urn, counts)
        return shows(counts)

    plug_in = shows(m.seen)
    found = np.array(in_threads(dealt, range(tables), None))
    as_much = int((found >= plug_in - 1e-12).sum())
    return Null(plug_in, float(found.mean()), float(found.std(ddof=1)), (1 + as_much) / (1 + tables), tables)
