"""Cooperative games: one reward of all agents that is no sum of local ones, however separable the transitions are."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._check import Floats, number
from ..model.mdp import MultiAgentMDP
from ..model.policy import TablePolicy, UniformPolicy
from ..model.system import System
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


def correlated(system: System) -> TablePolicy:
    """Both choose the same of three actions with chance .7, any two different ones with .05."""
    law: Floats = np.where(np.eye(3, dtype=np.bool_), 0.7 / 3, 0.05)
    return TablePolicy(law.reshape(1, -1))


_UNIFORM = {"uniform": lambda _: UniformPolicy()}
_GAME = {**_UNIFORM, "correlated": correlated}
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
)  # fmt: skip
