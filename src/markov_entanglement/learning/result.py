"""What a learner leaves behind: local values by agent, and what they converge to."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .._check import Floats, Ints, freeze
from .._types import ArrayLike
from ..errors import InvalidInput, by
from ..report import tabulate
from ..report.facts import brief
from ..report.result import Result
from ..report.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class LocalValues(Result):
    """Learned local values `Q_i(x_i)`; `values(pairs)` is their sum `D`.

    Attributes
    ----------
    local : (G,) one table (m_g,) per agent, or per group of agents that share one, at the local pairs `A s + a`; NaN
        at pairs that were never left. Reward units.
    visits : (G,) times (m_g,) that each pair was left.
    discount : gamma.
    steps : steps of the runs.
    learner : what learned, in words; limit : what it converges to, in words; note : what else to know, or "".
    groups : (N,) table of each agent; None: one each.
    many : (G,) arms of each type where the runs were counts; None: the agents are told apart.
    names : (G,) of the tables; none: numbers.
    actions : (G,) local actions A of each; none: 1.
    labels : (G,) names of the local states and of the actions of each; none: numbers.
    """

    local: tuple[Floats, ...]
    visits: tuple[Ints, ...]
    discount: float
    steps: int
    learner: str
    limit: str = ""
    note: str = ""
    groups: Ints | None = None
    many: Ints | None = None
    names: tuple[str, ...] = ()
    actions: tuple[int, ...] = ()
    labels: tuple[tuple[list[str], list[str]], ...] = ()

    @property
    def tabled(self) -> Ints:
        """(G,) the first agent of each table."""
        every = np.arange(len(self.local)) if self.groups is None else self.groups
        return np.asarray(np.unique(every, return_index=True)[1])

    @property
    def n_agents(self) -> int:
        """N, or the number of arm types where the runs were counts."""
        return len(self.local) if self.groups is None else len(self.groups)

    def q(self, i: int) -> Floats:
        """(m_i,) local values of agent i, NaN where never visited; of arm type i where the runs were counts.

        Raises
        ------
        InvalidInput : there is no such agent.
        """
        k = _check.integer("i", i, low=0, high=self.n_agents - 1)
        return self.local[k if self.groups is None else int(self.groups[k])]

    @property
    def local_q(self) -> tuple[Floats, ...]:
        """(N,) tables (m_i,), agent by agent."""
        return tuple(self.q(i) for i in range(self.n_agents))

    def __call__(self, pairs: ArrayLike) -> Floats:
        """`D = sum_i Q_i(x_i)` (...) at local pairs `pairs` (..., N), -1 for an agent that is absent.

        Where the runs were counts, `pairs` (..., U, m) are the arms of each type at each local pair.

        Raises
        ------
        InvalidInput : another shape, or pairs that are not there.
        """
        x = np.asarray(pairs)
        if self.many is not None:
            want = len(self.local), len(self.local[0])
            if x.shape[-2:] != want:
                raise InvalidInput.shape("pairs", x.shape, (None, *want))
            q = np.stack(self.local)
            return freeze(np.where(x == 0, 0.0, x * q).sum(axis=(-2, -1)))
        sizes = np.array([len(t) for t in self.local])
        group = np.arange(len(sizes)) if self.groups is None else self.groups
        if x.ndim == 0 or x.shape[-1] != len(group) or x.dtype.kind not in "iu":
            got = f"shape {by(x.shape)} of {x.dtype}"
            raise InvalidInput(
                "pairs", got, f"integers (..., {len(group)})", "One local pair for each agent."
            )
        if x.size and (x.min() < -1 or (x >= sizes[group]).any()):
            wrong = int(x[(x < -1) | (x >= sizes[group])][0])
            raise InvalidInput("pairs", str(wrong), "local pairs are A s + a, or -1", "Check their order.")
        first = (np.cumsum(sizes) - sizes)[group]
        found = np.concatenate(self.local)[np.where(x < 0, 0, first + x)]
        return freeze(np.asarray(np.where(x < 0, 0.0, found).sum(axis=-1)))

    @property
    def estimator(self) -> str:
        """Which learner, from how many steps, and what it converges to."""
        limit = f"; converges to {self.limit}" if self.limit else ""
        return f"{self.learner}, {self.steps:,} steps{limit}{'; ' if self.note else ''}{self.note}"

    def block(self, most: float = math.inf) -> dict[str, Any]:
        """The block `local_values` of a result, of at most so many numbers."""
        shares = [n / max(int(n.sum()), 1) for n in self.visits]
        return tabulate.local_block(self._names(), [self._labels(g) for g in range(len(self.local))], self.local,
                                    shares, kind=self.learner, constant=0.0, most=most)  # fmt: skip

    def _names(self) -> Sequence[str]:
        word = "type" if self.many is not None else "agent" if self.groups is None else "group"
        return self.names or [f"{word} {g}" for g in range(len(self.local))]

    def _labels(self, g: int) -> tuple[list[str], list[str]]:
        if self.labels:
            return self.labels[g]
        a = self.actions[g] if self.actions else 1
        return [str(s) for s in range(len(self.local[g]) // a)], [str(k) for k in range(a)]

    def to_dict(self) -> dict[str, Any]:
        """JSON form; null where never visited."""
        return {"discount": self.discount, "estimator": self.estimator, "learner": self.learner, "steps": self.steps,
                "limit": self.limit or None, "local_values": self.block(),
                "groups": None if self.groups is None else self.groups.tolist()}  # fmt: skip

    @property
    def sentence(self) -> str:
        """How many values from how many steps by which learner."""
        seen = sum(int((n > 0).sum()) for n in self.visits)
        return f"{self.learner} learned {seen:,} local values from {self.steps:,} steps."

    def _tables(self) -> Iterator[Table]:
        yield tabulate.local_values(self.block())
        unseen = sum(int((n == 0).sum()) for n in self.visits)
        yield tabulate.numbers(
            [("steps", self.steps, "", "of the runs it learned from"), ("discount", self.discount, "", "gamma"),
             ("unseen", unseen, "", "local pairs that were never left: no value")]
        )  # fmt: skip

    def _brief(self) -> str:
        return (
            f"{self.learner}, {self.n_agents:,} agents, {self.steps:,} steps, discount {brief(self.discount)}"
        )
