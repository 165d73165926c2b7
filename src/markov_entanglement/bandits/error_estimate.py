"""The decomposition error of a bandit at any number of arms, by simulation with little noise.

For any additive `D = const + sum_i q(x_i)` and k steps,

    G = sum_{t<k} gamma^t r_t + gamma^k D(x_k) - D(x_0),      E[G | x_0] = (T^k D - D)(x_0) =: g(x_0),

and in every norm that P does not increase `b_k = ||g||` gives `b_k/(1 + gamma^k) <= ||Q - D|| <= b_k/(1 - gamma^k)`.
Starts `x_0` come from independent stationary runs. From each start two independent rollouts `G_1, G_2` (or means of
several, which tightens the bracket of the L1 error):

- `E[G_1 G_2]` is `||g||^2` in L2(mu), unbiased;
- `E[G_1 sign G_2] <= ||g||_mu <= E|G_1 + G_2|/2` brackets the L1 error from both sides.

*Control variates.* With `h = (I - gamma K)^{-1} rho`, the slope of the true values in the counts on the affine piece,
the rollout loses `sum_t gamma^t h.(n_t - E[n_t | n_{t-1}, z_{t-1}])`, and, where a class has several cells, the same
for served counts given counts. Both have mean zero whatever h is; they remove most noise where the piece is right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._interval import inefficiency, jackknife, t_interval, unmet
from .._json import plain
from .._random import children
from .._work import in_threads
from ..errors import InvalidInput
from ..model.bandit import RestlessBandit
from ..report import tabulate
from ..report.facts import percent
from ..report.result import Result
from ..report.table import Table
from .counts import CountEngine, move, serve
from .fluid import response
from .local_td import local_values_from_flows
from .mixing import disagree, kernels, memory, patience, piece, spectrum, too_short
from .structure import ignores_states, off_beat, require_one_class

_PARTS = 32


@njit(cache=True, nogil=True)
def _additive(n, z, q):  # type: ignore[no-untyped-def]
    """`sum over arms of q[x, a]` at counts n with z served; a NaN counts only where it occurs."""
    total = 0.0
    for x in range(len(n)):
        if n[x] > z[x]:
            total += (n[x] - z[x]) * q[x, 0]
        if z[x] > 0:
            total += z[x] * q[x, 1]
    return total


@njit(cache=True, nogil=True)
def _surprise(n, z, order, starts, gain):  # type: ignore[no-untyped-def]
    """`gain . (z - E[z | n])`: not zero only inside a marginal class of several cells."""
    total = 0.0
    for k in range(len(starts) - 1):
        if starts[k + 1] - starts[k] > 1:
            cells, size, taken = order[starts[k] : starts[k + 1]], 0, 0
            for x in cells:
                size += n[x]
                taken += z[x]
            if 0 < taken < size:
                for x in cells:
                    total += gain[x] * (z[x] - n[x] * (taken / size))
    return total


@njit(cache=True, nogil=True)
def rollouts(rng, counts, served, k, gamma, service, moves, reward, q, h, ahead, gain, out):  # type: ignore[no-untyped-def]
    """Fill out (m, R + 1) with R rollouts `G` from every start and `D` there; q (C, 2) = 0: G is a plain return.

    h (C,), ahead (C, 2) = `P_a h` and gain (C,) define the control variates; zeros switch them off.
    """
    order, starts, budget = service
    first, target, share, _, _ = moves
    cells = counts.shape[1]
    n, after = np.empty(cells, np.int64), np.empty(cells, np.int64)
    z, arrivals = np.empty(cells, np.int64), np.empty(len(target), np.int64)
    for i in range(len(counts)):
        begin = _additive(counts[i], served[i], q)
        out[i, -1] = begin
        for j in range(out.shape[1] - 1):
            n[:] = counts[i]
            z[:] = served[i]
            total, scale = -begin, 1.0
            for _ in range(k):
                expected = _additive(n, z, ahead)
                total += scale * _additive(n, z, reward)
                scale *= gamma
                move(rng, n, z, first, target, share, arrivals, after)
                n, after = after, n
                serve(rng, n, order, starts, budget, z)
                drift = _surprise(n, z, order, starts, gain) - expected
                for x in range(cells):
                    drift += h[x] * n[x]
                total -= scale * drift
            out[i, j] = total + scale * _additive(n, z, q)


@dataclass(frozen=True, eq=False, repr=False)
class ErrorEstimate(Result):
    """The error of an additive approximation at large N, with 95 % intervals.

    Attributes
    ----------
    kind : what was approximated: "local TD (pooled flows)", "local TD (exact)" where service ignores the states, so
        that Eq. 2 is known without learning, or "given table".
    local_q : (T, 2S) the table, at `2 s + a`; constant : added once. Local pairs that training never left get the
        value of their kernel and of the service at mean counts.
    constant_fitted : whether the constant was set so that the mean error is 0 (exact for the limit of local TD,
        and `E_mu D = E_mu Q` for corrected values); then errors measure the spread only.
    steps : k; repeats : rollouts averaged in each of the two estimates at a start.
    starts : number of stationary starts; blocks : independent runs they come from.
    error_l2, error_l2_interval : `||Q - D||` in L2(mu), reward units (all errors).
    error_mu : middle of the two-sided bracket of `||Q - D||_mu`; error_mu_interval : its outer limits.
    relative_error, relative_error_interval : `||Q - D||_mu / ||Q||_mu`.
    unexplained, unexplained_interval : `||err - mean||_{2,mu} / ||Q - mean||_{2,mu}`.
    learned : steps of the run along which local values were learned; None where nothing was.
    mean_error, mean_error_stderr : of `Q - D` before the constant was fitted: the noise of a table in its mean.
    rollout_noise : standard deviation of one of the two estimates about its mean given the start.
    learning_noise : noise of a learned table in L2(mu), by the jackknife over parts of its run; where it matters the
        intervals reach out by twice as much.
    caution : why the intervals say nothing (0 to infinity), and what would decide; "" when they hold.
    bandit : whose names its tables show; None: numbers.
    """

    kind: str
    local_q: Floats
    constant: float
    constant_fitted: bool
    steps: int
    repeats: int
    starts: int
    blocks: int
    error_l2: float
    error_l2_interval: tuple[float, float]
    error_mu: float
    error_mu_interval: tuple[float, float]
    relative_error: float
    relative_error_interval: tuple[float, float]
    unexplained: float
    unexplained_interval: tuple[float, float]
    mean_error: float
    mean_error_stderr: float
    rollout_noise: float
    learned: int | None = None
    learning_noise: float = 0.0
    caution: str = ""
    bandit: RestlessBandit | None = None

    @property
    def reliable(self) -> bool:
        """Whether the intervals hold, as far as the runs can tell."""
        return not self.caution

    @property
    def estimator(self) -> str:
        """How the numbers were obtained, in words."""
        how = "exact local values (service ignores the states); " if self.kind == "local TD (exact)" else ""
        if self.learned is not None:
            how = f"local values learned along {self.learned:,} steps; "
        return (
            f"{how}double sampling: 2 x {self.repeats:,} rollouts of {self.steps:,} steps with control variates from "
            f"{self.starts:,} starts in {self.blocks} independent stationary runs; intervals widened by the k-step "
            f"certificate"
        )

    shared = evaluation = None
    remedy = "simulate longer: me.estimate_error(bandit, policy, rng=0, starts=...), 4,000 by default"

    def errors(self) -> dict[str, Any]:
        """Every error by name as in a result; the sup norm is not estimated."""
        names = ("error_mu", "error_l2", "relative_error", "unexplained")
        out = {name: getattr(self, name) for name in names} | {"error_sup": None, "kind": self.kind}
        intervals = {name: list(getattr(self, f"{name}_interval")) for name in names}
        return out | {"intervals": intervals, "estimator": self.estimator, "caution": self.caution or None}

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        names = ("estimator", *(k for k in self.__dataclass_fields__ if k != "bandit"))
        return {name: plain(getattr(self, name)) for name in names}

    def local_values(self, most: float = math.inf) -> dict[str, Any]:
        """The block `local_values` of a result, of at most so many numbers."""
        types, size = self.local_q.shape
        known = self.bandit
        units = [f"type {t}" for t in range(types)] if known is None else [u.name for u in known.units]
        numbered = [str(s) for s in range(size // 2)], ["rest", "serve"]
        labels = [numbered if known is None else known.local_names(t) for t in range(types)]
        tables, unknown = list(self.local_q), [[math.nan] * size] * types
        return tabulate.local_block(
            units, labels, tables, unknown, kind=self.kind, constant=self.constant, most=most
        )

    @property
    def sentence(self) -> str:
        """How far the sum is from the truth, as estimated."""
        low, high = self.error_mu_interval
        missed = [percent(x) for x in self.unexplained_interval]
        return (
            f"The sum of local values ({self.kind}) errs by {low:.4g} to {high:.4g} on average (reward units) and "
            f"misses {missed[0]} to {missed[1]} of the spread of Q, with 95 % confidence."
        )

    def _brief(self) -> str:
        lo, hi = self.error_mu_interval
        return f"{self.kind}: error_mu={self.error_mu:.6g} [{lo:.6g}, {hi:.6g}]"

    def _tables(self) -> Iterator[Table]:
        yield tabulate.numbers(tabulate.errors(self.errors()))
        yield tabulate.local_values(self.local_values())


def linear_response(engine: CountEngine, mean: Floats, gamma: float) -> tuple[Floats, Floats]:
    """Slopes `h` (C,) of the values in the counts and `gain` (C,) in the served counts, at mean counts (C,).

    Zeros if the affine piece does not discount away (`gamma` times its spectral radius at least 1).
    """
    rewards = engine.bandit.rewards.reshape(-1, 2)
    a, w, k = piece(engine, mean)
    if gamma * np.abs(spectrum(k, engine.bandit.n_states)).max() >= 1.0:
        return np.zeros(len(mean)), np.zeros(len(mean))
    h, (p0, p1) = response(k, rewards, a, w, gamma), kernels(engine)
    return h, rewards[:, 1] - rewards[:, 0] + gamma * (p1 - p0) @ h


def estimate_error(
    bandit: RestlessBandit,
    policy: Any,
    *,
    rng: Any,
    local_q: Any = None,
    constant: float | None = None,
    steps: int | None = None,
    starts: int = 4000,
    blocks: int = 20,
    repeats: int = 1,
    gap: int | None = None,
    burn_in: int | None = None,
    training: int | None = None,
    start: Any = None,
    workers: int | None = None,
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
    gap : steps between starts; None: 25. burn_in : steps dropped before the first; None: 20,000, or N if less.
        None is more where the counts remember longer, by their kernels and by the training run.
    start : counts from which every run begins; None spreads each type evenly. workers : threads over runs.

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
    engine, gamma = CountEngine.of(bandit, policy), bandit.discount
    if start is None:
        require_one_class(bandit, engine.policy)
    k = default_steps(gamma) if steps is None else _check.integer("steps", steps, low=1)
    runs = _check.integer("blocks", blocks, low=5, high=200)
    each = -(-_check.integer("starts", starts, low=2 * runs) // runs)
    averaged = _check.integer("repeats", repeats, low=1)
    learn = tol.ESTIMATE_STEPS if training is None else _check.integer("training", training, low=2)
    first, (teacher, *cells, prober) = engine.start(start), children(rng, runs + 2)
    drop = None if burn_in is None else _check.integer("burn_in", burn_in, low=0)
    lag = memory(engine, first)
    early = patience(bandit.n_agents, lag, learn) if drop is None else drop
    mean, variance, seen, flows = _teach(engine, first, learn, teacher, early, local_q is None)
    lag = max(lag, seen)
    wide = 25 if lag <= 50 else min(math.ceil(lag / 2), max(25, tol.ESTIMATE_STEPS // each))
    step = off_beat(bandit, engine.policy, wide) if gap is None else _check.integer("gap", gap, low=1)
    early = patience(bandit.n_agents, lag, each * step) if drop is None else drop
    blind = ignores_states(bandit, engine.ranks)
    kind = "given table" if local_q is not None else f"local TD ({'exact' if blind else 'pooled flows'})"
    learned = learn if local_q is None and not blind else None
    if local_q is None:
        table = complete_local_values(engine, flows.sum(axis=0), mean)
    else:
        table = _table(local_q, bandit)
    others = np.zeros((0, table.size)) if learned is None else _without_parts(engine, flows, mean)
    shift = None if local_q is None or constant is None else _check.number("constant", constant)
    h, gain = linear_response(engine, mean, gamma)
    ahead = np.einsum("tasu,tu->tsa", bandit.kernels, h.reshape(bandit.n_types, -1)).reshape(-1, 2)
    reward, q = bandit.rewards.reshape(-1, 2).copy(), table.reshape(-1, 2).copy()

    def run(child: np.random.Generator) -> tuple[Floats, float]:
        n, z, _ = engine.run(first, each * step, child, burn_in=early, every=step)
        out = np.empty((each, 2 * averaged + 1))
        rollouts(child, n[:-1], z, k, gamma, *engine.kernel_arguments, reward, q, h, ahead, gain, out)
        learning = np.stack([n[:-1] - z, z], axis=2).reshape(each, -1) @ others.T
        both = out[:, :-1].reshape(each, 2, averaged).mean(axis=2)
        return np.column_stack([both, out[:, -1]]), float(learning.var(axis=0).sum())

    parts = in_threads(run, cells, workers)
    out = np.stack([p[0] for p in parts])
    if np.isnan(out).any():
        got = "NaN at a pair that occurs"
        raise InvalidInput("local_q", got, "each that occurs needs a value", "Fill it in.")
    caution, exact = "", kind == "local TD (exact)"
    short = early < 3 * lag and each * step < 200 * lag
    short = short or (step < lag and runs * each * step < 100 * lag)
    if not exact and (short or (learned or math.inf) < 50 * lag):
        caution = too_short(lag, burn_in=10 * lag, gap=lag, training=200 * lag) + " and at least 400 starts"
    elif not exact and start is None and disagree(engine, mean, variance, lag, prober):
        caution = "runs settle elsewhere when all arms begin in one state; name the start that is meant"
    noise = math.sqrt(float(np.mean([p[1] for p in parts])))
    found = _summary(kind, table, shift, k, averaged, gamma, out, noise, learned, caution)
    return replace(found, bandit=bandit)


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


def _without_parts(engine: CountEngine, flows: Ints, mean: Floats) -> Floats:
    """(L, 2C) local values without one part, about their mean, in the scale of the jackknife."""
    total = flows.sum(axis=0)
    q = np.stack([complete_local_values(engine, total - f, mean).ravel() for f in flows])
    return np.asarray(math.sqrt((len(q) - 1) / len(q)) * (q - q.mean(axis=0)))


def default_steps(gamma: float) -> int:
    """First k with `gamma^k <= 0.001`, at most 1000."""
    return 1 if gamma == 0.0 else min(1000, max(1, math.ceil(math.log(1e-3) / math.log(gamma))))


def _table(value: Any, bandit: RestlessBandit) -> Floats:
    types, states, q = bandit.n_types, bandit.n_states, np.asarray(value, dtype=np.float64)
    if q.size != types * 2 * states or q.ndim > 3 or np.isinf(q).any():
        raise InvalidInput("local_q", f"shape {q.shape}", f"it must be ({types}, {states}, 2), without infinities",
                           "NaN marks pairs that never occur; one value per arm type, state and action.")  # fmt: skip
    return freeze(q.reshape(types, 2 * states).copy())


def complete_local_values(engine: CountEngine, flows: Ints, mean: Floats) -> Floats:
    """(T, 2S) local TD values; pairs that the run never left follow their kernel and the service at mean counts.

    Where service ignores the states every pair does: that is Eq. 2 exactly, with nothing learned.
    """
    bandit = engine.bandit
    p = local_values_from_flows(flows, bandit.rewards, bandit.discount)[0]
    rho = engine.activation(mean[None])[0].reshape(bandit.n_types, 1, 1, -1)
    model = bandit.kernels.transpose(0, 2, 1, 3)[..., None] * np.stack([1.0 - rho, rho], axis=-1)
    p = np.where(np.isnan(p) | ignores_states(bandit, engine.ranks), model.reshape(p.shape), p)
    r = bandit.rewards.reshape(bandit.n_types, -1, 1)
    q = np.linalg.solve(np.eye(p.shape[-1]) - bandit.discount * p, r)[..., 0]
    return freeze(np.asarray(q, dtype=np.float64))


def _summary(
    kind: str, table: Floats, shift: float | None, k: int, averaged: int, gamma: float, out: Floats,
    learning: float, learned: int | None, caution: str,
) -> ErrorEstimate:  # fmt: skip
    """All numbers from `out` (B, m, 3): two rollouts g without constant, and D there."""
    g, d = out[..., :2], out[..., 2]

    def others(x: Floats) -> Floats:
        """Means over all blocks but one, about which the products of that one stay unbiased."""
        means = x.mean(axis=(1, 2))
        return ((means.sum() - means) / (len(x) - 1))[:, None, None]

    # T^k (D + c) - (D + c) = g - (1 - gamma^k) c.
    far = gamma**k
    mean, mean_stderr, _ = t_interval(g.mean(axis=(1, 2)) / (1.0 - far))
    constant = float(mean) if shift is None else shift
    e = g - (others(g) if shift is None else (1.0 - far) * constant)
    value = g + d[..., None] + far * constant
    one, two = e[..., 0], e[..., 1]
    product, centred = one * two, np.prod(g - others(g), axis=2)
    moments = np.stack([
        product.mean(axis=1),
        0.5 * (one * np.sign(two) + two * np.sign(one)).mean(axis=1),
        0.5 * np.abs(one + two).mean(axis=1),
        np.abs(value.mean(axis=2)).mean(axis=1),
        centred.mean(axis=1),
        np.prod(value - others(value), axis=2).mean(axis=1),
    ], axis=1)  # fmt: skip
    low, high = 1.0 / (1.0 + far), 1.0 / (1.0 - far)
    # Below this an error, or a spread of Q, is rounding.
    noise = tol.SOLVE * float(max(np.abs(value).max(), np.abs(d).max()))
    square, _, half = t_interval(moments[:, 0])
    l1, _, l1_half = t_interval(moments[:, 1:3])
    spread, _, spread_half = t_interval(moments[:, 5])
    ratio, ratio_half = jackknife(moments, lambda m: _share(0.5 * (m[1] + m[2]), m[3], noise))
    share, share_half = jackknife(moments, lambda m: _share(m[4], m[5], noise**2))
    size = float(moments[:, 3].mean())
    gap = 0.5 * float(l1[1] - l1[0]) / size if size > noise else 0.0
    each = 1.0 / math.sqrt(spread) if spread > noise**2 else 0.0
    # Value and limits for this table, and the unit of what learning may have added to it.
    found: list[tuple[float, float, float, float]] = [
        (_root(square), low * (_root(square - half) - noise),
         high * _root(max(float(square), 0.0) + half + unmet(product)), 1.0),
        (max(0.5 * float(np.sum(l1)), 0.0), low * float(l1[0] - l1_half[0] - noise),
         high * float(l1[1] + l1_half[1]), 1.0),
        (max(ratio, 0.0), low / high * (ratio - gap - ratio_half), high / low * (ratio + gap + ratio_half),
         1.0 / size if size > noise else 0.0),
        (_root(share), low / high * _root(share - share_half),
         high / low * _root(max(share, 0.0) + share_half + unmet(centred) * each**2), each),
    ]  # fmt: skip
    reach = 2.0 * learning if 8.0 * learning > found[0][2] - found[0][1] else 0.0
    limits = [_widened(*numbers, reach) for numbers in found]
    if caution:
        limits = [(0.0, math.inf)] * 4
    elif not math.isfinite(share_half) or noise**2 < spread <= spread_half:
        limits[3] = (0.0, math.inf)
        caution = "these runs cannot tell the spread of Q from 0; take more starts"
    return ErrorEstimate(
        kind, table, constant, shift is None, k, averaged, d.size, len(d),
        found[0][0], limits[0], found[1][0], limits[1], found[2][0], limits[2], found[3][0], limits[3],
        float(mean), float(mean_stderr),
        float(np.sqrt(0.5 * np.mean((g[..., 0] - g[..., 1]) ** 2))), learned, learning, caution,
    )  # fmt: skip


def _root(x: Any) -> float:
    return math.sqrt(max(float(x), 0.0))


def _widened(value: float, low: float, high: float, unit: float, reach: float) -> tuple[float, float]:
    """Limits with another, independent error of `reach` units; the only clip at 0."""
    if reach * unit > 0:
        low = value - math.hypot(value - low, reach * unit)
        high = value + math.hypot(high - value, reach * unit)
    return max(low, 0.0), high


def _share(part: float, whole: float, noise: float) -> float:
    """`part / whole`, also below 0: 0 where `part` is rounding, infinite where only `whole` is, NaN where that is < 0.

    A negative square comes from runs too short to tell it from 0.
    """
    if abs(part) <= noise:
        return 0.0
    if whole > noise:
        return part / whole
    return math.inf if abs(whole) <= noise else math.nan
