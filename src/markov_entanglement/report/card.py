"""A result as a small card for notebooks: no rule, id or request reaches beyond it, and it takes the notebook's ink.

Its rules stand under one class that no page has; pictures are inline, their ids apart from those of other cards.
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from . import facts
from .canvas import page
from .figures import KINDS, inline, kinds
from .table import Table
from .terms import SHARE

if TYPE_CHECKING:
    from .result import Result

MOST_BYTES = 15_000
_ROWS, _NUMBERS, _WIDTH, _POINTS = 6, 6, 4.0, 40
#: How many pictures are tried.
_TRIES = 3
_TAG = re.compile(r"<[^>]+>")
_GAPS = re.compile(r">\s+<")
#: What a picture loses within its tags without looking otherwise: digits, gaps, turns by nothing.
_LESS = (
    (re.compile(r"(\d+\.\d)\d{2,}"), r"\1"),
    (re.compile(r' transform="rotate\(-0 [^"]*"| clip-path="[^"]*"'), ""),
    (re.compile(r"\s*\n"), ""),
    (re.compile(r"(?<=[:;MLCQ]) "), ""),
)


def render_card(result: Result) -> str:
    """The card of a result, one `div` of less than 15 kB; names are shown as text, whatever they contain."""
    tables, sentence = result.tables(), facts.elide(result.sentence, 500)
    first = next(iter(tables.values()))
    told = "".join([what := result._what or type(result).__name__, sentence, first.csv()[:20_000]])
    key = f"me{sha256(told.encode(errors='replace')).hexdigest()[:10]}"
    main = next((t for t in tables.values() if t.name not in ("numbers", "points") and len(t)), None)
    context: dict[str, Any] = {
        "what": what,
        "badge": result._badge(),
        "sentence": sentence,
        "numbers": [_number(r) for r in (tables["numbers"].rows[:_NUMBERS] if "numbers" in tables else ())],
        "tables": [(t.name, len(t)) for t in tables.values()],
        "kinds": kinds(tables),
        "calls": result._calls,
    }

    def card(rows: int, drawn: str = "") -> str:
        small = _small(main, rows) if main is not None and rows else None
        filled = page("card.html.j2", {}, main=small, picture=Markup(drawn), **context)
        return _GAPS.sub("><", facts.clean(filled)).strip()

    rows = next((n for n in (_ROWS, 2) if len(card(n).encode()) < MOST_BYTES), 0)
    bare = card(rows)
    drawn = _picture(result, tables, key, MOST_BYTES - len(bare.encode()) - 100)
    return card(rows, drawn) if drawn else bare


def _picture(result: Result, tables: dict[str, Table], key: str, room: int) -> str:
    """The first picture of the result that fits into so many bytes, as inline SVG, or ""."""
    known = kinds(tables)
    wanted = [k for k in result._panels if k in known] + [k for k in known if k not in result._panels]
    for name in wanted[:_TRIES]:
        drawn = inline(KINDS[name], _thin(tables[KINDS[name].table]), f"{key}-{name}", _WIDTH, grid=False).svg
        drawn = _less(drawn)
        if drawn and len(drawn.encode()) < room:
            return drawn
    return ""


def _less(drawn: str) -> str:
    """A picture in fewer letters."""

    def shorter(tag: re.Match[str]) -> str:
        text = tag[0]
        for what, instead in _LESS:
            text = what.sub(instead, text)
        return text

    drawn = _GAPS.sub("><", _TAG.sub(shorter, drawn)).replace("<defs></defs>", "")
    return drawn if "<g " in drawn else drawn.replace("<g>", "").replace("</g>", "")


def _thin(table: Table) -> Table:
    """Some points of a cloud, evenly; other tables as they are."""
    if table.name != "points" or len(table) <= _POINTS:
        return table
    step = -(-len(table) // _POINTS)
    some = {k: tuple(v[::step]) for k, v in table.columns.items()}
    return replace(table, columns=some)


def _number(row: dict[str, Any]) -> tuple[str, str, str]:
    """Name, value with its limits, and what it is."""
    limits, kind = [row["low"], row["high"]], row["unit"]
    value = "" if row["value"] is None else _shown(row["value"], kind)
    if limits != [None, None]:
        value += facts.brackets(limits, lambda x: _shown(x, kind), value)
    unit = f", {kind}" if kind not in ("", SHARE) else ""
    return row["number"], value.strip(), f"{row['says'].removesuffix('.')}{unit}"


def _shown(x: Any, unit: str) -> str:
    """A number as cells show it."""
    return f"{x:,}" if isinstance(x, int) else (facts.percent if unit == SHARE else facts.number)(x)


def _small(table: Table, rows: int) -> dict[str, Any]:
    """The first rows of a table as shown, and how many are left out."""
    heads = [(k, "" if (u := table.units.get(k, "")) == SHARE else u, table.notes[k]) for k in table.columns]
    body = [[_cell(x, table.units.get(k, "")) for k, x in r.items()] for r in table.rows[:rows]]
    left = len(table) - len(body)
    kept = [j for j, k in enumerate(table.columns) if any(r[j][0] for r in body)]
    return {
        "title": table.title,
        "heads": [heads[j] for j in kept],
        "rows": [[r[j] for j in kept] for r in body],
        "left": f"the first {len(body)} of {len(table):,} rows" if left else "",
    }


def _cell(x: Any, unit: str) -> tuple[str, bool]:
    """Text of a cell and whether it is a number; empty where there is nothing."""
    if x is None:
        return "", True
    if isinstance(x, bool):
        return "yes" if x else "no", False
    if isinstance(x, int | float):
        return _shown(x, unit), True
    return facts.elide(str(x), 40), False
