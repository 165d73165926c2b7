"""What each kind of picture of a whole result shows: a table in, one axes filled, and words on it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from .facts import NOISE, bound_rows, elide, number, percent, ratio, top_pairs, with_others
from .strokes import (
    LARGEST,
    MARKERS,
    MOST_SERIES,
    SMALL,
    Drawn,
    at,
    bars,
    few_ticks,
    height_of,
    label,
    legend,
    rows_of,
    worst_first,
)  # fmt: skip
from .table import Table
from .tabulate import ALL

MOST_AGENTS, MOST_PARTNERS, MOST_PAIRS, MOST_CELLS_WITH_TEXT = 16, 24, 10, 8


def draw_values(axes: Axes, table: Table) -> Drawn:
    """Q against the sum of local values; the larger the longer the system is there."""
    known = [(at(r["sum"]), at(r["q"]), r["weight"] or 0.0) for r in table.rows]
    known = [(d, q, w) for d, q, w in known if d == d and q == q]
    if not known:
        return Drawn()  # an estimate has no Q beside the sum
    d, q, weight = zip(*known, strict=True)
    top = max(weight) or 1.0
    for size, least, most in ((3.0, -1.0, 0.1), (5.0, 0.1, 0.5), (8.0, 0.5, 1.0)):
        some = [(a, b) for a, b, w in known if least < w / top <= most]
        axes.plot(
            [a for a, _ in some], [b for _, b in some], "o", ms=size, alpha=0.6, mew=0, color="C0", zorder=2
        )
    low, high = min(*d, *q), max(*d, *q)
    if high > low:
        axes.plot([low, high], [low, high], color=rcParams["grid.color"], lw=1.2, zorder=1, label="exact")
        axes.legend(loc="upper left")
    axes.grid(True)
    axes.set_xlabel("sum of local values, reward units")
    axes.set_ylabel("Q, reward units")
    worst = max(abs(a - b) for a, b in zip(d, q, strict=True))
    says = f"Q runs from {number(min(q))} to {number(max(q))}; the sum is off by at most {number(worst)}"
    return Drawn(table.left_out, f"{says} at the {len(known)} joint pairs shown.", 3.0)


def draw_budget(axes: Axes, table: Table) -> Drawn:
    """The parts of the squared error."""
    parts = [(r["part"], r["share"]) for r in table.rows if r["share"] is not None]
    most = max((abs(r["value"]) for r in table.rows), default=0.0)
    if most < NOISE or len(parts) < 2:
        return Drawn(
            "There is no error to divide." if len(table) else "The parts of the error are not known."
        )
    start = 0.0
    for k, (name, share) in enumerate(parts):
        colour = f"C{(1, 0, 2)[k % 3]}"
        axes.barh(0, 100 * share, left=start, height=0.7, color=colour, label=f"{name} {percent(share)}")
        start += 100 * share
    rows_of(axes, [""])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the mean squared error")
    legend(axes, 3)
    return Drawn("", ", ".join(f"{name} {percent(s)}" for name, s in parts) + ".", height_of(1))


def draw_orders(axes: Axes, table: Table) -> Drawn:
    """What is left of the spread of Q by the number of agents whose pairs are read together."""
    known = [(r["agents"], x) for r in table.rows[1:9] if (x := at(r["unexplained"])) == x]
    most = max((x for _, x in known), default=0.0)
    if most < NOISE:
        return Drawn("Additive values leave nothing." if known else "What is left is not known.")
    who = ["one agent each" if k == 1 else f"{k} agents together" for k, _ in known]
    bars(axes, [100 * x for _, x in known], [percent(x) for _, x in known])
    rows_of(axes, who)
    axes.set_xlabel("% of the spread of Q that is left")
    says = "; ".join(f"{w} {percent(x)}" for w, (_, x) in zip(who, known, strict=True))
    return Drawn("", f"{says}.", height_of(len(who)))


def draw_sources(axes: Axes, table: Table) -> Drawn:
    """Entanglement of the system and of the policy beside that of each agent."""
    return _dots(axes, _columns(table, "source"), [])


def draw_entanglement(axes: Axes, table: Table) -> Drawn:
    """E_i of each agent, one marker a distance; numbers for all agents together as lines."""
    lines = [(r["distance"], r["value"]) for r in table.rows if r["agent"] == ALL and r["value"] is not None]
    limits = {
        (r["agent"], r["distance"]): (at(r["low"]), at(r["high"]))
        for r in table.rows
        if r["low"] is not None and r["high"] is not None and r["agent"] != ALL
    }
    return _dots(axes, _columns(table, "distance"), lines, limits)


def _columns(table: Table, key: str) -> dict[str, dict[str, float]]:
    """{distance: {agent: number}}."""
    out: dict[str, dict[str, float]] = {}
    for r in table.rows:
        if r["agent"] != ALL:
            out.setdefault(r[key], {})[r["agent"]] = at(r["value"])
    most = max(map(len, out.values()), default=0)
    return {k: c for k, c in out.items() if len(c) == most}


def _dots(
    axes: Axes,
    columns: dict[str, dict[str, float]],
    lines: Sequence[tuple[str, float]],
    limits: Mapping[tuple[str, str], tuple[float, float]] | None = None,
) -> Drawn:
    single = [(k, e) for k, e in lines if abs(e) < LARGEST]
    if not columns:
        return Drawn("No measure has a number for each agent.")
    found = [e for c in columns.values() for e in c.values() if e == e] + [e for _, e in single]
    if max(found, default=0.0) < NOISE:
        return Drawn("Every measure is 0: nothing to draw.")
    if len(found) < 2:
        return Drawn("One number alone: nothing to draw.")
    first = next(iter(columns.values()))
    shown = list(first)
    if (n := len(shown)) > MOST_AGENTS:
        shown = worst_first(first)[:MOST_AGENTS]
    says = []
    for k, (name, column) in enumerate(list(columns.items())[:MOST_SERIES]):
        x, y = [column.get(who, float("nan")) for who in shown], range(len(shown))
        look: Any = {"color": f"C{k}", "label": label(name, 14), "clip_on": False}
        axes.plot(x, y, MARKERS[k], ms=5.5, **look)
        for row, who in enumerate(shown):
            if pair := (limits or {}).get((who, name)):
                axes.plot(pair, [row, row], color=f"C{k}", lw=1.2, clip_on=False)
        if some := {who: e for who, e in column.items() if e == e}:
            top = max(some, key=lambda who: (some[who], who))
            largest = (
                number(some[top]) if min(some.values()) < some[top] - NOISE else f"{number(some[top])} each"
            )
            says.append(
                f"{name}: largest {largest}" + ("" if largest.endswith("each") else f" ({elide(top)})")
            )
    for k, (name, e) in enumerate(single):
        axes.axvline(e, color=f"C{MOST_SERIES - 1 - k % MOST_SERIES}", lw=1.2, ls="--", label=label(name, 14))
        says.append(f"{name} of all agents: {number(e)}")
    rows_of(axes, [label(who, 26) for who in shown])
    axes.set_xlim(left=0, right=max(axes.get_xlim()[1], 0.01))
    axes.set_xlabel("entanglement (0 none, 1 complete)")
    legend(axes, 4)
    note = f"The {len(shown)} most entangled of {n} agents." if n > len(shown) else ""
    return Drawn(note, "; ".join(says) + ".", height_of(len(shown)))


def draw_pairs(axes: Axes, table: Table) -> Drawn:
    """The local pairs that carry most of E_i; agents with equal contributions share a line."""
    every = top_pairs(r for r in table.rows if at(r["part"]) == at(r["part"]))
    if not every:
        return Drawn("No local pair carries any entanglement.")
    top = every[:MOST_PAIRS]
    who = [with_others(label(p.agent, 24), p.alike) for p in top]
    bars(axes, [p.part for p in top], [percent(p.share) for p in top])
    rows_of(axes, [f"{w}: {label(p.pair, 20)}" for w, p in zip(who, top, strict=True)])
    axes.set_xlabel("part of E_i (mu-atv) and its share")
    says = "; ".join(
        f"{with_others(elide(p.agent), p.alike)}, {elide(p.pair, 40)}: {percent(p.share)} of its E_i"
        for p in top[:3]
    )
    note = f"The {len(top)} largest of {len(every)}." if len(every) > len(top) else ""
    return Drawn(note, f"{says}.", height_of(len(top)))


def draw_partners(axes: Axes, table: Table) -> Drawn:
    """Heat map: share of agent i's E_i (row) that agent j's pair (column) explains."""
    rows = [
        (r["agent"], r["partner"].removeprefix("another of "), r["explained"], r["left"]) for r in table.rows
    ]
    return _heat(axes, rows, "% of E_i explained", "whose pair is added to its key", "explains")


def draw_influence(axes: Axes, table: Table) -> Drawn:
    """Heat map: how much the pair of agent j (column) shows of the next step of agent i (row)."""
    rows = [(r["agent"], r["partner"], r["influence"], r["influence"]) for r in table.rows]
    return _heat(axes, rows, "100 x influence", "whose pair is read", "moves")


def _heat(axes: Axes, rows: Sequence[tuple[Any, ...]], bar: str, by: str, verb: str) -> Drawn:
    """Rows (agent, partner, share, size of the agent) as a matrix."""
    share: dict[str, dict[str, float | None]] = {}
    left: dict[str, float] = {}
    for who, own, part, size in rows:
        share.setdefault(who, {})[own] = part
        left[who] = max(left.get(who, 0.0), size or 0.0)
    best = {who: max((s for s in row.values() if s is not None), default=None) for who, row in share.items()}
    known = {who: s for who, s in best.items() if s is not None}
    if not known:
        return Drawn("One agent alone: nobody to explain it." if len(share) < 2 else "No agent is entangled.")
    order = [who for who in share if who in set(worst_first(left)[:MOST_PARTNERS])]
    grid = [[share[i].get(j) for j in order] for i in order]
    top = max((s for row in grid for s in row if s is not None), default=1.0)
    full = next((n for n in (1, 2, 5, 10, 20, 50) if n >= 100 * top), 100)
    cells: Any = np.array([[float("nan") if s is None else 100 * s for s in row] for row in grid])
    mesh = axes.pcolormesh(cells, vmin=0, vmax=full, edgecolors=rcParams["grid.color"], linewidth=0.3)
    axes.figure.colorbar(mesh, ax=axes, label=bar, shrink=0.85, pad=0.02)
    colours: Any = mesh.to_rgba(cells)
    for i, row in enumerate(grid if len(order) <= MOST_CELLS_WITH_TEXT else ()):
        for j, s in enumerate(row):
            word = "" if s is None else percent(s).removesuffix(" %")
            word = word if len(word) <= 5 else ">99.9" if s and s > 0.5 else "<.1"
            red, green, blue, _ = colours[i][j]
            ink = "#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "#ffffff"
            axes.text(j + 0.5, i + 0.5, word, ha="center", va="center", fontsize=SMALL, color=ink)
    who = [label(name, 18) for name in order]
    middle = [k + 0.5 for k in range(len(order))]
    long = max(map(len, who)) * len(who) > 45
    axes.set_xticks(middle, who, rotation=90 if long else 0, fontsize=SMALL)
    axes.set_yticks(middle, who, fontsize=SMALL)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("entangled agent")
    axes.set_xlabel(by)
    note = f"The {len(order)} most entangled of {len(share)} agents." if len(share) > len(order) else ""
    says = "; ".join(
        f"{elide(next(j for j, s in share[i].items() if s == most))} {verb} {percent(most)} of {elide(i)}"
        for i, most in list(known.items())[:4]
    )
    return Drawn(note, f"{says}.", 1.6 + 0.16 * len(order))


def draw_bounds(axes: Axes, table: Table) -> Drawn:
    """Bounds and the truths that they bound, log scale; half-span variants that improve nothing are left out."""
    lines = bound_rows(table.rows)
    if not lines:
        return Drawn("There are no bounds without values.")
    known = [(f"{r['theorem']} [{r['norm']}]", at(r["bound"]), at(r["truth"] or 0.0)) for r in lines]
    rows = [(name, bound, truth) for name, bound, truth in known if bound >= NOISE and truth == truth]
    if not rows:
        return Drawn("Every bound is 0 or beyond measure: nothing to draw on a log scale.")
    if all(truth < NOISE for _, _, truth in rows):
        return Drawn("Every true error is 0: nothing to draw on a log scale.")
    for k, (_, bound, truth) in enumerate(rows):
        if truth >= NOISE:
            axes.plot([truth, bound], [k, k], color=rcParams["grid.color"], lw=1.4, zorder=1)
            axes.plot(truth, k, "o", color="C0", ms=5.5)
        axes.plot(bound, k, "|", color="C1", ms=11, mew=2.2)
        times = ratio(bound, truth)
        word = f"  {times}×" if times[0].isdigit() else f"  {times}"
        axes.annotate(
            word, (bound, k), xytext=(4, 0), textcoords="offset points", va="center", fontsize=SMALL
        )
    sizes = [x for _, bound, truth in rows for x in (bound, truth) if x >= NOISE]
    axes.set_xlim(min(sizes) / 3, max(sizes) * (3 * max(sizes) / min(sizes)) ** 0.3)
    axes.plot([], [], "o", color="C0", ms=5.5, label="truth")
    axes.plot([], [], "|", color="C1", ms=11, mew=2.2, label="bound")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    few_ticks(axes.xaxis, max(sizes) / min(sizes))
    short = [name.replace("Theorem", "Thm").replace(" with ", ", ") for name, _, _ in rows]
    rows_of(axes, [label(s, 36) for s in short])
    axes.set_xlabel("error of the sum, reward units")
    legend(axes, 2)
    says = "; ".join(f"{name}: at most {number(b)}, in truth {number(t)}" for name, b, t in rows[:4])
    return Drawn("", f"{says}.", height_of(len(rows)))


def draw_certificate(axes: Axes, table: Table) -> Drawn:
    """The two-sided certificate against the number of steps k, log scales."""
    curves: dict[str, list[tuple[int, float, float]]] = {}
    for r in sorted(table.rows, key=lambda r: r["steps"]):
        pair = at(r["low"]), at(r["high"])
        curves.setdefault(r["norm"], [])
        if pair[0] == pair[0] and pair[1] >= NOISE:
            curves[r["norm"]].append((r["steps"], *pair))
    sizes = [x for curve in curves.values() for _, l, h in curve for x in (l, h) if x >= NOISE]
    if not sizes:
        return Drawn("Every limit is 0: nothing to draw." if len(table) else "No certificate was computed.")
    bottom, says = 0.5 * min(sizes), []
    for j, (norm, curve) in enumerate(list(curves.items())[:MOST_SERIES]):
        if curve:
            k, low, high = zip(*[(k, max(l, bottom), h) for k, l, h in curve], strict=True)
            axes.fill_between(k, low, high, color=f"C{j}", alpha=0.15, lw=0)
            line: Any = {"marker": MARKERS[j], "color": f"C{j}", "ms": 3.5, "lw": 1.2}
            axes.plot(k, high, **line, label=f"{label(norm, 14)}: at most {number(min(high))}")
            axes.plot(k, low, **line)
            known = [l for _, l, _ in curve]
            says.append(f"{norm}: at least {number(max(known))}, at most {number(min(high))}")
    axes.grid(True)
    axes.set_yscale("log")
    axes.set_xscale("log", base=2)
    axes.set_ylim(bottom=bottom)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    few_ticks(axes.yaxis, max(sizes) / bottom)
    axes.set_xlabel("steps k")
    axes.set_ylabel("error of the sum, reward units")
    legend(axes, 2)
    return Drawn("", "; ".join(says) + ".", 2.8)
