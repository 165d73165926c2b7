"""Joint additive values: projected Bellman on all agents' local functions together.

`D = sum_i Q_i(x_i)` with `Pi_D (r + gamma P D - D) = 0`, `Pi_D` the L2(mu) projection on additive functions: what
LSTD with all agents' one-hot local pairs as features converges to, on the data of Meta Algorithm 1. Its local
functions read all rewards (App. E), where Meta Algorithm 1 lets each read its own.

Guarantees: `D` exists and is unique on the support of mu for every gamma < 1 (`Pi_D P` is a contraction of
L2(mu)); `||Q - D||_2 <= ||Q - Pi_D Q||_2 / sqrt(1 - gamma^2)`; it is exact there for every additive reward and every
gamma iff the VDN gap is 0. The tables are the ones of least norm among all that add up to `D`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._check import Floats
from ..markov.chain import Chain
from ..measures.entanglement import as_chain
from ..measures.spectral import VDNGap, additive_basis, local_tables, vdn_gap
from .approximation import NORMS, Approximation, add_up
from .decomposition import ValueDecomposition, resolve_rewards, value_decomposition


@dataclass(frozen=True, eq=False, repr=False)
class AdditiveValues(Approximation):
    """Joint additive values beside local ones and the truth.

    Attributes
    ----------
    chain : the chain.
    discount : gamma.
    local_q : per agent (m_i,) tables whose sum is D; NaN on local pairs that are never visited.
    joint_q : (n,) true values on `chain.pairs`.
    local_td : the decomposition of Meta Algorithm 1 on the same chain and rewards.
    vdn_gap : norm of `(I - Pi_D) P Pi_D`; 0 iff joint additive values are exact for every additive reward.
    """

    chain: Chain
    discount: float
    local_q: tuple[Floats, ...]
    joint_q: Floats
    local_td: ValueDecomposition
    vdn_gap: VDNGap

    @cached_property
    def sum_q(self) -> Floats:
        """(n,) `D(x) = sum_i Q_i(x_i)`; NaN on transient pairs with an unvisited local pair."""
        return add_up(self.local_q, self.chain.pairs)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        beside = {f"local_td_error_{k}": self.local_td.error(k) for k in NORMS}
        return self.errors() | beside | {"vdn_gap": self.vdn_gap.value}

    def __repr__(self) -> str:
        return (
            f"AdditiveValues(error_mu={self.error():.6g}, local TD {self.local_td.error():.6g}, "
            f"VDN gap {self.vdn_gap.value:.6g})"
        )


def additive_values(chain: Chain, rewards: Any = None, discount: float | None = None) -> AdditiveValues:
    """Joint additive values, their error beside that of Meta Algorithm 1, and the VDN gap.

    Parameters
    ----------
    chain : from `system.under(policy)`.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.

    Returns
    -------
    AdditiveValues

    Raises
    ------
    InvalidInput : no rewards or discount anywhere, or malformed ones.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    TooLarge : features times pairs that would not fit.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.values.additive import additive_values
    >>> chain = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    >>> additive_values(chain, [[0, 1], [2, 3]], 0.9).error("sup") < 1e-12
    True
    """
    chain = as_chain(chain)
    resolved = resolve_rewards(chain, rewards)
    local_td = value_decomposition(chain, resolved, discount)
    gamma = local_td.discount
    reward = resolved.on_pairs(chain.pairs, chain.system.spaces)
    basis = additive_basis(chain)
    # B' diag(mu) (r + gamma P B c - B c) = 0 with B orthonormal in L2(mu)
    left = basis.values.T * basis.weight
    c = np.linalg.solve(
        np.eye(left.shape[0]) - gamma * (left @ basis.next_values), left @ reward[basis.support]
    )
    theta = basis.coordinates @ c
    theta -= basis.null @ (basis.null.T @ theta)
    local_q = local_tables(chain, basis, theta)
    return AdditiveValues(chain, gamma, local_q, local_td.joint_q, local_td, vdn_gap(chain, basis))
