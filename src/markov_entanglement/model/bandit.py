"""Restless bandits (Def. 7.4): arms with two actions, exactly `budget` of them active at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .._check import Floats, freeze
from ..errors import InvalidInput, Unsupported
from ..laws.source import Model, Unit

if TYPE_CHECKING:
    from ..bandits.chain import BanditChain


@dataclass(frozen=True, eq=False, repr=False)
class RestlessBandit(Model):
    """Arms of T types; arms of one type are alike. Exactly `budget` arms are active (action 1).

    Parameters
    ----------
    kernels : (2, S, S) and `n_arms` an int; or (T, 2, S, S) and `n_arms` of length T.
        `kernels[..., a, s, t] = P(t | s, a)`.
    rewards : (S,), (S, 2), or with a leading T; units of reward per step and arm.
    n_arms : number of arms, or of arms of each type.
    budget : number of active arms M, 0 <= M <= total number of arms.
    discount : gamma in [0, 1).

    Raises
    ------
    InvalidInput : wrong shapes, rows that are not laws, a budget outside 0..N, non-integer counts.

    >>> import markov_entanglement as me
    >>> rest, serve = [[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.1, 0.9]]
    >>> me.RestlessBandit([rest, serve], [0, 1], n_arms=9, budget=3, discount=0.9)
    RestlessBandit(9 arms, budget 3)

    Attributes
    ----------
    kernels : (T, 2, S, S); rewards : (T, S, 2); n_arms : (T,) int64.
    """

    kernels: Floats
    rewards: Floats
    n_arms: _check.Ints
    budget: int
    discount: float

    def __init__(self, kernels: Any, rewards: Any, *, n_arms: Any, budget: int, discount: float) -> None:
        single = np.ndim(kernels) == 3
        k = _check.probabilities("kernels", [kernels] if single else kernels, shape=(None, 2, None, None))
        types, _, states, targets = k.shape
        if states != targets:
            raise InvalidInput(
                "kernels", f"shape {states}x{targets}", "each kernel must be square", "Rows are states."
            )
        if np.ndim(n_arms) == 0:
            counts = np.array([_check.integer("n_arms", n_arms, low=1, high=2**62)], dtype=np.int64)
        else:
            counts = np.array(
                [_check.integer(f"n_arms[{t}]", n, low=0, high=2**62) for t, n in enumerate(n_arms)],
                dtype=np.int64,
            )
        if len(counts) != types:
            raise InvalidInput(
                "n_arms", f"{len(counts)} counts for {types} arm types", "one count per type", "Match them."
            )
        total = sum(int(n) for n in counts)
        if total >= 2**62 or total == 0:
            raise InvalidInput("n_arms", f"{total} arms", "their number must be in 1..2^62", "Change it.")
        object.__setattr__(self, "kernels", k)
        object.__setattr__(self, "rewards", _rewards(rewards, types, states))
        object.__setattr__(self, "n_arms", freeze(counts))
        object.__setattr__(self, "budget", _check.integer("budget", budget, low=0, high=total))
        object.__setattr__(self, "discount", _check.discount(discount))

    def __repr__(self) -> str:
        kinds = f" of {self.n_types} types" if self.n_types > 1 else ""
        return f"RestlessBandit({self.n_agents:,} arms{kinds}, budget {self.budget:,})"

    def under(self, policy: Any, *, initial: Any = None) -> BanditChain:
        """The chain of the counts under an index or uniform policy; nothing is enumerated before it is asked for.

        Raises
        ------
        Unsupported : another kind of policy, or an initial state (the long run is that of the recurrent class).
        """
        from ..bandits.chain import BanditChain

        if initial is not None:
            raise Unsupported(
                "initial", repr(initial)[:60], "a bandit is analysed in the long run", "Leave it out."
            )
        return BanditChain(self, policy)

    def read_rewards(self, rewards: Any) -> Floats:
        """(T, S, 2) of rewards in any shape that the constructor takes."""
        return _rewards(rewards, self.n_types, self.n_states)

    @property
    def units(self) -> tuple[Unit, ...]:
        """(T,) the arm types."""
        arms = [int(n) for n in self.n_arms]
        names = [f"{n:,} arms" if len(arms) == 1 else f"type {t}: {n:,} arms" for t, n in enumerate(arms)]
        return tuple(Unit(name, 2 * self.n_states, n) for name, n in zip(names, arms, strict=True))

    @property
    def n_agents(self) -> int:
        """Total number of arms N."""
        return int(self.n_arms.sum())

    @property
    def n_types(self) -> int:
        """Number of arm types T."""
        return self.kernels.shape[0]

    @property
    def n_states(self) -> int:
        """Local states S of an arm."""
        return self.kernels.shape[2]


def _rewards(value: Any, types: int, states: int) -> Floats:
    r = _check.real("rewards", value)
    if r.shape in {(states,), (states, 2)}:
        r = np.broadcast_to(r, (types, *r.shape))
    if r.shape == (types, states):
        r = np.repeat(r[..., None], 2, axis=-1)
    if r.shape != (types, states, 2):
        raise InvalidInput(
            "rewards",
            f"shape {np.shape(value)}",
            f"it must be ({states},), ({states}, 2) or these with a leading {types}",
            "Give one reward per local state (and action).",
        )
    return freeze(np.array(r))
