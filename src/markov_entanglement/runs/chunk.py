"""What a run hands on: some steps in a row, so that a run of any length needs the memory of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .. import _check
from .._check import Bools, Floats, Ints
from .._random import generator
from .._types import RNG, PolicyLike, Subject
from ..laws.source import Runs, as_source, choose


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
    clock : (B + 1,) step of the episode, -1 where nobody is there, or None: not recorded.
    chances : (B, N) probability of the action under the policy that took it, or None.
    laws : (B, sum_i (m_i + 1)) law of the next pair of each agent, agent after agent, last that the task ends; or None.
    """

    pairs: Ints
    rewards: Floats
    ended: Bools
    run: int = 0
    sizes: Ints | None = None
    discount: float | None = None
    clock: Ints | None = None
    chances: Floats | None = None
    laws: Floats | None = None

    def __repr__(self) -> str:
        return f"Chunk({len(self.ended)} steps, {self.pairs.shape[1]} agents, run {self.run})"


def chunks(
    system: Subject,
    policy: PolicyLike,
    steps: int,
    *,
    rng: RNG,
    burn_in: int = 0,
    runs: int = 1,
) -> Iterator[Chunk]:
    """The steps of R independent runs, some at a time, so that runs of any length need the memory of one chunk.

    All runs are side by side: of each stretch of steps the chunks of run 0, 1, ... R - 1 come in turn. They begin
    apart: at the start law where there is one, else every agent anywhere. Steps of one run are correlated; independent
    runs, or means over batches longer than the slowest agent remembers, give honest standard errors.

    Parameters
    ----------
    system : a system (with `policy`) or its chain, whatever its size; the agents of a bandit are its arms, type after
        type, each stepped by itself.
    policy : see `analyze`; None for a chain.
    steps : T >= 1 steps of each run, after `burn_in` steps that are dropped.
    rng : seed or numpy Generator; the same seed gives the same bytes, whatever the size of the chunks.
    runs : R >= 1.

    Returns
    -------
    Iterator of Chunk : T steps of each run in all; what learners fit on, and `sum_t` of anything.

    Raises
    ------
    InvalidInput : malformed arguments, a policy that fails.
    Unsupported : what cannot be stepped under that policy.
    TooLarge : more arms than can be stepped one by one.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> steps = me.chunks(entry.system, entry.policy, 100_000, rng=0, burn_in=100, runs=2)
    >>> me.LSTD().fit(steps).steps
    200000
    """
    many = _check.integer("steps", steps, low=1, high=2**62)
    early = _check.integer("burn_in", burn_in, low=0, high=2**62)
    count = _check.integer("runs", runs, low=1, high=2**20)
    source = choose(
        as_source(system, policy, stepped=True), Runs, "simulate", question="chunks of steps", sampled=True
    )
    return source.chunks(many, generator(rng), burn_in=early, runs=count)
