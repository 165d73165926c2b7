"""The whole answer for one system and policy: verdict first, then the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from .. import _check
from .._random import seed_of
from ..errors import InvalidInput
from ..laws.source import Runs, Space, as_source, choose, offers
from ..measures.entanglement import DISTANCES
from ..model.described import called
from .parts import PARTS, Inquiry, default_distances, run, why_no_values
from .result import Analysis


@cache
def _threads() -> ThreadpoolController:
    """The thread pools of this process, looked up once."""
    return ThreadpoolController()


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
    source: str = "Python",
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
    title, command, source : recorded in the result; from Python the command is the call.

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
    tolerance = _check.tolerance(tolerance)
    # the products are many and small: threads inside them cost more than they bring, most on a busy machine
    command = command or called(
        subject, policy, rewards=rewards, discount=discount, distances=distances,
        tolerance=None if tolerance == 0.05 else tolerance, rng=rng or None,
    )  # fmt: skip
    with _threads().limit(limits=1, user_api="blas"):
        chain = as_source(subject, policy)
        answers: Any = choose(chain, Space, question="an analysis", sampled=True)
        names = [distances] if isinstance(distances, str) else distances
        names = default_distances(answers) if names is None else list(names)
        for d in names:
            _check.choice("distances", d, tuple(DISTANCES))
        if not names:
            raise InvalidInput("distances", "none", "at least one is needed", "E.g. ['policy'].")
        simulated = offers(answers, Runs)
        if simulated and (rewards is not None or discount not in (None, chain.discount)):
            got, rule = "values of their own", "a large bandit has its own"
            raise InvalidInput("rewards, discount", got, rule, "Make a bandit with these.")
        if not simulated:
            answers.occupancy  # noqa: B018  several recurrent classes are an error, not a part to refuse
        inquiry = Inquiry(answers, rewards, discount, names, distances is not None, seed_of(rng))
        run(inquiry)
        extras = chain.extras(inquiry.stream)
        special = {k: inquiry.attempt(x.name, x.ask) for k, x in extras.items()}
    found = {part.key: inquiry.found.get(part.key) for part in PARTS if part.key != "basis"}
    return Analysis(
        chain=chain,
        **found | {"bounds": found["bounds"] or (), "bias": found["bias"] or {}},
        extras=special,
        sections={k: extras[k].form(v) for k, v in special.items() if v is not None},
        refused=tuple(inquiry.refused),
        tolerance=tolerance,
        discount=chain.discount if discount is None else discount,
        seed=int(rng) if isinstance(rng, int | np.integer) else None,
        why_no_values="" if simulated else why_no_values(inquiry),
        title=title,
        command=command,
        source=source,
        rewards=None if rewards is None else answers.read_rewards(rewards).summary() | {"given": True},
    )
