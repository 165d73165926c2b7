"""Exit status: 0 done, 2 the user's mistake, 1 internal fault, 130 interrupted."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import typer

from ..errors import NoConvergence, UserError

DEBUG = False
#: The call as the user typed it, recorded in results.
COMMAND = ""
_SAVED: list[Path] = []
_F = TypeVar("_F", bound=Callable[..., Any])


def guarded(command: _F) -> _F:
    """Turn what escapes from a command into one message and an exit status."""

    @functools.wraps(command)
    def inner(*args: Any, **kwargs: Any) -> Any:
        _SAVED.clear()
        try:
            return command(*args, **kwargs)
        except (UserError, NoConvergence) as e:
            typer.echo(f"error: {e}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            saved = ", ".join(map(str, _SAVED)) or "nothing"
            typer.echo(f"interrupted; saved: {saved}", err=True)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of our output has closed it, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort):
            raise
        except Exception as e:
            if DEBUG:
                traceback.print_exc()
            typer.echo(
                f"internal fault: {type(e).__name__}: {e}. Please report it with the command that you ran; "
                "--debug shows the traceback.",
                err=True,
            )
            raise typer.Exit(1) from None

    return inner  # type: ignore[return-value]


def saved(path: Path) -> None:
    """Record and announce a written file."""
    _SAVED.append(path)
    typer.echo(f"wrote {path}")


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on stderr while something long runs; none when it is not a terminal."""
    if sys.stderr.isatty():
        from rich.console import Console

        context: Any = Console(stderr=True).status(what)
    else:
        context = nullcontext()
    with context:
        yield
