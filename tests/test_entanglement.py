"""Measures against linear programs, their invariances, and systems of planted entanglement."""

from __future__ import annotations

import inspect
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import markov_entanglement as me
from helpers import Case, build, cases, centre_lp, median_lp, random_laws, separable_chain
from markov_entanglement.laws.rows import Rows
from markov_entanglement.measures.local_fit import fit_mean, fit_worst, plug_in

LP = 2e-7


@given(cases(agents=(1, 3), pairs=30))
@settings(max_examples=18)
def test_measures_equal_linear_programs(case: Case) -> None:
    chain, truth = case.chain, case.truth
    mean, worst = me.entanglement(chain, "mu-atv"), me.entanglement(chain, "atv")
    for i in range(chain.n_agents):
        assert mean.per_agent[i] == pytest.approx(truth.mu_atv(i), abs=LP)
        assert worst.per_agent[i] == pytest.approx(truth.atv(i), abs=LP)
    assert mean.total == pytest.approx(mean.per_agent.sum())
    assert mean.support == worst.support == "recurrent" and mean.method == "exact"


@given(cases(kinds=("mdp", "chain"), agents=(2, 2), pairs=24))
@settings(max_examples=15)
def test_reachable_support(case: Case) -> None:
    chain, truth = case.chain, case.truth
    wide = me.entanglement(chain, "atv", support="reachable")
    assert wide.support == "reachable"
    everything = np.ones(len(truth.pairs), dtype=bool)
    for i in range(chain.n_agents):
        assert wide.per_agent[i] == pytest.approx(truth.atv(i, everything), abs=LP)
    assert (wide.per_agent >= me.entanglement(chain, "atv").per_agent - 1e-9).all()


def test_transient_pairs_do_not_count_unless_asked() -> None:
    """Separable where it stays, entangled where it starts: the support decides."""
    p = np.full((4, 4), 0.25)
    p[0], p[1] = [0, 0, 0.5, 0.5], [0, 0, 1, 0]  # agent 0 leaves state 0 for good
    p[2] = p[3] = [0, 0, 0.5, 0.5]
    chain = me.JointChain(p, (2, 2)).under()
    assert me.entanglement(chain, "atv").total < 1e-9
    # agent 1 at x_1 = 0 always (1/2, 1/2); at x_1 = 1 it is (1, 0) if x_0 = 0, else (1/2, 1/2)
    assert me.entanglement(chain, "atv", support="reachable").per_agent.tolist() == pytest.approx(
        [0, 0.25], abs=1e-9
    )


@given(cases(kinds=("weakly-coupled",), agents=(1, 3)))
@settings(max_examples=20)
def test_policy_distance(case: Case) -> None:
    """Prop. 7.2 by linear programs: key s_i, law pi(a_i|s), weight mu(s)."""
    chain, truth = case.chain, case.truth
    measured = me.entanglement(chain, "policy").per_agent
    nu = np.zeros(len(truth.states))
    for (s, _), m in zip(truth.index, truth.mu, strict=True):
        nu[s] += m
    for i in range(chain.n_agents):
        marginal = np.zeros((len(nu), case.n_actions[i]))
        for a, action in enumerate(truth.actions):
            marginal[:, action[i]] += case.table[:, a]
        total = 0.0
        for k in range(case.n_states[i]):
            share = [s for s, state in enumerate(truth.states) if state[i] == k and nu[s] > 0]
            total += median_lp(marginal[share], nu[share]) if share else 0.0
        assert measured[i] == pytest.approx(total, abs=LP)


def test_a_wrong_measure_is_caught() -> None:
    """Negative control: the oracles tell neighbouring chains apart."""
    right, wrong = (me.gallery.build("appendix-e", delta=d).chain() for d in (0.2, 0.201))
    case = build("chain", (2, 2), (1, 1), "uniform", False, 0)
    assert me.entanglement(right).per_agent[1] != pytest.approx(me.entanglement(wrong).per_agent[1], abs=LP)
    assert case.truth.mu_atv(0) > 1e-3 and case.truth.atv(0) > case.truth.mu_atv(0)


# --- order and range ------------------------------------------------------------------------------------


