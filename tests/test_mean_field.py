"""Mean field: fixed points, cycles, proofs of attraction, and the systems that violate UGAP."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from markov_entanglement.bandits.attractor import fixed_points, orbit, same_cycle
from markov_entanglement.bandits.fluid import fluid
from markov_entanglement.bandits.mean_field import mean_field
from markov_entanglement.bandits.simulate import simulate
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.model.bandit import RestlessBandit
from markov_entanglement.model.policy import IndexPolicy, UniformPolicy

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
CIRCULANT = np.array([P0, P0.T])
ORDER = IndexPolicy([1, 2, 3, 0])


def circulant(n=30, budget=6, gamma=0.5):
    return RestlessBandit(CIRCULANT, [-1, 0, 0, 1], n_arms=n, budget=budget, discount=gamma)


def gast(example):
    """Gast, Gaujal and Yan's three-state arms whose mean field has a 2-cycle."""
    p0, p1, r1 = {
        1: ([[0.5214073, 0.40392496, 0.07466774], [0.0158415, 0.21455666, 0.76960184],
             [0.53722329, 0.37651148, 0.08626522]],
            [[0.24639364, 0.23402385, 0.51958251], [0.49681581, 0.49509821, 0.00808597],
             [0.37826553, 0.15469252, 0.46704195]], [0.72232506, 0.18844869, 0.25752477]),
        2: ([[0.02232142, 0.10229283, 0.87538575], [0.03426605, 0.17175704, 0.79397691],
             [0.52324756, 0.45523298, 0.02151947]],
            [[0.14874601, 0.30435809, 0.54689589], [0.56845754, 0.41117331, 0.02036915],
             [0.2526557, 0.27310439, 0.4742399]], [0.37401552, 0.11740814, 0.07866135]),
        3: ([[0.47819592, 0.02090623, 0.50089785], [0.08063373, 0.15456935, 0.76479692],
             [0.66552514, 0.08481946, 0.2496554]],
            [[0.00279465, 0.37327924, 0.62392611], [0.51582335, 0.46333908, 0.02083756],
             [0.41875202, 0.17776712, 0.40348086]], [0.97658608, 0.53014109, 0.40394919]),
    }[example]  # fmt: skip
    k = np.array([p0, p1])
    k /= k.sum(axis=-1, keepdims=True)
    r = np.stack([np.zeros(3), r1], axis=1)
    return RestlessBandit(k, r, n_arms=10, budget=4, discount=0.9)


def conveyor(n=8):
    """Conveyor of Hong et al. (2023), Fig. 2: several attractors."""
    k, r = np.zeros((2, n, n)), np.zeros((n, 2))
    for s in range(n):
        good = 1 if s < n // 2 else 0
        k[good, s, (s + 1) % n] += 0.1
        k[good, s, s] += 0.9
        back = {0: 0.0, 1: 1.0}.get(s, 0.5 - 0.01 * s)
        k[1 - good, s, max(s - 1, 0)] += back
        k[1 - good, s, s] += 1 - back
    r[n - 1, 0] = 0.1
    return RestlessBandit(k, r, n_arms=100, budget=50, discount=0.9)


def phi(bandit, ranks, m):
    """The map by its definition, one class at a time; shares nothing with the source."""
    left, z = bandit.budget / bandit.n_agents, np.zeros_like(m)
    for c in range(max(r.max() for r in ranks) + 1):
        cells = [(t, s) for t, r in enumerate(ranks) for s in range(len(r)) if r[s] == c]
        total = sum(m[x] for x in cells)
        for x in cells:
            z[x] = m[x] * min(1.0, left / total) if total > 0 else 0.0
        left -= min(left, total)
    return np.stack([(m - z)[t] @ k[0] + z[t] @ k[1] for t, k in enumerate(bandit.kernels)])


def random_bandit(rng, types, n, concentration=1.0):
    arms = rng.integers(5, 20, types)
    return RestlessBandit(
        rng.dirichlet(np.full(n, concentration), (types, 2, n)), rng.random((types, n, 2)),
        n_arms=arms, budget=int(rng.integers(1, arms.sum())), discount=0.9,
    )  # fmt: skip


