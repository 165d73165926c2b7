"""Teams with one reward: agents in a corridor, arms that are paid together, predators and prey."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .._check import choice, number
from ..model.exogenous import ExogenousMDP
from ..model.mdp import MultiAgentMDP
from ..model.policy import LocalPolicy, UniformPolicy
from ..model.system import System
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..model.words import as_policy
from .registry import Entry, Fact, register

#: Cells 0..4 of a corridor, a bay beside cell 1 and one beside cell 3; where each agent starts, and its goal.
CELLS, BAYS, START, GOAL = 7, {1: 5, 3: 6, 5: 1, 6: 3}, (0, 4), (4, 0)


def _target(cell: int, action: int) -> int:
    """Where action 0 stay, 1 left, 2 right, 3 in or out of a bay leads in an empty corridor."""
    if action == 3:
        return BAYS.get(cell, cell)
    step = (0, -1, 1)[action]
    return cell + step if cell < 5 and 0 <= cell + step < 5 else cell


def switch(discount: float = 0.9) -> MultiAgentMDP:
    """Two agents in a corridor of five cells want to change ends; only in a bay beside cell 1 or 3 can they pass. The
    right-bound moves first, nobody enters an occupied cell or leaves its goal. 5 for an arrival, -.1 a step on the way;
    when both have arrived both start again."""
    kernel, rewards = np.zeros((CELLS**2, 16, CELLS**2)), np.zeros((CELLS**2, 16))
    for s in itertools.product(range(CELLS), repeat=2):
        for a in itertools.product(range(4), repeat=2):
            at = list(s)
            for i in (0, 1):
                target = _target(at[i], a[i])
                if s[i] != GOAL[i] and target != at[1 - i]:
                    at[i] = target
            joint, chosen = CELLS * s[0] + s[1], 4 * a[0] + a[1]
            rewards[joint, chosen] = sum(
                (5.0 if at[i] == GOAL[i] else -0.1) for i in (0, 1) if s[i] != GOAL[i]
            )
            after = START if tuple(s) == GOAL else at
            kernel[joint, chosen, CELLS * after[0] + after[1]] = 1.0
    cells = [f"cell {c}" for c in range(5)] + ["bay 1", "bay 3"]
    labels = {
        "names": ["right-bound", "left-bound"],
        "states": cells,
        "actions": ["stay", "left", "right", "bay"],
    }
    return MultiAgentMDP(
        kernel, rewards, n_states=(CELLS, CELLS), n_actions=(4, 4), discount=discount, labels=labels
    )


def give_way(_: System) -> Callable[[tuple[int, ...]], dict[tuple[int, ...], float]]:
    """The right-bound goes right. The left-bound waits in the bay at cell 3 until the other has arrived, then goes
    left. Each takes any of its actions once in five steps."""

    def law(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        first, second = state
        if second == 3 and first < 4:
            other = 3
        elif second >= 5:
            other = 3 if first == 4 else 0
        else:
            other = 1
        mine = 3 if first >= 5 else 2
        ways = itertools.product(range(4), repeat=2)
        return {(a, b): (0.05 + 0.8 * (a == mine)) * (0.05 + 0.8 * (b == other)) for a, b in ways}

    return law


#: Chance that an arm is active next: where it rests or is pulled, at rest (first two) and while active.
ARMS = (
    (0.10, 0.55, 0.45, 0.80),
    (0.20, 0.60, 0.50, 0.75),
    (0.05, 0.35, 0.30, 0.70),
    (0.15, 0.70, 0.60, 0.90),
)
#: What an arm that is active and pulled brings, and which of ten items it covers.
WORTH, COVER = (0.9, 0.7, 0.5, 0.3), ({0, 1, 2, 3}, {2, 3, 4, 5}, {4, 5, 6}, {0, 6, 7})
#: reward -> what the set of arms that are active and pulled brings together.
TOGETHER: dict[str, Callable[[list[int]], float]] = {
    "linear": lambda who: sum(WORTH[i] for i in who),
    "probability": lambda who: 1.0 - float(np.prod([1.0 - WORTH[i] for i in who])),
    "max": lambda who: max((WORTH[i] for i in who), default=0.0),
    "cover": lambda who: len(set().union(*(COVER[i] for i in who))) / 10,
}


def _arms(reward: Any, discount: float) -> WeaklyCoupledMDP:
    kernels = [[[[1 - x, x] for x in row] for row in ((a, c), (b, d))] for a, b, c, d in ARMS]
    return WeaklyCoupledMDP(kernels, reward, discount=discount, budget=2)


def global_reward(reward: str = "probability", discount: float = 0.9) -> WeaklyCoupledMDP:
    """Four different arms of two states, two are pulled. `reward` of those that are active and pulled: "linear" adds up
    .9, .7, .5, .3; "probability" that one succeeds, "max" the best of these; "cover" the share of ten items covered."""
    together = TOGETHER[choice("reward", reward, tuple(TOGETHER))]
    return _arms(lambda s, a: together([i for i in range(4) if s[i] * a[i]]), discount)


def whittle_of_each(system: System) -> Any:
    """Whittle's priorities of the arms by what each brings alone."""
    assert system.discount is not None
    return as_policy("whittle", _arms([[[0.0, 0.0], [0.0, w]] for w in WORTH], system.discount))


