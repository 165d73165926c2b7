"""The result of an analysis: a verdict with its evidence, and the result JSON made from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from .. import _tolerance as tol
from .._files import write_text
from .._json import plain
from ..markov.chain import Chain
from ..measures.entanglement import Entanglement, Measure
from ..separable.decide import Separability
from ..separable.local_polytope import LocalPolytope
from ..values.additive import AdditiveValues
from ..values.bounds import Bound
from ..values.certificate import Certificate
from ..values.decomposition import ValueDecomposition
from .breakdown import Breakdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 1


class Result:
    """A verdict with its evidence; every text, picture and page is made from `to_dict()` alone."""

    @property
    def verdict(self) -> str:
        """ "add", "do-not-add" or "cannot-tell"."""
        raise NotImplementedError

    @property
    def sentence(self) -> str:
        """The verdict in a sentence that a reader can act on."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The result JSON; non-finite numbers are None."""
        return dict(plain(self._dict))

    @cached_property
    def _dict(self) -> dict[str, Any]:
        raise NotImplementedError

    def summary(self) -> str:
        """The result as text for a terminal."""
        from ..report.text import render_text

        return render_text(self.to_dict())

    def save_json(self, path: str | Path) -> None:
        """Write the result JSON atomically."""
        write_text(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")

    def save_html(self, path: str | Path) -> None:
        """Write the self-contained HTML report atomically."""
        write_text(path, self._repr_html_())

    def _repr_html_(self) -> str:
        from ..report.html import render_html

        return render_html(self.to_dict())

    def plot(self) -> Figure:
        """Entanglement of each agent and who explains it, as a matplotlib figure."""
        from ..report.figures import overview

        return overview(self.to_dict())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.verdict}: {self.sentence})"


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(Result):
    """Everything that was found out about one system under one policy.

    Attributes
    ----------
    chain : the induced chain.
    entanglements : distance -> measure.
    separability : both verdicts with their proofs, or None (refused).
    mixture : for separable chains, whether non-negative weights do (App. C), or None.
    decomposition : local values against the truth, or None (no rewards, or refused).
    bounds : the table of bounds with the truth.
    certificate : two-sided brackets of the error, or None.
    additive : joint additive values with the VDN gap, or None.
    breakdown : where it breaks, or None (refused).
    bias : distance -> per agent, how far Eq. 2 is from the best local model.
    refused : (name, reason) of each part that was refused, with its size.
    tolerance : the user's tolerance on `unexplained`.
    seed : of the random generator, for results that use one.
    why_no_values : why there are no values, or "".
    title : what was analysed.
    command : the call that made it.
    """

    chain: Chain
    entanglements: Mapping[str, Measure]
    separability: Separability | None
    mixture: LocalPolytope | None
    decomposition: ValueDecomposition | None
    bounds: tuple[Bound, ...]
    certificate: Certificate | None
    additive: AdditiveValues | None
    breakdown: Breakdown | None
    bias: Mapping[str, tuple[float, ...]]
    refused: tuple[tuple[str, str], ...]
    tolerance: float
    seed: int | None
    why_no_values: str = ""
    title: str = ""
    command: str = ""

    @property
    def agentwise(self) -> str:
        """Agent-wise separability, proved: "separable", "entangled" or "undecided"."""
        return "undecided" if self.separability is None else self.separability.agentwise

    @property
    def verdict(self) -> str:
        """ "add", "do-not-add" or "cannot-tell".

        With values: "add" when `unexplained` is within the tolerance. Without: only separability decides.
        """
        if self.decomposition is not None:
            return "add" if self.decomposition.unexplained <= self.tolerance else "do-not-add"
        return "add" if self.agentwise == "separable" else "cannot-tell"

    @property
    def sentence(self) -> str:
        """The verdict in a sentence that a reader can act on."""
        if self.agentwise == "separable" and (
            self.decomposition is None or self.decomposition.shared is None
        ):
            return (
                "Yes: local values add up exactly, for every reward. "
                "No agent's next step depends on anything but its own local pair."
            )
        limit = f"{100 * self.tolerance:.3g} %"
        if self.decomposition is not None:
            missed = percent(self.decomposition.unexplained)
            if self.verdict == "add":
                return (
                    f"Yes, within your tolerance: the sum of local values misses {missed} of the spread of Q "
                    f"(tolerance {limit})."
                )
            reason = ""
            if self.agentwise == "separable":
                reason = (
                    " The transitions are separable; the shared reward itself is no sum of local rewards."
                )
            return (
                f"No: the sum of local values misses {missed} of the spread of Q (tolerance {limit}).{reason}"
            )
        if self.why_no_values:
            return f"Cannot tell: {self.why_no_values}. Agent-wise separability: {self.agentwise}."
        return "Cannot tell: the values could not be computed; see what was refused."

    @cached_property
    def _dict(self) -> dict[str, Any]:
        chain, labels = self.chain, self.chain.system.labels
        values = None if self.decomposition is None else self.decomposition.to_dict()
        if values is not None and self.additive is not None:
            values["joint_additive"] = self.additive.to_dict()
        return {
            **provenance(self.command, self.seed),
            "system": {
                "title": self.title or repr(chain.system),
                "kind": type(chain.system).__name__,
                "agents": chain.n_agents,
                "names": [labels.agent(i) for i in range(chain.n_agents)],
                "joint_states": len(chain.states),
                "pairs": chain.n_pairs,
                "recurrent_pairs": int(chain.recurrent.sum()),
                "local_pairs": list(chain.sizes),
                "discount": None if self.decomposition is None else self.decomposition.discount,
            },
            "verdict": {"word": self.verdict, "sentence": self.sentence, "tolerance": self.tolerance},
            "separability": self._separability_dict(),
            "entanglement": {k: e.to_dict() for k, e in self.entanglements.items()},
            "values": values,
            "no_values": self.why_no_values or None,
            "bounds": {b.name: b.to_dict() for b in self.bounds},
            "certificate": {} if self.certificate is None else self.certificate.to_dict(),
            "transition_bias": {k: list(v) for k, v in self.bias.items()},
            "breakdown": None if self.breakdown is None else self._breakdown_dict(self.breakdown),
            "solvers": self._solvers(),
            "refused": [{"name": n, "reason": r} for n, r in self.refused],
        }

    def _separability_dict(self) -> dict[str, Any]:
        if self.separability is None:
            return {"agentwise": "undecided", "verdict": "undecided", "gap": None}
        out = self.separability.to_dict()
        out |= {
            "definition_gap": out["gap"],
            "gap": out.pop("agentwise_gap"),
            "explanation": self._explanation(),
        }
        if self.mixture is not None:
            out["mixture"] = self.mixture.to_dict()
        return out

    def _recurrent_gap(self) -> float:
        """Largest E_i by `atv` over the recurrent pairs; infinite when it was not measured."""
        atv = self.entanglements.get("atv")
        return float(atv.per_agent.max()) if isinstance(atv, Entanglement) else math.inf

    def _explanation(self) -> str:
        """The separability finding, with its proof, in a sentence."""
        found, labels = self.separability, self.chain.system.labels
        assert found is not None
        parts = []
        if found.witness is not None:
            w = found.witness
            parts.append(
                f"Proof that adding up fails for some reward: two joint pairs that {labels.agent(w.agent)} cannot tell "
                f"apart differ in value by {w.gap:.4g} when it is paid for the right next steps, at discount "
                f"{w.discount:.3g}."
            )
        if found.agentwise == "entangled" and self._recurrent_gap() <= tol.SEPARABLE:
            parts.append("It takes transient pairs: on the recurrent ones no agent depends on another.")
        if found.certificate is not None:
            parts.append(
                f"Separable by Def. 6.2: an explicit sum of {found.certificate.n_terms} products of local moves."
            )
        elif found.agentwise == "separable" and found.verdict == "entangled":
            parts.append(
                "Entangled by Def. 6.2 all the same: several agents' next steps together betray another's pair, but no "
                "single one's does, which is all that values see."
            )
        if self.mixture is not None:
            parts.append(self.mixture.sentence)
        if found.note:
            parts.append(found.note)
        return " ".join(parts)

    def _breakdown_dict(self, found: Breakdown) -> dict[str, Any]:
        spaces, labels = self.chain.system.spaces, self.chain.system.labels
        pairs = []
        for i, a in enumerate(spaces.n_actions):
            names = [
                f"{labels.state(i, x // a)}, {labels.action(i, x % a)}" if a > 1 else labels.state(i, x)
                for x in range(self.chain.sizes[i])
            ]
            pairs.append(names)
        return found.to_dict() | {"pair_names": pairs}

    def _solvers(self) -> dict[str, Any]:
        s = self.chain.stationary
        out: dict[str, Any] = {"stationary": {"method": s.method, "residual": s.residual}}
        if self.decomposition is not None:
            e = self.decomposition.evaluation
            out["values"] = {"method": e.method, "residual": e.residual}
        return out


def provenance(command: str, seed: int | None) -> dict[str, Any]:
    """The first keys of every result JSON."""
    versions = {"markov-entanglement": __version__, "numpy": np.__version__}
    return {"schema": SCHEMA, "versions": versions, "command": command, "seed": seed}


def percent(share: float) -> str:
    """A share for a sentence."""
    if not math.isfinite(share):
        return "all"
    return f"{100 * share:.3g} %"
