"""A network that acts: each agent takes the best of its own actions, or any legal one with chance epsilon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _check
from .._check import Bools, Floats
from ..errors import InvalidInput
from .face import Step
from .values import Network

#: Joint actions.
Actions = tuple[int | None, ...]


class View(NamedTuple):
    """What the agents make of what they see."""

    seen: tuple[Any, ...]  # (N,) observations
    q: Floats  # (N, A) values; 0 where an action is not legal
    legal: Bools  # (N, A)
    hidden: Any  # before they act
    present: Bools  # (N,)


class Actor:
    """The agents of an environment, by a network."""

    def __init__(self, network: Network, n_actions: Sequence[int], epsilon: float) -> None:
        self.network, self.n_actions, self.epsilon = network, tuple(n_actions), epsilon

    def begin(self) -> Any:
        """What is remembered at the beginning of an episode."""
        return self._said("initial", self.network.initial)

    def look(self, step: Step, hidden: Any) -> View:
        """The values of all actions now."""
        n, most = len(self.n_actions), max(self.n_actions)
        seen = tuple(o if here else None for o, here in zip(step.observations, step.present, strict=True))
        found = self._said("values", lambda: self.network.values(seen, hidden))
        if not (isinstance(found, tuple) and len(found) == 2):
            raise self._wrong(type(found).__name__, "it returns (N, A) values and what is remembered")
        q = np.asarray(found[0])
        if q.ndim != 2 or q.shape[0] != n or q.shape[1] != most or q.dtype.kind not in "fiu":
            got = f"{q.dtype} of shape {q.shape}"
            raise self._wrong(got, f"there are {n} agents with up to {most} actions: ({n}, {most}) numbers")
        legal = np.zeros((n, most), dtype=np.bool_)
        for i, count in enumerate(self.n_actions):
            if step.present[i]:
                mask = step.masks[i]
                legal[i, :count] = True if mask is None else mask
        q = np.where(legal, q[:, :most].astype(np.float64), 0.0)
        if not np.isfinite(q).all():
            i, a = np.argwhere(~np.isfinite(q))[0]
            raise self._wrong(f"{q[i, a]} for action {a} of agent {i}", "values of legal actions are finite")
        return View(seen, q, legal, found[1], step.present)

    def act(self, view: View, rng: np.random.Generator) -> Actions:
        """Joint actions, by each agent alone."""
        best = np.where(view.legal, view.q, -math.inf).argmax(axis=1)
        out: list[int | None] = []
        for i, one in enumerate(best):
            explores = self.epsilon > 0.0 and rng.random() < self.epsilon
            if not view.present[i]:
                out.append(None)
            elif explores:
                legal = np.flatnonzero(view.legal[i])
                out.append(int(legal[rng.integers(len(legal))]))
            else:
                out.append(int(one))
        return tuple(out)

    def after(self, view: View, actions: Actions) -> Any:
        """What is remembered when these are done."""
        return self._said("acted", lambda: self.network.acted(view.hidden, actions))

    def alone(self, view: View, actions: Actions) -> Floats:
        """(N,) value of each agent's action; 0 of who is away."""
        return np.array([0.0 if a is None else row[a] for row, a in zip(view.q, actions, strict=True)])

    def value(self, view: View, actions: Actions) -> float:
        """D, what the network says of joint actions."""
        q = self.alone(view, actions)
        if self.network.total is not None:
            found = self._said("total", lambda: self.network.total(q, view.seen))
            return _check.number("total", found)
        whole = float(q.sum())
        return whole / int(view.present.sum()) if self.network.combined == "mean" else whole

    def _said(self, name: str, ask: Any) -> Any:
        try:
            return ask()
        except InvalidInput:
            raise
        except Exception as e:
            raise self._wrong(
                f"{type(e).__name__}: {e} (in {name})", "it must answer what agents observe"
            ) from e

    @staticmethod
    def _wrong(got: str, rule: str) -> InvalidInput:
        return InvalidInput("network", got, rule, "Mend the network, or pass observe= where it is read.")
