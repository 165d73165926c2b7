"""The whole answer for agents that are stepped: entanglement, errors of local values, worth, with intervals.

*Control variates.* Where agents move on kernels of their own, any `f = sum_i h_i(s_i)` has a known mean one step ahead.
`h_i` are the values of agent i alone under its measured action shares, each unit of a budget charged its price: the
mean gain of the agents that are served some of the time. A price makes agents independent as the budget does on
average, so f follows the values of all agents together; whatever it is, the rollouts stay unbiased.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import chdtri

from .. import _tolerance as tol
from .._check import Floats, Ints
from .._interval import inefficiency, t_interval
from .._work import in_threads
from ..errors import Unsupported
from ..measures.median import grouped_l1_medians
from .certify import finite, gain, read_candidate
from .engine import Control, Rollouts, flat, score, tally
from .entanglement import EntanglementEstimate, estimated, mean_where_known, rare_events
from .errors import OWN_STEPS, ErrorEstimate, default_steps, summarise
from .flows import Flows, alike, shares, transitions, values
from .shared import Met, Paid, paid

if TYPE_CHECKING:
    from .agents import AgentRuns, Walk

_RUNS = 20
_PILOT = 200
#: Numbers of the joint states of one batch of rollouts.
_BATCH = 2**16


class Local(NamedTuple):
    """Local values of all agents (m_i,), and the control variate that goes with them."""

    tables: list[Floats]
    control: Control


def too_short(lag: float, steps: int) -> str:
    """The caution of runs that slow agents make too short."""
    return f"some agent remembers about {lag:,.0f} steps: runs of {steps:,} steps each would tell, these are shorter"


def memory(runs: AgentRuns, flows: Flows) -> float:
    """Steps per independent one of the slowest agent, by the spectrum of its own chain of local states.

    That chain is the mean of its kernels by the actions taken along a run, or the moves counted there; states that no
    move joins are as slow as the run is long.
    """
    lag, kernels, longest = 1.0, runs.system.local_kernels, float(flows.counts.sum())
    for group, visits in flows.visits():
        if kernels is None:
            s, a = group.states, group.actions
            moved = flows.of(group)[:, :, :-1].reshape(-1, s, a, s, a).sum(axis=(2, 4))
            left = moved.sum(axis=2, keepdims=True)
            p = np.where(left > 0, moved / np.maximum(left, 1.0), 0.0)  # states never met fade at once
        else:
            p = np.einsum("nsa,nast->nst", shares(visits), np.stack([kernels[i] for i in group.who]))
        size = np.sort(np.abs(np.linalg.eigvals(p)), axis=1)[:, :-1]  # without the law itself
        if size.size:
            most = float(size.max())
            lag = max(lag, min((1.0 + most) / max(1.0 - most, 1e-300), longest))
    return lag


def seen_memory(means: Floats, variances: Floats, length: int) -> float:
    """The same from stretches: what varies more between them than the most variable of as many independent columns."""
    columns = means.shape[1]
    chance = float(chdtri(len(means) - 1, 0.5 / columns)) / (len(means) - 1)
    return max(1.0, inefficiency(means, variances, length) / max(chance, 1.0))


def teach(walk: Walk, runs: AgentRuns, steps: int, met: Met | None = None) -> list[Flows]:
    """`steps` steps of all runs as the flows of each; `met` is told of the joint pairs."""
    spaces, many = runs.system.spaces, len(walk.states)
    first, sizes = Flows.layout(spaces)
    counts = np.zeros((many, int((sizes * (sizes + 1)).sum())), dtype=np.int32)
    before = walk.pairs
    for k in range(steps):
        if met is not None:
            met(k, before)
        ended = walk.step()
        after = walk.pairs
        tally(before, after, ended, first, sizes, counts)
        before = after
    return [Flows(spaces, c.astype(np.int64)) for c in counts]


def _total(parts: list[Flows]) -> Flows:
    return Flows(parts[0].spaces, np.sum([f.counts for f in parts], axis=0, dtype=np.int64))


class Begun(NamedTuple):
    """Runs that were let run in."""

    walk: Walk
    lag: float
    burn_in: int
    most: int  # steps of each run that the work may take


def begin(runs: AgentRuns, rng: np.random.Generator, count: int) -> Begun:
    """Runs that begin apart, dropped for ten times as long as the slowest agent remembers."""
    walk = runs.walk(count, rng)
    lag = memory(runs, _total(teach(walk, runs, _PILOT)))
    most = max(1000, int(tol.AGENT_STEPS / (count * runs.system.n_agents)))
    extra = min(math.ceil(10 * lag), most // 4)
    for _ in range(extra):
        walk.step()
    return Begun(walk, lag, _PILOT + extra, most)


def medians(key: Ints, law: Floats, n_keys: int) -> Floats:
    """(n_keys, A) L1 medians of laws (R, A) of equal weight by key; NaN where there are none.

    Among sure choices it is the most frequent one.
    """
    if ((law == 0.0) | (law == 1.0)).all():
        wide = law.shape[1]
        votes = np.bincount(key * wide + law.argmax(axis=1), minlength=n_keys * wide).reshape(n_keys, wide)
        q = np.eye(wide)[votes.argmax(axis=1)]
        q[votes.sum(axis=1) == 0] = np.nan
        return q
    order = np.argsort(key, kind="stable")
    starts = np.searchsorted(key[order], np.arange(n_keys + 1))
    return grouped_l1_medians(law[order], np.ones(len(key)), starts, threads=1)[0]


def _misses(runs: AgentRuns, states: Ints) -> tuple[Floats, Floats, Floats, list[Floats]]:
    """Eq. 10 along one run of joint states (K, N): in-sample and cross-fitted values (N,), sum, sum of squares and
    largest of what is missed cross-fitted (3, N), and the best local policies (S_i, A_i)."""
    assert runs.policy is not None
    laws, half = runs.policy.marginals(states), len(states) // 2
    inside, crossed = np.zeros(states.shape[1]), np.zeros(states.shape[1])
    sums, best = np.zeros((3, states.shape[1])), [np.zeros((0, 0))] * states.shape[1]
    for who, s, a in alike(runs.system.spaces):
        law = np.stack([laws[i] for i in who], axis=1)  # (K, n, A)
        key = states[:, who] + np.arange(len(who)) * s

        def fit(part: slice, law: Floats = law, key: Ints = key, n: int = len(who) * s) -> Floats:
            return medians(key[part].ravel(), law[part].reshape(-1, law.shape[2]), n)

        def miss(q: Floats, part: slice, law: Floats = law, key: Ints = key) -> Floats:
            return 0.5 * np.abs(law[part] - np.where(np.isnan(q), 1.0 / q.shape[1], q)[key[part]]).sum(axis=2)

        first, second, whole = slice(0, half), slice(half, None), slice(None)
        q = fit(whole)
        cross = np.concatenate([miss(fit(second), first), miss(fit(first), second)])
        inside[who], crossed[who] = miss(q, whole).mean(axis=0), cross.mean(axis=0)
        sums[:, who] = cross.sum(axis=0), (cross**2).sum(axis=0), cross.max(axis=0)
        for i, table in zip(who, q.reshape(-1, s, a), strict=True):
            best[i] = table
    return inside, crossed, sums, best


def entanglement_of(runs: AgentRuns, rng: np.random.Generator) -> EntanglementEstimate:
    """Prop. 7.2 of every agent by Eq. 10, from ten runs that begin apart."""
    if runs.policy is None:
        raise Unsupported("distance 'policy'", repr(runs), "a chain has no policy of its own to measure",
                          "Ask 'mu-atv' of the exact chain.")  # fmt: skip
    count, agents = _RUNS // 2, runs.system.n_agents
    walk, lag, burn_in, most = begin(runs, rng, count)
    steps = int(np.clip(math.ceil(50 * lag), 2000, most))
    kept = min(steps, max(400, 2 * 10**7 // (count * agents)))
    stride = steps // kept
    steps = stride * kept
    states = np.empty((count, kept, agents), dtype=np.int32)
    for k in range(kept):
        states[:, k] = walk.states
        for _ in range(stride):
            walk.step()
    found = in_threads(lambda r: _misses(runs, states[r].astype(np.int64)), range(count), None)
    inside, crossed, sums = (np.stack([f[j] for f in found]) for j in range(3))
    caution = too_short(lag, math.ceil(50 * lag)) if 5 * lag > steps else ""
    rare = rare_events(sums, max(lag / stride, 1.0), count * kept)
    best = [mean_where_known(np.stack([f[3][i] for f in found])) for i in range(agents)]
    best = [q[:, 1] if q.shape[1] == 2 else q.ravel() for q in best]
    return estimated(
        runs.units, inside, crossed, rare, best, steps=steps, burn_in=burn_in, replications=count, batches=0,
        caution=caution,
    )  # fmt: skip


def local_of(runs: AgentRuns, flows: Flows, gamma: float, rewards: Sequence[Floats]) -> Local:
    """Local values of every agent from its flows and rewards, and the control variate that goes with them."""
    system, none = runs.system, np.zeros(0)
    kernels = system.local_kernels if system.ends is None else None
    tables, plain, priced, weight = ([none] * system.n_agents for _ in range(4))
    for group, visits in flows.visits():
        who, s, a = group
        chance = shares(visits)
        own = None if kernels is None else np.stack([kernels[i] for i in who])
        r = np.stack([np.asarray(rewards[i]).reshape(s, a) for i in who])
        q = values(transitions(flows.of(group), own, chance), r.reshape(len(who), -1), gamma)
        for i, row in zip(who, q, strict=True):
            tables[i] = row
        if own is None:
            continue
        closed = np.einsum("nsa,nast->nst", chance, own)
        units = np.broadcast_to(np.arange(a, dtype=np.float64), r.shape)
        both = np.stack([(chance * r).sum(axis=2), (chance * units).sum(axis=2)], axis=2)
        h = np.linalg.solve(np.eye(s) - gamma * closed, both)
        varies = visits * chance * (1.0 - chance)
        for n, i in enumerate(who):
            plain[i], priced[i], weight[i] = h[n, :, 0], h[n, :, 1], varies[n]
    if kernels is None:
        zero = [np.zeros(s) for s in system.spaces.n_states]
        return Local(tables, Control(zero, [np.zeros(m) for m in system.spaces.pair_sizes]))
    price = _price(kernels, rewards, (plain, priced, weight), gamma) if system.budget is not None else 0.0
    h_all = [p - price * u for p, u in zip(plain, priced, strict=True)]
    ahead = [np.einsum("ast,t->sa", k, f).ravel() for k, f in zip(kernels, h_all, strict=True)]
    return Local(tables, Control(h_all, ahead))


def _price(
    kernels: Sequence[Floats], rewards: Sequence[Floats], alone: tuple[list[Floats], ...], gamma: float
) -> float:
    """The mean gain of one more unit where service is neither sure nor out of reach, at that price.

    `alone`: per agent values (S_i,) without a price, units used (S_i,), and how much each action varies (S_i, A_i).
    """
    gain, cost = 0.0, 0.0
    for k, r, f, u, w in zip(kernels, rewards, *alone, strict=True):
        for a in range(1, len(k)):
            step = w[:, a]
            r2 = np.asarray(r).reshape(len(w), -1)
            gain += step @ (r2[:, a] - r2[:, a - 1] + gamma * (k[a] - k[a - 1]) @ f)
            cost += step @ (1.0 + gamma * (k[a] - k[a - 1]) @ u)
    return gain / cost if cost > 0 else 0.0


class Trained(NamedTuple):
    """Runs along which every agent learned, and where they are now."""

    walk: Walk
    local: Local
    without: Floats  # (L, sum m_i) tables without one part each, about their mean, in the jackknife's scale
    lag: float
    steps: int
    most: int
    paid: Paid  # from what they learned
    visited: list[Floats]  # (m_i,) shares of the steps


def train(runs: AgentRuns, rng: np.random.Generator, gamma: float) -> Trained:
    """Let every agent learn from its own steps, in runs that begin apart."""
    walk, lag, _, most = begin(runs, rng, _RUNS)
    steps = int(np.clip(math.ceil(50 * lag), 5000, most))
    met = Met(_RUNS, runs.system.n_agents, steps) if runs.own_rewards is None else None
    parts = teach(walk, runs, steps, met)
    got, total = paid(runs, met, _RUNS), _total(parts)
    means = np.stack([np.concatenate([v.sum(axis=2).ravel() for _, v in f.visits()]) for f in parts]) / steps
    lag = max(lag, seen_memory(means, means * (1.0 - means), steps))
    rest = (Flows(runs.system.spaces, total.counts - part.counts) for part in parts)
    less = zip(rest, got.without, strict=True)
    others = np.stack([np.concatenate(local_of(runs, flows, gamma, r).tables) for flows, r in less])
    without = math.sqrt((_RUNS - 1) / _RUNS) * (others - others.mean(axis=0))
    return Trained(
        walk, local_of(runs, total, gamma, got.local), without, lag, steps, most, got, _visited(total)
    )


def _visited(flows: Flows) -> list[Floats]:
    """(m_i,) shares of the steps that each agent spent at its local pairs."""
    out = [np.zeros(0)] * flows.spaces.n_agents
    for group, visits in flows.visits():
        for i, n in zip(group.who, visits, strict=True):
            out[i] = n.ravel() / max(float(n.sum()), 1.0)
    return out


class Starts(NamedTuple):
    """Stationary joint pairs, `each` from every run in a row."""

    states: Ints  # (K, N)
    actions: Ints  # (K, N)
    each: int
    caution: str  # why they are too few or too near, or ""


def starts_of(trained: Trained, count: int) -> Starts:
    """At least `count` joint pairs of the runs, half as far apart as the slowest agent remembers if there is time."""
    walk, lag = trained.walk, trained.lag
    each, agents = -(-count // _RUNS), walk.states.shape[1]
    gap = int(np.clip(math.ceil(lag / 2), 5, max(5, trained.most // (2 * each))))
    states, actions = (np.empty((_RUNS, each, agents), dtype=np.int64) for _ in range(2))
    for k in range(each):
        for _ in range(gap):
            walk.step()
        states[:, k], actions[:, k] = walk.states, walk.actions
    short = 5 * lag > trained.steps or (gap < lag and _RUNS * each * gap < 100 * lag)
    caution = too_short(lag, math.ceil(50 * lag)) if short else ""
    return Starts(states.reshape(-1, agents), actions.reshape(-1, agents), each, caution)


def additive(tables: Sequence[Floats]) -> Callable[[Ints], Floats]:
    """`sum_i q_i(x_i)` of local pairs (n, N)."""
    first, q = flat(tables)

    def value(pairs: Ints) -> Floats:
        out = np.empty(len(pairs))
        score(pairs, first, q, out)
        return out

    return value


def roll(
    runs: AgentRuns, starts: Starts, steps: Sequence[int], gamma: float, value: Callable[[Ints], Floats],
    control: Control, rng: np.random.Generator,
) -> Rollouts:  # fmt: skip
    """The rollouts from all starts, in batches shared among threads."""
    size = max(1, _BATCH // runs.system.n_agents)
    spans = [slice(b, b + size) for b in range(0, len(starts.states), size)]
    seeds = rng.spawn(len(spans))

    def batch(cell: int) -> Rollouts:
        at = starts.states[spans[cell]], starts.actions[spans[cell]]
        return runs.rollouts(*at, steps, gamma, value, control, seeds[cell])

    found = in_threads(batch, range(len(spans)), None)
    return Rollouts(*(np.concatenate(part) for part in zip(*found, strict=True)))


def errors_of(runs: AgentRuns, rng: np.random.Generator, count: int = 4000) -> ErrorEstimate:
    """Errors of local values that every agent learns from its own steps, by double sampling from stationary starts."""
    gamma = runs.discount
    if gamma is None:
        raise Unsupported(
            "values", "no discount", "values are sums with discount", "Give the system a discount."
        )
    trained = train(runs, rng, gamma)
    starts, local = starts_of(trained, count), trained.local
    k = default_steps(gamma)
    found = roll(runs, starts, (k,), gamma, additive(local.tables), local.control, rng)
    pairs = runs.system.spaces.local_pairs(starts.states, starts.actions)
    sizes = np.cumsum(runs.system.spaces.pair_sizes)[:-1]
    # the constant is fitted where E_mu D = E_mu Q; the split of a shared reward may leave a mean
    got, size = trained.paid, np.var if trained.paid.shared is None else _square
    noise = math.sqrt(sum(float(size(additive(np.split(row, sizes))(pairs))) for row in trained.without))
    out = np.column_stack([found.g[:, :, 0], found.value]).reshape(_RUNS, starts.each, 3)
    learned = _RUNS * trained.steps
    shift = None if got.shared is None else 0.0
    e = summarise(runs, OWN_STEPS, local.tables, shift, k, 1, gamma, out, noise, learned, starts.caution)
    return replace(
        e, visited=trained.visited, shared=got.shared, shared_interval=got.interval, split_pairs=got.pairs
    )


def _square(f: Floats) -> Any:
    return (f**2).mean()


def certified_of(
    runs: AgentRuns, candidate: Any, ks: list[int], count: int, control: str, rng: np.random.Generator
) -> tuple[dict[int, ErrorEstimate], dict[int, float]]:
    """Errors of a candidate by double sampling, for each number of steps; the constant is the candidate's own."""
    gamma = runs.discount
    assert gamma is not None
    sizes = runs.system.spaces.pair_sizes
    given = read_candidate(candidate, sizes)
    tables, constant = ([np.full(m, math.nan) for m in sizes], 0.0) if callable(given) else given
    of_pairs = given if callable(given) else additive(tables)
    trained = train(runs, rng, gamma)
    starts = starts_of(trained, count)
    found = roll(
        runs, starts, ks, gamma, lambda x: finite(of_pairs(x) + constant), trained.local.control, rng
    )
    estimates, ratio = {}, {}
    for j, k in enumerate(ks):
        sums = (np.column_stack([g[:, :, j], found.value]) for g in (found.g, found.plain))
        with_, without = (
            summarise(
                runs,
                "given",
                tables,
                0.0,
                k,
                1,
                gamma,
                out.reshape(_RUNS, starts.each, 3),
                0.0,
                None,
                starts.caution,
            )
            for out in sums
        )
        estimates[k] = with_ if control == "auto" else without
        ratio[k] = gain(with_, without)
    return estimates, ratio


def worth_of(runs: AgentRuns, rng: np.random.Generator) -> tuple[float, float, str]:
    """Reward of all agents per step, half the width of its interval, and the estimator."""
    count = _RUNS // 2
    walk, lag, _, most = begin(runs, rng, count)
    steps = int(np.clip(math.ceil(50 * lag), 2000, most))
    total = np.zeros(count)
    for pairs, _ in walk.chunks(steps):
        total += np.stack([runs.rewards(p[:-1]).sum() for p in pairs])
    mean, _, half = t_interval(total / steps)
    return float(mean), float(half), f"{count} replications of {steps:,} steps, 95 % t-interval"
