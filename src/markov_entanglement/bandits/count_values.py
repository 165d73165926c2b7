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

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, freeze
from ..errors import Unsupported
from ..model.policy import IndexPolicy
from ..values.approximation import NORMS, Approximation, norm_on
from ..values.decomposition import local_values
from .attractor import fixed_points, local_derivative
from .fluid import fluid

if TYPE_CHECKING:
    from .count_chain import CountChain


@dataclass(frozen=True, eq=False, repr=False)
class CountValues(Approximation):
    """An additive approximation of the true values of a count chain, with its exact error.

    Attributes
    ----------
    chain : the count chain.
    discount : gamma.
    kind : "local TD", "corrected by state" or "corrected by pair".
    local_q : (T, 2S) table of each arm type, at `2 s + a`; NaN where never visited (local TD).
    constant : added once to the sum over arms.
    joint_q : (J,) true values.
    """

    chain: CountChain
    discount: float
    kind: str
    local_q: Floats
    constant: float
    joint_q: Floats

    @cached_property
    def sum_q(self) -> Floats:
        """(J,) `D = constant + sum_i q(x_i)`; NaN on transient pairs with a never visited local pair."""
        table = self.local_q.reshape(-1, 2)
        known = np.nan_to_num(table)
        parts = (self.chain.states.passive, self.chain.states.served)
        out = np.full(self.chain.n_pairs, self.constant)
        for a, part in enumerate(parts):
            out += part @ known[:, a]
            out[part[:, np.isnan(table[:, a])].any(axis=1)] = np.nan
        return freeze(out)

    def certificate(
        self, steps: Sequence[int] = (1, 2, 4, 8, 16)
    ) -> dict[str, dict[int, tuple[float, float]]]:
        """Two-sided bounds of the error from k steps of the chain, without the true values.

        With `b_k = ||T^k D - D||`, `T D = r + gamma P D`,
        `b_k/(1 + gamma^k) <= ||Q - D|| <= b_k/(1 - gamma^k)` in every norm that P does not increase: "mu",
        "l2" and "sup" on the recurrent pairs.

        Parameters
        ----------
        steps : numbers of steps k >= 1.

        Returns
        -------
        norm -> k -> (low, high), reward units.

        Raises
        ------
        InvalidInput : a k below 1.
        """
        wanted = sorted({_check.integer("steps", k, low=1) for k in steps})
        out: dict[str, dict[int, tuple[float, float]]] = {norm: {} for norm in NORMS}
        chain, start = self.chain, np.nan_to_num(self.sum_q)
        ahead = start
        for k in range(1, max(wanted, default=0) + 1):
            ahead = chain.rewards + self.discount * chain.operator.expect(chain.serve(ahead))
            if k in wanted:
                for norm in NORMS:
                    b = norm_on(ahead - start, chain.occupancy, chain.recurrent, norm)
                    far = self.discount**k
                    out[norm][k] = (b / (1.0 + far), b / (1.0 - far))
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**self.errors(), "kind": self.kind, "estimator": "exact count chain"}

    def __repr__(self) -> str:
        return f"CountValues({self.kind}, error_mu={self.error():.6g}, unexplained={self.unexplained:.6g})"


def local_td_values(chain: CountChain, discount: float) -> CountValues:
    """See `CountChain.local_values`."""
    tables = []
    for t in range(chain.bandit.n_types):
        reward = chain.bandit.rewards[t].reshape(-1)
        tables.append(local_values(chain.local_transition(t), reward, discount))
    return CountValues(chain, discount, "local TD", freeze(np.array(tables)), 0.0, chain.joint_q(discount))


def corrected_values(chain: CountChain, discount: float, table: str) -> CountValues:
    """See `CountChain.corrected_values`."""
    _check.choice("table", table, ("state", "pair"))
    bandit = chain.bandit
    h = _slope(chain, discount)
    if table == "state":
        q = np.repeat(h[:, :, None], 2, axis=2)
    else:
        q = bandit.rewards + discount * np.einsum("tasu,tu->tsa", bandit.kernels, h)
    q = freeze(q.reshape(bandit.n_types, -1))
    kind = f"corrected by {table}"
    # E_mu D = E_mu Q = E_mu r / (1 - gamma) fixes the constant.
    free = CountValues(chain, discount, kind, q, 0.0, chain.joint_q(discount))
    mu = chain.occupancy
    constant = float(mu @ chain.rewards) / (1.0 - discount) - float(mu @ free.sum_q)
    return CountValues(chain, discount, kind, q, constant, free.joint_q)


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
