"""What an analysis asks of a log: memory, local values, the error of their sum, and what all of it can claim."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._check import Floats
from ..data.halves import ValueErrors, value_errors
from ..data.markov_test import MarkovTest, of_steps
from ..data.steps import Steps
from ..errors import Unsupported
from ..laws.source import Logged, Recorded
from ..learning.result import LocalValues
from ..learning.reward import split_reward
from ..learning.tabular import LSTD
from ..report import tabulate
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table

#: Share of the steps at joint pairs of both halves below which the rest may change the verdict.
_ENOUGH = 0.95
_KIND = "local TD (steps of the log)"


@dataclass(frozen=True, eq=False, repr=False)
class LoggedValues(Result):
    """Local values learned from a log, and the error of their sum with 95 % intervals.

    The errors are those of the local values that endless steps of this kind would give; the noise of these tables comes
    on top.

    Attributes
    ----------
    learned : local values of all steps.
    found : errors, or None where joint pairs hardly recur.
    caution : why the intervals say nothing, and what would decide; "" when they hold.
    split : how one reward of all agents was split; "": each agent has its own. split_error : e(r) of that, or None.
    """

    learned: LocalValues
    found: ValueErrors | None
    caution: str
    tolerance: float | None
    steps: int
    split: str = ""
    split_error: float | None = None

    evaluation = None
    shared = None

    @property
    def local_q(self) -> tuple[Floats, ...]:
        """(N,) local values (m_i,), NaN where never visited."""
        return self.learned.local_q

    @property
    def unexplained(self) -> float:
        """Share of the spread of Q that the sum misses."""
        return math.nan if self.found is None or self.caution else self.found.unexplained

    @property
    def unexplained_interval(self) -> tuple[float, float]:
        """95 % limits of `unexplained`; 0 to infinity where nothing can be said."""
        return (0.0, math.inf) if self.found is None or self.caution else self.found.unexplained_interval

    @property
    def more_steps(self) -> float:
        """About how many more steps would decide, if what is seen is so; NaN: decided, or none can be named."""
        if self.found is None or self.caution or self.tolerance is None:
            return math.nan
        apart = abs(self.found.square - self.tolerance**2)
        times = (self.found.half / apart) ** 2 if apart > 0 else math.inf
        return self.steps * (times - 1.0) if 1.0 < times < 1e6 else math.nan

    @property
    def remedy(self) -> str:
        """What decides."""
        if math.isfinite(self.more_steps):
            return f"about {self.more_steps:,.0f} more steps would decide"
        return "log more steps; no number of them can be named"

    @property
    def estimator(self) -> str:
        """How the numbers were obtained, in words."""
        seen = (
            ""
            if self.found is None
            else f", {percent(self.found.shared)} of the steps at joint pairs that both halves visit"
        )
        return (
            f"two halves of {self.steps:,} logged steps, each with its own chain of joint pairs and own D{seen}; "
            "intervals by leaving out 1/40 of the time; of the values that endless steps would give"
        )

    def errors(self) -> dict[str, Any]:
        """Every error by name as in a result; the sup norm is not estimated."""
        names = ("error_mu", "error_l2", "relative_error", "unexplained")
        out: dict[str, Any] = dict.fromkeys(names) | {
            "error_sup": None,
            "kind": _KIND,
            "estimator": self.estimator,
        }
        if self.found is not None and not self.caution:
            out |= {name: getattr(self.found, name) for name in names}
            out["intervals"] = {name: list(getattr(self.found, f"{name}_interval")) for name in names}
        if self.split:
            out |= {"split": self.split, "shared_reward_error": self.split_error}
        more = self.more_steps
        return out | {"caution": self.caution or None, "more_steps": more if math.isfinite(more) else None}

    def local_values(self, most: float) -> dict[str, Any]:
        """The block `local_values` of a result."""
        return self.learned.block(most)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return self.errors() | {"local_values": self.local_values(math.inf)}

    @property
    def sentence(self) -> str:
        """The error in a sentence."""
        if self.found is None or self.caution:
            return f"Cannot tell how wrong the sum is: {self.caution}."
        low, high = self.unexplained_interval
        return f"The sum of local values misses {percent(low)} to {percent(high)} of the spread of Q."

    def _tables(self) -> Iterator[Table]:
        yield tabulate.local_values(self.local_values(math.inf))
        yield tabulate.numbers(tabulate.errors(self.errors()))


def logged_values(
    log: Logged, gamma: float, memory: MarkovTest | None, tolerance: float | None
) -> LoggedValues:
    """Local values by LSTD on all steps, and the error of their sum."""
    steps: Steps = log.side_by_side
    tables, split, missed = None, "", None
    if steps.rewards.shape[1] != steps.n_agents:
        tables, missed = split_tables(steps, tuple(len(log.local_names(u)[1]) for u in range(steps.n_agents)))
        split = "least absolute deviations, centred"
    fitted = LSTD().fit(log.chunks(), gamma, rewards=tables, names=[u.name for u in log.units])
    learned = replace(fitted, labels=tuple(log.local_names(u) for u in range(len(log.units))))
    found = value_errors(steps, gamma, tables)
    return LoggedValues(
        learned, found, caution_of(steps, found, memory), tolerance, len(steps), split, missed
    )


def split_tables(steps: Steps, n_actions: Sequence[int]) -> tuple[tuple[Floats, ...], float]:
    """Local rewards of agents that share one, and what their sum misses."""
    there = (steps.pairs < steps.sizes).all(axis=1)
    if not there.all():
        rule = "one reward of all is split among agents that are all there"
        raise Unsupported("values", "agents that are absent", rule, "Log the reward of each agent.")
    actions = np.array(n_actions)
    sizes = np.column_stack([steps.sizes // actions, actions])
    found = split_reward(steps.pairs, steps.rewards[:, 0], sizes)
    return found.local, found.error


def caution_of(steps: Steps, found: ValueErrors | None, memory: MarkovTest | None) -> str:
    """Why intervals of the error say nothing, or ""."""
    if memory is not None and memory.inside:
        return f"{memory.found}; {memory.helps}"
    if found is None or found.shared < _ENOUGH:
        seen = 0.0 if found is None else found.shared
        return (
            f"only {percent(seen)} of the {len(steps):,} steps are at joint pairs that both halves of the log visit, "
            f"and {percent(_ENOUGH)} are needed: log more steps, or take coarser local states"
        )
    return ""


def opening(
    log: Recorded, said: str, memory: MarkovTest | None, measures: Mapping[str, Any], lacking: str
) -> str:
    """The first line of the analysis of a log: its mode, how sure one may be, the verdict."""
    known = measures.get("mu-atv")
    if lacking and known is not None:
        said = f"Cannot tell the error: {lacking}. {known.sentence}"
    elif memory is not None and memory.inside and memory.found in said:
        said = "Until then nobody can tell how wrong the sum is."
    head = f"{log.mode[:1].upper()}{log.mode[1:]}, {len(log.side_by_side):,} steps"
    warned = f" {memory.sentence}" if memory is not None and memory.rejected else ""
    return f"{head}.{warned} {said}"


def claims(log: Recorded, memory: MarkovTest | None, values: Any) -> dict[str, Any]:
    """What this mode can and cannot claim, in sentences, and the size of the log."""
    can = "whether an agent's next step depends on the others, and limits of how much (E_i)"
    if values is not None and not values.caution:
        can += "; the error of the sum of local values, as joint pairs recur and no memory was found in them"
    cannot = "what another policy would do, what agents and variables that were not logged do"
    if memory is None or memory.inside or values is None or values.caution:
        cannot += "; the error of the sum"
    steps: Steps = log.side_by_side
    said = log.claims or (f"Logs can tell {can}.", f"They cannot tell {cannot}.")
    return {
        "steps": len(steps), "complete": steps.complete, "pairs": len(steps.points), "can": said[0], "cannot": said[1],
    }  # fmt: skip


def memory_of(log: Recorded, rng: np.random.Generator) -> MarkovTest:
    """The Markov test of a log."""
    return of_steps(log.side_by_side, rng=rng)
