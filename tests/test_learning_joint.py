"""Joint and linear learners: limits, brute force, equal bytes, refusals; rewards learned from data."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
from markov_entanglement.runs.path import one_episode
from test_learning import SLOW, chunks, random_run, slow_partner, walk


def joint_by_loops(pairs: Any, rewards: Any, ended: Any, sizes: list[int], gamma: float) -> np.ndarray:
    """Values of the additive fit by a pseudo-inverse on joint features."""
    first = np.cumsum([0, *sizes])
    a, b = np.zeros((first[-1], first[-1])), np.zeros(first[-1])

    def feature(x: np.ndarray) -> np.ndarray:
        phi = np.zeros(first[-1])
        for i, k in enumerate(x):
            if k >= 0:
                phi[first[i] + k] += 1
        return phi

    for t in range(len(rewards)):
        phi, then = feature(pairs[t]), feature(pairs[t + 1])
        if not then.any() and not ended[t]:
            continue
        a += np.outer(phi, phi - (0 if ended[t] else gamma) * then)
        b += phi * rewards[t].sum()
    return np.linalg.pinv(a, rcond=1e-10) @ b


def test_joint_tables_by_loops() -> None:
    pairs, rewards, ended = random_run(steps=800)
    found = me.JointLSTD().fit(chunks(pairs, rewards, 100, ended), 0.8, sizes=[4] * 3)
    q = joint_by_loops(pairs, rewards, ended, [4] * 3, 0.8)
    assert np.concatenate(found.local_q) == pytest.approx(q, abs=1e-8)
    shared = me.JointLSTD().fit(
        chunks(pairs, rewards.sum(axis=1, keepdims=True), 100, ended), 0.8, sizes=[4] * 3
    )
    assert np.concatenate(shared.local_q) == pytest.approx(q, abs=1e-8)


def test_joint_tables_tend_to_joint_additive_values() -> None:
    x = walk(slow_partner(), 200_000, 1, 0)[:, 0]
    pairs = np.stack([x // 2, x % 2], axis=1)
    chain = SLOW.under()
    exact = me.additive_values(chain)
    found = me.JointLSTD().fit(chunks(pairs, pairs[:-1] * np.array([1.0, 0.0]), 9999), 0.9, sizes=[2, 2])
    mu = chain.occupancy
    assert float(mu @ np.abs(found(chain.pairs) - exact.sum_q)) < 0.15
    td = me.LSTD().fit(chunks(pairs, pairs[:-1] * np.array([1.0, 0.0]), 9999), 0.9, sizes=[2, 2])
    assert float(mu @ np.abs(td(chain.pairs) - exact.sum_q)) > 2.0


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_equal_bytes_for_any_chunks(size: int) -> None:
    pairs, rewards, ended = random_run()
    rng = np.random.default_rng(0)
    features = [rng.normal(size=(4, d)) for d in (1, 2, 4)]
    linear = me.LinearTD(features), me.LinearTD(features, 0.5, "n^-0.7"), me.LinearLSTD(features, 0.5)
    for learner in (me.JointLSTD(), *linear):
        a, b = (learner.fit(chunks(pairs, rewards, s, ended), 0.9, sizes=[4] * 3) for s in (size, 3000))
        assert [q.tobytes() for q in a.local_q] == [q.tobytes() for q in b.local_q]


def test_joint_runs_are_merged_and_types_are_pooled() -> None:
    pairs, rewards, _ = random_run()
    halves = [c for run, at in enumerate((slice(0, 1501), slice(1500, 3001)))
              for c in chunks(pairs[at], rewards[at][:1500], 400, None, run)]  # fmt: skip
    a = me.JointLSTD(pool=[0, 1, 0]).fit(halves, 0.9, sizes=[4] * 3)
    b = me.JointLSTD(pool=[0, 1, 0]).fit(chunks(pairs, rewards, 3000), 0.9, sizes=[4] * 3)
    assert a.q(0) is a.q(2) and np.stack(a.local_q) == pytest.approx(np.stack(b.local_q), abs=1e-9)
    followed = (pairs[1:] >= 0).any(axis=1)
    assert a.visits[0].sum() == (pairs[:-1][followed][:, [0, 2]] >= 0).sum()


def test_what_does_not_fit() -> None:
    run = [me.Chunk(np.zeros((2, 1), int), np.ones((1, 1)), np.zeros(1, bool))]
    with pytest.raises(TooLarge, match="pool="):
        me.JointLSTD().fit(run, 0.9, sizes=[20_000])
    agents = [me.Chunk(np.zeros((2, 2), int), np.ones((1, 1)), np.zeros(1, bool))]
    me.JointLSTD(pool=[0, 0]).fit(agents, 0.9, sizes=[4, 4])
    with pytest.raises(Unsupported, match=r"me\.learn_reward\(path\)\.local, or take me\.JointLSTD"):
        me.LSTD().fit(agents, 0.9, sizes=[4, 4])
    me.JointLSTD().fit(agents, 0.9, sizes=[4, 4])


# --- counts ----------------------------------------------------------------------------------------------


def circulant(n: int) -> Any:
    return me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=n, budget=n // 5, discount=0.5)


def test_joint_values_of_counts_are_those_of_their_arms() -> None:
    """Arms as agents that share a table give what their counts give."""
    bandit, index = circulant(10), me.IndexPolicy(PRIORITY)
    system = me.WeaklyCoupledMDP([[PASSIVE, ACTIVE]] * 10, [REWARD] * 10, budget=2, discount=0.5)
    arms = me.simulate(system, index, 3000, rng=0)
    pairs = 2 * arms.states[:-1] + arms.actions
    counts = np.stack([(arms.states == s).sum(axis=1) for s in range(4)], axis=-1)[:, None]
    served = np.stack(
        [((arms.states[:-1] == s) & (arms.actions == 1)).sum(axis=1) for s in range(4)], axis=-1
    )[:, None]
    path = me.simulate(bandit, index, 10, rng=0)
    counted = me.Path(arms.rewards.sum(axis=1, keepdims=True), arms.episode_starts, arms.terminated, arms.truncated,
                      counts=counts, served=served, sizes=path.sizes, discount=0.5)  # fmt: skip
    a = me.JointLSTD(pool=[0] * 10).fit(arms)
    b = me.JointLSTD().fit(counted)
    assert b.q(0) == pytest.approx(a.q(0), abs=1e-9, nan_ok=True)
    n = np.stack([(pairs == x).sum(axis=1) for x in range(8)], axis=-1)
    assert b(n[:, None]) == pytest.approx(a(pairs), abs=1e-8)


def spreads(seed: int) -> tuple[float, float]:
    """Unexplained share of local TD and of joint additive values from 9,000 steps, N = 1800."""
    bandit, index = circulant(1800), me.IndexPolicy(PRIORITY)
    path = me.simulate(bandit, index, 9000, rng=seed, start=[360, 360, 540, 540])
    tables = [np.nan_to_num(learner.fit(path).q(0)) for learner in (me.LSTD(), me.JointLSTD())]
    return tuple(me.estimate_error(bandit, index, rng=0, local_q=q).unexplained for q in tables)  # type: ignore[return-value]


@pytest.mark.slow
def test_joint_values_leave_a_third_of_the_spread() -> None:
    assert np.median([joint / local for local, joint in map(spreads, range(7))]) <= 1 / 3


# --- features --------------------------------------------------------------------------------------------


def test_linear_values_are_the_projection() -> None:
    """Phi'D (r + gamma P_i Phi w - Phi w) = 0 of the counted chain; one-hot features are the tables."""
    rng = np.random.default_rng(1)
    pairs, r = rng.integers(5, size=(4001, 1)), rng.normal(size=5)
    phi = rng.normal(size=(5, 2))
    run = list(chunks(pairs, r[pairs[:-1]], 500))
    f = np.zeros((5, 5))
    np.add.at(f, (pairs[:-1, 0], pairs[1:, 0]), 1)
    w = np.linalg.solve(phi.T @ (np.diag(f.sum(axis=1)) - 0.9 * f) @ phi, phi.T @ (f.sum(axis=1) * r))
    assert me.LinearLSTD([phi]).fit(run, 0.9, sizes=[5]).q(0) == pytest.approx(phi @ w, abs=1e-10)
    tables = me.LSTD(0.5).fit(run, 0.9, sizes=[5]).q(0)
    assert me.LinearLSTD([np.eye(5)], 0.5).fit(run, 0.9, sizes=[5]).q(0) == pytest.approx(tables, abs=1e-9)
    twice = np.hstack([phi, phi])
    assert me.LinearLSTD([twice]).fit(run, 0.9, sizes=[5]).q(0) == pytest.approx(phi @ w, abs=1e-9)


