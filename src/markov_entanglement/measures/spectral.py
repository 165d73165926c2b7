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
from typing import Any

import numpy as np
import scipy.linalg as sl

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import TooLarge
from ..laws.rows import Rows
from ..markov.chain import Chain


@dataclass(frozen=True, eq=False)
class SpectralFit:
    """One agent's spectral measure.

    Attributes
    ----------
    value : sigma_i >= 0, dimensionless.
    worst : (m,) function of the next local pair that attains it, of mean square 1 under mu_i; 0 where mu_i is 0.
    law : (n_keys, m) the local model P_i (Eq. 2), optimal in this norm; NaN where never visited.
    """

    value: float
    worst: Floats
    law: Floats


@dataclass(frozen=True, eq=False, repr=False)
class SpectralMeasure:
    """Spectral measure of every agent.

    Attributes
    ----------
    fits : one per agent, or one per arm type.
    multiplicity : number of agents that each fit stands for.
    """

    fits: tuple[SpectralFit, ...]
    multiplicity: tuple[int, ...]

    @property
    def distance(self) -> str:
        """ "spectral"."""
        return "spectral"

    @property
    def per_agent(self) -> Floats:
        """(N,) sigma_i, or (T,) one per arm type."""
        return freeze(np.array([f.value for f in self.fits]))

    @property
    def total(self) -> float:
        """sum_i sigma_i over all agents."""
        return float(self.per_agent @ np.array(self.multiplicity, dtype=np.float64))

    @property
    def worst(self) -> float:
        """max_i sigma_i."""
        return float(self.per_agent.max(initial=0.0))

    @property
    def optimal_local(self) -> tuple[Floats, ...]:
        """Per agent (n_keys, m) the local model P_i."""
        return tuple(f.law for f in self.fits)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "per_agent": self.per_agent.tolist(),
            "multiplicity": list(self.multiplicity),
            "total": self.total,
        }

    def __repr__(self) -> str:
        values = ", ".join(f"{v:.6g}" for v in self.per_agent[:6])
        return f"SpectralMeasure([{values}{', ...' if len(self.fits) > 6 else ''}])"


def spectral_fit(rows: Rows) -> SpectralFit:
    """`sigma_i` of one agent's rows; rows of zero weight are ignored."""
    rows = rows.where(rows.weight > 0)
    law = rows.mean_law
    mean = rows.weight @ rows.law
    seen = np.flatnonzero(mean > 0)
    # the deviations are formed before they are squared: no cancellation when they are small
    deviation = (rows.law - law[rows.key])[:, seen] / np.sqrt(mean[seen])
    values, vectors = np.linalg.eigh(deviation.T @ (rows.weight[:, None] * deviation))
    worst = np.zeros(len(mean))
    worst[seen] = vectors[:, -1] / np.sqrt(mean[seen])
    return SpectralFit(float(np.sqrt(max(values[-1], 0.0))), freeze(worst), law)


def spectral_measure(chain: Chain) -> SpectralMeasure:
    """Spectral measure of a chain, per agent.

    Parameters
    ----------
    chain : from `system.under(policy)`.

    Returns
    -------
    SpectralMeasure

    Raises
    ------
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    TooLarge : next-pair laws that would not fit.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.measures.spectral import spectral_measure
    >>> spectral_measure(me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()).total
    0.0
    """
    fits = tuple(spectral_fit(chain.rows(i)) for i in range(chain.n_agents))
    return SpectralMeasure(fits, (1,) * len(fits))


@dataclass(frozen=True, eq=False)
class AdditiveBasis:
    """An orthonormal basis of the additive functions in L2(mu), on the support of mu.

    Attributes
    ----------
    support : (s,) pairs of the chain with mu > 0.
    weight : (s,) mu there.
    agent : (M,) agent of each one-hot feature; only visited local pairs have one.
    local : (M,) its local pair.
    coordinates : (M, r) each basis function in one-hot features.
    null : (M, M - r) orthonormal basis of the feature combinations that vanish on the support.
    values : (s, r) basis functions on the support.
    next_values : (s, r) `P` applied to them.
    """

    support: Ints
    weight: Floats
    agent: Ints
    local: Ints
    coordinates: Floats
    null: Floats
    values: Floats
    next_values: Floats


