"""A checkpoint of somebody's network on its own environment, for `diagnose --checkpoint`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from .guard import outputs, say, working
from .subject import inputs
from .tables import save_files, text_table


def certified(
    env: str, agent: Path, config: Path | None, mixer: Path | None, json: Path | None, made: Any, **how: Any
) -> None:
    """Certify it and say how; `made` builds the environment, `how` goes to `certify_network`."""
    if config is None:
        rule = "it says what the weights are of"
        raise InvalidInput(
            "--config", "nothing", rule, "Name the config.json of the run that wrote the checkpoint."
        )
    outputs({"--json": json}, [*inputs(env), agent, config, *([] if mixer is None else [mixer])])
    with working(f"certifying {agent.name} on {env}"):
        from ..environments.certified import certify_network
        from ..environments.pymarl import read_pymarl

        found = certify_network(read_pymarl(agent, config, mixer), made(env), **how)
    table = found.tables()["network"]
    say(f"{found.sentence}\n{text_table(table)}")
    save_files(found, table, json)


def alone(rule: str, other: str, **options: Any) -> None:
    """Refuse options of `diagnose` that say nothing there; `other`: "" or "add ", what --checkpoint wants."""
    for name, (given, default) in options.items():
        if given != default:
            option = f"--{name.replace('_', '-')}"
            raise InvalidInput(option, str(given), rule, f"Leave out {option}, or {other}--checkpoint.")
