"""What the graph of an arm tells before anything is enumerated or simulated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components, shortest_path

from .._check import Bools, Ints
from ..errors import SeveralRecurrentClasses
from ..model.bandit import RestlessBandit
from .count_space import ranks_of


def usable_actions(bandit: RestlessBandit, policy: Any) -> Bools:
    """(T, S, 2) False where the policy never takes the action in that local state, whatever the counts.

    An arm in class c is surely served when all arms that can be in its class or above fit in the budget, and
    surely not when the types that are always above use it up. Otherwise both actions count as usable, so that
    nothing possible is left out.
    """
    ranks = ranks_of(bandit, policy).reshape(bandit.n_types, -1)
    here = np.arange(int(ranks.max()) + 1)
    may_be_first = bandit.n_arms @ (ranks.min(axis=1)[:, None] <= here)
    surely_above = bandit.n_arms @ (ranks.max(axis=1)[:, None] < here)
    passive, active = may_be_first > bandit.budget, surely_above < bandit.budget
    return np.stack([passive[ranks], active[ranks]], axis=-1)


def ignores_states(bandit: RestlessBandit, ranks: Ints) -> bool:
    """Whether an arm's chance of service is one fixed number per type, so that arms move independently in law.

    So it is when every type keeps to one priority class (the uniform policy has one in all): a class then always
    has the same number of arms. And so it is when nobody or everybody is served. `ranks`: (C,) class of every cell.
    """
    ours = ranks.reshape(bandit.n_types, -1)[bandit.n_arms > 0]
    return bool((ours == ours[:, :1]).all()) or bandit.budget in (0, bandit.n_agents)


def never_varies(bandit: RestlessBandit, policy: Any) -> Bools:
    """(T,) True where an arm's service depends on nobody, so that E is 0: `ignores_states`, or one action a state."""
    alone = ~np.any(np.all(usable_actions(bandit, policy), axis=2), axis=1)
    return np.asarray(alone | ignores_states(bandit, np.asarray(ranks_of(bandit, policy))))


def closed_sets(bandit: RestlessBandit, policy: Any) -> dict[int, list[tuple[Ints, int]]]:
    """Per type with arms: the closed classes of the graph of all usable actions, each with its period."""
    usable, out = usable_actions(bandit, policy), {}
    for t in np.flatnonzero(bandit.n_arms > 0):
        graph = ((bandit.kernels[t] > 0) & usable[t].T[:, :, None]).any(axis=0)
        label = connected_components(graph, directed=True, connection="strong")[1]
        open_ = label[(graph & (label[:, None] != label)).any(axis=1)]
        members = [np.flatnonzero(label == k) for k in np.setdiff1d(label, open_)]
        out[int(t)] = [(m, _period(graph[np.ix_(m, m)])) for m in members]
    return out


def _period(graph: Bools) -> int:
    """gcd of `level(u) + 1 - level(v)` over the edges `u -> v` of a strongly connected graph."""
    if graph.diagonal().any():
        return 1
    level = shortest_path(graph, unweighted=True, indices=0).astype(np.int64)
    u, v = np.nonzero(graph)
    return int(np.gcd.reduce(level[u] + 1 - level[v]))


def require_one_class(bandit: RestlessBandit, policy: Any) -> None:
    """Refuse arms that split into closed classes of local states, or share a clock: all depends on the start.

    An arm never leaves a closed class of the graph of all usable actions, so two of them are two closed classes of
    the whole bandit. So are two settings of the clocks of two arms whose periods have a common divisor: arms keep
    their difference. The converse does not hold: the exact count chain decides that.
    """
    arms: list[tuple[int, int]] = []
    name = bandit.labels.kind
    for t, found in closed_sets(bandit, policy).items():
        if len(found) > 1:
            raise SeveralRecurrentClasses(
                "bandit under this policy",
                f"{len(found)} sets of local states that an arm of type {name(t)} never leaves: "
                f"{_listed(found, partial(bandit.labels.state, t))}",
                "the long run must not depend on the start",
                "Mend the kernels of this type, or make each set an arm type of its own.",
            )  # fmt: skip
        arms += [(t, found[0][1])] * min(int(bandit.n_arms[t]), 2)
    for (t, p), (u, q) in itertools.combinations([a for a in arms if a[1] > 1], 2):
        if (clock := math.gcd(p, q)) > 1:
            which = f"s {name(t)} and {name(u)}" if t < u else f" {name(t)}"
            raise SeveralRecurrentClasses(
                "bandit under this policy",
                f"arms of type{which} that go round in step, with period {clock}",
                "arms keep the difference of their clocks, so the long run depends on how they start",
                "Say how: me.estimate_error(bandit, policy, rng=0, start=counts), me.estimate_entanglement(...).",
            )  # fmt: skip


def off_beat(bandit: RestlessBandit, policy: Any, least: int) -> int:
    """The first stride from `least` on that meets every phase of arms that go round."""
    turn = math.lcm(*(p for found in closed_sets(bandit, policy).values() for _, p in found))
    return next(k for k in itertools.count(least) if math.gcd(k, turn) == 1)


def _listed(found: list[tuple[Ints, int]], name: Callable[[int], str]) -> str:
    sets = [m.tolist() for m, _ in found]
    shown = ["{" + ", ".join(map(name, s[:6])) + (", ..." if len(s) > 6 else "") + "}" for s in sets[:4]]
    return ", ".join(shown) + (", ..." if len(sets) > 4 else "")
