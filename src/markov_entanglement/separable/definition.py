"""Def. 6.2 for a chain that is not agent-wise entangled: the certificate, or what stands against it.

Weakly coupled systems: a decomposition of the policy is one of the chain. Else, one or two agents: separable, since
P is agent-wise separable; the decomposition is the proof. Three or more on the full product: separable iff all
no-signalling equations hold. On a restricted support: a violated equation among the chain's own rows proves
entanglement; else a linear program looks for a completion of the rows.

The way through the policy works whatever the budget leaves out: with `P(s'|s,a) = prod_i P_i(s_i'|s_i,a_i)` (Def. 7.1)
and `pi(a|s) = sum_j x_j prod_i pi_i^(j)(a_i|s_i)`,

    P((s,a),(s',a')) = sum_j x_j prod_i P_i(s_i'|s_i,a_i) pi_i^(j)(a_i'|s_i'),

so P is separable (Example 3.3: one agent served at random). The policy lives on the full product of local states
also when the chain's pairs are no product, and its decomposition is small: no completion is sought, and the joint
transition is never formed.

Guarantee: a row of that decomposition misses P by at most the residual of the policy, in L1, because
`sum_s' P(s'|s,a) |pi(.|s') - sum_j x_j prod_i pi_i^(j)(.|s_i')|_1` is a mean of the policy's row errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, freeze
from .._json import plain
from ..errors import InvalidInput, TooLarge
from ..markov.chain import Chain
from ..report import tabulate
from ..report.result import Result
from ..report.table import Table
from .completion import Inequality, complete, product_completion
from .decomposition import Decomposition, certified, compact, compact_terms, explicit, guard_entries
from .equation import Equation, worst_equation
from .support import Support
from .witness import LocalLaws

Verdict = Literal["separable", "entangled", "undecided"]


@dataclass(frozen=True, eq=False, repr=False)
class Finding(Result):
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

    def _badge(self) -> tuple[str, str]:
        tones = {"separable": "good", "mixture": "good", "entangled": "bad", "no-mixture": "bad"}
        return tones.get(self.verdict, "open"), str(self.verdict)

    def _tables(self) -> Iterator[Table]:
        yield tabulate.numbers(
            [
                ("residual", None if math.isnan(self.residual) else self.residual, "",
                 "largest L1 distance between a row of P and the certificate"),
                ("gap", self.gap, "", "by how much the strongest equation or inequality is violated"),
                ("terms", self.certificate and self.certificate.n_terms, "", "products in the certificate"),
            ]
        )  # fmt: skip


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


def split_policy(support: Support) -> Decomposition | None:
    """The decomposition through the policy, on the occurring local pairs; its residual is that of the policy.

    Terms may use local pairs that never occur, where they cancel: each sends that mass to its first occurring pair.
    None when the system is not weakly coupled, its chain does not visit all joint states, or the policy would not
    fit. An entangled policy leaves a large residual and proves nothing.
    """
    chain: Chain = support.chain
    system, spaces = chain.system, chain.system.spaces
    shape = (spaces.joint_states, math.prod(spaces.n_actions))
    large = shape[0] * shape[1] > tol.SEPARABLE_ENTRIES
    if system.local_kernels is None or len(chain.states) != shape[0] or large:
        return None
    states, actions = spaces.split(chain.pairs)
    table = np.zeros(shape)
    table[spaces.state_index(states), spaces.action_index(actions)] = chain.choice.data
    weights, laws = compact_terms(table, spaces.n_states, spaces.n_actions)
    factors = []
    for kernel, law, active in zip(system.local_kernels, laws, support.active, strict=True):
        step = np.einsum("ast,jtb->jsatb", kernel, law)  # P_i(t|s,a) pi_i^(j)(b|t)
        m = law.shape[1] * law.shape[2]
        rows = step.reshape(-1, m, m)[:, active]
        factor = rows[:, :, active]
        factor[:, :, 0] += np.delete(rows, active, axis=2).sum(axis=2)
        factors.append(freeze(factor))
    return replace(certified("compact", weights, laws, table), factors=tuple(factors))


def word(residual: float, gap: float, tolerance: float) -> Verdict:
    """ "entangled" for a gap >= 10 t, "separable" for a residual <= t/10, else "undecided"."""
    if gap >= proved_gap(tolerance):
        return "entangled"
    return "separable" if residual <= proved_residual(tolerance) else "undecided"


def between(residual: float, gap: float, tolerance: float) -> str:
    """How near an undecided chain is to the answer, with what either proof would need."""
    low, high = proved_residual(tolerance), proved_gap(tolerance)
    return (
        f"the nearest decomposition found misses a row by {residual:.2g} in L1 (a proof needs at most {low:.0e}) and "
        f"the strongest violation found is {gap:.2g} (a proof needs at least {high:.0e})"
    )


def proved_gap(tolerance: float) -> float:
    """Gap from which a violation counts as proved."""
    return tolerance * tol.VERDICT_MARGIN


def proved_residual(tolerance: float) -> float:
    """Residual up to which a certificate counts as proof."""
    return tolerance / tol.VERDICT_MARGIN


def verdict_tolerance(tolerance: float) -> float:
    """The tolerance of a verdict, checked."""
    t = _check.number("tolerance", tolerance)
    if not tol.VERDICT_TOLERANCE <= t <= 1.0 / tol.VERDICT_MARGIN:
        raise InvalidInput("tolerance", repr(tolerance), f"it must lie in [{tol.VERDICT_TOLERANCE:g}, 0.1]",
                           "The default 1e-9 fits double precision.")  # fmt: skip
    return t
