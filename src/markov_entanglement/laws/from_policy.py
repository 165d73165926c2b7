"""Rows of the policy measure (Prop. 7.2): key s_i, law pi(a_i|s), weight mu(s)."""

from __future__ import annotations

from ..errors import Unsupported
from ..markov.chain import Chain
from ..model.weakly_coupled import WeaklyCoupledMDP
from .rows import Rows


def policy_rows(chain: Chain, i: int) -> Rows:
    """One row per joint state of the chain.

    Raises
    ------
    Unsupported : the system is not weakly coupled, so Prop. 7.2 says nothing about it.
    """
    if not isinstance(chain.system, WeaklyCoupledMDP):
        raise Unsupported(
            "distance",
            f"'policy' on a {type(chain.system).__name__}",
            "Prop. 7.2 bounds the entanglement of weakly coupled systems only",
            "Use 'mu-atv', which is exact here.",
        )
    actions = chain.system.spaces.n_actions[i]
    law = chain.agent_choice(i).reshape(len(chain.states), -1, actions).sum(axis=1)
    return Rows(chain.states[:, i], chain.stationary.law, law, chain.system.spaces.n_states[i])
