"""LP-priority: the advantage of activity at the budget's shadow price.

The average-reward relaxation keeps the budget in expectation only. With `y[t,s,a]` the fraction of all arms
that are of type `t`, in state `s` and take action `a`:

    max  sum r y   s.t.  sum_a y[t,s',a] = sum_{s,a} y[t,s,a] P_t(s'|s,a),  sum_{s,a} y[t,s,a] = N_t/N,
                         sum y[t,s,1] = M/N,  y >= 0.

Its value bounds every policy's reward per arm and step from above. With the price `lam` of service (the
dual of the budget) and `h_t` the relative values of one arm that pays `lam` for service,

    priority(t,s) = r(s,1) - r(s,0) - lam + (P_1(s,.) - P_0(s,.)) h_t,

the difference of the reduced costs of activity and passivity: >= 0 where the optimum serves, <= 0 where it
does not, 0 where it does both. No indexability is needed (N. Gast, B. Gaujal and C. Yan, *Linear
program-based policies for restless bandits*, 2023). Where the price is not unique the one nearest 0 is
taken; states that the optimum never visits get the optimal action's advantage there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog

from .. import _tolerance as tol
from .._check import Floats, freeze
from .._json import plain
from ..errors import NoConvergence, Unsupported
from ..model.bandit import RestlessBandit
from ..model.policy import Ranking


@dataclass(frozen=True, eq=False)
class LPPriority(Ranking):
    """Priorities from the average-reward linear program.

    Attributes
    ----------
    index : (T, S), or (S,) for one type; reward per step; higher is served first.
    price : shadow price `lam` of one more service per step, units of reward.
    price_interval : all optimal prices; one number twice when the price is unique.
    value : optimum of the relaxation, reward per arm and step: an upper bound for every policy.
    occupancy : (T, S, 2) optimal fractions `y` of all arms; they sum to 1.
    """

    index: Floats
    price: float
    price_interval: tuple[float, float]
    value: float
    occupancy: Floats

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values; NaN and infinities are None."""
        return {
            "index": plain(self.index),
            "price": self.price,
            "price_interval": plain(self.price_interval),
            "value": self.value,
            "occupancy": self.occupancy.tolist(),
        }


def lp_priority(bandit: RestlessBandit) -> LPPriority:
    """Priorities of the average-reward LP relaxation; they need no indexability.

    Parameters
    ----------
    bandit : `RestlessBandit`; its discount plays no part. Arm types share the budget.

    Raises
    ------
    Unsupported : not a bandit; or, at the optimal price, some state of an arm reaches the best average
        reward under no policy, so that it has no relative value.

    >>> import markov_entanglement as me
    >>> p0 = [[.5, 0, 0, .5], [.5, .5, 0, 0], [0, .5, .5, 0], [0, 0, .5, .5]]
    >>> p1 = [list(row) for row in zip(*p0)]
    >>> b = me.RestlessBandit([p0, p1], [-1, 0, 0, 1], n_arms=30, budget=6, discount=0.5)
    >>> lp = me.lp_priority(b)
    >>> lp.index.round(6).tolist(), round(lp.price, 6), round(lp.value, 6)
    ([-2.0, -1.0, 0.0, -1.0], 1.0, 0.2)
    """
    if not isinstance(bandit, RestlessBandit):
        raise Unsupported("bandit", type(bandit).__name__, "LP-priority is for restless bandits",
                          "Build a me.RestlessBandit.")  # fmt: skip
    matrix, rhs, cost = _program(bandit)
    primal = linprog(-cost, A_eq=matrix, b_eq=rhs, method="highs")
    if primal.status != 0:
        raise NoConvergence(f"the linear program stopped: {primal.message}", primal.x, np.inf)
    y = np.maximum(primal.x, 0.0).reshape(bandit.n_types, bandit.n_states, 2)
    low, high = _prices(matrix, rhs, cost, float(-primal.fun), float(-primal.eqlin.marginals[-1]))
    price = min(max(0.0, low), high)
    index = np.array([_advantage(bandit, t, price, y[t]) for t in range(bandit.n_types)])
    scale = max(1.0, float(np.abs(index).max())) if index.size else 1.0
    index = _merge(index, tol.INDEX_TIE * scale)
    return LPPriority(
        freeze(index[0] if bandit.n_types == 1 else index), price, (low, high), float(-primal.fun), freeze(y)
    )


def _flow(kernel: Floats) -> sp.csr_array:
    """Balance rows (S, 2 S) of one arm over its pairs."""
    n = kernel.shape[-1]
    return sp.csr_array(np.repeat(np.eye(n), 2, axis=1) - kernel.transpose(1, 0, 2).reshape(2 * n, n).T)


