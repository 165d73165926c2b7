"""Three well-known teams in MADP's format: the files, their numbers by hand, and what adds up in them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from brute import World, kron_kernel
from markov_entanglement.errors import UserError

EXAMPLES = Path(__file__).parents[1] / "examples"
TEAMS = {"recycling": (2, 2), "broadcast": (2, 2), "meeting": (4, 4)}


def team(name: str) -> Any:
    return me.read_model(EXAMPLES / f"{name}.dpomdp", n_states=TEAMS[name])


def step(*aims: int) -> list[float]:
    """A law on four squares: .6 on the first one, .1 for each of the others that are named."""
    out = np.zeros(4)
    np.add.at(out, list(aims), [0.6] + [0.1] * 4)
    return out.tolist()


#: Each agent's laws by action and state, and the reward by hand, states row by row.
SEND = [[0.1, 0.9], [0.9, 0.1]]  # a new message, for either node
OWN = {
    "recycling": [[[[1, 0], [1, 0]], [[0.7, 0.3], [0.2, 0.8]], [[0.5, 0.5], [0.3, 0.7]]]] * 2,
    "broadcast": [[[new, [0, 1]], [new, new]] for new in SEND],
    # squares nw 0, ne 1, sw 2, se 3; up, down, left, right, stay: where it aims, then the four other ways
    "meeting": [
        [
            [step(0, 2, 0, 1, 0), step(1, 3, 0, 1, 1), step(0, 2, 2, 3, 2), step(1, 3, 2, 3, 3)],
            [step(2, 0, 0, 1, 0), step(3, 1, 0, 1, 1), step(2, 0, 2, 3, 2), step(3, 1, 2, 3, 3)],
            [step(0, 0, 2, 1, 0), step(0, 1, 3, 1, 1), step(2, 0, 2, 3, 2), step(2, 1, 3, 3, 3)],
            [step(1, 0, 2, 0, 0), step(1, 1, 3, 0, 1), step(3, 0, 2, 2, 2), step(3, 1, 3, 2, 3)],
            np.eye(4).tolist(),
        ]
    ]
    * 2,
}
PAYS = {
    # recharge, small, big for both; both high, one low, both low. .8 (2 + 2) - 2 = 1.2 and so on
    "recycling": [
        [0, 2, 0, 2, 4, 2, 0, 2, 5],
        [0, -0.4, -3, 2, 1.2, -1.6, 0, -0.4, 0.5],
        [0, 2, 0, -0.4, 1.2, -0.4, -3, -1.6, 0.5],
        [0, -0.4, -3, -0.4, -1.44, -3.88, -3, -3.88, -3.55],
    ],
    "broadcast": [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0]],
    "meeting": np.repeat(np.eye(4).reshape(-1, 1), 25, axis=1).tolist(),
}


def test_the_files_are_what_their_script_writes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["make_teams.py", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "make_teams.py"))
    for name in TEAMS:
        held = (EXAMPLES / f"{name}.dpomdp").read_bytes()
        assert (tmp_path / f"{name}.dpomdp").read_bytes() == held


def world(name: str) -> World:
    """The team under uniform play, from the numbers above."""
    own, pay = [np.array(laws) for laws in OWN[name]], np.array(PAYS[name], dtype=float)
    actions = tuple(len(laws) for laws in own)
    table = np.full(pay.shape, 1.0 / pay.shape[1])
    return World(TEAMS[name], actions, kron_kernel(own), table, pay, 0.9)


@pytest.mark.parametrize("name", TEAMS)
def test_their_numbers(name: str) -> None:
    system, own = team(name), [np.array(laws) for laws in OWN[name]]
    kernel = np.stack([k.toarray() for k in system.kernel], axis=1)
    np.testing.assert_allclose(kernel, kron_kernel(own), atol=1e-12)
    np.testing.assert_allclose(system.rewards.shared, PAYS[name], atol=1e-9)
    assert system.discount == 0.9 and system.labels.actions[0] == system.labels.actions[1]


@pytest.mark.parametrize(("name", "share"), [("recycling", 0.535), ("broadcast", 1.0), ("meeting", 1.0)])
def test_only_their_reward_does_not_add_up(name: str, share: float) -> None:
    """Under uniform play: transitions are separable, any rewards of the agents' own add up, the shared one does not."""
    chain, want = team(name).under("uniform"), world(name)
    found = me.analyze(chain)
    assert (
        found.verdict == "do-not-add"
        and "the shared reward itself is no sum of local rewards" in found.sentence
    )
    got = me.value_decomposition(chain).unexplained
    assert got == pytest.approx(share, abs=5e-4)
    if (
        name != "broadcast"
    ):  # where several splits of the reward are best, of which the library takes that of least span
        assert got == pytest.approx(want.truth()["unexplained"], abs=1e-6)
    assert me.separability(chain).agentwise == me.separability(chain).verdict == "separable"
    rng = np.random.default_rng(5)
    own = [rng.normal(size=m) for m in want.sizes]
    assert me.value_decomposition(chain, rewards=own).unexplained < 1e-9


def test_what_collides_may_stay(tmp_path: Path) -> None:
    """The other reading of the channel: nodes that collide keep their messages; then moves depend on each other."""
    text = (EXAMPLES / "broadcast.dpomdp").read_text()
    assert text.count("T: send send :") == 1
    file = tmp_path / "keeps.dpomdp"
    file.write_text(text + "T: send send : full-full :\n0 0 0 1\n")  # later lines override
    chain = me.read_model(file, n_states=(2, 2)).under("uniform")
    assert me.separability(chain).agentwise == "entangled"
    assert me.value_decomposition(chain).unexplained > 0.5


def test_optimal_play() -> None:
    """The robots' best plan needs the other's battery; those who met stay, wherever that was: each square is its own
    recurrent class, and the remedy of the refusal is true."""
    chain = team("recycling").under("optimal")
    assert me.separability(chain).agentwise == "entangled"
    with pytest.raises(UserError, match=r"4 recurrent classes.*Give `initial`") as refused:
        me.analyze(team("meeting").under("optimal"))
    assert "(0, 0)" in str(refused.value)
    assert me.analyze(team("meeting").under("optimal", initial=(0, 0))).verdict in ("add", "cannot-tell")
