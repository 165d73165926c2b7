"""Who moves whom: exact numbers of an independent program, limits from logs, and what merging brings."""

from __future__ import annotations

import numpy as np
import pytest

import markov_entanglement as me


def four() -> me.JointChain:
    """Agents 0-1 and 2-3 copy each other, and a little the one across."""

    def up(x: tuple[int, ...], i: int) -> float:
        s = [2 * k - 1 for k in x]
        return 0.5 + 0.1 * s[i] + 0.3 * s[i ^ 1] + 0.02 * s[(i + 2) % 4]

    states = list(np.ndindex(2, 2, 2, 2))
    law = [[np.prod([up(x, i) if y[i] else 1 - up(x, i) for i in range(4)]) for y in states] for x in states]
    return me.JointChain(law, (2, 2, 2, 2), rewards=[[0, 1]] * 4, discount=0.9)


def test_exact_numbers() -> None:
    """What reading x_j takes from E_0 = .186836, as printed by an independent program."""
    found = me.influence(four())
    assert found.remaining is not None
    assert 0.186836 - found.remaining[0, 1:] == pytest.approx([0.169585, 0.011028, 0.002382], abs=2e-6)
    assert found.groups.groups == ((0, 1), (2, 3))
    off = ~np.eye(4, dtype=bool)
    shown, told, swapped = found.influence[off], found.information[off], found.counterfactual[off]
    assert (shown <= 0.186836 + 1e-6).all() and (shown <= np.sqrt(told / 2) + 1e-12).all()
    assert (shown <= swapped + 1e-12).all() and (swapped <= 2 * shown + 1e-12).all()
    assert "agent 1 moves agent 0 most" in found.sentence


def test_raw_arrays() -> None:
    """One pair: agent 1 is where agent 0 was, with .75."""
    law = np.zeros((4, 4))
    for a, b, c, d in np.ndindex(2, 2, 2, 2):
        law[2 * a + b, 2 * c + d] = 0.5 * (0.75 if d == a else 0.25)
    found = me.influence(me.JointChain(law, (2, 2)))
    assert found.influence[1, 0] == pytest.approx(0.25) and found.influence[0, 1] == pytest.approx(
        0.0, abs=1e-12
    )
    assert found.counterfactual[1, 0] == pytest.approx(0.25)  # different in half of the draws, then by .5
    assert found.information[1, 0] == pytest.approx(np.log(2) + 0.75 * np.log(0.75) + 0.25 * np.log(0.25))


def test_logs_have_limits_that_hold() -> None:
    exact = me.influence(four())
    log = me.read_logs(me.simulate(four(), None, 8000, rng=0))
    found = me.influence(log, rng=0)
    off = ~np.eye(4, dtype=bool)
    for value, limits in (
        (exact.influence, found.limits),
        (exact.information, found.information_limits),
        (exact.counterfactual, found.counterfactual_limits),
    ):
        assert limits is not None
        low, high = limits[off].T
        assert (value[off] < low - 1e-9).sum() + (
            value[off] > high + 1e-9
        ).sum() <= 3  # 24 limits of 95 to 97.5 %
    assert found.rejected[0, 1] and found.rejected[2, 3]
    assert found.groups.groups == ((0, 1), (2, 3))
    assert {"influence", "groups", "merges"} <= set(found.tables())
    low, high = (
        found.groups.limits.T
    )  # of the half that did not choose; 4 limits of 95 %, two fail in 14 of 1,000
    assert (exact.groups.entanglement < low).sum() + (exact.groups.entanglement > high).sum() <= 1
    assert "in the half of the log that did not choose" in found.groups.sentence


def test_nobody_moves_anybody() -> None:
    states = np.random.default_rng(0).integers(0, 2, (600, 3))
    found = me.influence(me.read_logs(states=states, n_states=2), rng=0)
    assert not found.rejected.any() and "Cannot tell" in found.sentence and not found.groups.merges
    even = me.JointChain(np.full((4, 4), 0.25), (2, 2))
    assert me.influence(even).sentence == "No agent moves another."
