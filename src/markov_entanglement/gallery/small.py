"""Two- and three-agent systems whose answers are known in closed form."""

from __future__ import annotations

import itertools

import numpy as np

from ..model.mdp import JointChain
from ..model.policy import UniformPolicy
from ..model.weakly_coupled import WeaklyCoupledMDP
from .registry import Entry, Fact, register

_PAPER = "Chen & Peng, arXiv 2506.02385"


def shared_randomness(discount: float = 0.9) -> WeaklyCoupledMDP:
    """Example 3.3: a fair coin activates exactly one of two different agents."""
    first = [[[0.9, 0.1], [0.3, 0.7]], [[0.2, 0.8], [0.6, 0.4]]]
    second = [
        [[0.8, 0.2, 0.0], [0.0, 0.7, 0.3], [0.5, 0.0, 0.5]],
        [[0.1, 0.6, 0.3], [0.4, 0.4, 0.2], [0.0, 0.3, 0.7]],
    ]
    labels = {"names": ["A", "B"], "actions": ["rest", "serve"]}
    return WeaklyCoupledMDP([first, second], [[0, 1], [0, 2, -1]], discount=discount, budget=1, labels=labels)


def parity() -> JointChain:
    """Three binary agents: x_0', x_2' uniform and independent, x_1' = x_0' xor x_2."""
    p = np.zeros((8, 8))
    for x in itertools.product(range(2), repeat=3):
        for u, v in itertools.product(range(2), repeat=2):
            p[x[0] * 4 + x[1] * 2 + x[2], u * 4 + (u ^ x[2]) * 2 + v] += 0.25
    return JointChain(p, (2, 2, 2), rewards=[[0, 1], [1, 0], [0, 2]], discount=0.9)


def appendix_e(delta: float = 0.2, discount: float = 0.9) -> JointChain:
    """`P = 1/4 (ee')(x)(ee') + delta (eps e')(x)(e eps')`, |delta| <= 1/4: B's next state follows A's."""
    e, eps = np.ones((2, 1)), np.array([[1.0], [-1.0]])
    p = 0.25 * np.kron(e @ e.T, e @ e.T) + delta * np.kron(eps @ e.T, e @ eps.T)
    labels = {"names": ["A", "B"]}
    return JointChain(p, (2, 2), rewards=[[0, 1], [0, 1]], discount=discount, labels=labels)


def follower(stay: float = 0.9, weight: float = 0.001, discount: float = 0.9) -> JointChain:
    """B copies the state that A had: strongly entangled, but hardly any reward depends on B."""
    a = np.array([[stay, 1 - stay], [1 - stay, stay]])
    p = np.zeros((4, 4))
    for x, y in itertools.product(range(2), repeat=2):
        for t in range(2):
            p[2 * x + y, 2 * t + x] = a[x, t]
    labels = {"names": ["leader", "follower"]}
    return JointChain(p, (2, 2), rewards=[[0.0, 1.0], [0.0, weight]], discount=discount, labels=labels)


register(
    Entry(
        "shared-randomness",
        "A fair coin serves one of two agents (Example 3.3)",
        "Coupled is not entangled: the actions always sum to 1, yet local values add up exactly.",
        f"{_PAPER}, Example 3.3; the local kernels are ours",
        shared_randomness,
        {"coin": lambda _: UniformPolicy()},
        (
            Fact("mu-atv", 0.0, 1e-12, _PAPER),
            Fact("atv", 0.0, 1e-9, _PAPER),
            Fact("policy", 0.0, 1e-12, _PAPER),
            Fact("error_sup", 0.0, 1e-11, f"{_PAPER}, Theorem 3.2"),
        ),
    ),
    Entry(
        "parity",
        "Entangled by definition, yet additive for every reward",
        "No single agent's next state betrays the others, so local values add up although the joint law "
        "is entangled by Def. 6.2.",
        "derived in the documentation of this library",
        parity,
        facts=(
            Fact("mu-atv", 0.0, 1e-12, "agent-wise laws do not read the others"),
            Fact("atv", 0.0, 1e-9, "agent-wise laws do not read the others"),
            Fact("error_sup", 0.0, 1e-11, "agent-wise separability"),
        ),
    ),
    Entry(
        "appendix-e",
        "Additive, but only with local values that read all rewards (Appendix E)",
        "E_A = 0 and E_B = 2 |delta|: B's next state depends on A's present one.",
        f"{_PAPER}, Appendix E",
        appendix_e,
        facts=(
            Fact("mu-atv", (0.0, 0.4), 1e-12, "closed form, 2 |delta|"),
            Fact("atv", (0.0, 0.4), 1e-9, "closed form, 2 |delta|"),
            Fact(
                "error_sup", 2 * 0.9 * 0.2, 1e-12, "closed form: 2 gamma delta |eps'r_B|, here r_B = (0, 1)"
            ),
        ),
    ),
    Entry(
        "follower",
        "Large entanglement, tiny error",
        "A large E_i is no proof of a large error: the follower copies the leader, but earns next to nothing.",
        "ours",
        follower,
        facts=(
            Fact("mu-atv", (0.0, 0.1), 1e-12, "closed form: P(x_A = x_B) = stay, the median copies x_B"),
            Fact("atv", (0.0, 0.5), 1e-9, "closed form: two opposite point laws share a key"),
            Fact("unexplained", 0.0, 1e-3, "the follower's reward is 1/1000 of the leader's"),
        ),
    ),
)
