"""Error bounds by theorem, beside the truth (the paper's Table 1).

Theorems 5.5 (N = 2), H.2: `||err||_inf <= 4 gamma sum_i E_i r_i^max / (1-gamma)^2`, E_i by `atv`.
Theorems 5.10 (N = 2), 6.3: the same for `||err||_mu` with `mu-atv`; Prop. 7.2: `policy` is an upper limit
of `mu-atv`. Theorem J.3, where all see a signal that nobody influences: the same, E_i over the laws of the next pair
and signal.
Prop. J.7, for `mu`, when one reward r of all agents is split into r_i with `e = ||r - sum_i r_i||_mu`:

    ||err||_mu <= e/(1-gamma) + 4 gamma sum_i E_i r_i^max / (1-gamma)^2,    r_i^max of the fitted r_i

The first is the part of the reward, `||(I - gamma P)^{-1} (r - sum_i r_i)||_mu <= e/(1-gamma)` because `mu P = mu` (at
most mu where tasks end); the second, the part of the transitions, is the theorem above for the reward `sum_i r_i`, with
the Q_i of these r_i. Nothing else of the split is used, so the same holds of a centred or least-squares one with its
own e in the place of e(r), which is the least of all. Where local values may not see a signal that rewards read, what
their means miss is added alike, `sum_i ||r_i - E[r_i|x_i]||_mu/(1-gamma)`.

Rewards may be shifted by constants without changing the error, so `r_i^max` may be half the span of r_i: a free
improvement. With the one number `tv` or `mu-tv` in place of every E_i: Theorem 5.3 and corollaries of H.2 and 6.3. An
arm type counts with all its arms.
With a signal, functions of it alone may be taken off as well, for every local transition has the signal's own law: only
spans within each value of the signal count.

Others read the spread of the local values `Q_i = (I - gamma P_i)^{-1} r_i` instead of the rewards:
`Q - sum_i Q_i = gamma (I - gamma P)^{-1} sum_i (P - Pi_i P) Q_i`, and `(P - Pi_i P) Q_i` at x is the mean of `Q_i`
under `p_i(.|x)` minus that under `P_i(.|x_i)`. Hence, with `tv_i(x) = TV(p_i(.|x), P_i(.|x_i))`,

    ||err||_mu   <= gamma/(1-gamma) sum_i Ebar_i span(Q_i),        Ebar_i = sum_x mu(x) tv_i(x)
    ||err||_inf  <= gamma/(1-gamma) sum_i max_x tv_i(x) span(Q_i)
    ||err||_2,mu <= gamma/(1-gamma) sum_i sigma_i ||Q_i - mean||_{2,mu_i}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import _check
from .._check import Floats, Ints
from .._json import plain
from ..errors import InvalidInput, Unsupported
from ..laws.rows import Rows
from ..laws.source import Space, demand
from ..measures.entanglement import DISTANCES, Entanglement, Measure
from ..measures.joint import JointDistance
from ..measures.local_fit import LocalFit, plug_in
from ..measures.spectral import spectral_fit
from ..report import tabulate
from ..report.result import Result
from ..report.table import Table, distinct
from .approximation import root_mean_square
from .decomposition import ValueDecomposition


@dataclass(frozen=True)
class Bound:
    """One line of the table: theorem and variant ("reachable": of a measure over these pairs), the measure that it
    reads, the norm ("mu", "sup" or "l2"), the bound in reward units, and the error that it bounds; of a shared reward
    the part of the bound that its split has (`reward_part`), the rest is that of the transitions."""

    name: str
    distance: str
    norm: str
    value: float
    truth: float
    reward_part: float | None = None

    @property
    def transition_part(self) -> float | None:
        """What the transitions add where a reward is shared."""
        return None if self.reward_part is None else self.value - self.reward_part

    @property
    def ratio(self) -> float:
        """Bound over truth; infinite when the truth is 0 and the bound is not."""
        if self.truth > 0:
            return self.value / self.truth
        return 1.0 if self.value == 0 else float("inf")

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        found = {"distance": self.distance, "norm": self.norm, "bound": self.value, "truth": self.truth}
        if self.reward_part is None:
            return found
        return found | {"reward_part": self.reward_part, "transition_part": self.transition_part}


class Bounds(tuple[Bound, ...], Result):
    """The table of bounds: a tuple of `Bound`s."""

    def to_dict(self) -> dict[str, Any]:
        """{name: its line}."""
        return plain({b.name: b.to_dict() for b in self})

    @property
    def sentence(self) -> str:
        """The nearest bound of each norm."""
        if not self:
            return "None of these measures bounds the error."
        best = [
            min((b for b in self if b.norm == n), key=lambda b: b.value)
            for n in dict.fromkeys(b.norm for b in self)
        ]
        words = "; ".join(f"{b.norm} at most {b.value:.4g}, in truth {b.truth:.4g} ({b.name})" for b in best)
        return f"Error of the sum, reward units: {words}."

    def _brief(self) -> str:
        return ", ".join(f"{b.name} {b.value:.4g}" for b in self)

    __repr__ = Result.__repr__

    def _tables(self) -> Iterator[Table]:
        yield tabulate.bounds(self.to_dict())


def theorem_bound(per_agent: Iterable[float], r_max: Iterable[float], discount: float) -> float:
    """`4 gamma sum_i E_i r_i^max / (1-gamma)^2` (Theorems 5.3, 5.5, 5.10, 6.3, H.2)."""
    weighted = sum(e * r for e, r in zip(per_agent, r_max, strict=True))
    return float(4.0 * discount * weighted / (1.0 - discount) ** 2)


def error_bounds(
    decomposition: ValueDecomposition, entanglements: Mapping[str, Measure] | Sequence[Measure]
) -> Bounds:
    """Every bound that the given measures support, with the truth beside it.

    Parameters
    ----------
    decomposition : from `value_decomposition`.
    entanglements : measures of the same chain.

    Returns
    -------
    Bounds : a tuple of `Bound`s, with tables and pictures.

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
    helps = "E.g. d = me.value_decomposition(chain), [me.entanglement(chain)]."
    demand("decomposition", decomposition, ValueDecomposition, "bounds are of a value decomposition", helps)
    if decomposition.trace > 0.0:
        rule, remedy = (
            "the theorems bound the error of Eq. 2",
            "Give me.value_decomposition(chain), without a trace.",
        )
        raise Unsupported("decomposition", f"values with trace {decomposition.trace:g}", rule, remedy)
    given = entanglements.values() if isinstance(entanglements, Mapping) else entanglements
    _check.sequence("entanglements", given, "measures of the chain")
    measures = list(given)
    for measure in measures:
        demand(
            "entanglements",
            measure,
            (Entanglement, JointDistance),
            "they must be measures of the chain",
            helps,
        )
    chain, gamma, units = decomposition.chain, decomposition.discount, decomposition.chain.units
    rows = [chain.rows(u) for u in range(len(units))]
    paid = [r[row.key_weight > 0] for r, row in zip(decomposition.rewards, rows, strict=True)]
    many = np.array([u.multiplicity for u in units], dtype=np.float64)
    r_max = many * [np.abs(r).max(initial=0.0) for r in paid]
    signals = [chain.signal_of(u) for u in range(len(units))]
    visited = [row.key_weight > 0 for row in rows]
    signals = [None if z is None else z[seen] for z, seen in zip(signals, visited, strict=True)]
    ended = chain.ends is not None
    half = many * [_span(r, z, ended) / 2 for r, z in zip(paid, signals, strict=True)]
    shared, added = decomposition.shared, " + reward misfit"
    slack = (decomposition.misfit if shared is None else shared.error) / (1.0 - gamma)
    part = slack if shared is not None or slack else None
    if shared is not None:
        added = " + Prop. J.7" + ("" if shared.split == "lad" else f", {shared.split}")
    out = []
    for e in measures:
        record = DISTANCES[e.distance]
        if not record.theorems[0] or record.norm is None or (slack and record.norm == "sup"):
            continue
        if record.kind == "policy" and not chain.decoupled:  # Prop. 7.2 is of weakly coupled systems
            continue
        # a joint distance stands for every agent
        per_unit = e.numbers if record.kind else np.repeat(e.numbers, len(units))
        if len(per_unit) != len(units):
            got = f"{len(per_unit)} agents"
            raise InvalidInput("entanglements", got, f"the chain has {len(units)}", "Measure the same chain.")
        wide = not record.weighted and e.support == "reachable"
        which = int(many.sum() != 2) if all(z is None for z in signals) else 2
        name = record.theorems[which] + (added if slack else "")
        name += ", reachable" if wide else ""
        truth = decomposition.error(record.norm)
        for suffix, size in (("", r_max), (", half spans", half)):
            value = theorem_bound(per_unit[many > 0], size[many > 0], gamma) + slack
            out.append(Bound(name + suffix, e.distance, record.norm, value, truth, part))
    spectral = [e.numbers for e in measures if e.distance == "spectral"]
    measured = spectral[0] if spectral else None
    spans = span_bounds(rows, decomposition.local, gamma, many, measured, signals)
    for name, distance, norm, value in (
        ("value spans (mu)", "mu-atv plug-in", "mu", spans.mu + slack),
        ("value spans (sup)", "atv plug-in", "sup", spans.sup),
        ("spectral", "spectral", "l2", spans.l2),
    )[: 1 if slack else 3]:
        out.append(Bound(name, distance, norm, value, decomposition.error(norm), part))
    return Bounds(replace(b, name=name) for b, name in zip(out, distinct([b.name for b in out]), strict=True))


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
    >>> from markov_entanglement.values.bounds import span_bounds
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
        span = float(n) * _span(worth, z, agent.ended)
        mu += float(agent.weight @ tv) * span
        sup += float(tv[agent.weight > 0].max(initial=0.0)) * span
        sigma = float(spectral_fit(agent).value if spectral is None else spectral[u])
        l2 += float(n) * sigma * root_mean_square(law, centred)
    scale = discount / (1.0 - discount)
    return SpanBounds(scale * mu, scale * sup, scale * l2)


def _span(values: Floats, signal: Ints | None, ended: bool) -> float:
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


def transition_bias(chain: Space, i: int, fit: LocalFit) -> float:
    """How far the local transition of Eq. 2 is from the best local model of agent i; at most E_i.

    `sum_{x_i} mu_i(x_i) TV(P_i(.|x_i), M_i*(.|x_i))` for a "mean" fit, the maximum over visited x_i for "worst".
    """
    rows = chain.rows(i)
    seen = rows.key_weight > 0
    gap = 0.5 * np.abs(rows.mean_law[seen] - fit.law[seen]).sum(axis=1)
    return float(gap.max() if fit.kind == "worst" else rows.key_weight[seen] @ gap)
