"""Runs of an environment under a policy, recorded with draws and rollouts from snapshots of their own places.

Each of R independent runs is recorded by itself from its own random numbers, so that runs which are on disk need not be
made again: what is stopped goes on, and the same seed gives the same numbers either way. A recording holds whole
numbers and rewards alone: any question is asked of it afterwards.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from .._journal import Journal, discard
from .._progress import advance
from .._random import stream
from ..data.parts import Parts
from ..errors import InvalidInput
from ..runs.estimates import RUNS
from .face import Environment, Step
from .local import LocalStates
from .policy import EnvironmentPolicy
from .snapshot import Snapshots, anything, same
from .walker import Mark, Walker

#: Places of each run at which the policy's laws are kept.
_ASKED = 1000
#: What says of which recording files are, and their form.
_HEAD = "recording.json"
_FORM = 3
#: Steps after which equal seeds and actions are compared.
_LOOK = 20


class Plan(NamedTuple):
    """How long and how often, of each run."""

    steps: int
    burn_in: int
    places: int  # at which the next step is drawn again, once: many draws at few places would tilt mu
    starts: int  # from which two rollouts are made
    k: int  # their steps
    runs: int = RUNS


def plan_of(steps: int, burn_in: int, gamma: float | None, k: int, method: str | None) -> Plan:
    """A plan that draws and rolls out about as many steps as it records; k: steps of a rollout."""
    each = -(-steps // RUNS)
    if method is None:
        return Plan(each, burn_in, 0, 0, 0)
    back = min(each // 2, _back(method))
    places = max(1, each // (1 + 3 * back))
    starts = 0 if gamma is None else max(10, each // (2 * (k + back)))
    return Plan(each, burn_in, places, starts, 0 if gamma is None else k)


def steps_for(starts: int, k: int, method: str | None) -> int:
    """Steps of all runs for which a plan has that many starts."""
    return RUNS * -(-starts // RUNS) * 2 * (k + _back(method))


def _back(method: str | None) -> int:
    """Steps that going back to a place is counted as, at most."""
    return {"replay": 200, "deepcopy": tol.COPY_STEPS}.get(method or "", 1)


@dataclass(frozen=True, eq=False)
class Run:
    """One recorded run of T steps.

    Attributes
    ----------
    pairs : (T + 1, N) local pairs `A_i s_i + a_i`, episode after episode; rewards : (T, N), or (T, 1) one of all.
    ended, cut : (T,) bool, the step ended the task, or the clock cut the episode: the next pair begins another one.
    time : (T + 1,) steps of the episode before each pair.
    at : (D,) step at whose pair the next one was drawn again; drawn : (D, N) that pair; over : (D,) the task ended.
    start : (m,) step at whose pair rollouts begin; ahead : (m, 2, k + 1, N) their pairs; paid : (m, 2, k, K) rewards;
        length : (m, 2) steps until the task ended, k + 1 where it did not; known : (m, 2) steps until the last pair
        whose next one the clock did not cut off, at most k, after which pairs are repeated and nothing is paid.
    asked : (L,) steps at which the laws of the policy were kept; laws : (L, sum A_i) these, agent after agent; none
        where the policy does not say them.
    """

    pairs: Ints
    rewards: Floats
    ended: Bools
    cut: Bools
    time: Ints
    at: Ints
    drawn: Ints
    over: Bools
    start: Ints
    ahead: Ints
    paid: Floats
    length: Ints
    known: Ints
    asked: Ints
    laws: Floats


@dataclass(frozen=True, eq=False)
class Recording:
    """R runs of equal length.

    Attributes
    ----------
    runs : (R,) the runs.
    agents : names; states : (N,) names of the local states of each; n_actions : (N,).
    parts : what these are made of, where the local states are mappings, else None.
    method : how snapshots were taken, or None; policy, told : names of the policy and of the local states.
    burn_in : steps of each run that were dropped before.
    """

    runs: tuple[Run, ...]
    agents: tuple[str, ...]
    states: tuple[tuple[str, ...], ...]
    n_actions: tuple[int, ...]
    method: str | None
    policy: str
    told: str
    parts: Parts | None = None
    burn_in: int = 0


def check_seed(face: Environment, seed: int) -> None:
    """Refuse an environment that gives other steps after the same seed and actions.

    Raises
    ------
    InvalidInput : it does, with the place.
    """
    seen: list[list[Step]] = []
    for _ in range(2):
        rng, steps = np.random.default_rng(seed), [face.reset(seed)]
        while len(steps) <= _LOOK and not steps[-1].over:
            steps.append(face.step(anything(face, steps[-1], rng)))
        seen.append(steps)
    for one, other in zip(*seen, strict=False):
        if not same(one, other):
            got = f"another step {one.time} after the same seed {seed} and the same actions"
            rule = "an environment obeys reset(seed=...)"
            raise InvalidInput("env", got, rule, "Draw all its random numbers from self.np_random.")


def record_runs(
    face: Environment,
    policy: EnvironmentPolicy,
    local: LocalStates,
    plan: Plan,
    method: str | None,
    seed: int,
    *,
    keep: Path | None = None,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
    laid: Callable[[Path], None] = lambda path: None,
) -> Recording:
    """The runs of a plan; with `keep`, each is written to that folder when it is done, and `laid` is told.

    Raises
    ------
    InvalidInput : an environment or a policy that breaks the rules, with the place; a folder of another recording.
    KeyboardInterrupt : `stop` said so; what is done lies in `keep`.
    """
    check_seed(face, seed % _SEED)
    about = _header(face, policy, local, plan, method, seed)
    journal = None if keep is None else Journal("keep", keep, about, resume, what="a recording", head=_HEAD)
    runs: list[Run] = []
    for r in range(plan.runs):
        found = None if journal is None else _laid(journal, r, local)
        if found is None:
            found = _one(face, policy, local, plan, method, seed, r, stop)
            if journal is not None:
                laid(_lay(journal, r, found, local))
        runs.append(found)
        advance((r + 1) / plan.runs)
    return Recording(
        tuple(runs), face.agents, local.labels, face.n_actions, method, policy.name, local.told, local.parted,
        plan.burn_in,
    )  # fmt: skip


_SEED = 2**31 - 1


def _one(
    face: Environment, policy: EnvironmentPolicy, local: LocalStates, plan: Plan, method: str | None, seed: int,
    r: int, stop: Callable[[], bool],
) -> Run:  # fmt: skip
    """Record one run."""
    walker, chosen = Walker(face, policy, local, stream(seed, r, 0)), stream(seed, r, 1)
    at = np.sort(chosen.choice(plan.steps, min(plan.places, plan.steps), replace=False))
    start = np.sort(chosen.choice(plan.steps, min(plan.starts, plan.steps), replace=False))
    asked = np.sort(chosen.choice(plan.steps, min(_ASKED, plan.steps), replace=False))
    places, starts, told = (set(x.tolist()) for x in (at, start, asked))
    laws: list[Floats] = []
    snapshots = None if method is None else Snapshots(face, method)
    pairs, time, ended, cut = [], [], [], []
    rewards: list[Floats] = []
    drawn: list[tuple[list[int], bool]] = []
    rolled: list[_Rolled] = []
    for _ in range(plan.burn_in):
        walker.move()
    for t in range(plan.steps):
        if stop():
            raise KeyboardInterrupt
        pairs.append(walker.pair)
        time.append(face.time)
        if t in told and (law := walker.laws()) is not None:
            laws.append(law)
        if snapshots is not None and (t in places or t in starts):
            held = _Held(walker, snapshots)
            if t in places:
                drawn.append(held.draw(int(chosen.integers(2**62))))
            if t in starts:
                rolled += [held.roll(plan.k, int(chosen.integers(2**62))) for _ in range(2)]
            held.release()
        move = walker.move()
        if rewards and len(move.rewards) != len(rewards[-1]):
            raise face.wrong("one reward where there were several", "it pays in one form")
        rewards.append(move.rewards)
        ended.append(move.ended)
        cut.append(move.cut)
        advance((r + (t + 1) / plan.steps) / plan.runs)
    pairs.append(walker.pair)
    time.append(face.time)
    n, m, k = len(face.agents), len(start) if rolled else 0, plan.k
    wide = len(rewards[0])
    return Run(
        np.array(pairs, np.int64), np.array(rewards), np.array(ended), np.array(cut), np.array(time, np.int64),
        at if drawn else at[:0], np.array([p for p, _ in drawn], np.int64).reshape(-1, n),
        np.array([o for _, o in drawn], np.bool_), start[:m],
        np.array([x.pairs for x in rolled], np.int64).reshape(m, 2, k + 1, n),
        np.array([x.paid for x in rolled]).reshape(m, 2, k, wide),
        np.array([x.length for x in rolled], np.int64).reshape(m, 2),
        np.array([x.known for x in rolled], np.int64).reshape(m, 2), *_known(asked, laws),
    )  # fmt: skip


def _known(asked: Ints, laws: list[Floats]) -> tuple[Ints, Floats]:
    """Where the laws were told, if they were told everywhere."""
    told = len(laws) == len(asked)
    return (asked, np.array(laws)) if told else (asked[:0], np.zeros((0, 0)))


class _Rolled(NamedTuple):
    pairs: list[list[int]]
    paid: list[Floats]
    length: int
    known: int


class _Held:
    """A run that is held at a place while others start from there."""

    def __init__(self, walker: Walker, snapshots: Snapshots) -> None:
        self.walker, self.snapshots = walker, snapshots
        self.mark: Mark = walker.mark(snapshots)
        self.given, self.rng = walker.face.given, walker.rng

    def draw(self, seed: int) -> tuple[list[int], bool]:
        """The pair after one step, all random numbers new, and whether the task ended with it."""
        self.walker.back(self.snapshots, self.mark, seed)
        move = self.walker.move()
        return self.walker.pair, move.ended

    def roll(self, k: int, seed: int) -> _Rolled:
        """k steps; those after the end of the task, and the one that the clock cuts, pay nothing."""
        walker = self.walker
        walker.back(self.snapshots, self.mark, seed)
        pairs = [walker.pair]
        paid: list[Floats] = []
        for t in range(k):
            move = walker.move()
            if move.cut:
                left = k - t
                return _Rolled(pairs + pairs[-1:] * left, paid + [0.0 * move.rewards] * left, k + 1, t)
            pairs.append(walker.pair)
            paid.append(move.rewards)
            if move.ended:
                left = k - t - 1
                return _Rolled(pairs + pairs[-1:] * left, paid + [0.0 * move.rewards] * left, t + 1, k)
        return _Rolled(pairs, paid, k + 1, k)

    def release(self) -> None:
        """The run goes on where it was."""
        self.walker.back(self.snapshots, self.mark)
        self.walker.rng = self.rng
        if self.snapshots.method == "deepcopy":
            self.walker.face.given = self.given


def _header(
    face: Environment,
    policy: EnvironmentPolicy,
    local: LocalStates,
    plan: Plan,
    method: str | None,
    seed: int,
) -> dict[str, Any]:
    """What must agree for a recording to go on."""
    return {"form": _FORM, "agents": list(face.agents), "actions": list(face.n_actions), "policy": policy.name,
            "local": local.told, "plan": list(plan), "snapshots": method, "seed": seed}  # fmt: skip


def _laid(journal: Journal, r: int, local: LocalStates) -> Run | None:
    """A run that is there; its local states get their numbers."""
    try:
        if not (arrays := journal.read(_name(r))):
            return None
        local.learn(json.loads(str(arrays.pop("names"))), json.loads(str(arrays.pop("parts", "[]"))))
        return Run(**arrays)
    except (ValueError, KeyError, TypeError) as e:
        file, got = str(journal.file(_name(r))), f"no whole run ({type(e).__name__})"
        raise InvalidInput(
            file, got, "it must be as it was laid", "Delete it: that run is recorded again."
        ) from e


def _lay(journal: Journal, r: int, run: Run, local: LocalStates) -> Path:
    told = {"names": np.array(json.dumps(local.names)), "parts": np.array(json.dumps(local.parts))}
    return journal.write(_name(r), told | vars(run))


def _name(r: int) -> str:
    return f"run-{r:02d}"


def discard_runs(path: Path) -> None:
    """Remove the files of a recording, and the folder if nothing else is in it."""
    discard(path, _HEAD, "run-[0-9][0-9]")


def burn_in_of(steps: int) -> int:
    """Steps of each run that are dropped: a tenth."""
    return math.ceil(steps / RUNS / 10)


def joined(runs: Sequence[Run], name: str) -> Any:
    """(R, ...) one array of all runs."""
    return np.stack([getattr(run, name) for run in runs])
