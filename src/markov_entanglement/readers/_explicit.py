"""The text of explicit transition files: `.tra` with its `.lab`, `.srew` and `.trew`, as PRISM and Storm write them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints
from .._files import read_text
from ..errors import InvalidInput, TooLarge, gib, short
from ..model.spaces import about
from . import at
from ._given import laws, mean

_DECLARED = re.compile(r'(\d{1,9})\s*=\s*"([^"]*)"')
_WORDS = {"dtmc": False, "mdp": True}


def lines_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Number and words of each line that says something."""
    for number, text in enumerate(read_text(path).splitlines(), 1):
        words = text.partition("#")[0].split()
        if words:
            yield number, words


def whole(path: Path, line: int, text: str, below: int | None = None) -> int:
    """A number of a state, a choice or a line."""
    if not re.fullmatch(r"\d{1,9}", text) or (below is not None and int(text) >= below):
        rule = "here stands a whole number" + ("" if below is None else f" below {below}")
        raise InvalidInput(at(path, line), short(text), rule, "Mend it.")
    return int(text)


def number(path: Path, line: int, text: str) -> float:
    """A finite number, or a fraction of two."""
    above, slash, under = text.partition("/")
    try:
        value = float(above) / (float(under) if slash else 1.0)
    except (ValueError, ZeroDivisionError):
        value = np.nan
    if not np.isfinite(value):
        raise InvalidInput(at(path, line), short(text), "here stands a number", "Mend it.")
    return value


@dataclass(frozen=True, eq=False)
class Transitions:
    """A transition file, one entry a line.

    Attributes
    ----------
    count : number of states.
    chooses : whether states have choices (an MDP).
    line : (T,) where each entry stands.
    state, choice, to : (T,) its numbers.
    value : (T,) its probability, or its reward.
    name : its action, "" where the line has none.
    """

    path: Path
    count: int
    chooses: bool
    line: Ints
    state: Ints
    choice: Ints
    to: Ints
    value: Floats
    name: list[str]


def transitions_of(path: Path, states: int | None = None) -> Transitions:
    """The entries of a file with the header `STATES TRANSITIONS`, `STATES CHOICES TRANSITIONS`, `dtmc` or `mdp`.

    The last two do not say how many `states` there are; None: as many as it names.
    """
    lines = list(lines_of(path))
    first, head = lines[0] if lines else (1, [])
    word = head[0].lower() if len(head) == 1 else ""
    if word not in _WORDS and not (len(head) in (2, 3) and all(re.fullmatch(r"\d{1,9}", h) for h in head)):
        rule = "the first line is 'STATES TRANSITIONS', 'STATES CHOICES TRANSITIONS', 'dtmc' or 'mdp'"
        raise InvalidInput(
            at(path, first), short(" ".join(head)) if head else "nothing", rule, "Add that line."
        )
    chooses = _WORDS[word] if word else len(head) == 3
    count, width = states if word else whole(path, first, head[0]), 4 if chooses else 3
    for line, words in lines[1:]:
        if len(words) not in (width, width + 1):
            form = "STATE CHOICE NEXT PROBABILITY [ACTION]" if chooses else "STATE NEXT PROBABILITY [ACTION]"
            raise InvalidInput(at(path, line), f"{len(words)} words", f"a line is {form}", "Mend it.")
    if not word and int(head[-1]) != len(lines) - 1:
        rule = f"its first line says {int(head[-1])}"
        raise InvalidInput(str(path), f"{len(lines) - 1} transitions", rule, "Mend that line, or the rest.")
    whole_ones = [[whole(path, k, w, count) for w in (words[0], words[width - 2])] for k, words in lines[1:]]
    ends = np.array(whole_ones, dtype=np.int64).reshape(-1, 2)
    choice = [whole(path, k, words[1]) if chooses else 0 for k, words in lines[1:]]
    found = int(ends.max(initial=-1)) + 1 if count is None else count
    if found == 0:
        raise InvalidInput(str(path), "no state", "a file has one at least", "Add transitions.")
    value = np.array([number(path, k, words[width - 1]) for k, words in lines[1:]], dtype=np.float64)
    names = [words[width] if len(words) > width else "" for _, words in lines[1:]]
    return Transitions(
        path, found, chooses, np.array([k for k, _ in lines[1:]], dtype=np.int64), ends[:, 0],
        np.array(choice, dtype=np.int64), ends[:, 1], value, names,
    )  # fmt: skip


def actions_of(found: Transitions) -> tuple[Ints, list[str]]:
    """The action of each entry, and their names: those of the file where every choice has one of its own in its
    state, else the numbers of the choices, of which it is said that they need not be actions."""
    if not found.chooses:
        return np.zeros_like(found.state), ["0"]
    names = list(dict.fromkeys(found.name))
    number = {n: k for k, n in enumerate(names)}
    action = np.array([number[n] for n in found.name], dtype=np.int64)
    choices = len(np.unique(np.stack([found.state, found.choice]), axis=1).T)
    named = len(np.unique(np.stack([found.state, found.choice, action]), axis=1).T)
    taken = len(np.unique(np.stack([found.state, action]), axis=1).T)
    if names and "" not in names and choices == named == taken:
        return action, names
    many = np.bincount(np.unique(np.stack([found.state, found.choice]), axis=1)[0], minlength=found.count)
    if len(set(many[many > 0].tolist())) > 1:
        what = f"{found.path}: choices have no names of actions, so that their numbers are taken for actions"
        warnings.warn(f"{what}, though states have {many[many > 0].min()} to {many.max()} of them", UserWarning,
                      stacklevel=2)  # fmt: skip
    return found.choice, [str(k) for k in range(int(found.choice.max(initial=0)) + 1)]


