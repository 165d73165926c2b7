"""Pictures of a result. Every `draw_*` fills one axes and says what it left out; nothing touches pyplot."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from . import facts
from .canvas import BLUE, GREEN, GRID, ORANGE, SERIES, SKY, settings, svg
from .document import Document
from .facts import NOISE, elide, number, percent

WIDTH = 5.2
MOST_AGENTS, MOST_PARTNERS, MOST_PAIRS, MOST_CELLS_WITH_TEXT = 16, 24, 10, 8
#: Larger numbers are not drawn: axes would overflow.
_LARGEST = 1e100

Draw = Callable[[Axes, Document], str]


@dataclass(frozen=True)
class Picture:
    """An inline picture; `svg` is "" when there is nothing to draw, `note` says why, or what was left out."""

    key: str
    title: str
    svg: str
    note: str


def pictures(result: Document) -> dict[str, Picture]:
    """All pictures of a result by key; the ones without data have an empty `svg` and a note."""
    out = {}
    with settings():
        for key, (title, draw) in _PICTURES.items():
            figure = Figure(figsize=(WIDTH, 0.9), layout="constrained", facecolor="none")
            axes = figure.add_subplot(facecolor="none")
            note = draw(axes, result)
            out[key] = Picture(key, title, svg(figure, key, title) if axes.has_data() else "", note)
    return out


def overview(result: Document) -> Figure:
    """Entanglement of each agent beside who explains it."""
    with settings():
        figure = Figure(figsize=(2 * WIDTH, 3.0), layout="constrained", facecolor="white")
        for axes, key in zip(figure.subplots(1, 2), ("entanglement", "partners"), strict=True):
            title, draw = _PICTURES[key]
            note = draw(axes, result)
            axes.set_title(title, pad=34)
            if not axes.has_data():
                axes.set_axis_off()
                axes.text(0.0, 0.9, note, transform=axes.transAxes, va="top", wrap=True)
        figure.suptitle(elide(result.verdict.sentence, 150), x=0.01, ha="left", fontsize=10)
        FigureCanvasSVG(figure)
        figure.draw_without_rendering()
    return figure


def draw_budget(axes: Axes, result: Document) -> str:
    """(a) The parts of the squared error."""
    b = result.error_budget
    parts = {"floor": (b.floor, ORANGE), "bias": (b.bias, BLUE), "noise": (b.noise, GREEN)} if b else {}
    known = {name: (abs(x), colour) for name, (x, colour) in parts.items() if x is not None}
    most = max((x for x, _ in known.values()), default=0.0)
    if most < NOISE or len(known) < 2:
        return "There is no error to divide." if known else "The parts of the error are not known."
    whole, start = sum((x / most) * (x / most) for x, _ in known.values()), 0.0
    for name, (x, colour) in known.items():
        share = (x / most) * (x / most) / whole
        axes.barh(0, 100 * share, left=start, height=0.7, color=colour, label=f"{name} {percent(share)}")
        start += 100 * share
    _rows(axes, [""])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the mean squared error")
    _legend(axes, 3)
    return ""


def draw_orders(axes: Axes, result: Document) -> str:
    """(b) What is left of the spread of Q by the number of agents whose pairs are read together."""
    left = result.orders.unexplained[1 : min(result.system.agents, 8) + 1] if result.orders else []
    known = [(k, x) for k, x in enumerate(map(_at, left), 1) if x == x]
    most = max((x for _, x in known), default=0.0)
    if most < NOISE:
        return "Additive values leave nothing." if known else "What is left is not known."
    _bars(axes, [100 * x for _, x in known], [percent(x) for _, x in known])
    _rows(axes, ["one agent each" if k == 1 else f"{k} agents together" for k, _ in known])
    axes.set_xlabel("% of the spread of Q that is left")
    return ""


def draw_sources(axes: Axes, result: Document) -> str:
    """(c) Entanglement of the system and of the policy beside that of each agent."""
    p = result.policy_or_system
    return _dots(axes, result, {"system": p.kernel, "policy": p.policy, "together: E_i": p.pair} if p else {})


def draw_entanglement(axes: Axes, result: Document) -> str:
    """(d) E_i of each agent, one marker a distance; numbers for all agents together as lines."""
    columns = facts.per_agent(result)
    single = [(k, m.value) for k, m in facts.measures(result).items() if m.value is not None]
    return _dots(axes, result, columns, single)


def _dots(
    axes: Axes, result: Document, columns: dict[str, Any], lines: Sequence[tuple[str, float]] = ()
) -> str:
    single = [(k, e) for k, e in lines if abs(e) < _LARGEST]
    if not columns:
        return "No measure has a number for each agent."
    table = {k: [_at(e) for e in c] for k, c in columns.items()}
    found = [e for c in table.values() for e in c if e == e] + [e for _, e in single]
    if max(found, default=0.0) < NOISE:
        return "Every measure is 0: nothing to draw."
    if len(found) < 2:
        return "One number alone: nothing to draw."
    shown = facts.listed(result, MOST_AGENTS)
    who = facts.names(result)
    for (colour, marker), (name, column) in zip(SERIES, table.items(), strict=False):
        x = [column[i] for i in shown]
        axes.plot(x, range(len(shown)), marker, color=colour, ms=5.5, label=_label(name, 14), clip_on=False)
    for (colour, _), (name, e) in zip(SERIES[::-1], single, strict=False):
        axes.axvline(e, color=colour, lw=1.2, ls="--", label=_label(name, 14))
    _rows(axes, [_label(who[i], 26) for i in shown])
    axes.set_xlim(left=0, right=max(axes.get_xlim()[1], 0.01))
    axes.set_xlabel("entanglement (0 none, 1 complete)")
    _legend(axes, 4)
    n = len(who)
    return f"The {len(shown)} most entangled of {n} agents." if n > len(shown) else ""


def draw_pairs(axes: Axes, result: Document) -> str:
    """(e) The local pairs that carry most of E_i."""
    if not result.breakdown:
        return "Contributions were not computed."
    every = [p for p in facts.top_pairs(result) if p.part < _LARGEST]
    top = every[:MOST_PAIRS]
    if not top:
        return "No local pair carries any entanglement."
    _bars(axes, [p.part for p in top], [percent(p.share) for p in top])
    _rows(axes, [f"{_label(p.who, 24)}: {_label(p.pair, 20)}" for p in top])
    axes.set_xlabel("part of E_i (mu-atv) and its share")
    return f"The {len(top)} largest of {len(every)}." if len(every) > len(top) else ""


def draw_partners(axes: Axes, result: Document) -> str:
    """(f) Heat map: share of agent i's E_i (row) that agent j's pair (column) explains."""
    if not (found := result.breakdown):
        return "Partners were not measured."
    shown = sorted(facts.worst_first(result)[:MOST_PARTNERS])
    share = [[facts.explained(found.remaining[i][i], facts.left(found, i, j)) for j in shown] for i in shown]
    top = max((s for row in share for s in row if s is not None), default=None)
    if top is None:
        return "One agent alone: nobody to explain it." if len(shown) < 2 else "No agent is entangled."
    grid = [[float("nan") if s is None else 100 * s for s in row] for row in share]
    full = 100 if top > 0.5 else 50
    mesh = axes.pcolormesh(grid, cmap="Blues", vmin=0, vmax=full, edgecolors=GRID, linewidth=0.3)
    axes.figure.colorbar(mesh, ax=axes, label="% of E_i explained", shrink=0.85, pad=0.02)
    for i, row in enumerate(share if len(shown) <= MOST_CELLS_WITH_TEXT else ()):
        for j, s in enumerate(row):
            word = "" if s is None else f"{100 * s:.3g}" if s >= 0.001 or s == 0 else "<.1"
            ink = "#ffffff" if 100 * (s or 0) > full / 2 else "#111111"
            axes.text(j + 0.5, i + 0.5, word, ha="center", va="center", fontsize=8, color=ink)
    who = [_label(facts.names(result)[i], 18) for i in shown]
    middle = [k + 0.5 for k in range(len(shown))]
    long = max(map(len, who)) * len(who) > 45
    axes.set_xticks(middle, who, rotation=90 if long else 0, fontsize=8)
    axes.set_yticks(middle, who, fontsize=8)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("entangled agent")
    axes.set_xlabel("whose pair is added to its key")
    _tall(axes, 1.6 + 0.16 * len(shown))
    n = result.system.units
    return f"The {len(shown)} most entangled of {n} agents." if n > len(shown) else ""


def draw_bounds(axes: Axes, result: Document) -> str:
    """(g) Bounds and the truths that they bound, log scale."""
    lines = facts.bound_rows(result)
    if not lines:
        return "There are no bounds without values."
    known = [(f"{name} [{b.norm}]", _at(b.bound), _at(b.truth or 0.0)) for name, b in lines]
    rows = [(name, bound, truth) for name, bound, truth in known if bound >= NOISE and truth == truth]
    if not rows:
        return "Every bound is 0 or beyond measure: nothing to draw on a log scale."
    if all(truth < NOISE for _, _, truth in rows):
        return "Every true error is 0: nothing to draw on a log scale."
    for k, (_, bound, truth) in enumerate(rows):
        if truth >= NOISE:
            axes.plot([truth, bound], [k, k], color=GRID, lw=1.4, zorder=1)
            axes.plot(truth, k, "o", color=BLUE, ms=5.5)
        axes.plot(bound, k, "|", color=ORANGE, ms=11, mew=2.2)
        times = facts.ratio(bound, truth)
        word = f"  {times}×" if times[0].isdigit() else f"  {times}"
        axes.annotate(word, (bound, k), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)
    sizes = [x for _, bound, truth in rows for x in (bound, truth) if x >= NOISE]
    axes.set_xlim(min(sizes) / 3, max(sizes) * (3 * max(sizes) / min(sizes)) ** 0.3)
    axes.plot([], [], "o", color=BLUE, ms=5.5, label="truth")
    axes.plot([], [], "|", color=ORANGE, ms=11, mew=2.2, label="bound")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    _few_ticks(axes.xaxis, max(sizes) / min(sizes))
    short = [name.replace("Theorem", "Thm").replace(" with ", ", ") for name, _, _ in rows]
    _rows(axes, [_label(s, 36) for s in short])
    axes.set_xlabel("error of the sum, reward units")
    _legend(axes, 2)
    return ""


def draw_certificate(axes: Axes, result: Document) -> str:
    """(h) The two-sided certificate against the number of steps k, log scales."""
    curves: dict[str, list[tuple[int, float, float]]] = {}
    for norm, table in result.certificate.items():
        known = sorted((int(k), _at(l), _at(h)) for k, (l, h) in table.items())
        curves[norm] = [(k, l, h) for k, l, h in known if l == l and h >= NOISE]
    sizes = [x for curve in curves.values() for _, l, h in curve for x in (l, h) if x >= NOISE]
    if not sizes:
        return "Every limit is 0: nothing to draw." if result.certificate else "No certificate was computed."
    bottom = 0.5 * min(sizes)
    for (colour, marker), (norm, curve) in zip(SERIES, curves.items(), strict=False):
        if curve:
            k, low, high = zip(*[(k, max(l, bottom), h) for k, l, h in curve], strict=True)
            axes.fill_between(k, low, high, color=colour, alpha=0.15, lw=0)
            line: Any = {"marker": marker, "color": colour, "ms": 3.5, "lw": 1.2}
            axes.plot(k, high, **line, label=f"{_label(norm, 14)}: at most {number(min(high))}")
            axes.plot(k, low, **line)
    axes.grid(True)
    axes.set_yscale("log")
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=bottom)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    _few_ticks(axes.yaxis, max(sizes) / bottom)
    axes.set_xlabel("steps k")
    axes.set_ylabel("error of the sum, reward units")
    _legend(axes, 2)
    _tall(axes, 2.8)
    return ""


def _at(x: float | None) -> float:
    """Where to draw a number; NaN, which is not drawn, where there is none."""
    return float("nan") if x is None or abs(x) >= _LARGEST else x


def _label(name: str, width: int) -> str:
    """A name for a picture, of about `width` letters; wide letters count double, for axes must not lose their room."""
    size = sum(1 + (c in "MWmw@%" or unicodedata.east_asian_width(c) in "WF") for c in name)
    return elide(name, max(width * len(name) // size, 4) if size > width else width)


def _tall(axes: Axes, height: float) -> None:
    """At least so many inches for the figure."""
    figure: Any = axes.figure
    figure.set_figheight(max(figure.get_figheight(), height))


def _bars(axes: Axes, sizes: list[float], words: list[str]) -> None:
    """Bars from the top, each with a word at its end."""
    axes.barh(range(len(sizes)), sizes, height=0.62, color=BLUE)
    for k, (size, word) in enumerate(zip(sizes, words, strict=True)):
        axes.text(size + 0.015 * max(sizes), k, word, va="center", fontsize=8)
    axes.set_xlim(0, 1.2 * max(sizes))


def _legend(axes: Axes, columns: int) -> None:
    """Above the picture."""
    left = -0.1 if columns > 2 else 0
    axes.legend(ncols=columns, loc="lower left", bbox_to_anchor=(left, 1.0), borderpad=0, handletextpad=0.3,
                columnspacing=1.2)  # fmt: skip


def _few_ticks(axis: Any, ratio: float) -> None:
    """Labels of a log axis: decades, and 2 and 5 between them where there are few."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ratio < 100 else (1.0,), numticks=5))
    axis.set_minor_locator(NullLocator())


