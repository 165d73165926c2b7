"""What a signal is worth, by runs: local values that see it, that may not, and that may not but have a common `g(z)`.

All three are learned from the same steps and judged along the same rollouts, so that their difference is told better
than either. The common function is the mean of what the blind sum misses by the value of the signal at the start; it
is fitted on all runs but the one on which it is judged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._interval import jackknife, t_interval
from .._json import plain
from ..model.signal import unseen_reward
from ..model.spaces import Spaces
from ..report import tabulate
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table
from .blind import BlindRuns
from .engine import Rollouts
from .entanglement import EntanglementEstimate
from .errors import OWN_STEPS, ErrorEstimate, default_steps, summarise
from .estimates import (
    RUNS,
    Trained,
    additive,
    discount_of,
    entanglement_of,
    learned_errors,
    left_out,
    roll,
    starts_of,
    sums_at,
    tables_of,
    train,
)
from .floor import centred

if TYPE_CHECKING:
    from .agents import AgentRuns

Interval = tuple[float, float]
_NAMES = ("error_mu", "error_l2", "unexplained")


@dataclass(frozen=True, eq=False, repr=False)
class SignalLossEstimate(Result):
    """Local values that see the signal, that may not, and that may not but have a common function of it, along the same
    runs; every interval has 95 % confidence.

    Attributes
    ----------
    seeing, blind, common : errors of the three by double sampling.
    g : (Z,) common function of the signal, `E_mu[Q - D | z]`, reward units; g_interval : (Z, 2).
    lost : share of the variance of Q that blind values miss beyond those that see, `unexplained^2` of the one less that
        of the other; lost_interval.
    misfit : (N,) `||r_i - E[r_i|x_i]||_mu`, what is paid and blind rewards do not show; misfit_interval : (N, 2).
    blind_policy : Prop. 7.2 without the signal; None where a kernel reads it.
    """

    seeing: ErrorEstimate
    blind: ErrorEstimate
    common: ErrorEstimate
    g: Floats
    g_interval: Floats
    lost: float
    lost_interval: Interval
    misfit: Floats
    misfit_interval: Floats
    blind_policy: EntanglementEstimate | None

    @property
    def caution(self) -> str:
        """Why the intervals say nothing, or ""."""
        return next((e.caution for e in (self.seeing, self.blind, self.common) if e.caution), "")

    @property
    def estimator(self) -> str:
        """How the numbers were obtained, in words."""
        return f"on the same runs, the common function fitted on the others: {self.seeing.estimator}"

    @property
    def sentence(self) -> str:
        """The three shares of the spread of Q."""
        if self.caution:
            return f"Cannot tell what the signal is worth: {self.caution}."
        seen, blind, common = (
            " to ".join(map(percent, getattr(self, form).unexplained_interval)) for form in tabulate.FORMS
        )
        return (
            f"Local values that may not see the signal miss {blind} of the spread of Q, with a common function of the "
            f"signal {common}; those that see it miss {seen}, with 95 % confidence."
        )

    def _errors(self, form: str) -> dict[str, Any]:
        found: ErrorEstimate = getattr(self, form)
        limits = {name: list(getattr(found, f"{name}_interval")) for name in _NAMES}
        return {name: getattr(found, name) for name in _NAMES} | {"error_sup": None, "intervals": limits}

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        weak, unknown = self.blind_policy, [None] * len(self.misfit)
        each = {"seeing_mu_atv": unknown, "blind_mu_atv": unknown, "reward_misfit": self.misfit}
        limits: dict[str, Any] = {
            "reward_misfit_interval": self.misfit_interval,
            "g_interval": self.g_interval,
        }
        if weak is not None:
            each["blind_policy"], limits["blind_policy_interval"] = weak.per_agent, weak.interval
        own = {"g": self.g, "lost": self.lost, "lost_interval": list(self.lost_interval)}
        told = {"estimator": self.estimator, "caution": self.caution or None, "sentence": self.sentence}
        forms = {form: self._errors(form) for form in tabulate.FORMS}
        found: dict[str, Any] = plain(forms | each | limits | own | told)
        return found

    def _brief(self) -> str:
        return ", ".join(f"{form} {percent(getattr(self, form).unexplained)}" for form in tabulate.FORMS)

    def _tables(self) -> Iterator[Table]:
        block, names = self.to_dict(), [u.name for u in self.seeing.of.units]
        yield tabulate.signal(block)
        yield tabulate.signal_agents(block, names)
        yield tabulate.signal_limits(block, names)


def signal_loss_of(
    runs: AgentRuns, blind: BlindRuns, rng: np.random.Generator, count: int = 4000
) -> SignalLossEstimate:
    """See `me.signal_loss`; what sees the signal is learned and judged as `errors` does it at first."""
    gamma, system = discount_of(runs), blind.system
    own = runs.own_rewards
    if own is None:
        raise blind.unsplit("what a signal is worth")
    k, both = default_steps(gamma), (runs, blind)
    trained = train(runs, rng, gamma, 4 * count * k)
    starts = starts_of(trained, count)
    tables = trained.local.tables, tables_of(blind, reduce(add, trained.parts), gamma, own)
    values = [additive(r.view.wide(t)) for r, t in zip(both, tables, strict=True)]
    rolled = roll(
        runs,
        starts,
        (k,),
        gamma,
        lambda x: np.stack([d(x) for d in values], axis=1),
        trained.local.control,
        rng,
    )
    out = [sums_at(Rollouts(*(a[..., j] for a in rolled)), starts) for j in range(len(values))]
    left = [left_out(r, trained, starts, gamma) for r in both]
    seen, unseen = (
        learned_errors(r, trained, t, x, starts, o, k, gamma)
        for r, t, x, o in zip(both, tables, left, out, strict=True)
    )
    signal = system.spaces.apart(starts.states)[1].reshape(RUNS, starts.each)
    fit = _fitted(out[1][..., :2].mean(axis=2), left[1], signal, system.spaces.n_signals)
    later = gamma**k * np.linalg.matrix_power(system.signal, k)
    noise = math.hypot(unseen.learning_noise, math.sqrt(float(fit.share @ fit.stderr**2)))
    common = summarise(
        blind, OWN_STEPS, unseen.local_q, None, k, 1, gamma, out[1] + _added(fit.without, signal, later), noise,
        unseen.learned, starts.caution, starts.gap,
    )  # fmt: skip
    far = gamma**k * unseen.error_l2_interval[1] / np.sqrt(np.maximum(fit.share, tol.FLOOR))
    misfit, half = _misfits(trained, own, blind.view.spaces)
    weak = entanglement_of(blind, rng) if system.signal_blind else None
    return SignalLossEstimate(
        seen, unseen, common, freeze(fit.g), _around(fit.g, fit.half + far), *_lost(seen, unseen, *out), freeze(misfit),
        _around(misfit, half, 0.0) if not starts.caution else _around(misfit, np.full_like(half, math.inf), 0.0), weak,
    )  # fmt: skip


def _around(x: Floats, half: Floats, least: float = -math.inf) -> Floats:
    """(n, 2) limits."""
    return freeze(np.maximum(np.stack([x - half, x + half], axis=1), least))


class _Fit(NamedTuple):
    """The common function of the signal."""

    g: Floats  # (Z,)
    half: Floats  # (Z,) half of its interval
    stderr: Floats  # (Z,) of its fit to the rollouts
    without: Floats  # (R, Z) fitted on all runs but each
    share: Floats  # (Z,) of the starts


def _fitted(y: Floats, left: Floats, signal: Ints, n: int) -> _Fit:
    """From what the blind values miss, y (R, m), at starts with a signal (R, m), and how they differ there where they
    are learned without each run (R, R m)."""

    def sums(f: Floats) -> Floats:
        return np.stack([np.bincount(z, row, n) for z, row in zip(signal, f, strict=True)])

    def fit(total: Floats, often: Floats) -> Floats:
        level = total.sum() / often.sum()
        return np.where(often > 0, total / np.maximum(often, 1.0), level) - level

    often, total, runs = sums(np.ones_like(y)), sums(y), len(y)
    whole = often.sum(axis=0)
    g, without = (
        fit(total.sum(axis=0), whole),
        np.stack([fit(total.sum(axis=0) - t, whole - o) for t, o in zip(total, often, strict=True)]),
    )
    _, stderr, half = ((runs - 1) * a for a in t_interval(without))
    learned = sum(fit(sums(f.reshape(y.shape)).sum(axis=0), whole) ** 2 for f in left)
    return _Fit(g, np.hypot(half, 2.0 * np.sqrt(learned)), stderr, without, whole / whole.sum())


def _added(g: Floats, signal: Ints, later: Floats) -> Floats:
    """(R, m, 3) what functions (R, Z) of the signal add to two sums and to D at starts with a signal (R, m), where
    `later` (Z, Z) is the discounted law of the signal at their end."""
    now, end = (np.take_along_axis(f, signal, axis=1) for f in (g, g @ later.T))
    return np.stack([end - now, end - now, now], axis=2)


def _lost(seen: ErrorEstimate, blind: ErrorEstimate, one: Floats, other: Floats) -> tuple[float, Interval]:
    """The share of the variance of Q that blind values miss beyond those that see, from sums (R, m, 3) of either."""
    value = one[..., :2] + one[..., 2:]
    products = [centred(f).mean(axis=1) for f in (one[..., :2], other[..., :2], value)]
    lost, half = jackknife(
        np.stack(products, axis=1), lambda m: (m[1] - m[0]) / m[2] if m[2] > 0 else math.nan
    )
    if seen.caution or blind.caution or not math.isfinite(half):
        return math.nan, (-math.inf, math.inf)
    (up, down), (more, less) = map(_beyond, (seen, blind))
    return lost, (lost - half - less - up, lost + half + more + down)


def _beyond(e: ErrorEstimate) -> tuple[float, float]:
    """By how much learning, steps that were cut off and events never met may raise and lower a squared share."""
    assert e.parts is not None
    low, high = e.parts._replace(half=0.0).limits()
    middle = max(e.parts.square, 0.0)
    return high**2 - middle, middle - low**2


def _misfits(trained: Trained, rewards: Sequence[Floats], plain: Spaces) -> tuple[Floats, Floats]:
    """(N,) reward misfits, and half of their intervals."""
    visits = zip(*([moves.sum(axis=1) for moves in part.tables()] for part in trained.parts), strict=True)
    found = np.empty((len(rewards), 2))
    for i, (often, r, m) in enumerate(zip(visits, rewards, plain.pair_sizes, strict=True)):

        def miss(w: Floats, r: Floats = np.ravel(r), m: int = m) -> float:
            return unseen_reward(r, w, m)[1]

        found[i] = jackknife(np.stack(often) / trained.steps, miss)
    return found[:, 0], found[:, 1]
