"""`markov-entanglement demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..guard import guarded, keep, saved, say, working
from .reproduce import findings

SYSTEMS = ("frozen-lake", "shared-randomness", "circulant")
FOLDER = Path("markov-entanglement-demo")


@guarded
def demo(out: Annotated[Path, typer.Option("--out", help="Folder for the reports.")] = FOLDER) -> None:
    """Analyse three systems live, and redraw the paper's figure 1 in small; write a report for each."""
    from ...analysis.analyze import analyze
    from ...errors import InvalidInput, MissingDependency
    from ...gallery import entry

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        rule = f"it must be a folder that can be made ({e.strerror})"
        raise InvalidInput("--out", str(out), rule, "Choose another.") from None
    for id in SYSTEMS:
        record = entry(id)
        try:
            with working(f"analysing {record.title}"):
                chain, command = record.build().chain(), f"markov-entanglement analyze gallery:{id}"
                result = analyze(chain, title=record.title, command=command, source=f"gallery:{id}")
                text = result.summary()
        except MissingDependency as e:
            say(f"skipped: {e}\n")
            continue
        say(text)
        result.save_html(out / f"{id}.html")
        saved(out / f"{id}.html")
        say("")
    with working("figure 1 of the paper, in small"):
        from ...studies.reproduce import quick_figure1

        study = quick_figure1(out, saved=keep)
    say("\n".join([*findings(study), f"wrote {out / 'figure1.html'}"]))
