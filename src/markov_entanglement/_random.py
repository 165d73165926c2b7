"""Random numbers: one convention of `rng`, and streams that depend on a seed and a name alone."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from .errors import InvalidInput


def generator(rng: Any) -> np.random.Generator:
    """The Generator of a user's `rng`: a seed (an int >= 0) or a numpy Generator, which is used as it is."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, bool | np.bool_) or not isinstance(rng, numbers.Integral) or int(rng) < 0:
        raise InvalidInput.kind("rng", rng, "a seed, an int >= 0, or a numpy Generator", "E.g. rng=0.")
    return np.random.default_rng(int(rng))


def seed_of(rng: Any) -> int:
    """A seed drawn from `rng`, of which streams are made; advances a Generator by one number."""
    return int(generator(rng).integers(0, 2**63))


def told(rng: Any) -> int | None:
    """The seed where it was given as a number, for the record; None of a Generator, whose state nobody writes down."""
    return int(rng) if isinstance(rng, int | np.integer) else None


def stream(seed: int, *key: int) -> np.random.Generator:
    """The generator of one cell of work: the same whatever else runs, and in whatever order."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def children(rng: Any, count: int) -> list[np.random.Generator]:
    """Independent generators, one per cell of work; the same ones whatever the number of workers."""
    seed = seed_of(rng)
    return [stream(seed, k) for k in range(count)]


def streams(rng: Any, *names: str) -> list[np.random.Generator]:
    """Independent generators by name: another question, or another policy, never sees the same numbers.

    >>> from markov_entanglement._random import streams
    >>> a, b = streams(0, "entanglement", "values")
    >>> bool(streams(0, "values")[0].random() == b.random() != a.random())
    True
    """
    seed = seed_of(rng)
    return [stream(seed, 0, *name.encode()) for name in names]
