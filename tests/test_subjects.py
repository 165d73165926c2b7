"""Real subjects: numbers of the logs in `examples` by a few lines of numpy, and what the page says of each subject."""

from __future__ import annotations

import csv
import doctest
import re
import runpy
import shlex
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import markov_entanglement as me
from brute import World
from markov_entanglement.cli.app import main

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a log, comments left out."""
    lines = (EXAMPLES / name).read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def number(*columns: list[object]) -> np.ndarray:
    """Different combinations by number."""
    return np.unique([" ".join(map(str, c)) for c in zip(*columns, strict=True)], return_inverse=True)[1]


def dependence(context: np.ndarray, key: np.ndarray, outcome: np.ndarray) -> float:
    """Mean total variation between the counted laws given the context and given its key."""
    table = np.zeros((context.max() + 1, outcome.max() + 1))
    np.add.at(table, (context, outcome), 1)
    of = np.zeros(len(table), dtype=int)
    of[context] = key
    pooled = np.zeros((key.max() + 1, table.shape[1]))
    np.add.at(pooled, of, table)
    pooled /= np.maximum(pooled.sum(axis=1, keepdims=True), 1)
    return float(np.abs(table - table.sum(axis=1, keepdims=True) * pooled[of]).sum() / 2 / len(context))


def shuffled(key: np.ndarray, outcome: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The outcomes, in random order within each key."""
    out, at = outcome.copy(), np.argsort(key, kind="stable")
    out[at] = outcome[np.lexsort((rng.random(len(key)), key))]
    return out


def measured(context: np.ndarray, key: np.ndarray, outcome: np.ndarray) -> tuple[float, float, float]:
    """The plug-in, its mean over 40 shuffles, and how many of their standard deviations it lies above."""
    rng = np.random.default_rng(3)
    null = [dependence(context, key, shuffled(key, outcome, rng)) for _ in range(40)]
    plug = dependence(context, key, outcome)
    return plug, float(np.mean(null)), float((plug - np.mean(null)) / np.std(null))


@pytest.mark.parametrize(
    ("clock", "plug", "null"), [(False, [0.121, 0.132, 0.124], 0.042), (True, [0.163, 0.167, 0.165], 0.134)]
)
def test_the_airports(clock: bool, plug: list[float], null: float) -> None:
    """Does another airport's delay of this hour predict the next one? With the hour in the key, far less of it does."""
    found = rows("airports.csv")
    t, hour = (np.array([int(r[c]) for r in found[::3]]) for c in ("t", "hour"))
    assert (hour == t % 24).all() and [r["airport"] for r in found[:3]] == ["EWR", "JFK", "LGA"]
    delay = [number([r["delay"] for r in found[i::3]]) for i in range(3)]
    on = np.diff(t) == 1
    assert (len(t), on.sum()) == (6122, 5742)
    context = number(*delay, hour) if clock else number(*delay)
    for i, x in enumerate(delay):
        key = number(x, hour) if clock else x
        got = measured(context[:-1][on], key[:-1][on], x[1:][on])
        assert got[0] == pytest.approx(plug[i], abs=5e-4) and got[1] == pytest.approx(null, abs=3e-3)
        assert got[2] > 5


def test_the_clock_is_more_than_half_of_it() -> None:
    """.08 above the noise without the hour, .03 with it: the numbers of the test above."""
    assert 0.121 - 0.042 > 2 * (0.163 - 0.134)


@pytest.mark.parametrize(("i", "plug", "null", "states"), [(0, 0.0754, 0.0363, 60), (1, 0.0794, 0.0341, 50)])
def test_the_cooks(i: int, plug: float, null: float, states: int) -> None:
    """Does the other one's cell predict a player's next state, given the player's own? Two people in one small room."""
    found = rows("overcooked.csv")
    mine, other = found[i::2], found[1 - i :: 2]
    own = number(*([r[c] for r in mine] for c in ("cell", "facing", "held")))
    cell, game = number([r["cell"] for r in other]), np.array([int(r["episode"]) for r in mine])
    on = game[1:] == game[:-1]
    assert on.sum() == 9556 and own.max() + 1 == states
    both = number(*([r[c] for r in who] for who in (mine, other) for c in ("cell", "facing", "held")))
    assert both.max() + 1 == 594
    got = measured(number(own, cell)[:-1][on], own[:-1][on], own[1:][on])
    assert got[0] == pytest.approx(plug, abs=5e-5) and got[1] == pytest.approx(null, abs=1e-3) and got[2] > 12


