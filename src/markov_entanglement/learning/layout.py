"""Which agents share a table, and where the numbers of all tables stand in a row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Ints
from ..errors import InvalidInput, TooLarge, gib, short
from ..runs.chunk import Chunk
from .kernels import Steps


@dataclass(frozen=True, eq=False)
class Pool:
    """Which agents share a table.

    Attributes
    ----------
    group : (N,) table of each agent; sizes : (G,) length of each table.
    """

    group: Ints
    sizes: Ints

    @classmethod
    def of(cls, pool: Any, sizes: Ints) -> Pool:
        """From a label for each agent, equal ones share; None: one table each."""
        if pool is None:
            return cls(np.arange(len(sizes)), sizes)
        if np.ndim(pool) != 1 or len(pool) != len(sizes):
            raise InvalidInput("pool", short(pool), f"one label for each of {len(sizes)} agents",
                               "Agents with equal labels share a table.")  # fmt: skip
        _, first, group = np.unique(np.asarray(pool), return_index=True, return_inverse=True)
        group = group.reshape(-1)
        if (sizes != sizes[first][group]).any():
            i = int(np.argmax(sizes != sizes[first][group]))
            got = f"agents {first[group[i]]} and {i} together"
            raise InvalidInput(
                "pool", got, "agents that share a table have as many local pairs", "Give them two labels."
            )
        return cls(group, sizes[first])

    @property
    def starts(self) -> Ints:
        """(G,) where each table begins in one row."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def shared(self) -> Ints | None:
        """(N,) table of each agent where some share one, else None."""
        return None if len(self.group) == len(self.sizes) else self.group

    def cut(self, row: Any, sizes: Ints | None = None) -> tuple[Any, ...]:
        """The tables in one row."""
        return tuple(np.split(row, np.cumsum(self.sizes if sizes is None else sizes)[:-1]))


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the tables of all agents stand in a row, and the traces of each.

    Attributes
    ----------
    pool : which agents share a table; sizes : (N,) local pairs; discount : gamma.
    """

    pool: Pool
    sizes: Ints
    discount: float

    @classmethod
    def of(cls, pool: Any, sizes: Ints, discount: float) -> Layout:
        """From labels of agents that share tables."""
        sizes = np.asarray(sizes, dtype=np.int64)
        return cls(Pool.of(pool, sizes), sizes, discount)

    @property
    def numbers(self) -> int:
        """M numbers of all tables."""
        return int(self.pool.sizes.sum())

    def starts(self, wide: Ints) -> Ints:
        """(N,) where the table of each agent begins if tables have `wide` (G,) numbers."""
        self.room(int(wide.sum()))
        return (np.cumsum(wide) - wide)[self.pool.group]

    @staticmethod
    def room(numbers: int) -> None:
        """Refuse more numbers than fit."""
        if 8 * numbers > tol.BYTES:
            raise TooLarge("tables of moves between local pairs", gib(8 * numbers), gib(tol.BYTES),
                           "Take me.TD(), which keeps a number for each pair, or share tables: pool=.")  # fmt: skip

    def steps(self, chunk: Chunk) -> Steps:
        """A chunk as the loops take it."""
        own = np.cumsum(self.sizes) - self.sizes
        first = self.pool.starts[self.pool.group]
        return Steps(chunk.pairs, chunk.rewards, chunk.ended, self.pool.group, first, own, self.sizes)

    def alike(self) -> Iterator[tuple[int, Ints, Ints]]:
        """Tables of equal length m together: m, which (n,), and where their numbers stand (n, m)."""
        for m in np.unique(self.pool.sizes):
            which = np.flatnonzero(self.pool.sizes == m)
            yield int(m), which, self.pool.starts[which][:, None] + np.arange(m)
