"""The text of Cassandra's and MADP's files: headers, then lines `T:`, `O:`, `R:`, of which later ones override.

Names may be numbers, `*` stands for all. Agents' actions and observations stand side by side, one token each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._files import read_text
from ..errors import InvalidInput, TooLarge, gib, nearest, short
from ..model.spaces import about
from . import at

_HEADS = (
    "agents",
    "discount",
    "values",
    "states",
    "start",
    "start include",
    "start exclude",
    "actions",
    "observations",
)
#: Entries, and the words that may stand for their values.
_WORDS = {"T": ("uniform", "identity", "reset"), "O": ("uniform",), "R": ()}
_WHOLE = re.compile(r"\d{1,9}")
_NAME = re.compile(r"[A-Za-z_][\w.+-]*")


@dataclass(frozen=True)
class Entry:
    """A header or a line `T:`, `O:`, `R:` with all that belongs to it."""

    word: str
    line: int
    tokens: tuple[tuple[str, int], ...]  # (text, line), colons included

    @property
    def rows(self) -> list[list[str]]:
        """The tokens of each line that has some."""
        lines = sorted({line for _, line in self.tokens})
        return [[text for text, line in self.tokens if line == k] for k in lines]


def entries_of(path: Path) -> list[Entry]:
    """All entries of a file."""
    found: list[tuple[str, int, list[tuple[str, int]]]] = []
    for number, text in enumerate(read_text(path).splitlines(), 1):
        tokens = text.partition("#")[0].replace(":", " : ").split()
        colon = tokens.index(":") if ":" in tokens else 0
        word = " ".join(tokens[:colon])
        if word in _HEADS or word in _WORDS:
            found.append((word, number, [(t, number) for t in tokens[colon + 1 :]]))
        elif word[:1].isalpha() and not found:
            raise InvalidInput.unknown(
                at(path, number), word, (*_HEADS, *_WORDS), "an entry begins with one of"
            )
        elif found:
            found[-1][2].extend((t, number) for t in tokens)
        elif tokens:
            rule = f"a file begins with one of {', '.join(_HEADS)}"
            raise InvalidInput(at(path, number), short(text.strip()), rule, "E.g. discount: 0.95")
    return [Entry(word, line, tuple(tokens)) for word, line, tokens in found]


@dataclass(frozen=True)
class Names:
    """Names of the states, of an agent's actions, or of its observations; numbers where there are none."""

    what: str
    count: int
    names: tuple[str, ...] = ()

    def index(self, where: str, token: str) -> int:
        """The number of a name."""
        found = self.find(token)
        if found is None:
            known = self.names or tuple(map(str, range(min(self.count, 8))))
            rule = f"there are {self.count} {self.what}s" + (
                f": {', '.join(known[:8])}" if self.names else " from 0"
            )
            raise InvalidInput(
                where, f"{self.what} {short(token)}", rule, nearest(token, known, "Use one of these.")
            )
        return found

    def find(self, token: str) -> int | None:
        """The number of a name; None: there is none."""
        if token in self._numbers:
            return self._numbers[token]
        known = _WHOLE.fullmatch(token) and int(token) < self.count
        return int(token) if known else None

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.names)}


