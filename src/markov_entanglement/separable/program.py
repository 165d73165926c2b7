"""A linear program whose columns may grow: `min c x`, `A x = b`, `0 <= x <= u`, by HiGHS."""

from __future__ import annotations

from typing import Any

import highspy
import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats


class Program:
    """The program and, after `solve`, its vertex and multipliers.

    Parameters
    ----------
    rhs : (R,) b.
    """

    def __init__(self, rhs: Floats) -> None:
        self._lp: Any = highspy.Highs()
        self._lp.silent()
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            self._lp.setOptionValue(name, tol.VERDICT_LP)
        self._lp.setOptionValue("parallel", "off")
        empty = np.empty(0, dtype=np.int32)
        self._lp.addRows(len(rhs), rhs, rhs, 0, np.zeros(len(rhs), np.int32), empty, np.empty(0))

    def add(self, columns: sp.csc_array, cost: Floats, upper: Floats | None = None) -> None:
        """Append columns (R, C) of A with their costs (C,) and upper limits (C,), infinite by default."""
        count = len(cost)
        top = np.full(count, highspy.kHighsInf) if upper is None else upper
        starts, index = columns.indptr[:-1].astype(np.int32), columns.indices.astype(np.int32)
        self._lp.addCols(count, cost, np.zeros(count), top, columns.nnz, starts, index, columns.data)

    def solve(self, method: str) -> tuple[Floats, Floats] | None:
        """(x, multipliers of the rows) by "simplex" (warm) or "ipm" with crossover; None when HiGHS gives up."""
        self._lp.setOptionValue("solver", method)
        self._lp.run()
        if self._lp.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            self._lp.clearSolver()
            self._lp.setOptionValue("solver", "simplex")
            self._lp.run()
        if self._lp.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        solution = self._lp.getSolution()
        return np.asarray(solution.col_value), np.asarray(solution.row_dual)
