"""Policy evaluation: `Q = (I - gamma P^pi)^{-1} r` through the smaller system on joint states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from .._check import Floats
from .classes import state_graph
from .linear import LinearSystem

if TYPE_CHECKING:
    from .space import FactoredSpace as Chain


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Joint values with their evidence.

    Attributes
    ----------
    q : (n,) or (n, k) on the pairs of the chain.
    v : (S,) or (S, k) on its joint states, `V = Pi Q`.
    method : solver used.
    residual : relative residual of the linear system; the error of V is at most
        `residual * ||Pi r||_inf / (1 - gamma)`.
    """

    q: Floats
    v: Floats
    method: str
    residual: float


class Evaluator:
    """Evaluates any number of rewards on one chain; a factorisation is made once and kept."""

    def __init__(self, chain: Chain, discount: float) -> None:
        self.chain, self.discount = chain, discount
        graph = state_graph(chain)
        matrix = None if graph is None else sp.csr_array(discount * graph)
        self.system = LinearSystem(
            chain.choice.shape[0],
            lambda v: discount * np.asarray(chain.choice @ chain.kernel.apply(v)),
            matrix,
            discount,
        )

    def __call__(self, r: Floats) -> Evaluation:
        """Values of rewards on pairs, (n,) or (n, k): `V = Pi r + gamma T V`, `Q = r + gamma K V`."""
        solution = self.system.solve(np.asarray(self.chain.choice @ r))
        v = solution.x
        q = r + self.discount * self.chain.kernel.apply(v)
        return Evaluation(q, v, solution.method, solution.residual)
