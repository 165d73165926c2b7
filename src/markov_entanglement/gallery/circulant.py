"""The circulant bandit of Section 7.2.1 and Appendix K, small N as a table."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..model.policy import IndexPolicy, UniformPolicy
from ..model.weakly_coupled import WeaklyCoupledMDP
from .registry import Entry, Fact, register

PASSIVE = 0.5 * np.array([[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], dtype=float)
ACTIVE = PASSIVE.T
REWARD = np.array([-1.0, 0.0, 0.0, 1.0])
PRIORITY = np.array([1.0, 2.0, 3.0, 0.0])


def circulant(n_arms: int = 5, budget: int | None = None, discount: float = 0.9) -> WeaklyCoupledMDP:
    """N arms on a circle of 4 states; a fifth of them are served (unless `budget` says otherwise)."""
    served = n_arms // 5 if budget is None else budget
    arm = np.stack([PASSIVE, ACTIVE])
    labels: dict[str, Any] = {
        "names": [f"arm {i}" for i in range(n_arms)],
        "actions": ["passive", "active"],
    }
    return WeaklyCoupledMDP(
        [arm] * n_arms, [REWARD] * n_arms, discount=discount, budget=served, labels=labels
    )


_ORACLE = "exact count chain, computed independently"

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
            Fact("mu-atv", 0.0, 1e-12, "uniform M-of-N activation is separable", policy="uniform"),
        ),
    )
)
