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
from ..laws.source import Logged, Recorded, offers
from ..learning.result import LocalValues
from ..learning.reward import split_reward
from ..learning.tabular import LSTD
from ..report import tabulate
from ..report.facts import number, percent
from ..report.result import Result
from ..report.table import Table

#: Share of the steps at joint pairs of both halves below which the rest may change the verdict.
_ENOUGH = 0.95
#: What more than steps lets one tell, see `Recorded.known`; what chances of actions assert.
_ERROR = "the error of the sum of local values"
_CAN = {
    "laws": "E_i from the laws of next pairs that came with the steps (Eq. 9), which are taken as given",
    "draws": "E_i also from next steps drawn again at places of the runs",
    "policy": "what the policy alone couples (Prop. 7.2), a bound of E_i if each agent moves on a kernel of its own",
    "rollouts": f"{_ERROR}, by rollouts from snapshots, whatever local states hide",
}
_ASSERTED = "that agents move on kernels of their own, which is asserted and not tested"
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
    steps = len(log.side_by_side)
    by = f" by {len(log.drawn) - steps:,} draws" if "draws" in log.known else ""
    head = f"{log.mode[:1].upper()}{log.mode[1:]}{by}, {steps:,} steps"
    if log.left:
        head += f" (reading was stopped: {log.left:,} rows are not in them)"
    warned = f" {memory.sentence}" if memory is not None and memory.rejected else ""
    if memory is not None and memory.inside and not lacking and "rollouts" in log.known:
        warned += " Rollouts judge the sum with the local states as they are."
    asserted = _asserted(known, measures.get("policy")) if offers(log, Logged) else ""
    return f"{head}.{warned} {said}{asserted}"


def _asserted(known: Any, policy: Any) -> str:
    """What Prop. 7.2 says of E_i if agents move on kernels of their own, as whoever gives chances says; "" without."""
    if policy is None or np.isnan(policy.interval).all():
        return ""
    if policy.caution:
        return f" What the policy couples cannot be told: {policy.caution}."
    high, names = policy.interval[:, 1], [u.name for u in policy.units]
    above = np.zeros(len(high), dtype=bool) if known is None else known.interval[:, 0] > high
    if above.any():
        i = int(above.argmax())
        return (
            f" Agents do not move on kernels of their own: E_i of {names[i]} is at least "
            f"{number(known.interval[i, 0])}, more than its policy can bring about, {number(high[i])} (Prop. 7.2)."
        )
    i = int(np.nanargmax(high))
    return (
        f" If each agent moves on a kernel of its own, as is asserted and not tested, no E_i is above "
        f"{number(high[i])}, that of {names[i]} (Prop. 7.2, 95 % each)."
    )


def claims(log: Recorded, memory: MarkovTest | None, values: Any) -> dict[str, Any]:
    """What this mode can and cannot claim, in sentences, and the size of the log."""
    can = ["whether an agent's next step depends on the others, and limits of how much (E_i)"]
    can += [says for what, says in _CAN.items() if what in log.known]
    cannot = ["what another policy would do", "anything of joint pairs that were never met"]
    if logged := offers(log, Logged):
        cannot.append("what agents and variables that were not logged do")
        cannot += [_ASSERTED] if "policy" in log.known else []
    valued = values is not None and not values.caution
    if logged and valued:
        can.append(f"{_ERROR}, as joint pairs recur and no memory was found in them")
        valued = memory is not None and not memory.inside
    if not (valued if logged else "rollouts" in log.known):
        cannot.append(_ERROR)
    steps: Steps = log.side_by_side
    who = "Logs" if logged else "These runs"
    return {
        "steps": len(steps), "complete": steps.complete, "pairs": len(steps.points),
        "can": f"{who} can tell {'; '.join(can)}.", "cannot": f"They cannot tell {'; '.join(cannot)}.",
    }  # fmt: skip


def memory_of(log: Recorded, rng: np.random.Generator) -> MarkovTest:
    """The Markov test of a log."""
    return of_steps(log.side_by_side, rng=rng)
