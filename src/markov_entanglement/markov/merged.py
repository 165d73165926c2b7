"""The chain of a system whose agents are groups: the same joint pairs and the same steps, other keys."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from .._check import freeze
from ..model.merged import Merged, MergedPolicy, grouped
from .chain import Chain

#: What does not depend on who counts as one agent, where it is known already.
_KEPT = ("classes", "stationary", "graph", "_systems")


@dataclass(frozen=True, eq=False, repr=False)
class MergedChain(Chain):
    """A chain whose agents are groups of those of another; it cannot be stepped, as that one can."""

    sampled = ()  # type: ignore[assignment]

    @property
    def stepped(self) -> None:
        """None."""
        return None


def merged(chain: Chain, groups: Any) -> MergedChain:
    """See `Chain.merge`."""
    system = Merged(chain.system, grouped(groups, chain.system.labels, chain.n_agents))
    base, spaces = system.base.spaces, system.spaces
    states, actions = base.split(chain.pairs)
    own: dict[str, Any] = {
        "system": system,
        "policy": MergedPolicy(chain.policy, spaces),
        "states": freeze(spaces.together(chain.states, base.n_states)),
        "pairs": freeze(
            spaces.local_pairs(
                spaces.together(states, base.n_states), spaces.together(actions, base.n_actions)
            )
        ),
    }
    found = MergedChain(**{f.name: own.get(f.name, getattr(chain, f.name)) for f in fields(Chain)})
    vars(found).update({name: vars(chain)[name] for name in _KEPT if name in vars(chain)})
    return found
