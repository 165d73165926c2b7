"""One record per gallery system; list, pages and tests iterate over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._check import nearest
from ..errors import InvalidInput
from ..markov.chain import Chain
from ..model.system import System


@dataclass(frozen=True)
class Fact:
    """A known number.

    Attributes
    ----------
    quantity : "mu-atv", "atv", "policy" (per agent), or a name of `ValueDecomposition`, e.g. "error_mu".
    value : the number; one for each agent alike where the quantity is per agent, or a tuple.
    tolerance : how exactly it is known.
    source : where it comes from.
    policy : which of the entry's policies.
    params : builder parameters, when not the defaults.
    """

    quantity: str
    value: float | tuple[float, ...]
    tolerance: float
    source: str
    policy: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """A built gallery system with one of its policies.

    Attributes
    ----------
    system : the system.
    policy : the policy, or None for a chain.
    """

    system: System
    policy: Any

    def chain(self) -> Chain:
        """The induced chain."""
        return self.system.under(self.policy)


@dataclass(frozen=True)
class Entry:
    """A gallery record.

    Attributes
    ----------
    id : name on the command line, `gallery:ID`.
    title : one line.
    summary : what it shows.
    source : where it comes from.
    builder : parameters -> system.
    policies : name -> (system -> policy); the first is the default. Empty for chains.
    facts : known numbers, tested.
    requires : optional package that the builder imports, or "".
    """

    id: str
    title: str
    summary: str
    source: str
    builder: Callable[..., System]
    policies: Mapping[str, Callable[[System], Any]] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()
    requires: str = ""

    def build(self, policy: str = "", **params: Any) -> Subject:
        """The system with its default or a named policy."""
        system = self.builder(**params)
        if not self.policies:
            return Subject(system, None)
        name = policy or next(iter(self.policies))
        if name not in self.policies:
            raise InvalidInput(
                "policy",
                repr(name),
                f"{self.id} has {', '.join(self.policies)}",
                nearest(name, list(self.policies)),
            )
        return Subject(system, self.policies[name](system))


_ENTRIES: dict[str, Entry] = {}


def register(entry: Entry) -> Entry:
    """Add a record; ids are unique."""
    if entry.id in _ENTRIES:
        raise InvalidInput("id", repr(entry.id), "gallery ids are unique", "Choose another.")
    _ENTRIES[entry.id] = entry
    return entry


def entries() -> tuple[Entry, ...]:
    """All records, in the order of the gallery."""
    return tuple(_ENTRIES.values())


def entry(id: str) -> Entry:
    """The record of that id.

    Raises
    ------
    InvalidInput : no such id; the message names the nearest.
    """
    if id not in _ENTRIES:
        raise InvalidInput(
            "gallery id", repr(id), f"ids are {', '.join(_ENTRIES)}", nearest(id, list(_ENTRIES))
        )
    return _ENTRIES[id]


def build(id: str, policy: str = "", **params: Any) -> Subject:
    """Build a gallery system.

    >>> import markov_entanglement as me
    >>> me.gallery.build("circulant", n_arms=3, budget=1).system.n_agents
    3
    """
    return entry(id).build(policy, **params)
