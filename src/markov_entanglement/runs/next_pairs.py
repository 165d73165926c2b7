"""What an agent does next, given the joint pair now: the laws behind Eq. 7 where agents move on kernels of their own.

The law of agent i's next pair given all pairs `x` is `K_i(s'|x_i) E[pi_i(a'|s') | x, s_i' = s']`, the mean over the
next states of the others, which are independent given x. A policy of each agent's own needs no mean. By priority on a
budget M agent i is served iff fewer than M others outrank it: a sum of independent indicators, one for each agent,
whose chances change with the class of `s'`. Equal priorities are served uniformly, as if each agent drew a number `u`
and the lower ones went first; given u the indicators are independent again, and the chance is a polynomial in u, so
that Gauss nodes integrate it exactly (the part of u where it is not 0 or 1 to rounding).

Classes are halved again and again. Before a half is entered, the agents that no longer change within it are convolved
into the law of the count: chances are only ever added and multiplied, so nothing cancels. What is above M - 1 never
matters again and is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._check import Floats, Ints
from .._compiled import compiled
from ..errors import Unsupported
from ..model.bound_policy import BudgetIndex
from .engine import flat
from .flows import alike

if TYPE_CHECKING:
    from .agents import AgentRuns

#: A tail of a sum of independent indicators below exp(-_SURE) is rounding; so is a chance below _LEAST.
_SURE, _LEAST, _NOTHING = 36.8, 1e-22, 1e-15
#: Most Gauss nodes of one class of equal priorities.
_NODES = 64


class Race(NamedTuple):
    """Who may outrank whom: entry (i, class) of agents i that have a state of that class, by class."""

    agent: Ints  # (E,)
    level: Ints  # (E,) class, 0 is served first
    entry: Ints  # (sum S_i,) entry of each local state
    state: Ints  # (N,) where the local states of agent i begin
    pair: Ints  # (N,) where the laws of agent i begin: row of pair x at `pair[i] + x S_i`
    law: Floats
    budget: int
    nodes: Floats  # (_NODES + 1, _NODES) of n nodes in row n, on 0..1
    weights: Floats


def race(policy: BudgetIndex, kernels: tuple[Floats, ...]) -> Race:
    """The race of agents with these kernels (2, S_i, S_i) under a policy by priority."""
    state, level = flat(policy.ranks)
    agent = np.repeat(np.arange(len(policy.ranks)), [len(r) for r in policy.ranks])
    found, entry = np.unique(np.stack([level, agent]), axis=1, return_inverse=True)
    pair, law = flat([k.transpose(1, 0, 2) for k in kernels])
    nodes, weights = np.zeros((2, _NODES + 1, _NODES))
    for n in range(1, _NODES + 1):
        x, w = np.polynomial.legendre.leggauss(n)
        nodes[n, :n], weights[n, :n] = 0.5 * (x + 1.0), 0.5 * w
    return Race(found[1], found[0], entry.reshape(-1), state, pair, law, policy.budget, nodes, weights)


@compiled
def _reach(variance):  # type: ignore[no-untyped-def]
    """How far a sum of independent indicators strays from its mean, but for rounding (Bernstein)."""
    t = _SURE / 3.0
    return t + math.sqrt(t * t + 2.0 * _SURE * variance)


@compiled
def _add(f, span, p, top):  # type: ignore[no-untyped-def]
    """One more indicator of chance p: f[k] is the chance of `span[0] + k`, k < span[1]; counts from `top` drop out."""
    if p <= 0.0:
        return
    n = span[1]
    if p >= 1.0:
        span[0] += 1
    else:
        q, before = 1.0 - p, 0.0
        f[n] = 0.0
        for k in range(n + 1):
            here = f[k]
            f[k] = here * q + before * p
            before = here
        n += 1
    n = min(n, top - span[0])
    while n > 0 and f[n - 1] < _LEAST:
        n -= 1
    if n > 0 and f[0] < _LEAST:
        low = 0
        while f[low] < _LEAST:
            low += 1
        for k in range(n - low):
            f[k] = f[k + low]
        span[0] += low
        n -= low
    span[1] = max(n, 0)


@compiled
def _copy(f, span, to):  # type: ignore[no-untyped-def]
    """The law of depth `to - 1` again at depth `to`."""
    span[to, 0], span[to, 1] = span[to - 1, 0], span[to - 1, 1]
    for b in range(span[to, 1]):
        f[to, b] = f[to - 1, b]


@compiled
def _tied(begin, end, below, width, f, span, u, top, stack, share):  # type: ignore[no-untyped-def]
    """Add to `share` of each entry begin..end its chance at number `u` among equals; the law of all others is f[0]."""
    stack[0] = begin, end, 0, 0
    most = 1
    while most > 0:
        most -= 1
        lo, hi, depth, half = stack[most]
        if depth > 0:
            _copy(f, span, depth)
            first, last = (hi, hi + half) if half > 0 else (lo + half, lo)
            for e in range(first, last):
                _add(f[depth], span[depth], below[e] + u * width[e], top)
        if hi - lo == 1:
            share[lo] = f[depth, : span[depth, 1]].sum()
            continue
        middle = (lo + hi) // 2
        stack[most] = middle, hi, depth + 1, lo - middle
        stack[most + 1] = lo, middle, depth + 1, hi - middle
        most += 2


@compiled
def _equals(begin, end, below, width, mean, variance, f, span, race, stack, share, out):  # type: ignore[no-untyped-def]
    """Chances `out` of the entries begin..end of one class; `mean` and `variance` of the count of all above it."""
    size, top = end - begin, race.budget
    rest, rise = variance, 0.0
    for e in range(begin, end):
        rest -= below[e] * (1.0 - below[e])
        rise += width[e]
    low, high = 0.0, 1.0
    if size > 2 * _NODES - 2:  # more than the nodes are exact for
        for side in range(2):
            a, b = (0.0, 1.0) if side == 0 else (low, 1.0)
            for _ in range(30):
                u = 0.5 * (a + b)
                spread = max(rest, 0.0)
                for e in range(begin, end):
                    p = below[e] + u * width[e]
                    spread += p * (1.0 - p)
                if side == 0:
                    a, b = (u, b) if top - mean - u * rise >= _reach(spread) else (a, u)
                else:
                    a, b = (a, u) if mean + u * rise - top >= _reach(spread) else (u, b)
            low, high = (a, 1.0) if side == 0 else (low, b)
    n = min(size // 2 + 1, _NODES)
    a, k = 0, n
    while a < k:  # chances fall with u: the first node at which one is not 1
        middle = (a + k) // 2
        u = low + (high - low) * race.nodes[n, middle]
        _tied(begin, end, below, width, f, span, u, top, stack, share)
        a, k = (middle + 1, k) if share[begin:end].min() > 1.0 - _NOTHING else (a, middle)
    out[begin:end] = low + (high - low) * race.weights[n, :k].sum()
    while k < n:
        u = low + (high - low) * race.nodes[n, k]
        _tied(begin, end, below, width, f, span, u, top, stack, share)
        for e in range(begin, end):
            out[e] += (high - low) * race.weights[n, k] * share[e]
        k = n if share[begin:end].max() < _NOTHING else k + 1


@compiled
def _entries(pairs, sizes, race, which, agent, level, below, width, before, after, last):  # type: ignore[no-untyped-def]
    """The entries that can be reached from one joint pair (N,), by class: their number. `below` is the chance that the
    agent comes to a higher class, `width` to this one; `before` and `after` are its neighbouring classes, -1 and beyond
    all where there are none.
    """
    chance = np.zeros(len(race.agent))
    for i in range(len(pairs)):
        row = race.pair[i] + pairs[i] * sizes[i]
        for s in range(sizes[i]):
            chance[race.entry[race.state[i] + s]] += race.law[row + s]
    n = 0
    last[:] = -1
    for e in range(len(chance)):
        if chance[e] > 0.0:
            i = race.agent[e]
            which[n], agent[n], level[n], width[n] = e, i, race.level[e], chance[e]
            below[n], before[n], after[n] = 0.0, -1, np.iinfo(np.int64).max
            if last[i] >= 0:
                k = last[i]
                below[n], before[n], after[k] = below[k] + width[k], level[k], level[n]
            last[i] = n
            n += 1
    for i in range(len(pairs)):
        k = last[i]
        width[k] = 1.0 - below[k]  # exactly all of it is there, in the end
    return n


@compiled
def _open(n, level, below, width, budget, means, variances, chance):  # type: ignore[no-untyped-def]
    """Where each class begins, and the first and last class whose chance is not 0 or 1; the others are filled in."""
    edges = np.empty(n + 1, np.int64)
    classes, mean, variance = 0, 0.0, 0.0
    for e in range(n):
        if e == 0 or level[e] != level[e - 1]:
            edges[classes], means[classes], variances[classes] = e, mean, variance
            classes += 1
        up = below[e] + width[e]
        mean += width[e]
        variance = max(variance + up * (1.0 - up) - below[e] * (1.0 - below[e]), 0.0)
    edges[classes], means[classes], variances[classes] = n, mean, variance
    first, last = classes, -1
    for c in range(classes):
        sure = budget - means[c + 1] >= _reach(variances[c + 1])
        chance[edges[c] : edges[c + 1]] = 1.0 if sure else 0.0
        if not sure and means[c] - budget < _reach(variances[c]):
            first, last = min(first, c), c
    return edges, first, last


@compiled
def served(pairs, sizes, race, out):  # type: ignore[no-untyped-def]
    """Fill `out` (K, sum S_i): chance that agent i is served next in state s', given the joint pairs (K, N) now."""
    entries, agents, top = len(race.agent), len(sizes), race.budget
    which, agent, level = (
        np.empty(entries, np.int64),
        np.empty(entries, np.int64),
        np.empty(entries, np.int64),
    )
    before, after, last = np.empty(entries, np.int64), np.empty(entries, np.int64), np.empty(agents, np.int64)
    below, width, share, chance = np.empty(entries), np.empty(entries), np.empty(entries), np.empty(entries)
    means, variances, whole = np.empty(entries + 1), np.empty(entries + 1), np.zeros(entries)
    deep = 3 + math.ceil(math.log2(entries + 1.0))
    f, g = np.zeros((deep, top + 2)), np.zeros((deep, top + 2))
    span, ties = np.zeros((deep, 2), np.int64), np.zeros((deep, 2), np.int64)
    stack, inner = np.empty((2 * deep, 4), np.int64), np.empty((2 * deep, 4), np.int64)
    for r in range(len(pairs)):
        n = _entries(pairs[r], sizes, race, which, agent, level, below, width, before, after, last)
        edges, first, final = _open(n, level, below, width, top, means, variances, chance)
        most = 0
        if final >= 0:
            f[0, 0], span[0, 0], span[0, 1] = 1.0, 0, min(1, top)
            stop = level[edges[final]]
            for e in range(edges[first]):
                if after[e] > stop:
                    _add(f[0], span[0], below[e] + width[e], top)
            stack[0] = first, final + 1, 0, 0
            most = 1
        while most > 0:
            most -= 1
            lo, hi, depth, half = stack[most]
            begin, end = edges[lo], edges[hi]
            if depth > 0:
                _copy(f, span, depth)
            if half > 0:  # agents that can only come to lower classes than these
                for e in range(end, edges[hi + half]):
                    if before[e] < level[begin]:
                        _add(f[depth], span[depth], below[e], top)
            elif half < 0:  # agents that cannot come to lower ones than those above
                for e in range(edges[lo + half], begin):
                    if after[e] > level[end - 1]:
                        _add(f[depth], span[depth], below[e] + width[e], top)
            if hi - lo > 1:
                middle = (lo + hi) // 2
                stack[most] = middle, hi, depth + 1, lo - middle
                stack[most + 1] = lo, middle, depth + 1, hi - middle
                most += 2
            elif end - begin == 1:
                chance[begin] = f[depth, : span[depth, 1]].sum()
            else:
                ties[0, 0], ties[0, 1] = span[depth, 0], span[depth, 1]
                for b in range(span[depth, 1]):
                    g[0, b] = f[depth, b]
                _equals(
                    begin, end, below, width, means[lo], variances[lo], g, ties, race, inner, share, chance
                )
        for e in range(n):
            whole[which[e]] = chance[e]
        for c in range(len(race.entry)):
            out[r, c] = whole[race.entry[c]]


