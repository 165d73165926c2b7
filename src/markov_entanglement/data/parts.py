"""What local states are made of: several named parts, of which an agent may be shown some.

A view is a projection of local pairs, an integer map for each agent: no row is read, and none is counted, twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._check import Ints, freeze
from ..errors import InvalidInput, Unsupported
from ..model.spaces import Labels, Spaces
from ..readers._columns import names_of


def in_order(labels: Sequence[str]) -> list[str]:
    """Names in the order of people: whole numbers by size, then text."""

    def key(name: str) -> tuple[int, int, str]:
        whole = re.fullmatch(r"[+-]?\d{1,18}", name)
        return (0, int(name), name) if whole else (1, 0, name)

    return sorted(labels, key=key)


@dataclass(frozen=True, eq=False)
class Known:
    """What local pairs of a log are.

    Attributes
    ----------
    spaces : local states and actions of each agent.
    labels : names of the agents, and of the local states and actions where they are no plain numbers.
    parts : what local states are made of, where that is several parts, else None.
    """

    spaces: Spaces
    labels: Labels
    parts: Parts | None


@dataclass(frozen=True, eq=False)
class Seen(Known):
    """What is left of local pairs that show some of their parts.

    Attributes
    ----------
    pairs : (N,) the local pair (m_i + 1,) of what is left at each local pair; the last stands for -1, who is absent.
    """

    pairs: tuple[Ints, ...]


@dataclass(frozen=True)
class Parts:
    """Named parts of local states.

    Attributes
    ----------
    names : (C,) of the parts, two or more.
    values : (N,) of each agent the value (C,) of every part in each of its local states.
    """

    names: tuple[str, ...]
    values: tuple[tuple[tuple[str, ...], ...], ...]

    @classmethod
    def read(cls, names: Any, values: Any, spaces: Spaces) -> Parts:
        """From lists, as they were written.

        Raises
        ------
        InvalidInput : lists that do not fit the local states.
        """
        try:
            found = cls(tuple(map(str, names)), tuple(tuple(tuple(map(str, v)) for v in x) for x in values))
        except TypeError:
            found = cls((), ())
        wide = {len(v) for x in found.values for v in x}
        if (
            len(found.names) < 2
            or wide != {len(found.names)}
            or tuple(map(len, found.values)) != spaces.n_states
        ):
            rule = "two or more names, and of each local state of each agent a value of each"
            raise InvalidInput(
                "parts", "lists that do not fit", rule, "Save the log again: log.save(folder)."
            )
        return found

    def seen(self, keep: Sequence[str], spaces: Spaces, labels: Labels) -> Seen:
        """Local states that show the parts `keep` alone."""
        at = [self.names.index(n) for n in keep]
        ranks = [
            {v: k for k, v in enumerate(in_order(sorted({s[c] for x in self.values for s in x})))} for c in at
        ]
        states, pairs = [], []
        for values, a in zip(self.values, spaces.n_actions, strict=True):
            shown = [tuple(s[c] for c in at) for s in values]
            left = sorted(set(shown), key=lambda v: [rank[x] for rank, x in zip(ranks, v, strict=True)])
            number = {v: k for k, v in enumerate(left)}
            new = np.array([number[v] for v in shown], dtype=np.int64)
            states.append(tuple(left))
            pairs.append(freeze(np.append((new[:, None] * a + np.arange(a)).ravel(), -1)))
        fewer = Spaces(tuple(map(len, states)), spaces.n_actions)
        names = tuple(tuple(map(joint, x)) for x in states)
        parts = Parts(tuple(keep), tuple(states)) if len(keep) > 1 else None
        return Seen(fewer, Labels(labels.names, names, labels.actions), parts, tuple(pairs))


def joint(values: Sequence[str]) -> str:
    """The name of a local state by those of its parts."""
    return "/".join(values)


def chosen(name: str, asked: Any, parts: Sequence[str], source: object) -> tuple[str, ...]:
    """Some of the parts in their own order; `name` is blamed for those that are not there.

    Raises
    ------
    InvalidInput : there is no such part, or none is asked for. Unsupported : local states of the source have no parts.
    """
    if not parts:
        rule = "local states of one part can only be shown whole"
        helps = "Read several columns, states=['cell', 'status']; of an environment let local_state return mappings."
        raise Unsupported(name, repr(source), rule, helps)
    wanted = names_of(name, asked)
    for one in wanted:
        if one not in parts:
            raise InvalidInput.unknown(name, one, parts, "the parts of local states are")
    if not wanted:
        raise InvalidInput(name, "no part", "a view shows one at least", f"E.g. {[parts[0]]!r}.")
    return tuple(n for n in parts if n in wanted)
