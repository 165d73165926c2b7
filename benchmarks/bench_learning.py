"""Learners against a plain numpy loop, in agent-steps a second, both sides in one run; values of counts.

Run: `python benchmarks/bench_learning.py`. The plain loop is what one writes down: for each step, for each agent, one
update of its numpy table. Beside it stands the loop over steps with one numpy operation for all agents, which needs as
many agents to be quick. The share of the work that each of theirs does is taken out of the ratio.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from _timing import paired, seconds

import markov_entanglement as me
from markov_entanglement.gallery.circulant import ACTIVE, PASSIVE, PRIORITY, REWARD

GAMMA = 0.9


def run(steps: int, agents: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs and rewards at random."""
    rng = np.random.default_rng(0)
    return rng.integers(m, size=(steps + 1, agents)), rng.normal(size=(steps, agents))


def plain_td(pairs: np.ndarray, rewards: np.ndarray, m: int) -> np.ndarray:
    """TD(0) as one writes it down."""
    h = 1 / (1 - GAMMA)
    q, n = np.zeros((pairs.shape[1], m)), np.zeros((pairs.shape[1], m))
    for t in range(len(rewards)):
        for i in range(pairs.shape[1]):
            x, y = pairs[t, i], pairs[t + 1, i]
            q[i, x] += h / (h + n[i, x]) * (rewards[t, i] + GAMMA * q[i, y] - q[i, x])
            n[i, x] += 1
    return q


def plain_lstd(pairs: np.ndarray, rewards: np.ndarray, m: int) -> np.ndarray:
    """LSTD(0) as one writes it down."""
    a, b = np.zeros((pairs.shape[1], m, m)), np.zeros((pairs.shape[1], m))
    for t in range(len(rewards)):
        for i in range(pairs.shape[1]):
            x, y = pairs[t, i], pairs[t + 1, i]
            a[i, x, x] += 1
            a[i, x, y] -= GAMMA
            b[i, x] += rewards[t, i]
    return np.linalg.solve(a, b[..., None])[..., 0]


def traced_lstd(pairs: np.ndarray, rewards: np.ndarray, m: int, lam: float = 0.9) -> np.ndarray:
    """LSTD(lam) as one writes it down."""
    agents = pairs.shape[1]
    a, b, z = np.zeros((agents, m, m)), np.zeros((agents, m)), np.zeros((agents, m))
    for t in range(len(rewards)):
        for i in range(agents):
            x, y = pairs[t, i], pairs[t + 1, i]
            z[i] *= GAMMA * lam
            z[i, x] += 1
            a[i, :, x] += z[i]
            a[i, :, y] -= GAMMA * z[i]
            b[i] += z[i] * rewards[t, i]
    return np.linalg.solve(a, b[..., None])[..., 0]


def side_by_side(pairs: np.ndarray, rewards: np.ndarray, m: int) -> np.ndarray:
    """TD(0), one numpy operation for all agents."""
    h, each = 1 / (1 - GAMMA), np.arange(pairs.shape[1])
    q, n = np.zeros((len(each), m)), np.zeros((len(each), m))
    for t in range(len(rewards)):
        x, y = pairs[t], pairs[t + 1]
        q[each, x] += h / (h + n[each, x]) * (rewards[t] + GAMMA * q[each, y] - q[each, x])
        n[each, x] += 1
    return q


def speed(
    name: str, learner: Any, theirs: Callable[..., np.ndarray], agents: int, m: int, few: int, bar: int | None
) -> None:
    """One line: ratio of agent-steps a second."""
    steps = 2_000_000 // agents
    pairs, rewards = run(steps, agents, m)

    def ours(count: int = steps) -> Any:
        ended = np.zeros(count, bool)
        chunk = me.Chunk(pairs[: count + 1], rewards[:count], ended)
        return learner.fit([chunk], GAMMA, sizes=[m] * agents)

    found = np.stack(ours(few).local_q)
    times = paired(ours, lambda: theirs(pairs[: few + 1], rewards[:few], m), 3, inner=3, share=few / steps)
    differs = np.abs(found - theirs(pairs[: few + 1], rewards[:few], m)).max()
    print(f"{name:<40}{times.ratio:>8.0f}{bar or '-':>6}{steps * agents / times.ours:>12.3g}"
          f"{steps * agents / times.theirs:>12.3g}{differs:>10.1e}", flush=True)  # fmt: skip


