"""A trajectory: what a simulator leaves behind and what estimators read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path as File
from typing import Any

import numpy as np

from .._check import Bools, Floats, Ints, freeze
from .._files import path_of, write_bytes
from ..errors import InvalidInput, Unsupported
from ..report import tabulate, terms
from ..report.result import Result
from ..report.table import Table


@dataclass(frozen=True, eq=False, repr=False)
class Path(Result):
    """T steps of a system, per agent or, for a restless bandit, in counts.

    Attributes
    ----------
    rewards : (T, N) reward of each agent and step; (T, 1) for one shared reward; in count space (T, types),
        summed over the arms of a type. Reward units.
    episode_starts : (T,) bool, step t begins an episode.
    terminated, truncated : (T,) bool, step t ended an episode by the system's or by the clock's will; where
        it terminated, `states[t + 1]` is the first of the next episode.
    states : (T + 1, N) local states, or None in count space.
    actions : (T, N) local actions, or None in count space.
    counts : (T + 1, types, S) arms per local state, or None.
    served : (T, types, S) active arms per local state, or None.
    flows : (L, types, 2S, 2S) arms that went from local pair `2 s + a` to `2 s' + a'`: L = 1 summed over all
        steps, L = T - 1 one by one, L = 0 not recorded; None per agent.
    sizes : (U, 2) local states and actions of each agent or arm type, or None: not known.
    arm_rewards : (types, S, 2) reward of an arm, in count space; or None.
    discount : gamma of the system, or None.
    """

    rewards: Floats
    episode_starts: Bools
    terminated: Bools
    truncated: Bools
    states: Ints | None = None
    actions: Ints | None = None
    counts: Ints | None = None
    served: Ints | None = None
    flows: Ints | None = None
    sizes: Ints | None = None
    arm_rewards: Floats | None = None
    discount: float | None = None

    @property
    def steps(self) -> int:
        """T."""
        return len(self.rewards)

    @property
    def flow_total(self) -> Ints:
        """(types, 2S, 2S) flows summed over all steps.

        Raises
        ------
        Unsupported : no flows were recorded.
        """
        if self.flows is None or len(self.flows) == 0:
            raise Unsupported("path", "a path without flows", "flows are recorded in count space on request",
                              "Simulate a me.RestlessBandit with flows='total'.")  # fmt: skip
        return freeze(np.asarray(self.flows.sum(axis=0), dtype=np.int64))

    def columns(self) -> dict[str, list[Any]]:
        """Column -> cells, one row for each step and agent, or for each step, arm type and state in count space.

        Of an agent `state`, `action` and `reward` (one shared reward is that of agent 0), of counts the `arms` there
        and those `served`; the last rows, of step T, hold what no action follows.

        >>> import markov_entanglement as me
        >>> path = me.simulate(me.gallery.build("parity").system, None, 2, rng=0)
        >>> list(path.columns()), len(path.columns()["step"])
        (['step', 'agent', 'state', 'action', 'reward'], 9)
        """
        what = {"state": self.states, "action": self.actions, "reward": self.rewards}
        first = "agent"
        if self.counts is not None:
            what, first = {"arms": self.counts, "served": self.served}, "type"
        whole = next(a for a in what.values() if a is not None)
        where = np.indices(whole.shape).reshape(whole.ndim, -1).tolist()
        columns: dict[str, list[Any]] = dict(zip(("step", first, "state"), where, strict=False))
        for name, a in what.items():
            filled = np.full(whole.shape, None, dtype=object)
            if a is not None:
                filled[: a.shape[0], : a.shape[1]] = a
            columns[name] = filled.ravel().tolist()
        return columns

    def save(self, path: str | PathLike[str]) -> None:
        """Write it atomically: all arrays by their names to an `.npz` file, or the `columns` to a `.csv` file.

        Raises
        ------
        InvalidInput : another ending, or a file that cannot be written.
        """
        if ending(path) == ".npz":
            out = io.BytesIO()
            np.savez_compressed(out, **{name: a for name, a in vars(self).items() if a is not None})
            write_bytes(File(path), out.getvalue())
        else:
            Table("path", "Steps of the path", self.columns(), {}, {}, ()).save_csv(File(path))

    def to_dict(self) -> dict[str, Any]:
        """Plain lists; what was not recorded is None."""
        return {name: a.tolist() if hasattr(a, "tolist") else a for name, a in vars(self).items()}

    @property
    def sentence(self) -> str:
        """How long and what was earned."""
        total = self.rewards.sum(axis=1)
        return f"{self.steps:,} steps; all agents together earn {float(total.mean()):.6g} per step (reward units)."

    def _brief(self) -> str:
        if self.counts is not None:
            _, types, states = self.counts.shape
            return f"{self.steps} steps, counts of {types} arm types in {states} states"
        agents = 0 if self.states is None else self.states.shape[1]
        return f"{self.steps} steps, {agents} agents"

    def _tables(self) -> Iterator[Table]:
        yield tabulate.steps(self.rewards)
        total = self.rewards.sum(axis=1)
        yield tabulate.numbers(
            [("steps", self.steps, "", "length of the path"),
             ("reward", float(total.mean()), terms.REWARD, "mean of all agents together per step"),
             ("episodes", int(self.episode_starts.sum()), "", "begun on it")]
        )  # fmt: skip


def ending(path: Any, name: str = "path") -> str:
    """`.npz` or `.csv`, as the name of the file says; refuses others."""
    found = path_of(path, name).suffix.lower()
    if found not in (".npz", ".csv"):
        raise InvalidInput.unknown(name, found, (".npz", ".csv"), "the ending must be one of")
    return found


def one_episode(rewards: Floats, *, terminated: Bools | None = None, **recorded: Any) -> Path:
    """A path whose last episode the clock ended, unless it `terminated`; arrays are frozen, not copied."""
    terminated = np.zeros(len(rewards), dtype=np.bool_) if terminated is None else terminated
    starts, truncated = np.append(True, terminated[:-1]), np.zeros_like(terminated)
    truncated[-1:] = ~terminated[-1:]
    path = Path(rewards, starts, terminated, truncated, **recorded)
    for a in vars(path).values():
        if isinstance(a, np.ndarray):
            freeze(a)
    return path