@dataclass(frozen=True)
class Axis:
    """What a field of an entry picks from: states, joint actions or joint observations (one token per agent)."""

    parts: tuple[Names, ...]

    @property
    def size(self) -> int:
        return math.prod(p.count for p in self.parts)

    def name(self, index: int) -> str:
        """A joint number by its names."""
        local = np.unravel_index(index, tuple(p.count for p in self.parts))
        return " ".join(
            p.names[int(k)] if p.names else str(int(k)) for p, k in zip(self.parts, local, strict=True)
        )

    def reads(self, tokens: Sequence[str]) -> bool:
        """Whether they are names, `*`, or the joint number."""
        if tuple(tokens) in self._picked or self._joint(tokens) is not None:
            return True
        pairs = zip(self.parts, tokens, strict=False)
        return len(tokens) == len(self.parts) and all(t == "*" or p.find(t) is not None for p, t in pairs)

    def _joint(self, tokens: Sequence[str]) -> int | None:
        """The joint number of several agents that one token is, or None."""
        alone = len(tokens) == 1 < len(self.parts)
        return Names("", self.size).find(tokens[0]) if alone else None

    @cached_property
    def _picked(self) -> dict[tuple[str, ...], Ints]:
        return {("*",): np.arange(self.size)}

    def pick(self, where: str, tokens: Sequence[str]) -> Ints:
        """The joint numbers that are named."""
        key = tuple(tokens)
        if key not in self._picked:
            self._picked[key] = self._pick(where, key)
        return self._picked[key]

    def _pick(self, where: str, tokens: tuple[str, ...]) -> Ints:
        joint = self._joint(tokens)
        if joint is not None:
            return np.array([joint])
        many = len(self.parts)
        if len(tokens) != many:
            wanted = f"one {self.parts[0].what}" + (f" for each of {many} agents" if many > 1 else "")
            rule = f"here stands {wanted}, or * for all"
            raise InvalidInput(where, short(" ".join(tokens)), rule, "Mend it.")
        pairs = zip(self.parts, tokens, strict=True)
        some = [np.arange(p.count) if t == "*" else np.array([p.index(where, t)]) for p, t in pairs]
        return np.ravel_multi_index(np.ix_(*some), tuple(p.count for p in self.parts)).ravel()


@dataclass(frozen=True, eq=False)
class Put:
    """What one entry says: values (or one word) at a block of an array."""

    where: str
    picks: tuple[Ints, ...]  # numbers on the leading axes
    value: Floats | str


