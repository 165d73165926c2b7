"""Error bounds by theorem, beside the truth (the paper's Table 1).

Theorems 5.5 (N = 2), H.2: `||err||_inf <= 4 gamma sum_i E_i r_i^max / (1-gamma)^2`, E_i by `atv`.
Theorems 5.10 (N = 2), 6.3: the same for `||err||_mu` with `mu-atv`; Prop. 7.2: `policy` is an upper limit
of `mu-atv`.
Prop. J.7 adds `e(r)/(1-gamma)` when the reward is shared. Rewards may be shifted by constants
without changing the error, so `r_i^max` may be half the span of r_i: a free improvement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidInput
from ..markov.chain import Chain
from ..measures.entanglement import Entanglement
from ..measures.local_fit import LocalFit, plug_in
from .decomposition import ValueDecomposition


@dataclass(frozen=True)
class Bound:
    """One line of the table.

    Attributes
    ----------
    name : theorem and variant.
    distance : measure that it reads.
    norm : "mu", "sup" or "l2".
    value : the bound, reward units.
    truth : the error that it bounds.
    """

    name: str
    distance: str
    norm: str
    value: float
    truth: float

    @property
    def ratio(self) -> float:
        """Bound over truth; infinite when the truth is 0 and the bound is not."""
        if self.truth > 0:
            return self.value / self.truth
        return 1.0 if self.value == 0 else float("inf")

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"distance": self.distance, "norm": self.norm, "bound": self.value, "truth": self.truth}


def theorem_bound(per_agent: Iterable[float], r_max: Iterable[float], discount: float) -> float:
    """`4 gamma sum_i E_i r_i^max / (1-gamma)^2` (Theorems 5.3, 5.5, 5.10, 6.3, H.2)."""
    weighted = sum(e * r for e, r in zip(per_agent, r_max, strict=True))
    return float(4.0 * discount * weighted / (1.0 - discount) ** 2)


_THEOREM = {
    "atv": ("sup", "Theorem 5.5", "Theorem H.2"),
    "mu-atv": ("mu", "Theorem 5.10", "Theorem 6.3"),
    "policy": ("mu", "Theorem 5.10 with Prop. 7.2", "Theorem 6.3 with Prop. 7.2"),
}


def error_bounds(
    decomposition: ValueDecomposition, entanglements: Mapping[str, Entanglement] | Sequence[Entanglement]
) -> tuple[Bound, ...]:
    """Every bound that the given measures support, with the truth beside it.

    Parameters
    ----------
    decomposition : from `value_decomposition`.
    entanglements : measures of the same chain.

    Returns
    -------
    tuple of Bound

    Raises
    ------
    InvalidInput : a measure with another number of agents.

    >>> import markov_entanglement as me
    >>> chain = me.gallery.build("circulant").chain()
    >>> d = me.value_decomposition(chain)
    >>> table = me.error_bounds(d, [me.entanglement(chain, "mu-atv")])
    >>> all(b.value >= b.truth for b in table)
    True
    """
    measures = list(entanglements.values() if isinstance(entanglements, Mapping) else entanglements)
    chain, gamma = decomposition.chain, decomposition.discount
    seen = [np.unique(chain.pairs[chain.recurrent, i]) for i in range(chain.n_agents)]
    r_max = [float(np.abs(r[s]).max()) for r, s in zip(decomposition.rewards, seen, strict=True)]
    half = [float(np.ptp(r[s])) / 2 for r, s in zip(decomposition.rewards, seen, strict=True)]
    slack = 0.0 if decomposition.shared is None else decomposition.shared.error / (1.0 - gamma)
    out = []
    for e in measures:
        if e.distance not in _THEOREM:
            continue
        if len(e.fits) != chain.n_agents:
            raise InvalidInput(
                "entanglements",
                f"{len(e.fits)} agents",
                f"the chain has {chain.n_agents}",
                "Measure the same chain.",
            )
        norm, two, many = _THEOREM[e.distance]
        if slack and norm == "sup":
            continue
        name = (two if chain.n_agents == 2 else many) + (" + Prop. J.7" if slack else "")
        truth = decomposition.error(norm)
        out.append(Bound(name, e.distance, norm, theorem_bound(e.per_agent, r_max, gamma) + slack, truth))
        out.append(
            Bound(
                f"{name}, half spans",
                e.distance,
                norm,
                theorem_bound(e.per_agent, half, gamma) + slack,
                truth,
            )
        )
    return (*out, *_span_bounds(decomposition, slack))


def _span_bounds(decomposition: ValueDecomposition, slack: float) -> list[Bound]:
    """`||err|| <= gamma/(1-gamma) sum_i Ebar_i span(Q_i)`, Ebar_i the plug-in TV, mean or maximal."""
    chain, gamma = decomposition.chain, decomposition.discount
    mean, worst = 0.0, 0.0
    for i, q in enumerate(decomposition.local_q):
        tv = plug_in(chain.rows(i))
        span = float(np.nanmax(q) - np.nanmin(q))
        mean += float(chain.occupancy @ tv) * span
        worst += float(tv[chain.recurrent].max()) * span
    scale = gamma / (1.0 - gamma)
    bounds = [
        Bound("value spans (mu)", "mu-atv plug-in", "mu", scale * mean + slack, decomposition.error("mu"))
    ]
    if not slack:
        bounds.append(
            Bound("value spans (sup)", "atv plug-in", "sup", scale * worst, decomposition.error("sup"))
        )
    return bounds


def transition_bias(chain: Chain, i: int, fit: LocalFit) -> float:
    """How far the local transition of Eq. 2 is from the best local model of agent i; at most E_i.

    `sum_{x_i} mu_i(x_i) TV(P_i(.|x_i), M_i*(.|x_i))` for a "mean" fit, the maximum over visited x_i for "worst".
    """
    rows = chain.rows(i)
    seen = rows.key_weight > 0
    gap = 0.5 * np.abs(rows.mean_law[seen] - fit.law[seen]).sum(axis=1)
    return float(gap.max() if fit.kind == "worst" else rows.key_weight[seen] @ gap)
