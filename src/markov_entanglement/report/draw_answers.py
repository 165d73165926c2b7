"""What each kind of picture of a single answer shows; see `draw`."""

from __future__ import annotations

from typing import Any

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from .facts import NOISE, elide, number, percent
from .strokes import (
    LARGEST,
    MARKERS,
    MOST_SERIES,
    SMALL,
    Drawn,
    at,
    few_ticks,
    height_of,
    label,
    legend,
    rows_of,
    words,
)
from .table import Table

MOST_ROWS, MOST_TICKS, MOST_TIMES, MOST_BARS = 20, 12, 6, 200


def draw_local_values(axes: Axes, table: Table) -> Drawn:
    """Local values by state, a marker an action, of the agents listed first."""
    rows = [r for r in table.rows if at(r["value"]) == at(r["value"])]
    if not rows:
        return Drawn("No local pair is visited.")
    places = list(dict.fromkeys((r["agent"], r["state"]) for r in rows))
    shown = {place: k for k, place in enumerate(places[:MOST_ROWS])}
    actions = list(dict.fromkeys(r["action"] for r in rows))
    for j, action in enumerate(actions[:MOST_SERIES]):
        some = [
            (r["value"], shown[p])
            for r in rows
            if r["action"] == action and (p := (r["agent"], r["state"])) in shown
        ]
        word = label(action, 16) if action else "value"
        axes.plot([x for x, _ in some], [y for _, y in some], MARKERS[j], color=f"C{j}", ms=5.5, label=word)
    rows_of(axes, [label(f"{who}: {state}", 32) for who, state in shown])
    axes.set_xlabel("local value, reward units")
    if len(actions) > 1:
        legend(axes, 4)
    top = max(rows, key=lambda r: r["value"])
    says = f"largest: {elide(top['agent'])}, {elide(top['state'])} {elide(top['action'])}: {number(top['value'])}."
    note = f"The first {len(shown)} of {len(places)} local states." if len(shown) < len(places) else ""
    return Drawn(note or table.left_out, says, height_of(len(shown)))


def draw_mean_field(axes: Axes, table: Table) -> Drawn:
    """Arms in each state at the fixed point, those served and those at rest."""
    rows = [r for r in table.rows if (r["fraction"] or 0.0) > NOISE]
    if not rows:
        return Drawn("There is no fixed point to draw.")
    largest = sorted(rows, key=lambda r: -r["fraction"])[:MOST_ROWS]
    shown = sorted((r for r in rows if r in largest), key=lambda r: r["rank"] or 0)
    served = [100 * r["fraction"] * (r["activation"] or 0.0) for r in shown]
    rest = [100 * r["fraction"] - s for r, s in zip(shown, served, strict=True)]
    axes.barh(range(len(shown)), served, height=0.62, color="C1", label="served")
    axes.barh(range(len(shown)), rest, left=served, height=0.62, color="C0", label="at rest")
    for k, r in enumerate(shown):
        word = f"{percent(r['activation'])} served"
        axes.annotate(word, (100 * r["fraction"], k), xytext=(3, 0), textcoords="offset points", va="center",
                      fontsize=SMALL)  # fmt: skip
    axes.set_xlim(0, 135 * max(r["fraction"] for r in shown))
    several = len({r["type"] for r in table.rows}) > 1
    states = [f"state {s}" if (s := r["state"]).isdigit() else s for r in shown]
    who = [
        f"{label(r['type'], 16)}: {label(state, 16)}" if several else label(state, 26)
        for r, state in zip(shown, states, strict=True)
    ]
    order = ["" if r["rank"] is None else f"{r['rank']}. " for r in shown]
    rows_of(axes, [f"{k}{name}" for k, name in zip(order, who, strict=True)])
    axes.set_xlabel("% of all arms in the state")
    legend(axes, 2)
    note = f"The {len(shown)} fullest of {len(table)} states." if len(shown) < len(table) else ""
    top = max(rows, key=lambda r: r["fraction"])
    says = (
        f"most arms are in state {elide(top['state'])} of {elide(top['type'])}: {percent(top['fraction'])}; "
    )
    total = percent(sum(r["fraction"] * (r["activation"] or 0.0) for r in rows))
    return Drawn(note, f"{says}{total} of all arms are served.", height_of(len(shown)))


