"""`markov-entanglement study SYSTEM`."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Annotated

from typer import Option

from ..guard import guarded, outputs, saved, say, working
from ..options import BurnIn, Csv, Discount, Initial, Json, Policy, Seed, System
from ..subject import NActions, NStates, Options, chain_of, inputs, options_of
from ..tables import save_files, text_table
from .learn import Learner, Trace, learner_of, steps_of


@guarded
def study(
    system: System,
    policy: Policy = None,
    learner: Learner = "lstd",
    trace: Trace = 0.0,
    steps: Annotated[str | None, Option("--steps", help="Numbers of steps: 1e3,1e4,1e5.")] = None,
    runs: Annotated[int, Option("--runs", min=2, help="Independent runs.")] = 10,
    burn_in: BurnIn = 1000,
    discount: Discount = None,
    initial: Initial = None,
    n_states: NStates = None,
    n_actions: NActions = None,
    option: Options = None,
    seed: Seed = 0,
    json: Json = None,
    csv: Csv = None,
    picture: Annotated[
        Path | None, Option("--picture", help="Draw it into this file (.svg or .png).")
    ] = None,
) -> None:
    """How much data is enough: errors of values and entanglement after more and more steps."""
    named = {"--json": json, "--csv": csv, "--picture": picture}
    outputs(named, inputs(system, policy, options=option))
    times = None if steps is None else [steps_of(text) for text in steps.split(",")]
    with working(f"studying {system}"):
        from ...studies.sample_complexity import sample_complexity

        made = learner_of(learner, trace, seed)
        chain = chain_of(system, policy, initial, options_of(n_states, n_actions, option), discount)
        found = sample_complexity(
            chain, steps=times, runs=runs, learner=made, burn_in=burn_in, discount=discount, rng=seed
        )
    tables = found.tables()
    shown = [tables[name] for name in tables if name.endswith("_by_steps")]
    words = [found.sentence, f"Learner: {found.learner}; {found.truth}.", *map(text_table, shown)]
    say("\n".join(words))
    save_files(found, shown[0], json, csv)
    if picture is not None:
        from ..._files import write_bytes

        out = BytesIO()
        found.plot().savefig(out, format=picture.suffix[1:].lower() or "png")
        write_bytes(picture, out.getvalue())
        saved(picture)