@dataclass(frozen=True)
class Text:
    """A file, its headers and its entries.

    Attributes
    ----------
    path : of the file.
    entries : all of them, in order.
    """

    path: Path
    entries: list[Entry] = field(repr=False)

    @cached_property
    def heads(self) -> dict[str, Entry]:
        """Headers by their words."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.word in found and entry.word in _HEADS:
                got = f"a second {entry.word!r}"
                raise InvalidInput(at(self.path, entry.line), got, "headers stand once", "Drop one of them.")
            found[entry.word] = entry
        return {word: found[word] for word in _HEADS if word in found}

    def head(self, word: str) -> Entry:
        """A header that there must be."""
        if word not in self.heads:
            raise InvalidInput(str(self.path), f"no line '{word}:'", "it is required", f"Add '{word}: ...'.")
        return self.heads[word]

    def single(self, word: str) -> str:
        """The one token of a header."""
        entry = self.head(word)
        if len(entry.tokens) != 1:
            got = short(" ".join(t for t, _ in entry.tokens))
            raise InvalidInput(at(self.path, entry.line), got, f"'{word}:' takes one word", "Mend that line.")
        return entry.tokens[0][0]

    @cached_property
    def agents(self) -> Names:
        """The agents; one of files without that header."""
        if "agents" not in self.heads:
            return Names("agent", 1)
        return self._names("agent", self.heads["agents"], [t for t, _ in self.heads["agents"].tokens])

    @cached_property
    def states(self) -> Axis:
        """Joint states."""
        entry = self.head("states")
        return Axis((self._names("state", entry, [t for t, _ in entry.tokens]),))

    @cached_property
    def actions(self) -> Axis:
        """Joint actions."""
        return self._each("action")

    @cached_property
    def observations(self) -> Axis | None:
        """Joint observations; None in files of MDPs."""
        return self._each("observation") if "observations" in self.heads else None

    def _each(self, what: str) -> Axis:
        """One line for each agent."""
        entry, many = self.head(f"{what}s"), self.agents.count
        rows = entry.rows if many > 1 else [[t for t, _ in entry.tokens]]
        if len(rows) != many:
            rule = f"'{what}s:' is followed by one line for each of {many} agents"
            raise InvalidInput(at(self.path, entry.line), f"{len(rows)} lines", rule, "Mend them.")
        return Axis(tuple(self._names(what, entry, row) for row in rows))

    def _names(self, what: str, entry: Entry, tokens: Sequence[str]) -> Names:
        where, rule = at(self.path, entry.line), f"'{entry.word}:' takes a number or names"
        if len(tokens) == 1 and _WHOLE.fullmatch(tokens[0]) and int(tokens[0]):
            return Names(what, int(tokens[0]))
        wrong = next((t for t in tokens if not _NAME.fullmatch(t)), None)
        if wrong is not None or not tokens:
            raise InvalidInput(
                where, "nothing" if wrong is None else short(wrong), rule, f"E.g. {entry.word}: 4"
            )
        twice = next((t for k, t in enumerate(tokens) if t in tokens[:k]), None)
        if twice is not None:
            raise InvalidInput(where, f"{what} {twice!r} twice", "names must differ", "Number them.")
        return Names(what, len(tokens), tuple(tokens))

    @cached_property
    def discount(self) -> float | None:
        """gamma of the file, or None."""
        if "discount" not in self.heads:
            return None
        self.single("discount")
        return self._number(*self.heads["discount"].tokens[0])

    @cached_property
    def pays(self) -> bool:
        """True where values are rewards, False for costs."""
        word = self.single("values") if "values" in self.heads else "reward"
        if word not in ("reward", "cost"):
            rule = "'values:' is reward or cost"
            raise InvalidInput(
                at(self.path, self.heads["values"].line), word, rule, nearest(word, ("reward", "cost"))
            )
        return word == "reward"

    @cached_property
    def start(self) -> Floats | None:
        """(S,) law of the first state, or None."""
        words = [w for w in ("start", "start include", "start exclude") if w in self.heads]
        if not words:
            return None
        entry, n = self.heads[words[-1]], self.states.size
        where, tokens = at(self.path, entry.line), [t for t, _ in entry.tokens]
        if words[-1] == "start" and len(tokens) == n > 1:
            law = np.array([self._number(*t) for t in entry.tokens])
        elif words[-1] == "start" and tokens == ["uniform"]:
            law = np.ones(n)
        else:
            law = np.zeros(n)
            law[[self.states.parts[0].index(where, t) for t in tokens]] = 1.0
            law = 1.0 - law if words[-1] == "start exclude" else law
        if (
            law.min() < 0.0
            or not 0.0 < law.sum() < math.inf
            or (words[-1] == "start" and len(tokens) not in (1, n))
        ):
            got, rule = short(" ".join(tokens)), f"it must be a law over {n} states, 'uniform', or a state"
            raise InvalidInput(where, got, rule, "E.g. start: uniform")
        return freeze(law / law.sum())

    def _number(self, text: str, line: int) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InvalidInput(at(self.path, line), short(text), "here stands a number", "Mend it.")
        return value

    # --- entries --------------------------------------------------------------------------------------------

    def table(self, word: str, axes: tuple[Axis, ...]) -> Floats:
        """What the lines of one kind say, as an array over `axes`; an axis that no line looks at has length 1."""
        puts = [self._put(entry, axes) for entry in self.entries if entry.word == word]
        seen = [
            any(len(p.picks) <= k or len(p.picks[k]) < axis.size for p in puts) or word != "R"
            for k, axis in enumerate(axes)
        ]
        shape = tuple(axis.size if s else 1 for axis, s in zip(axes, seen, strict=True))
        if math.prod(shape) * 8 > tol.BYTES:
            size = f"{about(math.prod(shape))} entries of {word}"
            raise TooLarge(str(self.path), size, gib(tol.BYTES), "Merge states.")
        out = np.zeros(shape)
        for put in puts:
            picks = [p if s else np.zeros(1, int) for p, s in zip(put.picks, seen, strict=False)]
            rest = shape[len(picks) :]
            value = self._block(put, rest) if isinstance(put.value, str) else put.value.reshape(rest)
            one = all(len(p) == 1 for p in picks)
            out[tuple(int(p[0]) for p in picks) if one else np.ix_(*picks, *map(range, rest))] = value
        return out

    def _block(self, put: Put, shape: tuple[int, ...]) -> Floats:
        """The values behind a word."""
        if put.value == "uniform":
            return np.full(shape, 1.0 / shape[-1])
        if put.value == "identity":
            return np.eye(shape[-1])
        if self.start is None:
            rule = "'reset' goes where 'start:' says"
            raise InvalidInput(put.where, "'reset' without 'start:'", rule, "Add 'start: ...'.")
        return self.start

    def _put(self, entry: Entry, axes: tuple[Axis, ...]) -> Put:
        """An entry in either dialect: MADP ends each name with a colon and puts several values on lines of their own,
        Cassandra does not end the last name."""
        fields: list[list[tuple[str, int]]] = [[]]
        colon = entry.line
        for text, line in entry.tokens:
            if text == ":":
                fields.append([])
                colon = line
            else:
                fields[-1].append((text, line))
        where, last, named = at(self.path, entry.line), fields[-1], [[t for t, _ in f] for f in fields[:-1]]
        if len(named) > len(axes):
            raise InvalidInput(
                where, f"{len(named)} names", f"'{entry.word}:' has at most {len(axes)}", "Mend it."
            )
        texts = [t for t, _ in last]
        below = bool(last) and last[0][1] > colon
        ways = _ways(texts, len(named), axes, _WORDS[entry.word], below)
        if not ways:
            raise _lost(where, entry.word, texts, len(named), axes)
        k = ways[0]
        if k:
            named.append(texts[:k])
        picks = tuple(axis.pick(where, names) for axis, names in zip(axes, named, strict=False))
        values = last[k:]
        if values[0][0] in _WORDS[entry.word]:
            return Put(where, picks, values[0][0])
        return Put(where, picks, np.array([self._number(*v) for v in values]))


def _ways(
    texts: list[str], depth: int, axes: tuple[Axis, ...], words: tuple[str, ...], below: bool
) -> list[int]:
    """How many of the tokens after the last colon may be a name, the rest values; the likelier first.

    `below`: they stand on lines of their own, as MADP's values do.
    """

    def values(k: int, deep: int) -> bool:
        left = [a.size for a in axes[deep:]]
        if len(texts) - k == 1 and left and texts[k] in words:
            return texts[k] != "identity" or (len(left) == 2 and left[0] == left[1])
        return len(texts) - k == math.prod(left)

    found = []
    if depth < len(axes):
        many = sorted({1, len(axes[depth].parts)})
        found = [k for k in many if axes[depth].reads(texts[:k]) and values(k, depth + 1)]
    alone = depth > 0 and (below or depth == len(axes)) and values(0, depth)
    return [0, *found] if alone else found


def _lost(where: str, word: str, texts: list[str], depth: int, axes: tuple[Axis, ...]) -> InvalidInput:
    """What stands after the last colon are neither values nor a name with values."""
    got = f"{short(' '.join(texts))} ({len(texts)} words)" if texts else "nothing at its end"
    if depth < len(axes) and len(texts) > 1 and not axes[depth].reads(texts[:1]):
        part = axes[depth].parts[0]
        part.index(where, texts[0])  # says what is known, where it is no name
    what = ["entry", *(a.parts[0].what for a in axes)]
    left = [math.prod(a.size for a in axes[d:]) for d in range(len(axes) + 1)]
    wants = ", ".join(f"{about(left[d])} after the {what[d]}" for d in range(max(depth, 1), len(axes) + 1))
    return InvalidInput(where, got, f"'{word}:' ends in numbers, {wants}", "Count them.")
