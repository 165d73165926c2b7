"""Certificates of separability: `P = sum_j x_j P_0^(j) (x) ... (x) P_{N-1}^(j)` (Def. 6.2).

The `P_i^(j)` are transition matrices and `sum_j x_j = 1`; weights may be negative. Two forms:

- explicit: the coordinates in the tensor products of the basis `T_0, T_{k,l}` (Lemma D.1), up to
  `prod_i (m_i (m_i - 1) + 1)` terms with weights that are sums of entries of P;
- compact: the slices `P[., b; ., b']` divided by their row sum are transition matrices of agent 0; take r
  independent ones T_k (pivoted QR), solve `P = sum_k T_k (x) C_k`, shift `C_k + s_k J` (J = all entries 1/m) to
  be >= 0 and add the term `-(sum_k s_k T_k) (x) J`: r + 1 terms for two agents. With more agents the C_k are
  decomposed in the same way, one agent at a time.

Guarantee: factors have entries >= 0 and rows of sum 1; `residual` is recomputed from weights and factors.
By Theorem 3.2, `P_i = sum_j x_j P_i^(j)` is agent i's local transition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.linalg as sl

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._types import ArrayLike, Sizes, Sparse
from ..errors import TooLarge, Unsupported, gib
from ..model.spaces import about
from ..report.result import Result
from ..report.table import Table, table
from .omega import coordinate_map, joint, omega_basis, omega_dimension, project, realign

Form = Literal["compact", "explicit", "mixture"]


@dataclass(frozen=True, eq=False, repr=False)
class Decomposition(Result):
    """Weights and local transition matrices whose weighted products sum to P.

    Attributes
    ----------
    form : "compact", "explicit", or "mixture" (all weights >= 0).
    weights : (J,) x_j; sum 1, negative ones allowed unless a mixture.
    factors : per agent (J, m_i, m_i), transition matrices P_i^(j).
    residual : largest `sum_x' |P(x, x') - sum_j x_j prod_i P_i^(j)(x_i, x_i')|` over the rows of P that were given.
    """

    form: Form
    weights: Floats
    factors: tuple[Floats, ...]
    residual: float

    @property
    def n_terms(self) -> int:
        """J."""
        return len(self.weights)

    @property
    def sizes(self) -> tuple[int, ...]:
        """(N,) local pair counts m_i."""
        return tuple(f.shape[1] for f in self.factors)

    def local_transition(self, i: int) -> Floats:
        """`P_i = sum_j x_j P_i^(j)` (Theorem 3.2), (m_i, m_i)."""
        return np.asarray(np.tensordot(self.weights, self.factors[i], axes=1))

    def transition(self) -> Floats:
        """The sum of all terms on the full product of local pairs, (prod m_i, prod m_i).

        Raises
        ------
        TooLarge : the matrix would not fit.
        """
        guard_entries(math.prod(self.sizes) ** 2)
        return reconstruct(self.weights, self.factors)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        factors = [f.tolist() for f in self.factors]
        return vars(self) | {"weights": self.weights.tolist(), "factors": factors}

    @property
    def sentence(self) -> str:
        """What was found and how well it fits."""
        return f"P is a weighted sum of {self.n_terms} products of local moves, within {self.residual:.2g}."

    def _brief(self) -> str:
        return f"{self.form}, {self.n_terms} terms, residual {self.residual:.2g}"

    def _tables(self) -> Iterator[Table]:
        columns = {"term": "number of the product of local moves", "weight": "they sum to 1"}
        yield table("weights", "Weights of the products", columns, enumerate(self.weights.tolist()))


def decompose(transition: ArrayLike | Sparse, sizes: Sizes, *, form: str = "compact") -> Decomposition:
    """Decompose a separable transition matrix on the full product of local pairs.

    Parameters
    ----------
    transition : (n, n) transition matrix, n = prod m_i, row-major, agent 0 slowest.
    sizes : (N,) local pair counts m_i.
    form : "compact" or "explicit".

    Raises
    ------
    InvalidInput : wrong shapes, rows that are not laws, an unknown form.
    Unsupported : the matrix is entangled, or too near to entangled for double precision; `separability` returns
        the proof.
    TooLarge : the terms would not fit.

    >>> import numpy as np
    >>> d = decompose(np.kron([[0.9, 0.1], [0.3, 0.7]], [[0.5, 0.5], [0.2, 0.8]]), (2, 2))
    >>> d.n_terms, d.residual < 1e-14
    (1, True)
    """
    m = _check.sizes("sizes", sizes)
    n = math.prod(m)
    guard_entries(n * n)
    _check.choice("form", form, ("compact", "explicit"))
    p = _check.probabilities("transition", transition, shape=(n, n))
    tensor = realign(p, m, m)
    off = float(np.abs(joint(tensor - project(tensor, m, m), m, m)).sum(axis=1).max())
    rule = f"a separable matrix leaves at most {tol.SEPARABLE:.0e} of a row, in L1"
    remedy = "Ask me.separability(chain) for the equation or the witness that proves it."
    if off >= tol.ENTANGLED:
        got = f"an entangled matrix, {off:.3g} from the span of products of transitions"
        raise Unsupported("transition", got, rule, remedy)
    found = explicit(p, m) if form == "explicit" else compact(p, m)
    if found.residual > tol.SEPARABLE:
        miss = f"a decomposition that misses a row by {found.residual:.3g}, itself {off:.3g} off the span"
        raise Unsupported("transition", miss, rule, remedy)
    return found


def compact(p: Floats, sizes: tuple[int, ...], at: Any = ...) -> Decomposition:
    """The compact decomposition of a matrix that is separable up to rounding; `at`: rows that the residual reads."""
    return certified("compact", *compact_terms(p, sizes, sizes), p[at], at)


def compact_terms(p: Floats, rows: tuple[int, ...], columns: tuple[int, ...]) -> tuple[Floats, list[Floats]]:
    """Weights and factors (J, rows_i, columns_i) of a separable matrix of laws (prod rows_i, prod columns_i)."""
    return _terms(project(realign(p, rows, columns), rows, columns), rows, columns)


def explicit(p: Floats, sizes: tuple[int, ...], at: Any = ...) -> Decomposition:
    """The decomposition in the basis of Lemma D.1; zero coordinates are left out. `at` as in `compact`."""
    terms = omega_dimension(sizes)
    size = terms * sum(m * m for m in sizes) * 8
    if size > tol.BYTES // 4:
        raise TooLarge("explicit decomposition", f"{terms} terms, {gib(size)}",
                       gib(tol.BYTES / 4), "Ask for the compact one.")  # fmt: skip
    coordinates = realign(p, sizes, sizes)
    for i, m in enumerate(sizes):
        moved = np.tensordot(coordinate_map(m), coordinates, axes=(1, i))
        coordinates = np.moveaxis(moved, 0, i)
    used = np.nonzero(np.abs(coordinates) > tol.COORDINATE)
    factors = [omega_basis(m)[used[i]] for i, m in enumerate(sizes)]
    return certified("explicit", coordinates[used], factors, p[at], at)


def certified(
    form: Form, weights: Floats, factors: Sequence[Floats], law: Floats, at: Any = ...
) -> Decomposition:
    """The decomposition of the rows `at`, where P is `law`, with its residual recomputed from weights and factors."""
    residual = float(np.abs(reconstruct(weights, factors)[at] - law).sum(axis=1).max())
    return Decomposition(form, freeze(weights), tuple(freeze(f) for f in factors), residual)


def reconstruct(weights: Floats, factors: Sequence[Floats]) -> Floats:
    """`sum_j x_j P_0^(j) (x) ... (x) P_{N-1}^(j)` in blocks of terms that fit."""
    rows, columns = [f.shape[1] for f in factors], [f.shape[2] for f in factors]
    rest = math.prod(rows[1:]) * math.prod(columns[1:])
    total = np.zeros((rows[0] * columns[0], rest))
    block = max(int(tol.SEPARABLE_ENTRIES // max(rest, 1)), 1)
    for lo in range(0, len(weights), block):
        part = [f[lo : lo + block].reshape(-1, f.shape[1] * f.shape[2]) for f in factors]
        tail = np.ones((len(part[0]), 1))
        for f in part[1:]:
            tail = (tail[:, :, None] * f[:, None, :]).reshape(len(f), -1)
        total += (part[0] * weights[lo : lo + block, None]).T @ tail
    return joint(total, rows, columns)


def _terms(tensor: Floats, rows: tuple[int, ...], columns: tuple[int, ...]) -> tuple[Floats, list[Floats]]:
    """Weights and factors of a realigned tensor in the span of the products of laws, entries >= 0."""
    m, k, rest = rows[0], columns[0], (rows[1:], columns[1:])
    if len(rows) == 1:
        return np.ones(1), [_laws(tensor.reshape(1, m, k))]
    slices = tensor.reshape(m * k, -1)
    at, mix = _independent(slices, m * (k - 1) + 1)
    t = slices[:, at].T.reshape(-1, m, k)
    shape = [a * b for a, b in zip(*rest, strict=True)]
    mixed = mix * (t.sum(axis=(1, 2)) / m)[:, None]
    c = np.stack([project(row.reshape(shape), *rest).ravel() for row in mixed])
    t, width = _laws(t), math.prod(rest[1])
    low = c.min(axis=1)
    shift = np.where(low < -tol.SHIFT * np.abs(c).max(axis=1), -width * low, 0.0)
    mass = c.sum(axis=1) / math.prod(rest[0]) + shift
    weights, parts = [], []
    for j in np.flatnonzero(mass > 0):
        w, f = _terms(((c[j] + shift[j] / width) / mass[j]).reshape(shape), *rest)
        weights.append(mass[j] * w)
        parts.append([np.repeat(t[j : j + 1], len(w), axis=0), *f])
    if shift.sum() > 0:
        weights.append(np.array([-shift.sum()]))
        lost = np.tensordot(shift / shift.sum(), t, axes=1)[None]
        parts.append([lost, *(np.full((1, a, b), 1.0 / b) for a, b in zip(*rest, strict=True))])
    return np.concatenate(weights), [np.concatenate(f) for f in zip(*parts, strict=True)]


def _independent(slices: Floats, most: int) -> tuple[Ints, Floats]:
    """r <= most independent columns and the (r, columns) matrix that mixes them into all columns.

    Pivoted QR; many long slices take LU with row pivoting instead, on fixed random combinations of their entries:
    the same choice of independent slices at the speed of matrix products.
    """
    if len(slices) < tol.LONG_SLICES:
        r, order = sl.qr(slices, mode="r", pivoting=True, check_finite=False)
        rank = _rank(np.diagonal(r), tol.SLICE_RANK, most)
        others = sl.solve_triangular(r[:rank, :rank], r[:rank, rank:], check_finite=False)
    else:
        mixer = np.random.default_rng(0).standard_normal((len(slices), len(slices)))
        factor, swaps, _ = sl.lapack.dgetrf(slices.T @ mixer)
        order = np.arange(slices.shape[1])
        for i, j in enumerate(swaps):
            order[[i, j]] = order[[j, i]]
        rank = _rank(np.diagonal(factor), tol.SLICE_RANK_LU, most)
        lower = factor[:, :rank]
        others = sl.solve_triangular(
            lower[:rank], lower[rank:].T, trans="T", lower=True, unit_diagonal=True, check_finite=False
        )
    mix = np.zeros((rank, slices.shape[1]))
    mix[:, order[:rank]] = np.eye(rank)
    mix[:, order[rank:]] = others
    return order[:rank], mix


def _rank(diagonal: Floats, threshold: float, most: int) -> int:
    size = np.abs(diagonal)
    return min(max(int((size > threshold * size.max()).sum()), 1), most)


def _laws(t: Floats) -> Floats:
    """Rounding removed: entries >= 0 and rows of sum 1; a row without a positive entry becomes uniform."""
    t = np.maximum(t, 0.0)
    mass = t.sum(axis=2, keepdims=True)
    return np.divide(t, mass, out=np.full(t.shape, 1.0 / t.shape[2]), where=mass > 0)


def guard_entries(entries: int, what: str = "joint transition matrix") -> None:
    """Refuse a joint matrix with too many entries, before it is allocated."""
    if entries > tol.SEPARABLE_ENTRIES:
        size, limit = f"{about(entries)} entries", f"{tol.SEPARABLE_ENTRIES:.3g}"
        raise TooLarge(what, size, limit, "Ask for the agent-wise answer only, which needs local laws.")
