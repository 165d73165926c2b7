"""Agents on kernels of their own, coupled by their actions."""

from __future__ import annotations

from typing import Any

from . import Kind, joint_lacks, public


def _lacks(system: Any, word: str) -> str:
    if not joint_lacks(system, word):
        return ""
    if system.budget is None:
        return "a budget"
    if set(system.spaces.n_actions) != {2}:
        return "agents with two actions each"
    if word == "index":
        return ""
    if system.ends is not None:
        return "a task without end"
    if len(set(system.spaces.n_states)) > 1:
        return "agents with equal numbers of states"
    own = system.rewards is not None and system.rewards.local is not None
    return "" if own else "rewards of every agent's own"


def _arms(system: Any) -> Any:
    """Each agent as an arm type of its own."""
    rewards = [r.reshape(-1, 2) for r in system.rewards.local]
    given = {"n_arms": [1] * system.n_agents, "budget": system.budget, "discount": system.discount}
    return public("RestlessBandit")(list(system.kernels), rewards, **given)


KIND = Kind(
    word="weakly-coupled",
    name="WeaklyCoupledMDP",
    help="agents on kernels of their own; only the actions are coupled",
    lacks=_lacks,
    arms=_arms,
    text="""\
discount = 0.9           # gamma in [0, 1)
budget = 1               # exactly this many agents are active (action 1); leave out for no budget

# kernels[i][a][s][t] = P_i(t | s, a): per agent, per action (0 rest, 1 serve), rows are states.
kernels = [
  [[[0.9, 0.1], [0.3, 0.7]], [[0.2, 0.8], [0.1, 0.9]]],
  [[[0.8, 0.2], [0.4, 0.6]], [[0.3, 0.7], [0.1, 0.9]]],
  [[[0.7, 0.3], [0.5, 0.5]], [[0.4, 0.6], [0.2, 0.8]]],
]

# One table per agent: rewards[i][s_i], or rewards[i][s_i][a_i].
rewards = [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]

[agents]
names = ["patient A", "patient B", "patient C"]
states = ["disengaged", "engaged"]
actions = ["wait", "call"]

[policy]
kind = "index"           # serve the highest priority until the budget is used; or "whittle", "uniform", "table", ...
priority = [1.0, 0.0]    # one number per local state, shared by all agents; or one list per agent
""",
)
