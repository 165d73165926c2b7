"""The whole answer for one system and policy: verdict first, then the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from .. import _check
from .._random import seed_of
from ..errors import InvalidInput
from ..laws.source import Runs, Space, as_source, choose, offers
from ..measures.entanglement import DISTANCES
from .parts import Inquiry, default_distances, run, why_no_values
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
) -> Analysis:
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
    Analysis : what would be too large is in `.refused` with its size. A large bandit is simulated.

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
) -> Analysis:
    tolerance = _check.tolerance(tolerance)
    source = as_source(subject, policy)
    answers: Any = choose(source, Space, question="an analysis", sampled=True)
    asked = distances is not None
    if isinstance(distances, str):
        distances = [distances]
    names = default_distances(answers) if distances is None else list(distances)
    for d in names:
        _check.choice("distances", d, tuple(DISTANCES))
    if not names:
        raise InvalidInput("distances", "none", "at least one is needed", "E.g. ['policy'].")
    simulated = offers(answers, Runs)
    if simulated and (rewards is not None or (discount is not None and discount != source.discount)):
        raise InvalidInput(
            "rewards, discount",
            "values of their own",
            "a large bandit has its own",
            "Make a bandit with these.",
        )
    if not simulated:
        answers.occupancy  # noqa: B018  several recurrent classes are an error, not a part to refuse
    inquiry = Inquiry(answers, rewards, discount, names, asked, seed_of(rng))
    run(inquiry)
    found = inquiry.found
    found.pop("basis", None)
    extras = source.extras(inquiry.stream)
    special = {k: inquiry.attempt(x.name, x.ask) for k, x in extras.items()}
    keys = ("entanglements", "separability", "mixture", "decomposition", "certificate", "additive", "budget", "orders",
            "decision", "whose", "breakdown")  # fmt: skip
    return Analysis(
        chain=source,
        **{k: found.get(k) for k in keys},  # type: ignore[arg-type]
        bounds=found.get("bounds") or (),
        bias=found.get("bias") or {},
        extras=special,
        sections={k: extras[k].form(v) for k, v in special.items() if v is not None},
        refused=tuple(inquiry.refused),
        tolerance=tolerance,
        discount=source.discount if discount is None else discount,
        seed=int(rng) if isinstance(rng, int | np.integer) else None,
        why_no_values="" if simulated else why_no_values(inquiry),
        title=title,
        command=command,
    )
