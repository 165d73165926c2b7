"""The states of a system as an uncontrolled one, for V: one action, local pairs are local states (App. B)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import scipy.sparse as sp

from .._check import Floats, Ints
from ..model.rewards import Rewards
from ..model.spaces import Labels, Spaces
from ..model.system import System
from .kernel import Kernel, RestartKernel, SparseKernel


@dataclass(frozen=True, eq=False)
class StateSystem(System):
    """Local states of a system, without its actions and rewards."""

    spaces: Spaces
    rewards: Rewards | None
    discount: float | None
    labels: Labels

    @classmethod
    def of(cls, system: System) -> Self:
        """The states of `system`."""
        spaces = Spaces(system.spaces.n_states, (1,) * system.n_agents)
        return cls(spaces, None, system.discount, Labels(system.labels.names, system.labels.states, ()))

    @property
    def acts(self) -> bool:
        return False

    def feasible(self, states: Ints) -> sp.csr_array:
        return sp.csr_array(np.ones((len(states), 1)))


@dataclass(frozen=True, eq=False)
class StateKernel(Kernel):
    """`T = Pi K`, applied as its two factors."""

    choice: sp.csr_array
    kernel: Kernel

    @property
    def shape(self) -> tuple[int, int]:
        return (int(self.choice.shape[0]), int(self.choice.shape[0]))

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
