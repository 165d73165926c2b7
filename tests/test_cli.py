"""The command line: every command once as a process, the rest through `main`; exit statuses; the result JSON."""

from __future__ import annotations

import csv
import dataclasses
import html
import importlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.main import get_command

import markov_entanglement as me
from markov_entanglement.cli import guard, options
from markov_entanglement.cli.app import COMMANDS, GALLERY, app, main
from markov_entanglement.cli.commands.reproduce import FIGURES
from markov_entanglement.cli.commands.whittle import CRITERIA
from markov_entanglement.errors import InvalidInput, MissingDependency, NoConvergence
from markov_entanglement.measures.entanglement import DISTANCES
from markov_entanglement.model.kinds import kinds
from markov_entanglement.report.html import render_html
from markov_entanglement.studies import reproduce as reproduced

RUN = "import sys; from markov_entanglement.cli.app import run; run()"


def process(
    *argv: str, cwd: Path, stdout: int = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    source = str(Path(me.__file__).parents[1])
    env = os.environ | {"PYTHONPATH": source, "COLUMNS": "100"} | variables
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN, *argv],
        cwd=cwd, env=env, stdout=stdout, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


# --- processes -------------------------------------------------------------------------------------------


def test_a_session(tmp_path: Path) -> None:
    """init, check, analyze, report: every file that is promised is there, stderr is silent."""
    steps = [
        (("init", "mine.toml", "--kind", "mdp"), "wrote mine.toml"),
        (("check", "mine.toml"), "ok "),
        (("analyze", "mine.toml", "--json", "r.json", "--html", "r.html"), "wrote r.html"),
        (("report", "r.json", "-o", "again.html"), "wrote again.html"),
        (("gallery",), "circulant"),
        (("gallery", "show", "parity"), "Try: markov-entanglement analyze gallery:parity"),
        (("--help",), "analyze"),
    ]
    for argv, words in steps:
        done = process(*argv, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), f"{argv}: {done.stderr}"
        assert words in done.stdout
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["again.html", "mine.toml", "r.html", "r.json"]
    assert (tmp_path / "again.html").read_text() == (tmp_path / "r.html").read_text()
    done = process("analyze", "gone.toml", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and len(done.stderr.splitlines()) == 1


def test_demo(tmp_path: Path) -> None:
    done = process("demo", "--out", "pages", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    pages = sorted(p.name for p in (tmp_path / "pages").iterdir())
    assert pages == ["circulant.html", "figure1.html", "frozen-lake.html", "shared-randomness.html"]
    for word in ("[add]", "[do-not-add]", "wrote pages/circulant.html"):
        assert word in done.stdout
    *_, before, last = done.stdout.splitlines()
    assert last == "wrote pages/figure1.html" and before.startswith("figure1 [")
    page = html.unescape((tmp_path / "pages" / "figure1.html").read_text())
    found = [line for line in done.stdout.splitlines() if line.startswith("figure1 [")]
    assert found and all(line.split("] ", 1)[1].split(" ")[0] in page for line in found)
    assert all(
        (tmp_path / "pages" / p).read_text().lstrip().lower().startswith("<!doctype html") for p in pages
    )


@pytest.mark.parametrize("argv", [["--help"], ["values", "-h"], ["gallery"], ["--version"]], ids=" ".join)
def test_output_that_nobody_takes(argv: list[str], tmp_path: Path) -> None:
    """`--help | true` is quiet; a full disk is a mistake that is told."""
    gone, pipe = os.pipe()
    os.close(gone)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        closed, refused = (process(*argv, cwd=tmp_path, stdout=out) for out in (pipe, full))
    finally:
        os.close(pipe)
        os.close(full)
    assert (closed.returncode, closed.stderr) == (0, "")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: standard output: got No space left on device; it must take what")
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(("name", "value"), [("MPLBACKEND", "nonsense"), ("NUMBA_NUM_THREADS", "0")])
def test_an_environment_that_libraries_refuse(name: str, value: str, tmp_path: Path) -> None:
    argv = ["analyze", "gallery:parity", "--html", "r.html"]
    done = process(*argv, cwd=tmp_path, **{name: value})
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert f"{name}={value}; " in done.stderr and f"Run: unset {name}" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["analyze", "demo"])
def test_a_closed_pipe_loses_no_file(command: str, tmp_path: Path) -> None:
    """`analyze X --html a.html --json a.json | head`: the reader is gone before the first line."""
    files = {
        "analyze": ["a.html", "a.json"],
        "demo": [f"pages/{id}.html" for id in ("circulant", "figure1", "frozen-lake", "shared-randomness")],
    }[command]
    argv = {
        "analyze": ["gallery:parity", "--html", "a.html", "--json", "a.json"],
        "demo": ["--out", "pages"],
    }[command]
    gone, pipe = os.pipe()
    os.close(gone)
    try:
        done = process(command, *argv, cwd=tmp_path, stdout=pipe)
    finally:
        os.close(pipe)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")) == files


# --- analyze ---------------------------------------------------------------------------------------------


def analyzed(folder: Path, *argv: str) -> dict[str, Any]:
    assert main(["analyze", *argv, "--json", "r.json"]) == 0
    return json.loads((folder / "r.json").read_text(), parse_constant=lambda c: pytest.fail(f"{c} in JSON"))


def test_result_json(folder: Path) -> None:
    """The keys and kinds that users rely on."""
    r = analyzed(folder, "gallery:circulant")
    assert r["schema"] == 1 and r["seed"] == 0
    assert r["versions"]["markov-entanglement"] == me.__version__
    assert r["command"].startswith("markov-entanglement ")
    assert (
        r["system"]["agents"] == 5 and r["system"]["pairs"] == me.gallery.build("circulant").chain().n_pairs
    )
    assert r["verdict"]["word"] in ("add", "do-not-add", "cannot-tell")
    assert r["verdict"]["sentence"] and r["verdict"]["tolerance"] == 0.05
    assert set(r["separability"]) >= {"agentwise", "verdict", "gap"}
    assert set(r["entanglement"]) >= {"mu-atv", "atv", "policy"}
    for measure in r["entanglement"].values():
        assert ("per_agent" in measure and len(measure["per_agent"]) == 5) or "value" in measure
        assert "per_agent" not in measure or measure["total"] == pytest.approx(sum(measure["per_agent"]))
    assert set(r["values"]) >= {"error_mu", "error_sup", "error_l2", "relative_error", "unexplained"}
    assert r["bounds"] and isinstance(r["certificate"], dict)
    assert all(x["name"] and x["reason"] for x in r["refused"])
    for intervals in r["certificate"].values():
        assert all(low <= high for low, high in intervals.values())
    assert r["entanglement"]["mu-atv"]["per_agent"][0] == pytest.approx(0.0397425, abs=5e-8)
    assert r["values"]["error_mu"] == pytest.approx(0.2263230, abs=5e-8)
    for line in r["bounds"].values():
        assert line["bound"] >= line["truth"] and line["norm"] in ("mu", "sup", "l2")


def test_same_command_same_bytes(folder: Path) -> None:
    analyzed(folder, "gallery:frozen-lake")
    first = (folder / "r.json").read_bytes()
    analyzed(folder, "gallery:frozen-lake")
    assert (folder / "r.json").read_bytes() == first


def test_numbers_are_those_of_python(folder: Path) -> None:
    r = analyzed(
        folder, "gallery:appendix-e", "--discount", "0.5", "--tolerance", "0.3", "--distance", "mu-atv"
    )
    chain = me.gallery.build("appendix-e").chain()
    d = me.value_decomposition(chain, discount=0.5)
    assert r["values"]["error_mu"] == d.error("mu") and r["system"]["discount"] == 0.5
    assert r["verdict"]["tolerance"] == 0.3
    assert list(r["entanglement"]) == ["mu-atv"]
    assert r["system"]["names"] == ["A", "B"]


@pytest.mark.parametrize(("tolerance", "word"), [("0.01", "do-not-add"), ("0.99", "add")])
def test_verdict_follows_the_tolerance(tolerance: str, word: str, folder: Path) -> None:
    r = analyzed(folder, "gallery:appendix-e", "--tolerance", tolerance)
    assert r["verdict"]["word"] == word
    assert r["verdict"]["sentence"].startswith("No" if word == "do-not-add" else "Yes")


@pytest.mark.parametrize(
    ("policy", "total"),
    [(None, 5 * 0.0397425), ("index:1,2,3,0", 5 * 0.0397425), ("uniform", 0.0), ("index", None)],
)
def test_policies(policy: str | None, total: float | None, folder: Path) -> None:
    r = analyzed(folder, "gallery:circulant", *([] if policy is None else ["--policy", policy]))
    if total is not None:
        assert r["entanglement"]["mu-atv"]["total"] == pytest.approx(total, abs=5e-7)


def test_optimal_policy_and_tables(folder: Path) -> None:
    system = me.gallery.build("circulant", n_arms=5).system
    best = me.optimal_policy(system)
    np.savez("best.npz", best.table.toarray())
    one, two = (analyzed(folder, "gallery:circulant", "--policy", p) for p in ("optimal", "best.npz"))
    assert one["values"] == two["values"]


def test_own_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:attr` for the system (object, pair or function) and for the policy."""
    (folder / "my_systems.py").write_text(
        "import markov_entanglement as me\n"
        "pair = me.gallery.build('circulant', n_arms=3, budget=1)\n"
        "system, policy = pair.system, pair.policy\n"
        "both = (system, policy)\n"
        "def make():\n    return both\n"
        "class Box:\n    chain = system.under(policy)\n"
    )
    first = analyzed(folder, "my_systems:both")["values"]
    for argv in (
        ["my_systems:make"],
        ["my_systems:Box.chain"],
        ["my_systems:system", "--policy", "my_systems:policy"],
    ):
        assert analyzed(folder, *argv)["values"] == first
    sys.modules.pop("my_systems")


def test_start(folder: Path) -> None:
    (folder / "two.toml").write_text(
        'schema = 1\nkind = "chain"\ndiscount = 0.9\nsizes = [2, 2]\n'
        "transition = [[1,0,0,0],[0,1,0,0],[0,0,0.5,0.5],[0,0,0.5,0.5]]\nrewards = [[0,1],[0,1]]\n"
    )
    assert main(["analyze", "two.toml"]) == 2
    assert analyzed(folder, "two.toml", "--initial", "1,0")["system"]["pairs"] == 2


def test_without_rewards(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The value part is absent and that is said."""
    (folder / "bare.toml").write_text(
        'schema = 1\nkind = "chain"\nsizes = [2, 2]\ntransition = [[0,0,1,0],[0,0,0,1],[0,1,0,0],[1,0,0,0]]\n'
    )
    r = analyzed(folder, "bare.toml", "--html", "r.html")
    assert r["values"] is None and r["bounds"] == {} and r["verdict"]["word"] == "cannot-tell"
    out = capsys.readouterr().out
    assert "rewards and discount missing" in out and "Cannot tell" in out


def test_verdict_and_sentence_agree_with_a_shared_reward() -> None:
    """A separable chain adds up local rewards exactly, but a shared reward may not be a sum of local ones."""
    chain = me.JointChain(np.full((4, 4), 0.25), (2, 2), rewards=[0, 1, 1, 0], discount=0.9)
    found = me.analyze(chain)
    assert found.agentwise == "separable" and found.decomposition.unexplained > 0.5
    assert found.verdict == "do-not-add" and found.sentence.startswith("No")


@pytest.mark.parametrize("id", [e.id for e in me.gallery.entries()])
def test_verdict_and_sentence_agree(id: str) -> None:
    subject = me.gallery.build(id)
    result = me.analyze(subject.system, subject.policy)
    for tolerance in (0.0, 0.05, 1.0):
        found = dataclasses.replace(result, tolerance=tolerance)
        start = {"add": "Yes", "do-not-add": "No", "cannot-tell": "Cannot tell"}[found.verdict]
        assert found.sentence.startswith(start), (tolerance, found.verdict, found.sentence)


def test_refused_parts_do_not_stop_the_rest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from markov_entanglement import _tolerance as tol

    monkeypatch.setattr(tol, "BREAKDOWN_WORK", 1)
    r = analyzed(folder, "gallery:circulant", "--html", "r.html")
    refused = {x["name"]: x["reason"] for x in r["refused"]}
    assert "partners of every agent" in refused["where it breaks"] and r["values"]["error_mu"] > 0
    assert r["breakdown"] is None and r["entanglement"]["mu-atv"]["per_agent"]


def test_a_distance_that_does_not_fit_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Too large a program; the rest of the report still comes."""
    r = analyzed(folder, "gallery:circulant", "--distance", "tv", "--distance", "mu-atv")
    assert list(r["entanglement"]) == ["mu-atv"] and [x["name"] for x in r["refused"]] == ["tv"]
    assert "linear program of the joint distance" in " ".join(capsys.readouterr().out.split())


def test_analysis_objects(folder: Path) -> None:
    found = me.analyze(me.gallery.build("appendix-e").system)
    assert found.verdict in repr(found) and found.sentence in found.summary().replace("\n  ", " ")
    found.save_json("r.json")
    found.save_html("r.html")
    assert json.loads(Path("r.json").read_text()) == found.to_dict()
    assert Path("r.html").read_text() == render_html(found.document)
    assert found.sentence in found._repr_html_()
    figure = found.plot()
    assert figure.axes


# --- values, whittle, compare, simulate --------------------------------------------------------------------


def test_values_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["values", "gallery:circulant", "--discount", "0.5", "--csv", "v.csv", "--json", "v.json"]) == 0
    )
    text = capsys.readouterr().out
    assert "Local values at discount 0.5 in reward units" in text and "wrote v.csv" in text
    d = me.value_decomposition(me.gallery.build("circulant").chain(), discount=0.5)
    with Path("v.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["value"]) for r in rows] == np.concatenate(d.local_q).tolist()
    assert (rows[9]["agent"], rows[9]["state"], rows[9]["action"]) == ("arm 1", "0", "active")
    shares = np.array([float(r["visited"]) for r in rows]).reshape(5, 8)
    assert shares.sum(axis=1) == pytest.approx(1.0) and shares[:, 1::2].sum() == pytest.approx(
        1.0
    )  # one is served
    saved = json.loads(Path("v.json").read_text())
    told = [x for a in saved["local_values"]["agents"] for row in a["values"] for x in row]
    assert told == [float(r["value"]) for r in rows] and saved["error_mu"] == d.error("mu")


def test_values_of_pairs_never_visited(folder: Path) -> None:
    """What has no value is nothing in CSV and null in JSON."""
    text = 'schema = 1\nkind = "chain"\ndiscount = 0.5\nsizes = [2, 1]\ntransition = [[1, 0], [1, 0]]\n'
    Path("c.toml").write_text(text + "rewards = [[1, 5], [0]]\n")
    assert main(["values", "c.toml", "--initial", "0,0", "--csv", "v.csv", "--json", "v.json"]) == 0
    assert Path("v.csv").read_text().splitlines()[1:3] == ["agent 0,0,,2.0,1.0", "agent 0,1,,,0.0"]
    assert json.loads(Path("v.json").read_text())["local_values"]["agents"][0]["values"] == [[2.0], [None]]


def test_whittle_indices(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The circulant arm's average indices are -1/2, 1/2, 1, -1 (Avrachenkov & Borkar 2022)."""
    argv = ["whittle", "gallery:circulant", "--criterion", "average", "--json", "w.json", "--csv", "w.csv"]
    assert main(argv) == 0
    assert "Every arm type is indexable. Average criterion" in capsys.readouterr().out
    saved = json.loads(Path("w.json").read_text())
    assert np.allclose(saved["index"], [[-0.5, 0.5, 1.0, -1.0]] * 5) and saved["criterion"] == "average"
    assert Path("w.csv").read_text().splitlines()[0] == "type,state,index,verdict"
    assert main(["whittle", "gallery:non-indexable"]) == 0
    out = capsys.readouterr().out
    assert "use me.lp_priority" in out and "non-indexable" in out
    assert main(["whittle", "gallery:parity"]) == 2
    assert "me.RestlessBandit and me.WeaklyCoupledMDP(budget=...)" in capsys.readouterr().err
    assert main(["whittle", "gallery:circulant", "--criterion", "averge"]) == 2
    assert "Did you mean 'average'?" in capsys.readouterr().err


def test_compare_policies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["compare", "gallery:circulant", "uniform", "optimal", "index:1,2,3,0", "--json", "c.json"]
    assert main(argv) == 0
    system = me.gallery.build("circulant").system
    given = {"uniform": "uniform", "optimal": "optimal", "index:1,2,3,0": me.IndexPolicy([1, 2, 3, 0])}
    wanted = me.compare(given, system)
    assert json.loads(Path("c.json").read_text()) == json.loads(json.dumps(wanted.to_dict()))
    assert capsys.readouterr().out.startswith(wanted.summary())
    assert main(["compare", "gallery:circulant"]) == 2
    assert "P..." in capsys.readouterr().err
    assert main(["compare", "gallery:circulant", "optimol"]) == 2
    assert "Did you mean 'optimal'?" in capsys.readouterr().err


def test_simulate_and_keep(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "gallery:circulant", "--steps", "7", "--seed", "3", "-o", "p.npz"]) == 0
    subject = me.gallery.build("circulant")
    path = me.simulate(subject.system, subject.policy, 7, rng=3)
    with np.load("p.npz") as kept:
        assert set(kept.files) == {k for k, a in vars(path).items() if a is not None}
        assert all((kept[k] == getattr(path, k)).all() for k in kept.files)
    assert main(["simulate", "gallery:circulant", "--steps", "7", "--seed", "3", "-o", "p.csv"]) == 0
    with Path("p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["state"]) for r in rows] == path.states.ravel().tolist()
    assert [float(r["reward"]) for r in rows[:35]] == path.rewards.ravel().tolist() and rows[35][
        "action"
    ] == ""
    argv = ["simulate", "gallery:circulant-bandit", "--option", "n_arms=1800", "--steps", "4", "-o", "c.csv"]
    assert main(argv) == 0
    with Path("c.csv").open(newline="") as file:
        counts = [(int(r["step"]), int(r["arms"]), int(r["served"] or 0)) for r in csv.DictReader(file)]
    assert [sum(n for t, n, _ in counts if t == k) for k in range(5)] == [1800] * 5
    assert [sum(m for t, _, m in counts if t == k) for k in range(5)] == [360] * 4 + [0]
    capsys.readouterr()
    for wrong in (3, "", "p.nzp", "p", None):
        with pytest.raises(InvalidInput, match="path: got"):
            path.save(wrong)  # type: ignore[arg-type]


def test_where_a_path_goes_is_checked_before_it_is_run(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("markov_entanglement.bandits.simulate"), "simulate", None)
    for name, near in (("p.nzp", "Did you mean '.npz'?"), ("p", "Use one of these."), ("p.json", "")):
        assert main(["simulate", "gallery:circulant", "-o", name]) == 2
        err = capsys.readouterr().err
        assert "--output: got" in err and ".npz, .csv" in err and near in err
        assert not Path(name).exists()


def test_seeds(folder: Path) -> None:
    """The same seed gives the same bytes, another one other numbers; the result says which."""
    large = ["gallery:circulant-bandit", "--option", "n_arms=3000"]
    analyses = [analyzed(folder, *large, "--seed", seed, "--distance", "policy") for seed in ("1", "1", "2")]
    assert analyses[0]["entanglement"] == analyses[1]["entanglement"] != analyses[2]["entanglement"]
    assert [r["seed"] for r in analyses] == [1, 1, 2]
    found = []
    for seed in ("1", "1", "2"):
        assert main(["compare", *large, "index", "uniform", "--seed", seed, "--json", "c.json"]) == 0
        found.append(Path("c.json").read_text())
    assert found[0] == found[1] != found[2]
    assert main(["analyze", "gallery:parity", "--seed", "-1"]) == 2


# --- gallery ---------------------------------------------------------------------------------------------


def test_gallery_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [e.id for e in me.gallery.entries()]
    assert main(["gallery", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert [r["id"] for r in records] == [e.id for e in me.gallery.entries()]
    assert all(r["source"] and isinstance(r["facts"], list) for r in records)


@pytest.mark.parametrize("id", [e.id for e in me.gallery.entries()])
def test_gallery_show(id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "show", id]) == 0
    text, entry = capsys.readouterr().out, me.gallery.entry(id)
    assert entry.title in text and entry.source in text and all(p in text for p in entry.policies)
    assert not re.search(r"\d\.\d{13,}", text) and "\n  policy = " not in text, (
        "digits of binary fractions, bare words"
    )
    assert main(["gallery", "show", id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == id


def test_parameters_of_the_gallery(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r = analyzed(folder, "gallery:circulant", "--option", "n_arms=3", "--option", "budget=1")
    assert r["system"]["agents"] == 3
    assert analyzed(folder, "gallery:circulant-bandit", "--discount", "0.9")["values"]["error_mu"] == (
        me.value_decomposition(me.gallery.build("circulant-bandit", discount=0.9).chain()).error("mu")
    )
    assert main(["check", "gallery:wireless", "--option", "case=2", "--option", "n_arms=1,1"]) == 0
    for given, words in [
        ("n_arm=3", "circulant takes n_arms, budget, discount. Did you mean 'n_arms'?"),
        ("n_arms=x", "n_arms: got 'x'; it must be an integer"),
        ("n_arms=1,2", "n_arms: got (1, 2); it must be an integer"),
        ("n_arms=-3", "error: "),
        ("budget=9", "error: budget: got 9"),
        ("discount=half", "discount: got 'half'; it must be a real number"),
        (f"n_arms={10**30}", "error: "),
        ("n_arms", "it must be NAME=VALUE"),
    ]:
        capsys.readouterr()
        assert main(["check", "gallery:circulant", "--option", given]) == 2, given
        assert words in capsys.readouterr().err
    assert main(["gallery", "show", "wireless"]) == 0
    assert 'Parameters: case="1", size=3, n_arms=[2, 2]' in capsys.readouterr().out


# --- what SYSTEM does not say ------------------------------------------------------------------------------

COMMAND = get_command(app)
READING = [name for name, c in COMMAND.commands.items() if any(p.name == "system" for p in c.params)]


@pytest.mark.parametrize("name", READING)
def test_every_command_that_reads_a_system_has_the_options_of_the_readers(name: str) -> None:
    flags = {flag for p in COMMAND.commands[name].params for flag in p.opts}
    assert {"--n-states", "--n-actions", "--option", "--discount"} <= flags
    assert {"analyze", "check", "compare", "simulate", "values", "whittle"} <= set(READING)


ARM = "state,action,next,probability,reward\n" + "".join(
    f"{s},{a},{t},.5,{s * a}\n" for s in (0, 1) for a in (0, 1) for t in (0, 1)
)
#: Commands that do nothing with a discount but hand it to what makes the system.
HANDING = (
    "whittle SYSTEM",
    "compare SYSTEM myopic whittle",
    "simulate SYSTEM --policy whittle --steps 3",
    "check SYSTEM --policy whittle",
)


@pytest.mark.parametrize("command", HANDING)
def test_a_discount_is_taken_or_refused(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "arm.csv").write_text(ARM)
    name, _, rest = command.partition(" SYSTEM")

    def run(system: str, *more: str) -> str:
        status = main([name, system, *rest.split(), *more])
        err = capsys.readouterr().err
        assert (status == 0) == (err == ""), err
        return err

    arms = ["--option", "n_arms=3", "--option", "budget=1"]
    assert "discount: got None" in run("arm.csv", *arms)  # Whittle's indices need one
    assert run("arm.csv", *arms, "--discount", "0.9") == ""
    assert "gamma must lie in [0, 1)" in run("arm.csv", *arms, "--discount", "2")
    assert run("gallery:circulant-bandit", "--discount", "0.7") == ""
    assert "parity has no parameters" in run("gallery:parity", "--discount", "0.7")
    (folder / "own.py").write_text(
        "import markov_entanglement as me\nfound = me.from_table('arm.csv', n_arms=3, budget=1, discount=.9)\n"
    )
    assert "or make the system with it" in run("own:found", "--discount", "0.7")
    assert run("own:found") == ""
    system = me.from_table(folder / "arm.csv", n_arms=3, budget=1)
    me.save(folder / "s.toml", system)
    assert "or write discount = 0.9 into it" in run("s.toml", "--discount", "0.9")
    text = (folder / "s.toml").read_text()
    (folder / "s.toml").write_text(text.replace("n_arms", "discount = 0.9\nn_arms", 1))
    assert run("s.toml") == ""


def test_starts_are_numbers_only_where_they_are_written_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "t.csv").write_text("state,next,probability\na,007,1\n007,a,1\n")
    for start, status in (
        ("a", 0),
        ("007", 0),
        ("1", 0),
        ("7", 2),
        ("01", 2),
        ("1" * 5000, 2),
        ("\u0661", 2),
    ):
        assert main(["check", "t.csv", "--initial", start]) == status, start
        assert "internal" not in capsys.readouterr().err
    assert main(["check", "t.csv", "--n-states", "0_2"]) == 2
    assert "comma-separated int numbers" in capsys.readouterr().err


def test_a_discount_of_an_option_is_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`values` has its own use for --discount, none for an option that the system does not take."""
    assert main(["values", "gallery:parity", "--discount", "0.5"]) == 0
    assert main(["values", "gallery:parity", "--option", "discount=0.5"]) == 2
    assert "parity has no parameters" in capsys.readouterr().err


# --- check -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [e.id for e in me.gallery.entries()])
def test_check(id: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"gallery:{id}"]) == 0
    out = capsys.readouterr().out
    assert "NO " not in out and "stationary law" in out and "period" in out


# --- exit statuses ---------------------------------------------------------------------------------------


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == me.__version__
    for argv in (["--help"], ["analyze", "--help"], ["gallery", "show", "--help"], ["init", "--help"]):
        assert main(argv) == 0
        assert "Usage" in capsys.readouterr().out


HELPS = [[], *([name] for name in COMMAND.commands), ["gallery", "show"]]


@pytest.mark.parametrize("argv", HELPS, ids=" ".join)
def test_every_help_has_an_example_and_the_statuses(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*argv, "-h"]) == 0
    text = capsys.readouterr().out
    assert main([*argv, "--help"]) == 0
    assert capsys.readouterr().out == text
    example = re.search(r"Example:\n +markov-entanglement (.+)\n", text)
    assert example and example[1].startswith(" ".join(argv))
    assert all(f"{status} " in text.split("Exit status:")[1] for status in (0, 1, 2, 130))


def trips() -> str:
    """A log of two drivers of whom the second goes where the first was."""
    cells = np.random.default_rng(0).integers(0, 2, 400)
    rows = (f"{t},{d},{cells[t - d]},free" for t in range(1, 400) for d in (0, 1))
    return "\n".join(["t,driver_id,cell,status", *rows])


def test_examples_run_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the help texts; a later one may read what an earlier one wrote."""
    (folder / "trips.csv").write_text(trips())
    assert main(["init", "grid.toml", "--kind", "sweep"]) == 0
    for example in (*COMMANDS.values(), *GALLERY.values()):
        assert main(example.split()) == 0, example
    wrote = re.findall(r"^wrote (.+)$", capsys.readouterr().out, re.M)
    assert {"result.json", "again.html", "values.csv", "path.npz", "figures/index.html"} <= set(wrote)
    assert all((folder / name).is_file() for name in wrote)


def test_the_page_has_every_command() -> None:
    """docs/command-line.md shows the examples of the help texts, in their order, and no others."""
    page = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text()
    shown = re.findall(r"`markov-entanglement ((?!COMMAND|--)[^`]+)`", page)
    assert shown == [*COMMANDS.values(), *GALLERY.values()]


def test_words_in_help_are_those_of_the_library() -> None:
    assert tuple(DISTANCES) == options.DISTANCES
    assert FIGURES[:-1] == reproduced.FIGURES
    with pytest.raises(me.errors.InvalidInput, match=f"{CRITERIA[0]}, {CRITERIA[1]}"):
        me.whittle_index(me.gallery.build("restart").system, criterion="")


@pytest.mark.parametrize("output", ["-", "no/where", ".", "a" * 5000 + "/x", "fine.pdf"])
@pytest.mark.parametrize("option", ["--json", "--html"])
def test_outputs_are_checked_before_anything_is_computed(
    option: str,
    output: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _broken(monkeypatch, ZeroDivisionError("computed"))
    assert main(["analyze", "gallery:parity", option, output]) == 2
    out = capsys.readouterr()
    assert out.out == "" and out.err.startswith(f"error: {option}: got ") and out.err.count("\n") == 1
    assert main(["analyze", "gallery:parity", option, "fine"]) == 1  # negative control: it would compute
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    assert main(["analyze", "gallery:parity", "--json", "locked/r.json"]) == 2
    assert "the folder locked must be writable" in capsys.readouterr().err


def _broken(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    from markov_entanglement.analysis import analyze

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(analyze, "analyze", fails)


def test_internal_fault(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _broken(monkeypatch, ZeroDivisionError("a secret"))
    assert main(["analyze", "gallery:parity", "--json", "r.json"]) == 1
    err = capsys.readouterr().err
    assert "internal fault: ZeroDivisionError: a secret" in err and "report" in err and "Traceback" not in err
    assert len(err.splitlines()) == 1 and list(folder.iterdir()) == []
    assert main(["--debug", "analyze", "gallery:parity"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert main(["analyze", "gallery:parity"]) == 1  # --debug does not stick
    assert "Traceback" not in capsys.readouterr().err


def test_no_convergence_is_a_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _broken(monkeypatch, NoConvergence("GMRES stopped short", None, 0.1))
    assert main(["analyze", "gallery:parity"]) == 2
    assert capsys.readouterr().err == "error: GMRES stopped short (residual 0.1)\n"


def test_interrupt(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 130; what was saved is named."""
    _broken(monkeypatch, KeyboardInterrupt())
    assert main(["analyze", "gallery:parity"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted; saved: nothing"
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("markov_entanglement.analysis.analyze.Analysis.save_html", _interrupted)
    assert main(["analyze", "gallery:parity", "--json", "r.json", "--html", "r.html"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted; saved: r.json"
    assert (folder / "r.json").exists() and not (folder / "r.html").exists()


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_demo_goes_on_without_an_optional_package(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from markov_entanglement.gallery import frozen_lake

    def missing() -> Any:
        raise MissingDependency(
            "frozen-lake", "no package gymnasium", "it is needed", "Run: pip install gymnasium"
        )

    monkeypatch.setattr(frozen_lake, "_table", missing)
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "skipped: frozen-lake: got no package gymnasium" in out
    assert sorted(p.name for p in (folder / "markov-entanglement-demo").iterdir()) == [
        "circulant.html", "figure1.html", "shared-randomness.html"
    ]  # fmt: skip


def test_the_guard_forgets(folder: Path) -> None:
    """Files of an earlier command are not announced as saved by a later one."""
    assert main(["init", "a.toml"]) == 0
    assert [p.name for p in guard._SAVED] == ["a.toml"]
    assert main(["check", "a.toml"]) == 0
    assert guard._SAVED == []


# --- completion --------------------------------------------------------------------------------------------


def offered(shell: str, typed: str, folder: Path) -> list[str]:
    """What the shell is offered after a user has typed so and pressed the tabulator key."""
    words = re.findall(r":|[^\s:]+", typed) if shell == "bash" else typed.split()
    words += [""] * typed.endswith(" ")
    variables = {
        "bash": {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": typed},
    }[shell]
    done = process(cwd=folder, _MARKOV_ENTANGLEMENT_COMPLETE=f"complete_{shell}", **variables)
    assert done.stderr == ""
    return re.findall(r'"(.+?)"', done.stdout) if shell == "zsh" else done.stdout.split()


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("analyze gallery:shared", ["shared-randomness"]),
        ("analyze gallery:", [e.id for e in me.gallery.entries()]),
        ("check m", ["mine.toml"]),
        ("check sub/", ["sub/a.csv"]),
        ("check gal", [f"gallery:{e.id}" for e in me.gallery.entries()]),
        ("gallery show par", ["parity"]),
        ("analyze gallery:circulant --policy i", ["index"]),
        ("analyze gallery:health --policy dec", ["decomp-pi"]),
        ("compare gallery:circulant uniform opt", ["optimal"]),
        ("analyze mine.toml --distance mu", ["mu-atv", "mu-tv"]),
        ("init new.toml --kind ", list(kinds())),
        ("whittle mine.toml --criterion a", ["average"]),
        ("reproduce figure4", ["figure4"]),
        ("sim", ["simulate"]),
    ],
)
def test_values_complete(typed: str, values: list[str], tmp_path: Path) -> None:
    for name in ("mine.toml", "other.txt", "sub/a.csv", "sub/notes.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert offered("bash", f"markov-entanglement {typed}", tmp_path) == values


def test_other_shells_keep_colons(tmp_path: Path) -> None:
    found = offered("zsh", "markov-entanglement analyze gallery:shared", tmp_path)
    assert [x.replace("\\", "") for x in found] == ["gallery:shared-randomness"]


# --- learn ---------------------------------------------------------------------------------------------------


def test_learn_from_steps_and_keep(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [
        "learn",
        "gallery:circulant",
        "--steps",
        "2e3",
        "--seed",
        "4",
        "--json",
        "l.json",
        "--csv",
        "l.csv",
    ]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "LSTD(0)" in out and "2,000 steps" in out and "converges to Eq. 2" in out
    found = json.loads(Path("l.json").read_text())
    subject = me.gallery.build("circulant")
    same = me.learn(me.LSTD(), subject.system, subject.policy, steps=2000, rng=4)
    assert found == json.loads(json.dumps(same.to_dict())) and Path("l.csv").read_text().startswith("agent,")
    for word, name in (
        ("td", "TD(0)"),
        ("monte-carlo", "Monte Carlo"),
        ("counts", "count model"),
        ("joint-lstd", "joint"),
    ):
        assert main(["learn", "gallery:circulant", "--learner", word, "--steps", "300"]) == 0
        assert name.lower() in capsys.readouterr().out.lower()
    assert main(["learn", "gallery:circulant-bandit", "--option", "n_arms=1800", "--steps", "500"]) == 0
    assert "500" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--learner", "lstdd"], "lstd"),
        (["--steps", "1.5"], "whole number"),
        (["--steps", "many"], "whole number"),
        (["--learner", "counts", "--trace", "0.5"], "has no trace"),
        (["--trace", "2"], "trace"),
    ],
)
def test_learn_refuses(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["learn", "gallery:circulant", *words]) == 2
    assert said in capsys.readouterr().err


def test_an_interrupt_leaves_what_was_learned(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from markov_entanglement.runs import agents

    monkeypatch.setattr(agents, "_CHUNK", 2000)
    stretched = agents.Walk.stretch

    def stretch(self: agents.Walk, steps: int) -> Any:
        if self.time >= 1200:
            signal.raise_signal(signal.SIGINT)
        return stretched(self, steps)

    monkeypatch.setattr(agents.Walk, "stretch", stretch)
    assert main(["learn", "gallery:circulant", "--steps", "1e6", "--json", "l.json"]) == 130
    assert "saved: l.json" in capsys.readouterr().err
    assert 400 <= json.loads(Path("l.json").read_text())["steps"] < 2000