def draw_prediction(axes: Axes, table: Table) -> Drawn:
    """What was found over what the limit constants predict."""
    rows = [r for r in table.rows if abs(at(r["predicted"])) > NOISE and at(r["found"]) == at(r["found"])]
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
    rows_of(axes, [label(f"{r['quantity']}, {r['agent']}" if several else r["quantity"], 34) for r in shown])
    axes.set_xlabel("found / predicted by the limit constants")
    legend(axes, 1)
    note = f"The first {len(shown)} of {len(rows)}." if len(shown) < len(rows) else ""
    return Drawn(note, "; ".join(says[:4]) + ".", height_of(len(shown)))


def draw_index(axes: Axes, table: Table) -> Drawn:
    """The index by state, one line a type; higher is served first."""
    lines: dict[str, list[tuple[str, float]]] = {}
    for r in table.rows:
        lines.setdefault(r["type"], []).append((r["state"], at(r["index"])))
    some = {who: line for who, line in lines.items() if any(x == x for _, x in line)}
    if not some:
        return Drawn("No type has an index.")
    for j, (who, line) in enumerate(list(some.items())[:MOST_SERIES]):
        axes.plot(range(len(line)), [x for _, x in line], marker=MARKERS[j], color=f"C{j}", ms=5, lw=1.0,
                  label=label(who, 18))  # fmt: skip
    states = [s for s, _ in next(iter(some.values()))]
    step = -(-len(states) // MOST_TICKS)
    axes.set_xticks(range(0, len(states), step), [label(s, 12) for s in states[::step]])
    axes.grid(True)
    axes.set_xlabel("local state")
    axes.set_ylabel(f"index, {table.units['index']}")
    if len(lines) > 1:
        legend(axes, 3)
    who, line = next(iter(some.items()))
    order = sorted((x for x in line if x[1] == x[1]), key=lambda x: -x[1])
    says = f"{elide(who)} is served first in state {elide(order[0][0])} ({number(order[0][1])})"
    note = f"The first {MOST_SERIES} of {len(some)} types." if len(some) > MOST_SERIES else ""
    return Drawn(note, f"{says}, last in state {elide(order[-1][0])} ({number(order[-1][1])}).", 2.6)


def draw_policies(axes: Axes, table: Table) -> Drawn:
    """What each policy is worth, with its uncertainty."""
    rows = [r for r in table.rows if at(r["value"]) == at(r["value"])][:MOST_ROWS]
    if not rows:
        return Drawn("No policy has a value.")
    for k, r in enumerate(rows):
        half = r["uncertainty"] or 0.0
        axes.plot([r["value"] - half, r["value"] + half], [k, k], color="C0", lw=1.6)
        axes.plot(r["value"], k, "o", color="C0", ms=5.5)
        word = f"  unexplained {percent(r['unexplained'])}"
        axes.annotate(
            word, (r["value"], k), xytext=(5, 0), textcoords="offset points", va="center", fontsize=SMALL
        )
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.45 * (high - low))
    rows_of(axes, [label(r["policy"], 26) for r in rows])
    axes.set_xlabel("value, reward units")
    note = f"The best {len(rows)} of {len(table)}." if len(rows) < len(table) else ""
    says = "; ".join(
        f"{elide(r['policy'])}: {number(r['value'])} +- {number(r['uncertainty'])}" for r in rows[:6]
    )
    return Drawn(note, f"{says}.", height_of(len(rows)))


