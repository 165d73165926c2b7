"""The kernel of agents that move on their own, `K((s,a), s') = prod_i P_i(s_i' | s_i, a_i)`, never formed.

One application contracts the axes of a function of the joint state one after another: agents are replaced from the
first to the last, their next state by the state and action that lead to it. After k agents a partial result is needed
only where some joint pair has these k local pairs. These combinations form a tree, a node for each list of k actions;
a policy that serves by priority within a budget B leaves at most B + 1 lists for each list of k states, so that no
level holds more than B + 1 numbers for each joint state, however many joint actions there are.

Combinations that go on alike lie side by side, so that each product of matrices is dense and computes nothing that
is not asked for. The operator is written once over the Array API: with NumPy the products of a level are shared by
threads, with torch or CuPy they run where the arrays are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np

from .._check import Bools, Floats, Ints
from .._work import side_by_side
from .arrays import HOST, Arrays
from .kernel import Kernel

#: Agents at the end are one axis while it has at most so many states: products of tiny matrices are slow.
_LAST = 100
#: Numbers of a level from which its tasks are shared by threads.
_SHARED = 1 << 18


@dataclass(frozen=True, eq=False)
class _Branch:
    """What a task makes for one child: `rows` of its kernel, put at these places of the child (of the pairs)."""

    child: int  # number of the node on the next level; of no meaning on the last one
    rows: Any  # (r, S_k)
    places: Any  # (count r,) places, or a slice


@dataclass(frozen=True, eq=False)
class _Task:
    """Combinations lo:hi of a node, which all go on alike, and columns of their functions."""

    node: int
    lo: int
    hi: int
    columns: slice
    branches: tuple[_Branch, ...]


@dataclass(frozen=True, eq=False)
class _Level:
    """One axis: how many combinations each node has, and the products that lead to the next level."""

    sizes: tuple[int, ...]
    states: int  # S_k
    rest: int  # joint states of the axes behind it
    tasks: tuple[_Task, ...]


#: Number of a child, its kernel (S, S), where it is wanted (T, S), and the places of its combinations, or None.
_Child = tuple[int, Floats, Bools, Ints | None]


class ProductKernel(Kernel):
    """`K` on the full product of local states.

    Parameters
    ----------
    kernels : per agent (A_i, S_i, S_i).
    actions : (J, N) the joint actions in use, ascending.
    code : (n,) which of them each pair takes.
    state : (n,) joint state of each pair; None: there is one pair for each joint state, in their order.
    arrays : where the products are computed.
    """

    def __init__(
        self,
        kernels: Sequence[Floats],
        actions: Ints,
        code: Any,
        state: Ints | None = None,
        arrays: Arrays = HOST,
    ) -> None:
        self.kernels, self.actions, self.code, self.state = tuple(kernels), actions, code, state
        self.arrays = arrays

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.code), math.prod(k.shape[1] for k in self.kernels)

    @cached_property
    def tree(self) -> Tree:
        """The products of one application."""
        return Tree(self.kernels, self.actions, self.pairs_of, self.shape, arrays=self.arrays)

    @cached_property
    def _pattern(self) -> Tree:
        """The same with ones for positive entries, whose products do not vanish."""
        ones = tuple((k > 0).astype(np.float64) for k in self.kernels)
        return Tree(ones, self.actions, self.pairs_of, self.shape, arrays=self.arrays)

    def pairs_of(self, j: int) -> tuple[Bools, Ints | None]:
        """(S,) where joint action j is taken, and the number of its pair in such states; None: that of the state."""
        if self.state is None:
            return self.code == j, None
        at, taken = np.flatnonzero(self.code == j), np.zeros(self.shape[1], dtype=np.bool_)
        number = np.zeros(self.shape[1], dtype=np.int64)
        taken[self.state[at]], number[self.state[at]] = True, at
        return taken, number

    def apply(self, f: Floats) -> Floats:
        return self._columns(self.tree.forward, f)

    def apply_left(self, u: Floats) -> Floats:
        return self._columns(self.tree.backward, u)

    def support_left(self, u: Floats) -> Floats:
        return self._columns(self._pattern.backward, (u > 0).astype(np.float64))

    def support(self, f: Floats) -> Floats:
        return self._columns(self._pattern.forward, (f > 0).astype(np.float64))

    def _columns(self, work: Callable[[Any], Any], f: Floats) -> Floats:
        """The image of (n,), or of each column of (n, k)."""
        if f.ndim == 1:
            return self.arrays.back(work(self.arrays.of(f)))
        each = [self.arrays.back(work(self.arrays.of(np.ascontiguousarray(c)))) for c in f.T]
        return np.stack(each, axis=1) if each else np.zeros((len(work(self.arrays.of(f[:, 0]))), 0))


class Tree:
    """The products by which all pairs get the mean of a function of the next joint state.

    Parameters
    ----------
    kernels : per agent (A_i, S_i, S_i), in the order in which agents are replaced.
    actions : (J, N) joint actions, ascending in that order.
    pairs_of : number j of a joint action -> where it is taken and the numbers of its pairs, see `ProductKernel`.
    shape : numbers of pairs and of joint states.
    opened : the last agent is left as it is, so that results are functions of its next state; see `open_forward`.

    Attributes
    ----------
    levels : the axes in their order.
    ends : where it is opened, of each node of the last level the combinations (R,) of the local states of all agents
        but the last, and the joint actions that go on from there.
    """

    def __init__(
        self,
        kernels: Sequence[Floats],
        actions: Ints,
        pairs_of: Callable[[int], tuple[Bools, Ints | None]],
        shape: tuple[int, int],
        *,
        opened: bool = False,
        arrays: Arrays = HOST,
    ) -> None:
        self.arrays, self.shape = arrays, shape
        self._axes, self._choices = _axes(kernels, actions, alone=opened)
        self._sizes = [k[0].shape[1] for k in self._axes]
        self._spare: list[Any] = []
        self.ends: list[tuple[Ints, list[int]]] = []
        self.levels = self._made(pairs_of, opened)

    def _made(self, pairs_of: Callable[[int], tuple[Bools, Ints | None]], opened: bool) -> list[_Level]:
        """The levels, made from the last to the first: each needs to know where the next one is wanted."""
        levels: list[_Level] = []
        wanted: list[Bools] = []  # of each node of the next level
        places: list[Ints] = []  # of each of its combinations there
        for k in range(len(self._axes) - 1, -1, -1):
            size, before, last = self._sizes[k], math.prod(self._sizes[:k]), k == len(self._axes) - 1
            tasks: list[_Task] = []
            here: list[Bools] = []
            order: list[Ints] = []
            made = 0
            for node, children in enumerate(_nodes(self._choices, k)):
                span = range(made, made + len(children))
                found = [
                    pairs_of(j) if last else (wanted[c], places[c])
                    for j, c in zip(children, span, strict=True)
                ]
                asked = [taken.reshape(before, size) for taken, _ in found]
                here.append(np.logical_or.reduce([_any(a) for a in asked]))
                if last and opened:
                    order.append(np.flatnonzero(here[-1]))
                    self.ends.append((order[-1], children))
                else:
                    combos, runs = _alike(asked, here[-1])
                    order.append(combos)
                    laws = [self._axes[k][int(self._choices[j, k])] for j in children]
                    each = list(zip(span, laws, asked, (number for _, number in found), strict=True))
                    for lo, hi in runs:
                        tasks += self._tasks(k, node, combos, lo, hi, each)
                made += len(children)
            levels.append(_Level(tuple(map(len, order)), size, math.prod(self._sizes[k + 1 :]), tuple(tasks)))
            wanted, places = here, [_inverse(o, before) for o in order]
        return levels[::-1]

    def _tasks(
        self, k: int, node: int, combos: Ints, lo: int, hi: int, each: list[_Child]
    ) -> Iterator[_Task]:
        """The products of combinations lo:hi of a node, which go on alike, cut into tasks."""
        size, rest = self._sizes[k], math.prod(self._sizes[k + 1 :])
        alive = [(*child, rows) for child in each if len(rows := np.flatnonzero(child[2][combos[lo]]))]
        most = max(len(rows) for *_, rows in alive)
        step = max(1, self.arrays.task // (most * rest))
        wide = rest if step > 1 else max(1, self.arrays.task // most)
        for start in range(lo, hi, step):
            stop, branches = min(start + step, hi), []
            at = combos[start:stop, None] * size
            for child, law, _, number, rows in alive:
                if stop - start == 1 and number is not None:  # in their order there, which may be a run
                    rows = rows[np.argsort(number[at[0, 0] + rows], kind="stable")]
                places = (at + rows).ravel() if number is None else number[(at + rows).ravel()]
                branches.append(_Branch(child, self.arrays.of(law[rows]), self.arrays.places(places)))
            for left in range(0, rest, wide):
                yield _Task(node, start, stop, slice(left, min(left + wide, rest)), tuple(branches))

    def forward(self, f: Any) -> Any:
        """(S,) -> (n,) mean of a function of the next joint state at every pair."""
        level, out = self.levels[-1], self.arrays.empty(self.shape[0])
        flat, pairs = self._down_to_last(f), out.reshape(-1, 1)
        inside = _split(flat, level.sizes, level.states)

        def work(task: _Task) -> None:
            x = inside[task.node][task.lo : task.hi]
            for b in task.branches:
                self.arrays.put(pairs, b.places, (x @ b.rows.T).reshape(-1, 1))

        self._each(work, level, len(out))
        self._leave(flat, f)
        return out

    def open_forward(self, f: Any) -> list[Any]:
        """(S,) -> of each node of the last level (combinations, S_N): the mean of f over the other agents' next states,
        as a function of the last one's."""
        flat, level = self._down_to_last(f), self.levels[-1]
        return _split(flat, level.sizes, level.states)

    def _down_to_last(self, f: Any) -> Any:
        """The functions of the nodes of the last level side by side, from that of the first."""
        flat = f
        for level, below in itertools.pairwise(self.levels):
            inside = _split(flat, level.sizes, level.states, level.rest)
            made = self._room()
            out = _split(made, below.sizes, level.rest)

            def work(task: _Task, inside: list[Any] = inside, out: list[Any] = out) -> None:
                x = inside[task.node][task.lo : task.hi, :, task.columns]
                for b in task.branches:
                    y = b.rows @ x
                    self.arrays.put(out[b.child][:, task.columns], b.places, y.reshape(-1, y.shape[-1]))

            self._each(work, level, sum(below.sizes) * level.rest)
            self._leave(flat, f)
            flat = made
        return flat

    def backward(self, u: Any) -> Any:
        """(n,) -> (S,) the law of the next joint state from weights of pairs."""
        level = self.levels[-1]
        flat = self._room() if len(self.levels) > 1 else self.arrays.empty(self.shape[1])
        have, pairs = _split(flat, level.sizes, level.states), u.reshape(-1, 1)

        def last(task: _Task) -> None:
            count = task.hi - task.lo
            parts = [self.arrays.take(pairs, b.places).reshape(count, -1) @ b.rows for b in task.branches]
            have[task.node][task.lo : task.hi] = reduce(lambda a, b: a + b, parts)

        self._each(last, level, len(u))
        for level, below in zip(self.levels[-2::-1], self.levels[:0:-1], strict=True):
            inside = _split(flat, below.sizes, level.rest)
            made = self.arrays.empty(self.shape[1]) if level is self.levels[0] else self._room()
            out = _split(made, level.sizes, level.states, level.rest)

            def work(task: _Task, inside: list[Any] = inside, out: list[Any] = out) -> None:
                parts = []
                for b in task.branches:
                    y = self.arrays.take(inside[b.child][:, task.columns], b.places)
                    parts.append(b.rows.T @ y.reshape(task.hi - task.lo, len(b.rows), -1))
                out[task.node][task.lo : task.hi, :, task.columns] = reduce(lambda a, b: a + b, parts)

            self._each(work, level, sum(level.sizes) * level.states * level.rest)
            self._leave(flat, u)
            flat = made
        return flat

    def _room(self) -> Any:
        """Room for any level, the one that was used before if it is free."""
        if self._spare:
            return self._spare.pop()
        return self.arrays.empty(max(sum(x.sizes) * x.states * x.rest for x in self.levels))

    def _leave(self, flat: Any, given: Any) -> None:
        """What was made inside may be used again."""
        if flat is not given and len(self._spare) < 2:
            self._spare.append(flat)

    def _each(self, work: Callable[[_Task], None], level: _Level, size: int) -> None:
        if self.arrays.threads and size >= _SHARED:
            side_by_side(work, level.tasks)
        else:
            for task in level.tasks:
                work(task)


