"""System files: bit-equal round trips, runnable templates, atomic writes, nothing executed."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
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
    states = system.spaces.states_at(np.arange(system.spaces.joint_states))
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
    for limit in (0, 10**9):  # all in an archive, all in the text
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "_INLINE", limit)
            folder = tmp_path_factory.mktemp("trip")
            round_trip(folder / "system.toml", case.system, case.policy)
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
    st.lists(st.floats(-1e250, 1e250), min_size=2, max_size=2),
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
            Unsupported, match=r"a chain that is given as such has its policy inside.* Leave it out"
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


def test_permissions_follow_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = os.umask(0o027)
    try:
        with (
            monkeypatch.context() as patch
        ):  # the mask belongs to the whole process: no thread may see it open
            patch.setattr(os, "umask", lambda _: pytest.fail("the mask was touched"))
            _files.write_bytes(tmp_path / "file", b"x")
    finally:
        os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_the_mode_of_an_old_file_is_kept(mode: int, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    target.chmod(mode)
    _files.write_text(target, "new")
    assert target.read_text() == "new" and target.stat().st_mode & 0o777 == mode


def test_a_file_system_without_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network mounts refuse chmod: the file is saved all the same, never more open than it was."""
    target = tmp_path / "file"
    target.write_text("old")
    target.chmod(0o640)

    def refuses(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuses)
    _files.write_text(target, "new")
    assert target.read_text() == "new" and target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [200, 250, 255])
def test_long_names(size: int, tmp_path: Path) -> None:
    """What the file system takes; the temporary name is not longer than the file's own."""
    name = "n" * (size - 5) + ".toml"
    me.save(tmp_path / name, me.JointChain(np.full((64, 64), 1 / 64), (8, 8)))
    assert me.load(tmp_path / name)[0].n_agents == 2 and len(names(tmp_path)) == 2
    with pytest.raises(InvalidInput, match="File name too long"):
        _files.write_text(tmp_path / ("n" * 256), "x")


def test_read_only_files_stay(tmp_path: Path) -> None:
    """Also for root, whom the system would let."""
    target = tmp_path / "file"
    target.write_text("old")
    target.chmod(0o444)
    with pytest.raises(InvalidInput, match="read-only"):
        _files.write_text(target, "new")
    assert target.read_text() == "old" and target.stat().st_mode & 0o777 == 0o444
    target.chmod(0o644)  # as the owner may
    _files.write_text(target, "new")


def test_links_are_followed(tmp_path: Path) -> None:
    """A chain of links, one into a folder: the file at the end changes, the links stay."""
    (tmp_path / "deep").mkdir()
    real, first, second = tmp_path / "deep" / "real", tmp_path / "first", tmp_path / "second"
    first.symlink_to("deep/real")
    second.symlink_to(first)
    _files.write_text(second, "into nothing")  # a dangling link: the file that it names comes to be
    assert real.read_text() == "into nothing"
    _files.write_text(second, "again")
    assert second.is_symlink() and first.is_symlink() and real.read_text() == "again"
    assert names(tmp_path) == ["deep", "first", "second"] and names(tmp_path / "deep") == ["real"]
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with pytest.raises(InvalidInput, match="circle"):
        _files.write_text(circle, "x")
    (tmp_path / "nowhere").symlink_to("no/such/folder")
    with pytest.raises(InvalidInput, match="nowhere"):
        _files.write_text(tmp_path / "nowhere", "x")


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for target in (pipe, link):
        reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
        _files.write_text(target, "through the pipe")
        assert reader.communicate(timeout=60)[0] == b"through the pipe"
    assert stat.S_ISFIFO(pipe.stat().st_mode) and link.is_symlink() and names(tmp_path) == ["link", "pipe"]


def test_a_device_is_written_into(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"")
    except PermissionError:  # not root, or a file system without devices: a link to the system's own
        device.unlink(missing_ok=True)
        device.symlink_to("/dev/null")
    _files.write_text(device, "into nothing")
    assert stat.S_ISCHR(device.stat().st_mode) and names(tmp_path) == ["null"]
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


# --- outputs of commands ---------------------------------------------------------------------------------

CHAIN = """schema = 1
kind = "chain"
discount = 0.9
sizes = [2]
transition = [[0.5, 0.5], [0.5, 0.5]]
rewards = [[0.0, 1.0]]
"""


