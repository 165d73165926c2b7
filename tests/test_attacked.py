"""Malformed arguments, files and paths: one message, nothing half-done; named by their numbers in a list of faults."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput, TooLarge, Unsupported, UserError

K = [[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.5, 0.5]]]
INDEX = me.IndexPolicy([1, 0])


def bandit(**over: Any) -> me.RestlessBandit:
    return me.RestlessBandit(K, [0, 1], **{"n_arms": 6, "budget": 2, "discount": 0.5} | over)


def chain() -> me.JointChain:
    return me.JointChain(np.full((4, 4), 0.25), (2, 2), rewards=[[0, 1], [0, 1]], discount=0.9)


CALLS = {
    "R14 kernels": lambda: me.RestlessBandit([[[0.5, 0.5], [0.2]], K[1]], [0, 1], n_arms=6, budget=2),
    "R14 candidate": lambda: me.certificate(chain().under(), None, None, [[0, [1]], [2, 3]]),
    "R14 candidate of numbers": lambda: me.certificate(chain().under(), None, None, [0, [1], 2, 3]),
    "R14 start": lambda: me.simulate(bandit(), INDEX, 3, rng=0, start=[[1, 2], [3]]),
    "R14 local_q": lambda: me.estimate_error(bandit(), INDEX, local_q=[[1, 2], [3]], rng=0),
    "R14 local_q of text": lambda: me.estimate_error(
        bandit(), INDEX, local_q=[["0.5", "1"], ["1", "1"]], rng=0
    ),
    "R14 greedy": lambda: me.greedy_policy([[1, 2], [3]]),
    "R25 compare": lambda: me.compare({"a": me.UniformPolicy()}, 0),  # type: ignore[dict-item]
    "R25 save": lambda: me.save("x.toml", {}),
    "R25 save path": lambda: me.save(3, chain()),  # type: ignore[arg-type]
    "R25 load": lambda: me.load(3),  # type: ignore[arg-type]
    "R25 load nothing": lambda: me.load(None),  # type: ignore[arg-type]
    "R25 load NUL": lambda: me.load("a\0b.toml"),
    "R25 read_result": lambda: me.read_result(3),  # type: ignore[arg-type]
    "R25 save_json": lambda: me.analyze(chain()).save_json(3),  # type: ignore[arg-type]
    "R25 distances": lambda: me.analyze(chain(), distances=2),  # type: ignore[arg-type]
    "B7 distances": lambda: me.analyze(bandit(), INDEX, distances=["nonsense"]),
    "R25 rng": lambda: me.analyze(chain(), rng=-1),
    "R25 rng text": lambda: me.analyze(chain(), rng="x"),
    "R25 title": lambda: me.analyze(chain(), title=3),  # type: ignore[arg-type]
    "R25 command": lambda: me.analyze(chain(), command=3),  # type: ignore[arg-type]
    "R25 source": lambda: me.analyze(chain(), source=3),  # type: ignore[arg-type]
    "R25 bounds": lambda: me.error_bounds(3, 4),  # type: ignore[arg-type]
    "R25 measures": lambda: me.error_bounds(me.value_decomposition(chain().under()), [3]),  # type: ignore[list-item]
    "R25 reproduce": lambda: me.reproduce("figure1", out=3),
    "B7 tolerance": lambda: me.analyze(chain(), tolerance=5),
    "B7 local_q": lambda: me.greedy_policy(me.value_decomposition(chain().under()).local_q),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        CALLS[name]()
    assert not list(tmp_path.iterdir())


def test_a_type_without_arms() -> None:
    """R15: it has no number and spoils none."""
    both = me.RestlessBandit([K, K], [0, 1], n_arms=[6, 0], budget=2, discount=0.5)
    one = me.analyze(bandit(), INDEX)
    found = me.analyze(both, INDEX)
    assert found.verdict == one.verdict
    assert found.entanglements["mu-atv"].per_agent[0] == pytest.approx(
        one.entanglements["mu-atv"].per_agent[0]
    )


HEAD = 'schema = 1\nkind = "chain"\nsizes = [2]\n'
DIGITS = {n: "9" * n for n in (200, 400, 5000)}
FILES = {
    "R16 deep": ("x = " + "[" * 1000 + "]" * 1000, "TOML"),
    "R17 discount": (HEAD + f"transition = [[1, 0], [0, 1]]\ndiscount = {DIGITS[400]}\n", "discount"),
    "R17 sizes": (
        f'schema = 1\nkind = "chain"\nsizes = [{DIGITS[200]}, {DIGITS[200]}]\ntransition = [[1]]\n',
        "10^400",
    ),
    "R17 digits": (HEAD + f"transition = [[{DIGITS[5000]}, 0], [0, 1]]\n", "TOML"),
    "R18 arrays": (HEAD + f'arrays = "{"x" * 3000}"\n', "arrays"),
    "R26 above": (HEAD + 'arrays = "../other.npz"\n', "beside the TOML"),
    "R26 absolute": (HEAD + 'arrays = "/tmp/other.npz"\n', "beside the TOML"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, words = FILES[name]
    file = tmp_path / "s.toml"
    file.write_text(text)
    assert main(["analyze", str(file), "--json", str(tmp_path / "o.json")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1 and words in err and len(err) < 1500
    assert [f.name for f in tmp_path.iterdir()] == ["s.toml"]


def test_encodings(tmp_path: Path) -> None:
    """R28: a mark of bytes is read over, another encoding is named."""
    file = tmp_path / "s.toml"
    text = HEAD + "transition = [[0.5, 0.5], [0.5, 0.5]]\n"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert me.load(file)[0].n_agents == 1
    file.write_text(text, encoding="utf-16")
    with pytest.raises(InvalidInput, match=r"UTF-16; .* Save it as UTF-8"):
        me.load(file)
    file.write_bytes(text.encode() + b"# \xff\n")
    with pytest.raises(InvalidInput, match="line 5"):
        me.load(file)


def archive(file: Path, *members: tuple[str, Any]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        for name, array in members:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.asarray(array))
            out.writestr(f"{name}.npy", buffer.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_arrays(tmp_path: Path) -> None:
    """R13, R19, R27: measured by their headers, of different names, of the right shapes."""
    file, arrays = tmp_path / "s.toml", tmp_path / "a.npz"
    file.write_text('schema = 1\nkind = "chain"\nsizes = [2]\narrays = "a.npz"\n')
    half = np.full((2, 2), 0.5)
    archive(arrays, ("transition", half), ("transition", np.eye(2)))
    with pytest.raises(InvalidInput, match="two arrays"):
        me.load(file)
    archive(arrays, ("transition", half), ("rewards", 3.0))
    with pytest.raises(InvalidInput, match="rewards"):
        me.load(file)
    head = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }"
    for shape, kind in (("99999999, 9999", TooLarge), ("0, 99999999999999999999", InvalidInput)):
        text = (head % shape).ljust(117) + "\n"
        with zipfile.ZipFile(arrays, "w") as out:
            out.writestr(
                "transition.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
            )
        with pytest.raises(kind):
            me.load(file)
    archive(arrays, ("transition", half))
    assert me.load(file)[0].n_agents == 1


def test_endless_files_are_not_read_to_the_end() -> None:
    """R35."""
    with pytest.raises(TooLarge, match="GiB"):
        me.load("/dev/zero")


def test_folders_with_pages_of_others_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """R32."""
    page = tmp_path / "index.html"
    page.write_text("<h1>my own</h1>")
    for argv in (["reproduce", "figure1", "--quick"], ["demo"]):
        assert main([*argv, "--out", str(tmp_path)]) == 2
        assert "index.html" in capsys.readouterr().err and page.read_text() == "<h1>my own</h1>"
    me.analyze(chain()).save_html(page)  # ours, which a later run may replace
    me.reproduce("figure1", out=tmp_path, quick=True)
    assert "reproduced" in page.read_text()


def test_laws_of_a_chain_are_measured_before_they_are_made() -> None:
    """R13: two agents of 1,500 states asked for 50 GiB at once."""
    arm = np.zeros((2, 1500, 1500))
    arm[:, :, 0] = 1.0
    system = me.WeaklyCoupledMDP([arm, arm], discount=0.9)
    stay = me.LocalPolicy([np.tile([1.0, 0.0], (1500, 1))] * 2)
    with pytest.raises(TooLarge, match="GiB"):
        me.entanglement(system.under(stay), "policy")


def test_pairs_of_a_chain_are_counted_before_they_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """R13: three agents of 200 states took 9 GiB before there was not enough."""
    from markov_entanglement import _tolerance

    system = me.WeaklyCoupledMDP([K] * 6, [[0, 1]] * 6, discount=0.9, budget=3)
    size = 64 * 20 * (24 * 6 + 100)
    monkeypatch.setattr(_tolerance, "CHAIN_BYTES", size)
    assert len(system.under("uniform").pairs) == 64 * 20
    monkeypatch.setattr(_tolerance, "CHAIN_BYTES", size - 1)
    for ask in (lambda: system.under("uniform"), lambda: me.optimal_policy(system)):
        with pytest.raises(TooLarge, match="1,280 pairs"):
            ask()


def test_ones_own_code_that_fails_is_ones_own_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """R20."""
    (tmp_path / "mine.py").write_text(
        "import sys\nimport markov_entanglement as me\n"
        "def wrong(): raise KeyError('my own')\n"
        "def leaves(): sys.exit(0)\n"
        "def malformed(): return me.JointChain([[0.5, 0.4]], (1,))\n"
    )
    (tmp_path / "needy.py").write_text("import a_game_that_is_not_here\n")
    (tmp_path / "leaver.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.chdir(tmp_path)
    for subject, words in (
        ("mine:wrong", "KeyError: 'my own'"), ("mine:leaves", "sys.exit"), ("leaver:x", "sys.exit"),
        ("needy:x", "Install what has the module 'a_game_that_is_not_here'"),
        ("mine:malformed", "transition"), ("markov_entanglement:JointChain", "missing 2 required"),
    ):  # fmt: skip
        assert main(["check", subject]) == 2, subject
        err = capsys.readouterr().err
        assert words in err and "report" not in err and err.count("\n") == 1, err


def test_letters_that_the_terminal_lacks(tmp_path: Path) -> None:
    """R23."""
    file = tmp_path / "s.toml"
    me.save(file, me.JointChain(np.full((2, 2), 0.5), (2,), labels={"names": ["\u03b1\u03b2"]}))
    done = subprocess.run(
        [sys.executable, "-m", "markov_entanglement", "analyze", str(file)], capture_output=True, check=False,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"}, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and b"\\u03b1\\u03b2" in done.stdout and not done.stderr


def test_too_little_memory_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """R13: in an analysis of the part alone, elsewhere of the command."""
    from markov_entanglement.analysis import parts

    def starved(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(parts, "decompose", starved)
    found = me.analyze(me.gallery.build("appendix-e").system)
    assert ("values", "values: this machine has too little memory for it.") in found.refused
    monkeypatch.setattr("markov_entanglement.analysis.check.check_system", starved)
    assert main(["check", "gallery:appendix-e"]) == 2 and "memory" in capsys.readouterr().err


def test_the_refusals_of_what_nobody_can_analyse() -> None:
    with pytest.raises(Unsupported):
        me.analyze(3)
