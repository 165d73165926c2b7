"""Long work that was stopped goes on: a folder in which it lays what is done."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ._files import path_of, read_npz, read_text, write_bytes, write_text
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
        if not resume:
            remedy = "Go on with it by resume=True (--resume), or name another folder."
            raise InvalidInput(name, str(path), f"{what} that was stopped lies there", remedy)
        known = self._known(name, file)
        other = [k for k, v in json.loads(json.dumps(about)).items() if known.get(k) != v]
        if other:
            got, rule = f"{path} with another {other[0]}", f"{what} goes on as it began"
            raise InvalidInput(name, got, rule, "Name another folder.")

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


def discard(path: Path, head: str, *patterns: str) -> None:
    """Remove what a journal laid in a folder, and the folder if nothing else is in it."""
    for pattern in patterns:
        for file in path.glob(f"{pattern}.npz"):
            file.unlink()
    (path / head).unlink(missing_ok=True)
    with suppress(OSError):
        path.rmdir()
