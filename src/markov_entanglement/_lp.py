"""Linear programs, by HiGHS: `min c x`, `low <= A x <= high` by rows, limits on x. Nothing else builds a solver.

The solver is the compiled class below `highspy.Highs`: the constructor of the latter registers callbacks, and
doing so writes a banner on the process's standard output (1.16) before any option can forbid it.

HiGHS knows absolute tolerances only. `unit`, a power of two, is the size of the costs: they are divided by it and
the multipliers come back multiplied, both exactly, so an answer does not depend on the unit of a reward.
"""

from __future__ import annotations

from typing import Any

import highspy
import numpy as np
import scipy.sparse as sp

from . import _tolerance as tol
from ._check import Floats, Ints, unit_of


class Program:
    """A program whose columns and rows may grow, warm from one solution to the next.

    Parameters
    ----------
    low, high : (R,) limits of the rows; equations when `high` is left out.
    unit : size of the costs.
    presolve : False where a few rows are added to a solved program again and again.
    """

    def __init__(self, low: Floats, high: Any = None, *, unit: float = 1.0, presolve: bool = True) -> None:
        compiled: Any = highspy.Highs.__base__
        self._unit, self._lp = unit, compiled()
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            self._lp.setOptionValue(name, tol.LP)
        for name, option in (
            ("output_flag", False), ("parallel", "off"), ("presolve", "choose" if presolve else "off")
        ):  # fmt: skip
            self._lp.setOptionValue(name, option)
        high = low if high is None else high
        self._lp.addRows(len(low), low, high, 0, np.zeros(len(low)), np.empty(0), np.empty(0))

    def add(self, columns: Any, cost: Floats, low: Any = None, high: Any = None) -> None:
        """Append sparse columns (R, C) of A, None for zeros, costs (C,) and limits (C,), 0 and infinity by default."""
        low = np.zeros(len(cost)) if low is None else low
        high = np.full(len(cost), np.inf) if high is None else high
        starts, index, data = np.zeros(len(cost)), np.empty(0), np.empty(0)
        if columns is not None:
            starts, index, data = columns.indptr[:-1], columns.indices, columns.data
        self._lp.addCols(len(cost), cost / self._unit, low, high, len(data), starts, index, data)

    def cut(self, rows: Floats, low: Floats, high: Any = None) -> None:
        """Append rows (C, n), `low <= rows x <= high` (infinity by default)."""
        row, column = np.nonzero(rows)
        high = np.full(len(rows), np.inf) if high is None else high
        starts = np.searchsorted(row, np.arange(len(rows)))
        self._lp.addRows(len(rows), low, high, len(row), starts, column, rows[row, column])

    def drop(self, rows: Ints) -> None:
        """Remove rows by their number."""
        self._lp.deleteRows(len(rows), rows)

    def reset(self, values: Floats) -> None:
        """New values of the first rows, equations; what is solved next does not depend on what was solved before."""
        for row, value in enumerate(values.tolist()):
            self._lp.changeRowBounds(row, value, value)
        self._lp.clearSolver()

    @property
    def infeasible(self) -> bool:
        """Whether the last `solve` proved that no x satisfies the rows and limits."""
        return bool(self._lp.getModelStatus() == highspy.HighsModelStatus.kInfeasible)

    def solve(self, method: str = "simplex") -> tuple[Floats, Floats] | None:
        """(x, multipliers of the rows) by "simplex" (warm) or "ipm" with crossover; None without an optimum."""
        for name in (method, "simplex"):
            self._lp.setOptionValue("solver", name)
            self._lp.run()
            if self._lp.getModelStatus() == highspy.HighsModelStatus.kOptimal:
                solution = self._lp.getSolution()
                return np.asarray(solution.col_value), np.asarray(solution.row_dual) * self._unit
            if not self.infeasible:
                self._lp.clearSolver()
        return None


def minimum(
    cost: Floats, matrix: Any, low: Floats, high: Any = None, limits: Any = (None, None)
) -> tuple[Floats, Floats] | None:
    """(x, multipliers) of `min cost x`, `low <= matrix x <= high`, x within `limits` (>= 0); None without one."""
    program = Program(low, high, unit=unit_of(cost))
    program.add(sp.csc_array(matrix), cost, *limits)
    return program.solve()
