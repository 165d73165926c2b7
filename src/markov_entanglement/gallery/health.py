"""Calls to patients: behavioural health (Keheala) and maternal health (ARMMAN)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._check import Floats
from ..model.bandit import RestlessBandit
from ..model.policy import IndexPolicy
from .priorities import JOINT, priorities, separable
from .registry import Entry, Fact, register

#: (p, g, tau): engages untreated, disengages, effect of a call; stable, responsive and chronic patients.
PATIENTS = ((0.30, 0.05, 0.10), (0.05, 0.10, 0.40), (0.02, 0.30, 0.15))


def health(n_arms: Sequence[int] = (8, 6, 6), budget: int = 4, discount: float = 0.95) -> RestlessBandit:
    """Patients of three types (stable, responsive, chronic); state 1 is engaged and earns 1, state 0 is not.
    0 -> 1 with probability p, or p + tau after a call; 1 -> 0 with probability g whatever is done."""
    kernels = [
        [[[1 - p, p], [g, 1 - g]], [[1 - p - tau, p + tau], [g, 1 - g]]] for p, g, tau in PATIENTS
    ]  # fmt: skip
    return RestlessBandit(kernels, [0.0, 1.0], n_arms=n_arms, budget=budget, discount=discount)


def intervention_values(discount: float, treated: float = 0.0) -> Floats:
    """(T, 2) `z(s) = Q(s,1) - Q(s,0)` under a policy that calls a disengaged patient with probability `treated`:
    `z(0) = gamma tau / (1 - gamma (1 - p - g - treated tau))`, `z(1) = 0`. At 0 it is the Whittle index."""
    z = [discount * tau / (1 - discount * (1 - p - g - treated * tau)) for p, g, tau in PATIENTS]
    return np.stack([z, np.zeros(len(z))], axis=1)


def decomp_pi(bandit: RestlessBandit) -> IndexPolicy:
    """One step of policy iteration per patient from the null policy (DecompPI of Baek et al.)."""
    return IndexPolicy(intervention_values(bandit.gamma))


#: P(next | persuadable, no call), and with a call; S and L do not depend on calls. Groups A, B, C.
_GROUPS = (
    ((0.1, 0.9, 0.0), (0.0, 0.2, 0.8), (0.8, 0.2, 0.0)),
    ((0.9, 0.1, 0.0), (0.0, 0.6, 0.4), (0.4, 0.6, 0.0)),
    ((0.1, 0.9, 0.0), (0.0, 0.9, 0.1), (0.1, 0.9, 0.0)),
)


def armman(n_arms: Sequence[int] = (2, 2, 6), budget: int = 2, discount: float = 0.9) -> RestlessBandit:
    """Mothers of groups A, B, C (20, 20, 60 %); states 0 self-motivated, 1 persuadable, 2 lost cause. Only a
    persuadable one reacts to a call; the reward is that of the next state: 1, .5, 0."""
    lost = (0.0, 0.4, 0.6)
    kernels = np.array([[[own, alone, lost], [own, called, lost]] for own, alone, called in _GROUPS])
    rewards = np.einsum("tasn,n->tsa", kernels, np.array([1.0, 0.5, 0.0]))
    return RestlessBandit(kernels, rewards, n_arms=n_arms, budget=budget, discount=discount)


register(
    Entry(
        "health",
        "Behavioural health: whom to call today (Keheala)",
        "One step of policy iteration per patient from the null policy (DecompPI) is the Whittle policy here. The "
        "local values under it rank patients alike, although their sum misses 8.5 % of the spread of Q; the chronic "
        "ones, where the budget ends, are the most entangled.",
        "Baek, Boutilier, Farias, Jónasson & Yoeli 2023; two-state kernel reconstructed, the numbers are ours",
        health,
        {"decomp-pi": decomp_pi, **priorities(None, "whittle", "lp")},
        (
            Fact(
                "whittle", tuple(intervention_values(0.95).ravel().tolist()), 1e-9,
                "closed form gamma tau / (1 - gamma (1 - p - g)); 0 when engaged",
            ),
            Fact(
                "mu-atv", (0.00811074, 0.01358953, 0.10044749), 6e-9, JOINT,
                params={"n_arms": (2, 2, 2), "budget": 1},
            ),
            Fact("error_mu", 0.160755212, 6e-10, JOINT, params={"n_arms": (2, 2, 2), "budget": 1}),
            Fact("attractor", "proved", 0.0, "a contraction of all products of the affine pieces"),
            separable(n_arms=(2, 2, 2), budget=2),
        ),
    ),
    Entry(
        "armman",
        "Maternal health calls: three groups, three states (ARMMAN)",
        "Only a persuadable mother is worth a call, those of group B most. Whittle ranks B before A, LP-priority and "
        "immediate gain A before B; whichever group is served whole has next to no entanglement.",
        "Biswas et al. 2021; as coded by Killian et al. 2022 (RobustRMAB)",
        armman,
        priorities(None, "whittle", "lp", "myopic"),
        (
            Fact("whittle", (0, 1.04675, 0, 0, 1.758665, 0, 0, 0.154845, 0), 6e-7, "computed independently"),
            Fact(
                "whittle-average", (0, 29 / 27, 0, 0, 3.25, 0, 0, 1 / 6, 0), 1e-9,
                "limit of independent values near discount 1: 1.074071, 3.249717, .166665",
            ),
            Fact(
                "mu-atv", (0.03919452, 0.01355308, 0.13148655), 6e-9, JOINT,
                params={"n_arms": (1, 1, 1), "budget": 1},
            ),
            Fact("error_mu", 0.09237012, 6e-9, JOINT, params={"n_arms": (1, 1, 1), "budget": 1}),
            Fact("attractor", "proved", 0.0, "a contraction of all products of the affine pieces"),
            separable(n_arms=(2, 2, 2)),
        ),
    ),
)  # fmt: skip
