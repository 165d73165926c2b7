"""Restricted supports: is there a separable transition on the full product that agrees with P on the chain's rows?

N <= 2 agents: agent-wise separability suffices, the missing rows are products of the local laws.
N >= 3: a linear program over completed transitions P' with every entry >= 0 (the linear equations alone are
weaker), in its elastic form

    t* = min sum_{x in chain, x'} |P'(x, x') - P(x, x')|   over separable P'.

Its dual is the certificate of `t* > 0`: coefficients c in [-1, 1] on the chain's rows and a bound b with
`<c, P'> >= b` for every separable P', while `<c, P> < b`. The bound is recomputed from the multipliers with an
allowance for their rounding, so it does not rest on the solver's tolerances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, freeze
from .._lp import Program
from ..errors import TooLarge
from ..report.result import Brief
from .decomposition import guard_entries
from .support import Support
from .witness import LocalLaws


@dataclass(frozen=True, eq=False, repr=False)
class Inequality(Brief):
    """A linear inequality that holds for every separable transition, or every mixture (Bell), and that P violates.

    Attributes
    ----------
    coefficients : (n, prod m_i) c in [-1, 1]: rows of `chain.pairs`, next pairs of the full product.
    bound : b, with `<c, P'> >= b` for every separable P' restricted to these rows; of a Bell inequality the largest
        `sum_x c(x, f(x))` over products f of deterministic local maps, `<c, P'> <= b` for every mixture P'.
    value : `<c, P>`.
    gap : `|value - b|` > 0, by how much it is violated; at most the L1 distance from P to these transitions.
    """

    coefficients: Floats
    bound: float
    value: float
    gap: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"bound": self.bound, "value": self.value, "gap": self.gap}

    def _brief(self) -> str:
        return f"{self.value:.6g} against {self.bound:.6g}"


def product_completion(support: Support, laws: list[LocalLaws]) -> Floats:
    """The chain's rows, and products of local laws everywhere else, (prod k_i, prod k_i)."""
    out: Floats = np.ones((1, 1))
    for active, local in zip(support.active, laws, strict=True):
        out = np.asarray(np.kron(out, local.law[np.ix_(active, active)]))
    out[support.index] = support.law
    return out


def complete(support: Support) -> tuple[Floats, Inequality] | None:
    """The nearest completion (rows of the chain left as they are) and the dual inequality; None when HiGHS fails,
    `TooLarge` where the program, or the inequality on the full product, would not fit."""
    total, law = support.total, support.law
    if total**2 > tol.COMPLETION_ENTRIES:
        what, limit = "completion of a restricted support", f"{tol.COMPLETION_ENTRIES:,}"
        raise TooLarge(what, f"{total**2:,} entries", limit, "Take fewer pairs.")
    guard_entries(len(law) * math.prod(support.chain.sizes), "inequality on the full product")
    matrix = _equations(support.sizes)
    rhs = np.zeros(matrix.shape[0])
    rhs[-1] = 1.0
    entry = np.arange(total * total).reshape(total, total)
    free = np.delete(entry, support.index, axis=0).ravel()
    known = entry[support.index]
    give = known[law > 0]
    columns = sp.csc_array(sp.hstack([matrix[:, free], matrix[:, known.ravel()], -matrix[:, give]]))
    cost = np.concatenate([np.zeros(len(free)), np.ones(known.size + len(give))])
    upper = np.concatenate([np.full(len(free) + known.size, np.inf), law[law > 0]])
    program = Program(rhs - matrix[:, known.ravel()] @ law.ravel())
    program.add(columns, cost, high=upper)
    solved = program.solve("ipm" if len(cost) > tol.SIMPLEX_COLUMNS else "simplex")
    if solved is None:
        return None
    x, y = solved
    completed = np.zeros((total, total))
    completed.ravel()[free] = np.maximum(x[: len(free)], 0.0)
    completed[support.index] = law
    price = (matrix.T @ y).reshape(total, total)  # for separable P', y[-1] = <price, P'> <= <c, P'> + slack
    c = np.clip(price[support.index], -1.0, 1.0)
    price[support.index] -= c
    slack = np.maximum(price.max(axis=1), 0.0).sum()
    bound, value = float(y[-1] - slack), float((c * law).sum())
    return completed, Inequality(freeze(support.widen_columns(c)), bound, value, bound - value)


def _equations(sizes: tuple[int, ...]) -> sp.csr_array:
    """No-signalling equations of every agent on the entries of P', and the sum of row 0 as the last row."""
    n, total = len(sizes), math.prod(sizes)
    entry = np.arange(total * total).reshape(*sizes, *sizes)
    plus, minus, width = [], [], []
    for i, m in enumerate(sizes):
        # one equation per (x_i >= 1, x_{-i}, x'_{-i}): the sum over x_i' at x_i minus that at x_i = 0
        moved = np.moveaxis(entry, (i, n + i), (0, -1))
        head = np.broadcast_to(moved[:1], (m - 1, *moved.shape[1:]))
        plus.append(moved[1:].reshape(-1, m))
        minus.append(head.reshape(-1, m))
        width.append(m)
    count = sum(len(p) for p in plus)
    row = np.repeat(np.arange(count), np.repeat(width, [len(p) for p in plus]))
    data = np.concatenate([np.ones(len(row)), -np.ones(len(row)), np.ones(total)])
    columns = np.concatenate([*(p.ravel() for p in plus), *(p.ravel() for p in minus), np.arange(total)])
    rows = np.concatenate([row, row, np.full(total, count)])
    return sp.csr_array((data, (rows, columns)), shape=(count + 1, total * total))
