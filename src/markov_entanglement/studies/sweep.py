"""Sweeps: the same work for every cell of a grid, here, in threads, in processes or on dask, with a journal.

Random numbers of a cell depend on the seed and on what the cell says, not on where it stands in the grid, nor on who
does it when: the rows are the same bytes whatever the runner, and after any number of interruptions.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import math
import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, _check
from .._files import ending_of
from .._journal import Lines
from .._json import plain
from .._progress import Progress, reporting, stage
from .._runners import Failed, Runner, runner_of
from .._types import Grid, Row, RunnerLike, Work
from ..errors import InvalidInput, TooLarge, nearest
from ..report.sweep import SCHEMA, Sweep, SweepCell
from ..report.terms import NUMBERS
from .cell import FAILED, SCALARS, outcome, said, text_of

_MOST_CELLS = 10**6
_WHAT = "a sweep"

#: Column of the table -> places in what was found, of which the first that is there counts.
Places = Mapping[str, tuple[str, ...]]


@reporting("sweeping")
def sweep(
    work: Work,
    grid: Grid,
    *,
    seed: int,
    store: str | os.PathLike[str] | None = None,
    runner: RunnerLike = "serial",
    workers: int | None = None,
    resume: bool = False,
    retry: bool = False,
    columns: Sequence[str] | None = None,
    progress: Progress | bool | None = None,
) -> Sweep:
    """Do the same work for every cell of a grid and put what it finds into one table; `sweep_rows` gives rows earlier.

    Parameters
    ----------
    work : a function `work(**cell)`, or `work(**cell, rng)` that is given a Generator, which returns a result, a dict
        of numbers and words, or a number; or the name of a question, whose cells name a system (a file or
        "gallery:ID"), a policy (a word) and what else it takes: "analyze", "entanglement", "value_decomposition",
        "estimate_entanglement", "estimate_error", "sample_complexity".
    grid : axis -> list of values, of which all combinations are cells, the first axis slowest (what is no list is the
        same in every cell); or a list of cells. Values are words, numbers, truth values, None, and lists of them.
    seed : an int >= 0. The random numbers of a cell depend on it and on what the cell says alone.
    store : a file (`.jsonl`), the journal: one line a cell, on the disk when the cell is done.
    runner : "serial", "threads", "processes", "dask" (a local cluster), the address of a dask scheduler
        ("tcp://host:8786"), or a `dask.distributed.Client`. With processes and a local cluster each worker imports the
        caller's script again: start it under `if __name__ == "__main__":`.
    workers : threads or processes; None: one a core, at most four.
    resume : go on from what `store` holds. retry : do again what failed.
    columns : what the table shows; places in a result by their dots, e.g. "values.unexplained". None: what a question
        has for it, or all that the work found.
    progress : see `analyze`.

    Returns
    -------
    Sweep : the same bytes whatever the runner. A cell that raises, or whose worker dies whenever it is tried, is a row
        that says so under `failed`; the others are done.

    Raises
    ------
    InvalidInput : malformed arguments; work that does not take the axes; a journal of another sweep; a column that
        nothing found has; work that cannot be sent to processes.
    MissingDependency : dask.distributed is not installed.
    TooLarge : more than a million cells.

    >>> import markov_entanglement as me
    >>> def twice(n, rng):
    ...     return {"twice": 2 * n, "drawn": rng.random()}
    >>> found = me.sweep(twice, {"n": [1, 2, 3]}, seed=0)
    >>> found.tables()["cells"].columns["twice"]
    (2, 4, 6)
    >>> found == me.sweep(twice, {"n": [1, 2, 3]}, seed=0, runner="threads", workers=2)
    True
    >>> me.sweep("analyze", {"system": ["gallery:follower", "gallery:parity"]}, seed=0).cells[1].numbers["verdict"]
    'add'
    """
    return plan_of(work, grid, seed, columns).run(store, runner, workers, resume, retry)


def sweep_rows(
    work: Work,
    grid: Grid,
    *,
    seed: int,
    store: str | os.PathLike[str] | None = None,
    runner: RunnerLike = "serial",
    workers: int | None = None,
    resume: bool = False,
    retry: bool = False,
    columns: Sequence[str] | None = None,
) -> Iterator[Row]:
    """The rows of `sweep` as they finish, each when it is on the disk; on `resume` those that are there come first.

    Parameters
    ----------
    work, grid, seed, store, runner, workers, resume, retry, columns : see `sweep`.

    Returns
    -------
    Iterator : a dict a cell: what the cell says, what was found, and "failed" (a sentence, or None). Who stops
        iterating stops the sweep; `sweep` with `resume=True` goes on with it.

    Raises
    ------
    InvalidInput, MissingDependency, TooLarge : see `sweep`; for malformed arguments at once.

    >>> import markov_entanglement as me
    >>> for row in me.sweep_rows(lambda n: n / (n - 2), {"n": [1, 2, 3]}, seed=0):
    ...     print(row)
    {'n': 1, 'value': -1.0, 'failed': None}
    {'n': 2, 'failed': 'ZeroDivisionError: division by zero'}
    {'n': 3, 'value': 3.0, 'failed': None}
    """
    plan = plan_of(work, grid, seed, columns)
    return plan.rows(*plan.begin(store, runner, workers, resume, retry))


#: What a cell gave: numbers and words by their places, or how it failed.
Outcome = dict[str, Any]
Rest = Generator[tuple[int, Outcome], None, None]


@dataclass(frozen=True)
class Plan:
    """A sweep that is checked."""

    work: Callable[..., Any]
    name: str
    drawn: bool  # whether the work takes random numbers
    axes: tuple[str, ...]
    cells: tuple[dict[str, Any], ...]
    seed: int
    columns: Places | None

    def run(self, store: Any, runner: Any, workers: int | None, resume: bool, retry: bool) -> Sweep:
        """All cells; see `sweep`."""
        done, rest = self.begin(store, runner, workers, resume, retry)
        with stage("", len(done) / len(self.cells), 1.0), closing(rest):
            done |= dict(rest)
        return self.result(done)

    def begin(
        self, store: Any, runner: Any, workers: int | None, resume: bool, retry: bool
    ) -> tuple[dict[int, Outcome], Rest]:
        """What is done, and what is then done."""
        _check.resuming(resume, store, "a sweep goes on from its journal", "sweep.jsonl", "store")
        if _check.flag("retry", retry) and not resume:
            raise InvalidInput(
                "retry", "True without resume", "it does again what failed", "Give resume=True."
            )
        hands = runner_of(runner, workers)
        journal, done = None, dict[int, Outcome]()
        if store is not None:
            ending_of(store, "the journal of a sweep", ".jsonl", name="store")
            journal = Lines("store", store, self.about(), resume, what=_WHAT)
            done = {k: out for k, out in map(self._read, journal.found) if FAILED not in out or not retry}
        for out in done.values():
            self.picked(out)
        return done, self._rest([k for k in range(len(self.cells)) if k not in done], hands, journal)

    def about(self) -> dict[str, Any]:
        """By what a sweep is known again."""
        digest = hashlib.sha256(text_of(self.cells).encode()).hexdigest()
        return {"schema": SCHEMA, "kind": "sweep", "work": self.name, "seed": self.seed, "cells": len(self.cells),
                "grid": digest}  # fmt: skip

    def _read(self, line: Mapping[str, Any]) -> tuple[int, Outcome]:
        k, found = line.get("cell"), line.get("found")
        fine = type(k) is int and 0 <= k < len(self.cells) and self.cells[k] == line.get("at")
        if not fine or k is None or not (isinstance(found, dict) or isinstance(line.get(FAILED), str)):
            rule, remedy = "a line holds a cell of this sweep", "Delete that line."
            raise InvalidInput("store", f"the line of cell {k!r}", rule, remedy)
        return k, {"found": found} if isinstance(found, dict) else {FAILED: line[FAILED]}

    def _rest(self, left: list[int], runner: Runner, journal: Lines | None) -> Rest:
        """Each cell when it is in the journal."""

        def ask(k: int) -> tuple[Any, ...]:
            return self.work, self.drawn, self.cells[k], self.seed

        with closing(runner.run(outcome, ask, left)) as found:  # type: ignore[type-var]
            for k, out in found:
                if isinstance(out, Failed):
                    out = {FAILED: said(out.error)}
                if journal is not None:
                    journal.append({"cell": k, "at": self.cells[k], **out})
                self.picked(out)
                yield k, out

    def picked(self, out: Outcome) -> dict[str, Any]:
        """The columns of what a cell gave.

        Raises
        ------
        InvalidInput : a column that is not there and no number of the result JSON.
        """
        if FAILED in out:
            return {}
        found = out["found"]
        if self.columns is None:
            return dict(found)
        for name, places in self.columns.items():
            if places == (name,) and name not in found and not _known(name):
                rule = f"a column is one of {', '.join(found)}"
                raise InvalidInput("columns", repr(name), rule, nearest(name, found, "Name one of these."))
        return {
            name: next((found[p] for p in places if p in found), None)
            for name, places in self.columns.items()
        }

    def rows(self, done: dict[int, Outcome], rest: Rest) -> Iterator[Row]:
        """A dict a cell, those that are done first."""
        with closing(rest):
            for k, out in itertools.chain(sorted(done.items()), rest):
                yield {**self.cells[k], **self.picked(out), FAILED: out.get(FAILED)}

    def result(self, done: Mapping[int, Outcome]) -> Sweep:
        """The cells in the order of the grid."""
        cells = []
        for k, at in enumerate(self.cells):
            cells.append(SweepCell(at=at, numbers=plain(self.picked(done[k])), failed=done[k].get(FAILED)))
        names = dict.fromkeys(name for cell in cells for name in cell.numbers)
        columns = list(names if self.columns is None else self.columns)
        return Sweep(
            schema=1, kind="sweep", versions={"markov-entanglement": __version__}, work=self.name,
            seed=self.seed, axes=list(self.axes), columns=columns, cells=cells,
        ).showing()  # fmt: skip


def plan_of(
    work: Work, grid: Grid, seed: int, columns: Sequence[str] | None, folder: Path | None = None
) -> Plan:
    """A sweep, checked; cells of a question name files in `folder` (None: where the caller is)."""
    axes, cells = _cells(grid)
    start = _check.integer("seed", seed, low=0)
    chosen: Places | None = None if columns is None else {c: (c,) for c in _columns(columns)}
    if isinstance(work, str):
        from .questions import QUESTIONS, asked  # every engine, which other work may not need

        question = asked(work, Path.cwd() if folder is None else folder)
        return Plan(question, work, True, axes, cells, start, _shown(chosen, QUESTIONS[work].columns))
    if not callable(work):
        rule = "a function of a cell, or the name of a question"
        raise InvalidInput.kind("work", work, rule, "E.g. 'analyze'.")
    return Plan(work, _name(work), _drawn(work, cells), axes, cells, start, chosen)


def _shown(chosen: Places | None, own: Places) -> Places:
    """The columns that were chosen, by the question's names or places in its result; else all that it has."""
    return dict(own) if chosen is None else {c: own.get(c, places) for c, places in chosen.items()}


