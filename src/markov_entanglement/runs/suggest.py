"""Which agents that are only stepped should count as one: pairs are tried along common runs, the best is measured anew.

All groupings are judged by the same rollouts from the same starts, so that what one explains more than another is known
far better than what each of them misses. The pair that leaves least unexplained along some runs is not judged by them:
others, of its own, say with 95 % limits what share of the variance of Q the sum explains more when the two are one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, freeze
from .._interval import jackknife
from .._progress import stage
from .._random import streams
from .._types import RNG
from ..errors import TooLarge, Unsupported
from ..model.merged_spaces import Groups
from ..report.facts import percent
from ..values.grouping import ALL, Grouping, Merge, missed, together, within
from .engine import flat
from .errors import OWN_STEPS, ErrorEstimate, default_steps, others, summarise
from .estimates import RUNS, discount_of, longer, roll, starts_of, train, without_each
from .groups import grouped_runs, local_pairs

if TYPE_CHECKING:
    from .agents import AgentRuns

#: Starts from which runs that teach grow with them.
_STARTS = 4000


class Judged(NamedTuple):
    """Groupings along common runs."""

    errors: list[ErrorEstimate]
    g: Floats  # (B, m, 2, J) rollouts of each
    value: Floats  # (B, m, 2, J) Q as they estimate it


def suggested(runs: AgentRuns, accepted: float, starts: int, rng: RNG) -> Grouping:
    """See `merge_suggestions`."""
    gamma, rewards = discount_of(runs), runs.system.rewards
    if rewards is not None and rewards.local is None:
        raise _shared()
    groups: Groups = tuple((i,) for i in range(runs.system.n_agents))
    names, rounds = [u.name for u in runs.units], max(1, len(groups) - 2)
    merges: list[Merge] = []
    _fits(runs, _pairs(runs, groups))
    look, judge, first = (s.spawn(rounds) for s in streams(rng, "look", "judge", "alone"))
    now = alone = _judged(runs, groups, [()], starts, gamma, first[0]).errors[0]
    other: Merge | None = None
    while not (stopped := _enough(groups, now, accepted)):
        with stage("merging agents", len(merges) / rounds, (len(merges) + 1) / rounds):
            pairs = _pairs(runs, groups)
            if not pairs:
                stopped = f"any two as one have more than {tol.GROUP_PAIRS:,} local pairs"
                break
            seen = _judged(runs, groups, pairs, starts, gamma, look[len(merges)]).errors
            a, b = pairs[int(np.argmin([e.unexplained for e in seen[1:]]))]
            both = _judged(runs, groups, [(a, b)], starts, gamma, judge[len(merges)])
            gain = _gain(both, gamma)
            other = Merge(names[a], names[b], None, None, both.errors[1].unexplained, gain.limits)
            if not gain.limits[0] > 0.0:
                caution = both.errors[0].caution or both.errors[1].caution
                stopped = (
                    f"these runs cannot tell: {caution}; take more starts"
                    if caution
                    else _untold(other, gain, starts)
                )
                break
            merges.append(other)
            now, other = both.errors[1], None
            groups, names = together(groups, a, b, groups[a] + groups[b]), list(
                together(names, a, b, f"{names[a]} + {names[b]}")
            )  # fmt: skip
    return Grouping(
        groups, tuple(names), freeze(np.full(len(groups), np.nan)), alone.unexplained, now.unexplained,
        tuple(merges), "the sum of local values misses less, with 95 % confidence along runs that did not choose it",
        stopped, other, alone.unexplained_interval, now.unexplained_interval, now.estimator,
    )  # fmt: skip


def _shared() -> Unsupported:
    rule = "every grouping would split it in another way"
    helps = "Give one table per agent, e.g. me.reward_entanglement(chain, rng=0).local."
    return Unsupported("groups", "one reward of all agents", rule, helps)


def _pairs(runs: AgentRuns, groups: Groups) -> list[tuple[int, int]]:
    """Pairs of groups that are not too large as one."""
    spaces = runs.system.spaces
    both = itertools.combinations(range(len(groups)), 2)
    return [(a, b) for a, b in both if local_pairs(spaces, groups[a] + groups[b]) <= tol.GROUP_PAIRS]


def _fits(runs: AgentRuns, pairs: Sequence[tuple[int, int]]) -> None:
    """Refuse more pairs of agents than can be tried."""
    spaces = runs.system.spaces
    work = float(sum(RUNS * local_pairs(spaces, pair) ** 3 for pair in pairs))
    if len(pairs) > tol.MERGE_PAIRS or work > tol.MERGE_WORK:
        got = f"{len(pairs):,} pairs of agents, {work:.2g} multiplications for their values"
        most = f"{tol.MERGE_PAIRS}, {tol.MERGE_WORK:.0g}"
        helps = "Compare groups of your own: me.analyze(chain.merge(groups), rng=0)."
        raise TooLarge("groups of agents", got, most, helps)


def _enough(groups: Groups, now: ErrorEstimate, accepted: float) -> str:
    """Why no pair is tried, or ""."""
    if now.unexplained_interval[1] <= accepted:
        return within(missed(now.unexplained, now.unexplained_interval), accepted)
    return ALL if len(groups) <= 2 else ""


def _judged(
    runs: AgentRuns, groups: Groups, pairs: Sequence[tuple[int, ...]], starts: int, gamma: float,
    rng: np.random.Generator,
) -> Judged:  # fmt: skip
    """The groups as they are and, for each of the pairs, with two of them as one; `[()]`: as they are alone."""
    pairs = [p for p in pairs if p]
    tried = grouped_runs(runs, (*groups, *(groups[a] + groups[b] for a, b in pairs)))
    parts = np.zeros((len(tried.system.groups), len(pairs) + 1))
    parts[: len(groups)] = 1.0
    for j, (a, b) in enumerate(pairs, 1):
        parts[[a, b], j], parts[len(groups) + j - 1, j] = 0.0, 1.0
    k = default_steps(gamma)
    trained = train(tried, rng, gamma, 2 * starts * k)
    if starts > _STARTS:
        trained = longer(tried, trained, starts / _STARTS, gamma)
    if trained.paid.shared is not None:
        raise _shared()
    at = starts_of(trained, starts)
    first, q = flat(trained.local.tables)
    found = roll(tried, at, (k,), gamma, lambda x: q[first + x] @ parts, trained.local.control, rng)
    x = first + tried.system.spaces.local_pairs(at.states, at.actions)
    noise = np.sqrt(sum((row[x] @ parts).var(axis=0) for row in without_each(tried, trained, gamma)))
    shape = RUNS, at.each, 2
    g = found.g[:, :, 0].reshape(*shape, -1)
    d = found.value.reshape(RUNS, at.each, 1, -1)
    errors = [
        summarise(tried, OWN_STEPS, trained.local.tables, None, k, 1, gamma,
                  np.concatenate([g[..., j], d[..., j]], axis=2), float(noise[j]), RUNS * trained.steps,
                  at.caution, at.gap)
        for j in range(parts.shape[1])
    ]  # fmt: skip
    return Judged(errors, g, g + d)


class _Gain(NamedTuple):
    """What the sum explains more of the variance of Q when two groups are one, and what its 95 % limits are made of."""

    value: float
    half: float  # of the rollouts
    rare: tuple[float, float]  # what rarer events than those met may take from it and add
    bias: float  # of rollouts that stop
    learned: float  # noise of the local values

    @property
    def limits(self) -> tuple[float, float]:
        """Low and high."""
        low, high = (math.hypot(self.half + self.bias + rare, self.learned) for rare in self.rare)
        return self.value - low, self.value + high

    def needed(self, starts: int) -> float:
        """Starts that tell it from 0 in 39 of 40 runs if it is right, by the variance met along so many."""
        left = abs(self.value) - self.bias
        if left <= 0.0:
            return math.inf
        rolled = starts * (2.0 * (self.half + max(self.rare)) / left) ** 2
        taught = max(starts, _STARTS) * (2.0 * self.learned / left) ** 2
        return rolled + taught if rolled + taught >= _STARTS else rolled / (1.0 - taught / _STARTS)


def _gain(both: Judged, gamma: float) -> _Gain:
    """Of the second grouping over the first."""
    one, two = both.errors[:2]
    if one.caution or two.caution or one.parts is None or two.parts is None:
        return _Gain(0.0, math.inf, (0.0, 0.0), 0.0, 0.0)
    columns = [(x[..., j] - others(x[..., j])).prod(axis=2).mean(axis=1) for j in (0, 1) for x in both[1:]]
    gain, half = jackknife(np.stack(columns, axis=1), lambda m: float(m[0] / m[1] - m[2] / m[3]))
    far, parts = gamma**one.steps, (one.parts, two.parts)
    shares = [max(e.square, 0.0) for e in parts]
    learned = sum(e.reach * (2.0 * math.sqrt(u) + e.reach) for e, u in zip(parts, shares, strict=True))
    bias = (((1.0 + far) / (1.0 - far)) ** 2 - 1.0) * sum(shares)
    return _Gain(gain, half, (two.parts.rare, one.parts.rare), bias, learned)


def _untold(other: Merge, gain: _Gain, starts: int) -> str:
    """Why the pair that seemed best is not merged."""
    low, high = gain.limits
    pair = f"{other.first} + {other.second} as one, which seemed best"
    shown = f"explains {percent(low)} to {percent(high)} more of the variance of Q"
    if high <= 0.0:
        return f"no two as one leave less unexplained; {pair}, {shown}"
    many, more = gain.needed(starts), "no number of starts that can be taken would decide"
    if many <= tol.MOST_STARTS:
        more = f"about that many starts would decide: starts={float(f'{many:.1e}'):.0f}"
    return f"these runs cannot tell whether any two as one leave less unexplained; {pair}, {shown}; {more}"
