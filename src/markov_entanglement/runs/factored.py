"""Factored systems whose joint states are too many to list: "atv" from neighbour sets, everything else by runs.

Eq. 7 needs how often each combination of neighbours' pairs occurs; the laws at these are known, see `neighbours.py`.
Runs count the combinations, and the medians are those of the counts: in sample they are biased low, fitted on one half
of a run and evaluated on the other high, as in `estimates.entanglement_of`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._compiled import compiled
from .._work import in_threads
from ..errors import TooLarge, Unsupported, gib
from ..laws.rows import Rows
from ..laws.source import Source
from ..markov.chain import Chain
from ..markov.neighbours import Group, NeighbourRows
from ..measures.entanglement import local_entanglement
from ..measures.local_fit import fit_mean
from ..model.bound_policy import Product
from ..model.spaces import about
from .agents import AgentChain, AgentRuns, Walk
from .entanglement import EntanglementEstimate, estimated, mean_where_known, rare_events
from .estimates import begin, too_short

_RUNS = 10
#: Least steps of each run.
_STEPS = 400


def by_neighbours(runs: AgentChain | AgentRuns) -> NeighbourRows | None:
    """The rows by neighbour sets, of a policy that reads no others; else None."""
    if not isinstance(runs.policy, Product):
        return None
    return NeighbourRows(runs.system, runs.policy, runs.starts is None)


@dataclass(frozen=True, eq=False, repr=False)
class FactoredRuns(AgentRuns):
    """A factored system under a policy, stepped; "atv" is enumerated by neighbour sets."""

    sampled = ("mu-atv", "atv")
    usual = ("mu-atv", "atv")

    def entanglement(self, distance: str, rng: Any) -> Any:
        """Eq. 7 by counts of combinations, or Eq. 5 by neighbour sets."""
        if distance != "atv":
            return super().entanglement(distance, rng)
        if (rows := by_neighbours(self)) is None:
            raise _reads_all(self, distance)
        return local_entanglement(rows, distance)


@dataclass(frozen=True, eq=False, repr=False)
class FactoredChain(AgentChain):
    """A factored system under a policy whose joint states are too many to list; what `FactoredMDP.under` returns."""

    sampled = ("mu-atv",)  # type: ignore[assignment]

    def __repr__(self) -> str:
        n, size = self.system.n_agents, about(self.system.spaces.joint_states)
        return f"FactoredChain({n:,} agents, {size} joint states)"

    @property
    def exact(self) -> Chain:
        """Refused: the joint kernel would not fit."""
        size = f"{about(self.system.spaces.joint_states)} joint states"
        raise TooLarge("joint chain", size, gib(tol.BYTES), "Of a policy that draws each agent's action by itself "
                       "(me.LocalPolicy, me.NeighbourPolicy, 'uniform') ask 'atv', or 'mu-atv' and values by runs; or "
                       "take fewer agents.")  # fmt: skip

    @cached_property
    def rows_only(self) -> Source | None:
        return by_neighbours(self)

    @cached_property
    def runs(self) -> FactoredRuns:
        return FactoredRuns(self.system, self.policy, self.starts)


def _reads_all(runs: AgentRuns, distance: str) -> Unsupported:
    rule = "laws of next pairs are known from neighbours' pairs where each agent draws its own action"
    helps = "Use me.LocalPolicy, me.NeighbourPolicy or 'uniform', or ask the exact chain of a smaller system."
    return Unsupported(f"distance {distance!r}", f"a {type(runs.policy).__name__} policy", rule, helps)


class Found(NamedTuple):
    """What R runs say of agents of one shape."""

    who: Ints  # (n,)
    inside: Floats  # (R, n) in sample
    crossed: Floats  # (R, n) cross-fitted
    sums: Floats  # (R, 3, n) sum, sum of squares and largest of what is missed
    best: Floats  # (n, keys m) local models


@compiled
def _meet(pairs, start, who, sizes, first, counts):  # type: ignore[no-untyped-def]
    """Count combinations of neighbours' pairs in counts (R, F) along pairs (R, B + 1, N), but for the first."""
    for r in range(pairs.shape[0]):
        for k in range(1, pairs.shape[1]):
            for i in range(len(first)):
                at = 0
                for e in range(start[i], start[i + 1]):
                    at = at * sizes[who[e]] + pairs[r, k, who[e]]
                counts[r, first[i] + at] += 1


