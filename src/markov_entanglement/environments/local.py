"""Local states of the agents of an environment: what a user's function says, or observations, as numbers with names."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _check
from .. import _tolerance as tol
from ..data.parts import Parts, joint
from ..errors import InvalidInput, TooLarge, short
from ..laws.source import offers
from .face import Environment, leaves

#: The local state of an agent that is away while others act.
AWAY = "away"


@dataclass(frozen=True)
class Rounded:
    """A discretiser of observations: each number of them by its nearest multiple of `width`.

    >>> import markov_entanglement as me
    >>> me.Rounded(0.5)([0.2, 0.8])
    (0.0, 1.0)
    """

    width: float

    def __post_init__(self) -> None:
        if not _check.number("width", self.width) > 0.0:
            raise InvalidInput("width", short(self.width), "it must be above 0", "E.g. 0.5.")

    def __call__(self, observation: Any) -> tuple[float, ...]:
        """The observation in multiples."""
        return tuple(x for a in leaves(_seen(observation)) for x in _rounded(a, self.width))


def _rounded(a: Any, width: float) -> list[float]:
    return [round(float(x) / width) * width + 0.0 for x in np.ravel(a)]


def _seen(observation: Any) -> Any:
    """An observation without its action mask."""
    if isinstance(observation, Mapping) and "action_mask" in observation:
        return observation.get("observation", {k: v for k, v in observation.items() if k != "action_mask"})
    return observation


@dataclass(frozen=True)
class _Parted:
    """A local state by the values of its parts."""

    values: tuple[str, ...]


class LocalStates:
    """Numbers the local states of each agent in the order in which they are first met.

    Attributes
    ----------
    names : (N,) of each agent its local states by number: a name or, where they are mappings, the value of each part.
    parts : (C,) the keys of these mappings.
    told : how local states are made, in words.
    """

    def __init__(self, face: Environment, local_state: Callable[..., Any] | None) -> None:
        if local_state is not None and not callable(local_state):
            rule = (
                "it must be a function local_state(env, agent), me.Rounded(width), or None: the observation"
            )
            raise InvalidInput("local_state", short(local_state), rule, "Pass a function.")
        self.function, self.observed = local_state, local_state is None or offers(local_state, Rounded)
        self.names: list[list[str | tuple[str, ...]]] = [[] for _ in face.agents]
        self.parts: tuple[str, ...] = ()
        self._named: list[dict[str | tuple[str, ...], int]] = [{} for _ in face.agents]
        self._known: list[dict[Hashable, int]] = [{} for _ in face.agents]
        self.told = "the observation"
        if local_state is not None:
            self.told = repr(local_state) if self.observed else getattr(local_state, "__name__", "a function")

    @property
    def labels(self) -> tuple[tuple[str, ...], ...]:
        """(N,) names of the local states of each agent, by number."""
        return tuple(tuple(n if isinstance(n, str) else joint(n) for n in names) for names in self.names)

    @property
    def parted(self) -> Parts | None:
        """What local states are made of, where that is several parts; who is away shows it in each."""
        if len(self.parts) < 2:
            return None
        wide = len(self.parts)
        return Parts(
            self.parts,
            tuple(tuple((n,) * wide if isinstance(n, str) else n for n in names) for names in self.names),
        )

    def learn(self, names: Sequence[Sequence[str | Sequence[str]]], parts: Sequence[str]) -> None:
        """Go on with the numbers of names met before."""
        self.names = [[n if isinstance(n, str) else tuple(n) for n in listed] for listed in names]
        self.parts = tuple(parts)
        self._named = [{name: k for k, name in enumerate(n)} for n in self.names]
        self._known = [{} for _ in self.names]

    def read(self, face: Environment) -> list[int]:
        """(N,) numbers of the local states now.

        Raises
        ------
        InvalidInput : what cannot be a local state, with the place. TooLarge : too many different ones.
        """
        step = face.last
        assert step is not None
        shown, out = face.shown, []
        for i, here in enumerate(step.present.tolist()):
            value: Any = AWAY
            if here:
                value = self._value(face, shown, i, step.observations[i])
            known = self._known[i].get(value)
            out.append(self._new(face, i, value) if known is None else known)
        return out

    def _value(self, face: Environment, shown: Any, i: int, observation: Any) -> Hashable:
        if self.function is None:
            return _whole(face, i, _seen(observation))
        try:
            found = self.function(observation) if self.observed else self.function(shown, face.keys[i])
            if isinstance(found, Mapping) and found:
                return self._parted(face, i, found)
            return found if isinstance(found, int | str) else _hashable(found)
        except InvalidInput:
            raise
        except Exception as e:
            got = f"{type(e).__name__}: {e} ({face.agents[i]}, {face.place})"
            rule = "local_state(env, agent) must answer for every agent that acts"
            raise InvalidInput("local_state", got, rule, "Mend the function.") from e

    def _parted(self, face: Environment, i: int, found: Mapping[Any, Any]) -> _Parted:
        """A local state with named parts, which are the same for all."""
        names = tuple(map(str, found))
        self.parts = self.parts or names
        if set(names) != set(self.parts) or len(names) != len(self.parts):
            got = (
                f"parts {', '.join(names)} of {face.agents[i]} ({face.place}), before {', '.join(self.parts)}"
            )
            rule = "a mapping names the same parts of every local state"
            raise InvalidInput("local_state", short(got)[1:-1], rule, "Return the same keys for every agent.")
        told = dict(zip(names, found.values(), strict=True))
        return _Parted(tuple(str(_hashable(told[name])) for name in self.parts))

    def _new(self, face: Environment, i: int, value: Any) -> int:
        name = value.values if offers(value, _Parted) else str(value)
        number = self._named[i].setdefault(name, len(self.names[i]))
        if number == len(self.names[i]):
            self.names[i].append(name)
            if len(self.names[i]) > tol.LOCAL_STATES:
                got = f"more than {tol.LOCAL_STATES:,} local states of {face.agents[i]}"
                raise TooLarge(
                    "local_state", got, f"{tol.LOCAL_STATES:,}", "Take coarser ones: local_state=..."
                )
        self._known[i][value] = number
        return number


def _whole(face: Environment, i: int, observation: Any) -> Hashable:
    """An observation of whole numbers as it is."""
    if isinstance(observation, int | str):
        return observation
    for a in leaves(observation):
        if a.dtype.kind == "f" and (a != np.rint(a)).any():
            got = f"an observation of {face.agents[i]} with decimals"
            rule = "observations of whole numbers are local states as they are, others need a rule"
            raise InvalidInput(
                "local_state", got, rule, "E.g. local_state=me.Rounded(0.5), or a function (env, agent)."
            )
    whole = tuple(
        int(x) if a.dtype.kind in "fiub" else str(x) for a in leaves(observation) for x in a.ravel()
    )
    return whole[0] if len(whole) == 1 else whole


def _hashable(value: Any) -> Hashable:
    """A local state as one value that can be looked up and named."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return tuple(_hashable(v) for v in value)
    if isinstance(value, Mapping):
        return tuple((str(k), _hashable(value[k])) for k in sorted(value, key=str))
    hash(value)
    return value
