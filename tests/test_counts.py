"""Count-space simulation against exact laws: served counts, next counts, flows, and paths of small systems."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from math import comb, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy import stats

from markov_entanglement._hypergeometric import hypergeometric
from markov_entanglement.bandits.count_chain import count_chain
from markov_entanglement.bandits.counts import CountEngine, serve
from markov_entanglement.bandits.simulate import simulate
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported
from markov_entanglement.model.bandit import RestlessBandit
from markov_entanglement.model.mdp import JointChain, MultiAgentMDP
from markov_entanglement.model.policy import IndexPolicy, LocalPolicy, UniformPolicy
from markov_entanglement.model.weakly_coupled import WeaklyCoupledMDP

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
PRIORITY = IndexPolicy([1, 2, 3, 0])


def circulant(n, discount=0.5):
    return RestlessBandit([P0, P0.T], [-1, 0, 0, 1], n_arms=n, budget=n // 5, discount=discount)


def small_kernels(types, states, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(states), size=(types, 2, states))


def p_value(observed, law):
    """Chi-square p-value of a Counter against an exact law; rare outcomes are pooled."""
    total = sum(observed.values())
    assert set(observed) <= set(law), "an impossible outcome"
    rows = sorted(((law[k] * total, observed.get(k, 0)) for k in law), reverse=True)
    common = [r for r in rows if r[0] >= 8]
    rest = np.sum([r for r in rows if r[0] < 8] + [(0.0, 0)], axis=0)
    if rest[0] > 0.5:
        common.append(tuple(rest))
    expected, seen = np.array(common).T
    return stats.chi2.sf(((seen - expected) ** 2 / expected).sum(), len(common) - 1)


# --- draws -----------------------------------------------------------------------------------------------


@njit
def _binomials(rng, n, p, out):
    for i in range(len(out)):
        out[i] = rng.binomial(n, p)


@njit
def _hypergeometrics(rng, good, bad, sample, out):
    for i in range(len(out)):
        out[i] = hypergeometric(rng, good, bad, sample)


@pytest.mark.parametrize("n", [1, 7, 40, 1000, 10**6, 10**9, 10**12])
@pytest.mark.parametrize("p", [0.5, 0.03, 0.97, 1 / 3])
def test_compiled_binomial_is_numpys_stream(n, p):
    ours, theirs = np.empty(200, np.int64), np.random.default_rng(5).binomial(n, p, 200)
    _binomials(np.random.default_rng(5), n, p, ours)
    assert (ours == theirs).all()


CASES = [(10, 10, 5), (30, 40, 20), (100, 50, 75), (50, 100, 120), (13, 13, 13), (400, 30, 35), (3, 5, 6),
         (60, 40, 97), (1000, 2000, 1500), (20, 10**9, 10**8), (10**6, 10**6, 10**6)]  # fmt: skip


@pytest.mark.parametrize("good, bad, sample", CASES)
def test_hypergeometric_law(good, bad, sample):
    out = np.empty(40_000, np.int64)
    _hypergeometrics(np.random.default_rng(3), good, bad, sample, out)
    d = stats.hypergeom(good + bad, good, sample)
    edges = np.unique(np.linspace(d.ppf(1e-3), d.ppf(1 - 1e-3), 30).astype(np.int64))
    law = np.diff(np.concatenate([[0.0], d.cdf(edges), [1.0]]))
    cell = np.searchsorted(edges, out)
    assert p_value(Counter(cell.tolist()), dict(enumerate(law))) > 1e-4
    assert out.min() >= max(0, sample - bad) and out.max() <= min(good, sample)


def test_hypergeometric_law_negative_control():
    out = np.empty(40_000, np.int64)
    _hypergeometrics(np.random.default_rng(3), 1000, 2000, 1490, out)
    d = stats.hypergeom(3000, 1000, 1500)
    low = (out <= d.ppf(0.5)).sum()
    assert stats.binomtest(int(low), len(out), d.cdf(d.ppf(0.5))).pvalue < 1e-10


@pytest.mark.parametrize("n", [10**9, 10**12, 10**15])
def test_hypergeometric_beyond_numpys_limit(n):
    good, bad, sample, draws = n, 2 * n, n + n // 2, 40_000
    out = np.empty(draws, np.int64)
    _hypergeometrics(np.random.default_rng(7), good, bad, sample, out)
    mean, var = sample / 3, sample * (2 / 9) * (good + bad - sample) / (good + bad - 1)
    z = (out - mean) / np.sqrt(var)
    assert abs(z.mean()) < 4 / np.sqrt(draws) and abs(z.var() - 1) < 4 * np.sqrt(2 / draws)
    assert stats.kstest(z, "norm").pvalue > 1e-4


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.data())
def test_hypergeometric_support(good, bad, data):
    sample = data.draw(st.integers(0, good + bad))
    out = np.empty(50, np.int64)
    _hypergeometrics(np.random.default_rng(0), good, bad, sample, out)
    assert out.min() >= max(0, sample - bad) and out.max() <= min(good, sample)


# --- service ---------------------------------------------------------------------------------------------


def served(engine, counts, rng):
    z = np.zeros(len(counts), np.int64)
    serve(rng, np.array(counts, np.int64), *engine.kernel_arguments[0], z)
    return z


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(0, 30)] * 3), st.tuples(*[st.integers(0, 2)] * 3), st.data())
def test_service_meets_the_budget_and_the_order(n, priority, data):
    if sum(n) == 0:
        return
    budget = data.draw(st.integers(0, sum(n)))
    bandit = RestlessBandit(small_kernels(1, 3)[0], [0, 0, 0], n_arms=sum(n), budget=budget, discount=0.5)
    engine = CountEngine.of(bandit, IndexPolicy(priority))
    z = served(engine, n, np.random.default_rng(1))
    assert z.sum() == budget and (z >= 0).all() and (z <= n).all()
    for x, y in itertools.permutations(range(3), 2):
        if priority[x] > priority[y] and z[y] > 0:
            assert z[x] == n[x]
    rho = engine.activation([n])[0]
    assert np.isclose(rho @ n, budget)


def test_service_in_the_marginal_class_is_uniform_over_arms():
    bandit = RestlessBandit(small_kernels(1, 3)[0], [0, 0, 0], n_arms=9, budget=5, discount=0.5)
    engine, n = CountEngine.of(bandit, IndexPolicy([1, 2, 1])), [4, 2, 3]
    rng = np.random.default_rng(0)
    seen = Counter(int(served(engine, n, rng)[0]) for _ in range(20_000))
    law = {k: comb(4, k) * comb(3, 3 - k) / comb(7, 3) for k in range(4)}
    assert p_value(seen, law) > 1e-4


# --- one step and its flows, against enumeration of all arms -----------------------------------------------


def service_laws(states, ranks, budget):
    """All sets of served arms with their probabilities, arms in the given cells."""
    order = sorted(range(len(states)), key=lambda i: ranks[states[i]])
    if budget == 0:
        return [((0,) * len(states), 1.0)]
    edge = ranks[states[order[budget - 1]]]
    sure = [i for i in order if ranks[states[i]] < edge]
    tied = [i for i in order if ranks[states[i]] == edge]
    sets = list(itertools.combinations(tied, budget - len(sure)))
    return [(tuple(int(i in sure or i in s) for i in range(len(states))), 1 / len(sets)) for s in sets]


def flow_law(bandit, ranks, cells):
    """Exact law of the flows (as a flat tuple) from arms in the given cells, by following every arm."""
    S, types = bandit.n_states, bandit.n_types
    out = Counter()
    for a, pa in service_laws(cells, ranks, bandit.budget):
        for nxt in itertools.product(range(S), repeat=len(cells)):
            p = pa * prod(bandit.kernels[c // S, a[i], c % S, nxt[i]] for i, c in enumerate(cells))
            if p == 0:
                continue
            after = [c // S * S + s for c, s in zip(cells, nxt, strict=True)]
            for b, pb in service_laws(after, ranks, bandit.budget):
                f = np.zeros((types, 2 * S, 2 * S), dtype=int)
                for i, c in enumerate(cells):
                    f[c // S, 2 * (c % S) + a[i], 2 * nxt[i] + b[i]] += 1
                out[tuple(f.ravel().tolist())] += p * pb
    return out


FLOW_CASES = {
    "strict": (small_kernels(1, 2)[0], 4, 2, [1, 0], [0, 0, 1, 1]),
    "one class": (small_kernels(1, 2)[0], 4, 2, [0, 0], [0, 0, 0, 1]),
    "two types, equal priorities": (small_kernels(2, 2, 5), [2, 2], 2, [[1, 0], [0, 1]], [0, 1, 2, 3]),
}


@pytest.mark.parametrize("name", FLOW_CASES)
def test_flows_have_the_law_of_simulated_arms(name):
    kernels, arms, budget, priority, cells = FLOW_CASES[name]
    types = 1 if np.ndim(arms) == 0 else len(arms)
    bandit = RestlessBandit(kernels, np.zeros(2), n_arms=arms, budget=budget, discount=0.5)
    engine = CountEngine.of(bandit, IndexPolicy(priority))
    start = np.bincount(cells, minlength=2 * types).reshape(types, 2)
    law = flow_law(bandit, engine.ranks, cells)
    assert np.isclose(sum(law.values()), 1)
    rng = np.random.default_rng(11)
    draws = [
        tuple(engine.run(start.ravel(), 2, rng, flows="total")[2].ravel().tolist()) for _ in range(12_000)
    ]
    assert p_value(Counter(draws), law) > 1e-4
    # Negative control: the same draws do not fit another kernel.
    other = RestlessBandit(kernels[..., ::-1], np.zeros(2), n_arms=arms, budget=budget, discount=0.5)
    assert p_value(Counter(draws), flow_law(other, engine.ranks, cells)) < 1e-10


@pytest.mark.parametrize("policy", [IndexPolicy([2, 1, 0]), IndexPolicy([1, 1, 0]), UniformPolicy()])
def test_flows_add_up_to_the_pairs(policy):
    bandit = RestlessBandit(small_kernels(2, 3), np.zeros(3), n_arms=[7, 50], budget=20, discount=0.5)
    path = simulate(bandit, policy, 60, rng=0, flows="steps")
    pairs = np.stack([path.counts[:-1] - path.served, path.served], axis=3).reshape(60, 2, 6)
    assert (path.flows.sum(axis=3) == pairs[:-1]).all() and (path.flows.sum(axis=2) == pairs[1:]).all()
    assert (path.counts.sum(axis=2) == [7, 50]).all() and (path.served.sum(axis=(1, 2)) == 20).all()
    total = simulate(bandit, policy, 60, rng=0, flows="total")
    assert (total.flow_total == path.flows.sum(axis=0)).all() and (total.counts == path.counts).all()


def test_occupancy_is_that_of_the_exact_chain():
    bandit = circulant(5)
    exact = count_chain(bandit, PRIORITY)
    mean = exact.count_occupancy @ exact.states.counts
    counts = simulate(bandit, PRIORITY, 200_000, rng=2, flows="none").counts[:-1, 0]
    batches = counts.reshape(100, -1, 4).mean(axis=1)
    stderr = batches.std(axis=0, ddof=1) / 10
    assert (np.abs(batches.mean(axis=0) - mean) < 4.5 * stderr).all() and stderr.max() < 0.02


@pytest.mark.parametrize("n", [10**9, 10**12])
def test_fluctuations_at_huge_numbers_of_arms(n):
    path = simulate(circulant(n), PRIORITY, 20_000, rng=3, flows="total")
    scaled = (path.counts[2000:, 0] / n - [0.15, 0.15, 0.35, 0.35]) * np.sqrt(n)
    # Variance of the count of state 2 is .2275 N; lag correlations below .75^k leave about 4,000 free draws.
    assert abs(scaled[:, 2].var() / 0.2275 - 1) < 0.1
    assert np.allclose(path.flow_total.sum(), 19_999 * n, rtol=0)


# --- the border --------------------------------------------------------------------------------------------


def test_same_seed_same_bytes():
    a, b = (simulate(circulant(30), PRIORITY, 50, rng=4) for _ in range(2))
    assert a.counts.tobytes() == b.counts.tobytes() and a.flows.tobytes() == b.flows.tobytes()
    assert (simulate(circulant(30), PRIORITY, 50, rng=5).counts != a.counts).any()


def test_path_is_frozen_and_serialises():
    path = simulate(circulant(5), PRIORITY, 3, rng=0)
    d = json.loads(json.dumps(path.to_dict(), allow_nan=False))
    assert (
        d["states"] is None and np.shape(d["counts"]) == (4, 1, 4) and d["truncated"] == [False, False, True]
    )
    assert d["episode_starts"] == [True, False, False]
    with pytest.raises(ValueError, match="read-only"):
        path.counts[0, 0, 0] = 1
    r = path.counts[:-1, 0] @ [-1, 0, 0, 1]
    assert (path.rewards[:, 0] == r).all()
    with pytest.raises(Unsupported, match="flows"):
        _ = simulate(circulant(5), PRIORITY, 3, rng=0, flows="none").flow_total


@pytest.mark.parametrize(
    "start, message",
    [([1, 2, 3], "shape"), ([1, 1, 1, 1], "sum to"), ([6, -1, 0, 0], "count of -1"), ([2.5, 2.5, 0, 0], "integers")],
)  # fmt: skip
def test_bad_starts(start, message):
    with pytest.raises(InvalidInput, match=message):
        simulate(circulant(5), PRIORITY, 3, rng=0, start=start)


def test_refusals():
    with pytest.raises(InvalidInput, match="steps"):
        simulate(circulant(5), PRIORITY, 0, rng=0)
    with pytest.raises(InvalidInput, match="flows"):
        simulate(circulant(5), PRIORITY, 5, rng=0, flows="all")
    with pytest.raises(InvalidInput, match="priority"):
        simulate(circulant(5), IndexPolicy([1, 2, 3]), 5, rng=0)
    with pytest.raises(Unsupported, match="treats alike arms alike"):
        simulate(circulant(5), LocalPolicy([[[1, 0]] * 4]), 5, rng=0)
    with pytest.raises(Unsupported, match="system"):
        simulate("circulant", PRIORITY, 5, rng=0)
    with pytest.raises(TooLarge, match="mean_field"):
        simulate(circulant(2**53), PRIORITY, 5, rng=0)
    with pytest.raises(TooLarge, match="GiB"):
        simulate(circulant(5), PRIORITY, 10**9, rng=0)
    with pytest.raises(TooLarge, match="flows='none'"):
        simulate(circulant(2**51), PRIORITY, 10**6, rng=0)
    assert simulate(circulant(2**52), PRIORITY, 5, rng=0).counts.sum() == 6 * 2**52


def occupancy_matches(path, chain, sizes):
    """Joint pair frequencies within 5 standard errors of batch means of the exact occupancy."""
    pairs = path.states[:-1] * np.array([2 if a else 1 for a in sizes]) + path.actions
    index = {tuple(p): k for k, p in enumerate(chain.pairs.tolist())}
    visited = np.array([index[tuple(p)] for p in pairs.tolist()])
    batches = np.stack(
        [np.bincount(b, minlength=chain.n_pairs) / len(b) for b in np.array_split(visited, 20)]
    )
    stderr = batches.std(axis=0, ddof=1) / np.sqrt(20)
    return (np.abs(batches.mean(axis=0) - chain.occupancy) < 5 * stderr + 2 / len(pairs)).all()


def test_generic_systems_agent_by_agent():
    kernels = small_kernels(2, 2, 9)
    weak = WeaklyCoupledMDP(kernels, [[0, 1], [1, 0]], discount=0.5, budget=1)
    path = simulate(weak, UniformPolicy(), 6000, rng=0)
    assert path.states.shape == (6001, 2) and (path.actions.sum(axis=1) == 1).all()
    assert occupancy_matches(path, weak.under(UniformPolicy()), (1, 1))
    assert (path.rewards[:, 0] == path.states[:-1, 0]).all()
    other = WeaklyCoupledMDP(kernels[..., ::-1], [[0, 1], [1, 0]], discount=0.5, budget=1)
    assert not occupancy_matches(path, other.under(UniformPolicy()), (1, 1))  # negative control
    joint = np.random.default_rng(2).dirichlet(np.ones(4), size=4)
    chain = JointChain(joint, (2, 2))
    path = simulate(chain, None, 6000, rng=1)
    assert path.rewards.shape == (6000, 0) and occupancy_matches(path, chain.under(), (0, 0))
    mdp = MultiAgentMDP(joint[:, None], np.ones(4), n_states=(2, 2), n_actions=(1, 1), discount=0.5)
    path = simulate(mdp, UniformPolicy(), 50, rng=1, start=(1, 0))
    assert path.rewards.shape == (50, 1) and path.states[0].tolist() == [1, 0]
    with pytest.raises(InvalidInput, match="start"):
        simulate(mdp, UniformPolicy(), 5, rng=1, start=(2, 0))
    with pytest.raises(InvalidInput, match="per agent"):
        simulate(mdp, UniformPolicy(), 5, rng=1, start=(0,))
    kernel = np.stack([joint, 0 * joint], axis=1)
    empty = MultiAgentMDP(kernel, np.ones((4, 2)), n_states=(2, 2), n_actions=(2, 1), discount=0.5)
    with pytest.raises(InvalidInput, match="not available"):
        simulate(empty, LocalPolicy([[[0, 1], [0, 1]], [[1], [1]]]), 5, rng=1)
