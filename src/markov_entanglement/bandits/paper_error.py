"""The paper's own recipe for the decomposition error (Appendix K.2), with its noise told apart.

1. Train: simulate N tagged arms for 6N steps, drop N, and let every arm fit its own `Q_i` by tabular TD on its own 5N
   steps; repeat 10 times and average each arm's values. The per-arm engine follows the arms, at 6 N^2 arm-steps a run.
2. Test: 50 stationary joint pairs, the arms assigned to them at random (arms of a type are exchangeable).
3. Truth: returns of 30-step rollouts in count space, averaged over 3N of them.

`|D - Q|` then holds three things: the bias that remains with endless data, the training noise of `Q_i`, and the
noise of the rollouts. `estimate_error` measures the first alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._json import plain
from .._progress import Progress, reporting
from .._random import children
from .._types import RNG, ArrayLike, PolicyLike
from .._work import in_threads
from ..errors import TooLarge
from ..model.bandit import RestlessBandit
from ..report import tabulate, terms
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table
from ..runs.entanglement import mean_where_known
from .arms import Arms, arm_totals
from .counts import CountEngine
from .error_estimate import complete_local_values
from .local_td import local_values_from_flows
from .rollouts import rollouts
from .structure import off_beat, require_one_class


@dataclass(frozen=True, eq=False, repr=False)
class PaperError(Result):
    """Error of Meta Algorithm 1 by the recipe of App. K.2; reward units unless said.

    Attributes
    ----------
    error_mu : mean of `|D - Q|` over the test pairs; stderr : its standard error over them.
    relative_error : `sum |D - Q| / sum |Q|`; relative_stderr : its standard error; dimensionless.
    pooled_error : mean of `|D' - Q|`, D' from the flows of all arms and runs together: without training noise.
    training_noise : mean of `|D - D'|`.
    rollout_noise : expected absolute error of Q itself, from the spread of the rollouts.
    horizon_tail : `gamma^horizon`, the share of a constant value that rollouts miss.
    borrowed : share of (arm, test pair) values that an arm never learned and takes from the pooled fit.
    differences : (tests,) `D - Q`; values : (tests,) Q by rollouts.
    runs, steps, burn_in, horizon, rollouts : sizes of the recipe.
    """

    error_mu: float
    stderr: float
    relative_error: float
    relative_stderr: float
    pooled_error: float
    training_noise: float
    rollout_noise: float
    horizon_tail: float
    borrowed: float
    differences: Floats
    values: Floats
    runs: int
    steps: int
    burn_in: int
    horizon: int
    rollouts: int

    @property
    def estimator(self) -> str:
        """How the numbers were obtained, in words."""
        return (
            f"App. K.2: local TD on each arm's own {self.steps} steps ({self.burn_in} dropped), mean of {self.runs} "
            f"runs; {len(self.values)} stationary pairs; {self.horizon}-step rollouts averaged over {self.rollouts}"
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        return {name: plain(getattr(self, name)) for name in ("estimator", *self.__dataclass_fields__)}

    @property
    def sentence(self) -> str:
        """The paper's number and what else it holds."""
        return (
            f"By the paper's recipe the sum errs by {self.error_mu:.4g} +- {self.stderr:.2g} (reward units), "
            f"{percent(self.relative_error)} of Q; {self.training_noise:.3g} is noise of training."
        )

    def _brief(self) -> str:
        return f"error_mu={self.error_mu:.6g} +- {self.stderr:.2g}, relative={self.relative_error:.3g}"

    def _tables(self) -> Iterator[Table]:
        unit, share = terms.REWARD, terms.SHARE
        rows = [("error_mu", self.error_mu, unit, "mean of |D - Q| over the test pairs"),
                ("stderr", self.stderr, unit, "its standard error"),
                ("relative_error", self.relative_error, share, "sum of |D - Q| over sum of |Q|"),
                ("relative_stderr", self.relative_stderr, share, "its standard error"),
                ("pooled_error", self.pooled_error, unit, "without the noise of training"),
                ("training_noise", self.training_noise, unit, "mean difference to the pooled fit"),
                ("rollout_noise", self.rollout_noise, unit, "of Q itself"),
                ("horizon_tail", self.horizon_tail, share, "of a constant value that rollouts miss"),
                ("borrowed", self.borrowed, share, "values taken from the pooled fit")]  # fmt: skip
        yield tabulate.numbers(rows)
        n = len(self.values)
        yield tabulate.points({"q": self.values.tolist(), "sum": (self.values + self.differences).tolist(),
                               "weight": [1.0 / n] * n, "of": n})  # fmt: skip


