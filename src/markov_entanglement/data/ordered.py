"""Text tables whose rows are in order, as they stream by: what is read where DuckDB is not installed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InvalidInput, MissingDependency
from ..readers import at
from ..readers._columns import SEPARATORS
from .log import Log, Making
from .names import joined, known_of, numbered
from .table import Columns, Long, Twice, empty, twice

#: Rows that are put in order at once.
_BATCH = 2**17
_ANY = "Run: pip install duckdb"


class _Row(NamedTuple):
    place: tuple[Path, int]  # file and line
    seen: tuple[str, ...]  # agent, local state by its columns, action
    episode: int
    t: int
    amounts: tuple[float, ...]


def from_text(
    files: Sequence[Path], columns: Columns, given: tuple[Any, Any], gamma: float | None, store: Any
) -> Log:
    """A log from text tables in order of episode and `t`; they are read twice, first for the names in them."""
    number: dict[tuple[str, ...], int] = {}
    rows = 0
    for row in _rows(files, columns):
        number.setdefault(row.seen, len(number))
        rows += 1
    if not rows:
        raise InvalidInput(str(files[0]), "no rows", "there must be at least one", "Check the file.")
    agents, *states, actions = (numbered(np.array(x)) for x in zip(*number, strict=True))
    (i_names, i), (s_names, s), (a_names, a) = agents, joined(states), actions
    acted = a >= 0
    known = known_of(i_names, (i[acted], s[acted], a[acted]), s_names, a_names, given, columns.states)
    pair = known.pairs(i, s, a)
    with Making(known, gamma, store, rows) as made:
        for batch in _batches(_rows(files, columns), lambda row: pair[number[row.seen]] >= 0):
            ids = np.array([number[row.seen] for row in batch])
            e, t = np.array([(row.episode, row.t) for row in batch], dtype=np.int64).T
            paid = np.array([row.amounts for row in batch]).T
            there = [None if np.isnan(x).all() else x for x in paid]
            ended = None if there[1] is None else there[1] != 0.0
            try:
                long = Long(e, t, i[ids], pair[ids], there[0], ended, there[2])
                made.writer.put(long.steps(len(i_names)))
            except Twice as second:
                row = batch[second.row]
                raise twice(at(*row.place), None, row.t, row.seen[0]) from None
    return made.log


def _batches(rows: Iterator[_Row], wanted: Callable[[_Row], bool]) -> Iterator[list[_Row]]:
    """Rows with a pair, some at a time, steps whole."""
    batch: list[_Row] = []
    for row in rows:
        if len(batch) >= _BATCH and (row.episode, row.t) != (batch[-1].episode, batch[-1].t):
            yield batch
            batch = []
        if wanted(row):
            batch.append(row)
    if batch:
        yield batch


def _rows(files: Sequence[Path], columns: Columns) -> Iterator[_Row]:
    episodes: dict[str, int] = {}
    last = (-1, 0)
    for file in files:
        with file.open(newline="", encoding="utf-8-sig") as text:
            first = text.readline()
            separator = max(SEPARATORS, key=first.count)
            heads = [h.strip() for h in next(csv.reader([first], delimiter=separator), [])]
            c = columns.among(heads, file.name)
            for line, cells in enumerate(csv.reader(text, delimiter=separator), 2):
                if not cells:
                    continue
                if len(cells) != len(heads):
                    rule = f"the first line names {len(heads)} columns"
                    raise InvalidInput(at(file, line), f"{len(cells)} cells", rule, "Add or remove cells.")
                cell = dict(zip(heads, map(str.strip, cells), strict=True))
                row = _row(cell, c, (file, line), episodes)
                if row.episode < last[0] or (row.episode, row.t) < last:
                    rule = "without DuckDB rows must be in order of episode and t"
                    raise MissingDependency(at(file, line), "a row that is out of order", rule, _ANY)
                last = row.episode, row.t
                yield row


def _row(cell: dict[str, str], c: Columns, place: tuple[Path, int], episodes: dict[str, int]) -> _Row:
    for column in (c.agents, *c.states, c.t, *([c.episode] if c.episode else [])):
        if not cell[column]:
            raise empty(at(*place), column)
    action = cell[c.actions] if c.actions else "0"
    episode = cell[c.episode] if c.episode else ""
    amounts = [np.nan, np.nan, np.nan]
    for k, name in enumerate((c.reward, c.terminated, c.chance)):
        if name and action:
            word = {"true": "1", "false": "0"}.get(cell[name].lower(), cell[name])
            amounts[k] = float(_number(word, name, place, float))
    t = int(_number(cell[c.t], c.t, place, int))
    return _Row(
        place,
        (cell[c.agents], *(cell[s] for s in c.states), action),
        episodes.setdefault(episode, len(episodes)),
        t,
        tuple(amounts),
    )


def _number(text: str, column: str, place: tuple[Path, int], kind: Callable[[str], float]) -> float:
    try:
        found = kind(text)
        if np.isfinite(found):
            return found
    except (ValueError, OverflowError):
        pass
    want = "a whole number" if kind is int else "a finite number"
    raise InvalidInput(
        at(*place, column), repr(text) if text else "nothing", f"it must be {want}", "Mend that entry."
    )
