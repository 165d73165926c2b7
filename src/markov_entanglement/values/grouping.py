"""Which agents should count as one: greedy suggestions, each judged by what the sum of local values then misses.

Two agents may be merged where the E_i (`mu-atv`) of the pair falls below that of the more entangled of the two: their
tie is inside it then. Of agents that have nothing to do with each other the pair is more entangled than either, as more
of what it does next depends on others. Of all such pairs the one is taken that leaves least of the spread of Q
unexplained, measured anew, as long as that falls; where there are no values, the one whose E_i falls most. All agents
in one group, where everything is exact and nothing is gained, are never suggested.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, freeze
from .._json import plain
from .._types import RewardsLike, Subject
from ..errors import TooLarge
from ..laws.source import Joint, exact
from ..measures.local_fit import fit_mean
from ..model.rewards import Rewards
from ..report import tabulate
from ..report.facts import even, percent
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
    before : the larger of their E_i; after : that of the two as one.
    unexplained : what the sum of local values misses then, a share of the spread of Q; None without values.
    """

    first: str
    second: str
    before: float
    after: float
    unexplained: float | None

    def _brief(self) -> str:
        return f"{self.first} + {self.second}: {self.before:.4g} -> {self.after:.4g}"


@dataclass(frozen=True, repr=False)
class Grouping(Result):
    """Which agents should count as one.

    Attributes
    ----------
    groups : agents by number; `chain.merge(groups)` is the chain whose agents they are.
    names : of the groups.
    entanglement : (G,) E_i of the groups by `mu-atv`.
    alone, unexplained : what the sum of local values misses of the spread of Q when agents stand alone, and in these
        groups; None without values.
    merges : how they were found, in order.
    """

    groups: Groups
    names: tuple[str, ...]
    entanglement: Floats
    alone: float | None
    unexplained: float | None
    merges: tuple[Merge, ...]

    @property
    def sentence(self) -> str:
        """Which, and what it brings."""
        if not self.merges:
            return "No two agents should count as one."
        many = [name for name, g in zip(self.names, self.groups, strict=True) if len(g) > 1]
        each = "one agent" + (" each" if len(many) > 1 else "")
        if self.alone is None or self.unexplained is None:
            what = f"E_i is {self.entanglement.max():.4g} at most"
        else:
            left, before = percent(self.unexplained), percent(self.alone)
            what = f"the sum of local values misses {left} of the spread of Q, where it missed {before}"
        return f"Count {'; '.join(many)} as {each}: then {what}."

    def _brief(self) -> str:
        return f"{len(self.groups)} groups: {self.sentence}" if self.merges else self.sentence

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        merges = [vars(m) for m in self.merges]
        return plain({"sentence": self.sentence, **vars(self), "merges": merges})

    def _tables(self) -> Iterator[Table]:
        columns: Columns = {
            "group": "its agents",
            "agents": "number of agents in it",
            "entanglement": tabulate.column("entanglement.*.per_agent"),
        }
        sizes = map(len, self.groups)
        rows = zip(self.names, sizes, self.entanglement.tolist(), strict=True)
        yield table("groups", "Agents that should count as one", columns, rows)
        steps: Columns = {
            "step": "number of the step",
            "first": "a group",
            "second": "the group that it is merged with",
            "before": "E_i of the more entangled of the two",
            "after": "E_i of the two as one",
            "unexplained": tabulate.column("values.unexplained"),
        }
        found = ((k, *vars(m).values()) for k, m in enumerate(self.merges, 1))
        yield table("merges", "One merge after the other", steps, found)
        says = "of the spread of Q is missed by the sum of local values"
        yield tabulate.numbers(
            [("alone", self.alone, SHARE, f"{says} when agents stand alone"),
             ("unexplained", self.unexplained, SHARE, f"{says} of the groups"),
             ("groups", len(self.groups), NONE, "number of groups")]
        )  # fmt: skip


