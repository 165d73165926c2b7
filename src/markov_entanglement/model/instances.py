"""Random systems and bandits, for benchmarks and tests: the same seed gives the same bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats
from .._random import generator
from .._types import RNG, Sizes
from ..errors import InvalidInput, TooLarge, gib
from .bandit import RestlessBandit
from .mdp import JointChain, MultiAgentMDP
from .spaces import about
from .system import System
from .weakly_coupled import WeaklyCoupledMDP

#: Products of local kernels that a separable kernel mixes.
_MIXED = 3


def random_bandit(n_states: int, n_arms: int | Sizes, budget: int, *, n_types: int = 1, discount: float = 0.9,
                  branching: int | None = None, rng: RNG = 0) -> RestlessBandit:  # fmt: skip
    """A restless bandit with drawn kernels and rewards.

    Rows of the kernels are uniform on the simplex (Dirichlet with all parameters 1), rewards uniform on [0, 1), one for
    each state and action.

    Parameters
    ----------
    n_states : local states S of an arm.
    n_arms : number of arms, shared among the types as evenly as whole numbers allow; or one count per type.
    budget : number of active arms.
    n_types : arm types T.
    discount : gamma in [0, 1).
    branching : next states that each row reaches, drawn without replacement; None: all. With few an arm may split into
        sets of states that it never leaves.
    rng : seed or numpy Generator; the same seed gives the same bytes.

    Raises
    ------
    InvalidInput : a size, count or discount out of range.
    TooLarge : the kernels would not fit.

    >>> import markov_entanglement as me
    >>> me.random_bandit(3, 10, 4, n_types=2, rng=0)
    RestlessBandit(10 arms of 2 types, budget 4)
    """
    s, t = _check.integer("n_states", n_states, low=1), _check.integer("n_types", n_types, low=1)
    if np.ndim(n_arms) == 0:
        n = _check.integer("n_arms", n_arms, low=1, high=2**62)
        n_arms = [n // t + (k < n % t) for k in range(t)]
    random = generator(rng)
    kernels = _laws("kernels", random, (t, 2, s), s, branching)
    return RestlessBandit(kernels, random.random((t, s, 2)), n_arms=n_arms, budget=budget, discount=discount)


def random_system(
    n_agents: int, n_states: int | Sizes, n_actions: int | Sizes = 2, *, kind: str = "mdp", entangled: bool = True,
    budget: int | None = None, discount: float = 0.9, branching: int | None = None, rng: RNG = 0,
) -> System:  # fmt: skip
    """A system with drawn kernels and rewards.

    Rows are uniform on the simplex (Dirichlet with all parameters 1), rewards uniform on [0, 1), one for each local
    pair.

    Parameters
    ----------
    n_agents : number of agents N.
    n_states, n_actions : local sizes, one number for all or one per agent.
    kind : "mdp", a `MultiAgentMDP`; "weakly-coupled"; or "chain", a `JointChain` on `S_i A_i` local pairs each.
    entangled : True: joint rows without structure. False: a mixture of three products of local kernels, with weights
        that depend on nothing, so that it is separable under every `LocalPolicy` (Def. 6.2). Kernels of a weakly
        coupled system are products either way: its policy alone couples the agents.
    budget : of a weakly coupled system only, see `WeaklyCoupledMDP`.
    discount : gamma in [0, 1).
    branching : next states that each drawn row reaches, drawn without replacement; None: all. With few the chain may
        have several recurrent classes.
    rng : seed or numpy Generator; the same seed gives the same bytes.

    Raises
    ------
    InvalidInput : a size or discount out of range, an unknown kind, a budget of another kind.
    TooLarge : the joint kernel would not fit.

    >>> import markov_entanglement as me
    >>> me.random_system(2, 2, kind="chain", entangled=False, rng=1)
    JointChain(sizes=(4, 4))
    """
    _check.choice("kind", kind, ("mdp", "weakly-coupled", "chain"))
    n = _check.integer("n_agents", n_agents, low=1)
    states, actions = _each("n_states", n_states, n), _each("n_actions", n_actions, n)
    random = generator(rng)
    if kind == "weakly-coupled":
        kernels = [
            _laws("kernels", random, (a, s), s, branching) for s, a in zip(states, actions, strict=True)
        ]
        rewards = [random.random((s, a)) for s, a in zip(states, actions, strict=True)]
        return WeaklyCoupledMDP(kernels, rewards, discount=discount, budget=budget)
    if budget is not None:
        remedy = 'Leave it out, or take kind="weakly-coupled".'
        raise InvalidInput(
            "budget", f"{budget!r} for kind {kind!r}", "a budget is of a weakly coupled system", remedy
        )
    if kind == "chain":
        states, actions = tuple(s * a for s, a in zip(states, actions, strict=True)), (1,) * n
    rows = math.prod(states) * math.prod(actions)
    if rows * math.prod(states) * 24 > tol.BYTES:
        size = f"{about(rows)} rows of {about(math.prod(states))} joint states"
        raise TooLarge("joint kernel", size, gib(tol.BYTES), 'Take fewer, or kind="weakly-coupled".')
    if _check.flag("entangled", entangled):
        kernel = _laws(
            "kernel", random, (math.prod(states), math.prod(actions)), math.prod(states), branching
        )
    else:
        kernel = _mixture(random, states, actions, branching)
    rewards = [random.random((s, a)) for s, a in zip(states, actions, strict=True)]
    if kind == "chain":
        local = [r[:, 0] for r in rewards]
        return JointChain(kernel[:, 0], states, rewards=local, discount=discount)
    return MultiAgentMDP(kernel, rewards, n_states=states, n_actions=actions, discount=discount)


def _each(name: str, value: Any, n: int) -> tuple[int, ...]:
    """One size per agent."""
    sizes = (_check.integer(name, value, low=1),) * n if np.ndim(value) == 0 else _check.sizes(name, value)
    if len(sizes) != n:
        raise InvalidInput(
            name, f"{len(sizes)} sizes", f"there are {n} agents", "Give one number, or one for each."
        )
    return sizes


def _laws(
    name: str, rng: np.random.Generator, rows: tuple[int, ...], n: int, branching: int | None
) -> Floats:
    """(*rows, n) laws, each uniform on the simplex of its `branching` outcomes."""
    reach = n if branching is None else _check.integer("branching", branching, low=1, high=n)
    if math.prod(rows) * n * 24 > tol.BYTES:
        raise TooLarge(name, f"{about(math.prod(rows) * n)} entries", f"{tol.BYTES // 24:.3g}", "Take fewer.")
    law = rng.standard_exponential((*rows, n))
    if reach < n:
        law *= rng.random(law.shape).argsort(axis=-1).argsort(axis=-1) < reach
    return np.asarray(law / law.sum(axis=-1, keepdims=True))


def _mixture(
    rng: np.random.Generator, states: tuple[int, ...], actions: tuple[int, ...], branching: int | None
) -> Floats:
    """(joint states, joint actions, joint states) `sum_j w_j prod_i P_ij(t_i | s_i, a_i)`."""
    out = np.zeros((math.prod(states), math.prod(actions), math.prod(states)))
    for weight in _laws("weights", rng, (), _MIXED, None):
        product: Floats = np.ones((1, 1, 1))
        for s, a in zip(states, actions, strict=True):
            local = _laws("kernel", rng, (s, a), s, None if branching is None else min(branching, s))
            product = np.asarray(np.kron(product, local), dtype=np.float64)
        out += weight * product
    return out
