"""Joint distances from separable transitions: `tv` (Section 5) and its occupancy-weighted form `mu-tv`.

`tv = min_{P' in P_SEP} max_x TV(P_x, P'_x)`, `mu-tv = min_{P' in P_SEP} sum_x mu(x) TV(P_x, P'_x)`: Theorems 5.3
and 6.3 bound the decomposition error by either. `P_SEP` is the no-signalling polytope: transitions of the full
product whose sums `sum_t P'(x, (t, y_{-i})) = R_i(y_{-i} | x_{-i})` do not depend on `x_i`. So both are linear
programs, over `P' = u + v` with `0 <= u <= P` and `v >= 0`: `TV(P_x, P'_x) = 1 - max sum_y u(x, y)`.

Three reductions keep the program small, each without loss.

1. Columns: sending every next local pair that never occurs to one that does is a local map, keeps `P'` separable and
   moves mass only into cells where it can overlap with `P_x`.
2. Rows, two agents: if the rows of the support agree on the laws `R_0(.|x_1)` and `R_1(.|x_0)`, the products
   `R_1(.|x_0) x R_0(.|x_1)` complete them on every other row, and they are transitions.
3. Rows, three and more agents: local pairs that never occur copy the row of one that does, but the rows of the product
   of the occurring ones are all needed (as free transitions), so large ones are refused.

Guarantee: `lower <= distance <= value` up to `residual`. The lower limit is a linear functional, exact after a
repair of the solver's dual: weights `lambda_x >= 0` (sum 1, or mu) and tests `psi_i(x, y_{-i})` with
`S_x(y) = sum_i psi_i(x, y_{-i}) >= 0`. Every separable `P'` has
`sum_x E_{P'_x} S_x <= B = sum_i sum_{x_{-i}} max_{y_{-i}} sum_{x_i} psi_i(x, y_{-i})`, hence
`sum_x lambda_x TV(P_x, P'_x) >= sum_x E_{P_x} min(S_x, lambda_x) - B`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._lp import Program
from ..errors import NoConvergence, TooLarge, Unsupported, gib
from ..markov.chain import Chain
from ..model.spaces import about, ravel, unravel
from ..report import tabulate
from ..report.facts import brief
from ..report.result import Result
from ..report.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class JointDistance(Result):
    """Distance of a chain from the separable transitions, with both sides certified.

    Attributes
    ----------
    distance : "tv" or "mu-tv".
    support : rows that it runs over, "recurrent" or "reachable".
    value : the distance attained by `nearest`, in [0, 1].
    lower : lower limit proved by `weights` and `tests`.
    alphabet : per agent (k_i,) the local pairs that occur, ascending.
    rows : (R, N) local pairs of each row of the program: the support for one or two agents, the product of the
        alphabets for more.
    nearest : (R, K) a nearest separable transition; columns are the product of the alphabets, agent 0 slowest.
    weights : (R,) lambda_x; 0 off the support.
    tests : per agent (R, K / k_i) `psi_i(x, y_{-i})`; columns the product of the other agents' alphabets.
    residual : largest violation of the no-signalling equations by `nearest`.
    """

    distance: str
    support: str
    value: float
    lower: float
    alphabet: tuple[Ints, ...]
    rows: Ints
    nearest: Floats
    weights: Floats
    tests: tuple[Floats, ...]
    residual: float

    estimator: ClassVar[str] = "exact"

    @property
    def numbers(self) -> Floats:
        """(1,) the value."""
        return np.array([self.value])

    @property
    def gap(self) -> float:
        """`value - lower`, at least 0."""
        return max(self.value - self.lower, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"value": self.value, "lower": self.lower, "support": self.support}

    @property
    def sentence(self) -> str:
        """How far the chain is from the separable ones."""
        return f"The chain is {self.value:.4g} away from the nearest separable one ({self.distance}; 0 none, 1 most)."

    def _brief(self) -> str:
        return f"{self.distance}={brief(self.value)}, gap={self.gap:.1e}, support={self.support}"

    def _tables(self) -> Iterator[Table]:
        yield tabulate.entanglement({self.distance: self.to_dict()})
        limits = (self.lower, self.value)
        yield tabulate.numbers(
            [(self.distance, self.value, "", "distance from the separable transitions", limits)]
        )


def joint_distance(
    chain: Chain, *, weighted: bool, support: str = "recurrent", entries: int = tol.JOINT_ENTRIES
) -> JointDistance:
    """`tv` or, with `weighted`, `mu-tv`, which always runs over the recurrent pairs.

    The maximum of "tv" runs over the rows of `support`, "recurrent" (default) or "reachable". The linear program may
    have so many `entries`, rows times next joint pairs.

    >>> import markov_entanglement as me
    >>> from markov_entanglement.measures.joint import joint_distance
    >>> chain = me.JointChain([[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]], (2, 2)).under()
    >>> round(joint_distance(chain, weighted=False, support="reachable").value, 9)  # the swap
    0.5
    """
    _check.choice("support", support, ("recurrent", "reachable"))
    if chain.ends is not None:
        raise Unsupported("distance", f"{'mu-tv' if weighted else 'tv'} on tasks that end", "its program knows no "
                          "outcome in which all agents end together", "Use 'atv' or 'mu-atv'.")  # fmt: skip
    wide = support == "reachable" and not weighted
    keep = np.arange(chain.n_pairs) if wide else np.flatnonzero(chain.recurrent)
    program = _program(chain, keep, entries)
    mu = None
    if weighted:
        mu = np.zeros(len(program.rows))
        mu[program.at] = chain.occupancy[keep]
    primal, dual = _solve(program, mu)
    nearest, residual = _separable_part(program, primal)
    tv = 1.0 - np.minimum(program.law, nearest).sum(axis=1)[program.at]
    value = float(tv.max(initial=0.0)) if mu is None else float(mu[program.at] @ tv)
    weights, tests, lower = _certify(program, dual, mu)
    return JointDistance(
        "mu-tv" if weighted else "tv",
        "reachable" if wide else "recurrent",
        min(max(value, 0.0), 1.0),
        lower,
        tuple(freeze(a) for a in program.alphabet),
        freeze(np.stack([a[at] for a, at in zip(program.alphabet, program.rows.T, strict=True)], axis=1)),
        freeze(nearest),
        freeze(weights),
        tuple(freeze(t) for t in tests),
        residual,
    )


def _program(chain: Chain, keep: Ints, entries: int) -> _Program:
    if len(keep) > tol.JOINT_ENTRIES:  # before anything is listed
        got, remedy = f"{len(keep):,} rows", "'atv' and 'mu-atv' need next laws of single agents only."
        raise TooLarge("linear program of the joint distance", got, f"{tol.JOINT_ENTRIES:,} entries", remedy)
    pairs = chain.pairs[keep]
    alphabet = tuple(np.unique(pairs[:, i]) for i in range(chain.n_agents))
    sizes = tuple(len(a) for a in alphabet)
    columns = math.prod(sizes)
    rows = len(keep) if chain.n_agents <= 2 else columns
    size = rows * columns
    if size > entries:
        most, remedy = tol.JOINT_ENTRIES, "'atv' and 'mu-atv' need next laws of single agents only."
        if size <= most:
            most, remedy = entries, "It runs when the distance is asked for by name; a minute at most."
        got = f"{size:,} entries ({about(rows)} rows x {about(columns)} next joint pairs)"
        raise TooLarge("linear program of the joint distance", got, f"{most:,} entries", remedy)
    place = np.stack([np.searchsorted(a, pairs[:, i]) for i, a in enumerate(alphabet)], axis=1)
    index, order = ravel(place, sizes), np.arange(rows)
    if chain.n_agents > 2:
        place, order = unravel(order, sizes), index
    law = np.zeros((rows, columns))
    law[np.ix_(order, index)] = _laws(chain, keep)
    return _Program(alphabet, place, order, law)


def _laws(chain: Chain, keep: Ints) -> Floats:
    """(R, R) transition among the pairs `keep`, a closed set."""
    choice = sp.csr_array(chain.choice[:, keep])
    matrix = chain.kernel.matrix
    if matrix is not None:
        return np.asarray((sp.csr_array(matrix[keep]) @ choice).toarray())
    size = 8 * len(keep) * (chain.n_pairs + len(chain.states))
    if size > tol.BYTES:
        raise TooLarge("rows of the joint chain", gib(size), gib(tol.BYTES),
                       "Use 'atv' or 'mu-atv'.")  # fmt: skip
    return chain.kernel.apply(choice.toarray())[keep]


@dataclass(frozen=True, eq=False)
class _Program:
    """Geometry: which rows, which columns, and the given laws."""

    alphabet: tuple[Ints, ...]  # per agent (k_i,)
    rows: Ints  # (R, N) positions of the rows' local pairs in the alphabets
    at: Ints  # positions in `rows` of the pairs of the support
    law: Floats  # (R, K) P_x on the support, 0 on the free rows

    @cached_property
    def views(self) -> list[tuple[Ints, Ints, int, int]]:
        """Per agent: index of `y_{-i}` of each column (K,), number of `x_{-i}` of each row (R,), how many of either."""
        out, sizes = [], [len(a) for a in self.alphabet]
        columns = unravel(np.arange(self.law.shape[1]), sizes)
        for i in range(len(sizes)):
            rest = np.delete(sizes, i).tolist()
            without, others = (ravel(np.delete(x, i, axis=1), rest) for x in (columns, self.rows))
            seen, keys = np.unique(others, return_inverse=True)
            out.append((without, keys.reshape(-1), math.prod(rest), len(seen)))
        return out


def _solve(program: _Program, mu: Floats | None) -> tuple[Floats, Floats]:
    """Primal (R, K) transition and the multipliers of all equations.

    Columns: v (R K), u (where P > 0), R_i per agent, and t for the maximum. Rows: per agent
    `sum_t (u + v)(x, (t, y_{-i})) = R_i(y_{-i} | x_{-i})`, then `sum R_i(.|x_{-i}) = 1`, then `t + sum_y u >= 1`.
    """
    (r, k), many = program.law.shape, len(program.at)
    cells = np.arange(r * k).reshape(r, k)
    from_row, to = np.nonzero(program.law)
    over = r * k + np.arange(len(to))
    entries: list[tuple[Ints, Ints, float]] = []
    ones: list[tuple[Ints, Ints, float]] = []
    row, column, total = 0, r * k + len(to), 0
    for without, keys, width, count in program.views:
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
        place, each = np.full(r, -1), np.arange(many)
        place[program.at] = each
        entries += [(row + place[from_row], over, 1.0), (row + each, np.full(many, column), 1.0)]
        lower, upper = np.append(lower, np.ones(many)), np.append(upper, np.full(many, np.inf))
        cost = np.append(cost, 1.0)
    else:  # scaled to weights of mean 1, so that the solver's tolerances mean the same for every size
        cost[over] = -mu[from_row] * many
    bounds = np.full(len(cost), np.inf)
    bounds[over] = program.law[from_row, to]
    rows, columns = (np.concatenate([e[k] for e in entries]) for k in (0, 1))
    data = np.concatenate([np.full(len(e[0]), e[2]) for e in entries])
    lp = Program(lower, upper)
    lp.add(sp.csc_array((data, (rows, columns)), shape=(len(lower), len(cost))), cost, high=bounds)
    solved = lp.solve("ipm")
    if solved is None:
        raise NoConvergence("the linear program of the joint distance did not finish", None, float("nan"))
    x, y = solved
    primal = x[: r * k].reshape(r, k).copy()
    primal[from_row, to] += x[over]
    return primal, y


def _separable_part(program: _Program, primal: Floats) -> tuple[Floats, float]:
    """The solver's transition with rounding removed, and by how much it misses the no-signalling equations."""
    nearest = np.maximum(primal, 0.0)
    nearest /= nearest.sum(axis=1, keepdims=True)
    worst = 0.0
    for without, keys, width, count in program.views:
        sums = np.zeros((len(nearest), width))
        np.add.at(sums.T, without, nearest.T)
        low, high = np.full((count, width), np.inf), np.full((count, width), -np.inf)
        np.minimum.at(low, keys, sums)
        np.maximum.at(high, keys, sums)
        worst = max(worst, float((high - low).max()))
    return nearest, worst


