"""Witnesses for joint spaces too large for their own tables: learned from partners, or by a classifier of the user's.

Whatever they are, the lower limit holds: they are learned on one half of the time and judged on the other.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .._check import Floats, Ints
from ..errors import InvalidInput
from .contingency import Contingency, Grid
from .limits import Witness

#: Steps by which the law of a partner's table is drawn towards that of the key.
_PRIOR = 2.0


def by_partners(points: Ints) -> Witness:
    """Naive Bayes from the tables of single partners: `prod_j p(u|k, x_j)/p(u|k) > 1` over partners that tell more
    than as many parameters tell by chance. points (C, N): what each context shows of every agent."""

    def witness(grid: Grid, n: Ints) -> Floats:
        """(cells,) 0 or 1 from counts n (cells,)."""
        rows, columns, cells = grid.shape
        f = np.zeros(len(n))
        for k in range(len(rows) - 1):
            high, wide = rows[k + 1] - rows[k], columns[k + 1] - columns[k]
            block = n[cells[k] : cells[k + 1]].reshape(high, wide)
            shown = points[grid.order[rows[k] : rows[k + 1]]]
            f[cells[k] : cells[k + 1]] = (_score(block, shown) > 0).ravel()
        return f

    return witness


def _score(block: Ints, shown: Ints) -> Floats:
    """(rows, columns) log ratios summed over the partners that tell something, of the contexts of one key."""
    score, total = np.zeros(block.shape), block.sum()
    if total == 0:
        return score
    overall = block.sum(axis=0) / total
    for j in range(shown.shape[1]):
        values, which = np.unique(shown[:, j], return_inverse=True)
        if len(values) < 2:
            continue
        counts = np.zeros((len(values), block.shape[1]))
        np.add.at(counts, which.reshape(-1), block)
        seen = counts.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log((counts + _PRIOR * overall) / (seen + _PRIOR) / overall)
            told = np.nansum(counts * np.log(counts / seen / overall))
        chance = 0.5 * max((seen > 0).sum() - 1, 0) * max((overall > 0).sum() - 1, 0)
        if told > 1.5 * chance:
            score += np.nan_to_num(ratio, nan=0.0, neginf=0.0, posinf=0.0)[which.reshape(-1)]
    return score


def by_classifier(table: Contingency, points: Ints, classifier: Any) -> Witness:
    """`p(u|x) > p(u|k)` with p by anything that has `fit(X, y)`, `predict_proba(X)` and `classes_`; X (steps, N)."""
    for need in ("fit", "predict_proba"):
        if not callable(getattr(classifier, need, None)):
            rule = "it must have fit(X, y) and predict_proba(X)"
            raise InvalidInput("classifier", type(classifier).__name__, rule, "E.g. one of scikit-learn's.")

    def witness(grid: Grid, n: Ints) -> Floats:
        """(cells,) 0 or 1 from counts n (cells,)."""
        rows, columns, _ = grid.shape
        high, wide = np.diff(rows), np.diff(columns)
        row = np.repeat(np.arange(len(grid.order)), np.repeat(wide, high))
        column = np.concatenate(
            [np.tile(np.arange(a, b), h) for a, b, h in zip(columns, columns[1:], high, strict=False)]
        )
        x, y = points[grid.order], grid.outcome[column]
        if len(np.unique(y[n > 0])) < 2:
            return np.zeros(len(n))  # nothing to learn
        law = _learned(classifier, np.repeat(x[row], n, axis=0), np.repeat(y, n), x, table.n_outcomes)
        of_column = np.bincount(column, n, int(columns[-1]))
        key = np.repeat(np.arange(len(high)), wide)
        overall = of_column / np.maximum(np.bincount(key, of_column), 1.0)[key]
        return np.asarray(law[row, y] > overall[column], dtype=np.float64)

    return witness


def _learned(classifier: Any, seen: Ints, outcome: Ints, asked: Ints, outcomes: int) -> Floats:
    """(C, outcomes) laws at the contexts asked (C, N), by a copy of the classifier that learns from steps."""
    learner, law = copy.deepcopy(classifier), np.zeros((len(asked), outcomes))
    try:
        learner.fit(seen, outcome)
        law[:, np.asarray(learner.classes_, dtype=np.int64)] = learner.predict_proba(asked)
    except Exception as e:
        rule = "fit(X, y) learns, then predict_proba(X) has a column for each of classes_"
        raise InvalidInput(
            "classifier", f"{type(e).__name__}: {e}", rule, "E.g. one of scikit-learn's."
        ) from e
    if not np.isfinite(law).all():
        rule = "predict_proba(X) gives probabilities"
        raise InvalidInput("classifier", "values that are not finite", rule, "Mend the classifier.")
    return law
