"""The whole answer for one system and policy: verdict first, then the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _check
from .._progress import Progress, reporting, stage
from .._random import generator, seed_of, told
from .._types import RNG, PolicyLike, RewardsLike, Subject, ViewsLike
from .._work import one_blas_thread
from ..errors import InvalidInput
from ..laws.source import Logged, Runs, Space, as_source, choose, offers
from ..measures.entanglement import DISTANCES
from ..model.described import called
from .parts import PARTS, Inquiry, default_distances, run, why_no_values
from .result import Analysis
from .views import sight_of


@reporting("analysing")
def analyze(
    subject: Subject,
    policy: PolicyLike = None,
    *,
    rewards: RewardsLike = None,
    discount: float | None = None,
    distances: Sequence[str] | None = None,
    views: ViewsLike | bool = False,
    tolerance: float = 0.05,
    method: str = "auto",
    rng: RNG = 0,
    title: str = "",
    command: str = "",
    source: str = "Python",
    progress: Progress | bool | None = None,
) -> Analysis:
    """May I add up local values here, and how wrong will I be?

    Parameters
    ----------
    subject : a system or a bandit (with `policy`), a chain, or a log.
    policy : what the agents do; None for a chain, whose law contains it. One of
        a word: "uniform" (every feasible joint action alike), "optimal" (the best there is, on joint states), and for
        `RestlessBandit` and `WeaklyCoupledMDP` with a budget "whittle", "lp", "myopic" (priorities computed so) and
        "lp-update" (plans at every step);
        an object: `UniformPolicy()`, `IndexPolicy(priority)` (word "index" in files), `LPUpdatePolicy(horizon)`
        ("lp-update"), `LocalPolicy(tables)` ("local"), `NeighbourPolicy(tables)` ("neighbour"),
        `TablePolicy(table)` ("table");
        an array (joint states, joint actions) of probabilities;
        a callable, state tuple -> {action tuple: probability}.
    rewards, discount : override those of the system.
    distances : measures to take; None takes all that fit the system.
    views : of local states with parts, what to compare as `me.views` does; True: every combination of them.
    tolerance : the largest `unexplained` share of the spread of Q that you accept.
    method : "exact"; "simulate", by runs with intervals; "auto": exact where all joint pairs can be listed in seconds.
    rng : seed of everything random; recorded in the result.
    title, command, source : recorded in the result; from Python the command is the call.
    progress : called as `progress(share, what)` while it runs; None: shown on stderr after two seconds, where that is a
        terminal or a notebook; False: not shown.

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
    discount = None if discount is None else _check.discount(discount)
    for name, text in (("title", title), ("command", command), ("source", source)):
        if not isinstance(text, str):
            raise InvalidInput.kind(name, text, "text", "Quote it.")
    _check.choice("method", method, ("auto", "exact", "simulate"))
    generator(rng)  # refused before anything is computed
    maps = None if views is True else views
    command = command or called(
        subject, policy, rewards=rewards, discount=discount, distances=distances,
        views=None if views is False else views,
        tolerance=None if tolerance == 0.05 else tolerance, method=None if method == "auto" else method,
        rng=None if isinstance(rng, int) and rng == 0 else rng,
    )  # fmt: skip
    with one_blas_thread():
        chain = as_source(subject, policy)
        logged = offers(chain, Logged) and method == "auto"
        answers: Any = chain if logged else choose(chain, Space, method, question="an analysis", sampled=True)
        if views is not False:
            sight_of(answers, maps, discount)  # refused before anything is computed
        known = default_distances(answers) if distances is None else distances
        names = _check.names("distances", known, DISTANCES)
        if not names:
            raise InvalidInput("distances", "none", "at least one is needed", "E.g. ['policy'].")
        simulated = offers(answers, Runs)
        if logged and rewards is not None:
            rule, helps = "a log has the rewards that were paid", "Read it with them: me.read_logs(reward=)."
            raise InvalidInput("rewards", "rewards beside a log", rule, helps)
        if simulated and (rewards is not None or discount not in (None, chain.discount)):
            got, rule = "values of their own", "a large bandit has its own"
            raise InvalidInput("rewards, discount", got, rule, "Make a bandit with these.")
        if not simulated and not logged:
            with stage("the long run", 0.0, 0.1):
                answers.occupancy  # noqa: B018  several recurrent classes are an error, not a part to refuse
        inquiry = Inquiry(
            answers,
            rewards,
            discount,
            names,
            distances is not None,
            seed_of(rng),
            tolerance,
            views is not False,
            maps,
        )
        with stage("", 0.1, 0.9):
            run(inquiry)
        gamma = chain.discount if discount is None else discount
        extras = chain.extras(inquiry.stream, gamma)
        with stage(", ".join(x.name for x in extras.values()), 0.9, 1.0):
            special = {k: inquiry.attempt(x.name, x.ask) for k, x in extras.items()}
    found = {part.key: inquiry.found.get(part.key) for part in PARTS if part.key != "basis"}
    return Analysis(
        chain=chain,
        **found | {"bounds": found["bounds"] or (), "bias": found["bias"] or {}},
        extras=special,
        sections={k: extras[k].form(v) for k, v in special.items() if v is not None},
        refused=tuple(inquiry.refused),
        tolerance=tolerance,
        discount=gamma,
        seed=told(rng),
        why_no_values=why_no_values(inquiry),
        title=title,
        command=command,
        source=source,
        rewards=None if rewards is None else answers.read_rewards(rewards).summary() | {"given": True},
    )
