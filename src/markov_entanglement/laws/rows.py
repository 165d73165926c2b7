"""Rows (key, weight, law): all that the agent-wise measures ever see.

An exact chain, a configuration chain, a trajectory with a one-step model, an exogenous chain, a
neighbour set and a policy all become such rows; a new kind of system is a new way to yield them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._check import Bools, Floats, Ints, freeze, sums_by

#: Laws (R, m) and weights (R,) sorted by group, where each begins -> the median of each, and the distance from it.
Medians = Callable[[Floats, Floats, Ints], tuple[Floats, Floats]]


@dataclass(frozen=True, eq=False, repr=False)
class Rows:
    """What one agent can and cannot see: R rows."""

    key: Ints  # (R,) what the local model may read, in 0..n_keys-1 (for Eq. 7: the local pair x_i)
    weight: Floats  # (R,) occupancy of the row, sums to 1
    law: Floats  # (R, m) the law that the local model must predict (for Eq. 7: p_i(.|x))
    n_keys: int  # number of possible keys
    #: (R,) True on rows of the long run, or what finds them when asked; None: those of positive weight.
    recurrent: Bools | Callable[[], Bools] | None = None
    ended: bool = False  # the last column of `law` is the chance that the task ends

    def __repr__(self) -> str:
        return f"Rows({len(self.key)} rows, {self.n_keys} keys, laws over {self.law.shape[1]})"

    @cached_property
    def inside(self) -> Bools:
        """(R,) True on rows of the long run."""
        if self.recurrent is None:
            return self.weight > 0
        return self.recurrent() if callable(self.recurrent) else self.recurrent

    @cached_property
    def order(self) -> Ints:
        """(R,) rows sorted by key."""
        small = (
            self.key.astype(np.uint16) if self.n_keys < 2**16 else self.key
        )  # these are sorted digit by digit
        return freeze(np.argsort(small, kind="stable"))

    @cached_property
    def starts(self) -> Ints:
        """(n_keys + 1,) where each key's run begins in `order`."""
        counts = np.bincount(self.key, minlength=self.n_keys)
        return freeze(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))

    @cached_property
    def key_weight(self) -> Floats:
        """(n_keys,) total weight of each key."""
        return freeze(sums_by(self.key, self.weight, self.n_keys))

    @cached_property
    def mean_law(self) -> Floats:
        """(n_keys, m) weighted mean of the laws of each key (Eq. 2); NaN where the weight is 0."""
        out = self.sums(self.law * self.weight[:, None])
        with np.errstate(invalid="ignore", divide="ignore"):
            out /= self.key_weight[:, None]
        out[self.key_weight == 0] = np.nan
        return freeze(out)

    def sums(self, values: Floats) -> Floats:
        """(n_keys, ...) sums of row values by key."""
        out = np.zeros((self.n_keys, *values.shape[1:]))
        filled = np.flatnonzero(np.diff(self.starts))
        if len(filled):
            out[filled] = np.add.reduceat(values[self.order], self.starts[filled], axis=0)
        return out

    def where(self, keep: Bools | Ints) -> Rows:
        """The rows with `keep` true, or at these places."""
        inside = None if self.recurrent is None else self.inside[keep]
        return Rows(self.key[keep], self.weight[keep], self.law[keep], self.n_keys, inside, self.ended)

    def in_the_long_run(self) -> Rows:
        """The recurrent rows."""
        return self.where(self.inside)

    def refine(self, other: Ints, n_other: int) -> Rows:
        """The same rows when the local model may also read `other` (R,) in 0..n_other-1.

        Keys are renumbered to those that occur, so the cost does not grow with the product.
        """
        key, top = self.key * n_other + other, self.n_keys * n_other
        if top <= len(key):
            number = np.cumsum(np.bincount(key, minlength=top) > 0)
            key, n_keys = number[key] - 1, int(number[-1])
        else:
            _, key = np.unique(key, return_inverse=True)
            key = key.reshape(-1).astype(np.int64)
            n_keys = int(key.max(initial=-1)) + 1
        return Rows(key, self.weight, self.law, n_keys, self.recurrent, self.ended)

    def medians(self, medians: Medians) -> tuple[Floats, Floats]:
        """(n_keys, m) the weighted L1 median of the laws of each key, and (n_keys,) the distance from it."""
        return medians(self.law[self.order], self.weight[self.order], self.starts)

    def merge(self) -> Rows:
        """One row for all that have the same key and law to the last bit, their weights added."""
        table = np.column_stack([self.key, self.law]) + 0.0
        rows = np.ascontiguousarray(table).view(f"V{8 * table.shape[1]}").ravel()
        _, first, group = np.unique(rows, return_index=True, return_inverse=True)
        weight, inside = sums_by(group.reshape(-1), self.weight, len(first)), None
        if self.recurrent is not None:
            inside = sums_by(group.reshape(-1), self.inside.astype(np.float64), len(first)) > 0
        return Rows(self.key[first], weight, self.law[first], self.n_keys, inside, self.ended)

    @staticmethod
    def concat(parts: Sequence[Rows]) -> Rows:
        """The rows of several units of equal sizes in one, the keys of the k-th shifted by k times `n_keys`."""
        n = parts[0].n_keys
        key = np.concatenate([part.key + k * n for k, part in enumerate(parts)])
        weight, law = (np.concatenate([getattr(p, name) for p in parts]) for name in ("weight", "law"))
        inside = [p.inside for p in parts]
        return Rows(key, weight, law, n * len(parts), np.concatenate(inside), parts[0].ended)
