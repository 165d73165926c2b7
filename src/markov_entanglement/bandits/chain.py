"""A restless bandit under a policy: exact in counts where the count space is small, simulated beyond.

What `RestlessBandit.under(policy)` returns. Nothing is enumerated until a question needs it; the questions are
those of a joint chain, asked per arm type, since arms of one type are alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, Unsupported
from ..laws.rows import Rows
from ..measures.local_fit import fit_worst
from ..measures.spectral import SpectralMeasure, spectral_fit
from ..model.bandit import RestlessBandit
from .count_chain import CountChain, CountEntanglement, count_chain
from .count_space import number_of_counts, ranks_of
from .count_values import CountValues
from .estimate import EntanglementEstimate, estimate_entanglement
from .structure import ignores_states, require_one_class

#: What can be measured on a bandit: all of it exactly, "policy" by simulation too.
COUNT_DISTANCES = ("mu-atv", "atv", "policy", "spectral")


@dataclass(frozen=True, eq=False, repr=False)
class BanditChain:
    """The chain of a bandit under an index or uniform policy, per arm type.

    Attributes
    ----------
    bandit : the bandit.
    policy : its policy.

    >>> import markov_entanglement as me
    >>> bandit = me.gallery.build("circulant-bandit", n_arms=10).system
    >>> chain = bandit.under(me.IndexPolicy([1, 2, 3, 0]))
    >>> chain
    BanditChain(10 arms, 286 count states)
    """

    bandit: RestlessBandit
    policy: Any

    def __post_init__(self) -> None:
        ranks_of(self.bandit, self.policy)

    def __repr__(self) -> str:
        return f"BanditChain({self.bandit.n_agents} arms, {self.count_states:.6g} count states)"

    @property
    def n_agents(self) -> int:
        """Number of arms N."""
        return self.bandit.n_agents

    @property
    def discount(self) -> float:
        """gamma."""
        return self.bandit.discount

    @property
    def sizes(self) -> tuple[int, ...]:
        """(T,) local pair counts, 2 S for each arm type."""
        return (2 * self.bandit.n_states,) * self.bandit.n_types

    @property
    def count_states(self) -> int:
        """Number of count states, without enumerating them."""
        return number_of_counts([int(n) for n in self.bandit.n_arms], self.bandit.n_states)

    @property
    def small(self) -> bool:
        """True when questions are answered exactly by default."""
        return self.count_states <= tol.COUNT_EXACT

    @property
    def ignores_states(self) -> bool:
        """True when service depends on no local state, as under the uniform policy; then arms are not entangled."""
        return ignores_states(self.bandit, ranks_of(self.bandit, self.policy))

    def require_one_class(self) -> None:
        """Refuse a bandit whose arms split into several closed classes.

        Raises
        ------
        SeveralRecurrentClasses : names the arm type and the classes.
        """
        require_one_class(self.bandit, self.policy)

    @cached_property
    def exact(self) -> CountChain:
        """The exact count chain.

        Raises
        ------
        TooLarge : it would not fit; the message has the size.
        """
        return count_chain(self.bandit, self.policy)

    @property
    def occupancy(self) -> Floats:
        """(J,) stationary law of the pairs (counts, served counts)."""
        return self.exact.occupancy

    @property
    def recurrent(self) -> Bools:
        """(J,) True on recurrent pairs."""
        return self.exact.recurrent

    @property
    def pairs(self) -> Ints:
        """(J, T, S, 2) passive and active arms in each local state."""
        return np.stack([self.exact.counts - self.exact.served, self.exact.served], axis=-1)

    def rows(self, t: int = 0) -> Rows:
        """The narrow waist for an arm of type t (Eq. 7)."""
        return self.exact.rows(t)

    def local_transition(self, t: int = 0) -> Floats:
        """P_i of Eq. 2 for an arm of type t, (2S, 2S); NaN rows where never visited."""
        return self.exact.local_transition(t)

    def measure(
        self, distance: str, *, method: str = "auto", support: str = "recurrent", rng: Any = None
    ) -> CountEntanglement | SpectralMeasure | EntanglementEstimate:
        """See `me.entanglement`: exact by the count chain, or simulated ("policy" only).

        Raises
        ------
        Unsupported : a distance that counts or simulation do not show.
        SeveralRecurrentClasses : the long run depends on the start.
        TooLarge : the count chain would not fit.
        """
        self.require_one_class()
        if distance not in COUNT_DISTANCES:
            raise Unsupported("distance", f"{distance!r} on a bandit", "counts do not show joint laws",
                              f"Use one of {', '.join(COUNT_DISTANCES)}.")  # fmt: skip
        if method == "simulate" or (method == "auto" and not self.small and distance == "policy"):
            if distance != "policy":
                raise Unsupported("distance", f"{distance!r} with method 'simulate'",
                                  "simulation gives Prop. 7.2", "Use 'policy', or method='exact'.")  # fmt: skip
            return estimate_entanglement(self.bandit, self.policy, rng=0 if rng is None else rng)
        if distance == "policy":
            return self.exact.policy_entanglement
        if distance == "mu-atv":
            return self.exact.mu_atv
        if distance == "spectral":
            fits = tuple(spectral_fit(self.rows(t)) for t in range(self.bandit.n_types))
            return SpectralMeasure(fits, tuple(int(n) for n in self.bandit.n_arms))
        return self._worst(support)

    def _worst(self, support: str) -> CountEntanglement:
        fits = []
        for t in range(self.bandit.n_types):
            rows = self.rows(t)
            fits.append(fit_worst(rows.where(rows.weight > 0) if support == "recurrent" else rows))
        arms = self.bandit.n_arms
        values = np.where(arms > 0, [f.value for f in fits], np.nan)
        return CountEntanglement("atv", values, arms, tuple(fits))

    def decompose(self, rewards: Any, discount: float | None) -> CountValues:
        """See `me.value_decomposition`: local TD values beside the truth, exact.

        Raises
        ------
        InvalidInput : rewards given beside those of the bandit.
        SeveralRecurrentClasses : the long run depends on the start.
        TooLarge : the count chain would not fit; `me.estimate_error` is the way on.
        """
        if rewards is not None:
            raise InvalidInput("rewards", "rewards beside a bandit", "a bandit has its own",
                               "Make a bandit with these rewards.")  # fmt: skip
        self.require_one_class()
        return self.exact.local_values(discount)
