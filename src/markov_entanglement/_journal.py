"""Long work that was stopped goes on: a folder in which it lays what is done."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ._files import path_of, read_bytes, read_npz, read_text, target_of, write_bytes, write_text
from .errors import InvalidInput, short


class Journal:
    """A folder of `.npz` files, each whole or not there, beside a text that says of what work they are.

    Attributes
    ----------
    path : the folder. head : the name of the text in it. what : the work in words, for refusals: "a count".
    """

    def __init__(
        self,
        name: str,
        path: Any,
        about: Mapping[str, Any],
        resume: bool,
        *,
        what: str,
        head: str = "about.json",
    ) -> None:
        """`name` is the argument that gave `path`; `about`, of numbers and words, must agree for the work to go on.

        Raises
        ------
        InvalidInput : a folder of other work, or of this work where nobody said that it goes on.
        """
        self.path, self.head, self.what = path_of(path, name), head, what
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            rule = f"it must be a folder that can be made ({e.strerror})"
            raise InvalidInput(name, str(path), rule, "Choose another.") from None
        file = self.path / head
        if not file.exists():
            write_text(file, json.dumps(about, indent=1) + "\n")
            return
        _going_on(name, path, resume, f"{what} that was stopped", "folder")
        _same(name, path, self._known(name, file), about, what, "folder")

    def _known(self, name: str, file: Path) -> dict[str, Any]:
        try:
            found = json.loads(read_text(file))
            if not isinstance(found, dict):
                raise ValueError(type(found).__name__)
        except ValueError as e:
            raise InvalidInput(
                name,
                f"{file} ({short(str(e))[1:-1]})",
                f"it must say of what {self.what} is",
                "Name another folder.",
            ) from None
        return found

    def file(self, name: str) -> Path:
        """Where arrays of that name lie."""
        return self.path / f"{name}.npz"

    def names(self, pattern: str) -> Iterator[str]:
        """Names of arrays that are there, in order."""
        return (f.stem for f in sorted(self.path.glob(f"{pattern}.npz")))

    def read(self, name: str) -> dict[str, Any]:
        """Arrays that were laid under a name; none where nothing was."""
        file = self.file(name)
        return read_npz(str(file), file) if file.exists() else {}

    def write(self, name: str, arrays: Mapping[str, Any]) -> Path:
        """Lay arrays under a name."""
        out = io.BytesIO()
        np.savez(out, **arrays)
        write_bytes(self.file(name), out.getvalue())
        return self.file(name)

    def close(self, *patterns: str) -> None:
        """All is done: what was laid goes away, and the folder if nothing else is in it."""
        discard(self.path, self.head, *patterns)


class Lines:
    """A file of one line of JSON a cell, below a line that says of what work they are.

    A line is appended by one write, and is on the disk before it counts. What a write that was cut short left at the
    end goes away.

    Attributes
    ----------
    path : the file. found : what its lines hold, in the order in which they were written.
    """

    def __init__(self, name: str, path: Any, about: Mapping[str, Any], resume: bool, *, what: str) -> None:
        """`name` is the argument that gave `path`; `about` must agree for the work to go on.

        Raises
        ------
        InvalidInput : a file of other work, or of this work where nobody said that it goes on; one that is damaged, or
            that cannot be written.
        """
        self.path, self.found = target_of(path, name), list[dict[str, Any]]()
        if not self.path.exists() or not self.path.stat().st_size:
            write_text(self.path, f"{json.dumps(about)}\n")
        else:
            _going_on(name, path, resume, what, "file")
            whole = read_bytes(self.path)
            end = whole.rfind(b"\n") + 1
            lines = [_line(name, path, k, text) for k, text in enumerate(whole[:end].splitlines(), 1)]
            _same(name, path, lines[0] if lines else {}, about, what, "file")
            os.truncate(self.path, end)
            self.found = lines[1:]

    def append(self, line: Mapping[str, Any]) -> None:
        """Write a line."""
        data = f"{json.dumps(line)}\n".encode()
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            if os.write(file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(file)
        finally:
            os.close(file)


def _line(name: str, path: Any, k: int, text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("no object")
    except ValueError as e:
        rule = f"its lines are JSON ({short(str(e))[1:-1]})"
        raise InvalidInput(
            name, f"{path}, line {k}", rule, "Delete that line, or name another file."
        ) from None
    return found


def _going_on(name: str, path: Any, resume: bool, what: str, thing: str) -> None:
    """Refuse work that lies there where nobody said that it goes on."""
    if not resume:
        remedy = f"Go on with it by resume=True (--resume), or name another {thing}."
        raise InvalidInput(name, str(path), f"{what} lies there", remedy)


def _same(
    name: str, path: Any, known: Mapping[str, Any], about: Mapping[str, Any], what: str, thing: str
) -> None:
    """Refuse other work."""
    other = [k for k, v in json.loads(json.dumps(about)).items() if known.get(k) != v]
    if other:
        got, rule = f"{path} with another {other[0]}", f"{what} goes on as it began"
        raise InvalidInput(name, got, rule, f"Name another {thing}.")


def discard(path: Path, head: str, *patterns: str) -> None:
    """Remove what a journal laid in a folder, and the folder if nothing else is in it."""
    for pattern in patterns:
        for file in path.glob(f"{pattern}.npz"):
            file.unlink()
    (path / head).unlink(missing_ok=True)
    with suppress(OSError):
        path.rmdir()
