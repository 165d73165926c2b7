"""The products along a tree (`tree.py`) in large pieces, where arrays are those of a device; by the Array API.

Beginnings whose children add the same local pairs lie side by side on each level, so that each product of matrices is
dense, computes nothing that is not asked for, and keeps the device busy.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._check import Floats, Ints
from .._compiled import compiled
from .tree import Level, Places, Tree, dense

if TYPE_CHECKING:
    from .arrays import OnDevice


class _Task(NamedTuple):
    """Beginnings lo:hi of a level, which all go on alike, and columns of their functions."""

    lo: int
    hi: int
    columns: slice
    rows: Any  # (r, S_k) of the law
    places: Any  # ((hi - lo) r,) of their children on the next level, or a slice


class _Step(NamedTuple):
    """One part: the products that lead from its level to the next."""

    above: int  # beginnings
    states: int  # S_k
    rest: int  # joint states of the parts behind it
    tasks: list[_Task]


class Batched:
    """The same means as those of the tree, from and to arrays of the device."""

    def __init__(self, tree: Tree, arrays: OnDevice) -> None:
        self.arrays, self._opened, self._leaves = arrays, tree.opened, len(tree.levels[-1].own)
        laws = list(map(dense, tree.laws))
        runs = [_alike(level, len(law)) for level, law in zip(tree.levels, laws, strict=True)]
        places = [_inverse(order) for order, _ in runs[1:]]
        places.append(np.arange(self._leaves) if tree.opened else _inverse(tree.leaf))
        self._steps = []
        rest = tree.states
        for k, (level, law) in enumerate(zip(tree.levels, laws, strict=True)):
            rest //= tree.sizes[k]
            tasks = list(self._tasks(level, law, *runs[k], places[k], rest))
            self._steps.append(_Step(len(level.first) - 1, tree.sizes[k], rest, tasks))

    def _tasks(
        self, level: Level, law: Floats, order: Ints, cuts: list[int], places: Ints, rest: int
    ) -> Iterator[_Task]:
        """Those of one level, whose beginnings in this `order` are cut into runs that go on alike; `places` of the next
        one's."""
        for lo, hi in itertools.pairwise(cuts):
            first, many = level.first[order[lo:hi]], int(level.first[order[lo] + 1] - level.first[order[lo]])
            own = level.own[first[0] : first[0] + many]
            step = max(1, self.arrays.task // (many * rest))
            wide = rest if step > 1 else max(1, self.arrays.task // many)
            for start in range(lo, hi, step):
                stop = min(start + step, hi)
                at = places[first[start - lo : stop - lo, None] + np.arange(many)]
                # the children of one alone are taken in the order of their places, which may be a run
                rows = np.argsort(at[0], kind="stable") if stop - start == 1 else slice(None)
                to, part = self.arrays.places(at[:, rows].reshape(-1)), self.arrays.of(law[own[rows]])
                for left in range(0, rest, wide):
                    yield _Task(start, stop, slice(left, min(left + wide, rest)), part, to)

    def forward(self, f: Any) -> Any:
        """See `Tree.forward`."""
        for k, step in enumerate(self._steps):
            inside = f.reshape(step.above, step.states, step.rest)
            count = self._steps[k + 1].above if k + 1 < len(self._steps) else self._leaves
            f = self.arrays.empty(count * step.rest)
            out = f.reshape(count, step.rest)
            for task in step.tasks:
                x = inside[task.lo : task.hi, :, task.columns]
                y = x.reshape(-1, step.states) @ task.rows.T if step.rest == 1 else task.rows @ x
                out[task.places, task.columns] = y.reshape(-1, task.columns.stop - task.columns.start)
        return f.reshape(-1, self._opened) if self._opened else f

    def backward(self, u: Any) -> Any:
        """See `Tree.backward`."""
        for step in reversed(self._steps):
            inside = u.reshape(-1, step.rest)
            u = self.arrays.empty(step.above * step.states * step.rest)
            out = u.reshape(step.above, step.states, step.rest)
            for task in step.tasks:
                y = inside[:, task.columns][task.places].reshape(task.hi - task.lo, len(task.rows), -1)
                x = y[:, :, 0] @ task.rows if step.rest == 1 else task.rows.T @ y
                out[task.lo : task.hi, :, task.columns] = x.reshape(task.hi - task.lo, step.states, -1)
        return u


def _inverse(order: Ints | Places) -> Ints:
    """Place of each number in `order`."""
    out = np.empty(len(order), dtype=np.int64)
    out[order] = np.arange(len(order))
    return out


def _alike(level: Level, m: int) -> tuple[Ints, list[int]]:
    """The beginnings so ordered that those whose children add the same of m local pairs lie side by side, and where the
    runs of these are cut."""
    words = np.zeros((len(level.first) - 1, -(-m // 63)), dtype=np.int64)
    _bits(level.first, level.own, words)
    label = reduce(_finer, words.T, np.zeros(len(words), dtype=np.int64))
    order = np.argsort(label, kind="stable")
    return order, [0, *(np.flatnonzero(np.diff(label[order])) + 1).tolist(), len(order)]


def _finer(label: Ints, word: Ints) -> Ints:
    """Labels of those that are alike in both."""
    _, code = np.unique(word, return_inverse=True)
    _, both = np.unique(label * (int(code.max()) + 1) + code.reshape(-1), return_inverse=True)
    return np.asarray(both.reshape(-1))


@compiled
def _bits(first, own, words):  # type: ignore[no-untyped-def]
    """Of each beginning the local pairs that its children add, 63 in a word."""
    for p in range(len(words)):
        for i in range(first[p], first[p + 1]):
            words[p, own[i] // 63] |= 1 << (own[i] % 63)
