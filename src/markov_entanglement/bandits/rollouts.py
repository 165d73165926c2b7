"""Rollouts in counts, with control variates that take most of their noise away.

With `h = (I - gamma K)^{-1} rho`, the slope of the true values in the counts on the affine piece, the rollout loses
`sum_t gamma^t h.(n_t - E[n_t | n_{t-1}, z_{t-1}])`, and, where a class has several cells, the same for served counts
given counts. Both have mean zero whatever h is; they remove most noise where the piece is right.
"""

from __future__ import annotations

import numpy as np

from .._check import Floats
from .._compiled import compiled
from .counts import CountEngine, move, serve
from .fluid import response
from .mixing import kernels, piece, spectrum


@compiled
def additive(n, z, q):  # type: ignore[no-untyped-def]
    """`sum over arms of q[x, a]` at counts n with z served; a NaN counts only where it occurs."""
    total = 0.0
    for x in range(len(n)):
        if n[x] > z[x]:
            total += (n[x] - z[x]) * q[x, 0]
        if z[x] > 0:
            total += z[x] * q[x, 1]
    return total


@compiled
def surprise(n, z, order, starts, gain):  # type: ignore[no-untyped-def]
    """`gain . (z - E[z | n])`: not zero only inside a marginal class of several cells."""
    total = 0.0
    for k in range(len(starts) - 1):
        if starts[k + 1] - starts[k] > 1:
            cells, size, taken = order[starts[k] : starts[k + 1]], 0, 0
            for x in cells:
                size += n[x]
                taken += z[x]
            if 0 < taken < size:
                for x in cells:
                    total += gain[x] * (z[x] - n[x] * (taken / size))
    return total


@compiled
def advance(rng, n, z, after, arrivals, service, moves, h, ahead, gain):  # type: ignore[no-untyped-def]
    """One step from counts n with z served: counts `after` with `z` served there; the surprise of the control variate,
    for h (C,), ahead (C, 2) = `P_a h` and gain (C,)."""
    order, starts, budget = service
    first, target, share, _, _ = moves
    expected = additive(n, z, ahead)
    move(rng, n, z, first, target, share, arrivals, after)
    serve(rng, after, order, starts, budget, z)
    missed = surprise(after, z, order, starts, gain) - expected
    for x in range(len(after)):
        missed += h[x] * after[x]
    return missed


@compiled
def rollouts(rng, counts, served, k, gamma, service, moves, reward, q, h, ahead, gain, out):  # type: ignore[no-untyped-def]
    """Fill out (m, R + 1) with R rollouts `G` from every start and `D` there; q (C, 2) = 0: G is a plain return.

    Zeros for h, ahead and gain switch the control variates off.
    """
    cells = counts.shape[1]
    n, after = np.empty(cells, np.int64), np.empty(cells, np.int64)
    z, arrivals = np.empty(cells, np.int64), np.empty(len(moves[1]), np.int64)
    for i in range(len(counts)):
        begin = additive(counts[i], served[i], q)
        out[i, -1] = begin
        for j in range(out.shape[1] - 1):
            for x in range(cells):
                n[x], z[x] = counts[i, x], served[i, x]
            total, scale = -begin, 1.0
            for _ in range(k):
                total += scale * additive(n, z, reward)
                scale *= gamma
                total -= scale * advance(rng, n, z, after, arrivals, service, moves, h, ahead, gain)
                n, after = after, n
            out[i, j] = total + scale * additive(n, z, q)


def controls(engine: CountEngine, mean: Floats, gamma: float) -> tuple[Floats, Floats, Floats]:
    """The control variates of the affine piece at mean counts: h (C,), P_a h (C, 2) and gain (C,)."""
    h, gain = linear_response(engine, mean, gamma)
    ahead = np.einsum("tasu,tu->tsa", engine.bandit.kernels, h.reshape(engine.bandit.n_types, -1))
    return h, np.ascontiguousarray(ahead.reshape(-1, 2)), gain


def linear_response(engine: CountEngine, mean: Floats, gamma: float) -> tuple[Floats, Floats]:
    """Slopes `h` (C,) of the values in the counts and `gain` (C,) in the served counts, at mean counts (C,).

    Zeros if the affine piece does not discount away (`gamma` times its spectral radius at least 1).
    """
    rewards = engine.bandit.rewards.reshape(-1, 2)
    a, w, k = piece(engine, mean)
    if gamma * np.abs(spectrum(k, engine.bandit.n_states)).max() >= 1.0:
        return np.zeros(len(mean)), np.zeros(len(mean))
    h, (p0, p1) = response(k, rewards, a, w, gamma), kernels(engine)
    return h, rewards[:, 1] - rewards[:, 0] + gamma * (p1 - p0) @ h
