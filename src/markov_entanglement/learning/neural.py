"""Local values by neural networks, from the same sums that least squares read.

Networks are functions f of local pairs, so all that the steps say of their temporal differences are counts of moves:
with `A = sum phi (phi - gamma phi')'` and `b = sum phi r` of `CountModel` (each agent by itself) or `JointLSTD` (all
together, as VDN does: one loss on the sum), the semi-gradient over all steps is `(df/dw)' (b - A f)`. Training follows
it by Adam, with all steps in every iteration: no batch is drawn, so that neither chunks nor the order of runs matter,
and an iteration costs the same for a thousand steps and for a billion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .. import _check
from .._check import Floats, Ints, freeze
from .._random import seed_of, stream
from .._types import RNG, ArrayLike
from ..errors import InvalidInput
from ..runs.chunk import Chunk
from ..runs.path import Path
from .equations import Equations
from .fold import Learner
from .joint import JointLSTD
from .layout import Layout
from .linear import Features
from .networks import Descent, Networks, descend, torch_of
from .result import LocalValues
from .tabular import EQ_2, CountModel, answer
from .td import FAR

#: Adam's first step.
STEP = 0.03
#: Mean TD errors, over `1 - gamma` of the spread of the first ones, at which training stops.
ENOUGH = 1e-6


class Neural(Learner[Any]):
    """Neural networks for local values: TD(0) on all steps together, by Adam; needs `pip install torch`.

    Per agent, or per group of `pool`, a network from the own local pair, one-hot or by its `features`, to its value;
    hidden units are rectified. Training follows the semi-gradient towards a fixed point of TD on what the networks can
    tell apart: about Eq. 2, with `joint` about `me.additive_values`, and nothing guarantees that it gets there. What it
    reached is measured: the estimator tells the largest mean TD error at a local pair; that over `1 - gamma` bounds how
    far tables of single agents are from those of `me.LSTD()` on the same steps. Local pairs that were never left have
    values only by `features`.

    Parameters
    ----------
    hidden : widths of the hidden layers; (): linear.
    features : per agent (or per group of `pool`) an array (m_i, d_i), a row for each local pair; None: one-hot.
    joint : all networks together, one loss on their sum against the reward of all agents (VDN).
    pool : a label for each agent; those with equal labels share a network. None: own ones each.
    iterations : at most so many, each on all steps.
    step : Adam's first one; steps fall to 0 along a cosine.
    device : of torch. On a CPU the same seed gives the same bytes, for chunks of any size.
    rng : seed or numpy Generator, of the first weights.

    Raises
    ------
    MissingDependency : torch is not installed.
    InvalidInput : malformed arguments; from `fit`, features that do not fit the pairs, or values that diverge, with the
        iteration.

    >>> import markov_entanglement as me
    >>> entry = me.gallery.build("appendix-e")
    >>> path = me.simulate(entry.system, entry.policy, 1000, rng=0)
    >>> values = me.Neural((8,), rng=0).fit(path, 0.5)  # doctest: +SKIP
    >>> bool(abs(values.q(1) - me.LSTD().fit(path, 0.5).q(1)).max() < 1e-5)  # doctest: +SKIP
    True
    """

    def __init__(
        self,
        hidden: Sequence[int] = (32,),
        *,
        features: Sequence[ArrayLike] | None = None,
        joint: bool = False,
        pool: ArrayLike | None = None,
        iterations: int = 2000,
        step: float = STEP,
        device: str = "cpu",
        rng: RNG,
    ) -> None:
        of = "the widths of hidden layers"
        widths = _check.sequence("hidden", hidden, of)
        if isinstance(widths, set | frozenset):
            raise InvalidInput.kind("hidden", hidden, f"a sequence: {of}", "Pass a list.")
        self.hidden = tuple(
            _check.integer(f"hidden[{k}]", n, low=1, high=10**5) for k, n in enumerate(widths)
        )
        self.features = None if features is None else Features(features)
        self.joint, self.pool, self.device = _check.flag("joint", joint), pool, device
        self.iterations = _check.integer("iterations", iterations, low=1, high=10**9)
        self.size = _check.number("step", step)
        if self.size <= 0.0:
            raise InvalidInput("step", f"{self.size:g}", "a step is > 0", f"E.g. {STEP}, or leave it out.")
        self.seed = seed_of(rng)
        torch_of(device)
        self._sums: Learner[Any] = JointLSTD(pool=pool) if joint else CountModel(pool=pool)

    def __repr__(self) -> str:
        return f"Neural({self.hidden}{', joint=True' if self.joint else ''})"

    def start(self, sizes: Ints, discount: float) -> Any:
        state = self._sums.start(sizes, discount)
        self._phi(state.layout)
        return state

    def step(self, state: Any, chunk: Chunk) -> Any:
        return self._sums.step(state, chunk)

    def merge(self, a: Any, b: Any) -> Any:
        return self._sums.merge(a, b)

    def finish(self, state: Any) -> LocalValues:
        return self._learn(Equations.of_all(state) if self.joint else Equations.of_each(state))

    def fit_counts(self, path: Path, rewards: tuple[Floats, ...] | None, discount: float) -> LocalValues:
        """From counts of arms: a network for each type."""
        assert path.counts is not None
        found = self._learn(Equations.of_counts(path, rewards, discount, self.joint))
        return replace(found, many=path.counts[0].sum(axis=1))

    def _phi(self, layout: Layout) -> tuple[Floats, ...]:
        """(G,) features (m, d) of each table, that fit."""
        sizes = layout.pool.sizes
        return tuple(map(np.eye, sizes)) if self.features is None else self.features.fitting(sizes)

    def _learn(self, equations: Equations) -> LocalValues:
        layout, seen = equations.layout, equations.visits > 0
        nets = self._networks(layout)
        scaled, shift, scale = equations.scaled()
        gamma = layout.discount
        how = Descent(self.iterations, self.size, ENOUGH * (1.0 - gamma), FAR / (1.0 - gamma), self._diverged)
        f, count = descend(scaled, nets, how, self.device)
        f = shift + scale * f
        if self.features is not None:
            met = np.add.reduceat(seen, layout.pool.starts) > 0
            seen = np.repeat(met, layout.pool.sizes)
        words = self._words(len(layout.pool.sizes), sum(w.numel() for n in nets for w in n.weights), count)
        note = f"largest mean TD error at a local pair {np.abs(equations.errors(f)).max():.2g}"
        q = freeze(np.where(seen, f, np.nan))
        return answer(layout, q, equations.visits, equations.steps, words, note)

    def _words(self, tables: int, weights: int, count: int) -> tuple[str, str]:
        """What learned, and what it converges to."""
        shape = f"hidden layers {'-'.join(map(str, self.hidden))}" if self.hidden else "no hidden layer"
        said = f"{tables:,} {'joint ' if self.joint else ''}networks ({shape}, {weights:,} weights)"
        limit = "joint additive values (me.additive_values)" if self.joint else EQ_2
        return (
            f"{said}, {count:,} iterations of Adam from step {self.size:g}",
            f"about {limit}, without guarantee",
        )

    def _diverged(self, at: int) -> InvalidInput:
        got = f"values that left all bounds at iteration {at:,} with step {self.size:g}"
        other = "me.JointLSTD()" if self.joint else "me.LSTD()"
        rule = "values must stay within a million times what rewards allow"
        return InvalidInput("step", got, rule, f"Take the default, {STEP}, or {other}, which has no step.")

    def _networks(self, layout: Layout) -> list[Networks]:
        """Tables with as many pairs and features go side by side."""
        phi, rng = self._phi(layout), stream(self.seed, 0)
        shapes = [f.shape for f in phi]
        out = []
        for shape in sorted(set(shapes)):
            who = [g for g, s in enumerate(shapes) if s == shape]
            at = layout.pool.starts[who][:, None] + np.arange(shape[0])
            own = phi[who[0]][None] if self.features is None else np.stack([phi[g] for g in who])
            out.append(Networks(at, own, self.hidden, rng, self.device))
        return out
