"""Local values linear in features of the own pair: `Q_i(x_i) = phi_i(x_i) . w_i`, which generalise over pairs.

Both converge to the fixed point of the projected Bellman equation of the marginalised law P_i of Eq. 2,
`Phi'D_i (r_i + gamma P_i Phi w - Phi w) = 0`; one-hot features give the tables themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _check
from .._check import Floats, Ints, freeze
from .._types import ArrayLike
from ..errors import InvalidInput
from .kernels import Steps, Weights, linear
from .layout import Layout
from .states import Counted, Squares, State
from .tabular import Summing
from .td import STEP, Online, StepSize


class Features:
    """Features (m_i, d_i) of the tables, read once."""

    def __init__(self, features: Any) -> None:
        _check.sequence("features", features, "one array (m, d) per agent")
        self.tables = tuple(
            _check.real(f"features[{i}]", f, shape=("m", "d")) for i, f in enumerate(features)
        )

    def fitting(self, sizes: Ints) -> tuple[Floats, ...]:
        """One for each table of so many pairs (G,)."""
        if len(self.tables) != len(sizes):
            got, rule = f"{len(self.tables)} arrays", f"there are {len(sizes)} tables"
            raise InvalidInput("features", got, rule, "One array (m, d) per agent, or per group of `pool`.")
        for i, (f, m) in enumerate(zip(self.tables, sizes, strict=True)):
            if len(f) != m:
                raise InvalidInput.shape(f"features[{i}]", f.shape, (int(m), "d"))
        return self.tables


def limit_of(trace: float) -> str:
    """What they converge to."""
    more = "" if trace == 0.0 else f" with trace {trace:g}"
    return f"the projection of Eq. 2 on its features{more}"


class LinearLSTD(Summing):
    """Least squares temporal differences on features; of several solutions the weights of least norm.

    Parameters
    ----------
    features : per agent (or per group of `pool`) an array (m_i, d_i), a row for each local pair `A s + a`.
    trace : lam in 0..1.
    pool : a label for each agent; those with equal labels share their weights. None: own ones each.

    Raises
    ------
    InvalidInput : features that are no such arrays, or, from `fit`, do not fit the pairs.

    >>> import numpy as np, markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> path = me.simulate(entry.system, entry.policy, 1000, rng=0)
    >>> values = me.LinearLSTD([np.eye(2), np.ones((2, 1))]).fit(path, 0.5)
    >>> bool(values.q(1)[0] == values.q(1)[1])
    True
    """

    def __init__(
        self, features: Sequence[ArrayLike], trace: float = 0.0, *, pool: ArrayLike | None = None
    ) -> None:
        self.features, self.trace, self.pool = Features(features), _check.trace(trace), pool

    def __repr__(self) -> str:
        return f"LinearLSTD({len(self.features.tables)} arrays of features, trace={self.trace:g})"

    def start(self, sizes: Ints, discount: float) -> State:
        layout = Layout.of(self.pool, sizes, discount)
        self.features.fitting(layout.pool.sizes)
        return Counted(layout) if self.trace == 0.0 else Squares(layout, self.trace)

    def _solve(self, state: State) -> Floats:
        features, starts = self.features.tables, state.layout.pool.starts
        out, seen = np.full(state.layout.numbers, np.nan), state.visits > 0
        for at, matrix, right in state.normal():
            for row, a, b in zip(at, matrix, right, strict=True):
                if seen[row].any():
                    phi = features[int(np.searchsorted(starts, row[0], side="right")) - 1]
                    w = np.linalg.lstsq(phi.T @ a @ phi, phi.T @ b, rcond=None)[0]
                    out[row] = phi @ w
        return freeze(out)

    @property
    def words(self) -> tuple[str, str]:
        return f"linear LSTD({self.trace:g})", limit_of(self.trace)


class Weighing:
    """Weights on their way."""

    def __init__(self, layout: Layout, features: tuple[Floats, ...], step: StepSize) -> None:
        self.layout, self.features, self.step, self.count, self.rows = layout, features, step, 0, 0
        group = layout.pool.group
        width = np.array([f.shape[1] for f in features])
        area, own = np.array([f.size for f in features]), width[group]
        scale = np.array(
            [max(float((f**2).sum(axis=1).max(initial=0.0)), np.finfo(float).tiny) for f in features]
        )
        weights = np.zeros(int(width.sum()))
        self.weights = Weights(
            np.concatenate([f.ravel() for f in features]), (np.cumsum(area) - area)[group], own,
            (np.cumsum(width) - width)[group], np.cumsum(own) - own, scale, weights, np.zeros(int(own.sum())),
            np.zeros(layout.numbers, np.int64), weights.copy(), np.zeros(len(features), np.int64), np.zeros(1),
        )  # fmt: skip

    @property
    def found(self) -> Floats:
        """(M,) values of all tables in a row."""
        t, width = self.weights, np.array([f.shape[1] for f in self.features])
        clock = np.repeat(np.maximum(t.clock, 1), width)
        w = np.split(t.area / clock if self.step.averaged else t.w, np.cumsum(width)[:-1])
        each = zip(self.features, w, t.clock > 0, strict=True)
        return np.concatenate([f @ v if met else np.full(len(f), np.nan) for f, v, met in each])


class LinearTD(Online):
    """Linear temporal differences; the steps of `TD`, by transitions, over the largest square of a row of features.

    How fast it converges depends on the features; `LinearLSTD` has no such trouble. It takes one run only.

    Parameters
    ----------
    features : per agent (or per group of `pool`) an array (m_i, d_i), a row for each local pair `A s + a`.
    trace : lam in 0..1. step : see `TD`. pool : see `TD`.

    Raises
    ------
    InvalidInput : as `TD`, and features that are no such arrays or do not fit the pairs.

    >>> import numpy as np, markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> path = me.simulate(entry.system, entry.policy, 1000, rng=0)
    >>> me.LinearTD([np.eye(2), np.ones((2, 1))]).fit(path, 0.5).limit
    'the projection of Eq. 2 on its features'
    """

    other = "me.LinearLSTD(features)"

    def __init__(
        self,
        features: Sequence[ArrayLike],
        trace: float = 0.0,
        step: str | float = STEP,
        *,
        pool: ArrayLike | None = None,
    ) -> None:
        self.features, self.trace, self.size, self.pool = Features(features), _check.trace(trace), step, pool
        StepSize.of(step, 0.0)

    def __repr__(self) -> str:
        return f"LinearTD({len(self.features.tables)} arrays of features, trace={self.trace:g}, step={self.size!r})"

    def start(self, sizes: Ints, discount: float) -> Weighing:
        layout = Layout.of(self.pool, sizes, discount)
        return Weighing(layout, self.features.fitting(layout.pool.sizes), StepSize.of(self.size, discount))

    def _run(self, state: Weighing, steps: Steps, bound: float) -> int:
        way, gamma = state.step, state.layout.discount
        return int(linear(steps, state.weights, way.rule, gamma, self.trace, way.averaged, bound))

    def _told(self, state: Weighing) -> tuple[str, str, Ints]:
        return "linear TD", limit_of(self.trace), state.weights.visits
