"""Minari datasets, by shape: one learner's data whose observations are a dictionary or a tuple, an entry an agent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import InvalidInput, Unsupported


@runtime_checkable
class Dataset(Protocol):
    """What Minari loads."""

    def iterate_episodes(self, episode_indices: Any = None) -> Iterator[Any]: ...


def arrays(dataset: Dataset, states: Any, agents: Any) -> tuple[Any, ...]:
    """states, actions, agents, episode, t, reward, terminated and chance (none) of all episodes in a row."""
    if states is not None and not callable(states):
        raise InvalidInput.kind(
            "states", states, "a function: observations of an episode -> (T + 1, agents)", "Leave it out."
        )
    parts: list[tuple[Any, ...]] = []
    for k, e in enumerate(dataset.iterate_episodes()):
        names, seen = (
            _parts(e.observations, agents) if states is None else (agents, np.asarray(states(e.observations)))
        )
        n = seen.shape[1] if seen.ndim == 2 else 0
        chosen = _parts(e.actions, names)[1]
        steps = len(e.rewards)
        if seen.shape != (steps + 1, n) or chosen.shape != (steps, n):
            rule = f"episode {k} has {steps} rewards: shapes must be ({steps + 1}, agents), ({steps}, agents)"
            raise InvalidInput(
                "path", f"shapes {seen.shape} and {chosen.shape}", rule, "Give states=, a function."
            )
        parts.append(
            (names, seen[:-1], chosen, np.full(steps, k), np.asarray(e.rewards), np.asarray(e.terminations))
        )
    if not parts:
        raise InvalidInput("path", "no episodes", "there must be at least one", "Check the dataset.")
    names, (s, a, episode, reward, ended) = (
        parts[0][0],
        (np.concatenate(x) for x in list(zip(*parts, strict=True))[1:]),
    )
    return s, a, names, episode, None, reward[:, None], ended, None


def _parts(value: Any, agents: Any) -> tuple[Any, Any]:
    """Names of the entries and (T, agents) of them, each a whole number or a row of these that becomes one name."""
    if isinstance(value, Mapping):
        names = list(value) if agents is None else list(agents)
        if set(names) != set(value):
            raise InvalidInput.kind(
                "agents", agents, f"the entries {', '.join(map(str, value))}", "Leave it out."
            )
        columns = [_column(f"entry {name!r}", value[name]) for name in names]
        return [str(name) for name in names], np.column_stack(columns)
    if isinstance(value, tuple):
        return agents, np.column_stack([_column(f"entry {k}", part) for k, part in enumerate(value)])
    a = np.asarray(value)
    columns = [a] if a.ndim == 1 else [a[:, k] for k in range(a.shape[1])] if a.ndim == 2 else [a]
    return agents, np.column_stack([_column("the array", c) for c in columns])


def _column(name: str, value: Any) -> Any:
    a = np.asarray(value)
    if (a.dtype.kind == "f" and (a != np.round(a)).any()) or a.dtype.kind not in "biufU" or a.ndim > 2:
        rule = "local states and actions are whole numbers or names"
        raise Unsupported("path", f"{name} of type {a.dtype}, shape {a.shape}", rule,
                          "Make them so: states=, a function of the observations of an episode.")  # fmt: skip
    return a if a.ndim == 1 else np.array(["/".join(f"{x:g}" for x in row) for row in a.tolist()])
