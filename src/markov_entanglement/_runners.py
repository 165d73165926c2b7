"""Runners of independent cells of work: here, in threads, in processes, on dask workers.

One protocol: `run(work, ask, cells)` yields each cell and what `work(*ask(cell))` gave, as they are done, `Failed`
where it gave nothing. A worker that dies, at whatever moment, takes its cell with it and nothing else; the cell is done
again, and only one that its worker dies of again and again is given up. Whoever stops iterating stops the work.
"""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import wait as first_of
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol, TypeVar

from . import _check
from ._progress import advance, stage, watched
from ._work import workers_of
from .errors import InvalidInput, MissingDependency

_C = TypeVar("_C", bound=int | str)
_R = TypeVar("_R")
Work = Callable[..., _R]
Ask = Callable[[_C], tuple[Any, ...]]

RUNNERS = ("serial", "threads", "processes", "dask")
#: Deaths of its workers after which a cell is given up, of workers that never began to work, and of those among them
#: that somebody killed.
_DEATHS, _KILLED = 3, 30
#: Workers.
_MOST = 1024
#: Seconds for a worker that has closed its pipe to end.
_PATIENCE = 5.0
_GUARD = "Start it under: if __name__ == '__main__':"


class Died(RuntimeError):
    """Whoever did the cell died of it, again and again."""

    def __init__(self) -> None:
        super().__init__(
            "its worker died whenever it was tried: killed from outside, a crash, or too little memory"
        )


@dataclass(frozen=True)
class Failed:
    """What comes of a cell that gives no result: what `work` raised, or `Died`."""

    error: Exception


class Runner(Protocol):
    """Whatever does cells of work; `ask` says what the work is asked, when a cell is begun."""

    def run(self, work: Work[_R], ask: Ask[_C], cells: Sequence[_C]) -> Iterator[tuple[_C, _R | Failed]]:
        """Each cell and its result, or why there is none, as they are done."""
        ...


def runner_of(runner: Any, workers: int | None, name: str = "runner") -> Runner:
    """The runner of a user's word, scheduler address or dask client; `name` is the argument to blame.

    Raises
    ------
    InvalidInput : another word. MissingDependency : dask.distributed is not installed.
    """
    hands = workers_of(workers if workers is None else _check.integer("workers", workers, low=1, high=_MOST))
    if callable(getattr(runner, "submit", None)) and hasattr(runner, "scheduler"):
        return Dask(runner, hands, name)
    if isinstance(runner, str) and "://" in runner:
        return Dask(runner, hands, name)
    if not isinstance(runner, str):
        rule = f"one of {', '.join(RUNNERS)}, the address of a dask scheduler, or a dask.distributed.Client"
        raise InvalidInput.kind(name, runner, rule, "E.g. 'processes'.")
    word = _check.choice(name, runner, RUNNERS)
    if word == "serial":
        return Serial()
    if word == "threads":
        return Threads(hands)
    return Processes(hands, name) if word == "processes" else Dask(None, hands, name)


def _tried(work: Work[_R], *arguments: Any) -> _R | Failed:
    """The result, or what was raised."""
    try:
        return work(*arguments)
    except Exception as e:
        return Failed(e)


def _apart(work: Work[_R], *arguments: Any) -> _R | Failed:
    """The same where nobody looks: what runs inside shows no progress of its own."""
    with watched(lambda share, what: None):
        return _tried(work, *arguments)


@dataclass(frozen=True)
class Serial:
    """One cell after the other, in order."""

    def run(self, work: Work[_R], ask: Ask[_C], cells: Sequence[_C]) -> Iterator[tuple[_C, _R | Failed]]:
        """See `Runner`."""
        for k, cell in enumerate(cells):
            with stage("", k / len(cells), (k + 1) / len(cells)):
                found = _tried(work, *ask(cell))
            yield cell, found


@dataclass(frozen=True)
class Threads:
    """So many threads of this process; those that have begun a cell end it, whoever stops."""

    workers: int

    def run(self, work: Work[_R], ask: Ask[_C], cells: Sequence[_C]) -> Iterator[tuple[_C, _R | Failed]]:
        """See `Runner`."""
        todo, busy = deque(cells), dict[Future[_R | Failed], _C]()
        with ThreadPoolExecutor(self.workers) as pool:
            while todo or busy:
                while todo and len(busy) < self.workers:
                    cell = todo.popleft()
                    busy[pool.submit(_apart, work, *ask(cell))] = cell
                done, _ = first_of(busy, return_when=FIRST_COMPLETED)
                for future in done:
                    cell = busy.pop(future)
                    advance(1.0 - (len(todo) + len(busy)) / len(cells))
                    yield cell, future.result()


