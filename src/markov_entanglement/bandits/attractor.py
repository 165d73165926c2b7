"""Fixed points, cycles and contraction of the mean-field map, piece by piece.

Where the marginal class has one member the map is affine, so its fixed points, and its cycles along a given word of
pieces, solve one linear system; each solution is kept if it lies in its pieces. A marginal class of several members is
served with one probability `p`; its fixed points are the eigenvalues `p` of a matrix pencil.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import scipy.linalg as sl

from .. import _tolerance as tol
from .._check import Floats
from .._json import plain
from .._lp import minimum
from .fluid import Fluid
from .many_types import leading, settled

_RANDOM_STARTS = 64
_CHUNK = 50
_CHUNKS = 100
_LONGEST = 64


@dataclass(frozen=True, eq=False, repr=False)
class Cycle:
    """A cycle of the mean-field map; a fixed point has period 1."""

    points: Floats  # (period, T, S) states in order; fractions of all arms
    radius: float  # spectral radius of one turn on zero-sum vectors; the largest one if a point lies on a boundary
    boundary: bool = False  # a point lies between affine pieces: the budget runs out exactly between classes
    continuum: bool = False  # an end of a connected set of fixed points

    def __repr__(self) -> str:
        return f"Cycle(period {self.period}, radius {self.radius:.4g})"

    @property
    def period(self) -> int:
        """Number of points."""
        return len(self.points)

    @property
    def stable(self) -> bool | None:
        """Attracts a neighbourhood; None on a boundary, where the spectrum does not decide."""
        return None if self.boundary else self.radius < 1.0 and not self.continuum

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values."""
        names = ("period", "radius", "stable", "boundary", "continuum", "points")
        return plain({name: getattr(self, name) for name in names})


@dataclass(frozen=True, eq=False, repr=False)
class Contraction:
    """Proof that the mean-field map contracts: every long enough product of its pieces shrinks one norm."""

    norm: Floats  # (T*S, T*S) matrix X of the norm `sqrt(e' X e)` on differences e of states
    depth: int  # every word of this many pieces has a beginning whose product shrinks the norm
    rate: float  # largest `(norm of that product) ** (1 / its length)`; below 1
    pieces: int  # number of matrices; the derivative is always in their hull

    def __repr__(self) -> str:
        return f"Contraction({self.pieces} pieces, depth {self.depth}, rate {self.rate:.4g})"


def fixed_points(f: Fluid) -> tuple[list[Cycle], bool]:
    """Every fixed point, and whether none can have been missed."""
    found: list[Cycle] = []
    if not f.dense:
        states, complete = settled(f)
        for m in states:
            point = tidy(f, m)[None]
            if not any(same_cycle(point, other) for other in found):
                found.append(describe(f, point))
        return found, complete
    complete = True
    for c in np.flatnonzero(f.sizes).tolist():
        if f.sizes[c] > 1:
            new, sure = _pencil(f, c)
            complete = complete and sure
            candidates = [(m, False) for m in new]
        else:
            a, b = f.piece(c)
            u = solve(np.eye(len(a)) - a, b)
            candidates = _polytope(f, c) if u is None else [(f.lift(u), False)]
        for m, continuum in candidates:
            point = tidy(f, m)[None]
            if c not in f.marginal_at(m) or np.abs(f.step(point) - point).max() > tol.SAME_STATE:
                continue
            known = next((k for k, other in enumerate(found) if same_cycle(point, other)), len(found))
            if known == len(found) or continuum:
                found[known : known + 1] = [describe(f, point, continuum)]
    return found, complete


def describe(f: Fluid, points: Floats, continuum: bool = False) -> Cycle:
    """The record of a cycle given by its points (period, n)."""
    boundary = 0 < f.alpha < 1 and any(len(f.marginal_at(m)) > 1 for m in points)
    return Cycle(points.reshape(-1, *f.shape), turn_radius(f, points), boundary, continuum)


