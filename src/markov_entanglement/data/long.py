"""Logs in files, rows in any order, by DuckDB: it says what was seen, and lays rows of neighbouring steps together.

Rows go once through it into parts by ranges of (episode, t), on disk where there are several; each part is put in order
in memory. What is needed at one time is a part, and what DuckDB may use.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._check import Ints
from .._progress import advance, stage
from .._work import workers_of
from ..errors import InvalidInput, TooLarge, short
from ..readers._columns import duckdb_for, label
from .log import Log, Making, Scratch
from .names import Names, joined, known_of, numbered
from .shards import Steps
from .table import Columns, Long, Twice, empty, twice

#: Rows of one part, steps that are looked at to find its limits, and most parts.
PART, SAMPLE, MOST_PARTS = 2**21, 100_000, 1000
_WHOLE = r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?"
#: Different combinations of agent, state and action.
MOST_SEEN = 2_000_000


def from_files(
    files: Sequence[Path],
    columns: Columns,
    given: tuple[Any, Any],
    gamma: float | None,
    store: Any,
    memory: str,
) -> Log:
    """A log from Parquet, or from text tables (`.csv`, `.tsv`)."""
    scratch = Scratch()
    with Table(files, columns, scratch.folder, memory) as table:
        with stage("what was seen", 0.0, 0.3):
            known, of, pair, rows = table.seen(given)
        with stage("sorting", 0.3, 0.6):
            parts = table.split(rows)
        with stage("steps", 0.6, 1.0), Making(known, gamma, store, rows) as made:
            for k, part in enumerate(parts):
                made.writer.put(table.steps(part, known, of, pair))
                advance((k + 1) / len(parts))
    return made.log


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"


class Table:
    """The rows of some files in DuckDB."""

    def __init__(self, files: Sequence[Path], columns: Columns, folder: Path, memory: str) -> None:
        self.duckdb = duckdb_for(str(files[0]))
        self.files, self.folder = list(files), folder
        suffixes = {f.suffix.lower() for f in files}
        if len(suffixes) != 1 or not suffixes <= {".parquet", ".csv", ".tsv"}:
            rule = "logs are .parquet, .csv or .tsv files of one kind, or a folder of shards"
            raise InvalidInput(
                "path", ", ".join(sorted(suffixes)) or "no ending", rule, "Name those files alone."
            )
        self.parquet = suffixes == {".parquet"}
        settings = {"memory_limit": memory.replace(" ", ""), "threads": workers_of(None), "temp_directory": str(folder),
                    "preserve_insertion_order": False, "autoinstall_known_extensions": False}  # fmt: skip
        self.base = self.duckdb.connect(config=settings)
        self.types = self._types()
        self.c = columns.among(list(self.types), files[0].name)
        self.source = self._source(self.files)

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: Any) -> None:
        self.base.close()

    def run(self, query: str) -> Any:
        """The answer to a query; a file that cannot be read is named."""
        try:
            return self.base.execute(query)
        except self.duckdb.OutOfMemoryException as e:
            raise TooLarge("path", short(str(e))[1:-1], "memory=", "Give more, e.g. memory='2GB'.") from None
        except self.duckdb.Error as e:
            raise self._unreadable(e) from None

    def _source(self, files: Sequence[Path], more: str = "") -> str:
        names = "[" + ", ".join(_text(re.sub(r"([*?\[])", r"[\1]", str(f))) for f in files) + "]"
        if self.parquet:
            return f"read_parquet({names}{more})"
        c = getattr(self, "c", None)
        kinds = {} if c is None else {x: "VARCHAR" for x in (*c.states, c.actions, c.agents, c.episode) if x}
        if c is not None:
            kinds |= {c.t: "BIGINT"} | {x: "DOUBLE" for x in (c.reward, c.chance) if x}
        types = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in kinds.items())
        return f"read_csv({names}, header = true{f', types = {{{types}}}' if types else ''}{more})"

    def _types(self) -> dict[str, str]:
        """Type of each column, which must be the same in all files."""
        first: dict[str, str] = {}
        for file in self.files:
            try:
                found = self.base.execute(f"DESCRIBE SELECT * FROM {self._source([file])}").fetchall()
            except self.duckdb.Error as e:
                raise _bad(str(file), e) from None
            types = {str(row[0]): str(row[1]) for row in found}
            for name, kind in first.items() if self.parquet else ():
                if types.get(name) != kind:
                    got = f"the type {types[name]}" if name in types else "no such column"
                    at = f"{file}, row group 0, row 0, column {name!r}"
                    raise InvalidInput(
                        at, got, f"in {self.files[0].name} it is {kind}", "Write the files with one schema."
                    )
            first = first or types
        return first

    def _unreadable(self, error: Exception) -> InvalidInput:
        """Which file, and which row group of it, cannot be read."""
        line = re.search(r"(?:line|Line):? (\d+)", str(error))
        for file in self.files:
            whole = f"SELECT max(hash({', '.join(map(_quoted, self.c.used))})) FROM {self._source([file])}"
            try:
                self.base.execute(whole).fetchall()
            except self.duckdb.Error as e:
                if not self.parquet:
                    return _bad(f"{file}{f', line {line[1]}' if line else ''}", e)
                for g, (lo, hi) in enumerate(self._groups(file)):
                    rows = self._source([file], ", file_row_number = true")
                    one = f"{whole.partition(' FROM ')[0]} FROM {rows} WHERE file_row_number BETWEEN {lo} AND {hi - 1}"
                    try:
                        self.base.execute(one).fetchall()
                    except self.duckdb.Error as inner:
                        return _bad(f"{file}, row group {g}, rows {lo:,} to {hi - 1:,}", inner)
                return _bad(str(file), e)
        return _bad(", ".join(f.name for f in self.files[:3]), error)

    def _groups(self, file: Path) -> list[tuple[int, int]]:
        """First row and the one after the last of each row group."""
        query = "SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata(?) ORDER BY 1"
        sizes = [r[1] for r in self.base.execute(query, [str(file)]).fetchall()]
        ends = np.cumsum(sizes).tolist()
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def place(self, condition: str, skip: int = 0) -> str:
        """Where the first row is (after so many) that satisfies a condition: file, row group, row."""
        for file in self.files:
            if self.parquet:
                rows = self._source([file], ", file_row_number = true")
                query = f"SELECT file_row_number FROM {rows} WHERE {condition} ORDER BY 1 LIMIT {skip + 1}"
            else:
                self.base.execute("SET preserve_insertion_order = true")
                rows = f"(SELECT *, row_number() OVER () AS k FROM {self._source([file])})"
                query = f"SELECT k FROM {rows} WHERE {condition} ORDER BY 1 LIMIT {skip + 1}"
            found = self.run(query).fetchall()
            if len(found) > skip:
                k = int(found[skip][0])
                groups = enumerate(self._groups(file)) if self.parquet else ()
                group = next((f", row group {g}" for g, (lo, hi) in groups if lo <= k < hi), "")
                return f"{file}{group}, row {k:,}"
            skip -= len(found)
        return str(self.files[0])

    def _when(self) -> str:
        """`t` as a whole number; NULL where it is none."""
        t, kind = _quoted(self.c.t), self.types[self.c.t]
        if re.fullmatch(_WHOLE, kind) or not self.parquet:
            return f"CAST({t} AS BIGINT)"
        if kind in ("FLOAT", "DOUBLE", "VARCHAR") or kind.startswith("DECIMAL"):
            return f"CASE WHEN TRY_CAST({t} AS DOUBLE) = TRY_CAST({t} AS BIGINT) THEN TRY_CAST({t} AS BIGINT) END"
        at = f"{self.files[0]}, row group 0, row 0, column {self.c.t!r}"
        raise InvalidInput(at, f"the type {kind}", "it is the number of the step in its episode, a whole number",
                           "Number them 0, 1, 2, ...; a gap cuts.")  # fmt: skip

    @property
    def counted(self) -> bool:
        """Whether episodes are whole numbers as they stand."""
        return self.parquet and re.fullmatch(_WHOLE, self.types[str(self.c.episode)]) is not None

    def _number(self, column: str) -> str:
        return f"TRY_CAST({_quoted(column)} AS DOUBLE)"

    def seen(self, given: tuple[Any, Any]) -> tuple[Names, Ints, Ints, int]:
        """Names of what occurs, agent and local pair of each combination in table `seen`, and the rows with a pair."""
        c, when = self.c, self._when()
        keys = [c.agents, *c.states, *([c.actions] if c.actions else [])]
        checked = {
            c.t: f"({when}) IS NULL",
            **({c.episode: f"{_quoted(c.episode)} IS NULL"} if c.episode else {}),
        }
        for name in (c.reward, c.chance):
            if name is not None:
                there = "" if c.actions is None else f"{_quoted(c.actions)} IS NOT NULL AND "
                checked[name] = f"{there}coalesce(NOT isfinite({self._number(name)}), true)"
        if c.terminated is not None:
            checked[c.terminated] = f"TRY_CAST({_quoted(c.terminated)} AS BOOLEAN) IS NULL"
        counts = ", ".join(f"count_if({rule}) AS bad{k}" for k, rule in enumerate(checked.values()))
        names = ", ".join(map(_quoted, keys))
        self.run(
            f"CREATE TEMP TABLE seen AS SELECT CAST(row_number() OVER () - 1 AS INTEGER) AS id, * FROM (SELECT "
            f"{names}, count(*) AS many, {counts} FROM {self.source} GROUP BY ALL LIMIT {MOST_SEEN + 1})"
        )
        found = self.run(
            f"SELECT {names}, many, {', '.join(f'bad{k}' for k in range(len(checked)))} FROM seen ORDER BY id"
        )
        rows = found.fetchall()
        if len(rows) > MOST_SEEN:
            raise TooLarge("states", "more combinations of agent, state and action", f"{MOST_SEEN:,}",
                           "Make states coarser, e.g. cells instead of places.")  # fmt: skip
        if not rows:
            raise InvalidInput(str(self.files[0]), "no rows", "there must be at least one", "Check the file.")
        self._refuse_bad(rows, keys, checked)
        listed = [list(x) for x in zip(*rows, strict=True)]
        i_names, i = numbered(_objects(listed[0]))
        s_names, s = joined([numbered(_objects(listed[1 + k])) for k in range(len(c.states))])
        nothing = ["0"], np.zeros(len(rows), dtype=np.int64)
        a_names, a = numbered(_objects(listed[1 + len(c.states)])) if c.actions else nothing
        acted = a >= 0
        known = known_of(i_names, (i[acted], s[acted], a[acted]), s_names, a_names, given, c.states)
        many = np.array(listed[len(keys)], dtype=np.int64)
        return known, i, known.pairs(i, s, a), int(many[acted].sum())

    def _refuse_bad(self, rows: list[Any], keys: list[str], checked: dict[str, str]) -> None:
        c = self.c
        for k, name in enumerate(keys):
            if name != c.actions and any(label(row[k]) == "" for row in rows):
                wrong = f"{_quoted(name)} IS NULL OR trim(CAST({_quoted(name)} AS VARCHAR)) IN ('', 'nan')"
                raise empty(self.place(wrong), name)
        for k, (name, rule) in enumerate(checked.items()):
            if any(row[len(keys) + 1 + k] for row in rows):
                place = self.place(rule)
                value = self.run(
                    f"SELECT {_quoted(name)} FROM {self.source} WHERE {rule} AND {_quoted(name)} IS NOT NULL LIMIT 1"
                )
                bad = value.fetchone()
                if bad is None:
                    raise empty(place, name)
                want = {c.t: "a whole number", c.terminated: "true or false"}.get(name, "a finite number")
                raise InvalidInput(
                    f"{place}, column {name!r}", short(bad[0]), f"it must be {want}", "Mend that column."
                )

    def split(self, rows: int) -> list[str]:
        """Tables of neighbouring steps, in order, each of about `PART` rows."""
        c = self.c
        keys = [c.agents, *c.states, *([c.actions] if c.actions else [])]
        join = " AND ".join(f"r.{_quoted(k)} = seen.{_quoted(k)}" for k in keys)
        episode, more = "0", ""
        if c.episode is not None:
            e = _quoted(c.episode)
            episode = f"CAST(r.{e} AS BIGINT)"
            if not self.counted:
                episode = "episodes.e"
                self.run(
                    f"CREATE TEMP TABLE episodes AS SELECT name, row_number() OVER (ORDER BY TRY_CAST(name AS BIGINT) "
                    f"NULLS LAST, name) - 1 AS e FROM (SELECT DISTINCT {e} AS name FROM {self.source})"
                )
                more = f" JOIN episodes ON r.{e} = episodes.name"
        values = [f", {self._number(x)} AS v{k}" for k, x in enumerate((c.reward, c.chance)) if x]
        ended = f", TRY_CAST(r.{_quoted(c.terminated)} AS BOOLEAN) AS ended" if c.terminated else ""
        whole = (
            f"SELECT {episode} AS e, {self._when()} AS t, seen.id AS id{''.join(values)}{ended} "
            f"FROM {self.source} r JOIN seen ON {join}{more}"
        )
        count = min(MOST_PARTS, -(-rows // PART))
        if count == 1:
            return [f"({whole})"]
        steps = f"SELECT DISTINCT {episode} AS e, {self._when()} AS t FROM {self.source} r{more}"
        few = f"SELECT * FROM ({steps}) WHERE hash(e, t) % {max(1, rows // SAMPLE)} = 0 ORDER BY e, t"
        sample = self.run(few).fetchnumpy()
        if not len(sample["e"]):  # few steps of very many agents
            sample = self.run(f"{steps} ORDER BY e, t").fetchnumpy()
        part = _part_of(sample["e"].astype(np.int64), sample["t"].astype(np.int64), count)
        folder = self.folder / "parts"
        self.run(
            f"COPY (SELECT *, {part} AS part FROM ({whole})) TO {_text(folder)} "
            "(FORMAT parquet, PARTITION_BY (part), COMPRESSION lz4)"
        )
        parts = sorted(folder.glob("part=*"), key=lambda p: int(p.name[5:]))
        return [f"read_parquet({_text(p / '*.parquet')}, hive_partitioning = false)" for p in parts]

    def steps(self, part: str, known: Names, of: Ints, pair: Ints) -> Steps:
        """The steps of a part."""
        a = self.run(f"SELECT * FROM {part}").fetchnumpy()
        ids = np.asarray(a["id"])
        rest = (np.asarray(a[k]) if k in a else None for k in ("v0", "ended", "v1"))
        long = Long(
            np.asarray(a["e"], dtype=np.int64), np.asarray(a["t"], dtype=np.int64), of[ids], pair[ids], *rest
        )
        try:
            return long.steps(known.spaces.n_agents)
        except Twice as second:
            k = second.row
            raise self._twice(int(long.episode[k]), int(long.t[k]), int(ids[k])) from None

    def _twice(self, e: int, t: int, seen: int) -> InvalidInput:
        c = self.c
        agent = self.run(f"SELECT {_quoted(c.agents)} FROM seen WHERE id = {seen}").fetchone()[0]
        episode, where = None, f"{self._when()} = {t} AND {_quoted(c.agents)} = {_literal(agent)}"
        if c.episode is not None:
            named = self.run(f"SELECT name FROM episodes WHERE e = {e}") if not self.counted else None
            episode = e if named is None else named.fetchone()[0]
            where += f" AND {_quoted(c.episode)} = {_literal(episode)}"
        return twice(self.place(where, 1), episode, t, label(agent))


def _part_of(e: Ints, t: Ints, count: int) -> str:
    """In SQL, which of so many parts a step belongs to; e, t a sample of steps in order. Ranges of equal length where
    steps are spread evenly, else ranges with equal numbers of steps of the sample, found by halving."""
    low, span = int(t.min()), int(t.max()) - int(t.min()) + 1
    cells = (int(e[-1]) - int(e[0]) + 1) * span
    if cells < 2**62:
        wide = -(-cells // count)
        place = ((e - e[0]) * span + t - low) // wide
        if np.bincount(place).max() * count <= 2 * len(e):
            return f"greatest(0, least({count - 1}, ((e - {int(e[0])}) * {span} + t - {low}) // {wide}))"
    limits = sorted({(int(e[k]), int(t[k])) for k in np.arange(1, count) * len(e) // count})

    def among(lo: int, hi: int) -> str:
        if lo == hi:
            return str(lo)
        middle = (lo + hi + 1) // 2
        at, when = limits[middle - 1]
        above, below = among(middle, hi), among(lo, middle - 1)
        return f"CASE WHEN e > {at} OR (e = {at} AND t >= {when}) THEN {above} ELSE {below} END"

    return among(0, len(limits))


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else _text(value)


def _objects(values: list[Any]) -> Any:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _bad(place: str, error: Exception) -> InvalidInput:
    got = f"an unreadable file ({' '.join(str(error).split())[:160]})"
    return InvalidInput(place, got, "it must be a whole table of rows", "Write it again, or leave it out.")
