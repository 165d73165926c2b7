"""A sweep as one self-contained HTML page."""

from __future__ import annotations

from markupsafe import Markup

from .. import __version__
from . import facts, terms
from .canvas import page
from .figures import KINDS, inline
from .html import marked
from .sweep import Sweep

#: Rows of the page; the rest is in the CSV.
MOST_ROWS = 1000


def render(found: Sweep) -> str:
    """The page, a whole HTML document; names are shown as text, whatever they contain."""
    tables = found.tables()
    cells = tables["cells"]
    drawn = inline(KINDS["curves"], tables["curves"], "curves") if "curves" in tables else None
    left = len(cells) - MOST_ROWS
    filled = page(
        "sweep.html.j2",
        {"marked": marked},
        sentence=found.sentence,
        title=cells.title,
        head=list(cells.columns),
        numbers=[any(isinstance(x, float) for x in column) for column in cells.columns.values()],
        rows=[[_cell(x) for x in row.values()] for row in cells.rows[:MOST_ROWS]],
        left_out=f"{left:,} more cells: the CSV has all." if left > 0 else "",
        notes=[(name, cells.notes[name], cells.units.get(name, "")) for name in cells.columns],
        picture=drawn,
        drawn=Markup(drawn.svg if drawn else ""),
        curves=tables["curves"].title if "curves" in tables else "",
        units=terms.UNITS,
        version=__version__,
    )
    return facts.clean(filled)


def _cell(x: object) -> str:
    return facts.number(x) if isinstance(x, float) else "-" if x is None else str(x)
