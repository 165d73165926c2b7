"""Who is served: counts per local state and a budget in, served counts out.

A *cell* is an arm type and a local state, numbered `type * S + state`. Classes of equal priority are served
whole from the top until the budget ends inside the *marginal class*. There every arm is served with the same
probability, left/(arms of the class), and the served numbers of its cells are multivariate hypergeometric
(Def. 7.5 with the tie rule of this library). Under the uniform policy all cells form one class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from .._check import Floats, Ints, freeze
from ..model.bandit import RestlessBandit
from .count_space import activation, ranks_of
from .hypergeometric import hypergeometric


@njit(cache=True, nogil=True)
def serve(rng, n, order, starts, budget, z):  # type: ignore[no-untyped-def]
    """Fill `z` (C,) with served counts given counts `n` (C,); draws only inside a marginal class of several cells."""
    left = budget
    for k in range(len(starts) - 1):
        first, last = starts[k], starts[k + 1]
        if last - first == 1:
            x = order[first]
            z[x] = min(left, n[x])
            left -= z[x]
            continue
        size = 0
        for j in range(first, last):
            size += n[order[j]]
        take = min(left, size)
        left -= take
        for j in range(first, last):
            x = order[j]
            size -= n[x]
            z[x] = n[x] if take == size + n[x] else hypergeometric(rng, n[x], size, take)
            take -= z[x]


@dataclass(frozen=True, eq=False)
class Service:
    """The priority classes of a bandit under a policy, and its budget.

    Attributes
    ----------
    ranks : (C,) class of every cell, 0 is served first.
    order : (C,) cells sorted by class.
    starts : (K + 1,) where each class begins in `order`.
    budget : number of active arms M.
    """

    ranks: Ints
    order: Ints
    starts: Ints
    budget: int

    @classmethod
    def of(cls, bandit: RestlessBandit, policy: Any) -> Service:
        """Classes under an `IndexPolicy` or the `UniformPolicy`.

        Raises
        ------
        Unsupported : another policy.
        InvalidInput : priorities that do not match the local states.
        """
        ranks = np.asarray(ranks_of(bandit, policy), dtype=np.int64)
        order = np.argsort(ranks, kind="stable")
        sizes = np.bincount(ranks)
        starts = np.concatenate([[0], np.cumsum(sizes[sizes > 0])]).astype(np.int64)
        return cls(freeze(ranks.copy()), freeze(order), freeze(starts), bandit.budget)

    def activation(self, counts: Any) -> Floats:
        """(K, C) probability that an arm of each cell is served, given counts (K, C)."""
        return activation(np.asarray(counts), self.ranks, self.budget)

    def draw(self, counts: Any, rng: np.random.Generator) -> Ints:
        """(C,) served counts drawn given counts (C,)."""
        n = np.ascontiguousarray(counts, dtype=np.int64)
        z = np.zeros_like(n)
        serve(rng, n, self.order, self.starts, self.budget, z)
        return z
