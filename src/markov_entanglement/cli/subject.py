"""SYSTEM and P of the command line."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from ..errors import InvalidInput, UserError
from ..model.words import WORDS
from ..readers import endings, reader_of

if TYPE_CHECKING:
    from ..gallery.named import Opened

SYSTEM_HELP = f"A file ({', '.join(endings())}), module:attr, or gallery:ID."
_OTHERS = ("index:1,2,3,0", "lp-update:HORIZON", "FILE.npz", "WORD:FILE.npz", "module:attr")
POLICY_HELP = f"{', '.join((*WORDS, *_OTHERS))}, or a policy of the gallery system."

#: What is read as a number with decimals; other words that Python's float takes may be names.
_FLOAT = re.compile(r"-?(\d+\.\d*|\.\d+|[1-9]\d*(?=[eE]))([eE][+-]?\d+)?", re.ASCII)

NStates = Annotated[
    str | None,
    Option("--n-states", help="How a file's joint states split into agents, e.g. 2,2 (row-major)."),
]
NActions = Annotated[
    str | None,
    Option("--n-actions", help="How a file's joint actions split into agents, e.g. 2,2 (row-major)."),
]
Options = Annotated[
    list[str] | None,
    Option(
        "--option",
        help="NAME=VALUE: what else a file does not say, e.g. normalize=true, or a parameter of a gallery system, "
        "e.g. n_arms=1800; repeatable.",
    ),
]


def start_of(initial: str | None) -> list[int | str] | None:
    """The joint state that "0,2,1" says, or names of states."""
    whole = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)
    return None if initial is None else [int(s) if whole.fullmatch(s) else s for s in initial.split(",")]


def chain_of(
    system: str,
    policy: str | None,
    initial: str | None = None,
    given: dict[str, Any] | None = None,
    discount: float | None = None,
) -> Any:
    """The chain of SYSTEM under P, started in the joint state `initial` ("0,2,1" or names); others: see `opened`."""
    from ..laws.source import as_source

    subject, found = resolve(system, policy, given, discount)
    start = start_of(initial)
    return as_source(subject, found, start)


def options_of(
    n_states: str | None, n_actions: str | None, others: list[str] | None, discount: float | None = None
) -> dict[str, Any]:
    """What the command line says beside a file, by the names of `me.read_model`."""
    from ..gallery.named import numbers

    found: dict[str, Any] = {"discount": discount}
    for name, text in (("n_states", n_states), ("n_actions", n_actions)):
        found[name] = None if text is None else tuple(numbers(f"--{name.replace('_', '-')}", text, int))
    for text in others or ():
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise InvalidInput("--option", repr(text), "it must be NAME=VALUE", "E.g. normalize=true.")
        found[name] = _value(value)
    return {name: value for name, value in found.items() if value is not None}


def _value(text: str) -> Any:
    """true and false, a number, a list (1,2,4) or a range (0..12) of them, or text, as which 007 is read, too."""
    span = re.fullmatch(r"(\d{1,6})\.\.(\d{1,6})", text)
    if span:
        return tuple(range(int(span[1]), int(span[2]) + 1))
    if "," in text:
        return tuple(_value(part.strip()) for part in text.split(","))
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    with suppress(ValueError):
        if str(int(text)) == text:
            return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def resolve(
    system: str, policy: str | None, given: dict[str, Any] | None = None, discount: float | None = None
) -> tuple[Any, Any]:
    """The system and the policy that SYSTEM and P name; others: see `opened`."""
    found = opened(system, given, discount)
    return found.system, found.policy(policy)


def opened(system: str, given: dict[str, Any] | None = None, discount: float | None = None) -> Opened:
    """What SYSTEM names, own code among it; else see `gallery.named.named`."""
    from ..gallery.named import Opened, named, none_given

    here = os.path.exists(system)  # noqa: PTH110 (Path.exists raises for a name that is too long)
    theirs = ":" in system and not here and reader_of(system) is None
    if theirs and not system.endswith(".toml") and not system.startswith("gallery:"):
        none_given(given or {}, "module:attr is a system already", "make the system with it")
        made = imported("SYSTEM", system)
        with own_code("SYSTEM", system, "run"):
            made = made() if callable(made) else made
        return Opened.of(made, imported)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        found = named(system, given, discount, code=imported)
    for note in notes:
        typer.echo(f"note: {note.message}", err=True)
    return found


def inputs(*texts: str | None, options: list[str] | None = None) -> list[Path]:
    """The files behind SYSTEM, P and the values of options (own code, system files and their arrays), which no output
    may overwrite."""
    found = []
    for text in filter(None, [*texts, *(option.partition("=")[2] for option in options or ())]):
        file = Path(text)
        with suppress(OSError, ValueError, RecursionError):
            arrays = tomllib.loads(file.read_text()).get("arrays", "") if file.suffix == ".toml" else ""
            found.append(file.parent / str(arrays))
        module, _, rest = text.partition(":")
        found += [file, Path(f"{module.replace('.', '/')}.py"), Path(rest or text)]
    return [f for f in found if os.path.isfile(f)]  # noqa: PTH113 (Path.is_file raises for a name that is too long)


@contextmanager
def own_code(name: str, text: str, must: str) -> Iterator[None]:
    """What the user's own code raises is the user's to mend; an exit of it is no exit of ours."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as e:
        what = "it calls sys.exit" if isinstance(e, SystemExit) else f"{type(e).__name__}: {e}"
        remedy = "Mend it, or run from its folder."
        if isinstance(e, ModuleNotFoundError):
            remedy = f"Install what has the module {e.name!r}, or run from its folder."
        raise InvalidInput(name, text, f"your own code must {must} ({what})", remedy) from e


def imported(name: str, text: str) -> Any:
    """`module:attr`, imported because the user asked for their own code."""
    module, _, attribute = text.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise InvalidInput(name, text, "it must be module:attr", "E.g. my_module:my_system.")
    sys.path.insert(0, str(Path.cwd()))
    try:
        with own_code(name, text, "be importable"):
            found: Any = importlib.import_module(module)
            for part in attribute.split("."):
                if not hasattr(found, part) and hasattr(found, "__path__"):  # a module inside a package
                    inside = f"{found.__name__}.{part}"
                    if importlib.util.find_spec(inside) is not None:
                        importlib.import_module(inside)
                if not hasattr(found, part):
                    rule = f"the module has no attribute {part!r}"
                    raise InvalidInput(name, text, rule, "Check the spelling.")
                found = getattr(found, part)
    finally:
        sys.path.pop(0)
    return found
