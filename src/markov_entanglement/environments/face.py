"""One face over other people's environments, whatever their style; no library of theirs is imported.

PettingZoo's parallel style (its turn-based style through PettingZoo's own converter), Gymnasium's with several agents
inside one action, lists of observations (lbforaging, rware), and `marlenv` (laser-learning-environment) are known by
their shape. Agents keep their numbers for ever; who is away has no observation. What an environment says is checked
here, once, and what is wrong is told with its place.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from .. import _check
from .._check import Bools, Floats, freeze
from ..errors import InvalidInput, MissingDependency, Unsupported, short
from ..laws.source import offers


@dataclass(frozen=True, eq=False)
class Step:
    """What all N agents see after a reset or a step.

    Attributes
    ----------
    observations : (N,) as the environment gave them, also the last one of an agent that ends; None of one that is away.
    rewards : (N,) reward of each agent for the step, 0 of one that was away; (1,) one shared by all; reward units.
    terminated, truncated : (N,) bool, whose task the step ended by the environment's will, or by the clock.
    present : (N,) bool, who acts next.
    masks : (N,) legal actions (A_i,) bool, or None: all.
    time : steps since the reset.
    over : whether the episode is over: nobody acts any more.
    ended : whether it is over by the environment's will; else values go on beyond the clock's cut.
    """

    observations: tuple[Any, ...]
    rewards: Floats
    terminated: Bools
    truncated: Bools
    present: Bools
    masks: tuple[Bools | None, ...]
    time: int
    over: bool
    ended: bool


class Raw(NamedTuple):
    """What an environment said, by its own names of agents; a number instead of a table is one for all."""

    observations: Mapping[Any, Any]
    rewards: Any
    terminated: Any
    truncated: Any
    infos: Mapping[Any, Any]
    present: Sequence[Any]


class Environment(ABC):
    """An environment with N agents that act at the same time; actions are whole numbers 0..A_i - 1.

    Attributes
    ----------
    given : the environment that is stepped; snapshots put copies in its place.
    keys : (N,) what it calls its agents; agents : the same as text.
    n_actions : (N,) numbers of actions A_i.
    seed, time, past : of the episode, its steps, and the joint actions of these.
    """

    def __init__(self, given: Any, keys: Sequence[Any], spaces: Sequence[Any]) -> None:
        self.given, self.keys = given, tuple(keys)
        self._known = frozenset(self.keys)
        self.agents = tuple(str(k) for k in keys)
        if not self.keys:
            raise InvalidInput("env", short(given), "it must have agents", "Name them: agents=['a', 'b'].")
        both = [_choices(name, space) for name, space in zip(self.agents, spaces, strict=True)]
        self.n_actions, self._first = tuple(n for n, _ in both), tuple(k for _, k in both)
        self._nobody, self._all = (freeze(np.full(len(keys), x)) for x in (False, True))
        self.seed, self.time = 0, 0
        self.past: list[tuple[int | None, ...]] = []
        self.last: Step | None = None

    def __repr__(self) -> str:
        return f"{short(self.given)}, {len(self.agents)} agents"

    @property
    def shown(self) -> Any:
        """The environment as its user knows it, for `local_state(env, agent)`."""
        return self.given

    @abstractmethod
    def _reset(self, seed: int) -> Raw: ...

    @abstractmethod
    def _step(self, actions: dict[Any, int]) -> Raw: ...

    def reset(self, seed: int) -> Step:
        """Begin an episode.

        Raises
        ------
        InvalidInput : what it raises, or says, with the place.
        """
        self.seed, self.time, self.past, self.last = int(seed), 0, [], None
        found = self._checked(self._asked("reset", lambda: self._reset(self.seed)))
        if found.over:
            raise self.wrong("no agent after a reset", "an episode begins with agents that act")
        return found

    def step(self, actions: Sequence[int | None]) -> Step:
        """Make a step with joint actions (N,), None of who is away.

        Raises
        ------
        InvalidInput : an illegal action, what it raises, or says, with the place.
        """
        legal = self.legal(actions)
        self.past.append(legal)
        self.time += 1
        both = zip(self.keys, legal, self._first, strict=True)
        chosen = {k: a + first for k, a, first in both if a is not None}
        return self._checked(self._asked("step", lambda: self._step(chosen)))

    @property
    def place(self) -> str:
        """Where an episode is."""
        return f"step {self.time} of the episode of seed {self.seed}"

    def wrong(self, got: str, rule: str, remedy: str = "Mend the environment.") -> InvalidInput:
        """The refusal of what it says, with the place."""
        return InvalidInput("env", f"{got} ({self.place})", rule, remedy)

    def _asked(self, name: str, work: Callable[[], Raw]) -> Raw:
        try:
            return work()
        except InvalidInput:
            raise
        except Exception as e:
            got = f"{_said(e)} ({name}, {self.place})"
            rule = f"its {name} must answer with agents, seeds and actions in its own style"
            raise InvalidInput("env", got, rule, "Mend the environment.") from e

    def legal(self, actions: Sequence[int | None]) -> tuple[int | None, ...]:
        """Joint actions (N,) as plain numbers, None of who is away.

        Raises
        ------
        InvalidInput : one is illegal now, with the place.
        """
        now = self.last
        if now is None or now.over:
            raise InvalidInput("step", "no episode", "an episode must have begun", "Call reset(seed).")
        if len(actions) != len(self.agents):
            got = f"{len(actions)} actions of {len(self.agents)} agents ({self.place})"
            raise InvalidInput("policy", got, "each agent has one", "Give None to those that are away.")
        both = zip(actions, now.present.tolist(), strict=True)
        return tuple([self._one(now, i, a) if here else None for i, (a, here) in enumerate(both)])

    def _one(self, now: Step, i: int, action: Any) -> int:
        count, mask = self.n_actions[i], now.masks[i]
        number = action if type(action) is int else _whole(action)
        if not 0 <= number < count:
            rule = f"actions of {self.agents[i]} are whole numbers 0..{count - 1}"
            got = f"action {short(action)} of {self.agents[i]} ({self.place})"
            raise InvalidInput("policy", got, rule, "Mend the policy.")
        if mask is not None and not mask[number]:
            legal = ", ".join(map(str, np.flatnonzero(mask)[:8]))
            got = f"action {number} of {self.agents[i]} ({self.place})"
            raise InvalidInput("policy", got, f"legal there are {legal}", "Obey the action mask.")
        return number

    def _checked(self, raw: Raw) -> Step:
        """What it said, in the order of its agents."""
        self._strangers(raw)
        terminated, truncated = self._flags(raw.terminated), self._flags(raw.truncated)
        ends = terminated if truncated is self._nobody else truncated if terminated is self._nobody else None
        ends = terminated | truncated if ends is None else ends
        present = self._here(raw.present, ends)
        observations, masks = [], []
        for i, (key, here, gone) in enumerate(zip(self.keys, present.tolist(), ends.tolist(), strict=True)):
            seen = raw.observations.get(key) if here or gone else None
            if here and seen is None:
                raise self.wrong(f"no observation of {self.agents[i]}", "who acts observes something")
            if _nan(seen):
                raise self.wrong(
                    f"an observation of {self.agents[i]} that is NaN", "observations are numbers"
                )
            observations.append(seen)
            masks.append(self._mask(i, seen, raw.infos.get(key)) if here else None)
        over = present is self._nobody
        self.last = Step(
            tuple(observations), self._paid(raw.rewards), terminated, truncated, present, tuple(masks), self.time,
            over, over and truncated is self._nobody,
        )  # fmt: skip
        return self.last

    def _strangers(self, raw: Raw) -> None:
        """Refuse agents that were never named."""
        for key in (*raw.present, *raw.observations):
            if key not in self._known:
                rule = f"its agents are {', '.join(self.agents[:8])}"
                raise self.wrong(f"an agent {short(key)}", rule, "Name all that may come in possible_agents.")

    def _here(self, named: Sequence[Any], ends: Bools) -> Bools:
        """(N,) who acts next; refused where somebody left and nothing says why."""
        if len(named) == len(self.keys) and ends is self._nobody:
            return self._all
        present = np.array([k in named for k in self.keys]) & ~ends
        if self.last is not None:
            lost = self.last.present & ~present & ~ends
            if lost.any():
                got = f"{self.agents[int(lost.argmax())]} gone, neither terminated nor truncated"
                raise self.wrong(got, "who leaves says why")
        return present if present.any() else self._nobody

    def _flags(self, given: Any) -> Bools:
        """(N,) flags of agents, or one for all."""
        if not _named(given):
            return self._all if given else self._nobody
        if not any(given.values()):
            return self._nobody
        return np.array([bool(given.get(k, False)) for k in self.keys])

    def _paid(self, given: Any) -> Floats:
        listed = [given.get(k, 0.0) for k in self.keys] if _named(given) else [given]
        numbers = [x if type(x) is float else _number(x) for x in listed]
        for i, x in enumerate(numbers):
            if not math.isfinite(x):
                whose = f" of {self.agents[i]}" if len(numbers) > 1 else ""
                shown = short(listed[i]) if math.isnan(x) else f"{x:g}"
                raise self.wrong(f"a reward{whose} that is {shown}", "rewards are finite numbers")
        return np.array(numbers)

    def _mask(self, i: int, seen: Any, info: Any) -> Bools | None:
        """Legal actions, from the observation or from what is told beside it; None: all."""
        for told in (seen, info):
            if _named(told) and told and told.get("action_mask") is not None:
                mask = np.asarray(told["action_mask"]).astype(np.bool_)
                if mask.shape != (self.n_actions[i],):
                    got = f"an action mask of shape {mask.shape} of {self.agents[i]}"
                    raise self.wrong(got, f"it has one entry for each of {self.n_actions[i]} actions")
                if not mask.any():
                    raise self.wrong(f"no legal action of {self.agents[i]}", "who acts has a legal action")
                return mask
        return None


@runtime_checkable
class Turns(Protocol):
    """PettingZoo's agents that take turns."""

    def agent_iter(self) -> Any: ...
    def last(self) -> Any: ...


