"""What every answer offers: tables, frames, CSV, pictures, a card for notebooks. A result states a sentence and tables.

Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, overload

from ..errors import InvalidInput
from .table import Table

if TYPE_CHECKING:
    import pandas
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 160


class Brief:
    """Whatever shows as one short line: its class and what its line says."""

    def _brief(self) -> str:
        """What its line says."""
        raise NotImplementedError

    def __repr__(self) -> str:
        line = " ".join(self._brief().split())
        return f"{type(self).__name__}({line if len(line) <= _WIDTH else line[: _WIDTH - 1] + '…'})"


class Result(Brief):
    """A result: what was found in a sentence, and its numbers in tables. Everything else is made of these two.

    >>> import markov_entanglement as me
    >>> found = me.entanglement(me.gallery.build("appendix-e").chain(), "atv")
    >>> found.sentence
    'Most entangled: B, 0.4 (atv); all agents sum to 0.4.'
    >>> {name: list(table.columns)[:3] for name, table in found.tables().items()}
    {'entanglement': ['agent', 'distance', 'value'], 'numbers': ['number', 'value', 'low']}
    """

    #: Kinds of pictures that an overview shows side by side; none: there is no overview.
    _panels: ClassVar[tuple[str, ...]] = ()
    #: What a card calls it; "": its class.
    _what: ClassVar[str] = ""
    #: What one may call beside what every result offers.
    _calls: ClassVar[tuple[str, ...]] = ()

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        raise NotImplementedError

    def _tables(self) -> Iterable[Table]:
        """Its tables, the main one first."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and words, as JSON has them; None where there is no number."""
        raise NotImplementedError

    def _badge(self) -> tuple[str, str] | None:
        """How good the news is ("good", "bad" or "open") and the answer in a word or two, where there is one."""
        return None

    def tables(self) -> dict[str, Table]:
        """The tables of this result by name, the main one first."""
        return {t.name: t for t in self._tables()}

    def _pick(self, name: str | None) -> Table:
        found = self.tables()
        if name is None:
            return next(iter(found.values()))
        if not isinstance(name, str) or name not in found:
            raise InvalidInput.unknown("table", name, found, f"the tables of this {type(self).__name__} are")
        return found[name]

    def to_dataframe(self, table: str | None = None) -> pandas.DataFrame:
        """A table as a pandas frame; None takes the main one.

        Raises
        ------
        InvalidInput : there is no such table; names those that there are.
        MissingDependency : pandas is not installed.
        """
        return self._pick(table).to_dataframe()

    def to_xarray(self, table: str | None = None) -> xarray.Dataset:
        """A table as an xarray Dataset with named dimensions; None takes the main one.

        Raises
        ------
        InvalidInput : there is no such table; names those that there are.
        MissingDependency : xarray is not installed.
        TooLarge : the grid would be far larger than the table.
        """
        return self._pick(table).to_xarray()

    def save_csv(self, path: str | Path, table: str | None = None) -> None:
        """Write a table as CSV, atomically; None takes the main one.

        Raises
        ------
        InvalidInput : there is no such table, or the file cannot be written.
        """
        self._pick(table).save_csv(path)

    @overload
    def plot(self, kind: str | None = ..., ax: None = ...) -> Figure: ...

    @overload
    def plot(self, kind: str | None = ..., *, ax: Axes) -> Axes: ...

    @overload
    def plot(self, kind: str | None, ax: Axes) -> Axes: ...

    def plot(self, kind: str | None = None, ax: Axes | None = None) -> Figure | Axes:
        """Draw this result with your matplotlib settings.

        Parameters
        ----------
        kind : what to draw; None takes the main picture. A wrong one names those that there are.
        ax : axes to draw into; None makes a figure.

        Returns
        -------
        The figure made, which notebooks show and `savefig` saves; or `ax`.

        Raises
        ------
        InvalidInput : there is no such picture of this result.
        """
        from .figures import plot

        return plot(self, kind, ax)

    def _repr_html_(self) -> str:
        from .card import render_card

        return render_card(self)

    def _brief(self) -> str:
        return self.sentence
