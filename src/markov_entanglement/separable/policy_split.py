"""Weakly coupled systems: a decomposition of the policy decomposes the chain, whatever the budget leaves out.

With `P(s'|s,a) = prod_i P_i(s_i'|s_i,a_i)` (Def. 7.1) and `pi(a|s) = sum_j x_j prod_i pi_i^(j)(a_i|s_i)`,

    P((s,a),(s',a')) = sum_j x_j prod_i P_i(s_i'|s_i,a_i) pi_i^(j)(a_i'|s_i'),

so P is separable (Example 3.3: one agent served at random). The policy lives on the full product of local states
also when the chain's pairs are no product, and its decomposition is small: no completion is sought, and the joint
transition is never formed.

Guarantee: a row of the decomposition misses P by at most the residual of the policy, in L1, because
`sum_s' P(s'|s,a) |pi(.|s') - sum_j x_j prod_i pi_i^(j)(.|s_i')|_1` is a mean of the policy's row errors.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .. import _tolerance as tol
from .._check import freeze
from ..markov.chain import Chain
from ..model.spaces import joint_size
from .decomposition import Decomposition, certified, compact_terms
from .support import Support


def split_policy(support: Support) -> Decomposition | None:
    """The decomposition through the policy, on the occurring local pairs; its residual is that of the policy.

    Terms may use local pairs that never occur, where they cancel: each sends that mass to its first occurring pair.
    None when the system is not weakly coupled, its chain does not visit all joint states, or the policy would not
    fit. An entangled policy leaves a large residual and proves nothing.
    """
    chain: Chain = support.chain
    system, spaces = chain.system, chain.system.spaces
    shape = (spaces.joint_states, joint_size(spaces.n_actions))
    large = shape[0] * shape[1] > tol.SEPARABLE_ENTRIES
    if system.local_kernels is None or len(chain.states) != shape[0] or large:
        return None
    states, actions = spaces.split(chain.pairs)
    table = np.zeros(shape)
    table[spaces.state_index(states), spaces.action_index(actions)] = chain.choice.data
    weights, laws = compact_terms(table, spaces.n_states, spaces.n_actions)
    factors = []
    for kernel, law, active in zip(system.local_kernels, laws, support.active, strict=True):
        step = np.einsum("ast,jtb->jsatb", kernel, law)  # P_i(t|s,a) pi_i^(j)(b|t)
        m = law.shape[1] * law.shape[2]
        rows = step.reshape(-1, m, m)[:, active]
        factor = rows[:, :, active]
        factor[:, :, 0] += np.delete(rows, active, axis=2).sum(axis=2)
        factors.append(freeze(factor))
    return replace(certified("compact", weights, laws, table), factors=tuple(factors))
