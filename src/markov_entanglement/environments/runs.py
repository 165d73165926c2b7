"""A recording as runs: local values that agents learn from it, their errors by its rollouts, entanglement."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from .._check import Floats, Ints
from .._interval import t_interval
from .._random import generator
from .._types import ColumnsLike
from ..data.entangled import of_steps
from ..data.log import Log
from ..data.parts import Seen, chosen
from ..data.shards import mapped
from ..data.steps import Steps, collect
from ..errors import InvalidInput, Unsupported
from ..laws.source import Lesson, Recorded
from ..measures.entanglement import Entanglement
from ..model.simulator import Simulator
from ..model.spaces import Labels
from ..report.facts import percent
from ..runs.agents import AgentRuns
from ..runs.candidate import candidate_of, finite
from ..runs.certify import Certified, brackets
from ..runs.chunk import Chunk
from ..runs.engine import Rollouts, Stretch, no_rewards
from ..runs.entanglement import EntanglementEstimate, estimated, mean_where_known, rare_events
from ..runs.errors import ErrorEstimate
from ..runs.estimates import (
    RUNS,
    Starts,
    Trained,
    additive,
    judged,
    learned_from,
    memory,
    misses,
    teach,
    too_short,
)
from ..runs.floor import sampled
from ..runs.flows import Flows
from ..runs.next_pairs import Laws
from .record import Recording, joined, steps_for
from .recorded import log_of


@dataclass(frozen=True, eq=False, repr=False)
class RecordedErrors(ErrorEstimate):
    """Errors of local values by rollouts of a recording, see `ErrorEstimate`."""

    recorded: int = 0  # steps
    cut: float = 0.0  # share of the rollouts that the clock cut short
    method: str | None = None  # of snapshots
    controlled = ""

    @property
    def estimator(self) -> str:
        """How the numbers were obtained, in words."""
        clock = "are cut short by the clock; there values are taken to err as they do elsewhere"
        return super().estimator + (f"; {percent(self.cut)} of the rollouts {clock}" if self.cut else "")

    @property
    def remedy(self) -> str:
        """What decides."""
        if self.more is None:
            return f"record longer: me.diagnose(..., steps={10 * self.recorded})"
        if math.isinf(self._needed):
            why = "the value is at the tolerance"
            if self.more[1] > self.steps:
                why = f"rollouts of {self.steps:,} steps leave too much"
            if self.cut:
                why = "make the environment without its clock, or a later one"
            return f"no number of steps decides: {why}"
        steps = math.ceil(self._needed)
        return f"about {steps:.2g} steps in all would decide: me.diagnose(..., steps={steps})"

    @property
    def _needed(self) -> float:
        """Steps in all that would decide; infinite where none would."""
        starts, k = self.more or (math.inf, 0)
        if math.isinf(starts) or k > self.steps:
            return math.inf
        return max(self.recorded * starts / self.starts, steps_for(math.ceil(starts), k, self.method))

    @property
    def more_steps(self) -> float | None:
        """Steps to record beyond those recorded that would decide, see `more`."""
        return None if self.more is None else self._needed - self.recorded


class Replay:
    """A recording as runs side by side that are walked once more."""

    def __init__(self, stretch: Stretch) -> None:
        self.stretch, self.states = stretch, stretch.pairs[:, 0]

    def chunks(self, steps: int) -> Iterator[Stretch]:
        """All of it."""
        yield self.stretch


@dataclass(frozen=True, eq=False, repr=False)
class EnvironmentRuns(AgentRuns, Recorded):
    """What was recorded of an environment under a policy, as something that questions are asked of.

    The next episode is a part of mu and of E_i. Values stop where the task ended; where the clock cut, the task goes on
    and nobody saw how, so that nothing is learned from that step and rollouts end before it.
    """

    recording: Recording | None = None
    costly = True

    @classmethod
    def of(cls, recording: Recording, discount: float | None) -> EnvironmentRuns:
        """The runs of a recording."""
        sizes = [len(s) for s in recording.states]
        labels: Any = {"names": list(recording.agents), "states": [list(s) for s in recording.states]}
        system = Simulator(_unstepped, sizes, recording.n_actions, start=[0] * len(sizes), discount=discount,
                           labels=labels)  # fmt: skip
        return cls(system, None, recording=recording)

    def __repr__(self) -> str:
        return f"EnvironmentRuns({self.steps:,} steps, {self.system.n_agents} agents)"

    @property
    def kept(self) -> Recording:
        """The recording."""
        assert self.recording is not None
        return self.recording

    @property
    def steps(self) -> int:
        """Steps recorded, of all runs together."""
        return sum(len(run.ended) for run in self.kept.runs)

    @property
    def stepped(self) -> EnvironmentRuns:
        return self

    @property
    def lawful(self) -> bool:
        """Whether the policy said its probabilities."""
        return self.kept.runs[0].laws.shape[1] > 0

    @property
    def known(self) -> tuple[str, ...]:  # type: ignore[override]
        """What comes with the steps, see `Recorded`."""
        run = self.kept.runs[0]
        there = {"draws": len(run.at), "policy": self.lawful, "rollouts": len(run.start)}
        return tuple(name for name, some in there.items() if some)

    @cached_property
    def log(self) -> Log:
        """The runs as a log."""
        return log_of(self.kept, self.discount)

    @cached_property
    def side_by_side(self) -> Steps:
        """The steps, in which an episode that the clock cut is followed by nothing."""
        return collect(self.chunks(0, None), self._sizes)

    @property
    def _sizes(self) -> Ints:
        return np.array(self.system.spaces.pair_sizes, dtype=np.int64)

    usual = Recorded.usual

    def summary(self) -> dict[str, Any]:
        kept = self.kept
        how = "no snapshots" if kept.method is None else f"snapshots by {kept.method}"
        policy = {"word": kept.policy, "says": f"local states from {kept.told}; {how}"}
        title = f"An environment of {self.system.n_agents} agents, {self.steps:,} steps recorded"
        more = {"title": title, "kind": "environment", "policy": policy}
        return super().summary() | more

    @cached_property
    def stretch(self) -> Stretch:
        """All runs side by side."""
        return Stretch(*(joined(self.kept.runs, n) for n in ("pairs", "ended", "rewards", "cut")))

    @cached_property
    def flows(self) -> Flows:
        """The moves of all runs together."""
        return sum(self._taught[0][1:], self._taught[0][0])

    @cached_property
    def _taught(self) -> Any:
        return self._told(self.stretch)

    def _told(self, stretch: Stretch) -> Any:
        return teach(Replay(stretch), self, stretch.ended.shape[1])  # type: ignore[arg-type]

    @cached_property
    def lag(self) -> float:
        """Steps per independent one of the slowest agent, where another episode forgets what was before."""
        known = self.stretch
        parts, _ = self._told(Stretch(known.pairs, known.ended | known.cut, known.paid))
        return memory(self, sum(parts[1:], parts[0]))

    @property
    def caution(self) -> str:
        """Why the runs are too short to say anything, or ""."""
        steps = self.stretch.ended.shape[1]
        return too_short(self.lag, math.ceil(50 * self.lag)) if 5 * self.lag > steps else ""

    def entanglement(self, distance: str, rng: Any) -> Entanglement:  # type: ignore[override]
        """Prop. 7.2 by Eq. 10 from the policy's laws; Eq. 7 from next pairs, those drawn again included."""
        if distance == "policy":
            return self._policy()
        if distance != "mu-atv":
            rule = "a recording answers mu-atv, and policy where the policy says its probabilities"
            raise Unsupported(
                f"distance {distance!r}",
                repr(self),
                rule,
                "Ask one of these, or me.tabulate the environment.",
            )
        found = of_steps(self.drawn, self.units, rng=generator(rng))
        drawn = sum(len(run.at) for run in self.kept.runs)
        again = f" and {drawn:,} next steps drawn again from snapshots" if drawn else ""
        how = (
            f"{self.steps:,} steps of {RUNS} runs{again}: witness learned on one half and judged on the other (low); "
            "limits at 95 % each by batch means of 20 stretches a half"
        )
        return replace(found, method="simulate", estimator=how)

    @property
    def parts(self) -> tuple[str, ...]:
        return () if self.kept.parts is None else self.kept.parts.names

    def seen(self, keep: tuple[str, ...]) -> Seen:
        assert self.kept.parts is not None
        return self.kept.parts.seen(keep, self.system.spaces, Labels(self.kept.agents, self.kept.states))

    def showing(self, parts: ColumnsLike) -> EnvironmentRuns:
        """The same runs where local states show some of their parts alone; see `Log.showing`."""
        seen = self.seen(chosen("parts", parts, self.parts, self))
        names = ("pairs", "drawn", "ahead")
        found: list[dict[str, Any]] = [
            {n: mapped(getattr(run, n), seen.pairs) for n in names} for run in self.kept.runs
        ]
        runs = tuple(replace(run, **new) for run, new in zip(self.kept.runs, found, strict=True))
        shown = replace(self.kept, runs=runs, states=seen.labels.states, parts=seen.parts)
        return EnvironmentRuns.of(shown, self.discount)

    @cached_property
    def drawn(self) -> Steps:
        """The steps with those that were drawn again, in the order of time."""
        kept, sizes = self.kept.runs, self._sizes
        own = collect((Chunk(run.pairs, run.rewards, run.ended, r) for r, run in enumerate(kept)), sizes)
        first = np.cumsum([0, *(len(run.ended) for run in kept)])
        at = np.concatenate([run.at + f for run, f in zip(kept, first, strict=False)])
        after = np.concatenate([np.where(run.over[:, None], sizes, run.drawn) for run in kept])
        order = np.argsort(np.concatenate([np.arange(len(own)), at]), kind="stable")
        unknown = np.full(len(at), -1)
        both = {
            "pairs": own.pairs[at], "next": after, "point": own.point[at], "follow": unknown, "before": unknown,
            "rewards": own.rewards[at], "ended": np.concatenate([run.over for run in kept]),
        }  # fmt: skip
        whole = {name: np.concatenate([getattr(own, name), a])[order] for name, a in both.items()}
        return replace(own, **whole, clock=None, chances=None)

    def _policy(self) -> EntanglementEstimate:
        runs, agents = self.kept.runs, self.system.n_agents
        if not self.lawful:
            rule, helps = "the policy says no probabilities", "Let it return probabilities of actions."
            raise Unsupported("distance 'policy'", repr(self), rule, helps)
        found = [misses(self._laws(r), agents) for r in range(len(runs))]
        inside, crossed, sums = (np.stack([f[j] for f in found]) for j in range(3))
        each = len(runs[0].asked)
        rare = rare_events(sums, max(self.lag * each / len(runs[0].ended), 1.0), each * len(runs))
        best = [mean_where_known(np.stack([f[3][i] for f in found])) for i in range(agents)]
        best = [q[:, 1] if q.shape[1] == 2 else q.ravel() for q in best]
        return estimated(self.units, inside, crossed, rare, best, steps=len(runs[0].ended), burn_in=self.kept.burn_in,
                         replications=len(runs), batches=0, caution=self.caution)  # fmt: skip

    def _laws(self, r: int) -> Iterator[Laws]:
        """The laws of the policy along run r, agent by agent."""
        run, spaces = self.kept.runs[r], self.system.spaces
        parts = np.split(run.laws, np.cumsum(spaces.n_actions)[:-1], axis=1)
        for i, (law, s, a) in enumerate(zip(parts, spaces.n_states, spaces.n_actions, strict=True)):
            yield Laws(np.array([i]), run.pairs[run.asked][:, [i]] // a, s, law[:, None])

    def errors(self, rng: Any, tolerance: float | None = None) -> ErrorEstimate:
        """Errors of local values that agents learn along the recording, by its rollouts."""
        gamma, trained = self._trained()
        starts = self._starts()
        k = self.kept.runs[0].paid.shape[2]
        rolled, clocked = self._rollouts([k], gamma, additive(trained.local.tables))
        first = None if clocked is None else clocked[..., 0]
        found = judged(self, trained, starts, rolled, k, gamma, tolerance, first)
        known = {f.name: getattr(found, f.name) for f in fields(found)}
        return RecordedErrors(
            **known, recorded=self.steps, cut=0.0 if first is None else float((first > 0).mean()),
            method=self.kept.method,
        )  # fmt: skip

    def _trained(self) -> tuple[float, Trained]:
        gamma, runs = self.discount, self.kept.runs
        if gamma is None:
            raise Unsupported(
                "values", "no discount", "values are sums with discount", "Give a discount, e.g. 0.95."
            )
        if not self.stretch.paid.any():  # type: ignore[union-attr]
            raise no_rewards()
        if not len(runs[0].start):
            rule = "errors of values need rollouts from snapshots, and none were made"
            remedy = "Let snapshots be taken; where none is faithful, give the environment get_state and set_state."
            raise Unsupported("values", repr(self), rule, remedy)
        steps = len(runs[0].ended)
        parts, met = self._taught
        return gamma, learned_from(self, Replay(self.stretch), parts, met, self.lag, steps, steps, gamma)  # type: ignore[arg-type]

    def _starts(self) -> Starts:
        runs = self.kept.runs
        pairs = np.concatenate([run.pairs[run.start] for run in runs])
        states, actions = self.system.spaces.split(pairs)
        return Starts(
            states, actions, len(runs[0].start), len(runs[0].ended) // len(runs[0].start), self.caution
        )

    def _rollouts(self, ks: list[int], gamma: float, value: Any) -> tuple[Rollouts, Floats | None]:
        """The two sums of each start, for ascending numbers of steps; and (R, m, 2, K) gamma to the steps of those that
        the clock cut short, 0 of others; None: none was."""
        ahead, paid, length, known = (
            np.concatenate([getattr(r, n) for r in self.kept.runs])
            for n in ("ahead", "paid", "length", "known")
        )
        many, agents = len(ahead), ahead.shape[3]
        earned = np.cumsum(gamma ** np.arange(paid.shape[2]) * paid.sum(axis=3), axis=2)
        begin = value(np.ascontiguousarray(ahead[:, 0, 0]))
        g, clocked = np.empty((many, 2, len(ks))), np.zeros((many, 2, len(ks)))
        for j, k in enumerate(ks):
            far = value(np.ascontiguousarray(ahead[:, :, k].reshape(-1, agents))).reshape(many, 2)
            left = gamma ** np.minimum(known, k)
            g[:, :, j] = earned[:, :, k - 1] + left * np.where(length > k, far, 0.0) - begin[:, None]
            clocked[:, :, j] = np.where(known < k, left, 0.0)
        short = clocked.reshape(RUNS, -1, 2, len(ks)) if clocked.any() else None
        return Rollouts(g, g, begin), short

    def certified(self, candidate: Any, ks: list[int], starts: int, control: str, rng: Any) -> Certified:
        """Errors of a candidate by the rollouts of the recording, whatever number of starts is asked."""
        given = candidate_of(candidate, self.system.spaces.pair_sizes)
        gamma, trained = self._trained()
        most = self.kept.runs[0].paid.shape[2]
        if ks[-1] > most:
            rule = f"its rollouts have {most} steps"
            raise InvalidInput("steps", str(ks[-1]), rule, f"Ask for at most {most}.")
        at = self._starts()
        found, clocked = self._rollouts(ks, gamma, lambda x: finite(given.of_pairs(x)))
        shape = RUNS, at.each
        left, plain, value = (a.reshape(*shape, *a.shape[1:]) for a in found)
        estimates, ratio = brackets(self, given, ks, gamma, left, plain, value, control, at.caution, clocked)
        pairs = self.system.spaces.local_pairs(at.states, at.actions)
        alone = [np.zeros(m) for m in self.system.spaces.pair_sizes]
        sample = sampled(left[..., -1], value, pairs, self.system.spaces.pair_sizes,
                         (trained.local.tables, alone), given.additive)  # fmt: skip

        def judge(states: int, budget: float, child: np.random.Generator) -> Any:
            raise Unsupported(
                "decision loss", repr(self), "a recording cannot try other actions", "Leave it out."
            )

        return Certified(estimates, ratio, sample, given.noise, judge)

    def chunks(self, steps: int, rng: Any, **how: Any) -> Iterator[Chunk]:
        """The runs as they were recorded, whatever number of steps is asked; an episode that the clock cut is followed
        by a row of absent agents."""
        spaces = self.system.spaces
        told = np.column_stack([spaces.n_states, spaces.n_actions]), self.discount
        for r, run in enumerate(self.kept.runs):
            rows = np.insert(np.arange(len(run.pairs)), np.flatnonzero(run.cut) + 1, -1)
            there, at = rows >= 0, np.maximum(rows, 0)[:-1]
            pairs, clock = np.where(there[:, None], run.pairs[rows], -1), np.where(there, run.time[rows], -1)
            yield Chunk(pairs, run.rewards[at], run.ended[at] & there[:-1], r, *told, clock=clock)

    def learned(self, learner: Any, lesson: Lesson) -> Any:
        """What a learner makes of the recording."""
        return learner.fit(self.chunks(0, None), lesson.discount, names=[u.name for u in self.units])

    def worth(self, rng: Any) -> tuple[float, float, str]:
        """Reward of all agents per step."""
        assert self.stretch.paid is not None
        mean, _, half = t_interval(self.stretch.paid.sum(axis=2).mean(axis=1))
        return (
            float(mean),
            float(half),
            f"{RUNS} runs of {self.stretch.ended.shape[1]:,} steps, 95 % t-interval",
        )


def _unstepped(states: Ints, actions: Ints, rng: np.random.Generator) -> Any:
    raise Unsupported("step", "a recording", "it cannot be stepped", "Ask the environment.")
