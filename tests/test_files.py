"""System files: bit-equal round trips, runnable templates, atomic writes, nothing executed."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import markov_entanglement as me
from helpers import Case, build, cases
from markov_entanglement import _files
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput, Unsupported
from markov_entanglement.model import files
from markov_entanglement.model.kinds import kinds


def arrays(value: Any) -> list[np.ndarray]:
    """All numbers behind a system or policy, in one order."""
    if sp.issparse(value):
        return [np.asarray(value.toarray())]
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, tuple | list):
        return [a for v in value for a in arrays(v)]
    names = ("kernel", "kernels", "rewards", "local", "shared", "tables", "priority", "table")
    return [a for n in names if getattr(value, n, None) is not None for a in arrays(getattr(value, n))]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def same(a: Any, b: Any) -> bool:
    """Bit for bit."""
    left, right = arrays(a), arrays(b)
    return len(left) == len(right) and all(
        x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()
        for x, y in zip(left, right, strict=True)
    )


def round_trip(file: Path, system: Any, policy: Any = None) -> tuple[Any, Any]:
    """Save, load, compare; returns what was loaded."""
    me.save(file, system, policy)
    found, chosen = me.load(file)
    assert type(found) is type(system) and found.spaces == system.spaces
    assert same(found, system)
    assert found.discount == system.discount and found.labels == system.labels
    assert getattr(found, "budget", None) == getattr(system, "budget", None)
    assert (found.rewards is None) == (system.rewards is None)
    if policy is None:
        assert chosen is None
        return found, None
    table = system.bind(policy).table
    states = np.stack(np.unravel_index(np.arange(system.spaces.joint_states), system.spaces.n_states), axis=1)
    assert same(found.bind(chosen).table(states), table(states))
    # a second round trip writes the same bytes
    second = file.with_name(f"second-{file.name}")
    me.save(second, found, chosen)
    third, again = me.load(second)
    assert same(third, system) and same(again, chosen)
    return found, chosen


@given(cases())
@settings(max_examples=40)
def test_round_trip_is_bit_equal(tmp_path_factory: pytest.TempPathFactory, case: Case) -> None:
    policy = None if case.kind == "chain" else case.policy
    for limit in (0, 10**9):  # all in an archive, all in the text
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "_INLINE", limit)
            folder = tmp_path_factory.mktemp("trip")
            round_trip(folder / "system.toml", case.system, policy)
            assert bool(list(folder.glob("system-*.npz"))) == (limit == 0)


def test_differences_are_seen() -> None:
    """Negative control of `same`: one bit of one entry."""
    p = np.full((4, 4), 0.25)
    q = p.copy()
    q[0, 0], q[0, 1] = np.nextafter(0.25, 1), np.nextafter(0.25, 0)
    assert same(me.JointChain(p, (2, 2)), me.JointChain(p, (2, 2)))
    assert not same(me.JointChain(p, (2, 2)), me.JointChain(q, (2, 2)))
    assert not same(me.IndexPolicy([0, 1]), me.IndexPolicy([0, 2]))
    assert not same(me.IndexPolicy([0, 1]), me.UniformPolicy())


@pytest.mark.parametrize("limit", [0, 10**9])
@pytest.mark.parametrize(
    "policy",
    [
        me.UniformPolicy(),
        me.IndexPolicy([0.1, 1e-300, 3]),
        me.IndexPolicy([[0, 1, 2], [2.5, -1, 0.0]]),
        me.LocalPolicy([np.full((3, 2), 0.5), [[1, 0], [0, 1], [1 / 3, 2 / 3]]]),
        lambda s: {(1, 0): 0.25, (0, 1): 0.75} if s[0] else {(1, 0): 1.0},
    ],
    ids=["uniform", "index", "index-each", "local", "callable"],
)
def test_every_kind_of_policy(
    policy: Any, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_INLINE", limit)
    rng = np.random.default_rng(0)
    local = isinstance(policy, me.LocalPolicy)
    system = me.WeaklyCoupledMDP(
        list(rng.dirichlet(np.ones(3), size=(2, 2, 3))), rng.normal(size=(2, 3)), discount=0.9,
        budget=None if local else 1,
    )  # fmt: skip
    _, chosen = round_trip(tmp_path / "system.toml", system, policy)
    if not callable(policy):
        assert type(chosen) is type(policy) and same(chosen, policy)


@pytest.mark.parametrize("limit", [0, 10**9])
def test_optimal_and_table_policies(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_INLINE", limit)
    case = build("mdp", (2, 3), (2, 2), "table", True, 3)
    for policy in (me.optimal_policy(case.system), case.table, case.policy):
        round_trip(tmp_path / "system.toml", case.system, policy)


@pytest.mark.parametrize("limit", [0, 10**9])
@pytest.mark.parametrize("kind", ["chain", "mdp", "weakly-coupled"])
def test_shared_rewards(kind: str, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_INLINE", limit)
    rng = np.random.default_rng(1)
    if kind == "chain":
        system: Any = me.JointChain(np.full((6, 6), 1 / 6), (2, 3), rewards=rng.normal(size=6), discount=0.5)
    elif kind == "mdp":
        system = me.MultiAgentMDP(np.full((6, 2, 6), 1 / 6), rng.normal(size=(6, 2)), n_states=(2, 3),
                                  n_actions=(1, 2), discount=0.5)  # fmt: skip
    else:
        system = me.WeaklyCoupledMDP([np.full((1, 2, 2), 0.5), np.full((2, 3, 3), 1 / 3)], rng.normal(size=(6, 2)),
                                     discount=0.5)  # fmt: skip
    found, _ = round_trip(tmp_path / "system.toml", system)
    assert found.rewards.local is None


LABELS = {
    "names": ['say "hi"', "back\\slash"],
    "states": [["nul\x00", "tab\tand\nline"], ["żółw 🐢", "del\x7f"]],
    "actions": [["'single'"], ["</script><b>", "𝛾 = 0.9 # no comment"]],
}


@pytest.mark.parametrize("limit", [0, 10**9])
def test_labels_survive(limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_INLINE", limit)
    kernels = [np.full((1, 2, 2), 0.5), np.full((2, 2, 2), 0.5)]
    system = me.WeaklyCoupledMDP(kernels, [[0, 1], [0, 1]], discount=0.9, labels=LABELS)
    found, _ = round_trip(tmp_path / "sýstem 1.toml", system, me.UniformPolicy())
    assert found.labels.names == tuple(LABELS["names"])
    assert found.labels.state(1, 0) == "żółw 🐢" and found.labels.action(1, 0) == "</script><b>"


@given(st.text(), st.text())
@settings(max_examples=60)
def test_any_text_is_a_name(tmp_path_factory: pytest.TempPathFactory, a: str, b: str) -> None:
    assume(a != b)
    system = me.JointChain(np.full((4, 4), 0.25), (2, 2), labels={"names": [a, b]})
    file = tmp_path_factory.mktemp("names") / "system.toml"
    me.save(file, system)
    assert me.load(file)[0].labels.names == (a, b)


def test_shared_and_partial_labels(tmp_path: Path) -> None:
    chain = me.JointChain(np.full((4, 4), 0.25), (2, 2), labels={"states": ["low", "high"]})
    assert (
        chain.labels.state(0, 1) == chain.labels.state(1, 1) == "high" and chain.labels.agent(1) == "agent 1"
    )
    found, _ = round_trip(tmp_path / "system.toml", chain)
    assert found.labels.actions == ()
    some = me.JointChain(np.full((4, 4), 0.25), (2, 2), labels={"states": [[], ["low", "high"]]})
    assert me.analyze(some).to_dict()["breakdown"]["pair_names"] == [["0", "1"], ["low", "high"]]


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2, max_size=2),
    st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=60)
def test_any_number_survives(
    tmp_path_factory: pytest.TempPathFactory, reward: list[float], gamma: float
) -> None:
    system = me.JointChain(np.full((2, 2), 0.5), (2,), rewards=[reward], discount=gamma)
    round_trip(tmp_path_factory.mktemp("numbers") / "system.toml", system)


def test_a_policy_beside_a_chain_is_refused(tmp_path: Path) -> None:
    """What `save` would write, `load` could not read."""
    system = me.JointChain(np.full((4, 4), 0.25), (2, 2))
    for policy in (me.UniformPolicy(), "uniform", lambda s: {(0, 0): 1.0}):
        with pytest.raises(
            Unsupported, match=r"a chain that is given as such has its policy inside. Leave it out"
        ):
            me.save(tmp_path / "system.toml", system, policy)
    assert names(tmp_path) == []


def test_gallery_systems_survive(tmp_path: Path) -> None:
    for entry in me.gallery.entries():
        subject = entry.build()
        if not isinstance(subject.chain(), me.Chain):
            continue  # bandits have a file kind of their own, tested with them
        round_trip(tmp_path / f"{entry.id}.toml", subject.system, subject.policy)


# --- templates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", kinds())
def test_templates_run(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "mine.toml", "--kind", kind]) == 0
    assert "markov-entanglement analyze mine.toml" in capsys.readouterr().out
    text = Path("mine.toml").read_text()
    assert text == kinds()[kind].template("mine.toml") and text.count("#") >= 4
    assert tomllib.loads(text)["kind"] == kind
    system, policy = me.load("mine.toml")
    assert me.check_system(system, policy).ok
    assert me.analyze(system, policy).to_dict()["values"]
    assert main(["analyze", "mine.toml", "--json", "r.json"]) == 0
    assert main(["check", "mine.toml"]) == 0
    if isinstance(system.under(policy), me.Chain):
        round_trip(folder / "again.toml", system, policy)
    else:
        me.save("again.toml", system, policy)
        again, same_policy = me.load("again.toml")
        assert same(again, system) and same(same_policy, policy)
        assert again.n_arms.tolist() == system.n_arms.tolist() and again.budget == system.budget


# --- atomic writes ---------------------------------------------------------------------------------------


def test_a_reader_never_sees_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file.txt"
    _files.write_text(target, "old")

    def fails(self: Path, other: Any) -> None:
        assert Path(other).read_text() == "old"  # the new text lies beside it, whole, until the last moment
        assert self.read_text() == "new" and self.parent == tmp_path
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(InvalidInput, match=r"No space left on device.*choose"):
        _files.write_text(target, "new")
    assert target.read_text() == "old" and names(tmp_path) == ["file.txt"]


def test_an_interrupt_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Path, other: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _files.write_text(tmp_path / "file.txt", "new")
    assert names(tmp_path) == []


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        _files.write_bytes(tmp_path / "file", b"x")
    finally:
        os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    _files.write_text(tmp_path / "file", "a much longer old text")
    _files.write_text(tmp_path / "file", "short")
    assert (tmp_path / "file").read_text() == "short" and names(tmp_path) == ["file"]


def test_files_run_no_code(folder: Path) -> None:
    """A policy named as `module:attr` inside a file is refused, not imported."""
    (folder / "evil.py").write_text("open('ran', 'w').close()\ndef policy(s): return {}\n")
    me.save("system.toml", me.gallery.build("circulant", n_arms=2, budget=1).system)
    text = Path("system.toml").read_text()
    for line in (
        'policy = "evil:policy"',
        '[policy]\nkind = "evil:policy"',
        '[policy]\nkind = "table"\ntable = "evil:p"',
    ):
        Path("bad.toml").write_text(text.replace("[agents]", f"{line}\n[agents]"))
        with pytest.raises(InvalidInput):
            me.load("bad.toml")
    assert not Path("ran").exists()
