"""A run that was stopped, on file, so that it goes on to the bytes that it would have had: what was learned so far,
where the run is, and of what. Arrays and text, nothing that is run when it is read.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import __version__
from .._files import path_of, read_npz, target_of, write_bytes
from .._random import told
from ..errors import InvalidInput, Unsupported
from ..laws.source import Runs
from ..runs.chunk import Chunk
from ..runs.path import Path as Steps
from ..runs.place import Place
from .fold import Learner
from .result import LocalValues

#: What a kept run must have in common with the one that goes on from it, and what each is called.
SAME = {"learner": "learner", "system": "system", "policy": "policy", "seed": "seed", "burn_in": "burn-in",
        "discount": "discount", "version": "version of markov-entanglement"}  # fmt: skip


class Marked(Learner[Any]):
    """A learner whose state can be taken out, and put in."""

    def __init__(self, learner: Learner[Any], saved: Mapping[str, Any]) -> None:
        self.learner, self.saved, self.state, self.pool = learner, saved, None, learner.pool
        self.joint = learner.joint

    def start(self, sizes: Any, discount: float) -> Any:
        fresh = self.learner.start(sizes, discount)
        return _filled(fresh, self.saved, "state") if self.saved else fresh

    def step(self, state: Any, chunk: Chunk) -> Any:
        self.state = self.learner.step(state, chunk)
        return self.state

    def merge(self, a: Any, b: Any) -> Any:
        return self.learner.merge(a, b)

    def finish(self, state: Any) -> LocalValues:
        return self.learner.finish(state)

    def fit_counts(self, path: Steps, rewards: Any, discount: float) -> LocalValues:
        return self.learner.fit_counts(path, rewards, discount)


class Kept:
    """A file that holds a run which was stopped."""

    def __init__(
        self, path: Any, about: Mapping[str, Any], learner: Learner[Any], resume: bool, steps: int
    ) -> None:
        self.path, self.about, self.resumed = path_of(path, "keep"), dict(about), resume
        if not target_of(path, "keep").parent.is_dir():
            raise InvalidInput("keep", str(path), "its folder must exist", "Create it, or choose another.")
        saved, self.place = self._read(steps) if resume else ({}, Place())
        self.learner = Marked(learner, saved)

    def _read(self, steps: int) -> tuple[dict[str, Any], Place]:
        if not self.path.exists():
            raise InvalidInput("resume", f"no file {self.path.name}", "a run that was stopped leaves it",
                               "Leave resume out: begin anew.")  # fmt: skip
        found = read_npz("resume", self.path)
        try:
            kept = json.loads(str(found.pop("about")))
            place = Place(
                int(kept["done"]),
                {k: found.pop(k) for k in ("keys", "states", "actions", "time", "rng", "own")},
            )
            other = next((k for k in SAME if kept[k] != self.about[k]), None)
        except (KeyError, ValueError, TypeError):
            raise InvalidInput(
                "resume", self.path.name, "it must be a run that me.learn kept", "Begin anew."
            ) from None
        if other is not None:
            was, now = (str(x[other]).partition(":")[0] for x in (kept, self.about))
            told = f" ({was}, not {now})" if was != now else ""
            raise InvalidInput("resume", f"a run of another {SAME[other]}{told}", "only the same one goes on",
                               f"Give it that {SAME[other]}, or leave resume out: begin anew.")  # fmt: skip
        if place.done >= steps:
            got = f"a run of {place.done:,} steps"
            raise InvalidInput("resume", got, f"it must be shorter than {steps:,}", "Ask for more steps.")
        return found, place

    def close(self, steps: int) -> None:
        """Write the run where it was stopped before so many steps; one that ended after all goes away."""
        if self.learner.state is None or self.place.done >= steps:
            if self.resumed:
                self.path.unlink(missing_ok=True)
            return
        about = self.about | {"done": self.place.done}
        arrays = {
            "about": np.array(json.dumps(about)),
            **self.place.arrays,
            **_taken(self.learner.state, "state"),
        }
        out = io.BytesIO()
        np.savez_compressed(out, **arrays)
        write_bytes(self.path, out.getvalue())


def about(
    learner: Learner[Any], runs: Runs, rng: Any, burn_in: int, discount: float | None
) -> dict[str, Any]:
    """Of what a run is: digests of what is long."""
    made = {name: f":{_digest(x)}" for name, x in runs.made_of.items()}
    return made | {
        "learner": f"{type(learner).__name__}:{_digest(learner)}",
        "seed": told(rng),
        "burn_in": burn_in,
        "discount": runs.discount if discount is None else float(discount),
        "version": __version__,
    }


def _own(x: Any) -> dict[str, Any] | None:
    """The attributes of an object by name, without what is worked out from them; None where it has none."""
    if is_dataclass(x):
        return {f.name: getattr(x, f.name) for f in fields(x)}
    kept = getattr(x, "__dict__", None)
    if kept is None or isinstance(x, type) or callable(x):
        return None
    return {k: v for k, v in kept.items() if not isinstance(getattr(type(x), k, None), cached_property)}


def _digest(value: Any) -> str:
    """Sixteen hexadecimal digits of all numbers and words in a value."""
    found = hashlib.sha256()

    def take(x: Any) -> None:
        found.update(f"<{type(x).__name__}>".encode())
        if sp.issparse(x):
            x = sp.csr_array(x)
            x = [x.indptr, x.indices, x.data]
        if isinstance(x, np.ndarray) and x.dtype.kind in "biufU":
            found.update(f"{x.dtype.str}{x.shape}".encode() + np.ascontiguousarray(x).tobytes())
        elif x is None or isinstance(x, str | bytes | int | float | np.generic):
            found.update(repr(x).encode())
        elif isinstance(x, list | tuple | np.ndarray):
            for y in x:
                take(y)
        elif isinstance(x, Mapping) or (own := _own(x)) is not None:
            for k, y in sorted((x if isinstance(x, Mapping) else own).items(), key=lambda item: str(item[0])):  # type: ignore[union-attr]
                found.update(f"{k}=".encode())
                take(y)
        else:
            found.update(getattr(x, "__qualname__", "").encode())

    take(value)
    return found.hexdigest()[:16]


def _inside(state: Any, name: str) -> dict[str, Any] | None:
    """What a state is made of, by name; None for a number or an array, nothing for what never changes."""
    if isinstance(state, np.ndarray | np.generic | int | float):
        return None
    if isinstance(state, Mapping):
        return {f"{name}.{k}": x for k, x in state.items()}
    if isinstance(state, list | tuple):
        return {f"{name}.{k}": x for k, x in enumerate(state)}
    frozen = getattr(getattr(state, "__dataclass_params__", None), "frozen", False)
    if state is None or isinstance(state, str) or frozen:
        return {}
    if not hasattr(state, "__dict__"):
        rule = "a run is kept where its learner's state is made of arrays and numbers"
        raise Unsupported("keep", f"a state with a {type(state).__name__}", rule, "Leave keep out.")
    return {f"{name}.{k}": x for k, x in vars(state).items()}


def _taken(state: Any, name: str) -> dict[str, Any]:
    """All arrays and numbers of a state by name."""
    parts = _inside(state, name)
    if parts is None:
        return {name: np.asarray(state)}
    return {k: a for n, x in parts.items() for k, a in _taken(x, n).items()}


def _filled(state: Any, saved: Mapping[str, Any], name: str) -> Any:
    """A fresh state with the arrays and numbers that were saved."""
    parts = _inside(state, name)
    if parts is None:
        a = saved.get(name)
        if a is None or a.shape != np.shape(state) or a.dtype != np.asarray(state).dtype:
            rule = "what was learned must fit this learner and system"
            raise InvalidInput("resume", f"no {name} that fits", rule, "Leave resume out: begin anew.")
        return a if isinstance(state, np.ndarray) else type(state)(a)
    new = {k: _filled(x, saved, k) for k, x in parts.items()}
    if isinstance(state, Mapping):
        return dict(zip(state, new.values(), strict=True))
    if isinstance(state, list | tuple):
        return type(state)(*new.values()) if hasattr(state, "_fields") else type(state)(new.values())
    for k, x in new.items():
        setattr(state, k.rpartition(".")[2], x)
    return state
