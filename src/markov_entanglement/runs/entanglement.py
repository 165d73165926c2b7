"""Prop. 7.2 and Eq. 7 by Eq. 10 along runs of whatever can be stepped: estimates with limits from both sides.

*In sample* the minimum over local policies is biased low; *cross-fitted* (q fitted on one half of the steps, evaluated
on the other, both ways) it is biased high. The interval reaches from the lower confidence limit of the first to the
upper one of the second, by independent runs or by batch means of one run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Bools, Floats, freeze
from .._interval import successive, t_interval
from .._json import plain
from ..laws.source import Unit
from ..measures.entanglement import Entanglement


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EntanglementEstimate(Entanglement):
    """Simulated entanglement of every unit by "policy" (Prop. 7.2) or "mu-atv" (Eq. 7), with 95 % intervals.

    `per_agent` (T,) is the in-sample minimum, the paper's number (Eq. 15), biased low. `interval` (T, 2) runs from the
    lower confidence limit in sample to the upper one cross-fitted, with room for rarer events than those met where few
    steps carry E. NaN for a type without arms.

    Attributes
    ----------
    stderr : (T,) standard error of `per_agent`.
    cross_fitted : (T,) cross-fitted value, biased high; cross_stderr : (T,) its standard error.
    local : per unit (S,) chance of the second of two actions under the best local policy, NaN where never visited; with
        another number of actions (S A,), its law in each state. By "mu-atv" (m m,), the law of the next pair.
    steps, burn_in : steps used and steps dropped before, of each replication.
    replications : number of independent runs; 1 = one run with batch means.
    batches : batches of one run (0 with several replications).
    batch_correlation : correlation of successive batch means; above 0.3 the run is too short for its
        interval. NaN with several replications.
    caution : why the intervals say nothing (0 to 1), and what would decide; "" when they hold.
    """

    stderr: Floats
    cross_fitted: Floats
    cross_stderr: Floats
    local: Sequence[Floats] | Floats
    steps: int
    burn_in: int
    replications: int
    batches: int
    batch_correlation: float
    caution: str = ""

    @property
    def optimal_local(self) -> Sequence[Floats] | Floats:  # type: ignore[override]
        """The best local policy of each unit, see `local`."""
        return self.local

    @property
    def reliable(self) -> bool:
        """Whether the intervals hold, as far as the runs can tell."""
        return not self.caution

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        names = ("stderr", "cross_fitted", "cross_stderr", "optimal_local", "batch_correlation", "steps", "burn_in",
                 "replications", "caution")  # fmt: skip
        how = {"method": "from logs"} if self.method == "logs" else {}
        return super().to_dict() | how | {name: plain(getattr(self, name)) for name in names}

    def _brief(self) -> str:
        limits = np.zeros((0, 2)) if self.interval is None else self.interval
        shown = zip(self.per_agent[:3], limits, strict=False)
        each = ", ".join(f"{v:.6g} [{lo:.6g}, {hi:.6g}]" for v, (lo, hi) in shown)
        each += f" and {n - 3} types more" if (n := len(self.per_agent)) > 3 else ""
        return f"{self.distance}: {each}; {self.replications} x {self.steps} steps"


def fitted(
    steps: int, fit: Callable[[slice], Floats], miss: Callable[[Floats, slice], Floats]
) -> tuple[Floats, Floats, Floats]:
    """What every one of T steps misses in sample and cross-fitted (T, ...), and what is fitted on all of them.

    `fit(part)` fits on some steps, `miss(q, part)` is what each of them misses by it.
    """
    first, second, whole = slice(0, steps // 2), slice(steps // 2, steps), slice(0, steps)
    q = fit(whole)
    return miss(q, whole), np.concatenate([miss(fit(second), first), miss(fit(first), second)]), q


def rare_events(sums: Floats, lag: float, steps: int) -> Floats:
    """(T,) what events rarer than those met may add to E; 0 where at least 30 independent steps carry it.

    All events of chance above 3/n are met with 95 %; one misses 1 at the most, and less than three times as much as
    any that was met, if one was.
    """
    total, square, largest = sums[:, 0].sum(axis=0), sums[:, 1].sum(axis=0), sums[:, 2].max(axis=0)
    worst = np.where(largest > 0, np.minimum(3.0 * largest, 1.0), 1.0)
    return np.asarray(np.where(total**2 < 30.0 * lag * square + tol.FLOOR, 3.0 * worst * lag / steps, 0.0))


def estimated(
    units: tuple[Unit, ...], inside: Floats, crossed: Floats, rare: Floats, local: Sequence[Floats] | Floats,
    *, steps: int, burn_in: int, replications: int, batches: int, caution: str, distance: str = "policy",
) -> EntanglementEstimate:  # fmt: skip
    """The estimate from in-sample and cross-fitted values (R, U) of replications or of the batches of one run.

    rare (U,): what `rare_events` may add to the upper limits; local: see `EntanglementEstimate`. A caution widens every
    interval to 0..1.
    """
    value, stderr, width = t_interval(inside)
    high, high_stderr, high_width = t_interval(crossed)
    interval = np.stack([np.maximum(value - width, 0.0), np.minimum(high + high_width + rare, 1.0)], axis=1)
    if caution:
        interval[:] = 0.0, 1.0
    empty: Bools = np.array([u.multiplicity == 0 for u in units])
    for a in (value, stderr, high, high_stderr, interval):
        a[empty] = np.nan
        freeze(a)
    how = (
        f"{replications} independent replications of {steps:,} steps"
        if replications > 1
        else f"one run of {steps:,} steps, {batches:,} batch means"
    )
    by = "Prop. 7.2 by Eq. 15" if distance == "policy" else "Eq. 7 by Eqs. 9 and 10"
    how = f"{by}; {how} after {burn_in:,} dropped; in sample (low) and cross-fitted (high)"
    return EntanglementEstimate(
        distance=distance, support="recurrent", method="simulate", units=units, per_agent=value, interval=interval,
        estimator=how, stderr=stderr, cross_fitted=high, cross_stderr=high_stderr, local=local, steps=steps,
        burn_in=burn_in, replications=replications, batches=batches, caution=caution,
        batch_correlation=math.nan if replications > 1 else successive(inside.mean(axis=1)),
    )  # fmt: skip


def mean_where_known(values: Floats) -> Floats:
    """Mean over the first axis of what is not NaN; NaN where nothing is known."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(values, axis=0) / known.sum(axis=0))
