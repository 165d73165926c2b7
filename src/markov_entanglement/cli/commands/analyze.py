"""`markov-entanglement analyze SYSTEM`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import guard
from ..guard import guarded, saved, working
from ..subject import POLICY_HELP, SYSTEM_HELP, chain_of


@guarded
def analyze(
    system: Annotated[str, typer.Argument(help=SYSTEM_HELP)],
    policy: Annotated[str | None, typer.Option("--policy", help=POLICY_HELP)] = None,
    distance: Annotated[
        list[str] | None, typer.Option("--distance", help="mu-atv, atv, policy; repeatable.")
    ] = None,
    discount: Annotated[float | None, typer.Option("--discount", help="gamma in [0, 1).")] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Largest unexplained share of the spread of Q to accept.")
    ] = 0.05,
    initial: Annotated[
        str | None, typer.Option("--initial", help="Start in this joint state, e.g. 0,2,1.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the result here.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the report here.")] = None,
) -> None:
    """May I add up local values here, and how wrong will I be?"""
    with working(f"analysing {system}"):
        from ...analysis.analyze import analyze as run

        result = run(
            chain_of(system, policy, initial),
            discount=discount,
            distances=distance or None,
            tolerance=tolerance,
            title=f"{system}{'' if policy is None else f', policy {policy}'}",
            command=guard.COMMAND,
        )
        text = result.summary()
    typer.echo(text)
    if json is not None:
        result.save_json(json)
        saved(json)
    if html is not None:
        result.save_html(html)
        saved(html)
