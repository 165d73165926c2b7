"""Logs in long form, one row for each step and agent: which columns are meant, and columns in memory -> steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, short
from ..readers._columns import heads_of, label, names_of, unique
from ._rows import scatter
from .log import Log, Making
from .names import joined, known_of, numbered, said, whole
from .shards import Steps

#: What stands where nothing was given: the first of these that is there.
_DEFAULT = {
    "states": ("state",), "actions": ("action",), "agents": ("agent",), "episode": ("episode",), "t": ("t", "step"),
    "reward": ("reward",), "terminated": ("terminated",), "chance": ("chance",),
}  # fmt: skip
_NEEDED = ("states", "agents", "t")
#: What says that a task ended with a step, and that it did not.
TRUE, FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
#: What columns of amounts hold.
CLOCK, TRUTH, REAL, CHANCE = (
    "a whole number from 0 to 2^63 - 1", "true or false", "a finite number",
    "a chance above 0 and at most 1, as the action was taken",
)  # fmt: skip


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

    def read_from(self, files: Sequence[Path], given: tuple[Any, Any]) -> dict[str, Any]:
        """What is read, by which a reading is known again; `given` are the sizes that were given."""
        stats = [[str(f.resolve()), f.stat().st_size, f.stat().st_mtime_ns] for f in files]
        return {"files": stats, "columns": str(self), "sizes": [str(n) for n in given]}

    @property
    def seen(self) -> list[str]:
        """The columns of a local pair: agent, local state, action."""
        return [self.agents, *self.states, *([self.actions] if self.actions else [])]

    @property
    def keys(self) -> list[str]:
        """Every column in which "nan" is a missing entry."""
        return list(dict.fromkeys([*self.seen, *([self.episode] if self.episode else []), self.t]))

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
    unique("the frame", [label(h) for h in heads_of(frame)])
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
            raise empty(_row(column)(int((code < 0).argmax())))
    t = clock(f"column {c.t!r}", read[c.t], _row(c.t))
    there = np.flatnonzero(a >= 0)
    known = known_of(i_names, (i[there], s[there], a[there]), s_names, a_names, given, c.states)
    pairs = known.pairs(i[there], s[there], a[there])
    try:
        steps = Long(e[there], t[there], i[there], pairs, *_amounts(read, c, there)).steps(len(i_names))
    except Twice as second:
        k = int(there[second.row])
        of = read[c.episode][k] if c.episode else None
        raise twice(f"the frame, row {k}", of, read[c.t][k], i_names[i[k]]) from None
    with Making(known, gamma, store, steps.pairs.size) as made:
        made.writer.put(steps)
    return made.log


def _amounts(
    read: Mapping[str, Any], c: Columns, rows: Ints
) -> tuple[Floats | None, Bools | None, Floats | None]:
    """Rewards, ends and chances of some rows, where there are such columns."""
    kinds = (c.reward, REAL), (c.terminated, TRUTH), (c.chance, CHANCE)
    reward, ended, chance = (
        None if name is None else real(read[name], rows, kind, _row(name)) for name, kind in kinds
    )
    return reward, None if ended is None else ended != 0.0, chance


def _row(column: str) -> Callable[[int], str]:
    """Where a row of a frame is, by its number."""
    return lambda k: f"the frame, row {k}, column {column!r}"


def clock(what: str, values: Any, place: Callable[[int], str]) -> Ints:
    """(T,) what counts steps; `place` says where each is."""
    text = np.asarray(values).dtype.kind in "OU"
    told = [not isinstance(x, str) or said(x) is not None for x in values.tolist()] if text else []
    if any(told) and not all(told):
        k = told.index(False)
        raise unfit(place(k), values[k], CLOCK)
    t = whole(what, values)  # from 2^63 on they wrap to below 0
    if (t < 0).any():
        k = int((t < 0).argmax())
        raise unfit(place(k), values[k : k + 1].tolist()[0], CLOCK)
    return t


def real(values: Any, rows: Ints, kind: str, place: Callable[[int], str]) -> Floats:
    """The numbers of a kind in some rows; `place` says where each is."""
    a = values[rows]
    if a.dtype.kind in "biuf":
        found = a.astype(np.float64)
    else:
        found = np.array([amount(label(x), kind) for x in a.tolist()], dtype=np.float64)
    wrong = ~np.isfinite(found)
    if kind != REAL:
        wrong |= unlikely(found) if kind == CHANCE else (found != 0.0) & (found != 1.0)
    if wrong.any():
        k = int(rows[wrong.argmax()])
        raise unfit(place(k), values[k : k + 1].tolist()[0], kind)
    return found


def amount(text: str, kind: str) -> float:
    """The number that a text says; NaN where it is none of this kind."""
    if kind == TRUTH:
        return 1.0 if text.lower() in TRUE else 0.0 if text.lower() in FALSE else np.nan
    try:
        found = np.nan if "_" in text else float(text)  # Python reads 1_000
    except ValueError:
        found = float({"true": 1, "false": 0}.get(text.lower(), np.nan))
    return found if np.isfinite(found) and not (kind == CHANCE and unlikely(found)) else np.nan


def unfit(place: str, value: Any, kind: str) -> InvalidInput:
    """The refusal of an entry that is not of its kind."""
    if label(value) == "":
        return empty(place)
    return InvalidInput(place, short(value), f"it must be {kind}", "Mend that entry.")


#: Most that a chance may be, for rounding.
LIKELY = 1.0 + tol.ROW_SUM


def unlikely(chance: Any) -> Bools:
    """Where a chance is none of an action that was taken."""
    return np.logical_not((chance > 0.0) & (chance <= LIKELY))


def no_chance(place: str, value: Any) -> InvalidInput:
    """The refusal of a chance that no action that was taken has."""
    rule = "an action that was taken has a chance above 0 and at most 1"
    return InvalidInput(place, f"{value:.6g}", rule, "Mend it, or leave it out.")


def empty(place: str) -> InvalidInput:
    """The refusal of a missing entry."""
    return InvalidInput(place, "nothing", "only an action may be missing: nothing followed",
                        "Fill that entry, or drop the row: an agent without a row is absent.")  # fmt: skip
