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
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from .. import _check
from .._check import Floats, Ints
from .._json import plain
from .._progress import Progress, reporting
from .._random import generator
from .._types import RNG, ArrayLike, PolicyLike, Subject
from ..errors import InvalidInput
from ..laws.source import Runs, as_source, choose, offers
from ..report import tabulate
from ..report.result import Result
from ..report.table import Table
from ..values.approximation import Approximation
from ..values.certificate import steps_of
from .errors import ErrorEstimate

Interval = tuple[float, float]


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
    """

    discount: float
    l2: Mapping[int, Interval]
    mu: Mapping[int, Interval]
    unexplained: Mapping[int, Interval]
    variance_ratio: Mapping[int, float]
    estimates: Mapping[int, ErrorEstimate]
    control: str

    @property
    def caution(self) -> str:
        """Why the intervals say nothing, or ""."""
        return next(iter(self.estimates.values())).caution

    @property
    def estimator(self) -> str:
        """How the numbers were obtained, in words."""
        e = next(iter(self.estimates.values()))
        how = "with" if self.control == "auto" else "without"
        return (
            f"double sampling: 2 rollouts {how} control variates from {e.starts:,} starts in {e.blocks} independent "
            f"stationary runs; 95 % limits widened by the k-step certificate"
        )

    @property
    def limits(self) -> str:
        """What limits the width of the narrowest interval in L2(mu): the bracket, or the starts."""
        k, (low, high) = min(self.l2.items(), key=lambda item: item[1][1] - item[1][0])
        middle, far = 0.5 * (low + high), self.discount**k
        if middle > 0 and 2.0 * far > 0.5 * (high - low) / middle:
            return f"the bracket of {k} steps, {200 * far:.3g} % wide by itself; take more steps"
        return "the number of starts; four times as many halve it"

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
        )
        found = {n: getattr(self, n) for n in names}
        return {n: plain(dict(x) if isinstance(x, Mapping) else x) for n, x in found.items()}

    @property
    def sentence(self) -> str:
        """How wrong the candidate is."""
        low, high = min(self.l2.values(), key=lambda x: x[1] - x[0])
        if self.caution:
            return f"Cannot tell how wrong it is: {self.caution}."
        return (
            f"The candidate errs by {low:.4g} to {high:.4g} (root mean square, reward units), with 95 % confidence. "
            f"What limits the width: {self.limits}."
        )

    def _brief(self) -> str:
        return ", ".join(f"k={k}: l2 in [{a:.4g}, {b:.4g}]" for k, (a, b) in self.l2.items())

    def _tables(self) -> Iterator[Table]:
        both = {n: {k: list(v) for k, v in getattr(self, n).items()} for n in ("mu", "l2")}
        yield tabulate.certificate(both)
        last = self.estimates[max(self.estimates)]
        yield tabulate.numbers(tabulate.errors(last.errors()))


@reporting("certifying")
def certify(
    candidate: Sequence[ArrayLike] | Result | Callable[[Ints], ArrayLike],
    system: Subject,
    policy: PolicyLike = None,
    *,
    steps: Sequence[int] = (1, 4, 16, 64),
    starts: int = 4000,
    control: str = "auto",
    rng: RNG,
    progress: Progress | bool | None = None,
) -> SimulatedCertificate:
    """How wrong any additive or other candidate is, by rollouts; nothing is enumerated.

    Parameters
    ----------
    candidate : D. One local table (m_i,) per agent (per arm type of a bandit), a result with `.local_q` (and
        `.constant`), or a callable on batches of local pairs (n, N) -> (n,) values.
    system : a system (with `policy`) or its chain, whatever its size.
    steps : numbers of steps k >= 1.
    starts : stationary starts in all, 200..10^7.
    control : "auto", with control variates where next states have known means; or "none".
    rng : seed or numpy Generator; the same seed gives the same bytes for any number of threads.
    progress : see `analyze`.

    Returns
    -------
    SimulatedCertificate : k -> limits in L2(mu), L1(mu) and as share of the spread of Q, and what limits them.

    Raises
    ------
    InvalidInput : a candidate that does not fit or is not finite where agents go, or no discount.
    Unsupported : no rewards, or a shared one.

    >>> import markov_entanglement as me
    >>> subject = me.gallery.build("health", n_arms=(2, 2, 2), budget=1)
    >>> exact = me.value_decomposition(subject.chain())
    >>> found = me.certify(exact, subject.system, subject.policy, steps=(64,), rng=0)
    >>> low, high = found.l2[64]
    >>> bool(low < exact.error("l2") < high)
    True
    """
    ks = steps_of(steps)
    count = _check.integer("starts", starts, low=200, high=10**7)
    _check.choice("control", control, ("auto", "none"))
    source = choose(
        as_source(system, policy, stepped=True),
        Runs,
        "simulate",
        question="a certificate by simulation",
        sampled=True,
    )
    if source.discount is None:
        raise InvalidInput("discount", "None", "values are sums with discount", "Give the system a discount.")
    found, ratio = source.certified(candidate, ks, count, control, generator(rng))
    each = {
        name: MappingProxyType({k: getattr(e, f"{name}_interval") for k, e in found.items()})
        for name in ("error_l2", "error_mu", "unexplained")
    }
    return SimulatedCertificate(
        source.discount, each["error_l2"], each["error_mu"], each["unexplained"], MappingProxyType(ratio),
        MappingProxyType(found), control,
    )  # fmt: skip


def read_candidate(
    candidate: Any, sizes: Sequence[int]
) -> tuple[list[Floats], float] | Callable[[Ints], Floats]:
    """Local tables and a constant, or a checked callable on local pairs (n, N)."""
    tables: Any = candidate
    constant = 0.0
    if offers(candidate, Approximation) or offers(candidate, ErrorEstimate):
        tables, constant = candidate.local_q, candidate.constant
    elif callable(candidate):
        return _called(candidate)
    listed = _check.sequence(
        "candidate", tables, "one local table (m_i,) per agent, or a callable on local pairs"
    )
    _check.known("candidate", listed)
    if len(listed) != len(sizes):
        got, rule = f"{len(listed)} local tables", f"there are {len(sizes)} agents (types)"
        raise InvalidInput("candidate", got, rule, "Give one (m_i,) table for each.")
    found = []
    for i, (table, size) in enumerate(zip(listed, sizes, strict=True)):
        shape = _check.shape_of(f"candidate[{i}]", table)
        if not shape or math.prod(shape) != size:
            raise InvalidInput.shape(f"candidate[{i}]", shape, (size,))
        found.append(_check.real(f"candidate[{i}]", table, gaps=True).reshape(-1))
    return found, constant


def _called(candidate: Callable[[Ints], Any]) -> Callable[[Ints], Floats]:
    def value(pairs: Ints) -> Floats:
        try:
            found = np.asarray(candidate(pairs))
        except InvalidInput:
            raise
        except Exception as e:
            rule = f"it must answer local pairs (n, N), not raise {type(e).__name__} ({e})"
            raise InvalidInput(
                "candidate", f"no values for {len(pairs)} joint pairs", rule, "Mend the function."
            ) from e
        if found.shape != (len(pairs),) or found.dtype.kind not in "fiu":
            got = f"{found.dtype} of shape {found.shape} for {len(pairs)} joint pairs"
            rule = "it takes local pairs (n, N) and returns (n,) numbers"
            raise InvalidInput("candidate", got, rule, "Mend the function.")
        return found.astype(np.float64)

    return value


def finite(values: Floats) -> Floats:
    """The values of a candidate; refused where one is not finite."""
    if not np.isfinite(values).all():
        raise InvalidInput("candidate", "a value that is not finite at a pair that occurs", "each needs a value",
                           "Fill it in, or certify another candidate.")  # fmt: skip
    return values


def gain(controlled: ErrorEstimate, plain_one: ErrorEstimate) -> float:
    """How many times the variance of the estimate of `b_k^2` would be that without control variates."""
    least = controlled.square_variance
    return plain_one.square_variance / least if least > 0 else math.inf
