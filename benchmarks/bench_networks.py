"""How often limits of network certificates hold: two small games whose numbers are known, over many seeds.

python benchmarks/bench_networks.py [SEEDS]
"""

from __future__ import annotations

import itertools
import sys
import time
from typing import Any

import numpy as np

import markov_entanglement as me

CLIMBING = np.array([[11.0, -30.0, 0.0], [-30.0, 7.0, 6.0], [0.0, 0.0, 5.0]])
GAMMA, LAST, HEEDS, STARTS = 0.9, 4, 0.8, 400
JOINT = list(itertools.product((0, 1), repeat=2))


class Choice:
    """Actions 0..n-1."""

    def __init__(self, n: int) -> None:
        self.n = n


class Climb:
    """One step, paid by the climbing game's table."""

    actions, last = 3, 1

    def __init__(self) -> None:
        self.possible_agents, self.agents = ["a", "b"], []
        self.np_random, self.bits, self.time = np.random.default_rng(0), np.zeros(2, int), 0

    def action_space(self, agent: str) -> Choice:
        return Choice(self.actions)

    def seen(self) -> dict[str, Any]:
        return {k: np.array([float(x)]) for k, x in zip(self.possible_agents, self.bits, strict=True)}

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.np_random, self.agents, self.time = np.random.default_rng(seed), list(self.possible_agents), 0
        self.bits = self.begin()
        return self.seen(), {}

    def begin(self) -> Any:
        return np.zeros(2, int)

    def move(self, acts: Any) -> float:
        return float(CLIMBING[acts])

    def step(self, actions: dict[str, int]) -> Any:
        paid = self.move(tuple(actions[k] for k in self.possible_agents))
        self.time += 1
        over = self.time == self.last
        self.agents = [] if over else self.agents
        return self.seen(), *(dict.fromkeys(self.possible_agents, x) for x in (paid / 2, over, False)), {}


class Bits(Climb):
    """Four steps: each agent's bit heeds its action with chance .8; a step pays 1 where both bits were alike, and .5
    more where both acts are."""

    actions, last = 2, LAST

    def begin(self) -> Any:
        return self.np_random.integers(2, size=2)

    def move(self, acts: Any) -> float:
        paid = float(self.bits[0] == self.bits[1]) + 0.5 * (acts[0] == acts[1])
        heeds = self.np_random.random(2) < HEEDS
        self.bits = np.where(heeds, acts, 1 - np.array(acts))
        return paid


def tables(seed: int) -> Any:
    """(2, 2, 2) values of each agent's bit and action, as somebody's training might leave them."""
    return np.random.default_rng(seed).normal(1.0, 0.5, size=(2, 2, 2))


def least(columns: list[Any], q: Any) -> float:
    """Root mean square of what the best sum of functions of these columns of numbers misses of q (n,)."""
    x = np.concatenate([np.eye(int(c.max()) + 1)[c] for c in columns], axis=1)
    return float(np.sqrt(((q - x @ np.linalg.lstsq(x, q, rcond=None)[0]) ** 2).mean()))


def truths(value: Any) -> tuple[float, float, float]:
    """Error of `value` (2, 2, 2) in Bits under play at random, floor given the state and floor of own observations, by
    the four steps, joint bits and joint actions, all of which are met alike often."""
    ahead, found = np.zeros((2, 2)), []
    for _ in range(LAST):  # backwards
        q = np.zeros((2, 2, 2, 2))
        for x, acts in itertools.product(JOINT, JOINT):
            chance = np.multiply.outer(*(np.where(np.arange(2) == a, HEEDS, 1 - HEEDS) for a in acts))
            paid = float(x[0] == x[1]) + 0.5 * (acts[0] == acts[1])
            q[(*x, *acts)] = paid + GAMMA * (chance * ahead).sum()
        ahead = q.mean(axis=(2, 3))
        found.append(q)
    q = np.stack(found)
    t, x, y, a, b = (i.ravel() for i in np.indices(q.shape))
    q, said = q.ravel(), value[0][x, a] + value[1][y, b]
    state = 4 * t + 2 * x + y
    return (
        float(np.sqrt(((q - said) ** 2).mean())),
        least([2 * state + a, 2 * state + b], q),
        least([2 * x + a, 2 * y + b], q),
    )


def main(seeds: int) -> None:
    """Count them."""
    half = CLIMBING.mean() / 2
    best = np.stack([CLIMBING.mean(axis=1) - half, CLIMBING.mean(axis=0) - half])
    floor = float(np.sqrt(((CLIMBING - np.add.outer(*best)) ** 2).mean()))
    names = ("error", "floor given the state", "floor of own observations")
    for game in ("climbing", "bits"):
        inside, verdicts, began = np.zeros(3, int), dict[str, int](), time.perf_counter()
        widths = []
        for seed in range(seeds):
            value, env = (best, Climb()) if game == "climbing" else (tables(seed), Bits())
            true = (floor,) * 3 if game == "climbing" else truths(value)

            def network(seen: Any, value: Any = value) -> Any:
                return np.stack(
                    [v if v.ndim == 1 else v[int(x[0])] for v, x in zip(value, seen, strict=True)]
                )

            found = me.certify_network(network, env, epsilon=1.0, discount=GAMMA, horizon=env.last, starts=STARTS,
                                       decisions=0, rng=seed)  # fmt: skip
            floors = found.floors["actions given the state"], found.floors["own observations"]
            limits = (found.error, *((f.low, f.high) for f in floors))
            inside += [
                low <= x + 1e-9 and x - 1e-9 <= high for x, (low, high) in zip(true, limits, strict=True)
            ]
            verdicts[found.verdict] = verdicts.get(found.verdict, 0) + 1
            widths.append((limits[0][1] - limits[0][0]) / true[0])
        held = ", ".join(f"{name} {k}" for name, k in zip(names, inside, strict=True))
        each = (time.perf_counter() - began) / seeds
        print(f"{game}: of {seeds} seeds limits held: {held}; width of the error {np.mean(widths):.3f} of it; "
              f"{each:.1f} s each; verdicts {verdicts}")  # fmt: skip


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
