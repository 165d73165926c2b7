"""Checkpoints of PyMARL and EPyMARL: `agent.th`, `mixer.th` and the `config.json` of the run that wrote them.

An agent is `fc1`, rectified; `rnn`, a GRU cell or a rectified linear layer; `fc2`. It reads its observation, then its
last action and its own number, one-hot, where the run was told so. Nothing is guessed: what the config lacks is asked
for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from .. import _check
from .._check import Floats
from .._files import path_of, read_text
from ..errors import InvalidInput, by, short
from .values import Network, Observe, Said, rows
from .weights import Layer, Weights, WeightsLike, dense, layer, read_weights, relu, sigmoid, stack_of

#: From observations to the state that a mixer reads.
State: TypeAlias = Callable[[Sequence[Any]], Any]
#: What a config must say, and what it may say where it does.
_NEEDED: dict[str, tuple[Any, ...]] = {
    "obs_agent_id": (True, False), "obs_last_action": (True, False), "mixer": ("vdn", "qmix", None),
    "standardise_rewards": (True, False), "standardise_returns": (True, False), "common_reward": (True, False),
}  # fmt: skip
#: Words of agents that are these layers.
_AGENTS = ("rnn", "rnn_ns")
#: What else a setting may replace.
_SETTINGS = (
    *_NEEDED, "agent_output_type", "use_rnn", "env_args", "gamma", "reward_scalarisation", "reward_mean", "reward_std",
)  # fmt: skip
_NAMES = {"vdn": "VDN", "qmix": "QMIX", None: "independent learners"}


def read_pymarl(
    agent: WeightsLike, config: WeightsLike, mixer: WeightsLike | None = None, *, observe: Observe | None = None,
    state: State | None = None, **settings: Said,
) -> Network:  # fmt: skip
    """A PyMARL or EPyMARL checkpoint as a network: (N, A) values from observations, by its saved weights.

    The values of N agents add up (VDN), are averaged (independent learners that are all paid the common reward), or go
    through the saved mixer (QMIX). Both projects bootstrap through their time limit, so that their values are those of
    the game without its clock (`through`). Where rewards were standardised the numbers for it are not saved: errors are
    then known but for unit and mean, unless you give both as `reward_mean=` and `reward_std=`.

    Parameters
    ----------
    agent : path of `agent.th`, or its state dict.
    config : path of the run's `config.json`, or its table.
    mixer : path of `mixer.th` or its state dict, for QMIX alone.
    observe : from an observation to the row of numbers that was trained on; None: its numbers in their order.
    state : (observations (N,)) -> the state that the mixer reads; None: all observations in a row.
    settings : what the config lacks, or what replaces it, e.g. `standardise_rewards=False`; the rest of the config is
        not read.

    Raises
    ------
    InvalidInput : files that cannot be read or do not fit, and whatever the config does not say.
    MissingDependency : torch is not installed.

    >>> import numpy as np, markov_entanglement as me
    >>> layers = {"fc1": (2, 3), "rnn": (2, 2), "fc2": (4, 2)}
    >>> weights = {f"{k}.weight": np.ones(shape) for k, shape in layers.items()}
    >>> weights |= {f"{k}.bias": np.zeros(shape[0]) for k, shape in layers.items()}
    >>> run = {"obs_agent_id": True, "obs_last_action": False, "use_rnn": False, "mixer": "vdn", "gamma": 0.99,
    ...        "standardise_rewards": False, "standardise_returns": False, "common_reward": True,
    ...        "reward_scalarisation": "sum", "env_args": {"time_limit": 25}}
    >>> network = me.read_pymarl(weights, run)
    >>> network
    Network(VDN of PyMARL: a sum of values of actions)
    >>> network.values([[0.5], [1.0]], network.initial())[0].shape
    (2, 4)
    """
    _check.names("settings", settings, _SETTINGS)
    of, file = _called(agent, "agent"), _called(config, "config")
    said = _config(config) | settings

    def wrong(key: str, rule: str, remedy: str) -> InvalidInput:
        return InvalidInput(file, f"{key}: {short(said[key])}", rule, remedy)

    for key, options in _NEEDED.items():
        if _asked(said, key, file) not in options:
            rule = f"{key} must be one of {', '.join(map(repr, options))}"
            raise wrong(key, rule, "Values of actions are read alone.")
    if said.get("agent_output_type", "q") != "q":
        rule = "agents must give values of actions ('q'), not chances"
        raise wrong("agent_output_type", rule, "Give a Q learner.")
    if said.get("agent", "rnn") not in _AGENTS:
        remedy = "If it is fc1, rnn and fc2 as these are, pass config | {'agent': 'rnn'}."
        raise wrong("agent", f"agents that are read are {' and '.join(map(repr, _AGENTS))}", remedy)
    env_args = {} if said.get("env_args") is None else said["env_args"]
    if not isinstance(env_args, Mapping):
        remedy = "Give it as the run had it, e.g. {'time_limit': 25}."
        raise wrong("env_args", "it must be a table by name", remedy)
    weights = _own(read_weights(agent, of), of)
    recurrent = any(k.startswith("rnn.") and k.endswith(("_ih", "_hh")) for k in weights)
    if bool(said.get("use_rnn", recurrent)) != recurrent:
        got = f"use_rnn: {said['use_rnn']!r} beside {'a GRU cell' if recurrent else 'a linear layer'}"
        raise InvalidInput(file, got, "the config must be that of the weights", "Check which run wrote them.")
    body = Agent.of(
        weights, of, bool(said["obs_last_action"]), bool(said["obs_agent_id"]), observe, recurrent
    )
    common, kind, limit = said["common_reward"], said["mixer"], env_args.get("time_limit")
    if mixer is not None and kind != "qmix":
        got, remedy = (
            f"one beside mixer: {kind!r}",
            "Leave it out, or give the config of the run that wrote it.",
        )
        raise InvalidInput("mixer", got, "QMIX alone has one", remedy)
    total = None if kind != "qmix" else _mixer(mixer, observe, state)
    return Network(
        body.values, body.initial, body.acted,
        combined={"vdn": "sum", "qmix": "mixer"}.get(kind, "mean" if common else "sum"),
        total=total, recurrent=recurrent, discount=_check.discount(_asked(said, "gamma", file), "gamma"),
        horizon=None if limit is None else _check.integer("time_limit", limit, low=1), through=True,
        pay=_check.choice("reward_scalarisation", _asked(said, "reward_scalarisation", file), ("sum", "mean"))
        if common else "sum", reward_units=_units(said), name=f"{_NAMES[kind]} of PyMARL",
    )  # fmt: skip


def _called(given: Any, name: str) -> str:
    """The file, or the argument that is a table."""
    return name if isinstance(given, Mapping) else str(path_of(given, name))


def _config(given: Any) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    path = path_of(given, "config")
    text = read_text(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise InvalidInput(
            str(path), "no JSON", f"the config of a run is JSON ({e})", "Give its config.json."
        ) from None
    if not isinstance(found, dict):
        raise InvalidInput(str(path), short(found), "the config of a run is a table", "Give its config.json.")
    return found


def _asked(said: Mapping[str, Any], key: str, file: str) -> Any:
    if key not in said:
        remedy = f"Pass read_pymarl(agent, config | {{{key!r}: ...}}), as the run had it."
        raise InvalidInput(file, f"no {key}", f"{key} is not guessed", remedy)
    return said[key]


def _mixer(given: Any, observe: Observe | None, state: State | None) -> Mixer:
    if given is None:
        remedy = "Pass mixer='mixer.th', which stands beside agent.th."
        raise InvalidInput("mixer", "None", "QMIX has one", remedy)
    of = _called(given, "mixer")
    return Mixer(read_weights(given, of), of, observe, state)


def _units(said: Mapping[str, Any]) -> tuple[float, float] | None:
    """Mean and standard deviation of what was standardised."""
    if not said["standardise_rewards"] and not said["standardise_returns"]:
        return None
    if (
        said["standardise_returns"]
        or not said["common_reward"]
        or "reward_mean" not in said
        or "reward_std" not in said
    ):
        return math.nan, math.nan
    std = _check.number("reward_std", said["reward_std"])
    if std <= 0.0:
        raise InvalidInput(
            "reward_std", f"{std:g}", "it must be > 0", "Leave both out if they are not known."
        )
    return _check.number("reward_mean", said["reward_mean"]), std


def _own(weights: Weights, of: str) -> Weights:
    """Agents with weights of their own, `agents.0.fc1.weight`, side by side as (N, ...).

    Raises
    ------
    InvalidInput : agents that are not numbered from 0 on, or not all alike.
    """
    parts = {key: key.split(".", 2) for key in weights if key.startswith("agents.")}
    if not parts:
        return weights
    found: dict[str, Weights] = {}
    for key, (_, number, *rest) in parts.items():
        found.setdefault(number, {})[".".join(rest)] = weights[key]
    numbers, remedy = [str(i) for i in range(len(found))], "Check which file this is."
    strange = [k for k in weights if len(parts.get(k, ())) < 3 or parts[k][1] not in numbers]
    if strange:
        rule = f"weights of {len(found)} agents are agents.0 to agents.{len(found) - 1}"
        raise InvalidInput(of, strange[0], rule, remedy)
    first = {name: a.shape for name, a in found["0"].items()}
    for whose, own in found.items():
        shapes = {name: a.shape for name, a in own.items()}
        for name in first | shapes:
            if first.get(name) != shapes.get(name):
                each = [by(s[name]) if name in s else "missing" for s in (first, shapes)]
                got = f"agents.0.{name} {each[0]}, agents.{whose}.{name} {each[1]}"
                raise InvalidInput(of, got, "agents have layers of the same sizes", remedy)
    return {name: np.stack([found[k][name] for k in numbers]) for name in first}


class Agent(NamedTuple):
    """The network of all agents; hidden is (what the cell remembers (N, H), last actions (N, A))."""

    first: Layer
    second: tuple[Layer, ...]  # a linear layer; or of what comes in, and of what is remembered
    last: Layer
    reads_action: bool
    reads_number: bool
    observe: Observe | None

    @classmethod
    def of(
        cls,
        weights: Weights,
        of: str,
        action: bool,
        number: bool,
        observe: Observe | None,
        recurrent: bool,
    ) -> Agent:
        """From arrays by name."""
        first, last = (layer(weights, name, of) for name in ("fc1", "fc2"))
        second = tuple(layer(weights, "rnn", of, part) for part in (("_ih", "_hh") if recurrent else ("",)))
        width = first.b.shape[-1]
        makes = (3 if recurrent else 1) * width
        for name, one in (*(("rnn", x) for x in second), ("fc2", last)):
            fits = one.width == width and (name == "fc2" or one.b.shape[-1] == makes)
            if not fits or one.w.shape[:-2] != first.w.shape[:-2]:
                got = f"{name} {by(one.w.shape)} after fc1 {by(first.w.shape)}"
                rule = f"rnn is {makes}x{width}, and fc2 reads {width}, where fc1 makes {width} numbers"
                raise InvalidInput(of, got, rule, "Check which file this is.")
        extra = [k for k in weights if k.split(".")[0] not in ("fc1", "rnn", "fc2")]
        if extra:
            rule, remedy = "an agent is fc1, rnn and fc2 alone", "Pass me.Network with a function of yours."
            raise InvalidInput(of, extra[0], rule, remedy)
        return cls(first, second, last, action, number, observe)

    def initial(self) -> Any:
        """Nothing remembered, nothing done."""
        return None, None

    def acted(self, hidden: Any, actions: Sequence[int | None]) -> Any:
        """With these as last actions."""
        if not self.reads_action:
            return hidden
        done = np.zeros((len(actions), self.last.b.shape[-1]))
        for row, a in zip(done, actions, strict=True):
            if a is not None:
                row[a] = 1.0
        return hidden[0], done

    def values(self, observations: Sequence[Any], hidden: Any) -> tuple[Floats, Any]:
        """(N, A) values, and hidden."""
        kept, done = hidden
        parts, n = [rows(observations, self.observe)], len(observations)
        own = self.first.w.shape[:-2]
        if own not in ((), (n,)):
            rule = f"the checkpoint has weights of {own[0]}"
            raise InvalidInput("observation", f"{n} agents", rule, "Check which run wrote it.")
        if self.reads_action:
            parts.append(np.zeros((n, self.last.b.shape[-1])) if done is None else done)
        if self.reads_number:
            parts.append(np.eye(n))
        x = np.concatenate(parts, axis=1)
        if x.shape[1] != self.first.width:
            widths = " + ".join(str(p.shape[1]) for p in parts)
            got = f"{widths} numbers of an agent: what it observes, did last, which it is"
            rule = f"fc1 reads {self.first.width}"
            raise InvalidInput(
                "observation", got, rule, "Pass observe=, which makes of an observation what was trained on."
            )
        x = relu(self.first(x))
        if len(self.second) == 1:
            return self.last(relu(self.second[0](x))), hidden
        kept = np.zeros_like(x) if kept is None else kept
        kept = _gru(self.second[0](x), self.second[1](kept), kept)
        return self.last(kept), (kept, done)


def _gru(x: Floats, h: Floats, kept: Floats) -> Floats:
    """What a GRU cell remembers, from its gates of what comes in and of what is remembered, (N, 3 H) each."""
    (reset, update, new), (was_reset, was_update, was_new) = (np.split(g, 3, axis=-1) for g in (x, h))
    new = np.tanh(new + sigmoid(reset + was_reset) * was_new)
    keep = sigmoid(update + was_update)
    return np.asarray((1.0 - keep) * new + keep * kept)


class Mixer:
    """QMIX: one value, ascending in every agent's, by weights that the state chooses."""

    def __init__(
        self,
        weights: Weights,
        of: str,
        observe: Observe | None,
        state: State | None,
    ) -> None:
        self.parts = {k: stack_of(weights, k, of) for k in ("hyper_w_1", "hyper_b_1", "hyper_w_final", "V")}
        self.observe, self.state = observe, state
        reads = {layers[0].width for layers in self.parts.values()}
        w, b, final, v = (layers[-1].b.shape for layers in self.parts.values())
        if len(reads) > 1 or (len(w), len(b), final, v) != (1, 1, b, (1,)) or not b[0] or w[0] % b[0]:
            got = ", ".join(f"{k} {by(p[-1].b.shape)} of {p[0].width}" for k, p in self.parts.items())
            rule = "of one state, hyper_w_1 makes N H, hyper_b_1 and hyper_w_final H, V one number"
            raise InvalidInput(of, got, rule, "Check which file this is.")

    def __call__(self, values: Floats, observations: Sequence[Any]) -> float:
        if self.state is None:
            s = rows(observations, self.observe).ravel()
        else:
            s = _check.real("state", self.state(observations)).ravel()
        width = self.parts["hyper_w_1"][0].width
        if len(s) != width:
            got, rule = f"a state of {len(s)} numbers", f"the mixer reads {width}"
            raise InvalidInput("state", got, rule, "Pass state=, which makes it of the observations.")
        w, b, final, v = (dense(layers, relu, s) for layers in self.parts.values())
        if len(w) != len(values) * len(b):
            got, rule = f"{len(values)} agents", f"the mixer is of {len(w) // len(b)}"
            raise InvalidInput("mixer", got, rule, "Check which run wrote it.")
        x = values @ np.abs(w).reshape(len(values), -1) + b
        hidden = np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))
        return float(hidden @ np.abs(final) + v[0])
