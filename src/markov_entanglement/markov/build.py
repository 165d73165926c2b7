"""From a system and a policy to the chain on reachable supported pairs."""

from __future__ import annotations

import itertools
from functools import singledispatch
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import InvalidInput, TooLarge, Unsupported
from ..model.bound_policy import BoundPolicy
from ..model.mdp import JointChain, MultiAgentMDP
from ..model.policy import UniformPolicy
from ..model.spaces import Spaces, ravel, unravel
from ..model.system import System
from ..model.weakly_coupled import WeaklyCoupledMDP
from .chain import Chain
from .kernel import Kernel, KroneckerKernel, SparseKernel, kronecker_row_sizes, kronecker_rows

#: Bytes per explicit kernel entry (data and index) plus work space while it is formed.
_ENTRY = 40


def induced_chain(system: System, policy: Any, initial: Any) -> Chain:
    """See `System.under`."""
    if policy is None and not system.acts:
        policy = UniformPolicy()
    bound = system.bind(policy)
    spaces = system.spaces
    law = None if initial is None else _starts(initial, spaces)
    if law is None:
        if spaces.joint_states * 8 * (spaces.n_agents + 4) > tol.BYTES:
            raise TooLarge(
                "product of local states",
                f"{spaces.joint_states:.4g} joint states",
                f"{tol.BYTES / 8 / (spaces.n_agents + 4):.3g}",
                "Give `initial` to explore only what is reachable.",
            )
        index = np.arange(spaces.joint_states, dtype=np.int64)
    else:
        index = _closure(system, bound, law[0])
    states = unravel(index, spaces.n_states)
    choice = bound.table(states)
    system.check_actions(states, choice)
    choice, pair_state, pair_action = _supported(choice)
    actions = unravel(pair_action, spaces.n_actions)
    start = None
    if law is not None:
        start = np.zeros(len(index))
        start[np.searchsorted(index, law[0])] = law[1]
    return Chain(
        system=system,
        policy=bound,
        states=freeze(states),
        pairs=freeze(spaces.local_pairs(states[pair_state], actions)),
        pair_state=freeze(pair_state),
        choice=choice,
        kernel=pair_kernel(system, index, states, pair_state, actions),
        initial=start,
    )


def _starts(initial: Any, spaces: Spaces) -> tuple[Ints, Floats]:
    """Joint state indices and their probabilities."""
    shape = _check.shape_of("initial", initial)
    if len(shape) == 1 and shape[0] == spaces.n_agents and not _is_law(initial, spaces):
        state = [
            _check.integer(f"initial[{i}]", s if not isinstance(s, np.integer) else int(s), low=0, high=k - 1)
            for i, (s, k) in enumerate(zip(initial, spaces.n_states, strict=True))
        ]
        return ravel(np.asarray([state], dtype=np.int64), spaces.n_states), np.ones(1)
    if len(shape) == 1 and shape[0] == spaces.joint_states:
        law = _check.probabilities("initial", initial)
        index = np.flatnonzero(law).astype(np.int64)
        return index, law[index]
    raise InvalidInput(
        "initial",
        f"shape {shape}",
        f"it must be a joint state ({spaces.n_agents} local states) "
        f"or a law over {spaces.joint_states} joint states",
        "Give one of the two, or None.",
    )


def _is_law(initial: Any, spaces: Spaces) -> bool:
    return len(initial) == spaces.joint_states and not np.issubdtype(np.asarray(initial).dtype, np.integer)


def _supported(table: sp.csr_array) -> tuple[sp.csr_array, Ints, Ints]:
    """Split the policy table into its supported pairs: (states, pairs) matrix, state and action of each."""
    table = sp.csr_array(table)
    table.eliminate_zeros()
    table.sort_indices()
    n = table.nnz
    rows = np.repeat(np.arange(table.shape[0], dtype=np.int64), np.diff(table.indptr))
    choice = sp.csr_array((table.data, np.arange(n), table.indptr), shape=(table.shape[0], n))
    return choice, freeze(rows), freeze(table.indices.astype(np.int64))


def _closure(system: System, bound: BoundPolicy, starts: Ints) -> Ints:
    """Joint states reachable from `starts` under the policy, ascending."""
    spaces = system.spaces
    seen = np.unique(starts)
    frontier = seen
    while len(frontier):
        fresh = []
        for lo in range(0, len(frontier), 4096):
            states = unravel(frontier[lo : lo + 4096], spaces.n_states)
            table = bound.table(states)
            system.check_actions(states, table)
            _, rows, joint = _supported(table)
            fresh.append(successors(system, states[rows], unravel(joint, spaces.n_actions)))
        reached = np.unique(np.concatenate(fresh))
        frontier = np.setdiff1d(reached, seen, assume_unique=True)
        seen = np.union1d(seen, frontier)
        if len(seen) * 8 * (spaces.n_agents + 4) > tol.BYTES:
            raise TooLarge(
                "reachable joint states",
                f"more than {len(seen):.3g}",
                f"{tol.BYTES / 8 / (spaces.n_agents + 4):.3g}",
                "Start elsewhere, or use a structured system.",
            )
    return seen


