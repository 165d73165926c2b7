"""Independent cells of work of one process, in threads; for what may fail or die see `_runners.py`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

from . import _check
from ._progress import advance

_C = TypeVar("_C")
_R = TypeVar("_R")


def workers_of(workers: int | None) -> int:
    """Number of threads: what the user asks for, or up to four."""
    return min(4, os.cpu_count() or 1) if workers is None else _check.integer("workers", workers, low=1)


def in_threads(work: Callable[[_C], _R], cells: Sequence[_C], workers: int | None) -> list[_R]:
    """Results of independent cells, in order."""
    found = []
    with ThreadPoolExecutor(min(workers_of(workers), len(cells))) as pool:
        for result in pool.map(work, cells):
            found.append(result)
            advance(len(found) / len(cells))
    return found


def side_by_side(work: Callable[[_C], _R], cells: Sequence[_C]) -> list[_R]:
    """Results of independent pieces of one computation, which is too short to tell how far it has come; BLAS has one
    thread in each."""
    with one_blas_thread(), ThreadPoolExecutor(workers_of(None)) as pool:
        return list(pool.map(work, cells))


@cache
def _pools() -> ThreadpoolController:
    """The thread pools of this process, looked up once."""
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Where products are many and small: threads inside them cost more than they bring, most on a busy machine."""
    return _pools().limit(limits=1, user_api="blas")
