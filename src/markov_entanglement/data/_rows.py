"""Compiled loops over rows of logs: rows that are equal get one number, rows of agents become steps of all."""

from __future__ import annotations

import numpy as np

from .._check import Ints
from .._compiled import compiled


@compiled
def _hash(rows, k):  # type: ignore[no-untyped-def]
    h = np.uint64(14695981039346656037)
    for j in range(rows.shape[1]):
        h = (h ^ np.uint64(rows[k, j])) * np.uint64(13787848793156543929)
        h ^= h >> np.uint64(32)
    return h


@compiled
def _equal(a, k, b, l):  # type: ignore[no-untyped-def]
    for j in range(a.shape[1]):  # noqa: SIM110
        if a[k, j] != b[l, j]:
            return False
    return True


@compiled
def _place(rows, k, kept, table):  # type: ignore[no-untyped-def]
    """Where row k stands in the table, or the empty place where it belongs."""
    mask = np.uint64(len(table) - 1)
    at = _hash(rows, k) & mask
    while table[at] >= 0 and not _equal(rows, k, kept, table[at]):
        at = (at + np.uint64(1)) & mask
    return at


@compiled
def _identify(rows, begin, kept, count, table, ids):  # type: ignore[no-untyped-def]
    """Numbers from row `begin` on, until the table is half full; (the row that it stopped at, rows kept)."""
    for k in range(begin, len(rows)):
        if 2 * count >= len(table) or count >= len(kept):
            return k, count
        at = _place(rows, k, kept, table)
        if table[at] < 0:
            kept[count] = rows[k]
            table[at] = count
            count += 1
        ids[k] = table[at]
    return len(rows), count


@compiled
def _seat(kept, count, table):  # type: ignore[no-untyped-def]
    for k in range(count):
        table[_place(kept, k, kept, table)] = k


class Numbering:
    """Different rows (T, K) of whole numbers, numbered as they come; at most `limit` of them, then `full`."""

    def __init__(self, width: int, limit: int = 2**62) -> None:
        self.limit, self.count, self.full = limit, 0, False
        self._kept = np.empty((1024, width), dtype=np.int64)
        self._table = np.full(4096, -1, dtype=np.int64)

    @property
    def rows(self) -> Ints:
        """(J, K) the rows in the order of their numbers."""
        return self._kept[: self.count]

    def __call__(self, rows: Ints) -> Ints:
        """(T,) numbers of rows (T, K)."""
        rows, at = np.ascontiguousarray(rows, dtype=np.int64), 0
        ids = np.empty(len(rows), dtype=np.int64)
        while at < len(rows):
            at, self.count = _identify(rows, at, self._kept, self.count, self._table, ids)
            if self.count > self.limit:
                self.full = True
                return ids
            if at < len(rows):
                self._grow(min(2 * self.count + len(rows) - at, 8 * self.count))
        return ids

    def _grow(self, room: int) -> None:
        kept = np.empty((room, self._kept.shape[1]), dtype=np.int64)
        kept[: self.count] = self.rows
        self._kept = kept
        self._table = np.full(1 << (2 * room).bit_length(), -1, dtype=np.int64)
        _seat(self._kept, self.count, self._table)


@compiled
def triples(a, b, c, size, counts):  # type: ignore[no-untyped-def]
    """Add to counts (., B, C) flat how often a, b and c came together, where all are there; size = (B, C)."""
    for k in range(len(a)):
        if a[k] >= 0 and b[k] >= 0 and c[k] >= 0:
            counts[(a[k] * size[0] + b[k]) * size[1] + c[k]] += 1


@compiled
def scatter(step, agent, pair, pairs):  # type: ignore[no-untyped-def]
    """Fill pairs (M, N) from rows; the first row whose place is taken, or -1."""
    for k in range(len(step)):
        if pairs[step[k], agent[k]] >= 0:
            return k
        pairs[step[k], agent[k]] = pair[k]
    return -1