class Laws(NamedTuple):
    """What some agents of equal sizes do next, at K joint pairs."""

    who: Ints  # (n,) which agents
    key: Ints  # (K, n) what the local model may read, in 0..keys-1
    keys: int
    law: Floats  # (K, n, L)


def next_pairs(runs: AgentRuns, pairs: Ints) -> Iterator[Laws]:
    """Laws of the next pairs of all agents, keyed by their pairs now, at joint pairs (K, N) of local pairs."""
    kernels, policy, spaces = runs.system.local_kernels, runs.policy, runs.system.spaces
    assert kernels is not None and policy is not None
    place, table = np.cumsum(spaces.n_states) - spaces.n_states, np.zeros((len(pairs), 0))
    if isinstance(policy, BudgetIndex):
        table = np.empty((len(pairs), sum(spaces.n_states)))
        served(pairs, np.array(spaces.n_states), race(policy, kernels), table)
    for who, s, a in alike(spaces):
        moves = np.stack([kernels[i].transpose(1, 0, 2).reshape(s * a, s) for i in who])
        moves = moves[np.arange(len(who)), pairs[:, who]]  # (K, n, S)
        if isinstance(policy, BudgetIndex):
            chance = table[:, place[who][:, None] + np.arange(s)]
            does = np.stack([1.0 - chance, chance], axis=3)
        else:
            states = np.repeat(np.arange(s)[:, None], spaces.n_agents, axis=1)
            does = np.stack(
                [policy.marginals(np.minimum(states, np.array(spaces.n_states) - 1))[i] for i in who]
            )
        law = (moves[..., None] * does).reshape(len(pairs), len(who), s * a)
        yield Laws(who, pairs[:, who], s * a, law)


def known_ahead(runs: AgentRuns) -> None:
    """Refuse what has no law of next pairs: agents that do not move on their own, policies whose mean is not known."""
    asks = "Ask 'policy' (Prop. 7.2) for limits from above, or the exact chain of a smaller system."
    if runs.policy is None or runs.engine.moves is None or runs.system.ends is not None:
        rule = "the law of a next pair is known from a joint pair alone where agents move on kernels of their own"
        helps = (
            "Ask 'policy' (Prop. 7.2)."
            if runs.system.only_steps
            else "Ask the exact chain of a smaller system."
        )
        raise Unsupported("distance 'mu-atv'", repr(runs), rule, helps)
    if not isinstance(runs.policy, BudgetIndex) and not runs.policy.own:
        rule = "next policies are averaged where agents are served by priority on a budget, or each acts on its own"
        raise Unsupported("distance 'mu-atv'", f"a {type(runs.policy).__name__} policy", rule, asks)
