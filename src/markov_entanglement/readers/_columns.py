"""Tables as people have them -> named columns: frames by shape, CSV by the standard library, Parquet by DuckDB."""

from __future__ import annotations

import csv
import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .._check import Floats
from .._files import read_text
from ..errors import InvalidInput, MissingDependency, short
from . import at


@runtime_checkable
class Frame(Protocol):
    """A table that gives its columns by name: pandas, polars, arrow."""

    columns: Any

    def __getitem__(self, name: Any) -> Any: ...


@runtime_checkable
class Indexed(Protocol):
    """A frame whose rows have names: pandas."""

    index: Any


SEPARATORS = ",;\t|"
#: What frames call numbers of less than double precision.
_KINDS = {"float16": "float16", "halffloat": "float16", "float32": "float32", "float": "float32"}


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of equal length.

    Attributes
    ----------
    name : of the file or the argument, for messages.
    entries : column name -> its entries.
    lines : line in the file of each row, or its number in a frame, counted from 0.
    row_names : labels of the rows where the frame has an index of its own, else None.
    decimal : the sign before decimals in a text file.
    kinds : type of the numbers of columns that are in less than double precision.
    """

    name: str
    entries: dict[str, list[Any]]
    lines: Sequence[int]
    row_names: list[Any] | None = None
    decimal: str = "."
    in_file: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict)
    #: Each column is read once.
    _floats: dict[str, Floats] = field(default_factory=dict, repr=False)
    _names: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def where(self, k: int, column: str | None = None) -> str:
        """Row k as a message names it."""
        if self.in_file:
            return at(Path(self.name), self.lines[k], column)
        return f"{self.name}, row {self.lines[k]}" + ("" if column is None else f", column {column!r}")

    def numbers(self, column: str) -> Floats:
        """A column of finite numbers; "12.5 %" is .125, and "0,5" is .5 where ";" separates columns."""
        if column not in self._floats:
            self._floats[column] = np.array(
                [self._number(k, column, v) for k, v in enumerate(self.entries[column])]
            )
        return self._floats[column]

    def chances(self, column: str) -> Floats:
        """The same in the precision of the column."""
        return self.numbers(column).astype(self.kinds.get(column, "float64"))

    def _number(self, k: int, column: str, value: Any) -> float:
        try:
            text = value.strip().replace(self.decimal, ".") if isinstance(value, str) else value
            share = isinstance(text, str) and text.endswith("%")
            if isinstance(text, bool | np.bool_) or "_" in str(text):  # Python reads 1_000
                raise ValueError
            found = float(text[:-1]) / 100.0 if share else float(text)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not math.isfinite(found):
            got = "nothing" if value is None or (isinstance(value, str) and value == "") else short(value)
            raise InvalidInput(self.where(k, column), got, "it must be a finite number", "Mend that entry.")
        return found

    def labels(self, column: str) -> list[str]:
        """A column of names; whole numbers without their decimals."""
        if column not in self._names:
            self._names[column] = [self._label(k, column, v) for k, v in enumerate(self.entries[column])]
        return self._names[column]

    def _label(self, k: int, column: str, value: Any) -> str:
        found = label(value)
        if found == "":
            raise InvalidInput(self.where(k, column), "nothing", "it must name something", "Fill that entry.")
        return found


def label(value: Any) -> str:
    """A name, as text: 3.0 is "3", what is missing is ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if type(value).__name__ in ("NAType", "NaTType"):  # what pandas has for a missing entry
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def names_of(key: str, value: Any) -> list[str]:
    """One name, or several, each once."""
    several = isinstance(value, list | tuple | range) or (isinstance(value, np.ndarray) and value.ndim == 1)
    found = [] if value is None else list(value) if several else [value]
    for k, name in enumerate(found):
        if not isinstance(name, str | int | float | np.integer | np.floating) or label(name) == "":
            raise InvalidInput.kind(key, name, "names", f"E.g. {key}=['a', 'b'].")
        if label(name) in map(label, found[:k]):
            raise InvalidInput(key, f"{label(name)!r} twice", "each name stands once", "Drop one.")
    return [label(name) for name in found]


