"""Agent by agent, many runs side by side: every system under every policy, in batches of joint states (R, N).

Agents that move on kernels of their own, joint kernels and chains are moved by compiled loops, somebody's simulator by
his own function. An index policy on a budget is served by a compiled loop, too, and so are policies whose laws are few
enough to keep; every other policy samples. What is compiled reads its random numbers by position (run, step, agent), so
that neither chunks nor threads change them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from .._compiled import compiled
from ..errors import InvalidInput, Unsupported
from ..model.bound_policy import BoundPolicy
from ..model.system import System
from .remembered import Remembered
from .strides import (
    NO_END,
    NO_LAWS,
    NO_LEAPS,
    NO_MOVES,
    NO_SERVICE,
    Again,
    Laws,
    Leaps,
    Moves,
    Numbers,
    Plan,
    Service,
    advance,
    leap,
    ride,
    serve,
)

#: Joint states, and joint actions, up to which a policy's laws are kept.
_REMEMBERED, _LISTED = 10**7, 4096


def no_rewards() -> Unsupported:
    """The refusal of values of nothing."""
    helps = "Give the system rewards; the step of a me.Simulator may return them."
    return Unsupported("values", "no rewards", "values are sums of rewards", helps)


class Control(NamedTuple):
    """Control variates: `f = sum_i h_i(s_i)` less its mean over the next state, or the part of it that no end stops;
    and, where the laws of the policy are kept, `sum_i acts_i(x_i)` less its mean over the actions."""

    h: Sequence[Floats]  # (S_i,)
    ahead: Sequence[Floats]  # (m_i,) the part of the mean that is a sum over agents, P_i h_i
    extra: Callable[[Ints], Floats] | None = None  # local pairs (n, N) -> (n,) the rest of it
    acts: Sequence[Floats] | None = None  # (m_i,)


class Rollouts(NamedTuple):
    """Two independent k-step sums from each start, for several k."""

    g: Floats  # (K, 2, k) less `sum_t gamma^(t+1) (f(s_{t+1}) - E[f(s_{t+1}) | x_t])`
    plain: Floats  # (K, 2, k) without control variates
    value: Floats  # (K,) D at the starts


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
def tally(pairs, ended, cut, first, sizes, flows):  # type: ignore[no-untyped-def]
    """Count moves between pairs (R, B + 1, N) in flows (R, F): the table (m_i, m_i + 1) of agent i begins at
    `first[i]`, its last column counts ends. What the clock cut (R, B), or (0, 0), is followed by nothing.
    """
    runs, after, agents = pairs.shape
    for r in range(runs):
        for k in range(after - 1):
            if len(cut) > 0 and cut[r, k]:
                continue
            for i in range(agents):
                to = sizes[i] if ended[r, k] else pairs[r, k + 1, i]
                flows[r, first[i] + pairs[r, k, i] * (sizes[i] + 1) + to] += 1


@compiled
def collect(pairs, earned, cut, first, paid):  # type: ignore[no-untyped-def]
    """Add rewards earned (R, B, K), K = N or 1 of all, to paid (R, M) at the pairs (R, B + 1, N) that were left, but
    for what the clock cut."""
    runs, steps, many = earned.shape
    for r in range(runs):
        for k in range(steps):
            if len(cut) > 0 and cut[r, k]:
                continue
            for i in range(len(first)):
                paid[r, first[i] + pairs[r, k, i]] += earned[r, k, i if many > 1 else 0]


#: No clock cuts anything.
UNCUT = np.zeros((0, 0), dtype=np.bool_)


class Stretch(NamedTuple):
    """Steps of R runs in a row."""

    pairs: Ints  # (R, B + 1, N), the first is the last of the stretch before
    ended: Bools  # (R, B)
    paid: Floats | None  # (R, B, K) rewards that a simulator returned
    cut: Bools = UNCUT  # (R, B) the clock cut the episode: the task goes on, and nobody saw how


def flat(tables: Sequence[Any]) -> tuple[Ints, Any]:
    """Tables of all agents in one row, and where each begins (N,)."""
    rows = [np.asarray(t).ravel() for t in tables]
    sizes = np.array([len(r) for r in rows], dtype=np.int64)
    return np.cumsum(sizes) - sizes, np.concatenate(rows)


def _strides(sizes: Sequence[int]) -> Ints:
    """(N,) what an entry counts in a joint index, the first agent the most; 0 where such an index would not fit."""
    fits = math.prod(sizes) < 2**62
    return np.array([math.prod(sizes[i + 1 :]) if fits else 0 for i in range(len(sizes))], dtype=np.int64)


def _cumulative(law: Floats) -> Floats:
    tail = np.cumsum(law, axis=-1)
    return np.where(tail < tail[..., -1:], tail, np.inf)


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
        """Priorities on a budget of two actions; None where there are none, or where laws that read nobody else's state
        are kept, for they tell the mean over the actions as well."""
        if self.policy is None or self.policy.service is None or (self.policy.own and self.remembered):
            return None
        ranks, budget = self.policy.service
        first, classes = flat(ranks)
        most = max(int(classes.max(initial=0)).bit_length(), 1)
        return Service(first, classes, most, budget)

    @cached_property
    def remembered(self) -> Remembered | None:
        """The policy's laws, where joint states and the actions that each offers are few enough to keep."""
        spaces = self.system.spaces
        if self.policy is None or spaces.joint_states > _REMEMBERED or spaces.joint_actions > _LISTED:
            return None
        return Remembered(self.system, self.policy) if self.policy.lawful else None

    @cached_property
    def plan(self) -> Plan | None:
        """What moves all agents step after step in one compiled loop; None where other code is asked at every step."""
        system, spaces, first = self.system, self.system.spaces, self.next_task
        asked = self.policy is None or self.service is not None or self.remembered is not None
        again, many = NO_END, spaces.joint_states
        if system.ends is not None and first is not None and many <= _REMEMBERED:
            terminal = np.zeros(many, dtype=np.bool_)
            terminal[system.ends.terminal] = True
            again = Again(terminal, np.array(first[0]), spaces.state_index(first[0]), np.array(first[1]))
        listed = np.zeros((0, spaces.n_agents), dtype=np.int64)
        if self.moves is None and not system.moves_itself and many * spaces.n_agents * 8 <= tol.BYTES:
            listed = np.array(spaces.states_at(np.arange(many)))
        lost = (self.moves is None and not len(listed)) or (system.ends is not None and again is NO_END)
        if lost or not asked:
            return None
        wide = np.array(spaces.n_actions, dtype=np.int64)
        numbers = Numbers(wide, _strides(spaces.n_states), _strides(spaces.n_actions), listed)
        leaps = self.leaps if self.moves is None else NO_LEAPS
        return Plan(numbers, self.moves or NO_MOVES, leaps, again, self.service or NO_SERVICE)

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

    def move(
        self, keys: Any, time: int, states: Ints, actions: Ints, rng: np.random.Generator
    ) -> tuple[Ints, Bools, Floats | None]:
        """(R, N) next joint states; (R,) whether the task ended, then they are the first of the next task; and (R, K)
        the rewards that a simulator returned; what moves itself draws from `rng`."""
        spaces, ends = self.system.spaces, self.system.ends
        if self.system.moves_itself:
            after, paid, ended = self.system.advance(states, actions, rng)
            if ended.any():
                after[ended] = self.system.begin(int(ended.sum()), rng)
            return after, ended, paid
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
        return after, ended, None

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
        """Make steps `at` on of pairs (R, B + 1, N) in one compiled loop, see `strides.ride`."""
        joint = np.zeros(len(states), dtype=np.int64)
        if self.system.spaces.joint_states < 2**62:
            joint = self.system.spaces.state_index(states)

        def work(laws: Laws) -> int:
            return int(ride(keys, time, at, joint, states, actions, plan, laws, pairs, ended))

        known = self.service is None and self.remembered
        return known.using(work) if known else work(NO_LAWS)

    @property
    def next_task(self) -> tuple[Ints, Floats] | None:
        """First joint states (n, N) of a task and their chances: the restart law, else `starts`."""
        ends = self.system.ends
        if ends is None or ends.start is None:
            return self.starts
        return self.system.spaces.states_at(ends.start[0]), ends.start[1]

    def begin(self, keys: Any, time: int) -> Ints:
        """(R, N) first joint states of a task."""
        first = self.next_task
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
        if self.system.moves_itself:
            return self.system.begin(runs, rng)
        if self.moves is None:
            return spaces.states_at(rng.integers(0, spaces.joint_states, runs))
        return rng.integers(0, np.array(spaces.n_states), (runs, spaces.n_agents))

    def chosen(self, tables: Sequence[Floats] | None) -> Callable[[Ints, Ints], Floats] | None:
        """Joint states and local pairs (R, N) -> (R,) what the choice of actions adds to the sum of tables (m_i,), 0 in
        the mean; None where the laws of the policy are not kept."""
        laws = None if self.service is not None else self.remembered
        if tables is None or laws is None:
            return None
        first, table = flat(tables)

        def beyond(states: Ints, pairs: Ints) -> Floats:
            out = np.empty(len(pairs))
            score(pairs, first, table, out)
            return out - laws.mean(states, first, table)

        return beyond

    def rewards(self, pairs: Ints) -> Floats:
        """(B, N) rewards at local pairs (B, N), or (B, 1) of all together; (B, 0) where there are none."""
        rewards = self.system.rewards
        if rewards is None:
            return np.zeros((len(pairs), 0))
        if rewards.local is None:
            return rewards.on_pairs(pairs, self.system.spaces)[:, None]
        first, table = self._own
        return np.asarray(table[first + pairs])

    def earned(self, stretch: Stretch) -> Floats:
        """(R, B, K) rewards of the steps of a stretch, see `rewards`."""
        if stretch.paid is not None:
            return stretch.paid
        runs, steps = stretch.ended.shape
        return self.rewards(stretch.pairs[:, :-1].reshape(runs * steps, -1)).reshape(runs, steps, -1)

    def total(self, pairs: Ints, paid: Floats | None) -> Floats:
        """(R,) reward of all agents in a step from local pairs (R, N), for which a simulator paid (R, K)."""
        rewards, out = self.system.rewards, np.zeros(len(pairs))
        if paid is not None:
            return np.asarray(paid.sum(axis=1))
        if rewards is None:
            raise no_rewards()
        if rewards.local is None:
            return rewards.on_pairs(pairs, self.system.spaces)
        score(pairs, *self._own, out)
        return out

    @property
    def recorded(self) -> bool:
        """True where rewards are known only as they come: a simulator pays, or one reward is shared."""
        rewards = self.system.rewards
        return self.system.only_steps if rewards is None else rewards.local is None

    @cached_property
    def _own(self) -> tuple[Ints, Floats]:
        """The rewards of all agents in a row."""
        assert self.system.rewards is not None and self.system.rewards.local is not None
        return flat(self.system.rewards.local)
