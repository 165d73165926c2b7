"""The result of an analysis: a verdict with its evidence, and the result JSON made from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .. import __version__
from .. import _tolerance as tol
from .._json import plain
from ..data.markov_test import MarkovTest
from ..laws.source import Recorded, Source, offers
from ..measures.entanglement import Measure
from ..report import tabulate
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table
from ..separable.decide import Separability
from ..separable.local_polytope import LocalPolytope
from ..values.additive import AdditiveValues
from ..values.approximation import Interval, verdict
from ..values.blind import SignalLoss
from ..values.bounds import Bound
from ..values.budget import ErrorBudget
from ..values.certificate import Certificate
from ..values.decision import DecisionLoss
from ..values.orders import InteractionOrders
from .breakdown import Breakdown, PolicyOrSystem
from .explain import certificate_words, decomposition_words, proofs
from .logged import claims, opening

if TYPE_CHECKING:
    from ..report.document import Document
    from ..runs.signal import SignalLossEstimate
    from .views import Views


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(Result):
    """Everything that was found out about one system under one policy.

    Attributes
    ----------
    chain : what was asked: a chain, or a bandit in counts.
    entanglements : distance -> measure.
    separability : both verdicts with their proofs; None where refused or not asked (a large bandit).
    mixture : for separable chains, whether non-negative weights do (App. C), or None.
    decomposition : local values against the truth, exact or estimated with intervals; None (no rewards, or refused).
    bounds : the table of bounds with the truth; empty when the truth is an estimate.
    certificate : two-sided brackets of the error, or None.
    additive : joint additive values with the VDN gap, or None.
    budget : floor and bias of the error, or None.
    orders : what functions of two and three agents would explain, or None.
    decision : what the wrong sum costs a decision maker, or None.
    whose : whether the policy or the system entangles, or None.
    signal : what is lost when local values may not see the signal that all see; None where there is none.
    views : what agents might see, where that was asked; else None.
    breakdown : where it breaks, or None.
    bias : distance -> per unit, how far Eq. 2 is from the best local model.
    memory : of a log, whether its joint pairs are all that the next ones depend on; else None.
    extras : what this kind of system has beside: of bandits "corrected" and "mean_field".
    sections : their blocks of the result JSON.
    refused : (name, reason) of each part that was refused, with its size.
    tolerance : the user's tolerance on `unexplained`.
    discount : gamma, or None.
    seed : of the random generator.
    why_no_values : why there are no values, or "".
    title : what was analysed.
    command : the call that made it.
    source : where the system came from: a file, a gallery id, `module:attr`, or "Python".
    rewards : what is said of rewards that were given to `analyze`, or None.
    """

    _panels: ClassVar[tuple[str, ...]] = ("values", "entanglement", "partners")
    _calls: ClassVar[tuple[str, ...]] = ("summary()", "save_html(path)", "save_json(path)")

    chain: Source
    entanglements: Mapping[str, Measure]
    separability: Separability | None
    mixture: LocalPolytope | None
    decomposition: Any
    bounds: tuple[Bound, ...]
    certificate: Certificate | None
    additive: AdditiveValues | None
    budget: ErrorBudget | None
    orders: InteractionOrders | None
    decision: DecisionLoss | None
    whose: PolicyOrSystem | None
    signal: SignalLoss | SignalLossEstimate | None
    views: Views | None
    breakdown: Breakdown | None
    bias: Mapping[str, tuple[float, ...]]
    memory: MarkovTest | None
    extras: Mapping[str, Any]
    sections: Mapping[str, dict[str, Any]]
    refused: tuple[tuple[str, str], ...]
    tolerance: float
    discount: float | None
    seed: int | None
    why_no_values: str = ""
    title: str = ""
    command: str = ""
    source: str = "Python"
    rewards: Mapping[str, Any] | None = None

    @property
    def values(self) -> Any:
        """The same as `decomposition`."""
        return self.decomposition

    def __getattr__(self, name: str) -> Any:
        if name in ("corrected", "mean_field"):
            return self.extras.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def agentwise(self) -> str | None:
        """Agent-wise separability, proved: "separable", "entangled" or "undecided"; None: not asked (too large)."""
        if self.chain.proved_separable:
            return "separable"
        if self.separability is not None:
            return self.separability.agentwise
        if not any(name == "separability" for name, _ in self.refused):
            return None
        return "undecided" if self._apart is None else "entangled"

    @property
    def _apart(self) -> tuple[str, float] | None:
        """An agent whose laws are known to differ between joint pairs that it cannot tell apart, and its exact E_i by
        "mu-atv", which is 0 otherwise."""
        found = self.entanglements.get("mu-atv")
        if found is None or found.estimator != "exact":
            return None
        worst = int(np.nanargmax(found.numbers))
        size = float(found.numbers[worst])
        return (self.chain.units[worst].name, size) if size > tol.ENTANGLED else None

    @property
    def interval(self) -> Interval | None:
        """Limits of `unexplained`: what rounding leaves open where it is exact."""
        return None if self.decomposition is None else self.decomposition.unexplained_interval

    @property
    def _by_theorem(self) -> bool:
        """Whether values add up for every reward, whatever the numbers; a shared reward must itself be a sum."""
        shared = self.decomposition is not None and self.decomposition.shared is not None
        return self.agentwise == "separable" and not shared

    @property
    def verdict(self) -> str:
        """ "add", "do-not-add" or "cannot-tell".

        Agent-wise separable systems add up by theorem. Else "add" when the upper limit of `unexplained` is within the
        tolerance, "do-not-add" when its lower limit is above, and "cannot-tell" between and without values. A long run
        that an undeclared end holds says nothing about the live pairs.
        """
        if self.chain.absorbed:
            return "cannot-tell"
        return "add" if self._by_theorem else verdict(self.interval, self.tolerance)

    @property
    def mode(self) -> str | None:
        """What steps come with: "laws known", "policy known" or "logs only"; None: none were recorded."""
        return self.chain.mode if offers(self.chain, Recorded) else None  # type: ignore[attr-defined]

    @property
    def sentence(self) -> str:
        """The verdict in a sentence that a reader can act on; of a log it begins with its mode."""
        if self.mode is None:
            return self._said
        return opening(self.chain, self._said, self.memory, self.entanglements, self.why_no_values)  # type: ignore[arg-type]

    @property
    def _said(self) -> str:
        if self.chain.absorbed:
            return f"Cannot tell: {self.chain.absorbed}"
        if self._by_theorem:
            why = f"No {self.chain.member}'s next step depends on anything but its own local pair."
            return f"Yes: local values add up exactly, for every reward. {why}"
        if self.why_no_values:
            return f"Cannot tell: {self.why_no_values}. Agent-wise separability: {self.agentwise}."
        if self.interval is None:
            return "Cannot tell: the values could not be computed; see what was refused."
        low, high = self.interval
        limit = percent(self.tolerance)
        longer = self.decomposition.remedy
        if math.isinf(low):
            return "No: Q has no spread, and the sum of local values errs all the same."
        if self.decomposition.caution:
            return f"Cannot tell: {self.decomposition.caution}."
        if not (math.isfinite(low) and math.isfinite(high)):
            return f"Cannot tell: Q has no spread that can be told from 0 here; {longer}."
        missed = percent(self.decomposition.unexplained)
        if f"{low:.3g}" != f"{high:.3g}":
            missed = f"{percent(low)} to {percent(high)}"
        if self.verdict == "cannot-tell":
            return f"Cannot tell: the sum misses {missed} of the spread of Q, and {limit} lies between; {longer}."
        found = f"the sum of local values misses {missed} of the spread of Q (tolerance {limit})."
        if self.verdict == "add":
            return f"Yes, within your tolerance: {found}"
        if self.decomposition.unexplained > 1.0:
            found = f"{found[:-1]}; a constant would be nearer to Q than this sum is."
        reason = " The transitions are separable; the shared reward itself is no sum of local rewards."
        return f"No: {found}{reason if self.agentwise == 'separable' else ''}"

    def to_dict(self) -> dict[str, Any]:
        """The result JSON; non-finite numbers are None."""
        return self.document.to_dict()

    @cached_property
    def document(self) -> Document:
        """The same, typed: what text, pages and pictures are made from."""
        from ..report.document import Document

        return Document.model_validate(plain(self._parts()))

    def _parts(self) -> dict[str, Any]:
        def block(found: Any) -> dict[str, Any] | None:
            return None if found is None else found.to_dict()

        values = None if self.decomposition is None else self.decomposition.errors()
        if values is not None:
            additive = None if self.additive is None else self.additive.errors()
            beside = {"joint_additive": additive, "corrected": self.sections.get("corrected")}
            values |= {k: v for k, v in beside.items() if v is not None}
        budget = block(self.budget)
        if budget is not None:
            budget["joint_additive"] = None if self.additive is None else self.additive.error("l2")
        solvers = self.chain.solvers()
        evaluation = None if self.decomposition is None else self.decomposition.evaluation
        if evaluation is not None:
            solvers["values"] = {"method": evaluation.method, "residual": evaluation.residual}
        system = self.chain.summary()
        own = system.get("rewards")
        rewards = self.rewards or (own and own | {"given": False})
        system |= {"rewards": rewards, "source": self.source}
        return {
            "schema": 1,
            "versions": {"markov-entanglement": __version__, "numpy": np.__version__},
            "command": self.command,
            "seed": self.seed,
            "system": system | {"title": self.title or system["title"], "discount": self.discount},
            "verdict": {"word": self.verdict, "sentence": self.sentence, "tolerance": self.tolerance},
            "mode": self.mode,
            "memory": block(self.memory),
            "logs": None if self.mode is None else claims(self.chain, self.memory, self.decomposition),  # type: ignore[arg-type]
            "separability": self._separability_dict(),
            "error_budget": budget,
            "orders": block(self.orders),
            "decision": block(self.decision),
            "policy_or_system": block(self.whose),
            "signal": block(self.signal),
            "views": block(self.views),
            "entanglement": {k: e.to_dict() for k, e in self.entanglements.items()},
            "values": values,
            "local_values": self._local_values(),
            "no_values": self.why_no_values or None,
            "bounds": {b.name: b.to_dict() for b in self.bounds},
            "certificate": block(self.certificate) or {},
            "certificate_explanation": None
            if self.certificate is None
            else certificate_words(self.certificate),
            "transition_bias": {k: list(v) for k, v in self.bias.items()},
            "breakdown": block(self.breakdown),
            "mean_field": self.sections.get("mean_field"),
            "solvers": solvers,
            "refused": [{"name": n, "reason": r} for n, r in self.refused],
        }

    def _local_values(self) -> dict[str, Any] | None:
        """Local values with the names of agents, states and actions."""
        found = self.decomposition
        return None if found is None else found.local_values(tabulate.MOST_LOCAL)

    def _separability_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {"agentwise": self.agentwise, "verdict": None, "gap": None, "explanation": None}
        if self.separability is not None:
            out = self.separability.to_dict()
            out |= {"definition_gap": out["gap"], "gap": out.pop("agentwise_gap")}
            out["explanation"] = self._explanation(self.separability)
            for key, said in proofs(self.chain, self.separability).items():
                out[key]["explanation"] = said
        if self.chain.proved_separable:
            out["explanation"] = self.chain.proved_separable
        elif self.separability is None and self.agentwise == "entangled" and (apart := self._apart):
            name, size = apart
            out["explanation"] = (
                f"Proved: what {name} does next differs between joint pairs that it cannot tell apart, "
                f"by {size:.3g} on average (mu-atv)."
            )
        if self.mixture is not None:
            out["mixture"] = self.mixture.to_dict()
        return out

    def _explanation(self, found: Separability) -> str:
        """The separability finding, with its proof, in a sentence."""
        parts = []
        if found.witness is not None:
            w = found.witness
            parts.append(
                f"Proof that adding up fails for some reward: two joint pairs that {self.chain.units[w.agent].name} "
                f"cannot tell apart differ in value by {w.gap:.4g} when it is paid for the right next steps, at "
                f"discount {w.discount:.3g}."
            )
        atv = self.entanglements.get("atv")
        if found.agentwise == "entangled" and atv is not None and np.nanmax(atv.numbers) <= tol.SEPARABLE:
            parts.append("It takes transient pairs: on the recurrent ones no agent depends on another.")
        if found.certificate is not None:
            parts.append(decomposition_words(found.certificate))
        elif found.agentwise == "separable" and found.verdict == "entangled":
            parts.append(
                "Entangled by Def. 6.2 all the same: several agents' next steps together betray another's"
            )
            parts.append("pair, but no single one's does, which is all that values see.")
        if self.mixture is not None:
            parts.append(self.mixture.sentence)
        if found.note:
            parts.append(found.note)
        return " ".join(parts)

    def summary(self) -> str:
        """The result as text for a terminal."""
        return self.document.summary()

    def save_json(self, path: str | Path) -> None:
        """Write the result JSON atomically."""
        self.document.save_json(path)

    def save_html(self, path: str | Path) -> None:
        """Write the self-contained HTML report atomically."""
        self.document.save_html(path)

    def _tables(self) -> Iterable[Table]:
        return self.document._tables()

    def _brief(self) -> str:
        return f"{self.verdict}: {self.sentence}"

    def _badge(self) -> tuple[str, str]:
        return self.document._badge()