def counts() -> None:
    """The circulant bandit of 1,800 arms, 9,000 steps: seconds, and the spread of the error of both."""
    bandit = me.RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=1800, budget=360, discount=0.5)
    index, ratios, spent = me.IndexPolicy(PRIORITY), [], []
    for seed in range(7):
        begin = time.perf_counter()
        path = me.simulate(bandit, index, 9000, rng=seed, start=[360, 360, 540, 540])
        local = me.LSTD().fit(path)
        spent.append(time.perf_counter() - begin)
        tables = [np.nan_to_num(v.q(0)) for v in (local, me.JointLSTD().fit(path))]
        errors = [me.estimate_error(bandit, index, rng=0, local_q=q).unexplained for q in tables]
        ratios.append(errors[1] / errors[0])
    print(f"circulant, N = 1800, 9,000 steps: simulated and learned in {statistics.median(spent):.2f} s (bar 2 s); "
          f"spread of the joint error over that of the local: median {statistics.median(ratios):.3f} (bar .333), "
          f"largest {max(ratios):.3f}")  # fmt: skip


def scale() -> None:
    """Many different agents, memory along a long run, and a reward split."""
    pairs, rewards = run(2000, 1000, 4)
    chunk = [me.Chunk(pairs, rewards, np.zeros(2000, bool))]
    for learner in (me.TD(), me.LSTD(), me.LSTD(0.9), me.MonteCarlo()):
        learner.fit(chunk, GAMMA, sizes=[4] * 1000)
        spent = seconds(lambda learner=learner: learner.fit(chunk, GAMMA, sizes=[4] * 1000))
        print(f"1,000 agents, 2,000 steps, {type(learner).__name__}: {spent:.3f} s")
    joint = seconds(lambda: me.JointLSTD(pool=np.arange(1000) % 10).fit(chunk, GAMMA, sizes=[4] * 1000))
    print(f"1,000 agents of 10 types, 2,000 steps, joint: {joint:.2f} s")

    many, noise = run(50_000, 20, 8)[0][:-1], np.random.default_rng(1).laplace(size=(50_000, 1))
    told = {
        "states": np.concatenate([many, many[:1]]),
        "actions": np.zeros_like(many),
        "sizes": np.array([[8, 1]] * 20),
    }
    marks = [np.zeros(50_000, bool)] * 3
    path = me.Path(noise + many.sum(axis=1, keepdims=True), *marks, **told)
    begin = time.perf_counter()
    learned = me.learn_reward(path)
    print(f"reward of 20 agents at {learned.distinct:,} joint pairs split in {time.perf_counter() - begin:.2f} s, "
          f"gap {learned.error - learned.lower:.1e} of {learned.error:.3f}")  # fmt: skip

    def long(n: int) -> Any:
        last = pairs[:1, :10]
        for _ in range(n):
            yield me.Chunk(np.concatenate([last, pairs[1:, :10]]), rewards[:, :10], np.zeros(2000, bool))
            last = pairs[-1:, :10]

    peaks = []
    for n in (10, 500):
        tracemalloc.start()
        me.LSTD(0.5).fit(long(n), GAMMA, sizes=[4] * 10)
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
    print(f"memory at 20,000 and 1,000,000 steps of 10 agents: {peaks[0]:.2f} and {peaks[1]:.2f} MiB")


def main() -> None:
    """Print the table."""
    print(
        "{:<40}{:>8}{:>6}{:>12}{:>12}{:>10}".format(
            "agent-steps a second", "ratio", "bar", "ours", "theirs", "differs"
        )
    )
    speed("TD(0), 20 agents, 6 pairs", me.TD(), plain_td, 20, 6, 2000, 50)
    speed("LSTD(0), 20 agents, 6 pairs", me.LSTD(), plain_lstd, 20, 6, 2000, 50)
    speed("LSTD(.9), 20 agents, 6 pairs", me.LSTD(0.9), traced_lstd, 20, 6, 1000, 50)
    speed("TD(0), 1,000 agents, 4 pairs", me.TD(), plain_td, 1000, 4, 50, 50)
    speed("TD(0), 1,000 agents side by side", me.TD(), side_by_side, 1000, 4, 1000, None)
    counts()
    scale()


if __name__ == "__main__":
    main()
