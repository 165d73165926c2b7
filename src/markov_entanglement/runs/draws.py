"""Compiled pieces of every engine that steps agents: random numbers by position, and service by priority.

Number `position` of a stream depends on its key and the position alone, so that a path does not depend on how agents,
runs or steps are shared among threads or chunks.
"""

from __future__ import annotations

import numpy as np

from .._compiled import compiled

BITS = 11
_UNIT = 2.0**-32
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0x94D049BB133111EB)
_MIX_0 = np.uint64(0xBF58476D1CE4E5B9)
_S30, _S27, _S31, S32, ONE = (np.uint64(k) for k in (30, 27, 31, 32, 1))


@compiled
def bits(key, position):  # type: ignore[no-untyped-def]
    """Number `position` of the SplitMix64 sequence that starts at `key`, 64 bits."""
    x = key + (np.uint64(position) + ONE) * _GOLDEN
    x = (x ^ (x >> _S30)) * _MIX_0
    x = (x ^ (x >> _S27)) * _MIX_1
    return x ^ (x >> _S31)


@compiled
def select(key, offset, classes, most, budget, buckets):  # type: ignore[no-untyped-def]
    """Class c such that exactly `budget` agents have `classes < c`, after ties were drawn (they become -1).

    Classes have `most` bits; buckets (1 << BITS,) is room to count in.
    """
    n = len(classes)
    if budget == 0 or budget == n:
        return 0 if budget == 0 else 1 << most
    left, prefix, shift = budget, 0, most
    while shift > 0:
        before = shift
        shift = max(0, shift - BITS)
        mask = (1 << (before - shift)) - 1
        buckets[: mask + 1] = 0
        if before == most:
            for i in range(n):
                buckets[classes[i] >> shift] += 1
        else:
            for i in range(n):
                if classes[i] >> before == prefix:
                    buckets[(classes[i] >> shift) & mask] += 1
        k = 0
        while buckets[k] < left:
            left -= buckets[k]
            k += 1
        prefix = (prefix << (before - shift)) | k
        size = buckets[k]
    if left < size:
        for i in range(n):
            if classes[i] == prefix:
                if (bits(key, offset + i) >> S32) * _UNIT * size < left:
                    classes[i] = -1
                    left -= 1
                size -= 1
        return prefix
    return prefix + 1
