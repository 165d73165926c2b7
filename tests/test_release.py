"""What a release says of itself, and what is in it; `.ci/release` installs it and runs it."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import markov_entanglement as me

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CITATION = (ROOT / "CITATION.cff").read_text()
LICENCES = runpy.run_path(str(ROOT / "docs" / "make_licences.py"))


def cited(key: str) -> str:
    found = re.search(rf"^{key}: (.+)$", CITATION, re.MULTILINE)
    assert found is not None
    return found[1]


def test_version_and_addresses_agree():
    urls = PROJECT["urls"]
    assert cited("version") == PROJECT["version"] == me.__version__
    assert (cited("repository-code"), cited("url")) == (urls["Source"], urls["Documentation"])
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "src").rglob("*.py")]
    assert not [str(p) for p in pages if urls["Source"] in p.read_text(encoding="utf-8")]


def test_every_dependency_has_a_lower_bound():
    """Of these `.ci/oldest.py` makes the oldest environment."""
    oldest = runpy.run_path(str(ROOT / ".ci" / "oldest.py"))["oldest"](list(PROJECT["optional-dependencies"]))
    named = {name for _, name, _ in LICENCES["dependencies"]()}
    assert {line.split("==")[0] for line in oldest} == named
    assert "numpy==2.0" in oldest and "pyright==1.1.400" in oldest


def test_licences():
    """Each package that is named is on the page with the versions asked; the required ones are permissive."""
    rows = [
        line.strip("| ").split(" | ") for line in LICENCES["PAGE"].read_text().splitlines() if "| " in line
    ]
    table = [tuple(row) for row in rows if row[0] not in ("needed for", "---")]
    assert [row[:3] for row in table] == list(LICENCES["dependencies"]())
    for group, name, _, licence in table:
        assert "not said" not in licence and "not installed" not in licence, name
        if group == "(required)":
            assert re.search("MIT|BSD|Apache|Python Software Foundation", licence), name
            assert "GPL" not in licence
    assert LICENCES["licence"]("numpy").startswith("BSD")
    assert LICENCES["licence"]("no-such-package").startswith("not installed")


@pytest.mark.slow
def test_what_wheel_and_sdist_contain(tmp_path):
    backend = PYPROJECT["build-system"]["requires"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tmp_path / "backend"), *backend]
    subprocess.run(pip, check=True)
    path = {**os.environ, "PYTHONPATH": str(tmp_path / "backend")}
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(tmp_path / "dist")]
    subprocess.run(build, check=True, cwd=ROOT, env=path, stdout=subprocess.DEVNULL)
    (wheel,), (sdist,) = ((tmp_path / "dist").glob(f"*{end}") for end in (".whl", ".tar.gz"))
    with tarfile.open(sdist) as packed, zipfile.ZipFile(wheel) as zipped:
        listed = {name.partition("/")[2] for name in packed.getnames()}
        inside = set(zipped.namelist())
    kept = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    source = {f.removeprefix("src/") for f in kept if f.startswith("src/")}
    assert source <= inside
    assert all(f.startswith("markov_entanglement") for f in inside)
    assert {"markov_entanglement/py.typed", "markov_entanglement/__init__.pyi"} <= inside
    assert {f for f in inside if "/templates/" in f} and {f for f in inside if "licenses/LICENSE" in f}
    assert set(kept) <= listed
    for name in inside | listed:
        assert not re.search(r"__pycache__|\.pyc$|\.nb[ic]$|\.venv|\.hypothesis|_cache/", name), name
