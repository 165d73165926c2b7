"""Local states, actions and pairs of groups of agents, and how they are told from those of the members."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Ints, freeze
from ..errors import InvalidInput, TooLarge
from .spaces import Labels, Spaces, about, ravel, unravel

Groups = tuple[tuple[int, ...], ...]


def grouped(groups: Any, labels: Labels, n_agents: int) -> Groups:
    """Groups of agents, given by their numbers or names, that have each agent once."""
    found = []
    for k, group in enumerate(_check.sequence("groups", groups, "groups of agents")):
        given = _check.sequence(f"groups[{k}]", group, "agents")
        found.append(tuple(_agent(f"groups[{k}][{j}]", x, labels, n_agents) for j, x in enumerate(given)))
        if not given:
            raise InvalidInput(f"groups[{k}]", "no agent", "a group has at least one agent", "Leave it out.")
    listed = [i for group in found for i in group]
    for i in range(n_agents):
        if (many := listed.count(i)) != 1:
            got = f"{labels.agent(i)} {many} times" if many else f"no group with {labels.agent(i)}"
            remedy = "Leave it in one of them." if many else f"Add ({i},) to leave it as it is."
            raise InvalidInput("groups", got, "every agent is in exactly one group", remedy)
    return tuple(found)


def _agent(name: str, value: Any, labels: Labels, n_agents: int) -> int:
    if not isinstance(value, str):
        return _check.integer(name, value, low=0, high=n_agents - 1)
    names = [labels.agent(i) for i in range(n_agents)]
    if value not in names:
        raise InvalidInput.unknown(name, value, names, "agents are")
    return names.index(value)


@dataclass(frozen=True, eq=False)
class MergedSpaces(Spaces):
    """The spaces of groups; joint indices are those of `base`.

    Attributes
    ----------
    states, actions : of each group the combinations that its local states and actions stand for, ascending row-major
        numbers of those of its members; of one agent all.
    """

    base: Spaces
    groups: Groups
    states: tuple[Ints, ...]
    actions: tuple[Ints, ...]

    @classmethod
    def of(
        cls, base: Spaces, groups: Groups, states: Sequence[Ints], actions: Sequence[Ints]
    ) -> MergedSpaces:
        """The spaces of such groups."""
        sizes = [tuple(map(len, each)) for each in (states, actions)]
        for group, s, a in zip(groups, *sizes, strict=True):
            if s * a * 8 > tol.BYTES:
                got, most = f"{about(s * a)} local pairs of agents {group}", f"{tol.BYTES / 8:.3g}"
                raise TooLarge("groups", got, most, "Make smaller groups.")
        return cls(sizes[0], sizes[1], base, groups, tuple(map(freeze, states)), tuple(map(freeze, actions)))

    @property
    def joint_states(self) -> int:
        return self.base.joint_states

    @property
    def joint_actions(self) -> int:
        return self.base.joint_actions

    @cached_property
    def _alone(self) -> tuple[Ints, Ints]:
        """Groups of one agent, and these agents."""
        at = np.array([k for k, g in enumerate(self.groups) if len(g) == 1], dtype=np.int64)
        return at, np.array([self.groups[k][0] for k in at], dtype=np.int64)

    @cached_property
    def _joined(self) -> list[int]:
        """The other groups."""
        return [k for k, g in enumerate(self.groups) if len(g) > 1]

    def _together(self, locals_: Ints, sizes: Sequence[int], kept: Sequence[Ints]) -> Ints:
        """(T, G) places among `kept` of local states or actions (T, N); -1 where a combination is none of them."""
        out = np.empty((len(locals_), len(self.groups)), dtype=np.int64)
        out[:, self._alone[0]] = locals_[:, self._alone[1]]
        for k in self._joined:
            g, known = list(self.groups[k]), kept[k]
            asked = combined(locals_[:, g], [sizes[i] for i in g])
            place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
            out[:, k] = np.where(known[place] == asked, place, -1)
        return out

    def _apart(self, merged: Ints, sizes: Sequence[int], kept: Sequence[Ints]) -> Ints:
        """The local states or actions (T, N) of those of the groups (T, G)."""
        out = np.empty((len(merged), self.base.n_agents), dtype=np.int64)
        out[:, self._alone[1]] = merged[:, self._alone[0]]
        for k in self._joined:
            g = list(self.groups[k])
            out[:, g] = unravel(kept[k][merged[:, k]], [sizes[i] for i in g])
        return out

    def states_together(self, states: Ints) -> Ints:
        """(T, G) local states of the groups at those (T, N) of the agents; -1: it does not occur."""
        return self._together(states, self.base.n_states, self.states)

    def actions_together(self, actions: Ints) -> Ints:
        """(T, G) actions of the groups at those (T, N) of the agents; -1: it does not occur."""
        return self._together(actions, self.base.n_actions, self.actions)

    def pairs_together(self, pairs: Ints) -> Ints:
        """(T, G) local pairs of the groups at those (T, N) of the agents; -1: it does not occur."""
        states, actions = self.base.split(pairs)
        s, a = self.states_together(states), self.actions_together(actions)
        return np.where((s < 0) | (a < 0), -1, self.local_pairs(s, a))

    def pairs_apart(self, pairs: Ints) -> Ints:
        """(T, N) local pairs of the agents."""
        states, actions = self.split(pairs)
        return self.base.local_pairs(self.states_apart(states), self.actions_apart(actions))

    def states_apart(self, states: Ints) -> Ints:
        """(T, N) local states of the agents."""
        return self._apart(states, self.base.n_states, self.states)

    def actions_apart(self, actions: Ints) -> Ints:
        """(T, N) local actions of the agents."""
        return self._apart(actions, self.base.n_actions, self.actions)

    def members(self, k: int) -> tuple[Ints, Ints]:
        """(S_k, n) local states and (A_k, n) actions of the members of group k at each of its own."""
        g, both = self.groups[k], ((self.states, self.base.n_states), (self.actions, self.base.n_actions))
        states, actions = (unravel(kept[k], [sizes[i] for i in g]) for kept, sizes in both)
        return states, actions

    def member_pairs(self, k: int) -> Ints:
        """(m_k, n) local pairs of the members of group k at each of its own."""
        states, actions = self.members(k)
        wide = np.array([self.base.n_actions[i] for i in self.groups[k]], dtype=np.int64)
        return (states[:, None] * wide + actions).reshape(-1, len(wide))

    def state_index(self, states: Ints, name: str = "joint state") -> Ints:
        return self.base.state_index(self.states_apart(states), name)

    def states_at(self, index: Ints) -> Ints:
        return self.states_together(self.base.states_at(index))

    def asked(self, states: Ints) -> tuple[Ints, ...]:
        return self.base.asked(self.states_apart(states))

    def told(self, actions: Ints) -> Ints:
        return self.base.told(self.actions_apart(actions))

    def action_index(self, actions: Ints) -> Ints:
        return self.base.action_index(self.actions_apart(actions))

    def actions_at(self, index: Ints) -> Ints:
        return self.actions_together(self.base.actions_at(index))

    @property
    def first(self) -> tuple[int, ...]:
        return self._one(self.base.first)

    @property
    def last(self) -> tuple[int, ...]:
        return self._one(self.base.last)

    def _one(self, state: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.states_together(np.array([state], dtype=np.int64))[0].tolist())


def combined(locals_: Ints, sizes: Sequence[int]) -> Ints:
    """(T,) row-major numbers of the local states or actions (T, n) of the members of a group."""
    if math.prod(sizes) >= 2**62:
        raise TooLarge(
            "groups", f"{about(math.prod(sizes))} combinations in one", "2^62", "Make smaller groups."
        )
    return ravel(locals_, sizes)
