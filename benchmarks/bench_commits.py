"""Two source trees side by side: `python benchmarks/bench_commits.py BEFORE/src AFTER/src [words of tasks]`.

Each tree has a process of its own; both run every task alternately, warm, and the table shows processor seconds:
the median ratio after / before of neighbouring runs first. Bar: at most 1.10. Tasks speak public names only.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BAR, MARK = 1.10, "took: "


def _budgeted(agents: int, states: int) -> Callable[[], Any]:
    """Arms of which one is served, as a joint chain."""
    import markov_entanglement as me

    rng = np.random.default_rng(0)
    kernels = [rng.dirichlet(np.ones(states), size=(2, states)) for _ in range(agents)]
    system = me.WeaklyCoupledMDP(kernels, [np.arange(states)] * agents, discount=0.9, budget=1)
    policy = me.IndexPolicy([rng.random(states) for _ in range(agents)])
    return lambda: system.under(policy)


def _given(sizes: tuple[int, ...]) -> Callable[[], Any]:
    """A dense random chain."""
    import markov_entanglement as me

    n = int(np.prod(sizes))
    p = np.random.default_rng(1).dirichlet(np.ones(n), size=n)
    rewards = [np.random.default_rng(2).random(m) for m in sizes]
    return lambda: me.JointChain(p, sizes, rewards=rewards, discount=0.9).under()


def _arms(n: int) -> Callable[[], Any]:
    import markov_entanglement as me

    subject = me.gallery.build("circulant-bandit", n_arms=n)
    return lambda: subject.system.under(subject.policy)


def tasks() -> dict[str, Callable[[], Any]]:
    """What is timed; each makes a fresh chain, so nothing is remembered."""
    import markov_entanglement as me

    joint, given, wide, arms, crowd = (
        _budgeted(4, 4), _given((6, 6)), _budgeted(3, 9), _arms(20), _arms(10**6),
    )  # fmt: skip
    rng = np.random.default_rng(3)
    types = me.RestlessBandit(
        rng.dirichlet(np.ones(10), size=(200, 2, 10)), rng.random((200, 10, 2)), n_arms=[2] * 200, budget=9,
        discount=0.9,
    )  # fmt: skip
    out: dict[str, Callable[[], Any]] = {
        "joint: stationary law": lambda: joint().occupancy,
        "joint: stationary law, wide": lambda: wide().occupancy,
        "joint: mu-atv": lambda: me.entanglement(wide(), "mu-atv"),
        "joint: spectral": lambda: me.entanglement(wide(), "spectral"),
        "joint: values": lambda: me.value_decomposition(wide(), discount=0.9),
        "joint: analysis": lambda: me.analyze(joint(), discount=0.9),
        "joint: additive values": lambda: me.additive_values(joint(), discount=0.9),
        "joint: tv": lambda: me.entanglement(given(), "tv"),
        "joint: separability": lambda: me.separability(given()),
        "counts 20: occupancy": lambda: (
            arms().exact.occupancy if hasattr(arms(), "exact") else arms().occupancy
        ),
        "counts 20: mu-atv": lambda: me.entanglement(arms(), "mu-atv"),
        "counts 20: values": lambda: me.value_decomposition(arms(), discount=0.9),
        "counts 40: values": lambda big=_arms(40): me.value_decomposition(big(), discount=0.9),
        "arms 10^6: policy": lambda: me.entanglement(crowd(), "policy", rng=0),
        "arms 10^6: mean field": lambda: me.mean_field(crowd().bandit, crowd().policy),
        "Whittle, 200 types": lambda: me.whittle_index(types),
        "LP priority, 200 types": lambda: me.lp_priority(types),
    }
    return out


def work() -> None:
    """Answers task names on standard input with seconds."""
    todo = tasks()
    for line in sys.stdin:
        name = line.strip()
        try:
            start = time.process_time()
            todo[name]()
            print(MARK + json.dumps(time.process_time() - start), flush=True)
        except Exception as e:
            print(MARK + json.dumps(f"{type(e).__name__}: {e}"), flush=True)


def main(before: str, after: str, words: list[str]) -> bool:
    """Print the table; True when every ratio is within the bar."""
    sides = [
        subprocess.Popen([sys.executable, __file__], env=os.environ | {"PYTHONPATH": path, "BENCH_SIDE": "1"},
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for path in (before, after)
    ]  # fmt: skip

    def ask(side: int, name: str) -> float | str:
        pipe = sides[side]
        assert pipe.stdin is not None and pipe.stdout is not None
        print(name, file=pipe.stdin, flush=True)
        for line in pipe.stdout:
            if line.startswith(MARK):  # solvers may print lines of their own
                return json.loads(line.removeprefix(MARK))
        raise RuntimeError(f"the process of side {side} ended")

    met = True
    print(f"{'task':<30}{'after/before':>13}{'before ms':>11}{'after ms':>10}")
    for name in tasks():
        if words and not any(w in name for w in words):
            continue
        first = [ask(side, name) for side in (0, 1)]
        if any(isinstance(f, str) for f in first):
            print(f"{name:<30} {first}")
            met = False
            continue
        runs = int(np.clip(3.0 / max(first), 5, 41))  # type: ignore[type-var]
        pairs = [(ask(0, name), ask(1, name)) for _ in range(runs)]
        ratio = statistics.median(b / a for a, b in pairs)  # type: ignore[operator]
        met &= ratio <= BAR
        old, new = (1e3 * statistics.median(p[k] for p in pairs) for k in (0, 1))  # type: ignore[type-var]
        print(f"{name:<30}{ratio:>13.2f}{old:>11.1f}{new:>10.1f}", flush=True)
    return met


if __name__ == "__main__":
    if "BENCH_SIDE" in os.environ:
        work()
    else:
        met = main(sys.argv[1], sys.argv[2], sys.argv[3:])
        print("bar:", "met" if met else "NOT MET")
        sys.exit(0 if met else 1)
