"""From an environment, a policy and local states to a recording, and to a log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._files import path_of
from .._progress import Progress, reporting
from .._random import seed_of
from .._types import RNG, EnvironmentLike, EnvironmentPolicyLike, LocalState
from ..data.log import Log, Making
from ..data.parts import Known
from ..data.shards import Steps
from ..model.spaces import Labels, Spaces
from ..runs.errors import default_steps
from ..runs.estimates import RUNS
from .face import Environment, face_of
from .local import LocalStates
from .policy import policy_of
from .record import Plan, Recording, burn_in_of, plan_of, record_runs
from .snapshot import check_snapshot

#: Fewest steps in all.
LEAST = 50 * RUNS


def recording_of(
    env: Any,
    policy: Any,
    *,
    local_state: Callable[..., Any] | None,
    steps: int,
    discount: float | None,
    agents: Sequence[str] | None,
    burn_in: int | None,
    snapshots: bool,
    rng: RNG,
    keep: Any = None,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    laid: Callable[[Path], None] = lambda path: None,
) -> Recording:
    """The runs, with draws and rollouts where snapshots are asked for and faithful; see `me.diagnose`."""
    many = _check.integer("steps", steps, low=LEAST, high=10**9)
    gamma = None if discount is None else _check.discount(discount)
    early = None if burn_in is None else _check.integer("burn_in", burn_in, low=0, high=10**9)
    _check.resuming(resume, keep, "a recording goes on from a folder", "runs")
    folder = None if keep is None else path_of(keep, "keep")
    face: Environment = face_of(env, agents)
    local, acts, seed = LocalStates(face, local_state), policy_of(policy, face), seed_of(rng)
    method = check_snapshot(face, rng=seed % 2**31).method if snapshots else None
    early = burn_in_of(many) if early is None else early
    plan = plan_of(many, early, gamma, 0 if gamma is None else default_steps(gamma), method)
    return record_runs(
        face, acts, local, plan, method, seed, keep=folder, resume=resume, stop=stop, laid=laid
    )


def log_of(recording: Recording, discount: float | None = None) -> Log:
    """The runs as a log: an episode that the clock cut is followed by nothing."""
    sizes = [len(s) for s in recording.states]
    spaces = Spaces(tuple(sizes), recording.n_actions)
    labels = Labels.of(
        {"names": list(recording.agents), "states": [list(s) for s in recording.states]}, spaces
    )
    cells = sum(run.pairs.size for run in recording.runs)
    first = 0
    with Making(Known(spaces, labels, recording.parts), discount, None, cells) as making:
        for run in recording.runs:
            over = run.ended | run.cut
            episode = first + np.concatenate([[0], np.cumsum(over)[:-1]])
            first = int(episode[-1]) + 1
            making.writer.put(Steps(episode, run.time[:-1], run.pairs[:-1], run.rewards, run.ended))
    return making.log


@reporting("recording")
def record(
    env: EnvironmentLike,
    policy: EnvironmentPolicyLike,
    *,
    steps: int,
    local_state: LocalState | None = None,
    discount: float | None = None,
    agents: Sequence[str] | None = None,
    burn_in: int = 0,
    rng: RNG,
    progress: Progress | bool | None = None,
) -> Log:
    """Step an environment and record local states, actions, rewards and ends, as a log.

    Parameters
    ----------
    env, policy, local_state, agents : see `diagnose`.
    steps : T steps of one run.
    discount : gamma in [0, 1), kept in the log.
    burn_in : steps before them that are dropped.
    rng : seed or numpy Generator; the same seed gives the same log.
    progress : see `analyze`.

    Returns
    -------
    Log : for `analyze`, `entanglement`, `markov_test`, learners; `log.save(folder)` writes it.

    Raises
    ------
    InvalidInput : an environment or a policy that breaks the rules, with the place.

    >>> import gymnasium, markov_entanglement as me
    >>> lake = gymnasium.make("FrozenLake-v1")
    >>> me.record(lake, "uniform", steps=1000, rng=0)
    Log(1,000 steps, 1 agents)
    """
    many = _check.integer("steps", steps, low=1, high=10**9)
    early = _check.integer("burn_in", burn_in, low=0, high=10**9)
    gamma = None if discount is None else _check.discount(discount)
    face: Environment = face_of(env, agents)
    local, acts = LocalStates(face, local_state), policy_of(policy, face)
    return log_of(
        record_runs(face, acts, local, Plan(many, early, 0, 0, 0, runs=1), None, seed_of(rng)), gamma
    )
