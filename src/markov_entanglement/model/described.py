"""What a result says of policies and rewards, so that two analyses differ where these do and each is known again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._check import Floats, shape_of
from ..errors import by, short
from .policy import IndexPolicy
from .words import WORDS

#: Priorities are written out up to so many numbers; beyond, the digest tells them apart.
MOST = 10_000
_NOUNS = {w.name: w.word for w in WORDS.values() if not w.ranks}


def digest(*arrays: Any) -> str:
    """Twelve hexadecimal digits of the numbers of these arrays: equal laws have equal ones."""
    return digest_of((np.shape(a), [np.asarray(a)]) for a in arrays)


def digest_of(arrays: Iterable[tuple[tuple[int, ...], Iterable[Any]]]) -> str:
    """The same of arrays that are told by their shapes and blocks of their rows."""
    found = hashlib.sha256()
    for shape, blocks in arrays:
        found.update(f"{shape};".encode())
        for a in blocks:  # no negative zero
            kept = a.astype("<f8") + 0.0 if a.dtype.kind == "f" else a.astype("<i8", copy=False)
            found.update(kept.ravel().data)
    return found.hexdigest()[:12]


def in_words(policy: Any) -> str:
    """A policy in a line without addresses in memory: a word, a call, the shape of a table, the name of own code."""
    if policy is None or isinstance(policy, str) or type(policy).__name__ in _NOUNS:
        return repr(policy)
    if _is_table(policy):
        return f"a table of shape {by(shape_of('policy', policy))}"
    named = policy if hasattr(policy, "__qualname__") else type(policy)
    maker, inside, own = named.__qualname__.partition(".<locals>.")
    where = f"{getattr(named, '__module__', '')}:{maker}"
    return f"{own} of {where}" if inside else where


def _is_table(policy: Any) -> bool:
    return isinstance(policy, list | tuple) or hasattr(policy, "__array__") or sp.issparse(policy)


def policy_described(policy: Any) -> dict[str, Any]:
    """What `under` took, for the `system` block: its word, a line, and priorities where they are short."""
    own = "table" if _is_table(policy) else "callable" if callable(policy) else "object"
    out = {"word": _NOUNS.get(type(policy).__name__, own), "says": in_words(policy)}
    flat = isinstance(policy, IndexPolicy) and all(p.ndim == 1 for p in policy.priority)
    if flat and sum(map(len, policy.priority)) <= MOST:
        never = any(np.isneginf(p).any() for p in policy.priority)  # no number: `says` has it
        return out if never else out | {"priority": [p.tolist() for p in policy.priority]}
    return out


def called(subject: Any, policy: Any, **changes: Any) -> str:
    """The call of `analyze` from Python, arguments that were not given left out, arrays as "..."."""
    words = [short(subject), *([] if policy is None else [in_words(policy)])]
    for name, value in changes.items():
        if value is not None:
            plain = name in ("distances", "method") or isinstance(value, int | float)
            words.append(f"{name}={short(value) if plain else '...'}")
    return f"me.analyze({', '.join(words)})"


#: The same of a chain that is given as such.
INSIDE = {"word": "inside", "says": "the chain is given with its policy inside"}


def rewards_described(tables: tuple[Floats, ...] | None, shared: Floats | None = None) -> dict[str, Any]:
    """Whether each agent has its "own" rewards or all have "shared" ones, their range and digest."""
    given = (shared,) if tables is None else tables
    flat = np.concatenate([np.ravel(t) for t in given])  # type: ignore[arg-type]
    kind = "shared" if tables is None else "own"
    return {"kind": kind, "range": [float(flat.min()), float(flat.max())], "digest": digest(flat)}
