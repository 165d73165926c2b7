"""Agents that read the pairs of their neighbours."""

from __future__ import annotations

from typing import Any

from . import Kind, joint_keys


def _made_of(system: Any) -> dict[str, Any]:
    """One kernel where all agents share it; one array of what has one shape, for a list of very many is slow."""
    import numpy as np

    from ..files import stacked

    made_of = joint_keys(system)
    near = system.neighbours
    alike = len({len(z) for z in near}) == 1
    shared = all(k is system.kernels[0] for k in system.kernels)
    kernels = [system.kernels[0]] if shared else stacked(list(system.kernels))
    made_of |= {"kernels": kernels, "neighbours": np.array(near) if alike else [list(z) for z in near]}
    return made_of | {"rewards": stacked(made_of["rewards"])}


KIND = Kind(
    word="factored",
    name="FactoredMDP",
    help="what an agent does next depends on the local pairs of its neighbours",
    made_of=_made_of,
    text="""\
discount = 0.95                        # gamma in [0, 1)
neighbours = [[0, 2], [1, 0], [2, 1]]  # per agent the agents that its kernel reads, itself first; here a ring

# kernels[i][x_i][x_j][t] = P_i(t | x_i, x_j): one axis of local pairs x = s A + a for each neighbour in order, then
# next states. One kernel per agent, or a list of one for all. States 0 down, 1 up; action 1 reboots. A machine fails
# the sooner if the one before it is down.
kernels = [
  [
    [[0.97625, 0.02375], [0.97625, 0.02375], [0.9525, 0.0475], [0.9525, 0.0475]],  # down, left alone
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]],                              # down, rebooted
    [[0.525, 0.475], [0.525, 0.475], [0.05, 0.95], [0.05, 0.95]],                  # up, left alone
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]],                              # up, rebooted
  ],
]

# One table per agent: rewards[i][s_i], or rewards[i][s_i][a_i].
rewards = [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]

[agents]
names = ["gateway", "server", "printer"]
states = ["down", "up"]
actions = ["leave", "reboot"]

[policy]
kind = "local"           # each acts on its own state; "neighbour": on its neighbours', tables[i][s_i][s_j][a]
tables = [[[0.2, 0.8], [0.9, 0.1]], [[0.2, 0.8], [0.9, 0.1]], [[0.2, 0.8], [0.9, 0.1]]]
""",
)
