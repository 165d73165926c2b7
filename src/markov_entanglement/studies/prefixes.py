"""Independent runs of a system, read after more and more steps: what is learned by then, and how entangled it looks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._random import children
from ..bandits.chain import BanditRuns
from ..bandits.counts import CountEngine
from ..bandits.estimate import medians as chances
from ..errors import TooLarge, gib
from ..laws.source import Runs, offers
from ..learning.fold import Learner
from ..learning.result import LocalValues
from ..runs.agents import AgentRuns
from ..runs.chunk import Chunk
from ..runs.estimates import medians
from ..runs.flows import alike
from ..runs.path import Path


class Prefixes(ABC):
    """R independent runs of T steps."""

    #: Whether there is a policy, whose entanglement is measured; a chain has none of its own.
    lawful = True

    @abstractmethod
    def learned(self, r: int, steps: int, learner: Learner[Any], gamma: float) -> LocalValues:
        """What a learner makes of the first steps of run r."""

    @abstractmethod
    def entanglement(self, r: int, steps: int) -> Floats:
        """(U,) Prop. 7.2 in sample from them, of every unit."""

    @abstractmethod
    def pairs(self, count: int) -> Ints:
        """So many joint pairs of the first run at most, evenly spread, as local values are asked at."""


def prefixes(source: Runs, runs: int, steps: int, burn_in: int, rng: Any) -> Prefixes:
    """Runs of agents, or of a bandit in counts."""
    kind: Any = InCounts if offers(source, BanditRuns) else Agents
    found: Prefixes = kind(source, runs, steps, burn_in, rng)
    return found


def _room(numbers: int) -> None:
    if 8 * numbers > tol.BYTES // 4:
        raise TooLarge(
            "steps of all runs", gib(8 * numbers), gib(tol.BYTES // 4), "Take fewer steps or runs."
        )


def _spread(steps: int, count: int) -> Ints:
    return np.linspace(0, steps - 1, min(steps, count)).astype(np.int64)


class Agents(Prefixes):
    """Agents stepped side by side."""

    def __init__(self, source: AgentRuns, runs: int, steps: int, burn_in: int, rng: Any) -> None:
        _room(2 * runs * steps * source.system.n_agents)
        parts = list(source.walk(runs, rng, burn_in).chunks(steps))
        self.source, spaces = source, source.system.spaces
        self.lawful = source.policy is not None
        self.at = np.concatenate([p.pairs[:, :-1] for p in parts] + [parts[-1].pairs[:, -1:]], axis=1)
        self.ended = np.concatenate([p.ended for p in parts], axis=1)
        self.rewards = np.concatenate([source.engine.earned(p) for p in parts], axis=1)
        self.sizes = np.column_stack([spaces.n_states, spaces.n_actions])

    def learned(self, r: int, steps: int, learner: Learner[Any], gamma: float) -> LocalValues:
        pairs = self.at[r, : steps + 1]
        return learner.fit(
            [Chunk(pairs, self.rewards[r, :steps], self.ended[r, :steps], 0, self.sizes)], gamma
        )

    def entanglement(self, r: int, steps: int) -> Floats:
        policy, spaces = self.source.policy, self.source.system.spaces
        assert policy is not None
        states = self.at[r, :steps] // self.sizes[:, 1]
        laws, out = policy.marginals(states), np.empty(len(self.sizes))
        for who, s, _ in alike(spaces):
            law = np.stack([laws[i] for i in who], axis=1)
            key = states[:, who] + np.arange(len(who)) * s
            best = medians(key.ravel(), law.reshape(-1, law.shape[2]), len(who) * s)
            out[who] = 0.5 * np.abs(law - best[key]).sum(axis=2).mean(axis=0)
        return out

    def pairs(self, count: int) -> Ints:
        return np.asarray(self.at[0, _spread(self.at.shape[1] - 1, count)])


class InCounts(Prefixes):
    """A bandit in counts."""

    def __init__(self, source: BanditRuns, runs: int, steps: int, burn_in: int, rng: Any) -> None:
        self.bandit, self.engine = source.bandit, CountEngine.of(source.bandit, source.policy)
        self.paths = [source.path(steps, burn_in, child, "steps") for child in children(rng, runs)]

    def _first(self, r: int, steps: int) -> Path:
        p: Any = self.paths[r]
        until, steps = slice(0, steps + 1), steps + 1
        return replace(p, rewards=p.rewards[until], counts=p.counts[: steps + 1], served=p.served[until],
                       flows=p.flows[: steps - 1], episode_starts=p.episode_starts[until],
                       terminated=p.terminated[until], truncated=p.truncated[until])  # fmt: skip

    def learned(self, r: int, steps: int, learner: Learner[Any], gamma: float) -> LocalValues:
        return learner.fit(self._first(r, steps), gamma)

    def entanglement(self, r: int, steps: int) -> Floats:
        counts: Any = self.paths[r].counts[:steps].reshape(steps, -1)  # type: ignore[index]
        rho, (types, states) = self.engine.activation(counts), (self.bandit.n_types, self.bandit.n_states)
        weight = counts / np.repeat(np.maximum(self.bandit.n_arms, 1), states)
        missed = np.abs(rho - chances(rho, weight)) * weight
        return np.asarray(missed.reshape(steps, types, states).sum(axis=2).mean(axis=0))

    def pairs(self, count: int) -> Ints:
        p: Any = self.paths[0]
        at = np.stack([p.counts[:-1] - p.served, p.served], axis=-1)
        return np.asarray(at[_spread(len(at), count)].reshape(-1, len(at[0]), 2 * at.shape[2]))
