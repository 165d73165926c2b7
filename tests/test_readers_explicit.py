"""Explicit transition files: two Knuth-Yao dice (cases: D16), actions and choices, labels, rewards, what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from brute import laws
from markov_entanglement.errors import InvalidInput, UserError

#: Knuth and Yao's die from a fair coin: states 0..6 throw, 7..12 show 1..6.
DIE = {0: (1, 2), 1: (3, 4), 2: (5, 6), 3: (1, 7), 4: (8, 9), 5: (10, 11), 6: (2, 12)}


def two_dice(folder: Path, *, names: bool = False, loops: bool = True, storm: bool = False) -> Path:
    """Two dice, one throw a step, as a model checker numbers it: the choices of a state from 0."""
    lines, choices = [], 0
    for x, y in itertools.product(range(13), repeat=2):
        throws = [("one", [13 * t + y for t in DIE[x]])] if x < 7 else []
        throws += [("two", [13 * x + t for t in DIE[y]])] if y < 7 else []
        if loops and not throws:
            throws = [("stay", [13 * x + y])]
        for c, (name, to) in enumerate(throws):
            choices += 1
            lines += [f"{13 * x + y} {c} {t} {1 / len(to)}{' ' + name * names}" for t in to]
    head = "mdp" if storm else f"169 {choices} {len(lines)}"
    file = folder / "two_dice.tra"
    file.write_text("\n".join([head, *lines]) + "\n")
    ended = [13 * x + y for x, y in itertools.product(range(7, 13), repeat=2)]
    if storm:
        marks = ["#DECLARATION", "init done", "#END", "0 init", *(f"{s} done" for s in ended)]
    else:
        marks = ['0="init" 1="done"', "0: 0", *(f"{s}: 1" for s in ended)]
    file.with_suffix(".lab").write_text("\n".join(marks) + "\n")
    return file


AGENTS: dict[str, Any] = {"n_states": (13, 13), "discount": 0.9, "rewards": "done"}


@pytest.mark.parametrize("storm", (False, True))
def test_two_dice_show_each_pair_once_in_36(storm: bool, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="numbers are taken for actions, though states have 1 to 2 of them"):
        system = me.read_model(two_dice(tmp_path, storm=storm), n_actions=(2, 1), **AGENTS)
    assert system.spaces.joint_states == 169
    chain = system.under("uniform", initial=(0, 0))
    law = dict(zip(map(tuple, chain.states.tolist()), chain.stationary.law, strict=True))
    ends = {s: p for s, p in law.items() if p > 0}
    assert len(ends) == 36 and set(ends) == set(itertools.product(range(7, 13), repeat=2))
    np.testing.assert_allclose(list(ends.values()), 1 / 36, rtol=1e-12)


def test_actions_by_name_are_the_same_in_every_state(tmp_path: Path) -> None:
    """With one die done the throw of the other is choice 0, and action "two" nevertheless."""
    system = me.read_model(two_dice(tmp_path, names=True), n_actions=(3, 1), **AGENTS)
    flat = me.read_model(tmp_path / "two_dice.tra", discount=0.9, rewards="done")
    assert flat.labels.actions == (("one", "two", "stay"),) and flat.n_agents == 1
    two = system.kernel[1].toarray()
    assert two[13 * 7 + 0].nonzero()[0].tolist() == [13 * 7 + 1, 13 * 7 + 2]
    assert system.available.toarray()[13 * 7].tolist() == [0, 1, 0]
    assert system.rewards.shared[13 * 8 + 9].tolist() == [1, 1, 1] and system.rewards.shared.sum() == 3 * 36


def test_states_without_transitions_end_and_init_is_next(tmp_path: Path) -> None:
    """Each die is thrown until it shows: the mean length of a task is that of two Knuth-Yao dice, 2 x 11/3 throws."""
    file = two_dice(tmp_path, names=True, loops=False)
    system = me.read_model(file, n_actions=(2, 1), **AGENTS)
    chain = system.under("uniform")
    assert len(chain.states) == 169 - 36
    assert 1 / float(chain.occupancy @ chain.ends) == pytest.approx(2 * 11 / 3, rel=1e-12)
    again = me.read_model(file, n_actions=(2, 1), restart=13 * 7, **AGENTS).under("uniform")
    assert 1 / float(again.occupancy @ again.ends) == pytest.approx(11 / 3, rel=1e-12)
    file.with_suffix(".lab").unlink()
    with pytest.raises(InvalidInput, match="a task that ends must say where the next one starts"):
        me.read_model(file, n_actions=(2, 1), **AGENTS | {"rewards": np.ones((169, 2))}).under("uniform")


def write(folder: Path, text: str, name: str = "m.tra") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("seed", range(6))
def test_a_random_chain_and_its_rewards(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng([seed, 11])
    p, pay, step = laws(rng, 6, 6, zeros=0.4), rng.normal(size=6), rng.normal(size=(6, 6))
    at = np.argwhere(p)
    rng.shuffle(at)
    rows = [f"{s} {t} {float(p[s, t])!r}" for s, t in at]
    file = write(tmp_path, "\n".join([["dtmc", f"6 {len(rows)}"][seed % 2], *rows]))
    write(tmp_path, "6 6\n" + "\n".join(f"{s} {float(r)!r}" for s, r in enumerate(pay)), "m.srew")
    write(tmp_path, f"6 {len(rows)}\n" + "\n".join(f"{s} {t} {float(step[s, t])!r}" for s, t in at), "m.trew")
    system = me.read_model(file, n_states=(2, 3), rewards=str(tmp_path / "m.srew"), discount=0.8)
    np.testing.assert_allclose(system.transition.toarray(), p, atol=1e-15)
    np.testing.assert_allclose(system.rewards.shared[:, 0], pay)
    by_step = me.read_model(file, n_states=(2, 3), rewards=str(tmp_path / "m.trew"), discount=0.8)
    np.testing.assert_allclose(by_step.rewards.shared[:, 0], (p * step).sum(axis=1), atol=1e-12)
    assert me.read_model(file, n_states=(3, 2)).spaces.n_states == (3, 2)


def test_fractions_comments_and_the_deadlock_label(tmp_path: Path) -> None:
    file = write(tmp_path, "# a coin\n3 4\n0 1 1/3 # third\n0 2 2/3\n1 0 1\n2 2 1.0\n")
    write(tmp_path, '0="init" 1="deadlock"\n0: 0\n2: 1\n', "m.lab")
    chain = me.read_model(file).under()
    assert chain.states.tolist() == [[0], [1]]
    np.testing.assert_allclose(
        chain.occupancy, [0.75, 0.25]
    )  # from 0 on to 1 with 1/3, else to the end and 0 again
    assert me.read_model(file, terminal=[], rewards=[[1.0, 2.0, 3.0]]).under(initial=(0,)).ends is None


TRA, LAB = "2 3\n0 1 1\n1 0 .5\n1 1 .5\n", '0="init"\n0: 0\n'


@pytest.mark.parametrize(
    ("tra", "lab", "says"),
    [
        ("", LAB, "line 1: got nothing; the first line is"),
        ("a b\n", LAB, "line 1: got 'a b'"),
        ("ctmc\n0 1 2\n", LAB, "line 1: got 'ctmc'"),
        ("2 4\n0 1 1\n1 0 .5\n1 1 .5\n", LAB, "got 3 transitions; its first line says 4"),
        ("2 3\n0 1 1\n1 0 .5\n1 2 .5\n", LAB, "line 4: got '2'; here stands a whole number below 2"),
        ("2 3\n0 1 1\n1 0 .5\n1 -1 .5\n", LAB, "line 4: got '-1'"),
        ("2 3\n0 1 1\n1 0 .5\n1 1 x\n", LAB, "line 4: got 'x'; here stands a number"),
        ("2 3\n0 1 1\n1 0 .5\n1 1 1/0\n", LAB, "line 4: got '1/0'"),
        ("2 3\n0 1 1\n1 0 1.5\n1 1 -.5\n", LAB, "line 4: got -0.5"),
        ("2 3\n0 1 1\n1 0 .5\n1 1 .4\n", LAB, "state 1: got a sum of 0.9"),
        ("2 3\n0 1 1\n1 0 .5\n1 0 .5\n", LAB, "line 4: got the same transition as in line 3"),
        ("2 3\n0 1\n1 0 .5\n1 1 .5\n", LAB, "line 2: got 2 words"),
        (TRA, '0="init"\n0: 1\n', "m.lab, line 2: got label '1'; it declares init"),
        (TRA, '0="init"\n2: 0\n', "m.lab, line 2: got '2'"),
        (TRA, "#DECLARATION\ninit\n#END\n0 start\n", "m.lab, line 4: got label 'start'"),
    ],
)
def test_a_mistake_is_named_with_its_line(tra: str, lab: str, says: str, tmp_path: Path) -> None:
    file = write(tmp_path, tra)
    write(tmp_path, lab, "m.lab")
    with pytest.raises(UserError) as error:
        me.read_model(file)
    assert says in str(error.value) and str(tmp_path) in str(error.value), str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "m.srew",
            "0 1\n1 2\n0 3\n",
            "m.srew, line 3: got the same reward as in line 1; each reward stands once",
        ),
        ("m.srew", "2 3\n0 1\n1 2\n0 1\n", "m.srew, line 4: got the same reward as in line 2"),
        ("m.trew", "2 3\n0 1 1\n1 0 2\n0 1 3\n", "m.trew, line 4: got the same reward as in line 2"),
    ],
)
def test_a_reward_stands_once(name: str, text: str, says: str, tmp_path: Path) -> None:
    file, paid = write(tmp_path, TRA), write(tmp_path, text, name)
    with pytest.raises(InvalidInput, match=says):
        me.read_model(file, rewards=str(paid))


@pytest.mark.parametrize(("head", "word"), [("3 4", "dtmc"), ("3 4 4", "mdp")])
def test_rewards_of_some_transitions(head: str, word: str, tmp_path: Path) -> None:
    """A file without the number of its states, beside another: the last state is not named in it."""
    choice = " 0" if word == "mdp" else ""
    rows = "\n".join(f"{s}{choice} {t} {p}" for s, t, p in ((0, 1, 0.5), (0, 2, 0.5), (1, 0, 1), (2, 0, 1)))
    for tra in (head, word):
        file = write(tmp_path, f"{tra}\n{rows}\n")
        paid = write(tmp_path, f"{word}\n0{choice} 1 4\n1{choice} 0 1\n", "m.trew")
        assert me.read_model(file, rewards=str(paid)).rewards.local[0].tolist() == [2, 1, 0]
        write(tmp_path, f"{word}\n0{choice} 1 4\n3{choice} 0 1\n", "m.trew")
        with pytest.raises(
            InvalidInput, match=r"m.trew, line 3: got '3'; here stands a whole number below 3"
        ):
            me.read_model(file, rewards=str(paid))


def test_options_are_refused_by_name_and_remedies_are_true(tmp_path: Path) -> None:
    file = two_dice(tmp_path, names=True)
    for given, says in (
        ({}, "rewards: got nothing; .* is a decision process"),
        ({"rewards": "doen"}, "one of the labels of .*two_dice.tra: init, done"),
        ({"rewards": "gone.srew"}, "rewards: got 'gone.srew'; no such file"),
        ({"rewards": "g" * 300 + ".srew"}, "no such file"),
        ({"rewards": "done", "terminal": "doen"}, "Did you mean 'done'"),
        ({"rewards": "done", "terminal": 169}, "terminal: got 169"),
        ({"rewards": "done", "terminal": "done", "restart": "done"}, "two_dice.tra: restart: got 36 states"),
    ):
        with pytest.raises(InvalidInput, match=says):
            me.read_model(file, **given)
    srew = write(tmp_path, "0 1\n", "f.srew")
    assert me.read_model(file, rewards=str(srew), discount=0.9).n_agents == 1
    task = me.read_model(file, rewards="done", terminal="done", discount=0.9).under("uniform")
    assert len(task.states) == 169 - 36
