"""Local values from flows: Eq. 2 and tabular TD without following a single arm.

Flow counts `F[x, x']` of local pairs `x = 2 s + a` give `P_i(x'|x) = F[x, x'] / sum F[x, .]` (Eq. 2), and
`Q_i = (I - gamma P_i)^{-1} r_i` is where tabular TD (and LSTD with one-hot features) converges on those data.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _check
from .._check import Floats, freeze
from ..errors import InvalidInput
from ..runs.flows import known, values


def local_values_from_flows(flows: Any, rewards: Any, discount: float) -> tuple[Floats, Floats]:
    """Local transitions and values of one arm type, or of many arms at once.

    Parameters
    ----------
    flows : (..., m, m) non-negative counts of moves between local pairs, m = 2S.
    rewards : (..., S, 2) or (..., m), reward units.
    discount : gamma in [0, 1).

    Returns
    -------
    P_i : (..., m, m), NaN rows for pairs that were never left. A move into such a pair (at most the last one
        of an arm) is dropped.
    Q_i : (..., m), NaN for those pairs; reward units.

    Raises
    ------
    InvalidInput : negative counts, shapes that do not match, a bad discount.

    >>> from markov_entanglement.bandits.local_td import local_values_from_flows
    >>> P, Q = local_values_from_flows([[1, 1], [2, 0]], [0.0, 1.0], 0.5)
    >>> P.tolist(), Q.round(6).tolist()
    ([[0.5, 0.5], [1.0, 0.0]], [0.4, 1.2])
    """
    gamma = _check.discount(discount)
    f = _check.nonnegative("flows", flows)
    if f.ndim < 2 or f.shape[-1] != f.shape[-2]:
        raise InvalidInput("flows", f"shape {f.shape}", "it must be (..., m, m)", "Rows are the pairs left.")
    m = f.shape[-1]
    r = _check.real("rewards", rewards)
    if r.ndim == f.ndim or (r.ndim == 2 and r.shape[1] != m):
        r = r.reshape(*r.shape[:-2], -1)
    lead = f.shape[:-2]
    if r.ndim == 0 or r.shape[-1] != m or r.shape[:-1] not in {(), lead}:
        raise InvalidInput("rewards", f"shape {np.shape(rewards)}", f"one reward for each of {m} local pairs",
                           "Give (S, 2), or that for every arm.")  # fmt: skip
    p, left = known(np.concatenate([f, np.zeros((*lead, m, 1))], axis=-1))
    q = values(p, np.broadcast_to(r, left.shape) * left, gamma)
    return freeze(np.where(left[..., None], p, np.nan)), freeze(np.where(left, q, np.nan))