@runtime_checkable
class Parallel(Protocol):
    """PettingZoo's agents that act together."""

    possible_agents: Any

    def action_space(self, agent: Any) -> Any: ...
    def step(self, actions: Any) -> Any: ...


@runtime_checkable
class Marl(Protocol):
    """The style of `marlenv`."""

    def available_actions(self) -> Any: ...
    def get_observation(self) -> Any: ...


@runtime_checkable
class Gym(Protocol):
    """Gymnasium's."""

    action_space: Any

    def reset(self) -> Any: ...
    def step(self, action: Any) -> Any: ...


@runtime_checkable
class Copies(Protocol):
    """Gymnasium's vectors of environments."""

    single_action_space: Any


@runtime_checkable
class Several(Protocol):
    """A space of several."""

    spaces: Any


@runtime_checkable
class Started(Protocol):
    """Whole numbers from one on."""

    start: Any


class Together(Environment):
    """Agents that act together, by their names."""

    def __init__(self, given: Any, told: Any = None) -> None:
        self.told = told
        keys = list(given.possible_agents)
        if not keys:
            rule = "possible_agents must name its agents"
            raise InvalidInput("env", short(given), rule, "Reset it before you wrap it, or name them there.")
        super().__init__(given, keys, [given.action_space(k) for k in keys])

    @property
    def shown(self) -> Any:
        # a converted environment shows the one inside it, also in a copy
        return self.given if self.told is None else self.given.aec_env

    def _reset(self, seed: int) -> Raw:
        observations, infos = self.given.reset(seed=seed)
        return Raw(
            observations, dict.fromkeys(self.keys, 0.0), False, False, infos or {}, list(self.given.agents)
        )

    def _step(self, actions: dict[Any, int]) -> Raw:
        observations, rewards, terminated, truncated, infos = self.given.step(actions)
        return Raw(observations, rewards, terminated, truncated, infos or {}, list(self.given.agents))


