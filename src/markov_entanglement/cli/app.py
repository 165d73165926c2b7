"""The command line's table of contents. Heavy modules load inside the commands."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

import typer

from . import guard
from .commands import analyze, check, demo, gallery, init, report, reproduce

app = typer.Typer(
    name="markov-entanglement", rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True
)
for command in (demo.demo, analyze.analyze, report.report, init.init, check.check, reproduce.reproduce):
    app.command()(command)
app.add_typer(gallery.app, name="gallery")


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        typer.echo(__version__)
        raise typer.Exit()


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an internal fault."),
    version: bool = typer.Option(
        False, "--version", help="Show the version and stop.", is_eager=True, callback=_version
    ),
) -> None:
    """May I add up local values, Q ~ sum of Q_i(s_i, a_i), and how wrong will the sum be?"""
    guard.DEBUG = debug


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (0, 1, 2 or 130)."""
    words = list(sys.argv[1:] if argv is None else argv)
    guard.COMMAND = shlex.join(["markov-entanglement", *words])
    try:
        app(words, prog_name="markov-entanglement")
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    return 0


def run() -> None:
    """Entry point."""
    sys.exit(main())
