"""Separable or entangled? Two questions, each answered with a proof (Sections 3 and 4; Def. 6.2).

- agent-wise: does `p_i(.|x)` depend on x_i only, for every agent? This is what adding up local values needs, for
  every reward (Theorem 4.1 and its converse). Proof: the local laws, or a witness in rewards.
- Def. 6.2: is P a weighted sum of products of local transitions? For two agents the same, for three or more it
  asks for more (parity chain). Proof: an explicit decomposition, or the violated no-signalling equation, or, on
  restricted supports with three or more agents, a violated linear inequality.

Both run over all pairs of the chain, transient ones included. On pairs that are not the full product P is
separable when some separable transition on the full product agrees with it there.

Guarantee: with tolerance t, "separable" only when the residual recomputed from the certificate is <= t/10,
"entangled" only when the gap of the certificate is >= 10 t; between the two "undecided", with both numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .._check import Floats
from .._types import Subject
from ..errors import InvalidInput
from ..laws.source import Joint, Space, exact, offers
from ..report.table import Table
from .definition import Finding, Verdict, decide_definition, verdict_tolerance, word
from .equation import local_equation
from .support import Support
from .witness import Witness, find_witness, local_laws


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Separability(Finding):
    """Both verdicts and their proofs.

    Attributes
    ----------
    agentwise : "separable", "entangled" or "undecided": may local values be added up, for every reward?
    verdict : the same for Def. 6.2.
    agentwise_residual, agentwise_gap : largest `|p_i(.|x) - M_i(.|x_i)|_1` and largest `|p_i(.|x) - p_i(.|y)|_1`.
    residual : largest L1 distance between a row of P and the certificate; NaN without one.
    gap : by how much the strongest equation or inequality found is violated.
    local_laws : per agent (m_i, m_i) M_i; NaN where the local pair never occurs.
    certificate : the decomposition when the verdict is "separable", else None.
    witness : rewards at which adding up fails, when `agentwise` is "entangled".
    equation : the violated no-signalling equation when there is one.
    inequality : the violated inequality when no single equation is violated.
    support : (number of joint pairs of the chain, number in the full product).
    tolerance : t.
    note : what stopped the decision, when undecided or without certificate; else empty.
    """

    agentwise: Verdict
    agentwise_residual: float
    agentwise_gap: float
    local_laws: tuple[Floats, ...]
    witness: Witness | None
    support: tuple[int, int]
    tolerance: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the arrays of the certificate (`certificate.to_dict()` has them)."""
        own = {k: getattr(self, k) for k in ("agentwise", "agentwise_residual", "agentwise_gap", "tolerance")}
        witness = None if self.witness is None else self.witness.to_dict()
        return own | super().to_dict() | {"witness": witness, "support": list(self.support)}

    @property
    def sentence(self) -> str:
        """Both verdicts in words."""
        words = {"separable": "Yes: local values add up", "entangled": "No: local values do not add up",
                 "undecided": "It is undecided whether local values add up"}  # fmt: skip
        return f"{words[self.agentwise]} for every reward (agent-wise {self.agentwise}; {self.verdict} by Def. 6.2)."

    def _badge(self) -> tuple[str, str]:
        return {"separable": "good", "entangled": "bad", "undecided": "open"}[
            self.agentwise
        ], f"Agent-wise {self.agentwise}"

    def _brief(self) -> str:
        return f"agentwise={self.agentwise!r}, verdict={self.verdict!r}"

    def _tables(self) -> Iterator[Table]:
        yield from super()._tables()
        if self.witness is not None:
            yield self.witness.table()


def separability(chain: Subject, *, discount: float = 0.9, tolerance: float = 1e-9) -> Separability:
    """Decide, with proof, whether a chain is agent-wise separable and whether it is separable (Def. 6.2).

    Parameters
    ----------
    chain : from `system.under(policy)`; a `JointChain` is taken as it is.
    discount : gamma in (0, 1) of the values that the witness compares.
    tolerance : t; "separable" needs a residual <= t/10, "entangled" a gap >= 10 t.

    Raises
    ------
    InvalidInput : a discount outside (0, 1), or a tolerance below what double precision can honour.
    Unsupported : `chain` is neither a chain nor a system that has one without a policy.
    TooLarge : the local laws of some agent would not fit.

    >>> import markov_entanglement as me
    >>> answer = separability(me.gallery.build("parity").chain())
    >>> answer.agentwise, answer.verdict, answer.equation.agents
    ('separable', 'entangled', (0, 1))
    """
    gamma = _check.discount(discount)
    if gamma == 0.0:
        rule = "a witness compares discounted values (Theorem 4.1: gamma > 0)"
        raise InvalidInput("discount", "0", rule, "Use the discount of your problem, e.g. 0.9.")
    t = verdict_tolerance(tolerance)
    space = exact(chain, Space, question="separability")
    units = [u for u, unit in enumerate(space.units) if unit.multiplicity]
    laws = [local_laws(space.laws(u)) for u in units]
    worst = int(np.argmax([law.gap for law in laws]))
    residual, gap = max(law.residual for law in laws), laws[worst].gap
    agentwise, witness, n = word(residual, gap, t), None, space.features.shape[0]
    joint: Any = space
    if not offers(space, Joint):
        note = f"Def. 6.2 speaks of joint laws: {'. '.join(space.no_joint)}"
        found, product = Finding("undecided", gap=gap, note=note), n
    elif agentwise == "entangled":
        witness, product = find_witness(joint, worst, gamma), math.prod(joint.sizes)
        equation = local_equation(Support.of(joint), worst, laws[worst].rows)
        found = Finding("entangled", gap=equation.gap, equation=equation)
    else:
        found, product = decide_definition(Support.of(joint), laws, t), math.prod(joint.sizes)
    return Separability(
        **vars(found),
        agentwise=agentwise,
        agentwise_residual=residual,
        agentwise_gap=gap,
        local_laws=tuple(law.law for law in laws),
        witness=witness,
        support=(n, product),
        tolerance=t,
    )
