"""What was recorded of agents: steps in shards, read as often as one likes in the memory of one of them."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .._check import Ints, freeze
from .._files import own_folder
from .._journal import Journal
from .._progress import Progress, advance, reporting
from .._types import ColumnsLike
from ..errors import InvalidInput, TooLarge, Unsupported
from ..laws.source import Logged, Unit
from ..measures.entanglement import Entanglement
from ..model.spaces import Labels, Spaces
from ..runs.chunk import Chunk
from .carried import next_pairs, policy
from .entangled import of_steps, of_tally
from .parts import Known, Parts, Seen, chosen
from .shards import META, Mapped, Shard, Stored, Writer, store, write_meta
from .shards import Steps as Found
from .steps import Steps, collect

#: Numbers of one chunk; pairs up to which a log stays in memory.
_CHUNK, IN_MEMORY = 2**20, 2**23


@dataclass(frozen=True, eq=False, repr=False)
class Log(Logged):
    """Steps that were recorded; made by `me.read_logs`. Iterating gives `me.Chunk`s, so that learners fit on it.

    Attributes
    ----------
    spaces : local states and actions of each agent; a local pair is `A_i s_i + a_i`.
    labels : names of agents, local states and actions.
    shards : stretches of rows, each in memory or in a file, in order.
    steps : T, steps in which somebody was seen.
    discount : gamma, or None.
    known : what comes with the steps, some of "laws" (of next pairs) and "policy" (chances of actions).
    mode : "laws known", "policy known" or "logs only".
    left : rows of the files that are not in it, because reading was stopped.
    parts : names of what local states are made of, where that is several columns; else none.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("frozen-lake")
    >>> path = me.simulate(entry.system, entry.policy, 2000, rng=0)
    >>> log = me.read_logs(path)
    >>> log
    Log(2,000 steps, 2 agents)
    >>> me.LSTD().fit(log).steps
    2000
    """

    spaces: Spaces
    labels: Labels
    shards: tuple[Shard | Stored | Mapped, ...]
    steps: int
    gamma: float | None = None
    known: tuple[str, ...] = ()
    left: int = 0
    parted: Parts | None = field(default=None, repr=False)
    #: Keeps the folder of shards that were only written to be read again.
    kept: object = field(default=None, repr=False)

    def __repr__(self) -> str:
        stopped = f", {self.left:,} rows not read" if self.left else ""
        return f"Log({self.steps:,} steps, {len(self.units)} agents{stopped})"

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        return tuple(Unit(self.labels.agent(i), m) for i, m in enumerate(self.spaces.pair_sizes))

    @property
    def discount(self) -> float | None:
        return self.gamma

    @property
    def parts(self) -> tuple[str, ...]:
        """(C,) names of the parts of local states; none where they are one column."""
        return () if self.parted is None else self.parted.names

    @property
    def agents(self) -> tuple[str, ...]:
        """(N,) names of the agents."""
        return tuple(u.name for u in self.units)

    @property
    def length(self) -> int:
        """Rows of all shards: steps, and one after each stretch of them, in which nobody is there."""
        return sum(s.rows for s in self.shards)

    def summary(self) -> dict[str, Any]:
        return {
            "title": f"a log of {self.spaces.n_agents:,} agents", "kind": "log", "agents": self.spaces.n_agents,
            "names": list(self.agents), "pairs": None, "local_pairs": list(self.spaces.pair_sizes),
            "discount": self.gamma, "steps": self.steps,
        }  # fmt: skip

    @cached_property
    def side_by_side(self) -> Steps:
        return collect(self.chunks(), np.array(self.spaces.pair_sizes, dtype=np.int64))

    def entanglement(self, distance: str, rng: Any, classifier: Any = None) -> Entanglement:
        rng = 0 if rng is None else rng
        if distance not in self.usual:
            rule, helps = f"it tells about {' and '.join(self.usual)}", "Use 'mu-atv', or an exact chain."
            if distance == "policy":
                rule, helps = (
                    "it needs the chance of each action",
                    "Read the log with it: me.read_logs(chance=).",
                )
            raise Unsupported(f"distance {distance!r}", repr(self), rule, helps)
        if distance == "policy" or "laws" in self.known:
            if classifier is not None:
                rule = "it learns where neither laws nor chances are known"
                raise Unsupported("classifier", repr(self), rule, "Leave it out.")
            steps = self.side_by_side
            if distance == "policy":
                return policy(steps, self.units, self.spaces.n_actions)
            return next_pairs(steps, self.units)
        try:
            steps = self.side_by_side
        except TooLarge:
            if classifier is not None:
                raise
            from .count import tally

            return of_tally(tally(self, tables=("own", "partners", "joint")), self.units, rng=rng)
        return of_steps(steps, self.units, rng=rng, classifier=classifier)

    def local_names(self, u: int) -> tuple[list[str], list[str]]:
        states, actions = self.spaces.n_states[u], self.spaces.n_actions[u]
        return [self.labels.state(u, s) for s in range(states)], [
            self.labels.action(u, a) for a in range(actions)
        ]

    def seen(self, keep: tuple[str, ...]) -> Seen:
        """What is left of local pairs that show these parts."""
        assert self.parted is not None
        return self.parted.seen(keep, self.spaces, self.labels)

    def showing(self, parts: ColumnsLike) -> Log:
        """The same log in which local states show some of their parts alone; nothing is read or counted again.

        Parameters
        ----------
        parts : one of `parts`, or several.

        Raises
        ------
        InvalidInput : there is no such part. Unsupported : local states of one part.

        >>> import markov_entanglement as me
        >>> rows = {"t": [0, 1, 2], "agent": [0, 0, 0], "cell": [4, 4, 5], "status": ["free", "busy", "free"]}
        >>> log = me.read_logs(rows, states=["cell", "status"])
        >>> log.parts, log.showing("cell").local_names(0)[0]
        (('cell', 'status'), ['4', '5'])
        """
        seen = self.seen(chosen("parts", parts, self.parts, self))
        shards = tuple(Mapped(s, seen.pairs) for s in self.shards)
        return replace(self, spaces=seen.spaces, labels=seen.labels, shards=shards, parted=seen.parts)

    def chunks(self) -> Iterator[Chunk]:
        """The steps in order; a row of -1 wherever an episode begins or steps are missing.

        Raises
        ------
        InvalidInput : a shard that is not the file that was written.
        """
        sizes: Ints = freeze(np.array([self.spaces.n_states, self.spaces.n_actions], dtype=np.int64).T)
        size = max(1, _CHUNK // self.spaces.n_agents)
        for shard in self.shards:
            s = shard.load()
            for lo in range(0, s.rows, size):
                now, rows = slice(lo, lo + size), slice(lo, lo + size + 1)
                pairs = s.pairs[rows].astype(np.int64)
                chances, laws = (None if a is None else a[now] for a in (s.chances, s.laws))
                yield Chunk(
                    pairs, s.rewards[now], s.ended[now], 0, sizes, self.gamma, s.clock[rows], chances, laws
                )

    def __iter__(self) -> Iterator[Chunk]:
        return self.chunks()

    @reporting("writing a log")
    def save(self, folder: str | PathLike[str], *, progress: Progress | bool | None = None) -> None:
        """Write shards (`.npz`) and, last, `meta.json` with names, sizes and checksums; `me.read_logs` reads it.

        Raises
        ------
        InvalidInput : a folder that holds another log, or cannot be written.

        >>> import tempfile, markov_entanglement as me
        >>> log = me.read_logs(states=[[0, 1], [1, 1], [0, 0]], actions=[[0, 1], [1, 0], [0, 0]])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log.save(folder)
        ...     me.read_logs(folder)
        Log(3 steps, 2 agents)
        """
        target = new_folder(folder)
        made = []
        for k, shard in enumerate(self.shards):
            made.append(store(shard.load(), target / f"shard-{k:06d}.npz"))
            advance((k + 1) / len(self.shards))
        write_meta(target, self.about(), tuple(made))

    def about(self) -> dict[str, Any]:
        """What `meta.json` says of all shards."""
        return {
            "agents": list(self.labels.names), "states": [list(x) for x in self.labels.states],
            "actions": [list(x) for x in self.labels.actions], "n_states": list(self.spaces.n_states),
            "n_actions": list(self.spaces.n_actions), "discount": self.gamma, "steps": self.steps,
            "known": list(self.known), "left": self.left,
        } | ({} if self.parted is None else {"parts": self.parted.names, "values": self.parted.values})  # fmt: skip


class Making:
    """A log in the making: `writer` takes its steps; where these are many they go to a folder.

    With a `journal` each part of the steps is laid down: what is there can be read, and another goes on from it.
    """

    def __init__(
        self,
        known: Known,
        gamma: float | None,
        store: Any,
        cells: int,
        *,
        through: bool = False,
        journal: Journal | None = None,
        of: dict[str, Any] | None = None,
    ) -> None:
        self.of = {} if of is None else {"of": of}
        self.journal, self.done, self.left = journal, 0, cells
        self.known, self.gamma, self.store = known, gamma, store
        self.scratch = Scratch() if store is None and cells > IN_MEMORY else None
        if journal is not None:
            folder: Path | None = journal.path.parent
        elif store is not None:
            folder = new_folder(store)
        else:
            folder = None if self.scratch is None else self.scratch.folder
        self.writer = Writer(folder, np.array(known.spaces.pair_sizes), through=through)
        if journal is not None and (place := journal.read("place")):
            self.done, self.left = int(place["done"]), int(place["left"])
            self.writer.go_on(place)

    def __enter__(self) -> Making:
        return self

    def part(self, new: Found) -> None:
        """The next part of the steps."""
        self.writer.put(new)
        self.done += 1
        self.left -= int((new.pairs >= 0).sum())
        if self.journal is not None:
            self.journal.write("place", {"done": self.done, "left": self.left, **self.writer.place()})
            self._lay(self._log(tuple(self.writer.made), max(self.left, 1)))

    def _log(self, shards: tuple[Shard | Stored, ...], left: int = 0) -> Log:
        steps = self.writer.steps - (1 if left else 0)  # what follows the last step is not known yet
        known, more = self.known, self.writer.known
        return Log(
            known.spaces, known.labels, shards, steps, self.gamma, more, left, known.parts, self.scratch
        )

    def _lay(self, log: Log) -> None:
        write_meta(Path(self.store), log.about() | self.of, log.shards)  # type: ignore[arg-type]

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.log = self._log(self.writer.close())
            if self.store is not None:
                self._lay(self.log)
            if self.journal is not None:
                _remove(self.journal.path)


def new_folder(folder: Any) -> Path:
    """A folder for a log, which holds none yet."""
    found = own_folder(folder, "folder")
    if (found / META).exists():
        raise InvalidInput("folder", str(folder), "it holds a log already", "Choose another, or remove that.")
    return found


class Scratch:
    """A folder that goes away with whoever holds this."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="markov-entanglement-"))
        self._end = weakref.finalize(self, _remove, self.folder)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