def test_circulant_numbers():
    mf = mean_field(circulant(), ORDER)
    np.testing.assert_allclose(mf.fixed_point, [[0.15, 0.15, 0.35, 0.35]], atol=1e-12)
    np.testing.assert_allclose(mf.activation, [[0, 0, 4 / 7, 0]], atol=1e-12)
    np.testing.assert_allclose(np.sort_complex(mf.spectrum), [0, 0.5 - 0.5j, 0.5 + 0.5j], atol=1e-12)
    assert mf.radius == pytest.approx(np.sqrt(0.5)) and mf.reward == pytest.approx(0.2)
    assert mf.attractor == "proved" and not mf.degenerate and mf.marginal == ((0, 2),)
    assert mf.cycle is None and mf.complete and mf.converged == mf.starts
    assert mf.entanglement_limit.tolist() == [0.0] and mf.refused is None
    json.dumps(mf.to_dict(), allow_nan=False)


@pytest.mark.parametrize("budget", [1, 3, 9, 14])
def test_circulant_any_budget(budget):
    alpha = budget / 30
    mf = mean_field(circulant(30, budget), ORDER)
    want = [0.25 - alpha / 2] * 2 + [0.25 + alpha / 2] * 2
    np.testing.assert_allclose(mf.fixed_point, [want], atol=1e-12)
    assert mf.activation[0, 2] == pytest.approx(alpha / want[2]) and mf.attractor == "proved"


def test_degenerate_and_refused():
    mf = mean_field(circulant(30, 15), ORDER)
    assert mf.degenerate and "degenerate" in mf.refused
    with pytest.raises(Unsupported, match="degenerate"):
        _ = mf.limit_constants
    assert mf.to_dict()["limit_constants"] is None


@pytest.mark.parametrize("budget", [0, 30])
def test_nobody_or_everybody_served(budget):
    mf = mean_field(circulant(30, budget), ORDER)
    np.testing.assert_allclose(mf.fixed_point, 0.25, atol=1e-12)
    assert not mf.degenerate and mf.attractor == "proved"
    assert mf.limit_constants.policy_entanglement[0] == 0


@pytest.mark.parametrize(
    ("example", "point", "radius", "cycle", "limit"),
    [
        (1, (0.322579, 0.303168, 0.374253), 1.0268, [(0.24156, 0.26399, 0.49445), (0.40554, 0.34379, 0.25068)],
         None),
        (2, (0.299434, 0.338248, 0.362318), 1.1333, [(0.12779, 0.24747, 0.62473), (0.47988, 0.42054, 0.09957)],
         0.136345),
        (3, (0.339839, 0.216528, 0.443633), 1.1080, [(0.26962, 0.21423, 0.51615), (0.41828, 0.21779, 0.36393)],
         None),
    ],
)  # fmt: skip
def test_gast_two_cycles(example, point, radius, cycle, limit):
    mf = mean_field(gast(example), IndexPolicy([2, 1, 0]))
    np.testing.assert_allclose(mf.fixed_point[0], point, atol=1e-6)
    assert mf.radius == pytest.approx(radius, abs=5e-5) and mf.marginal == ((0, 1),)
    assert mf.attractor == "violated" and mf.cycles[0].stable and len(mf.fixed_points) == 1
    got = mf.cycle[:, 0][np.argsort(mf.cycle[:, 0, 0])]
    np.testing.assert_allclose(got, cycle, atol=6e-6)
    np.testing.assert_allclose(mf.step(mf.cycle[0]), mf.cycle[1], atol=1e-12)
    assert mf.entanglement_limit[0] > 0.05
    if limit:
        assert mf.entanglement_limit[0] == pytest.approx(limit, abs=1e-6)
    with pytest.raises(Unsupported, match="cycle of period 2"):
        _ = mf.limit_constants
    json.dumps(mf.to_dict(), allow_nan=False)


def test_conveyor_has_several_attractors():
    mf = mean_field(conveyor(), IndexPolicy([5, 8, 7, 6, 1, 2, 3, 4]))
    assert mf.attractor == "violated" and "fixed points" in mf.reason
    points = [p.points[0, 0] for p in mf.fixed_points]
    for want in (
        np.full(8, 0.125),
        [0.3958, 0.5, 0.1042, 0, 0, 0, 0, 0],
        [0, 0, 0, 0.319, 0.569, 0.111, 0, 0],
    ):
        assert min(np.abs(p - want).max() for p in points) < 1e-3
    for p in points:
        np.testing.assert_allclose(mf.step(p[None]), p[None], atol=1e-9)
    assert np.isnan(mf.entanglement_limit[0]) and any(p.continuum for p in mf.fixed_points)


