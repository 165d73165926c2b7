"""General multi-agent systems: one joint kernel, or a joint chain as such."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Ints
from ..errors import InvalidInput, TooLarge, gib
from .ends import Ends
from .spaces import Spaces, about
from .system import System


@dataclass(frozen=True, eq=False, repr=False, init=False)
class MultiAgentMDP(System):
    """A Markov decision process whose states and actions are tuples, one entry per agent.

    Parameters
    ----------
    kernel : (joint states, joint actions, joint states) array, `kernel[s, a, t] = P(t | s, a)`, or a
        sequence with one (sparse) matrix (joint states, joint states) per joint action. Joint indices are
        row-major, agent 0 slowest. A row of zeros marks an action that is not available in that state.
    rewards : one table per agent, (S_i, A_i), (S_i,) or (m_i,); or one joint array (shared reward).
    n_states, n_actions : local sizes, one per agent; agents may differ.
    discount : gamma in [0, 1).
    labels : display names, see `Labels`.
    terminal, restart : where tasks end (joint states, or a mask) and where the next one starts (a joint state or a
        law over joint states; None = the chain's `initial`). Kernel rows of terminal states are ignored, their
        rewards are not collected.

    Raises
    ------
    InvalidInput : wrong shapes, rows that are not laws, non-finite or complex entries, a bad discount.

    >>> import numpy as np, markov_entanglement as me
    >>> k = np.full((4, 1, 4), 0.25)
    >>> me.MultiAgentMDP(k, [[0, 1], [0, 1]], n_states=(2, 2), n_actions=(1, 1), discount=0.9).n_agents
    2
    """

    kernel: tuple[sp.csr_array, ...]

    def __init__(
        self,
        kernel: Any,
        rewards: Any,
        *,
        n_states: Any,
        n_actions: Any,
        discount: float,
        labels: Any = None,
        terminal: Any = None,
        restart: Any = None,
    ) -> None:
        spaces = Spaces(_check.sizes("n_states", n_states), _check.sizes("n_actions", n_actions))
        ends = Ends.of(terminal, restart, spaces)
        self._hold(spaces, ends, rewards, discount, labels, kernel=_kernel(kernel, spaces, ends))

    def __repr__(self) -> str:
        return f"MultiAgentMDP({self.n_agents:,} agents, {about(self.spaces.joint_states)} joint states)"

    @cached_property
    def available(self) -> sp.csr_array:
        """Mask (joint states, joint actions) of the actions whose kernel row is a law."""
        columns = [np.diff(k.indptr) > 0 for k in self.kernel]
        return sp.csr_array(np.stack(columns, axis=1))

    def feasible(self, states: Ints) -> sp.csr_array:
        """Mask (T, joint actions) of the available actions; a state without any is an error."""
        mask = sp.csr_array(self.available[self.spaces.state_index(states)])
        stuck = np.flatnonzero(np.diff(mask.indptr) == 0)
        if len(stuck):
            state = tuple(int(v) for v in states[stuck[0]])
            raise InvalidInput("kernel", f"empty rows for every action in state {state}",
                               "each state needs an available action", "Fill a row of that state.")  # fmt: skip
        return mask

    def forbidden(self, states: Ints, actions: Ints) -> tuple[Bools, str, str]:
        joint, index = self.spaces.action_index(actions), self.spaces.state_index(states)
        missing = np.zeros(len(states), dtype=np.bool_)
        for a in np.unique(joint):
            at = joint == a
            missing[at] = np.diff(self.kernel[int(a)].indptr)[index[at]] == 0
        rule = "that action is not available there (its kernel row is empty)"
        return missing, rule, "Give it probability 0, or fill the kernel row."


@dataclass(frozen=True, eq=False, repr=False, init=False)
class JointChain(System):
    """A chain on joint pairs, given as such: its local states are the local pairs.

    Parameters
    ----------
    transition : (n, n) array or sparse matrix on the full product of local pairs, row-major.
    sizes : local pair counts m_i; their product is n.
    rewards : optional, one (m_i,) array per agent or one joint (n,) array.
    discount : optional, gamma in [0, 1).
    labels : display names.
    terminal, restart : joint pairs where tasks end and start again, see `MultiAgentMDP`.

    Raises
    ------
    InvalidInput : wrong shapes, rows that are not laws, non-finite or complex entries.

    >>> import numpy as np, markov_entanglement as me
    >>> me.JointChain(np.full((4, 4), 0.25), (2, 2)).n_agents
    2
    """

    kernel: tuple[sp.csr_array, ...]
    acts = False

    def __init__(
        self,
        transition: Any,
        sizes: Any,
        *,
        rewards: Any = None,
        discount: float | None = None,
        labels: Any = None,
        terminal: Any = None,
        restart: Any = None,
    ) -> None:
        m = _check.sizes("sizes", sizes)
        spaces = Spaces(m, (1,) * len(m))
        n = math.prod(m)
        shape = _check.shape_of("transition", transition)
        if shape != (n, n):
            raise InvalidInput("transition", f"shape {'x'.join(map(str, shape))}",
                               f"sizes {m} ask for {n}x{n} (their product)", "Match sizes and transition.")  # fmt: skip
        ends = Ends.of(terminal, restart, spaces)
        kernel = _check.sparse_probabilities("transition", _sealed(transition, ends), (n, n))
        self._hold(spaces, ends, rewards, discount, labels, kernel=(kernel,))

    def __repr__(self) -> str:
        return f"JointChain(sizes={self.spaces.n_states})"

    @property
    def transition(self) -> sp.csr_array:
        """(n, n) transition matrix."""
        return self.kernel[0]

    def feasible(self, states: Ints) -> sp.csr_array:
        return sp.csr_array(np.ones((len(states), 1)))


def _sealed(rows: Any, ends: Ends | None) -> Any:
    """The rows with self-loops at terminal states, whatever stood there."""
    return rows if ends is None else ends.seal(rows, ends.terminal)


def _kernel(kernel: Any, spaces: Spaces, ends: Ends | None) -> tuple[sp.csr_array, ...]:
    """One matrix per joint action of what the user gave."""
    name, js, ja = "kernel", spaces.joint_states, spaces.joint_actions
    if js >= 2**31:
        raise TooLarge(name, f"{about(js)} joint states", "2^31", "Use a structured system.")
    listed = isinstance(kernel, Sequence | np.ndarray) and len(kernel) == ja
    remedy = "Give one sparse matrix per joint action."
    if listed and any(sp.issparse(k) for k in kernel):
        found = [(f"{name}[{a}]", _sealed(k, ends)) for a, k in enumerate(kernel)]
    elif sp.issparse(kernel):
        if ja != 1:
            raise InvalidInput(name, "one sparse matrix", f"there are {ja} joint actions", remedy)
        found = [(name, _sealed(kernel, ends))]
    else:
        size = math.prod(_check.shape_of(name, kernel)) * 8
        if size > tol.BYTES:
            raise TooLarge(name, f"{gib(size)} dense", gib(tol.BYTES), remedy)
        dense = _check.probabilities(name, _sealed(kernel, ends), shape=(js, ja, js), zero_rows=True)
        found = [(name, sp.csr_array(dense[:, a])) for a in range(ja)]
    return tuple(_check.sparse_probabilities(at, k, (js, js), zero_rows=True) for at, k in found)
