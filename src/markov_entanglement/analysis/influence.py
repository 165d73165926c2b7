"""Who matters to whom: how much of an agent's next step the pair of one other agent shows.

For agents i, j let p(u | x_i, x_j) be the law of i's next pair given both present ones, and w their law. Beside each
other, with TV half the L1 distance,

    influence       S_ij = min_M sum w TV(p(.|x_i, x_j), M(.|x_i))            at most E_i, for x_j is part of x
    information     I_ij = sum w KL(p(.|x_i, x_j) || p(.|x_i))  in nats       S_ij <= sqrt(I_ij / 2)
    counterfactual  C_ij = mean of TV(p(.|x_i, y), p(.|x_i, y')) over y, y'   S_ij <= C_ij <= 2 S_ij

where y and y' are drawn independently given x_i. Of a chain all are exact, and `remaining` is E_i when the model of
agent i may read x_j as well; of a log they have intervals, and each tie has a test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import Floats, Ints, freeze
from .._interval import t_interval
from .._json import plain
from .._progress import Progress, reporting, stage
from .._random import seed_of, stream
from .._types import RNG, PolicyLike, Subject
from ..data.contingency import Contingency
from ..data.limits import lower, upper
from ..data.null import information_of, null
from ..data.steps import Steps
from ..laws.rows import Rows
from ..laws.source import Joint, Logged, as_source, choose, offers
from ..measures.local_fit import fit_mean
from ..report import tabulate
from ..report.facts import number
from ..report.result import Result
from ..report.table import Columns, Table, table
from ..values.grouping import Grouping, Merge, merge_suggestions

#: Chance of a false alarm of the test of one tie, over all partners of an agent.
LEVEL = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class Influence(Result):
    """Influence of every agent on every other; rows: who is moved, columns: by whom. NaN on the diagonal.

    Attributes
    ----------
    names : (N,) of the agents.
    influence, information, counterfactual : (N, N) see the module; of a log `influence` is the value of a witness,
        biased low, and `information` lacks what chance shows.
    limits : (N, N, 2) of `influence`: 95 % each way; None where it is exact.
    information_limits, counterfactual_limits : (N, N, 2) or None.
    p_value : (N, N) chance of as much if j told nothing of i, or None.
    remaining : (N, N) E_i left when x_j may be read, or None of a log.
    groups : suggested merging, measured anew.
    estimator : how the numbers were obtained.
    """

    names: tuple[str, ...]
    influence: Floats
    information: Floats
    counterfactual: Floats
    groups: Grouping
    estimator: str
    limits: Floats | None = None
    information_limits: Floats | None = None
    counterfactual_limits: Floats | None = None
    p_value: Floats | None = None
    remaining: Floats | None = None

    @property
    def rejected(self) -> np.ndarray[Any, Any]:
        """(N, N) ties of a log that the test finds, at 5 % for all partners of an agent together."""
        if self.p_value is None:
            return np.asarray(np.nan_to_num(self.influence) > 0)
        return np.asarray(np.nan_to_num(self.p_value, nan=1.0) * max(len(self.names) - 1, 1) <= LEVEL)

    @property
    def sentence(self) -> str:
        """The strongest tie, and what to count together."""
        found = np.where(self.rejected, self.influence, -1.0)
        if len(self.names) < 2 or found.max(initial=-1.0) <= 1e-12:
            if self.p_value is None:
                return "No agent moves another."
            return "Cannot tell: no tie between two agents is beyond chance; log more steps."
        i, j = np.unravel_index(int(found.argmax()), found.shape)
        limits = ""
        if self.limits is not None:
            limits = f" [{number(float(self.limits[i, j, 0]))}, {number(float(self.limits[i, j, 1]))}]"
        many = int((found > 1e-12).sum())
        tie = f"{self.names[j]} moves {self.names[i]} most: {number(float(found[i, j]))}{limits}"
        return f"{tie}; {many} of {found.size - len(found)} ties are there. {self.groups.sentence}"

    def to_dict(self) -> dict[str, Any]:
        """JSON form; NaN is None."""
        apart = {"groups": self.groups.to_dict(), "sentence": self.sentence, "names": list(self.names)}
        return {
            name: plain(getattr(self, name)) for name in self.__dataclass_fields__ if name not in apart
        } | apart

    def _tables(self) -> Iterator[Table]:
        columns: Columns = {
            "agent": "who is moved",
            "partner": "by whose pair",
            **{k: tabulate.column(f"influence.{k}") for k in ("influence", "information", "counterfactual")},
            "low": "influence is at least",
            "high": "influence is at most",
            "p_value": tabulate.column("entanglement.*.p_value"),
            "remaining": tabulate.column("influence.remaining"),
        }
        n = len(self.names)
        none = np.full((n, n), None)
        low, high = (none, none) if self.limits is None else (self.limits[..., 0], self.limits[..., 1])
        cells = (
            self.influence,
            self.information,
            self.counterfactual,
            low,
            high,
            self.p_value,
            self.remaining,
        )
        grid = [none if c is None else c for c in cells]
        rows = [
            (self.names[i], self.names[j], *(plain(c[i, j]) for c in grid))
            for i in range(n) for j in range(n) if i != j
        ]  # fmt: skip
        yield table("influence", "Who moves whom", columns, rows, 2)
        yield from self.groups._tables()


@reporting("measuring influence")
def influence(
    source: Subject,
    policy: PolicyLike = None,
    *,
    rng: RNG = 0,
    progress: Progress | bool | None = None,
) -> Influence:
    """How much every agent moves every other, exactly of a chain, with intervals and tests of a log.

    Parameters
    ----------
    source : a log, or a system (with `policy`) or chain of named agents.
    rng : of the tests of a log.
    progress : see `analyze`.

    Returns
    -------
    Influence : `.influence[i, j]` of j on i, `.information`, `.counterfactual`, `.groups` to count together.

    Raises
    ------
    Unsupported : agents without names, or that are only stepped.
    TooLarge : a log that does not fit in memory.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> me.influence(entry.system, entry.policy).influence.round(3).tolist()
    [[nan, 0.0], [0.4, nan]]
    """
    seed = seed_of(rng)
    given = as_source(source, policy)
    if offers(given, Logged):
        return _of_log(given.side_by_side, tuple(u.name for u in given.units), seed)  # type: ignore[attr-defined]
    chain: Any = choose(given, Joint, "exact", question="influence")
    n = chain.n_agents
    found = np.full((4, n, n), math.nan)
    for i in range(n):
        at = chain.occupancy > 0
        rows = chain.rows(i).where(at)
        for j in (j for j in range(n) if j != i):
            with stage("", (i * n + j) / n**2, (i * n + j + 1) / n**2):
                found[:, i, j] = _exact(rows, chain.pairs[at, j], int(chain.sizes[j]))
    shown, told, swapped, left = (freeze(a) for a in found)
    return Influence(tuple(u.name for u in chain.units), shown, told, swapped, merge_suggestions(chain), "exact",
                     remaining=left)  # fmt: skip


def _exact(rows: Rows, other: Ints, m: int) -> tuple[float, float, float, float]:
    """Influence, information, counterfactual distance, and E_i left, of one tie."""
    both = rows.refine(other, m)
    key = np.zeros(both.n_keys, dtype=np.int64)
    key[both.key] = rows.key
    joint = Rows(key, both.key_weight, np.nan_to_num(both.mean_law), rows.n_keys)
    mean = np.nan_to_num(joint.mean_law)[key]
    with np.errstate(divide="ignore", invalid="ignore"):
        told = np.nansum(joint.law * np.log(joint.law / mean), axis=1)
    return (
        fit_mean(joint).value,
        float(max(joint.weight @ told, 0.0)),
        _swapped(joint),
        fit_mean(both).value,
    )


def _swapped(rows: Rows) -> float:
    """Mean TV of two laws of one key, each drawn by its weight."""
    total = 0.0
    for a, b in zip(rows.starts, rows.starts[1:], strict=False):
        at = rows.order[a:b]
        w, law = rows.weight[at], rows.law[at]
        if w.sum() > 0:
            apart = 0.5 * np.abs(law[:, None] - law[None]).sum(axis=2)
            total += float(w @ apart @ w) / float(w.sum())
    return total


def _of_log(steps: Steps, names: tuple[str, ...], seed: int) -> Influence:
    n = len(names)
    shown, told, p = np.full((3, n, n), math.nan)
    limits, information = np.full((2, n, n, 2), math.nan)
    dealt = min(max(199, 40 * n), 1999)
    for i in range(n):
        for j in (j for j in range(n) if j != i):
            with stage(f"{names[j]} and {names[i]}", (i * n + j) / n**2, (i * n + j + 1) / n**2):
                found = steps.partner(i, j)
                if found.steps == 0:
                    continue
                low, chance = lower(found), null(found, rng=stream(seed, i, j), tables=dealt)
                p[i, j] = chance.p_value
                shown[i, j] = min(max(low.estimate, 0.0), 1.0)
                sure = chance.p_value * (n - 1) <= LEVEL
                limits[i, j] = (max(low.value, 0.0) if sure else 0.0), upper(found).value
                excess = chance.information - chance.information_level
                told[i, j] = max(excess, 0.0)
                half = _spread(found)
                information[i, j] = max(excess - half, 2.0 * limits[i, j, 0] ** 2), max(excess + half, 0.0)
    swapped = np.stack([limits[..., 0], np.minimum(2.0 * limits[..., 1], 1.0)], axis=-1)
    ties = np.nan_to_num(p, nan=1.0) * max(n - 1, 1) <= LEVEL
    how = f"logs only, {len(steps):,} steps: witnesses and tests as for E_i, pair by pair; counterfactual by its limits"
    return Influence(
        names, freeze(shown), freeze(told), freeze(swapped.mean(axis=-1)), _merging(steps, names, ties), how,
        freeze(limits), freeze(information), freeze(swapped), freeze(p),
    )  # fmt: skip


def _spread(found: Contingency) -> float:
    """Half width of the 95 % interval of the information of a table, by leaving blocks of time out."""
    left = np.array([information_of(found, b) for b in range(found.n_blocks)])
    return float(t_interval(left)[2]) * (len(left) - 1)


#: How E_i of groups is measured along a log.
_WITNESS = (
    "logs only: groups chosen by the witness of E_i on the first half of the log, its limits on the second"
)


def _merging(steps: Steps, names: tuple[str, ...], ties: Any) -> Grouping:
    """Groups by the ties that the tests find, chosen on one half of the log and measured on the other; as
    `merge_suggestions` does without values."""
    middle = len(steps) // 2
    choose, judge = steps.part(slice(middle)), steps.part(slice(middle, None))
    groups: tuple[tuple[int, ...], ...] = tuple((i,) for i in range(len(names)))
    e, merges = [_group(choose, g)[0] for g in groups], []
    while len(groups) > 2:
        tries = [
            (after - max(e[a], e[b]), a, b, after)
            for a in range(len(groups)) for b in range(a + 1, len(groups))
            if ties[np.ix_(groups[a], groups[b])].any() or ties[np.ix_(groups[b], groups[a])].any()
            for after in [_group(choose, groups[a] + groups[b])[0]]
        ]  # fmt: skip
        best = min(tries, default=(0.0, 0, 0, 0.0))
        if best[0] >= 0.0:
            break
        _, a, b, after = best
        first, second = (" + ".join(names[i] for i in groups[k]) for k in (a, b))
        both = groups[a] + groups[b]
        before = max(_group(judge, groups[a])[0], _group(judge, groups[b])[0])
        merges.append(Merge(first, second, before, _group(judge, both)[0], None))
        groups = (*groups[:a], both, *groups[a + 1 : b], *groups[b + 1 :])
        e = [*e[:a], after, *e[a + 1 : b], *e[b + 1 :]]
    titles = tuple(" + ".join(names[i] for i in g) for g in groups)
    found = np.array([_group(judge, g) for g in groups])
    rule = (
        "two groups that a test ties, if E_i of both as one is below the larger of theirs, the lowest first"
    )
    stopped = "two groups are left" if len(groups) == 2 else "no two that are tied have a smaller E_i as one"
    return Grouping(
        groups, titles, freeze(found[:, 0]), None, None, tuple(merges), rule, stopped, limits=freeze(found[:, 1:]),
        estimator=_WITNESS,
    )  # fmt: skip


def _group(steps: Steps, group: tuple[int, ...]) -> tuple[float, float, float]:
    """E_i of a group of agents as one, by the witness, and its limits."""
    found = steps.group(group)
    if not found.steps:
        return 0.0, 0.0, 1.0
    low = lower(found)
    return min(max(low.estimate, 0.0), 1.0), max(low.value, 0.0), upper(found).value
