"""Means over the next states of parts that move on their own, `K(x, s') = prod_k P_k(s_k' | x_k)`, never formed.

The next state of one part (agent, type of arms) after another is replaced by the local pair `x_k` that leads to it.
After k parts the mean is needed only where some joint pair begins with these k local pairs: such beginnings form a
tree, whose leaves are the joint pairs. A policy that serves by priority within a budget B leaves at most B + 1
beginnings for each list of k states, so that no level holds more than B + 1 numbers for each joint state, however
many joint actions there are.

Levels are not made one after another, which would move each of them through memory twice, but depth first: the
children of one beginning, then those of the first child, so that all but the first levels stay in the caches. The first
levels, whose rows do not fit there, are made in columns, and what they lead to is the only level that is kept. Each
step is a product of a small dense matrix, whose rows are those that its children need, with the row of the parent, or
one entry after another where laws are sparse.
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

#: Parts at the end are one while they have at most so many states together: products of tiny matrices are slow.
_LAST = 100
#: Fewer states than these are never the last part alone.
_FEW = 8
#: Entries of a law, in parts of one, below which it is told entry by entry.
_SPARSE = 0.2
#: Numbers of a row whose descendants are made depth first; joint states from which threads share the work.
_ROW, _SHARED = 1 << 18, 1 << 16
#: Numbers of a block of columns in the first levels, and of the part of a parent's row that is used at once.
_COLUMNS, _TILE = 1 << 14, 1 << 13
#: Pieces of work that threads share.
_PIECES = 32

#: Arrays that compiled code takes: of one kind, so that there is one code.
_PLAIN: Final = ("C", "W")
_U = np.uint64  # an unsigned index is never counted from the end, so the inner loops become vector code
Places: TypeAlias = NDArray[np.int32]
Law: TypeAlias = Floats | sp.csr_array


class _Flat(NamedTuple):
    """All levels side by side, as compiled code takes them; level k leads from k parts to k + 1."""

    sizes: Any  # (K,) states of part k
    first_at: Any  # (K,) where those of level k begin in `first`
    first: Any  # children first[p]:first[p + 1] of beginning p
    own_at: Any  # (K,) where those of level k begin in `own`
    own: Any  # local pair that a beginning adds to its parent
    dense_at: Any  # (K,) where the law of part k begins in `dense`; -1: it is sparse
    dense: Any  # laws (m_k, S_k)
    rows_at: Any  # (K,) where those of level k begin in `indptr`
    indptr: Any
    indices: Any
    data: Any
    place: Any  # (leaves,) which joint pair each leaf is; empty where the tree is opened


@compiled(fastmath={"contract"})
def _multiply(a, n, k, width, x, x0, xr, y, y0, yr):  # type: ignore[no-untyped-def]
    """y (n, width) = a (n, k) x (k, width): where rows begin, and how far they are apart."""
    tile = max(_U(64), _U(_TILE) // k // _U(16) * _U(16))
    for left in range(_U(0), width, tile):
        w = min(tile, width - left)
        for i in range(_U(0), n - n % _U(2), _U(2)):
            r0 = y0 + i * yr + left
            r1 = r0 + yr
            if k < _U(4):
                for j in range(w):
                    y[r0 + j] = 0.0
                    y[r1 + j] = 0.0
            for s in range(_U(0), k - k % _U(4), _U(4)):
                u, v = i * k + s, (i + _U(1)) * k + s
                p0, p1, p2, p3 = a[u], a[u + _U(1)], a[u + _U(2)], a[u + _U(3)]
                q0, q1, q2, q3 = a[v], a[v + _U(1)], a[v + _U(2)], a[v + _U(3)]
                c0 = x0 + s * xr + left
                c1 = c0 + xr
                c2 = c1 + xr
                c3 = c2 + xr
                if s == _U(0):
                    for j in range(w):
                        b0, b1, b2, b3 = x[c0 + j], x[c1 + j], x[c2 + j], x[c3 + j]
                        y[r0 + j] = p0 * b0 + p1 * b1 + p2 * b2 + p3 * b3
                        y[r1 + j] = q0 * b0 + q1 * b1 + q2 * b2 + q3 * b3
                else:
                    for j in range(w):
                        b0, b1, b2, b3 = x[c0 + j], x[c1 + j], x[c2 + j], x[c3 + j]
                        y[r0 + j] += p0 * b0 + p1 * b1 + p2 * b2 + p3 * b3
                        y[r1 + j] += q0 * b0 + q1 * b1 + q2 * b2 + q3 * b3
            for s in range(k - k % _U(4), k):
                p0, q0, c0 = a[i * k + s], a[(i + _U(1)) * k + s], x0 + s * xr + left
                for j in range(w):
                    y[r0 + j] += p0 * x[c0 + j]
                    y[r1 + j] += q0 * x[c0 + j]
        for i in range(n - n % _U(2), n):
            r0 = y0 + i * yr + left
            for j in range(w):
                y[r0 + j] = 0.0
            for s in range(k):
                p0, c0 = a[i * k + s], x0 + s * xr + left
                for j in range(w):
                    y[r0 + j] += p0 * x[c0 + j]


@compiled
def _law_of(t, k, i):  # type: ignore[no-untyped-def]
    """Where the row (S_k,) of the law of child i of level k begins in `dense`."""
    return _U(t.dense_at[k] + t.own[t.own_at[k] + i] * t.sizes[k])


@compiled(fastmath={"contract"})
def _product(t, down, k, p, width, x, x0, y, y0, yr, a):  # type: ignore[no-untyped-def]
    """Down: the rows of the children of beginning p of level k, in y, from its own (S_k, width) in x; up: its own from
    theirs, by the transpose."""
    lo, hi, size = t.first[t.first_at[k] + p], t.first[t.first_at[k] + p + 1], t.sizes[k]
    if t.dense_at[k] >= 0:
        n, states = _U(hi - lo), _U(size)
        child, state = (states, _U(1)) if down else (_U(1), n)
        for i in range(n):
            row = _law_of(t, k, lo + i)
            for s in range(states):
                a[i * child + s * state] = t.dense[row + s]
        given, g0, gr, made, m0, mr = (x, x0, width, y, y0, yr) if down else (y, y0, yr, x, x0, width)
        rows, terms = (n, states) if down else (states, n)
        _multiply(a, rows, terms, _U(width), given, _U(g0), _U(gr), made, _U(m0), _U(mr))
        return
    if not down:
        for j in range(_U(x0), _U(x0 + size * width)):
            x[j] = 0.0
    for i in range(lo, hi):
        of, row = _U(y0 + (i - lo) * yr), t.rows_at[k] + t.own[t.own_at[k] + i]
        if down:
            for j in range(_U(width)):
                y[of + j] = 0.0
        for e in range(t.indptr[row], t.indptr[row + 1]):
            weight, at = t.data[e], _U(x0 + t.indices[e] * width)
            if down:
                for j in range(_U(width)):
                    y[of + j] += weight * x[at + j]
            else:
                for j in range(_U(width)):
                    x[at + j] += weight * y[of + j]


@compiled(fastmath={"reassoc", "contract"})
def _leaves(t, k, p, x, x0, out):  # type: ignore[no-untyped-def]
    """Means at the leaves behind beginning p of the last level."""
    lo, hi, size = t.first[t.first_at[k] + p], t.first[t.first_at[k] + p + 1], t.sizes[k]
    if t.dense_at[k] >= 0:
        i = lo
        while i + 3 < hi:
            a, b, c, d = _law_of(t, k, i), _law_of(t, k, i + 1), _law_of(t, k, i + 2), _law_of(t, k, i + 3)
            m0, m1, m2, m3 = 0.0, 0.0, 0.0, 0.0
            for s in range(_U(size)):
                v = x[_U(x0) + s]
                m0 += t.dense[a + s] * v
                m1 += t.dense[b + s] * v
                m2 += t.dense[c + s] * v
                m3 += t.dense[d + s] * v
            out[t.place[i]], out[t.place[i + 1]], out[t.place[i + 2]], out[t.place[i + 3]] = m0, m1, m2, m3
            i += 4
        while i < hi:
            a, m0 = _law_of(t, k, i), 0.0
            for s in range(_U(size)):
                m0 += t.dense[a + s] * x[_U(x0) + s]
            out[t.place[i]] = m0
            i += 1
        return
    for i in range(lo, hi):
        row, one = t.rows_at[k] + t.own[t.own_at[k] + i], 0.0
        for e in range(t.indptr[row], t.indptr[row + 1]):
            one += t.data[e] * x[x0 + t.indices[e]]
        out[t.place[i]] = one


@compiled(fastmath={"contract"})
def _from_leaves(t, k, p, u, x, x0):  # type: ignore[no-untyped-def]
    """The transpose of `_leaves`."""
    lo, hi, size = t.first[t.first_at[k] + p], t.first[t.first_at[k] + p + 1], t.sizes[k]
    for s in range(_U(x0), _U(x0 + size)):
        x[s] = 0.0
    if t.dense_at[k] >= 0:
        i = lo
        while i + 3 < hi:
            a, b, c, d = _law_of(t, k, i), _law_of(t, k, i + 1), _law_of(t, k, i + 2), _law_of(t, k, i + 3)
            p0, p1, p2, p3 = u[t.place[i]], u[t.place[i + 1]], u[t.place[i + 2]], u[t.place[i + 3]]
            for s in range(_U(size)):
                x[_U(x0) + s] += (
                    p0 * t.dense[a + s] + p1 * t.dense[b + s] + p2 * t.dense[c + s] + p3 * t.dense[d + s]
                )
            i += 4
        while i < hi:
            a, p0 = _law_of(t, k, i), u[t.place[i]]
            for s in range(_U(size)):
                x[_U(x0) + s] += p0 * t.dense[a + s]
            i += 1
        return
    for i in range(lo, hi):
        row, p0 = t.rows_at[k] + t.own[t.own_at[k] + i], u[t.place[i]]
        for e in range(t.indptr[row], t.indptr[row + 1]):
            x[x0 + t.indices[e]] += p0 * t.data[e]


@compiled
def _walk(t, down, ends, p, x, x0, y, yr, column, room, steps, a):  # type: ignore[no-untyped-def]
    """The subtree behind beginning p of level `ends[0]`, down to level `ends[1]`, depth first.

    down : from the row of p in `x`, at x0, or up to it; y holds the rows of the last beginnings, `yr` apart,
    columns from `column` on, or numbers of joint pairs where the leaves are at hand.
    steps : (5, K) widths of rows below the part of the level; where its rows are in `room`; and what it is at.
    """
    top, bottom = ends
    width, at, cursor, stop, base = steps[0], steps[1], steps[2], steps[3], steps[4]
    leaves = bottom == len(t.sizes) and len(t.place) > 0
    k = top
    cursor[k], stop[k] = p, p + 1
    while True:
        q = cursor[k]
        behind = q == stop[k]  # all that is behind its parent, which comes next
        if behind:
            if k == top:
                return
            k -= 1
            q = cursor[k]
        mine, m0 = (x, x0) if k == top else (room, at[k] + (q - base[k]) * t.sizes[k] * width[k])
        child, last = t.first[t.first_at[k] + q], k == bottom - 1
        if last and leaves:
            if down:
                _leaves(t, k, q, mine, m0, y)
            else:
                _from_leaves(t, k, q, y, mine, m0)
        elif behind != down or last:
            theirs, t0, gap = (y, child * yr + column, yr) if last else (room, at[k + 1], width[k])
            _product(t, down, k, q, width[k], mine, m0, theirs, t0, gap, a)
        if behind or last:
            cursor[k] += 1
        else:
            k += 1
            base[k], cursor[k], stop[k] = child, child, t.first[t.first_at[k - 1] + q + 1]


@compiled
def _columns(t, down, ends, lo, hi, tile, rest, f, y, room, steps, a):  # type: ignore[no-untyped-def]
    """The first levels, in the columns lo:hi of their joint states: of f, from or to the rows y that they lead to."""
    rows = len(f) // rest
    part = np.empty(rows * tile)
    for left in range(lo, hi, tile):
        w = min(tile, hi - left)
        width = w
        for k in range(ends[1] - 1, -1, -1):
            steps[0, k], width = width, width * t.sizes[k]
        if down:
            for r in range(rows):
                for j in range(w):
                    part[r * w + j] = f[r * rest + left + j]
        _walk(t, down, ends, 0, part, 0, y, rest, left, room, steps, a)
        if not down:
            for r in range(rows):
                for j in range(w):
                    f[r * rest + left + j] = part[r * w + j]


@compiled
def _rows(t, down, ends, lo, hi, x, y, yr, room, steps, a):  # type: ignore[no-untyped-def]
    """The subtrees behind beginnings lo:hi of the level that is kept."""
    row = t.sizes[ends[0]] * steps[0, ends[0]]
    for p in range(lo, hi):
        _walk(t, down, ends, p, x, p * row, y, yr, 0, room, steps, a)


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
    def _flat(self) -> _Flat:
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
        return _Flat(
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
            _columns(self._flat, down, ends, lo, hi, tile, rest, f, kept, room, steps, rows)

        self._shared(work, [*cuts, rest])

    def _last_levels(self, down: bool, kept: Floats, pairs: Floats) -> None:
        """From or to the rows of the level that is kept, in subtrees."""
        head, many = self._head, self._count(self._head)
        ends, behind = np.array([head, len(self.sizes)]), self.opened or 1

        def work(lo: int, hi: int) -> None:
            """Kept rows lo:hi."""
            room, steps, rows = self._tools(head, len(self.sizes), behind)
            _rows(self._flat, down, ends, lo, hi, kept, pairs, behind, room, steps, rows)

        self._shared(work, np.unique(np.linspace(0, many, _PIECES + 1).astype(int)).tolist())

    def _tools(self, top: int, bottom: int, width: int) -> tuple[Floats, Ints, Floats]:
        """Room for the children of one beginning of each level, see `_walk`, and for the rows of laws they need."""
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
