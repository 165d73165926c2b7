"""Arms that age, recover or wear: restart, recovering and machine maintenance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._check import integer
from ..model.bandit import RestlessBandit
from .priorities import fixed, priorities
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
    longest: int = 6,
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
        "Circulant dynamics with restart: only old arms are worth a restart",
        "TODO",
        "Avrachenkov & Borkar 2022, example B",
        restart,
        priorities(None, "whittle", "lp", "myopic"),
        (
            Fact(
                "whittle-average", (-0.9, -0.729, -0.50949, -0.258788, 0.009892), 6e-7,
                "computed independently; the paper prints -.9, -.73, -.5, -.26, -.01",
            ),
        ),
    )
)  # fmt: skip
register(
    Entry(
        "recovering",
        "Recovering bandits: the longer an arm rests, the more a pull earns",
        "TODO",
        "Pike-Burke & Grünewälder 2019; classes of Nakhleh et al. 2021 (NeurWIN); the stall is ours",
        recovering,
        priorities(None, "whittle", "lp", "myopic"),
        (),
    )
)
register(
    Entry(
        "maintenance",
        "Machine maintenance: repair the most worn first",
        "TODO",
        "Glazebrook, Mitchell & Ansell 2005; restart form of Akbarzadeh & Mahajan 2019; the numbers are ours",
        maintenance,
        priorities(fixed([0, 1, 2, 3, 4]), "whittle", "lp", "myopic"),
        (),
    )
)
