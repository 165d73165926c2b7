"""`markov-entanglement whittle SYSTEM`."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from ...errors import Unsupported, short
from ..completion import any_of
from ..guard import guarded, outputs, say
from ..options import Csv, Discount, Json, System
from ..subject import NActions, NStates, Options, inputs, opened, options_of
from ..tables import save_files, text_table

CRITERIA = ("discounted", "average")


@guarded
def whittle(
    system: System,
    criterion: Annotated[
        str, Option("--criterion", help=f"{' or '.join(CRITERIA)}.", autocompletion=any_of(*CRITERIA))
    ] = CRITERIA[0],
    discount: Discount = None,
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

    subject = opened(system, options_of(n_states, n_actions, option, discount)).system
    kind = kind_of(subject)
    if (missing := lacks(subject, "whittle")) or kind is None or kind.arms is None:
        remedy = f"Whittle indices are for {WORDS['whittle'].classes}."
        raise Unsupported("SYSTEM", short(subject), f"it lacks {missing}", remedy)
    found = whittle_index(kind.arms(subject), criterion=criterion)  # type: ignore[arg-type]
    table = found.tables()["index"]
    say(f"{found.sentence} {criterion.capitalize()} criterion; reward units.\n{text_table(table)}")
    save_files(found, table, json, csv)
