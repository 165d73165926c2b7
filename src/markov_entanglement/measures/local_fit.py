"""One function turns rows into a measure: how well can the key alone predict the law?

Mean (Eq. 7): `min_M sum_rows w TV(law, M(.|key))`, one weighted L1 median per key.
Worst (Eq. 5): `min_M max_rows TV(law, M(.|key))`, one minimax centre per key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .._check import Floats, freeze
from ..laws.rows import Rows
from .centre import grouped_minimax_centres
from .median import grouped_l1_medians


@dataclass(frozen=True, eq=False)
class LocalFit:
    """The best local model of one agent and what it misses."""

    kind: Literal["mean", "worst"]
    value: float  # the measure E_i
    per_key: Floats  # (n_keys,) what each key contributes: a summand (mean) or its own maximum (worst)
    law: Floats  # (n_keys, m) the optimal local model M*(.|key); NaN for keys without rows
    gap: float  # certified gap between `value` and a lower limit (0 for the exact median)

    def per_unit(self, count: int) -> Floats:
        """(count,) the measure of each of `count` units that were fitted together."""
        parts = self.per_key.reshape(count, -1)
        return parts.max(axis=1, initial=0.0) if self.kind == "worst" else parts.sum(axis=1)

    def split(self, count: int) -> list[LocalFit]:
        """The fits of the units, one by one."""
        arrays = (self.per_key.reshape(count, -1), self.law.reshape(count, -1, self.law.shape[1]))
        parts = zip(self.per_unit(count).tolist(), *arrays, strict=True)
        return [LocalFit(self.kind, value, key, law, self.gap) for value, key, law in parts]


def fit_mean(rows: Rows) -> LocalFit:
    """The local model of least weighted mean TV; rows of zero weight are ignored."""
    law, value = rows.medians(grouped_l1_medians)
    law = np.where((rows.key_weight > 0)[:, None], law, np.nan)
    return LocalFit("mean", float(value.sum()), freeze(value), freeze(law), 0.0)


def fit_worst(rows: Rows) -> LocalFit:
    """The local model of least maximal TV; every row counts, whatever its weight."""
    order = rows.order
    law, value, gap = grouped_minimax_centres(rows.law[order], rows.starts)
    worst, most = float(value.max(initial=0.0)), float(gap.max(initial=0.0))
    return LocalFit("worst", worst, freeze(value), freeze(law), most)


def plug_in(rows: Rows) -> Floats:
    """(R,) `TV(law, mean law of the key)`: its weighted mean is Ebar_i, with E_i <= Ebar_i <= 2 E_i."""
    mean = np.nan_to_num(rows.mean_law)
    return np.asarray(0.5 * np.abs(rows.law - mean[rows.key]).sum(axis=1))
