"""Each oracle of `oracles_space.py` against a closed form, a hand-made example or a published number."""

from __future__ import annotations

import math

import numpy as np
import pytest

import oracles_space as o

EPS = np.array([1.0, -1.0])
FLAT = np.full((2, 2), 0.5)


def appendix_e(d):
    """P = 1/4 (ee')(x)(ee') + d (eps e')(x)(e eps')."""
    e = np.ones(2)
    return 0.25 * np.ones((4, 4)) + d * np.kron(np.outer(EPS, e), np.outer(e, EPS))


def circulant(gamma):
    """Five arms, one served: the paper's bandit (K = 1/2 circulant), priority 2 > 1 > 0 > 3."""
    p0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
    reward, rank = np.array([-1.0, 0, 0, 1]), np.array([2, 1, 0, 3])
    states, actions = o.product([4] * 5), np.eye(5, dtype=int)
    first = rank[states] == rank[states].min(axis=1, keepdims=True)
    table = first / first.sum(axis=1, keepdims=True)
    flow = np.empty((len(states), 5, len(states)))
    for a in range(5):
        step = np.ones((len(states), len(states)))
        for i in range(5):
            step *= (p0.T if i == a else p0)[states[:, i][:, None], states[:, i][None]]
        flow[:, a] = step
    return states, actions, table, flow, reward[states].sum(axis=1), reward, gamma


@pytest.fixture(scope="module")
def arms():
    """Pairs of the circulant chain, its laws, values by the state equation."""
    states, actions, table, flow, r, reward, _ = circulant(0.0)
    t = np.einsum("sa,sat->st", table, flow)
    nu = o.stationary(t)
    s, a = np.nonzero((table > 0) & (nu > 0)[:, None])
    pairs = states[s] * 2 + actions[a]
    carry = flow[s, a][:, s] * table[s, a]
    return {"states": states, "actions": actions, "table": table, "flow": flow, "r": r, "nu": nu} | {
        "pairs": pairs, "carry": carry, "mu": nu[s] * table[s, a], "tables": [np.repeat(reward, 2)] * 5
    }  # fmt: skip


def test_stationary():
    p = 2e-13
    assert np.allclose(o.stationary(np.array([[1 - p, p], [p / 2, 1 - p / 2]])), [1 / 3, 2 / 3], rtol=1e-3)
    split = np.array([[0.0, 0.75, 0.25], [0, 1, 0], [0, 0, 1]])
    assert np.allclose(o.stationary(split, np.array([1.0, 0, 0])), [0, 0.75, 0.25])
    assert o.classes(split) == [[1], [2]]
    with pytest.raises(ValueError):
        o.stationary(split)
    assert np.allclose(o.stationary(np.roll(np.eye(3), 1, axis=1)), 1 / 3)
    assert o.reachable(split, np.array([0, 1, 0])).tolist() == [False, True, False]


def test_induced():
    """One agent, two states, two actions; the end is state 1."""
    kernel = np.array([[[0.7, 0.3], [0.2, 0.8]], [[0.0, 1], [0, 1]]])
    table = np.array([[0.5, 0.5], [1.0, 0]])
    got = o.induced(kernel, table, (2,), (2,), terminal=[False, True], restart=[1.0, 0])
    assert got["pairs"].tolist() == [[0], [1]] and got["choice"].tolist() == [0.5, 0.5]
    assert np.allclose(got["carry"], [[0.35, 0.35], [0.1, 0.1]]) and np.allclose(got["ends"], [0.3, 0.8])
    assert np.allclose(got["P"], [[0.5, 0.5], [0.5, 0.5]])
    plain = o.induced(kernel, table, (2,), (2,))
    assert plain["ends"] is None and np.allclose(plain["P"].sum(axis=1), 1) and len(plain["pairs"]) == 3


