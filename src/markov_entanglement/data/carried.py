"""Limits of entanglement where a log carries more than steps: laws of next pairs (Eq. 9), chances of actions (Eq. 10).

Laws known: E_i (Eq. 7) is the least mean of TV(p_i(.|x_t), M(.|x_i)) over local models M; p_i is in the log.

Policy known: of every action that was taken the log has its chance pi(a|s). For any local policy M

    TV(pi(.|s), M(.|s_i)) = E_{a ~ pi(.|s)} [(1 - M(a|s_i)/pi(a|s))^+],

so that the chance of the action that was taken is enough, whatever the number of actions. The least mean over M is
found exactly, state by state: what one more unit of M(a) saves falls as M(a) grows, so that the unit goes to the
steepest pieces first.

Both are bracketed as runs are (`runs/entanglement.py`): in sample from below, cross-fitted from above, by batch means.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .._check import Floats, Ints
from .._interval import alone, batch_means, inefficiency
from ..laws.source import Unit
from ..runs.entanglement import EntanglementEstimate, estimated, fitted, rare_events
from ..runs.estimates import medians
from .steps import Steps

#: Batches of time, twice as many of long logs; the share of a batch that agents may remember.
_BATCHES, _MEMORY = 20, 0.5
#: What each step misses in sample and cross-fitted (T,), and the best local model.
_Missed = tuple[Floats, Floats, Floats]


def next_pairs(steps: Steps, units: tuple[Unit, ...]) -> EntanglementEstimate:
    """Eq. 7 of every agent from the laws of its next pairs."""
    assert steps.laws is not None
    ends = np.cumsum(steps.sizes + 1)

    def one(i: int, there: Ints) -> _Missed:
        """Agent i at the steps `there` (T,)."""
        m = int(steps.sizes[i])
        law, key = steps.laws[there, ends[i] - m - 1 : ends[i]], steps.pairs[there, i]  # type: ignore[index]

        def fit(part: slice) -> Floats:
            q = medians(key[part], law[part], m)
            return np.where(np.isnan(q), 1.0 / (m + 1), q)

        def miss(q: Floats, part: slice) -> Floats:
            return np.asarray(0.5 * np.abs(law[part] - q[key[part]]).sum(axis=1))

        return _visited(key, *fitted(len(key), fit, miss))

    return _estimate(steps, units, one, "mu-atv", "laws known, Eq. 7 by Eq. 9")


def policy(steps: Steps, units: tuple[Unit, ...], actions: tuple[int, ...]) -> EntanglementEstimate:
    """Prop. 7.2 of every agent from the chances of its actions; actions (N,): how many each has."""
    assert steps.chances is not None

    def one(i: int, there: Ints) -> _Missed:
        """Agent i at the steps `there` (T,)."""
        (key, action), many = np.divmod(steps.pairs[there, i], actions[i]), int(steps.sizes[i]) // actions[i]
        chance = steps.chances[there, i]  # type: ignore[index]

        def fit(part: slice) -> Floats:
            return best_policy(key[part], action[part], chance[part], (many, actions[i]))

        def miss(q: Floats, part: slice) -> Floats:
            return np.maximum(1.0 - q[key[part], action[part]] / chance[part], 0.0)

        return _visited(key, *fitted(len(key), fit, miss))

    return _estimate(steps, units, one, "policy", "policy known, Prop. 7.2 by Eq. 10 from the actions taken")


def _visited(key: Ints, inside: Floats, crossed: Floats, q: Floats) -> _Missed:
    """The same with NaN in the best local model where a key was never met."""
    q[np.bincount(key, minlength=len(q)) == 0] = np.nan
    return inside, crossed, q


def best_policy(key: Ints, action: Ints, chance: Floats, shape: tuple[int, int]) -> Floats:
    """(keys, A) the M of least `sum_t (1 - M(a_t|k_t)/chance_t)^+` over steps (T,); uniform where nothing is met."""
    order = np.lexsort((-chance, action, key))
    key, action, chance = key[order], action[order], chance[order]
    found = np.zeros(shape)
    for lo, hi in _stretches(key):
        slope, length = np.empty(hi - lo), np.empty(hi - lo)
        for a, b in _stretches(action[lo:hi]):
            p = chance[lo + a : lo + b]
            slope[a:b], length[a:b] = np.cumsum(1.0 / p), -np.diff(p, append=0.0)
        steepest = np.argsort(-slope, kind="stable")
        filled = np.cumsum(length[steepest])
        take = np.clip(1.0 - (filled - length[steepest]), 0.0, length[steepest])
        found[key[lo]] = np.bincount(action[lo:hi][steepest], take, shape[1])
    return np.asarray(found + (np.maximum(1.0 - found.sum(axis=1, keepdims=True), 0.0)) / shape[1])


def _stretches(a: Ints) -> list[tuple[int, int]]:
    """Where the runs of equal entries begin and end."""
    edges = np.flatnonzero(np.diff(a, prepend=-1, append=-1)) if len(a) else np.zeros(1, dtype=np.int64)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _estimate(
    steps: Steps, units: tuple[Unit, ...], one: Callable[[int, Ints], _Missed], distance: str, how: str
) -> EntanglementEstimate:
    """The bracket of every agent over the steps at which it is there, NaN where these are too few; `one(i, there)`
    answers for one agent."""
    n, T = len(units), len(steps)
    lags = [_memory(steps.pairs[:, i], int(m) + 1) for i, m in enumerate(steps.sizes)]
    slowest, lag = int(np.argmax(lags)), max(lags)
    batches = 2 * _BATCHES if 20 * lag * _BATCHES <= T else _BATCHES
    share, caution = lag * batches / T, ""
    if share > _MEMORY:
        more = max(math.ceil(lag * batches / _MEMORY) - T, T)
        caution = (
            f"{units[slowest].name} remembers about {lag:,.0f} steps, too long for these {T:,}: about {more:,} more "
            "steps would tell"
        )
    both, rare, best = np.full((2, batches, n), np.nan), np.zeros(n), []
    for i in range(n):
        there = np.flatnonzero(steps.pairs[:, i] < steps.sizes[i])
        inside, crossed, q = one(i, there)
        best.append(q[:, 1] if distance == "policy" and q.shape[1] == 2 else q.ravel())
        if len(there) >= 2 * batches:
            both[:, :, i] = [alone(batch_means(f, batches), share) for f in (inside, crossed)]
            sums = np.array([crossed.sum(), (crossed**2).sum(), crossed.max()])[None, :, None]
            rare[i] = rare_events(sums, lag, len(there))[0]
    found = estimated(
        units, both[0], both[1], rare, best, steps=T, burn_in=0, replications=1, batches=batches, caution=caution,
        distance=distance,
    )  # fmt: skip
    how = f"{how}; {T:,} logged steps, {batches} batch means; in sample (low) and cross-fitted (high)"
    return replace(found, method="logs", estimator=how)


def _memory(pair: Ints, m: int) -> float:
    """Steps per independent one, by the share of each of its m local pairs (T,) in batches of time."""
    if len(pair) < 2 * _BATCHES:
        return float(len(pair))
    batch = np.arange(len(pair)) * _BATCHES // len(pair)
    means = np.bincount(batch * m + pair, minlength=_BATCHES * m).reshape(_BATCHES, m)
    means = means / means.sum(axis=1, keepdims=True)
    return inefficiency(means, means * (1.0 - means), len(pair) / _BATCHES)
