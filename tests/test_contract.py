"""Every source answers every question as brute force does (`contract.py` has the tables)."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatch
from functools import cache
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
import oracles_space as o
from brute import World
from contract import NORMS, QUESTIONS, REFUSED, SOURCES, Source, ask


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("source", SOURCES)
def test_answers(source: str, question: str) -> None:
    ask(source, question)


# --- the tables themselves -----------------------------------------------------------------------------------


def test_no_table_names_what_is_not_there() -> None:
    names = [f"{s}/{q}" for s in SOURCES for q in QUESTIONS]
    for pattern in REFUSED:
        assert any(fnmatch(n, pattern) for n in names), pattern


def test_sources_are_what_they_say() -> None:
    """Transient pairs, pairs never met, periods, several classes, ends, decisions that go wrong."""
    worlds = {name: make().world for name, make in SOURCES.items()}
    for name in ("mdp-sparse", "given-transient", "given-several", "bandit-transient", "bandit-periodic"):
        assert not worlds[name].recurrent.all(), name
    for name in ("given-transient", "bandit-transient", "mdp-fixed"):
        assert np.isnan(np.concatenate(worlds[name].local_q())).any(), name
    assert (worlds["given-periodic"].period, worlds["bandit-periodic"].period) == (2, 2)
    classes = {name: len(o.classes(w.p)) for name, w in worlds.items()}
    several = ("given-several", "given-split", "bandit-clock")
    assert all((n == 1) == (name not in several) for name, n in classes.items()), classes
    assert worlds["given-start"].n_pairs == 5 and (worlds["mdp-sparse"].kernel.sum(axis=2) == 0).any()
    assert all((w.ends is not None) == name.startswith("ends") for name, w in worlds.items())
    decided = {
        name: w.decision() for name, w in worlds.items() if classes[name] == 1 and o.spread(w.q(), w.mu)
    }
    wrong = [name for name, d in decided.items() if d["loss"] > 1e-6 and d["right"] < 1]
    assert {n.split("-")[0] for n in wrong} == {"mdp", "coupled", "bandit", "ends"}
    assert 0 < decided["mdp-fixed"]["excluded"] < 1 and decided["mdp-fixed"]["loss"] > 0


#: Answers that are words or inequalities, which a small fault need not change.
WORDS = {"recurrent", "separability", "values-junk", "analyze-verdict", "policy-or-system"}


@cache
def crooked() -> Source:
    """A chain beside brute force on rewards and laws that are off by 1e-4."""
    right = SOURCES["mdp-three"]()
    w = right.world
    kernel = 0.9999 * w.kernel + 0.0001 * np.roll(w.kernel, 1, axis=2)
    table = 0.9999 * w.table + 0.0001 * w.table[:, ::-1]
    wrong = World(w.n_states, w.n_actions, kernel, table, [1.0001 * r for r in w.rewards], w.discount)
    return replace(right, world=wrong)


@pytest.mark.parametrize("question", [q for q in QUESTIONS if q not in WORDS])
def test_a_wrong_answer_is_seen(question: str) -> None:
    """Negative control."""
    with pytest.raises(AssertionError):
        QUESTIONS[question](crooked())


@pytest.mark.parametrize("name", ["given-three", "bandit-two-arms", "ends-mdp"])
def test_bounds_are_those_of_the_oracle(name: str) -> None:
    """`World.bounds` measures on different laws only; `oracles_space.bounds` on all of them."""
    w = SOURCES[name]().world
    want = o.bounds(w.pc, w.pairs, w.mu, w.local_rewards, w.discount, w.ends)
    two = {"Theorem 5.10": "Theorem 6.3", "Theorem 5.5": "Theorem H.2"} if w.n_agents == 2 else {}
    for key, (norm, value) in w.bounds(["mu-atv", "atv"]).items():
        for old, new in two.items():
            key = key.replace(old, new)
        assert want[key][0] == norm and want[key][1] == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("name", ["given-three", "mdp-three"])
def test_best_pairs_are_those_of_the_oracle(name: str) -> None:
    w = SOURCES[name]().world
    want = o.best_pairs(w.q(), w.pairs, w.mu, 3)
    for (shares, least), (pair, share) in zip(w.best_pairs(3), want, strict=True):
        assert least == pytest.approx(share, abs=1e-9) and shares[pair] == pytest.approx(share, abs=1e-9)


# --- one answer for one system, however it is told -------------------------------------------------------------


@cache
def told_twice(name: str) -> tuple[Any, Any, list[int]]:
    """The joint chain of labelled arms, the same arms in counts, and the type of every arm."""
    if name.startswith("circulant"):
        gamma = float(name.split("-")[1])
        joint = me.gallery.build("circulant", n_arms=5, discount=gamma).chain()
        return joint, me.gallery.build("circulant-bandit", n_arms=5, discount=gamma).chain(), [0] * 5
    rng = np.random.default_rng(3)
    k, r = rng.dirichlet(np.ones(3), size=(2, 2, 3)), rng.normal(size=(2, 3, 2))
    order, of = rng.normal(size=(2, 3)), [0, 0, 1, 1]
    system = me.WeaklyCoupledMDP([k[t] for t in of], [r[t] for t in of], discount=0.8, budget=2)
    bandit = me.RestlessBandit(k, r, n_arms=[2, 2], budget=2, discount=0.8)
    joint = system.under(me.IndexPolicy([order[t] for t in of]))
    return joint, bandit.under(me.IndexPolicy(order)), of


twice = pytest.mark.parametrize("name", ["circulant-.5", "circulant-.9", "types"])


@twice
def test_joint_and_counts_agree_on_errors(name: str) -> None:
    joint, counts, of = told_twice(name)
    a, b = me.value_decomposition(joint), me.value_decomposition(counts)
    for norm in NORMS:
        assert b.error(norm) == pytest.approx(a.error(norm), rel=0, abs=1e-12)
    assert b.unexplained == pytest.approx(a.unexplained, rel=0, abs=1e-12)
    for i, t in enumerate(of):
        np.testing.assert_allclose(b.local_q[t], a.local_q[i], rtol=0, atol=1e-12)
    for distance in ("mu-atv", "atv", "policy", "spectral"):
        e, f = (me.entanglement(c, distance).per_agent for c in (joint, counts))
        np.testing.assert_allclose(np.asarray(f)[of], e, rtol=0, atol=1e-9)


@twice
def test_joint_and_counts_agree_on_bounds(name: str) -> None:
    tables = []
    for chain in told_twice(name)[:2]:
        measures = [me.entanglement(chain, d) for d in ("mu-atv", "atv", "policy")]
        tables.append({b.name: b for b in me.error_bounds(me.value_decomposition(chain), measures)})
    assert set(tables[0]) == set(tables[1]) and len(tables[0]) == 9
    for key, bound in tables[0].items():
        assert tables[1][key].value == pytest.approx(bound.value, rel=1e-8)
        assert tables[1][key].truth == pytest.approx(bound.truth, rel=0, abs=1e-12)


@twice
def test_joint_and_counts_agree_on_certificates(name: str) -> None:
    joint, counts, of = told_twice(name)
    local = me.value_decomposition(counts).local_q
    a = me.certificate(joint, None, None, [local[t] for t in of])
    b = me.certificate(counts, None, None, list(local))
    for norm in NORMS:
        for k, bracket in getattr(a, norm).items():
            assert getattr(b, norm)[k] == pytest.approx(bracket, rel=0, abs=1e-12)


@pytest.mark.parametrize(("gamma", "want"), [(0.5, 0.0113848), (0.9, 0.0535896)])
def test_joint_additive_values_of_counts(gamma: float, want: float) -> None:
    """Spec 9.2, circulant, five arms: L2(mu) error of joint additive values."""
    chain = told_twice(f"circulant-{str(gamma)[1:]}")[1]
    assert me.additive_values(chain).error("l2") == pytest.approx(want, abs=6e-8)


def test_twenty_arms_in_counts() -> None:
    """Circulant, N = 20, gamma .5: joint additive error .0033 beside .1192319 of local TD."""
    chain = me.gallery.build("circulant-bandit", n_arms=20, discount=0.5).chain()
    found = me.additive_values(chain)
    assert found.error("mu") == pytest.approx(0.0033, abs=6e-5)
    assert found.local_td.error("mu") == pytest.approx(0.1192319, abs=6e-8)


# --- verdicts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mdp-dense", "given-three", "bandit-two-arms", "ends-other"])
def test_verdict_follows_the_interval(name: str) -> None:
    """Above the interval of `unexplained` a tolerance means "add", below it "do-not-add"."""
    s = SOURCES[name]()
    truth = s.world.truth()["unexplained"]
    for factor, word in ((1 + 1e-6, "add"), (1 - 1e-6, "do-not-add")):
        assert me.analyze(s.chain, tolerance=truth * factor).verdict == word


def test_an_end_that_is_not_declared_gets_no_add() -> None:
    """An absorbing end holds the whole long run while live pairs exist; the answer says what to declare."""
    w = SOURCES["ends-given"]().world
    chain = me.JointChain(w.kernel[:, 0], (3, 3), rewards=list(w.rewards), discount=0.9).under(initial=(0, 0))
    found = me.analyze(chain)
    assert found.verdict == "cannot-tell" and "terminal" in found.sentence
    assert found.verdict == found.to_dict()["verdict"]["word"]


def test_spec_numbers_of_tasks_that_end() -> None:
    """Spec 9.1, by brute force: the numbers that the two sources must show."""
    w, v = SOURCES["ends-given"]().world, SOURCES["ends-other"]().world
    assert w.per_unit("mu-atv") == pytest.approx([0.4, 0.0], abs=1e-9)
    assert w.truth()["error_mu"] == pytest.approx(0.72) and w.q() == pytest.approx([1.72, 0.28, -0.28, -1.72])
    assert w.truth()["unexplained"] == pytest.approx(0.5843047, abs=5e-8)
    assert v.per_unit("mu-atv") == pytest.approx([0.1662338, 0.0], abs=5e-8)
    assert v.per_unit("atv") == pytest.approx([0.2, 0.0], abs=1e-9)
    want = {"error_mu": 0.0899954, "error_sup": 0.1711546, "unexplained": 0.0910864}
    assert {k: v.truth()[k] for k in want} == pytest.approx(want, abs=5e-8)
