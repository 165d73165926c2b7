"""Joint additive values: one least squares problem for the local tables of all agents together.

`D = sum_i Q_i(x_i)` with `Pi_D (r + gamma P D - D) = 0`, what VDN with tables would converge to: each table reads the
reward of all agents. The limit is `me.additive_values(chain)`. Local learners add up N errors of their own; here these
cancel, so that from as many steps the spread of the error is far smaller.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._compiled import compiled
from .._types import ArrayLike
from ..runs.chunk import Chunk
from ..runs.path import Path
from .fold import Learner
from .layout import Layout
from .result import LocalValues
from .states import present
from .tabular import answer

WORDS = ("joint LSTD", "joint additive values (me.additive_values)")


@compiled
def together(s, now, ahead, paid, visits):  # type: ignore[no-untyped-def]
    """Add `phi phi'` and `phi phi_next'` (M, M), `phi r` and phi, the agents at each local pair."""
    steps, agents = len(s.ended), s.pairs.shape[1]
    at, then = np.empty(agents, np.int64), np.empty(agents, np.int64)
    for k in range(steps):
        here = there = 0
        for i in range(agents):
            if s.pairs[k, i] >= 0:
                at[here] = s.first[i] + s.pairs[k, i]
                here += 1
            if s.pairs[k + 1, i] >= 0:
                then[there] = s.first[i] + s.pairs[k + 1, i]
                there += 1
        if there == 0 and not s.ended[k]:
            continue
        if s.ended[k]:
            there = 0
        for i in range(here):
            row = at[i]
            visits[row] += 1
            paid[row] += s.rewards[k, 0]
            for j in range(here):
                now[row, at[j]] += 1
            for j in range(there):
                ahead[row, then[j]] += 1


class Together:
    """Sums of the normal equations of all tables together."""

    def __init__(self, layout: Layout) -> None:
        m = layout.numbers
        layout.room(4 * m * m)
        self.layout, self.count = layout, 0
        self.now, self.ahead = np.zeros((m, m), np.int64), np.zeros((m, m), np.int64)
        self.paid, self.visits = np.zeros(m), np.zeros(m, np.int64)


def least_norm(now: Floats, ahead: Floats, paid: Floats, discount: float) -> Floats:
    """(M,) tables of least norm among all that add up to the solution; NaN at pairs never left."""
    seen = np.flatnonzero(np.diag(now) > 0)
    gram = now[np.ix_(seen, seen)]
    size, vector = np.linalg.eigh(gram)
    basis = vector[:, size > tol.JOINT_RANK * size[-1]] if len(seen) else vector
    matrix = basis.T @ (gram - discount * ahead[np.ix_(seen, seen)]) @ basis
    q = np.full(len(now), np.nan)
    q[seen] = basis @ np.linalg.solve(matrix, basis.T @ paid[seen])
    return freeze(q)


@dataclass(frozen=True)
class JointLSTD(Learner[Together]):
    """Least squares temporal differences for the tables of all agents at once, on the reward of all together.

    Converges to `me.additive_values`. Of all tables that add up to the same sum it gives those of least norm. An agent
    that is absent adds nothing. Of a path in counts it learns one table per arm type.

    Parameters
    ----------
    pool : a label for each agent; those with equal labels share a table. None: one table each.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> path = me.simulate(entry.system, entry.policy, 1000, rng=0)
    >>> values = me.JointLSTD().fit(path, 0.5)
    >>> values.estimator
    'joint LSTD, 999 steps; converges to joint additive values (me.additive_values)'
    """

    _: KW_ONLY
    pool: ArrayLike | None = None
    joint: ClassVar[bool] = True

    def start(self, sizes: Ints, discount: float) -> Together:
        return Together(Layout.of(self.pool, sizes, discount))

    def step(self, state: Together, chunk: Chunk) -> Together:
        together(state.layout.steps(chunk), state.now, state.ahead, state.paid, state.visits)
        state.count += present(chunk)
        return state

    def merge(self, a: Together, b: Together) -> Together:
        a.count += b.count
        for name in ("now", "ahead", "paid", "visits"):
            getattr(a, name)[:] += getattr(b, name)
        return a

    def finish(self, state: Together) -> LocalValues:
        now, ahead = state.now.astype(np.float64), state.ahead.astype(np.float64)
        q = least_norm(now, ahead, state.paid, state.layout.discount)
        return answer(state.layout, q, state.visits, state.count, WORDS, "")

    def fit_counts(self, path: Path, rewards: tuple[Floats, ...] | None, discount: float) -> LocalValues:
        """From the counts of local pairs of a bandit."""
        assert path.counts is not None and path.served is not None
        at = np.stack([path.counts[:-1] - path.served, path.served], axis=-1)
        wide = at.reshape(len(at), -1).astype(np.float64)
        paid = path.rewards.sum(axis=1) if rewards is None else wide @ np.concatenate(rewards)
        now, then = wide[:-1], wide[1:]
        q = least_norm(now.T @ now, now.T @ then, now.T @ paid[:-1], discount)
        types = len(path.counts[0])
        visits = tuple(map(freeze, at[:-1].sum(axis=0).reshape(types, -1)))
        many = path.counts[0].sum(axis=1)
        return LocalValues(
            tuple(map(freeze, q.reshape(types, -1))), visits, discount, len(now), *WORDS, many=many
        )
