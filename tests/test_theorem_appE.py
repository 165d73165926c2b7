"""Appendix E. The chain `P = 1/4 (ee') (x) (ee') + d (eps e') (x) (e eps')`, |d| <= 1/4, is entangled and keeps Q
additive when local functions may read all rewards:

    (I - gamma P)^{-1} = I + gamma/(1-gamma) 1/4 (ee') (x) (ee') + d gamma (eps e') (x) (e eps').

In general Q is additive for every additive reward iff additive functions are invariant under P (VDN gap 0).
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_values as oracle
from markov_entanglement.measures.entanglement import entanglement
from markov_entanglement.measures.spectral import vdn_gap
from markov_entanglement.model.mdp import JointChain
from markov_entanglement.values.additive import additive_values

E, EPS = np.ones((2, 1)), np.array([[1.0], [-1.0]])


def chain_e(d):
    return np.kron(E @ E.T, E @ E.T) / 4 + d * np.kron(EPS @ E.T, E @ EPS.T)


def interaction(q):
    """Part of a function on the product of two agents that no sum of local functions has."""
    return float(np.abs(q - q.mean(0) - q.mean(1, keepdims=True) + q.mean()).max())


@pytest.mark.parametrize("d", [-0.25, -0.1, 0.0, 0.2, 0.25])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.99])
def test_closed_form_of_the_resolvent(d, gamma):
    want = (
        np.eye(4)
        + gamma / (1 - gamma) * np.kron(E @ E.T, E @ E.T) / 4
        + d * gamma * np.kron(EPS @ E.T, E @ EPS.T)
    )
    np.testing.assert_allclose(np.linalg.inv(np.eye(4) - gamma * chain_e(d)), want, atol=1e-9)


@pytest.mark.parametrize("d", [-0.25, -0.1, 0.2, 0.25])
def test_entanglement_of_each_agent(d):
    """`E_A = 0`, `E_B = 2|d|` for `atv` and `mu-atv`."""
    chain = JointChain(chain_e(d), (2, 2)).under()
    for distance in ("atv", "mu-atv"):
        np.testing.assert_allclose(entanglement(chain, distance).per_agent, [0.0, 2 * abs(d)], atol=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.floats(-0.25, 0.25), st.sampled_from([0.5, 0.9]))
def test_additive_for_every_reward(seed, d, gamma):
    tables = oracle.random_tables(np.random.default_rng(seed), (2, 2))
    q = oracle.q_values(chain_e(d), oracle.reward_on(oracle.product((2, 2)), tables), gamma)
    assert interaction(q.reshape(2, 2)) < 1e-10
    a = additive_values(JointChain(chain_e(d), (2, 2)).under(), tables, gamma)
    assert a.error("sup") < 1e-9 and a.vdn_gap.value < 1e-9
    # local TD reads its own reward only: off by gamma 2|d| |r_B(0) - r_B(1)|
    assert a.local_td.error("sup") == pytest.approx(2 * abs(d) * gamma * abs(np.ptp(tables[1])), abs=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([(2, 2), (3, 2), (2, 3, 2)]))
def test_if_additive_functions_are_invariant(seed, sizes):
    """`p_i(.|x) = sum_j w_ij K_ij(.|x_j)`, agents independent given x: P maps additive functions to additive ones."""
    rng = np.random.default_rng(seed)
    n = len(sizes)
    weights = oracle.laws(rng, n, n)
    maps = [[oracle.laws(rng, sizes[j], sizes[i]) for j in range(n)] for i in range(n)]
    rows = []
    for x in oracle.product(sizes):
        local = [sum(weights[i, j] * maps[i][j][x[j]] for j in range(n)) for i in range(n)]
        rows.append(oracle.kron([law[None] for law in local])[0])
    chain = JointChain(np.array(rows), sizes).under()
    a = additive_values(chain, oracle.random_tables(rng, sizes), 0.9)
    assert a.vdn_gap.value < 1e-9 and a.error("sup") < 1e-8
    assert a.local_td.error("sup") > 1e-6 and entanglement(chain, "atv").total > 1e-3


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([(2, 2), (3, 3)]))
def test_only_if(seed, sizes):
    """With a positive gap some indicator reward has a Q that is not additive."""
    p = oracle.random_joint(np.random.default_rng(seed), sizes)
    assert vdn_gap(JointChain(p, sizes).under()).value > 1e-6
    worst = 0.0
    for i, m in enumerate(sizes):
        for k in range(m):
            tables = [np.zeros(c) for c in sizes]
            tables[i][k] = 1.0
            q = oracle.q_values(p, oracle.reward_on(oracle.product(sizes), tables), 0.9)
            worst = max(worst, interaction(q.reshape(sizes)))
    assert worst > 1e-7


def test_extreme_swap_chain():
    """`x' = (x_1, x_0)`: each agent's future is the other's past, Q is additive, nothing local is right."""
    p = 0.9 * np.eye(9)[[3 * (k % 3) + k // 3 for k in range(9)]] + 0.1 / 9
    a = additive_values(JointChain(p, (3, 3)).under(), [[0, 1, 2], [0, 0, 0]], 0.9)
    assert a.error("sup") < 1e-9 and a.vdn_gap.value < 1e-9 and a.local_td.error("sup") > 1
