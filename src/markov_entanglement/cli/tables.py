"""Tables of results on a terminal, and as files."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import write_text
from ..report.facts import number
from ..report.table import Table
from ..report.text import table
from .guard import keep, saved, say

if TYPE_CHECKING:
    from ..report.result import Result

#: Rows of a table on the terminal; the rest is in the files.
MOST_ROWS = 60


def text_table(found: Table) -> str:
    """Names of columns and rows, words to the left and numbers to the right; long tables are cut, which is said."""
    words = [k for k, column in enumerate(found.columns.values()) if any(isinstance(x, str) for x in column)]
    rows = [[_cell(x) for x in row.values()] for row in found.rows[:MOST_ROWS]]
    left_out = len(found) - len(rows)
    more = [f"... {left_out:,} more rows; --json or --csv has all"] if left_out > 0 else []
    return "\n".join([*table(list(found.columns), rows, left=words), *more])


def _cell(x: Any) -> str:
    return number(x) if isinstance(x, float) else "-" if x is None else str(x)


def save_files(found: Result, shown: Table | None, json: Path | None, csv: Path | None = None) -> None:
    """Write a result and the table that was shown of it where somebody asked for them, and say so."""
    from .._json import plain

    if json is not None:
        write_text(json, dumps(plain(found.to_dict()), indent=1, ensure_ascii=False) + "\n")
        saved(json)
    if csv is not None and shown is not None:
        shown.save_csv(csv)
        saved(csv)


def show(result: Any, text: str, json: Path | None, html: Path | None) -> None:
    """Write an analysis to its files and say its text."""
    lines = [text]
    try:  # before the text, whose reader may go
        for path, save in ((json, result.save_json), (html, result.save_html)):
            if path is not None:
                save(path)
                keep(path)
                lines.append(f"wrote {path}")
    finally:  # the verdict is found, whatever can be written
        say("\n".join(lines))
