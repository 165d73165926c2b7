"""Two walkers on Gymnasium's FrozenLake, one of which moves at each step: exact, or as an environment that is only
stepped; for `module:attr` of the command line.
"""

import gymnasium
import numpy as np

import markov_entanglement as me


def lake():
    """The 4x4 lake on which a step slips aside with chance 2/3."""
    return gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=True)


def pair():
    """Both walk on the 4x4 lake; whoever is on the higher-numbered cell goes, a fair coin decides on ties."""
    return me.from_gymnasium(lake(), n_agents=2, discount=0.95, idle=True), right_of_way


def right_of_way(state):
    """Joint state -> law over joint actions: the one that goes draws its direction (1..4), the other one idles (0)."""
    first = 0.5 if state[0] == state[1] else float(state[0] > state[1])
    ways = [((m, 0), first / 4) for m in range(1, 5)] + [((0, m), (1 - first) / 4) for m in range(1, 5)]
    return {action: p for action, p in ways if p > 0}


class Lakes:
    """The same two walkers in the style of PettingZoo's parallel environments; who falls or arrives starts again."""

    possible_agents = ("first", "second")

    def __init__(self):
        self.agents = []
        self.lakes = {a: lake().unwrapped for a in self.possible_agents}

    def action_space(self, agent):
        return gymnasium.spaces.Discrete(5)

    def reset(self, seed=None, options=None):
        self.agents = list(self.possible_agents)
        for k, one in enumerate(self.lakes.values()):
            one.reset(seed=None if seed is None else 2 * seed + k)
        return self._cells(), self._all({})

    def step(self, actions):
        paid = self._all(0.0)
        for agent, action in actions.items():
            if action:
                _, paid[agent], over, *_ = self.lakes[agent].step(action - 1)
                if over:
                    self.lakes[agent].reset()
        return self._cells(), paid, self._all(False), self._all(False), self._all({})

    def _cells(self):
        return self._all(tuple(int(one.s) for one in self.lakes.values()))

    def _all(self, value):
        return dict.fromkeys(self.agents, value)


def goes(observations, rng):
    """The rule again, as an agent of an environment: an action for each."""
    actions, laws = zip(*right_of_way(next(iter(observations.values()))).items(), strict=True)
    return dict(zip(observations, actions[rng.choice(len(actions), p=np.array(laws))], strict=True))


def cell(env, agent):
    """The local state of a walker."""
    return int(env.lakes[agent].s)
