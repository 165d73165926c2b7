"""Dynamic assortment: products whose demand is learned by showing them."""

from __future__ import annotations

import numpy as np

from .._check import integer
from ..model.bandit import RestlessBandit
from .priorities import JOINT, priorities, separable
from .registry import Entry, Fact, register


def _beliefs(longest: int) -> list[tuple[int, int]]:
    """(alpha, beta) of a Beta belief, alpha + beta = 2..longest, from few observations to many."""
    return [(a, n - a) for n in range(2, longest + 1) for a in range(1, n)]


def assortment(
    n_arms: int = 4, budget: int = 1, longest: int = 6, season: float = 0.05, discount: float = 0.9
) -> RestlessBandit:
    """Products with Beta(alpha, beta) beliefs on the chance of a sale, `alpha + beta <= longest`; state 0 is (1, 1),
    then (1, 2), (2, 1), (1, 3), ... A shown product sells with probability alpha / (alpha + beta), for 1; a sale adds
    1 to alpha, none to beta, and a belief from `longest` observations stays. A hidden product learns nothing. With
    probability `season` a product is replaced by a new one, of belief (1, 1)."""
    states = _beliefs(integer("longest", longest, low=2))
    at, n = {x: k for k, x in enumerate(states)}, len(states)
    kernels, rewards = np.zeros((2, n, n)), np.zeros((n, 2))
    kernels[0] = (1 - season) * np.eye(n)
    kernels[:, :, 0] += season
    for k, (a, b) in enumerate(states):
        rewards[k, 1] = sale = a / (a + b)
        kernels[1, k, at.get((a + 1, b), k)] += (1 - season) * sale
        kernels[1, k, at.get((a, b + 1), k)] += (1 - season) * (1 - sale)
    return RestlessBandit(kernels, rewards, n_arms=n_arms, budget=budget, discount=discount)


#: Whittle indices of the beliefs by value iteration inside a bisection; the last five are alpha / 6.
_INDEX = (
    0.6656931, 0.4625860, 0.7714843, 0.3420314, 0.6002827, 0.8108935, 0.2721519, 0.4702259, 0.6519757, 0.8275030,
    1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6,
)  # fmt: skip

register(
    Entry(
        "assortment",
        "Dynamic assortment: show a product to learn what it sells",
        "Demand is learned by showing, so a product of unknown demand is worth more than it earns now: the index "
        "of a new one is .67 where its chance is .5. With four products and one shelf E is .034, and the sum of "
        "local values says nothing: it misses more than all of the spread of Q.",
        "Caro & Gallien 2007; Brown & Smith 2020; beliefs cut and seasons are ours",
        assortment,
        priorities(None, "whittle", "myopic", "lp"),
        (
            Fact("whittle", _INDEX, 2e-7, "value iteration inside a bisection"),
            Fact(
                "indexable",
                "indexable",
                0.0,
                "a hidden product learns nothing: a bandit in the sense of Gittins",
            ),
            Fact("mu-atv", 0.0655264401, 6e-10, JOINT, params={"n_arms": 2}),
            Fact("policy", 0.1571737621, 6e-10, JOINT, params={"n_arms": 2}),
            Fact("error_mu", 0.4600452099, 6e-10, JOINT, params={"n_arms": 2}),
            Fact("unexplained", 0.4801397448, 6e-10, JOINT, params={"n_arms": 2}),
            Fact("reward", 0.3084992756, 6e-10, JOINT, params={"n_arms": 2}),
            Fact("mu-atv", 0.0634900006, 6e-10, JOINT, "myopic", {"n_arms": 2}),
            Fact("reward", 0.3072652949, 6e-10, JOINT, "myopic", {"n_arms": 2}),
            separable(n_arms=2),
        ),
    )
)
