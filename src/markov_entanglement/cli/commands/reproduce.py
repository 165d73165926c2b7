"""`markov-entanglement reproduce [figure1..4|all]`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..completion import any_of
from ..guard import guarded, saved, say, working
from ..options import Seed

if TYPE_CHECKING:
    from ...studies.result import Study

FIGURES = ("figure1", "figure2", "figure3", "figure4", "all")
FOLDER = Path("markov-entanglement-reproduction")


@guarded
def reproduce(
    figure: Annotated[
        str,
        typer.Argument(help=f"{', '.join(FIGURES[:-1])} or {FIGURES[-1]}.", autocompletion=any_of(*FIGURES)),
    ] = FIGURES[-1],
    quick: Annotated[bool, typer.Option("--quick", help="Smaller sizes, fewer runs: a few seconds.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder for CSV, pictures and page.")] = FOLDER,
    seed: Seed = 0,
) -> None:
    """Recompute the paper's figures, and one that it does not have."""
    with working(f"reproducing {figure}"):
        from ...studies.reproduce import reproduce as run

        done = run(figure, out=out, quick=quick, rng=seed, saved=saved)
    for study in done.studies:
        for line in findings(study):
            say(line)


def findings(study: Study) -> list[str]:
    """What the paper states of a figure beside what was found, a line each."""
    marks = {True: "agrees", False: "differs", None: "ours"}
    return [f"{study.key} [{marks[fact.agrees]}] {fact.stated} {fact.found}" for fact in study.facts]