def test_linear_temporal_differences_by_loops_and_their_limit() -> None:
    rng = np.random.default_rng(2)
    pairs, r = rng.integers(5, size=(200_001, 1)), rng.normal(size=5)
    phi = rng.normal(size=(5, 2))
    scale = (phi**2).sum(axis=1).max()
    w, z = np.zeros(2), np.zeros(2)
    for t in range(2000):
        x, y = phi[pairs[t, 0]], phi[pairs[t + 1, 0]]
        z = 0.9 * 0.5 * z + x
        w += 10 / (10 + t) * (1 - 0.45) / scale * (r[pairs[t, 0]] + 0.9 * y @ w - x @ w) * z
    short = chunks(pairs[:2001], r[pairs[:2000]], 77)
    assert me.LinearTD([phi], 0.5).fit(short, 0.9, sizes=[5]).q(0) == pytest.approx(phi @ w, abs=1e-10)
    run = list(chunks(pairs, r[pairs[:-1]], 50_000))
    limit = me.LinearLSTD([phi]).fit(run, 0.9, sizes=[5]).q(0)
    for step in ("h/(h+n)", "n^-0.6"):
        assert me.LinearTD([phi], 0, step).fit(run, 0.9, sizes=[5]).q(0) == pytest.approx(limit, abs=0.05)


