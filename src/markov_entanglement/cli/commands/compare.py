"""`markov-entanglement compare SYSTEM P P ...`."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from ..completion import policies
from ..guard import guarded, outputs, say, working
from ..options import Discount, Initial, Json, Seed, System
from ..subject import POLICY_HELP, NActions, NStates, Options, inputs, opened, options_of, start_of
from ..tables import save_files


@guarded
def compare(
    system: System,
    policy: Annotated[list[str], Argument(metavar="P...", help=POLICY_HELP, autocompletion=policies)],
    initial: Initial = None,
    discount: Discount = None,
    n_states: NStates = None,
    n_actions: NActions = None,
    option: Options = None,
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Policies side by side: what each earns, which is best and whether that is certain."""
    outputs({"--json": json}, inputs(system, *policy, options=option))
    with working(f"comparing {len(policy)} policies"):
        from ...analysis.compare import compare as run

        found = opened(system, options_of(n_states, n_actions, option, discount))
        start = start_of(initial)
        result = run({p: found.policy(p) for p in policy}, found.system, initial=start, rng=seed)
    say(result.summary())
    save_files(result, None, json)
