"""Several agents as one: a system whose agents are groups of those of another.

A group's local state lists those of its members in the order given, the first slowest, and so does its action; its pair
is `s A_g + a`, as of every agent. Joint states and joint actions keep the numbers that they have in the system below,
so that kernels, ends, and rewards of all agents together stay as they are.
"""

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
from .._check import Bools, Floats, Ints, freeze
from ..errors import InvalidInput, TooLarge, Unsupported
from .bound_policy import BoundPolicy
from .rewards import Rewards
from .spaces import Labels, Spaces, about, ravel, unravel
from .system import System

#: Local states of a group up to which they have names.
_NAMED = 4096
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
    """The spaces of groups; joint indices are those of `base`."""

    base: Spaces
    groups: Groups

    @classmethod
    def of(cls, base: Spaces, groups: Groups) -> MergedSpaces:
        """The spaces of such groups."""
        for group in groups:
            size = math.prod(base.pair_sizes[i] for i in group)
            if size * 8 > tol.BYTES:
                got, most = f"{about(size)} local pairs of agents {group}", f"{tol.BYTES / 8:.3g}"
                raise TooLarge("groups", got, most, "Make smaller groups.")
        states, actions = (
            tuple(math.prod(each[i] for i in g) for g in groups) for each in (base.n_states, base.n_actions)
        )
        return cls(states, actions, base, groups)

    @property
    def joint_states(self) -> int:
        return self.base.joint_states

    def together(self, locals_: Ints, sizes: Sequence[int]) -> Ints:
        """(T, G) of local states or actions (T, N) of agents with so many of them."""
        each = [ravel(locals_[:, list(g)], [sizes[i] for i in g]) for g in self.groups]
        return np.stack(each, axis=1)

    def apart(self, merged: Ints, sizes: Sequence[int]) -> Ints:
        """The local states or actions (T, N) of those of the groups (T, G)."""
        out = np.empty((len(merged), self.base.n_agents), dtype=np.int64)
        for k, g in enumerate(self.groups):
            out[:, list(g)] = unravel(merged[:, k], [sizes[i] for i in g])
        return out

    def states_apart(self, states: Ints) -> Ints:
        """(T, N) local states of the agents."""
        return self.apart(states, self.base.n_states)

    def actions_apart(self, actions: Ints) -> Ints:
        """(T, N) local actions of the agents."""
        return self.apart(actions, self.base.n_actions)

    def state_index(self, states: Ints, name: str = "joint state") -> Ints:
        return self.base.state_index(self.states_apart(states), name)

    def states_at(self, index: Ints) -> Ints:
        return self.together(self.base.states_at(index), self.base.n_states)

    def action_index(self, actions: Ints) -> Ints:
        return self.base.action_index(self.actions_apart(actions))

    def actions_at(self, index: Ints) -> Ints:
        return self.together(self.base.actions_at(index), self.base.n_actions)

    @property
    def first(self) -> tuple[int, ...]:
        return self._one(self.base.first)

    @property
    def last(self) -> tuple[int, ...]:
        return self._one(self.base.last)

    def _one(self, state: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self.together(np.array([state], dtype=np.int64), self.base.n_states)[0].tolist())


class MergedPolicy(BoundPolicy):
    """A bound policy as its groups see it."""

    def __init__(self, base: BoundPolicy, spaces: MergedSpaces) -> None:
        super().__init__(spaces)
        self.base, self.merged, self.told = base, spaces, base.told

    def table(self, states: Ints) -> sp.csr_array:
        return self.base.table(self.merged.states_apart(states))

    def support(self, states: Ints) -> tuple[Ints, Ints, Floats]:
        row, actions, p = self.base.support(self.merged.states_apart(states))
        return row, self.merged.together(actions, self.merged.base.n_actions), p


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Merged(System):
    """A system whose agents are groups of those of `base`; it has the policy that was merged, and takes no other."""

    base: System
    groups: Groups
    spaces: MergedSpaces

    def __init__(self, base: System, groups: Groups) -> None:
        spaces = MergedSpaces.of(base.spaces, groups)
        own = {
            "base": base, "groups": groups, "spaces": spaces, "labels": _joined(base.labels, spaces), "ends": base.ends,
            "discount": base.discount, "budget": None, "limits": None, "reading": base.reading,
            "rescaled": base.rescaled, "acts": base.acts, "only_steps": base.only_steps,
        }  # fmt: skip
        for name, value in own.items():
            object.__setattr__(self, name, value)
        rewards = None if base.rewards is None else self.summed(base.rewards)
        object.__setattr__(self, "rewards", rewards)

    def __repr__(self) -> str:
        return f"{self.base!r} in {len(self.groups)} groups"

    def summed(self, rewards: Rewards) -> Rewards:
        """Rewards of the agents as rewards of the groups."""
        if rewards.local is None:
            return rewards
        n_states, n_actions, out = self.base.spaces.n_states, self.base.spaces.n_actions, []
        for g in self.groups:
            total = np.zeros([n_states[i] for i in g] + [n_actions[i] for i in g])
            for k, i in enumerate(g):
                shape = np.ones(2 * len(g), dtype=np.int64)
                shape[[k, len(g) + k]] = n_states[i], n_actions[i]
                total += rewards.local[i].reshape(shape)
            out.append(freeze(total.reshape(-1)))
        return Rewards(tuple(out), None)

    def feasible(self, states: Ints) -> sp.csr_array:
        return self.base.feasible(self.spaces.states_apart(states))

    def forbidden(self, states: Ints, actions: Ints) -> tuple[Bools, str, str]:
        return self.base.forbidden(self.spaces.states_apart(states), self.spaces.actions_apart(actions))

    def bind(self, policy: Any) -> BoundPolicy:
        rule = "agents that were merged keep the policy that they had"
        raise Unsupported(
            "policy", "another policy", rule, "Merge the chain of it: system.under(policy).merge(groups)."
        )


def _joined(labels: Labels, spaces: MergedSpaces) -> Labels:
    """Names of the groups, their states and actions: those of the members, joined."""
    names = tuple(" + ".join(labels.agent(i) for i in g) for g in spaces.groups)
    states, actions = (
        tuple(_products(name, given, sizes, g) for g in spaces.groups)
        for name, given, sizes in (
            (labels.state, labels.states, spaces.base.n_states),
            (labels.action, labels.actions, spaces.base.n_actions),
        )
    )
    return Labels(names, states if any(states) else (), actions if any(actions) else ())


def _products(name: Any, given: Any, sizes: Sequence[int], group: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the joint states or actions of a group; none where numbers say it, or nothing is to be said."""
    many = math.prod(sizes[i] for i in group)
    if many > _NAMED or (not given and (len(group) == 1 or many == 1)):
        return ()
    each = ([name(i, k) for k in range(sizes[i])] for i in group)
    return tuple(", ".join(x) for x in itertools.product(*each))
