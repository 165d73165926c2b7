"""Where it breaks: which local pairs carry E_i, and whose pair explains it.

For an agent i and another agent j, re-measure with j's pair added to the key: `E_i(+j)` is what remains when
the local model may also read x_j. The fall `E_i - E_i(+j)` says how much of the entanglement j explains.

Is it the policy or the system? `E_i <= E_i^kernel + E_i^policy` (mu-atv); a policy is what a user can change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, freeze
from .._json import plain
from ..errors import TooLarge
from ..laws.source import Space
from ..measures.entanglement import Entanglement, Measure
from ..measures.local_fit import fit_mean
from ..report.result import Brief


@dataclass(frozen=True, eq=False, repr=False)
class Breakdown(Brief):
    """Contributions to the `mu-atv` measure.

    Attributes
    ----------
    per_pair : per unit (m_u,) summand of each local pair; they sum to E_i.
    occupancy : per unit (m_u,) occupancy of each local pair.
    remaining : (U, U) `E_i` when the model of an agent of unit i may also read the pair of an agent of unit j; the
        diagonal is E_i. NaN where there is no such agent.
    alike : (U,) the same when it may read the pair of one more agent of its own unit; NaN where there is none.
    pair_names : per unit (m_u,) display names of the local pairs.
    """

    per_pair: tuple[Floats, ...]
    occupancy: tuple[Floats, ...]
    remaining: Floats
    alike: Floats
    pair_names: tuple[list[str], ...]

    @property
    def explained(self) -> Floats:
        """(U, U) by how much E_i falls when j's pair is added to the key."""
        return freeze(np.diag(self.remaining)[:, None] - self.remaining)

    def to_dict(self) -> dict[str, Any]:
        """JSON form; NaN is None."""
        return plain(vars(self))

    def _brief(self) -> str:
        return f"{len(self.per_pair)} agents or types, E_i sum to {float(np.nansum(np.diag(self.remaining))):.6g}"


def breakdown(chain: Space, measure: Entanglement) -> Breakdown:
    """Contributions and partners of every unit, given the `mu-atv` entanglement of the chain; `TooLarge` where the U^2
    measures with a partner would take too long."""
    n = len(chain.units)
    work = n * n * len(chain.occupancy) * float(np.mean([u.size for u in chain.units]))
    if work > tol.BREAKDOWN_WORK:
        size, limit = f"{work:.3g} law entries to measure", f"{tol.BREAKDOWN_WORK:.0g}"
        raise TooLarge("partners of every agent", size, limit, "Coarsen the local states, or drop agents.")
    left = np.full((n, n), np.nan)
    for i, j in np.ndindex(n, n):
        rows = chain.partner_rows(i, j)
        if rows is not None:
            left[i, j] = fit_mean(rows).value
    alike = np.diag(left).copy()
    np.fill_diagonal(left, measure.per_agent)
    parts, occupancy = (
        tuple(f.per_key for f in measure.fits),
        tuple(chain.rows(i).key_weight for i in range(n)),
    )
    names = tuple(chain.pair_names(i) for i in range(n))
    return Breakdown(parts, occupancy, freeze(left), freeze(alike), names)


@dataclass(frozen=True, eq=False, repr=False)
class PolicyOrSystem(Brief):
    """The two parts beside the whole: entanglement by the distances "kernel", "policy" and "mu-atv"."""

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

    def _brief(self) -> str:
        return self.sentence


def policy_or_system(found: Mapping[str, Measure]) -> PolicyOrSystem | None:
    """The comparison, where all three were measured exactly."""
    parts = [found.get(name) for name in ("kernel", "policy", "mu-atv")]
    return None if None in parts else PolicyOrSystem(*parts)  # type: ignore[arg-type]
