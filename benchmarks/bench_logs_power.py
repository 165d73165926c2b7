"""Logs only: power, false alarms and coverage of limits by repetition, as docs/logs-only.md states them.

Run: `python benchmarks/bench_logs_power.py [seeds]`; 100 seeds by default, a few minutes. Rows: FrozenLake pair
(E = .018721) at 10^3, 10^4, 10^5 steps; independent agents; i.i.d. contexts 8 x 8 x 8 without a tie.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import markov_entanglement as me
from markov_entanglement.data.contingency import Contingency
from markov_entanglement.data.limits import lower, upper
from markov_entanglement.data.null import null

TRUTH = 0.018721


def of_gallery(name: str, policy: str | None, steps: int, seed: int) -> Contingency:
    """The table of agent 0."""
    entry = me.gallery.build(name, policy=policy or "")
    return me.read_logs(me.simulate(entry.system, entry.policy, steps, rng=seed)).side_by_side.joint(0)


def alone(steps: int, seed: int) -> Contingency:
    """Contexts 8 x 8 x 8 drawn anew at every step, outcomes that depend on the first of the three."""
    laws = np.random.default_rng(7).dirichlet(np.ones(8), 8).cumsum(axis=1)
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 512, steps)
    u = (laws[x // 64] < rng.random(steps)[:, None]).sum(axis=1).clip(0, 7)
    return Contingency.of(np.arange(steps) * 40 // steps, x, u, x // 64, n_keys=8, n_outcomes=8)


def main(seeds: int) -> None:
    rows = {
        "lake 10^3": (TRUTH, lambda s: of_gallery("frozen-lake", None, 1000, s)),
        "lake 10^4": (TRUTH, lambda s: of_gallery("frozen-lake", None, 10_000, s)),
        "lake 10^5": (TRUTH, lambda s: of_gallery("frozen-lake", None, 100_000, s)),
        "independent 10^4": (0.0, lambda s: of_gallery("frozen-lake", "independent", 10_000, s)),
        "i.i.d. 2,000": (0.0, lambda s: alone(2000, s)),
        "i.i.d. 50,000": (0.0, lambda s: alone(50_000, s)),
    }
    for name, (truth, make) in rows.items():
        begin, found = time.perf_counter(), []
        for seed in range(seeds):
            table = make(seed)
            found.append((lower(table).value, upper(table).value, null(table, rng=seed).p_value))
        low, high, p = np.array(found).T
        shown = np.where(p <= 0.05, np.maximum(low, 0.0), 0.0)
        print(
            f"{name}: lower {low.mean():.4f} [{low.min():.4f}, {low.max():.4f}], at most truth "
            f"{(low <= truth).mean():.2f}, shown above truth {(shown > truth).mean():.3f}; "
            f"upper {high.mean():.4f} [{high.max():.4f}], "
            f"covers {(high >= truth).mean():.2f}; p <= .05 in {(p <= 0.05).mean():.3f}; "
            f"{time.perf_counter() - begin:.0f} s"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
