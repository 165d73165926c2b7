"""Every bound against the truth on random systems, and how tight each one is.

`python benchmarks/bench_certificates.py [COUNT]` (default 1,000): two and three agents of 2 to 4 local pairs, dense
and sparse, separable with negative weights, and separable plus entanglement of 1e-3 and 1e-6; discounts .5 and .9.
Truth and local values come from tests/oracles_values.py, which shares nothing with the library. A violation
is counted where a limit is on the wrong side by more than 1e-9 of the size of the values.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from markov_entanglement.measures.entanglement import entanglement
from markov_entanglement.measures.joint import joint_distance
from markov_entanglement.model.mdp import JointChain
from markov_entanglement.values.additive import additive_values
from markov_entanglement.values.bounds import error_bounds, span_bounds, theorem_bound
from markov_entanglement.values.certificate import certificate
from markov_entanglement.values.decomposition import value_decomposition

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import oracles_values as oracle

KINDS = ("dense", "sparse", "separable", "planted 1e-3", "planted 1e-6")


def draw(rng: np.random.Generator, kind: str, sizes: tuple[int, ...]) -> np.ndarray:
    """One transition matrix of the kind."""
    if kind in ("dense", "sparse"):
        return oracle.random_joint(rng, sizes, 1.0 if kind == "dense" else 0.3)
    p = oracle.random_separable(rng, sizes)
    if kind == "separable":
        return p
    size = float(kind.split()[1])
    return (1 - size) * p + size * oracle.random_joint(rng, sizes)


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    rng = np.random.default_rng(0)
    ratios: dict[str, list[float]] = defaultdict(list)
    violations: dict[str, int] = defaultdict(int)
    runs: dict[str, int] = defaultdict(int)

    def record(name: str, low: float, high: float, noise: float) -> None:
        runs[name] += 1
        violations[name] += high < low - noise
        if low > 1e3 * noise:
            ratios[name].append(high / low)

    for k in range(count):
        kind = KINDS[k % len(KINDS)]
        sizes = tuple(int(m) for m in rng.integers(2, 5, size=rng.integers(2, 4)))
        gamma = (0.5, 0.9)[k // len(KINDS) % 2]
        p, tables, pairs = draw(rng, kind, sizes), oracle.random_tables(rng, sizes), oracle.product(sizes)
        mu = oracle.stationary(p)
        q = oracle.q_values(p, oracle.reward_on(pairs, tables), gamma)
        local = oracle.local_q(p, pairs, mu, tables, gamma)
        d = oracle.reward_on(pairs, local)
        truth, noise = oracle.norms(q - d, mu), 1e-9 * float(np.abs(q).max())
        chain = JointChain(p, sizes).under()
        r_max = [float(np.abs(r).max()) for r in tables]
        rows = [chain.rows(i) for i in range(len(sizes))]
        if len(pairs) <= 27:
            for weighted, norm in ((False, "sup"), (True, "mu")):
                e = joint_distance(chain, weighted=weighted)
                bound = theorem_bound([e.value] * len(sizes), r_max, gamma)
                record(f"{e.distance} theorem, {norm}", truth[norm], bound, noise)
        spans = span_bounds(rows, local, gamma)
        record("value spans, mu", truth["mu"], spans.mu, noise)
        record("value spans, sup", truth["sup"], spans.sup, noise)
        record("spectral, l2", truth["l2"], spans.l2, noise)
        found = value_decomposition(chain, tables, gamma)
        for b in error_bounds(found, [entanglement(chain, "mu-atv"), entanglement(chain, "atv")]):
            if b.name.startswith("Theorem"):
                record(
                    f"{b.distance} theorem{b.name.partition(',')[2]}, {b.norm}", truth[b.norm], b.value, noise
                )
        c = certificate(chain, tables, gamma, d)
        for norm, table in c.to_dict().items():
            for steps, (low, high) in table.items():
                record(f"certificate k={steps}, {norm}, lower", low, truth[norm], noise)
                record(f"certificate k={steps}, {norm}, upper", truth[norm], high, noise)
        best = oracle.norms(q - oracle.projection(oracle.additive_features(pairs, sizes), mu) @ q, mu)["l2"]
        joint = additive_values(chain, tables, gamma).error("l2")
        record("best additive <= joint additive, l2", best, joint, noise)
        record("joint additive <= best / sqrt(1-g^2), l2", joint, best / np.sqrt(1 - gamma**2), noise)
    print(f"{count} systems\n{'limit':<44}{'runs':>7}{'wrong':>7}{'ratio: min':>12}{'median':>12}{'max':>12}")
    for name, n in runs.items():
        r = np.array(ratios[name] or [np.nan])
        print(f"{name:<44}{n:>7}{violations[name]:>7}{r.min():>12.4g}{np.median(r):>12.4g}{r.max():>12.4g}")
    wide = max(max(ratios[name]) for name in runs if name.startswith("certificate k=64"))
    met = not any(violations.values()) and wide <= 1.1
    print("bars:", "met" if met else "NOT MET")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
