"""The first line of text tables, read once for all who read the rows."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import InvalidInput
from ..readers import at
from ..readers._columns import SEPARATORS, unique
from .table import Columns


class Head(NamedTuple):
    """What names the columns of a text table."""

    names: tuple[str, ...]
    separator: str
    line: int  # its number in the file, counted from 1


def head_of(path: Path) -> Head:
    """The first line that is neither blank nor a comment (`#`): it shows what separates columns.

    Raises
    ------
    InvalidInput : there is none, it names a column twice, or it is no text in UTF-8.
    """
    with path.open(newline="", encoding="utf-8-sig") as text:
        try:
            for line, first in enumerate(text, 1):
                if first.strip() and not first.startswith("#"):
                    return _named(path, first, line)
        except UnicodeDecodeError:
            raise no_text(path) from None
    raise InvalidInput(str(path), "no line", "the first line names the columns", "Check the file.")


def _named(path: Path, first: str, line: int) -> Head:
    separator = max(SEPARATORS, key=first.count)
    try:
        names = [cell.strip() for cell in next(csv.reader([first], delimiter=separator, strict=True))]
    except csv.Error as e:
        rule = "it names the columns, each in one line"
        raise InvalidInput(at(path, line), str(e), rule, "Mend that line.") from None
    unique(str(path), names)
    return Head(tuple(names), separator, line)


def no_text(path: Path) -> InvalidInput:
    """The refusal of a file in another encoding."""
    got, rule = "bytes that are no UTF-8", "it must be a text file in UTF-8"
    return InvalidInput(str(path), got, rule, "Save it as UTF-8.")


def columns_of(files: Sequence[Path], columns: Columns) -> tuple[Columns, dict[Path, Head]]:
    """The columns that are read, the same in all files, and the first line of each."""
    heads = {file: head_of(file) for file in files}
    found = [columns.among(heads[file].names, file.name) for file in files]
    for file, here in zip(files, found, strict=True):
        if here != found[0]:
            got, rule = (
                f"the columns {', '.join(here.used)}",
                f"in {files[0].name} they are {', '.join(found[0].used)}",
            )
            raise InvalidInput(at(file, heads[file].line), got, rule, "Write files with the same columns.")
    return found[0], heads
