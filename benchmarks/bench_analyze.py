"""`analyze` whole, on large systems, and the start of the command line. Run: python benchmarks/bench_analyze.py

Each system runs in a process of its own, cold (numba cache as found) and once more; peak memory by the kernel.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import numpy as np
import scipy.sparse as sp

import markov_entanglement as me

BARS = {"a": (20.0, 1.5), "b": (60.0, 2.0), "c": (30.0, 2.0), "d": (20.0, 1.0)}
TEXT = {
    "a": "5 agents of 7 states, one active, 3 successors a local row, 84,035 pairs",
    "b": "the same with dense local rows",
    "c": "general sparse kernel, 104,976 pairs, 20 successors a row, 4 agents",
    "d": "ev-charging by Whittle's index, 10,125 joint states with the signal, blind as well",
}


def one_active(dense: bool, agents: int = 5, states: int = 7) -> tuple[me.WeaklyCoupledMDP, np.ndarray]:
    """Exactly one agent active, drawn with probabilities that depend on all states."""
    rng = np.random.default_rng(0)
    kernels = rng.random((agents, 2, states, states))
    if not dense:
        drop = rng.random(kernels.shape).argsort(axis=-1) >= 3
        kernels[drop] = 0.0
    kernels /= kernels.sum(axis=-1, keepdims=True)
    system = me.WeaklyCoupledMDP(list(kernels), list(rng.random((agents, states, 2))), discount=0.9, budget=1)
    p = rng.random((states**agents, agents))
    policy = np.zeros((states**agents, 2**agents))
    policy[:, 2 ** np.arange(agents - 1, -1, -1)] = p / p.sum(axis=1, keepdims=True)
    return system, policy


def general(per_agent: int = 9, successors: int = 20) -> tuple[me.MultiAgentMDP, np.ndarray]:
    """Random sparse joint kernel, four agents with two actions, every joint action supported."""
    rng = np.random.default_rng(0)
    n = per_agent**4
    kernels = []
    for _ in range(16):
        p = rng.random((n, successors))
        at = (np.repeat(np.arange(n), successors), rng.integers(0, n, n * successors))
        kernels.append(sp.csr_array(((p / p.sum(axis=1, keepdims=True)).ravel(), at), shape=(n, n)))
    policy = rng.random((n, 16))
    rewards = [rng.random((per_agent, 2)) for _ in range(4)]
    system = me.MultiAgentMDP(kernels, rewards, n_states=(per_agent,) * 4, n_actions=(2,) * 4, discount=0.9)
    return system, policy / policy.sum(axis=1, keepdims=True)


def work(name: str) -> None:
    """One analysis in this process; prints a JSON line."""
    subject = me.gallery.build("ev-charging", "whittle")
    made = {"c": general, "d": lambda: (subject.system, subject.policy)}
    system, policy = made[name]() if name in made else one_active(name == "b")
    begin = time.perf_counter()
    result = me.analyze(system, policy)
    page = result._repr_html_()
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(json.dumps({"seconds": seconds, "peak": peak, "pairs": result.chain.n_pairs, "page": len(page),
                      "refused": [n for n, _ in result.refused], "verdict": result.verdict}))  # fmt: skip


def wall(*command: str, runs: int = 7) -> float:
    """Median seconds of a whole process."""
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begin)
    return float(np.median(times))


def main() -> None:
    """The table."""
    print(f"{'system':<8}{'share of bar':>13}{'seconds':>9}{'bar':>6}{'GB':>7}{'bar':>6}  what")
    for name, (limit, memory) in BARS.items():
        for run in ("cold", "warm"):
            out = subprocess.run([sys.executable, __file__, name], check=True, capture_output=True, text=True)
            r = json.loads(out.stdout)
            numbers = f"{r['seconds'] / limit:>13.2f}{r['seconds']:>9.2f}{limit:>6.0f}{r['peak']:>7.2f}{memory:>6.1f}"
            print(f"{name} {run:<6}{numbers}  {TEXT[name]}; refused {r['refused']}, {r['verdict']}")
    nothing = wall(sys.executable, "-c", "pass")
    usage = wall(sys.executable, "-m", "markov_entanglement", "--help")
    print(
        f"--help is {usage / nothing:.1f} times `python -c pass` (bar 12): {usage:.3f} s against {nothing:.3f} s"
    )


if __name__ == "__main__":
    work(sys.argv[1]) if len(sys.argv) > 1 else main()
