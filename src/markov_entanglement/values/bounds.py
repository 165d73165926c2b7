"""Error bounds by theorem, beside the truth (the paper's Table 1).

Theorems 5.5 (N = 2), H.2: `||err||_inf <= 4 gamma sum_i E_i r_i^max / (1-gamma)^2`, E_i by `atv`.
Theorems 5.10 (N = 2), 6.3: the same for `||err||_mu` with `mu-atv`; Prop. 7.2: `policy` is an upper limit
of `mu-atv`.
Prop. J.7 adds `e(r)/(1-gamma)` when the reward is shared. Rewards may be shifted by constants
without changing the error, so `r_i^max` may be half the span of r_i: a free improvement. With the one number `tv`
or `mu-tv` in place of every E_i: Theorem 5.3 (N = 2) and corollaries of Theorems H.2 and 6.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidInput
from ..markov.chain import Chain
from ..measures.entanglement import Measure
from ..measures.joint import JointDistance
from ..measures.local_fit import LocalFit
from .approximation import NORMS
from .decomposition import ValueDecomposition
from .spans import span_bounds, spectral_bound


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
    "tv": ("sup", "Theorem 5.3", "Theorem H.2 with tv"),
    "mu-tv": ("mu", "Theorem 5.10 with mu-tv", "Theorem 6.3 with mu-tv"),
}


def error_bounds(
    decomposition: ValueDecomposition, entanglements: Mapping[str, Measure] | Sequence[Measure]
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
    if not isinstance(decomposition, ValueDecomposition):
        raise InvalidInput(
            "decomposition",
            type(decomposition).__name__,
            "it must be that of a joint chain",
            "For a bandit see me.analyze(...).bounds.",
        )
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
        norm, two, many = _THEOREM[e.distance]
        if slack and norm == "sup":
            continue
        per_agent = _per_agent(e, chain.n_agents)
        name = (two if chain.n_agents == 2 else many) + (" + Prop. J.7" if slack else "")
        truth = decomposition.error(norm)
        for suffix, size in (("", r_max), (", half spans", half)):
            value = theorem_bound(per_agent, size, gamma) + slack
            out.append(Bound(name + suffix, e.distance, norm, value, truth))
    return (*out, *_span_bounds(decomposition, slack))


def _per_agent(measure: Measure, n_agents: int) -> list[float]:
    """E_i of each agent; a joint distance stands for every agent."""
    if isinstance(measure, JointDistance):
        return [measure.value] * n_agents
    if len(measure.per_agent) != n_agents:
        raise InvalidInput(
            "entanglements",
            f"{len(measure.per_agent)} agents",
            f"the chain has {n_agents}",
            "Measure the same chain.",
        )
    return [float(e) for e in measure.per_agent]


def _span_bounds(decomposition: ValueDecomposition, slack: float) -> list[Bound]:
    """The bounds that read the spread of the local values (`values/spans.py`)."""
    chain, gamma, q = decomposition.chain, decomposition.discount, decomposition.local_q
    rows = [chain.rows(i) for i in range(chain.n_agents)]
    spans = span_bounds(rows, q, gamma)
    truth = {norm: decomposition.error(norm) for norm in NORMS}
    bounds = [Bound("value spans (mu)", "mu-atv plug-in", "mu", spans.mu + slack, truth["mu"])]
    if not slack:
        bounds.append(Bound("value spans (sup)", "atv plug-in", "sup", spans.sup, truth["sup"]))
        bounds.append(Bound("spectral", "spectral", "l2", spectral_bound(rows, q, gamma), truth["l2"]))
    return bounds


def transition_bias(chain: Chain, i: int, fit: LocalFit) -> float:
    """How far the local transition of Eq. 2 is from the best local model of agent i; at most E_i.

    `sum_{x_i} mu_i(x_i) TV(P_i(.|x_i), M_i*(.|x_i))` for a "mean" fit, the maximum over visited x_i for "worst".
    """
    rows = chain.rows(i)
    seen = rows.key_weight > 0
    gap = 0.5 * np.abs(rows.mean_law[seen] - fit.law[seen]).sum(axis=1)
    return float(gap.max() if fit.kind == "worst" else rows.key_weight[seen] @ gap)
