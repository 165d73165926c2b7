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
    """A solution with its evidence.

    Attributes
    ----------
    x : (n,) or (n, k).
    method : "dense LU", "sparse LU", "BiCGSTAB", "GMRES" or "fixed point".
    residual : largest relative residual, ||b - (I - A) x||_inf / ||b||_inf.
    """

    x: Floats
    method: str
    residual: float


def predicted_fill(matrix: sp.csr_array) -> float:
    """An upper limit on the nonzeros of an LU factor without pivoting: the profile after Cuthill-McKee.

    The symmetrised pattern's envelope contains all fill of the reordered matrix; a good ordering does better.
    """
    pattern = sp.csr_array(matrix + matrix.T)
    order = reverse_cuthill_mckee(pattern, symmetric_mode=True)
    place = np.empty_like(order)
    place[order] = np.arange(len(order), dtype=order.dtype)
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    first = np.arange(pattern.shape[0], dtype=np.int64)
    np.minimum.at(first, place[rows], place[pattern.indices])
    return 2.0 * float((np.arange(len(first)) - first + 1).sum())


class LinearSystem:
    """`I - A`, factored at most once and used for every right-hand side.

    Parameters
    ----------
    size : n.
    apply : v -> A v; only where there is no LU.
    matrix : explicit A, or None; LU is considered only when it is there.
    factor : A is `factor` times a matrix of row sums at most 1; below 1, a plain fixed-point iteration converges
        and is the last resort. `factor=None` turns that resort off.

    Raises
    ------
    RuntimeError : `I - A` is singular in doubles.
    """

    def __init__(
        self, size: int, apply: Callable[[Floats], Floats], matrix: sp.csr_array | None, factor: float | None
    ) -> None:
        self.size, self.apply, self.factor, self.method = size, apply, factor, ""
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
            eye = sp.eye_array(size, format="csc")
            # I - A is an M-matrix: no pivoting is needed, so the fill stays that of the ordering.
            factors = spl.splu(
                sp.csc_array(eye - matrix),
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
            self._solve = lambda b, left: factors.solve(b, "T" if left else "N")
            self.method = "sparse LU"
        if self._solve is not None:
            self._apply = (lambda v: matrix @ v), (lambda v: matrix.T @ v)

    def solve(
        self, b: Floats, *, left: bool = False, goal: float = tol.SOLVE, cycles: int | None = None
    ) -> Solution:
        """Solve for (n,) or (n, k) right-hand sides.

        Parameters
        ----------
        left : solve `x (I - A) = b` instead; with LU only.
        goal : relative residual asked of Krylov methods.
        cycles : GMRES cycles after which they give up; None goes on with every method.

        Raises
        ------
        NoConvergence : the residual stays too large; carries the best answer.
        """
        if self._solve is not None:
            apply = self._apply[left]
            x = self._solve(b, left)
            x = x + self._solve(b - x + apply(x), left)
            scale = float(np.abs(b).max(initial=0.0)) or 1.0
            return Solution(x, self.method, float(np.abs(b - x + apply(x)).max(initial=0.0)) / scale)
        if b.ndim == 2:
            parts = [self.solve(np.ascontiguousarray(c), goal=goal, cycles=cycles) for c in b.T]
            x = np.stack([p.x for p in parts], axis=1) if parts else np.zeros_like(b)
            residual = max((p.residual for p in parts), default=0.0)
            return Solution(x, parts[0].method if parts else "none", residual)
        return self._krylov(b, goal, cycles)

    def _krylov(self, b: Floats, goal: float, cycles: int | None) -> Solution:
        """Rounds of GMRES and BiCGSTAB, each on the residual of the best answer so far."""
        scale = float(np.abs(b).max(initial=0.0)) or 1.0
        enough = goal * np.sqrt(self.size)
        best = Solution(np.zeros_like(b), "GMRES", float(np.abs(b).max(initial=0.0)) / scale)
        rest = b
        rounds = [("GMRES", 4), ("GMRES", 1), ("BiCGSTAB", 1000), ("BiCGSTAB", 1000), ("GMRES", 30)]
        for name, limit in rounds if cycles is None else [("GMRES", cycles)]:
            if best.residual <= goal:
                break
            step, left = (gmres if name == "GMRES" else bicgstab)(self.apply, rest, goal * scale, limit)
            residual = float(np.abs(left).max()) / scale
            stalled = not residual < 0.5 * best.residual
            if residual < best.residual:  # not so for NaN
                best, rest = Solution(best.x + step, name, residual), left
            if stalled and best.residual <= enough:
                break
        if best.residual > enough and self.factor is not None:
            best = self._fixed_point(b, scale, best)
        if best.residual > max(enough, 1e-9):
            raise NoConvergence(f"{best.method} stopped short on {self.size} unknowns", best.x, best.residual)
        return best

    def _fixed_point(self, b: Floats, scale: float, start: Solution) -> Solution:
        assert self.factor is not None
        steps = int(np.ceil(np.log(tol.SOLVE) / np.log(max(self.factor, 1e-3)))) + 1
        x = start.x
        for _ in range(min(steps, 200_000)):
            x = b + self.apply(x)
        residual = float(np.abs(b - x + self.apply(x)).max()) / scale
        return Solution(x, "fixed point", residual) if residual < start.residual else start


def gmres(apply: Callable[[Floats], Floats], b: Floats, goal: float, cycles: int) -> tuple[Floats, Floats]:
    """x and `b - (I - A) x`, by cycles of GMRES until its 2-norm is at most `goal`."""
    size = len(b)
    most = min(size, int(np.clip(tol.BYTES / 64 / size, 20, 60)))
    x, rest, norm = np.zeros(size), b, float(np.linalg.norm(b))
    basis, h = np.empty((most + 1, size)), np.empty((most + 1, most))
    for _ in range(cycles):
        if not norm > goal:
            break
        basis[0] = rest / norm
        z = np.ones(1)  # orthogonal to the columns of h: the residual is norm / |z|
        for j in range(most):
            w = basis[j] - apply(basis[j])
            once = basis[: j + 1] @ w
            w -= once @ basis[: j + 1]
            twice = basis[: j + 1] @ w
            w -= twice @ basis[: j + 1]
            h[: j + 1, j], h[j + 1 :, j] = once + twice, 0.0
            h[j + 1, j] = beta = float(np.linalg.norm(w))
            if not beta > 1e-15 * np.linalg.norm(once):
                break
            basis[j + 1] = w / beta
            z = np.append(z, -(z @ h[: j + 1, j]) / beta)
            if norm <= 0.5 * goal * np.linalg.norm(z):
                break
        y = np.linalg.lstsq(h[: j + 2, : j + 1], norm * np.eye(j + 2)[0])[0]
        x = x + y @ basis[: j + 1]
        rest = b - x + apply(x)
        norm = float(np.linalg.norm(rest))
    return x, rest


def bicgstab(apply: Callable[[Floats], Floats], b: Floats, goal: float, steps: int) -> tuple[Floats, Floats]:
    """The same by BiCGSTAB, which keeps few vectors."""
    norm = float(np.linalg.norm(b))
    operator = spl.LinearOperator(
        (len(b), len(b)), matvec=lambda v: v.ravel() - apply(v.ravel()), dtype=np.float64
    )
    x = norm * spl.bicgstab(operator, b / norm, rtol=max(goal / norm, 1e-14), atol=0.0, maxiter=steps)[0]
    return x, b - x + apply(x)
