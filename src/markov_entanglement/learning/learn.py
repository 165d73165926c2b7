"""Learn local values of a system by running it: Meta Algorithm 1 from a system to its tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from typing import TypeVar

from .. import _check
from .._progress import Progress, reporting
from .._random import generator
from .._types import RNG, PolicyLike, Subject
from ..laws.source import Lesson, Runs, as_source, choose, demand
from ..runs.place import Place
from .fold import Learner
from .result import LocalValues
from .resume import Kept, about

S = TypeVar("S")


@reporting("learning")
def learn(
    learner: Learner[S],
    system: Subject,
    policy: PolicyLike = None,
    *,
    steps: int,
    burn_in: int = 1000,
    discount: float | None = None,
    rng: RNG,
    stop: Callable[[], bool] | None = None,
    keep: str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | bool | None = None,
) -> LocalValues:
    """Run a system and learn local values along the way, in the memory of some steps.

    Parameters
    ----------
    learner : e.g. `me.LSTD()`, `me.TD()`, `me.MonteCarlo()`, or one of your own.
    system : a system (with `policy`) or its chain, whatever its size; a bandit of alike arms runs in counts.
    steps : T >= 1 after `burn_in` steps that are dropped.
    discount : gamma in [0, 1); None takes the system's.
    rng : seed or numpy Generator; the same seed gives the same bytes.
    stop : asked between stretches of steps; once it says True, what was learned so far is the answer.
    keep : an `.npz` file in which a run that was stopped is kept. None: nowhere.
    resume : go on from the run in `keep`, to the bytes that it would have without a stop; the file goes away once all
        steps are done. What runs in counts takes moments and is never stopped.
    progress : see `analyze`.

    Raises
    ------
    InvalidInput : malformed arguments, no discount, or a learner that diverges; a run to go on from that is not there,
        that is longer, or of another learner, system, policy, seed, burn-in or discount.
    Unsupported : no learner; or one that cannot learn here: single arms from counts, own rewards from a shared one.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("health", n_arms=(2, 2, 2), budget=1)
    >>> found = me.learn(me.LSTD(), entry.system, entry.policy, steps=5000, rng=0)
    >>> exact = me.value_decomposition(entry.chain()).local_q
    >>> bool(abs(found.q(1)[0] - exact[1][0]) < 0.5)
    True
    """
    demand("learner", learner, Learner, "it must be a me.Learner", "E.g. me.LSTD().")
    many = _check.integer("steps", steps, low=1, high=2**62)
    early = _check.integer("burn_in", burn_in, low=0, high=2**62)
    running = as_source(system, policy, stepped=True)
    source = choose(running, Runs, "simulate", question="learning", sampled=True)
    _check.resuming(resume, keep, "a run goes on from a file", "run.npz")
    lesson = Lesson(many, early, discount, generator(rng), stop or (lambda: False), Place())
    if keep is None:
        return _labelled(source.learned(learner, lesson), source)
    kept = Kept(keep, about(learner, source, rng, early, discount), learner, resume, many)
    found = source.learned(kept.learner, lesson._replace(place=kept.place))
    kept.close(many)
    return _labelled(found, source)


def _labelled(found: LocalValues, source: Runs) -> LocalValues:
    """The same, with the names that the source has for local states and actions."""
    return replace(found, labels=tuple(source.local_names(int(u)) for u in found.tabled))