def matrices_of(found: Transitions, action: Ints, many: int, normalize: bool) -> list[sp.csr_array]:
    """One (S, S) matrix per action, rows of zeros where it is not available."""
    n, name = found.count, str(found.path)
    if n * many * 16 > tol.BYTES:
        raise TooLarge(name, f"{about(n * many)} states and actions", gib(tol.BYTES), "Merge states.")
    _refuse_twice(found.path, found.line, (found.to, found.state, action), "transition", "Add them up.")
    used, row = np.unique(found.state * many + action, return_inverse=True)

    def named(k: int) -> str:
        where = f"{name}, state {int(used[k]) // many}"
        return f"{where}, choice {int(used[k]) % many}" if found.chooses else where

    if len(used):
        laws(
            name,
            found.value,
            row.reshape(-1),
            len(used),
            normalize,
            named,
            lambda k: at(found.path, int(found.line[k])),
        )
    put = [np.flatnonzero(action == a) for a in range(many)]
    return [sp.csr_array((found.value[k], (found.state[k], found.to[k])), shape=(n, n)) for k in put]


def _refuse_twice(path: Path, line: Ints, key: tuple[Ints, ...], what: str, remedy: str) -> None:
    """Refuse the second of two lines that say something of the same."""
    order = np.lexsort(key)
    same = np.flatnonzero(np.all([np.diff(x[order]) == 0 for x in key], axis=0))
    if len(same):
        one, two = sorted(int(line[order[same[0] + k]]) for k in (0, 1))
        rule = f"each {what} stands once"
        raise InvalidInput(at(path, two), f"the same {what} as in line {one}", rule, remedy)


def labels_of(path: Path, count: int) -> dict[str, Ints]:
    """States by their labels, in the form of PRISM (`0="init"`, then `STATE: 0 2`) or Storm (`#DECLARATION`)."""
    text = read_text(path)
    storm = "#DECLARATION" in text
    names = {} if storm else {k: n for line in text.splitlines()[:1] for k, n in _DECLARED.findall(line)}
    known = list(names.values())
    if storm:
        known = text.partition("#DECLARATION")[2].partition("#END")[0].split()
    found: dict[str, list[int]] = {name: [] for name in known}
    begun = not storm
    for line, raw in enumerate(text.splitlines(), 1):
        if raw.strip() == "#END":
            begun = True
        elif begun and raw.strip() and not raw.lstrip().startswith("#") and not _DECLARED.search(raw):
            state, *marks = raw.replace(":", " ").split()
            for mark in marks:
                label = mark if storm else names.get(mark, "")
                if label not in known:
                    rule = f"it declares {', '.join(known) or 'none'}"
                    raise InvalidInput(at(path, line), f"label {short(mark)}", rule, "Declare it.")
                found[label].append(whole(path, line, state, count))
    return {name: np.array(sorted(set(states)), dtype=np.int64) for name, states in found.items()}


def state_rewards(path: Path, count: int) -> Floats:
    """(S,) rewards of lines `STATE REWARD`, with or without a header `STATES LINES`."""
    lines = list(lines_of(path))
    out = np.zeros(count)
    if lines and len(lines[0][1]) == 2 and lines[0][1] == [str(count), str(len(lines) - 1)]:
        lines = lines[1:]
    for line, words in lines:
        if len(words) != 2:
            raise InvalidInput(at(path, line), f"{len(words)} words", "a line is STATE REWARD", "Mend it.")
    state = np.array([whole(path, line, words[0], count) for line, words in lines], dtype=np.int64)
    _refuse_twice(path, np.array([line for line, _ in lines]), (state,), "reward", "Drop one of them.")
    out[state] = [number(path, line, words[1]) for line, words in lines]
    return out


def transition_rewards(path: Path, found: Transitions, action: Ints, matrices: list[Any]) -> Floats:
    """(S, A) expectations of a file like the transitions, with rewards for probabilities."""
    paid = transitions_of(path, found.count)
    if (paid.chooses, paid.count) != (found.chooses, found.count):
        rule = f"{found.path} has {found.count} states{' and choices' if found.chooses else ''}"
        raise InvalidInput(str(path), f"{paid.count} states", rule, "Export both together.")
    number_of = dict(
        zip(zip(found.state.tolist(), found.choice.tolist(), strict=True), action.tolist(), strict=True)
    )
    _refuse_twice(path, paid.line, (paid.to, paid.choice, paid.state), "reward", "Drop one of them.")
    out = np.zeros((found.count, len(matrices)))
    for k, (s, c, t) in enumerate(
        zip(paid.state.tolist(), paid.choice.tolist(), paid.to.tolist(), strict=True)
    ):
        if (s, c) not in number_of:
            where = at(path, int(paid.line[k]))
            raise InvalidInput(
                where, f"state {s}, choice {c}", f"{found.path} has no such choice", "Drop the line."
            )
        a = number_of[s, c]
        out[s, a] += float(matrices[a][s, t]) * paid.value[k]
    mass = np.stack([np.asarray(m.sum(axis=1)).ravel() for m in matrices], axis=1)
    return _check.real(str(path), mean(out, mass))
