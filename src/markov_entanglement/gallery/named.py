"""Systems and policies by name: a file, `gallery:ID`, words. Own code runs only where who calls says how.

The command line and the cells of a sweep say systems and policies so.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from ..model.words import WORDS, record
from ..readers import endings, read_model, reader_of
from .registry import entry

#: How own code `module:attr` is found: (argument to blame, text) -> object.
Code = Callable[[str, str], Any]


@dataclass(frozen=True)
class Opened:
    """What a name stands for: the system, the policy that came with it, and policies by names of its own."""

    system: Any
    own: Any = None
    named: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    code: Code | None = None

    @classmethod
    def of(cls, made: Any, code: Code | None) -> Opened:
        """Of a system, or of (system, policy)."""
        system, own = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        return cls(system, own, code=code)

    def policy(self, text: str | None, name: str = "--policy") -> Any:
        """The policy of that name; None: its own, or the first of its names."""
        known = next(iter(self.named), None) if text is None else text
        if known is not None and known in self.named:
            return self.named[known](self.system)
        return self.own if text is None else policy_of(text, self.system, name, self.code)


def named(
    system: str,
    given: dict[str, Any] | None = None,
    discount: float | None = None,
    *,
    name: str = "SYSTEM",
    code: Code | None = None,
) -> Opened:
    """What a file or `gallery:ID` names; `given` are options for the reader of a file, or parameters of a gallery
    system, each of which is taken or refused; `name` is the argument to blame.

    `discount` is one more where they take it: a caller that hands it over so has another use for it.
    """
    given = {} if given is None else given
    if system.startswith("gallery:"):
        found = entry(system.removeprefix("gallery:"))
        takes = found.parameters
        known = _with(given, discount, takes)
        known = {k: str(v) if isinstance(takes.get(k), str) else v for k, v in known.items()}
        return Opened(found.built(**known), named=found.policies, code=code)
    return Opened.of(_read(system, given, discount, name), code)


def _with(given: dict[str, Any], discount: float | None, takes: Container[str]) -> dict[str, Any]:
    """The options, and the discount where it is one of them."""
    return {"discount": discount, **given} if discount is not None and "discount" in takes else given


def none_given(given: dict[str, Any], rule: str, instead: str) -> None:
    """Refuse options, with `instead` for where else a discount can be said."""
    for name in given:
        got = "an option for files of others or the gallery"
        remedy = f"Leave it out, or {instead}." if name == "discount" else "Leave it out."
        raise InvalidInput(name, got, rule, remedy)


def _read(system: str, given: dict[str, Any], discount: float | None, name: str) -> Any:
    """The system of a file, or (system, policy)."""
    suffix, reader = Path(system).suffix.lower(), reader_of(system)
    if suffix == ".json":
        remedy = f"Show a result with: markov-entanglement report {shlex.quote(system)} -o report.html"
        raise InvalidInput(name, system, "it must be a system file (TOML), not a result", remedy)
    if reader is not None:
        return read_model(system, **_with(given, discount, reader.options))
    if suffix in ("", ".toml"):
        from ..model.files import load

        none_given(given, "a TOML file says all itself", "write discount = 0.9 into it")
        return load(system)
    own = Path(system).stem if suffix == ".py" else "module"
    rule = f"files of systems end in {', '.join(endings())}"
    remedy = f"A system that your own code makes is module:attr, e.g. {own}:my_system."
    raise InvalidInput(name, system, rule, remedy)


def policy_of(text: str, system: Any, name: str = "--policy", code: Code | None = None) -> Any:
    """The policy that a text names: a word, a word with what it needs, a table, or own code."""
    word, _, rest = text.partition(":")
    value: Any = None
    if text.endswith(".npz"):
        from .._files import read_npz
        from ..model.files import gathered

        arrays = read_npz(name, Path(rest if word in WORDS else text))
        if word in WORDS:
            value = gathered(arrays).get(WORDS[word].key)
        elif len(arrays) == 1:
            return next(iter(arrays.values()))
        else:
            got = f"{text} with {len(arrays)} arrays"
            raise InvalidInput(name, got, "it must hold one array", "Save the table alone.")
    elif word == "index" and rest:
        value = numbers(f"{name} index", rest, float)
    elif word == "lp-update" and rest:
        value, *more = numbers(f"{name} lp-update", rest, int)
        if more:
            raise InvalidInput(
                f"{name} lp-update", repr(rest), "it plans one number of steps", "E.g. lp-update:5."
            )
    elif ":" in text:
        if code is None:
            rule, remedy = (
                "own code runs only where you call it",
                "Name a word, or sweep a function of your own.",
            )
            raise InvalidInput(name, repr(text), rule, remedy)
        return code(name, text)
    return record(word, system, name).make(system, value, name)


def numbers(name: str, text: str, kind: type) -> list[Any]:
    """Comma-separated numbers."""
    try:
        if "_" in text:  # Python reads 1_000
            raise ValueError
        return [kind(part) for part in text.split(",")]
    except ValueError:
        rule = f"it must be comma-separated {kind.__name__} numbers"
        raise InvalidInput(name, repr(text), rule, "E.g. 1,2,3,0.") from None
