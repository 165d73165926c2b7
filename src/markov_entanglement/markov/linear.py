"""Solve `(I - A) x = b`: sparse LU only where its fill fits, Krylov otherwise, residual always reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl
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
    method : "sparse LU", "BiCGSTAB", "GMRES" or "fixed point".
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
    apply : v -> A v.
    matrix : explicit A, or None; LU is considered only when it is there.
    factor : A is `factor` times a stochastic matrix; below 1, a plain fixed-point iteration converges and
        is the last resort. `factor=None` turns that resort off.
    """

    def __init__(
        self,
        size: int,
        apply: Callable[[Floats], Floats],
        matrix: sp.csr_array | None,
        factor: float | None,
    ) -> None:
        self.size, self.apply, self.factor = size, apply, factor
        self._lu: Any = None
        if matrix is not None and (size <= 1000 or predicted_fill(matrix) <= tol.LU_FILL):
            eye = sp.eye_array(size, format="csc")
            # I - A is an M-matrix: no pivoting is needed, so the fill stays that of the ordering.
            self._lu = spl.splu(
                sp.csc_array(eye - matrix),
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )

    def _residual(self, b: Floats, x: Floats) -> float:
        scale = float(np.abs(b).max(initial=0.0)) or 1.0
        return float(np.abs(b - x + self.apply(x)).max(initial=0.0)) / scale

    def solve(self, b: Floats) -> Solution:
        """Solve for (n,) or (n, k) right-hand sides."""
        if self._lu is not None:
            x = self._lu.solve(b)
            x = x + self._lu.solve(b - x + self.apply(x))
            return Solution(x, "sparse LU", self._residual(b, x))
        if b.ndim == 2:
            parts = [self.solve(np.ascontiguousarray(b[:, k])) for k in range(b.shape[1])]
            x = np.stack([p.x for p in parts], axis=1) if parts else np.zeros_like(b)
            return Solution(
                x, parts[0].method if parts else "none", max((p.residual for p in parts), default=0.0)
            )
        return self._krylov(b)

    def _krylov(self, b: Floats) -> Solution:
        operator = spl.LinearOperator(
            (self.size, self.size), matvec=lambda v: v.ravel() - self.apply(v.ravel()), dtype=np.float64
        )
        best = Solution(np.zeros_like(b), "BiCGSTAB", self._residual(b, np.zeros_like(b)))
        goal = tol.SOLVE * np.sqrt(self.size)
        for name in ("BiCGSTAB", "GMRES"):
            for _ in range(2):  # the second round is iterative refinement from the first
                rest = b - best.x + self.apply(best.x)
                norm = float(np.linalg.norm(rest))
                if norm == 0.0 or best.residual <= tol.SOLVE:
                    return best
                if name == "BiCGSTAB":
                    step, _ = spl.bicgstab(operator, rest / norm, rtol=tol.SOLVE, atol=0.0, maxiter=1000)
                else:
                    step, _ = spl.gmres(
                        operator, rest / norm, rtol=tol.SOLVE, atol=0.0, restart=60, maxiter=30
                    )
                x = best.x + norm * step
                residual = self._residual(b, x) if np.isfinite(x).all() else np.inf
                if residual < best.residual:
                    best = Solution(x, name, residual)
        if best.residual > goal and self.factor is not None:
            best = self._fixed_point(b, best)
        if best.residual > max(goal, 1e-9):
            raise NoConvergence(f"{best.method} stopped short on {self.size} unknowns", best.x, best.residual)
        return best

    def _fixed_point(self, b: Floats, start: Solution) -> Solution:
        assert self.factor is not None
        steps = int(np.ceil(np.log(tol.SOLVE) / np.log(max(self.factor, 1e-3)))) + 1
        x = start.x
        for _ in range(min(steps, 200_000)):
            x = b + self.apply(x)
        residual = self._residual(b, x)
        return Solution(x, "fixed point", residual) if residual < start.residual else start
