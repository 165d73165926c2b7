"""Compiled loops of the learners: steps in their order, agents in theirs, so that chunks of any size give equal bytes.

All follow one rule: an agent that is absent takes no part, and one that leaves without an end is cut there.
"""

from __future__ import annotations

from typing import NamedTuple

from .._check import Bools, Floats, Ints
from .._compiled import compiled


class Steps(NamedTuple):
    """B steps of N agents, and where the tables of these begin."""

    pairs: Ints  # (B + 1, N)
    rewards: Floats  # (B, N)
    ended: Bools  # (B,)
    group: Ints  # (N,) table of the agent
    first: Ints  # (N,) where that begins in a row of tables (m,)
    own: Ints  # (N,) where the trace of the agent begins
    size: Ints  # (N,) m


class Rule(NamedTuple):
    """Step size after n visits: `h/(h + n)` for h > 0, `n^-power` counted from 1 for power > 0, else `constant`."""

    h: float
    power: float
    constant: float


class Tables(NamedTuple):
    """What temporal differences change; M numbers of all tables in a row."""

    q: Floats  # (M,)
    visits: Ints  # (M,)
    trace: Floats  # of each agent
    area: Floats  # (M,) sum over time of q since the first visit
    since: Ints  # (M,) when that was last written
    begun: Ints  # (M,) first visit
    clock: Ints  # (G,) transitions of each table
    largest: Floats  # (1,) largest reward so far


@compiled
def size_of(n, rule):  # type: ignore[no-untyped-def]
    if rule.h > 0.0:
        return rule.h / (rule.h + n)
    return (n + 1.0) ** -rule.power if rule.power > 0.0 else rule.constant


@compiled
def differences(s, t, rule, gamma, lam, averaged, bound):  # type: ignore[no-untyped-def]
    """Temporal differences with Dutch traces; the step at which a value left `bound` times the largest, or -1."""
    steps, agents = s.rewards.shape
    far = bound * t.largest[0]
    for k in range(steps):
        for i in range(agents):
            x, y = s.pairs[k, i], s.pairs[k + 1, i]
            if x < 0:
                continue
            own, m = s.own[i], s.size[i]
            if y < 0 and not s.ended[k]:
                if lam > 0.0:
                    t.trace[own : own + m] = 0.0
                continue
            f, g, r = s.first[i], s.group[i], s.rewards[k, i]
            if abs(r) > t.largest[0]:
                t.largest[0] = abs(r)
                far = bound * abs(r)
            at = f + x
            ahead = 0.0 if s.ended[k] else t.q[f + y]
            delta = r + gamma * ahead - t.q[at]
            step = size_of(t.visits[at], rule)
            if t.visits[at] == 0:
                t.begun[at] = t.since[at] = t.clock[g]
            t.visits[at] += 1
            t.clock[g] += 1
            if lam == 0.0:
                if averaged:
                    t.area[at] += t.q[at] * (t.clock[g] - 1 - t.since[at])
                    t.since[at] = t.clock[g] - 1
                t.q[at] += step * delta
            else:
                t.trace[own + x] = (1.0 - step) * t.trace[own + x] + 1.0
                for z in range(m):
                    e = t.trace[own + z]
                    if e != 0.0:
                        if averaged:
                            t.area[f + z] += t.q[f + z] * (t.clock[g] - 1 - t.since[f + z])
                            t.since[f + z] = t.clock[g] - 1
                        a = step if z == x else size_of(t.visits[f + z] - 1, rule)
                        t.q[f + z] += a * e * delta
                        t.trace[own + z] = 0.0 if s.ended[k] else gamma * lam * e
            if not abs(t.q[at]) <= far:
                return k
    return -1


