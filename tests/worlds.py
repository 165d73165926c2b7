"""Small environments in the style of PettingZoo, for tests; nothing of theirs is imported."""

from __future__ import annotations

import numpy as np


class Discrete:
    """A space of whole numbers."""

    def __init__(self, n: int) -> None:
        self.n = n


class LakePair:
    """Two walkers on the 4x4 lake; a move (1) goes in a direction drawn by the lake, 0 stays; who ends begins again."""

    possible_agents = ("walker 0", "walker 1")
    holes, goal = (5, 7, 11, 12), 15

    def __init__(self) -> None:
        self.agents: list[str] = []
        self.cell = dict.fromkeys(self.possible_agents, 0)
        self.np_random = np.random.default_rng(0)

    def action_space(self, agent):
        return Discrete(2)

    def reset(self, seed=None, options=None):
        if seed is not None:
            self.np_random = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self.cell = dict.fromkeys(self.agents, 0)
        return self._all(self.cell), self._all({})

    def _all(self, value):
        return dict.fromkeys(self.agents, value)

    def step(self, actions):
        paid = dict.fromkeys(self.agents, 0.0)
        for a in self.agents:
            if actions[a]:
                way = int(self.np_random.integers(4))
                self.cell[a] = self.slide(self.cell[a], way + int(self.np_random.integers(-1, 2)))
                paid[a] = float(self.cell[a] == self.goal)
                if self.cell[a] in (*self.holes, self.goal):
                    self.cell[a] = 0
        seen = dict(self.cell)
        return self._all(seen), paid, self._all(False), self._all(False), self._all({})

    @staticmethod
    def slide(cell: int, way: int) -> int:
        """A step left, down, right or up, within the lake."""
        row, column = divmod(cell, 4)
        down, right = ((0, -1), (1, 0), (0, 1), (-1, 0))[way % 4]
        return min(max(row + down, 0), 3) * 4 + min(max(column + right, 0), 3)


def right_of_way(observations, rng):
    """The walker on the higher-numbered cell moves, a fair coin on ties."""
    cells = next(iter(observations.values()))
    a, b = cells["walker 0"], cells["walker 1"]
    first = rng.random() < 0.5 if a == b else a > b
    return {"walker 0": int(first), "walker 1": int(not first)}


def cell(env, agent):
    """The local state of a walker."""
    return env.cell[agent]
