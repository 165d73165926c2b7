"""What pictures have in common: labels that fit, rows, bars, legends, ticks.

Colours and sizes come from matplotlib's settings, the page's own or the user's; nothing touches pyplot.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from .facts import elide, even

#: Larger numbers are not drawn: axes would overflow.
LARGEST = 1e100
MARKERS = "osD^vP"
SMALL = "small"
#: The label of legends that stand above their picture.
ABOVE = "above"
MOST_SERIES = len(MARKERS)


@dataclass(frozen=True)
class Drawn:
    """Words on a picture: what was left out, or why there is none; its main numbers; the height that it needs."""

    note: str = ""
    says: str = ""
    height: float = 0.0


def worst_first(column: dict[str, float]) -> list[str]:
    """Agents, the most entangled first, those equal up to rounding in their own order."""
    return sorted(column, key=lambda who: -even(0.0 if (e := column[who]) != e else e))


def at(x: float | None) -> float:
    """Where to draw a number; NaN, which is not drawn, where there is none."""
    return float("nan") if x is None or abs(x) >= LARGEST else x


def label(name: str, width: int) -> str:
    """A name for a picture, of about `width` letters; wide letters count double, for axes must not lose their room."""
    size = sum(1 + (c in "MWmw@%" or unicodedata.east_asian_width(c) in "WF") for c in name)
    return words(elide(name, max(width * len(name) // size, 4) if size > width else width))


def words(text: str) -> str:
    """Text that matplotlib shows as it is, whatever the user's settings say of formulas."""
    return text.replace("$", r"\$") if rcParams["text.parse_math"] else text


def bars(axes: Axes, sizes: list[float], words: list[str]) -> None:
    """Bars from the top, each with a word at its end."""
    axes.barh(range(len(sizes)), sizes, height=0.62, color="C0")
    for k, (size, word) in enumerate(zip(sizes, words, strict=True)):
        axes.text(size + 0.015 * max(sizes), k, word, va="center", fontsize=SMALL)
    axes.set_xlim(0, 1.2 * max(sizes))


def legend(axes: Axes, columns: int) -> None:
    """Above the picture."""
    left = -0.1 if columns > 2 else 0
    found = axes.legend(ncols=columns, loc="lower left", bbox_to_anchor=(left, 1.0), borderpad=0, handletextpad=0.3,
                        columnspacing=1.2)  # fmt: skip
    found.set_label(ABOVE)


def few_ticks(axis: Any, ratio: float) -> None:
    """Labels of a log axis: decades, and 2 and 5 between them where there are few."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ratio < 100 else (1.0,), numticks=5))
    axis.set_minor_locator(NullLocator())


def height_of(rows: int) -> float:
    """Inches that so many labelled rows need."""
    return 1.05 + 0.25 * rows


def rows_of(axes: Axes, labels: list[str]) -> None:
    """One labelled row each, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.spines["left"].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(True)
