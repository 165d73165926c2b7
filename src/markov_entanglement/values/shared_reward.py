"""Meta Algorithm 2, first step: split one shared reward into local ones.

`e(r) = min_{r_i} sum_x mu(x) |r(x) - sum_i r_i(x_i)|` (Prop. J.7), a linear program solved through its dual,
`max sum_x y_x r(x)` with `|y_x| <= mu(x)` and `sum_{x ~ x_i} y_x = 0`: few rows, boxed columns. The
optimal local rewards are the multipliers of the equations. They are not unique; each is centred so that
its mid-range is 0, the constant spread evenly.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import highspy
import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, freeze
from ..errors import NoConvergence, TooLarge
from ..markov.chain import Chain


@dataclass(frozen=True, eq=False)
class SharedFit:
    """Local rewards fitted to a shared one.

    Attributes
    ----------
    local : (m_i,) fitted local reward per agent.
    error : e(r) = ||r - sum_i r_i||_mu.
    """

    local: tuple[Floats, ...]
    error: float


def fit_shared_reward(chain: Chain, reward: Floats) -> SharedFit:
    """Least absolute deviations under mu; `reward` (n,) on `chain.pairs`.

    Raises
    ------
    TooLarge : more pairs than the linear program takes.
    """
    mu = chain.occupancy
    at = np.flatnonzero(mu > 0)
    if len(at) > tol.LAD_PAIRS:
        raise TooLarge(
            "split of the shared reward",
            f"{len(at)} joint pairs",
            f"{tol.LAD_PAIRS}",
            "Give one reward table per agent.",
        )
    offsets = np.concatenate([[0], np.cumsum(chain.sizes)])
    rows = (chain.pairs[at] + offsets[:-1]).ravel()
    columns = np.repeat(np.arange(len(at)), chain.n_agents)
    matrix = sp.csc_array((np.ones(len(rows)), (rows, columns)), shape=(int(offsets[-1]), len(at)))
    r = _multipliers(matrix, reward[at], mu[at])
    local = [r[a:b] for a, b in itertools.pairwise(offsets)]
    seen = [np.unique(chain.pairs[at, i]) for i in range(chain.n_agents)]
    middle = [0.5 * (q[s].max() + q[s].min()) for q, s in zip(local, seen, strict=True)]
    share = sum(middle) / chain.n_agents
    tables = []
    for q, s, m in zip(local, seen, middle, strict=True):
        table = np.full(len(q), share)
        table[s] = q[s] - m + share
        tables.append(freeze(table))
    fitted = np.sum([t[chain.pairs[at, i]] for i, t in enumerate(tables)], axis=0)
    return SharedFit(tuple(tables), float(mu[at] @ np.abs(reward[at] - fitted)))


def _multipliers(matrix: sp.csc_array, reward: Floats, mu: Floats) -> Floats:
    m, n = matrix.shape
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = n, m
    model.sense_ = highspy.ObjSense.kMaximize
    # scaled to |y| <= 1 so that tolerances mean the same for rare pairs
    model.col_cost_ = reward * mu
    model.col_lower_, model.col_upper_ = -np.ones(n), np.ones(n)
    model.row_lower_, model.row_upper_ = np.zeros(m), np.zeros(m)
    model.a_matrix_.start_ = matrix.indptr
    model.a_matrix_.index_ = matrix.indices
    model.a_matrix_.value_ = matrix.data * np.repeat(mu, np.diff(matrix.indptr))
    solver = highspy.Highs()
    solver.silent()
    solver.passModel(model)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        raise NoConvergence("the split of the shared reward did not finish", None, float("nan"))
    return np.asarray(solver.getSolution().row_dual, dtype=np.float64)
