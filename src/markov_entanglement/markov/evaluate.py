"""Policy evaluation: `Q = (I - gamma K Pi)^{-1} r` through the smaller system on states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats
from .linear import LinearSystem


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Joint values with their evidence.

    Attributes
    ----------
    q : (n,) or (n, k) on the pairs of the chain.
    v : (S,) or (S, k) on its states, `V = Pi Q`.
    method : solver used.
    residual : relative residual of the linear system.
    error_bound : `||V - V*||_inf` at most, rounding included.
    """

    q: Floats
    v: Floats
    method: str
    residual: float
    error_bound: float


class Evaluator:
    """Evaluates any number of rewards on one chain; a factorisation is made once and kept.

    Parameters
    ----------
    mean : `Pi`, pairs (n,) or (n, k) to states (S,) or (S, k).
    carry : `K`, or its continuing part, states to pairs.
    n_states : S.
    graph : (S, S) explicit `Pi K`, or None.
    discount : gamma.
    """

    def __init__(
        self,
        mean: Callable[[Floats], Floats],
        carry: Callable[[Floats], Floats],
        n_states: int,
        graph: sp.csr_array | None,
        discount: float,
    ) -> None:
        self.mean, self.carry, self.discount = mean, carry, discount
        matrix = None if graph is None else sp.csr_array(discount * graph)
        self.system = LinearSystem(n_states, lambda v: discount * mean(carry(v)), matrix, discount)

    def __call__(self, r: Floats) -> Evaluation:
        """Values of rewards on pairs, (n,) or (n, k): `V = Pi r + gamma Pi K V`, `Q = r + gamma K V`."""
        b = self.mean(r)
        solution = self.system.solve(b)
        v = solution.x
        scale = float(np.abs(b).max(initial=0.0))
        missed = solution.residual * scale + tol.ROUNDING * (scale + 2.0 * float(np.abs(v).max(initial=0.0)))
        q = r + self.discount * self.carry(v)
        return Evaluation(q, v, solution.method, solution.residual, missed / (1.0 - self.discount))
