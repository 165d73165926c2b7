"""Transition tables: frames, CSV, Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from . import Reader


def from_table(
    frame: Any,
    *,
    rewards: Any = None,
    discount: float | None = None,
    n_states: Sequence[int] | None = None,
    n_actions: Sequence[int] | None = None,
    n_agents: int | None = None,
    n_arms: int | Sequence[int] | None = None,
    budget: int | None = None,
    normalize: bool = False,
    terminal: str | Sequence[str] | None = None,
    restart: str | Sequence[str] | None = None,
    states: Sequence[str] | None = None,
    actions: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Any:
    """A system from a transition table: rows `(agent,) state, (action,) next, probability (, reward)`, or a square
    table whose rows are from-states and whose columns are to-states, both by name.

    Parameters
    ----------
    frame : a frame (pandas, polars, arrow), a mapping of columns, or the path of a `.csv`, `.tsv` or `.parquet` file.
    rewards : a table of `(agent,) state, (action,) reward` as above, or arrays as the class takes them; None: the
        column `reward`, whose entries may depend on the next state (expectations are taken). A chain needs none.
    discount : gamma in [0, 1); None: everything but values.
    n_states, n_actions : how joint states and actions that are numbered 0, 1, 2, ... split into agents, row-major.
    n_agents, n_arms, budget : make that many agents (a `WeaklyCoupledMDP`) or arms (a `RestlessBandit`; with a column
        of agents, of each) of the table, of which `budget` are served at each step.
    normalize : divide rows by their sums where rounding has moved them off 1, or where they hold percent or counts; a
        warning says by how much the sums missed 1.
    terminal, restart : names of the states in which a task ends and the next one starts.
    states, actions : names in the order wanted; None: whole numbers by size, other names as they first appear.
    columns : what a column holds -> its name, where the name does not say it.

    Returns
    -------
    A `WeaklyCoupledMDP` where a column names agents; else a `MultiAgentMDP`, or without actions a `JointChain`, of one
    agent, or of those whose columns are `state_NAME`, `action_NAME`, `next_NAME`.

    Raises
    ------
    InvalidInput : a malformed table (the message names file, line and column), a transition that stands twice, a state
        that is reached and has no rows, probabilities that miss 1, rows and columns that name different states.
    MissingDependency : a Parquet file, and no package duckdb.

    >>> import markov_entanglement as me
    >>> table = {"state": ["up", "up", "down"], "next": ["up", "down", "up"], "probability": [0.9, 0.1, 1.0]}
    >>> me.from_table(table).labels.states
    (('up', 'down'),)
    """
    from .. import _check
    from ._columns import table_of
    from ._long import long_table
    from ._roles import is_long
    from ._wide import wide_table

    given = {k: v for k, v in locals().items() if k in _KEYWORDS}
    _check.flag("normalize", normalize)
    if columns is not None and not isinstance(columns, Mapping):
        raise InvalidInput.kind("columns", columns, "a mapping", "E.g. columns={'state': 'from'}.")
    for key in ("n_states", "n_actions"):
        given[key] = None if given[key] is None else _check.sizes(key, given[key])
    table = table_of(frame, "frame")
    read = long_table if is_long(table, given["columns"]) else wide_table
    return read(table, rewards, given)


_KEYWORDS = (
    "discount", "n_states", "n_actions", "n_agents", "n_arms", "budget", "normalize", "terminal", "restart", "states",
    "actions", "columns",
)  # fmt: skip


def _read(path: Path, **options: Any) -> Any:
    return from_table(path, **options)


READER = Reader(
    word="table",
    suffixes=(".csv", ".parquet", ".tsv"),
    help="transition tables: one transition a row, or states by states",
    read=_read,
    options=("rewards", *(k for k in _KEYWORDS if k != "columns")),
)
