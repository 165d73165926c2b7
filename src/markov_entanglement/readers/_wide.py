"""Wide transition tables, rows and columns named by states -> a chain; aligned by name, never by position."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ..errors import InvalidInput, short
from ..model.mdp import JointChain
from ._columns import Table, label, names_of
from ._given import laws, split, state_flag
from ._kernel import Kernel, pay_of
from ._long import chain, ends_of, refuse


def wide_table(table: Table, rewards: Any, given: dict[str, Any]) -> JointChain:
    """The chain of a square table, its states in the order of the rows; then those in which a task ends."""
    refuse(
        given,
        "n_actions",
        "actions",
        "n_agents",
        "n_arms",
        "budget",
        "columns",
        rule="a square table is a chain",
    )
    rows, columns = _rows(table)
    ends, starts = names_of("terminal", given["terminal"]), names_of("restart", given["restart"])
    _same(table, rows, columns, ends, starts)
    states = names_of("states", given["states"]) if given["states"] is not None else [*rows]
    states += [c for c in columns if c not in states]
    if sorted(states) != sorted({*rows, *columns}):
        odd = sorted({*states} ^ {*rows, *columns}) or ["one twice"]
        raise InvalidInput("states", short(odd[0]), "it lists each state of the table once", "Mend it.")
    at, n = {s: k for k, s in enumerate(states)}, len(states)
    row, chances = [at[r] for r in rows], [table.chances(column) for column in columns]
    matrix = np.zeros((n, n), dtype=np.result_type(*chances))
    for column, p in zip(columns, chances, strict=True):
        matrix[row, at[column]] = p

    def named(k: int) -> str:
        return f"{table.name}, row {rows[k]!r}"

    def entry(k: int) -> str:
        return f"{named(k // n)}, column {states[k % n]!r}"

    flat, index = matrix[row].ravel(), np.repeat(np.arange(len(row)), n)
    laws(table.name, flat, index, len(row), given["normalize"], named, entry)
    sizes = split(table.name, "states", n, given["n_states"])
    labels = {"states": [states]} if len(sizes) == 1 else None
    pay = pay_of(Kernel(table.name, [""], [states], [], [sp.csr_array(matrix)], None), rewards)
    pay = pay[:, 0] if pay is not rewards else pay
    return chain(table.name, matrix, sizes, pay, labels, ends_of(states, given), given)


def _rows(table: Table) -> tuple[list[str], list[str]]:
    """Names of the rows, from the index or the first column, and of the columns."""
    heads = list(table.entries)
    if table.row_names is not None:
        rows, columns = [label(v) for v in table.row_names], heads
    elif heads == [str(k) for k in range(len(table.lines))]:  # numbered, not named
        rows, columns = heads, heads
    else:
        rows, columns = table.labels(heads[0]), heads[1:]
    for k, r in enumerate(rows):
        if r in rows[:k]:
            raise InvalidInput(table.where(k), f"a second row {r!r}", "each state has one row", "Drop one.")
    return rows, columns


def _same(table: Table, rows: list[str], columns: list[str], ends: list[str], starts: list[str]) -> None:
    """Rows and columns name the same states, but for those where tasks end (no row) or start (no column)."""
    empty = [c for c in columns if c not in rows and c not in ends]
    if empty:
        c = empty[0]
        typed = state_flag(table.name, "terminal", c)
        remedy = (
            f"Add its row (1 on itself where nothing changes any more), or say terminal={short(c)}{typed}."
        )
        raise InvalidInput(table.name, f"no row {short(c)}", "rows and columns name the same states", remedy)
    never = [r for r in rows if r not in columns and r not in starts]
    if never:
        r = never[0]
        typed = state_flag(table.name, "restart", r)
        remedy = f"Add its column (0 where nothing goes there), or say restart={short(r)}{typed}."
        raise InvalidInput(
            table.name, f"no column {short(r)}", "rows and columns name the same states", remedy
        )
