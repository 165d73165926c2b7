"""Small environments in the style of PettingZoo, for tests; nothing of theirs is imported."""

from __future__ import annotations

import numpy as np

from markov_entanglement.cli.environment import environment_of


def rps():
    """PettingZoo's rock, paper, scissors."""
    return environment_of("pettingzoo.classic:rps_v2")


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


class Base:
    """Two agents with two actions each; a subclass says what they see and what follows."""

    possible_agents = ("a", "b")

    def __init__(self) -> None:
        self.agents: list[str] = []
        self.time = 0
        self.at = dict.fromkeys(self.possible_agents, 0)
        self.np_random = np.random.default_rng(0)

    def action_space(self, agent):
        return Discrete(2)

    def reset(self, seed=None, options=None):
        self.np_random = np.random.default_rng(seed)
        self.agents, self.time = list(self.possible_agents), 0
        self.at = dict.fromkeys(self.agents, 0)
        return self.seen(), {a: {} for a in self.agents}

    def seen(self):
        return {a: self.at[a] for a in self.agents}

    def step(self, actions):
        self.time += 1
        self.move(actions)
        ends, cuts = self.over()
        out = self.seen(), self.paid(), ends, cuts, {a: {} for a in self.agents}
        self.agents = [a for a in self.agents if not ends.get(a) and not cuts.get(a)]
        return out

    def move(self, actions):
        for a in self.agents:
            self.at[a] = actions[a]

    def paid(self):
        return {a: float(self.at[a]) for a in self.agents}

    def over(self):
        return dict.fromkeys(self.agents, False), dict.fromkeys(self.agents, False)


def position(env, agent):
    """The local state of an agent of these."""
    return env.at[agent]


class Hall(Base):
    """Deterministic: a walks 0..2 by its action, b swaps its light when a stands at 2; both on ends the task."""

    def move(self, actions):
        before = self.at["a"]
        self.at["a"] = min(before + 1, 2) if actions["a"] else 0
        if before == 2 and actions["b"]:
            self.at["b"] = 1 - self.at["b"]

    def over(self):
        done = self.at["a"] == 2 and self.at["b"] == 1
        return dict.fromkeys(self.agents, done), dict.fromkeys(self.agents, False)


class Coins(Base):
    """Agent a shows a coin whose chance of 1 is .2 or .8 by the light of b; b's light is its last action."""

    def move(self, actions):
        self.at["a"] = int(self.np_random.random() < (0.8 if self.at["b"] else 0.2))
        self.at["b"] = actions["b"]


class Clock(Base):
    """Every third step shows 1: the clock is hidden."""

    def move(self, actions):
        self.at = dict.fromkeys(self.agents, int(self.time % 3 == 0))


class Leaver(Base):
    """b leaves after its second step and a goes on to the fifth, when the clock cuts it."""

    def over(self):
        ends = {a: a == "b" and self.time == 2 for a in self.agents}
        return ends, dict.fromkeys(self.agents, self.time == 5)
