"""Independent cells of work in threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from . import _check

_C = TypeVar("_C")
_R = TypeVar("_R")


def workers_of(workers: int | None) -> int:
    """Number of threads: what the user asks for, or up to four."""
    return min(4, os.cpu_count() or 1) if workers is None else _check.integer("workers", workers, low=1)


def in_threads(work: Callable[[_C], _R], cells: Sequence[_C], workers: int | None) -> list[_R]:
    """Results of independent cells, in order."""
    with ThreadPoolExecutor(min(workers_of(workers), len(cells))) as pool:
        return list(pool.map(work, cells))
