"""Commented system files that run as they are, for `init`."""

from __future__ import annotations

_HEAD = """\
# A system for markov-entanglement. Try:  markov-entanglement analyze {file}
schema = 1
"""

_CHAIN = """\
kind = "chain"        # a chain on joint pairs, given as such
discount = 0.9        # gamma in [0, 1); leave out with the rewards if you only ask for separability

# Local pair counts, one per agent. Joint indices are row-major, the first agent slowest:
# with sizes [2, 2] the joint pairs are (0,0), (0,1), (1,0), (1,1).
sizes = [2, 2]

# transition[x][y] = P(y | x). Here the second agent copies where the first one was, with noise.
transition = [
  [0.72, 0.18, 0.08, 0.02],
  [0.72, 0.18, 0.08, 0.02],
  [0.04, 0.16, 0.16, 0.64],
  [0.04, 0.16, 0.16, 0.64],
]

# One list per agent, reward of each local pair.
rewards = [[0.0, 1.0], [0.0, 1.0]]

[agents]
names = ["leader", "follower"]
states = [["low", "high"], ["low", "high"]]
"""

_MDP = """\
kind = "mdp"          # a joint kernel, any coupling of transitions and actions
discount = 0.9        # gamma in [0, 1)
n_states = [2, 2]     # local states of each agent
n_actions = [2, 1]    # local actions of each agent

# kernel[s][a][t] = P(t | s, a) over joint states (0,0), (0,1), (1,0), (1,1), one row per joint action.
# A row of zeros marks an action that is not available in that state.
kernel = [
  [[0.63, 0.27, 0.07, 0.03], [0.18, 0.12, 0.42, 0.28]],
  [[0.27, 0.63, 0.03, 0.07], [0.12, 0.18, 0.28, 0.42]],
  [[0.35, 0.15, 0.35, 0.15], [0.06, 0.04, 0.54, 0.36]],
  [[0.10, 0.40, 0.10, 0.40], [0.02, 0.08, 0.18, 0.72]],
]

# One table per agent, rewards[i][s_i][a_i]; or one number per local state.
rewards = [
  [[0.0, -0.1], [1.0, 0.9]],
  [0.0, 1.0],
]

[agents]
names = ["driver", "rider"]

[policy]
kind = "table"        # or "uniform"; table[s][a] = pi(a | s) over joint states and joint actions
table = [[0.5, 0.5], [0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]
"""

_WEAKLY_COUPLED = """\
kind = "weakly-coupled"  # every agent moves on its own kernel; only the actions are coupled
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
kind = "index"           # serve the highest priority until the budget is used; or "uniform", "table", "local"
priority = [1.0, 0.0]    # one number per local state, shared by all agents; or one list per agent
"""

_BANDIT = """\
kind = "bandit"          # many arms that are alike; exactly `budget` of them are served at each step
discount = 0.5           # gamma in [0, 1)
n_arms = 1800            # any number: cost does not depend on it; a list for several types of arms
budget = 360

# kernels[a][s][t] = P(t | s, a): action 0 rest, 1 serve; with several types, one such array per type.
kernels = [
  [[0.5, 0.0, 0.0, 0.5], [0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.5, 0.5]],
  [[0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 0.0, 0.5]],
]
rewards = [-1.0, 0.0, 0.0, 1.0]   # by local state; or [state][action]

[policy]
kind = "index"           # serve the highest priority first; or "uniform"
priority = [1.0, 2.0, 3.0, 0.0]
"""

TEMPLATES = {"chain": _CHAIN, "mdp": _MDP, "weakly-coupled": _WEAKLY_COUPLED, "bandit": _BANDIT}


def template(kind: str, file: str) -> str:
    """The text of a runnable system file of that kind."""
    return _HEAD.format(file=file) + TEMPLATES[kind]
