"""Agents on kernels of their own, coupled by their actions."""

from __future__ import annotations

from typing import Any

from ...errors import Unsupported
from . import Kind, joint_keys, joint_lacks, public


def _lacks(system: Any, word: str) -> str:
    if word == "neighbour" or not joint_lacks(system, word):
        return joint_lacks(system, word)
    if system.limits is None:
        return "a budget" if word != "index" else "a budget or resources"
    if word == "index":
        return ""
    return (
        "a budget and no other resources" if system.budget is None or system.resources else _no_arms(system)
    )


def _no_arms(system: Any) -> str:
    """What the agents lack to be arms; "" where they are."""
    if set(system.spaces.n_actions) != {2}:
        return "agents with two actions each"
    if system.ends is not None:
        return "a task without end"
    own = system.rewards is not None and system.rewards.local is not None
    return "" if own else "rewards of every agent's own"


def _arms(system: Any) -> Any:
    """Each agent as an arm type of its own; without a budget none is active."""
    if lack := _no_arms(system):
        raise Unsupported("system", repr(system), f"indices of its agents as arms need {lack}", "Ask for one agent: "
                          "me.whittle_index(kernels, rewards, discount=...).")  # fmt: skip
    rewards = [r.reshape(-1, 2) for r in system.rewards.local]
    given = {"n_arms": [1] * system.n_agents, "budget": system.budget or 0, "discount": system.discount}
    return public("RestlessBandit")(list(system.kernels), rewards, labels=system.labels, **given)


def _made_of(system: Any) -> dict[str, Any]:
    return joint_keys(system) | {"resources": [r.plain() for r in system.resources] or None}


KIND = Kind(
    word="weakly-coupled",
    name="WeaklyCoupledMDP",
    help="agents on kernels of their own; only the actions are coupled",
    lacks=_lacks,
    arms=_arms,
    made_of=_made_of,
    text="""\
discount = 0.9           # gamma in [0, 1)
budget = 1               # exactly this many agents are active (action 1); leave out for no budget
# resources = [{costs = [0, 1], limit = 1, sense = "<="}]   # instead: at most one is active; costs by action, for
# all agents, or one list (by action, or [state][action]) for each; several constraints are several tables

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
