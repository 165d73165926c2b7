"""Sweeps in TOML files, which never run code: a question by name, a grid, a seed."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _check
from .._files import path_of, read_text
from .._types import Work
from ..errors import InvalidInput
from ..report.sweep import SCHEMA, Sweep
from .questions import QUESTIONS
from .sweep import Plan, plan_of

_KEYS = ("schema", "kind", "question", "seed", "columns", "grid", "cells", "picture")
_PICTURE = ("value", "against")


@dataclass(frozen=True)
class Asked:
    """A sweep that a file asks for, and what its picture shows."""

    plan: Plan
    value: str | None
    against: str | None

    def run(self, store: Any, runner: Any, workers: int | None, resume: bool, retry: bool) -> Sweep:
        """See `sweep`."""
        found = self.plan.run(store, runner, workers, resume, retry)
        return found.showing(self.value, self.against) if found.columns else found


def read_sweep(path: Any, work: Work | None = None, seed: int | None = None) -> Asked:
    """The sweep of a file; `work` stands for its question, `seed` for its seed.

    Raises
    ------
    InvalidInput : no such file, no TOML, an unknown key (the message names the nearest), bad values.
    """
    file = path_of(path, "GRID")
    if not file.is_file():
        raise InvalidInput("GRID", str(file), "it must be a file of a sweep (TOML)", "Check the path.")
    try:
        found = tomllib.loads(read_text(file))
    except (tomllib.TOMLDecodeError, RecursionError) as e:
        got = f"{file}, unreadable TOML ({' '.join(str(e).split())[:120]})"
        raise InvalidInput("GRID", got, "it must be a TOML file", "Mend that line.") from None
    _known(found, _KEYS, "")
    for key, want in (("schema", SCHEMA), ("kind", "sweep")):
        if found.get(key) != want or isinstance(found[key], bool):
            raise InvalidInput.kind(key, found.get(key), repr(want), f"Write: {key} = {want!r}")
    if ("grid" in found) == ("cells" in found):
        got = "both" if "grid" in found else "neither"
        rule = "a sweep has [grid], axes with their values, or [[cells]]"
        raise InvalidInput("grid, cells", got, rule, "Keep one of the two.")
    if work is None:
        work = _check.choice("question", found.get("question"), QUESTIONS)
    elif "question" in found:
        raise InvalidInput("--work", "a function", "the file asks a question", "Take its key question out.")
    picture = found.get("picture", {})
    if not isinstance(picture, Mapping):
        raise InvalidInput.kind("picture", picture, "a table", 'Write: [picture] value = "unexplained"')
    _known(picture, _PICTURE, "picture.")
    for key, value in picture.items():
        if not isinstance(value, str):
            raise InvalidInput.kind(f"picture.{key}", value, "a name", 'E.g. value = "unexplained".')
    grid = found["grid"] if "grid" in found else found["cells"]
    plan = plan_of(work, grid, found.get("seed", 0) if seed is None else seed, found.get("columns"),
                   Path(file).parent)  # fmt: skip
    if picture.get("against") is not None:
        _check.choice("picture.against", picture["against"], plan.axes)
    if picture.get("value") is not None and plan.columns is not None:
        _check.choice("picture.value", picture["value"], plan.columns)
    return Asked(plan, picture.get("value"), picture.get("against"))


def _known(found: Mapping[str, Any], keys: tuple[str, ...], prefix: str) -> None:
    for key in found:
        if key not in keys:
            raise InvalidInput.unknown(f"{prefix}{key}", key, keys, "a sweep has", "an unknown key")
