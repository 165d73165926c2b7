"""The Markov test and the clock test: sizes, power, and what each alone can find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement import _tolerance as tol


def coins(seed: int, many: int = 1500) -> me.Log:
    """Two agents of which the second copies the first of the step before: Markov in joint pairs."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, many + 1)
    return me.read_logs(states=np.column_stack([x[1:], x[:-1]]), n_states=2)


def test_false_alarms() -> None:
    """60 Markov logs at 5 %: three rejections on average, standard deviation 1.7."""
    assert sum(me.markov_test(coins(s), rng=s).rejected for s in range(60)) <= 8


def test_the_previous_pair_is_found() -> None:
    """x_t = x_{t-2} with chance .8."""
    rng = np.random.default_rng(0)
    x = list(rng.integers(0, 2, 2))
    for copy in rng.random(1500) < 0.8:
        x.append(x[-2] if copy else rng.integers(0, 2))
    found = me.markov_test(me.read_logs(states=np.array(x)[:, None], n_states=2), rng=0)
    assert found.p_previous <= 0.005 and found.rejected and found.inside
    assert found.sentence.startswith("Not Markov: the previous joint pair")
    # the remedy is followed: with the last move in the local state nothing is left
    again = me.read_logs(states=(2 * np.array(x[1:]) + np.array(x[:-1]))[:, None], n_states=4)
    assert not me.markov_test(again, rng=0).rejected


def clocked(seed: int, *, within: bool) -> me.Log:
    """Episodes of 8 coins; `within`: steps 4..7 are ones with .9, which no pair betrays."""
    rng = np.random.default_rng(seed)
    t = np.tile(np.arange(8), 250)
    chance = np.where(t >= 4, 0.9, 0.5) if within else 0.5
    states = (rng.random(2000) < chance).astype(int)
    return me.read_logs(states=states[:, None], episode=np.repeat(np.arange(250), 8), t=t, n_states=2)


def test_a_clock_is_found_inside_episodes() -> None:
    found = me.markov_test(clocked(0, within=True), rng=0)
    assert found.p_inside <= 0.005 and found.inside and "clock" in found.helps


def test_a_clock_that_only_cuts_is_found_and_told_apart() -> None:
    """As in rock-paper-scissors of fifteen moves: nothing inside depends on the step, but the end does."""
    found = me.markov_test(clocked(1, within=False), rng=0)
    assert found.p_clock <= 0.005 < 0.025 < min(found.p_inside, found.p_previous)
    assert found.rejected and not found.inside and "cut" in found.sentence


def test_what_the_clock_tells_inside_counts_where_it_tells_anything() -> None:
    """Three looks at 2.5 % would be false alarms in 7 %: the third is taken where the second finds something."""
    found = me.markov_test(clocked(1, within=False), rng=0)
    alone = replace(found, p_clock=0.5, p_inside=0.005)
    assert not alone.rejected and not alone.inside and "No memory found" in alone.sentence
    both = replace(found, p_inside=0.005)
    assert (
        both.rejected
        and both.inside
        and "the step of the episode (p = 0.005) still predicts" in both.sentence
    )


def test_cuts_are_told_apart_agent_by_agent_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of joint pairs does not fit: outcomes are the next pair of each agent, or that the episode is cut."""
    states, t = np.random.default_rng(1).integers(0, 2, (2000, 2)), np.tile(np.arange(8), 250)
    log = me.read_logs(states=states, episode=np.repeat(np.arange(250), 8), t=t, n_states=2)
    steps = log.side_by_side
    # 4 joint pairs at 8 steps, with 4 next ones or 2 of an agent, and the cut
    assert steps.beside(steps.clock, cuts=True).grid.cells[-1] == 4 * 8 * 5
    monkeypatch.setattr(tol, "LOG_CELLS", 4 * 8 * 4)
    found = me.markov_test(log, rng=0)
    assert found.p_clock <= 0.01 and found.p_inside > 0.025 and not found.inside
    table = steps.beside(steps.clock, 0, cuts=True)
    cut = table.outcome == steps.sizes[0] + 1
    assert (
        table.count[cut].sum() == 250 and table.steps == 2000 and steps.beside(steps.clock, 0).steps == 1750
    )


def test_one_episode_has_no_clock_to_ask() -> None:
    found = me.markov_test(coins(0), rng=0)
    assert np.isnan(found.p_clock) and found.to_dict()["p_clock"] is None


def test_systems_are_stepped() -> None:
    entry = me.gallery.build("appendix-e")
    found = me.markov_test(entry.system, entry.policy, steps=2000, rng=0)
    assert not found.rejected and found.steps == 1999


def rps(moves: int = 20_000) -> me.Log:
    """Rock, paper, scissors of 15 moves; a player sees the other's last move, 3 at the start."""
    rng = np.random.default_rng(0)
    played = rng.integers(0, 3, (moves // 15, 15, 2))
    seen = np.full_like(played, 3)
    seen[:, 1:] = played[:, :-1, ::-1]
    t, episode = np.tile(np.arange(15), moves // 15), np.repeat(np.arange(moves // 15), 15)
    return me.read_logs(
        states=seen.reshape(-1, 2),
        actions=played.reshape(-1, 2),
        episode=episode,
        t=t,
        n_states=4,
        n_actions=3,
    )


@pytest.mark.slow
def test_rock_paper_scissors_hides_a_clock_that_only_the_second_test_finds() -> None:
    """The next pair is (the other's move, a coin of three): E = 2/3 inside episodes."""
    log = rps()
    found = me.markov_test(log, rng=0)
    assert found.p_previous > 0.025 and found.p_clock <= 0.005
    e = me.entanglement(log, rng=0)
    assert (e.lower >= 0.6).all() and (e.lower <= 2 / 3).all() and (e.upper >= 2 / 3).all()
