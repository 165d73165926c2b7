"""Spectral measure and VDN gap: entanglement in L2(mu), from second moments only.

Spectral measure: `sigma_i` = norm of `(I - Pi_i) P` on functions of `x_i` in L2(mu), `Pi_i` the conditional mean
given `x_i`. With `d = p_i(.|x) - P_i(.|x_i)` and `D = diag(mu_i)` on visited local pairs, `sigma_i^2` is the
largest eigenvalue of `D^{-1/2} E_mu[d d^T] D^{-1/2}`, and `E_mu[d d^T] = E_mu[p_i p_i^T] - P_i^T D P_i`. It is 0
iff `p_i(.|x)` depends on `x_i` only, mu-almost surely. Rows are all that it needs.

VDN gap: norm of `(I - Pi_D) P Pi_D` in L2(mu), `Pi_D` the projection on additive functions
`D = {sum_i f_i(x_i)}`. It is 0 iff additive functions, restricted to the support of mu, are invariant there; then
a decomposition that may read all rewards is exact for every additive reward (App. E).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg as sl

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import TooLarge, gib
from ..laws.rows import Rows
from ..laws.source import Space
from ..report.result import Brief


@dataclass(frozen=True, eq=False)
class SpectralFit:
    """One agent's spectral measure."""

    value: float  # sigma_i >= 0, dimensionless
    worst: Floats  # (m,) function of the next local pair that attains it, mean square 1 under mu_i; 0 where mu_i is 0
    law: Floats  # (n_keys, m) the local model P_i (Eq. 2), optimal in this norm; NaN where never visited


def spectral_fit(rows: Rows) -> SpectralFit:
    """`sigma_i` of one agent's rows; rows of zero weight are ignored."""
    return spectral_fits(rows, 1)[0]


