"""What every system offers to the engines."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, Unsupported
from ..laws.source import Model
from .bound_policy import BoundPolicy, Uniform, bind
from .described import policy_described
from .ends import Ends, one_state
from .policy import IndexPolicy, NeighbourPolicy
from .reading import Reading
from .resources import Resources
from .rewards import Rewards
from .spaces import Labels, Spaces
from .words import as_policy

if TYPE_CHECKING:
    from ..markov.chain import Chain
    from ..runs.agents import AgentChain
    from .nets import Net


@dataclass(frozen=True, eq=False, repr=False, init=False)
class System(Model):
    """A multi-agent system: spaces, rewards, discount, display names, and which actions are feasible."""

    spaces: Spaces
    rewards: Rewards | None
    discount: float | None
    labels: Labels
    ends: Ends | None
    budget: int | None
    reading: str
    rescaled: float | None
    #: What joint actions may use together; None without a budget or resources.
    limits: Resources | None
    #: True when agents choose actions, False for a chain that is given as such.
    acts: ClassVar[bool] = True
    #: True where there are only steps, `advance` and `begin`, and no laws (`me.Simulator`).
    only_steps: ClassVar[bool] = False
    #: True where `advance` and `begin` move it, not the loops over kernels of agents' own or of all together.
    moves_itself: ClassVar[bool] = False
    #: Order of the axes of laws where nothing is said: actions A, states S.
    usual: ClassVar[str] = "SAS"

    def _hold(
        self, spaces: Spaces, labels: Labels, ends: Ends | None, rewards: Any, discount: Any, reading: Reading,
        **own: Any,
    ) -> None:  # fmt: skip
        """Check and hold what every system has, beside what is its own; rewards and discount may be lacking."""
        shared = {"spaces": spaces, "ends": ends, "budget": None, "limits": None, "labels": labels}
        found = {"reading": reading.sentence(), "rescaled": reading.shift}
        found["discount"] = None if discount is None else _check.discount(discount)
        for name, value in (shared | found | own).items():
            object.__setattr__(self, name, value)
        object.__setattr__(
            self, "rewards", None if rewards is None else self.read_rewards(rewards, reading.order)
        )

    def read_rewards(self, value: Any, order: str | None = None) -> Rewards:
        """Rewards of what the user gave; those on next states become their means over next states."""
        return Rewards.of(self._means(value, order or self.usual), self.spaces, self.labels)

    def _means(self, value: Any, order: str) -> Any:
        """The rewards, those on next states as means where laws are known."""
        return value

    @property
    def n_agents(self) -> int:
        """Number of agents N."""
        return self.spaces.n_agents

    def local_names(self, i: int) -> tuple[list[str], list[str]]:
        """Display names of the local states and of the actions of agent i; a single action without a label has none."""
        labels, a = self.labels, self.spaces.n_actions[i]
        states = [labels.state(i, s) for s in range(self.spaces.n_states[i])]
        return states, [labels.action(i, k) if a > 1 or labels.actions else "" for k in range(a)]

    def signal_of(self, i: int) -> Ints | None:
        """(m_i,) value of the signal at each local pair of agent i; None where there is no signal."""
        return None

    @property
    def ranked(self) -> bool:
        """True when exactly `budget` agents take the second of two actions, and nothing else is asked."""
        alone = self.limits is not None and not self.limits.resources
        return alone and set(self.spaces.n_actions) == {2}

    @property
    def decoupled(self) -> bool:
        """True when agents move on kernels of their own (Def. 7.1) and nothing ends: only the policy couples them."""
        return False

    def separable_under(self, policy: BoundPolicy | None) -> str:
        """Why agents are agent-wise separable under a policy whatever the numbers, in a sentence; or ""."""
        if not self.decoupled or policy is None or not policy.own:
            return ""
        return "Proved: agents move on kernels of their own, and what one does depends on no other's state."

    @property
    def local_kernels(self) -> tuple[Floats, ...] | None:
        """Per agent (A_i, S_i, S_i), where each moves on a kernel of its own; else None."""
        return None

    @property
    def own_laws(self) -> tuple[Floats, ...] | None:
        """Per agent (A_i, S_i, S_i), where the law of its next local state reads its own pair alone, though agents may
        move together; else None."""
        return self.local_kernels

    @property
    def net(self) -> Net | None:
        """How the next state of each agent depends on the local pairs of its neighbours, where it does; else None."""
        return None

    def advance(
        self, states: Ints, actions: Ints, rng: np.random.Generator
    ) -> tuple[Ints, Floats | None, Bools]:
        """One step of joint states and actions (R, N) of what moves itself: next states (R, N), rewards (R, K) if it
        pays any beside its tables, and (R,) whether the task ended."""
        raise NotImplementedError

    def begin(self, count: int, rng: np.random.Generator) -> Ints:
        """(R, N) first joint states of what moves itself: every agent anywhere."""
        return rng.integers(0, np.array(self.spaces.n_states), (count, self.n_agents))

    @abstractmethod
    def feasible(self, states: Ints) -> sp.csr_array:
        """Feasible joint actions of local states (T, N): a sparse mask (T, joint actions)."""

    def forbidden(self, states: Ints, actions: Ints) -> tuple[Bools, str, str]:
        """Which of the local states and actions (T, N) are infeasible, (T,); the rule that says so, and the remedy."""
        return np.zeros(len(states), dtype=np.bool_), "", ""

    def check_actions(self, states: Ints, actions: Ints) -> None:
        """Raise `InvalidInput` where an action of the local states and actions (T, N) is infeasible."""
        wrong, rule, remedy = self.forbidden(states, actions)
        if wrong.any():
            at = int(wrong.argmax())
            action, state = tuple(map(int, actions[at])), self.spaces.shown(states[at])
            raise InvalidInput("policy", f"action {action} in {state}", rule, remedy)

    def uniform(self) -> BoundPolicy:
        """Every feasible joint action with the same probability."""
        return Uniform(self.spaces, self.feasible)

    def indexed(self, policy: IndexPolicy) -> BoundPolicy:
        """The agents of highest priority are served."""
        rule = "an index policy serves until a budget or a resource is used"
        remedy = "Give the system a budget or resources, or use another policy."
        raise Unsupported("policy", "IndexPolicy on a system without a budget", rule, remedy)

    def neighbourly(self, policy: NeighbourPolicy) -> BoundPolicy:
        """Each agent acts on the states of its neighbours."""
        rule, remedy = "it reads neighbour sets", "Use me.FactoredMDP, or another policy."
        raise Unsupported("policy", "NeighbourPolicy on a system without neighbours", rule, remedy)

    def bind(self, policy: Any) -> BoundPolicy:
        """The policy in the form that engines see."""
        given = as_policy(policy, self)
        bound = bind(given, self)
        if bound is not given:
            bound.told = policy_described(given)
        return bound

    def whole_state(self, name: str, value: Any) -> Any:
        """A joint state as the user names it by its local states; whatever else it is stays as it is."""
        return value

    def _starts(self, initial: Any) -> tuple[Ints, Floats] | None:
        """One joint state as a law over joint states; None of anything else."""
        named = None if initial is None else self.labels.numbered("initial", initial)
        if named is None or _check.shape_of("initial", named) != (self.n_agents,):
            return None
        return one_state("initial", named, self.spaces)[None], np.ones(1)

    def running(self, policy: Any = None) -> Chain | AgentChain:
        from ..runs.agents import AgentChain

        if self._only_run or not self.acts:
            return self.under(policy)
        return AgentChain(self, self.bind(policy))

    @property
    def _only_run(self) -> bool:
        """Whether it is always stepped: it has no laws, or agents on their own have too many joint states."""
        from ..markov.build import listable

        own = self.moves_itself or (self.local_kernels is not None and self.ends is None)
        return self.only_steps or (own and not listable(self))

    def under(self, policy: Any = None, *, initial: Any = None) -> Chain | AgentChain:
        """The chain on joint pairs that this system follows under `policy`.

        Parameters
        ----------
        policy : an array (joint states, joint actions); a callable, state tuple -> {action tuple: probability};
            a policy object (`UniformPolicy()`, "index": `IndexPolicy(priority)`, "table": `TablePolicy(table)`,
            "local": `LocalPolicy(tables)`, "neighbour": `NeighbourPolicy(tables)`); or a word: "uniform",
            "optimal" and, with a budget, "whittle", "lp", "myopic", "lp-update".
        initial : None (every joint state), one joint state as a tuple, or a law over joint states.

        Returns
        -------
        Chain : the closure of the starts; transient pairs included, with occupancy 0. Where agents move on kernels of
            their own and all joint states are too many to list, or to plan in, an `AgentChain`, whose questions are
            answered by runs.
        """
        from ..markov.build import induced_chain

        if policy is not None and not self.acts:
            rule = "a chain has its policy inside"
            raise Unsupported("policy", "a policy beside a chain", rule, "Leave it out.")
        if policy is not None:
            policy = self.bind(policy)
        if self._only_run or (policy is not None and policy.dear(self.spaces.joint_states)):
            starts = self._starts(initial)
            if initial is None or starts is not None:
                from ..runs.agents import AgentChain

                return AgentChain(self, self.bind("uniform" if policy is None else policy), starts)
        return induced_chain(self, policy, initial)
