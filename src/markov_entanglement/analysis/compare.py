"""Policies side by side: what each earns, whether local values may be added under it, and which is better."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from .. import _tolerance as tol
from .._progress import Progress, reporting, stage
from .._random import seed_of, streams
from .._types import RNG, ArrayLike, PolicyLike
from ..errors import InvalidInput
from ..laws.source import Model, Runs, Space, as_source, choose, offers
from ..measures.entanglement import entanglement
from ..values.decomposition import value_decomposition


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
            f"  {x.average_reward:>12.6g}  {x.entanglement:>9.4g}  {x.unexplained:>11.4g}"
            for x in self.lines
        ]
        how = sorted({x.estimator for x in self.lines})
        return "\n".join([self.sentence, head, *body, f"values: {'; '.join(how)}"])


@reporting("comparing")
def compare(
    policies: Mapping[str, PolicyLike],
    system: Model,
    *,
    initial: ArrayLike | None = None,
    rng: RNG = 0,
    progress: Progress | bool | None = None,
) -> Comparison:
    """Rank policies by the value that they earn, with certainty.

    Parameters
    ----------
    policies : name -> policy.
    system : a system with rewards and a discount, or a `RestlessBandit` (any number of arms).
    rng : seed of the simulations of a large bandit; every policy has random numbers of its own.
    initial : start law of the comparison, see `System.under`; None weighs all joint states alike.
    progress : see `analyze`.

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
        raise InvalidInput.kind("policies", policies, "a non-empty {name: policy}", "Name each.")
    seed, found = seed_of(rng), []
    sources = {name: as_source(system, policy, initial) for name, policy in policies.items()}
    # what is too large for one is known before anything is computed for another
    ready = {name: choose(x, Space, question="a comparison", sampled=True) for name, x in sources.items()}
    for k, (name, answers) in enumerate(ready.items()):
        with stage(name, k / len(ready), (k + 1) / len(ready)):
            found.append(_measure(name, answers, seed))
    lines = sorted(found, key=lambda x: -x.value)
    apart = [bool(x.value - y.value > x.uncertainty + y.uncertainty) for x, y in itertools.pairwise(lines)]
    sure = zip(lines, [True, *apart], [*apart, True], strict=True)
    return Comparison(tuple(replace(line, certain=left and right) for line, left, right in sure))


def _measure(name: str, answers: Any, seed: int) -> Line:
    simulated = offers(answers, Runs)
    with stage(f"{name}: values", 0.0, 0.6):
        d = answers.errors(streams(seed, f"{name}: values")[0]) if simulated else value_decomposition(answers)
    if simulated:
        scale = 1.0 / (1.0 - answers.discount)
        average, half, estimator = answers.worth(streams(seed, f"{name}: worth")[0])
        value, uncertainty = scale * average, scale * half
    else:
        v, estimator = answers.average(d.joint_q), answers.estimator
        value = float(answers.start @ v)
        average = float(answers.occupancy @ answers.reward(answers.read_rewards(None)))
        uncertainty = d.rounding + tol.SOLVE * float(np.abs(v).max(initial=0.0))
    with stage(f"{name}: entanglement", 0.7, 1.0):
        distance: Literal["policy", "mu-atv"] = "policy" if simulated else "mu-atv"
        e = entanglement(answers, distance, rng=streams(seed, f"{name}: E")[0])
    uncertainty += tol.SOLVE * abs(value)
    error = d.errors()["error_mu"]
    return Line(name, value, uncertainty, average, e.total, error, d.unexplained, estimator, certain=True)
