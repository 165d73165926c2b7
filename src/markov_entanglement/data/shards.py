"""Steps of a log in stretches: in memory, or in a folder of `.npz` files with `meta.json`, which names and measures
them.

A shard is what `me.Chunk` is: the last row of it is the first of the next. Where steps do not follow each other
(another episode, a gap) stands a row in which all are absent.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._check import Bools, Floats, Ints, freeze
from .._files import path_of, read_npz, read_text, write_bytes, write_text
from ..errors import InvalidInput, short

SCHEMA = 1
META = "meta.json"


@dataclass(frozen=True, eq=False)
class Shard:
    """B rows of a log and the one after them.

    Attributes
    ----------
    pairs : (B + 1, N) local pair `A_i s_i + a_i` of each agent, -1 where it is absent.
    rewards : (B, N), (B, 1) shared, or (B, 0) not recorded.
    ended : (B,) the task ended with that step.
    clock : (B + 1,) step of the episode as recorded, -1 where nobody is there.
    before : (N,) pairs of the row before the first, -1 where there is none.
    chances : (B, N) probability of the recorded action under the policy that took it, or None.
    """

    pairs: Ints
    rewards: Floats
    ended: Bools
    clock: Ints
    before: Ints
    chances: Floats | None = None

    def load(self) -> Shard:
        return self

    @property
    def sha256(self) -> str:
        """Of its numbers, by which it is known again."""
        found = hashlib.sha256()
        for a in vars(self).values():
            if a is not None:
                found.update(np.ascontiguousarray(a).tobytes())
        return found.hexdigest()

    @property
    def rows(self) -> int:
        """B."""
        return len(self.ended)


@dataclass(frozen=True)
class Stored:
    """A shard in a file, whose content is known by its checksum."""

    path: Path
    rows: int
    sha256: str

    def load(self) -> Shard:
        """Read and check it.

        Raises
        ------
        InvalidInput : it is not the file that was written.
        """
        try:
            found = hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as e:
            found = f"no file that can be read ({e.strerror})"
        if found != self.sha256:
            rule = f"{META} says that its sha256 is {self.sha256[:12]}..."
            raise InvalidInput(str(self.path), short(found)[1:-1], rule, "Restore it, or save the log again.")
        arrays = read_npz(str(self.path), self.path)
        return Shard(**{k: freeze(a) for k, a in arrays.items()})


@dataclass(frozen=True, eq=False)
class Mapped:
    """A shard in which other local pairs stand; pairs : (N,) the new one (m_i + 1,) of each, and of -1."""

    of: Shard | Stored | Mapped
    pairs: tuple[Ints, ...]

    @property
    def rows(self) -> int:
        """B."""
        return self.of.rows

    @property
    def sha256(self) -> str:
        """Of the shard and of what stands for what."""
        found = hashlib.sha256(self.of.sha256.encode())
        for a in self.pairs:
            found.update(a.tobytes())
        return found.hexdigest()

    def load(self) -> Shard:
        """The shard with its other pairs."""
        found = self.of.load()
        return replace(found, pairs=mapped(found.pairs, self.pairs), before=mapped(found.before, self.pairs))


def mapped(pairs: Ints, to: Sequence[Ints]) -> Ints:
    """Local pairs (..., N) by their new numbers, those of each agent in `to`; -1 takes the last of them."""
    return freeze(np.stack([new[pairs[..., i]] for i, new in enumerate(to)], axis=-1))


class Steps(NamedTuple):
    """M steps in their order, as a reader finds them."""

    episode: Ints  # (M,) equal in one episode
    clock: Ints  # (M,) step of the episode
    pairs: Ints  # (M, N), -1 absent
    rewards: Floats  # (M, N), (M, 1) or (M, 0)
    ended: Bools  # (M,)
    chances: Floats | None = None  # (M, N)


class Writer:
    """Steps, some at a time -> shards in memory or in a folder; `through`: tasks that end are followed by the next."""

    def __init__(self, folder: Path | None, sizes: Ints, *, through: bool = False) -> None:
        self.folder, self.through = folder, through
        self.type = np.min_scalar_type(-int(sizes.max(initial=1)))
        self.made: list[Shard | Stored] = []
        self.steps = 0
        self._last: Steps | None = None
        self._before = np.full(len(sizes), -1, dtype=self.type)

    def put(self, new: Steps) -> None:
        """Go on with these steps."""
        if not len(new.clock):
            return
        if new.clock.min() < 0:
            raise InvalidInput(
                "t", str(new.clock.min()), "steps are counted from 0", "Add a number to all of them."
            )
        self.steps += len(new.clock)
        last = self._last
        if last is not None:
            both = [None if a is None else np.concatenate([a, b]) for a, b in zip(last, new, strict=True)]
            new = Steps(*both)  # type: ignore[arg-type]
        self._emit(new, close=False)

    def close(self) -> tuple[Shard | Stored, ...]:
        """The shards; the last step is followed by the absence of all."""
        if self._last is not None:
            self._emit(self._last, close=True)
        return tuple(self.made)

    def _emit(self, s: Steps, close: bool) -> None:
        joins = (np.diff(s.episode) == 0) & (np.diff(s.clock) == 1)
        if self.through:
            joins |= s.ended[:-1]
        count = len(s.clock)
        rows = np.insert(np.arange(count), np.flatnonzero(~joins) + 1, -1)
        if close:
            rows = np.append(rows, -1)
        self._last = None if close else Steps(*(None if a is None else a[-1:] for a in s))  # type: ignore[arg-type]
        if len(rows) < 2:
            return
        there, at = rows >= 0, np.maximum(rows, 0)
        pairs = np.where(there[:, None], s.pairs[at], -1).astype(self.type)
        clock = np.where(there, s.clock[at], -1)
        there, at = there[:-1], at[:-1]
        rewards = np.where(there[:, None], s.rewards[at], 0.0)
        chances = None if s.chances is None else np.where(there[:, None], s.chances[at], 1.0)
        self._keep(Shard(pairs, rewards, there & s.ended[at], clock, self._before, chances))
        self._before = pairs[-2]

    def _keep(self, shard: Shard) -> None:
        if self.folder is None:
            for a in vars(shard).values():
                if a is not None:
                    freeze(a)
            self.made.append(shard)
        else:
            self.made.append(store(shard, self.folder / f"shard-{len(self.made):06d}.npz"))


def store(shard: Shard, path: Path) -> Stored:
    """Write a shard, atomically."""
    out = io.BytesIO()
    np.savez(out, **{k: a for k, a in vars(shard).items() if a is not None})
    data = out.getvalue()
    write_bytes(path, data)
    return Stored(path, shard.rows, hashlib.sha256(data).hexdigest())


def write_meta(folder: Path, about: dict[str, Any], shards: tuple[Stored, ...]) -> None:
    """What names and measures the shards; it is written last, so that a folder with it is whole."""
    listed = [{"file": s.path.name, "rows": s.rows, "sha256": s.sha256} for s in shards]
    text = json.dumps({"schema": SCHEMA, "kind": "log", **about, "shards": listed}, indent=1)
    write_text(folder / META, text + "\n")


def read_meta(path: Any) -> tuple[dict[str, Any], tuple[Stored, ...]]:
    """What `meta.json` of a folder says, and its shards, which must be there."""
    folder = path_of(path)
    file = folder / META
    if not file.is_file():
        rule = f"a folder of shards has a {META}, which is written last"
        raise InvalidInput("path", str(folder), rule, "Save the log again: log.save(folder).")
    try:
        meta = json.loads(read_text(file))
        if meta["kind"] != "log" or meta["schema"] != SCHEMA:
            raise ValueError(f"kind {meta['kind']!r}, schema {meta['schema']!r}")
        shards = tuple(
            Stored(folder / str(s["file"]), int(s["rows"]), str(s["sha256"])) for s in meta["shards"]
        )
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        got, rule = short(f"{type(e).__name__}: {e}"), f"it must describe a log of schema {SCHEMA}"
        raise InvalidInput(str(file), got, rule, "Save the log again: log.save(folder).") from None
    for s in shards:
        if s.path.parent != folder or not s.path.is_file():
            raise InvalidInput(
                str(file), f"no file {s.path.name}", "all shards lie beside it", "Restore that file."
            )
    return meta, shards
