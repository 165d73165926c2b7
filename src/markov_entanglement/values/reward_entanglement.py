"""Reward entanglement: how far one reward of all agents is from any sum of local ones (Prop. J.7, Meta Algorithm 2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .._check import Floats, Ints
from .._json import plain
from .._random import generator
from .._types import RNG, RewardsLike, Subject
from ..errors import Unsupported
from ..laws.source import Joint, Runs, Source, as_source, choose, offers
from ..report import tabulate
from ..report.facts import brief
from ..report.result import Result
from ..report.table import Table
from ..report.terms import REWARD
from .approximation import root_mean_square
from .deviations import Columns, least_squares, numbered
from .shared_reward import SPLITS, SharedFit, fit_shared_reward

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False, repr=False)
class RewardEntanglement(Result):
    """Local rewards r_i whose sum is nearest to the reward r of all agents, and how near; reward units per step.

    Attributes
    ----------
    method : "lad", "lad-centred" or "least-squares": how r was split.
    value : `||r - sum_i r_i||_mu` of that split; e(r), the least of any, for "lad".
    lower : no split ("lad-centred": none with mean 0) has a smaller one, by the dual; `value` but for rounding, less
        for "least-squares".
    interval : (low, high) of `value` with 95 % where r was met along runs; None where it is exact.
    local : per agent (m_i,) local rewards r_i at `A_i s_i + a_i`; an even share at pairs that never occur.
    rms : least root mean square of `r - sum_i r_i` of any sum of local rewards, that of "least-squares".
    mean : `E_mu(r - sum_i r_i)` of the split; values multiply it by 1/(1 - gamma).
    constant : `||r - E_mu r||_mu`, what the mean alone would miss.
    unique : whether of several best splits the one of least total span was taken, which no order of agents changes.
    pairs : joint pairs behind it, different ones or, along runs, all that were looked at.
    caution : why the interval says nothing (0 to infinity), or "".
    source : what was asked; visited : per agent (m_i,) shares of the steps at its local pairs.
    """

    method: str
    value: float
    lower: float
    interval: Interval | None
    local: tuple[Floats, ...]
    rms: float
    mean: float
    constant: float
    unique: bool
    pairs: int
    caution: str
    source: Source
    visited: tuple[Floats, ...]

    @property
    def span(self) -> float:
        """`sum_i (max r_i - min r_i)` over the local pairs that occur."""
        return sum(float(np.ptp(r[v > 0.0])) for r, v in zip(self.local, self.visited, strict=True))

    @property
    def estimator(self) -> str:
        """How it was found, in words."""
        return "exact" if self.interval is None else f"fitted to {self.pairs:,} joint pairs met along runs"

    def _block(self) -> dict[str, Any]:
        units = range(len(self.local))
        return tabulate.local_block(
            [u.name for u in self.source.units], [self.source.local_names(u) for u in units], self.local, self.visited,
            kind=SPLITS[self.method], constant=0.0,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        names = ("method", "value", "lower", "interval", "rms", "mean", "constant", "span", "unique", "pairs")
        found = {name: getattr(self, name) for name in (*names, "estimator", "caution")}
        return plain(found | {"split": SPLITS[self.method], "local_rewards": self._block()})

    @property
    def sentence(self) -> str:
        """How far the reward is from the sum, and from the best one."""
        missed = (
            f"the sum of {len(self.local):,} local rewards misses the reward by {brief(self.value)} per step"
        )
        if self.interval is not None:
            missed += f" ({brief(self.interval[0])} to {brief(self.interval[1])} with 95 % confidence)"
        if self.caution:
            missed += f"; {self.caution}"
        none = "none of mean 0" if self.method == "lad-centred" else "none"
        return f"Split by {SPLITS[self.method]}, {missed}; {none} misses less than {brief(self.lower)}."

    def _tables(self) -> Iterator[Table]:
        yield tabulate.local_values(self._block(), "local reward")
        says = f"mean absolute deviation of the sum from the reward, split by {SPLITS[self.method]}"
        yield tabulate.numbers(
            [("value", self.value, REWARD, says, self.interval),
             ("lower", self.lower, REWARD, "no split of this kind has a smaller one, by the dual"),
             ("rms", self.rms, REWARD, "least root mean square deviation of any sum"),
             ("mean", self.mean, REWARD, "mean deviation; values multiply it by 1/(1 - gamma)"),
             ("constant", self.constant, REWARD, "mean absolute deviation of the reward from its mean"),
             ("span", self.span, REWARD, "sum over agents of the span of the local reward"),
             ("pairs", self.pairs, "", "joint pairs behind it")]
        )  # fmt: skip

    def _brief(self) -> str:
        return f"{self.method}, value={brief(self.value)}, lower={brief(self.lower)}"


def reward_entanglement(
    chain: Subject, rewards: RewardsLike = None, *, method: str = "lad", rng: RNG = 0
) -> RewardEntanglement:
    """How far the reward of all agents is from any sum of local rewards: `e(r) = min_{r_i} ||r - sum_i r_i||_mu`.

    Parameters
    ----------
    chain : from `system.under(policy)`. Where its joint pairs are too many to list, they are met along runs.
    rewards : one joint array or a callable, see `MultiAgentMDP`; None takes the system's. Of one table per agent the
        sum is asked, and the answer is 0.
    method : "lad", least absolute deviations, exact; "lad-centred", the nearest with mean deviation 0, where a mean
        would be multiplied by 1/(1 - gamma) in values; "least-squares", the projection in L2(mu). Of several best
        splits each takes the one of least total span.
    rng : seed of the runs, where there are any.

    Raises
    ------
    InvalidInput : no rewards anywhere, malformed ones, or another method.
    Unsupported : arms that are only counted; rewards beside those of the system along runs.
    TooLarge : more local pairs than there is room for.

    >>> import numpy as np, markov_entanglement as me
    >>> game = me.JointChain(np.full((9, 9), 1 / 9), (3, 3))
    >>> climbing = [11.0, -30.0, 0.0, -30.0, 7.0, 6.0, 0.0, 0.0, 5.0]
    >>> found = me.reward_entanglement(game, climbing)
    >>> round(found.value, 6), round(found.lower, 6), round(found.rms, 6)
    (8.666667, 8.666667, 13.232023)
    >>> round(me.reward_entanglement(game, climbing, method="lad-centred").value, 6)
    9.925926
    """
    _check.choice("method", method, SPLITS)
    generator(rng)  # refused before anything is computed
    source = as_source(chain)
    space: Any = choose(source, Joint, question="reward entanglement", sampled=True)
    if offers(space, Runs):
        if rewards is not None:
            rule, remedy = "runs are paid the reward of the system", "Make a system with these rewards."
            raise Unsupported("rewards", "rewards beside those of the system", rule, remedy)
        return space.split(method, rng)
    r = space.reward(space.read_rewards(rewards))
    sizes, mu = [u.size for u in space.units], space.occupancy
    fit = fit_shared_reward(space.pairs, sizes, mu, r, split=method)
    return answer(space, fit, space.pairs, mu, r, None, int((mu > 0).sum()))


def answer(
    source: Source,
    fit: SharedFit,
    pairs: Ints,
    mu: Floats,
    r: Floats,
    interval: Interval | None,
    looked: int,
    caution: str = "",
) -> RewardEntanglement:
    """The answer from a split of a reward (n,) at local pairs (n, N) under mu (n,)."""
    at = np.flatnonzero(mu > 0)
    weight, r, seen = mu[at] / mu[at].sum(), r[at], pairs[at]
    miss = r - np.sum([t[seen[:, i]] for i, t in enumerate(fit.local)], axis=0)
    visited = tuple(np.bincount(seen[:, i], weight, len(t)).astype(float) for i, t in enumerate(fit.local))
    level = float(weight @ r)
    met, column = numbered(seen)
    columns = Columns(column, sum(map(len, met)))
    least = r - level - columns @ least_squares(columns, weight, r - level)
    return RewardEntanglement(
        fit.split, fit.error, fit.lower, interval, fit.local, root_mean_square(weight, least), float(weight @ miss),
        float(weight @ np.abs(r - level)), fit.unique, looked, caution, source, visited,
    )  # fmt: skip
