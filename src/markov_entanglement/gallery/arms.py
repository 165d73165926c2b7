"""Arms that age, recover or wear: restart, recovering and machine maintenance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .._check import integer
from ..model.bandit import RestlessBandit
from .priorities import JOINT, fixed, priorities, separable
from .registry import Entry, Fact, register


def restart(n_arms: int = 10, budget: int | None = None, discount: float = 0.99) -> RestlessBandit:
    """States 0..4; a passive arm moves one up with probability .9, else falls to 0; an active one restarts at 0.
    Rewards .9^(s+1) passive, 0 active; a tenth of the arms restarts unless `budget` says otherwise."""
    passive, active = np.zeros((5, 5)), np.zeros((5, 5))
    passive[:, 0] = 0.1
    for s in range(5):
        passive[s, min(s + 1, 4)] += 0.9
    active[:, 0] = 1.0
    rewards = np.stack([0.9 ** np.arange(1, 6), np.zeros(5)], axis=1)
    served = n_arms // 10 if budget is None else budget
    return RestlessBandit([passive, active], rewards, n_arms=n_arms, budget=served, discount=discount)


#: Classes A to D of Nakhleh et al.: (theta_0, theta_1, theta_2).
CLASSES = ((10.0, 0.2, 0.0), (8.5, 0.4, 0.0), (7.0, 0.6, 0.0), (5.5, 0.8, 0.0))


def recovering(
    longest: int = 5,
    stall: float = 0.1,
    arms_per_class: Sequence[int] = (1, 1, 1, 1),
    budget: int = 1,
    discount: float = 0.99,
) -> RestlessBandit:
    """Four classes of arms; state z - 1 for z = 1..longest steps since the last pull (20 in the literature).
    A pull earns `theta_0 (1 - exp(-theta_1 z + theta_2))` and resets z to 1; else z grows by one, or stalls with
    probability `stall` (0 in the literature: then the joint chain is deterministic and has many classes)."""
    z = np.arange(1, integer("longest", longest, low=1) + 1)
    passive, active = np.zeros((longest, longest)), np.zeros((longest, longest))
    for s in range(longest):
        passive[s, s] += stall
        passive[s, min(s + 1, longest - 1)] += 1 - stall
    active[:, 0] = 1.0
    pulls = [a * (1 - np.exp(-b * z + c)) for a, b, c in CLASSES]
    rewards = [np.stack([np.zeros(longest), p], axis=1) for p in pulls]
    return RestlessBandit(
        [[passive, active]] * len(CLASSES), rewards, n_arms=arms_per_class, budget=budget, discount=discount
    )


def recovering_index(longest: int, stall: float) -> tuple[float, ...]:
    """The average-reward Whittle index in closed form, by renewal: with `n_z = (z-1)/(1-stall)` steps of rest before a
    pull at z, `(n_z lam + r_z)/(n_z + 1)` is the same for z and z + 1 at
    `lam = (1-stall) (r_z (n_(z+1) + 1) - r_(z+1) (n_z + 1))`; at the longest rest `lam = r_z`."""
    out = []
    for a, b, c in CLASSES:
        pull = [a * (1 - math.exp(-b * z + c)) for z in range(1, longest + 1)]
        rest = [z / (1 - stall) for z in range(longest)]
        steps = zip(pull, pull[1:], rest, rest[1:], strict=False)
        out += [(1 - stall) * (r * (n_next + 1) - r_next * (n + 1)) for r, r_next, n, n_next in steps]
        out.append(pull[-1])
    return tuple(out)


def maintenance(n_arms: int = 10, budget: int | None = None, discount: float = 0.95) -> RestlessBandit:
    """Machines with wear 0..4, 4 = failed. Unattended: the wear stays (.6), grows by one (.3), or the machine fails
    (.1). A repair returns it to 0 with probability .95. Costs `(s/4)^2` unattended, `.5 + (s/4)^2 / 2` in repair;
    a fifth of the machines is in repair unless `budget` says otherwise."""
    passive, active = np.zeros((5, 5)), 0.05 * np.eye(5)
    for s in range(4):
        passive[s, s] += 0.6
        passive[s, s + 1] += 0.3
        passive[s, 4] += 0.1
    passive[4, 4] = 1.0
    active[:, 0] += 0.95
    cost = (np.arange(5) / 4) ** 2
    rewards = np.stack([-cost, -0.5 - cost / 2], axis=1)
    served = n_arms // 5 if budget is None else budget
    return RestlessBandit([passive, active], rewards, n_arms=n_arms, budget=served, discount=discount)


register(
    Entry(
        "restart",
        "Arms with restart: only the oldest are worth it",
        "The index rises with age and, by the average criterion, is positive for the oldest arms alone. A restart "
        "forgets everything, so the mean field contracts at once, and with ten arms E is .024.",
        "Avrachenkov & Borkar 2022, example B; public code of Gibson (LachlanGibson/whittle-index-q-learning)",
        restart,
        priorities(None, "whittle", "lp", "myopic"),
        (
            Fact(
                "whittle-average", (-0.9, -0.729, -0.50949, -0.258788, 0.009892), 2e-6,
                "computed independently near discount 1; the paper prints -.9, -.73, -.5, -.26, -.01",
            ),
            Fact("mu-atv", 0.08415819, 6e-9, JOINT, params={"n_arms": 4, "budget": 1}),
            Fact("error_mu", 0.08313644, 6e-9, JOINT, params={"n_arms": 4, "budget": 1}),
            Fact("attractor", "proved", 0.0, "a contraction of all products of the affine pieces"),
            separable(),
        ),
    ),
    Entry(
        "recovering",
        "Recovering bandits: the longer an arm rests, the more a pull earns",
        "Four different arms, one pull a step. E_i stays below .14, yet the sum of local values misses 97 % of the "
        "spread of Q: what an arm is worth is nearly all in whether another one is due.",
        "Pike-Burke & Grünewälder 2019; classes of Nakhleh et al. 2021 (NeurWIN); the stall is ours",
        recovering,
        priorities(None, "whittle", "lp", "myopic"),
        (
            Fact("whittle-average", recovering_index(5, 0.1), 1e-9, "closed form by renewal"),
            Fact(
                "whittle-average", recovering_index(20, 0.0), 1e-8, "closed form by renewal",
                params={"longest": 20, "stall": 0.0},
            ),
            Fact("mu-atv", (0.00208412, 0.08811444, 0.13442919, 0.12433916), 6e-9, JOINT),
            Fact("policy", (0.00208412, 0.10106924, 0.14006684, 0.15095655), 6e-9, JOINT),
            Fact("error_mu", 0.441390379, 6e-10, JOINT),
            Fact("unexplained", 0.969561821, 6e-10, JOINT),
            Fact("mu-atv", (0.04708833, 0.03579598, 0.08004264, 0.10996107), 6e-9, JOINT, "myopic"),
            separable(),
        ),
    ),
    Entry(
        "maintenance",
        "Machine maintenance: repair the most worn first",
        "Wear, Whittle index, LP-priority and immediate gain all give one order; the mean field is attracted to one "
        "point, where the budget ends inside the machines with the least wear above none.",
        "Glazebrook, Mitchell & Ansell 2005; restart form of Akbarzadeh & Mahajan 2019; the numbers are ours",
        maintenance,
        priorities(fixed([0, 1, 2, 3, 4]), "whittle", "lp", "myopic"),
        (
            Fact("mu-atv", 0.07495572, 6e-9, JOINT, params={"n_arms": 4, "budget": 1}),
            Fact("policy", 0.13660243, 6e-9, JOINT, params={"n_arms": 4, "budget": 1}),
            Fact("error_mu", 0.056931276, 6e-10, JOINT, params={"n_arms": 4, "budget": 1}),
            Fact("attractor", "proved", 0.0, "a contraction of all products of the affine pieces"),
            separable(),
        ),
    ),
)  # fmt: skip
