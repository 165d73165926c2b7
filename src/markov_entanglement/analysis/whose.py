"""Is it the policy or the system? `E_i <= E_i^kernel + E_i^policy` (mu-atv); a policy is what a user can change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import _tolerance as tol
from .._json import plain
from ..measures.entanglement import Entanglement, Measure


@dataclass(frozen=True, eq=False)
class PolicyOrSystem:
    """The two parts beside the whole.

    Attributes
    ----------
    kernel, policy, pair : entanglement by the distances "kernel", "policy" and "mu-atv".
    """

    kernel: Entanglement
    policy: Entanglement
    pair: Entanglement

    @property
    def sentence(self) -> str:
        """Where the entanglement comes from."""
        kernel, policy, pair = self.kernel.total, self.policy.total, self.pair.total
        if pair <= tol.SEPARABLE:
            return "Neither: no agent's next step depends on more than its own pair in the long run."
        if kernel <= tol.SEPARABLE:
            return "It is the policy: the agents move on their own, and only the choice of actions ties them."
        if policy <= tol.SEPARABLE:
            return "It is the system: each agent acts on its own state, and the transitions tie them."
        part = f"summed over agents the system gives {kernel:.4g} and the policy {policy:.4g} of a limit for {pair:.4g}"
        return f"{'Mostly the system' if kernel > policy else 'Mostly the policy'}: {part}."

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        parts = {k: plain(getattr(self, k).per_agent) for k in ("kernel", "policy", "pair")}
        return {**parts, "sentence": self.sentence}


def policy_or_system(found: Mapping[str, Measure]) -> PolicyOrSystem | None:
    """The comparison, where all three were measured exactly."""
    parts = [found.get(name) for name in ("kernel", "policy", "mu-atv")]
    return None if None in parts else PolicyOrSystem(*parts)  # type: ignore[arg-type]
