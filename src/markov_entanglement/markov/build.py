"""From a system and a policy to the chain on reachable supported pairs, and to every feasible action in its states."""

from __future__ import annotations

import itertools
from functools import singledispatch
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze
from ..errors import InvalidInput, TooLarge, Unsupported, gib
from ..laws.source import Alternatives
from ..model.bound_policy import BoundPolicy
from ..model.ends import start_law
from ..model.exogenous import ExogenousMDP
from ..model.factored import FactoredMDP
from ..model.mdp import JointChain, MultiAgentMDP
from ..model.merged import Merged
from ..model.policy import UniformPolicy
from ..model.rewards import Rewards
from ..model.spaces import AT_SCALE, Spaces, about, unravel
from ..model.system import System
from ..model.weakly_coupled import WeaklyCoupledMDP
from .arrays import HOST, Arrays, arrays_on
from .chain import AgentSpace, Chain, one_hot
from .kernel import (
    Factors,
    Kernel,
    RestartKernel,
    SparseKernel,
    product_row_sizes,
    product_rows,
)
from .large import LargeChain, Supported, choice_of
from .product import ProductKernel

#: Bytes per explicit kernel entry (data and index) plus work space while it is formed.
_ENTRY = 40
#: Bytes for each pair while a chain is made, beside three numbers for each agent.
_PAIR = 100
#: The same of a large chain, of which nothing is listed, with all that values and their errors take.
_LARGE = 200
#: The same of a device, beside which this machine has plenty of memory.
_ON_DEVICE = 24
#: Entries that are formed sooner, even for one use, than code is compiled for their product.
_AT_ONCE = 1e6
#: Joint states whose pairs are looked for together.
_BLOCK = 1 << 17


def induced_chain(system: System, policy: Any, initial: Any, device: Any = None) -> Chain:
    """See `System.under`."""
    arrays = arrays_on(device)
    if device is not None and (system.ends is not None or initial is not None):
        got = f"{system!r}{' where tasks end' if initial is None else ' from `initial`'}"
        rule = "a device computes chains on all joint states, of which nothing ends"
        raise Unsupported("device", got, rule, "Leave it out.")
    if policy is None and not system.acts:
        policy = UniformPolicy()
    bound = system.bind(policy)
    spaces, ends = system.spaces, system.ends
    law = None if initial is None else start_law("initial", initial, spaces, system.labels, ends)
    again = law if ends is None or ends.start is None else ends.start
    if ends is not None and again is None:
        raise InvalidInput("restart", "None, and no `initial`", "a task that ends must say where the next one starts",
                           "Give the system `restart` (a joint state or a law over joint states), "
                           "or give `initial`.")  # fmt: skip
    if law is None:
        if not (listable(system) if device is None else spaces.joint_states * 8 <= tol.BYTES):
            raise not_listed(system)
        index = np.arange(spaces.joint_states, dtype=np.int64)
        index = index if ends is None else np.delete(index, ends.terminal)
    else:
        index = closure(system, bound, law[0] if again is None else np.union1d(law[0], again[0]))
    return chain_on(system, bound, index, law, again, arrays)


def listable(system: System) -> bool:
    """Whether all joint states fit in memory."""
    return system.spaces.joint_states * 8 * (system.spaces.n_agents + 4) <= tol.BYTES


def not_listed(system: System) -> TooLarge | Unsupported:
    """The refusal to list all joint states: there are too many, or nothing but steps is known of them."""
    if system.only_steps:
        helps = "Ask by runs: me.analyze, me.certify, me.learn, me.compare, me.entanglement(..., 'policy', rng=0)."
        return Unsupported("exact chain", repr(system), "it has only steps, no laws", helps)
    spaces, room = system.spaces, tol.BYTES / 8 / (system.spaces.n_agents + 4)
    helps = AT_SCALE if system.decoupled else "Give `initial` to explore only what is reachable."
    return TooLarge(
        "product of local states", f"{about(spaces.joint_states)} joint states", f"{room:.3g}", helps
    )


_Law = tuple[Ints, Floats]


