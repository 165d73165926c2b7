"""Containers with names along their axes (data frames, series, labelled arrays), known by their shape, never imported.

Numbers that carry names are put in the order of the names that are wanted, or refused by name: their own order says
nothing. Names that only count, 0, 1, ..., n - 1 in this order, are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import InvalidInput, short

#: Names along one axis, or None where it has none.
Names = tuple[str, ...] | None


def names_of(value: Any) -> tuple[Names, ...]:
    """Names along each axis of a labelled container; () of anything else."""
    if hasattr(value, "to_numpy") and hasattr(value, "index"):
        axes = [value.index, *([value.columns] if hasattr(value, "columns") else [])]
        return tuple(_real_names(list(axis)) for axis in axes)
    if hasattr(value, "dims") and hasattr(value, "coords"):
        return tuple(
            _real_names(value.coords[d].values.tolist()) if d in value.coords else None for d in value.dims
        )
    return ()


def _real_names(axis: list[Any]) -> Names:
    names = tuple(map(str, axis))
    return (
        None
        if names == tuple(map(str, range(len(names)))) and not any(isinstance(x, str) for x in axis)
        else names
    )


def in_order(names: Names) -> Names:
    """The names as they come, numbers 0, 1, ... in their own order."""
    counts = tuple(map(str, range(len(names or ()))))
    return counts if names and sorted(names) == sorted(counts) else names


def named(value: Any) -> bool:
    """Whether an axis of the container, or of one in a list of them, has names."""
    if isinstance(value, list | tuple):
        each = {id(v): v for v in value}.values()  # an object may stand for very many agents
        return any(named(v) for v in each if not isinstance(v, int | float))
    return any(n is not None for n in names_of(value))


def aligned(name: str, value: Any, want: Sequence[Names]) -> Any:
    """The numbers of a container in the order of the names that are wanted along its last axes; of a list, of each.

    An axis of which no names are wanted may have none. What is no labelled container stays as it is.
    """
    if isinstance(value, list | tuple):
        return [aligned(f"{name}[{k}]", v, want) for k, v in enumerate(value)] if named(value) else value
    found = names_of(value)
    if not found:
        return value
    numbers = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value.values)
    wanted = [None] * (len(found) - len(want)) + list(want)[max(len(want) - len(found), 0) :]
    for axis, (have, names) in enumerate(zip(found, wanted, strict=True)):
        if have is not None:
            numbers = np.take(numbers, _order(name, axis, have, names), axis=axis)
    return numbers


def _order(name: str, axis: int, have: tuple[str, ...], want: Names) -> list[int]:
    """Places of the wanted names."""
    want = want or (ordered if (ordered := in_order(have)) != have else None)
    if want is None:
        rule, remedy = (
            "nothing here says in which order they are wanted",
            "Pass frame.to_numpy() if its is right.",
        )
        raise InvalidInput(name, f"names along axis {axis} ({_few(have)})", rule, remedy)
    twice = [x for k, x in enumerate(have) if x in have[:k]]
    if twice:
        raise InvalidInput(name, f"{_few(twice)} twice along axis {axis}", "names must differ", "Rename one.")
    lost, new = [x for x in want if x not in have], [x for x in have if x not in want]
    if lost or new:
        got = "; ".join(f"{word} {_few(x)}" for word, x in (("no", lost), ("the unknown", new)) if x)
        rule = f"the names along axis {axis} must be {_few(want)}"
        raise InvalidInput(
            name, got, rule, "Rename or add what differs (frame.reindex), or pass frame.to_numpy()."
        )
    place = {x: k for k, x in enumerate(have)}
    return [place[x] for x in want]


def _few(names: Sequence[str]) -> str:
    """The first of the names."""
    return f"{', '.join(map(short, names[:5]))}{', ...' if len(names) > 5 else ''}"