def test_features_generalise_to_pairs_never_met() -> None:
    pairs = np.array([[0], [1], [0], [1], [0]])
    run = list(chunks(pairs, np.ones((4, 1)), 4))
    phi = [np.ones((3, 1))]
    for learner in (me.LinearLSTD(phi), me.LinearTD(phi, 0, 1.0)):
        found = learner.fit(run, 0.5, sizes=[3])
        assert found.visits[0].tolist() == [2, 2, 0] and not np.isnan(found.q(0)).any()
    assert me.LinearLSTD(phi).fit(run, 0.5, sizes=[3]).q(0) == pytest.approx([2.0] * 3)
    absent = list(chunks(np.array([[-1], [-1], [-1]]), np.ones((2, 1)), 2))
    assert np.isnan(me.LinearLSTD(phi).fit(absent, 0.5, sizes=[3]).q(0)).all()
    assert np.isnan(me.LinearTD(phi).fit(absent, 0.5, sizes=[3]).q(0)).all()


@pytest.mark.parametrize(
    ("features", "says"),
    [
        (3, "a sequence"),
        ([np.ones(3)], "the shape must be"),
        ([[[np.nan]]], "finite"),
        ([np.ones((2, 1))], r"features\[0\]"),
        ([np.ones((3, 1))] * 2, "2 arrays"),
    ],
)
def test_features_that_do_not_fit(features: Any, says: str) -> None:
    run = list(chunks(np.zeros((3, 1), int), np.ones((2, 1)), 2))
    for learner in (me.LinearTD, me.LinearLSTD):
        with pytest.raises(InvalidInput, match=says):
            learner(features).fit(run, 0.5, sizes=[3])


def test_linear_divergence_and_several_runs() -> None:
    run = list(chunks(np.zeros((3000, 1), int), np.ones((2999, 1)), 100))
    with pytest.raises(InvalidInput, match=r"at step \d+ with constant step 30.*me\.LinearLSTD\(features\)"):
        me.LinearTD([np.ones((1, 1))], 0, 30).fit(run, 0.5, sizes=[1])
    two = [*run, me.Chunk(run[0].pairs, run[0].rewards, run[0].ended, 1)]
    with pytest.raises(Unsupported, match=r"me\.LinearLSTD"):
        me.LinearTD([np.ones((1, 1))]).fit(two, 0.5, sizes=[1])
    assert me.LinearLSTD([np.ones((1, 1))]).fit(two, 0.5, sizes=[1]).q(0) == pytest.approx(2.0)


# --- rewards from data -----------------------------------------------------------------------------------


def path_of(pairs: np.ndarray, reward: np.ndarray, sizes: Any) -> Any:
    """A path of agents without actions."""
    states = np.concatenate([pairs, pairs[:1]])
    told = {"sizes": np.array([[m, 1] for m in sizes]), "discount": 0.9}
    return one_episode(reward[:, None], states=states, actions=np.zeros_like(pairs), **told)


