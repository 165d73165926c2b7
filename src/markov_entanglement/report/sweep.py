"""The result of a sweep, stated once: what each cell of a grid gave, as tables, pictures, JSON and a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeGuard

from pydantic import Field

from .._files import ending_of, write_bytes, write_text
from ..errors import InvalidInput
from .document import Document, _demand, _Part, read_object, validated
from .facts import elide, number
from .result import Result
from .table import Columns, Table, distinct, table
from .terms import NONE, NUMBERS

SCHEMA = 1
FAILED = "failed"
_WHY = "why there is no result, where there is none"


class SweepCell(_Part):
    """A cell: its place `at` the axes; its `numbers` by column, or how it `failed`."""

    at: dict[str, Any]
    numbers: dict[str, str | int | float | bool | None] = Field(default_factory=dict)
    failed: str | None = None


class Sweep(Result, _Part):
    """What each cell of a grid gave, in the order of the grid.

    Attributes
    ----------
    work : the name of what was done. seed : of all that is random.
    axes : names of the axes, the first varies slowest. columns : names of what was found.
    cells : one each, with `.at` (axis -> value), `.numbers` (column -> value) and `.failed` (a sentence, or None).
    value, against : the column and the axis of the picture; None: there is nothing to draw.
    """

    _panels: ClassVar[tuple[str, ...]] = ()
    _what: ClassVar[str] = "Sweep"
    _calls: ClassVar[tuple[str, ...]] = ("showing(value, against)", "save_html(path)", "save_json(path)")

    schema_: Literal[1] = Field(alias="schema")
    kind: Literal["sweep"]
    versions: dict[str, str] = Field(default_factory=dict)
    command: str | None = None
    work: str
    seed: int
    axes: list[str] = Field(min_length=1)
    columns: list[str]
    value: str | None = None
    against: str | None = None
    cells: list[SweepCell] = Field(min_length=1)

    def _shapes(self) -> None:
        for key, word, known in (("value", self.value, self.columns), ("against", self.against, self.axes)):
            _demand(word is None or word in known, key, repr(word), f"one of {', '.join(known) or 'none'}")

    def showing(self, value: str | None = None, against: str | None = None) -> Sweep:
        """The same with another picture: a column against an axis; None leaves to us which.

        Raises
        ------
        InvalidInput : no such column or axis; names those that there are.

        >>> import markov_entanglement as me
        >>> found = me.sweep(lambda n, k: {"sum": n + k, "product": n * k}, {"n": [1, 2, 3], "k": [1, 2]}, seed=0)
        >>> found.showing("product", against="k").tables()["curves"].columns["value"]
        (1, 2, 2, 4, 3, 6)
        """
        numeric = [c for c in self.columns if any(_is_number(x.numbers.get(c)) for x in self.cells)]
        if value is not None and numeric and value not in numeric:
            raise InvalidInput.unknown("value", value, numeric, "the columns of numbers are")
        if against is not None and against not in self.axes:
            raise InvalidInput.unknown("against", against, self.axes, "the axes are")
        several = self._several() or self.axes
        along = [a for a in several if all(_is_number(x.at.get(a)) for x in self.cells)] or several
        chosen = {
            "value": value if numeric and value else next(iter(numeric), None),
            "against": against or along[0],
        }
        return self.model_copy(update=chosen)

    def _several(self) -> list[str]:
        """The axes that vary."""
        return [a for a in self.axes if len({_word(x.at.get(a)) for x in self.cells}) > 1]

    def _place(self, cell: SweepCell) -> str:
        return _place({a: cell.at.get(a) for a in self._several() or self.axes})

    @property
    def sentence(self) -> str:
        """How many cells there are, how many failed, and what was found."""
        lost = [x for x in self.cells if x.failed is not None]
        many = f"{len(self.cells):,} cells of {elide(self.work, 60)}"
        if lost:
            first = f"{self._place(lost[0])}: {elide(lost[0].failed or '', 200)}"
            return f"{len(lost):,} of {many} failed, the first at {first.rstrip('.')}."
        known = [(float(y), x) for x in self.cells if _is_number(y := x.numbers.get(self.value or ""))]
        if not known:
            return f"All {many} are done."
        (low, least), (high, most) = (f(known, key=lambda k: k[0]) for f in (min, max))
        ends = f"{number(low)} ({self._place(least)}) to {number(high)} ({self._place(most)})"
        return f"All {many} are done: {elide(self.value or '', 40)} from {ends}."

    def _badge(self) -> tuple[str, str]:
        lost = sum(x.failed is not None for x in self.cells)
        return ("bad", f"{lost} failed") if lost else ("good", "All done")

    def _tables(self) -> Iterator[Table]:
        names = distinct([*self.axes, *self.columns, FAILED])
        says: dict[str, tuple[str, str]] = dict.fromkeys(self.axes, ("axis of the grid", ""))
        says |= {n: _says(c) for n, c in zip(names[len(self.axes) :], self.columns, strict=False)}
        rows = [
            (*(_word(x.at.get(a)) for a in self.axes), *(x.numbers.get(c) for c in self.columns), x.failed)
            for x in self.cells
        ]
        title = f"Cells of {elide(self.work, 60)}, seed {self.seed}"
        yield table("cells", title, says | {names[-1]: (_WHY, "")}, rows, len(self.axes))
        if self.value is not None and self.against is not None:
            yield self._curves(self.value, self.against)

    def short(self) -> Table:
        """The cells for a terminal: axes that vary, columns without limits, and failures where there are any."""
        whole = self.tables()["cells"]
        limits = {f"{c}_{end}" for c in self.columns for end in ("low", "high")}
        left = {*self.axes, *limits, FAILED} - {*self._several()}
        if any(x.failed is not None for x in self.cells):
            left.discard(FAILED)
        return replace(whole, columns={k: v for k, v in whole.columns.items() if k not in left})

    def _curves(self, value: str, against: str) -> Table:
        """The column of the picture by the axis of the picture; a curve for all other axes that vary."""
        rest = [a for a in self._several() if a != against]
        columns: Columns = {
            "curve": "where on the other axes", "at": f"where on the axis {against}",
            "value": (f"{value}: {_says(value)[0]}", _says(value)[1]), "low": "lower limit, where there is one",
            "high": "upper limit, where there is one", FAILED: "whether there is no result",
        }  # fmt: skip
        rows = []
        for x in self.cells:
            ends = (x.numbers.get(f"{value}_{end}") for end in ("low", "high"))
            y = x.numbers.get(value)
            curve = _place({a: x.at.get(a) for a in rest}) or value
            rows.append(
                (curve, _word(x.at.get(against)), y if _is_number(y) else None, *ends, x.failed is not None)
            )
        return table("curves", f"{value} against {against}", columns, rows, 2)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; None where there is no number."""
        return self.model_dump(by_alias=True, exclude_unset=True)

    def save_json(self, path: str | Path) -> None:
        """Write the JSON form atomically; `read_result` reads it."""
        ending_of(path, "a result", ".json")
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        write_bytes(path, text.encode(errors="backslashreplace"))

    def save_html(self, path: str | Path) -> None:
        """Write one self-contained page atomically."""
        from .sweep_page import render

        ending_of(path, "a page", ".html", ".htm")
        write_text(path, render(self))

    __repr__ = Result.__repr__
    __str__ = __repr__


