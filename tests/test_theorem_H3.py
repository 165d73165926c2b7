"""Theorem H.3 (App. H: N agents), read with one joint number in place of every E_i:

    ||Q - sum_i Q_i||_inf <= 4 gamma tv    sum_i r_i^max / (1 - gamma)^2,
    ||Q - sum_i Q_i||_mu  <= 4 gamma mu-tv sum_i r_i^max / (1 - gamma)^2,

because `E_i <= tv` for `atv` (`E_i <= mu-tv` for `mu-atv`) whatever the number of agents.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_values as oracle
from markov_entanglement.measures.entanglement import entanglement
from markov_entanglement.measures.joint import joint_distance
from markov_entanglement.model.mdp import JointChain
from markov_entanglement.values.bounds import theorem_bound


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(2, 2), (3, 2), (2, 2, 2), (3, 2, 2), (2, 2, 2, 2)]),
    st.sampled_from([1.0, 0.3]),
    st.sampled_from([0.3, 0.9]),
)
def test_holds(seed, sizes, density, gamma):
    rng = np.random.default_rng(seed)
    p, tables = oracle.random_joint(rng, sizes, density), oracle.random_tables(rng, sizes)
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    local = oracle.reward_on(pairs, oracle.local_q(p, pairs, mu, tables, gamma))
    truth = oracle.norms(oracle.q_values(p, oracle.reward_on(pairs, tables), gamma) - local, mu)
    chain, r_max = JointChain(p, sizes).under(), [np.abs(r).max() for r in tables]
    n = len(sizes)
    tv, mu_tv = joint_distance(chain, weighted=False).lower, joint_distance(chain, weighted=True).lower
    assert truth["sup"] <= theorem_bound([tv] * n, r_max, gamma) * (1 + 1e-9) + 1e-9
    assert truth["mu"] <= theorem_bound([mu_tv] * n, r_max, gamma) * (1 + 1e-9) + 1e-9
    assert entanglement(chain, "atv").per_agent.max() <= tv + 1e-8
    assert entanglement(chain, "mu-atv").per_agent.max() <= mu_tv + 1e-8


def test_extreme_parity_chain():
    """Entangled (`tv = mu-tv = 1/2`) with all E_i = 0: the joint numbers bound an error that is 0."""
    p = np.zeros((8, 8))
    for x in oracle.product((2, 2, 2)):
        for a, b in oracle.product((2, 2)):
            p[4 * x[0] + 2 * x[1] + x[2], 4 * a + 2 * (a ^ x[2]) + b] += 0.25
    tables = oracle.random_tables(np.random.default_rng(0), (2, 2, 2))
    pairs, mu = oracle.product((2, 2, 2)), oracle.stationary(p)
    local = oracle.reward_on(pairs, oracle.local_q(p, pairs, mu, tables, 0.9))
    truth = oracle.norms(oracle.q_values(p, oracle.reward_on(pairs, tables), 0.9) - local, mu)
    chain = JointChain(p, (2, 2, 2)).under()
    assert truth["sup"] < 1e-9
    for weighted in (False, True):
        assert joint_distance(chain, weighted=weighted).lower == pytest.approx(0.5, abs=1e-9)
    assert entanglement(chain, "atv").total < 1e-8