def chain_on(
    system: System, bound: BoundPolicy, index: Ints, law: _Law | None = None, again: _Law | None = None,
    arrays: Arrays = HOST,
) -> Chain:  # fmt: skip
    """The chain on the joint states `index`, a closed set; `law` of the first state, `again` of the next task's."""
    initial = None if law is None else _on(index, law)
    kernels = (
        system.local_kernels if len(index) == system.spaces.joint_states and system.ends is None else None
    )
    found = supported(system, bound, index, kernels, each=_LARGE if arrays is HOST else _ON_DEVICE)
    if kernels is not None and (found.entries > tol.EXPLICIT_KERNEL or arrays is not HOST):
        kernel = ProductKernel(kernels, found.actions, found.code, found.state, arrays)
        return LargeChain(system, bound, kernel, found.chance, initial)
    states, actions = system.spaces.states_at(index), found.actions[found.code]
    n = len(actions)
    pair_state = np.arange(n) if found.state is None else found.state
    local = states[pair_state]
    return Chain(
        system=system,
        policy=bound,
        states=freeze(states),
        pairs=freeze(system.spaces.local_pairs(local, actions)),
        pair_state=freeze(pair_state),
        choice=choice_of(pair_state, found.chance, len(states)),
        kernel=kernel_among(system, index, local, actions, again),
        initial=initial,
    )


def kernel_among(
    system: System, index: Ints, states: Ints, actions: Ints, again: _Law | None = None, *, once: bool = False
) -> Kernel:
    """The kernel from pairs (n, N) to the live joint states `index`; what ends starts `again` (None: in the first);
    `once`: it is applied to one function, so rows need not be formed where that takes longer."""
    if system.only_steps:
        raise not_listed(system)
    if system.ends is None:
        return pair_kernel(system, index, states, actions, once)
    reached = np.union1d(index, system.ends.terminal)
    restart = _on(index, (index[:1], np.ones(1)) if again is None else again)
    base, live = pair_kernel(system, reached, states, actions, once), np.searchsorted(reached, index)
    return RestartKernel(base, live, restart)


def live_successors(system: System, states: Ints, actions: Ints) -> Ints:
    """Joint states that the pairs (T, N), (T, N) may reach and that are not terminal, unique."""
    reached = successors(system, states, actions)
    return reached if system.ends is None else np.setdiff1d(reached, system.ends.terminal)


def _on(index: Ints, law: _Law) -> Floats:
    """(S,) a law over some of the joint states `index`."""
    out = np.zeros(len(index))
    out[np.searchsorted(index, law[0])] = law[1]
    return freeze(out)


def supported(
    system: System, bound: BoundPolicy, index: Ints, kernels: tuple[Floats, ...] | None, each: int
) -> Supported:
    """Supported pairs in the joint states `index`, some states at a time; where the joint kernel is a product of these
    also how many entries it has, counted until they are too many to be formed. A pair takes `each` bytes then."""
    reach = [np.count_nonzero(k, axis=2) for k in kernels or ()]
    spaces, codes, rows, chances, n, entries = system.spaces, [], [], [], 0, 0.0
    for lo in range(0, len(index), _BLOCK):
        states = spaces.states_at(index[lo : lo + _BLOCK])
        row, actions, p = bound.support(states)
        n += len(row)
        if kernels is not None and entries <= tol.EXPLICIT_KERNEL:
            sizes = [r[actions[:, i], states[row, i]] for i, r in enumerate(reach)]
            entries += np.prod(sizes, axis=0, dtype=np.float64).sum()
        size = n * (each if entries > tol.EXPLICIT_KERNEL else 24 * system.n_agents + _PAIR)
        if size > tol.CHAIN_BYTES:
            helps = "Use a policy with fewer supported actions, or give `initial` to explore only what is reachable."
            raise TooLarge("pairs of states and actions", f"{n:,} pairs, {gib(size)}", gib(tol.CHAIN_BYTES),
                           AT_SCALE if system.decoupled else helps)  # fmt: skip
        system.check_actions(states[row], actions)
        codes.append(spaces.action_index(actions))
        single = len(row) == len(states)
        rows.append(None if single else row)
        chances.append(None if single and (p == 1.0).all() else p)
    used = np.unique(np.concatenate([np.unique(c) for c in codes]))
    small = np.min_scalar_type(len(used))
    code = np.concatenate([np.searchsorted(used, c).astype(small) for c in codes])
    state = chance = None
    if any(r is not None for r in rows):
        lows = range(0, len(index), _BLOCK)
        state = np.concatenate(
            [lo + (np.arange(len(c)) if r is None else r) for lo, r, c in zip(lows, rows, codes, strict=True)]
        )
    if any(p is not None for p in chances):
        chance = np.concatenate(
            [np.ones(len(c)) if p is None else p for p, c in zip(chances, codes, strict=True)]
        )
    return Supported(unravel(used, spaces.n_actions), code, state, chance, entries)


