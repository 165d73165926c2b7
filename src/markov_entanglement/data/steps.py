"""The steps of a log side by side in memory, and the tables of counts that questions are asked of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, freeze
from ..errors import InvalidInput, TooLarge
from ._rows import Numbering
from .contingency import BLOCKS, Contingency
from .shards import mapped


@dataclass(frozen=True, eq=False, repr=False)
class Steps:
    """T steps of N agents, in which somebody was there; J different joint pairs.

    Attributes
    ----------
    sizes : (N,) local pairs m_i; m_i as a pair stands for "absent", as a next pair for "the task ended".
    pairs : (T, N) local pair of each agent.
    next : (T, N) next local pair; -1 where it is not known: the agent was or went away, or the log is cut.
    point : (T,) number of the joint pair; points : (J, N) joint pairs.
    follow : (T,) number of the next joint pair, J where the task ended, -1 where the log is cut.
    before : (T,) number of the joint pair before, in the same episode; -1 at its start.
    rewards : (T, N), (T, 1) shared or (T, 0).
    ended : (T,) the task ended with this step.
    clock : (T,) step of the episode, or None; chances : (T, N) probability of the action taken, or None.
    laws : (T, sum_i (m_i + 1)) law of the next pair of each agent, agent after agent, last that the task ends; or None.
    """

    sizes: Ints
    pairs: Ints
    next: Ints
    point: Ints
    points: Ints
    follow: Ints
    before: Ints
    rewards: Floats
    ended: Bools
    clock: Ints | None
    chances: Floats | None
    laws: Floats | None = None

    def __len__(self) -> int:
        return len(self.point)

    @property
    def n_agents(self) -> int:
        """N."""
        return self.pairs.shape[1]

    @cached_property
    def complete(self) -> int:
        """Steps in which everybody was there."""
        return int((self.pairs < self.sizes).all(axis=1).sum())

    def part(self, rows: slice) -> Steps:
        """Some of the steps, which are all that is counted; joint pairs keep their numbers."""
        each = ("pairs", "next", "point", "follow", "before", "rewards", "ended", "clock", "chances")
        found: dict[str, Any] = {
            name: None if getattr(self, name) is None else getattr(self, name)[rows] for name in each
        }
        return replace(self, **found)

    def shown(self, pairs: Sequence[Ints], sizes: Sequence[int]) -> Steps:
        """The same where local pairs show less: of agent i `pairs[i]` (m_i + 1,) at each, of `sizes[i]`; joint pairs
        show all and keep their numbers."""
        wide = [np.append(new[:-1], [m, -1]) for new, m in zip(pairs, sizes, strict=True)]
        found: dict[str, Any] = {n: mapped(getattr(self, n), wide) for n in ("pairs", "next", "points")}
        return replace(self, sizes=freeze(np.array(sizes, dtype=np.int64)), **found)

    @property
    def alone(self) -> Steps:
        """The same where joint pairs are what local pairs show together."""
        number = Numbering(self.n_agents)
        new = number(self.points)
        moved = {name: getattr(self, name) for name in ("point", "follow", "before")}
        many = len(self.points)
        place = np.concatenate([new, [number.count, -1]])
        found = {name: freeze(place[np.where(a < 0, many + 1, a)]) for name, a in moved.items()}
        return replace(self, points=freeze(number.rows.copy()), **found)

    def _table(
        self, keep: Bools, code: Ints, outcome: Ints, key: Ints, n_keys: int, n_outcomes: int
    ) -> Contingency:
        """The table of the steps to keep, in blocks of equal numbers of them."""
        many = int(keep.sum())
        block = np.arange(many, dtype=np.int64) * BLOCKS // max(many, 1)
        return Contingency.of(
            block, code[keep], outcome[keep], key[keep], n_keys=n_keys, n_outcomes=n_outcomes
        )

    def known(self, i: int) -> Bools:
        """(T,) where the next pair of agent i is known."""
        return np.asarray((self.next[:, i] >= 0) & (self.pairs[:, i] < self.sizes[i]))

    def joint(self, i: int) -> Contingency:
        """Does the joint pair predict the next pair of agent i, given its own?"""
        m = int(self.sizes[i])
        return self._table(self.known(i), self.point, self.next[:, i], self.pairs[:, i], m, m + 1)

    def partner(self, i: int, j: int) -> Contingency:
        """Does the pair of agent j predict the next pair of agent i, given its own?"""
        m = int(self.sizes[i])
        code = self.pairs[:, i] * (self.sizes[j] + 1) + self.pairs[:, j]
        return self._table(self.known(i), code, self.next[:, i], self.pairs[:, i], m, m + 1)

    def group(self, agents: tuple[int, ...]) -> Contingency:
        """Does the joint pair predict the next pairs of some agents together, given theirs?"""
        which, number = list(agents), Numbering(len(agents))
        known = np.logical_and.reduce([self.known(i) for i in agents])
        both = np.concatenate([self.pairs[known][:, which], self.next[known][:, which]])
        key, outcome = np.split(number(both), 2)
        whole = np.zeros((2, len(self)), dtype=np.int64)
        whole[0, known], whole[1, known] = key, outcome
        many = max(number.count, 1)
        return self._table(known, self.point, whole[1], whole[0], many, many)

    def beside(self, what: Ints, i: int | None = None, *, cuts: bool = False) -> Contingency:
        """Does `what` (T,) (-1: not known) predict the next joint pair, or pair of agent i, given the joint pair?

        `cuts`: that the episode is cut is an outcome, too."""
        outcome, many = self.follow, len(self.points)
        if i is not None:
            outcome, many = (
                np.where(self.pairs[:, i] < self.sizes[i], self.next[:, i], -1),
                int(self.sizes[i]),
            )
        if cuts:
            there = True if i is None else self.pairs[:, i] < self.sizes[i]
            outcome = np.where((self.follow < 0) & there, many + 1, outcome)
        known = (what >= 0) & (outcome >= 0)
        return self._table(
            known, what * len(self.points) + self.point, outcome, self.point, len(self.points), many + 2
        )


def collect(chunks: Iterable[Any], sizes: Ints) -> Steps:
    """The steps of chunks; sizes (N,) of local pairs. Refused where they are too many for memory."""
    runs: dict[int, list[Any]] = {}
    numbers, used = Numbering(len(sizes)), 0
    for chunk in chunks:
        used += chunk.pairs.size if chunk.laws is None else chunk.laws.size
        if used > tol.LOG_NUMBERS:
            rule = f"at most {tol.LOG_NUMBERS:,.0f} in memory"
            raise TooLarge(
                "steps by agents of a log", f"more than {used:,} numbers", rule, "Take part of the log."
            )
        runs.setdefault(chunk.run, []).append(_of(chunk, sizes, numbers))
    parts = [part for run in runs.values() for part in _linked(run)]
    if not parts or not sum(len(p["point"]) for p in parts):
        raise InvalidInput("log", "no step in which anybody is there", "there must be one", "Record some.")
    whole: Any = {name: _joined([p[name] for p in parts]) for name in parts[0]}
    points = freeze(np.where(numbers.rows < 0, sizes, numbers.rows))
    whole["follow"][whole["follow"] == -2] = len(points)
    frozen: Any = {k: None if a is None else freeze(a) for k, a in whole.items()}
    return Steps(sizes=sizes, points=points, **frozen)


def _joined(parts: list[Any]) -> Any:
    return None if parts[0] is None else np.concatenate(parts)


def _of(chunk: Any, sizes: Ints, numbers: Numbering) -> dict[str, Any]:
    """Rows of a chunk, with those of nobody."""
    pairs = np.asarray(chunk.pairs, dtype=np.int64)
    now, after, ended = pairs[:-1], pairs[1:], np.asarray(chunk.ended, dtype=bool)
    number, there = np.full(len(pairs), -1, dtype=np.int64), (pairs >= 0).any(axis=1)
    number[there] = numbers(pairs[there])
    known = (now >= 0) & (after >= 0)
    following = np.where(known, after, -1)
    return {
        "pairs": np.where(now < 0, sizes, now),
        "next": np.where(ended[:, None] & (now >= 0), sizes, following),
        "point": number[:-1],
        "follow": np.where(ended, -2, number[1:]),
        "rewards": np.asarray(chunk.rewards, dtype=np.float64),
        "ended": ended,
        "clock": None if chunk.clock is None else np.asarray(chunk.clock[:-1], dtype=np.int64),
        "chances": chunk.chances,
        "laws": chunk.laws,
    }


def _linked(run: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with the joint pair before each; rows of nobody are left out."""
    last, out = -1, []
    for part in run:
        point, ended = part["point"], part["ended"]
        before = np.concatenate([[last], np.where(ended, -1, point)[:-1]]) if len(point) else point
        last = int(np.where(ended, -1, point)[-1]) if len(point) else last
        here = point >= 0
        kept = {name: None if a is None else a[here] for name, a in part.items()}
        out.append(kept | {"before": before[here]})
    return out
