"""Logs in three modes: power, false alarms and coverage of limits by repetition, as docs/logs-only.md states them.

Run: `python benchmarks/bench_logs_power.py [seeds] [MODE]`; 100 seeds and every mode by default, half an hour. Rows of
"logs only": FrozenLake pair (E = .018721) at 10^3, 10^4, 10^5 steps; independent agents; i.i.d. contexts 8 x 8 x 8
without a tie, and with one of E = .03 and .09 ("logs only, E =" runs these alone). Of "laws known": FrozenLake pair. Of
"policy known": FrozenLake pair and circulant arms, Prop. 7.2.
"""

from __future__ import annotations

import sys
import time
from functools import partial

import numpy as np
from scipy.optimize import linprog

import markov_entanglement as me
from markov_entanglement.data.contingency import Contingency
from markov_entanglement.data.limits import lower, upper
from markov_entanglement.data.null import null

TRUTH = 0.018721


def of_gallery(name: str, policy: str | None, steps: int, seed: int) -> Contingency:
    """The table of agent 0."""
    entry = me.gallery.build(name, policy=policy or "")
    return me.read_logs(me.simulate(entry.system, entry.policy, steps, rng=seed)).side_by_side.joint(0)


def laws_of(tie: float) -> np.ndarray:
    """(512, 8) laws of outcomes given contexts 8 x 8 x 8: (1 - tie) of the first of the three, tie of all of them."""
    rng = np.random.default_rng(7)
    base = rng.dirichlet(np.ones(8), 8)
    return (1.0 - tie) * base.repeat(64, axis=0) + tie * rng.dirichlet(np.ones(8), 512)


def entangled(laws: np.ndarray) -> float:
    """E of equally likely contexts: for each key a linear program in M(u), and in bounds of |p(u|x) - M(u)|."""
    found = 0.0
    for p in laws.reshape(8, 64, 8):
        minus, one = -np.eye(512), np.tile(np.eye(8), (64, 1))
        above = np.block([[one, minus], [-one, minus]])
        cost = np.append(np.zeros(8), np.full(512, 0.5 / 512))
        sums = np.append(np.ones(8), np.zeros(512))[None]
        found += linprog(cost, above, np.append(p.ravel(), -p.ravel()), sums, [1.0]).fun
    return found


def drawn(tie: float, steps: int, seed: int) -> Contingency:
    """Contexts drawn anew at every step; the key is the first of the three."""
    laws = laws_of(tie).cumsum(axis=1)
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 512, steps)
    u = (laws[x] < rng.random(steps)[:, None]).sum(axis=1).clip(0, 7)
    return Contingency.of(np.arange(steps) * 40 // steps, x, u, x // 64, n_keys=8, n_outcomes=8)


def carrying(chain: me.Chain, steps: int, seed: int) -> me.Log:
    """A log that carries the laws of next pairs and the chances of actions, as the exact chain has them."""
    path = me.simulate(chain.system, chain.policy, steps, rng=seed)
    own, sizes = np.array(chain.system.spaces.n_actions), chain.system.spaces.pair_sizes
    code = np.ravel_multi_index(chain.pairs.T, sizes)
    order = np.argsort(code)
    now = np.ravel_multi_index((path.states[:steps] * own + path.actions).T, sizes)
    x = order[np.searchsorted(code[order], now)]
    law = chain.policy.marginals(path.states[:steps])
    chance = np.column_stack([p[np.arange(steps), a] for p, a in zip(law, path.actions.T, strict=True)])
    return me.read_logs(path, laws=[chain.rows(i).law[x] for i in range(len(sizes))], chance=chance)


def known(seeds: int, name: str, distance: str, steps: int) -> None:
    """A row of limits where more than steps is known."""
    chain = me.gallery.build(name).chain()
    truth = me.entanglement(chain, distance).per_agent
    begin, found = time.perf_counter(), []
    for seed in range(seeds):
        answer = me.entanglement(carrying(chain, steps, seed), distance)
        found.append(np.append(answer.interval, np.full((len(truth), 1), bool(answer.caution)), axis=1))
    low, high, short = np.moveaxis(np.array(found), 2, 0)
    held, wide = (low <= truth) & (truth <= high), high - low
    print(
        f"{name}, {distance} {truth[0]:.6f}, {steps:,} steps: limits hold it in {held.mean():.3f}, agent by agent "
        f"{held.mean(axis=0).round(2).tolist()}; from {low.mean():.4f} to {high.mean():.4f}, width {wide.mean():.5f} "
        f"[{wide.max():.5f}]; too short in {short.mean():.2f}; {time.perf_counter() - begin:.0f} s",
        flush=True,
    )


def main(seeds: int, mode: str) -> None:
    for name, distance, word in (
        ("frozen-lake", "mu-atv", "laws known"), ("frozen-lake", "policy", "policy known"),
        ("circulant", "policy", "policy known"),
    ):  # fmt: skip
        for steps in (1000, 10_000, 100_000) if mode in ("", word) else ():
            known(seeds, name, distance, steps)
    if mode in ("", "logs only", "logs only, E ="):
        logs_only(seeds, mode.partition(", ")[2])


def logs_only(seeds: int, word: str) -> None:
    """The rows of logs only, or those of a word."""
    whole = entangled(laws_of(1.0))  # E is proportional to the tie
    rows = {
        "lake 10^3": (TRUTH, lambda s: of_gallery("frozen-lake", None, 1000, s)),
        "lake 10^4": (TRUTH, lambda s: of_gallery("frozen-lake", None, 10_000, s)),
        "lake 10^5": (TRUTH, lambda s: of_gallery("frozen-lake", None, 100_000, s)),
        "independent 10^4": (0.0, lambda s: of_gallery("frozen-lake", "independent", 10_000, s)),
        "i.i.d. 2,000": (0.0, lambda s: drawn(0.0, 2000, s)),
        "i.i.d. 50,000": (0.0, lambda s: drawn(0.0, 50_000, s)),
    }
    for e in (0.03, 0.09):
        truth = entangled(laws_of(e / whole))
        for steps in (2000, 50_000):
            make = partial(drawn, e / whole, steps)
            rows[f"i.i.d. {steps:,}, E = {truth:.6f}, tie {e / whole:.4f}"] = truth, make
    for name, (truth, make) in rows.items():
        if word not in name:
            continue
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
            f"{time.perf_counter() - begin:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, " ".join(sys.argv[2:]))
