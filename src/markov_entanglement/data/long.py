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

from .. import __version__
from .._check import Ints
from .._files import path_of
from .._journal import Journal
from .._progress import advance, stage
from .._work import workers_of
from ..errors import InvalidInput, TooLarge, short
from ..readers._columns import duckdb_for, label
from .heads import Head, columns_of
from .log import Log, Making, Scratch, new_folder
from .names import MISSING, Names, joined, known_of, numbered
from .shards import META, Steps, read_meta
from .table import CHANCE, CLOCK, FALSE, LIKELY, REAL, TRUE, TRUTH, Columns, Long, Twice, empty, twice, unfit

#: Rows of one part, steps that are looked at to find its limits, and most parts.
PART, SAMPLE, MOST_PARTS = 2**21, 100_000, 1000
_WHOLE, _FITS = r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?", r"U?(TINY|SMALL)INT|U?INTEGER|BIGINT"
#: Different combinations of agent, state and action.
MOST_SEEN = 2_000_000
#: Column of the number of a row.
_ROW = '"row of the file"'


def from_files(
    files: Sequence[Path],
    columns: Columns,
    given: tuple[Any, Any],
    gamma: float | None,
    store: Any,
    memory: str,
    resume: bool,
) -> Log:
    """A log from Parquet, or from text tables (`.csv`, `.tsv`)."""
    scratch, journal = Scratch(), None
    if store is not None:
        reading = path_of(store, "store") / "reading"
        if not (resume or reading.exists()):
            new_folder(store)
        about = {**columns.read_from(files, given), "part": PART, "version": __version__}
        journal = Journal("store", reading, about, resume, what="a reading")
    with Table(files, columns, scratch.folder if journal is None else journal.path, memory) as table:
        table.ready = journal is not None and bool(journal.read("parts"))
        with stage("what was seen", 0.0, 0.3):
            known, of, pair, rows = table.seen(given)
        with stage("sorting", 0.3, 0.6):
            parts = table.split(rows)
            if journal is not None and len(parts) > 1:
                journal.write("parts", {"count": len(parts)})
        making = Making(known, gamma, store, rows, journal=journal, of=columns.read_from(files, given))
        with stage("steps", 0.6, 1.0), making as made:
            for part in parts[made.done :]:
                made.part(table.steps(part, known, of, pair))
                advance(made.done / len(parts))
    return made.log


def whole_of(store: Any, files: Sequence[Path], columns: Columns, given: tuple[Any, Any]) -> Path | None:
    """The folder, if it holds a log of which all rows were read; refuses that of other files.

    Raises
    ------
    InvalidInput : a log of other files, of other columns, or of nobody knows what.
    """
    folder = path_of(store, "store")
    if not (folder / META).is_file() or (meta := read_meta(folder)[0]).get("left"):
        return None
    of = columns.read_from(files, given)
    other = [k for k, v in of.items() if meta.get("of", {}).get(k) != v]
    if other:
        got, rule = f"{store}, a log of other {other[0]}", "reading goes on with what it began with"
        raise InvalidInput("store", got, rule, "Read that one by its own name, or name another folder.")
    return folder


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: Any) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _listed(files: Sequence[Path]) -> str:
    return "[" + ", ".join(_text(re.sub(r"([*?\[])", r"[\1]", str(f))) for f in files) + "]"


def _text_table(head: Head, files: Sequence[Path]) -> str:
    """Text tables with one first line, every entry as it stands."""
    columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in head.names)
    return (
        f"read_csv({_listed(files)}, columns = {{{columns}}}, delim = {_text(head.separator)}, quote = '\"', "
        f"escape = '\"', skip = {head.line - 1}, header = true, auto_detect = false)"
    )