#: A ring of five cells; how far the prey moves, and with what chance.
RING, PREY = 5, {-1: 0.2, 0: 0.6, 1: 0.2}


def _near(cell: int, prey: int) -> bool:
    return (cell - prey) % RING in (0, 1, RING - 1)


def predator_prey(penalty: float = 0.5, discount: float = 0.9) -> ExogenousMDP:
    """Two predators on a ring of five cells move left, stay or move right; the prey, a signal, moves by itself and is
    never gone. Both are paid 1 where both are at most one cell from it, -`penalty` where only one is."""
    k = number("penalty", penalty)
    cells = np.eye(RING)
    moves = np.stack([np.roll(cells, step, axis=1) for step in (-1, 0, 1)])
    prey = sum(p * np.roll(cells, step, axis=1) for step, p in PREY.items())

    def paid(state: tuple[int, ...], z: int, _: tuple[int, ...]) -> float:
        there = sum(_near(s, z) for s in state)
        return (0.0, -k, 1.0)[there]

    labels = {"names": ["predator 0", "predator 1"], "actions": ["left", "stay", "right"]}
    return ExogenousMDP([moves, moves], paid, signal=prey, discount=discount, labels=labels)


def _towards(cell: int, prey: int, enough: int = 1) -> int:
    """Action 0 left, 1 stay, 2 right: nearer to the prey; stay where so many cells are near enough."""
    left = (cell - prey) % RING
    if min(left, RING - left) <= enough:
        return 1
    return 0 if left <= 2 else 2


def chase(_: System) -> LocalPolicy:
    """Each goes for the prey by itself until it is at most one cell away; one of the other moves has chance .1 each."""
    seen = [[_towards(s, z) for s in range(RING)] for z in range(RING)]
    return LocalPolicy([0.1 + 0.7 * np.eye(3)[seen]] * 2)


def close_in(_: System) -> Callable[[tuple[int, ...], int], dict[tuple[int, ...], float]]:
    """The same, but where the other is near the prey each goes on to the very cell of the prey."""

    def law(state: tuple[int, ...], z: int) -> dict[tuple[int, ...], float]:
        mine, other = (
            _towards(s, z, 0 if _near(partner, z) else 1)
            for s, partner in ((state[0], state[1]), (state[1], state[0]))
        )
        ways = itertools.product(range(3), repeat=2)
        return {(a, b): (0.1 + 0.7 * (a == mine)) * (0.1 + 0.7 * (b == other)) for a, b in ways}

    return law


_UNIFORM = {"uniform": lambda _: UniformPolicy()}
_LOOPS = "joint chain by loops over moves, linear programs, dense solves"
_DISTANCES = "chain of the distances to the prey by loops, linear programs, dense solves"

