"""Which agents should count as one: greedy suggestions, each judged by what the sum of local values then misses.

Two agents may be merged where the E_i (`mu-atv`) of the pair falls below that of the more entangled of the two: their
tie is inside it then. Of agents that have nothing to do with each other the pair is more entangled than either, as more
of what it does next depends on others. Of all such pairs the one is taken that leaves least of the spread of Q
unexplained, measured anew, as long as that falls; where there are no values, the one whose E_i falls most. All agents
in one group, where everything is exact and nothing is gained, are never suggested. What the rule leaves out though the
sum would miss less is named. Along runs E_i is not known, and what the sum misses alone decides (`runs/suggest.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, freeze
from .._json import plain
from .._random import generator
from .._types import RNG, RewardsLike, Subject
from ..errors import TooLarge, Unsupported
from ..laws.source import Joint, Runs, as_source, choose, offers
from ..measures.local_fit import fit_mean
from ..model.rewards import Rewards
from ..report import tabulate
from ..report.facts import even, number, percent
from ..report.result import Brief, Result
from ..report.table import Columns, Table, table
from ..report.terms import NONE, SHARE
from .decomposition import decompose, resolve_discount

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, repr=False)
class Merge(Brief):
    """Two groups that became one.

    Attributes
    ----------
    first, second : their names.
    before : the larger of their E_i; after : that of the two as one; None along runs.
    unexplained : what the sum of local values misses then, a share of the spread of Q; None without values.
    gain : along runs, 95 % limits of what the sum then explains more of the variance of Q, a share; else None.
    """

    first: str
    second: str
    before: float | None
    after: float | None
    unexplained: float | None
    gain: tuple[float, float] | None = None

    def _brief(self) -> str:
        return f"{self.first} + {self.second}: {number(self.before)} -> {number(self.after)}"


@dataclass(frozen=True, repr=False)
class Grouping(Result):
    """Which agents should count as one.

    Attributes
    ----------
    groups : agents by number; `chain.merge(groups)` is the chain whose agents they are.
    names : of the groups.
    entanglement : (G,) E_i of the groups by `mu-atv`; NaN along runs.
    alone, unexplained : what the sum of local values misses of the spread of Q when agents stand alone, and in these
        groups; None without values.
    merges : how they were found, in order.
    rule : which two groups may become one.
    stopped : why no more did, in words.
    otherwise : of the pairs left out the one that would leave least unexplained, where that is less; along runs the one
        that seemed best; else None.
    alone_interval, unexplained_interval : along runs, their 95 % limits; else None.
    estimator : how the numbers were obtained.
    limits : (G, 2) of a log, of `entanglement`: 95 % each way, from the half that did not choose the groups; else None.
    """

    groups: Groups
    names: tuple[str, ...]
    entanglement: Floats
    alone: float | None
    unexplained: float | None
    merges: tuple[Merge, ...]
    rule: str
    stopped: str
    otherwise: Merge | None = None
    alone_interval: tuple[float, float] | None = None
    unexplained_interval: tuple[float, float] | None = None
    estimator: str = "exact"
    limits: Floats | None = None

    @property
    def sentence(self) -> str:
        """Which, and what it brings."""
        if not self.merges:
            return f"No agents are merged: {self.stopped}."
        many = [name for name, g in zip(self.names, self.groups, strict=True) if len(g) > 1]
        each = "one agent" + (" each" if len(many) > 1 else "")
        if self.alone is None or self.unexplained is None:
            worst = int(np.argmax(self.entanglement))
            what = f"the largest E_i is {self.entanglement[worst]:.4g}{self._limits(worst)}"
        else:
            left = missed(self.unexplained, self.unexplained_interval)
            before = missed(self.alone, self.alone_interval)
            what = f"the sum of local values misses {left} of the spread of Q, where it missed {before}"
        return f"Count {'; '.join(many)} as {each}: then {what}."

    def _limits(self, group: int) -> str:
        """Limits of the E_i of a group in brackets, where it was estimated."""
        if self.limits is None:
            return ""
        low, high = (number(float(x)) for x in self.limits[group])
        return f" [{low}, {high}] in the half of the log that did not choose"

    def _brief(self) -> str:
        return f"{len(self.groups)} groups: {self.sentence}" if self.merges else self.sentence

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        merges = [vars(m) for m in self.merges]
        other = None if self.otherwise is None else vars(self.otherwise)
        return plain({"sentence": self.sentence, **vars(self), "merges": merges, "otherwise": other})

    def _tables(self) -> Iterator[Table]:
        columns: Columns = {
            "group": "its agents",
            "agents": "number of agents in it",
            "entanglement": tabulate.column("entanglement.*.per_agent"),
            "low": "of a log, E_i is at least this (95 %)",
            "high": "of a log, E_i is at most this (95 %)",
        }
        sizes = map(len, self.groups)
        limits = np.full((len(self.groups), 2), None) if self.limits is None else self.limits
        rows = zip(self.names, sizes, self.entanglement.tolist(), *limits.T.tolist(), strict=True)
        yield table("groups", "Agents that should count as one", columns, rows)
        steps: Columns = {
            "step": "number of the step",
            "first": "a group",
            "second": "the group that it is merged with",
            "before": "E_i of the more entangled of the two",
            "after": "E_i of the two as one",
            "unexplained": tabulate.column("values.unexplained"),
            "gain_low": "along runs, what the sum then explains more of the variance of Q, lower 95 % limit (share)",
            "gain_high": "its upper limit (share)",
        }
        found = (
            (k, m.first, m.second, m.before, m.after, m.unexplained, *(m.gain or (None, None)))
            for k, m in enumerate(self.merges, 1)
        )
        yield table("merges", "One merge after the other", steps, found)
        says = "of the spread of Q is missed by the sum of local values"
        yield tabulate.numbers(
            [("alone", self.alone, SHARE, f"{says} when agents stand alone", self.alone_interval),
             ("unexplained", self.unexplained, SHARE, f"{says} of the groups", self.unexplained_interval),
             ("groups", len(self.groups), NONE, "number of groups")]
        )  # fmt: skip


def missed(value: float, interval: tuple[float, float] | None) -> str:
    """A share that the sum of local values misses, in words."""
    return percent(value) if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"


def merge_suggestions(
    chain: Subject,
    rewards: RewardsLike = None,
    discount: float | None = None,
    *,
    tolerance: float = 0.05,
    method: str = "auto",
    starts: int = 4000,
    rng: RNG = 0,
) -> Grouping:
    """Which agents should count as one, greedily; `.groups` for `chain.merge`.

    Parameters
    ----------
    chain : of named agents, from `system.under(policy)`; a `JointChain` is taken as it is. Where its joint pairs are
        too many to list, it is run.
    rewards : per-agent tables or one joint array; None takes the system's. Without rewards or a discount suggestions
        rest on E_i alone. Runs take the system's.
    discount : gamma in [0, 1); None takes the system's.
    tolerance : nothing more is merged once the sum of local values misses at most this share of the spread of Q.
    method : "exact"; "simulate" by runs; "auto" simulates where the exact chain is large.
    starts, rng : stationary starts of the runs of each comparison, and their seed.

    Along runs the pair that seems best is measured again on runs of its own, and taken only where the 95 % limits of
    the gain exclude 0. All pairs are tried that have at most 1,000 local pairs as one; more than 300 are refused.

    Raises
    ------
    InvalidInput : malformed arguments.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    Unsupported : arms that are counted; along runs one reward of all agents, none, no discount, or others than the
        system's.
    TooLarge : joint pairs times agents that would take too long; along runs too many pairs of agents.

    >>> import markov_entanglement as me
    >>> up = [0.5 + 0.4 * s for s in (-1, 1)]  # agents 0 and 1 copy each other, 2 copies nobody
    >>> law = [[abs(1 - y[0] - up[x[1]]) * abs(1 - y[1] - up[x[0]]) * 0.5 for y in np.ndindex(2, 2, 2)]
    ...        for x in np.ndindex(2, 2, 2)]
    >>> chain = me.JointChain(law, (2, 2, 2), rewards=[[0, 1]] * 3, discount=0.9)
    >>> me.merge_suggestions(chain).groups
    ((0, 1), (2,))
    """
    accepted = _check.tolerance(tolerance)
    count = _check.integer("starts", starts, low=100, high=tol.MOST_STARTS)
    _check.choice("method", method, ("auto", "exact", "simulate"))
    generator(rng)  # refused before anything is computed
    source: Any = choose(as_source(chain), Joint, method, question="groups", sampled=True)
    if offers(source, Runs):
        if rewards is not None or discount is not None:
            rule, remedy = "runs are paid and valued as the system says", "Make a system with these."
            raise Unsupported("groups", "rewards or a discount beside those of the system", rule, remedy)
        found: Grouping = source.grouping(accepted, count, rng)
        return found
    return _exactly(source, rewards, discount, accepted)


def _exactly(source: Any, rewards: Any, discount: float | None, accepted: float) -> Grouping:
    """See `merge_suggestions`."""
    n, size = source.n_agents, float(np.mean(source.sizes))
    if (work := n**3 * source.n_pairs * size) > tol.BREAKDOWN_WORK:
        got, limit = f"{work:.3g} law entries to measure", f"{tol.BREAKDOWN_WORK:.0g}"
        raise TooLarge("groups of agents", got, limit, "Coarsen the local states, or drop agents.")
    try_ = _Trials(source, rewards, discount)
    groups: Groups = tuple((i,) for i in range(n))
    names = [u.name for u in source.units]
    e, alone = [even(_entanglement(source, u)) for u in range(n)], try_.unexplained(groups)
    left, merges, otherwise = alone, [], None
    while not (stopped := _enough(groups, e, left, accepted)):
        pairs = [*_pairs(try_, groups, e)]
        fall = [p for p in pairs if p.falls]
        scored = [(p.after - p.before if left is None else try_.left(groups, p), p) for p in fall]
        best = min(scored, default=None)
        if best is None or (left is not None and best[0] >= left - tol.SEPARABLE):
            rest = [] if left is None else [(try_.left(groups, p), p) for p in pairs if not p.falls]
            stopped, otherwise = _over(names, len(fall), left, min(rest, default=None))
            break
        score, p = best
        left = None if left is None else score
        merges.append(Merge(names[p.a], names[p.b], p.before, p.after, left))
        groups, names, e = together(groups, p.a, p.b, groups[p.a] + groups[p.b]), *(
            list(together(old, p.a, p.b, new))
            for old, new in ((names, f"{names[p.a]} + {names[p.b]}"), (e, p.after))
        )  # fmt: skip
    rule = "E_i of the two as one is below that of the more entangled of them"
    rule = (
        f"{rule} (falls most)"
        if alone is None
        else f"{rule}, and the sum of local values misses less (least of all)"
    )
    return Grouping(
        groups, tuple(names), freeze(np.array(e)), alone, left, tuple(merges), rule, stopped, otherwise
    )


class _Pair(NamedTuple):
    """Two groups a < b: the larger of their E_i, and that of the two as one."""

    a: int
    b: int
    before: float
    after: float

    @property
    def falls(self) -> bool:
        """Whether that is less."""
        return self.after < self.before - tol.SEPARABLE


def _enough(groups: Groups, e: list[float], left: float | None, accepted: float) -> str:
    """Why no pair is tried, or ""."""
    if max(e) <= tol.SEPARABLE:
        return "no agent is entangled"
    if left is not None and left <= accepted:
        return within(percent(left), accepted)
    return ALL if len(groups) <= 2 else ""


def within(shown: str, accepted: float) -> str:
    """Why nothing more is merged where the sum misses little."""
    return f"the sum of local values misses {shown} of the spread of Q, the tolerance is {percent(accepted)}"


#: Why two groups are not merged.
ALL = "any two that are left are all agents together, where everything is exact and nothing is gained"


def _over(
    names: list[str], fall: int, left: float | None, rest: tuple[float, _Pair] | None
) -> tuple[str, Merge | None]:
    """Why none of the pairs is merged, `fall` of which lower E_i; and the best one of those that do not."""
    why = "no two as one have a smaller E_i than the more entangled of them has alone"
    if fall:
        why = "where two as one have a smaller E_i, the sum of local values does not miss less of the spread of Q"
    if rest is None or left is None or rest[0] >= left - tol.SEPARABLE:
        return why, None
    score, p = rest
    other = Merge(names[p.a], names[p.b], p.before, p.after, score)
    more = f"{other.first} + {other.second} as one would have an E_i of {number(p.after)}, not below {number(p.before)}"
    return f"{why}; {more}, but the sum would miss {percent(score)}, where it misses {percent(left)}", other


class _Trials:
    """Groupings of one chain, measured."""

    def __init__(self, source: Any, rewards: Any, discount: float | None) -> None:
        self.merge = lru_cache(1)(source.merge)
        self.rewards: Rewards | None = None
        if rewards is not None or source.system.rewards is not None:
            self.rewards = source.read_rewards(rewards)
        given = discount if discount is not None else source.discount
        self.discount = None if given is None else resolve_discount(source, given)

    def unexplained(self, groups: Groups) -> float | None:
        """What the sum of local values of these groups misses; None without values."""
        if self.rewards is None or self.discount is None:
            return None
        merged: Any = self.merge(groups)
        return even(decompose(merged, merged.system.summed(self.rewards), self.discount).unexplained)

    def left(self, groups: Groups, p: _Pair) -> float:
        """The same where two of the groups are one."""
        found = self.unexplained(together(groups, p.a, p.b, groups[p.a] + groups[p.b]))
        assert found is not None
        return found


def _pairs(try_: _Trials, groups: Groups, e: list[float]) -> Iterator[_Pair]:
    """All pairs of groups."""
    for a, b in itertools.combinations(range(len(groups)), 2):
        trial = try_.merge(together(groups, a, b, groups[a] + groups[b]))
        yield _Pair(a, b, max(e[a], e[b]), even(_entanglement(trial, a)))


def together(each: Any, a: int, b: int, new: Any) -> tuple[Any, ...]:
    """With `new` in the place of a, and b gone; a < b."""
    return (*each[:a], new, *each[a + 1 : b], *each[b + 1 :])


def _entanglement(chain: Any, u: int) -> float:
    return float(fit_mean(chain.rows(u)).value)
