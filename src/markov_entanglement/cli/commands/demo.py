"""`markov-entanglement demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..guard import guarded, keep, saved, say, working
from .reproduce import findings

SYSTEMS = ("frozen-lake", "shared-randomness", "circulant")


@guarded
def demo(
    out: Annotated[Path, typer.Option("--out", help="Folder for the reports.")] = Path(
        "markov-entanglement-demo"
    ),
) -> None:
    """Analyse three systems live, and redraw the paper's figure 1 in small; write a report for each."""
    from ...analysis.analyze import analyze
    from ...errors import InvalidInput, MissingDependency
    from ...gallery import entry

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise InvalidInput(
            "--out", str(out), f"it must be a folder that can be made ({e.strerror})", "Choose another."
        ) from None
    for id in SYSTEMS:
        record = entry(id)
        try:
            with working(f"analysing {record.title}"):
                result = analyze(
                    record.build().chain(),
                    title=record.title,
                    command=f"markov-entanglement analyze gallery:{id}",
                )
                text = result.summary()
        except MissingDependency as e:
            say(f"skipped: {e}\n")
            continue
        say(text)
        page = out / f"{id}.html"
        result.save_html(page)
        saved(page)
        say("")
    with working("figure 1 of the paper, in small"):
        from ...studies.reproduce import quick_figure1

        study = quick_figure1(out, saved=keep)
    say("\n".join([*findings(study), f"wrote {out / 'figure1.html'}"]))
