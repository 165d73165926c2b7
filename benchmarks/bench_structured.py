"""Rings of machines that differ, 10^3 to 10^5: `atv` of every agent by neighbour sets, `mu-atv` by runs.

Run: python benchmarks/bench_structured.py [--quick] (up to 10^4). Wall seconds, largest distance from the closed form
.95 (1 - kappa)/2, share of the intervals of alike machines that hold the value of the endless ring, peak memory.
"""

from __future__ import annotations

import itertools
import resource
import sys
import time
from functools import partial

import numpy as np

import markov_entanglement as me

REPAIR, ENDLESS = [[0, 1], [1, 0]], 0.037987


def kernels(kappa):
    """(n, own pair, pair before, next state) of the machines with these kappa (n,)."""
    up = np.ones((len(kappa), 4, 4))
    for own, before in itertools.product((0, 1), repeat=2):
        chance = 0.95 * (1.0 if own else 0.05) * (np.ones_like(kappa) if before else kappa)
        up[:, 2 * own, 2 * before : 2 * before + 2] = chance[:, None]
    return np.stack([1 - up, up], axis=3)


def ring(laws, n):
    return me.FactoredMDP(laws, [[0, 1]] * n, neighbours=[(i, (i - 1) % n) for i in range(n)], discount=0.95)


def timed(work):
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def main(sizes):
    me.entanglement(
        ring(kernels(np.full(1, 0.5)), 20).under(me.LocalPolicy([REPAIR] * 20)), "mu-atv", rng=0
    )  # compiles
    print(f"{'n':>7} {'build':>7} {'atv':>7} {'off by':>9} {'mu-atv':>7} {'hold':>6} {'width':>7} {'GB':>5}")
    for n in sizes:
        kappa = np.random.default_rng(0).random(n)
        system, build = timed(partial(ring, kernels(kappa), n))
        policy = me.LocalPolicy([REPAIR] * n)
        chain = system.under(policy)
        worst, atv = timed(partial(me.entanglement, chain, "atv"))
        alike = ring(kernels(np.full(1, 0.5)), n).under(policy)
        found, mu = timed(partial(me.entanglement, alike, "mu-atv", rng=0))
        mean = found.interval
        hold = ((mean[:, 0] <= ENDLESS) & (mean[:, 1] >= ENDLESS)).mean()
        off, width = np.abs(worst.per_agent - 0.95 * (1 - kappa) / 2).max(), np.ptp(mean, axis=1).mean()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{n:7} {build:7.2f} {atv:7.2f} {off:9.1e} {mu:7.1f} {hold:6.3f} {width:7.4f} {peak:5.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main([1000, 10_000] if "--quick" in sys.argv else [1000, 10_000, 100_000])