@dataclass(frozen=True)
class Processes:
    """So many processes, each of which imports the caller's script again; interrupts are for the caller.

    A worker has a pipe of its own and shares no lock, so that nobody waits for one that was killed.
    """

    workers: int
    name: str = "runner"

    def run(self, work: Work[_R], ask: Ask[_C], cells: Sequence[_C]) -> Iterator[tuple[_C, _R | Failed]]:
        """See `Runner`.

        Raises
        ------
        InvalidInput : workers that do not begin to work, or cannot read what they are to do.
        """
        todo, deaths, unborn = deque(cells), Counter[_C](), Counter[bool]()
        idle: list[_Worker] = []
        busy: dict[Connection, tuple[_Worker, _C]] = {}
        try:
            while todo or busy:
                while todo and len(busy) < self.workers:
                    worker, cell = idle.pop() if idle else _Worker(), todo.popleft()
                    busy[worker.pipe] = worker, cell
                    worker.ask(self.name, work, ask(cell))
                for pipe in wait(list(busy)):
                    worker, cell = busy[pipe]  # type: ignore[index]
                    told = worker.answer()
                    if told == _READY:
                        unborn.clear()
                        continue
                    del busy[pipe]  # type: ignore[arg-type]
                    if told is None:
                        if worker.ready:
                            deaths[cell] += 1
                        else:
                            self._unborn(unborn, worker.killed)
                        if deaths[cell] < _DEATHS:
                            todo.append(cell)
                            continue
                        told = _DONE, Failed(Died())
                    else:
                        idle.append(worker)
                    word, found = told
                    if word == _UNREAD:
                        raise _unsent(self.name, found)
                    advance(1.0 - (len(todo) + len(busy)) / len(cells))
                    yield cell, found
        finally:
            for worker in [*idle, *(w for w, _ in busy.values())]:
                worker.end()

    def _unborn(self, unborn: Counter[bool], killed: bool) -> None:
        """Count workers in a row that ended before they began, by whether they were killed; refuse too many."""
        unborn[killed] += 1
        if unborn[killed] >= (_KILLED if killed else _DEATHS):
            got = f"{unborn[killed]} workers that {'were killed' if killed else 'ended'} before they began"
            raise InvalidInput(self.name, got, "each imports the script that calls it again", _GUARD)


#: What a worker tells: that it is there, a result, or why it cannot read what it is asked.
_READY, _DONE, _UNREAD = "ready", "done", "unread"


class _Worker:
    """A process that answers one question at a time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.ready = False
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, name: str, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Send `work(*arguments)`; InvalidInput, which blames `name`, where that cannot be sent."""
        try:
            asked = ForkingPickler.dumps((work, arguments))
        except (pickle.PicklingError, AttributeError, TypeError) as e:
            raise _unsent(name, str(e)) from None
        with suppress(BrokenPipeError):  # `answer` finds that it died
            self.pipe.send_bytes(asked)

    def answer(self) -> Any:
        """`_READY`, or a word and what goes with it; None: it died."""
        try:
            told = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(_PATIENCE)  # its own end says more than ours
            self.end()
            return None
        self.ready = True
        return told

    @property
    def killed(self) -> bool:
        """Whether a signal ended it."""
        return (self.process.exitcode or 0) < 0

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _unsent(name: str, why: str) -> InvalidInput:
    rule = f"a process finds it by its module and name ({' '.join(why.split())[:200]})"
    remedy = f"Define it at the top level of a module or script, or take {name}='threads'."
    return InvalidInput("work", "what cannot be sent to processes", rule, remedy)


