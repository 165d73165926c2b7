"""General multi-agent systems: one joint kernel, or a joint chain as such."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Ints, freeze
from .._types import ArrayLike, Kernels, LabelsLike, RewardsLike, Sizes, Sparse
from ..errors import InvalidInput, TooLarge, by, gib, short
from .ends import Ends
from .reading import Reading, mean_reward
from .rewards import Rewards
from .spaces import Labels, ListedSpaces, Spaces, about
from .system import System


@dataclass(frozen=True, eq=False, repr=False, init=False)
class MultiAgentMDP(System):
    """Markov decision process with a kernel `kernel[s, a, t]`: (joint states, joint actions, next joint states).

    Joint states and actions are tuples, one entry per agent; joint indices are row-major, agent 0 slowest.

    Parameters
    ----------
    kernel : (joint states, joint actions, joint states) array, `kernel[s, a, t] = P(t | s, a)`, or a list with one
        matrix (joint states, joint states), dense or sparse, per joint action. A row of zeros marks an action that
        is not available in that state. Data frames are aligned by the names of their rows and columns.
    rewards : one table per agent, (S_i, A_i), (S_i,) or (m_i,); or one joint array (shared reward), (joint states,),
        (joint states, joint actions), or with next joint states as the kernel has them: their mean is taken; or a
        callable, (state tuple, action tuple) -> one number. Or None.
    n_states, n_actions : local sizes, one per agent; agents may differ.
    discount : gamma in [0, 1); None: everything but values.
    labels : display names, see `Labels`.
    terminal, restart : where tasks end (joint states, by numbers or names, or a mask) and where the next one starts (a
        joint state or a law over joint states; None = the chain's `initial`). Kernel rows of terminal states are
        ignored, their rewards are not collected.
    order : axes of the kernel: "SAS" (None, as above) or "ASS", joint actions first.
    normalize : divide every row by its sum, whatever that is, as rounded tables need; `rescaled` says by how much.

    Raises
    ------
    InvalidInput : wrong shapes, rows that are not laws, non-finite or complex entries, a bad discount, names that do
        not agree.

    >>> import numpy as np, markov_entanglement as me
    >>> k = np.full((4, 1, 4), 0.25)
    >>> me.MultiAgentMDP(k, [[0, 1], [0, 1]], n_states=(2, 2), n_actions=(1, 1), discount=0.9).n_agents
    2
    """

    kernel: tuple[sp.csr_array, ...]

    def __init__(
        self,
        kernel: Kernels,
        rewards: RewardsLike = None,
        *,
        n_states: Sizes,
        n_actions: Sizes,
        discount: float | None = None,
        labels: LabelsLike = None,
        terminal: ArrayLike | None = None,
        restart: ArrayLike | None = None,
        order: str | None = None,
        normalize: bool = False,
    ) -> None:
        spaces = Spaces(_check.sizes("n_states", n_states), _check.sizes("n_actions", n_actions))
        reading, named = Reading(order, self.usual, normalize, labels), Labels.of(labels, spaces)
        ends = Ends.of(terminal, restart, spaces, named)
        held = {"kernel": _kernel(kernel, spaces, ends, reading)}
        if spaces.n_agents == 1:
            named = Labels.of(reading.labels(1), spaces)
        self._hold(spaces, named, ends, rewards, discount, reading, **held)

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

    def _means(self, value: Any, order: str) -> Any:
        """A shared reward on next joint states as its mean over them."""
        given = value is None or callable(value) or isinstance(value, Rewards)
        if given or Rewards.one_each(value, self.spaces):
            return value
        names = self.labels.state_names(0) if self.n_agents == 1 else None
        means = mean_reward("rewards", value, self.kernel, order, names)
        return value if means is None else means

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
    """Chain on joint pairs `transition[x, y] = P(y | x)`, given as such: (from, to), its local states are local pairs.

    Parameters
    ----------
    transition : (n, n) array or sparse matrix on the full product of local pairs, row-major, agent 0 slowest; with
        `pairs`, among these. The columns of a data frame are put in the order of its rows.
    sizes : local pair counts m_i; their product is n.
    rewards : optional, one (m_i,) array per agent, one joint (n,) array or a callable, see `MultiAgentMDP`; of a
        reward on the next pair take the mean, `(transition * rewards).sum(axis=1)`.
    discount : optional, gamma in [0, 1).
    labels : display names.
    terminal, restart : joint pairs where tasks end and start again, see `MultiAgentMDP`.
    normalize : divide every row by its sum, see `MultiAgentMDP`.
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
        transition: ArrayLike | Sparse,
        sizes: Sizes,
        *,
        rewards: RewardsLike = None,
        discount: float | None = None,
        labels: LabelsLike = None,
        terminal: ArrayLike | None = None,
        restart: ArrayLike | None = None,
        normalize: bool = False,
        pairs: ArrayLike | None = None,
    ) -> None:
        m = _check.sizes("sizes", sizes)
        one = (1,) * len(m)
        spaces = Spaces(m, one) if pairs is None else ListedSpaces(m, one, _listed(pairs, m))
        n = spaces.joint_states
        reading, named = Reading(None, "", normalize, labels), Labels.of(labels, spaces)
        transition = reading.matrix("transition", transition, len(m))
        shape = _check.shape_of("transition", transition)
        if shape != (n, n):
            asks = f"sizes {short(m)} ask" if pairs is None else f"{n} pairs ask"
            helps = "Match the two, or list the joint pairs of its rows: me.JointChain.from_pairs."
            raise InvalidInput("transition", f"shape {by(shape)}", f"{asks} for {about(n)}x{about(n)}",
                               "Match the two." if pairs is not None else helps)  # fmt: skip
        ends = Ends.of(terminal, restart, spaces, named)
        law = _sealed(transition, ends)
        kernel = _check.sparse_probabilities("transition", law, (n, n), rows=reading.rows)
        if len(m) == 1:
            named = Labels.of(reading.labels(1), spaces)
        self._hold(spaces, named, ends, rewards, discount, reading, kernel=(kernel,))

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
        normalize: bool = False,
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
        normalize : divide every row by its sum.

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
            normalize=normalize, pairs=pairs,
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


def _kernel(kernel: Any, spaces: Spaces, ends: Ends | None, reading: Reading) -> tuple[sp.csr_array, ...]:
    """One matrix per joint action of what the user gave."""
    name, js, ja = "kernel", spaces.joint_states, spaces.joint_actions
    if js >= 2**31:
        raise TooLarge(name, f"{about(js)} joint states", "2^31", "Use a structured system.")
    if sp.issparse(kernel):
        if ja != 1:
            remedy = "Give one sparse matrix per joint action."
            raise InvalidInput(name, "one sparse matrix", f"there are {ja} joint actions", remedy)
        kernel = [kernel]
    found = reading.laws(name, kernel, (ja, js))
    if not isinstance(found, list):
        found = [found] if ja == 1 and np.ndim(found) == 2 else found
        size = js * ja * js * 8
        if size > tol.BYTES:
            raise TooLarge(
                name, f"{gib(size)} dense", gib(tol.BYTES), "Give one sparse matrix per joint action."
            )
    reading.rows.zero = True
    each = [(f"{name}[{a}]", _sealed(k, ends)) for a, k in enumerate(found)]
    return tuple(_check.sparse_probabilities(at, k, (js, js), rows=reading.rows) for at, k in each)
