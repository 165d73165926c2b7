"""Weakly coupled systems (Def. 7.1): agents move on their own kernels, only the policy couples them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import _check
from .._check import Floats, Ints
from .._types import ArrayLike, Kernels, LabelsLike, RewardsLike
from .ends import Ends
from .limited import Limited
from .reading import Reading, mean_reward
from .resources import Resource, Resources, read
from .spaces import Labels, Spaces, about

if TYPE_CHECKING:
    from ..markov.chain import Chain
    from ..runs.agents import AgentChain


@dataclass(frozen=True, eq=False, repr=False, init=False)
class WeaklyCoupledMDP(Limited):
    """Weakly coupled agents (Def. 7.1), kernels `kernels[i][a, s, t]`: (actions, states, next states) of each agent.

    `P(s'|s,a) = prod_i P_i(s_i'|s_i,a_i)`, with any coupling of the actions.

    Parameters
    ----------
    kernels : per agent (A_i, S_i, S_i), `kernels[i][a, s, t] = P_i(t | s, a)`, or a list with one matrix (S_i, S_i),
        dense or sparse, per action. A row of zeros marks an action that the state does not offer. Data frames are
        aligned by the names of their rows and columns.
    rewards : one table per agent, (S_i, A_i), (S_i,) or (m_i,), or as its kernel with next states, of which the mean is
        taken; or one joint array or a callable (shared reward), see `MultiAgentMDP`. Or None.
    discount : gamma in [0, 1); None: everything but values.
    budget : if given, the joint actions with `sum_i a_i == budget` are the feasible ones.
    resources : constraints that feasible joint actions meet, a list of `(costs, limit, "<=" or "==")`: the costs
        `costs[i][s_i, a_i] >= 0` of all agents sum to at most (exactly) `limit`. `costs[i]` is (S_i, A_i), or (A_i,)
        whatever the state; one list of A numbers serves all agents: `([0, 1], M, "<=")` is "at most M are served".
    labels : display names, see `Labels`.
    terminal, restart : joint states where tasks end and start again, see `MultiAgentMDP`.
    order : axes of every kernel: "ASS" (None, as above) or "SAS", states first.
    normalize : divide every row by its sum, see `MultiAgentMDP`.

    Raises
    ------
    InvalidInput : wrong shapes, rows that are not laws, a budget out of range, limits that no action meets, a bad
        discount, names that do not agree.

    >>> import numpy as np, markov_entanglement as me
    >>> arm = np.full((2, 3, 3), 1 / 3)
    >>> me.WeaklyCoupledMDP([arm, arm], [[0, 1, 2]] * 2, discount=0.9, budget=1).n_agents
    2
    >>> two = me.WeaklyCoupledMDP([arm, arm], [[0, 1, 2]] * 2, discount=0.9, resources=[([0, 1], 1, "<=")])
    >>> two.bind("uniform").law((0, 0)) == {(0, 0): 1 / 3, (0, 1): 1 / 3, (1, 0): 1 / 3}
    True

    Attributes
    ----------
    kernels : per agent (A_i, S_i, S_i); resources : the constraints beside the budget.
    """

    kernels: tuple[Floats, ...]
    resources: tuple[Resource, ...]
    usual = "ASS"

    def __init__(
        self,
        kernels: Kernels,
        rewards: RewardsLike = None,
        *,
        discount: float | None = None,
        budget: int | None = None,
        resources: Any = None,
        labels: LabelsLike = None,
        terminal: ArrayLike | None = None,
        restart: ArrayLike | None = None,
        order: str | None = None,
        normalize: bool = False,
    ) -> None:
        listed = _check.per_agent("kernels", kernels, "one (A_i, S_i, S_i) array per agent")
        reading = Reading(order, self.usual, normalize, labels)
        checked = tuple(reading.local(f"kernels[{i}]", k, i, zero=True) for i, k in enumerate(listed))
        spaces = Spaces(tuple(k.shape[1] for k in checked), tuple(k.shape[0] for k in checked))
        named = Labels.of(reading.labels(spaces.n_agents), spaces)
        ends = Ends.of(terminal, restart, spaces, named)
        if budget is not None:
            budget = _check.integer("budget", budget, low=0, high=sum(a - 1 for a in spaces.n_actions))
        budget, each = read(resources, budget, spaces)
        empty = [(k == 0).all(axis=2).T for k in checked]
        lacking = empty if any(e.any() for e in empty) else []
        limits = (
            None if budget is None and not each and not lacking else Resources(spaces, budget, each, lacking)
        )
        own = {"kernels": checked, "budget": budget, "resources": each, "limits": limits}
        self._hold(spaces, named, ends, rewards, discount, reading, **own)

    def __repr__(self) -> str:
        return f"WeaklyCoupledMDP({self.n_agents:,} agents, {about(self.spaces.joint_states)} joint states)"

    def under(
        self, policy: Any = None, *, initial: Any = None, device: str | None = None
    ) -> Chain | AgentChain:
        """The chain on joint pairs that this system follows under `policy`.

        Parameters
        ----------
        policy, initial : as of every system, see `MultiAgentMDP`.
        device : where all joint states are computed on, where nothing ends: None, this machine by NumPy; or a device of
            torch or CuPy, e.g. "cuda", which takes ten times as many (10^8).

        Raises
        ------
        InvalidInput : a malformed policy, law or device.
        Unsupported : a device for tasks that end or for a chain from `initial`.
        TooLarge : joint states, or pairs of states and actions, that would not fit.
        MissingDependency : a device without torch or CuPy.

        >>> import numpy as np, markov_entanglement as me
        >>> arm = np.full((2, 3, 3), 1 / 3)
        >>> system = me.WeaklyCoupledMDP([arm, arm], [[0, 1, 2]] * 2, discount=0.9, budget=1)
        >>> system.under(me.IndexPolicy([0, 1, 2]))
        Chain(2 agents, 9 joint states, 12 joint pairs)
        """
        if device is None:
            return super().under(policy, initial=initial)
        from ..markov.build import induced_chain

        return induced_chain(self, self.bind(policy), initial, device)

    def _means(self, value: Any, order: str) -> Any:
        if not isinstance(value, list | tuple) or len(value) != self.n_agents:
            return value
        each = enumerate(zip(value, self.kernels, strict=True))
        means = [mean_reward(f"rewards[{i}]", r, k, order, self.labels.state_names(i)) for i, (r, k) in each]
        return [r if m is None else m for r, m in zip(value, means, strict=True)]

    @property
    def decoupled(self) -> bool:
        return self.ends is None

    @property
    def local_kernels(self) -> tuple[Floats, ...]:
        """Per agent (A_i, S_i, S_i)."""
        return self.kernels

    def factors(self, states: Ints, actions: Ints) -> list[tuple[Floats, Ints]]:
        """Of each law of which a joint row is the product: the table (rows, next), and the rows at (T, N), (T, N)."""
        each = enumerate(self.kernels)
        return [(k.reshape(-1, k.shape[2]), actions[:, i] * k.shape[1] + states[:, i]) for i, k in each]