def test_the_cooks_obey_the_room() -> None:
    """Six cells, one player on each; a player who faces a counter may change what is held, and nobody else; a soup is
    paid to the one who gives it away."""
    found = rows("overcooked.csv")
    games = [list(zip(found[::2], found[1::2], strict=True))]
    cells = {r["cell"] for r in found}
    assert cells == {"11", "12", "21", "22", "31", "32"}
    assert all(a["cell"] != b["cell"] for a, b in games[0])
    assert sum(int(r["reward"]) for r in found) == 140 * 5
    for now, then in pairwise(games[0]):
        if now[0]["episode"] != then[0]["episode"]:
            continue
        for one, after in zip(now, then, strict=True):
            if one["held"] != after["held"]:
                assert one["action"] == "i" and one["cell"] == after["cell"]
            if one["reward"] != "0":
                assert one["held"] == "s" and after["held"] == "f"


def test_the_cliff() -> None:
    """Row and column of one walker, from Gymnasium's own table."""
    pytest.importorskip("gymnasium")
    system, policy = runpy.run_path(str(EXAMPLES / "cliff.py"))["cliff"]()
    import gymnasium

    table = gymnasium.make("CliffWalking-v1").unwrapped.P
    kernel, pay, end = np.zeros((48, 4, 48)), np.zeros((48, 4)), np.zeros(48, dtype=bool)
    for s, a in np.ndindex(48, 4):
        for p, to, reward, over in table[s][a]:
            kernel[s, a, to] += p
            pay[s, a] += p * reward
            end[to] |= over
    assert np.flatnonzero(end).tolist() == [47]
    want = World(
        (4, 12), (4, 1), kernel, np.full((48, 4), 0.25), pay, 0.95, initial=np.eye(48)[36], terminal=end
    )
    found = me.value_decomposition(system.under(policy)).unexplained
    # several splits of the shared reward are nearly best
    assert found == pytest.approx(want.truth()["unexplained"], abs=1e-3) and found == pytest.approx(
        0.346, abs=5e-4
    )


# --- the page ------------------------------------------------------------------------------------------------


def told(page: str) -> list[tuple[str, str]]:
    """Commands of a page, and what it shows of their answers."""
    blocks = re.findall(r"```console\n(.*?)```", page, re.S)
    return [c.split("\n", 1) for block in blocks for c in re.split(r"^\$ ", block, flags=re.M)[1:]]


_PAGE = (ROOT / "docs" / "subjects.md").read_text()


def cases():
    """What is told, runs of environments among the evidence that takes minutes."""
    for command, shown in told(_PAGE):
        slow = [pytest.mark.slow] if " diagnose " in command else []
        yield pytest.param(command, shown, id=command.split()[2], marks=slow)


@pytest.mark.parametrize(("command", "shown"), list(cases()))
def test_the_page_shows_what_is_answered(command, shown, capsys, monkeypatch):
    packages = {
        ".rddl": "pyRDDLGym",
        "examples.": "gymnasium",
        "pettingzoo": "pettingzoo",
        "lbforaging": "lbforaging",
    }
    for package in (p for word, p in packages.items() if word in command):
        pytest.importorskip(package)
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(command)[1:]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(shown) and err == ""


def test_the_python_of_the_page(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    page = str(ROOT / "docs" / "subjects.md")
    found = doctest.testfile(page, module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted == 9 and found.failed == 0


def test_the_page_is_read() -> None:
    assert told("```console\n$ a b\nc\n  d\n$ e\nf\n```\ntext\n") == [["a b", "c\n  d\n"], ["e", "f\n"]]
    assert len(told(_PAGE)) > 8 and all(len(shown) > 60 for _, shown in told(_PAGE))
