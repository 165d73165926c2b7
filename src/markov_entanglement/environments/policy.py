"""What the agents of an environment do: a word, a function of observations, or an object that remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .._check import Floats
from ..errors import InvalidInput, short
from ..laws.source import offers
from .face import Environment, Step


class EnvironmentPolicy:
    """What all agents do, step after step; a subclass writes `act`, and what it knows beside.

    Attributes
    ----------
    name : as it is told in results.
    memory : what it remembers within an episode (a net's hidden state), or None; snapshots keep it, so that it is
        replaced and never changed in place.
    """

    name = "policy"
    memory: Any = None

    def __init__(self) -> None:
        pass

    def begin(self) -> None:
        """A new episode begins."""
        self.memory = None

    def act(self, step: Step, rng: np.random.Generator) -> Sequence[int | None]:
        """(N,) actions 0..A_i - 1, None of who is away."""
        raise NotImplementedError

    def laws(self, step: Step) -> list[Floats | None] | None:
        """(N,) probabilities (A_i,) of each agent's action given what all see; None: not known."""
        return None


class Anything(EnvironmentPolicy):
    """Every legal action alike, each agent for itself."""

    name = "uniform"

    def __init__(self, face: Environment) -> None:
        self.face = face

    def laws(self, step: Step) -> list[Floats | None]:
        out: list[Floats | None] = []
        for i, mask in enumerate(step.masks):
            legal = np.ones(self.face.n_actions[i]) if mask is None else mask.astype(np.float64)
            out.append(legal / legal.sum() if step.present[i] else None)
        return out

    def act(self, step: Step, rng: np.random.Generator) -> list[int | None]:
        return [_drawn(law, rng) for law in self.laws(step)]


class Function(EnvironmentPolicy):
    """A function of the observations of all who act, by the environment's names, and of a generator: for each agent an
    action, or the probabilities of its actions."""

    def __init__(self, face: Environment, function: Callable[..., Any]) -> None:
        self.face, self.function = face, function
        self.name = getattr(function, "__name__", type(function).__name__)
        self._lawful: bool | None = None

    def _answer(self, step: Step, rng: np.random.Generator) -> list[Any]:
        face = self.face
        seen = {k: o for k, o, here in zip(face.keys, step.observations, step.present, strict=True) if here}
        try:
            found = self.function(seen, rng)
        except InvalidInput:
            raise
        except Exception as e:
            rule = "policy(observations, rng) must answer every observation that occurs"
            raise InvalidInput(
                "policy", f"{type(e).__name__}: {e} ({face.place})", rule, "Mend the policy."
            ) from e
        if isinstance(found, Mapping):
            lost = [k for k in seen if k not in found]
            if lost:
                rule = "every agent that acts has an action"
                raise InvalidInput(
                    "policy", f"no action of {short(lost[0])} ({face.place})", rule, "Mend the policy."
                )
            return [found.get(k) for k in face.keys]
        if not isinstance(found, list | tuple | np.ndarray):
            rule = "it returns agent -> action, or one action for each agent in order"
            raise InvalidInput("policy", f"{short(found)} ({face.place})", rule, "Mend the policy.")
        return list(found)

    def _laws(self, step: Step, answer: list[Any]) -> list[Floats | None] | None:
        """The answer as probabilities; None where it holds actions."""
        out: list[Floats | None] = []
        for i, value in enumerate(answer):
            if not step.present[i]:
                out.append(None)
                continue
            law = np.asarray(value)
            if law.ndim != 1 or law.dtype.kind != "f":
                return None
            if law.shape != (self.face.n_actions[i],) or not abs(law.sum() - 1.0) < 1e-6 or (law < 0).any():
                got = f"probabilities {short(value)} of {self.face.agents[i]} ({self.face.place})"
                rule = f"they are {self.face.n_actions[i]} numbers >= 0 that sum to 1"
                raise InvalidInput("policy", got, rule, "Mend the policy.")
            mask = step.masks[i]
            law = law.astype(np.float64) if mask is None else np.where(mask, law, 0.0)
            if not law.sum() > 0.0:
                got = f"no legal action of {self.face.agents[i]} ({self.face.place})"
                raise InvalidInput("policy", got, "some legal action has a chance", "Obey the action mask.")
            out.append(law / law.sum())
        return out

    def laws(self, step: Step) -> list[Floats | None] | None:
        if self._lawful is False:
            return None
        return self._laws(step, self._answer(step, np.random.default_rng(0)))

    def act(self, step: Step, rng: np.random.Generator) -> list[Any]:
        answer = self._answer(step, rng)
        found = self._laws(step, answer)
        self._lawful = found is not None
        return answer if found is None else [_drawn(law, rng) for law in found]


def _drawn(law: Floats | None, rng: np.random.Generator) -> int | None:
    """An action by its law."""
    return None if law is None else int(np.searchsorted(np.cumsum(law)[:-1], rng.random(), side="right"))


def policy_of(value: Any, face: Environment) -> EnvironmentPolicy:
    """The policy that was given.

    Raises
    ------
    InvalidInput : neither "uniform", nor a function `policy(observations, rng)`, nor an `EnvironmentPolicy`.
    """
    if offers(value, EnvironmentPolicy):
        known: EnvironmentPolicy = value
        return known
    if isinstance(value, str) and value == "uniform":
        return Anything(face)
    if not callable(value):
        rule = (
            "it must be 'uniform' or a function policy(observations, rng) -> agent -> action or probabilities"
        )
        raise InvalidInput("policy", short(value), rule, "E.g. policy='uniform'.")
    return Function(face, value)
