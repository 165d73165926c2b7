"""Counts and served counts: the states of a restless bandit seen through its symmetry.

Arms of one type are exchangeable, and an index policy (Def. 7.5; equal priorities form one class, served uniformly
among its arms) treats them alike. Under the uniform policy all arms form one class. A *cell* is a type and a local
state, numbered `type * S + state`. The joint pair chain collapses to

- counts `n`, one number per cell, which sum to the number of arms of each type;
- pairs `(n, z)`, `z_x` = number of served arms in cell x, `sum z = M`.

Given `n`, classes are served whole from the top until the budget ends inside the *marginal class*; there
`z` is multivariate hypergeometric. When that class has one cell, `z` is a function of `n`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import gammaln

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import TooLarge, Unsupported
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy, UniformPolicy
from ..model.words import as_policy

#: What answers where counts are too many.
BEYOND = "Use me.entanglement(chain, 'policy'), me.estimate_error(bandit, policy, rng=0) or me.mean_field."
Small = NDArray[np.int16]
Keys = NDArray[Any]


def ranked(bandit: RestlessBandit, policy: Any) -> tuple[IndexPolicy | UniformPolicy, Ints]:
    """A policy of alike arms, also from its word, and the class (C,) of every cell under it; 0 is served first."""
    policy = as_policy(policy, bandit)
    if isinstance(policy, UniformPolicy):
        return policy, np.zeros(bandit.n_types * bandit.n_states, dtype=np.int64)
    if not isinstance(policy, IndexPolicy):
        raise Unsupported(
            "policy", type(policy).__name__, "counts form a chain only if the policy treats alike arms alike",
            "Use me.IndexPolicy or me.UniformPolicy, or me.WeaklyCoupledMDP for other policies.",
        )  # fmt: skip
    return policy, freeze(np.concatenate(bandit.ranks(policy)))


def ranks_of(bandit: RestlessBandit, policy: Any) -> Ints:
    """(C,) class of every cell, see `ranked`."""
    return ranked(bandit, policy)[1]


def pack(columns: Sequence[NDArray[Any]], top: int | None = None) -> Keys:
    """One sortable key per row of small non-negative columns, the first column most significant.

    Keys of different arrays compare if they share an exclusive upper limit `top`.
    """
    tops = [int(c.max(initial=0)) + 1 if top is None else top for c in columns]
    if math.prod(tops) < 2**62:
        key = np.zeros(len(columns[0]), dtype=np.int64)
        for c, size in zip(columns, tops, strict=True):
            if size > 1:
                key *= size
                key += c
        return key
    wide = np.stack(columns, axis=1).astype(">u2")
    return wide.view(f"S{2 * len(columns)}").reshape(-1)


def ranges(low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """All (row, value) with `low[row] <= value <= high[row]`, in order."""
    size = high - low + 1
    row = np.repeat(np.arange(len(size)), size)
    value = np.arange(len(row)) - np.repeat(np.cumsum(size) - size - low, size)
    return row, value


def number_of_counts(n_arms: Sequence[int] | Ints, n_states: int) -> int:
    """Number of count states: product over types of C(N_t + S - 1, S - 1)."""
    return math.prod(math.comb(int(n) + n_states - 1, n_states - 1) for n in n_arms)


def number_of_pairs(n_arms: Sequence[int] | Ints, n_states: int, budget: int) -> int:
    """Number of pairs of counts and served counts with `budget` served arms, whoever they are."""
    ways = [1] + [0] * budget  # with so many served among the types so far
    for n in map(int, n_arms):
        own = [math.comb(n - k + n_states - 1, n - k) * math.comb(k + n_states - 1, k) for k in range(n + 1)]
        ways = [sum(own[k] * ways[m - k] for k in range(min(n, m) + 1)) for m in range(budget + 1)]
    return ways[budget]


def guard_counts(n_arms: Sequence[int] | Ints, n_states: int) -> int:
    """Number of count states; refused where they would not fit."""
    total, cells = number_of_counts(n_arms, n_states), len(n_arms) * n_states
    if total * (2 * cells + 16) > tol.BYTES or max(n_arms) > tol.COUNT_ARMS:
        limit = f"{tol.BYTES / (2 * cells + 16):.3g} states and {tol.COUNT_ARMS} arms of a type"
        raise TooLarge("count space", f"{total:.4g} count states of {sum(n_arms)} arms", limit, BEYOND)
    return total


def enumerate_counts(n_arms: Sequence[int] | Ints, n_states: int) -> Small:
    """(K, C) count states in lexicographic order."""
    guard_counts(n_arms, n_states)
    out = np.zeros((1, 0), dtype=np.int16)
    for n in n_arms:
        left = np.full(len(out), n, dtype=np.int64)
        for _ in range(n_states - 1):
            row, value = ranges(np.zeros_like(left), left)
            out = np.column_stack([out[row], value.astype(np.int16)])
            left = left[row] - value
        out = np.column_stack([out, left.astype(np.int16)])
    return out


def activation(counts: NDArray[Any], ranks: Ints, budget: int) -> Floats:
    """(K, C) chance of service of an arm in each cell, that of its class, given counts (K, C); 0 in an empty class."""
    out = np.zeros(counts.shape)
    left = np.full(len(counts), float(budget))
    for k in range(int(ranks.max()) + 1):
        cells = np.flatnonzero(ranks == k)
        size = counts[:, cells].sum(axis=1, dtype=np.float64)
        served = np.minimum(left, size)
        out[:, cells] = (served / np.maximum(size, 1.0))[:, None]
        left -= served
    return out


@dataclass(frozen=True, eq=False)
class CountPairs:
    """All pairs (counts, served counts) of a bandit under priority classes.

    Attributes
    ----------
    counts : (K, C) count states; count : (J,) row of `counts` of each pair, nondecreasing.
    served : (J, C) number of active arms per cell; probability : (J,) of the pair given its counts.
    marginal : (J,) class in which the budget ends.
    n_arms : arms of each type; budget : M.
    """

    counts: Small
    count: Ints
    served: Small
    probability: Floats
    marginal: Ints
    n_arms: tuple[int, ...]
    budget: int

    @cached_property
    def passive(self) -> Small:
        """(J, C) number of passive arms per cell."""
        return freeze(self.counts[self.count] - self.served)

    @property
    def features(self) -> sp.csr_array:
        """(J, 2 C) passive and active arms per cell."""
        both = np.stack([self.passive, self.served], axis=2)
        return sp.csr_array(both.reshape(len(both), -1)).astype(np.float64)

    def positions(self, passive: Small, served: Small) -> Ints:
        """Positions of the pairs with the given passive and served counts (R, C), which must occur here."""
        keys, order = self._sorted
        return order[np.searchsorted(keys, self._keys(passive, served))]

    def _keys(self, passive: Small, served: Small) -> Keys:
        return pack([*passive.T, *served.T], max(self.n_arms) + 1)

    @cached_property
    def _sorted(self) -> tuple[Keys, Ints]:
        keys = self._keys(self.passive, self.served)
        order = np.argsort(keys, kind="stable")
        return keys[order], order


def enumerate_pairs(n_arms: Sequence[int] | Ints, n_states: int, ranks: Ints, budget: int) -> CountPairs:
    """Every (counts, served) pair with its hypergeometric probability."""
    counts = enumerate_counts(n_arms, n_states)
    row = np.arange(len(counts))
    served = np.zeros((len(row), counts.shape[1]), dtype=np.int16)
    logp = np.zeros(len(row))
    left = np.full(len(row), budget, dtype=np.int64)
    marginal = np.full(len(row), -1, dtype=np.int64)
    for k in range(int(ranks.max()) + 1):
        cells = np.flatnonzero(ranks == k)
        size = counts[:, cells].sum(axis=1, dtype=np.int64)[row]
        marginal[(marginal < 0) & (left <= size)] = k
        take = np.minimum(left, size)
        left = left - take
        logp -= _log_binomial(size, take)
        for cell in cells:
            have = counts[row, cell].astype(np.int64)
            size -= have
            low, high = np.maximum(take - size, 0), np.minimum(take, have)
            pairs, limit = int((high - low + 1).sum()), tol.BYTES / (4 * counts.shape[1] + 160)
            if pairs > limit:
                found = f"{pairs:.4g} pairs of counts and served counts"
                raise TooLarge("count pairs", found, f"{limit:.3g}", BEYOND)
            z = low
            if (low < high).any():
                pick, z = ranges(low, high)
                row, served, logp, have = row[pick], served[pick], logp[pick], have[pick]
                left, marginal, size, take = left[pick], marginal[pick], size[pick], take[pick]
            take = take - z
            served[:, cell] = z
            logp += _log_binomial(have, z)
    p = np.exp(logp)
    p /= np.bincount(row, p, minlength=len(counts))[row]
    for a in (counts, row, served, p, marginal):
        freeze(a)
    return CountPairs(counts, row, served, p, marginal, tuple(int(n) for n in n_arms), budget)


def _log_binomial(n: Ints, k: Ints) -> Floats:
    inner = (k > 0) & (k < n)
    out = np.zeros(n.shape)
    a, b = n[inner], k[inner]
    out[inner] = gammaln(a + 1.0) - gammaln(b + 1.0) - gammaln(a - b + 1.0)
    return out
