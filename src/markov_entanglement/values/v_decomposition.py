"""V decomposition (App. B): is `V(s) = sum_i V_i(s_i)` for every state-only reward?

`V = (I - gamma T)^{-1} r` with `T(s, s') = sum_a pi(a|s) P(s'|s, a)` and `r(s) = sum_i r_i(s_i)`: the state chain is
a chain whose local pairs are the local states. So the answer is that of Q decomposition on the state chain: it
decomposes, for every state-only reward, iff `T` is agent-wise separable. Neither separability of the pair chain
nor additivity of Q implies that, because `pi(a_i|s)` may read all of s. A reward that depends on actions makes
`r(s) = sum_a pi(a|s) r(s, a)` a joint reward of the state chain, so it is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, freeze
from ..errors import Unsupported
from ..laws.rows import Rows
from ..laws.source import Space, exact
from ..model.rewards import Rewards
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table
from .decomposition import ValueDecomposition, decompose, resolve_discount


@dataclass(frozen=True, eq=False, repr=False)
class VDecomposition(Result):
    """The true state values beside the sum of local ones.

    Attributes
    ----------
    decomposition : Q decomposition of the state chain; its pairs are the joint states.
    verdict : "separable", "entangled" or "undecided": agent-wise separability of the state chain on its
        recurrent states, that is, whether V decomposes for every state-only reward.
    gap : largest `TV(T_i(.|s), mean of T_i(.|s') over s' with the same s_i)`; 0 iff separable.
    """

    decomposition: ValueDecomposition
    verdict: str
    gap: float

    @property
    def local_v(self) -> tuple[Floats, ...]:
        """Per agent (S_i,) local values; NaN on local states that are never visited."""
        return self.decomposition.local_q

    @property
    def joint_v(self) -> Floats:
        """(S,) true values on `chain.states`."""
        return self.decomposition.joint_q

    @property
    def sum_v(self) -> Floats:
        """(S,) `sum_i V_i(s_i)`."""
        return self.decomposition.sum_q

    def error(self, norm: str = "mu") -> float:
        """`||V - sum_i V_i||`: "mu" (L1 of the state law), "sup" (recurrent states) or "l2"; reward units."""
        return self.decomposition.error(norm)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**self.decomposition.to_dict(), "verdict": self.verdict, "gap": self.gap}

    @property
    def sentence(self) -> str:
        """How far the sum is from V, and whether it is exact for every reward of the states."""
        words = {"separable": "it is exact for every reward of the states", "entangled": "not exact for every reward",
                 "undecided": "it is undecided whether it is exact for every reward"}  # fmt: skip
        missed = percent(self.decomposition.unexplained)
        return f"The sum of local state values misses {missed} of the spread of V; {words[self.verdict]}."

    def _badge(self) -> tuple[str, str]:
        return {"separable": "good", "entangled": "bad", "undecided": "open"}[self.verdict], self.verdict

    def _brief(self) -> str:
        return f"{self.verdict}, error_mu={self.error():.6g}, gap={self.gap:.3g}"

    def _tables(self) -> Iterable[Table]:
        return self.decomposition._tables()


def v_decomposition(
    chain: Any, rewards: Any = None, discount: float | None = None, trace: float = 0.0, split: str = "lad"
) -> VDecomposition:
    """See `value_decomposition`; tables of rewards may also be (S_i,).

    >>> import numpy as np, markov_entanglement as me
    >>> chain = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    >>> me.value_decomposition(chain, [[0, 1], [2, 3]], 0.9, kind="V").verdict
    'separable'
    """
    space = exact(chain, Space, question="values of states")
    rewards_ = space.read_rewards(rewards)
    gamma = resolve_discount(space, discount)
    states = space.of_states()
    decomposition = decompose(
        states, states.read_rewards(state_rewards(rewards_, space)), gamma, trace, split
    )
    gap = max(agentwise_spread(states.laws(u).in_the_long_run()) for u in range(len(states.units)))
    word = "separable" if gap <= tol.SEPARABLE else "entangled" if gap >= tol.ENTANGLED else "undecided"
    return VDecomposition(decomposition, word, gap)


def state_rewards(rewards: Rewards, space: Space) -> Rewards:
    """The same rewards as functions of the local states; `Unsupported` where one depends on an action."""
    widths = space.actions if rewards.local is not None else (math.prod(space.actions),)
    tables = rewards.local if rewards.local is not None else (rewards.shared,)
    wide = [np.asarray(t).reshape(-1, a) for t, a in zip(tables, widths, strict=True)]
    if not all((t == t[:, :1]).all() for t in wide):
        raise Unsupported(
            "rewards", "a reward that depends on actions", "V decomposes only for rewards of the state: "
            "the policy reads the joint state, so sum_a pi(a|s) r_i(s_i, a_i) is not a function of s_i",
            "Ask for kind='Q', or give rewards of shape (S_i,).",
        )  # fmt: skip
    if rewards.local is None:
        return rewards
    return Rewards(tuple(freeze(t[:, 0].copy()) for t in wide), None)


def agentwise_spread(rows: Rows) -> float:
    """Largest `TV(law, plain mean of the laws of its key)` over the rows; 0 iff the minimax centres are exact.

    It lies between `atv` and twice `atv`.
    """
    counts = np.maximum(np.diff(rows.starts), 1)[:, None]
    mean = rows.sums(rows.law) / counts
    return float(0.5 * np.abs(rows.law - mean[rows.key]).sum(axis=1).max(initial=0.0))
