"""k-step certificate: a two-sided bracket of `||Q - D||` for any candidate D, without solving for Q.

With the Bellman operator `T D = r + gamma P D` and `b_k = ||T^k D - D||`,

    b_k / (1 + gamma^k)  <=  ||Q - D||  <=  b_k / (1 - gamma^k)

in the sup norm over recurrent pairs, in L1(mu) and in L2(mu): `Q - D = (T^k D - D) + (gamma P)^k (Q - D)`, and P
does not expand any of the three (the recurrent pairs are closed, mu is stationary). The ratio of the two sides is
`(1 + gamma^k) / (1 - gamma^k)`, so the bracket closes as k grows. Both sides are widened by an allowance for
rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats
from .._types import Candidate, RewardsLike, Subject
from ..errors import InvalidInput
from ..laws.source import Space, exact
from ..report import tabulate
from ..report.result import Result
from ..report.table import Table
from .approximation import NORMS, Interval, norm_on
from .decomposition import resolve_discount


@dataclass(frozen=True, eq=False, repr=False)
class Certificate(Result):
    """Brackets of the error of one candidate.

    Attributes
    ----------
    discount : gamma.
    mu, sup, l2 : k -> (low, high), reward units; "mu" is L1(mu), "l2" L2(mu), "sup" over the recurrent pairs.
    """

    discount: float
    mu: Mapping[int, Interval]
    sup: Mapping[int, Interval]
    l2: Mapping[int, Interval]

    def interval(self, norm: str = "mu") -> Interval:
        """What all k together prove: the largest lower and the smallest upper limit.

        Raises
        ------
        InvalidInput : an unknown norm.
        """
        table: Mapping[int, Interval] = getattr(self, _check.choice("norm", norm, NORMS))
        return max(low for low, _ in table.values()), min(high for _, high in table.values())

    def to_dict(self) -> dict[str, dict[int, list[float]]]:
        """{NORM: {k: [low, high]}}."""
        return {norm: {k: list(v) for k, v in getattr(self, norm).items()} for norm in NORMS}

    @property
    def sentence(self) -> str:
        """What is proved of the mean error."""
        low, high = self.interval("mu")
        return f"The mean error lies between {low:.4g} and {high:.4g} (reward units), proved without solving for Q."

    def _brief(self) -> str:
        return ", ".join(
            f"{norm} in [{low:.4g}, {high:.4g}]" for norm in NORMS for low, high in [self.interval(norm)]
        )

    def _tables(self) -> Iterator[Table]:
        yield tabulate.certificate(self.to_dict())
        limits = {f"error_{n}": self.interval(n) for n in NORMS}
        yield tabulate.numbers(tabulate.of("values", {"intervals": limits}))


def certificate(
    chain: Subject,
    rewards: RewardsLike,
    discount: float | None,
    candidate: Candidate,
    *,
    ks: Iterable[int] = (1, 4, 16, 64),
) -> Certificate:
    """Bracket the error of any candidate values.

    Parameters
    ----------
    chain : from `system.under(policy)`; a bandit is answered in counts.
    rewards : per-agent tables or one joint array; None takes the system's.
    discount : gamma in [0, 1); None takes the system's.
    candidate : D. An array (n,) on `chain.pairs`, a list or tuple of one local table (m_u,) per unit (NaN
        where never visited), or a callable that takes the tuple of local pairs `(x_0, ..., x_{N-1})` (of a bandit:
        the number of arms at each local pair, type by type). It must be finite on the recurrent pairs.
    ks : numbers of steps k >= 1; the cost is that of max(ks) applications of P.

    Raises
    ------
    InvalidInput : a malformed candidate, reward, discount or k.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.

    >>> import numpy as np, markov_entanglement as me
    >>> from markov_entanglement.values.certificate import certificate
    >>> chain = me.JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    >>> low, high = certificate(chain, [[0, 1], [0, 1]], 0.5, np.zeros(4)).mu[16]
    >>> bool(low <= 2.0 <= high)  # the mean of Q is 1 / (1 - 0.5)
    True
    """
    space = exact(chain, Space, question="a certificate")
    steps = steps_of(ks)
    gamma = resolve_discount(space, discount)
    reward = space.reward(space.read_rewards(rewards))
    at = space.recurrent
    # recurrent pairs are closed: zeros elsewhere never reach them
    reward = np.where(at, reward, 0.0)
    d = np.where(at, candidate_values(space, candidate), 0.0)
    term = reward + gamma * space.carry(d) - d
    first = float(np.abs(term).max(initial=0.0))
    slack = tol.ROUNDING * float(np.abs(d).max() + np.abs(reward).max()) / (1.0 - gamma)
    total = term.copy()  # T^k D - D = sum_{t<k} (gamma P)^t (T D - D)
    large, steady = space.ends is None and len(at) > tol.LARGE, False
    tables: dict[str, dict[int, Interval]] = {norm: {} for norm in NORMS}
    for k in range(1, steps[-1] + 1):
        if large and not steady and k > 1:
            # P leaves constants as they are, so what is nearly one need not be carried on
            uneven = float(term.max(where=at, initial=-np.inf) - term.min(where=at, initial=np.inf))
            steady = uneven <= tol.STEADY * first
            slack += uneven * gamma / (1.0 - gamma) if steady else 0.0
        if k > 1:
            term = gamma * (term if steady else space.carry(term))
            total += term
        for norm in NORMS if k in steps else ():
            b = norm_on(total, space.occupancy, at, norm)
            tables[norm][k] = (max(b - slack, 0.0) / (1.0 + gamma**k), (b + slack) / (1.0 - gamma**k))
    return Certificate(gamma, **{norm: MappingProxyType(table) for norm, table in tables.items()})


def steps_of(ks: Iterable[int]) -> list[int]:
    """Validated numbers of steps, ascending."""
    plain = isinstance(ks, Iterable) and not isinstance(ks, str | set | frozenset)
    if not plain or getattr(ks, "ndim", 1) == 0:
        raise InvalidInput.kind("ks", ks, "a sequence of numbers of steps", "E.g. (1, 4, 16, 64).")
    steps = sorted({_check.integer(f"ks[{j}]", k, low=1) for j, k in enumerate(ks)})
    if not steps:
        raise InvalidInput("ks", "an empty sequence", "at least one number of steps is needed", "E.g. (64,).")
    return steps


def candidate_values(space: Space, candidate: Any) -> Floats:
    """(n,) values of a candidate (array on pairs, table per unit, or callable), finite on the recurrent ones."""
    if callable(candidate):
        values = np.zeros(len(space.recurrent))
        for x in np.flatnonzero(space.recurrent):
            point = space.point(int(x))
            values[x] = _check.number(f"candidate at local pairs {point}", _answer(candidate, point))
    elif isinstance(candidate, list | tuple) and any(_check.shape_of("candidate", t) for t in candidate):
        if len(candidate) != (units := len(space.units)):
            got, rule = f"{len(candidate)} local tables", f"there are {units} agents (types)"
            raise InvalidInput("candidate", got, rule, "Give one (m_i,) table for each.")
        each = zip(candidate, space.units, strict=True)
        tables = [
            _check.real(f"candidate[{u}]", t, shape=(x.size,), gaps=True) for u, (t, x) in enumerate(each)
        ]
        values = space.sum_of(tables)
    else:
        values = _check.real("candidate", candidate, shape=(len(space.recurrent),), gaps=True)
    bad = np.flatnonzero(space.recurrent & ~np.isfinite(values))
    if len(bad):
        got = f"{values[bad[0]]} at local pairs {space.point(int(bad[0]))}"
        rule = "it must be finite on every recurrent pair"
        raise InvalidInput("candidate", got, rule, "Fill the value, or certify another candidate.")
    return values


def _answer(candidate: Callable[[tuple[int, ...]], Any], point: tuple[int, ...]) -> Any:
    """What a user's function says of one pair."""
    try:
        return candidate(point)
    except Exception as e:
        rule = f"it must answer every recurrent pair, not raise {type(e).__name__} ({e})"
        raise InvalidInput("candidate", f"no value at local pairs {point}", rule, "Mend the function.") from e