def table_of(value: Any, name: str) -> Table:
    """Columns of a frame (pandas, polars, arrow), a mapping of columns, or a file `.csv`, `.tsv` or `.parquet`."""
    if isinstance(value, str | os.PathLike):
        path = Path(value)
        return _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    if isinstance(value, Mapping | Frame):
        index, heads = _index(value), heads_of(value)
    else:
        rule = "it must be a frame, a mapping of columns, or the path of a .csv, .tsv or .parquet file"
        raise InvalidInput(name, short(value), rule, "Pass e.g. a pandas frame.")
    unique(name, [label(h) for h in heads])
    columns = {label(h): _entries(value[h]) for h in heads}
    sizes = {len(entries) for entries in columns.values()}
    if len(sizes) != 1 or 0 in sizes:
        found = ", ".join(map(str, sorted(sizes)))
        got = f"columns of {found} entries" if sizes - {0} else "no rows"
        raise InvalidInput(name, got, "columns have one length, at least 1", "Check the columns.")
    kinds = {label(h): kind for h in heads if (kind := _kind(value[h]))}
    return Table(name, columns, range(sizes.pop()), index, kinds=kinds)


def heads_of(frame: Any) -> list[Any]:
    """Names of the columns of a frame or of a mapping."""
    return list(
        frame if isinstance(frame, Mapping) else getattr(frame, "column_names", frame.columns)
    )  # arrow


def _index(frame: Any) -> list[Any] | None:
    """The row labels of a pandas frame; None where they only number the rows."""
    if not isinstance(frame, Indexed) or callable(frame.index):
        return None
    found = _entries(frame.index)
    return None if found == list(range(len(found))) else found


def _entries(column: Any) -> list[Any]:
    """A column as a list of Python values."""
    named = (
        getattr(column, method)() for method in ("to_pylist", "tolist", "to_list") if hasattr(column, method)
    )
    found = next(named, column)
    if not isinstance(found, Iterable) or isinstance(found, str | Mapping):
        raise InvalidInput.kind("frame", column, "columns of entries", "Pass a frame.")
    return list(found)


def _kind(column: Any) -> str:
    """The type of a column of less than double precision, as numpy calls it; "" of others."""
    said = getattr(column, "dtype", getattr(column, "type", column if isinstance(column, str) else ""))
    return _KINDS.get(str(said).lower().partition("[")[0], "")


def unique(name: str, heads: list[str]) -> None:
    for k, head in enumerate(heads):
        if head in heads[:k]:
            raise InvalidInput(name, f"two columns {head!r}", "columns have different names", "Rename one.")


def _csv(path: Path) -> Table:
    """A text table; after comments (`#`), the first line names the columns and shows what separates them."""
    lines = enumerate(re.split(r"\r\n|\r|\n", read_text(path)), 1)
    rows = list(itertools.dropwhile(lambda r: r[1].startswith("#"), (r for r in lines if r[1].strip())))
    if len(rows) < 2:
        rule = "the first line names the columns, the others are rows"
        raise InvalidInput(str(path), f"{len(rows)} lines", rule, "Add them.")
    separator = max(SEPARATORS, key=rows[0][1].count)
    try:
        cells = [next(csv.reader([line], delimiter=separator, strict=True)) for _, line in rows]
    except csv.Error as e:
        raise InvalidInput(
            str(path), f"no table ({e})", "it must be text with separators", "Mend it."
        ) from None
    heads = [cell.strip() for cell in cells[0]]
    unique(str(path), heads)
    for (line, _), row in zip(rows[1:], cells[1:], strict=True):
        if len(row) != len(heads):
            rule = f"the first line names {len(heads)} columns, separated by {separator!r}"
            raise InvalidInput(at(path, line), f"{len(row)} cells", rule, "Add or remove cells.")
    columns = {head: [row[c].strip() for row in cells[1:]] for c, head in enumerate(heads)}
    decimal = "," if separator == ";" else "."
    return Table(str(path), columns, [k for k, _ in rows[1:]], None, decimal, in_file=True)


def duckdb_for(name: str, rule: str = "Parquet files are read by DuckDB") -> Any:
    """The module, to read what is called `name`."""
    try:
        import duckdb
    except ImportError:
        raise MissingDependency(name, "no package duckdb", rule, "Run: pip install duckdb") from None
    return duckdb


def _parquet(path: Path) -> Table:
    duckdb = duckdb_for(str(path))
    try:
        found = duckdb.connect().execute(
            "SELECT * FROM read_parquet(?)", [re.sub(r"([*?\[])", r"[\1]", str(path))]
        )
        heads, rows = [d[0] for d in found.description], found.fetchall()
    except duckdb.Error as e:
        got = f"an unreadable file ({' '.join(str(e).split())[:120]})"
        raise InvalidInput(str(path), got, "it must be a Parquet file", "Save it again.") from None
    table = table_of({h: [row[c] for row in rows] for c, h in enumerate(heads)}, str(path))
    return replace(table, kinds={label(d[0]): kind for d in found.description if (kind := _kind(str(d[1])))})
