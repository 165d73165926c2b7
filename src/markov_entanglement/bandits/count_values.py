"""Additive values of a count chain beside the truth: local TD (Eq. 2) and corrected by the linear response.

Any additive `D(n, z) = sum over arms of q(x_i) + const` has an exact error `Q - D` on the pairs. Two tables:

- *local TD*: `q = Q_i = (I - gamma P_i)^{-1} r_i`, the limit of Meta Algorithm 1. Its error grows like
  sqrt(N).
- *corrected by state*: `q(s, a) = h(s)`, `h = (I - gamma K)^{-1} rho` the slope of the true values in the
  counts on the affine piece of the mean-field fixed point.
- *corrected by pair*: one step ahead of it, `q(s, a) = r(s, a) + gamma sum_s' P_a(s, s') h(s')`: the error is
  that of the former after one more expectation, a quarter of it for the circulant bandit.

The error of both vanishes as N grows when the piece attracts and its marginal class has one cell. If that
class has several cells, served counts are random given the counts and the service of a cell is curved
in the counts: the error by state then grows like sqrt(N), the one by pair stays bounded.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, freeze
from ..errors import Unsupported
from ..model.policy import IndexPolicy
from ..values.approximation import Approximation
from ..values.decomposition import ValueDecomposition
from .attractor import fixed_points, local_derivative
from .fluid import fluid

if TYPE_CHECKING:
    from .count_chain import CountChain


def corrected_values(local_td: ValueDecomposition, table: str) -> Approximation:
    """See `CountChain.corrected_values`."""
    _check.choice("table", table, ("state", "pair"))
    chain: CountChain = local_td.chain  # type: ignore[assignment]
    bandit, gamma = chain.bandit, local_td.discount
    h = _slope(chain, gamma)
    if table == "state":
        q = np.repeat(h[:, :, None], 2, axis=2)
    else:
        q = bandit.rewards + gamma * np.einsum("tasu,tu->tsa", bandit.kernels, h)
    given = {f.name: getattr(local_td, f.name) for f in fields(Approximation)}
    given |= {
        "kind": f"corrected by {table}",
        "tables": tuple(freeze(t) for t in q.reshape(bandit.n_types, -1)),
        "shifts": (0.0,) * bandit.n_types,
    }
    # E_mu D = E_mu Q fixes the constant.
    free = Approximation(**given)
    return replace(free, offset=float(chain.occupancy @ free.residual))


def _slope(chain: CountChain, discount: float) -> Floats:
    """(T, S) `h = (I - gamma K)^{-1} rho` at the mean-field fixed point nearest to the mean counts."""
    policy = chain.policy
    if not isinstance(policy, IndexPolicy):  # the uniform policy is one class of all cells
        policy = IndexPolicy(np.zeros(chain.bandit.n_states))
    f = fluid(chain.bandit, policy)
    mean = chain.count_occupancy @ chain.states.counts / chain.bandit.n_agents
    points = [point.points[0].ravel() for point in fixed_points(f)[0]]
    m = min(points, key=lambda m: float(np.abs(m - mean).sum()))
    c = f.marginal_at(m)[-1]
    members, a, weights = f.members(c), f.activation(m), np.zeros(len(m))
    weights[members] = m[members] / max(float(m[members].sum()), tol.PIECE)
    k = local_derivative(f, m, c)
    radius = float(np.abs(np.linalg.eigvals(k)).max())
    if discount * radius >= 1.0:
        raise Unsupported(
            "discount", f"gamma {discount} with spectral radius {radius:.6g} of the affine piece",
            "their product must be below 1 for the linear response to be discounted away",
            "Use local_values, or a smaller discount.",
        )  # fmt: skip
    return f.response(a, weights, discount).reshape(f.shape)
