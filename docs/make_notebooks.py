"""Writes the notebooks from the tutorials: text becomes text, Python becomes code, nothing is run.

python docs/make_notebooks.py     needs `pip install nbformat`
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
TUTORIALS, NOTEBOOKS = ROOT / "docs" / "tutorials", ROOT / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
#: The first cell where files of the repository are read.
TO_THE_ROOT = """\
import os
from pathlib import Path

here = Path.cwd()  # anywhere in a clone of the repository
os.chdir(next(p for p in (here, *here.parents) if (p / "examples").is_dir()))"""


def notebook(page: Path) -> str:
    """The notebook of a tutorial, as text: blocks of `python` are cells, all else is text, shell commands included."""
    parts = re.split(r"^```python\n(.*?)\n```$", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    cells = []
    for k, part in enumerate(parts):
        if k % 2:
            cells.append(new_code_cell(part))
        elif part.strip():
            cells.append(new_markdown_cell(_linked(part.strip())))
    if any("examples/" in part for part in parts[1::2]):
        cells.insert(1, new_code_cell(TO_THE_ROOT))
    for k, cell in enumerate(cells):
        cell["id"] = f"{page.stem}-{k}"
    book = new_notebook(cells=cells, metadata=METADATA)
    nbformat.validate(book)
    return nbformat.writes(book, indent=1) + "\n"


def _linked(text: str) -> str:
    """Links from the folder of notebooks; tutorials lead to their notebooks."""

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(f"docs/tutorials/{match[1]}")
        if posixpath.dirname(target) == "docs/tutorials":
            target = f"notebooks/{Path(target).stem}.ipynb"
        return f"]({posixpath.relpath(target, 'notebooks')}{match[2] or ''})"

    return re.sub(r"\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)", moved, text)


def pages() -> list[Path]:
    """The tutorials."""
    return sorted(TUTORIALS.glob("*.md"))


if __name__ == "__main__":
    NOTEBOOKS.mkdir(exist_ok=True)
    for page in pages():
        (NOTEBOOKS / f"{page.stem}.ipynb").write_text(notebook(page), encoding="utf-8")
