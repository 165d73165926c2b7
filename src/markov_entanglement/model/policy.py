"""Policies: how joint actions are drawn given the joint state.

A user may bring an array (joint states, joint actions), a callable `state tuple -> {action tuple: probability}`, one of
the classes here, or an object with some of `law(state)`, `marginals(states)`, `sample(states, rng)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._check import Floats, Ints, freeze
from ..errors import InvalidInput


@dataclass(frozen=True)
class UniformPolicy:
    """Every feasible joint action with the same probability.

    >>> import markov_entanglement as me
    >>> me.UniformPolicy()
    UniformPolicy()
    """


@dataclass(frozen=True, eq=False, repr=False)
class LocalPolicy:
    """Each agent acts on its own state: `pi(a|s) = prod_i pi_i(a_i|s_i)`.

    Parameters
    ----------
    tables : one array (S_i, A_i) of laws per agent.

    Raises
    ------
    InvalidInput : a row is not a law.

    >>> import markov_entanglement as me
    >>> me.LocalPolicy([[[0.5, 0.5], [1.0, 0.0]]]).tables[0].shape
    (2, 2)
    """

    tables: tuple[Floats, ...]

    def __init__(self, tables: Sequence[Any]) -> None:
        _check.sequence("tables", tables, "one (S_i, A_i) table per agent")
        named = [(f"tables[{i}]", t) for i, t in enumerate(tables)]
        checked = tuple(_check.probabilities(name, t, shape=("S_i", "A_i")) for name, t in named)
        object.__setattr__(self, "tables", checked)

    def __repr__(self) -> str:
        return f"LocalPolicy({len(self.tables)} agents)"


class Ranking:
    """A result that ranks the local states of arms: `whittle_index`, `lp_priority`.

    `index` is (S,), or (T, S) one row per arm type; higher is served first, NaN where there is none.
    """

    index: Floats

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class IndexPolicy:
    """Serve the agents of highest priority until the budget is used (Def. 7.5).

    Equal priorities form one class, served uniformly among all arms of the class.

    Parameters
    ----------
    priority : (S,) shared by all agents; or one array (S_i,) per agent, per arm type for a bandit with types; or
        a result with an `.index` (`whittle_index`, `lp_priority`). Higher is served first; only the order matters.

    Raises
    ------
    InvalidInput : an entry is not a finite number.

    >>> import markov_entanglement as me
    >>> me.IndexPolicy([1, 2, 3, 0]).ranks(2)[0].tolist()
    [2, 1, 0, 3]
    """

    priority: tuple[Floats, ...]
    shared: bool

    def __init__(self, priority: Any) -> None:
        if isinstance(priority, Ranking):
            if np.isnan(priority.index).any():
                raise InvalidInput("priority", "NaN", "each state needs a priority", priority.sentence)
            priority = priority.index
        _check.sequence("priority", priority, "numbers, one per local state, or one such list per agent")
        each = {f"priority[{i}]": p for i, p in enumerate(priority)}
        nested = bool(each) and all(len(_check.shape_of(name, p)) == 1 for name, p in each.items())
        given = each if nested else {"priority": priority}
        arrays = tuple(_check.real(name, p, shape=(None,)) for name, p in given.items())
        object.__setattr__(self, "priority", arrays)
        object.__setattr__(self, "shared", not nested)

    def __repr__(self) -> str:
        shown = [f"[{_few([f'{x:.4g}' for x in p[:9].tolist()], 8)}]" for p in self.priority[:4]]
        return f"IndexPolicy({shown[0] if self.shared else f'[{_few(shown, 3)}]'})"

    def ranks(self, n_agents: int) -> tuple[Ints, ...]:
        """Per agent (S_i,) class numbers: 0 is served first, equal priorities share a class."""
        if self.shared:
            tables = self.priority * n_agents
        elif len(self.priority) == n_agents:
            tables = self.priority
        else:
            got = f"{len(self.priority)} arrays"
            raise InvalidInput("priority", got, f"there must be {n_agents}", "One per agent.")
        levels = np.unique(np.concatenate(self.priority))[::-1]
        return tuple(freeze(np.searchsorted(-levels, -t).astype(np.int64)) for t in tables)


def _few(words: list[str], most: int) -> str:
    return ", ".join([*words[:most], *(["..."] if len(words) > most else [])])


@dataclass(frozen=True, eq=False, repr=False)
class TablePolicy:
    """A policy as a table (joint states, joint actions) of laws, what `optimal_policy` and `greedy_policy` return.

    Raises
    ------
    InvalidInput : a row is not a law.

    >>> import markov_entanglement as me
    >>> me.TablePolicy([[0.5, 0.5], [1.0, 0.0]])
    TablePolicy(2 joint states x 2 joint actions)
    """

    table: sp.csr_array

    def __init__(self, table: Any) -> None:
        shape = _check.shape_of("table", table)
        if len(shape) != 2:
            raise InvalidInput.shape("table", shape, ("joint states", "joint actions"))
        object.__setattr__(self, "table", _check.sparse_probabilities("table", table, shape))

    def __repr__(self) -> str:
        return f"TablePolicy({self.table.shape[0]} joint states x {self.table.shape[1]} joint actions)"
