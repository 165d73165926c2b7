"""Agents on kernels of their own that share a server: ages of information, and a budget that nobody can use up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._check import Floats, integer, real
from ..errors import InvalidInput
from ..model.policy import IndexPolicy, UniformPolicy
from ..model.weakly_coupled import WeaklyCoupledMDP
from .priorities import by_word
from .registry import Entry, Fact, register


def lagrangian_gap(n_agents: int = 5, capacity: float = 2.5, discount: float = 0.9) -> WeaklyCoupledMDP:
    """Agents with one state and two actions; action 1 earns 1 and uses 1 of `capacity` units, not all of which need be
    used."""
    one = np.ones((2, 1, 1))
    resources = [([0.0, 1.0], capacity, "<=")]
    n = integer("n_agents", n_agents, low=1)
    return WeaklyCoupledMDP([one] * n, [[[0.0, 1.0]]] * n, discount=discount, resources=resources)


def age_of_information(
    success: Sequence[float] = (0.5, 0.8), cap: int = 10, discount: float = 0.95
) -> WeaklyCoupledMDP:
    """Clients of a base station that serves one of them a step; state h - 1 is an age h = 1..cap. Served, client i
    gets a fresh packet with probability `success[i]` and its age is 1 next; else the age grows by one, up to `cap`.
    The reward is minus the age."""
    chances, top = real("success", success, shape=("N",)), integer("cap", cap, low=2)
    if len(chances) == 0 or chances.min() <= 0.0 or chances.max() > 1.0:
        raise InvalidInput.kind("success", success, "chances above 0 and at most 1", "E.g. (0.5, 0.8).")
    older = np.eye(top, k=1)
    older[-1, -1] = 1.0
    fresh = np.zeros((top, top))
    fresh[:, 0] = 1.0
    kernels = [np.stack([older, p * fresh + (1 - p) * older]) for p in chances]
    age = [-np.arange(1.0, top + 1)] * len(chances)
    labels = {"names": [f"client {i}" for i in range(len(chances))], "actions": ["wait", "serve"],
              "states": [f"age {h}" for h in range(1, top + 1)]}  # fmt: skip
    return WeaklyCoupledMDP(kernels, age, discount=discount, budget=1, labels=labels)


def age_index(success: float, cap: int) -> Floats:
    """The average-reward Whittle index in closed form, by renewal: `p h (h + 2/p - 1) / 2`, ages without a cap."""
    h = np.arange(1.0, cap + 1)
    return np.asarray(0.5 * success * h * (h + 2 / success - 1))


def _whittle(mdp: WeaklyCoupledMDP) -> IndexPolicy:
    return IndexPolicy([age_index(float(k[1, 0, 0]), k.shape[1]) for k in mdp.kernels])


def _largest(mdp: WeaklyCoupledMDP) -> IndexPolicy:
    return IndexPolicy(np.arange(mdp.spaces.n_states[0]))


_GAP = "Adelman & Mersereau 2008; closed form"
_AGES = "enumerated joint chain, independent program"
#: Policy -> policy, mu-atv, atv, error_mu, error_l2, unexplained of two clients.
_TWO: dict[str, tuple[float | tuple[float, ...], ...]] = {
    "whittle": ((0.083411, 0.296774), (0.005216, 0.002151), 0.25, 0.094855, 0.308138, 0.056219),
    "largest": ((0.077350, 0.307180), (0.000384, 0.000046), (0.125, 0.05), 0.012696, 0.072295, 0.012273),
}
_THREE = {"success": (0.7, 0.7, 0.7), "cap": 8}

register(
    Entry(
        "lagrangian-gap",
        "The Lagrangian bound can be arbitrarily bad",
        "Two and a half units of capacity serve two agents of five; the Lagrangian sells the half as well and "
        "promises 25 where 20 is all there is (with two agents and .9 units 9 where it is 0). With one state "
        "nothing is entangled, and local values evaluate every policy exactly: a bound for optimisation and a sum"
        " for evaluation are different things.",
        "Adelman & Mersereau 2008; the instance is ours",
        lagrangian_gap,
        {"uniform": lambda _: UniformPolicy(), "optimal": by_word("optimal")},
        (
            *(
                Fact(quantity, value, 1e-9, _GAP, params={"n_agents": n, "capacity": capacity})
                for n, capacity, best, bound in ((5, 2.5, 20, 25), (2, 0.9, 0, 9), (2, 0.5, 0, 5))
                for quantity, value in (("optimal", best), ("alp", best), ("lagrangian", bound))
            ),
            Fact("mu-atv", 0.0, 1e-12, "closed form: one state"),
            Fact("error_sup", 0.0, 1e-11, "closed form: Q = the actions' rewards and a constant"),
        ),
    ),
    Entry(
        "age-of-information",
        "Age of information: one base station, who gets a fresh packet?",
        "Serving at random is separable: nobody's turn depends on an age. Serving by the Whittle index or the "
        "largest age makes turns depend on all ages; yet E is .005 and .0004 at most, where the bound by the policy "
        "(Prop. 7.2) is .30 and .31: one's own age and turn tell nearly all that the other's would. With three equal "
        "clients E is .07, and the sum misses a fifth of the spread of Q.",
        "Kadota, Uysal-Biyikoglu, Singh & Modiano 2016; ages cut at `cap`",
        age_of_information,
        {"whittle": _whittle, "largest": _largest, "random": lambda _: UniformPolicy()},
        (
            *(
                Fact(quantity, value, 6e-7, _AGES, policy)
                for policy, found in _TWO.items()
                for quantity, value in zip(
                    ("policy", "mu-atv", "atv", "error_mu", "error_l2", "unexplained"), found, strict=True
                )
            ),
            *(
                Fact(quantity, value, 6e-7, _AGES, "largest", _THREE)
                for quantity, value in (("policy", 0.195333), ("mu-atv", 0.070583), ("atv", 0.35),
                                        ("error_mu", 1.152456), ("error_l2", 1.366503), ("unexplained", 0.202766))
            ),
            *(
                Fact(quantity, 0.0, 1e-10, "random service reads no age", "random")
                for quantity in ("policy", "mu-atv", "error_sup")
            ),
        ),
    ),
)  # fmt: skip
