"""`markov-entanglement diagnose --env ENV --policy P`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from ...errors import InvalidInput
from .. import guard
from ..environment import ENV_HELP, environment_of
from ..guard import guarded, keep, outputs, tell, working
from ..network import alone, certified
from ..options import Discount, Json, Seed
from ..subject import imported, inputs
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
    steps: Annotated[
        str, Option("--steps", help="Number of steps recorded, at least 1000: 100000 or 1e5.")
    ] = "1e5",
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
    checkpoint: Annotated[
        Path | None,
        Option("--checkpoint", help="agent.th of PyMARL or EPyMARL: is it tuning, or decomposition?"),
    ] = None,
    config: Annotated[Path | None, Option("--config", help="config.json of the run that wrote it.")] = None,
    mixer: Annotated[Path | None, Option("--mixer", help="mixer.th of QMIX.")] = None,
    epsilon: Annotated[float, Option("--epsilon", help="Chance of any action of a network, 0..1.")] = 0.0,
    horizon: Annotated[
        int | None, Option("--horizon", help="Steps after which values of a network stop; else never.")
    ] = None,
    starts: Annotated[int, Option("--starts", help="Places from which a network is judged.")] = 400,
    json: Json = None,
    html: Annotated[Path | None, Option("--html", help="Write the report to this file (not -).")] = None,
) -> None:
    """May I add up local values in this environment? Runs it; Ctrl-C keeps the runs that are done, --resume goes on."""
    seen = {
        "local_state": None if local_state is None else imported("--local-state", local_state),
        "agents": None if agents is None else agents.split(","),
    }
    if checkpoint is not None:
        alone("a checkpoint is judged as it plays", "", policy=(policy, "uniform"), steps=(steps, "1e5"),
              distance=(distance or None, None), resume=(resume, False), html=(html, None))  # fmt: skip
        certified(env, checkpoint, config, mixer, json, environment_of, epsilon=epsilon, horizon=horizon, starts=starts,
                  discount=discount, tolerance=tolerance, rng=seed, **seen)  # fmt: skip
        return
    alone("it says how a checkpoint is judged", "add ", config=(config, None), mixer=(mixer, None),
          epsilon=(epsilon, 0.0), horizon=(horizon, None), starts=(starts, 400))  # fmt: skip
    if resume and json is None:
        rule = "runs that were stopped lie beside the file of --json"
        raise InvalidInput("--resume", "no --json", rule, "Name that file.")
    from ...environments.recorded import LEAST

    outputs({"--json": json, "--html": html}, inputs(env, policy, local_state))
    runs = None if json is None else json.with_suffix(".runs")
    _recorded(env, policy, runs, json, html, steps=steps_of(steps, LEAST), discount=discount,
              distances=distance or None, tolerance=tolerance, rng=seed, resume=resume, **seen)  # fmt: skip


def _recorded(
    env: str, policy: str, runs: Path | None, json: Path | None, html: Path | None, **how: Any
) -> None:
    """Run the environment and say what was found; runs that are done are kept in `runs` until then."""
    with working(f"diagnosing {env}"), interruptible() as stop:
        from ...analysis.diagnose import diagnose as run

        result = run(
            environment_of(env), policy if ":" not in policy else imported("--policy", policy), keep=runs, stop=stop,
            laid=keep, title=f"{env}, policy {policy}", command=guard.COMMAND, source=env, **how,
        )  # fmt: skip
        text = result.summary()
    tell(text, ((json, result.save_json), (html, result.save_html)))
    if runs is not None:
        from ...environments.record import discard_runs

        discard_runs(runs)
