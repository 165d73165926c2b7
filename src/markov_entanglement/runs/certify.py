"""k-step certificates by simulation: how wrong any candidate is, without solving for Q and without listing a state.

From every stationary start two independent rollouts of k steps; their product is unbiased for `b_k^2` in L2(mu), and

    b_k / (1 + gamma^k)  <=  ||Q - D||  <=  b_k / (1 - gamma^k)

(values/certificate.py) with the confidence limits of `b_k` put in. The bracket alone is `2 gamma^k` wide: for a width w
take `k >= ln(2/w) / ln(1/gamma)`. Control variates take the noise out of the rollouts; what is left of the width is the
spread of the error itself over the starts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints
from .._interval import hidden
from .._json import plain
from .._progress import Progress, reporting
from .._random import generator
from .._types import RNG, ArrayLike, PolicyLike, Subject
from ..errors import InvalidInput, Unsupported
from ..laws.source import Runs, as_source, choose
from ..report import tabulate
from ..report.result import Result
from ..report.table import Table
from ..values.certificate import steps_of
from .candidate import Given
from .decisions import DecisionEstimate
from .errors import ErrorEstimate, Named, summarise
from .floor import Floor, Sample, bias_of, floor_of
from .length import Parts

Interval = tuple[float, float]
#: Width of an interval, relative to its middle, that is asked for.
_TEN = 0.1
#: Starts of the smallest certificate.
_LEAST = 200


@dataclass(frozen=True, eq=False, repr=False)
class SimulatedCertificate(Result):
    """Brackets of the error of one candidate by simulation; every limit holds with 95 % confidence.

    Attributes
    ----------
    discount : gamma.
    l2, mu : k -> (low, high) of `||Q - D||` in L2(mu) and L1(mu), reward units.
    unexplained : k -> (low, high), shares of the spread of Q.
    variance_ratio : k -> how many times the variance of the estimate of `b_k^2` would be that without control variates.
    estimates : k -> the estimate behind it.
    control : "auto" or "none".
    floor : (low, high) of what the best additive values miss, however they are learned, in L2(mu), reward units;
        from the largest k. A candidate that is not additive may err less.
    bias : (low, high) of what this candidate adds, `error^2 = floor^2 + bias^2 + noise^2`; None where it is a function.
    noise : what learning from limited data added; None where the candidate does not say.
    floor_note : why the lower limit of the floor is 0 whatever the runs say, or "".
    decision_loss : what choosing by the candidate costs, with limits; None where it was not asked or cannot be told.
    decision_note : why it cannot be told, or "".
    """

    discount: float
    l2: Mapping[int, Interval]
    mu: Mapping[int, Interval]
    unexplained: Mapping[int, Interval]
    variance_ratio: Mapping[int, float]
    estimates: Mapping[int, ErrorEstimate]
    control: str
    floor: Interval
    bias: Interval | None
    noise: float | None
    floor_note: str
    decision_loss: DecisionEstimate | None
    decision_note: str

    @property
    def caution(self) -> str:
        """Why the intervals say nothing, or ""."""
        return next(iter(self.estimates.values())).caution

    @property
    def estimator(self) -> str:
        """How the numbers were obtained, in words."""
        e = next(iter(self.estimates.values()))
        known = self.control == "auto" and any(gain != 1.0 for gain in self.variance_ratio.values())
        how = "with" if known else "without"
        return (
            f"double sampling: 2 rollouts {how} control variates from {e.starts:,} starts in {e.blocks} independent "
            f"stationary runs; 95 % limits widened by the k-step certificate"
        )

    @property
    def narrowest(self) -> int:
        """The number of steps k with the narrowest interval in L2(mu)."""
        return min(self.l2, key=lambda k: self.l2[k][1] - self.l2[k][0])

    def _parts(self, k: int) -> Parts:
        """What the intervals from k steps are made of."""
        parts = self.estimates[k].parts
        assert parts is not None
        return parts

    @property
    def limits(self) -> str:
        """What limits the width of the narrowest interval in L2(mu), and what would bring it to 10 %."""
        k = self.narrowest
        middle, parts = 0.5 * sum(self.l2[k]), self._parts(k)
        if self.caution or not middle > 0 or not math.isfinite(middle):
            return "what the runs cannot tell"
        width, alone = (self.l2[k][1] - self.l2[k][0]) / middle, 2.0 * parts.far
        if 2.0 * parts.clock >= _TEN:
            wide = f"{100 * alone:.3g} % wide by itself"
            return f"the clock that cuts rollouts short, {wide}; make the environment without it"
        if alone >= _TEN:
            enough = math.ceil(math.log(_TEN / 4.0) / math.log(parts.gamma))
            return f"the bracket of {k} steps, {100 * alone:.3g} % wide by itself; take steps=({enough},)"
        if alone > 0.5 * width:
            return f"the bracket of {k} steps, {100 * alone:.3g} % of {100 * width:.3g} %; take more steps"
        needed = self.needed_starts
        if needed is None:
            return "the number of starts; the error cannot be told from 0"
        noisy = self.estimates[k].rollout_noise > self.estimates[k].error_l2
        cause = "noise of the rollouts" if noisy else "spread of the error over the starts"
        return f"the {cause}, {100 * width:.3g} % wide; 10 % takes about {needed:,} starts"

    @property
    def needed_starts(self) -> int | None:
        """How many starts would bring the narrowest interval in L2(mu) to 10 % of its middle, from the variance of the
        products; None where no number does: the error cannot be told from 0, or the bracket is wider by itself."""
        found, far = self.estimates[self.narrowest], self._parts(self.narrowest).far
        if self.caution or 2.0 * far >= _TEN or not found.error_l2 > 0.0:
            return None
        low, high = (x / found.error_l2 for x in found.error_l2_interval)
        half = max(1.0 - (low * (1.0 + far)) ** 2, (high * (1.0 - far)) ** 2 - 1.0)

        def width(half: float) -> float:
            up, down = math.sqrt(1.0 + half) / (1.0 - far), math.sqrt(max(1.0 - half, 0.0)) / (1.0 + far)
            return 2.0 * (up - down) / (up + down)

        most = float(brentq(lambda h: width(h) - _TEN, 0.0, 1.0))
        return max(_LEAST, math.ceil(found.starts * (half / most) ** 2))

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        names = (
            "discount",
            "l2",
            "mu",
            "unexplained",
            "variance_ratio",
            "control",
            "caution",
            "estimator",
            "limits",
            "needed_starts",
            "floor",
            "bias",
            "noise",
            "floor_note",
            "decision_note",
        )
        found = {n: getattr(self, n) for n in names}
        loss = None if self.decision_loss is None else self.decision_loss.to_dict()
        return {n: plain(dict(x) if isinstance(x, Mapping) else x) for n, x in found.items()} | {
            "decision_loss": loss
        }

    @property
    def sentence(self) -> str:
        """How wrong the candidate is."""
        if self.caution:
            return f"Cannot tell how wrong it is: {self.caution}."
        low, high = self.l2[self.narrowest]
        least = "by {:.4g} to {:.4g}".format(*self.floor)
        note = f" ({self.floor_note})" if self.floor_note else ""
        return (
            f"The candidate errs by {low:.4g} to {high:.4g} (root mean square, reward units), with 95 % confidence; "
            f"the best additive values err {least}{note}. What limits the width: {self.limits}."
            + ("" if self.decision_loss is None else f" {self.decision_loss.sentence}")
        )

    def _brief(self) -> str:
        return ", ".join(f"k={k}: l2 in [{a:.4g}, {b:.4g}]" for k, (a, b) in self.l2.items())

    def _tables(self) -> Iterator[Table]:
        both = {n: {k: list(v) for k, v in getattr(self, n).items()} for n in ("mu", "l2")}
        yield tabulate.certificate(both)
        last = self.estimates[max(self.estimates)]
        limits = {"floor": list(self.floor), "bias": None if self.bias is None else list(self.bias)}
        parts = {"noise": self.noise, "intervals": limits}
        rows = tabulate.errors(last.errors()) + tabulate.of("error_budget", parts)
        yield tabulate.numbers(rows + ([] if self.decision_loss is None else self.decision_loss.rows()))


@reporting("certifying")
def certify(
    candidate: Sequence[ArrayLike] | Result | Callable[[Ints], ArrayLike],
    system: Subject,
    policy: PolicyLike = None,
    *,
    steps: Sequence[int] = (1, 4, 16, 64),
    starts: int = 4000,
    control: str = "auto",
    decisions: int = 20,
    rng: RNG,
    progress: Progress | bool | None = None,
) -> SimulatedCertificate:
    """How wrong any additive or other candidate is, by rollouts; nothing is enumerated.

    Parameters
    ----------
    candidate : D. One local table (m_i,) per agent (per arm type of a bandit), a result with `.local_q` (and
        `.constant`), or a callable on batches -> (n,) values: of local pairs (n, N); of a bandit with several arms of a
        type, of numbers of arms at each local pair `2 s + a`, type by type (n, 2 T S).
    system : a system (with `policy`) or its chain, whatever its size.
    steps : numbers of steps k >= 1.
    starts : stationary starts in all, 200..10^7.
    control : "auto", with control variates where next states have known means; or "none".
    decisions : visited states at which choices by the candidate are judged, 0..100,000; 0: none. It takes as many
        steps as the rollouts of the certificate, whatever the number: more states leave fewer for each.
    rng : seed or numpy Generator; the same seed gives the same bytes for any number of threads.
    progress : see `analyze`.

    Returns
    -------
    SimulatedCertificate : k -> limits in L2(mu), L1(mu) and as share of the spread of Q, and what limits them.

    Raises
    ------
    InvalidInput : a candidate that does not fit or is not finite where agents go, or no discount.
    Unsupported : no rewards.

    >>> import markov_entanglement as me
    >>> subject = me.gallery.build("health", n_arms=(2, 2, 2), budget=1)
    >>> exact = me.value_decomposition(subject.chain())
    >>> found = me.certify(exact, subject.system, subject.policy, steps=(64,), rng=0)
    >>> low, high = found.l2[64]
    >>> bool(low < exact.error("l2") < high)
    True
    """
    ks = steps_of(steps)
    count = _check.integer("starts", starts, low=_LEAST, high=tol.MOST_STARTS)
    _check.choice("control", control, ("auto", "none"))
    states = _check.integer("decisions", decisions, low=0, high=100_000)
    source = choose(
        as_source(system, policy, stepped=True),
        Runs,
        "simulate",
        question="a certificate by simulation",
        sampled=True,
    )
    if source.discount is None:
        raise InvalidInput("discount", "None", "values are sums with discount", "Give the system a discount.")
    random = generator(rng)
    got = source.certified(candidate, ks, count, control, random)
    return answered(source.discount, got, control, states, 2.0 * count * ks[-1], random)


def answered(
    discount: float, got: Certified, control: str, states: int, steps: float, rng: np.random.Generator
) -> SimulatedCertificate:
    """The certificate from what runs answer; `steps` may be spent on choices in so many states."""
    found = got.estimates
    each = {
        name: MappingProxyType({k: getattr(e, f"{name}_interval") for k, e in found.items()})
        for name in ("error_l2", "error_mu", "unexplained")
    }
    last = found[max(found)]
    far = 0.0 if last.parts is None else last.parts.far
    floor = Floor(0.0, math.inf, "") if last.caution else floor_of(got.sample, far)
    bias = bias_of(last.error_l2_interval, floor, got.noise) if got.sample.additive else None
    if bias is not None:
        floor = floor._replace(high=min(floor.high, last.error_l2_interval[1]))
    loss, note = None, last.caution
    if states and not note:
        try:
            loss = got.judge(states, steps, rng)
        except (InvalidInput, Unsupported) as e:
            note = str(e)
    return SimulatedCertificate(
        discount, each["error_l2"], each["error_mu"], each["unexplained"], MappingProxyType(got.ratio),
        MappingProxyType(found), control, floor[:2], bias, got.noise, floor.note,
        loss, note,
    )  # fmt: skip


class Certified(NamedTuple):
    """What runs answer: for each k an estimate, what control variates gain, and what the floor is found from."""

    estimates: dict[int, ErrorEstimate]
    ratio: dict[int, float]
    sample: Sample
    noise: float | None
    judge: Callable[[int, float, np.random.Generator], DecisionEstimate]  # states, steps, rng


def brackets(
    of: Named, given: Given, ks: Sequence[int], gamma: float, left: Floats, plain_one: Floats, value: Floats,
    control: str, caution: str, clocked: Floats | None = None,
) -> tuple[dict[int, ErrorEstimate], dict[int, float]]:  # fmt: skip
    """Errors for each k, from two rollouts (B, m, 2, K) with and without control variates and D (B, m) there; and how
    many times the variance of the estimate of `b_k^2` would be that without. `clocked` (B, m, 2, K): as in
    `summarise`."""
    estimates, ratio = {}, {}
    for j, k in enumerate(ks):
        with_, without = (
            summarise(of, "given", given.tables, 0.0, k, 1, gamma,
                      np.concatenate([g[..., j], value[..., None]], axis=2), 0.0, None, caution,
                      hidden=hidden((g - plain_one)[..., j]),
                      clocked=None if clocked is None else clocked[..., j])
            for g in (left, plain_one)
        )  # fmt: skip
        estimates[k] = replace(with_ if control == "auto" else without, constant=given.constant)
        least = with_.square_variance
        ratio[k] = without.square_variance / least if least > 0 else math.inf
    return estimates, ratio
