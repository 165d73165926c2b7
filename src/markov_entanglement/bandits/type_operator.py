"""Expectations over the next counts where no type has many arms, type by type.

Given passive counts `p` and served counts `z` the types move independently, each on the law of its own next counts:

    P(n' | p, z) = prod_t P_t(n'_t | p_t, z_t).

Under priorities without ties the counts and the number of served arms of the first types tell who of them is served, so
that no level of the tree (`markov/tree.py`) along which the means are taken holds more than M + 1 numbers for each
count state. With one arm of each type this is the joint chain of the arms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import TooLarge
from ..markov.kernel import product_row_sizes, product_rows
from ..markov.tree import Places, Tree
from .count_operator import CountOperator, Operator, refuse_above
from .count_space import CountPairs, enumerate_counts, number_of_counts, pack

#: Entries of the explicit matrix that are made at once.
_BLOCK = 4e6


class TypeOperator(Operator):
    """Expectations a type at a time, those of fewest counts first; refused before it would not fit."""

    def __init__(self, pairs: CountPairs, kernels: Floats) -> None:
        sizes = [number_of_counts([n], kernels.shape[-1]) for n in pairs.n_arms]
        self.n_counts, self.n_pairs = math.prod(sizes), len(pairs.count)
        self._sizes, self._order = tuple(sizes), tuple(np.argsort(sizes, kind="stable").tolist())
        place = np.unravel_index(pairs.count, sizes)
        each = [_one_type(pairs, kernels, t, place[t]) for t in self._order]
        self._own, self._laws, supports = zip(*each, strict=True)
        what = f"count operator of {sum(pairs.n_arms)} arms"
        self._tree = Tree(self._laws, lambda k: self._own[k], guard=lambda need: refuse_above(need, what))
        self._pattern, self.peak = self._tree.with_laws(supports), self._tree.peak

    def expect(self, f: Floats) -> Floats:
        return self._tree.forward(self._turned(f))

    def push(self, measure: Floats) -> Floats:
        return self._back(self._tree.backward(measure))

    def can_reach(self, marked: Bools) -> Bools:
        return self._pattern.forward(self._turned(marked)) > 0

    def reached_from(self, marked: Bools) -> Bools:
        return self._back(self._pattern.backward(np.asarray(marked, dtype=np.float64))) > 0

    def _turned(self, f: Floats | Bools) -> Floats:
        """A function (K,) of the counts with the types in the order of the tree."""
        return np.asarray(f, dtype=np.float64).reshape(self._sizes).transpose(self._order).reshape(-1)

    def _back(self, f: Floats) -> Floats:
        """The same of the order of the tree in that of the types."""
        turned = f.reshape([self._sizes[t] for t in self._order])
        return turned.transpose(np.argsort(self._order)).reshape(-1)

    def _matrix(self) -> sp.csr_array:
        parts = zip(self._laws, self._own, strict=True)
        factors = [(law.toarray(), own) for _, (law, own) in sorted(zip(self._order, parts, strict=True))]
        cuts = np.flatnonzero(np.diff(np.cumsum(product_row_sizes(factors)) // _BLOCK)) + 1
        blocks = []
        for a, b in itertools.pairwise([0, *cuts.tolist(), self.n_pairs]):
            row, column, data = product_rows([(law, own[a:b]) for law, own in factors])
            blocks.append(sp.csr_array((data, (row, column)), shape=(b - a, self.n_counts)))
        return sp.csr_array(sp.vstack(blocks, format="csr"))


def _one_type(
    pairs: CountPairs, kernels: Floats, t: int, place: Ints
) -> tuple[Places, sp.csr_array, sp.csr_array]:
    """The pair of counts and served counts of type t that each pair (J,) has, the laws (pairs, next counts) of its next
    counts, and the same positive wherever these are, however small; `place` (J,) of its counts."""
    states, arms = kernels.shape[-1], pairs.n_arms[t]
    served = pairs.served[:, t * states : (t + 1) * states]
    _, first, own = np.unique(pack([place, *served.T]), return_index=True, return_inverse=True)
    counts, here = enumerate_counts([arms], states), (place[first], served[first])
    none = np.zeros(len(first))
    alone = CountPairs(counts, *here, none, none.astype(np.int64), (arms,), pairs.budget)
    operator = CountOperator(alone, kernels[[t]])
    reach = [operator.can_reach(here) for here in np.eye(len(counts), dtype=np.bool_)]
    return own.astype(np.int32), operator.matrix(), sp.csr_array(np.stack(reach, axis=1).astype(np.float64))


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