def alternatives(chain: AgentSpace, rewards: Rewards, gamma: float, entries: float) -> Alternatives:
    """See `Space.alternatives`; states that only other actions reach are added to the chain."""
    system, spaces = chain.system, chain.system.spaces
    at = np.flatnonzero(chain.stationary.law > 0)

    def refuse(actions: int) -> None:
        if actions * (spaces.n_agents + 3) > entries:
            raise TooLarge("feasible actions of all visited states", f"{actions:.3g}",
                           f"{entries / (spaces.n_agents + 3):.3g} here",
                           "Ask for it: me.decision_loss(chain).")  # fmt: skip

    refuse(len(at))  # each has one at least
    table = sp.csr_array(system.feasible(chain.states[at]))
    table.sort_indices()
    refuse(table.nnz)
    state = np.repeat(np.arange(len(at)), np.diff(table.indptr))
    local, actions = chain.states[at][state], spaces.actions_at(table.indices.astype(np.int64))
    wide: AgentSpace = chain
    index, pairs = spaces.state_index(chain.states), spaces.local_pairs(local, actions)
    if len(index) < spaces.joint_states:
        fresh = np.setdiff1d(live_successors(system, local, actions), index)
        if len(fresh):
            index = closure(system, chain.policy, np.union1d(index, fresh))
            wide = chain_on(system, chain.policy, index)
    v = wide.average(wide.solve(wide.reward(rewards), gamma).q)
    ahead = kernel_among(system, index, local, actions, once=True).carry(v)
    q = rewards.on_pairs(pairs, spaces) + gamma * ahead
    return Alternatives(
        state=state,
        q=q,
        many=np.ones(len(q)),
        features=one_hot(pairs, spaces.pair_sizes),
        weight=chain.stationary.law[at],
        served=actions if system.ranked else None,
        present=np.ones((len(at), spaces.n_agents), dtype=np.int64),
        rest=np.cumsum([0, *spaces.pair_sizes[:-1]], dtype=np.int64) + 2 * chain.states[at],
    )


def closure(system: System, bound: BoundPolicy, starts: Ints) -> Ints:
    """Joint states reachable from `starts` under the policy, ascending."""
    spaces = system.spaces
    seen = np.unique(starts)
    frontier = seen
    while len(frontier):
        fresh = []
        for lo in range(0, len(frontier), 4096):
            states = spaces.states_at(frontier[lo : lo + 4096])
            rows, actions, _ = bound.support(states)
            system.check_actions(states[rows], actions)
            fresh.append(live_successors(system, states[rows], actions))
        frontier = np.setdiff1d(np.unique(np.concatenate(fresh)), seen, assume_unique=True)
        seen = np.union1d(seen, frontier)
        if len(seen) * 8 * (spaces.n_agents + 4) > tol.BYTES:
            raise TooLarge("reachable joint states", f"more than {len(seen):.3g}",
                           f"{tol.BYTES / 8 / (spaces.n_agents + 4):.3g}", AT_SCALE if system.decoupled else
                           "Start elsewhere, or coarsen the local states.")  # fmt: skip
    return seen


@singledispatch
def successors(system: Any, states: Ints, actions: Ints) -> Ints:
    """Joint states that the pairs (T, N), (T, N) may reach, unique; here for one joint kernel per joint action."""
    return np.unique(_general_rows(system, states, actions).indices).astype(np.int64)


