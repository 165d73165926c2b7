"""The kernel of agents that move on their own, `K((s,a), s') = prod_i P_i(s_i' | s_i, a_i)`, never formed: products
along the tree of its joint pairs (`tree.py`), on this machine or on a device (`batched.py`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from .._check import Floats, Ints
from .arrays import HOST, Arrays
from .batched import Batched
from .kernel import Kernel
from .tree import Places, Tree, positive


class ProductKernel(Kernel):
    """`K` on the full product of local states.

    Parameters
    ----------
    kernels : per agent (A_i, S_i, S_i).
    actions : (J, N) the joint actions in use, ascending.
    code : (n,) which of them each pair takes.
    state : (n,) joint state of each pair; None: there is one pair for each joint state, in their order.
    arrays : where the products are computed.
    """

    def __init__(
        self,
        kernels: Sequence[Floats],
        actions: Ints,
        code: Any,
        state: Ints | None = None,
        arrays: Arrays = HOST,
    ) -> None:
        self.kernels, self.actions, self.code, self.state = tuple(kernels), actions, code, state
        self.arrays = arrays

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.code), math.prod(k.shape[1] for k in self.kernels)

    @property
    def _laws(self) -> list[Floats]:
        """Of each agent (A_i S_i, S_i), those of its local pairs, see `own`."""
        return [k.reshape(-1, k.shape[2]) for k in self.kernels]

    @cached_property
    def tree(self) -> Tree:
        """The products of one application, on this machine."""
        return self.tree_of(range(len(self.kernels)))

    @cached_property
    def there(self) -> Tree | Batched:
        """The same where its arrays are."""
        return self.arrays.on(self.tree)

    @cached_property
    def _pattern(self) -> Tree | Batched:
        """The same with ones for positive entries, whose products do not vanish."""
        return self.arrays.on(self.tree.with_laws([positive(law) for law in self._laws]))

    def tree_of(self, agents: Sequence[int], opened: int | None = None) -> Tree:
        """That of these agents, in this order; see `Tree`."""
        return Tree([self._laws[i] for i in agents], lambda k: self.own(agents[k]), opened=opened)

    def own(self, i: int) -> Places:
        """(n,) what agent i does at each pair and its state, as the number `a S_i + s`."""
        sizes = [k.shape[1] for k in self.kernels]
        behind, size = math.prod(sizes[i + 1 :]), sizes[i]
        does = (self.actions[:, i] * size).astype(np.int32)[self.code]
        if self.state is not None:
            return np.asarray(does + (self.state // behind % size).astype(np.int32))
        does.reshape(-1, size, behind)[...] += np.arange(size, dtype=np.int32)[:, None]
        return does

    def apply(self, f: Floats) -> Floats:
        return self._columns(self.there.forward, f)

    def apply_left(self, u: Floats) -> Floats:
        return self._columns(self.there.backward, u)

    def support_left(self, u: Floats) -> Floats:
        return self._columns(self._pattern.backward, (u > 0).astype(np.float64))

    def support(self, f: Floats) -> Floats:
        return self._columns(self._pattern.forward, (f > 0).astype(np.float64))

    def _columns(self, work: Callable[[Any], Any], f: Floats) -> Floats:
        """The image of (n,), or of each column of (n, k)."""
        if f.ndim == 1:
            return self.arrays.back(work(self.arrays.of(f)))
        each = [self.arrays.back(work(self.arrays.of(np.ascontiguousarray(c)))) for c in f.T]
        return np.stack(each, axis=1) if each else np.zeros((len(work(self.arrays.of(f[:, 0]))), 0))
