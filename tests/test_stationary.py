"""Stationary laws and chances of absorption of chains whose parts hardly communicate, against exact fractions.

The oracle reduces states in rational numbers; it reads the stored off-diagonal entries, of which a chain consists
(`1 - p` has lost p). What no method can tell must be refused.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement.bandits.count_chain import count_chain
from markov_entanglement.errors import NoConvergence
from markov_entanglement.markov import linear, stationary
from markov_entanglement.markov.elimination import leaving, reduced_law


def reduce_exactly(a: list[list[Fraction]], keep: int) -> list[list[Fraction]]:
    """Eliminate all but the last `keep` states, in place; rows then hold first later states."""
    n = len(a)
    for k in range(n - keep):
        leave = sum(a[k][k + 1 :], Fraction(0))
        for i in range(k + 1, n):
            share = a[i][k] = a[i][k] / leave
            if share:
                for j in range(k + 1, n):
                    a[i][j] += share * a[k][j]
    return a


def exact_law(p: np.ndarray) -> list[Fraction]:
    a = reduce_exactly([[Fraction(float(x)) for x in row] for row in p], 1)
    n = len(a)
    x = [Fraction(0)] * (n - 1) + [Fraction(1)]
    for k in range(n - 2, -1, -1):
        x[k] = sum((x[i] * a[i][k] for i in range(k + 1, n)), Fraction(0))
    return [v / sum(x) for v in x]


def chain_of(p: Any, initial: Any = None) -> Any:
    return me.JointChain(p, (p.shape[0], 1)).under(initial=initial)


@st.composite
def nearly_reducible(draw: st.DrawFn, most: int = 7) -> np.ndarray:
    """Entries 10^-k with k up to 300; a ring keeps the chain in one piece."""
    rng = np.random.default_rng(draw(st.integers(0, 10**9)))
    n, digits = draw(st.integers(2, most)), draw(st.sampled_from([1, 3, 9, 17, 40, 300]))
    p = 10.0 ** -rng.uniform(0, digits, (n, n)) / n
    keep = rng.random((n, n)) < draw(st.sampled_from([0.2, 0.6, 1.0]))
    p *= keep | np.roll(np.eye(n, dtype=bool), 1, axis=1)
    np.fill_diagonal(p, 0.0)
    np.fill_diagonal(p, 1.0 - p.sum(axis=1))
    return p


@given(nearly_reducible())
@settings(max_examples=150)
def test_small_chains_are_right_relative_to_each_mass(p: np.ndarray) -> None:
    chain = chain_of(p)
    for got, want in zip(chain.occupancy, exact_law(p), strict=True):
        if want > 1e-240:  # tol.LEAST_MASS is what a recurrent state has at least
            assert abs(Fraction(float(got)) / want - 1) < 1e-14
    assert chain.stationary.method == "elimination" and chain.stationary.error_bound < 1e-10


@pytest.mark.parametrize("explicit", [False, True])
@given(p=nearly_reducible(12))
@settings(max_examples=80)
def test_other_ways_keep_their_bound_or_refuse(explicit: bool, p: np.ndarray) -> None:
    """Without elimination (as where it would be too large) the answer is within its bound, or there is none."""
    graph = sp.csr_array(p)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tol, "GTH_STATES", 0)
        patch.setattr(tol, "GTH_WORK", 0)
        chain = chain_of(p)
        try:
            found = stationary.stationary(
                lambda f: graph @ f, lambda nu: graph.T @ nu, chain.classes, graph if explicit else None
            )
        except NoConvergence as refusal:
            assert "cannot be told" in str(refusal)
            return
    want = np.array([float(x) for x in exact_law(p)])
    assert np.abs(found.law - want).sum() <= found.error_bound <= 1e-6
    assert found.method in ("GMRES", "sparse LU", "dense LU")


def test_most_ordinary_chains_are_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above must not pass by refusing."""
    monkeypatch.setattr(tol, "GTH_STATES", 0)
    monkeypatch.setattr(tol, "GTH_WORK", 0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        p = rng.dirichlet(np.full(12, 0.3), 12)
        found = chain_of(p).stationary
        assert found.error_bound < 1e-9 and found.method != "elimination"


# --- cases ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1e-3, 5e-14, 3e-14, 1e-16, 1e-17, 1e-100, 1e-300])
def test_two_states_that_hardly_communicate(p: float) -> None:
    system = me.JointChain([[1 - p, p], [3 * p, 1 - 3 * p]], (2,))
    assert system.under().occupancy.tolist() == pytest.approx([0.75, 0.25], rel=1e-15)
    found = me.check_system(system)
    assert found.ok and "error at most" in found.summary()


def test_rare_switches() -> None:
    p = np.array([[1 - 2e-13, 2e-13], [1e-13, 1 - 1e-13]])
    assert me.JointChain(p, (2,)).under().occupancy.tolist() == pytest.approx([1 / 3, 2 / 3], rel=1e-15)


def test_players_who_rarely_err() -> None:
    """27 players, all revising at once: from either side of a third nearly all play the same."""
    chance = [0.005 + 0.99 * (0.5 if 3 * n == 27 else float(3 * n > 27)) for n in range(28)]
    p = np.array([[comb(27, k) * q**k * (1 - q) ** (27 - k) for k in range(28)] for q in chance])
    mu = me.JointChain(p, (2, 14)).under().occupancy
    want = float(sum(exact_law(p)[:14]))
    assert want == pytest.approx(6.1e-23, rel=0.01)
    assert mu[:14].sum() == pytest.approx(want, rel=1e-12)


def test_intermediate_rates_beyond_doubles() -> None:
    """Two ends; three steps lead over, two of them against odds of 1e200: rates of 3e-400 and 1e-400, so 1 to 3.

    Eliminated from the ends inwards the products fit in doubles, the other way they are needed and lost.
    """
    p = np.zeros((6, 6))
    for here, there, odds in ((0, 3, 3e-200), (3, 0, 1e-200)):
        p[here, here + 1] = p[here + 1, here] = p[here + 2, here] = 1.0
        p[here + 1, here + 2], p[here + 2, there] = odds, 1e-200
    mu = chain_of(p).occupancy
    assert mu.tolist() == pytest.approx([0.125, 0.125, 3.75e-201, 0.375, 0.375, 3.75e-201], rel=1e-14)
    inner_first = [1, 2, 4, 5, 0, 3]
    with pytest.raises(NoConvergence, match="cannot be told"):
        chain_of(p[np.ix_(inner_first, inner_first)]).occupancy  # noqa: B018


@pytest.mark.parametrize("d", [2, 3])
def test_rare_changes_between_rings(d: int) -> None:
    """Two periodic rings; the way out of the first is a third of the way back."""
    p = np.kron(np.eye(2), np.roll(np.eye(d), 1, axis=1))
    p[0, d + 1 % d], p[d, 1 % d] = 1e-18, 3e-18
    chain = chain_of(p)
    assert chain.occupancy.tolist() == pytest.approx([0.75 / d] * d + [0.25 / d] * d, rel=1e-14)


# --- absorption -----------------------------------------------------------------------------------------


def test_rare_absorption() -> None:
    e = 1e-17
    p = np.eye(4)
    p[0] = [1 - 4 * e, 3 * e, e, 0]
    chain = me.JointChain(p, (2, 2)).under(initial=(0, 0))
    assert chain.occupancy.tolist() == pytest.approx([0, 0.75, 0.25], rel=1e-15)
    assert chain.stationary.error_bound < 1e-13


@given(nearly_reducible(6), st.integers(0, 10**6))
@settings(max_examples=60)
def test_chances_of_absorption(p: np.ndarray, seed: int) -> None:
    """Transient states with entries down to 10^-300, two absorbing states and a pair that swaps."""
    rng = np.random.default_rng(seed)
    n = len(p)
    whole = np.zeros((n + 4, n + 4))
    whole[:n, :n] = p
    whole[0, n:] = 10.0 ** -rng.uniform(0, 100, 4)
    whole[0] /= whole[0].sum()
    whole[n:, n:] = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    start = rng.dirichlet(np.ones(n + 4))
    chain = me.JointChain(whole, (n + 4, 1)).under(initial=start)
    a = [[Fraction(float(x)) for x in row] for row in whole]
    for k in range(n):
        a[k][k] = Fraction(0)
    row = [Fraction(float(x)) for x in start[:n]] + [Fraction(0)] + [Fraction(float(x)) for x in start[n:]]
    a = [[*r[:n], Fraction(0), *r[n:]] for r in a[:n]] + [row] + [[Fraction(0)] * (n + 5)] * 4
    ends = reduce_exactly(a, 5)[n][n + 1 :]
    ends = [x / sum(ends) for x in ends]
    want = [0.0] * n + [float(ends[0]), float(ends[1])] + [float(ends[2] + ends[3]) / 2] * 2
    np.testing.assert_allclose(chain.occupancy, want, rtol=1e-13, atol=1e-250)


@pytest.mark.parametrize("states", [0, 200])
def test_a_gambler_who_nearly_always_stays(states: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fair gambler who plays with chance 1e-5, by elimination and by solving with a bound."""
    monkeypatch.setattr(tol, "GTH_STATES", states)
    n = 9
    p = (1 - 1e-5) * np.eye(n + 1)
    p[0, 0] = p[n, n] = 1.0
    for k in range(1, n):
        p[k, k - 1] = p[k, k + 1] = 0.5e-5
    chain = chain_of(p, initial=(4, 0))
    assert chain.occupancy[[0, n]].tolist() == pytest.approx([5 / n, 4 / n], abs=1e-8)
    error = np.abs(chain.occupancy[[0, n]] - [5 / n, 4 / n]).sum()
    assert error <= chain.stationary.error_bound < 1e-6


# --- larger chains --------------------------------------------------------------------------------------


def halves(n: int, rate: float) -> sp.csr_array:
    """Two random sparse halves; the first is left with `rate` a step at each state, the second with three times that.

    The mass of the halves is 3 to 1.
    """
    rng = np.random.default_rng(0)
    half, degree = n // 2, 6
    rows = np.repeat(np.arange(n), degree)
    inside = rows // half * half + rng.integers(0, half, n * degree)
    ring = np.arange(n) // half * half + (np.arange(n) + 1) % half
    leave = np.where(np.arange(n) < half, rate, 3 * rate)
    entries = [
        (np.repeat((1 - leave) / (degree + 1), degree), rows, inside),
        ((1 - leave) / (degree + 1), np.arange(n), ring),
        (leave, np.arange(n), (np.arange(n) + half) % n),
    ]
    data, row, column = (np.concatenate(part) for part in zip(*entries, strict=True))
    return sp.csr_array((data, (row, column)), shape=(n, n))


@pytest.mark.parametrize("rate", [1e-3, 1e-6, 1e-10, 1e-17, 1e-200])
def test_halves_that_hardly_communicate(rate: float) -> None:
    chain = chain_of(halves(800, rate))
    assert abs(chain.occupancy[:400].sum() - 0.75) <= chain.stationary.error_bound < 1e-6
    assert (chain.stationary.method == "elimination") == (rate < 1e-9)


def test_too_large_to_be_told() -> None:
    """The same with 20,000 states, which fill up when eliminated: right within a bound, or refused."""
    chain = chain_of(halves(20_000, 1e-3))
    assert abs(chain.occupancy[:10_000].sum() - 0.75) <= chain.stationary.error_bound < 1e-6
    chain = chain_of(halves(20_000, 1e-17))
    with pytest.raises(NoConvergence, match=r"cannot be told.*hardly communicate.*without a bound") as caught:
        chain.occupancy  # noqa: B018
    assert np.shape(caught.value.best) == (20_000,)


@pytest.mark.parametrize("work", [3e11, 0.0])
def test_an_implicit_chain(work: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product kernel that is never formed: its columns are, where there is room for elimination; else refused."""
    monkeypatch.setattr(tol, "EXPLICIT_KERNEL", 0)
    monkeypatch.setattr(tol, "GTH_WORK", work)
    p = 1e-17
    slow, mix = [[[1 - p, p], [3 * p, 1 - 3 * p]]], [[[0.5, 0.5], [0.25, 0.75]]]
    chain = me.WeaklyCoupledMDP([slow, mix], [[0, 1]] * 2, discount=0.5).under(me.UniformPolicy())
    assert chain.kernel.matrix is None
    if work:
        assert chain.occupancy.tolist() == pytest.approx([0.25, 0.5, 1 / 12, 1 / 6], rel=1e-14)
    else:
        with pytest.raises(NoConvergence, match="cannot be told"):
            chain.occupancy  # noqa: B018


def test_low_bandwidth_with_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk up that starts anew at 0 or 5 from everywhere: sparse elimination meets two states with 3,000 neighbours.

    Going up has chance .98: mu(i) = .98^i mu(0) up to 4, then one more inflow; every mass relative, down to 1e-26.
    """
    n, up = 3000, 0.98
    row = np.arange(n)
    p = sp.lil_array((n, n))
    p[row[:-1], row[:-1] + 1] = up
    p[row, 0] = np.full(n, 0.015)
    for i in range(n):
        p[i, 5] += 0.005
    p[n - 1, n - 1] = up
    p = sp.csr_array(p)
    want = np.zeros(n)
    want[0] = 0.015
    for i in range(1, n):
        want[i] = up * want[i - 1] + (0.005 if i == 5 else 0.0)
    want[n - 1] /= 1 - up
    found = reduced_law(*leaving(p))
    assert found is not None
    np.testing.assert_allclose(found[0], want / want.sum(), rtol=1e-11)
    assert found[2] < 1e-6


@pytest.mark.parametrize("drift", [0.1, 0.3])
def test_lattice_by_elimination(drift: float) -> None:
    """Product of reflected walks with masses down to 1e-38, each right: a band of 41 states at a time."""
    k = 40
    line = sp.diags_array([np.full(k - 1, 0.5 + drift), np.full(k - 1, 0.5 - drift)], offsets=[1, -1]).tolil()
    line[0, 0], line[k - 1, k - 1] = 0.5 - drift, 0.5 + drift
    graph = sp.csr_array(0.5 * (sp.kron(line, sp.eye_array(k)) + sp.kron(sp.eye_array(k), line)))
    found = reduced_law(*leaving(graph))
    one = ((0.5 + drift) / (0.5 - drift)) ** np.arange(k, dtype=float)
    want = np.outer(one, one).ravel()
    assert found is not None and found[2] < 1e-8
    np.testing.assert_allclose(found[0], want / want.sum(), rtol=1e-12)


def test_rare_states_of_a_larger_chain() -> None:
    """Beyond elimination by default: every 40th state of 400 is entered with chance 1e-12 only; its mass is right."""
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(400), 400)
    rare = np.arange(0, 400, 40)
    p[:, rare] *= 1e-12
    p /= p.sum(axis=1, keepdims=True)
    chain = chain_of(p)
    assert chain.stationary.method == "GMRES"
    want = reduced_law(*leaving(sp.csr_array(p)))
    assert want is not None
    np.testing.assert_allclose(chain.occupancy, want[0], rtol=1e-8)
    np.testing.assert_allclose(chain.occupancy @ p, chain.occupancy, rtol=1e-8)


# --- counts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1e-3, 1e-13, 1e-17, 1e-60])
def test_counts_of_arms_that_rarely_change(p: float) -> None:
    """Independent arms whose state 0 has mass 3/4: the counts are binomial, whatever p."""
    kernel = np.array([[1 - p, p], [3 * p, 1 - 3 * p]])
    bandit = me.RestlessBandit([kernel, kernel], [0, 1], n_arms=4, budget=1, discount=0.9)
    chain = count_chain(bandit, me.IndexPolicy([0, 1]))
    n = chain.states.counts[:, 0]
    want = [comb(4, k) * 0.75**k * 0.25 ** (4 - k) for k in n]
    np.testing.assert_allclose(chain.count_occupancy, want, rtol=1e-12)
    assert chain.stationary.error_bound < 1e-12


def test_count_chain_beyond_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without a transition matrix: Krylov, or columns of the operator where that is not enough."""
    monkeypatch.setattr(tol, "COUNT_DENSE", 0)
    for p, method in ((1e-2, "GMRES"), (1e-15, "elimination")):
        kernel = np.array([[1 - p, p], [3 * p, 1 - 3 * p]])
        bandit = me.RestlessBandit([kernel, kernel], [0, 1], n_arms=30, budget=6, discount=0.9)
        chain = count_chain(bandit, me.IndexPolicy([0, 1]))
        want = [comb(30, int(k)) * 0.75 ** int(k) * 0.25 ** (30 - int(k)) for k in chain.states.counts[:, 0]]
        assert np.abs(chain.count_occupancy - want).sum() <= chain.stationary.error_bound + 1e-14
        assert chain.stationary.method == method and chain.stationary.error_bound < 1e-8


# --- values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.5, 0.999, 1 - 1e-8])
@pytest.mark.parametrize("dense", [True, False])
def test_values_keep_their_bound(gamma: float, dense: bool) -> None:
    """V of a chain of four states in fractions."""
    rng = np.random.default_rng(1)
    p, r = rng.dirichlet(np.ones(4), 4), rng.normal(size=4)
    if not dense:
        p = np.roll(np.eye(4), 1, axis=1)
    a = [
        [Fraction(int(i == j)) - Fraction(gamma) * Fraction(float(p[i, j])) for j in range(4)]
        + [Fraction(float(r[i]))]
        for i in range(4)
    ]
    for k in range(4):
        a[k] = [x / a[k][k] for x in a[k]]
        for i in range(4):
            if i != k:
                a[i] = [x - a[i][k] * y for x, y in zip(a[i], a[k], strict=True)]
    found = chain_of(p).solve(r, gamma)
    error = max(abs(Fraction(float(v)) - row[4]) for v, row in zip(found.v, a, strict=True))
    assert error <= found.error_bound < 1e-12 * np.abs(r).max() / (1 - gamma) ** 2


def test_one_factor_for_one_discount(monkeypatch: pytest.MonkeyPatch) -> None:
    """An analysis of a joint chain makes one linear system of its values, whatever it asks."""
    made = []
    plain = linear.LinearSystem.__init__
    monkeypatch.setattr(
        linear.LinearSystem, "__init__", lambda self, *args: (made.append(args[0]), plain(self, *args))[1]
    )
    subject = me.gallery.build("appendix-e")
    chain = subject.chain()
    me.analyze(chain, rewards=[[0.0, 1.0]] * 2, discount=0.9)
    assert made == [len(chain.states)]


def test_spectral_values_of_nearly_transient_pairs() -> None:
    """They weigh deviations by masses relative to each other: a mass of 1e-9 must be right to many digits."""
    rng = np.random.default_rng(0)
    for rare in (1e-6, 1e-9, 1e-13):
        p = rng.dirichlet(np.ones(12), 12)
        p[3:, :3] *= rare  # agent 0 is hardly ever at 0
        p /= p.sum(axis=1, keepdims=True)
        mu = np.array([float(x) for x in exact_law(p)])
        found = me.entanglement(me.JointChain(p, (4, 3)).under(), "spectral").per_agent
        for i, key in enumerate(np.unravel_index(np.arange(12), (4, 3))):
            law = np.stack([p[:, key == k].sum(axis=1) for k in range((4, 3)[i])], axis=1)
            mean = np.stack([mu[key == k] @ law[key == k] / mu[key == k].sum() for k in range((4, 3)[i])])
            deviation = np.sqrt(mu)[:, None] * (law - mean[key]) / np.sqrt(mu @ law)
            assert found[i] == pytest.approx(np.linalg.svd(deviation, compute_uv=False)[0], abs=1e-13)
