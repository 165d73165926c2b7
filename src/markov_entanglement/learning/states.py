"""What tabular learners keep of the steps: counts of moves, sums of least squares or sums of returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._check import Floats, Ints, freeze
from ..runs.chunk import Chunk
from ..runs.flows import known, values
from .kernels import Steps, Sums, moves, traced
from .layout import Layout


class State(ABC):
    """Sums over the steps of a run."""

    layout: Layout
    count: int
    #: What else to know of the answer.
    note = ""

    def add(self, chunk: Chunk) -> None:
        """Take in a chunk."""
        self.count += present(chunk)
        self._add(self.layout.steps(chunk))

    @abstractmethod
    def _add(self, steps: Steps) -> None: ...

    @abstractmethod
    def join(self, other: Any) -> None:
        """Take in the sums of another run."""

    @property
    @abstractmethod
    def visits(self) -> Ints:
        """(M,) times that each pair was left."""

    @abstractmethod
    def normal(self) -> Iterator[tuple[Ints, Floats, Floats]]:
        """Tables of equal length together: where they stand (n, m), and their equations (n, m, m), (n, m)."""

    def values(self) -> Floats:
        """(M,) values of all tables in a row; NaN at pairs never left, which count 0 where a run ended on one."""
        out, seen = np.full(self.layout.numbers, np.nan), self.visits > 0
        for at, matrix, right in self.normal():
            left = seen[at]
            both = left[:, :, None] & left[:, None, :]
            eye = np.eye(at.shape[1])
            found = np.linalg.solve(np.where(both, matrix, eye), np.where(left, right, 0.0)[..., None])[
                ..., 0
            ]
            out[at] = np.where(left, found, np.nan)
        return freeze(out)


def present(chunk: Chunk) -> int:
    """Steps of a chunk on which an agent was there."""
    return int((chunk.pairs[:-1] >= 0).any(axis=1).sum())


class Counted(State):
    """Moves between local pairs, counted, and rewards, summed."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.count, m = layout, 0, layout.pool.sizes
        self._starts = layout.starts(m * (m + 1))
        self.moves = np.zeros(int((m * (m + 1)).sum()), dtype=np.int64)
        self.paid = np.zeros(layout.numbers)

    def _add(self, steps: Steps) -> None:
        moves(steps, self._starts, self.moves, self.paid)

    def join(self, other: Counted) -> None:
        self.count += other.count
        self.moves += other.moves
        self.paid += other.paid

    def flows(self) -> Iterator[tuple[Ints, Floats]]:
        """Tables of equal length together: where they stand (n, m), and their moves (n, m, m + 1)."""
        sizes = self.layout.pool.sizes
        wide = sizes * (sizes + 1)
        first = np.cumsum(wide) - wide
        for m, which, at in self.layout.alike():
            table = self.moves[first[which][:, None] + np.arange(m * (m + 1))]
            yield at, table.reshape(len(which), m, m + 1).astype(np.float64)

    @property
    def visits(self) -> Ints:
        out = np.zeros(self.layout.numbers, dtype=np.int64)
        for at, flows in self.flows():
            out[at] = flows.sum(axis=2)
        return out

    def normal(self) -> Iterator[tuple[Ints, Floats, Floats]]:
        for at, flows in self.flows():
            own = flows.sum(axis=2)[:, :, None] * np.eye(at.shape[1])
            yield at, own - self.layout.discount * flows[:, :, :-1], self.paid[at]

    def values(self) -> Floats:
        """(M,) values of the chain that the counts make, NaN at pairs never left; moves into these are dropped."""
        out = np.full(self.layout.numbers, np.nan)
        for at, flows in self.flows():
            p, left = known(flows)
            mean = self.paid[at] / np.maximum(flows.sum(axis=2), 1.0)
            out[at] = np.where(left, values(p, mean * left, self.layout.discount), np.nan)
        return freeze(out)


def sums_of(layout: Layout, matrix: int) -> Sums:
    """Sums of nothing, with so many numbers of matrices."""
    layout.room(matrix)
    n, traces = layout.numbers, int(layout.sizes.sum())
    return Sums(np.zeros(matrix), np.zeros(n), np.zeros(n, np.int64), np.zeros(traces), np.zeros(n))


class Squares(State):
    """Sums of least squares with traces."""

    def __init__(self, layout: Layout, trace: float) -> None:
        self.layout, self.count, self.trace = layout, 0, trace
        wide = layout.pool.sizes**2
        self._first = np.cumsum(wide) - wide
        self.sums = sums_of(layout, int(wide.sum()))

    def _add(self, steps: Steps) -> None:
        traced(steps, self._first[self.layout.pool.group], self.sums, self.layout.discount, self.trace)

    def join(self, other: Squares) -> None:
        self.count += other.count
        self.sums.matrix[:] += other.sums.matrix
        self.sums.paid[:] += other.sums.paid
        self.sums.visits[:] += other.sums.visits
        self.sums.trace[:] = 0.0

    @property
    def visits(self) -> Ints:
        return self.sums.visits

    def normal(self) -> Iterator[tuple[Ints, Floats, Floats]]:
        for m, which, at in self.layout.alike():
            matrix = self.sums.matrix[self._first[which][:, None] + np.arange(m * m)]
            yield at, matrix.reshape(-1, m, m), self.sums.paid[at]


class Returns(State):
    """Sums of returns from every visit."""

    def __init__(self, layout: Layout) -> None:
        self.layout, self.count, self.sums = layout, 0, sums_of(layout, 0)

    def _add(self, steps: Steps) -> None:
        traced(
            steps, self.layout.pool.group, self.sums, self.layout.discount, 1.0
        )  # no matrix begins anywhere

    def join(self, other: Returns) -> None:
        self.count += other.count
        self.sums.cut[:] = self.cut + other.cut
        self.sums.paid[:] += other.sums.paid
        self.sums.visits[:] += other.sums.visits
        self.sums.trace[:] = 0.0

    @property
    def visits(self) -> Ints:
        return self.sums.visits

    @property
    def cut(self) -> Floats:
        """(M,) discounted weight of what the returns lack where the run ended or was cut."""
        where = np.concatenate([f + np.arange(m) for f, m in zip(
            self.layout.pool.starts[self.layout.pool.group], self.layout.sizes, strict=True)])  # fmt: skip
        return self.sums.cut + np.bincount(where, self.sums.trace, minlength=self.layout.numbers)

    @property
    def note(self) -> str:  # type: ignore[override]
        """How much the returns lack."""
        seen = self.visits > 0
        part = float((self.cut[seen] / self.visits[seen]).max(initial=0.0))
        return f"what the end of the run cuts off is at most {part:.2g} of any value that rewards allow"

    def normal(self) -> Iterator[tuple[Ints, Floats, Floats]]:
        for m, _, at in self.layout.alike():
            yield at, self.visits[at][:, :, None] * np.eye(m), self.sums.paid[at]
