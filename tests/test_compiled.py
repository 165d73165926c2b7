"""Compiled kernels whose cache has no place, is damaged, or cannot be written."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

from markov_entanglement import _compiled as compiled_module

ROOM = """
import sys
from markov_entanglement._compiled import compiled

@compiled
def double(x):
    return 2.0 * x

@compiled(fastmath=True)
def half(x):
    return 0.5 * x

print(double(21.0), half(84.0))
"""


def ran(file: Path, **environment: str) -> str:
    here = os.environ | environment
    done = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, check=False, env=here, timeout=300
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return done.stdout.strip()


def test_a_damaged_cache_stops_nobody(tmp_path: Path) -> None:
    file, cache = tmp_path / "room.py", tmp_path / "cache"
    file.write_text(ROOM)
    here = {"NUMBA_CACHE_DIR": str(cache)}
    assert ran(file, **here) == "42.0 42.0"
    kept = sorted(cache.rglob("*.nb?"))
    assert {f.suffix for f in kept} == {".nbi", ".nbc"}
    for spoil in (b"", b"\x80", b"no pickle at all", kept[0].read_bytes()[:40]):
        for f in kept:
            f.write_bytes(spoil)
        assert ran(file, **here) == "42.0 42.0"
    assert ran(file, **here) == "42.0 42.0"  # mended, not only survived
    assert all(f.stat().st_size > 40 for f in kept if f.exists())


def test_a_cache_that_is_no_folder_stops_nobody(tmp_path: Path) -> None:
    file = tmp_path / "room.py"
    file.write_text(ROOM)
    (tmp_path / "taken").write_text("a file")
    assert ran(file, NUMBA_CACHE_DIR=str(tmp_path / "taken")) == "42.0 42.0"


def test_every_kernel_is_compiled_in_one_way() -> None:
    """So that all of them survive a cache that fails."""
    package = Path(compiled_module.__file__).parent
    found = {f.name for f in package.rglob("*.py") if "njit" in f.read_text()}
    assert found == {"_compiled.py"}


def _slices(target: ast.expr) -> bool:
    """Whether it names a part of an array by a slice."""
    at = target.slice if isinstance(target, ast.Subscript) else None
    return any(isinstance(one, ast.Slice) for one in (at.elts if isinstance(at, ast.Tuple) else [at]))


def test_no_kernel_copies_slices() -> None:
    """Numba compiles all that formats a message on shapes for it, seconds that a new user waits; loops take none."""
    package, found = Path(compiled_module.__file__).parent, []
    for f in package.rglob("*.py"):
        if "@compiled" not in f.read_text():
            continue
        for kernel in ast.walk(ast.parse(f.read_text())):
            if isinstance(kernel, ast.FunctionDef) and any(
                "compiled" in ast.unparse(d) for d in kernel.decorator_list
            ):
                found += [
                    f"{f.name}: {ast.unparse(line)}"
                    for line in ast.walk(kernel)
                    if isinstance(line, ast.Assign)
                    and any(map(_slices, line.targets))
                    and isinstance(line.value, ast.Subscript)
                ]
    assert not found


def test_no_place_for_a_cache(tmp_path: Path) -> None:
    """A folder that cannot be written to and no home, as of service accounts; not as root, who may write anywhere."""
    script = (
        "import numba.core.caching as c\n"
        "c.CacheImpl._locator_classes = []\n"
        "import runpy; runpy.run_path('room.py')\n"
    )
    (tmp_path / "room.py").write_text(ROOM)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.stdout.strip() == "42.0 42.0", done.stderr