@pytest.fixture
def desk(folder: Path) -> Path:
    """A system, one with arrays and a policy of its own, one's own code, a result; links to the first."""
    (folder / "s.toml").write_text(CHAIN)
    (folder / "soft").symlink_to("s.toml")
    os.link("s.toml", "hard")
    (folder / "shut").write_text("kept")
    (folder / "shut").chmod(0o444)
    rng = np.random.default_rng(0)
    me.save("big.toml", me.JointChain(rng.dirichlet(np.ones(64), size=64), (8, 8)))
    (arrays,) = folder.glob("big-*.npz")
    (folder / "arrays.npz").symlink_to(arrays.name)
    (folder / "mine.py").write_text("import markov_entanglement as me\nsystem = me.load('s.toml')[0]\n")
    np.savez("p.npz", table=np.ones((1, 1)))
    me.analyze(me.load("s.toml")[0]).save_json("r.json")
    return folder


#: Commands whose output is one of their inputs, or twice the same.
OVERWRITES = {
    "itself": ["analyze", "s.toml", "--json", "s.toml"],
    "page": ["analyze", "s.toml", "--html", "s.toml"],
    "dots": ["analyze", "s.toml", "--json", "./x/../s.toml"],
    "soft-link": ["analyze", "s.toml", "--json", "soft"],
    "through-a-link": ["analyze", "soft", "--json", "s.toml"],
    "hard-link": ["analyze", "s.toml", "--html", "hard"],
    "arrays": ["analyze", "big.toml", "--json", "arrays.npz"],
    "policy": ["analyze", "s.toml", "--policy", "p.npz", "--json", "p.npz"],
    "policy-word": ["analyze", "s.toml", "--policy", "table:p.npz", "--json", "p.npz"],
    "own-code": ["analyze", "mine:system", "--json", "mine.py"],
    "result": ["report", "r.json", "-o", "r.json"],
    "twice": ["analyze", "s.toml", "--json", "x", "--html", "x"],
    "twice-dots": ["analyze", "s.toml", "--json", "x", "--html", "./x"],
    "read-only": ["analyze", "s.toml", "--json", "shut"],
    "read-only-page": ["report", "r.json", "-o", "shut"],
    "dangling-init": ["init", "dangling"],
}  # fmt: skip


