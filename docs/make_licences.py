"""Makes docs/licences.md, the licences of what this library uses: python docs/make_licences.py.

As the installed packages say, in an environment that has all extras; what is not installed is said to be missing.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("licences.md")
HEAD = """# Licences

markov-entanglement is MIT-licensed. What it uses is installed beside it; the table lists what each package that it
names says of its own licence. An extra is installed by `pip install 'markov-entanglement[extra]'`, and nothing of it is
loaded before it is asked for. What these packages need in turn is not listed.

The required ones are all permissive. Among the extras `pygame-ce` (`envs`) is LGPL, and of the tools of the tests
`hypothesis` is MPL-2.0.

| needed for | package | versions | licence |
|---|---|---|---|
"""


def dependencies() -> Iterator[tuple[str, str, str]]:
    """Group, name and asked versions of every package that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for group, lines in {"(required)": project["dependencies"], **project["optional-dependencies"]}.items():
        for line in lines:
            name, versions = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?(.*)", line).groups()
            if name != project["name"]:
                yield group, name, versions


def licence(name: str) -> str:
    """What the metadata of an installed package say: an expression, else a classifier, a word, or its licence file."""
    try:
        package = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed where this table was made"
    said = package.metadata
    if said.get("License-Expression"):
        return str(said["License-Expression"])
    classes = [c.split(" :: ")[-1] for c in said.get_all("Classifier") or [] if c.startswith("License ::")]
    short = (said.get("License") or "").strip()
    if classes or (short and "\n" not in short):
        return ", ".join(classes) or short
    for path in package.files or []:
        if path.name.upper().startswith(("LICENSE", "LICENCE")):
            return next(line.strip() for line in path.read_text().splitlines() if line.strip())
    return "not said"


def page() -> str:
    """The whole page."""
    return HEAD + "".join(f"| {g} | {n} | {v} | {licence(n)} |\n" for g, n, v in dependencies())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
