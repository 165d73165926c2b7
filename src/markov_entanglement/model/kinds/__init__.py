"""One record per kind of system: files, templates, `init`, help, docs and the contract test iterate over them.

A new kind of system is one file in this folder with its `Kind`. A record loads nothing heavy: it names its class by
its public name. The keys of a file are the parameters of the class; `labels` is the table `[agents]`.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...errors import InvalidInput, Unsupported

if TYPE_CHECKING:
    from ...laws.source import Model


def public(name: str) -> Any:
    """The public object of that name, loaded on first use."""
    return getattr(import_module(__name__.partition(".")[0]), name)


def joint_lacks(system: Any, word: str) -> str:
    """What a system on joint states lacks for the policy of that word; "" where it fits."""
    if word == "neighbour":
        return "" if system is not None and system.net is not None else "neighbour sets"
    if system is not None and system.only_steps:
        if word == "index":
            return "" if system.limits is not None else "a budget or resources"
        return "" if word in ("uniform", "table", "local") else "laws, and there are only steps"
    on_states = word in ("uniform", "table", "local", "optimal")
    return "" if on_states else "a budget, and agents with two actions each that move on kernels of their own"


def joint_keys(system: Any) -> dict[str, Any]:
    """What a system on joint states was made of, beside its attributes of the same names."""
    spaces, rewards, ends = system.spaces, system.rewards, system.ends
    sizes = {"n_states": list(spaces.n_states), "n_actions": list(spaces.n_actions)}
    keys: dict[str, Any] = {**sizes, "sizes": sizes["n_states"], "rewards": None}
    if rewards is not None and rewards.local is not None:
        local = zip(rewards.local, *sizes.values(), strict=True)
        keys["rewards"] = [r.reshape(s, a) for r, s, a in local]
    elif rewards is not None and rewards.shared is None:
        rule, helps = (
            "a file keeps tables, and one of all joint states and actions would be too large",
            "Save it without.",
        )
        raise Unsupported("rewards", "a function", rule, helps)
    elif rewards is not None:
        keys["rewards"] = rewards.shared if spaces.joint_actions > 1 else rewards.shared[:, 0]
    if ends is not None:
        keys |= {"terminal": spaces.states_at(ends.terminal), "restart": ends.restart}
    return keys


@dataclass(frozen=True)
class Kind:
    """A kind of system."""

    word: str  # `kind` of its files, `--kind` of `init`
    name: str  # public name of its class
    help: str  # what it is, one line
    text: str  # the rest of a commented file that runs as it is
    #: (system, word of a policy) -> what it lacks for that policy; "" where it fits.
    lacks: Callable[[Any, str], str] = joint_lacks
    #: A system -> the restless bandit of its agents, from which priorities are computed.
    arms: Callable[[Any], Any] | None = None
    #: A system -> values of keys that are no attributes of it.
    made_of: Callable[[Any], dict[str, Any]] = joint_keys

    @property
    def keys(self) -> dict[str, bool]:
        """Key -> whether it is required: the parameters of the class."""
        found = inspect.signature(public(self.name)).parameters
        return {"agents" if k == "labels" else k: p.default is p.empty for k, p in found.items()}

    def read(self, found: Mapping[str, Any]) -> Model:
        """The system of the keys of a file."""
        for key, required in self.keys.items():
            if required and key not in found:
                remedy = "Add it to the file or to its arrays."
                raise InvalidInput(key, "nothing", "this key is required", remedy)
        given = {"labels" if k == "agents" else k: found[k] for k in self.keys if k in found}
        system: Model = public(self.name)(**given)
        return system

    def write(self, system: Any) -> dict[str, Any]:
        """The keys of a system as plain values and arrays."""
        made_of = self.made_of(system)
        values = {k: made_of.get(k, getattr(system, k, None)) for k in self.keys}
        return {k: v for k, v in values.items() if v is not None}

    def template(self, file: str) -> str:
        """A commented system file that runs as it is."""
        return (
            f"# A system for markov-entanglement. Try:  markov-entanglement analyze {file}\n"
            f'schema = 1\nkind = "{self.word}"  # {self.help}\n{self.text}'
        )


@cache
def kinds() -> dict[str, Kind]:
    """All records by their words."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return {m.KIND.word: m.KIND for m in modules}


def kind_of(system: Any) -> Kind | None:
    """The record of a system, that of its nearest class; None if it has none."""
    records = {public(k.name): k for k in kinds().values()}
    return next((records[c] for c in type(system).__mro__ if c in records), None)
