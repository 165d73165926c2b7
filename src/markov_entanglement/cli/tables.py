"""Tables of the command line: as text for a terminal, as CSV and as JSON files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._files import csv_text, write_text
from .guard import saved

#: Rows of a table on the terminal; the rest is in the files.
MOST_ROWS = 60


def text_table(columns: Mapping[str, Sequence[Any]]) -> str:
    """Columns by their names, words to the left and numbers to the right; long tables are cut, which is said."""
    cells = {name: [_cell(x) for x in column] for name, column in columns.items()}
    rows = list(zip(*cells.values(), strict=True))
    right = [any(isinstance(x, float) for x in column) for column in columns.values()]
    widths = [max(map(len, [name, *column])) for name, column in cells.items()]
    lines = [
        "  ".join(
            f"{x:>{w}}" if r else f"{x:<{w}}" for x, w, r in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in [tuple(cells), *rows[:MOST_ROWS]]
    ]
    left_out = len(rows) - MOST_ROWS
    return "\n".join(
        [*lines, *([f"... {left_out} more rows; --json or --csv has all"] if left_out > 0 else [])]
    )


def _cell(x: Any) -> str:
    return f"{x:.6g}" if isinstance(x, float) else str(x)


def save_csv(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write a table and say so."""
    write_text(path, csv_text(columns))
    saved(path)


def save_json(path: Path, value: Any) -> None:
    """Plain values; what is not finite is null."""
    from .._json import plain

    write_text(path, json.dumps(plain(value), indent=1, ensure_ascii=False) + "\n")
    saved(path)
