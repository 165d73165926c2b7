"""Policies side by side: what each earns, whether local values may be added under it, and which is better."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from .. import _tolerance as tol
from .._json import plain
from .._progress import Progress, reporting, stage
from .._random import seed_of, streams
from .._types import RNG, ArrayLike, PolicyLike
from ..errors import InvalidInput, UserError
from ..laws.source import Model, Runs, Space, as_source, choose, offers
from ..measures.entanglement import entanglement
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..report import tabulate, terms
from ..report.facts import brief, even, number, percent
from ..report.result import Brief, Result
from ..report.table import Columns, Table, table
from ..values.decomposition import value_decomposition
from ..values.upper import lagrangian_bound


@dataclass(frozen=True, repr=False)
class Line(Brief):
    """One policy.

    Attributes
    ----------
    name : the user's name for it.
    value : discounted sum of rewards, reward units: mean of the true values V over the start law; for a bandit in the
        long run, E_mu r / (1 - gamma).
    uncertainty : half-width of the interval around `value`: the solver's certified error, or of a 95 % interval;
        infinite where the runs are too short to tell.
    average_reward : E_mu r, reward per step.
    entanglement : sum_i E_i (`mu-atv`; of a simulated bandit `policy`).
    error_mu, unexplained : of the sum of local values; reward units, and a share of the spread of Q. NaN, as
        `entanglement`, where decisions are too dear to ask (a simulated `LPUpdatePolicy`).
    estimator : how `value` was found.
    certain : True when its interval is apart from those of its neighbours in rank.
    digest : equal where the policies act alike in every state.
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
    digest: str = ""

    def _brief(self) -> str:
        return f"{self.name}: {brief(self.value)} +- {self.uncertainty:.2g}"


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Policies ranked by value.

    Attributes
    ----------
    lines : best first.
    upper_bound : what no policy earns from the same start (`me.lagrangian_bound`), of exact values of a weakly coupled
        system; else None.
    """

    lines: tuple[Line, ...]
    upper_bound: float | None = None

    @property
    def sentence(self) -> str:
        """Which policy is best, and whether that is certain."""
        best, unit = self.lines[0], "reward units (discounted sum)"
        alike = [x.name for x in self.lines if x.digest == best.digest or x is best]
        others = [x for x in self.lines if x.name not in alike]
        same = f"{', '.join(alike[:-1])} and {alike[-1]} are the same policy: they act alike in every state"
        if not others:
            who = f"{same}, and each is" if len(alike) > 1 else f"{best.name} is"
            return f"{who} worth {best.value:.6g} {unit}."
        second = others[0]
        if best.value - second.value > best.uncertainty + second.uncertainty:
            who = f"{same}, and it is" if len(alike) > 1 else f"{best.name} is"
            return f"{who} best: {best.value:.6g} against {second.value:.6g} {unit} of {second.name}."
        if not math.isfinite(best.uncertainty + second.uncertainty):
            unsure = best if math.isinf(best.uncertainty) else second
            return f"Cannot tell {best.name} and {second.name} apart: {unsure.estimator}."
        return (
            f"Cannot tell {best.name} and {second.name} apart: {best.value:.6g} and {second.value:.6g} {unit} agree to "
            f"within {best.uncertainty + second.uncertainty:.2g}."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form; non-finite numbers are None."""
        lines = [plain(vars(line)) for line in self.lines]
        return {"sentence": self.sentence, "policies": lines, "upper_bound": self.upper_bound}

    _calls: ClassVar[tuple[str, ...]] = ("summary()",)

    def _tables(self) -> Iterator[Table]:
        unit = terms.REWARD
        columns: Columns = {
            "policy": "its name",
            "value": ("mean value over the start law", unit),
            "uncertainty": ("half the width of its interval", unit),
            "certain": "its interval is apart from those of its neighbours",
            "average_reward": ("reward per step", unit),
            "entanglement": tabulate.column("entanglement.*.total"),
            "error_mu": tabulate.column("values.error_mu"),
            "unexplained": tabulate.column("values.unexplained"),
            "estimator": "how the value was found",
        }
        rows = [[x.name, *(getattr(x, k) for k in columns if k != "policy")] for x in self.lines]
        yield table("policies", "Policies, the best first", columns, rows)
        if self.upper_bound is not None:
            yield tabulate.numbers(
                [("upper_bound", self.upper_bound, unit, "no policy earns more (Lagrangian)")]
            )

    def summary(self) -> str:
        """The ranking as text."""
        from ..report.text import table, wrapped

        head = ("policy", "value", "uncertainty", "average_reward", "entanglement", "unexplained")
        rows = [
            (x.name, f"{x.value:.6g}", f"{x.uncertainty:.2g}", f"{x.average_reward:.6g}",
             number(None if math.isnan(x.entanglement) else x.entanglement),
             percent(x.unexplained))
            for x in self.lines
        ]  # fmt: skip
        how = f"values: {'; '.join(sorted({x.estimator for x in self.lines}))}"
        units = (
            "value: discounted sum of rewards from the start, reward units; average_reward: per step; entanglement: "
            "sum of E_i; unexplained: share of the spread of Q that the sum of local values misses"
        )
        if self.upper_bound is not None:
            how += f"; no policy earns more than {self.upper_bound:.6g} (Lagrangian bound)"
        return "\n".join([*wrapped(self.sentence), *table(head, rows), *wrapped(units), *wrapped(how)])


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
    lines = sorted(found, key=lambda x: -even(x.value))  # equal ones in the user's order
    apart = [bool(x.value - y.value > x.uncertainty + y.uncertainty) for x, y in itertools.pairwise(lines)]
    sure = zip(lines, [True, *apart], [*apart, True], strict=True)
    ranked = tuple(replace(line, certain=left and right) for line, left, right in sure)
    return Comparison(
        ranked, _most(system, initial) if not any(offers(x, Runs) for x in ready.values()) else None
    )


def _most(system: Any, initial: Any) -> float | None:
    """What no policy earns from the start, where there is such a bound."""
    if offers(system, WeaklyCoupledMDP):
        with suppress(UserError):
            return lagrangian_bound(system, initial).value
    return None


def _measure(name: str, answers: Any, seed: int) -> Line:
    simulated = offers(answers, Runs)
    if simulated and answers.costly:
        average, half, estimator = answers.worth(streams(seed, f"{name}: worth")[0])
        scale = 1.0 / (1.0 - answers.discount)
        estimator += "; entanglement and errors are not asked, for every decision takes a linear program"
        return Line(
            name, scale * average, scale * half, average, math.nan, math.nan, math.nan, estimator, True, name
        )
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
    digest = answers.summary().get("policy", {}).get("digest", name)
    return Line(name, value, uncertainty, average, e.total, error, d.unexplained, estimator, True, digest)
