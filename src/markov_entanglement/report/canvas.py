"""How pages are filled and pictures look and become inline SVG, whatever the user's matplotlib settings are.

SVG text stays text: the browser's font draws it, in the page's own colour, so that names can be searched and copied.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import escape
from matplotlib import style
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

#: Okabe and Ito's colours, safe for colour-blind readers; every series also has its own marker.
BLUE, ORANGE, GREEN, PINK, SKY, BROWN = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#a6761d"
SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "D"), (PINK, "^"), (SKY, "v"), (BROWN, "P"))
#: Ink and grid as matplotlib knows them; the SVG says `currentColor`, so that dark pages can be dark.
INK, GRID = "#1f2328", "#8c959f"

_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "markov-entanglement",
    "font.family": "sans-serif",
    "font.size": 9.6,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.prop_cycle": cycler(color=[colour for colour, _ in SERIES]),
    "image.cmap": "Blues",
    "grid.color": GRID,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "text.parse_math": False,
}

_TAG = re.compile(r"<[^>]+>")
_FAMILY = re.compile(r"(font: [\d.]+px|font-family:) [^;\"]*")
_RULE = re.compile(r"<style[^>]*>.*?</style>", re.DOTALL)
_LOOK = "stroke-linejoin: round; stroke-linecap: butt"


@contextmanager
def settings() -> Iterator[None]:
    """Matplotlib's own defaults and ours, whatever the user's style; restored afterwards."""
    with style.context("default"), warnings.catch_warnings():
        # of letters that the font lacks, and of names that leave no room
        warnings.filterwarnings("ignore", "Glyph .* missing from font|constrained_layout not applied")
        mpl.rcParams.update(_RC)
        yield


def svg(figure: Figure, key: str, title: str, says: str = "") -> str:
    """The bare `<svg>` element of a figure made inside `settings()`: no prolog, metadata or rule, the page's ink and
    font.

    `key` keeps the ids of one page's pictures apart; `title` and `says` are for screen readers, escaped here.
    """
    out = StringIO()
    with mpl.rc_context({"svg.hashsalt": f"markov-entanglement {key}"}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(out, metadata=nothing)
    text = out.getvalue()
    text = _RULE.sub("", text[text.index("<svg") :])  # matplotlib's own rule is for every element of the page
    text = _TAG.sub(lambda tag: _themed(tag[0]), text)
    name = re.sub(r"\W+", "-", key)
    about = (
        f'role="img" aria-labelledby="{name}-t {name}-d"'
        if says
        else f'role="img" aria-labelledby="{name}-t"'
    )
    words = f'<title id="{name}-t">{escape(title)}</title>'
    words += f'<desc id="{name}-d">{escape(says)}</desc>' if says else ""
    head, rest = text.split(">", 1)
    return f'{head.replace("<svg ", f"<svg {about} ", 1)} style="{_LOOK}">{words}{rest}'


def _themed(tag: str) -> str:
    """A tag without its id if it is a group, with the page's ink and font; text between tags is not touched."""
    tag = re.sub(r'^<g id="[^"]*"', "<g", tag).replace(INK, "currentColor")
    return _FAMILY.sub(r"\1 sans-serif", tag)


def page(template: str, filters: dict[str, Callable[[str], str]], **context: Any) -> str:
    """A template filled; what is not markup is escaped."""
    environment = Environment(
        loader=PackageLoader("markov_entanglement.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(template).render(context)
