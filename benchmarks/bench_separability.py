"""Verdicts on random systems with planted answers, every certificate recomputed, and the time of large decisions.

`python benchmarks/bench_separability.py [COUNT]` (default 10,000): two and three agents of 2 to 4 local pairs, dense
and sparse: separable with negative weights, planted entanglement of 1e-3 and 1e-6 (in single agents, and in pairs
of agents only), random chains, restricted supports with planted answers and with answers by a linear program
("cut"). Then two agents of 32 local pairs each (1,024 joint pairs), and COUNT / 10 random mixtures of the 24 vertices
of the smallest no-signalling polytope, a third of them within 1e-6 of a CHSH facet, against `P_SEP+`.
Systems, answers and checkers come from tests/oracles_separability.py, which shares nothing with the library.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

import markov_entanglement as me
from markov_entanglement.separable.decide import separability
from markov_entanglement.separable.local_polytope import local_polytope

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import oracles_separability as oracle


def decide(system: oracle.Planted) -> object:
    """The library's answer."""
    chain = me.JointChain(system.p, system.sizes)
    if len(system.rows) == len(system.p):
        return separability(chain.under())
    initial = np.zeros(len(system.p))
    initial[system.rows] = 1.0 / len(system.rows)
    return separability(chain.under(initial=initial))


def sweep(count: int) -> bool:
    """The table of verdicts; True when the bar is met."""
    cells = [(k, n, s) for k in oracle.KINDS for n in (2, 3) for s in (False, True)]
    tally: dict[tuple[str, int], list[float]] = defaultdict(lambda: [0, 0, 0, 0, 0.0])
    rng = np.random.default_rng(2506)
    for trial in range(count):
        kind, n, sparse = cells[trial % len(cells)]
        system = oracle.planted(rng, kind, n, sparse)
        start = time.perf_counter()
        answer = decide(system)
        cell = tally[kind, n]
        cell[0] += 1
        cell[4] += time.perf_counter() - start
        cell[1] += "undecided" in (answer.agentwise, answer.verdict)
        wrong = answer.agentwise not in (system.agentwise, "undecided")
        cell[2] += wrong or answer.verdict not in (system.verdict, "undecided")
        try:
            oracle.check_answer(answer, system)
        except AssertionError as failure:
            cell[3] += 1
            print(f"trial {trial}: {failure}")
    print(
        f"{'kind':16} {'N':>2} {'systems':>8} {'undecided':>9} {'wrong':>6} {'bad proofs':>10} {'ms each':>8}"
    )
    for (kind, n), (total, undecided, wrong, bad, spent) in tally.items():
        print(f"{kind:16} {n:2d} {total:8d} {undecided:9d} {wrong:6d} {bad:10d} {1e3 * spent / total:8.2f}")
    sums = [sum(cell[k] for cell in tally.values()) for k in range(4)]
    print(f"{'all':16}    {sums[0]:8d} {sums[1]:9d} {sums[2]:6d} {sums[3]:10d}")
    return sums[2] == 0 and sums[3] == 0 and sums[1] < 1e-3 * sums[0]


def large() -> bool:
    """Two agents of 32 local pairs; True when each decision takes less than 5 s."""
    rng, sizes, met = np.random.default_rng(0), (32, 32), True
    entangled = rng.dirichlet(np.ones(1024), size=1024)
    systems = {
        "few terms": _mixture(rng, sizes, 4),
        "generic": _mixture(rng, sizes, 2000),
        "entangled": entangled,
    }
    for name, p in systems.items():
        start, cpu = time.perf_counter(), time.process_time()
        answer = separability(me.JointChain(p, sizes).under())
        spent, cpu = time.perf_counter() - start, time.process_time() - cpu
        met &= spent < 5.0
        print(
            f"32 x 32 {name:10}: {answer.verdict:9} {answer.certificate} in {spent:.2f} s (bar 5 s), CPU {cpu:.2f} s"
        )
    return met


def polytope(count: int) -> bool:
    """Random mixtures of 16 products and 8 boxes against the CHSH answer; True without a wrong one."""
    maps = [np.eye(2)[list(f)] for f in np.ndindex(2, 2)]
    local = np.array([np.kron(f, g) for f in maps for g in maps])
    boxes = np.array([_box(*bits) for bits in np.ndindex(2, 2, 2)])
    rng, sign = np.random.default_rng(1969), np.array([1.0, -1.0, -1.0, 1.0])
    tally, start = {"mixture": 0, "no-mixture": 0, "undecided": 0, "wrong": 0}, time.perf_counter()
    for trial in range(count):
        inside = np.tensordot(rng.dirichlet(np.full(16, 0.3)), local, axes=1)
        outside = np.tensordot(rng.dirichlet(np.full(8, 0.3)), boxes, axes=1)
        share = rng.random()
        if trial % 3 == 0:  # to a facet: CHSH 4 share, from uniform noise to a single box
            inside, outside = np.full((4, 4), 0.25), boxes[trial % 8]
            share = 0.5 + rng.choice([-1e-6, 1e-6])
        p = (1 - share) * inside + share * outside
        e = p @ sign
        chsh = max(s * (e.sum() - 2 * e[k]) for k in range(4) for s in (1, -1))
        answer = local_polytope(me.JointChain(p, (2, 2)).under())
        tally[answer.verdict] += 1
        if abs(chsh - 2.0) > 1e-9:
            tally["wrong"] += answer.verdict not in ("mixture" if chsh < 2.0 else "no-mixture", "undecided")
        if answer.verdict == "mixture":
            c = answer.certificate
            oracle.check_decomposition(c.weights, c.factors, p, np.arange(4), (2, 2), mixture=True)
        elif answer.verdict == "no-mixture":
            tally["wrong"] += oracle.check_bell(answer.inequality, p, np.arange(4), (2, 2)) <= 1e-9
    print(
        f"P_SEP+ on {count} mixtures of 24 vertices: {tally}, {1e3 * (time.perf_counter() - start) / count:.1f} ms each"
    )
    return tally["wrong"] == tally["undecided"] == 0


def _box(alpha: int, beta: int, gamma: int) -> np.ndarray:
    p = np.zeros((4, 4))
    for x, y, a in np.ndindex(2, 2, 2):
        p[2 * x + y, 2 * a + (a ^ (x & y) ^ (alpha & x) ^ (beta & y) ^ gamma)] = 0.5
    return p


def _mixture(rng: np.random.Generator, sizes: tuple[int, int], terms: int) -> np.ndarray:
    weights = rng.dirichlet(np.ones(terms))
    a, b = (rng.dirichlet(np.ones(m), size=(terms, m)).reshape(terms, -1) for m in sizes)
    joint = ((a * weights[:, None]).T @ b).reshape(sizes[0], sizes[0], sizes[1], sizes[1])
    return joint.transpose(0, 2, 1, 3).reshape(1024, 1024)


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    met = all([sweep(size), large(), polytope(size // 10)])
    print("bars:", "met" if met else "NOT MET")
    sys.exit(0 if met else 1)
