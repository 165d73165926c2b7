"""Meta Algorithm 2 along runs: one reward of all agents is split over the joint pairs that the runs met, as
`values/shared_reward.py` splits it under mu. Each agent then learns from its part; the reward itself is what is paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._interval import t_interval
from ..model.rewards import Rewards
from ..values.shared_reward import SharedFit, fit_sampled

if TYPE_CHECKING:
    from .agents import AgentRuns

Tables = Sequence[Floats]


class Paid(NamedTuple):
    """From what each agent learns: tables (m_i,), the same without each run, and how a shared reward was split."""

    local: Tables
    without: Sequence[Tables]  # (R,)
    shared: SharedFit | None = None
    interval: tuple[float, float] | None = None  # of the error of that split, over the runs
    pairs: int = 0  # joint pairs that it saw


class Met:
    """Joint pairs of R runs side by side, every so many steps."""

    def __init__(self, count: int, agents: int, steps: int) -> None:
        self.stride = -(-steps * count // tol.LAD_PAIRS)
        self.pairs = np.empty((count, -(-steps // self.stride), agents), dtype=np.int32)

    def __call__(self, done: int, pairs: Ints) -> None:
        """Take in the pairs (R, B + 1, N) of B steps after so many."""
        seen = np.arange(done + -done % self.stride, done + pairs.shape[1] - 1, self.stride)
        self.pairs[:, seen // self.stride] = pairs[:, seen - done]

    def split(self, rewards: Rewards, runs: AgentRuns) -> Paid:
        """The split over all runs, and over all but each."""
        count, kept, agents = self.pairs.shape
        sizes = runs.system.spaces.pair_sizes
        distinct, which = np.unique(self.pairs.reshape(-1, agents), axis=0, return_inverse=True)
        pairs, at = distinct.astype(np.int64), which.reshape(count, kept)
        reward = rewards.on_pairs(pairs, runs.system.spaces)
        often = np.stack([np.bincount(k, minlength=len(pairs)) for k in at])
        total = often.sum(axis=0)
        small = distinct.size <= tol.LAD_RUNS

        def fit(times: Ints) -> SharedFit:
            return fit_sampled(pairs, sizes, times / times.sum(), reward, centred=False, small=small)[0]

        whole = fit(total)
        missed = np.abs(reward - sum(t[pairs[:, i]] for i, t in enumerate(whole.local)))
        mean, _, half = t_interval(often @ missed / kept)
        interval = max(float(mean - half), 0.0), float(mean + half)
        return Paid(whole.local, [fit(total - o).local for o in often], whole, interval, count * kept)


def paid(runs: AgentRuns, met: Met | None, count: int) -> Paid:
    """What agents learn from in so many runs: their own rewards, or their part of one that the runs `met`."""
    own = runs.own_rewards
    if own is not None:
        return Paid(own, [own] * count)
    assert met is not None and runs.system.rewards is not None
    return met.split(runs.system.rewards, runs)