@singledispatch
def successors(system: System, states: Ints, actions: Ints) -> Ints:
    """Joint states that the pairs (T, N), (T, N) may reach, unique."""
    raise Unsupported("system", type(system).__name__, "it has no exact joint chain", "Simulate it.")


@singledispatch
def pair_kernel(system: System, index: Ints, states: Ints, pair_state: Ints, actions: Ints) -> Kernel:
    """The kernel from the pairs (`states[pair_state]`, `actions`) to the joint states `index`."""
    raise Unsupported("system", type(system).__name__, "it has no exact joint chain", "Simulate it.")


@successors.register(MultiAgentMDP)
@successors.register(JointChain)
def _(system: MultiAgentMDP | JointChain, states: Ints, actions: Ints) -> Ints:
    return np.unique(_general_rows(system, states, actions).indices).astype(np.int64)


@pair_kernel.register(MultiAgentMDP)
@pair_kernel.register(JointChain)
def _(
    system: MultiAgentMDP | JointChain, index: Ints, states: Ints, pair_state: Ints, actions: Ints
) -> Kernel:
    rows = _general_rows(system, states[pair_state], actions)
    return SparseKernel(rows if len(index) == rows.shape[1] else sp.csr_array(rows[:, index]))


def _general_rows(system: MultiAgentMDP | JointChain, states: Ints, actions: Ints) -> sp.csr_array:
    spaces = system.spaces
    joint = spaces.action_index(actions)
    used, position = np.unique(joint, return_inverse=True)
    at = spaces.state_index(states)
    if len(used) == 1:
        return system.kernel[int(used[0])][at]
    stack = sp.csr_array(sp.vstack([system.kernel[int(a)] for a in used], format="csr"))
    return stack[position.astype(np.int64) * spaces.joint_states + at]


@successors.register
def _(system: WeaklyCoupledMDP, states: Ints, actions: Ints) -> Ints:
    sizes = kronecker_row_sizes(system.kernels, states, actions)
    _refuse_rows(sizes.max(initial=0.0))
    out: list[Ints] = []
    for lo, hi in _chunks(sizes, 4e6):
        out.append(np.unique(kronecker_rows(system.kernels, states[lo:hi], actions[lo:hi])[1]))
    return np.unique(np.concatenate(out))


@pair_kernel.register
def _(system: WeaklyCoupledMDP, index: Ints, states: Ints, pair_state: Ints, actions: Ints) -> Kernel:
    spaces = system.spaces
    local = states[pair_state]
    total = kronecker_row_sizes(system.kernels, local, actions).sum()
    full = len(index) == spaces.joint_states
    if full and total > tol.EXPLICIT_KERNEL:
        joint = spaces.action_index(actions)
        order = np.argsort(joint, kind="stable")
        used, first = np.unique(joint[order], return_index=True)
        groups = tuple(np.split(order, first[1:]))
        return KroneckerKernel(
            system.kernels,
            unravel(used, spaces.n_actions),
            groups,
            tuple(pair_state[g] for g in groups),
            len(pair_state),
        )
    _refuse_rows(total)
    row, column, data = kronecker_rows(system.kernels, local, actions)
    matrix = sp.csr_array((data, (row, np.searchsorted(index, column))), shape=(len(local), len(index)))
    return SparseKernel(matrix)


def _chunks(sizes: Floats, limit: float) -> list[tuple[int, int]]:
    """Consecutive ranges whose sizes add up to about `limit`."""
    block = (np.cumsum(sizes) // limit).astype(np.int64)
    cuts = np.flatnonzero(np.diff(block)) + 1
    edges = [0, *cuts.tolist(), len(sizes)]
    return list(itertools.pairwise(edges))


def _refuse_rows(entries: float) -> None:
    if entries * _ENTRY > tol.BYTES:
        raise TooLarge(
            "joint kernel",
            f"{entries:.3g} entries, {entries * _ENTRY / 1024**3:.3g} GiB",
            f"{tol.BYTES / 1024**3:.0f} GiB",
            "Analyse every joint state (no `initial`), or use a structured system.",
        )
