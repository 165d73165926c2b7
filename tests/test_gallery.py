"""Contract of every gallery system: list, builders, facts; nothing is named here twice."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput
from markov_entanglement.gallery.facts import QUANTITIES
from markov_entanglement.gallery.registry import Entry, Fact, register

ENTRIES = me.gallery.entries()
FACTS = [(e, f) for e in ENTRIES for f in e.facts]
BUILDS = [(e, p) for e in ENTRIES for p in e.policies or ("",)]
#: Bandits under their other policies are checked beside the joint chain (`test_gallery_bandits.py`).
BUILDS = [
    (e, p) for e, p in BUILDS if not hasattr(e.build(p).system, "n_arms") or p == next(iter(e.policies))
]


def holds(entry: Entry, fact: Fact) -> None:
    """Fails unless the fact is true."""
    found = me.gallery.observe(entry, fact)
    if isinstance(fact.value, str) or isinstance(found, str):
        agrees = isinstance(found, str) and found == fact.value
    else:
        known = np.asarray(fact.value, dtype=np.float64)
        agrees = known.shape in ((), found.shape) and np.abs(found - known).max() <= fact.tolerance
    assert agrees, f"{entry.id}: {fact.quantity} is {found}, the record says {fact.value}"


def test_ids_are_unique_and_documented() -> None:
    ids = [e.id for e in ENTRIES]
    assert len(set(ids)) == len(ids)
    for e in ENTRIES:
        assert e.id == e.id.lower() and " " not in e.id
        assert e.title.strip() and e.summary.strip() and e.source.strip()
        assert e.facts, f"{e.id} has no known number"
        for f in e.facts:
            assert f.source.strip() and f.quantity in QUANTITIES and f.policy in ("", *e.policies)
            assert (f.tolerance == 0) == isinstance(f.value, str)
    fixed = "shared-randomness parity appendix-e circulant frozen-lake gast-2-cycle health armman"
    assert set(fixed.split()) <= set(ids)


def test_ids_cannot_be_taken_twice() -> None:
    with pytest.raises(InvalidInput, match="unique"):
        register(ENTRIES[0])
    assert me.gallery.entries() == ENTRIES


@pytest.mark.parametrize(("entry", "policy"), BUILDS, ids=[f"{e.id}-{p}" for e, p in BUILDS])
def test_contract(entry: Entry, policy: str) -> None:
    subject = entry.build(policy)
    found = me.check_system(subject.system, subject.policy)
    assert found.ok, found.summary()
    assert found.to_dict()["ok"] is True and len(found.checks) >= 5
    chain = subject.chain()
    assert abs(chain.occupancy.sum() - 1) < 1e-12
    if hasattr(subject.system, "labels"):
        e_mean, e_max = (me.entanglement(chain, d).per_agent for d in ("mu-atv", "atv"))
        assert (e_mean >= -1e-15).all() and (e_mean <= e_max + 1e-9).all() and (e_max <= 1 + 1e-9).all()
        labels = subject.system.labels
        for i in range(chain.n_agents):
            assert labels.agent(i) and labels.state(i, 0) and labels.action(i, 0)


@pytest.mark.parametrize(
    ("entry", "fact"), FACTS, ids=[f"{e.id}-{f.quantity}-{k}" for k, (e, f) in enumerate(FACTS)]
)
def test_fact(entry: Entry, fact: Fact) -> None:
    holds(entry, fact)


def test_a_wrong_fact_is_caught() -> None:
    """Negative control of `holds`."""
    entry = me.gallery.entry("appendix-e")
    holds(entry, Fact("mu-atv", (0.0, 0.4), 1e-12, "closed form"))
    for wrong in (Fact("mu-atv", (0.0, 0.41), 1e-3, ""), Fact("mu-atv", (0.4, 0.0), 1e-3, ""),
                  Fact("error_sup", 0.3, 1e-3, ""), Fact("mu-atv", (0.0,), 1e-3, ""),
                  Fact("mu-atv", "small", 0.0, ""), Fact("mu-atv", math.nan, 1.0, "")):  # fmt: skip
        with pytest.raises(AssertionError):
            holds(entry, wrong)
    bandit = me.gallery.entry("circulant-bandit")
    for wrong in (Fact("attractor", "violated", 0.0, ""), Fact("attractor", 1.0, 9.0, "")):
        with pytest.raises(AssertionError):
            holds(bandit, wrong)
    with pytest.raises(InvalidInput, match=r"quantity.*'mu-atw'.*'mu-atv'"):
        me.gallery.observe(entry, Fact("mu-atw", 0.0, 1.0, ""))


def test_the_page_is_up_to_date() -> None:
    text = (Path(__file__).parents[1] / "docs" / "gallery.md").read_text(encoding="utf-8")
    table = text[text.index("| system |") :].split("\n\n", 1)[0]  # its rows: test_benchmark.py
    assert text == me.gallery.page(table), "run: python docs/make_gallery.py"


def test_the_page_shows_every_record() -> None:
    page = me.gallery.page()
    for e in ENTRIES:
        assert f"\n## {e.id}\n" in page and e.title in page and e.summary in page and e.source in page
    assert page.count("\n| `") == sum(len(e.facts) for e in ENTRIES)


def test_records_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ENTRIES[0].id = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="obsrve"):
        me.gallery.obsrve  # noqa: B018


def test_default_policy_is_the_first() -> None:
    default, named = (me.gallery.build("circulant", p) for p in ("", "index"))
    assert (default.policy.priority[0] == named.policy.priority[0]).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: me.gallery.build("circulent"), "circulant"),
        (lambda: me.gallery.build("circulant", "indx"), "'index'"),
        (lambda: me.gallery.build("circulant", n_arms=3, budget=4), "budget.*got 4"),
        (lambda: me.gallery.build("circulant", discount=1.0), "discount.*got 1.0"),
    ],
)
def test_wrong_names_and_parameters(call: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        call()


# --- closed forms of spec section 8 ----------------------------------------------------------------------


@pytest.mark.parametrize("delta", [-0.25, -0.1, 0.0, 0.05, 0.25])
def test_appendix_e_closed_form(delta: float) -> None:
    """`E_A = 0, E_B = 2|d|`; `(I - gamma P)^{-1} = I + gamma/(1-gamma) ee'ee'/4 + d gamma (eps e')(e eps')`."""
    chain = me.gallery.build("appendix-e", delta=delta).chain()
    for distance in ("mu-atv", "atv"):
        assert np.abs(me.entanglement(chain, distance).per_agent - [0, 2 * abs(delta)]).max() < 1e-9
    e, eps, gamma = np.ones((2, 1)), np.array([[1.0], [-1.0]]), 0.7
    inverse = np.eye(4) + gamma / (1 - gamma) / 4 * np.ones((4, 4))
    inverse += delta * gamma * np.kron(eps @ e.T, e @ eps.T)
    rng = np.random.default_rng(0)
    r = [rng.normal(size=2), rng.normal(size=2)]
    d = me.value_decomposition(chain, r, gamma)
    assert np.abs(d.joint_q - inverse @ (np.repeat(r[0], 2) + np.tile(r[1], 2))).max() < 1e-12


@pytest.mark.parametrize(("n", "policy", "exact"), [(5, 0.0817592, 0.0397425)])
@pytest.mark.parametrize(("gamma", "error"), [(0.5, 0.0429941), (0.9, 0.2263230)])
def test_circulant_of_five(n: int, policy: float, exact: float, gamma: float, error: float) -> None:
    chain = me.gallery.build("circulant", n_arms=n, discount=gamma).chain()
    assert me.entanglement(chain, "policy").per_agent.tolist() == pytest.approx([policy] * n, abs=5e-8)
    assert me.entanglement(chain, "mu-atv").per_agent.tolist() == pytest.approx([exact] * n, abs=5e-8)
    assert me.value_decomposition(chain).error("mu") == pytest.approx(error, abs=5e-8)


@pytest.mark.parametrize("directions", [False, True])
def test_frozen_lake_pair(directions: bool) -> None:
    right = 0.041723 if directions else 0.018721
    chain = me.gallery.build("frozen-lake", directions=directions).chain()
    assert me.entanglement(chain).per_agent.tolist() == pytest.approx([right, right], abs=5e-7)
    alone = me.gallery.build("frozen-lake", "independent", directions=directions).chain()
    assert me.entanglement(alone).per_agent.max() < 1e-12


@pytest.mark.parametrize("stay", [0.5, 0.7, 0.9, 0.99])
def test_follower_closed_form(stay: float) -> None:
    """B's next state is A's present one, x_B = x_A's last: `P(x_A = x_B) = stay`, hence `E_B = 1 - stay`."""
    chain = me.gallery.build("follower", stay=stay).chain()
    assert me.entanglement(chain).per_agent.tolist() == pytest.approx([0.0, 1 - stay], abs=1e-12)
    assert math.isclose(me.entanglement(chain, "atv").per_agent[1], 0.5, abs_tol=1e-9)
    d = me.value_decomposition(chain)
    assert d.relative_error < 1e-3 and d.unexplained < 1e-3
