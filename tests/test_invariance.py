"""What a verdict must not depend on: the unit and the zero of rewards, and what is paid where nobody ever is again.

`unexplained` is unchanged under r -> a r + b, so the verdict is, too, or it says that it cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
import oracles_space as o
from contract import NORMS, arms, given

#: `unexplained` is .294 at gamma .9; and a chain that is nearly separable.
FAR = np.array([[4, 4, 0, 0], [2, 2, 2, 2], [0, 4, 4, 0], [1, 2, 2, 3]]) / 8
NEAR = np.kron([[0.5, 0.5], [0.25, 0.75]], [[0.5, 0.5], [0.75, 0.25]]) + 2**-8 * np.outer(
    [1, 0, 0, -1], [1, -1, -1, 1]
)
REST, SERVE = np.array([[0.5, 0.5], [0.0, 1.0]]), np.array([[0.25, 0.75], [1.0, 0.0]])


def joint(p: np.ndarray) -> Callable[[Sequence[np.ndarray], float], Any]:
    return lambda r, gamma: me.JointChain(p, (2, 2), rewards=r, discount=gamma).under()


def counts(r: Sequence[np.ndarray], gamma: float) -> Any:
    bandit = me.RestlessBandit([REST, SERVE], r[0], n_arms=3, budget=1, discount=gamma)
    return bandit.under(me.IndexPolicy([1.0, 0.0]))


#: name -> what makes the chain, rewards, and the word at gamma .9 and any larger discount.
SYSTEMS: dict[str, tuple[Callable[..., Any], list[np.ndarray], str]] = {
    "far": (joint(FAR), [np.array([0.0, 1.0]), np.array([0.0, 1.0])], "do-not-add"),
    "near": (joint(NEAR), [np.array([0.0, 1.0]), np.array([0.0, 1.0])], "add"),
    "counts": (counts, [np.array([0.0, 1.0])], "do-not-add"),
}
#: (a, b) such that `a r + b` still holds the differences of r, which are 0 and 1.
SHIFTS = [
    (1.0, 0.0), (-1.0, 0.0), (1.0, 1.0), (1.0, -1e6), (1.0, 1e11), (-1.0, 1e12), (1e-6, 1e5), (1e12, 1e12),
    (1e150, 1e12), (1e150, 0.0), (-1e150, 0.0), (1e-150, 0.0), (1e-200, 0.0), (1e200, 0.0),
]  # fmt: skip


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_word_at_rest(name: str) -> None:
    """The words of the table, by brute force, and for patient systems, too."""
    make, r, word = SYSTEMS[name]
    assert me.analyze(make(r, 0.9)).verdict == word
    for gamma in (0.9, 0.9999):
        if name == "counts":
            pay = np.repeat(r[0][None, :, None], 2, axis=2)
            w = arms(np.array([[REST, SERVE]]), pay, (3,), 1, gamma, np.array([[1.0, 0.0]])).world
        else:
            w = given(FAR if name == "far" else NEAR, (2, 2), r, gamma).world
        share = w.truth()["unexplained"]
        assert (share > 0.05) == (word == "do-not-add") and abs(share - 0.05) > 0.02


@pytest.mark.parametrize(("a", "b"), SHIFTS)
@pytest.mark.parametrize("name", SYSTEMS)
def test_verdicts_do_not_read_units(name: str, a: float, b: float) -> None:
    make, r, word = SYSTEMS[name]
    shifted = [a * r[0] + b, *(a * x for x in r[1:])]
    assert np.ptp(shifted[0]) == pytest.approx(abs(a), rel=1e-3)
    found = me.analyze(make(shifted, 0.9))
    assert found.verdict in (word, "cannot-tell")
    if abs(b) <= 1e6 * abs(a):  # ten digits of the differences are left
        assert found.verdict == word


@pytest.mark.parametrize("gap", [1e-3, 1e-6, 1e-8, 1e-9, 1e-10, 1e-12])
@pytest.mark.parametrize("name", SYSTEMS)
def test_verdicts_do_not_read_the_horizon(name: str, gap: float) -> None:
    """`unexplained` tends to a limit as gamma tends to 1."""
    make, r, word = SYSTEMS[name]
    found = me.analyze(make(r, 1 - gap))
    assert found.verdict in (word, "cannot-tell")
    if gap >= 1e-6:
        assert found.verdict == word


def patient_error(p: np.ndarray, r: list[np.ndarray], gamma: float) -> float:
    """`||Q - sum Q_i||_mu` without the large constants that cancel: relative values on both sides."""
    pairs, mu = o.product((2, 2)), o.stationary(p)
    drift = np.zeros(4)
    for i, pay in enumerate(r):
        own, weight = o.local_carry(p, pairs, mu, i), np.bincount(pairs[:, i], mu)
        h = np.linalg.solve(np.eye(2) - gamma * own + weight, pay - weight @ pay)
        drift += gamma * (p @ h[pairs[:, i]] - (own @ h)[pairs[:, i]])
    return o.norm(np.linalg.solve(np.eye(4) - gamma * p + mu, drift), mu, "mu")


@pytest.mark.parametrize("gap", [1e-3, 1e-8, 1e-9, 1e-12])
def test_errors_of_patient_systems(gap: float) -> None:
    """At discount 1 - 1e-8 the error is .275; it is shown, up to what one rounding of P does to it."""
    make, r, _ = SYSTEMS["far"]
    truth = patient_error(FAR, r, 1 - gap)
    assert patient_error(FAR, r, 1 - 1e-8) == pytest.approx(0.275, abs=5e-4)
    values = me.analyze(make(r, 1 - gap)).to_dict()["values"]
    assert values["error_mu"] == pytest.approx(truth, rel=1e-9 + 2**-51 / gap)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e6, 1e150])
@pytest.mark.parametrize("name", SYSTEMS)
def test_an_interval_goes_with_every_share(name: str, scale: float) -> None:
    """The rounding allowance of `unexplained` is tiny where nothing cancels, and scale-free."""
    make, r, _ = SYSTEMS[name]
    values = me.analyze(make([scale * x for x in r], 0.9)).to_dict()["values"]
    low, high = values["intervals"]["unexplained"]
    assert low <= values["unexplained"] <= high and high - low < 1e-9


# --- what is paid on transient pairs ---------------------------------------------------------------------------


def leaving(pay: float) -> Any:
    """Joint pairs with local pair 2 of agent 0 are left for ever; that local pair pays `pay`."""
    p = np.zeros((6, 6))
    p[:, :4] = FAR[[0, 1, 2, 3, 1, 2]]
    return me.JointChain(p, (3, 2), rewards=[[0.0, 1.0, pay], [0.0, 1.0]], discount=0.9).under()


def forgetting(pay: float) -> Any:
    """Arms leave state 2 for ever under either action; it pays `pay`."""
    k = np.zeros((2, 3, 3))
    k[:, :2, :2], k[:, 2, :2] = [REST, SERVE], 0.5
    bandit = me.RestlessBandit(k, [0.0, 1.0, pay], n_arms=3, budget=1, discount=0.9)
    return bandit.under(me.IndexPolicy([1.0, 0.0, 2.0]))


TRANSIENT = {"joint": leaving, "counts": forgetting}


@pytest.mark.parametrize("pay", [-1e12, 1e12, -1e150, 1e15])
@pytest.mark.parametrize("kind", TRANSIENT)
def test_pay_on_transient_pairs_changes_nothing(kind: str, pay: float) -> None:
    """A reward of -1e12 where nobody ever returns to."""
    calm, wild = TRANSIENT[kind](0.0), TRANSIENT[kind](pay)
    want = me.analyze(calm).to_dict()
    assert want["verdict"]["word"] == "do-not-add"
    found = me.analyze(wild).to_dict()
    assert found["verdict"]["word"] == "do-not-add"
    for key in ("error_mu", "error_sup", "error_l2", "relative_error", "unexplained"):
        assert found["values"][key] == pytest.approx(want["values"][key], rel=1e-9)
    for key, bound in want["bounds"].items():
        assert found["bounds"][key]["bound"] == pytest.approx(bound["bound"], rel=1e-8)
    for norm in NORMS:
        for k, bracket in want["certificate"][norm].items():
            assert found["certificate"][norm][k] == pytest.approx(bracket, rel=1e-9, abs=1e-12)


def test_the_evaluation_is_in_the_units_of_the_reward() -> None:
    """`evaluation` of a decomposition, whose solve leaves out constants and scale."""
    make, r, _ = SYSTEMS["far"]
    chain = make([1000.0 * r[0] + 7.0, 1000.0 * r[1]], 0.9)
    found = me.value_decomposition(chain)
    pairs = o.product((2, 2))
    q = np.linalg.solve(np.eye(4) - 0.9 * FAR, o.reward_on(pairs, [1000.0 * r[0] + 7.0, 1000.0 * r[1]]))
    assert found.evaluation.q == pytest.approx(q, rel=1e-12)
    assert found.evaluation.v == pytest.approx(q, rel=1e-12)  # one action each
    assert found.evaluation.error_bound < 1e-6
