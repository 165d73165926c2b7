"""Expectations over the next counts where no type has many arms, type by type.

Given passive counts `p` and served counts `z` the types move independently, each on the law of its own next counts:

    P(n' | p, z) = prod_t P_t(n'_t | p_t, z_t).

The operator replaces the next counts of one type after another by the counts and served counts that lead to them.
After k types the mean is needed only where some pair has these counts of the first k types: such beginnings form a
tree, the leaves of which are the pairs. Under priorities without ties the counts and the number of served arms of a
beginning tell who is served, so that no level holds more than M + 1 numbers for each count state. With one arm of each
type this is the joint chain of the arms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from .._compiled import compiled
from ..errors import TooLarge
from ..markov.kernel import product_row_sizes, product_rows
from .count_operator import CountOperator, Operator, refuse_above
from .count_space import CountPairs, enumerate_counts, number_of_counts, pack

#: Entries of the explicit matrix that are made at once.
_BLOCK = 4e6
#: Numbers of the types behind up to which they are no loop of their own.
_SHORT = 8
_U = np.uint64  # see `count_operator`
Places = NDArray[np.int32]


@compiled(fastmath={"reassoc", "contract"})
def _ahead(parent: Any, own: Any, first: Any, column: Any, law: Any, v: Any, out: Any) -> None:
    """out[p, r] = sum_c law[own[p], c] v[parent[p], c, r]."""
    rest, flat, to = _U(out.shape[1]), v.reshape(-1), out.reshape(-1)
    for p in range(len(parent)):
        low, high = _U(first[own[p]]), _U(first[own[p] + 1])
        base, at = _U(parent[p]) * _U(v.shape[1]) * rest, _U(p) * rest
        if rest < _U(_SHORT):
            for r in range(rest):
                total = 0.0
                for e in range(low, high):
                    total += law[e] * flat[base + _U(column[e]) * rest + r]
                to[at + r] = total
        else:
            for r in range(rest):
                to[at + r] = 0.0
            for e in range(low, high):
                weight, start = law[e], base + _U(column[e]) * rest
                for r in range(rest):
                    to[at + r] += weight * flat[start + r]


@compiled(fastmath={"contract"})
def _back(parent: Any, own: Any, first: Any, column: Any, law: Any, v: Any, out: Any) -> None:
    """out[parent[p], c, r] += law[own[p], c] v[p, r]."""
    rest, flat, to = _U(v.shape[1]), v.reshape(-1), out.reshape(-1)
    for p in range(len(parent)):
        base, at = _U(parent[p]) * _U(out.shape[1]) * rest, _U(p) * rest
        for e in range(_U(first[own[p]]), _U(first[own[p] + 1])):
            weight, start = law[e], base + _U(column[e]) * rest
            for r in range(rest):
                to[start + r] += weight * flat[at + r]


@dataclass(frozen=True, eq=False)
class _Level:
    """One type more: beginning p adds the pair `own[p]` of this type to the beginning `parent[p]` above."""

    parent: Places
    own: Places
    above: int  # number of beginnings of the level above
    law: sp.csr_array  # (pairs, next counts) of this type
    support: sp.csr_array  # the same, positive wherever the law is, however small that is

    def expect(self, v: Floats, law: sp.csr_array) -> Floats:
        inside = v.reshape(self.above, law.shape[1], -1)
        out = np.empty((len(self.own), inside.shape[2]))
        _ahead(self.parent, self.own, law.indptr, law.indices, law.data, inside, out)
        return out

    def push(self, v: Floats, law: sp.csr_array) -> Floats:
        inside = v.reshape(len(self.own), -1)
        out = np.zeros((self.above, law.shape[1], inside.shape[1]))
        _back(self.parent, self.own, law.indptr, law.indices, law.data, inside, out)
        return out


class TypeOperator(Operator):
    """Expectations a type at a time, those of fewest counts first; refused before it would not fit."""

    def __init__(self, pairs: CountPairs, kernels: Floats) -> None:
        sizes = [number_of_counts([n], kernels.shape[-1]) for n in pairs.n_arms]
        self.n_counts, self.n_pairs, self.peak = math.prod(sizes), len(pairs.count), 0
        self._sizes, self._order = tuple(sizes), tuple(np.argsort(sizes, kind="stable").tolist())
        self._levels: list[_Level] = []
        place = np.unravel_index(pairs.count, sizes)
        beginning, above, rest = np.zeros(self.n_pairs, dtype=np.int64), 1, self.n_counts
        for t in self._order:
            own, law, support = _one_type(pairs, kernels, t, place[t])
            code, beginning = np.unique(beginning * law.shape[0] + own, return_inverse=True)
            parent, added = (x.astype(np.int32) for x in np.divmod(code, law.shape[0]))
            self._levels.append(_Level(parent, added, above, law, support))
            need, rest = 8 * above * rest, rest // sizes[t]
            above = len(code)
            self.peak = max(self.peak, need + 8 * above * rest)
            refuse_above(self.peak, f"count operator of {sum(pairs.n_arms)} arms")
        self._leaf = beginning

    def expect(self, f: Floats) -> Floats:
        return self._ahead(f, lambda level: level.law)

    def push(self, measure: Floats) -> Floats:
        return self._back(measure, lambda level: level.law)

    def can_reach(self, marked: Bools) -> Bools:
        return self._ahead(marked, lambda level: level.support) > 0

    def reached_from(self, marked: Bools) -> Bools:
        return self._back(marked, lambda level: level.support) > 0

    def _ahead(self, f: Any, laws: Callable[[_Level], sp.csr_array]) -> Floats:
        v = np.asarray(f, dtype=np.float64).reshape(self._sizes).transpose(self._order)
        v = np.ascontiguousarray(v)
        for level in self._levels:
            v = level.expect(v, laws(level))
        return np.asarray(v.reshape(-1)[self._leaf])

    def _back(self, u: Any, laws: Callable[[_Level], sp.csr_array]) -> Floats:
        v = np.empty(self.n_pairs)
        v[self._leaf] = u
        for level in reversed(self._levels):
            v = level.push(v, laws(level))
        v = v.reshape([self._sizes[t] for t in self._order])
        return np.asarray(v.transpose(np.argsort(self._order)).reshape(-1))

    def _matrix(self) -> sp.csr_array:
        factors: list[tuple[Floats, NDArray[Any]]] = [(np.ones((1, 1)), self._leaf)] * len(self._order)
        at: NDArray[Any] = self._leaf
        for t, level in zip(reversed(self._order), reversed(self._levels), strict=True):
            factors[t] = (level.law.toarray(), level.own[at])
            at = level.parent[at]
        cuts = np.flatnonzero(np.diff(np.cumsum(product_row_sizes(factors)) // _BLOCK)) + 1
        blocks = []
        for a, b in itertools.pairwise([0, *cuts.tolist(), self.n_pairs]):
            row, column, data = product_rows([(law, own[a:b]) for law, own in factors])
            blocks.append(sp.csr_array((data, (row, column)), shape=(b - a, self.n_counts)))
        return sp.csr_array(sp.vstack(blocks, format="csr"))


def _one_type(
    pairs: CountPairs, kernels: Floats, t: int, place: Ints
) -> tuple[Ints, sp.csr_array, sp.csr_array]:
    """The pair of counts and served counts of type t that each pair (J,) has, and the laws of its next counts, see
    `_Level`; `place` (J,) of its counts."""
    states, arms = kernels.shape[-1], pairs.n_arms[t]
    served = pairs.served[:, t * states : (t + 1) * states]
    _, first, own = np.unique(pack([place, *served.T]), return_index=True, return_inverse=True)
    counts, here = enumerate_counts([arms], states), (place[first], served[first])
    none = np.zeros(len(first))
    alone = CountPairs(counts, *here, none, none.astype(np.int64), (arms,), pairs.budget)
    operator = CountOperator(alone, kernels[[t]])
    reach = [operator.can_reach(here) for here in np.eye(len(counts), dtype=np.bool_)]
    return own, operator.matrix(), sp.csr_array(np.stack(reach, axis=1).astype(np.float64))


def few_each(n_arms: Sequence[int] | Ints, n_states: int) -> bool:
    """Whether the counts of each type are so few that its whole law costs less than one cell after another."""

    def few(n: int) -> bool:
        return number_of_counts([n], n_states) <= min(tol.COUNT_DENSE, tol.COUNT_TYPE * n_states * max(n, 1))

    return len(n_arms) > 1 and all(few(int(n)) for n in n_arms)


def count_operator(pairs: CountPairs, kernels: Floats) -> Operator:
    """Expectations over the next counts, in the way that takes less work and fits."""
    if few_each(pairs.n_arms, kernels.shape[-1]):
        with suppress(TooLarge):
            return TypeOperator(pairs, kernels)
    return CountOperator(pairs, kernels)
