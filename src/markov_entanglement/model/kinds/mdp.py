"""A Markov decision process with one joint kernel."""

from . import Kind

KIND = Kind(
    word="mdp",
    name="MultiAgentMDP",
    help="a joint kernel, any coupling of transitions and actions",
    text="""\
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
kind = "table"        # or "uniform", "optimal"; table[s][a] = pi(a | s) over joint states and joint actions
table = [[0.5, 0.5], [0.5, 0.5], [0.9, 0.1], [0.2, 0.8]]
""",
)
