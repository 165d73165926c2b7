"""How long runs must be: what an interval is made of, and how many more starts take it to one side of a tolerance.

Statistical parts of a limit shrink with the root of the number of starts, what rare events may add shrinks with it, and
the bracket of the k-step certificate does not shrink at all.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .. import _tolerance as tol

#: Times as many starts as at first that are taken unasked, and how far beyond those the need may seem to be.
_GROWTH, _FAR = 16, 4.0
#: Starts from which no number of them is named: the value is at the tolerance, as far as anybody will ever tell.
NEVER = 1e12


class Parts(NamedTuple):
    """The interval of a root mean square, as `times` as many starts would make it."""

    square: float  # the estimate, may be below 0
    half: float  # half its interval
    rare: float  # what rarer events than those met may add to it
    gamma: float
    k: int  # steps of a rollout
    reach: float  # what learning may have added to the root, from steps that grow with the starts
    clock: float = 0.0  # what rollouts that a clock cut short leave unknown, whatever their number

    @property
    def far(self) -> float:
        """What rollouts leave unknown: gamma^k, and what a clock cut off."""
        return math.hypot(self.gamma**self.k, self.clock)

    def limits(self, times: float = 1.0, sigmas: float = 1.0) -> tuple[float, float]:
        """Low and high; `sigmas` widens what shrinks."""
        half, far = sigmas * self.half / math.sqrt(times), self.far
        low = (1.0 - far) / (1.0 + far) * root(self.square - half)
        high = (1.0 + far) / (1.0 - far) * root(max(self.square, 0.0) + half + self.rare / times)
        return widened(root(self.square), low, high, self.reach / math.sqrt(times))

    def decide(self, tolerance: float, times: float = 1.0, sigmas: float = 1.0) -> bool:
        """Whether the interval is on one side."""
        low, high = self.limits(times, sigmas)
        return high <= tolerance or low > tolerance

    def needed(self, tolerance: float, most: float) -> float:
        """How many times more starts decide in 39 of 40 runs if the estimate is right; infinite above `most`.

        Half of the interval is room for the next estimate to differ, half is its interval.
        """
        if not self.decide(tolerance, most, 2.0):
            return math.inf
        low, high = 1.0, most
        while high > 1.01 * low:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if self.decide(tolerance, middle, 2.0) else (middle, high)
        return high


def narrow(gamma: float) -> int:
    """First k >= 1 with `gamma^k <= 0.001`."""
    return 1 if gamma == 0.0 else max(1, math.ceil(math.log(1e-3) / math.log(gamma)))


def enough(parts: Parts, tolerance: float, starts: int) -> tuple[float, int]:
    """Starts, and steps k of their rollouts, that decide; more steps only where the bracket of k of them does not."""
    for k in (parts.k, max(parts.k, narrow(parts.gamma))):
        times = parts._replace(k=k).needed(tolerance, NEVER / starts)
        if math.isfinite(times):
            return math.ceil(times * starts), k
    return math.inf, parts.k


def growth(parts: Parts, tolerance: float, starts: int, cost: float) -> float:
    """How many times as many starts to take, at `cost` agent-steps each; 1 where these decide, or none within reach.

    One look at what is needed, not one after every few starts: each look may err.
    """
    if parts.decide(tolerance):
        return 1.0
    most = min(_GROWTH, tol.GROWTH_STEPS / (cost * starts))
    times = parts.needed(tolerance, NEVER / starts)
    return max(1.0, min(times, most)) if times <= _FAR * most else 1.0


def root(x: Any) -> float:
    """The root of a square, 0 where its estimate is below."""
    return math.sqrt(max(float(x), 0.0))


def widened(value: float, low: float, high: float, reach: float) -> tuple[float, float]:
    """Limits with another, independent error; the only clip at 0."""
    if reach > 0:
        low = value - math.hypot(value - low, reach)
        high = value + math.hypot(high - value, reach)
    return max(low, 0.0), high
