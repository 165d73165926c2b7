"""The whole answer for somebody's environment under a policy, from recorded runs and snapshots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from .. import _check
from .._progress import Progress, reporting, stage
from .._random import generator, seed_of, stream, told
from .._types import RNG, EnvironmentLike, EnvironmentPolicyLike, LocalState
from ..environments.recorded import recording_of
from ..environments.runs import EnvironmentRuns
from .analyze import analyze
from .result import Analysis


@reporting("diagnosing")
def diagnose(
    env: EnvironmentLike,
    policy: EnvironmentPolicyLike,
    *,
    local_state: LocalState | None = None,
    steps: int = 100_000,
    discount: float | None = None,
    agents: Sequence[str] | None = None,
    burn_in: int | None = None,
    snapshots: bool = True,
    distances: Sequence[str] | None = None,
    tolerance: float = 0.05,
    rng: RNG = 0,
    keep: str | PathLike[str] | None = None,
    resume: bool = False,
    stop: Callable[[], bool] | None = None,
    laid: Callable[[Path], None] | None = None,
    title: str = "",
    command: str = "",
    source: str = "Python",
    progress: Progress | bool | None = None,
) -> Analysis:
    """May I add up local values in this environment under this policy, and how wrong will I be?

    Records 20 independent runs. Where a snapshot is faithful (`check_snapshot`) the next step is drawn again from some
    places of these runs, and the error of the local values that agents learn along them is judged by two rollouts from
    each of many places: about as many steps again for each of the two.

    Parameters
    ----------
    env : a PettingZoo or Gymnasium environment, or one in their style, with discrete actions.
    policy : "uniform"; a function `policy(observations, rng)`, of agent -> observation for all who act, that returns
        agent -> action, or agent -> probabilities (A_i,) as decimals, which are then used; or an `EnvironmentPolicy`.
    local_state : `local_state(env, agent)`, anything that can be looked up and named; `me.Rounded(width)`, the
        observation by multiples of a width; None: the observation, if it has whole numbers. Who is away while others
        act is in the local state "away".
    steps : steps recorded, 1000 or more.
    discount : gamma in [0, 1); None: no values, and so no verdict on them.
    agents : names, where the environment has none. Of one with a single action the first agent takes it.
    burn_in : steps of each run that are dropped; None: a tenth of it.
    snapshots : False takes none: no draws, no errors of values.
    distances : "mu-atv", and "policy" (Prop. 7.2) where the policy returns probabilities; None: all that fit.
    tolerance : the largest `unexplained` share of the spread of Q that you accept.
    rng : seed or numpy Generator; the same seed gives the same result, also of runs that were stopped and resumed.
    keep : a folder for the runs that are done; resume : go on with what lies there.
    stop : asked before each step; True stops with KeyboardInterrupt. laid : told of each file that is written.
    title, command, source, progress : see `analyze`.

    Returns
    -------
    Analysis : with `.mode`. Values stop where tasks end, and go on where the clock cuts an episode, as if it had none;
        mu and E_i are those of one episode after the other.

    Raises
    ------
    InvalidInput : an environment that ignores its seed, says NaN or loses agents, a policy that acts illegally, a local
        state that cannot be read; with the place.

    >>> import gymnasium, markov_entanglement as me
    >>> lake = gymnasium.make("FrozenLake-v1")
    >>> found = me.diagnose(lake, "uniform", steps=2000)
    >>> found.mode, found.verdict
    ('laws known', 'cannot-tell')
    """
    tolerance = _check.tolerance(tolerance)
    snapshots = _check.flag("snapshots", snapshots)
    generator(rng)  # refused before anything runs
    seed = seed_of(rng)
    with stage("recording", 0.0, 0.8):
        recording = recording_of(
            env, policy, local_state=local_state, steps=steps, discount=discount, agents=agents, burn_in=burn_in,
            snapshots=snapshots, rng=stream(seed, 0), keep=keep, resume=resume, stop=stop or (lambda: False),
            laid=laid or (lambda path: None),
        )  # fmt: skip
    runs = EnvironmentRuns.of(recording, discount)
    with stage("", 0.8, 1.0):
        found = analyze(
            runs, distances=distances, tolerance=tolerance, method="simulate", rng=stream(seed, 1),
            title=title or f"{recording.policy} in an environment", command=command or "me.diagnose(...)",
            source=source,
        )  # fmt: skip
    return replace(found, seed=told(rng))
