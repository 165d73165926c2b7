"""Steps of a log in stretches: in memory, or in a folder of `.npz` files with `meta.json`, which names and measures
them.

A shard is what `me.Chunk` is: the last row of it is the first of the next. Where steps do not follow each other
(another episode, a gap) stands a row in which all are absent.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._check import Bools, Floats, Ints, freeze
from .._files import path_of, read_npz, read_text, write_bytes, write_text
from ..errors import InvalidInput, UserError, short
from ..model.spaces import Spaces
from .names import sizes_of

SCHEMA = 2
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
    before : (N,) pairs of the row before the first, -1 where there is none in the same task.
    chances : (B, N) probability of the recorded action under the policy that took it, or None.
    laws : (B, sum_i (m_i + 1)) law of the next pair of each agent, agent after agent, last that the task ends; or None.
    """

    pairs: Ints
    rewards: Floats
    ended: Bools
    clock: Ints
    before: Ints
    chances: Floats | None = None
    laws: Floats | None = None

    @property
    def known(self) -> tuple[str, ...]:
        """What comes with the steps, see `Recorded`."""
        return tuple(name for name, a in (("laws", self.laws), ("policy", self.chances)) if a is not None)

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
    """A shard in a file, whose content is known by its checksum.

    Attributes
    ----------
    sizes : (N,) local pairs of each agent that `meta.json` tells; () where it was not read from there.
    """

    path: Path
    rows: int
    sha256: str
    sizes: tuple[int, ...] = ()

    def load(self) -> Shard:
        """Read and check it.

        Raises
        ------
        InvalidInput : it is not the file that was written, or `meta.json` tells other sizes.
        """
        try:
            found = hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as e:
            found = f"no file that can be read ({e.strerror})"
        if found != self.sha256:
            rule = f"{META} says that its sha256 is {self.sha256[:12]}..."
            raise InvalidInput(str(self.path), short(found)[1:-1], rule, "Restore it, or save the log again.")
        arrays = read_npz(str(self.path), self.path)
        shard = Shard(**{k: freeze(a) for k, a in arrays.items()})
        if self.sizes:
            self._fits(shard.pairs)
        return shard

    def _fits(self, pairs: Ints) -> None:
        """Refuse sizes and rows of `meta.json` that are not those of the pairs."""
        with described(self.path.parent / META):
            if pairs.shape != (self.rows + 1, len(self.sizes)):
                raise ValueError(f"{self.rows} rows of {len(self.sizes)} agents for {self.path.name}")
            small = np.flatnonzero(pairs.max(axis=0, initial=-1) >= self.sizes)
            if len(small):
                i = int(small[0])
                raise ValueError(f"{self.sizes[i]} local pairs of agent {i}, fewer than in {self.path.name}")


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
    laws: Floats | None = None  # (M, sum_i (m_i + 1))