def _alone(kernel: Floats, pay: Floats) -> Floats:
    """Optimal occupancy (S, 2) of one arm without a budget."""
    n = len(pay)
    matrix = sp.csr_array(sp.vstack([_flow(kernel), np.ones((1, 2 * n))]))
    r = linprog(-pay.reshape(-1), A_eq=matrix, b_eq=np.append(np.zeros(n), 1.0), method="highs")
    return np.asarray(np.maximum(r.x, 0.0).reshape(n, 2))


def _program(bandit: RestlessBandit) -> tuple[sp.csr_array, Floats, Floats]:
    """Balance, mass and budget rows over `y` in the order (t, s, a)."""
    types, n = bandit.n_types, bandit.n_states
    flow = [_flow(k) for k in bandit.kernels]
    mass = sp.kron(sp.eye_array(types), np.ones((1, 2 * n)))
    budget = sp.csr_array(np.tile([0.0, 1.0], types * n)[None])
    matrix = sp.csr_array(sp.vstack([sp.block_diag(flow), mass, budget]))
    total = bandit.n_agents
    rhs = np.concatenate([np.zeros(types * n), bandit.n_arms / total, [bandit.budget / total]])
    return matrix, rhs, bandit.rewards.reshape(-1)


def _prices(
    matrix: sp.csr_array, rhs: Floats, cost: Floats, value: float, dual: float
) -> tuple[float, float]:
    """The interval of optimal prices: extremes of the budget's dual on the optimal face.

    `dual` is the solver's own; it is exact when the price is unique, where the face has only its tolerance.
    """
    slack = tol.SOLVE * max(1.0, abs(value))
    upper = sp.csr_array(sp.vstack([-matrix.T, sp.csr_array(rhs[None])]))
    limit = np.concatenate([-cost, [value + slack]])
    ends = []
    for sign in (1.0, -1.0):
        aim = np.zeros(len(rhs))
        aim[-1] = sign
        r = linprog(aim, A_ub=upper, b_ub=limit, bounds=(None, None), method="highs")
        ends.append(float(r.x[-1]) if r.status == 0 else -sign * np.inf)
    low, high = ends
    if high - low <= tol.PRICE * max(1.0, abs(dual)):
        low = high = dual
    return low, high


def _advantage(bandit: RestlessBandit, t: int, price: float, y: Floats) -> Floats:
    """Advantage of activity for one arm of type t that pays `price`: policy iteration from the LP's policy."""
    kernel, n = bandit.kernels[t], bandit.n_states
    pay = bandit.rewards[t] - np.array([0.0, price])
    if bandit.n_arms[t] == 0:
        y = _alone(kernel, pay)
    act = _start(kernel, y, t)
    rows = np.arange(n)
    scale = max(1.0, float(np.abs(pay).max()))
    q = pay
    for _ in range(10 * n + 100):
        m = np.eye(n) - kernel[act, rows]
        m[:, 0] += 1.0
        h = np.linalg.solve(m, pay[rows, act])
        q = pay + np.stack([kernel[0] @ h, kernel[1] @ h], axis=1)
        gain = q[rows, 1 - act] - q[rows, act]
        if gain.max() <= tol.PIECE * scale:
            break
        act = np.where(gain > tol.PIECE * scale, 1 - act, act)
    return np.asarray(q[:, 1] - q[:, 0])


def _start(kernel: Floats, y: Floats, t: int) -> Any:
    """Actions (S,) of the LP's optimum in its heaviest class; all other states move towards that class.

    Such a policy has one closed class. So have its improvements: a new closed class would contain an improved
    state and thus earn more than the optimum.
    """
    used = y > tol.PIECE * y.sum()
    seen = np.zeros(len(y), dtype=bool)
    seen[int(y.sum(axis=1).argmax())] = True
    while True:
        step = seen | (kernel[used.T & seen] > 0).any(axis=0)
        if (step == seen).all():
            break
        seen = step
    act = (y[:, 1] > y[:, 0]).astype(np.int64)
    while not seen.all():
        reach = (kernel[:, :, seen] > 0).any(axis=2) & ~seen
        new = reach.any(axis=0)
        if not new.any():
            raise Unsupported(
                f"kernels[{t}]", f"states {np.flatnonzero(~seen).tolist()} that never reach the optimum",
                "LP-priority needs relative values, so every state must reach the optimal recurrent class",
                "Add a small restart probability, or use me.whittle_index(criterion='discounted').",
            )  # fmt: skip
        act[new] = np.where(reach[0, new], 0, 1)
        seen = seen | new
    return act


def _merge(index: Floats, width: float) -> Floats:
    """Values closer than `width` to one another become one, so that equal priorities stay equal; 0 is exact."""
    flat = np.where(np.abs(index) <= width, 0.0, index).ravel()
    order = np.argsort(flat, kind="stable")
    ranked = flat[order]
    group = np.concatenate([[0], np.cumsum(np.diff(ranked) > width)])
    out = np.empty_like(flat)
    out[order] = ranked[np.searchsorted(group, group)]
    return out.reshape(index.shape)
