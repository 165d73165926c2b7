"""Recurrent classes and periods of the state chain `T = Pi K`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from .._check import Bools, Ints, freeze

if TYPE_CHECKING:
    from .space import FactoredSpace as Chain


@dataclass(frozen=True, eq=False)
class Classes:
    """Closed communicating classes of the joint states.

    Attributes
    ----------
    label : (S,) class number of each recurrent state, -1 on transient ones.
    count : number of recurrent classes.
    """

    label: Ints
    count: int

    @property
    def recurrent(self) -> Bools:
        """(S,) True on recurrent states."""
        return np.asarray(self.label >= 0)


def recurrent_classes(chain: Chain) -> Classes:
    """The recurrent classes, by strong components where the graph is explicit, else by reachability."""
    graph = state_graph(chain)
    label = _by_components(graph) if graph is not None else _by_reachability(chain)
    return Classes(freeze(label), int(label.max()) + 1)


def state_graph(chain: Chain) -> sp.csr_array | None:
    """(S, S) explicit state chain `Pi K`, or None when the kernel is not explicit."""
    matrix = chain.kernel.matrix
    return None if matrix is None else sp.csr_array(chain.choice @ matrix)


def _by_components(graph: sp.csr_array) -> Ints:
    n, component = connected_components(graph, directed=True, connection="strong")
    coo = sp.coo_array(graph)
    leaves = component[coo.coords[0]] != component[coo.coords[1]]
    closed = np.ones(n, dtype=bool)
    closed[component[coo.coords[0][leaves & (coo.data > 0)]]] = False
    number = np.where(closed, np.cumsum(closed) - 1, -1)
    return number[component].astype(np.int64)


def _forward(chain: Chain, mask: Bools) -> Bools:
    """States reachable in one step from the states in `mask`."""
    return chain.kernel.support_left(mask[chain.pair_state].astype(np.float64)) > 0


def _backward(chain: Chain, mask: Bools) -> Bools:
    """States from which one step may lead into `mask`."""
    hits = chain.kernel.support(mask.astype(np.float64)) > 0
    return np.bincount(chain.pair_state[hits], minlength=len(mask)) > 0


def _closure(chain: Chain, mask: Bools, backward: bool = False) -> Bools:
    step = _backward if backward else _forward
    while True:
        grown = mask | step(chain, mask)
        if grown.sum() == mask.sum():
            return grown
        mask = grown


def _by_reachability(chain: Chain) -> Ints:
    """From a state, descend until all that it reaches reaches it back: a closed class."""
    n = chain.choice.shape[0]
    label = np.full(n, -1, dtype=np.int64)
    open_ = np.ones(n, dtype=bool)
    count = 0
    while open_.any():
        seed = int(np.flatnonzero(open_)[0])
        while True:
            mask = np.zeros(n, dtype=bool)
            mask[seed] = True
            ahead, behind = _closure(chain, mask), _closure(chain, mask, backward=True)
            escape = np.flatnonzero(ahead & ~behind)
            if len(escape) == 0:
                break
            seed = int(escape[0])
        label[ahead] = count
        count += 1
        open_ &= ~behind
    return label


def period(chain: Chain, k: int = 0) -> int:
    """Period of recurrent class `k`: gcd of `level(u) + 1 - level(v)` over its edges `u -> v`."""
    label = chain.classes.label
    level = np.full(len(label), -1, dtype=np.int64)
    frontier = np.zeros(len(label), dtype=bool)
    frontier[np.flatnonzero(label == k)[0]] = True
    depth, divisor = 0, 0
    level[frontier] = 0
    while frontier.any():
        image = _forward(chain, frontier)
        depth += 1
        for v in np.unique(level[image & (level >= 0)]):
            divisor = math.gcd(divisor, depth - int(v))
        frontier = image & (level < 0)
        level[frontier] = depth
    return divisor
