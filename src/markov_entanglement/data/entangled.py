"""Entanglement from logs alone: a test of whether there is any, and limits from below and above."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .._check import Floats, Ints, freeze
from .._json import plain
from .._progress import stage
from .._random import seed_of, stream
from .._types import RNG
from ..errors import TooLarge
from ..laws.source import Unit
from ..measures.entanglement import Entanglement
from ..report.facts import number
from .contingency import Contingency
from .limits import WITNESSES, Witness, lower, upper
from .null import Null, null
from .steps import Steps
from .tally import Tally
from .witness import by_classifier, by_partners

#: Chance of a false alarm of the test of one agent.
LEVEL = 0.05
#: Steps for each joint pair from which the joint pair is tested, and not partners one by one.
_VISITS = 3
#: Standard deviations between chance and what the test finds with 80 %.
_POWER = 1.645 + 0.842


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LoggedEntanglement(Entanglement):
    """What a log says of E_i (Eq. 7) of every agent: limits `lower` and `upper`, and a test.

    `per_agent` is the value of the witness behind the lower limit, biased low; `interval` (N, 2) is (lower, upper),
    each with 95 % by itself. What the log does not show, such as agents that were not recorded, is no part of E_i here.

    Attributes
    ----------
    lower : (N,) E_i is at least this; 0 where the test does not reject.
    upper : (N,) E_i is at most this; 1 where joint pairs recur too seldom to say anything.
    p_value : (N,) chance of as much dependence on the others if there were none, by dealing outcomes anew.
    plug_in : (N,) Eq. 7 on the empirical laws, biased high, no estimate; null : (N,) what it shows if E_i = 0.
    information : (N,) I(next; others | own pair) in nats, biased high; information_null : (N,) what chance shows.
    more_steps : (N,) about how many more steps let the test reject, if what it sees is so; NaN: nothing is seen, or it
        rejects already.
    used : (N,) transitions of each agent.
    over : (N,) what was read beside the own pair: "joint pairs" or "partners".
    """

    plug_in: Floats
    null: Floats
    p_value: Floats
    information: Floats
    information_null: Floats
    more_steps: Floats
    used: Floats
    over: tuple[str, ...]

    @property
    def lower(self) -> Floats:
        """(N,) lower limits."""
        assert self.interval is not None
        return self.interval[:, 0]

    @property
    def upper(self) -> Floats:
        """(N,) upper limits."""
        assert self.interval is not None
        return self.interval[:, 1]

    @property
    def rejected(self) -> tuple[bool, ...]:
        """(N,) whether the test finds that the agent depends on others, at 5 % for each."""
        return tuple(bool(p <= LEVEL) for p in self.p_value)

    @property
    def sentence(self) -> str:
        """What the log shows of whom, and what would decide the rest."""
        names = [u.name for u in self.units]
        sure = [i for i, yes in enumerate(self.rejected) if yes]
        parts = []
        if sure:
            most = max(sure, key=lambda i: self.per_agent[i])
            who = "all agents" if len(sure) == len(names) else f"{len(sure)} of {len(names)} agents"
            parts.append(
                f"The next steps of {who} depend on others; most entangled: {names[most]}, at least "
                f"{number(self.lower[most])} and at most {number(self.upper[most])} (mu-atv, 95 % each)."
            )
        open_ = [i for i in range(len(names)) if i not in sure]
        if open_:
            least = min(open_, key=lambda i: self.p_value[i])
            who = "every agent" if not sure else f"{len(open_)} of {len(names)} agents"
            more = self.more_steps[least]
            helps = (
                f"about {more:,.0f} more steps would decide about {names[least]}"
                if math.isfinite(more)
                else "nothing beyond chance is seen, so that no number of steps can be named"
            )
            highest = max(self.upper[i] for i in open_)
            parts.append(
                f"Cannot tell of {who} (least p = {self.p_value[least]:.2g}; at most {number(highest)}): {helps}."
            )
        return " ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; NaN is None."""
        names = (
            "plug_in",
            "null",
            "p_value",
            "information",
            "information_null",
            "more_steps",
            "used",
            "over",
        )
        return (
            super().to_dict() | {"method": "from logs"} | {name: plain(getattr(self, name)) for name in names}
        )

    def _brief(self) -> str:
        shown = zip(self.per_agent[:3], self.lower, self.upper, self.p_value, strict=False)
        each = ", ".join(f"{e:.4g} [{lo:.4g}, {hi:.4g}] p = {p:.2g}" for e, lo, hi, p in shown)
        return f"{self.distance}: {each}{', ...' if len(self.per_agent) > 3 else ''}"


def more_steps(found: Null, steps: int) -> float:
    """About how many more steps let the test reject with 80 %: chance falls as 1/n, what is there does not."""
    there = found.information - found.information_level
    if found.p_value <= LEVEL or there <= 0.5 * found.information_spread:
        return math.nan
    return max(steps * (_POWER * found.information_spread / there - 1.0), 0.1 * steps)


@dataclass(frozen=True)
class _One:
    """What is found of one agent."""

    lower: float
    upper: float
    estimate: float
    null: Null
    p_value: float
    steps: int
    over: str


