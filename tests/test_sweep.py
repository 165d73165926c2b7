"""Sweeps: rows that depend on the seed and the cell alone, a journal that goes on, failures that are seen."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import markov_entanglement as me
from markov_entanglement._runners import RUNNERS
from markov_entanglement.cli.app import main
from markov_entanglement.cli.commands import sweep as sweep_command
from markov_entanglement.errors import InvalidInput, TooLarge
from markov_entanglement.studies import sweep as module
from markov_entanglement.studies.questions import QUESTIONS

CELLS = {"n": [3, 1, 2], "word": ["b", "a"]}


def draws(n: int, word: str, rng: np.random.Generator) -> dict[str, Any]:
    return {"sum": float(rng.random(n).sum()), "said": word * n, "ends": [n, n + 0.5]}


def odd(n: int) -> float:
    if n == 2:
        raise KeyError(f"no {n}")
    return n / 3


def noted(n: int, folder: str) -> int:
    """Writes down that it was asked."""
    with (Path(folder) / f"{n}.asked").open("a") as file:
        file.write("x")
    return n * n


def asked(folder: Path) -> Counter[int]:
    return Counter({int(f.stem): len(f.read_text()) for f in folder.glob("*.asked")})


# --- cells -----------------------------------------------------------------------------------------------


def test_cells_are_all_combinations_in_the_order_of_the_grid() -> None:
    found = me.sweep(draws, CELLS, seed=0)
    assert [tuple(x.at.values()) for x in found.cells] == list(itertools.product([3, 1, 2], ["b", "a"]))
    table = found.tables()["cells"]
    assert list(table.columns) == ["n", "word", "sum", "said", "ends.0", "ends.1", "failed"]
    assert table.index == ("n", "word") and table.columns["said"] == ("bbb", "aaa", "b", "a", "bb", "aa")


def test_random_numbers_depend_on_the_seed_and_the_cell_alone() -> None:
    whole = {tuple(x.at.values()): x.numbers["sum"] for x in me.sweep(draws, CELLS, seed=5).cells}
    part = me.sweep(draws, [{"word": "a", "n": 2}, {"word": "b", "n": 3}], seed=5)
    assert [x.numbers["sum"] for x in part.cells] == [whole[2, "a"], whole[3, "b"]]
    assert len(set(whole.values())) == 6 and whole[2, "a"] != whole[2, "b"]
    other = me.sweep(draws, CELLS, seed=6)
    assert not {x.numbers["sum"] for x in other.cells} & set(whole.values())


def test_what_is_no_list_is_the_same_in_every_cell() -> None:
    found = me.sweep(draws, {"n": np.arange(1, 3), "word": "a"}, seed=0)
    assert [x.at for x in found.cells] == [{"n": 1, "word": "a"}, {"n": 2, "word": "a"}]


def test_an_empty_place_is_told_from_no_number(tmp_path: Path) -> None:
    """Numbers that are not finite stay what they are in rows and journal; tables and JSON have none there."""
    values = {1: math.inf, 2: math.nan, 3: 0.1 + 0.2}

    def work(n: int) -> float:
        return values[n]

    store = tmp_path / "s.jsonl"
    first = list(me.sweep_rows(work, {"n": [1, 2, 3]}, seed=0, store=store))
    again = list(me.sweep_rows(work, {"n": [1, 2, 3]}, seed=0, store=store, resume=True))
    assert repr(first) == repr(again) and first[0]["value"] == math.inf and math.isnan(first[1]["value"])
    found = me.sweep(work, {"n": [1, 2, 3]}, seed=0, store=store, resume=True)
    assert found.tables()["cells"].columns["value"] == (None, None, 0.1 + 0.2)


def test_a_result_is_told_by_its_places() -> None:
    def work(id: str) -> Any:
        return me.analyze(me.gallery.build(id).chain())

    found = me.sweep(
        work, {"id": ["appendix-e", "parity"]}, seed=0, columns=["verdict.word", "entanglement.atv.total"]
    )
    assert [x.numbers["verdict.word"] for x in found.cells] == ["do-not-add", "add"]
    right = me.entanglement(me.gallery.build("appendix-e").chain(), "atv").total
    assert found.cells[0].numbers["entanglement.atv.total"] == right
    assert found.tables()["cells"].notes["entanglement.atv.total"] == "sum of E_i over all agents"


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ({}, "at least one axis"),
        ([], "at least one axis"),
        ({"n": []}, "at least one"),
        ({"n": [1, 1.0]}, "cells 0 and 1 that are equal"),
        ({"n": [[1], [1]]}, "equal"),
        ({"n": [math.nan]}, "finite number"),
        ({"n": [object()]}, "make it inside the work"),
        ({"rng": [1]}, "other than rng"),
        ({"failed": [1]}, "other than rng and failed"),
        ({3: [1]}, "named by words"),
        ([{"n": 1}, 3], "each a mapping"),
        (7, "cells, or axes"),
        ("n", "cells, or axes"),
    ],
)
def test_grids_that_are_refused(grid: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        me.sweep(lambda **cell: 1, grid, seed=0)


def test_a_million_cells_are_the_most() -> None:
    with pytest.raises(TooLarge):
        me.sweep(lambda a, b: 1, {"a": list(range(1001)), "b": list(range(1000))}, seed=0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"work": 3}, "a function of a cell"),
        ({"work": "analyse"}, "Did you mean 'analyze'"),
        ({"work": lambda m: m}, "it takes n by name"),
        ({"seed": -1}, "at least 0"),
        ({"seed": np.random.default_rng(0)}, "an integer"),
        ({"runner": "thread"}, "Did you mean 'threads'"),
        ({"resume": True}, "Give store='sweep.jsonl'"),
        ({"retry": True}, "Give resume=True"),
        ({"store": "sweep.csv"}, "Did you mean 'sweep.jsonl'"),
        ({"columns": []}, "different names"),
        ({"columns": ["failed"]}, "different names"),
        ({"columns": ["valu"]}, "Did you mean 'value'"),
        ({"columns": "valu"}, "Did you mean 'value'"),
    ],
)
def test_arguments_that_are_refused(given: dict[str, Any], says: str) -> None:
    right: dict[str, Any] = {"work": odd, "grid": {"n": [1, 3]}, "seed": 0}
    with pytest.raises(InvalidInput, match=says):
        me.sweep(**(right | given))


# --- failures --------------------------------------------------------------------------------------------


def test_a_cell_that_raises_is_a_row() -> None:
    found = me.sweep(odd, {"n": [1, 2, 3]}, seed=0)
    assert [x.failed for x in found.cells] == [None, "KeyError: 'no 2'", None]
    assert found.sentence == "1 of 3 cells of test_sweep.odd failed, the first at n 2: KeyError: 'no 2'."
    assert found.tables()["cells"].columns["value"] == (1 / 3, None, 1.0)
    assert found.tables()["curves"].columns["failed"] == (False, True, False)
    assert found.plot().axes[0].get_legend() is not None


def test_every_cell_may_fail() -> None:
    found = me.sweep(odd, {"n": [2]}, seed=0)
    assert found.columns == [] and found.value is None and list(found.tables()) == ["cells"]
    assert "1 of 1" in found.sentence


@pytest.mark.parametrize("wrong", [{1, 2}, {"a": object()}, {"a": list(range(99))}, [{"a": 1}]])
def test_work_that_returns_something_else_is_told(wrong: Any) -> None:
    found = me.sweep(lambda n: wrong, {"n": [1]}, seed=0)
    said = found.cells[0].failed
    assert said is not None and "what the work returns" in said and "at 0x" not in said


# --- the journal -----------------------------------------------------------------------------------------


def test_a_sweep_that_was_stopped_goes_on(tmp_path: Path) -> None:
    store, grid = tmp_path / "s.jsonl", {"n": list(range(8)), "folder": str(tmp_path)}
    right = me.sweep(noted, grid, seed=0)
    for f in tmp_path.glob("*.asked"):
        f.unlink()
    rows = me.sweep_rows(noted, grid, seed=0, store=store)
    assert [next(rows)["value"] for _ in range(3)] == [0, 1, 4]
    rows.close()  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="resume=True"):
        me.sweep(noted, grid, seed=0, store=store)
    with store.open("a") as file:
        file.write('{"cell": 7, "at": {"n"')  # a write that was cut short
    later = me.sweep_rows(noted, grid, seed=0, store=store, resume=True)
    assert [row["n"] for row in itertools.islice(later, 5)] == [0, 1, 2, 3, 4]
    later.close()  # type: ignore[attr-defined]
    assert me.sweep(noted, grid, seed=0, store=store, resume=True, runner="threads", workers=3) == right
    assert asked(tmp_path) == Counter(dict.fromkeys(range(8), 1))
    lines = [json.loads(line) for line in store.read_text().splitlines()]
    assert len(lines) == 9 and lines[0]["work"] == "test_sweep.noted" and lines[3]["found"] == {"value": 4}


@pytest.mark.parametrize(
    ("given", "what"),
    [({"seed": 1}, "seed"), ({"grid": {"n": [1, 2]}}, "cells"), ({"grid": {"n": [3]}}, "grid"),
     ({"work": partial(draws, word="a")}, "work")],
)  # fmt: skip
def test_another_sweep_is_refused(given: dict[str, Any], what: str, tmp_path: Path) -> None:
    right: dict[str, Any] = {"work": odd, "grid": {"n": [1]}, "seed": 0, "store": tmp_path / "s.jsonl"}
    me.sweep(**right)
    with pytest.raises(InvalidInput, match=f"with another {what}; a sweep goes on as it began"):
        me.sweep(**(right | given), resume=True)


@pytest.mark.parametrize(
    ("line", "says"),
    [("oh", "line 2"), ('{"cell": 9, "at": {"n": 1}, "found": {}}', "cell of this sweep"), ("[]", "line 2"),
     ('{"cell": 0, "at": {"n": 2}, "found": {}}', "cell of this sweep"), ('{"cell": 0, "at": {"n": 1}}', "cell of")],
)  # fmt: skip
def test_a_damaged_journal_is_refused(line: str, says: str, tmp_path: Path) -> None:
    store = tmp_path / "s.jsonl"
    me.sweep(odd, {"n": [1, 3]}, seed=0, store=store)
    head, *rest = store.read_text().splitlines()
    store.write_text("\n".join([head, line, *rest]) + "\n")
    with pytest.raises(InvalidInput, match=says):
        me.sweep(odd, {"n": [1, 3]}, seed=0, store=store, resume=True)
    store.write_text("\n".join([head, *rest]) + "\n")  # the remedy
    assert me.sweep(odd, {"n": [1, 3]}, seed=0, store=store, resume=True).cells[1].numbers == {"value": 1.0}


def test_what_failed_is_done_again_when_asked(tmp_path: Path) -> None:
    mended = [False]

    def work(n: int) -> int:
        if n == 2 and not mended[0]:
            raise ValueError("broken")
        return n

    run = partial(me.sweep, work, {"n": [1, 2]}, seed=0, store=tmp_path / "s.jsonl")
    assert run().cells[1].failed == "ValueError: broken"
    mended[0] = True
    assert run(resume=True).cells[1].failed == "ValueError: broken"
    assert run(resume=True, retry=True).cells[1].numbers == {"value": 2}
    assert run(resume=True).cells[1].numbers == {"value": 2}


def test_a_column_may_be_mended_without_computing_anew(tmp_path: Path) -> None:
    run = partial(me.sweep, noted, {"n": [1, 2], "folder": str(tmp_path)}, seed=0, store=tmp_path / "s.jsonl")
    with pytest.raises(InvalidInput, match="Did you mean 'value'"):
        run(columns=["valeu"])
    assert run(columns=["value"], resume=True).columns == ["value"]
    assert asked(tmp_path) == Counter({1: 1, 2: 1})


# --- runners ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", ["threads", "processes"])
def test_the_same_bytes_whoever_does_it(runner: str, tmp_path: Path) -> None:
    grid = {"n": [1, 2, 3], "word": ["a", "b"]}
    for name, who in (("serial", "serial"), ("other", runner)):
        found = me.sweep(draws, grid, seed=3, runner=who, workers=2)
        found.save_csv(tmp_path / f"{name}.csv")
        found.save_json(tmp_path / f"{name}.json")
        found.save_html(tmp_path / f"{name}.html")
    for kind in ("csv", "json", "html"):
        assert (tmp_path / f"other.{kind}").read_bytes() == (tmp_path / f"serial.{kind}").read_bytes()


def test_the_page_says_what_limits_are(tmp_path: Path) -> None:
    found = me.sweep("analyze", {"system": ["gallery:follower"]}, seed=0)
    notes, units = found.tables()["cells"].notes, found.tables()["cells"].units
    for end, word in (("low", "lower"), ("high", "upper")):
        assert notes[f"unexplained_{end}"] == f"{word} limit of unexplained"
        assert units[f"unexplained_{end}"] == units["unexplained"] == "share"
    found.save_html(tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text()
    assert "<dd>upper limit of unexplained (share)</dd>" in page and "., in " not in page


def test_progress_is_told_and_may_stop(tmp_path: Path) -> None:
    shares: list[float] = []

    def stop(share: float, what: str) -> None:
        shares.append(share)
        if share > 0.6:
            raise KeyboardInterrupt

    store, grid = tmp_path / "s.jsonl", {"n": list(range(3, 13))}
    with pytest.raises(KeyboardInterrupt):
        me.sweep(odd, grid, seed=0, store=store, progress=stop)
    assert shares == sorted(shares) and 4 <= len(store.read_text().splitlines()) <= 8
    shares.clear()
    with pytest.raises(KeyboardInterrupt):
        me.sweep(odd, grid, seed=0, store=store, resume=True, progress=stop)
    assert shares[1] >= 0.4


# --- questions and files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "grid", "right"),
    [
        ("analyze", {"system": ["gallery:appendix-e", "gallery:parity"]}, ["do-not-add", "add"]),
        ("entanglement", {"system": "gallery:appendix-e", "distance": ["atv", "mu-atv"]}, None),
        ("value_decomposition", {"system": "gallery:circulant", "n_arms": 3, "budget": 1, "discount": [0.5]}, None),
        ("estimate_entanglement", {"system": "gallery:circulant-bandit", "n_arms": [30, 60], "replications": 2}, None),
        ("estimate_error", {"system": "gallery:circulant-bandit", "n_arms": [30, 60], "starts": 200}, None),
        ("sample_complexity", {"system": "gallery:circulant", "n_arms": 3, "budget": 1, "steps": [[20, 80]]}, None),
    ],
)  # fmt: skip
def test_questions_by_name(word: str, grid: dict[str, Any], right: Any) -> None:
    found = me.sweep(word, grid, seed=0)
    assert [x.failed for x in found.cells] == [None] * len(found.cells)
    told = {k for x in found.cells for k, v in x.numbers.items() if v is not None}
    missing = {"entanglement.policy.total", "unexplained_low", "unexplained_high", "bias"}
    assert set(found.columns) - told <= missing and found.value in found.columns
    assert right is None or [x.numbers["verdict"] for x in found.cells] == right
    if word == "entanglement":
        chain = me.gallery.build("appendix-e").chain()
        assert [x.numbers["entanglement"] for x in found.cells] == [
            me.entanglement(chain, d).total
            for d in ("atv", "mu-atv")  # type: ignore[call-overload]
        ]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ({"policy": "uniform"}, "a cell names a system"),
        ({"system": "gallery:cirulant"}, "Did you mean 'circulant'"),
        ({"system": "gallery:circulant", "n_arm": 3}, "Did you mean 'n_arms'"),
        ({"system": "gallery:circulant", "policy": "os:system"}, "own code runs only where you call it"),
        ({"system": "os:getcwd"}, "no such file"),
        ({"system": "gallery:circulant", "policy": 3}, "a word or a name"),
        ({"system": "missing.toml"}, "no such file"),
    ],
)
def test_cells_of_questions_that_are_refused(cell: dict[str, Any], says: str) -> None:
    said = me.sweep("analyze", [cell], seed=0).cells[0].failed
    assert said is not None and says in said


GRID = """schema = 1
kind = "sweep"
question = "value_decomposition"
seed = 0