class Counter:
    """Counts of the combinations of neighbours' pairs of all agents."""

    def __init__(self, rows: NeighbourRows, runs: int) -> None:
        agents = rows.system.n_agents
        many, around = np.empty(agents, dtype=np.int64), [np.zeros(0, dtype=np.int64)] * agents
        for group in rows.groups:
            many[group.who] = group.combinations
            for i, near in zip(group.who, group.around[:, : group.shape.pairs], strict=True):
                around[i] = near
        size = float(many.sum()) * 8.0 * runs
        if size > tol.BYTES:
            raise TooLarge("counts of neighbours' pairs", f"{gib(size)}", gib(tol.BYTES),
                           "Give the agents fewer neighbours, or ask 'atv'.")  # fmt: skip
        self.first = np.cumsum(many) - many
        self.start = np.concatenate([[0], np.cumsum([len(near) for near in around])])
        self.who, self.sizes = np.concatenate(around), np.array(rows.system.spaces.pair_sizes, dtype=np.int64)
        self.halves = np.zeros((2, runs, int(many.sum())), dtype=np.int32)

    def count(self, walk: Walk, steps: int) -> None:
        """Count along two halves of so many steps each."""
        for half in self.halves:
            for stretch in walk.chunks(steps):
                _meet(stretch.pairs, self.start, self.who, self.sizes, self.first, half)

    def of(self, part: Group) -> Ints:
        """(2, R, n combinations) of agents of one shape."""
        at = self.first[part.who][:, None] + np.arange(part.combinations)
        return self.halves[:, :, at.ravel()].astype(np.int64)


def combinations_of(runs: AgentRuns, rng: np.random.Generator) -> EntanglementEstimate:
    """Eq. 7 of every agent, from ten runs that begin apart."""
    if (rows := by_neighbours(runs)) is None:
        raise _reads_all(runs, "mu-atv")
    counter, agents = Counter(rows, _RUNS), runs.system.n_agents
    walk, lag, burn_in, most = begin(runs, rng, _RUNS)
    most = min(most, max(_STEPS, int(tol.AGENT_STEPS / (_RUNS * agents))))
    half = int(np.clip(math.ceil(50 * lag), min(2000, most), most)) // 2
    counter.count(walk, half)
    parts = [part for group in rows.groups for part in rows.parts(group)]
    found = in_threads(lambda k: _found(rows, counter, parts[k], half), range(len(parts)), None)
    order = np.argsort(np.concatenate([f.who for f in found]))
    inside, crossed = (
        np.concatenate([getattr(f, x) for f in found], axis=1)[:, order] for x in ("inside", "crossed")
    )
    sums = np.concatenate([f.sums for f in found], axis=2)[:, :, order]
    every: list[Floats] = [q for f in found for q in f.best]
    caution = too_short(lag, math.ceil(50 * lag)) if 5 * lag > 2 * half else ""
    rare = rare_events(sums, max(lag, 1.0), _RUNS * 2 * half)
    return estimated(
        runs.units, inside, crossed, rare, [every[k] for k in order], steps=2 * half, burn_in=burn_in,
        replications=_RUNS, batches=0, caution=caution, distance="mu-atv",
    )  # fmt: skip


def _found(rows: NeighbourRows, counter: Counter, part: Group, half: int) -> Found:
    """What all runs say of some agents of one shape."""
    keep = rows.allowed(part).ravel()
    n, law, key = len(part.who), rows.laws_of(part), part.keys[keep]
    wide, m = law.shape[1], law.shape[2]
    law, unit = law.reshape(-1, m)[keep], np.repeat(np.arange(n), wide)[keep]
    met = counter.of(part)[:, :, keep] / (2.0 * half)
    count = met.shape[1]
    inside, crossed, sums = np.empty((count, n)), np.empty((count, n)), np.empty((count, 3, n))
    best = np.empty((count, n, m * m))
    for r in range(count):
        first, second = met[:, r]
        whole = fit_mean(Rows(key, first + second, law, n * m))
        inside[r], best[r] = whole.per_unit(n), whole.law.reshape(n, -1)
        lost = [_missed(law, key, fit, n * m) for fit in (second, first)]
        both = first * lost[0] + second * lost[1]
        crossed[r] = np.bincount(unit, both, minlength=n)
        square = np.bincount(unit, first * lost[0] ** 2 + second * lost[1] ** 2, minlength=n)
        largest = np.zeros(n)
        np.maximum.at(largest, unit, np.maximum(lost[0] * (first > 0), lost[1] * (second > 0)))
        sums[r] = 2.0 * half * crossed[r], 2.0 * half * square, largest
    return Found(part.who, inside, crossed, sums, mean_where_known(best))


def _missed(law: Floats, key: Ints, weight: Floats, n_keys: int) -> Floats:
    """(R,) TV of each law and the model that is fitted by these weights, the uniform one where it says nothing."""
    q = fit_mean(Rows(key, weight, law, n_keys)).law
    q = np.where(np.isnan(q), 1.0 / q.shape[1], q)
    return np.asarray(0.5 * np.abs(law - q[key]).sum(axis=1))
