"""Figure 1 of the paper: entanglement `N E_1` (App. K.1) and decomposition error (App. K.2) against N."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from operator import attrgetter

from .._random import stream
from ..bandits.estimate import estimate_entanglement
from ..runs.entanglement import EntanglementEstimate
from . import errors
from .errors import Errors, bias_series, recipe_series
from .result import Fact, Panel, Point, Series, Study, power
from .setting import POLICY, bandit, limits, start

KEY = 1


@dataclass(frozen=True)
class Settings:
    """App. K.1: sizes and replications, each of 6N steps with the first N dropped."""

    sizes: tuple[int, ...] = (300, 600, 900, 1200, 1500, 1800)
    replications: int = 10


PAPER = Settings()
QUICK = Settings(sizes=errors.QUICK.sizes)


def run(settings: Settings, found: Errors, *, seed: int, workers: int | None = None) -> Study:
    """Entanglement by K.1; the errors `found` by K.2 are shared with figure 2."""
    estimates = [
        estimate_entanglement(bandit(N), POLICY, rng=stream(seed, KEY, N), replications=settings.replications,
                              start=start(N), workers=workers)
        for N in settings.sizes
    ]  # fmt: skip
    how = f"Prop. 7.2 by Eq. 15, {settings.replications} replications of 6N steps, the first N dropped"
    left = Panel(
        "N*E_1", "Entanglement of one arm, times N", "number of arms N", "N · E₁",
        entanglement_curves([(N, 0, e) for N, e in zip(settings.sizes, estimates, strict=True)], how),
        prediction=f"limit {float(limits().policy_entanglement[0]):.6f} √N",
    )  # fmt: skip
    right = Panel(
        "error_mu", "Error of the sum of local values", "number of arms N", "‖Q − ΣQᵢ‖ in L1(μ)",
        (recipe_series(found), bias_series(found)), prediction=f"limit {limits().error_mu:.4f} √N",
    )  # fmt: skip
    return Study(
        "figure1",
        "Entanglement and error grow like √N",
        "Circulant bandit, γ = 0.5, a fifth of the arms served. Left: entanglement of one arm times N (App. K.1). "
        "Right: error of the decomposition (App. K.2).",
        {"entanglement": asdict(settings), "error": asdict(found.settings)},
        (left, right),
        (*_entanglement_facts(left), _error_fact(right)),
    )


def entanglement_curves(
    estimates: Sequence[tuple[int, int, EntanglementEstimate]], how: str
) -> tuple[Series, ...]:
    """`N E_1` both ways, of (N, steps of data or 0, estimate), beside its limit."""
    constant, out = float(limits().policy_entanglement[0]), []
    for name, biased, read in (
        ("in sample", "low", attrgetter("per_agent", "stderr")),
        ("cross-fitted", "high", attrgetter("cross_fitted", "cross_stderr")),
    ):
        points = []
        for N, T, e in estimates:
            value, stderr = (N * float(x[0]) for x in read(e))
            limit = constant * math.sqrt(N)
            points.append(Point.around(N, value, stderr, e.replications - 1, prediction=limit, samples=T))
        out.append(Series(f"{name} (biased {biased})", f"{how}, {name}", tuple(points)))
    return tuple(out)


def _entanglement_facts(panel: Panel) -> tuple[Fact, Fact]:
    points = panel.series[0].points
    b, half = power(points)
    off = max(abs(p.value / p.prediction - 1) for p in points)
    return (
        Fact(
            "E₁ falls like 1/√N (Theorem 7.6), so N·E₁ grows like √N.",
            f"N·E₁ grows like N^{b:.3f} ± {half:.3f} (95 %).",
            abs(b - 0.5) <= half + 0.01,
        ),
        Fact(
            "The paper states the rate and leaves its constant open.",
            f"√N·E₁ is {points[-1].value / math.sqrt(points[-1].N):.4f} at N = {points[-1].N}; the limit constant "
            f"is {float(limits().policy_entanglement[0]):.6f}, and no point is off by more than {100 * off:.1f} %.",
            None,
            "The constant is computed without simulation, from the Gaussian limit of the counts.",
        ),
    )


def _error_fact(panel: Panel) -> Fact:
    recipe, bias = (s.points for s in panel.series)
    b, half = power(recipe)
    c, narrow = power(tuple(replace(p, stderr=(p.high - p.low) / 4) for p in bias))
    inside = sum(p.low <= p.prediction <= p.high for p in bias)
    return Fact(
        "The error grows like √N (Corollary 7.7, Figure 1 right).",
        f"The recipe's error grows like N^{b:.2f} ± {half:.2f}, the bias alone like N^{c:.3f} ± {narrow:.3f}; {inside} "
        f"of {len(bias)} of its intervals contain {limits().error_mu:.4f} √N.",
        abs(b - 0.5) <= half + 0.02 and abs(c - 0.5) <= narrow + 0.01,
        "The recipe tests on 50 stationary pairs, so that its standard error is a tenth of its value.",
    )
