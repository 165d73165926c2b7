"""Agents that see a signal: seats on the legs of a network and requests for them, stock and the yield of a machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from .._check import integer
from ..model.exogenous import ExogenousMDP
from ..model.policy import IndexPolicy, UniformPolicy
from .registry import Entry, Fact, register

_State: TypeAlias = tuple[int, ...]
_Law: TypeAlias = dict[tuple[int, ...], float]

#: Chance that a request is for both legs, for either, or for none; what it pays.
FARES = (0.0, 1.0, 1.0, 1.8)


def revenue_management(
    seats: int = 4, both: float = 0.1, departs: float = 0.1, discount: float = 0.95
) -> ExogenousMDP:
    """Two flight legs with seats 0 .. `seats` left; the signal is the request: none, leg A, leg B (.25 each), or both
    legs (`both`). It is accepted (a seat on every leg that it uses) or not; fares 1, 1 and 1.8, the last shared by the
    legs. A leg departs with probability `departs` and has all seats again."""
    size = integer("seats", seats, low=1) + 1
    kernel, rewards = np.zeros((2, 4, 2, size, size)), np.zeros((2, 4, size, 2))
    for leg, z, left in np.ndindex(2, 4, size):
        uses = z in (leg + 1, 3)
        for a in (0, 1) if uses and left else (0,):
            kernel[leg, z, a, left, left - a] += 1.0 - departs
            kernel[leg, z, a, left, seats] += departs
            rewards[leg, z, left, a] = a * FARES[z] / (2 if z == 3 else 1)
    chance = np.array([0.5 - both, 0.25, 0.25, both])
    # a request for both legs is accepted by both or by none: a_A + (1 - a_B) == 1
    together = np.zeros((2, 4, size, 2))
    together[0, 3], together[1, 3] = [0.0, 1.0], [1.0, 0.0]
    labels = {"names": ["leg A", "leg B"], "states": [f"{k} seats" for k in range(size)], "actions": ["keep", "sell"],
              "signals": ["no request", "request A", "request B", "request A+B"]}  # fmt: skip
    return ExogenousMDP(
        list(kernel), list(rewards), signal=np.tile(chance, (4, 1)), discount=discount, labels=labels,
        resources=[(list(together), [0.0, 0.0, 0.0, 1.0], "==")],
    )  # fmt: skip


def accepting(threshold: Callable[[int, int], float]) -> Callable[[ExogenousMDP], Any]:
    """Sell where there are seats and the fare is at least the sum of `threshold(seats left, seats)` over its legs."""

    def policy(system: ExogenousMDP) -> Callable[[_State, int], _Law]:
        full = system.spaces.plain.n_states[0] - 1

        def law(state: _State, z: int) -> _Law:
            legs = [leg for leg in (0, 1) if z in (leg + 1, 3)]
            price = sum(threshold(state[leg], full) for leg in legs)
            sold = all(state[leg] for leg in legs) and FARES[z] >= price - 1e-9
            return {(int(0 in legs and sold), int(1 in legs and sold)): 1.0}

        return law

    return policy


#: Cost of stock, of what is owed and of lost sales of each product (El Shar & Jiang, the first three).
STOCK, OWED, LOST = (0.1, 0.2, 0.05), (3.0, 1.2, 5.15), (30.1, 3.3, 10.05)
#: What a machine makes of its units, the two values of the signal, and how they follow each other.
YIELDS, YIELD_MOVES = (0.8, 1.0), ((0.7, 0.3), (0.2, 0.8))


def inventory(products: int = 3, units: int = 3, discount: float = 0.99) -> ExogenousMDP:
    """Products made to stock, local state -2 .. 4 pieces (below 0: owed); `units` of a common resource are split among
    them, and the signal w (.8 or 1) is the yield: a units make `2 w a / (1 + a)` pieces, rounded up or down at random.
    Demand is Poisson (.7), at most 2. Stock, pieces owed and sales beyond -2 cost."""
    demand = np.array([math.exp(-0.7) * 0.7**d / math.factorial(d) for d in range(3)])
    demand[2] = 1.0 - demand[:2].sum()
    count = integer("units", units, low=1) + 1
    kernel, cost = np.zeros((2, count, 7, 7)), np.zeros((3, 2, 7, count))
    for z, a, s in np.ndindex(2, count, 7):
        made = 2.0 * YIELDS[z] * a / (1.0 + a)
        for more, p in ((math.floor(made), 1.0 - made % 1.0), (math.floor(made) + 1, made % 1.0)):
            for d, q in enumerate(demand):
                level = s - 2 + more
                kernel[z, a, s, int(np.clip(level - d, -2, 4)) + 2] += p * q
                lost = max(-(level - d) - 2, 0)
                for k in range(3):
                    own = STOCK[k] * max(level, 0) + OWED[k] * max(-level, 0) + LOST[k] * lost
                    cost[k, z, s, a] += p * q * own
    labels = {"names": [f"product {k}" for k in range(1, products + 1)], "states": [str(x) for x in range(-2, 5)],
              "signals": [f"yield {w}" for w in YIELDS]}  # fmt: skip
    return ExogenousMDP(
        [kernel] * integer("products", products, low=1), [-cost[k % 3] for k in range(products)], signal=YIELD_MOVES,
        budget=units, discount=discount, labels=labels,
    )  # fmt: skip


def lowest_stock(system: ExogenousMDP) -> IndexPolicy:
    """Unit by unit to the product with the least stock, counting what its units make at full yield."""
    count = system.spaces.n_actions[0] - 1
    level = np.arange(-2, 5)[:, None] + np.array([2 * a / (1 + a) for a in range(count)])
    return IndexPolicy([-np.round(level, 9)])


_LOOPS = "the joint chain by loops over (signal, states, actions)"
register(
    Entry(
        "revenue-management",
        "Network revenue management: value as a sum over legs",
        "The legs of a network are the agents, requests the signal. Only requests for both legs tie them, as one leg "
        "without seats refuses for the other: without such requests E is 0, with 10 % of them E is .021 and with 30 % "
        ".057, and the sum of the legs' values, the classical approximation, misses 11 and 16 % of the spread of Q.",
        "Adelman 2007, Zhang & Adelman 2009; the small exact model and its numbers are ours",
        revenue_management,
        {
            "fcfs": accepting(lambda left, seats: 0.0),
            "bid-price": accepting(lambda left, seats: 1.0 / max(left, 1)),
        },
        (
            Fact("mu-atv", 0.0, 1e-12, "no request ties the legs: Prop. J.1", "fcfs", {"both": 0.0}),
            Fact("mu-atv", 0.02079, 6e-6, _LOOPS, "fcfs"),
            Fact("policy", 0.022847, 6e-7, _LOOPS, "fcfs"),
            Fact("atv", 0.045, 1e-9, _LOOPS, "fcfs"),
            Fact("unexplained", 0.105268, 6e-7, _LOOPS, "fcfs"),
            Fact("unexplained", 0.160965, 6e-7, _LOOPS, "fcfs", {"both": 0.3}),
        ),
    ),
    Entry(
        "inventory",
        "Made to stock on one machine: more than two actions, a random yield",
        "Three products share three units of a machine whose yield is a signal. Split at random they are independent "
        "given the yield; unit by unit to the lowest stock E is .155 and the sum misses 31 % of the spread of Q. Sums "
        "that may not see the yield miss 34 %: here the signal matters little.",
        "El Shar & Jiang 2023 (weakly coupled DQN), made small; the numbers are ours",
        inventory,
        {"lowest-stock": lowest_stock, "uniform": lambda system: UniformPolicy()},
        (
            Fact("mu-atv", 0.0, 1e-12, "Prop. J.1", "uniform"),
            Fact("mu-atv", 0.154658, 6e-7, _LOOPS, "lowest-stock"),
            Fact("policy", 0.409101, 6e-7, _LOOPS, "lowest-stock"),
            Fact("unexplained", 0.30828, 6e-6, _LOOPS, "lowest-stock"),
        ),
    ),
)  # fmt: skip
