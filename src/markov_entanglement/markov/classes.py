"""Recurrent classes and periods of a chain that is known by what it may reach."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from .._check import Bools, Ints, freeze

#: (n,) marked states -> the states one step ahead of them, or one step behind.
Reach = Callable[[Bools], Bools]


@dataclass(frozen=True, eq=False)
class Classes:
    """Closed communicating classes of states."""

    label: Ints  # (n,) class number of each recurrent state, -1 on transient ones
    count: int  # number of recurrent classes

    @property
    def recurrent(self) -> Bools:
        """(n,) True on recurrent states."""
        return np.asarray(self.label >= 0)


def classes(
    forward: Reach, backward: Reach, n: int, graph: sp.csr_array | None = None, *, start: int = 0
) -> Classes:
    """The recurrent classes of n states, by strong components where the graph (n, n) is explicit, else by reachability.

    `forward` and `backward` give the states one step ahead of the marked ones, and one step behind; the search by
    reachability goes from `start`, best in a large class.
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
    label, open_ = np.full(n, -1, dtype=np.int64), np.ones(n, dtype=bool)
    while open_.any():
        mask = np.arange(n) == seed
        ahead, behind = _closure(mask, forward), _closure(mask, backward)
        escape = ahead & ~behind
        if not escape.any():
            label[ahead] = label.max() + 1
            open_ &= ~behind
        seed = int((escape if escape.any() else open_).argmax())
    return label


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
