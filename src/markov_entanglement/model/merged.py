"""Several agents as one: a system whose agents are groups of those of another.

A group's local state lists those of its members in the order given, the first slowest, and so does its action; its pair
is `s A_g + a`, as of every agent. Only combinations that occur are numbered, where it is known which do. Joint states
and joint actions keep the numbers that they have in the system below, so that kernels, ends, and rewards of all agents
together stay as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import gammaln

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, freeze
from ..errors import InvalidInput, TooLarge, Unsupported
from .bound_policy import BoundPolicy, BudgetIndex, Product
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
    """The spaces of groups; joint indices are those of `base`.

    Attributes
    ----------
    states, actions : of each group the combinations that its local states and actions stand for, ascending row-major
        numbers of those of its members.
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
        """Groups of one agent that keep all of its states and actions, and these agents."""
        base, sizes = self.base, zip(self.groups, self.n_states, self.n_actions, strict=True)
        whole = [len(g) == 1 and (s, a) == (base.n_states[g[0]], base.n_actions[g[0]]) for g, s, a in sizes]
        at = np.flatnonzero(whole)
        return at, np.array([self.groups[k][0] for k in at], dtype=np.int64)

    @cached_property
    def _joined(self) -> list[int]:
        """The other groups."""
        return [k for k in range(len(self.groups)) if k not in set(self._alone[0].tolist())]

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


class MergedPolicy(BoundPolicy):
    """A bound policy as its groups see it."""

    def __init__(self, base: BoundPolicy, spaces: MergedSpaces) -> None:
        super().__init__(spaces)
        self.base, self.merged, self.told = base, spaces, base.told
        self.own, self.costly = base.own, base.costly

    @property
    def lawful(self) -> bool:
        return self.base.lawful

    def programs(self, decisions: int) -> tuple[int, int]:
        return self.base.programs(decisions)

    def table(self, states: Ints) -> sp.csr_array:
        return self.base.table(self.merged.states_apart(states))

    def support(self, states: Ints) -> tuple[Ints, Ints, Floats]:
        row, actions, p = self.base.support(self.merged.states_apart(states))
        return row, self.merged.actions_together(actions), p

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        return self.merged.actions_together(self.base.sample(self.merged.states_apart(states), rng))

    def marginals(self, states: Ints) -> list[Floats]:
        apart = self.merged.states_apart(states)
        law = None
        if isinstance(self.base, Product):
            each = self.base.marginals(apart)
            law = _product(each)
        elif isinstance(self.base, BudgetIndex):
            law = _served(self.base, apart)
        if law is None:
            return super().marginals(states)
        return [law(g, self.merged.members(k)[1]) for k, g in enumerate(self.merged.groups)]


#: A group, and the actions (A, n) of its members -> the law (T, A) of these.
_GroupLaw = Callable[[tuple[int, ...], Ints], Floats]


def _product(each: Sequence[Floats]) -> _GroupLaw:
    """Of agents that draw their actions by themselves, from laws (T, A_i)."""
    return lambda group, actions: np.prod(
        [each[i][:, a] for i, a in zip(group, actions.T, strict=True)], axis=0
    )


def _served(policy: BudgetIndex, states: Ints) -> _GroupLaw:
    """Of agents served by priority: of the T in the marginal class any L are, so t of them that are members share
    `C(T - t, L - k) / C(T, L)` for each way in which k of these are served."""
    sure, tied, left = policy.split(states)
    among = tied.sum(axis=1)

    def law(group: tuple[int, ...], actions: Ints) -> Floats:
        mine, must = tied[:, list(group)], sure[:, list(group)]
        fits = ((mine[:, None] == 1) | (actions == must[:, None])).all(axis=2)
        k = mine @ actions.T
        rest, part = (among - mine.sum(axis=1))[:, None], left[:, None] - k
        fits &= (part >= 0) & (part <= rest)
        part = np.clip(part, 0, rest)
        chance = gammaln(rest + 1) - gammaln(part + 1) - gammaln(rest - part + 1)
        chance -= (gammaln(among + 1) - gammaln(left + 1) - gammaln(among - left + 1))[:, None]
        out = np.where(fits, np.exp(chance), 0.0)
        return np.asarray(out / out.sum(axis=1, keepdims=True))

    return law


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
    if len(each) > _NAMED or (not given and len(group) == 1 and each[-1, 0] == len(each) - 1) or (
        not given and not each.any() and len(each) == 1
    ):  # fmt: skip
        return ()
    return tuple(", ".join(map(name, group, row)) for row in each.tolist())
