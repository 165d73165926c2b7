"""Certificates of any candidate by double sampling in counts: every number of steps from the same rollouts.

The sums of `runs/errors.py` for all k at once, with and without the control variates of `bandits/error_estimate.py`,
and where each rollout is after k steps, so that a function of the counts can be asked what it says there.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._compiled import compiled
from .._random import children
from .._work import in_threads
from ..model.bandit import RestlessBandit
from ..runs.certify import Certified, brackets, candidate_of, finite
from ..runs.floor import Sample
from .counts import CountEngine, move, serve
from .error_estimate import _additive, _surprise, _teach, linear_response
from .mixing import disagree, memory, patience
from .structure import off_beat, require_one_class

_RUNS = 20
#: Numbers of the pairs that one batch of rollouts ends at.
_BATCH = 2**22
#: Numbers of the pairs of starts that the floor reads.
_KEPT = 2**25


@compiled
def doubled(rng, counts, served, ks, gamma, service, moves, reward, h, ahead, gain, paid, drift, ends):  # type: ignore[no-untyped-def]
    """From every pair (counts, served) R rollouts: discounted rewards `paid` (m, R, K) of the first k steps, surprises
    of the control variate `drift` (m, R, K), and arms at each local pair after them, `ends` (m, R, K, 2C)."""
    order, starts, budget = service
    first, target, share, _, _ = moves
    cells = counts.shape[1]
    n, after = np.empty(cells, np.int64), np.empty(cells, np.int64)
    z, arrivals = np.empty(cells, np.int64), np.empty(len(target), np.int64)
    for i in range(len(counts)):
        for j in range(paid.shape[1]):
            n[:] = counts[i]
            z[:] = served[i]
            total, off, scale, c = 0.0, 0.0, 1.0, 0
            for t in range(ks[-1] + 1):
                if t == ks[c]:
                    paid[i, j, c], drift[i, j, c] = total, off
                    for x in range(cells):
                        ends[i, j, c, 2 * x] = n[x] - z[x]
                        ends[i, j, c, 2 * x + 1] = z[x]
                    c += 1
                if t < ks[-1]:
                    total += scale * _additive(n, z, reward)
                    expected = _additive(n, z, ahead)
                    scale *= gamma
                    move(rng, n, z, first, target, share, arrivals, after)
                    n, after = after, n
                    serve(rng, n, order, starts, budget, z)
                    surprise = _surprise(n, z, order, starts, gain) - expected
                    for x in range(cells):
                        surprise += h[x] * n[x]
                    off += scale * surprise


class Rolling(NamedTuple):
    """What rollouts in counts need."""

    engine: CountEngine
    mean: Floats  # (C,) mean counts
    gamma: float

    def __call__(self, counts: Ints, served: Ints, ks: Ints, rng: Any, rollouts: int = 2) -> tuple[Any, ...]:
        """`paid`, `drift` (m, R, K) and `ends` (m, R, K, 2C) of `doubled`."""
        bandit, engine = self.engine.bandit, self.engine
        h, gain = linear_response(engine, self.mean, self.gamma)
        ahead = np.einsum("tasu,tu->tsa", bandit.kernels, h.reshape(bandit.n_types, -1)).reshape(-1, 2)
        shape = len(counts), rollouts, len(ks)
        paid, drift, ends = np.empty(shape), np.empty(shape), np.empty((*shape, 2 * engine.cells), np.int64)
        reward = bandit.rewards.reshape(-1, 2).copy()
        doubled(
            rng,
            counts,
            served,
            ks,
            self.gamma,
            *engine.kernel_arguments,
            reward,
            h,
            ahead,
            gain,
            paid,
            drift,
            ends,
        )
        return paid, drift, ends


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
    gap = off_beat(
        bandit, engine.policy, 25 if lag <= 50 else min(math.ceil(lag / 2), max(25, learn // each))
    )
    early = patience(bandit.n_agents, lag, each * gap)
    caution = ""
    if (early < 3 * lag and each * gap < 200 * lag) or (gap < lag and _RUNS * each * gap < 100 * lag):
        caution = f"the counts remember about {lag:,.0f} steps, too long for these runs; {_more(lag)}"
    elif disagree(engine, mean, variance, lag, prober):
        caution = "runs settle elsewhere when all arms begin in one state"
    return Begun(Rolling(engine, mean, bandit.gamma), first, each, gap, early, cells, caution)


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
    x = pairs.reshape(-1, pairs.shape[2]).astype(np.float64)
    sample = Sample(g, d[:, :kept], x, np.zeros((len(x), 0)), bandit.n_types, given.additive)
    return Certified(estimates, ratio, sample, given.noise)
