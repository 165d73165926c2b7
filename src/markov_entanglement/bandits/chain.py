"""A restless bandit under a policy: exact in counts where the count space is small, simulated beyond.

What `RestlessBandit.under(policy)` returns. Nothing is enumerated until a question needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Ints
from .._interval import t_interval
from .._random import children
from ..errors import TooLarge, Unsupported
from ..laws.rows import Rows
from ..laws.source import Extra, Kind, Lazy, Lesson, Runs
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy
from ..model.spaces import about
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..runs.agents import AgentRuns
from ..runs.certify import Certified
from ..runs.chunk import Chunk
from ..runs.entanglement import EntanglementEstimate
from ..runs.errors import ErrorEstimate
from ..runs.path import Path
from .certified import certified
from .count_chain import CountChain, OfBandit, count_chain
from .count_space import number_of_counts, ranks_of
from .counts import CountEngine
from .error_estimate import estimate_error
from .estimate import estimate_entanglement
from .mean_field import mean_field
from .mixing import memory
from .simulate import simulate
from .structure import ignores_states, require_one_class

_REPLICATIONS = 10
_STEPS = 20_000


@dataclass(frozen=True, eq=False, repr=False)
class BanditChain(OfBandit, Lazy):
    """The chain of a bandit under an index or uniform policy, per arm type.

    Attributes
    ----------
    bandit : the bandit.
    policy : its policy.

    >>> import markov_entanglement as me
    >>> bandit = me.gallery.build("circulant-bandit", n_arms=10).system
    >>> chain = bandit.under(me.IndexPolicy([1, 2, 3, 0]))
    >>> chain
    BanditChain(10 arms, 286 count states)
    """

    bandit: RestlessBandit
    policy: Any

    def __post_init__(self) -> None:
        ranks_of(self.bandit, self.policy)

    def __repr__(self) -> str:
        return f"BanditChain({self.bandit.n_agents:,} arms, {about(self.count_states)} count states)"

    @property
    def n_agents(self) -> int:
        """Number of arms N."""
        return self.bandit.n_agents

    @property
    def sizes(self) -> tuple[int, ...]:
        """(T,) local pair counts, 2 S for each arm type."""
        return (2 * self.bandit.n_states,) * self.bandit.n_types

    @property
    def count_states(self) -> int:
        """Number of count states, without enumerating them."""
        return number_of_counts(self.bandit.n_arms, self.bandit.n_states)

    @property
    def small(self) -> bool:
        """True when questions are answered exactly by default."""
        return self.count_states <= tol.COUNT_EXACT

    @property
    def ignores_states(self) -> bool:
        """True when service depends on no local state, as under the uniform policy; then arms are not entangled."""
        return ignores_states(self.bandit, ranks_of(self.bandit, self.policy))

    def require_one_class(self) -> None:
        """Refuse a bandit whose arms split into several closed classes."""
        require_one_class(self.bandit, self.policy)

    def summary(self) -> dict[str, Any]:
        """See `Source`; of the enumerated chain where it is small."""
        return self.exact.summary() if self.small else self.facts(self.count_states, "count states")

    member = "arm"

    @property
    def apart(self) -> bool:
        """Whether no two arms are alike, so that they are stepped one by one."""
        return self.bandit.n_types > 1 and bool((self.bandit.n_arms == 1).all())

    @property
    def sampled(self) -> tuple[str, ...]:  # type: ignore[override]
        """In counts Prop. 7.2 alone."""
        return AgentRuns.sampled if self.apart else BanditRuns.sampled

    @property
    def reading(self) -> str:  # type: ignore[override]
        return self.bandit.reading

    def solvers(self) -> dict[str, Any]:
        """How the stationary law of the counts was found, where they were enumerated."""
        return self.exact.solvers() if self.small else {}

    def checks(self) -> list[tuple[str, bool, str]]:
        """Kernels are laws, arms do not split, and the budget is used: in all pairs of counts, or along a path."""
        bandit = self.bandit
        off = float(np.abs(bandit.kernels.sum(axis=-1) - 1.0).max())
        out = [("arms", off <= tol.ROW_SUM, f"next laws of all local pairs sum to 1 within {off:.1e}")]
        if self.small:
            counts, served = self.exact.counts, self.exact.served
        else:
            path = simulate(bandit, self.policy, 100, rng=0, flows="none")
            counts, served = path.counts[:-1], path.served  # type: ignore[index,assignment]
        kept = bool((counts.sum(axis=-1) == bandit.n_arms).all())
        used = bool((served.sum(axis=(-2, -1)) == bandit.budget).all())
        there = bool(((served >= 0) & (served <= counts)).all())
        detail = (
            f"{bandit.budget:,} of {bandit.n_agents:,} arms active in each of {len(served):,} pairs of counts"
        )
        return [*out, ("budget", kept and used and there, detail)]

    def extras(self, stream: Callable[[str], Any], discount: float | None) -> dict[str, Extra]:
        """Values corrected by the linear response of the mean field, and the mean field itself."""
        out: dict[str, Extra] = {}
        if self.small and discount is not None:
            out["corrected"] = Extra(
                "corrected values",
                lambda: self.exact.corrected_values(discount, table="pair"),
                lambda v: v.errors(),
            )
        if isinstance(self.policy, IndexPolicy):
            out["mean_field"] = Extra(
                "mean field",
                lambda: mean_field(self.bandit, self.policy, rng=stream("mean field")),
                lambda m: m.section(),
            )
        return out

    @property
    def proved_separable(self) -> str:
        """Service that ignores the local states leaves every arm on its own."""
        if not self.ignores_states:
            return ""
        return (
            "Proved: service ignores the local states, so the chance that an arm is served is the same whatever the "
            "others do."
        )

    @cached_property
    def exact(self) -> CountChain:
        """The exact count chain; refused where the long run depends on the start, or where it would not fit."""
        self.require_one_class()
        return count_chain(self.bandit, self.policy)

    @cached_property
    def runs(self) -> Runs:
        """The same, to be simulated; refused where the long run depends on the start.

        In counts, or arm by arm where no two arms are alike.
        """
        self.require_one_class()
        if self.apart:
            return arm_by_arm(self.bandit, self.policy)
        return BanditRuns(self.bandit, self.policy)

    @property
    def pairs(self) -> Ints:
        """(J, T, S, 2) passive and active arms in each local state."""
        return np.stack([self.exact.counts - self.exact.served, self.exact.served], axis=-1)


def arm_by_arm(bandit: RestlessBandit, policy: Any) -> AgentRuns:
    """The runs of a bandit whose agents are its arms, type after type; named where each is a type of its own."""
    size = bandit.n_agents * (2 * bandit.n_states) ** 2
    if size * 8 > tol.BYTES // 8:
        raise TooLarge("arms one by one", f"{size:.3g} numbers of their kernels", f"{tol.BYTES / 64:.3g}",
                       "Run it in counts: me.simulate(bandit, policy, steps, rng=0).")  # fmt: skip
    of, types = np.repeat(np.arange(bandit.n_types), bandit.n_arms), bandit.n_types
    kernels, rewards = ([table[t] for t in of] for table in (bandit.kernels, bandit.rewards))
    system = WeaklyCoupledMDP(kernels, rewards, discount=bandit.discount, budget=bandit.budget)
    if isinstance(policy, IndexPolicy):
        ranks = bandit.ranks(policy)
        policy = IndexPolicy([-ranks[t].astype(np.float64) for t in of])
    return AgentRuns(system, system.bind(policy), named=bandit if len(of) == types else None)


@dataclass(frozen=True, eq=False, repr=False)
class BanditRuns(OfBandit, Runs):
    """A bandit under an index or uniform policy, simulated in counts."""

    bandit: RestlessBandit
    policy: Any

    mode = "simulated"

    def __repr__(self) -> str:
        return f"BanditRuns({self.bandit.n_agents:,} arms)"

    def summary(self) -> dict[str, Any]:
        """See `BanditChain`."""
        return BanditChain(self.bandit, self.policy).summary()

    def rows(self, u: int, kind: Kind = "pair") -> Rows:
        """Simulation keeps estimates, not rows."""
        rule = "rows of a simulated bandit are not kept"
        raise Unsupported("rows", repr(self), rule, "Use .exact of the chain.")

    def entanglement(self, distance: str, rng: Any) -> EntanglementEstimate:
        """Prop. 7.2 by Eq. 15."""
        return estimate_entanglement(self.bandit, self.policy, rng=0 if rng is None else rng)

    def errors(self, rng: Any, tolerance: float | None = None) -> ErrorEstimate:
        """Errors of local TD values by double sampling."""
        return estimate_error(self.bandit, self.policy, rng=rng, tolerance=tolerance)

    def chunks(self, steps: int, rng: Any, *, burn_in: int = 0, runs: int = 1) -> Iterator[Chunk]:
        """Counts tell no arm from another, so the arms are stepped one by one."""
        return arm_by_arm(self.bandit, self.policy).chunks(steps, rng, burn_in=burn_in, runs=runs)

    def path(self, steps: int, burn_in: int, rng: Any, flows: str = "total") -> Path:
        """One run of so many steps after a burn-in, and of one more, which moves into the dark."""
        start = None
        if burn_in:
            early = simulate(self.bandit, self.policy, burn_in, rng=rng, flows="none").counts
            start = None if early is None else early[-1]
        return simulate(self.bandit, self.policy, steps + 1, rng=rng, start=start, flows=flows)

    def learned(self, learner: Any, lesson: Lesson) -> Any:
        """What a learner makes of one run in counts; it takes moments, so nobody stops it."""
        path = self.path(lesson.steps, lesson.burn_in, lesson.rng)
        return learner.fit(path, lesson.discount, names=[u.name for u in self.units])

    def certified(self, candidate: Any, ks: list[int], starts: int, control: str, rng: Any) -> Certified:
        """Errors of a candidate by double sampling in counts."""
        return certified(self.bandit, self.policy, candidate, ks, starts, control, rng)

    def worth(self, rng: Any) -> tuple[float, float, str]:
        """Reward of all arms per step, by replications of the second half of a run."""
        cells = children(rng, _REPLICATIONS)
        paths = (simulate(self.bandit, self.policy, 2 * _STEPS, rng=cell, flows="none") for cell in cells)
        mean, _, half = t_interval(np.array([path.rewards[_STEPS:].sum(axis=1).mean() for path in paths]))
        how = f"{_REPLICATIONS} replications of {_STEPS} steps, 95 % t-interval; entanglement by Prop. 7.2"
        engine = CountEngine.of(self.bandit, self.policy)
        if (lag := memory(engine, engine.start(None))) * 5 > _STEPS:
            how = f"{how}; the counts remember about {lag:,.0f} steps: these runs are too short to tell"
            return float(mean), math.inf, how
        return float(mean), float(half), how
