"""A chain on joint pairs, given as such."""

from . import Kind

KIND = Kind(
    word="chain",
    name="JointChain",
    help="a chain on joint pairs, given as such",
    lacks=lambda _, word: "actions: a chain that is given as such has its policy inside",
    text="""\
discount = 0.9        # gamma in [0, 1); leave out with the rewards if you only ask for separability

# Local pair counts, one per agent. Joint indices are row-major, the first agent slowest:
# with sizes [2, 2] the joint pairs are (0,0), (0,1), (1,0), (1,1). Fewer of them: pairs = [[0, 0], [1, 1], ...]
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
""",
)
