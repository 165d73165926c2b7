"""Learners as folds over chunks of steps.

A fold has four functions: `start` makes a state, `step` takes in a chunk, `merge` joins the states of two independent
runs, `finish` gives the answer. Chunks of any size, any number of runs and any source of steps are therefore one thing,
and a learner of one's own is these four. What they take in is made in `source.py`, once.

Agents that are absent (-1) take no part. A step of an agent from or to -1 is no transition, so that a row of -1
stands where the clock cut an episode: values stop where a task `ended`, and go on through a cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, Generic, TypeVar

import numpy as np

from .._check import Floats, Ints
from .._types import ArrayLike, RewardsLike
from ..errors import InvalidInput, Unsupported
from ..laws.source import Space, offers
from ..model.rewards import Rewards
from ..model.spaces import Spaces
from ..runs.chunk import Chunk
from ..runs.path import Path
from .result import LocalValues
from .source import Reader, gamma_of, names_of, of_counts, of_path, opened, spaces_of

S = TypeVar("S")
R = TypeVar("R")


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
    joint: bool = False
    #: A label for each agent, equal ones share a table; None: one table each.
    pool: ArrayLike | None = None

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
        InvalidInput : steps that do not fit together, pairs that are not there, no discount anywhere, divergence.
        Unsupported : rewards or counts that this learner cannot learn from; several runs where it cannot merge them.
        TooLarge : tables that would not fit.
        """
        path: Any = source if offers(source, Path) else None
        (size, gamma), steps = opened(source) if path is None else ((path.sizes, path.discount), None)
        counts = path is not None and path.counts is not None
        size = of_counts(path, sizes, self.pool) if counts else size if sizes is None else sizes
        spaces, named = spaces_of(size), names_of(names)
        gamma = gamma_of(gamma if discount is None else discount)
        given = None if rewards is None else Rewards.of(rewards, spaces).local
        if rewards is not None and given is None:
            rule, helps = "one table per agent", "Split it: me.learn_reward(path).local."
            raise InvalidInput.kind("rewards", rewards, rule, helps)
        if counts:
            return _named(self.fit_counts(path, given, gamma), spaces, named)
        chunks = of_path(path, np.array(spaces.n_actions)) if steps is None else steps
        return _named(self._fold(chunks, spaces, gamma, given), spaces, named)

    def _fold(
        self, chunks: Iterable[Chunk], spaces: Spaces, gamma: float, rewards: tuple[Floats, ...] | None
    ) -> LocalValues:
        sizes = np.array(spaces.pair_sizes, dtype=np.int64)
        read = Reader(sizes, rewards, self.joint)
        states: dict[int, S] = {}
        for chunk in chunks:
            checked = read(chunk)
            if checked.run not in states:
                if len(states) == 1:
                    self.merge(
                        self.start(sizes, gamma), self.start(sizes, gamma)
                    )  # told at once if it cannot
                states[checked.run] = self.start(sizes, gamma)
            states[checked.run] = self.step(states[checked.run], checked)
        if not states:
            raise InvalidInput(
                "source", "no steps", "there must be at least one transition", "Simulate more steps."
            )
        return self.finish(reduce(self.merge, (states[run] for run in sorted(states))))

    def limit_on(self, space: Space, discount: float) -> Floats | None:
        """(n,) the sum of the values that it converges to, on the pairs of an exact chain; None: not known."""
        return None

    def fit_counts(self, path: Path, rewards: tuple[Floats, ...] | None, discount: float) -> LocalValues:
        """Learn from counts of arms; `Unsupported` where the learner follows single arms."""
        raise in_order(type(self).__name__, "a path in counts")


def in_order(name: str, got: str) -> Unsupported:
    """The refusal of counts by what needs to know which arm went where."""
    rule = "it takes the steps of each arm in their order, and counts do not say which arm went where"
    helps = "Take me.LSTD(), me.CountModel() or me.JointLSTD() without a trace, or follow the arms"
    arms = "me.arm_path(me.Arms.of(bandit, policy), 10_000, rng=0), with pool= their types."
    return Unsupported(name, got, rule, f"{helps}: {arms}")


def _named(found: LocalValues, spaces: Spaces, names: tuple[str, ...]) -> LocalValues:
    """The same, with what the source told of names and actions."""
    tables = len(found.local)
    of = found.tabled
    if found.groups is not None and len(names) == len(found.groups) != tables:
        names = ()  # of agents that share tables
    if names and len(names) != tables:
        raise InvalidInput("names", f"{len(names)} names", f"there are {tables} tables", "One for each.")
    return replace(found, actions=tuple(spaces.n_actions[i] for i in of), names=names or found.names)
