"""Logs as people have them -> `me.Log`: arrays, paths, frames, folders of shards, Parquet, CSV, Minari."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import _check
from .._check import Bools, Floats, Ints
from .._files import path_of
from .._progress import Progress, reporting
from .._types import ArrayLike, ColumnsLike, LogLike
from ..errors import InvalidInput, Unsupported, by
from ..laws.source import offers
from ..model.spaces import Labels, Spaces
from ..readers._columns import Frame
from ..runs.path import Path as Recorded
from . import minari
from .log import IN_MEMORY, Log, Making
from .long import from_files, whole_of
from .names import known_of, numbered
from .ordered import from_text
from .parts import Parts
from .shards import META, Steps, described, read_meta
from .table import TRUTH, Columns, clock, empty, from_columns, no_chance, real, unlikely


@reporting("reading a log")
def read_logs(
    path: LogLike = None,
    *,
    states: ColumnsLike = None,
    actions: ColumnsLike = None,
    agents: ColumnsLike = None,
    episode: ColumnsLike = None,
    t: ColumnsLike = None,
    reward: ColumnsLike = None,
    terminated: ColumnsLike = None,
    chance: ColumnsLike = None,
    laws: Sequence[ArrayLike] | None = None,
    n_states: int | Sequence[int] | None = None,
    n_actions: int | Sequence[int] | None = None,
    discount: float | None = None,
    store: str | PathLike[str] | None = None,
    resume: bool = False,
    memory: str = "300MB",
    progress: Progress | bool | None = None,
) -> Log:
    """A log: of each step the local state and action of each agent, wherever that was recorded.

    Nothing crosses an episode, a gap in `t` or a missing row; an agent without a row is absent. What was seen is
    numbered and named: actions 0, 2, 3 are three actions. Rows of a table may come in any order.

    Parameters
    ----------
    path : a `me.Path`; a folder that `Log.save` wrote; `.parquet`, `.csv` or `.tsv` files in long form, one row for
        each step and agent, by name, list or pattern (`logs/*.parquet`); a frame or mapping of such columns; a Minari
        dataset; None: `states` and `actions` are arrays.
    states : column of the local state, or several, e.g. `["cell", "status"]`; default "state". For arrays (T, N) or
        (T + 1, N). For Minari a function: observations -> (T + 1, N).
    actions : column of the action, default "action" where there is one, else there is one action; an empty entry, or
        "nan": no action followed. For arrays (T, N).
    agents : column that names the agent, default "agent"; for arrays names (N,).
    episode : column of the episode, default "episode" where there is one; for arrays (T,).
    t : column of the step in its episode, whole numbers, default "t" or "step"; for arrays (T,), rising until the next
        episode.
    reward : column of the reward of the agent, default "reward" where there is one; arrays: (T, N), or (T, 1) shared.
    terminated : column that is true where the task ended with the step, default "terminated" where there is one; for
        arrays (T,).
    chance : column of the probability in (0, 1] that the policy gave the action, of this agent alone given the joint
        state, default "chance" where there is one; for arrays, or beside a path, (T, N). The mode is "policy known":
        the log answers "policy" (Prop. 7.2), which bounds E_i if each agent moves on a kernel of its own. Whoever gives
        chances asserts that; no log proves it.
    laws : for arrays or beside a path, of each agent (T, m_i): the law of its next local pair `A_i s_i + a_i` given the
        joint pair of the step (Eq. 9), or (T, m_i + 1) with the chance that the task ends last. The mode is then "laws
        known". Give `n_states`, `n_actions`, so that pairs have the numbers that are meant.
    n_states, n_actions : how many there are, one number or one for each agent; states and actions are then whole
        numbers below it. None: as many as were seen.
    discount : gamma in [0, 1), or None.
    store : a new folder for the shards, which `me.read_logs` reads again at once, also while the rest of large files is
        still to come. None: memory, or a temporary folder where they are many.
    resume : go on with the reading of the same files into `store` that was stopped; one that is whole is returned.
    memory : what DuckDB may use while it sorts, e.g. "2GB"; beyond it spills to disk.
    progress : see `analyze`.

    Raises
    ------
    InvalidInput : rows that cannot be meant (two of one episode, step and agent; empty entries; wrong types; damaged
        files), each with its place.
    Unsupported : what is no log.
    MissingDependency : Parquet, or CSV that is not in order, without DuckDB.
    TooLarge : more different states than tables can be made of.

    >>> import markov_entanglement as me
    >>> log = me.read_logs({"t": [0, 0, 1, 1], "agent": [7, 9, 9, 7], "state": list("axya"), "action": [0, 2, 3, 0]})
    >>> log.agents, log.local_names(1), next(iter(log)).pairs.tolist()
    (('7', '9'), (['x', 'y'], ['2', '3']), [[0, 0], [0, 3]])
    >>> coins = [[0, 1], [1, 1], [0, 0]]
    >>> me.read_logs(states=coins, laws=[[[0.5, 0.5]] * 3] * 2).mode
    'laws known'
    """
    gamma = None if discount is None else _check.discount(discount)
    given = (n_states, n_actions)
    if not isinstance(memory, str) or not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", memory):
        raise InvalidInput.kind("memory", memory, "a size", "E.g. memory='2GB'.")
    resume = _check.resuming(resume, store, "reading goes on from what lies in its folder", "log", "store")
    if resume and (
        path is None or offers(path, Recorded) or isinstance(path, minari.Dataset | Mapping | Frame)
    ):
        raise InvalidInput(
            "resume", "True", "reading of files goes on", "Leave it out, or give paths of files."
        )
    if path is None:
        arrays = (states, actions, agents, episode, t, reward, terminated, chance)
        return _of_arrays(arrays, given, gamma, store, laws)
    if offers(path, Recorded):
        return _of_path(path, chance, given, gamma, store, laws)
    if laws is not None:
        rule = "laws of next pairs come with arrays or a me.Path"
        raise Unsupported(
            "laws", "laws beside a table", rule, "Give states= and actions=, arrays (T, agents)."
        )
    if isinstance(path, minari.Dataset):
        return _of_arrays(minari.arrays(path, states, agents), given, gamma, store)
    columns = Columns.of(states, actions, agents, episode, t, reward, terminated, chance)
    if isinstance(path, Mapping | Frame):
        return from_columns(path, columns, given, gamma, store)
    files = _files(path)
    if len(files) == 1 and files[0].is_dir():
        return _of_folder(files[0], gamma)
    if resume and (whole := whole_of(store, files, columns, given)):
        return _of_folder(whole, gamma)
    if not _has_duckdb() and all(f.suffix.lower() in (".csv", ".tsv") for f in files):
        return from_text(files, columns, given, gamma, store)
    return from_files(files, columns, given, gamma, store, memory, resume)


def _has_duckdb() -> bool:
    try:
        import duckdb  # noqa: F401
    except ImportError:
        return False
    return True


def _files(path: Any) -> list[Path]:
    """The files that are meant, in the order of their names where a pattern finds them."""
    listed = path if isinstance(path, Sequence) and not isinstance(path, str) else [path]
    found: list[Path] = []
    for one in listed:
        name = path_of(one)
        more = [name] if name.exists() else sorted(name.parent.glob(name.name))
        if not more or not more[0].exists():
            raise InvalidInput("path", str(one), "it must exist", "Check the name.")
        found += more
    if not found:
        raise InvalidInput("path", "no files", "there must be at least one", "Give the path of a log.")
    return found


def _of_folder(folder: Path, gamma: float | None) -> Log:
    meta, shards = read_meta(folder)
    known = shards[0].load().known if meta["schema"] == 1 and shards else None
    with described(folder / META):
        spaces = Spaces(tuple(meta["n_states"]), tuple(meta["n_actions"]))
        labels = Labels.of(
            {"names": meta["agents"], "states": meta["states"], "actions": meta["actions"]}, spaces
        )
        parts = Parts.read(meta["parts"], meta["values"], spaces) if meta.get("parts") else None
        steps, left = (
            _check.integer(name, k, low=0)
            for name, k in (("steps", meta["steps"]), ("left", meta.get("left", 0)))
        )
        own = meta["discount"]
        own = None if own is None else _check.discount(own)
        known = tuple(meta["known"]) if known is None else known
    return Log(spaces, labels, shards, steps, own if gamma is None else gamma, known, left, parts)


def _of_path(
    path: Recorded, chance: Any, given: tuple[Any, Any], gamma: float | None, store: Any, laws: Any
) -> Log:
    if path.states is None or path.actions is None:
        raise Unsupported("path", "a path in counts", "a log has the state and the action of each agent",
                          "Follow the arms: me.arm_path(me.Arms.of(bandit, policy), 10_000, rng=0).")  # fmt: skip
    if path.sizes is not None:
        given = tuple(path.sizes[:, k] if g is None else g for k, g in enumerate(given))  # type: ignore[assignment]
    episode = np.cumsum(path.episode_starts)
    arrays = (
        path.states[: path.steps],
        path.actions,
        None,
        episode,
        None,
        path.rewards,
        path.terminated,
        chance,
    )
    return _of_arrays(arrays, given, path.discount if gamma is None else gamma, store, laws, through=True)


def _of_arrays(
    arrays: tuple[Any, ...],
    given: tuple[Any, Any],
    gamma: float | None,
    store: Any,
    laws: Any = None,
    *,
    through: bool = False,
) -> Log:
    states, actions, agents, episode, t, reward, terminated, chance = arrays
    state = _grid("states", states)
    action = np.zeros(state.shape, dtype=np.int64) if actions is None else _grid("actions", actions)
    state = state[:-1] if len(action) == len(state) - 1 else state
    if action.shape != state.shape:
        raise InvalidInput.shape("actions", action.shape, state.shape)
    steps, n = state.shape
    names = [str(i) for i in range(n)] if agents is None else list(Labels.strings("agents", agents, n))
    if len(names) != n:
        raise InvalidInput("agents", "no names", f"there must be {n}", "One name for each.")
    (s_names, s), (a_names, a) = _codes(state), _codes(action)
    of, there = np.tile(np.arange(n), steps), (s >= 0) & (a >= 0)
    seen = of[there], s[there], a[there]
    known = known_of(names, seen, [(name,) for name in s_names], a_names, given)
    pairs = np.full(steps * n, -1, dtype=np.int64)
    pairs[there] = known.pairs(of[there], s[there], a[there])
    which = np.zeros(steps, dtype=np.int64) if episode is None else _episodes(episode, steps)
    ended = _ended(terminated, steps)
    pairs = pairs.reshape(steps, n)
    found = Steps(
        which, _clock(t, which, ended), pairs, _rewards(reward, steps, n), ended,
        None if chance is None else _chances(chance, pairs),
        None if laws is None else _laws(laws, pairs, known.spaces.pair_sizes),
    )  # fmt: skip
    cells = pairs.size if found.laws is None else found.laws.size
    with Making(known, gamma, store, cells, through=through) as made:
        size = max(1, IN_MEMORY // n)
        for lo in range(0, steps, size):
            made.writer.put(Steps(*(None if x is None else x[lo : lo + size] for x in found)))  # type: ignore[arg-type]
    return made.log


def _grid(name: str, value: Any) -> Any:
    """(T, N) entries."""
    shape = () if value is None else _check.shape_of(name, value)
    a = np.asarray(value if len(shape) == 2 else None)
    if a.ndim != 2 or a.dtype.kind not in "biufUO" or not a.size:
        rule = "an array (T, agents) of whole numbers or names"
        raise InvalidInput.kind(name, value, rule, "Give path=, or both states= and actions=.")
    return a


def _vector(name: str, value: Any, steps: int) -> Any:
    """(T,) entries."""
    listed = _check.sequence(name, value, "one entry for each step")
    if len(listed) != steps or isinstance(listed, set | Mapping) or _check.shape_of(name, listed) != (steps,):
        raise InvalidInput.kind(name, value, f"an array ({steps},)", "One entry for each step.")
    return np.asarray(listed)


def _codes(grid: Any) -> tuple[list[str], Ints]:
    """Names of the entries and which each is, row by row; -1 of those below 0: nobody is there."""
    names, code = numbered(grid.ravel())
    return names, code if grid.dtype.kind in "OU" else np.where(grid.ravel() >= 0, code, -1)


def _episodes(episode: Any, steps: int) -> Ints:
    """(T,) number of the episode, a new one wherever the label changes."""
    _, a = numbered(_vector("episode", episode, steps))
    if (a < 0).any():
        raise empty(f"episode[{(a < 0).argmax()}]")
    return np.append(0, np.cumsum(a[1:] != a[:-1]))


def _clock(t: Any, episode: Ints, ended: Bools) -> Ints:
    """(T,) step of the episode; it rises until another episode begins, by its label or after the end of a task."""
    first = np.append(True, episode[1:] != episode[:-1])
    if t is not None:
        found = clock("t", _vector("t", t, len(episode)), "t[{}]".format)
        back = np.flatnonzero((np.diff(found) <= 0) & ~first[1:] & ~ended[:-1]) + 1
        if len(back):
            k = int(back[0])
            raise InvalidInput(f"t[{k}]", f"{found[k]} after {found[k - 1]}", "it rises inside an episode",
                               "Put rows in order, drop one, or say where episodes begin: episode=.")  # fmt: skip
        return found
    at = np.arange(len(episode))
    return at - np.maximum.accumulate(np.where(first, at, 0))


def _rewards(reward: Any, steps: int, n: int) -> Floats:
    if reward is None:
        return np.zeros((steps, 0))
    found = _check.amounts("reward", reward)
    found = found[:, None] if found.ndim == 1 else found
    if found.shape not in ((steps, n), (steps, 1)):
        raise InvalidInput.shape("reward", found.shape, (steps, n))
    return found


def _chances(chance: Any, pairs: Ints) -> Floats:
    """(T, N) chances of the actions taken."""
    found = _check.nonnegative("chance", chance, shape=pairs.shape)
    bad = np.argwhere((pairs >= 0) & unlikely(found))
    if len(bad):
        t, i = bad[0].tolist()
        raise no_chance(f"chance[{t}, {i}]", found[t, i])
    return found


def _laws(laws: Any, pairs: Ints, sizes: tuple[int, ...]) -> Floats:
    """(T, sum_i (m_i + 1)) laws of next pairs, zeros where the agent is absent."""
    listed = _check.sequence("laws", laws, "one array for each agent")
    if isinstance(listed, set | frozenset | Mapping):
        raise InvalidInput.kind("laws", laws, "in the order of agents", "Make it a list.")
    if len(listed) != len(sizes):
        rule = f"there must be {len(sizes)}"
        raise InvalidInput("laws", f"{len(listed)} arrays", rule, "Give one for each agent, (T, m_i).")
    found = np.zeros((len(pairs), sum(sizes) + len(sizes)))
    for i, m in enumerate(sizes):
        name, there = f"laws[{i}]", pairs[:, i] >= 0
        shape = _check.shape_of(name, listed[i])
        if shape not in ((len(pairs), m), (len(pairs), m + 1)):
            rule = f"it must be {by((len(pairs), m))}, steps by local pairs, or one column more, that the task ends"
            helps = "Say how many states and actions there are: n_states=, n_actions=."
            raise InvalidInput(name, f"shape {by(shape)}", rule, helps)
        _check.known(name, listed[i])
        rows = listed[i] if there.all() else np.where(there[:, None], listed[i], np.eye(1, shape[1]))
        first = sum(sizes[:i]) + i
        law = _check.probabilities(name, rows, rows=_check.LawRows(place=f"{name}, row {{}}".format))
        found[:, first : first + shape[1]] = np.where(there[:, None], law, 0.0)
    return found


def _ended(terminated: Any, steps: int) -> Bools:
    if terminated is None:
        return np.zeros(steps, dtype=np.bool_)
    said = _vector("terminated", terminated, steps)
    return real(said, np.arange(steps), TRUTH, "terminated[{}]".format) != 0.0
