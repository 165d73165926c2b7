"""Counting a log shard by shard: here, in processes, or on dask workers, each finished shard in a journal.

A worker that dies takes its shard with it, which is counted again; what others finished stays.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._files import own_folder, read_npz, write_bytes
from .._progress import Progress, advance, reporting
from ..errors import InvalidInput
from ..laws.source import demand
from .log import Log
from .tally import TABLES, Counts, Piece, Tally, count

Cell = tuple[Any, Piece]
Work = Callable[[int], Cell]
#: Deaths of workers after which a log is given up.
_DEATHS = 5


@reporting("counting")
def tally(
    log: Log,
    *,
    tables: Iterable[str] = ("own", "joint", "partners"),
    blocks: int = 40,
    workers: int = 1,
    client: object = None,
    keep: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | bool | None = None,
) -> Tally:
    """Count what followed what in a log, read once in the memory of a shard: whole numbers that add up exactly.

    Parameters
    ----------
    tables : some of "own" (next pairs of each agent), "joint" (next joint pairs), "partners" (next pair of each agent
        given its own and that of one other), "past" and "clock" (joint pairs given also the one before, or the step).
    blocks : contiguous stretches of the log with equal numbers of rows that are counted apart.
    workers : processes that count shards. Each imports the caller's script again: start it under
        `if __name__ == "__main__":`.
    client : a `dask.distributed.Client` whose workers see the files of the log; in the place of `workers`.
    keep : a folder that holds each finished shard, so that a count that was stopped goes on; it goes away at the end.
    resume : go on from what `keep` holds.
    progress : see `analyze`.

    Returns
    -------
    Tally : the same bytes whatever the shards and workers.

    Raises
    ------
    InvalidInput : malformed arguments; a damaged shard; a journal of another log or other tables.
    Unsupported : no log.

    >>> import markov_entanglement as me
    >>> log = me.read_logs(states=[[0, 1], [1, 1], [0, 1], [1, 0]])
    >>> me.tally(log).transitions(1).tolist()
    [[0, 0], [1, 2]]
    """
    demand("log", log, Log, "it must be a log", "E.g. me.read_logs('log.parquet').")
    if client is not None and not callable(getattr(client, "submit", None)):
        rule = "a dask.distributed.Client, which submits work"
        raise InvalidInput.kind("client", client, rule, "E.g. Client(), or leave it out.")
    names = tuple(name for name in TABLES if name in _check.names("tables", tables, TABLES))
    many = _check.integer("blocks", blocks, low=1, high=10_000)
    hands = _check.integer("workers", workers, low=1, high=1024)
    sizes = np.array(log.spaces.pair_sizes, dtype=np.int64)
    starts = np.cumsum([0, *(s.rows for s in log.shards)]).tolist()
    cells = [
        (s, Piece(lo, starts[-1], sizes, many, names)) for s, lo in zip(log.shards, starts, strict=False)
    ]
    journal = Journal(keep, resume, "" if keep is None else _what(log, many, names))
    done = journal.read(sizes, many)
    found, left = None, [k for k in range(len(cells)) if k not in done]
    refused: set[str] = set()
    for share, (k, part) in enumerate(
        _chained(done.items(), _counted(cells, left, refused, hands, client)), 1
    ):
        if k in left:
            journal.write(k, part)
        found = part if found is None else found.merge(part)
        refused |= set(found.refused)
        advance(share / len(cells))
    journal.close()
    assert found is not None
    return found


def _chained(
    done: Iterable[tuple[int, Tally]], rest: Iterator[tuple[int, Tally]]
) -> Iterator[tuple[int, Tally]]:
    yield from done
    yield from rest


def _counted(
    cells: list[Cell], left: list[int], refused: set[str], workers: int, client: Any
) -> Iterator[tuple[int, Tally]]:
    """Number and tally of each cell as they are done, without tables that are `refused` by then."""

    def work(k: int) -> Cell:
        shard, piece = cells[k]
        return shard, piece._replace(names=tuple(name for name in piece.names if name not in refused))

    if client is not None:
        return _by_dask(work, left, client)
    if workers == 1 or len(left) < 2:
        return ((k, count(*work(k))) for k in left)
    return _by_processes(work, left, workers)


def _by_processes(work: Work, left: list[int], workers: int) -> Iterator[tuple[int, Tally]]:
    waiting, deaths = list(left), 0
    while waiting:
        pool = ProcessPoolExecutor(
            min(workers, len(waiting)), multiprocessing.get_context("spawn"), initializer=_ignore_interrupts
        )
        try:
            for k, part in _some(pool, work, waiting, workers):
                waiting.remove(k)
                yield k, part
        except BrokenProcessPool:
            deaths += 1
            if deaths >= _DEATHS:
                raise _died(waiting) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _some(pool: Any, work: Work, waiting: list[int], workers: int) -> Iterator[tuple[int, Tally]]:
    """Results as they come, a few cells in work at a time."""
    todo, running = iter(list(waiting)), dict[Future[Tally], int]()
    while True:
        for k in todo:
            running[pool.submit(count, *work(k))] = k
            if len(running) > workers:
                break
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


def _by_dask(work: Work, left: list[int], client: Any) -> Iterator[tuple[int, Tally]]:
    waiting, deaths = list(left), 0
    while waiting:
        futures = {client.submit(count, *work(k), pure=False): k for k in waiting}
        from distributed import KilledWorker, as_completed

        for future in as_completed(list(futures)):
            k = futures[future]
            try:
                part = future.result()
            except KilledWorker:
                deaths += 1
                if deaths >= _DEATHS:
                    raise _died(waiting) from None
                continue
            waiting.remove(k)
            future.release()
            yield k, part


def _ignore_interrupts() -> None:
    """Whoever waits for the workers is interrupted, and ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _died(waiting: list[int]) -> InvalidInput:
    got = f"{_DEATHS} workers that died, with {len(waiting)} shards left"
    return InvalidInput("workers", got, "each needs the memory of one shard and its counts",
                        "Take fewer workers, with keep= and resume=True: finished shards stay.")  # fmt: skip


