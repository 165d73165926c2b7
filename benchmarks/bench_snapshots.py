"""Which snapshot is faithful, of environments that others wrote: one line each; what is not installed is skipped.

python benchmarks/bench_snapshots.py
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import markov_entanglement as me
from markov_entanglement.cli.environment import environment_of


def _lasers() -> Any:
    from lle import LLE

    return LLE.level(6).build()


def _battle() -> Any:
    from magent2.environments import battle_v4

    return battle_v4.parallel_env(map_size=16)


def _pursuit() -> Any:
    found = __import__("pettingzoo.sisl", fromlist=["pursuit_v5"]).pursuit_v5
    return found.parallel_env(x_size=5, y_size=5, n_evaders=2, n_pursuers=2, obs_range=3)


def _trains() -> Any:
    import gymnasium
    from flatland.envs.line_generators import sparse_line_generator
    from flatland.envs.observations import GlobalObsForRailEnv
    from flatland.envs.rail_env import RailEnv
    from flatland.envs.rail_generators import sparse_rail_generator
    from flatland.ml.pettingzoo.wrappers import PettingzooFlatland

    class Seen(GlobalObsForRailEnv):
        def get_observation_space(self, handle: int = 0) -> Any:
            return gymnasium.spaces.Box(-1, 1, (1,))

    env = RailEnv(
        width=25, height=25, rail_generator=sparse_rail_generator(max_num_cities=3, seed=1),
        line_generator=sparse_line_generator(seed=1), number_of_agents=4, obs_builder_object=Seen(),
    )  # fmt: skip
    env.reset(random_seed=1)  # agents are named by the first reset
    return PettingzooFlatland(env).parallel_env()


SUBJECTS: dict[str, Callable[[], Any]] = {
    **{name: lambda name=name: environment_of(name) for name in (
        "gymnasium:FrozenLake-v1", "gymnasium:CliffWalking-v1", "gymnasium:Taxi-v4", "gymnasium:Blackjack-v1",
        "lbforaging:Foraging-5x5-2p-1f-v3", "rware:rware-tiny-2ag-v2", "pettingzoo.classic:rps_v2",
        "mpe2:simple_spread_v3", "mpe2:simple_tag_v3")},
    "rps_v2 in turns": lambda: environment_of("pettingzoo.classic:rps_v2").aec_env,
    "pursuit 5x5": _pursuit,
    "magent2 battle": _battle,
    "LLE level 6": _lasers,
    "flatland 25x25": _trains,
}  # fmt: skip


def main() -> None:
    """Check them all."""
    warnings.simplefilter("ignore")
    for name, make in SUBJECTS.items():
        began = time.perf_counter()
        try:
            env = make()
        except Exception as e:
            print(f"{name:34} not here: {' '.join(str(e).split())[:80]}")
            continue
        print(f"{name:34} {time.perf_counter() - began:5.1f} s  {me.check_snapshot(env).sentence[:150]}")


if __name__ == "__main__":
    main()
