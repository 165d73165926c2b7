"""One record per format of files that others write: `me.read_model`, the command line and the docs iterate over them.

A new format is one module in this folder with its `READER`. Such a module loads nothing heavy before it reads; modules
whose names start with `_` are helpers of the readers.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import InvalidInput


@dataclass(frozen=True)
class Reader:
    """A format of files."""

    word: str  # "table", "cassandra", "explicit", "rddl", "mat"
    suffixes: tuple[str, ...]  # (".csv", ".parquet"), lower case
    help: str  # what such files are, one line
    read: Callable[..., Any]  # (path: Path, **options) -> a system, or (system, policy)
    #: Keywords that it takes, e.g. ("n_states", "n_actions", "discount").
    options: tuple[str, ...] = ()


@cache
def readers() -> dict[str, Reader]:
    """All records by their words."""
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    found = [import_module(f"{__name__}.{name}").READER for name in names]
    return {reader.word: reader for reader in found}


def reader_of(path: str | Path) -> Reader | None:
    """The reader of files with the ending of `path`, whatever the case of its letters; None if there is none."""
    suffix = Path(path).suffix.lower()
    return next((r for r in readers().values() if suffix in r.suffixes), None)


def endings() -> list[str]:
    """All endings that are read."""
    return sorted({".toml", *(suffix for r in readers().values() for suffix in r.suffixes)})


def read_model(path: str | Path, **options: Any) -> Any:
    """A system from a file, read as the ending of its name says; an unknown ending is answered with the known ones.

    Parameters
    ----------
    path : a file; a system file (`.toml`) is read by `me.load`.
    options : what the file does not say, by name, e.g. `discount=0.9`, `n_states=(2, 2)`, `n_actions=(2, 2)`; see the
        page of readers for the options of each.

    Returns
    -------
    A system; for a file that holds a policy as well (TOML), the pair (system, policy).

    Raises
    ------
    InvalidInput : an unknown ending, an option that this format does not take, a malformed file (the message names
        file, line and column), or something that the file does not say and nobody gave.

    >>> import markov_entanglement as me, tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "walk.csv"
    >>> _ = file.write_text("state,next,probability\\nhome,work,1\\nwork,home,.5\\nwork,work,.5\\n")
    >>> me.read_model(file).labels.states
    (('home', 'work'),)
    """
    if not isinstance(path, str | os.PathLike):
        raise InvalidInput.kind("path", path, "the path of a file", "Pass text or a pathlib.Path.")
    file = Path(path)
    given = {name: value for name, value in options.items() if value is not None}
    reader = reader_of(file)
    if reader is None and file.suffix.lower() != ".toml":
        got = f"a name that ends in {file.suffix!r}" if file.suffix else "a name without an ending"
        raise InvalidInput.unknown(str(file), file.suffix, endings(), "files that are read end in", got)
    word, known = (reader.word, reader.options) if reader else ("TOML", ())
    for name in given:
        if name not in known:
            rule = f"{word} files take {', '.join(known) or 'no options'}"
            raise InvalidInput(name, f"an option that {word} files do not take", rule, "Leave it out.")
    if reader is None:
        from ..model.files import load

        return load(file)
    if not os.path.exists(file):  # noqa: PTH110 (Path.exists raises for a name that is too long)
        raise InvalidInput(str(file), "no such file", "it must exist", "Check the path.")
    return reader.read(file, **given)


def at(path: Path, line: int, column: int | str | None = None) -> str:
    """Where in a file, as a message names it: `trips.csv, line 3, column 'next'`."""
    return f"{path}, line {line}" + ("" if column is None else f", column {column!r}")
