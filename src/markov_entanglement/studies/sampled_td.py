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

from .._check import Floats, freeze
from ..bandits.arms import Arms, arm_path
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy

_BLOCK = 2_000_000


def sampled_td(
    bandit: RestlessBandit, policy: IndexPolicy, times: Sequence[int], *, burn_in: int, start: Any, rng: Any
) -> list[Floats]:
    """Tables (N, 2S) of all arms, at `2 s + a`, after each of the increasing `times`.

    Parameters
    ----------
    times : transitions learned from, counted after `burn_in` steps.
    start : (N,) local states.
    rng : seed or numpy Generator.
    """
    N, gamma = bandit.n_agents, bandit.discount
    generator, arms = np.random.default_rng(rng), Arms.of(bandit, policy)
    reward = np.repeat(bandit.rewards.reshape(bandit.n_types, -1), bandit.n_arms, axis=0).ravel()
    row = np.arange(N) * (2 * bandit.n_states)
    q, visits = np.zeros(len(reward)), np.zeros(len(reward))
    states, before, learned = np.asarray(start), None, -burn_in
    out: list[Floats] = []
    while len(out) < len(times):
        length = max(2, min(_BLOCK // N, times[-1] + 1 - learned))
        path = arm_path(arms, length, rng=generator, start=states, workers=1)
        assert path.states is not None and path.actions is not None
        states = path.states[-1]
        for pair in 2 * path.states[:-1] + path.actions:
            after = row + pair
            if learned > 0 and before is not None:
                visits[before] += 1.0
                q[before] += (reward[before] + gamma * q[after] - q[before]) / visits[before]
            if learned in times:
                out.append(freeze(q.reshape(N, -1).copy()))
            before = after
            learned += 1
    return out[: len(times)]
