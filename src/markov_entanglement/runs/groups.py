"""Groups of agents as agents of what is stepped: the runs are those of the members, told in the groups' pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import TooLarge, gib
from ..model.merged import Merged
from ..model.merged_policy import MergedPolicy
from ..model.merged_spaces import Groups, MergedSpaces, combined, grouped
from ..model.spaces import Spaces, about, unravel
from .agents import AgentChain, AgentRuns, Walk
from .engine import Control, Engine, Stretch
from .estimates import RUNS, tables_of
from .flows import Flows


@dataclass(frozen=True, eq=False)
class GroupEngine(Engine):
    """Steps the members by `base`, with the same random numbers."""

    system: Merged
    base: Engine = field(kw_only=True)

    def act(self, keys: Any, time: int, states: Ints, rng: np.random.Generator) -> Ints:
        actions = self.base.act(keys, time, self.system.spaces.states_apart(states), rng)
        return self.system.spaces.actions_together(actions)

    def move(
        self, keys: Any, time: int, states: Ints, actions: Ints, rng: np.random.Generator
    ) -> tuple[Ints, Bools, Floats | None]:
        apart = self.system.spaces.states_apart(states), self.system.spaces.actions_apart(actions)
        after, ended, paid = self.base.move(keys, time, *apart, rng)
        return self.system.spaces.states_together(after), ended, self.summed(paid)

    def summed(self, paid: Floats | None) -> Floats | None:
        """Rewards (..., N) of the agents as those of the groups; one of all together stays."""
        if paid is None or paid.shape[-1] == 1 < self.base.n_agents:
            return paid
        return np.stack([paid[..., list(g)].sum(axis=-1) for g in self.system.spaces.groups], axis=-1)

    @cached_property
    def cover(self) -> int:
        """How many of the groups, the first ones, have every agent once."""
        sizes = np.cumsum([len(g) for g in self.system.groups])
        return int(np.searchsorted(sizes, self.base.n_agents)) + 1

    def total(self, pairs: Ints, paid: Floats | None) -> Floats:
        if paid is not None and paid.shape[1] == len(self.system.groups):
            return super().total(pairs, paid[:, : self.cover])
        return super().total(np.ascontiguousarray(pairs[:, : self.cover]), paid)

    def anywhere(self, runs: int, rng: np.random.Generator) -> Ints:
        return self.system.spaces.states_together(self.base.anywhere(runs, rng))


class GroupWalk(Walk):
    """A walk of the members, told in groups stretch by stretch."""

    engine: GroupEngine

    def stretch(self, steps: int) -> Stretch:
        spaces = self.engine.system.spaces
        twin = Walk.__new__(Walk)
        vars(twin).update(vars(self), engine=self.engine.base)
        twin.states, twin.actions = spaces.states_apart(self.states), spaces.actions_apart(self.actions)
        found = twin.stretch(steps)
        self.states, self.actions = spaces.states_together(twin.states), spaces.actions_together(twin.actions)
        self.time, self.paid = twin.time, twin.paid
        pairs = spaces.pairs_together(found.pairs.reshape(-1, spaces.base.n_agents))
        runs = len(found.pairs)
        return Stretch(pairs.reshape(runs, steps + 1, -1), found.ended, self.engine.summed(found.paid))


@dataclass(frozen=True, eq=False, repr=False)
class GroupRuns(AgentRuns):
    """Groups of the agents of `base`, stepped."""

    system: Merged
    base: AgentRuns = field(kw_only=True)

    sampled = ("policy",)  # type: ignore[assignment]
    walker = GroupWalk

    @cached_property
    def engine(self) -> GroupEngine:
        return GroupEngine(self.system, self.policy, base=self.base.engine)

    def control(
        self, flows: Flows, gamma: float, rewards: Sequence[Floats], tables: Sequence[Floats]
    ) -> Control:
        """That of the members, whose laws of one step are known where anybody's are."""
        paid, spaces = self.base.system.rewards, self.system.spaces
        tables = [q if k < self.engine.cover else np.zeros(len(q)) for k, q in enumerate(tables)]
        if paid is None or paid.local is None:
            return super().control(flows, gamma, rewards, tables)
        moved = self._members(flows)
        alone = tables_of(self.base, moved, gamma, paid.local)
        found = self.base.control(moved, gamma, paid.local, alone)
        h, ahead = [np.zeros(s) for s in spaces.n_states], [np.zeros(m) for m in spaces.pair_sizes]
        for i, (k, j) in enumerate(self._place):
            h[k] += found.h[i][spaces.members(k)[0][:, j]]
            ahead[k] += found.ahead[i][spaces.member_pairs(k)[:, j]]
        extra = found.extra
        return Control(h, ahead, None if extra is None else lambda x: extra(spaces.pairs_apart(x)), tables)

    @cached_property
    def _place(self) -> list[tuple[int, int]]:
        """(N,) one of the groups of each agent, and where it is among its members."""
        found = {
            i: (k, j) for k, g in reversed([*enumerate(self.system.spaces.groups)]) for j, i in enumerate(g)
        }
        return [found[i] for i in range(len(found))]

    def _members(self, flows: Flows) -> Flows:
        """Moves of the members in those of the groups."""
        tables, out, spaces = [*flows.tables()], [], self.system.spaces
        for i, (k, j) in enumerate(self._place):
            own = np.eye(spaces.base.pair_sizes[i])[spaces.member_pairs(k)[:, j]]
            left = own.T @ tables[k]
            out.append(np.column_stack([left[:, :-1] @ own, left[:, -1]]).ravel())
        return Flows(spaces.base, np.concatenate(out).astype(np.int64))

    @property
    def made_of(self) -> dict[str, Any]:
        told = self.base.made_of
        return told | {"system": (told["system"], self.system.groups)}


