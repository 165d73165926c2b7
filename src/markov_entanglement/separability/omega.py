"""`Omega_m`, the span of the m x m transition matrices, and its tensor products (Lemma D.1, Theorem D.3).

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

    Raises
    ------
    InvalidInput : m is not a positive integer.

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
    functionals = np.zeros((m * (m - 1) + 1, m, m))
    functionals[0] = 1.0 / m  # the mean row sum c
    functionals[0, :, 1:] -= 1.0
    for j in range(1, len(functionals)):
        k, l = divmod(j - 1, m - 1)
        functionals[j, k, l + 1] = 1.0
    return functionals.reshape(len(functionals), -1)


def realign(transition: Floats, sizes: Sequence[int]) -> Floats:
    """`P[x; x']` as a tensor with one axis (x_i, x_i') per agent, (m_0^2, ..., m_{N-1}^2).

    A product `P_0 (x) ... (x) P_{N-1}` becomes the outer product of the raveled factors.
    """
    n = len(sizes)
    axes = [a for i in range(n) for a in (i, n + i)]
    return transition.reshape(*sizes, *sizes).transpose(axes).reshape([m * m for m in sizes])


def joint(tensor: Floats, sizes: Sequence[int]) -> Floats:
    """The inverse of `realign`: (m_0^2, ..., m_{N-1}^2) to (prod m_i, prod m_i)."""
    n, total = len(sizes), math.prod(sizes)
    split = tensor.reshape([m for size in sizes for m in (size, size)])
    axes = [2 * i for i in range(n)] + [2 * i + 1 for i in range(n)]
    return split.transpose(axes).reshape(total, total)


def project(tensor: Floats, sizes: Sequence[int]) -> Floats:
    """Orthogonal projection of a realigned tensor on the tensor product of the `Omega_{m_i}`.

    One agent at a time: `M_kl - (row sum of k - mean row sum) / m`.
    """
    out = tensor
    for i, m in enumerate(sizes):
        before = math.prod(k * k for k in sizes[:i])
        parts = out.reshape(before, m, m, -1)
        sums = parts.sum(axis=2, keepdims=True)
        out = (parts - (sums - sums.mean(axis=1, keepdims=True)) / m).reshape(tensor.shape)
    return out
