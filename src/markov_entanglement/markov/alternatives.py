"""Every feasible action of a joint chain, with its true value: one step of the kernel, then the policy."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from .._check import Floats, Ints
from ..errors import TooLarge
from ..laws.source import Alternatives
from ..model.rewards import Rewards
from ..model.spaces import unravel
from .build import chain_on, closure, pair_kernel, successors
from .chain import Chain, one_hot


def alternatives(chain: Chain, rewards: Rewards, gamma: float, entries: float) -> Alternatives:
    """See `Space.alternatives`; states that only other actions reach are added to the chain."""
    system, spaces = chain.system, chain.system.spaces
    at = np.flatnonzero(chain.stationary.law > 0)
    table = sp.csr_array(system.feasible(chain.states[at]))
    table.sort_indices()
    if table.nnz * (spaces.n_agents + 3) > entries:
        raise TooLarge("feasible actions of all visited states", f"{table.nnz:.3g}",
                       f"{entries / (spaces.n_agents + 3):.3g} here",
                       "Ask for it: me.decision_loss(chain).")  # fmt: skip
    state = np.repeat(np.arange(len(at)), np.diff(table.indptr))
    local, actions = chain.states[at][state], unravel(table.indices.astype(np.int64), spaces.n_actions)
    wide = _widened(chain, local, actions)
    pairs = spaces.local_pairs(local, actions)
    v = wide.average(wide.solve(wide.reward(rewards), gamma).q)
    q = rewards.on_pairs(pairs, spaces) + gamma * _ahead(wide, local, actions, v)
    first = np.concatenate([[0], np.cumsum(spaces.pair_sizes)])
    tied = system.budget is not None and all(a == 2 for a in spaces.n_actions)
    return Alternatives(
        state=state,
        q=q,
        many=np.ones(len(q)),
        features=one_hot(pairs, spaces.pair_sizes),
        weight=chain.stationary.law[at],
        served=actions if tied else None,
        present=np.ones((len(at), spaces.n_agents), dtype=np.int64),
        rest=first[:-1] + 2 * chain.states[at],
    )


def _widened(chain: Chain, local: Ints, actions: Ints) -> Chain:
    """The chain, with the joint states that these actions may reach and what follows them."""
    if len(chain.states) == chain.system.spaces.joint_states:
        return chain
    spaces, ends = chain.system.spaces, chain.system.ends
    reached = successors(chain.system, local, actions)
    reached = reached if ends is None else np.setdiff1d(reached, ends.terminal)
    index = spaces.state_index(chain.states)
    if np.isin(reached, index).all():
        return chain
    return chain_on(
        chain.system, chain.policy, closure(chain.system, chain.policy, np.union1d(index, reached))
    )


def _ahead(chain: Chain, local: Ints, actions: Ints, v: Floats) -> Floats:
    """(A,) expected value of the next joint state; 0 where the task ends."""
    spaces, ends = chain.system.spaces, chain.system.ends
    index = spaces.state_index(chain.states)
    reached = index if ends is None else np.union1d(index, ends.terminal)
    values = np.zeros(len(reached))
    values[np.searchsorted(reached, index)] = v
    return pair_kernel(chain.system, reached, local, actions).apply(values)
