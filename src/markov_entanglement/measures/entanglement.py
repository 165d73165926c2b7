"""Measures of Markov entanglement (Sections 5 and 6): how far the chain is from separable.

| distance | per agent | value |
|---|---|---|
| `mu-atv` (Eq. 7) | `E_i = min_M sum_x mu(x) TV(p_i(.|x), M(.|x_i))` | weighted L1 median |
| `atv` (Eq. 5) | `E_i = min_M max_x TV(p_i(.|x), M(.|x_i))` | minimax centre |
| `policy` (Prop. 7.2) | `min_M sum_s mu(s) TV(pi_i(.|s), M(.|s_i))` | bounds E_i when weakly coupled |
| `kernel` | `min_M sum_x mu(x) TV(P(s_i'=.|x), M(.|x_i))` | `E_i <= kernel + policy`; 0 when weakly coupled |
| `spectral` | `sigma_i`, norm of `(I - Pi_i) P` on functions of x_i in L2(mu) | second moments |

`tv` and `mu-tv` are one number for all agents: the distance of P from the separable transitions (Def. 6.2).

`atv` is 0 for every agent iff the chain is agent-wise separable when it runs over all of its pairs
(`support="reachable"`); over the recurrent pairs (the default) it says so of these alone, as `mu-atv` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, overload

import numpy as np

from .. import _check
from .._check import Bools, Floats, Ints, freeze
from .._json import plain
from .._progress import stage
from .._random import generator
from .._types import RNG, Subject
from ..errors import Unsupported
from ..laws.source import Joint, Kind, Logged, Runs, Source, Unit, as_source, choose, offers
from ..report import tabulate
from ..report.facts import brief
from ..report.result import Result
from ..report.table import Table
from .joint import JointDistance, joint_distance
from .local_fit import fit_mean, fit_worst
from .spectral import spectral_fits


@dataclass(frozen=True, eq=False, repr=False)
class Entanglement(Result):
    """Entanglement of every unit (agent, or arm of a type) under one distance.

    Attributes
    ----------
    distance : its name.
    support : pairs over which a maximum runs, "recurrent" or "reachable"; means run over `mu`.
    method : "exact" or "simulate".
    units : (U,) what was measured.
    per_agent : (U,) E_i, dimensionless, in [0, 1] (`spectral` may exceed it); NaN for a unit without agents.
    blocks : (units, their fits together), see `fits`.
    interval : (U, 2) 95 % limits of an estimate, else None.
    estimator : how the numbers were obtained, in words.
    upper_bound : (U,) bool, True where E_i is at most `per_agent`, as combinations of neighbours' pairs that may never
        recur were counted in; None where all are exact or estimates.
    """

    distance: str
    support: str
    method: str
    units: tuple[Unit, ...]
    per_agent: Floats
    blocks: tuple[tuple[Sequence[int] | Ints, Any], ...] = ()
    interval: Floats | None = None
    estimator: str = "exact"
    upper_bound: Bools | None = None

    @cached_property
    def fits(self) -> tuple[Any, ...]:
        """(U,) the optimal local model of each unit and the contribution of each key."""
        found: list[Any] = [None] * len(self.units)
        for who, fit in self.blocks:
            for u, one in zip(who, fit.split(len(who)) if len(who) > 1 else [fit], strict=True):
                found[u] = one
        return tuple(found)

    @property
    def numbers(self) -> Floats:
        """(U,) `per_agent`."""
        return self.per_agent

    @property
    def multiplicity(self) -> Ints:
        """(U,) number of agents of each unit."""
        return freeze(np.array([u.multiplicity for u in self.units], dtype=np.int64))

    @property
    def total(self) -> float:
        """sum_i E_i over all agents."""
        here = self.multiplicity > 0
        return float(self.multiplicity[here] @ self.per_agent[here])

    @property
    def worst(self) -> float:
        """max_i E_i."""
        return float(np.nanmax(self.per_agent, initial=0.0))

    @property
    def optimal_local(self) -> tuple[Floats, ...]:
        """(U,) the best local model of each unit, (n_keys, m); for "spectral" it is P_i."""
        return tuple(f.law for f in self.fits)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; NaN is None."""
        out: dict[str, Any] = {"per_agent": plain(self.per_agent), "total": self.total}
        out["multiplicity"] = self.multiplicity.tolist()
        if self.estimator != "exact":
            out["estimator"] = self.estimator
        if self.upper_bound is not None:
            out["upper_bound"], out["caution"] = self.upper_bound.tolist(), self._at_most
        return out if self.interval is None else out | {"interval": plain(self.interval)}

    @property
    def sentence(self) -> str:
        """The most entangled and all together."""
        if not len(known := self.per_agent[~np.isnan(self.per_agent)]) or not known.max() > 0.0:
            return f"No agent is entangled ({self.distance})."
        who = self.units[int(np.nanargmax(self.per_agent))].name
        alike = len(known) > 1 and f"{known.min():.4g}" == f"{known.max():.4g}"
        most = f"{'All are entangled alike' if alike else f'Most entangled: {who}'}, {self.worst:.4g}"
        found = "" if self.interval is None else ", estimated"
        said = f"{most} ({self.distance}{found}); all agents sum to {self.total:.4g}."
        return said if self.upper_bound is None else f"{said} {_sentence(self._at_most)}."

    @property
    def _at_most(self) -> str:
        """Which numbers are upper bounds, and why."""
        assert self.upper_bound is not None
        many, of = int(self.upper_bound.sum()), len(self.units)
        which = "every E_i is an upper bound" if many == of else f"{many:,} of {of:,} E_i are upper bounds"
        return f"{which}, for some combinations of neighbours' pairs may never recur"

    def _brief(self) -> str:
        values = ", ".join(map(brief, self.per_agent[:6].tolist()))
        return f"{self.distance}: [{values}{', ...' if len(self.units) > 6 else ''}]"

    def _tables(self) -> Iterator[Table]:
        yield tabulate.entanglement({self.distance: self.to_dict()}, [u.name for u in self.units])
        total = (f"sum of E_i by {self.distance}", self.total, "", "over all agents")
        yield tabulate.numbers([total, ("largest E_i", self.worst, "", "of any agent")])