def test_two_attractors_and_the_unstable_point_between_them():
    """Ergodic arms with positive kernels can have three fixed points; all are found."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        b = RestlessBandit(rng.dirichlet(np.full(4, 0.3), (1, 2, 4)), rng.random((1, 4, 2)),
                           n_arms=[10], budget=3, discount=0.9)  # fmt: skip
        policy = IndexPolicy(rng.random((1, 4)))
        if len(fixed_points(fluid(b, policy))[0]) == 3:
            break
    mf = mean_field(b, policy)
    assert mf.attractor == "violated" and "3 fixed points" in mf.reason
    assert sorted(bool(p.stable) for p in mf.fixed_points) == [False, True, True]
    assert mf.fixed_points[0].stable and 0 < mf.converged < mf.starts
    for p in mf.fixed_points:
        np.testing.assert_allclose(phi(b, policy.ranks(1), p.points[0]), p.points[0], atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(2, 4), st.booleans(), st.booleans())
def test_map_pieces_and_points(seed, types, n, shared, sparse):
    rng = np.random.default_rng(seed)
    b = random_bandit(rng, types, n, 0.4 if sparse else 1.0)
    policy = IndexPolicy(rng.integers(0, 3, n) if shared else rng.integers(0, 4, (types, n)))
    f, ranks = fluid(b, policy), policy.ranks(types)
    m = rng.dirichlet(np.ones(n), (5, types)) * f.mass[:, None]
    for x in m:
        np.testing.assert_allclose(f.step(x.ravel()).reshape(types, n), phi(b, ranks, x), atol=1e-14)
    for x in m.reshape(5, -1):
        for c in f.marginal_at(x):
            if f.sizes[c] == 1:
                a, shift = f.piece(c)
                u = f.basis.T @ (x - f.centre)
                np.testing.assert_allclose(f.lift(a @ u + shift), f.step(x), atol=1e-13)
    mf = mean_field(b, policy)
    assert mf.fixed_points, "the map is continuous on a convex set: it has a fixed point"
    for p in mf.fixed_points:
        np.testing.assert_allclose(phi(b, ranks, p.points[0]), p.points[0], atol=1e-8)
    for c in mf.cycles:
        for k in range(c.period):
            np.testing.assert_allclose(phi(b, ranks, c.points[k]), c.points[(k + 1) % c.period], atol=1e-8)
    if mf.attractor == "proved":
        assert len(mf.fixed_points) == 1 and not mf.cycles and mf.converged == mf.starts


@pytest.mark.parametrize("system", ["circulant", "tied types", "dense"])
def test_contraction_is_a_contraction(system):
    """Differences of any two trajectories shrink in the certified norm within `depth` steps."""
    rng = np.random.default_rng(1)
    if system == "circulant":
        b, policy = circulant(), ORDER
    elif system == "tied types":
        b = RestlessBandit([CIRCULANT] * 2, [-1, 0, 0, 1], n_arms=[20, 10], budget=6, discount=0.5)
        policy = ORDER
    else:
        b, policy = random_bandit(rng, 2, 3, 3.0), IndexPolicy(rng.random((2, 3)))
    mf = mean_field(b, policy)
    proof = mf.certificate
    assert proof is not None and proof.rate < 1
    f = fluid(b, policy)
    pairs = f.step(rng.dirichlet(np.full(f.shape[1], 0.3), (2, 500, f.shape[0])).reshape(2, 500, -1)
                   * np.repeat(f.mass, f.shape[1]))  # fmt: skip
    size = []
    for _ in range(proof.depth + 1):
        e = pairs[0] - pairs[1]
        size.append(np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", e, proof.norm, e), 0)))
        pairs = f.step(pairs)
    assert (np.min(size[1:], axis=0) <= proof.rate * size[0] * (1 + 1e-9)).all()
    for word in itertools.product(
        [k for c in f.reachable_classes() for k in f.vertices(c)], repeat=proof.depth
    ):
        turn, shrunk = np.eye(len(f.rank)), False
        for k in word:
            turn = turn @ k
            image = f.basis.T @ turn @ proof.norm @ turn.T @ f.basis
            top = np.linalg.eigvals(np.linalg.solve(f.basis.T @ proof.norm @ f.basis, image)).real.max()
            shrunk = shrunk or top < 1
        assert shrunk


def test_no_certificate_where_the_point_is_unstable():
    assert mean_field(gast(2), IndexPolicy([2, 1, 0])).certificate is None


def test_shared_class_by_the_pencil():
    """Two types that share a priority: the fixed point has one probability of service for both."""
    rng = np.random.default_rng(4)
    b = RestlessBandit(rng.dirichlet(np.ones(3), (2, 2, 3)), rng.random((2, 3, 2)),
                       n_arms=[10, 14], budget=7, discount=0.9)  # fmt: skip
    mf = mean_field(b, IndexPolicy([3, 2, 1]))
    assert len(mf.marginal) == 2 and len({mf.activation[x] for x in mf.marginal}) == 1
    served = (mf.fixed_point * mf.activation).sum()
    assert served == pytest.approx(7 / 24, abs=1e-12)
    same = RestlessBandit([CIRCULANT] * 2, [-1, 0, 0, 1], n_arms=[20, 10], budget=6, discount=0.5)
    both = mean_field(same, ORDER)
    np.testing.assert_allclose(both.fixed_point.sum(axis=0), [0.15, 0.15, 0.35, 0.35], atol=1e-10)


def test_a_cycle_search_finds_planted_cycles_and_only_those():
    b = gast(2)
    f = fluid(b, IndexPolicy([2, 1, 0]))
    pieces = {c: f.piece(c) for c in range(3)}
    hit = [w for w in itertools.product(range(3), repeat=2) if orbit(f, pieces, w) is not None]
    assert len(hit) == 2 and hit[0] == hit[1][::-1]
    mf = mean_field(b, IndexPolicy([2, 1, 0]))
    assert same_cycle(mf.cycle[::-1].reshape(2, -1), mf.cycles[0])
    assert not same_cycle(np.full((2, 3), 1 / 3), mf.cycles[0])


def test_types_without_arms():
    b = RestlessBandit([CIRCULANT] * 2, [-1, 0, 0, 1], n_arms=[30, 0], budget=6, discount=0.5)
    mf = mean_field(b, IndexPolicy([[1, 2, 3, 0], [5, 6, 7, 8]]))
    np.testing.assert_allclose(mf.fixed_point, [[0.15, 0.15, 0.35, 0.35], [0] * 4], atol=1e-12)
    e = mf.limit_constants.policy_entanglement
    assert e[0] == pytest.approx(0.217467, abs=1e-6) and np.isnan(e[1]) and np.isnan(mf.entanglement_limit[1])


def test_same_seed_same_bytes():
    a, b = (mean_field(conveyor(), IndexPolicy([5, 8, 7, 6, 1, 2, 3, 4]), rng=3) for _ in range(2))
    assert json.dumps(a.to_dict()) == json.dumps(b.to_dict())


def test_relabelled_states():
    order = np.array([2, 0, 3, 1])
    b = RestlessBandit(CIRCULANT[:, order][:, :, order], np.array([-1, 0, 0, 1])[order],
                       n_arms=30, budget=6, discount=0.5)  # fmt: skip
    mf = mean_field(b, IndexPolicy(np.array([1, 2, 3, 0])[order]))
    np.testing.assert_allclose(mf.fixed_point[0], np.array([0.15, 0.15, 0.35, 0.35])[order], atol=1e-12)
    assert mf.limit_constants.error_mu == pytest.approx(0.0293346, abs=1e-7)


def test_bad_input():
    with pytest.raises(Unsupported, match="index policy"):
        mean_field(circulant(), UniformPolicy())
    with pytest.raises(Unsupported, match="RestlessBandit"):
        mean_field(CIRCULANT, ORDER)
    with pytest.raises(InvalidInput, match="priority"):
        mean_field(circulant(), IndexPolicy([1, 2, 3]))
    with pytest.raises(InvalidInput, match="priority"):
        mean_field(circulant(), IndexPolicy([[1, 2, 3, 0]] * 2))


@pytest.mark.parametrize(("seed", "types", "n"), [(0, 1, 3), (1, 1, 4), (2, 2, 3), (3, 3, 2)])
def test_one_step_of_the_counts(seed, types, n):
    """E|m[1] - phi(m[0])|_1 <= sqrt(cells / N), and the steps are those of the map on average."""
    rng, steps = np.random.default_rng(seed), 4000
    bandit = random_bandit(rng, types, n)
    ranks = list(rng.permutation(types * n).reshape(types, n))
    path = simulate(bandit, IndexPolicy([-r.astype(float) for r in ranks]), steps, rng=seed)
    m, big = path.counts / bandit.n_agents, bandit.n_agents
    off = np.stack([m[t + 1] - phi(bandit, ranks, m[t]) for t in range(steps)])
    spread = math.sqrt(types * n / big)
    assert np.abs(off).sum(axis=(1, 2)).mean() <= spread * (1 + 5 / math.sqrt(steps))
    acts = np.stack([path.counts[:-1] - path.served, path.served], axis=-1)
    chance = bandit.kernels.swapaxes(1, 2)
    variance = np.einsum("ktsa,tsax->tx", acts, chance * (1 - chance)) / big**2
    assert (np.abs(off.sum(axis=0)) < 5 * np.sqrt(variance)).all()
