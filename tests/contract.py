"""The contract: every source answers every question, and its answers are those of brute force on raw arrays.

A newcomer adds one line to `SOURCES` or one function to `QUESTIONS` and is crossed with all of the other. What a
source may refuse stands in `REFUSED`, with the named error that must come. Nothing is skipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import cache, cached_property
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import markov_entanglement as me
import oracles_space as o
from brute import NORMS, World, errors, kron_kernel, laws, mask, serve, table_of
from markov_entanglement.errors import InvalidInput, SeveralRecurrentClasses, Unsupported

#: Linear algebra, and what rests on a linear program.
CLOSE, PROGRAM = 1e-10, 2e-9
KS = (1, 4, 16, 64)


# --- sources ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Source:
    """The raw arrays of a system under a policy, and how the library is given the same.

    Attributes
    ----------
    world : brute force on the raw arrays.
    make : what `under` returns.
    coupled : agents move on their own kernels (no end ties them), so that Prop. 7.2 bounds E_i.
    """

    world: World
    make: Callable[[], Any]
    coupled: bool = False

    @cached_property
    def chain(self) -> Any:
        return self.make()

    @cached_property
    def analysis(self) -> Any:
        return me.analyze(self.chain, rng=0)

    @cached_property
    def json(self) -> dict[str, Any]:
        return self.analysis.to_dict()

    @cached_property
    def joint_distances(self) -> dict[str, Any]:
        """`tv` and `mu-tv` of the library, which take a while."""
        return {d: me.entanglement(self.chain, d) for d in ("tv", "mu-tv")}

    @property
    def counted(self) -> bool:
        """True when the library answers in counts of agents that are alike."""
        return self.chain.pairs.ndim == 4

    @property
    def unit_of(self) -> list[int]:
        """(N,) the kind of every agent."""
        return [[i in u for u in self.world.units].index(True) for i in range(self.world.n_agents)]

    @cached_property
    def position(self) -> np.ndarray:
        """(n,) the library's pair that each brute-force pair is counted under; every one of them is hit."""
        pairs = self.world.pairs
        if self.counted:
            states = np.zeros((len(pairs), *self.chain.pairs.shape[1:]), dtype=int)
            for u, agents in enumerate(self.world.units):
                for i in agents:
                    np.add.at(states, (np.arange(len(pairs)), u, pairs[:, i] // 2, pairs[:, i] % 2), 1)
            pairs = states.reshape(len(pairs), -1)
        where = {
            tuple(map(int, x)): k
            for k, x in enumerate(np.asarray(self.chain.pairs).reshape(-1, pairs.shape[1]))
        }
        out = np.array([where[tuple(map(int, x))] for x in pairs])
        assert len(where) == len(self.chain.pairs) == len(set(out.tolist()))
        return out

    def lift(self, f: Any) -> np.ndarray:
        """A function on the library's pairs as one on the brute-force pairs."""
        return np.asarray(f)[self.position]


SOURCES: dict[str, Callable[[], Source]] = {}


def source(
    name: str, seed: int = 0
) -> Callable[[Callable[[np.random.Generator], Source]], Callable[..., Source]]:
    """Enter a maker of a source, with a generator of its own, in the table."""

    def enter(make: Callable[[np.random.Generator], Source]) -> Callable[..., Source]:
        SOURCES[name] = cache(lambda: make(np.random.default_rng([seed, *name.encode()])))
        return make

    return enter


def tables(
    rng: np.random.Generator, n_states: Any, n_actions: Any, by_state: bool = False
) -> list[np.ndarray]:
    """Local rewards (m_i,), functions of the state alone with `by_state`."""
    raw = [rng.normal(size=(s, a)) for s, a in zip(n_states, n_actions, strict=True)]
    return [np.repeat(r[:, :1], r.shape[1], axis=1).ravel() if by_state else r.ravel() for r in raw]


def joint(
    kernel: np.ndarray,
    law: Any,
    rewards: Any,
    n_states: tuple[int, ...],
    n_actions: tuple[int, ...],
    gamma: float,
    *,
    policy: Any = None,
    sparse: bool = False,
    initial: Any = None,
    **ends: Any,
) -> Source:
    """A `MultiAgentMDP` under a policy given as a table or as a plain function."""
    table = law if isinstance(law, np.ndarray) else table_of(law, n_states, n_actions)
    world = World(n_states, n_actions, kernel, table, rewards, gamma, initial=initial, **ends)
    given = [sp.csr_array(kernel[:, a]) for a in range(kernel.shape[1])] if sparse else kernel

    def make() -> Any:
        system = me.MultiAgentMDP(
            given, rewards, n_states=n_states, n_actions=n_actions, discount=gamma, **ends
        )
        return system.under(law if policy is None else policy, initial=initial)

    return Source(world, make)


def given(
    p: np.ndarray, sizes: tuple[int, ...], rewards: Any, gamma: float, *, initial: Any = None, **ends: Any
) -> Source:
    """A `JointChain`."""
    one = np.ones((len(p), 1))
    world = World(sizes, (1,) * len(sizes), p[:, None], one, rewards, gamma, initial=initial, **ends)

    def make() -> Any:
        return me.JointChain(p, sizes, rewards=rewards, discount=gamma, **ends).under(initial=initial)

    return Source(world, make)


def coupled(
    kernels: list[np.ndarray],
    rewards: list[np.ndarray],
    gamma: float,
    law: Any,
    policy: Any,
    *,
    budget: int | None = None,
    resources: Any = None,
    initial: Any = None,
    **ends: Any,
) -> Source:
    """A `WeaklyCoupledMDP`; `law` is the policy as a plain function or a table, `policy` what the library gets."""
    n_states, n_actions = tuple(k.shape[1] for k in kernels), tuple(len(k) for k in kernels)
    table = law if isinstance(law, np.ndarray) else table_of(law, n_states, n_actions)
    actions = np.array(list(itertools.product(*map(range, n_actions)))).sum(axis=1)
    feasible = np.tile(actions == (actions if budget is None else budget), (len(table), 1))
    for s, state in enumerate(itertools.product(*map(range, n_states))):  # rows of zeros are not available
        for a, action in enumerate(itertools.product(*map(range, n_actions))):
            feasible[s, a] &= all(k[v, u].any() for k, u, v in zip(kernels, state, action, strict=True))
    for costs, limit, _ in resources or ():  # of "<=" and whole numbers only
        for s, state in enumerate(itertools.product(*map(range, n_states))):
            for a, action in enumerate(itertools.product(*map(range, n_actions))):
                used = sum(c[u][v] for c, u, v in zip(costs, state, action, strict=True))
                feasible[s, a] &= used <= limit
    world = World(
        n_states, n_actions, kron_kernel(kernels), table, rewards, gamma, initial=initial, locals_=kernels,
        feasible=feasible, **ends,
    )  # fmt: skip

    def make() -> Any:
        system = me.WeaklyCoupledMDP(
            kernels, rewards, discount=gamma, budget=budget, resources=resources, **ends
        )
        return system.under(policy, initial=initial)

    return Source(world, make, coupled=not ends)  # an end that others bring about is no matter of the policy


def arms(
    kernels: np.ndarray,
    rewards: np.ndarray,
    n_arms: tuple[int, ...],
    budget: int,
    gamma: float,
    priority: np.ndarray | None,
) -> Source:
    """A `RestlessBandit` of types: kernels (T, 2, S, S), rewards (T, S, 2), priorities (T, S) or None (uniform).

    The brute force labels the arms and enumerates all joint states of them.
    """
    kind = np.repeat(np.arange(len(n_arms)), n_arms)
    states = kernels.shape[2]
    order = np.zeros((len(n_arms), states)) if priority is None else priority
    ends = np.cumsum(n_arms)
    served = np.array(list(itertools.product((0, 1), repeat=len(kind)))).sum(axis=1)
    world = World(
        (states,) * len(kind), (2,) * len(kind), kron_kernel([kernels[t] for t in kind]),
        table_of(serve([order[t] for t in kind], budget), (states,) * len(kind), (2,) * len(kind)),
        [rewards[t].ravel() for t in kind], gamma, locals_=[kernels[t] for t in kind],
        feasible=np.tile(served == budget, (states ** len(kind), 1)),
        units=[range(b - n, b) for b, n in zip(ends, n_arms, strict=True)],
    )  # fmt: skip

    def make() -> Any:
        if len(n_arms) == 1:
            bandit = me.RestlessBandit(
                kernels[0], rewards[0], n_arms=n_arms[0], budget=budget, discount=gamma
            )
        else:
            bandit = me.RestlessBandit(kernels, rewards, n_arms=n_arms, budget=budget, discount=gamma)
        return bandit.under(me.UniformPolicy() if priority is None else me.IndexPolicy(order))

    return Source(world, make, coupled=True)


def by_state(rewards: np.ndarray) -> np.ndarray:
    """Rewards (T, S, 2) that do not depend on the action."""
    return np.repeat(rewards[..., :1], 2, axis=-1)


@source("mdp-dense")
def _(rng):
    return joint(laws(rng, 4, 4, 4), laws(rng, 4, 4), tables(rng, (2, 2), (2, 2)), (2, 2), (2, 2), 0.9)


@source("exogenous")
def _(rng):
    """Two agents and a signal that their kernels and rewards read; the local state is z S + s."""
    z, s, a = 2, 2, 2
    signal, kernels = laws(rng, z, z), [laws(rng, z, a, s, s) for _ in range(2)]
    rewards = [rng.normal(size=(z, s, a)) for _ in range(2)]
    wide = list(itertools.product(range(z * s), repeat=2))
    seen = np.array([x // s == y // s for x, y in wide])
    kernel, table = np.zeros((len(wide), a * a, len(wide))), laws(rng, len(wide), a * a)
    for x, (u, v) in enumerate(wide):
        for k, (b, c) in enumerate(itertools.product(range(a), repeat=2)):
            for y, (p, q) in enumerate(wide):
                if p // s == q // s:
                    now, then = u // s, p // s
                    kernel[x, k, y] = (
                        signal[now, then]
                        * kernels[0][now, b, u % s, p % s]
                        * kernels[1][now, c, v % s, q % s]
                    )
    own = [np.einsum("zy,zast->azsyt", signal, k).reshape(a, z * s, z * s) for k in kernels]
    initial = seen / seen.sum()
    world = World((z * s,) * 2, (a,) * 2, kernel, table, [r.ravel() for r in rewards], 0.8, initial=initial,
                  locals_=own, signals=z)  # fmt: skip
    known = {(u % s, v % s, u // s): table[x] for x, (u, v) in enumerate(wide) if seen[x]}

    def law(state, now):
        return dict(zip(itertools.product(range(a), repeat=2), known[(*state, now)].tolist(), strict=True))

    def make():
        system = me.ExogenousMDP(kernels, rewards, signal=signal, discount=0.8)
        return system.under(law, initial=np.full((z, s * s), 1 / (z * s * s)))

    return Source(world, make, coupled=True)


@source("mdp-three")
def _(rng):
    n_states, n_actions = (2, 2, 2), (2, 1, 1)
    table = laws(rng, 8, 2)
    states = {s: k for k, s in enumerate(itertools.product((0, 1), repeat=3))}

    def law(state):
        return {(a, 0, 0): float(table[states[state], a]) for a in (0, 1)}

    return joint(laws(rng, 8, 2, 8), law, tables(rng, n_states, n_actions, True), n_states, n_actions, 0.7)


@source("mdp-sparse")
def _(rng):
    """Actions that are not available, a joint state that is left for ever, local pairs that are never visited."""
    kernel = laws(rng, 6, 4, 6, zeros=0.5)
    kernel[..., 5] = 0.0
    kernel /= kernel.sum(axis=-1, keepdims=True)
    gone = rng.random((6, 4)) < 0.4
    gone[:, 1] = False
    gone[:, 3] = [True, True, True, True, True, False]  # only the transient state may use the last action
    gone[:, 2] = True
    kernel[gone] = 0.0
    table = ~gone / (~gone).sum(axis=1, keepdims=True)
    rewards = tables(rng, (3, 2), (2, 2))
    return joint(kernel, table, rewards, (3, 2), (2, 2), 0.95, policy=me.UniformPolicy(), sparse=True)


@source("mdp-fixed", seed=29)
def _(rng):
    """A deterministic policy: most local pairs are never met, so that some decisions cannot be judged."""
    kernel, allowed = laws(rng, 6, 4, 6, zeros=0.3), rng.random((6, 4)) < 0.5
    allowed[:, 0] |= ~allowed.any(axis=1)
    kernel[~allowed] = 0.0
    table = np.eye(4)[allowed.argmax(axis=1)]
    return joint(kernel, table, tables(rng, (3, 2), (2, 2)), (3, 2), (2, 2), 0.9)


@source("mdp-shared")
def _(rng):
    """One reward for all agents, no sum of local ones."""
    return joint(laws(rng, 4, 4, 4), laws(rng, 4, 4), rng.normal(size=(4, 4)), (2, 2), (2, 2), 0.8)


@source("coupled-free", seed=52)
def _(rng):
    kernels = [laws(rng, 2, 2, 2), laws(rng, 2, 3, 3, zeros=0.3)]
    table = laws(rng, 6, 4)
    return coupled(kernels, tables(rng, (2, 3), (2, 2), True), 0.9, table, table)


@source("coupled-index", seed=37)
def _(rng):
    """Three different arms, one served, ties within and between them; the last is a dummy that takes what is left."""
    kernels = [laws(rng, 2, k, k) for k in (2, 2, 1)]
    order = [np.array([2.0, 0.0]), np.array([2.0, 2.0]), np.array([1.0])]
    rewards = tables(rng, (2, 2, 1), (2,) * 3)
    return coupled(kernels, rewards, 0.9, serve(order, 1), me.IndexPolicy(order), budget=1)


@source("coupled-uniform")
def _(rng):
    kernels, rewards = [laws(rng, 2, 3, 3), laws(rng, 2, 2, 2)], tables(rng, (3, 2), (2, 2), True)
    return coupled(kernels, rewards, 0.5, serve([np.zeros(3), np.zeros(2)], 1), me.UniformPolicy(), budget=1)


@source("coupled-resources")
def _(rng):
    """Two constraints on three actions, dearer where an agent is down; the dearest step that fits goes first."""
    kernels = [laws(rng, 3, 2, 2), laws(rng, 2, 3, 3)]
    costs = [[[0, 2, 3], [0, 1, 1]], [[0, 2], [0, 1], [0, 1]]]
    caps = [(costs, 3, "<="), ([[[0, 0, 1]] * 2, [[0, 1]] * 3], 1, "<=")]

    def law(state):
        s, t = state
        if s == 0:  # one step for two, then the other agent if its cost and the second cap allow
            return {(1, 0): 1.0} if t == 0 else {(1, 1): 1.0}
        return {(2, 0): 1.0} if t == 0 else {(2, 0): 0.5, (1, 1): 0.5}

    priority = [[[2.0, -np.inf], [3.0, 1.0]], [[0.5], [1.0], [1.0]]]
    return coupled(
        kernels, tables(rng, (2, 3), (3, 2), True), 0.8, law, me.IndexPolicy(priority), resources=caps
    )


def closed(rng):
    """Two kernels of which one state of each does not offer action 1."""
    kernels = [laws(rng, 2, 2, 2), laws(rng, 2, 3, 3)]
    kernels[0][1, 1] = kernels[1][1, 2] = 0.0
    return kernels


@source("coupled-closed")
def _(rng):
    """Local actions that a state does not offer, and at most one at work."""

    def law(state):
        s, t = state
        if s == 0 and t < 2:
            return {(0, 1): 1.0} if t == 1 else {(1, 0): 0.5, (0, 1): 0.5}
        return {(1, 0): 1.0} if s == 0 else {(0, 1): 1.0} if t < 2 else {(0, 0): 1.0}

    policy = me.IndexPolicy([[1.0, 9.0], [1.0, 2.0, 9.0]])  # the highest is where nothing can be done
    return coupled(
        closed(rng),
        tables(rng, (2, 3), (2, 2), True),
        0.8,
        law,
        policy,
        resources=[([[[0, 1]] * 2, [[0, 1]] * 3], 1, "<=")],
    )


@source("ends-closed")
def _(rng):
    """Local actions that a state does not offer, chosen uniformly, in a task that ends."""

    def law(state):
        s, t = state
        mine, other = (0, 1) if s == 0 else (0,), (0, 1) if t < 2 else (0,)
        found = list(itertools.product(mine, other))
        return dict.fromkeys(found, 1 / len(found))

    ends = {"terminal": mask((2, 3), lambda s: s == (1, 2)), "restart": np.eye(6)[0]}
    return coupled(closed(rng), tables(rng, (2, 3), (2, 2), True), 0.8, law, "uniform", **ends)


@source("coupled-local")
def _(rng):
    """Local policies: agents are independent."""
    kernels = [laws(rng, 2, 3, 3), laws(rng, 3, 2, 2)]
    own = [laws(rng, 3, 2), laws(rng, 2, 3)]

    def law(state):
        chances = [t[s] for t, s in zip(own, state, strict=True)]
        return {(a, b): float(chances[0][a] * chances[1][b]) for a in range(2) for b in range(3)}

    return coupled(kernels, tables(rng, (3, 2), (2, 3)), 0.9, law, me.LocalPolicy(own))


@source("given-full")
def _(rng):
    return given(laws(rng, 6, 6), (3, 2), tables(rng, (3, 2), (1, 1)), 0.9)


@source("given-three")
def _(rng):
    return given(laws(rng, 8, 8, zeros=0.6), (2, 2, 2), tables(rng, (2, 2, 2), (1, 1, 1)), 0.6)


@source("given-parity")
def _(rng):
    """Agent 1's next state is the parity of agent 0's next and agent 2's present one: entangled, yet Q adds up."""
    p = np.zeros((8, 8))
    for x, y in itertools.product(itertools.product((0, 1), repeat=3), repeat=2):
        p[np.ravel_multi_index(x, (2,) * 3), np.ravel_multi_index(y, (2,) * 3)] = 0.25 * (y[1] == y[0] ^ x[2])
    return given(p, (2, 2, 2), tables(rng, (2, 2, 2), (1, 1, 1)), 0.9)


@source("given-start")
def _(rng):
    """From a start in a corner five of nine joint pairs are reached."""
    p, inside = laws(rng, 9, 9), [0, 1, 3, 4, 8]
    p[:, np.setdiff1d(np.arange(9), inside)] = 0.0
    p /= p.sum(axis=1, keepdims=True)
    start = np.zeros(9)
    start[[0, 8]] = 0.5
    return given(p, (3, 3), tables(rng, (3, 3), (1, 1)), 0.9, initial=start)


@source("given-transient")
def _(rng):
    """Pairs that are left for ever, one of them with a local pair that nothing else has."""
    p = np.zeros((6, 6))
    p[:, :3] = laws(rng, 6, 3)
    return given(p, (3, 2), tables(rng, (3, 2), (1, 1)), 0.9)


@source("given-periodic")
def _(rng):
    """Two halves that alternate."""
    p = np.zeros((6, 6))
    p[:3, 3:], p[3:, :3] = laws(rng, 3, 3), laws(rng, 3, 3)
    order = [0, 3, 1, 4, 2, 5]
    return given(p[np.ix_(order, order)], (2, 3), tables(rng, (2, 3), (1, 1)), 0.9)


@source("given-several")
def _(rng):
    """Two recurrent classes and a transient pair; the start is a law over all of them."""
    p = np.zeros((6, 6))
    p[:2, :2], p[2:5, 2:5], p[5] = laws(rng, 2, 2), laws(rng, 3, 3), laws(rng, 6)
    return given(p, (2, 3), tables(rng, (2, 3), (1, 1)), 0.9, initial=laws(rng, 6))


@source("given-split")
def _(rng):
    """The same without a start: the long run is not defined."""
    p = np.zeros((6, 6))
    p[:2, :2], p[2:5, 2:5], p[5] = laws(rng, 2, 2), laws(rng, 3, 3), laws(rng, 6)
    return given(p, (2, 3), tables(rng, (2, 3), (1, 1)), 0.9)


def listed(
    p: np.ndarray, sizes: tuple[int, ...], rewards: Any, gamma: float, order: list[int], **ends: Any
) -> Source:
    """The joint pairs `order`, a closed set, and nothing of the rest; laws and masks are on the product."""
    source, pairs = given(p, sizes, rewards, gamma, **ends), np.stack(np.unravel_index(order, sizes), axis=1)
    own = {k: v[order] for k, v in ends.items()}
    matrix, initial = sp.csr_array(p[np.ix_(order, order)]), own.pop("initial")

    def make() -> Any:
        chain = me.JointChain.from_pairs(pairs, matrix, sizes=sizes, rewards=rewards, discount=gamma, **own)
        return chain.under(initial=initial)

    return replace(source, make=make)


@source("given-listed", seed=1)
def _(rng):
    """Five of twelve joint pairs, listed in any order; one is left for ever."""
    p, inside = laws(rng, 12, 12, zeros=0.3), [7, 0, 11, 4, 2]
    p[:, np.setdiff1d(np.arange(12), inside[:-1])] = 0.0
    p[p.sum(axis=1) == 0, 0] = 1.0
    p /= p.sum(axis=1, keepdims=True)
    start = np.isin(np.arange(12), inside) / 5
    return listed(p, (3, 2, 2), tables(rng, (3, 2, 2), (1, 1, 1)), 0.9, inside, initial=start)


@source("ends-listed")
def _(rng):
    """Seven of nine joint pairs, two of them ends; the start is a law and the next task starts in one of them."""
    inside = [3, 0, 8, 7, 1, 4, 6]
    p = laws(rng, 9, 9)
    p[:, [2, 5]] = 0.0
    p /= p.sum(axis=1, keepdims=True)
    over, start, restart = np.isin(np.arange(9), (8, 6)), np.isin(np.arange(9), (0, 1)) / 2, np.eye(9)[4]
    ends = {"terminal": over, "restart": restart, "initial": start}
    return listed(p, (3, 3), tables(rng, (3, 3), (1, 1)), 0.8, inside, **ends)


@source("bandit-strict", seed=30)
def _(rng):
    return arms(laws(rng, 1, 2, 3, 3), rng.normal(size=(1, 3, 2)), (4,), 2, 0.9, np.array([[1.0, 2.0, 0.0]]))


@source("bandit-ties", seed=14)
def _(rng):
    rewards = by_state(rng.normal(size=(1, 3, 2)))
    return arms(laws(rng, 1, 2, 3, 3, zeros=0.3), rewards, (3,), 1, 0.8, np.array([[1.0, 1.0, 0.0]]))


@source("bandit-uniform")
def _(rng):
    return arms(laws(rng, 1, 2, 2, 2), rng.normal(size=(1, 2, 2)), (4,), 1, 0.9, None)


@source("bandit-two-arms", seed=12)
def _(rng):
    rewards = by_state(rng.normal(size=(1, 3, 2)))
    return arms(laws(rng, 1, 2, 3, 3), rewards, (2,), 1, 0.9, np.array([[0.0, 1.0, 2.0]]))


@source("bandit-types", seed=10)
def _(rng):
    """Two types of three states whose priorities interleave."""
    order = np.array([[0.0, 3.0, 4.0], [2.0, 5.0, 1.0]])
    return arms(laws(rng, 2, 2, 3, 3), rng.normal(size=(2, 3, 2)), (2, 2), 1, 0.8, order)


@source("bandit-types-tied", seed=17)
def _(rng):
    """Classes that hold states of both types."""
    order, rewards = np.array([[0.0, 1.0], [1.0, 0.0]]), by_state(rng.normal(size=(2, 2, 2)))
    return arms(laws(rng, 2, 2, 2, 2), rewards, (3, 2), 2, 0.9, order)


@source("bandit-types-uniform")
def _(rng):
    return arms(laws(rng, 2, 2, 2, 2), by_state(rng.normal(size=(2, 2, 2))), (2, 2), 2, 0.9, None)


@source("bandit-empty-type")
def _(rng):
    order = np.array([[0.0, 2.0], [1.0, 3.0]])
    return arms(laws(rng, 2, 2, 2, 2), rng.normal(size=(2, 2, 2)), (4, 0), 2, 0.9, order)


@source("bandit-idle")
def _(rng):
    return arms(
        laws(rng, 1, 2, 2, 2), by_state(rng.normal(size=(1, 2, 2))), (3,), 0, 0.9, np.array([[1.0, 0.0]])
    )


@source("bandit-all")
def _(rng):
    return arms(laws(rng, 1, 2, 2, 2), rng.normal(size=(1, 2, 2)), (3,), 3, 0.9, np.array([[1.0, 0.0]]))


@source("bandit-transient")
def _(rng):
    """State 2 is left for ever under either action."""
    k = laws(rng, 1, 2, 3, 3)
    k[..., 2] = 0.0
    k /= k.sum(axis=-1, keepdims=True)
    return arms(k, rng.normal(size=(1, 3, 2)), (4,), 2, 0.9, np.array([[2.0, 0.0, 1.0]]))


@source("bandit-periodic", seed=36)
def _(rng):
    """An arm that is served goes up, and down when it is served again; others wait: the counts have period two."""
    k = np.array([[np.eye(3), [[0.0, 0.6, 0.4], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]])
    return arms(k, by_state(rng.normal(size=(1, 3, 2))), (3,), 1, 0.9, np.array([[0.0, 2.0, 1.0]]))


@source("bandit-clock")
def _(rng):
    """Arms that share a period: the long run depends on the start."""
    k = np.array([[[[0.0, 1.0], [1.0, 0.0]]] * 2])
    return arms(k, by_state(rng.normal(size=(1, 2, 2))), (3,), 1, 0.9, np.array([[1.0, 0.0]]))


@source("ends-mdp")
def _(rng):
    """The task ends when agent 0 falls into its last state; the next starts at random."""
    n_states, n_actions = (3, 2), (2, 2)
    over = mask(n_states, lambda s: s[0] == 2)
    restart = laws(rng, 6) * ~over
    return joint(
        laws(rng, 6, 4, 6, zeros=0.3), laws(rng, 6, 4), tables(rng, n_states, n_actions, True), n_states, n_actions,
        0.9, terminal=over, restart=restart / restart.sum(),
    )  # fmt: skip


@source("ends-start")
def _(rng):
    """The start is given and the next task starts there, too: pairs that are met once are part of the chain."""
    n_states, n_actions = (2, 3), (2, 1)
    over, start = mask(n_states, lambda s: s == (1, 2)), np.array([0.5, 0.5, 0, 0, 0, 0])
    table = laws(rng, 6, 2)
    return joint(
        laws(rng, 6, 2, 6, zeros=0.5), table, tables(rng, n_states, n_actions), n_states, n_actions, 0.8,
        initial=start, terminal=over,
    )  # fmt: skip


@source("ends-coupled", seed=3)
def _(rng):
    """Agents that move on their own and act together; the task ends when both are in their last state."""
    kernels, table = [laws(rng, 2, 3, 3), laws(rng, 2, 2, 2)], laws(rng, 6, 4)
    over, restart = mask((3, 2), lambda s: s == (2, 1)), np.eye(6)[0]
    return coupled(kernels, tables(rng, (3, 2), (2, 2)), 0.9, table, table, terminal=over, restart=restart)


@source("ends-index", seed=10)
def _(rng):
    """Two arms, one served; the task ends when the first is in its last state."""
    kernels = [laws(rng, 2, 3, 3), laws(rng, 2, 3, 3)]
    order = [np.array([0.0, 2.0, 1.0]), np.array([1.0, 1.0, 3.0])]
    over, restart = mask((3, 3), lambda s: s[0] == 2), np.eye(9)[0]
    return coupled(
        kernels, tables(rng, (3, 3), (2, 2), True), 0.9, serve(order, 1), me.IndexPolicy(order), budget=1,
        terminal=over, restart=restart,
    )  # fmt: skip


@source("ends-given")
def _(rng):
    """With .2 both end, else agent 0 copies agent 1 and agent 1 is drawn anew; uniform restart."""
    p = np.zeros((9, 9))
    for x, y in itertools.product((0, 1), repeat=2):
        p[3 * x + y, [3 * y, 3 * y + 1, 8]] = 0.4, 0.4, 0.2
    over = mask((3, 3), lambda s: 2 in s)
    p[over, 8] = 1.0
    rewards = [np.array([1.0, -1.0, 0.0]), np.zeros(3)]
    return given(p, (3, 3), rewards, 0.9, terminal=over, restart=~over / 4)


@source("ends-other")
def _(rng):
    """Two agents that move on their own; how likely the task ends is agent 1's doing (spec 9.1)."""
    return given(*_ended_by_the_other(), [np.array([1.0, -1.0, 0.0]), np.array([0.0, 0.5])], 0.9, **_NEXT)


@source("ends-constant")
def _(rng):
    """The same with a constant reward: it has no span, and yet its sum depends on when the task ends."""
    return given(*_ended_by_the_other(), [np.array([1.0, 1.0, 1.0]), np.zeros(2)], 0.9, **_NEXT)


def _ended_by_the_other() -> tuple[np.ndarray, tuple[int, int]]:
    own, chance, p = np.array([[0.7, 0.3], [0.4, 0.6]]), (0.1, 0.5), np.zeros((6, 6))
    for x, y in itertools.product((0, 1), repeat=2):
        p[2 * x + y, :4] = (1 - chance[y]) * np.kron(own[x], own[y])
        p[2 * x + y, 4] = chance[y]
    p[4:, 4] = 1.0
    return p, (3, 2)


_NEXT = {"terminal": np.arange(6) >= 4, "restart": (np.arange(6) < 4) / 4}


# --- questions -------------------------------------------------------------------------------------------------

QUESTIONS: dict[str, Callable[[Source], None]] = {}


def question(name: str) -> Callable[[Callable[[Source], None]], Callable[[Source], None]]:
    """Enter a question in the table; it fails by AssertionError, or by the error that the library raises."""

    def enter(ask: Callable[[Source], None]) -> Callable[[Source], None]:
        QUESTIONS[name] = ask
        return ask

    return enter


def close(got: Any, want: Any, atol: float = CLOSE) -> None:
    want = np.asarray(want, dtype=float)
    scale = 1.0 + float(np.abs(want[np.isfinite(want)]).max(initial=0.0))
    np.testing.assert_allclose(np.asarray(got, dtype=float), want, rtol=0, atol=atol * scale)


@question("occupancy")
def _(s: Source) -> None:
    close(s.chain.occupancy, np.bincount(s.position, s.world.mu, len(s.chain.pairs)), 1e-12)


@question("recurrent")
def _(s: Source) -> None:
    assert (s.lift(s.chain.recurrent) == s.world.recurrent).all()


@question("rows")
def _(s: Source) -> None:
    """Eq. 2, and every law with its weight: moments up to the third of every key, and the extremes."""
    for u, agents in enumerate(s.world.units):
        if not agents:
            continue
        rows, i = s.chain.rows(u), agents[0]
        key, weight, law = s.world.rows(i)
        close(rows.key_weight, s.world.key_weight(i), 1e-12)
        close(rows.mean_law, s.world.mean_law(i), 1e-12)
        for got, want in zip(
            _moments(rows.key, rows.weight, rows.law), _moments(key, weight, law), strict=True
        ):
            close(got, want, 1e-12)


def _moments(key: np.ndarray, weight: np.ndarray, law: np.ndarray) -> Iterator[np.ndarray]:
    on = np.asarray(weight) > 0
    key, weight, law = np.asarray(key)[on], np.asarray(weight)[on], np.asarray(law)[on]
    for k in np.unique(key):
        at = key == k
        yield np.einsum("r,ri,rj,rk->ijk", weight[at], law[at], law[at], law[at])
        yield law[at].max(axis=0)
        yield law[at].min(axis=0)


def _distance(name: str, distance: str, **more: Any) -> None:
    @question(name)
    def _(s: Source) -> None:
        e = me.entanglement(s.chain, distance, **more)
        want = s.world.per_unit(distance, more.get("support", "recurrent"))
        close(e.per_agent, want, PROGRAM)
        many = np.array([len(u) for u in s.world.units])
        close(e.total, float(many[many > 0] @ want[many > 0]), PROGRAM)


_distance("mu-atv", "mu-atv")
_distance("atv", "atv")
_distance("atv-reachable", "atv", support="reachable")
_distance("policy", "policy")
_distance("kernel", "kernel")
_distance("spectral", "spectral")


@question("policy-or-system")
def _(s: Source) -> None:
    """Spec 9.5: `E_i <= E_i^kernel + E_i^policy`; the kernel part is 0 for systems that are weakly coupled."""
    e, kernel, policy = (me.entanglement(s.chain, d).per_agent for d in ("mu-atv", "kernel", "policy"))
    here = ~np.isnan(np.asarray(e))
    assert (e <= np.asarray(kernel) + policy + PROGRAM)[here].all()
    if s.coupled:
        assert np.asarray(kernel)[here].max() < 1e-12


@question("tv")
def _(s: Source) -> None:
    for distance, found in s.joint_distances.items():
        close(found.value, s.world.joint_distance(distance), 1e-7)


@question("separability")
def _(s: Source) -> None:
    spread = s.world.spread()
    assert spread < 1e-11 or spread > 1e-6, "a source on the edge decides nothing"
    assert me.separability(s.chain).agentwise == ("separable" if spread < 1e-11 else "entangled")


@question("values")
def _(s: Source) -> None:
    _values(s, None)


@question("values-other-discount")
def _(s: Source) -> None:
    _values(s, 0.3)


def _values(s: Source, discount: float | None) -> None:
    w, d = s.world, me.value_decomposition(s.chain, discount=discount)
    local = w.local_q(discount)
    close(s.lift(d.joint_q), w.q(discount))
    for u, agents in enumerate(w.units):
        if not agents:
            continue
        got, want, m = np.asarray(d.local_q[u]), local[agents[0]], w.key_weight(agents[0])
        if w.shared_error:  # the split is unique up to constants only
            got, want = got - np.nansum(m * got), want - np.nansum(m * want)
        close(got, want)
    close(s.lift(d.sum_q), w.sum_q(discount))
    if w.shared_error:
        close(d.shared.error, w.shared_error, PROGRAM)
    for name, want in w.truth(discount).items():
        close(d.error(name[6:]) if name.startswith("error_") else getattr(d, name), want)
        close(d.to_dict()[name], want)


@question("values-V")
def _(s: Source) -> None:
    """App. B: values of the state chain, and whether V decomposes for every state-only reward."""
    d, w = me.value_decomposition(s.chain, kind="V"), s.world
    assert w.state_rewards is not None, "a reward depends on an action"
    states, v, total, nu = o.v_decomposition(
        w.pc, w.pairs, w.mu, w.choice, w.n_actions, w.state_rewards, w.discount
    )
    for name, want in errors(v, total, nu).items():
        close(d.to_dict()[name], want)
    close(o.reward_on(states, [d.local_v[u] for u in s.unit_of]), total)
    if not s.counted:
        where = {tuple(map(int, x)): k for k, x in enumerate(s.chain.states)}
        close(np.asarray(d.joint_v)[[where[tuple(x)] for x in states.tolist()]], v)
    assert d.verdict == ("separable" if w.state_spread() < 1e-11 else "entangled")


@question("values-junk")
def _(s: Source) -> None:
    """`kind` is never ignored."""
    with pytest.raises(InvalidInput, match="kind"):
        me.value_decomposition(s.chain, kind="junk")


@question("bounds")
def _(s: Source) -> None:
    """Every bound holds, and is the formula of brute-force measures."""
    w, distances = s.world, ["mu-atv", "atv"] + ["policy"] * s.coupled
    table = me.error_bounds(me.value_decomposition(s.chain), [me.entanglement(s.chain, d) for d in distances])
    truth, want = w.truth(), w.bounds(distances)
    assert {b.name for b in table} == set(want)
    for b in table:
        norm, value = want[b.name]
        assert b.norm == norm
        close(b.truth, truth[f"error_{norm}"])
        assert b.value >= truth[f"error_{norm}"] * (1 - 1e-9) - 1e-9, b.name
        if value is not None:
            close(b.value / (1 + value), value / (1 + value), 1e-7)


@question("bounds-tv")
def _(s: Source) -> None:
    """The corollaries with one joint number."""
    w, d = s.world, me.value_decomposition(s.chain)
    table = {b.name: b for b in me.error_bounds(d, s.joint_distances)}
    want = w.bounds(["tv", "mu-tv"])
    assert set(table) == set(want)
    for name, (_, value) in want.items():
        assert table[name].value >= table[name].truth * (1 - 1e-9) - 1e-9
        if value is not None:
            close(table[name].value / (1 + value), value / (1 + value), 1e-6)


def _candidates(s: Source) -> Iterator[tuple[Any, np.ndarray]]:
    """What is certified, as the library takes it, and its values on the brute-force pairs."""
    w, n, rng = s.world, len(s.chain.pairs), np.random.default_rng(7)
    yield np.zeros(n), np.zeros(w.n_pairs)
    exact = np.full(n, np.nan)
    exact[s.position] = w.q()
    for f in (rng.normal(size=n), exact):
        yield f, s.lift(f)
    yield _tables(s, rng)
    local = w.local_q()
    yield [local[u[0]] if u else np.zeros(2 * s.chain.pairs.shape[2]) for u in w.units], w.sum_q()


def _gap(got: float, want: float) -> None:
    """A VDN gap, the root of a difference of squares where agents are alike: rounding at 0 is that of the squares."""
    assert abs(got - want) <= 1e-8 or abs(got**2 - want**2) <= 1e-15


def _tables(s: Source, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
    """Random local tables, one per kind of agents, and their sum on the brute-force pairs."""
    found = [rng.normal(size=s.world.sizes[u[0] if u else 0]) for u in s.world.units]
    return found, o.reward_on(s.world.pairs, [found[u] for u in s.unit_of])


@question("certificate")
def _(s: Source) -> None:
    """Brackets hold the error of several candidates, and are those of T applied k times, but for rounding."""
    w, g = s.world, s.world.discount
    for given, d in _candidates(s):
        c = me.certificate(s.chain, None, None, given, ks=KS)
        brackets, q = o.certificate(w.pc, w.reward, g, d, w.mu, KS), w.q()
        scale = 1 + float(np.abs(d[w.recurrent]).max()) + float(np.abs(w.reward[w.recurrent]).max())
        allowance, noise = 1e-13 * scale / (1 - g), 4e-16 * scale / (1 - g)
        for norm, k in itertools.product(NORMS, KS):
            (low, high), truth = getattr(c, norm)[k], o.norm(q - d, w.mu, norm)
            assert low <= truth + noise and truth - noise <= high
            for got, want in zip((low, high), brackets[norm][k], strict=True):
                assert abs(got - want) <= allowance / (1 - g**k) + 1e-12 * want


@question("additive")
def _(s: Source) -> None:
    """Joint additive values solve the projected Bellman equation; the VDN gap is the operator's norm."""
    w, a = s.world, me.additive_values(s.chain)
    at, d = w.mu > 0, o.joint_additive(w.pc, w.pairs, w.mu, w.reward, w.discount)
    close(s.lift(a.sum_q)[at], d[at], 1e-8)
    _gap(a.vdn_gap.value, w.vdn_gap)
    for norm in NORMS:
        close(a.error(norm), o.norm(w.q() - d, w.mu, norm), 1e-8)
        close(a.local_td.error(norm), w.truth()[f"error_{norm}"])


@question("error-budget")
def _(s: Source) -> None:
    """Spec 9.2: the floor that no additive values beat, and what this way of learning adds."""
    w = s.world
    for candidate, d in ((None, None), _tables(s, np.random.default_rng(3))):
        found = me.error_budget(s.chain, candidate=candidate)
        d = w.sum_q() if d is None else d
        fit = w.best_sum
        close(found.error, o.norm(w.q() - d, w.mu, "l2"), 1e-8)
        close(found.floor, o.norm(w.q() - fit, w.mu, "l2"), 1e-8)
        close(found.bias, o.norm(fit - d, w.mu, "l2"), 1e-8)
        close(found.unexplained_floor, errors(w.q(), fit, w.mu)["unexplained"], 1e-8)


@question("orders")
def _(s: Source) -> None:
    """Spec 9.3: what functions of at most k agents leave of Q."""
    w, found = s.world, me.interaction_orders(s.chain)
    orders = o.interaction_orders(w.q(), w.pairs, w.mu)
    close(found.unexplained, orders, 1e-7)
    best = w.best_pairs(2) if orders[1] > 1e-9 else []
    for got, (shares, least) in zip(found.best_pairs, best, strict=False):
        close([got.unexplained, shares[got.agents]], [least, least], 1e-7)
        if least < 1e-9 or sorted(shares.values())[:2][-1] - least < 1e-9:
            break  # nothing is left, or the next step depends on how a tie is broken
    assert bool(found.best_pairs) == bool(best)


@question("decision-loss")
def _(s: Source) -> None:
    """Spec 9.4: what the sum costs a decision maker."""
    found = me.decision_loss(s.chain)
    for name, want in s.world.decision().items():
        close(getattr(found, name), want, 1e-8)


@question("breakdown")
def _(s: Source) -> None:
    """What every local pair adds to E_i, and what is left of E_i when a partner's pair may be read, too."""
    w, found = s.world, s.analysis.breakdown
    for u, agents in enumerate(w.units):
        if not agents:
            continue
        close(found.per_pair[u], w.per_pair(agents[0]), PROGRAM)
        close(found.occupancy[u], w.key_weight(agents[0]), 1e-12)
        for v, others in enumerate(w.units):
            if not others:
                continue
            want = w.measure(agents[0], "mu-atv") if u == v else w.remaining(agents[0], others[0])
            close(found.remaining[u, v], want, PROGRAM)
        if s.counted:
            alike = np.asarray(found.alike, dtype=float)[u]
            close(alike, w.remaining(*agents[:2]) if len(agents) > 1 else np.nan, PROGRAM)


@question("analyze-verdict")
def _(s: Source) -> None:
    """The word is that of an interval of `unexplained` that holds the truth."""
    r, truth = s.analysis, s.world.truth()["unexplained"]
    assert abs(truth - 0.05) > 1e-6, "a source on the edge decides nothing"
    assert r.verdict == s.json["verdict"]["word"] == ("add" if truth <= 0.05 else "do-not-add")


@question("analyze-intervals")
def _(s: Source) -> None:
    """Exact results carry intervals, too: the rounding allowance."""
    values, truth = s.json["values"], s.world.truth()["unexplained"]
    low, high = values["intervals"]["unexplained"]
    assert low <= truth + 1e-15 and truth - 1e-15 <= high and high - low < 1e-9
    assert low <= values["unexplained"] <= high


@question("analyze-json")
def _(s: Source) -> None:
    """The keys that users rely on are there, and their numbers are those of brute force."""
    w, r = s.world, s.json
    assert r["schema"] == 1 and set(r) >= JSON_KEYS
    truth = w.truth()
    for name, want in truth.items():
        close(r["values"][name], want)
    for d in ["mu-atv", "atv", "spectral"] + ["policy"] * s.coupled:
        got = np.array(r["entanglement"][d]["per_agent"], dtype=float)  # null is NaN
        close(got, w.per_unit(d), PROGRAM)
    assert r["separability"]["agentwise"] == ("separable" if w.spread() < 1e-11 else "entangled")
    for b in r["bounds"].values():
        close(b["truth"], truth[f"error_{b['norm']}"])
        assert b["bound"] >= b["truth"] * (1 - 1e-9) - 1e-9
    assert set(r["certificate"]) == set(NORMS)
    for norm in NORMS:
        assert set(map(int, r["certificate"][norm])) == set(KS)
        for low, high in r["certificate"][norm].values():
            slack = 1e-12 * (1 + truth[f"error_{norm}"])
            assert low - slack <= truth[f"error_{norm}"] <= high + slack
    assert r["refused"] == []


@question("analyze-both-worlds")
def _(s: Source) -> None:
    """What bandits gain: the sections of joint chains, whatever the source."""
    w, r = s.world, s.json
    _gap(r["values"]["joint_additive"]["vdn_gap"], w.vdn_gap)
    assert set(r["bounds"]) >= set(w.bounds(["mu-atv", "atv"] + ["policy"] * s.coupled))
    assert (r["separability"]["gap"] < 1e-10) == (w.spread() < 1e-11)
    for u, agents in enumerate(w.units):
        if agents:
            close(r["breakdown"]["per_pair"][u], w.per_pair(agents[0]), PROGRAM)


@question("analyze-budget")
def _(s: Source) -> None:
    """The sections "could any additive values avoid it", "what would pairs buy", "does it change a decision"."""
    w, r = s.world, s.json
    close(r["error_budget"]["floor"], o.norm(w.q() - w.best_sum, w.mu, "l2"), 1e-8)
    d = o.joint_additive(w.pc, w.pairs, w.mu, w.reward, w.discount)
    close(r["error_budget"]["joint_additive"], o.norm(w.q() - d, w.mu, "l2"), 1e-8)
    assert r["error_budget"]["noise"] is None
    close(r["orders"]["unexplained"], o.interaction_orders(w.q(), w.pairs, w.mu), 1e-7)
    if r["orders"]["unexplained"][1] < 1e-9:  # nothing is left for pairs
        assert r["orders"]["best_pairs"] == []
    elif r["orders"]["best_pairs"] or w.n_agents > 2:
        first = r["orders"]["best_pairs"][0]
        ((shares, least),) = w.best_pairs(1)
        close([first["unexplained"], shares[tuple(first["agents"])]], [least, least], 1e-7)
    close(r["decision"]["loss"], w.decision()["loss"], 1e-8)


@question("analyze-system")
def _(s: Source) -> None:
    """The section "is it the policy or the system"."""
    found = s.json["policy_or_system"]
    for key, distance in (("kernel", "kernel"), ("policy", "policy"), ("pair", "mu-atv")):
        close(np.array(found[key], dtype=float), s.world.per_unit(distance), PROGRAM)
    assert found["sentence"]


JSON_KEYS = {
    "schema", "versions", "command", "seed", "system", "verdict", "separability", "entanglement", "values",
    "no_values", "bounds", "certificate", "transition_bias", "breakdown", "solvers", "refused",
}  # fmt: skip


# --- what may be refused, and what arrives ---------------------------------------------------------------------

_LONG_RUN = (
    "occupancy", "rows", "mu-atv", "policy", "kernel", "spectral", "policy-or-system", "tv", "values",
    "values-other-discount", "values-V", "bounds", "bounds-tv", "certificate", "additive", "breakdown", "error-budget",
    "orders", "decision-loss", "analyze-*",
)  # fmt: skip
#: "source/question" (wild cards allowed) -> the named refusal that must come; the first that fits.
REFUSED: dict[str, type[Exception]] = {
    "bandit-clock/tv": SeveralRecurrentClasses,
    "bandit-*/tv": Unsupported,
    **{f"given-split/{q}": SeveralRecurrentClasses for q in _LONG_RUN},
    **{f"bandit-clock/{q}": SeveralRecurrentClasses for q in (*_LONG_RUN, "recurrent", "atv*", "separability")},
    "bandit-*/bounds-tv": Unsupported,
    **dict.fromkeys(("ends-*/tv", "ends-*/bounds-tv"), Unsupported),  # no joint outcome for the end
    **{f"{name}/values-V": Unsupported for name in (  # rewards of actions
        "exogenous", "mdp-dense", "mdp-sparse", "mdp-fixed", "mdp-shared", "coupled-index",
        "coupled-local", "bandit-strict", "bandit-uniform",
        "bandit-types", "bandit-empty-type", "bandit-all", "bandit-transient", "ends-start", "ends-coupled",
    )},
}  # fmt: skip


def ask(source: str, question: str) -> None:
    """Ask one question of one source; the refusal that stands in `REFUSED` must come."""
    name = f"{source}/{question}"
    error = next((error for pattern, error in REFUSED.items() if fnmatch(name, pattern)), None)
    if error is None:
        QUESTIONS[question](SOURCES[source]())
    else:
        with pytest.raises(error):
            QUESTIONS[question](SOURCES[source]())
