"""What local states and actions of each agent were seen, and the local pairs that they make."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .._check import Ints
from ..errors import InvalidInput, TooLarge, Unsupported, short
from ..model.spaces import Labels, Spaces
from ..readers._columns import label
from .parts import Known, Parts, in_order, joint

#: Different local states of all agents together, and entries of the tables that number them.
MOST_STATES, MOST_CODES = 200_000, 2e8
#: Text, in letters of any case, of an entry that is missing.
MISSING = "nan"


def numbered(values: Any) -> tuple[list[str], Ints]:
    """Different entries of a column by name, in order, and which of them each entry is; -1 where it is missing."""
    found, code = np.asarray(values), None
    if found.dtype.kind not in "OUf":
        found, code = np.unique(found, return_inverse=True)
    listed = [named(v) for v in found.tolist()]
    place = {name: k for k, name in enumerate(in_order([*{*listed} - {""}]))}
    which = np.array([place.get(name, -1) for name in listed], dtype=np.int64)
    return list(place), which if code is None else which[code.reshape(-1)]


def named(value: Any) -> str:
    """A name, as text; what is missing is "", also where text says "nan", as programs write it."""
    found = label(value)
    return "" if found.lower() == MISSING else found


def joined(columns: Sequence[tuple[list[str], Ints]]) -> tuple[list[tuple[str, ...]], Ints]:
    """Several columns as one: the combinations that occur, and which each row is."""
    names: list[tuple[str, ...]] = [(name,) for name in columns[0][0]]
    code = columns[0][1]
    for more, other in columns[1:]:
        missing = (code < 0) | (other < 0)
        met, place = np.unique(np.where(missing, -1, code * len(more) + other), return_inverse=True)
        shift = int(len(met) and met[0] < 0)
        names = [(*names[k // len(more)], more[k % len(more)]) for k in met[shift:].tolist()]
        code = place.reshape(-1) - shift
    return names, code


@dataclass(frozen=True, eq=False)
class Names(Known):
    """The agents, and of each its local states and actions.

    Attributes
    ----------
    state, action : (N, S), (N, A) number of a name among those of the agent, -1 where it never has it.
    """

    state: Ints
    action: Ints

    def pairs(self, agent: Ints, state: Ints, action: Ints) -> Ints:
        """(T,) local pairs of rows of codes; -1 where the action is missing."""
        wide = np.array(self.spaces.n_actions)[agent]
        found = self.state[agent, state] * wide + self.action[agent, np.maximum(action, 0)]
        return np.where(action < 0, -1, found)


def known_of(
    agents: list[str],
    seen: tuple[Ints, Ints, Ints],
    states: Sequence[tuple[str, ...]],
    actions: list[str],
    given: tuple[Any, Any],
    columns: Sequence[str] = (),
) -> Names:
    """From the combinations (agent, state, action) that occur, and what the user says of the numbers of both; a state
    has a value in each of the columns."""
    if len(states) > MOST_STATES or len(agents) * (len(states) + len(actions)) > MOST_CODES:
        raise TooLarge("states", f"{len(states):,} different ones of {len(agents):,} agents", f"{MOST_STATES:,}",
                       "Make them coarser, e.g. cells instead of places.")  # fmt: skip
    of, s, a = seen
    if not len(of):
        raise InvalidInput(
            "path", "no step with a state and an action", "there must be at least one", "Check the columns."
        )
    s_code, s_size, s_names = _numbers(
        "n_states", "states", given[0], agents, of, s, [joint(v) for v in states]
    )
    a_code, a_size, a_names = _numbers("n_actions", "actions", given[1], agents, of, a, actions)
    spaces = Spaces(s_size, a_size)
    plain = agents == [str(k) for k in range(len(agents))]
    labels = Labels.of({"names": () if plain else agents, "states": s_names, "actions": a_names}, spaces)
    parts = None
    if len(columns) > 1:
        rows, nothing = (np.flatnonzero(row >= 0).tolist() for row in s_code), (("",) * len(columns),)
        parts = Parts(tuple(columns), tuple(tuple(states[k] for k in row) or nothing for row in rows))
    return Names(spaces, labels, parts, s_code, a_code)


def _numbers(
    name: str, what: str, given: Any, agents: list[str], of: Ints, code: Ints, names: list[str]
) -> tuple[Ints, tuple[int, ...], tuple[tuple[str, ...], ...]]:
    """Number of each name for each agent, how many there are, and how they are called."""
    place = np.full((len(agents), max(len(names), 1)), -1, dtype=np.int64)
    met = np.zeros(place.shape, dtype=np.bool_)
    met[of, code] = True
    if given is not None:
        sizes = sizes_of(name, given, len(agents))
        for i, k in np.argwhere(met).tolist():
            place[i, k] = _whole(what, names[k], sizes[i], agents[i], name)
        return place, sizes, ()
    place[met] = (np.cumsum(met, axis=1) - 1)[met]
    found = tuple(tuple(names[k] for k in np.flatnonzero(row)) for row in met)
    plain = all(list(row) == [str(k) for k in range(len(row))] for row in found)
    return place, tuple(max(len(row), 1) for row in found), () if plain else found


def sizes_of(name: str, given: Any, agents: int) -> tuple[int, ...]:
    """(N,) what was given for each agent, or one number for all."""
    if isinstance(given, int | np.integer):
        return (_check.integer(name, given, low=1, high=2**30),) * agents
    sizes = _check.sizes(name, given)
    _check.integer(name, max(sizes), high=2**30)
    if len(sizes) != agents:
        raise InvalidInput.shape(name, (len(sizes),), (agents,))
    return sizes


def _whole(what: str, name: str, size: int, agent: str, keyword: str) -> int:
    if not re.fullmatch(r"\d{1,9}", name) or int(name) >= size:
        rule = f"with {keyword} they are whole numbers below {size}"
        raise InvalidInput(
            what, f"{short(name)} of agent {agent}", rule, f"Leave {keyword} out: names are then numbered."
        )
    return int(name)


def said(text: str) -> int | None:
    """The whole number from 0 to 2^63 - 1 that a text says, as in files; None: it says none."""
    if not re.fullmatch(r"\+?\d{1,19}(\.0*)?", text, re.ASCII):
        return None
    found = int(text.partition(".")[0])
    return found if found < 2**63 else None


def whole(what: str, values: Any) -> Ints:
    """A column of whole numbers, of whatever type."""
    a = np.asarray(values)
    if a.dtype.kind in "OU":
        try:
            a = np.array([said(v) if isinstance(v, str) else v for v in a.tolist()], dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            a = np.array([np.nan])
    if (
        a.dtype.kind not in "iuf"
        or (a.dtype.kind == "f" and not (np.abs(a) < 2**53).all())
        or (a != np.round(a)).any()
    ):
        raise Unsupported(what, f"entries of type {np.asarray(values).dtype} that are no whole numbers",
                          "it numbers the steps of an episode", "Number them 0, 1, 2, ...; a gap cuts.")  # fmt: skip
    return a.astype(np.int64)
