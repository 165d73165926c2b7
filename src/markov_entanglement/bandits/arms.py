"""Per-arm simulation for arms that truly differ: each its own kernel, reward and priority (Def. 7.4, 7.5).

One step costs O(N): the class in which the budget ends is found by counting, 2048 buckets at a time, never by
sorting; in that class the served arms are drawn one by one (selection sampling).

The engine lives on memory bandwidth. Cumulative probabilities are 64-bit integers; their upper halves and the classes
of an arm form one short record that is read in order, their lower halves are read only when an upper half ties with the
random number. Random numbers are those of SplitMix64, read at position `step * N + arm`: the path depends on the seed
alone, not on how arms are shared among threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, freeze
from .._compiled import compiled
from .._random import generator
from .._types import RNG, ArrayLike, Kernels, RewardsLike
from .._work import workers_of
from ..errors import InvalidInput, TooLarge, Unsupported
from ..laws.source import demand, offers
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy
from ..report import tabulate
from ..report.result import Result
from ..report.table import Table
from ..runs.draws import BITS, ONE, S32, bits, select
from ..runs.path import Path, one_episode

_THREADED = 50_000
_NONE = np.zeros((0, 0, 0), dtype=np.int32)
_BLOCK = 4096


@compiled
def _advance(key, offset, lo, hi, cut, table, low, rewards, states, classes, pairs, earned, visits, flows):  # type: ignore[no-untyped-def]
    """Act and move arms lo..hi-1: `classes < cut` are active. Fills next states and classes, and the sums."""
    size = rewards.shape[1]
    width = size - 1
    for i in range(lo, hi):
        s = np.int64(states[i])
        a = np.int64(classes[i] < cut)
        x = bits(key, offset + i)
        top = np.uint32(x >> S32)
        first = (2 * s + a) * width
        after, ties = 0, 0
        for j in range(first, first + width):
            edge = table[i, size + j]
            after += top > edge
            ties += top == edge
        if ties > 0:
            # An even number never reaches 2^64 - 1, which stands for 1.
            x = (x >> ONE) << ONE
            after = 0
            for j in range(first, first + width):
                after += x >= ((np.uint64(table[i, size + j]) << S32) | np.uint64(low[i, j]))
        earned[i // _BLOCK] += rewards[i, s, a]
        if len(visits) > 0:
            visits[i, s, a] += 1
        if len(flows) > 0:
            if pairs[i] >= 0:
                flows[i, pairs[i], 2 * s + a] += 1
            pairs[i] = 2 * s + a
        states[i] = after
        classes[i] = table[i, after]


@dataclass(frozen=True, eq=False, repr=False)
class Arms:
    """N arms, each its own, under an index policy: exactly `budget` arms are active.

    Parameters
    ----------
    kernels : (N, 2, S, S), `kernels[i, a, s, t] = P_i(t | s, a)`.
    rewards : (N, S, 2), or (N, S) when no reward depends on the action; reward units.
    priority : (N, S), higher is served first; equal ones form one class, served uniformly.
    budget : M, 0 <= M <= N.

    Raises
    ------
    InvalidInput : wrong shapes, rows that are not laws, a budget outside 0..N.

    Attributes
    ----------
    rewards : (N, S, 2).
    table : (N, S + 2S(S-1)) class of each state (0 is served first), then the upper halves of the cumulative rows
        of (state 0, passive), (state 0, active), (state 1, passive), ...
    low : (N, 2S(S-1)) their lower halves.
    n_classes : number of classes.

    >>> import numpy as np
    >>> from markov_entanglement.bandits.arms import Arms
    >>> Arms(np.full((5, 2, 3, 3), 1 / 3), np.ones((5, 3)), np.arange(15).reshape(5, 3), budget=2)
    Arms(5 arms, 3 states, budget 2)
    """

    rewards: Floats
    table: Any
    low: Any
    n_classes: int
    budget: int

    def __init__(self, kernels: Kernels, rewards: RewardsLike, priority: ArrayLike, *, budget: int) -> None:
        k = _check.probabilities("kernels", kernels, shape=(None, 2, "S", "S"))
        n, _, states, _ = k.shape
        if n * states >= 2**31:
            remedy = "Group alike arms in a me.RestlessBandit."
            raise TooLarge("arms", f"{n} arms x {states} states", "2^31", remedy)
        r = _check.real("rewards", rewards)
        if r.shape == (n, states):
            r = np.repeat(r[..., None], 2, axis=2)
        r = _check.real("rewards", r, shape=(n, states, 2))
        levels, rank = np.unique(-_check.real("priority", priority, shape=(n, states)), return_inverse=True)
        edges = np.cumsum(k.transpose(0, 2, 1, 3), axis=3)[..., :-1].reshape(n, -1)
        whole = np.full(edges.shape, 2**64 - 1, dtype=np.uint64)
        np.multiply(edges, 2.0**64, out=edges)
        inside = edges < 2.0**64
        whole[inside] = edges[inside].astype(np.uint64)
        table = np.empty((n, states + whole.shape[1]), dtype=np.uint32)
        table[:, :states] = rank.reshape(n, states)
        table[:, states:] = whole >> S32
        object.__setattr__(self, "rewards", r)
        object.__setattr__(self, "table", freeze(table))
        object.__setattr__(self, "low", freeze(whole.astype(np.uint32)))
        object.__setattr__(self, "n_classes", len(levels))
        object.__setattr__(self, "budget", _check.integer("budget", budget, low=0, high=n))

    @classmethod
    def of(cls, system: Any, policy: IndexPolicy) -> Arms:
        """The arms of a bandit, or of a weakly coupled system with a budget, under an index policy.

        Arms with fewer states than others are padded with states that never occur.

        Raises
        ------
        Unsupported : another policy, no budget, more than two actions, or a shared reward.
        """
        if not isinstance(policy, IndexPolicy):
            raise Unsupported("policy", type(policy).__name__, "the per-arm engine serves by priority",
                              "Use me.IndexPolicy.")  # fmt: skip
        if offers(system, RestlessBandit):
            of_types = system.kernels, system.rewards, -np.stack(system.ranks(policy))
            return cls(*(np.repeat(a, system.n_arms, axis=0) for a in of_types), budget=system.budget)
        if not system.ranked:
            raise Unsupported("system", f"budget {system.budget}, local actions {system.spaces.n_actions}"[:60],
                              "the per-arm engine serves exactly `budget` arms of two actions",
                              "Give a budget and no resources, or use me.simulate.")  # fmt: skip
        if system.rewards is None or system.rewards.local is None:
            raise Unsupported("rewards", "one shared reward", "each arm needs its own", "Give local rewards.")
        states = system.spaces.n_states
        n, top = len(states), max(states)
        kernels = np.broadcast_to(np.eye(top), (n, 2, top, top)).copy()
        rewards, priority = np.zeros((n, top, 2)), np.zeros((n, top))
        for i, (s, rank) in enumerate(zip(states, policy.ranks(n), strict=True)):
            if len(rank) != s:
                got, rule = f"{len(rank)} entries for agent {i}", f"agent {i} has {s} local states"
                raise InvalidInput("priority", got, rule, "One priority per local state.")
            kernels[i, :, :s, :s] = system.kernels[i]
            rewards[i, :s] = system.rewards.local[i].reshape(s, 2)
            priority[i, :s] = -rank
        return cls(kernels, rewards, priority, budget=system.budget)

    @property
    def n_arms(self) -> int:
        """N."""
        return len(self.rewards)

    @property
    def n_states(self) -> int:
        """S."""
        return int(self.rewards.shape[1])

    def __repr__(self) -> str:
        return f"Arms({self.n_arms} arms, {self.n_states} states, budget {self.budget})"


class _Run(ExitStack):
    """The moving parts of one simulation; arms are shared among threads in contiguous blocks."""

    def __init__(self, arms: Arms, rng: Any, start: Any, workers: int | None) -> None:
        n = arms.n_arms
        self.arms, self.time = arms, 0
        self.keys = generator(rng).integers(0, 2**64, 2, dtype=np.uint64)
        states = np.zeros(n, dtype=np.int32) if start is None else np.asarray(start)
        if states.shape != (n,) or states.dtype.kind not in "iu":
            got, rule = f"shape {states.shape} of {states.dtype}", f"one integer state per arm ({n})"
            raise InvalidInput("start", got, rule, "Pass an integer array.")
        if states.min() < 0 or states.max() >= arms.n_states:
            got, rule = f"states {states.min()}..{states.max()}", f"states lie in 0..{arms.n_states - 1}"
            raise InvalidInput("start", got, rule, "Mend the states.")
        self.states = states.astype(np.int32)
        self.classes = arms.table[np.arange(n), self.states].astype(np.int64)
        self.most = max((arms.n_classes - 1).bit_length(), 1)
        self.earned = np.zeros(-(-n // _BLOCK))
        self.buckets = np.zeros(1 << BITS, dtype=np.int64)
        self.pairs = np.full(n, -1, dtype=np.int32)
        count = 1 if n < _THREADED else min(workers_of(workers), n)
        edges = [min(n, -(-n * k // (count * _BLOCK)) * _BLOCK) for k in range(count + 1)]
        self.blocks = list(pairwise(edges))
        super().__init__()
        self.pool = self.enter_context(ThreadPoolExecutor(count))

    def choose(self) -> int:
        """The class below which arms are active in the coming step."""
        offset = self.time * self.arms.n_arms
        return int(select(self.keys[1], offset, self.classes, self.most, self.arms.budget, self.buckets))

    def move(self, cut: int, visits: Any = _NONE, flows: Any = _NONE) -> float:
        """One step of all arms; returns their reward, summed in an order that no number of threads changes."""
        arms = self.arms
        offset = self.time * arms.n_arms
        self.earned[:] = 0.0

        def block(lo: int, hi: int) -> None:
            _advance(self.keys[0], offset, lo, hi, cut, arms.table, arms.low, arms.rewards, self.states,
                     self.classes, self.pairs, self.earned, visits, flows)  # fmt: skip

        if len(self.blocks) == 1:
            block(*self.blocks[0])
        else:
            list(self.pool.map(block, *zip(*self.blocks, strict=True)))
        self.time += 1
        return float(self.earned.sum())


def _built(arms: Any) -> Arms:
    remedy = "Build me.Arms(kernels, rewards, priority, budget=M), or me.Arms.of(system, policy)."
    return demand("arms", arms, Arms, "it must be a me.Arms", remedy)


def arm_path(
    arms: Arms, steps: int, *, rng: RNG, start: ArrayLike | None = None, workers: int | None = None
) -> Path:
    """T steps with every arm's state, action and reward kept (8 + 8 + 8 bytes per arm and step).

    Parameters
    ----------
    steps : T >= 1.
    rng : seed or numpy Generator; the same seed gives the same bytes for any number of workers.
    start : (N,) local states; None: all in state 0.
    workers : threads; None: up to 4 for large N.

    Raises
    ------
    InvalidInput : a bad start or number of steps.
    TooLarge : the arrays would not fit.

    >>> import numpy as np, markov_entanglement as me
    >>> arms = me.Arms(np.full((5, 2, 3, 3), 1 / 3), np.ones((5, 3)), np.arange(15).reshape(5, 3), budget=2)
    >>> me.arm_path(arms, 10, rng=0).actions.sum(axis=1).tolist()
    [2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    """
    T, n = _check.integer("steps", steps, low=1), _built(arms).n_arms
    if T * n * 24 > tol.BYTES:
        limit, remedy = f"{tol.BYTES // 24:.3g} arm-steps", "Use arm_totals, which keeps sums only."
        raise TooLarge("path", f"{T} steps of {n} arms", limit, remedy)
    states, actions = np.empty((T + 1, n), dtype=np.int64), np.empty((T, n), dtype=np.int64)
    rewards, each = np.empty((T, n)), np.arange(n)
    with _Run(arms, rng, start, workers) as run:
        for t in range(T):
            states[t] = run.states
            cut = run.choose()
            actions[t] = run.classes < cut
            rewards[t] = arms.rewards[each, states[t], actions[t]]
            run.move(cut)
        states[T] = run.states
    sizes = np.tile([arms.n_states, 2], (n, 1))
    return one_episode(rewards, states=states, actions=actions, sizes=sizes)


@dataclass(frozen=True, eq=False, repr=False)
class ArmTotals(Result):
    """Sums over a run of the per-arm engine.

    Attributes
    ----------
    rewards : (T,) total reward of each step after the burn-in.
    visits : (N, S, 2) steps that each arm spent at each local pair.
    flows : (N, 2S, 2S) moves between successive local pairs of each arm; None unless asked for.
    states : (N,) states after the last step.
    """

    rewards: Floats
    visits: Any
    flows: Any
    states: Any

    @property
    def entanglement(self) -> Floats:
        """(N,) Prop. 7.2 of every arm, in sample: `sum_s min(visits passive, visits active) / T`.

        Exact laws of strict priorities are 0 or 1, so the L1 median of an arm's state is its more frequent action.
        Biased low, as every in-sample minimum; too high where ties within a class make the law fractional.
        """
        return freeze(self.visits.min(axis=2).sum(axis=1) / self.visits[0].sum())

    def to_dict(self) -> dict[str, Any]:
        """JSON form: sizes, mean reward per step, and E per arm."""
        return {
            "steps": len(self.rewards),
            "mean_reward": float(self.rewards.mean()),
            "entanglement": self.entanglement.tolist(),
            "estimator": "Prop. 7.2 in sample, one run of the per-arm engine",
        }

    @property
    def sentence(self) -> str:
        """What the arms earned and how entangled they are."""
        mean, e = float(self.rewards.mean()), self.entanglement
        return f"All arms earn {mean:.6g} per step; the most entangled arm has {e.max():.4g} (Prop. 7.2, in sample)."

    def _brief(self) -> str:
        return f"{len(self.rewards)} steps, {len(self.visits)} arms"

    def _tables(self) -> Iterator[Table]:
        yield tabulate.entanglement({"policy": {"per_agent": self.entanglement.tolist()}}, word="arm")
        yield tabulate.steps(self.rewards[:, None])


def arm_totals(
    arms: Arms,
    steps: int,
    *,
    rng: RNG,
    burn_in: int = 0,
    start: ArrayLike | None = None,
    flows: bool = False,
    workers: int | None = None,
) -> ArmTotals:
    """T steps after a burn-in, kept as sums per arm; 10^6 arms need about 0.5 GB.

    Parameters
    ----------
    steps : T >= 1; burn_in : steps before counting begins.
    flows : also count moves between local pairs, for each arm's own Eq. 2 (Meta Algorithm 1).
    rng, start, workers : as for `arm_path`.

    Raises
    ------
    InvalidInput : a bad start or number of steps.
    TooLarge : the flow counts would not fit, or their 32 bits would overflow.

    >>> import numpy as np
    >>> from markov_entanglement.bandits.arms import Arms, arm_totals
    >>> kernels = np.random.default_rng(0).dirichlet(np.ones(3), size=(50, 2, 3))
    >>> arms = Arms(kernels, np.ones((50, 3)), np.random.default_rng(1).random((50, 3)), budget=10)
    >>> arm_totals(arms, 100, rng=0).visits[:, :, 1].sum()
    np.int64(1000)
    """
    T, early = _check.integer("steps", steps, low=1), _check.integer("burn_in", burn_in, low=0)
    n, states = _built(arms).n_arms, arms.n_states
    if T >= 2**31:
        raise TooLarge("steps", str(T), "2^31 steps of an arm's visits", "Take fewer steps.")
    if flows and n * 16 * states * states > tol.BYTES:
        raise TooLarge("flows", f"{n} arms x {4 * states * states} moves", f"{tol.BYTES // 4:.3g} counts",
                       "Take flows=False, or fewer arms.")  # fmt: skip
    visits = np.zeros((n, states, 2), dtype=np.int32)
    moved = np.zeros((n, 2 * states, 2 * states), dtype=np.int32) if flows else _NONE
    total = np.empty(T)
    with _Run(arms, rng, start, workers) as run:
        for _ in range(early):
            run.move(run.choose())
        for t in range(T):
            total[t] = run.move(run.choose(), visits, moved)
        return ArmTotals(freeze(total), freeze(visits), freeze(moved) if flows else None, freeze(run.states))