class Listed(Environment):
    """Agents in the order of a list: each has its entry of the action, and of the observation where that is a list of
    their own; one observation, or one reward, is shared by all."""

    def __init__(self, given: Any, names: Sequence[str] | None) -> None:
        space = given.action_space
        parts = space.spaces if offers(space, Several) else None
        many = getattr(space, "nvec", None)
        self._single = parts is None and many is None
        if self._single:  # one agent acts, others are parts of the state
            spaces: list[Any] = [space, *[1] * (len(names or [1]) - 1)]
        else:
            spaces = list(parts if parts is not None else np.asarray(many).ravel())
        self._many = parts is None and many is not None
        names = [f"agent {i}" for i in range(len(spaces))] if names is None else list(names)
        if len(names) != len(spaces):
            got, rule = f"{len(names)} names", f"its action has {len(spaces)} parts"
            raise InvalidInput("agents", got, rule, "Name one agent for each part.")
        super().__init__(given, names, spaces)

    def _each(self, value: Any, *own: type) -> Any:
        """A table of one entry for each agent, or the value itself, which is shared by all."""
        entries = list(value) if isinstance(value, own) else []  # type: ignore[call-overload]
        return dict(zip(self.keys, entries, strict=True)) if len(entries) == len(self.keys) else value

    def _seen(self, observation: Any) -> dict[Any, Any]:
        listed = (
            not self._single and isinstance(observation, list | tuple) and len(observation) == len(self.keys)
        )
        return dict(zip(self.keys, observation if listed else [observation] * len(self.keys), strict=True))

    def _reset(self, seed: int) -> Raw:
        observation, info = self.given.reset(seed=seed)
        zero: Any = 0.0
        return Raw(
            self._seen(observation),
            zero,
            False,
            False,
            dict.fromkeys(self.keys[:1] if self._single else self.keys, info),
            self.keys,
        )

    def _step(self, actions: dict[Any, int]) -> Raw:
        chosen: Any = [actions[k] for k in self.keys]
        chosen = chosen[0] if self._single else np.array(chosen) if self._many else tuple(chosen)
        observation, reward, terminated, truncated, info = self.given.step(chosen)
        paid = self._each(reward, list, tuple, np.ndarray)
        ended = [self._each(x, list, tuple, np.ndarray) for x in (terminated, truncated)]
        over = [all(x.values()) if isinstance(x, dict) else bool(x) for x in ended]
        present = () if any(over) else self.keys
        if any(over):
            ended = [dict.fromkeys(self.keys, x) for x in over]
        return Raw(
            self._seen(observation),
            paid,
            ended[0],
            ended[1],
            dict.fromkeys(self.keys[:1] if self._single else self.keys, info),
            present,
        )


