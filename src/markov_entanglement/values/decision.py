"""Decision loss: what a wrong sum costs a decision maker.

`E_nu[max_a Q(s, a) - Q(s, a_D)]`, `a_D` a maximiser of `D(s, a) = sum_i Q_i(s_i, a_i)` over the feasible actions (ties
averaged), `nu` the state law under mu, Q on all feasible actions by one step of the kernel. It is 0 for all states iff
the sum picks true maximisers (the "individual-global-max" of the QMIX literature, for `Q^pi`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._json import plain
from .._types import Candidate, RewardsLike, Subject
from ..errors import InvalidInput
from ..laws.source import Alternatives
from ..report import tabulate
from ..report.facts import number, percent
from ..report.result import Result
from ..report.table import Table
from .certificate import candidate_values
from .decomposition import ValueDecomposition, decomposed


@dataclass(frozen=True, repr=False)
class DecisionLoss(Result):
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

    @property
    def sentence(self) -> str:
        """What a choice by the sum costs."""
        if np.isnan(self.loss):
            return "No state has a value for all of its actions, so no choice could be judged."
        part = "" if self.share is None else f", {percent(self.share)} of the spread of Q"
        return (
            f"Choosing by the sum costs {number(self.loss)} on average (reward units{part}) and is right in "
            f"{percent(self.right)} of the visited states."
        )

    def _brief(self) -> str:
        return f"loss={self.loss:.6g}, right={self.right:.6g}, excluded={self.excluded:.3g}"

    def _tables(self) -> Iterator[Table]:
        yield tabulate.numbers(tabulate.of("decision", self.to_dict()))


def decision_loss(
    chain: Subject,
    rewards: RewardsLike = None,
    discount: float | None = None,
    *,
    candidate: Candidate | None = None,
) -> DecisionLoss:
    """What deciding by the sum of local values costs, against the best feasible action by the true Q.

    Parameters
    ----------
    chain : from `system.under(policy)`; a bandit is answered in counts.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    candidate : one local table (m_u,) per unit; None: local TD (Meta Algorithm 1). NaN where never visited.

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
    values = decomposed(chain, rewards, discount, "a decision loss")
    if candidate is None:
        return decision_of(values)
    if not isinstance(candidate, list | tuple):
        got, rule = type(candidate).__name__, "actions off the chain need a value, too"
        raise InvalidInput("candidate", got, rule, "Give one table (m_i,) for each agent.")
    candidate_values(values.chain, candidate)
    return decision_of(values, [np.asarray(t, dtype=np.float64) for t in candidate])


def decision_of(
    values: ValueDecomposition, tables: list[Floats] | None = None, *, unasked: bool = False
) -> DecisionLoss:
    """See `decision_loss`; `unasked`: only while it takes moments."""
    space = values.chain
    entries = tol.DECISIONS_UNASKED if unasked else tol.BYTES / 32
    options = space.alternatives(values.centred, values.discount, entries)
    filled, note = look_ahead(values) if tables is None else (tables, "")
    if len(options.state) == len(options.weight):
        note = "There is one action, so nothing to decide."
    q, d = options.q, np.asarray(options.features @ np.concatenate(filled))
    starts = np.flatnonzero(np.diff(options.state, prepend=-1))
    empty = np.isnan(d)
    nu = np.where(np.logical_or.reduceat(empty, starts), 0.0, options.weight)
    covered = float(nu.sum())
    if covered <= 0.0:
        return DecisionLoss(float("nan"), None, float("nan"), 1.0, None, note)
    close = tol.TIE * float(max(np.abs(q).max(), np.abs(d[np.isfinite(d)]).max(initial=0.0)))
    d[empty] = -np.inf
    best, top = np.maximum.reduceat(q, starts), np.maximum.reduceat(d, starts)
    chosen = np.where(d >= top[options.state] - close, options.many, 0.0)
    each = np.add.reduceat(chosen, starts)
    lost = best[options.state] - q
    mean = np.add.reduceat(chosen * lost, starts) / each
    right = np.add.reduceat(chosen * (lost <= close), starts) / each
    ranks = None if options.served is None else _ranks(options, nu, np.concatenate(filled), starts)
    loss, hit = float(nu @ mean) / covered, min(float(nu @ right) / covered, 1.0)
    share = loss / values.spread if values.spread > values.rounding else None
    return DecisionLoss(loss, share, hit, max(1.0 - covered, 0.0), ranks, note)


