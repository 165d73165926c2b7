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

Others read the spread of the local values (`spans.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .. import _check
from .._check import Floats, Ints
from .._json import plain
from ..errors import InvalidInput, Unsupported
from ..laws.source import Space, demand
from ..measures.entanglement import DISTANCES, Entanglement, Measure
from ..measures.joint import JointDistance
from ..measures.local_fit import LocalFit
from ..report import tabulate
from ..report.result import Result
from ..report.table import Table, distinct
from .decomposition import ValueDecomposition
from .spans import span, span_bounds


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
    measures, known = _measures(decomposition, entanglements), _Known.of(decomposition)
    lines = [*(line for e in measures for line in _by_theorem(decomposition, known, e))]
    lines += _by_spans(decomposition, known, measures)
    return Bounds(
        replace(b, name=name) for b, name in zip(lines, distinct([b.name for b in lines]), strict=True)
    )


def _measures(decomposition: ValueDecomposition, given: Any) -> list[Measure]:
    """The measures of the chain, validated."""
    helps = "E.g. d = me.value_decomposition(chain), [me.entanglement(chain)]."
    demand("decomposition", decomposition, ValueDecomposition, "bounds are of a value decomposition", helps)
    if decomposition.trace > 0.0:
        rule, remedy = (
            "the theorems bound the error of Eq. 2",
            "Give me.value_decomposition(chain), without a trace.",
        )
        raise Unsupported("decomposition", f"values with trace {decomposition.trace:g}", rule, remedy)
    given = given.values() if isinstance(given, Mapping) else given
    _check.sequence("entanglements", given, "measures of the chain")
    measures, rule = list(given), "they must be measures of the chain"
    for measure in measures:
        demand("entanglements", measure, (Entanglement, JointDistance), rule, helps)
    return measures


class _Known(NamedTuple):
    """What all bounds read of a decomposition, an entry a unit."""

    many: Floats  # agents
    signals: list[Ints | None]  # the value of the signal at visited local pairs
    sizes: dict[str, Floats]  # end of the name -> r_max of all agents of a unit
    slack: float  # what the split or the means of the rewards miss, summed with discount
    part: float | None  # the same where it is a part of every bound
    added: str  # what is added to the name of a theorem

    @classmethod
    def of(cls, decomposition: ValueDecomposition) -> _Known:
        chain, gamma, shared = decomposition.chain, decomposition.discount, decomposition.shared
        weights = [chain.key_weight(u) for u in range(len(chain.units))]
        visited = [w > 0 for w in weights]
        paid = [r[seen] for r, seen in zip(decomposition.rewards, visited, strict=True)]
        many = np.array([u.multiplicity for u in chain.units], dtype=np.float64)
        all_signals = (chain.signal_of(u) for u in range(len(weights)))
        signals = [None if z is None else z[seen] for z, seen in zip(all_signals, visited, strict=True)]
        ended = chain.ends is not None
        half = many * [span(r, z, ended) / 2 for r, z in zip(paid, signals, strict=True)]
        sizes = {"": many * [np.abs(r).max(initial=0.0) for r in paid], ", half spans": half}
        added = " + reward misfit"
        if shared is not None:
            added = " + Prop. J.7" + ("" if shared.split == "lad" else f", {shared.split}")
        slack = (decomposition.misfit if shared is None else shared.error) / (1.0 - gamma)
        part = None if shared is None and not slack else slack
        return cls(many, signals, sizes, slack, part, added if slack else "")


def _by_theorem(decomposition: ValueDecomposition, known: _Known, e: Measure) -> Iterator[Bound]:
    """The lines of one measure, if a theorem reads it."""
    record, many = DISTANCES[e.distance], known.many
    if not record.theorems[0] or record.norm is None or (known.slack and record.norm == "sup"):
        return
    if record.kind == "policy" and not decomposition.chain.decoupled:
        return  # Prop. 7.2 is of weakly coupled systems
    # a joint distance stands for every agent
    per_unit = e.numbers if record.kind else np.repeat(e.numbers, len(many))
    if len(per_unit) != len(many):
        got = f"{len(per_unit)} agents"
        raise InvalidInput("entanglements", got, f"the chain has {len(many)}", "Measure the same chain.")
    which = int(many.sum() != 2) if all(z is None for z in known.signals) else 2
    wide = ", reachable" if not record.weighted and e.support == "reachable" else ""
    truth = decomposition.error(record.norm)
    for suffix, size in known.sizes.items():
        value = theorem_bound(per_unit[many > 0], size[many > 0], decomposition.discount) + known.slack
        name = f"{record.theorems[which]}{known.added}{wide}{suffix}"
        yield Bound(name, e.distance, record.norm, value, truth, known.part)


def _by_spans(
    decomposition: ValueDecomposition, known: _Known, measures: Sequence[Measure]
) -> Iterator[Bound]:
    """The lines that read the spread of local values."""
    chain = decomposition.chain
    if not chain.listed:
        return
    rows = [chain.rows(u) for u in range(len(chain.units))]
    sigma = next((e.numbers for e in measures if e.distance == "spectral"), None)
    spans = span_bounds(rows, decomposition.local, decomposition.discount, known.many, sigma, known.signals)
    lines = (
        ("value spans (mu)", "mu-atv plug-in", "mu", spans.mu + known.slack),
        ("value spans (sup)", "atv plug-in", "sup", spans.sup),
        ("spectral", "spectral", "l2", spans.l2),
    )
    for name, distance, norm, value in lines[: 1 if known.slack else 3]:
        yield Bound(name, distance, norm, value, decomposition.error(norm), known.part)


def transition_bias(chain: Space, i: int, fit: LocalFit) -> float:
    """How far the local transition of Eq. 2 is from the best local model of agent i; at most E_i.

    `sum_{x_i} mu_i(x_i) TV(P_i(.|x_i), M_i*(.|x_i))` for a "mean" fit, the maximum over visited x_i for "worst".
    """
    weight, law = chain.key_weight(i), chain.mean_law(i)
    seen = weight > 0
    gap = 0.5 * np.abs(law[seen] - fit.law[seen]).sum(axis=1)
    return float(gap.max() if fit.kind == "worst" else weight[seen] @ gap)
