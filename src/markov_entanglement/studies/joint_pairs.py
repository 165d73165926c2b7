"""Stationary joint pairs with their true values: what local tables are tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import Floats, Ints, freeze
from .._random import generator
from ..bandits.counts import CountEngine
from ..bandits.error_estimate import linear_response, rollouts
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy

HORIZON, ROLLOUTS, STRIDE = 30, 40, 50


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
    h, gain = linear_response(engine, n.mean(axis=0), bandit.discount)
    ahead = np.ascontiguousarray((bandit.kernels[0] @ h).T)
    reward, none = bandit.rewards.reshape(-1, 2).copy(), np.zeros((engine.cells, 2))
    service, moves = engine.kernel_arguments
    out = np.empty((count, ROLLOUTS + 1))
    rollouts(random, n, z, HORIZON, bandit.discount, service, moves, reward, none, h, ahead, gain, out)
    g = out[:, :-1]
    return JointPairs(
        freeze(pairs), freeze(g.mean(axis=1)), freeze(g.std(axis=1, ddof=1) / np.sqrt(ROLLOUTS))
    )
