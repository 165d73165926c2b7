"""An environment under a policy as something that can be stepped, marked, and rolled out again from a mark."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._check import Floats
from .._random import stream
from .face import Environment
from .local import LocalStates
from .policy import EnvironmentPolicy
from .snapshot import Snapshots, Token

#: Seeds of episodes and of draws.
_SEEDS = 2**31 - 1


class Mark(NamedTuple):
    """A place of a run, with the actions that are taken there."""

    token: Token
    memory: Any
    pair: list[int]
    actions: tuple[int | None, ...]


class Move(NamedTuple):
    """What a step brought."""

    rewards: Floats  # (N,) or (1,)
    ended: bool  # the task is over
    cut: bool  # the clock cut the episode; the next one follows


class Walker:
    """One run: episode after episode, each agent's local pair `A_i s_i + a_i` now in `pair`."""

    def __init__(
        self, face: Environment, policy: EnvironmentPolicy, local: LocalStates, rng: np.random.Generator
    ) -> None:
        self.face, self.policy, self.local, self.rng = face, policy, local, rng
        self.pair: list[int] = []
        self.actions: tuple[int | None, ...] = ()
        self.begin()

    def begin(self) -> None:
        """A new episode."""
        self.face.reset(int(self.rng.integers(_SEEDS)))
        self.policy.begin()
        self._act()

    def _act(self) -> None:
        face = self.face
        assert face.last is not None
        states = self.local.read(face)
        self.actions = face.legal(self.policy.act(face.last, self.rng))
        both = zip(states, face.n_actions, self.actions, strict=True)
        self.pair = [s * a + (0 if chosen is None else chosen) for s, a, chosen in both]

    def move(self) -> Move:
        """One step; after the last one of an episode the next begins."""
        step = self.face.step(self.actions)
        found = Move(step.rewards, step.ended, step.over and not step.ended)
        if step.over:
            self.begin()
        else:
            self._act()
        return found

    def laws(self) -> Floats | None:
        """(sum A_i,) what the policy says of the actions of all agents, who is away takes the first; None: nothing."""
        assert self.face.last is not None
        found = self.policy.laws(self.face.last)
        if found is None:
            return None
        both = zip(found, self.face.n_actions, strict=True)
        return np.concatenate([np.eye(1, a)[0] if law is None else law for law, a in both])

    def mark(self, snapshots: Snapshots) -> Mark:
        """The place where it is."""
        return Mark(snapshots.take(), self.policy.memory, self.pair, self.actions)

    def back(self, snapshots: Snapshots, mark: Mark, seed: int | None = None) -> None:
        """Go to a place; with a seed, all that is random from there on is new."""
        snapshots.restore(mark.token, seed)
        self.policy.memory, self.pair, self.actions = mark.memory, mark.pair, mark.actions
        if seed is not None:
            self.rng = stream(seed, 0, 1)  # not a stream of the environment's generators
