"""`markov-entanglement values SYSTEM`."""

from __future__ import annotations

from typing import Any

from ..guard import guarded, outputs, say, working
from ..options import Csv, Discount, Initial, Json, Policy, System
from ..subject import NActions, NStates, Options, chain_of, inputs, options_of
from ..tables import save_csv, save_json, text_table


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
        from ...values.decomposition import value_decomposition

        chain = chain_of(system, policy, initial, options_of(n_states, n_actions, option, discount))
        found = value_decomposition(chain, discount=discount)
    space = found.chain
    rows = [
        (unit.name, *row)
        for u, unit in enumerate(space.units)
        for row in zip(space.pair_names(u), found.local_q[u].tolist(), _visits(space, u), strict=True)
    ]
    columns = dict(zip(("agents", "state, action", "value", "visited"), zip(*rows, strict=True), strict=True))
    lost = f"their sum misses {100 * found.unexplained:.3g} % of the spread of Q, {found.error('mu'):.4g} on average"
    say(f"Local values at discount {found.discount:.6g} in reward units; {lost}.\n{text_table(columns)}")
    if json is not None:
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        save_json(json, {"discount": found.discount, "local_values": named, "errors": found.errors()})
    if csv is not None:
        save_csv(csv, columns)


def _visits(space: Any, u: int) -> list[float]:
    """Share of the steps that an agent of unit u spends at each local pair."""
    weight = space.rows(u).key_weight
    return list((weight / weight.sum()).tolist())
