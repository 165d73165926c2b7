"""Agent by agent, many runs side by side: every system under every policy, in batches of joint states (R, N).

Agents that move on kernels of their own, joint kernels and chains are moved by compiled loops; a strict or tied index
policy on a budget is served by one as well, every other policy by its own `sample`. Moves read their random numbers by
position (run, step, agent), so that neither chunks nor threads change them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .._check import Bools, Floats, Ints
from .._compiled import compiled
from ..errors import InvalidInput
from ..model.bound_policy import BoundPolicy, BudgetIndex
from ..model.system import System
from .draws import BITS, bits, select

_UNIT = 2.0**-53
_S11 = np.uint64(11)
#: Joint states, and joint actions, up to which a policy's laws are kept.
_REMEMBERED, _LISTED = 10**7, 4096


class Moves(NamedTuple):
    """Kernels of the agents' own, cumulative: row (s, a) of agent i begins at `first[i] + (s A_i + a) S_i`."""

    first: Ints  # (N,)
    states: Ints  # (N,) S_i
    actions: Ints  # (N,) A_i
    tails: Floats  # cumulative probabilities, infinite from the last outcome on


class Leaps(NamedTuple):
    """A joint kernel: row `a S + s` of joint action a and joint state s lists next joint states and their chances."""

    start: Ints  # (A S + 1,)
    target: Ints
    chance: Floats


class Service(NamedTuple):
    """Priorities on a budget: class of state s of agent i at `first[i] + s`, 0 is served first."""

    first: Ints  # (N,)
    classes: Ints
    most: int  # bits of a class
    budget: int


class Control(NamedTuple):
    """A control variate `f = sum_i h_i(s_i)`: its mean over the next state is known where agents move on their own."""

    h: Sequence[Floats]  # (S_i,)
    ahead: Sequence[Floats]  # (m_i,) P_i h_i


class Rollouts(NamedTuple):
    """Two independent k-step sums from each start, for several k."""

    g: Floats  # (K, 2, k) less `sum_t gamma^(t+1) (f(s_{t+1}) - E[f(s_{t+1}) | x_t])`
    plain: Floats  # (K, 2, k) without control variates
    value: Floats  # (K,) D at the starts


@compiled
def advance(keys, time, states, actions, moves, after):  # type: ignore[no-untyped-def]
    """Move all agents of all runs: fill `after` (R, N) from states and actions (R, N)."""
    runs, agents = states.shape
    for r in range(runs):
        for i in range(agents):
            size = moves.states[i]
            row = moves.first[i] + (states[r, i] * moves.actions[i] + actions[r, i]) * size
            u = (bits(keys[r], time * agents + i) >> _S11) * _UNIT
            t = 0
            if size <= 8:  # without a branch that cannot be foreseen
                for j in range(size - 1):
                    t += u >= moves.tails[row + j]
            else:
                while u >= moves.tails[row + t]:
                    t += 1
            after[r, i] = t


@compiled
def leap(keys, time, rows, leaps, after):  # type: ignore[no-untyped-def]
    """Next joint states `after` (R,) from rows (R,) of a joint kernel."""
    for r in range(len(rows)):
        lo, hi = leaps.start[rows[r]], leaps.start[rows[r] + 1]
        u = (bits(keys[r], time) >> _S11) * _UNIT
        while lo < hi - 1 and u >= leaps.chance[lo]:
            u -= leaps.chance[lo]
            lo += 1
        after[r] = leaps.target[lo]


@compiled
def serve(keys, time, states, service, actions):  # type: ignore[no-untyped-def]
    """Fill `actions` (R, N): exactly `budget` agents are served, by priority, ties uniformly."""
    runs, agents = states.shape
    classes, buckets = np.empty(agents, np.int64), np.zeros(1 << BITS, np.int64)
    for r in range(runs):
        for i in range(agents):
            classes[i] = service.classes[service.first[i] + states[r, i]]
        cut = select(keys[r], time * agents, classes, service.most, service.budget, buckets)
        for i in range(agents):
            actions[r, i] = classes[i] < cut


