"""A table of a result, the one form in which numbers leave it: CSV, frames, arrays, pictures and cards are made of it.

Cells are plain words, numbers and truth values; None where there is no number. Nothing heavy is imported here.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .._files import ending_of, write_bytes
from ..errors import MissingDependency, TooLarge

if TYPE_CHECKING:
    import pandas
    import xarray

#: Entries of the full grid of a table; beyond, its index does not make a grid worth filling.
_MOST_CELLS = 10**7


#: Column -> what it is, or (what it is, its unit).
Columns: TypeAlias = Mapping[str, str | tuple[str, str]]


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Rows of one kind.

    Attributes
    ----------
    name : its key among the tables of a result.
    title : what it holds, in a few words.
    columns : name -> cells, all of one length; words, numbers, truth values, or None where there is none.
    notes : column -> what it is.
    units : column -> its unit, where it has one.
    index : the columns that say which row it is; together they differ from row to row.
    left_out : what is not here and how to get it, or "".
    """

    name: str
    title: str
    columns: Mapping[str, Sequence[Any]]
    notes: Mapping[str, str]
    units: Mapping[str, str]
    index: tuple[str, ...]
    left_out: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __repr__(self) -> str:
        return f"Table({self.name}: {len(self)} rows of {', '.join(self.columns)})"

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One mapping a row."""
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*self.columns.values(), strict=True)]

    def csv(self) -> str:
        """Comma-separated text with one line of names; every digit of a number, nothing where there is none."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(x) for x in row] for row in zip(*self.columns.values(), strict=True))
        return out.getvalue()

    def save_csv(self, path: str | Path) -> None:
        """Write `csv()` atomically, UTF-8.

        Raises
        ------
        InvalidInput : a file that cannot be written, or one whose ending says something else than CSV.
        """
        ending_of(path, "a table", ".csv", ".txt")
        write_bytes(path, self.csv().encode(errors="backslashreplace"))

    def to_dataframe(self) -> pandas.DataFrame:
        """A pandas frame, one row a row; `attrs` has title, notes and units.

        Raises
        ------
        MissingDependency : pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise _missing("pandas", "to_dataframe") from None
        frame = pandas.DataFrame({k: _numbers(v) for k, v in self.columns.items()})
        frame.attrs |= {"title": self.title, "notes": dict(self.notes), "units": dict(self.units)}
        return frame

    def to_xarray(self) -> xarray.Dataset:
        """An xarray Dataset: the `index` columns are its dimensions, the others its variables.

        Raises
        ------
        MissingDependency : xarray is not installed.
        TooLarge : the grid of all index values would be far larger than the table.
        """
        try:
            import xarray
        except ImportError:
            raise _missing("xarray", "to_xarray") from None
        values = {k: list(dict.fromkeys(self.columns[k])) for k in self.index}
        shape = [len(v) for v in values.values()]
        if (size := math.prod(shape)) > _MOST_CELLS and size > 4 * len(self):
            got = f"{size} cells for {len(self)} rows"
            raise TooLarge(f"grid of {self.name}", got, f"{_MOST_CELLS}", "Use to_dataframe.")
        places = {k: {v: j for j, v in enumerate(at)} for k, at in values.items()}
        flat = [0] * len(self)
        for k, at in places.items():
            flat = [f * len(at) + at[v] for f, v in zip(flat, self.columns[k], strict=True)]
        variables = {}
        for k, cells in self.columns.items():
            if k not in self.index:
                about = {"long_name": self.notes[k]} | ({"units": u} if (u := self.units.get(k)) else {})
                variables[k] = (self.index, _grid(_numbers(cells), flat, shape), about)
        return xarray.Dataset(variables, values, {"title": self.title})


def table(
    name: str, title: str, columns: Columns, rows: Iterable[Sequence[Any]],
    index: int = 1, left_out: str = "",
) -> Table:  # fmt: skip
    """A table of rows; `columns` says what each column is, or (what it is, its unit); the first `index` name a row.

    >>> table("t", "", {"who": "an agent", "value": ("its share", "share")}, [("a", 0.5), ("b", None)]).csv()
    'who,value\\na,0.5\\nb,\\n'
    """
    cells = list(zip(*rows, strict=True)) or [()] * len(columns)
    return upright(name, title, columns, [tuple(map(_finite, c)) for c in cells], index, left_out)


def upright(
    name: str,
    title: str,
    columns: Columns,
    cells: Sequence[Sequence[Any]],
    index: int = 1,
    left_out: str = "",
) -> Table:
    """The same of the cells of each column, which must be finite or None: for tables of many rows."""
    each = {k: (v, "") if isinstance(v, str) else v for k, v in columns.items()}
    found = dict(zip(each, cells, strict=True))
    notes, units = {k: v[0] for k, v in each.items()}, {k: v[1] for k, v in each.items() if v[1]}
    return Table(name, title, found, notes, units, tuple(each)[:index], left_out)


def distinct(names: Sequence[str]) -> list[str]:
    """The same names, a number added to those that were there before; what is distinct stays as it is.

    >>> distinct(["pump", "pump", "valve"])
    ['pump', 'pump (2)', 'valve']
    >>> distinct(["pump", "pump", "pump (2)"])
    ['pump', 'pump (2)', 'pump (2) (2)']
    """
    seen: dict[str, int] = {}
    out = []
    for name in names:
        other = name
        while other in seen:
            seen[name] += 1
            other = f"{name} ({seen[name]})"
        seen[other] = 1
        out.append(other)
    return out


def _finite(x: Any) -> Any:
    return None if isinstance(x, float) and not math.isfinite(x) else x


def _cell(x: Any) -> str:
    if x is None:
        return ""
    return str(x).lower() if isinstance(x, bool) else str(x)


def _is_number(x: Any) -> bool:
    return x is None or (isinstance(x, int | float) and not isinstance(x, bool))


def _numbers(cells: Sequence[Any]) -> list[Any]:
    """Cells for an array: NaN for None where all others are numbers."""
    if all(map(_is_number, cells)) and not all(x is None for x in cells) and None in cells:
        return [math.nan if x is None else float(x) for x in cells]
    return list(cells)


def _grid(cells: list[Any], flat: list[int], shape: list[int]) -> Any:
    """An array with the cells in their places; NaN or None elsewhere."""
    import numpy as np

    some = np.array(cells) if all(map(_is_number, cells)) and None not in cells else np.array(cells, object)
    if some.dtype == object or len(cells) < math.prod(shape):
        empty = None if some.dtype == object else math.nan
        out = np.full(math.prod(shape), empty, dtype=object if some.dtype == object else float)
    else:
        out = np.empty(math.prod(shape), some.dtype)
    out[flat] = some
    return out.reshape(shape)


def _missing(package: str, method: str) -> MissingDependency:
    return MissingDependency(
        method, f"no package {package}", "it makes its objects", f"Run: pip install {package}"
    )
