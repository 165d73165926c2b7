"""How wrong an additive approximation is: norms of `err = Q - D`, and the shares that they are of Q.

Constants are kept apart: rewards are shifted by one constant per unit and scaled by a power of two before anything is
solved, so that Q has the size of its spread, and the constants come back in `joint_q` and `local_q` only. What
rounding leaves open (`rounding`, of the input and of the solves) is an interval around `unexplained`, on which the
verdict rests.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import _check
from .._check import Bools, Floats, freeze
from .._json import plain
from ..laws.source import Space
from ..report import tabulate
from ..report.facts import brief, percent
from ..report.result import Result
from ..report.table import Table

NORMS = ("mu", "sup", "l2")
Interval = tuple[float, float]
#: Joint pairs in a picture of Q beside the sum, and how many of the largest errors come beside them.
_POINTS, _WORST = 240, 16


def norm_on(f: Floats, mu: Floats, recurrent: Bools, norm: str) -> float:
    """`||f||` of a function on pairs: "mu" L1(mu), "l2" L2(mu), "sup" over the recurrent pairs."""
    _check.choice("norm", norm, NORMS)
    if norm == "sup":
        return float(np.abs(_at(f, recurrent)).max(initial=0.0))
    at = mu > 0
    mu, f = _at(mu, at), _at(f, at)
    return float(mu @ np.abs(f)) if norm == "mu" else root_mean_square(mu, f)


def _at(f: Floats, mask: Bools) -> Floats:
    """`f[mask]`, not copied where that is all of it."""
    return f if mask.all() else f[mask]


def root_mean_square(weight: Floats, f: Floats) -> float:
    """`sqrt(sum w f^2)`, whatever the unit of f."""
    size = float(np.abs(f).max(initial=0.0))
    return size * float(np.sqrt(weight @ (f / size) ** 2)) if size > 0.0 else 0.0


def share(part: float, whole: float, slack: float) -> tuple[float, Interval]:
    """`part / whole` and what it may be when both are known up to `slack`; 0 of nothing is 0."""
    if slack == 0.0 and part == 0.0:
        return 0.0, (0.0, 0.0)
    low = max(part - slack, 0.0) / (whole + slack)
    high = (part + slack) / (whole - slack) if whole > slack else float("inf")
    value = 0.0 if part <= slack else part / whole if whole > slack else float("inf")
    return value, (low, high)


@dataclass(frozen=True, eq=False, repr=False)
class Approximation(Result):
    """Additive values `D = sum_i Q_i(x_i) + constant` beside the truth Q.

    Attributes
    ----------
    chain : the space whose pairs they live on.
    discount : gamma.
    kind : how the local values were found, e.g. "local TD".
    local : per unit (m_u,) local values without their constants; NaN on local pairs that are never visited.
    values : (n,) true values without their constant.
    shifts : per unit, the constant that its local values lack.
    shift : the constant that `values` lack: what the shifts of all agents add up to.
    offset : added once to the sum over agents, beside the shifts.
    rounding : largest error that rounding may leave in `residual`, reward units.
    """

    chain: Space
    discount: float
    kind: str
    local: tuple[Floats, ...]
    values: Floats
    shifts: tuple[float, ...]
    shift: float
    offset: float
    rounding: float

    @property
    def local_q(self) -> tuple[Floats, ...]:
        """Per unit (m_u,) local values; NaN on local pairs that are never visited."""
        return tuple(freeze(t + c) for t, c in zip(self.local, self.shifts, strict=True))

    @property
    def constant(self) -> float:
        """What is added once to the sum of `local_q` over agents."""
        many = [u.multiplicity for u in self.chain.units]
        return self.offset + self.shift - sum(n * c for n, c in zip(many, self.shifts, strict=True))

    @property
    def joint_q(self) -> Floats:
        """(n,) true values on the pairs of the chain."""
        return freeze(self.values + self.shift)

    @cached_property
    def _sum(self) -> Floats:
        return self.chain.sum_of(self.local) + self.offset

    @property
    def sum_q(self) -> Floats:
        """(n,) `D(x)`; NaN on transient pairs with an unvisited local pair."""
        return freeze(self._sum + self.shift)

    @cached_property
    def residual(self) -> Floats:
        """(n,) `err = Q - D`."""
        return freeze(self.values - self._sum)

    def error(self, norm: str = "mu") -> float:
        """`||Q - D||`: "mu" (L1 of mu), "sup" (over the recurrent pairs) or "l2" (L2 of mu); reward units."""
        return self.norm(self.residual, norm)

    def norm(self, f: Floats, norm: str) -> float:
        """A norm of a function on pairs."""
        return norm_on(f, self.chain.occupancy, self.chain.recurrent, norm)

    @property
    def relative_error(self) -> float:
        """`||err||_mu / ||Q||_mu` (the paper's); a constant added to the rewards changes it at will."""
        return share(self.error("mu"), self.norm(self.joint_q, "mu"), self.rounding)[0]

    def _spread(self, f: Floats) -> float:
        at = self.chain.occupancy > 0
        mu, f = _at(self.chain.occupancy, at), _at(f, at)
        return root_mean_square(mu, f - float(mu @ f))

    @cached_property
    def spread(self) -> float:
        """`||Q - E_mu Q||` in L2(mu), reward units."""
        return self._spread(self.values)

    @cached_property
    def _unexplained(self) -> tuple[float, Interval]:
        return share(self._spread(self.residual), self.spread, self.rounding)

    @property
    def unexplained(self) -> float:
        """`||err - mean||_{2,mu} / ||Q - mean||_{2,mu}`: the share of the spread of Q that the sum misses."""
        return self._unexplained[0]

    @property
    def unexplained_interval(self) -> Interval:
        """What `unexplained` may be, rounding considered."""
        return self._unexplained[1]

    def errors(self) -> dict[str, Any]:
        """Every error by name; None where it is not finite."""
        out: dict[str, Any] = {f"error_{k}": self.error(k) for k in NORMS}
        out |= {"relative_error": self.relative_error, "unexplained": self.unexplained}
        out |= {"kind": self.kind, "estimator": self.chain.estimator}
        return plain(out | {"intervals": {"unexplained": self.unexplained_interval}})

    def local_values(self, most: float = math.inf) -> dict[str, Any]:
        """The block `local_values` of a result, of at most so many numbers: values by agent, state and action, and a
        sample of Q beside the sum."""
        units = range(len(self.chain.units))
        return tabulate.local_block(
            [u.name for u in self.chain.units], [self.chain.local_names(u) for u in units], self.local_q,
            [_shares(self.chain.key_weight(u)) for u in units], kind=self.kind, constant=self.constant, most=most,
        ) | {"points": self._sample()}  # fmt: skip

    def _sample(self) -> dict[str, Any]:
        """Joint pairs for a picture: spread over the long run by the size of Q, and those with the largest errors."""
        at = np.flatnonzero(self.chain.occupancy > 0)
        mu, weight = self.chain.occupancy[at], np.zeros(len(at))
        if len(at) <= _POINTS:
            weight, kept = mu, np.arange(len(at))
        else:
            order = np.lexsort((at, self.values[at]))
            levels = (np.arange(_POINTS) + 0.5) / _POINTS
            hit = order[np.searchsorted(np.cumsum(mu[order]), levels * mu.sum(), side="left")]
            np.add.at(weight, hit, 1.0 / _POINTS)
            worst = np.argsort(-np.abs(self.residual[at]), kind="stable")[:_WORST]
            kept = np.union1d(hit, worst)
        q, d = self.joint_q[at][kept], self.sum_q[at][kept]
        return plain({"q": q, "sum": d, "weight": weight[kept], "of": len(at)})

    def to_dict(self) -> dict[str, Any]:
        """JSON form: the errors, and the local values as a result has them."""
        return self.errors() | {"local_values": self.local_values()}

    @property
    def sentence(self) -> str:
        """How far the sum is from the truth."""
        return f"The sum of local values ({self.kind}) misses {percent(self.unexplained)} of the spread of Q."

    def _tables(self) -> Iterator[Table]:
        block = self.local_values()
        yield tabulate.local_values(block)
        yield tabulate.numbers(tabulate.errors(self.errors()))
        yield tabulate.points(block["points"])

    remedy = "a reward whose differences are not lost in rounding would decide it"
    caution = ""

    def _brief(self) -> str:
        return f"{self.kind}, error_mu={brief(self.error())}, unexplained={brief(self.unexplained)}"


def _shares(weight: Floats) -> Floats:
    """Weights as parts of their sum."""
    return weight / total if (total := float(weight.sum())) > 0.0 else weight


def verdict(interval: Interval | None, tolerance: float) -> str:
    """The one rule: "add" when the upper limit is within the tolerance, "do-not-add" when the lower is above it."""
    if interval is None or not interval[0] <= interval[1]:
        return "cannot-tell"
    if interval[1] <= tolerance:
        return "add"
    return "do-not-add" if interval[0] > tolerance else "cannot-tell"