def _split(flat: Any, sizes: Sequence[int], *shape: int) -> list[Any]:
    """The parts (size, *shape) of an array that has them side by side."""
    each = math.prod(shape)
    cuts = itertools.pairwise(itertools.accumulate((n * each for n in sizes), initial=0))
    return [flat[lo:hi].reshape(n, *shape) for (lo, hi), n in zip(cuts, sizes, strict=True)]


def _axes(kernels: Sequence[Floats], actions: Ints, *, alone: bool) -> tuple[list[list[Any]], Ints]:
    """Per axis the kernels of what agents may do there, and (J, axes) which one each joint action takes; the last
    agents are one axis while it is small, unless the last one stays `alone`."""
    n, last = len(kernels), len(kernels) - 1
    while last > 0 and not alone and math.prod(k.shape[1] for k in kernels[last - 1 :]) <= _LAST:
        last -= 1
    axes: list[list[Any]] = []
    columns = []
    for members in [*([i] for i in range(last)), list(range(last, n))]:
        used, which = np.unique(actions[:, members], axis=0, return_inverse=True)
        laws: list[list[Any]] = [[kernels[i][a] for i, a in zip(members, row, strict=True)] for row in used]
        axes.append([reduce(np.kron, each) for each in laws])
        columns.append(which.reshape(-1))
    return axes, np.stack(columns, axis=1)


