"""The notebooks are those of the tutorials, stripped, and run."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
#: What the text of each rests on, in the order in which its cells show it.
SHOWN = {
    "tables": (
        "No: ",
        "It is the policy",
        "right in 100 %",
        "Cannot tell nearest and best apart",
        "discount missing",
    ),
    "bandits": ("indexable", "whittle is best", "Yes, within", "No: ", "right in 100 %", "Proved"),
    "simulator": (
        "checks hold",
        "No: ",
        "Cannot tell how wrong",
        "errs by 0.8",
        "errs by 0 to",
        "Not Markov",
        "most",
    ),
    "logs": ("Not Markov", "rewards and discount missing", "moves JFK most", "nobody can tell how wrong"),
    "network": (
        "Decomposition, not tuning",
        "Tuning, not decomposition",
        "errs by at most 0.",
        "Cannot tell whether",
    ),
}


def made() -> Any:
    """The script that writes them."""
    spec = importlib.util.spec_from_file_location("make_notebooks", ROOT / "docs" / "make_notebooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_the_notebooks_of_the_tutorials_as_they_are():
    """Else run `python docs/make_notebooks.py`."""
    script = made()
    assert [b.stem for b in BOOKS] == [p.stem for p in script.pages()]
    assert len(BOOKS) == 5
    for page, book in zip(script.pages(), BOOKS, strict=True):
        assert book.read_text(encoding="utf-8") == script.notebook(page), f"{book.name} is old"


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_they_are_stripped_and_links_lead_somewhere(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [c for c in book.cells if c.cell_type == "code"]
    assert len(code) >= 5 and all(not c.outputs and c.execution_count is None for c in code)
    assert len({c.id for c in book.cells}) == len(book.cells)
    for cell in book.cells:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", cell.source):
            assert (path.parent / target).exists(), target


def run(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A notebook as Jupyter runs it, in a folder with `examples` beside `notebooks`."""
    from nbclient import NotebookClient

    shutil.copytree(ROOT / "examples", folder / "examples")
    (folder / "notebooks").mkdir()
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    book = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(folder / "notebooks")}}
    return NotebookClient(book, timeout=300, kernel_name="python3", resources=where).execute()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_they_run(path, tmp_path, monkeypatch):
    """No cell fails, none warns, what the text rests on is shown, and every percentage of it."""
    book = run(path, tmp_path, monkeypatch)
    shown = ""
    for cell in book.cells:
        for output in cell.get("outputs", ()):
            assert output.get("name") != "stderr" or "Warning" not in output["text"], output[
                "text"
            ]  # else progress
            shown += output.get("text", "") + "".join(map(str, output.get("data", {}).values()))
    at = 0
    for words in SHOWN[path.stem]:
        at = shown.find(words, at)
        assert at >= 0, words
    text = "\n".join(c.source for c in book.cells if c.cell_type == "markdown")
    said = set(re.findall(r"\d[\d.,]* %", text)) - {"5 %", "4 %", "2 %", "95 %"}  # tolerances and confidence
    assert said <= set(re.findall(r"\d[\d.,]* %", shown)), said
