"""Gittins indices: closed forms, the best of all stopping sets, and the Whittle index of the frozen arm."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, Unsupported, UserError


def by_stopping_sets(p: np.ndarray, r: np.ndarray, gamma: float) -> np.ndarray:
    """Ratio of discounted reward and time, the best over all sets of states in which play goes on."""
    n, out = len(r), np.full(len(r), -np.inf)
    for goes_on in itertools.product((0.0, 1.0), repeat=n):
        m = np.eye(n) - gamma * p * np.array(goes_on)
        out = np.maximum(out, np.linalg.solve(m, r) / np.linalg.solve(m, np.ones(n)))
    return out


def arm(seed: int, n: int, sparse: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(n, 0.3 if sparse else 1.0), size=n)
    if sparse:
        p = np.where(p < 0.1, 0.0, p)
        p /= p.sum(axis=1, keepdims=True)
    return p, rng.normal(size=n)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_all_stopping_sets(seed: int, sparse: bool, gamma: float) -> None:
    p, r = arm(seed, 6, sparse)
    found = me.gittins_index(p, r, discount=gamma).index
    assert found == pytest.approx(by_stopping_sets(p, r, gamma), abs=1e-11)


@pytest.mark.parametrize("gamma", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("seed", range(5))
def test_the_whittle_index_of_the_frozen_arm(seed: int, gamma: float) -> None:
    p, r = arm(seed, 8, seed % 2 == 0)
    frozen, pay = np.stack([np.eye(8), p]), np.stack([np.zeros(8), r], axis=1)
    whittle = me.whittle_index(frozen, pay, discount=gamma)
    found = me.gittins_index(p, r, discount=gamma)
    assert whittle.indexable == (True,) and found.index == pytest.approx(whittle.index, abs=1e-10)
    bandit = me.RestlessBandit(frozen, pay, n_arms=4, budget=1, discount=gamma)
    assert me.gittins_index(bandit).index.tolist() == found.index.tolist()
    assert me.IndexPolicy(found).ranks(1)[0].tolist() == me.IndexPolicy(found.index).ranks(1)[0].tolist()


def test_a_known_sequence() -> None:
    """Rewards 3, 1, 8, 0 one after the other: from each the best discounted mean, by hand."""
    r, g = [3.0, 1.0, 8.0, 0.0], 0.5
    p = np.eye(4, k=1)
    p[3, 3] = 1.0
    means = [[sum(g**k * x for k, x in enumerate(r[i:j])) / sum(g**k for k in range(j - i)) for j in range(i + 1, 5)]
             for i in range(4)]  # fmt: skip
    assert me.gittins_index(p, r, discount=g).index.tolist() == pytest.approx([max(m) for m in means])
    assert max(means[0]) == pytest.approx((3 + 0.5 + 2) / 1.75)


def test_a_bernoulli_arm() -> None:
    """Beta(1, 1) at discount 0.9 has index 0.7029 (Gittins, 1989, tables): between what the last belief may pay."""
    place = {(a, n - a): k for k, (n, a) in enumerate((n, a) for n in range(2, 40) for a in range(1, n))}
    last = len(place)
    p, r = np.zeros((last + 1, last + 1)), np.zeros(last + 1)
    p[last, last] = 1.0
    for (a, b), k in place.items():
        r[k] = a / (a + b)
        p[k, place.get((a + 1, b), last)] += r[k]
        p[k, place.get((a, b + 1), last)] += 1 - r[k]
    low, high = (me.gittins_index(p, [*r[:-1], end], discount=0.9).index[place[1, 1]] for end in (0.0, 1.0))
    assert low < 0.7029 < high < low + 0.004


def test_playing_the_highest_is_optimal() -> None:
    """Two rested arms, one play a step: the index policy earns what value iteration says."""
    arms, gamma = [arm(k, 3, False) for k in (1, 2)], 0.9
    kernels = [np.stack([np.eye(3), p]) for p, _ in arms]
    rewards = [np.stack([np.zeros(3), r], axis=1) for _, r in arms]
    system = me.WeaklyCoupledMDP(kernels, rewards, discount=gamma, budget=1)
    index = me.gittins_index(system)
    assert index.index.shape == (2, 3) and "optimal" in index.sentence
    bound = system.bind(me.IndexPolicy(index))
    best = me.optimal_policy(system).table.toarray()
    states = np.array(list(itertools.product(range(3), repeat=2)))
    mine = bound.table(states).toarray()

    def worth(table: np.ndarray) -> np.ndarray:
        p, r = np.zeros((9, 9)), np.zeros(9)
        for k, (s, t) in enumerate(states):
            for a, b in ((0, 1), (1, 0)):
                p[k] += table[k, 2 * a + b] * np.kron(kernels[0][a, s], kernels[1][b, t])
                r[k] += table[k, 2 * a + b] * (rewards[0][s, a] + rewards[1][t, b])
        return np.asarray(np.linalg.solve(np.eye(9) - gamma * p, r))

    assert worth(mine) == pytest.approx(worth(best), abs=1e-9)


def test_types_units_and_ties() -> None:
    pairs = [arm(k, 4, False) for k in range(3)]
    p, r = (np.stack(x) for x in zip(*pairs, strict=True))
    many = me.gittins_index(p, r, discount=0.8)
    one = [me.gittins_index(*x, discount=0.8).index for x in pairs]
    assert many.index.tolist() == [x.tolist() for x in one]
    scaled = me.gittins_index(p, 1e6 * r + 1e9, discount=0.8).index
    assert scaled == pytest.approx(1e6 * many.index + 1e9, rel=1e-12)
    # relabelled states keep their indices; twins share one, to the last bit
    order = [2, 0, 3, 1]
    again = me.gittins_index(pairs[0][0][np.ix_(order, order)], pairs[0][1][order], discount=0.8).index
    assert again == pytest.approx(one[0][order], abs=1e-13)
    twins = me.gittins_index(np.kron(np.eye(2), pairs[0][0]), np.tile(pairs[0][1], 2), discount=0.8).index
    assert twins[:4].tolist() == twins[4:].tolist()
    assert me.gittins_index(p, r[0], discount=0.8).index[0].tolist() == one[0].tolist()
    d = many.to_dict()
    assert (
        d["discount"] == 0.8
        and len(d["index"]) == 3
        and repr(many) == "GittinsIndex(discount 0.8, index of shape (3, 4))"
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: me.gittins_index(np.eye(2), [0, 1]), ("discount", "discount=0.9")),
        (lambda: me.gittins_index(np.eye(2), discount=0.9), ("rewards", "Pass rewards")),
        (lambda: me.gittins_index(np.eye(2), [0, 1, 2], discount=0.9), ("rewards", "shape 3")),
        (lambda: me.gittins_index(np.eye(2), [0, 1], discount=1.0), ("discount", "[0, 1)")),
        (lambda: me.gittins_index([np.eye(2), np.eye(3)], [0, 1], discount=0.5), ("arm[1]", "RestlessBandit of them")),
        (lambda: me.gittins_index(me.random_bandit(3, 4, 1), [0, 1, 2]), ("the bandit has its own",)),
        (lambda: me.gittins_index(me.random_bandit(3, 4, 1)), ("arm type 0, which moves", "me.whittle_index")),
        (lambda: me.gittins_index(me.RestlessBandit([np.eye(2)] * 2, [0, 1], n_arms=2, budget=1, discount=0.9)),
         ("is paid while passive",)),
        (lambda: me.gittins_index(me.JointChain(np.eye(4), (2, 2))), ("a JointChain", "me.WeaklyCoupledMDP")),
    ],
)  # fmt: skip
def test_refusals(call: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as e:
        call()
    assert isinstance(e.value, InvalidInput | Unsupported)
    assert not [w for w in words if w not in str(e.value)], str(e.value)
