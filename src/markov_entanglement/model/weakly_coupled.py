"""Weakly coupled systems (Def. 7.1): agents move on their own kernels, only the policy couples them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput
from .bound_policy import BoundPolicy, BudgetIndex, Uniform
from .budget_uniform import BudgetUniform, FreeUniform
from .ends import Ends
from .policy import IndexPolicy
from .resource_index import ResourceIndex
from .resources import Resource, Resources, read
from .spaces import Spaces, about
from .system import System

#: Bytes for each joint action: if all of them fit, one uniform number decides.
_LISTED = 200


@dataclass(frozen=True, eq=False, repr=False, init=False)
class WeaklyCoupledMDP(System):
    """`P(s'|s,a) = prod_i P_i(s_i'|s_i,a_i)` (Def. 7.1), with any coupling of the actions.

    Parameters
    ----------
    kernels : per agent (A_i, S_i, S_i), `kernels[i][a, s, t] = P_i(t | s, a)`.
    rewards : one table per agent, (S_i, A_i), (S_i,) or (m_i,); or one joint array (shared reward).
    discount : gamma in [0, 1).
    budget : if given, the joint actions with `sum_i a_i == budget` are the feasible ones.
    resources : constraints that feasible joint actions meet, a list of `(costs, limit, "<=" or "==")`: the costs
        `costs[i][s_i, a_i] >= 0` of all agents sum to at most (exactly) `limit`. `costs[i]` is (S_i, A_i), or (A_i,)
        whatever the state; one list of A numbers serves all agents: `([0, 1], M, "<=")` is "at most M are served".
    labels : display names, see `Labels`.
    terminal, restart : joint states where tasks end and start again, see `MultiAgentMDP`.

    Raises
    ------
    InvalidInput : wrong shapes, rows that are not laws, a budget out of range, limits that no action meets, a bad
        discount.

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

    def __init__(
        self,
        kernels: Sequence[Any],
        rewards: Any,
        *,
        discount: float,
        budget: int | None = None,
        resources: Any = None,
        labels: Any = None,
        terminal: Any = None,
        restart: Any = None,
    ) -> None:
        if not isinstance(kernels, Sequence | np.ndarray) or len(kernels) == 0:
            raise InvalidInput("kernels", repr(kernels)[:60], "one (A_i, S_i, S_i) array per agent",
                               "Pass a list.")  # fmt: skip
        named = [(f"kernels[{i}]", k) for i, k in enumerate(kernels)]
        checked = tuple(_check.probabilities(name, k, shape=(None, None, None)) for name, k in named)
        for i, k in enumerate(checked):
            if k.shape[1] != k.shape[2]:
                raise InvalidInput(f"kernels[{i}]", f"shape {k.shape}", "it must be (A_i, S_i, S_i)",
                                   "Actions first, then from-state, then to-state.")  # fmt: skip
        spaces = Spaces(tuple(k.shape[1] for k in checked), tuple(k.shape[0] for k in checked))
        ends = Ends.of(terminal, restart, spaces)
        if budget is not None:
            budget = _check.integer("budget", budget, low=0, high=sum(a - 1 for a in spaces.n_actions))
        budget, each = read(resources, budget, spaces)
        limits = None if budget is None and not each else Resources(spaces, budget, each)
        own = {"kernels": checked, "budget": budget, "resources": each, "limits": limits}
        self._hold(spaces, ends, rewards, discount, labels, **own)

    def __repr__(self) -> str:
        return f"WeaklyCoupledMDP({self.n_agents} agents, {about(self.spaces.joint_states)} joint states)"

    @property
    def decoupled(self) -> bool:
        return self.ends is None

    def uniform(self) -> BoundPolicy:
        if self.limits is None:
            return FreeUniform(self.spaces, self.feasible)
        most = self.limits.at_most
        if most is None and (self.resources or self.budget is None):
            return Uniform(self.spaces, self.feasible)
        small = self.spaces.joint_actions < 2**62 and self._listed <= tol.BYTES // _LISTED
        if self.budget is not None:
            return BudgetUniform(self.spaces, self.feasible, self.budget, small)
        return BudgetUniform(self.spaces, self.feasible, most or 0, small, at_most=True)

    @property
    def _listed(self) -> float:
        """Joint actions of which a uniform policy picks one."""
        if self.budget is None and self.limits is not None:
            return self.limits.count
        pairs = set(self.spaces.n_actions) == {2}
        return math.comb(self.n_agents, self.budget or 0) if pairs else self.spaces.joint_actions

    def indexed(self, policy: IndexPolicy) -> BoundPolicy:
        if self.limits is None:
            return super().indexed(policy)
        if self.ranked and self.budget is not None:
            return BudgetIndex(self.spaces, policy, self.budget)
        return ResourceIndex(self.spaces, policy, self.limits)

    @property
    def local_kernels(self) -> tuple[Floats, ...]:
        """Per agent (A_i, S_i, S_i)."""
        return self.kernels

    def feasible(self, states: Ints) -> sp.csr_array:
        """Mask (T, joint actions) of the actions that meet the budget and the resources."""
        return (self.limits or Resources(self.spaces, None, ())).mask(states)

    def forbidden(self, states: Ints, actions: Ints) -> tuple[Bools, str, str]:
        if self.limits is None:
            return super().forbidden(states, actions)
        wrong, rule = self.limits.broken(states, actions)
        if self.resources:
            return wrong, rule, "Move that mass to feasible actions, or change the limit."
        return wrong, rule, "Move that mass to actions on the budget, or drop the budget."
