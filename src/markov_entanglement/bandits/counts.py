"""Simulation in count space: exact in law, at a cost that does not grow with the number of arms.

Arms of one type are exchangeable under an index policy (Def. 7.5), so counts per cell (`count_space`) form a Markov
chain. One step from counts `n`:

    z  = served counts                        classes whole from the top, hypergeometric in the marginal one
    n' = sum_x Multinomial(n_x - z_x, P_0(x,.)) + Multinomial(z_x, P_1(x,.))      binomial splits, one by one

*Flows* `F[(s,a),(s',a')]` count the arms that go from local pair to local pair in one step. Given the arrivals
`A[(s,a), s']` of the split above, the served arms at s' are a uniform subset of all arms there, so their origins are
multivariate hypergeometric: flows have the law of those of N simulated arms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from .._compiled import compiled
from .._hypergeometric import hypergeometric
from ..errors import TooLarge, gib
from ..laws.source import demand
from ..model.bandit import RestlessBandit
from .count_space import activation, ranked


@compiled
def serve(rng, n, order, starts, budget, z):  # type: ignore[no-untyped-def]
    """Fill `z` (C,) with served counts given counts `n` (C,); draws only inside a marginal class of several cells."""
    left = budget
    for k in range(len(starts) - 1):
        size = 0
        for j in range(starts[k], starts[k + 1]):
            size += n[order[j]]
        take = min(left, size)
        left -= take
        for j in range(starts[k], starts[k + 1]):
            x = order[j]
            size -= n[x]
            z[x] = n[x] if take == size + n[x] else hypergeometric(rng, n[x], size, take)
            take -= z[x]


@compiled
def move(rng, n, z, first, target, share, arrivals, after):  # type: ignore[no-untyped-def]
    """Move all arms: fill `after` (C,) with the next counts and `arrivals` (L,) with the arms per slot."""
    cells = len(n)
    for x in range(cells):  # loops, for whole arrays of a few cells cost more
        after[x] = 0
    for g in range(2 * cells):
        left = n[g] - z[g] if g < cells else z[g - cells]
        for j in range(first[g], first[g + 1]):
            k = left
            if left > 0 and share[j] < 1.0:
                k = rng.binomial(left, share[j])
            arrivals[j] = k
            after[target[j]] += k
            left -= k


@compiled
def _attribute(rng, n, z, into, arrivals, entry, flow):  # type: ignore[no-untyped-def]
    """Add to `flow` the pair to pair moves: at every cell the served arms are a uniform subset."""
    for y in range(len(n)):
        others, served = n[y], z[y]
        for i in range(into[y], into[y + 1]):
            j = entry[i, 0]
            k = arrivals[j]
            if k == 0:
                continue
            others -= k
            h = k if others + k == served else (hypergeometric(rng, k, others, served) if served > 0 else 0)
            served -= h
            flow[entry[i, 1], entry[i, 2], entry[i, 3]] += k - h
            flow[entry[i, 1], entry[i, 2], entry[i, 3] + 1] += h


@compiled
def walk(rng, n, arrivals, fresh, steps, burn_in, every, service, moves, counts, served, flows):  # type: ignore[no-untyped-def]
    """Run `burn_in + steps` steps from counts `n` (C,); not `fresh`: the arrivals (L,) at `n` are a last step's flows.

    counts (steps // every + 1, C) and served (steps // every, C) are filled every `every` steps after the
    burn-in; flows (L, T, 2S, 2S): L = 0 none, 1 all steps summed, steps - 1 one by one.
    """
    order, starts, budget = service
    first, target, share, into, entry = moves
    z, after = np.zeros(len(n), np.int64), np.zeros(len(n), np.int64)
    due, row = 0, 0
    for t in range(-burn_in, steps):
        serve(rng, n, order, starts, budget, z)
        if len(flows) > 0 and (t > 0 or (t == 0 and not fresh)):
            _attribute(rng, n, z, into, arrivals, entry, flows[t - 1 if len(flows) > 1 else 0])
        if t == due:
            for x in range(len(n)):
                counts[row, x] = n[x]
                served[row, x] = z[x]
            due += every
            row += 1
        move(rng, n, z, first, target, share, arrivals, after)
        n, after = after, n
    for x in range(len(n)):
        counts[row, x] = n[x]


@dataclass(frozen=True, eq=False)
class CountEngine:
    """A bandit and its policy in the form of the kernel.

    Attributes
    ----------
    ranks : (C,) class of every cell, 0 is served first; order : (C,) cells sorted by class; starts : (K + 1,) where
        each class begins there.
    first : (2C + 1,) the arms of cell x under action a, group `g = a C + x`, may take the slots `first[g]:first[g+1]`.
    target : (L,) next cell; share : (L,) chance given that no earlier slot of the group was taken; the last is 1.
    into : (C + 1,), entry : (L, 4): slots by next cell, each with its type, origin `2 s + a` and `2 s'`.
    """

    bandit: RestlessBandit
    policy: Any
    share: Floats
    ranks: Ints
    order: Ints
    starts: Ints
    first: Ints
    target: Ints
    into: Ints
    entry: Ints

    @classmethod
    def of(cls, bandit: RestlessBandit, policy: Any) -> CountEngine:
        """Lay out the moves of a bandit under a policy that `ranked` takes."""
        demand("bandit", bandit, RestlessBandit, "estimates in counts are those of a restless bandit",
               "Of another system ask me.entanglement, me.value_decomposition of system.under(policy).")  # fmt: skip
        if bandit.n_agents > tol.EXACT_COUNTS:
            raise TooLarge("n_arms", f"{bandit.n_agents} arms", f"{tol.EXACT_COUNTS}",
                           "Use me.mean_field: at this size fluctuations are relatively below 1e-7.")  # fmt: skip
        policy, ranks = ranked(bandit, policy)
        types, _, states, _ = bandit.kernels.shape
        cells = types * states
        rows = bandit.kernels.transpose(1, 0, 2, 3).reshape(2 * cells, states)
        group, state = np.nonzero(rows)
        p = rows[group, state]
        first = np.searchsorted(group, np.arange(2 * cells + 1))
        tail = np.array([p[k : first[g + 1]].sum() for k, g in enumerate(group)])
        share = np.clip(p / tail, 0.0, 1.0)
        share[first[1:] - 1] = 1.0
        origin, kind = group % cells, group // cells
        target = origin // states * states + state
        by_target = np.argsort(target, kind="stable")
        columns = (np.arange(len(p)), origin // states, 2 * (origin % states) + kind, 2 * state)
        entry = np.stack(columns, axis=1)[by_target]
        into = np.searchsorted(target[by_target], np.arange(cells + 1))
        order = np.argsort(ranks, kind="stable")
        starts = np.append(np.unique(ranks[order], return_index=True)[1], cells)
        layout = ranks, order, starts, first, target, into, entry
        ints = (freeze(np.ascontiguousarray(a, dtype=np.int64)) for a in layout)
        return cls(bandit, policy, freeze(share), *ints)

    @property
    def cells(self) -> int:
        """C = T S."""
        return self.bandit.n_types * self.bandit.n_states

    @property
    def kernel_arguments(self) -> tuple[Any, Any]:
        """Tuples `service`, `moves` of the compiled kernels."""
        moves = self.first, self.target, self.share, self.into, self.entry
        return (self.order, self.starts, self.bandit.budget), moves

    def activation(self, counts: Any) -> Floats:
        """(K, C) probability that an arm of each cell is served, given counts (K, C)."""
        return activation(np.asarray(counts), self.ranks, self.bandit.budget)

    def run(
        self,
        start: Ints,
        steps: int,
        rng: np.random.Generator,
        *,
        burn_in: int = 0,
        every: int = 1,
        flows: str = "none",
    ) -> tuple[Ints, Ints, Ints]:
        """Simulate from counts `start` (C,): counts (K + 1, C), served (K, C) and flows (L, T, 2S, 2S).

        `steps` = K `every` follow the burn-in. Flows between successive recorded pairs: "none" (L = 0), "total"
        (L = 1, summed) or "steps" (L = steps - 1, one by one).
        """
        layers = {"none": 0, "total": 1, "steps": max(steps - 1, 0)}[flows]
        self._guard(steps // every, layers, steps if flows == "total" else 0)
        arrivals = np.zeros(len(self.target), dtype=np.int64)
        return self._walk(start, arrivals, True, (steps, burn_in, every), rng, layers)

    def parts(
        self, start: Ints, steps: int, rng: np.random.Generator, *, burn_in: int, parts: int, flows: bool
    ) -> Iterator[tuple[Ints, Ints]]:
        """The same run in equal parts that are not kept: counts (K, C) and total flows (1 or 0, T, 2S, 2S) of each."""
        self._guard(-(-steps // parts), int(flows), steps if flows else 0)
        arrivals = np.zeros(len(self.target), dtype=np.int64)
        edges = np.linspace(0, steps, min(parts, steps) + 1).astype(np.int64)
        for k, size in enumerate(np.diff(edges).tolist()):
            span = size, 0 if k else burn_in, 1
            counts, _, total = self._walk(start, arrivals, k == 0, span, rng, int(flows))
            start = counts[-1]
            yield counts[:-1], total

    def _walk(
        self, start: Ints, arrivals: Ints, fresh: bool, span: tuple[int, int, int], rng: Any, layers: int
    ) -> tuple[Ints, Ints, Ints]:
        """Counts, served and flows of `span` = (steps, burn-in, stride)."""
        pairs, kept = 2 * self.bandit.n_states, span[0] // span[2]
        counts, served = (np.empty((kept + extra, self.cells), dtype=np.int64) for extra in (1, 0))
        flows = np.zeros((layers, self.bandit.n_types, pairs, pairs), dtype=np.int64)
        walk(rng, start.copy(), arrivals, fresh, *span, *self.kernel_arguments, counts, served, flows)
        return counts, served, flows

    def _guard(self, kept: int, layers: int, summed: int) -> None:
        size = 8 * ((2 * kept + 1) * self.cells + layers * self.bandit.n_types * 4 * self.bandit.n_states**2)
        if size > tol.BYTES:
            raise TooLarge("path", f"{gib(size)} for {kept} steps", gib(tol.BYTES),
                           "Take fewer steps, flows='total', or me.estimate_entanglement.")  # fmt: skip
        if summed * self.bandit.n_agents >= 2**63:
            raise TooLarge("flows", f"{summed} steps of {self.bandit.n_agents} arms", "2^63 arm-steps in a total",
                           "Take fewer steps, or flows='none'.")  # fmt: skip

    def start(self, value: Any = None) -> Ints:
        """Start counts (C,) of a user's (T, S) or (S,) counts; None spreads each type evenly."""
        if value is None:
            states, arms = self.bandit.n_states, self.bandit.n_arms
            whole, left = arms[:, None] // states, arms[:, None] % states
            return (whole + (np.arange(states) < left)).reshape(-1)
        return self.bandit.counted("start", value).reshape(-1)
