"""`markov-entanglement check SYSTEM`."""

from __future__ import annotations

from typing import Annotated

import typer

from ..guard import guarded
from ..subject import POLICY_HELP, SYSTEM_HELP, NActions, NStates, Options, chain_of, options_of


@guarded
def check(
    system: Annotated[str, typer.Argument(help=SYSTEM_HELP)],
    policy: Annotated[str | None, typer.Option("--policy", help=POLICY_HELP)] = None,
    initial: Annotated[str | None, typer.Option("--initial", help="Start in this joint state.")] = None,
    discount: Annotated[float | None, typer.Option("--discount", help="gamma in [0, 1).")] = None,
    n_states: NStates = None,
    n_actions: NActions = None,
    option: Options = None,
) -> None:
    """Check that a system can be analysed; status 2 when it cannot."""
    from ...analysis.check import check_system

    given = options_of(n_states, n_actions, option, discount)
    found = check_system(chain_of(system, policy, initial, given))
    typer.echo(found.summary())
    if not found.ok:
        raise typer.Exit(2)
