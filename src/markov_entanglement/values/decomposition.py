"""Value decomposition: `Q ~ sum_i Q_i`, with Q_i the values of the marginalised local chain (Eq. 2).

`Q = (I - gamma P)^{-1} r` is the truth; `Q_i = (I - gamma P_i)^{-1} r_i` is what tabular TD on agent i's own
data converges to (Meta Algorithm 1). A shared reward is first split by least absolute deviations under
mu (Meta Algorithm 2). `E_mu(Q - sum_i Q_i) = 0` always.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import _check
from .._check import Bools, Floats, freeze
from ..errors import InvalidInput
from ..markov.chain import Chain
from ..markov.evaluate import Evaluation, Evaluator
from ..model.rewards import Rewards
from .shared_reward import SharedFit, fit_shared_reward

NORMS = ("mu", "sup", "l2")


def norm_on(f: Floats, mu: Floats, recurrent: Bools, norm: str) -> float:
    """`||f||` of a function on pairs: "mu" L1(mu), "l2" L2(mu), "sup" over the recurrent pairs."""
    _check.choice("norm", norm, NORMS)
    if norm == "sup":
        return float(np.abs(f[recurrent]).max(initial=0.0))
    at = mu > 0
    if norm == "mu":
        return float(mu[at] @ np.abs(f[at]))
    return float(np.sqrt(mu[at] @ f[at] ** 2))


def local_values(local_transition: Floats, reward: Floats, discount: float) -> Floats:
    """`Q_i = (I - gamma P_i)^{-1} r_i` on visited local pairs, NaN elsewhere (m_i,)."""
    visited = np.flatnonzero(~np.isnan(local_transition[:, 0]))
    q = np.full(len(reward), np.nan)
    p = local_transition[np.ix_(visited, visited)]
    q[visited] = np.linalg.solve(np.eye(len(visited)) - discount * p, reward[visited])
    return q


@dataclass(frozen=True, eq=False, repr=False)
class ValueDecomposition:
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
        return freeze(np.sum([q[self.chain.pairs[:, i]] for i, q in enumerate(self.local_q)], axis=0))

    @cached_property
    def residual(self) -> Floats:
        """(n,) `err = Q - D`."""
        return freeze(self.joint_q - self.sum_q)

    def error(self, norm: str = "mu") -> float:
        """`||Q - D||`: "mu" (L1 of mu), "sup" (over the recurrent pairs) or "l2" (L2 of mu); reward units."""
        return norm_on(self.residual, self.chain.occupancy, self.chain.recurrent, norm)

    @property
    def relative_error(self) -> float:
        """`||err||_mu / ||Q||_mu` (the paper's); a constant added to the rewards changes it at will."""
        size = norm_on(self.joint_q, self.chain.occupancy, self.chain.recurrent, "mu")
        return self._ratio(self.error("mu"), size)

    @property
    def unexplained(self) -> float:
        """`||err - mean||_{2,mu} / ||Q - mean||_{2,mu}`: the share of the spread of Q that the sum misses."""
        return self._ratio(self._spread(self.residual), self._spread(self.joint_q))

    def _spread(self, f: Floats) -> float:
        mu = self.chain.occupancy
        at = mu > 0
        mean = float(mu[at] @ f[at])
        return float(np.sqrt(mu[at] @ (f[at] - mean) ** 2))

    def _ratio(self, part: float, whole: float) -> float:
        noise = 1e-12 * float(np.abs(self.joint_q).max(initial=0.0))
        if part <= noise:
            return 0.0
        return part / whole if whole > noise else float("inf")

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        out: dict[str, Any] = {f"error_{k}": self.error(k) for k in NORMS}
        out |= {"relative_error": self.relative_error, "unexplained": self.unexplained}
        if self.shared is not None:
            out["shared_reward_error"] = self.shared.error
        return {k: v if np.isfinite(v) else None for k, v in out.items()}

    def __repr__(self) -> str:
        return f"ValueDecomposition(error_mu={self.error():.6g}, unexplained={self.unexplained:.6g})"


def value_decomposition(
    chain: Chain, rewards: Any = None, discount: float | None = None, *, kind: str = "Q"
) -> ValueDecomposition:
    """Local values, their sum, and how wrong it is.

    Parameters
    ----------
    chain : from `system.under(policy)`.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    kind : "Q" (values of joint pairs).

    Returns
    -------
    ValueDecomposition

    Raises
    ------
    InvalidInput : no rewards or discount anywhere, or malformed ones.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("shared-randomness")
    >>> me.value_decomposition(entry.chain()).error("sup") < 1e-12
    True
    """
    _check.choice("kind", kind, ("Q",))
    resolved = resolve_rewards(chain, rewards)
    gamma = resolve_discount(chain, discount)
    total = resolved.on_pairs(chain.pairs, chain.system.spaces)
    evaluation = Evaluator(chain, gamma)(total)
    shared = fit_shared_reward(chain, total) if resolved.local is None else None
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