def _columns(columns: Any) -> list[str]:
    found = [columns] if isinstance(columns, str) else list(_check.sequence("columns", columns, "names"))
    wrong = [c for c in found if not isinstance(c, str) or not c or c == FAILED]
    if wrong or not found or len(set(found)) < len(found):
        rule = "different names of what was found"
        raise InvalidInput.kind("columns", columns, rule, "E.g. ['values.unexplained'].")
    return found


def _cells(grid: Any) -> tuple[tuple[str, ...], tuple[dict[str, Any], ...]]:
    """Axes and cells of a grid, in order."""
    if isinstance(grid, Mapping):
        values = {a: _values(a, v) for a, v in grid.items()}
        if (many := math.prod(map(len, values.values()))) > _MOST_CELLS:
            raise TooLarge("grid", f"{many:,} cells", f"{_MOST_CELLS:,}", "Make several sweeps of it.")
        cells = [dict(zip(values, at, strict=True)) for at in itertools.product(*values.values())]
    else:
        listed = list(_check.sequence("grid", grid, "cells, or axes with their values"))
        if not all(isinstance(cell, Mapping) for cell in listed):
            rule = "a mapping of axes to values, or a list of cells, each a mapping"
            raise InvalidInput.kind("grid", grid, rule, "E.g. {'n': [1, 2, 3]}.")
        cells = [{a: _value(f"grid[{k}].{a}", x) for a, x in cell.items()} for k, cell in enumerate(listed)]
    axes = tuple(dict.fromkeys(a for cell in cells for a in cell))
    wrong = next((a for a in axes if not isinstance(a, str) or not a or a in ("rng", FAILED)), None)
    if not axes or wrong is not None:
        rule = f"at least one axis, named by words other than rng and {FAILED}"
        raise InvalidInput.kind("grid", grid if wrong is None else wrong, rule, "E.g. {'n': [1, 2, 3]}.")
    seen: dict[tuple[Any, ...], int] = {}
    for k, cell in enumerate(cells):
        key = tuple(text_of(x) if isinstance(x := cell.get(a), list) else x for a in axes)
        if (first := seen.setdefault(key, k)) != k:
            got = f"cells {first} and {k} that are equal: {text_of(cell)}"
            raise InvalidInput(
                "grid", got, "cells differ", "Leave one out; for more runs add an axis, e.g. run."
            )
    return axes, tuple(cells)