def _rows(axes: Axes, labels: list[str]) -> None:
    """One labelled row each, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.spines["left"].set_visible(False)
    axes.grid(True)
    _tall(axes, 1.05 + 0.25 * len(labels))


_PICTURES: dict[str, tuple[str, Draw]] = {
    "error_budget": ("What the squared error consists of", draw_budget),
    "orders": ("What is left of the spread of Q", draw_orders),
    "policy_or_system": ("Entanglement of the system and of the policy", draw_sources),
    "entanglement": ("Entanglement of each agent, by distance", draw_entanglement),
    "pairs": ("Local pairs that carry most of the entanglement", draw_pairs),
    "partners": ("Who explains whom", draw_partners),
    "bounds": ("Bounds beside the truth, logarithmic scale", draw_bounds),
    "certificate": ("Two-sided certificate against the number of steps", draw_certificate),
}


def draw_fixed_point(axes: Axes, result: Document) -> str:
    """(i) Where many arms settle: the arms of each local state, served and resting, in the order of service."""
    every = [x for x in facts.settled(result) if 0 <= _at(x.fixed_point) <= 1 and 0 <= _at(x.activation) <= 1]
    largest = sorted(every, key=lambda x: -(x.fixed_point or 0.0))[:MOST_AGENTS]
    shown = [x for x in every if x in largest]
    if not shown:
        return "There is no fixed point to draw."
    several = result.system.units > 1
    mass = [100 * _at(x.fixed_point) for x in shown]
    served = [m * _at(x.activation) for m, x in zip(mass, shown, strict=True)]
    axes.barh(range(len(shown)), mass, height=0.62, color=SKY, label="resting")
    axes.barh(range(len(shown)), served, height=0.62, color=BLUE, label="served")
    for k, (m, x) in enumerate(zip(mass, shown, strict=True)):
        axes.text(m + 0.015 * max(mass), k, f"{percent(x.activation)} served", va="center", fontsize=8)
    rank = ["" if x.rank is None else f"{x.rank}. " for x in shown]
    names = [f"{_label(x.who, 16)}: {_label(x.state, 16)}" if several else _label(x.state, 26) for x in shown]
    _rows(axes, [f"{r}{name}" for r, name in zip(rank, names, strict=True)])
    axes.set_xlim(0, 1.35 * max(*mass, 1e-9))
    axes.set_xlabel("% of all arms at the fixed point")
    _legend(axes, 2)
    return f"The {len(shown)} fullest of {len(every):,} local states." if len(every) > len(shown) else ""


_PICTURES["fixed_point"] = ("Where many arms settle, in the order of service", draw_fixed_point)
