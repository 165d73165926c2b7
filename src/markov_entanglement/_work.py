"""Independent cells of work, in threads or in processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from functools import cache
from multiprocessing.connection import Connection, wait
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


class Died(RuntimeError):
    """Too many workers died; `left` cells are not done."""

    def __init__(self, left: int) -> None:
        self.left = left
        super().__init__(f"{left} cells left")


def in_processes(
    work: Callable[..., _R],
    arguments: Callable[[_C], tuple[Any, ...]],
    cells: Sequence[_C],
    workers: int,
    deaths: int,
) -> Iterator[tuple[_C, _R]]:
    """Each cell and `work(*arguments(cell))` as they are done, by processes that import the caller's script again.

    A worker has a pipe of its own and shares no lock, so that one that is killed, at whatever moment, takes its cell
    with it and nothing else; the cell is done again. Interrupts are for the caller.

    Raises
    ------
    Died : so many workers died. Whatever `work` raises.
    """
    todo, idle, died = deque(cells), list[_Worker](), 0
    busy: dict[Connection, tuple[_Worker, _C]] = {}
    try:
        while todo or busy:
            while todo and len(busy) < workers:
                worker, cell = idle.pop() if idle else _Worker(), todo.popleft()
                busy[worker.pipe] = worker, cell
                worker.ask(work, arguments(cell))
            for pipe in wait(list(busy)):
                worker, cell = busy.pop(pipe)  # type: ignore[call-overload]
                answer = worker.answer()
                if answer is None:
                    died += 1
                    todo.append(cell)
                    if died >= deaths:
                        raise Died(len(todo) + len(busy))
                    continue
                idle.append(worker)
                done, value = answer
                if not done:
                    raise value
                yield cell, value
    finally:
        for worker in [*idle, *(w for w, _ in busy.values())]:
            worker.end()


class _Worker:
    """A process that answers one question at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        with suppress(BrokenPipeError):  # `answer` finds that it died
            self.pipe.send((work, arguments))

    def answer(self) -> tuple[bool, Any] | None:
        """Whether it succeeded, and the result or the error; None: it died."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.end()
            return None

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(pipe: Connection) -> None:
    """Answer until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            work, arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = True, work(*arguments)
        except Exception as e:
            answer = False, e
        pipe.send(answer)
