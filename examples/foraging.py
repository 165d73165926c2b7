"""How two foragers of lbforaging's Foraging-5x5-2p-1f-v3 play, and their local states."""

import numpy as np


def hungry(observations, rng):
    """Laws of none, north, south, west, east, load: towards the food, one step in ten anywhere."""
    return {agent: towards(*seen[[0, 1, 3, 4]].astype(int)) for agent, seen in observations.items()}


def towards(food_row, food_column, row, column):
    """A step nearer to the food, either way alike; beside it, load."""
    down, right = food_row - row, food_column - column
    good = [way for way, off in enumerate((down < 0, down > 0, right < 0, right > 0), 1) if off]
    good = [5] if abs(down) + abs(right) == 1 else good
    law = np.full(6, 0.1 / 6)
    law[good] += 0.9 / len(good)
    return law


def place(env, agent):
    """The local state of a forager: its cell and its level."""
    player = env.unwrapped.players[int(agent.split()[-1])]
    return *(int(x) for x in player.position), int(player.level)
