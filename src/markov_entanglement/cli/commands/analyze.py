"""`markov-entanglement analyze SYSTEM`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .. import guard
from ..guard import guarded, keep, say, working, writable
from ..subject import POLICY_HELP, SYSTEM_HELP, chain_of, inputs


@guarded
def analyze(
    system: Annotated[str, Argument(help=SYSTEM_HELP)],
    policy: Annotated[str | None, Option("--policy", help=POLICY_HELP)] = None,
    distance: Annotated[
        list[str] | None,
        Option(
            "--distance",
            help="mu-atv, atv, policy, kernel, tv, mu-tv or spectral; repeatable; else all that fit.",
        ),
    ] = None,
    discount: Annotated[float | None, Option("--discount", help="gamma in [0, 1).")] = None,
    tolerance: Annotated[
        float, Option("--tolerance", help="Largest unexplained share of the spread of Q to accept.")
    ] = 0.05,
    initial: Annotated[str | None, Option("--initial", help="Start in this joint state, e.g. 0,2,1.")] = None,
    json: Annotated[Path | None, Option("--json", help="Write the result to this file (not -).")] = None,
    html: Annotated[Path | None, Option("--html", help="Write the report to this file (not -).")] = None,
) -> None:
    """May I add up local values here, and how wrong will I be?"""
    taken = inputs(system, policy)
    for option, path in (("--json", json), ("--html", html)):
        if path is not None:
            writable(option, path, *taken)
            taken.append(path)
    with working(f"analysing {system}"):
        from ...analysis.analyze import analyze as run

        result = run(
            chain_of(system, policy, initial),
            discount=discount,
            distances=distance or None,
            tolerance=tolerance,
            title=f"{system}{'' if policy is None else f', policy {policy}'}",
            command=guard.COMMAND,
            source=system,
        )
        text = result.summary()
    lines = [text]
    try:  # before the text, whose reader may go
        for path, save in ((json, result.save_json), (html, result.save_html)):
            if path is not None:
                save(path)
                keep(path)
                lines.append(f"wrote {path}")
    finally:  # the verdict is found, whatever can be written
        say("\n".join(lines))
