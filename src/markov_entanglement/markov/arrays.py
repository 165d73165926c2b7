"""Where the arrays of large chains live: here as NumPy's, or on a device as those of torch or CuPy, which this module
alone imports, when it is asked to, by the names of the Array API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._check import Floats, Ints
from ..errors import InvalidInput, MissingDependency, short
from .batched import Batched
from .tree import Tree


class Arrays:
    """NumPy arrays of this machine."""

    #: Whether arrays are this machine's.
    here = True

    def on(self, tree: Tree) -> Tree | Batched:
        """The products along a tree, there."""
        return tree

    def of(self, a: Any) -> Any:
        """An array of this machine there."""
        return a

    def back(self, a: Any) -> Floats:
        """The same array on this machine."""
        return np.asarray(a)


class OnDevice(Arrays):
    """Arrays of a namespace of the Array API on a device."""

    #: Numbers that one product makes, so that the device is busy.
    task = 1 << 24
    here = False

    def __init__(self, space: Any, device: Any) -> None:
        self.space, self.device = space, device

    def on(self, tree: Tree) -> Tree | Batched:
        return Batched(tree, self)

    def of(self, a: Any) -> Any:
        return self.space.asarray(a, device=self.device, copy=True)

    def places(self, index: Ints) -> Any:
        """Places (k,) there; a slice where they follow each other."""
        if len(index) and index[-1] - index[0] == len(index) - 1 and (np.diff(index) == 1).all():
            return slice(int(index[0]), int(index[-1]) + 1)
        return self.of(index)

    def empty(self, size: int) -> Any:
        """(size,) numbers that nobody has set."""
        return self.space.empty(size, dtype=self.space.float64, device=self.device)

    def back(self, a: Any) -> Floats:
        from array_api_compat import to_device

        return np.asarray(to_device(a, "cpu"))


HOST = Arrays()


def arrays_on(device: Any) -> Arrays:
    """Where a chain computes: None on this machine by NumPy; else a device of torch, or of CuPy where torch is missing.

    Raises
    ------
    MissingDependency : neither is installed, or array-api-compat is not.
    InvalidInput : there is no such device, or it has no 64-bit numbers.
    """
    if device is None:
        return HOST
    if not isinstance(device, str):
        raise InvalidInput.kind("device", device, "a name", "E.g. device='cuda'.")
    space, place = _namespace()
    try:
        found = OnDevice(space, place(device))
        found.back(found.empty(1))
    except (RuntimeError, AssertionError, TypeError, ValueError, NotImplementedError) as e:
        rule = f"it must be a device of this machine that holds 64-bit numbers ({str(e)[:60]})"
        raise InvalidInput("device", short(device), rule, "Leave it out, or say 'cuda' or 'cpu'.") from None
    return found


def _namespace() -> tuple[Any, Callable[[str], Any]]:
    """The namespace of torch, or of CuPy, and what makes a device of a name."""
    try:
        from array_api_compat import torch

        return torch, str
    except ImportError:
        pass
    try:
        from array_api_compat import cupy

        return cupy, lambda name: cupy.cuda.Device(int(name.partition(":")[2] or 0))
    except ImportError:
        rule, remedy = "products on a device are theirs", "Run: pip install 'markov-entanglement[torch]'"
        raise MissingDependency("device", "no torch or cupy with array-api-compat", rule, remedy) from None
