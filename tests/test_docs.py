"""What the pages say is there: files, modules, public names; the README's ten lines run."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import markov_entanglement as me

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = (ROOT, ROOT / "docs", ROOT / "src" / "markov_entanglement")


def missing(text: str) -> list[str]:
    """Files and names that a page mentions and that do not exist."""
    out = []
    for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]*\.(?:py|md|svg|toml))`", text):
        if not any((f / path).exists() for f in FOLDERS):
            out.append(path)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        if not any((f / target).exists() for f in FOLDERS):
            out.append(target)
    for module in re.findall(r"`(markov_entanglement(?:\.\w+)+)`", text):
        try:
            importlib.import_module(module)
        except ImportError:
            out.append(module)
    for line in text.splitlines():
        cells = [c.strip() for c in line.split("|")]
        if line.startswith("|") and len(cells) == 5 and cells[3].startswith("`tests/"):
            for name in re.findall(r"`(\w+)(?:\(|`|\.)", cells[2]):
                known = hasattr(me, name) or name in (
                    "markov_entanglement",
                    "witness",
                    "verdict",
                    "agentwise",
                )
                gallery = name in {e.id for e in me.gallery.entries()}
                if not known and not gallery:
                    out.append(name)
    return out


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages_tell_the_truth(page):
    assert missing(page.read_text()) == []


def test_a_page_that_lies_is_caught():
    lie = "`tests/nowhere.py` [x](nowhere.md) `markov_entanglement.nowhere`\n"
    lie += "| a | `no_such_name` | `tests/test_docs.py` |"
    assert missing(lie) == ["tests/nowhere.py", "nowhere.md", "markov_entanglement.nowhere", "no_such_name"]


def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(code.group(1), "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("[")
    assert (tmp_path / "report.html").stat().st_size > 10_000
