"""Policies side by side: what each earns, whether local values may be added under it, and which is better."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._interval import t_interval
from .._random import children
from ..bandits.chain import BanditChain
from ..bandits.count_values import CountValues
from ..bandits.error_estimate import ErrorEstimate, estimate_error
from ..bandits.simulate import simulate
from ..errors import InvalidInput
from ..measures.entanglement import local_entanglement
from ..model.bandit import RestlessBandit
from ..values.decomposition import value_decomposition

_REPLICATIONS = 10
_STEPS = 20_000


@dataclass(frozen=True)
class Line:
    """One policy.

    Attributes
    ----------
    name : the user's name for it.
    value : mean of the true values V over the start law; for a bandit in the long run, E_mu r / (1 - gamma).
    uncertainty : half-width of the interval around `value`: the solver's certified error, or of a 95 % interval.
    average_reward : E_mu r, reward per step.
    entanglement : sum_i E_i (`mu-atv`).
    error_mu, unexplained : of the sum of local values.
    estimator : how `value` was found.
    certain : True when its interval is apart from those of its neighbours in rank.
    """

    name: str
    value: float
    uncertainty: float
    average_reward: float
    entanglement: float
    error_mu: float
    unexplained: float
    estimator: str
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
        return (
            f"Cannot tell {best.name} and {second.name} apart: {best.value:.6g} and {second.value:.6g} agree to "
            f"within {best.uncertainty + second.uncertainty:.2g}."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"sentence": self.sentence, "policies": [vars(line) for line in self.lines]}

    def summary(self) -> str:
        """The ranking as text."""
        width = max(len(line.name) for line in self.lines)
        head = (
            f"{'policy':<{width}}  {'value':>12}  {'+-':>8}  {'rank':>8}  {'reward/step':>12}  {'sum E_i':>9}"
            f"  {'unexplained':>11}"
        )
        body = [
            f"{x.name:<{width}}  {x.value:>12.6g}  {x.uncertainty:>8.2g}  {'certain' if x.certain else 'open':>8}"
            f"  {x.average_reward:>12.6g}  {x.entanglement:>9.4g}"
            f"  {x.unexplained:>11.4g}"
            for x in self.lines
        ]
        how = sorted({x.estimator for x in self.lines})
        return "\n".join([self.sentence, head, *body, f"values: {'; '.join(how)}"])


def compare(policies: Mapping[str, Any], system: Any, *, initial: Any = None, rng: Any = 0) -> Comparison:
    """Rank policies by the value that they earn, with certainty.

    Parameters
    ----------
    policies : name -> policy.
    system : a system with rewards and a discount, or a `RestlessBandit` (any number of arms).
    rng : seed of the simulations of a large bandit; all policies see the same random numbers' seed.
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
    if isinstance(system, RestlessBandit):
        found = [_measure_bandit(n, p, system.under(p, initial=initial), rng) for n, p in policies.items()]
    else:
        found = [_measure(n, p, system, initial) for n, p in policies.items()]
    measured = sorted(found, key=lambda x: -x["value"])
    apart = [
        x["value"] - y["value"] > x["uncertainty"] + y["uncertainty"] for x, y in itertools.pairwise(measured)
    ]
    sure = [left and right for left, right in zip([True, *apart], [*apart, True], strict=True)]
    lines = [Line(**line, certain=bool(c)) for line, c in zip(measured, sure, strict=True)]
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
        "estimator": "exact",
    }


def _measure_bandit(name: str, policy: Any, chain: BanditChain, rng: Any) -> dict[str, Any]:
    """Exact by the count chain where it is small, else ten replications and the error by double sampling."""
    bandit = chain.bandit
    scale = 1.0 / (1.0 - bandit.discount)
    errors: CountValues | ErrorEstimate
    if chain.small:
        d = chain.decompose(None, None)
        reward, spread = float(chain.occupancy @ chain.exact.rewards), 0.0
        e, errors = chain.measure("mu-atv").total, d
        estimator = "exact count chain"
    else:
        samples = np.array([_reward(bandit, policy, child) for child in children(rng, _REPLICATIONS)])
        reward, _, spread = (float(x) for x in t_interval(samples))
        e = chain.measure("policy", rng=rng).total
        errors = estimate_error(bandit, policy, rng=rng)
        estimator = (
            f"{_REPLICATIONS} replications of {_STEPS} steps, 95 % t-interval; entanglement by Prop. 7.2"
        )
    return {
        "name": name,
        "value": scale * reward,
        "uncertainty": scale * spread + 1e-12 * abs(scale * reward),
        "average_reward": reward,
        "entanglement": e,
        "error_mu": errors.error_mu if isinstance(errors, ErrorEstimate) else errors.error("mu"),
        "unexplained": errors.unexplained,
        "estimator": estimator,
    }


def _reward(bandit: RestlessBandit, policy: Any, rng: np.random.Generator) -> float:
    """Mean reward per step of all arms over the second half of one run."""
    path = simulate(bandit, policy, 2 * _STEPS, rng=rng, flows="none")
    return float(path.rewards[_STEPS:].sum(axis=1).mean())