def of_steps(
    steps: Steps, units: tuple[Unit, ...], *, rng: RNG, classifier: Any = None
) -> LoggedEntanglement:
    """Test and limits of every agent, of steps in memory."""

    def ask(i: int, stream: np.random.Generator) -> _One:
        """What is found of agent i."""
        joint = steps.joint(i)
        return _agent(joint, steps.points[joint.code], i, partial(steps.partner, i), stream, classifier)

    return _of(units, ask, f"{len(steps):,} steps", rng)


def of_tally(tally: Tally, units: tuple[Unit, ...], *, rng: RNG) -> LoggedEntanglement:
    """Test and limits of every agent, of counts."""

    def ask(i: int, stream: np.random.Generator) -> _One:
        def partner(j: int) -> Contingency:
            return Contingency.of(**tally.question("partners", i, j))

        if "joint" in tally.refused:
            return _by_partners(partner, _others(len(units), i), stream)
        joint = Contingency.of(**tally.question("joint", i))
        return _agent(joint, tally.pairs[joint.code], i, partner, stream, None)

    return _of(units, ask, f"{int(tally.table('own').count.sum()):,} transitions", rng)


def _others(n: int, i: int) -> list[int]:
    return [j for j in range(n) if j != i]


def _of(
    units: tuple[Unit, ...], ask: Callable[[int, np.random.Generator], _One], size: str, rng: RNG
) -> LoggedEntanglement:
    """The answers of all agents together."""
    seed, found = seed_of(rng), []
    for i, unit in enumerate(units):
        with stage(f"entanglement of {unit.name}", i / len(units), (i + 1) / len(units)):
            found.append(ask(i, stream(seed, i)))

    def each(name: str) -> Floats:
        return freeze(np.array([getattr(a, name) for a in found], dtype=np.float64))

    def chance(name: str) -> Floats:
        return freeze(np.array([getattr(a.null, name) for a in found]))

    limits = freeze(np.stack([each("lower"), each("upper")], axis=1))
    more = freeze(np.array([more_steps(a.null, a.steps) if a.p_value > LEVEL else math.nan for a in found]))
    how = (
        f"logs only, {size}: witness learned on one half of the time and judged on the other (low); "
        "limits at 95 % each by batch means of 20 stretches a half"
    )
    return LoggedEntanglement(
        distance="mu-atv", support="recurrent", method="logs", units=units, per_agent=each("estimate"),
        interval=limits, estimator=how, plug_in=chance("plug_in"), null=chance("level"), p_value=each("p_value"),
        information=chance("information"), information_null=chance("information_level"), more_steps=more,
        used=each("steps"), over=tuple(a.over for a in found),
    )  # fmt: skip


def _agent(
    joint: Contingency, points: Ints, i: int, partner: Callable[[int], Contingency], rng: np.random.Generator,
    classifier: Any,
) -> _One:  # fmt: skip
    """Agent i, from the table of joint pairs; points (C, N): what each of its contexts shows."""
    if joint.steps == 0:
        return _nothing("joint pairs")
    others = _others(points.shape[1], i)
    try:
        joint.grid  # noqa: B018  asked for before anything is dealt
    except TooLarge:
        return _by_partners(partner, others, rng)
    witnesses: dict[str, Witness] = dict(WITNESSES)
    if len(others) > 1:
        witnesses["partners"] = by_partners(np.delete(points, i, axis=1))
    if classifier is not None:
        witnesses["the given classifier"] = by_classifier(joint, points, classifier)
    low, high = lower(joint, witnesses), upper(joint)
    if joint.steps >= _VISITS * len(joint.code) or len(others) < 2:
        found = null(joint, rng=rng)
        return _one(low.value, high.value, low.estimate, found, found.p_value, joint.steps, "joint pairs")
    found, p, _ = _tested({j: partner(j) for j in others}, rng)
    return _one(low.value, high.value, low.estimate, found, p, joint.steps, "partners")


def _nothing(over: str) -> _One:
    """No step tells anything."""
    return _One(0.0, 1.0, math.nan, Null.unknown(), 1.0, 0, over)


def _one(low: float, high: float, estimate: float, found: Null, p: float, steps: int, over: str) -> _One:
    sure = p <= LEVEL
    return _One(max(low, 0.0) if sure else 0.0, high, min(max(estimate, 0.0), 1.0), found, p, steps, over)


def _tested(tables: Mapping[int, Contingency], rng: np.random.Generator) -> tuple[Null, float, int]:
    """The partner that tells most, its p value times their number (Bonferroni), and who it is."""
    many = len(tables)
    dealt = min(max(199, 40 * many - 1), 1999)
    found = {j: null(t, rng=rng, tables=dealt) for j, t in tables.items()}
    best = min(found, key=lambda j: (found[j].p_value, found[j].information_level - found[j].information))
    return found[best], min(1.0, many * found[best].p_value), best


def _by_partners(partner: Callable[[int], Contingency], others: list[int], rng: np.random.Generator) -> _One:
    """Where joint pairs have no table: E_i is at least what any one partner's pair shows of it."""
    tables = {j: partner(j) for j in others}
    if not any(table.steps for table in tables.values()):
        return _nothing("partners")
    found, p, best = _tested(tables, rng)
    low = lower(tables[best], level=1.0 - LEVEL / len(others))
    return _one(low.value, 1.0, low.estimate, found, p, tables[best].steps, "partners")
