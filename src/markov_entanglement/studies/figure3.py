"""Figure 3 of the paper: how much data the two estimates need (App. K.3), at one N."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .._check import Floats
from .._random import stream
from .._work import in_threads
from ..bandits.arms import Arms, arm_totals
from ..bandits.counts import CountEngine
from ..bandits.error_estimate import complete_local_values
from ..bandits.estimate import estimate_entanglement
from ..bandits.local_td import local_values_from_flows
from .figure1 import entanglement_curves
from .local_tables import JointPairs, joint_pairs, sampled_td
from .result import Fact, Panel, Point, Series, Study
from .setting import POLICY, bandit, limits, start

KEY = 3


@dataclass(frozen=True)
class Settings:
    """App. K.3: N arms; data sizes in multiples of N after N steps dropped; the last one stands for the truth.

    `runs` replications of the entanglement, and training runs whose local values are averaged; `tests` stationary
    pairs; `sampled_runs` runs of TD sample by sample, averaged too.
    """

    n_arms: int = 900
    multiples: tuple[float, ...] = (0.1, 0.25, 0.5, 1, 2, 3, 5, 10)
    runs: int = 10
    tests: int = 50
    sampled_runs: int = 4

    @property
    def times(self) -> list[int]:
        """Data sizes in steps."""
        return [int(m * self.n_arms) for m in self.multiples]


PAPER = Settings()
QUICK = Settings(n_arms=300, multiples=(0.25, 0.5, 1, 2, 3, 10), runs=4, sampled_runs=2)


def run(settings: Settings, *, seed: int, workers: int | None = None) -> Study:
    """The same runs, read after more and more steps."""
    N, times = settings.n_arms, settings.times
    estimates = [
        estimate_entanglement(bandit(N), POLICY, rng=stream(seed, KEY, N, 0), replications=settings.runs, steps=T,
                              burn_in=N, start=start(N), workers=workers)
        for T in times
    ]  # fmt: skip
    tests = joint_pairs(bandit(N), POLICY, settings.tests, burn_in=N, start=start(N),
                        rng=stream(seed, KEY, N, 1))  # fmt: skip
    own, pooled = trained(settings, seed, workers)
    states = np.repeat(np.arange(4), start(N))

    def learn(k: int) -> list[Floats]:
        return sampled_td(bandit(N), POLICY, [T - 1 for T in times], burn_in=N, start=states,
                          rng=stream(seed, KEY, N, 2, k))  # fmt: skip

    runs = in_threads(learn, range(settings.sampled_runs), workers)
    sampled = [np.stack(tables) for tables in zip(*runs, strict=True)]
    limit = float(limits().policy_entanglement[0]) * math.sqrt(N)
    how = f"Prop. 7.2 by Eq. 15, {settings.runs} replications, N steps dropped"
    left = Panel(
        "N*E_1", "Entanglement of one arm, times N", "steps of data T", "N · E₁",
        entanglement_curves([(N, T, e) for T, e in zip(times, estimates, strict=True)], how),
        against="samples", prediction=f"limit {limit:.3f}", log_x=True, marks=(("T = N", N),),
    )  # fmt: skip
    right = _errors(settings, tests, own, pooled, sampled)
    return Study(
        "figure3",
        f"How much data is enough, at N = {N}",
        "The same runs read after more and more steps (App. K.3), logarithmic in the steps. Left: entanglement. "
        "Right: error of the sum of local values learned from that much data.",
        asdict(settings),
        (left, right),
        (_entanglement_fact(settings, left), *_error_facts(settings, right)),
    )


def trained(settings: Settings, seed: int, workers: int | None) -> tuple[list[Floats], list[Floats]]:
    """Tables after each data size: each arm's own (N, 2S), mean over runs; and pooled over arms and runs (2S,).

    A run is continued from size to size; only the move across each seam is lost. What an arm has not learned it
    takes from the pooled table.
    """
    N, times = settings.n_arms, settings.times
    system, engine = bandit(N), CountEngine.of(bandit(N), POLICY)
    arms, reward = Arms.of(system, POLICY), np.repeat(system.rewards, system.n_arms, axis=0)

    def one(k: int) -> list[Any]:
        generator, states, flows, done = stream(seed, KEY, N, 3, k), np.repeat(np.arange(4), start(N)), 0, 0
        out = []
        for T in times:
            part = arm_totals(arms, T - done, rng=generator, burn_in=0 if done else N, start=states, flows=True,
                              workers=1)  # fmt: skip
            states, flows, done = part.states, flows + part.flows.astype(np.int64), T
            out.append((local_values_from_flows(flows, reward, system.gamma)[1], flows.sum(axis=0)))
        return out

    parts = in_threads(one, range(settings.runs), workers)
    own, pooled = [], []
    for tables in zip(*parts, strict=True):
        flows = sum(f for _, f in tables)
        together = complete_local_values(engine, flows[None], np.asarray(start(N), float))[0]
        each = np.stack([q for q, _ in tables])
        known = ~np.isnan(each)
        mean = np.where(known, each, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        own.append(np.where(known.any(axis=0), mean, together))
        pooled.append(together)
    return own, pooled


def _errors(
    settings: Settings, tests: JointPairs, own: list[Floats], pooled: list[Floats], sampled: list[Floats]
) -> Panel:
    N = settings.n_arms
    limit = limits().error_mu * math.sqrt(N)
    on = f"{settings.tests} stationary pairs, the same for all T; rollouts with control variates"

    def curve(label: str, how: str, tables: list[Floats]) -> Series:
        points = []
        for T, table in zip(settings.times, tables, strict=True):
            if table.ndim == 3:
                (mean, stderr), degrees = tests.mean_error(table), len(table) - 1
            else:
                e = tests.errors(table)
                mean, stderr, degrees = float(e.mean()), float(e.std(ddof=1)) / math.sqrt(len(e)), len(e) - 1
            points.append(Point.around(N, mean, stderr, degrees, prediction=limit, samples=T))
        return Series(label, f"{how}; {on}", tuple(points))

    own_data = f"local TD on each arm's own T steps, mean of {settings.runs} runs"
    slow = f"TD sample by sample, step 1/visits, mean of {settings.sampled_runs} runs"
    return Panel(
        "error_mu", "Error of the sum of local values", "steps of data T", "‖Q − ΣQᵢ‖ in L1(μ)",
        (curve("each arm's own data (K.2)", own_data, own),
         curve("all arms' data pooled", "local TD on the data of all arms and runs", pooled),
         curve("TD sample by sample, step 1/visits", slow, sampled)),
        against="samples", prediction=f"limit {limit:.3f}", log=True, marks=(("T = 3N", 3 * N),),
    )  # fmt: skip


def _at(settings: Settings, series: Series, multiple: float) -> Point:
    return series.points[settings.multiples.index(multiple)]


def _entanglement_fact(settings: Settings, panel: Panel) -> Fact:
    inside, crossed = panel.series
    end = _at(settings, inside, settings.multiples[-1]).value
    off = {m: _at(settings, inside, m).value / end - 1 for m in (0.5, 1)}
    wide = _at(settings, crossed, 1).value / end - 1
    return Fact(
        "The estimate of the entanglement converges for T < N.",
        f"Against T = {settings.multiples[-1]:g}N it is off by {100 * off[0.5]:+.1f} % at T = N/2 and by "
        f"{100 * off[1]:+.1f} % at T = N.",
        abs(off[1]) <= 0.05,
        f"Within 5 % counts as converged. The cross-fitted estimate, biased the other way, is at {100 * wide:+.1f} % "
        "for T = N.",
    )


def _error_facts(settings: Settings, panel: Panel) -> tuple[Fact, Fact]:
    own, _, sampled = panel.series
    last = settings.multiples[-1]
    end = _at(settings, own, last)
    off = {m: _at(settings, own, m).value / end.value - 1 for m in (1, 3)}
    slow = [_at(settings, sampled, m).value for m in (3, last)]
    return (
        Fact(
            "The error converges within T = 3N.",
            f"Against T = {last:g}N it is off by {100 * off[1]:+.1f} % at T = N and by {100 * off[3]:+.1f} % at "
            "T = 3N.",
            abs(off[3]) <= 0.1,
            "Within 10 % counts as converged. Local values are fitted to convergence on each arm's data and judged on "
            "the same test pairs.",
        ),
        Fact(
            "Is that enough for TD, run sample by sample?",
            f"With step 1/visits its error is {slow[0]:.2f} at 3N and {slow[1]:.2f} at {last:g}N, where converged "
            f"local values have {end.value:.2f}.",
            None,
            "What is left of the start value 0 falls like T^(γ − 1) and adds up over arms. Least squares (LSTD), or "
            "Eq. 2 with a linear solve as here, needs no step size.",
        ),
    )
