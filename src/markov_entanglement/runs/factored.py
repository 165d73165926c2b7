"""Factored systems whose joint states are too many to list: "atv" from neighbour sets, everything else by runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..laws.source import Source
from ..markov.neighbours import NeighbourRows
from ..measures.entanglement import Entanglement, local_entanglement
from ..model.bound_policy import Product
from ..model.spaces import about
from .agents import AgentChain, AgentRuns


@dataclass(frozen=True, eq=False, repr=False)
class FactoredChain(AgentChain):
    """A factored system under a policy whose joint states are too many to list; what `FactoredMDP.under` returns."""

    sampled = ("mu-atv",)

    def __repr__(self) -> str:
        n, size = self.system.n_agents, about(self.system.spaces.joint_states)
        return f"FactoredChain({n:,} agents, {size} joint states)"

    @cached_property
    def rows_only(self) -> Source | None:
        """The rows by neighbour sets, of policies that read no others."""
        if not isinstance(self.policy, Product):
            return None
        return NeighbourRows(self.system, self.policy, self.starts is None)
