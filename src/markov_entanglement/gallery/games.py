"""Cooperative games: one reward of all agents that is no sum of local ones, however separable the transitions are."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .._check import Floats, choice, number
from ..model.mdp import MultiAgentMDP
from ..model.policy import TablePolicy, UniformPolicy
from ..model.system import System
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..model.words import as_policy
from .registry import Entry, Fact, register


def matrix_game(table: Any, discount: float) -> MultiAgentMDP:
    """One state, two players; both are paid `table[a_0][a_1]`."""
    r = np.array(table, dtype=np.float64)
    rows, columns = r.shape
    kernel, names = np.ones((1, r.size, 1)), ["row", "column"]
    sizes = {"n_states": (1, 1), "n_actions": (rows, columns)}
    return MultiAgentMDP(kernel, r.reshape(1, -1), **sizes, discount=discount, labels={"names": names})  # type: ignore[arg-type]


def climbing(discount: float = 0.9) -> MultiAgentMDP:
    """Rewards 11, -30, 0 / -30, 7, 6 / 0, 0, 5: the best joint action stands beside the worst."""
    return matrix_game([[11, -30, 0], [-30, 7, 6], [0, 0, 5]], discount)


def penalty(penalty: float = -10.0, discount: float = 0.9) -> MultiAgentMDP:
    """Rewards 10, 0, k / 0, 2, 0 / k, 0, 10 with k = `penalty` where the players choose different best actions."""
    k = number("penalty", penalty)
    return matrix_game([[10, 0, k], [0, 2, 0], [k, 0, 10]], discount)


def qtran(discount: float = 0.9) -> MultiAgentMDP:
    """Rewards 8, -12, -12 / -12, 0, 0 / -12, 0, 0: what one action is worth turns with the other's."""
    return matrix_game([[8, -12, -12], [-12, 0, 0], [-12, 0, 0]], discount)


def two_step(discount: float = 0.99) -> MultiAgentMDP:
    """State 1: the first player's action leads to 2A or 2B, unpaid; 2A pays 7, 2B 0, 1 / 1, 8; then state 1 again. Both
    players see the state: their copies are equal from the second step on."""
    kernel, rewards = np.zeros((9, 4, 9)), np.zeros((9, 4))
    kernel[:, :, 0] = 1.0
    kernel[0] = np.eye(9)[[4, 4, 8, 8]]
    rewards[4], rewards[8] = 7.0, (0.0, 1.0, 1.0, 8.0)
    labels = {"names": ["first", "second"], "states": ["1", "2A", "2B"]}
    return MultiAgentMDP(kernel, rewards, n_states=(3, 3), n_actions=(2, 2), discount=discount, labels=labels)


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


def correlated(system: System) -> TablePolicy:
    """Both choose the same of three actions with chance .7, any two different ones with .05."""
    law: Floats = np.where(np.eye(3, dtype=np.bool_), 0.7 / 3, 0.05)
    return TablePolicy(law.reshape(1, -1))


_UNIFORM = {"uniform": lambda _: UniformPolicy()}
_GAME = {**_UNIFORM, "correlated": correlated}
_LOOPS = "joint chain by loops over moves, linear programs, dense solves"
_PROGRAM = "linear program and dense solves on the table"


def _numbers(
    error: float, centred: float, span: float, rms: float, mean: float, unexplained: float, **params: Any
) -> tuple[Fact, ...]:
    """What is known under the uniform policy; in one state errors of values are those of the centred reward."""
    found = {
        "e(r)": error, "e(r) centred": centred, "least span": span, "rms": rms, "error_mu centred": centred,
        "error_mu least-squares": mean, "unexplained least-squares": unexplained,
    }  # fmt: skip
    return tuple(Fact(name, x, 6e-7, _PROGRAM, params=params) for name, x in found.items())


def _correlated(error: float, centred: float) -> tuple[Fact, ...]:
    return tuple(
        Fact(name, x, 6e-7, _PROGRAM, "correlated")
        for name, x in (("e(r)", error), ("e(r) centred", centred))
    )


_ADDS = Fact("mu-atv", 0.0, 1e-12, "what is next does not depend on what was done")

register(
    Entry(
        "climbing",
        "Climbing game: the best joint action stands beside the worst",
        "The transitions are separable and values do not add up all the same: the reward is no sum. Any split misses "
        "it by 8.67 per step, and least absolute deviations leave a mean that discount .9 makes ten times as large.",
        "Claus & Boutilier 1998",
        climbing,
        _GAME,
        (_ADDS, *_numbers(26 / 3, 268 / 27, 11, 13.232023, 10.098765, 0.904940), *_correlated(5.0, 7.0)),
    ),
    Entry(
        "penalty",
        "Penalty game: two best joint actions, and a price for mixing them",
        "The lower the penalty, the less a sum of local rewards can say: e(r) is 4.44 at -10, 7.78 at -25 and 24.4 at "
        "-100.",
        "Claus & Boutilier 1998",
        penalty,
        _GAME,
        (
            _ADDS,
            *_numbers(40 / 9, 128 / 27, 4, 6.681465, 4.740741, 0.997795),
            *_numbers(70 / 9, 8.592593, 4, 11.730513, 8.592593, 0.951857, penalty=-25.0),
            *_numbers(220 / 9, 30.814815, 4, 37.891333, 30.814815, 0.880069, penalty=-100.0),
            *_correlated(3.2, 4.48),
        ),
    ),
    Entry(
        "qtran",
        "The non-monotone game of QTRAN",
        "A sum of local rewards misses 3.56 per step. The exact split spans 24; the sum of local values explains less "
        "than 1 % of the spread of Q.",
        "Son, Kim, Kang, Hostallero & Yi 2019",
        qtran,
        _GAME,
        (_ADDS, *_numbers(32 / 9, 128 / 27, 24, 64 / 9, 6.320988, 0.992278), *_correlated(3.2, 4.48)),
    ),
    Entry(
        "two-step",
        "Two-step game of QMIX: one player chooses the game of the next step",
        "Both players see one state, so only the second is entangled: it does not see where the first leads. Half of "
        "the time is spent in state 1 and a quarter in 2B, whose rewards miss a sum by 1.5: e(r) = .375.",
        "Rashid et al. 2018; the unichain version is ours",
        two_step,
        _UNIFORM,
        (
            Fact("mu-atv", (0.0, 0.25), 1e-12, "closed form: half of the time the next state is the other's choice"),
            Fact("atv", (0.0, 0.5), 1e-9, "closed form: two point laws share a key"),
            Fact("e(r)", 0.375, 1e-9, "closed form: a quarter of 1.5"),
            Fact("error_mu least-squares", 0.931875, 6e-7, _PROGRAM),
        ),
    ),
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
)  # fmt: skip
