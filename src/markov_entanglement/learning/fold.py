"""Learners as folds over chunks of steps.

A fold has four functions: `start` makes a state, `step` takes in a chunk, `merge` joins the states of two independent runs,
`finish` gives the answer. Chunks of any size, any number of runs and any source of steps are therefore one thing, and
a learner of one's own is these four. What they take in is made here, once: a path becomes chunks, chunks are checked.

Agents that are absent (-1) take no part. A step of an agent from or to -1 is no transition, so that a row of -1
stands where the clock cut an episode: values stop where a task `ended`, and go on through a cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from .. import _check
from .._check import Floats, Ints
from .._types import ArrayLike, RewardsLike
from ..errors import NO_DISCOUNT, InvalidInput, Unsupported, short
from ..laws.source import offers
from ..model.rewards import Rewards
from ..model.spaces import Labels, Spaces
from ..runs.chunk import Chunk
from ..runs.path import Path
from .result import LocalValues

S = TypeVar("S")
R = TypeVar("R")
#: Numbers of one chunk of a path.
_CHUNK = 2**20


class Fold(ABC, Generic[S, R]):
    """Four functions over the chunks of runs. `step` may change the state that it is given."""

    @abstractmethod
    def start(self, sizes: Ints, discount: float) -> S:
        """The state before the first step; sizes (N,) number of local pairs m_i of each agent."""

    @abstractmethod
    def step(self, state: S, chunk: Chunk) -> S:
        """The state after the steps of a chunk, which goes on where the one before ended."""

    @abstractmethod
    def merge(self, a: S, b: S) -> S:
        """The state after two independent runs."""

    @abstractmethod
    def finish(self, state: S) -> R:
        """The answer."""


class Learner(Fold[S, LocalValues]):
    """A fold that ends in local values. One of your own is a subclass with these four functions; `fit` does the rest.

    >>> import numpy as np, markov_entanglement as me
    >>> class Mean(me.Learner):
    ...     '''The mean reward of each local pair, as if nothing followed.'''
    ...     def start(self, sizes, discount):
    ...         return [np.zeros((2, m)) for m in sizes], discount
    ...     def step(self, state, chunk):
    ...         for i, table in enumerate(state[0]):
    ...             np.add.at(table[0], chunk.pairs[:-1, i], chunk.rewards[:, i])
    ...             np.add.at(table[1], chunk.pairs[:-1, i], 1)
    ...         return state
    ...     def merge(self, a, b):
    ...         return [x + y for x, y in zip(a[0], b[0])], a[1]
    ...     def finish(self, state):
    ...         tables = tuple(s / np.maximum(n, 1) for s, n in state[0])
    ...         visits = tuple(n.astype(int) for _, n in state[0])
    ...         return me.LocalValues(tables, visits, state[1], int(visits[0].sum()), "mean reward")
    >>> entry = me.gallery.build("appendix-e")
    >>> path = me.simulate(entry.system, entry.policy, 500, rng=0)
    >>> Mean().fit(path, 0.5).q(0)
    array([0., 1.])
    """

    #: True: learns from one reward of all agents together, (B, 1); else from one of each agent.
    joint: ClassVar[bool] = False

    def fit(
        self,
        source: Path | Iterable[Chunk],
        discount: float | None = None,
        *,
        rewards: RewardsLike = None,
        sizes: ArrayLike | None = None,
        names: Sequence[str] | None = None,
    ) -> LocalValues:
        """Learn from a path, or from the chunks of one or several runs.

        Parameters
        ----------
        source : what `me.simulate` returns, or chunks; those of each `run` in turn, of several runs in any mixture.
        discount : gamma in [0, 1); None takes that of the source.
        rewards : one table (m_i,) or (S_i, A_i) per agent in the place of the recorded rewards.
        sizes : (N, 2) local states and actions of each agent, or (N,) local pairs; None takes those of the source.
        names : (N,) names of the agents, or of the groups that share tables.

        Raises
        ------
        InvalidInput : steps that do not fit together, pairs that are not there, no discount anywhere, a run that diverges.
        Unsupported : rewards or counts that this learner cannot learn from; several runs where it cannot merge them.
        TooLarge : tables that would not fit.
        """
        if offers(source, Path):
            path: Path = source  # type: ignore[assignment]
            told, steps = (path.sizes, path.discount), iter(())
            if path.counts is None:
                steps = of_path(path)
        else:
            path, (told, steps) = None, _opened(source)  # type: ignore[assignment]
        spaces = _spaces(sizes if sizes is not None else told[0])
        gamma = _gamma(told[1] if discount is None else discount)
        given = None if rewards is None else Rewards.of(rewards, spaces).local
        if rewards is not None and given is None:
            raise InvalidInput.kind("rewards", rewards, "one table per agent", "Split it: me.learn_reward(path).local.")
        Labels._strings("names", [] if names is None else list(names), len(names or ()))
        if path is not None and path.counts is not None:
            found = self.fit_counts(path, given or _arm_rewards(path), gamma)
        else:
            found = self._fold(steps, spaces, gamma, given)
        return _named(found, spaces, names)

    def _fold(
        self, chunks: Iterable[Chunk], spaces: Spaces, gamma: float, rewards: tuple[Floats, ...] | None
    ) -> LocalValues:
        sizes = np.array(spaces.pair_sizes, dtype=np.int64)
        read = _Reader(sizes, rewards, self.joint)
        states: dict[int, S] = {}
        for chunk in chunks:
            checked = read(chunk)
            if checked.run not in states:
                if len(states) == 1:
                    self.merge(self.start(sizes, gamma), self.start(sizes, gamma))  # told at once if it cannot
                states[checked.run] = self.start(sizes, gamma)
            states[checked.run] = self.step(states[checked.run], checked)
        if not states:
            raise InvalidInput("source", "no steps", "there must be at least one transition", "Simulate more steps.")
        return self.finish(reduce(self.merge, (states[run] for run in sorted(states))))

    def fit_counts(self, path: Path, rewards: tuple[Floats, ...], discount: float) -> LocalValues:
        """Learn from counts of arms; `Unsupported` where the learner follows single arms."""
        raise Unsupported(type(self).__name__, "a path in counts", "it follows single arms, which counts do not show",
                          "Take me.LSTD(), me.CountModel() or me.JointLSTD().")  # fmt: skip


def of_path(path: Path) -> Iterator[Chunk]:
    """The chunks of a path of agents; a row of -1 wherever the clock cut an episode.

    The last pair has no action after it unless its task ended.
    """
    assert path.states is not None and path.actions is not None
    steps, agents = path.actions.shape
    size = max(1, _CHUNK // max(agents, 1))
    wide = None if path.sizes is None else path.sizes[:, 1]
    ended = path.terminated
    cut = np.flatnonzero(path.truncated[:-1] & ~ended[:-1]) + 1  # before the first pair of the next episode
    # row k of the run: the step that it begins, -1 for the absence of all
    rows = np.insert(np.arange(steps + int(ended[-1])), cut, -1)
    for lo in range(0, len(rows) - 1, size):
        at = rows[lo : lo + size + 1]
        now = np.minimum(np.where(at < 0, 0, at), steps - 1)
        states, actions = path.states[now], path.actions[now]
        width = np.ones(agents, np.int64) if wide is None else wide
        there = (states >= 0) & ((at >= 0) & (at < steps))[:, None]
        pairs = np.where(there, states * width + actions, -1)
        step = now[:-1]
        yield Chunk(pairs, path.rewards[step], ended[step] & (at[:-1] >= 0))


class _Reader:
    """Checks chunks as they come, and puts in the rewards that were given."""

    def __init__(self, sizes: Ints, rewards: tuple[Floats, ...] | None, joint: bool) -> None:
        self.sizes, self.joint, self.last = sizes, joint, dict[int, Ints]()
        self.first = np.cumsum(sizes) - sizes
        self.table = None if rewards is None else np.concatenate(rewards)

    def __call__(self, chunk: Chunk) -> Chunk:
        pairs = np.ascontiguousarray(chunk.pairs, dtype=np.int64)
        ended = np.ascontiguousarray(chunk.ended, dtype=np.bool_)
        want = (len(ended) + 1, len(self.sizes))
        if pairs.shape != want:
            raise InvalidInput.shape("chunk.pairs", pairs.shape, want)
        outside = (pairs < -1) | (pairs >= self.sizes)
        if outside.any():
            t, i = (int(k) for k in np.argwhere(outside)[0])
            raise InvalidInput(f"chunk.pairs[{t}, {i}]", str(pairs[t, i]), f"agent {i} has {self.sizes[i]} local pairs",
                               "Pairs are A s + a; give the sizes of all states and actions.")  # fmt: skip
        before = self.last.get(chunk.run)
        if before is not None and (before != pairs[0]).any():
            raise InvalidInput("chunk.pairs[0]", short(pairs[0].tolist()), "it must be the last of the chunk before",
                               "Give another run its own number; put a row of -1 where a run is cut.")  # fmt: skip
        self.last[chunk.run] = pairs[-1].copy()
        return Chunk(pairs, self._rewards(chunk.rewards, pairs[:-1]), ended, chunk.run)

    def _rewards(self, recorded: Floats, pairs: Ints) -> Floats:
        if self.table is not None:
            paid = np.where(pairs < 0, 0.0, self.table[np.where(pairs < 0, 0, self.first + pairs)])
        else:
            paid = np.ascontiguousarray(recorded, dtype=np.float64)
        steps, agents = pairs.shape
        if paid.shape not in {(steps, agents), (steps, 1)}:
            if paid.shape == (steps, 0):
                raise Unsupported("rewards", "none recorded", "values need rewards", "Give rewards=, a table per agent.")
            raise InvalidInput.shape("chunk.rewards", paid.shape, (steps, agents))
        if not np.isfinite(paid).all():
            raise InvalidInput("chunk.rewards", "NaN or infinity", "rewards must be finite", "Fill them in.")
        if self.joint:
            return paid.sum(axis=1, keepdims=True)
        if paid.shape[1] != agents:
            raise Unsupported("rewards", "one reward for all agents", "this learner needs one of each agent",
                              "Give rewards=me.learn_reward(path).local, or take me.JointLSTD().")  # fmt: skip
        return paid


def _opened(source: Any) -> tuple[tuple[Ints | None, float | None], Iterator[Chunk]]:
    """What the first chunk tells of sizes and discount, and all chunks."""
    if not isinstance(source, Iterable) or isinstance(source, str | bytes | dict | np.ndarray):
        raise InvalidInput.kind("source", source, "a path or chunks", "E.g. me.simulate(system, policy, 10_000, rng=0).")
    steps = iter(source)
    first = next(steps, None)
    if first is None:
        raise InvalidInput("source", "no chunks", "there must be at least one", "An iterator is used up only once.")
    return (first.sizes, first.discount), chain([first], steps)


def _spaces(sizes: Any) -> Spaces:
    if sizes is None:
        raise InvalidInput("sizes", "None", "the source does not tell how many local states and actions there are",
                           "Give sizes=, an array (agents, 2) of both.")  # fmt: skip
    a = np.asarray(_check.real("sizes", sizes))
    if a.ndim == 1:
        a = np.column_stack([a, np.ones(len(a))])
    if a.ndim != 2 or a.shape[1] != 2 or not len(a) or (a != np.round(a)).any() or a.min() < 1:
        raise InvalidInput("sizes", f"shape {a.shape}" if a.ndim != 2 or a.shape[1] != 2 else short(a.tolist()),
                           "whole numbers >= 1, (agents, 2) or (agents,)", "Local states and actions of each agent.")  # fmt: skip
    return Spaces(*(tuple(int(k) for k in column) for column in a.T))


def _gamma(discount: Any) -> float:
    if discount is None:
        raise InvalidInput.kind("discount", None, *NO_DISCOUNT)
    return _check.discount(discount)


def _arm_rewards(path: Path) -> tuple[Floats, ...]:
    if path.arm_rewards is None:
        raise Unsupported("rewards", "none of single arms", "values need them", "Give rewards=, a table per arm type.")
    return tuple(np.ascontiguousarray(r).ravel() for r in path.arm_rewards)


def _named(found: LocalValues, spaces: Spaces, names: Sequence[str] | None) -> LocalValues:
    """The same, with what the source told of names and actions."""
    tables = len(found.local)
    of = np.arange(tables) if found.groups is None else np.unique(found.groups, return_index=True)[1]
    if names and len(names) != tables:
        raise InvalidInput("names", f"{len(names)} names", f"there are {tables} tables", "One for each.")
    return replace(found, actions=tuple(spaces.n_actions[i] for i in of), names=tuple(names or found.names))


@dataclass(frozen=True, eq=False)
class Pool:
    """Which agents share a table.

    Attributes
    ----------
    group : (N,) table of each agent; sizes : (G,) length of each table.
    """

    group: Ints
    sizes: Ints

    @classmethod
    def of(cls, pool: Any, sizes: Ints) -> Pool:
        """From a label for each agent, equal ones share; None: one table each."""
        if pool is None:
            return cls(np.arange(len(sizes)), sizes)
        if np.ndim(pool) != 1 or len(pool) != len(sizes):
            raise InvalidInput("pool", short(pool), f"one label for each of {len(sizes)} agents",
                               "Agents with equal labels share a table.")  # fmt: skip
        _, first, group = np.unique(np.asarray(pool), return_index=True, return_inverse=True)
        group = group.reshape(-1)
        if (sizes != sizes[first][group]).any():
            i = int(np.argmax(sizes != sizes[first][group]))
            got = f"agents {first[group[i]]} and {i} together"
            raise InvalidInput("pool", got, "agents that share a table have as many local pairs", "Give them two labels.")
        return cls(group, sizes[first])

    @property
    def starts(self) -> Ints:
        """(G,) where each table begins in one row."""
        return np.cumsum(self.sizes) - self.sizes

    @property
    def shared(self) -> Ints | None:
        """(N,) table of each agent where some share one, else None."""
        return None if len(self.group) == len(self.sizes) else self.group

    def cut(self, row: Any, sizes: Ints | None = None) -> tuple[Any, ...]:
        """The tables in one row."""
        return tuple(np.split(row, np.cumsum(self.sizes if sizes is None else sizes)[:-1]))

