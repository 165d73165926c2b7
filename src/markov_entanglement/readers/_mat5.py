"""Numbers, sparse matrices and cells of MAT files, version 5 to 7. Whatever is malformed raises `ValueError`.

Read here and not by `scipy.io.loadmat`, which a damaged file can bring down together with its process.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol

_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_MATRIX, _COMPRESSED = 14, 15
#: Classes of arrays beside the numeric ones (6 to 15).
_CELL, _SPARSE, _SINGLE = 1, 5, 7
_COMPLEX = 0x0800


def variables(data: bytes) -> dict[str, Any]:
    """Variables by name: arrays of float64 (single ones of float32), sparse matrices, lists for cells, else None."""
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("no MAT file of version 5 to 7")
    found: dict[str, Any] = {}
    for kind, content in _elements(data[128:], order):
        if kind == _COMPRESSED:
            kind, content = next(_elements(_inflated(content), order), (0, b""))
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} where a variable is due")
        name, value = _matrix(content, order)
        found[name] = value
    return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, content) of each element."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it ends within a tag")
        kind, size = struct.unpack_from(f"{order}II", data, at)
        small, start = kind >> 16, at + 8
        if small:
            kind, size, start = kind & 0xFFFF, small, at + 4
        if start + size > len(data) or small > 4:
            raise ValueError("it ends within an element")
        yield kind, data[start : start + size]
        at = at + 8 if small else start + size + (0 if kind == _COMPRESSED else -size % 8)


def _inflated(content: bytes) -> bytes:
    try:
        stream = zlib.decompressobj()
        out = stream.decompress(content, tol.BYTES)
    except zlib.error as e:
        raise ValueError(f"damaged compression, {e}") from None
    if not stream.eof:
        raise ValueError("compressed content that is cut off or too large")
    return out


def _matrix(content: bytes, order: str, inside: bool = False) -> tuple[str, Any]:
    """Name and value of an array."""
    if not content:
        return "", np.zeros((0, 0))
    parts = _elements(content, order)
    try:
        flags = int(_numbers(next(parts), order)[0])
        shape = tuple(int(n) for n in _numbers(next(parts), order))
        name = next(parts)[1].decode("latin-1")
        kind = flags & 0xFF
        if len(shape) < 2 or min(shape) < 0:
            raise ValueError("an array with wrong sizes")
        if kind == _CELL and not inside:
            return name, [_matrix(c, order, inside=True)[1] for _, c in parts]
        if kind == _SPARSE:
            return name, _sparse(parts, order, shape)
        if not 6 <= kind <= 15:
            return name, None
        values = _numbers(next(parts), order)
    except (StopIteration, IndexError):
        raise ValueError("an array without its parts") from None
    if flags & _COMPLEX or len(values) != math.prod(shape):
        raise ValueError(f"variable {name!r}: complex, or not as many numbers as its sizes say")
    return name, values.astype("f4" if kind == _SINGLE else "f8").reshape(shape, order="F")


def _numbers(element: tuple[int, bytes], order: str) -> Any:
    kind, content = element
    if kind not in _NUMBERS:
        raise ValueError(f"an element of type {kind} where numbers are due")
    return np.frombuffer(content, dtype=np.dtype(order + _NUMBERS[kind]))


def _sparse(parts: Iterator[tuple[int, bytes]], order: str, shape: tuple[int, ...]) -> Any:
    """Columns one after the other: rows, where each column starts, numbers."""
    rows, starts, values = (_numbers(next(parts), order) for _ in range(3))
    if len(shape) != 2 or len(starts) != shape[1] + 1 or not 0 <= starts[-1] <= min(len(rows), len(values)):
        raise ValueError("a sparse matrix with wrong sizes")
    n = int(starts[-1])
    out = sp.csc_array(
        (values[:n].astype("f8"), rows[:n].astype(np.int64), starts.astype(np.int64)), shape=shape
    )
    out.check_format(full_check=True)
    return out