class Lasers(Environment):
    """The style of `marlenv`: a step is an object, legal actions are asked for, one reward is shared."""

    def __init__(self, given: Any, names: Sequence[str] | None) -> None:
        count = int(given.n_agents)
        names = [f"agent {i}" for i in range(count)] if names is None else list(names)
        super().__init__(given, names, [int(given.n_actions)] * count)

    def _raw(self, observation: Any, reward: Any, done: bool, cut: bool) -> Raw:
        seen = dict(zip(self.keys, np.asarray(observation.data), strict=True))
        legal = dict(zip(self.keys, np.asarray(self.given.available_actions()), strict=True))
        infos = {k: {"action_mask": m} for k, m in legal.items()}
        return Raw(
            seen, float(np.sum(reward)), done, cut and not done, infos, () if done or cut else self.keys
        )

    def _reset(self, seed: int) -> Raw:
        found = self.given.reset(seed=seed)
        observation = found[0] if isinstance(found, tuple) else found
        return self._raw(observation, 0.0, False, False)

    def _step(self, actions: dict[Any, int]) -> Raw:
        found = self.given.step(np.array([actions[k] for k in self.keys]))
        return self._raw(found.obs, found.reward, bool(found.done), bool(found.truncated))


def face_of(env: Any, agents: Sequence[str] | None = None) -> Environment:
    """The face of somebody's environment.

    Parameters
    ----------
    env : PettingZoo's parallel or turn-based style, Gymnasium's, a list of observations, or `marlenv`. Of copies side
        by side (`gymnasium.make_vec`) one is made.
    agents : names, where the environment has none. Of an environment with a single action the first agent takes it, the
        others are parts of the state that do not act.

    Raises
    ------
    InvalidInput, Unsupported : nothing of these; actions that are no whole numbers.
    """
    if offers(env, Environment):
        return env
    if agents is not None:
        listed = _check.sequence("agents", agents, "names of agents")
        agents = [str(a) for a in listed]
        if not agents or len(set(agents)) != len(agents):
            raise InvalidInput("agents", short(agents), "names are different, at least one", "Rename them.")
    if offers(env, Turns):
        found: Environment = Together(_converted(env), env)
    elif offers(env, Parallel):
        found = Together(env)
    elif offers(env, Marl):
        return Lasers(env, agents)
    elif offers(env, Gym):
        return Listed(_copy_of(env) if offers(env, Copies) else env, agents)
    else:
        rule = "it must be a PettingZoo or Gymnasium environment, or have their reset, step and action_space"
        raise InvalidInput("env", short(env), rule, "Your own step function becomes one by me.Simulator.")
    if agents is not None:
        rule = "it names its agents itself"
        raise InvalidInput("agents", short(agents), rule, "Leave agents out.")
    return found


