"""Appendix K.2 over a range of N: the paper's recipe, its noise, the bias alone, and TD as it runs in practice.

Figures 1 (right) and 2 show the same numbers, so they are computed once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from .._check import Floats
from .._random import stream
from .._work import in_threads
from ..bandits.error_estimate import estimate_error
from ..bandits.paper_error import PaperError, paper_error
from ..runs.errors import ErrorEstimate
from .local_tables import joint_pairs, sampled_td
from .result import Point, Series
from .setting import POLICY, bandit, limits, start

KEY = 2


@dataclass(frozen=True)
class Settings:
    """App. K.2: sizes, training runs, stationary test pairs, steps of a rollout.

    Training is 5N steps after N dropped, the truth the mean of 3N rollouts; `starts` are those of our estimate,
    `sampled_runs` the runs of TD sample by sample whose tables are averaged.
    """

    sizes: tuple[int, ...] = (300, 600, 900, 1200, 1500, 1800)
    runs: int = 10
    tests: int = 50
    horizon: int = 30
    starts: int = 20_000
    sampled_runs: int = 4


PAPER = Settings()
QUICK = Settings(sizes=(300, 600, 900), runs=3, tests=25, horizon=20, starts=4000, sampled_runs=3)


@dataclass(frozen=True, eq=False)
class Row:
    """The error at one N: App. K.2 with the converged local values of each arm's data, the bias that remains with
    endless data, and mean |error| of sample-by-sample TD, tables averaged over runs, with its standard error over pairs
    and runs, beside mean |Q| of its test pairs."""

    N: int
    recipe: PaperError
    bias: ErrorEstimate
    sampled: tuple[float, float]
    sampled_size: float


@dataclass(frozen=True, eq=False)
class Errors:
    """The rows of one sweep and its settings."""

    settings: Settings
    rows: tuple[Row, ...]


def run(settings: Settings, *, seed: int, workers: int | None = None) -> Errors:
    """The sweep; one row per N, each with its own streams of random numbers."""
    return Errors(settings, tuple(_row(settings, N, seed, workers) for N in settings.sizes))


def _row(settings: Settings, N: int, seed: int, workers: int | None) -> Row:
    system, first = bandit(N), start(N)
    recipe = paper_error(system, POLICY, rng=stream(seed, KEY, N, 0), runs=settings.runs, tests=settings.tests,
                         horizon=settings.horizon, start=first, workers=workers)  # fmt: skip
    bias = estimate_error(system, POLICY, rng=stream(seed, KEY, N, 1), starts=settings.starts, start=first,
                          workers=workers)  # fmt: skip
    states = np.repeat(np.arange(len(first)), first)
    tests = joint_pairs(system, POLICY, settings.tests, burn_in=N, start=first, rng=stream(seed, KEY, N, 2))

    def learn(k: int) -> Floats:
        return sampled_td(
            system, POLICY, [5 * N - 1], burn_in=N, start=states, rng=stream(seed, KEY, N, 3, k)
        )[0]

    tables = np.stack(in_threads(learn, range(settings.sampled_runs), workers))
    return Row(N, recipe, bias, tests.mean_error(tables), float(np.abs(tests.values).mean()))


def predicted(N: int) -> tuple[float, float]:
    """Limits of the error and of the relative error at N."""
    return limits().error_mu * math.sqrt(N), limits().relative_error / math.sqrt(N)


def _series(label: str, words: str, points: list[Point], relative: bool) -> Series:
    """A curve beside its limit."""
    return Series(label, words, tuple(replace(p, prediction=predicted(p.N)[relative]) for p in points))


def recipe_series(found: Errors, *, relative: bool = False) -> Series:
    """App. K.2 as the paper plots it."""
    read = attrgetter("relative_error", "relative_stderr") if relative else attrgetter("error_mu", "stderr")
    points = [Point.around(row.N, *read(row.recipe), len(row.recipe.values) - 1) for row in found.rows]
    words = (
        f"App. K.2: local TD on each arm's own 5N steps, mean of {found.settings.runs} runs; {found.settings.tests} "
        f"stationary pairs; {found.settings.horizon}-step rollouts averaged over 3N"
    )
    return _series("the paper's recipe (K.2)", words, points, relative)


def bias_series(found: Errors, *, relative: bool = False) -> Series:
    """The bias alone, with little noise."""
    name = "relative_error" if relative else "error_mu"
    read, points = attrgetter(name, f"{name}_interval"), []
    for row in found.rows:
        value, (low, high) = read(row.bias)
        points.append(Point(row.N, value, low=low, high=high))
    return _series("bias alone, low noise", found.rows[0].bias.estimator, points, relative)


def sampled_series(found: Errors, *, relative: bool = False) -> Series:
    """Sample-by-sample TD."""
    points = []
    for row in found.rows:
        value, stderr = (x / (row.sampled_size if relative else 1.0) for x in row.sampled)
        points.append(Point.around(row.N, value, stderr, found.settings.sampled_runs - 1))
    words = (
        f"TD sample by sample, step 1/visits, on each arm's own 5N steps, mean of {found.settings.sampled_runs} runs; "
        f"{found.settings.tests} stationary pairs; rollouts with control variates"
    )
    return _series("TD sample by sample, step 1/visits", words, points, relative)
