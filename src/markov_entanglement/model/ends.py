"""Tasks that end: terminal joint states, and where the next task starts.

The chain of such a system holds live joint states only. `K_c` is the kernel among them, `ends = 1 - K_c 1` the
chance that the task ends, and `K = K_c + ends (x) restart` the kernel of task after task, whose stationary law is
`mu`. Values stop at the end: `Q = (I - gamma P_c)^{-1} r`. Since `mu P_c <= mu`, theorems, span bounds and
certificates hold with `P_c` for `P`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._check import Floats, Ints, freeze
from ..errors import InvalidInput
from .spaces import Labels, Spaces, about


@dataclass(frozen=True, eq=False)
class Ends:
    """Where tasks end and start again.

    Attributes
    ----------
    terminal : (K,) indices of the terminal joint states, ascending.
    start : joint state indices (R,) and probabilities (R,) of the next task's first state, or None.
    spaces : of the system.
    """

    terminal: Ints
    start: tuple[Ints, Floats] | None
    spaces: Spaces

    @classmethod
    def of(cls, terminal: Any, restart: Any, spaces: Spaces, labels: Labels) -> Ends | None:
        """Validate `terminal` (joint states by numbers or names, or a mask) and `restart` (see `start_law`); None where
        nothing ends."""
        if terminal is None:
            if restart is not None:
                raise InvalidInput("restart", "a restart without `terminal`", "only a task that ends starts again",
                                   "Give `terminal`, or drop `restart`.")  # fmt: skip
            return None
        at = _terminal(terminal, spaces, labels)
        if len(at) == spaces.joint_states:
            raise InvalidInput("terminal", "every joint state", "a task needs a state in which it goes on",
                               "Leave the live joint states out.")  # fmt: skip
        if len(at) == 0:
            return None
        ends = cls(freeze(at), None, spaces)
        return (
            ends if restart is None else cls(at, start_law("restart", restart, spaces, labels, ends), spaces)
        )

    @property
    def restart(self) -> Floats | None:
        """(joint states,) law of the next task's first state, or None."""
        if self.start is None:
            return None
        law = np.zeros(self.spaces.joint_states)
        law[self.start[0]] = self.start[1]
        return freeze(law)

    @property
    def anywhere(self) -> Floats:
        """(joint states,) uniform law over the live joint states."""
        law = np.ones(self.spaces.joint_states)
        law[self.terminal] = 0.0
        return law / law.sum()

    def seal(self, rows: Any, to: Ints) -> Any:
        """The matrix or array (joint states, ..., columns) with each terminal row all on its column in `to`."""
        shape = _check.shape_of("policy", rows)
        if len(shape) < 2 or shape[0] != self.spaces.joint_states or shape[-1] <= to.max():
            return rows  # whoever validates it says what is wrong
        if not sp.issparse(rows):
            dense = np.array(rows)
            dense[self.terminal] = 0
            dense[self.terminal, ..., to] = 1
            return dense
        live = np.delete(np.arange(shape[0]), self.terminal)
        kept = sp.csr_array((np.ones(len(live)), (live, np.arange(len(live)))), shape=(shape[0], len(live)))
        put = sp.csr_array((np.ones(len(to)), (self.terminal, to)), shape=shape)
        return sp.csr_array(kept @ sp.csr_array(rows)[live] + put, dtype=rows.dtype)

    def refuse(self, name: str, index: Ints) -> None:
        """Refuse joint state indices of which one is terminal."""
        ended = np.intersect1d(index, self.terminal)
        if len(ended):
            state = tuple(map(int, self.spaces.states_at(ended[:1])[0]))
            raise InvalidInput(name, f"the terminal joint state {state}", "a task starts in a live joint state",
                               "Start elsewhere, or take that state off `terminal`.")  # fmt: skip


def start_law(
    name: str, value: Any, spaces: Spaces, labels: Labels, ends: Ends | None = None
) -> tuple[Ints, Floats]:
    """Joint state indices and probabilities of a joint state or a law (joint states,), on live states only."""
    value = labels.numbered(name, value)
    shape = _check.shape_of(name, value)
    whole = np.issubdtype(np.asarray(value).dtype, np.integer)
    if shape == (spaces.n_agents,) and (whole or shape != (spaces.joint_states,)):
        index, mass = spaces.state_index(one_state(name, value, spaces)[None], name), np.ones(1)
    elif shape == (spaces.joint_states,):
        law = _check.probabilities(name, value)
        index = np.flatnonzero(law).astype(np.int64)
        mass = law[index]
    else:
        raise InvalidInput(name, f"shape {shape}", f"it must be a joint state ({spaces.n_agents} local states) or a "
                           f"law over {about(spaces.joint_states)} joint states", "Give one of the two.")  # fmt: skip
    if ends is not None:
        ends.refuse(name, index)
    return index, mass


def one_state(name: str, value: Any, spaces: Spaces) -> Ints:
    """(N,) one joint state by the numbers of its local states."""
    each = zip(value, spaces.n_states, strict=True)
    state = [_check.integer(f"{name}[{i}]", s, low=0, high=k - 1) for i, (s, k) in enumerate(each)]
    return np.asarray(state, dtype=np.int64)


def _terminal(terminal: Any, spaces: Spaces, labels: Labels) -> Ints:
    if isinstance(terminal, list | tuple):
        terminal = [labels.numbered(f"terminal[{k}]", state) for k, state in enumerate(terminal)]
    shape = _check.shape_of("terminal", terminal)
    states = np.asarray(terminal)
    if states.dtype == np.bool_ and shape == (spaces.joint_states,):
        return np.flatnonzero(states).astype(np.int64)
    if states.size == 0 and len(shape) == 1:
        return np.zeros(0, dtype=np.int64)
    if len(shape) != 2 or shape[1] != spaces.n_agents or states.dtype.kind not in "iu":
        raise InvalidInput("terminal", f"{states.dtype} entries of shape {shape}", "it must be a list of joint states "
                           f"({spaces.n_agents} local states each) or a mask of {about(spaces.joint_states)} booleans",
                           f"E.g. terminal=[{spaces.last}].")  # fmt: skip
    wrong = np.argwhere((states < 0) | (states >= np.asarray(spaces.n_states)))
    if len(wrong):
        k, i = map(int, wrong[0])
        raise InvalidInput(f"terminal[{k}][{i}]", str(states[k, i]), f"it must lie in 0..{spaces.n_states[i] - 1}",
                           "Change the value.")  # fmt: skip
    return np.unique(spaces.state_index(states.astype(np.int64), "terminal"))
