"""The circulant bandit of Section 7.2.1 and Appendix K: any N in counts, small N as a table."""

from __future__ import annotations

import numpy as np

from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy, UniformPolicy
from ..model.weakly_coupled import WeaklyCoupledMDP
from .priorities import fixed, priorities, separable
from .registry import Entry, Fact, register

PASSIVE = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
ACTIVE = PASSIVE.T
REWARD = np.array([-1.0, 0.0, 0.0, 1.0])
PRIORITY = np.array([1.0, 2.0, 3.0, 0.0])


def circulant(n_arms: int = 5, budget: int | None = None, discount: float = 0.9) -> WeaklyCoupledMDP:
    """N arms on a circle of 4 states; a fifth of them are served (unless `budget` says otherwise)."""
    served = n_arms // 5 if budget is None else budget
    arms, rewards = [np.stack([PASSIVE, ACTIVE])] * n_arms, [REWARD] * n_arms
    labels = {"names": [f"arm {i}" for i in range(n_arms)], "actions": ["passive", "active"]}
    return WeaklyCoupledMDP(arms, rewards, discount=discount, budget=served, labels=labels)


def circulant_bandit(n_arms: int = 30, budget: int | None = None, discount: float = 0.5) -> RestlessBandit:
    """N arms on a circle of 4 states, rewards (-1, 0, 0, 1); a passive arm stays or steps back, an active one stays
    or steps ahead, each with probability 1/2. A fifth of the arms is active unless `budget` says otherwise."""
    served = n_arms // 5 if budget is None else budget
    return RestlessBandit([PASSIVE, ACTIVE], REWARD, n_arms=n_arms, budget=served, discount=discount)


_ORACLE = "exact count chain, computed independently"
_BOUNDS = "value iteration and plain linear programs, independent"
_COUNTS = "exact count chain, independent programs"
_LIMIT = "closed form of the mean field"
_SIMULATED = "N E of an independent simulator by the recipe of Appendix K.1, itself +- .05"
#: Quantity, discount, tolerance, and the values at 5, 10, 15 and 20 arms.
_BY_ARMS: tuple[tuple[str, dict[str, float], float, tuple[float, ...]], ...] = (
    ("policy", {}, 6e-8, (0.0817592, 0.0616116, 0.0522905, 0.0467267)),
    ("mu-atv", {}, 6e-8, (0.0397425, 0.0295957, 0.0248791, 0.0221043)),
    ("error_mu", {}, 6e-8, (0.0429941, 0.0725765, 0.0979374, 0.1192319)),
    ("error_mu", {"discount": 0.9}, 6e-8, (0.2263230, 0.4006142, 0.5517638, 0.6790218)),
    ("corrected_error_mu", {"discount": 0.5}, 6e-7, (0.066535, 0.049110, 0.035404, 0.025857)),
    ("corrected_error_mu", {"discount": 0.9}, 6e-7, (0.225413, 0.187366, 0.148348, 0.115808)),
)

register(
    Entry(
        "circulant",
        "Circulant restless bandit under its index policy",
        "The paper's experiment in small: identical arms, coupled only by the budget.",
        "Avrachenkov & Borkar 2022; Chen & Peng, arXiv 2506.02385, Appendix K",
        circulant,
        {"index": lambda _: IndexPolicy(PRIORITY), "uniform": lambda _: UniformPolicy()},
        (
            Fact("mu-atv", 0.0397425, 5e-8, _ORACLE),
            Fact("policy", 0.0817592, 5e-8, _ORACLE),
            Fact("error_mu", 0.2263230, 5e-8, _ORACLE),
            Fact("error_mu", 0.0429941, 5e-8, _ORACLE, params={"discount": 0.5}),
            Fact("optimal", 7.744024, 6e-7, _BOUNDS),
            Fact("alp", 8.910891, 6e-7, _BOUNDS),
            Fact("lagrangian", 8.910891, 6e-7, _BOUNDS),
            Fact("mu-atv", 0.0, 1e-12, "uniform M-of-N activation is separable", policy="uniform"),
        ),
    ),
    Entry(
        "circulant-bandit",
        "Circulant restless bandit at any number of arms",
        "The paper's experiment: entanglement falls like 1/sqrt(N), the error of the summed values grows like "
        "sqrt(N), yet its share of the spread of Q stays 4.4 %.",
        "Avrachenkov & Borkar 2022; Zhang & Frazier 2022; Chen & Peng, arXiv 2506.02385, Section 7.2.1, Appendix K",
        circulant_bandit,
        priorities(fixed(PRIORITY), "whittle", "lp"),
        (
            *(
                Fact(name, value, tolerance, _COUNTS, params={"n_arms": n, **params})
                for name, params, tolerance, values in _BY_ARMS
                for n, value in zip((5, 10, 15, 20), values, strict=True)
            ),
            *(
                Fact("policy", value / n, 0.08 / n, _SIMULATED, params={"n_arms": n})
                for n, value in {300: 3.76, 600: 5.30, 900: 6.52, 1200: 7.54, 1500: 8.40, 1800: 9.18}.items()
            ),
            Fact("fixed_point", (0.15, 0.15, 0.35, 0.35), 1e-12, _LIMIT),
            Fact("activation", (0.0, 0.0, 4 / 7, 0.0), 1e-12, _LIMIT),
            Fact("radius", 0.5**0.5, 1e-12, _LIMIT + ": tangent eigenvalues 0, (1 +- i)/2"),
            Fact("attractor", "proved", 0.0, "a contraction of all products of the affine pieces"),
            Fact("limit_policy", 0.217467, 5e-7, _LIMIT + ": (4/7) sqrt(2 * .2275 / pi)"),
            Fact("limit_mu-atv", 0.104468, 5e-7, _LIMIT),
            Fact("limit_error_mu", 0.0293346, 5e-8, _LIMIT),
            Fact("limit_error_l2", 0.0367655, 5e-8, _LIMIT),
            Fact("limit_unexplained", 0.04401, 5e-6, _LIMIT),
            Fact("limit_unexplained", 0.21995, 5e-6, _LIMIT, params={"discount": 0.9}),
            *(
                Fact("whittle", (-g / 2, g / 2, top, -top), 1e-10, "closed form", params={"discount": g})
                for g in (0.5, 0.9, 0.99)
                for top in [g / (1 + (1 - g) ** 2)]
            ),
            Fact("whittle-average", (-0.5, 0.5, 1.0, -1.0), 1e-10, "Avrachenkov & Borkar 2022"),
            separable(n_arms=10),
        ),
    ),
)
