"""Joint distances `tv` and `mu-tv`: values against an unreduced linear program, both certificates recomputed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_values as oracle
from markov_entanglement.errors import InvalidInput, SeveralRecurrentClasses, TooLarge
from markov_entanglement.measures.joint import joint_distance
from markov_entanglement.model.mdp import JointChain, MultiAgentMDP
from markov_entanglement.model.policy import IndexPolicy, UniformPolicy
from markov_entanglement.model.weakly_coupled import WeaklyCoupledMDP

SWAP = np.eye(4)[[0, 2, 1, 3]]


def check(d, p, pairs, support, mu=None):
    """Recompute both sides with outside code; return (lower, attained)."""
    lower = oracle.functional_limit(p, pairs, d.alphabet, d.rows, d.weights, d.tests)
    assert lower >= d.lower - 1e-11
    assert oracle.no_signalling_violation(d.nearest, d.alphabet, d.rows) < 1e-9
    attained = oracle.joint_attained(p, pairs, d.alphabet, d.rows, d.nearest, support, mu)
    assert attained == pytest.approx(d.value, abs=1e-9)
    assert d.gap < 1e-8 and d.residual < 1e-9
    return lower, attained


def both(p, sizes):
    chain = JointChain(p, sizes).under()
    return joint_distance(chain, weighted=False), joint_distance(chain, weighted=True)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6), st.sampled_from([(2, 2), (2, 3), (3, 3), (2, 2, 2)]), st.sampled_from([1.0, 0.3])
)
def test_equals_the_unreduced_program(seed, sizes, density):
    p = oracle.random_joint(np.random.default_rng(seed), sizes, density)
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    tv, mu_tv = both(p, sizes)
    support = list(range(len(pairs)))
    check(tv, p, pairs, support)
    check(mu_tv, p, pairs, support, mu)
    assert tv.value == pytest.approx(oracle.joint_lp(p, pairs, sizes), abs=1e-7)
    assert mu_tv.value == pytest.approx(oracle.joint_lp(p, pairs, sizes, mu), abs=1e-7)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([(2, 2), (3, 2), (4, 3), (2, 2, 2), (3, 2, 2)]))
def test_planted_separable_reads_zero(seed, sizes):
    p = oracle.random_separable(np.random.default_rng(seed), sizes)
    tv, mu_tv = both(p, sizes)
    assert 0 <= tv.value < 1e-9 and 0 <= mu_tv.value < 1e-9


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 1e-6]))
def test_planted_entanglement_is_seen(seed, size):
    """Moving mass `size` at one joint pair changes `tv` by at least a fixed share of it, and not by more."""
    rng = np.random.default_rng(seed)
    p = oracle.random_separable(rng, (2, 2)) * 0.5 + 0.125
    p[0, 0], p[0, 3] = p[0, 0] + size / 2, p[0, 3] - size / 2
    p[0, 1], p[0, 2] = p[0, 1] + size / 2, p[0, 2] - size / 2
    tv, _ = both(p, (2, 2))
    assert tv.lower > 0.2 * size
    assert tv.value <= size + 1e-12


def test_closed_forms():
    chain = JointChain(SWAP, (2, 2)).under()
    assert joint_distance(chain, weighted=False, support="reachable").value == pytest.approx(0.5, abs=1e-9)
    e, eps = np.ones((2, 1)), np.array([[1.0], [-1.0]])
    p = np.kron(e @ e.T, e @ e.T) / 4 + 0.2 * np.kron(eps @ e.T, e @ eps.T)
    for d in both(p, (2, 2)):
        assert d.value == pytest.approx(0.4, abs=1e-9)
    parity = np.zeros((8, 8))
    for x in oracle.product((2, 2, 2)):
        for a, b in oracle.product((2, 2)):
            parity[4 * x[0] + 2 * x[1] + x[2], 4 * a + 2 * (a ^ x[2]) + b] += 0.25
    for d in both(parity, (2, 2, 2)):
        assert d.value == pytest.approx(0.5, abs=1e-9)


def test_popescu_rohrlich_box_is_separable():
    p = np.array([[0.5, 0, 0, 0.5]] * 3 + [[0, 0.5, 0.5, 0]])
    for d in both(p, (2, 2)):
        assert d.value < 1e-9


def test_one_agent_is_separable():
    p = oracle.laws(np.random.default_rng(0), 5, 5)
    for d in both(p, (5,)):
        assert d.value < 1e-9


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n_agents", [2, 3])
def test_restricted_support_of_a_budget(seed, n_agents):
    """Budgets leave joint pairs out: off-support rows are free but must be transitions (an unreduced program)."""
    rng = np.random.default_rng(seed)
    kernels = [oracle.laws(rng, 4, 2).reshape(2, 2, 2) for _ in range(n_agents)]
    system = WeaklyCoupledMDP(kernels, [[0.0, 1.0]] * n_agents, discount=0.9, budget=1)
    chain = system.under(IndexPolicy([rng.random(2) for _ in range(n_agents)]))
    pairs = [tuple(int(k) for k in x) for x in chain.pairs]
    p, mu = chain.step.toarray(), oracle.stationary(chain.step.toarray())
    support = list(np.flatnonzero(mu > 0))
    tv, mu_tv = joint_distance(chain, weighted=False), joint_distance(chain, weighted=True)
    check(tv, p, pairs, support)
    check(mu_tv, p, pairs, support, mu)
    if n_agents == 2:
        full = oracle.product(chain.sizes)
        law = np.zeros((len(support), len(full)))
        for j, x in enumerate(support):
            for y, pair in enumerate(pairs):
                law[j, full.index(pair)] += p[x, y]
        rows = [pairs[x] for x in support]
        assert tv.value == pytest.approx(oracle.joint_lp(law, rows, chain.sizes), abs=1e-7)
        assert mu_tv.value == pytest.approx(oracle.joint_lp(law, rows, chain.sizes, mu[support]), abs=1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_three_agents_on_a_part_of_the_product(seed):
    """Recurrent pairs that are no product: free rows are completed by the program as by the unreduced one."""
    rng = np.random.default_rng(seed)
    sizes, pairs = (2, 3, 2), oracle.product((2, 3, 2))
    inside = np.sort(rng.choice(12, size=5, replace=False))
    p = np.zeros((12, 12))
    p[:, inside] = oracle.laws(rng, 12, 5)
    mu = oracle.stationary(p)
    assert list(np.flatnonzero(mu)) == list(inside)
    chain = JointChain(p, sizes).under()
    for weighted in (False, True):
        d = joint_distance(chain, weighted=weighted)
        check(d, p, pairs, list(inside), mu if weighted else None)
        rows = [pairs[x] for x in inside]
        want = oracle.joint_lp(p[inside], rows, sizes, mu[inside] if weighted else None)
        assert d.value == pytest.approx(want, abs=1e-7)


def test_reachable_support_widens():
    p = np.array([[0.5, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0.5, 0, 0, 0.5]])
    p[1], p[2] = [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]
    chain = JointChain(p, (2, 2)).under()
    narrow = joint_distance(chain, weighted=False)
    wide = joint_distance(chain, weighted=False, support="reachable")
    assert (narrow.support, wide.support) == ("recurrent", "reachable")
    assert narrow.value < 1e-9 < 0.1 < wide.value
    assert len(narrow.rows) == 2 and len(wide.rows) == 4
    check(wide, p, oracle.product((2, 2)), [0, 1, 2, 3])


def test_a_wrong_functional_proves_nothing():
    """Negative control of the checker: separable chains admit no positive limit, signs and sums are looked at."""
    rng = np.random.default_rng(3)
    sizes, pairs = (2, 2), oracle.product((2, 2))
    d = joint_distance(JointChain(oracle.random_joint(rng, sizes), sizes).under(), weighted=False)
    q = oracle.random_separable(rng, sizes)
    assert oracle.functional_limit(q, pairs, d.alphabet, d.rows, d.weights, d.tests) <= 1e-12
    with pytest.raises(AssertionError):
        oracle.functional_limit(q, pairs, d.alphabet, d.rows, 2 * d.weights, d.tests)
    with pytest.raises(AssertionError):
        oracle.functional_limit(q, pairs, d.alphabet, d.rows, d.weights, tuple(t - 1 for t in d.tests))
    assert oracle.no_signalling_violation(SWAP, d.alphabet, d.rows) > 0.5


def test_several_classes():
    chain = JointChain(np.eye(4), (2, 2)).under()
    assert joint_distance(chain, weighted=False).value < 1e-9  # a maximum needs no occupancy
    with pytest.raises(SeveralRecurrentClasses):
        joint_distance(chain, weighted=True)


def test_refusals_name_the_size():
    one = np.full((1, 8, 8), 1 / 8)
    chain = WeaklyCoupledMDP([one] * 3, [np.zeros(8)] * 3, discount=0.9).under(UniformPolicy())
    with pytest.raises(TooLarge, match="512 rows x 512 next joint pairs"):
        joint_distance(chain, weighted=False)
    with pytest.raises(InvalidInput, match="recurrent"):
        joint_distance(chain, weighted=False, support="all")


def test_json_form():
    d = joint_distance(JointChain(SWAP, (2, 2)).under(), weighted=False, support="reachable")
    assert json.loads(json.dumps(d.to_dict()))["value"] == pytest.approx(0.5)
    assert "tv=0.5" in repr(d)
    with pytest.raises(ValueError):
        d.nearest[0, 0] = 1.0


def test_actions_order_of_joint_pairs():
    """Joint pairs are indexed by (x_0, x_1), not by joint state and joint action: product policies are separable."""
    rng = np.random.default_rng(5)
    a, b = (oracle.laws(rng, 4, 2).reshape(2, 2, 2) for _ in range(2))
    kernel = np.einsum("asu,btv->stabuv", a, b).reshape(4, 4, 4)
    policy = np.einsum("sa,tb->stab", oracle.laws(rng, 2, 2), oracle.laws(rng, 2, 2)).reshape(4, 4)
    mdp = MultiAgentMDP(kernel, [[0, 1], [0, 1]], n_states=(2, 2), n_actions=(2, 2), discount=0.9)
    assert joint_distance(mdp.under(policy), weighted=False).value < 1e-9
    assert joint_distance(mdp.under(oracle.laws(rng, 4, 4)), weighted=False).lower > 1e-3
