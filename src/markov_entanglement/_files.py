"""Atomic writes: a temporary file beside the target, then a rename."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import InvalidInput


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


def write_text(path: str | Path, text: str) -> None:
    """UTF-8 text, atomically."""
    write_bytes(path, text.encode())
