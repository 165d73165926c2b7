"""Facts about the measures: order, range, invariance, what zero means, and how Eq. 2 compares with the optimum.

1. `0 <= E <= 1`; `mu-atv_i <= atv_i <= tv`; `mu-atv_i <= mu-tv <= tv`.
2. All are invariant to relabelling states, actions and agents.
3. `atv = 0` iff agent-wise separable (`mu-atv = 0`: on the recurrent pairs).
4. `TV(P_i, M_i*) <= E_i`: largest over local pairs (`atv`), mean over mu_i (`mu-atv`).
5. The plug-in `Ebar_i = sum_x mu(x) TV(p_i(.|x), P_i(.|x_i))` satisfies `E_i <= Ebar_i <= 2 E_i`.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_values as oracle
from markov_entanglement.measures.entanglement import entanglement
from markov_entanglement.measures.joint import joint_distance
from markov_entanglement.measures.local_fit import plug_in
from markov_entanglement.measures.spectral import vdn_gap
from markov_entanglement.model.mdp import JointChain, MultiAgentMDP

SIZES = st.sampled_from([(2, 2), (3, 2), (4, 3), (2, 2, 2), (3, 2, 2)])
SLACK = 1e-8


def measures(chain):
    return {
        "atv": entanglement(chain, "atv").per_agent,
        "mu-atv": entanglement(chain, "mu-atv").per_agent,
        "tv": joint_distance(chain, weighted=False).value,
        "mu-tv": joint_distance(chain, weighted=True).value,
        "spectral": entanglement(chain, "spectral").per_agent,
        "vdn": vdn_gap(chain).value,
    }


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES, st.sampled_from([1.0, 0.3]))
def test_order_and_range(seed, sizes, density):
    m = measures(JointChain(oracle.random_joint(np.random.default_rng(seed), sizes, density), sizes).under())
    for value in m.values():
        assert np.all(np.asarray(value) >= 0) and np.all(np.asarray(value) <= 1 + SLACK)
    assert np.all(m["mu-atv"] <= m["atv"] + SLACK) and np.all(m["atv"] <= m["tv"] + SLACK)
    assert np.all(m["mu-atv"] <= m["mu-tv"] + SLACK) and m["mu-tv"] <= m["tv"] + SLACK


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES)
def test_relabelling_local_pairs_and_agents(seed, sizes):
    rng = np.random.default_rng(seed)
    p = oracle.random_joint(rng, sizes, 0.5)
    n = len(sizes)
    agents = rng.permutation(n)
    local = [rng.permutation(m) for m in sizes]
    pairs = oracle.product(sizes)
    images = [tuple(int(local[i][x[i]]) for i in agents) for x in pairs]
    target = oracle.product([sizes[i] for i in agents])
    order = np.array([target.index(y) for y in images])
    q = np.zeros_like(p)
    q[np.ix_(order, order)] = p
    a, b = measures(JointChain(p, sizes).under()), measures(JointChain(q, [sizes[i] for i in agents]).under())
    for name, value in a.items():
        moved = value[agents] if np.ndim(value) else value
        np.testing.assert_allclose(b[name], moved, atol=SLACK, err_msg=name)


@pytest.mark.parametrize("seed", range(3))
def test_relabelling_states_and_actions_of_a_decision_process(seed):
    rng = np.random.default_rng(seed)
    kernel, policy = oracle.laws(rng, 16, 4).reshape(4, 4, 4), oracle.laws(rng, 4, 4, 0.6)
    s, a = ([2 * u[0][k // 2] + u[1][k % 2] for k in range(4)]
            for u in ([rng.permutation(2), rng.permutation(2)], [rng.permutation(2), rng.permutation(2)]))  # fmt: skip

    def system(k):
        return MultiAgentMDP(k, [[0, 1], [0, 1]], n_states=(2, 2), n_actions=(2, 2), discount=0.9)

    first = measures(system(kernel).under(policy))
    second = measures(system(kernel[np.ix_(s, a, s)]).under(policy[np.ix_(s, a)]))
    for name, value in first.items():
        np.testing.assert_allclose(second[name], value, atol=SLACK, err_msg=name)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES)
def test_zero_iff_agentwise_separable(seed, sizes):
    rng = np.random.default_rng(seed)
    zero = measures(JointChain(oracle.random_separable(rng, sizes), sizes).under())
    assert all(np.max(v) < 1e-8 for v in zero.values())
    p = oracle.random_joint(rng, sizes)
    some = measures(JointChain(p, sizes).under())
    spread = max(
        oracle.tv(law[x], law[y])
        for i, m in enumerate(sizes)
        for law in [oracle.next_law(p, oracle.product(sizes), i, m)]
        for x, a in enumerate(oracle.product(sizes))
        for y, b in enumerate(oracle.product(sizes))
        if a[i] == b[i]
    )
    assert some["atv"].max() >= spread / 2 - SLACK
    assert some["mu-atv"].max() > 0


def test_zero_on_the_recurrent_pairs_only():
    """Transient pairs do not count unless asked for."""
    p = np.array([[0.5, 0, 0, 0.5], [0, 0, 0, 1], [1, 0, 0, 0], [0.5, 0, 0, 0.5]])
    chain = JointChain(p, (2, 2)).under()
    for distance in ("mu-atv", "atv"):
        assert entanglement(chain, distance).total < 1e-9
    assert entanglement(chain, "atv", support="reachable").total > 0.1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES, st.sampled_from([1.0, 0.3]))
def test_local_transition_against_the_optimum(seed, sizes, density):
    p = oracle.random_joint(np.random.default_rng(seed), sizes, density)
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    chain = JointChain(p, sizes).under()
    worst, mean = entanglement(chain, "atv"), entanglement(chain, "mu-atv")
    for i, m in enumerate(sizes):
        local = oracle.local_transition(p, pairs, mu, i, m)
        weight = np.array([mu[[x[i] == k for x in pairs]].sum() for k in range(m)])
        to_worst = [oracle.tv(local[k], worst.fits[i].law[k]) for k in range(m)]
        to_mean = [oracle.tv(local[k], mean.fits[i].law[k]) for k in range(m)]
        assert max(to_worst) <= worst.per_agent[i] + SLACK
        assert weight @ to_mean <= mean.per_agent[i] + SLACK
        law = oracle.next_law(p, pairs, i, m)
        ebar = sum(mu[x] * oracle.tv(law[x], local[pair[i]]) for x, pair in enumerate(pairs))
        assert mean.per_agent[i] - SLACK <= ebar <= 2 * mean.per_agent[i] + SLACK
        assert mu @ plug_in(chain.rows(i)) == pytest.approx(ebar, abs=1e-10)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([(2, 2), (3, 2), (2, 2, 2)]))
def test_values_equal_linear_programs(seed, sizes):
    """`atv` and `mu-atv` against one linear program per local pair, written from the definition."""
    p = oracle.random_joint(np.random.default_rng(seed), sizes, 0.5)
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    m = measures(JointChain(p, sizes).under())
    for i, k in enumerate(sizes):
        assert m["atv"][i] == pytest.approx(oracle.atv_lp(p, pairs, i, k), abs=1e-7)
        assert m["mu-atv"][i] == pytest.approx(oracle.atv_lp(p, pairs, i, k, mu), abs=1e-7)


def test_extremes():
    """`Ebar = 2 E` is approached: one rare row against many; the optimum ignores it, the mean does not."""
    eps = 1e-3
    q = np.zeros((4, 4))
    for x0, x1 in oracle.product((2, 2)):
        for y1, w in ((0, 1 - eps), (1, eps)):
            q[2 * x0 + x1, 2 * x1 + y1] = w  # x_0' = x_1, x_1' rarely 1
    chain = JointChain(q, (2, 2)).under()
    ebar = float(chain.occupancy @ plug_in(chain.rows(0)))
    assert ebar / entanglement(chain, "mu-atv").per_agent[0] == pytest.approx(2 * (1 - eps), rel=1e-9)
