"""Local tables learned sample by sample, and the stationary joint pairs with true values that tables are tested on.

Tabular TD as it runs in practice has a step of 1/visits:

    Q_i(x) <- Q_i(x) + 1/n_i(x) [ r_i(x) + gamma Q_i(x') - Q_i(x) ]          n_i(x) = visits of x so far

converges to the local values `(I - gamma P_i)^{-1} r_i`, but the part of its start value 0 that is left after n
visits falls like `n^(gamma - 1)` only. It has the same sign for every arm, so that the sum over N arms after
T ~ N steps is off by a number that grows like `N * N^(gamma - 1)`: sqrt(N) at gamma = 0.5, as the bias of the
decomposition does. Averaging runs does not remove it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import Floats, Ints, freeze
from .._compiled import compiled
from .._random import generator
from ..bandits.arms import Arms, arm_path
from ..bandits.counts import CountEngine
from ..bandits.rollouts import linear_response, rollouts
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy

_BLOCK = 1_000_000
HORIZON, ROLLOUTS, STRIDE = 30, 40, 50


@compiled
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
    """Tables (N, 2S) of all arms, at `2 s + a`, after each of the increasing `times`, moves learned from after
    `burn_in` steps from the local states `start` (N,)."""
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
        # the move into step now + k is number now + k
        for stop in [t + 1 - now for t in times if now <= t < now + len(acts)] + [len(acts)]:
            _learn(before, at, acts, done, stop, reward, bandit.gamma, visits, q)
            if len(out) < len(times) and times[len(out)] == stop + now - 1:
                out.append(freeze(q.copy()))
            done = stop
        states, now = at[-1], now + len(acts)
    return out


@dataclass(frozen=True, eq=False)
class JointPairs:
    """Joint pairs drawn from stationarity: (K, N) local pair `2 s + a` of every arm, arms of a type assigned at random;
    (K,) Q, the mean of 40 rollouts with control variates, and its standard error."""

    pairs: Ints
    values: Floats
    stderr: Floats

    def errors(self, table: Any) -> Floats:
        """(K,) `|sum_i table[i, x_i] - Q|` of tables (N, 2S), or (2S,) shared by all arms."""
        q = np.broadcast_to(table, (self.pairs.shape[1], np.shape(table)[-1]))
        return np.asarray(np.abs(q[np.arange(len(q)), self.pairs].sum(axis=1) - self.values))

    def mean_error(self, tables: Floats) -> tuple[float, float]:
        """Mean |error| of the mean of tables (R, N, 2S), and its standard error over pairs and runs (jackknife)."""
        runs = len(tables)
        total = tables.sum(axis=0)
        e = self.errors(total / runs)
        without = np.array([self.errors((total - t) / (runs - 1)).mean() for t in tables])
        between = (runs - 1) * np.sqrt(without.var(ddof=1) / runs)
        return float(e.mean()), float(np.hypot(e.std(ddof=1) / np.sqrt(len(e)), between))


def joint_pairs(
    bandit: RestlessBandit, policy: IndexPolicy, count: int, *, burn_in: int, start: Any, rng: Any
) -> JointPairs:
    """Draw `count` joint pairs 50 steps apart and evaluate them; arms of one type."""
    engine, random = CountEngine.of(bandit, policy), generator(rng)
    n, z, _ = engine.run(engine.start(start), count * STRIDE, random, burn_in=burn_in, every=STRIDE)
    n = n[:-1]
    local = np.arange(2 * engine.cells)
    occupied = np.stack([n - z, z], axis=2).reshape(count, -1)
    pairs = np.stack([random.permutation(np.repeat(local, c)) for c in occupied])
    h, gain = linear_response(engine, n.mean(axis=0), bandit.gamma)
    ahead = np.ascontiguousarray((bandit.kernels[0] @ h).T)
    reward, none = bandit.rewards.reshape(-1, 2).copy(), np.zeros((engine.cells, 2))
    service, moves = engine.kernel_arguments
    out = np.empty((count, ROLLOUTS + 1))
    rollouts(random, n, z, HORIZON, bandit.gamma, service, moves, reward, none, h, ahead, gain, out)
    g = out[:, :-1]
    return JointPairs(
        freeze(pairs), freeze(g.mean(axis=1)), freeze(g.std(axis=1, ddof=1) / np.sqrt(ROLLOUTS))
    )