[grid]
system = ["pair.toml", "gallery:appendix-e"]

[picture]
value = "error_mu"
against = "system"
"""


def laid(tmp_path: Path, text: str = GRID) -> Path:
    (tmp_path / "grid.toml").write_text(text)
    me.save(tmp_path / "pair.toml", me.gallery.build("appendix-e").system)
    return tmp_path / "grid.toml"


def test_the_command_writes_table_picture_and_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(laid(tmp_path))
    monkeypatch.chdir(tmp_path.parent)  # systems are looked for beside the file
    out = {k: tmp_path / f"out.{k}" for k in ("csv", "json", "html", "svg", "jsonl")}
    options = ["--csv", out["csv"], "--json", out["json"], "--html", out["html"], "--picture", out["svg"]]
    assert main(["sweep", file, "--store", str(out["jsonl"]), *map(str, options)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("All 2 cells of value_decomposition are done: error_mu from")
    assert said.count("wrote") == 4 and "relative_error" in said
    found = me.read_sweep(out["json"])
    assert (
        found.against == "system"
        and found.value == "error_mu"
        and found.command.startswith("markov-entanglement sweep")
    )
    assert found.tables()["cells"].csv() == out["csv"].read_text()
    assert main(["sweep", file, "--store", str(out["jsonl"])]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["sweep", file, "--store", str(out["jsonl"]), "--resume"]) == 0
    assert main(["report", str(out["json"]), "-o", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_bytes() == out["html"].read_bytes()


def test_failures_are_told_first_and_the_job_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = laid(tmp_path, GRID.replace('"pair.toml"', '"missing.toml"'))
    assert main(["sweep", str(file)]) == 0
    assert capsys.readouterr().out.startswith(
        "1 of 2 cells of value_decomposition failed, the first at system missing"
    )


def test_own_code_as_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "grid.toml").write_text('schema = 1\nkind = "sweep"\n[[cells]]\nn = 2\n[[cells]]\nn = 5\n')
    (tmp_path / "my_sweep_work.py").write_text("def cube(n):\n    return n**3\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for runner in ("serial", "processes"):
        options = ["--work", "my_sweep_work:cube", "--csv", "c.csv", "--runner", runner, "--workers", "1"]
        assert main(["sweep", "grid.toml", *options]) == 0
        assert Path("c.csv").read_text() == "n,value,failed\n2,8,\n5,125,\n"
    assert main(["sweep", "grid.toml"]) == 2
    assert "question" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("schema = 1", "schema = 2", "Write: schema = 1"),
        ('kind = "sweep"', 'kind = "chain"', "Write: kind = 'sweep'"),
        ("question", "questoin", "Did you mean 'question'"),
        ("value_decomposition", "value_decompositon", "Did you mean 'value_decomposition'"),
        ("seed = 0", "seed = -1", "at least 0"),
        ("[grid]", "[gird]", "Did you mean 'grid'"),
        ('"error_mu"', '"error_m"', "Did you mean 'error_mu'"),
        ('against = "system"', 'against = "sytem"', "Did you mean 'system'"),
        ("[picture]", "[[picture]]", "it must be a table"),
        ("seed = 0", 'seed = 0\ncolumns = ["error_mu", "eror_mu"]', "Did you mean 'error_mu'"),
        ("[grid]", "[grid", "Mend that line"),
    ],
)
def test_files_that_are_refused(
    old: str, new: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(laid(tmp_path, GRID.replace(old, new)))]) == 2
    assert says in capsys.readouterr().err


def test_an_interrupt_names_the_journal_and_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, store, real = laid(tmp_path), tmp_path / "s.jsonl", module.outcome

    def stopped(*asked: Any) -> Any:
        if asked[2]["system"].startswith("gallery"):
            raise KeyboardInterrupt
        return real(*asked)

    with monkeypatch.context() as patch:
        patch.setattr(module, "outcome", stopped)
        assert main(["sweep", str(file), "--store", str(store)]) == 130
    said = capsys.readouterr().err
    assert f"saved: {store}" in said and said.splitlines()[0].endswith(f"--store {store} --resume")
    assert len(store.read_text().splitlines()) == 2
    assert main(["sweep", str(file), "--store", str(store), "--resume"]) == 0


def test_the_examples_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "sweeps.md").read_text()
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "sweeps.md", "exec"), names)
    assert (tmp_path / "sweep.html").exists() and [x.numbers for x in names["found"].cells] == [
        {"value": 1.0}, {"value": 2.0}, {"value": 3.0}
    ]  # fmt: skip


def test_questions_and_runners_are_those_of_help_and_pages() -> None:
    pages = [(Path(__file__).parents[1] / "docs" / page).read_text() for page in ("files.md", "sweeps.md")]
    texts = [*pages, me.sweep.__doc__ or "", sweep_command.TEMPLATE]
    assert all(word in text for text in texts for word in QUESTIONS)
    assert sweep_command.RUNNERS == RUNNERS and all(f'"{r}"' in pages[1] for r in RUNNERS)


# --- the result ------------------------------------------------------------------------------------------


def test_pictures_show_a_column_against_an_axis() -> None:
    found = me.sweep(lambda n, k, w: {"sum": n + k, "low": 1, "word": w, "power": n**k},
                     {"n": [3, 1, 2], "k": [1, 2], "w": ["x", "y"]}, seed=0)  # fmt: skip
    assert (found.value, found.against) == ("sum", "n")
    axes = found.showing("power", against="k").plot().axes[0]
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert lines["n 3, w x"] == ([1, 2], [3, 9]) and len(lines) == 6
    words = found.showing("sum", against="w").plot().axes[0]
    assert [t.get_text() for t in words.get_xticklabels()] == ["x", "y"] and words.get_xlabel() == "w"
    for wrong, says in (({"value": "word"}, "'power'|sum, low"), ({"against": "m"}, "n, k, w")):
        with pytest.raises(InvalidInput, match=says):
            found.showing(**wrong)  # type: ignore[arg-type]


def test_json_comes_back_and_is_checked(tmp_path: Path) -> None:
    found = me.sweep(odd, {"n": [1, 2, 3]}, seed=0)
    found.save_json(tmp_path / "s.json")
    assert me.read_sweep(tmp_path / "s.json") == found
    with pytest.raises(InvalidInput, match=r"a sweep; .* Read it by me\.read_sweep"):
        me.read_result(tmp_path / "s.json")
    me.analyze(me.gallery.build("parity").chain()).save_json(tmp_path / "r.json")
    with pytest.raises(InvalidInput, match=r"Read it by me\.read_result"):
        me.read_sweep(tmp_path / "r.json")
    text = (tmp_path / "s.json").read_text()
    for old, new in (
        ('"seed": 0', '"seed": "x"'),
        ('"against": "n"', '"against": "m"'),
        ('"axes"', '"axis"'),
    ):
        (tmp_path / "t.json").write_text(text.replace(old, new))
        with pytest.raises(InvalidInput):
            me.read_sweep(tmp_path / "t.json")


def test_the_page_shows_names_as_text(tmp_path: Path) -> None:
    found = me.sweep(lambda n: f"<b>{n}", {"n": ["<script>", "&"]}, seed=0)
    found.save_html(tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text()
    HTMLParser().feed(page)
    assert "<script>" not in page and "&lt;script&gt;" in page and "color-scheme" in page
