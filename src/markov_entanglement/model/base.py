"""What every system is: something that becomes a chain under a policy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .spaces import Labels


class Model(ABC):
    """A system of agents.

    Attributes
    ----------
    discount : gamma, or None.
    labels : display names.
    """

    discount: float | None
    labels: Labels

    @property
    @abstractmethod
    def n_agents(self) -> int:
        """Number of agents N."""

    @abstractmethod
    def under(self, policy: Any = None, *, initial: Any = None) -> Any:
        """The chain that it follows under `policy`."""
