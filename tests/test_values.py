"""Value decomposition against dense solves, identities of Eq. 2, shared rewards."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import markov_entanglement as me
from helpers import Case, build, cases, separable_chain


def check_values(case: Case, d: me.ValueDecomposition) -> None:
    """Everything about `d` from the raw arrays."""
    truth, gamma = case.truth, case.discount
    at = truth.position(d.chain)
    q = truth.q(truth.reward(case.rewards), gamma)
    scale = max(1.0, float(np.abs(q).max()))
    assert np.abs(d.joint_q[at] - q).max() < 1e-10 * scale
    total = np.zeros(len(q))
    for i in range(d.chain.n_agents):
        right = truth.local_q(i, case.rewards[i], gamma)
        assert (np.isnan(d.local_q[i]) == np.isnan(right)).all()
        mass = np.array([truth.mu[[x[i] == k for x in truth.pairs]].sum() for k in range(truth.sizes[i])])
        assert np.abs(d.local_q[i] - right)[mass > 1e-6].max() < 1e-7 * scale
        total += right[[x[i] for x in truth.pairs]]
    on = truth.mu > 0
    mu, err, q = truth.mu[on], (q - total)[on], q[on]
    tol = 1e-7 * scale
    assert d.error("mu") == pytest.approx(float(mu @ np.abs(err)), abs=tol)
    assert d.error("l2") == pytest.approx(math.sqrt(float(mu @ err**2)), abs=tol)
    assert d.error("sup") == pytest.approx(float(np.abs(err).max()), abs=1e-5 * scale)
    size, spread = float(mu @ np.abs(q)), math.sqrt(float(mu @ (q - mu @ q) ** 2))
    if size > 1e-6 * scale:
        assert d.relative_error == pytest.approx(float(mu @ np.abs(err)) / size, abs=1e-6)
    if spread > 1e-6 * scale:
        assert d.unexplained == pytest.approx(math.sqrt(float(mu @ (err - mu @ err) ** 2)) / spread, abs=1e-5)


@given(cases())
@settings(max_examples=40)
def test_values_equal_dense_solves(case: Case) -> None:
    check_values(case, me.value_decomposition(case.chain))


def test_wrong_values_are_caught() -> None:
    """Negative control of `check_values`."""
    case = build("mdp", (2, 3), (2, 1), "table", False, 0)
    check_values(case, me.value_decomposition(case.chain))
    with pytest.raises(AssertionError):
        check_values(case, me.value_decomposition(case.chain, discount=0.901))
    with pytest.raises(AssertionError):
        check_values(case, me.value_decomposition(case.chain, [2 * r for r in case.rewards]))


@given(cases())
@settings(max_examples=30)
def test_mean_error_is_zero_and_constants_do_not_matter(case: Case) -> None:
    """`E_mu(Q - sum Q_i) = 0`; a constant added to a reward leaves err and `unexplained` as they are."""
    d = me.value_decomposition(case.chain)
    on = case.chain.occupancy > 0
    scale = max(1.0, float(np.abs(d.joint_q).max()))
    assert abs(case.chain.occupancy[on] @ d.residual[on]) < 1e-10 * scale
    moved = me.value_decomposition(case.chain, [r + 5.0 for r in case.rewards])
    recurrent = case.chain.recurrent
    assert np.abs((moved.residual - d.residual)[recurrent]).max() < 1e-8 * scale / (1 - case.discount)
    if d.error("l2") > 1e-6:
        assert moved.unexplained == pytest.approx(d.unexplained, rel=1e-5)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.5, 0.9, 0.999]))
@settings(max_examples=15)
def test_separable_chains_add_up_for_every_reward(seed: int, gamma: float) -> None:
    """Theorem 3.2."""
    chain = me.JointChain(separable_chain((2, 3), 3, seed, seed % 2 == 0), (2, 3)).under()
    rng = np.random.default_rng(seed)
    d = me.value_decomposition(chain, [rng.normal(size=2), rng.normal(size=3)], gamma)
    assert d.error("sup") < 1e-10 * max(1.0, np.abs(d.joint_q).max())
    assert d.unexplained < 1e-9 and d.relative_error < 1e-9


def test_gamma_zero_is_the_reward() -> None:
    case = build("mdp", (2, 2), (2, 2), "table", True, 3, discount=0.0)
    d = me.value_decomposition(case.chain)
    assert d.error("sup") < 1e-15
    for i in range(2):
        seen = ~np.isnan(d.local_q[i])
        assert (d.local_q[i][seen] == case.rewards[i][seen]).all()


def test_constant_rewards_have_no_spread() -> None:
    case = build("mdp", (2, 2), (2, 1), "table", False, 4)
    d = me.value_decomposition(case.chain, [np.ones(4), np.ones(2)])
    assert d.unexplained == 0.0 and d.relative_error == 0.0 and d.error("sup") < 1e-10
    zero = me.value_decomposition(case.chain, [np.zeros(4), np.zeros(2)])
    assert zero.unexplained == 0.0 and zero.relative_error == 0.0


@pytest.mark.parametrize("form", ["pairs", "tables", "state-only"])
def test_forms_of_rewards(form: str) -> None:
    case = build("mdp", (2, 3), (2, 2), "table", False, 5)
    tables = [case.rewards[0].reshape(2, 2), case.rewards[1].reshape(3, 2)]
    if form == "state-only":
        by_state = [t[:, 0] for t in tables]
        given_, same = by_state, [np.repeat(r, 2) for r in by_state]
    else:
        given_, same = (list(case.rewards), tables) if form == "pairs" else (tables, list(case.rewards))
    mine, theirs = (me.value_decomposition(case.chain, r) for r in (given_, same))
    assert (mine.joint_q == theirs.joint_q).all()


def test_one_table_per_agent_is_never_read_as_a_joint_one() -> None:
    """State counts (1, 2), action counts (2, 1): two tables of two numbers have the shape of a joint array."""
    kernel = np.random.default_rng(0).dirichlet(np.ones(2), size=(2, 2))
    system = me.MultiAgentMDP(kernel, [[0, 10], [1, 2]], n_states=(1, 2), n_actions=(2, 1), discount=0.0)
    chain = system.under(me.UniformPolicy())
    assert sorted(me.value_decomposition(chain).joint_q) == [1, 2, 11, 12]
    joint = np.array([[1.0, 2.0], [3.0, 4.0]])  # an array of shape (joint states, joint actions)
    assert sorted(me.value_decomposition(chain, joint).joint_q) == [1, 2, 3, 4]


# --- one shared reward -----------------------------------------------------------------------------------


def _split_error(truth: object, mu: np.ndarray, pairs: list, sizes: tuple[int, ...], r: np.ndarray) -> float:
    """`e(r) = min ||r - sum_i r_i||_mu` by a linear program of its own."""
    on = np.flatnonzero(mu > 0)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    design = np.zeros((len(on), offsets[-1]))
    for row, x in enumerate(on):
        for i, k in enumerate(pairs[x]):
            design[row, offsets[i] + k] = 1.0
    eye = np.eye(len(on))
    found = linprog(
        np.concatenate([np.zeros(offsets[-1]), mu[on]]),
        A_ub=np.block([[design, -eye], [-design, -eye]]),
        b_ub=np.concatenate([r[on], -r[on]]),
        bounds=[(None, None)] * offsets[-1] + [(0, None)] * len(on),
        method="highs",
    )
    assert found.status == 0
    return float(found.fun)


@pytest.mark.parametrize("seed", range(8))
def test_shared_reward_is_split_by_least_absolute_deviations(seed: int) -> None:
    case = build("mdp", (2, 2), (2, 2), "table", seed % 2 == 0, seed)
    rng = np.random.default_rng(seed)
    joint = rng.normal(size=(4, 4))
    d = me.value_decomposition(case.chain, joint, 0.9)
    truth = case.truth
    at = truth.position(case.chain)
    r = np.array([joint[s, a] for s, a in truth.index])
    assert np.abs(d.joint_q[at] - truth.q(r, 0.9)).max() < 1e-10
    assert d.shared is not None
    assert d.shared.error == pytest.approx(
        _split_error(truth, truth.mu, truth.pairs, truth.sizes, r), abs=1e-7
    )
    attained = sum(t[[x[i] for x in truth.pairs]] for i, t in enumerate(d.shared.local))
    assert truth.mu @ np.abs(r - attained) == pytest.approx(d.shared.error, abs=1e-9)
    assert seed % 2 == 0 or d.shared.error > 1e-3  # negative control: on all pairs such a reward is no sum
    assert d.to_dict()["shared_reward_error"] == d.shared.error


def test_an_additive_shared_reward_is_split_exactly() -> None:
    case = build("mdp", (2, 2), (2, 2), "table", False, 1)
    local = [case.rewards[0].reshape(2, 2), case.rewards[1].reshape(2, 2)]
    joint = np.zeros((4, 4))
    for s in range(4):
        for a in range(4):
            joint[s, a] = local[0][s // 2, a // 2] + local[1][s % 2, a % 2]
    shared, apart = (me.value_decomposition(case.chain, r) for r in (joint, local))
    assert shared.shared.error < 1e-9 and apart.shared is None
    assert shared.error("mu") == pytest.approx(apart.error("mu"), abs=1e-6)


# --- answers ---------------------------------------------------------------------------------------------


def test_dict_form() -> None:
    d = me.value_decomposition(me.gallery.build("appendix-e").chain())
    found = d.to_dict()
    assert set(found) >= {"error_mu", "error_sup", "error_l2", "relative_error", "unexplained", "intervals"}
    assert json.loads(json.dumps(found)) == found
    assert found["error_mu"] <= found["error_l2"] <= found["error_sup"] + 1e-15
    assert not d.joint_q.flags.writeable and not d.sum_q.flags.writeable


def test_a_reward_seen_by_nobody_counts_all() -> None:
    """Q spreads, but the local values do not: nothing is explained, and JSON stays finite."""
    p = np.zeros((4, 4))  # x_0' = a fair coin; x_1' = x_0 xor x_1
    for a in range(2):
        for b in range(2):
            p[2 * a + b, [a ^ b, 2 + (a ^ b)]] = 0.5
    d = me.value_decomposition(me.JointChain(p, (2, 2), rewards=[[0, 0], [0, 1]], discount=0.9).under())
    gamma = 0.9  # err = gamma (1{a xor b = 1} - 1/2), spread of Q from r_1 as well
    assert d.error("sup") == pytest.approx(gamma / 2)
    share = gamma / 2 / math.sqrt(gamma**2 / 4 + 0.25)
    assert d.unexplained == pytest.approx(share)
    assert all(v is None or math.isfinite(v) for v in d.to_dict().values() if not isinstance(v, dict | str))
