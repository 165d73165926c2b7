"""The table of the gallery in words: for a terminal, for the documentation, and as one self-contained page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import __version__
from .. import _tolerance as tol
from . import facts, terms

if TYPE_CHECKING:
    from ..gallery.measured import Benchmark, Row

#: What is shown of a row: its name on the page, what it says.
HEAD = {
    "system": "id, under its default policy",
    "verdict": "may local values be added up?",
    "E": "largest E_i by mu-atv: 0 none, 1 complete",
    "unexplained": "share of the spread of Q that the sum of local values misses",
    "best sum": "the least that any sum of functions of single agents misses",
    "lost": "what choices by the sum lose, a share of the spread of Q",
    "L2 error": "of the sum of local values, root mean square, reward units",
    "floor": "the least L2 error of any such sum",
    "loss": "what choices by the sum lose, reward units",
}
#: Columns of words; columns that fit a terminal.
WORDS, NARROW = 2, 6


def cells(row: Row) -> list[str]:
    """A row in words, in the order of `HEAD`."""
    unexplained = _share(row.unexplained)
    low, high = _share(row.low), _share(row.high)
    if low != high:
        unexplained = f"{low} to {high}"
    mark = " (by policy)" if row.distance == "policy" else ""
    shares = [unexplained, _share(row.unexplained_floor), _share(row.loss_share)]
    return [row.system, row.verdict, _number(row.entanglement) + mark, *shares,
            *map(_number, (row.error_l2, row.floor, row.loss))]  # fmt: skip


def notes(found: Benchmark) -> list[tuple[str, str]]:
    """(system, why something is empty)."""
    return [(r.system, r.note) for r in found.rows if r.note]


def markdown(found: Benchmark) -> str:
    """The table for the documentation."""
    lines = [f"| {' | '.join(HEAD)} |", "|---|---|" + "---:|" * (len(HEAD) - WORDS)]
    for row in found.rows:
        first, *rest = cells(row)
        lines.append(f"| {' | '.join([f'[`{first}`](#{first})', *rest])} |")
    return "\n".join(lines)


def render(found: Benchmark) -> str:
    """One page, a whole HTML document."""
    from .canvas import page
    from .html import marked

    filled = page(
        "gallery.html.j2",
        {"marked": marked},
        sentence=found.sentence,
        head=HEAD,
        words=WORDS,
        rows=[(row, cells(row)) for row in found.rows],
        notes=notes(found),
        units=terms.UNITS,
        version=__version__,
    )
    return facts.clean(filled)


def _number(x: Any) -> str:
    return "-" if x is None else "0" if abs(x) < tol.SEPARABLE else facts.number(x)


def _share(x: Any) -> str:
    return "-" if x is None else "0" if abs(x) < tol.SEPARABLE else facts.percent(x)
