"""SYSTEM and P of the command line."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from ..model.words import WORDS, record

SYSTEM_HELP = "A TOML file, module:attr, or gallery:ID."
_OTHERS = ("index:1,2,3,0", "FILE.npz", "WORD:FILE.npz", "module:attr")
POLICY_HELP = f"{', '.join((*WORDS, *_OTHERS))}, or a policy of the gallery system."


def chain_of(system: str, policy: str | None, initial: str | None = None) -> Any:
    """The chain of SYSTEM under P, started as `initial` says ("0,2,1": a joint state; or names of states)."""
    from ..laws.source import as_source

    subject, found = resolve(system, policy)
    start = None if initial is None else [int(s) if s.isdecimal() else s for s in initial.split(",")]
    return as_source(subject, found, start)


def resolve(system: str, policy: str | None) -> tuple[Any, Any]:
    """The system and the policy that SYSTEM and P name."""
    if system.startswith("gallery:"):
        from ..gallery import entry

        found = entry(system.removeprefix("gallery:"))
        named = policy if policy in found.policies else ""
        built = found.build(named or "")
        return built.system, built.policy if policy is None or named else policy_of(policy, built.system)
    if ":" in system and not Path(system).exists() and not system.endswith(".toml"):
        found = imported("SYSTEM", system)
        made = found() if callable(found) else found
        subject, own = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    else:
        from ..model.files import load

        if system.lower().endswith(".json"):
            remedy = f"Show a result with: markov-entanglement report {shlex.quote(system)} -o report.html"
            raise InvalidInput("SYSTEM", system, "it must be a system file (TOML), not a result", remedy)
        subject, own = load(system)
    return subject, own if policy is None else policy_of(policy, subject)


def policy_of(text: str, system: Any) -> Any:
    """The policy that P names: a word, a word with what it needs, a table, or one's own code."""
    word, _, rest = text.partition(":")
    value: Any = None
    if text.endswith(".npz"):
        from .._files import read_npz
        from ..model.files import gathered

        arrays = read_npz("--policy", Path(rest if word in WORDS else text))
        if word in WORDS:
            value = gathered(arrays).get(WORDS[word].key)
        elif len(arrays) == 1:
            return next(iter(arrays.values()))
        else:
            got = f"{text} with {len(arrays)} arrays"
            raise InvalidInput("--policy", got, "it must hold one array", "Save the table alone.")
    elif word == "index" and rest:
        value = numbers("--policy index", rest, float)
    elif ":" in text:
        return imported("--policy", text)
    return record(word, system, "--policy").make(system, value, "--policy")


def inputs(*texts: str | None) -> list[Path]:
    """The files behind SYSTEM and P (own code, system files and their arrays), which no output may overwrite."""
    found = []
    for text in filter(None, texts):
        file = Path(text)
        with suppress(OSError, ValueError, RecursionError):
            arrays = tomllib.loads(file.read_text()).get("arrays", "") if file.suffix == ".toml" else ""
            found.append(file.parent / str(arrays))
        module, _, rest = text.partition(":")
        found += [file, Path(f"{module.replace('.', '/')}.py"), Path(rest or text)]
    return [f for f in found if os.path.isfile(f)]  # noqa: PTH113 (Path.is_file raises for a name that is too long)


def numbers(name: str, text: str, kind: type) -> list[Any]:
    """Comma-separated numbers."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        rule = f"it must be comma-separated {kind.__name__} numbers"
        raise InvalidInput(name, repr(text), rule, "E.g. 1,2,3,0.") from None


def imported(name: str, text: str) -> Any:
    """`module:attr`, imported because the user asked for their own code."""
    module, _, attribute = text.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise InvalidInput(name, text, "it must be module:attr", "E.g. my_module:my_system.")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
    except Exception as e:
        rule = f"it must be importable ({type(e).__name__}: {e})"
        raise InvalidInput(name, text, rule, "Mend it, or run from its folder.") from None
    finally:
        sys.path.pop(0)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InvalidInput(name, text, f"the module has no attribute {part!r}", "Check the spelling.")
        found = getattr(found, part)
    return found
