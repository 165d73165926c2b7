"""Lemma G.1: the stationary law of the local transition is the marginal of the joint one.

With `mu` the stationary law of the joint pairs, `mu_i(t) = sum_{x: x_i = t} mu(x)` and `P_i` of Eq. 2,

    P_i(t | k) = sum_{x: x_i = k} mu(x) p_i(t | x) / mu_i(k),

every row of `P_i` over the visited pairs is a law on them and `mu_i P_i = mu_i`.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

import markov_entanglement as me
from helpers import Case, build, cases, gth


def marginal(chain: me.Chain, i: int) -> np.ndarray:
    return np.bincount(chain.pairs[:, i], chain.occupancy, minlength=chain.sizes[i])


@given(cases())
@settings(max_examples=60)
def test_marginals_are_stationary(case: Case) -> None:
    chain, truth = case.chain, case.truth
    at = truth.position(chain)
    assert np.abs(chain.occupancy[at] - truth.mu).max() < 1e-12
    for i in range(chain.n_agents):
        mu_i, p_i = marginal(chain, i), chain.local_transition(i)
        seen = mu_i > 0
        assert (np.isnan(p_i[:, 0]) == ~seen).all()
        block = p_i[np.ix_(seen, seen)]
        assert np.abs(block.sum(axis=1) - 1).max() < 1e-10  # never leads to a pair that is never visited
        assert np.abs(mu_i[seen] @ block - mu_i[seen]).max() < 1e-12


@given(cases(kinds=("chain",), agents=(1, 1)))
@settings(max_examples=10)
def test_one_agent_is_its_own_marginal(case: Case) -> None:
    """Extreme: with one agent `P_1 = P` on the recurrent pairs, and E = 0."""
    p, on = case.chain.local_transition(0), case.truth.recurrent
    assert np.abs(p[np.ix_(on, on)] - case.truth.p[np.ix_(on, on)]).max() < 1e-13
    assert me.entanglement(case.chain).total < 1e-15


@pytest.mark.parametrize("d", [2, 3, 5])
def test_periodic_extreme(d: int) -> None:
    """Two clocks in step: each sees a clock of its own, and its law is uniform although the chain has period d."""
    p = np.zeros((d * d, d * d))
    for a in range(d):
        for b in range(d):
            p[d * a + b, d * ((a + 1) % d) + (b + 1) % d] = 1.0
    chain = me.JointChain(p, (d, d)).under(initial=(0, 0))
    assert chain.n_pairs == d
    assert chain.local_transition(0).tolist() == np.roll(np.eye(d), 1, axis=1).tolist()
    assert marginal(chain, 1).tolist() == pytest.approx([1 / d] * d)


def test_unweighted_means_are_not_stationary() -> None:
    """Negative control: averaging the laws of a local pair without mu gives another stationary law."""
    case = build("chain", (2, 3), (1, 1), "uniform", False, 1)
    chain = case.chain
    law, key = chain.next_law(0), chain.pairs[:, 0]
    plain = np.stack([law[key == k].mean(axis=0) for k in range(2)])
    assert np.abs(gth(plain) - marginal(chain, 0)).max() > 1e-3
    assert np.abs(gth(chain.local_transition(0)) - marginal(chain, 0)).max() < 1e-13
