"""The best product of deterministic local maps for given coefficients: `max_f sum_x c(x, f(x))`.

`f(x) = (f_0(x_0), ..., f_{N-1}(x_{N-1}))`. For fixed maps of all agents but one, the remaining agent's best map is
found entry by entry; enumerating the maps of the others is exact. Where they are too many, agents improve their
maps in turn from fixed starts, which gives good products but no upper limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints
from ..model.spaces import ravel, unravel


@dataclass(frozen=True, eq=False)
class Products:
    """Products of deterministic local maps: per agent (C, k_i) the image of each local pair, (C,) their values
    `sum_x c(x, f(x))`, descending, and the best of all products, infinite when they were not enumerated."""

    maps: tuple[Ints, ...]
    value: Floats
    best: float


def count_maps(sizes: tuple[int, ...]) -> int:
    """Number of products of deterministic local maps, `prod k_i^{k_i}`."""
    return math.prod(int(k**k) for k in sizes)


def enumerable(sizes: tuple[int, ...]) -> bool:
    """True when the maps of all agents but the largest can be enumerated."""
    return count_maps(sizes) // max(int(k**k) for k in sizes) <= tol.PRICED_MAPS


def all_products(sizes: tuple[int, ...]) -> tuple[Ints, ...]:
    """Every product of deterministic maps."""
    digits = [k for k in sizes for _ in range(k)]
    flat = unravel(np.arange(count_maps(sizes)), digits)
    return tuple(np.split(flat, np.cumsum(sizes)[:-1], axis=1))


def price(cube: Floats, sizes: tuple[int, ...]) -> Products:
    """Products of large value for the coefficients `cube`, (k_0, ..., k_{N-1}, k_0, ..., k_{N-1})."""
    return _enumerate(cube, sizes) if enumerable(sizes) else _climb(cube, sizes)


def _enumerate(cube: Floats, sizes: tuple[int, ...]) -> Products:
    n, free = len(sizes), int(np.argmax(sizes))
    others = [i for i in range(n) if i != free]
    k, rest = sizes[free], [sizes[i] for i in others]
    total = math.prod(rest)
    c = cube.transpose([*others, free, *(n + i for i in others), n + free]).reshape(total, k, total, k)
    c = np.ascontiguousarray(c.transpose(0, 2, 1, 3))
    where = unravel(np.arange(total), rest)
    digits = [m for m in rest for _ in range(m)]
    starts = np.concatenate([[0], np.cumsum(rest)]).astype(np.int64)
    count = math.prod(digits)
    block = max(tol.PRICED_BLOCK // (k * k), 1)
    keep: list[tuple[Floats, Ints, Ints]] = []
    for lo in range(0, count, block):
        flat = unravel(np.arange(lo, min(lo + block, count)), digits)
        gain = np.zeros((len(flat), k, k))
        for x in range(total):
            gain += c[x, ravel(flat[:, starts[:-1] + where[x]], rest)]
        value = gain.max(axis=2).sum(axis=1)
        top = np.argsort(-value, kind="stable")[: tol.PRICED_KEPT]
        keep.append((value[top], flat[top], gain[top].argmax(axis=2)))
    value, flat, image = (np.concatenate(part) for part in zip(*keep, strict=True))
    top = np.argsort(-value, kind="stable")[: tol.PRICED_KEPT]
    maps = dict(zip(others, np.split(flat[top], starts[1:-1], axis=1), strict=False))
    maps[free] = image[top]
    return Products(tuple(maps[i] for i in range(n)), value[top], float(value[top[0]]))


def _climb(cube: Floats, sizes: tuple[int, ...]) -> Products:
    n, rng = len(sizes), np.random.default_rng(0)
    found = [[rng.integers(k, size=k) for k in sizes] for _ in range(tol.PRICED_KEPT)]
    value = np.full(len(found), -np.inf)
    for s, maps in enumerate(found):
        while True:
            for i in range(n):
                gain = _responses(cube, maps, i)
                maps[i] = gain.argmax(axis=1)
            reached = float(gain.max(axis=1).sum())
            if reached <= value[s] + tol.LP:
                break
            value[s] = reached
    top = np.argsort(-value, kind="stable")
    stacked = tuple(np.stack([found[s][i] for s in top]).astype(np.int64) for i in range(n))
    return Products(stacked, value[top], math.inf)


def _responses(cube: Floats, maps: list[Ints], i: int) -> Floats:
    """(k_i, k_i) gain of each image of each local pair of agent i, the other maps fixed."""
    out = cube
    for j in range(len(maps) - 1, -1, -1):
        if j != i:  # axes so far: x_0..x_j.., then x'_0..x'_j and, behind them, what was kept of later agents
            both = np.moveaxis(out, (j, out.ndim // 2 + j), (0, 1))
            out = both[np.arange(len(maps[j])), maps[j]].sum(axis=0)
    return out
