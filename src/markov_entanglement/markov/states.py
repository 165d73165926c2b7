"""The states of a chain as a chain of its own, for V: one action, local pairs are local states (App. B)."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._check import Floats, Ints
from ..laws.rows import Rows
from ..laws.source import Kind, Unit
from ..model.rewards import Rewards
from .kernel import Kernel, RestartKernel, SparseKernel
from .space import FactoredSpace


class WithStates(FactoredSpace):
    """A chain on pairs that can tell its states apart."""

    @property
    @abstractmethod
    def state_features(self) -> sp.csr_array:
        """(S, K) agents of each unit in each local state."""

    @abstractmethod
    def state_rows(self, u: int) -> Rows:
        """Rows (s_i, weight, law of s_i' given the state) of unit u."""

    def of_states(self) -> StateSpace:
        return StateSpace(self)


@dataclass(frozen=True, eq=False, repr=False)
class StateSpace(FactoredSpace):
    """The chain on the states of `base`, a chain on pairs: `T(s, s')`; what has no docstring is as of the pairs."""

    base: WithStates

    def __repr__(self) -> str:
        return f"StateSpace({self.base!r})"

    @property
    def units(self) -> tuple[Unit, ...]:
        """(U,) the same units, by local state."""
        sizes = zip(self.base.units, self.base.actions, strict=True)
        return tuple(Unit(u.name, u.size // a, u.multiplicity) for u, a in sizes)

    @property
    def actions(self) -> tuple[int, ...]:
        """(U,) one action each."""
        return (1,) * len(self.base.units)

    @property
    def pairs(self) -> Ints:
        """(S, N) local states, where agents have names."""
        return self.base.states  # type: ignore[attr-defined]

    @property
    def discount(self) -> float | None:
        return self.base.discount

    @property
    def estimator(self) -> str:  # type: ignore[override]
        return self.base.estimator

    @property
    def initial(self) -> Floats | None:  # type: ignore[override]
        return self.base.initial

    @property
    def start(self) -> Floats:
        return self.base.start

    def local_names(self, u: int) -> tuple[list[str], list[str]]:
        return self.base.local_names(u)[0], [""]

    def describe(self, state: int) -> str:
        return self.base.describe(state)

    def summary(self) -> dict[str, Any]:
        return self.base.summary()

    @property
    def pair_state(self) -> Ints:  # type: ignore[override]
        """(S,) each its own."""
        return np.arange(self.base.choice.shape[0])

    @cached_property
    def choice(self) -> sp.csr_array:
        """(S, S) identity."""
        return sp.csr_array(sp.eye_array(self.base.choice.shape[0], format="csr"))

    @cached_property
    def kernel(self) -> Kernel:  # type: ignore[override]
        """`T = Pi K`."""
        return state_kernel(self.base.choice, self.base.kernel)

    @property
    def features(self) -> sp.csr_array:
        """(S, K) agents of each unit in each local state."""
        return self.base.state_features

    def make_rows(self, u: int, kind: Kind) -> Rows:
        """See `WithStates.state_rows`; there is one action."""
        rows = self.base.state_rows(u)
        return replace(rows, law=np.ones((len(rows.key), 1)), ended=False) if kind == "policy" else rows

    def read_rewards(self, rewards: Any) -> Rewards:
        """What `state_rewards` makes of the rewards of the pairs."""
        return rewards

    def reward(self, rewards: Rewards) -> Floats:
        if rewards.local is None:
            return self.base.average(self.base.reward(rewards))
        return np.asarray(self.features @ np.concatenate(rewards.local))

    def of_states(self) -> StateSpace:
        return self


@dataclass(frozen=True, eq=False)
class StateKernel(Kernel):
    """`T = Pi K`, applied as its two factors."""

    choice: sp.csr_array
    kernel: Kernel

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.choice.shape[0]), self.kernel.shape[1]

    def apply(self, f: Floats) -> Floats:
        return np.asarray(self.choice @ self.kernel.apply(f))

    def apply_left(self, u: Floats) -> Floats:
        return self.kernel.apply_left(np.asarray(self.choice.T @ u))

    def support_left(self, u: Floats) -> Floats:
        return self.kernel.support_left(np.asarray(self.choice.T @ (u > 0)))

    def support(self, f: Floats) -> Floats:
        return np.asarray(self.choice @ (self.kernel.support(f) > 0))


def state_kernel(choice: sp.csr_array, kernel: Kernel) -> Kernel:
    """`T = Pi K`, explicit where `K` is."""
    if isinstance(kernel, RestartKernel):
        return replace(kernel, base=state_kernel(choice, kernel.base))
    if kernel.matrix is None:
        return StateKernel(choice, kernel)
    return SparseKernel(sp.csr_array(choice @ kernel.matrix))
