"""Play by a network: stationary starts of independent runs, and rollouts from snapshots of them.

An episode ends where the environment ends it, or at the horizon. A game without a horizon is also begun anew with a
small chance after each step, so that what is met is a law mu that a step keeps up to that chance c:
`mu >= (1 - c) mu P`, and `(gamma P)^k` shrinks L1(mu) and L2(mu) by at least `(gamma / (1 - c))^k`. Rollouts are never
cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from .._check import Floats
from ..errors import InvalidInput
from .face import Environment, Step
from .local import LocalStates
from .network_policy import Actions, Actor, View
from .snapshot import Snapshots, Token

#: Episodes that tell how long they are; lengths of one between burn-in and starts, and in the run of all starts.
_PILOT, _BURN, _RUN = 10, 2, 5
_SEEDS = 2**31


class Start(NamedTuple):
    """A step of a run: where it is, what is seen, what is done."""

    token: Token
    view: View
    actions: Actions
    local: list[int] | None  # (N,) numbers of local states, where somebody asked


@dataclass(eq=False)
class Play:
    """Episodes of an environment under a network, and what Q counts of them."""

    face: Environment
    snapshots: Snapshots
    actor: Actor
    gamma: float
    horizon: int | None
    worth: Callable[[View, Actions], float]  # D
    local: LocalStates | None = None
    pay: str = "sum"
    units: tuple[float, float] = (0.0, 1.0)  # what is taken off a reward, and what it is divided by
    spread: list[float] = field(default_factory=lambda: [0.0, 0.0])  # of rewards met
    longest: int = 0  # steps of an episode

    @property
    def cut(self) -> float:
        """Chance that a run is begun anew after a step."""
        return 0.0 if self.horizon is not None else (1.0 - self.gamma) / 4.0

    def shrink(self, k: int) -> float:
        """What a step leaves of what is unknown beyond k of them, at most: 0 at the horizon."""
        if self.horizon is not None and k >= self.horizon:
            return 0.0
        return self.gamma / (1.0 - self.cut)

    def paid(self, step: Step) -> float:
        """The reward of all for a step."""
        whole = float(step.rewards.mean() if self.pay == "mean" else step.rewards.sum())
        whole = (whole - self.units[0]) / self.units[1]
        self.spread = [min(self.spread[0], whole), max(self.spread[1], whole)]
        return whole

    def over(self, step: Step) -> bool:
        """Whether values stop here."""
        self.longest = max(self.longest, step.time)
        if step.over and not step.ended and (self.horizon is None or step.time < self.horizon):
            got = "none" if self.horizon is None else f"{self.horizon:,} steps"
            rule = f"the environment cuts episodes after {step.time:,} steps, and values must know whether they go on"
            remedy = (
                f"Pass horizon={step.time}: values stop there; or build the environment without its limit."
            )
            raise InvalidInput("horizon", got, rule, remedy)
        return step.over or (self.horizon is not None and step.time >= self.horizon)

    def _begin(self, rng: np.random.Generator) -> View:
        step = self.face.reset(int(rng.integers(_SEEDS)))
        return self.actor.look(step, self.actor.begin())

    def _walk(self, rng: np.random.Generator) -> Iterator[tuple[View, Actions]]:
        """A run without end: what is seen and done, before it is done."""
        while True:
            view = self._begin(rng)
            while True:
                actions = self.actor.act(view, rng)
                yield view, actions
                hidden = self.actor.after(view, actions)
                step = self.face.step(actions)
                if self.over(step) or (self.cut > 0.0 and rng.random() < self.cut):
                    break
                view = self.actor.look(step, hidden)

    def length(self, rng: np.random.Generator) -> float:
        """Mean number of steps between two beginnings."""
        steps, walk, begun = 0, self._walk(rng), 0
        for _ in walk:
            begun += self.face.time == 0
            if begun > _PILOT:
                break
            steps += 1
        return steps / _PILOT

    def starts(self, count: int, mean: float, rng: np.random.Generator) -> Iterator[Start]:
        """So many steps of one run, one of each stretch of it, after a while."""
        gap = math.ceil(_RUN * mean / count)
        burn = math.ceil(_BURN * mean) + int(rng.integers(math.ceil(mean)))
        wanted = set(burn + gap * np.arange(count) + rng.integers(gap, size=count))
        for t, (view, actions) in enumerate(self._walk(rng)):
            if t in wanted:
                local = None if self.local is None else self.local.read(self.face)
                yield Start(self.snapshots.take(), view, actions, local)
                if len(wanted) == 1:
                    return
                wanted.remove(t)

    def roll(
        self, start: Start, actions: Actions, ks: Sequence[int], seed: int, rng: np.random.Generator
    ) -> Floats:
        """(K,) discounted rewards of the first k steps from joint actions on, and D after them."""
        self.snapshots.restore(start.token, seed)
        out, total, scale, view = np.empty(len(ks)), 0.0, 1.0, start.view
        for t in range(ks[-1] + 1):
            if t:
                actions = self.actor.act(view, rng)
                if t in ks:
                    out[ks.index(t)] = total + scale * self.worth(view, actions)
                if t == ks[-1]:
                    break
            hidden = self.actor.after(view, actions)
            step = self.face.step(actions)
            total += scale * self.paid(step)
            scale *= self.gamma
            if self.over(step):
                out[[k > t for k in ks]] = total
                break
            view = self.actor.look(step, hidden)
        return out
