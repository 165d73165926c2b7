"""`markov-entanglement diagnose --env ENV --policy P`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from .. import guard
from ..environment import ENV_HELP, environment_of
from ..guard import guarded, keep, outputs, working
from ..options import Discount, Json, Seed
from ..subject import imported, inputs
from ..tables import show
from .learn import interruptible, steps_of


@guarded
def diagnose(
    env: Annotated[str, Option("--env", help=ENV_HELP)],
    policy: Annotated[
        str, Option("--policy", help="uniform, or module:attr, a function (observations, rng).")
    ] = "uniform",
    local_state: Annotated[
        str | None,
        Option("--local-state", help="module:attr, a function (env, agent); else the observation."),
    ] = None,
    agents: Annotated[
        str | None, Option("--agents", help="Names of the agents, a,b,c, where the environment has none.")
    ] = None,
    steps: Annotated[str, Option("--steps", help="Number of steps recorded: 100000 or 1e5.")] = "1e5",
    discount: Discount = None,
    distance: Annotated[
        list[str] | None, Option("--distance", help="mu-atv or policy; repeatable; else all that fit.")
    ] = None,
    tolerance: Annotated[
        float, Option("--tolerance", help="Largest unexplained share of the spread of Q to accept.")
    ] = 0.05,
    seed: Seed = 0,
    resume: Annotated[
        bool, Option("--resume", help="Go on with the runs beside --json FILE that were stopped.")
    ] = False,
    json: Json = None,
    html: Annotated[Path | None, Option("--html", help="Write the report to this file (not -).")] = None,
) -> None:
    """May I add up local values in this environment? Runs it; Ctrl-C keeps the runs that are done, --resume goes on."""
    if resume and json is None:
        from ...errors import InvalidInput

        rule = "runs that were stopped lie beside the file of --json"
        raise InvalidInput("--resume", "no --json", rule, "Name that file.")
    runs = None if json is None else json.with_suffix(".runs")
    outputs({"--json": json, "--html": html}, inputs(env, policy, local_state))
    many = steps_of(steps)
    with working(f"diagnosing {env}"), interruptible() as stop:
        from ...analysis.diagnose import diagnose as run

        result = run(
            environment_of(env),
            policy if ":" not in policy else imported("--policy", policy),
            local_state=None if local_state is None else imported("--local-state", local_state),
            agents=None if agents is None else agents.split(","), steps=many, discount=discount,
            distances=distance or None, tolerance=tolerance, rng=seed, keep=runs, resume=resume, stop=stop, laid=keep,
            title=f"{env}, policy {policy}", command=guard.COMMAND, source=env,
        )  # fmt: skip
        text = result.summary()
    show(result, text, json, html)
    if runs is not None:
        from ...environments.record import discard

        discard(runs)
