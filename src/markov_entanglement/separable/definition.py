"""Def. 6.2 for a chain that is not agent-wise entangled: the certificate, or what stands against it.

Weakly coupled systems: a decomposition of the policy is one of the chain. Else, one or two agents: separable, since
P is agent-wise separable; the decomposition is the proof. Three or more on the full product: separable iff all
no-signalling equations hold. On a restricted support: a violated equation among the chain's own rows proves
entanglement; else a linear program looks for a completion of the rows.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from .._check import Floats
from .._json import plain
from ..errors import TooLarge
from .completion import Inequality, complete, product_completion
from .decomposition import Decomposition, compact, explicit, guard_entries
from .equation import Equation, worst_equation
from .policy_split import split_policy
from .support import Support
from .verdict import Verdict, between, proved_gap, proved_residual, word
from .witness import LocalLaws


@dataclass(frozen=True, eq=False, repr=False)
class Finding:
    """A verdict with its numbers, its proof, or what stopped the search; fields as in `Separability`."""

    verdict: Verdict | Literal["mixture", "no-mixture"]
    residual: float = float("nan")
    gap: float = 0.0
    certificate: Decomposition | None = None
    equation: Equation | None = None
    inequality: Inequality | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the arrays of the certificate (`certificate.to_dict()` has them)."""
        return {
            "verdict": self.verdict,
            "residual": plain(self.residual),
            "gap": self.gap,
            "terms": None if self.certificate is None else self.certificate.n_terms,
            "equation": None if self.equation is None else self.equation.to_dict(),
            "inequality": None if self.inequality is None else self.inequality.to_dict(),
            "note": self.note,
        }


def decide_definition(support: Support, laws: list[LocalLaws], t: float) -> Finding:
    """The verdict of Def. 6.2 when no agent is entangled by more than the tolerance allows."""
    gap, simple = max(law.gap for law in laws), len(support.sizes) <= 2
    # up to two agents the agent-wise answer is the answer, with or without room for its terms
    agentwise = word(max(law.residual for law in laws), gap, t) if simple else "undecided"
    if support.chain.ends is not None:
        # P with one more outcome, "all ended": for two agents separable iff agent-wise, as without ends
        return Finding(agentwise, gap=gap, note="tasks end: no certificate in joint pairs")
    through = split_policy(support)
    if through is not None and word(through.residual, gap, t) == "separable":
        return Finding("separable", through.residual, gap, support.widen(through))
    try:
        if simple or support.full:
            guard_entries(support.total**2)
        equation = worst_equation(support)
        if equation is not None and equation.gap >= proved_gap(t):
            return Finding("entangled", gap=equation.gap, equation=equation)
        gap = max(gap, 0.0 if equation is None else equation.gap)
        if simple or support.full:
            return _certify(support, product_completion(support, laws), gap, t)
        solved = complete(support)
    except TooLarge as refusal:
        note = f"{refusal.what}: {refusal.size} (the limit is {refusal.limit})"
        return Finding(agentwise, gap=gap, note=note)
    if solved is None:
        note = "HiGHS did not finish the completion of the restricted support"
        return Finding("undecided", gap=gap, note=note)
    completed, inequality = solved
    if inequality.gap >= proved_gap(t):
        return Finding("entangled", gap=inequality.gap, inequality=inequality)
    return _certify(support, completed, max(gap, inequality.gap), t)


def _certify(support: Support, completed: Floats, gap: float, t: float) -> Finding:
    """The compact decomposition of the completed rows; the explicit one when that misses and there is room."""
    sizes = support.sizes
    best = compact(completed, sizes, support.index)  # P is given on the rows of the chain alone
    if best.residual > proved_residual(t):
        with suppress(TooLarge):
            best = min(best, explicit(completed, sizes, support.index), key=lambda d: d.residual)
    verdict = word(best.residual, gap, t)
    if verdict == "separable":
        return Finding(verdict, best.residual, gap, support.widen(best))
    return Finding(verdict, best.residual, gap, note=between(best.residual, gap, t))
