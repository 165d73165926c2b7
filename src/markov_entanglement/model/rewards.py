"""Rewards: one local table per agent, or one joint (shared) table or function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, freeze
from .._labelled import aligned, named
from ..errors import InvalidInput, short
from .described import rewards_described
from .spaces import Labels, Spaces, about


@dataclass(frozen=True, eq=False)
class Rewards:
    """Either `local` or `shared` is set, or it is `Called`.

    Attributes
    ----------
    local : per agent (m_i,) reward of each local pair, units of reward per step; or None.
    shared : (joint states, joint actions) one reward for all; or None.
    """

    local: tuple[Floats, ...] | None
    shared: Floats | None
    #: The function behind one reward of all, where a table would be too large.
    called: ClassVar[Callable[..., Any] | None] = None
    #: Those of the members, where agents are groups of others.
    members: ClassVar[Rewards | None] = None

    @classmethod
    def of(cls, value: Any, spaces: Spaces, labels: Labels | None = None, name: str = "rewards") -> Rewards:
        """Normalise what the user gave: per-agent tables, one joint array, or a function of joint state and action;
        frames by the names in `labels`."""
        if isinstance(value, Rewards):
            return value
        if callable(value):
            return cls._function(name, value, spaces)
        if sp.issparse(value):
            value = value.toarray()
        value = _by_name(name, value, spaces, labels or Labels())
        joint = None if cls.one_each(value, spaces) else cls._joint(value, spaces)
        if joint is not None:
            js, ja = spaces.joint_states, spaces.joint_actions
            return cls(None, freeze(np.array(np.broadcast_to(joint.reshape(js, -1), (js, ja)))))
        listed = isinstance(value, Sequence | np.ndarray) and 0 < getattr(value, "ndim", 1) < 4
        if not listed or len(value) != spaces.n_agents:
            got = f"{len(value)} entries" if listed else short(value)
            got = f"shape {value.shape}" if getattr(value, "ndim", 0) > 1 else got
            joint_shape = f"({about(spaces.joint_states)}, {about(spaces.joint_actions)})"
            rule = f"one table per agent ({spaces.n_agents}), or one joint array of shape {joint_shape}"
            raise InvalidInput(name, got, rule, _remedy(value, spaces))
        return cls(cls._each(name, value, spaces), None)

    @classmethod
    def _function(cls, name: str, f: Callable[..., Any], spaces: Spaces) -> Rewards:
        """As a table where that is small."""
        js, ja = spaces.joint_states, spaces.joint_actions
        if js * ja > tol.REWARD_CALLS:
            return Called(None, None, f)
        states, actions = spaces.states_at(np.arange(js)), spaces.actions_at(np.arange(ja))
        paid = _paid(name, f, spaces, np.repeat(states, ja, axis=0), np.tile(actions, (js, 1)))
        return cls(None, freeze(paid.reshape(js, ja)))

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
        return _check.amounts("rewards", value)

    @classmethod
    def _each(cls, name: str, value: Any, spaces: Spaces) -> tuple[Floats, ...]:
        """Validated tables (m_i,) of all agents; an object that stands for several of one size is held once."""
        sizes = set(zip(spaces.n_states, spaces.n_actions, strict=True))
        s, a = min(sizes)
        if isinstance(value, np.ndarray) and len(sizes) == 1 and value.shape[1:] in {(s, a), (s,), (s * a,)}:
            whole = _check.amounts(name, value).reshape(len(value), -1)
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
        r = _check.amounts(name, value)
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

    #: How far the local tables are from what is paid, `sum_i ||r_i - local_i||_mu`; None where they are what is paid.
    misfit: ClassVar[float | None] = None

    @property
    def paid(self) -> Rewards:
        """What is paid, where the local tables are but means of it."""
        return self

    def less(self, plain: tuple[Floats, ...], constants: Floats) -> Rewards:
        """The same without constants of the agents; `plain` are the local tables without them."""
        if self.local is not None:
            return Rewards(plain, None)
        if self.called is None:
            return Rewards(None, self.shared - constants.sum())
        f, constant = self.called, float(constants.sum())
        return Called(None, None, lambda *at: f(*at) - constant)

    def summary(self) -> dict[str, Any]:
        """For the `system` block of a result."""
        if self.called is not None:
            return {"kind": "shared", "range": [None, None], "digest": ""}
        return rewards_described(self.local, self.shared)

    def span(self, ends: bool, lacking: Sequence[Bools] = ()) -> float:
        """At most by how much the total reward of two joint pairs, or of one and of none after an end, can differ;
        infinite where that is not known. `lacking` (S_i, A_i) marks actions that a state does not offer."""
        if self.called is not None:
            return math.inf
        tables = (self.shared,) if self.local is None else self.local
        if self.local is not None and lacking:
            tables = tuple(t[~x.ravel()] for t, x in zip(self.local, lacking, strict=True))
        return sum(float(np.ptp(np.append(t, 0.0) if ends else t)) for t in tables if t is not None)

    def on_pairs(self, pairs: Ints, spaces: Spaces) -> Floats:
        """Total reward (n,) of joint pairs given as local pairs (n, N)."""
        if self.local is not None:
            return np.asarray(sum(r[pairs[:, i]] for i, r in enumerate(self.local)), dtype=np.float64)
        states, actions = spaces.split(pairs)
        if self.called is not None:
            return _paid("rewards", self.called, spaces, states, actions)
        assert self.shared is not None
        return self.shared[spaces.state_index(states), spaces.action_index(actions)]


@dataclass(frozen=True, eq=False)
class Called(Rewards):
    """One reward for all: (state tuple, action tuple), with a signal (state tuple, signal, action tuple) -> number."""

    called: Callable[..., Any]  # type: ignore[misc]


def _paid(name: str, f: Callable[..., Any], spaces: Spaces, states: Ints, actions: Ints) -> Floats:
    """(n,) what a function pays in joint states for joint actions (n, N)."""
    out = np.empty(len(states))
    columns = [x.tolist() for x in (*spaces.asked(states), spaces.told(actions))]
    for k, given in enumerate(zip(*columns, strict=True)):
        asked = [tuple(x) if isinstance(x, list) else x for x in given]
        at = f"{name}({', '.join(map(str, asked))})"
        try:
            paid = f(*asked)
        except Exception as e:
            rule = "it must answer in every joint state for every joint action"
            raise InvalidInput(at, f"{type(e).__name__}: {e}", rule, "Where there is none, return 0.") from e
        try:
            out[k] = _check.number(at, paid)
        except InvalidInput:
            raise InvalidInput.kind(
                at, paid, "one finite number", "Return the reward of all agents."
            ) from None
    return _check.amounts(name, out)


def _remedy(value: Any, spaces: Spaces) -> str:
    """What mends a reward that fits nothing."""
    js, ja = spaces.joint_states, spaces.joint_actions
    if isinstance(value, np.ndarray) and value.size == js * ja:
        return f"If it runs over all joint states and actions, agent 0 slowest: rewards.reshape({js}, {ja})."
    return "Match one of the two, or give a function of the joint state and the joint action."


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