@pytest.mark.parametrize("name", OVERWRITES)
def test_what_is_read_is_not_overwritten(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, the option named, every byte and every link as it was."""
    (desk / "dangling").symlink_to("nothing")
    (desk / "x").mkdir() if name == "dots" else None
    before = {p.name: (p.lstat().st_mode, p.read_bytes() if p.is_file() else b"") for p in desk.iterdir()}
    argv = OVERWRITES[name]
    assert main(argv) == 2
    out = capsys.readouterr()
    option = {"init": "FILE", "report": "--output"}.get(argv[0], argv[-2])
    assert out.out == "" and out.err.startswith(f"error: {option}: got {Path(argv[-1])}")
    why = (
        "read-only"
        if "read-only" in name
        else "must not exist yet"
        if argv[0] == "init"
        else "reads or writes"
    )
    assert why in out.err
    after = {p.name: (p.lstat().st_mode, p.read_bytes() if p.is_file() else b"") for p in desk.iterdir()}
    assert after == before


def test_other_outputs_are_fine(desk: Path) -> None:
    """Negative control: the same commands with names of their own; through a link; into a pipe and a device."""
    (desk / "soft.json").symlink_to("fresh.json")
    assert main(["analyze", "s.toml", "--json", "soft.json", "--html", "x"]) == 0
    assert (desk / "soft.json").is_symlink() and json.loads((desk / "fresh.json").read_text())["schema"] == 1
    assert main(["report", "r.json", "-o", "page.html"]) == 0
    assert main(["analyze", "s.toml", "--json", "/dev/null", "--html", "/dev/null"]) == 0
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    os.mkfifo("pipe")
    reader = subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE)
    assert main(["analyze", "s.toml", "--json", "pipe"]) == 0
    assert json.loads(reader.communicate(timeout=60)[0])["schema"] == 1
    assert stat.S_ISFIFO((desk / "pipe").stat().st_mode)


def test_the_file_that_standard_output_goes_to(desk: Path) -> None:
    """`analyze s.toml --json out > out` would mix the two."""
    run = "import sys; from markov_entanglement.cli.app import main; sys.exit(main(sys.argv[1:]))"
    with (desk / "out").open("w") as out:
        argv = [sys.executable, "-c", run, "analyze", "s.toml", "--json"]
        done = subprocess.run([*argv, "out"], stdout=out, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "--json" in done.stderr and (desk / "out").read_text() == ""
    done = subprocess.run([*argv, "/dev/stdout"], capture_output=True, text=True)
    assert done.returncode == 0 and json.loads(done.stdout.partition("\n}\n")[0] + "}")["schema"] == 1


# --- the pair of a text and its arrays -------------------------------------------------------------------


def large(gamma: float, fill: float = 0.0) -> Any:
    p = np.full((64, 64), 1 / 64)
    p[0], p[0, 0] = (1 - fill) / 64, fill + (1 - fill) / 64
    return me.JointChain(p, (8, 8), rewards=[np.arange(8.0) + fill] * 2, discount=gamma)


@pytest.mark.parametrize("stop", ["write_text", "write_bytes"])
def test_a_save_that_is_killed_leaves_the_old_pair(stop: str, tmp_path: Path) -> None:
    """Killed before the arrays, or between the arrays and the text that names them."""
    file = tmp_path / "lake.toml"
    me.save(file, large(0.5))
    script = (
        "import os, signal, sys, numpy as np, markov_entanglement as me\n"
        "from markov_entanglement.model import files\n"
        f"files.{stop} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"system = me.load({str(file)!r})[0]\n"
        "p = system.transition.toarray()[::-1]\n"
        f"me.save({str(file)!r}, me.JointChain(p, (8, 8), rewards=[np.zeros(8)] * 2, discount=0.25))\n"
    )
    done = subprocess.run([sys.executable, "-c", script])
    assert done.returncode == -signal.SIGKILL
    found = me.load(file)[0]
    assert found.discount == 0.5 and same(found, large(0.5))
    me.save(file, large(0.25, 0.5))
    found = me.load(file)[0]
    assert found.discount == 0.25 and same(found, large(0.25, 0.5))


def test_arrays_are_named_by_their_content(tmp_path: Path) -> None:
    """The same arrays, the same name; what was there before goes when nothing names it."""
    file = tmp_path / "lake.toml"
    me.save(file, large(0.5))
    (first,) = tmp_path.glob("lake-*.npz")
    me.save(file, large(0.9))  # another discount, which stands in the text
    assert names(tmp_path) == sorted([first.name, "lake.toml"])
    (tmp_path / "copy.toml").write_bytes(file.read_bytes())
    me.save(file, large(0.5, 0.25))
    (second,) = set(tmp_path.glob("lake-*.npz")) - {first}
    assert same(me.load(tmp_path / "copy.toml")[0], large(0.9)), "the copy still has its arrays"
    (tmp_path / "copy.toml").unlink()
    me.save(file, large(0.5))
    assert names(tmp_path) == sorted([first.name, "lake.toml"]) and not second.exists()
    me.save(file, me.JointChain(np.full((4, 4), 0.25), (2, 2)))
    assert names(tmp_path) == ["lake.toml"]


def test_a_pipe_beside_a_pair_is_not_waited_for(tmp_path: Path) -> None:
    """Siblings are read to see who else names the arrays: files only."""
    me.save(tmp_path / "lake.toml", large(0.5))
    os.mkfifo(tmp_path / "pipe.toml")
    script = (
        "import numpy as np, markov_entanglement as me\n"
        f"me.save({str(tmp_path / 'lake.toml')!r}, me.JointChain(np.full((4, 4), 0.25), (2, 2)))"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    assert names(tmp_path) == ["lake.toml", "pipe.toml"]


def test_arrays_of_others_stay(tmp_path: Path) -> None:
    """A measurement of the user's that happens to be called lake.npz."""
    np.savez(tmp_path / "lake.npz", measured=np.arange(3.0))
    before = (tmp_path / "lake.npz").read_bytes()
    me.save(tmp_path / "lake.toml", large(0.5))
    assert (tmp_path / "lake.npz").read_bytes() == before
    assert same(me.load(tmp_path / "lake.toml")[0], large(0.5))


def test_old_files_still_load_and_keep_their_arrays(tmp_path: Path) -> None:
    """Written by an earlier version: arrays under the name of the text, rewards by agent, a sparse table."""
    p = large(0.5).transition
    table = sp.csr_array(np.array([[1.0, 0.0], [0.25, 0.75], [1.0, 0.0], [1.0, 0.0]]))
    np.savez(
        tmp_path / "old.npz", kernel_0_data=np.full(16, 0.25), kernel_0_indices=np.tile(np.arange(4), 4),
        kernel_0_indptr=np.arange(0, 17, 4), kernel_1=np.full((4, 4), 0.25), rewards_0=np.zeros((2, 2)),
        rewards_1=np.ones((2, 1)), **{f"policy.table_{k}": getattr(table, k) for k in ("data", "indices", "indptr")},
    )  # fmt: skip
    (tmp_path / "old.toml").write_text(
        'schema = 1\nkind = "mdp"\ndiscount = 0.5\nn_states = [2, 2]\nn_actions = [2, 1]\narrays = "old.npz"\n'
        '[policy]\nkind = "table"\n'
    )
    system, policy = me.load(tmp_path / "old.toml")
    assert system.spaces.joint_actions == 2 and same(policy, me.TablePolicy(table))
    assert [r.tolist() for r in system.rewards.local] == [[0.0] * 4, [1.0] * 2]
    np.savez(tmp_path / "chain.npz", transition=p.toarray())
    (tmp_path / "chain.toml").write_text('schema = 1\nkind = "chain"\nsizes = [8, 8]\narrays = "chain.npz"\n')
    me.save(tmp_path / "chain.toml", large(0.5))
    assert (tmp_path / "chain.npz").exists(), "only what `save` itself has named is removed"


def test_links_to_a_pair(tmp_path: Path) -> None:
    """The text may be reached by a link, written through it, and its arrays are found beside the file itself."""
    (tmp_path / "store").mkdir()
    me.save(tmp_path / "store" / "lake.toml", large(0.5))
    link = tmp_path / "link.toml"
    link.symlink_to("store/lake.toml")
    assert same(me.load(link)[0], large(0.5))
    me.save(link, large(0.25, 0.5))
    assert link.is_symlink() and names(tmp_path) == ["link.toml", "store"]
    assert (
        same(me.load(tmp_path / "store" / "lake.toml")[0], large(0.25, 0.5))
        and len(names(tmp_path / "store")) == 2
    )


# --- tasks that end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 10**9])
@pytest.mark.parametrize("restart", [None, (0, 1), "law"])
@pytest.mark.parametrize("kind", ["chain", "mdp", "weakly-coupled"])
def test_ends_survive(
    kind: str, restart: Any, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_INLINE", limit)
    law = np.array([0.5, 0.25, 0.25, 0, 0, 0])
    more = {"terminal": [(1, 2), (1, 0)], "restart": law if restart == "law" else restart, "discount": 0.9}
    if kind == "chain":
        system: Any = me.JointChain(np.full((6, 6), 1 / 6), (2, 3), rewards=[[0, 1], [0, 1, 2]], **more)
    elif kind == "mdp":
        system = me.MultiAgentMDP(np.full((6, 2, 6), 1 / 6), [[0, 1], [0, 1, 2]], n_states=(2, 3), n_actions=(2, 1),
                                  **more)  # fmt: skip
    else:
        arms = [np.full((2, 2, 2), 0.5), np.full((2, 3, 3), 1 / 3)]
        system = me.WeaklyCoupledMDP(arms, [[0, 1], [0, 1, 2]], budget=1, **more)
    found, _ = round_trip(tmp_path / "system.toml", system, None if kind == "chain" else me.UniformPolicy())
    assert found.ends.terminal.tolist() == [3, 5]
    wanted = {None: None, (0, 1): [0, 1, 0, 0, 0, 0], "law": law.tolist()}[restart]
    assert (None if found.ends.restart is None else found.ends.restart.tolist()) == wanted


def test_ends_by_hand(tmp_path: Path) -> None:
    """As a user writes them; a wrong one names its place."""
    text = CHAIN.replace("sizes = [2]", "sizes = [2]\nterminal = [[1]]\nrestart = [0]")
    (tmp_path / "s.toml").write_text(text)
    assert me.load(tmp_path / "s.toml")[0].ends.terminal.tolist() == [1]
    (tmp_path / "s.toml").write_text(text.replace("[[1]]", "[[2]]"))
    with pytest.raises(InvalidInput, match=r"terminal\[0\]\[0\]"):
        me.load(tmp_path / "s.toml")


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
