"""What agents did along a run, as counts of moves between local pairs, and the local values that these teach (Eq. 2).

Agents with as many states and actions are treated in one batch: a thousand different arms are one linear solve of
shape (1000, m, m).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from .._check import Bools, Floats, Ints
from ..model.spaces import Spaces


class Alike(NamedTuple):
    """Agents of equal sizes."""

    who: Ints  # (n,) which
    states: int  # S
    actions: int  # A


def alike(spaces: Spaces) -> tuple[Alike, ...]:
    """All agents, by their sizes."""
    sizes = np.column_stack([spaces.n_states, spaces.n_actions])
    kinds, which = np.unique(sizes, axis=0, return_inverse=True)
    which = which.reshape(-1)
    return tuple(Alike(np.flatnonzero(which == k), int(s), int(a)) for k, (s, a) in enumerate(kinds))


@dataclass(frozen=True, eq=False, repr=False)
class Flows:
    """Moves of every agent between its local pairs.

    Attributes
    ----------
    spaces : of the agents.
    counts : (sum m_i (m_i + 1),) moves from pair to pair, agent after agent; the last column of each counts ends.
    paid : (sum m_i,) each agent's own rewards that came with them, summed by the pair that was left; None where these
        are tables, or one reward is shared.
    """

    spaces: Spaces
    counts: Ints
    paid: Floats | None = None

    def __add__(self, other: Flows) -> Flows:
        return self._and(other, 1)

    def __sub__(self, other: Flows) -> Flows:
        return self._and(other, -1)

    def _and(self, other: Flows, sign: int) -> Flows:
        paid = None if self.paid is None or other.paid is None else self.paid + sign * other.paid
        return Flows(self.spaces, self.counts + sign * other.counts, paid)

    def rewards(self) -> tuple[Floats, ...] | None:
        """Mean rewards (m_i,) of each agent at its pairs, 0 where it never was; None where nothing was recorded."""
        if self.paid is None:
            return None
        left = np.concatenate([t.sum(axis=1) for t in self.tables()])
        mean = self.paid / np.maximum(left, 1.0)
        return tuple(np.split(mean, np.cumsum(self.spaces.pair_sizes)[:-1]))

    def tables(self) -> Iterator[Floats]:
        """The counts (m_i, m_i + 1) of each agent."""
        for first, m in zip(*self.layout(self.spaces), strict=True):
            yield self.counts[first : first + m * (m + 1)].reshape(m, m + 1).astype(np.float64)

    @staticmethod
    def layout(spaces: Spaces) -> tuple[Ints, Ints]:
        """Where each agent's table begins, and its number of pairs m_i, (N,) each."""
        sizes = np.array(spaces.pair_sizes, dtype=np.int64)
        wide = sizes * (sizes + 1)
        return np.cumsum(wide) - wide, sizes

    def of(self, group: Alike) -> Floats:
        """(n, m, m + 1) tables of agents of equal sizes."""
        first, m = self.layout(self.spaces)[0][group.who], group.states * group.actions
        table = self.counts[first[:, None] + np.arange(m * (m + 1))]
        return table.reshape(len(first), m, m + 1).astype(np.float64)

    @cached_property
    def groups(self) -> tuple[Alike, ...]:
        return alike(self.spaces)

    def visits(self) -> Iterator[tuple[Alike, Floats]]:
        """Times (n, S, A) that each local pair was left."""
        for group in self.groups:
            left = self.of(group).sum(axis=2)
            yield group, left.reshape(-1, group.states, group.actions)


def shares(visits: Floats) -> Floats:
    """(n, S, A) how often each action was taken in each state; all alike where a state was never seen."""
    seen = visits.sum(axis=2, keepdims=True)
    return np.where(seen > 0, visits / np.maximum(seen, 1.0), 1.0 / visits.shape[2])


def transitions(flows: Floats, kernels: Floats | None, chance: Floats) -> Floats:
    """(n, m, m) continuing part of the local transition of Eq. 2 along the run.

    Where agents move on kernels of their own (n, A, S, S) only what they do next is learned, after each pair and next
    state; where these were never met, the shares `chance` (n, S, A) stand. Without kernels all is counted, and pairs
    never left pay once and end.
    """
    going = flows[:, :, :-1]
    if kernels is None:
        return going / np.maximum(flows.sum(axis=2, keepdims=True), 1.0)
    n, a, s, _ = kernels.shape
    going = going.reshape(n, s * a, s, a)
    met = going.sum(axis=3, keepdims=True)
    does = np.where(met > 0, going / np.maximum(met, 1.0), chance[:, None])
    law = kernels.transpose(0, 2, 1, 3).reshape(n, s * a, s, 1)
    return np.asarray((law * does).reshape(n, s * a, s * a))


def known(flows: Floats) -> tuple[Floats, Bools]:
    """(..., m, m) continuing part of the local transition of Eq. 2 as counted, and (..., m) the pairs that have one.

    Moves into a pair that was never left (at most the last of a run) are dropped, and so on with what is left.
    """
    flows = np.array(flows, dtype=np.float64)
    left = flows.sum(axis=-1) > 0
    while True:
        flows[..., :-1] *= left[..., None, :]
        still = flows.sum(axis=-1) > 0
        if (still == left).all():
            break
        left = still
    total = flows.sum(axis=-1, keepdims=True)
    return flows[..., :-1] / np.where(left[..., None], total, 1.0), left


def values(p: Floats, r: Floats, gamma: float) -> Floats:
    """(n, m) local values `(I - gamma P_i)^{-1} r_i`."""
    q = np.linalg.solve(np.eye(p.shape[-1]) - gamma * p, r[..., None])[..., 0]
    return np.asarray(q, dtype=np.float64)
