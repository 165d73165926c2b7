"""How much data is enough (App. K.3), for any system: local values and entanglement after more and more steps.

What they tend to is exact where the chain can be enumerated and the learner says what it converges to; elsewhere it is
what one other run gives that is ten times as long as the longest, as in the paper.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np

from .. import _check
from .._check import Floats, freeze
from .._interval import t_interval
from .._json import plain
from .._progress import Progress, reporting, stage
from .._random import streams
from .._types import RNG, PolicyLike, Subject
from ..errors import InvalidInput
from ..laws.source import Runs, Source, Space, as_source, choose, demand, offers
from ..learning.fold import Learner
from ..learning.result import LocalValues
from ..learning.source import gamma_of
from ..learning.tabular import LSTD
from ..measures.entanglement import entanglement
from ..report import tabulate
from ..report.facts import number
from ..report.result import Result
from ..report.table import Table, table
from ..report.terms import REWARD
from ..values.decomposition import decomposed
from .prefixes import prefixes

S = TypeVar("S")
#: Agent-steps of all runs where no steps are named, and the most steps of one.
_WORK, _STEPS = 2 * 10**7, 30_000
_POINTS = 2000
_LONGER = 10


@dataclass(frozen=True, eq=False, repr=False)
class SampleComplexity(Result):
    """Errors after more and more steps, of R independent runs, and the slopes of their logarithms.

    Attributes
    ----------
    steps : (K,) numbers of steps, ascending; runs : R.
    learning : (R, K) `||D_T - D||` in L2(mu), from the learned sum to what the learner converges to, reward units.
    error : (R, K) `||Q - D_T||` in L2(mu), reward units; None where Q is not known.
    bias : what it tends to, `||Q - D||`; None where Q is not known.
    entanglement : (R, K) mean over agents of `|E_i - E_i after T steps|`, Prop. 7.2 in sample; None without a policy.
    learner : which one, and what it converges to; truth : how the limits are known, in words.
    """

    _panels: ClassVar[tuple[str, ...]] = ("values_by_steps", "entanglement_by_steps")

    steps: tuple[int, ...]
    runs: int
    learning: Floats
    error: Floats | None
    bias: float | None
    entanglement: Floats | None
    learner: str
    truth: str

    @property
    def slope(self) -> tuple[float, float, float] | None:
        """Slope of log `learning` against log T, least squares run by run: mean and limits of its 95 % t-interval.

        None where a run has no error.
        """
        return _slope(self.steps, self.learning)

    @property
    def entanglement_slope(self) -> tuple[float, float, float] | None:
        """The same of `entanglement`."""
        return None if self.entanglement is None else _slope(self.steps, self.entanglement)

    def _curves(self) -> Iterator[tuple[str, Floats, float | None]]:
        yield "learned sum to its limit", self.learning, 0.0
        if self.error is not None:
            yield "learned sum to Q", self.error, self.bias

    def _rows(self, curves: Any) -> list[tuple[Any, ...]]:
        out = []
        for name, found, limit in curves:
            mean, stderr, half = t_interval(found)
            low = np.maximum(mean - half, 0.0)
            numbers = np.column_stack([mean, stderr, low, mean + half]).tolist()
            out += [(name, t, *x, limit) for t, x in zip(self.steps, numbers, strict=True)]
        return out

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        names = ("steps", "runs", "learning", "error", "bias", "entanglement", "learner", "truth", "slope",
                 "entanglement_slope")  # fmt: skip
        return {name: plain(getattr(self, name)) for name in names}

    @property
    def sentence(self) -> str:
        """How fast it is learned."""
        last = f"{self.steps[-1]:,} steps leave {number(float(self.learning[:, -1].mean()))} (reward units)"
        if self.slope is None:
            return f"{last}; no slope, for a run has no error at all."
        slope, low, high = self.slope
        return f"The error of the learned sum falls as T^{slope:.2f} ({low:.2f} to {high:.2f}, 95 %); {last}."

    def _brief(self) -> str:
        return f"{self.runs} runs, {self.steps[0]:,} to {self.steps[-1]:,} steps"

    def _tables(self) -> Iterator[Table]:
        columns: dict[str, Any] = {
            "quantity": "what is far from what", "steps": "T", "value": ("mean over the runs", REWARD),
            "stderr": ("its standard error", REWARD), "low": ("lower limit, 95 %", REWARD),
            "high": ("upper limit, 95 %", REWARD), "limit": ("what it tends to", REWARD),
        }  # fmt: skip
        yield table(
            "values_by_steps", "Error of the values by steps of data", columns, self._rows(self._curves()), 2
        )
        if self.entanglement is not None:
            bare = {k: v if isinstance(v, str) else v[0] for k, v in columns.items()}
            rows = self._rows([("E_i to its limit, mean over agents", self.entanglement, 0.0)])
            yield table("entanglement_by_steps", "Error of the entanglement by steps of data", bare, rows, 2)
        says = "slope of its logarithm against log T; -0.5: four times the steps halve it"
        found = (("slope", self.slope, "learned sum"), ("entanglement_slope", self.entanglement_slope, "E_i"))
        yield tabulate.numbers(
            [(name, x[0], "", f"{what}: {says}", x[1:]) for name, x, what in found if x is not None]
            + [("bias", self.bias, REWARD, "what the learned sum misses of Q however long it learns"),
               ("runs", self.runs, "", "independent ones, each read after all these steps")]
        )  # fmt: skip


def _slope(steps: Sequence[int], errors: Floats) -> tuple[float, float, float] | None:
    """Slopes of the runs on log scales: mean, and limits of its 95 % t-interval."""
    if (errors <= 0.0).any():
        return None
    x = np.log(steps)
    x = x - x.mean()
    mean, _, half = t_interval(np.log(errors) @ x / (x @ x))
    return float(mean), float(mean - half), float(mean + half)


@dataclass(frozen=True, eq=False)
class Judge:
    """Joint pairs with weights on which sums of local values are held against their limit, and Q where it is known."""

    weight: Floats  # (n,)
    limit: Floats  # (n,)
    q: Floats | None  # (n,)
    space: Space | None
    pairs: Any

    def sum(self, values: LocalValues) -> Floats:
        """(n,) D; a local pair that was never left counts as the mean of its agent."""
        known = filled(values)
        return (
            known(self.pairs)
            if self.space is None
            else self.space.features[self.pairs] @ np.concatenate(known.local_q)
        )

    def far(self, a: Floats, b: Floats) -> float:
        """`||a - b||` in L2."""
        return math.sqrt(float(self.weight @ (a - b) ** 2))


def filled(values: LocalValues) -> LocalValues:
    """Values with the mean over its visits in the place of what a table lacks."""
    tables = []
    for q, n in zip(values.local, values.visits, strict=True):
        seen = ~np.isnan(q)
        mean = float(q[seen] @ n[seen]) / max(int(n[seen].sum()), 1)
        tables.append(freeze(np.where(seen, q, mean)))
    return replace(values, local=tuple(tables))


@reporting("studying how much data is enough")
def sample_complexity(
    system: Subject,
    policy: PolicyLike = None,
    *,
    steps: Sequence[int] | None = None,
    runs: int = 10,
    learner: Learner[S] | None = None,
    burn_in: int = 1000,
    discount: float | None = None,
    rng: RNG,
    progress: Progress | bool | None = None,
) -> SampleComplexity:
    """How the error of learned local values, and of the entanglement, falls with the steps of data (App. K.3).

    Parameters
    ----------
    system : a system (with `policy`) or its chain, whatever its size; a bandit of alike arms runs in counts.
    steps : numbers of steps T, at least two, ascending. None: the four longest round ones that take seconds.
    runs : R >= 2 independent runs, each read after all these steps.
    learner : e.g. `me.TD()`; None: `me.LSTD()`.
    burn_in : steps dropped before.
    discount : gamma in [0, 1); None takes the system's.
    rng : seed or numpy Generator; the same seed gives the same bytes.
    progress : see `analyze`.

    Returns
    -------
    SampleComplexity : `.plot()` draws it.

    Raises
    ------
    InvalidInput : malformed arguments, no discount.
    Unsupported : what the learner cannot learn from.
    TooLarge : steps of all runs that would not fit.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("circulant")
    >>> found = me.sample_complexity(entry.system, entry.policy, steps=(500, 2000, 8000), rng=0)
    >>> -0.7 < found.slope[0] < -0.3
    True
    """
    made = (
        LSTD()
        if learner is None
        else demand("learner", learner, Learner, "it must be a me.Learner", "E.g. me.LSTD().")
    )
    many = _check.integer("runs", runs, low=2, high=10**4)
    early = _check.integer("burn_in", burn_in, low=0, high=10**9)
    chain = as_source(system, policy)
    source: Any = choose(chain, Runs, "simulate", question="a study of learning", sampled=True)
    gamma = gamma_of(source.discount if discount is None else discount)
    times = _times(steps, many, sum(u.multiplicity for u in source.units))
    data, long = streams(rng, "runs", "limit")
    with stage("runs", 0.0, 0.3):
        found = prefixes(source, many, times[-1], early, data)
    with stage("the limit", 0.3, 0.6):
        truth = _truth(chain, source, made, gamma, (_LONGER * times[-1], early), found.lawful, long)
    judge, exact = truth.judge, truth.entanglement
    learning, error, entangled = np.full((3, many, len(times)), np.nan)
    with stage("learning", 0.6, 1.0):
        for r, (k, t) in itertools.product(range(many), enumerate(times)):
            values = found.learned(r, t, made, gamma)
            d = judge.sum(values)
            learning[r, k] = judge.far(d, judge.limit)
            if judge.q is not None:
                error[r, k] = judge.far(judge.q, d)
            if exact is not None:
                entangled[r, k] = np.abs(found.entanglement(r, t) - exact).mean()
    return SampleComplexity(
        times,
        many,
        freeze(learning),
        None if judge.q is None else freeze(error),
        None if judge.q is None else judge.far(judge.q, judge.limit),
        None if exact is None else freeze(entangled),
        f"{values.learner}{'; converges to ' if values.limit else ''}{values.limit}",
        truth.words,
    )


def _times(steps: Any, runs: int, agents: int) -> tuple[int, ...]:
    if steps is None:
        most = max(100, min(_STEPS, _WORK // (runs * agents)))
        round_ones = [k * 10**e for e in range(1, 6) for k in (1, 3)]
        return tuple(t for t in round_ones if t <= most)[-4:]
    listed = _check.sequence("steps", steps, "numbers of steps")
    found = tuple(_check.integer(f"steps[{k}]", t, low=2, high=10**9) for k, t in enumerate(listed))
    if len(found) < 2 or any(a >= b for a, b in itertools.pairwise(found)):
        raise InvalidInput("steps", str(found), "at least two ascending numbers", "E.g. (1000, 4000, 16000).")
    return found


class Truth(NamedTuple):
    """What the runs tend to, and how that is known."""

    judge: Judge
    entanglement: Floats | None  # (U,); None for a chain that has no policy of its own
    words: str


def _truth(
    chain: Source,
    source: Any,
    learner: Learner[Any],
    gamma: float,
    long: tuple[int, int],
    lawful: bool,
    rng: np.random.Generator,
) -> Truth:
    """Exact where the learner says what it converges to and the chain is small, else along one long run."""
    space: Any = choose(chain, Space, question="a study of learning", sampled=True)
    limit = learner.limit_on(space, gamma) if offers(space, Space) else None
    steps, early = long
    if limit is None:
        found = prefixes(source, 1, steps, early, rng)
        pairs, weight = found.pairs(_POINTS), np.full(min(steps, _POINTS), 1.0 / min(steps, _POINTS))
        known = filled(found.learned(0, steps, learner, gamma))(pairs)
        words = f"limits along another run of {steps:,} steps, at {len(pairs):,} of its joint pairs"
        entangled = found.entanglement(0, steps) if found.lawful else None
        return Truth(Judge(weight, known, None, None, pairs), entangled, words)
    at = np.flatnonzero(space.occupancy > 0)
    q = decomposed(space, None, gamma, "a study of learning").joint_q
    exact = np.asarray(entanglement(space, "policy").per_agent) if lawful else None
    return Truth(Judge(space.occupancy[at], limit[at], q[at], space, at), exact, "exact limits")
