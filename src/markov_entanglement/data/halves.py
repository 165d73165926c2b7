"""The error of a sum of local values from logs, where joint pairs recur: two halves of the time are a double sample.

Each half of the log has its own empirical chain of joint pairs and its own local chains (Eq. 2), and so its own Q and
its own sum D: the continuations of equal joint pairs, pooled over all of their visits. What e = Q - D of one half
misses is independent of what that of the other half misses, so that at a joint pair x

    E[e_A e_B] = (Q - D)^2,    E[e_A sign(e_B)] <= |Q - D|

for the Q and the D that endless steps would give, but for the bias of values of few visits, which both halves must
share. Means run over the joint pairs of both halves, intervals are those of leaving out stretches of time. It is sound
where joint pairs are Markov. The noise of tables learned from this log comes on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .._check import Bools, Floats, Ints
from .._interval import t_interval
from .._progress import advance
from ..markov.linear import LinearSystem
from .contingency import BLOCKS
from .steps import Steps

Interval = tuple[float, float]


@dataclass(frozen=True)
class ValueErrors:
    """Errors of a sum of local values with 95 % intervals, in reward units but for the two shares.

    Attributes
    ----------
    square : `unexplained` squared, as estimated (it may be below 0); half : half the width of its interval.
    shared : share of the steps at joint pairs that both halves visit, with known continuations.
    visits : steps for each such joint pair, in the mean.
    """

    error_l2: float
    error_l2_interval: Interval
    error_mu: float
    error_mu_interval: Interval
    relative_error: float
    relative_error_interval: Interval
    unexplained: float
    unexplained_interval: Interval
    square: float
    half: float
    shared: float
    visits: float


def _solved(point: Ints, follow: Ints, paid: Floats, many: int, gamma: float) -> tuple[Floats, Floats]:
    """(many,) values of the empirical chain of moves, where `many` as a follower is an end; how often it left each."""
    visits = np.bincount(point, minlength=many).astype(np.float64)
    each = 1.0 / np.maximum(visits, 1.0)
    moves = sp.csr_array((gamma * each[point], (point, follow)), shape=(many, many + 1))[:, :many]
    reward, matrix = np.bincount(point, paid, many) * each, sp.csr_array(moves)
    return LinearSystem(many, lambda v: np.asarray(matrix @ v), matrix, gamma).solve(
        reward, goal=1e-9
    ).x, visits


@dataclass(frozen=True)
class _Half:
    """Values of some of the steps."""

    q: Floats  # (J,) of joint pairs
    visits: Floats  # (J,)
    error: Floats  # (J,) Q minus the sum of local values

    @classmethod
    def of(cls, steps: Steps, keep: Bools, rewards: tuple[Floats, ...] | None, gamma: float) -> _Half:
        known = keep & (steps.follow >= 0)
        paid = steps.rewards[known].sum(axis=1)
        q, visits = _solved(steps.point[known], steps.follow[known], paid, len(steps.points), gamma)
        total = np.zeros(len(steps.points))
        for i, m in enumerate(steps.sizes):
            known = keep & steps.known(i)
            pair = steps.pairs[known, i]
            own = steps.rewards[known, i] if rewards is None else rewards[i][pair]
            local, _ = _solved(pair, steps.next[known, i], own, int(m), gamma)
            total += np.append(local, 0.0)[steps.points[:, i]]
        return cls(q, visits, q - total)


#: Products of what both halves say, and what is made of them.
_SQUARE, _SIZE, _Q_SQUARE, _Q_SIZE, _ERROR, _SPREAD = range(6)


def value_errors(steps: Steps, gamma: float, rewards: tuple[Floats, ...] | None = None) -> ValueErrors | None:
    """Errors of the sum of local values of Eq. 2; `rewards`: tables (m_i,) of agents that share one. None: the halves
    have too few joint pairs in common."""
    block = np.arange(len(steps)) * BLOCKS // len(steps)
    sides = [block < BLOCKS // 2, block >= BLOCKS // 2]
    whole = [_Half.of(steps, side, rewards, gamma) for side in sides]
    both = (whole[0].visits > 0) & (whole[1].visits > 0)
    without = []
    for b in range(BLOCKS if both.any() else 0):
        side = int(b >= BLOCKS // 2)
        less = _Half.of(steps, sides[side] & (block != b), rewards, gamma)
        there = both & (less.visits > 0)
        if not there.any():
            return None
        without.append(_moments(less, whole[1 - side], there))
        advance((b + 1) / BLOCKS)
    if not without:
        return None
    weight = whole[0].visits + whole[1].visits
    seen = float(weight[both].sum())
    found = _moments(whole[0], whole[1], both)
    return _answer(found.tolist(), np.array(without), seen / len(steps), seen / int(both.sum()))


def _moments(a: _Half, b: _Half, both: Bools) -> Floats:
    """Mean products over the joint pairs of both halves: of errors, of an error and the sign of the other, the same of
    Q; variances of the error and of Q over joint pairs."""
    weight = np.where(both, a.visits + b.visits, 0.0)
    weight /= weight.sum()

    def mean(x: Floats) -> float:
        return float(weight @ x)

    def size(x: Floats, y: Floats) -> float:
        return 0.5 * (mean(x * np.sign(y)) + mean(y * np.sign(x)))

    e, f, q, r = a.error, b.error, a.q, b.q
    products = [mean(e * f), size(e, f), mean(q * r), size(q, r)]
    return np.array([*products, products[0] - mean(e) * mean(f), products[2] - mean(q) * mean(r)])


def _answer(found: list[float], without: Floats, shared: float, visits: float) -> ValueErrors:
    def limits(value: float, each: Floats) -> tuple[float, float, float]:
        half = float(t_interval(each)[2]) * (len(each) - 1)
        return value, float(value - half), float(value + half)

    def root(x: float) -> float:
        return math.sqrt(max(x, 0.0))

    square, low, high = limits(found[_SQUARE], without[:, _SQUARE])
    l2 = root(low), root(high)
    size, low, high = limits(found[_SIZE], without[:, _SIZE])
    mu = min(max(low, 0.0), l2[1]), l2[1]
    whole, q_low, _ = limits(found[_Q_SIZE], without[:, _Q_SIZE])
    q_high = root(limits(found[_Q_SQUARE], without[:, _Q_SQUARE])[2])
    relative = mu[0] / q_high if q_high > 0 else 0.0, mu[1] / q_low if q_low > 0 else math.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, low, high = limits(
            found[_ERROR] / found[_SPREAD] if found[_SPREAD] else math.nan,
            without[:, _ERROR] / without[:, _SPREAD],
        )
    sure = limits(found[_SPREAD], without[:, _SPREAD])[1] > 0 and math.isfinite(high)
    return ValueErrors(
        root(square), l2, min(max(size, mu[0]), mu[1]), mu, max(size, 0.0) / whole if whole > 0 else math.inf, relative,
        root(ratio) if sure else math.nan, (root(low), root(high)) if sure else (0.0, math.inf), ratio, high - ratio,
        shared, visits,
    )  # fmt: skip
