"""What each kind of picture shows: a table in, one axes filled, and words on it out.

Colours and sizes come from matplotlib's settings, the page's own or the user's; nothing touches pyplot.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from .facts import NOISE, elide, number, percent, ratio
from .table import Table
from .tabulate import ALL

MOST_AGENTS, MOST_PARTNERS, MOST_PAIRS, MOST_CELLS_WITH_TEXT = 16, 24, 10, 8
MOST_ROWS, MOST_SERIES, MOST_TICKS = 20, 6, 12
#: Larger numbers are not drawn: axes would overflow.
_LARGEST = 1e100
_MARKERS = "osD^vP"
_SMALL = "x-small"


@dataclass(frozen=True)
class Drawn:
    """Words on a picture: what was left out, or why there is none; its main numbers; the height that it needs."""

    note: str = ""
    says: str = ""
    height: float = 0.0


def draw_values(axes: Axes, table: Table) -> Drawn:
    """Q against the sum of local values; the larger the longer the system is there."""
    known = [(_at(r["sum"]), _at(r["q"]), r["weight"] or 0.0) for r in table.rows]
    known = [(d, q, w) for d, q, w in known if d == d and q == q]
    if not known:
        return Drawn("There are no values to draw.")
    d, q, weight = zip(*known, strict=True)
    top = max(weight) or 1.0
    for size, least, most in ((3.0, -1.0, 0.1), (5.0, 0.1, 0.5), (8.0, 0.5, 1.0)):
        some = [(a, b) for a, b, w in known if least < w / top <= most]
        axes.plot([a for a, _ in some], [b for _, b in some], "o", ms=size, alpha=0.6, mew=0, color="C0", zorder=2)
    low, high = min(*d, *q), max(*d, *q)
    if high > low:
        axes.plot([low, high], [low, high], color=rcParams["grid.color"], lw=1.2, zorder=1)
        axes.annotate("exact", (high, high), xytext=(-4, -2), textcoords="offset points", ha="right", va="top",
                      fontsize=_SMALL)  # fmt: skip
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
        return Drawn("There is no error to divide." if len(table) else "The parts of the error are not known.")
    start = 0.0
    for k, (name, share) in enumerate(parts):
        colour = f"C{(1, 0, 2)[k % 3]}"
        axes.barh(0, 100 * share, left=start, height=0.7, color=colour, label=f"{name} {percent(share)}")
        start += 100 * share
    _rows(axes, [""])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the mean squared error")
    _legend(axes, 3)
    return Drawn("", ", ".join(f"{name} {percent(s)}" for name, s in parts) + ".", _height(1))


def draw_orders(axes: Axes, table: Table) -> Drawn:
    """What is left of the spread of Q by the number of agents whose pairs are read together."""
    known = [(r["agents"], x) for r in table.rows[1:9] if (x := _at(r["unexplained"])) == x]
    most = max((x for _, x in known), default=0.0)
    if most < NOISE:
        return Drawn("Additive values leave nothing." if known else "What is left is not known.")
    who = ["one agent each" if k == 1 else f"{k} agents together" for k, _ in known]
    _bars(axes, [100 * x for _, x in known], [percent(x) for _, x in known])
    _rows(axes, who)
    axes.set_xlabel("% of the spread of Q that is left")
    says = "; ".join(f"{w} {percent(x)}" for w, (_, x) in zip(who, known, strict=True))
    return Drawn("", f"{says}.", _height(len(who)))


def draw_sources(axes: Axes, table: Table) -> Drawn:
    """Entanglement of the system and of the policy beside that of each agent."""
    return _dots(axes, _columns(table, "source"), [])


def draw_entanglement(axes: Axes, table: Table) -> Drawn:
    """E_i of each agent, one marker a distance; numbers for all agents together as lines."""
    lines = [(r["distance"], r["value"]) for r in table.rows if r["agent"] == ALL and r["value"] is not None]
    limits = {
        (r["agent"], r["distance"]): (_at(r["low"]), _at(r["high"]))
        for r in table.rows
        if r["low"] is not None and r["high"] is not None and r["agent"] != ALL
    }
    return _dots(axes, _columns(table, "distance"), lines, limits)


def _columns(table: Table, key: str) -> dict[str, dict[str, float]]:
    """{distance: {agent: number}}."""
    out: dict[str, dict[str, float]] = {}
    for r in table.rows:
        if r["agent"] != ALL:
            out.setdefault(r[key], {})[r["agent"]] = _at(r["value"])
    most = max(map(len, out.values()), default=0)
    return {k: c for k, c in out.items() if len(c) == most}


def _dots(
    axes: Axes,
    columns: dict[str, dict[str, float]],
    lines: Sequence[tuple[str, float]],
    limits: Mapping[tuple[str, str], tuple[float, float]] | None = None,
) -> Drawn:
    single = [(k, e) for k, e in lines if abs(e) < _LARGEST]
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
        look: Any = {"color": f"C{k}", "label": _label(name, 14), "clip_on": False}
        axes.plot(x, y, _MARKERS[k], ms=5.5, **look)
        for at, who in enumerate(shown):
            if pair := (limits or {}).get((who, name)):
                axes.plot(pair, [at, at], color=f"C{k}", lw=1.2, clip_on=False)
        if some := {who: e for who, e in column.items() if e == e}:
            top = max(some, key=lambda who: (some[who], who))
            largest = number(some[top]) if min(some.values()) < some[top] - NOISE else f"{number(some[top])} each"
            says.append(f"{name}: largest {largest}" + ("" if largest.endswith("each") else f" ({elide(top)})"))
    for k, (name, e) in enumerate(single):
        axes.axvline(e, color=f"C{MOST_SERIES - 1 - k % MOST_SERIES}", lw=1.2, ls="--", label=_label(name, 14))
        says.append(f"{name} of all agents: {number(e)}")
    _rows(axes, [_label(who, 26) for who in shown])
    axes.set_xlim(left=0, right=max(axes.get_xlim()[1], 0.01))
    axes.set_xlabel("entanglement (0 none, 1 complete)")
    _legend(axes, 4)
    note = f"The {len(shown)} most entangled of {n} agents." if n > len(shown) else ""
    return Drawn(note, "; ".join(says) + ".", _height(len(shown)))


def worst_first(column: dict[str, float]) -> list[str]:
    """Agents, the most entangled first, those equal up to rounding in their own order."""
    place = {who: k for k, who in enumerate(column)}
    return sorted(column, key=lambda who: (-float(f"{0.0 if (e := column[who]) != e else e:.9g}"), place[who]))


def draw_pairs(axes: Axes, table: Table) -> Drawn:
    """The local pairs that carry most of E_i; agents with equal contributions share a line."""
    grouped: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for r in table.rows:
        if (part := _at(r["part"])) > NOISE:
            grouped.setdefault((r["pair"], f"{part:.6g}", f"{r['visited'] or 0:.6g}"), []).append(r)
    if not grouped:
        return Drawn("No local pair carries any entanglement.")
    every = sorted(((g[0], len(g)) for g in grouped.values()), key=lambda x: -x[0]["part"])
    top = every[:MOST_PAIRS]
    who = [f"{_label(r['agent'], 24)}{f' (+{n - 1} alike)' if n > 1 else ''}" for r, n in top]
    _bars(axes, [r["part"] for r, _ in top], [percent(r["share"]) for r, _ in top])
    _rows(axes, [f"{w}: {_label(r['pair'], 20)}" for w, (r, _) in zip(who, top, strict=True)])
    axes.set_xlabel("part of E_i (mu-atv) and its share")
    says = "; ".join(f"{w}, {elide(r['pair'], 40)}: {percent(r['share'])} of its E_i"
                     for w, (r, _) in zip(who[:3], top, strict=False))  # fmt: skip
    note = f"The {len(top)} largest of {len(every)}." if len(every) > len(top) else ""
    return Drawn(note, f"{says}.", _height(len(top)))


def draw_partners(axes: Axes, table: Table) -> Drawn:
    """Heat map: share of agent i's E_i (row) that agent j's pair (column) explains."""
    share: dict[str, dict[str, float | None]] = {}
    left: dict[str, float] = {}
    for r in table.rows:
        own = r["partner"].removeprefix("another of ")
        share.setdefault(r["agent"], {})[own] = r["explained"]
    best = {who: max((s for s in row.values() if s is not None), default=None) for who, row in share.items()}
    known = {who: s for who, s in best.items() if s is not None}
    if not known:
        return Drawn(
            "One agent alone: nobody to explain it." if len(share) < 2 else "No agent is entangled."
        )
    for r in table.rows:
        left[r["agent"]] = max(left.get(r["agent"], 0.0), r["left"] or 0.0)
    order = [who for who in share if who in set(worst_first(left)[:MOST_PARTNERS])]
    grid = [[share[i].get(j) for j in order] for i in order]
    top = max((s for row in grid for s in row if s is not None), default=1.0)
    full = 100 if top > 0.5 else 50
    cells = [[float("nan") if s is None else 100 * s for s in row] for row in grid]
    mesh = axes.pcolormesh(cells, vmin=0, vmax=full, edgecolors=rcParams["grid.color"], linewidth=0.3)
    axes.figure.colorbar(mesh, ax=axes, label="% of E_i explained", shrink=0.85, pad=0.02)
    for i, row in enumerate(grid if len(order) <= MOST_CELLS_WITH_TEXT else ()):
        for j, s in enumerate(row):
            word = "" if s is None else f"{100 * s:.3g}" if s >= 0.001 or s == 0 else "<.1"
            r_, g, b, _ = mesh.to_rgba(100 * (s or 0.0))
            ink = "#111111" if 0.299 * r_ + 0.587 * g + 0.114 * b > 0.55 else "#ffffff"
            axes.text(j + 0.5, i + 0.5, word, ha="center", va="center", fontsize=_SMALL, color=ink)
    who = [_label(name, 18) for name in order]
    middle = [k + 0.5 for k in range(len(order))]
    long = max(map(len, who)) * len(who) > 45
    axes.set_xticks(middle, who, rotation=90 if long else 0, fontsize=_SMALL)
    axes.set_yticks(middle, who, fontsize=_SMALL)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("entangled agent")
    axes.set_xlabel("whose pair is added to its key")
    note = f"The {len(order)} most entangled of {len(share)} agents." if len(share) > len(order) else ""
    says = "; ".join(
        f"{elide(next(j for j, s in share[i].items() if s == most))} explains {percent(most)} of {elide(i)}"
        for i, most in list(known.items())[:4]
    )
    return Drawn(note, f"{says}.", 1.6 + 0.16 * len(order))


def draw_bounds(axes: Axes, table: Table) -> Drawn:
    """Bounds and the truths that they bound, log scale; half-span variants that improve nothing are left out."""
    value = {(r["theorem"], r["norm"]): r["bound"] for r in table.rows}
    lines = [r for r in table.rows
             if value.get((r["theorem"].removesuffix(", half spans"), r["norm"])) != r["bound"]
             or not r["theorem"].endswith(", half spans")]  # fmt: skip
    if not lines:
        return Drawn("There are no bounds without values.")
    known = [(f"{r['theorem']} [{r['norm']}]", _at(r["bound"]), _at(r["truth"] or 0.0)) for r in lines]
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
        axes.annotate(word, (bound, k), xytext=(4, 0), textcoords="offset points", va="center", fontsize=_SMALL)
    sizes = [x for _, bound, truth in rows for x in (bound, truth) if x >= NOISE]
    axes.set_xlim(min(sizes) / 3, max(sizes) * (3 * max(sizes) / min(sizes)) ** 0.3)
    axes.plot([], [], "o", color="C0", ms=5.5, label="truth")
    axes.plot([], [], "|", color="C1", ms=11, mew=2.2, label="bound")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    _few_ticks(axes.xaxis, max(sizes) / min(sizes))
    short = [name.replace("Theorem", "Thm").replace(" with ", ", ") for name, _, _ in rows]
    _rows(axes, [_label(s, 36) for s in short])
    axes.set_xlabel("error of the sum, reward units")
    _legend(axes, 2)
    says = "; ".join(f"{name}: at most {number(b)}, in truth {number(t)}" for name, b, t in rows[:4])
    return Drawn("", f"{says}.", _height(len(rows)))


def draw_certificate(axes: Axes, table: Table) -> Drawn:
    """The two-sided certificate against the number of steps k, log scales."""
    curves: dict[str, list[tuple[int, float, float]]] = {}
    for r in sorted(table.rows, key=lambda r: r["steps"]):
        low, high = _at(r["low"]), _at(r["high"])
        curves.setdefault(r["norm"], [])
        if low == low and high >= NOISE:
            curves[r["norm"]].append((r["steps"], low, high))
    sizes = [x for curve in curves.values() for _, l, h in curve for x in (l, h) if x >= NOISE]
    if not sizes:
        return Drawn("Every limit is 0: nothing to draw." if len(table) else "No certificate was computed.")
    bottom, says = 0.5 * min(sizes), []
    for j, (norm, curve) in enumerate(list(curves.items())[:MOST_SERIES]):
        if curve:
            k, low, high = zip(*[(k, max(l, bottom), h) for k, l, h in curve], strict=True)
            axes.fill_between(k, low, high, color=f"C{j}", alpha=0.15, lw=0)
            line: Any = {"marker": _MARKERS[j], "color": f"C{j}", "ms": 3.5, "lw": 1.2}
            axes.plot(k, high, **line, label=f"{_label(norm, 14)}: at most {number(min(high))}")
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
    _few_ticks(axes.yaxis, max(sizes) / bottom)
    axes.set_xlabel("steps k")
    axes.set_ylabel("error of the sum, reward units")
    _legend(axes, 2)
    return Drawn("", "; ".join(says) + ".", 2.8)


def draw_mean_field(axes: Axes, table: Table) -> Drawn:
    """Arms in each state at the fixed point, those served and those at rest."""
    rows = [r for r in table.rows if (r["fraction"] or 0.0) > NOISE]
    if not rows:
        return Drawn("There is no fixed point to draw.")
    shown = sorted(sorted(rows, key=lambda r: -r["fraction"])[:MOST_ROWS], key=rows.index)
    served = [100 * r["fraction"] * (r["activation"] or 0.0) for r in shown]
    rest = [100 * r["fraction"] - s for r, s in zip(shown, served, strict=True)]
    axes.barh(range(len(shown)), served, height=0.62, color="C1", label="served")
    axes.barh(range(len(shown)), rest, left=served, height=0.62, color="C0", label="at rest")
    several = len({r["type"] for r in table.rows}) > 1
    _rows(axes, [_label(f"{r['type']}, {r['state']}" if several else f"state {r['state']}", 26) for r in shown])
    axes.set_xlabel("% of all arms in the state")
    _legend(axes, 2)
    note = f"The {len(shown)} fullest of {len(table)} states." if len(shown) < len(table) else ""
    top = max(rows, key=lambda r: r["fraction"])
    says = f"most arms are in state {top['state']} of {top['type']}: {percent(top['fraction'])}; "
    return Drawn(note, f"{says}{sum(served):.3g} % of all arms are served.", _height(len(shown)))


def draw_prediction(axes: Axes, table: Table) -> Drawn:
    """What was found over what the limit constants predict."""
    rows = [r for r in table.rows if abs(_at(r["predicted"])) > NOISE and _at(r["found"]) == _at(r["found"])]
    if not rows:
        return Drawn("There are no predictions to hold against what was found.")
    shown, says = rows[:MOST_ROWS], []
    for k, r in enumerate(shown):
        p = r["predicted"]
        if r["low"] is not None and r["high"] is not None:
            axes.plot([r["low"] / p, r["high"] / p], [k, k], color="C0", lw=1.4)
        axes.plot(r["found"] / p, k, "o", color="C0", ms=5.5)
        says.append(f"{r['quantity']}: found {number(r['found'])}, predicted {number(p)}")
    axes.axvline(1.0, color="C1", lw=1.2, ls="--", label="as predicted")
    axes.margins(x=0.15)
    several = len({r["agent"] for r in rows}) > 1
    _rows(axes, [_label(f"{r['quantity']}, {r['agent']}" if several else r["quantity"], 34) for r in shown])
    axes.set_xlabel("found / predicted by the limit constants")
    _legend(axes, 1)
    note = f"The first {len(shown)} of {len(rows)}." if len(shown) < len(rows) else ""
    return Drawn(note, "; ".join(says[:4]) + ".", _height(len(shown)))


def draw_index(axes: Axes, table: Table) -> Drawn:
    """The index by state, one line a type; higher is served first."""
    lines: dict[str, list[tuple[str, float]]] = {}
    for r in table.rows:
        lines.setdefault(r["type"], []).append((r["state"], _at(r["index"])))
    some = {who: line for who, line in lines.items() if any(x == x for _, x in line)}
    if not some:
        return Drawn("No type has an index.")
    for j, (who, line) in enumerate(list(some.items())[:MOST_SERIES]):
        axes.plot(range(len(line)), [x for _, x in line], marker=_MARKERS[j], color=f"C{j}", ms=5, lw=1.0,
                  label=_label(who, 18))  # fmt: skip
    states = [s for s, _ in next(iter(some.values()))]
    step = -(-len(states) // MOST_TICKS)
    axes.set_xticks(range(0, len(states), step), [_label(s, 12) for s in states[::step]])
    axes.grid(True)
    axes.set_xlabel("local state")
    axes.set_ylabel("index, reward units")
    if len(lines) > 1:
        _legend(axes, 3)
    who, line = next(iter(some.items()))
    order = sorted((x for x in line if x[1] == x[1]), key=lambda x: -x[1])
    says = f"{elide(who)} is served first in state {order[0][0]} ({number(order[0][1])})"
    note = f"The first {MOST_SERIES} of {len(some)} types." if len(some) > MOST_SERIES else ""
    return Drawn(note, f"{says}, last in state {order[-1][0]} ({number(order[-1][1])}).", 2.6)


def draw_policies(axes: Axes, table: Table) -> Drawn:
    """What each policy is worth, with its uncertainty."""
    rows = [r for r in table.rows if _at(r["value"]) == _at(r["value"])][:MOST_ROWS]
    if not rows:
        return Drawn("No policy has a value.")
    for k, r in enumerate(rows):
        half = r["uncertainty"] or 0.0
        axes.plot([r["value"] - half, r["value"] + half], [k, k], color="C0", lw=1.6)
        axes.plot(r["value"], k, "o", color="C0", ms=5.5)
        word = f"  unexplained {percent(r['unexplained'])}"
        axes.annotate(word, (r["value"], k), xytext=(5, 0), textcoords="offset points", va="center", fontsize=_SMALL)
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.45 * (high - low))
    _rows(axes, [_label(r["policy"], 26) for r in rows])
    axes.set_xlabel("value, reward units")
    note = f"The best {len(rows)} of {len(table)}." if len(rows) < len(table) else ""
    says = "; ".join(f"{elide(r['policy'])}: {number(r['value'])} +- {number(r['uncertainty'])}" for r in rows[:6])
    return Drawn(note, f"{says}.", _height(len(rows)))


def draw_steps(axes: Axes, table: Table) -> Drawn:
    """Reward of each step and its mean so far."""
    rows = [(r["step"], x) for r in table.rows if (x := _at(r["reward"])) == x]
    if not rows:
        return Drawn("There are no rewards to draw.")
    total, means = 0.0, []
    for k, (_, x) in enumerate(rows, 1):
        total += x
        means.append(total / k)
    at = [t for t, _ in rows]
    axes.plot(at, [x for _, x in rows], color="C0", lw=0.6, alpha=0.5, label="each step")
    axes.plot(at, means, color="C1", lw=1.6, label="mean so far")
    axes.grid(True)
    axes.set_xlabel("step")
    axes.set_ylabel("reward of all agents")
    _legend(axes, 2)
    return Drawn(table.left_out, f"Mean reward {number(means[-1])} over {len(rows)} steps.", 2.6)


def draw_weights(axes: Axes, table: Table) -> Drawn:
    """Weights of the products of a decomposition."""
    weights = [_at(r["weight"]) for r in table.rows][:200]
    axes.bar(range(len(weights)), weights, color="C0")
    axes.axhline(0.0, color=rcParams["axes.edgecolor"], lw=0.8)
    axes.set_xlabel("term")
    axes.set_ylabel("weight; they sum to 1")
    note = f"The first {len(weights)} of {len(table)} terms." if len(weights) < len(table) else ""
    says = f"{len(table)} terms, weights from {number(min(weights))} to {number(max(weights))}."
    return Drawn(note, says, 2.4)


def draw_local_values(axes: Axes, table: Table) -> Drawn:
    """Local values by state, a marker an action, of the agents listed first."""
    rows = [r for r in table.rows if _at(r["value"]) == _at(r["value"])]
    if not rows:
        return Drawn("No local pair is visited.")
    places = list(dict.fromkeys((r["agent"], r["state"]) for r in rows))
    shown = {place: k for k, place in enumerate(places[:MOST_ROWS])}
    actions = list(dict.fromkeys(r["action"] for r in rows))
    for j, action in enumerate(actions[:MOST_SERIES]):
        some = [(r["value"], shown[p]) for r in rows if r["action"] == action and (p := (r["agent"], r["state"])) in shown]
        label = _label(action, 16) if action else "value"
        axes.plot([x for x, _ in some], [y for _, y in some], _MARKERS[j], color=f"C{j}", ms=5.5, label=label)
    _rows(axes, [_label(f"{who}: {state}", 32) for who, state in shown])
    axes.set_xlabel("local value, reward units")
    if len(actions) > 1:
        _legend(axes, 4)
    top = max(rows, key=lambda r: r["value"])
    says = f"largest: {elide(top['agent'])}, {elide(top['state'])} {top['action']}: {number(top['value'])}."
    note = f"The first {len(shown)} of {len(places)} local states." if len(shown) < len(places) else ""
    return Drawn(note or table.left_out, says, _height(len(shown)))


def _at(x: float | None) -> float:
    """Where to draw a number; NaN, which is not drawn, where there is none."""
    return float("nan") if x is None or abs(x) >= _LARGEST else x


def _label(name: str, width: int) -> str:
    """A name for a picture, of about `width` letters; wide letters count double, for axes must not lose their room."""
    size = sum(1 + (c in "MWmw@%" or unicodedata.east_asian_width(c) in "WF") for c in name)
    return words(elide(name, max(width * len(name) // size, 4) if size > width else width))


def words(text: str) -> str:
    """Text that matplotlib shows as it is, whatever the user's settings say of formulas."""
    return text.replace("$", r"\$") if rcParams["text.parse_math"] else text


def _bars(axes: Axes, sizes: list[float], words: list[str]) -> None:
    """Bars from the top, each with a word at its end."""
    axes.barh(range(len(sizes)), sizes, height=0.62, color="C0")
    for k, (size, word) in enumerate(zip(sizes, words, strict=True)):
        axes.text(size + 0.015 * max(sizes), k, word, va="center", fontsize=_SMALL)
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


def _height(rows: int) -> float:
    """Inches that so many labelled rows need."""
    return 1.05 + 0.25 * rows


def _rows(axes: Axes, labels: list[str]) -> None:
    """One labelled row each, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.spines["left"].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(True)
