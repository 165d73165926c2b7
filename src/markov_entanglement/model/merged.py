"""Several agents as one: a system whose agents are groups of those of another.

A group's local state lists those of its members in the order given, the first slowest, and so does its action; its pair
is `s A_g + a`, as of every agent. Only combinations that occur are numbered, where it is known which do. Joint states
and joint actions keep the numbers that they have in the system below, so that kernels, ends, and rewards of all agents
together stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._check import Bools, Floats, Ints, freeze
from ..errors import Unsupported
from .bound_policy import BoundPolicy
from .merged_spaces import Groups, MergedSpaces
from .rewards import Rewards
from .spaces import Labels
from .system import System

#: Local states of a group up to which they have names.
_NAMED = 4096


@dataclass(frozen=True, eq=False)
class Summed(Rewards):
    """Local rewards of groups.

    Attributes
    ----------
    spaces : of the groups; own : rewards of the agents.
    """

    spaces: MergedSpaces
    own: Rewards

    @property
    def members(self) -> Rewards:  # type: ignore[override]
        return self.own

    def less(self, plain: tuple[Floats, ...], constants: Floats) -> Rewards:
        assert self.own.local is not None
        each = np.zeros(self.spaces.base.n_agents)
        each[[g[0] for g in self.spaces.groups]] = constants
        own = tuple(r - c for r, c in zip(self.own.local, each, strict=True))
        return Summed(plain, None, self.spaces, self.own.less(own, each))


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Merged(System):
    """A system whose agents are groups of those of `base`; it has the policy that was merged, and takes no other."""

    base: System
    groups: Groups
    spaces: MergedSpaces

    def __init__(self, base: System, spaces: MergedSpaces) -> None:
        groups = spaces.groups
        own = {
            "base": base, "groups": groups, "spaces": spaces, "labels": _joined(base.labels, spaces), "ends": base.ends,
            "discount": base.discount, "budget": None, "limits": base.limits, "reading": base.reading,
            "rescaled": base.rescaled, "acts": base.acts, "only_steps": base.only_steps,
            "moves_itself": base.moves_itself or base.local_kernels is None,
        }  # fmt: skip
        for name, value in own.items():
            object.__setattr__(self, name, value)
        rewards = None if base.rewards is None else self.summed(base.rewards)
        object.__setattr__(self, "rewards", rewards)

    def __repr__(self) -> str:
        return f"{self.base!r} in {len(self.groups)} groups"

    @property
    def ranked(self) -> bool:
        """False: what a group does may count for several."""
        return False

    @cached_property
    def own_laws(self) -> tuple[Floats, ...] | None:
        """Products of the members' kernels, where these are their own and all combinations are numbered."""
        kernels, base = self.base.local_kernels, self.base.spaces
        whole = [
            math.prod(each[i] for i in g) for each in (base.n_states, base.n_actions) for g in self.groups
        ]
        if kernels is None or whole != [*self.spaces.n_states, *self.spaces.n_actions]:
            return None
        return tuple(reduce(_kron, (kernels[i] for i in g)) for g in self.groups)

    def summed(self, rewards: Rewards) -> Rewards:
        """Rewards of the agents as rewards of the groups."""
        if rewards.local is None:
            return rewards
        out = []
        for k, g in enumerate(self.groups):
            each = zip(g, self.spaces.member_pairs(k).T, strict=True)
            out.append(freeze(np.asarray(sum(rewards.local[i][x] for i, x in each))))
        return Summed(tuple(out), None, self.spaces, rewards)

    def _means(self, value: Any, order: str) -> Any:
        return self.base.read_rewards(value) if callable(value) else value

    def feasible(self, states: Ints) -> sp.csr_array:
        return self.base.feasible(self.spaces.states_apart(states))

    def forbidden(self, states: Ints, actions: Ints) -> tuple[Bools, str, str]:
        return self.base.forbidden(self.spaces.states_apart(states), self.spaces.actions_apart(actions))

    def bind(self, policy: Any) -> BoundPolicy:
        rule = "agents that were merged keep the policy that they had"
        raise Unsupported(
            "policy", "another policy", rule, "Merge the chain of it: system.under(policy).merge(groups)."
        )


def _kron(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.kron(a, b), dtype=np.float64)


def _joined(labels: Labels, spaces: MergedSpaces) -> Labels:
    """Names of the groups, their states and actions: those of the members, joined."""
    names = tuple(" + ".join(labels.agent(i) for i in g) for g in spaces.groups)
    known = [spaces.members(k) for k in range(len(spaces.groups))]
    states, actions = (
        tuple(_names(name, given, each[which], g) for each, g in zip(known, spaces.groups, strict=True))
        for which, (name, given) in enumerate(
            ((labels.state, labels.states), (labels.action, labels.actions))
        )
    )
    return Labels(names, states if any(states) else (), actions if any(actions) else ())


def _names(
    name: Callable[[int, int], str], given: Any, each: Ints, group: tuple[int, ...]
) -> tuple[str, ...]:
    """Names of the states or actions of a group, `each` (K, n) those of its members; none where numbers say it, or
    nothing is to be said."""
    said = len(group) == 1 or (len(each) == 1 and not each.any())
    if len(each) > _NAMED or (said and not given):
        return ()
    return tuple(", ".join(map(name, group, row)) for row in each.tolist())
