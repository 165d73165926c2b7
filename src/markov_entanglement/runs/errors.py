"""The error of additive values by two independent rollouts from every start, for whatever can be stepped.

For any additive `D = const + sum_i q_i(x_i)` and k steps,

    G = sum_{t<k} gamma^t r_t + gamma^k D(x_k) - D(x_0),      E[G | x_0] = (T^k D - D)(x_0) =: g(x_0),

and in every norm that P does not increase `b_k = ||g||` gives `b_k/(1 + gamma^k) <= ||Q - D|| <= b_k/(1 - gamma^k)`.
Starts `x_0` come from independent stationary runs. From each start two independent rollouts `G_1, G_2` (or means of
several, which tightens the bracket of the L1 error):

- `E[G_1 G_2]` is `||g||^2` in L2(mu), unbiased;
- `E[G_1 sign G_2] <= ||g||_mu <= E|G_1 + G_2|/2` brackets the L1 error from both sides, and `||Q||_mu` in the same way.

In L2 and as a share of the spread of Q intervals hold in about 95 % of runs, more often where heavy tails or learned
values leave room. In L1 they hold nearly always: the limits are those of a bracket as wide as the rollouts are noisy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, unit_of
from .._interval import jackknife, t_interval, unmet
from .._json import plain
from ..laws.source import Unit
from ..report import tabulate
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table
from ..values.shared_reward import SPLITS, SharedFit
from .length import Parts, enough, growth, narrow, root, widened

#: Why rollouts that a clock cuts say nothing, and what helps.
TOO_SOON = "the clock cuts episodes too soon for this discount; make the environment without its clock, or a later one"
#: What rollouts that a clock cut may leave unknown, in root mean square, where something is said.
_BLIND = 0.9
#: Kind of local values that every agent learned from its own steps.
OWN_STEPS = "local TD (own steps)"


class Named(Protocol):
    """Whose units and local pairs have names."""

    @property
    def units(self) -> Sequence[Unit]: ...
    def local_names(self, u: int) -> tuple[Sequence[str], Sequence[str]]: ...


@dataclass(frozen=True, eq=False, repr=False)
class ErrorEstimate(Result):
    """The error of an additive approximation at large N, with 95 % intervals.

    Attributes
    ----------
    of : whose units and local pairs are named.
    kind : what was approximated: "local TD" and how, "local TD (exact)" where service ignores the states, so that Eq. 2
        is known without learning, or "given table".
    local_q : one (m_u,) table per unit, at `A_u s + a`; constant : added once. Local pairs that training never left
        get the value of their kernel and of the policy at mean states, NaN where agents have no kernels of their own.
    completed : the same without gaps, as the rollouts take it; None where it is `local_q`.
    constant_fitted : whether the constant was set so that the mean error is 0 (exact for the limit of local TD,
        and `E_mu D = E_mu Q` for corrected values); then errors measure the spread only.
    steps : k; repeats : rollouts averaged in each of the two estimates at a start.
    starts : number of stationary starts; blocks : independent runs they come from.
    error_l2, error_l2_interval : `||Q - D||` in L2(mu), reward units (all errors).
    error_mu : middle of the two-sided bracket of `||Q - D||_mu`; error_mu_interval : its outer limits, so that it holds
        in more than 95 % of runs, and so does that of relative_error.
    relative_error, relative_error_interval : `||Q - D||_mu / ||Q||_mu`.
    unexplained, unexplained_interval : `||err - mean||_{2,mu} / ||Q - mean||_{2,mu}`.
    learned : steps of the run along which local values were learned; None where nothing was.
    mean_error, mean_error_stderr : of `Q - D` before the constant was fitted: the noise of a table in its mean.
    rollout_noise : standard deviation of one of the two estimates about its mean given the start.
    learning_noise : noise of a learned table in L2(mu), by the jackknife over parts of its run; the intervals reach out
        by twice as much.
    square_variance : variance of the product of the two estimates at a start; its mean is `||T^k D - D||^2`.
    shared, shared_interval : how a shared reward was split, and e(r) of that split with 95 %; None where each agent has
        its own.
    split_pairs : joint pairs of the runs that the split saw.
    visited : per unit (m_u,) share of the learning run's steps at each local pair; None where nothing was learned.
    caution : why the intervals say nothing (0 to infinity), and what would decide; "" when they hold.
    pace : steps that each start costs beside its rollouts.
    tolerance : of `unexplained`, where a verdict was asked for; parts : what its interval is made of.
    """

    of: Named
    kind: str
    local_q: Sequence[Floats] | Floats
    constant: float
    constant_fitted: bool
    steps: int
    repeats: int
    starts: int
    blocks: int
    error_l2: float
    error_l2_interval: tuple[float, float]
    error_mu: float
    error_mu_interval: tuple[float, float]
    relative_error: float
    relative_error_interval: tuple[float, float]
    unexplained: float
    unexplained_interval: tuple[float, float]
    mean_error: float
    mean_error_stderr: float
    rollout_noise: float
    learned: int | None = None
    learning_noise: float = 0.0
    caution: str = ""
    square_variance: float = math.nan
    shared: SharedFit | None = None
    shared_interval: tuple[float, float] | None = None
    split_pairs: int = 0
    visited: Sequence[Floats] | None = None
    pace: int = 0
    tolerance: float | None = None
    parts: Parts | None = None
    completed: Sequence[Floats] | None = None

    evaluation = None
    #: What was done about the noise of rollouts, in words.
    controlled: ClassVar[str] = " with control variates"

    @property
    def reliable(self) -> bool:
        """Whether the intervals hold, as far as the runs can tell."""
        return not self.caution

    @property
    def estimator(self) -> str:
        """How the numbers were obtained, in words."""
        how = "exact local values (service ignores the states); " if self.kind == "local TD (exact)" else ""
        if self.learned is not None:
            how = f"local values learned along {self.learned:,} steps; "
        if self.shared is not None:
            how = f"shared reward split by {SPLITS[self.shared.split]} over {self.split_pairs:,} joint pairs; {how}"
        return (
            f"{how}double sampling: 2 x {self.repeats:,} rollouts of {self.steps:,} steps{self.controlled} from "
            f"{self.starts:,} starts in {self.blocks} independent stationary runs; intervals widened by the k-step "
            f"certificate"
        )

    @cached_property
    def more(self) -> tuple[float, int] | None:
        """Starts in all, and steps k of their rollouts, that would decide whether `unexplained` is within the
        tolerance, from the variance met: in 39 of 40 runs if the estimate is right.

        Infinite: none would, it is at the tolerance. None: decided, or not asked.
        """
        if self.parts is None or self.tolerance is None or self.caution or self.parts.decide(self.tolerance):
            return None
        parts = self.parts
        if self.kind == OWN_STEPS:
            parts = parts._replace(reach=0.0)  # what is certified is this very table
        return enough(parts, self.tolerance, self.starts)

    @property
    def more_steps(self) -> float | None:
        """Steps beyond those taken that would decide, see `more`."""
        if self.more is None:
            return None
        (starts, k), rollouts = self.more, 2 * self.repeats
        after = starts * (self.pace + rollouts * k) - self.starts * (self.pace + rollouts * self.steps)
        return after + (self._training(starts) - (self.learned or 0))

    def growth(self, width: int) -> float:
        """How many times as many starts to take where these leave a verdict open; `width`: agents (cells) of a step."""
        if self.parts is None or self.tolerance is None or self.caution:
            return 1.0
        cost = width * (self.pace + 2 * self.repeats * self.steps)
        return growth(self.parts, self.tolerance, self.starts, cost)

    def _training(self, starts: float) -> float:
        """Steps to learn from beside so many starts."""
        learned = self.learned or 0
        return learned if self.kind == OWN_STEPS else learned * starts / self.starts

    @property
    def remedy(self) -> str:
        """What decides."""
        own = self.kind == OWN_STEPS
        if self.more is None:
            if own:
                take = f"starts={10 * self.starts}, rng=0) takes more starts"
                return f"me.certify(result.decomposition, result.chain, {take}"
            return "simulate longer: me.estimate_error(bandit, policy, rng=0, starts=...), 4,000 by default"
        starts, k = self.more
        if math.isinf(starts):
            return "no number of steps decides: the value is at the tolerance"
        said = f"about {self.more_steps:.2g} more steps would decide"
        if starts > tol.MOST_STARTS:
            return f"{said}, more than can be taken"
        if own:
            return f"{said}: me.certify(result.decomposition, result.chain, steps=({k},), starts={starts:.0f}, rng=0)"
        deep = f", steps={k}" if k != self.steps else ""
        learn = "" if self.learned is None else f", training={math.ceil(self._training(starts))}"
        return f"{said}: me.estimate_error(bandit, policy, rng=0, starts={starts:.0f}{learn}{deep})"

    def errors(self) -> dict[str, Any]:
        """Every error by name as in a result; the sup norm is not estimated."""
        names = ("error_mu", "error_l2", "relative_error", "unexplained")
        out = {name: getattr(self, name) for name in names} | {"error_sup": None, "kind": self.kind}
        intervals = {name: list(getattr(self, f"{name}_interval")) for name in names}
        if self.shared is not None and self.shared_interval is not None:
            out |= {"shared_reward_error": self.shared.error, "split": SPLITS[self.shared.split]}
            intervals["shared_reward_error"] = list(self.shared_interval)
        out |= {"intervals": intervals, "estimator": self.estimator, "caution": self.caution or None}
        return out | {
            "more_starts": None if self.more is None else self.more[0],
            "more_steps": self.more_steps,
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        apart = ("of", "shared", "shared_interval", "split_pairs", "visited", "parts", "completed")
        names = ("estimator", *(k for k in self.__dataclass_fields__ if k not in apart))
        found = {name: plain(getattr(self, name)) for name in names}
        if self.shared is None:
            return found
        name = "shared_reward_error"
        split = {name: self.shared.error, f"{name}_interval": self.shared_interval}
        return found | plain(split | {"split_pairs": self.split_pairs})

    def local_values(self, most: float = math.inf) -> dict[str, Any]:
        """The block `local_values` of a result, of at most so many numbers."""
        units, tables = self.of.units, list(self.local_q)
        shares = self.visited or [np.full(len(table), math.nan) for table in tables]
        labels = [self.of.local_names(u) for u in range(len(units))]
        return tabulate.local_block(
            [u.name for u in units],
            labels,
            tables,
            shares,
            kind=self.kind,
            constant=self.constant,
            most=most,
        )

    @property
    def sentence(self) -> str:
        """How far the sum is from the truth, as estimated."""
        low, high = self.error_mu_interval
        missed = [percent(x) for x in self.unexplained_interval]
        return (
            f"The sum of local values ({self.kind}) errs by {low:.4g} to {high:.4g} on average (reward units) and "
            f"misses {missed[0]} to {missed[1]} of the spread of Q, with 95 % confidence."
        )

    def _brief(self) -> str:
        lo, hi = self.error_mu_interval
        return f"{self.kind}: error_mu={self.error_mu:.6g} [{lo:.6g}, {hi:.6g}]"

    def _tables(self) -> Iterator[Table]:
        yield tabulate.numbers(tabulate.errors(self.errors()))
        yield tabulate.local_values(self.local_values())


#: Numbers of an estimate in reward units, and those of them with limits.
_PAID = (
    "constant",
    "error_l2",
    "error_mu",
    "mean_error",
    "mean_error_stderr",
    "rollout_noise",
    "learning_noise",
)
_LIMITED = ("error_l2", "error_mu")


def default_steps(gamma: float) -> int:
    """First k with `gamma^k <= 0.001`, at most 1000."""
    return min(1000, narrow(gamma))


def others(x: Floats) -> Floats:
    """(B, 1, 1) means of (B, m, 2) over all blocks but one, about which the products of that one stay unbiased."""
    means = x.mean(axis=(1, 2))
    return np.asarray(((means.sum() - means) / (len(x) - 1))[:, None, None])


def summarise(
    of: Named, kind: str, tables: Sequence[Floats] | Floats, shift: float | None, k: int, averaged: int, gamma: float,
    out: Floats, learning: float, learned: int | None, caution: str, pace: int = 0, tolerance: float | None = None,
    hidden: float = 0.0, clocked: Floats | None = None,
) -> ErrorEstimate:  # fmt: skip
    """All numbers from `out` (B, m, 3): two rollouts g without constant, and D there; `pace`: steps that a start costs
    beside its rollouts; `hidden`: what events that no rollout met may move the mean of g by; `clocked` (B, m, 2):
    gamma to the steps of rollouts that a clock cut short of k, 0 of others."""
    unit = unit_of(out)  # variances of squares stay finite whatever the unit of the rewards
    scaled, known = out / unit, None if shift is None else shift / unit
    e = _summarised(of, kind, tables, known, k, averaged, gamma, scaled, learning / unit, learned, caution, pace,
                    tolerance, hidden / unit, clocked)  # fmt: skip
    paid: dict[str, Any] = {name: unit * getattr(e, name) for name in _PAID}
    limits: dict[str, Any] = {
        f"{x}_interval": tuple(unit * y for y in getattr(e, f"{x}_interval")) for x in _LIMITED
    }
    return replace(e, **paid, **limits, square_variance=e.square_variance * unit * unit * unit * unit)


def _summarised(
    of: Named, kind: str, tables: Sequence[Floats] | Floats, shift: float | None, k: int, averaged: int, gamma: float,
    out: Floats, learning: float, learned: int | None, caution: str, pace: int, tolerance: float | None,
    hidden: float, clocked: Floats | None,
) -> ErrorEstimate:  # fmt: skip
    """The same in a unit in which these numbers are near 1."""
    g, d = out[..., :2], out[..., 2]

    # T^k (D + c) - (D + c) = g - (1 - gamma^k) c, or gamma to the steps that the clock left.
    kept: Any
    kept, clock = (gamma**k, 0.0) if clocked is None else _kept(clocked, gamma**k)
    if clock > _BLIND:
        kept, clock, caution = gamma**k, 0.0, caution or TOO_SOON
    lost = 1.0 - kept
    apart = g - (others(g) if clock == 0.0 else lost * others(g) / others(lost))
    mean, mean_stderr, _ = t_interval(g.mean(axis=(1, 2)) / np.mean(lost))
    constant = float(mean) if shift is None else shift
    e = apart if shift is None else g - lost * constant
    value = g + d[..., None] + kept * constant
    (one, two), (first, second) = np.moveaxis(e, -1, 0), np.moveaxis(value, -1, 0)
    product, centred = one * two, np.prod(apart, axis=2)
    moments = np.stack([
        product.mean(axis=1),
        0.5 * (one * np.sign(two) + two * np.sign(one)).mean(axis=1),
        0.5 * np.abs(one + two).mean(axis=1),
        np.abs(value.mean(axis=2)).mean(axis=1),
        centred.mean(axis=1),
        np.prod(value - others(value), axis=2).mean(axis=1),
        0.5 * (first * np.sign(second) + second * np.sign(first)).mean(axis=1),
    ], axis=1)  # fmt: skip
    far = math.hypot(gamma**k, clock)
    low, high = 1.0 / (1.0 + far), 1.0 / (1.0 - far)
    # Below this an error, or a spread of Q, is rounding.
    noise = tol.SOLVE * float(max(np.abs(value).max(), np.abs(d).max()))
    square, _, half = t_interval(moments[:, 0])
    l1, _, l1_half = t_interval(moments[:, 1:3])
    spread, _, spread_half = t_interval(moments[:, 5])
    least, least_half = jackknife(moments, lambda m: _share(m[1], m[3], noise))
    most, most_half = jackknife(moments, lambda m: _share(m[2], m[6], noise))
    share, share_half = jackknife(moments, lambda m: _share(m[4], m[5], noise**2))
    size = 0.5 * float(moments[:, 3].mean() + moments[:, 6].mean())
    ratio = _share(0.5 * float(np.sum(l1)), size, noise)
    each = 1.0 / math.sqrt(spread) if spread > noise**2 else 0.0
    # Value and limits for this table, and the unit of what learning may have added to it.
    found: list[tuple[float, float, float, float]] = [
        (root(square), low * (root(square - half) - noise - hidden),
         high * root(max(float(square), 0.0) + half + unmet(product)), 1.0),
        (max(0.5 * float(np.sum(l1)), 0.0), low * float(l1[0] - l1_half[0] - noise - hidden),
         high * float(l1[1] + l1_half[1]), 1.0),
        (max(ratio, 0.0), low / high * (least - least_half),
         high / low * (most + most_half) if most_half >= 0.0 else math.inf, 1.0 / size if size > noise else 0.0),
    ]  # fmt: skip
    reach = 2.0 * learning
    limits = [widened(value, low, high, reach * unit) for value, low, high, unit in found]
    missed = Parts(share, share_half, unmet(centred) * each**2, gamma, k, reach * each, clock)
    limits.append(missed.limits())
    if caution:
        limits = [(0.0, math.inf)] * 4
    elif not math.isfinite(share_half) or noise**2 < spread <= spread_half:
        limits[3] = (0.0, math.inf)
        caution = "these runs cannot tell the spread of Q from 0; take more starts, or record more steps"
    return ErrorEstimate(
        of, kind, tables, constant, shift is None, k, averaged, d.size, len(d),
        found[0][0], limits[0], found[1][0], limits[1], found[2][0], limits[2], root(share), limits[3],
        float(mean), float(mean_stderr),
        float(np.sqrt(0.5 * np.mean((g[..., 0] - g[..., 1]) ** 2))), learned, learning, caution, float(product.var()),
        pace=pace, tolerance=tolerance, parts=missed,
    )  # fmt: skip


def _kept(clocked: Floats, most: float) -> tuple[Floats, float]:
    """What of a constant each rollout leaves, and what beyond `most`, all others' share, in root mean square."""
    kept = np.where(clocked > 0.0, clocked, most)
    far = float((kept**2).mean())
    return kept, math.sqrt(max(far - most**2, 0.0)) if far < 1.0 - tol.FLOOR else 1.0


def _share(part: float, whole: float, noise: float) -> float:
    """`part / whole`, also below 0: 0 where `part` is rounding, infinite where only `whole` is, NaN where that is < 0.

    A negative square comes from runs too short to tell it from 0.
    """
    if abs(part) <= noise:
        return 0.0
    if whole > noise:
        return part / whole
    return math.inf if abs(whole) <= noise else math.nan
