"""Where arrays live: NumPy on this machine, or torch or CuPy on a device, by one namespace of the Array API."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from .._check import Floats, Ints, freeze
from ..errors import InvalidInput, Unsupported


class Arrays:
    """NumPy arrays; what a subclass changes is where they are."""

    #: Whether tasks are shared by threads of this process, and numbers that one task makes, which stay in the cache of a
    #: core.
    threads = True
    task = 1 << 15

    def of(self, a: Floats) -> Any:
        """An array of this machine there."""
        return a

    def places(self, index: Ints) -> Any:
        """Places (k,) there; a slice where they follow each other."""
        if len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
            return slice(int(index[0]), int(index[-1]) + 1)
        return self.of(index)  # type: ignore[arg-type]

    def empty(self, size: int) -> Any:
        """(size,) numbers that nobody has set."""
        return np.empty(size)

    def back(self, a: Any) -> Floats:
        """The same array on this machine."""
        return np.asarray(a)


HOST = Arrays()
