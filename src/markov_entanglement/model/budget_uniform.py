"""Uniform policies of weakly coupled systems: all joint actions alike, or all with `sum_i a_i == budget` (or at most).

The second is the law of independent actions with weights `exp(tilt a)` given their sum, for every tilt. With the tilt
whose mean sum is the budget no probability that matters underflows, and nothing grows with the joint actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints
from ..errors import TooLarge
from .bound_policy import Mask, Product, Uniform, invert
from .spaces import AT_SCALE, Spaces


class FreeUniform(Uniform, Product):
    """Every agent uniform, on its own."""

    def __init__(self, spaces: Spaces, feasible: Mask) -> None:
        sizes = list(zip(spaces.n_states, spaces.n_actions, strict=True))
        alike = {(s, a): np.full((s, a), 1.0 / a) for s, a in sizes}
        Product.__init__(self, spaces, tuple(alike[size] for size in sizes))
        self.feasible = feasible


class BudgetUniform(Uniform):
    """`listed`: a list of the joint actions would fit, so one uniform number decides; `at_most`: nobody's action, last,
    takes what is left."""

    own = True

    def __init__(
        self, spaces: Spaces, feasible: Mask, budget: int, listed: bool, at_most: bool = False
    ) -> None:
        super().__init__(spaces, feasible)
        self.budget, self.listed = budget, listed
        self.sizes = (*spaces.n_actions, budget + 1) if at_most else spaces.n_actions

    @property
    def service(self) -> tuple[list[Ints], int] | None:
        if set(self.sizes) != {2} or len(self.sizes) > self.spaces.n_agents:
            return None
        return [np.zeros(k, dtype=np.int64) for k in self.spaces.n_states], self.budget

    def marginals(self, states: Ints) -> list[Floats]:
        given = {k: np.tile(self._marginal(k), (len(states), 1)) for k in set(self.spaces.n_actions)}
        return [given[k] for k in self.spaces.n_actions]

    def _marginal(self, k: int) -> Floats:
        """(k,) law of one agent's action: agents with as many actions are exchangeable."""
        n, m = len(self.sizes), self.budget
        if set(self.sizes) == {2}:
            return np.array([1.0 - m / n, m / n])
        others = list(self.sizes)
        others.remove(k)
        rest = self._sums(others)[0]
        weight = np.array([p * rest[m - a] if a <= m else 0.0 for a, p in enumerate(self._laws[k])])
        return np.asarray(weight / weight.sum())

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        t, n = len(states), len(self.sizes)
        out = np.zeros((t, n), dtype=np.int64)
        if not self.listed and set(self.sizes) == {2}:
            np.put_along_axis(out, np.argsort(rng.random((t, n)), axis=1)[:, : self.budget], 1, axis=1)
            return out[:, : self.spaces.n_agents]
        u = rng.random((1 if self.listed else n, t))
        one, left = u[0], np.full(t, self.budget)
        for i, k in enumerate(self.sizes):
            after = left[:, None] - np.arange(k)
            weight = np.where(after >= 0, self._laws[k] * self._ahead[i + 1][np.maximum(after, 0)], 0.0)
            out[:, i], one = invert(one if self.listed else u[i], weight)
            left -= out[:, i]
        return out[:, : self.spaces.n_agents]

    @cached_property
    def _laws(self) -> dict[int, Floats]:
        """Number of actions k -> (k,) tilted law."""
        sizes, count = np.unique(self.sizes, return_counts=True)
        low, high = -700.0, 700.0
        for _ in range(80):
            tilt = (low + high) / 2
            weights = [np.exp(tilt * (np.arange(k) - (k - 1) * (tilt > 0))) for k in sizes]
            laws = [w / w.sum() for w in weights]
            mean = sum(c * float(p @ np.arange(len(p))) for c, p in zip(count, laws, strict=True))
            low, high = (tilt, high) if mean < self.budget else (low, tilt)
        return {len(p): p for p in laws}

    @cached_property
    def _ahead(self) -> Floats:
        return self._sums(self.sizes)

    def _sums(self, sizes: Sequence[int]) -> Floats:
        """(n + 1, budget + 1): under the tilted laws, the chance that agents i, i + 1, ... sum to b."""
        if (len(sizes) + 1) * (self.budget + 1) * 8 > tol.BYTES:
            raise TooLarge("sums of a budget", f"{len(sizes)} agents x a budget of {self.budget}",
                           f"{tol.BYTES / 8:.3g} entries", AT_SCALE)  # fmt: skip
        out = np.zeros((len(sizes) + 1, self.budget + 1))
        out[-1, 0] = 1.0
        for i in range(len(sizes) - 1, -1, -1):
            for a, p in enumerate(self._laws[sizes[i]][: self.budget + 1]):
                out[i, a:] += p * out[i + 1, : self.budget + 1 - a]
        return out
