"""Interaction orders (spec 9.3): numbers of the circulant bandit, least squares on raw arrays, best pairs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import markov_entanglement as me
import oracles_space as o
from markov_entanglement.errors import InvalidInput


@pytest.mark.parametrize("id", ["circulant", "circulant-bandit"])
@pytest.mark.parametrize(
    "gamma, want",
    [(0.5, [1, 0.0065466, 0.0029007, 0.0009631, 0]), (0.9, [1, 0.0264986, 0.0090294, 0.0028206, 0])],
)
def test_circulant(id, gamma, want):
    chain = me.gallery.build(id, n_arms=5, discount=gamma).chain()
    found = me.interaction_orders(chain, upto=4)
    np.testing.assert_allclose(found.unexplained, want, atol=5e-8)


def test_least_squares_and_best_pairs_on_raw_arrays():
    rng = np.random.default_rng(3)
    sizes = (2, 3, 2, 2)
    pairs = o.product(sizes)
    p = rng.dirichlet(np.full(24, 0.5), 24)
    rewards = [rng.normal(size=m) for m in sizes]
    mu = o.stationary(p)
    q = np.linalg.solve(np.eye(24) - 0.9 * p, sum(r[pairs[:, i]] for i, r in enumerate(rewards)))
    found = me.interaction_orders(me.JointChain(p, sizes, rewards=rewards, discount=0.9).under())

    def left(groups):
        columns = [
            (pairs[:, list(g)] == v).all(axis=1) for g in groups for v in o.product([sizes[i] for i in g])
        ]
        root = np.sqrt(mu)
        a = root[:, None] * np.stack(columns, axis=1)
        rest = root * q - a @ np.linalg.lstsq(a, root * q, rcond=None)[0]
        return np.linalg.norm(rest) / np.sqrt(mu @ (q - mu @ q) ** 2)

    for k in (1, 2, 3):
        assert found.unexplained[k] == pytest.approx(
            left(list(itertools.combinations(range(4), k))), abs=1e-9
        )
    chosen = [(i,) for i in range(4)]
    for best in found.best_pairs:
        rest = {g: left([*chosen, g]) for g in itertools.combinations(range(4), 2) if g not in chosen}
        assert min(rest, key=rest.get) == best.agents and best.unexplained == pytest.approx(
            min(rest.values()), abs=1e-9
        )
        chosen.append(best.agents)
    assert len(found.best_pairs) == 3 and found.to_dict()["best_pairs"][0]["names"] == list(
        found.best_pairs[0].names
    )


def test_what_adds_up_leaves_nothing():
    found = me.interaction_orders(me.gallery.build("parity").chain())
    assert found.unexplained.tolist() == [1, 0, 0, 0] and found.best_pairs == ()
    with pytest.raises(InvalidInput, match="upto"):
        me.interaction_orders(me.gallery.build("parity").chain(), upto=0)
