"""V decomposition (App. B): is `V(s) = sum_i V_i(s_i)` for every state-only reward?

`V = (I - gamma T)^{-1} r` with `T(s, s') = sum_a pi(a|s) P(s'|s, a)` and `r(s) = sum_i r_i(s_i)`: the state chain is
a chain whose local pairs are the local states. So the answer is that of Q decomposition on the state chain: it
decomposes, for every state-only reward, iff `T` is agent-wise separable. Neither separability of the pair chain
nor additivity of Q implies that, because `pi(a_i|s)` may read all of s. A reward that depends on actions makes
`r(s) = sum_a pi(a|s) r(s, a)` a joint reward of the state chain, so it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import Unsupported
from ..markov.chain import Chain
from ..markov.kernel import Kernel, RestartKernel, SparseKernel
from ..model.policy import UniformPolicy
from ..model.rewards import Rewards
from ..model.spaces import Labels, Spaces
from ..model.system import System
from .decomposition import ValueDecomposition, resolve_discount, resolve_rewards, value_decomposition


@dataclass(frozen=True, eq=False)
class StateSystem(System):
    """The states of a system as an uncontrolled one: one action, local pairs are local states."""

    spaces: Spaces
    rewards: Rewards | None
    discount: float | None
    labels: Labels

    @property
    def acts(self) -> bool:
        return False

    def feasible(self, states: Ints) -> sp.csr_array:
        return sp.csr_array(np.ones((len(states), 1)))


@dataclass(frozen=True, eq=False)
class StateKernel(Kernel):
    """`T = Pi K`, applied as its two factors."""

    choice: sp.csr_array
    kernel: Kernel

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.choice.shape[0]), self.kernel.shape[1]

    def apply(self, f: Floats) -> Floats:
        return np.asarray(self.choice @ self.kernel.apply(f))

    def apply_left(self, u: Floats) -> Floats:
        return self.kernel.apply_left(np.asarray(self.choice.T @ u))

    def support_left(self, u: Floats) -> Floats:
        return self.kernel.support_left(np.asarray(self.choice.T @ (u > 0)))

    def support(self, f: Floats) -> Floats:
        return np.asarray(self.choice @ (self.kernel.support(f) > 0))


def state_kernel(choice: sp.csr_array, kernel: Kernel) -> Kernel:
    """`T = Pi K`, explicit where `K` is."""
    if isinstance(kernel, RestartKernel):
        return replace(kernel, base=state_kernel(choice, kernel.base))
    if kernel.matrix is None:
        return StateKernel(choice, kernel)
    return SparseKernel(sp.csr_array(choice @ kernel.matrix))


def state_chain(chain: Chain) -> Chain:
    """The chain on joint states, `T(s, s')`, as a `Chain` whose pairs are the joint states of `chain`.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.values.v_decomposition import state_chain
    >>> state_chain(me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()).sizes
    (2, 2)
    """
    old = chain.system
    spaces = Spaces(old.spaces.n_states, (1,) * chain.n_agents)
    labels = Labels(old.labels.names, old.labels.states, ())
    system = StateSystem(spaces, None, old.discount, labels)
    n = len(chain.states)
    return Chain(
        system=system,
        policy=system.bind(UniformPolicy()),
        states=chain.states,
        pairs=chain.states,
        pair_state=freeze(np.arange(n, dtype=np.int64)),
        choice=sp.csr_array(sp.eye_array(n, format="csr")),
        kernel=state_kernel(chain.choice, chain.kernel),
        initial=chain.initial,
    )


@dataclass(frozen=True, eq=False, repr=False)
class VDecomposition:
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

    @cached_property
    def sum_v(self) -> Floats:
        """(S,) `sum_i V_i(s_i)`."""
        return self.decomposition.sum_q

    def error(self, norm: str = "mu") -> float:
        """`||V - sum_i V_i||`: "mu" (L1 of the state law), "sup" (recurrent states) or "l2"; reward units."""
        return self.decomposition.error(norm)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**self.decomposition.to_dict(), "verdict": self.verdict, "gap": self.gap}

    def __repr__(self) -> str:
        return f"VDecomposition({self.verdict}, error_mu={self.error():.6g}, gap={self.gap:.3g})"


def v_decomposition(chain: Chain, rewards: Any = None, discount: float | None = None) -> VDecomposition:
    """Local state values, their sum, its error, and whether V decomposes for every state-only reward (App. B).

    Parameters
    ----------
    chain : from `system.under(policy)`.
    rewards : per-agent tables (S_i,), or (S_i, A_i) constant in the action; or one joint array constant in the
        action. None takes the system's.
    discount : gamma in [0, 1); None takes the system's.

    Returns
    -------
    VDecomposition

    Raises
    ------
    Unsupported : a reward depends on an action.
    InvalidInput : no rewards or discount anywhere, or malformed ones.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.values.v_decomposition import v_decomposition
    >>> chain = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    >>> v_decomposition(chain, [[0, 1], [2, 3]], 0.9).verdict
    'separable'
    """
    given = resolve_rewards(chain, rewards)
    gamma = resolve_discount(chain, discount)
    states = state_chain(chain)
    decomposition = value_decomposition(states, state_rewards(given, chain.system.spaces), gamma)
    gap = max(agentwise_spread(states, i) for i in range(chain.n_agents))
    verdict = "separable" if gap <= tol.SEPARABLE else "entangled" if gap >= tol.ENTANGLED else "undecided"
    return VDecomposition(decomposition, verdict, gap)


def state_rewards(rewards: Rewards, spaces: Spaces) -> Rewards:
    """The same rewards as functions of the local states.

    Raises
    ------
    Unsupported : a reward depends on an action.
    """
    if not rewards.state_only(spaces):
        raise Unsupported(
            "rewards", "a reward that depends on actions", "V decomposes only for rewards of the state: "
            "the policy reads the joint state, so sum_a pi(a|s) r_i(s_i, a_i) is not a function of s_i",
            "Ask for kind='Q', or give rewards of shape (S_i,).",
        )  # fmt: skip
    if rewards.local is None:
        assert rewards.shared is not None
        return Rewards(None, freeze(rewards.shared[:, :1].copy()))
    local = tuple(freeze(r[::a].copy()) for r, a in zip(rewards.local, spaces.n_actions, strict=True))
    return Rewards(local, None)


def agentwise_spread(chain: Chain, i: int) -> float:
    """Largest `TV(p_i(.|x), mean of p_i(.|y) over y_i = x_i)` on the recurrent pairs; 0 iff agent i's `atv` is 0.

    It lies between `atv` and twice `atv`.
    """
    at = np.flatnonzero(chain.recurrent)
    key, law = chain.pairs[at, i], chain.next_law(i)[at]
    counts = np.bincount(key, minlength=chain.sizes[i])
    mean = np.zeros((chain.sizes[i], law.shape[1]))
    np.add.at(mean, key, law)
    mean /= np.maximum(counts, 1)[:, None]
    return float(0.5 * np.abs(law - mean[key]).sum(axis=1).max(initial=0.0))
