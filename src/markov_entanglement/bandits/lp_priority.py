"""LP-priority: the advantage of activity at the budget's shadow price.

The average-reward relaxation keeps the budget in expectation only. With `y[t,s,a]` the fraction of all arms
that are of type `t`, in state `s` and take action `a`:

    max  sum r y   s.t.  sum_a y[t,s',a] = sum_{s,a} y[t,s,a] P_t(s'|s,a),  sum_{s,a} y[t,s,a] = N_t/N,
                         sum y[t,s,1] = M/N,  y >= 0.

Its value bounds every policy's reward per arm and step from above. With the price `lam` of service (the dual of the
budget; where it is not unique the one nearest 0) and `h_t` the relative values of one arm that pays it for service,

    priority(t,s) = r(s,1) - r(s,0) - lam + (P_1(s,.) - P_0(s,.)) h_t,

the difference of the reduced costs of activity and passivity; no indexability is needed (N. Gast, B. Gaujal and C. Yan,
*Linear program-based policies for restless bandits*, 2023). States that the optimum never visits get the optimal
action's advantage there.

A constant added to the rewards of a type moves the value only, and the unit of the rewards is that of the answer:
every tolerance is relative to the spread of the rewards in use. Pairs that `whittle.forbidden` names are left out of
the program; what it says then holds for the rewards as given, because the reduced costs of these pairs are checked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import breadth_first_order

from .. import _tolerance as tol
from .._check import Bools, Floats, freeze, unit_of
from .._json import plain
from .._lp import minimum
from ..errors import NoConvergence, Unsupported
from ..model.bandit import RestlessBandit
from ..model.spaces import Labels
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..model.words import lacks
from ..report import tabulate, terms
from ..report.table import Columns, Table, table
from .whittle import Index, bandit_of, forbidden


@dataclass(frozen=True, eq=False, repr=False)
class LPPriority(Index):
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
    labels: Labels = field(default_factory=Labels)
    unit = ("LP priority", "reward units per step")

    @property
    def sentence(self) -> str:
        """Bound and price."""
        return (
            f"No policy earns more than {self.value:.6g} per arm and step; one more service per step is worth "
            f"{self.price:.6g}."
        )

    def _brief(self) -> str:
        return f"index of shape {self.index.shape}, price {self.price:.6g}, value {self.value:.6g}"

    def _tables(self) -> Iterator[Table]:
        unit = "reward units per step"
        yield from super()._tables()
        yield tabulate.numbers(
            [("value", self.value, unit, "upper bound for every policy, per arm"),
             ("price", self.price, unit, "of one more service", self.price_interval)]
        )  # fmt: skip
        columns: Columns = {"type": "type of arms", "state": "local state", "action": "rest or serve",
                   "occupancy": ("fraction of all arms at the optimum", terms.SHARE)}  # fmt: skip
        y = self.occupancy
        named = self.labels
        words = [named.action_names(t) or ("rest", "serve") for t in range(len(self.occupancy))]
        rows = [
            (named.kind(t), named.state(t, s), words[t][a], float(y[t, s, a]))
            for t, s, a in np.ndindex(*y.shape)
        ]
        yield table("occupancy", "Optimal fractions of arms", columns, rows, 3)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values; NaN and infinities are None."""
        return plain({name: getattr(self, name) for name in self.__dataclass_fields__ if name != "labels"})