def _values(axis: Any, given: Any) -> list[Any]:
    listed = list(given) if isinstance(given, list | tuple | range | np.ndarray) else [given]
    if not listed:
        raise InvalidInput(f"grid.{axis}", "no values", "an axis has at least one", "Leave the axis out.")
    return [_value(f"grid.{axis}[{k}]", x) for k, x in enumerate(listed)]


def _value(name: str, given: Any) -> Any:
    x = given.tolist() if isinstance(given, np.ndarray | np.generic) else given
    if isinstance(x, list | tuple):
        return [_value(f"{name}[{k}]", y) for k, y in enumerate(x)]
    if not isinstance(x, SCALARS) or (isinstance(x, float) and not math.isfinite(x)):
        rule = "a word, a finite number, a truth value, None, or a list of them"
        raise InvalidInput.kind(name, given, rule, "Name it, and make it inside the work.")
    return x


def _name(work: Callable[..., Any]) -> str:
    """By what a function is known again."""
    kind = work if hasattr(work, "__qualname__") else getattr(work, "func", type(work))
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', type(work).__qualname__)}"


def _drawn(work: Callable[..., Any], cells: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the work takes `rng`; refuses work that does not take what cells say."""
    try:
        signature = inspect.signature(work)
    except (TypeError, ValueError):  # what is compiled does not say what it takes
        return False
    every = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    drawn = "rng" in signature.parameters or every
    for names in dict.fromkeys(tuple(cell) for cell in cells):
        try:
            signature.bind(**dict.fromkeys((*names, "rng") if drawn else names))
        except TypeError as e:
            rule = f"it takes {', '.join(names)} by name, and rng if it draws ({e})"
            raise InvalidInput(
                "work", f"{_name(work)}{signature}", rule, "Name its arguments as the axes."
            ) from None
    return drawn


def _known(place: str) -> bool:
    """Whether it is the place of a number of the result JSON, which another result may have."""
    parts = re.sub(r"^(\w+)\.intervals\.([\w-]+)\.[01]$", r"\1.\2", place).split(".")
    return (
        ".".join(parts) in NUMBERS
        or ".".join([parts[0], "*", *parts[2:]]) in NUMBERS
        or place.startswith("verdict.")
    )