@reporting("estimating the error")
def paper_error(
    bandit: RestlessBandit,
    policy: PolicyLike,
    *,
    rng: RNG,
    runs: int = 10,
    tests: int = 50,
    horizon: int = 30,
    n_rollouts: int | None = None,
    steps: int | None = None,
    burn_in: int | None = None,
    start: ArrayLike | None = None,
    workers: int | None = None,
    progress: Progress | bool | None = None,
) -> PaperError:
    """Error of the decomposition by App. K.2, at a cost of `runs * N * (steps + burn_in)` arm-steps.

    Parameters
    ----------
    policy : an `IndexPolicy`, or a word: "whittle", "lp", "myopic".
    rng : seed or numpy Generator; the same seed gives the same bytes for any number of workers.
    runs, tests, horizon : training runs, stationary test pairs, steps of a rollout.
    n_rollouts : rollouts for each test pair, at least 2; None: 3N.
    steps : training steps of every arm; None: 5N. burn_in : steps dropped before; None: N.
    start : counts (types, S) or (S,) from which every run begins; None spreads each type evenly.
    workers : threads over runs and test pairs.
    progress : see `analyze`.

    Raises
    ------
    InvalidInput, Unsupported : a bad start or number; not an index policy.
    TooLarge : more arm-steps than a machine does in an hour; `estimate_error` has no such limit.

    >>> import markov_entanglement as me
    >>> from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
    >>> bandit = me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=60, budget=12, discount=0.5)
    >>> e = me.paper_error(bandit, me.IndexPolicy(PRIORITY), rng=0, start=[10, 20, 30, 0])
    >>> bool(e.relative_error < 0.03)
    True
    """
    engine, N = CountEngine.of(bandit, policy), bandit.n_agents
    if start is None:
        require_one_class(bandit, engine.policy)
    count, tested = _check.integer("runs", runs, low=1), _check.integer("tests", tests, low=2)
    far = _check.integer("horizon", horizon, low=1)
    many = _check.integer("n_rollouts", 3 * N if n_rollouts is None else n_rollouts, low=2)
    T = _check.integer("steps", 5 * N if steps is None else steps, low=2)
    early = _check.integer("burn_in", N if burn_in is None else burn_in, low=0)
    if count * N * (T + early) > tol.ARM_STEPS:
        raise TooLarge("paper's recipe", f"{count * N * (T + early):.3g} arm-steps", f"{tol.ARM_STEPS:.3g}",
                       "Use me.estimate_error, whose cost does not grow with N.")  # fmt: skip
    first, cells = engine.start(start), children(rng, count + 1 + tested)
    tester = cells[count]
    own, pooled = _train(engine, first, T, early, cells[:count], workers)
    stride = off_beat(bandit, engine.policy, max(25, T // tested))
    n, z, _ = engine.run(first, tested * stride, tester, burn_in=early, every=stride)
    n = n[:-1]
    full = np.repeat(complete_local_values(engine, pooled, n.mean(axis=0)), bandit.n_arms, axis=0)
    known, each = ~np.isnan(own), np.arange(N)
    # The arms of each type in a uniform arrangement with these counts.
    at = np.stack([n - z, z], axis=-1).reshape(tested, bandit.n_types, -1)
    local = np.arange(at.shape[-1])
    pairs = np.stack([np.concatenate([tester.permutation(np.repeat(local, c)) for c in row]) for row in at])
    d = np.where(known, own, full)[each, pairs].sum(axis=1)
    d_pooled = full[each, pairs].sum(axis=1)
    q, q_stderr = _truth(engine, n, z, far, many, cells[count + 1 :], workers)
    miss, size = np.abs(d - q), np.abs(q)
    ratio = float(miss.sum() / size.sum()) if size.any() else math.inf
    spread = (miss - ratio * size).std(ddof=1) / math.sqrt(tested) / size.mean() if size.any() else math.nan
    return PaperError(
        float(miss.mean()), float(miss.std(ddof=1)) / math.sqrt(tested), ratio, float(spread),
        float(np.abs(d_pooled - q).mean()), float(np.abs(d - d_pooled).mean()),
        float(q_stderr.mean()) * math.sqrt(2 / math.pi), bandit.gamma**far,
        float(1.0 - known[each, pairs].mean()), freeze(d - q), freeze(q), count, T, early, far, many,
    )  # fmt: skip


def _train(
    engine: CountEngine, first: Ints, steps: int, burn_in: int, cells: list[Any], workers: int | None
) -> tuple[Floats, Ints]:
    """(N, 2S) every arm's own values, averaged over runs, and (T, 2S, 2S) flows of all arms and runs."""
    bandit, arms = engine.bandit, Arms.of(engine.bandit, engine.policy)
    states = np.repeat(np.tile(np.arange(bandit.n_states), bandit.n_types), first)
    reward = np.repeat(bandit.rewards, bandit.n_arms, axis=0)
    bounds = [0, *np.cumsum(bandit.n_arms).tolist()]

    def train(child: np.random.Generator) -> tuple[Floats, Ints]:
        flows = arm_totals(arms, steps, rng=child, burn_in=burn_in, start=states, flows=True, workers=1).flows
        pooled = np.stack([flows[a:b].sum(axis=0, dtype=np.int64) for a, b in pairwise(bounds)])
        return local_values_from_flows(flows, reward, bandit.gamma)[1], pooled

    trained = in_threads(train, cells, workers)
    return mean_where_known(np.stack([q for q, _ in trained])), np.stack([f for _, f in trained]).sum(axis=0)


def _truth(
    engine: CountEngine, n: Ints, z: Ints, horizon: int, count: int, cells: list[Any], workers: int | None
) -> tuple[Floats, Floats]:
    """Returns of `count` plain rollouts from every test pair: (tests,) means and their standard errors."""
    zero, off = np.zeros((engine.cells, 2)), np.zeros(engine.cells)
    reward = engine.bandit.rewards.reshape(-1, 2).copy()

    def one(k: int) -> Floats:
        out = np.empty((1, count + 1))
        rollouts(cells[k], n[k : k + 1], z[k : k + 1], horizon, engine.bandit.gamma, *engine.kernel_arguments,
                 reward, zero, off, zero, off, out)  # fmt: skip
        return out[0, :-1]

    g = np.stack(in_threads(one, range(len(n)), workers))
    return g.mean(axis=1), g.std(axis=1, ddof=1) / math.sqrt(count)
