"""V decomposition: the state chain decides, and neither Q nor the shape of the rewards does."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_values as oracle
from markov_entanglement.errors import InvalidInput, SeveralRecurrentClasses, Unsupported
from markov_entanglement.model.mdp import JointChain, MultiAgentMDP
from markov_entanglement.model.policy import UniformPolicy
from markov_entanglement.model.weakly_coupled import WeaklyCoupledMDP
from markov_entanglement.values.decomposition import value_decomposition
from markov_entanglement.values.v_decomposition import agentwise_spread, v_decomposition


def mdp(rng, n_states, n_actions):
    s, a = int(np.prod(n_states)), int(np.prod(n_actions))
    kernel = oracle.laws(rng, s * a, s).reshape(s, a, s)
    policy = oracle.laws(rng, s, a, 0.6)
    system = MultiAgentMDP(
        kernel, [np.zeros(k) for k in n_states], n_states=n_states, n_actions=n_actions, discount=0.9
    )
    return system.under(policy), np.einsum("sa,sat->st", policy, kernel)


def xor_system():
    """Agent 1's state is a fair coin each step; agent 0 plays `a_0 = s_0 xor s_1` and moves to `s_0' = a_0`.

    `p_0(s_0', a_0' | x) = 1{s_0' = a_0} / 2`: agent 0's next pair depends on its own pair only, so the pair chain is
    agent-wise separable and Q additive. But `s_0' = s_0 xor s_1`: the state chain is entangled.
    """
    kernel = np.zeros((4, 2, 4))
    policy = np.zeros((4, 2))
    for s0, s1 in oracle.product((2, 2)):
        policy[2 * s0 + s1, s0 ^ s1] = 1.0
        for a0 in range(2):
            kernel[2 * s0 + s1, a0, [2 * a0, 2 * a0 + 1]] = 0.5
    return MultiAgentMDP(kernel, [[0, 1], [0, 0]], n_states=(2, 2), n_actions=(2, 1), discount=0.9), policy


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([((2, 2), (2, 2)), ((3, 2), (2, 1)), ((2, 2, 2), (2, 1, 2))]))
def test_values_of_the_state_chain(seed, shape):
    rng = np.random.default_rng(seed)
    n_states, n_actions = shape
    chain, t = mdp(rng, n_states, n_actions)
    tables, states = oracle.random_tables(rng, n_states), oracle.product(n_states)
    mu = oracle.stationary(t)
    v = v_decomposition(chain, tables, 0.9)
    want = oracle.q_values(t, oracle.reward_on(states, tables), 0.9)
    np.testing.assert_allclose(v.joint_v, want, atol=1e-9)
    local = oracle.local_q(t, states, mu, tables, 0.9)
    for mine, theirs in zip(v.local_v, local, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-9)
    for norm, error in oracle.norms(want - oracle.reward_on(states, local), mu).items():
        assert v.error(norm) == pytest.approx(error, abs=1e-9)
    # V = sum_a pi(a|s) Q(s, a)
    q = value_decomposition(chain, tables, 0.9)
    np.testing.assert_allclose(chain.choice @ q.joint_q, v.joint_v, atol=1e-9)
    assert v.verdict == "entangled"


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([(2, 2), (3, 2), (2, 2, 2)]))
def test_verdict_is_agentwise_separability_of_the_state_chain(seed, sizes):
    """Gap between `atv` and twice `atv`, by linear programs of outside code; separable means exact for any reward."""
    rng = np.random.default_rng(seed)
    for t, word in (
        (oracle.random_separable(rng, sizes), "separable"),
        (oracle.random_joint(rng, sizes), "entangled"),
    ):
        chain = JointChain(t, sizes).under()
        v = v_decomposition(chain, oracle.random_tables(rng, sizes), 0.9)
        assert v.verdict == word
        if word == "separable":
            assert v.error("sup") < 1e-8 and v.gap < 1e-10
        for i, m in enumerate(sizes):
            atv, spread = (
                oracle.atv_lp(t, oracle.product(sizes), i, m),
                agentwise_spread(chain.laws(i).in_the_long_run()),
            )
            assert atv - 1e-7 <= spread <= 2 * atv + 1e-7


def test_additive_q_does_not_imply_additive_v():
    """And state-only rewards are not sufficient: both fail in the xor system."""
    system, policy = xor_system()
    chain = system.under(policy)
    assert max(agentwise_spread(chain.laws(i).in_the_long_run()) for i in range(2)) < 1e-15
    q = value_decomposition(chain)
    assert q.error("sup") < 1e-12
    v = v_decomposition(chain)
    assert v.verdict == "entangled" and v.gap == pytest.approx(0.5)
    assert v.error("sup") > 0.1
    # no additive function at all: the interaction of the four values
    a, b, c, d = v.joint_v
    assert abs(a - b - c + d) == pytest.approx(2 * 0.9)


def test_state_only_rewards_are_necessary():
    """State chain separable (fair coins), `a_0 = s_0 xor s_1`, `r_0 = a_0`: V is the interaction itself."""
    kernel, policy = np.full((4, 2, 4), 0.25), np.zeros((4, 2))
    for s0, s1 in oracle.product((2, 2)):
        policy[2 * s0 + s1, s0 ^ s1] = 1.0
    rewards = [[[0, 1], [0, 1]], [0, 0]]
    chain = MultiAgentMDP(kernel, rewards, n_states=(2, 2), n_actions=(2, 1), discount=0.9).under(policy)
    assert v_decomposition(chain, [[0, 1], [0, 0]]).verdict == "separable"
    v = chain.choice @ value_decomposition(chain).joint_q
    assert abs(v[0] - v[1] - v[2] + v[3]) == pytest.approx(2.0)
    with pytest.raises(Unsupported, match=r"depends on actions.*not a function of s_i.*kind='Q'"):
        v_decomposition(chain)


def test_additive_v_does_not_imply_additive_q():
    """`s_0' = a_0 xor a_1` with fair coins as actions: the state chain is i.i.d., the pair chain is entangled."""
    kernel = np.zeros((2, 4, 2))
    for a0, a1 in oracle.product((2, 2)):
        kernel[:, 2 * a0 + a1, a0 ^ a1] = 1.0
    system = MultiAgentMDP(kernel, [[0, 1], [0]], n_states=(2, 1), n_actions=(2, 2), discount=0.9)
    chain = system.under(UniformPolicy())
    v = v_decomposition(chain)
    assert v.verdict == "separable" and v.error("sup") < 1e-12
    assert value_decomposition(chain).error("sup") > 0.1


def test_state_chain_is_the_policy_average():
    rng = np.random.default_rng(0)
    chain, t = mdp(rng, (2, 3), (2, 2))
    states = chain.of_states()
    np.testing.assert_allclose(states.step.toarray(), t, atol=1e-12)
    np.testing.assert_allclose(states.occupancy, chain.stationary.law, atol=1e-12)
    assert states.sizes == (2, 3) and states.n_pairs == 6


def test_implicit_kernels_give_the_same_answer(monkeypatch):
    """Kronecker kernels are never formed; the state chain is then applied as its two factors."""
    from markov_entanglement import _tolerance

    rng = np.random.default_rng(1)
    kernels = [oracle.laws(rng, 6, 3).reshape(2, 3, 3) for _ in range(3)]
    system = WeaklyCoupledMDP(kernels, [[0, 1, 2]] * 3, discount=0.9, budget=1)
    explicit = v_decomposition(system.under(UniformPolicy()))
    monkeypatch.setattr(_tolerance, "EXPLICIT_KERNEL", 0)
    chain = system.under(UniformPolicy())
    assert chain.kernel.matrix is None
    implicit = v_decomposition(chain)
    np.testing.assert_allclose(implicit.joint_v, explicit.joint_v, atol=1e-9)
    assert implicit.gap == pytest.approx(explicit.gap, abs=1e-12)
    assert (
        implicit.verdict == explicit.verdict == "separable"
    )  # served uniformly at random, whatever the states


def test_shared_state_reward():
    rng = np.random.default_rng(2)
    chain, t = mdp(rng, (2, 2), (2, 2))
    r = rng.normal(size=4)
    np.testing.assert_allclose(v_decomposition(chain, r, 0.9).joint_v, oracle.q_values(t, r, 0.9), atol=1e-9)
    with pytest.raises(Unsupported, match="actions"):
        v_decomposition(chain, rng.normal(size=(4, 4)), 0.9)


def test_initial_law_and_several_classes():
    chain = JointChain(np.eye(4), (2, 2)).under()
    with pytest.raises(SeveralRecurrentClasses):
        v_decomposition(chain, [[0, 1], [0, 1]], 0.9)
    started = JointChain(np.eye(4), (2, 2)).under(initial=[0.5, 0.0, 0.0, 0.5])
    assert v_decomposition(started, [[0, 1], [0, 1]], 0.9).error("sup") < 1e-9


def test_results_and_errors():
    chain = JointChain(oracle.random_joint(np.random.default_rng(0), (2, 2)), (2, 2)).under()
    v = v_decomposition(chain, [[0, 1], [0, 1]], 0.9)
    form = json.loads(json.dumps(v.to_dict()))
    assert form["verdict"] == "entangled" and form["gap"] == v.gap and form["error_mu"] == v.error()
    assert "VDecomposition(entangled" in repr(v)
    np.testing.assert_allclose(v.joint_v - v.sum_v, v.decomposition.residual)
    with pytest.raises(InvalidInput, match="rewards"):
        v_decomposition(chain, None, 0.9)
    with pytest.raises(InvalidInput, match="discount"):
        v_decomposition(chain, [[0, 1], [0, 1]], -0.1)
