"""Certificates by simulation against exact chains and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
from test_agents import patients

INDEX = me.IndexPolicy(PRIORITY)


def mean_field_values(gamma: float) -> np.ndarray:
    """(8,) Eq. 2 of one circulant arm in the limit, where state 2 is served with chance 4/7 and the others never."""
    served, p, r = np.array([0.0, 0.0, 4 / 7, 0.0]), np.zeros((8, 8)), np.repeat(REWARD, 2)
    for s in range(4):
        for a, law in enumerate((PASSIVE, ACTIVE)):
            p[2 * s + a, 0::2], p[2 * s + a, 1::2] = (
                np.array(law)[s] * (1 - served),
                np.array(law)[s] * served,
            )
    return np.linalg.solve(np.eye(8) - gamma * p, r)


def circulant(n: int, gamma: float = 0.5) -> me.RestlessBandit:
    return me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=n, budget=n // 5, discount=gamma)


def test_the_limit_of_the_circulant_bandit_is_certified_in_a_narrow_bracket() -> None:
    """1.560 in L2(mu) at N = 1800 by an independent program, 4 % wide at most; variance ratio about 6.8e3."""
    found = me.certify([mean_field_values(0.5)], circulant(1800), INDEX, steps=(16,), starts=20_000, rng=1)
    low, high = found.l2[16]
    assert low < 1.5598 < high and (high - low) / 1.5598 < 0.04 and not found.caution
    assert 5e3 < found.variance_ratio[16] < 9e3
    none = me.certify([mean_field_values(0.5)], circulant(1800), INDEX, steps=(16,), control="none", rng=0)
    assert none.l2[16][1] - none.l2[16][0] > 10 * (high - low)


def test_brackets_of_any_candidate_contain_its_exact_error() -> None:
    system, policy = patients(6, 5, 2)
    chain = system.under(policy)
    truth, rng = me.value_decomposition(chain), np.random.default_rng(0)
    q, mu = truth.joint_q, chain.occupancy
    tables = [rng.random(4) * 5 for _ in range(6)]
    d = sum(t[chain.pairs[:, i]] for i, t in enumerate(tables))
    nonlinear = lambda x: (x % 2).sum(axis=1) ** 2 + 30.0  # noqa: E731
    for candidate, values in ((tables, d), (nonlinear, nonlinear(chain.pairs)), (truth, truth.sum_q)):
        found = me.certify(candidate, chain, steps=(4, 16, 90), starts=2000, rng=3)
        err = q - values
        for k in (4, 16, 90):
            assert found.l2[k][0] <= np.sqrt(mu @ err**2) <= found.l2[k][1], k
            assert found.mu[k][0] <= mu @ np.abs(err) <= found.mu[k][1], k
        wide = [high - low for low, high in found.l2.values()]
        assert wide[2] < wide[0]
    again = me.certify(truth, chain, steps=(4, 16, 90), starts=2000, rng=3)
    assert again.to_dict() == found.to_dict() and "95 %" in found.sentence and found.variance_ratio[90] > 1


def test_what_limits_the_width_is_said() -> None:
    system, policy = patients(6, 5, 2)
    short = me.certify([np.zeros(4)] * 6, system, policy, steps=(1,), starts=1000, rng=0)
    assert "take steps=(" in short.limits
    good = me.value_decomposition(system.under(policy))
    long = me.certify(good, system, policy, steps=(120,), starts=400, rng=0)
    assert "starts" in long.limits
    assert long.l2[120][1] - long.l2[120][0] < short.l2[1][1] - short.l2[1][0]


def small(seed: int, gamma: float = 0.8) -> tuple[me.JointChain, np.ndarray, np.ndarray, float]:
    """A chain of a 2-state and a 3-state agent with rewards of their own: it, its values Q (6,), its law, and what the
    best additive values miss, all from raw arrays."""
    rng = np.random.default_rng(seed)
    p, r = 0.04 + 0.76 * rng.dirichlet(np.full(6, 0.5), 6), [3 * rng.normal(size=2), rng.normal(size=3)]
    a, b = np.divmod(np.arange(6), 3)
    q = np.linalg.solve(np.eye(6) - gamma * p, r[0][a] + r[1][b])
    mu = np.linalg.matrix_power(p, 4096)[0]
    x = np.concatenate([np.eye(2)[a], np.eye(3)[b]], axis=1) * np.sqrt(mu)[:, None]
    y = q * np.sqrt(mu)
    floor = float(np.linalg.norm(y - x @ np.linalg.lstsq(x, y, rcond=None)[0]))
    return me.JointChain(p, (2, 3), rewards=r, discount=gamma), q, mu, floor


@pytest.mark.parametrize("seed", [1, 5, 7])
def test_the_floor_lies_between_its_limits_whatever_the_candidate(seed: int) -> None:
    system, q, mu, floor = small(seed)
    rng = np.random.default_rng(seed)
    tables = [rng.normal(size=2), 5 * rng.normal(size=3)]
    wrong = q - (tables[0][:, None] + tables[1]).ravel()
    error = float(np.sqrt(mu @ wrong**2))
    found = me.certify(tables, system, steps=(30,), starts=20_000, rng=seed)
    assert found.floor[0] < floor < found.floor[1] < 3 * floor and not found.floor_note
    assert found.bias is not None and found.bias[0] < np.sqrt(error**2 - floor**2) < found.bias[1]
    assert found.noise is None and "the best additive values err by" in found.sentence
    near = me.certify(lambda x: q[3 * x[:, 0] + x[:, 1]] + 0.01, system, steps=(30,), starts=20_000, rng=seed)
    assert near.floor[0] < floor < near.floor[1] and near.bias is None
    assert near.l2[30][0] < 0.01 < near.l2[30][1] and floor > 0.01 and near.floor[0] > 0


@pytest.mark.parametrize(
    ("gamma", "floor", "error", "k"), [(0.5, 0.0113839, 0.0516163, 30), (0.9, 0.05356, 0.2795168, 100)]
)
def test_the_floor_of_the_circulant_bandit(gamma: float, floor: float, error: float, k: int) -> None:
    """Exact numbers by an independent program."""
    bandit = circulant(5, gamma)
    exact = me.value_decomposition(bandit.under(INDEX))
    found = me.certify(exact, bandit, INDEX, steps=(k,), starts=20_000, rng=1)
    assert found.floor[0] < floor < found.floor[1] and found.l2[k][0] < error < found.l2[k][1]
    assert found.bias is not None and found.bias[0] < np.sqrt(error**2 - floor**2) < found.bias[1]
    assert found.floor[1] < error / 2


def test_what_learning_left_is_told_apart() -> None:
    bandit = circulant(60)
    learned = me.estimate_error(bandit, INDEX, rng=0, training=3000)
    found = me.certify(learned, bandit, INDEX, steps=(30,), starts=2000, rng=0)
    assert found.noise == learned.learning_noise > 0 and found.to_dict()["noise"] == found.noise
    assert found.tables()["numbers"].columns["number"].count("noise") == 1


def test_a_floor_needs_more_starts_than_local_pairs() -> None:
    system, policy = patients(220, 5, 30)
    found = me.certify([np.zeros(4)] * 220, system, policy, steps=(8,), starts=200, rng=0)
    assert (
        found.floor[0] == 0
        and "needs more starts than" in found.floor_note
        and found.floor_note in found.sentence
    )


def test_functions_of_counts_say_what_tables_say() -> None:
    """The same rollouts: a function gets the arms at each local pair `2 s + a`, type by type."""
    bandit = me.RestlessBandit(
        [[PASSIVE, ACTIVE]] * 2, [REWARD, np.array(REWARD) / 2], n_arms=[4, 6], budget=2, discount=0.5
    )
    policy = me.IndexPolicy([[1, 2, 3, 0]] * 2)
    rng = np.random.default_rng(0)
    tables = [rng.normal(size=8), rng.normal(size=8)]

    def value(counts: np.ndarray) -> np.ndarray:
        assert (counts.reshape(-1, 2, 8).sum(axis=2) == [4, 6]).all()
        assert (counts[:, 1::2].sum(axis=1) == 2).all()
        return counts @ np.concatenate(tables)

    by_table, by_function = (
        me.certify(c, bandit, policy, steps=(4, 20), starts=400, rng=0) for c in (tables, value)
    )
    assert by_function.l2[20] == pytest.approx(by_table.l2[20], rel=1e-9) and by_function.bias is None
    assert by_function.mu[4] == pytest.approx(by_table.mu[4], rel=1e-9)
    square = me.certify(lambda n: value(n) ** 2, bandit, policy, steps=(20,), starts=2000, rng=0)
    chain = bandit.under(policy).exact
    truth = me.value_decomposition(chain).joint_q
    err = truth - (np.asarray(chain.features @ np.concatenate(tables))) ** 2
    assert square.l2[20][0] < np.sqrt(chain.occupancy @ err**2) < square.l2[20][1]


def test_every_candidate_that_was_learned_is_read() -> None:
    bandit = circulant(10)
    values = me.LSTD().fit(me.simulate(bandit, INDEX, 2000, rng=0), 0.5)
    joint = me.additive_values(bandit.under(INDEX))
    for candidate in (values, joint):
        found = me.certify(candidate, bandit, INDEX, steps=(20,), starts=1000, rng=2)
        assert found.bias is not None
    assert found.l2[20][0] < joint.error("l2") < found.l2[20][1]


def test_as_many_starts_as_are_named_are_enough() -> None:
    """To 10 %: the variance is measured, so the width it leads to may be a fifth off."""
    rng = np.random.default_rng(1)
    system, *_ = small(0)
    tables = [rng.normal(size=2), rng.normal(size=3)]
    first = me.certify(tables, system, steps=(30,), starts=1000, rng=0)
    needed = first.needed_starts
    assert needed is not None and f"{needed:,} starts" in first.limits and needed > 200
    low, high = me.certify(tables, system, steps=(30,), starts=needed, rng=1).l2[30]
    assert 0.08 < 2 * (high - low) / (high + low) < 0.12
    short = me.certify(tables, system, steps=(2,), starts=1000, rng=0)
    assert short.needed_starts is None
    (more,) = map(int, short.limits.rpartition("(")[2].split(",")[:1])
    low, high = me.certify(tables, system, steps=(more,), starts=8 * needed, rng=1).l2[more]
    assert 2 * (high - low) / (high + low) < 0.1


def test_candidates_that_do_not_fit_are_refused() -> None:
    system, policy = patients(3, 0, 1)
    wrong = {"2 local tables": [np.zeros(4)] * 2, "shape": [np.zeros(3)] * 3, "not finite": [np.full(4, np.nan)] * 3,
             "returns": lambda x: x, "candidate": 3}  # fmt: skip
    for words, candidate in wrong.items():
        with pytest.raises(InvalidInput, match=words):
            me.certify(candidate, system, policy, steps=(2,), starts=200, rng=0)
    with pytest.raises(InvalidInput, match="discount"):
        me.certify(
            [np.zeros(4)] * 3, me.WeaklyCoupledMDP(system.kernels, [[0, 1]] * 3, budget=1), policy, rng=0
        )
    with pytest.raises(Unsupported, match="rewards"):
        me.certify(
            [np.zeros(4)] * 3, me.WeaklyCoupledMDP(system.kernels, discount=0.9, budget=1), policy, rng=0
        )
    with pytest.raises(InvalidInput, match=r"returns \(n,\) numbers"):
        me.certify(lambda x: x, circulant(10), INDEX, rng=0)
    with pytest.raises(InvalidInput, match="not finite"):
        me.certify([np.full(8, np.nan)], circulant(10), INDEX, rng=0)
