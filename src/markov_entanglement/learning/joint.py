"""Joint additive values: one least squares problem for the local tables of all agents together.

`D = sum_i Q_i(x_i)` with `Pi_D (r + gamma P D - D) = 0`, what VDN with tables would converge to: each table reads the
reward of all agents. The limit is `me.additive_values(chain)`. Local learners add up N errors of their own; here these
cancel, so that from as many steps the spread of the error is far smaller.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._compiled import compiled
from .._types import ArrayLike
from ..laws.source import Space
from ..measures.spectral import additive_basis
from ..runs.chunk import Chunk
from ..runs.path import Path
from ..values.additive import joint_additive
from ..values.decomposition import decompose
from .fold import Learner
from .layout import Layout
from .result import LocalValues
from .states import present
from .tabular import answer, of_types

WORDS = ("joint LSTD", "joint additive values (me.additive_values)")


@compiled
def gather(pairs, first, phi, met):  # type: ignore[no-untyped-def]
    """Fill phi (M,) with the agents at each local pair, and `met` with the pairs that have some; how many these are."""
    found = 0
    for i in range(len(pairs)):
        if pairs[i] >= 0:
            row = first[i] + pairs[i]
            if phi[row] == 0:
                met[found] = row
                found += 1
            phi[row] += 1
    return found


@compiled
def together(s, now, ahead, paid, visits):  # type: ignore[no-untyped-def]
    """Add `phi phi'` and `phi phi_next'` (M, M), `phi r` and phi, the agents at each local pair."""
    steps, agents = len(s.ended), s.pairs.shape[1]
    phi, then = np.zeros(len(paid), np.int64), np.zeros(len(paid), np.int64)
    here, there = np.empty(agents, np.int64), np.empty(agents, np.int64)
    for k in range(steps):
        n, m = gather(s.pairs[k], s.first, phi, here), gather(s.pairs[k + 1], s.first, then, there)
        if m > 0 or s.ended[k]:
            for i in range(n):
                row = here[i]
                visits[row] += phi[row]
                paid[row] += phi[row] * s.rewards[k, 0]
                for j in range(n):
                    now[row, here[j]] += phi[row] * phi[here[j]]
                for j in range(0 if s.ended[k] else m):
                    ahead[row, there[j]] += phi[row] * then[there[j]]
        phi[here[:n]] = 0
        then[there[:m]] = 0


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


@dataclass(frozen=True, eq=False)
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
    joint = True

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

    def limit_on(self, space: Space, discount: float) -> Floats:
        values = decompose(space, space.read_rewards(None), discount)
        return joint_additive(values, additive_basis(space)).sum_q

    def fit_counts(self, path: Path, rewards: tuple[Floats, ...] | None, discount: float) -> LocalValues:
        """From the counts of local pairs of a bandit."""
        assert path.counts is not None and path.served is not None
        at = np.stack([path.counts[:-1] - path.served, path.served], axis=-1)
        wide = at.reshape(len(at), -1).astype(np.float64)
        paid = path.rewards.sum(axis=1) if rewards is None else wide @ np.concatenate(rewards)
        now, then = wide[:-1], wide[1:]
        q = least_norm(now.T @ now, now.T @ then, now.T @ paid[:-1], discount)
        types = len(path.counts[0])
        return of_types(path, q.reshape(types, -1), at[:-1].sum(axis=0).reshape(types, -1), discount, WORDS)