def test_row_measure_is_a_median_and_a_centre():
    law = np.array([[0.0, 1], [0.5, 0.5], [1, 0]])
    key, weight = np.zeros(3, int), np.array([0.5, 0.3, 0.2])
    # two categories: the weighted median of the first coordinate is 0 or .5: .3 * .5 + .2 * 1
    assert o.row_measure(key, weight, law) == pytest.approx(0.35)
    assert o.row_measure(key, weight, law, worst=True) == pytest.approx(0.5)
    assert o.row_measure(np.arange(3), weight, law) == pytest.approx(0, abs=1e-12)
    vertices = np.eye(3)  # the best law for three equal vertices: any; the best centre: the middle
    assert o.row_measure(key, np.full(3, 1 / 3), vertices) == pytest.approx(2 / 3)
    assert o.row_measure(key, np.ones(3), vertices, worst=True) == pytest.approx(2 / 3)


@pytest.mark.parametrize("d", [0.25, -0.1])
def test_appendix_e(d):
    """Everything in closed form: Q = mean + b eps_B + 4 d gamma b eps_A is additive, local TD misses the last term."""
    p, pairs, gamma, b = appendix_e(d), o.product((2, 2)), 0.8, 1.5
    mu = o.stationary(p)
    tables = [np.zeros(2), b * EPS]
    assert np.allclose(mu, 0.25)
    assert [o.pair_measure(p, pairs, mu, i) for i in (0, 1)] == pytest.approx([0, 2 * abs(d)], abs=1e-9)
    assert o.pair_measure(p, pairs, mu, 1, worst=True) == pytest.approx(2 * abs(d))
    assert [o.sigma(p, pairs, mu, i) for i in (0, 1)] == pytest.approx([0, 4 * abs(d)], abs=1e-12)
    assert o.vdn_gap(p, pairs, mu) == pytest.approx(0, abs=1e-12)
    q = o.joint_q(p, o.reward_on(pairs, tables), gamma)
    assert np.allclose(q, b * EPS[pairs[:, 1]] + 4 * d * gamma * b * EPS[pairs[:, 0]])
    assert np.allclose(o.local_q(p, pairs, mu, tables, gamma)[1], b * EPS)
    error = 4 * abs(d) * gamma * b
    assert o.error_budget(p, pairs, mu, tables, gamma) == pytest.approx((error, 0, error, 0), abs=1e-12)
    assert np.allclose(o.joint_additive(p, pairs, mu, o.reward_on(pairs, tables), gamma), q)
    assert o.plug_in(p, pairs, mu, 1) == pytest.approx(2 * abs(d))
    found = o.bounds(p, pairs, mu, tables, gamma)
    assert found["Theorem 6.3"] == ("mu", pytest.approx(4 * gamma * 2 * abs(d) * b / (1 - gamma) ** 2))
    assert found["Theorem H.2, half spans"][1] == pytest.approx(found["Theorem H.2"][1])
    assert found["value spans (sup)"][1] == pytest.approx(gamma / (1 - gamma) * 2 * abs(d) * 2 * b)
    assert found["spectral"] == ("l2", pytest.approx(gamma / (1 - gamma) * 4 * abs(d) * b))


def test_budget_of_a_product():
    """Q = eps_A + gamma eps_A eps_B: the product cannot be added up, and local TD is the best sum."""
    # s_A' = s_A xor s_B, s_B' uniform: P eps_A = eps_A eps_B, P (eps_A eps_B) = 0
    pairs, gamma = o.product((2, 2)), 0.9
    p = np.array([[0.5 * (y[0] == (x[0] ^ x[1])) for y in pairs] for x in pairs])
    mu, tables = o.stationary(p), [EPS, np.zeros(2)]
    q = o.joint_q(p, o.reward_on(pairs, tables), gamma)
    assert np.allclose(q, EPS[pairs[:, 0]] + gamma * EPS[pairs[:, 0]] * EPS[pairs[:, 1]])
    share = gamma / math.sqrt(1 + gamma**2)
    assert o.error_budget(p, pairs, mu, tables, gamma) == pytest.approx((gamma, gamma, 0, share), abs=1e-12)
    d = [2 * EPS, EPS]  # any other table: Pythagoras
    error, floor, bias, _ = o.error_budget(p, pairs, mu, tables, gamma, d)
    assert (floor, bias) == (pytest.approx(gamma), pytest.approx(math.sqrt(2)))
    assert error**2 == pytest.approx(floor**2 + bias**2)
    assert o.vdn_gap(p, pairs, mu) == pytest.approx(1) and o.sigma(p, pairs, mu, 0) == pytest.approx(1)
    assert o.interaction_orders(q, pairs, mu) == pytest.approx([1, share, 0, 0], abs=1e-12)
    assert o.unexplained(q, o.reward_on(pairs, tables), mu) == pytest.approx(share)


