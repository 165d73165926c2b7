"""`markov-entanglement values SYSTEM`."""

from __future__ import annotations

from ..guard import guarded, outputs, say, working
from ..options import Csv, Discount, Initial, Json, Policy, System
from ..subject import NActions, NStates, Options, chain_of, inputs, options_of
from ..tables import save_files, text_table


@guarded
def values(
    system: System,
    policy: Policy = None,
    discount: Discount = None,
    initial: Initial = None,
    n_states: NStates = None,
    n_actions: NActions = None,
    option: Options = None,
    json: Json = None,
    csv: Csv = None,
) -> None:
    """Local values of every agent by state and action, and how wrong their sum is."""
    outputs({"--json": json, "--csv": csv}, inputs(system, policy, options=option))
    with working(f"values of {system}"):
        from ...report.facts import percent
        from ...values.decomposition import value_decomposition

        chain = chain_of(system, policy, initial, options_of(n_states, n_actions, option), discount)
        found = value_decomposition(chain, discount=discount)
    table = found.tables()["local_values"]
    lost = f"their sum misses {percent(found.unexplained)} of the spread of Q, {found.error('mu'):.4g} on average"
    say(f"Local values at discount {found.discount:.6g} in reward units; {lost}.\n{text_table(table)}")
    save_files(found, table, json, csv)
