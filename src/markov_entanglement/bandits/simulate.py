"""Simulate a system under a policy: counts for restless bandits, agent by agent for the rest."""

from __future__ import annotations

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
from ..model.ends import one_state
from ..model.system import System
from ..runs.agents import AgentRuns
from ..runs.path import Path, one_episode
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
    that does not grow with the number of arms. Any other system runs agent by agent, what `chunks` gives joined:
    in compiled loops where all laws are known, with the policy's own `sample` elsewhere.

    Parameters
    ----------
    system : any system of this library.
    policy : any policy of this library, or the word of one that fits (None for a `JointChain`).
    steps : T >= 1.
    rng : seed or numpy Generator; the same seed gives the same bytes.
    start : counts (types, S) or (S,) of a bandit, else one local state per agent. None: arms of a type
        spread evenly over its states; every agent in state 0, or the restart law where tasks end, or the `start` of a
        simulator. No step is dropped; `chunks` has a burn-in.
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
    spaces, first = system.spaces, _first(system, start)
    bound = system.bind(policy) if system.acts else None
    begun = None if first is None else (first[None], np.ones(1))
    runs = AgentRuns(system, bound, begun)
    states = np.empty((T + 1, spaces.n_agents), dtype=np.int64)
    actions = np.empty((T, spaces.n_agents), dtype=np.int64)
    ended, rewards, t = np.empty(T, dtype=np.bool_), [], 0
    for chunk in runs.chunks(T, random, start=None if begun is None else begun[0]):
        here = slice(t, t + len(chunk.ended))
        t = here.stop
        states[here.start : t + 1], served = spaces.split(chunk.pairs)
        actions[here], ended[here] = served[:-1], chunk.ended
        rewards.append(chunk.rewards)
    sizes = np.column_stack([spaces.n_states, spaces.n_actions])
    return one_episode(np.concatenate(rewards), states=states, actions=actions, terminated=ended, sizes=sizes,
                       discount=system.discount)  # fmt: skip


def _first(system: System, start: Any) -> Ints | None:
    """(N,) local states at first; None: where tasks start."""
    sizes = system.spaces.n_states
    if start is None:
        if system.ends is not None and system.ends.start is None:
            raise InvalidInput("restart", "None, and no `start`", "a task that ends must say where the next one starts",
                               "Give the system `restart`, or give `start`.")  # fmt: skip
        own = system.only_steps or system.ends is not None
        return None if own else np.array(system.spaces.first)
    start = system.whole_state("start", start)
    if not hasattr(start, "__len__") or len(start) != len(sizes):
        rule = f"one local state per agent ({len(sizes)})"
        raise InvalidInput("start", repr(start)[:60], rule, "Pass a tuple.")
    first = one_state("start", start, system.spaces)
    if system.ends is not None:
        system.ends.refuse("start", system.spaces.state_index(first[None]))
    return first
