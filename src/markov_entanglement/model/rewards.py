"""Rewards: one local table per agent, or one joint (shared) table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._check import Floats, Ints, freeze
from .._labelled import aligned, named
from ..errors import InvalidInput, short
from .described import rewards_described
from .spaces import Labels, Spaces, about


@dataclass(frozen=True, eq=False)
class Rewards:
    """Either `local` or `shared` is set.

    Attributes
    ----------
    local : per agent (m_i,) reward of each local pair, units of reward per step; or None.
    shared : (joint states, joint actions) one reward for all; or None.
    """

    local: tuple[Floats, ...] | None
    shared: Floats | None

    @classmethod
    def of(cls, value: Any, spaces: Spaces, labels: Labels | None = None, name: str = "rewards") -> Rewards:
        """Normalise what the user gave: per-agent tables or one joint array; frames by the names in `labels`."""
        if isinstance(value, Rewards):
            return value
        if sp.issparse(value):
            value = value.toarray()
        value = _by_name(name, value, spaces, labels or Labels())
        joint = None if cls.one_each(value, spaces) else cls._joint(value, spaces)
        if joint is not None:
            js, ja = spaces.joint_states, spaces.joint_actions
            return cls(None, freeze(np.array(np.broadcast_to(joint.reshape(js, -1), (js, ja)))))
        listed = isinstance(value, Sequence | np.ndarray) and getattr(value, "ndim", 1) > 0
        if not listed or len(value) != spaces.n_agents:
            got = f"{len(value)} entries" if listed else short(value)
            joint_shape = f"({about(spaces.joint_states)}, {about(spaces.joint_actions)})"
            rule = f"one table per agent ({spaces.n_agents}), or one joint array of shape {joint_shape}"
            raise InvalidInput(name, got, rule, "Match one of the two.")
        return cls(cls._each(name, value, spaces), None)

    @staticmethod
    def one_each(value: Any, spaces: Spaces) -> bool:
        """A list with a table that fits each agent is never read as a joint array."""
        if not isinstance(value, list | tuple) or len(value) != spaces.n_agents:
            return False
        shapes = {id(v): v for v in value}
        shape = {k: _check.shape_of("rewards", v) for k, v in shapes.items()}
        sizes = zip(map(id, value), spaces.n_states, spaces.n_actions, strict=True)
        return all(shape[k] in {(s, a), (s,), (s * a,)} for k, s, a in sizes)

    @staticmethod
    def _joint(value: Any, spaces: Spaces) -> Floats | None:
        try:
            shape = np.shape(value)
        except ValueError:
            return None
        js, ja = spaces.joint_states, spaces.joint_actions
        if shape not in {(js, ja), (js,)} or (len(shape) == 1 and np.ndim(value[0]) > 0):
            return None
        return _check.real("rewards", value)

    @classmethod
    def _each(cls, name: str, value: Any, spaces: Spaces) -> tuple[Floats, ...]:
        """Validated tables (m_i,) of all agents; an object that stands for several of one size is held once."""
        sizes = set(zip(spaces.n_states, spaces.n_actions, strict=True))
        s, a = min(sizes)
        if isinstance(value, np.ndarray) and len(sizes) == 1 and value.shape[1:] in {(s, a), (s,), (s * a,)}:
            whole = _check.real(name, value).reshape(len(value), -1)
            return tuple(freeze(np.array(whole if whole.shape[1] == s * a else np.repeat(whole, a, axis=1))))
        given, known = [*value], {}
        for i, key in enumerate(zip(map(id, given), spaces.n_states, spaces.n_actions, strict=True)):
            if key not in known:
                known[key] = cls._local(f"{name}[{i}]", given[i], spaces, i)
        return tuple(
            known[key] for key in zip(map(id, given), spaces.n_states, spaces.n_actions, strict=True)
        )

    @staticmethod
    def _local(name: str, value: Any, spaces: Spaces, i: int) -> Floats:
        s, a = spaces.n_states[i], spaces.n_actions[i]
        r = _check.real(name, value)
        if r.shape == (s, a) or r.shape == (s * a,):
            return freeze(np.array(r.reshape(-1)))
        if r.shape == (s,):
            return freeze(np.repeat(r, a))
        rule = f"agent {i} needs ({s}, {a}), ({s},) or ({s * a},)"
        remedy = "Reshape it."
        if r.ndim == 3:
            remedy = (
                "With next states, give one array (joint states, joint actions, joint states) for all agents."
            )
        raise InvalidInput(name, f"shape {r.shape}", rule, remedy)

    def summary(self) -> dict[str, Any]:
        """For the `system` block of a result."""
        return rewards_described(self.local, self.shared)

    def span(self, ends: bool) -> float:
        """At most by how much the total reward of two joint pairs, or of one and of none after an end, can differ."""
        tables = (self.shared,) if self.local is None else self.local
        return sum(float(np.ptp(np.append(t, 0.0) if ends else t)) for t in tables if t is not None)

    def on_pairs(self, pairs: Ints, spaces: Spaces) -> Floats:
        """Total reward (n,) of joint pairs given as local pairs (n, N)."""
        if self.local is not None:
            return np.asarray(sum(r[pairs[:, i]] for i, r in enumerate(self.local)), dtype=np.float64)
        assert self.shared is not None
        states, actions = spaces.split(pairs)
        return self.shared[spaces.state_index(states), spaces.action_index(actions)]


def _by_name(name: str, value: Any, spaces: Spaces, labels: Labels) -> Any:
    """Tables of the agents in the order of their states' and actions' names, where the tables carry names."""
    if not isinstance(value, list | tuple):
        return aligned(name, value, ())
    if not named(value) or len(value) != spaces.n_agents:
        return value
    return [
        aligned(f"{name}[{i}]", v, (labels.state_names(i), labels.action_names(i))[: np.ndim(v)])
        for i, v in enumerate(value)
    ]