@compiled
def score(pairs, first, table, out):  # type: ignore[no-untyped-def]
    """out (R,): sums over agents of table entries `first[i] + x_i` at local pairs (R, N)."""
    runs, agents = pairs.shape
    for r in range(runs):
        total = 0.0
        for i in range(agents):
            total += table[first[i] + pairs[r, i]]
        out[r] = total


@compiled
def tally(before, after, ended, first, sizes, flows):  # type: ignore[no-untyped-def]
    """Count moves from pairs `before` to `after` (R, N) in flows (R, F): the table (m_i, m_i + 1) of agent i begins at
    `first[i]`, its last column counts ends.
    """
    runs, agents = before.shape
    for r in range(runs):
        for i in range(agents):
            to = sizes[i] if ended[r] else after[r, i]
            flows[r, first[i] + before[r, i] * (sizes[i] + 1) + to] += 1


def flat(tables: Sequence[Any]) -> tuple[Ints, Any]:
    """Tables of all agents in one row, and where each begins (N,)."""
    rows = [np.asarray(t).ravel() for t in tables]
    sizes = np.array([len(r) for r in rows], dtype=np.int64)
    return np.cumsum(sizes) - sizes, np.concatenate(rows)


def _cumulative(law: Floats) -> Floats:
    tail = np.cumsum(law, axis=-1)
    return np.where(tail < tail[..., -1:], tail, np.inf)


class Remembered:
    """The laws of a policy at the joint states met so far, so that each is asked for once."""

    def __init__(self, system: System, policy: BoundPolicy) -> None:
        self.system, self.policy = system, policy
        self.place = np.full(system.spaces.joint_states, -1, dtype=np.int64)
        self.start, self.chance = np.zeros(1, dtype=np.int64), np.zeros(0)
        self.actions = np.zeros((0, system.n_agents), dtype=np.int64)

    def sample(self, keys: Any, time: int, states: Ints) -> Ints:
        """(R, N) actions."""
        index = self.system.spaces.state_index(states)
        new = np.unique(index[self.place[index] < 0])
        if len(new):
            self._meet(new)
        chosen = np.empty(len(states), dtype=np.int64)
        leap(
            keys, time, self.place[index], Leaps(self.start, np.arange(len(self.chance)), self.chance), chosen
        )
        return np.asarray(self.actions[chosen])

    def _meet(self, new: Ints) -> None:
        states = self.system.spaces.states_at(new)
        row, actions, p = self.policy.support(states)
        self.system.check_actions(states[row], actions)
        self.place[new] = len(self.start) - 1 + np.arange(len(new))
        ends = self.start[-1] + np.searchsorted(row, np.arange(1, len(new) + 1))
        self.start, self.chance = np.append(self.start, ends), np.append(self.chance, p)
        self.actions = np.concatenate([self.actions, actions])