def test_a_reward_learned_from_every_pair_once() -> None:
    """Climbing: the numbers of the uniform law; the values of the split leave the centred error."""
    table = np.array([[11.0, -30, 0], [-30, 7, 6], [0, 0, 5]])
    pairs = np.array(list(itertools.product(range(3), repeat=2)))
    learned = me.learn_reward(path_of(np.tile(pairs, (5, 1)), np.tile(table.ravel(), 5), (3, 3)))
    assert learned.error == pytest.approx(9.925926, abs=1e-6) and learned.distinct == 9 and learned.unique
    assert learned.mean_size == pytest.approx(np.abs(table - table.mean()).mean())
    game = me.JointChain(np.full((9, 9), 1 / 9), (3, 3), rewards=table.ravel(), discount=0.9)
    d = me.value_decomposition(game, list(learned.local), 0.9)
    q = table.ravel() + 9 * table.mean()
    assert np.abs(q - d.sum_q).mean() == pytest.approx(9.925926, abs=1e-6)


def test_then_the_same_as_with_local_rewards() -> None:
    """A shared reward that is a sum: e(r) = 0, and LSTD on the split adds up to the joint values."""
    x = walk(slow_partner(), 20_000, 1, 0)[:, 0]
    pairs = np.stack([x // 2, x % 2], axis=1)[:-1]
    reward = 3.0 * pairs[:, 0] - pairs[:, 1] + 1.0
    path = path_of(pairs, reward, (2, 2))
    learned = me.learn_reward(path)
    assert learned.error < 1e-9
    values = me.LSTD().fit(path, rewards=learned.local)
    own = me.LSTD().fit(path, rewards=[[0, 3.0], [1.0, 0.0]])(pairs[:50])
    assert np.ptp(values(pairs[:50]) - own) < 1e-8
    with pytest.raises(Unsupported, match="learn_reward"):
        me.LSTD().fit(path)


def test_a_split_that_scales() -> None:
    """40,000 different joint pairs of six agents: no worse than the truth that the noise hides."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(8, size=(60_000, 6))
    truth = rng.normal(size=(6, 8))
    noise = rng.laplace(size=60_000)
    path = path_of(pairs, truth[np.arange(6), pairs].sum(axis=1) + noise, (8,) * 6)
    learned = me.learn_reward(path)
    assert not learned.unique and learned.error <= np.abs(noise - noise.mean()).mean()
    assert 0 <= learned.error - learned.lower < 1e-8 * learned.error
    apart = [np.asarray(r) - np.mean(r) - (t - t.mean()) for r, t in zip(learned.local, truth, strict=True)]
    assert np.abs(np.concatenate(apart)).max() < 0.1


def test_a_program_that_does_not_end_well_is_followed_inside() -> None:
    """300 joint pairs of 100 agents with 500 local pairs: the fit is exact."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(5, size=(300, 100))
    learned = me.learn_reward(path_of(pairs, rng.normal(size=300), (5,) * 100))
    assert learned.error < 1e-6 and learned.lower <= learned.error


def test_a_split_too_large_and_the_remedy() -> None:
    pairs = np.random.default_rng(0).integers(2, size=(4001, 1001))
    path = path_of(pairs, pairs[:, 0].astype(float), (2,) * 1001)
    with pytest.raises(TooLarge, match=r"fewer steps, or me\.JointLSTD"):
        me.learn_reward(path)
    few = path_of(pairs[:5], pairs[:5, 0].astype(float), (2,) * 1001)
    assert me.learn_reward(few).error < 1e-9


def test_rewards_that_cannot_be_split() -> None:
    pairs = np.array([[0, 1], [1, 0]])
    path = path_of(pairs, np.ones(2), (2, 2))
    for wrong, kind, says in (
        (3, Unsupported, "a path of"),
        (me.simulate(SLOW, None, 5, rng=0), Unsupported, "fit a learner"),
        (me.simulate(circulant(10), me.IndexPolicy(PRIORITY), 5, rng=0), Unsupported, "counts"),
        (replace(path, sizes=None), InvalidInput, "dataclasses.replace"),
        (replace(path, rewards=np.full((2, 1), np.nan)), InvalidInput, "finite"),
        (replace(path, states=np.array([[0, -1], [1, 0], [0, 0]])), InvalidInput, "absent"),
    ):
        with pytest.raises(kind, match=says):
            me.learn_reward(wrong)
    assert me.learn_reward(replace(path, sizes=np.array([[2, 1], [2, 1]]))).error == 0.0
