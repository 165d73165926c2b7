"""The compiled walk along a tree of joint pairs (`tree.py`), down to the means at its leaves or up from weights there.

Depth first: the children of one beginning, then those of the first child. Each step is a product of a small dense
matrix, whose rows are those that its children need, with the row of the parent, or one entry after another where laws
are sparse.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._compiled import compiled

#: Numbers of the part of a parent's row that is used at once.
_TILE = 1 << 13
_U = np.uint64  # an unsigned index is never counted from the end, so the inner loops become vector code


class Flat(NamedTuple):
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
def walk_columns(t, down, ends, lo, hi, tile, rest, f, y, room, steps, a):  # type: ignore[no-untyped-def]
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
def walk_rows(t, down, ends, lo, hi, x, y, yr, room, steps, a):  # type: ignore[no-untyped-def]
    """The subtrees behind beginnings lo:hi of the level that is kept."""
    row = t.sizes[ends[0]] * steps[0, ends[0]]
    for p in range(lo, hi):
        _walk(t, down, ends, p, x, p * row, y, yr, 0, room, steps, a)
