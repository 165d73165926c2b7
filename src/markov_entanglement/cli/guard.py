"""Exit status: 0 done, 2 the user's mistake, 1 internal fault, 130 interrupted."""

from __future__ import annotations

import functools
import os
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, TypeVar

import typer

from .._files import ending_of, target_of
from .._progress import watched
from ..errors import REPORT_IT, InvalidInput, NoConvergence, TooLarge, UserError

DEBUG = False
#: The call as the user typed it, recorded in results.
COMMAND = ""
#: What an option writes, and its endings.
ENDINGS = {
    "--json": ("a result", ".json"),
    "--html": ("a page", ".html", ".htm"),
    "--csv": ("a table", ".csv", ".txt"),
    "--picture": ("a picture", ".svg", ".png"),
}
_SAVED: list[Path] = []
_F = TypeVar("_F", bound=Callable[..., Any])


def guarded(command: _F) -> _F:
    """Turn what escapes from a command into one message and an exit status."""

    @functools.wraps(command)
    def inner(*args: Any, **kwargs: Any) -> Any:
        _SAVED.clear()
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:  # the reader of our output has closed it, as `| head` does
            _mute()
            raise typer.Exit(0) from None
        except (Exception, KeyboardInterrupt) as e:
            raise typer.Exit(_told(e)) from None

    return inner  # type: ignore[return-value]


def _told(error: BaseException) -> int:
    """Say in one line what went wrong; the exit status."""
    if isinstance(error, OSError) and error.filename is None:
        return unwritten(error)
    if isinstance(error, KeyboardInterrupt):
        saved = ", ".join(map(str, _SAVED)) or "nothing"
        typer.echo(f"interrupted; saved: {saved}", err=True)
        return 130
    if isinstance(error, MemoryError):
        helps = "Analyse fewer agents or states, or a part: see the sizes of markov-entanglement check."
        error = TooLarge("memory", "a request for more than there is", "what this machine has", helps)
    mistake = error if isinstance(error, UserError | NoConvergence) else _environment(error)
    if mistake is not None:
        typer.echo(f"error: {mistake}", err=True)
        return 2
    if DEBUG:
        traceback.print_exception(error)
    typer.echo(f"internal fault: {type(error).__name__}: {error}. {REPORT_IT}", err=True)
    return 1


def _environment(error: BaseException) -> UserError | None:
    """The mistake behind a library that does not load: variables of the environment that it cannot read."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    library = str(frame.f_globals.get("__name__")).partition(".")[0]
    prefix = {"matplotlib": "MPL", "numba": "NUMBA_"}.get(library)
    names = [name for name in os.environ if prefix and name.startswith(prefix)]
    if not names or not isinstance(error, ValueError):
        return None
    got = ", ".join(f"{name}={os.environ[name]}" for name in names)
    rule = f"{library} does not start so ({str(error).partition(';')[0]})"
    return InvalidInput("environment", got, rule, f"Run: unset {' '.join(names)}")


def unwritten(error: OSError) -> int:
    """Say that standard output takes nothing; the exit status."""
    with suppress(OSError):
        got, rule = str(error.strerror), "it must take what this command prints"
        typer.echo(f"error: {InvalidInput('standard output', got, rule, 'Send it elsewhere.')}", err=True)
    return 2


def _mute() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print; a reader that has gone does not stop the command, which may have files to write."""
    try:
        typer.echo(text)
    except BrokenPipeError:
        _mute()


def keep(path: Path) -> None:
    """Record a written file, which an interrupt would name."""
    _SAVED.append(path)


def tell(text: str, files: Iterable[tuple[Path | None, Callable[[Path], None]]]) -> None:
    """Write the files that were asked for, before the text, whose reader may go; the text comes whatever can be written."""
    lines = [text]
    try:
        for path, save in files:
            if path is not None:
                save(path)
                keep(path)
                lines.append(f"wrote {path}")
    finally:
        say("\n".join(lines))


def saved(path: Path) -> None:
    """Record and announce a written file."""
    keep(path)
    say(f"wrote {path}")


def writable(option: str, path: Path, *taken: Path) -> None:
    """Refuse a file that cannot be written, before anything is computed; `taken` are inputs and other outputs."""
    if str(path) == "-":
        raise InvalidInput(option, "'-'", "it must be a file, not standard output", "Name a file.")
    target = target_of(path, option)
    if target.exists():
        if not target.is_file():  # a pipe or a device
            return
        if os.path.samestat(target.stat(), os.fstat(1)):
            raise InvalidInput(option, str(path), "this command prints there", "Name another file.")
    for other in taken:
        same = target.exists() and other.exists() and target.samefile(other)
        if same or target == Path(os.path.realpath(other)):
            rule = f"this command reads or writes {other}"
            raise InvalidInput(option, str(path), rule, "Name another file.")
    if option in ENDINGS:
        ending_of(path, *ENDINGS[option], name=option)
    folder = target.parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        remedy = f"Create it: mkdir -p {shlex.quote(str(folder))}"
        raise InvalidInput(option, str(path), f"the folder {folder} does not exist", remedy)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidInput(option, str(path), f"the folder {folder} must be writable", "Choose another.")


def outputs(named: Mapping[str, Path | None], taken: Sequence[Path]) -> None:
    """Refuse outputs, by their options, that cannot be written or that would overwrite inputs or each other."""
    known = list(taken)
    for option, path in named.items():
        if path is not None:
            writable(option, path, *known)
            known.append(path)


def working(what: str) -> AbstractContextManager[None]:
    """Share and time on stderr while something long runs; nothing when it is not a terminal."""
    return watched(what=what)
