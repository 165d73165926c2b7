"""Weakly coupled systems (Def. 7.1): agents move on their own kernels, only the policy couples them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, TooLarge
from .bound_policy import BoundPolicy
from .budget_uniform import BudgetUniform, FreeUniform
from .ends import Ends
from .spaces import AT_SCALE, Spaces, about, unravel
from .system import System

#: Bytes that one listed joint action takes while it is listed.
_ACTION = 200


@dataclass(frozen=True, eq=False, repr=False, init=False)
class WeaklyCoupledMDP(System):
    """`P(s'|s,a) = prod_i P_i(s_i'|s_i,a_i)` (Def. 7.1), with any coupling of the actions.

    Parameters
    ----------
    kernels : per agent (A_i, S_i, S_i), `kernels[i][a, s, t] = P_i(t | s, a)`.
    rewards : one table per agent, (S_i, A_i), (S_i,) or (m_i,); or one joint array (shared reward).
    discount : gamma in [0, 1).
    budget : if given, the joint actions with `sum_i a_i == budget` are the feasible ones.
    labels : display names, see `Labels`.
    terminal, restart : joint states where tasks end and start again, see `MultiAgentMDP`.

    Raises
    ------
    InvalidInput : wrong shapes, rows that are not laws, a budget out of range, a bad discount.

    >>> import numpy as np, markov_entanglement as me
    >>> arm = np.full((2, 3, 3), 1 / 3)
    >>> me.WeaklyCoupledMDP([arm, arm], [[0, 1, 2]] * 2, discount=0.9, budget=1).n_agents
    2
    """

    kernels: tuple[Floats, ...]

    def __init__(
        self,
        kernels: Sequence[Any],
        rewards: Any,
        *,
        discount: float,
        budget: int | None = None,
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
        self._hold(spaces, ends, rewards, discount, labels, kernels=checked, budget=budget)

    def __repr__(self) -> str:
        return f"WeaklyCoupledMDP({self.n_agents:,} agents, {about(self.spaces.joint_states)} joint states)"

    @property
    def decoupled(self) -> bool:
        return self.ends is None

    def uniform(self) -> BoundPolicy:
        if self.budget is None:
            return FreeUniform(self.spaces, self.feasible)
        return BudgetUniform(self.spaces, self.feasible, self.budget, self._listed <= self._limit)

    @property
    def _listed(self) -> int:
        """Joint actions that `feasible_actions` looks at."""
        if self.budget is None or any(a != 2 for a in self.spaces.n_actions):
            return self.spaces.joint_actions
        return math.comb(self.n_agents, self.budget)

    @property
    def _limit(self) -> int:
        """How many of them are looked at at most; none where a joint index would overflow."""
        return tol.BYTES // _ACTION if self.spaces.joint_actions < 2**62 else 0

    @property
    def local_kernels(self) -> tuple[Floats, ...]:
        """Per agent (A_i, S_i, S_i)."""
        return self.kernels

    def feasible_actions(self) -> Ints:
        """Joint action indices that meet the budget, ascending."""
        if self._listed > self._limit:
            raise TooLarge("feasible joint actions", f"{about(self._listed)} of {about(self.spaces.joint_actions)}",
                           f"{tol.BYTES / _ACTION:.3g}", AT_SCALE)  # fmt: skip
        sizes = self.spaces.n_actions
        if self.budget is None or any(a != 2 for a in sizes):
            index = np.arange(self.spaces.joint_actions, dtype=np.int64)
            if self.budget is None:
                return index
            return index[unravel(index, sizes).sum(axis=1) == self.budget]
        bits = [1 << i for i in range(self.n_agents)]
        chosen = map(sum, itertools.combinations(bits, self.budget))
        return np.sort(np.fromiter(chosen, dtype=np.int64, count=self._listed))

    def feasible(self, states: Ints) -> sp.csr_array:
        """Mask (T, joint actions): the same actions, those that meet the budget, in every state."""
        actions = self.feasible_actions()
        if len(states) * len(actions) * 16 > tol.BYTES:
            raise TooLarge("uniform policy", f"{len(states)} states x {len(actions)} joint actions",
                           f"{tol.BYTES / 16:.3g} pairs", "Use a policy with fewer supported actions.")  # fmt: skip
        indptr = np.arange(len(states) + 1, dtype=np.int64) * len(actions)
        data = np.ones(len(states) * len(actions))
        indices = np.tile(actions, len(states))
        return sp.csr_array((data, indices, indptr), shape=(len(states), self.spaces.joint_actions))

    def forbidden(self, states: Ints, actions: Ints) -> tuple[Bools, str, str]:
        if self.budget is None:
            return super().forbidden(states, actions)
        rule = f"the budget is {self.budget}, so actions must sum to it"
        remedy = "Move that mass to actions on the budget, or drop the budget."
        return actions.sum(axis=1) != self.budget, rule, remedy
