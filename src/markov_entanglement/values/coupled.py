"""A weakly coupled system in the form that relaxations of it take: agents on their own, and what they share.

Agents that are alike count together. Rewards have a constant of each agent taken off and are in a unit of their own, so
that linear programs see numbers near 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._check import Bools, Floats, unit_of
from ..errors import NO_DISCOUNT, InvalidInput, Unsupported, short
from ..laws.source import demand, offers
from ..model.bandit import RestlessBandit
from ..model.ends import one_state, start_law
from ..model.resources import Resources
from ..model.weakly_coupled import WeaklyCoupledMDP


class Agent(NamedTuple):
    """An agent, or so many that are alike."""

    kernel: Floats  # (A, S, S)
    reward: Floats  # (S, A)
    cost: Floats  # (S, A, R)
    weight: Floats  # (S,) expected number of them in each state at the start

    def pairs(self, discount: float) -> tuple[Any, sp.csr_array, Floats, Floats]:
        """Of the L local pairs that states offer: numbers `s A + a`, `V(s) - gamma P V` (L, S), rewards, costs."""
        laws = self.kernel.transpose(1, 0, 2).reshape(-1, self.kernel.shape[2])
        at = np.flatnonzero(laws.any(axis=1))
        step = sp.csr_array(np.eye(laws.shape[1])[at // len(self.kernel)] - discount * laws[at])
        return at, step, self.reward.reshape(-1)[at], self.cost.reshape(len(laws), -1)[at]


class Coupled(NamedTuple):
    """Agents and what their joint actions may cost, R constraints."""

    agents: list[Agent]
    names: tuple[str, ...]  # (R,)
    limit: Floats  # (R,)
    exact: Bools  # (R,)
    discount: float
    start: str
    unit: float
    constant: float  # what the constants are worth, reward units
    corners: bool  # nothing is limited, or only how many of agents with two actions take the second


def read(mdp: Any, initial: Any) -> Coupled:
    """The system, started at a law over joint states, or a bandit's at counts; None: in all joint states alike."""
    rule = "the relaxations are of agents that move on kernels of their own and share a budget or resources"
    helps = "Build a me.WeaklyCoupledMDP or a me.RestlessBandit."
    demand("mdp", mdp, (WeaklyCoupledMDP, RestlessBandit), rule, helps)
    if mdp.discount is None:
        raise InvalidInput.kind("discount", None, *NO_DISCOUNT)
    return _of_arms(mdp, initial) if offers(mdp, RestlessBandit) else _of_agents(mdp, initial)


def _of_arms(bandit: RestlessBandit, initial: Any) -> Coupled:
    start, many = "from the given counts", bandit.n_arms
    if initial is None:
        start, own = "in all joint states alike", [bandit.own_states(t) for t in range(bandit.n_types)]
        weight = np.array([n * (np.arange(bandit.n_states) < k) / k for n, k in zip(many, own, strict=True)])
    else:
        weight = bandit.counted("initial", initial).astype(np.float64)
    cost = np.broadcast_to(np.array([[0.0], [1.0]]), (bandit.n_states, 2, 1))
    kinds = zip(bandit.kernels, bandit.rewards, weight, strict=True)
    agents = [Agent(k, r, cost, w) for (k, r, w), n in zip(kinds, many, strict=True) if n]
    limit, exact = np.array([float(bandit.budget)]), np.ones(1, dtype=np.bool_)
    return _scaled(agents, ("budget",), limit, exact, bandit.gamma, start, corners=True)


def _of_agents(mdp: WeaklyCoupledMDP, initial: Any) -> Coupled:
    if mdp.ends is not None:
        rule = "an end that the joint state decides couples the agents beyond their actions"
        raise Unsupported("mdp", "tasks that end", rule, "Build it without `terminal`.")
    if mdp.rewards is None or mdp.rewards.local is None:
        got = "None" if mdp.rewards is None else "one joint array"
        rule = "every agent is solved on its own, so it needs rewards of its own"
        raise InvalidInput("rewards", got, rule, "Give one table per agent.")
    spaces, limits = mdp.spaces, mdp.limits or Resources(mdp.spaces, None, ())
    kept = [k for k, name in enumerate(limits.names) if name != "kernels"]
    start, laws = _start(mdp, initial)
    agents = [
        Agent(kernel, r.reshape(s, a), cost[:, :, kept], law)
        for kernel, r, cost, law, s, a in zip(
            mdp.kernels, mdp.rewards.local, limits.costs, laws, spaces.n_states, spaces.n_actions, strict=True
        )
    ]
    names, limit, exact = tuple(limits.names[k] for k in kept), limits.limit[kept], limits.exact[kept]
    return _scaled(
        agents, names, limit, exact, float(mdp.discount or 0.0), start, corners=_corners(limits, kept)
    )


def _corners(limits: Resources, kept: list[int]) -> bool:
    """Whether nothing is limited, or only how many of agents with two actions take the second."""
    if not kept:
        return True
    if len(limits.names) > 1 or set(limits.spaces.n_actions) != {2}:
        return False
    one = 1.0 if limits.budget is not None else limits.resources[0].unit
    return one is not None and bool((limits.limit / one == np.floor(limits.limit / one)).all())


def _start(mdp: WeaklyCoupledMDP, initial: Any) -> tuple[str, list[Floats]]:
    """The start law in words, and of each agent (S_i,)."""
    sizes = mdp.spaces.n_states
    if initial is None:
        return "in all joint states alike", [np.full(s, 1.0 / s) for s in sizes]
    named = mdp.labels.numbered("initial", initial)
    if _check.shape_of("initial", named) == (len(sizes),):
        state = one_state("initial", named, mdp.spaces)
        return f"in the joint state {short(tuple(state.tolist()))}", [
            np.eye(s)[k] for s, k in zip(sizes, state, strict=True)
        ]
    index, mass = start_law("initial", initial, mdp.spaces, mdp.labels)
    states = mdp.spaces.states_at(index)
    return "from the given law", [_check.sums_by(states[:, i], mass, s) for i, s in enumerate(sizes)]


def _scaled(
    agents: list[Agent],
    names: tuple[str, ...],
    limit: Floats,
    exact: Bools,
    discount: float,
    start: str,
    corners: bool,
) -> Coupled:
    """The unit is the spread of the best rewards of each state, so that one that forbids an action costs no digit."""
    offered = [a.kernel.any(axis=2).T for a in agents]
    best = [np.where(has, a.reward, -np.inf).max(axis=1) for a, has in zip(agents, offered, strict=True)]
    best = [b[np.isfinite(b)] for b in best]
    middle = [0.5 * (b.max() + b.min()) for b in best]
    shifted = [np.where(has, a.reward - m, 0.0) for a, has, m in zip(agents, offered, middle, strict=True)]
    unit = max(float(np.ptp(b)) for b in best) or max(float(np.abs(r).max()) for r in shifted)
    unit = unit_of(np.array([unit]))
    constant = sum(float(a.weight.sum()) * m for a, m in zip(agents, middle, strict=True)) / (1.0 - discount)
    scaled = [a._replace(reward=r / unit) for a, r in zip(agents, shifted, strict=True)]
    return Coupled(scaled, names, limit, exact, discount, start, unit, constant, corners)
