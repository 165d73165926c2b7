"""The only validators. Each returns a frozen float64 (or int64) copy, or raises `InvalidInput`."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from . import _tolerance as tol
from .errors import InvalidInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
_A = TypeVar("_A", bound=NDArray[Any])


def freeze(a: _A) -> _A:
    """Return `a`, no longer writeable."""
    a.setflags(write=False)
    return a


def sums_by(index: Ints, weights: Floats, size: int) -> Floats:
    """(size,) sums of `weights` by `index`."""
    return np.asarray(np.bincount(index, weights, minlength=size), dtype=np.float64)


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) if shape else "a single number"


def shape_of(name: str, value: Any) -> tuple[int, ...]:
    """Shape of an array, a sparse matrix or nested lists."""
    try:
        return tuple(value.shape) if sp.issparse(value) else np.shape(value)
    except ValueError as e:
        raise InvalidInput(
            name, "a ragged nested list", "it must be a rectangular array", "Give rows equal lengths."
        ) from e


def real(name: str, value: Any, *, shape: tuple[int | None, ...] | None = None) -> Floats:
    """Finite real entries as a frozen float64 copy; `shape` may leave axes open with None."""
    shape_of(name, value)
    a = np.asarray(value)
    if a.dtype == object or a.dtype.kind not in "biuf":
        kind = "complex numbers" if a.dtype.kind == "c" else f"entries of type {a.dtype}"
        raise InvalidInput(name, kind, "entries must be real numbers", "Pass a real numeric array.")
    a = np.array(a, dtype=np.float64, order="C")
    if shape is not None and (
        a.ndim != len(shape) or any(k is not None and k != n for k, n in zip(shape, a.shape, strict=True))
    ):
        want = "x".join("any" if k is None else str(k) for k in shape)
        raise InvalidInput(name, f"shape {_shape(a.shape)}", f"the shape must be {want}", "Check its sizes.")
    if not np.isfinite(a).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(a))[0])
        raise InvalidInput(
            name, f"{a[where]} at {where}", "entries must be finite", "Replace NaN and infinite entries."
        )
    return freeze(a)


def probabilities(
    name: str,
    value: Any,
    *,
    shape: tuple[int | None, ...] | None = None,
    zero_rows: bool = False,
) -> Floats:
    """Rows (last axis) that are probability laws, as a frozen copy.

    A row whose sum misses 1 by at most `_tolerance.ROW_SUM` is rescaled; `zero_rows` admits all-zero rows.
    """
    a = real(name, value, shape=shape)
    if a.ndim == 0:
        raise InvalidInput(name, "a single number", "it must be a law or rows of laws", "Pass an array.")
    if a.size and a.min() < -tol.NEGATIVE:
        where = tuple(int(k) for k in np.unravel_index(int(a.argmin()), a.shape))
        raise InvalidInput(name, f"{a[where]:.6g} at {where}", "probabilities are >= 0", "Mend that entry.")
    a = np.maximum(a, 0.0)
    with np.errstate(over="ignore"):
        sums = a @ np.ones(a.shape[-1])
    off = np.abs(sums - 1.0)
    if zero_rows:
        off = np.where(sums == 0.0, 0.0, off)
    if a.size == 0 or off.max(initial=0.0) > tol.ROW_SUM:
        row = tuple(int(k) for k in np.unravel_index(int(off.argmax()), off.shape)) if off.size else ()
        got = f"a sum of {sums[row]:.9g} in row {row}" if off.size else "an empty array"
        raise InvalidInput(
            name, got, "each row must sum to 1", "Divide each row by its sum, or check the orientation."
        )
    mend = off > tol.ROW_SUM_EXACT * a.shape[-1]
    if mend.any():
        a[mend] /= sums[mend][..., None]
    return freeze(a)


def frozen_csr(a: sp.csr_array) -> sp.csr_array:
    """The same matrix, its arrays no longer writeable."""
    a.sort_indices()
    for part in (a.data, a.indices, a.indptr):
        freeze(part)
    return a


def sparse_probabilities(
    name: str, value: Any, shape: tuple[int, int], *, zero_rows: bool = False
) -> sp.csr_array:
    """A matrix of probability rows, dense or sparse, as a CSR copy with sorted indices."""
    if not sp.issparse(value):
        return frozen_csr(sp.csr_array(probabilities(name, value, shape=shape, zero_rows=zero_rows)))
    if value.dtype.kind not in "biuf":
        raise InvalidInput(
            name, f"entries of type {value.dtype}", "entries must be real numbers", "Pass a real matrix."
        )
    a = sp.csr_array(value, dtype=np.float64, copy=True)
    if a.shape != shape:
        raise InvalidInput(
            name, f"shape {_shape(a.shape)}", f"the shape must be {_shape(shape)}", "Check its sizes."
        )
    a.sum_duplicates()
    a.data = np.array(a.data)
    bad = ~np.isfinite(a.data)
    if bad.any():
        raise InvalidInput(
            name, str(a.data[bad][0]), "entries must be finite", "Replace NaN and infinite entries."
        )
    if a.data.size and a.data.min() < -tol.NEGATIVE:
        raise InvalidInput(name, f"{a.data.min():.6g}", "probabilities are >= 0", "Mend that entry.")
    np.maximum(a.data, 0.0, out=a.data)
    a.eliminate_zeros()
    with np.errstate(over="ignore"):
        sums = np.asarray(a.sum(axis=1)).ravel()
    off = np.abs(sums - 1.0)
    if zero_rows:
        off[sums == 0.0] = 0.0
    if off.max(initial=0.0) > tol.ROW_SUM:
        row = int(off.argmax())
        raise InvalidInput(
            name,
            f"a sum of {sums[row]:.9g} in row {row}",
            "each row must sum to 1",
            "Divide each row by its sum, or check the orientation.",
        )
    lengths = np.diff(a.indptr)
    scale = np.where(off > tol.ROW_SUM_EXACT * np.maximum(lengths, 1), sums, 1.0)
    scale[scale == 0.0] = 1.0
    a.data /= np.repeat(scale, lengths)
    return frozen_csr(a)


def nonnegative(name: str, value: Any, *, shape: tuple[int | None, ...] | None = None) -> Floats:
    """Finite entries >= 0 as a frozen copy."""
    a = real(name, value, shape=shape)
    if a.size and a.min() < 0:
        raise InvalidInput(name, f"{a.min():.6g}", "entries must be >= 0", "Mend the negative entries.")
    return a


def number(name: str, value: Any) -> float:
    """A finite real number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real | np.floating | np.integer):
        raise InvalidInput(name, repr(value), "it must be a real number", "Pass a float.")
    x = float(value)
    if not math.isfinite(x):
        raise InvalidInput(name, repr(value), "it must be finite", "Pass a finite number.")
    return x


