"""Recurrent classes and periods of a chain that is known by what it may reach."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from .._check import Bools, Ints, freeze
from ..errors import SeveralRecurrentClasses

#: (n,) marked states -> the states one step ahead of them, or one step behind.
Reach = Callable[[Bools], Bools]


@dataclass(frozen=True, eq=False)
class Classes:
    """Closed communicating classes of states.

    Attributes
    ----------
    label : (n,) class number of each recurrent state, -1 on transient ones.
    count : number of recurrent classes.
    """

    label: Ints
    count: int

    @property
    def recurrent(self) -> Bools:
        """(n,) True on recurrent states."""
        return np.asarray(self.label >= 0)

    def require_one(self, what: str, states: str, name: Callable[[int], str], remedy: str) -> None:
        """Refuse several classes; `name` words a state, `states` the kind of them.

        Raises
        ------
        SeveralRecurrentClasses : names a state of each of the first four.
        """
        if self.count > 1:
            members = [np.flatnonzero(self.label == k) for k in range(min(self.count, 4))]
            shown = "; ".join(f"one of {len(m)} {states} around ({name(int(m[0]))})" for m in members)
            more = ", ..." if self.count > 4 else ""
            rule = "the stationary law needs one recurrent class"
            raise SeveralRecurrentClasses(
                what, f"{self.count} recurrent classes: {shown}{more}", rule, remedy
            )


def classes(
    forward: Reach, backward: Reach, n: int, graph: sp.csr_array | None = None, *, start: int = 0
) -> Classes:
    """The recurrent classes, by strong components where the graph is explicit, else by reachability.

    Parameters
    ----------
    forward, backward : states one step ahead of the marked ones, and one step behind.
    n : number of states.
    graph : (n, n) transition matrix, or None.
    start : where the search by reachability starts; best in a large class.
    """
    label = _by_components(graph) if graph is not None else _by_reachability(forward, backward, n, start)
    return Classes(freeze(label), int(label.max()) + 1)


def _by_components(graph: sp.csr_array) -> Ints:
    n, component = connected_components(graph, directed=True, connection="strong")
    coo = sp.coo_array(graph)
    leaves = component[coo.coords[0]] != component[coo.coords[1]]
    closed = np.ones(n, dtype=bool)
    closed[component[coo.coords[0][leaves & (coo.data > 0)]]] = False
    number = np.where(closed, np.cumsum(closed) - 1, -1)
    return number[component].astype(np.int64)


def _closure(marked: Bools, reach: Reach) -> Bools:
    while True:
        grown = marked | reach(marked)
        if grown.sum() == marked.sum():
            return grown
        marked = grown


def _by_reachability(forward: Reach, backward: Reach, n: int, seed: int) -> Ints:
    """From a state, descend until all that it reaches reaches it back: a closed class."""
    label = np.full(n, -1, dtype=np.int64)
    open_ = np.ones(n, dtype=bool)
    count = 0
    while True:
        while True:
            mask = np.arange(n) == seed
            ahead, behind = _closure(mask, forward), _closure(mask, backward)
            escape = np.flatnonzero(ahead & ~behind)
            if len(escape) == 0:
                break
            seed = int(escape[0])
        label[ahead] = count
        count += 1
        open_ &= ~behind
        if not open_.any():
            return label
        seed = int(open_.argmax())


def period(forward: Reach, label: Ints, k: int = 0) -> int:
    """Period of recurrent class `k`: gcd of `level(u) + 1 - level(v)` over its edges `u -> v`."""
    level = np.full(len(label), -1, dtype=np.int64)
    frontier = np.arange(len(label)) == np.flatnonzero(label == k)[0]
    depth, divisor = 0, 0
    level[frontier] = 0
    while frontier.any() and divisor != 1:
        image = forward(frontier)
        depth += 1
        for v in np.unique(level[image & (level >= 0)]):
            divisor = math.gcd(divisor, depth - int(v))
        frontier = image & (level < 0)
        level[frontier] = depth
    return divisor
