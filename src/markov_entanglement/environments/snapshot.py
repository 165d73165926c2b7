"""Snapshots that are checked: an environment put back into a state it was in, so that its next step can be drawn again.

Tried in this order, and taken where equal actions then give equal observations, rewards and ends: the environment's own
get and set of its state, a deep copy, replay of `reset(seed)` and the actions since. A deep copy goes around hooks that
would rebuild the object afresh (PettingZoo's `EzPickle`). A faithful copy copies generators of random numbers, too: to
draw a law they are seeded anew, in place, wherever they hang.
"""

from __future__ import annotations

import copy
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import _check
from .._json import plain
from .._random import generator
from .._types import RNG, EnvironmentLike
from ..errors import Unsupported
from ..report.result import Result
from ..report.table import Table
from .face import Environment, Step, face_of, leaves

#: Own state: pairs of methods by which environments give and take it.
OWN = (("get_state", "set_state"), ("clone_state", "restore_state"), ("save_state", "load_state"))
METHODS = ("own state", "deepcopy", "replay")
#: Steps before the snapshot, and after it, of each trial; objects that are searched for generators.
_BEFORE, _AFTER, _OBJECTS = 7, 3, 200_000
#: Steps after the snapshot of the last trial, which is to meet an end.
_LONG = 50


class Token(NamedTuple):
    """A place to come back to."""

    kept: Any  # the state, a copy, or nothing
    seed: int
    past: tuple[tuple[int | None, ...], ...]
    step: Step


def generators(root: Any) -> list[Any]:
    """The generators of random numbers that an environment holds, each once, in the order in which they are met."""
    found, seen, todo = [], {id(root)}, [root]
    while todo and len(seen) < _OBJECTS:
        here = todo.pop()
        if isinstance(here, np.random.Generator | np.random.RandomState | random.Random):
            found.append(here)
            continue
        for part in _parts(here):
            if id(part) not in seen and not isinstance(
                part, str | bytes | int | float | complex | np.ndarray | type
            ):
                seen.add(id(part))
                todo.append(part)
    return found


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set):
        yield from value
    elif type(value).__module__ not in ("builtins", "module") and not callable(value):
        yield from getattr(value, "__dict__", {}).values()


def reseed(found: Sequence[Any], seed: int) -> None:
    """Seed generators anew, in place, so that all who hold them see it."""
    for k, g in enumerate(found):
        child = np.random.SeedSequence(seed, spawn_key=(k,))
        if isinstance(g, np.random.Generator):
            g.bit_generator.state = type(g.bit_generator)(child).state
        elif isinstance(g, np.random.RandomState):
            g.seed(child.generate_state(4))
        else:
            g.seed(int(child.generate_state(2, np.uint64)[0]))


def duplicate(env: Any) -> Any:
    """A deep copy that goes around hooks which would build the object afresh."""
    memo: dict[int, Any] = {}
    hooked = [x for x in _layers(env) if "_ezpickle_args" in vars(x)]
    for x in hooked:
        memo[id(x)] = object.__new__(type(x))
    for x in hooked:
        memo[id(x)].__dict__.update({k: copy.deepcopy(v, memo) for k, v in vars(x).items()})
    return copy.deepcopy(env, memo)


def _layers(env: Any) -> Iterator[Any]:
    """An environment and those that it wraps."""
    seen: set[int] = set()
    todo = [env]
    while todo:
        here = todo.pop()
        if id(here) in seen or not hasattr(here, "__dict__"):
            continue
        seen.add(id(here))
        yield here
        todo += [vars(here)[k] for k in ("env", "aec_env", "par_env", "_env") if k in vars(here)]


