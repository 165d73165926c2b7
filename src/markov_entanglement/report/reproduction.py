"""The reproduction of the paper's experiment as pictures and as one self-contained HTML page."""

from __future__ import annotations

import math
from io import BytesIO
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from .. import __version__
from .canvas import GRID, SERIES, page, settings, svg
from .html import marked

if TYPE_CHECKING:
    from ..studies.result import Panel, Point, Series, Study

_WIDTH, _HEIGHT = 5.2, 3.5


def render(studies: tuple[Study, ...], *, quick: bool) -> str:
    """The page, a whole HTML document: each curve beside what the paper states."""
    return page(
        "reproduction.html.j2",
        {"tied": lambda text: Markup(marked(text).replace(" = ", "\u00a0=\u00a0"))},
        studies=studies,
        drawn={s.key: [Markup(_panel_svg(s, p)) for p in s.panels] for s in studies},
        settings={s.key: _words(s.settings) for s in studies},
        stated=[(s, f) for s in studies for f in s.facts if f.agrees is not None],
        quick=quick,
        version=__version__,
    )


def pictures(study: Study) -> dict[str, bytes]:
    """The whole figure as stand-alone files, by kind: "svg" and "png"."""
    with settings():
        figure = _figure(study, "none")
        vector = svg(figure, study.key, study.title)
        figure = _figure(study, "white")
        raster = BytesIO()
        FigureCanvasAgg(figure)
        figure.savefig(raster, format="png", dpi=150, metadata={"Software": None})
    return {"svg": f"{vector.strip()}\n".encode(), "png": raster.getvalue()}


def _figure(study: Study, face: str) -> Figure:
    rows = (len(study.panels) + 1) // 2
    figure = Figure(figsize=(2 * _WIDTH, rows * (_HEIGHT + 0.2)), layout="constrained", facecolor=face)
    for axes, panel in zip(figure.subplots(rows, 2, squeeze=False).ravel(), study.panels, strict=True):
        axes.set_facecolor("none")
        draw(axes, panel)
        axes.set_title(panel.title)
    return figure


def _panel_svg(study: Study, panel: Panel) -> str:
    with settings():
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained", facecolor="none")
        draw(figure.add_subplot(facecolor="none"), panel)
        return svg(figure, f"{study.key} {panel.quantity}", panel.title)


def draw(axes: Axes, panel: Panel) -> None:
    """Fill one pair of axes: estimates with their intervals, exact points on lines, predictions dashed."""
    if panel.log or panel.log_x:
        axes.set_xscale("log")
    if panel.log:
        axes.set_yscale("log")
    place = attrgetter(panel.against)
    stems = [s.label.removesuffix(", exact").removesuffix(", simulated") for s in panel.series]
    looks = dict(zip(dict.fromkeys(stems), SERIES, strict=False))
    for k, (s, stem) in enumerate(zip(panel.series, stems, strict=True)):
        _draw_series(axes, s, place, *looks[stem], panel.log, 6.0 if k == 0 else 4.0)
    _draw_prediction(axes, panel, place)
    for label, height in panel.levels:
        axes.axhline(height, color=GRID, lw=1.0, ls="-.", label=label)
    for label, x in panel.marks:
        axes.axvline(x, color=GRID, lw=1.0, ls=":")
        axes.annotate(label, (x, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -3),
                      textcoords="offset points", va="top", fontsize=8)  # fmt: skip
    if not (panel.log or panel.log_x):
        axes.set_ylim(bottom=0)
    _ticks(axes, panel, place)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    axes.grid(True)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.2), ncols=2, borderpad=0, borderaxespad=0,
                handletextpad=0.5, labelspacing=0.35, columnspacing=1.5)  # fmt: skip


def _draw_series(
    axes: Axes, series: Series, place: Any, colour: str, marker: str, log: bool, size: float
) -> None:
    """Exact points are joined and hollow; simulated ones have bars."""
    shown = [p for p in series.points if p.value > 0 or not log]
    x, y = [place(p) for p in shown], [p.value for p in shown]
    if series.label.endswith(", exact"):
        axes.plot(x, y, color=colour, lw=1.2, marker=marker, ms=4, mfc="none", label=series.label)
        return
    bars = [[_reach(p, p.low, log) for p in shown], [_reach(p, p.high, log) for p in shown]]
    axes.errorbar(x, y, yerr=bars, color=colour, marker=marker, ms=size, lw=0, elinewidth=1.2, capsize=2.5,
                  label=series.label)  # fmt: skip
    unseen = [place(p) for p in series.points if p.value <= 0 and log]
    if unseen:
        at = [0.03 if marker == "s" else 0.08] * len(unseen)
        axes.plot(unseen, at, ls="none", marker=marker, ms=4.5, color=colour, mfc="none",
                  transform=axes.get_xaxis_transform(), clip_on=False)  # fmt: skip
        axes.annotate("no error met", (min(unseen), 0.11), xycoords=("data", "axes fraction"), fontsize=8,
                      ha="left", va="bottom")  # fmt: skip


def _reach(p: Point, end: float, log: bool) -> float:
    """Length of an error bar; on a log axis the lower one stays above zero."""
    if math.isnan(end):
        return 0.0
    length = abs(end - p.value)
    return min(length, 0.95 * p.value) if log and end < p.value else length


def _draw_prediction(axes: Axes, panel: Panel, place: Any) -> None:
    if not panel.prediction:
        return
    known = {place(p): p.prediction for s in panel.series for p in s.points if not math.isnan(p.prediction)}
    x = sorted(known)
    if panel.against == "N" and len(x) > 1 and not panel.log:
        # All predictions are powers of N: a smooth curve through the first and the last point.
        b = math.log(known[x[-1]] / known[x[0]]) / math.log(x[-1] / x[0])
        dense = [x[0] + (x[-1] - x[0]) * k / 60 for k in range(61)]
        known, x = {t: known[x[0]] * (t / x[0]) ** b for t in dense}, dense
    axes.plot(x, [known[t] for t in x], color="#57606a", lw=1.2, ls="--", label=panel.prediction, zorder=1)


def _ticks(axes: Axes, panel: Panel, place: Any) -> None:
    places = sorted({place(p) for s in panel.series for p in s.points})
    if panel.log or panel.log_x:
        kept = [places[-1]]
        for x in reversed(places[:-1]):
            if kept[-1] / x > 1.45:
                kept.append(x)
        places = kept[::-1]
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_minor_locator(axes.xaxis.get_major_locator())
    axes.set_xticks(places, [f"{x:g}" for x in places])
    if panel.log:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        low, high = axes.get_ylim()
        axes.yaxis.set_minor_formatter(NullFormatter() if high / low > 30 else FuncFormatter(_few))


def _few(y: float, _: Any) -> str:
    """Labels of minor ticks at 2 and 5 only."""
    digit = round(y / 10 ** math.floor(math.log10(y)), 6)
    return f"{y:g}" if digit in (2.0, 5.0) else ""


def _words(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    out = []
    for name, v in value.items():
        if isinstance(v, dict):
            out += _words(v, f"{name}: ")
        else:
            text = ", ".join(f"{x:g}" for x in v) if isinstance(v, tuple | list) else f"{v:,}"
            out.append((prefix + name.replace("_", " "), text))
    return out