class Table:
    """The rows of some files in DuckDB."""

    def __init__(self, files: Sequence[Path], columns: Columns, folder: Path, memory: str) -> None:
        self.duckdb = duckdb_for(str(files[0]))
        self.files, self.folder = list(files), folder
        self.ready = False  # whether parts lie in the folder, of a reading that was stopped
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
        self.heads: dict[Path, Head] = {}
        if self.parquet:
            self.types = self._types()
            self.c = columns.among(list(self.types), files[0].name)
        else:
            self.c, self.heads = columns_of(files, columns)
            self.types = dict.fromkeys(self.c.used, "VARCHAR")
        self.source = self._source(self.files)

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: Any) -> None:
        self.base.close()

    def run(self, query: str, fetch: str = "fetchall") -> Any:
        """The answer to a query, fetched, as much of it is only read then; a file that cannot be read is named."""
        try:
            return getattr(self.base.execute(query), fetch)()
        except self.duckdb.OutOfMemoryException as e:
            raise TooLarge("path", short(str(e))[1:-1], "memory=", "Give more, e.g. memory='2GB'.") from None
        except self.duckdb.Error as e:
            raise self._unreadable(e) from None

    def _source(self, files: Sequence[Path], numbered: bool = False) -> str:
        """The columns that are read, an entry that is missing NULL; `numbered`: with `k`, the number of the row."""
        used, keys = dict.fromkeys(self.c.used), self.c.keys
        kept = [f"{self._entry(x) if x in keys else _quoted(x)} AS {_quoted(x)}" for x in used]
        if self.parquet:
            number = [f"file_row_number AS {_ROW}"] if numbered else []
            read = f"read_parquet({_listed(files)}{', file_row_number = true' if numbered else ''})"
            return f"(SELECT {', '.join([*kept, *number])} FROM {read})"
        number = [f"row_number() OVER () AS {_ROW}"] if numbered else []
        groups: dict[Head, list[Path]] = {}
        for file in files:
            groups.setdefault(self.heads[file], []).append(file)
        parts = [
            f"SELECT {', '.join([*kept, *number])} FROM {_text_table(head, group)}"
            for head, group in groups.items()
        ]
        return f"({' UNION ALL '.join(parts)})"

    def _entry(self, column: str) -> str:
        """A name, or what counts steps; NULL where it is missing."""
        name, kind = _quoted(column), self.types[column]
        if kind == "VARCHAR":
            return f"CASE WHEN lower(trim({name})) NOT IN ('', {_text(MISSING)}) THEN trim({name}) END"
        return f"CASE WHEN NOT isnan({name}) THEN {name} END" if kind in ("FLOAT", "DOUBLE") else name

    def _types(self) -> dict[str, str]:
        """Type of each column of Parquet files, which must be the same in all of them."""
        first: dict[str, str] = {}
        for file in self.files:
            try:
                found = self.base.execute(
                    f"DESCRIBE SELECT * FROM read_parquet({_listed([file])})"
                ).fetchall()
            except self.duckdb.Error as e:
                raise _bad(str(file), e) from None
            types = {str(row[0]): str(row[1]) for row in found}
            for name, kind in first.items():
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
                    rows = self._source([file], numbered=True)
                    one = f"{whole.partition(' FROM ')[0]} FROM {rows} WHERE {_ROW} BETWEEN {lo} AND {hi - 1}"
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
        return self._first(condition, "NULL", skip)[0]

    def _first(self, condition: str, shown: str, skip: int = 0) -> tuple[str, Any]:
        """The same, and what that row shows."""
        for file in self.files:
            if not self.parquet:
                self.base.execute("SET preserve_insertion_order = true")
            rows = self._source([file], numbered=True)
            query = f"SELECT {_ROW}, {shown} FROM {rows} WHERE {condition} ORDER BY 1 LIMIT {skip + 1}"
            found = self.run(query)
            if len(found) > skip:
                k, value = found[skip]
                groups = enumerate(self._groups(file)) if self.parquet else ()
                group = next((f", row group {g}" for g, (lo, hi) in groups if lo <= k < hi), "")
                return f"{file}{group}, row {k:,}", value
            skip -= len(found)
        return str(self.files[0]), None

    def _when(self, of: str = "") -> str:
        """`t` (of a table) as a whole number from 0 on; NULL where it is none."""
        t, kind = of + _quoted(self.c.t), self.types[self.c.t]
        whole = f"TRY_CAST({t} AS BIGINT)"
        if re.fullmatch(_WHOLE, kind):
            return f"CASE WHEN {t} >= 0 THEN {whole} END"
        if kind in ("FLOAT", "DOUBLE", "VARCHAR") or kind.startswith("DECIMAL"):
            plain = f" AND NOT contains({t}, '_')" if kind == "VARCHAR" else ""
            return f"CASE WHEN TRY_CAST({t} AS DOUBLE) = {whole} AND {whole} >= 0{plain} THEN {whole} END"
        at = f"{self.files[0]}, row group 0, row 0, column {self.c.t!r}"
        raise InvalidInput(at, f"the type {kind}", "it is the number of the step in its episode, a whole number",
                           "Number them 0, 1, 2, ...; a gap cuts.")  # fmt: skip

    @property
    def counted(self) -> bool:
        """Whether episodes are whole numbers as they stand."""
        return re.fullmatch(_FITS, self.types[str(self.c.episode)]) is not None

    def _number(self, column: str, of: str = "") -> str:
        """An amount (of a table); NULL where it is none."""
        name = of + _quoted(column)
        found = f"TRY_CAST({name} AS DOUBLE)"
        return (
            f"CASE WHEN NOT contains({name}, '_') THEN {found} END"
            if self.types[column] == "VARCHAR"
            else found
        )

    @staticmethod
    def _truth(column: str, of: str = "") -> str:
        """Whether the task ended (of a table); NULL where it is not said."""
        said = f"lower(trim(CAST({of}{_quoted(column)} AS VARCHAR)))"
        cases = (
            f"WHEN {said} IN ({', '.join(map(_text, words))}) THEN {now}"
            for words, now in ((TRUE, "true"), (FALSE, "false"))
        )
        return f"CASE {' '.join(cases)} END"

    def seen(self, given: tuple[Any, Any]) -> tuple[Names, Ints, Ints, int]:
        """Names of what occurs, agent and local pair of each combination in table `seen`, and the rows with a pair."""
        c, when, keys = self.c, self._when(), self.c.seen
        there = "" if c.actions is None else f"{_quoted(c.actions)} IS NOT NULL AND "
        checked = {c.t: (f"({when}) IS NULL", CLOCK)}
        if c.episode is not None:
            checked[c.episode] = f"{_quoted(c.episode)} IS NULL", ""
        if c.reward is not None:
            checked[c.reward] = f"{there}coalesce(NOT isfinite({self._number(c.reward)}), true)", REAL
        if c.chance is not None:
            x = self._number(c.chance)
            checked[c.chance] = f"{there}coalesce({x} <= 0 OR NOT {x} <= {LIKELY!r}, true)", CHANCE
        if c.terminated is not None:
            checked[c.terminated] = f"{there}({self._truth(c.terminated)}) IS NULL", TRUTH
        counts = ", ".join(f"count_if({rule}) AS bad{k}" for k, (rule, _) in enumerate(checked.values()))
        names = ", ".join(f"k{k}" for k in range(len(keys)))
        named = ", ".join(f"{_quoted(name)} AS k{k}" for k, name in enumerate(keys))
        groups = (
            "SELECT CAST(row_number() OVER () - 1 AS INTEGER) AS id, * FROM "
            f"(SELECT {named}, count(*) AS many, {counts} FROM {self.source} GROUP BY ALL LIMIT {MOST_SEEN + 1})"
        )
        kept = f"SELECT * FROM read_parquet({_text(self.folder / 'seen.parquet')})"
        self.run(f"CREATE TEMP TABLE seen AS {kept if self.ready else groups}")
        rows = self.run(
            f"SELECT {names}, many, {', '.join(f'bad{k}' for k in range(len(checked)))} FROM seen ORDER BY id"
        )
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

    def _refuse_bad(self, rows: list[Any], keys: list[str], checked: dict[str, tuple[str, str]]) -> None:
        c = self.c
        for k, name in enumerate(keys):
            if name != c.actions and any(label(row[k]) == "" for row in rows):
                raise empty(f"{self.place(f'{_quoted(name)} IS NULL')}, column {name!r}")
        for k, (name, (rule, want)) in enumerate(checked.items()):
            if any(row[len(keys) + 1 + k] for row in rows):
                place, value = self._first(rule, _quoted(name))
                raise unfit(f"{place}, column {name!r}", value, want)

    def split(self, rows: int) -> list[str]:
        """Tables of neighbouring steps, in order, each of about `PART` rows."""
        c = self.c
        join = " AND ".join(f"r.{_quoted(name)} = seen.k{k}" for k, name in enumerate(c.seen))
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
        values = [f", {self._number(x, 'r.')} AS v{k}" for k, x in enumerate((c.reward, c.chance)) if x]
        ended = f", {self._truth(c.terminated, 'r.')} AS ended" if c.terminated else ""
        whole = (
            f"SELECT {episode} AS e, {self._when('r.')} AS t, seen.id AS id{''.join(values)}{ended} "
            f"FROM {self.source} r JOIN seen ON {join}{more}"
        )
        count, folder = min(MOST_PARTS, -(-rows // PART)), self.folder / "parts"
        if count == 1:
            return [f"({whole})"]
        if not self.ready:
            self._part(whole, episode, more, count, rows, folder)
        parts = sorted(folder.glob("part=*"), key=lambda p: int(p.name[5:]))
        return [f"read_parquet({_text(p / '*.parquet')}, hive_partitioning = false)" for p in parts]

    def _part(self, whole: str, episode: str, more: str, count: int, rows: int, folder: Path) -> None:
        """Write the rows into so many parts of a folder, and beside it what was seen, whose numbers they have."""
        steps = f"SELECT DISTINCT {episode} AS e, {self._when('r.')} AS t FROM {self.source} r{more}"
        few = f"SELECT * FROM ({steps}) WHERE hash(e, t) % {max(1, rows // SAMPLE)} = 0 ORDER BY e, t"
        sample = self.run(few, "fetchnumpy")
        if not len(sample["e"]):  # few steps of very many agents
            sample = self.run(f"{steps} ORDER BY e, t", "fetchnumpy")
        part = _part_of(sample["e"].astype(np.int64), sample["t"].astype(np.int64), count)
        self.run(
            f"COPY (SELECT *, {part} AS part FROM ({whole})) TO {_text(folder)} "
            "(FORMAT parquet, PARTITION_BY (part), COMPRESSION lz4, OVERWRITE)"
        )
        self.run(f"COPY seen TO {_text(self.folder / 'seen.parquet')} (FORMAT parquet)")

    def steps(self, part: str, known: Names, of: Ints, pair: Ints) -> Steps:
        """The steps of a part."""
        a = self.run(f"SELECT * FROM {part}", "fetchnumpy")
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
        agent = self.run(f"SELECT k0 FROM seen WHERE id = {seen}", "fetchone")[0]
        episode, where = None, f"{self._when()} = {t} AND {_quoted(c.agents)} = {_literal(agent)}"
        if c.episode is not None:
            named = (
                self.run(f"SELECT name FROM episodes WHERE e = {e}", "fetchone") if not self.counted else None
            )
            episode = e if named is None else named[0]
            where += f" AND {_quoted(c.episode)} = {_literal(episode)}"
        return twice(self.place(where, 1), episode, t, label(agent))


def _part_of(e: Ints, t: Ints, count: int) -> str:
    """In SQL, which of so many parts a step belongs to; e, t a sample of steps in order. Ranges of equal length where
    steps are spread evenly, else ranges with equal numbers of steps of the sample, found by halving."""
    low, span = int(t.min()), int(t.max()) - int(t.min()) + 1
    cells = (int(e[-1]) - int(e[0]) + 1) * span
    if cells < 2**62:
        wide = -(-cells // count)
        if np.bincount(((e - e[0]) * span + t - low) // wide).max() * count <= 2 * len(e):
            first, last = int(e[0]), int(e[-1])
            place = f"(e - {first}) * {span} + least(greatest(t, {low}), {low + span - 1}) - {low}"
            return (
                f"CASE WHEN e < {first} THEN 0 WHEN e > {last} THEN {count - 1} ELSE ({place}) // {wide} END"
            )
    limits = sorted({(int(e[k]), int(t[k])) for k in np.arange(1, count) * len(e) // count})

    def among(lo: int, hi: int) -> str:
        """The part, which is one of lo..hi."""
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
