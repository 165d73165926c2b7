"""Value decomposition: `Q ~ sum_i Q_i`, with Q_i the values of the marginalised local chain (Eq. 2).

`Q = (I - gamma P)^{-1} r` is the truth; `Q_i = (I - gamma P_i)^{-1} r_i` is what tabular TD on agent i's own
data converges to (Meta Algorithm 1). A shared reward is first split by least absolute deviations under
mu (Meta Algorithm 2). `E_mu(Q - sum_i Q_i) = 0` always.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from .. import _check
from .._check import Floats, freeze
from ..errors import InvalidInput
from ..markov.chain import Chain
from ..markov.evaluate import Evaluation, Evaluator
from ..measures.entanglement import as_chain
from ..model.rewards import Rewards
from .approximation import Approximation, add_up
from .shared_reward import SharedFit, fit_shared_reward

if TYPE_CHECKING:
    from .v_decomposition import VDecomposition


def local_values(local_transition: Floats, reward: Floats, discount: float) -> Floats:
    """`Q_i = (I - gamma P_i)^{-1} r_i` on visited local pairs, NaN elsewhere (m_i,)."""
    visited = np.flatnonzero(~np.isnan(local_transition[:, 0]))
    q = np.full(len(reward), np.nan)
    p = local_transition[np.ix_(visited, visited)]
    q[visited] = np.linalg.solve(np.eye(len(visited)) - discount * p, reward[visited])
    return q


@dataclass(frozen=True, eq=False, repr=False)
class ValueDecomposition(Approximation):
    """The true joint values beside the sum of local ones.

    Attributes
    ----------
    chain : the chain.
    discount : gamma.
    rewards : (m_i,) local reward of each agent (fitted ones when the reward is shared).
    local_q : (m_i,) local values of each agent; NaN on local pairs that are never visited.
    joint_q : (n,) true values on `chain.pairs`.
    evaluation : solver and residual behind `joint_q`.
    shared : how a shared reward was split, or None.
    """

    chain: Chain
    discount: float
    rewards: tuple[Floats, ...]
    local_q: tuple[Floats, ...]
    joint_q: Floats
    evaluation: Evaluation
    shared: SharedFit | None

    @cached_property
    def sum_q(self) -> Floats:
        """(n,) `D(x) = sum_i Q_i(x_i)`; NaN on transient pairs with an unvisited local pair."""
        return add_up(self.local_q, self.chain.pairs)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        shared = {} if self.shared is None else {"shared_reward_error": self.shared.error}
        return self.errors() | shared

    def __repr__(self) -> str:
        return f"ValueDecomposition(error_mu={self.error():.6g}, unexplained={self.unexplained:.6g})"


@overload
def value_decomposition(
    chain: Chain, rewards: Any = ..., discount: float | None = ..., *, kind: Literal["Q"] = ...
) -> ValueDecomposition: ...


@overload
def value_decomposition(
    chain: Chain, rewards: Any = ..., discount: float | None = ..., *, kind: Literal["V"]
) -> VDecomposition: ...


def value_decomposition(
    chain: Chain, rewards: Any = None, discount: float | None = None, *, kind: str = "Q"
) -> ValueDecomposition | VDecomposition:
    """Local values, their sum, and how wrong it is.

    Parameters
    ----------
    chain : from `system.under(policy)`.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    kind : "Q" (values of joint pairs), or "V" (values of joint states, App. B; rewards of states only).

    Returns
    -------
    ValueDecomposition, or VDecomposition for kind "V".

    Raises
    ------
    InvalidInput : no rewards or discount anywhere, or malformed ones.
    Unsupported : kind "V" with a reward that depends on an action.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("shared-randomness")
    >>> me.value_decomposition(entry.chain()).error("sup") < 1e-12
    True
    """
    if hasattr(chain, "decompose"):  # a bandit, in counts
        return chain.decompose(rewards, discount)
    chain = as_chain(chain)
    if _check.choice("kind", kind, ("Q", "V")) == "V":
        from .v_decomposition import v_decomposition

        return v_decomposition(chain, rewards, discount)
    resolved = resolve_rewards(chain, rewards)
    gamma = resolve_discount(chain, discount)
    total = resolved.on_pairs(chain.pairs, chain.system.spaces)
    evaluation = Evaluator(chain, gamma)(total)
    raw = chain.pairs, chain.sizes, chain.occupancy, total
    shared = fit_shared_reward(*raw) if resolved.local is None else None
    local = shared.local if shared is not None else resolved.local
    assert local is not None
    local_q = tuple(
        freeze(local_values(chain.local_transition(i), local[i], gamma)) for i in range(chain.n_agents)
    )
    return ValueDecomposition(chain, gamma, local, local_q, freeze(evaluation.q), evaluation, shared)


def resolve_rewards(chain: Chain, rewards: Any) -> Rewards:
    """The given rewards, or the system's."""
    if rewards is not None:
        return Rewards.of(rewards, chain.system.spaces)
    if chain.system.rewards is None:
        raise InvalidInput("rewards", "None", "values need rewards", "Pass one table per agent.")
    return chain.system.rewards


def resolve_discount(chain: Chain, discount: float | None) -> float:
    """The given discount, or the system's."""
    if discount is not None:
        return _check.discount(discount)
    if chain.discount is None:
        raise InvalidInput("discount", "None", "values need a discount in [0, 1)", "E.g. discount=0.9.")
    return chain.discount