class Snapshots:
    """Takes and restores states of an environment by one method, see `METHODS`."""

    def __init__(self, face: Environment, method: str) -> None:
        self.face, self.method = face, method
        self.own = next(((g, s) for g, s in OWN if hasattr(face.given, g) and hasattr(face.given, s)), None)
        if method == "own state" and self.own is None:
            raise Unsupported("snapshot", repr(face), "it has no state to get and set", "Use another method.")

    def take(self) -> Token:
        """The place where the environment is."""
        face, kept = self.face, None
        assert face.last is not None
        if self.method == "own state":
            assert self.own is not None
            kept = copy.deepcopy(getattr(face.given, self.own[0])())
        elif self.method == "deepcopy":
            kept = duplicate(face.given)
        return Token(kept, face.seed, tuple(face.past), face.last)

    def restore(self, token: Token, seed: int | None = None) -> Step:
        """Go back to a place; with a seed, all random numbers from there on are new."""
        face = self.face
        if self.method == "replay":
            face.reset(token.seed)
            for actions in token.past:
                face.step(actions)
        elif self.method == "deepcopy":
            face.given = duplicate(token.kept)
        else:
            assert self.own is not None
            getattr(face.given, self.own[1])(copy.deepcopy(token.kept))
        face.seed, face.time, face.past = token.seed, token.step.time, list(token.past)
        face.last = token.step
        if seed is not None:
            reseed(generators(face.given), seed)
        return token.step

    def length(self, token: Token) -> int:
        """Steps of the environment that going back takes."""
        return len(token.past) if self.method == "replay" else 0


@dataclass(frozen=True, eq=False, repr=False)
class SnapshotReport(Result):
    """How an environment can be put back into a state it was in.

    Attributes
    ----------
    method : "own state", "deepcopy" or "replay", the first that was faithful; None: none was.
    faithful : whether one was: equal actions gave equal observations, rewards and ends in every trial.
    seconds : of one snapshot taken and restored; for replay after the steps of a trial, it grows with these.
    attempts : method -> "" where it was faithful, else what happened.
    generators : how many generators of random numbers were found and can be seeded anew.
    random : whether new seeds gave another next step from some state; False: it looked deterministic.
    trials : how often each method was tried.
    """

    method: str | None
    faithful: bool
    seconds: float
    attempts: Mapping[str, str]
    generators: int
    random: bool
    trials: int

    @property
    def reason(self) -> str:
        """Why no method is faithful, or ""."""
        return "" if self.faithful else "; ".join(f"{m}: {why}" for m, why in self.attempts.items())

    @property
    def sentence(self) -> str:
        """Which method, and its cost."""
        if self.method is None:
            return f"No snapshot is faithful ({self.reason}): one-step laws and errors of values cannot be drawn."
        grows = ", and longer the further the episode is" if self.method == "replay" else ""
        drawn = "New seeds change the next step."
        if not self.random:
            drawn = "New seeds never changed the next step: it is deterministic, or its generator is hidden."
        failed = [f"{m}: {why}" for m, why in self.attempts.items() if why]
        other = f" Not faithful: {'; '.join(failed)}." if failed else ""
        return f"Snapshots by {self.method}, {1000 * self.seconds:.3g} ms each{grows}. {drawn}{other}"

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: plain(dict(v) if isinstance(v, Mapping) else v) for name, v in found.items()}

    def _brief(self) -> str:
        return self.sentence

    def _tables(self) -> Iterator[Table]:
        rows = list(self.attempts.items())
        columns: dict[str, list[Any]] = {"method": [m for m, _ in rows], "faithful": [not why for _, why in rows],
                                         "reason": [why for _, why in rows]}  # fmt: skip
        notes = {"method": "how it is gone back", "faithful": "whether the same actions gave the same steps",
                 "reason": "what was different, or why it cannot be done"}  # fmt: skip
        yield Table("snapshots", "Ways of going back", columns, notes, {}, ("method",))


