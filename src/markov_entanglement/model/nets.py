"""Tables that agents read by the numbers of several agents, flat, so that compiled loops treat any number of them.

Entry `[n_j, n_k, ..., t]` of the table of agent i, whose readers are (j, k, ...), is row-major: the law of t given the
numbers of these agents, local pairs for kernels and local states for policies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._check import Floats, Ints
from .._compiled import compiled


class Net(NamedTuple):
    """The tables of N agents; equal objects are held once."""

    start: Ints  # (N + 1,) agent i reads `who[start[i] : start[i + 1]]`
    who: Ints
    sizes: Ints  # (N,) how many numbers each agent may have
    first: Ints  # (N,) where the table of each agent begins
    width: Ints  # (N,) outcomes of its laws
    law: Floats
    tail: Floats  # cumulative, infinite from the last outcome of positive chance on


def net(tables: Sequence[Floats], readers: Sequence[Sequence[int]], sizes: Sequence[int]) -> Net:
    """The net of tables (sizes of the readers in order, outcomes)."""
    count = len(tables)
    start = np.zeros(count + 1, dtype=np.int64)
    np.cumsum([len(r) for r in readers], out=start[1:])
    who = np.array([j for r in readers for j in r], dtype=np.int64)
    width = np.array([t.shape[-1] for t in tables], dtype=np.int64)
    _, once = np.unique([id(t) for t in tables], return_index=True)
    once = once[np.argsort(width[once], kind="stable")]
    place = {id(tables[i]): k for k, i in enumerate(once)}
    lengths = np.array([tables[i].size for i in once], dtype=np.int64)
    begins = np.cumsum(lengths) - lengths
    law = np.concatenate([tables[i].ravel() for i in once])
    tail = np.empty_like(law)
    for w in np.unique(width):
        mine = np.flatnonzero(width[once] == w)
        span = slice(begins[mine[0]], begins[mine[-1]] + lengths[mine[-1]])
        c = np.cumsum(law[span].reshape(-1, w), axis=1)
        tail[span] = np.where(c < c[:, -1:], c, np.inf).ravel()
    first = begins[[place[id(t)] for t in tables]]
    return Net(start, who, np.array(sizes, dtype=np.int64), first, width, law, tail)


@compiled
def row(numbers, i, net):  # type: ignore[no-untyped-def]
    """Where the law of agent i begins, given the numbers (N,) of all."""
    at = 0
    for e in range(net.start[i], net.start[i + 1]):
        at = at * net.sizes[net.who[e]] + numbers[net.who[e]]
    return net.first[i] + at * net.width[i]


@compiled
def draw(u, numbers, net, out):  # type: ignore[no-untyped-def]
    """Fill `out` (R, N) with outcomes of all agents for uniform numbers (R, N), given numbers (R, N)."""
    runs, agents = numbers.shape
    for r in range(runs):
        for i in range(agents):
            at, t = row(numbers[r], i, net), 0
            if net.width[i] <= 8:  # without a branch that cannot be foreseen
                for k in range(net.width[i] - 1):
                    t += u[r, i] >= net.tail[at + k]
            else:
                while u[r, i] >= net.tail[at + t]:
                    t += 1
            out[r, i] = t


@compiled
def mean(numbers, net, first, f, out):  # type: ignore[no-untyped-def]
    """Fill `out` (R,) with sums over agents of the means of `f[first[i] + t]` under their laws."""
    runs, agents = numbers.shape
    for r in range(runs):
        total = 0.0
        for i in range(agents):
            at = row(numbers[r], i, net)
            for t in range(net.width[i]):
                total += net.law[at + t] * f[first[i] + t]
        out[r] = total
