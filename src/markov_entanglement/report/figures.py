"""Pictures of a result, by kind: for the page with its own look, for users with theirs.

A kind of picture reads one table, so that a whole document and a single answer draw alike.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.registry import BackendFilter, backend_registry
from matplotlib.figure import Figure

from ..errors import InvalidInput
from . import draw, draw_answers
from .canvas import settings, svg
from .facts import elide
from .strokes import ABOVE, Drawn, words
from .table import Table

if TYPE_CHECKING:
    from .document import Document
    from .result import Result

WIDTH = 5.2
OVERVIEW = "overview"
_BLANK = Table("", "", {"": ()}, {}, {}, ())
_WINDOWS = tuple(name.lower() for name in backend_registry.list_builtin(BackendFilter.INTERACTIVE))


@dataclass(frozen=True)
class Kind:
    """A kind of picture: its title, the table that it reads, what draws it, and the section of the page it is in."""

    title: str
    table: str
    draw: Callable[[Axes, Table], Drawn]
    section: str


def _kind(title: str, table: str, how: Callable[[Axes, Table], Drawn], section: str = "") -> Kind:
    return Kind(title, table, how, section or table)


KINDS = {
    "values": _kind("Q against the sum of local values", "points", draw.draw_values, "values"),
    "local_values": _kind("Local values by state and action", "local_values", draw_answers.draw_local_values),
    "budget": _kind("What the squared error consists of", "budget", draw.draw_budget, "error_budget"),
    "orders": _kind("What is left of the spread of Q", "orders", draw.draw_orders),
    "policy_or_system": _kind(
        "Entanglement of the system and of the policy", "policy_or_system", draw.draw_sources
    ),
    "mean_field": _kind(
        "Where many arms settle, in the order of service",
        "mean_field",
        draw_answers.draw_mean_field,
        "fixed_point",
    ),
    "prediction": _kind(
        "Prediction of the limit against what was found",
        "prediction",
        draw_answers.draw_prediction,
        "mean_field",
    ),
    "entanglement": _kind("Entanglement of each agent, by distance", "entanglement", draw.draw_entanglement),
    "pairs": _kind("Local pairs that carry most of the entanglement", "pairs", draw.draw_pairs),
    "partners": _kind("Who explains whom", "partners", draw.draw_partners),
    "influence": _kind("Who moves whom", "influence", draw.draw_influence),
    "views": _kind("What is missed by what agents see", "views", draw_answers.draw_views),
    "bounds": _kind("Bounds beside the truth, logarithmic scale", "bounds", draw.draw_bounds),
    "certificate": _kind(
        "Two-sided certificate against the number of steps", "certificate", draw.draw_certificate
    ),
    "index": _kind("Index by local state", "index", draw_answers.draw_index),
    "policies": _kind("What the policies are worth", "policies", draw_answers.draw_policies),
    "steps": _kind("Reward along the path", "steps", draw_answers.draw_steps),
    "values_by_steps": _kind(
        "Error of the values against the steps of data", "values_by_steps", draw_answers.draw_by_steps
    ),
    "entanglement_by_steps": _kind(
        "Error of the entanglement against the steps of data",
        "entanglement_by_steps",
        draw_answers.draw_by_steps,
    ),
    "curves": _kind("A column of the cells against an axis of the grid", "curves", draw_answers.draw_curves),
    "weights": _kind("Weights of the products", "weights", draw_answers.draw_weights),
}


@dataclass(frozen=True)
class Picture:
    """An inline picture; `svg` is "" when there is nothing to draw, `note` says why, or what was left out; `says` has
    its main numbers."""

    key: str
    title: str
    svg: str
    note: str
    says: str = ""


def pictures(result: Document) -> dict[str, Picture]:
    """All pictures of a document by the section of the page; those without data have an empty `svg` and a note."""
    found = result.tables()
    return {
        kind.section: inline(kind, found.get(kind.table, _BLANK), kind.section)
        for name, kind in KINDS.items()
        if name in DOCUMENT
    }


#: The kinds that a document may have.
DOCUMENT = (
    "values", "budget", "orders", "policy_or_system", "mean_field", "prediction", "entanglement", "pairs", "partners",
    "views", "bounds", "certificate",
)  # fmt: skip


def inline(kind: Kind, table: Table, key: str, width: float = WIDTH, *, grid: bool = True) -> Picture:
    """One picture in the page's look; `key` keeps its ids apart from those of others on the page."""
    with settings():
        figure = Figure(figsize=(width, 0.9), layout="constrained", facecolor="none")
        axes = figure.add_subplot(facecolor="none")
        found = kind.draw(axes, table)
        if not grid:
            axes.grid(False)
        figure.set_figheight(max(0.9, found.height))
        drawn = svg(figure, key, kind.title, found.says) if axes.has_data() else ""
    return Picture(key, kind.title, drawn, found.note, found.says)


