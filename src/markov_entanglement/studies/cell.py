"""One cell of a sweep, as workers do it: what the work finds in it, in plain numbers and words.

Nothing else is imported here, for a worker that is started again imports this, and what the work needs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .._json import plain
from .._random import stream
from ..errors import InvalidInput
from ..laws.source import offers
from ..report.result import Result

FAILED = "failed"
SCALARS = (str, bool, int, float, type(None))
#: Entries of a list that a row may hold; letters of what is said of a failure.
_MOST_ENTRIES, _MOST_LETTERS = 16, 600
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def outcome(work: Callable[..., Any], drawn: bool, at: dict[str, Any], seed: int) -> dict[str, Any]:
    """What the work finds in a cell, in plain words and numbers by their places, or how it fails."""
    key = int(hashlib.sha256(text_of(at).encode()).hexdigest()[:32], 16)
    given = {"rng": stream(seed, key)} if drawn else {}
    try:
        return {"found": _flat(work(**at, **given))}
    except Exception as e:
        return {FAILED: said(e)}


def said(error: Exception) -> str:
    """An error in one line that is the same in every process."""
    line = " ".join(f"{type(error).__name__}: {_ADDRESS.sub('', str(error))}".split())
    cut = 2 * _MOST_LETTERS // 3  # what is done about it stands at the end
    return line if len(line) <= _MOST_LETTERS else f"{line[:cut]}…{line[cut - _MOST_LETTERS + 1 :]}"


def _flat(found: Any) -> dict[str, Any]:
    """Numbers and words of what the work returned, by their places; long lists of results are left out."""
    if offers(found, Result):
        return dict(_places(plain(found.to_dict()), ""))
    if not isinstance(found, Mapping):
        found = {"value": found}
    whole = {str(k): v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in found.items()}
    flat = dict(_places(whole, ""))
    for name in whole:
        if not any(place == name or place.startswith(f"{name}.") for place in flat) and whole[name] not in (
            [],
            {},
        ):
            rule = f"a result, a number, or a dict of numbers, words and lists of at most {_MOST_ENTRIES} of them"
            raise InvalidInput.kind(f"what the work returns, {name}", whole[name], rule, "Return numbers.")
    return flat


def _places(found: Any, place: str) -> Iterator[tuple[str, Any]]:
    """(place by dots, number or word), depth first."""
    if isinstance(found, np.generic):
        found = found.item()
    if isinstance(found, SCALARS):
        yield place, found
    elif isinstance(found, Mapping):
        for name, x in found.items():
            yield from _places(x, f"{place}.{name}" if place else str(name))
    elif isinstance(found, list | tuple) and len(found) <= _MOST_ENTRIES:
        for k, x in enumerate(found):
            if isinstance(x, SCALARS) or (isinstance(x, list) and len(x) == 2):  # limits of each
                yield from _places(x, f"{place}.{k}")


def text_of(value: Any) -> str:
    """One text of what is equal."""
    return json.dumps(value, sort_keys=True)
