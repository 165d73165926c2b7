"""A chain whose agents see a signal, asked what is lost where local values may not: keys `x_i = (s_i, a_i)` alone.

Nothing of the chain changes, only what a local pair is: rows have the key x_i and the law of the next x_i, summed over
the signal, and local rewards are the means that learning on x_i would see, `E_mu[r_i | x_i]`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, freeze
from ..errors import Unsupported
from ..laws.rows import Rows
from ..laws.source import Alternatives, Kind, Runs, Source, no_signal
from ..model.exogenous import ExogenousMDP
from ..model.rewards import Rewards
from ..model.signal import unseen_reward
from ..model.spaces import Spaces
from .chain import AgentSpace, Chain, one_hot
from .classes import Classes
from .space import Evaluation
from .states import StateSpace
from .stationary import Stationary

_SEES = "Ask the chain that sees the signal."


@dataclass(frozen=True, eq=False)
class Hidden(Rewards):
    """Mean local rewards where what is paid reads a signal that the local pairs do not show.

    Attributes
    ----------
    seen : what is paid, over pairs that show it.
    each : (N,) `||r_i - mean||_mu` of each agent.
    """

    seen: Rewards
    each: Floats

    @property
    def misfit(self) -> float:  # type: ignore[override]
        return float(self.each.sum())

    @property
    def paid(self) -> Rewards:
        return self.seen

    def less(self, plain: tuple[Floats, ...], constants: Floats) -> Rewards:
        assert self.seen.local is not None
        seen = tuple(r - c for r, c in zip(self.seen.local, constants, strict=True))
        return replace(self, local=plain, seen=Rewards(seen, None))


@dataclass(frozen=True, eq=False, repr=False)
class BlindChain(AgentSpace):
    """What `Chain.blind` returns; `seen` is the chain where local values see the signal."""

    system: ExogenousMDP
    seen: Chain

    no_joint = ("without the signal joint pairs do not tell how they go on", _SEES)

    @property
    def spaces(self) -> Spaces:
        return self.system.spaces.plain

    @property
    def decoupled(self) -> bool:
        """Whether no agent's kernel reads the signal: then Prop. 7.2 bounds E_i without it, too."""
        return self.system.signal_blind

    @property
    def stepped(self) -> Runs | None:
        seen: Any = self.seen.stepped
        runs: Runs = seen.blind()
        return runs

    @property
    def classes(self) -> Classes:
        return self.seen.classes

    @property
    def stationary(self) -> Stationary:
        return self.seen.stationary

    def solve(self, r: Floats, gamma: float, goal: float = tol.SOLVE) -> Evaluation:
        return self.seen.solve(r, gamma, goal)

    def signal_of(self, u: int) -> None:
        return None

    def local_names(self, u: int) -> tuple[list[str], list[str]]:
        return self.system.plain_names(u)

    def describe(self, state: int) -> str:
        return self.seen.describe(state)

    def summary(self) -> dict[str, Any]:
        return self.seen.summary() | {"title": f"{self.system!r}, local values blind to the signal",
                                      "local_pairs": list(self.sizes)}  # fmt: skip

    def local_kernel(self, u: int) -> Floats | None:
        kernels = self.system.plain_kernels
        return None if kernels is None else kernels[u].transpose(1, 0, 2).reshape(self.sizes[u], -1)

    def laws(self, u: int, kind: Kind = "pair") -> Rows:
        if kind == "policy" and not self.decoupled:
            raise no_bound(self, "Ask 'mu-atv', or")
        return super().laws(u, kind)

    def read_rewards(self, rewards: Any) -> Rewards:
        paid = self.seen.read_rewards(rewards)
        if paid.local is None:
            return paid
        tables, misfit = [], np.zeros(self.n_agents)
        for u, (r, m) in enumerate(zip(paid.local, self.sizes, strict=True)):
            mean, misfit[u] = unseen_reward(r, self.seen.rows(u).key_weight, m)
            tables.append(freeze(mean))
        return Hidden(tuple(tables), None, paid, freeze(misfit))

    def reward(self, rewards: Rewards) -> Floats:
        return self.seen.reward(rewards.paid)

    def alternatives(self, rewards: Rewards, gamma: float, entries: float) -> Alternatives:
        found = self.seen.alternatives(rewards.paid, gamma, entries)
        first, wide = np.cumsum([0, *self.sizes]), self.system.spaces.pair_sizes
        sizes = zip(first[:-1], wide, self.sizes, strict=True)
        fold = np.concatenate([at + np.arange(w) % m for at, w, m in sizes])
        narrow = one_hot(fold[:, None], [int(first[-1])])
        return replace(found, features=found.features @ narrow, rest=fold[found.rest])

    def of_states(self) -> StateSpace:
        rule = "values of states are asked where they show all that is paid"
        raise Unsupported("kind 'V'", repr(self), rule, f"Ask 'Q', or: {_SEES[0].lower()}{_SEES[1:]}")


def no_bound(blind: Source, instead: str) -> Unsupported:
    """The refusal of Prop. J.4 without the signal."""
    rule = "where the signal changes how agents move, the policy alone bounds nothing without it"
    return Unsupported("distance 'policy'", repr(blind), rule, f"{instead}: {_SEES[0].lower()}{_SEES[1:]}")


def blind(chain: Chain) -> BlindChain:
    """See `Chain.blind`."""
    if chain.system.signal_of(0) is None:
        raise no_signal("blind", chain)
    system: Any = chain.system
    states, _ = system.spaces.apart(chain.states)
    parts = {k: getattr(chain, k) for k in ("policy", "pair_state", "choice", "kernel", "initial")}
    pairs = system.spaces.unseen(chain.pairs)
    return BlindChain(system=system, states=freeze(states), pairs=freeze(pairs), seen=chain, **parts)
