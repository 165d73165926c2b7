"""Restless bandits: counts against per-arm simulators, all in this process, ratios first.

Run: python benchmarks/bench_bandits.py [--quick]. Times are medians of several rounds that alternate between
the contenders: processor seconds where all run on one thread (a busy machine disturbs them least), wall
seconds for threads and whole jobs. The two per-arm simulators are written here as a user would write them:
plain numpy, and the same loop compiled by numba.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time

import numpy as np
from numba import njit

from markov_entanglement.bandits.arms import Arms, arm_totals
from markov_entanglement.bandits.counts import CountEngine
from markov_entanglement.bandits.error_estimate import estimate_error
from markov_entanglement.bandits.estimate import estimate_entanglement
from markov_entanglement.bandits.paper_error import paper_error
from markov_entanglement.model.bandit import RestlessBandit
from markov_entanglement.model.policy import IndexPolicy

P0 = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
KERNEL = np.stack([P0, P0.T])
PRIORITY = np.array([1.0, 2.0, 3.0, 0.0])
ORDER = IndexPolicy(PRIORITY)


def circulant(n, discount=0.5):
    return RestlessBandit(KERNEL, [-1, 0, 0, 1], n_arms=n, budget=n // 5, discount=discount)


def numpy_arms(tails, priority, budget, rng, states, steps):
    """Plain numpy per arm: serve the `budget` arms of highest priority, draw every next state."""
    n = len(states)
    arms = np.arange(n)
    shared = tails.ndim == 3
    for _ in range(steps):
        now = priority[states] if shared else priority[arms, states]
        active = np.zeros(n, dtype=np.int64)
        active[np.argpartition(-now, budget - 1)[:budget]] = 1
        rows = tails[active, states] if shared else tails[arms, active, states]
        states = (rng.random(n)[:, None] >= rows).sum(axis=1)
    return states


@njit(nogil=True)
def numba_arms(tails, rank, budget, rng, states, steps):
    """The same, compiled: arms of a bandit by class sizes, first come first served in the marginal class."""
    n, classes = len(states), rank.max() + 1
    size = np.zeros(classes, np.int64)
    for _ in range(steps):
        size[:] = 0
        for i in range(n):
            size[rank[states[i]]] += 1
        left, edge = budget, 0
        while left > size[edge]:
            left -= size[edge]
            edge += 1
        remaining = size[edge]
        for i in range(n):
            r = rank[states[i]]
            a = 1 if r < edge else 0
            if r == edge:
                if rng.random() * remaining < left:
                    a = 1
                    left -= 1
                remaining -= 1
            u = rng.random()
            s = 0
            while s < tails.shape[2] and u >= tails[a, states[i], s]:
                s += 1
            states[i] = s


def alternate(contenders, rounds, clock):
    """Median seconds of each contender over alternating rounds, after one that compiles and warms up."""
    times = {name: [] for name in contenders}
    for k in range(rounds + 1):
        for name, f in contenders.items():
            begin = clock()
            f()
            if k > 0:
                times[name].append(clock() - begin)
    return {name: statistics.median(t) for name, t in times.items()}


def count_contenders(n, steps, per_arm):
    engine, tails = CountEngine.of(circulant(n), ORDER), np.cumsum(KERNEL, axis=2)[..., :-1].copy()
    start, rank, budget = engine.start(), ORDER.ranks(1)[0].copy(), n // 5

    def rng():
        return np.random.default_rng(0)

    out = {
        "counts": lambda: engine.run(start, steps, rng()),
        "flows": lambda: engine.run(start, steps, rng(), flows="total"),
    }
    if n <= 10**6:
        states = np.repeat(np.arange(4), n // 4)
        out["numpy"] = lambda: numpy_arms(tails, PRIORITY, budget, rng(), states, per_arm)
        out["numba"] = lambda: numba_arms(tails, rank, budget, rng(), states.copy(), per_arm)
    return out


def steps_table(rounds):
    print("microseconds a step, circulant, index policy (ratio = per-arm time / counts)")
    print(
        f"{'N':>14} {'numpy/counts':>13} {'numba/counts':>13} {'counts':>8} {'+flows':>8} {'numpy':>9} {'numba':>9}"
    )
    steps = 20_000
    for n in (300, 1800, 10**5, 10**6, 10**9):
        per_arm = max(1, min(2000, 3 * 10**6 // n))
        t = alternate(count_contenders(n, steps, per_arm), rounds, time.process_time)
        t = {k: v / (steps if k in ("counts", "flows") else per_arm) * 1e6 for k, v in t.items()}
        ratio = [f"{t[k] / t['counts']:13.1f}" if k in t else f"{'-':>13}" for k in ("numpy", "numba")]
        plain = [f"{t[k]:9.1f}" if k in t else f"{'-':>9}" for k in ("numpy", "numba")]
        print(f"{n:>14,} {ratio[0]} {ratio[1]} {t['counts']:8.2f} {t['flows']:8.2f} {plain[0]} {plain[1]}")


def arms_table(n, rounds):
    rng = np.random.default_rng(0)
    kernels = rng.dirichlet(np.ones(4), size=(n, 2, 4))
    priority = rng.random((n, 4))
    arms = Arms(kernels, rng.random((n, 4, 2)), priority, budget=n // 5)
    tails = np.cumsum(kernels, axis=3)[..., :-1].copy()
    del kernels
    states = rng.integers(0, 4, n)
    steps = {"numpy": 3, "engine, one thread": 30, "engine, two threads": 30}
    contenders = {
        "numpy": lambda: numpy_arms(tails, priority, n // 5, np.random.default_rng(0), states, 3),
        "engine, one thread": lambda: arm_totals(arms, 30, rng=0, start=states, workers=1),
        "engine, two threads": lambda: arm_totals(arms, 30, rng=0, start=states, workers=2),
    }
    print(
        f"\nper-arm engine, {n:,} arms that all differ (engine: with rewards and visit counts; numpy: without)"
    )
    for clock, word in ((time.process_time, "processor"), (time.perf_counter, "wall")):
        t = alternate(contenders, rounds, clock)
        rate = {k: steps[k] * n / t[k] for k in contenders if word == "wall" or not k.endswith("two threads")}
        for k in rate:
            print(
                f"{rate[k] / rate['numpy']:6.1f} x numpy {rate[k] / 1e6:8.1f} million arm-steps a {word} second  {k}"
            )


def jobs_table(quick):
    print("\nwhole jobs, wall seconds (kernels are compiled by now)")
    n, recipe = (10**5, 300) if quick else (10**6, 1800)
    one, many, huge = circulant(n), circulant(1800), circulant(10**9)
    paper = {"rng": 0, "start": [recipe // 6, recipe // 3, recipe // 2, 0]}
    jobs = {
        f"E, T = 5N at N = {n:,}, batch means": lambda: estimate_entanglement(
            one, ORDER, rng=0, replications=1, steps=5 * n),
        "E at N = 10^9, 10 replications": lambda: estimate_entanglement(huge, ORDER, rng=0),
        f"E at N = {recipe} by App. K.1": lambda: estimate_entanglement(circulant(recipe), ORDER, **paper),
        "error at N = 1800, 4,000 starts": lambda: estimate_error(many, ORDER, rng=0),
        "error at N = 10^9, 4,000 starts": lambda: estimate_error(huge, ORDER, rng=0),
        f"error at N = {recipe} by App. K.2": lambda: paper_error(circulant(recipe), ORDER, **paper),
    }  # fmt: skip
    for name, job in jobs.items():
        begin, work = time.perf_counter(), time.process_time()
        job()
        wall, work = time.perf_counter() - begin, time.process_time() - work
        print(f"{wall:8.2f}  ({work:6.2f} processor)   {name}")
    print(
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2:8.2f}   GiB, peak memory of this process"
    )


if __name__ == "__main__":
    quick = "--quick" in sys.argv[1:]
    steps_table(3 if quick else 5)
    arms_table(10**5 if quick else 10**6, 3 if quick else 5)
    jobs_table(quick)
