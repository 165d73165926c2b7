"""Paired timings: both sides run alternately in one process, so that a noisy machine slows both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple


class Paired(NamedTuple):
    """Medians in seconds, and the median ratio of neighbouring runs (how many times faster ours is)."""

    ours: float
    theirs: float
    ratio: float


def seconds(call: Callable[[], Any]) -> float:
    """One run."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def paired(
    ours: Callable[[], Any], theirs: Callable[[], Any], repeats: int, *, inner: int = 1, share: float = 1.0
) -> Paired:
    """Time `ours` (median of `inner` runs each time) beside `theirs`, `repeats` times.

    `share` is the part of our work that `theirs` does: its time is divided by it.
    """
    ours()
    pairs = [
        (statistics.median(seconds(ours) for _ in range(inner)), seconds(theirs) / share)
        for _ in range(repeats)
    ]
    return Paired(
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
    )
