"""The chain on joint pairs: `P^pi(x, x') = K(x, s') pi(a'|s')`, kept factored.

`x = (s, a)` runs over the reachable pairs with `pi(a|s) > 0`, never over the full product. All linear
algebra happens on joint states, which are fewer: with `T = Pi K` the state chain, `nu = nu T` gives
`mu(s, a) = nu(s) pi(a|s)`, and `V = Pi r + gamma T V` gives `Q = r + gamma K V`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, freeze, sums_by
from ..errors import TooLarge
from ..laws.rows import Rows
from ..model.bound_policy import BoundPolicy
from ..model.system import System
from .classes import Classes, recurrent_classes
from .kernel import Kernel
from .stationary import Stationary, stationary_law

K = TypeVar("K")
T = TypeVar("T")
Kind = Literal["pair", "kernel", "policy"]


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

    def carry(self, f: Floats) -> Floats:
        """`P_c f`, the part of `P f` in which the task goes on; the same as `apply` where nothing ends."""
        return self.kernel.carry(np.asarray(self.choice @ f))

    @property
    def ends(self) -> Floats | None:
        """(n,) chance that the task ends at each pair, or None where nothing ends."""
        return self.kernel.ends

    @property
    def absorbed(self) -> str | None:
        """What to declare when every run stops for good in one joint state though others are live; else None."""
        label, labels = self.classes.label, self.system.labels
        stuck, live = np.flatnonzero(label >= 0), label < 0
        if self.ends is not None or len(stuck) > self.classes.count or not live.any():
            return None
        first = live if self.initial is None or not self.initial[live].any() else live & (self.initial > 0)
        shown, more = self.states[stuck[:4]].tolist(), ", ..." if len(stuck) > 4 else ""
        named = " or ".join("(" + ", ".join(labels.state(i, s) for i, s in enumerate(x)) + ")" for x in shown)
        return (
            f"Every run stops for good in {named}{more}, so the long run says nothing about the other {live.sum()} "
            f"joint states. If tasks end there, declare it: terminal={[tuple(x) for x in shown]}{more}, restart="
            f"{tuple(self.states[first.argmax()].tolist())} (or wherever the next one starts)."
        )

    @property
    def step(self) -> sp.csr_array:
        """(n, n) explicit transition matrix `K Pi`; only for chains whose kernel is explicit and small."""
        matrix = self.kernel.matrix
        if matrix is None:
            matrix = sp.csr_array(self.kernel.apply(np.eye(len(self.states))))
        return sp.csr_array(matrix @ self.choice)

    @cached_property
    def classes(self) -> Classes:
        """Recurrent classes of the state chain."""
        return recurrent_classes(self)

    @cached_property
    def stationary(self) -> Stationary:
        """Stationary law over joint states, with its method and residual."""
        return stationary_law(self)

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

        Where tasks end (n, m_i + 1): the part that goes on, and in the last column "ended".

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
            law = self.kernel.carry(self.agent_choice(i))
            return freeze(law if self.ends is None else np.concatenate([law, self.ends[:, None]], axis=1))

        return Cache(make)

    def rows(self, i: int, kind: Kind = "pair") -> Rows:
        """The narrow waist for agent i: key, weight mu, law; where tasks end the last outcome is "ended".

        Parameters
        ----------
        kind : "pair" (key x_i, law `p_i(.|x)` of the next pair, Eq. 7); or its two parts, "kernel" (key x_i, law of the
            next local state given x) and "policy" (key s_i, law `pi(a_i|s)`, Prop. 7.2).

        >>> import markov_entanglement as me
        >>> chain = me.gallery.build("appendix-e").chain()
        >>> chain.rows(0).law.shape, chain.rows(0, "policy").law.shape
        ((4, 2), (4, 1))
        """
        return self._rows[i, kind]

    @cached_property
    def _rows(self) -> Cache[tuple[int, Kind], Rows]:
        return Cache(lambda key: self._make_rows(*key))

    def _make_rows(self, i: int, kind: Kind) -> Rows:
        spaces, m = self.system.spaces, self.sizes[i]
        if kind == "policy":
            given = self.agent_choice(i).reshape(len(self.states), -1, spaces.n_actions[i]).sum(axis=1)
            return Rows(self.states[:, i], self.stationary.law, given, spaces.n_states[i])
        law = self.next_law(i)
        if kind == "kernel":
            states = law[:, :m].reshape(len(law), -1, spaces.n_actions[i]).sum(axis=2)
            law = np.concatenate([states, law[:, m:]], axis=1)
        return Rows(self.pairs[:, i], self.occupancy, law, m)

    def local_transition(self, i: int) -> Floats:
        """Marginalised local transition P_i (Eq. 2), the part that goes on, (m_i, m_i); NaN where never visited."""
        return self.rows(i).mean_law[:, : self.sizes[i]]


class Cache(dict[K, T]):
    """Results by key, each made when first asked for."""

    def __init__(self, make: Callable[[K], T]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> T:
        self[key] = value = self._make(key)
        return value
