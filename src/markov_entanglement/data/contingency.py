"""How often an outcome followed a context, in whole numbers: all that statistics of logs are computed from.

One question stands behind all that logs can be asked: does a context c predict an outcome u, given a key k that is a
function of c? For the entanglement of agent i: k = x_i, c = the joint pair x, u = the next local pair of i. Counts by
context, outcome and block of time add up exactly, in any order, whatever the shards or workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import _tolerance as tol
from .._check import Ints, freeze
from ..errors import InvalidInput, TooLarge

#: Contiguous stretches of time with equal numbers of steps; the first half of them is half A, the rest half B.
BLOCKS = 40


@dataclass(frozen=True, eq=False, repr=False)
class Contingency:
    """Counts of (block, context, outcome): whole numbers, sparse, sorted by context, block, outcome.

    Attributes
    ----------
    code : (C,) int64, ascending: what each context is, the same number for the same context in every table.
    key : (C,) key of each context, in 0..n_keys-1.
    context : (E,) place in `code`; block : (E,) in 0..n_blocks-1; outcome : (E,) in 0..n_outcomes-1.
    count : (E,) int64 > 0.
    """

    code: Ints
    key: Ints
    context: Ints
    block: Ints
    outcome: Ints
    count: Ints
    n_blocks: int
    n_keys: int
    n_outcomes: int

    def __repr__(self) -> str:
        return f"Contingency({self.steps:,} steps, {len(self.code):,} contexts of {self.n_keys} keys)"

    @property
    def steps(self) -> int:
        """Number of steps counted."""
        return int(self.count.sum())

    @classmethod
    def of(
        cls, block: Ints, code: Ints, outcome: Ints, key: Ints, *, n_blocks: int = BLOCKS, n_keys: int,
        n_outcomes: int, count: Ints | None = None,
    ) -> Contingency:  # fmt: skip
        """From steps, all (T,); with `count` a step stands for so many. The key is a function of the code."""
        codes, first, context = np.unique(code, return_index=True, return_inverse=True)
        cell = (context.reshape(-1) * n_blocks + block) * n_outcomes + outcome
        if len(codes) * n_blocks * n_outcomes >= 2**63:
            rule = f"at most 2^63 of {n_blocks} blocks and {n_outcomes:,} outcomes"
            raise TooLarge(
                "contexts by blocks by outcomes",
                f"{len(codes):,} contexts",
                rule,
                "Take coarser local states.",
            )
        if count is None:
            cells, many = np.unique(cell, return_counts=True)
        else:
            cells, where = np.unique(cell, return_inverse=True)
            many = np.zeros(len(cells), dtype=np.int64)
            np.add.at(many, where.reshape(-1), count)
        rest, u = np.divmod(cells, n_outcomes)
        c, b = np.divmod(rest, n_blocks)
        parts = (codes, key[first], c, b, u, many)
        code, key, context, block, outcome, many = (freeze(np.asarray(a, dtype=np.int64)) for a in parts)
        return cls(code, key, context, block, outcome, many, n_blocks, n_keys, n_outcomes)

    def merge(self, other: Contingency) -> Contingency:
        """The counts of both: exact addition, in any order."""
        mine, theirs = ((t.n_blocks, t.n_keys, t.n_outcomes) for t in (self, other))
        if mine != theirs:
            rule = "tables that are added have the same blocks, keys and outcomes"
            raise InvalidInput("other", str(theirs), f"{rule}: {mine}", "Count both in the same way.")

        def both(name: str, of: bool = False) -> Ints:
            found: Ints = np.concatenate(
                [getattr(t, name)[t.context] if of else getattr(t, name) for t in (self, other)]
            )
            return found

        return Contingency.of(
            both("block"), both("code", True), both("outcome"), both("key", True), count=both("count"),
            n_blocks=self.n_blocks, n_keys=self.n_keys, n_outcomes=self.n_outcomes,
        )  # fmt: skip

    def _each(self, name: str) -> Ints:
        """(E,) an attribute of every entry."""
        found: Ints = getattr(self, name)
        return found[self.context] if name in ("code", "key") else found

    @cached_property
    def grid(self) -> Grid:
        """The same laid out key by key."""
        return _grid(self)


@dataclass(frozen=True, eq=False, repr=False)
class Grid:
    """A table laid out key by key: of key k a block of rows (its contexts) by columns (the outcomes met with it).

    Attributes
    ----------
    rows : (K + 1,) where the contexts of each key begin, in the order `order`.
    columns : (K + 1,) where its outcomes begin among `outcome`; cells : (K + 1,) where its cells begin.
    order : (C,) contexts sorted by key; outcome : the outcomes met, key by key.
    cell : (E,) cell of each entry of the table; counts : (4, cells) by quarter of time.
    """

    rows: Ints
    columns: Ints
    cells: Ints
    order: Ints
    outcome: Ints
    cell: Ints
    counts: Ints

    @property
    def shape(self) -> tuple[Ints, Ints, Ints]:
        """`rows`, `columns`, `cells`: what kernels walk by."""
        return self.rows, self.columns, self.cells


def _starts(sizes: Ints) -> Ints:
    return freeze(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def _grid(table: Contingency) -> Grid:
    keys, key = np.unique(table.key, return_inverse=True)
    key = key.reshape(-1)
    order = np.argsort(key, kind="stable")
    row = np.empty(len(order), dtype=np.int64)
    rows = _starts(np.bincount(key, minlength=len(keys)))
    row[order] = np.arange(len(order)) - rows[key[order]]
    met, column = np.unique(key[table.context] * table.n_outcomes + table.outcome, return_inverse=True)
    whose, outcome = np.divmod(met, table.n_outcomes)
    columns = _starts(np.bincount(whose, minlength=len(keys)))
    wide = np.diff(columns)
    cells = _starts(np.diff(rows) * wide)
    if cells[-1] > tol.LOG_CELLS:
        raise TooLarge(
            "contexts by outcomes", f"{cells[-1]:,} cells", f"at most {tol.LOG_CELLS:,.0f}",
            "Take coarser local states, or fewer agents together.",
        )  # fmt: skip
    k = key[table.context]
    cell = cells[k] + row[table.context] * wide[k] + column.reshape(-1) - columns[k]
    quarter = table.block * 4 // table.n_blocks
    counts = np.zeros((4, int(cells[-1])), dtype=np.int64)
    np.add.at(counts, (quarter, cell), table.count)
    return Grid(rows, columns, cells, freeze(order), freeze(outcome), freeze(cell), freeze(counts))
