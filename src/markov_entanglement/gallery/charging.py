"""Cars at charging spots: prices are a signal that all see."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from .._check import integer
from ..model.exogenous import ExogenousMDP
from ..model.policy import IndexPolicy, UniformPolicy
from .registry import Entry, Fact, register

#: Prices of charging, and how they follow each other.
PRICES, PRICE_MOVES = (0.2, 0.5, 0.8), ((0.4, 0.3, 0.3), (0.2, 0.5, 0.3), (0.6, 0.2, 0.2))
#: (slots to the deadline, load) of each local state of a charging spot; (0, 0) is an empty spot.
SPOTS = tuple(itertools.product(range(5), range(3)))


def ev_charging(spots: int = 3, budget: Sequence[int] = (2, 2, 1), discount: float = 0.9) -> ExogenousMDP:
    """Cars at charging spots, local state (slots to the deadline T <= 4, load B <= 2); the signal is the price c of .2,
    .5 or .8, with `budget` chargers in use at each. A charged load earns 1 - c, a load B left at the deadline costs
    .2 B^2; then a new car comes with probability .7, T and B uniform."""
    place = {x: k for k, x in enumerate(SPOTS)}
    fresh = np.zeros(len(SPOTS))
    fresh[0] = 0.3
    for t, b in itertools.product(range(1, 5), (1, 2)):
        fresh[place[t, b]] = 0.7 / 8
    kernel, rewards = np.zeros((2, len(SPOTS), len(SPOTS))), np.zeros((3, len(SPOTS), 2))
    for (t, b), s in place.items():
        for a in (0, 1):
            left = max(b - a, 0)
            if t > 1:
                kernel[a, s, place[t - 1, left]] = 1.0
            else:
                kernel[a, s] = fresh
            if t > 0 and b > 0:
                rewards[:, s, a] = a * (1.0 - np.array(PRICES)) - (0.2 * left**2 if t == 1 else 0.0)
    labels = {
        "names": [f"spot {k}" for k in range(1, spots + 1)],
        "states": [f"T={t} B={b}" for t, b in SPOTS],
        "actions": ["wait", "charge"],
        "signals": [f"price {c}" for c in PRICES],
    }
    return ExogenousMDP(
        [kernel] * integer("spots", spots, low=1), [rewards] * spots, signal=PRICE_MOVES, budget=list(budget),
        discount=discount, labels=labels,
    )  # fmt: skip


def charging_index(system: ExogenousMDP) -> IndexPolicy:
    """Whittle index of the deadline arm at the present price (Yu, Xu & Tong): 0 without load; 1 - c while there is
    slack; `gamma^(T-1) (F(B-T+1) - F(B-T)) + 1 - c` when there is none, F(B) = .2 B^2."""
    gamma = system.discount or 0.0
    index = np.zeros((len(PRICES), len(SPOTS)))
    for s, (t, b) in enumerate(SPOTS):
        if t > 0 and b > 0:
            short = b - t
            late = gamma ** (t - 1) * 0.2 * ((short + 1) ** 2 - short**2) if short >= 0 else 0.0
            index[:, s] = late + 1.0 - np.array(PRICES)
    return IndexPolicy([index])


def least_laxity(system: ExogenousMDP) -> IndexPolicy:
    """The car with the least slack T - B first, spots without load last."""
    return IndexPolicy([b - t if b > 0 else -9 for t, b in SPOTS])


_TABLES = "two independent programs, on dictionaries of joint pairs"
register(
    Entry(
        "ev-charging",
        "Charging cars at changing prices: a signal that all see",
        "Three spots share the chargers that the price leaves. Served at random the spots stay independent given the "
        "price and values add up exactly; by Whittle's index E is .128 and the sum misses 13.8 % of the spread of Q. "
        "Local values that may not see the price miss 51 %, although their E is even a little smaller.",
        "El Shar & Jiang 2023 (weakly coupled DQN); deadline arm and index of Yu, Xu & Tong 2018",
        ev_charging,
        {"whittle": charging_index, "random": lambda system: UniformPolicy(), "laxity": least_laxity},
        (
            Fact("mu-atv", 0.0, 1e-12, "Prop. J.1: policies that are local given the signal", "random"),
            Fact("policy", 0.158794, 6e-7, _TABLES, "whittle"),
            Fact("mu-atv", 0.127753, 6e-7, _TABLES, "whittle"),
            Fact("unexplained", 0.137562, 6e-7, _TABLES, "whittle"),
            Fact("blind_mu-atv", 0.127327, 6e-7, _TABLES, "whittle"),
            Fact("mu-atv", 0.130188, 6e-7, _TABLES, "laxity"),
        ),
    ),
)  # fmt: skip
