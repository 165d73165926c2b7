"""Text tables whose rows are in order, as they stream by: what is read where DuckDB is not installed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InvalidInput, MissingDependency
from ..readers import at
from .heads import columns_of, no_text
from .log import Log, Making
from .names import joined, known_of, named, numbered, said
from .table import CHANCE, CLOCK, REAL, TRUTH, Columns, Long, Twice, amount, empty, twice, unfit

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
    with Making(known, gamma, store, rows, of=columns.read_from(files, given)) as made:
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
    c, heads = columns_of(files, columns)
    for file, (names, separator, first) in heads.items():
        for line, cells in _lines(file, separator, first):
            if len(cells) != len(names):
                rule = f"the first line names {len(names)} columns"
                raise InvalidInput(at(file, line), f"{len(cells)} cells", rule, "Add or remove cells.")
            cell = dict(zip(names, map(str.strip, cells), strict=True))
            row = _row(cell, c, (file, line), episodes)
            if row.episode < last[0] or (row.episode, row.t) < last:
                rule = "without DuckDB rows must be in order of episode and t"
                raise MissingDependency(at(file, line), "a row that is out of order", rule, _ANY)
            last = row.episode, row.t
            yield row


def _lines(file: Path, separator: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """The line in which each row after the first begins, and its cells."""
    with file.open(newline="", encoding="utf-8-sig") as text:
        for _ in range(first):
            next(text)
        reader, line = csv.reader(text, delimiter=separator, strict=True), first + 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = first + 1 + reader.line_num
        except csv.Error as e:
            rule = "it must be a row of the table"
            raise InvalidInput(at(file, line), f"no row ({e})", rule, "Mend that line.") from None
        except UnicodeDecodeError:
            raise no_text(file) from None


def _row(cell: dict[str, str], c: Columns, place: tuple[Path, int], episodes: dict[str, int]) -> _Row:
    cell |= {column: named(cell[column]) for column in c.keys}
    for column in c.keys:
        if column != c.actions and not cell[column]:
            raise empty(at(*place, column))
    action = cell[c.actions] if c.actions else "0"
    episode = cell[c.episode] if c.episode else ""
    amounts = tuple(
        _amount(cell[name], name, place, kind) if name and action else np.nan
        for name, kind in ((c.reward, REAL), (c.terminated, TRUTH), (c.chance, CHANCE))
    )
    return _Row(
        place,
        (cell[c.agents], *(cell[s] for s in c.states), action),
        episodes.setdefault(episode, len(episodes)),
        _clock(cell[c.t], c.t, place),
        amounts,
    )


def _amount(text: str, column: str, place: tuple[Path, int], kind: str) -> float:
    found = amount(text, kind)
    if np.isnan(found):
        raise unfit(at(*place, column), text, kind)
    return found


def _clock(text: str, column: str, place: tuple[Path, int]) -> int:
    found = said(text)
    if found is None:
        raise unfit(at(*place, column), text, CLOCK)
    return found
