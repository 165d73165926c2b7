"""Meta Algorithm 2 from data: one reward of all agents is split into local ones, from which learners go on as usual.

Least absolute deviations over the steps, subject to a mean residual of 0: the plain fit leaves a mean, which values
multiply by 1/(1 - gamma).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints
from ..errors import InvalidInput, Unsupported
from ..laws.source import demand
from ..report import tabulate
from ..report.facts import brief
from ..report.result import Result
from ..report.table import Table
from ..report.terms import REWARD
from ..runs.path import Path
from ..values.shared_reward import fit_sampled, measure


@dataclass(frozen=True, eq=False, repr=False)
class LearnedReward(Result):
    """Local rewards whose sum is nearest to a shared one along a path.

    Attributes
    ----------
    local : (N,) tables (m_i,) of local rewards at `A_i s_i + a_i`, what `learner.fit(path, rewards=...)` takes; an even
        share at pairs that were never met.
    error : `e(r)`, mean absolute deviation of the sum from the mean reward at each joint pair, reward units.
    lower : lower limit of the least such deviation, by the dual; equal to `error` but for rounding.
    mean_size : the same of the best sum that is constant, the mean reward, which `error` may be compared with.
    steps : of the path; distinct : different joint pairs among them.
    unique : whether of several best splits the one of least total span was taken, which no order of agents changes.
    visits : (N,) times (m_i,) that each local pair was met.
    actions : (N,) local actions.
    """

    local: tuple[Floats, ...]
    error: float
    lower: float
    mean_size: float
    steps: int
    distinct: int
    unique: bool
    visits: tuple[Ints, ...]
    actions: tuple[int, ...]

    def _block(self) -> dict[str, Any]:
        names = [f"agent {i}" for i in range(len(self.local))]
        labels: list[tuple[Sequence[str], Sequence[str]]] = [
            ([str(s) for s in range(len(r) // a)], [str(k) for k in range(a)])
            for r, a in zip(self.local, self.actions, strict=True)
        ]
        shares = [n / self.steps for n in self.visits]
        kind = "least absolute deviations, centred"
        return tabulate.local_block(names, labels, self.local, shares, kind=kind, constant=0.0)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        names = ("error", "lower", "mean_size", "steps", "distinct", "unique")
        return {name: getattr(self, name) for name in names} | {"local_rewards": self._block()}

    @property
    def sentence(self) -> str:
        """How far the sum of local rewards is from the reward."""
        missed = f"misses the reward by {brief(self.error)} per step in the mean; a constant by {brief(self.mean_size)}"
        return f"The sum of {len(self.local):,} local rewards {missed}."

    def _tables(self) -> Iterator[Table]:
        yield tabulate.local_values(self._block(), "local reward")
        yield tabulate.numbers(
            [("error", self.error, REWARD, "e(r): mean absolute deviation of the sum over the steps"),
             ("lower", self.lower, REWARD, "no split of the steps has a smaller one, by the dual"),
             ("mean_size", self.mean_size, REWARD, "the same of the best constant sum, the mean reward"),
             ("steps", self.steps, "", "of the path"), ("distinct", self.distinct, "", "different joint pairs")]
        )  # fmt: skip

    def _brief(self) -> str:
        return f"{len(self.local):,} agents, e(r) = {brief(self.error)}, {self.steps:,} steps"


def learn_reward(path: Path) -> LearnedReward:
    """Split one reward of all agents into local ones by least absolute deviations over the steps of a path, centred.

    Steps at the same joint pair count as one with their mean reward, as often as they are. Of several best splits the
    one of least total span is taken where that is quick (`unique`).

    Parameters
    ----------
    path : from `me.simulate` of a system with a shared reward.

    Raises
    ------
    Unsupported : no path, counts, or a reward for each agent.
    InvalidInput : an agent that is absent; rewards that are not finite; local states and actions that are not known.
    TooLarge : more joint pairs and agents than a few minutes take.

    >>> import numpy as np, markov_entanglement as me
    >>> game = me.JointChain(np.full((4, 4), 0.25), (2, 2), rewards=[0.0, 1.0, 1.0, 8.0], discount=0.9)
    >>> path = me.simulate(game, None, 1000, rng=0)
    >>> learned = me.learn_reward(path)
    >>> bool(1.3 < learned.error < 1.7)
    True
    >>> me.LSTD().fit(path, rewards=learned.local).q(0).shape
    (2,)
    """
    helps = "E.g. me.simulate(system, policy, 10_000, rng=0)."
    demand("path", path, Path, "it must be a path of me.simulate", helps)
    if path.states is None or path.actions is None:
        raise Unsupported(
            "path", "a path in counts", "its rewards are those of single arms", "Fit a learner on it."
        )
    if path.rewards.shape[1] != 1:
        raise Unsupported("path.rewards", f"{path.rewards.shape[1]} of each step", "one reward of all agents is split",
                          "Where each agent has its own, fit a learner on the path.")  # fmt: skip
    if path.sizes is None:
        raise InvalidInput.kind("path.sizes", None, "(agents, 2) local states and actions",
                                "Add them: dataclasses.replace(path, sizes=...).")  # fmt: skip
    if not np.isfinite(path.rewards).all():
        raise InvalidInput("path.rewards", "NaN or infinity", "rewards must be finite", "Fill them in.")
    if path.states[:-1].min() < 0:
        raise InvalidInput("path", "an agent that is absent", "the reward is split among agents that are all there",
                           "Give the path without it.")  # fmt: skip
    pairs = path.states[:-1] * path.sizes[:, 1] + path.actions
    return split_reward(pairs, path.rewards[:, 0], path.sizes)


def split_reward(pairs: Ints, reward: Floats, sizes: Ints) -> LearnedReward:
    """The split of one reward (T,) at joint pairs (T, N); sizes (N, 2) local states and actions."""
    distinct, which, often = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    n, agents = distinct.shape
    mean, weight = np.bincount(which.reshape(-1), reward) / often, often / len(pairs)
    wide = [int(s * a) for s, a in sizes]
    visits = tuple(np.bincount(pairs[:, i], minlength=m) for i, m in enumerate(wide))
    met = sum(int((v > 0).sum()) for v in visits)
    measure(n, agents, met, "Take fewer steps, or me.JointLSTD() on the path.")
    unique = distinct.size <= tol.LAD_UNIQUE[0] and met <= tol.LAD_UNIQUE[1]
    fit = fit_sampled(distinct, wide, weight, mean, split="lad-centred", small=unique)
    spread = float(weight @ np.abs(mean - weight @ mean))
    actions = tuple(int(a) for a in sizes[:, 1])
    return LearnedReward(fit.local, fit.error, fit.lower, spread, len(pairs), n, fit.unique, visits, actions)
