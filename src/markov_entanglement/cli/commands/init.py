"""`markov-entanglement init FILE --kind K`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..guard import guarded, saved, writable


@guarded
def init(
    file: Annotated[Path, typer.Argument(help="The TOML file to write.")],
    kind: Annotated[
        str, typer.Option("--kind", help="chain, mdp, weakly-coupled or bandit.")
    ] = "weakly-coupled",
) -> None:
    """Write a commented system file that runs as it is."""
    from ..._check import choice
    from ..._files import write_text
    from ...errors import InvalidInput
    from ...model.templates import TEMPLATES, template

    choice("--kind", kind, tuple(TEMPLATES))
    if file.exists():
        raise InvalidInput("FILE", str(file), "it must not exist yet", "Choose another name.")
    writable("FILE", file)
    write_text(file, template(kind, file.name))
    saved(file)
    typer.echo(f"next: markov-entanglement analyze {file}")
