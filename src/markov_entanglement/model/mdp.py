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
from .._check import Bools, Ints, freeze
from ..errors import InvalidInput, TooLarge, by, gib
from .ends import Ends
from .spaces import ListedSpaces, Spaces, about
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
        return f"MultiAgentMDP({self.n_agents} agents, {about(self.spaces.joint_states)} joint states)"

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
    transition : (n, n) array or sparse matrix on the full product of local pairs, row-major; with `pairs`, among these.
    sizes : local pair counts m_i; their product is n.
    rewards : optional, one (m_i,) array per agent or one joint (n,) array.
    discount : optional, gamma in [0, 1).
    labels : display names.
    terminal, restart : joint pairs where tasks end and start again, see `MultiAgentMDP`.
    pairs : optional, the joint pairs that there are, see `from_pairs`.

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
        pairs: Any = None,
    ) -> None:
        m = _check.sizes("sizes", sizes)
        one = (1,) * len(m)
        spaces = Spaces(m, one) if pairs is None else ListedSpaces(m, one, _listed(pairs, m))
        n = spaces.joint_states
        shape = _check.shape_of("transition", transition)
        if shape != (n, n):
            asks = f"sizes {m} ask" if pairs is None else f"{n} pairs ask"
            helps = "Match the two, or list the joint pairs of its rows: me.JointChain.from_pairs."
            raise InvalidInput("transition", f"shape {by(shape)}", f"{asks} for {about(n)}x{about(n)}",
                               "Match the two." if pairs is not None else helps)  # fmt: skip
        ends = Ends.of(terminal, restart, spaces)
        kernel = _check.sparse_probabilities("transition", _sealed(transition, ends), (n, n))
        self._hold(spaces, ends, rewards, discount, labels, kernel=(kernel,))

    @classmethod
    def from_pairs(
        cls,
        pairs: Any,
        transition: Any,
        *,
        sizes: Any = None,
        rewards: Any = None,
        discount: float | None = None,
        labels: Any = None,
        terminal: Any = None,
        restart: Any = None,
    ) -> JointChain:
        """A chain on listed joint pairs only; nothing of the product of the local pairs is formed.

        Parameters
        ----------
        pairs : (n, N) local pair of each agent in each joint pair, distinct rows in any order.
        transition : (n, n) array or sparse matrix, `transition[x, y]` from row x of `pairs` to row y.
        sizes : local pair counts m_i; None: as many as `pairs` needs.
        rewards : optional, one (m_i,) array per agent or one joint (n,) array in the order of `pairs`.
        discount : optional, gamma in [0, 1).
        labels : display names.
        terminal, restart : as of `MultiAgentMDP`; masks and laws are (n,) in the order of `pairs`.

        Raises
        ------
        InvalidInput : no whole numbers, equal rows, a pair beyond `sizes`, and as of `JointChain`.

        >>> import markov_entanglement as me
        >>> ring = [[0, 1, 0], [0, 0, 1], [1, 0, 0]]
        >>> me.JointChain.from_pairs([(0, 0), (1, 0), (1, 1)], ring, rewards=[[0, 1], [0, 1]], discount=0.9)
        JointChain(3 pairs, sizes=(2, 2))
        """
        if sizes is None:
            sizes = [int(k) + 1 for k in _whole(pairs).max(axis=0)]
        return cls(
            transition, sizes, rewards=rewards, discount=discount, labels=labels, terminal=terminal, restart=restart,
            pairs=pairs,
        )  # fmt: skip

    def __repr__(self) -> str:
        listed = "" if self.pairs is None else f"{len(self.pairs)} pairs, "
        return f"JointChain({listed}sizes={self.spaces.n_states})"

    @property
    def pairs(self) -> Ints | None:
        """(n, N) the joint pairs that there are, where they are listed; None: all of the product."""
        return self.spaces.listed if isinstance(self.spaces, ListedSpaces) else None

    @property
    def transition(self) -> sp.csr_array:
        """(n, n) transition matrix."""
        return self.kernel[0]

    def feasible(self, states: Ints) -> sp.csr_array:
        return sp.csr_array(np.ones((len(states), 1)))


def _whole(pairs: Any) -> Ints:
    """(n, N) joint pairs as whole numbers."""
    shape, found = _check.shape_of("pairs", pairs), np.asarray(pairs)
    if len(shape) != 2 or 0 in shape or found.dtype.kind not in "iu":
        raise InvalidInput("pairs", f"{found.dtype} entries of shape {by(shape)}", "it must be rows of whole numbers, "
                           "the local pair of each agent", "E.g. [(0, 0), (0, 1), (1, 1)].")  # fmt: skip
    return found.astype(np.int64)


def _listed(pairs: Any, sizes: tuple[int, ...]) -> Ints:
    """Validated joint pairs (n, N): distinct rows within `sizes`."""
    found = _whole(pairs)
    if found.shape[1] != len(sizes):
        raise InvalidInput(
            "pairs", f"rows of {found.shape[1]}", f"there are {len(sizes)} sizes", "Match the two."
        )
    wrong = np.argwhere((found < 0) | (found >= np.asarray(sizes)))
    if len(wrong):
        k, i = map(int, wrong[0])
        raise InvalidInput.range(f"pairs[{k}][{i}]", int(found[k, i]), 0, sizes[i] - 1)
    _, first, place = np.unique(found, axis=0, return_index=True, return_inverse=True)
    again = np.flatnonzero(first[place.reshape(-1)] != np.arange(len(found)))
    if len(again):
        raise InvalidInput("pairs", f"{tuple(map(int, found[again[0]]))} twice", "rows must differ",
                           "Leave one out, with its row and column of the transition.")  # fmt: skip
    return freeze(found)


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
