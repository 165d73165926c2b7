"""Decision loss (spec 9.4): numbers of the circulant bandit, brute force on raw arrays, what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput
from markov_entanglement.values.decision import mean_ranks


@pytest.mark.parametrize("id", ["circulant", "circulant-bandit"])
@pytest.mark.parametrize("gamma, loss", [(0.5, 3.2801e-05), (0.9, 0.000112262)])
def test_circulant(id, gamma, loss):
    found = me.decision_loss(me.gallery.build(id, n_arms=5, discount=gamma).chain())
    assert found.loss == pytest.approx(loss, rel=5e-5 if gamma == 0.5 else 5e-6)
    assert found.right == pytest.approx(0.999581, abs=5e-7) and found.excluded == 0.0
    if gamma == 0.9:
        assert found.share == pytest.approx(5.6e-5, rel=1e-2)


def mdp(seed):
    rng = np.random.default_rng(seed)
    kernel = rng.dirichlet(np.full(6, 0.5), (6, 4))
    rewards = [rng.normal(size=(3, 2)), rng.normal(size=(2, 2))]
    policy = rng.dirichlet(np.ones(4), 6)
    return kernel, rewards, policy


@pytest.mark.parametrize("seed", range(5))
def test_against_brute_force(seed):
    kernel, rewards, policy = mdp(seed)
    chain = me.MultiAgentMDP(kernel, rewards, n_states=(3, 2), n_actions=(2, 2), discount=0.9).under(policy)
    total = np.array(
        [[rewards[0][s // 2, a // 2] + rewards[1][s % 2, a % 2] for a in range(4)] for s in range(6)]
    )
    step = np.einsum("sa,sat->st", policy, kernel)
    v = np.linalg.solve(np.eye(6) - 0.9 * step, (policy * total).sum(axis=1))
    q = total + 0.9 * kernel @ v
    nu = np.linalg.solve(np.vstack([(np.eye(6) - step).T[:-1], np.ones(6)]), np.eye(6)[-1])
    rng = np.random.default_rng(seed + 100)
    guess = [rng.normal(size=6), rng.normal(size=4)]
    d = np.array(
        [[guess[0][s // 2 * 2 + a // 2] + guess[1][s % 2 * 2 + a % 2] for a in range(4)] for s in range(6)]
    )
    pick = d.argmax(axis=1)
    found = me.decision_loss(chain, candidate=guess)
    lost = q.max(axis=1) - q[np.arange(6), pick]
    assert found.loss == pytest.approx(nu @ lost, rel=1e-9) and found.right == pytest.approx(nu @ (lost == 0))


def test_a_sum_that_picks_true_maximisers_loses_nothing():
    kernel, rewards, policy = mdp(7)
    even = np.broadcast_to(kernel.mean(axis=(0, 1)), kernel.shape)  # the next state depends on nothing
    chain = me.MultiAgentMDP(even, rewards, n_states=(3, 2), n_actions=(2, 2), discount=0.9).under(policy)
    assert me.decision_loss(chain).loss == pytest.approx(0.0, abs=1e-12)
    assert me.decision_loss(chain).right == pytest.approx(1.0)


def test_never_visited_local_pairs_are_valued_one_step_ahead_or_left_out():
    kernels = [np.array([[[0.9, 0.1], [0.3, 0.7]], [[0.2, 0.8], [0.1, 0.9]]])] * 2
    system = me.WeaklyCoupledMDP(kernels, [[0.0, 1.0]] * 2, discount=0.9)
    chain = system.under(me.LocalPolicy([[[1.0, 0.0], [1.0, 0.0]]] * 2))  # nobody is ever served
    found = me.decision_loss(chain)
    assert found.excluded == 0.0 and "one step ahead" in found.note and found.right == pytest.approx(1.0)
    full = np.einsum("asx,bty->stabxy", *kernels).reshape(4, 4, 4)
    general = me.MultiAgentMDP(full, [[0.0, 1.0]] * 2, n_states=(2, 2), n_actions=(2, 2), discount=0.9)
    table = np.zeros((4, 4))
    table[:, 0] = 1.0
    lost = me.decision_loss(general.under(table))
    assert lost.excluded == 1.0 and "left out" in lost.note


def test_one_action_leaves_nothing_to_decide():
    found = me.decision_loss(me.gallery.build("appendix-e").chain())
    assert (found.loss, found.right) == (0.0, 1.0) and "nothing to decide" in found.note
    with pytest.raises(InvalidInput, match=r"one table \(m_i,\) for each"):
        me.decision_loss(me.gallery.build("appendix-e").chain(), candidate=np.zeros(4))


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 6), (2, 5, 9)])
def test_equal_numbers_share_a_rank(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(len(shape)).integers(0, 4, shape).astype(float)
    assert (mean_ranks(x) + 1.0 == rankdata(x, axis=-1)).all()