def check_snapshot(
    env: EnvironmentLike, *, agents: Sequence[str] | None = None, trials: int = 5, rng: RNG = 0
) -> SnapshotReport:
    """Which snapshot of an environment is faithful: its own state, a deep copy, or replay.

    Each trial walks seven random legal steps, takes a snapshot, goes on three steps (the last trial up to fifty), goes
    back twice, and compares observations, rewards and ends after the same actions. The environment is left anywhere.

    Parameters
    ----------
    env : a PettingZoo or Gymnasium environment, or another of their styles.
    agents : names, where it has none.
    trials : how often, 1..1000.
    rng : seed or numpy Generator, of actions and of the seeds of episodes.

    Returns
    -------
    SnapshotReport : `.method`, `.faithful`, `.seconds`, and what went wrong with the others.

    Raises
    ------
    InvalidInput : what is no environment, or breaks its own rules, with the place.

    >>> import gymnasium, markov_entanglement as me
    >>> report = me.check_snapshot(gymnasium.make("FrozenLake-v1"))
    >>> report.method, report.random
    ('deepcopy', True)
    """
    count = _check.integer("trials", trials, low=1, high=1000)
    face, random_ = face_of(env, agents), generator(rng)
    seeds = [int(s) for s in random_.integers(0, 2**31, count)]
    attempts: dict[str, str] = {}
    for method in METHODS:
        try:
            snapshots = Snapshots(face, method)
        except Unsupported:
            continue
        child, spent = np.random.default_rng(int(seeds[0])), []
        why, differs, many, given = "", False, 0, face.given
        for k, seed in enumerate(seeds):
            after = _LONG if k == count - 1 else _AFTER
            with _quiet():
                try:
                    why, seconds, differs_here, many = _trial(face, snapshots, seed, after, child)
                except Exception as e:
                    why = f"{type(e).__name__}: {' '.join(str(e).split())[:160]}"
            face.given = given
            if why:
                break
            spent.append(seconds)
            differs = differs or differs_here
        attempts[method] = why
        if not why:
            return SnapshotReport(method, True, float(np.median(spent)), attempts, many, differs, count)
    return SnapshotReport(None, False, 0.0, attempts, 0, False, count)


@contextmanager
def _quiet() -> Iterator[None]:
    """A half-made copy that cannot be deleted says nothing."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = hook


def _trial(
    face: Environment, snapshots: Snapshots, seed: int, after: int, rng: np.random.Generator
) -> tuple[str, float, bool, int]:
    """What is unfaithful, or ""; seconds of a snapshot; whether new seeds change the next step; generators."""
    for before in range(_BEFORE, -1, -1):  # an episode that ends sooner is walked less far
        step = face.reset(seed)
        while step.time < before and not step.over:
            step = face.step(anything(face, step, rng))
        if not step.over:
            break
    began = time.perf_counter()
    token = snapshots.take()
    taken = time.perf_counter() - began
    true: list[Step] = []
    actions: list[list[int | None]] = []
    while len(true) < after and not step.over:
        actions.append(anything(face, step, rng))
        step = face.step(actions[-1])
        true.append(step)
    taken_back = []
    for again in range(2):
        began = time.perf_counter()
        snapshots.restore(token)
        taken_back.append(time.perf_counter() - began)
        for k, (action, want) in enumerate(zip(actions, true, strict=True)):
            if not same(face.step(action), want):
                return f"another step {k + 1} after going back {'twice' if again else 'once'}", 0.0, False, 0
    random_, many = False, 0
    for k in range(8):
        snapshots.restore(token, seed=k)
        many = max(many, len(generators(face.given)))
        random_ = random_ or not same(face.step(actions[0]), true[0])
    return "", taken + min(taken_back), random_, many


def anything(face: Environment, step: Step, rng: np.random.Generator) -> list[int | None]:
    """A legal action of everybody who acts, each alike likely."""
    out: list[int | None] = []
    for i, mask in enumerate(step.masks):
        legal = np.arange(face.n_actions[i]) if mask is None else np.flatnonzero(mask)
        out.append(int(legal[rng.integers(len(legal))]) if step.present[i] else None)
    return out


def same(one: Step, other: Step) -> bool:
    """Whether two steps look alike: observations, rewards, ends, who acts, and what is legal."""
    flags = ("rewards", "terminated", "truncated", "present")
    if not all(np.array_equal(getattr(one, f), getattr(other, f)) for f in flags):
        return False
    for name in ("observations", "masks"):
        a, b = list(leaves(getattr(one, name))), list(leaves(getattr(other, name)))
        if len(a) != len(b) or not all(_equal(x, y) for x, y in zip(a, b, strict=True)):
            return False
    return True


def _equal(x: Any, y: Any) -> bool:
    return x.shape == y.shape and bool(np.array_equal(x, y))
