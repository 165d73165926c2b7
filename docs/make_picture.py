"""Makes docs/picture.svg, the picture of the README, from two live analyses: python docs/make_picture.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

import markov_entanglement as me

YES, NO, INK, SOFT = "#0072b2", "#c24a00", "#1f2328", "#6e7781"
PANELS = (
    ("frozen-lake", "Two walkers on FrozenLake"),
    ("circulant", "Five restless arms, one served"),
)


def panel(axes: Axes, id: str, title: str) -> None:
    """True Q of every visited joint pair against the sum of local values, area by occupancy."""
    subject = me.gallery.build(id)
    found = me.analyze(subject.system, subject.policy)
    values = found.decomposition
    assert values is not None
    mu = found.chain.occupancy
    x, y, weight = points(values.sum_q[mu > 0], values.joint_q[mu > 0], mu[mu > 0])
    tone = YES if found.verdict == "add" else NO
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    edge = 0.06 * (high - low)
    axes.plot([low - edge, high + edge], [low - edge, high + edge], color=SOFT, lw=0.9, zorder=1)
    area = 24 + 170 * weight / weight.max()
    axes.scatter(x, y, s=area, color=tone, alpha=0.45, edgecolors="white", linewidths=0.4, zorder=2)
    axes.set(xlim=(low - edge, high + edge), ylim=(low - edge, high + edge), aspect="equal")
    axes.set_xlabel("sum of local values  $\\sum_i Q_i$")
    axes.set_ylabel("true joint value  $Q$")
    words(axes, title, found, tone)


def points(x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
    """Joint pairs with the same two values are one point; occupancies add up."""
    both, where = np.unique(np.round(np.stack([x, y], axis=1), 9), axis=0, return_inverse=True)
    return both[:, 0], both[:, 1], np.bincount(where.ravel(), weights=weight)


def words(axes: Axes, title: str, found: Any, tone: str) -> None:
    """Title, verdict and the two numbers behind it."""
    e = found.entanglements["mu-atv"].per_agent.max()
    answer = "Add them up" if found.verdict == "add" else "Do not add them up"
    axes.text(0, 1.19, title, transform=axes.transAxes, color=SOFT, fontsize=9)
    axes.text(0, 1.1, answer, transform=axes.transAxes, color=tone, fontsize=12.5, weight="bold")
    detail = f"missed: {100 * found.decomposition.unexplained:.1f} % of the spread of $Q$;   $E_i$ = {e:.3f}"
    axes.text(0, 1.03, detail, transform=axes.transAxes, color=INK, fontsize=9)


def main() -> None:
    """Write the picture beside this file."""
    settings = {
        "svg.hashsalt": "picture", "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": SOFT,
        "xtick.color": SOFT, "ytick.color": SOFT, "font.size": 9, "axes.spines.top": False,
        "axes.spines.right": False, "mathtext.fontset": "dejavusans",
    }  # fmt: skip
    with mpl.rc_context(settings):
        figure = Figure(figsize=(8.2, 4.7), facecolor="white")
        figure.subplots_adjust(left=0.07, right=0.985, bottom=0.12, top=0.83, wspace=0.2)
        for axes, (id, title) in zip(figure.subplots(1, 2), PANELS, strict=True):
            panel(axes, id, title)
        target = Path(__file__).with_name("picture.svg")
        with target.open("w", encoding="utf-8") as out:
            FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