@dataclass(frozen=True, eq=False, repr=False)
class GroupChain(AgentChain):
    """Groups of the agents of `base`; what `AgentChain.merge` returns."""

    system: Merged
    base: AgentChain = field(kw_only=True)

    sampled = ("policy",)  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.base!r} in {self.system.n_agents} groups"

    @cached_property
    def runs(self) -> GroupRuns:
        return grouped_runs(self.base.runs, self.system.groups)


def merged(chain: AgentChain, groups: Any) -> GroupChain:
    """See `AgentChain.merge`."""
    runs = grouped_runs(chain.runs, grouped(groups, chain.system.labels, chain.system.n_agents))
    return GroupChain(runs.system, runs.policy, base=chain)


def grouped_runs(runs: AgentRuns, groups: Groups) -> GroupRuns:
    """Runs whose agents are these groups; after those that have each agent once, others may follow."""
    spaces = runs.system.spaces
    sizes = [local_pairs(spaces, g) for g in groups]
    for g, m in zip(groups, sizes, strict=True):
        if m > tol.GROUP_PAIRS:
            got = f"{about(m)} local pairs of agents {g}, which are only stepped"
            raise TooLarge("groups", got, f"{tol.GROUP_PAIRS:,}", "Make smaller groups.")
    if (room := 4.0 * RUNS * sum(m * (m + 1) for m in sizes)) > tol.BYTES:
        raise TooLarge(
            "groups", f"{gib(room)} of moves between local pairs", gib(tol.BYTES), "Make smaller groups."
        )
    states = [_states(spaces, g) for g in groups]
    actions = [np.arange(math.prod(spaces.n_actions[i] for i in g)) for g in groups]
    system = Merged(runs.system, MergedSpaces.of(spaces, groups, states, actions))
    policy = None if runs.policy is None else MergedPolicy(runs.policy, system.spaces)
    return GroupRuns(system, policy, base=runs)


def _plain(spaces: Spaces, group: tuple[int, ...]) -> list[int]:
    """Local states of the members without what all see."""
    return [spaces.n_states[i] // spaces.shared for i in group]


def local_pairs(spaces: Spaces, group: tuple[int, ...]) -> int:
    """Local pairs of a group, without combinations of different views of what all see alike."""
    return spaces.shared * math.prod(_plain(spaces, group)) * math.prod(spaces.n_actions[i] for i in group)


def _states(spaces: Spaces, group: tuple[int, ...]) -> Ints:
    """The combinations of the members' local states in which all see the same."""
    sizes = _plain(spaces, group)
    seen, plain = np.divmod(np.arange(spaces.shared * math.prod(sizes)), math.prod(sizes))
    return combined(
        unravel(plain, sizes) + seen[:, None] * np.array(sizes), [spaces.n_states[i] for i in group]
    )
