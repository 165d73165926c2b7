"""`Omega_m`, the span of the m x m transition matrices, and its tensor products (Lemma D.1).

`Omega_m` = matrices with equal row sums, of dimension `m (m - 1) + 1`, with the basis of transition matrices

    T_0     = "all rows go to 0",
    T_{k,l} = "row k goes to l, all others to 0",   k = 0..m-1,  l = 1..m-1.

A matrix M with row sum c is `sum_{k, l>=1} M_kl T_{k,l} + (c - sum_{k, l>=1} M_kl) T_0`. On the full product of
local pairs P is separable (Def. 6.2) iff it lies in `Omega_{m_0} (x) ... (x) Omega_{m_{N-1}}`.

Guarantee: the orthogonal projection on the tensor product acts on one agent at a time and removes nothing from
a separable P, so rounding noise off the space can be projected away at every stage of a decomposition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import _check
from .._check import Floats, freeze


def omega_dimension(sizes: Sequence[int]) -> int:
    """Dimension of the span of separable matrices, `prod_i (m_i (m_i - 1) + 1)`.

    >>> omega_dimension((2,)), omega_dimension((2, 3))
    (3, 21)
    """
    return math.prod(m * (m - 1) + 1 for m in _check.sizes("sizes", sizes))


def omega_basis(m: int) -> Floats:
    """The basis `T_0, T_{0,1}, ..., T_{m-1,m-1}` of `Omega_m`, (m (m - 1) + 1, m, m), each a transition matrix.

    >>> omega_basis(2)[1]
    array([[0., 1.],
           [1., 0.]])
    """
    m = _check.integer("m", m, low=1)
    basis = np.zeros((m * (m - 1) + 1, m, m))
    basis[:, :, 0] = 1.0
    for j in range(1, len(basis)):
        k, l = divmod(j - 1, m - 1)
        basis[j, k] = 0.0
        basis[j, k, l + 1] = 1.0
    return freeze(basis)


def coordinate_map(m: int) -> Floats:
    """(m (m - 1) + 1, m^2): from a raveled matrix of `Omega_m` to its coordinates in `omega_basis(m)`."""
    entries = np.eye(m * m).reshape(m, m, -1)[:, 1:].reshape(-1, m * m)  # M_kl for l >= 1
    return np.vstack([1.0 / m - entries.sum(axis=0), entries])  # first the mean row sum c less all of them


def realign(matrix: Floats, rows: Sequence[int], columns: Sequence[int]) -> Floats:
    """`P[x; x']` as a tensor with one axis (x_i, x_i') per agent, (rows_0 columns_0, ..., rows_{N-1} columns_{N-1}).

    A product `P_0 (x) ... (x) P_{N-1}` becomes the outer product of the raveled factors. For transitions
    `rows = columns = (m_0, ..., m_{N-1})`; for policies the rows are local states, the columns local actions.
    """
    n = len(rows)
    axes = [a for i in range(n) for a in (i, n + i)]
    return matrix.reshape(*rows, *columns).transpose(axes).reshape(_axes(rows, columns))


def joint(tensor: Floats, rows: Sequence[int], columns: Sequence[int]) -> Floats:
    """The inverse of `realign`: a matrix (prod rows_i, prod columns_i)."""
    n = len(rows)
    split = tensor.reshape([k for pair in zip(rows, columns, strict=True) for k in pair])
    axes = [2 * i for i in range(n)] + [2 * i + 1 for i in range(n)]
    return split.transpose(axes).reshape(math.prod(rows), math.prod(columns))


def project(tensor: Floats, rows: Sequence[int], columns: Sequence[int]) -> Floats:
    """Orthogonal projection of a realigned tensor on the products of matrices with equal row sums.

    One agent at a time: `M_kl - (row sum of k - mean row sum) / columns`.
    """
    out = tensor
    for i, (m, k) in enumerate(zip(rows, columns, strict=True)):
        parts = out.reshape(math.prod(_axes(rows[:i], columns[:i])), m, k, -1)
        sums = parts.sum(axis=2, keepdims=True)
        out = (parts - (sums - sums.mean(axis=1, keepdims=True)) / k).reshape(tensor.shape)
    return out


def _axes(rows: Sequence[int], columns: Sequence[int]) -> list[int]:
    return [m * k for m, k in zip(rows, columns, strict=True)]
