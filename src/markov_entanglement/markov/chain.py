"""The chain on joint pairs: `P^pi(x, x') = K(x, s') pi(a'|s')`, kept factored.

`x = (s, a)` runs over the reachable pairs with `pi(a|s) > 0`, never over the full product. All linear
algebra happens on joint states, which are fewer: with `T = Pi K` the state chain, `nu = nu T` gives
`mu(s, a) = nu(s) pi(a|s)`, and `V = Pi r + gamma T V` gives `Q = r + gamma K V`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, freeze, sums_by
from ..errors import TooLarge
from ..laws.rows import Rows
from ..model.bound_policy import BoundPolicy
from ..model.system import System
from .classes import Classes, classes
from .evaluate import Evaluator
from .kernel import Kernel
from .stationary import Stationary, stationary

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, eq=False, repr=False)
class Chain:
    """The induced chain of a system under a policy.

    Attributes
    ----------
    system : where it comes from.
    policy : the bound policy.
    states : (S, N) local states of each joint state of the chain.
    pairs : (n, N) local pair `x_i = s_i A_i + a_i` of each agent, for each joint pair of the chain.
    pair_state : (n,) row of `states` that each pair belongs to, ascending.
    choice : (S, n) sparse, `pi(a|s)`.
    kernel : `K`, from pairs to next joint states.
    initial : (S,) initial law over `states`, or None.
    """

    system: System
    policy: BoundPolicy
    states: Ints
    pairs: Ints
    pair_state: Ints
    choice: sp.csr_array
    kernel: Kernel
    initial: Floats | None

    def __repr__(self) -> str:
        return f"Chain({self.n_agents} agents, {len(self.states)} joint states, {self.n_pairs} joint pairs)"

    @property
    def n_agents(self) -> int:
        """Number of agents N."""
        return self.system.n_agents

    @property
    def n_pairs(self) -> int:
        """Number of joint pairs n."""
        return len(self.pairs)

    @property
    def sizes(self) -> tuple[int, ...]:
        """(N,) local pair counts m_i."""
        return self.system.spaces.pair_sizes

    @property
    def discount(self) -> float | None:
        """The system's discount gamma."""
        return self.system.discount

    def apply(self, f: Floats) -> Floats:
        """`P^pi f` of a function on pairs, (n,) or (n, k)."""
        return self.kernel.apply(np.asarray(self.choice @ f))

    @property
    def step(self) -> sp.csr_array:
        """(n, n) explicit transition matrix `K Pi`; only for chains whose kernel is explicit and small."""
        matrix = self.kernel.matrix
        if matrix is None:
            matrix = sp.csr_array(self.kernel.apply(np.eye(len(self.states))))
        return sp.csr_array(matrix @ self.choice)

    @cached_property
    def graph(self) -> sp.csr_array | None:
        """(S, S) explicit state chain `T = Pi K`, or None when the kernel is not explicit."""
        matrix = self.kernel.matrix
        return None if matrix is None else sp.csr_array(self.choice @ matrix)

    def ahead(self, marked: Bools) -> Bools:
        """(S,) states that one step may reach from the marked ones."""
        return self.kernel.support_left(marked[self.pair_state].astype(np.float64)) > 0

    def behind(self, marked: Bools) -> Bools:
        """(S,) states from which one step may lead to a marked one."""
        hits = self.kernel.support(marked.astype(np.float64)) > 0
        return np.bincount(self.pair_state[hits], minlength=len(marked)) > 0

    def mean(self, f: Floats) -> Floats:
        """`Pi f`: mean over the pairs of each state, (n,) or (n, k) to (S,) or (S, k)."""
        return np.asarray(self.choice @ f)

    @cached_property
    def classes(self) -> Classes:
        """Recurrent classes of the state chain."""
        return classes(self.ahead, self.behind, len(self.states), self.graph)

    @cached_property
    def stationary(self) -> Stationary:
        """Stationary law over joint states, with its method and evidence.

        Raises
        ------
        SeveralRecurrentClasses : more than one recurrent class and no initial law.
        """
        if self.initial is None:
            remedy = "Give `initial` (a joint state or a law), or a policy that connects them."
            self.classes.require_one("system under this policy", "joint states", self.describe, remedy)
        return stationary(
            lambda f: self.mean(self.kernel.apply(f)),
            lambda nu: self.kernel.apply_left(nu[self.pair_state] * self.choice.data),
            self.classes,
            self.graph,
            self.initial,
        )

    def describe(self, state: int) -> str:
        """A joint state by its labels."""
        labels = self.system.labels
        return ", ".join(labels.state(i, int(s)) for i, s in enumerate(self.states[state]))

    @cached_property
    def evaluators(self) -> Cache[float, Evaluator]:
        """Per discount, what evaluates rewards; the matrix of a discount is factored once."""
        return Cache(lambda g: Evaluator(self.mean, self.kernel.apply, len(self.states), self.graph, g))

    @cached_property
    def occupancy(self) -> Floats:
        """(n,) stationary law mu of the joint pairs; 0 on transient pairs.

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

    def agent_choice(self, i: int) -> Floats:
        """(S, m_i) law of agent i's local pair given the joint state: 1{s_i} pi(a_i|s)."""
        flat = self.pair_state * self.sizes[i] + self.pairs[:, i]
        size = len(self.states) * self.sizes[i]
        return sums_by(flat, self.choice.data, size).reshape(-1, self.sizes[i])

    def next_law(self, i: int) -> Floats:
        """(n, m_i) law of agent i's next pair, `p_i(t|x) = sum_{x': x'_i = t} P^pi(x, x')`.

        Raises
        ------
        TooLarge : the array would not fit.
        """
        return self._next_laws[i]

    @cached_property
    def _next_laws(self) -> Cache[int, Floats]:
        def make(i: int) -> Floats:
            size = max(self.n_pairs, len(self.states)) * self.sizes[i] * 8
            if size > tol.BYTES // 4:
                raise TooLarge(
                    f"next-pair laws of {self.system.labels.agent(i)}",
                    f"{self.n_pairs} pairs x {self.sizes[i]} local pairs, {size / 1024**3:.3g} GiB",
                    f"{tol.BYTES / 4 / 1024**3:.2g} GiB",
                    "Start from one joint state (`initial`), or coarsen the local states.",
                )
            return freeze(self.kernel.apply(self.agent_choice(i)))

        return Cache(make)

    def rows(self, i: int) -> Rows:
        """The narrow waist for agent i: key x_i, weight mu(x), law p_i(.|x), on all pairs of the chain.

        >>> import markov_entanglement as me
        >>> chain = me.gallery.build("appendix-e").chain()
        >>> chain.rows(0).law.shape
        (4, 2)
        """
        return self._rows[i]

    @cached_property
    def _rows(self) -> Cache[int, Rows]:
        return Cache(lambda i: Rows(self.pairs[:, i], self.occupancy, self.next_law(i), self.sizes[i]))

    def local_transition(self, i: int) -> Floats:
        """Marginalised local transition P_i (Eq. 2), (m_i, m_i); NaN rows where never visited."""
        return self.rows(i).mean_law


class Cache(dict[K, T]):
    """Results by key, each made when first asked for."""

    def __init__(self, make: Callable[[K], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> T:
        self[key] = value = self._make(key)
        return value
