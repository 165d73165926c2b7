"""The only validators. Each returns a frozen float64 (or int64) copy, or raises `InvalidInput`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from . import _tolerance as tol
from ._labelled import aligned
from .errors import InvalidInput, by, short

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: Sizes of axes; letters are open (equal letters, equal sizes), and None is any size.
Shape = Sequence[int | str | None]
_A = TypeVar("_A", bound=NDArray[Any])


def freeze(a: _A) -> _A:
    """Return `a`, no longer writeable."""
    a.setflags(write=False)
    return a


def sums_by(index: Ints | NDArray[np.int32], weights: Floats, size: int) -> Floats:
    """(size,) sums of `weights` by `index`."""
    return np.asarray(np.bincount(index, weights, minlength=size), dtype=np.float64)


def unit_of(values: Floats) -> float:
    """The power of two just below the largest absolute value of an array of any shape; 1 when there is none.

    >>> unit_of(np.array([0.0, -5.0])), unit_of(np.zeros(2))
    (4.0, 1.0)
    """
    largest = float(np.abs(values).max(initial=0.0))
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest > 0.0 else 1.0


def shape_of(name: str, value: Any, remedy: str = "Give them one shape.") -> tuple[int, ...]:
    """Shape of an array, a sparse matrix or nested lists; `remedy` for ragged ones."""
    if sp.issparse(value):
        return tuple(value.shape)
    try:
        return np.shape(value)
    except ValueError:
        raise _ragged(name, value, remedy) from None


def depth(value: Any) -> int:
    """Number of axes of an array, a sparse matrix or nested lists of either; 0 of ragged ones."""
    first, level = value, 0
    while isinstance(first, list | tuple) and len(first):
        first, level = first[0], level + 1
    if sp.issparse(first):
        return level + 2
    try:
        return np.ndim(value)
    except ValueError:
        return 0


def _ragged(name: str, value: Any, remedy: str) -> InvalidInput:
    """Names the first entry whose shape is not that of its first neighbour."""
    shapes = []
    for k, part in enumerate(value):
        try:
            shapes.append(np.shape(part))
        except ValueError:
            return _ragged(f"{name}[{k}]", part, remedy)
    k = next((k for k, s in enumerate(shapes) if s != shapes[0]), 0)
    rule = f"{name} is ragged: {name}[0] has shape {by(shapes[0])}"
    return InvalidInput(f"{name}[{k}]", f"shape {by(shapes[k])}", rule, remedy)


def _masked(value: Any) -> bool:
    """True when an entry is hidden by a mask, at whatever depth of the lists."""
    if isinstance(value, list | tuple):
        return any(_masked(v) for v in value if isinstance(v, list | tuple | np.ma.MaskedArray))
    return bool(np.ma.is_masked(value))


def known(name: str, value: Any) -> None:
    """Refuse entries that are hidden by a mask."""
    if _masked(value):
        raise InvalidInput(name, "masked entries", "every entry must be known", "Fill them: a.filled(value).")


def fits(shape: tuple[int, ...], want: Shape) -> bool:
    """Whether an array of that shape is what is wanted."""
    free: dict[int | str | None, int] = {}
    return len(shape) == len(want) and all(
        w is None or n == (free.setdefault(w, n) if isinstance(w, str) else w)
        for n, w in zip(shape, want, strict=True)
    )


def real(name: str, value: Any, *, shape: Shape | None = None, gaps: bool = False) -> Floats:
    """Finite real entries as a frozen float64 copy; NaN may stand for what is not known where there may be `gaps`."""
    return _read(name, value, shape, gaps)[0]


def amounts(name: str, value: Any) -> Floats:
    """Rewards: real entries so small that discounted sums of them and their bounds are finite."""
    a = real(name, value)
    size = float(np.abs(a).max(initial=0.0))
    if size > tol.REWARD_SIZE:
        rule = f"rewards are at most {tol.REWARD_SIZE:g} in size, or sums of them are infinite"
        raise InvalidInput(
            name, f"a reward of size {size:.3g}", rule, "Divide all rewards by the same number."
        )
    return a


def _read(name: str, value: Any, shape: Shape | None, gaps: bool = False) -> tuple[Floats, float]:
    """The same, and the rounding unit of the numbers as they came."""
    known(name, value)
    value = aligned(name, value, ())
    shape_of(name, value)
    a = np.asarray(value)
    if a.dtype.kind not in "biuf":
        kind = "complex numbers" if a.dtype.kind == "c" else f"entries of type {a.dtype}"
        raise InvalidInput(name, kind, "entries must be real numbers", "Pass a real numeric array.")
    unit = unit_in(a.dtype)
    a = np.array(a, dtype=np.float64, order="C")
    if shape is not None and not fits(a.shape, shape):
        raise InvalidInput.shape(name, a.shape, shape)
    wrong = np.isinf(a) if gaps else ~np.isfinite(a)
    if wrong.any():
        where = tuple(int(k) for k in np.argwhere(wrong)[0])
        raise _infinite(name, f"{a[where]} at {where}")
    return freeze(a), unit


def unit_in(dtype: Any) -> float:
    """Rounding unit of numbers of that type, at least that of double precision."""
    return max(float(np.finfo(dtype).eps), tol.EPSILON) if dtype.kind == "f" else tol.EPSILON


def row_slack(length: Any, unit: float = tol.EPSILON) -> Any:
    """How far the sum of a law of so many entries, rounded to `unit`, may miss 1; rows of .999 are refused in single
    precision, whatever their length."""
    return np.maximum(tol.ROW_SUM, np.minimum((length + 4.0) * unit, max(tol.ROW_SUM_MOST, 16.0 * unit)))


def _infinite(name: str, got: str) -> InvalidInput:
    return InvalidInput(name, got, "entries must be finite", "Replace NaN and infinite entries.")


def _negative(name: str, got: str) -> InvalidInput:
    return InvalidInput(name, got, "probabilities are >= 0", "Mend that entry.")


def _too_low(p: Floats, unit: float) -> int | None:
    """Flat index of the least entry, where it is further below 0 than rounding brings a probability."""
    k = int(p.argmin()) if p.size else 0
    return k if p.size and p.flat[k] < -max(tol.NEGATIVE, unit) else None


def not_negative(p: Floats, place: Callable[[int], str]) -> None:
    """Refuse entries (n,) of laws that are negative; `place(k)` names entry k."""
    k = _too_low(p, unit_in(p.dtype))
    if k is not None:
        raise _negative(place(k), f"{p[k]:.6g}")


@dataclass
class LawRows:
    """How rows of laws are read: `zero` admits rows of zeros, `rescale` divides each row by its sum, whatever that is.

    `remedy` is the keyword that would rescale them here, `place(k)` names row k where its number says nothing; `sums`
    collects the least and the largest of each table.
    """

    zero: bool = False
    rescale: bool = False
    remedy: str = ""
    place: Callable[[int], str] | None = None
    sums: list[float] = field(default_factory=list)

    @property
    def shift(self) -> float | None:
        """Largest distance from 1 of the row sums that were divided away; None where nobody asked for that."""
        return max((abs(x - 1.0) for x in self.sums), default=0.0) if self.rescale else None

    def divisors(self, name: str, sums: Floats, lengths: Any, unit: float) -> Floats:
        """What each row is to be divided by, 1 where it is near enough; refuses rows that are no laws."""
        off = np.abs(sums - 1.0)
        slack = np.where(np.isfinite(sums), np.inf, 0.0) if self.rescale else row_slack(lengths, unit)
        over = np.where(sums == 0.0, -1.0 if self.zero else np.inf, off - slack)
        if (over > 0.0).any():
            row = tuple(int(k) for k in np.unravel_index(int(over.argmax()), off.shape))
            raise self._refusal(name, row, float(sums[row]))
        if self.rescale and (sums > 0.0).any():
            self.sums += [float(sums[sums > 0.0].min()), float(sums.max())]
        return np.where((sums > 0.0) & (off > tol.ROW_SUM_EXACT * lengths), sums, 1.0)

    def _refusal(self, name: str, row: tuple[int, ...], total: float) -> InvalidInput:
        remedy = f"Divide each row by its sum{self.remedy}, or check the orientation."
        if total == 0.0:
            remedy = "Fill the empty row (a state may stay where it is), or check the orientation."
        where, got = (name, f" in row {row}") if self.place is None else (self.place(row[0]), "")
        return InvalidInput(where, f"a sum of {total:.9g}{got}", "each row must sum to 1", remedy)


def flag(name: str, value: Any) -> bool:
    """True or False, no number that might stand for it."""
    if not isinstance(value, bool | np.bool_):
        raise InvalidInput.kind(name, value, "True or False", f"Leave it out, or give {name}=True.")
    return bool(value)


def resuming(value: Any, keep: Any, rule: str, example: str, name: str = "keep") -> bool:
    """Whether long work goes on from what it kept; `rule` says what that is, `name` is the argument that says where."""
    if flag("resume", value) and keep is None:
        raise InvalidInput("resume", f"True without {name}", rule, f"Give {name}={example!r}.")
    return value


def rescaling(value: Any) -> LawRows:
    """How rows are read where `normalize` may be asked for."""
    return LawRows(rescale=flag("normalize", value), remedy=", or ask for it with normalize=True")


def probabilities(
    name: str, value: Any, *, shape: Shape | None = None, rows: LawRows | None = None
) -> Floats:
    """Rows (last axis) that are probability laws, as a frozen copy.

    A row whose sum misses 1 by no more than `row_slack` allows is rescaled; `rows` may allow more.
    """
    rows = rows or LawRows()
    a, unit = _read(name, value, shape)
    if a.ndim == 0 or a.size == 0:
        got = "an empty array" if a.ndim else "a single number"
        raise InvalidInput(name, got, "it must be a law or rows of laws", "Pass an array.")
    low = _too_low(a, unit)
    if low is not None:
        where = tuple(int(k) for k in np.unravel_index(low, a.shape))
        raise _negative(name, f"{a[where]:.6g} at {where}")
    a = np.maximum(a, 0.0)
    with np.errstate(over="ignore"):
        sums = a @ np.ones(a.shape[-1])
    by_what = rows.divisors(name, np.asarray(sums), a.shape[-1], unit)
    if (by_what != 1.0).any():
        a /= by_what[..., None]
    return freeze(a)


def probabilities_of_each(name: str, values: Any, axes: Shape | None, rows: LawRows) -> tuple[Floats, ...]:
    """Laws of each of many agents, see `probabilities`; equal objects are kept once, tables of one shape are checked
    together."""
    given = list(values)
    first = {id(v): i for i, v in reversed(list(enumerate(given)))}
    alike: dict[tuple[int, ...], list[int]] = {}
    found: dict[int, Floats] = {}
    for i in sorted(first.values()):
        plain = type(given[i]) is np.ndarray and given[i].dtype == np.float64
        alike.setdefault(given[i].shape if plain else (-1, i), []).append(i)
    for those in alike.values():
        with suppress(InvalidInput):
            if len(those) > 1:
                stack = np.stack([given[i] for i in those])
                checked = probabilities(name, stack, shape=axes and ("n", *axes), rows=rows)
                found |= dict(zip(those, checked, strict=True))
        for i in those:
            if i not in found:  # one by one the message says which
                found[i] = probabilities(f"{name}[{i}]", given[i], shape=axes, rows=rows)
    return tuple(found[first[id(v)]] for v in given)


def frozen_csr(a: sp.csr_array) -> sp.csr_array:
    """The same matrix, its arrays no longer writeable."""
    a.sort_indices()
    for part in (a.data, a.indices, a.indptr):
        freeze(part)
    return a


def sparse_probabilities(name: str, value: Any, shape: Shape, *, rows: LawRows | None = None) -> sp.csr_array:
    """A matrix of probability rows, dense or sparse, as a CSR copy with sorted indices."""
    rows = rows or LawRows()
    if not sp.issparse(value):
        return frozen_csr(sp.csr_array(probabilities(name, value, shape=shape, rows=rows)))
    if value.dtype.kind not in "biuf":
        got = f"entries of type {value.dtype}"
        raise InvalidInput(name, got, "entries must be real numbers", "Pass a real matrix.")
    unit = unit_in(value.dtype)
    a = sp.csr_array(value, dtype=np.float64, copy=True)
    if a.shape != shape:
        raise InvalidInput.shape(name, a.shape, shape)
    a.sum_duplicates()
    a.data = np.array(a.data)
    bad = ~np.isfinite(a.data)
    if bad.any():
        raise _infinite(name, str(a.data[bad][0]))
    if _too_low(a.data, unit) is not None:
        raise _negative(name, f"{a.data.min():.6g}")
    np.maximum(a.data, 0.0, out=a.data)
    a.eliminate_zeros()
    with np.errstate(over="ignore"):
        sums = np.asarray(a.sum(axis=1)).ravel()
    lengths = np.diff(a.indptr)
    a.data /= np.repeat(rows.divisors(name, sums, np.maximum(lengths, 1), unit), lengths)
    return frozen_csr(a)


def nonnegative(name: str, value: Any, *, shape: Shape | None = None) -> Floats:
    """Finite entries >= 0 as a frozen copy."""
    a = real(name, value, shape=shape)
    if a.size and a.min() < 0:
        raise InvalidInput(name, f"{a.min():.6g}", "entries must be >= 0", "Mend the negative entries.")
    return a


def number(name: str, value: Any) -> float:
    """A finite real number."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InvalidInput.kind(name, value, "a real number", "Pass a float.")
    try:
        x = float(value)
    except OverflowError:
        x = math.inf
    if not math.isfinite(x):
        raise InvalidInput.kind(name, value, "finite", "Pass a finite number.")
    return x


