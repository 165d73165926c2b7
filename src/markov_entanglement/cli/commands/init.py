"""`markov-entanglement init FILE --kind K`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..._files import write_text
from ...errors import InvalidInput
from ...model.kinds import kinds
from ..completion import kind_words
from ..guard import guarded, saved, writable


@guarded
def init(
    file: Annotated[Path, typer.Argument(help="The TOML file to write.")],
    kind: Annotated[
        str, typer.Option("--kind", help=f"{', '.join(kinds())}.", autocompletion=kind_words)
    ] = "weakly-coupled",
) -> None:
    """Write a commented system file that runs as it is."""
    if kind not in kinds():
        raise InvalidInput.unknown("--kind", kind, kinds())
    if os.path.lexists(file):
        raise InvalidInput("FILE", str(file), "it must not exist yet", "Choose another name.")
    writable("FILE", file)
    write_text(file, kinds()[kind].template(file.name))
    saved(file)
    typer.echo(f"next: markov-entanglement analyze {file}")
