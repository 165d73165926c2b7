"""Logs in every form are read as what they mean, or refused with the place; what followed what is counted exactly."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import random
import re
import sys
import threading
import time
import warnings
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import markov_entanglement as me
from markov_entanglement import _tolerance as tol
from markov_entanglement._journal import Journal
from markov_entanglement.cli.app import main
from markov_entanglement.data import log, long, ordered
from markov_entanglement.errors import InvalidInput, MissingDependency, TooLarge, Unsupported
from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
from markov_entanglement.learning.source import of_path

duckdb = pytest.importorskip("duckdb")
ALL = ("own", "joint", "partners", "past", "clock")


def d20() -> list[dict[str, Any]]:
    """Two episodes, agents 7 and 9, missing rows, a gap in t; shuffled."""
    seen = ((1, (0, 1, 2, 3), {7: "aabb", 9: "x-yy"}), (2, (0, 1, 3, 4), {7: "baab", 9: "xxyy"}))
    rows = [
        {"episode": e, "t": t, "agent": agent, "state": s}
        for e, times, agents in seen
        for agent, states in agents.items()
        for t, s in zip(times, states, strict=True)
        if s != "-"
    ]
    random.Random(1).shuffle(rows)
    return rows


def made_up(
    seed: int, episodes: int = 6, length: int = 40, agents: int = 3, lost: float = 0.1
) -> pd.DataFrame:
    """Random rows, some missing, in random order; `t` of an episode begins anywhere."""
    rng = np.random.default_rng(seed)
    rows = []
    for e in range(episodes):
        begin = int(rng.integers(5))
        for t, i in itertools.product(range(length), range(agents)):
            if rng.random() > lost:
                s, a = int(rng.integers(3)), int(rng.choice([0, 2]))
                rows.append((e, begin + t, f"a{i}", s, a, float(s - a)))
    frame = pd.DataFrame(rows, columns=["episode", "t", "agent", "state", "action", "reward"])
    return frame.sample(frac=1.0, random_state=seed, ignore_index=True)


def write(frame: pd.DataFrame, path: Path, options: str = "") -> Path:
    con = duckdb.connect()
    con.register("frame", frame)
    kind = "parquet" if path.suffix == ".parquet" else "csv, HEADER"
    con.execute(f"COPY frame TO '{path}' (FORMAT {kind}{options})")
    con.close()
    return path


def write_empty(path: Path) -> Path:
    path.touch()
    return path


def forms(frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """The same rows in every form; half of them in one file each."""
    half = len(frame) // 2
    write(frame.iloc[:half], folder / "part-0.parquet")
    write(frame.iloc[half:], folder / "part-1.parquet")
    return {
        "frame": frame, "mapping": {c: frame[c].to_numpy() for c in frame}, "csv": write(frame, folder / "all.csv"),
        "parquet": write(frame, folder / "all.parquet"), "pattern": folder / "part-*.parquet",
        "list": [folder / "part-1.parquet", folder / "part-0.parquet"],
    }  # fmt: skip


def whole(steps: Any) -> dict[str, np.ndarray]:
    """All rows of a log."""
    parts = list(steps)
    found = {k: np.concatenate([getattr(c, k) for c in parts]) for k in ("rewards", "ended")}
    for k in ("pairs", "clock"):
        found[k] = np.concatenate([getattr(c, k)[:-1] for c in parts] + [getattr(parts[-1], k)[-1:]])
    return found


def same(a: Any, b: Any) -> bool:
    x, y = whole(a), whole(b)
    return a.agents == b.agents and all(np.array_equal(x[k], y[k]) for k in x)


def test_d20() -> None:
    found = me.read_logs(pd.DataFrame(d20()))
    tally = me.tally(found, tables=ALL)
    assert found.agents == ("7", "9") and found.steps == 8
    assert found.local_names(0) == (["a", "b"], ["0"]) and found.local_names(1) == (["x", "y"], ["0"])
    assert tally.transitions(0).tolist() == [[1, 2], [1, 1]]
    assert tally.transitions(1).tolist() == [[1, 0], [0, 2]]
    joint, whole = tally.table("joint"), (tally.pairs < tally.sizes).all(axis=1)
    complete = whole[joint.columns[1]] & whole[joint.columns[2]]
    assert joint.count[complete].tolist() == [1, 1, 1] and joint.count.sum() == 5


@pytest.mark.parametrize("form", ["mapping", "csv", "parquet", "pattern", "list"])
@pytest.mark.parametrize("rows", ["d20", "made_up"])
def test_every_form_says_the_same(rows: str, form: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(d20()) if rows == "d20" else made_up(0)
    assert same(me.read_logs(forms(frame, tmp_path)[form]), me.read_logs(frame))


def test_ordered_text_needs_no_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = made_up(3)
    ordered_rows = frame.sort_values(["episode", "t"])
    file, mixed = write(ordered_rows, tmp_path / "a.csv"), write(frame, tmp_path / "b.csv")
    expected = me.read_logs(file)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.setattr(ordered, "_BATCH", 50)
    found = me.read_logs(file)
    assert same(found, expected) and same(found, me.read_logs(frame))
    with pytest.raises(MissingDependency, match=r"b.csv, line \d+: .*out of order.*pip install duckdb"):
        me.read_logs(mixed)
    with pytest.raises(MissingDependency, match="pip install duckdb"):
        me.read_logs(write_empty(tmp_path / "c.parquet"))
    text = file.read_text().splitlines()
    for change, said in (
        (
            lambda r: r.replace(r.split(",")[1], "1.5", 1),
            "line 4, column 't': got '1.5'; it must be a whole number",
        ),
        (lambda r: r.rsplit(",", 1)[0] + ",", "line 4, column 'reward': got nothing"),
        (lambda r: r.rsplit(",", 1)[0], "line 4: got 5 cells"),
        (lambda r: text[2], "line 4: got a second row of t ="),
    ):
        (tmp_path / "d.csv").write_text("\n".join([*text[:3], change(text[3]), *text[4:]]))
        with pytest.raises(InvalidInput, match=re.escape(said)):
            me.read_logs(tmp_path / "d.csv")


def test_actions_seen_are_the_actions() -> None:
    rows = {"t": [0, 1, 2, 3], "agent": [1] * 4, "state": ["s"] * 4, "action": [3, 0, 2, None]}
    found = me.read_logs(rows)
    assert found.local_names(0) == (["s"], ["0", "2", "3"]) and found.steps == 3
    assert whole(found)["pairs"].ravel().tolist() == [2, 0, 1, -1]
    given = me.read_logs({**rows, "state": [0] * 4}, n_states=2, n_actions=4)
    assert given.spaces.n_actions == (4,) and whole(given)["pairs"].ravel().tolist() == [3, 0, 2, -1]


def test_names_of_several_columns() -> None:
    rows = {
        "step": [0, 0, 1, 1],
        "driver": ["b", "a"] * 2,
        "cell": [10, 9, 10, 10],
        "status": ["on", "off", "off", "on"],
    }
    found = me.read_logs(rows, agents="driver", states=["cell", "status"])
    assert found.agents == ("a", "b")
    assert found.local_names(0)[0] == ["9/off", "10/on"] and found.local_names(1)[0] == ["10/off", "10/on"]


def test_a_path_is_read_as_learners_read_it() -> None:
    entry = me.gallery.build("frozen-lake")
    path = me.simulate(entry.system, entry.policy, 3000, rng=1)
    found = me.read_logs(path)
    (chunk,) = of_path(path, np.array(found.spaces.n_actions))
    rows = whole(found)
    assert np.array_equal(rows["pairs"][: len(chunk.pairs)], chunk.pairs) and found.discount == path.discount
    assert np.array_equal(rows["rewards"][: len(chunk.rewards)], chunk.rewards)
    assert np.array_equal(me.LSTD().fit(found).q(0), me.LSTD().fit(path).q(0), equal_nan=True)
    arms = me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=12, budget=4, discount=0.5)
    with pytest.raises(Unsupported, match="counts"):
        me.read_logs(me.simulate(arms, me.IndexPolicy(PRIORITY), 5, rng=0))


def test_tasks_that_end_in_a_path_go_on() -> None:
    states = np.array([[0], [1], [1], [0], [1]])
    ends = np.array([False, True, False, False])
    path = me.Path(np.ones((4, 1)), np.array([True, False, True, False]), ends, np.array([False] * 3 + [True]),
                   states, np.zeros((4, 1), dtype=np.int64))  # fmt: skip
    rows = whole(me.read_logs(path))
    assert rows["pairs"].ravel().tolist() == [0, 1, 1, 0, -1] and rows["ended"].tolist() == [
        False,
        True,
        False,
        False,
    ]
    assert rows["clock"].tolist() == [0, 1, 0, 1, -1]


def test_arrays() -> None:
    found = me.read_logs(
        states=[[0, 1], [2, 1], [2, -1], [0, 0]],
        actions=[[0, 1], [0, 0], [1, 0]],
        reward=[1, 2, 3],
        episode=["u", "v", "v"],
        terminated=[True, False, False],
        discount=0.9,
        agents=["p", "q"],
    )
    rows = whole(found)
    assert rows["pairs"].tolist() == [[0, 1], [-1, -1], [2, 0], [3, -1], [-1, -1]] and found.agents == (
        "p",
        "q",
    )
    assert rows["rewards"].ravel().tolist() == [1, 0, 2, 3] and rows["ended"].tolist() == [
        True,
        False,
        False,
        False,
    ]
    assert found.local_names(0)[0] == ["0", "2"] and found.discount == 0.9
    for wrong in (
        {"states": [1, 2]},
        {"actions": [[1, 2]]},
        {"states": [[0.5]], "n_states": 2},
        {"states": [[5]], "n_states": 2},
        {"states": [[0]], "episode": [1, 2]},
        {"states": [[0]], "reward": [[1, 2, 3]]},
        {"states": [[0]], "t": [-1]},
        {"states": [[0]], "terminated": [2.5]},
        {"states": [[-1]]},
    ):
        with pytest.raises(InvalidInput):
            me.read_logs(**wrong)


def test_a_folder_of_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "IN_MEMORY", 100)
    frame = made_up(2)
    monkeypatch.setattr(long, "PART", 90)
    file = write(frame, tmp_path / "log.parquet")
    stored = me.read_logs(file, store=tmp_path / "stored", discount=0.5)
    assert len(stored.shards) > 3
    scratch = me.read_logs(file)
    scratch.save(tmp_path / "saved")
    for found in (me.read_logs(tmp_path / "stored"), me.read_logs(tmp_path / "saved"), scratch):
        assert same(found, me.read_logs(frame))
    assert me.read_logs(tmp_path / "stored").discount == 0.5
    place = scratch.kept.folder
    assert place.is_dir()
    del scratch, found
    assert not place.exists()
    with pytest.raises(InvalidInput, match="holds a log already"):
        stored.save(tmp_path / "saved")
    shard = tmp_path / "stored" / "shard-000001.npz"
    shard.write_bytes(shard.read_bytes()[:-9] + b"123456789")
    with pytest.raises(InvalidInput, match=r"shard-000001.npz: .*sha256"):
        list(me.read_logs(tmp_path / "stored"))
    shard.unlink()
    with pytest.raises(InvalidInput, match=r"no file shard-000001\.npz"):
        me.read_logs(tmp_path / "stored")
    (tmp_path / "saved" / "meta.json").write_text('{"schema": 9, "kind": "log"}')
    with pytest.raises(InvalidInput, match="schema 9"):
        me.read_logs(tmp_path / "saved")
    with pytest.raises(InvalidInput, match="written last"):
        me.read_logs(tmp_path)


#: What meta.json says instead, and what is said of it; None: the key is not there.
META: list[tuple[dict[str, Any], str]] = [
    ({"agents": None}, "no 'agents'"),
    ({"n_states": None}, "no 'n_states'"),
    ({"agents": 5}, "agents.names 5"),
    ({"steps": "x"}, "steps 'x'"),
    ({"steps": -1}, "steps -1"),
    ({"left": 0.5}, "left 0.5"),
    ({"discount": 1.5}, "discount 1.5"),
    ({"shards": 5}, "entries of wrong types"),
    ({"n_states": [0, 2]}, r"n_states\[0\] 0"),
    ({"n_states": [2**70, 2]}, "n_states 1180591620717411303424"),
    ({"n_states": "22"}, "n_states '22'"),
    ({"n_states": [2]}, "n_actions shape 2"),
    ({"n_states": [1, 2]}, "2 local pairs of agent 0, fewer than in shard-000000.npz"),
    ({"n_states": [2] * 3, "n_actions": [2] * 3}, "2 rows of 3 agents for shard-000000.npz"),
    ({"n_states": [2], "n_actions": [2]}, "2 rows of 1 agents for shard-000000.npz"),
]


@pytest.mark.parametrize(("changed", "said"), META)
def test_what_describes_shards_is_checked(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    saved = me.read_logs(states=[[0, 1], [1, 1], [0, 0]], actions=[[0, 1], [1, 0], [0, 0]], discount=0.5)
    saved.save(tmp_path / "log")
    file = tmp_path / "log" / "meta.json"
    meta = json.loads(file.read_text()) | changed
    file.write_text(json.dumps({k: v for k, v in meta.items() if v is not None}))
    with pytest.raises(InvalidInput, match=f"meta.json: got {said}.*it must describe a log of schema 1 to 2"):
        list(me.read_logs(tmp_path / "log"))
    saved.save(tmp_path / "again")
    assert same(me.read_logs(tmp_path / "again"), saved)


#: Of arrays of three steps: what they are given, and what is said of it.
ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"t": [0, 1, 1]}, r"t\[2\]: got 1 after 1; it rises inside an episode"),
    ({"t": [4, 3, 5]}, r"t\[1\]: got 3 after 4; it rises"),
    ({"t": [0, 2, 1], "episode": ["a", "b", "b"]}, r"t\[2\]: got 1 after 2; it rises"),
    ({"t": [0, -1, 2]}, r"t\[1\]: got -1; it must be a whole number from 0 to 2\^63 - 1"),
    (
        {"t": np.array([0, 1, 2**63], np.uint64)},
        r"t\[2\]: got 9223372036854775808; it must be a whole number",
    ),
    ({"episode": [0.0, np.nan, np.nan]}, r"episode\[1\]: got nothing"),
    ({"episode": ["a", "a", None]}, r"episode\[2\]: got nothing"),
    ({"episode": ["a", "NaN", "a"]}, r"episode\[1\]: got nothing"),
    ({"terminated": [0, 3, 0]}, r"terminated\[1\]: got 3; it must be true or false"),
    ({"terminated": [0.0, np.nan, 0.0]}, r"terminated\[1\]: got nothing"),
    ({"terminated": ["no", "no", "soon"]}, r"terminated\[2\]: got 'soon'; it must be true or false"),
]


@pytest.mark.parametrize(("given", "said"), ARRAYS)
def test_arrays_are_refused_as_tables_are(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        me.read_logs(states=[[0, 1], [1, 1], [0, 0]], **given)


def test_the_clock_of_arrays_begins_anew_with_an_episode() -> None:
    states = [[0], [1], [0], [1]]
    gap = whole(me.read_logs(states=states, t=[0, 1, 3, 4]))["clock"].tolist()
    assert gap == [0, 1, -1, 3, 4, -1]
    expected = [0, 1, -1, 0, 1, -1]
    for begins in (
        {"episode": [7, 7, 3, 3]},
        {"terminated": [0, 1, 0, 0]},
        {"terminated": ["f", "t", "f", "f"]},
    ):
        assert whole(me.read_logs(states=states, t=[0, 1, 0, 1], **begins))["clock"].tolist() == expected


@pytest.mark.parametrize("spread", ["even", "far", "text"])
def test_parts_of_large_files_change_nothing(
    spread: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = made_up(4)
    if spread == "far":
        frame.loc[frame.episode == 2, "t"] *= 10**11
    if spread == "text":
        frame["episode"] = [f"e{k:03d}" for k in frame.episode]
    file = write(frame, tmp_path / "log.parquet")
    monkeypatch.setattr(long, "SAMPLE", 60)
    whole_log = me.read_logs(file)
    monkeypatch.setattr(long, "PART", 60)
    split = me.read_logs(file)
    assert len(split.shards) > 5 > len(whole_log.shards)
    assert same(split, whole_log) and same(split, me.read_logs(frame))
    a, b = me.tally(split, tables=ALL), me.tally(whole_log, tables=ALL)
    assert a.refused == b.refused and np.array_equal(a.pairs, b.pairs)
    assert all(
        x.shape == b.tables[k].shape and np.array_equal(x.code, b.tables[k].code) for k, x in a.tables.items()
    )
    assert all(np.array_equal(x.count, b.tables[k].count) for k, x in a.tables.items())


def brute(frame: pd.DataFrame, blocks: int) -> dict[str, Counter[Any]]:
    """Every table by dictionaries, from the rows; None for an agent that is absent, "end" for the end of a task."""
    at = {(r.episode, r.t, r.agent): (r.state, r.action) for r in frame.itertuples()}
    over = {(r.episode, r.t) for r in frame.itertuples() if getattr(r, "terminated", False)}
    agents = sorted(set(frame.agent))
    times = sorted({(e, t) for e, t, _ in at})
    rows: list[Any] = []
    for e, t in times:  # a row of nobody wherever steps do not follow
        if rows and rows[-1] != (e, t - 1):
            rows.append(None)
        rows.append((e, t))
    rows.append(None)
    found: dict[str, Counter[Any]] = {name: Counter() for name in ALL}
    pair = [{} if r is None else {i: at[(*r, i)] for i in agents if (*r, i) in at} for r in rows]
    whole = [tuple(p.get(i) for i in agents) for p in pair]
    for k in range(len(rows) - 1):
        b, x, end = k * blocks // (len(rows) - 1), pair[k], rows[k] in over
        y = dict.fromkeys(x, "end") if end else pair[k + 1]
        for i in agents:
            if i in x and i in y:
                found["own"][b, i, x[i], y[i]] += 1
                for j in agents:
                    if j != i:
                        found["partners"][b, i, j, x[i], x.get(j), y[i]] += 1
        if x and y:
            then = "end" if end else whole[k + 1]
            found["joint"][b, whole[k], then] += 1
            found["clock"][b, rows[k][1], whole[k], then] += 1
            if k and pair[k - 1] and rows[k - 1] not in over:
                found["past"][b, whole[k - 1], whole[k], then] += 1
    return found


def in_words(tally: me.Tally, names: me.Log) -> dict[str, Counter[Any]]:
    """The tables of a tally with the states and actions of the frame."""

    def local(i: int, p: int, beyond: Any = None) -> Any:
        states, actions = names.local_names(i)
        s, a = divmod(p, len(actions))
        return beyond if p == tally.sizes[i] else (int(states[s]), int(actions[a]))

    joint: list[Any] = [tuple(local(i, p) for i, p in enumerate(row)) for row in tally.pairs.tolist()]
    joint = ["end" if set(row) == {None} else row for row in joint]
    found: dict[str, Counter[Any]] = {}
    for name, table in tally.tables.items():
        rows = zip(*(c.tolist() for c in table.columns), table.count.tolist(), strict=True)
        found[name] = counted = Counter()
        for *row, n in rows:
            if name == "own":
                b, i, x, y = row
                counted[b, names.agents[i], local(i, x), local(i, y, "end")] = n
            elif name == "partners":
                b, i, j, x, z, y = row
                mine = local(i, x), local(j, z), local(i, y, "end")
                counted[b, names.agents[i], names.agents[j], *mine] = n
            else:
                middle = [joint[row[1]]] if name == "past" else row[1:-2]
                counted[(row[0], *middle, joint[row[-2]], joint[row[-1]])] = n
    return found


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_plain_loops(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = made_up(seed, lost=0.02 * seed)
    frame["terminated"] = frame.t == (frame.episode * 7 % 30) + seed  # within episodes, too
    found = me.read_logs(frame)
    right = brute(frame, 7)
    assert any("end" in k for k in right["past"])
    for dense in (2**20, 0):
        monkeypatch.setattr(tol, "LOG_DENSE", dense)
        assert in_words(me.tally(found, tables=ALL, blocks=7), found) == right
    for i, name in enumerate(found.agents):
        moves = sum(n for k, n in right["own"].items() if k[1] == name and k[-1] != "end")
        assert me.tally(found).transitions(i).sum() == moves


def test_questions_are_tables_of_one_agent() -> None:
    found = me.read_logs(made_up(1, lost=0.05))
    tally = me.tally(found, tables=ALL)
    m = tally.sizes
    for name, partner in (("joint", None), ("partners", 2), ("past", None), ("clock", None)):
        q = tally.question(name, 0, partner)
        assert (
            (q["key"] < q["n_keys"]).all()
            and (q["outcome"] < q["n_outcomes"]).all()
            and (q["block"] < 40).all()
        )
        keys: dict[int, int] = {}
        assert all(
            keys.setdefault(c, k) == k for c, k in zip(q["code"].tolist(), q["key"].tolist(), strict=True)
        )
    for (b, i, j, *_), n in in_words(tally, found)["partners"].items():
        assert n > 0 and i != j and b < 40
    joint = tally.question("joint", 1)
    moves = np.zeros((m[1], m[1]), dtype=np.int64)
    np.add.at(moves, (joint["key"], joint["outcome"]), joint["count"])
    assert (moves == tally.transitions(1)).all()
    with pytest.raises(InvalidInput, match="counted were"):
        me.tally(found, tables="own").table("joint")
    with pytest.raises(InvalidInput, match="own"):
        me.tally(found, tables="owm")


def test_what_is_too_long_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = me.read_logs(made_up(1))
    full = me.tally(found, tables=ALL)
    monkeypatch.setattr(tol, "LOG_JOINT", len(full.pairs) - 1)
    tally = me.tally(found, tables=ALL)
    assert set(tally.tables) == {"own", "partners"} and set(tally.refused) == {"joint", "past", "clock"}
    assert not len(tally.pairs)
    with pytest.raises(TooLarge, match=r"joint: got more than .*'partners'"):
        tally.table("joint")
    assert len(tally.table("partners").code) == len(full.table("partners").code)
    monkeypatch.undo()
    monkeypatch.setattr(tol, "LOG_COUNTS", len(full.table("partners").code) - 1)
    assert set(me.tally(found, tables=ALL).refused) == {"partners"}


BAD = {
    "second": (lambda f: pd.concat([f, f.iloc[[5]]]), "row group 1, row 3,000: got a second row of episode"),
    "state": (
        lambda f: f.assign(state=f.state.where(f.index != 2500)),
        "row group 1, row 2,500, column 'state': got nothing",
    ),
    "episode": (
        lambda f: f.assign(episode=f.episode.where(f.index != 9)),
        "row group 0, row 9, column 'episode': got nothing",
    ),
    "reward": (
        lambda f: f.assign(reward=f.reward.where(f.index != 7, np.inf)),
        "row group 0, row 7, column 'reward': got inf",
    ),
    "t": (
        lambda f: f.assign(t=f.t.astype(float).where(f.index != 8, 1.5)),
        "row group 0, row 8, column 't': got 1.5; it must be a whole number",
    ),
    "words": (
        lambda f: f.assign(t=[f"{t}" if k != 2500 else "soon" for k, t in enumerate(f.t)]),
        "row group 1, row 2,500, column 't': got 'soon'",
    ),
    "dates": (
        lambda f: f.assign(t=pd.to_datetime(f.t, unit="s")),
        "row group 0, row 0, column 't': got the type TIMESTAMP",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_rows_are_refused_with_their_place(kind: str, tmp_path: Path) -> None:
    change, said = BAD[kind]
    frame = made_up(5, episodes=25, lost=0.0)
    good = write(frame, tmp_path / "good.parquet")
    bad = write(
        change(frame.assign(episode=frame.episode + 100)), tmp_path / "bad.parquet", ", ROW_GROUP_SIZE 2048"
    )
    with pytest.raises(InvalidInput) as error:
        me.read_logs([good, bad] if kind in ("second", "reward") else bad)
    assert str(error.value).startswith(f"{bad}, {said}")


def test_text_is_refused_with_its_line(tmp_path: Path) -> None:
    rows = ["episode,t,agent,state,reward", *(f"1,{t},x,s,1.0" for t in range(50))]
    for k, line, said in (
        (20, "1,soon,x,s,1.0", "row 20, column 't'"),
        (9, "1,8,,s,1.0", "row 9, column 'agent'"),
        (30, "1,2,x,s,1.0", "row 30"),
    ):
        file = tmp_path / "log.csv"
        file.write_text("\n".join([*rows[:k], line, *rows[k + 1 :]]))
        with pytest.raises(InvalidInput, match=rf"log.csv, {said}: got"):
            me.read_logs(file)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    frame = made_up(6, episodes=40)
    good, bad = (
        write(frame.assign(episode=frame.episode + k), tmp_path / f"{k}.parquet", ", ROW_GROUP_SIZE 2048")
        for k in (0, 90)
    )
    data = bad.read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 1):
        bad.write_bytes(data[:cut])
        with pytest.raises(InvalidInput, match=r"90.parquet.*unreadable"):
            me.read_logs([good, bad])
    query = f"SELECT min(data_page_offset) FROM parquet_metadata('{good}') WHERE row_group_id = 1"
    begin = duckdb.connect().execute(query).fetchone()[0]
    data = good.read_bytes()
    good.write_bytes(data[:begin] + bytes(200) + data[begin + 200 :])
    with pytest.raises(
        InvalidInput, match=r"0.parquet, row group 1, rows 2,048 to 4,095: got an unreadable file"
    ):
        me.read_logs(good)
    for text, said in (("a.txt", "no ending|.txt"), ("b.parquet", "exist")):
        (tmp_path / "a.txt").write_text("x")
        with pytest.raises(InvalidInput, match=said):
            me.read_logs(tmp_path / text)


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    file = write(made_up(7), tmp_path / "log.parquet")
    for options, said in (
        ({"states": "stat"}, "Did you mean 'state'"),
        ({"agents": "driver"}, "columns of log.parquet are"),
        ({"reward": ["a", "b"]}, "one column"),
        ({"memory": "much"}, "memory='2GB'"),
        ({"discount": 1.0}, "gamma"),
    ):
        with pytest.raises(InvalidInput, match=said):
            me.read_logs(file, **options)
    other = write(made_up(7).rename(columns={"state": "s"}), tmp_path / "other.parquet")
    with pytest.raises(InvalidInput, match=r"states: got no such column; .*states='...'"):
        me.read_logs(other)
    assert same(me.read_logs(other, states="s"), me.read_logs(file))
    with pytest.raises(
        InvalidInput, match=r"other.parquet, .*'state': got no such column; in log.parquet it is BIGINT"
    ):
        me.read_logs([file, other])
    with pytest.raises(InvalidInput, match="below 2"):
        me.read_logs(file, n_states=2)
    assert me.read_logs(file, n_states=4).spaces.n_states == (4, 4, 4)
    with pytest.raises(InvalidInput, match="frame, row 3, column 'agent'"):
        me.read_logs(made_up(7).assign(agent=lambda f: f.agent.where(f.index != 3)))
    with pytest.raises(InvalidInput, match=r"frame, row \d+: got a second row"):
        me.read_logs(pd.concat([made_up(7), made_up(7).iloc[[2]]]))


def test_minari_by_shape() -> None:
    class Dataset:
        def __init__(self, *episodes: Any) -> None:
            self.episodes = episodes

        def iterate_episodes(self, episode_indices: Any = None) -> Any:
            return iter(self.episodes)

    def episode(observations: Any, actions: Any, ended: bool) -> Any:
        return SimpleNamespace(
            observations=observations,
            actions=actions,
            rewards=np.ones(2),
            terminations=np.array([False, ended]),
        )

    two = {"a": np.array([0, 1, 1]), "b": np.array([[0, 1], [2, 3], [0, 1]])}
    found = me.read_logs(Dataset(episode(two, {"b": np.array([1, 0]), "a": np.array([0, 0])}, True),
                                 episode(two, {"a": np.array([1, 1]), "b": np.array([0, 0])}, False)))  # fmt: skip
    assert (
        found.agents == ("a", "b")
        and found.local_names(1) == (["0/1", "2/3"], ["0", "1"])
        and found.steps == 4
    )
    assert whole(found)["pairs"].tolist() == [[0, 1], [2, 2], [-1, -1], [1, 0], [3, 2], [-1, -1]]
    assert whole(found)["ended"].tolist() == [False, True, False, False, False]
    tuples = Dataset(episode((np.array([0, 1, 0]), np.array([1, 1, 0])), np.array([[0, 1], [1, 1]]), True))
    assert me.read_logs(tuples).steps == 2
    cart = Dataset(episode(np.array([[0.1], [0.2], [0.3]]), np.array([0, 1]), True))
    with pytest.raises(Unsupported, match=r"states=, a function"):
        me.read_logs(cart)
    assert me.read_logs(cart, states=lambda o: np.round(10 * o).astype(int)).local_names(0)[0] == ["1", "2"]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "storage", ["hdf5", *(["arrow"] if find_spec("pyarrow") else [])]
)  # no extra brings it
@pytest.mark.parametrize("form", [dict, tuple, list])
def test_minari_itself(form: Any, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Datasets that Minari wrote and loads give the log of the same numbers, whatever their form and storage."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    minari = pytest.importorskip("minari")
    from gymnasium import spaces
    from minari.data_collector import EpisodeBuffer

    def formed(rows: Any) -> Any:
        a, b = np.asarray(rows).T
        return (
            {"a": list(a), "b": list(b)}
            if form is dict
            else (list(a), list(b))
            if form is tuple
            else list(rows)
        )

    rng, one, buffers, episodes = np.random.default_rng(0), spaces.Discrete(3), [], []
    kinds = {dict: lambda: spaces.Dict(a=one, b=one), tuple: lambda: spaces.Tuple((one, one)),
             list: lambda: spaces.MultiDiscrete([3, 3])}  # fmt: skip
    for k, steps in enumerate((4, 7, 1)):
        seen, done, paid = (
            rng.integers(3, size=(steps + 1, 2)),
            rng.integers(3, size=(steps, 2)),
            rng.random(steps),
        )
        ended = [False] * (steps - 1) + [k != 1]
        cut = [False] * (steps - 1) + [k == 1]
        buffers.append(EpisodeBuffer(k, None, None, formed(seen), formed(done), list(paid), ended, cut, {}))
        episodes.append((seen, done, paid, ended))
    made = minari.create_dataset_from_buffers(
        "two/agents-v0", buffers, observation_space=kinds[form](), action_space=kinds[form](), data_format=storage,
        algorithm_name="any", author="us", author_email="us", code_permalink="us", description="made up",
    )  # fmt: skip
    assert made.total_episodes == 3
    found = me.read_logs(minari.load_dataset("two/agents-v0"), discount=0.9)
    want = me.read_logs(
        states=np.concatenate([s[:-1] for s, *_ in episodes]), actions=np.concatenate([a for _, a, *_ in episodes]),
        reward=np.concatenate([r for _, _, r, _ in episodes])[:, None], discount=0.9,
        episode=np.repeat(np.arange(3), [4, 7, 1]), terminated=np.concatenate([e for *_, e in episodes]),
    )  # fmt: skip
    assert found.steps == 12 and found.agents == (("a", "b") if form is dict else ("agent 0", "agent 1"))
    one, other = whole(found), whole(want)
    assert all(np.array_equal(one[k], other[k]) for k in ("pairs", "rewards", "ended"))


def stored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> me.Log:
    """A log of many shards."""
    monkeypatch.setattr(long, "PART", 400)
    frame = made_up(8, episodes=20).assign(terminated=lambda f: f.t % 7 == 3)
    made = me.read_logs(write(frame, folder / "log.parquet"), store=folder / "log")
    assert len(made.shards) > 5
    return made


def content(tally: me.Tally) -> list[bytes]:
    return [tally.pairs.tobytes(), *(a.tobytes() for t in tally.tables.values() for a in (t.code, t.count))]


def test_a_count_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = stored(tmp_path, monkeypatch)
    right, keep = content(me.tally(found, tables=ALL)), tmp_path / "kept"
    shares: list[float] = []

    def stop(share: float, what: str) -> None:
        shares.append(share)
        if share > 0.7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        me.tally(found, tables=ALL, keep=keep, progress=stop)
    done = sorted(keep.glob("*.npz"))
    assert 2 < len(done) < len(found.shards) and shares == sorted(shares)
    with pytest.raises(InvalidInput, match="resume=True"):
        me.tally(found, tables=ALL, keep=keep)
    for other in ({"tables": "own"}, {"tables": ALL, "blocks": 3}):
        with pytest.raises(InvalidInput, match="a count goes on as it began"):
            me.tally(found, keep=keep, resume=True, **other)
    with pytest.raises(InvalidInput, match="keep="):
        me.tally(found, resume=True)
    for shard in found.shards[: len(done)]:
        shard.path.unlink()  # what is done is not read again
    assert content(me.tally(found, tables=ALL, keep=keep, resume=True)) == right
    assert not keep.exists()


def test_processes_count_the_same_even_if_one_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever moment a worker dies at; no other process is touched but one that this test started."""
    found = stored(tmp_path, monkeypatch)
    right = content(me.tally(found, tables=ALL))
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            for child in multiprocessing.active_children():
                if child.pid is not None and not killed and child.name.startswith("SpawnProcess"):
                    time.sleep(random.Random().uniform(0.0, 3.0))
                    child.kill()
                    killed.append(child.pid)
            time.sleep(0.01)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    assert content(me.tally(found, tables=ALL, workers=2)) == right
    killed.append(0)
    killer.join()
    assert content(me.tally(found, tables=ALL, workers=4)) == right


