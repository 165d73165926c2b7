"""The command line's table of contents. Heavy modules load inside the commands."""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import typer
from typer.main import get_command

from . import guard
from .commands import (
    analyze,
    check,
    compare,
    demo,
    diagnose,
    gallery,
    init,
    learn,
    logs,
    report,
    reproduce,
    simulate,
    study,
    sweep,
    values,
    whittle,
)
from .completion import colons

NAME = "markov-entanglement"
#: Every command with an example; those below may use what those above write.
COMMANDS: dict[Callable[..., Any], str] = {
    demo.demo: "demo --out reports",
    init.init: "init system.toml --kind weakly-coupled",
    check.check: "check system.toml",
    analyze.analyze: "analyze system.toml --policy uniform --json result.json --html report.html",
    report.report: "report result.json -o again.html",
    compare.compare: "compare gallery:circulant index uniform optimal",
    values.values: "values gallery:circulant --csv values.csv",
    whittle.whittle: "whittle gallery:circulant-bandit --criterion average",
    simulate.simulate: "simulate gallery:circulant-bandit --option n_arms=1800 --steps 1000 -o path.npz",
    learn.learn: "learn gallery:health --policy whittle --learner lstd --steps 1e5 --csv learned.csv",
    diagnose.diagnose: "diagnose --env pettingzoo.classic:rps_v2 --policy uniform --steps 2e4 --json rps.json",
    study.study: "study gallery:circulant --steps 1e3,1e4 --picture study.png",
    sweep.sweep: "sweep grid.toml --runner processes --store sweep.jsonl --csv cells.csv --html sweep.html",
    logs.logs: "logs trips.csv --agents driver_id --states cell,status --html logs.html",
    reproduce.reproduce: "reproduce figure3 --quick --out figures",
}
GALLERY = {gallery.gallery: "gallery", gallery.show: "gallery show circulant"}
STATUS = (
    "0 done, whatever the verdict; 2 a mistake of yours, told in one line;",
    "1 an internal fault; 130 interrupted.",
)


def _foot(example: str) -> str:
    """What stands below the options in a help text."""
    return "\n".join(
        ["\b", "Example:", f"  {NAME} {example}", "", "\b", "Exit status:", *(f"  {s}" for s in STATUS)]
    )


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        typer.echo(__version__)
        raise typer.Exit()


app = typer.Typer(
    name=NAME,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_foot("analyze gallery:circulant"),
)
for command, example in COMMANDS.items():
    app.command(epilog=_foot(example))(command)
shelf = typer.Typer(help="Named systems with known numbers.", rich_markup_mode=None)
shelf.callback(invoke_without_command=True, epilog=_foot(GALLERY[gallery.gallery]))(gallery.gallery)
shelf.command(epilog=_foot(GALLERY[gallery.show]))(gallery.show)
app.add_typer(shelf, name="gallery")


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an internal fault."),
    version: bool = typer.Option(
        False, "--version", help="Show the version and stop.", is_eager=True, callback=_version
    ),
) -> None:
    """May I add up local values, Q ~ sum of Q_i(s_i, a_i), and how wrong will the sum be?"""
    guard.DEBUG = debug


@cache
def _tree() -> Any:
    """All commands with their options; building them takes a tenth of a second."""
    return get_command(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (0, 1, 2 or 130)."""
    words = list(sys.argv[1:] if argv is None else argv)
    guard.COMMAND = shlex.join([NAME, *words])
    try:
        with colons():
            _tree()(words, prog_name=NAME)
    except SystemExit as e:
        if isinstance(e.__context__, BrokenPipeError):  # the reader of a help text has closed it
            return 0
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    except OSError as e:
        return guard.unwritten(e)
    return 0


def run() -> None:
    """Entry point; letters that the terminal's encoding lacks are written as their numbers."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    status = main()
    try:
        sys.stdout.flush()
    except OSError as e:
        status = status or guard.unwritten(e)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing more is tried when Python ends
    sys.exit(status)
