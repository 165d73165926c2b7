"""Agents that see a signal: charging at changing prices, rides for a stream of orders, seats on legs, stock."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .._check import Floats, integer
from ..model.exogenous import ExogenousMDP
from ..model.policy import IndexPolicy, UniformPolicy
from ..values.decomposition import value_decomposition
from .registry import Entry, Fact, register

_State: TypeAlias = tuple[int, ...]
_Law: TypeAlias = dict[tuple[int, ...], float]

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


def ride_hailing(cells: int = 3, horizon: int = 3, drivers: int = 3, discount: float = 0.9) -> ExogenousMDP:
    """Drivers on a line of cells, local state (cell, steps until free there: 0 .. horizon - 1); the signal is the order
    of the step, none or (from, to): with probability .3 as before, else none with .2 or one of all pairs. At most one
    idle driver within one cell takes it: he earns 1 + |from - to| and is free there after `min(horizon, |cell - from| +
    max(1, |from - to|))` steps. An idle driver without an order stays with .8 or goes to a neighbour."""
    where = list(
        itertools.product(range(integer("cells", cells, low=2)), range(integer("horizon", horizon, low=1)))
    )
    place = {x: k for k, x in enumerate(where)}
    orders = _orders(cells)
    kernel = np.zeros((len(orders), 2, len(where), len(where)))
    rewards = np.zeros((len(orders), len(where), 2))
    for (cell, left), s in place.items():
        if left:
            kernel[:, 0, s, place[cell, left - 1]] = 1.0
            continue
        near = [c for c in (cell - 1, cell + 1) if 0 <= c < cells]
        kernel[:, 0, s, s] = 0.8
        for c in near:
            kernel[:, 0, s, place[c, 0]] = 0.2 / len(near)
        for z, order in enumerate(orders):
            if order and abs(cell - order[0]) <= 1:
                ride = min(horizon, abs(cell - order[0]) + max(1, abs(order[0] - order[1])))
                kernel[z, 1, s, place[order[1], ride - 1]] = 1.0
                rewards[z, s, 1] = 1.0 + abs(order[0] - order[1])
    base = np.array([0.2, *[0.8 / cells**2] * cells**2])
    labels = {
        "names": [f"driver {k}" for k in range(1, drivers + 1)],
        "states": [f"cell {c}" if not d else f"cell {c} in {d}" for c, d in where],
        "actions": ["stay", "take"],
        "signals": ["no order" if o is None else f"{o[0]} to {o[1]}" for o in orders],
    }
    return ExogenousMDP(
        [kernel] * integer("drivers", drivers, low=1), [rewards] * drivers, discount=discount, labels=labels,
        signal=0.3 * np.eye(len(orders)) + 0.7 * base, resources=[([0, 1], 1, "<=")],
    )  # fmt: skip


def _orders(cells: int) -> list[tuple[int, int] | None]:
    return [None, *itertools.product(range(cells), range(cells))]


def dispatch(worth: Callable[[int, tuple[int, int]], float]) -> Callable[[ExogenousMDP], Any]:
    """The policy `_dispatched` of a system."""
    return lambda system: _dispatched(system, worth)


def _dispatched(
    system: ExogenousMDP, worth: Callable[[int, tuple[int, int]], float]
) -> Callable[[_State, int], _Law]:
    """The idle driver near the order whose cell is worth most takes it, ties alike; nobody where none is worth >= 0."""
    n, (cells, wide) = system.n_agents, _layout(system)
    orders = _orders(cells)

    def law(state: _State, z: int) -> _Law:
        order, gains = orders[z], {}
        if order is not None:
            idle = ((i, *divmod(s, wide)) for i, s in enumerate(state))
            gains = {i: worth(c, order) for i, c, left in idle if not left and abs(c - order[0]) <= 1}
        top = max(gains.values(), default=-1.0)
        best = [i for i, gain in gains.items() if gain > top - 1e-9] if top >= 0 else []
        if not best:
            return {(0,) * n: 1.0}
        return {tuple(int(j == i) for j in range(n)): 1.0 / len(best) for i in best}

    return law


def _layout(system: ExogenousMDP) -> tuple[int, int]:
    """Cells and horizon."""
    cells = math.isqrt(system.spaces.n_signals)
    return cells, system.spaces.plain.n_states[0] // cells


def first_driver(system: ExogenousMDP) -> Callable[[_State, int], _Law]:
    """The idle driver of the lowest number near the order."""
    anyone = _dispatched(system, lambda cell, order: 0.0)

    def law(state: _State, z: int) -> _Law:
        return {max(anyone(state, z)): 1.0}

    return law


def cell_values(system: ExogenousMDP, policy: Any) -> Floats:
    """(cells,) what an idle driver is worth in each cell under a policy: the local values that he learns without seeing
    orders (Xu et al. 2018)."""
    cells, wide = _layout(system)
    blind = system.under(policy, initial=((0,) * system.n_agents, 0)).blind()
    local, visits = value_decomposition(blind).local_q[0], blind.rows(0).key_weight
    worth = np.where(visits > 0, local, 0.0) * visits
    idle = np.arange(cells) * wide
    return np.asarray(worth.reshape(-1, 2).sum(axis=1)[idle] / visits.reshape(-1, 2).sum(axis=1)[idle])


def by_value(system: ExogenousMDP, rounds: int = 3) -> Callable[[_State, int], _Law]:
    """The driver with the largest `fare + gamma^t V(to) - V(cell)`, t the steps of the ride, nobody where that is
    negative; V of the policy before, three rounds from "nearest"."""
    gamma = system.discount or 0.0
    law = _dispatched(system, _near)
    for _ in range(rounds):
        value = cell_values(system, law)

        def gain(cell: int, order: tuple[int, int], value: Floats = value) -> float:
            ride = abs(order[0] - order[1])
            steps = abs(cell - order[0]) + max(1, ride)
            return float(1.0 + ride + gamma**steps * value[order[1]] - value[cell])

        law = _dispatched(system, gain)
    return law


def _near(cell: int, order: tuple[int, int]) -> float:
    return 1.0 - abs(cell - order[0])


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


_TABLES = "two independent programs, on dictionaries of joint pairs"
_LOOPS = "the joint chain by loops over (signal, states, actions)"
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
    Entry(
        "ride-hailing",
        "Ride-hailing: whose driver takes the order",
        "Orders are a signal that nobody influences; who takes one depends on where all drivers are. Under each of the "
        "four rules E, summed over drivers, is three to five times as large where local values may not see the order, "
        "and the sum of values then misses 56 to 65 % of the spread of Q instead of 16 to 26 %.",
        "Xu et al. 2018 (DiDi), Qin et al. 2020; the small exact model is ours",
        ride_hailing,
        {
            "random": dispatch(lambda cell, order: 0.0),
            "nearest": dispatch(_near),
            "lowest": first_driver,
            "value": by_value,
        },
        (
            Fact("policy", 0.061075, 6e-7, _TABLES, "random"),
            Fact("mu-atv", 0.050711, 6e-7, _TABLES, "random"),
            Fact("mu-atv", 0.085086, 6e-7, _TABLES, "nearest"),
            Fact("unexplained", 0.172742, 6e-7, _TABLES, "nearest"),
            Fact("mu-atv", (0.0, 0.133602, 0.085025), 6e-7, _TABLES, "lowest"),
            Fact("mu-atv", 0.072998, 6e-7, _TABLES, "value"),
            Fact("blind_mu-atv", 0.233346, 6e-7, _TABLES, "value"),
            Fact("mu-atv", 0.065770, 6e-7, _TABLES, "nearest", {"cells": 2, "horizon": 2}),
            Fact("policy", 0.115594, 6e-7, _TABLES, "nearest", {"cells": 2, "horizon": 2}),
        ),
    ),
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
