"""Where a run is: all that it takes to go on from there, as arrays and text."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._json import plain

if TYPE_CHECKING:
    from .agents import Walk


@dataclass
class Place:
    """How many steps after the burn-in are done, and the state of the run there; a new one is at the beginning."""

    done: int = 0
    arrays: dict[str, Any] = field(default_factory=dict)

    def enter(self, walk: Walk) -> Walk:
        """The same walk, taken here."""
        if self.done:
            a = self.arrays
            walk.keys, walk.states, walk.actions, walk.time = (
                a["keys"],
                a["states"],
                a["actions"],
                int(a["time"]),
            )
            for name, rng in (("rng", walk.rng), ("own", walk.own)):
                rng.bit_generator.state = _arrays(json.loads(str(a[name])))
        return walk

    def leave(self, walk: Walk, burn_in: int) -> None:
        """Note where the walk is."""
        self.done = walk.time - burn_in
        self.arrays = {
            "keys": walk.keys, "states": walk.states, "actions": walk.actions, "time": np.array(walk.time),
        }  # fmt: skip
        for name, rng in (("rng", walk.rng), ("own", walk.own)):
            self.arrays[name] = np.array(json.dumps(plain(rng.bit_generator.state)))


def _arrays(state: Any) -> Any:
    """The state of a generator with its lists as arrays."""
    if isinstance(state, dict):
        return {k: _arrays(x) for k, x in state.items()}
    return np.array(state, dtype=np.uint64) if isinstance(state, list) else state
