"""Joint states (z, s) of agents that all see one signal: what each agent reads is the pair (z, s_i).

Its local state is `w_i = z S_i + s_i`, the signal slowest, so that a table (Z, S_i, ...) becomes one over local states
by a reshape. Joint states in which agents see different signals do not exist: the joint index is `z prod_i S_i` plus
the row-major index of the plain states.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from .._check import Floats, Ints
from ..errors import InvalidInput
from .bound_policy import BoundPolicy
from .spaces import Labels, Spaces, ravel, unravel


@dataclass(frozen=True, eq=False)
class SignalSpaces(Spaces):
    """Spaces of agents that see one signal; `n_states` counts the pairs (z, s_i) of each.

    Attributes
    ----------
    n_signals : number Z of values of the signal.
    """

    n_signals: int

    @classmethod
    def of(cls, plain: Spaces, n_signals: int) -> SignalSpaces:
        """The spaces of agents with these plain states."""
        return cls(tuple(n_signals * s for s in plain.n_states), plain.n_actions, n_signals)

    @property
    def shared(self) -> int:
        return self.n_signals

    @cached_property
    def plain(self) -> Spaces:
        """The same agents without the signal."""
        return Spaces(tuple(w // self.n_signals for w in self.n_states), self.n_actions)

    @property
    def joint_states(self) -> int:
        return self.n_signals * self.plain.joint_states

    def together(self, states: Ints, signal: Ints) -> Ints:
        """Local states (T, N) of plain states (T, N) and signals (T,)."""
        return states + signal[:, None] * np.array(self.plain.n_states, dtype=np.int64)

    def apart(self, states: Ints, name: str = "joint state") -> tuple[Ints, Ints]:
        """Plain states (T, N) and signals (T,) of local states (T, N)."""
        signal, plain = np.divmod(states, np.array(self.plain.n_states, dtype=np.int64))
        mixed = (signal != signal[:, :1]).any(axis=1)
        if mixed.any():
            got = f"agents that see signals {', '.join(map(str, signal[mixed.argmax()][:6].tolist()))}"
            raise InvalidInput(name, got, "all see the same one", "Give every agent the same signal.")
        return plain, signal[:, 0]

    def unseen(self, pairs: Ints) -> Ints:
        """Local pairs (..., N) without the signal of those with it."""
        return np.asarray(pairs % np.array(self.plain.pair_sizes, dtype=np.int64))

    def state_index(self, states: Ints, name: str = "joint state") -> Ints:
        plain, signal = self.apart(states, name)
        return ravel(np.column_stack([signal, plain]), (self.n_signals, *self.plain.n_states))

    def states_at(self, index: Ints) -> Ints:
        both = unravel(index, (self.n_signals, *self.plain.n_states))
        return self.together(both[:, 1:], both[:, 0])

    def asked(self, states: Ints) -> tuple[Ints, ...]:
        return self.apart(states)

    def shown(self, state: Ints) -> str:
        plain, signal = self.apart(np.asarray(state)[None])
        return f"state {tuple(plain[0].tolist())} with signal {signal[0]}"


def unseen_reward(r: Floats, weight: Floats, size: int) -> tuple[Floats, float]:
    """(m,) means of a reward (Z m,) by local pairs that do not show the signal, under a weight (Z m,), all signals
    alike where it is 0; and the absolute deviation from these."""
    r, weight = r.reshape(-1, size), weight.reshape(-1, size)
    mass = weight.sum(axis=0)
    mean = np.where(mass > 0, (weight * r).sum(axis=0) / np.where(mass > 0, mass, 1.0), r.mean(axis=0))
    return mean, float((weight * np.abs(r - mean)).sum())


def wide_labels(labels: Labels, signals: tuple[str, ...], spaces: SignalSpaces) -> Labels:
    """Names of the pairs (z, s_i): "state | signal"."""
    seen = signals or tuple(f"z={z}" for z in range(spaces.n_signals))
    known: dict[tuple[str, ...], tuple[str, ...]] = {}
    out = []
    for i, s in enumerate(spaces.plain.n_states):
        own = tuple(labels.state(i, k) for k in range(s))
        if own not in known:
            known[own] = tuple(f"{name} | {z}" for z in seen for name in own)
        out.append(known[own])
    return Labels(labels.names, tuple(out), labels.actions)


class BySignal(BoundPolicy):
    """One policy for each value of the signal."""

    def __init__(self, spaces: SignalSpaces, each: tuple[BoundPolicy, ...]) -> None:
        super().__init__(spaces)
        self.signals, self.each = spaces, each

    def _parts(self, states: Ints) -> list[tuple[Ints, BoundPolicy]]:
        """The places of the states with each signal, and its policy."""
        signal = states[:, 0] // self.signals.plain.n_states[0]
        found = ((np.flatnonzero(signal == z), policy) for z, policy in enumerate(self.each))
        return [(at, policy) for at, policy in found if len(at)]

    def table(self, states: Ints) -> sp.csr_array:
        parts = self._parts(states)
        if not parts:
            return sp.csr_array((0, self.spaces.joint_actions))
        order = np.argsort(np.concatenate([at for at, _ in parts]))
        return sp.csr_array(sp.vstack([p.table(states[at]) for at, p in parts], format="csr")[order])

    def marginals(self, states: Ints) -> list[Floats]:
        out = [np.zeros((len(states), a)) for a in self.spaces.n_actions]
        for at, policy in self._parts(states):
            for table, part in zip(out, policy.marginals(states[at]), strict=True):
                table[at] = part
        return out

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        out = np.empty_like(states)
        for at, policy in self._parts(states):
            out[at] = policy.sample(states[at], rng)
        return out
