"""Error bounds that read the spread of the local values instead of the rewards (spec section 4).

`Q - sum_i Q_i = gamma (I - gamma P)^{-1} sum_i (P - Pi_i P) Q_i`, and `(P - Pi_i P) Q_i` at x is the mean of `Q_i`
under `p_i(.|x)` minus that under `P_i(.|x_i)`. Hence, with `tv_i(x) = TV(p_i(.|x), P_i(.|x_i))`,

    ||err||_mu   <= gamma/(1-gamma) sum_i Ebar_i span(Q_i),        Ebar_i = sum_x mu(x) tv_i(x)
    ||err||_inf  <= gamma/(1-gamma) sum_i max_x tv_i(x) span(Q_i)
    ||err||_2,mu <= gamma/(1-gamma) sum_i sigma_i ||Q_i - mean||_{2,mu_i}

`Q_i = (I - gamma P_i)^{-1} r_i` throughout. Rows of positive weight are the recurrent pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._check import Floats
from ..laws.rows import Rows
from ..measures.local_fit import plug_in
from ..measures.spectral import spectral_fit
from .approximation import root_mean_square


@dataclass(frozen=True)
class SpanBounds:
    """Upper limits of the decomposition error, reward units.

    Attributes
    ----------
    mu : of the L1(mu) norm.
    sup : of the sup norm over the recurrent pairs.
    """

    mu: float
    sup: float


def span_bounds(
    rows: Sequence[Rows],
    local_q: Sequence[Floats],
    discount: float,
    multiplicity: Sequence[float] | Floats | None = None,
) -> SpanBounds:
    """`gamma/(1-gamma) sum_i Ebar_i span(Q_i)`, mean and maximum over the rows.

    Parameters
    ----------
    rows : per unit, from `chain.rows(u)`.
    local_q : per unit (m_u,) local values; NaN where never visited.
    discount : gamma.
    multiplicity : how many agents each unit stands for; None: one.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.values.spans import span_bounds
    >>> chain = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    >>> span_bounds([chain.rows(i) for i in range(2)], [np.array([0.0, 1.0])] * 2, 0.9).sup
    0.0
    """
    mean, worst = 0.0, 0.0
    many = np.ones(len(rows)) if multiplicity is None else multiplicity
    for agent, q, n in zip(rows, local_q, many, strict=True):
        if n == 0:
            continue
        tv = plug_in(agent)
        ended = [0.0] if agent.ended else []
        span = float(n) * float(np.nanmax([*q, *ended]) - np.nanmin([*q, *ended]))
        mean += float(agent.weight @ tv) * span
        worst += float(tv[agent.weight > 0].max(initial=0.0)) * span
    scale = discount / (1.0 - discount)
    return SpanBounds(scale * mean, scale * worst)


def spectral_bound(
    rows: Sequence[Rows],
    local_q: Sequence[Floats],
    discount: float,
    multiplicity: Sequence[float] | Floats | None = None,
) -> float:
    """`gamma/(1-gamma) sum_i sigma_i ||Q_i - mean||_{2,mu_i}`, an upper limit of the L2(mu) error.

    Parameters
    ----------
    rows : per unit, from `chain.rows(u)`.
    local_q : per unit (m_u,) local values; NaN where never visited.
    discount : gamma.
    multiplicity : how many agents each unit stands for; None: one.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.values.spans import spectral_bound
    >>> chain = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    >>> spectral_bound([chain.rows(i) for i in range(2)], [np.array([0.0, 1.0])] * 2, 0.9)
    0.0
    """
    total = 0.0
    many = np.ones(len(rows)) if multiplicity is None else multiplicity
    for agent, q, n in zip(rows, local_q, many, strict=True):
        if n == 0:
            continue
        seen = agent.key_weight > 0
        law = agent.key_weight[seen]
        # an end is worth 0 and no constant more, so nothing may be subtracted where tasks end
        centred = q[seen] - (0.0 if agent.ended else law @ q[seen] / law.sum())
        total += float(n) * spectral_fit(agent).value * root_mean_square(law, centred)
    return discount / (1.0 - discount) * total
