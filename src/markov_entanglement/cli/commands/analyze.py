"""`markov-entanglement analyze SYSTEM`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from .. import guard
from ..guard import guarded, outputs, tell, working
from ..options import Discount, Distances, Initial, Json, Method, Policy, Seed, System
from ..subject import NActions, NStates, Options, chain_of, inputs, options_of


@guarded
def analyze(
    system: System,
    policy: Policy = None,
    distance: Distances = None,
    discount: Discount = None,
    tolerance: Annotated[
        float, Option("--tolerance", help="Largest unexplained share of the spread of Q to accept.")
    ] = 0.05,
    method: Method = "auto",
    initial: Initial = None,
    n_states: NStates = None,
    n_actions: NActions = None,
    option: Options = None,
    seed: Seed = 0,
    json: Json = None,
    html: Annotated[Path | None, Option("--html", help="Write the report to this file (not -).")] = None,
) -> None:
    """May I add up local values here, and how wrong will I be?"""
    outputs({"--json": json, "--html": html}, inputs(system, policy, options=option))
    with working(f"analysing {system}"):
        from ...analysis.analyze import analyze as run

        result = run(
            chain_of(system, policy, initial, options_of(n_states, n_actions, option), discount),
            discount=discount,
            distances=distance or None,
            tolerance=tolerance,
            method=method,
            rng=seed,
            title=f"{system}{'' if policy is None else f', policy {policy}'}",
            command=guard.COMMAND,
            source=system,
        )
        text = result.summary()
    tell(text, ((json, result.save_json), (html, result.save_html)))
