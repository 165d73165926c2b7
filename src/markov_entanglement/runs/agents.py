"""Agents of any number and kind under any policy, as runs: in chunks, as snapshots, and as rollouts from these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._check import Bools, Floats, Ints
from .._progress import advance as tell
from .._random import generator
from ..errors import Unsupported
from ..laws.rows import Rows
from ..laws.source import Kind, Lazy, Runs, Unit
from ..markov.build import too_many
from ..markov.chain import Chain
from ..model.bound_policy import BoundPolicy
from ..model.described import INSIDE
from ..model.spaces import about
from ..model.system import System
from .chunk import Chunk
from .engine import Control, Engine, Rollouts, flat, score
from .entanglement import EntanglementEstimate
from .errors import ErrorEstimate, Named
from .estimates import certified_of, entanglement_of, errors_of, worth_of

#: Numbers of one chunk, over all runs side by side.
_CHUNK = 2**22


class Walk:
    """R runs side by side: joint states (R, N) now, and how far they are."""

    def __init__(
        self, engine: Engine, runs: int, rng: np.random.Generator, start: Ints | None = None
    ) -> None:
        self.engine, self.rng = engine, rng
        self.keys = engine.keys(runs, rng)
        self.states = engine.anywhere(runs, rng) if start is None else start.copy()
        self.actions = engine.act(self.keys, 0, self.states, rng)
        self.time = 0

    @property
    def pairs(self) -> Ints:
        """(R, N) local pairs."""
        return self.engine.system.spaces.local_pairs(self.states, self.actions)

    def step(self) -> Bools:
        """One step of all runs; (R,) whether the task ended."""
        self.states, ended = self.engine.move(self.keys, self.time, self.states, self.actions)
        self.time += 1
        self.actions = self.engine.act(self.keys, self.time, self.states, self.rng)
        return ended

    def chunks(self, steps: int) -> Iterator[tuple[Ints, Bools]]:
        """Pairs (R, B + 1, N) and ends (R, B), `steps` steps in all."""
        runs, agents = self.states.shape
        size = max(1, min(steps, _CHUNK // (runs * agents)))
        done = 0
        while done < steps:
            b = min(size, steps - done)
            pairs, ended = np.empty((runs, b + 1, agents), np.int64), np.empty((runs, b), np.bool_)
            pairs[:, 0] = self.pairs
            for k in range(b):
                ended[:, k] = self.step()
                pairs[:, k + 1] = self.pairs
            yield pairs, ended
            done += b
            tell(done / steps)


def until(stop: Callable[[], bool], chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The chunks before somebody says stop, and the one in which he did."""
    for chunk in chunks:
        yield chunk
        if stop():
            return


