"""Arm types with different numbers of local states: the smaller ones get states that nothing leads to.

Such a state moves and pays as the last own one does, so it is never recurrent, has the last one's index, and changes no
number. It is named `UNUSED` and shows in tables by that name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from .. import _check
from .._check import Floats, Ints
from .spaces import Labels, Spaces

UNUSED = "(not used)"
Array = TypeVar("Array", Floats, Ints)


def of_several_sizes(value: Any) -> bool:
    """Whether it is a list of kernels (2, S_t, S_t), one per arm type, of different S_t."""
    if not isinstance(value, list | tuple) or len(value) < 2 or any(_check.depth(k) != 3 for k in value):
        return False
    return len({_check.shape_of("kernels", k[-1])[-1] for k in value}) > 1


def widened(table: Array, axis: int, size: int) -> Array:
    """The last entry along an axis repeated until there are `size`."""
    last = np.take(table, [-1], axis=axis)
    return np.concatenate([table, np.repeat(last, size - table.shape[axis], axis=axis)], axis=axis)


def wide_kernels(kernels: Sequence[Floats]) -> Floats:
    """(T, 2, S, S) of kernels (2, S_t, S_t)."""
    size = max(k.shape[-1] for k in kernels)
    pads = [((0, 0), (0, 0), (0, size - k.shape[-1])) for k in kernels]
    return np.stack([np.pad(widened(k, 1, size), p) for k, p in zip(kernels, pads, strict=True)])


def wide_labels(names: Labels, own: Sequence[int], size: int) -> Labels:
    """Names of `size` states for every type, the `own` ones by number where they have no name."""
    spaces = Spaces((size,) * len(own), (2,) * len(own))
    states = [[*(names.state(t, s) for s in range(k)), *[UNUSED] * (size - k)] for t, k in enumerate(own)]
    return replace(names, states=Labels.of({"states": states}, spaces).states)


def own_states(names: Labels, t: int, size: int) -> int:
    """How many of the `size` states of type t are its own."""
    states = list(names.state_names(t) or ())
    while states and states[-1] == UNUSED:
        states.pop()
    return len(states) or size


def own_rows(index: Floats, names: Labels) -> Floats | list[Floats]:
    """(S,) or (T, S) as it is, or where types have different numbers of states the row of each over its own ones."""
    rows = [row[: own_states(names, t, len(row))] for t, row in enumerate(np.atleast_2d(index))]
    return index if all(len(row) == index.shape[-1] for row in rows) else rows