def draw_views(axes: Axes, table: Table) -> Drawn:
    """What is left of the spread of Q in each view, with its limits, and what the best sum would leave."""
    rows = [r for r in table.rows if at(r["unexplained"]) == at(r["unexplained"])][:MOST_ROWS]
    if not rows:
        return Drawn("No view's error can be told.")
    for k, r in enumerate(rows):
        low, high = (at(r[f"unexplained_{end}"]) for end in ("low", "high"))
        if low == low:
            axes.plot([100 * low, 100 * min(high, 2.0)], [k, k], color="C0", lw=1.6)
        axes.plot(
            100 * r["unexplained"], k, "o", color="C0", ms=5.5, label="local values" if k == 0 else None
        )
        if at(r["unexplained_floor"]) == at(r["unexplained_floor"]):
            word = "the best sum" if k == 0 else None
            axes.plot(100 * r["unexplained_floor"], k, "|", color="C1", ms=11, mew=2.0, label=word)
    axes.set_xlim(left=0.0)
    rows_of(axes, [label(r["view"], 26) for r in rows])
    axes.set_xlabel("missed of the spread of Q, %")
    legend(axes, 2)
    note = f"The first {len(rows)} of {len(table)}." if len(rows) < len(table) else ""
    says = "; ".join(f"{elide(r['view'])} misses {percent(r['unexplained'])}" for r in rows[:6])
    return Drawn(note, f"{says}.", height_of(len(rows)))


def draw_steps(axes: Axes, table: Table) -> Drawn:
    """Reward of each step and its mean so far."""
    rows = [(r["step"], x) for r in table.rows if (x := at(r["reward"])) == x]
    if not rows:
        return Drawn("There are no rewards to draw.")
    total, means = 0.0, []
    for k, (_, x) in enumerate(rows, 1):
        total += x
        means.append(total / k)
    times = [t for t, _ in rows]
    axes.plot(times, [x for _, x in rows], color="C0", lw=0.6, alpha=0.5, label="each step")
    axes.plot(times, means, color="C1", lw=1.6, label="mean so far")
    axes.grid(True)
    axes.set_xlabel("step")
    axes.set_ylabel("reward of all agents")
    legend(axes, 2)
    return Drawn(table.left_out, f"Mean reward {number(means[-1])} over {len(rows)} steps.", 2.6)


