"""Arguments and options that several commands take, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from .completion import any_of, policies, systems
from .subject import POLICY_HELP, SYSTEM_HELP

#: The names of the library's distances, which would load numpy.
DISTANCES = ("mu-atv", "atv", "policy", "kernel", "tv", "mu-tv", "spectral")

System = Annotated[str, Argument(metavar="SYSTEM", help=SYSTEM_HELP, autocompletion=systems)]
Policy = Annotated[str | None, Option("--policy", help=POLICY_HELP, autocompletion=policies)]
Initial = Annotated[str | None, Option("--initial", help="Start in this joint state: 0,2,1 or names.")]
Discount = Annotated[float | None, Option("--discount", help="gamma in [0, 1).")]
Distances = Annotated[
    list[str] | None,
    Option(
        "--distance",
        help=f"{', '.join(DISTANCES[:-1])} or {DISTANCES[-1]}; repeatable; else all that fit.",
        autocompletion=any_of(*DISTANCES),
    ),
]
METHODS = ("auto", "exact", "simulate")
Method = Annotated[
    str,
    Option(
        "--method",
        help=f"{METHODS[0]}, {METHODS[1]} or {METHODS[2]}, by runs.",
        autocompletion=any_of(*METHODS),
    ),
]
Seed = Annotated[int, Option("--seed", min=0, help="Of all that is random: the same seed, the same result.")]
BurnIn = Annotated[int, Option("--burn-in", min=0, help="Steps dropped before them.")]
Json = Annotated[Path | None, Option("--json", help="Write the result to this file (not -).")]
Csv = Annotated[Path | None, Option("--csv", help="Write the table to this file (not -).")]
