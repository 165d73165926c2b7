"""`markov-entanglement report RESULT.json -o FILE.html`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..guard import guarded, saved, writable


@guarded
def report(
    result: Annotated[Path, typer.Argument(help="A result written by analyze --json.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write (not -).")],
) -> None:
    """Render a stored result as one self-contained HTML page."""
    from ..._files import write_text
    from ...report.html import render_html
    from ...report.schema import read_result

    writable("--output", output, result)
    write_text(output, render_html(read_result(result)))
    saved(output)