def test_orders_and_pairs():
    pairs, mu = o.product((2, 2, 2)), np.full(8, 1 / 8)
    a, b, c = EPS[pairs].T
    assert o.interaction_orders(5 + a * b * c, pairs, mu) == pytest.approx([1, 1, 1, 0], abs=1e-12)
    q = a * b + 2 * b * c + 3 * a
    assert o.interaction_orders(q, pairs, mu) == pytest.approx([1, math.sqrt(5 / 14), 0, 0], abs=1e-12)
    found = o.best_pairs(q, pairs, mu, 3)
    assert [p for p, _ in found] == [(1, 2), (0, 1), (0, 2)]
    assert [s for _, s in found] == pytest.approx([math.sqrt(1 / 14), 0, 0], abs=1e-12)
    # transient pairs have no say
    half = np.where(pairs[:, 2] == 0, 0.25, 0.0)
    assert o.interaction_orders(a * b + 7 * (c < 0), pairs, half)[2] == pytest.approx(0, abs=1e-12)
    assert np.isnan(o.project(a, o.additive_columns(pairs, [()]), half)[half == 0]).all()


def test_certificate():
    """r = 1, D = 0: b_k = (1 - gamma^k) / (1 - gamma); r = 0, D = eps on the swap: b_k = 1 +- gamma^k."""
    out = o.certificate(FLAT, np.ones(2), 0.5, np.zeros(2), np.full(2, 0.5))
    for kind in ("mu", "sup", "l2"):
        assert out[kind][4] == pytest.approx((2 * (1 - 0.5**4) / (1 + 0.5**4), 2.0))
    swap = np.array([[0.0, 1], [1, 0]])
    out = o.certificate(swap, np.zeros(2), 0.5, EPS, np.full(2, 0.5), steps=(1, 2))
    assert out["mu"][1] == pytest.approx((1.0, 3.0)) and out["mu"][2] == pytest.approx((0.6, 1.0))


def test_kernel_and_policy():
    """a_0 = s_1 and uniform next states: only the policy is entangled; s_0' = s_1: only the kernel."""
    states, n_actions = o.product((2, 2)), (2, 1)
    table = np.eye(2)[states[:, 1]]
    uniform = np.full((4, 2, 4), 0.25)
    got = o.induced(uniform, table, (2, 2), n_actions)
    mu = o.stationary(got["P"])
    pair, kernel, policy = o.policy_or_system(got["P"], got["pairs"], mu, n_actions)
    assert pair == pytest.approx([0, 0], abs=1e-9) and kernel == pytest.approx([0, 0], abs=1e-9)
    assert policy == pytest.approx([0.5, 0], abs=1e-9)
    copies = np.array([[[0.5 * (t[0] == s[1]) for t in states]] * 2 for s in states])
    got = o.induced(copies, np.full((4, 2), 0.5), (2, 2), n_actions)
    pair, kernel, policy = o.policy_or_system(got["P"], got["pairs"], o.stationary(got["P"]), n_actions)
    assert pair == pytest.approx([0.5, 0]) and kernel == pytest.approx([0.5, 0])
    assert policy == pytest.approx([0, 0], abs=1e-9)
    key, weight, law = o.policy_laws(got["pairs"], np.full(8, 1 / 8), n_actions, 0)
    assert key.tolist() == [0, 0, 1, 1] and np.allclose(weight, 0.25) and np.allclose(law, 0.5)


