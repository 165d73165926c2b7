"""Runs whose local values may not see the signal: the agents move as ever, tables read `x_i = (s_i, a_i)` alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._check import Floats, Ints
from ..errors import Unsupported
from ..markov.blind import no_bound
from ..model.exogenous import ExogenousMDP
from ..model.signal import unseen_reward
from ..model.spaces import Spaces
from ..values.reward_entanglement import RewardEntanglement
from .agents import AgentChain, AgentRuns
from .entanglement import EntanglementEstimate
from .errors import ErrorEstimate
from .flows import Flows
from .view import View


@dataclass(frozen=True)
class Unseen(View):
    """The signal is not read."""

    system: ExogenousMDP

    @property
    def spaces(self) -> Spaces:
        return self.system.spaces.plain

    @property
    def kernels(self) -> Sequence[Floats] | None:
        return self.system.plain_kernels

    def pairs(self, pairs: Ints) -> Ints:
        return self.system.spaces.unseen(pairs)

    def wide(self, tables: Sequence[Floats]) -> Sequence[Floats]:
        return [np.tile(q, self.system.spaces.n_signals) for q in tables]

    def flows(self, flows: Flows) -> Flows:
        z, folded = self.system.spaces.n_signals, []
        for table, m in zip(flows.tables(), self.spaces.pair_sizes, strict=True):
            going = table[:, :-1].reshape(z, m, z, m).sum(axis=(0, 2))
            folded += [np.column_stack([going, table[:, -1].reshape(z, m).sum(axis=0)]).ravel()]
        return Flows(self.spaces, np.concatenate(folded).astype(np.int64))

    def means(self, flows: Flows, tables: Sequence[Floats]) -> Sequence[Floats]:
        each = zip(flows.tables(), tables, self.spaces.pair_sizes, strict=True)
        return [unseen_reward(np.ravel(r), moves.sum(axis=1), m)[0] for moves, r, m in each]


@dataclass(frozen=True, eq=False, repr=False)
class BlindRuns(AgentRuns):
    """The runs of agents that see a signal, asked of local values that may not; see `AgentRuns`."""

    system: ExogenousMDP

    proved_separable = ""

    def __repr__(self) -> str:
        return f"BlindRuns({self.system.n_agents:,} agents)"

    @property
    def view(self) -> View:
        return Unseen(self.system)

    @property
    def made_of(self) -> dict[str, Any]:
        return super().made_of | {"system": (self.system, self.starts, "blind")}

    def signal_of(self, u: int) -> None:
        return None

    def local_names(self, u: int) -> tuple[list[str], list[str]]:
        return self.system.plain_names(u)

    def summary(self) -> dict[str, Any]:
        return super().summary() | {"title": f"{self.system!r}, local values blind to the signal"}

    def entanglement(self, distance: str, rng: Any) -> EntanglementEstimate:
        if distance == "policy" and not self.system.signal_blind:
            raise no_bound(self, "Ask 'mu-atv' of the exact chain of a smaller system, or")
        return super().entanglement(distance, rng)

    def errors(self, rng: Any, tolerance: float | None = None) -> ErrorEstimate:
        if self.own_rewards is None:
            raise self.unsplit("values")
        return super().errors(rng, tolerance)

    def split(self, method: str, rng: Any) -> RewardEntanglement:
        raise self.unsplit("reward entanglement")

    def unsplit(self, question: str) -> Unsupported:
        """The refusal of a shared reward."""
        rule = "along runs a shared reward is split for agents that see the signal"
        helps = "Ask chain.blind() of a smaller system exactly, or the chain that sees the signal."
        return Unsupported(question, repr(self), rule, helps)


@dataclass(frozen=True, eq=False, repr=False)
class BlindAgents(AgentChain):
    """What `AgentChain.blind` returns."""

    system: ExogenousMDP

    def __repr__(self) -> str:
        return f"Blind{super().__repr__()}"

    def signal_of(self, u: int) -> None:
        return None

    @cached_property
    def runs(self) -> BlindRuns:
        return BlindRuns(self.system, self.policy, self.starts)
