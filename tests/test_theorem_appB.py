"""Appendix B. V decomposes, `V(s) = sum_i V_i(s_i)` with V_i reading r_i only, for every state-only reward iff the
state chain `T(s'|s) = sum_a pi(a|s) P(s'|s, a)` is agent-wise separable.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_values as oracle
from markov_entanglement.model.mdp import JointChain, MultiAgentMDP
from markov_entanglement.values.v_decomposition import v_decomposition

SIZES = st.sampled_from([(2, 2), (3, 2), (2, 2, 2)])


def witness(t, sizes, gamma):
    """Agent, two states with one local state, reward: `V(x) - V(y) = |.|_1 / (1 - gamma)`."""
    states = oracle.product(sizes)
    r = (1 - gamma) * np.linalg.inv(np.eye(len(t)) - gamma * t)
    best = (0.0, None)
    for i, m in enumerate(sizes):
        law = oracle.next_law(r, states, i, m)
        for x in range(len(states)):
            for y in range(x):
                size = np.abs(law[x] - law[y]).sum()
                if states[x][i] == states[y][i] and size > best[0] + 1e-14:
                    best = (size, (i, x, y, np.sign(law[x] - law[y])))
    return best


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES, st.sampled_from([0.5, 0.9]))
def test_if(seed, sizes, gamma):
    rng = np.random.default_rng(seed)
    v = v_decomposition(JointChain(oracle.random_separable(rng, sizes), sizes).under(),
                        oracle.random_tables(rng, sizes), gamma)  # fmt: skip
    assert v.verdict == "separable" and v.error("sup") < 1e-8


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES, st.sampled_from([0.5, 0.9]))
def test_only_if(seed, sizes, gamma):
    """An entangled state chain has a state-only reward of one agent at which V differs within one local state."""
    t = oracle.random_joint(np.random.default_rng(seed), sizes)
    size, (i, x, y, sign) = witness(t, sizes, gamma)
    tables = [sign if j == i else np.zeros(m) for j, m in enumerate(sizes)]
    v = v_decomposition(JointChain(t, sizes).under(), tables, gamma)
    assert v.verdict == "entangled" and size > 0
    assert v.joint_v[x] - v.joint_v[y] == pytest.approx(size / (1 - gamma), rel=1e-8)
    assert v.error("sup") >= 0.5 * size / (1 - gamma) * (1 - 1e-8)


def test_no_witness_where_separable():
    """Negative control of the witness."""
    t = oracle.random_separable(np.random.default_rng(1), (3, 3))
    assert witness(t, (3, 3), 0.9)[0] < 1e-9


def test_parity_chain_decomposes_though_entangled_by_definition():
    p = np.zeros((8, 8))
    for x in oracle.product((2, 2, 2)):
        for a, b in oracle.product((2, 2)):
            p[4 * x[0] + 2 * x[1] + x[2], 4 * a + 2 * (a ^ x[2]) + b] += 0.25
    v = v_decomposition(JointChain(p, (2, 2, 2)).under(), [[0, 1], [0, 1], [0, 1]], 0.9)
    assert v.verdict == "separable" and v.error("sup") < 1e-12


def test_extreme_a_policy_that_reads_the_other_agent():
    """Agent 0 copies agent 1's coin: each kernel is local, the state chain is as entangled as it can be for a bit."""
    kernel, policy = np.zeros((4, 2, 4)), np.zeros((4, 2))
    for s0, s1 in oracle.product((2, 2)):
        policy[2 * s0 + s1, s1] = 1.0
        for a0 in range(2):
            kernel[2 * s0 + s1, a0, [2 * a0, 2 * a0 + 1]] = 0.5
    mdp = MultiAgentMDP(kernel, [[0, 1], [0, 0]], n_states=(2, 2), n_actions=(2, 1), discount=0.9)
    v = v_decomposition(mdp.under(policy))
    assert v.verdict == "entangled" and v.gap == pytest.approx(0.5)
    assert v.error("sup") == pytest.approx(0.45)  # gamma s_1 is read as its mean
