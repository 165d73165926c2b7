"""Decision loss: what a wrong sum costs a decision maker.

`E_nu[max_a Q(s, a) - Q(s, a_D)]`, `a_D` a maximiser of `D(s, a) = sum_i Q_i(s_i, a_i)` over the feasible actions (ties
averaged), `nu` the state law under mu, Q on all feasible actions by one step of the kernel. It is 0 for all states iff
the sum picks true maximisers (the "individual-global-max" of the QMIX literature, for `Q^pi`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from .. import _tolerance as tol
from .._check import Floats
from .._json import plain
from ..errors import InvalidInput
from ..laws.source import Alternatives, Space, exact
from .certificate import candidate_values
from .decomposition import ValueDecomposition, decompose, resolve_discount


@dataclass(frozen=True)
class DecisionLoss:
    """What deciding by the sum costs.

    Attributes
    ----------
    loss : reward units, mean over the visited states.
    share : of the spread of Q, its standard deviation under mu; None where Q has no spread.
    right : share of visited states (by nu) in which the sum picks a true maximiser.
    excluded : share of visited states left out, because the sum has no value for some feasible action there.
    rank_correlation : for budgets, mean over the states of Spearman's correlation between the local differences
        `Q_i(s_i, 1) - Q_i(s_i, 0)` and the true marginal gains, the mean of Q over feasible actions with `a_i = 1` less
        that with `a_i = 0`; else None.
    note : what was done about local pairs that the policy never visits, or "".
    """

    loss: float
    share: float | None
    right: float
    excluded: float
    rank_correlation: float | None
    note: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return plain(vars(self))


def decision_loss(
    chain: Any, rewards: Any = None, discount: float | None = None, *, candidate: Any = None
) -> DecisionLoss:
    """What deciding by the sum of local values costs, against the best feasible action by the true Q.

    Parameters
    ----------
    chain : from `system.under(policy)`; a bandit is answered in counts.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    candidate : one local table (m_u,) per unit; None: local TD (Meta Algorithm 1). NaN where never visited.

    Returns
    -------
    DecisionLoss

    Raises
    ------
    InvalidInput : malformed arguments, or a candidate that is not one table per unit.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    TooLarge : the feasible actions would not fit.

    >>> import markov_entanglement as me
    >>> lost = me.decision_loss(me.gallery.build("circulant-bandit", n_arms=5).chain())
    >>> round(lost.loss, 9), round(lost.right, 6)
    (3.2801e-05, 0.999581)
    """
    space = exact(chain, Space, question="a decision loss")
    values = decompose(space, space.read_rewards(rewards), resolve_discount(space, discount))
    if candidate is None:
        return decision_of(values)
    if not isinstance(candidate, list | tuple):
        raise InvalidInput("candidate", type(candidate).__name__, "actions off the chain need a value, too",
                           "Give one table (m_i,) for each agent.")  # fmt: skip
    candidate_values(space, candidate)
    return decision_of(values, [np.asarray(t, dtype=np.float64) for t in candidate])


def decision_of(
    values: ValueDecomposition, tables: list[Floats] | None = None, *, unasked: bool = False
) -> DecisionLoss:
    """See `decision_loss`; `unasked`: only while it takes moments."""
    space = values.chain
    options = space.alternatives(
        values.centred, values.discount, tol.DECISIONS_UNASKED if unasked else tol.BYTES / 32
    )
    filled, note = _look_ahead(values) if tables is None else (tables, "")
    if len(options.state) == len(options.weight):
        note = "There is one action, so nothing to decide."
    q, d = options.q, np.asarray(options.features @ np.concatenate(filled))
    starts = np.flatnonzero(np.diff(options.state, prepend=-1))
    known = ~np.logical_or.reduceat(np.isnan(d), starts)
    nu = np.where(known, options.weight, 0.0)
    covered = float(nu.sum())
    if covered <= 0.0:
        return DecisionLoss(float("nan"), None, float("nan"), 1.0, None, note)
    d = np.where(np.isnan(d), -np.inf, d)
    close = tol.TIE * max(float(np.abs(q).max()), float(np.abs(d[np.isfinite(d)]).max(initial=0.0)))
    best, top = np.maximum.reduceat(q, starts), np.maximum.reduceat(d, starts)
    chosen = np.where(d >= top[options.state] - close, options.many, 0.0)
    each = np.add.reduceat(chosen, starts)
    lost = best[options.state] - q
    mean = np.add.reduceat(chosen * lost, starts) / each
    right = np.add.reduceat(chosen * (lost <= close), starts) / each
    ranks = None if options.served is None else _ranks(options, nu, np.concatenate(filled))
    spread, loss = values.spread, float(nu @ mean) / covered
    share = loss / spread if spread > values.rounding else None
    return DecisionLoss(
        loss, share, min(float(nu @ right) / covered, 1.0), max(1.0 - covered, 0.0), ranks, note
    )


def _look_ahead(values: ValueDecomposition) -> tuple[list[Floats], str]:
    """The tables with never visited local pairs filled by one step of the agent's own kernel and, there, the policy's
    mean given the local state; and a word on it. NaN stays where an agent has no kernel of its own or goes on to a
    local state that is never visited."""
    space, out, empty = values.chain, [], 0
    for u, (table, reward) in enumerate(zip(values.tables, values.plain, strict=True)):
        holes, kernel = np.isnan(table), space.local_kernel(u)
        here = holes.any() and space.units[u].multiplicity > 0
        if not here or kernel is None:
            out.append(table)
            empty += int(here)
            continue
        mean = space.rows(u, "policy").mean_law
        seen = np.where(mean > 0, table.reshape(mean.shape), 0.0)
        v = np.where(np.isnan(mean[:, 0]), np.nan, (mean * seen).sum(axis=1))
        ahead = np.where(kernel > 0, kernel * v, 0.0).sum(axis=1)
        out.append(np.where(holes, reward + values.discount * ahead, table))
    if not any(np.isnan(t).any() and u.multiplicity for t, u in zip(values.tables, space.units, strict=True)):
        return out, ""
    note = "Local pairs that the policy never visits were valued one step ahead, by the agent's own kernel."
    if empty:
        note = "States where some action leads to a local pair that the policy never visits are left out."
    return out, note


def _ranks(options: Alternatives, nu: Floats, table: Floats) -> float | None:
    """Mean over the states of Spearman's correlation over agents of local differences and true marginal gains."""
    visited = np.flatnonzero(nu > 0)
    if len(visited) > tol.RANK_STATES or options.served is None:
        return None
    edges = np.append(np.flatnonzero(np.diff(options.state, prepend=-1)), len(options.state))
    gains, law = [], []
    for s in visited:
        at, here = slice(edges[s], edges[s + 1]), options.present[s] > 0
        present, rest = options.present[s][here], options.rest[s][here]
        share = options.served[at][:, here] / present
        on, off = options.many[at] @ share, options.many[at] @ (1.0 - share)
        if (on <= 0).any() or (off <= 0).any():
            continue
        value = options.many[at] * options.q[at]
        both = np.stack([table[rest + 1] - table[rest], (value @ share) / on - (value @ (1.0 - share)) / off])
        largest = np.abs(both).max(axis=1, keepdims=True)
        gains.append(np.repeat(np.round(both / np.where(largest > 0, largest, 1.0), 9), present, axis=1))
        law.append(nu[s])
    if not gains:
        return None
    ranks = rankdata(np.stack(gains), axis=2)
    centred = ranks - ranks.mean(axis=2, keepdims=True)
    size = np.linalg.norm(centred, axis=2).prod(axis=1)
    told, weight = size > 0, np.array(law)
    if not told.any():
        return None
    return float(
        weight[told] @ ((centred[:, 0] * centred[:, 1]).sum(axis=1)[told] / size[told]) / weight[told].sum()
    )
