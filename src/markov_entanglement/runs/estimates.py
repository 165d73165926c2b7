"""The whole answer for agents that are stepped: entanglement, errors of local values, worth, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import chdtri

from .. import _tolerance as tol
from .._check import Floats, Ints, unit_of
from .._interval import inefficiency, t_interval
from .._work import in_threads
from ..errors import TooLarge, Unsupported, gib
from ..measures.median import grouped_l1_medians
from .candidate import candidate_of, finite
from .certify import Certified, brackets
from .decisions import DecisionEstimate, of_agents, spread
from .engine import Control, Rollouts, collect, flat, score, tally
from .entanglement import EntanglementEstimate, estimated, fitted, mean_where_known, rare_events
from .errors import OWN_STEPS, ErrorEstimate, default_steps, summarise
from .floor import sampled
from .flows import Flows, alike, shares, transitions, values
from .next_pairs import Laws, known_ahead, next_pairs
from .shared import Met, Paid, paid

if TYPE_CHECKING:
    from .agents import AgentRuns, Walk

#: Runs side by side.
RUNS = 20
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
    lag, kernels, longest = 1.0, runs.system.own_laws, float(flows.counts.sum())
    for group, visits in flows.visits():
        if kernels is None:
            s, a = group.states, group.actions
            table = flows.of(group)
            moved = table[:, :, :-1].reshape(-1, s, a, s, a).sum(axis=(2, 4)).astype(np.float64)
            ended = table[:, :, -1].reshape(-1, s, a).sum(axis=2)
            # the next task begins where more leaves than arrives
            begun = np.maximum(moved.sum(axis=2) + ended - moved.sum(axis=1), 0.0)
            begun /= np.maximum(begun.sum(axis=1, keepdims=True), 1.0)
            moved += ended[:, :, None] * begun[:, None, :]
            left = moved.sum(axis=2, keepdims=True)
            p = np.where(left > 0, moved / np.maximum(left, 1.0), 0.0)  # states never met fade at once
            ends = bool(ended.any())
        else:
            p, ends = (
                np.einsum("nsa,nast->nst", shares(visits), np.stack([kernels[i] for i in group.who])),
                False,
            )
        found = np.linalg.eigvals(p)
        # tasks that last equally long come back in step, which is no memory: see `Walk.pick`
        found = np.maximum(np.abs(1.0 + found) - 1.0, 0.0) if ends else np.abs(found)
        size = np.sort(found, axis=1)[:, :-1]  # without the law itself
        if size.size:
            most = float(size.max())
            apart = 1.0 - most > tol.FLOOR and kernels is not None
            lag = max(
                lag, (1.0 + most) / (1.0 - most) if apart else min(2.0 / max(1.0 - most, 1e-300), longest)
            )
    return lag


def seen_memory(means: Floats, variances: Floats, length: int) -> float:
    """The same from stretches: what varies more between them than the most variable of as many independent columns."""
    columns = means.shape[1]
    chance = float(chdtri(len(means) - 1, 0.5 / columns)) / (len(means) - 1)
    return max(1.0, inefficiency(means, variances, length) / max(chance, 1.0))


def teach(walk: Walk, runs: AgentRuns, steps: int) -> tuple[list[Flows], Met | None]:
    """`steps` steps of all runs as the flows of each, and the joint pairs met where one reward is shared."""
    spaces, many = runs.system.spaces, len(walk.states)
    first, sizes = Flows.layout(spaces)
    cells = int((sizes * (sizes + 1)).sum())
    if 4 * many * cells > tol.BYTES:
        got = f"{gib(4 * many * cells)} of counts of moves between up to {sizes.max():,} local pairs in {many} runs"
        raise TooLarge("local values", got, gib(tol.BYTES), "Take coarser local states.")
    counts = np.zeros((many, cells), dtype=np.int32)
    own = np.zeros((many, int(sizes.sum())))
    met: Met | None = None
    recorded, done = runs.engine.recorded, 0
    for stretch in walk.chunks(steps):
        tally(stretch.pairs, stretch.ended, stretch.cut, first, sizes, counts)
        if recorded and (earned := runs.engine.earned(stretch)).size:
            if earned.shape[2] == spaces.n_agents:
                collect(stretch.pairs, earned, stretch.cut, np.cumsum(sizes) - sizes, own)
            else:
                met = met or Met(many, spaces.n_agents, steps)
                met(done, stretch.pairs, earned[..., 0])
        recorded = recorded and earned.size > 0
        done += stretch.ended.shape[1]
    each = own if recorded and met is None else [None] * many
    return [Flows(spaces, c.astype(np.int64), p) for c, p in zip(counts, each, strict=True)], met


class Begun(NamedTuple):
    """Runs that were let run in."""

    walk: Walk
    lag: float
    burn_in: int
    most: int  # steps of each run that the work may take


def begin(runs: AgentRuns, rng: np.random.Generator, count: int) -> Begun:
    """Runs that begin apart, dropped for ten times as long as the slowest agent remembers."""
    walk = runs.walk(count, rng)
    lag = memory(runs, reduce(add, teach(walk, runs, _PILOT)[0]))
    most = max(1000, int(tol.AGENT_STEPS / (count * runs.system.n_agents)))
    extra = min(math.ceil(10 * lag), most // 4)
    walk.skip(extra)
    return Begun(walk, lag, _PILOT + extra, most)


def _afford(runs: AgentRuns, question: str, decisions: int) -> None:
    """Refuse a question whose decisions are too dear."""
    if runs.policy is not None and runs.policy.dear(decisions):
        raise runs.policy.too_dear(question, decisions)


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


def _policies(runs: AgentRuns, pairs: Ints) -> Iterator[Laws]:
    """Laws of the actions of all agents, keyed by their states, at joint pairs (K, N) of local pairs."""
    assert runs.policy is not None
    actions = np.array(runs.system.spaces.n_actions)
    laws, read = runs.policy.marginals(pairs // actions), runs.view.pairs(pairs) // actions
    for who, s, _ in alike(runs.view.spaces):
        yield Laws(who, read[:, who], s, np.stack([laws[i] for i in who], axis=1))


def misses(found: Iterator[Laws], agents: int) -> tuple[Floats, Floats, Floats, list[Floats]]:
    """Eq. 10 along one run: in-sample and cross-fitted values (N,), sum, sum of squares and largest of what is missed
    cross-fitted (3, N), and the best local laws (keys, L)."""
    inside, crossed, sums = np.zeros(agents), np.zeros(agents), np.zeros((3, agents))
    best = [np.zeros((0, 0))] * agents
    for who, key, keys, law in found:
        key = key + np.arange(len(who)) * keys

        def fit(part: slice, law: Floats = law, key: Ints = key, n: int = len(who) * keys) -> Floats:
            return medians(key[part].ravel(), law[part].reshape(-1, law.shape[2]), n)

        def miss(q: Floats, part: slice, law: Floats = law, key: Ints = key) -> Floats:
            return 0.5 * np.abs(law[part] - np.where(np.isnan(q), 1.0 / q.shape[1], q)[key[part]]).sum(axis=2)

        own, cross, q = fitted(len(key), fit, miss)
        inside[who], crossed[who] = own.mean(axis=0), cross.mean(axis=0)
        sums[:, who] = cross.sum(axis=0), (cross**2).sum(axis=0), cross.max(axis=0)
        for i, table in zip(who, q.reshape(len(who), keys, -1), strict=True):
            best[i] = table
    return inside, crossed, sums, best


def entanglement_of(
    runs: AgentRuns, rng: np.random.Generator, distance: str = "policy"
) -> EntanglementEstimate:
    """Prop. 7.2, or Eq. 7 ("mu-atv"), of every agent by Eq. 10, from ten runs that begin apart."""
    if distance == "mu-atv":
        known_ahead(runs)
    elif runs.policy is None:
        raise Unsupported("distance 'policy'", repr(runs), "a chain has no policy of its own to measure",
                          "Ask 'mu-atv' of the exact chain.")  # fmt: skip
    laws, most_pairs = (next_pairs, 10**6) if distance == "mu-atv" else (_policies, 2 * 10**7)
    count, agents = RUNS // 2, runs.system.n_agents
    _afford(runs, f"distance {distance!r}", 2000 * count)
    walk, lag, burn_in, most = begin(runs, rng, count)
    steps = int(np.clip(math.ceil(50 * lag), 2000, most))
    _afford(runs, f"distance {distance!r}", steps * count)
    kept = min(steps, max(400, most_pairs // (count * agents)))
    stride = steps // kept
    steps = stride * kept
    pairs = np.empty((count, kept, agents), dtype=np.int32)
    for k in range(kept):
        pairs[:, k] = walk.pick(stride)
    found = in_threads(lambda r: misses(laws(runs, pairs[r].astype(np.int64)), agents), range(count), None)
    inside, crossed, sums = (np.stack([f[j] for f in found]) for j in range(3))
    caution = too_short(lag, math.ceil(50 * lag)) if 5 * lag > steps else ""
    rare = rare_events(sums, max(lag / stride, 1.0), count * kept)
    best = [mean_where_known(np.stack([f[3][i] for f in found])) for i in range(agents)]
    best = [q[:, 1] if q.shape[1] == 2 and distance == "policy" else q.ravel() for q in best]
    return estimated(
        runs.units, inside, crossed, rare, best, steps=steps, burn_in=burn_in, replications=count, batches=0,
        caution=caution, distance=distance,
    )  # fmt: skip


def tables_of(runs: AgentRuns, flows: Flows, gamma: float, rewards: Sequence[Floats]) -> list[Floats]:
    """Local values of every agent from its flows and rewards."""
    rewards, flows = runs.view.means(flows, rewards), runs.view.flows(flows)
    kernels, tables = runs.view.kernels, [np.zeros(0)] * runs.system.n_agents
    for group, visits in flows.visits():
        own = None if kernels is None else np.stack([kernels[i] for i in group.who])
        r = np.stack([np.ravel(rewards[i]) for i in group.who])
        q = values(transitions(flows.of(group), own, shares(visits)), r, gamma)
        for i, row in zip(group.who, q, strict=True):
            tables[i] = row
    return tables


class Trained(NamedTuple):
    """Runs along which every agent learned, and where they are now."""

    walk: Walk
    parts: list[Flows]  # of each run
    local: Local
    lag: float
    steps: int
    most: int
    paid: Paid  # from what they learned


def train(runs: AgentRuns, rng: np.random.Generator, gamma: float, after: int) -> Trained:
    """Let every agent learn from its own steps, in runs that begin apart; `after`: decisions that follow."""
    _afford(runs, "errors of values", RUNS * 5000 + after)
    walk, lag, _, most = begin(runs, rng, RUNS)
    steps = int(np.clip(math.ceil(50 * lag), 5000, most))
    _afford(runs, "errors of values", RUNS * steps + after)
    return learned_from(runs, walk, *teach(walk, runs, steps), lag, steps, most, gamma)


def longer(runs: AgentRuns, trained: Trained, times: float, gamma: float) -> Trained:
    """The same runs so many times as long, if that may be."""
    steps = int(min(math.ceil(times * trained.steps), trained.most))
    more, met = teach(trained.walk, runs, max(steps - trained.steps, 0))
    parts = [a + b for a, b in zip(trained.parts, more, strict=True)]
    return learned_from(runs, trained.walk, parts, met, trained.lag, steps, trained.most, gamma)


def learned_from(
    runs: AgentRuns,
    walk: Walk,
    parts: list[Flows],
    met: Met | None,
    lag: float,
    steps: int,
    most: int,
    gamma: float,
) -> Trained:
    total = reduce(add, parts)
    got = paid(runs, parts, total, met)
    means = np.stack([np.concatenate([v.sum(axis=2).ravel() for _, v in f.visits()]) for f in parts]) / steps
    lag = max(lag, seen_memory(means, means * (1.0 - means), steps))
    tables = tables_of(runs, total, gamma, got.local)
    local = Local(tables, runs.control(total, gamma, got.local, tables))
    return Trained(walk, parts, local, lag, steps, most, got)


def without_each(runs: AgentRuns, trained: Trained, gamma: float) -> Floats:
    """(R, sum m_i) tables without each run, about their mean, in the scale of the jackknife."""
    total = reduce(add, trained.parts)
    rest = zip(trained.parts, trained.paid.without(), strict=True)
    found = np.stack([np.concatenate(tables_of(runs, total - part, gamma, r)) for part, r in rest])
    return np.asarray(math.sqrt((len(found) - 1) / len(found)) * (found - found.mean(axis=0)))


class Starts(NamedTuple):
    """Stationary joint pairs, `each` from every run in a row."""

    states: Ints  # (K, N)
    actions: Ints  # (K, N)
    each: int
    gap: int
    caution: str  # why they are too few or too near, or ""


def starts_of(trained: Trained, count: int, gap: int | None = None) -> Starts:
    """At least `count` joint pairs of the runs, half as far apart as the slowest agent remembers if there is time."""
    walk, lag = trained.walk, trained.lag
    each, agents = -(-count // RUNS), walk.states.shape[1]
    if gap is None:
        gap = int(np.clip(math.ceil(lag / 2), 5, max(5, trained.most // (2 * each))))
    pairs = np.empty((RUNS, each, agents), dtype=np.int64)
    for k in range(each):
        pairs[:, k] = walk.pick(gap)
    states, actions = walk.engine.system.spaces.split(pairs.reshape(-1, agents))
    short = 5 * lag > trained.steps or (gap < lag and RUNS * each * gap < 100 * lag)
    caution = too_short(lag, math.ceil(50 * lag)) if short else ""
    return Starts(states, actions, each, gap, caution)


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

    alone = 1 if runs.system.only_steps else None  # his function need not bear two calls at once
    found = in_threads(batch, range(len(spans)), alone)
    return Rollouts(*(np.concatenate(part) for part in zip(*found, strict=True)))


def discount_of(runs: AgentRuns) -> float:
    """The discount of values that are asked for; refused, before anything runs, where there are no values."""
    if runs.discount is None:
        raise Unsupported(
            "values", "no discount", "values are sums with discount", "Give the system a discount."
        )
    if not runs.system.only_steps:
        runs.own_rewards  # noqa: B018
    return runs.discount


def errors_of(
    runs: AgentRuns, rng: np.random.Generator, count: int = 4000, tolerance: float | None = None
) -> ErrorEstimate:
    """Errors of local values that every agent learns from its own steps, by double sampling from stationary starts.

    Where these leave it open whether `unexplained` is within a tolerance, all is done again, once, with as many steps
    and starts as that takes by the variance met.
    """
    gamma = discount_of(runs)
    k = default_steps(gamma)

    def once(trained: Trained, starts: Starts) -> ErrorEstimate:
        value = additive(runs.view.wide(trained.local.tables))
        found = roll(runs, starts, (k,), gamma, value, trained.local.control, rng)
        return judged(runs, trained, starts, found, k, gamma, tolerance)

    trained = train(runs, rng, gamma, 2 * count * k)
    starts = starts_of(trained, count)
    found = once(trained, starts)
    if not runs.costly and (times := found.growth(runs.system.n_agents)) > 1.0:
        if found.shared is None:
            trained = longer(runs, trained, times, gamma)
        found = once(trained, starts_of(trained, math.ceil(times * count), starts.gap))
    return found


def judged(
    runs: AgentRuns,
    trained: Trained,
    starts: Starts,
    found: Rollouts,
    k: int,
    gamma: float,
    tolerance: float | None,
    clocked: Floats | None = None,
) -> ErrorEstimate:
    """Errors of what was learned, from rollouts of k steps; `clocked` (R, m, 2): see `summarise`."""
    out, left = sums_at(found, starts), left_out(runs, trained, starts, gamma)
    return learned_errors(
        runs, trained, trained.local.tables, left, starts, out, k, gamma, tolerance, clocked
    )


def sums_at(found: Rollouts, starts: Starts) -> Floats:
    """(R, m, 3) two sums from each start of every run, and D there."""
    return np.column_stack([found.g[:, :, 0], found.value]).reshape(RUNS, starts.each, 3)


def left_out(runs: AgentRuns, trained: Trained, starts: Starts, gamma: float) -> Floats:
    """(R, K) sums of local values without each run at the starts, as in `without_each`."""
    pairs = runs.view.pairs(runs.system.spaces.local_pairs(starts.states, starts.actions))
    sizes = np.cumsum(runs.view.spaces.pair_sizes)[:-1]
    without = without_each(runs, trained, gamma)
    return np.stack([additive(np.split(row, sizes))(pairs) for row in without])


def learned_errors(
    runs: AgentRuns, trained: Trained, tables: Sequence[Floats], left: Floats, starts: Starts, out: Floats, k: int,
    gamma: float, tolerance: float | None = None, clocked: Floats | None = None,
) -> ErrorEstimate:  # fmt: skip
    """Errors of learned tables (m_i,) from sums `out` (R, m, 3); `left` (R, K): see `left_out`; `clocked` (R, m, 2):
    see `summarise`."""
    got = trained.paid
    # the constant is fitted where E_mu D = E_mu Q; the split of a shared reward may leave a mean
    size, shift = (np.var, None) if got.shared is None else (_square, 0.0)
    unit = unit_of(left)  # squares stay finite whatever the unit of the rewards
    noise = unit * math.sqrt(sum(float(size(f)) for f in left / unit))
    e = summarise(runs, OWN_STEPS, tables, shift, k, 1, gamma, out, noise, RUNS * trained.steps, starts.caution,
                  starts.gap, tolerance, clocked=clocked)  # fmt: skip
    seen = _visited(runs.view.flows(reduce(add, trained.parts)))
    e = replace(e, visited=seen, shared=got.shared, shared_interval=got.interval, split_pairs=got.pairs)
    if runs.view.kernels is not None:
        return e
    known = [np.where(share > 0.0, q, math.nan) for q, share in zip(tables, seen, strict=True)]
    return replace(e, local_q=known, completed=tables)


def _visited(flows: Flows) -> list[Floats]:
    """(m_i,) shares of the steps that each agent spent at its local pairs."""
    out = [np.zeros(0)] * flows.spaces.n_agents
    for group, visits in flows.visits():
        for i, n in zip(group.who, visits, strict=True):
            out[i] = n.ravel() / max(float(n.sum()), 1.0)
    return out


def _square(f: Floats) -> Any:
    return (f**2).mean()


def certified_of(
    runs: AgentRuns, candidate: Any, ks: list[int], count: int, control: str, rng: np.random.Generator
) -> Certified:
    """Errors of a candidate by double sampling, for each number of steps; the constant is the candidate's own."""
    gamma = runs.discount
    assert gamma is not None
    view = runs.view
    given = candidate_of(candidate, view.spaces.pair_sizes)
    wide = given.on(view)
    trained = train(runs, rng, gamma, 2 * count * ks[-1])
    starts = starts_of(trained, count)
    found = roll(runs, starts, ks, gamma, lambda x: finite(wide.of_pairs(x)), trained.local.control, rng)
    shape = RUNS, starts.each
    left, plain, value = (a.reshape(*shape, *a.shape[1:]) for a in found)
    estimates, ratio = brackets(runs, given, ks, gamma, left, plain, value, control, starts.caution)
    pairs = view.pairs(runs.system.spaces.local_pairs(starts.states, starts.actions))
    g = (left if control == "auto" else plain)[..., -1]
    actions = runs.system.spaces.n_actions
    alone = [np.repeat(h, a) for h, a in zip(trained.local.control.h, actions, strict=True)]
    learned = trained.local.tables, view.means(reduce(add, trained.parts), alone)
    sample = sampled(g, value, pairs, view.spaces.pair_sizes, learned, given.additive)

    def judge(states: int, budget: float, child: np.random.Generator) -> DecisionEstimate:
        chosen = spread(starts.states.reshape(*shape, -1), states)
        return of_agents(runs, wide, chosen, RUNS, budget, child)

    return Certified(estimates, ratio, sample, given.noise, judge)


def worth_of(runs: AgentRuns, rng: np.random.Generator) -> tuple[float, float, str]:
    """Reward of all agents per step, half the width of its interval, and the estimator."""
    count = RUNS // 2
    walk, lag, _, most = begin(runs, rng, count)
    least = 500 if runs.costly else 2000
    steps = int(np.clip(math.ceil(50 * lag), least, most))
    total = np.zeros(count)
    for stretch in walk.chunks(steps):
        total += runs.engine.earned(stretch).sum(axis=(1, 2))
    mean, _, half = t_interval(total / steps)
    how = f"{count} replications of {steps:,} steps, 95 % t-interval"
    if 5 * lag > steps:
        return float(mean), math.inf, f"{how}; {too_short(lag, math.ceil(50 * lag))}"
    return float(mean), float(half), how
