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
from .._json import plain
from ..errors import TooLarge
from ..laws.source import Space
from ..measures.entanglement import Entanglement
from ..measures.local_fit import fit_mean


@dataclass(frozen=True, eq=False)
class Breakdown:
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


def breakdown(chain: Space, measure: Entanglement) -> Breakdown:
    """Contributions and partners of every unit.

    Parameters
    ----------
    chain : the chain.
    measure : its `mu-atv` entanglement.

    Raises
    ------
    TooLarge : the U^2 measures with a partner would take too long.
    """
    units = chain.units
    n = len(units)
    work = n * n * len(chain.occupancy) * float(np.mean([u.size for u in units]))
    if work > tol.BREAKDOWN_WORK:
        raise TooLarge(
            "partners of every agent",
            f"{work:.3g} law entries to measure",
            f"{tol.BREAKDOWN_WORK:.0g}",
            "Coarsen the local states, or drop agents.",
        )
    left = np.full((n, n), np.nan)
    for i in range(n):
        for j in range(n):
            rows = chain.partner_rows(i, j)
            left[i, j] = np.nan if rows is None else fit_mean(rows).value
    alike = np.diag(left).copy()
    np.fill_diagonal(left, measure.per_agent)
    return Breakdown(
        tuple(f.per_key for f in measure.fits),
        tuple(chain.rows(i).key_weight for i in range(n)),
        freeze(left),
        freeze(alike),
        tuple(chain.pair_names(i) for i in range(n)),
    )
