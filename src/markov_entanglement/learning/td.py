"""Temporal differences online: a table and a step size, nothing else; what practice does.

With `n` earlier visits of a pair its step is `h/(h + n)`, `h = 1/(1 - gamma)`, unless another is asked for. With `1/n`
the constant part of the error decays as `n^-(1 - gamma)` only, so that at gamma = .9 a hundred thousand steps leave a
quarter of it; `h/(h + n)` has the rate `n^-1/2` that least squares have.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import _check
from .._check import Floats, Ints
from .._types import ArrayLike
from ..errors import InvalidInput, Unsupported
from ..laws.source import Space
from ..runs.chunk import Chunk
from .fold import Learner
from .kernels import Rule, Steps, Tables, differences
from .layout import Layout
from .result import LocalValues
from .states import present
from .tabular import answer, limit_of, sum_on

#: The default rule.
STEP = "h/(h+n)"
#: Values beyond this multiple of all that rewards allow never come back.
FAR = 1e6


@dataclass(frozen=True)
class StepSize:
    """How steps shrink: the rule, whether iterates are averaged, and what is said of it."""

    rule: Rule
    averaged: bool
    said: str

    @property
    def constant(self) -> bool:
        """Whether it never shrinks."""
        return self.rule.constant > 0.0

    @classmethod
    def of(cls, step: Any, discount: float) -> StepSize:
        """From a word or a number."""
        if isinstance(step, str):
            text = step.replace(" ", "")
            if text == STEP:
                return cls(Rule(1.0 / (1.0 - discount), 0.0, 0.0), False, f"step {STEP}")
            if text == "1/n":
                return cls(Rule(0.0, 1.0, 0.0), False, "step 1/n")
            found = re.fullmatch(r"n\^-(0?\.\d+)", text)
            if found and 0.5 < float(found[1]) < 1.0:
                return cls(Rule(0.0, float(found[1]), 0.0), True, f"step {text}, iterates averaged")
            raise InvalidInput("step", repr(step), f"'{STEP}', '1/n', 'n^-0.7' (a power in .5..1) or a number > 0",
                               f"Take '{STEP}'.")  # fmt: skip
        size = _check.number("step", step)
        if size <= 0.0:
            raise InvalidInput("step", f"{size:g}", "a step is > 0", "E.g. step=0.05, or leave it out.")
        return cls(Rule(0.0, 0.0, size), False, f"constant step {size:g}")


class Progressing:
    """Tables on their way; `tables.q` changes with every step."""

    def __init__(self, layout: Layout, step: StepSize) -> None:
        n, groups = layout.numbers, len(layout.pool.sizes)
        self.layout, self.step, self.count, self.rows = layout, step, 0, 0
        whole = [np.zeros(n, np.int64) for _ in range(3)]
        self.tables = Tables(np.zeros(n), whole[0], np.zeros(int(layout.sizes.sum())), np.zeros(n), whole[1], whole[2],
                             np.zeros(groups, np.int64), np.zeros(1))  # fmt: skip

    @property
    def found(self) -> Floats:
        """(M,) values, averaged over time since the first visit where that is asked for."""
        t = self.tables
        q = t.q
        if self.step.averaged:
            now = np.repeat(t.clock, self.layout.pool.sizes)
            q = (t.area + q * (now - t.since)) / np.maximum(now - t.begun, 1)
        return np.where(t.visits > 0, q, np.nan)


def diverged(step: StepSize, at: int, other: str) -> InvalidInput:
    """The refusal of a run that left all bounds; `other` has no step."""
    remedy = (
        f"Take the default, '{STEP}', or {other}." if step.constant else f"Take {other}, which has no step."
    )
    got = f"values that left all bounds at step {at:,} with {step.said.partition(',')[0]}"
    return InvalidInput("step", got, "values must stay within a million times what rewards allow", remedy)


class Online(Learner[Any]):
    """A learner whose state depends on the order of the steps."""

    trace: float
    #: What does the same without a step.
    other: ClassVar[str]

    @abstractmethod
    def _run(self, state: Any, steps: Steps, bound: float) -> int:
        """Take the steps; the one at which a value left so many times the largest reward, or -1."""

    @abstractmethod
    def _told(self, state: Any) -> tuple[str, str, Ints]:
        """Its name, what it converges to, and visits (M,)."""

    def step(self, state: Any, chunk: Chunk) -> Any:
        at = self._run(state, state.layout.steps(chunk), FAR / (1.0 - state.layout.discount))
        if at >= 0:
            raise diverged(state.step, state.rows + at, self.other)
        state.rows += len(chunk.ended)
        state.count += present(chunk)
        return state

    def finish(self, state: Any) -> LocalValues:
        name, limit, visits = self._told(state)
        about = "the neighbourhood of " if state.step.constant else ""
        words = f"{name}({self.trace:g}), {state.step.said}", about + limit
        return answer(state.layout, state.found, visits, state.count, words, "")

    def merge(self, a: Any, b: Any) -> Any:
        name = type(self).__name__
        raise Unsupported(name, "several runs", "tables that learn online cannot be merged",
                          f"Give it the chunks of one run, or take me.{name.replace('TD', 'LSTD')}.")  # fmt: skip


class TD(Online):
    """Temporal differences; with steps that shrink they converge to `me.value_decomposition(..., trace=lam)`.

    That is Eq. 2 for trace 0 only. Traces are Dutch ones, which no step up to 1 makes unstable. It takes one run only:
    tables that depend on the order of steps cannot be merged.

    Parameters
    ----------
    trace : lam in 0..1.
    step : "h/(h+n)" with h = 1/(1 - gamma) and n earlier visits of the pair; "1/n" (converges far more slowly for a
        discount near 1); "n^-0.7" or another power in .5..1, with averaged iterates; or a constant.
    pool : a label for each agent; those with equal labels share a table. None: one table each.

    Raises
    ------
    InvalidInput : a trace or step that is none of these; from `fit`, a run that diverges, with its step.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> path = me.simulate(entry.system, entry.policy, 1000, rng=0)
    >>> me.TD().fit(path, 0.5).estimator
    'TD(0), step h/(h+n), 999 steps; converges to Eq. 2 (me.value_decomposition)'
    """

    other = "me.LSTD()"

    def __init__(
        self, trace: float = 0.0, step: str | float = STEP, *, pool: ArrayLike | None = None
    ) -> None:
        self.trace, self.size, self.pool = _check.trace(trace), step, pool
        StepSize.of(step, 0.0)

    def __repr__(self) -> str:
        return f"TD(trace={self.trace:g}, step={self.size!r})"

    def start(self, sizes: Ints, discount: float) -> Progressing:
        return Progressing(Layout.of(self.pool, sizes, discount), StepSize.of(self.size, discount))

    def _run(self, state: Progressing, steps: Steps, bound: float) -> int:
        way, gamma = state.step, state.layout.discount
        return int(differences(steps, state.tables, way.rule, gamma, float(self.trace), way.averaged, bound))

    def _told(self, state: Progressing) -> tuple[str, str, Ints]:
        return "TD", limit_of(self.trace), state.tables.visits

    def limit_on(self, space: Space, discount: float) -> Floats:
        return sum_on(space, discount, self.trace)
