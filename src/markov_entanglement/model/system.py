"""What every system offers to the engines."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import scipy.sparse as sp

from .._check import Ints
from .base import Model
from .bound_policy import BoundPolicy, bind
from .rewards import Rewards
from .spaces import Labels, Spaces
from .words import as_policy

if TYPE_CHECKING:
    from ..markov.chain import Chain


class System(Model):
    """A multi-agent system: spaces, rewards, discount, display names, and which actions are feasible."""

    spaces: Spaces
    rewards: Rewards | None
    discount: float | None
    labels: Labels

    @property
    def n_agents(self) -> int:
        """Number of agents N."""
        return self.spaces.n_agents

    @property
    def acts(self) -> bool:
        """True when agents choose actions, False for a chain that is given as such."""
        return True

    @abstractmethod
    def feasible(self, states: Ints) -> sp.csr_array:
        """Feasible joint actions of local states (T, N): a sparse mask (T, joint actions)."""

    @abstractmethod
    def check_actions(self, states: Ints, table: sp.csr_array) -> None:
        """Raise `InvalidInput` where the policy `table` puts mass on an infeasible action."""

    def bind(self, policy: Any) -> BoundPolicy:
        """The policy in the form that engines see."""
        return bind(as_policy(policy, self), self)

    def under(self, policy: Any = None, *, initial: Any = None) -> Chain:
        """The chain on joint pairs that this system follows under `policy`.

        Parameters
        ----------
        policy : an array (joint states, joint actions); a callable, state tuple -> {action tuple: probability};
            a policy object; or a word: "uniform", "optimal" and, with a budget, "whittle", "lp", "myopic".
        initial : None (every joint state), one joint state as a tuple, or a law over joint states.

        Returns
        -------
        Chain : the closure of the starts; transient pairs included, with occupancy 0.
        """
        from ..markov.build import induced_chain

        return induced_chain(self, policy, initial)