@given(cases())
@settings(max_examples=40)
def test_order_of_measures(case: Case) -> None:
    """0 <= mu-atv <= atv <= 1; the plug-in lies in [E, 2E]; TV(P_i, M_i*) <= E_i in the matching sense."""
    chain = case.chain
    mean, worst = me.entanglement(chain), me.entanglement(chain, "atv")
    for i, (low, high) in enumerate(zip(mean.fits, worst.fits, strict=True)):
        assert -1e-15 <= low.value <= high.value + 1e-9 <= 1 + 1e-8
        assert 0 <= high.gap <= 1e-9
        rows = chain.rows(i)
        ebar = float(rows.weight @ plug_in(rows))
        assert low.value <= ebar + 1e-12 and ebar <= 2 * low.value + 1e-12
        seen = rows.key_weight > 0
        p_i = chain.local_transition(i)
        off = 0.5 * np.abs(p_i - low.law)[seen].sum(axis=1)
        assert rows.key_weight[seen] @ off <= low.value + 1e-12
        assert (0.5 * np.abs(p_i - high.law)[seen].sum(axis=1)).max() <= high.value + 1e-8
        for fit in (low, high):
            model = fit.law[seen]
            assert model.min() >= -1e-12 and np.abs(model.sum(axis=1) - 1).max() < 1e-9
        tv = 0.5 * np.abs(rows.law - np.nan_to_num(low.law)[rows.key]).sum(axis=1)
        assert rows.weight @ tv == pytest.approx(low.value, abs=1e-12)
        tv = 0.5 * np.abs(rows.law - np.nan_to_num(high.law)[rows.key]).sum(axis=1)
        assert tv[chain.recurrent].max() == pytest.approx(high.value, abs=2e-9)
        assert low.per_key.sum() == pytest.approx(low.value) and high.per_key.max() == pytest.approx(
            high.value
        )


def test_extremes() -> None:
    """E = 0 for independent agents; the largest value 1/2 of two states for a perfect copy."""
    p = np.zeros((4, 4))
    for a, b in itertools.product(range(2), repeat=2):
        for t in range(2):
            p[2 * a + b, 2 * t + a] += 0.5
    copy = me.JointChain(p, (2, 2)).under()
    assert me.entanglement(copy, "atv").per_agent.tolist() == pytest.approx([0, 0.5], abs=1e-9)
    assert me.entanglement(copy).per_agent.tolist() == pytest.approx([0, 0.5], abs=1e-12)
    # m equally likely laws, all apart: the best model misses 1 - 1/m of each
    m = 4
    p = np.zeros((m * m, m * m))
    for a, b, t in itertools.product(range(m), repeat=3):
        p[m * a + b, m * t + a] += 1 / m
    assert me.entanglement(me.JointChain(p, (m, m)).under()).per_agent[1] == pytest.approx(1 - 1 / m)


# --- invariances ----------------------------------------------------------------------------------------


def _permuted(p: np.ndarray, sizes: tuple[int, ...], order: Any, relabel: list[np.ndarray]) -> np.ndarray:
    """The same chain with agents in another order and their states renamed."""
    n, k = len(p), len(sizes)
    t = p.reshape(*sizes, *sizes)
    for axis, names in enumerate(relabel):
        t = np.take(np.take(t, names, axis=axis), names, axis=k + axis)
    return t.transpose(*order, *[k + o for o in order]).reshape(n, n)


@given(st.integers(0, 10**6), st.permutations([0, 1, 2]))
@settings(max_examples=15)
def test_relabelling_changes_nothing(seed: int, order: list[int]) -> None:
    rng, sizes = np.random.default_rng(seed), (2, 3, 2)
    p = random_laws(rng, (12, 12), seed % 2 == 0)
    names = [rng.permutation(m) for m in sizes]
    other = _permuted(p, sizes, order, names)
    for distance in ("mu-atv", "atv"):
        mine = me.entanglement(me.JointChain(p, sizes).under(), distance).per_agent
        theirs = me.entanglement(
            me.JointChain(other, tuple(sizes[o] for o in order)).under(), distance
        ).per_agent
        assert np.abs(mine[order] - theirs).max() < 1e-8
    assert not np.allclose(p, other) or order == [0, 1, 2]


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_renaming_actions_changes_nothing(seed: int) -> None:
    case = build("mdp", (2, 2), (3, 2), "table", False, seed)
    rng = np.random.default_rng(seed)
    first, second = rng.permutation(3), rng.permutation(2)
    joint = np.array([2 * a + b for a in first for b in second])
    rewards = [case.rewards[0].reshape(2, 3)[:, first], case.rewards[1].reshape(2, 2)[:, second]]
    other = me.MultiAgentMDP(
        case.kernel[:, joint], rewards, n_states=(2, 2), n_actions=(3, 2), discount=case.discount
    ).under(case.table[:, joint])
    for distance in ("mu-atv", "atv"):
        mine = me.entanglement(case.chain, distance).per_agent
        assert np.abs(mine - me.entanglement(other, distance).per_agent).max() < 1e-8
    mine, theirs = me.value_decomposition(case.chain), me.value_decomposition(other)
    assert mine.error("mu") == pytest.approx(theirs.error("mu"), rel=1e-9)


