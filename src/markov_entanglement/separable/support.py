"""The chain's pairs inside the product of the local pairs that occur in them.

A chain runs over the pairs that its policy allows, seldom over the full product. Local pairs that never occur
may be left out: a separable transition on the full product stays separable when its next pairs are sent to
occurring ones and its rows are restricted to them, and extends back by copying rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._check import Floats, Ints, freeze
from ..errors import Unsupported
from ..markov.chain import Chain
from ..model.spaces import ravel
from .decomposition import Decomposition, guard_entries


@dataclass(frozen=True, eq=False)
class Support:
    """Where the rows of a chain sit, transient ones included: per agent the local pairs that occur, ascending, and the
    number (n, N) of each local pair of the chain among them."""

    chain: Chain
    active: tuple[Ints, ...]
    local: Ints

    @classmethod
    def of(cls, chain: Chain) -> Support:
        """The support of a chain."""
        split = [np.unique(chain.pairs[:, i], return_inverse=True) for i in range(chain.n_agents)]
        local = np.stack([inverse.reshape(-1) for _, inverse in split], axis=1).astype(np.int64)
        return cls(chain, tuple(values for values, _ in split), freeze(local))

    @property
    def sizes(self) -> tuple[int, ...]:
        """(N,) number of occurring local pairs k_i."""
        return tuple(len(a) for a in self.active)

    @property
    def total(self) -> int:
        """Number of elements of the product, `prod k_i`."""
        return math.prod(self.sizes)

    @property
    def full(self) -> bool:
        """True when the chain's pairs are the whole product of the occurring local pairs."""
        return len(self.local) == self.total

    @cached_property
    def index(self) -> Ints:
        """(n,) joint index of each row within the product."""
        return freeze(ravel(self.local, self.sizes))

    @cached_property
    def law(self) -> Floats:
        """(n, prod k_i) law of the next joint pair, row by row of the chain; `TooLarge` where it would not fit."""
        if self.chain.ends is not None:
            rule = "a law of the next joint pair has no outcome for the end"
            raise Unsupported("chain", "tasks that end", rule, "Ask for `.agentwise`, which has.")
        guard_entries(len(self.local) * self.total)
        law = np.zeros((len(self.local), self.total))
        law[:, self.index] = self.chain.step.toarray()
        return freeze(law)

    def widen(self, found: Decomposition) -> Decomposition:
        """A decomposition on the occurring local pairs, extended to all local pairs by copying a row."""
        if self.sizes == self.chain.sizes:
            return found
        factors = []
        for factor, values, source in zip(found.factors, self.active, self._sources(), strict=True):
            wide = np.zeros((len(factor), len(source), len(source)))
            wide[:, :, values] = factor[:, source]
            factors.append(freeze(wide))
        return replace(found, factors=tuple(factors))

    def _sources(self) -> list[Ints]:
        """Per agent (m_i,) where its local pairs are sent, by their number within `active`."""
        return [
            np.where(np.isin(np.arange(m), a), np.searchsorted(a, np.arange(m)), 0)
            for a, m in zip(self.active, self.chain.sizes, strict=True)
        ]

    def widen_columns(self, coefficients: Floats) -> Floats:
        """(n, prod k_i) coefficients on next pairs to (n, prod m_i): a next pair that never occurs counts as the
        one to which its local pairs are sent, the first occurring ones."""
        if self.sizes == self.chain.sizes:
            return coefficients
        out = coefficients.reshape(len(coefficients), *self.sizes)
        for i, source in enumerate(self._sources()):
            out = np.take(out, source, axis=i + 1)
        return out.reshape(len(coefficients), -1)
