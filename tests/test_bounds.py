"""The table of bounds: names, norms, order, and the improvements that cost nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import markov_entanglement as me
from helpers import Case, build, cases
from markov_entanglement.values.bounds import Bound, theorem_bound, transition_bias


def tables(case: Case) -> tuple[me.ValueDecomposition, dict[str, me.Entanglement], tuple[Bound, ...]]:
    names = ["atv", "mu-atv"] + (["policy"] if case.kind == "weakly-coupled" else [])
    measures = {n: me.entanglement(case.chain, n) for n in names}
    d = me.value_decomposition(case.chain)
    return d, measures, me.error_bounds(d, measures)


@given(cases())
@settings(max_examples=40)
def test_every_line_is_above_the_truth(case: Case) -> None:
    d, _, table = tables(case)
    slack = 1e-7 * max(1.0, float(np.abs(d.joint_q).max())) / (1 - case.discount)
    assert len(table) >= 6
    for line in table:
        assert line.truth == d.error(line.norm)
        assert line.value >= line.truth - slack, line
        assert line.to_dict() == {
            "distance": line.distance, "norm": line.norm, "bound": line.value, "truth": line.truth
        }  # fmt: skip


@given(cases(agents=(2, 3)))
@settings(max_examples=25)
def test_values_of_the_lines(case: Case) -> None:
    """Every line recomputed from E_i, rewards and local values."""
    _, measures, table = tables(case)
    truth, gamma = case.truth, case.discount
    seen = [sorted({x[i] for x, on in zip(truth.pairs, truth.recurrent, strict=True) if on})
            for i in range(len(truth.sizes))]  # fmt: skip
    r_max = [np.abs(r[s]).max() for r, s in zip(case.rewards, seen, strict=True)]
    half = [(r[s].max() - r[s].min()) / 2 for r, s in zip(case.rewards, seen, strict=True)]
    lines = {b.name: b for b in table}
    assert len(lines) == len(table), "names are unique"
    number = ("5.5", "5.10") if len(truth.sizes) == 2 else ("H.2", "6.3")
    for distance, norm, theorem in (("atv", "sup", number[0]), ("mu-atv", "mu", number[1])):
        line = lines[f"Theorem {theorem}"]
        assert (line.distance, line.norm) == (distance, norm)
        e = measures[distance].per_agent
        assert line.value == pytest.approx(4 * gamma * (e @ r_max) / (1 - gamma) ** 2)
        better = lines[f"Theorem {theorem}, half spans"]
        assert better.value == pytest.approx(4 * gamma * (e @ half) / (1 - gamma) ** 2)
        assert better.value <= line.value + 1e-12
    spans = 0.0
    for i in range(len(truth.sizes)):
        law, p_i = truth.next_law(i), np.nan_to_num(truth.local_transition(i))
        tv = np.array([0.5 * np.abs(law[x] - p_i[pair[i]]).sum() for x, pair in enumerate(truth.pairs)])
        q = truth.local_q(i, case.rewards[i], gamma)
        spans += float(truth.mu @ tv) * float(np.nanmax(q) - np.nanmin(q))
    assert lines["value spans (mu)"].value == pytest.approx(gamma / (1 - gamma) * spans, abs=1e-6)
    assert lines["value spans (sup)"].norm == "sup"


@given(cases())
@settings(max_examples=25)
def test_transition_bias_is_at_most_the_entanglement(case: Case) -> None:
    for distance in ("mu-atv", "atv"):
        measured = me.entanglement(case.chain, distance)
        for i, fit in enumerate(measured.fits):
            assert -1e-15 <= transition_bias(case.chain, i, fit) <= fit.value + 1e-8


def test_formula() -> None:
    assert theorem_bound([0.1, 0.2], [1.0, 3.0], 0.5) == pytest.approx(4 * 0.5 * 0.7 / 0.25)
    assert theorem_bound([0.1], [1.0], 0.0) == 0.0
    assert theorem_bound([0.1], [1.0], 0.5) != pytest.approx(theorem_bound([0.1], [1.0], 0.51))
    with pytest.raises(ValueError):
        theorem_bound([0.1], [1.0, 2.0], 0.5)


def test_ratio() -> None:
    assert Bound("t", "atv", "sup", 6.0, 2.0).ratio == 3.0
    assert Bound("t", "atv", "sup", 0.0, 0.0).ratio == 1.0
    assert math.isinf(Bound("t", "atv", "sup", 1.0, 0.0).ratio)


@given(st.integers(0, 10**6))
@settings(max_examples=10)
def test_shared_reward(seed: int) -> None:
    """Prop. J.7: `+ e(r)/(1-gamma)`, mu-norm only, and it still holds."""
    case = build("mdp", (2, 2), (2, 2), "table", seed % 2 == 0, seed)
    joint = np.random.default_rng(seed).normal(size=(4, 4))
    d = me.value_decomposition(case.chain, joint, 0.9)
    table = me.error_bounds(d, [me.entanglement(case.chain, n) for n in ("atv", "mu-atv")])
    assert table and all(b.norm == "mu" for b in table)
    slack = d.shared.error / 0.1
    for b in table:
        assert b.value >= slack - 1e-12 and b.value >= b.truth - 1e-8
    assert any("J.7" in b.name for b in table)


def test_measures_may_be_a_list_or_a_mapping() -> None:
    chain = me.gallery.build("circulant").chain()
    d, e = me.value_decomposition(chain), me.entanglement(chain)
    assert me.error_bounds(d, [e]) == me.error_bounds(d, {"mu-atv": e})
    policy = me.error_bounds(d, [me.entanglement(chain, "policy")])
    assert any("Prop. 7.2" in b.name and b.distance == "policy" for b in policy)


def test_no_bound_is_lost_under_the_name_of_another() -> None:
    """Both supports of "atv" and of "tv", and one measure given twice."""
    chain = me.gallery.build("follower").chain()
    d = me.value_decomposition(chain)
    both = [me.entanglement(chain, n, support=s) for n in ("atv", "tv") for s in ("recurrent", "reachable")]
    found = me.error_bounds(d, [*both, me.entanglement(chain), me.entanglement(chain)])
    assert len(found.to_dict()) == len(found) == len(found.tables()["bounds"]) == 15
    wide = {b.name: b.value for b in found if ", reachable" in b.name}
    narrow = {b.name: b.value for b in found if b.distance in ("atv", "tv") and b.name not in wide}
    assert {n.replace(", reachable", "") for n in wide} == set(narrow) and len(wide) == 4
    assert all(v >= narrow[n.replace(", reachable", "")] - 1e-12 for n, v in wide.items())


def test_a_bound_below_the_truth_would_be_seen() -> None:
    """Negative control: a tenth of the best bound fails the comparison in a chain where it is nearly tight."""
    chain = me.gallery.build("appendix-e").chain()
    d = me.value_decomposition(chain)
    best = min(b.ratio for b in me.error_bounds(d, [me.entanglement(chain, n) for n in ("atv", "mu-atv")]))
    assert 1.0 <= best < 10.0
