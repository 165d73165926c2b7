"""The laws of a policy at joint states, asked for once and kept while there is room."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any

import numpy as np

from .._check import Floats, Ints
from ..model.bound_policy import BoundPolicy
from ..model.system import System
from .strides import NO_SERVICE, Laws, act, average

#: Numbers that are kept; beyond, all is forgotten and asked for anew.
_KEPT = 2**24


class Remembered:
    """The laws of a policy at the joint states met lately; threads share it."""

    def __init__(self, system: System, policy: BoundPolicy) -> None:
        self.system, self.policy, self._lock = system, policy, RLock()
        self._most = max(1, _KEPT // (system.n_agents + 2))
        self._forget()

    def _forget(self) -> None:
        self.rows = self.entries = 0
        place = np.full(self.system.spaces.joint_states, -1, dtype=np.int64)
        self.laws = Laws(place, *self._room(64, 64))

    def _room(self, rows: int, entries: int) -> tuple[Ints, Floats, Ints]:
        return (
            np.zeros(rows + 1, np.int64),
            np.zeros(entries),
            np.zeros((entries, self.system.n_agents), np.int64),
        )

    def sample(self, keys: Any, time: int, states: Ints) -> Ints:
        """(R, N) actions."""
        actions = np.empty_like(states)
        self._asked(states, lambda at, joint, laws: act(
            keys[at], time, joint, states[at], actions[at], NO_SERVICE, laws))  # fmt: skip
        return actions

    def mean(self, states: Ints, first: Ints, table: Floats) -> Floats:
        """(R,) mean over the actions in joint states (R, N) of the sum of `table[first[i] + x_i]` over agents."""
        out, wide = np.empty(len(states)), np.array(self.system.spaces.n_actions, dtype=np.int64)
        self._asked(
            states, lambda at, joint, laws: average(joint, states[at], wide, first, table, laws, out[at])
        )
        return out

    def _asked(self, states: Ints, work: Callable[[slice, Ints, Laws], bool]) -> None:
        """Have `work` done on all joint states, at once where their laws are known, else on as many as there is room
        for; it says whether they were."""
        joint = self.system.spaces.state_index(states)
        with self._lock:
            if work(slice(None), joint, self.laws):
                return
            each = max(1, self._most // self.system.spaces.joint_actions)
            for lo in range(0, len(states), each):
                part = slice(lo, lo + each)
                self._meet(joint[part])
                work(part, joint[part], self.laws)

    def using(self, work: Callable[[Laws], int]) -> int:
        """What `work` makes of the laws that are known, while nobody changes them."""
        with self._lock:
            return work(self.laws)

    def _meet(self, joint: Ints) -> None:
        new = np.unique(joint[self.laws.place[joint] < 0])
        if not len(new):
            return
        states = self.system.spaces.states_at(new)
        row, actions, p = self.policy.support(states)
        self.system.check_actions(states[row], actions)
        if self.entries + len(p) > self._most and self.entries:
            self._forget()
            self._meet(joint)
            return
        rows, entries = self.rows + len(new), self.entries + len(p)
        place, start, chance, served = self.laws
        if rows >= len(start) or entries > len(chance):
            grown = self._room(max(2 * rows, len(start) - 1), max(2 * entries, len(chance)))
            for old, wide in zip((start, chance, served), grown, strict=True):
                wide[: len(old)] = old
            start, chance, served = grown
        start[self.rows + 1 : rows + 1] = self.entries + np.searchsorted(row, np.arange(1, len(new) + 1))
        chance[self.entries : entries], served[self.entries : entries] = p, actions
        place[new] = self.rows + np.arange(len(new))
        self.laws, self.rows, self.entries = Laws(place, start, chance, served), rows, entries
