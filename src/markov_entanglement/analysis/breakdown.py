"""Where it breaks: which local pairs carry E_i, and whose pair explains it.

For an agent i and another agent j, re-measure with j's pair added to the key: `E_i(+j)` is what remains when
the local model may also read x_j. The fall `E_i - E_i(+j)` says how much of the entanglement j explains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, freeze
from ..errors import TooLarge
from ..markov.chain import Chain
from ..measures.entanglement import Entanglement
from ..measures.local_fit import fit_mean


@dataclass(frozen=True, eq=False)
class Breakdown:
    """Contributions to the `mu-atv` measure.

    Attributes
    ----------
    per_pair : per agent (m_i,) summand of each local pair; they sum to E_i.
    occupancy : per agent (m_i,) occupancy of each local pair.
    remaining : (N, N) `E_i` when agent i's model may also read agent j's pair; the diagonal is E_i.
    """

    per_pair: tuple[Floats, ...]
    occupancy: tuple[Floats, ...]
    remaining: Floats

    @property
    def explained(self) -> Floats:
        """(N, N) by how much E_i falls when j's pair is added to the key."""
        return freeze(np.diag(self.remaining)[:, None] - self.remaining)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "per_pair": [p.tolist() for p in self.per_pair],
            "occupancy": [p.tolist() for p in self.occupancy],
            "remaining": self.remaining.tolist(),
        }


def breakdown(chain: Chain, measure: Entanglement) -> Breakdown:
    """Contributions and partners of every agent.

    Parameters
    ----------
    chain : the chain.
    measure : its `mu-atv` entanglement.

    Raises
    ------
    TooLarge : the N(N-1) measures with a partner would take too long.
    """
    n = chain.n_agents
    work = n * (n - 1) * chain.n_pairs * float(np.mean(chain.sizes))
    if work > tol.BREAKDOWN_WORK:
        raise TooLarge(
            "partners of every agent",
            f"{work:.3g} law entries to measure",
            f"{tol.BREAKDOWN_WORK:.0g}",
            "Coarsen the local states, or drop agents.",
        )
    remaining = np.zeros((n, n))
    for i in range(n):
        rows = chain.rows(i).where(chain.occupancy > 0)
        others = chain.pairs[chain.occupancy > 0]
        for j in range(n):
            remaining[i, j] = (
                measure.fits[i].value if i == j else fit_mean(rows.refine(others[:, j], chain.sizes[j])).value
            )
    return Breakdown(
        tuple(f.per_key for f in measure.fits),
        tuple(chain.rows(i).key_weight for i in range(n)),
        freeze(remaining),
    )
