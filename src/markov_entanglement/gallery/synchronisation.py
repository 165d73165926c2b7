"""Arms that cannot be made to move in step: where following an ideal arm fails."""

from __future__ import annotations

import numpy as np

from ..model.bandit import RestlessBandit
from .priorities import fixed, priorities, separable
from .registry import Entry, Fact, register

#: The right action in states 0..7.
_RIGHT = (1, 1, 1, 1, 1, 1, 0, 1)


def non_synchronisable(n_arms: int = 5, budget: int | None = None, discount: float = 0.9) -> RestlessBandit:
    """States 0..7 with right actions 1, 1, 1, 1, 1, 1, 0, 1. The right one leads from s to s + 1 up to 6, from 6 to 7
    or 4 with probability 1/2 each, from 7 to 6, and earns 1 in states 4..7; the wrong one leads to 0. Three fifths of
    the arms are active unless `budget` says otherwise."""
    kernels, rewards = np.zeros((2, 8, 8)), np.zeros((8, 2))
    for s, right in enumerate(_RIGHT):
        kernels[1 - right, s, 0] = 1.0
        for t in {6: (7, 4), 7: (6,)}.get(s, (s + 1,)):
            kernels[right, s, t] = 0.5 if s == 6 else 1.0
        rewards[s, right] = float(s >= 4)
    served = 3 * n_arms // 5 if budget is None else budget
    return RestlessBandit(kernels, rewards, n_arms=n_arms, budget=served, discount=discount)


_STEPS = "joint pairs that five arms reach from state 0, listed by a program of its own"

register(
    Entry(
        "non-synchronisable",
        "Arms that cannot be made to move in step",
        "On its own every arm can earn 1 a step, and the relaxation promises as much for all; but a single wrong "
        "action sends an arm back to the start, and arms that take turns cannot all be right. Five arms earn .62 "
        "each under LP-priority, E is .13, and the sum of local values misses 87 % of the spread of Q. Policies "
        "that let arms follow an ideal arm fail here as well.",
        "Hong, Xie, Chen & Wang 2024 (rb-focus-set), non-synchronisable arms of 8 states",
        non_synchronisable,
        priorities(fixed([1, 2, 3, 4, 5, 5, -5, 5]), "lp", "whittle", "myopic"),
        (
            Fact(
                "lp-value",
                1.0,
                1e-9,
                "closed form: (0, 0, 0, 0, 1, 1, 2, 1)/5 under right actions, 3/5 of them active",
            ),
            Fact(
                "lp-priority",
                (1, 2, 3, 4, 5, 5, -5, 5),
                1e-9,
                "closed form: a wrong action costs the way back, price 0",
            ),
            Fact("mu-atv", 0.1310756555, 6e-10, _STEPS),
            Fact("error_mu", 1.5381801597, 6e-10, _STEPS),
            Fact("unexplained", 0.8731397286, 6e-10, _STEPS),
            Fact("reward", 0.6197722949, 6e-10, _STEPS),
            separable(),
        ),
    )
)
