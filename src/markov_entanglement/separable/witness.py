"""Agent-wise separability and the witness against it (Theorem 4.1).

`P` is agent-wise separable iff agent i's next-pair law `p_i(.|x)` depends on x only through `x_i`, for every i.
This is what value decomposition for every reward needs on any support, with Q_i reading its own reward only.

Witness: `R = (1 - gamma)(I - gamma P)^{-1}` is agent-wise separable iff P is. Take the agent whose laws differ
most and the two joint pairs x, y with the same `x_i` and the largest `|p_i^R(.|x) - p_i^R(.|y)|_1`; let `r_i` be
the sign of the difference and all other rewards 0. Then `Q(x) - Q(y) = |.|_1 / (1 - gamma)`, and a function of
`x_i` misses Q by half of it at x or at y. Up to terms of second order the gap is at least
`gamma / (1 + gamma)^2` times the difference of the one-step laws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.spatial.distance import cdist

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._json import plain
from ..laws.rows import Rows
from ..markov.chain import Chain
from ..report.result import Brief
from ..report.table import Table, table


@dataclass(frozen=True, eq=False, repr=False)
class Witness(Brief):
    """Rewards at which no sum of local functions, each of its own agent's reward, equals Q.

    Attributes
    ----------
    rewards : per agent (m_i,) local rewards in {-1, 0, 1}; zero but for `agent`.
    agent : the agent i that is rewarded.
    pairs : (2, N) local pairs of x and y, with `x_i = y_i`.
    rows : (2,) the places of x and y in `chain.pairs`.
    gap : Q(x) - Q(y) > 0; any function of x_i is off by at least half of it.
    discount : gamma.
    additive_residual : largest `|Q - D|` over the chain's pairs for the least-squares additive D. When it is 0,
        local functions that read *all* rewards still exist at these rewards (Appendix E).
    """

    rewards: tuple[Floats, ...]
    agent: int
    pairs: Ints
    rows: tuple[int, int]
    gap: float
    discount: float
    additive_residual: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return plain({k: v for k, v in vars(self).items() if k != "rows"})

    def _brief(self) -> str:
        return f"agent {self.agent}, gap {self.gap:.6g} at discount {self.discount:g}"

    def table(self) -> Table:
        """The rewards, a row for each local pair of each agent."""
        columns = {
            "agent": "number of the agent",
            "pair": "number of its local pair",
            "reward": "local reward",
        }
        rows = [(i, x, r) for i, each in enumerate(self.rewards) for x, r in enumerate(each.tolist())]
        return table("witness", "Rewards at which adding up fails", columns, rows, 2)


@dataclass(frozen=True, eq=False)
class LocalLaws:
    """How well one local law per local pair explains an agent's rows: the mean (m_i, m_i) of `p_i(.|x)` over the pairs
    with the same x_i (NaN where x_i never occurs), the largest `|p_i(.|x) - law(.|x_i)|_1`, and the largest
    `|p_i(.|x) - p_i(.|y)|_1` found with x_i = y_i, between `residual` and twice it, at these two rows."""

    law: Floats
    residual: float
    gap: float
    rows: tuple[int, int]


def local_laws(rows: Rows) -> LocalLaws:
    """The local laws of an agent and what they miss, on all its rows alike."""
    mean, radius = _means(rows.law, rows.key, rows.n_keys)
    gap, x, y = widest(rows.law, rows.key, mean, radius)
    residual = float(radius.max())
    return LocalLaws(freeze(mean), residual, max(gap, residual), (x, y))


def find_witness(chain: Chain, i: int, discount: float) -> Witness:
    """The witness of agent i, whose one-step laws differ between pairs with the same x_i."""
    m, key = chain.sizes[i], chain.pairs[:, i]
    # Q of the reward 1{x_i = t} is the discounted number of visits to t: (1 - gamma)^{-1} p_i^R(t | x).
    # Coarse ones choose the two rows and the reward, whose gap is then solved for; if it is not what they promised, or
    # hardly more than they are off, as good ones as there are choose again.
    for goal in (tol.WITNESS, tol.SOLVE):
        visits = chain.solve(np.eye(m)[key], discount, goal=goal).q
        promised, x, y = widest(visits, key, *_means(visits, key, m))
        reward = np.sign(visits[x] - visits[y])
        q = chain.solve(reward[key], discount).q
        if q[x] - q[y] > 0.5 * promised > 10.0 * goal * visits.max():
            break
    rewards = tuple(freeze(reward if j == i else np.zeros(k)) for j, k in enumerate(chain.sizes))
    pairs, gap = freeze(chain.pairs[[x, y]]), float(q[x] - q[y])
    return Witness(rewards, i, pairs, (x, y), gap, discount, additive_residual(chain, q))


def additive_residual(chain: Chain, q: Floats) -> float:
    """Largest `|q - D|` over the chain's pairs for the additive D of least squares."""
    features = chain.features
    gram = (features.T @ features).toarray()
    fit = np.linalg.pinv(gram, hermitian=True) @ (features.T @ q)
    return float(np.abs(q - features @ fit).max())


def _means(law: Floats, key: Ints, n_keys: int) -> tuple[Floats, Floats]:
    """Mean law of each key (n_keys, m), NaN without rows, and the largest L1 distance to it (n_keys,)."""
    group = sp.csr_array((np.ones(len(key)), (key, np.arange(len(key)))), shape=(n_keys, len(key)))
    count = np.bincount(key, minlength=n_keys)[:, None]
    mean = np.where(count > 0, (group @ law) / np.maximum(count, 1), np.nan)
    radius = np.zeros(n_keys)
    np.maximum.at(radius, key, np.abs(law - mean[key]).sum(axis=1))
    return mean, radius


def widest(law: Floats, key: Ints, mean: Floats, radius: Floats) -> tuple[float, int, int]:
    """(distance, x, y): two rows with the same key that are far apart in L1, the farthest ones unless a key has
    more than `_tolerance.PAIRWISE` rows; there, the farthest from the row that is farthest from the mean."""
    order = np.argsort(key, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(key, minlength=len(radius)))])
    best, x, y = 0.0, 0, 0
    for k in np.argsort(-radius, kind="stable"):
        if 2.0 * radius[k] <= best:
            break
        rows = order[starts[k] : starts[k + 1]]
        if len(rows) > tol.PAIRWISE:
            first = [int(np.abs(law[rows] - mean[k]).sum(axis=1).argmax())]
        else:
            first = list(range(len(rows)))
        distance = cdist(law[rows[first]], law[rows], "cityblock")
        a, b = np.unravel_index(int(distance.argmax()), distance.shape)
        if distance[a, b] > best:
            best, x, y = float(distance[a, b]), int(rows[first[a]]), int(rows[b])
    return best, x, y
