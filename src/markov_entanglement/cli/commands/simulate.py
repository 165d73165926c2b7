"""`markov-entanglement simulate SYSTEM`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from ..guard import guarded, outputs, saved, say, working
from ..options import Discount, Policy, Seed, System
from ..subject import NActions, NStates, Options, inputs, options_of, resolve


@guarded
def simulate(
    system: System,
    policy: Policy = None,
    steps: Annotated[int, Option("--steps", min=1, help="Number of steps.")] = 1000,
    discount: Discount = None,
    n_states: NStates = None,
    n_actions: NActions = None,
    option: Options = None,
    seed: Seed = 0,
    output: Annotated[
        Path | None, Option("-o", "--output", help="Write the path to this file (.npz or .csv).")
    ] = None,
) -> None:
    """Run a system under a policy and keep the path."""
    outputs({"--output": output}, inputs(system, policy, options=option))
    with working(f"simulating {system}"):
        from ...bandits.simulate import simulate as run
        from ...runs.path import ending

        if output is not None:
            ending(output, "--output")
        path = run(
            *resolve(system, policy, options_of(n_states, n_actions, option, discount)), steps, rng=seed
        )
    say(path.sentence)
    if output is not None:
        path.save(output)
        saved(output)