def _what(log: Log, blocks: int, names: tuple[str, ...]) -> str:
    """Of what a journal is."""
    shards = [(s.rows, s.sha256) for s in log.shards]
    about = json.dumps([log.about(), shards, blocks, names])
    return hashlib.sha256(about.encode()).hexdigest()


class Journal:
    """A folder with the counts of each finished shard."""

    def __init__(self, keep: Any, resume: bool, what: str) -> None:
        _check.resuming(resume, keep, "a count goes on from a folder", "counts")
        self.folder, self.resume, self.what = None if keep is None else own_folder(keep, "keep"), resume, what
        if self.folder is not None and not resume and any(self.folder.glob("counts-*.npz")):
            raise InvalidInput(
                "keep", str(keep), "it holds a count that was stopped", "Give resume=True, or another folder."
            )

    def read(self, sizes: Any, blocks: int) -> dict[int, Tally]:
        """Tallies of finished shards."""
        found = {}
        for file in sorted(self.folder.glob("counts-*.npz")) if self.folder and self.resume else []:
            arrays = read_npz("keep", file)
            if str(arrays.get("what")) != self.what:
                rule = "it must be a count of this log with these tables and blocks"
                raise InvalidInput("keep", file.name, rule, "Leave resume out, with another folder.")
            found[int(file.stem[7:])] = _unpacked(arrays, sizes, blocks)
        return found

    def write(self, k: int, part: Tally) -> None:
        if self.folder is not None:
            arrays = {
                "what": np.array(self.what),
                "pairs": part.pairs,
                "refused": np.array(json.dumps(part.refused)),
            }
            for name, t in part.tables.items():
                arrays |= {
                    f"{name}.code": t.code,
                    f"{name}.count": t.count,
                    f"{name}.shape": np.array(t.shape),
                }
            out = io.BytesIO()
            np.savez(out, **arrays)  # type: ignore[arg-type]
            write_bytes(self.folder / f"counts-{k:06d}.npz", out.getvalue())

    def close(self) -> None:
        """All is done: the folder goes away if nothing else is in it."""
        if self.folder is not None:
            for file in self.folder.glob("counts-*.npz"):
                file.unlink()
            if not any(Path(self.folder).iterdir()):
                self.folder.rmdir()


def _unpacked(arrays: dict[str, Any], sizes: Any, blocks: int) -> Tally:
    tables = {
        name: Counts(arrays[f"{name}.code"], arrays[f"{name}.count"], tuple(arrays[f"{name}.shape"].tolist()))
        for name in TABLES
        if f"{name}.code" in arrays
    }
    return Tally(sizes, blocks, arrays["pairs"], tables, json.loads(str(arrays["refused"])))
