"""What views are taken of: a chain with a signal, a log, recorded runs; and what is found in one view.

See `views` for what a view is and how one is suggested.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .._json import plain
from .._random import stream
from ..data.entangled import of_steps
from ..data.halves import ValueErrors, value_errors
from ..data.markov_test import MarkovTest
from ..data.markov_test import of_steps as memory_of
from ..data.parts import Seen
from ..data.steps import Steps
from ..laws.source import Unit
from ..measures.entanglement import Entanglement, local_entanglement
from ..measures.spectral import additive_basis
from ..report.facts import percent
from ..report.result import Brief
from ..values.budget import budget_of
from ..values.decomposition import decompose, resolve_discount
from .logged import caution_of, split_tables

Interval = tuple[float, float]
_ANY: Interval = (0.0, math.inf)


@dataclass(frozen=True, eq=False, repr=False)
class View(Brief):
    """What is found where local states show some of their parts.

    Attributes
    ----------
    name : of the view; parts : what it shows; pairs : (N,) local pairs of each agent.
    entanglement : E_i by mu-atv, keys of this view, given all that is known of the joint pair.
    memory : whether what all agents see is Markov, or None of a chain.
    unexplained : what the sum of local values misses of the spread of Q; NaN where it cannot be told.
    unexplained_floor : what the best sum of functions of what is seen misses of it; NaN where it cannot be told.
    reward_misfit : what rewards of all agents miss, a step, when each is told by the own local pair; NaN as well.
    unexplained_interval, unexplained_floor_interval, reward_misfit_interval : 95 % limits; None where they are exact.
    caution : why errors cannot be told, or "".
    """

    name: str
    parts: tuple[str, ...]
    pairs: tuple[int, ...]
    entanglement: Entanglement
    memory: MarkovTest | None
    unexplained: float = math.nan
    unexplained_interval: Interval | None = _ANY
    unexplained_floor: float = math.nan
    unexplained_floor_interval: Interval | None = _ANY
    reward_misfit: float = math.nan
    reward_misfit_interval: Interval | None = _ANY
    caution: str = ""

    @property
    def worst(self) -> tuple[float, Interval | None]:
        """The largest E_i, or estimate of one, and its limits."""
        e = self.entanglement
        i = int(np.nanargmax(e.per_agent)) if np.isfinite(e.per_agent).any() else 0
        found = None if e.interval is None else (float(e.interval[i, 0]), float(e.interval[i, 1]))
        return float(e.per_agent[i]), found

    @property
    def missed(self) -> str:
        """What is unexplained, in words."""
        if self.caution:
            return "what cannot be told"
        limits = self.unexplained_interval
        return (
            percent(self.unexplained) if limits is None else f"{percent(limits[0])} to {percent(limits[1])}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form; NaN and infinity are None."""
        apart = {"entanglement": self.entanglement.to_dict(),
                 "memory": None if self.memory is None else self.memory.to_dict()}  # fmt: skip
        worst, limits = self.worst
        return plain({**vars(self), **apart, "largest": worst, "largest_interval": limits})

    def _brief(self) -> str:
        return f"{self.name}: misses {self.missed} of the spread of Q"


class Sight(ABC):
    """Something of which views can be taken."""

    parts: tuple[str, ...]
    estimator: str

    @abstractmethod
    def look(self, name: str, keep: tuple[str, ...], k: int) -> View:
        """The view of that name, number k."""

    @property
    @abstractmethod
    def lacking(self) -> str:
        """Why nothing can be suggested, or ""."""

    @abstractmethod
    def rank(self, keep: tuple[str, ...]) -> float:
        """What is unexplained, by the data that choose; infinite where they cannot tell."""

    @abstractmethod
    def gain(self, more: tuple[str, ...], less: tuple[str, ...]) -> tuple[float, Interval | None]:
        """What `more` explains more of the variance of Q, by the data that judge."""


class ExactSight(Sight):
    """A chain whose agents see a signal, with it and without."""

    parts = ("signal", "state")
    every: ClassVar[dict[str, tuple[str, ...]]] = {"state": ("state",), "signal + state": parts}
    estimator = "exact"
    lacking = ""

    def __init__(self, chain: Any, discount: float | None, seed: int) -> None:
        gamma = resolve_discount(chain, discount)
        self.chains = {self.parts: chain, self.parts[1:]: chain.blind()}
        self.found = {keep: decompose(c, c.read_rewards(None), gamma) for keep, c in self.chains.items()}

    def look(self, name: str, keep: tuple[str, ...], k: int) -> View:
        chain, values = self.chains[keep], self.found[keep]
        floor = budget_of(values, additive_basis(chain)).to_dict()["unexplained_floor"]
        pairs = tuple(u.size for u in chain.units)
        return View(name, keep, pairs, local_entanglement(chain), None, values.unexplained, None, floor, None,
                    values.misfit or 0.0, None)  # fmt: skip

    def rank(self, keep: tuple[str, ...]) -> float:
        return self.found[keep].unexplained

    def gain(self, more: tuple[str, ...], less: tuple[str, ...]) -> tuple[float, Interval | None]:
        return self.rank(less) ** 2 - self.rank(more) ** 2, None


