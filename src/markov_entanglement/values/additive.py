"""Joint additive values: projected Bellman on all agents' local functions together.

`D = sum_i Q_i(x_i)` with `Pi_D (r + gamma P D - D) = 0`, `Pi_D` the L2(mu) projection on additive functions: what
LSTD with all agents' one-hot local pairs as features converges to, on the data of Meta Algorithm 1. Its local
functions read all rewards (App. E), where Meta Algorithm 1 lets each read its own.

Guarantees: `D` exists and is unique on the support of mu for every gamma < 1 (`Pi_D P` is a contraction of
L2(mu)); `||Q - D||_2 <= ||Q - Pi_D Q||_2 / sqrt(1 - gamma^2)`; it is exact there for every additive reward and every
gamma iff the VDN gap is 0. The tables are the ones of least norm among all that add up to `D`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .._types import RewardsLike, Subject
from ..measures.spectral import AdditiveBasis, VDNGap, additive_basis, vdn_gap
from ..report.facts import brief
from .approximation import NORMS, Approximation
from .decomposition import ValueDecomposition, decomposed


@dataclass(frozen=True, eq=False, repr=False)
class AdditiveValues(Approximation):
    """Joint additive values beside local ones and the truth.

    Attributes
    ----------
    local_td : the decomposition of Meta Algorithm 1 on the same chain and rewards.
    vdn_gap : norm of `(I - Pi_D) P Pi_D`; 0 iff joint additive values are exact for every additive reward.
    """

    local_td: ValueDecomposition
    vdn_gap: VDNGap

    def errors(self) -> dict[str, Any]:
        """Every error by name, those of local TD beside them, the VDN gap, and e(r) of a shared reward."""
        beside = {f"local_td_error_{k}": self.local_td.error(k) for k in NORMS}
        shared = {k: x for k, x in self.local_td.errors().items() if k == "shared_reward_error"}
        return super().errors() | beside | {"vdn_gap": self.vdn_gap.value} | shared

    def _brief(self) -> str:
        local = brief(self.local_td.error())
        return f"error_mu={brief(self.error())}, local TD {local}, VDN gap {brief(self.vdn_gap.value)}"


def additive_values(
    chain: Subject, rewards: RewardsLike = None, discount: float | None = None
) -> AdditiveValues:
    """Joint additive values, their error beside that of Meta Algorithm 1, and the VDN gap.

    Parameters
    ----------
    chain : from `system.under(policy)`; a bandit is answered in counts.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.

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
    local_td = decomposed(chain, rewards, discount, "joint additive values")
    return joint_additive(local_td, additive_basis(local_td.chain))


def joint_additive(local_td: ValueDecomposition, basis: AdditiveBasis) -> AdditiveValues:
    """See `additive_values`: `B' diag(mu) (r + gamma P_c B c - B c) = 0` with B orthonormal in L2(mu)."""
    gamma, q = local_td.discount, local_td.values
    reward = (q - gamma * local_td.chain.carry(q))[basis.support]
    left = basis.values.T * basis.weight
    c = np.linalg.solve(np.eye(left.shape[0]) - gamma * (left @ basis.next_values), left @ reward)
    shared = {f.name: getattr(local_td, f.name) for f in fields(Approximation)}
    shared |= {"kind": "joint additive", "local": basis.tables(basis.coordinates @ c)}
    return AdditiveValues(**shared, local_td=local_td, vdn_gap=vdn_gap(local_td.chain, basis))