Measure: TypeAlias = Entanglement | JointDistance


@dataclass(frozen=True)
class Distance:
    """One distance: which rows it reads, what turns them into a number, which theorem reads it."""

    name: str  # as users write it
    kind: Kind | None  # rows that it reads; None for a joint distance, which needs named agents
    fit: Callable[..., Any] | None  # rows -> local models of all units
    weighted: bool  # whether it reads mu
    norm: str | None  # norm of the error that it bounds
    #: Names of the bound for two agents, for more, and where all see a signal.
    theorems: tuple[str, str, str] = ("", "", "")
    stacks: bool = (
        True  # whether `fit` makes one fit of several units; else rows and their number -> a fit each
    )


_PROP_7_2 = ("Theorem 5.10 with Prop. 7.2", "Theorem 6.3 with Prop. 7.2", "Theorem J.3 with Prop. J.4")
RECORDS = (
    Distance(
        "mu-atv", "pair", fit_mean, True, "mu", ("Theorem 5.10", "Theorem 6.3", "Theorem J.3 in L1(mu)")
    ),
    Distance("atv", "pair", fit_worst, False, "sup", ("Theorem 5.5", "Theorem H.2", "Theorem J.3")),
    Distance("policy", "policy", fit_mean, True, "mu", _PROP_7_2),
    Distance("kernel", "kernel", fit_mean, True, None),
    Distance("tv", None, None, False, "sup", ("Theorem 5.3", "Theorem H.2 with tv", "Theorem J.3 with tv")),
    Distance(
        "mu-tv",
        None,
        None,
        True,
        "mu",
        ("Theorem 5.10 with mu-tv", "Theorem 6.3 with mu-tv", "Theorem J.3 with mu-tv"),
    ),
    Distance("spectral", "pair", spectral_fits, True, "l2", stacks=False),
)
DISTANCES = {d.name: d for d in RECORDS}


@overload
def entanglement(
    chain: Subject,
    distance: Literal["mu-atv", "atv", "policy", "kernel", "spectral"] = ...,
    *,
    method: str = ...,
    support: str = ...,
    rng: RNG | None = ...,
    classifier: object = ...,
) -> Entanglement: ...


@overload
def entanglement(
    chain: Subject,
    distance: Literal["tv", "mu-tv"],
    *,
    method: str = ...,
    support: str = ...,
    rng: RNG | None = ...,
) -> JointDistance: ...


@overload
def entanglement(
    chain: Subject,
    distance: str,
    *,
    method: str = ...,
    support: str = ...,
    rng: RNG | None = ...,
    classifier: object = ...,
) -> Measure: ...