def spectral_fits(rows: Rows, count: int) -> list[SpectralFit]:
    """The same for each of `count` units put together by `Rows.concat`; those of equal shapes at once."""
    rows, each = rows.where(rows.weight > 0), rows.n_keys // count
    if count > 1:
        rows = rows.where(np.argsort(rows.key // each, kind="stable"))
    law, m = rows.mean_law, rows.law.shape[1] - rows.ended  # functions are 0 once the task has ended
    # the deviations are formed before they are squared: no cancellation when they are small
    missed, mass = (rows.law - law[rows.key])[:, :m], rows.key_weight.reshape(count, each)
    first, value, worst = rows.starts[::each], np.zeros(count), np.zeros((count, m))
    sizes = np.diff(first)
    for size in np.unique(sizes[sizes > 0]):
        units = np.flatnonzero(sizes == size)
        at = first[units, None] + np.arange(size) if len(units) < count else np.s_[:]
        weight, laws, gaps = (
            a[at].reshape(-1, size, a.size // len(a)) for a in (rows.weight, rows.law, missed)
        )
        mean = mass[units] if rows.ended else (weight.transpose(0, 2, 1) @ laws)[:, 0]
        many = np.count_nonzero(mean, axis=1)
        for k in np.unique(many):
            some = np.flatnonzero(many == k)
            part = some if len(some) < len(many) else np.s_[:]
            seen, deviation = mean[part] > 0, gaps[part]
            if k < m:
                deviation = deviation[np.broadcast_to(seen[:, None], deviation.shape)].reshape(-1, size, k)
            scale = np.sqrt(mean[part][seen]).reshape(-1, 1, k)
            deviation = deviation / scale
            values, vectors = np.linalg.eigh(deviation.transpose(0, 2, 1) @ (weight[part] * deviation))
            value[units[part]] = np.sqrt(np.maximum(values[:, -1], 0.0))
            worst[np.repeat(units[part], k), np.nonzero(seen)[1]] = (vectors[:, :, -1] / scale[:, 0]).ravel()
    parts = zip(value.tolist(), freeze(worst), law.reshape(count, each, -1), strict=True)
    return [SpectralFit(*part) for part in parts]


@dataclass(frozen=True, eq=False)
class AdditiveBasis:
    """An orthonormal basis of the additive functions in L2(mu), on the support of mu."""

    space: Space
    support: Ints  # (s,) pairs with mu > 0
    weight: Floats  # (s,) mu there
    local: Ints  # (M',) the local pairs that occur there, among all M
    coordinates: Floats  # (M', r) each basis function in the features of these local pairs
    null: Floats  # (M', M' - r) orthonormal basis of the feature combinations that vanish on the support
    values: Floats  # (s, r) basis functions on the support

    @cached_property
    def next_values(self) -> Floats:
        """(s, r) the continuing part of `P` applied to the basis functions."""
        image = self.space.carried_features(self.local)[self.support]
        return np.asarray(image @ self.coordinates)

    def project(self, f: Floats) -> Floats:
        """Projection `Pi_D f` of functions on the support, (s,) or (s, k)."""
        return np.asarray(self.values @ (self.values.T @ (self.weight * f.T).T))

    def tables(self, theta: Floats) -> tuple[Floats, ...]:
        """Per unit (m_u,) tables from feature coefficients (M',), the ones of least norm; NaN where never visited."""
        theta = theta - self.null @ (self.null.T @ theta)
        whole = np.full(self.space.features.shape[1], np.nan)
        whole[self.local] = theta
        cuts = np.cumsum([u.size for u in self.space.units])[:-1]
        return tuple(freeze(t) for t in np.split(whole, cuts))


def additive_basis(space: Space) -> AdditiveBasis:
    """Orthonormal additive functions; collinear features are divided out. `TooLarge` where they would not fit."""
    support = np.flatnonzero(space.occupancy > 0)
    if len(support) > tol.LARGE:  # before features are listed
        _refuse(len(support), sum(u.size for u in space.units))
    weight, features = space.occupancy[support], space.features[support]
    norm = np.sqrt(np.asarray(features.multiply(features).T @ weight))
    local = np.flatnonzero(norm > 0)
    norm = norm[local]
    _refuse(len(support), len(local))
    columns = features[:, local].toarray()
    scaled = np.sqrt(weight)[:, None] * columns / norm
    triangle = sl.qr(scaled, mode="r", overwrite_a=True, check_finite=False)[0]
    _, singular, right = np.linalg.svd(triangle[: len(local)], full_matrices=True)
    rank = int((singular > tol.ADDITIVE_RANK * singular[0]).sum())
    coordinates = right[:rank].T / singular[:rank] / norm[:, None]
    null = np.linalg.qr(right[rank:].T / norm[:, None])[0]
    return AdditiveBasis(space, support, weight, local, coordinates, null, columns @ coordinates)


def _refuse(pairs: int, local: int) -> None:
    """Refuse a basis that would not fit."""
    size = pairs * local * 8 * 6
    if size > tol.BYTES:
        raise TooLarge("additive functions", f"{gib(size)} ({pairs:,} pairs x {local:,} local pairs)", gib(tol.BYTES),
                       "Start from one joint state (`initial`), or coarsen the local states.")  # fmt: skip


def additive_part(space: Space, f: Floats) -> Floats:
    """(n,) projection of a function (n,) on additive functions in L2(mu) where no basis fits, from second moments of
    the features; what rounding leaves of the first answer is projected once more."""
    moments = space.second_moments()
    norm = np.sqrt(np.diag(moments))
    seen = np.flatnonzero(norm > 0)
    values, vectors = np.linalg.eigh(moments[np.ix_(seen, seen)] / np.multiply.outer(norm[seen], norm[seen]))
    keep = values > tol.MOMENT_RANK * values[-1]
    turn = vectors[:, keep] / np.sqrt(values[keep]) / norm[seen, None]
    cuts, theta, rest = np.cumsum([u.size for u in space.units])[:-1], np.zeros(len(norm)), f
    for _ in range(2):
        theta[seen] += turn @ (turn.T @ space.moments_with(rest)[seen])
        part = space.sum_of(np.split(theta, cuts))
        rest = f - part
    return part


@dataclass(frozen=True, eq=False, repr=False)
class VDNGap(Brief):
    """How far additive functions are from being invariant under P.

    `function`, of L2(mu) norm 1, attains the value; of arms that are alike, the worst of those that treat them alike.
    """

    value: float  # norm of `(I - Pi_D) P Pi_D` in L2(mu), in [0, 1]
    function: tuple[Floats, ...]  # per unit (m_u,); NaN where never visited

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"value": self.value}

    def _brief(self) -> str:
        return f"{self.value:.6g}"


def vdn_gap(space: Space, basis: AdditiveBasis | None = None) -> VDNGap:
    """Norm of `(I - Pi_D) P Pi_D` in L2(mu); `basis` is `additive_basis(space)`, if at hand.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.measures.spectral import vdn_gap
    >>> vdn_gap(me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()).value < 1e-12
    True
    """
    basis = additive_basis(space) if basis is None else basis
    z, w = basis.next_values, basis.weight[:, None]
    rest = z - basis.project(z)
    values, vectors = np.linalg.eigh(rest.T @ (w * rest))
    function = basis.tables(basis.coordinates @ vectors[:, -1])
    apart = [_contrast_gap(*c) for u in range(len(space.units)) if (c := space.contrasts(u)) is not None]
    return VDNGap(float(np.sqrt(max(values[-1], *apart, 0.0))), function)


def _contrast_gap(size: Floats, image: Floats, square: Floats) -> float:
    """The largest `||(I - Pi_D) P f||^2 / ||f||^2` over `f = g(x_i) - g(x_j)`, agents i and j alike.

    Symmetric additive functions see counts only; with these contrasts they span all additive functions of agents that
    are alike, and P keeps the two kinds apart. `size`, `image`, `square`: (m, m) inner products of contrasts, with
    their images, and of the images.
    """
    values, vectors = np.linalg.eigh(size)
    keep = values > tol.ADDITIVE_RANK * max(float(values[-1]), 0.0)
    if not keep.any():
        return 0.0
    turn = vectors[:, keep] / np.sqrt(values[keep])
    part = turn.T @ image @ turn
    return float(np.linalg.eigvalsh(turn.T @ square @ turn - part.T @ part)[-1])
