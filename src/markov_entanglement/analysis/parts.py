"""The questions of an analysis, in order: each a record that reads the answers before it.

A new question is one `Part`. What it cannot answer for lack of room is refused by name, and the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._progress import stage
from .._random import seed_of, streams
from ..errors import InvalidInput, NoConvergence, TooLarge, Unsupported
from ..laws.source import Joint, Logged, Recorded, Runs, Source, Space, offers
from ..measures.entanglement import DISTANCES, Measure, entanglement
from ..measures.joint import joint_distance
from ..measures.spectral import additive_basis
from ..separable.decide import separability
from ..separable.local_polytope import local_polytope
from ..values.additive import joint_additive
from ..values.blind import signal_loss_of
from ..values.bounds import error_bounds, transition_bias
from ..values.budget import budget_of
from ..values.certificate import certificate
from ..values.decision import decision_of
from ..values.decomposition import decompose, resolve_discount
from ..values.orders import orders_of
from .breakdown import breakdown, policy_or_system
from .logged import logged_values, memory_of
from .views import views_of


@dataclass
class Inquiry:
    """A source (a space, or runs), what is asked of it, the answers so far (None where refused), and (name, reason) of
    each refusal.

    `asked`: whether the user named the distances. Every question has a stream of random numbers of its own."""

    source: Any
    rewards: Any
    discount: float | None
    distances: Sequence[str]
    asked: bool
    seed: int
    tolerance: float | None = None
    viewed: bool = False  # whether views are compared
    maps: Any = None
    found: dict[str, Any] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)

    def stream(self, name: str) -> np.random.Generator:
        """Random numbers of one question."""
        return streams(self.seed, name)[0]

    def attempt(self, name: str, make: Callable[[], Any]) -> Any:
        """The answer, or None when it is too large, does not converge, or is not defined here."""
        try:
            return make()
        except (TooLarge, NoConvergence, Unsupported) as e:
            self.refused.append((name, str(e)))
        except MemoryError:
            self.refused.append((name, f"{name}: this machine has too little memory for it."))
        return None


@dataclass(frozen=True)
class Part:
    """One question: its name in a refusal, its key among the answers, what answers it, what the source must be, and the
    keys of the answers without which it is not asked."""

    name: str
    key: str
    ask: Callable[[Inquiry], Any]
    need: type = Space
    after: tuple[str, ...] = ()


def run(inquiry: Inquiry, keys: Sequence[str] | None = None) -> None:
    """Ask every part that fits the source (of those `keys`), in order; some only of live pairs (`Source.absorbed`)."""
    inquiry.found["live"] = None if inquiry.source.absorbed else True
    parts = [p for p in PARTS if offers(inquiry.source, p.need) and (keys is None or p.key in keys)]
    for n, part in enumerate(parts):
        if all(inquiry.found.get(k) is not None for k in part.after):
            with stage(part.name, n / len(parts), (n + 1) / len(parts)):
                inquiry.found[part.key] = inquiry.attempt(part.name, lambda part=part: part.ask(inquiry))  # type: ignore[misc]


def default_distances(source: Source) -> list[str]:
    """What is measured unless asked otherwise."""
    if offers(source, Recorded) or offers(source, Runs):
        return list(source.usual)  # type: ignore[attr-defined]
    joint = offers(source, Joint) and source.ends is None  # type: ignore[attr-defined]
    return [d.name for d in DISTANCES.values() if d.kind is not None or joint]


def why_no_values(q: Inquiry) -> str:
    """What values lack, or ""."""
    missing = []
    if q.rewards is None and offers(q.source, Space):
        try:
            q.source.read_rewards(None)
        except InvalidInput:
            missing.append("rewards")
    if offers(q.source, Logged) and not q.source.side_by_side.rewards.shape[1]:
        missing.append("rewards")
    if q.discount is None and q.source.discount is None:
        missing.append("discount")
    return f"{' and '.join(missing)} missing, so there are no values to compare" if missing else ""


def _undecided(q: Inquiry) -> float | None:
    """The tolerance that runs are to decide; None where a theorem has."""
    return None if q.source.proved_separable else q.tolerance


def _measures(q: Inquiry) -> dict[str, Measure]:
    found = {}
    for k, d in enumerate(q.distances):
        with stage(f"entanglement by {d}", k / len(q.distances), (k + 1) / len(q.distances)):
            found[d] = q.attempt(d, lambda d=d: _measure(q, d))  # type: ignore[misc]
    return {d: e for d, e in found.items() if e is not None}


def _measure(q: Inquiry, distance: str) -> Measure:
    """A distance; linear programs that take long only when they were asked for by name."""
    if not q.asked and DISTANCES[distance].kind == "pair" and not q.source.listed:
        work = q.source.law_entries
        if work > tol.LAWS_UNASKED:
            helps = f"It runs when it is asked for by name: me.entanglement(chain, {distance!r})."
            raise TooLarge(
                f"laws for {distance!r}", f"{work:.3g} numbers", f"{tol.LAWS_UNASKED:.0e} here", helps
            )
    if q.asked or DISTANCES[distance].kind is not None:
        method = "simulate" if offers(q.source, Runs) else "auto" if offers(q.source, Logged) else "exact"
        return entanglement(q.source, distance, method=method, rng=q.stream(distance))
    limit = tol.JOINT_ENTRIES_UNASKED[0 if len(q.source.units) <= 2 else 1]
    return joint_distance(q.source, weighted=DISTANCES[distance].weighted, entries=limit)


def _values(q: Inquiry) -> Any:
    if why_no_values(q):
        return None
    return decompose(q.source, q.source.read_rewards(q.rewards), resolve_discount(q.source, q.discount))


def _bounds(q: Inquiry) -> Any:
    if offers(q.source, Space) and not q.source.listed:
        why = "they read the laws of all joint pairs, which are too many to be listed; those of the theorems are given."
        q.refused.append(("bounds by the spread of local values", why))
    return error_bounds(q.found["decomposition"], q.found["entanglements"])


def _certificate(q: Inquiry) -> Any:
    values = q.found["decomposition"]
    return certificate(q.source, q.rewards, values.discount, values.sum_q)


def _mixture(q: Inquiry) -> Any:
    return local_polytope(q.source) if q.found["separability"].verdict == "separable" else None


def _breakdown(q: Inquiry) -> Any:
    weak = q.found["entanglements"].get("mu-atv")
    return None if weak is None else breakdown(q.source, weak)


def _bias(q: Inquiry) -> dict[str, tuple[float, ...]]:
    found = {d: e for d, e in q.found["entanglements"].items() if d in ("mu-atv", "atv")}
    return {
        d: tuple(transition_bias(q.source, u, f) if n else np.nan for u, (f, n) in
                 enumerate(zip(e.fits, e.multiplicity, strict=True)))
        for d, e in found.items()
    }  # fmt: skip


def _signal(q: Inquiry) -> Any:
    if q.source.signal_of(0) is None:
        return None
    if offers(q.source, Runs):
        return q.source.signal_loss(q.stream("values"))
    return signal_loss_of(q.found["decomposition"], q.rewards, q.found["entanglements"].get("mu-atv"))


def _logged(q: Inquiry) -> Any:
    if why_no_values(q):
        return None
    return logged_values(q.source, resolve_discount(q.source, q.discount), q.found.get("memory"), q.tolerance)


def _views(q: Inquiry) -> Any:
    return views_of(q.source, q.maps, q.discount, seed_of(q.stream("views"))) if q.viewed else None


PARTS = (
    Part("memory", "memory", lambda q: memory_of(q.source, q.stream("memory")), Recorded),
    Part("entanglement", "entanglements", _measures, Source),
    Part("values", "decomposition", _logged, Logged),
    Part("separability", "separability",
         lambda q: separability(q.source, discount=q.discount or q.source.discount or 0.9)),
    Part("non-negative decomposition", "mixture", _mixture, Joint, ("separability",)),
    Part("values", "decomposition", _values),
    Part("values", "decomposition",
         lambda q: None if why_no_values(q) else q.source.errors(q.stream("values"), _undecided(q)), Runs),
    Part("bounds", "bounds", _bounds, after=("decomposition", "entanglements")),
    Part("certificate", "certificate", _certificate, after=("decomposition",)),
    Part("additive functions", "basis", lambda q: additive_basis(q.source), after=("decomposition",)),
    Part("joint additive values", "additive", lambda q: joint_additive(q.found["decomposition"], q.found["basis"]),
         after=("basis",)),
    Part("error budget", "budget", lambda q: budget_of(q.found["decomposition"], q.found["basis"]),
         after=("decomposition", "live")),
    Part("interaction orders", "orders",
         lambda q: orders_of(q.found["decomposition"], q.found["basis"], 3, unasked=True), after=("basis", "live")),
    Part("decision loss", "decision", lambda q: decision_of(q.found["decomposition"], unasked=True),
         after=("decomposition", "live")),
    Part("what the signal is worth", "signal", _signal, Source, ("decomposition", "live")),
    Part("what agents should see", "views", _views, Source),
    Part("where it breaks", "breakdown", _breakdown, after=("entanglements",)),
    Part("bias of the local transition", "bias", _bias, after=("entanglements",)),
    Part("policy or system", "whose", lambda q: policy_or_system(q.found["entanglements"]),
         after=("entanglements", "live")),
)  # fmt: skip