def solve(matrix: Floats, rhs: Floats) -> Floats | None:
    """Solution of a square system, or None when the matrix is singular to rounding."""
    if not len(matrix):
        return np.zeros(0)
    lu, pivots, info = sl.lapack.dgetrf(matrix)
    scale = float(np.abs(matrix).sum(axis=0).max())
    if info != 0 or scale == 0 or sl.lapack.dgecon(lu, scale)[0] < tol.SINGULAR:
        return None
    return np.asarray(sl.lapack.dgetrs(lu, pivots, rhs)[0])


def turn_radius(f: Fluid, points: Floats) -> float:
    """Spectral radius of one turn along `points` (period, n); the largest over the pieces that touch, of many types
    that of one of them."""
    if not f.dense:
        return float(np.abs(leading(f, points)).max(initial=0.0))
    pieces = [f.marginal_at(m) or [f.n_classes - 1] for m in points]
    choices = [[f.tangent(local_derivative(f, m, c)) for c in p] for m, p in zip(points, pieces, strict=True)]
    words = itertools.islice(itertools.product(*choices), 64)
    turns = [reduce(lambda turn, a: a @ turn, word) for word in words]
    return float(np.abs(np.linalg.eigvals(np.array(turns))).max(initial=0.0))


def local_derivative(f: Fluid, m: Floats, c: int) -> Floats:
    """`K` (n, n) at m with class c marginal."""
    members, a = f.members(c), f.above(c)
    total = float(m[members].sum())
    a[members] = min(max((f.alpha - float(m @ a)) / total, 0.0), 1.0) if total > 0 else 0.0
    return f.derivative(a, f.shares(m, c))


