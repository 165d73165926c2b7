"""Expectations over the next counts, matrix-free.

Given passive counts `p` and served counts `z` the arms move independently, so the next counts are a sum of
independent multinomials, one per cell and action:

    n' = sum_x Multinomial(p_x, P_0(x, .)) + Multinomial(z_x, P_1(x, .)).

The operator empties one cell at a time, one binomial split at a time. An intermediate configuration holds what is left
in the cells not yet emptied and what has arrived in the next states. They are numbered so that a split, for every
configuration, is a dot product of a row of a binomial table with a contiguous run of the next vector. The cost is
(configurations) x (mean number of arms in the split cell), far below the number of non-zeros of the matrix: for the
circulant bandit with 100 arms about 10^8 operations against 6 10^9.

Pairs are grouped by the class in which the budget ends: within a group the passive cells lie at and below that class
and the served ones at and above it, which keeps intermediate spaces small.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from .._compiled import compiled
from ..errors import TooLarge, gib
from .count_space import BEYOND, CountPairs, Small, enumerate_counts, enumerate_pairs, pack, ranges

_U = np.uint64  # an unsigned index is never counted from the end, so the inner loops become vector code


@compiled(fastmath={"reassoc"})
def _gather(start: Any, size: Any, table: Any, f: Any, out: Any) -> None:
    for i in range(len(start)):
        s, k = _U(start[i]), _U(size[i])
        row = k * (k + _U(1)) // _U(2)
        total = 0.0
        for j in range(k + _U(1)):
            total += table[row + j] * f[s + j]
        out[i] = total


@compiled
def _scatter(start: Any, size: Any, table: Any, v: Any, out: Any) -> None:
    for i in range(len(start)):
        if v[i] != 0.0:
            s, k = _U(start[i]), _U(size[i])
            row = k * (k + _U(1)) // _U(2)
            for j in range(k + _U(1)):
                out[s + j] += table[row + j] * v[i]


def binomial_table(n: int, q: float, rest: float) -> Floats:
    """Binomial(k, q) probabilities for k = 0..n, row k at `k (k + 1) / 2`; `rest = 1 - q`, exact where it is small."""
    out = np.empty((n + 1) * (n + 2) // 2)
    row = np.ones(1)
    out[0] = 1.0
    for k in range(1, n + 1):
        grown = np.zeros(k + 1)
        grown[:-1] = rest * row
        grown[1:] += q * row
        row = grown
        out[k * (k + 1) // 2 : (k + 1) * (k + 2) // 2] = row
    return out


@dataclass(frozen=True, eq=False)
class _Split:
    """One binomial split: configuration i goes to `start[i] + j` with probability `table[size[i]][j]`."""

    start: NDArray[np.int32]
    size: Small
    table: Floats
    after: int

    def expect(self, f: Floats) -> Floats:
        out = np.empty(len(self.start))
        _gather(self.start, self.size, self.table, f, out)
        return out

    def push(self, v: Floats) -> Floats:
        out = np.zeros(self.after)
        _scatter(self.start, self.size, self.table, v, out)
        return out

    def touches(self, marked: Bools) -> Bools:
        below = np.concatenate([[0], np.cumsum(marked)])
        return np.asarray(below[self.start + self.size.astype(np.int64) + 1] > below[self.start])

    def reaches(self, marked: Bools) -> Bools:
        start, size = self.start[marked], self.size[marked].astype(np.int64)
        edge = np.bincount(start, minlength=self.after + 1)
        edge -= np.bincount(start + size + 1, minlength=self.after + 1)
        return np.asarray(np.cumsum(edge)[:-1] > 0)

    def matrix(self) -> sp.csr_array:
        size = self.size.astype(np.int64)
        row, j = ranges(np.zeros_like(size), size)
        data = self.table[(size * (size + 1) // 2)[row] + j]
        indptr = np.concatenate([[0], np.cumsum(size + 1)])
        return sp.csr_array((data, self.start[row] + j, indptr), shape=(len(size), self.after))


class _Group:
    """Splits of the pairs whose budget ends in one class; `final` is the count state of the last numbers.

    Slots 0..2C-1 are sources (action, cell), 2C..3C-1 the next cells; `columns` are the arms there in every current
    configuration.
    """

    def __init__(self, pairs: Ints, sources: Small, kernels: Floats, find: Any, what: str) -> None:
        types, _, n_states, _ = kernels.shape
        cells = types * n_states
        self.pairs, self.what = pairs, what
        self.n_arms = int(sources.sum(axis=1, dtype=np.int64).max(initial=0))
        self.columns = {
            k: np.ascontiguousarray(sources[:, k]) for k in range(2 * cells) if sources[:, k].any()
        }
        self.splits: list[_Split] = []
        self.bytes = self.peak = last = 0
        laws = {k: kernels[(k % cells) // n_states, k // cells, k % n_states] for k in self.columns}
        supports = {
            k: [2 * cells + (k % cells) // n_states * n_states + int(t) for t in np.flatnonzero(law)]
            for k, law in laws.items()
        }

        def cost(source: int) -> tuple[int, bool, int]:
            """New targets that emptying the source would open; then rather one of the same action as the last."""
            new = sum(t not in self.columns for t in supports[source])
            column = self.columns[source]
            varies = bool(len(column)) and bool(column.min() != column.max())
            return new - varies, source // cells != last // cells, source

        while supports:
            last = min(supports, key=cost)
            law = laws[last]
            self.empty(last, supports.pop(last), law[law > 0])
        rows = len(next(iter(self.columns.values()))) if self.columns else len(pairs)
        final = np.zeros((rows, cells), dtype=np.int16)
        for slot, column in self.columns.items():
            final[:, slot - 2 * cells] = column
        self.columns, self.final = {}, find(final)

    def empty(self, source: int, targets: Sequence[int], law: Floats) -> None:
        """Move the arms of `source` to `targets` with probabilities `law`."""
        order = sorted(range(len(targets)), key=lambda k: targets[k] not in self.columns)
        targets, law = [targets[k] for k in order], law[order]
        for k in range(len(targets) - 2):
            self._split(source, targets[k], source, law[k:])
        if len(targets) > 1:
            self._split(source, targets[-2], targets[-1], law[-2:])
        elif targets[0] in self.columns:
            self._pour(source, targets[0])
        else:
            self.columns[targets[0]] = self.columns.pop(source)

    def _pour(self, source: int, target: int) -> None:
        """All arms of `source` join `target`."""
        self.columns[target] = self.columns[target] + self.columns.pop(source)
        keys = pack(list(self.columns.values()))
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        size = np.zeros(len(inverse), dtype=np.int16)
        self._keep(_Split(inverse.astype(np.int32), size, np.ones(1), len(first)))
        self.columns = {k: c[first] for k, c in self.columns.items()}

    def _split(self, source: int, along: int, other: int, law: Floats) -> None:
        """Of the arms of `source`, Binomial(., law[0] / sum) join `along`, the rest `other` (or stay)."""
        moved = self.columns[source]
        none = np.zeros_like(moved)
        y = self.columns.get(along, none)
        total = moved + y
        if other != source:
            total = total + self.columns.get(other, none)
        rest = {k: c for k, c in self.columns.items() if k not in (source, along, other)}
        _, first, line = np.unique(pack([*rest.values(), total]), return_index=True, return_inverse=True)
        low, high = np.full(len(first), self.n_arms, dtype=np.int64), np.zeros(len(first), dtype=np.int64)
        np.minimum.at(low, line, y.astype(np.int64))
        np.maximum.at(high, line, (y + moved).astype(np.int64))
        offset = np.concatenate([[0], np.cumsum(high - low + 1)])
        need = self.bytes + int(offset[-1]) * (2 * len(rest) + 84)
        refuse_above(need, self.what)
        self.peak = max(self.peak, need)
        start = (offset[line] + y - low[line]).astype(np.int32)
        table = binomial_table(int(moved.max(initial=0)), law[0] / law.sum(), law[1:].sum() / law.sum())
        self._keep(_Split(start, moved, table, int(offset[-1])))
        row, value = ranges(low, high)
        self.columns = {k: c[first][row] for k, c in rest.items()}
        self.columns[along] = value.astype(np.int16)
        self.columns[other] = (total[first][row] - value).astype(np.int16)

    def _keep(self, split: _Split) -> None:
        self.bytes += split.start.nbytes + split.size.nbytes + split.table.nbytes
        self.splits.append(split)


def refuse_above(need: float, what: str) -> None:
    """Raise `TooLarge` if `need` bytes exceed the limit of one analysis."""
    if need > tol.BYTES:
        raise TooLarge(what, f"{gib(need)} of intermediate configurations", gib(tol.BYTES), BEYOND)


class Operator(ABC):
    """`E[f(n') | n, z]` for all J pairs at once, and its transpose."""

    n_counts: int
    n_pairs: int

    @abstractmethod
    def expect(self, f: Floats) -> Floats:
        """(J,) expectation of `f` (K,) at the next counts, given each pair."""

    @abstractmethod
    def push(self, measure: Floats) -> Floats:
        """(K,) law of the next counts when pairs have the given `measure` (J,)."""

    @abstractmethod
    def can_reach(self, marked: Bools) -> Bools:
        """(J,) pairs from which a marked count state (K,) has positive probability, however small."""

    @abstractmethod
    def reached_from(self, marked: Bools) -> Bools:
        """(K,) count states that have positive probability, however small, from a marked pair (J,)."""

    def matrix(self) -> sp.csr_array:
        """(J, K) the same operator as a sparse matrix; refused where its entries would not fit."""
        if self.n_pairs * self.n_counts * 12 > tol.BYTES:
            size, helps = (
                f"{self.n_pairs} x {self.n_counts} entries",
                "Use CountChain.operator, which needs no matrix.",
            )
            raise TooLarge("count transition matrix", size, f"{tol.BYTES / 12:.3g}", helps)
        return self._matrix()

    @abstractmethod
    def _matrix(self) -> sp.csr_array: ...


class CountOperator(Operator):
    """Expectations by binomial splits, a cell at a time; refused before it would not fit."""

    def __init__(self, pairs: CountPairs, kernels: Floats) -> None:
        counts = enumerate_counts(pairs.n_arms, kernels.shape[-1])
        top = max(pairs.n_arms) + 1
        keys = pack(list(counts.T), top)

        def find(rows: Small) -> Ints:
            return np.searchsorted(keys, pack(list(rows.T), top))

        what = f"count operator of {sum(pairs.n_arms)} arms"
        sources = np.hstack([pairs.passive, pairs.served])
        members = [np.flatnonzero(pairs.marginal == k) for k in np.unique(pairs.marginal)]
        self.n_counts, self.n_pairs = len(counts), len(sources)
        self._sources, self._kernels = sources, kernels
        self._groups = [_Group(m, sources[m], kernels, find, what) for m in members]

    @property
    def peak(self) -> int:
        """Largest number of bytes that building one group took, as its guard counts them."""
        return max((g.peak for g in self._groups), default=0)

    def expect(self, f: Floats) -> Floats:
        return self._back(np.asarray(f, dtype=np.float64), _Split.expect)

    def push(self, measure: Floats) -> Floats:
        return self._forth(measure, _Split.push)

    def can_reach(self, marked: Bools) -> Bools:
        return self._back(marked, _Split.touches)

    def reached_from(self, marked: Bools) -> Bools:
        return self._forth(marked, _Split.reaches) > 0

    def _back(self, f: Any, through: Callable[[_Split, Any], Any]) -> Any:
        out = np.empty(self.n_pairs, f.dtype)
        for g in self._groups:
            v = f[g.final]
            for split in reversed(g.splits):
                v = through(split, v)
            out[g.pairs] = v
        return out

    def _forth(self, u: Any, through: Callable[[_Split, Any], Any]) -> Any:
        out = np.zeros(self.n_counts)
        for g in self._groups:
            v = u[g.pairs]
            for split in g.splits:
                v = through(split, v)
            out += np.bincount(g.final, v, minlength=self.n_counts)
        return out

    def _matrix(self) -> sp.csr_array:
        if self._kernels.shape[-1] == 2:
            return self._of_two_states()
        rows, blocks = [], []
        for g in self._groups:
            m = sp.eye_array(len(g.pairs), format="csr")
            for split in g.splits:
                m = m @ split.matrix()
            rows.append(g.pairs)
            blocks.append(m @ sp.eye_array(self.n_counts, format="csr")[g.final])
        return sp.csr_array(sp.vstack(blocks, format="csr")[np.argsort(np.concatenate(rows))])

    def _of_two_states(self) -> sp.csr_array:
        """The matrix of arms with two states: per type a sum of binomials, so each row is a product of convolutions."""
        types = len(self._kernels)
        laws = self._kernels.swapaxes(0, 1).reshape(-1, 2)
        table = [binomial_table(int(n.max()), *law) for n, law in zip(self._sources.T, laws, strict=True)]
        out = np.empty((self.n_pairs, self.n_counts))
        for j, moved in enumerate(self._sources.astype(np.int64)):
            row: Floats = np.ones(1)
            for t in range(types):
                ahead: Floats = np.ones(1)
                for k in (2 * t, 2 * t + 1, 2 * (types + t), 2 * (types + t) + 1):
                    begin = moved[k] * (moved[k] + 1) // 2
                    ahead = np.convolve(ahead, table[k][begin : begin + moved[k] + 1])
                row = np.multiply.outer(row, ahead).reshape(-1)
            out[j] = row
        return sp.csr_array(out)


def predicted_bytes(
    n_arms: Sequence[int] | Ints, n_states: int, ranks: Ints, budget: int, kernels: Floats
) -> float:
    """Bytes that the operator will need, extrapolated from a sixth and a third of the arms.

    The spaces grow like a power of the number of arms whose exponent rises slowly with it, so the
    prediction is a little low; the operator itself counts exactly.
    """
    sizes, peaks = [], []
    for part in (6, 3):
        few = [max(int(n) // part, min(int(n), 1)) for n in n_arms]
        try:
            pairs = enumerate_pairs(few, n_states, ranks, min(budget // part, sum(few)))
            peaks.append(CountOperator(pairs, kernels).peak)
        except TooLarge:
            return float(tol.BYTES) * part  # at least: the spaces grow no slower than the number of arms
        sizes.append(sum(few))
    if min(peaks) == 0 or sizes[0] == sizes[1]:
        return float(max(peaks))
    growth = np.log(peaks[1] / peaks[0]) / np.log(sizes[1] / sizes[0])
    return float(peaks[1] * (sum(n_arms) / sizes[1]) ** growth)
