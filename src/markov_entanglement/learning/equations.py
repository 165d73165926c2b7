"""All that steps say of the temporal differences of tables: `b - A f`, with `A = sum phi (phi - gamma phi')'`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Floats, Ints
from ..runs.path import Path
from .joint import Together
from .layout import Layout
from .source import arm_rewards
from .states import State


class Block(NamedTuple):
    """Tables whose differences hang together: where they stand (n, m), A (n, m, m) and b (n, m)."""

    at: Ints
    matrix: Floats
    right: Floats


@dataclass(frozen=True, eq=False)
class Equations:
    """The equations of tables in a row (M,).

    Attributes
    ----------
    layout : which agents share a table; blocks : A and b; visits : (M,) of each pair; steps : of the runs.
    """

    layout: Layout
    blocks: tuple[Block, ...]
    visits: Ints
    steps: int

    @classmethod
    def of_each(cls, state: State) -> Equations:
        """Of what `CountModel` keeps, each agent by itself."""
        return cls(state.layout, tuple(Block(*b) for b in state.normal()), state.visits, state.count)

    @classmethod
    def of_all(cls, state: Together) -> Equations:
        """Of what `JointLSTD` keeps, all agents together."""
        matrix = state.now - state.layout.discount * state.ahead
        block = Block(np.arange(state.layout.numbers)[None], matrix[None], state.paid[None])
        return cls(state.layout, (block,), state.visits, state.count)

    @classmethod
    def of_counts(
        cls, path: Path, rewards: tuple[Floats, ...] | None, discount: float, joint: bool
    ) -> Equations:
        """Of counts of arms."""
        assert path.counts is not None and path.served is not None
        types, size, steps = len(path.counts[0]), 2 * path.counts.shape[2], path.steps - 1
        layout = Layout.of(None, np.full(types, size), discount)
        at = np.arange(types * size)
        if not joint:
            flows = path.flow_total.astype(np.float64)
            n = flows.sum(axis=2)
            own = n[:, :, None] * np.eye(size) - discount * flows
            block = Block(at.reshape(types, size), own, n * np.stack(rewards or arm_rewards(path)))
            return cls(layout, (block,), path.flow_total.sum(axis=2).ravel(), steps)
        wide = np.stack([path.counts[:-1] - path.served, path.served], axis=-1).reshape(steps + 1, -1)
        paid = path.rewards.sum(axis=1) if rewards is None else wide @ np.concatenate(rewards)
        x = wide.astype(np.float64)
        matrix, right = x[:-1].T @ (x[:-1] - discount * x[1:]), x[:-1].T @ paid[:-1]
        return cls(layout, (Block(at[None], matrix[None], right[None]),), wide[:-1].sum(axis=0), steps)

    def share(self, at: Ints) -> Floats:
        """(n, m) visits of each pair, of all visits of its block's table."""
        visits = self.visits[at]
        return np.maximum(visits, 1) / np.maximum(visits.sum(axis=1, keepdims=True), 1)

    def errors(self, f: Floats) -> Floats:
        """(M,) mean TD errors of values f at each pair; 0 at pairs never left, which count 0."""
        seen, out = self.visits > 0, np.zeros(len(f))
        known = np.where(seen, f, 0.0)
        for at, matrix, right in self.blocks:
            rest = right - (matrix @ known[at][..., None])[..., 0]
            out[at] = rest / np.maximum(self.visits[at], 1)
        return np.where(seen, out, 0.0)

    def scaled(self) -> tuple[Equations, Floats, Floats]:
        """The same of `(f - shift) / scale` as means over visits, with shift and scale (M,): the constant without mean
        TD error, and the spread of the mean TD errors that it leaves."""
        shift, scale = np.zeros((2, self.layout.numbers))
        blocks = []
        for at, matrix, right in self.blocks:
            seen = self.visits[at] > 0
            total = np.maximum(self.visits[at].sum(axis=1), 1)
            flat = (matrix * seen[:, None, :]).sum(axis=2)
            alone = flat.sum(axis=1)
            c = right.sum(axis=1) / np.where(alone > 0, alone, 1.0)
            rest = right - flat * c[:, None]
            size = np.sqrt((rest**2 / np.maximum(self.visits[at], 1)).sum(axis=1) / total)
            told = size > tol.ROUNDING * np.abs(c)
            size, rest = np.where(told, size, 1.0), rest * told[:, None]
            shift[at], scale[at] = c[:, None], size[:, None]
            blocks.append(Block(at, matrix / total[:, None, None], rest / (total * size)[:, None]))
        return replace(self, blocks=tuple(blocks)), shift, scale
