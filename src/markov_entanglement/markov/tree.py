"""Means over the next states of parts that move on their own, `K(x, s') = prod_k P_k(s_k' | x_k)`, never formed.

The next state of one part (agent, type of arms) after another is replaced by the local pair `x_k` that leads to it.
After k parts the mean is needed only where some joint pair begins with these k local pairs: such beginnings form a
tree, whose leaves are the joint pairs. A policy that serves by priority within a budget B leaves at most B + 1
beginnings for each list of k states, so that no level holds more than B + 1 numbers for each joint state, however
many joint actions there are.

Levels are not made one after another, which would move each of them through memory twice, but depth first (`walk.py`),
so that all but the first levels stay in the caches. The first levels, whose rows do not fit there, are made in columns,
and what they lead to is the only level that is kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import cached_property, reduce
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .._check import Floats, Ints
from .._compiled import compiled
from .._work import side_by_side
from .walk import Flat, walk_columns, walk_rows

#: Parts at the end are one while they have at most so many states together: products of tiny matrices are slow.
_LAST = 100
#: Fewer states than these are never the last part alone.
_FEW = 8
#: Entries of a law, in parts of one, below which it is told entry by entry.
_SPARSE = 0.2
#: Numbers of a row whose descendants are made depth first; joint states from which threads share the work.
_ROW, _SHARED = 1 << 18, 1 << 16
#: Numbers of a block of columns in the first levels.
_COLUMNS = 1 << 14
#: Pieces of work that threads share.
_PIECES = 32

#: Arrays that compiled code takes: of one kind, so that there is one code.
_PLAIN: Final = ("C", "W")
Places: TypeAlias = NDArray[np.int32]
Law: TypeAlias = Floats | sp.csr_array


@compiled
def _mark(beginning, own, m, found):  # type: ignore[no-untyped-def]
    """found (codes,) is true at the codes `beginning m + own` of n pairs."""
    for i in range(len(own)):
        found[beginning[i] * m + own[i]] = True


@compiled
def _number(beginning, own, m, number):  # type: ignore[no-untyped-def]
    """beginning (n,) becomes the number (codes,) of the code of each pair."""
    for i in range(len(own)):
        beginning[i] = number[beginning[i] * m + own[i]]


def _scattered(codes: int, n: int) -> bool:
    """Whether n pairs are so few among as many codes that these are sorted, not marked."""
    return codes > 64 * max(n, 1 << 16)


def _added(beginning: Places, own: Ints | Places, above: int, m: int) -> tuple[Ints, Places]:
    """Codes `beginning m + own` in use, ascending, and (n,) which of them each pair has; may overwrite `beginning`."""
    if _scattered(above * m, len(own)):
        code, place = np.unique(beginning * np.int64(m) + own, return_inverse=True)
        return code, place.reshape(-1).astype(np.int32)
    found = np.zeros(above * m, dtype=np.bool_)
    _mark(beginning, own, m, found)
    number = np.cumsum(found, dtype=np.int32)
    number -= 1
    _number(beginning, own, m, number)
    return np.flatnonzero(found), beginning


class Level(NamedTuple):
    """Beginnings of one part more."""

    first: Places  # (above + 1,) children first[p]:first[p + 1] of each beginning above
    own: Places  # (count,) local pair that each of them adds


class Tree:
    """The products by which all joint pairs get the mean of a function of the next joint state.

    Parameters
    ----------
    laws : per part (m_k, S_k) the law of its next state after each of its local pairs.
    own : k -> (n,) local pair of part k in each of n different joint pairs.
    opened : states of one part more at the end, which is left as it is: leaves are then beginnings, whose results are
        functions (opened,) of its next state. None: there is none.
    guard : told the bytes that are needed so far, to refuse.

    Attributes
    ----------
    leaf : (n,) leaf of each joint pair; n leaves if the tree is not opened.
    peak : bytes of what is at hand at once in one application.
    """

    def __init__(
        self,
        laws: Sequence[Law],
        own: Callable[[int], Places],
        *,
        opened: int | None = None,
        guard: Callable[[int], None] = lambda size: None,
    ) -> None:
        sizes = [law.shape[1] for law in laws]
        parts = _parts(sizes, closed=opened is None)
        self.sizes, self.opened = [math.prod(sizes[i] for i in p) for p in parts], opened
        self.states = math.prod(self.sizes) * (opened or 1)
        self.levels: list[Level] = []
        self._spare: list[Floats] = []
        self.laws: list[Law] = []
        self._united: list[tuple[list[int], list[Ints]]] = []
        self.leaf = np.zeros(len(own(0)), dtype=np.int32)
        held, above = 8 * (len(self.leaf) + self.states), 1
        for part in parts:
            used, pair = _together([laws[i].shape[0] for i in part], [own(i) for i in part])
            self._united.append((part, used))
            law = _joined([laws[i] for i in part], used)
            codes, n = above * law.shape[0], len(pair)
            self.peak = held + 8 * n + (24 * n if _scattered(codes, n) else 5 * codes)
            guard(self.peak)
            code, self.leaf = _added(self.leaf, pair, above, law.shape[0])
            parent, added = np.divmod(code, law.shape[0])
            first = np.searchsorted(parent, np.arange(above + 1))
            self.levels.append(Level(first.astype(np.int32), added.astype(np.int32)))
            self.laws.append(law)
            above, held = len(code), held + 4 * (above + len(code))
        self.peak = held + 8 * self._width(self._head) * self._count(self._head)
        guard(self.peak)

    def _width(self, k: int) -> int:
        """Numbers of the row of a beginning of level k."""
        return math.prod(self.sizes[k:]) * (self.opened or 1)

    def _count(self, k: int) -> int:
        """Beginnings that have k parts."""
        return len(self.levels[k - 1].own) if k else 1

    @cached_property
    def _head(self) -> int:
        """The level that is kept: the first one whose rows are short; 0 where all is."""
        if self.states < _SHARED:
            return 0
        return next((k for k in range(1, len(self.sizes)) if self._width(k) <= _ROW), len(self.sizes) - 1)

    def with_laws(self, laws: Sequence[Law]) -> Tree:
        """The same tree with other laws of its parts."""
        other = copy(self)
        other.laws = [_joined([laws[i] for i in part], used) for part, used in self._united]
        other._spare = []
        other.__dict__.pop("_flat", None)
        return other

    @cached_property
    def _flat(self) -> Flat:
        """The levels and laws side by side."""
        tables = [isinstance(law, np.ndarray) for law in self.laws]
        whole = [law.reshape(-1) for law in self.laws if isinstance(law, np.ndarray)]
        rows = [law for law in self.laws if not isinstance(law, np.ndarray)]
        entries = _starts([law.nnz for law in rows])
        pointer = [law.indptr.astype(np.int64) + at for law, at in zip(rows, entries, strict=True)]
        dense_at, rows_at = iter(_starts(map(len, whole))), iter(_starts(map(len, pointer)))
        one, none = np.zeros(1), np.zeros(1, dtype=np.int64)
        place = np.zeros(0, dtype=np.int32)
        if self.opened is None:
            place = np.empty(len(self.leaf), dtype=np.int32)
            place[self.leaf] = np.arange(len(self.leaf), dtype=np.int32)
        return Flat(
            np.array(self.sizes),
            np.array(_starts(len(level.first) for level in self.levels)),
            np.concatenate([level.first for level in self.levels]),
            np.array(_starts(len(level.own) for level in self.levels)),
            np.concatenate([level.own for level in self.levels]),
            np.array([next(dense_at) if d else -1 for d in tables]),
            np.concatenate(whole or [one]),
            np.array([-1 if d else next(rows_at) for d in tables]),
            np.concatenate(pointer or [none]),
            np.concatenate([law.indices.astype(np.int64) for law in rows] or [none]),
            np.concatenate([law.data for law in rows] or [one]),
            place,
        )

    def forward(self, f: Floats) -> Floats:
        """(S,) -> (n,) mean of a function of the next joint state at every pair; opened: (leaves, opened)."""
        out = np.empty(self._count(len(self.sizes)) * (self.opened or 1))
        head, kept, f = self._head, self._room(), np.require(f, np.float64, _PLAIN)
        if head:
            self._first_levels(True, f, kept)
        self._last_levels(True, kept if head else f, out)
        self._leave(kept)
        return out if self.opened is None else out.reshape(-1, self.opened)

    def backward(self, u: Floats) -> Floats:
        """(n,) -> (S,) the law of the next joint state from weights of pairs."""
        out, head, kept = np.empty(self.states), self._head, self._room()
        self._last_levels(False, kept if head else out, np.require(u, np.float64, _PLAIN))
        if head:
            self._first_levels(False, out, kept)
        self._leave(kept)
        return out

    def _first_levels(self, down: bool, f: Floats, kept: Floats) -> None:
        """From or to the rows of the level that is kept."""
        head, rest = self._head, self._width(self._head)
        tile = min(rest, max(8, _COLUMNS * rest // self.states // 8 * 8))
        cuts = np.arange(0, rest, -(-rest // (_PIECES * tile)) * tile).tolist()
        ends = np.array([0, head])

        def work(lo: int, hi: int) -> None:
            """Columns lo:hi of the kept rows."""
            room, steps, rows = self._tools(0, head, tile)
            walk_columns(self._flat, down, ends, lo, hi, tile, rest, f, kept, room, steps, rows)

        self._shared(work, [*cuts, rest])

    def _last_levels(self, down: bool, kept: Floats, pairs: Floats) -> None:
        """From or to the rows of the level that is kept, in subtrees."""
        head, many = self._head, self._count(self._head)
        ends, behind = np.array([head, len(self.sizes)]), self.opened or 1

        def work(lo: int, hi: int) -> None:
            """Kept rows lo:hi."""
            room, steps, rows = self._tools(head, len(self.sizes), behind)
            walk_rows(self._flat, down, ends, lo, hi, kept, pairs, behind, room, steps, rows)

        self._shared(work, np.unique(np.linspace(0, many, _PIECES + 1).astype(int)).tolist())

    def _tools(self, top: int, bottom: int, width: int) -> tuple[Floats, Ints, Floats]:
        """Room for the children of one beginning of each level, see `walk.py`, and for the rows of laws they need."""
        most = [int(np.diff(level.first).max()) for level in self.levels]
        steps, at = np.zeros((5, len(self.sizes)), dtype=np.int64), 0
        for k in range(bottom - 1, top - 1, -1):
            steps[0, k], width = width, width * self.sizes[k]
            if k > top:
                steps[1, k], at = at, at + most[k - 1] * width
        rows = max(n * size for n, size in zip(most, self.sizes, strict=True))
        return np.empty(at), steps, np.empty(rows)

    def _shared(self, work: Callable[[int, int], None], cuts: list[int]) -> None:
        """Pieces of work, by threads where they are worth it."""
        pieces = list(itertools.pairwise(cuts))
        if self._head:
            side_by_side(lambda piece: work(*piece), pieces)
        else:
            for piece in pieces:
                work(*piece)

    def _room(self) -> Floats:
        """Room for the level that is kept, that of before if it is free."""
        if self._spare:
            return self._spare.pop()
        return np.empty(self._width(self._head) * self._count(self._head) if self._head else 0)

    def _leave(self, kept: Floats) -> None:
        """It may be used again."""
        self._spare[:] = [kept]


def _parts(sizes: Sequence[int], *, closed: bool) -> list[list[int]]:
    """The parts, those at the end as one while they are small or the last is tiny."""
    n = last = len(sizes) - 1
    while closed and last > 0:
        if math.prod(sizes[last - 1 :]) > _LAST and math.prod(sizes[last:]) >= _FEW:
            break
        last -= 1
    return [*([i] for i in range(last)), list(range(last, n + 1))]


def _together(many: Sequence[int], own: Sequence[Places]) -> tuple[list[Ints], Places]:
    """Of parts that are one, the lists of local pairs in use, part by part, and which of them each pair has."""
    if len(many) == 1:
        return [np.arange(many[0])], own[0]
    code = own[0].astype(np.int64)
    for m, more in zip(many[1:], own[1:], strict=True):
        code = code * m + more
    used, pair = _added(np.zeros(len(code), dtype=np.int32), code, 1, math.prod(many))
    return list(np.unravel_index(used, many)), pair


def _joined(laws: Sequence[Law], used: Sequence[Ints]) -> Law:
    """The law of parts that are one, for these lists of local pairs; sparse where entries are few."""
    if len(laws) == 1:
        return _kept(laws[0])
    rows = [dense(law)[at] for law, at in zip(laws, used, strict=True)]
    return _kept(reduce(lambda a, b: (a[:, :, None] * b[:, None, :]).reshape(len(a), -1), rows))


def dense(law: Law) -> Floats:
    """(m, S) as a table."""
    return law if isinstance(law, np.ndarray) else np.asarray(law.toarray())


def positive(law: Law) -> Law:
    """(m, S) ones for positive entries."""
    marked: Any = law > 0
    return cast(Law, marked.astype(np.float64))


def _kept(law: Law) -> Law:
    """As a table, or as its entries where they are few."""
    if np.prod(law.shape) * _SPARSE > (np.count_nonzero(law) if isinstance(law, np.ndarray) else law.nnz):
        return sp.csr_array(law)
    return np.ascontiguousarray(dense(law))


def _starts(sizes: Iterable[int]) -> list[int]:
    """Where each of some pieces begins, side by side."""
    return list(itertools.accumulate(sizes, initial=0))[:-1]