def draw_by_steps(axes: Axes, table: Table) -> Drawn:
    """Errors against the steps of data, log scales; dashed: four times the steps halve it, dotted: what it tends to."""
    lines: dict[str, list[tuple[int, float, float, float]]] = {}
    for r in table.rows:
        if NOISE < at(r["value"]) < LARGEST:
            spot = r["steps"], r["value"], max(at(r["low"]), 0.05 * r["value"]), at(r["high"])
            lines.setdefault(r["quantity"], []).append(spot)
    if not lines:
        return Drawn("No error was met: nothing to draw.")
    limits, says = {r["quantity"]: r["limit"] for r in table.rows}, []
    for j, (name, line) in enumerate(list(lines.items())[:MOST_SERIES]):
        t, value, low, high = zip(*line, strict=True)
        axes.fill_between(t, low, high, color=f"C{j}", alpha=0.15, lw=0)
        axes.plot(t, value, marker=MARKERS[j], color=f"C{j}", ms=5, lw=1.2, label=label(name, 36))
        tends = limits[name] or 0.0
        if tends > NOISE:
            axes.axhline(tends, color=f"C{j}", lw=1.0, ls=":")
        else:
            half = [value[0] * (t[0] / x) ** 0.5 for x in t]
            axes.plot(t, half, color=rcParams["axes.edgecolor"], lw=1.0, ls="--", zorder=1)
        says.append(f"{name}: {number(value[0])} after {t[0]:,} steps, {number(value[-1])} after {t[-1]:,}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(True)
    bottom, top = axes.get_ylim()
    few_ticks(axes.yaxis, top / bottom)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    times = sorted({r["steps"] for r in table.rows})
    shown = times[:: -(-len(times) // MOST_TIMES)]
    axes.set_xticks(shown, [f"{x:,}" for x in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("steps of data T")
    unit = table.units.get("value", "")
    axes.set_ylabel(f"error{', ' if unit else ''}{unit}")
    legend(axes, 1)
    return Drawn("Dashed: T to the power -1/2. Dotted: what the curve tends to.", "; ".join(says) + ".", 2.8)


def draw_curves(axes: Axes, table: Table) -> Drawn:
    """A column of a sweep against an axis, with its limits; a cross at the bottom where a cell failed."""
    value, against = (table.notes[k] for k in ("value", "at"))
    places = list(dict.fromkeys(table.columns["at"]))
    numeric = all(isinstance(x, int | float) and not isinstance(x, bool) for x in places)
    spot = {x: x if numeric else k for k, x in enumerate(places)}
    lines: dict[str, list[dict[str, Any]]] = {}
    for r in table.rows:
        lines.setdefault(r["curve"], []).append(r)
    if not any(at(r["value"]) == at(r["value"]) for r in table.rows):
        return Drawn("No cell has a number to draw.")
    shown, says = list(lines.items())[:MOST_SERIES], []
    for j, (name, rows) in enumerate(shown):
        rows = sorted(rows, key=lambda r: spot[r["at"]])
        x, y = [spot[r["at"]] for r in rows], [at(r["value"]) for r in rows]
        axes.plot(x, y, marker=MARKERS[j], color=f"C{j}", ms=4.5, lw=1.2, label=label(name, 30))
        low, high = ([at(r[end]) for r in rows] for end in ("low", "high"))
        if any(z == z for z in low):
            axes.fill_between(x, low, high, color=f"C{j}", alpha=0.15, lw=0)
        known = [z for z in y if z == z]
        says.append(f"{elide(name)}: {number(min(known))} to {number(max(known))}" if known else "")
    lost = [spot[r["at"]] for _, rows in shown for r in rows if r["failed"]]
    if lost:
        axes.plot(lost, [0.02] * len(lost), ls="none", marker="x", color=rcParams["axes.edgecolor"], ms=6,
                  transform=axes.get_xaxis_transform(), clip_on=False, label="failed")  # fmt: skip
    axes.grid(True)
    if not numeric:
        step = -(-len(places) // MOST_TICKS)
        axes.set_xticks(range(0, len(places), step), [label(str(x), 14) for x in places[::step]])
    elif all(isinstance(x, int) for x in places):
        axes.locator_params("x", integer=True)
    axes.set_xlabel(words(elide(against.removeprefix("where on the axis "), 60)))
    unit = table.units.get("value", "")
    axes.set_ylabel(words(elide(value.partition(": ")[0], 40) + (f", {unit}" if unit else "")))
    if len(lines) > 1 or lost:
        legend(axes, 2)
    note = f"The first {len(shown)} of {len(lines)} curves." if len(lines) > len(shown) else ""
    return Drawn(note, f"{'; '.join(filter(None, says))}.", 2.8)


def draw_weights(axes: Axes, table: Table) -> Drawn:
    """Weights of the products of a decomposition."""
    if len(table) < 2:
        return Drawn("One product alone: nothing to draw.")
    weights = [at(r["weight"]) for r in table.rows]
    shown = weights[:MOST_BARS]
    axes.bar(range(len(shown)), shown, color="C0")
    axes.axhline(0.0, color=rcParams["axes.edgecolor"], lw=0.8)
    axes.set_xlabel("term")
    axes.set_ylabel("weight; they sum to 1")
    note = f"The first {len(shown)} of {len(table)} terms." if len(shown) < len(table) else ""
    says = f"{len(table)} terms, weights from {number(min(weights))} to {number(max(weights))}."
    return Drawn(note, says, 2.4)
