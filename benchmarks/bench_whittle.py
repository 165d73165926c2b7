"""Whittle indices: one batch of small arms, single large arms, and markovianbandit-pkg in its own process.

Run: `python benchmarks/bench_whittle.py [--peer PYTHON]`, PYTHON an interpreter with markovianbandit-pkg.
Prints medians over repeats; the peer reads the same arms from a file and is timed in the same minute.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from markov_entanglement.bandits.whittle import whittle_index

PEER = """
import json, statistics, sys, time
import numpy as np
import markovianbandit as bandit
data = np.load(sys.argv[1])
out = {}
for key in sorted(data.files):
    if not key.startswith("k"):
        continue
    kernels, rewards = data[key], data["r" + key[1:]]
    repeats, index = [], None
    for _ in range(5 if kernels.shape[-1] < 1000 else 3):
        start = time.perf_counter()
        index = [bandit.restless_bandit_from_P0P1_R0R1(k[0], k[1], r[:, 0], r[:, 1])
                 .whittle_indices(discount=0.9) for k, r in zip(kernels, rewards)]
        repeats.append((time.perf_counter() - start) / len(kernels))
    out[key[1:]] = {"seconds": statistics.median(repeats), "index": [[float(v) for v in i] for i in index]}
print(json.dumps(out))
"""


def arms(states: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """`count` random arms with full kernels."""
    rng = np.random.default_rng(states)
    return rng.dirichlet(np.ones(states), (count, 2, states)), rng.random((count, states, 2))


def median_seconds(kernels: np.ndarray, rewards: np.ndarray, repeats: int) -> float:
    """Median time of one call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        whittle_index(kernels, rewards, discount=0.9)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peer(python: str, sets: dict[int, tuple[np.ndarray, np.ndarray]]) -> dict[str, dict[str, object]]:
    """The peer's seconds per arm and indices, from its own process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arms.npz"
        np.savez(
            file, **{f"{name}{n}": a for n, pair in sets.items() for name, a in zip("kr", pair, strict=True)}
        )
        done = subprocess.run([python, "-c", PEER, str(file)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="interpreter that has markovianbandit-pkg")
    options = parser.parse_args()
    start = time.perf_counter()
    whittle_index(*arms(4, 1), discount=0.9)
    print(f"first call (compiled or loaded from cache): {time.perf_counter() - start:.2f} s")
    batch = arms(4, 100_000)
    print(f"4 states, batch of 100,000: {100_000 / median_seconds(*batch, 5):,.0f} arms/s")
    sets = {4: arms(4, 200), 100: arms(100, 3), 1000: arms(1000, 1)}
    ours = {n: median_seconds(k[:1], r[:1], 5) for n, (k, r) in sets.items()}
    theirs = peer(options.peer, sets) if options.peer else {}
    for n, (k, r) in sets.items():
        line = f"{n} states, one arm: {ours[n] * 1e3:.3g} ms"
        if theirs:
            other = theirs[str(n)]
            gap = np.nanmax(np.abs(np.atleast_2d(whittle_index(k, r, discount=0.9).index) - other["index"]))
            line += f"; markovianbandit {other['seconds'] * 1e3:.3g} ms an arm; largest difference {gap:.1e}"
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