def cycles(f: Fluid, classes: list[int]) -> tuple[list[Cycle], int]:
    """Cycles of period >= 2 over one-member classes, and the period up to which all words were solved."""
    single = [c for c in classes if f.sizes[c] == 1]
    pieces = {c: f.piece(c) for c in single}
    found: list[Cycle] = []
    cost = max(1, f.basis.shape[1] // 8) ** 2
    spent, period = 0, 1
    while single and period < 8:
        spent += cost * len(single) ** (period + 1) // (period + 1)
        if spent > tol.CYCLE_WORDS:
            break
        period += 1
        for word in _necklaces(single, period):
            points = orbit(f, pieces, word)
            if points is not None and not any(same_cycle(points, other) for other in found):
                found.append(describe(f, points))
    return found, period


def same_cycle(points: Floats, other: Cycle) -> bool:
    """Whether the first of `points` (period, n) lies on the cycle."""
    apart = np.abs(other.points.reshape(other.period, -1) - points[0]).max(axis=1)
    return len(points) == other.period and bool(apart.min() <= tol.SAME_STATE)


def _necklaces(letters: list[int], length: int) -> Iterator[tuple[int, ...]]:
    """Words up to rotation that are no power of a shorter word."""
    for word in itertools.product(letters, repeat=length):
        turns = {word[k:] + word[:k] for k in range(length)}
        if len(turns) == length and word == min(turns):
            yield word


def orbit(f: Fluid, pieces: dict[int, tuple[Floats, Floats]], word: tuple[int, ...]) -> Floats | None:
    """The cycle (period, n) that visits the pieces of `word` in order, if it exists."""
    d = f.basis.shape[1]
    a, b = np.eye(d), np.zeros(d)
    for c in word:
        a, b = pieces[c][0] @ a, pieces[c][0] @ b + pieces[c][1]
    u = solve(np.eye(d) - a, b)
    if u is None:
        return None
    points = []
    for c in word:
        m = f.lift(u)
        if c not in f.marginal_at(m):
            return None
        points.append(tidy(f, m))
        u = pieces[c][0] @ u + pieces[c][1]
    apart = np.abs(np.array(points[1:]) - points[0]).max(axis=1)
    return np.array(points) if apart.min() > tol.SAME_STATE else None


@dataclass(frozen=True, eq=False)
class Basin:
    """An ellipsoid `e' X e < level` about a `point` (n,) of a stable cycle, from which every state runs into the cycle.

    One turn shrinks X, `norm` (d, d) in zero-sum coordinates, and below `level` stays in its affine pieces.
    """

    point: Floats
    norm: Floats
    level: float

    def holds(self, f: Fluid, m: Floats) -> Any:
        """Which of the states (k, n) lie in the ellipsoid."""
        e = (m - self.point) @ f.basis
        return np.einsum("ki,ij,kj->k", e, self.norm, e) < self.level


@dataclass(frozen=True, eq=False)
class Near:
    """States next to a `point` (n,) of a stable cycle, which runs into it."""

    point: Floats

    def holds(self, f: Fluid, m: Floats) -> Any:
        """Which of the states (k, n) are next to the point, relative to the mass of a type."""
        return (np.abs(m - self.point) <= tol.SAME_STATE * np.repeat(f.mass, f.shape[1])).all(axis=1)


def basins(f: Fluid, cycle: Cycle) -> Sequence[Basin | Near]:
    """Ellipsoids about each point of a stable cycle in the interior of affine pieces; else none. Of many types what is
    next to the points."""
    points = cycle.points.reshape(cycle.period, -1)
    if not f.dense:
        return [Near(m) for m in points] if cycle.stable else []
    words = [f.marginal_at(m) for m in points]
    inside = all(len(w) == 1 and f.sizes[w[0]] == 1 for w in words)
    if not cycle.stable or cycle.radius > 1 - tol.SAME_STATE or not inside:
        return []
    pieces = [f.piece(w[0])[0] for w in words]
    d = f.basis.shape[1]
    out = []
    for k in range(len(points)):
        turn, rows, room = np.eye(d), [], []
        for j in [*range(k, len(points)), *range(k)]:
            g, limit = f.bounds(words[j][0], points[j])
            rows.append(g @ turn)
            room.append(limit)
            turn = pieces[j] @ turn
        x = sl.solve_discrete_lyapunov(turn.T, np.eye(d)) if d else np.zeros((0, 0))
        g, limit = np.concatenate(rows), np.concatenate(room)
        reach = np.einsum("ki,ki->k", g, np.linalg.solve(x, g.T).T) if d else np.zeros(len(g))
        level = (limit**2 / np.maximum(reach, np.finfo(np.float64).tiny)).min()
        out.append(Basin(points[k], x, float(level)))
    return out


def tidy(f: Fluid, m: Floats) -> Floats:
    """A state (n,) with rounding below 0 removed, masses restored."""
    m = np.maximum(m, 0.0).reshape(f.shape)
    sums = m.sum(axis=1, keepdims=True)
    return np.asarray((m * np.where(sums > 0, f.mass[:, None] / np.where(sums > 0, sums, 1), 0)).ravel())


def _pencil(f: Fluid, c: int) -> tuple[list[Floats], bool]:
    """Fixed points where class c of several members is served with probability p.

    `m (I - P_p) = 0`, masses in proportion, `active mass = alpha * total`: n homogeneous equations
    `(A_0 + p (A_1 - A_0)) m = 0`, so p is a generalised eigenvalue.
    """
    states = f.shape[1]

    def rows(p: float) -> Floats:
        a = f.above(c)
        a[f.members(c)] = p
        out = (np.eye(len(a)) - (f.p0 + a[:, None] * (f.p1 - f.p0))).T
        for t in range(f.shape[0]):
            out[t * states] = -f.mass[t]
            out[t * states, t * states : (t + 1) * states] += 1.0
        last = int(np.flatnonzero(f.mass > 0)[-1])
        out[last * states] = a - f.alpha
        return out

    zero, one = rows(0.0), rows(1.0)
    pairs, vectors = sl.eig(zero, zero - one, homogeneous_eigvals=True)
    size = np.abs(pairs).max(axis=0)
    sure = bool((size > tol.SINGULAR * max(1.0, float(size.max()))).all())
    out = []
    for (top, bottom), v in zip(pairs.T, vectors.T, strict=True):
        if abs(bottom) <= tol.PIECE * abs(top) or abs(v.sum()) <= tol.PIECE:
            continue
        p, v = top / bottom, v / v.sum()
        real = abs(p.imag) <= tol.PIECE and np.abs(v.imag).max() <= tol.PIECE
        if real and -tol.PIECE <= p.real <= 1 + tol.PIECE:
            out.append(v.real)
    return out, sure


def _polytope(f: Fluid, c: int) -> list[tuple[Floats, bool]]:
    """Extreme fixed points in a piece whose equation is singular, by linear programs."""
    n = len(f.rank)
    (k,) = f.vertices(c)
    (x,) = f.members(c)
    per_type = np.repeat(np.eye(f.shape[0]), f.shape[1], axis=1)
    rows = np.vstack([f.above(c), f.above(c + 1), np.eye(n) - k.T, per_type])
    rhs = np.concatenate([f.alpha * (f.p1[x] - f.p0[x]), f.mass])
    out: list[Floats] = []
    for aim in np.kron(np.eye(n), [[-1.0], [1.0]]):
        found = minimum(aim, rows, np.r_[-np.inf, f.alpha, rhs], np.r_[f.alpha, np.inf, rhs])
        if found is None:
            return []
        if all(np.abs(found[0] - m).max() > tol.SAME_STATE for m in out):
            out.append(found[0])
    return [(m, len(out) > 1) for m in out]


def contraction(f: Fluid, classes: list[int]) -> Contraction | None:
    """A norm that every long enough product of pieces shrinks, or None if none was found.

    A quadratic norm is fitted to the pieces; the tree of products is then searched: a branch ends where the product's
    norm is below 1. If every branch ends, differences of states die out, so the fixed point attracts every state.
    """
    mats = np.array([f.tangent(k) for c in classes for k in f.vertices(c)])
    d = mats.shape[1]
    if d == 0:
        return Contraction(np.zeros((len(f.rank),) * 2), 1, 0.0, len(mats))
    if d > tol.CONTRACTION_SIZE or np.abs(np.linalg.eigvals(mats)).max() >= 1 - tol.CONTRACTION:
        return None
    x = _fit_norm(mats)
    root = np.linalg.cholesky(x).T
    inverse = np.linalg.inv(root)
    pieces = root @ mats @ inverse
    open_, spent, rate = np.eye(d)[None], 0, 0.0
    for depth in range(1, 65):
        spent += len(open_) * len(pieces) * max(1, d // 4) ** 2
        if depth > 1 and spent > tol.CONTRACTION_NODES:
            return None
        products = np.einsum("cij,kjl->kcil", pieces, open_).reshape(-1, d, d)
        norms = np.linalg.norm(products, ord=2, axis=(1, 2))
        closed = norms < 1 - tol.CONTRACTION
        if closed.any():
            rate = max(rate, float(norms[closed].max()) ** (1 / depth))
        open_ = products[~closed]
        if not len(open_):
            return Contraction(f.basis @ x @ f.basis.T, depth, rate, len(mats))
    return None


def _fit_norm(mats: Floats) -> Floats:
    """A positive definite X for which the largest `A' X A` against `X` is small.

    `X = I + s sum_c w_c A_c' X A_c` with s just below the reciprocal growth of the sum; the weights of the
    pieces that X shrinks least are raised, and the best X seen is kept.
    """
    d = mats.shape[1]
    weights = np.full(len(mats), 1.0 / len(mats))
    best, best_value = np.eye(d), float(np.linalg.norm(mats, ord=2, axis=(1, 2)).max())
    turned = np.swapaxes(mats, 1, 2)
    for _ in range(30 if d <= 16 else 4):
        scaled = weights[:, None, None] * turned
        grow, y = 1.0, np.eye(d)
        for _ in range(25):
            y = (scaled @ y @ mats).sum(axis=0)
            grow = float(np.linalg.norm(y))
            if grow == 0:
                break
            y /= grow
        x, term = np.eye(d), np.eye(d)
        shrink = 0.9 / max(grow, tol.CONTRACTION)
        for _ in range(50):
            term = shrink * (scaled @ term @ mats).sum(axis=0)
            x = x + term
        x = (x + x.T) / (2 * np.abs(x).max())
        try:
            root = np.linalg.cholesky(x).T
        except np.linalg.LinAlgError:  # as good as singular: no better norm this way
            break
        norms = np.linalg.norm(root @ mats @ np.linalg.inv(root), ord=2, axis=(1, 2))
        if norms.max() < best_value:
            best, best_value = x, float(norms.max())
        weights = weights * np.maximum(norms, tol.PIECE) ** 2
        weights /= weights.sum()
    return best


def spectrum(f: Fluid, m: Floats) -> np.ndarray[Any, np.dtype[np.complex128]]:
    """Eigenvalues at m, of many types the largest ones; of the piece with the largest one when m touches several."""
    if not f.dense:
        return leading(f, m[None])
    all_ = [np.linalg.eigvals(f.tangent(local_derivative(f, m, c))) for c in f.marginal_at(m)]
    worst = max(all_, key=lambda v: float(np.abs(v).max(initial=0.0)))
    return np.asarray(worst[np.argsort(-np.abs(worst), kind="stable")], dtype=np.complex128)


def starts_of(f: Fluid, rng: np.random.Generator) -> Floats:
    """Starts (k, n): every type in one state, types in random states, random laws."""
    types, states = f.shape
    corners = np.tile(np.eye(states), (1, types)).reshape(states, types, states)
    random = [rng.dirichlet(np.full(states, c), (_RANDOM_STARTS // 2, types)) for c in (0.2, 1.0)]
    mixed = np.eye(states)[rng.integers(states, size=(_RANDOM_STARTS // 2, types))]
    m = np.concatenate([corners, mixed, *random]) * f.mass[:, None]
    return m.reshape(len(m), -1)


def iterate(
    f: Fluid, m: Floats, points: list[Cycle], found: list[Cycle], complete: bool
) -> tuple[list[int], int]:
    """Starts that end in each fixed point, and the number that end nowhere known.

    A start is settled once it lies in the basin of a stable fixed point or cycle. What remains is checked for
    closed orbits: new cycles join `found`, new fixed points (of a continuum or a shared class) `points`.
    """
    known: list[tuple[int, Basin | Near]] = [(k, b) for k, p in enumerate(points) for b in basins(f, p)]
    known += [(-1, b) for c in found for b in basins(f, c)]
    hits = [0] * len(points)
    for _ in range(_CHUNKS):
        for k, basin in known:
            inside = basin.holds(f, m)
            if k >= 0:
                hits[k] += int(inside.sum())
            m = m[~inside]
        if not len(m):
            return hits, 0
        for _ in range(_CHUNK):
            m = f.step(m)
    path = [m]
    for _ in range(_LONGEST):
        path.append(f.step(path[-1]))
    ways = np.array(path).transpose(1, 0, 2)
    return hits, sum(not _close(f, way, points, hits, found, complete) for way in ways)


def _close(
    f: Fluid, path: Floats, points: list[Cycle], hits: list[int], found: list[Cycle], complete: bool
) -> bool:
    """Whether the path (steps, n) has closed; its end is counted, or recorded if it is new."""
    gap = np.abs(path[1:] - path[0]).max(axis=1)
    if gap.min() > tol.PIECE:
        return False
    period = int(np.flatnonzero(gap <= tol.PIECE)[0]) + 1
    turn = np.array([tidy(f, x) for x in path[:period]])
    if period == 1:
        near = [float(np.abs(p.points.ravel() - turn[0]).max()) for p in points]
        if near and min(near) <= 10 * tol.SAME_STATE:
            hits[int(np.argmin(near))] += 1
            return True
        if complete and not any(p.continuum for p in points):
            return False
        points.append(describe(f, turn, continuum=complete))
        hits.append(1)
        return True
    if any(same_cycle(turn, c) for c in found):
        return True
    word = tuple(f.marginal_at(x)[0] for x in turn)
    exact: Floats | None = turn
    if f.dense and all(f.sizes[c] == 1 for c in word):
        exact = orbit(f, {c: f.piece(c) for c in word}, word)
    elif gap.min() > tol.SOLVE or np.abs(path[1] - path[0]).max() < tol.SAME_STATE:
        exact = None
    if exact is not None:
        found.append(describe(f, exact))
    return exact is not None
