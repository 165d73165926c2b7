"""From a system and a policy to the chain on reachable supported pairs."""

from __future__ import annotations

import itertools
from functools import singledispatch
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import InvalidInput, TooLarge, Unsupported
from ..model.bound_policy import BoundPolicy
from ..model.ends import start_law
from ..model.mdp import JointChain, MultiAgentMDP
from ..model.policy import UniformPolicy
from ..model.spaces import AT_SCALE, Spaces, about, unravel
from ..model.system import System
from ..model.weakly_coupled import WeaklyCoupledMDP
from .chain import Chain
from .kernel import Kernel, KroneckerKernel, RestartKernel, SparseKernel, kronecker_row_sizes, kronecker_rows

#: Bytes per explicit kernel entry (data and index) plus work space while it is formed.
_ENTRY = 40


def induced_chain(system: System, policy: Any, initial: Any) -> Chain:
    """See `System.under`."""
    if policy is None and not system.acts:
        policy = UniformPolicy()
    bound = system.bind(policy)
    spaces, ends = system.spaces, system.ends
    law = None if initial is None else start_law("initial", initial, spaces, ends)
    again = law if ends is None or ends.start is None else ends.start
    if ends is not None and again is None:
        raise InvalidInput("restart", "None, and no `initial`", "a task that ends must say where the next one starts",
                           "Give the system `restart` (a joint state or a law over joint states), "
                           "or give `initial`.")  # fmt: skip
    if law is None:
        if spaces.joint_states * 8 * (spaces.n_agents + 4) > tol.BYTES:
            raise TooLarge("product of local states", f"{about(spaces.joint_states)} joint states",
                           f"{tol.BYTES / 8 / (spaces.n_agents + 4):.3g}", AT_SCALE if system.decoupled else
                           "Give `initial` to explore only what is reachable.")  # fmt: skip
        index = np.arange(spaces.joint_states, dtype=np.int64)
        index = index if ends is None else np.delete(index, ends.terminal)
    else:
        index = closure(system, bound, law[0] if again is None else np.union1d(law[0], again[0]))
    return chain_on(system, bound, index, law, again)


_Law = tuple[Ints, Floats]


def chain_on(
    system: System, bound: BoundPolicy, index: Ints, law: _Law | None = None, again: _Law | None = None
) -> Chain:
    """The chain on the joint states `index`, a closed set; `law` of the first state, `again` of the next task's."""
    spaces, ends = system.spaces, system.ends
    states = unravel(index, spaces.n_states)
    choice, pair_state, pair_action = _supported(bound.table(states))
    local, actions = states[pair_state], unravel(pair_action, spaces.n_actions)
    system.check_actions(local, actions)
    reached = index if ends is None else np.union1d(index, ends.terminal)
    kernel = pair_kernel(system, reached, local, actions)
    if ends is not None:
        first = (index[:1], np.ones(1)) if again is None else again
        kernel = RestartKernel(kernel, np.searchsorted(reached, index), _on(index, first))
    return Chain(
        system=system,
        policy=bound,
        states=freeze(states),
        pairs=freeze(spaces.local_pairs(local, actions)),
        pair_state=freeze(pair_state),
        choice=choice,
        kernel=kernel,
        initial=None if law is None else _on(index, law),
    )


def _on(index: Ints, law: tuple[Ints, Floats]) -> Floats:
    """(S,) a law over some of the joint states `index`."""
    out = np.zeros(len(index))
    out[np.searchsorted(index, law[0])] = law[1]
    return freeze(out)


def _supported(table: sp.csr_array) -> tuple[sp.csr_array, Ints, Ints]:
    """Split the policy table into its supported pairs: (states, pairs) matrix, state and action of each."""
    table = sp.csr_array(table)
    table.eliminate_zeros()
    table.sort_indices()
    n = table.nnz
    rows = np.repeat(np.arange(table.shape[0], dtype=np.int64), np.diff(table.indptr))
    choice = sp.csr_array((table.data, np.arange(n), table.indptr), shape=(table.shape[0], n))
    return choice, freeze(rows), freeze(table.indices.astype(np.int64))


