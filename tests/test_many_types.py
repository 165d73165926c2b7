"""The mean field of many arm types: the way without matrices against the one with them, and against raw arrays."""

from __future__ import annotations

import time

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import Unsupported
from markov_entanglement.studies.figure4 import CYCLE_POLICY, two_cycle

NUMBERS = (
    "policy_entanglement",
    "entanglement",
    "error_mu",
    "error_l2",
    "unexplained",
    "relative_error",
    "local_q",
    "edge",
)


def bandit_of(seed: int) -> tuple[me.RestlessBandit, me.IndexPolicy]:
    rng = np.random.default_rng(seed)
    types, states = int(rng.integers(1, 5)), int(rng.integers(2, 5))
    kernels = 0.98 * rng.dirichlet(np.full(states, 0.5), (types, 2, states)) + 0.02 / states
    arms = rng.integers(0, 9, types)  # a type may have none
    arms[0] += 3
    tied = seed % 3 == 0
    priority = (
        rng.integers(0, 3, (types, states))
        if tied
        else rng.permutation(types * states).reshape(types, states)
    )
    bandit = me.RestlessBandit(
        kernels, rng.random((types, states, 2)), n_arms=arms.tolist(), budget=int(rng.integers(1, arms.sum())),
        discount=0.9,
    )  # fmt: skip
    return bandit, me.IndexPolicy(list(priority.astype(float)))


@pytest.mark.parametrize("seed", range(10))
def test_both_ways_agree(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bandit, policy = bandit_of(seed)
    one = me.mean_field(bandit, policy)
    constants = None if one.refused else one.limit_constants
    monkeypatch.setattr("markov_entanglement._tolerance.MEAN_FIELD_STATES", 0)
    other = me.mean_field(bandit, policy)
    assert len(one.fixed_points) == len(other.fixed_points) and one.degenerate == other.degenerate
    assert np.abs(one.fixed_point - other.fixed_point).max() < 1e-10 and one.marginal == other.marginal
    assert other.radius == pytest.approx(one.radius, abs=1e-10)
    assert other.reward == pytest.approx(one.reward, abs=1e-10)
    assert other.attractor == one.attractor.replace("proved", "supported") and other.certificate is None
    if constants is not None:
        for name in NUMBERS:
            mine, theirs = (np.asarray(getattr(c, name)) for c in (other.limit_constants, constants))
            assert mine == pytest.approx(theirs, rel=1e-9, abs=1e-9, nan_ok=True), name
        for name in ("slope", "gap"):  # up to a constant per type
            mine, theirs = (
                getattr(c, name) - getattr(c, name)[:, :1] for c in (other.limit_constants, constants)
            )
            assert np.abs(mine - theirs).max() < 1e-9
        assert (
            other.limit_constants.covariance.size == 0
            and other.to_dict()["limit_constants"]["covariance"] == []
        )


def test_a_cycle_that_attracts_is_met_without_matrices_too(monkeypatch: pytest.MonkeyPatch) -> None:
    one = me.mean_field(two_cycle(5), CYCLE_POLICY)
    monkeypatch.setattr("markov_entanglement._tolerance.MEAN_FIELD_STATES", 0)
    other = me.mean_field(two_cycle(5), CYCLE_POLICY)
    assert one.attractor == other.attractor == "violated"
    assert other.cycle is not None and one.cycle is not None
    assert (
        min(np.abs(np.roll(other.cycle, k, axis=0) - one.cycle).max() for k in range(len(one.cycle))) < 1e-8
    )
    assert other.cycles[0].radius == pytest.approx(one.cycles[0].radius, abs=1e-8) and other.cycles[0].stable


def patients(n: int) -> tuple[me.RestlessBandit, me.IndexPolicy]:
    rng = np.random.default_rng(0)
    p, g = rng.uniform(0.02, 0.5, (2, n))
    tau = rng.uniform(0, 1, n) * (1 - p)
    kernels = [
        [[[1 - a, a], [b, 1 - b]], [[1 - a - c, a + c], [b, 1 - b]]]
        for a, b, c in zip(p, g, tau, strict=True)
    ]
    index = np.stack([0.95 * tau / (1 - 0.95 * (1 - p - g)), np.zeros(n)], axis=1)
    bandit = me.RestlessBandit(kernels, [[0.0, 1.0]] * n, n_arms=[1] * n, budget=n // 10, discount=0.95)
    return bandit, me.IndexPolicy(list(index))


def test_hundreds_of_types_against_raw_arrays() -> None:
    n = 320
    bandit, policy = patients(n)
    found = me.mean_field(bandit, policy)
    m, rank = found.fixed_point, -np.array(policy.priority)
    above = np.array([(m * (rank < r)).sum() for r in rank.ravel()]).reshape(n, 2)
    same = np.array([(m * (rank == r)).sum() for r in rank.ravel()]).reshape(n, 2)
    share = np.clip((0.1 - above) / same, 0.0, 1.0)
    z = m * share
    after = np.einsum("ts,tsu->tu", m - z, bandit.kernels[:, 0]) + np.einsum(
        "ts,tsu->tu", z, bandit.kernels[:, 1]
    )
    assert np.abs(after - m).max() < 1e-15 and z.sum() == pytest.approx(0.1)
    assert np.abs(share - found.activation).max() < 1e-12
    ((t, s),) = found.marginal
    gain = bandit.kernels[:, 1] - bandit.kernels[:, 0]
    block = bandit.kernels[:, 0] + share[..., None] * gain
    moves = np.array([1.0, -1.0])  # of one type: e (1, -1)
    k = np.diag((moves @ block)[:, 0]) - np.outer(share @ moves, np.eye(n)[t] * gain[t, s, 0])
    assert found.radius == pytest.approx(np.abs(np.linalg.eigvals(k)).max(), rel=1e-9)
    assert found.attractor == "supported" and "unique" in found.sentence
    c = found.limit_constants
    assert (c.policy_entanglement >= c.entanglement - 1e-12).all() and np.count_nonzero(
        c.policy_entanglement
    ) == 1


def test_a_thousand_types_take_seconds() -> None:
    bandit, policy = patients(1000)
    begin = time.process_time()
    found = me.mean_field(bandit, policy)
    assert time.process_time() - begin < 20.0  # 3 s on a machine at rest
    assert found.converged == found.starts and len(found.fixed_points) == 1
    assert found.section()["valid_from"] > 0


def test_arms_that_need_not_settle_are_named_and_the_remedy_works() -> None:
    kernels = np.tile(np.eye(3), (200, 2, 1, 1))
    made = {"n_arms": [1] * 200, "budget": 3, "discount": 0.5}
    with pytest.raises(Unsupported, match="arm type 0 with several closed classes"):
        me.mean_field(me.RestlessBandit(kernels, np.zeros(3), **made), me.IndexPolicy([1, 2, 3]))
    joined = me.RestlessBandit(0.9 * kernels + 0.1 / 3, np.zeros(3), **made)
    assert me.mean_field(joined, me.IndexPolicy([1, 2, 3])).attractor == "supported"
