"""Reading and writing files. Writes are atomic: a temporary file beside the target, then a rename."""

from __future__ import annotations

import csv
import io
import os
import secrets
import stat
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import InvalidInput

_UNREADABLE = (
    OSError, ValueError, TypeError, EOFError, KeyError, SyntaxError, NotImplementedError, MemoryError, RuntimeError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def target_of(path: str | Path, name: str = "path") -> Path:
    """The file that a write to `path` changes: links are followed, pipes and devices stay as they are.

    Folders, block devices, circles of links and read-only files (also for root) are refused.
    """
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return Path(os.path.realpath(path))
    except OSError as e:
        rule = f"it cannot be written ({e.strerror})"
        raise InvalidInput(name, str(path), rule, "Choose another.") from None
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return Path(path)
    why = "a folder" if stat.S_ISDIR(mode) else "" if stat.S_ISREG(mode) else "no regular file"
    if not why and not (mode & 0o222 and os.access(path, os.W_OK)):
        why = "read-only"
    if why:
        raise InvalidInput(name, str(path), f"it cannot be written: it is {why}", "Name another file.")
    return Path(os.path.realpath(path))


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` so that a reader sees the old file or the whole new one, never a part.

    A link is followed, and the mode of an old file kept; a pipe or a device is written into, never replaced.
    """
    target = target_of(path)
    beside = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        old = target.stat().st_mode if target.exists() else None
        if old is not None and not stat.S_ISREG(old):
            target.write_bytes(data)
            return
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if old is None else 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        if old is not None:
            with suppress(OSError):  # some file systems have no modes
                beside.chmod(stat.S_IMODE(old))
        beside.replace(target)
    except BaseException as e:
        beside.unlink(missing_ok=True)
        if isinstance(e, OSError):
            rule = f"it cannot be written, or its folder cannot ({e.strerror})"
            raise InvalidInput("path", str(path), rule, "Create the folder, or choose another path.") from e
        raise


def read_bytes(path: Path) -> bytes:
    """The content of a file."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as e:
        rule = f"it must be a file that can be read ({getattr(e, 'strerror', e)})"
        raise InvalidInput(str(path), "nothing readable", rule, "Check the path.") from None


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as e:
        got = f"bytes that are no UTF-8 text (at byte {e.start})"
        raise InvalidInput(str(path), got, "it must be a text file in UTF-8", "Save it as UTF-8.") from None


def read_npz(name: str, path: Path) -> dict[str, Any]:
    """Arrays of an `.npz` file, never unpickled; `name` is the argument to blame."""
    import numpy as np

    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("not a zip archive")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {k: archive[k] for k in archive.files}
    except FileNotFoundError as e:
        raise InvalidInput(name, f"no file {path}", "it must exist", "Check the name.") from e
    except _UNREADABLE as e:
        got = f"{path.name}, which cannot be read ({' '.join(str(e).split())[:120]})"
        rule = "it must be an .npz without pickled objects"
        raise InvalidInput(name, got, rule, "Save it again with numpy.savez.") from e


def write_text(path: str | Path, text: str) -> None:
    """UTF-8 text, atomically."""
    write_bytes(path, text.encode())


def csv_text(columns: Mapping[str, Sequence[Any]]) -> str:
    """Columns by their names as CSV: every digit of a number, nothing where there is none.

    >>> csv_text({"agent": ["a", "b"], "value": [0.1, float("nan")]})
    'agent,value\\na,0.1\\nb,\\n'
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if x != x else x for x in row] for row in zip(*columns.values(), strict=True))
    return out.getvalue()
