"""Tasks that end: every bound and every bracket against the truth from raw arrays.

`python benchmarks/bench_ends.py [COUNT [FIRST]]` (default 10,000 from 0; task k has seed k): two and three agents,
chains, systems and weakly coupled ones with and without a budget, random terminal states and restart laws, rewards of
any scale and mean. Truth and local values come from tests/oracles_ends.py, which shares nothing with the package. A
violation is counted where a limit is on the wrong side by more than 1e-9 of the size of the values (certificates:
1e-12 above, nothing below).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import oracles_ends as oracle


def main() -> None:
    """Print the table."""
    given = [int(k) for k in sys.argv[1:]]
    count, first = given[0] if given else 10_000, given[1] if len(given) > 1 else 0
    runs: dict[str, int] = defaultdict(int)
    wrong: dict[str, int] = defaultdict(int)
    ratios: dict[str, list[float]] = defaultdict(list)
    for k in range(first, first + count):
        task = oracle.draw(np.random.default_rng([0, k]))
        for name, low, high, noise in oracle.claims(task):
            runs[name] += 1
            wrong[name] += high < low - noise
            if low > 1e3 * noise > 0:
                ratios[name].append(high / low)
    print(
        f"tasks {first} to {first + count - 1}\n{'claim':<46}{'runs':>8}{'wrong':>7}{'ratio: min':>12}{'median':>12}"
    )
    for name, n in runs.items():
        r = np.array(ratios[name] or [np.nan])
        print(f"{name:<46}{n:>8}{wrong[name]:>7}{r.min():>12.4g}{np.median(r):>12.4g}")
    print("bars:", "NOT MET" if any(wrong.values()) else "met")
    sys.exit(1 if any(wrong.values()) else 0)


if __name__ == "__main__":
    main()
