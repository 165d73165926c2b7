"""Are joint pairs Markov? Does what came before, or the step of the episode, still predict the next joint pair?

Given the present joint pair the previous one must tell nothing (the Markov test), nor may the step of the episode (the
clock test, for clocks that the previous pair does not betray). Both deal the next joint pairs anew among the steps with
the same present one (`data/null.py`). Where a test rejects, local states lack something: values learned from the log
are values of a mixture, and entanglement is that of what was logged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._json import plain
from .._progress import stage
from .._random import streams
from .._types import RNG
from ..errors import TooLarge
from ..report.result import Result
from ..report.table import Table, table
from .null import null
from .steps import Steps

#: Chance of a false alarm.
LEVEL = 0.05


@dataclass(frozen=True, repr=False)
class MarkovTest(Result):
    """Whether the joint pair of a log is all that the next one depends on.

    Attributes
    ----------
    p_previous : chance of as much dependence on the previous joint pair if there were none; NaN: it could not be asked.
    p_clock : the same of the step of the episode; NaN where steps have no clock or every episode one step.
    information_previous, information_clock : nats that they seem to tell, above what chance shows.
    steps : transitions with a previous joint pair; pairs : different joint pairs.
    outcome : what was predicted, "the next joint pair" or "the next pair of each agent".
    """

    p_previous: float
    p_clock: float
    information_previous: float
    information_clock: float
    steps: int
    pairs: int
    outcome: str

    @property
    def rejected(self) -> bool:
        """Whether either test finds memory, at 5 % together."""
        return bool(min(_one(self.p_previous), _one(self.p_clock)) <= LEVEL / 2)

    @property
    def sentence(self) -> str:
        """What was found, and what it means."""
        found = []
        if _one(self.p_previous) <= LEVEL / 2:
            found.append(f"the previous joint pair still predicts the next (p = {self.p_previous:.2g})")
        if _one(self.p_clock) <= LEVEL / 2:
            found.append(
                f"the step of the episode still predicts the next joint pair (p = {self.p_clock:.2g})"
            )
        if found:
            helps = "put what is missing (a clock, the last move) into the local states"
            return f"Not Markov: {' and '.join(found)}; {helps}."
        asked = [
            (w, p)
            for w, p in (("previous pair", self.p_previous), ("clock", self.p_clock))
            if not math.isnan(p)
        ]
        if not asked:
            return "Cannot tell whether joint pairs are Markov: no step has one before it."
        said = ", ".join(f"{w}: p = {p:.2g}" for w, p in asked)
        return f"No memory found beyond the present joint pair ({said}), in {self.steps:,} steps."

    def to_dict(self) -> dict[str, Any]:
        """JSON form; NaN is None."""
        names = (
            "p_previous",
            "p_clock",
            "information_previous",
            "information_clock",
            "steps",
            "pairs",
            "outcome",
        )
        return {name: plain(getattr(self, name)) for name in names} | {
            "rejected": self.rejected, "sentence": self.sentence,
        }  # fmt: skip

    def _tables(self) -> Iterator[Table]:
        yield table("x", "x", {}, [])

    def _badge(self) -> tuple[str, str]:
        return ("bad", "not Markov") if self.rejected else ("open", "no memory found")


def _one(p: float) -> float:
    return 1.0 if math.isnan(p) else p


def of_steps(steps: Steps, *, rng: RNG) -> MarkovTest:
    """Both tests of the steps of a log."""
    before, clock = streams(rng, "previous", "clock")
    previous = _ask(steps, steps.before, before, 0.0)
    told = None if steps.clock is None or steps.clock.max() < 1 else _ask(steps, steps.clock, clock, 0.5)
    nothing = (math.nan, math.nan, "")
    p, information, outcome = previous or nothing
    p_clock, of_clock, _ = told or nothing
    return MarkovTest(
        p, p_clock, information, of_clock, int(((steps.before >= 0) & (steps.follow >= 0)).sum()),
        len(steps.points), outcome,
    )  # fmt: skip


def _ask(steps: Steps, what: Any, rng: np.random.Generator, low: float) -> tuple[float, float, str] | None:
    """p value, information above chance, and what was predicted."""
    with stage("is it Markov", low, low + 0.5):
        whole = steps.beside(what)
        if whole.steps == 0:
            return None
        try:
            found = null(whole, rng=rng)
            return found.p_value, found.information - found.information_level, "the next joint pair"
        except TooLarge:
            many = steps.n_agents
            each = [null(steps.beside(what, i), rng=rng, tables=max(199, 40 * many - 1)) for i in range(many)]
            least = min(each, key=lambda n: n.p_value)
            p = min(1.0, many * least.p_value)
            return p, max(n.information - n.information_level for n in each), "the next pair of each agent"
