"""No-signalling equations: what every separable transition obeys (Def. 6.2), and the one that is violated.

If P is separable then, for every set K of agents, the law of `x'_K` depends on x only through `x_K`; on the full
product the sets "all agents but one" imply all others. Agent-wise separability is the case of single agents. The
parity chain obeys it for every single agent and violates it for a pair of agents.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Ints, freeze
from .._json import plain
from ..errors import TooLarge
from ..model.spaces import ravel
from ..report.result import Brief
from .decomposition import guard_entries
from .support import Support


@dataclass(frozen=True, eq=False, repr=False)
class Equation(Brief):
    """A violated equation `P(x'_K = next | x) = P(x'_K = next | y)`, with `x_K = y_K`.

    Attributes
    ----------
    agents : K.
    pairs : (2, N) local pairs of x and y.
    rows : (2,) places of x and y in `chain.pairs`.
    next : next local pair of each agent of K.
    values : the two probabilities.
    gap : their difference, > 0.
    """

    agents: tuple[int, ...]
    pairs: Ints
    rows: tuple[int, int]
    next: tuple[int, ...]
    values: tuple[float, float]
    gap: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return plain({k: v for k, v in vars(self).items() if k != "rows"})

    def _brief(self) -> str:
        return f"agents {self.agents}, {self.values[0]:.6g} against {self.values[1]:.6g}"


def worst_equation(support: Support) -> Equation | None:
    """The equation with the largest gap, of the sets of two or more agents that say more than the agent-wise ones."""
    n, entries = len(support.sizes), len(support.local) * support.total
    guard_entries(entries)
    moving = range(n) if support.full else [i for i, k in enumerate(support.sizes) if k > 1]
    if not support.full and entries << len(moving) > tol.SEPARABLE_WORK:
        raise TooLarge("equations of all sets of agents", f"2^{len(moving)} sets on {entries:.3g} entries",
                       f"{tol.SEPARABLE_WORK:.3g} entries", "Ask for `.agentwise`.")  # fmt: skip
    lengths = [n - 1] if support.full else range(min(len(moving), n - 1), 1, -1)
    sets = (k for length in lengths if length > 1 for k in itertools.combinations(moving, length))
    return max((_worst(support, agents) for agents in sets), key=lambda e: e.gap, default=None)


def _worst(support: Support, agents: tuple[int, ...]) -> Equation:
    sizes = [support.sizes[i] for i in agents]
    others = tuple(i + 1 for i in range(len(support.sizes)) if i not in agents)
    marginal = support.law.reshape(-1, *support.sizes).sum(axis=others).reshape(len(support.local), -1)
    key = ravel(support.local[:, list(agents)], sizes)
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    sorted_ = marginal[order]
    spread = np.maximum.reduceat(sorted_, starts) - np.minimum.reduceat(sorted_, starts)
    group, column = np.unravel_index(int(spread.argmax()), spread.shape)
    rows = order[starts[group] : order.size if group + 1 == len(starts) else starts[group + 1]]
    x, y = int(rows[marginal[rows, column].argmax()]), int(rows[marginal[rows, column].argmin()])
    at = zip(agents, np.unravel_index(int(column), sizes), strict=True)
    ahead = tuple(int(support.active[i][t]) for i, t in at)
    values = (float(marginal[x, column]), float(marginal[y, column]))
    pairs, gap = freeze(support.chain.pairs[[x, y]]), float(spread[group, column])
    return Equation(agents, pairs, (x, y), ahead, values, gap)


def local_equation(support: Support, i: int, rows: tuple[int, int]) -> Equation:
    """The violated equation of a single agent, at two rows whose next-pair laws differ."""
    x, y = rows
    law = support.chain.next_law(i)
    t = int(np.abs(law[x] - law[y]).argmax())
    if law[x, t] < law[y, t]:
        x, y = y, x
    values = (float(law[x, t]), float(law[y, t]))
    return Equation((i,), freeze(support.chain.pairs[[x, y]]), (x, y), (t,), values, values[0] - values[1])
