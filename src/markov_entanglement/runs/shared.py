"""From what agents learn along runs: their own rewards, or their part of one reward of all (Meta Algorithm 2).

Such a reward is split over the joint pairs that the runs met, as `values/shared_reward.py` splits it under mu; the
reward itself is what is paid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._interval import t_interval
from ..values.shared_reward import SharedFit, fit_sampled
from .flows import Flows

if TYPE_CHECKING:
    from .agents import AgentRuns

Tables = Sequence[Floats]


class Paid(NamedTuple):
    """From what each agent learns: tables (m_i,), the same without each run, and how a shared reward was split."""

    local: Tables
    without: Callable[[], Sequence[Tables]]  # (R,)
    shared: SharedFit | None = None
    interval: tuple[float, float] | None = None  # of the error of that split, over the runs
    pairs: int = 0  # joint pairs that it saw


class Counts(NamedTuple):
    """Different joint pairs (n, N), the mean reward (n,) of each, and how often each run met it (R, n)."""

    pairs: Ints
    reward: Floats
    often: Ints

    def fit(self, sizes: Sequence[int], times: Ints, split: str) -> SharedFit:
        """The split of the pairs that were met so many times (n,)."""
        small = self.pairs.size <= tol.LAD_RUNS
        return fit_sampled(self.pairs, sizes, times / times.sum(), self.reward, split=split, small=small)

    def misses(self, fit: SharedFit, runs: slice = slice(None)) -> Floats:
        """(R,) mean absolute deviation of these local rewards along each run."""
        fitted = sum(t[self.pairs[:, i]] for i, t in enumerate(fit.local))
        often = self.often[runs]
        return np.asarray(often @ np.abs(self.reward - fitted) / often.sum(axis=1))


class Met:
    """Joint pairs of R runs side by side and the one reward paid there, every so many steps, `most` in all."""

    def __init__(self, count: int, agents: int, steps: int, most: int = tol.LAD_PAIRS) -> None:
        self.stride = -(-steps * count // most)
        kept = -(-steps // self.stride)
        self.pairs = np.empty((count, kept, agents), dtype=np.int32)
        self.paid = np.empty((count, kept))

    def __call__(self, done: int, pairs: Ints, paid: Floats) -> None:
        """Take in the pairs (R, B + 1, N) and rewards (R, B) of B steps after so many."""
        seen = np.arange(done + -done % self.stride, done + paid.shape[1], self.stride)
        self.pairs[:, seen // self.stride] = pairs[:, seen - done]
        self.paid[:, seen // self.stride] = paid[:, seen - done]

    def counted(self) -> Counts:
        """What was met."""
        count, kept, agents = self.pairs.shape
        distinct, first, which = np.unique(
            self.pairs.reshape(-1, agents), axis=0, return_index=True, return_inverse=True
        )
        pairs, at = distinct.astype(np.int64), which.reshape(count, kept)
        often = np.stack([np.bincount(k, minlength=len(pairs)) for k in at])
        reward = self.paid.ravel()[first]
        if (self.paid != reward[at]).any():  # the same pair is not always paid alike
            reward = np.bincount(at.ravel(), self.paid.ravel(), len(pairs)) / often.sum(axis=0)
        return Counts(pairs, reward, often)

    def split(self, sizes: Sequence[int]) -> Paid:
        """The split over all runs, and over all but each."""
        found = self.counted()
        total = found.often.sum(axis=0)
        whole = found.fit(sizes, total, "lad")
        mean, _, half = t_interval(found.misses(whole))
        interval = max(float(mean - half), 0.0), float(mean + half)

        def without() -> list[Tables]:
            return [found.fit(sizes, total - o, "lad").local for o in found.often]

        return Paid(whole.local, without, whole, interval, self.paid.size)


def paid(runs: AgentRuns, parts: Sequence[Flows], total: Flows, met: Met | None) -> Paid:
    """What agents learn from in runs of these flows: their own rewards, or their part of the one that was `met`."""
    if met is not None:
        return met.split(runs.system.spaces.pair_sizes)
    recorded = total.rewards()
    if recorded is not None:
        return Paid(recorded, lambda: [(total - part).rewards() or () for part in parts])
    own = runs.own_rewards
    assert own is not None
    return Paid(own, lambda: [own] * len(parts))
