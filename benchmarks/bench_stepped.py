"""Whatever is stepped: a thousand different arms from system to verdict, certificates, and how often intervals hold.

Run: python benchmarks/bench_stepped.py [scale | certificate | coverage] [--quick]. `scale` measures 1,000 and 10,000
different two-state arms (wall seconds, peak memory, width of the interval); `certificate` the circulant bandit at
N = 1,800; `coverage` how many of R seeds contain the exact value, in easy and in hard cases, and how often a verdict
goes against the exact chain.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

import markov_entanglement as me
from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD
from markov_entanglement.runs.agents import AgentRuns

GAMMA = 0.95


def patients(n, seed, budget, slow=None):
    """Two-state arms, each with its own chances to recover p, to relapse g, and effect tau; Whittle in closed form."""
    rng = np.random.default_rng(seed)
    low, high = (0.02, 0.5) if slow is None else slow
    p, g = rng.uniform(low, high, (2, n))
    tau = rng.uniform(0.0, 1.0, n) * (1.0 - p) if slow is None else rng.uniform(0.0, 2 * low, n)
    kernels = [
        [[[1 - a, a], [b, 1 - b]], [[1 - a - c, a + c], [b, 1 - b]]]
        for a, b, c in zip(p, g, tau, strict=True)
    ]
    index = np.stack([GAMMA * tau / (1 - GAMMA * (1 - p - g)), np.zeros(n)], axis=1)
    return me.WeaklyCoupledMDP(kernels, [[0.0, 1.0]] * n, discount=GAMMA, budget=budget), me.IndexPolicy(
        list(index)
    )


def scale(quick):
    me.analyze(*patients(80, 0, 8))  # compiled
    for n in (1_000,) if quick else (1_000, 10_000):
        start, work = time.perf_counter(), time.process_time()
        a = me.analyze(*patients(n, 0, n // 10))
        seconds, work = time.perf_counter() - start, time.process_time() - work
        e, (low, high) = a.decomposition, a.decomposition.error_l2_interval
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{n:,} arms: {seconds:.1f} s ({work:.1f} processor seconds), {peak:.2f} GiB; {a.verdict}, unexplained "
              f"{e.unexplained_interval}, L2 error in [{low:.4g}, {high:.4g}], "
              f"{100 * (high - low) / e.error_l2:.1f} % wide, "
            f"{len(a.entanglements['policy'].per_agent):,} agents measured")  # fmt: skip


def certificate(quick):
    bandit = me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=1800, budget=360, discount=0.5)
    served, p = np.array([0.0, 0.0, 4 / 7, 0.0]), np.zeros((8, 8))
    for s in range(4):
        for a, law in enumerate((PASSIVE, ACTIVE)):
            p[2 * s + a, 0::2], p[2 * s + a, 1::2] = (
                np.array(law)[s] * (1 - served),
                np.array(law)[s] * served,
            )
    q = np.linalg.solve(np.eye(8) - 0.5 * p, np.repeat(REWARD, 2))
    me.certify([q], bandit, me.IndexPolicy(PRIORITY), steps=(16,), starts=400, rng=0)
    start = time.perf_counter()
    found = me.certify(
        [q], bandit, me.IndexPolicy(PRIORITY), steps=(16,), starts=2_000 if quick else 20_000, rng=0
    )
    seconds, (low, high) = time.perf_counter() - start, found.l2[16]
    print(f"certificate of exact Q_i, N = 1,800, k = 16: L2 in [{low:.4f}, {high:.4f}] (1.560), "
          f"{100 * (high - low) / 1.56:.1f} % wide, {seconds:.1f} s; "
          f"variance ratio {found.variance_ratio[16]:,.0f}")  # fmt: skip


def coverage(quick):
    rng = np.random.default_rng(2)
    six = [rng.dirichlet(np.ones(3), size=(2, 3)) for _ in range(6)]
    tied = me.WeaklyCoupledMDP(six, [rng.normal(size=(3, 2)) for _ in range(6)], discount=0.9, budget=2)
    order = me.IndexPolicy([rng.permutation(3) * 1.0 for _ in range(6)])
    cases = {
        "8 different arms": (patients(8, 3, 2), 1000),
        "6 arms of 3 states, ties": ((tied, order), 1000),
        "8 arms that leave a state with .001 to .002": (patients(8, 0, 2, slow=(0.001, 0.002)), 200),
        "8 arms, budget for 6": (patients(8, 7, 6), 400),
    }
    for name, ((system, policy), reps) in cases.items():
        reps = reps // 20 if quick else reps
        chain = system.under(policy)
        exact, each = me.value_decomposition(chain), me.entanglement(chain, "policy").per_agent
        truth = {"error_l2": exact.error("l2"), "error_mu": exact.error("mu"), "unexplained": exact.unexplained,
                 "relative_error": exact.relative_error}  # fmt: skip
        runs = AgentRuns(system, system.bind(policy))
        held, hit, none, wrong, cannot = dict.fromkeys(truth, 0), np.zeros(len(each)), 0, 0, 0
        for seed in range(reps):
            e = runs.errors(seed)
            limits = {k: getattr(e, f"{k}_interval") for k in truth}
            for k, (low, high) in limits.items():
                held[k] += low <= truth[k] <= high
            low, high = limits["unexplained"]
            none += high == low
            wrong += high < 0.05 < truth["unexplained"] or low > 0.05 > truth["unexplained"]
            cannot += bool(e.caution)
            x = runs.entanglement("policy", 10**6 + seed).interval
            hit += (x[:, 0] <= each) & (each <= x[:, 1])
        shares = ", ".join(f"{k} {100 * v / reps:.1f} %" for k, v in held.items())
        print(f"{name}, {reps} seeds: {shares}; E_i {100 * hit.mean() / reps:.1f} % "
              f"(least {100 * hit.min() / reps:.1f} %); "
              f"width 0: {none}, against the exact verdict: {wrong}, says too short: {cannot}", flush=True)  # fmt: skip


if __name__ == "__main__":
    asked = [a for a in sys.argv[1:] if a != "--quick"] or ["scale", "certificate", "coverage"]
    for part in asked:
        {"scale": scale, "certificate": certificate, "coverage": coverage}[part]("--quick" in sys.argv)
