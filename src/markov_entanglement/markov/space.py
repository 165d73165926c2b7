"""A chain on pairs in two factors, `P = K Pi`: whatever has them answers every exact question.

`K` goes from pairs to next states, `Pi` averages over the pairs of a state. States and pairs are joint states and
joint pairs of named agents (`markov.chain.Chain`), or counts and pairs of counts of arms that are alike
(`bandits.count_chain.CountChain`). All solves happen on states, which are fewer: with `T = Pi K`, `nu = nu T` gives
`mu(s, a) = nu(s) pi(a|s)`, and `V = Pi r + gamma Pi K_c V` gives `Q = r + gamma K_c V`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, freeze
from ..errors import SeveralRecurrentClasses
from ..laws.rows import Rows
from ..laws.source import Kind, Space
from .classes import Classes, classes
from .kernel import Kernel
from .linear import LinearSystem
from .stationary import Stationary, stationary


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Joint values with their evidence."""

    q: Floats  # (n,) or (n, k) on the pairs of the chain
    v: Floats  # (S,) or (S, k) on its states, `V = Pi Q`
    method: str  # solver used
    residual: float  # relative residual of the linear system
    error_bound: float  # `||V - V*||_inf` at most, rounding included


class FactoredSpace(Space):
    """`P = K Pi`; subclasses give the factors and the rows."""

    pair_state: Ints  # (n,) state that each pair belongs to, ascending
    choice: sp.csr_array  # (S, n) `Pi`
    kernel: Kernel  # `K`, from pairs to next states
    initial: Floats | None  # (S,) initial law over states

    #: What is refused where the long run is not unique, its states, and what would help.
    words = ("system under this policy", "joint states")
    remedy = "Give `initial` (a joint state or a law), or a policy that connects them."
    middle = 0  # state from which the search for classes starts
    meeting = (
        0.0  # chance with which two copies of the chain, wherever they are, can be in one state after a step
    )

    @abstractmethod
    def make_rows(self, u: int, kind: Kind) -> Rows:
        """Rows of unit u, made anew."""

    @abstractmethod
    def describe(self, state: int) -> str:
        """A state for a message."""

    @property
    def n_pairs(self) -> int:
        """Number of pairs n."""
        return len(self.pair_state)

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return int(self.choice.shape[0])

    @property
    def sizes(self) -> tuple[int, ...]:
        """(U,) local pair counts m_u."""
        return tuple(unit.size for unit in self.units)

    @property
    def ends(self) -> Floats | None:
        return self.kernel.ends

    def apply(self, f: Floats) -> Floats:
        return self.kernel.apply(self.average(f))

    def carry(self, f: Floats) -> Floats:
        return self.kernel.carry(self.average(f))

    @property
    def step(self) -> sp.csr_array:
        """(n, n) explicit transition matrix `K Pi`; only for small chains."""
        matrix = self.kernel.matrix
        if matrix is None:
            matrix = sp.csr_array(self.kernel.apply(np.eye(self.choice.shape[0])))
        return sp.csr_array(matrix @ self.choice)

    @cached_property
    def graph(self) -> sp.csr_array | None:
        """(S, S) explicit state chain `T = Pi K`, or None where the kernel is not explicit."""
        matrix = self.kernel.matrix
        return None if matrix is None else sp.csr_array(self.choice @ matrix)

    def ahead(self, marked: Bools) -> Bools:
        """(S,) states that one step may reach from the marked ones, however improbable."""
        return self.kernel.support_left(self.on_pairs(marked).astype(np.float64)) > 0

    def behind(self, marked: Bools) -> Bools:
        """(S,) states from which one step may lead to a marked one."""
        hits = self.kernel.support(marked.astype(np.float64)) > 0
        return np.bincount(self.pair_state[hits], minlength=len(marked)) > 0

    def average(self, f: Floats) -> Floats:
        return np.asarray(self.choice @ f)

    def weigh(self, nu: Floats) -> Floats:
        """(n,) weights of pairs from weights of states, `nu(s) pi(a|s)`."""
        return np.asarray(nu[self.pair_state] * self.choice.data)

    def on_pairs(self, marked: Bools) -> Bools:
        """(n,) the mark of each pair's state."""
        return marked[self.pair_state]

    @cached_property
    def classes(self) -> Classes:
        """Recurrent classes of the state chain."""
        return classes(self.ahead, self.behind, self.n_states, self.graph, start=self.middle)

    @cached_property
    def stationary(self) -> Stationary:
        """Stationary law over states, with its method and evidence.

        Raises
        ------
        SeveralRecurrentClasses : more than one recurrent class and no initial law.
        """
        count = self.classes.count
        if self.initial is None and count > 1:
            (what, states), rule = self.words, "the stationary law needs one recurrent class"
            members = [np.flatnonzero(self.classes.label == k) for k in range(min(count, 4))]
            shown = [f"one of {len(m)} {states} around ({self.describe(int(m[0]))})" for m in members]
            got = f"{count} recurrent classes: {'; '.join(shown)}{', ...' if count > 4 else ''}"
            raise SeveralRecurrentClasses(what, got, rule, self.remedy)
        return stationary(
            lambda f: self.average(self.kernel.apply(f)),
            lambda nu: self.kernel.apply_left(self.weigh(nu)),
            self.classes,
            self.graph,
            self.initial,
            self.meeting,
        )

    @cached_property
    def occupancy(self) -> Floats:
        """(n,) stationary law mu of the pairs; 0 on transient pairs. See `stationary`."""
        return freeze(self.weigh(self.stationary.law))

    @cached_property
    def recurrent(self) -> Bools:
        """(n,) True on recurrent pairs (those of positive occupancy when there is an initial law)."""
        mask = self.classes.recurrent
        if self.initial is not None:
            mask = mask & (self.stationary.law > 0)
        return freeze(self.on_pairs(mask))

    @cached_property
    def _rows(self) -> Callable[[int, Kind], Rows]:
        return cache(self.make_rows)

    def rows(self, u: int = 0, kind: Kind = "pair") -> Rows:
        """The narrow waist for unit u: for "pair" key x_i, weight mu(x), law p_i(.|x), on all pairs of the chain.

        >>> import markov_entanglement as me
        >>> chain = me.gallery.build("appendix-e").chain()
        >>> chain.rows(0).law.shape
        (4, 2)
        """
        return self._rows(u, kind)

    def local_transition(self, u: int = 0) -> Floats:
        """Marginalised local transition P_i (Eq. 2), (m_u, m_u); NaN rows where never visited."""
        return self.mean_law(u)[:, : self.sizes[u]]

    @cached_property
    def _systems(self) -> Callable[[float], LinearSystem]:
        """Per discount, `I - gamma Pi K_c` on states; factored once."""
        carried, size = self.kernel.carried, self.n_states
        graph = self.graph if self.ends is None or carried is None else sp.csr_array(self.choice @ carried)

        @cache
        def system(gamma: float) -> LinearSystem:
            matrix = None if graph is None else sp.csr_array(gamma * graph)
            return LinearSystem(size, lambda v: gamma * self.average(self.kernel.carry(v)), matrix, gamma)

        return system

    def solve(self, r: Floats, gamma: float, goal: float = tol.SOLVE) -> Evaluation:
        """Values of rewards on pairs, (n,) or (n, k): `V = Pi r + gamma Pi K_c V`, `Q = r + gamma K_c V`."""
        b = self.average(r)
        found = self._systems(gamma).solve(b, goal=goal)
        scale, most = (float(np.abs(x).max(initial=0.0)) for x in (b, found.x))
        missed = (found.residual * scale + tol.ROUNDING * (scale + 2.0 * most)) / (1.0 - gamma)
        q = r + gamma * self.kernel.carry(found.x)
        return Evaluation(q, found.x, found.method, found.residual, missed)

    def solvers(self) -> dict[str, Any]:
        """How the stationary law was found."""
        s = self.stationary
        return {"stationary": {"method": s.method, "residual": s.residual, "error_bound": s.error_bound}}
