"""Weakly coupled systems on 10^7 joint states: every answer of a sweep, and one application of the operator.

Run: python benchmarks/bench_large.py [--quick] (10^5 joint states) [--mu-atv]. Arms are drawn, priorities as well.

For each answer wall seconds and processor seconds (of all threads; on a busy machine only these compare), residuals and
peak memory. For one application `f -> T f`:

- *traffic*: a copy of as many bytes as the contractions of the axes, one after another, must at least read and write:
  each level its functions once, those that are wanted alone; by as many threads, in pieces that do not stay in a cache;
- *arithmetic*: the multiplications of these contractions, none that is not wanted, at the speed of a large square
  product, the best that the machine does, by as many threads.

No order of the contractions beats the second; the first is beaten where levels stay in a cache.
"""

from __future__ import annotations

import math
import resource
import sys
import time

import numpy as np

import markov_entanglement as me
from markov_entanglement._work import side_by_side, workers_of

SIZES = ((56, 4, 1), (10, 7, 2))
QUICK = ((18, 4, 1), (5, 7, 2))


def system_of(states, agents, budget):
    rng = np.random.default_rng(0)
    kernels = rng.dirichlet(np.ones(states), size=(agents, 2, states))
    rewards = rng.random((agents, states, 2))
    system = me.WeaklyCoupledMDP(list(kernels), list(rewards), discount=0.9, budget=budget)
    return system, me.IndexPolicy([rng.random(states) for _ in range(agents)])


def told(name, work, said=lambda found: ""):
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    note = said(found)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"  {name:12} {wall:7.2f} s wall {cpu:7.2f} s processor {peak:5.2f} GiB  {note}", flush=True)
    return found, wall, cpu


def least(works, repeats=5):
    """The least wall and processor seconds of each, run in turn."""
    best = [(np.inf, np.inf)] * len(works)
    for _ in range(repeats):
        for k, work in enumerate(works):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            best[k] = min(best[k][0], wall), min(best[k][1], cpu)
    return best


def application(chain):
    tree, n = chain.kernel.tree, chain.n_pairs
    counts = [1, *(len(level.own) for level in tree.levels)]
    rows = [tree.states // math.prod(tree.sizes[:k]) for k in range(len(tree.sizes) + 1)]
    levels = [count * row for count, row in zip(counts, rows, strict=True)]
    moved = 8 * (sum(levels[:-1]) + sum(levels[1:]))
    flops = 2 * sum(size * made for size, made in zip(tree.sizes, levels[1:], strict=True))
    f = np.random.default_rng(1).random(n)
    workers, size = workers_of(None), 1 << 22
    source = np.random.default_rng(2).random((2 * workers, size))
    target = np.empty_like(source)

    def copy():
        turns = [range(w, moved // 16 // size, workers) for w in range(workers)]
        side_by_side(
            lambda turn: [np.copyto(target[k % len(target)], source[k % len(target)]) for k in turn], turns
        )

    square = np.random.default_rng(3).random((1000, 1000))
    times = flops / (2 * 1000**3 * workers)

    def multiply():
        side_by_side(lambda _: [square @ square for _ in range(math.ceil(times))], range(workers))

    (apply, cpu), (left, _), (stream, stream_cpu), products = least(
        [lambda: chain.kernel.apply(f), lambda: chain.kernel.apply_left(f), copy, multiply]
    )
    products, products_cpu = (x * times / math.ceil(times) for x in products)
    print(f"  one application {apply:.3f} s wall, {cpu:.3f} s processor; from the left {left:.3f} s wall")
    for name, size, wall, own in (
        ("traffic", f"{moved / 1e9:.2f} GB", stream, stream_cpu),
        ("arithmetic", f"{flops / 1e9:.2f} GFlop", products, products_cpu),
        ("the larger", "", max(stream, products), max(stream_cpu, products_cpu)),
    ):
        times = f"{apply / wall:.2f} times as long, {cpu / own:.2f} by processor"
        print(f"    {name:10} {size:10} {wall:.3f} s wall, {own:.3f} s processor: {times}", flush=True)


def main(sizes, weak):
    me.analyze(*system_of(3, 2, 1), progress=False)  # compiles
    for states, agents, budget in sizes:
        system, policy = system_of(states, agents, budget)
        print(f"{agents} agents of {states} states, budget {budget}: {states**agents:,} joint states")
        whole = []
        chain, *spent = told("chain", lambda s=system, p=policy: s.under(p), repr)
        whole.append(spent)

        def mu(chain=chain):
            return chain.stationary

        def said(law):
            return f"{law.method}, residual {law.residual:.1e}, error at most {law.error_bound:.1e}"

        whole.append(told("mu", mu, said)[1:])
        whole.append(told("policy", lambda c=chain: me.entanglement(c, "policy"))[1:])
        values, *spent = told("values", lambda c=chain: me.value_decomposition(c),
                              lambda v: f"{v.evaluation.method}, residual {v.evaluation.residual:.1e}")  # fmt: skip
        whole.append(spent)
        whole.append(told("errors", values.errors, lambda e: f"unexplained {e['unexplained']:.4f}")[1:])
        whole.append(told("certificate", lambda c=chain, v=values: me.certificate(c, None, None, v.sum_q),
                          lambda c: "mean error {:.5f} to {:.5f}".format(*c.interval()))[1:])  # fmt: skip
        print("  all of this {:.1f} s wall, {:.1f} s processor".format(*np.sum(whole, axis=0)))
        told("budget", lambda c=chain: me.error_budget(c), repr)
        if weak:
            told("mu-atv", lambda c=chain: me.entanglement(c, "mu-atv"), repr)
        application(chain)


if __name__ == "__main__":
    main(QUICK if "--quick" in sys.argv else SIZES, "--mu-atv" in sys.argv)
