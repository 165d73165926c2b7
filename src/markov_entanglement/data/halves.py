"""The error of a sum of local values from logs, where joint pairs recur: two halves of the time are a double sample.

Each half of the log has its own empirical chain of joint pairs and its own local chains (Eq. 2), and so its own Q and
its own sum D: the continuations of equal joint pairs, pooled over all of their visits. What e = Q - D of one half
misses is independent of what that of the other half misses, so that at a joint pair x

    E[e_A e_B] = (Q - D)^2,    E[e_A sign(e_B)] <= |Q - D|

for the Q and the D that endless steps would give, but for the bias of values of few visits, which both halves must
share. In the same way the product of what the best sums of functions of local pairs leave of either Q is the floor
squared, and that of what mean rewards given the own local pair leave of rewards is what these do not show. Means run
over the joint pairs of both halves, intervals are those of leaving out stretches of time. It is sound where joint pairs
are Markov. The noise of tables learned from this log comes on top.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import lsmr

from .._check import Bools, Floats, Ints
from .._interval import t_interval
from .._progress import advance
from ..markov.chain import one_hot
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
    without : (40,) `square` where a stretch of time is left out.
    unexplained_floor : what the best sum of functions of local pairs misses of the spread of Q; NaN where it was not
        asked. reward_misfit : sum_i ||r_i - E[r_i|x_i]||_mu, biased low; NaN where one reward is shared, or not asked.
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
    without: Floats
    unexplained_floor: float = math.nan
    unexplained_floor_interval: Interval = (0.0, math.inf)
    reward_misfit: float = math.nan
    reward_misfit_interval: Interval = (0.0, math.inf)

    def gain(self, less: ValueErrors) -> tuple[float, Interval]:
        """What is explained more of the variance of Q than where local pairs show `less`, along the same steps."""
        value = less.square - self.square
        half = float(t_interval(less.without - self.without)[2]) * (len(self.without) - 1)
        return value, (value - half, value + half)


#: Moves that are seen leave no order in which a factor stays sparse: beyond so many joint pairs it takes longer than
#: GMRES, unless the discount is beyond this.
_FACTORED, _FAR = 500, 0.995


def _solved(point: Ints, follow: Ints, paid: Floats, many: int, gamma: float) -> tuple[Floats, Floats]:
    """(many,) values of the empirical chain of moves, where `many` as a follower is an end; how often it left each."""
    visits = np.bincount(point, minlength=many).astype(np.float64)
    each = 1.0 / np.maximum(visits, 1.0)
    moves = sp.csr_array((gamma * each[point], (point, follow)), shape=(many, many + 1))[:, :many]
    reward, matrix = np.bincount(point, paid, many) * each, sp.csr_array(moves)
    factored = matrix if many <= _FACTORED or gamma > _FAR else None
    found = LinearSystem(many, lambda v: np.asarray(matrix @ v), factored, gamma).solve(reward, goal=1e-9)
    return found.x, visits


@dataclass(frozen=True)
class _Half:
    """Values of some of the steps."""

    q: Floats  # (J,) of joint pairs
    visits: Floats  # (J,)
    error: Floats  # (J,) Q minus the sum of local values
    unseen: (
        Floats  # (N, J) mean reward of each agent less that given its local pair; none where it is not asked
    )

    @classmethod
    def of(
        cls, steps: Steps, keep: Bools, rewards: tuple[Floats, ...] | None, gamma: float, floor: bool
    ) -> _Half:
        """From the steps where `keep` (T,); rewards (m_i,) of each agent, or None: those of the steps."""
        known = keep & (steps.follow >= 0)
        paid = steps.rewards[known].sum(axis=1)
        q, visits = _solved(steps.point[known], steps.follow[known], paid, len(steps.points), gamma)
        total, unseen = np.zeros(len(steps.points)), []
        for i, m in enumerate(steps.sizes):
            known = keep & steps.known(i)
            pair = steps.pairs[known, i]
            own = steps.rewards[known, i] if rewards is None else rewards[i][pair]
            local, _ = _solved(pair, steps.next[known, i], own, int(m), gamma)
            total += np.append(local, 0.0)[steps.points[:, i]]
            if floor and rewards is None:
                unseen.append(_unseen(steps.point[known], pair, own, steps.points[:, i], int(m)))
        return cls(q, visits, q - total, np.array(unseen).reshape(-1, len(total)))


def _unseen(point: Ints, pair: Ints, paid: Floats, of: Ints, m: int) -> Floats:
    """(J,) mean reward at each joint pair less the mean at its local pair; of (J,) that pair, m: absent."""
    at, own = (np.bincount(k, paid, n) / np.maximum(np.bincount(k, minlength=n), 1)
               for k, n in ((point, len(of)), (pair, m + 1)))  # fmt: skip
    return np.asarray(np.where(of < m, at - own[of], 0.0))


class _Additive:
    """Sums of functions of local pairs, and a constant, at the joint pairs."""

    def __init__(self, steps: Steps) -> None:
        wide = one_hot(steps.points, [int(m) + 1 for m in steps.sizes])
        present = np.ones(wide.shape[1], dtype=np.bool_)
        present[np.cumsum(steps.sizes + 1) - 1] = False
        constant = sp.csr_array(np.ones((len(steps.points), 1)))
        self.columns = sp.hstack([wide[:, np.flatnonzero(present)], constant], format="csr")

    def left(self, q: Floats, weight: Floats) -> Floats:
        """(J,) what the best of them in L2 of the weights leaves of q."""
        root = np.sqrt(weight)
        scaled = sp.diags_array(root) @ self.columns
        fitted = lsmr(scaled, root * q, atol=_EXACT, btol=_EXACT, conlim=0.0, maxiter=_STEPS)[0]
        return np.asarray(q - self.columns @ fitted)


#: Products of what both halves say, and what is made of them; the last three where the floor is asked.
_SQUARE, _SIZE, _Q_SQUARE, _Q_SIZE, _ERROR, _SPREAD, _FLOOR, _UNSEEN_SQUARE, _UNSEEN_SIZE = range(9)
#: Of least squares fits: relative accuracy, and iterations at most.
_EXACT, _STEPS = 1e-9, 500


def value_errors(
    steps: Steps, gamma: float, rewards: tuple[Floats, ...] | None = None, *, floor: bool = False
) -> ValueErrors | None:
    """Errors of the sum of local values of Eq. 2; `rewards`: tables (m_i,) of agents that share one; `floor`: also what
    the best sum misses, and rewards do not show. None: the halves have too few joint pairs in common."""
    additive = _Additive(steps) if floor else None
    block = np.arange(len(steps)) * BLOCKS // len(steps)
    sides = [block < BLOCKS // 2, block >= BLOCKS // 2]
    whole = [_Half.of(steps, side, rewards, gamma, floor) for side in sides]
    both = (whole[0].visits > 0) & (whole[1].visits > 0)
    without = []
    for b in range(BLOCKS if both.any() else 0):
        side = int(b >= BLOCKS // 2)
        less = _Half.of(steps, sides[side] & (block != b), rewards, gamma, floor)
        there = both & (less.visits > 0)
        if not there.any():
            return None
        without.append(_moments(less, whole[1 - side], there, additive))
        advance((b + 1) / BLOCKS)
    if not without:
        return None
    weight = whole[0].visits + whole[1].visits
    seen = float(weight[both].sum())
    found = _moments(whole[0], whole[1], both, additive)
    return _answer(
        found.tolist(), np.array(without), seen / len(steps), seen / int(both.sum()), steps.n_agents
    )


def _moments(a: _Half, b: _Half, both: Bools, additive: _Additive | None) -> Floats:
    """Mean products over the joint pairs of both halves: of errors, of an error and the sign of the other, the same of
    Q; variances of the error and of Q over joint pairs; of what the best sums leave of Q, and of what rewards miss."""
    weight = np.where(both, a.visits + b.visits, 0.0)
    weight /= weight.sum()

    def mean(x: Floats) -> float:
        return float(weight @ x)

    def size(x: Floats, y: Floats) -> float:
        return 0.5 * (mean(x * np.sign(y)) + mean(y * np.sign(x)))

    e, f, q, r = a.error, b.error, a.q, b.q
    products = [mean(e * f), size(e, f), mean(q * r), size(q, r)]
    products += [products[0] - mean(e) * mean(f), products[2] - mean(q) * mean(r)]
    if additive is not None:
        products.append(mean(additive.left(q, weight) * additive.left(r, weight)))
    if len(a.unseen):
        unseen = list(zip(a.unseen, b.unseen, strict=True))
        products += [sum(mean(x * y) for x, y in unseen), sum(size(x, y) for x, y in unseen)]
    return np.array(products)


def _answer(found: list[float], without: Floats, shared: float, visits: float, agents: int) -> ValueErrors:
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
    shares = without[:, _ERROR] / without[:, _SPREAD] if sure else np.full(len(without), math.nan)
    answer = ValueErrors(
        root(square), l2, min(max(size, mu[0]), mu[1]), mu, max(size, 0.0) / whole if whole > 0 else math.inf, relative,
        root(ratio) if sure else math.nan, (root(low), root(high)) if sure else (0.0, math.inf), ratio, high - ratio,
        shared, visits, shares,
    )  # fmt: skip
    if sure and len(found) > _FLOOR:
        square, low, high = limits(found[_FLOOR] / found[_SPREAD], without[:, _FLOOR] / without[:, _SPREAD])
        answer = replace(
            answer, unexplained_floor=root(square), unexplained_floor_interval=(root(low), root(high))
        )
    if len(found) > _UNSEEN_SIZE:
        high = root(agents * limits(found[_UNSEEN_SQUARE], without[:, _UNSEEN_SQUARE])[2])
        size, low, _ = limits(found[_UNSEEN_SIZE], without[:, _UNSEEN_SIZE])
        answer = replace(answer, reward_misfit=max(size, 0.0), reward_misfit_interval=(max(low, 0.0), high))
    return answer