def lp_priority(bandit: RestlessBandit | WeaklyCoupledMDP) -> LPPriority:
    """Priorities of the average-reward LP relaxation; they need no indexability.

    Parameters
    ----------
    bandit : `RestlessBandit`, or a `WeaklyCoupledMDP` with a budget, each agent an arm; the discount plays no part. Arm
        types share the budget.

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
    arms = bandit_of("bandit", bandit)
    if lack := lacks(bandit, "lp"):
        rule = f"the budget is a row of the linear program: it needs {lack}"
        raise Unsupported("bandit", repr(bandit), rule, "Give it a budget, or use me.whittle_index.")
    r = relaxed(arms)
    size = max(float(np.abs(r.relative[t]).max()) for t in np.flatnonzero(arms.n_arms))
    index = r.unit * _merge(r.advantage, size)
    value = r.unit * r.value + float(arms.n_arms / arms.n_agents @ r.middle)
    ends = r.unit * r.prices[0], r.unit * r.prices[1]
    return LPPriority(
        freeze(index[0] if arms.n_types == 1 else index),
        r.unit * r.price,
        ends,
        value,
        freeze(r.occupancy),
        arms.labels,
    )


class Relaxed(NamedTuple):
    """The optimum of the relaxation for rewards `(r - middle) / unit`, and what it says of single arms."""

    rewards: Floats  # (T, S, 2)
    unit: float
    middle: Floats  # (T,)
    value: float
    occupancy: Floats  # (T, S, 2)
    price: float
    prices: tuple[float, float]
    advantage: Floats  # (T, S) of activity at the price
    relative: Floats  # (T, S) relative values h at the price


def relaxed(arms: RestlessBandit) -> Relaxed:
    """Solve the relaxation; `Unsupported` where some state has no relative value."""
    never = forbidden(arms.rewards)
    usual = np.where(never, np.nan, arms.rewards)
    middle = 0.5 * (np.nanmax(usual, axis=(1, 2)) + np.nanmin(usual, axis=(1, 2)))
    unit = unit_of(np.nan_to_num(usual - middle[:, None, None])[arms.n_arms > 0])
    rewards = (arms.rewards - middle[:, None, None]) / unit
    cost, (matrix, rhs) = rewards.reshape(-1), _program(arms)
    x, dual = _optimum(matrix, rhs, cost, never.reshape(-1))
    value, y = float(cost @ x), x.reshape(rewards.shape)
    low, high = _prices(matrix, rhs, cost, value, dual)
    price = min(max(0.0, low), high)
    found = [_advantage(arms, t, rewards[t] - [0.0, price], y[t], never[t]) for t in range(arms.n_types)]
    advantage, relative = (np.array([f[k] for f in found]) for k in range(2))
    return Relaxed(rewards, unit, middle, value, y, price, (low, high), advantage, relative)


def _optimum(matrix: sp.csr_array, rhs: Floats, cost: Floats, never: Bools) -> tuple[Floats, float]:
    """Optimal x >= 0 of `max cost x`, `matrix x = rhs`, and the price of its last row; `never` is 0 if that is best."""
    for keep in (np.flatnonzero(~never), np.arange(len(cost))):
        solved = minimum(-cost[keep], matrix[:, keep], rhs)
        if solved is not None and (cost[never] + matrix[:, never].T @ solved[1] <= 0.0).all():
            break
    if solved is None:
        raise NoConvergence("the linear program of the relaxation stopped", None, np.inf)
    x = np.zeros(len(cost))
    x[keep] = np.maximum(solved[0], 0.0)
    return x, -float(solved[1][-1])


def _flow(kernel: Floats) -> sp.csr_array:
    """Balance rows (S, 2 S) of one arm over its pairs."""
    n = kernel.shape[-1]
    return sp.csr_array(np.repeat(np.eye(n), 2, axis=1) - kernel.transpose(1, 0, 2).reshape(2 * n, n).T)


def _program(bandit: RestlessBandit) -> tuple[sp.csr_array, Floats]:
    """Balance, mass and budget rows over `y` in the order (t, s, a)."""
    types, n = bandit.n_types, bandit.n_states
    flow = [_flow(k) for k in bandit.kernels]
    mass = sp.kron(sp.eye_array(types), np.ones((1, 2 * n)))
    budget = sp.csr_array(np.tile([0.0, 1.0], types * n)[None])
    matrix = sp.csr_array(sp.vstack([sp.block_diag(flow), mass, budget]))
    total = bandit.n_agents
    rhs = np.concatenate([np.zeros(types * n), bandit.n_arms / total, [bandit.budget / total]])
    return matrix, rhs


def _prices(
    matrix: sp.csr_array, rhs: Floats, cost: Floats, value: float, dual: float
) -> tuple[float, float]:
    """The interval of optimal prices: extremes of the budget's dual on the optimal face.

    `dual` is the solver's own; it is exact when the price is unique, where the face has only its tolerance.
    """
    slack = tol.SOLVE * max(1.0, abs(value))
    upper = sp.csr_array(sp.vstack([-matrix.T, sp.csr_array(rhs[None])]))
    limit = np.concatenate([-cost, [value + slack]])
    free, ends = (np.full(len(rhs), -np.inf), None), []
    for sign in (1.0, -1.0):
        aim = np.append(np.zeros(len(rhs) - 1), sign)
        r = minimum(aim, upper, np.full(len(limit), -np.inf), limit, free)
        ends.append(-sign * np.inf if r is None else float(r[0][-1]))
    low, high = ends
    if high - low <= tol.PRICE * max(1.0, abs(dual)):
        low = high = dual
    return low, high


def _advantage(bandit: RestlessBandit, t: int, pay: Floats, y: Floats, never: Bools) -> tuple[Floats, Floats]:
    """Advantage of activity (S,) for one arm of type t with rewards `pay` (S, 2), the price taken off, and its relative
    values (S,), by policy iteration from the program's policy.
    """
    kernel, n = bandit.kernels[t], bandit.n_states
    if bandit.n_arms[t] == 0:  # the best without a budget
        matrix = sp.csr_array(sp.vstack([_flow(kernel), np.ones((1, 2 * n))]))
        y = _optimum(matrix, np.append(np.zeros(n), 1.0), pay.reshape(-1), never.reshape(-1))[0].reshape(n, 2)
    act = _start(kernel, y, t)
    rows = np.arange(n)
    for _ in range(10 * n + 100):
        m = np.eye(n) - kernel[act, rows]
        m[:, 0] += 1.0
        h = np.linalg.solve(m, pay[rows, act])
        q = pay + np.stack([kernel[0] @ h, kernel[1] @ h], axis=1)
        better = q[rows, 1 - act] - q[rows, act] > tol.PIECE * np.abs(h).max()
        if not better.any():
            break
        act = np.where(better, 1 - act, act)
    return np.asarray(q[:, 1] - q[:, 0]), np.asarray(h)


def _start(kernel: Floats, y: Floats, t: int) -> Any:
    """Actions (S,) of the LP's optimum in its heaviest class; all other states move towards that class.

    Such a policy has one closed class. So have its improvements: a new closed class would contain an improved
    state and thus earn more than the optimum.
    """
    used = y > tol.PIECE * y.sum()
    graph = ((kernel > 0) & used.T[:, :, None]).any(axis=0)
    seen = np.zeros(len(y), dtype=bool)
    seen[breadth_first_order(graph, int(y.sum(axis=1).argmax()), return_predecessors=False)] = True
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


def _merge(index: Floats, size: float) -> Floats:
    """Values that rounding cannot tell apart become one, so that equal priorities stay equal; 0 is exact.

    They are when they differ by `tol.INDEX_TIE` of `size`, or of themselves where they are larger.
    """
    flat = np.where(np.abs(index) <= tol.INDEX_TIE * size, 0.0, index).ravel()
    order = np.argsort(flat, kind="stable")
    ranked = flat[order]
    width = tol.INDEX_TIE * np.maximum(size, np.minimum(np.abs(ranked[1:]), np.abs(ranked[:-1])))
    group = np.concatenate([[0], np.cumsum(np.diff(ranked) > width)])
    out = np.empty_like(flat)
    out[order] = ranked[np.searchsorted(group, group)]
    return out.reshape(index.shape)