def test_v_decomposition():
    """s_0' uniform, s_1' = s_0 xor s_1, the action does nothing: V = eps_1 + gamma eps_0 eps_1."""
    states, gamma = o.product((2, 2)), 0.7
    kernel = np.array([[[0.5 * (t[1] == (s[0] ^ s[1])) for t in states]] * 2 for s in states])
    got = o.induced(kernel, np.full((4, 2), 0.5), (2, 2), (2, 1))
    mu = o.stationary(got["P"])
    t, found = o.state_chain(got["P"], got["pairs"], got["choice"], (2, 1))
    assert np.allclose(t, kernel[:, 0]) and np.array_equal(found, states)
    s, v, total, nu = o.v_decomposition(
        got["carry"], got["pairs"], mu, got["choice"], (2, 1), [np.zeros(2), EPS], gamma
    )
    assert np.allclose(v, EPS[s[:, 1]] * (1 + gamma * EPS[s[:, 0]])) and np.allclose(total, EPS[s[:, 1]])
    assert np.allclose(nu, 0.25)


def test_decision_loss():
    """Budget one, two agents: a tie in the first state, a wrong choice or an unknown in the second."""
    states, actions = np.array([[0, 0], [1, 0]]), np.array([[0, 1], [1, 0]])
    q = np.array([[1.0, 3.0], [5.0, 4.0]])
    tie = [np.array([0.0, 1, 0, 1]), np.array([0.0, 1])]
    assert o.decision_loss(q, tie, states, actions, np.array([1.0, 0]), (2, 2)) == pytest.approx(
        (1.0, 0.5, 0)
    )
    wrong = [np.array([0.0, 1, 0, 9]), np.array([0.0, 2])]  # picks action 0, then action 1
    assert o.decision_loss(q, wrong, states, actions, np.array([0.25, 0.75]), (2, 2)) == pytest.approx(
        (0.25 * 2 + 0.75, 0, 0)
    )
    unknown = [np.array([0.0, 1, 0, math.nan]), np.array([0.0, 0])]
    assert o.decision_loss(q, unknown, states, actions, np.array([0.25, 0.75]), (2, 2)) == pytest.approx(
        (0, 1, 0.75)
    )
    # forbidden actions are no choice
    assert (
        o.decision_loss(np.array([[1.0, math.nan]]), wrong, states[:1], actions, np.ones(1), (2, 2))[0] == 0
    )


def test_q_on_actions():
    """One state that goes on with .5 and ends: V of action 0 is 1 / (1 - .5 gamma)."""
    kernel = np.array([[[0.5, 0.5], [0, 1], [0, 0]], [[0, 1], [0, 1], [0, 1]]], dtype=float)
    got = o.q_on_actions(
        kernel, np.array([[1.0, 3, 0], [9, 9, 9]]), np.array([[1.0, 0, 0], [1, 0, 0]]), 0.8, [0, 1]
    )
    assert got[0, :2] == pytest.approx([1 / 0.6, 3.0])
    assert math.isnan(got[0, 2]) and np.isnan(got[1]).all()


def test_look_ahead():
    q, weight = np.array([[2.0, math.nan], [4, 6], [math.nan] * 2]), np.array([[0.5, 0], [0.3, 0.2], [0, 0]])
    kernel = np.zeros((2, 3, 3))
    kernel[1, 0], kernel[0, 2], kernel[1, 2] = [0.5, 0.5, 0], [0, 0, 1], [1, 0, 0]
    got = o.look_ahead(q, weight, kernel, np.ones((3, 2)), 0.5)
    v = [2.0, 0.6 * 4 + 0.4 * 6]
    assert got[0, 1] == pytest.approx(1 + 0.25 * sum(v)) and got[2, 1] == pytest.approx(2.0)
    assert math.isnan(got[2, 0]) and got[1].tolist() == [4, 6]


