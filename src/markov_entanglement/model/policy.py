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
from .._labelled import aligned
from .._types import ArrayLike, Sparse
from ..errors import InvalidInput, Unsupported
from .ragged import own_rows
from .spaces import Labels, Spaces

#: What a priority may be.
_FORMS = "Give one number per local state, or one such list per agent."
#: Class of a step that is never taken; the last one.
NEVER = int(np.iinfo(np.int64).max)


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
    tables : one array (S_i, A_i) of laws per agent; (Z, S_i, A_i) where agents see a signal (`ExogenousMDP`).
    normalize : divide every row by its sum.

    Raises
    ------
    InvalidInput : a row is not a law.

    >>> import markov_entanglement as me
    >>> me.LocalPolicy([[[0.5, 0.5], [1.0, 0.0]]]).tables[0].shape
    (2, 2)
    """

    tables: tuple[Floats, ...]

    def __init__(self, tables: Sequence[ArrayLike], *, normalize: bool = False) -> None:
        _check.sequence("tables", tables, "one (S_i, A_i) table per agent")
        rows = _check.rescaling(normalize)
        plain = [
            _by_signal(f"tables[{i}]", t, rows) if _check.depth(t) == 3 else t for i, t in enumerate(tables)
        ]
        checked = _check.probabilities_of_each("tables", plain, ("S_i", "A_i"), rows)
        object.__setattr__(self, "tables", checked)

    def __repr__(self) -> str:
        return f"LocalPolicy({len(self.tables)} agents)"


@dataclass(frozen=True, eq=False, repr=False)
class NeighbourPolicy:
    """Each agent acts on the states of its neighbours: `pi(a|s) = prod_i pi_i(a_i | s_i, s_j, ...)`; for `FactoredMDP`.

    Parameters
    ----------
    tables : one array (S_i, S_j, ..., A_i) of laws per agent, the states of its neighbours in their order.
    normalize : divide every row by its sum.

    Raises
    ------
    InvalidInput : a row is not a law.

    >>> import markov_entanglement as me
    >>> careful = [[[1, 0], [0, 1]], [[1, 0], [1, 0]]]  # acts in state 0 while the machine before is in state 1
    >>> me.NeighbourPolicy([careful] * 5)
    NeighbourPolicy(5 agents)
    """

    tables: tuple[Floats, ...]

    def __init__(self, tables: Sequence[ArrayLike], *, normalize: bool = False) -> None:
        _check.sequence("tables", tables, "one (S_i, S_j, ..., A_i) table per agent")
        checked = _check.probabilities_of_each("tables", tables, None, _check.rescaling(normalize))
        object.__setattr__(self, "tables", checked)

    def __repr__(self) -> str:
        return f"NeighbourPolicy({len(self.tables)} agents)"


class Ranking:
    """A result that ranks the local states of arms: `whittle_index`, `lp_priority`.

    `index` is (S,), or (T, S) one row per arm type; higher is served first, NaN where there is none. Rows of types
    with fewer states than others end in states named "(not used)".
    """

    index: Floats
    labels: Labels

    @property
    def rows(self) -> Floats | list[Floats]:
        """`index`, or where types have different numbers of states the row of each over its own ones."""
        return own_rows(self.index, self.labels)

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class IndexPolicy:
    """Serve the agents of highest priority until the budget is used (Def. 7.5), or while the resources last.

    Equal priorities form one class, served uniformly among all arms of the class. On resources an agent whose cost does
    not fit what is left is skipped. With more than two actions every agent starts at action 0 and rises step by step:
    of the steps that fit, the one of highest priority is taken next (the greedy rule for indices of one more unit).

    Parameters
    ----------
    priority : (S,) shared by all agents; or one array (S_i,) per agent, per arm type for a bandit with types; or
        a result with an `.index` (`whittle_index`, `lp_priority`). Higher is served first; only the order matters. With
        A actions: tables (S_i, A_i - 1), entry [s, a] the priority of going from action a to a + 1 (`numpy.diff` of
        action values), one per agent, or a list of one, shared. -inf: never, on resources only.

    Raises
    ------
    InvalidInput : an entry is not a number, or infinite.

    >>> import markov_entanglement as me
    >>> me.IndexPolicy([1, 2, 3, 0]).ranks(2)[0].tolist()
    [2, 1, 0, 3]
    """

    priority: tuple[Floats, ...]
    shared: bool

    def __init__(self, priority: ArrayLike | Sequence[ArrayLike] | Ranking) -> None:
        if isinstance(priority, Ranking):
            if np.isnan(priority.index).any():
                raise InvalidInput("priority", "NaN", "each state needs a priority", priority.sentence)
            priority = priority.rows
        words = "numbers, one per local state, or one such list per agent"
        listed = _check.sequence("priority", priority, words)
        each = {f"priority[{i}]": p for i, p in enumerate(listed)}
        depths = {len(_check.shape_of(name, p, _FORMS)) for name, p in each.items()}
        nested = bool(each) and depths <= {1, 2}
        given = each if nested else {"priority": listed}
        arrays = tuple(_levels(name, p) for name, p in given.items())
        object.__setattr__(self, "priority", arrays)
        object.__setattr__(self, "shared", not nested or (len(arrays) == 1 and arrays[0].ndim == 2))

    def __repr__(self) -> str:
        shown = [_line(p) for p in self.priority[:4]]
        return f"IndexPolicy({shown[0] if self.shared else f'[{_few(shown, 3)}]'})"

    def ranks(self, n_agents: int) -> tuple[Ints, ...]:
        """Per agent (S_i,) class numbers: 0 is served first, equal priorities share a class."""
        if any(p.ndim == 2 for p in self.priority):
            raise Unsupported("priority", "tables (S, A - 1) for steps between actions",
                              "here each arm has two actions, and one priority per local state",
                              "Give (S,), or one (S_i,) per agent.")  # fmt: skip
        if any(np.isneginf(p).any() for p in self.priority):
            raise InvalidInput("priority", "-inf", "a budget is used to the last unit, so every arm may be served",
                               'Give the lowest number, or say "at most": me.WeaklyCoupledMDP(..., resources=[([0, 1], '
                               'M, "<=")]).')  # fmt: skip
        return self._classes(self._of(n_agents))

    def ladder(self, spaces: Spaces) -> tuple[Ints, ...]:
        """Per agent (S_i, A_i - 1) class numbers of the steps from each action to the next; never: `NEVER`."""
        tables = self._of(spaces.n_agents)
        for i, (p, s, a) in enumerate(zip(tables, spaces.n_states, spaces.n_actions, strict=True)):
            if p.shape != (s, a - 1) and (p.shape != (s,) or a != 2):
                shape = "x".join(map(str, p.shape))
                got = f"{len(p)} entries" if p.ndim == 1 else f"a table of shape {shape}"
                rule = f"agent {i} has {s} local states and {a} actions"
                remedy = "One priority per local state" + (
                    "." if a == 2 else f" and step: shape ({s}, {a - 1})."
                )
                raise InvalidInput("priority", f"{got} for agent {i}", rule, remedy)
        return self._classes(tuple(p.reshape(len(p), -1) for p in tables))

    def _of(self, n_agents: int) -> tuple[Floats, ...]:
        """One table per agent."""
        if self.shared:
            return self.priority * n_agents
        if len(self.priority) == n_agents:
            return self.priority
        got, rule = f"{len(self.priority)} arrays", f"there must be {n_agents}"
        raise InvalidInput("priority", got, rule, "One per agent.")

    def _classes(self, tables: tuple[Floats, ...]) -> tuple[Ints, ...]:
        levels = np.unique(np.concatenate([p.ravel() for p in self.priority]))[::-1]
        places = (np.searchsorted(-levels, -t).astype(np.int64) for t in tables)
        return tuple(freeze(np.where(np.isneginf(t), NEVER, k)) for t, k in zip(tables, places, strict=True))


def _by_signal(name: str, value: Any, rows: _check.LawRows) -> Floats:
    """Laws (Z, S_i, A_i), of the signals one after the other."""
    found = _check.probabilities(name, value, shape=("Z", "S_i", "A_i"), rows=rows)
    return freeze(found.reshape(-1, found.shape[2]))


def _levels(name: str, value: Any) -> Floats:
    """Priorities, finite or -inf."""
    value = aligned(name, value, ())
    _check.shape_of(name, value, _FORMS)
    a = np.ma.asarray(value)
    if a.dtype.kind == "f" and np.isnan(a.data).any() and not np.ma.is_masked(a):
        remedy = "Replace it. An arm without a Whittle index is ranked by me.lp_priority."
        raise InvalidInput(name, "NaN", "entries must be finite", remedy)
    never = np.isneginf(a.data) if a.dtype.kind == "f" else np.zeros(a.shape, dtype=np.bool_)
    known = _check.real(name, np.ma.where(never, 0.0, a) if never.any() else value)
    if known.ndim not in (1, 2):
        raise InvalidInput.shape(name, known.shape, ("S",))
    return freeze(np.where(never, -np.inf, known))


def _line(table: Floats) -> str:
    """A list of priorities, or one of such lists."""
    inner = [_line(row) for row in table[:4]] if table.ndim > 1 else [f"{x:.4g}" for x in table[:9].tolist()]
    return f"[{_few(inner, 3 if table.ndim > 1 else 8)}]"


def _few(words: list[str], most: int) -> str:
    return ", ".join([*words[:most], *(["..."] if len(words) > most else [])])


@dataclass(frozen=True, eq=False, repr=False)
class TablePolicy:
    """A policy as a table (joint states, joint actions) of laws, what `optimal_policy` and `greedy_policy` return.

    Parameters
    ----------
    table : (joint states, joint actions) array or sparse matrix, each row a law.
    normalize : divide every row by its sum.

    Raises
    ------
    InvalidInput : a row is not a law.

    >>> import markov_entanglement as me
    >>> me.TablePolicy([[0.5, 0.5], [1.0, 0.0]])
    TablePolicy(2 joint states x 2 joint actions)
    """

    table: sp.csr_array

    def __init__(self, table: ArrayLike | Sparse, *, normalize: bool = False) -> None:
        shape = _check.shape_of("table", table)
        if len(shape) != 2:
            raise InvalidInput.shape("table", shape, ("joint states", "joint actions"))
        rows = _check.rescaling(normalize)
        object.__setattr__(self, "table", _check.sparse_probabilities("table", table, shape, rows=rows))

    def __repr__(self) -> str:
        return f"TablePolicy({self.table.shape[0]} joint states x {self.table.shape[1]} joint actions)"


@dataclass(frozen=True)
class LPUpdatePolicy:
    """Plan `horizon` steps ahead by a linear program at every step, and do the first (model predictive control).

    For `RestlessBandit` and `WeaklyCoupledMDP` with a budget (arXiv 2511.08097). The plan keeps the budget on average
    at each of its steps and ends with the relative values of the average-reward relaxation: `horizon=1` serves by
    LP-priority. What is not whole is rounded at random, to exactly the budget. Every set of counts that is met takes
    a linear program: a millisecond for alike arms, more where all differ.

    Parameters
    ----------
    horizon : steps of the plan, 1..1000.

    Raises
    ------
    InvalidInput : a horizon out of range.

    >>> import markov_entanglement as me
    >>> system = me.gallery.build("circulant-bandit", n_arms=10).system
    >>> system.under(me.LPUpdatePolicy(horizon=3))
    ArmsChain(10 arms)
    """

    horizon: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "horizon", _check.integer("horizon", self.horizon, low=1, high=1000))