def closure(system: System, bound: BoundPolicy, starts: Ints) -> Ints:
    """Joint states reachable from `starts` under the policy, ascending."""
    spaces = system.spaces
    seen = np.unique(starts)
    frontier = seen
    while len(frontier):
        fresh = []
        for lo in range(0, len(frontier), 4096):
            states = unravel(frontier[lo : lo + 4096], spaces.n_states)
            _, rows, joint = _supported(bound.table(states))
            actions = unravel(joint, spaces.n_actions)
            system.check_actions(states[rows], actions)
            fresh.append(successors(system, states[rows], actions))
        reached = np.unique(np.concatenate(fresh))
        reached = reached if system.ends is None else np.setdiff1d(reached, system.ends.terminal)
        frontier = np.setdiff1d(reached, seen, assume_unique=True)
        seen = np.union1d(seen, frontier)
        if len(seen) * 8 * (spaces.n_agents + 4) > tol.BYTES:
            raise TooLarge("reachable joint states", f"more than {len(seen):.3g}",
                           f"{tol.BYTES / 8 / (spaces.n_agents + 4):.3g}", AT_SCALE if system.decoupled else
                           "Start elsewhere, or coarsen the local states.")  # fmt: skip
    return seen


@singledispatch
def successors(system: System, states: Ints, actions: Ints) -> Ints:
    """Joint states that the pairs (T, N), (T, N) may reach, unique."""
    raise Unsupported("system", type(system).__name__, "it has no exact joint chain", "Simulate it.")


@singledispatch
def pair_kernel(system: System, index: Ints, states: Ints, actions: Ints) -> Kernel:
    """The kernel from the pairs of local states and actions (n, N) to the joint states `index`."""
    raise Unsupported("system", type(system).__name__, "it has no exact joint chain", "Simulate it.")


@successors.register(MultiAgentMDP)
@successors.register(JointChain)
def _(system: MultiAgentMDP | JointChain, states: Ints, actions: Ints) -> Ints:
    return np.unique(_general_rows(system, states, actions).indices).astype(np.int64)


@pair_kernel.register(MultiAgentMDP)
@pair_kernel.register(JointChain)
def _(system: MultiAgentMDP | JointChain, index: Ints, states: Ints, actions: Ints) -> Kernel:
    rows = _general_rows(system, states, actions)
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
    _refuse_rows(sizes.max(initial=0.0), system.spaces)
    _refuse_rows(sizes.sum(), system.spaces, each=1)
    out: list[Ints] = []
    for lo, hi in _chunks(sizes, 4e6):
        out.append(np.unique(kronecker_rows(system.kernels, states[lo:hi], actions[lo:hi])[1]))
    return np.unique(np.concatenate(out))


@pair_kernel.register
def _(system: WeaklyCoupledMDP, index: Ints, states: Ints, actions: Ints) -> Kernel:
    spaces = system.spaces
    total = kronecker_row_sizes(system.kernels, states, actions).sum()
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
            tuple(spaces.state_index(states[g]) for g in groups),
            len(states),
        )
    _refuse_rows(total, spaces)
    row, column, data = kronecker_rows(system.kernels, states, actions)
    matrix = sp.csr_array((data, (row, np.searchsorted(index, column))), shape=(len(states), len(index)))
    return SparseKernel(matrix)


def _chunks(sizes: Floats, limit: float) -> list[tuple[int, int]]:
    """Consecutive ranges whose sizes add up to about `limit`."""
    block = (np.cumsum(sizes) // limit).astype(np.int64)
    cuts = np.flatnonzero(np.diff(block)) + 1
    edges = [0, *cuts.tolist(), len(sizes)]
    return list(itertools.pairwise(edges))


def _refuse_rows(entries: float, spaces: Spaces, each: int = _ENTRY) -> None:
    """Refuse to form so many kernel entries of so many bytes `each`."""
    if entries * each > tol.BYTES:
        fits = spaces.joint_states * 8 * (spaces.n_agents + 4) <= tol.BYTES
        raise TooLarge("joint kernel", f"{entries:.3g} entries", f"{tol.BYTES / each:.3g}",
                       "Analyse every joint state (no `initial`)." if fits else AT_SCALE)  # fmt: skip
