"""Candidates of values: local tables, results that have some, or a function, read for the units of a system."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from .. import _check
from .._check import Floats, Ints
from ..errors import InvalidInput
from ..laws.source import offers
from .engine import flat, score
from .view import View


@runtime_checkable
class Tabular(Protocol):
    """What has local tables; some add a constant, some say how much learning left."""

    @property
    def local_q(self) -> Sequence[Any]: ...


@runtime_checkable
class Shifted(Protocol):
    """Local tables and a constant."""

    @property
    def constant(self) -> float: ...


@runtime_checkable
class Noisy(Protocol):
    """Local tables with what learning left."""

    @property
    def learning_noise(self) -> float: ...


@runtime_checkable
class Completed(Protocol):
    """Local tables with gaps that are filled elsewhere; None: there are none."""

    @property
    def completed(self) -> Sequence[Any] | None: ...


class Given(NamedTuple):
    """A candidate: local tables and a constant, or a function."""

    tables: list[Floats]  # (m_u,) of each unit; NaN throughout for a function
    constant: float
    function: Callable[[Ints], Any] | None
    noise: float | None  # in L2(mu), where it says how much learning left

    @property
    def additive(self) -> bool:
        """Whether it is known to be."""
        return self.function is None

    def on(self, view: View) -> Given:
        """The same on the local pairs of the system, of which it reads no more than the view shows."""
        asked = self.function
        function = None if asked is None else lambda pairs: asked(view.pairs(pairs))
        return self._replace(tables=list(view.wide(self.tables)), function=function)

    def of_pairs(self, pairs: Ints) -> Floats:
        """(n,) values at local pairs (n, N) of all agents, NaN where a table has none."""
        if self.function is not None:
            return _answer(self.function, pairs)
        first, q = flat(self.tables)
        out = np.empty(len(pairs))
        score(pairs, first, q, out)
        return out + self.constant

    def of_counts(self, counts: Ints) -> Floats:
        """(n,) values at numbers (n, M) of arms at each local pair, NaN where a table lacks one that occurs."""
        if self.function is not None:
            return _answer(self.function, counts)
        q = np.concatenate(self.tables)
        known = np.isfinite(q)
        found = counts @ np.where(known, q, 0.0) + self.constant
        return np.where((counts[:, ~known] > 0).any(axis=1), math.nan, found)


def candidate_of(candidate: Any, sizes: Sequence[int]) -> Given:
    """What was given, read for units of so many local pairs."""
    tables: Any = candidate
    constant, noise = 0.0, None
    if offers(candidate, Tabular):
        tables = candidate.completed if offers(candidate, Completed) else None
        tables = candidate.local_q if tables is None else tables
        constant = float(candidate.constant) if offers(candidate, Shifted) else 0.0
        noise = float(candidate.learning_noise) if offers(candidate, Noisy) else None
    elif callable(candidate):
        return Given([np.full(m, math.nan) for m in sizes], 0.0, candidate, None)
    listed = _check.sequence(
        "candidate", tables, "one local table (m_i,) per agent, or a callable on local pairs"
    )
    _check.known("candidate", listed)
    if len(listed) != len(sizes):
        got, rule = f"{len(listed)} local tables", f"there are {len(sizes)} agents (types)"
        raise InvalidInput("candidate", got, rule, "Give one (m_i,) table for each.")
    found = []
    for i, (table, size) in enumerate(zip(listed, sizes, strict=True)):
        shape = _check.shape_of(f"candidate[{i}]", table)
        if not shape or math.prod(shape) != size:
            raise InvalidInput.shape(f"candidate[{i}]", shape, (size,))
        found.append(_check.real(f"candidate[{i}]", table, gaps=True).reshape(-1))
    return Given(found, constant, None, noise)


def _answer(function: Callable[[Ints], Any], at: Ints) -> Floats:
    """What a user's function says at joint pairs, one in each row."""
    try:
        found = np.asarray(function(at))
    except InvalidInput:
        raise
    except Exception as e:
        got, rule = (
            f"{type(e).__name__} ({e})",
            f"it must answer {len(at)} joint pairs, an array of shape {at.shape}",
        )
        raise InvalidInput("candidate", got, rule, "Mend the function.") from e
    if found.shape != (len(at),) or found.dtype.kind not in "fiu":
        got = f"{found.dtype} of shape {found.shape} for {len(at)} joint pairs, an array of shape {at.shape}"
        raise InvalidInput("candidate", got, "it returns (n,) numbers", "Mend the function.")
    return found.astype(np.float64)


def finite(values: Floats) -> Floats:
    """The values of a candidate; refused where one is not finite."""
    if not np.isfinite(values).all():
        raise InvalidInput("candidate", "a value that is not finite at a pair that occurs", "each needs a value",
                           "Fill it in, or certify another candidate.")  # fmt: skip
    return values