def test_ranks():
    actions = np.array([a for a in o.product((2, 2, 2)) if a.sum() == 2])
    gain = np.array([[1.0, 5, 3]])
    q = gain @ actions.T
    truth = o.marginal_gains(q, actions)
    assert o.rank_correlation(gain, truth, np.ones(1)) == pytest.approx(1)
    assert o.rank_correlation(-gain, truth, np.ones(1)) == pytest.approx(-1)
    assert math.isnan(o.rank_correlation(np.ones((1, 3)), truth, np.ones(1)))


def tasks_that_end(carry, restart):
    ends = 1 - carry.sum(axis=1)
    return ends, o.stationary(carry + np.outer(ends, restart))


def test_copying_task():
    """With .2 both end, else agent 0 copies y and agent 1 is drawn anew; agent 0 earns +1, -1 (D05)."""
    pairs, gamma = o.product((2, 2)), 0.9
    carry = np.array([[0.4 * (y[0] == x[1]) for y in pairs] for x in pairs])
    ends, mu = tasks_that_end(carry, np.full(4, 0.25))
    tables = [EPS, np.zeros(2)]
    q = o.joint_q(carry, o.reward_on(pairs, tables), gamma)
    assert q == pytest.approx([1.72, 0.28, -0.28, -1.72])
    assert [o.pair_measure(carry, pairs, mu, i, ends=ends) for i in (0, 1)] == pytest.approx(
        [0.4, 0], abs=1e-9
    )
    d = o.reward_on(pairs, o.local_q(carry, pairs, mu, tables, gamma))
    assert o.norm(q - d, mu, "mu") == pytest.approx(0.72)
    assert o.unexplained(q, d, mu) == pytest.approx(0.5843047, abs=1e-7)


def test_task_that_the_other_ends():
    """Rows .7,.3/.4,.6, ended with .1 or .5 by agent 1's state (spec 9.1)."""
    one, stop = np.array([[0.7, 0.3], [0.4, 0.6]]), np.array([0.1, 0.5])
    pairs, gamma = o.product((2, 2)), 0.9
    carry = np.kron(one, one) * (1 - stop[pairs[:, 1]])[:, None]
    ends, mu = tasks_that_end(carry, np.full(4, 0.25))
    tables = [EPS, np.array([0, 0.5])]
    q = o.joint_q(carry, o.reward_on(pairs, tables), gamma)
    d = o.reward_on(pairs, o.local_q(carry, pairs, mu, tables, gamma))
    assert [o.pair_measure(carry, pairs, mu, i, ends=ends) for i in (0, 1)] == pytest.approx(
        [0.1662338, 0], abs=1e-7
    )
    assert o.pair_measure(carry, pairs, mu, 0, worst=True, ends=ends) == pytest.approx(0.2)
    assert o.norm(q - d, mu, "mu") == pytest.approx(0.0899954, abs=1e-7)
    assert o.norm(q - d, mu, "sup") == pytest.approx(0.1711546, abs=1e-7)
    assert o.unexplained(q, d, mu) == pytest.approx(0.0910864, abs=1e-7)


def test_a_constant_reward_costs_something_where_others_end_the_task():
    """Agent 0 has one pair and earns 1; agent 1 ends the task with .1 or .5: Q_0 is constant, the error is not 0."""
    stop, pairs, gamma = np.array([0.1, 0.5]), o.product((1, 2)), 0.9
    carry = FLAT * (1 - stop)[:, None]
    ends, mu = tasks_that_end(carry, np.full(2, 0.5))
    tables = [np.ones(1), np.zeros(2)]
    d = o.reward_on(pairs, o.local_q(carry, pairs, mu, tables, gamma))
    error = {
        k: o.norm(o.joint_q(carry, o.reward_on(pairs, tables), gamma) - d, mu, k) for k in ("mu", "sup", "l2")
    }
    assert np.ptp(d) == 0 and error["mu"] > 0.1
    assert all(
        value >= error[kind] for kind, value in o.bounds(carry, pairs, mu, tables, gamma, ends).values()
    )


