"""Policies side by side against dense solves."""

from __future__ import annotations

import json

import numpy as np
import pytest

import markov_entanglement as me
from helpers import build
from markov_entanglement.errors import InvalidInput
from test_control import best_values, worth

CASE = build("mdp", (2, 3), (2, 2), "uniform", False, 7)
POLICIES = {"uniform": me.UniformPolicy(), "best": me.optimal_policy(CASE.system), "table": CASE.table}


def test_values_and_order() -> None:
    found = me.compare(POLICIES, CASE.system)
    assert [x.value for x in found.lines] == sorted((x.value for x in found.lines), reverse=True)
    by_name = {x.name: x for x in found.lines}
    assert by_name["uniform"].value == pytest.approx(worth(CASE, CASE.table).mean(), rel=1e-9)
    assert by_name["best"].value == pytest.approx(best_values(CASE).mean(), rel=1e-9)
    assert found.lines[0].name == "best"
    assert by_name["uniform"].value != pytest.approx(by_name["best"].value, rel=1e-3)  # negative control


def test_lines_agree_with_the_single_questions() -> None:
    line = next(x for x in me.compare(POLICIES, CASE.system).lines if x.name == "uniform")
    d = me.value_decomposition(CASE.chain)
    assert line.error_mu == d.error("mu") and line.unexplained == d.unexplained
    assert line.entanglement == me.entanglement(CASE.chain).total
    reward = CASE.truth.mu @ CASE.truth.reward(CASE.rewards)
    assert line.average_reward == pytest.approx(reward, rel=1e-9)


def test_certainty() -> None:
    """Equal policies are called so; different ones can be told apart, and the sentence says so."""
    twins = me.compare({"a": me.UniformPolicy(), "b": CASE.table}, CASE.system)
    assert not twins.lines[0].certain and not twins.lines[1].certain
    assert "a and b are the same policy" in twins.sentence and "Cannot tell" not in twins.sentence
    assert [x.name for x in twins.lines] == ["a", "b"], "equal values in the user's order"
    apart = me.compare({"a": me.UniformPolicy(), "b": POLICIES["best"]}, CASE.system)
    assert apart.lines[0].certain and apart.sentence.startswith("b is best")
    gap = apart.lines[0].value - apart.lines[1].value
    assert gap > apart.lines[0].uncertainty + apart.lines[1].uncertainty
    alone = me.compare({"a": me.UniformPolicy()}, CASE.system)
    assert alone.lines[0].certain and "a is worth" in alone.sentence


@pytest.mark.parametrize("start", [(0, 0), (1, 2)])
def test_start_of_the_comparison(start: tuple[int, int]) -> None:
    found = me.compare({"uniform": me.UniformPolicy()}, CASE.system, initial=start)
    assert found.lines[0].value == pytest.approx(worth(CASE, CASE.table)[3 * start[0] + start[1]], rel=1e-9)
    law = np.zeros(6)
    law[[0, 5]] = 0.5
    mixed = me.compare({"uniform": me.UniformPolicy()}, CASE.system, initial=law)
    assert mixed.lines[0].value == pytest.approx(worth(CASE, CASE.table)[[0, 5]].mean(), rel=1e-9)


def test_answers() -> None:
    found = me.compare(POLICIES, CASE.system)
    assert json.loads(json.dumps(found.to_dict()))["sentence"] == found.sentence
    text = found.summary()
    assert found.sentence in text and all(name in text for name in POLICIES)
    assert text.endswith("values: exact") and max(map(len, text.splitlines())) <= 80
    said = " ".join(text.split())
    assert "reward units (discounted sum)" in said and "average_reward: per step" in said
    head = next(line for line in text.splitlines() if line.startswith("  policy "))
    assert set(head.split()) - {"policy"} <= set(vars(found.lines[0])), "columns are attributes"


def test_refusals() -> None:
    for bad in ({}, None, [me.UniformPolicy()]):
        with pytest.raises(InvalidInput, match="policies"):
            me.compare(bad, CASE.system)
    with pytest.raises(InvalidInput, match="rewards"):
        me.compare({"a": None}, me.JointChain(np.full((4, 4), 0.25), (2, 2)))


def test_the_same_policy_by_two_names() -> None:
    """Whittle and LP priorities that serve alike are not "cannot tell apart"."""
    kernel = [[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.4, 0.6]]]
    system = me.WeaklyCoupledMDP([kernel] * 3, [[0, 1]] * 3, discount=0.9, budget=1)
    found = me.compare({"uniform": "uniform", "whittle": "whittle", "lp": "lp"}, system)
    assert [x.name for x in found.lines] == ["whittle", "lp", "uniform"]
    assert found.sentence.startswith(
        "whittle and lp are the same policy: they act alike in every state, and it is best: "
    )
    assert found.sentence.endswith(" of uniform.") and "reward units (discounted sum)" in found.sentence
    twice = me.compare({"whittle": "whittle", "lp": "lp"}, system)
    assert (
        twice.sentence.startswith("whittle and lp are the same policy") and "each is worth" in twice.sentence
    )
    assert found.lines[0].digest == found.lines[1].digest != found.lines[2].digest
    bandit = me.RestlessBandit(kernel, [0, 1], n_arms=9, budget=3, discount=0.9)
    assert "are the same policy" in me.compare({"a": "whittle", "b": me.IndexPolicy([7, 1])}, bandit).sentence


def test_policies_that_differ_and_earn_the_same_cannot_be_told_apart() -> None:
    flat = me.WeaklyCoupledMDP([[[[0.5, 0.5]] * 2] * 2] * 2, [[0, 1]] * 2, discount=0.9, budget=1)
    found = me.compare({"a": me.IndexPolicy([1, 0]), "b": me.IndexPolicy([0, 1])}, flat)
    assert found.sentence.startswith(
        "Cannot tell a and b apart: 10 and 10 reward units (discounted sum) agree to within"
    )
    assert [x.name for x in found.lines] == ["a", "b"]