def _certify(program: _Program, dual: Floats, mu: Floats | None) -> tuple[Floats, tuple[Floats, ...], float]:
    """Weights, tests and the lower limit that they prove; the tests are lifted until `S >= 0` holds exactly."""
    r, many = len(program.rows), len(program.at)
    weights, scale = mu, float(many)
    if weights is None:
        weights = np.zeros(r)
        weights[program.at] = np.maximum(dual[-many:], 0.0)
        scale = float(weights.sum())
        weights[program.at] = weights[program.at] / scale if scale > 0 else 1.0 / many
    tests, start, total = [], 0, np.zeros(program.law.shape)
    for without, _, width, _ in program.views:
        psi = -dual[start : start + r * width].reshape(r, width)
        tests.append(psi / scale if scale > 0 else np.zeros_like(psi))
        total += tests[-1][:, without]
        start += r * width
    lift = np.maximum(-total.min(axis=1, keepdims=True), 0.0)
    tests[0], total = tests[0] + lift, total + lift
    bound = 0.0
    for psi, (_, keys, width, count) in zip(tests, program.views, strict=True):
        sums = np.zeros((count, width))
        np.add.at(sums, keys, psi)
        bound += float(sums.max(axis=1).sum())
    lower = float((program.law * np.minimum(total, weights[:, None])).sum()) - bound
    if lower <= 0.0:
        return weights, tuple(np.zeros_like(psi) for psi in tests), 0.0
    return weights, tuple(tests), lower