@pytest.mark.parametrize("ending", [False, True])
def test_bounds_and_brackets_hold(ending):
    """Random systems: no bound, bracket or inequality is violated; with ends the spans count the value 0."""
    rng = np.random.default_rng(7)
    for _ in range(30):
        sizes, gamma = (2, 3) if rng.random() < 0.5 else (2, 2, 2), rng.uniform(0.3, 0.95)
        n = math.prod(sizes)
        p, ends, pairs = rng.dirichlet(np.full(n, 0.3), size=n), None, o.product(sizes)
        carry = p
        if ending:
            ends = rng.random(n) * (rng.random(n) < 0.6)
            carry = p * (1 - ends)[:, None]
            p = carry + np.outer(ends, rng.dirichlet(np.ones(n)))
        mu = o.stationary(p)
        tables = [rng.normal(size=m) + rng.normal() * 3 for m in sizes]
        r = o.reward_on(pairs, tables)
        q = o.joint_q(carry, r, gamma)
        local = o.local_q(carry, pairs, mu, tables, gamma)
        d = sum(np.nan_to_num(t)[pairs[:, i]] for i, t in enumerate(local))
        for name, (kind, value) in o.bounds(carry, pairs, mu, tables, gamma, ends).items():
            assert o.norm(q - d, mu, kind) <= value + 1e-9, name
        for kind, table in o.certificate(carry, r, gamma, d, mu).items():
            for low, high in table.values():
                assert low - 1e-9 <= o.norm(q - d, mu, kind) <= high + 1e-9
        e, floor, bias, _ = o.error_budget(carry, pairs, mu, tables, gamma)
        assert e**2 == pytest.approx(floor**2 + bias**2, rel=1e-9, abs=1e-12)
        assert floor - 1e-9 <= o.norm(q - o.joint_additive(carry, pairs, mu, r, gamma), mu, "l2")


@pytest.mark.parametrize(
    ("gamma", "error", "floor", "bias", "joint", "orders", "loss"),
    [
        (0.5, 0.0516163, 0.0113839, 0.0503453, 0.0113848, (0.0065466, 0.0029007), 3.2801e-05),
        (0.9, 0.2795168, 0.0535600, 0.2743373, 0.0535896, (0.0264986, 0.0090294), 0.000112262),
    ],
)
def test_circulant(arms, gamma, error, floor, bias, joint, orders, loss):
    """The published numbers of five circulant arms."""
    pairs, mu, carry, tables = arms["pairs"], arms["mu"], arms["carry"], arms["tables"]
    assert o.error_budget(carry, pairs, mu, tables, gamma)[:3] == pytest.approx(
        (error, floor, bias), abs=6e-8
    )
    r = o.reward_on(pairs, tables)
    q = o.joint_q(carry, r, gamma)
    d = o.joint_additive(carry, pairs, mu, r, gamma)
    assert o.norm(q - d, mu, "l2") == pytest.approx(joint, abs=6e-8)
    assert o.interaction_orders(q, pairs, mu, 2)[1:] == pytest.approx(orders, abs=6e-8)
    local = o.local_q(carry, pairs, mu, tables, gamma)
    full = o.q_on_actions(arms["flow"], np.repeat(arms["r"][:, None], 5, 1), arms["table"], gamma)
    got, right, excluded = o.decision_loss(full, local, arms["states"], arms["actions"], arms["nu"], (2,) * 5)
    assert (got, right, excluded) == pytest.approx((loss, 0.999581, 0), abs=5e-7, rel=1e-4)
