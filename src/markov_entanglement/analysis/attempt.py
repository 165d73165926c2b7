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

    def run(self, name: str, make: Callable[[], T], *, may_lack: bool = False) -> T | None:
        """The part, or None when it is too large or does not converge; or, if it `may_lack`, is not defined."""
        try:
            return make()
        except (TooLarge, NoConvergence) as e:
            self.refused.append((name, str(e)))
            return None
        except Unsupported as e:
            if not may_lack:
                raise
            self.refused.append((name, str(e)))
            return None
