"""Additive values of a count chain beside the truth: local TD (Eq. 2) and corrected by the linear response.

Any additive `D(n, z) = sum over arms of q(x_i) + const` has an exact error `Q - D` on the pairs. Two tables:

- *local TD*: `q = Q_i = (I - gamma P_i)^{-1} r_i`, the limit of Meta Algorithm 1. Its error grows like sqrt(N).
- *corrected*: `q(s, a) = h(s)`, `h = (I - gamma K)^{-1} rho` the slope of the true values in the counts on the
  affine piece of the mean-field fixed point. Its error vanishes as N grows when the piece attracts. If the
  marginal class of the fixed point has several cells, served counts are random given the counts and
  the table is one step ahead: `q(s, a) = r(s, a) + gamma sum_s' P_a(s, s') h(s')`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import Unsupported
from ..model.bandit import RestlessBandit
from ..values.decomposition import NORMS, local_values, norm_on

if TYPE_CHECKING:
    from .count_chain import CountChain


@dataclass(frozen=True, eq=False, repr=False)
class CountValues:
    """An additive approximation of the true values of a count chain, with its exact error.

    Attributes
    ----------
    chain : the count chain.
    discount : gamma.
    kind : "local TD" or "corrected".
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

    @cached_property
    def residual(self) -> Floats:
        """(J,) `err = Q - D`."""
        return freeze(self.joint_q - self.sum_q)

    def error(self, norm: str = "mu") -> float:
        """`||Q - D||`: "mu" (L1 of mu), "sup" (over the recurrent pairs) or "l2" (L2 of mu); reward units."""
        return norm_on(self.residual, self.chain.occupancy, self.chain.recurrent, norm)

    @property
    def relative_error(self) -> float:
        """`||err||_mu / ||Q||_mu` (the paper's); a constant added to the rewards changes it at will."""
        return self._ratio(self.error("mu"), norm_on(self.joint_q, self.chain.occupancy,
                                                     self.chain.recurrent, "mu"))  # fmt: skip

    @property
    def unexplained(self) -> float:
        """`||err - mean||_{2,mu} / ||Q - mean||_{2,mu}`: the share of the spread of Q that the sum misses."""
        return self._ratio(self._spread(self.residual), self._spread(self.joint_q))

    def _spread(self, f: Floats) -> float:
        mu = self.chain.occupancy
        at = mu > 0
        return float(np.sqrt(mu[at] @ (f[at] - float(mu[at] @ f[at])) ** 2))

    def _ratio(self, part: float, whole: float) -> float:
        noise = tol.SOLVE * float(np.abs(self.joint_q).max(initial=0.0))
        if part <= noise:
            return 0.0
        return part / whole if whole > noise else float("inf")

    def certificate(self, steps: Sequence[int] = (1, 2, 4, 8, 16)) -> dict[str, dict[int, tuple[float, float]]]:
        """Two-sided bounds of the error from k steps, without Q (spec: the k-step certificate).

        With `b_k = ||T^k D - D||`, `T D = r + gamma P D`: `b_k/(1 + gamma^k) <= ||Q - D|| <= b_k/(1 - gamma^k)`
        in every norm for which P is a contraction: "mu", "l2" and "sup" on the recurrent pairs.

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
        out: dict[str, Any] = {f"error_{k}": self.error(k) for k in NORMS}
        out |= {"relative_error": self.relative_error, "unexplained": self.unexplained}
        return {k: v if np.isfinite(v) else None for k, v in out.items()} | {
            "kind": self.kind, "estimator": "exact count chain"
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"CountValues({self.kind}, error_mu={self.error():.6g}, unexplained={self.unexplained:.6g})"


def local_td_values(chain: CountChain, discount: float) -> CountValues:
    """See `CountChain.local_values`."""
    tables = []
    for t in range(chain.bandit.n_types):
        reward = chain.bandit.rewards[t].reshape(-1)
        tables.append(local_values(chain.local_transition(t), reward, discount))
    return CountValues(chain, discount, "local TD", freeze(np.array(tables)), 0.0, chain.joint_q(discount))


def corrected_values(chain: CountChain, discount: float) -> CountValues:
    """See `CountChain.corrected_values`."""
    bandit = chain.bandit
    mean_counts = chain.count_occupancy @ chain.states.counts
    piece = AffinePiece.at_fixed_point(bandit, chain.ranks, mean_counts)
    h = piece.slope(discount).reshape(bandit.n_types, 1, bandit.n_states)
    if piece.cells == 1:
        table = np.repeat(h, 2, axis=1)
    else:
        table = bandit.rewards.transpose(0, 2, 1) + discount * np.einsum("tasu,tu->tas", bandit.kernels, h[:, 0])
    table = table.transpose(0, 2, 1).reshape(bandit.n_types, -1)
    # E_mu D = E_mu Q = E_mu r / (1 - gamma) fixes the constant.
    free = CountValues(chain, discount, "corrected", freeze(table), 0.0, chain.joint_q(discount))
    mu = chain.occupancy
    constant = float(mu @ chain.rewards) / (1.0 - discount) - float(mu @ free.sum_q)
    return CountValues(chain, discount, "corrected", free.local_q, constant, free.joint_q)


@dataclass(frozen=True, eq=False)
class AffinePiece:
    """The derivative of the mean-field step and reward in the counts, at one state.

    Attributes
    ----------
    step : (C, C) K, row y = effect of one more arm in cell y on the expected next counts.
    reward : (C,) rho, its effect on the reward.
    cells : number of cells of the marginal class.
    """

    step: Floats
    reward: Floats
    cells: int

    @classmethod
    def at_fixed_point(cls, bandit: RestlessBandit, ranks: Ints, start: Floats) -> AffinePiece:
        """The piece at the mean-field fixed point, by Newton's method from the counts `start` (C,).

        The step is affine on each piece when classes have one cell, so Newton's method ends once its
        piece does not change.
        """
        blocks = np.repeat(np.eye(bandit.n_types), bandit.n_states, axis=1)
        m = np.array(start)
        for _ in range(tol.NEWTON_STEPS):
            moved, piece = cls._linearise(bandit, ranks, m)
            gap = moved - m
            if np.abs(gap).max() <= tol.PIECE * bandit.n_agents:
                return piece
            system = np.vstack([piece.step.T - np.eye(len(m)), blocks])
            change = np.linalg.lstsq(system, np.concatenate([-gap, np.zeros(len(blocks))]))[0]
            m = np.maximum(m + change, 0.0)
            m *= (bandit.n_arms / np.maximum(blocks @ m, tol.PIECE)) @ blocks
        raise Unsupported(
            "policy", "no mean-field fixed point within the Newton steps", "corrected values need one",
            "Use local_values, or see me.mean_field for the attractor.",
        )  # fmt: skip

    @classmethod
    def _linearise(cls, bandit: RestlessBandit, ranks: Ints, m: Floats) -> tuple[Floats, AffinePiece]:
        """Mean-field step of counts `m` and the piece there."""
        below, top = 0.0, int(ranks.max())
        marginal = 0
        while marginal < top and below + m[ranks == marginal].sum() < bandit.budget:
            below += float(m[ranks == marginal].sum())
            marginal += 1
        inside, above = ranks == marginal, ranks < marginal
        size = float(m[inside].sum())
        share = np.where(inside, m / size if size > 0 else 1.0 / inside.sum(), 0.0)
        p = np.where(above, 1.0, 0.0)
        p[inside] = (bandit.budget - below) / size if size > 0 else 0.0
        passive, active = _blocks(bandit)
        r = bandit.rewards.reshape(-1, 2)
        # One more arm above or inside takes p of a service away from the marginal class.
        step = passive + p[:, None] * (active - passive) - np.outer(p, share @ (active - passive))
        reward = r[:, 0] + p * (r[:, 1] - r[:, 0]) - p * float(share @ (r[:, 1] - r[:, 0]))
        moved = m @ passive + (m * p) @ (active - passive)
        return moved, cls(step, reward, int(inside.sum()))

    def slope(self, discount: float) -> Floats:
        """(C,) `h = (I - gamma K)^{-1} rho`: slope of the true values in the counts.

        Raises
        ------
        Unsupported : gamma times the spectral radius of K is not below 1, so the series diverges.
        """
        radius = float(np.abs(np.linalg.eigvals(self.step)).max())
        if discount * radius >= 1.0:
            raise Unsupported(
                "discount", f"gamma {discount} with spectral radius {radius:.6g} of the affine piece",
                "their product must be below 1 for the linear response to be discounted away",
                "Use local_values, or a smaller discount.",
            )  # fmt: skip
        return np.linalg.solve(np.eye(len(self.step)) - discount * self.step, self.reward)


def _blocks(bandit: RestlessBandit) -> tuple[Floats, Floats]:
    """(C, C) block-diagonal P_0 and P_1 over all cells."""
    cells, n = bandit.n_types * bandit.n_states, bandit.n_states
    out = np.zeros((2, cells, cells))
    for t in range(bandit.n_types):
        out[:, t * n : (t + 1) * n, t * n : (t + 1) * n] = bandit.kernels[t]
    return out[0], out[1]
