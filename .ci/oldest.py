"""The oldest versions that pyproject.toml allows, as constraints for pip: its lower bounds, so that they cannot drift.

python .ci/oldest.py [extra ...] > constraints.txt
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


def oldest(extras: list[str]) -> list[str]:
    """`name==lower bound` of every direct dependency, and of those of these extras."""
    asked = list(PROJECT["dependencies"])
    for extra in extras:
        asked += PROJECT["optional-dependencies"][extra]
    found = [re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)", line) for line in asked]
    return sorted({f"{m[1]}=={m[2]}" for m in found if m and m[1] != PROJECT["name"]})


if __name__ == "__main__":
    print("\n".join(oldest(sys.argv[1:])))
