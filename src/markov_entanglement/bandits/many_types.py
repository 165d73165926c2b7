"""Fixed points and stability of the mean field of many arm types, from chains of one arm each.

The types meet in one number: where the budget runs out. When all classes above c are served, class c with chance p and
none below, every type settles on the stationary law of its own small chain; the mass served grows from 0 to all of it
along the path (0, p from 0 to 1), (1, p), ..., and is `alpha` at the fixed points and nowhere else. Along a class of
one state it is a ratio of two linear functions of p (the chain changes in one row), hence monotone, so that its ends
tell whether it passes `alpha`; along a class of several states it is looked at on a grid. At a fixed point the
derivative is one small matrix a type and one rank more, `e -> e B - (e a) D`; its largest eigenvalues, and the variance
of fluctuations, are found by products alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import scipy.linalg as sl
import scipy.sparse.linalg as sla
from scipy.optimize import brentq

from .. import _tolerance as tol
from .._check import Floats, Ints
from ..errors import Unsupported
from .fluid import Fluid, derivative

#: Places along a class of several states.
_GRID = 65
#: Leading eigenvalues, where not all are taken.
_LEADING = 6
_WHOLE = 300
#: Steps of a fluctuation that are followed until it has died out.
_LONGEST = 200_000


def laws(kernels: Floats, a: Floats) -> Floats:
    """(..., S) stationary laws of arms with kernels (..., 2, S, S), served with chances a (..., S); NaN: several."""
    p = kernels[..., 0, :, :] + a[..., None] * (kernels[..., 1, :, :] - kernels[..., 0, :, :])
    m = np.eye(a.shape[-1]) - np.swapaxes(p, -1, -2)
    m[..., 0, :] += 1.0
    try:
        inverse = np.linalg.inv(m)
    except np.linalg.LinAlgError:
        return np.full(a.shape, np.nan)
    size = np.abs(m).sum(axis=-2).max(axis=-1) * np.abs(inverse).sum(axis=-2).max(axis=-1)
    law = np.maximum(inverse[..., 0], 0.0)
    law /= law.sum(axis=-1, keepdims=True)
    return np.where((size * tol.SINGULAR < 1.0)[..., None], law, np.nan)


def settled(f: Fluid) -> tuple[list[Floats], bool]:
    """Every fixed point (n,) of the mean field, and whether none can have been missed."""
    types, states = f.shape
    rank, mass = f.rank.reshape(f.shape), f.mass
    live = np.flatnonzero(mass > 0)
    order = np.argsort(rank, axis=1, kind="stable")
    place = np.argsort(order, axis=1)
    found = np.stack([laws(f.kernels, (place < k).astype(np.float64)) for k in range(states + 1)], axis=1)
    if np.isnan(found[live]).any():
        t = int(live[np.isnan(found[live]).any(axis=(1, 2)).argmax()])
        raise Unsupported("mean field", f"arm type {t} with several closed classes",
                          f"beyond {tol.MEAN_FIELD_STATES} local states each arm must settle, whoever is served",
                          "Let all states of an arm lead to one class.")  # fmt: skip
    served = mass[:, None] * np.stack(
        [(found[:, k] * (place < k)).sum(axis=1) for k in range(states + 1)], axis=1
    )
    ranked = np.take_along_axis(rank, order, axis=1)
    rises = np.zeros(f.n_classes + 1)
    for k in range(states):  # a type's states of one class are served at once
        last = np.ones(types, bool) if k == states - 1 else ranked[:, k] < ranked[:, k + 1]
        first = np.array([np.searchsorted(r, r[k]) for r in ranked])
        at = np.flatnonzero(last & (mass > 0))
        np.add.at(rises, ranked[at, k] + 1, served[at, k + 1] - served[at, first[at]])
    ahead = np.cumsum(rises)
    points, complete = [], True
    for c in np.flatnonzero(f.sizes).tolist():
        own = np.unique(f.members(c) // states)
        above, inside = (rank[own] < c).astype(np.float64), rank[own] == c
        rest = ahead[c] - float(served[own, above.sum(axis=1).astype(int)].sum())

        def short(
            p: float, own: Ints = own, above: Floats = above, inside: Any = inside, rest: float = rest
        ) -> float:
            a = above + p * inside
            return rest + float((mass[own, None] * laws(f.kernels[own], a) * a).sum()) - f.alpha

        grid = np.linspace(0.0, 1.0, 2 if f.sizes[c] == 1 else _GRID)
        complete = complete and f.sizes[c] == 1
        if f.sizes[c] == 1 and not _between(ahead[c], f.alpha, ahead[c + 1]):
            continue
        for p in crossings(short, grid):
            m = mass[:, None] * found[np.arange(types), (rank < c).sum(axis=1)]
            m[own] = mass[own, None] * laws(f.kernels[own], above + p * inside)
            m[mass == 0] = 0.0
            points.append(m.reshape(-1))
    return points, complete


def _between(a: float, x: float, b: float) -> bool:
    return min(a, b) - tol.PIECE <= x <= max(a, b) + tol.PIECE


def crossings(f: Callable[[float], float], grid: Floats) -> list[float]:
    """Where a continuous function is 0, at most once between neighbours of a grid; rounding at an end counts."""
    values = [f(p) for p in grid.tolist()]
    out = []
    for p, q, a, b in zip(grid, grid[1:], values, values[1:], strict=False):
        if abs(a) <= tol.FLOOR or abs(b) <= tol.FLOOR:
            out.append(float(p if abs(a) <= abs(b) else q))
        elif a * b < 0:
            out.append(float(brentq(f, p, q, xtol=1e-16, rtol=4 * np.finfo(np.float64).eps)))
    return out


def leading(f: Fluid, points: Floats) -> np.ndarray[Any, np.dtype[np.complex128]]:
    """Largest eigenvalues, the largest first, of one turn along `points` (period, n), on vectors that sum to 0 within
    each type; all of them where they are few."""
    states = f.shape[1]
    at = np.flatnonzero(f.mass > 0)
    zero_sum = sl.null_space(np.ones((1, states))) if states > 1 else np.zeros((1, 0))
    turns = [_slope(f, m, (f.marginal_at(m) or [f.n_classes - 1])[-1], at) for m in points]

    def once(e: Floats, turn: tuple[Floats, Floats, Floats]) -> Floats:
        b, a, d = turn
        return np.asarray(np.einsum("ts,tsu->tu", e, b) - float((e * a).sum()) * d)

    def turned(u: Floats) -> Floats:
        e = u.reshape(len(at), -1) @ zero_sum.T
        return np.asarray((reduce(once, turns, e) @ zero_sum).reshape(-1))

    size = len(at) * zero_sum.shape[1]
    if size <= _WHOLE:
        found = np.linalg.eigvals(np.array([turned(u) for u in np.eye(size)]).T) if size else np.zeros(0)
    else:
        start = np.random.default_rng(0).standard_normal(size)
        operator = sla.LinearOperator((size, size), matvec=turned, dtype=np.float64)
        found = sla.eigs(operator, k=_LEADING, v0=start, return_eigenvectors=False, maxiter=100 * size)
    return np.asarray(found[np.argsort(-np.abs(found), kind="stable")], dtype=np.complex128)


def _slope(f: Fluid, m: Floats, c: int, at: Ints) -> tuple[Floats, Floats, Floats]:
    """`(B, a, D)` of the derivative at m with class c marginal, of the types `at`."""
    members, a = f.members(c), f.above(c)
    total = float(m[members].sum())
    a[members] = min(max((f.alpha - float(m @ a)) / total, 0.0), 1.0) if total > 0 else 0.0
    gain = (f.kernels[:, 1] - f.kernels[:, 0])[at]
    a, w = a.reshape(f.shape)[at], f.shares(m, c).reshape(f.shape)[at]
    return f.kernels[at, 0] + a[..., None] * gain, a, np.einsum("ts,tsu->tu", w, gain)


@dataclass(frozen=True, eq=False)
class Fluctuations:
    """Gaussian fluctuations about a fixed point of many types, by products alone; columns x (n,) of the local states.

    `x' Sigma x = sum_k (K^k x)' Gamma (K^k x)` (see `limits`), with `K x = B x - a (D x)`.
    """

    f: Fluid
    m: Floats
    a: Floats
    w: Floats

    @cached_property
    def _blocks(self) -> tuple[Floats, Floats]:
        """`B` (T, S, S) and `D` (T, S)."""
        gain = self.f.kernels[:, 1] - self.f.kernels[:, 0]
        a, w = self.a.reshape(self.f.shape), self.w.reshape(self.f.shape)
        return self.f.kernels[:, 0] + a[..., None] * gain, np.einsum("ts,tsu->tu", w, gain)

    def _centred(self, x: Floats) -> Floats:
        """(T, S) without its mean within each type, which adds nothing."""
        x = x.reshape(self.f.shape)
        return x - x.mean(axis=1, keepdims=True)

    def drawn(self, y: Floats) -> float:
        """`y' H y`: of service numbers within the marginal class."""
        if self.f.alpha in (0.0, 1.0):
            return 0.0
        mine = np.where(self.w > 0, self.m, 0.0)
        p = float(self.a[self.w.argmax()])
        mean = float(mine @ y) / float(mine.sum())
        return p * (1.0 - p) * float(mine @ (y - mean) ** 2)

    def between(self, x: Floats) -> float:
        """`x' Delta' H Delta x`."""
        gain = self.f.kernels[:, 1] - self.f.kernels[:, 0]
        return self.drawn(np.einsum("tsu,tu->ts", gain, self._centred(x)).reshape(-1))

    def noise(self, x: Floats) -> float:
        """`x' Gamma x`."""
        v, out = self._centred(x), self.between(x)
        for weight, k in ((self.m * (1.0 - self.a), 0), (self.m * self.a, 1)):
            p = self.f.kernels[:, k]
            mean = np.einsum("tsu,tu->ts", p, v)
            out += float(
                (
                    weight.reshape(v.shape) * np.einsum("tsu,tsu->ts", p, (v[:, None] - mean[..., None]) ** 2)
                ).sum()
            )
        return out

    def variance(self, x: Floats) -> float:
        """`x' Sigma x`."""
        (b, d), v, total = self._blocks, self._centred(x), 0.0
        for _ in range(_LONGEST):
            term = self.noise(v)
            total += term
            if term <= np.finfo(np.float64).eps ** 2 * total:
                return total
            v = self._centred(np.einsum("tsu,tu->ts", b, v) - self.a.reshape(v.shape) * float((d * v).sum()))
        raise Unsupported("mean field", f"fluctuations that last beyond {_LONGEST:,} steps", "they must die out",
                          "Use me.estimate_error, which says what it takes.")  # fmt: skip

    def response(self, gamma: float, alone: bool = False) -> Floats:
        """See `fluid.response`; `alone`: of one arm under the chances of service."""
        (b, d), w = self._blocks, np.zeros_like(self.w) if alone else self.w
        rho = derivative(self.f.rewards[:, 0], self.f.rewards[:, 1], self.a, w).reshape(d.shape)
        a = self.a.reshape(d.shape)
        found = np.linalg.solve(np.eye(d.shape[1]) - gamma * b, np.stack([rho, a], axis=2))
        own, served = found[..., 0], found[..., 1]
        if not alone:
            own = own - gamma * float((d * own).sum()) / (1.0 + gamma * float((d * served).sum())) * served
        return np.asarray(own.reshape(-1))
