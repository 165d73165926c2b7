"""k-step certificate, span and spectral bounds, against values solved by outside code."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles_values as oracle
from markov_entanglement.errors import InvalidInput, SeveralRecurrentClasses
from markov_entanglement.model.mdp import JointChain
from markov_entanglement.model.policy import IndexPolicy
from markov_entanglement.model.weakly_coupled import WeaklyCoupledMDP
from markov_entanglement.values.bounds import span_bounds
from markov_entanglement.values.certificate import certificate

SIZES = st.sampled_from([(2, 2), (3, 2), (4, 3), (2, 2, 2), (3, 2, 2)])
KS = (1, 4, 16, 64)
NORMS = ("mu", "sup", "l2")


def contains(c, truth, gamma):
    for norm in NORMS:
        for k, (low, high) in getattr(c, norm).items():
            assert low <= truth[norm] * (1 + 1e-9) + 1e-9
            assert truth[norm] <= high * (1 + 1e-9) + 1e-9
            if k == 64 and gamma <= 0.9 and truth[norm] > 1e-9:
                assert high <= 1.1 * truth[norm] and low >= 0.9 * truth[norm]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    SIZES,
    st.sampled_from([1.0, 0.3]),
    st.sampled_from([0.0, 0.5, 0.9, 0.99]),
    st.sampled_from(["random", "local", "exact", "zero"]),
)
def test_contains_the_truth(seed, sizes, density, gamma, kind):
    """k = 1, 4, 16, 64, three norms, any candidate; within 10 % of the truth at k = 64, gamma .9."""
    rng = np.random.default_rng(seed)
    p, tables = oracle.random_joint(rng, sizes, density), oracle.random_tables(rng, sizes)
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    q = oracle.q_values(p, oracle.reward_on(pairs, tables), gamma)
    d = {
        "random": rng.normal(size=len(q)),
        "local": oracle.reward_on(pairs, oracle.local_q(p, pairs, mu, tables, gamma)),
        "exact": q,
        "zero": np.zeros(len(q)),
    }[kind]
    c = certificate(JointChain(p, sizes).under(), tables, gamma, d, ks=KS)
    contains(c, oracle.norms(q - d, mu), gamma)


def test_interval_by_its_definition():
    """`b_k / (1 + gamma^k)` and `b_k / (1 - gamma^k)` with T applied k times, and the sides meet as k grows."""
    rng = np.random.default_rng(0)
    p, tables = oracle.random_joint(rng, (2, 2)), oracle.random_tables(rng, (2, 2))
    pairs, mu, gamma, d = oracle.product((2, 2)), oracle.stationary(p), 0.8, rng.normal(size=4)
    chain = JointChain(p, (2, 2)).under()
    c = certificate(chain, tables, gamma, d, ks=(16, 3, 1, 16, 200))
    assert list(c.mu) == [1, 3, 16, 200]
    for k in (1, 3, 16):
        image = d
        for _ in range(k):
            image = oracle.reward_on(pairs, tables) + gamma * p @ image
        for norm, b in oracle.norms(image - d, mu).items():
            low, high = getattr(c, norm)[k]
            assert low == pytest.approx(b / (1 + gamma**k), rel=1e-9)
            assert high == pytest.approx(b / (1 - gamma**k), rel=1e-9)
    low, high = c.interval("l2")
    assert low <= high <= low * (1 + 1e-9)


def test_candidates_of_every_kind():
    rng = np.random.default_rng(1)
    sizes = (3, 2)
    p, tables = oracle.random_joint(rng, sizes), oracle.random_tables(rng, sizes)
    chain, local = JointChain(p, sizes).under(), oracle.random_tables(rng, sizes)
    want = certificate(chain, tables, 0.9, oracle.reward_on(oracle.product(sizes), local)).to_dict()
    called = certificate(chain, tables, 0.9, lambda x: float(local[0][x[0]] + local[1][x[1]])).to_dict()
    summed = certificate(chain, tables, 0.9, tuple(local)).to_dict()
    for norm in NORMS:
        for k in KS:
            assert called[norm][k] == pytest.approx(want[norm][k], rel=1e-12)
            assert summed[norm][k] == pytest.approx(want[norm][k], rel=1e-12)


def test_transient_pairs_do_not_count():
    """Recurrent pairs are closed: NaN and nonsense elsewhere change nothing, in the sup norm either."""
    rng = np.random.default_rng(2)
    p = np.zeros((6, 6))
    p[:, :4] = oracle.laws(rng, 6, 4)
    chain, tables = JointChain(p, (3, 2)).under(), [[0.0, 1.0, 5.0], [1.0, 2.0]]
    q = oracle.q_values(p, oracle.reward_on(oracle.product((3, 2)), tables), 0.9)
    d = np.zeros(6)
    dirty = np.array([0.0, 0.0, 0.0, 0.0, np.nan, 1e12])
    assert certificate(chain, tables, 0.9, dirty).to_dict() == certificate(chain, tables, 0.9, d).to_dict()
    contains(certificate(chain, tables, 0.9, d), oracle.norms(q, oracle.stationary(p)), 0.9)
    holes = [[0.0, 0.0, np.nan], [0.0, 0.0]]
    assert certificate(chain, tables, 0.9, holes).sup == certificate(chain, tables, 0.9, d).sup


def test_periodic_chain_and_budget():
    cycle = np.roll(np.eye(4), 1, axis=1)
    chain, tables = JointChain(cycle, (2, 2)).under(), [[0.0, 1.0], [2.0, 0.0]]
    q = oracle.q_values(cycle, oracle.reward_on(oracle.product((2, 2)), tables), 0.9)
    contains(certificate(chain, tables, 0.9, np.ones(4)), oracle.norms(q - 1, np.full(4, 0.25)), 0.9)
    rng = np.random.default_rng(0)
    kernels = [oracle.laws(rng, 6, 3).reshape(2, 3, 3) for _ in range(3)]
    rewards = [[0.0, 1.0, 2.0]] * 3
    system = WeaklyCoupledMDP(kernels, rewards, discount=0.9, budget=1)
    chain = system.under(IndexPolicy([1, 2, 3]))
    p = chain.step.toarray()
    r = oracle.reward_on([tuple(x) for x in chain.pairs], [np.repeat(t, 2) for t in rewards])
    d = rng.normal(size=chain.n_pairs)
    truth = oracle.norms(oracle.q_values(p, r, 0.9) - d, oracle.stationary(p))
    contains(certificate(chain, None, None, d), truth, 0.9)


def test_a_wrong_truth_is_excluded():
    """Negative control: the bracket at k = 64 does not contain 1.5 times the error."""
    p = oracle.random_joint(np.random.default_rng(0), (2, 2))
    chain = JointChain(p, (2, 2)).under()
    q = oracle.q_values(p, oracle.reward_on(oracle.product((2, 2)), [[0, 1], [0, 1]]), 0.9)
    truth = oracle.norms(1.5 * q, oracle.stationary(p))
    with pytest.raises(AssertionError):
        contains(certificate(chain, [[0, 1], [0, 1]], 0.9, np.zeros(4)), truth, 0.9)


def test_json_form():
    chain = JointChain(np.full((4, 4), 0.25), (2, 2)).under()
    form = certificate(chain, [[0, 1], [0, 1]], 0.9, np.zeros(4), ks=(1, 64)).to_dict()
    assert set(form) == set(NORMS) and list(form["mu"]) == [1, 64]
    assert json.loads(json.dumps(form))["sup"]["64"] == form["sup"][64]


CHAIN = JointChain(np.full((6, 6), 1 / 6), (3, 2), rewards=[[0, 1, 2], [0, 1]], discount=0.9).under()


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (np.zeros(5), "shape 5; the shape must be 6"),
        (np.zeros((6, 1)), "shape 6x1"),
        (3.0, "a single number"),
        ("values", "entries of type"),
        (np.zeros(6, dtype=complex), "complex"),
        (np.full(6, np.nan), r"nan at local pairs \(0, 0\)"),
        (np.full(6, np.inf), "must be finite"),
        ([[0, 1, 2]], "1 local tables"),
        ([[0, 1, 2], [0, 1, 2]], r"candidate\[1\]"),
        ([[0, 1, 2], [[0], [1, 2]]], r"candidate\[1\]"),
        ([[0, 1, np.nan], [0, 1]], "nan"),
        (lambda x: None, "must be a real number"),
        (lambda x: float("nan"), "must be finite"),
    ],
)
def test_malformed_candidates(candidate, message):
    with pytest.raises(InvalidInput, match=message):
        certificate(CHAIN, None, None, candidate)


@pytest.mark.parametrize("ks", [(), (0,), (1.5,), (True,), 4, "64", (-1, 4)])
def test_malformed_steps(ks):
    with pytest.raises(InvalidInput, match="ks"):
        certificate(CHAIN, None, None, np.zeros(6), ks=ks)


def test_other_errors():
    with pytest.raises(InvalidInput, match="norm"):
        certificate(CHAIN, None, None, np.zeros(6)).interval("L1")
    with pytest.raises(InvalidInput, match="discount"):
        certificate(CHAIN, None, 1.0, np.zeros(6))
    with pytest.raises(InvalidInput, match="rewards"):
        certificate(JointChain(np.full((4, 4), 0.25), (2, 2)).under(), None, 0.9, np.zeros(4))
    with pytest.raises(SeveralRecurrentClasses):
        certificate(JointChain(np.eye(4), (2, 2)).under(), [[0, 1], [0, 1]], 0.9, np.zeros(4))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), SIZES, st.sampled_from([1.0, 0.3]), st.sampled_from([0.5, 0.9]))
def test_span_and_spectral_bounds(seed, sizes, density, gamma):
    """Both are at least the truth, computed from rows and local values only."""
    rng = np.random.default_rng(seed)
    p, tables = oracle.random_joint(rng, sizes, density), oracle.random_tables(rng, sizes)
    pairs, mu = oracle.product(sizes), oracle.stationary(p)
    chain = JointChain(p, sizes).under()
    local = oracle.local_q(p, pairs, mu, tables, gamma)
    q = oracle.q_values(p, oracle.reward_on(pairs, tables), gamma)
    truth = oracle.norms(q - oracle.reward_on(pairs, local), mu)
    rows = [chain.rows(i) for i in range(len(sizes))]
    spans = span_bounds(rows, local, gamma)
    assert spans.mu >= truth["mu"] - 1e-10 and spans.sup >= truth["sup"] - 1e-10
    mean = worst = 0.0
    for i, m in enumerate(sizes):
        law, fit = oracle.next_law(p, pairs, i, m), oracle.local_transition(p, pairs, mu, i, m)
        gaps = np.array([oracle.tv(law[x], fit[pair[i]]) for x, pair in enumerate(pairs)])
        mean, worst = mean + mu @ gaps * np.ptp(local[i]), worst + gaps.max() * np.ptp(local[i])
    assert spans.mu == pytest.approx(gamma / (1 - gamma) * mean, abs=1e-9)
    assert spans.sup == pytest.approx(gamma / (1 - gamma) * worst, abs=1e-9)
    bound = span_bounds(rows, local, gamma).l2
    assert bound >= truth["l2"] - 1e-10
    spread = [
        np.sqrt(mu @ (v - mu @ v) ** 2) for i in range(len(sizes)) for v in [local[i][[x[i] for x in pairs]]]
    ]
    sigma = [oracle.spectral(p, pairs, mu, i, m) for i, m in enumerate(sizes)]
    assert bound == pytest.approx(gamma / (1 - gamma) * np.dot(sigma, spread), abs=1e-8)
