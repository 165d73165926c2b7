"""Reward entanglement by runs: one reward of all agents, split over the joint pairs that are met.

The split of a sample is nearer to it than the best one is in the long run, and a split of one half of the runs is
further from the other half than the best one: between these two means, each widened by its noise, lies e(r).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .. import _tolerance as tol
from .._interval import t_interval
from ..values.reward_entanglement import RewardEntanglement, answer
from .engine import no_rewards
from .estimates import RUNS, begin, too_short
from .shared import Met

if TYPE_CHECKING:
    from .agents import AgentRuns


def reward_of(runs: AgentRuns, method: str, rng: np.random.Generator) -> RewardEntanglement:
    """The split of what is paid along runs that begin apart; a reward for each agent counts as their sum."""
    walk, lag, _, most = begin(runs, rng, RUNS)
    steps, agents = int(np.clip(math.ceil(50 * lag), 5000, most)), runs.system.n_agents
    met = Met(RUNS, agents, steps, max(RUNS, int(min(tol.LAD_SAMPLES, tol.LAD_WORK / agents**2))))
    done = 0
    for stretch in walk.chunks(steps):
        earned = runs.engine.earned(stretch)
        if not earned.shape[2]:
            raise no_rewards()
        met(done, stretch.pairs, earned.sum(axis=2))
        done += earned.shape[1]
    found, sizes = met.counted(), runs.system.spaces.pair_sizes
    often = found.often.sum(axis=0)
    whole = found.fit(sizes, often, method)
    halves = slice(0, RUNS // 2), slice(RUNS // 2, None)
    apart = [found.fit(sizes, found.often[h].sum(axis=0), method) for h in halves]
    crossed = np.concatenate([found.misses(f, h) for f, h in zip(apart, halves[::-1], strict=True)])
    (low, _, below), (high, _, above) = t_interval(found.misses(whole)), t_interval(crossed)
    interval = max(float(low - below), 0.0), float(high + above)
    caution = too_short(lag, math.ceil(50 * lag)) if 5 * lag > steps else ""
    if caution:
        interval = (0.0, math.inf)
    law = often / often.sum()
    return answer(runs, whole, found.pairs, law, found.reward, interval, met.paid.size, caution)
