"""Two walkers on Gymnasium's FrozenLake, one of which moves at each step; for `module:attr` of the command line."""

import gymnasium

import markov_entanglement as me


def pair():
    """Both walk on the 4x4 lake; whoever is on the higher-numbered cell goes, a fair coin decides on ties."""
    lake = gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=True)
    return me.from_gymnasium(lake, n_agents=2, discount=0.95, idle=True), right_of_way


def right_of_way(state):
    """Joint state -> law over joint actions: the one that goes draws its direction (1..4), the other one idles (0)."""
    first = 0.5 if state[0] == state[1] else float(state[0] > state[1])
    ways = [((m, 0), first / 4) for m in range(1, 5)] + [((0, m), (1 - first) / 4) for m in range(1, 5)]
    return {action: p for action, p in ways if p > 0}
