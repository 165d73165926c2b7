"""The whole answer for a bandit: its sentence, its separability, its bounds and its JSON."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.analysis import parts
from markov_entanglement.errors import TooLarge
from markov_entanglement.report.document import Document

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
ORDER = me.IndexPolicy([1, 2, 3, 0])


def circulant(n, rewards=(-1.0, 0.0, 0.0, 1.0), discount=0.5):
    return me.RestlessBandit([P0, P0.T], rewards, n_arms=n, budget=n // 5, discount=discount)


@pytest.fixture(scope="module")
def small() -> me.Analysis:
    return me.analyze(circulant(10), ORDER, rng=0)


@pytest.fixture(scope="module")
def large() -> me.Analysis:
    return me.analyze(circulant(1800), ORDER, rng=0, tolerance=0.044)


def test_every_exact_distance_by_default(small):
    assert tuple(small.entanglements) == ("mu-atv", "atv", "policy", "kernel", "spectral")
    with pytest.raises(KeyError):
        me.analyze(circulant(10), ORDER, distances=["policy"]).entanglements["atv"]


def test_theorem_h2_bounds_the_largest_error(small):
    bounds = {b.name: b for b in small.bounds}
    bound = bounds["Theorem H.2"]
    e = small.entanglements["atv"].worst
    assert (bound.distance, bound.norm) == ("atv", "sup")
    assert np.isclose(bound.value, 4 * 0.5 * 10 * e * 1.0 / 0.5**2) and bound.truth == small.values.error(
        "sup"
    )
    assert all(b.value >= b.truth for b in small.bounds)
    assert bounds["Theorem H.2, half spans"].value <= bound.value


def test_names_that_joint_chains_have_too(small, large):
    for found in (small, large):
        assert found.decomposition is found.values is not None
        d = found.to_dict()
        Document.model_validate(d)
        assert d["no_values"] is None
        assert d["separability"]["agentwise"] == found.agentwise
    assert small.agentwise == "entangled" and large.agentwise is None
    d = small.to_dict()
    assert d["transition_bias"]["mu-atv"][0] <= d["entanglement"]["mu-atv"]["per_agent"][0]
    assert set(d["solvers"]) == {"stationary", "values"} and d["separability"]["gap"] > 0.1
    assert d["values"]["joint_additive"]["vdn_gap"] > 0 and len(d["breakdown"]["per_pair"][0]) == 8
    assert d["breakdown"]["alike"][0] < d["breakdown"]["remaining"][0][0]
    assert not large.to_dict()["solvers"] and large.to_dict()["error_budget"] is None


@pytest.mark.parametrize("n", [10, 1800])
@pytest.mark.parametrize("policy", [me.UniformPolicy(), me.IndexPolicy([0, 0, 0, 0])], ids=["uniform", "one"])
def test_separable_by_theorem(policy, n):
    found = me.analyze(circulant(n), policy, rng=0, tolerance=0.0)
    assert (found.agentwise, found.verdict) == ("separable", "add")
    assert "exactly, for every reward" in found.sentence
    assert "service ignores the local states" in found.to_dict()["separability"]["explanation"]
    assert found.interval[0] == 0.0 and found.interval[1] < 1e-10


def test_separability_is_decided_on_all_rows(small):
    """The same answer whatever was measured: laws on all pairs of counts, transient ones included."""
    again = me.analyze(circulant(10), ORDER, rng=0, distances=["policy"])
    assert (
        again.agentwise == "entangled"
        and again.separability.agentwise_gap == small.separability.agentwise_gap
    )
    atv = me.entanglement(small.chain, "atv", support="reachable").worst
    assert atv <= small.separability.agentwise_gap / 2 * 2 <= 4 * atv  # an L1 diameter, twice TV


def test_same_kernels_do_not_hide_the_service():
    """Arms that ignore their action still show who is served: entangled, though the values add up."""
    bandit = me.RestlessBandit([P0, P0], [-1.0, 0, 0, 1], n_arms=6, budget=2, discount=0.5)
    found = me.analyze(bandit, ORDER)
    assert found.agentwise == "entangled" and found.values.unexplained < 1e-10 and found.verdict == "add"
    assert "exactly" not in found.sentence


def test_too_large_a_question_is_undecided(monkeypatch):
    def refuse(*_, **__):
        raise TooLarge("rows", "9", "8", "Wait.")

    monkeypatch.setattr(parts, "separability", refuse)
    found = me.analyze(circulant(6), ORDER, distances=["policy"])
    assert found.agentwise == "undecided" and "separability" in dict(found.refused)


def test_constant_q_in_a_large_bandit_adds_up():
    found = me.analyze(circulant(1800, np.ones(4)), ORDER, rng=0)
    assert found.verdict == "add" and found.interval == (0.0, 0.0) and "misses 0 %" in found.sentence


def _with_interval(found, low, high, value):
    wrong = dataclasses.replace(found.values, unexplained=value, unexplained_interval=(low, high))
    return dataclasses.replace(found, decomposition=wrong)


def test_sentences_of_estimates(large):
    assert large.verdict == "cannot-tell"
    assert "me.estimate_error(" in large.sentence and "starts=" in large.sentence
    none = _with_interval(large, math.nan, math.nan, math.inf)
    assert (
        none.verdict == "cannot-tell" and "no spread" in none.sentence and "all to all" not in none.sentence
    )
    assert "me.estimate_error(" in none.sentence
    wrong = _with_interval(large, math.inf, math.inf, math.inf)
    assert wrong.verdict == "do-not-add" and wrong.sentence.startswith("No: Q has no spread")
    assert _with_interval(large, 0.0, 0.01, 0.005).verdict == "add"
    assert _with_interval(large, 0.2, 0.3, 0.25).sentence.startswith(
        "No: the sum of local values misses 20 %"
    )


def test_no_values_no_verdict(small):
    empty = dataclasses.replace(small, decomposition=None)
    assert empty.verdict == "cannot-tell" and empty.interval is None and empty.to_dict()["values"] is None
    proof = dataclasses.replace(small.separability, agentwise="separable")
    sure = dataclasses.replace(empty, separability=proof)
    assert sure.verdict == "add" and "for every reward" in sure.sentence
