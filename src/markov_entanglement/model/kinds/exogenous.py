"""Agents that see a signal."""

from __future__ import annotations

from typing import Any

from . import Kind, joint_keys, joint_lacks


def _lacks(system: Any, word: str) -> str:
    if word == "index":
        return "" if system is None or system.limits is not None else "a budget or resources"
    return joint_lacks(system, word)


def _made_of(system: Any) -> dict[str, Any]:
    found = joint_keys(system)
    spaces, rewards = system.spaces, system.rewards
    sizes = zip(spaces.plain.n_states, spaces.plain.n_actions, strict=True)
    if rewards is not None and rewards.local is not None:
        found["rewards"] = [r.reshape(-1, s, a) for r, (s, a) in zip(rewards.local, sizes, strict=True)]
    budget = system.budget if system.budgets is None else list(system.budgets)
    found["agents"] = vars(system.plain_labels) | {"signals": system.signal_names}
    return found | {"budget": budget, "resources": [r.plain() for r in system.resources] or None}


KIND = Kind(
    word="exogenous",
    name="ExogenousMDP",
    help="agents that all see a signal which moves on its own; only the actions are coupled",
    lacks=_lacks,
    made_of=_made_of,
    text="""\
discount = 0.9           # gamma in [0, 1)
budget = [2, 1]          # agents that are active (action 1), by the value of the signal; one number: always as many

# signal[z][y] = P(y | z): how the signal goes on, whatever the agents do. Here: a cheap and a dear hour.
signal = [[0.7, 0.3], [0.4, 0.6]]

# kernels[i][a][s][t] = P_i(t | s, a): per agent, per action (0 wait, 1 charge), rows are states; or with the values of
# the signal in front, kernels[i][z][a][s][t].
kernels = [
  [[[1.0, 0.0], [0.4, 0.6]], [[0.1, 0.9], [0.0, 1.0]]],
  [[[1.0, 0.0], [0.4, 0.6]], [[0.1, 0.9], [0.0, 1.0]]],
  [[[1.0, 0.0], [0.2, 0.8]], [[0.3, 0.7], [0.0, 1.0]]],
]

# One table per agent: rewards[i][s][a], or with the values of the signal in front, rewards[i][z][s][a].
rewards = [
  [[[0.0, -0.2], [1.0, 0.8]], [[0.0, -0.6], [1.0, 0.4]]],
  [[[0.0, -0.2], [1.0, 0.8]], [[0.0, -0.6], [1.0, 0.4]]],
  [[[0.0, -0.2], [1.0, 0.8]], [[0.0, -0.6], [1.0, 0.4]]],
]

[agents]
names = ["station A", "station B", "station C"]
states = ["empty", "full"]
actions = ["wait", "charge"]
signals = ["cheap", "dear"]

[policy]
kind = "index"           # the highest priority is active until the budget is used; or "uniform", "table", ...
priority = [1.0, 0.0]    # one number per local state; or one list (signal, state) in a list
""",
)
