"""What local values read of the local pairs that are stepped: all of them, or what they leave out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._check import Floats, Ints
from ..model.spaces import Spaces
from .flows import Flows


@dataclass(frozen=True)
class View:
    """All is read: local pairs of values are those of the system."""

    system: Any

    @property
    def spaces(self) -> Spaces:
        """Of what is read."""
        spaces: Spaces = self.system.spaces
        return spaces

    @property
    def kernels(self) -> Sequence[Floats] | None:
        """(A_i, S_i, S_i) that teach the next state at local pairs that no run left; None where nothing does."""
        kernels: Sequence[Floats] | None = self.system.own_laws
        return kernels if self.system.ends is None else None

    def pairs(self, pairs: Ints) -> Ints:
        """What is read of local pairs (..., N)."""
        return pairs

    def wide(self, tables: Sequence[Floats]) -> Sequence[Floats]:
        """Tables of what is read, on the local pairs of the system."""
        return tables

    def flows(self, flows: Flows) -> Flows:
        """Moves between what is read."""
        return flows

    def means(self, flows: Flows, tables: Sequence[Floats]) -> Sequence[Floats]:
        """Means of tables on the local pairs of the system given what is read, along flows."""
        return tables
