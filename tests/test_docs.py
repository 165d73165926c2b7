"""What the pages say is there: files, modules, public names; the README's ten lines run."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import markov_entanglement as me

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
FOLDERS = (ROOT, ROOT / "docs", ROOT / "src" / "markov_entanglement")


def missing(text: str, folder: Path = ROOT / "docs") -> list[str]:
    """Files and names that a page of a folder mentions and that do not exist."""
    out = []
    for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]*\.(?:py|md|svg|toml))`", text):
        if not any((f / path).exists() for f in FOLDERS):
            out.append(path)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        generated = (folder / target).resolve().is_relative_to(ROOT / "docs" / "reference")
        if not generated and not (folder / target).exists():
            out.append(target)
    for module in re.findall(r"`(markov_entanglement(?:\.\w+)+)`", text):
        try:
            importlib.import_module(module)
        except ImportError:
            out.append(module)
    for line in text.splitlines():
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line)]
        if line.startswith("|") and len(cells) >= 5 and cells[-2].startswith("`tests/"):
            for name in re.findall(r"`(\w+)(?:\(|`|\.)", cells[-3]):
                known = hasattr(me, name) or name in (
                    "markov_entanglement",
                    "witness",
                    "verdict",
                    "agentwise",
                )
                gallery = name in {e.id for e in me.gallery.entries()}
                if not known and not gallery:
                    out.append(name)
            for distance in re.findall(r'entanglement\(chain, "([\w-]+)"\)', cells[-3]):
                try:
                    me.entanglement(me.gallery.build("shared-randomness").chain(), distance)
                except ValueError:
                    out.append(distance)
    return out


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_tell_the_truth(page):
    assert missing(page.read_text(), page.parent) == []


def test_a_page_that_lies_is_caught():
    lie = "`tests/nowhere.py` [x](nowhere.md) `markov_entanglement.nowhere`\n"
    lie += '| a | b | `no_such_name`, `entanglement(chain, "no-such")` | `tests/test_docs.py` |'
    assert missing(lie) == [
        "tests/nowhere.py",
        "nowhere.md",
        "markov_entanglement.nowhere",
        "no_such_name",
        "no-such",
    ]


def test_every_statement_has_its_code_and_its_test():
    """No row of the theory page leaves the code or the test out."""
    rows = [
        [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in (ROOT / "docs" / "theory.md").read_text().splitlines()
        if line.startswith("|") and not line.startswith(("| statement", "|---"))
    ]
    assert len(rows) > 40
    for row in rows:
        assert len(row) == 4 and row[0], row
        assert row[2].startswith(("`", "gallery `")) and row[3].startswith("`tests/"), row
    named = " ".join(row[0] for row in rows)
    numbers = (
        "3.2",
        "4.1",
        "5.3",
        "5.5",
        "5.10",
        "6.3",
        "7.2",
        "7.6",
        "7.7",
        "7.8",
        "D.1",
        "D.3",
        "H.2",
        "H.3",
    )
    for statement in numbers:
        assert statement in named


def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(code.group(1), "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("[")
    assert (tmp_path / "report.html").stat().st_size > 10_000
