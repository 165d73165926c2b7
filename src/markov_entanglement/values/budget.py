"""Error budget: how much of the error could any additive values avoid?

With `Pi_D` the L2(mu) projection on additive functions, `||Q - D||^2 = ||Q - Pi_D Q||^2 + ||Pi_D Q - D||^2` for every
additive D. *Floor*, the first part: no additive values, however learned, can be better. *Bias*, the second: what this
way of learning adds. From data comes a third, *noise*; here it is None.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Floats
from .._json import plain
from .._types import Candidate, RewardsLike, Subject
from ..errors import InvalidInput, TooLarge
from ..measures.spectral import AdditiveBasis, additive_basis, additive_part
from ..report import tabulate
from ..report.result import Result
from ..report.table import Table
from .approximation import root_mean_square, share
from .certificate import candidate_values
from .decomposition import ValueDecomposition, decomposed


@dataclass(frozen=True, repr=False)
class ErrorBudget(Result):
    """Where the L2(mu) error of additive values comes from; reward units but `unexplained_floor`.

    Attributes
    ----------
    error : `||Q - D||`, with `error^2 = floor^2 + bias^2`.
    floor : `||Q - Pi_D Q||`, the least error of any additive values.
    bias : `||Pi_D Q - D||`.
    noise : None, nothing is estimated.
    unexplained_floor : floor over the spread of Q, the least `unexplained` of any additive values.
    """

    error: float
    floor: float
    bias: float
    noise: float | None
    unexplained_floor: float

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return plain(vars(self))

    @property
    def sentence(self) -> str:
        """How much of the error other additive values would avoid."""
        least = f"the best additive values err by {self.floor:.4g}"
        return f"The sum errs by {self.error:.4g} where {least} (reward units)."

    def _brief(self) -> str:
        return f"error={self.error:.6g}, floor={self.floor:.6g}, bias={self.bias:.6g}"

    def _tables(self) -> Iterator[Table]:
        yield tabulate.budget(self.to_dict())
        yield tabulate.numbers(tabulate.of("error_budget", self.to_dict()))


def error_budget(
    chain: Subject,
    rewards: RewardsLike = None,
    discount: float | None = None,
    *,
    candidate: Candidate | None = None,
) -> ErrorBudget:
    """Floor and bias of additive values.

    Parameters
    ----------
    chain : from `system.under(policy)`; a bandit is answered in counts.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    candidate : additive values D as in `certificate`; None: local TD (Meta Algorithm 1).

    Raises
    ------
    InvalidInput : malformed arguments, or a candidate that is no sum of local values.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    TooLarge : features times pairs that would not fit.

    >>> import markov_entanglement as me
    >>> budget = me.error_budget(me.gallery.build("circulant").chain(), discount=0.5)
    >>> round(budget.error, 7), round(budget.floor, 7), round(budget.bias, 7)
    (0.0516163, 0.0113839, 0.0503453)
    """
    local_td = decomposed(chain, rewards, discount, "an error budget")
    if candidate is None:
        return budget_of(local_td, _basis(local_td))
    basis = additive_basis(local_td.chain)
    given = candidate_values(local_td.chain, candidate)[basis.support] - local_td.shift
    off = float(np.abs(given - basis.project(given)).max())
    if off > tol.ADDITIVE * float(np.abs(given).max()):
        got = f"values that miss the nearest sum of local values by {off:.3g}"
        rule = "a budget splits the error of additive values"
        remedy = "Give one table per agent; me.certificate judges any values."
        raise InvalidInput("candidate", got, rule, remedy)
    return budget_of(local_td, basis, local_td.values[basis.support] - given)


def _basis(local_td: ValueDecomposition) -> AdditiveBasis | None:
    """The additive functions, where they fit."""
    try:
        return additive_basis(local_td.chain)
    except TooLarge:
        return None


def budget_of(
    local_td: ValueDecomposition, basis: AdditiveBasis | None, rest: Floats | None = None
) -> ErrorBudget:
    """The budget of an additive approximation that misses Q by `rest` (s,) on the support; None: of local TD, also
    where no basis fits."""
    if basis is None:
        err, norm = local_td.residual, local_td.norm
        missed = np.where(local_td.chain.occupancy > 0, err, 0.0)
        part = additive_part(local_td.chain, missed)
        error, floor, bias = (norm(f, "l2") for f in (missed, missed - part, part))
        return ErrorBudget(error, floor, bias, None, share(floor, local_td.spread, local_td.rounding)[0])
    rest = local_td.residual[basis.support] if rest is None else rest
    part = basis.project(rest)
    error, floor, bias = (root_mean_square(basis.weight, f) for f in (rest, rest - part, part))
    return ErrorBudget(error, floor, bias, None, share(floor, local_td.spread, local_td.rounding)[0])
