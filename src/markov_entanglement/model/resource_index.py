"""Index policies on resources: agents rise step by step, the highest priority first, while the resources last.

Every agent starts at action 0. Of the agents whose next action still fits, those whose step has the highest priority
are a class; one of it, each with the same chance, takes its next action; and so on, until no agent's step fits. An
agent whose step does not fit is skipped, one whose step has priority -inf never takes it. With two actions this serves
by priority; with more it is the greedy rule for indices of steps (of one more unit of the resource).
"""

from __future__ import annotations

import heapq
import math
from itertools import groupby

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints
from ..errors import TooLarge, Unsupported, gib
from .bound_policy import BoundPolicy
from .policy import NEVER, IndexPolicy
from .resources import Resources
from .spaces import AT_SCALE, Spaces, about, ravel

#: Numbers that are looked at together.
_BLOCK = 4_000_000
_Sum = tuple[float, ...]


class ResourceIndex(BoundPolicy):
    """See the module."""

    def __init__(self, spaces: Spaces, policy: IndexPolicy, limits: Resources) -> None:
        super().__init__(spaces)
        self.limits, self.room = limits, limits.limit + limits.slack
        steps = [np.diff(c, axis=1) for c in limits.costs]
        falling = [i for i, c in enumerate(steps) if c.min(initial=0.0) < 0]
        if falling:
            raise Unsupported("policy", f"costs of agent {falling[0]} that fall with its action",
                              "an index policy raises actions from 0 upwards, which must cost no less",
                              "Number the actions by cost, or use another policy.")  # fmt: skip
        size = math.prod(limits.shape) * 16
        if size > tol.BYTES:
            found = f"{gib(size)} for {spaces.n_agents} agents of up to {max(spaces.n_states)} states"
            raise TooLarge("index policy", found, gib(tol.BYTES), AT_SCALE)
        #: (N, S, A) class of the step up from an action, 0 first; (N, S, A, R) what that step costs.
        self.rank, self.cost = np.full(limits.shape[:3], NEVER), np.zeros(limits.shape)
        for i, (r, c) in enumerate(zip(policy.ladder(spaces), steps, strict=True)):
            self.rank[i, : len(r), : r.shape[1]] = r
            self.cost[i, : len(c), : c.shape[1]] = c
        self.agents = np.arange(spaces.n_agents)

    def _start(self, states: Ints) -> Floats:
        """(T, R) what everybody at action 0 uses."""
        return self.limits.used(states, np.zeros_like(states))

    def table(self, states: Ints) -> sp.csr_array:
        n, joint = self.spaces.n_agents, self.spaces.joint_actions
        size = max(1, _BLOCK // (n * (len(self.room) + 4)))
        found = [self._block(states[lo : lo + size]) for lo in range(0, len(states), size)]
        many = np.concatenate(
            [np.zeros(1, np.int64), *(np.bincount(row, minlength=t) for t, row, _, _ in found)]
        )
        index = np.concatenate([np.zeros(0, np.int64), *(f[2] for f in found)])
        chance = np.concatenate([np.zeros(0), *(f[3] for f in found)])
        return sp.csr_array((chance, index, np.cumsum(many)), shape=(len(states), joint))

    def _block(self, states: Ints) -> tuple[int, Ints, Ints, Floats]:
        """The laws of some states (T, N): T; row, joint action and probability, in order."""
        t, n = states.shape
        row, actions, used, p = np.arange(t), np.zeros_like(states), self._start(states), np.ones(t)
        done = []
        while len(row):
            at = self.agents, states[row], actions
            free = ((used[:, None] + self.cost[at]) <= self.room).all(axis=2)
            level = np.where(free, self.rank[at], NEVER)
            best = level.min(axis=1, keepdims=True)
            over = best[:, 0] == NEVER
            done.append((row[over], ravel(actions[over], self.spaces.n_actions), p[over]))
            k, who = np.nonzero((level == best) & ~over[:, None])
            if len(k) * n * (len(self.room) + 4) * 8 > tol.BYTES:
                found = f"{about(len(k))} supported pairs of {n} agents"
                raise TooLarge("policy table", found, gib(tol.BYTES), AT_SCALE)
            p = p[k] / np.bincount(k, minlength=len(row))[k]
            used = used[k] + self.cost[who, states[row[k], who], actions[k, who]]
            row, actions = row[k], actions[k]
            actions[np.arange(len(k)), who] += 1
            first, where = _merged(row, ravel(actions, self.spaces.n_actions))
            row, actions, used = row[first], actions[first], used[first]
            p = _check.sums_by(where, p, len(first))
        row, index, p = (np.concatenate(x) for x in zip(*done, strict=True)) if done else (row, row, p)
        order = np.lexsort((index, row))
        return t, row[order], index[order], p[order]

    def marginals(self, states: Ints) -> list[Floats]:
        """Of two actions without the table: classes in turn, arms of one class and cost alike."""
        if set(self.spaces.n_actions) != {2}:
            return super().marginals(states)
        served = np.zeros(states.shape)
        for t, state in enumerate(states):
            rank, cost = self.rank[self.agents, state, 0], self.cost[self.agents, state, 0]
            order = sorted(np.flatnonzero(rank < NEVER).tolist(), key=lambda i: (rank[i], tuple(cost[i])))
            law: dict[_Sum, float] = {tuple(self._start(states[t : t + 1])[0]): 1.0}
            for _, members in groupby(order, key=lambda i: rank[i]):
                alike = {c: list(g) for c, g in groupby(members, key=lambda i: tuple(cost[i]))}
                law, mean = self._class(law, list(alike), [len(g) for g in alike.values()])
                for share, group in zip(mean, alike.values(), strict=True):
                    served[t, group] = share / len(group)
        return [np.stack([1.0 - p, p], axis=1) for p in served.T]

    def _class(
        self, law: dict[_Sum, float], costs: list[_Sum], sizes: list[int]
    ) -> tuple[dict[_Sum, float], Floats]:
        """What is used once a class was served, by the law of what was used before; (G,) mean served of each group."""
        ahead: dict[_Sum, float] = {}
        mean, step = np.zeros(len(costs)), np.array(costs)
        for before, chance in law.items():
            wave = {(0,) * len(costs): chance}
            while wave:
                after: dict[tuple[int, ...], float] = {}
                for count, p in wave.items():
                    used = np.array(before) + np.array(count) @ step
                    left = np.where((used + step <= self.room).all(axis=1), np.array(sizes) - count, 0)
                    if not left.any():
                        mean += p * np.array(count)
                        ahead[tuple(used)] = ahead.get(tuple(used), 0.0) + p
                    for g in np.flatnonzero(left).tolist():
                        to = (*count[:g], count[g] + 1, *count[g + 1 :])
                        after[to] = after.get(to, 0.0) + p * left[g] / left.sum()
                wave = after
        return ahead, mean

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        return np.stack([self._draw(s, u, rng) for s, u in zip(states, self._start(states), strict=True)])

    def _draw(self, state: Ints, used: Floats, rng: np.random.Generator) -> Ints:
        """One joint action (N,). Ties by exponential clocks: who is back in a class is as likely as all others."""
        rank, cost = self.rank[self.agents, state], self.cost[self.agents, state]
        least = np.where((rank < NEVER)[..., None], cost, np.inf).min(axis=(0, 1))
        waits = zip(
            rank[:, 0].tolist(), rng.exponential(size=len(state)).tolist(), self.agents.tolist(), strict=True
        )
        queue = [w for w in waits if w[0] < NEVER]
        heapq.heapify(queue)
        out, clock = np.zeros_like(state), dict[int, float]()
        while queue and (used + least <= self.room).all():
            level, time, i = heapq.heappop(queue)
            clock[level] = time
            after = used + cost[i, out[i]]
            if (after > self.room).any():
                continue
            used, out[i] = after, out[i] + 1
            level = int(rank[i, out[i]])
            if level < NEVER:
                heapq.heappush(queue, (level, clock.get(level, 0.0) + rng.exponential(), i))
        return out


def _merged(row: Ints, index: Ints) -> tuple[Ints, Ints]:
    """The first of each (row, index), and (K,) which of these every entry is."""
    order = np.lexsort((index, row))
    fresh = np.ones(len(row), dtype=np.bool_)
    fresh[1:] = (np.diff(row[order]) != 0) | (np.diff(index[order]) != 0)
    where = np.empty(len(row), dtype=np.int64)
    where[order] = np.cumsum(fresh) - 1
    return order[fresh], where
