"""How wrong a network is, and why: its training, or that it adds up local values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._json import plain
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table, table
from ..report.terms import REWARD, SHARE
from ..runs.certify import SimulatedCertificate
from ..runs.floor import Floor

#: Share of the error that a sum may still avoid where the form is said to be at fault, and where training is.
_HALF = 0.5
#: From where no number of starts is named.
_NEVER = 1e7
_TONES = {
    "right": "good",
    "decomposition": "bad",
    "tuning": "bad",
    "both": "bad",
    "mixer": "good",
    "cannot tell": "open",
}
#: The floors by name: what each is the least error of.
FLOORS = {
    "actions given the state": "sums over agents of any functions of the whole state and the agent's own action",
    "own observations": "sums over agents of any functions of the agent's own observation and action",
    "local pairs": "sums over agents of any functions of the agent's local state and action",
}


class Ratio(NamedTuple):
    """What of the error the best sum of values of what its agents see has as well, between limits."""

    low: float
    high: float

    def verdict(self, margin: float) -> str:
        """Whose fault it is."""
        if self.low >= 1.0 - margin:
            return "decomposition"
        if self.high <= _HALF:
            return "tuning"
        return "both" if self.low > _HALF and self.high < 1.0 - margin else "cannot tell"


def ratio_of(error: tuple[float, float], floor: tuple[float, float], excess: tuple[float, float]) -> Ratio:
    """Limits of floor / error, at most 1: of the two, and by `floor^2 = error^2 - excess^2`."""
    low, high = 0.0, 1.0
    if 0.0 < error[1] < math.inf:
        low = floor[0] / error[1]
        high = math.sqrt(max(1.0 - (excess[0] / error[1]) ** 2, 0.0))
    if error[0] > 0.0:
        low = max(low, math.sqrt(max(1.0 - (excess[1] / error[0]) ** 2, 0.0)))
        high = min(high, floor[1] / error[0])
    return Ratio(min(low, high), min(max(low, high), 1.0))


def _nearer(limits: tuple[float, float], by: float) -> tuple[float, float]:
    middle, half = 0.5 * sum(limits), 0.5 * (limits[1] - limits[0])
    return middle - by * half, middle + by * half


@dataclass(frozen=True, eq=False, repr=False)
class NetworkCertificate(Result):
    """How wrong a network's values are on its own environment, and whether training or the form of a sum is at fault.

    Every limit holds with 95 % confidence. Q counts rewards of all agents with discount while they play by the network.

    Attributes
    ----------
    certificate : limits of the error for each number of steps k, and what choosing by the network costs; where units
        of rewards are not known, of 0 in its place.
    verdict : "decomposition": at most the share `margin` of the error could be avoided by any sum of functions of what
        its agents see; "tuning": at least half; "both": a part between; "right": the error is within `tolerance` of
        the size of Q; "mixer": it errs less than any sum could; or "cannot tell".
    floors : name -> Floor (low, high, note), the least errors of sums, reward units; see `FLOORS`.
    floor : (low, high) of the one that limits what this network can be.
    ratio : (low, high) of that floor over the error.
    margin, tolerance : see there.
    sees : "everything" or "own": what agents observe.
    scale_free : where units are not known, (low, high) share of the spread of Q that the best `a + b D` leaves.
    combined : how it makes one value of its agents': "sum", "mean" or "mixer".
    network, environment, policy, snapshots : what was certified, in words.
    horizon : steps after which values stop, or None.
    notes : what else must be known to read it.
    """

    certificate: SimulatedCertificate
    verdict: str
    floors: Mapping[str, Floor]
    floor: tuple[float, float]
    ratio: tuple[float, float]
    margin: float
    tolerance: float
    sees: str
    scale_free: tuple[float, float] | None
    combined: str
    network: str
    environment: str
    policy: str
    snapshots: str
    horizon: int | None
    notes: tuple[str, ...]

    _what = "network certificate"

    @property
    def error(self) -> tuple[float, float]:
        """Limits of the root mean square of Q - D, from the largest k; infinite where units are not known."""
        if self.scale_free is not None:
            return 0.0, math.inf
        return self.certificate.l2[max(self.certificate.l2)]

    @property
    def more_starts(self) -> int | None:
        """How many starts would decide, if the middles of the limits are right; None where it is decided, or none
        would."""
        told = all(map(math.isfinite, (*self.error, *self.floor)))
        if self.verdict != "cannot tell" or self.scale_free is not None or not told:
            return None
        starts, times = self.certificate.estimates[max(self.certificate.l2)].starts, 1.0
        while starts * times <= _NEVER:
            times *= 1.25
            if self._decided(1.0 / math.sqrt(times)):
                return math.ceil(starts * times)
        return None

    def _decided(self, by: float) -> bool:
        """Whether limits that are nearer to their middles by that factor decide."""
        error, floor, ratio = (_nearer(x, by) for x in (self.error, self.floor, self.ratio))
        if self.combined == "mixer":
            return error[1] < floor[0]
        return Ratio(*ratio).verdict(self.margin) != "cannot tell"

    @property
    def _why(self) -> str:
        """The answer, and the two numbers that it rests on."""
        low, high = self.error
        err = f"it errs by {low:.4g} to {high:.4g} (root mean square, reward units, 95 %)"
        least, most = self.floor
        if self.certificate.caution:
            return f"Cannot tell: {self.certificate.caution}."
        if self.scale_free is not None:
            return (
                f"Cannot tell how wrong it is: rewards were standardised by a mean and a deviation that nobody saved; "
                f"after the best a + b D {percent(self.scale_free[0])} to {percent(self.scale_free[1])} of the spread "
                f"of Q are unexplained, and the best sum of what its agents see errs by {least:.4g} to {most:.4g}."
            )
        if self.verdict == "right":
            return f"Right: {err}, within {percent(self.tolerance)} of the size of Q."
        if self.verdict == "decomposition":
            return f"Decomposition, not tuning: {err}, and no sum of what its agents see errs by less than {least:.4g}."
        if self.verdict == "tuning":
            return f"Tuning, not decomposition: {err}; the best sum of what its agents see errs by at most {most:.4g}."
        if self.verdict == "both":
            best = f"the best sum of what its agents see errs by {least:.4g} to {most:.4g}"
            return f"Tuning and decomposition: {err}; {best}."
        if self.verdict == "mixer":
            best = f"the best sum of what its agents see at least {least:.4g}"
            return f"The mixer does what no sum could: {err}, {best}."
        asked, best = "tuning or decomposition", f"{least:.4g} to {most:.4g}"
        if self.combined == "mixer":
            asked = "the mixer does what no sum could"
            if low > most:
                asked, best = "the mixer's training or its form", f"at most {most:.4g}"
        return f"Cannot tell whether {asked}: {err}; the best sum of what its agents see errs by {best}{self._more}."

    @property
    def _more(self) -> str:
        if self.more_starts is not None:
            return f"; about {self.more_starts:,} starts would tell, if the middles are right"
        return "; see notes" if self.notes else "; it lies between"

    @property
    def sentence(self) -> str:
        """The verdict, the error from one step on, and what choosing by the network costs."""
        c = self.certificate
        said = [self._why]
        if self.scale_free is None and len(c.l2) > 1 and not c.caution:
            k = min(c.l2)
            e = c.estimates[k]
            said.append(
                f"From {k} step{'s' if k > 1 else ''} alone: {c.l2[k][0]:.4g} to {c.l2[k][1]:.4g}, mean TD error "
                f"{e.mean_error * (1.0 - c.discount**k):.2g}."
            )
        if c.decision_loss is not None:
            said.append(c.decision_loss.sentence)
        return " ".join([*said, *(f"{n}." for n in self.notes)])

    def _badge(self) -> tuple[str, str]:
        return _TONES[self.verdict], self.verdict

    def _brief(self) -> str:
        low, high = self.error
        return f"{self.verdict}: error in [{low:.4g}, {high:.4g}], floor in [{self.floor[0]:.4g}, {self.floor[1]:.4g}]"

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        apart = ("certificate", "floors")
        found = {k: plain(getattr(self, k)) for k in self.__dataclass_fields__ if k not in apart}
        floors = {name: plain(f._asdict()) for name, f in self.floors.items()}
        return found | {
            "sentence": self.sentence, "error": plain(self.error), "floors": floors, "more_starts": self.more_starts,
            "estimator": self.certificate.estimator, "certificate": self.certificate.to_dict(),
        }  # fmt: skip

    def _tables(self) -> Iterator[Table]:
        rows = [("error of the network", *self.error, REWARD, "root mean square of Q - D")]
        for name, f in self.floors.items():
            rows.append((f"floor: {name}", f.low, f.high, REWARD, f"least error of {FLOORS[name]}"))
        rows.append(
            ("floor over error", *self.ratio, SHARE, "how much of it the best sum of what its agents see has")
        )
        if self.scale_free is not None:
            rows.append(("unexplained by a + b D", *self.scale_free, SHARE, "share of the spread of Q"))
        columns = {
            "what": "which number",
            "low": "at least",
            "high": "at most",
            "unit": "its unit",
            "says": "what it is",
        }
        yield table("network", "Error of the network, and of the best sums", columns, rows)
        yield from self.certificate._tables()