def discount(value: Any, name: str = "discount") -> float:
    """A discount factor gamma in [0, 1)."""
    x = number(name, value)
    if not 0.0 <= x < 1.0:
        raise InvalidInput(
            name, repr(value), "gamma must lie in [0, 1)", "Use e.g. 0.9; 1 has no discounted value."
        )
    return x


def tolerance(value: Any, name: str = "tolerance") -> float:
    """A tolerance >= 0."""
    x = number(name, value)
    if x < 0:
        raise InvalidInput(name, repr(value), "it must be >= 0", "E.g. 0.05.")
    return x


def integer(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """An integer (not a bool, not a float with a fraction) within `[low, high]`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InvalidInput(name, repr(value), "it must be an integer", "Pass an int.")
    k = int(value)
    if (low is not None and k < low) or (high is not None and k > high):
        if high is None:
            rule = f"it must be at least {low}"
        elif low is None:
            rule = f"it must be at most {high}"
        else:
            rule = f"it must lie in {low}..{high}"
        raise InvalidInput(name, repr(value), rule, "Change the value.")
    return k


def sequence(name: str, value: Any, of: str) -> None:
    """Anything with a length that is not text."""
    if isinstance(value, str) or not hasattr(value, "__len__"):
        raise InvalidInput(name, repr(value)[:60], f"it must be a sequence: {of}", "Pass a list.")


def sizes(name: str, value: Any) -> tuple[int, ...]:
    """A non-empty sequence of positive integers, one per agent."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or len(value) == 0:
        raise InvalidInput(
            name, repr(value), "it must be a non-empty sequence of sizes, one per agent", "E.g. (2, 3)."
        )
    return tuple(integer(f"{name}[{i}]", k, low=1) for i, k in enumerate(value))


def choice(name: str, value: Any, options: Sequence[str]) -> str:
    """One of the named options; the error names the nearest."""
    if isinstance(value, str) and value in options:
        return value
    raise InvalidInput(name, repr(value), f"it must be one of {', '.join(options)}", nearest(value, options))


def nearest(word: Any, options: Sequence[str]) -> str:
    """A remedy that names the option nearest to `word`, if one is near, whatever the case of its letters."""
    import difflib

    known = {option.lower(): option for option in options}
    close = difflib.get_close_matches(str(word).lower(), known, n=1, cutoff=0.6)
    return f"Did you mean {known[close[0]]!r}?" if close else "See the documentation."
