"""Pictures of a result, as matplotlib figures and as inline SVG.

Every `draw_*` fills one axes from the result dict and says what it left out. Nothing touches pyplot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from . import facts
from .canvas import BLUE, GRID, ORANGE, SERIES, settings, svg
from .facts import NOISE, elide, number, percent

WIDTH = 5.2
MOST_AGENTS, MOST_PARTNERS, MOST_PAIRS, MOST_CELLS_WITH_TEXT = 16, 24, 10, 8

Draw = Callable[[Axes, dict[str, Any]], str]


@dataclass(frozen=True)
class Picture:
    """An inline picture.

    Attributes
    ----------
    key : short name, e.g. "entanglement".
    title : what it shows, in words; also for screen readers.
    svg : the `<svg>` element, or "" when there is nothing to draw.
    note : what was left out, or why there is nothing to draw.
    """

    key: str
    title: str
    svg: str
    note: str


def pictures(result: dict[str, Any]) -> dict[str, Picture]:
    """All pictures of a result by key; the ones without data have an empty `svg` and a note."""
    result = facts.clean(result)
    return {
        key: _picture(key, title, draw, height, result) for key, (title, draw, height) in _PICTURES.items()
    }


def overview(result: dict[str, Any]) -> Figure:
    """Entanglement of each agent beside who explains it."""
    result = facts.clean(result)
    with settings():
        height = max(_agents_height(result), _heat_height(result), 2.6)
        figure = Figure(figsize=(2 * WIDTH, height + 0.3), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2)
        for axes, draw, title in ((left, draw_entanglement, "Entanglement of each agent"),
                                  (right, draw_partners, "Who explains whom")):  # fmt: skip
            note = draw(axes, result)
            axes.set_title(title, pad=22)
            if not axes.has_data():
                axes.set_axis_off()
                axes.text(0.0, 0.9, note, transform=axes.transAxes, va="top", wrap=True)
        figure.suptitle(elide(result["verdict"]["sentence"], 150), x=0.01, ha="left", fontsize=10)
        FigureCanvasSVG(figure)
        figure.draw_without_rendering()
    return figure


def _picture(
    key: str, title: str, draw: Draw, height: Callable[[dict[str, Any]], float], result: dict[str, Any]
) -> Picture:
    with settings():
        figure = Figure(figsize=(WIDTH, height(result)), layout="constrained", facecolor="none")
        axes = figure.add_subplot(facecolor="none")
        note = draw(axes, result)
        return Picture(key, title, svg(figure, key, title) if axes.has_data() else "", note)


def draw_entanglement(axes: Axes, result: dict[str, Any]) -> str:
    """(a) E_i of each agent, one marker a distance; numbers for all agents together as lines."""
    columns = facts.per_agent(result)
    single = [(k, e) for k, whom, e in facts.others(result) if whom == facts.TOGETHER and e is not None]
    if not columns and not single:
        return "No measure has a number for each agent."
    found = [e for c in columns.values() for e in c if e is not None] + [e for _, e in single]
    if max(found, default=0.0) < NOISE:
        return "Every measure is 0: nothing to draw."
    shown = facts.listed(result, MOST_AGENTS)
    who = facts.names(result)
    for (colour, marker), (distance, column) in zip(SERIES, columns.items(), strict=False):
        x = [float("nan") if (e := column[i]) is None else e for i in shown]
        axes.plot(x, range(len(shown)), marker, color=colour, ms=5.5, label=distance)
    for (colour, _), (distance, e) in zip(SERIES[::-1], single, strict=False):
        axes.axvline(e, color=colour, lw=1.2, ls="--", label=distance)
    _rows(axes, [elide(who[i], 26) for i in shown])
    axes.set_xlim(left=0, right=max(axes.get_xlim()[1], 0.01))
    axes.set_xlabel("entanglement (0 none, 1 complete)")
    axes.legend(
        ncols=4,
        loc="lower left",
        bbox_to_anchor=(-0.1, 1.0),
        borderpad=0,
        handletextpad=0.3,
        columnspacing=1.2,
    )
    n = len(who)
    return f"The {len(shown)} most entangled of {n} agents." if n > len(shown) else ""


def draw_pairs(axes: Axes, result: dict[str, Any]) -> str:
    """(b) The local pairs that carry most of E_i."""
    if not result.get("breakdown"):
        return "Contributions were not computed."
    every = facts.top_pairs(result, 10**9)
    top = every[:MOST_PAIRS]
    if not top:
        return "No local pair carries any entanglement."
    axes.barh(range(len(top)), [p.part for p in top], height=0.62, color=BLUE)
    right = top[0].part
    for k, p in enumerate(top):
        axes.text(p.part + 0.015 * right, k, percent(p.share), va="center", fontsize=8)
    _rows(axes, [f"{elide(p.who, 24)}: {elide(p.pair, 22)}" for p in top])
    axes.set_xlim(0, 1.2 * right)
    axes.set_xlabel("part of E_i (mu-atv) and its share")
    return f"The {len(top)} largest of {len(every)}." if len(every) > len(top) else ""


def draw_partners(axes: Axes, result: dict[str, Any]) -> str:
    """(c) Heat map: share of agent i's E_i (row) that agent j's pair (column) explains."""
    found = result.get("breakdown")
    if not found:
        return "Partners were not measured."
    shown = sorted(facts.worst_first(result)[:MOST_PARTNERS])
    share = [[facts.explained(found["remaining"], i, j) for j in shown] for i in shown]
    top = max((s for row in share for s in row if s is not None), default=None)
    if top is None:
        return "One agent alone: nobody to explain it." if len(shown) < 2 else "No agent is entangled."
    grid = [[float("nan") if s is None else 100 * s for s in row] for row in share]
    full = 100 if top > 0.5 else 50
    mesh = axes.pcolormesh(grid, cmap="Blues", vmin=0, vmax=full, edgecolors=GRID, linewidth=0.3)
    axes.figure.colorbar(mesh, ax=axes, label="% of E_i explained", shrink=0.85, pad=0.02)
    if len(shown) <= MOST_CELLS_WITH_TEXT:
        _cell_texts(axes, share, 0.5 * full / 100)
    who = [elide(facts.names(result)[i], 18) for i in shown]
    middle = [k + 0.5 for k in range(len(shown))]
    long = max(map(len, who)) * len(who) > 45
    axes.set_xticks(middle, who, rotation=90 if long else 0, fontsize=8)
    axes.set_yticks(middle, who, fontsize=8)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("entangled agent")
    axes.set_xlabel("whose pair is added to its key")
    n = facts.units(result)
    return f"The {len(shown)} most entangled of {n} agents." if n > len(shown) else ""


def _cell_texts(axes: Axes, share: list[list[float | None]], dark_from: float) -> None:
    for i, row in enumerate(share):
        for j, s in enumerate(row):
            if s is not None:
                axes.text(j + 0.5, i + 0.5, f"{100 * s:.0f}", ha="center", va="center", fontsize=8.5,
                          color="#ffffff" if s > dark_from else "#111111")  # fmt: skip


def draw_bounds(axes: Axes, result: dict[str, Any]) -> str:
    """(d) Bounds and the truths that they bound, log scale."""
    rows = [(b, b.bound, b.truth or 0.0) for b in facts.bound_rows(result) if b.bound is not None]
    if not rows:
        return "There are no bounds without values."
    rows = [(b, bound, truth) for b, bound, truth in rows if bound >= NOISE]
    if not rows:
        return "Every bound is 0: nothing to draw on a log scale."
    if all(truth < NOISE for _, _, truth in rows):
        return "Every true error is 0: nothing to draw on a log scale."
    for k, (b, bound, truth) in enumerate(rows):
        if truth >= NOISE:
            axes.plot([truth, bound], [k, k], color=GRID, lw=1.4, zorder=1)
            axes.plot(truth, k, "o", color=BLUE, ms=5.5)
        axes.plot(bound, k, "|", color=ORANGE, ms=11, mew=2.2)
        word = f"  {b.ratio}×" if b.ratio[0].isdigit() else f"  {b.ratio}"
        axes.annotate(word, (bound, k), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    sizes = [x for _, bound, truth in rows for x in (bound, truth) if x >= NOISE]
    axes.set_xlim(min(sizes) / 3, max(sizes) * (3 * max(sizes) / min(sizes)) ** 0.3)
    axes.plot([], [], "o", color=BLUE, ms=5.5, label="truth")
    axes.plot([], [], "|", color=ORANGE, ms=11, mew=2.2, label="bound")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    short = [f"{b.name.replace('Theorem', 'Thm').replace(' with ', ', ')} [{b.norm}]" for b, _, _ in rows]
    _rows(axes, [elide(s, 36) for s in short])
    axes.set_xlabel("error of the sum, reward units")
    axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0), borderpad=0, handletextpad=0.3)
    return ""


def draw_certificate(axes: Axes, result: dict[str, Any]) -> str:
    """(e) The two-sided certificate against the number of steps k."""
    table = result.get("certificate") or {}
    for (colour, marker), (norm, intervals) in zip(SERIES, table.items(), strict=False):
        known = sorted((int(k), l, h) for k, (l, h) in intervals.items() if l is not None and h is not None)
        if not known:
            continue
        k, low, high = zip(*known, strict=True)
        axes.fill_between(k, low, high, color=colour, alpha=0.25, lw=0)
        line: Any = {"marker": marker, "color": colour, "ms": 3.5, "lw": 1.2}
        axes.plot(k, high, **line, label=f"{norm}: at most {number(min(high))}")
        axes.plot(k, low, **line)
    if not axes.has_data():
        return "No certificate was computed."
    axes.grid(True)
    axes.set_ylim(bottom=0)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("steps k")
    axes.set_ylabel("error of the sum")
    axes.legend(loc="upper right")
    return ""


def _rows(axes: Axes, labels: list[str]) -> None:
    """One labelled row each, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(True)


def _agents_height(result: dict[str, Any]) -> float:
    return 1.1 + 0.24 * min(facts.units(result), MOST_AGENTS)


def _pairs_height(result: dict[str, Any]) -> float:
    return 0.8 + 0.24 * max(len(facts.top_pairs(result, MOST_PAIRS)), 1)


def _heat_height(result: dict[str, Any]) -> float:
    return 1.6 + 0.16 * min(facts.units(result), MOST_PARTNERS)


def _bounds_height(result: dict[str, Any]) -> float:
    return 1.1 + 0.26 * len(facts.bound_rows(result))


_PICTURES: dict[str, tuple[str, Draw, Callable[[dict[str, Any]], float]]] = {
    "entanglement": ("Entanglement of each agent, by distance", draw_entanglement, _agents_height),
    "pairs": ("Local pairs that carry most of the entanglement", draw_pairs, _pairs_height),
    "partners": ("Who explains whom", draw_partners, _heat_height),
    "bounds": ("Bounds beside the truth, logarithmic scale", draw_bounds, _bounds_height),
    "certificate": ("Two-sided certificate against the number of steps", draw_certificate, lambda _: 2.8),
}
