"""A policy as groups of agents see it: what the members do together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp
from scipy.special import gammaln

from .._check import Floats, Ints
from .bound_policy import BoundPolicy, BudgetIndex, Product
from .merged_spaces import MergedSpaces


class MergedPolicy(BoundPolicy):
    """A bound policy as its groups see it."""

    def __init__(self, base: BoundPolicy, spaces: MergedSpaces) -> None:
        super().__init__(spaces)
        self.base, self.merged, self.told = base, spaces, base.told
        self.own, self.costly = base.own, base.costly

    @property
    def lawful(self) -> bool:
        return self.base.lawful

    def programs(self, decisions: int) -> tuple[int, int]:
        return self.base.programs(decisions)

    def table(self, states: Ints) -> sp.csr_array:
        return self.base.table(self.merged.states_apart(states))

    def support(self, states: Ints) -> tuple[Ints, Ints, Floats]:
        row, actions, p = self.base.support(self.merged.states_apart(states))
        return row, self.merged.actions_together(actions), p

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        return self.merged.actions_together(self.base.sample(self.merged.states_apart(states), rng))

    def marginals(self, states: Ints) -> list[Floats]:
        apart = self.merged.states_apart(states)
        law = None
        if isinstance(self.base, Product):
            each = self.base.marginals(apart)
            law = _product(each)
        elif isinstance(self.base, BudgetIndex):
            law = _served(self.base, apart)
        if law is None:
            return super().marginals(states)
        return [law(g, self.merged.members(k)[1]) for k, g in enumerate(self.merged.groups)]


#: A group, and the actions (A, n) of its members -> the law (T, A) of these.
_GroupLaw = Callable[[tuple[int, ...], Ints], Floats]


def _product(each: Sequence[Floats]) -> _GroupLaw:
    """Of agents that draw their actions by themselves, from laws (T, A_i)."""
    return lambda group, actions: np.prod(
        [each[i][:, a] for i, a in zip(group, actions.T, strict=True)], axis=0
    )


def _served(policy: BudgetIndex, states: Ints) -> _GroupLaw:
    """Of agents served by priority: of the T in the marginal class any L are, so t of them that are members share
    `C(T - t, L - k) / C(T, L)` for each way in which k of these are served."""
    sure, tied, left = policy.split(states)
    among = tied.sum(axis=1)

    def law(group: tuple[int, ...], actions: Ints) -> Floats:
        mine, must = tied[:, list(group)], sure[:, list(group)]
        fits = ((mine[:, None] == 1) | (actions == must[:, None])).all(axis=2)
        k = mine @ actions.T
        rest, part = (among - mine.sum(axis=1))[:, None], left[:, None] - k
        fits &= (part >= 0) & (part <= rest)
        part = np.clip(part, 0, rest)
        chance = gammaln(rest + 1) - gammaln(part + 1) - gammaln(rest - part + 1)
        chance -= (gammaln(among + 1) - gammaln(left + 1) - gammaln(among - left + 1))[:, None]
        out = np.where(fits, np.exp(chance), 0.0)
        return np.asarray(out / out.sum(axis=1, keepdims=True))

    return law
