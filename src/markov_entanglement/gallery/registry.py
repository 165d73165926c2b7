"""One record per gallery system; list, pages and tests iterate over it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import _check
from ..errors import InvalidInput, UserError, short
from ..model.bandit import RestlessBandit
from ..model.system import System

if TYPE_CHECKING:
    from ..bandits.chain import BanditChain
    from ..markov.chain import Chain
    from ..runs.agents import AgentChain


@dataclass(frozen=True)
class Fact:
    """Something known about a gallery system.

    Attributes
    ----------
    quantity : a name of `markov_entanglement.gallery.facts.QUANTITIES`, e.g. "mu-atv", "error_mu", "whittle".
    value : a number, the same for all agents (arm types, states) where there are several; a tuple, one for each in
        row-major order; or a word.
    tolerance : how exactly it is known, absolute; 0 for a word.
    source : where it comes from.
    policy : which of the entry's policies; "" is the default one.
    params : builder parameters, when not the defaults.
    """

    quantity: str
    value: float | str | tuple[float, ...]
    tolerance: float
    source: str
    policy: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """A built gallery system with one of its policies.

    Attributes
    ----------
    system : the system or bandit.
    policy : the policy, or None for a chain.
    """

    system: System | RestlessBandit
    policy: Any

    def chain(self) -> Chain | AgentChain | BanditChain:
        """The induced chain; of the counts for a bandit."""
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
    builder : parameters -> system or bandit; its docstring describes them.
    policies : name -> (system -> policy); the first is the default. Empty for chains.
    facts : what is known, tested.
    requires : optional package that the builder imports, or "".
    """

    id: str
    title: str
    summary: str
    source: str
    builder: Callable[..., System | RestlessBandit]
    policies: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    facts: tuple[Fact, ...] = ()
    requires: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """Name -> default, of what the builder takes."""
        return {p.name: p.default for p in inspect.signature(self.builder).parameters.values()}

    def built(self, **params: Any) -> System | RestlessBandit:
        """The system.

        Raises
        ------
        InvalidInput : no such parameter (the message names the nearest), or one out of range.
        """
        known = self.parameters
        for name, value in params.items():
            if not known:
                rule = f"{self.id} has no parameters"
                raise InvalidInput(f"parameter of {self.id}", short(name), rule, "Leave it out.")
            if name not in known:
                raise InvalidInput.unknown(f"parameter of {self.id}", name, known, f"{self.id} takes")
            _check_kind(name, value, known[name])
        try:
            return self.builder(**params)
        except UserError:
            raise
        except (ArithmeticError, LookupError, MemoryError, ValueError) as e:
            got = ", ".join(f"{name}={value}" for name, value in params.items())
            rule = f"{self.id} cannot be built with these ({e})"
            raise InvalidInput("parameters", short(got), rule, f"The defaults are {known}.") from None

    def build(self, policy: str = "", **params: Any) -> Subject:
        """The system with its default or a named policy.

        Raises
        ------
        InvalidInput : no such policy or parameter (the message names the nearest), or parameters out of range.
        """
        system = self.built(**params)
        if not self.policies:
            return Subject(system, None)
        name = policy or next(iter(self.policies))
        if name not in self.policies:
            raise InvalidInput.unknown("policy", name, self.policies, f"{self.id} has")
        return Subject(system, _named(self.policies[name](system), f"{self.id}.<locals>.{name}"))


def _named(policy: Any, qualname: str) -> Any:
    """A policy that is a function under the name by which results know it again."""
    if not inspect.isfunction(policy):
        return policy

    def law(*asked: Any) -> Any:
        return policy(*asked)

    law.__module__, law.__qualname__ = "gallery", qualname
    return law


def _check_kind(name: str, value: Any, default: Any) -> None:
    """A parameter is of the kind of its default: a truth value, a word, sizes, numbers, one number; None stands for an
    integer."""
    if value is None and default is None:
        return
    if isinstance(default, bool | str):
        wanted = "true or false" if isinstance(default, bool) else "a word"
        if not isinstance(value, type(default)):
            raise InvalidInput.kind(name, value, wanted, f"E.g. {default!r}.")
    elif isinstance(default, tuple) and isinstance(default[0], float):
        _check.real(name, value, shape=("N",))
    elif isinstance(default, tuple):
        if len(_check.sizes(name, value)) != len(default):
            raise InvalidInput.kind(name, value, f"{len(default)} sizes", f"E.g. {default!r}.")
    elif isinstance(default, float):
        _check.number(name, value)
    else:
        _check.integer(name, value)


_ENTRIES: dict[str, Entry] = {}


def register(*found: Entry) -> None:
    """Add records; ids are unique."""
    for e in found:
        if e.id in _ENTRIES:
            raise InvalidInput("id", repr(e.id), "gallery ids are unique", "Choose another.")
        _ENTRIES[e.id] = e


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
        raise InvalidInput.unknown("gallery id", id, _ENTRIES, "ids are")
    return _ENTRIES[id]


def build(id: str, policy: str = "", **params: Any) -> Subject:
    """Build a gallery system.

    >>> import markov_entanglement as me
    >>> me.gallery.build("circulant", n_arms=3, budget=1).system.n_agents
    3
    """
    return entry(id).build(policy, **params)