@dataclass(frozen=True, eq=False, repr=False)
class AgentRuns(Runs):
    """A system under a policy, stepped agent by agent; nothing is enumerated.

    Attributes
    ----------
    system : the system; policy : its policy on its spaces, None for a chain.
    starts : joint states (n, N) and chances (n,) of the first one; None: each agent anywhere, or as tasks start again.
    named : what names the agents and their local pairs; None: the system.
    """

    system: System
    policy: BoundPolicy | None
    starts: tuple[Ints, Floats] | None = None
    named: Named | None = None

    sampled = ("policy", "mu-atv")

    def __repr__(self) -> str:
        return f"AgentRuns({self.system.n_agents:,} agents)"

    @cached_property
    def engine(self) -> Engine:
        """What steps them."""
        return Engine(self.system, self.policy, self.starts)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """(N,) the agents."""
        if self.named is not None:
            return tuple(self.named.units)
        sizes = self.system.spaces.pair_sizes
        return tuple(Unit(self.system.labels.agent(i), m) for i, m in enumerate(sizes))

    @property
    def discount(self) -> float | None:
        return self.system.discount

    @property
    def costly(self) -> bool:  # type: ignore[override]
        return self.policy is not None and self.policy.costly

    def local_names(self, u: int) -> tuple[list[str], list[str]]:
        if self.named is not None:
            states, actions = self.named.local_names(u)
            return list(states), list(actions)
        return self.system.local_names(u)

    def rows(self, u: int, kind: Kind = "pair") -> Rows:
        """Runs keep estimates, not rows."""
        raise Unsupported("rows", repr(self), "rows of what is simulated are not kept", "Ask an exact chain.")

    def summary(self) -> dict[str, Any]:
        system, spaces = self.system, self.system.spaces
        told = INSIDE if self.policy is None else self.policy.told
        return {
            "title": repr(system),
            "kind": type(system).__name__,
            "agents": system.n_agents,
            "names": [u.name for u in self.units],
            "pairs": None,
            "local_pairs": list(spaces.pair_sizes),
            "budget": system.budget,
            "policy": dict(told),
            "rewards": None if system.rewards is None else system.rewards.summary(),
        }

    def entanglement(self, distance: str, rng: Any) -> EntanglementEstimate:
        """Prop. 7.2 or Eq. 7 by Eq. 10."""
        return entanglement_of(self, generator(0 if rng is None else rng), distance)

    def errors(self, rng: Any) -> ErrorEstimate:
        """Errors of local TD values by double sampling."""
        return errors_of(self, generator(rng))

    def learned(
        self,
        learner: Any,
        steps: int,
        burn_in: int,
        discount: float | None,
        rng: Any,
        stop: Callable[[], bool],
    ) -> Any:
        """What a learner makes of one run, chunk by chunk."""
        chunks = until(stop, self.chunks(steps, rng, burn_in=burn_in))
        return learner.fit(chunks, discount, names=[u.name for u in self.units])

    def certified(
        self, candidate: Any, ks: list[int], starts: int, control: str, rng: Any
    ) -> tuple[dict[int, ErrorEstimate], dict[int, float]]:
        """Errors of a candidate by double sampling."""
        return certified_of(self, candidate, ks, starts, control, rng)

    def worth(self, rng: Any) -> tuple[float, float, str]:
        """Reward of all agents per step."""
        return worth_of(self, generator(rng))

    def walk(self, runs: int, rng: np.random.Generator, burn_in: int = 0) -> Walk:
        """R runs side by side that begin apart, after `burn_in` steps."""
        walk = Walk(self.engine, runs, rng)
        for _ in range(burn_in):
            walk.step()
        return walk

    def chunks(
        self, steps: int, rng: np.random.Generator, *, burn_in: int = 0, runs: int = 1
    ) -> Iterator[Chunk]:
        """`steps` steps of each of R independent runs, after `burn_in` of them; all runs of a stretch in a row."""
        spaces = self.system.spaces
        told = np.column_stack([spaces.n_states, spaces.n_actions]), self.discount
        for pairs, ended in self.walk(runs, rng, burn_in).chunks(steps):
            for r in range(runs):
                yield Chunk(pairs[r], self.rewards(pairs[r, :-1]), ended[r], r, *told)

    def rewards(self, pairs: Ints) -> Floats:
        """(B, N) rewards at local pairs (B, N), or (B, 1) of all together."""
        rewards = self.system.rewards
        if rewards is None:
            return np.zeros((len(pairs), 0))
        if rewards.local is None:
            return rewards.on_pairs(pairs, self.system.spaces)[:, None]
        first, table = flat(rewards.local)
        return np.asarray(table[first + pairs])

    def rollouts(
        self, states: Ints, actions: Ints, steps: Sequence[int], gamma: float, value: Callable[[Ints], Floats],
        control: Control, rng: np.random.Generator,
    ) -> Rollouts:  # fmt: skip
        """Two independent sums `G_k` from each of K joint pairs, for ascending numbers of steps k.

        `G_k = sum_{t<k} gamma^t r_t + gamma^k D(x_k) - D(x_0)`, where `value` is D on local pairs (n, N) -> (n,).
        """
        actions_of, count = self.system.spaces.n_actions, len(states)
        first, reward = flat(self.own_rewards)
        _, ahead = flat(control.ahead)
        _, h = flat([np.repeat(f, a) for f, a in zip(control.h, actions_of, strict=True)])
        change = gamma * ahead - h
        walk = Walk(self.engine, 2 * count, rng, np.repeat(states, 2, axis=0))
        walk.actions = np.repeat(actions, 2, axis=0)

        def total(pairs: Ints, table: Floats) -> Floats:
            out = np.empty(len(pairs))
            score(pairs, first, table, out)
            return out

        pairs, live = walk.pairs, np.ones(2 * count)
        begin = np.repeat(value(pairs[::2]), 2)
        paid, drift = -begin, total(pairs, h)
        g, plain = (np.empty((count, 2, len(steps))) for _ in range(2))
        for t in range(steps[-1] + 1):
            at = gamma**t * live
            if t in steps:
                j, end = steps.index(t), paid + at * value(pairs)
                left = end + drift - at * total(pairs, h)
                plain[:, :, j], g[:, :, j] = end.reshape(count, 2), left.reshape(count, 2)
            if t < steps[-1]:
                paid += at * total(pairs, reward)
                drift += at * total(pairs, change)
                live *= ~walk.step()
                pairs = walk.pairs
        return Rollouts(g, plain, begin[::2])

    @property
    def own_rewards(self) -> tuple[Floats, ...]:
        """(m_i,) rewards of each agent."""
        rewards = self.system.rewards
        if rewards is None or rewards.local is None:
            got = "no rewards" if rewards is None else "one shared reward"
            raise Unsupported(
                "values", got, "each agent learns from its own rewards", "Give one table per agent."
            )
        return rewards.local