def discount(value: Any, name: str = "discount") -> float:
    """A discount factor gamma in [0, 1)."""
    x = number(name, value)
    if not 0.0 <= x < 1.0:
        rule = "gamma must lie in [0, 1)"
        raise InvalidInput(name, short(value), rule, "Use e.g. 0.9; 1 has no discounted value.")
    return x


def tolerance(value: Any, name: str = "tolerance") -> float:
    """A tolerance in 0..1, a share."""
    x = number(name, value)
    if not 0.0 <= x <= 1.0:
        raise InvalidInput.kind(name, value, "a share in 0..1", "E.g. 0.05 for 5 %.")
    return x


def trace(value: Any, name: str = "trace") -> float:
    """A trace lam in 0..1 of temporal differences."""
    x = number(name, value)
    if not 0.0 <= x <= 1.0:
        raise InvalidInput.range(name, value, 0, 1)
    return x


def integer(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """An integer (not a bool, not a float with a fraction) within `[low, high]`."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
        raise InvalidInput.kind(name, value, "an integer", "Pass an int.")
    k = int(value)
    if (low is not None and k < low) or (high is not None and k > high):
        raise InvalidInput.range(name, value, low, high)
    return k


def sequence(name: str, value: Any, of: str) -> Any:
    """Anything with a length that is not text; a labelled container, which may not have names, as an array."""
    countable = hasattr(value, "__len__") and not sp.issparse(value)
    if isinstance(value, str) or not countable or getattr(value, "ndim", 1) == 0:
        raise InvalidInput.kind(name, value, f"a sequence: {of}", "Pass a list.")
    return aligned(name, value, ())


def per_agent(name: str, value: Any, of: str) -> Any:
    """A list with an entry for each agent, or one array whose first axis is the agents."""
    listed = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
    if not listed or getattr(value, "ndim", 1) == 0 or len(value) == 0:
        raise InvalidInput(name, short(value), of, "Pass a list.")
    return value


def sizes(name: str, value: Any) -> tuple[int, ...]:
    """A non-empty sequence of positive integers, one per agent."""
    listed = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and depth(value) == 1
    if not listed or len(value) == 0:
        raise InvalidInput.kind(name, value, "a non-empty sequence of sizes, one per agent", "E.g. (2, 3).")
    return tuple(integer(f"{name}[{i}]", k, low=1) for i, k in enumerate(value))


def names(name: str, value: Any, options: Iterable[str]) -> list[str]:
    """A list of named options, or one of them."""
    known = list(options)
    if isinstance(value, str):
        return [choice(name, value, known)]
    if not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise InvalidInput.kind(name, value, f"a list of some of {', '.join(known)}", f"E.g. [{known[0]!r}].")
    return [choice(name, word, known) for word in value]


def choice(name: str, value: Any, options: Iterable[str]) -> str:
    """One of the named options; the error names the nearest."""
    known = list(options)
    if isinstance(value, str) and value in known:
        return value
    raise InvalidInput.unknown(name, value, known)
