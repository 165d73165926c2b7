"""Joint indices: the one place that owns their order.

Joint state, joint action and joint pair are row-major over agents, agent 0 slowest (the order of
`numpy.kron`). Agent i's local pair is `x_i = s_i * A_i + a_i`. The joint pair index is over
`(x_0, ..., x_{N-1})`, which differs from `joint_state * |A| + joint_action`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._check import Ints
from ..errors import InvalidInput, TooLarge

#: What to do where joint states or joint actions are too many.
AT_SCALE = "me.RestlessBandit counts agents that are alike; me.simulate runs any number of agents."


def about(size: int) -> str:
    """A count in a few characters, however long the integer is, in groups of three digits.

    >>> about(81), about(3**1000)
    ('81', 'about 10^477')
    """
    return (
        f"{size:,}"
        if size < 10**9
        else f"{size:.4g}"
        if size < 10**15
        else f"about 10^{math.log10(size):.0f}"
    )


def _guard(sizes: Sequence[int]) -> None:
    if math.prod(sizes) >= 2**62:
        raise TooLarge("joint index", f"{about(math.prod(sizes))} elements", "2^62", AT_SCALE)


def ravel(locals_: Ints, sizes: Sequence[int]) -> Ints:
    """Joint indices (T,) of local indices (T, N)."""
    _guard(sizes)
    out = np.zeros(locals_.shape[0], dtype=np.int64)
    for i, k in enumerate(sizes):
        out *= k
        out += locals_[:, i]
    return out


def unravel(index: Ints, sizes: Sequence[int]) -> Ints:
    """Local indices (T, N) of joint indices (T,)."""
    _guard(sizes)
    out = np.empty((len(index), len(sizes)), dtype=np.int64)
    rest = np.array(index, dtype=np.int64)
    for i in range(len(sizes) - 1, -1, -1):
        rest, out[:, i] = np.divmod(rest, sizes[i])
    return out


@dataclass(frozen=True)
class Spaces:
    """Local state and action counts of every agent.

    Attributes
    ----------
    n_states : (N,) local state counts S_i.
    n_actions : (N,) local action counts A_i.
    """

    n_states: tuple[int, ...]
    n_actions: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.n_states) != len(self.n_actions):
            got = f"{len(self.n_actions)} sizes for {len(self.n_states)} agents"
            rule = "n_states and n_actions must have one entry per agent"
            raise InvalidInput("n_actions", got, rule, "Give both the same length.")

    @property
    def n_agents(self) -> int:
        """Number of agents N."""
        return len(self.n_states)

    @property
    def shared(self) -> int:
        """Values of what all agents see alike, the slowest part of every local state; 1: there is nothing."""
        return 1

    @cached_property
    def pair_sizes(self) -> tuple[int, ...]:
        """(N,) local pair counts m_i = S_i A_i."""
        return tuple(s * a for s, a in zip(self.n_states, self.n_actions, strict=True))

    @cached_property
    def _widths(self) -> Ints:
        """(N,) local action counts."""
        return np.asarray(self.n_actions, dtype=np.int64)

    @cached_property
    def joint_states(self) -> int:
        """Number of joint states."""
        return math.prod(self.n_states)

    @cached_property
    def joint_actions(self) -> int:
        """Number of joint actions."""
        return math.prod(self.n_actions)

    def local_pairs(self, states: Ints, actions: Ints) -> Ints:
        """Local pairs (T, N) of local states and actions (T, N)."""
        return states * self._widths + actions

    def split(self, pairs: Ints) -> tuple[Ints, Ints]:
        """Local states and local actions (T, N) of local pairs (T, N)."""
        states, actions = np.divmod(pairs, self._widths)
        return states, actions

    def state_index(self, states: Ints, name: str = "joint state") -> Ints:
        """Joint state indices (T,) of local states (T, N); `name` is blamed for one that is not there."""
        return ravel(states, self.n_states)

    def states_at(self, index: Ints) -> Ints:
        """Local states (T, N) of joint state indices (T,)."""
        return unravel(index, self.n_states)

    def asked(self, states: Ints) -> tuple[Ints, ...]:
        """What a user's policy is asked at local states (T, N), each with T rows."""
        return (states,)

    def told(self, actions: Ints) -> Ints:
        """What a user's function is told of joint actions (T, N)."""
        return actions

    def shown(self, state: Ints) -> str:
        """A joint state (N,) in a message."""
        return f"state {tuple(np.asarray(state).tolist())}"

    @property
    def first(self) -> tuple[int, ...]:
        """The first joint state."""
        return (0,) * self.n_agents

    @property
    def last(self) -> tuple[int, ...]:
        """The last joint state."""
        return tuple(k - 1 for k in self.n_states)

    def action_index(self, actions: Ints) -> Ints:
        """Joint action indices (T,) of local actions (T, N)."""
        return ravel(actions, self.n_actions)

    def actions_at(self, index: Ints) -> Ints:
        """Local actions (T, N) of joint action indices (T,)."""
        return unravel(index, self.n_actions)