@dataclass(frozen=True, eq=False, repr=False)
class AgentChain(Lazy):
    """A system under a policy whose joint states are too many to list; what `System.under` returns for it.

    Attributes
    ----------
    system : the system; policy : its policy on its spaces.
    starts : joint states (n, N) and chances (n,) of the first one; None: each agent anywhere.
    """

    system: System
    policy: BoundPolicy | None
    starts: tuple[Ints, Floats] | None = None

    small = False
    sampled = ("policy", "mu-atv")

    def __repr__(self) -> str:
        n, size = self.system.n_agents, about(self.system.spaces.joint_states)
        return f"AgentChain({n:,} agents, {size} joint states)"

    @property
    def exact(self) -> Chain:
        """Refused: the joint states would not fit."""
        raise too_many(self.system)

    @property
    def pairs(self) -> Ints:
        """Refused, as `occupancy`, `recurrent`, `states` and `kernel`: they are those of the exact chain."""
        return self.exact.pairs

    @property
    def occupancy(self) -> Floats:
        return self.exact.occupancy

    @property
    def recurrent(self) -> Bools:
        return self.exact.recurrent

    @property
    def states(self) -> Ints:
        return self.exact.states

    @property
    def kernel(self) -> Any:
        return self.exact.kernel

    def local_transition(self, u: int) -> Floats:
        """Refused like them."""
        return self.exact.local_transition(u)

    @cached_property
    def runs(self) -> AgentRuns:
        """The same, to be simulated."""
        return AgentRuns(self.system, self.policy, self.starts)

    @property
    def units(self) -> tuple[Unit, ...]:
        return self.runs.units

    @property
    def discount(self) -> float | None:
        return self.system.discount

    @property
    def reading(self) -> str:  # type: ignore[override]
        return self.system.reading

    def summary(self) -> dict[str, Any]:
        return self.runs.summary()

    def local_names(self, u: int) -> tuple[list[str], list[str]]:
        return self.runs.local_names(u)

    def checks(self) -> list[tuple[str, bool, str]]:
        """Feasible actions along a short run."""
        walk, steps = self.runs.walk(1, generator(0)), 100
        for _ in range(steps):
            self.system.check_actions(walk.states, walk.actions)
            walk.step()
        return [("policy", True, f"its actions are feasible in each of {steps} simulated steps")]

    def rows(self, u: int, kind: Kind = "pair") -> Rows:
        """Refused: they are those of the exact chain."""
        return self.exact.rows(u, kind)
