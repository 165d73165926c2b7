"""Are joint pairs Markov? Does what came before, or the step of the episode, still predict the next joint pair?

Given the present joint pair the previous one must tell nothing (the Markov test), nor may the step of the episode (the
clock test, for clocks that the previous pair does not betray); that the episode is cut counts as an outcome of the
latter. Both deal the outcomes anew among the steps with the same present pair (`data/null.py`). Where a test rejects
inside episodes, local states lack something: values learned from the log are those of a mixture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .._check import Ints
from .._json import plain
from .._progress import Progress, reporting, stage
from .._random import streams
from .._types import RNG, PolicyLike, Subject
from ..errors import TooLarge
from ..laws.source import Logged, Runs, as_source, choose, offers
from ..report import tabulate
from ..report.result import Result
from ..report.table import Table
from ..runs.path import Path
from .null import null
from .read import read_logs
from .steps import Steps, collect

#: Chance of a false alarm of both tests together.
LEVEL = 0.05


@dataclass(frozen=True, repr=False)
class MarkovTest(Result):
    """Whether the joint pair of a log is all that the next one depends on.

    Attributes
    ----------
    p_previous : chance of as much dependence on the previous joint pair if there were none; NaN: nothing to ask.
    p_clock : the same of the step of the episode, where an episode that is cut is an outcome, too; NaN where steps have
        no clock or no episode comes to a step again.
    p_inside : the same inside episodes alone; it counts where `p_clock` rejects, so that these are two tests.
    information_previous, information_clock, information_inside : nats that they seem to tell, above what chance shows.
    steps : transitions with a previous joint pair; pairs : different joint pairs.
    outcome : what was predicted, "the next joint pair" or "the next pair of each agent".
    """

    p_previous: float
    p_clock: float
    p_inside: float
    information_previous: float
    information_clock: float
    information_inside: float
    steps: int
    pairs: int
    outcome: str

    @property
    def rejected(self) -> bool:
        """Whether either test finds memory, at 5 % together."""
        return self.inside or _sure(self.p_clock)

    @property
    def inside(self) -> bool:
        """Whether memory was found inside episodes, so that values of the log are those of a mixture."""
        return _sure(self.p_previous) or self._clocked

    @property
    def _clocked(self) -> bool:
        """Whether the step of the episode tells something inside episodes."""
        return _sure(self.p_clock) and _sure(self.p_inside)

    @property
    def found(self) -> str:
        """What still predicts what, in words; "" where nothing was found."""
        told = {"the previous joint pair": (self.p_previous, _sure(self.p_previous)),
                "the step of the episode": (self.p_inside, self._clocked)}  # fmt: skip
        sure = [f"{what} (p = {p:.2g})" for what, (p, yes) in told.items() if yes]
        if sure:
            return f"{' and '.join(sure)} still predict{'' if len(sure) > 1 else 's'} the next joint pair"
        ends = f"the step of the episode (p = {self.p_clock:.2g}) predicts where episodes are cut"
        return ends if _sure(self.p_clock) else ""

    @property
    def helps(self) -> str:
        """What to do about it."""
        if not self.inside:
            return "values are those of a task that goes on; where the end is part of it, put the clock into the states"
        what = "the clock" if self._clocked else "what is missing, e.g. the last move,"
        return f"put {what} into the local states"

    @property
    def sentence(self) -> str:
        """What was found, and what it means."""
        if self.found:
            return f"Not Markov: {self.found}; {self.helps}."
        asked = {"previous pair": self.p_previous, "clock": self.p_clock}
        said = [f"{what}: p = {p:.2g}" for what, p in asked.items() if not math.isnan(p)]
        if not said:
            return "Cannot tell whether joint pairs are Markov: none recurs after another one."
        return f"No memory found beyond the present joint pair ({', '.join(said)}), in {self.steps:,} steps."

    def to_dict(self) -> dict[str, Any]:
        """JSON form; NaN is None."""
        return {
            name: plain(getattr(self, name)) for name in (*self.__dataclass_fields__, "rejected", "sentence")
        }

    def _tables(self) -> Iterator[Table]:
        yield tabulate.memory(self.to_dict())

    def _badge(self) -> tuple[str, str]:
        return ("bad", "not Markov") if self.rejected else ("open", "no memory found")


def _sure(p: float) -> bool:
    return p <= LEVEL / 2


@reporting("testing for memory")
def markov_test(
    source: Subject, policy: PolicyLike = None, *, steps: int = 100_000, rng: RNG = 0,
    progress: Progress | bool | None = None,
) -> MarkovTest:  # fmt: skip
    """Does the previous joint pair, or the step of the episode, still predict the next one, given the present one?

    Parameters
    ----------
    source : a log; or what can be stepped (with `policy`), of which `steps` steps are taken.
    rng : seed or numpy Generator, of the outcomes that are dealt anew and of the steps.
    progress : see `analyze`.

    Returns
    -------
    MarkovTest : `.p_previous`, `.p_clock`, `.rejected` and a `.sentence` that says what to do.

    Raises
    ------
    Unsupported : what is no log and cannot be stepped.
    TooLarge : a log that does not fit in memory.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> me.markov_test(me.simulate(entry.system, entry.policy, 5000, rng=0)).rejected
    False
    """
    if offers(source, Path):
        source = read_logs(source)
    given = as_source(source, policy)
    if offers(given, Logged):
        return of_steps(given.side_by_side, rng=rng)  # type: ignore[attr-defined]
    many = _check.integer("steps", steps, low=1, high=2**40)
    moves, deal = streams(rng, "steps", "tests")
    runs = choose(given, Runs, "simulate", question="a Markov test", sampled=True)
    sizes = np.array([u.size for u in given.units for _ in range(u.multiplicity)], dtype=np.int64)
    return of_steps(collect(runs.chunks(many, moves, burn_in=1000), sizes), rng=deal)


def of_steps(steps: Steps, *, rng: RNG) -> MarkovTest:
    """Both tests of the steps of a log."""
    before, clock, inside = streams(rng, "previous", "clock", "inside")
    nothing = (math.nan, math.nan, "the next joint pair")
    with stage("does the previous joint pair tell", 0.0, 0.4):
        p, told, outcome = _ask(steps, steps.before, before) or nothing
    p_clock, of_clock, _ = p_inside, of_inside, _ = nothing
    if steps.clock is not None:
        with stage("does the clock tell", 0.4, 1.0):
            p_clock, of_clock, _ = _ask(steps, steps.clock, clock, cuts=True) or nothing
            p_inside, of_inside, _ = _ask(steps, steps.clock, inside) or nothing
    linked = int(((steps.before >= 0) & (steps.follow >= 0)).sum())
    return MarkovTest(
        p, p_clock, p_inside, told, of_clock, of_inside, linked, len(steps.points), outcome,
    )  # fmt: skip


def _ask(
    steps: Steps, what: Ints, rng: np.random.Generator, *, cuts: bool = False
) -> tuple[float, float, str] | None:
    """p value, information above chance, and what was predicted; None where nothing recurs."""
    whole = steps.beside(what, cuts=cuts)
    if whole.steps == 0:
        return None
    try:
        found = null(whole, rng=rng)
    except TooLarge:
        many = steps.n_agents
        each = [
            null(steps.beside(what, i, cuts=cuts), rng=rng, tables=max(199, 40 * many - 1))
            for i in range(many)
        ]
        least = min(each, key=lambda n: n.p_value)
        told = max(n.information - n.information_level for n in each)
        return min(1.0, many * least.p_value), told, "the next pair of each agent"
    if found.information_spread <= 1e-12:  # every dealt table is alike
        return None
    return found.p_value, found.information - found.information_level, "the next joint pair"