def test_dask_workers_count_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    found = stored(tmp_path, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                2, threads_per_worker=1, processes=False, dashboard_address=None
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            counted = me.tally(found, tables=ALL, client=client)
    assert content(counted) == content(me.tally(found, tables=ALL))


def small() -> pd.DataFrame:
    """Two agents in six steps."""
    rows = [
        (e, t, f"a{i}", (t + i) % 2, t % 2, 0.5 * t, t == 2, 0.5)
        for e in (0, 1)
        for t in range(3)
        for i in (0, 1)
    ]
    return pd.DataFrame(
        rows, columns=["episode", "t", "agent", "state", "action", "reward", "terminated", "chance"]
    )


#: A column, what stands in its third row, what is said of it there.
UNFIT: list[tuple[str, Any, str]] = [
    ("t", -1, "got '?-1'?; it must be a whole number from 0"),
    ("t", 1.5, "got '?1.5'?; it must be a whole number from 0"),
    ("t", None, "got nothing"),
    ("t", "1_0", "got '1_0'; it must be a whole number from 0"),
    ("t", 2**63, "got '?9223372036854775808'?; it must be a whole number from 0"),
    ("reward", None, "got nothing"),
    ("reward", np.inf, "got '?inf'?; it must be a finite number"),
    ("reward", "1_0", "got '1_0'; it must be a finite number"),
    ("terminated", None, "got nothing"),
    ("terminated", 2, "got '?2'?; it must be true or false"),
    ("terminated", "soon", "got 'soon'; it must be true or false"),
    ("chance", 1.5, "got '?1.5'?; it must be a chance above 0"),
    ("chance", -0.5, "got '?-0.5'?; it must be a chance above 0"),
    ("episode", None, "got nothing"),
    ("episode", "", "got nothing"),
    ("agent", None, "got nothing"),
    ("agent", "nan", "got nothing"),
    ("state", " NaN ", "got nothing"),
    ("episode", "nan", "got nothing"),
]


@pytest.mark.parametrize(("column", "value", "said"), UNFIT)
def test_every_reader_refuses_the_same_entries_at_their_place(
    column: str, value: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = small()
    entries = frame[column].astype(object)
    entries[2] = value
    text = tmp_path / "log.csv"
    frame.assign(**{column: entries}).to_csv(text, index=False)
    if isinstance(value, str):
        entries = entries.map(str)
    elif value is not None and column != "terminated":
        entries = pd.Series(entries.to_numpy().astype(np.uint64 if value == 2**63 else type(value)))
    frame = frame.assign(**{column: entries})
    asked = {"the frame, row 2": frame, "log.csv, row 3": text}
    if column != "terminated":
        asked["log.parquet, row group 0, row 2"] = write(frame, tmp_path / "log.parquet")
    for place, given in asked.items():
        if column == "t" and given is frame and value in (1.5, None):
            continue  # refused as a column
        with pytest.raises(InvalidInput, match=f"{place}, column '{column}': {said}"):
            me.read_logs(given)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InvalidInput, match=f"log.csv, line 4, column '{column}': {said}"):
        me.read_logs(text)


def test_rows_without_an_action_are_left_out_whatever_else_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = small().astype({"action": float, "reward": float})
    expected = me.read_logs(frame[frame.t < 2].astype({"action": int}))
    last = frame.t == 2
    frame.loc[last, ["action", "reward", "chance"]] = np.nan
    frame = frame.assign(terminated=frame.terminated.where(~last, None))
    lines = frame.astype({"action": object}).replace({"action": {0.0: 0, 1.0: 1}})
    lines.to_csv(tmp_path / "log.csv", index=False)
    files = [tmp_path / "log.csv"]
    for k, word in enumerate(("  ", "nan", " NaN")):
        files.append(tmp_path / f"{k}.csv")
        lines.assign(action=lines.action.where(~last, word)).to_csv(files[-1], index=False)
    for given in (frame, write(frame, tmp_path / "log.parquet"), *files):
        assert same(me.read_logs(given), expected) and me.read_logs(given).steps == 4
    monkeypatch.setitem(sys.modules, "duckdb", None)
    for given in files:
        assert same(me.read_logs(given), expected)


TEXTS = {
    "marked": lambda text: "\ufeff" + text,
    "comments": lambda text: "# a, log\n\n" + text,
    "semicolons": lambda text: text.replace(",", ";"),
    "tabs": lambda text: text.replace(",", "\t"),
    "windows": lambda text: text.replace("\n", "\r\n"),
    "blank lines": lambda text: text.replace("\n", "\n\n"),
    "spaces": lambda text: text.replace(",", " , "),
    "words": lambda text: text.replace("True", "yes").replace("False", "0"),
    "quotes": lambda text: text.replace("a0", '"a0"').replace("agent", '"agent"'),
    "whole numbers": lambda text: text.replace("0,1,a", "0,1.0,a"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_tables_as_programs_write_them(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, expected = tmp_path / "log.csv", me.read_logs(small())
    file.write_bytes(TEXTS[kind](small().to_csv(index=False)).encode())
    assert same(me.read_logs(file), expected)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert same(me.read_logs(file), expected)


BROKEN: dict[str, tuple[Any, str]] = {
    "empty": (lambda text: b"", "got no line; the first line names the columns"),
    "latin": (lambda text: text.replace("a0", "ä0").encode("latin-1"), "no UTF-8; .*Save it as UTF-8"),
    "utf-16": (lambda text: text.encode("utf-16"), "no UTF-8; .*Save it as UTF-8"),
    "late": (lambda text: text.encode() + b"1,9,\xe4,0,0,0,0,0\n", "log.csv.*(no UTF-8|unicode)"),
    "twice": (lambda text: text.replace("chance", "state").encode(), "two columns 'state'.*Rename one"),
    "long row": (lambda text: (text + "2,0,a0,1,1,0,0,1,1,1\n").encode(), "log.csv, line 14: got"),
    "short row": (lambda text: (text + "2,0,a0\n").encode(), "log.csv, line 14: got"),
    "open quote": (lambda text: (text + '2,0,"a0,1,1,0,0,1\n2,1,a0,1,1,0,0,1\n').encode(), "log.csv, line 14: got"),
    "decimal comma": (lambda text: text.replace(",", ";").replace(".", ",").encode(), "'reward': got '0,0'"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_text_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, said = BROKEN[kind]
    file = tmp_path / "log.csv"
    file.write_bytes(change(small().to_csv(index=False)))
    with pytest.raises(InvalidInput, match=said):
        me.read_logs(file)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(InvalidInput, match=said):
        me.read_logs(file)


def test_text_files_have_the_same_columns_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, files = small(), [tmp_path / name for name in ("a.csv", "b.csv", "c.csv")]
    columns = frame.columns.tolist()
    frame[frame.episode == 0].to_csv(files[0], index=False)
    frame[frame.episode == 1][columns[::-1]].to_csv(files[1], index=False, sep=";")
    frame[frame.episode == 1].drop(columns="reward").to_csv(files[2], index=False)
    for _ in range(2):
        assert same(me.read_logs(files[:2]), me.read_logs(frame))
        for both in (files[::2], files[::-2]):  # a reward that one file lacks
            with pytest.raises(InvalidInput, match=r".\.csv, line 1: .*Write files with the same columns"):
                me.read_logs(both)
        monkeypatch.setitem(sys.modules, "duckdb", None)


def test_parts_are_in_order_whatever_the_sample_missed() -> None:
    rng = np.random.default_rng(0)
    e, t = np.repeat(np.arange(40), 50), np.tile(np.arange(50), 40)
    seen = np.sort(rng.choice(len(e), 300, replace=False))
    seen = seen[(t[seen] >= 7) & (t[seen] < 40) & (e[seen] > 0) & (e[seen] < 39)]
    for count in (2, 7, 40):
        part = long._part_of(e[seen], t[seen], count)
        con = duckdb.connect()
        con.register("steps", {"e": e, "t": t})
        found = con.execute(f"SELECT {part} AS p FROM steps ORDER BY e, t").fetchnumpy()["p"]
        assert (np.diff(found) >= 0).all() and found.min() >= 0 and found.max() < count


def test_identifiers_beyond_64_bits_with_a_sign_are_names(tmp_path: Path) -> None:
    frame = small().astype({"episode": np.uint64}).assign(episode=lambda f: f.episode + np.uint64(2**63))
    assert same(me.read_logs(write(frame, tmp_path / "log.parquet")), me.read_logs(small()))


# -- a reading that was stopped


@pytest.fixture
def slow_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of several parts, shuffled."""
    monkeypatch.setattr(long, "PART", 400)
    return write(made_up(4, 3, 300), tmp_path / "log.parquet")


def stopped(monkeypatch: pytest.MonkeyPatch, after: int, where: str = "steps") -> None:
    """From now on reading is interrupted after so many parts: before the next is read, or before it is laid down."""
    told = []
    holder, name = (long.Table, "steps") if where == "steps" else (Journal, "write")
    real = getattr(holder, name)

    def work(self: Any, *args: Any) -> Any:
        if where == "steps" or args[0] == "place":
            told.append(args)
            if len(told) > after:
                raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(holder, name, work)


@pytest.mark.parametrize("where", ["steps", "place"])
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_reading_that_was_stopped_goes_on_to_the_same_bytes(
    slow_log: Path, tmp_path: Path, after: int, where: str
) -> None:
    me.read_logs(slow_log, store=tmp_path / "whole")
    store = tmp_path / "kept"
    with pytest.MonkeyPatch.context() as patch:
        stopped(patch, after, where)
        with pytest.raises(KeyboardInterrupt):
            me.read_logs(slow_log, store=store)
    if after:
        early, whole_log = me.read_logs(store), me.read_logs(tmp_path / "whole")
        assert (
            early.left > 0
            and "rows not read" in repr(early)
            and "reading was stopped" in me.analyze(early).sentence
        )
        first = next(iter(early))
        assert np.array_equal(first.pairs, next(iter(whole_log)).pairs[: len(first.pairs)])
    with pytest.raises(InvalidInput, match="resume=True"):
        me.read_logs(slow_log, store=store)
    with pytest.raises(InvalidInput, match="another columns"):
        me.read_logs(slow_log, store=store, resume=True, reward="state")
    me.read_logs(slow_log, store=store, resume=True)
    files = sorted(f.name for f in store.iterdir())
    assert files == sorted(f.name for f in (tmp_path / "whole").iterdir())
    assert all((store / f).read_bytes() == (tmp_path / "whole" / f).read_bytes() for f in files)


def test_a_reading_that_is_whole_is_returned(slow_log: Path, tmp_path: Path) -> None:
    first = me.read_logs(slow_log, store=tmp_path / "kept")
    again = me.read_logs(slow_log, store=tmp_path / "kept", resume=True, discount=0.5)
    assert [s.sha256 for s in again.shards] == [s.sha256 for s in first.shards] and again.discount == 0.5
    other = write(made_up(5), tmp_path / "other.parquet")
    with pytest.raises(InvalidInput, match="a log of other files"):
        me.read_logs(other, store=tmp_path / "kept", resume=True)
    with pytest.raises(InvalidInput, match=r"Give store="):
        me.read_logs(slow_log, resume=True)
    with pytest.raises(InvalidInput, match="paths of files"):
        me.read_logs(states=[[0, 1]], store=tmp_path / "a", resume=True)


def test_the_command_says_what_was_kept_and_goes_on(
    slow_log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        stopped(patch, 2)
        assert main(["logs", "log.parquet", "--store", "kept"]) == 130
    assert "saved: kept" in capsys.readouterr().err
    assert main(["logs", "kept"]) == 0 and "reading was stopped" in " ".join(capsys.readouterr().out.split())
    assert main(["logs", "log.parquet", "--store", "kept", "--resume", "--json", "a.json"]) == 0
    assert main(["logs", "log.parquet", "--json", "b.json"]) == 0
    one, other = (json.loads(Path(f).read_text()) for f in ("a.json", "b.json"))
    assert one["entanglement"] == other["entanglement"] and one["logs"] == other["logs"]


def test_dates_that_are_missing_are_no_names() -> None:
    dates = pd.to_datetime(["2020-01-01", None, "2020-01-02", "2020-01-01"])
    frame = pd.DataFrame({"t": [0, 0, 1, 1], "agent": [0, 1, 0, 1], "state": [0, 1, 0, 1]})
    with pytest.raises(InvalidInput, match="frame, row 1, column 'state': got nothing"):
        me.read_logs(frame.assign(state=dates))
    found = me.read_logs(frame.assign(action=dates))
    assert whole(found)["pairs"].tolist() == [[0, -1], [1, 0], [-1, -1]]


@pytest.mark.parametrize(
    "states", [["state", "t"], ["t"], ["agent", "state"], ["reward", "episode", "action", "chance"]]
)
@pytest.mark.parametrize("part", [2**21, 3])
def test_local_states_may_repeat_any_column(
    states: list[str], part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long, "PART", part)
    expected, file = me.read_logs(small(), states=states), tmp_path / "log.csv"
    small().to_csv(file, index=False)
    clash = {"agent": "id", "t": "k0", "reward": "many", "action": "bad0", "episode": "e", "state": "name"}
    names = {"agents": "id", "t": "k0", "reward": "many", "actions": "bad0", "episode": "e"}
    other = write(small().rename(columns=clash), tmp_path / "other.parquet")
    assert same(me.read_logs(other, states=[clash.get(s, s) for s in states], **names), expected)
    assert same(me.read_logs(write(small(), tmp_path / "log.parquet"), states=states), expected)
    assert same(me.read_logs(file, states=states), me.read_logs(small().astype(str), states=states))
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert same(me.read_logs(file, states=states), me.read_logs(small().astype(str), states=states))


def test_why_a_table_is_refused_knows_no_order_of_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first two have the same joint pairs and too many entries together, the third other joint pairs."""
    seen = ([0, 1, 0, 1], [0, 0, 1, 1], [2, 3, 2, 3])
    logs = [me.read_logs(states=np.array(s)[:, None], n_states=4) for s in seen]
    parts = [me.tally(found, tables=("joint",), blocks=1) for found in logs]
    monkeypatch.setattr(tol, "LOG_JOINT", 2)
    monkeypatch.setattr(tol, "LOG_COUNTS", 3)
    merged = [
        m for a, b, c in itertools.permutations(parts) for m in (a.merge(b).merge(c), a.merge(b.merge(c)))
    ]
    assert not any(m.tables for m in merged)
    assert {m.refused["joint"] for m in merged} == {
        "more than 2 different joint pairs, 3 entries or 2^63 numbers for them"
    }
