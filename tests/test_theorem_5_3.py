"""Theorem 5.3. Two agents, `tv = min_{P' in P_SEP} max_x TV(P_x, P'_x)`:

    ||Q - (Q_0 + Q_1)||_inf <= 4 gamma tv (r_0^max + r_1^max) / (1 - gamma)^2,

sup norm over the recurrent pairs, Q_i the values of the marginalised local chain (Eq. 2). First half: with the local
transitions M_i of the nearest P', `TV(P_i(.|k), M_i(.|k)) <= tv` for every visited local pair k.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_values as oracle
from markov_entanglement.measures.joint import joint_distance
from markov_entanglement.model.mdp import JointChain
from markov_entanglement.model.policy import IndexPolicy
from markov_entanglement.model.weakly_coupled import WeaklyCoupledMDP
from markov_entanglement.values.bounds import theorem_bound
from theorem_bounds import joint_first_half as first_half


def sides(p, sizes, tables, gamma):
    """Truth by outside code, bound by the distance's certified lower limit (which is the harder test)."""
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    local = oracle.reward_on(pairs, oracle.local_q(p, pairs, mu, tables, gamma))
    truth = oracle.norms(oracle.q_values(p, oracle.reward_on(pairs, tables), gamma) - local, mu)["sup"]
    tv = joint_distance(JointChain(p, sizes).under(), weighted=False).lower
    return truth, theorem_bound([tv] * 2, [np.abs(r).max() for r in tables], gamma)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(2, 2), (3, 2), (3, 4), (4, 4)]),
    st.sampled_from([1.0, 0.3]),
    st.sampled_from([0.0, 0.3, 0.9]),
)
def test_holds(seed, sizes, density, gamma):
    rng = np.random.default_rng(seed)
    p, tables = oracle.random_joint(rng, sizes, density), oracle.random_tables(rng, sizes)
    truth, bound = sides(p, sizes, tables, gamma)
    assert truth <= bound * (1 + 1e-9) + 1e-9


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([(2, 2), (3, 2), (3, 4)]), st.sampled_from([1.0, 0.3]))
def test_first_half(seed, sizes, density):
    p = oracle.random_joint(np.random.default_rng(seed), sizes, density)
    first_half(p, sizes, joint_distance(JointChain(p, sizes).under(), weighted=False))


@pytest.mark.parametrize("seed", range(10))
def test_holds_on_the_support_of_a_budget(seed):
    rng = np.random.default_rng(seed)
    kernels = [oracle.laws(rng, 6, 3).reshape(2, 3, 3) for _ in range(2)]
    rewards = oracle.random_tables(rng, (6, 6))
    system = WeaklyCoupledMDP(kernels, rewards, discount=0.9, budget=1)
    chain = system.under(IndexPolicy([rng.random(3), rng.random(3)]))
    pairs = [tuple(int(k) for k in x) for x in chain.pairs]
    p = chain.step.toarray()
    mu = oracle.stationary(p)
    local = oracle.reward_on(pairs, oracle.local_q(p, pairs, mu, rewards, 0.9))
    truth = oracle.norms(oracle.q_values(p, oracle.reward_on(pairs, rewards), 0.9) - local, mu)["sup"]
    tv = joint_distance(chain, weighted=False).lower
    assert truth <= theorem_bound([tv] * 2, [np.abs(r).max() for r in rewards], 0.9) + 1e-9


@pytest.mark.parametrize("gamma", [1e-3, 0.1, 0.5])
def test_within_two_of_tight_for_small_discounts(gamma):
    """App. E chain with d = 1/4: `tv = 1/2`, error `gamma`, bound `2 gamma / (1 - gamma)^2`."""
    e, eps = np.ones((2, 1)), np.array([[1.0], [-1.0]])
    p = np.kron(e @ e.T, e @ e.T) / 4 + np.kron(eps @ e.T, e @ eps.T) / 4
    truth, bound = sides(p, (2, 2), [np.zeros(2), np.array([1.0, -1.0])], gamma)
    assert truth == pytest.approx(gamma)
    assert bound == pytest.approx(2 * gamma / (1 - gamma) ** 2)


def test_zero_for_separable_chains_and_large_distance_with_no_error():
    rng = np.random.default_rng(0)
    p = oracle.random_separable(rng, (3, 3))
    truth, bound = sides(p, (3, 3), oracle.random_tables(rng, (3, 3)), 0.9)
    assert truth < 1e-9 and bound < 1e-6
    # r_1 = 0 in the App. E chain: nobody reads what is entangled
    e, eps = np.ones((2, 1)), np.array([[1.0], [-1.0]])
    p = np.kron(e @ e.T, e @ e.T) / 4 + np.kron(eps @ e.T, e @ eps.T) / 4
    truth, bound = sides(p, (2, 2), [np.array([1.0, -1.0]), np.zeros(2)], 0.9)
    assert truth < 1e-12 and bound > 100
