"""Atomic writes: a temporary file beside the target, then a rename."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

from .errors import InvalidInput

_UNREADABLE = (
    OSError, ValueError, TypeError, EOFError, KeyError, SyntaxError, NotImplementedError, MemoryError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` so that a reader sees the old file or the whole new one, never a part.

    Raises
    ------
    InvalidInput : the folder does not exist or cannot be written.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as e:
        raise InvalidInput(
            "path",
            str(target),
            f"its folder must be writeable ({e.strerror})",
            "Create the folder, or choose another.",
        ) from e
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(target)
    except BaseException as e:
        Path(name).unlink(missing_ok=True)
        if isinstance(e, OSError):
            raise InvalidInput(
                "path", str(target), f"it cannot be written ({e.strerror})", "Choose another path."
            ) from e
        raise


def read_npz(name: str, path: Path) -> dict[str, Any]:
    """Arrays of an `.npz` file, never unpickled; `name` is the argument to blame.

    Raises
    ------
    InvalidInput : a missing, truncated or pickled file, or one of another format.
    """
    import numpy as np

    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("not a zip archive")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {k: archive[k] for k in archive.files}
    except FileNotFoundError as e:
        raise InvalidInput(
            name, f"no file {path}", "it must exist", "Check the name, and that it is there."
        ) from e
    except _UNREADABLE as e:
        reason = " ".join(str(e).split())[:120]
        raise InvalidInput(
            name,
            f"{path.name}, which cannot be read ({reason})",
            "it must be an .npz without pickled objects",
            "Save it again with numpy.savez.",
        ) from e


def write_text(path: str | Path, text: str) -> None:
    """UTF-8 text, atomically."""
    write_bytes(path, text.encode())
