"""Restless bandits: arms that are alike, counted."""

from __future__ import annotations

from typing import Any

from . import Kind

_FITS = ("uniform", "index", "whittle", "lp", "myopic", "lp-update")


def _made_of(bandit: Any) -> dict[str, Any]:
    if bandit.n_types > 1:
        return {"n_arms": bandit.n_arms.tolist()}
    return {"n_arms": bandit.n_agents, "kernels": bandit.kernels[0], "rewards": bandit.rewards[0]}


KIND = Kind(
    word="bandit",
    name="RestlessBandit",
    help="many arms that are alike; exactly `budget` of them are served at each step",
    lacks=lambda _, word: "" if word in _FITS else "joint states, and its arms are only counted",
    arms=lambda bandit: bandit,
    made_of=_made_of,
    text="""\
discount = 0.5           # gamma in [0, 1)
n_arms = 1800            # any number: cost does not depend on it; a list for several types of arms
budget = 360

# kernels[a][s][t] = P(t | s, a): action 0 rest, 1 serve; with several types, one such array per type.
kernels = [
  [[0.5, 0.0, 0.0, 0.5], [0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.5, 0.5]],
  [[0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 0.0, 0.5]],
]
rewards = [-1.0, 0.0, 0.0, 1.0]   # by local state; or [state][action]

[agents]                 # display names
states = ["bad", "fair", "fine", "good"]
actions = ["wait", "serve"]

[policy]
kind = "index"           # serve the highest priority first; "whittle", "lp", "myopic" compute it; uniform, lp-update
priority = [1.0, 2.0, 3.0, 0.0]
""",
)
