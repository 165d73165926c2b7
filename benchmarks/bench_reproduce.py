"""Time to redraw the paper's figures: cold (empty compilation cache), warm (new process), per figure, and quick.

Run: `python benchmarks/bench_reproduce.py [--quick]`. Prints wall and processor seconds; on a shared machine the
processor seconds are the steadier guide, and half of them is a lower bound of the wall time on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CODE = """
import json, sys, time
out, quick = sys.argv[1], sys.argv[2] == "quick"
wall, cpu = time.perf_counter(), time.process_time()
from markov_entanglement.studies.reproduce import reproduce
times = {"import": (time.perf_counter() - wall, time.process_time() - cpu)}
def saved(path):
    if path.suffix in (".csv", ".html"):
        times[path.name] = (time.perf_counter() - wall, time.process_time() - cpu)
reproduce(out=out, quick=quick, saved=saved)
print(json.dumps(times))
"""


def run(cache: str | None, quick: bool) -> dict[str, tuple[float, float]]:
    """Seconds (wall, processor) from the start of a new process until each file, compiled code kept in `cache`."""
    environment = dict(os.environ) | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(
            [sys.executable, "-c", CODE, out, "quick" if quick else "full"],
            check=True, capture_output=True, text=True, env=environment,
        )  # fmt: skip
    times: dict[str, tuple[float, float]] = json.loads(done.stdout)
    return times


def main() -> None:
    """Cold, then warm with the same cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small settings only")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory() as cache:
        for label in ("cold", "warm"):
            print(f"{label}, {'quick' if quick else 'the paper sizes and replications'}")
            for name, (wall, cpu) in run(str(Path(cache)), quick).items():
                print(f"  {name:<14} {wall:7.1f} s wall  {cpu:7.1f} s processor")


if __name__ == "__main__":
    main()