@singledispatch
def pair_kernel(system: Any, index: Ints, states: Ints, actions: Ints, once: bool = False) -> Kernel:
    """The kernel from pairs (n, N), (n, N) to the joint states `index`; here for one joint kernel per joint action."""
    rows = _general_rows(system, states, actions)
    return SparseKernel(rows if len(index) == rows.shape[1] else sp.csr_array(rows[:, index]))


def _general_rows(system: MultiAgentMDP | JointChain, states: Ints, actions: Ints) -> sp.csr_array:
    at = system.spaces.state_index(states)
    used, position = np.unique(system.spaces.action_index(actions), return_inverse=True)
    if len(used) == 1:
        return system.kernel[int(used[0])][at]
    stack = sp.csr_array(sp.vstack([system.kernel[int(a)] for a in used], format="csr"))
    return stack[position.astype(np.int64) * system.spaces.joint_states + at]


_Product = WeaklyCoupledMDP | FactoredMDP | ExogenousMDP


@successors.register(WeaklyCoupledMDP)
@successors.register(FactoredMDP)
@successors.register(ExogenousMDP)
def _(system: _Product, states: Ints, actions: Ints) -> Ints:
    factors = system.factors(states, actions)
    sizes = product_row_sizes(factors)
    _refuse_rows(sizes.max(initial=0.0), system.spaces)
    _refuse_rows(sizes.sum(), system.spaces, each=1)
    cuts = np.flatnonzero(np.diff(np.cumsum(sizes) // 4e6)) + 1
    spans = [slice(a, b) for a, b in itertools.pairwise([0, *cuts.tolist(), len(sizes)])]
    parts = ([(laws, at[span]) for laws, at in factors] for span in spans)
    return np.unique(np.concatenate([np.unique(product_rows(part)[1]) for part in parts]))


@pair_kernel.register
def _(system: WeaklyCoupledMDP, index: Ints, states: Ints, actions: Ints, once: bool = False) -> Kernel:
    spaces, factors = system.spaces, system.factors(states, actions)
    total = product_row_sizes(factors).sum()
    full, most = len(index) == spaces.joint_states, tol.EXPLICIT_KERNEL
    if once and full:  # a product of local kernels works on all joint states for each joint action
        most = min(most, max(len(index) * len(np.unique(spaces.action_index(actions))), _AT_ONCE))
    if full and total > most:
        used, code = np.unique(spaces.action_index(actions), return_inverse=True)
        return ProductKernel(
            system.kernels, unravel(used, spaces.n_actions), code, spaces.state_index(states)
        )
    return _explicit(factors, index, spaces)


@pair_kernel.register(FactoredMDP)
@pair_kernel.register(ExogenousMDP)
def _(
    system: FactoredMDP | ExogenousMDP, index: Ints, states: Ints, actions: Ints, once: bool = False
) -> Kernel:
    return _explicit(system.factors(states, actions), index, system.spaces)


def _explicit(factors: Factors, index: Ints, spaces: Spaces) -> Kernel:
    """The product kernel of these factors to the joint states `index`, entry by entry."""
    _refuse_rows(product_row_sizes(factors).sum(), spaces)
    row, column, data = product_rows(factors)
    entries = data, (row, np.searchsorted(index, column))
    return SparseKernel(sp.csr_array(entries, shape=(len(factors[0][1]), len(index))))


@successors.register
def _(system: Merged, states: Ints, actions: Ints) -> Ints:
    return successors(system.base, system.spaces.states_apart(states), system.spaces.actions_apart(actions))


@pair_kernel.register
def _(system: Merged, index: Ints, states: Ints, actions: Ints, once: bool = False) -> Kernel:
    spaces = system.spaces
    return pair_kernel(system.base, index, spaces.states_apart(states), spaces.actions_apart(actions), once)


def _refuse_rows(entries: float, spaces: Spaces, each: int = _ENTRY) -> None:
    """Refuse to form so many kernel entries of so many bytes `each`."""
    if entries * each > tol.BYTES:
        fits = spaces.joint_states * 8 * (spaces.n_agents + 4) <= tol.BYTES
        raise TooLarge("joint kernel", f"{entries:.3g} entries", f"{tol.BYTES / each:.3g}",
                       "Analyse every joint state (no `initial`)." if fits else AT_SCALE)  # fmt: skip
