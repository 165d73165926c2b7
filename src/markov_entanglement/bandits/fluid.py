"""The mean-field map of an index policy and its pieces (Section 7 of arXiv 2506.02385).

State `m` (T, S): fractions of all arms; the masses `sum_s m[t, s] = N_t/N` never change. Classes of equal priority are
served in order until `alpha = M/N` is used; the marginal class, where it runs out, is served in proportion:

    z_x = m_x * clip((alpha - sum of the classes above) / (mass of the class of x), 0, 1)
    phi(m) = (m - z) P_0 + z P_1

Where class `c` is marginal, with `a = 1` above it, `p` in it, 0 below, and weights `w` = shares of its
members, the derivative of `phi` is

    K = P_0 + diag(a) (Delta - 1 D),    Delta = P_1 - P_0,    D = sum_x w_x Delta_x.

A class of one member has `D = Delta_x`, whence `K_x = P_0(x,.)` whatever `p`: `phi` is affine there, equal to
`m K + alpha D`. For larger classes `K` lies in the hull of the matrices with `p` in {0, 1} and `w` a unit vector.
All differences of states sum to 0 within each type; `tangent` writes a map in an orthonormal basis of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg as sl
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._lp import Program
from ..laws.source import demand
from ..model.bandit import RestlessBandit
from .count_space import ranked


def derivative(passive: Floats, active: Floats, a: Floats, weights: Floats) -> Floats:
    """Slope in the counts of what arms of either action add, numbers (n,) or rows (n, k).

    `a` (n,): chances of service; `weights` (n,): shares of the marginal class. Of kernels it is `K`, of rewards `rho`.
    """
    gain = active - passive
    return np.asarray(passive + (a * (gain - weights @ gain).T).T)


def response(k: Floats, rewards: Floats, a: Floats, weights: Floats, gamma: float) -> Floats:
    """Slope `h = (I - gamma K)^{-1} rho` (n,) of the true values in the counts, for rewards (n, 2) where K holds."""
    rho = derivative(rewards[:, 0], rewards[:, 1], a, weights)
    return np.asarray(np.linalg.solve(np.eye(len(a)) - gamma * k, rho), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Fluid:
    """A bandit and its policy at infinitely many arms; flat local states `x = t*S + s`, n = T*S.

    Attributes
    ----------
    policy : the policy, made from its word.
    shape : (T, S); kernels : (T, 2, S, S); rewards : (n, 2).
    alpha : budget per arm M/N; mass : (T,) fractions N_t/N.
    rank : (n,) class of each local state, 0 served first; live : (n,) whether the type has arms.
    centre : (n,) a state: each type spread evenly.
    """

    policy: Any
    shape: tuple[int, int]
    kernels: Floats
    rewards: Floats
    alpha: float
    mass: Floats
    rank: Ints
    live: Any
    centre: Floats

    @property
    def dense(self) -> bool:
        """Whether matrices over all local states are formed."""
        return len(self.rank) <= tol.MEAN_FIELD_STATES

    @cached_property
    def p0(self) -> Floats:
        """(n, n) block-diagonal kernel of resting."""
        return np.asarray(sl.block_diag(*self.kernels[:, 0]))

    @cached_property
    def p1(self) -> Floats:
        """(n, n) block-diagonal kernel of being served."""
        return np.asarray(sl.block_diag(*self.kernels[:, 1]))

    @cached_property
    def basis(self) -> Floats:
        """(n, d) orthonormal vectors that sum to 0 within each live type."""
        types, states = self.shape
        zero_sum = sl.null_space(np.ones((1, states))) if states > 1 else np.zeros((1, 0))
        return np.asarray(np.kron(np.eye(types), zero_sum)[:, np.repeat(self.mass > 0, states - 1)])

    @property
    def n_classes(self) -> int:
        """Number of priority classes."""
        return int(self.rank.max()) + 1

    @cached_property
    def sizes(self) -> Ints:
        """(classes,) members whose type has arms."""
        return np.bincount(self.rank[self.live], minlength=self.n_classes).astype(np.int64)

    @cached_property
    def _order(self) -> tuple[Ints, Ints]:
        """Local states sorted by class, and where each class begins."""
        order = np.argsort(self.rank, kind="stable")
        return order, np.searchsorted(self.rank[order], np.arange(self.n_classes))

    def per_class(self, m: Floats) -> Floats:
        """Mass of each class (..., classes)."""
        order, begin = self._order
        return np.asarray(np.add.reduceat(m[..., order], begin, axis=-1))

    def members(self, c: int) -> Ints:
        """Flat local states of class c whose type has arms."""
        return np.flatnonzero((self.rank == c) & self.live)

    def activation(self, m: Floats) -> Floats:
        """Probability of service (..., n) in each local state, empty ones included."""
        total = self.per_class(m)
        left = self.alpha - (np.cumsum(total, axis=-1) - total)
        some = total > np.finfo(np.float64).tiny
        share = np.where(some, np.clip(left, 0.0, total) / np.where(some, total, 1.0), left > 0)
        return np.asarray(share[..., self.rank], dtype=np.float64)

    def step(self, m: Floats) -> Floats:
        """`phi(m)`, (..., n)."""
        z = m * self.activation(m)
        if not self.dense:  # one small product a type
            types, states = self.shape
            pairs = np.stack([m - z, z], axis=-2).reshape(-1, 2, types, states).transpose(2, 0, 1, 3)
            after = pairs.reshape(types, -1, 2 * states) @ self.kernels.reshape(types, 2 * states, states)
            return np.asarray(after.transpose(1, 0, 2).reshape(m.shape))
        pair = np.stack([m - z, z], axis=-2).reshape(*m.shape[:-1], 2, *self.shape)
        return np.asarray(np.einsum("...ats,tasu->...tu", pair, self.kernels).reshape(m.shape))

    def above(self, c: int) -> Floats:
        """1 where class c is outranked, (n,)."""
        return (self.rank < c).astype(np.float64)

    def derivative(self, a: Floats, weights: Floats) -> Floats:
        """`K` (n, n), see `derivative`."""
        return derivative(self.p0, self.p1, a, weights)

    def shares(self, m: Floats, c: int) -> Floats:
        """Shares (n,) of the members of class c in its mass; equal ones where it has none."""
        members, w = self.members(c), np.zeros(len(m))
        total = float(m[members].sum())
        w[members] = m[members] / total if total > 0 else 1.0 / len(members)
        return w

    def vertices(self, c: int) -> list[Floats]:
        """Matrices whose hull holds every derivative where class c is marginal."""
        out, members = [], self.members(c)
        for w in np.eye(len(self.rank))[members]:
            for p in (0.0, 1.0) if len(members) > 1 else (0.0,):
                a = self.above(c)
                a[members] = p
                out.append(self.derivative(a, w))
        return out

    def piece(self, c: int) -> tuple[Floats, Floats]:
        """`(A, b)` with `u' = A u + b`, `m = centre + basis u`, where class c of one member is marginal."""
        (x,) = self.members(c)
        (k,) = self.vertices(c)
        const = self.alpha * (self.p1[x] - self.p0[x])
        return self.tangent(k), self.basis.T @ (self.centre @ k + const - self.centre)

    def tangent(self, k: Floats) -> Floats:
        """`k` as a map of columns in the zero-sum basis, (d, d)."""
        return np.asarray(self.basis.T @ k.T @ self.basis)

    def lift(self, u: Floats) -> Floats:
        """The state (n,) with zero-sum coordinates u (d,)."""
        return np.asarray(self.centre + self.basis @ u)

    def marginal_at(self, m: Floats) -> list[int]:
        """Classes whose piece (with its boundary) holds m; none if m is not a state."""
        if m.min() < -tol.PIECE:
            return []
        total = self.per_class(m)
        left = self.alpha - (np.cumsum(total) - total)
        inside = (self.sizes > 0) & (left >= -tol.PIECE) & (left <= total + tol.PIECE)
        return [int(c) for c in np.flatnonzero(inside)]

    def bounds(self, c: int, m: Floats) -> tuple[Floats, Floats]:
        """`(G, g)`: class c stays marginal at m + basis e while `G e <= g`, (2, d) and (2,)."""
        up, both = self.above(c), self.above(c + 1)
        return np.array([up, -both]) @ self.basis, np.array([self.alpha - up @ m, both @ m - self.alpha])

    def reachable_classes(self) -> list[int]:
        """Classes that can be marginal after one step, from any state.

        One step leads to `{u P_0 + z P_1}`, `u, z >= 0`, `u + z` of the right masses, `sum z = alpha`; the
        set is convex and invariant, so pieces outside it never matter again.
        """
        n = len(self.rank)
        per_type = np.repeat(np.eye(self.shape[0]), self.shape[1], axis=1)
        equal = np.vstack([np.hstack([per_type, per_type]), np.repeat([[0.0, 1.0]], n, axis=1)])
        rhs = np.append(self.mass, self.alpha)
        image = np.vstack([self.p0, self.p1])
        found = []
        for c in np.flatnonzero(self.sizes).tolist():
            rows = np.vstack([image @ self.above(c), image @ self.above(c + 1), equal])
            program = Program(np.r_[-np.inf, self.alpha, rhs], np.r_[self.alpha, np.inf, rhs])
            program.add(sp.csc_array(rows), np.zeros(2 * n))
            if program.solve() is not None or not program.infeasible:
                found.append(c)
        return found


def fluid(bandit: RestlessBandit, policy: Any) -> Fluid:
    """The mean-field map of a bandit under a policy that `ranked` takes."""
    rule = "the mean field is that of a restless bandit"
    demand("bandit", bandit, RestlessBandit, rule, "Build a me.RestlessBandit.")
    types, states = bandit.n_types, bandit.n_states
    policy, ranks = ranked(bandit, policy)
    mass = bandit.n_arms / bandit.n_agents
    return Fluid(
        policy=policy,
        shape=(types, states),
        kernels=bandit.kernels,
        rewards=bandit.rewards.reshape(-1, 2),
        alpha=bandit.budget / bandit.n_agents,
        mass=mass,
        rank=ranks,
        live=np.repeat(mass > 0, states),
        centre=np.repeat(mass / states, states),
    )
