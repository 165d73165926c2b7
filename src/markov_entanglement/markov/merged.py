"""The chain of a system whose agents are groups: the same joint pairs and the same steps, other keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from .._check import Ints, freeze
from ..errors import Unsupported
from ..laws.source import Alternatives
from ..model.merged import Merged
from ..model.merged_policy import MergedPolicy
from ..model.merged_spaces import MergedSpaces, combined, grouped
from ..model.rewards import Rewards
from .chain import Chain, one_hot
from .classes import Classes
from .linear import LinearSystem
from .stationary import Stationary


@dataclass(frozen=True, eq=False, repr=False)
class MergedChain(Chain):
    """A chain whose agents are groups of those of `base`, which is asked what does not depend on who is one agent.

    It cannot be stepped, as that one can.
    """

    base: Chain
    system: Merged

    sampled = ()  # type: ignore[assignment]

    @property
    def stepped(self) -> None:
        """None."""
        return None

    @property
    def classes(self) -> Classes:
        return self.base.classes

    @property
    def stationary(self) -> Stationary:
        return self.base.stationary

    @property
    def graph(self) -> sp.csr_array | None:
        return self.base.graph

    @property
    def _systems(self) -> Callable[[float], LinearSystem]:
        return self.base._systems

    def alternatives(self, rewards: Rewards, gamma: float, entries: float) -> Alternatives:
        """See `Space`; the sum is NaN at pairs that do not occur in the chain, which have no local value."""
        if rewards.local is not None and rewards.members is None:
            rule = "other actions may lead to pairs that the rewards of groups do not have"
            helps = "Give the agents their rewards before they are merged, or one joint array."
            raise Unsupported("decisions", "rewards of groups", rule, helps)
        found, base = self.base.alternatives(rewards.members or rewards, gamma, entries), self.base.spaces
        first = np.cumsum(base.pair_sizes) - base.pair_sizes
        pairs = self.system.spaces.pairs_together(found.features.indices.reshape(-1, len(first)) - first)
        features = one_hot(np.maximum(pairs, 0), self.sizes)
        features.data[pairs.ravel() < 0] = np.nan
        return replace(found, features=features, served=None)


def merged(chain: Chain, groups: Any) -> MergedChain:
    """See `Chain.merge`."""
    found, base = grouped(groups, chain.system.labels, chain.n_agents), chain.spaces
    actions = base.split(chain.pairs)[1]
    kept = [
        [_occurring(each[:, list(g)], [sizes[i] for i in g]) for g in found]
        for each, sizes in ((chain.states, base.n_states), (actions, base.n_actions))
    ]
    system = Merged(chain.system, MergedSpaces.of(base, found, *kept))
    own: dict[str, Any] = {
        "base": chain,
        "system": system,
        "policy": MergedPolicy(chain.policy, system.spaces),
        "states": freeze(system.spaces.states_together(chain.states)),
        "pairs": freeze(system.spaces.pairs_together(chain.pairs)),
    }
    rest = {f.name: getattr(chain, f.name) for f in fields(Chain) if f.name not in own}
    return MergedChain(**own, **rest)


def _occurring(locals_: Ints, sizes: list[int]) -> Ints:
    """The combinations of local states or actions (T, n) that occur; of a single agent all."""
    return np.arange(sizes[0]) if len(sizes) == 1 else np.unique(combined(locals_, sizes))
