"""Two walkers on Gymnasium's FrozenLake, one of which moves at each step.

The kernel is read from the environment's own table. Each walker has 16 cells and two local actions, 0 idle and 1 move
in a direction drawn uniformly; with `directions=True` idle and four moves. A finished walker restarts at cell 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import Floats
from ..errors import MissingDependency
from ..model.policy import LocalPolicy
from ..model.system import System
from ..model.weakly_coupled import WeaklyCoupledMDP
from .registry import Entry, Fact, register


def frozen_lake(directions: bool = False, discount: float = 0.95) -> WeaklyCoupledMDP:
    """Two walkers on FrozenLake-v1 (4x4, slippery), rewards as in the environment's table."""
    moves, reward = _table()
    idle = np.eye(16)
    if directions:
        kernel, local = np.stack([idle, *moves]), np.concatenate([np.zeros((16, 1)), reward.T], axis=1)
        actions = ["idle", "left", "down", "right", "up"]
    else:
        kernel, local = np.stack([idle, moves.mean(axis=0)]), np.stack([np.zeros(16), reward.mean(axis=0)], 1)
        actions = ["idle", "move"]
    cells = [f"cell {c}" for c in range(16)]
    labels = {"names": ["walker 0", "walker 1"], "states": cells, "actions": actions}
    return WeaklyCoupledMDP([kernel, kernel], [local, local], discount=discount, labels=labels)


def _table() -> tuple[Floats, Floats]:
    """Kernels (4, 16, 16) and expected rewards (4, 16) of the four directions, ends leading back to cell 0."""
    try:
        import gymnasium
    except ImportError as e:
        rule = "its kernel comes from Gymnasium's table"
        remedy = "Run: pip install gymnasium"
        raise MissingDependency("frozen-lake", "no package gymnasium", rule, remedy) from e
    environment = gymnasium.make("FrozenLake-v1", map_name="4x4", is_slippery=True)
    table = environment.unwrapped.P  # type: ignore[attr-defined]
    environment.close()
    kernel, reward = np.zeros((4, 16, 16)), np.zeros((4, 16))
    for cell, by_action in table.items():
        for action, outcomes in by_action.items():
            for p, target, r, done in outcomes:
                kernel[action, cell, 0 if done else target] += p
                reward[action, cell] += p * r
    return kernel, reward


def right_of_way(system: System) -> Any:
    """The walker on the higher-numbered cell moves, a fair coin on ties; directions uniform."""
    moves = range(1, system.spaces.n_actions[0])

    def law(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        first = 0.5 if state[0] == state[1] else float(state[0] > state[1])
        ways = [*(((m, 0), first) for m in moves), *(((0, m), 1 - first) for m in moves)]
        return {action: p / len(moves) for action, p in ways if p > 0}

    return law


def independent(system: System) -> LocalPolicy:
    """Each walker moves with probability 1/2, whatever the other does."""
    actions = system.spaces.n_actions[0]
    row = np.full(actions, 0.5 / (actions - 1))
    row[0] = 0.5
    return LocalPolicy([np.tile(row, (16, 1))] * 2)


_ORACLE = "computed independently from the environment's table"

register(
    Entry(
        "frozen-lake",
        "Two walkers on FrozenLake, the one further on moves",
        "A real environment that nobody here wrote: one step is shared by two walkers.",
        "Gymnasium, FrozenLake-v1 (4x4, slippery), env.unwrapped.P",
        frozen_lake,
        {"right-of-way": right_of_way, "independent": independent},
        (
            Fact("mu-atv", 0.018721, 5e-7, _ORACLE),
            Fact("mu-atv", 0.041723, 5e-7, _ORACLE, params={"directions": True}),
            Fact("mu-atv", 0.0, 1e-12, "independent walkers", policy="independent"),
        ),
        requires="gymnasium",
    )
)
