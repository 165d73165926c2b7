"""Policy improvement by local values: closed forms of the health bandit, and the pair that flips for ever."""

from __future__ import annotations

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.errors import InvalidInput, Unsupported
from test_agents import patients

GAMMA = 0.95
#: (p, g, tau) of stable, responsive and chronic patients.
PATIENTS = np.array([(0.30, 0.05, 0.10), (0.05, 0.10, 0.40), (0.02, 0.30, 0.15)])
WHITTLE = np.array([0.248366, 1.974026, 0.402542])


def health(who: np.ndarray, n_arms: list[int], budget: int) -> me.RestlessBandit:
    kernels = [[[[1 - p, p], [g, 1 - g]], [[1 - p - t, p + t], [g, 1 - g]]] for p, g, t in who]
    return me.RestlessBandit(kernels, [0.0, 1.0], n_arms=n_arms, budget=budget, discount=GAMMA)


def index_when_served(b: float) -> np.ndarray:
    p, g, tau = PATIENTS.T
    return GAMMA * tau / (1 - GAMMA * (1 - p - g - b * tau))


def test_one_round_from_the_null_policy_is_whittle() -> None:
    bandit = health(PATIENTS, [8, 6, 6], 4)
    found = me.improve(bandit, rounds=1)[0]
    assert np.abs(found.index - me.whittle_index(bandit).index).max() < 1e-8
    assert found.index[:, 0] == pytest.approx(WHITTLE, abs=1e-6) and found.index[:, 1] == pytest.approx(
        0, abs=1e-12
    )
    assert found.entanglement is None and found.certificate == (0.0, 0.0)


@pytest.mark.parametrize(
    ("b", "numbers"), [(0.05, [0.245320, 1.796690, 0.394600]), (0.2, [0.236613, 1.415270, 0.372549])]
)
def test_from_a_policy_that_treats_with_chance_b_the_index_has_a_closed_form(
    b: float, numbers: list[float]
) -> None:
    """In closed form z = gamma tau / (1 - gamma (1 - p - g - b tau)), that is 1/z - 1/w = b."""
    local = me.LocalPolicy([[[1 - b, b], [1, 0]]] * 3)
    z = me.improve(health(PATIENTS, [8, 6, 6], 4), local, rounds=1)[0].index[:, 0]
    assert z == pytest.approx(index_when_served(b), abs=1e-12) and z == pytest.approx(numbers, abs=1e-6)
    assert 1 / z - 1 / WHITTLE == pytest.approx(np.full(3, b), abs=1e-5)
    assert np.argsort(z).tolist() == np.argsort(WHITTLE).tolist()


def test_uniform_service_is_chance_budget_over_arms() -> None:
    z = me.improve(health(PATIENTS, [3, 3, 3], 2), me.UniformPolicy(), rounds=1, method="exact")[0].index[
        :, 0
    ]
    assert z == pytest.approx([0.235375, 1.372116, 0.369490], abs=1e-6)


def test_under_priorities_the_index_is_that_of_the_exact_chain_and_stays() -> None:
    bandit = health(PATIENTS, [3, 3, 3], 2)
    found = me.improve(bandit, "whittle", rounds=4, method="exact")
    assert found[0].index[:, 0] == pytest.approx([0.306108, 0.727911, 0.386643], abs=1e-6)
    assert found[0].entanglement.per_agent == pytest.approx([0.018712, 0.011073, 0.087122], abs=1e-6)
    assert "settled" in found.message and len(found) == 2
    assert found[1].index == pytest.approx(found[0].index, abs=1e-12)
    assert found[0].decision_loss is not None and found[0].certificate[0] > 0
    assert [len(t) for t in found.tables().values()] == [12, 2]


def test_two_types_that_flip_for_ever_are_found_and_said() -> None:
    """Whoever is served first has the lower index next."""
    two = np.array([(0.05, 0.10, 0.40), (0.05, 0.10, 0.35)])
    found = me.improve(health(two, [4, 4], 2), rounds=9, method="exact")
    z = [r.index[:, 0] for r in found]
    assert "for ever with period 2" in found.message
    order = [int(np.argmax(x)) for x in z]
    assert order[1:] in ([1, 0], [1, 0, 1])
    start = me.improve(
        health(two, [4, 4], 2), me.LocalPolicy([[[0.8, 0.2], [1, 0]]] * 2), rounds=3, method="exact"
    )
    assert start[0].index[:, 0] == pytest.approx([1.415270, 1.283784], abs=1e-6)
    assert start[1].index[:, 0] == pytest.approx([0.758343, 1.101889], abs=1e-6)
    assert start[2].index[:, 0] == pytest.approx([1.248902, 0.739121], abs=1e-6)


def test_hundreds_of_arms_improve_by_runs() -> None:
    system, _ = patients(60, 1, 6)
    found = me.improve(system, rounds=2, rng=0)
    assert len(found) == 2 and "simulat" in found[1].entanglement.method
    assert 0 < found[1].certificate[0] < found[1].certificate[1] < np.inf
    again = me.improve(system, rounds=2, rng=0)
    assert np.array_equal(found[1].index, again[1].index)
    exact = me.improve(health(PATIENTS, [3, 3, 3], 2), "whittle", rounds=1, method="exact")[0]
    near = me.improve(health(PATIENTS, [3, 3, 3], 2), "whittle", rounds=1, method="simulate", rng=3)[0]
    assert np.abs(near.index - exact.index)[:, 0].max() < 0.05
    low, high = near.certificate
    assert low <= exact.certificate[0] <= high


def test_what_cannot_be_improved_is_refused() -> None:
    bandit = health(PATIENTS, [1, 1, 1], 1)
    with pytest.raises(InvalidInput, match="rounds"):
        me.improve(bandit, rounds=0)
    with pytest.raises(InvalidInput, match="local tables"):
        me.improve(bandit, me.LocalPolicy([[[1, 0], [1, 0]]]))
    with pytest.raises(Unsupported, match="kernels of their own"):
        me.improve(me.gallery.build("parity").system)
    with pytest.raises(InvalidInput, match="discount"):
        me.improve(me.RestlessBandit(bandit.kernels, [0, 1], n_arms=[1, 1, 1], budget=1))
