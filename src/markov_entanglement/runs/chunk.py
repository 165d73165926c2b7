"""What a run hands on: some steps in a row, so that a run of any length needs the memory of one of them."""

from __future__ import annotations

from dataclasses import dataclass

from .._check import Bools, Floats, Ints


@dataclass(frozen=True, eq=False, repr=False)
class Chunk:
    """B steps of one run; its first pair is the last of the chunk before.

    Attributes
    ----------
    pairs : (B + 1, N) local pair `A_i s_i + a_i` of each agent, -1 where an agent is absent.
    rewards : (B, N) reward of each agent and step, or (B, 1) one shared by all.
    ended : (B,) True where the task ended with the step: values stop there, the next pair begins another task.
    run : which of several independent runs it continues.
    sizes : (N, 2) local states and actions of each agent, or None: not known.
    discount : gamma of the system, or None.
    """

    pairs: Ints
    rewards: Floats
    ended: Bools
    run: int = 0
    sizes: Ints | None = None
    discount: float | None = None

    def __repr__(self) -> str:
        return f"Chunk({len(self.ended)} steps, {self.pairs.shape[1]} agents, run {self.run})"