def entanglement(
    chain: Subject,
    distance: str = "mu-atv",
    *,
    method: str = "auto",
    support: str = "recurrent",
    rng: RNG | None = None,
    classifier: object = None,
) -> Measure:
    """Measure how entangled a chain is.

    Parameters
    ----------
    chain : from `system.under(policy)`, or any source of rows; a `JointChain` is taken as it is. Of a log "mu-atv" has
        limits and a test, see `LoggedEntanglement`.
    distance : "mu-atv" (Eq. 7), "atv" (Eq. 5), "policy" (Prop. 7.2), "kernel", "tv", "mu-tv" or "spectral".
    method : "exact"; "simulate" ("policy"; "mu-atv" of agents on kernels of their own that are served by priority on a
        budget, or each on its own; carries `.interval`); "auto" simulates where the exact chain is large.
    rng : seed of a simulation.
    support : "recurrent" (default) or "reachable": pairs over which the maxima of "atv" and "tv" run. "atv" = 0
        iff agent-wise separable (`separability`) needs "reachable".
    classifier : for logs, anything with `fit(X, y)`, `predict_proba(X)` and `classes_` (X: local pairs of all agents),
        which may tell more than the classifiers that are tried anyhow; whatever it is, the lower limit holds.

    Returns
    -------
    Entanglement with `.per_agent`, `.total`, `.worst`, `.optimal_local`; for "tv" and "mu-tv" a `JointDistance` with
    `.value`.

    Raises
    ------
    InvalidInput : an unknown distance, method or support, or a distance that simulation does not show.
    Unsupported : a joint distance where agents have no names; a simulation of what has its rows at hand.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    TooLarge : an exact answer would not fit.

    >>> import markov_entanglement as me
    >>> chain = me.gallery.build("appendix-e").chain()
    >>> [round(float(e), 12) for e in me.entanglement(chain, "atv").per_agent]
    [0.0, 0.4]
    """
    record = DISTANCES[_check.choice("distance", distance, tuple(DISTANCES))]
    _check.choice("method", method, ("auto", "exact", "simulate"))
    _check.choice("support", support, ("recurrent", "reachable"))
    if rng is not None:
        generator(rng)
    need, question = Source if record.kind else Joint, f"distance {distance!r}"
    given = as_source(chain)
    if offers(given, Logged) and method == "auto":
        return given.entanglement(distance, rng, classifier)  # type: ignore[attr-defined]
    if classifier is not None:
        raise Unsupported("classifier", repr(given), "it learns from logs", "Leave it out.")
    source = choose(given, need, method, question=question, sampled=distance in given.sampled)
    if offers(source, Runs):
        if distance not in given.sampled:
            rule = f"runs estimate {' and '.join(given.sampled)}"
            raise Unsupported(question, repr(source), rule, "Ask one of these, or the exact chain.")
        return source.entanglement(distance, rng)  # type: ignore[attr-defined]
    if record.kind is None:
        return joint_distance(source, weighted=record.weighted, support=support)  # type: ignore[arg-type]
    return local_entanglement(source, distance, support)


def local_entanglement(source: Source, distance: str = "mu-atv", support: str = "recurrent") -> Entanglement:
    """The measures with a number per unit: rows in, one fit a block of units."""
    record = DISTANCES[distance]
    assert record.kind is not None and record.fit is not None
    blocks: list[tuple[Sequence[int] | Ints, Any]] = []
    units, done = source.units, 0
    values = np.full(len(units), np.nan)
    for who, rows in source.blocks(record.kind, weighted=record.weighted):
        with stage("", done / len(units), (done + len(who)) / len(units)):
            if not record.weighted and support == "recurrent":
                rows = rows.in_the_long_run()
            if record.stacks:
                fit = record.fit(rows)
                blocks.append((who, fit))
                values[who] = [fit.value] if len(who) == 1 else fit.per_unit(len(who))
            else:
                each = record.fit(rows, len(who))
                blocks += [([u], fit) for u, fit in zip(who, each, strict=True)]
                values[who] = [fit.value for fit in each]
        done += len(who)
    values[[u.multiplicity == 0 for u in units]] = np.nan
    bounds = source.upper_bounds(support)
    return Entanglement(
        distance, support, "exact", units, freeze(values), tuple(blocks), None, source.estimator,
        None if bounds is None or not bounds.any() else freeze(bounds),
    )  # fmt: skip


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