@dataclass(frozen=True, eq=False)
class ListedSpaces(Spaces):
    """Spaces of which only some joint states are there, however large their product; the index is the place in a list.

    Attributes
    ----------
    listed : (n, N) local states of each joint state, distinct rows.
    """

    listed: Ints

    @property
    def joint_states(self) -> int:
        return len(self.listed)

    @cached_property
    def _sorted(self) -> tuple[Ints, Any]:
        """The places in the order of the rows as bytes, and these."""
        rows = _bytes(self.listed)
        order = np.argsort(rows)
        return order, rows[order]

    def state_index(self, states: Ints, name: str = "joint state") -> Ints:
        (order, rows), asked = self._sorted, _bytes(states)
        place = np.minimum(np.searchsorted(rows, asked), len(rows) - 1)
        missing = rows[place] != asked
        if missing.any():
            got = str(tuple(map(int, states[missing.argmax()])))
            raise InvalidInput(
                name, got, f"it is none of the {len(rows)} in `pairs`", "Add it, or take one of these."
            )
        return order[place]

    def states_at(self, index: Ints) -> Ints:
        return self.listed[index]

    @property
    def first(self) -> tuple[int, ...]:
        return tuple(map(int, self.listed[0]))

    @property
    def last(self) -> tuple[int, ...]:
        return tuple(map(int, self.listed[-1]))


def _bytes(rows: Ints) -> Any:
    """(T,) each row of (T, N) as one value that can be sorted and compared."""
    return np.ascontiguousarray(rows, dtype=np.int64).view(f"V{8 * rows.shape[1]}").reshape(-1)


def _given(labels: Mapping[str, Any], key: str) -> Any:
    """What stands at a key, nothing where it is missing or None."""
    found = labels.get(key)
    return () if found is None else found


@dataclass(frozen=True)
class Labels:
    """Display names; any may be empty, then numbers are shown.

    Attributes
    ----------
    names : one name per agent.
    states : per agent, one name per local state.
    actions : per agent, one name per local action.
    """

    names: tuple[str, ...] = ()
    states: tuple[tuple[str, ...], ...] = ()
    actions: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, value: Any, spaces: Spaces) -> Labels:
        """Normalise: None, `Labels` or a mapping with keys names, states, actions.

        A flat list of state (action) names is shared by all agents.
        """
        if value is None:
            return cls()
        if isinstance(value, Labels):
            value = vars(value)
        if not isinstance(value, Mapping):
            raise InvalidInput.kind("labels", value, "a mapping", "Use names, states, actions.")
        for key in value:
            if key not in (keys := ("names", "states", "actions")):
                raise InvalidInput.unknown(f"agents.{key}", key, keys, "keys are", "an unknown key")
        names = cls.strings("agents.names", _given(value, "names"), spaces.n_agents)
        twice = [n for k, n in enumerate(names) if n in names[:k]]
        if twice:
            raise InvalidInput("agents.names", f"{twice[0]!r} twice", "names must differ", "Number them.")
        return cls(
            names,
            cls._per_agent("agents.states", _given(value, "states"), spaces.n_states),
            cls._per_agent("agents.actions", _given(value, "actions"), spaces.n_actions),
        )

    @staticmethod
    def strings(key: str, value: object, count: int) -> tuple[str, ...]:
        """So many names as text; none of an empty list."""
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise InvalidInput.kind(key, value, "a list of strings", "Quote each name.")
        if any("\ud800" <= c <= "\udfff" for v in value for c in v):
            raise InvalidInput(key, "half a surrogate pair", "names are Unicode text", "Rename it.")
        if value and len(value) != count:
            raise InvalidInput(key, f"{len(value)} names", f"there must be {count}", "One name for each.")
        return tuple(value)

    @classmethod
    def _per_agent(cls, key: str, value: object, sizes: tuple[int, ...]) -> tuple[tuple[str, ...], ...]:
        if isinstance(value, list | tuple) and not value:
            return ()
        if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            value = [value] * len(sizes)
        if not isinstance(value, list | tuple) or len(value) != len(sizes):
            raise InvalidInput.kind(key, value, "one list per agent", "Nest the lists.")
        return tuple(
            cls.strings(f"{key}[{i}]", v, k) for i, (v, k) in enumerate(zip(value, sizes, strict=True))
        )

    def state_names(self, i: int) -> tuple[str, ...] | None:
        """Names of the local states of agent i, or None."""
        return (self.states[i] or None) if self.states else None

    def action_names(self, i: int) -> tuple[str, ...] | None:
        """Names of the local actions of agent i, or None."""
        return (self.actions[i] or None) if self.actions else None

    def numbered(self, name: str, state: Any) -> Any:
        """A joint state given by names of local states as numbers; whatever else it is stays as it is."""
        if not isinstance(state, list | tuple) or not any(isinstance(s, str) for s in state):
            return state
        return [self._number(f"{name}[{i}]", i, s) if isinstance(s, str) else s for i, s in enumerate(state)]

    def _number(self, name: str, i: int, state: str) -> int:
        known = self.state_names(i) if i < len(self.states) else None
        if known is None:
            rule = "the states of this agent have no names"
            raise InvalidInput(
                name,
                repr(state),
                rule,
                "Give numbers of states, or name the states: `labels`, [agents] states.",
            )
        if state not in known:
            raise InvalidInput.unknown(name, state, known, "states are")
        return known.index(state)

    def agent(self, i: int) -> str:
        """Display name of agent i."""
        return self.names[i] if self.names else f"agent {i}"

    def kind(self, t: int) -> str:
        """Display name of arm type t."""
        return self.names[t] if self.names else str(t)

    def state(self, i: int, s: int) -> str:
        """Display name of local state s of agent i."""
        return names[s] if (names := self.state_names(i)) else str(s)

    def action(self, i: int, a: int) -> str:
        """Display name of local action a of agent i."""
        return names[a] if (names := self.action_names(i)) else str(a)
