"""Error budget (spec 9.2): numbers of the circulant bandit, Pythagoras, candidates, on joint chains and counts."""

from __future__ import annotations

import numpy as np
import pytest

import markov_entanglement as me
import oracles_space as o
from markov_entanglement.errors import InvalidInput


@pytest.mark.parametrize("id", ["circulant", "circulant-bandit"])
@pytest.mark.parametrize(
    "gamma, error, floor, bias, joint",
    [(0.5, 0.0516163, 0.0113839, 0.0503453, 0.0113848), (0.9, 0.2795168, 0.0535600, 0.2743373, 0.0535896)],
)
def test_circulant(id, gamma, error, floor, bias, joint):
    chain = me.gallery.build(id, n_arms=5, discount=gamma).chain()
    found = me.error_budget(chain)
    np.testing.assert_allclose([found.error, found.floor, found.bias], [error, floor, bias], atol=5e-8)
    assert found.noise is None
    better = me.additive_values(chain)
    assert better.error("l2") == pytest.approx(joint, abs=5e-8)
    again = me.error_budget(chain, candidate=better.local_q)
    assert again.floor == pytest.approx(floor, abs=5e-8) and again.error == pytest.approx(joint, abs=5e-8)
    if gamma == 0.9:
        assert found.unexplained_floor == pytest.approx(0.0264986, abs=5e-8)


def random_chain(seed, sizes=(3, 2, 2)):
    rng = np.random.default_rng(seed)
    n = int(np.prod(sizes))
    p = rng.dirichlet(np.full(n, 0.4), n)
    rewards = [rng.normal(size=m) for m in sizes]
    return p, rewards, me.JointChain(p, sizes, rewards=rewards, discount=0.9).under(), sizes


@pytest.mark.parametrize("seed", range(6))
def test_against_least_squares_on_raw_arrays(seed):
    p, rewards, chain, sizes = random_chain(seed)
    pairs, mu = o.product(sizes), o.stationary(p)
    q = np.linalg.solve(np.eye(len(p)) - 0.9 * p, sum(r[pairs[:, i]] for i, r in enumerate(rewards)))
    design = np.concatenate([pairs[:, i, None] == np.arange(m) for i, m in enumerate(sizes)], axis=1)
    root = np.sqrt(mu)[:, None]
    best = design @ np.linalg.lstsq(root * design, root[:, 0] * q, rcond=None)[0]
    found = me.error_budget(chain)
    assert found.floor == pytest.approx(np.sqrt(mu @ (q - best) ** 2), abs=1e-9)
    assert found.error**2 == pytest.approx(found.floor**2 + found.bias**2, rel=1e-10)
    rng = np.random.default_rng(seed)
    guess = [rng.normal(size=m) for m in sizes]
    d = sum(t[pairs[:, i]] for i, t in enumerate(guess))
    any_ = me.error_budget(chain, candidate=guess)
    assert any_.error == pytest.approx(np.sqrt(mu @ (q - d) ** 2), rel=1e-9)
    assert any_.bias == pytest.approx(np.sqrt(mu @ (best - d) ** 2), rel=1e-9)
    assert any_.floor == pytest.approx(found.floor, rel=1e-9)  # no candidate beats it


def test_values_that_are_no_sum_are_refused():
    _, _, chain, _ = random_chain(1)
    with pytest.raises(InvalidInput, match=r"no sum|miss the nearest sum.*me.certificate"):
        me.error_budget(chain, candidate=me.value_decomposition(chain).joint_q)
    assert me.certificate(chain, None, None, me.value_decomposition(chain).joint_q).mu[1][0] == 0.0