_AHEAD = "Local pairs that the policy never visits were valued one step ahead, by the agent's own kernel."
_LEFT_OUT = "States where some action leads to a local pair that the policy never visits are left out."


def mean_ranks(x: Floats) -> Floats:
    """(..., n) ranks along the last axis of (..., n), from 0, equal numbers their mean. scipy.stats has them and takes
    a second to load."""
    order = np.argsort(x, axis=-1)
    ordered, place = np.take_along_axis(x, order, axis=-1), np.arange(x.shape[-1])
    end = np.ones((*x.shape[:-1], 1), dtype=np.bool_)
    apart = ordered[..., 1:] != ordered[..., :-1]
    first = np.where(np.concatenate([end, apart], axis=-1), place, 0)
    last = np.where(np.concatenate([apart, end], axis=-1), place, x.shape[-1])[..., ::-1]
    both = np.maximum.accumulate(first, axis=-1) + np.minimum.accumulate(last, axis=-1)[..., ::-1]
    out = np.empty(x.shape)
    np.put_along_axis(out, order, 0.5 * both, axis=-1)
    return out


def look_ahead(values: ValueDecomposition) -> tuple[list[Floats], str]:
    """The tables with never visited local pairs filled by one step of the agent's own kernel and, there, the policy's
    mean given the local state; and a word on it. NaN stays where an agent has no kernel of its own or goes on to a
    local state that is never visited."""
    space, out, note = values.chain, list(values.local), ""
    for u, (table, reward) in enumerate(zip(values.local, values.plain, strict=True)):
        holes = np.isnan(table)
        if not holes.any() or not space.units[u].multiplicity:
            continue
        kernel = space.local_kernel(u)
        if kernel is None:
            note = _LEFT_OUT
            continue
        note = note or _AHEAD
        mean = space.rows(u, "policy").mean_law
        seen = np.where(mean > 0, table.reshape(mean.shape), 0.0)
        v = np.where(np.isnan(mean[:, 0]), np.nan, (mean * seen).sum(axis=1))
        ahead = np.where(kernel > 0, kernel * v, 0.0).sum(axis=1)
        out[u] = np.where(holes, reward + values.discount * ahead, table)
    return out, note


def _ranks(options: Alternatives, nu: Floats, table: Floats, starts: Ints) -> float | None:
    """Mean over the states of Spearman's correlation over agents of local differences and true marginal gains."""
    served, present, state = options.served, options.present, options.state
    if served is None or np.count_nonzero(nu > 0) > tol.RANK_STATES:
        return None
    gains, told = np.zeros((2, *present.shape)), nu > 0
    gains[0] = table[options.rest + 1] - table[options.rest]
    for g, here in enumerate(present.T > 0):
        on = options.many * (served[:, g] / np.maximum(present[state, g], 1))
        sums = np.stack([on, options.many - on])
        mass, paid = (np.add.reduceat(x, starts, axis=1) for x in (sums, sums * options.q))
        told &= ~here | (mass > 0).all(axis=0)
        mean = paid / np.where(mass > 0, mass, 1.0)
        gains[1, :, g] = mean[0] - mean[1]
    if not told.any():
        return None
    noise = tol.ROUNDING * np.maximum.reduceat(np.abs(options.q), starts)[:, None]
    gains[1, np.abs(gains[1]) <= noise] = 0.0
    gains = np.where(present > 0, gains, 0.0)[:, told]
    largest = np.abs(gains).max(axis=2, keepdims=True)
    gains = np.round(gains / np.where(largest > 0, largest, 1.0), 9)
    group = np.broadcast_to(np.arange(present.shape[1]), present.shape)[told]
    each = np.repeat(group.ravel(), present[told].ravel()).reshape(len(group), -1)
    ranks = mean_ranks(np.take_along_axis(gains, each[None], axis=2))
    centred = ranks - ranks.mean(axis=2, keepdims=True)
    size = np.linalg.norm(centred, axis=2).prod(axis=0)
    weight = np.where(size > 0, nu[told], 0.0)
    if not weight.any():
        return None
    return float(weight @ (centred.prod(axis=0).sum(axis=1) / np.where(size > 0, size, 1.0)) / weight.sum())
