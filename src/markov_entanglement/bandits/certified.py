"""Certificates of any candidate by double sampling in counts: every number of steps from the same rollouts.

The sums of `runs/errors.py` for all k at once, with and without the control variates of `bandits/rollouts.py`,
and where each rollout is after k steps, so that a function of the counts can be asked what it says there.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import gammaln

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._compiled import compiled
from .._random import children
from .._work import in_threads
from ..errors import Unsupported
from ..model.bandit import RestlessBandit
from ..runs.candidate import Given, candidate_of, finite
from ..runs.certify import Certified, brackets
from ..runs.decisions import LISTED, DecisionEstimate, Options, Plan, estimate, listed, spread
from ..runs.floor import Sample
from .counts import CountEngine, serve
from .error_estimate import _teach
from .mixing import disagree, memory, pace, patience
from .rollouts import additive, advance, controls
from .structure import require_one_class

_RUNS = 20
#: Numbers of the pairs that one batch of rollouts ends at.
_BATCH = 2**22
#: Numbers of the pairs of starts that the floor reads.
_KEPT = 2**25


@compiled
def doubled(rng, counts, served, ks, gamma, service, moves, reward, h, ahead, gain, paid, drift, ends):  # type: ignore[no-untyped-def]
    """From every pair (counts, served) R rollouts: discounted rewards `paid` (m, R, K) of the first k steps, surprises
    of the control variate `drift` (m, R, K), and arms at each local pair after them, `ends` (m, R, K, 2C)."""
    cells = counts.shape[1]
    n, after = np.empty(cells, np.int64), np.empty(cells, np.int64)
    z, arrivals = np.empty(cells, np.int64), np.empty(len(moves[1]), np.int64)
    for i in range(len(counts)):
        for j in range(paid.shape[1]):
            for x in range(cells):
                n[x], z[x] = counts[i, x], served[i, x]
            total, off, scale, c = 0.0, 0.0, 1.0, 0
            for t in range(ks[-1] + 1):
                if t == ks[c]:
                    paid[i, j, c], drift[i, j, c] = total, off
                    for x in range(cells):
                        ends[i, j, c, 2 * x] = n[x] - z[x]
                        ends[i, j, c, 2 * x + 1] = z[x]
                    c += 1
                if t < ks[-1]:
                    total += scale * additive(n, z, reward)
                    scale *= gamma
                    off += scale * advance(rng, n, z, after, arrivals, service, moves, h, ahead, gain)
                    n, after = after, n


class Rolling(NamedTuple):
    """What rollouts in counts need."""

    engine: CountEngine
    gamma: float
    control: tuple[Floats, Floats, Floats]  # h (C,), P_a h (C, 2) and gain (C,)

    @classmethod
    def of(cls, engine: CountEngine, mean: Floats, gamma: float) -> Rolling:
        """With the control variates of the affine piece at mean counts (C,)."""
        return cls(engine, gamma, controls(engine, mean, gamma))

    def __call__(self, counts: Ints, served: Ints, ks: Ints, rng: Any, rollouts: int = 2) -> tuple[Any, ...]:
        """`paid`, `drift` (m, R, K) and `ends` (m, R, K, 2C) of `doubled`."""
        engine, shape = self.engine, (len(counts), rollouts, len(ks))
        out = np.empty(shape), np.empty(shape), np.empty((*shape, 2 * engine.cells), np.int64)
        reward = engine.bandit.rewards.reshape(-1, 2).copy()
        doubled(rng, counts, served, ks, self.gamma, *engine.kernel_arguments, reward, *self.control, *out)
        return out


class Begun(NamedTuple):
    """Independent stationary runs that starts are taken from."""

    rolling: Rolling
    first: Ints  # (C,) counts they begin at
    each: int  # starts of one run
    gap: int
    burn_in: int
    cells: list[Any]  # generators of the runs
    caution: str


def begin(bandit: RestlessBandit, policy: Any, starts: int, rng: Any) -> Begun:
    """How long to let runs in, and how far apart starts must be; a caution where it takes too long."""
    engine = CountEngine.of(bandit, policy)
    require_one_class(bandit, engine.policy)
    first, (teacher, *cells, prober) = engine.start(None), children(rng, _RUNS + 2)
    each, learn = -(-starts // _RUNS), tol.ESTIMATE_STEPS
    lag = memory(engine, first)
    early = patience(bandit.n_agents, lag, learn)
    mean, variance, seen, _ = _teach(engine, first, learn, teacher, early, False)
    lag = max(lag, seen)
    early, gap, short = pace(engine, lag, _RUNS, each, None, None)
    caution = ""
    if short:
        caution = f"the counts remember about {lag:,.0f} steps, too long for these runs; {_more(lag)}"
    elif disagree(engine, mean, variance, lag, prober):
        caution = "runs settle elsewhere when all arms begin in one state"
    return Begun(Rolling.of(engine, mean, bandit.gamma), first, each, gap, early, cells, caution)


def _more(lag: float) -> str:
    """How many starts make these runs long enough."""
    needed = _RUNS * math.ceil((0.2 if 3 * lag <= tol.ESTIMATE_STEPS else 8) * lag + 1)
    return f"take starts={needed}" if needed <= 10**7 else "no number of starts would do"


def certified(
    bandit: RestlessBandit, policy: Any, candidate: Any, ks: list[int], starts: int, control: str, rng: Any
) -> Certified:
    """See `Runs.certified`; a function gets the arms at each local pair, type by type, (n, 2 T S)."""
    given = candidate_of(candidate, [u.size for u in bandit.units])
    begun, steps = begin(bandit, policy, starts, rng), np.array(ks)
    gamma, engine = bandit.gamma, begun.rolling.engine

    def run(child: np.random.Generator) -> tuple[Floats, Floats, Floats, Ints]:
        n, z, _ = engine.run(
            begun.first, begun.each * begun.gap, child, burn_in=begun.burn_in, every=begun.gap
        )
        n = n[:-1]
        pairs = np.stack([n - z, z], axis=2).reshape(len(n), -1)
        d = finite(given.of_counts(pairs))
        plain, left = (np.empty((len(n), 2, len(ks))) for _ in range(2))
        size = max(1, _BATCH // (4 * len(ks) * engine.cells))
        for lo in range(0, len(n), size):
            at = slice(lo, lo + size)
            paid, drift, ends = begun.rolling(n[at], z[at], steps, child)
            late = finite(given.of_counts(ends.reshape(-1, 2 * engine.cells))).reshape(paid.shape)
            plain[at] = paid + gamma**steps * late - d[at, None, None]
            left[at] = plain[at] - drift
        return left, plain, d, pairs[: max(1, _KEPT // (_RUNS * pairs.shape[1]))]

    found = in_threads(run, begun.cells, None)
    left, plain, d, pairs = (np.stack(part) for part in zip(*found, strict=True))
    estimates, ratio = brackets(bandit, given, ks, gamma, left, plain, d, control, begun.caution)
    kept = pairs.shape[1]
    g = (left if control == "auto" else plain)[:, :kept, :, -1]
    x = sp.csr_array(pairs.reshape(-1, pairs.shape[2]).astype(np.float64))
    sample = Sample(g, d[:, :kept], x, np.zeros((x.shape[0], 0)), bandit.n_types, given.additive)
    counts = pairs.reshape(_RUNS, kept, -1, 2).sum(axis=3)

    def judge(states: int, budget: float, child: np.random.Generator) -> DecisionEstimate:
        return decided(begun.rolling, given, spread(counts, states), _RUNS, budget, child)

    return Certified(estimates, ratio, sample, given.noise, judge)


def decided(
    rolling: Rolling, given: Given, counts: Ints, blocks: int, budget: float, rng: np.random.Generator
) -> DecisionEstimate:
    """The decision loss at counts (n, C), in at most about so many steps."""
    engine, bandit = rolling.engine, rolling.engine.bandit
    span = float(bandit.n_arms @ np.ptp(bandit.rewards.reshape(bandit.n_types, -1), axis=1))
    plan = Plan.of(len(counts), budget, rolling.gamma, bandit.n_agents, span)

    def roll(n: Ints, options: Options, r: int, child: np.random.Generator) -> Floats:
        there = np.tile(n, (len(options.actions), 1))
        paid, drift, _ = rolling(there, options.actions, np.array([plan.k]), child, 2 * r)
        return np.asarray((paid - drift)[:, :, 0].T.reshape(2, r, -1))

    return estimate(
        counts, blocks, plan, lambda n, child: _options(engine, given, n, plan.most, child), roll, rng
    )


def _options(
    engine: CountEngine, given: Given, n: Ints, most: int, rng: np.random.Generator
) -> Options | None:
    """What the candidate serves at counts n (C,), and what else to look at; None: it has no value there."""
    z, many = _services(n, engine.bandit.budget)
    if z is not None:
        d = given.of_counts(np.stack([n - z, z], axis=2).reshape(len(z), -1))
        if np.isnan(d).any():
            return None
        kept, chosen, complete = listed(d, many, most, rng)
        return Options(z[kept], chosen, complete)
    if not given.additive:
        rule = f"the best of more than {LISTED:,} ways to serve is known for sums of local values alone"
        raise Unsupported("decisions", "a choice among them", rule, "Leave decisions=0.")
    q = np.concatenate(given.tables).reshape(-1, 2)
    if np.isnan(q[n > 0]).any():
        return None
    gain = np.where(n > 0, q[:, 1] - q[:, 0], 0.0)

    def served(rank: Ints) -> Ints:
        out, order = np.empty_like(n), np.argsort(rank, kind="stable")
        edges = np.append(np.unique(rank[order], return_index=True)[1], len(n))
        serve(rng, n, order, edges, engine.bandit.budget, out)
        return out

    best, own = served(np.unique(-gain, return_inverse=True)[1].reshape(-1)), served(engine.ranks)
    out, into = np.nonzero((best > 0)[:, None] & (n > best) & ~np.eye(len(n), dtype=np.bool_))
    near = np.argsort(gain[out] - gain[into], kind="stable")[: most // 2]
    swapped = np.tile(best, (len(near), 1))
    swapped[np.arange(len(near)), out[near]] -= 1
    swapped[np.arange(len(near)), into[near]] += 1
    free = np.stack([served(np.zeros_like(n)) for _ in range(max(1, most - 2 - len(near)))])
    actions = np.concatenate([best[None], own[None], swapped, free])
    return Options(actions, np.eye(len(actions))[0], False)


def _services(n: Ints, budget: int) -> tuple[Ints | None, Floats]:
    """All served counts (A, C) and how many joint actions each stands for, relative; None where they are too many."""
    z, left, rest = np.zeros((1, 0), np.int64), np.array([budget]), int(n.sum())
    for here in n.tolist():
        rest -= here
        low, high = np.maximum(left - rest, 0), np.minimum(left, here)
        ways = high - low + 1
        if int(ways.sum()) > LISTED:
            return None, np.zeros(0)
        row = np.repeat(np.arange(len(z)), ways)
        take = np.arange(len(row)) - np.repeat(np.cumsum(ways) - ways, ways) + low[row]
        z, left = np.column_stack([z[row], take]), left[row] - take
    many = (gammaln(n + 1) - gammaln(z + 1) - gammaln(n - z + 1)).sum(axis=1)
    return z, np.exp(many - many.max())
