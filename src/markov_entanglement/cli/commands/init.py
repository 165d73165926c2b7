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
from .sweep import TEMPLATE

#: Files of another kind than systems: word -> (text, the command that takes it).
OTHERS = {"sweep": (TEMPLATE, "sweep")}


@guarded
def init(
    file: Annotated[Path, typer.Argument(help="The TOML file to write.")],
    kind: Annotated[
        str, typer.Option("--kind", help=f"{', '.join((*kinds(), *OTHERS))}.", autocompletion=kind_words)
    ] = "weakly-coupled",
) -> None:
    """Write a commented file of a system, or of a sweep, that runs as it is."""
    if kind not in kinds() and kind not in OTHERS:
        raise InvalidInput.unknown("--kind", kind, (*kinds(), *OTHERS))
    if os.path.lexists(file):
        raise InvalidInput("FILE", str(file), "it must not exist yet", "Choose another name.")
    writable("FILE", file)
    text, command = OTHERS[kind] if kind in OTHERS else (kinds()[kind].template(file.name), "analyze")
    write_text(file, text)
    saved(file)
    typer.echo(f"next: markov-entanglement {command} {file}")