@compiled
def moves(s, start, counts, paid):  # type: ignore[no-untyped-def]
    """Count moves: the table (m, m + 1) of an agent begins at `start[i]`, its last column counts ends; sum rewards."""
    steps, agents = s.rewards.shape
    for k in range(steps):
        for i in range(agents):
            x, y = s.pairs[k, i], s.pairs[k + 1, i]
            if x < 0 or (y < 0 and not s.ended[k]):
                continue
            to = s.size[i] if s.ended[k] else y
            counts[start[i] + x * (s.size[i] + 1) + to] += 1
            paid[s.first[i] + x] += s.rewards[k, i]


class Weights(NamedTuple):
    """What linear temporal differences read and change; features of all tables in a row, pair by pair."""

    phi: Floats
    at: Ints  # (N,) where the features of the agent's table begin
    width: Ints  # (N,) features d
    first: Ints  # (N,) where its weights begin
    own: Ints  # (N,) where the trace of the agent begins
    scale: Floats  # (G,) largest square of a row of features
    w: Floats
    trace: Floats
    visits: Ints  # (M,)
    area: Floats  # sum of the weights over time
    clock: Ints  # (G,)
    largest: Floats  # (1,)


@compiled
def linear(s, t, rule, gamma, lam, averaged, bound):  # type: ignore[no-untyped-def]
    """Linear temporal differences; the step at which a value left `bound` times the largest reward, or -1."""
    steps, agents = s.rewards.shape
    for k in range(steps):
        for i in range(agents):
            x, y = s.pairs[k, i], s.pairs[k + 1, i]
            if x < 0:
                continue
            d, g, r = t.width[i], s.group[i], s.rewards[k, i]
            own, here, there = t.own[i], t.at[i] + x * t.width[i], t.at[i] + y * t.width[i]
            if y < 0 and not s.ended[k]:
                t.trace[own : own + d] = 0.0
                continue
            t.largest[0] = max(t.largest[0], abs(r))
            now = ahead = 0.0
            for j in range(d):
                now += t.phi[here + j] * t.w[t.first[i] + j]
                if not s.ended[k]:
                    ahead += t.phi[there + j] * t.w[t.first[i] + j]
            if not abs(now) <= bound * t.largest[0]:
                return k
            a = size_of(t.clock[g], rule) * (1.0 - gamma * lam) / t.scale[g]
            t.clock[g] += 1
            t.visits[s.first[i] + x] += 1
            for j in range(d):
                z = t.trace[own + j] + t.phi[here + j]
                t.w[t.first[i] + j] += a * (r + gamma * ahead - now) * z
                t.trace[own + j] = 0.0 if s.ended[k] else gamma * lam * z
                if averaged:
                    t.area[t.first[i] + j] += t.w[t.first[i] + j]
    return -1


class Sums(NamedTuple):
    """What least squares with traces, and returns, add up."""

    matrix: Floats  # tables (m, m) in a row: sum of z (phi - gamma phi')
    paid: Floats  # (M,) sum of z r
    visits: Ints  # (M,)
    trace: Floats  # of each agent
    cut: Floats  # (M,) discounted weight of the returns that were cut


@compiled
def traced(s, start, sums, gamma, lam):  # type: ignore[no-untyped-def]
    """Eligibility traces z: returns where lam is 1; least squares, too, where there are matrices."""
    steps, agents = s.rewards.shape
    square = len(sums.matrix) > 0
    for k in range(steps):
        for i in range(agents):
            x, y = s.pairs[k, i], s.pairs[k + 1, i]
            if x < 0:
                continue
            own, m, f = s.own[i], s.size[i], s.first[i]
            if y < 0 and not s.ended[k]:
                for w in range(m):
                    sums.cut[f + w] += sums.trace[own + w]
                    sums.trace[own + w] = 0.0
                continue
            sums.visits[f + x] += 1
            sums.trace[own + x] += 1.0
            for w in range(m):
                z = sums.trace[own + w]
                if z != 0.0:
                    if square:
                        row = start[i] + w * m
                        sums.matrix[row + x] += z
                        if not s.ended[k]:
                            sums.matrix[row + y] -= gamma * z
                    sums.paid[f + w] += z * s.rewards[k, i]
                    sums.trace[own + w] = 0.0 if s.ended[k] else gamma * lam * z
