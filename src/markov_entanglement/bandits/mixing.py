"""How long the counts of a bandit remember where they began, from the kernels; runs measure it too."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg as sl

from .. import _tolerance as tol
from .._check import Floats, Ints
from .counts import CountEngine
from .fluid import derivative
from .structure import closed_sets, off_beat

_PROBE = 2000


def kernels(engine: CountEngine) -> tuple[Floats, Floats]:
    """`P_0` and `P_1` (C, C) of all cells."""
    p0, p1 = (sl.block_diag(*engine.bandit.kernels[:, a]) for a in (0, 1))
    return p0, p1


def piece(engine: CountEngine, mean: Floats) -> tuple[Floats, Floats, Floats]:
    """Chance of service and share of the marginal class (C,), and `K` (C, C), at mean counts (C,)."""
    a = engine.activation(mean[None])[0]
    w = np.where((a > 0) & (a < 1), mean, 0.0)
    w /= max(w.sum(), 1.0)
    return a, w, derivative(*kernels(engine), a, w)


def spectrum(k: Floats, states: int) -> Any:
    """Eigenvalues of `K`; where it is large those of its diagonal blocks, every arm type on its own."""
    if len(k) <= tol.SPECTRUM:
        return np.linalg.eigvals(k)
    types = np.arange(len(k) // states)
    return np.linalg.eigvals(k.reshape(len(types), states, len(types), states)[types, :, types]).ravel()


def memory(engine: CountEngine, start: Ints) -> float:
    """Steps per independent one of the slowest mode `lambda` of `K`, where 200 expected steps lead from `start` (C,).

    That is `sum lambda^|lag|` over all lags. Modes that never fade, one per closed set, are the start: no memory.
    """
    (p0, p1), n = kernels(engine), start.astype(np.float64)
    for _ in range(200):
        a = engine.activation(n[None])[0]
        n = (n * (1.0 - a)) @ p0 + (n * a) @ p1
    live = np.repeat(engine.bandit.n_arms > 0, engine.bandit.n_states)
    v = spectrum(piece(engine, n)[2][np.ix_(live, live)], engine.bandit.n_states)
    kept = sum(map(len, closed_sets(engine.bandit, engine.policy).values()))
    v = v[np.argsort(np.abs(v - 1.0))][kept:]
    apart = np.maximum(np.abs(1.0 - v), np.finfo(np.float64).eps)
    return float(((2.0 * (1.0 - v.real) - apart**2) / apart**2).max(initial=1.0))


def patience(n_arms: int, lag: float, length: int) -> int:
    """Steps to drop before `length` of them are used: N of App. K.1, more if the memory of the start would show."""
    least = min(n_arms, tol.ESTIMATE_BURN_IN)
    return least if length >= 200 * lag else max(least, min(math.ceil(5 * lag), tol.ESTIMATE_STEPS))


class Pace(NamedTuple):
    """How stationary starts are taken from runs."""

    burn_in: int
    gap: int
    short: bool  # whether the runs are too short for that


def pace(
    engine: CountEngine,
    lag: float,
    runs: int,
    each: int,
    burn_in: int | None,
    gap: int | None,
    first: int | None = None,
) -> Pace:
    """Of `each` starts from every run, half as far apart as the counts remember, unless `burn_in` or `gap` is given;
    `first`: starts that the gap is set for, where more are taken."""
    wide = 25 if lag <= 50 else min(math.ceil(lag / 2), max(25, tol.ESTIMATE_STEPS // (first or each)))
    step = off_beat(engine.bandit, engine.policy, wide) if gap is None else gap
    early = patience(engine.bandit.n_agents, lag, each * step) if burn_in is None else burn_in
    short = early < 3 * lag and each * step < 200 * lag
    return Pace(early, step, short or (step < lag and runs * each * step < 100 * lag))


def too_short(lag: float, **take: float) -> str:
    """The caution of runs that the memory of the counts makes too short."""
    needed = ", ".join(f"{name}={math.ceil(value)}" for name, value in take.items())
    return f"the counts remember about {lag:,.0f} steps, too long for these runs; take {needed}"


def disagree(
    engine: CountEngine, mean: Floats, variance: Floats, lag: float, rng: np.random.Generator
) -> bool:
    """Whether runs that begin with all arms in one state end up elsewhere than at mean counts (C,)."""
    types, states = engine.bandit.n_types, engine.bandit.n_states
    limit = np.sqrt(variance * max(0.25, 36 * lag / _PROBE)) + tol.PIECE * engine.bandit.n_agents
    for s in np.unique(np.linspace(0, states - 1, 4).astype(np.int64)):
        corner = np.zeros((types, states), dtype=np.int64)
        corner[:, s] = engine.bandit.n_arms
        early = min(int(20 * lag), tol.ESTIMATE_STEPS)
        parts = engine.parts(corner.ravel(), _PROBE, rng, burn_in=early, parts=20, flows=False)
        total = sum(counts.sum(axis=0) for counts, _ in parts)
        if (np.abs(total / _PROBE - mean) > limit).any():
            return True
    return False