@dataclass(frozen=True, eq=False)
class Engine:
    """A system under a policy, to be stepped in batches.

    Attributes
    ----------
    system, policy : the system and its policy on its spaces; None for a chain, which has no actions.
    starts : joint states (n, N) and chances (n,) of the first one; None: each agent anywhere.
    """

    system: System
    policy: BoundPolicy | None
    starts: tuple[Ints, Floats] | None = None

    @property
    def n_agents(self) -> int:
        """N."""
        return self.system.n_agents

    @cached_property
    def moves(self) -> Moves | None:
        """The agents' own kernels, or None."""
        kernels = self.system.local_kernels
        if kernels is None:
            return None
        first, tails = flat([_cumulative(k.transpose(1, 0, 2)) for k in kernels])
        spaces = self.system.spaces
        return Moves(first, np.array(spaces.n_states, np.int64), np.array(spaces.n_actions, np.int64), tails)

    @cached_property
    def leaps(self) -> Leaps:
        """The joint kernel."""
        parts: Any = self.system.kernel  # type: ignore[attr-defined]
        ends = np.cumsum([p.nnz for p in parts])
        start = [p.indptr[:-1].astype(np.int64) + e - p.nnz for p, e in zip(parts, ends, strict=True)]
        target = np.concatenate([p.indices.astype(np.int64) for p in parts])
        return Leaps(
            np.append(np.concatenate(start), ends[-1]), target, np.concatenate([p.data for p in parts])
        )

    @cached_property
    def service(self) -> Service | None:
        """Priorities on a budget of two actions, or None."""
        if not isinstance(self.policy, BudgetIndex):
            return None
        first, classes = flat(self.policy.ranks)
        most = max(int(classes.max(initial=0)).bit_length(), 1)
        return Service(first, classes, most, self.policy.budget)

    @cached_property
    def remembered(self) -> Remembered | None:
        """The policy's laws, where joint states and the actions that each offers are few enough to keep."""
        spaces = self.system.spaces
        if self.policy is None or spaces.joint_states > _REMEMBERED or spaces.joint_actions > _LISTED:
            return None
        return Remembered(self.system, self.policy) if self.policy.lawful else None

    def keys(self, runs: int, rng: np.random.Generator) -> Any:
        """(3, R) keys of the random numbers of each run: of moves, of service and of first states."""
        return rng.integers(0, 2**64, (3, runs), dtype=np.uint64)

    def act(self, keys: Any, time: int, states: Ints, rng: np.random.Generator) -> Ints:
        """(R, N) actions in joint states (R, N)."""
        if self.policy is None:
            return np.zeros_like(states)
        if self.service is None:
            if self.remembered is not None:
                return self.remembered.sample(keys[1], time, states)
            actions = self.policy.sample(states, rng)
            self.system.check_actions(states, actions)
            return actions
        actions = np.empty_like(states)
        serve(keys[1], time, states, self.service, actions)
        return actions

    def move(self, keys: Any, time: int, states: Ints, actions: Ints) -> tuple[Ints, Bools]:
        """(R, N) next joint states, and (R,) whether the task ended; then they are the first of the next task."""
        spaces, ends = self.system.spaces, self.system.ends
        if self.moves is not None:
            after = np.empty_like(states)
            advance(keys[0], time, states, actions, self.moves, after)
        else:
            rows = spaces.action_index(actions) * spaces.joint_states + spaces.state_index(states)
            index = np.empty(len(states), dtype=np.int64)
            leap(keys[0], time, rows, self.leaps, index)
            after = spaces.states_at(index)
        ended = np.zeros(len(states), dtype=np.bool_)
        if ends is not None:
            ended = np.isin(spaces.state_index(after), ends.terminal)
            after[ended] = self.begin(keys[:, ended], time)
        return after, ended

    def begin(self, keys: Any, time: int) -> Ints:
        """(R, N) first joint states of a task: from the restart law, else from `starts`."""
        ends, spaces, first = self.system.ends, self.system.spaces, self.starts
        if ends is not None and ends.start is not None:
            first = spaces.states_at(ends.start[0]), ends.start[1]
        if first is None:
            raise InvalidInput("restart", "None", "a task that ends must say where the next one starts",
                               "Give the system `restart`.")  # fmt: skip
        whole = Leaps(np.array([0, len(first[1])]), np.arange(len(first[1])), first[1])
        chosen = np.empty(keys.shape[1], dtype=np.int64)
        leap(keys[2], time, np.zeros(len(chosen), np.int64), whole, chosen)
        return np.asarray(first[0][chosen])

    def anywhere(self, runs: int, rng: np.random.Generator) -> Ints:
        """(R, N) first joint states of runs that begin apart: from the start law, else every agent anywhere."""
        spaces = self.system.spaces
        if self.system.ends is not None or self.starts is not None:
            return self.begin(self.keys(runs, rng), 0)
        if self.moves is None:
            return spaces.states_at(rng.integers(0, spaces.joint_states, runs))
        return rng.integers(0, np.array(spaces.n_states), (runs, spaces.n_agents))
