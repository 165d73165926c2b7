"""A chain on pairs in two factors, `P = K Pi`: whatever has them answers every exact question.

`K` goes from pairs to next states, `Pi` averages over the pairs of a state. States and pairs are joint states and
joint pairs of named agents (`markov.chain.Chain`), or counts and pairs of counts of arms that are alike
(`bandits.count_chain.CountChain`). All solves happen on states, which are fewer: with `T = Pi K`, `nu = nu T` gives
`mu(s, a) = nu(s) pi(a|s)`, and `V = Pi r + gamma Pi K_c V` gives `Q = r + gamma K_c V`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp

from .._check import Bools, Floats, Ints, freeze
from ..laws.rows import Rows
from ..laws.source import Kind, Space
from .classes import Classes, classes
from .evaluate import Evaluation, Evaluator
from .kernel import Kernel
from .stationary import Stationary, stationary

K = TypeVar("K")
T = TypeVar("T")


class Cache(dict[K, T]):
    """Results by key, each made when first asked for."""

    def __init__(self, make: Callable[[K], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> T:
        self[key] = value = self._make(key)
        return value


class FactoredSpace(Space):
    """`P = K Pi`; subclasses give the factors and the rows.

    Attributes
    ----------
    pair_state : (n,) state that each pair belongs to, ascending.
    choice : (S, n) sparse `Pi`.
    kernel : `K`, from pairs to next states.
    initial : (S,) initial law over states, or None.
    """

    pair_state: Ints
    choice: sp.csr_array
    kernel: Kernel
    initial: Floats | None

    #: What is refused where the long run is not unique, its states, and what would help.
    words = ("system under this policy", "joint states")
    remedy = "Give `initial` (a joint state or a law), or a policy that connects them."
    #: State from which the search for classes starts.
    middle = 0

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
    def sizes(self) -> tuple[int, ...]:
        """(U,) local pair counts m_u."""
        return tuple(unit.size for unit in self.units)

    @property
    def ends(self) -> Floats | None:
        """(n,) chance that the task ends at each pair; None where nothing ends."""
        return self.kernel.ends

    def apply(self, f: Floats) -> Floats:
        """`P f` of a function on pairs, (n,) or (n, k)."""
        return self.kernel.apply(np.asarray(self.choice @ f))

    def carry(self, f: Floats) -> Floats:
        """`P_c f`, the part of `P f` in which the task goes on; the same as `apply` where nothing ends."""
        return self.kernel.carry(np.asarray(self.choice @ f))

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
        return self.kernel.support_left(marked[self.pair_state].astype(np.float64)) > 0

    def behind(self, marked: Bools) -> Bools:
        """(S,) states from which one step may lead to a marked one."""
        hits = self.kernel.support(marked.astype(np.float64)) > 0
        return np.bincount(self.pair_state[hits], minlength=len(marked)) > 0

    def average(self, f: Floats) -> Floats:
        """`Pi f`: mean over the pairs of each state, (n,) or (n, k) to (S,) or (S, k)."""
        return np.asarray(self.choice @ f)

    @cached_property
    def classes(self) -> Classes:
        """Recurrent classes of the state chain."""
        return classes(self.ahead, self.behind, self.choice.shape[0], self.graph, start=self.middle)

    @cached_property
    def stationary(self) -> Stationary:
        """Stationary law over states, with its method and evidence.

        Raises
        ------
        SeveralRecurrentClasses : more than one recurrent class and no initial law.
        """
        if self.initial is None:
            self.classes.require_one(*self.words, self.describe, self.remedy)
        return stationary(
            lambda f: self.average(self.kernel.apply(f)),
            lambda nu: self.kernel.apply_left(nu[self.pair_state] * self.choice.data),
            self.classes,
            self.graph,
            self.initial,
        )

    @cached_property
    def occupancy(self) -> Floats:
        """(n,) stationary law mu of the pairs; 0 on transient pairs.

        Raises
        ------
        SeveralRecurrentClasses : more than one recurrent class and no initial law.
        """
        return freeze(self.stationary.law[self.pair_state] * self.choice.data)

    @cached_property
    def recurrent(self) -> Bools:
        """(n,) True on recurrent pairs (those of positive occupancy when there is an initial law)."""
        mask = self.classes.recurrent
        if self.initial is not None:
            mask = mask & (self.stationary.law > 0)
        return freeze(mask[self.pair_state])

    @cached_property
    def _rows(self) -> Cache[tuple[int, Kind], Rows]:
        return Cache(lambda key: self.make_rows(*key))

    def rows(self, u: int = 0, kind: Kind = "pair") -> Rows:
        """The narrow waist for unit u: for "pair" key x_i, weight mu(x), law p_i(.|x), on all pairs of the chain.

        >>> import markov_entanglement as me
        >>> chain = me.gallery.build("appendix-e").chain()
        >>> chain.rows(0).law.shape
        (4, 2)
        """
        return self._rows[u, kind]

    def local_transition(self, u: int = 0) -> Floats:
        """Marginalised local transition P_i (Eq. 2), (m_u, m_u); NaN rows where never visited."""
        return self.rows(u).mean_law[:, : self.sizes[u]]

    @cached_property
    def evaluators(self) -> Cache[float, Evaluator]:
        """Per discount, what evaluates rewards; the matrix of a discount is factored once."""
        carried = self.kernel.carried
        graph = self.graph if self.ends is None or carried is None else sp.csr_array(self.choice @ carried)
        return Cache(lambda g: Evaluator(self.average, self.kernel.carry, self.choice.shape[0], graph, g))

    def solve(self, r: Floats, gamma: float) -> Evaluation:
        """Values of rewards on pairs, (n,) or (n, k)."""
        return self.evaluators[gamma](r)

    def solvers(self) -> dict[str, Any]:
        """How the stationary law was found."""
        s = self.stationary
        return {"stationary": {"method": s.method, "residual": s.residual, "error_bound": s.error_bound}}
