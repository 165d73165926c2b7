"""Counting a log shard by shard: here, in processes, or on dask workers, each finished shard in a journal.

A worker that dies takes its shard with it, which is counted again; what others finished stays.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from .. import _check
from .._journal import Journal
from .._progress import Progress, reporting, stage
from .._runners import Died, Failed, runner_of
from ..errors import InvalidInput
from ..laws.source import demand
from .log import Log
from .tally import TABLES, Counts, Piece, Tally, count

Cell = tuple[Any, Piece]
#: Finished shards in a folder.
_COUNTS = "counts-*"


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
    client : a `dask.distributed.Client` whose workers see the files of the log, the address of a scheduler, or another
        runner of `sweep`.
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
    names = tuple(name for name in TABLES if name in _check.names("tables", tables, TABLES))
    many = _check.integer("blocks", blocks, low=1, high=10_000)
    hands = _check.integer("workers", workers, low=1, high=1024)
    alone = client is None and (hands == 1 or len(log.shards) == 1)
    runner = runner_of("serial" if alone else "processes", hands, "workers")
    runner = runner if client is None else runner_of(client, hands, "client")
    sizes = np.array(log.spaces.pair_sizes, dtype=np.int64)
    starts = np.cumsum([0, *(s.rows for s in log.shards)]).tolist()
    cells = [
        (s, Piece(lo, starts[-1], sizes, many, names)) for s, lo in zip(log.shards, starts, strict=False)
    ]
    about = {} if keep is None else {"log": _what(log), "tables": names, "blocks": many}
    _check.resuming(resume, keep, "a count goes on from a folder", "counts")
    journal = None if keep is None else Journal("keep", keep, about, resume, what="a count")
    done = {} if journal is None else {
        int(name[7:]): _unpacked(journal.read(name), sizes, many) for name in journal.names(_COUNTS)
    }  # fmt: skip
    found = functools.reduce(Tally.merge, done.values()) if done else None
    left = [k for k in range(len(cells)) if k not in done]
    refused: set[str] = set() if found is None else set(found.refused)

    def work(k: int) -> Cell:
        """A shard, without tables that are refused by then."""
        shard, piece = cells[k]
        return shard, piece._replace(names=tuple(name for name in piece.names if name not in refused))

    with stage("", len(done) / len(cells), 1.0):
        for place, (k, part) in enumerate(runner.run(count, work, left), 1):
            if isinstance(part, Failed):
                raise _given_up(part.error, len(left) - place + 1)
            if journal is not None:
                journal.write(f"counts-{k:06d}", _packed(part))
            found = part if found is None else found.merge(part)
            refused |= set(found.refused)
    if journal is not None:
        journal.close(_COUNTS)
    assert found is not None
    return found


def _given_up(error: Exception, left: int) -> Exception:
    """What is said of a shard that nobody could count."""
    if not isinstance(error, Died):
        return error
    got = f"a shard that workers died of, with {left} shards left"
    return InvalidInput("workers", got, "each needs the memory of one shard and its counts",
                        "Take fewer workers, with keep= and resume=True: finished shards stay.")  # fmt: skip


def _what(log: Log) -> str:
    """By what a log is known again."""
    about = json.dumps([log.about(), [(s.rows, s.sha256) for s in log.shards]])
    return hashlib.sha256(about.encode()).hexdigest()


def _packed(part: Tally) -> dict[str, Any]:
    """A tally as arrays."""
    arrays = {"pairs": part.pairs, "refused": np.array(json.dumps(part.refused))}
    for name, t in part.tables.items():
        arrays |= {f"{name}.code": t.code, f"{name}.count": t.count, f"{name}.shape": np.array(t.shape)}
    return arrays


def _unpacked(arrays: dict[str, Any], sizes: Any, blocks: int) -> Tally:
    tables = {
        name: Counts(arrays[f"{name}.code"], arrays[f"{name}.count"], tuple(arrays[f"{name}.shape"].tolist()))
        for name in TABLES
        if f"{name}.code" in arrays
    }
    return Tally(sizes, blocks, arrays["pairs"], tables, json.loads(str(arrays["refused"])))
