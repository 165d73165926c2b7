"""The whole answer for a restless bandit: exact in counts where they are few, estimated beyond."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import _tolerance as tol
from ..bandits.chain import COUNT_DISTANCES, BanditChain
from ..bandits.count_chain import CountEntanglement
from ..bandits.count_values import CountValues
from ..bandits.error_estimate import ErrorEstimate, estimate_error
from ..bandits.mean_field import MeanField, mean_field
from ..errors import InvalidInput
from ..model.policy import IndexPolicy
from ..values.bounds import Bound, theorem_bound
from .attempt import Attempts
from .result import Result, percent, provenance


@dataclass(frozen=True, eq=False, repr=False)
class BanditAnalysis(Result):
    """Everything that was found out about a bandit under one policy.

    Attributes
    ----------
    chain : the chain of the counts.
    entanglements : distance -> measure, one number per arm type.
    decomposition : local values against the truth, exact or estimated with intervals; None when refused.
    corrected : values corrected by the linear response of the mean field, or None (`corrected_values`, exact only).
    bounds : the table of bounds with the truth; empty when the truth is an estimate.
    mean_field : fixed point, attractor and limit constants, or None (not an index policy, or refused).
    agentwise : agent-wise separability, proved: "separable", "entangled" or "undecided"; None: not asked (too large).
    explanation : how it was decided, or "".
    refused : (name, reason) of each part that was refused, with its size.
    tolerance : the user's tolerance on `unexplained`.
    seed : of the simulations.
    title, command : recorded in the result.
    """

    chain: BanditChain
    entanglements: Mapping[str, Any]
    decomposition: CountValues | ErrorEstimate | None
    corrected: CountValues | None
    bounds: tuple[Bound, ...]
    mean_field: MeanField | None
    agentwise: str | None
    explanation: str
    refused: tuple[tuple[str, str], ...]
    tolerance: float
    seed: int | None
    title: str = ""
    command: str = ""

    @property
    def values(self) -> CountValues | ErrorEstimate | None:
        """The same as `decomposition`."""
        return self.decomposition

    @property
    def interval(self) -> tuple[float, float] | None:
        """Limits of `unexplained`: equal when exact."""
        if self.decomposition is None:
            return None
        if isinstance(self.decomposition, ErrorEstimate):
            return self.decomposition.unexplained_interval
        return self.decomposition.unexplained, self.decomposition.unexplained

    @property
    def verdict(self) -> str:
        """ "add" when the upper limit of `unexplained` is within the tolerance, "do-not-add" when the lower is not.

        Agent-wise separable bandits add up by theorem, whatever the numbers.
        """
        if self.agentwise == "separable":
            return "add"
        if self.interval is None:
            return "cannot-tell"
        low, high = self.interval
        if high <= self.tolerance:
            return "add"
        return "do-not-add" if low > self.tolerance else "cannot-tell"

    @property
    def sentence(self) -> str:
        """The verdict in a sentence that a reader can act on."""
        if self.agentwise == "separable":
            return (
                "Yes: local values add up exactly, for every reward. "
                "No arm's next step depends on anything but its own local pair."
            )
        limit = f"{100 * self.tolerance:.3g} %"
        if self.interval is None:
            return "Cannot tell: the values could not be computed; see what was refused."
        low, high = self.interval
        longer = "simulate longer: me.estimate_error(bandit, policy, rng=0, starts=...), 4,000 by default"
        if math.isinf(low):
            return "No: Q has no spread, and the sum of local values errs all the same."
        if not (math.isfinite(low) and math.isfinite(high)):
            return f"Cannot tell: Q has no spread that these runs can tell from 0; {longer}."
        missed = percent(low) if low == high else f"{percent(low)} to {percent(high)}"
        if self.verdict == "add":
            return (
                f"Yes, within your tolerance: the sum of local values misses {missed} of the spread of Q "
                f"(tolerance {limit})."
            )
        if self.verdict == "do-not-add":
            return f"No: the sum of local values misses {missed} of the spread of Q (tolerance {limit})."
        return f"Cannot tell: the sum misses {missed} of the spread of Q, and {limit} lies between; {longer}."

    @cached_property
    def _dict(self) -> dict[str, Any]:
        bandit, types = self.chain.bandit, self.chain.bandit.n_types
        arms = [int(n) for n in bandit.n_arms]
        return {
            **provenance(self.command, self.seed),
            "system": {
                "title": self.title or repr(bandit),
                "kind": "RestlessBandit",
                "agents": bandit.n_agents,
                "multiplicity": arms,
                "names": [
                    f"{n:,} arms" if types == 1 else f"type {t}: {n:,} arms" for t, n in enumerate(arms)
                ],
                "pairs": self.chain.exact.n_pairs if self._enumerated else self.chain.count_states,
                "pair_word": "pairs of counts" if self._enumerated else "count states",
                "local_pairs": list(self.chain.sizes),
                "budget": bandit.budget,
                "discount": bandit.discount,
            },
            "verdict": {"word": self.verdict, "sentence": self.sentence, "tolerance": self.tolerance},
            "separability": {
                "agentwise": self.agentwise,
                "verdict": None,
                "gap": None,
                "explanation": self.explanation or None,
            },
            "entanglement": {k: _measure_dict(e) for k, e in self.entanglements.items()},
            "values": self._values(),
            "no_values": None,
            "bounds": {b.name: b.to_dict() for b in self.bounds},
            "certificate": self._certificate(),
            "transition_bias": {},
            "breakdown": None,
            "mean_field": None if self.mean_field is None else _mean_field_dict(self.mean_field),
            "solvers": {},
            "refused": [{"name": n, "reason": r} for n, r in self.refused],
        }

    @property
    def _enumerated(self) -> bool:
        return isinstance(self.decomposition, CountValues)

    def _certificate(self) -> dict[str, dict[str, list[float]]]:
        if not isinstance(self.decomposition, CountValues):
            return {}
        found = self.decomposition.certificate((1, 4, 16, 64))
        return {norm: {str(k): list(v) for k, v in table.items()} for norm, table in found.items()}

    def _values(self) -> dict[str, Any] | None:
        if self.decomposition is None:
            return None
        if isinstance(self.decomposition, CountValues):
            out: dict[str, Any] = self.decomposition.to_dict()
            if self.corrected is not None:
                out["corrected"] = self.corrected.to_dict()
            return out
        e = self.decomposition
        names = ("error_mu", "error_l2", "relative_error", "unexplained")
        return {
            **{name: getattr(e, name) for name in names},
            "error_sup": None,
            "intervals": {name: list(getattr(e, f"{name}_interval")) for name in names},
            "estimator": e.estimator,
        }


def analyze_bandit(
    chain: BanditChain,
    *,
    distances: Sequence[str] | None,
    tolerance: float,
    rng: Any,
    title: str,
    command: str,
) -> BanditAnalysis:
    """See `analyze`."""
    chain.require_one_class()
    bandit, policy = chain.bandit, chain.policy
    if distances is None:
        distances = COUNT_DISTANCES if chain.small else ("policy",)
    if not distances:
        raise InvalidInput("distances", "none", "at least one is needed", "E.g. ['policy'].")
    seed = int(rng) if isinstance(rng, int | np.integer) else None
    parts = Attempts()
    measured = {d: parts.run(d, lambda d=d: chain.measure(d, rng=rng), may_lack=True) for d in distances}  # type: ignore[misc]
    found = {d: e for d, e in measured.items() if e is not None}
    values: CountValues | ErrorEstimate | None
    corrected = None
    if chain.small:
        values = parts.run("values", lambda: chain.decompose(None, None))
        corrected = parts.run(
            "corrected values", lambda: chain.exact.corrected_values(table="pair"), may_lack=True
        )
    else:
        values = parts.run("values", lambda: estimate_error(bandit, policy, rng=rng))
    fluid = None
    if isinstance(policy, IndexPolicy):
        fluid = parts.run("mean field", lambda: mean_field(bandit, policy, rng=rng), may_lack=True)
    decided = parts.run("separability", lambda: _agentwise(chain, found))
    agentwise, explanation = ("undecided", "") if decided is None else decided
    return BanditAnalysis(
        chain, found, values, corrected, _bounds(chain, found, values), fluid, agentwise, explanation,
        tuple(parts.refused), tolerance, seed, title, command,
    )  # fmt: skip


def _agentwise(chain: BanditChain, found: Mapping[str, Any]) -> tuple[str | None, str]:
    """Agent-wise separability and how it was decided; (None, "") where it would take the counts of a large bandit.

    `atv` on recurrent rows, where it was measured, can only grow on all rows, so it may already show entanglement.
    """
    if chain.ignores_states:
        return "separable", (
            "Proved: service ignores the local states, so the chance that an arm is served is the same whatever the "
            "others do."
        )
    if not chain.small:
        return None, ""
    if "atv" in found and _least(found["atv"]) >= tol.ENTANGLED:
        return "entangled", ""
    whole = chain.measure("atv", support="all")
    assert isinstance(whole, CountEntanglement)
    word = "entangled" if _least(whole) >= tol.ENTANGLED else "undecided"
    return (
        "separable" if whole.worst <= tol.SEPARABLE else word,
        f"On all pairs of counts, transient ones included, the largest E_i by atv is {whole.worst:.4g}.",
    )


def _least(atv: CountEntanglement) -> float:
    """What the largest E_i certainly reaches: its value less the gap of its certificate."""
    return max(f.value - f.gap for f in atv.fits)


def _bounds(chain: BanditChain, found: Mapping[str, Any], values: Any) -> tuple[Bound, ...]:
    """Theorems 6.3 and H.2, as they stand and with half spans; exact chains only."""
    if not isinstance(values, CountValues):
        return ()
    bandit = chain.bandit
    arms = bandit.n_arms > 0
    largest = np.abs(bandit.rewards).max(axis=(1, 2)) * bandit.n_arms
    half = np.ptp(bandit.rewards, axis=(1, 2)) / 2 * bandit.n_arms
    out = []
    for distance, name, norm in (
        ("mu-atv", "Theorem 6.3", "mu"),
        ("policy", "Theorem 6.3 with Prop. 7.2", "mu"),
        ("atv", "Theorem H.2", "sup"),
    ):
        if distance in found:
            e = found[distance].per_agent[arms]
            for suffix, size in (("", largest[arms]), (", half spans", half[arms])):
                value = theorem_bound(e, size, chain.discount)
                out.append(Bound(name + suffix, distance, norm, value, values.error(norm)))
    return tuple(out)


def _measure_dict(measure: Any) -> dict[str, Any]:
    """A measure with one number per arm type, under the names of the result JSON."""
    out: dict[str, Any] = measure.to_dict()
    if "per_type" in out:
        out["per_agent"] = out.pop("per_type")
    return out


def _mean_field_dict(found: MeanField) -> dict[str, Any]:
    """The law of large numbers beside the finite bandit."""
    n = found.bandit.n_agents
    out: dict[str, Any] = {
        "fixed_point": found.fixed_point.tolist(),
        "activation": found.activation.tolist(),
        "degenerate": found.degenerate,
        "radius": found.radius,
        "attractor": found.attractor,
        "reason": found.reason,
        "cycle": None if found.cycle is None else found.cycle.tolist(),
        "entanglement_limit": np.asarray(found.entanglement_limit).tolist(),
        "no_constants": found.refused,
    }
    if found.refused is None:
        c = found.limit_constants
        root = float(np.sqrt(n))
        out["predictions"] = {
            "policy": (c.policy_entanglement / root).tolist(),
            "mu-atv": (c.entanglement / root).tolist(),
            "error_mu": c.error_mu * root,
            "error_l2": c.error_l2 * root,
            "unexplained": c.unexplained,
        }
    return out
