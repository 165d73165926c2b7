"""`markov-entanglement report RESULT.json -o FILE.html`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..._files import ending_of
from ..guard import ENDINGS, guarded, saved, writable


@guarded
def report(
    result: Annotated[Path, typer.Argument(help="A result written by analyze --json.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write (not -).")],
) -> None:
    """Render a stored result as one self-contained HTML page."""
    from ...report.sweep import read_stored

    writable("--output", output, result)
    ending_of(output, *ENDINGS["--html"], name="--output")
    read_stored(result).save_html(output)
    saved(output)
