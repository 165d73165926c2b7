"""The decomposition error of a bandit at any number of arms, by simulation with little noise.

Two rollouts from every start (`bandits/rollouts.py`), summarised in `runs/errors.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._interval import inefficiency
from .._progress import Progress, reporting
from .._random import children
from .._types import RNG, ArrayLike, PolicyLike
from .._work import in_threads
from ..errors import InvalidInput
from ..model.bandit import RestlessBandit
from ..runs.errors import ErrorEstimate, default_steps, summarise
from .counts import CountEngine
from .local_td import local_values_from_flows
from .mixing import disagree, memory, pace, patience, too_short
from .rollouts import controls, rollouts
from .structure import ignores_states, require_one_class

_PARTS = 32


@reporting("estimating the error")
def estimate_error(
    bandit: RestlessBandit,
    policy: PolicyLike,
    *,
    rng: RNG,
    local_q: ArrayLike | None = None,
    constant: float | None = None,
    steps: int | None = None,
    starts: int = 4000,
    blocks: int = 20,
    repeats: int = 1,
    control: str = "auto",
    gap: int | None = None,
    burn_in: int | None = None,
    training: int | None = None,
    start: ArrayLike | None = None,
    tolerance: float | None = None,
    workers: int | None = None,
    progress: Progress | bool | None = None,
) -> ErrorEstimate:
    """Error of additive values of a bandit at any number of arms.

    Parameters
    ----------
    policy : an `IndexPolicy` or `UniformPolicy`, or a word: "whittle", "lp", "myopic", "uniform".
    rng : seed or Generator; same bytes for any number of workers.
    local_q : (T, S, 2), (T, 2S) or (S, 2) table of an additive approximation; None: local TD, from the flows of
        all arms along one run of `training` steps (None: 200,000), or exact where service ignores the states.
    constant : added once to the sum of a given table; None: such that the mean error is 0.
    steps : k; None: the first with `gamma^k <= 0.001`, at most 1000.
    starts : stationary starts in all; blocks : independent runs they come from (5..200).
    repeats : rollouts that each of the two estimates at a start averages; more tighten the L1 bracket.
    control : "auto", with control variates; or "none", to see what they gain.
    gap : steps between starts; None: 25. burn_in : steps dropped before the first; None: 20,000, or N if less.
        None is more where the counts remember longer, by their kernels and by the training run.
    start : counts from which every run begins; None spreads each type evenly.
    tolerance : of `unexplained`; where the runs leave open on which side it is, there are longer ones, once, as long as
        that takes by the variance met, up to 16 times; if they do not decide, `more_steps` says how many would.
    workers : threads over runs.
    progress : see `analyze`.

    Raises
    ------
    InvalidInput : a table, start or number that does not fit; a table without a value for a pair that occurs.
    SeveralRecurrentClasses : arms split into several closed classes, or go round in step, and no `start` says how.
    Unsupported, TooLarge : see `estimate_entanglement`.

    >>> import markov_entanglement as me
    >>> from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
    >>> bandit = me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=1800, budget=360, discount=0.5)
    >>> e = me.estimate_error(bandit, me.IndexPolicy(PRIORITY), rng=0)
    >>> low, high = e.error_mu_interval
    >>> bool(low < 1.2446 < high)
    True
    """
    engine = CountEngine.of(bandit, policy)
    if start is None:
        require_one_class(bandit, engine.policy)
    k = default_steps(bandit.gamma) if steps is None else _check.integer("steps", steps, low=1)
    runs = _check.integer("blocks", blocks, low=5, high=200)
    each = -(-_check.integer("starts", starts, low=2 * runs, high=2**40) // runs)
    averaged = _check.integer("repeats", repeats, low=1)
    learn = (
        tol.ESTIMATE_STEPS if training is None else _check.integer("training", training, low=2, high=2**62)
    )
    first, cells = engine.start(start), children(rng, 2 * (runs + 2))
    drop = None if burn_in is None else _check.integer("burn_in", burn_in, low=0, high=2**62)
    apart = None if gap is None else _check.integer("gap", gap, low=1)
    shift = None if local_q is None or constant is None else _check.number("constant", constant)
    limit = None if tolerance is None else _check.tolerance(tolerance)
    given = None if local_q is None else _table(local_q, bandit)
    controlled = _check.choice("control", control, ("auto", "none")) == "auto"
    asked = _Asked(
        engine, first, start is not None, given, shift, k, runs, averaged, each, drop, apart, limit, controlled, workers
    )  # fmt: skip
    found = asked.answer(each, learn, *cells[: runs + 2])
    if (times := found.growth(engine.cells)) > 1.0:
        found = asked.answer(math.ceil(times * each), math.ceil(times * learn), *cells[runs + 2 :])
    return found


@dataclass(frozen=True, eq=False)
class _Asked:
    """What `estimate_error` was asked, read; how many starts and steps of learning it takes is another thing."""

    engine: CountEngine
    first: Ints  # (C,) counts that every run begins at
    named: bool  # by the user
    given: Floats | None  # (T, 2S) table
    shift: float | None
    k: int
    runs: int
    averaged: int
    each: int  # starts of a run that were asked for
    drop: int | None
    apart: int | None
    limit: float | None
    controlled: bool
    workers: int | None

    @cached_property
    def blind(self) -> bool:
        """Whether service ignores the states, so that Eq. 2 is known without learning."""
        return ignores_states(self.engine.bandit, self.engine.ranks)

    @cached_property
    def known(self) -> float:
        """What the counts remember by their kernels."""
        return memory(self.engine, self.first)

    def answer(
        self, many: int, learn: int, teacher: np.random.Generator, *cells: np.random.Generator
    ) -> ErrorEstimate:
        """`many` starts from every run, of values learned along `learn` steps."""
        engine, given, bandit, gamma = self.engine, self.given, self.engine.bandit, self.engine.bandit.gamma
        learns = given is None and not self.blind
        early = patience(bandit.n_agents, self.known, learn) if self.drop is None else self.drop
        mean, variance, seen, flows = _teach(engine, self.first, learn, teacher, early, given is None)
        lag = max(self.known, seen)
        early, step, short = pace(engine, lag, self.runs, many, self.drop, self.apart, self.each)
        table = complete_local_values(engine, flows.sum(axis=0), mean) if given is None else given
        others = _without_parts(engine, flows, mean, lag / learn) if learns else np.zeros((0, table.size))
        *blocks, prober = cells
        out, noise = self._sampled(many, early, step, table, others, controls(engine, mean, gamma), blocks)
        caution, exact = "", given is None and self.blind
        if not exact and (short or (learns and learn < 50 * lag)):
            caution = (
                too_short(lag, burn_in=10 * lag, gap=lag, training=200 * lag) + " and at least 400 starts"
            )
        elif not exact and not self.named and disagree(engine, mean, variance, lag, prober):
            caution = "runs settle elsewhere when all arms begin in one state; name the start that is meant"
        kind = "given table" if given is not None else f"local TD ({'exact' if exact else 'pooled flows'})"
        learned = learn if learns else None
        e = summarise(
            bandit, kind, table, self.shift, self.k, self.averaged, gamma, out, noise, learned, caution, step,
            self.limit,
        )  # fmt: skip
        return e if given is not None else replace(e, visited=_visited(flows))

    def _sampled(
        self,
        many: int,
        early: int,
        step: int,
        table: Floats,
        others: Floats,
        control: tuple[Floats, Floats, Floats],
        blocks: Sequence[np.random.Generator],
    ) -> tuple[Floats, float]:
        """(B, m, 3) two rollouts from every start of every run and the value of the table there; the noise of what was
        learned, of which `others` (L, 2C) are the tables without each part."""
        engine, gamma = self.engine, self.engine.bandit.gamma
        reward, q = engine.bandit.rewards.reshape(-1, 2).copy(), table.reshape(-1, 2).copy()
        h, ahead, gain = (f if self.controlled else np.zeros_like(f) for f in control)

        def run(child: np.random.Generator) -> tuple[Floats, float]:
            n, z, _ = engine.run(self.first, many * step, child, burn_in=early, every=step)
            out, service = np.empty((many, 2 * self.averaged + 1)), engine.kernel_arguments
            rollouts(child, n[:-1], z, self.k, gamma, *service, reward, q, h, ahead, gain, out)
            learning = np.stack([n[:-1] - z, z], axis=2).reshape(many, -1) @ others.T
            both = out[:, :-1].reshape(many, 2, self.averaged).mean(axis=2)
            return np.column_stack([both, out[:, -1]]), float(learning.var(axis=0).sum())

        parts = in_threads(run, blocks, self.workers)
        out = np.stack([p[0] for p in parts])
        if np.isnan(out).any():
            got = "NaN at a pair that occurs"
            raise InvalidInput("local_q", got, "each that occurs needs a value", "Fill it in.")
        return out, math.sqrt(float(np.mean([p[1] for p in parts])))


def _visited(flows: Ints) -> list[Floats]:
    """(2S,) per type: shares of the steps that its arms spent at each local pair."""
    left = flows.sum(axis=(0, 3)).astype(np.float64)
    return list(left / np.maximum(left.sum(axis=1, keepdims=True), 1.0))


def _teach(
    engine: CountEngine, first: Ints, steps: int, rng: np.random.Generator, burn_in: int, flows: bool
) -> tuple[Floats, Floats, float, Ints]:
    """One long run, part by part: mean and variance of the counts (C,), their memory, and flows (L, T, 2S, 2S)."""
    types, pairs = engine.bandit.n_types, 2 * engine.bandit.n_states
    layers = min(_PARTS, max(2, tol.BYTES // (64 * types * pairs**2)))
    moved = np.zeros((layers if flows else 0, types, pairs, pairs), dtype=np.int64)
    total, means, variances = np.zeros(engine.cells), [], []
    run = engine.parts(first, steps, rng, burn_in=burn_in, parts=_PARTS, flows=flows)
    for k, (counts, flow) in enumerate(run):
        total += counts.sum(axis=0, dtype=np.float64)
        means.append(counts.mean(axis=0))
        variances.append(counts.var(axis=0))
        moved[k * layers // _PARTS : k * layers // _PARTS + 1] += flow
    m, v = np.stack(means), np.stack(variances)
    return total / steps, v.mean(axis=0) + m.var(axis=0), inefficiency(m, v, steps / len(m)), moved


def _without_parts(engine: CountEngine, flows: Ints, mean: Floats, lag: float) -> Floats:
    """(L, 2C) local values without one part, about their mean, in the scale of the jackknife.

    Parts that follow each other are no independent ones: with a memory `lag` (of the run) each varies less by itself.
    """
    total = flows.sum(axis=0)
    q = np.stack([complete_local_values(engine, total - f, mean).ravel() for f in flows])
    alone = max(1.0 - 0.5 * lag * len(q), 0.25)
    return np.asarray(math.sqrt((len(q) - 1) / len(q) / alone) * (q - q.mean(axis=0)))


def _table(value: Any, bandit: RestlessBandit) -> Floats:
    types, states, q = bandit.n_types, bandit.n_states, _check.real("local_q", value, gaps=True)
    if q.size != types * 2 * states or q.ndim > 3:
        raise InvalidInput("local_q", f"shape {q.shape}", f"it must be ({types}, {states}, 2)",
                           "NaN marks pairs that never occur; one value per arm type, state and action.")  # fmt: skip
    return freeze(q.reshape(types, 2 * states).copy())


def complete_local_values(engine: CountEngine, flows: Ints, mean: Floats) -> Floats:
    """(T, 2S) local TD values; pairs that the run never left follow their kernel and the service at mean counts.

    Where service ignores the states every pair does: that is Eq. 2 exactly, with nothing learned.
    """
    bandit = engine.bandit
    p = local_values_from_flows(flows, bandit.rewards, bandit.gamma)[0]
    rho = engine.activation(mean[None])[0].reshape(bandit.n_types, 1, 1, -1)
    model = bandit.kernels.transpose(0, 2, 1, 3)[..., None] * np.stack([1.0 - rho, rho], axis=-1)
    p = np.where(np.isnan(p) | ignores_states(bandit, engine.ranks), model.reshape(p.shape), p)
    r = bandit.rewards.reshape(bandit.n_types, -1, 1)
    q = np.linalg.solve(np.eye(p.shape[-1]) - bandit.gamma * p, r)[..., 0]
    return freeze(np.asarray(q, dtype=np.float64))
