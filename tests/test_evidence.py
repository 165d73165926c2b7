"""A share of the evidence of `benchmarks/`, with the bars that it has there: run with `pytest -m slow`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "count"), [("bench_separability.py", "1200"), ("bench_certificates.py", "1200")]
)
def test_bars_on_random_systems(script: str, count: str) -> None:
    """No wrong verdict, every certificate recomputed, every limit on its side of the truth."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script), count], capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "bars: met" in done.stdout
