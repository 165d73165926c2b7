"""Agents of any number and kind under any policy, as runs: in chunks, as snapshots, and as rollouts from these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .._check import Bools, Floats, Ints
from .._progress import advance as tell
from .._random import generator, streams
from ..errors import InvalidInput, Unsupported
from ..laws.rows import Rows
from ..laws.source import Kind, Lazy, Lesson, Runs, Unit, no_signal
from ..markov.build import not_listed
from ..markov.chain import Chain
from ..model.bound_policy import BoundPolicy
from ..model.described import INSIDE
from ..model.spaces import about
from ..model.system import System
from ..values.reward_entanglement import RewardEntanglement
from .certify import Certified
from .chunk import Chunk
from .control import control_of
from .engine import Control, Engine, Rollouts, Stretch, flat, no_rewards, score
from .entanglement import EntanglementEstimate
from .errors import ErrorEstimate, Named
from .estimates import certified_of, entanglement_of, errors_of, worth_of
from .flows import Flows
from .reward import reward_of
from .strides import Plan
from .view import View

if TYPE_CHECKING:
    from .blind import BlindAgents, BlindRuns
    from .signal import SignalLossEstimate

#: Numbers of one chunk, over all runs side by side.
_CHUNK = 2**22


class Walk:
    """R runs side by side: joint states (R, N) and actions now, and how far they are."""

    def __init__(
        self, engine: Engine, runs: int, rng: np.random.Generator, start: Ints | None = None
    ) -> None:
        self.engine, self.rng = engine, rng
        self.keys = engine.keys(runs, rng)
        self.own = streams(rng, "simulator")[0] if engine.system.moves_itself else rng
        self.states = engine.anywhere(runs, self.own) if start is None else start.copy()
        self.actions = engine.act(self.keys, 0, self.states, rng)
        self.time = 0
        self.paid: Floats | None = None

    @property
    def pairs(self) -> Ints:
        """(R, N) local pairs."""
        return self.engine.system.spaces.local_pairs(self.states, self.actions)

    def step(self) -> Bools:
        """One step of all runs; (R,) whether the task ended. What a simulator pays for it is in `paid` (R, K)."""
        before = None if self.paid is None else self.paid.shape
        self.states, ended, self.paid = self.engine.move(
            self.keys, self.time, self.states, self.actions, self.own
        )
        now = None if self.paid is None else self.paid.shape
        if self.time and now != before:
            got = f"rewards of shape {now} after {before}"
            raise InvalidInput("step", got, "it pays in one form, or never", "Mend the function.")
        self.time += 1
        self.actions = self.engine.act(self.keys, self.time, self.states, self.rng)
        return ended

    def stretch(self, steps: int) -> Stretch:
        """So many steps of all runs in a row."""
        runs, agents = self.states.shape
        pairs, ended = np.empty((runs, steps + 1, agents), np.int64), np.zeros((runs, steps), np.bool_)
        k, plan = 0, self.engine.plan
        paid: list[Floats] = []
        pairs[:, 0] = self.pairs
        while k < steps:
            if plan is not None:
                k = self._ride(plan, k, pairs, ended)
                continue
            ended[:, k] = self.step()
            k += 1
            pairs[:, k] = self.pairs
            paid += [] if self.paid is None else [self.paid]
        return Stretch(pairs, ended, np.stack(paid, axis=1) if paid else None)

    def _ride(self, plan: Plan, at: int, pairs: Ints, ended: Bools) -> int:
        """Steps `at` on, until all are made or the policy had to be asked; the number of the next one."""
        states, actions = np.array(self.states, order="C"), np.array(self.actions, order="C")
        done = self.engine.ride(plan, self.keys, self.time, at, states, actions, pairs, ended)
        self.time += abs(done) - at
        self.states, self.actions = states, actions
        if done < 0:
            self.actions = self.engine.act(self.keys, self.time, states, self.rng)
            pairs[:, -done] = self.pairs
        return abs(done)

    def chunks(self, steps: int) -> Iterator[Stretch]:
        """`steps` steps in all, some at a time."""
        size = max(1, min(steps, _CHUNK // max(1, self.states.size)))
        for done in range(0, steps, size):
            yield self.stretch(min(size, steps - done))

    def pick(self, gap: int) -> Ints:
        """(R, N) local pairs of each run after one of the next `gap` steps, at random.

        Where tasks last equally long, runs that began together stay in step, and would else be met in some of their
        phases only.
        """
        due, done = self.rng.integers(gap, size=len(self.states)), 0
        out = np.empty_like(self.states)
        for stretch in self.chunks(gap):
            now = np.flatnonzero((done <= due) & (due < done + stretch.ended.shape[1]))
            out[now] = stretch.pairs[now, due[now] - done + 1]
            done += stretch.ended.shape[1]
        return out

    def skip(self, steps: int) -> None:
        """Make steps that nobody looks at."""
        for _ in self.chunks(steps):
            pass


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
    walker: ClassVar[type[Walk]] = Walk

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
        sizes = self.view.spaces.pair_sizes
        return tuple(Unit(self.system.labels.agent(i), m) for i, m in enumerate(sizes))

    @property
    def view(self) -> View:
        """What local values read."""
        return View(self.system)

    def signal_of(self, u: int) -> Ints | None:
        return self.system.signal_of(u)

    @property
    def proved_separable(self) -> str:
        return self.system.separable_under(self.policy)

    @property
    def discount(self) -> float | None:
        return self.system.discount

    @property
    def made_of(self) -> dict[str, Any]:
        told = {} if self.policy is None else dict(self.policy.told)
        return {"system": (self.system, self.starts), "policy": (told, self.policy)}

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
        system = self.system
        told = INSIDE if self.policy is None else self.policy.told
        return {
            "title": repr(system),
            "kind": type(system).__name__,
            "agents": system.n_agents,
            "names": [u.name for u in self.units],
            "pairs": None,
            "local_pairs": list(self.view.spaces.pair_sizes),
            "budget": system.budget,
            "policy": dict(told),
            "rewards": None if system.rewards is None else system.rewards.summary(),
        }

    def entanglement(self, distance: str, rng: Any) -> EntanglementEstimate:
        """Prop. 7.2 or Eq. 7 by Eq. 10."""
        if distance == "mu-atv" and self.system.net is not None:
            from .factored import combinations_of

            return combinations_of(self, generator(0 if rng is None else rng))
        return entanglement_of(self, generator(0 if rng is None else rng), distance)

    def errors(self, rng: Any, tolerance: float | None = None) -> ErrorEstimate:
        """Errors of local TD values by double sampling."""
        return errors_of(self, generator(rng), tolerance=tolerance)

    def learned(self, learner: Any, lesson: Lesson) -> Any:
        """What a learner makes of one run from that place on, chunk by chunk."""
        place = lesson.place
        walk = place.enter(self.walk(1, lesson.rng, 0 if place.done else lesson.burn_in))
        chunks = until(lesson.stop, self.read(walk, lesson.steps - place.done))
        found = learner.fit(chunks, lesson.discount, names=[u.name for u in self.units])
        place.leave(walk, lesson.burn_in)
        return found

    def certified(self, candidate: Any, ks: list[int], starts: int, control: str, rng: Any) -> Certified:
        """Errors of a candidate by double sampling."""
        return certified_of(self, candidate, ks, starts, control, rng)

    def split(self, method: str, rng: Any) -> RewardEntanglement:
        """Local rewards nearest to the one of all agents."""
        return reward_of(self, method, generator(rng))

    def signal_loss(self, rng: Any) -> SignalLossEstimate:
        """Errors of local values with and without the signal, along the same runs."""
        from .signal import signal_loss_of

        if self.signal_of(0) is None:
            raise no_signal("what a signal is worth", self)
        return signal_loss_of(self, self.blind(), generator(rng))

    def blind(self) -> BlindRuns:
        """The same asked of local values that may not see the signal."""
        from .blind import BlindRuns

        if self.signal_of(0) is None:
            raise no_signal("blind", self)
        return BlindRuns(self.system, self.policy, self.starts)  # type: ignore[arg-type]

    def grouping(self, tolerance: float, starts: int, rng: Any) -> Any:
        """Which agents should count as one."""
        from .suggest import suggested

        return suggested(self, tolerance, starts, rng)

    def worth(self, rng: Any) -> tuple[float, float, str]:
        """Reward of all agents per step."""
        return worth_of(self, generator(rng))

    def control(
        self, flows: Flows, gamma: float, rewards: Sequence[Floats], tables: Sequence[Floats]
    ) -> Control:
        """The control variate that goes with local values `tables` (m_i,) learned from flows and rewards (m_i,)."""
        return control_of(self.system, flows, gamma, rewards, self.view.wide(tables))

    def walk(self, runs: int, rng: np.random.Generator, burn_in: int = 0, start: Ints | None = None) -> Walk:
        """R runs side by side from joint states `start` (R, N), None: apart, after `burn_in` steps."""
        walk = self.walker(self.engine, runs, rng, start)
        walk.skip(burn_in)
        return walk

    def chunks(
        self,
        steps: int,
        rng: np.random.Generator,
        *,
        burn_in: int = 0,
        runs: int = 1,
        start: Ints | None = None,
    ) -> Iterator[Chunk]:
        """`steps` steps of each of R independent runs, after `burn_in` of them; all runs of a stretch in a row."""
        return self.read(self.walk(runs, rng, burn_in, start), steps)

    def read(self, walk: Walk, steps: int) -> Iterator[Chunk]:
        """`steps` steps of a walk."""
        view, done = self.view, 0
        told = np.column_stack([view.spaces.n_states, view.spaces.n_actions]), self.discount
        for stretch in walk.chunks(steps):
            rewards = self.engine.earned(stretch)
            for r in range(len(rewards)):
                yield Chunk(view.pairs(stretch.pairs[r]), rewards[r], stretch.ended[r], r, *told)
            done += stretch.ended.shape[1]
            tell(done / steps)

    def rollouts(
        self, states: Ints, actions: Ints, steps: Sequence[int], gamma: float, value: Callable[[Ints], Floats],
        control: Control, rng: np.random.Generator, same: Ints | None = None,
    ) -> Rollouts:  # fmt: skip
        """Two independent sums `G_k` from each of K joint pairs, for ascending numbers of steps k.

        `G_k = sum_{t<k} gamma^t r_t + gamma^k D(x_k) - D(x_0)`, where `value` is D on local pairs (n, N) -> (n,), or
        several (n, J), then all that is returned has J at the end.
        `same` (K,): whose random numbers each joint pair uses; None: its own.
        """
        actions_of, count = self.system.spaces.n_actions, len(states)
        first, ahead = flat(control.ahead)
        _, h = flat([np.repeat(f, a) for f, a in zip(control.h, actions_of, strict=True)])
        change = gamma * ahead - h
        walk = Walk(self.engine, 2 * count, rng, np.repeat(states, 2, axis=0))
        walk.actions = np.repeat(actions, 2, axis=0)
        walk.keys = walk.keys if same is None else walk.keys.reshape(3, count, 2)[:, same].reshape(3, -1)
        chosen = self.engine.chosen(control.acts)

        def total(pairs: Ints, table: Floats) -> Floats:
            out = np.empty(len(pairs))
            score(pairs, first, table, out)
            return out

        pairs, live = walk.pairs, np.ones(2 * count)
        begin = value(pairs[::2])
        wide = begin.shape[1:]
        each = (slice(None), *[None] * len(wide))
        paid, drift = -np.repeat(begin, 2, axis=0), total(pairs, h)
        g, plain = (np.empty((count, 2, len(steps), *wide)) for _ in range(2))
        for t in range(steps[-1] + 1):
            at = gamma**t * live
            over = not live.any()  # all tasks ended: nothing is added any more
            known = [j for j, k in enumerate(steps) if k == t or (over and k > t)]
            if known:
                end = paid + at[each] * value(pairs)
                left = end + drift[each] - (at * total(pairs, h))[each]
                plain[:, :, known] = end.reshape(count, 2, 1, *wide)
                g[:, :, known] = left.reshape(count, 2, 1, *wide)
            if over:
                break
            if t < steps[-1]:
                drift += at * total(pairs, change)
                if control.extra is not None:
                    drift += gamma * at * control.extra(pairs)
                ended, before = walk.step(), pairs
                paid += (at * self.engine.total(before, walk.paid))[each]
                live, pairs = live * ~ended, walk.pairs
                if chosen is not None:
                    drift -= gamma ** (t + 1) * live * chosen(walk.states, pairs)
        return Rollouts(g, plain, begin)

    @property
    def own_rewards(self) -> tuple[Floats, ...] | None:
        """(m_i,) rewards of each agent; None where all have one together."""
        rewards = self.system.rewards
        if rewards is None:
            raise no_rewards()
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
        """Refused: the joint states would not fit, or it would take too long to plan in all."""
        if self.policy is not None and self.policy.dear(self.system.spaces.joint_states):
            raise self.policy.too_dear("exact chain", self.system.spaces.joint_states)
        raise not_listed(self.system)

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
    def proved_separable(self) -> str:
        return self.runs.proved_separable

    @property
    def reading(self) -> str:  # type: ignore[override]
        return self.system.reading

    def summary(self) -> dict[str, Any]:
        return self.runs.summary()

    def local_names(self, u: int) -> tuple[list[str], list[str]]:
        return self.runs.local_names(u)

    def signal_of(self, u: int) -> Ints | None:
        return self.system.signal_of(u)

    def blind(self) -> BlindAgents:
        """The same where local values may not see the signal, see `Chain.blind`."""
        from .blind import BlindAgents

        if self.signal_of(0) is None:
            raise no_signal("blind", self)
        return BlindAgents(self.system, self.policy, self.starts)  # type: ignore[arg-type]

    def merge(self, groups: Any) -> AgentChain:
        """The same chain when groups of agents count as one agent each, see `Chain.merge`; a group has all
        combinations of its members' local states and actions."""
        from .groups import merged

        return merged(self, groups)

    def checks(self) -> list[tuple[str, bool, str]]:
        """Feasible actions along a short run."""
        walk, steps = self.runs.walk(1, generator(0)), 100
        for _ in range(steps):
            self.system.check_actions(walk.states, walk.actions)
            walk.step()
        return [("policy", True, f"its actions are feasible in each of {steps} simulated steps")]
