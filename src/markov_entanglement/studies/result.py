"""What an experiment leaves: panels of series of points, and the facts that they were held against.

A `Study` is all that the CSV, the pictures and the page are made from.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.special import stdtrit

from .._json import plain

COLUMNS = ("N", "value", "stderr", "estimator", "prediction", "quantity", "samples", "low", "high")


@dataclass(frozen=True)
class Point:
    """One number of a curve at N arms: the estimate, its standard error (0 when exact) and 95 % interval, the limit
    constant's value there, and the steps of data behind it, 0 when these do not vary. What does not exist is NaN."""

    N: int
    value: float
    stderr: float = math.nan
    low: float = math.nan
    high: float = math.nan
    prediction: float = math.nan
    samples: int = 0

    @classmethod
    def around(cls, N: int, value: float, stderr: float, degrees: int, **beside: Any) -> Point:
        """With the t-interval of a mean."""
        half = float(stdtrit(degrees, 0.975)) * stderr
        return cls(N, value, stderr, max(value - half, 0.0), value + half, **beside)

    @classmethod
    def exact(cls, N: int, value: float, *, prediction: float = math.nan) -> Point:
        """Without an error of estimation."""
        return cls(N, value, 0.0, value, value, prediction)


@dataclass(frozen=True)
class Series:
    """A curve: `label` for the legend, `estimator` for the record."""

    label: str
    estimator: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    `quantity` is the CSV's, `against` "N" or "samples", `prediction` the label of the predicted curve, "" for none;
    `log`: both axes logarithmic, `log_x`: the horizontal one alone; `levels` are (label, height) of horizontal lines,
    `marks` (label, place) of vertical ones.
    """

    quantity: str
    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    against: str = "N"
    prediction: str = ""
    log: bool = False
    log_x: bool = False
    levels: tuple[tuple[str, float], ...] = ()
    marks: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Fact:
    """What is stated, what was found, and whether they agree (None: nothing to agree with).

    `why` says where the two differ and the reason, or how to read the number.
    """

    stated: str
    found: str
    agrees: bool | None
    why: str = ""


@dataclass(frozen=True)
class Table:
    """A small table of the page; cells are text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Study:
    """One figure: its key "figure1" .. "figure4", words, settings as a dict, panels, facts and tables."""

    key: str
    title: str
    summary: str
    settings: dict[str, Any]
    panels: tuple[Panel, ...]
    facts: tuple[Fact, ...]
    tables: tuple[Table, ...] = field(default=())

    def csv(self) -> str:
        """The figure's numbers: `N,value,stderr,estimator,prediction`, then what else is known."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for panel in self.panels:
            for s in panel.series:
                for p in s.points:
                    writer.writerow([p.N, _cell(p.value), _cell(p.stderr), s.estimator, _cell(p.prediction),
                                     panel.quantity, p.samples or "", _cell(p.low), _cell(p.high)])  # fmt: skip
        return out.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        return dict(plain(asdict(self)))


def _cell(x: float) -> str:
    return "" if math.isnan(x) else f"{x:.10g}"


def power(points: tuple[Point, ...]) -> tuple[float, float]:
    """Exponent b of `value ~ N^b` and the half width of its 95 % interval, by weighted least squares on logs.

    Weights are the relative standard errors; needs at least two points with a positive value and error.

    >>> from markov_entanglement.studies.result import Point, power
    >>> power(tuple(Point(n, 3 * n**0.5, 0.01) for n in (100, 200, 400)))[0].__round__(6)
    0.5
    """
    x = np.log([p.N for p in points])
    y = np.log([p.value for p in points])
    w = np.array([p.value / p.stderr for p in points]) ** 2
    x = x - (w @ x) / w.sum()
    spread = float(w @ x**2)
    return float((w * x) @ y) / spread, 1.96 / math.sqrt(spread)
