"""SYSTEM and P of the command line."""

from __future__ import annotations

import importlib
import shlex
import sys
from pathlib import Path
from typing import Any

from ..errors import InvalidInput

SYSTEM_HELP = "A TOML file, module:attr, or gallery:ID."
POLICY_HELP = "uniform, index:1,2,3,0, optimal, FILE.npz, module:attr, or a policy name of the gallery system"


def chain_of(system: str, policy: str | None, initial: str | None = None) -> Any:
    """The chain of SYSTEM under P, started as `initial` says ("0,2,1": a joint state)."""
    from ..laws.source import as_source

    subject, found = resolve(system, policy)
    start = None if initial is None else numbers("initial", initial, int)
    return as_source(subject, found, start)


def resolve(system: str, policy: str | None) -> tuple[Any, Any]:
    """The system and the policy that SYSTEM and P name."""
    if system.startswith("gallery:"):
        from ..gallery import entry

        record = entry(system.removeprefix("gallery:"))
        named = policy if policy in record.policies else ""
        built = record.build(named or "")
        return built.system, built.policy if policy is None or named else policy_of(policy, built.system)
    if ":" in system and not Path(system).exists() and not system.endswith(".toml"):
        found = imported("SYSTEM", system)
        made = found() if callable(found) and not hasattr(found, "under") else found
        subject, own = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        if not hasattr(subject, "under") and not hasattr(subject, "pairs"):
            raise InvalidInput(
                "SYSTEM",
                f"{system}, a {type(subject).__name__}",
                "it must be a system, a chain, a (system, policy) pair, or a function that returns one",
                "Name another attribute.",
            )
    else:
        from ..model.files import load

        if system.lower().endswith(".json"):
            raise InvalidInput(
                "SYSTEM",
                system,
                "it must be a system file (TOML), not a result",
                f"Show a result with: markov-entanglement report {shlex.quote(system)} -o report.html",
            )
        subject, own = load(system)
    return subject, own if policy is None else policy_of(policy, subject)


def policy_of(text: str, system: Any) -> Any:
    """The policy that P names."""
    from ..model.policy import IndexPolicy, UniformPolicy

    if text == "uniform":
        return UniformPolicy()
    if text == "optimal":
        from ..values.control import optimal_policy

        return optimal_policy(system)
    if text.startswith("index:"):
        return IndexPolicy(numbers("--policy index", text.removeprefix("index:"), float))
    if text.endswith(".npz"):
        return _table(text)
    if ":" in text:
        return imported("--policy", text)
    raise InvalidInput("--policy", repr(text), f"it must be one of: {POLICY_HELP}", "Check the spelling.")


def numbers(name: str, text: str, kind: type) -> list[Any]:
    """Comma-separated numbers."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput(
            name, repr(text), f"it must be comma-separated {kind.__name__} numbers", "E.g. 1,2,3,0."
        ) from None


def imported(name: str, text: str) -> Any:
    """`module:attr`, imported because the user asked for their own code."""
    module, _, attribute = text.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise InvalidInput(name, text, "it must be module:attr", "E.g. my_module:my_system.")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
    except Exception as e:
        raise InvalidInput(
            name, text, f"it must be importable ({type(e).__name__}: {e})", "Mend it, or run from its folder."
        ) from None
    finally:
        sys.path.pop(0)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InvalidInput(name, text, f"the module has no attribute {part!r}", "Check the spelling.")
        found = getattr(found, part)
    return found


def _table(path: str) -> Any:
    from .._files import read_npz

    arrays = read_npz("--policy", Path(path))
    if len(arrays) != 1:
        raise InvalidInput(
            "--policy", f"{path} with {len(arrays)} arrays", "it must hold one array", "Save the table alone."
        )
    return next(iter(arrays.values()))
