"""Whole numbers of a log that add up exactly: how often what followed what, by blocks of time, shard after shard.

Tables of codes are added by sorting, so that the same log gives the same bytes whatever its shards and workers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Bools, Ints, freeze
from ..errors import InvalidInput, TooLarge
from ._rows import Numbering, triples
from .shards import Shard

#: What can be counted: columns of each table, with the sizes of these as letters of `Tally.sizes_of`.
TABLES = {
    "own": ("block", "agent", "pair", "next"),
    "partners": ("block", "agent", "partner", "pair", "other", "next"),
    "joint": ("block", "x", "y"),
    "past": ("block", "w", "x", "y"),
    "clock": ("block", "step", "x", "y"),
}
JOINT = ("joint", "past", "clock")
#: Codes, counts and shape of a table, codes in any order.
Part = tuple[Ints, Ints, tuple[int, ...]]


@dataclass(frozen=True, eq=False, repr=False)
class Counts:
    """How often each row of whole numbers came: rows as codes, row-major in `shape`, ascending.

    Attributes
    ----------
    code, count : (E,) int64.
    shape : sizes of the columns.
    """

    code: Ints
    count: Ints
    shape: tuple[int, ...]

    @classmethod
    def of(cls, code: Ints, count: Ints, shape: tuple[int, ...]) -> Counts:
        """Equal codes added."""
        order = np.argsort(code, kind="stable")
        code, count = code[order], count[order]
        first = np.flatnonzero(np.diff(code, prepend=-1))
        total = np.add.reduceat(count, first) if len(code) else count
        return cls(freeze(code[first]), freeze(total), shape)

    @property
    def columns(self) -> tuple[Ints, ...]:
        """(E,) numbers of each column."""
        return tuple(np.asarray(a, dtype=np.int64) for a in np.unravel_index(self.code, self.shape))

    def recoded(self, shape: tuple[int, ...], places: Ints | None, joint: Sequence[int]) -> Counts:
        """The same in another shape, with new numbers in the columns `joint`."""
        columns = list(self.columns)
        for k in joint if places is not None else ():
            columns[k] = places[columns[k]]  # type: ignore[index]
        return Counts.of(_code(columns, shape), self.count, shape)


def _code(columns: Sequence[Ints], shape: tuple[int, ...]) -> Ints:
    return np.asarray(np.ravel_multi_index(tuple(columns), shape), dtype=np.int64)


@dataclass(frozen=True, eq=False, repr=False)
class Tally:
    """Counts of a log, or of some shards of it.

    Attributes
    ----------
    sizes : (N,) local pairs of each agent.
    blocks : stretches of time with equal numbers of rows.
    pairs : (J, N) joint pairs of `joint`, `past`, `clock` in lexicographic order; m_i where agent i is absent. All m_i,
        as a next joint pair: the task ended.
    tables : name -> counts. "own": block, agent, pair, next pair; "partners": block, agent, partner, pair, pair of the
        partner (m_j: absent), next pair; "joint": block, joint pair, next one; "past": block, joint pair before, joint
        pair, next one; "clock": block, step of the episode, joint pair, next one. m_i as a next pair: the task ended.
    refused : name -> why a table that was asked for is not there: all limits of it, as shards are counted in any order.
    """

    sizes: Ints
    blocks: int
    pairs: Ints
    tables: dict[str, Counts]
    refused: dict[str, str]

    def __repr__(self) -> str:
        return f"Tally({', '.join(f'{name}: {len(t.code):,}' for name, t in self.tables.items())})"

    def table(self, name: str) -> Counts:
        """One of the tables.

        Raises
        ------
        TooLarge : it would have been too long.
        """
        if name in self.refused:
            rule = "Take fewer agents or coarser local states; counts of pairs of agents are in 'partners'."
            raise TooLarge(
                name, self.refused[name], f"{tol.LOG_JOINT:,} joint pairs, {tol.LOG_COUNTS:,} entries", rule
            )
        if name not in self.tables:
            raise InvalidInput.unknown("table", name, self.tables, "counted were")
        return self.tables[name]

    def question(self, name: str, agent: int, partner: int | None = None) -> dict[str, Any]:
        """Block, context, outcome, key and count of each entry: does the context tell more of the next pair of an agent
        than the key does?

        name "joint": context joint pair x, key x_i. "partners": context (x_i, x_j). "past": context (joint pair before,
        x), key x. "clock": context (step, x), key x. The outcome is the next pair of the agent; m_i: the task ended.
        """
        columns, count = self.table(name).columns, self.table(name).count
        m = int(self.sizes[agent])
        if name == "partners":
            known = (columns[1] == agent) & (columns[2] == partner)
            block, _, _, key, other, outcome = columns
            code = key * (int(self.sizes.max()) + 1) + other
        else:
            block, x, y = columns[0], columns[-2], columns[-1]
            ended = (self.pairs == self.sizes).all(axis=1)
            now, outcome = self.pairs[x, agent], self.pairs[y, agent]
            known = (now < m) & ((outcome < m) | ended[y])
            code = x if name == "joint" else columns[1] * len(self.pairs) + x
            key = now if name == "joint" else x
        block, code, outcome, key, count = (a[known] for a in (block, code, outcome, key, count))
        return {"block": block, "code": code, "outcome": outcome, "key": key, "count": count, "n_blocks": self.blocks,
                "n_keys": m if name in ("joint", "partners") else len(self.pairs), "n_outcomes": m + 1}  # fmt: skip

    def transitions(self, agent: int) -> Ints:
        """(m, m) moves of an agent from each local pair to each inside tasks, whatever the others did."""
        _, of, pair, following = self.table("own").columns
        m = int(self.sizes[agent])
        mine = (of == agent) & (following < m)
        found = np.zeros((m, m), dtype=np.int64)
        np.add.at(found, (pair[mine], following[mine]), self.table("own").count[mine])
        return found

    def merge(self, other: Tally) -> Tally:
        """The counts of both."""
        refused = {**self.refused, **other.refused}
        union = _union(self.pairs, other.pairs)
        pairs, places = union or (self.pairs[:0], (None, None))
        if union is None:
            refused |= {name: _long(name) for name in JOINT if name in self.tables or name in other.tables}
        parts: dict[str, Part] = {}
        for name, columns in TABLES.items():
            both = [t.tables[name] for t in (self, other) if name in t.tables]
            if len(both) < 2 or name in refused:
                continue
            joint = [k for k, c in enumerate(columns) if c in "wxy"]
            shape = _shape(name, self.sizes, self.blocks, len(pairs), max(_steps(name, t) for t in both))
            if math.prod(shape) >= 2**63:
                refused[name] = _long(name)
                continue
            moved = [t.recoded(shape, p, joint) if joint else t for t, p in zip(both, places, strict=True)]
            parts[name] = _joined(t.code for t in moved), _joined(t.count for t in moved), shape
        return _made(self.sizes, self.blocks, pairs, parts, refused)


def _made(
    sizes: Ints,
    blocks: int,
    pairs: Ints,
    parts: dict[str, Part],
    refused: dict[str, str],
) -> Tally:
    """Codes added, but of tables that are too long."""
    tables = {}
    for name, (code, many, shape) in parts.items():
        table = Counts.of(code, many, shape)
        if len(table.code) > tol.LOG_COUNTS:
            refused[name] = _long(name)
        else:
            tables[name] = table
    return Tally(
        sizes, blocks, pairs if any(name in JOINT for name in tables) else pairs[:0], tables, refused
    )


def _long(name: str) -> str:
    pairs = f"{tol.LOG_JOINT:,} different joint pairs, " if name in JOINT else ""
    return f"more than {pairs}{tol.LOG_COUNTS:,} entries or 2^63 numbers for them"


def _steps(name: str, counts: Counts) -> int:
    return counts.shape[1] if name == "clock" else 1


def _shape(name: str, sizes: Ints, blocks: int, joint: int, steps: int) -> tuple[int, ...]:
    m, n = int(sizes.max()), len(sizes)
    letters = {
        "block": blocks,
        "agent": n,
        "partner": n,
        "pair": m,
        "other": m + 1,
        "next": m + 1,
        "step": steps,
    }
    return tuple(letters.get(column, max(joint, 1)) for column in TABLES[name])


def _union(a: Ints, b: Ints) -> tuple[Ints, tuple[Ints, Ints]] | None:
    """Rows of both in order, and where those of each are; None: too many."""
    number = Numbering(a.shape[1], tol.LOG_JOINT)
    one, other = number(a), number(b)
    if number.full:
        return None
    rows, place = _sorted(number.rows)
    return rows, (place[one], place[other])


def _sorted(rows: Ints) -> tuple[Ints, Ints]:
    """Rows in lexicographic order, and where each is."""
    order = np.lexsort(_words(rows)[::-1])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return freeze(rows[order]), place


def _words(rows: Ints) -> list[Ints]:
    """Columns (J,) in the same lexicographic order, as few as there can be."""
    words, size = [np.zeros(len(rows), dtype=np.int64)], 1
    for column in rows.T:
        m = int(column.max(initial=0)) + 1
        if size * m >= 2**62:
            words, size = [*words, np.zeros(len(rows), dtype=np.int64)], 1
        words[-1] = words[-1] * m + column
        size *= m
    return words


class Piece(NamedTuple):
    """What it takes to count a shard."""

    first: int  # number of its first row among all
    total: int  # rows of all shards
    sizes: Ints  # (N,)
    blocks: int
    names: tuple[str, ...]  # of the tables


def count(shard: Any, piece: Piece) -> Tally:
    """The tables of one shard."""
    s: Shard = shard.load()
    agents = np.ascontiguousarray(s.pairs.T)
    clock, names, refused = s.clock[:-1], piece.names, dict[str, str]()
    found: dict[str, list[tuple[Ints, Ints]]] = {name: [] for name in names}
    ids = _numbers(s, piece.sizes) if any(name in JOINT for name in names) else None
    if ids is not None and ids[1] is None:
        refused |= {name: _long(name) for name in names if name in JOINT}
    steps = int(clock.max(initial=0)) + 1
    listed = np.empty((0, len(piece.sizes)), dtype=np.int64) if ids is None or ids[1] is None else ids[1]
    shapes = {name: _shape(name, piece.sizes, piece.blocks, len(listed), steps) for name in names}
    for name, shape in shapes.items():
        if name not in refused and math.prod(shape) >= 2**63:
            refused[name] = _long(name)
    block = (piece.first + np.arange(s.rows)) * piece.blocks // piece.total
    for b in np.unique(block).tolist():
        lo, hi = (int(k) for k in np.searchsorted(block, [b, b + 1]))
        for name in names:
            if name in refused:
                continue
            if name in JOINT:
                assert ids is not None
                part = [_joint(name, ids[0][:, lo:hi], clock[lo:hi], b, shapes[name])]
            else:
                part = list(
                    _local(name, agents[:, lo : hi + 1], s.ended[lo:hi], piece.sizes, b, shapes[name])
                )
            found[name] += part
    parts: dict[str, Part] = {}
    for name, shape in shapes.items():
        if name not in refused:
            codes, many = ([part[k] for part in found[name]] for k in (0, 1))
            parts[name] = _joined(codes), _joined(many), shape
    return _made(piece.sizes, piece.blocks, listed, parts, refused)


def _joined(arrays: Iterable[Ints]) -> Ints:
    return np.concatenate([np.empty(0, dtype=np.int64), *arrays])


def _numbers(shard: Shard, sizes: Ints) -> tuple[Ints, Ints | None]:
    """Numbers (3, B) of the joint pair before each row, of it, and of what follows, -1 where nobody is there or another
    task begins, and these pairs in order; None: too many."""
    pairs = np.concatenate([shard.before[None], shard.pairs])
    ended = np.append(False, shard.ended)  # with the row before the first
    number, there = Numbering(len(sizes), tol.LOG_JOINT), pairs.max(axis=1) >= 0
    at = np.full(len(pairs), -1, dtype=np.int64)
    known = np.where(pairs[there] < 0, sizes, pairs[there])
    at[there] = number(known)
    end = int(number(sizes[None])[0]) if ended.any() else -1
    if number.full:
        return at[None], None
    rows, place = _sorted(number.rows)
    at[there] = place[at[there]]
    before = np.where(ended[:-1], -1, at[:-2])
    return np.stack([before, at[1:-1], np.where(ended[1:], place[end], at[2:])]), rows


def _joint(name: str, ids: Ints, clock: Ints, block: int, shape: tuple[int, ...]) -> tuple[Ints, Ints]:
    """Codes and counts of a table of joint pairs; ids (3, B): before, now, next."""
    w, x, y = ids
    there = np.minimum(np.minimum(x, y), w if name == "past" else x) >= 0
    middle = {"joint": (), "past": (w[there],), "clock": (clock[there],)}[name]
    columns = (np.full(int(there.sum()), block), *middle, x[there], y[there])
    code, many = np.unique(_code(columns, shape), return_counts=True)
    return code, many


def _local(
    name: str, agents: Ints, ended: Bools, sizes: Ints, block: int, shape: tuple[int, ...]
) -> Iterable[tuple[Ints, Ints]]:
    """Codes and counts of a table of agents, or of pairs of them; agents (N, B + 1), ended (B,)."""
    now, absent = agents[:, :-1].astype(np.int64), sizes[:, None]
    following = np.where(ended, absent, agents[:, 1:])
    beside = np.where(now < 0, absent, now)
    others = np.arange(len(sizes)) if name == "partners" else [-1]
    for i, j in ((i, j) for i in range(len(sizes)) for j in others if i != j):
        wide = int(sizes[i]), int(sizes[j]) + 1 if j >= 0 else 1, int(sizes[i]) + 1
        key, many = _together(now[i], beside[j] if j >= 0 else np.zeros_like(now[i]), following[i], wide)
        x, z, u = np.unravel_index(key, wide)
        columns = (i, j, x, z, u) if j >= 0 else (i, x, u)
        yield _code(np.broadcast_arrays(block, *columns), shape), many


def _together(a: Ints, b: Ints, c: Ints, shape: tuple[int, int, int]) -> tuple[Ints, Ints]:
    """How often three numbers came together, where all are there: codes in `shape`, and counts."""
    if math.prod(shape) <= tol.LOG_DENSE:
        dense = np.zeros(math.prod(shape), dtype=np.int64)
        triples(a, b, c, shape[1:], dense)
        key = np.flatnonzero(dense)
        return key, dense[key]
    there = (a >= 0) & (b >= 0) & (c >= 0)
    code, many = np.unique(_code((a[there], b[there], c[there]), shape), return_counts=True)
    return code, many
