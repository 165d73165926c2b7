"""Systems whose joint actions are limited by a budget or resources alone, and how policies act on these."""

from __future__ import annotations

import math
from dataclasses import dataclass

import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Bools, Ints
from .bound_policy import BoundPolicy, BudgetIndex, Uniform
from .budget_uniform import BudgetUniform, FreeUniform
from .policy import IndexPolicy
from .resource_index import ResourceIndex
from .resources import Resource, Resources
from .system import System

#: Bytes for each joint action: if all of them fit, one uniform number decides.
_LISTED = 200


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Limited(System):
    """A system in which whatever meets the budget and the resources may be done.

    Attributes
    ----------
    resources : the constraints beside the budget.
    """

    resources: tuple[Resource, ...]

    def uniform(self) -> BoundPolicy:
        if self.limits is None:
            return FreeUniform(self.spaces, self.feasible)
        most = self.limits.at_most
        if most is None and (self.limits.resources or self.budget is None):
            return Uniform(self.spaces, self.feasible)
        if self.budget is not None:
            return self.on_budget(self.budget)
        return BudgetUniform(
            self.spaces, self.feasible, most or 0, self._lists(self.limits.count), at_most=True
        )

    def on_budget(self, budget: int) -> BudgetUniform:
        """All joint actions that sum to a budget alike."""
        pairs = set(self.spaces.n_actions) == {2}
        many = math.comb(self.n_agents, budget) if pairs else self.spaces.joint_actions
        return BudgetUniform(self.spaces, self.feasible, budget, self._lists(many))

    def _lists(self, many: float) -> bool:
        """Whether so many joint actions, of which a uniform policy picks one, would fit in a list."""
        return self.spaces.joint_actions < 2**62 and many <= tol.BYTES // _LISTED

    def indexed(self, policy: IndexPolicy) -> BoundPolicy:
        if self.limits is None:
            return super().indexed(policy)
        if self.ranked and self.budget is not None and not self.limits.resources:
            return BudgetIndex(self.spaces, policy, self.budget)
        return ResourceIndex(self.spaces, policy, self.limits)

    def feasible(self, states: Ints) -> sp.csr_array:
        """Mask (T, joint actions) of the actions that meet the budget and the resources."""
        return (self.limits or Resources(self.spaces, None, ())).mask(states)

    def forbidden(self, states: Ints, actions: Ints) -> tuple[Bools, str, str]:
        if self.limits is None:
            return super().forbidden(states, actions)
        wrong, rule = self.limits.broken(states, actions)
        if self.limits.resources:
            return wrong, rule, "Move that mass to feasible actions, or change the limit or the kernel row."
        return wrong, rule, "Move that mass to actions on the budget, or drop the budget."
