"""Policy evaluation: `Q = (I - gamma P_c)^{-1} r` through the smaller system on joint states.

`P_c` is the part of `P^pi` in which the task goes on: all of it where nothing ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .._check import Floats
from .chain import Chain
from .linear import LinearSystem


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
        carried = chain.kernel.carried
        matrix = None if carried is None else sp.csr_array(discount * (chain.choice @ carried))
        self.system = LinearSystem(
            len(chain.states),
            lambda v: discount * np.asarray(chain.choice @ chain.kernel.carry(v)),
            matrix,
            discount,
        )

    def __call__(self, r: Floats) -> Evaluation:
        """Values of rewards on pairs, (n,) or (n, k): `V = Pi r + gamma Pi K_c V`, `Q = r + gamma K_c V`."""
        solution = self.system.solve(np.asarray(self.chain.choice @ r))
        v = solution.x
        q = r + self.discount * self.chain.kernel.carry(v)
        return Evaluation(q, v, solution.method, solution.residual)
