"""`markov-entanglement check SYSTEM`."""

from __future__ import annotations

import typer

from ..guard import guarded, working
from ..options import Discount, Initial, Policy, System
from ..subject import NActions, NStates, Options, chain_of, options_of


@guarded
def check(
    system: System,
    policy: Policy = None,
    initial: Initial = None,
    discount: Discount = None,
    n_states: NStates = None,
    n_actions: NActions = None,
    option: Options = None,
) -> None:
    """Check that a system can be analysed; status 2 when it cannot."""
    given = options_of(n_states, n_actions, option, discount)
    with working(f"checking {system}"):
        from ...analysis.check import check_system

        found = check_system(chain_of(system, policy, initial, given))
    typer.echo(found.summary())
    if not found.ok:
        raise typer.Exit(2)