def _serve(pipe: Connection) -> None:
    """Answer until nobody asks; what is unpickled comes from the own parent, by a pipe that nobody else has."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe.send(_READY)
    while True:
        try:
            asked = pipe.recv_bytes()
        except EOFError:
            return
        try:
            work, arguments = pickle.loads(asked)
        except Exception as e:
            pipe.send((_UNREAD, f"{type(e).__name__}: {e}"))
            continue
        found = _apart(work, *arguments)
        try:
            told = ForkingPickler.dumps((_DONE, found))
            pickle.loads(told)
        except Exception as e:
            lost = found.error if isinstance(found, Failed) else e
            told = ForkingPickler.dumps((_DONE, Failed(RuntimeError(f"{type(lost).__name__}: {lost}"))))
        pipe.send_bytes(told)


@dataclass(frozen=True)
class Dask:
    """The workers of a `dask.distributed` cluster: of a client, of a scheduler's address, or (None) of a local cluster
    of so many processes with one thread each, which ends with the work.

    A result is fetched at once and forgotten by the scheduler before it is handed on, so that nobody computes it again
    when the worker that has it dies.
    """

    where: Any
    workers: int
    name: str = "runner"

    def run(self, work: Work[_R], ask: Ask[_C], cells: Sequence[_C]) -> Iterator[tuple[_C, _R | Failed]]:
        """See `Runner`.

        Raises
        ------
        InvalidInput : no scheduler at the address, one that leaves, workers that cannot import what they need.
        MissingDependency : dask.distributed is not installed.
        """
        if not cells:
            return
        try:
            import distributed  # noqa: F401
        except ImportError:
            got, remedy = "no package distributed", "Run: pip install 'markov-entanglement[dask]'"
            raise MissingDependency(self.name, got, "it runs cells on dask", remedy) from None
        with self._client() as client:
            if getattr(client, "asynchronous", False):
                rule = "a client that waits for its answers"
                raise InvalidInput.kind(self.name, client, rule, "Make it by Client(address).")
            yield from self._run(client, work, ask, cells)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        from distributed import Client

        if self.where is None:
            with self._cluster() as cluster, Client(cluster, set_as_default=False) as client:
                yield client
        elif isinstance(self.where, str):
            try:
                client = Client(self.where, set_as_default=False, timeout=10)
            except (OSError, ValueError, TimeoutError) as e:
                rule = f"a dask scheduler must answer there ({' '.join(str(e).split())[:150]})"
                raise InvalidInput(self.name, self.where, rule, "Start one: dask scheduler") from None
            with client:
                yield client
        else:
            yield self.where

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        """Ours: every death is known at once, each worker has one cell, and none is thought dead that is only busy."""
        import dask
        from distributed import LocalCluster

        ours = {"allowed-failures": 0, "worker-saturation": 1.0, "worker-ttl": None}
        with dask.config.set({f"distributed.scheduler.{key}": value for key, value in ours.items()}):
            try:
                cluster = LocalCluster(
                    n_workers=self.workers,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    silence_logs=logging.CRITICAL,
                    preload=[__name__],
                )
            except RuntimeError as e:
                got = f"workers that do not start ({' '.join(str(e).split())[:150]})"
                rule = "each imports the script that calls it again"
                raise InvalidInput(self.name, got, rule, _GUARD) from None
            with cluster:
                yield cluster

    def _run(
        self, client: Any, work: Work[_R], ask: Ask[_C], cells: Sequence[_C]
    ) -> Iterator[tuple[_C, _R | Failed]]:
        """A cell that too many workers died with is tried once more, alone, for others may have killed them."""
        from distributed import KilledWorker, as_completed

        todo, suspects, deaths = deque(cells), deque[_C](), Counter[_C]()
        busy: dict[Any, _C] = {}
        ready = as_completed(loop=client.loop)
        try:
            while todo or busy or suspects:
                alone = not todo and bool(suspects)
                while todo and len(busy) < self._hands(client):
                    cell = todo.popleft()
                    self._begin(client, work, ask, cell, busy, ready)
                if alone and not busy:
                    self._begin(client, work, ask, suspects.popleft(), busy, ready)
                future = next(ready)
                cell = busy.pop(future)
                try:
                    found = future.result()
                except KilledWorker as e:
                    deaths[cell] += e.allowed_failures + 1
                    if deaths[cell] < _DEATHS:
                        todo.append(cell)
                    elif not alone:
                        suspects.append(cell)
                    if not alone or deaths[cell] < _DEATHS:
                        continue
                    found = Failed(Died())
                except (Exception, CancelledError) as e:
                    raise self._lost(e) from e
                _forget(client, future)
                advance(1.0 - (len(todo) + len(busy) + len(suspects)) / len(cells))
                yield cell, found
        finally:
            with suppress(Exception):
                client.cancel(list(busy), force=True)

    def _hands(self, client: Any) -> int:
        """Cells that are given away at a time: of a cluster that is not ours twice its threads, so that it may grow."""
        return self.workers if self.where is None else max(1, 2 * sum(client.nthreads().values()))

    @staticmethod
    def _begin(client: Any, work: Any, ask: Any, cell: _C, busy: dict[Any, _C], ready: Any) -> None:
        future = client.submit(_apart, work, *ask(cell), pure=False)
        busy[future] = cell
        ready.add(future)

    def _lost(self, error: BaseException) -> InvalidInput:
        got = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        rule = "its scheduler must stay, and its workers import what the work needs"
        return InvalidInput(self.name, got, rule, "Mend the cluster and go on by resume=True (--resume).")


def dask_setup(worker: Any) -> None:
    """What a worker of our cluster does first: interrupts are for the caller."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _forget(client: Any, future: Any) -> None:
    """Return when the scheduler has forgotten a task, so that it cannot be begun again."""
    key = future.key
    future.release()
    while client.sync(client.scheduler.get_task_status, keys=[key])[key] is not None:
        time.sleep(0.001)
