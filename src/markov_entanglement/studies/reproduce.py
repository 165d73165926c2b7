"""The paper's experiment (Section 7.2.1, Appendix K) from settings to files: CSV, pictures and one page.

Every figure draws from its own streams of random numbers, so that `figure2` alone gives the bytes that it has
among `all`, whatever the number of workers. Every file is written at once or not at all; what is finished is on
disk before the next figure begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .. import _check
from .._files import own_folder, write_bytes, write_text
from .._progress import Progress, reporting, stage
from .._random import seed_of
from .._types import RNG
from ..report import reproduction as page
from ..report.result import Result
from ..report.table import Table, table
from . import errors, figure1, figure2, figure3, figure4
from .result import Study

FIGURES = ("figure1", "figure2", "figure3", "figure4")


@dataclass(frozen=True, eq=False, repr=False)
class Reproduction(Result):
    """What was computed and where it was saved.

    Attributes
    ----------
    studies : one `Study` per figure, in order.
    files : every file written, the page last.
    quick : whether the small settings were used.
    """

    studies: tuple[Study, ...]
    files: tuple[Path, ...]
    quick: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        return {
            "quick": self.quick,
            "figures": {s.key: s.to_dict() for s in self.studies},
            "files": [str(f) for f in self.files],
        }

    @property
    def sentence(self) -> str:
        """How many of the paper's statements were met, and where the files are."""
        stated = [f.agrees for s in self.studies for f in s.facts if f.agrees is not None]
        where = self.files[-1].parent if self.files else "nowhere"
        return f"{sum(stated)} of {len(stated)} statements of the paper agree; {len(self.files)} files are in {where}."

    def _brief(self) -> str:
        return f"{', '.join(s.key for s in self.studies)}; {len(self.files)} files"

    def _tables(self) -> Iterator[Table]:
        columns = {
            "figure": "figure of the paper", "quantity": "what is shown", "series": "curve", "N": "number of arms",
            "samples": "steps of data, where they vary", "value": "the number", "stderr": "its standard error",
            "low": "lower limit", "high": "upper limit", "prediction": "by the limit constants",
            "estimator": "how it was obtained",
        }  # fmt: skip
        rows = [
            (s.key, panel.quantity, line.label, p.N, p.samples, p.value, p.stderr, p.low, p.high, p.prediction,
             line.estimator)
            for s in self.studies for panel in s.panels for line in panel.series for p in line.points
        ]  # fmt: skip
        yield table("figures", "Points of the figures", columns, rows, 5)


@reporting("reproducing")
def reproduce(
    figure: str = "all",
    *,
    out: str | Path,
    quick: bool = False,
    rng: RNG = 0,
    workers: int | None = None,
    saved: Callable[[Path], None] | None = None,
    progress: Progress | bool | None = None,
) -> Reproduction:
    """Recompute the figures of Chen & Peng (arXiv 2506.02385), Section 7.2.1 and App. K, and write them down.

    Parameters
    ----------
    figure : "figure1" (N E_1 and error against N), "figure2" (error and relative error, bias and noise apart),
        "figure3" (both against the data), "figure4" (corrected values, not in the paper), or "all".
    out : folder, made if it does not exist. Written: `figureK.csv` (`N,value,stderr,estimator,prediction`, then
        `quantity,samples,low,high`), `figureK.svg`, `figureK.png`, and `index.html` for the figures asked for.
    quick : smaller sizes and fewer runs, a few seconds; otherwise the paper's.
    rng : seed or numpy Generator; the same seed gives the same bytes for any number of workers.
    workers : threads over runs.
    saved : called with the path of every file once it is written.
    progress : see `analyze`.

    Raises
    ------
    InvalidInput : an unknown figure, or a folder that cannot be made or written.

    >>> import tempfile, markov_entanglement as me
    >>> from markov_entanglement.studies.reproduce import reproduce
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = reproduce("figure3", out=folder, quick=True)
    >>> done.studies[0].facts[0].agrees, done.files[-1].name
    (True, 'index.html')
    """
    _check.choice("figure", figure, (*FIGURES, "all"))
    quick = _check.flag("quick", quick)
    if workers is not None:
        _check.integer("workers", workers, low=1)
    folder, seed = own_folder(out, "out"), seed_of(rng)
    keys = FIGURES if figure == "all" else (figure,)
    studies: list[Study] = []
    files: list[Path] = []

    def write(name: str, data: str | bytes) -> None:
        path = folder / name
        if isinstance(data, str):
            write_text(path, data)
        else:
            write_bytes(path, data)
        files.append(path)
        if saved is not None:
            saved(path)

    run = _runners(quick, seed, workers)
    for k, key in enumerate(keys):
        with stage(key, k / len(keys), (k + 1) / len(keys)):
            study = run[key]()
        studies.append(study)
        write(f"{key}.csv", study.csv())
        for kind, picture in page.pictures(study).items():
            write(f"{key}.{kind}", picture)
    write("index.html", page.render(tuple(studies), quick=quick))
    return Reproduction(tuple(studies), tuple(files), quick)


def quick_figure1(
    out: str | Path, *, rng: Any = 0, workers: int | None = None, saved: Callable[[Path], None] | None = None
) -> Study:
    """Figure 1 with the small settings, as one page `figure1.html` in `out`; see `reproduce`."""
    folder = own_folder(out, "out")
    study = _runners(True, seed_of(rng), workers)["figure1"]()
    path = folder / "figure1.html"
    write_text(path, page.render((study,), quick=True))
    if saved is not None:
        saved(path)
    return study


def _runners(quick: bool, seed: int, workers: int | None) -> dict[str, Callable[[], Study]]:
    """How each figure is made; figures 1 and 2 share their errors."""

    @cache
    def shared() -> errors.Errors:
        return errors.run(errors.QUICK if quick else errors.PAPER, seed=seed, workers=workers)

    one, three, four = (m.QUICK if quick else m.PAPER for m in (figure1, figure3, figure4))
    return {
        "figure1": lambda: figure1.run(one, shared(), seed=seed, workers=workers),
        "figure2": lambda: figure2.run(shared()),
        "figure3": lambda: figure3.run(three, seed=seed, workers=workers),
        "figure4": lambda: figure4.run(four, seed=seed, workers=workers),
    }
