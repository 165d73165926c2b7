"""What `analyze` decides by itself: which parts it takes, what it says of them."""

from __future__ import annotations

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.errors import Unsupported


def leaning(states: int = 3, agents: int = 3) -> me.Chain:
    """Weakly coupled agents without a budget under a random joint policy."""
    rng = np.random.default_rng(0)
    kernels = rng.dirichlet(np.ones(states), size=(agents, 2, states))
    system = me.WeaklyCoupledMDP(list(kernels), [np.arange(states)] * agents, discount=0.9)
    return system.under(rng.dirichlet(np.ones(2**agents), size=states**agents))


def test_long_programs_run_only_when_asked_for() -> None:
    chain = leaning()
    found = me.analyze(chain)
    assert {"tv", "mu-tv"} <= {name for name, _ in found.refused}
    assert "asked for by name" in dict(found.refused)["tv"]
    assert chain.n_pairs**2 > tol.JOINT_ENTRIES_UNASKED[1]
    small = me.analyze(me.gallery.build("parity").chain())
    assert small.entanglements["tv"].value == pytest.approx(0.5)
    assert me.analyze(small.chain, distances="tv").entanglements.keys() == {"tv"}  # one name is a list of one


def test_the_witness_uses_the_discount_of_the_analysis() -> None:
    chain = me.gallery.build("appendix-e").chain()
    for gamma in (0.5, 0.99):
        assert me.analyze(chain, discount=gamma).separability.witness.discount == gamma
    assert me.analyze(chain).separability.witness.discount == chain.discount


def test_entangled_on_transient_pairs_only_is_said() -> None:
    p = np.array([[0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0], [0.9, 0.1, 0, 0], [0.1, 0.9, 0, 0]])
    found = me.analyze(me.JointChain(p, [2, 2], rewards=[[0, 1], [0, 1]], discount=0.9))
    assert found.agentwise == "entangled" and found.entanglements["atv"].per_agent.max() == 0
    assert "transient pairs" in found.summary()
    assert "transient pairs" not in me.analyze(me.gallery.build("appendix-e").chain()).summary()


def test_a_shared_reward_that_is_no_sum_is_to_blame() -> None:
    p = np.kron([[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.4, 0.6]])
    found = me.analyze(me.JointChain(p, (2, 2), rewards=np.array([0, 1.0, 1, 0]), discount=0.5))
    assert found.agentwise == "separable" and found.verdict == "do-not-add"
    assert "shared reward itself is no sum" in found.sentence
    sum_ = me.analyze(me.JointChain(p, (2, 2), rewards=np.array([0, 1.0, 2, 3]), discount=0.5))
    assert sum_.verdict == "add"


def test_questions_take_systems_and_chains_alike() -> None:
    system = me.gallery.build("parity").system
    chain = system.under()
    assert me.value_decomposition(system).error("sup") == me.value_decomposition(chain).error("sup")
    zero = np.zeros(8)
    assert me.certificate(system, None, None, zero).mu == me.certificate(chain, None, None, zero).mu
    assert me.additive_values(system).vdn_gap.value == me.additive_values(chain).vdn_gap.value
    with pytest.raises(Unsupported, match="policy inside"):
        me.analyze(system, me.UniformPolicy())


def test_bandits_are_told_where_to_go() -> None:
    bandit = me.gallery.build("circulant-bandit", n_arms=5).system
    chain = bandit.under(me.IndexPolicy([1, 2, 3, 0]))
    for ask in (
        lambda: me.optimal_policy(bandit),
        lambda: me.local_polytope(chain),
        lambda: me.entanglement(chain, "tv"),
    ):
        with pytest.raises(Unsupported):
            ask()
    by_result = me.IndexPolicy(me.whittle_index(bandit))
    assert by_result.ranks(1)[0].tolist() == me.IndexPolicy([1, 2, 3, 0]).ranks(1)[0].tolist()
