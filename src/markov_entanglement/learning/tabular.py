"""Tables by least squares, by returns and by counting: learners whose answers can be merged.

What each converges to, on the steps of one agent (which are no Markov chain unless it is separable):

- `CountModel` and `LSTD(0)`: `Q_i = (I - gamma P_i)^{-1} r_i` with the marginalised law P_i of Eq. 2;
- `LSTD(lam)`: `A^{-1} b` with `A = B'D (I - gamma lam P)^{-1} (I - gamma P) B`, `b = B'D (I - gamma lam P)^{-1} r_i`,
  B the indicators of x_i and D = diag(mu): `me.value_decomposition(..., trace=lam)`;
- `MonteCarlo`: `E_mu[return of the own reward | x_i]`, the same at lam = 1.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass

import numpy as np

from .. import _check
from .._check import Floats, Ints, freeze
from .._types import ArrayLike
from ..laws.source import Space
from ..runs.chunk import Chunk
from ..runs.flows import known, values
from ..runs.path import Path
from ..values.decomposition import decompose
from .fold import Learner, in_order
from .layout import Layout
from .result import LocalValues
from .source import arm_rewards
from .states import Counted, Returns, Squares, State

EQ_2 = "Eq. 2 (me.value_decomposition)"


def limit_of(trace: float) -> str:
    """What temporal differences with such a trace converge to."""
    return EQ_2 if trace == 0.0 else f"me.value_decomposition(..., trace={trace:g}), which is not Eq. 2"


def answer(
    layout: Layout, q: Floats, visits: Ints, steps: int, words: tuple[str, str], note: str
) -> LocalValues:
    """Local values from tables in a row (M,); words: learner and limit."""
    tables, seen = (tuple(map(freeze, layout.pool.cut(a.copy()))) for a in (q, visits))
    return LocalValues(tables, seen, layout.discount, steps, *words, note, layout.pool.shared)


def sum_on(space: Space, discount: float, trace: float) -> Floats:
    """(n,) the sum of what temporal differences with such a trace converge to."""
    return decompose(space, space.read_rewards(None), discount, trace).sum_q


class Summing(Learner[State]):
    """A learner whose state is sums."""

    def step(self, state: State, chunk: Chunk) -> State:
        state.add(chunk)
        return state

    def merge(self, a: State, b: State) -> State:
        a.join(b)
        return a

    def finish(self, state: State) -> LocalValues:
        return answer(state.layout, self._solve(state), state.visits, state.count, self.words, state.note)

    def _solve(self, state: State) -> Floats:
        return state.values()

    @property
    @abstractmethod
    def words(self) -> tuple[str, str]:
        """Its name, and what it converges to."""


@dataclass(frozen=True, eq=False)
class CountModel(Summing):
    """The chain of counted moves and its Bellman equation solved; converges to Eq. 2.

    Parameters
    ----------
    pool : a label for each agent; those with equal labels share a table. None: one table each.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> path = me.simulate(entry.system, entry.policy, 1000, rng=0)
    >>> values = me.CountModel().fit(path, 0.5)
    >>> values.q(1).shape, bool(values(path.states[:1]) > 0)
    ((2,), True)
    """

    _: KW_ONLY
    pool: ArrayLike | None = None

    def start(self, sizes: Ints, discount: float) -> State:
        return Counted(Layout.of(self.pool, sizes, discount))

    @property
    def words(self) -> tuple[str, str]:
        return "count model", EQ_2

    def limit_on(self, space: Space, discount: float) -> Floats:
        return sum_on(space, discount, 0.0)

    def fit_counts(self, path: Path, rewards: tuple[Floats, ...] | None, discount: float) -> LocalValues:
        """From the flows of a bandit, all arms of a type together."""
        return from_flows(path, rewards, discount, self.words)


def from_flows(
    path: Path, rewards: tuple[Floats, ...] | None, discount: float, words: tuple[str, str]
) -> LocalValues:
    """Local values (types, 2S) of Eq. 2 from flows of arms."""
    flows = path.flow_total.astype(np.float64)
    p, left = known(np.concatenate([flows, np.zeros((*flows.shape[:2], 1))], axis=2))
    q = np.where(left, values(p, np.stack(rewards or arm_rewards(path)) * left, discount), np.nan)
    return of_types(path, q, path.flow_total.sum(axis=2), discount, words)


def of_types(path: Path, q: Floats, visits: Ints, discount: float, words: tuple[str, str]) -> LocalValues:
    """Local values from tables and visits (types, 2S) of a path in counts."""
    assert path.counts is not None
    tables, seen = (tuple(map(freeze, a)) for a in (q, visits))
    return LocalValues(tables, seen, discount, path.steps - 1, *words, many=path.counts[0].sum(axis=1))


@dataclass(frozen=True, eq=False)
class LSTD(Summing):
    """Least squares temporal differences with traces; converges to `me.value_decomposition(..., trace=lam)`.

    That is Eq. 2 for trace 0 only, where it is the same as `CountModel`. It has no step size, so it cannot diverge.

    Parameters
    ----------
    trace : lam in 0..1.
    pool : a label for each agent; those with equal labels share a table. None: one table each.

    Raises
    ------
    InvalidInput : a trace outside 0..1.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> path = me.simulate(entry.system, entry.policy, 1000, rng=0)
    >>> me.LSTD(0.9).fit(path, 0.5).estimator
    'LSTD(0.9), 999 steps; converges to me.value_decomposition(..., trace=0.9), which is not Eq. 2'
    """

    trace: float = 0.0
    _: KW_ONLY
    pool: ArrayLike | None = None

    def __post_init__(self) -> None:
        _check.trace(self.trace)

    def start(self, sizes: Ints, discount: float) -> State:
        layout = Layout.of(self.pool, sizes, discount)
        return Counted(layout) if self.trace == 0.0 else Squares(layout, float(self.trace))

    @property
    def words(self) -> tuple[str, str]:
        return f"LSTD({self.trace:g})", limit_of(self.trace)

    def limit_on(self, space: Space, discount: float) -> Floats:
        return sum_on(space, discount, self.trace)

    def fit_counts(self, path: Path, rewards: tuple[Floats, ...] | None, discount: float) -> LocalValues:
        """From the flows of a bandit, all arms of a type together."""
        if self.trace > 0.0:
            raise in_order("trace", f"{self.trace:g} of a path in counts")
        return from_flows(path, rewards, discount, self.words)


@dataclass(frozen=True, eq=False)
class MonteCarlo(Summing):
    """Mean return of the own reward from every visit; converges to `E_mu[return | x_i]`, not to Eq. 2.

    That is the function of the own pair that is nearest to the own return in L2(mu), and the limit of
    `me.value_decomposition(..., trace=1)`. Returns that the end of the run cuts lack what would have followed; the
    estimator says how much that may be.

    Parameters
    ----------
    pool : a label for each agent; those with equal labels share a table. None: one table each.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> path = me.simulate(entry.system, entry.policy, 1000, rng=0)
    >>> me.MonteCarlo().fit(path, 0.5).estimator.split("; ")[2]
    'what the end of the run cuts off is at most 0.0013 of any value that rewards allow'
    """

    _: KW_ONLY
    pool: ArrayLike | None = None

    def start(self, sizes: Ints, discount: float) -> State:
        return Returns(Layout.of(self.pool, sizes, discount))

    @property
    def words(self) -> tuple[str, str]:
        return "every-visit Monte Carlo", limit_of(1.0)

    def limit_on(self, space: Space, discount: float) -> Floats:
        return sum_on(space, discount, 1.0)
