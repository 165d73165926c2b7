"""Error bounds that read the spread of the local values instead of that of the rewards.

For the local values `Q_i = (I - gamma P_i)^{-1} r_i`
`Q - sum_i Q_i = gamma (I - gamma P)^{-1} sum_i (P - Pi_i P) Q_i`, and `(P - Pi_i P) Q_i` at x is the mean of `Q_i`
under `p_i(.|x)` minus that under `P_i(.|x_i)`. Hence, with `tv_i(x) = TV(p_i(.|x), P_i(.|x_i))`,

    ||err||_mu   <= gamma/(1-gamma) sum_i Ebar_i span(Q_i),        Ebar_i = sum_x mu(x) tv_i(x)
    ||err||_inf  <= gamma/(1-gamma) sum_i max_x tv_i(x) span(Q_i)
    ||err||_2,mu <= gamma/(1-gamma) sum_i sigma_i ||Q_i - mean||_{2,mu_i}
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._check import Floats, Ints
from ..laws.rows import Rows
from ..measures.local_fit import plug_in
from ..measures.spectral import spectral_fit
from .approximation import root_mean_square


@dataclass(frozen=True)
class SpanBounds:
    """Upper limits of the decomposition error in L1(mu), over the recurrent pairs and in L2(mu), reward units."""

    mu: float
    sup: float
    l2: float


def span_bounds(
    rows: Sequence[Rows],
    local_q: Sequence[Floats],
    discount: float,
    multiplicity: Sequence[float] | Floats | None = None,
    spectral: Sequence[float] | Floats | None = None,
    signals: Sequence[Ints | None] | None = None,
) -> SpanBounds:
    """The three sums over the units, from `chain.rows(u)` and local values (m_u,), NaN where never visited.

    `multiplicity`: how many agents each unit stands for, or one; `spectral`: sigma_i, where they were measured;
    `signals`: the value of the signal at each visited local pair, where there is one.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.values.spans import span_bounds
    >>> chain = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    >>> span_bounds([chain.rows(i) for i in range(2)], [np.array([0.0, 1.0])] * 2, 0.9)
    SpanBounds(mu=0.0, sup=0.0, l2=0.0)
    """
    mu, sup, l2 = 0.0, 0.0, 0.0
    many = np.ones(len(rows)) if multiplicity is None else multiplicity
    seen_signals = [None] * len(rows) if signals is None else signals
    for u, (agent, q, n, z) in enumerate(zip(rows, local_q, many, seen_signals, strict=True)):
        if n == 0:
            continue
        tv, seen = plug_in(agent), agent.key_weight > 0
        law, worth = agent.key_weight[seen], q[seen]
        # an end is worth 0 and no constant more, so nothing may be subtracted where tasks end
        centred = worth if agent.ended else worth - _means(worth, law, z)
        wide = float(n) * span(worth, z, agent.ended)
        mu += float(agent.weight @ tv) * wide
        sup += float(tv[agent.weight > 0].max(initial=0.0)) * wide
        sigma = float(spectral_fit(agent).value if spectral is None else spectral[u])
        l2 += float(n) * sigma * root_mean_square(law, centred)
    scale = discount / (1.0 - discount)
    return SpanBounds(scale * mu, scale * sup, scale * l2)


def span(values: Floats, signal: Ints | None, ended: bool) -> float:
    """max - min, where a signal is seen the largest of those within one value of it; an end is worth 0."""
    if not len(values):
        return 0.0
    if signal is None:
        return float(np.ptp(np.append(values, np.zeros(int(ended)))))
    return max(float(np.ptp(values[signal == z])) for z in np.unique(signal))


def _means(values: Floats, law: Floats, signal: Ints | None) -> Floats:
    """The mean, where a signal is seen that given its value, at each entry."""
    at = np.zeros(len(values), dtype=np.int64) if signal is None else signal
    mass = np.bincount(at, law)
    return np.asarray((np.bincount(at, law * values) / np.where(mass > 0, mass, 1.0))[at])