register(
    Entry(
        "switch",
        "Switch: two agents change ends of a corridor",
        "Who stands in the way decides who moves and who arrives. Where one gives way E is .17, a fifth of the reward "
        "is no sum of local rewards, and even after a split by least squares the sum of local values misses 86 % of "
        "the spread of Q.",
        "Sunehag et al. 2018 (VDN), as in ma-gym; a corridor of five cells with two bays is ours",
        switch,
        {"give-way": give_way, **_UNIFORM},
        (
            Fact("mu-atv", (0.17048079, 0.16559194), 1e-8, _LOOPS),
            Fact("e(r)", 0.262410457, 1e-9, _LOOPS),
            Fact("e(r) centred", 0.315179985, 1e-9, _LOOPS),
            Fact("error_mu least-squares", 1.28022346, 1e-8, _LOOPS),
            Fact("unexplained least-squares", 0.857789073, 1e-9, _LOOPS),
            Fact("mu-atv", (0.05958207, 0.0596193), 1e-8, _LOOPS, "uniform"),
            Fact("e(r)", 0.059000427, 1e-9, _LOOPS, "uniform"),
        ),
    ),
    Entry(
        "global-reward",
        "Restless arms with one reward: success, the best, or what is covered",
        "Each arm moves on its own, and the reward is of the set that is pulled. E is below .03, so what breaks the "
        "sum of local values is the reward: e(r) is 0 for a sum and rises from cover to probability to max.",
        "Raman, Shi & Fang 2024 (rewards, policies); arms, worths and sets are ours",
        global_reward,
        {"whittle": whittle_of_each, **_UNIFORM},
        tuple(
            Fact(name, value, 6e-9, _LOOPS, policy, {"reward": reward})
            for reward, policy, numbers in (
                ("linear", "", ((0.00430789, 0.02741272, 0.00782977, 0.00534954), 0.0, 0.019070978, 0.034418037)),
                ("probability", "", (None, 0.049446653, 0.091457098, 0.365083415)),
                ("max", "", (None, 0.054940725, 0.102054812, 0.440181496)),
                ("cover", "", (None, 0.017416046, 0.036600887, 0.230685317)),
                ("linear", "uniform", (0.0, 0.0, 0.0, 0.0)),
                ("probability", "uniform", (0.0, 0.068701269, 0.081102453, 0.247790139)),
                ("max", "uniform", (0.0, 0.086106984, 0.100591929, 0.297415738)),
                ("cover", "uniform", (0.0, 0.019627921, 0.03269471, 0.172936641)),
            )
            for name, value in zip(
                ("mu-atv", "e(r)", "error_mu least-squares", "unexplained least-squares"), numbers, strict=True
            )
            if value is not None
        ),
    ),
    Entry(
        "predator-prey",
        "Predators and prey, with a penalty for who comes alone",
        "The prey is a signal. Predators that chase it by themselves are not entangled, and e(r) grows with the "
        "penalty as 1 + 2 P while the sum of local values misses ever more. To close in together entangles (E = .033), "
        "yet the reward is then nearer to a sum.",
        "Son, Kim, Kang, Hostallero & Yi 2019 (predator-prey with punishment); the ring of five cells is ours",
        predator_prey,
        {"independent": chase, "coordinated": close_in},
        (
            Fact("mu-atv", 0.0, 1e-12, "each goes by its own cell and the signal"),
            Fact("policy", 0.0, 1e-12, "each goes by its own cell and the signal"),
            *(
                Fact(name, value, 6e-7, _DISTANCES, params={"penalty": p})
                for p, e, missed in (
                    (0.0, 0.0741422, 0.393904),
                    (0.5, 0.1482844, 0.546856),
                    (1.0, 0.2224266, 0.620738),
                    (1.5, 0.2965688, 0.663079),
                )
                for name, value in (("e(r)", e), ("unexplained least-squares", missed))
            ),
            Fact("mu-atv", 0.032878, 6e-7, _DISTANCES, "coordinated"),
            Fact("policy", 0.032878, 6e-7, _DISTANCES, "coordinated"),
            Fact("atv", 0.21, 1e-9, _DISTANCES, "coordinated"),
            Fact("e(r)", 0.045688, 2e-6, _DISTANCES, "coordinated"),
            Fact("error_mu least-squares", 0.174114, 6e-7, _DISTANCES, "coordinated"),
            Fact("unexplained least-squares", 0.337882, 6e-7, _DISTANCES, "coordinated"),
        ),
    ),
)  # fmt: skip
