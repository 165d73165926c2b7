"""What the graph of an arm tells before anything is enumerated or simulated."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.csgraph import connected_components

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


def require_one_class(bandit: RestlessBandit, policy: Any) -> None:
    """Refuse arms that split into several closed classes of local states: what follows depends on the start.

    An arm never leaves a closed class of the graph of all usable actions, so two of them are two closed classes of
    the whole bandit. The converse does not hold: the exact count chain decides that.

    Raises
    ------
    SeveralRecurrentClasses : names the arm type and the classes.
    """
    usable = usable_actions(bandit, policy)
    for t in np.flatnonzero(bandit.n_arms > 0):
        graph = ((bandit.kernels[t] > 0) & usable[t].T[:, :, None]).any(axis=0)
        count, label = connected_components(graph, directed=True, connection="strong")
        leaves = graph & (label[:, None] != label)
        open_ = np.unique(label[leaves.any(axis=1)])
        if count - len(open_) > 1:
            closed = [np.flatnonzero(label == k).tolist() for k in np.setdiff1d(label, open_)]
            raise SeveralRecurrentClasses(
                "bandit under this policy",
                f"{len(closed)} sets of local states that an arm of type {t} never leaves: {_listed(closed)}",
                "the long run must not depend on the start",
                "Mend the kernels of this type, or make each set an arm type of its own.",
            )  # fmt: skip


def _listed(sets: list[list[int]]) -> str:
    shown = ["{" + ", ".join(map(str, s[:6])) + (", ..." if len(s) > 6 else "") + "}" for s in sets[:4]]
    return ", ".join(shown) + (", ..." if len(sets) > 4 else "")
