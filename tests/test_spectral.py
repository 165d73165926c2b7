"""Spectral measure and VDN gap against the operators themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_values as oracle
from markov_entanglement.errors import SeveralRecurrentClasses
from markov_entanglement.laws.rows import Rows
from markov_entanglement.measures.entanglement import entanglement
from markov_entanglement.measures.spectral import (
    additive_basis,
    spectral_fit,
    vdn_gap,
)
from markov_entanglement.model.mdp import JointChain
from markov_entanglement.model.policy import IndexPolicy
from markov_entanglement.model.weakly_coupled import WeaklyCoupledMDP

SIZES = st.sampled_from([(2, 2), (3, 2), (4, 3), (2, 2, 2), (3, 2, 2)])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES, st.sampled_from([1.0, 0.3]))
def test_equal_the_operator_norms(seed, sizes, density):
    p = oracle.random_joint(np.random.default_rng(seed), sizes, density)
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    chain = JointChain(p, sizes).under()
    measure = entanglement(chain, "spectral")
    for i, m in enumerate(sizes):
        assert measure.per_agent[i] == pytest.approx(oracle.spectral(p, pairs, mu, i, m), abs=1e-9)
        local = oracle.local_transition(p, pairs, mu, i, m)
        np.testing.assert_allclose(measure.optimal_local[i], local, atol=1e-12)
    assert measure.total == pytest.approx(measure.per_agent.sum())
    assert measure.worst == measure.per_agent.max()
    assert vdn_gap(chain).value == pytest.approx(oracle.vdn(p, pairs, mu, sizes), abs=1e-9)


def test_the_worst_functions_attain_the_norms():
    sizes = (3, 2)
    p = oracle.random_joint(np.random.default_rng(1), sizes)
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    chain = JointChain(p, sizes).under()
    for i, fit in enumerate(entanglement(chain, "spectral").fits):
        f = np.array([fit.worst[x[i]] for x in pairs])
        pi = oracle.projection(oracle.additive_features([(x[i],) for x in pairs], (sizes[i],)), mu)
        assert mu @ f**2 == pytest.approx(1.0)
        assert oracle.norms((np.eye(6) - pi) @ p @ f, mu)["l2"] == pytest.approx(fit.value)
    gap = vdn_gap(chain)
    f = oracle.reward_on(pairs, gap.function)
    pi = oracle.projection(oracle.additive_features(pairs, sizes), mu)
    assert mu @ f**2 == pytest.approx(1.0)
    assert oracle.norms((np.eye(6) - pi) @ p @ f, mu)["l2"] == pytest.approx(gap.value)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES)
def test_planted_separable_reads_zero(seed, sizes):
    p = oracle.random_separable(np.random.default_rng(seed), sizes)
    chain = JointChain(p, sizes).under()
    assert entanglement(chain, "spectral").total < 1e-12
    assert vdn_gap(chain).value < 1e-10


def test_small_entanglement_is_not_lost_to_cancellation():
    sizes = (2, 2)
    p = np.full((4, 4), 0.25)
    p[0] += 1e-9 * np.array([1.0, 1.0, -1.0, -1.0])
    measure = entanglement(JointChain(p, sizes).under(), "spectral")
    assert measure.per_agent[0] == pytest.approx(1e-9 * np.sqrt(2), rel=1e-5)
    assert measure.per_agent[1] < 1e-15


@pytest.mark.parametrize("d", [0.05, 0.2, 0.25])
def test_entangled_yet_additive(d):
    """App. E and the swap chain: entangled, and additive functions are invariant."""
    e, eps = np.ones((2, 1)), np.array([[1.0], [-1.0]])
    chain = JointChain(np.kron(e @ e.T, e @ e.T) / 4 + d * np.kron(eps @ e.T, e @ eps.T), (2, 2)).under()
    measure = entanglement(chain, "spectral")
    # p_1(.|x) = (1/2 + 2 d x_0, ...), uniform mu: sigma_1 = 4 d
    np.testing.assert_allclose(measure.per_agent, [0.0, 4 * d], atol=1e-12)
    assert vdn_gap(chain).value < 1e-10
    swap = 0.9 * np.eye(4)[[0, 2, 1, 3]] + 0.1 * 0.25
    chain = JointChain(swap, (2, 2)).under()
    assert entanglement(chain, "spectral").worst > 0.5 and vdn_gap(chain).value < 1e-10


def test_support_of_a_budget_and_unvisited_pairs():
    """Occupancy zero on many pairs: neither measure reads them; unvisited local pairs are NaN."""
    rng = np.random.default_rng(2)
    kernels = [oracle.laws(rng, 6, 3).reshape(2, 3, 3) for _ in range(3)]
    system = WeaklyCoupledMDP(kernels, [[0, 1, 2]] * 3, discount=0.9, budget=1)
    chain = system.under(IndexPolicy([[2, 1, 0], [5, 4, 3], [8, 7, 6]]))
    pairs = [tuple(int(k) for k in x) for x in chain.pairs]
    p = chain.step.toarray()
    mu = oracle.stationary(p)
    for i in range(3):
        want = oracle.spectral(p, pairs, mu, i, 6)
        assert entanglement(chain, "spectral").per_agent[i] == pytest.approx(want, abs=1e-9)
    gap = vdn_gap(chain)
    assert gap.value == pytest.approx(oracle.vdn(p, pairs, mu, chain.sizes), abs=1e-9)
    assert np.isnan(gap.function[0][1])  # agent 0 is never served
    basis = additive_basis(chain)
    gram = basis.values.T @ (basis.weight[:, None] * basis.values)
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-9)


def test_rows_are_enough():
    """Two rows of one key: sigma^2 is half the squared distance in the weighted norm."""
    rows = Rows(np.array([0, 0]), np.array([0.5, 0.5]), np.array([[0.75, 0.25], [0.25, 0.75]]), 1)
    assert spectral_fit(rows).value == pytest.approx(0.5)
    still = Rows(np.array([0, 0, 0]), np.array([0.5, 0.5, 0.0]), np.vstack([rows.law, [1.0, 0.0]]), 1)
    assert spectral_fit(still).value == pytest.approx(0.5)


def test_results_and_errors():
    chain = JointChain(oracle.random_joint(np.random.default_rng(0), (2, 2)), (2, 2)).under()
    measure = entanglement(chain, "spectral")
    assert measure.distance == "spectral"
    expected = {"per_agent": measure.per_agent.tolist(), "multiplicity": [1, 1], "total": measure.total}
    assert measure.to_dict() == expected
    assert "spectral" in repr(measure) and vdn_gap(chain).to_dict()["value"] > 0
    with pytest.raises(SeveralRecurrentClasses):
        entanglement(JointChain(np.eye(4), (2, 2)).under(), "spectral")
