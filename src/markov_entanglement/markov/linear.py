"""Solve `(I - A) x = b`: LU only where it fits, Krylov otherwise, residual always reported.

If A is `gamma` times a matrix of row sums at most 1, the error of x is at most `||b - (I - A) x||_inf / (1 - gamma)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl
from scipy.linalg.lapack import dgetrf, dgetrs
from scipy.sparse.csgraph import reverse_cuthill_mckee

from .. import _tolerance as tol
from .._check import Floats
from ..errors import NoConvergence


@dataclass(frozen=True, eq=False)
class Solution:
    """A solution with its evidence."""

    x: Floats  # (n,) or (n, k)
    method: str  # "dense LU", "sparse LU", "GMRES" or "fixed point"
    residual: float  # largest relative residual, ||b - (I - A) x||_inf / ||b||_inf


def predicted_fill(matrix: sp.csr_array) -> float:
    """An upper limit on the nonzeros of an LU factor without pivoting: the profile after Cuthill-McKee.

    The symmetrised pattern's envelope contains all fill of the reordered matrix; a good ordering does better.
    """
    pattern = sp.csr_array(matrix + matrix.T)
    order = reverse_cuthill_mckee(pattern, symmetric_mode=True)
    place = np.argsort(order)
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    first = np.arange(len(order))
    np.minimum.at(first, place[rows], place[pattern.indices])
    return 2.0 * float((np.arange(len(order)) - first + 1).sum())


#: Vectors of a basis of GMRES; where so many do not fit, plain steps are tried first, and how many.
_BASIS = 60
_STEPS = 60


class LinearSystem:
    """`I - A`, factored at most once for all right-hand sides; `RuntimeError` where it is singular in doubles.

    LU is considered only where `matrix`, the explicit A, is there; `apply` is `v -> A v` where there is no LU. A is
    `factor` < 1 times a matrix of row sums at most 1, so that a plain fixed-point iteration, the last resort,
    converges; without a factor all answers of GMRES are taken (their errors are bounded elsewhere). `steps` are the
    `plain_steps`, where they are made elsewhere.
    """

    def __init__(
        self, size: int, apply: Callable[[Floats], Floats], matrix: sp.csr_array | None, factor: float | None,
        steps: Callable[[Floats, float], tuple[Floats, Floats, bool]] | None = None,
    ) -> None:  # fmt: skip
        self.size, self.apply, self.factor, self.method = size, apply, factor, ""
        self.steps = steps
        if steps is None and size * 64 * _BASIS > tol.BYTES:
            self.steps = lambda b, goal: plain_steps(apply, b, goal, factor)
        self._solve: Any = None
        if matrix is None:
            return
        if size <= tol.LU_DENSE and matrix.nnz > 0.1 * size * size:
            lu, pivots, singular = dgetrf(np.eye(size) - matrix.toarray(), overwrite_a=True)
            if singular:
                raise RuntimeError("Factor is exactly singular")
            self._solve = lambda b, left: dgetrs(lu, pivots, b, trans=int(left))[0]
            self.method = "dense LU"
        elif size <= 1000 or predicted_fill(matrix) <= tol.LU_FILL:
            # I - A is an M-matrix: no pivoting is needed, so the fill stays that of the ordering.
            a, mode = sp.csc_array(sp.eye_array(size, format="csc") - matrix), {"SymmetricMode": True}
            factors = spl.splu(a, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=mode)
            self._solve = lambda b, left: factors.solve(b, "T" if left else "N")
            self.method = "sparse LU"
        self._apply = (lambda v: matrix @ v), (lambda v: matrix.T @ v)

    def solve(
        self, b: Floats, *, left: bool = False, goal: float = tol.SOLVE, cycles: int | None = None
    ) -> Solution:
        """Solve for (n,) or (n, k) right-hand sides; `left` solves `x (I - A) = b`, with LU only.

        GMRES aims at a relative residual `goal` in at most so many `cycles`; None goes on while it gets on.
        `NoConvergence`, with the best answer, where the residual stays too large.
        """
        scale = float(np.abs(b).max(initial=0.0)) or 1.0
        if self._solve is not None:
            apply = self._apply[left]
            x = self._solve(b, left)
            x = x + self._solve(b - x + apply(x), left)
            return Solution(x, self.method, float(np.abs(b - x + apply(x)).max(initial=0.0)) / scale)
        if b.ndim == 2:
            parts = [self.solve(np.ascontiguousarray(c), goal=goal, cycles=cycles) for c in b.T]
            x = np.stack([p.x for p in parts], axis=1) if parts else np.zeros_like(b)
            residual = max((p.residual for p in parts), default=0.0)
            return Solution(x, parts[0].method if parts else "none", residual)
        first = np.zeros_like(b)
        if self.steps is not None:
            first, rest, done = self.steps(b, goal * scale)
            if done:
                return Solution(first, "fixed point", float(np.abs(rest).max()) / scale)
        x, rest = gmres(self.apply, b, goal * scale, 200 if cycles is None else cycles, first)
        best = Solution(x, "GMRES", float(np.abs(rest).max(initial=0.0)) / scale)
        if self.factor is not None and best.residual > goal * np.sqrt(self.size):
            steps = int(np.ceil(np.log(tol.SOLVE) / np.log(max(self.factor, 1e-3)))) + 1
            for _ in range(min(steps, 200_000)):
                x = b + self.apply(x)
            residual = float(np.abs(b - x + self.apply(x)).max()) / scale
            if residual < best.residual:
                best = Solution(x, "fixed point", residual)
            if not best.residual <= max(goal * np.sqrt(self.size), 1e-9):
                what = f"{best.method} stopped short on {self.size} unknowns"
                raise NoConvergence(what, best.x, best.residual)
        return best


def plain_steps(
    apply: Callable[[Any], Any], b: Any, goal: float, factor: float | None
) -> tuple[Any, Any, bool]:
    """x, `b - (I - A) x` and whether that is at most `goal`, by steps `x + rest` while these shrink it fast; arrays of
    any kind. With a `factor`, A = factor T with row sums 1 of T: constants, which shrink slowest, are taken out, and
    the goal is of the largest entry; else of the 2-norm."""
    x, rest, last = 0.0 * b, 1.0 * b, float("inf")
    for done in range(_STEPS):
        high, low = (
            (float(rest.max()), float(rest.min())) if factor is not None else (float(rest @ rest) ** 0.5, 0.0)
        )
        size = max(high, -low)
        if size <= goal or not size < 0.9 * last:
            break
        if done > 4 and (size / last) ** (_STEPS - done) * size > goal:  # it will not get there
            break
        x += rest
        if factor is not None:
            x += 0.5 * (high + low) * factor / (1.0 - factor)
        last, rest = size, apply(x)
        rest -= x
        rest += b
    return x, rest, size <= goal


def gmres(
    apply: Callable[[Floats], Floats], b: Floats, goal: float, cycles: int, first: Floats
) -> tuple[Floats, Floats]:
    """x and `b - (I - A) x`, by cycles of GMRES from the `first` x until the 2-norm of that is at most `goal` or stays
    as it is."""
    size, x = len(b), first
    rest = b - x + apply(x) if x.any() else b
    most = min(size, int(np.clip(tol.BYTES / 64 / size, 20, _BASIS)))
    norm, last = float(np.linalg.norm(rest)), np.inf
    basis, h = np.empty((most + 1, size)), np.zeros((most + 1, most))
    while goal < norm < 0.95 * last and cycles > 0:
        # z is orthogonal to the columns of h: the residual is norm / |z|
        basis[0], z = rest / norm, np.ones(1)
        for j in range(most):
            w = basis[j] - apply(basis[j])
            once = basis[: j + 1] @ w
            w -= once @ basis[: j + 1]
            twice = basis[: j + 1] @ w
            w -= twice @ basis[: j + 1]
            h[: j + 1, j], h[j + 1, j] = once + twice, np.linalg.norm(w)
            if not h[j + 1, j] > 1e-15 * np.linalg.norm(once):
                break
            basis[j + 1] = w / h[j + 1, j]
            z = np.append(z, -(z @ h[: j + 1, j]) / h[j + 1, j])
            if norm <= 0.9 * goal * np.linalg.norm(z):
                break
        y = np.linalg.lstsq(h[: j + 2, : j + 1], norm * np.eye(j + 2)[0])[0]
        h[:] = 0.0
        cycles, last, x = cycles - 1, norm, x + y @ basis[: j + 1]
        rest = b - x + apply(x)
        norm = float(np.linalg.norm(rest))
    return x, rest
