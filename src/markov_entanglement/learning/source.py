"""What learners take in: a path as chunks, chunks checked as they come, and what a source tells of its agents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from .. import _check
from .._check import Floats, Ints
from ..errors import NO_DISCOUNT, InvalidInput, Unsupported, short
from ..laws.source import demand
from ..model.spaces import Labels, Spaces
from ..runs.chunk import Chunk
from ..runs.path import Path

#: Numbers of one chunk of a path.
_CHUNK = 2**20


def of_path(path: Path, wide: Ints) -> Iterator[Chunk]:
    """The chunks of a path of agents with `wide` (N,) actions; a row of -1 wherever the clock cut an episode.

    The last pair has no action after it unless its task ended.
    """
    assert path.states is not None and path.actions is not None
    if path.actions.shape[1] != len(wide):
        raise InvalidInput.shape("sizes", (len(wide), 2), (path.actions.shape[1], 2))
    if (path.actions >= wide).any():
        got = f"{path.actions.max()} among the actions of the path"
        raise InvalidInput(
            "sizes", got, "actions lie below their number", "Give (agents, 2): states and actions."
        )
    steps, agents = path.actions.shape
    size = max(1, _CHUNK // max(agents, 1))
    ended = path.terminated
    cut = np.flatnonzero(path.truncated[:-1] & ~ended[:-1]) + 1  # before the first pair of the next episode
    # row k of the run: the step that it begins, -1 for the absence of all
    rows = np.insert(np.arange(steps + int(ended[-1])), cut, -1)
    for lo in range(0, len(rows) - 1, size):
        at = rows[lo : lo + size + 1]
        now = np.minimum(np.where(at < 0, 0, at), steps - 1)
        states, actions = path.states[now], path.actions[now]
        there = (states >= 0) & ((at >= 0) & (at < steps))[:, None]
        pairs = np.where(there, states * wide + actions, -1)
        step = now[:-1]
        yield Chunk(pairs, path.rewards[step], ended[step] & (at[:-1] >= 0))


class Reader:
    """Checks chunks as they come, and puts in the rewards that were given."""

    def __init__(self, sizes: Ints, rewards: tuple[Floats, ...] | None, joint: bool) -> None:
        self.sizes, self.joint, self.last = sizes, joint, dict[int, Ints]()
        self.first = np.cumsum(sizes) - sizes
        self.table = None if rewards is None else np.concatenate(rewards)

    def __call__(self, chunk: Chunk) -> Chunk:
        a_chunk(chunk)
        if np.asarray(chunk.pairs).dtype.kind not in "iu":
            got = f"entries of type {np.asarray(chunk.pairs).dtype}"
            raise InvalidInput("chunk.pairs", got, "pairs are integers A s + a", "Round them.")
        pairs = np.ascontiguousarray(chunk.pairs, dtype=np.int64)
        over = np.asarray(chunk.ended)
        if over.ndim != 1 or (over.size and over.dtype.kind not in "biu"):
            raise InvalidInput.kind("chunk.ended", chunk.ended, "(B,) booleans", "E.g. np.zeros(B, bool).")
        ended = np.ascontiguousarray(over, dtype=np.bool_)
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
            paid = _check.real("chunk.rewards", recorded)
        steps, agents = pairs.shape
        if paid.shape not in {(steps, agents), (steps, 1)}:
            if paid.shape == (steps, 0):
                raise Unsupported(
                    "rewards", "none recorded", "values need rewards", "Give rewards=, a table per agent."
                )
            raise InvalidInput.shape("chunk.rewards", paid.shape, (steps, agents))
        if self.joint:
            return paid.sum(axis=1, keepdims=True)
        if paid.shape[1] != agents:
            raise Unsupported("rewards", "one reward for all agents", "this learner needs one of each agent",
                              "Give rewards=me.learn_reward(path).local, or take me.JointLSTD().")  # fmt: skip
        return paid


def opened(source: Any) -> tuple[tuple[Ints | None, float | None], Iterator[Chunk]]:
    """What the first chunk tells of sizes and discount, and all chunks."""
    if not isinstance(source, Iterable) or isinstance(source, str | bytes | dict | np.ndarray):
        raise InvalidInput.kind(
            "source", source, "a path or chunks", "E.g. me.simulate(system, policy, 10_000, rng=0)."
        )
    steps = iter(source)
    first = next(steps, None)
    if first is None:
        raise InvalidInput(
            "source", "no chunks", "there must be at least one", "An iterator is used up only once."
        )
    a_chunk(first)
    return (first.sizes, first.discount), chain([first], steps)


def a_chunk(value: Any) -> None:
    """Refuse whatever is none."""
    demand(
        "source", value, Chunk, "it must be a path or yield chunks", "E.g. me.Chunk(pairs, rewards, ended)."
    )


def spaces_of(sizes: Any) -> Spaces:
    if sizes is None:
        raise InvalidInput("sizes", "None", "the source does not tell how many local states and actions there are",
                           "Give sizes=, an array (agents, 2) of both.")  # fmt: skip
    a = np.asarray(_check.real("sizes", sizes))
    if a.ndim == 1:
        a = np.column_stack([a, np.ones(len(a))])
    if a.ndim != 2 or a.shape[1] != 2 or not len(a):
        raise InvalidInput.shape("sizes", a.shape, ("agents", 2))
    if (a != np.round(a)).any() or a.min() < 1 or a.max() >= 2**31:
        rule, helps = "whole numbers >= 1 below 2^31", "Local states and actions of each agent."
        raise InvalidInput.kind("sizes", a.tolist(), rule, helps)
    return Spaces(*(tuple(int(k) for k in column) for column in a.T))


def of_counts(path: Path, sizes: Any, pool: Any) -> Ints:
    """(types, 2) states and actions of a path in counts; refuses other ones, shared tables, and a single step."""
    types, states = path.counts.shape[1:]  # type: ignore[union-attr]
    own = np.tile(np.array([states, 2], dtype=np.int64), (types, 1))
    if sizes is not None and spaces_of(sizes) != spaces_of(own):
        rule, helps = f"{types} arm types in {states} states with 2 actions", "Leave it out."
        raise InvalidInput.kind("sizes", sizes, rule, helps)
    if pool is not None:
        rule = "arms of a type share a table already"
        raise Unsupported("pool", "labels for a path in counts", rule, "Leave it out.")
    if path.steps < 2:
        raise InvalidInput(
            "source", "1 step", "there must be at least one transition", "Simulate more steps."
        )
    return own


def names_of(names: Any) -> tuple[str, ...]:
    """Names as text; none of None."""
    listed = isinstance(names, Iterable) and not isinstance(names, str | bytes)
    found = [str(x) if isinstance(x, str) else x for x in names] if listed else names
    return () if names is None else Labels.strings("names", found, len(found) if listed else 0)


def gamma_of(discount: Any) -> float:
    if discount is None:
        raise InvalidInput.kind("discount", None, *NO_DISCOUNT)
    return _check.discount(discount)


def arm_rewards(path: Path) -> tuple[Floats, ...]:
    if path.arm_rewards is None:
        raise Unsupported(
            "rewards", "none of single arms", "values need them", "Give rewards=, a table per arm type."
        )
    return tuple(np.ascontiguousarray(r).ravel() for r in path.arm_rewards)
