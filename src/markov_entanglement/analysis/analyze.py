"""The whole answer for one system and policy: verdict first, then the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from .. import _check
from .. import _tolerance as tol
from ..bandits.chain import BanditChain
from ..errors import InvalidInput
from ..markov.chain import Chain
from ..measures.entanglement import DISTANCES, Entanglement, Measure, as_chain, entanglement
from ..measures.joint import joint_distance
from ..model.weakly_coupled import WeaklyCoupledMDP
from ..separable.decide import separability
from ..separable.local_polytope import local_polytope
from ..values.additive import additive_values
from ..values.bounds import error_bounds, transition_bias
from ..values.certificate import certificate
from ..values.decomposition import value_decomposition
from .attempt import Attempts
from .bandit import BanditAnalysis, analyze_bandit
from .breakdown import breakdown
from .result import Analysis


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
) -> Analysis | BanditAnalysis:
    """May I add up local values here, and how wrong will I be?

    Parameters
    ----------
    subject : a system or a bandit (with `policy`), or a chain.
    policy : see `System.under`.
    rewards, discount : override those of the system.
    distances : measures to take; None takes all that fit the system.
    tolerance : the largest `unexplained` share of the spread of Q that you accept.
    rng : seed of everything random; recorded in the result.
    title, command : recorded in the result.

    Returns
    -------
    Analysis, or BanditAnalysis for a `RestlessBandit`: what would be too large is in `.refused` with its size.

    Raises
    ------
    InvalidInput : malformed arguments.
    SeveralRecurrentClasses : mu is not unique and no initial law was given.

    >>> import markov_entanglement as me
    >>> subject = me.gallery.build("shared-randomness")
    >>> me.analyze(subject.system, subject.policy).verdict
    'add'
    """
    # the products are many and small: threads inside them cost more than they bring, most on a busy machine
    with threadpool_limits(limits=1, user_api="blas"):
        return _analyze(subject, policy, rewards, discount, distances, tolerance, rng, title, command)


def _analyze(
    subject: Any,
    policy: Any,
    rewards: Any,
    discount: float | None,
    distances: Sequence[str] | None,
    tolerance: float,
    rng: Any,
    title: str,
    command: str,
) -> Analysis | BanditAnalysis:
    tolerance = _check.tolerance(tolerance)
    if hasattr(subject, "n_arms"):
        subject, policy = subject.under(policy), None
    if isinstance(subject, BanditChain):
        _refuse_own_values(subject, rewards, discount)
        return analyze_bandit(
            subject, distances=distances, tolerance=tolerance, rng=rng, title=title, command=command
        )
    chain = as_chain(subject, policy)
    asked = distances is not None
    if isinstance(distances, str):
        distances = [distances]
    if distances is None:
        distances = [d for d in DISTANCES if d != "policy" or isinstance(chain.system, WeaklyCoupledMDP)]
    for d in distances:
        _check.choice("distances", d, DISTANCES)
    chain.occupancy  # noqa: B018  several recurrent classes are an error, not a part to refuse
    parts = Attempts()
    attempt = parts.run
    measured = {d: attempt(d, lambda d=d: _measure(chain, d, asked), may_lack=True) for d in distances}  # type: ignore[misc]
    found = {d: e for d, e in measured.items() if e is not None}
    gamma = discount if discount is not None else chain.discount
    decided = attempt("separability", lambda: separability(chain, discount=gamma or 0.9))
    mixture = None
    if decided is not None and decided.verdict == "separable":
        mixture = attempt("non-negative decomposition", lambda: local_polytope(chain), may_lack=True)
    why = _why_no_values(chain, rewards, discount)
    values = None if why else attempt("values", lambda: value_decomposition(chain, rewards, discount))
    bounds, bracket, joint = None, None, None
    if values is not None:
        bounds = attempt("bounds", lambda: error_bounds(values, found))
        bracket = attempt("certificate", lambda: certificate(chain, rewards, discount, values.sum_q))
        joint = attempt("joint additive values", lambda: additive_values(chain, rewards, discount))
    weak = found.get("mu-atv")
    broken = None
    if isinstance(weak, Entanglement):
        broken = attempt("where it breaks", lambda: breakdown(chain, weak))
    bias = {
        d: tuple(transition_bias(chain, i, f) for i, f in enumerate(e.fits))
        for d, e in found.items()
        if isinstance(e, Entanglement) and d != "policy"
    }
    return Analysis(
        chain=chain,
        entanglements=found,
        separability=decided,
        mixture=mixture,
        decomposition=values,
        bounds=bounds or (),
        certificate=bracket,
        additive=joint,
        breakdown=broken,
        bias=bias,
        refused=tuple(parts.refused),
        tolerance=tolerance,
        seed=int(rng) if isinstance(rng, int | np.integer) else None,
        why_no_values=why,
        title=title,
        command=command,
    )


def _measure(chain: Chain, distance: str, asked: bool) -> Measure:
    """A distance; linear programs that take long only when they were asked for by name."""
    if asked or distance not in ("tv", "mu-tv"):
        measured: Measure = entanglement(chain, distance)
        return measured
    limit = tol.JOINT_ENTRIES_UNASKED[0 if chain.n_agents <= 2 else 1]
    return joint_distance(chain, weighted=distance == "mu-tv", entries=limit)


def _refuse_own_values(chain: BanditChain, rewards: Any, discount: float | None) -> None:
    if rewards is not None or (discount is not None and discount != chain.discount):
        raise InvalidInput(
            "rewards, discount", "values of their own", "a bandit has its own", "Make a bandit with these."
        )


def _why_no_values(chain: Chain, rewards: Any, discount: float | None) -> str:
    missing = []
    if rewards is None and chain.system.rewards is None:
        missing.append("rewards")
    if discount is None and chain.discount is None:
        missing.append("discount")
    return f"{' and '.join(missing)} missing, so there are no values to compare" if missing else ""
