"""Measures of Markov entanglement (Sections 5 and 6): how far the chain is from separable.

| distance | per agent | value |
|---|---|---|
| `mu-atv` (Eq. 7) | `E_i = min_M sum_x mu(x) TV(p_i(.|x), M(.|x_i))` | weighted L1 median |
| `atv` (Eq. 5) | `E_i = min_M max_x TV(p_i(.|x), M(.|x_i))` | minimax centre |
| `policy` (Prop. 7.2) | `min_M sum_s mu(s) TV(pi_i(.|s), M(.|s_i))` | bounds E_i when weakly coupled |
| `spectral` | `sigma_i`, norm of `(I - Pi_i) P` on functions of x_i in L2(mu) | second moments |

`tv` and `mu-tv` are one number for all agents: the distance of P from the separable transitions (Def. 6.2).

`atv` is 0 for every agent iff the chain is agent-wise separable when it runs over all of its pairs
(`support="reachable"`); over the recurrent pairs (the default) it says so of these alone, as `mu-atv` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from .. import _check
from .._check import Floats, freeze
from ..errors import Unsupported
from ..laws.from_policy import policy_rows
from ..laws.rows import Rows
from ..markov.chain import Chain
from .joint import JointDistance, joint_distance
from .local_fit import LocalFit, fit_mean, fit_worst
from .spectral import SpectralMeasure, spectral_measure

DISTANCES = ("mu-atv", "atv", "policy", "tv", "mu-tv", "spectral")
Measure: TypeAlias = "Entanglement | JointDistance | SpectralMeasure"
Support = Literal["recurrent", "reachable"]


@dataclass(frozen=True, eq=False, repr=False)
class Entanglement:
    """Entanglement of every agent under one distance.

    Attributes
    ----------
    distance : "mu-atv", "atv" or "policy".
    support : pairs over which a maximum runs, "recurrent" or "reachable"; means run over `mu`.
    method : "exact".
    fits : per agent, the optimal local model and the contribution of each key.
    """

    distance: str
    support: str
    method: str
    fits: tuple[LocalFit, ...]

    @property
    def per_agent(self) -> Floats:
        """(N,) E_i, dimensionless, in [0, 1]."""
        return freeze(np.array([f.value for f in self.fits]))

    @property
    def total(self) -> float:
        """sum_i E_i."""
        return float(self.per_agent.sum())

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"per_agent": self.per_agent.tolist(), "total": self.total}

    def __repr__(self) -> str:
        values = ", ".join(f"{v:.6g}" for v in self.per_agent[:6])
        return f"Entanglement({self.distance}: [{values}{', ...' if len(self.fits) > 6 else ''}])"


def entanglement(
    chain: Any,
    distance: str = "mu-atv",
    *,
    method: str = "auto",
    support: str = "recurrent",
    rng: Any = None,
) -> Any:
    """Measure how entangled a chain is.

    Parameters
    ----------
    chain : from `system.under(policy)`; a `JointChain` is taken as it is.
    distance : "mu-atv" (Eq. 7), "atv" (Eq. 5), "policy" (Prop. 7.2), "tv", "mu-tv" or "spectral".
    method : "exact"; "simulate" (bandits, "policy"; carries `.interval`); "auto" simulates where the count space
        is large.
    rng : seed of a simulation.
    support : "recurrent" (default) or "reachable": pairs over which the maxima of "atv" and "tv" run. "atv" = 0
        iff agent-wise separable (`separability`) needs "reachable".

    Returns
    -------
    Entanglement with `.per_agent` and `.total`; for "tv" and "mu-tv" a `JointDistance` with `.value`; for
    "spectral" a `SpectralMeasure` with `.per_agent`, `.total`, `.worst`, `.optimal_local`.

    Raises
    ------
    InvalidInput : an unknown distance, method or support.
    Unsupported : "policy" on a system that is not weakly coupled.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.
    TooLarge : the linear program of "tv" or "mu-tv" would not fit.

    >>> import markov_entanglement as me
    >>> chain = me.gallery.build("appendix-e").chain()
    >>> [round(float(e), 12) for e in me.entanglement(chain, "atv").per_agent]
    [0.0, 0.4]
    """
    _check.choice("distance", distance, DISTANCES)
    _check.choice("method", method, ("auto", "exact", "simulate"))
    _check.choice("support", support, ("recurrent", "reachable"))
    if hasattr(chain, "measure"):  # a bandit measures itself, per arm type
        return chain.measure(distance, method=method, support=support, rng=rng)
    if method == "simulate":
        raise Unsupported(
            "method", "'simulate' on a joint chain", "its rows are at hand", "Use method='exact'."
        )
    chain = as_chain(chain)
    if distance in ("tv", "mu-tv"):
        return joint_distance(chain, weighted=distance == "mu-tv", support=support)
    if distance == "spectral":
        return spectral_measure(chain)
    return local_entanglement(chain, distance, support)


def local_entanglement(chain: Chain, distance: str = "mu-atv", support: str = "recurrent") -> Entanglement:
    """The agent-wise measures: "mu-atv", "atv" and "policy"."""
    fit = fit_worst if distance == "atv" else fit_mean
    fits = tuple(fit(agent_rows(chain, i, distance, support)) for i in range(chain.n_agents))
    return Entanglement(distance, support, "exact", fits)


def agent_rows(chain: Chain, i: int, distance: str, support: str = "recurrent") -> Rows:
    """The rows that `distance` measures for agent i."""
    if distance == "policy":
        return policy_rows(chain, i)
    if distance == "mu-atv":
        return chain.rows(i)
    # A maximum needs no weights, so it is defined with several recurrent classes, too.
    rows = Rows(chain.pairs[:, i], np.zeros(chain.n_pairs), chain.next_law(i), chain.sizes[i])
    return rows.where(chain.recurrent) if support == "recurrent" else rows


def as_chain(subject: Any, policy: Any = None, initial: Any = None) -> Chain:
    """A chain from a chain, a system with a policy, or a `JointChain`.

    Raises
    ------
    Unsupported : the subject is none of these.
    """
    if isinstance(subject, Chain):
        if policy is not None:
            raise Unsupported(
                "policy",
                "a policy beside a chain",
                "a chain has its policy inside",
                "Pass the system, or drop the policy.",
            )
        return subject
    if policy is not None and not getattr(subject, "acts", True):
        raise Unsupported(
            "policy", "a policy beside a chain", "a chain has its policy inside", "Leave the policy out."
        )
    if hasattr(subject, "under"):
        return as_chain(subject.under(policy, initial=initial))
    if hasattr(subject, "measure"):
        raise Unsupported(
            "chain",
            repr(subject),
            "a bandit's counts do not show joint pairs",
            "Use me.entanglement and me.value_decomposition, or a small me.WeaklyCoupledMDP with the same budget.",
        )
    raise Unsupported(
        "system",
        type(subject).__name__,
        "it must be a system or a chain",
        "E.g. me.MultiAgentMDP(...) or me.load('file.toml').",
    )
