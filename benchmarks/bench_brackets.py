"""How many certificates miss the exact error; run `python benchmarks/bench_brackets.py [2000]`.

Random small systems of three kinds (joint chains, bandits in counts, tasks that end), five candidates each (local TD,
the truth, the truth but for one rounding, noise, 0), brackets in three norms at four k. The argument is the number of
candidates; the exact error comes from the labelled joint chain, solved with residuals in long doubles. Fails when one
bracket misses.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import brackets

if __name__ == "__main__":
    systems = -(-int(sys.argv[1] if len(sys.argv) > 1 else 2000) // 15)
    print(f"{'kind':8} {'systems':>8} {'candidates':>11} {'brackets':>9} {'misses':>7} {'seconds':>8}")
    missed = []
    for kind in brackets.KINDS:
        clock = time.perf_counter()
        found = [brackets.hold(kind, 10_000 + seed) for seed in range(systems)]
        many, misses = sum(t.brackets for t in found), [m for t in found for m in t.misses]
        took = time.perf_counter() - clock
        print(f"{kind:8} {systems:8,} {5 * systems:11,} {many:9,} {len(misses):7,} {took:8.1f}")
        missed += misses
    print(*missed[:20], sep="\n")
    sys.exit(bool(missed))
