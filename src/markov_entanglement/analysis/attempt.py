"""Parts of an analysis, each of which may be refused without stopping the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..errors import NoConvergence, TooLarge, Unsupported

T = TypeVar("T")


class Attempts:
    """Runs parts and keeps (name, reason) of those that were refused."""

    def __init__(self) -> None:
        self.refused: list[tuple[str, str]] = []

    def run(self, name: str, make: Callable[[], T]) -> T | None:
        """The part, or None when it is too large, does not converge, or does not exist here."""
        try:
            return make()
        except (TooLarge, NoConvergence, Unsupported) as e:
            self.refused.append((name, str(e)))
            return None
