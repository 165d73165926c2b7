"""Joint additive values: the projected Bellman equation, recomputed from its definition."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_values as oracle
from markov_entanglement.errors import InvalidInput, SeveralRecurrentClasses
from markov_entanglement.model.mdp import JointChain
from markov_entanglement.model.policy import IndexPolicy
from markov_entanglement.model.weakly_coupled import WeaklyCoupledMDP
from markov_entanglement.values.additive import additive_values

SIZES = st.sampled_from([(2, 2), (3, 2), (4, 3), (2, 2, 2), (3, 2, 2)])
ALL = ("mu", "sup", "l2")


def circulant(n, gamma=0.5):
    p0 = np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]) / 2
    kernels = [np.stack([p0, p0.T])] * n
    system = WeaklyCoupledMDP(kernels, [[-1, 0, 0, 1]] * n, discount=gamma, budget=n // 5)
    return system.under(IndexPolicy([1, 2, 3, 0]))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES, st.sampled_from([1.0, 0.3]), st.sampled_from([0.0, 0.5, 0.95]))
def test_solves_the_projected_bellman_equation(seed, sizes, density, gamma):
    rng = np.random.default_rng(seed)
    p, tables = oracle.random_joint(rng, sizes, density), oracle.random_tables(rng, sizes)
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    a = additive_values(JointChain(p, sizes).under(), tables, gamma)
    phi, r = oracle.additive_features(pairs, sizes), oracle.reward_on(pairs, tables)
    d = oracle.reward_on(pairs, a.local_q)
    np.testing.assert_allclose(phi.T @ (mu * (r + gamma * p @ d - d)), 0, atol=1e-9)
    q = oracle.q_values(p, r, gamma)
    local = oracle.reward_on(pairs, oracle.local_q(p, pairs, mu, tables, gamma))
    for norm in ALL:
        assert a.error(norm) == pytest.approx(oracle.norms(q - d, mu)[norm], abs=1e-9)
        assert a.local_td.error(norm) == pytest.approx(oracle.norms(q - local, mu)[norm], abs=1e-9)
    assert a.vdn_gap.value == pytest.approx(oracle.vdn(p, pairs, mu, sizes), abs=1e-9)
    # Tsitsiklis and Van Roy: within 1/sqrt(1 - gamma^2) of the best additive function
    best = oracle.norms(q - oracle.projection(phi, mu) @ q, mu)["l2"]
    assert best - 1e-9 <= a.error("l2") <= best / np.sqrt(1 - gamma**2) + 1e-9


def test_least_norm_tables():
    rng = np.random.default_rng(4)
    sizes = (3, 2)
    p, tables = oracle.random_joint(rng, sizes), oracle.random_tables(rng, sizes)
    a = additive_values(JointChain(p, sizes).under(), tables, 0.9)
    theta = np.concatenate(a.local_q)
    phi = oracle.additive_features(oracle.product(sizes), sizes)
    np.testing.assert_allclose(theta, np.linalg.pinv(phi) @ (phi @ theta), atol=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_exact_where_local_values_are_not(gamma):
    """App. E: entangled, local TD is wrong, joint additive values are exact."""
    e, eps = np.ones((2, 1)), np.array([[1.0], [-1.0]])
    p = np.kron(e @ e.T, e @ e.T) / 4 + 0.2 * np.kron(eps @ e.T, e @ eps.T)
    a = additive_values(JointChain(p, (2, 2)).under(), [[0.0, 0.0], [1.0, -1.0]], gamma)
    assert a.error("sup") < 1e-12
    assert a.local_td.error("sup") == pytest.approx(0.8 * gamma)
    assert a.vdn_gap.value < 1e-10


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES)
def test_equal_local_values_where_agents_are_separable(seed, sizes):
    rng = np.random.default_rng(seed)
    p, tables = oracle.random_separable(rng, sizes), oracle.random_tables(rng, sizes)
    a = additive_values(JointChain(p, sizes).under(), tables, 0.9)
    assert a.error("sup") < 1e-8 and a.local_td.error("sup") < 1e-8


def test_positive_gap_means_some_reward_is_not_exact():
    """Were Q additive for every additive reward, (I - gamma P) would map additive functions onto themselves."""
    chain = JointChain(oracle.random_joint(np.random.default_rng(7), (2, 2)), (2, 2)).under()
    indicators = [([1.0, 0.0], [0.0, 0.0]), ([0.0, 0.0], [1.0, 0.0])]
    answers = [additive_values(chain, r, 0.5) for r in indicators]
    assert answers[0].vdn_gap.value > 1e-3
    assert max(a.error("l2") for a in answers) > 1e-4


def test_circulant_five_arms():
    """Local TD has the known error; the joint additive values are closer in L2(mu) of the projection."""
    a = additive_values(circulant(5))
    assert a.local_td.error("mu") == pytest.approx(0.0429941, abs=5e-8)
    assert a.error("l2") <= a.local_td.error("l2") / np.sqrt(1 - 0.25)
    chain = a.chain
    phi = oracle.additive_features([tuple(x) for x in chain.pairs], chain.sizes)
    r = phi @ np.tile(np.repeat([-1.0, 0, 0, 1], 2), 5)
    d = phi @ np.nan_to_num(np.concatenate(a.local_q))
    moment = phi.T @ (chain.occupancy * (r + 0.5 * chain.step @ d - d))
    assert np.abs(moment).max() < 1e-10


def test_shared_reward_needs_no_split():
    """A joint reward goes into the equation as it is; local values split it first."""
    rng = np.random.default_rng(3)
    p, r = oracle.random_joint(rng, (2, 2)), rng.normal(size=4)
    a = additive_values(JointChain(p, (2, 2)).under(), r, 0.9)
    phi, mu = oracle.additive_features(oracle.product((2, 2)), (2, 2)), oracle.stationary(p)
    d = oracle.reward_on(oracle.product((2, 2)), a.local_q)
    np.testing.assert_allclose(phi.T @ (mu * (r + 0.9 * p @ d - d)), 0, atol=1e-10)
    assert a.local_td.shared is not None


def test_unvisited_local_pairs_are_nan():
    p = np.zeros((6, 6))
    p[:, :4] = oracle.laws(np.random.default_rng(0), 6, 4)
    a = additive_values(JointChain(p, (3, 2)).under(), [[0, 1, 2], [0, 1]], 0.9)
    assert np.isnan(a.local_q[0][2]) and np.isfinite(a.local_q[0][:2]).all()
    assert np.isnan(a.sum_q[4:]).all() and np.isfinite(a.error("sup"))


def test_results_and_errors():
    chain = JointChain(oracle.random_joint(np.random.default_rng(0), (2, 2)), (2, 2)).under()
    a = additive_values(chain, [[0, 1], [0, 1]], 0.9)
    form = json.loads(json.dumps(a.to_dict()))
    assert form["error_mu"] == a.error() and form["vdn_gap"] == a.vdn_gap.value
    assert form["local_td_error_sup"] == a.local_td.error("sup")
    assert "VDN gap" in repr(a)
    with pytest.raises(InvalidInput, match="rewards"):
        additive_values(chain, None, 0.9)
    with pytest.raises(InvalidInput, match="discount"):
        additive_values(chain, [[0, 1], [0, 1]], 1.0)
    with pytest.raises(SeveralRecurrentClasses):
        additive_values(JointChain(np.eye(4), (2, 2)).under(), [[0, 1], [0, 1]], 0.9)