class RecordedSight(Sight):
    """Steps that were recorded."""

    def __init__(self, source: Any, discount: float | None, seed: int) -> None:
        self.source, self.seed, self.parts = source, seed, source.parts
        self.gamma = source.discount if discount is None else discount
        self.steps: Steps = source.side_by_side
        self.memory = memory_of(self.steps, rng=stream(seed, 0))

    def look(self, name: str, keep: tuple[str, ...], k: int) -> View:
        """The view of the parts `keep`, number k of those asked for."""
        seen: Seen = self.source.seen(keep)
        sizes = seen.spaces.pair_sizes
        units = tuple(Unit(u.name, m) for u, m in zip(self.source.units, sizes, strict=True))
        measure = of_steps(self.source.drawn.shown(seen.pairs, sizes), units, rng=stream(self.seed, 1, k))
        own = self.steps.shown(seen.pairs, sizes).alone
        memory = self.memory if keep == self.parts else memory_of(own, rng=stream(self.seed, 2, k))
        return View(name, keep, sizes, measure, memory, **self.errors(keep, k))

    @abstractmethod
    def errors(self, keep: tuple[str, ...], k: int) -> dict[str, Any]:
        """Errors of local values, or why there are none."""

    @property
    def missing(self) -> str:
        """What values lack, or ""."""
        words = [] if self.steps.rewards.shape[1] else ["rewards"]
        words += ["discount"] if self.gamma is None else []
        if not words:
            return ""
        return (
            f"{' and '.join(words)} missing, so that there are no values, and E_i alone does not rank views"
        )


class LogSight(RecordedSight):
    """A log: its halves choose and judge."""

    def __init__(self, source: Any, discount: float | None, seed: int) -> None:
        super().__init__(source, discount, seed)
        middle = len(self.steps) // 2
        self.halves = self.steps.part(slice(middle)), self.steps.part(slice(middle, None))
        self.known: dict[tuple[tuple[str, ...], int], ValueErrors | None] = {}
        self.estimator = (
            f"logs only, {len(self.steps):,} steps: E_i by witnesses, errors by two halves of the time with intervals "
            "by leaving out 1/40 of it; parts are chosen on the first half of the log, gains are of the second"
        )

    def _values(self, steps: Steps, keep: tuple[str, ...], floor: bool) -> ValueErrors | None:
        seen: Seen = self.source.seen(keep)
        shown = steps.shown(seen.pairs, seen.spaces.pair_sizes)
        own = shown.rewards.shape[1] == shown.n_agents
        tables = None if own else split_tables(shown, seen.spaces.n_actions)[0]
        assert self.gamma is not None
        return value_errors(shown, self.gamma, tables, floor=floor)

    def errors(self, keep: tuple[str, ...], k: int) -> dict[str, Any]:
        if self.missing:
            return {"caution": self.missing}
        found = self._values(self.steps, keep, True)
        caution = caution_of(self.steps, found, self.memory)
        if caution or found is None:
            return {"caution": caution}
        names = ("unexplained", "unexplained_floor", "reward_misfit")
        return {n: getattr(found, n) for name in names for n in (name, f"{name}_interval")}

    def _half(self, keep: tuple[str, ...], which: int) -> ValueErrors | None:
        key = keep, which
        if key not in self.known:
            self.known[key] = self._values(self.halves[which], keep, False)
        return self.known[key]

    @property
    def lacking(self) -> str:
        """Why the halves cannot choose and judge, or ""."""
        if self.missing:
            return self.missing
        each = [
            caution_of(half, self._half(self.parts, k), self.memory) for k, half in enumerate(self.halves)
        ]
        return next((f"in half of the log {c}" if not self.memory.inside else c for c in each if c), "")

    def rank(self, keep: tuple[str, ...]) -> float:
        found = self._half(keep, 0)
        return math.inf if found is None or math.isnan(found.unexplained) else found.square

    def gain(self, more: tuple[str, ...], less: tuple[str, ...]) -> tuple[float, Interval | None]:
        large, small = self._half(more, 1), self._half(less, 1)
        if large is None or small is None or not np.isfinite([large.unexplained, small.unexplained]).all():
            return math.nan, (-math.inf, math.inf)
        return large.gain(small)


class RunsSight(RecordedSight):
    """Recorded runs of an environment, with rollouts from snapshots."""

    lacking = (
        "what one recording chooses cannot be measured by the same recording: compare what is unexplained in each "
        "view, and record again with another rng to say what the one you choose brings"
    )

    @property
    def estimator(self) -> str:  # type: ignore[override]
        """How the numbers were obtained."""
        return f"{len(self.steps):,} steps recorded: E_i by witnesses, errors by two rollouts from each of many places"

    def errors(self, keep: tuple[str, ...], k: int) -> dict[str, Any]:
        if self.missing:
            return {"caution": self.missing}
        runs = self.source.showing(keep)
        if not len(runs.kept.runs[0].start):
            return {"caution": "errors of values need rollouts from snapshots, and none were taken"}
        found = runs.errors(stream(self.seed, 3, k))
        if found.caution:
            return {"caution": found.caution}
        return {"unexplained": found.unexplained, "unexplained_interval": found.unexplained_interval}

    def rank(self, keep: tuple[str, ...]) -> float:
        return math.inf

    def gain(self, more: tuple[str, ...], less: tuple[str, ...]) -> tuple[float, Interval | None]:
        return math.nan, (-math.inf, math.inf)