class Shown(Figure):
    """A figure that a notebook shows although pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        out, said = BytesIO(), _latin(str(self.get_label()))
        self.savefig(out, format="png", metadata={"Title": said.split(":")[0], "Description": said})
        return out.getvalue()


def _latin(text: str) -> str:
    """What the words of a PNG may hold."""
    return text.encode("latin-1", "replace").decode("latin-1").replace("\0", "")


def kinds(tables: dict[str, Table]) -> list[str]:
    """The kinds of pictures of a result with these tables, in the order of its tables."""
    named = {kind.table: name for name, kind in KINDS.items()}
    return [named[t] for t in tables if t in named and len(tables[t])]


def plot(result: Result, kind: str | None = None, ax: Axes | None = None) -> Any:
    """See `Result.plot`."""
    if ax is not None and not isinstance(ax, Axes):
        raise InvalidInput.kind("ax", ax, "matplotlib axes", "E.g. ax=plt.gca().")
    tables, whose = result.tables(), f"this {type(result).__name__}"
    known = kinds(tables)
    options = [OVERVIEW, *known] if result._panels else known
    if not options:
        rule = "none of its tables is drawn"
        raise InvalidInput("plot", whose, rule, "Use to_dataframe() or save_csv(path).")
    if kind is None:
        kind = options[0] if ax is None else (known or options)[0]
    if kind not in options:
        raise InvalidInput.unknown("kind", kind, options, f"the pictures of {whose} are")
    if kind == OVERVIEW:
        if ax is not None:
            rule, others = "an overview has several axes of its own", ", ".join(known) or "none"
            raise InvalidInput("ax", "axes for an overview", rule, f"Name one kind: {others}.")
        return overview(result, tables)
    chosen = KINDS[kind]
    if ax is not None:
        _fill(ax, chosen, tables[chosen.table])
        return ax
    figure = _figure()
    found = _fill(figure.add_subplot(), chosen, tables[chosen.table])
    figure.set_figheight(max(0.6 * figure.get_figheight(), 1.3 * found.height))
    figure.set_label(figure.axes[0].get_label())
    return figure


def _fill(axes: Axes, kind: Kind, table: Table) -> Drawn:
    """Draw with a title; words where there is nothing to draw."""
    found = kind.draw(axes, table)
    axes.set_label(f"{kind.title}: {found.says or found.note}")
    axes.set_title(kind.title, pad=_room(axes))
    if not axes.has_data():
        axes.set_axis_off()
        axes.text(0.0, 0.9, found.note, transform=axes.transAxes, va="top", wrap=True)
    return found


def _room(axes: Axes) -> float | None:
    """Points between axes and title where a legend stands between them."""
    if (legend := axes.get_legend()) is None or legend.get_label() != ABOVE:
        return None
    rows = -(-len(legend.get_texts()) // legend._ncols)  # type: ignore[attr-defined]
    return 8.0 + 1.8 * rows * legend.get_texts()[0].get_fontsize()


def _figure(**how: Any) -> Figure:
    """A figure in the user's look; pyplot's own where it has windows, so that `plt.show()` shows it."""
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None and pyplot.get_backend().lower() in _WINDOWS:
        return pyplot.figure(FigureClass=Shown, layout="constrained", **how)
    figure = Shown(layout="constrained", **how)
    FigureCanvasAgg(figure)
    return figure


def overview(result: Result, tables: dict[str, Table] | None = None) -> Figure:
    """The panels of a result side by side, its sentence above them."""
    found = result.tables() if tables is None else tables
    panels = [n for n in result._panels if len(found.get(KINDS[n].table, _BLANK))] or [result._panels[0]]
    width, height = mpl.rcParams["figure.figsize"]
    figure = _figure(figsize=(0.25 * width + 0.75 * width * len(panels), 0.8 * height))
    said = [result.sentence]
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _fill(axes, KINDS[name], found.get(KINDS[name].table, _BLANK))
        said.append(axes.get_label())
    figure.suptitle(words(elide(result.sentence, 60 * len(panels))), x=0.01, ha="left", fontsize="medium")
    figure.set_label(" ".join(said))
    return figure
