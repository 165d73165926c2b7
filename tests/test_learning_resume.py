"""Runs that are stopped and go on: equal bytes, whatever was stopped where; other runs are refused by name."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.runs import agents

LEARNERS = [
    me.LSTD(), me.LSTD(0.5), me.CountModel(), me.MonteCarlo(), me.JointLSTD(), me.TD(), me.TD(0.7, "n^-0.7"),
    me.TD(0.3, 0.1, pool=[0, 0, 0]), me.LinearLSTD([np.eye(4)[:, :3]] * 3, 0.5), me.LinearTD([np.eye(4)] * 3, 0.5),
]  # fmt: skip


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "_CHUNK", 300)


def three(seed: int = 0, agents: int = 3) -> me.WeaklyCoupledMDP:
    kernels = np.random.default_rng(seed).dirichlet(np.ones(2), size=(agents, 2, 2))
    return me.WeaklyCoupledMDP(list(kernels), [[0.0, 1.0]] * agents, discount=0.9, budget=1)


POLICY = me.IndexPolicy([[0.3, 0.2], [0.5, 0.1], [0.4, 0.4]])


class Sampled:
    """A policy that only draws: its numbers come from the generator of the run."""

    def sample(self, states: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.eye(40, dtype=np.int64)[rng.integers(0, 40, len(states))]


def after(asked: int) -> Any:
    """A question that is answered with yes from that time on."""
    times = iter(range(10**6))
    return lambda: next(times) >= asked


def text(found: me.LocalValues) -> str:
    return json.dumps(found.to_dict())


@pytest.mark.parametrize("learner", LEARNERS, ids=repr)
def test_a_run_that_goes_on_has_the_bytes_of_one_that_never_stopped(learner: Any, tmp_path: Path) -> None:
    run, file = {"steps": 1000, "burn_in": 7, "rng": 3}, tmp_path / "run.npz"
    whole = me.learn(learner, three(), POLICY, **run)
    parts = [me.learn(learner, three(), POLICY, **run, keep=file, stop=after(0))]
    while file.exists():
        assert len(parts) < 5
        parts.append(me.learn(learner, three(), POLICY, **run, keep=file, resume=True, stop=after(2)))
    assert [p.steps for p in parts] == [100, 400, 700, 1000]
    assert text(parts[-1]) == text(whole) and text(parts[1]) != text(whole)
    for mine, theirs in zip(parts[-1].local, whole.local, strict=True):
        assert mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("numbers", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_policies_that_draw_go_on_with_the_numbers_of_the_run(numbers: Any, tmp_path: Path) -> None:
    file = tmp_path / "run.npz"

    def run(**more: Any) -> me.LocalValues:
        rng = np.random.Generator(numbers(5))
        return me.learn(me.LSTD(), three(0, 40), Sampled(), steps=90, rng=rng, **more)

    run(keep=file, stop=after(3))
    assert text(run(keep=file, resume=True)) == text(run())


def test_tasks_that_end_and_a_learner_of_ones_own_go_on(tmp_path: Path) -> None:
    class First(me.Learner[Any]):
        """Rewards summed by pair, in tuples, lists and numbers."""

        def start(self, sizes: Any, discount: float) -> Any:
            return {"sums": [np.zeros(int(m)) for m in sizes], "steps": 0, "seen": (np.zeros(1), 0.0)}

        def step(self, state: Any, chunk: me.Chunk) -> Any:
            for i, table in enumerate(state["sums"]):
                np.add.at(table, chunk.pairs[:-1, i], chunk.rewards[:, i])
            seen, last = state["seen"]
            return state | {"steps": state["steps"] + len(chunk.ended), "seen": (seen + 1, last + 0.5)}

        def merge(self, a: Any, b: Any) -> Any:
            raise AssertionError

        def finish(self, state: Any) -> me.LocalValues:
            chunks, halves = state["seen"]
            tables = tuple(t + 1000 * chunks + 10**6 * halves for t in state["sums"])
            return me.LocalValues(
                tables, tuple(np.ones(len(t), int) for t in tables), 0.5, state["steps"], "sums"
            )

    rng, file = np.random.default_rng(0), tmp_path / "run.npz"
    chain = me.JointChain(rng.dirichlet(np.ones(6), size=6), (2, 3), rewards=[[0.0, 1.0], [1.0, 2.0, 3.0]],
                          discount=0.9, terminal=[(1, 2)], restart=(0, 1))  # fmt: skip
    whole = me.learn(First(), chain, steps=1000, rng=0)
    me.learn(First(), chain, steps=1000, rng=0, keep=file, stop=after(1))
    found = me.learn(First(), chain, steps=1000, rng=0, keep=file, resume=True)
    assert found.steps == whole.steps == 1000
    # chunks go on where the stop was, so that what counts chunks counts the same
    for mine, theirs in zip(found.local, whole.local, strict=True):
        assert mine.tobytes() == theirs.tobytes() and mine.min() > 10**6


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    class Odd(me.CountModel):
        def start(self, sizes: Any, discount: float) -> Any:
            state = super().start(sizes, discount)
            state.odd = {1, 2}
            return state

    with pytest.raises(Unsupported, match="a state with a set"):
        me.learn(Odd(), three(), POLICY, steps=500, rng=0, keep=tmp_path / "run.npz", stop=after(0))


@pytest.mark.parametrize(
    ("said", "other"),
    [
        ("another learner (LSTD, not TD)", {"learner": me.TD()}),
        ("another learner; only", {"learner": me.LSTD(0.5)}),
        ("another system", {"system": three(seed=1)}),
        ("another policy", {"policy": me.IndexPolicy([1.0, 0.0])}),
        ("another policy", {"policy": "uniform"}),
        ("another seed (3, not 4)", {"rng": 4}),
        ("another burn-in (1000, not 5)", {"burn_in": 5}),
        ("another discount (0.9, not 0.5)", {"discount": 0.5}),
        ("it must be shorter than 100", {"steps": 100}),
        ("without keep", {"keep": None}),
        ("True or False", {"resume": "yes"}),
    ],
)
def test_another_run_is_refused_by_name(said: str, other: dict[str, Any], tmp_path: Path) -> None:
    run = {"learner": me.LSTD(), "system": three(), "policy": POLICY, "steps": 1000, "rng": 3}
    run |= {"keep": tmp_path / "run.npz"}
    me.learn(**run, stop=after(2))  # type: ignore[arg-type]
    before = (tmp_path / "run.npz").read_bytes()
    with pytest.raises(InvalidInput) as told:
        me.learn(**(run | {"resume": True} | other))  # type: ignore[arg-type]
    assert said in str(told.value) and (tmp_path / "run.npz").read_bytes() == before
    assert me.learn(**run, resume=True).steps == 1000  # type: ignore[arg-type]


def test_files_that_are_no_run(tmp_path: Path) -> None:
    for place, said in ((tmp_path, "a folder"), (tmp_path / "no" / "run.npz", "folder must exist")):
        with pytest.raises(InvalidInput, match=said):
            me.learn(me.LSTD(), three(), POLICY, steps=9, rng=0, keep=place)
    file = tmp_path / "run.npz"
    with pytest.raises(InvalidInput, match=r"no file run\.npz"):
        me.learn(me.LSTD(), three(), POLICY, steps=9, rng=0, keep=file, resume=True)
    np.savez(file, about=np.array("{}"))
    with pytest.raises(InvalidInput, match="must be a run"):
        me.learn(me.LSTD(), three(), POLICY, steps=9, rng=0, keep=file, resume=True)
    file.write_bytes(b"no archive")
    with pytest.raises(InvalidInput, match="cannot be read"):
        me.learn(me.LSTD(), three(), POLICY, steps=9, rng=0, keep=file, resume=True)


def test_a_torn_state_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.npz"
    me.learn(me.LSTD(), three(), POLICY, steps=900, rng=0, keep=file, stop=after(0))
    with np.load(file) as kept:
        arrays = dict(kept)
    np.savez(file, **(arrays | {"state.moves": arrays["state.moves"][:-1]}))
    with pytest.raises(InvalidInput, match=r"no state\.moves that fits"):
        me.learn(me.LSTD(), three(), POLICY, steps=900, rng=0, keep=file, resume=True)


def test_counts_are_never_stopped(tmp_path: Path) -> None:
    entry, file = me.gallery.build("circulant-bandit", n_arms=1800), tmp_path / "run.npz"
    run = {"steps": 500, "rng": 0}
    kept = me.learn(me.LSTD(), entry.system, entry.policy, **run, keep=file, stop=after(0))
    assert text(kept) == text(me.learn(me.LSTD(), entry.system, entry.policy, **run)) and not file.exists()


def test_learned_values_have_the_names_of_the_system(capsys: pytest.CaptureFixture[str]) -> None:
    labels = {"names": ["a", "b", "c"], "states": ["ill", "well"], "actions": ["rest", "treat"]}
    kernels = np.random.default_rng(0).dirichlet(np.ones(2), size=(3, 2, 2))
    system = me.WeaklyCoupledMDP(list(kernels), [[0.0, 1.0]] * 3, discount=0.9, budget=1, labels=labels)
    for pool in (None, [0, 1, 0]):
        table = me.learn(me.LSTD(pool=pool), system, POLICY, steps=300, rng=0).to_dataframe()
        assert set(table["state"]) == {"ill", "well"} and set(table["action"]) == {"rest", "treat"}
        assert list(dict.fromkeys(table["agent"])) == (
            ["a", "b", "c"] if pool is None else ["group 0", "group 1"]
        )
    assert main(["learn", "gallery:circulant-bandit", "--steps", "300"]) == 0
    assert "serve" in capsys.readouterr().out


def test_the_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call = ["learn", "gallery:circulant", "--learner", "td", "--trace", "0.5", "--steps", "3e3", "--json"]
    assert main([*call, "whole.json"]) == 0 and not Path("whole.resume.npz").exists()
    stretched = agents.Walk.stretch

    def stretch(self: agents.Walk, steps: int) -> Any:
        if self.time >= 1300:
            signal.raise_signal(signal.SIGINT)
        return stretched(self, steps)

    with monkeypatch.context() as patch:
        patch.setattr(agents, "_CHUNK", 1000)
        patch.setattr(agents.Walk, "stretch", stretch)
        assert main([*call, "l.json"]) == 130
    assert "saved: l.json, l.resume.npz" in capsys.readouterr().err
    assert 500 <= json.loads(Path("l.json").read_text())["steps"] < 1000
    assert main([*call, "l.json", "--seed", "1", "--resume"]) == 2
    assert "another seed (0, not 1)" in capsys.readouterr().err
    assert main([*call, "l.json", "--resume"]) == 0
    assert (
        Path("l.json").read_bytes() == Path("whole.json").read_bytes() and not Path("l.resume.npz").exists()
    )
    assert main([*call, "l.json", "--resume"]) == 2
    assert "no file l.resume.npz" in capsys.readouterr().err
    assert main([*call[:-1], "--resume"]) == 2
    assert "--resume" in capsys.readouterr().err
