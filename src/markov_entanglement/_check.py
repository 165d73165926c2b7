"""The only validators. Each returns a frozen float64 (or int64) copy, or raises `InvalidInput`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from . import _tolerance as tol
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


def sums_by(index: Ints, weights: Floats, size: int) -> Floats:
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


def _fits(shape: tuple[int, ...], want: Shape) -> bool:
    free: dict[int | str | None, int] = {}
    return len(shape) == len(want) and all(
        w is None or n == (free.setdefault(w, n) if isinstance(w, str) else w)
        for n, w in zip(shape, want, strict=True)
    )


def real(name: str, value: Any, *, shape: Shape | None = None) -> Floats:
    """Finite real entries as a frozen float64 copy."""
    shape_of(name, value)
    if _masked(value):
        raise InvalidInput(name, "masked entries", "every entry must be known", "Fill them: a.filled(value).")
    a = np.asarray(value)
    if a.dtype.kind not in "biuf":
        kind = "complex numbers" if a.dtype.kind == "c" else f"entries of type {a.dtype}"
        raise InvalidInput(name, kind, "entries must be real numbers", "Pass a real numeric array.")
    a = np.array(a, dtype=np.float64, order="C")
    if shape is not None and not _fits(a.shape, shape):
        raise InvalidInput.shape(name, a.shape, shape)
    if not np.isfinite(a).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(a))[0])
        raise _infinite(name, f"{a[where]} at {where}")
    return freeze(a)


def _infinite(name: str, got: str) -> InvalidInput:
    return InvalidInput(name, got, "entries must be finite", "Replace NaN and infinite entries.")


def _negative(name: str, got: str) -> InvalidInput:
    return InvalidInput(name, got, "probabilities are >= 0", "Mend that entry.")


def _divisors(name: str, sums: Floats, lengths: Any, zero_rows: bool) -> Floats:
    """What each row is to be divided by, 1 where it is near enough; refuses rows that are no laws."""
    off = np.abs(sums - 1.0)
    if zero_rows:
        off = np.where(sums == 0.0, 0.0, off)
    if off.max(initial=0.0) > tol.ROW_SUM:
        row = tuple(int(k) for k in np.unravel_index(int(off.argmax()), off.shape))
        empty = "Fill the empty row (a state may stay where it is)"
        remedy = f"{'Divide each row by its sum' if sums[row] else empty}, or check the orientation."
        raise InvalidInput(name, f"a sum of {sums[row]:.9g} in row {row}", "each row must sum to 1", remedy)
    return np.where(off > tol.ROW_SUM_EXACT * lengths, sums, 1.0)


def probabilities(name: str, value: Any, *, shape: Shape | None = None, zero_rows: bool = False) -> Floats:
    """Rows (last axis) that are probability laws, as a frozen copy.

    A row whose sum misses 1 by at most `_tolerance.ROW_SUM` is rescaled; `zero_rows` admits all-zero rows.
    """
    a = real(name, value, shape=shape)
    if a.ndim == 0 or a.size == 0:
        got = "an empty array" if a.ndim else "a single number"
        raise InvalidInput(name, got, "it must be a law or rows of laws", "Pass an array.")
    if a.min() < -tol.NEGATIVE:
        where = tuple(int(k) for k in np.unravel_index(int(a.argmin()), a.shape))
        raise _negative(name, f"{a[where]:.6g} at {where}")
    a = np.maximum(a, 0.0)
    with np.errstate(over="ignore"):
        sums = a @ np.ones(a.shape[-1])
    by_what = _divisors(name, np.asarray(sums), a.shape[-1], zero_rows)
    if (by_what != 1.0).any():
        a /= by_what[..., None]
    return freeze(a)


def frozen_csr(a: sp.csr_array) -> sp.csr_array:
    """The same matrix, its arrays no longer writeable."""
    a.sort_indices()
    for part in (a.data, a.indices, a.indptr):
        freeze(part)
    return a


def sparse_probabilities(name: str, value: Any, shape: Shape, *, zero_rows: bool = False) -> sp.csr_array:
    """A matrix of probability rows, dense or sparse, as a CSR copy with sorted indices."""
    if not sp.issparse(value):
        return frozen_csr(sp.csr_array(probabilities(name, value, shape=shape, zero_rows=zero_rows)))
    if value.dtype.kind not in "biuf":
        got = f"entries of type {value.dtype}"
        raise InvalidInput(name, got, "entries must be real numbers", "Pass a real matrix.")
    a = sp.csr_array(value, dtype=np.float64, copy=True)
    if a.shape != shape:
        raise InvalidInput.shape(name, a.shape, shape)
    a.sum_duplicates()
    a.data = np.array(a.data)
    bad = ~np.isfinite(a.data)
    if bad.any():
        raise _infinite(name, str(a.data[bad][0]))
    if a.data.size and a.data.min() < -tol.NEGATIVE:
        raise _negative(name, f"{a.data.min():.6g}")
    np.maximum(a.data, 0.0, out=a.data)
    a.eliminate_zeros()
    with np.errstate(over="ignore"):
        sums = np.asarray(a.sum(axis=1)).ravel()
    lengths = np.diff(a.indptr)
    a.data /= np.repeat(_divisors(name, sums, np.maximum(lengths, 1), zero_rows), lengths)
    return frozen_csr(a)


def nonnegative(name: str, value: Any, *, shape: Shape | None = None) -> Floats:
    """Finite entries >= 0 as a frozen copy."""
    a = real(name, value, shape=shape)
    if a.size and a.min() < 0:
        raise InvalidInput(name, f"{a.min():.6g}", "entries must be >= 0", "Mend the negative entries.")
    return a


def number(name: str, value: Any) -> float:
    """A finite real number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real | np.floating | np.integer):
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
    """A tolerance >= 0."""
    x = number(name, value)
    if x < 0:
        raise InvalidInput.kind(name, value, ">= 0", "E.g. 0.05.")
    return x


def integer(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """An integer (not a bool, not a float with a fraction) within `[low, high]`."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
        raise InvalidInput.kind(name, value, "an integer", "Pass an int.")
    k = int(value)
    if (low is not None and k < low) or (high is not None and k > high):
        raise InvalidInput.range(name, value, low, high)
    return k


def sequence(name: str, value: Any, of: str) -> None:
    """Anything with a length that is not text."""
    if isinstance(value, str) or not hasattr(value, "__len__") or getattr(value, "ndim", 1) == 0:
        raise InvalidInput.kind(name, value, f"a sequence: {of}", "Pass a list.")


def sizes(name: str, value: Any) -> tuple[int, ...]:
    """A non-empty sequence of positive integers, one per agent."""
    listed = isinstance(value, Sequence | np.ndarray) and getattr(value, "ndim", 1) == 1
    if isinstance(value, str) or not listed or len(value) == 0:
        raise InvalidInput.kind(name, value, "a non-empty sequence of sizes, one per agent", "E.g. (2, 3).")
    return tuple(integer(f"{name}[{i}]", k, low=1) for i, k in enumerate(value))


def choice(name: str, value: Any, options: Iterable[str]) -> str:
    """One of the named options; the error names the nearest."""
    known = list(options)
    if isinstance(value, str) and value in known:
        return value
    raise InvalidInput.unknown(name, value, known)
