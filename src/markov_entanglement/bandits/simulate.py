"""Simulate a system under a policy: counts for restless bandits, agent by agent for the rest."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Ints
from .._random import generator
from .._types import RNG, ArrayLike, PolicyLike
from ..errors import InvalidInput, TooLarge, Unsupported
from ..laws.source import Model
from ..model.bandit import RestlessBandit
from ..model.bound_policy import tails
from ..model.policy import IndexPolicy
from ..model.system import System
from ..model.words import as_policy
from ..runs.path import Path, one_episode
from .arms import Arms, arm_path
from .counts import CountEngine


def simulate(
    system: Model,
    policy: PolicyLike,
    steps: int,
    *,
    rng: RNG,
    start: ArrayLike | None = None,
    flows: str = "total",
) -> Path:
    """Run `policy` for T steps.

    A `RestlessBandit` under an `IndexPolicy` or `UniformPolicy` runs in count space: exact in law, at a cost
    that does not grow with the number of arms. A `WeaklyCoupledMDP` with a budget under an `IndexPolicy` runs
    on the per-arm engine, any other system agent by agent with the policy's own `sample`.

    Parameters
    ----------
    system : any system of this library.
    policy : any policy of this library, or the word of one that fits (None for a `JointChain`).
    steps : T >= 1.
    rng : seed or numpy Generator; the same seed gives the same bytes.
    start : counts (types, S) or (S,) of a bandit, else one local state per agent. None: arms of a type
        spread evenly over its states; every agent in state 0, or the restart law where tasks end.
    flows : bandits only, moves from local pair to local pair: "total" (summed), "steps" (one by one) or
        "none" (half the time of "total").

    Returns
    -------
    Path : one episode that the clock truncates; of a system whose tasks end, one episode per task: after a step that
        terminates, the next state is the first of the next task.

    Raises
    ------
    InvalidInput : a bad start, number of steps or policy.
    Unsupported : a policy that the system cannot run under.
    TooLarge : arrays that would not fit, or totals that would overflow.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
    >>> bandit = me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=10**9, budget=2 * 10**8, discount=0.5)
    >>> path = me.simulate(bandit, me.IndexPolicy(PRIORITY), 100, rng=0)
    >>> path.counts.shape, bool((path.counts.sum(axis=2) == 10**9).all())
    ((101, 1, 4), True)
    """
    T = _check.integer("steps", steps, low=1, high=2**62)
    _check.choice("flows", flows, ("none", "total", "steps"))
    random = generator(rng)
    return _simulate(system, policy, T, random, start, flows)


@singledispatch
def _simulate(system: Any, policy: Any, T: int, random: np.random.Generator, start: Any, flows: str) -> Path:
    raise Unsupported("system", type(system).__name__, "it must be a system of this library",
                      "E.g. me.RestlessBandit, me.WeaklyCoupledMDP or me.MultiAgentMDP.")  # fmt: skip


@_simulate.register
def _(
    system: RestlessBandit, policy: Any, T: int, random: np.random.Generator, start: Any, flows: str
) -> Path:
    engine = CountEngine.of(system, policy)
    n, z, moved = engine.run(engine.start(start), T, random, flows=flows)
    counts, served = (a.reshape(-1, system.n_types, system.n_states) for a in (n, z))
    rewards = np.einsum("kts,ts->kt", counts[:-1] - served, system.rewards[..., 0])
    rewards += np.einsum("kts,ts->kt", served, system.rewards[..., 1])
    sizes = np.tile([system.n_states, 2], (system.n_types, 1))
    return one_episode(rewards, counts=counts, served=served, flows=moved, sizes=sizes,
                       arm_rewards=np.array(system.rewards), discount=system.discount)  # fmt: skip


@_simulate.register
def _(system: System, policy: Any, T: int, random: np.random.Generator, start: Any, flows: str) -> Path:
    if T * system.n_agents * 24 > tol.BYTES:
        raise TooLarge("path", f"{T} steps of {system.n_agents} agents", f"{tol.BYTES // 24:.3g} agent-steps",
                       "Take fewer steps, or a me.RestlessBandit if agents are alike.")  # fmt: skip
    policy, first = as_policy(policy, system), _start_states(system, start, random)
    own = isinstance(policy, IndexPolicy) and system.ranked and system.decoupled
    if own and system.rewards is not None and system.rewards.local is not None:
        return replace(
            arm_path(Arms.of(system, policy), T, rng=random, start=first), discount=system.discount
        )
    return _per_agent(system, policy, T, random, first)


def _start_states(system: Any, start: Any, rng: np.random.Generator) -> Ints:
    sizes = system.spaces.n_states
    if start is None:
        return np.array(system.spaces.first) if system.ends is None else _restart(system, None, rng)
    if not hasattr(start, "__len__") or len(start) != len(sizes):
        rule = f"one local state per agent ({len(sizes)})"
        raise InvalidInput("start", repr(start)[:60], rule, "Pass a tuple.")
    named = enumerate(zip(start, sizes, strict=True))
    first = np.array([_check.integer(f"start[{i}]", s, low=0, high=k - 1) for i, (s, k) in named], np.int64)
    if system.ends is not None:
        system.ends.refuse("start", system.spaces.state_index(first[None]))
    return first


def _restart(system: Any, start: Ints | None, rng: np.random.Generator) -> Ints:
    """(N,) first local states of a task: from the restart law, or `start`."""
    if system.ends.start is None:
        if start is None:
            raise InvalidInput("restart", "None, and no `start`", "a task that ends must say where the next one starts",
                               "Give the system `restart`, or give `start`.")  # fmt: skip
        return start
    index, law = system.ends.start
    return system.spaces.states_at(index[[_pick(np.cumsum(law), rng.random())]])[0]


def _per_agent(system: Any, policy: Any, steps: int, rng: np.random.Generator, first: Ints) -> Path:
    spaces = system.spaces
    bound = system.bind(policy) if system.acts else None
    weak, agents = system.local_kernels is not None, np.arange(spaces.n_agents)
    ahead = tails(system.kernels) if weak else np.zeros(0)
    states = np.empty((steps + 1, spaces.n_agents), dtype=np.int64)
    actions = np.zeros((steps, spaces.n_agents), dtype=np.int64)
    ended = np.zeros(steps, dtype=np.bool_)
    dead = set() if system.ends is None else set(system.ends.terminal.tolist())
    states[0] = first
    for t in range(steps):
        at = states[t : t + 1]
        if bound is not None:
            actions[t] = bound.sample(at, rng)[0]
            system.check_actions(at, actions[t : t + 1])
        if weak:
            law = ahead[agents, actions[t], at[0]]
            states[t + 1] = (rng.random(spaces.n_agents)[:, None] >= law).sum(axis=1)
        else:
            kernel = system.kernel[int(spaces.action_index(actions[t : t + 1])[0])]
            row = int(spaces.state_index(at)[0])
            lo, hi = kernel.indptr[row], kernel.indptr[row + 1]
            chosen = kernel.indices[lo + _pick(np.cumsum(kernel.data[lo:hi]), rng.random())]
            states[t + 1] = spaces.states_at(np.array([chosen], dtype=np.int64))[0]
        if dead and int(spaces.state_index(states[t + 1 : t + 2])[0]) in dead:
            states[t + 1], ended[t] = _restart(system, first, rng), True
    rewards = _rewards(system, states[:-1], actions)
    sizes = np.column_stack([spaces.n_states, spaces.n_actions])
    return one_episode(
        rewards, states=states, actions=actions, terminated=ended, sizes=sizes, discount=system.discount
    )


def _pick(cumulative: Any, u: float) -> int:
    return min(int(np.searchsorted(cumulative, u * cumulative[-1], side="right")), len(cumulative) - 1)


def _rewards(system: Any, states: Ints, actions: Ints) -> Any:
    """(T, N) local rewards, (T, 1) one shared reward, (T, 0) none."""
    if system.rewards is None:
        return np.zeros((len(states), 0))
    pairs = system.spaces.local_pairs(states, actions)
    if system.rewards.local is None:
        return system.rewards.on_pairs(pairs, system.spaces)[:, None].copy()
    return np.stack([r[pairs[:, i]] for i, r in enumerate(system.rewards.local)], axis=1)
