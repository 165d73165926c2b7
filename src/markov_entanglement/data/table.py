"""Logs in long form, one row for each step and agent: which columns are meant, and columns in memory -> steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput
from ..readers._columns import heads_of, label, names_of
from ._rows import scatter
from .log import Log, Making
from .names import joined, known_of, numbered, whole
from .shards import Steps

#: What stands where nothing was given: the first of these that is there.
_DEFAULT = {
    "states": ("state",), "actions": ("action",), "agents": ("agent",), "episode": ("episode",), "t": ("t", "step"),
    "reward": ("reward",), "terminated": ("terminated",), "chance": ("chance",),
}  # fmt: skip
_NEEDED = ("states", "agents", "t")


@dataclass(frozen=True)
class Columns:
    """The columns of a log by what they mean; None: there is none, "" before defaults are filled in."""

    states: tuple[str, ...]
    actions: str | None
    agents: str
    episode: str | None
    t: str
    reward: str | None
    terminated: str | None
    chance: str | None

    @classmethod
    def of(cls, states: Any, *others: Any) -> Columns:
        """As the user named them."""
        found = []
        for name, value in zip(list(_DEFAULT)[1:], others, strict=True):
            one = names_of(name, value)
            if len(one) > 1:
                raise InvalidInput(name, f"{len(one)} columns", "it is one column", "Join them first.")
            found.append(one[0] if one else "")
        return cls(tuple(names_of("states", states)), *found)

    def among(self, heads: Sequence[str], table: str) -> Columns:
        """The same where defaults are filled in; refuses columns that are not there."""
        asked = {name: getattr(self, name) for name in _DEFAULT}
        for name, value in asked.items():
            wanted = list(value) if isinstance(value, tuple) else [value] if value else []
            for column in wanted:
                if column not in heads:
                    raise InvalidInput.unknown(name, column, heads, f"columns of {table} are")
            if not wanted:
                default = next((c for c in _DEFAULT[name] if c in heads), None)
                if default is None and name in _NEEDED:
                    rule = f"{table} has the columns {', '.join(heads[:20])}"
                    raise InvalidInput(name, "no such column", rule, f"Name it: {name}='...'.")
                asked[name] = (default,) if name == "states" else default
        return Columns(**asked)

    @property
    def used(self) -> list[str]:
        """Every column that is read."""
        rest = (self.actions, self.agents, self.episode, self.t, self.reward, self.terminated, self.chance)
        return [*self.states, *(c for c in rest if c is not None)]


class Twice(Exception):
    """Two rows of one agent and step: the second one."""

    def __init__(self, row: int) -> None:
        self.row = row


@dataclass(frozen=True)
class Long:
    """Rows of agents and steps, in any order; those without a pair are left out."""

    episode: Ints
    t: Ints
    agent: Ints
    pair: Ints
    reward: Floats | None = None
    terminated: Bools | None = None
    chance: Floats | None = None

    def those(self, rows: Any) -> Long:
        """Only these rows."""
        return Long(*(None if x is None else x[rows] for x in vars(self).values()))  # type: ignore[arg-type]

    def steps(self, agents: int) -> Steps:
        """All rows of a step in one row.

        Raises
        ------
        Twice : two rows of one agent and step.
        """
        episode, t, step = _numbered(self.episode, self.t)
        m = len(t)
        pairs = np.full((m, agents), -1, dtype=np.int64)
        second = int(scatter(step, self.agent, self.pair, pairs))
        if second >= 0:
            raise Twice(second)
        ended = np.zeros(m, dtype=np.bool_)
        if self.terminated is not None:
            ended = np.bincount(step, self.terminated, minlength=m) == np.bincount(step, minlength=m)
        rewards = np.zeros((m, 0)) if self.reward is None else self._grid(self.reward, step, agents, 0.0)
        chances = None if self.chance is None else self._grid(self.chance, step, agents, 1.0)
        return Steps(episode, t, pairs, rewards, ended, chances)

    def _grid(self, values: Floats, step: Ints, agents: int, rest: float) -> Floats:
        found = np.full((int(step.max(initial=-1)) + 1, agents), rest)
        found[step, self.agent] = values
        return found


def _numbered(episode: Ints, t: Ints) -> tuple[Ints, Ints, Ints]:
    """Episode and t of each step in order, and which step each row is of."""
    low, span = (int(t.min()), int(t.max()) - int(t.min()) + 1) if len(t) else (0, 1)
    first, many = (int(episode.min()), int(episode.max()) - int(episode.min()) + 1) if len(t) else (0, 1)
    if many * span >= 2**62:
        episodes, episode = np.unique(episode, return_inverse=True)
        times, t = np.unique(t, return_inverse=True)
        e, when, step = _numbered(episode, t)
        return episodes[e], times[when], step
    key = (episode - first) * span + (t - low)
    if many * span <= 16 * len(key):
        there = np.zeros(many * span, dtype=np.bool_)
        there[key] = True
        found, step = np.flatnonzero(there), (np.cumsum(there) - 1)[key]
    else:
        found, step = np.unique(key, return_inverse=True)
    e, when = np.divmod(found, span)
    return e + first, when + low, step


def twice(place: str, episode: Any, t: Any, agent: Any) -> InvalidInput:
    """The refusal of a second row."""
    at = f"{'' if episode is None else f'episode {episode}, '}t = {t}, agent {agent}"
    return InvalidInput(place, f"a second row of {at}", "each agent has one row in each step",
                        "Drop one, or name the column that tells them apart (episode=, t=, agents=).")  # fmt: skip


def from_columns(
    frame: Any, columns: Columns, given: tuple[Any, Any], gamma: float | None, store: Any
) -> Log:
    """A log from the columns of a frame or a mapping."""
    heads = {label(h): h for h in heads_of(frame)}
    c = columns.among(list(heads), "the frame")
    read = {name: np.asarray(frame[heads[name]]) for name in c.used}
    rows = read[c.t].size
    if not rows or any(a.shape != (rows,) for a in read.values()):
        got, rule = "columns of different lengths, or no rows", "columns have one length, at least 1"
        raise InvalidInput("path", got, rule, "Check the columns.")
    nothing = ["0"], np.zeros(rows, dtype=np.int64)
    s_names, s = joined([numbered(read[name]) for name in c.states])
    a_names, a = numbered(read[c.actions]) if c.actions else nothing
    i_names, i = numbered(read[c.agents])
    _, e = numbered(read[c.episode]) if c.episode else nothing
    for column, code in ((", ".join(c.states), s), (c.agents, i), (c.episode or "", e)):
        if (code < 0).any():
            raise empty(f"the frame, row {int((code < 0).argmax())}", column)
    there = np.flatnonzero(a >= 0)
    known = known_of(i_names, (i[there], s[there], a[there]), s_names, a_names, given, c.states)
    long = Long(e, whole(f"column {c.t!r}", read[c.t]), i, known.pairs(i, s, a), *amounts(read, c))
    try:
        steps = long.those(there).steps(len(i_names))
    except Twice as second:
        k = int(there[second.row])
        of = read[c.episode][k] if c.episode else None
        raise twice(f"the frame, row {k}", of, read[c.t][k], i_names[i[k]]) from None
    with Making(known, gamma, store, steps.pairs.size) as made:
        made.writer.put(steps)
    return made.log


def amounts(read: Mapping[str, Any], c: Columns) -> tuple[Floats | None, Bools | None, Floats | None]:
    """Rewards, ends and chances of rows, where there are such columns."""
    reward, chance = (None if x is None else _real(x, read[x]) for x in (c.reward, c.chance))
    ended = None if c.terminated is None else _real(c.terminated, read[c.terminated]) != 0.0
    return reward, ended, chance


def _real(column: str, values: Any) -> Floats:
    """Numbers; NaN where the entry is empty."""
    a = np.asarray(values)
    if a.dtype.kind not in "OU":
        return _check.real(f"column {column!r}", a, gaps=True)
    words = {"true": 1.0, "false": 0.0, "": np.nan}
    out = np.empty(len(a))
    for k, text in enumerate(map(label, a.tolist())):
        try:
            out[k] = words[text.lower()] if text.lower() in words else float(text)
        except ValueError:
            raise InvalidInput(
                f"row {k}, column {column!r}", repr(text), "it must be a number", "Mend it."
            ) from None
    return _check.real(f"column {column!r}", out, gaps=True)


def empty(place: str, column: str) -> InvalidInput:
    """The refusal of a missing entry."""
    return InvalidInput(f"{place}, column {column!r}", "nothing", "only an action may be missing: nothing followed",
                        "Fill that entry, or drop the row: an agent without a row is absent.")  # fmt: skip