class Writer:
    """Steps, some at a time -> shards in memory or in a folder; `through`: tasks that end are followed by the next."""

    def __init__(self, folder: Path | None, sizes: Ints, *, through: bool = False) -> None:
        self.folder, self.through, self.sizes = folder, through, sizes
        self.type = np.min_scalar_type(-int(sizes.max(initial=1)))
        self.made: list[Shard | Stored] = []
        self.steps, self.known = 0, tuple[str, ...]()
        self._last: Steps | None = None
        self._before = np.full(len(sizes), -1, dtype=self.type)

    def put(self, new: Steps) -> None:
        """Go on with these steps."""
        if not len(new.clock):
            return
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
        ended = there & s.ended[at]
        if s.laws is not None:
            self._possible(pairs, ended, s.laws[at], self.steps - count + at)
        laws = None if s.laws is None else np.where(there[:, None], s.laws[at], 0.0)
        self._keep(Shard(pairs, rewards, ended, clock, self._before, chances, laws))
        self._before = np.full_like(pairs[-2], -1) if ended[-1] else pairs[-2]

    def _possible(self, pairs: Ints, ended: Bools, laws: Floats, row: Ints) -> None:
        """Refuse laws (B, sum_i (m_i + 1)) by which what followed has no chance; row (B,) is where each came from."""
        first = np.cumsum(self.sizes + 1) - self.sizes - 1
        after = np.where(ended[:, None], self.sizes, pairs[1:].astype(np.int64))
        known = (pairs[:-1] >= 0) & (after >= 0)
        chance = np.take_along_axis(laws, first + np.maximum(after, 0), axis=1)
        bad = np.argwhere(known & (chance <= 0.0))
        if len(bad):
            b, i = bad[0].tolist()
            got, helps = f"no chance of the pair that followed, {after[b, i]}", "A_i s_i + a_i"
            if ended[b]:
                got, helps = (
                    "no chance that the task ends, where it did",
                    "A_i s_i + a_i, and last that it ends",
                )
            raise InvalidInput(f"laws[{i}], row {row[b]}", got, "what happened has a chance above 0",
                               f"Check that its columns are local pairs {helps}.")  # fmt: skip

    def place(self) -> dict[str, Any]:
        """Where the writer is, in arrays, so that another goes on from here; of shards in a folder."""
        made = _listed(self.made)  # type: ignore[arg-type]
        last = {} if self._last is None else self._last._asdict()
        return {
            "made": np.array(json.dumps(made)), "steps": np.array(self.steps), "before": self._before,
            "known": np.array(json.dumps(self.known)), **{f"last.{k}": a for k, a in last.items() if a is not None},
        }  # fmt: skip

    def go_on(self, place: dict[str, Any]) -> None:
        """Be where another writer was."""
        assert self.folder is not None
        self.made = [
            Stored(self.folder / s["file"], int(s["rows"]), s["sha256"])
            for s in json.loads(str(place["made"]))
        ]
        self.steps, self.known = int(place["steps"]), tuple(json.loads(str(place["known"])))
        self._before = place["before"]
        last = {k: place.get(f"last.{k}") for k in Steps._fields}
        self._last = None if last["clock"] is None else Steps(**last)  # type: ignore[arg-type]

    def _keep(self, shard: Shard) -> None:
        self.known = shard.known
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


def _listed(shards: Iterable[Stored]) -> list[dict[str, Any]]:
    return [{"file": s.path.name, "rows": s.rows, "sha256": s.sha256} for s in shards]


def write_meta(folder: Path, about: dict[str, Any], shards: tuple[Stored, ...]) -> None:
    """What names and measures the shards; it is written last, so that a folder with it is whole."""
    text = json.dumps({"schema": SCHEMA, "kind": "log", **about, "shards": _listed(shards)}, indent=1)
    write_text(folder / META, text + "\n")


@contextmanager
def described(file: Path) -> Iterator[None]:
    """Refuse by the name of the file whatever does not describe a log in it."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        got = f"no {e}" if isinstance(e, KeyError) else str(e)
        if isinstance(e, UserError):
            got = f"{e.argument} {e.got}"
        elif isinstance(e, TypeError | AttributeError):
            got = f"entries of wrong types ({e})"
        rule = f"it must describe a log of schema 1 to {SCHEMA}, its agents, sizes, steps and shards"
        raise InvalidInput(str(file), got, rule, "Save the log again: log.save(folder).") from None


def read_meta(path: Any) -> tuple[dict[str, Any], tuple[Stored, ...]]:
    """What `meta.json` of a folder says, and its shards, which must be there."""
    folder = path_of(path)
    file = folder / META
    if not file.is_file():
        rule = f"a folder of shards has a {META}, which is written last"
        raise InvalidInput("path", str(folder), rule, "Save the log again: log.save(folder).")
    with described(file):
        meta = json.loads(read_text(file))
        if meta["kind"] != "log" or meta["schema"] not in range(1, SCHEMA + 1):
            raise ValueError(f"kind {meta['kind']!r}, schema {meta['schema']!r}")
        if meta["schema"] > 1 and not {*meta["known"]} <= {"laws", "policy"}:
            raise ValueError(f"known {meta['known']!r}")
        agents = len(meta["n_states"])
        spaces = Spaces(*(sizes_of(name, meta[name], agents) for name in ("n_states", "n_actions")))
        shards = tuple(
            Stored(folder / str(s["file"]), int(s["rows"]), str(s["sha256"]), spaces.pair_sizes)
            for s in meta["shards"]
        )
    for s in shards:
        if s.path.parent != folder or not s.path.is_file():
            raise InvalidInput(
                str(file), f"no file {s.path.name}", "all shards lie beside it", "Restore that file."
            )
    return meta, shards
