"""The linear program behind the joint distances: geometry, solution, and the repair of its dual.

See `joint` for the definition, the reductions and the meaning of the dual.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from .._check import Floats, Ints
from .._lp import Program
from ..errors import NoConvergence
from ..model.spaces import ravel, unravel


@dataclass(frozen=True, eq=False)
class JointProgram:
    """Geometry: which rows, which columns, and the given laws.

    Attributes
    ----------
    alphabet : per agent (k_i,).
    rows : (R, N) positions of the rows' local pairs in the alphabets.
    at : positions in `rows` of the pairs of the support.
    law : (R, K) P_x on the support, 0 on the free rows.
    """

    alphabet: tuple[Ints, ...]
    rows: Ints
    at: Ints
    law: Floats

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(len(a) for a in self.alphabet)

    @property
    def locals(self) -> Ints:
        """(R, N) local pairs of the rows."""
        return np.stack([a[self.rows[:, i]] for i, a in enumerate(self.alphabet)], axis=1)

    @cached_property
    def without(self) -> list[Ints]:
        """Per agent (K,) index of `y_{-i}` of each column."""
        columns = unravel(np.arange(self.law.shape[1]), self.sizes)
        return [self._drop(columns, i) for i in range(len(self.sizes))]

    @cached_property
    def keys(self) -> list[Ints]:
        """Per agent (R,) the number of the row's `x_{-i}` among those that occur."""
        drop = [self._drop(self.rows, i) for i in range(len(self.sizes))]
        return [np.unique(d, return_inverse=True)[1].reshape(-1).astype(np.int64) for d in drop]

    def _drop(self, locals_: Ints, i: int) -> Ints:
        rest = tuple(k for j, k in enumerate(self.sizes) if j != i)
        return ravel(np.delete(locals_, i, axis=1), rest)


def solve(program: JointProgram, mu: Floats | None) -> tuple[Floats, Floats]:
    """Primal (R, K) transition and the multipliers of all equations.

    Columns: v (R K), u (where P > 0), R_i per agent, and t for the maximum. Rows: per agent
    `sum_t (u + v)(x, (t, y_{-i})) = R_i(y_{-i} | x_{-i})`, then `sum R_i(.|x_{-i}) = 1`, then `t + sum_y u >= 1`.
    """
    r, k = program.law.shape
    cells = np.arange(r * k).reshape(r, k)
    from_row, to = np.nonzero(program.law)
    over = r * k + np.arange(len(to))
    entries: list[tuple[Ints, Ints, float]] = []
    ones: list[tuple[Ints, Ints, float]] = []
    row, column, total = 0, r * k + len(to), 0
    for without, keys in zip(program.without, program.keys, strict=True):
        width, count = int(without.max()) + 1, int(keys.max()) + 1
        entries.append(((row + np.arange(r)[:, None] * width + without).ravel(), cells.ravel(), 1.0))
        entries.append((row + from_row * width + without[to], over, 1.0))
        free = column + np.arange(count * width).reshape(count, width)
        entries.append((row + np.arange(r * width), free[keys].ravel(), -1.0))
        ones.append((total + np.repeat(np.arange(count), width), free.ravel(), 1.0))
        row, column, total = row + r * width, column + count * width, total + count
    entries += [(row + a, b, c) for a, b, c in ones]
    lower = np.concatenate([np.zeros(row), np.ones(total)])
    upper, row = lower, row + total
    cost = np.zeros(column)
    if mu is None:
        place = np.full(r, -1)
        place[program.at] = np.arange(len(program.at))
        entries.append((row + place[from_row], over, 1.0))
        entries.append((row + np.arange(len(program.at)), np.full(len(program.at), column), 1.0))
        lower = np.concatenate([lower, np.ones(len(program.at))])
        upper = np.concatenate([upper, np.full(len(program.at), np.inf)])
        cost = np.append(cost, 1.0)
    else:  # scaled to weights of mean 1, so that the solver's tolerances mean the same for every size
        cost[over] = -mu[from_row] * len(program.at)
    bounds = np.full(len(cost), np.inf)
    bounds[over] = program.law[from_row, to]
    shape = (len(lower), len(cost))
    matrix = sp.csc_array(
        (
            np.concatenate([np.full(len(a), c) for a, _, c in entries]),
            (np.concatenate([a for a, _, _ in entries]), np.concatenate([b for _, b, _ in entries])),
        ),
        shape=shape,
    )
    lp = Program(lower, upper)
    lp.add(matrix, cost, high=bounds)
    solved = lp.solve("ipm")
    if solved is None:
        raise NoConvergence("the linear program of the joint distance did not finish", None, float("nan"))
    x, y = solved
    primal = x[: r * k].reshape(r, k).copy()
    primal[from_row, to] += x[over]
    return primal, y


def separable_part(program: JointProgram, primal: Floats) -> tuple[Floats, float]:
    """The solver's transition with rounding removed, and by how much it misses the no-signalling equations."""
    nearest = np.maximum(primal, 0.0)
    nearest /= nearest.sum(axis=1, keepdims=True)
    worst = 0.0
    for without, keys in zip(program.without, program.keys, strict=True):
        sums = np.zeros((len(nearest), int(without.max()) + 1))
        np.add.at(sums.T, without, nearest.T)
        shape = (int(keys.max()) + 1, sums.shape[1])
        low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
        np.minimum.at(low, keys, sums)
        np.maximum.at(high, keys, sums)
        worst = max(worst, float((high - low).max()))
    return nearest, worst


def certify(
    program: JointProgram, dual: Floats, mu: Floats | None
) -> tuple[Floats, tuple[Floats, ...], float]:
    """Weights, tests and the lower limit that they prove; the tests are lifted until `S >= 0` holds exactly."""
    r = len(program.rows)
    weights, scale = np.zeros(r), float(len(program.at))
    if mu is None:
        weights[program.at] = np.maximum(dual[-len(program.at) :], 0.0)
        scale = float(weights.sum())
        weights[program.at] = weights[program.at] / scale if scale > 0 else 1.0 / len(program.at)
    else:
        weights = mu
    tests, start = [], 0
    for without in program.without:
        width = int(without.max()) + 1
        psi = -dual[start : start + r * width].reshape(r, width)
        tests.append(psi / scale if scale > 0 else np.zeros_like(psi))
        start += r * width
    total = sum(psi[:, without] for psi, without in zip(tests, program.without, strict=True))
    lift = np.maximum(-np.asarray(total).min(axis=1, keepdims=True), 0.0)
    tests[0], total = tests[0] + lift, total + lift
    bound = 0.0
    for psi, keys in zip(tests, program.keys, strict=True):
        sums = np.zeros((int(keys.max()) + 1, psi.shape[1]))
        np.add.at(sums, keys, psi)
        bound += float(sums.max(axis=1).sum())
    lower = float((program.law * np.minimum(total, weights[:, None])).sum()) - bound
    if lower <= 0.0:
        return weights, tuple(np.zeros_like(psi) for psi in tests), 0.0
    return weights, tuple(tests), lower
