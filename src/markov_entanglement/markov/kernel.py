"""The kernel `K(x, s')` from joint pairs to next joint states, never multiplied with the policy.

An explicit sparse matrix, or either this or a product of the agents' kernels (`product`) with tasks that end and start
again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze


class Kernel(ABC):
    """Operations that the algorithms need; n pairs, S states."""

    matrix: sp.csr_array | None = None  # where it is formed
    ends: Floats | None = None  # (n,) chance that the task ends at each pair; None where nothing ends

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(n, S)."""

    @property
    def carried(self) -> sp.csr_array | None:
        """The matrix of `carry`, where it is formed."""
        return self.matrix

    @abstractmethod
    def apply(self, f: Floats) -> Floats:
        """`K f`: (S,) or (S, k) to (n,) or (n, k)."""

    def carry(self, f: Floats) -> Floats:
        """`K_c f`, the part of `K f` in which the task goes on: all of it where nothing ends."""
        return self.apply(f)

    @abstractmethod
    def apply_left(self, u: Floats) -> Floats:
        """`u K`: (n,) to (S,)."""

    def support_left(self, u: Floats) -> Floats:
        """`u > 0` pushed forward: positive exactly on the states that some pair with `u > 0` may reach."""
        return self.apply_left((u > 0).astype(np.float64))

    def support(self, f: Floats) -> Floats:
        """`f > 0` pulled back: positive exactly on the pairs that may reach a state with `f > 0`."""
        return self.apply((f > 0).astype(np.float64))


@dataclass(frozen=True, eq=False)
class SparseKernel(Kernel):
    """An explicit (n, S) sparse matrix."""

    matrix: sp.csr_array

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.matrix.shape[0]), int(self.matrix.shape[1])

    def apply(self, f: Floats) -> Floats:
        return np.asarray(self.matrix @ f)

    def apply_left(self, u: Floats) -> Floats:
        return np.asarray(self.matrix.T @ u)


@dataclass(frozen=True, eq=False)
class RestartKernel(Kernel):
    """`K = K_c + ends (x) restart` among live joint states: what ends starts again."""

    base: Kernel  # from the pairs to live and terminal joint states
    live: Ints  # (S,) places of the live ones among them
    restart: Floats  # (S,) law of the next task's first state

    @property
    def shape(self) -> tuple[int, int]:
        return self.base.shape[0], len(self.live)

    @cached_property
    def ends(self) -> Floats:  # type: ignore[override]
        dead = np.ones(self.base.shape[1])
        dead[self.live] = 0.0
        return freeze(np.minimum(self.base.apply(dead), 1.0))

    @cached_property
    def carried(self) -> sp.csr_array | None:
        return None if self.base.matrix is None else sp.csr_array(self.base.matrix[:, self.live])

    @cached_property
    def matrix(self) -> sp.csr_array | None:  # type: ignore[override]
        again = np.count_nonzero(self.ends) * float(np.count_nonzero(self.restart))
        if self.carried is None or again > tol.EXPLICIT_KERNEL:
            return None
        jumps = sp.csr_array(self.ends[:, None]) @ sp.csr_array(self.restart[None])
        return sp.csr_array(self.carried + jumps)

    def carry(self, f: Floats) -> Floats:
        return np.asarray(self.carried @ f) if self.carried is not None else self.base.apply(self._wide(f))

    def apply(self, f: Floats) -> Floats:
        return self.carry(f) + np.multiply.outer(self.ends, self.restart @ f)

    def apply_left(self, u: Floats) -> Floats:
        return self.base.apply_left(u)[self.live] + float(u @ self.ends) * self.restart

    def support_left(self, u: Floats) -> Floats:
        again = float((u[self.ends > 0] > 0).any())
        return self.base.support_left(u)[self.live] + again * (self.restart > 0)

    def support(self, f: Floats) -> Floats:
        again = float((f[self.restart > 0] > 0).any())
        return self.base.support(self._wide(f)) + again * (self.ends > 0)

    def _wide(self, f: Floats) -> Floats:
        wide = np.zeros((self.base.shape[1], *f.shape[1:]))
        wide[self.live] = f
        return wide


#: Laws (L, S_i) of the next state of each agent, and which of them holds at each of T joint pairs.
Factors = Sequence[tuple[Floats, Ints]]


def product_rows(factors: Factors) -> tuple[Ints, Ints, Floats]:
    """Explicit rows of a product kernel: row (nnz,), ascending, joint next state (nnz,) and probability (nnz,) of each
    entry."""
    row, data = np.arange(len(factors[0][1]), dtype=np.int64), np.ones(len(factors[0][1]))
    column = np.zeros_like(row)
    for laws, at in factors:
        local = sp.csr_array(laws)
        counts = np.diff(local.indptr)[at[row]]
        first = np.repeat(local.indptr[at[row]], counts)
        offset = np.arange(counts.sum(), dtype=np.int64) - np.repeat(np.cumsum(counts) - counts, counts)
        row, column, data = np.repeat(row, counts), np.repeat(column, counts), np.repeat(data, counts)
        column = column * laws.shape[1] + local.indices[first + offset]
        data = data * local.data[first + offset]
    return row, column, data


def product_row_sizes(factors: Factors) -> Floats:
    """(T,) number of nonzeros of each explicit row, as floats (they may be huge)."""
    sizes = [np.count_nonzero(laws, axis=1)[at] for laws, at in factors]
    return np.prod(sizes, axis=0, dtype=np.float64)
