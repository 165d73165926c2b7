"""`markov-entanglement whittle SYSTEM`."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from ...errors import Unsupported, short
from ..completion import any_of
from ..guard import guarded, outputs, say
from ..options import Csv, Json, System
from ..subject import NActions, NStates, Options, inputs, opened, options_of
from ..tables import save_csv, save_json, text_table

CRITERIA = ("discounted", "average")


@guarded
def whittle(
    system: System,
    criterion: Annotated[
        str, Option("--criterion", help=f"{' or '.join(CRITERIA)}.", autocompletion=any_of(*CRITERIA))
    ] = CRITERIA[0],
    n_states: NStates = None,
    n_actions: NActions = None,
    option: Options = None,
    json: Json = None,
    csv: Csv = None,
) -> None:
    """Whittle indices of every arm, and whether it is indexable."""
    outputs({"--json": json, "--csv": csv}, inputs(system, options=option))
    from ...bandits.whittle import whittle_index
    from ...model.kinds import kind_of
    from ...model.words import WORDS, lacks

    subject = opened(system, options_of(n_states, n_actions, option)).system
    kind = kind_of(subject)
    if (missing := lacks(subject, "whittle")) or kind is None or kind.arms is None:
        remedy = f"Whittle indices are for {WORDS['whittle'].classes}."
        raise Unsupported("SYSTEM", short(subject), f"it lacks {missing}", remedy)
    bandit = kind.arms(subject)
    found = whittle_index(bandit, criterion=criterion)  # type: ignore[arg-type]
    index = found.index.reshape(bandit.n_types, bandit.n_states).tolist()
    rows = [(t, s) for t in range(bandit.n_types) for s in range(bandit.n_states)]
    columns = {
        "arms": [bandit.units[t].name for t, _ in rows],
        "state": [bandit.labels.state(t, s) for t, s in rows],
        "index": [index[t][s] for t, s in rows],
        "arm is": [found.verdict[t] for t, _ in rows],
    }
    say(f"{found.sentence} {criterion.capitalize()} criterion; reward units.\n{text_table(columns)}")
    if json is not None:
        save_json(json, found.to_dict())
    if csv is not None:
        save_csv(csv, columns)
