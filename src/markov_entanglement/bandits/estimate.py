"""Entanglement of a restless bandit from simulated counts (Prop. 7.2 by Eq. 10 and Eq. 15).

At counts `n` an arm of type t is in state s with probability `n_s/N_t` and is then served with probability
`rho_s(n)`, so along a trajectory of T steps

    E_t <= min_q 1/T sum_k sum_s n_s(k)/N_t |rho_s(n(k)) - q_s|       a weighted median for every state

*In sample* the minimum is biased low; *cross-fitted* (q fitted on one half of the steps, evaluated on the other, both
ways) it is biased high. The interval reaches from the lower confidence limit of the first to the upper one of the
second, by independent replications (App. K.1: ten of 6N steps with the first N dropped) or batch means of one run.
"""

from __future__ import annotations

import math

import numpy as np

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._interval import alone, batch_means, inefficiency
from .._progress import Progress, reporting
from .._random import children
from .._types import RNG, ArrayLike, PolicyLike
from .._work import in_threads
from ..measures.median import grouped_l1_medians
from ..model.bandit import RestlessBandit
from ..runs.entanglement import EntanglementEstimate, estimated, fitted, mean_where_known, rare_events
from .counts import CountEngine
from .mixing import memory, patience, too_short
from .structure import never_varies, require_one_class


def medians(rho: Floats, weight: Floats) -> Floats:
    """(C,) weighted medians of columns (K, C) of chances; 1/2 where there is no weight."""
    out = np.full(rho.shape[1], 0.5)
    for x in range(rho.shape[1]):
        p, w = rho[:, x], weight[:, x]
        met = p[w > 0]
        if not len(met):
            continue
        out[x] = met[0]
        if met.min() < met.max():
            laws = np.stack([1.0 - p, p], axis=1)
            out[x] = grouped_l1_medians(laws, w, np.array([0, len(p)]), threads=1)[0][0, 1]
    return out


def _fit(engine: CountEngine, counts: Ints, cut: int) -> tuple[Floats, ...]:
    """Both minima of Eq. 15 along counts (K, C), in `cut` batches.

    In-sample and cross-fitted values (cut, T); optimal q (1, C); sum, sum of squares and largest of the cross-fitted
    value over steps (1, 3, T); mean and variance of the shares of arms (cut, C).
    """
    types, states = engine.bandit.n_types, engine.bandit.n_states
    rho = engine.activation(counts)
    weight = counts / np.repeat(np.maximum(engine.bandit.n_arms, 1), states)

    def missed(q: Floats, part: slice) -> Floats:
        f = rho[part] - q
        np.abs(f, out=f)
        f *= weight[part]
        return np.asarray(f.reshape(-1, types, states).sum(axis=2))

    inside, crossed, q = fitted(len(counts), lambda part: medians(rho[part], weight[part]), missed)
    sums = np.stack([crossed.sum(axis=0), np.einsum("kt,kt->t", crossed, crossed), crossed.max(axis=0)])
    n = np.ascontiguousarray(weight[: len(weight) // cut * cut].T).reshape(weight.shape[1], cut, -1)
    mean = n.mean(axis=2, keepdims=True)
    n -= mean
    variance = np.einsum("cbk,cbk->bc", n, n) / n.shape[2]
    inside, across = (f.mean(axis=0)[None] if cut == 1 else batch_means(f, cut) for f in (inside, crossed))
    q = np.where(weight.any(axis=0), q, np.nan)
    return inside, across, q[None], sums[None], mean[..., 0].T, variance


@reporting("estimating entanglement")
def estimate_entanglement(
    bandit: RestlessBandit,
    policy: PolicyLike,
    *,
    rng: RNG,
    replications: int = 10,
    steps: int | None = None,
    burn_in: int | None = None,
    start: ArrayLike | None = None,
    batches: int = 40,
    workers: int | None = None,
    progress: Progress | bool | None = None,
) -> EntanglementEstimate:
    """Estimate `E` by Prop. 7.2 and Eq. 15 at any number of arms; the cost depends on steps alone.

    Parameters
    ----------
    policy : an `IndexPolicy` or `UniformPolicy`, or a word: "whittle", "lp", "myopic", "uniform".
    rng : seed or numpy Generator; the same seed gives the same bytes for any number of workers.
    replications : independent runs, at least 2; or 1: batch means on one run.
    steps : T after the burn-in; None: 5N as in App. K.1, at least 40 a batch of one run, at most 200,000.
    burn_in : steps dropped; None: N as in App. K.1, at most 20,000. Both are more where the kernels mix slowly.
    start : counts (types, S) or (S,); None spreads each type evenly over its states.
    batches : batches of one run, 10..1000.
    workers : threads over replications.
    progress : see `analyze`.

    Raises
    ------
    InvalidInput : a bad start or number.
    Unsupported : a policy that does not treat alike arms alike.
    TooLarge : too many arms or steps.
    SeveralRecurrentClasses : arms that split into several closed classes or go round in step, and no `start`.

    >>> import markov_entanglement as me
    >>> from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
    >>> bandit = me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=300, budget=60, discount=0.5)
    >>> e = me.estimate_entanglement(bandit, me.IndexPolicy(PRIORITY), rng=0, start=[50, 100, 150, 0])
    >>> bool(3.5 < 300 * e.per_agent[0] < 4.0)
    True
    """
    engine = CountEngine.of(bandit, policy)
    if start is None:
        require_one_class(bandit, engine.policy)
    runs = _check.integer("replications", replications, low=1, high=10**6)
    count = _check.integer("batches", batches, low=10, high=1000)
    N, first, cut = bandit.n_agents, engine.start(start), count if runs == 1 else 1
    lag = memory(engine, first)
    T = min(
        max(5 * N, (40 if runs == 1 else 2) * count),
        tol.ESTIMATE_STEPS,
        max(2 * count, tol.BYTES // (128 * engine.cells)),
    )
    if (3 if runs == 1 else 10) * lag * cut > T:
        T = min(math.ceil((10 if runs == 1 else 50) * lag * cut), tol.ESTIMATE_STEPS)
    if steps is not None:
        T = _check.integer("steps", steps, low=2 * count if runs == 1 else 2, high=2**62)
    early = patience(N, lag, T) if burn_in is None else _check.integer("burn_in", burn_in, low=0, high=2**62)

    def run(child: np.random.Generator) -> tuple[Floats, ...]:
        return _fit(engine, engine.run(first, T, child, burn_in=early)[0][:T], cut)

    parts = zip(*in_threads(run, children(rng, runs), workers), strict=True)
    inside, crossed, q, sums, means, variances = map(np.concatenate, parts)
    lag = max(lag, inefficiency(means, variances, T / cut))
    caution = ""
    if (2 if runs == 1 else 5) * lag * cut > T or (early < 3 * lag and 200 * lag > T):
        caution = too_short(lag, steps=20 * lag * cut, burn_in=10 * lag)
    if runs == 1:
        inside, crossed = (alone(f, lag * cut / T) for f in (inside, crossed))
    rare = np.where(never_varies(bandit, engine.policy), 0.0, rare_events(sums, lag, runs * T))
    return estimated(
        bandit.units, inside, crossed, rare, freeze(mean_where_known(q).reshape(bandit.n_types, -1)), steps=T,
        burn_in=early, replications=runs, batches=0 if runs > 1 else count, caution=caution,
    )  # fmt: skip
