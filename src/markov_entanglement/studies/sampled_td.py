"""Tabular TD as it runs in practice: sample by sample, with a step of 1/visits.

    Q_i(x) <- Q_i(x) + 1/n_i(x) [ r_i(x) + gamma Q_i(x') - Q_i(x) ]          n_i(x) = visits of x so far

converges to the local values `(I - gamma P_i)^{-1} r_i`, but the part of its start value 0 that is left after n
visits falls like `n^(gamma - 1)` only. It has the same sign for every arm, so that the sum over N arms after
T ~ N steps is off by a number that grows like `N * N^(gamma - 1)`: sqrt(N) at gamma = 0.5, as the bias of the
decomposition does. Averaging runs does not remove it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from .._check import Floats, freeze
from .._random import generator
from ..bandits.arms import Arms, arm_path
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy

_BLOCK = 1_000_000


@njit(cache=True, nogil=True)
def _learn(before, states, actions, first, last, reward, gamma, visits, q):  # type: ignore[no-untyped-def]
    """Learn from the moves into steps first..last-1; `before` (N,) is the last pair and moves along."""
    for t in range(first, last):
        for i in range(len(before)):
            x, y = before[i], 2 * states[t, i] + actions[t, i]
            visits[i, x] += 1
            q[i, x] += (reward[i, x] + gamma * q[i, y] - q[i, x]) / visits[i, x]
            before[i] = y


def sampled_td(
    bandit: RestlessBandit, policy: IndexPolicy, times: Sequence[int], *, burn_in: int, start: Any, rng: Any
) -> list[Floats]:
    """Tables (N, 2S) of all arms, at `2 s + a`, after each of the increasing `times`.

    Parameters
    ----------
    times : moves learned from, counted after `burn_in` steps.
    start : (N,) local states.
    rng : seed or numpy Generator.
    """
    random, arms = generator(rng), Arms.of(bandit, policy)
    reward = np.repeat(bandit.rewards.reshape(bandit.n_types, -1), bandit.n_arms, axis=0)
    q, visits = np.zeros(reward.shape), np.zeros(reward.shape, dtype=np.int64)
    states = np.asarray(start)
    if burn_in:
        states = arm_path(arms, burn_in, rng=random, start=states, workers=1).states[-1]  # type: ignore[index]
    before = np.zeros(len(reward), dtype=np.int64)
    out: list[Floats] = []
    now, block = 0, max(2, _BLOCK // len(reward))
    while len(out) < len(times):
        path = arm_path(arms, min(block, times[-1] + 1 - now), rng=random, start=states, workers=1)
        at, acts = path.states, path.actions
        assert at is not None and acts is not None
        done = 0
        if now == 0:
            before, done = 2 * at[0] + acts[0], 1
        # The move into step now + k is number now + k.
        for stop in [t + 1 - now for t in times if now <= t < now + len(acts)] + [len(acts)]:
            _learn(before, at, acts, done, stop, reward, bandit.discount, visits, q)
            if len(out) < len(times) and times[len(out)] == stop + now - 1:
                out.append(freeze(q.copy()))
            done = stop
        states, now = at[-1], now + len(acts)
    return out
