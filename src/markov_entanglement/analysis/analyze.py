"""The whole answer for one system and policy: verdict first, then the evidence."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import __version__, _check
from .. import _tolerance as tol
from .._files import write_text
from ..errors import NoConvergence, TooLarge
from ..markov.chain import Chain
from ..measures.entanglement import DISTANCES, Entanglement, as_chain, entanglement
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..values.bounds import Bound, error_bounds, transition_bias
from ..values.decomposition import ValueDecomposition, value_decomposition
from .breakdown import Breakdown, breakdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 1
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False, repr=False)
class Analysis:
    """Everything that was found out about one system under one policy.

    Attributes
    ----------
    chain : the induced chain.
    entanglements : distance -> measure.
    decomposition : local values against the truth, or None (no rewards, or refused).
    bounds : the table of bounds with the truth.
    breakdown : where it breaks, or None (refused).
    refused : (name, reason) of each part that was refused, with its size.
    tolerance : the user's tolerance on `unexplained`.
    seed : of the random generator, for results that use one.
    title : what was analysed.
    command : the call that made it.
    """

    chain: Chain
    entanglements: dict[str, Entanglement]
    decomposition: ValueDecomposition | None
    bounds: tuple[Bound, ...]
    breakdown: Breakdown | None
    refused: tuple[tuple[str, str], ...]
    tolerance: float
    seed: int | None
    title: str = ""
    command: str = ""
    why_no_values: str = ""
    bias: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def agentwise(self) -> str:
        """Agent-wise separability: "separable", "entangled" or "undecided", by the `atv` measure."""
        if "atv" not in self.entanglements:
            return "undecided"
        gap = float(self.entanglements["atv"].per_agent.max())
        if gap <= tol.SEPARABLE:
            return "separable"
        return "entangled" if gap >= tol.ENTANGLED else "undecided"

    @property
    def verdict(self) -> str:
        """ "add", "do-not-add" or "cannot-tell".

        With values: "add" when `unexplained` is within the tolerance. Without: only separability decides.
        """
        if self.decomposition is not None:
            return "add" if self.decomposition.unexplained <= self.tolerance else "do-not-add"
        return "add" if self.agentwise == "separable" else "cannot-tell"

    @property
    def sentence(self) -> str:
        """The verdict in a sentence that a reader can act on."""
        if self.agentwise == "separable":
            return (
                "Yes: local values add up exactly, for every reward. "
                "No agent's next step depends on anything but its own local pair."
            )
        limit = f"{100 * self.tolerance:.3g} %"
        if self.decomposition is not None:
            missed = _percent(self.decomposition.unexplained)
            if self.verdict == "add":
                return (
                    f"Yes, within your tolerance: the sum of local values misses {missed} of the spread of Q "
                    f"(tolerance {limit})."
                )
            return f"No: the sum of local values misses {missed} of the spread of Q (tolerance {limit})."
        worst = max((float(e.per_agent.max()) for e in self.entanglements.values()), default=math.nan)
        if self.why_no_values:
            return f"Cannot tell: {self.why_no_values}. The largest entanglement found is {worst:.4g}."
        return "Cannot tell: the values could not be computed; see what was refused."

    def to_dict(self) -> dict[str, Any]:
        """The result JSON; every picture and page is made from it alone."""
        return _finite(self._dict)

    @cached_property
    def _dict(self) -> dict[str, Any]:
        chain, labels = self.chain, self.chain.system.labels
        values = None if self.decomposition is None else self.decomposition.to_dict()
        gap = float(self.entanglements["atv"].per_agent.max()) if "atv" in self.entanglements else None
        return {
            "schema": SCHEMA,
            "versions": {"markov-entanglement": __version__, "numpy": np.__version__},
            "command": self.command,
            "seed": self.seed,
            "system": {
                "title": self.title or repr(chain.system),
                "kind": type(chain.system).__name__,
                "agents": chain.n_agents,
                "names": [labels.agent(i) for i in range(chain.n_agents)],
                "joint_states": len(chain.states),
                "pairs": chain.n_pairs,
                "recurrent_pairs": int(chain.recurrent.sum()),
                "local_pairs": list(chain.sizes),
                "discount": None if self.decomposition is None else self.decomposition.discount,
            },
            "verdict": {"word": self.verdict, "sentence": self.sentence, "tolerance": self.tolerance},
            "separability": {"agentwise": self.agentwise, "verdict": None, "gap": gap},
            "entanglement": {k: e.to_dict() for k, e in self.entanglements.items()},
            "values": values,
            "no_values": self.why_no_values or None,
            "bounds": {b.name: b.to_dict() for b in self.bounds},
            "certificate": {},
            "transition_bias": {k: list(v) for k, v in self.bias.items()},
            "breakdown": None if self.breakdown is None else self._breakdown_dict(self.breakdown),
            "solvers": self._solvers(),
            "refused": [{"name": n, "reason": r} for n, r in self.refused],
        }

    def _breakdown_dict(self, found: Breakdown) -> dict[str, Any]:
        spaces, labels = self.chain.system.spaces, self.chain.system.labels
        pairs = []
        for i, a in enumerate(spaces.n_actions):
            names = [
                f"{labels.state(i, x // a)}, {labels.action(i, x % a)}" if a > 1 else labels.state(i, x)
                for x in range(self.chain.sizes[i])
            ]
            pairs.append(names)
        return found.to_dict() | {"pair_names": pairs}

    def _solvers(self) -> dict[str, Any]:
        s = self.chain.stationary
        out: dict[str, Any] = {"stationary": {"method": s.method, "residual": s.residual}}
        if self.decomposition is not None:
            e = self.decomposition.evaluation
            out["values"] = {"method": e.method, "residual": e.residual}
        return out

    def summary(self) -> str:
        """The result as text for a terminal."""
        from ..report.text import render_text

        return render_text(self.to_dict())

    def save_json(self, path: str | Path) -> None:
        """Write the result JSON atomically."""
        write_text(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")

    def save_html(self, path: str | Path) -> None:
        """Write the self-contained HTML report atomically."""
        write_text(path, self._repr_html_())

    def _repr_html_(self) -> str:
        from ..report.html import render_html

        return render_html(self.to_dict())

    def plot(self) -> Figure:
        """Entanglement of each agent and who explains it, as a matplotlib figure."""
        from ..report.figures import overview

        return overview(self.to_dict())

    def __repr__(self) -> str:
        return f"Analysis({self.verdict}: {self.sentence})"


def analyze(
    subject: Any,
    policy: Any = None,
    *,
    rewards: Any = None,
    discount: float | None = None,
    distances: Sequence[str] | None = None,
    tolerance: float = 0.05,
    rng: Any = 0,
    title: str = "",
    command: str = "",
) -> Analysis:
    """May I add up local values here, and how wrong will I be?

    Parameters
    ----------
    subject : a system (with `policy`) or a chain.
    policy : see `System.under`.
    rewards, discount : override those of the system.
    distances : measures to take; None takes all that fit the system.
    tolerance : the largest `unexplained` share of the spread of Q that you accept.
    rng : seed of everything random; recorded in the result.
    title, command : recorded in the result.

    Returns
    -------
    Analysis : parts that would be too large are listed in `.refused` with their size.

    Raises
    ------
    InvalidInput : malformed arguments.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.

    >>> import markov_entanglement as me
    >>> subject = me.gallery.build("shared-randomness")
    >>> me.analyze(subject.system, subject.policy).verdict
    'add'
    """
    tolerance = _check.number("tolerance", tolerance)
    chain = as_chain(subject, policy)
    if distances is None:
        distances = [d for d in DISTANCES if d != "policy" or isinstance(chain.system, WeaklyCoupledMDP)]
    for d in distances:
        _check.choice("distances", d, DISTANCES)
    chain.occupancy  # noqa: B018  several recurrent classes are an error, not a part to refuse
    refused: list[tuple[str, str]] = []

    def attempt(name: str, make: Callable[[], _T]) -> _T | None:
        try:
            return make()
        except (TooLarge, NoConvergence) as e:
            refused.append((name, str(e)))
            return None

    measured = {d: attempt(d, lambda d=d: entanglement(chain, d)) for d in distances}  # type: ignore[misc]
    found = {d: e for d, e in measured.items() if e is not None}
    why = _why_no_values(chain, rewards, discount)
    values = None if why else attempt("values", lambda: value_decomposition(chain, rewards, discount))
    bounds = None if values is None else attempt("bounds", lambda: error_bounds(values, found))
    weak = found.get("mu-atv")
    broken = None if weak is None else attempt("where it breaks", lambda: breakdown(chain, weak))
    bias: dict[str, tuple[float, ...]] = {
        d: tuple(transition_bias(chain, i, f) for i, f in enumerate(found[d].fits))
        for d in ("mu-atv", "atv")
        if d in found
    }
    return Analysis(
        chain,
        found,
        values,
        bounds or (),
        broken,
        tuple(refused),
        tolerance,
        _seed(rng),
        title,
        command,
        why,
        bias,
    )


def _why_no_values(chain: Chain, rewards: Any, discount: float | None) -> str:
    missing = []
    if rewards is None and chain.system.rewards is None:
        missing.append("rewards")
    if discount is None and chain.discount is None:
        missing.append("discount")
    return f"{' and '.join(missing)} missing, so there are no values to compare" if missing else ""


def _seed(rng: Any) -> int | None:
    return int(rng) if isinstance(rng, int | np.integer) else None


def _percent(share: float) -> str:
    if not math.isfinite(share):
        return "all"
    return f"{100 * share:.3g} %"


def _finite(value: Any) -> Any:
    """Non-finite numbers become null."""
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
