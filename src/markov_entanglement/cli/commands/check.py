"""`markov-entanglement check SYSTEM`."""

from __future__ import annotations

from typing import Annotated

import typer

from ..guard import guarded
from ..subject import POLICY_HELP, SYSTEM_HELP, chain_of


@guarded
def check(
    system: Annotated[str, typer.Argument(help=SYSTEM_HELP)],
    policy: Annotated[str | None, typer.Option("--policy", help=POLICY_HELP)] = None,
    initial: Annotated[
        str | None, typer.Option("--initial", help="Start in this joint state: 0,2,1 or names.")
    ] = None,
) -> None:
    """Check that a system can be analysed; status 2 when it cannot."""
    from ...analysis.check import check_system

    found = check_system(chain_of(system, policy, initial))
    typer.echo(found.summary())
    if not found.ok:
        raise typer.Exit(2)