def _copy_of(env: Any) -> Any:
    """One environment of copies side by side, made anew: each is the same task, and a recording has runs of its own.

    Raises
    ------
    Unsupported : environments that differ, or copies that are stepped together and nobody says how to make one.
    """
    makers, spec = getattr(env, "env_fns", None), getattr(env, "spec", None)
    if not makers:
        rule = "one environment is stepped, and nothing makes one of these"
        remedy = "Give one environment." if spec is None else f"Give one: gymnasium.make({spec.id!r})."
        raise Unsupported("env", f"copies side by side ({short(env)})", rule, remedy)
    made = [make() for make in makers]
    for other in made[1:]:
        if type(other.unwrapped) is not type(made[0].unwrapped) or other.spec != made[0].spec:
            got, rule = f"{len(made)} environments side by side that differ", "one environment is stepped"
            raise Unsupported("env", got, rule, "Give one of them, e.g. env.env_fns[0]().")
        other.close()
    return made[0]


def _converted(env: Any) -> Any:
    """Agents that take turns as agents that act together, by PettingZoo's own converter."""
    try:
        from pettingzoo.utils.conversions import aec_to_parallel
    except ImportError as e:
        rule, remedy = "agents that take turns need PettingZoo's converter", "Run: pip install pettingzoo"
        raise MissingDependency("env", "no package pettingzoo", rule, remedy) from e
    try:
        return aec_to_parallel(env)
    except Exception as e:
        rule = "agents that take turns must be able to act together"
        raise Unsupported("env", _said(e), rule, "Give its parallel form.") from e


def _said(error: Exception) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _choices(agent: str, space: Any) -> tuple[int, int]:
    """How many actions a space has, and its first."""
    count = space if isinstance(space, int | np.integer) else getattr(space, "n", None)
    if count is None or np.size(count) != 1:
        rule = "actions are whole numbers 0..A-1 (a Discrete space)"
        raise Unsupported(
            "env", f"the action space {short(space)} of {agent}", rule, "Wrap it in one with few actions."
        )
    return int(count), int(space.start) if offers(space, Started) else 0


def _number(value: Any) -> float:
    """A number of any type, NaN of anything else, text included."""
    try:
        found = np.asarray(value).item()
        return math.nan if isinstance(found, str | bytes) else float(found)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _named(value: Any) -> bool:
    """Whether it is a table by names."""
    return type(value) is dict or isinstance(value, Mapping)


def _whole(value: Any) -> int:
    """A whole number of an integer type of numpy's; -1 of anything else."""
    found = np.asarray(value) if isinstance(value, np.integer | np.ndarray) else np.zeros(2)
    return int(found.item()) if found.size == 1 and found.dtype.kind in "iu" else -1


def _nan(value: Any) -> bool:
    """Whether a number somewhere in an observation is NaN."""
    kind = type(value)
    if kind is int or kind is str or kind is bool or value is None:
        return False
    if _named(value):
        return any(map(_nan, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_nan, value))
    a = np.asarray(value)
    return a.dtype.kind == "f" and bool(np.isnan(a).any())


def leaves(value: Any) -> Iterator[Any]:
    """The arrays that an observation is made of, in order."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from leaves(value[key])
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    elif value is not None:
        yield np.asarray(value)