def test_splitting_an_agent_in_a_copy_changes_nothing_for_the_others() -> None:
    """A bystander that moves by itself adds an E of 0 and leaves the others as they are."""
    p = np.asarray(me.gallery.build("appendix-e").system.transition.toarray())
    alone = np.array([[0.9, 0.1], [0.3, 0.7]])
    chain = me.JointChain(np.kron(p, alone), (2, 2, 2)).under()
    assert me.entanglement(chain).per_agent.tolist() == pytest.approx([0, 0.4, 0], abs=1e-12)


# --- planted ---------------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(2, 3), min_size=2, max_size=3),
    st.integers(1, 4),
    st.integers(0, 10**6),
    st.booleans(),
)
@settings(max_examples=20)
def test_planted_separable_chains_have_no_entanglement(
    sizes: list[int], terms: int, seed: int, signed: bool
) -> None:
    p = separable_chain(tuple(sizes), terms, seed, signed)
    chain = me.JointChain(p, tuple(sizes)).under()
    assert me.entanglement(chain).total < 1e-12
    assert me.entanglement(chain, "atv").total < 1e-8
    # negative control: move 0.3 of one row's mass to where agent 0 then depends on agent 1
    bad = p.copy()
    bad[0] = 0.7 * bad[0]
    bad[0, -1] += 0.3
    assert me.entanglement(me.JointChain(bad, tuple(sizes)).under(), "atv").total > 1e-3


@pytest.mark.parametrize("n", [2, 3, 4])
def test_uniform_choice_of_m_among_n_is_separable(n: int) -> None:
    """Shared randomness: who is served is drawn without looking at the states."""
    rng = np.random.default_rng(n)
    kernels = [random_laws(rng, (2, s, s), False) for s in (2, 3, 2, 3)[:n]]
    system = me.WeaklyCoupledMDP(kernels, [np.zeros(len(k[0])) for k in kernels], discount=0.9, budget=n // 2)
    chain = system.under(me.UniformPolicy())
    for distance in ("mu-atv", "atv", "policy"):
        assert me.entanglement(chain, distance).total < 1e-8
    if n > 2:
        served = me.entanglement(system.under(me.IndexPolicy([np.arange(k.shape[1]) for k in kernels])))
        assert served.total > 1e-3  # negative control: an index policy looks


# --- rows: the narrow waist -------------------------------------------------------------------------------


def test_rows_of_any_origin_are_measured_alike() -> None:
    laws = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    rows = Rows(np.array([0, 2, 0, 2, 0]), np.array([0.2, 0.3, 0.1, 0.0, 0.4]), laws, 4)
    assert rows.key_weight.tolist() == pytest.approx([0.7, 0, 0.3, 0])
    assert np.isnan(rows.mean_law[1]).all() and np.isnan(rows.mean_law[3]).all()
    assert rows.mean_law[0] == pytest.approx((0.2 * laws[0] + 0.1 * laws[2] + 0.4 * laws[4]) / 0.7)
    mean, worst = fit_mean(rows), fit_worst(rows)
    assert mean.value == pytest.approx(median_lp(laws[[0, 2, 4]], np.array([0.2, 0.1, 0.4])), abs=LP)
    assert worst.value == pytest.approx(max(centre_lp(laws[[0, 2, 4]]), centre_lp(laws[[1, 3]])), abs=LP)
    assert np.isnan(mean.law[1]).all() and np.isnan(worst.law[3]).all()
    finer = rows.refine(np.array([0, 1, 1, 0, 0]), 2)
    assert fit_mean(finer).value == pytest.approx(median_lp(laws[[0, 4]], np.array([0.2, 0.4])), abs=LP)
    assert fit_mean(rows.where(rows.weight > 0)).value == pytest.approx(mean.value)


def test_answers() -> None:
    chain = me.gallery.build("circulant").chain()
    for distance in ("mu-atv", "atv", "policy"):
        e = me.entanglement(chain, distance)
        assert e.to_dict() == {
            "per_agent": e.per_agent.tolist(), "total": e.total, "multiplicity": [1] * 5,
        }  # fmt: skip
        assert not e.per_agent.flags.writeable and distance in repr(e)
        assert math.isclose(e.total, sum(e.per_agent))
    assert me.entanglement(me.gallery.build("parity").chain(), "policy").total == 0  # nobody acts
    first, again = (me.entanglement(me.gallery.build("circulant").chain()) for _ in range(2))
    assert first.per_agent.tobytes() == again.per_agent.tobytes()


def test_signature_is_the_interface() -> None:
    """`entanglement(chain, distance="mu-atv", *, method="auto", rng=None)`."""
    found = inspect.signature(me.entanglement).parameters
    assert list(found)[:2] == ["chain", "distance"] and found["distance"].default == "mu-atv"
    for name, default in (("method", "auto"), ("rng", None)):
        assert name in found and found[name].default == default
        assert found[name].kind is inspect.Parameter.KEYWORD_ONLY