def additive_basis(chain: Chain) -> AdditiveBasis:
    """Orthonormal additive functions and their images under P; collinear features are divided out.

    Raises
    ------
    TooLarge : features times pairs that would not fit.
    """
    support = np.flatnonzero(chain.occupancy > 0)
    weight = chain.occupancy[support]
    pairs = chain.pairs[support]
    visited = [np.unique(pairs[:, i]) for i in range(chain.n_agents)]
    agent = np.concatenate([np.full(len(v), i) for i, v in enumerate(visited)])
    local = np.concatenate(visited)
    size = len(support) * len(local) * 8 * 6
    if size > tol.BYTES:
        raise TooLarge("additive functions", f"{len(support)} pairs x {len(local)} local pairs, "
                       f"{size / 1024**3:.3g} GiB", f"{tol.BYTES / 1024**3:.0f} GiB",
                       "Start from one joint state (`initial`), or coarsen the local states.")  # fmt: skip
    onehot = np.concatenate([pairs[:, i, None] == v for i, v in enumerate(visited)], axis=1).astype(
        np.float64
    )
    image = np.concatenate([chain.next_law(i)[np.ix_(support, v)] for i, v in enumerate(visited)], axis=1)
    norm = np.sqrt(weight @ onehot)
    triangle = sl.qr(
        np.sqrt(weight)[:, None] * onehot / norm, mode="r", overwrite_a=True, check_finite=False
    )[0]
    _, singular, right = np.linalg.svd(triangle[: len(local)], full_matrices=True)
    rank = int((singular > tol.ADDITIVE_RANK * singular[0]).sum())
    coordinates = right[:rank].T / singular[:rank] / norm[:, None]
    null = np.linalg.qr(right[rank:].T / norm[:, None])[0]
    return AdditiveBasis(
        support, weight, agent, local, coordinates, null, onehot @ coordinates, image @ coordinates
    )


@dataclass(frozen=True, eq=False)
class VDNGap:
    """How far additive functions are from being invariant under P.

    Attributes
    ----------
    value : norm of `(I - Pi_D) P Pi_D` in L2(mu), in [0, 1].
    function : per agent (m_i,) an additive function of L2(mu) norm 1 that attains it; NaN where never visited.
    """

    value: float
    function: tuple[Floats, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"value": self.value}


def vdn_gap(chain: Chain, basis: AdditiveBasis | None = None) -> VDNGap:
    """Norm of `(I - Pi_D) P Pi_D` in L2(mu).

    Parameters
    ----------
    chain : from `system.under(policy)`.
    basis : from `additive_basis(chain)`, if at hand.

    Returns
    -------
    VDNGap

    Raises
    ------
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    TooLarge : features times pairs that would not fit.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.measures.spectral import vdn_gap
    >>> vdn_gap(me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()).value < 1e-12
    True
    """
    basis = additive_basis(chain) if basis is None else basis
    b, z, w = basis.values, basis.next_values, basis.weight[:, None]
    rest = z - b @ (b.T @ (w * z))
    values, vectors = np.linalg.eigh(rest.T @ (w * rest))
    function = local_tables(chain, basis, basis.coordinates @ vectors[:, -1])
    return VDNGap(float(np.sqrt(max(values[-1], 0.0))), function)


def local_tables(chain: Chain, basis: AdditiveBasis, theta: Floats) -> tuple[Floats, ...]:
    """Per agent (m_i,) table of one-hot coefficients (M,); NaN on local pairs that are never visited."""
    tables = []
    for i, m in enumerate(chain.sizes):
        mine = basis.agent == i
        table = np.full(m, np.nan)
        table[basis.local[mine]] = theta[mine]
        tables.append(freeze(table))
    return tuple(tables)
