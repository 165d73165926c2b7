"""`markov-entanglement sweep GRID.toml`."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from .. import guard
from ..completion import any_of
from ..guard import guarded, outputs, tell, working
from ..options import Csv, Json
from ..subject import imported, inputs
from ..tables import text_table

#: A file that runs as it is.
TEMPLATE = """# A sweep: one question for every cell of a grid.
# Run it with: markov-entanglement sweep grid.toml --store sweep.jsonl --csv cells.csv --html sweep.html
schema = 1
kind = "sweep"

# "analyze", "entanglement", "value_decomposition", "estimate_entanglement", "estimate_error" or "sample_complexity"
question = "analyze"
seed = 0  # random numbers of a cell depend on it and on what the cell says

# All combinations of these are cells, the first axis slowest; what is no list is the same in every cell.
[grid]
system = "gallery:circulant"  # or a file
policy = ["index", "uniform"]
budget = 1
n_arms = [3, 4, 5]

# What the picture shows; without it, the first number against the first axis of numbers.
[picture]
value = "unexplained"
against = "n_arms"
"""
RUNNERS = ("serial", "threads", "processes", "dask")


@guarded
def sweep(
    grid: Annotated[Path, Argument(metavar="GRID", help="A TOML file: a question, a seed and a grid.")],
    work: Annotated[
        str | None, Option("--work", help="module:attr, a function of a cell, in the place of the question.")
    ] = None,
    runner: Annotated[
        str,
        Option(
            "--runner",
            help=f"{', '.join(RUNNERS)} (a local cluster), or the address of a dask scheduler.",
            autocompletion=any_of(*RUNNERS),
        ),
    ] = RUNNERS[0],
    workers: Annotated[
        int | None, Option("--workers", min=1, help="Threads or processes; else one a core, at most four.")
    ] = None,
    store: Annotated[
        Path | None, Option("--store", help="The journal (.jsonl): one line a cell, kept when it is done.")
    ] = None,
    resume: Annotated[bool, Option("--resume", help="Go on from what --store holds.")] = False,
    retry: Annotated[bool, Option("--retry", help="With --resume: do again what failed.")] = False,
    seed: Annotated[int | None, Option("--seed", min=0, help="In the place of the seed of the file.")] = None,
    json: Json = None,
    csv: Csv = None,
    html: Annotated[
        Path | None, Option("--html", help="Write table and picture to this page (not -).")
    ] = None,
    picture: Annotated[
        Path | None, Option("--picture", help="Draw it into this file (.svg or .png).")
    ] = None,
) -> None:
    """One question for every cell of a grid: a table and a picture, on as many workers as there are."""
    named = {"--json": json, "--csv": csv, "--html": html, "--picture": picture}
    outputs({"--store": store} | named, [*inputs(str(grid), work), grid])
    if work is not None:
        sys.path.insert(0, str(Path.cwd()))  # where the workers look for it, too
    with working(f"sweeping {grid}"):
        from ...studies.sweep_file import read_sweep

        asked = read_sweep(grid, None if work is None else imported("--work", work), seed)
        try:
            found = asked.run(store, runner, workers, resume, retry)
        except KeyboardInterrupt:
            if store is not None and store.exists():
                guard.keep(store)
                again = guard.COMMAND if resume else f"{guard.COMMAND} --resume"
                typer.echo(f"go on with: {again}", err=True)
            raise
        found = found.model_copy(update={"command": guard.COMMAND})
        cells = found.tables()["cells"]
        text = "\n".join([found.sentence, text_table(found.short())])

    def draw(path: Path) -> None:
        from ..._files import write_bytes

        out = BytesIO()
        found.plot().savefig(out, format=path.suffix[1:].lower() or "png")
        write_bytes(path, out.getvalue())

    tell(text, ((json, found.save_json), (csv, cells.save_csv), (html, found.save_html), (picture, draw)))
