"""Time and certified gap of the joint distances.

`python benchmarks/bench_joint.py [--large]` prints one line per system; `--large` adds 12 x 12 and 16 x 16.
Bar: `tv` at 8 x 8 local pairs (64 joint pairs, 4,096 cells) in under 60 s.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from markov_entanglement.markov.chain import Chain
from markov_entanglement.measures.joint import joint_distance
from markov_entanglement.model.mdp import JointChain
from markov_entanglement.model.policy import IndexPolicy
from markov_entanglement.model.weakly_coupled import WeaklyCoupledMDP


def random_chain(rng: np.random.Generator, sizes: tuple[int, ...], density: float) -> Chain:
    """A random chain on the full product."""
    n = int(np.prod(sizes))
    p = rng.dirichlet(np.ones(n), size=n) * (rng.random((n, n)) < density) + 1e-3 * np.roll(
        np.eye(n), 1, axis=1
    )
    return JointChain(p / p.sum(axis=1, keepdims=True), sizes).under()


def budget_chain(rng: np.random.Generator, states: int, agents: int) -> Chain:
    """Arms of which one is served: a part of the product of local pairs only."""
    kernels = [rng.dirichlet(np.ones(states), size=(2, states)) for _ in range(agents)]
    system = WeaklyCoupledMDP(kernels, [np.arange(states)] * agents, discount=0.9, budget=1)
    return system.under(IndexPolicy([rng.random(states) for _ in range(agents)]))


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    cases = [(f"{'x'.join(map(str, s))} density {d}", random_chain(rng, s, d))
             for s in ((4, 4), (8, 8), (2, 2, 2), (3, 3, 3), (4, 4, 4), (2, 2, 2, 2)) for d in (1.0, 0.2)]  # fmt: skip
    cases += [
        (f"budget, {a} arms of {s} states", budget_chain(rng, s, a)) for s, a in ((4, 2), (8, 2), (3, 3))
    ]
    if "--large" in sys.argv[1:]:
        cases += [
            (f"{k}x{k} density {d}", random_chain(rng, (k, k), d))
            for k, d in ((12, 1.0), (16, 0.2), (16, 1.0))
        ]
    print(f"{'system':<28}{'distance':>9}{'cells':>9}{'value':>12}{'gap':>10}{'residual':>10}{'seconds':>9}")
    for name, chain in cases:
        for weighted in (False, True):
            start = time.perf_counter()
            d = joint_distance(chain, weighted=weighted)
            seconds = time.perf_counter() - start
            print(f"{name:<28}{d.distance:>9}{d.nearest.size:>9}{d.value:>12.8f}{d.gap:>10.1e}"
                  f"{d.residual:>10.1e}{seconds:>9.2f}", flush=True)  # fmt: skip
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