def _is_number(x: Any) -> TypeGuard[float]:
    return isinstance(x, int | float) and not isinstance(x, bool)


def _word(x: Any) -> Any:
    """What a table shows of a value on an axis."""
    return json.dumps(x, ensure_ascii=False) if isinstance(x, list | dict) else x


def _place(at: dict[str, Any]) -> str:
    return ", ".join(f"{elide(a, 30)} {elide(str(_word(x)), 40)}" for a, x in at.items())


#: Columns of limits.
_ENDS = {"low": "lower", "high": "upper"}


def _says(column: str) -> tuple[str, str]:
    """What a column says, and its unit, where it is a number of the result JSON."""
    parts = column.split(".")
    for key in (column, f"values.{column}", ".".join([parts[0], "*", *parts[2:]])):
        if key in NUMBERS:
            return NUMBERS[key].says, "" if NUMBERS[key].unit == NONE else NUMBERS[key].unit
    base, _, end = column.rpartition("_")
    if end in _ENDS and f"values.{base}" in NUMBERS:
        return f"{_ENDS[end]} limit of {base}", _says(base)[1]
    return "what the work found", ""


def read_sweep(path: str | Path) -> Sweep:
    """A saved sweep.

    Parameters
    ----------
    path : a JSON file as written by `save_json` or `sweep --json`.

    Raises
    ------
    InvalidInput : no such file, not JSON, another schema, no sweep, missing keys, wrong types; names file and key.

    >>> import tempfile, markov_entanglement as me
    >>> found = me.sweep(lambda n: 2 * n, {"n": [1, 2]}, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found.save_json(f"{folder}/sweep.json")
    ...     me.read_sweep(f"{folder}/sweep.json") == found
    True
    """
    data = read_object(path)
    if data.get("kind") != "sweep":
        got = "the result of an analysis"
        raise InvalidInput(str(path), got, "it must be a sweep", "Read it by me.read_result.")
    return validated(Sweep, path, data)


def read_stored(path: str | Path) -> Document | Sweep:
    """Whatever a result file holds."""
    data = read_object(path)
    return validated(Sweep, path, data) if data.get("kind") == "sweep" else validated(Document, path, data)