def merge_suggestions(
    chain: Subject,
    rewards: RewardsLike = None,
    discount: float | None = None,
    *,
    tolerance: float = 0.05,
) -> Grouping:
    """Which agents should count as one, greedily; `.groups` for `chain.merge`.

    Parameters
    ----------
    chain : of named agents, from `system.under(policy)`; a `JointChain` is taken as it is.
    rewards : per-agent tables or one joint array; None takes the system's. Without rewards or a discount suggestions
        rest on E_i alone.
    discount : gamma in [0, 1); None takes the system's.
    tolerance : nothing more is merged once the sum of local values misses at most this share of the spread of Q.

    Raises
    ------
    InvalidInput : malformed arguments.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    Unsupported : arms that are counted, or agents that are only stepped.
    TooLarge : joint pairs times agents that would take too long.

    >>> import markov_entanglement as me
    >>> up = [0.5 + 0.4 * s for s in (-1, 1)]  # agents 0 and 1 copy each other, 2 copies nobody
    >>> law = [[abs(1 - y[0] - up[x[1]]) * abs(1 - y[1] - up[x[0]]) * 0.5 for y in np.ndindex(2, 2, 2)]
    ...        for x in np.ndindex(2, 2, 2)]
    >>> chain = me.JointChain(law, (2, 2, 2), rewards=[[0, 1]] * 3, discount=0.9)
    >>> me.merge_suggestions(chain).groups
    ((0, 1), (2,))
    """
    accepted = _check.tolerance(tolerance)
    source: Any = exact(chain, Joint, question="groups")
    n, size = source.n_agents, float(np.mean(source.sizes))
    if (work := n**3 * source.n_pairs * size) > tol.BREAKDOWN_WORK:
        got, limit = f"{work:.3g} law entries to measure", f"{tol.BREAKDOWN_WORK:.0g}"
        raise TooLarge("groups of agents", got, limit, "Coarsen the local states, or drop agents.")
    try_ = _Trials(source, rewards, discount)
    groups: Groups = tuple((i,) for i in range(n))
    names = [u.name for u in source.units]
    e, alone = [even(_entanglement(source, u)) for u in range(n)], try_.unexplained(groups)
    unexplained, merges = alone, []
    while (
        len(groups) > 2
        and max(e) > tol.SEPARABLE
        and not (unexplained is not None and unexplained <= accepted)
    ):
        best = min(_candidates(try_, groups, e), default=None)
        if best is None or (unexplained is not None and best[0] >= unexplained - tol.SEPARABLE):
            break
        score, a, b, after = best
        merges.append(
            Merge(names[a], names[b], max(e[a], e[b]), after, None if unexplained is None else score)
        )
        unexplained = None if unexplained is None else score
        groups, names, e = _merged(groups, a, b, groups[a] + groups[b]), *(
            list(_merged(old, a, b, new)) for old, new in ((names, f"{names[a]} + {names[b]}"), (e, after))
        )  # fmt: skip
    return Grouping(groups, tuple(names), freeze(np.array(e)), alone, unexplained, tuple(merges))


class _Trials:
    """Groupings of one chain, measured."""

    def __init__(self, source: Any, rewards: Any, discount: float | None) -> None:
        self.source = source
        self.rewards: Rewards | None = None
        if rewards is not None or source.system.rewards is not None:
            self.rewards = source.read_rewards(rewards)
        given = discount if discount is not None else source.discount
        self.discount = None if given is None else resolve_discount(source, given)

    def unexplained(self, groups: Groups) -> float | None:
        """What the sum of local values of these groups misses; None without values."""
        if self.rewards is None or self.discount is None:
            return None
        merged: Any = self.source.merge(groups)
        return even(decompose(merged, merged.system.summed(self.rewards), self.discount).unexplained)

    def entanglement(self, groups: Groups, u: int) -> float:
        """E_i of one of the groups."""
        return even(_entanglement(self.source.merge(groups), u))


def _candidates(try_: _Trials, groups: Groups, e: list[float]) -> Iterator[tuple[float, int, int, float]]:
    """(what is left, the two groups, their E_i as one) of those whose E_i falls."""
    for a, b in itertools.combinations(range(len(groups)), 2):
        trial = _merged(groups, a, b, groups[a] + groups[b])
        after, before = try_.entanglement(trial, a), max(e[a], e[b])
        if after < before - tol.SEPARABLE:
            left = try_.unexplained(trial)
            yield (after - before if left is None else left), a, b, after


def _merged(each: Any, a: int, b: int, new: Any) -> tuple[Any, ...]:
    """With `new` in the place of a, and b gone; a < b."""
    return (*each[:a], new, *each[a + 1 : b], *each[b + 1 :])


def _entanglement(chain: Any, u: int) -> float:
    return float(fit_mean(chain.rows(u)).value)
