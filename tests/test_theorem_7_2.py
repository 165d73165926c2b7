"""Proposition 7.2: in a weakly coupled system the policy alone bounds the entanglement.

If `P(s'|s,a) = prod_i P_i(s_i'|s_i,a_i)` (Def. 7.1), then for every agent

    E_i <= min_{pi'} 1/2 sum_s mu(s) sum_{a_i} |pi(a_i|s) - pi'(a_i|s_i)|,

`E_i` by `mu-atv` (Eq. 7) and `mu(s)` the stationary law of the joint states. For any system E_i is at most that plus
`E_i^kernel = min_M sum_x mu(x) TV(P(s_i' = .|x), M(.|x_i))`, which is 0 for weakly coupled ones.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import markov_entanglement as me
import oracles_space as oracle
from helpers import Case, cases, random_laws


@given(cases(kinds=("weakly-coupled",), agents=(2, 4)))
@settings(max_examples=60)
def test_policy_bounds_entanglement(case: Case) -> None:
    exact = me.entanglement(case.chain, "mu-atv").per_agent
    policy = me.entanglement(case.chain, "policy").per_agent
    assert (exact <= policy + 1e-12).all()
    assert policy.min() >= 0 and policy.max() <= 1


@given(cases(agents=(2, 3), pairs=24))
@settings(max_examples=40)
def test_policy_and_kernel_bound_entanglement_of_any_system(case: Case) -> None:
    truth = case.truth
    pairs, exact = np.array(truth.pairs), me.entanglement(case.chain, "mu-atv").per_agent
    pair, kernel, policy = oracle.policy_or_system(truth.p, pairs, truth.mu, case.n_actions)
    assert exact == pytest.approx(pair, abs=1e-8)
    assert (exact <= kernel + policy + 1e-8).all()
    if case.kind == "weakly-coupled":
        assert kernel.max() <= 1e-8
        assert me.entanglement(case.chain, "policy").per_agent == pytest.approx(policy, abs=1e-8)


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_local_policies_are_not_entangled(seed: int) -> None:
    """Extreme: `pi(a|s) = prod_i pi_i(a_i|s_i)` gives 0 = 0."""
    rng = np.random.default_rng(seed)
    kernels = [random_laws(rng, (2, 3, 3), True), random_laws(rng, (3, 2, 2), False)]
    system = me.WeaklyCoupledMDP(kernels, [np.zeros(3), np.zeros(2)], discount=0.9)
    tables = [random_laws(rng, (3, 2), True), random_laws(rng, (2, 3), False)]
    chain = system.under(me.LocalPolicy(tables))
    assert me.entanglement(chain, "policy").total < 1e-12
    assert me.entanglement(chain).total < 1e-12


def announced(bias: float) -> me.Chain:
    """Agent 1 holds (current bit, next bit), bits drawn afresh; agent 0 has one state and plays the current bit."""
    kernel = np.zeros((1, 4, 4))
    for c, d, e in itertools.product(range(2), repeat=3):
        kernel[0, 2 * c + d, 2 * d + e] = bias if e else 1 - bias
    system = me.WeaklyCoupledMDP([np.ones((2, 1, 1)), kernel], [[0.0], np.zeros(4)], discount=0.9)
    return system.under(lambda s: {(s[1] // 2, 0): 1.0})


@pytest.mark.parametrize("bias", [0.1, 0.3, 0.5, 0.8])
def test_tight_example(bias: float) -> None:
    """The next action is known from the joint pair and independent of the own one: both sides are min(b, 1-b)."""
    chain, right = announced(bias), min(bias, 1 - bias)
    assert me.entanglement(chain, "policy").per_agent.tolist() == pytest.approx([right, 0], abs=1e-12)
    assert me.entanglement(chain, "mu-atv").per_agent.tolist() == pytest.approx([right, 0], abs=1e-12)


def test_half_the_bound_fails() -> None:
    """Negative control: half of the right-hand side is below E_i."""
    chain = announced(0.5)
    assert 0.5 * me.entanglement(chain, "policy").per_agent[0] < me.entanglement(chain).per_agent[0]


def test_weak_coupling_is_needed() -> None:
    """Negative control: with coupled transitions the policy may be local (one action) and E_i positive."""
    system = me.gallery.build("appendix-e").system
    kernel = system.transition.toarray()[:, None]
    coupled = me.MultiAgentMDP(kernel, [[0, 1], [0, 1]], n_states=(2, 2), n_actions=(1, 1), discount=0.9)
    chain = coupled.under(me.UniformPolicy())
    assert all((m == 1.0).all() for m in chain.policy.marginals(chain.states))  # the right-hand side is 0
    assert me.entanglement(chain).total > 0.3
    policy = me.entanglement(chain, "policy")
    assert policy.total == 0
    assert not any(b.distance == "policy" for b in me.error_bounds(me.value_decomposition(chain), [policy]))


def test_exact_is_often_much_smaller() -> None:
    """The circulant bandit with five arms: .0397425 against .0817592."""
    chain = me.gallery.build("circulant").chain()
    ratio = me.entanglement(chain).per_agent / me.entanglement(chain, "policy").per_agent
    assert ratio.tolist() == pytest.approx([0.4861] * 5, abs=1e-4)
