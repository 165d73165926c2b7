"""Reading and writing files. Writes are atomic: a temporary file beside the target, then a rename."""

from __future__ import annotations

import math
import os
import secrets
import stat
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import _tolerance as tol
from .errors import InvalidInput, TooLarge, UserError, gib, short

#: Near the top of every page of ours.
_OURS = b'<meta name="generator" content="markov-entanglement">'
#: Longest text that is read.
_MOST_BYTES = 2**28
_UNREADABLE = (
    OSError, ValueError, TypeError, EOFError, KeyError, OverflowError, SyntaxError, NotImplementedError, MemoryError,
    RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def path_of(path: Any, name: str = "path") -> Path:
    """A path that the user gave."""
    if not isinstance(path, str | os.PathLike) or "\0" in str(path) or not str(path):
        raise InvalidInput.kind(name, path, "a path", "E.g. 'file.toml'.")
    return Path(path)


def ending_of(path: Any, kind: str, *endings: str, name: str = "path") -> None:
    """Refuse a file whose ending says another kind than what is written into it."""
    file = path_of(path, name)
    if file.suffix and file.suffix.lower() not in endings and not (file.exists() and not file.is_file()):
        rule, near = f"{kind} ends in {' or '.join(endings)}", str(file.with_suffix(endings[0]))
        raise InvalidInput(name, str(path), rule, f"Did you mean {near!r}?")


def target_of(path: str | Path, name: str = "path") -> Path:
    """The file that a write to `path` changes: links are followed, pipes and devices stay as they are.

    Folders, block devices, circles of links and read-only files (also for root) are refused.
    """
    try:
        mode = path_of(path, name).stat().st_mode
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


def own_folder(path: Any, name: str) -> Path:
    """A folder for several files of ours, made where it is missing; one that holds others' pages is refused."""
    folder = path_of(path, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pages = [page.name for page in sorted(folder.glob("*.html")) if _OURS not in page.read_bytes()[:4096]]
    except OSError as e:
        rule = f"it must be a folder that can be made ({e.strerror})"
        raise InvalidInput(name, str(path), rule, "Choose another.") from None
    if pages:
        rule = "pages of ours are written there, and that one is another's"
        raise InvalidInput(name, f"{path} with {pages[0]}", rule, "Choose an empty folder.")
    return folder


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
    """The content of a file, which is not read beyond a limit."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as e:
        rule = f"it must be a file that can be read ({getattr(e, 'strerror', e)})"
        raise InvalidInput(str(path), "nothing readable", rule, "Check the path.") from None
    if len(data) > _MOST_BYTES:
        limit = gib(_MOST_BYTES)
        raise TooLarge(
            str(path), f"more than {limit}", limit, "Keep what is needed; arrays belong into an .npz."
        )
    return data


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark."""
    data = read_bytes(path)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidInput(
            str(path), "text in UTF-16", "it must be a text file in UTF-8", "Save it as UTF-8."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        got = f"a byte that is no UTF-8 in line {data.count(10, 0, e.start) + 1}"
        raise InvalidInput(str(path), got, "it must be a text file in UTF-8", "Save it as UTF-8.") from None


def read_npz(name: str, path: Path) -> dict[str, Any]:
    """Arrays of an `.npz` file, never unpickled, measured before they are read; `name` is the argument to blame."""
    import numpy as np

    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("not a zip archive")
            file.seek(0)
            _measure(name, path, file)
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {k: archive[k] for k in archive.files}
    except UserError:
        raise
    except FileNotFoundError as e:
        raise InvalidInput(
            name, f"no file {short(path.name)[1:-1]}", "it must exist", "Check the name."
        ) from e
    except _UNREADABLE as e:
        got = f"{path.name}, which cannot be read ({' '.join(str(e).split())[:120]})"
        rule = "it must be an .npz without pickled objects"
        raise InvalidInput(name, got, rule, "Save it again with numpy.savez.") from e


def _measure(name: str, path: Path, file: Any) -> None:
    """Refuse arrays of one name, and those that take too much memory by what their headers say."""
    from numpy.lib import format as npy

    with zipfile.ZipFile(file) as archive:
        found, total = archive.namelist(), 0
        twice = [k for j, k in enumerate(found) if k in found[:j]]
        if twice:
            got = f"{path.name} with two arrays {short(twice[0])}"
            raise InvalidInput(name, got, "names of arrays must differ", "Save it again with numpy.savez.")
        for member in found:
            with (
                archive.open(member) as array,
                suppress(ValueError, KeyError),
            ):  # no array: whoever reads it says so
                head = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
                shape, _, dtype = head[npy.read_magic(array)](array)
                total += math.prod(shape) * dtype.itemsize
    if total > tol.BYTES:
        raise TooLarge(
            name, f"{path.name} with {gib(total)} of arrays", gib(tol.BYTES), "Keep what is needed."
        )


def write_text(path: str | Path, text: str) -> None:
    """UTF-8 text, atomically; half a surrogate pair, as in names of files, is written as its number."""
    write_bytes(path, text.encode(errors="backslashreplace"))
