"""Weighted L1 median and minimax centre against cvxpy + Clarabel, both sides in one run.

Run: `python benchmarks/bench_measures.py [--quick]`; `--quick` leaves out the sizes at which cvxpy needs minutes.
Ratios come first (how many times faster the public call is), then the bar, then times and gaps. The gap of
a median is recomputed by the checker of the tests, that of a centre is the certified one; `differs` is their value
minus ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
from _timing import Paired, paired, seconds

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import markov_entanglement as me
import oracles
from markov_entanglement.laws.rows import Rows
from markov_entanglement.laws.source import Source, Unit
from markov_entanglement.measures.centre import grouped_minimax_centres, minimax_centre
from markov_entanglement.measures.median import grouped_l1_medians, weighted_l1_median

COLD = """
import time, numpy as np
from markov_entanglement.measures.centre import minimax_centre
from markov_entanglement.measures.median import weighted_l1_median
start = time.perf_counter()
weighted_l1_median(np.eye(3))
middle = time.perf_counter()
minimax_centre(np.eye(3))
print(f"{middle - start:.2f} s median, {time.perf_counter() - middle:.2f} s centre")
"""


def cvxpy_median(laws: np.ndarray, weights: np.ndarray) -> float:
    """One solve as a user pays it."""
    K, n = laws.shape
    q = cp.Variable(n, nonneg=True)
    rows = np.ones((K, 1)) @ cp.reshape(q, (1, n), order="C")
    objective = 0.5 * (weights @ cp.sum(cp.abs(laws - rows), axis=1))
    return float(cp.Problem(cp.Minimize(objective), [cp.sum(q) == 1]).solve(solver=cp.CLARABEL))


def cvxpy_centre(laws: np.ndarray) -> float:
    """One solve as a user pays it, in epigraph form."""
    K, n = laws.shape
    q, t = cp.Variable(n, nonneg=True), cp.Variable()
    rows = np.ones((K, 1)) @ cp.reshape(q, (1, n), order="C")
    below = 0.5 * cp.sum(cp.abs(laws - rows), axis=1) <= t
    return float(cp.Problem(cp.Minimize(t), [cp.sum(q) == 1, below]).solve(solver=cp.CLARABEL))


def line(name: str, times: Paired, bar: float | None, gap: float, differs: float) -> None:
    """One row of the table."""
    print(f"{name:<34}{times.ratio:>10.0f}{'-' if bar is None else f'{bar:.0f}':>8}{1e3 * times.ours:>12.3f}"
          f"{1e3 * times.theirs:>12.1f}{gap:>10.1e}{differs:>10.1e}", flush=True)  # fmt: skip


def problem(K: int, n: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Random laws and weights."""
    rng = np.random.default_rng(K + n)
    weights = rng.random((*shape, K))
    return rng.dirichlet(np.ones(n), (*shape, K)), weights / weights.sum(axis=-1, keepdims=True)


def medians(quick: bool) -> None:
    """Single problems, then a batch whose cvxpy time is extrapolated from a few blocks."""
    for K, n, repeats in ((50, 4, 15), (500, 8, 7), (5000, 8, 3), (5000, 64, 1)):
        if quick and K * n > 50_000:
            continue
        laws, weights = problem(K, n)
        q, value = weighted_l1_median(laws, weights)
        theirs: list[float] = []
        times = paired(
            lambda p=laws, w=weights: weighted_l1_median(p, w),
            lambda p=laws, w=weights, out=theirs: out.append(cvxpy_median(p, w)),
            repeats,
            inner=15,
        )
        gap = oracles.median_gap(laws, weights, q)
        line(f"median ({K}, {n})", times, 100, gap, theirs[-1] - value)
    blocks, sample = 10_000, 10
    laws, weights = problem(50, 4, blocks)
    q, value = weighted_l1_median(laws, weights)

    def some() -> None:
        theirs[:] = [cvxpy_median(laws[b], weights[b]) for b in range(sample)]

    times = paired(lambda: weighted_l1_median(laws, weights), some, 3, inner=5, share=sample / blocks)
    gap = max(oracles.median_gap(laws[b], weights[b], q[b]) for b in range(blocks))
    differs = float(np.abs(np.array(theirs) - value[:sample]).max())
    line(f"median, {blocks} blocks of (50, 4)", times, 1000, gap, differs)


