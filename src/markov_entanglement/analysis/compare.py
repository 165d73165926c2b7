"""Policies side by side: what each earns, whether local values may be added under it, and which is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidInput
from ..measures.entanglement import local_entanglement
from ..values.decomposition import value_decomposition


@dataclass(frozen=True)
class Line:
    """One policy.

    Attributes
    ----------
    name : the user's name for it.
    value : mean of the true values V over the start law, reward units.
    uncertainty : half-width of the interval around `value`: the solver's certified error.
    average_reward : E_mu r, reward per step.
    entanglement : sum_i E_i (`mu-atv`).
    error_mu, unexplained : of the sum of local values.
    certain : True when its interval is apart from that of the next policy in rank.
    """

    name: str
    value: float
    uncertainty: float
    average_reward: float
    entanglement: float
    error_mu: float
    unexplained: float
    certain: bool


@dataclass(frozen=True)
class Comparison:
    """Policies ranked by value.

    Attributes
    ----------
    lines : best first.
    """

    lines: tuple[Line, ...]

    @property
    def sentence(self) -> str:
        """Which policy is best, and whether that is certain."""
        best = self.lines[0]
        if len(self.lines) == 1:
            return f"{best.name} is worth {best.value:.6g}."
        second = self.lines[1]
        if best.certain:
            return f"{best.name} is best: {best.value:.6g} against {second.value:.6g} of {second.name}."
        return f"Cannot tell {best.name} and {second.name} apart: their values agree to within the solver's error."

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"sentence": self.sentence, "policies": [vars(line) for line in self.lines]}

    def summary(self) -> str:
        """The ranking as text."""
        width = max(len(line.name) for line in self.lines)
        head = f"{'policy':<{width}}  {'value':>12}  {'reward/step':>12}  {'sum E_i':>9}  {'unexplained':>11}"
        body = [
            f"{x.name:<{width}}  {x.value:>12.6g}  {x.average_reward:>12.6g}  {x.entanglement:>9.4g}"
            f"  {x.unexplained:>11.4g}"
            for x in self.lines
        ]
        return "\n".join([self.sentence, head, *body])


def compare(policies: Mapping[str, Any], system: Any, *, initial: Any = None) -> Comparison:
    """Rank policies by the value that they earn, with certainty.

    Parameters
    ----------
    policies : name -> policy.
    system : a system with rewards and a discount.
    initial : start law of the comparison, see `System.under`; None weighs all joint states alike.

    Returns
    -------
    Comparison : best first.

    Raises
    ------
    InvalidInput : no policies, or a system without rewards or discount.

    >>> import markov_entanglement as me
    >>> system = me.gallery.build("circulant").system
    >>> found = me.compare({"index": me.IndexPolicy([1, 2, 3, 0]), "uniform": me.UniformPolicy()}, system)
    >>> found.lines[0].name
    'index'
    """
    if not isinstance(policies, Mapping) or not policies:
        raise InvalidInput(
            "policies", repr(policies)[:60], "it must be a non-empty {name: policy}", "Name each."
        )
    measured = sorted(
        (_measure(n, p, system, initial) for n, p in policies.items()), key=lambda x: -x["value"]
    )
    lines = []
    for k, line in enumerate(measured):
        after = measured[k + 1] if k + 1 < len(measured) else None
        apart = after is None or (line["value"] - after["value"] > line["uncertainty"] + after["uncertainty"])
        lines.append(Line(**line, certain=bool(apart)))
    return Comparison(tuple(lines))


def _measure(name: str, policy: Any, system: Any, initial: Any) -> dict[str, Any]:
    chain = system.under(policy, initial=initial)
    d = value_decomposition(chain)
    start = np.full(len(chain.states), 1 / len(chain.states)) if chain.initial is None else chain.initial
    reward = chain.system.rewards.on_pairs(chain.pairs, chain.system.spaces)
    # ||V - V_computed||_inf <= ||residual||_inf / (1 - gamma)
    solver = d.evaluation.residual * float(np.abs(reward).max(initial=0.0)) / (1.0 - d.discount)
    return {
        "name": name,
        "value": float(start @ d.evaluation.v),
        "uncertainty": solver + 1e-12 * float(np.abs(d.evaluation.v).max(initial=0.0)),
        "average_reward": float(chain.occupancy @ reward),
        "entanglement": local_entanglement(chain).total,
        "error_mu": d.error("mu"),
        "unexplained": d.unexplained,
    }
