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
from ..model.merged import Groups, Merged, MergedPolicy, MergedSpaces, combined, grouped
from ..model.spaces import Spaces, about, unravel
from .agents import AgentChain, AgentRuns
from .engine import Control, Engine
from .estimates import RUNS, tables_of
from .flows import Flows
from .strides import Plan


@dataclass(frozen=True, eq=False)
class GroupEngine(Engine):
    """Steps the members by `base`, with the same random numbers."""

    base: Engine = field(kw_only=True)

    @property
    def _spaces(self) -> MergedSpaces:
        found: Any = self.system.spaces
        return found

    @property
    def plan(self) -> Plan | None:
        return self.base.plan

    def act(self, keys: Any, time: int, states: Ints, rng: np.random.Generator) -> Ints:
        actions = self.base.act(keys, time, self._spaces.states_apart(states), rng)
        return self._spaces.actions_together(actions)

    def move(
        self, keys: Any, time: int, states: Ints, actions: Ints, rng: np.random.Generator
    ) -> tuple[Ints, Bools, Floats | None]:
        apart = self._spaces.states_apart(states), self._spaces.actions_apart(actions)
        after, ended, paid = self.base.move(keys, time, *apart, rng)
        if paid is not None and paid.shape[1] == self.base.n_agents > 1:
            paid = np.stack([paid[:, list(g)].sum(axis=1) for g in self._spaces.groups], axis=1)
        return self._spaces.states_together(after), ended, paid

    def ride(
        self,
        plan: Plan,
        keys: Any,
        time: int,
        at: int,
        states: Ints,
        actions: Ints,
        pairs: Ints,
        ended: Bools,
    ) -> int:
        spaces, (runs, wide, _) = self._spaces, pairs.shape
        s, a = spaces.states_apart(states), spaces.actions_apart(actions)
        every = np.zeros((runs, wide, self.base.n_agents), dtype=np.int64)
        done = self.base.ride(plan, keys, time, at, s, a, every, ended)
        made = slice(at + 1, (done if done >= 0 else -done - 1) + 1)
        told = every[:, made]
        pairs[:, made] = spaces.pairs_together(told.reshape(-1, told.shape[2])).reshape(
            runs, -1, pairs.shape[2]
        )
        states[:], actions[:] = spaces.states_together(s), spaces.actions_together(a)
        return done

    def anywhere(self, runs: int, rng: np.random.Generator) -> Ints:
        return self._spaces.states_together(self.base.anywhere(runs, rng))


@dataclass(frozen=True, eq=False, repr=False)
class GroupRuns(AgentRuns):
    """Groups of the agents of `base`, stepped."""

    base: AgentRuns = field(kw_only=True)

    sampled = ("policy",)  # type: ignore[assignment]

    @cached_property
    def engine(self) -> GroupEngine:
        return GroupEngine(self.system, self.policy, base=self.base.engine)

    @property
    def _spaces(self) -> MergedSpaces:
        return self.engine._spaces

    def control(
        self, flows: Flows, gamma: float, rewards: Sequence[Floats], tables: Sequence[Floats]
    ) -> Control:
        """That of the members, whose laws of one step are known where anybody's are."""
        paid, spaces = self.base.system.rewards, self._spaces
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
        found = {i: (k, j) for k, g in reversed([*enumerate(self._spaces.groups)]) for j, i in enumerate(g)}
        return [found[i] for i in range(len(found))]

    def _members(self, flows: Flows) -> Flows:
        """Moves of the members in those of the groups."""
        tables, out, spaces = [*flows.tables()], [], self._spaces
        for i, (k, j) in enumerate(self._place):
            own = np.eye(spaces.base.pair_sizes[i])[spaces.member_pairs(k)[:, j]]
            left = own.T @ tables[k]
            out.append(np.column_stack([left[:, :-1] @ own, left[:, -1]]).ravel())
        return Flows(spaces.base, np.concatenate(out).astype(np.int64))

    @property
    def made_of(self) -> dict[str, Any]:
        told = self.base.made_of
        return told | {"system": (told["system"], self._spaces.groups)}


@dataclass(frozen=True, eq=False, repr=False)
class GroupChain(AgentChain):
    """Groups of the agents of `base`; what `AgentChain.merge` returns."""

    base: AgentChain = field(kw_only=True)

    sampled = ("policy",)  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{self.base!r} in {self.system.n_agents} groups"

    @cached_property
    def runs(self) -> GroupRuns:
        return grouped_runs(self.base.runs, self.system.spaces.groups)  # type: ignore[attr-defined]


def merged(chain: AgentChain, groups: Any) -> GroupChain:
    """See `AgentChain.merge`."""
    runs = grouped_runs(chain.runs, grouped(groups, chain.system.labels, chain.system.n_agents))
    return GroupChain(runs.system, runs.policy, base=chain)


def grouped_runs(runs: AgentRuns, groups: Groups) -> GroupRuns:
    """Runs whose agents are these groups, of which an agent may be in several."""
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
