"""The gallery as one table: each number against the question that it comes from; the command, the page, the docs."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

import markov_entanglement as me
from markov_entanglement.cli.app import main
from markov_entanglement.errors import InvalidInput
from markov_entanglement.gallery import measured
from markov_entanglement.gallery.circulant import circulant, circulant_bandit
from markov_entanglement.report.gallery import HEAD, cells, markdown

QUICK = ["parity", "appendix-e", "circulant", "lagrangian-gap", "maintenance"]
PAGE = Path(__file__).parents[1] / "docs" / "gallery.md"


def lines_of_the_page() -> list[str]:
    """The table that stands in docs/gallery.md."""
    text = PAGE.read_text(encoding="utf-8")
    return text[text.index("| system |") :].split("\n\n", 1)[0].splitlines()


@pytest.mark.parametrize("id", QUICK)
def test_every_number_is_what_its_question_answers(id: str) -> None:
    (row,) = me.gallery.benchmark([id]).rows
    subject = me.gallery.build(id)
    whole = me.analyze(subject.system, subject.policy)
    values, budget, decision = whole.decomposition, whole.budget, whole.decision
    assert (row.system, row.verdict, row.estimator, row.note) == (id, whole.verdict, "exact", "")
    assert row.agents == sum(u.multiplicity for u in whole.chain.units) and row.distance == "mu-atv"
    assert row.entanglement == max(whole.entanglements["mu-atv"].per_agent)
    assert (row.unexplained, row.low, row.high) == (values.unexplained, *values.unexplained_interval)
    assert (row.error_l2, row.floor, row.unexplained_floor) == (
        values.error("l2"),
        budget.floor,
        budget.unexplained_floor,
    )
    assert row.loss == pytest.approx(decision.loss, abs=1e-12)


def changed(monkeypatch: pytest.MonkeyPatch, **builders: Any) -> None:
    """The gallery has these systems only, by the record whose builder is replaced."""
    found = tuple(
        dataclasses.replace(me.gallery.entry(id.replace("_", "-")), builder=builder)
        for id, builder in builders.items()
    )
    monkeypatch.setattr(measured, "entries", lambda: found)


def test_what_is_too_large_is_answered_by_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(
        monkeypatch,
        circulant_bandit=lambda: circulant_bandit(1800),
        circulant=lambda: circulant(30, discount=0.5),
    )
    arms, agents = me.gallery.benchmark().rows
    for row in (arms, agents):
        assert (
            row.estimator == "runs" and row.low < row.unexplained < row.high and row.floor is row.loss is None
        )
        assert "me.certify" in row.note and row.verdict in ("add", "cannot-tell")
    assert (arms.distance, agents.distance) == ("policy", "mu-atv") and (arms.agents, agents.agents) == (
        1800,
        30,
    )
    assert arms.entanglement == pytest.approx(9.18 / 1800, rel=0.02)  # N E of Appendix K.1
    assert cells(arms)[2].endswith(" (by policy)") and " to " in cells(arms)[3] and cells(arms)[4] == "-"


def test_what_cannot_be_built_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> Any:
        raise InvalidInput("package", "no gymnasium", "it has the environment", "Run: pip install gymnasium")

    changed(monkeypatch, frozen_lake=nothing, parity=me.gallery.entry("parity").builder)
    found = me.gallery.benchmark()
    assert [r.verdict for r in found.rows] == ["cannot-tell", "add"]
    assert "pip install gymnasium" in found.rows[0].note and found.rows[0].entanglement is None
    assert found.sentence.startswith(
        "Of 2 systems local values may be added up in 1, not in 0; of 1 it cannot be told"
    )
    assert cells(found.rows[0])[2:] == ["-"] * (len(HEAD) - 2)


def test_the_tolerance_is_the_users() -> None:
    assert [me.gallery.benchmark(["circulant"], tolerance=t).rows[0].verdict for t in (0.05, 0.2)] == [
        "do-not-add", "add",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: me.gallery.benchmark(["circulent"]), "Did you mean 'circulant'"),
        (lambda: me.gallery.benchmark("circulant"), "a list of ids"),
        (lambda: me.gallery.benchmark(["parity"], tolerance=-1), "tolerance"),
    ],
)
def test_wrong_arguments(call: Any, match: str) -> None:
    with pytest.raises(InvalidInput, match=match):
        call()


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    found = tuple(me.gallery.entry(id) for id in ("parity", "appendix-e", "lagrangian-gap"))
    monkeypatch.setattr(measured, "entries", lambda: found)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gallery", "--table", "--html", "t.html", "--csv", "t.csv"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"appendix-e +do-not-add +0\.4000 +36\.2 % +0 +0\n", out)
    assert "local values may be added up in 2, not in 1" in out and "wrote t.html" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    rows = list(csv.DictReader((few / "t.csv").read_text().splitlines()))
    assert [r["system"] for r in rows] == ["parity", "appendix-e", "lagrangian-gap"]
    assert float(rows[1]["unexplained"]) == pytest.approx(0.361887, abs=6e-7)
    page = (few / "t.html").read_text()
    assert page.startswith("<!doctype html>") and page.count("<tr>") == 4 and 'class="do-not-add"' in page
    assert "http" not in re.sub(r'http-equiv="Content-Security-Policy"', "", page)
    assert main(["gallery", "--table", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"][1]["verdict"] == "do-not-add" and len(found["rows"]) == 3


def test_a_page_without_the_table_is_refused(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--html", "--csv"):
        assert main(["gallery", option, f"t.{option[2:]}"]) == 2
        assert f"Add --table: gallery --table {option} FILE" in capsys.readouterr().err
    assert main(["gallery", "--table", "--html", "no/where.html"]) == 2
    assert list(few.iterdir()) == []


# --- the documentation ----------------------------------------------------------------------------------------------


def test_the_page_has_a_row_for_every_system() -> None:
    rows = lines_of_the_page()[2:]
    assert [re.match(r"\| \[`([\w-]+)`\]", r).group(1) for r in rows] == [
        e.id for e in me.gallery.entries()
    ], (  # type: ignore[union-attr]
        "run: python docs/make_gallery.py"
    )


def test_quick_rows_of_the_page_are_current() -> None:
    head, *rows = lines_of_the_page()
    for line in markdown(me.gallery.benchmark(QUICK)).splitlines()[2:]:
        assert line in rows, "run: python docs/make_gallery.py"
    assert head == f"| {' | '.join(HEAD)} |"


@pytest.mark.slow
def test_all_rows_of_the_page_are_current() -> None:
    assert markdown(me.gallery.benchmark()).splitlines() == lines_of_the_page(), (
        "run: python docs/make_gallery.py"
    )
