"""Jobs at a shared server: deadline scheduling (charging vehicles) and wireless channels."""

from __future__ import annotations

import numpy as np

from .._check import choice, integer
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy
from .priorities import JOINT, priorities, separable
from .registry import Entry, Fact, register

COST, PENALTY, ARRIVAL = 0.5, 0.2, 0.7


def _jobs(horizon: int, load: int) -> list[tuple[int, int]]:
    """States (T, B): the empty slot first, then T = 1..horizon slots to the deadline and B = 0..load units left."""
    return [(0, 0), *((t, b) for t in range(1, horizon + 1) for b in range(load + 1))]


def deadline(
    horizon: int = 4, load: int = 2, n_arms: int = 4, budget: int = 1, discount: float = 0.99
) -> RestlessBandit:
    """Charging slots; state 0 is empty, state 1 + (T-1)(load+1) + B has T steps left and B units to do.
    An active slot does one unit and earns .5; what is left at the deadline costs .2 B^2; then a job arrives with
    probability .7, T and B uniform on 1..horizon and 1..load (12 and 9 in the literature, with N, M = 10, 4)."""
    states = _jobs(integer("horizon", horizon, low=1), integer("load", load, low=1))
    at = {x: k for k, x in enumerate(states)}
    arrivals = np.zeros(len(states))
    arrivals[0] = 1 - ARRIVAL
    for t, b in states[1:]:
        if b > 0:
            arrivals[at[t, b]] = ARRIVAL / (horizon * load)
    kernels, rewards = np.zeros((2, len(states), len(states))), np.zeros((len(states), 2))
    for k, (t, b) in enumerate(states):
        for a in (0, 1):
            left = max(b - a, 0)
            done = (1 - COST) * (b - left)
            if t > 1:
                kernels[a, k, at[t - 1, left]] = 1.0
                rewards[k, a] = done
            else:
                kernels[a, k] = arrivals
                rewards[k, a] = done - PENALTY * left**2
    return RestlessBandit(kernels, rewards, n_arms=n_arms, budget=budget, discount=discount)


def deadline_index(horizon: int, load: int, discount: float) -> tuple[float, ...]:
    """The Whittle index in closed form: 0 without work; 1 - c with slack; else 1 - c plus the discounted penalty that
    one unit saves, `gamma^(T-1) [F(B-T+1) - F(B-T)]`, `F(B) = .2 B^2`."""
    out = []
    for t, b in _jobs(horizon, load):
        if b == 0:
            out.append(0.0)
        elif b <= t - 1:
            out.append(1 - COST)
        else:
            saved = PENALTY * ((b - t + 1) ** 2 - (b - t) ** 2)
            out.append(discount ** (t - 1) * saved + 1 - COST)
    return tuple(out)


#: Bits of a job that one slot sends: on a bad and on a good channel, in units of 8400 bits.
RATES = (1, 4)
#: case -> per class (holding cost c, probability q of a good channel).
CASES = {"1": ((1.0, 0.75), (1.0, 0.1)), "2": ((5.0, 0.5), (1.0, 0.5))}


def wireless(
    case: str = "1", size: int = 3, n_arms: tuple[int, int] = (2, 2), budget: int = 1, discount: float = 0.99
) -> RestlessBandit:
    """Jobs of two classes; state 2 y + v has y units of 8400 bits left and channel v (1 good), drawn anew each slot.
    An active job sends 1 unit, or 4 on a good channel; each slot with y > 0 costs c; from y = 0 a job of `size`
    units arrives with probability .3. Case "1": c = 1, 1 and q = .75, .1; case "2": c = 5, 1 and q = .5, .5."""
    classes = CASES[choice("case", case, tuple(CASES))]
    n = 2 * (integer("size", size, low=1) + 1)
    kernels, rewards = np.zeros((2, 2, n, n)), np.zeros((2, n))
    for c, (cost, good) in enumerate(classes):
        channel = np.array([1 - good, good])
        for y in range(size + 1):
            for v in (0, 1):
                rewards[c, 2 * y + v] = -cost if y > 0 else 0.0
                for a in (0, 1):
                    nexts = {max(0, y - a * RATES[v]): 1.0} if y > 0 else {0: 0.7, size: 0.3}
                    for y_next, p in nexts.items():
                        kernels[c, a, 2 * y + v, 2 * y_next : 2 * y_next + 2] += p * channel
    return RestlessBandit(kernels, rewards, n_arms=n_arms, budget=budget, discount=discount)


def size_aware(bandit: RestlessBandit) -> IndexPolicy:
    """Any job with a good channel first, by `c r_good / y`; the others by `c / (q (r_good/r_bad - 1))`; idle last."""
    ratio = RATES[1] / RATES[0]
    out = []
    for t in range(bandit.n_types):
        good = float(bandit.kernels[t, 0, 2, 3])
        cost = -float(bandit.rewards[t, 2, 0])
        first = 1 + cost / (good * (ratio - 1))
        rank = [0.0, 0.0]
        for y in range(1, bandit.n_states // 2):
            rank += [first, 1e6 + cost * RATES[1] / y]
        out.append(rank)
    return IndexPolicy(out)


register(
    Entry(
        "deadline",
        "Deadline scheduling: charge the job whose penalty is nearest",
        "The Whittle index has a closed form. Whether a job is served depends on how many others are urgent: with four "
        "jobs and one charger E is .12, and the sum of local values misses 80 % of the spread of Q.",
        "Yu, Xu & Tong 2018; as in Nakhleh et al. 2021; small sizes of El Shar & Jiang 2023",
        deadline,
        priorities(None, "whittle", "lp", "myopic"),
        (
            Fact("whittle", deadline_index(4, 2, 0.99), 1e-9, "closed form of Yu, Xu & Tong 2018"),
            Fact(
                "whittle", deadline_index(12, 9, 0.99), 1e-9, "closed form of Yu, Xu & Tong 2018",
                params={"horizon": 12, "load": 9},
            ),
            Fact("mu-atv", 0.14537612, 6e-9, JOINT, params={"n_arms": 2}),
            Fact("policy", 0.22620858, 6e-9, JOINT, params={"n_arms": 2}),
            Fact("error_mu", 0.085444172, 6e-10, JOINT, params={"n_arms": 2}),
            Fact("mu-atv", 0.11897016, 6e-9, JOINT, "lp", {"n_arms": 2}),
            separable(),
        ),
    ),
    Entry(
        "wireless",
        "Wireless scheduling: serve the good channel, shortest job first",
        "A job is served when its channel is good and no other job is better off. The policy's bound (Prop. 7.2) is "
        "about twice Eq. 7, and the sum of local values misses a seventh of the spread of Q.",
        "Aalto et al. (size-aware opportunistic scheduling); Nakhleh et al. 2021; sizes in units of 8400 bits are ours",
        wireless,
        priorities(size_aware, "lp"),
        (
            Fact("mu-atv", (0.1272176, 0.05307958), 6e-9, JOINT, params={"n_arms": (1, 1)}),
            Fact("policy", (0.21319465, 0.17146319), 6e-9, JOINT, params={"n_arms": (1, 1)}),
            Fact("error_mu", 0.019707822, 6e-10, JOINT, params={"n_arms": (1, 1)}),
            Fact("mu-atv", (0.0825341, 0.09359248), 6e-9, JOINT, params={"n_arms": (1, 1), "case": "2"}),
            separable(),
        ),
    ),
)  # fmt: skip