def centres(quick: bool) -> None:
    """Minimax centres."""
    for K, n, bar, repeats in ((50, 4, None, 9), (500, 8, 12, 7), (5000, 8, 40, 3), (5000, 64, None, 1)):
        if quick and K * n > 50_000:
            continue
        laws, _ = problem(K, n)
        _, value, gap = grouped_minimax_centres(laws, np.array([0, K]))
        theirs: list[float] = []
        times = paired(
            lambda p=laws: minimax_centre(p),
            lambda p=laws, out=theirs: out.append(cvxpy_centre(p)),
            repeats,
            inner=9,
        )
        line(f"centre ({K}, {n})", times, bar, gap[0], theirs[-1] - value[0])


def alone() -> None:
    """What has no counterpart: groups by threads, one long group, the first call without a cache."""
    laws, weights = problem(50, 4, 10_000)
    rows, flat, starts = laws.reshape(-1, 4), weights.ravel(), np.arange(0, 500_001, 50)
    for name, p in (("(50, 4)", rows), ("(50, 2)", np.column_stack([rows[:, 0], 1 - rows[:, 0]]))):
        for threads in (1, 2):

            def call(p: Any = p, threads: int = threads) -> None:
                grouped_l1_medians(p, flat, starts, threads=threads)

            call()
            best = sorted(seconds(call) for _ in range(9))[4]
            print(f"10,000 groups of {name}, {threads} thread(s): {1e3 * best:.1f} ms")
    long, w = problem(100_000, 20)
    one = np.array([0, len(w)])
    best = sorted(seconds(lambda: grouped_l1_medians(long, w, one)) for _ in range(5))[2]
    print(f"one group of (100000, 20): {1e3 * best:.1f} ms")
    rows = np.random.default_rng(0).dirichlet(np.ones(4), 20_000)
    best = seconds(lambda: grouped_minimax_centres(rows, np.arange(0, 20_001, 20)))
    print(f"1,000 centres of (20, 4): {1e3 * best:.0f} ms")
    with tempfile.TemporaryDirectory() as cache:
        for word in ("without a cache", "from the cache"):
            out = subprocess.run(
                [sys.executable, "-c", COLD],
                env={**os.environ, "NUMBA_CACHE_DIR": cache},
                capture_output=True,
                text=True,
                check=True,
            )
            print(f"first call {word}: {out.stdout.strip()}")


class Crowd(Source):
    """Many units of four local pairs, two rows a pair, in one block; nothing else is known of them."""

    discount = None

    def __init__(self, n: int) -> None:
        rng = np.random.default_rng(0)
        self._units, self._n = tuple(Unit(str(u), 4) for u in range(n)), n
        self._key, self._law = np.repeat(np.arange(4 * n), 2), rng.dirichlet(np.ones(4), 8 * n)
        self._weight = rng.dirichlet(np.ones(8), n).ravel()

    @property
    def units(self) -> tuple[Unit, ...]:
        return self._units

    def summary(self) -> dict[str, Any]:
        return {"agents": self._n}

    def rows(self, u: int, kind: Any = "pair") -> Rows:
        at = slice(8 * u, 8 * u + 8)
        return Rows(self._key[at] - 4 * u, self._weight[at], self._law[at], 4)

    def blocks(self, kind: Any = "pair", *, weighted: bool = True) -> Any:
        yield range(self._n), Rows(self._key, self._weight, self._law, 4 * self._n)


def crowd(n: int = 100_000) -> None:
    """One call for all units."""
    source = Crowd(n)
    for distance, bar in (("mu-atv", 2), ("atv", 2), ("spectral", 5)):
        me.entanglement(Crowd(10), distance)
        begin = time.perf_counter()
        found = me.entanglement(source, distance)
        spent = time.perf_counter() - begin
        print(f"{n:,} units, {distance}: {spent:.2f} s (bar {bar} s), total {found.total:.6f}")


def main() -> None:
    """Print the table."""
    quick = "--quick" in sys.argv[1:]
    heads = ("", "ratio", "bar", "ours/ms", "cvxpy/ms", "gap", "differs")
    print("{:<34}{:>10}{:>8}{:>12}{:>12}{:>10}{:>10}".format(*heads))
    medians(quick)
    centres(quick)
    alone()
    crowd()


if __name__ == "__main__":
    main()