def _nodes(choices: Ints, k: int) -> list[list[int]]:
    """For each different list of the first k choices, the first joint action with each list of k + 1."""
    found: dict[tuple[int, ...], dict[int, int]] = {}
    for j, row in enumerate(choices.tolist()):
        found.setdefault(tuple(row[:k]), {}).setdefault(row[k], j)
    return [list(children.values()) for children in found.values()]


def _any(a: Bools) -> Bools:
    """`a.any(axis=1)`, column by column where rows are short."""
    return np.asarray(reduce(np.logical_or, list(a.T)) if a.shape[1] < 32 else a.any(axis=1))


def _inverse(order: Ints, size: int) -> Ints:
    """(size,) place of each number in `order`."""
    out = np.zeros(size, dtype=np.int64)
    out[order] = np.arange(len(order))
    return out


def _alike(asked: list[Bools], wanted: Bools) -> tuple[Ints, list[tuple[int, int]]]:
    """The wanted combinations so ordered that those with equal rows of all `asked` (T, S) lie side by side, and the
    runs of these."""
    at = np.flatnonzero(wanted)
    label = np.zeros(len(at), dtype=np.int64)
    for a in asked:
        bits = np.packbits(a[at], axis=1)
        bits = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))
        for word in np.ascontiguousarray(bits).view(np.int64).T:
            _, code = np.unique(word, return_inverse=True)
            _, label = np.unique(
                label * (int(code.max(initial=0)) + 1) + code.reshape(-1), return_inverse=True
            )
            label = label.reshape(-1)
    order = np.argsort(label, kind="stable")
    edges = [0, *(np.flatnonzero(np.diff(label[order])) + 1).tolist(), len(at)]
    return at[order], list(itertools.pairwise(edges)) if len(at) else []
