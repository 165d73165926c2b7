"""Other people's networks: what each agent's actions are worth by its network, whatever made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, Union, runtime_checkable

import numpy as np

from .. import _check
from .._check import Floats
from ..errors import InvalidInput, short
from ..laws.source import offers
from ..report.result import Brief
from .face import leaves

#: Steps of an episode at most.
LONGEST = 10**7
#: How values of single agents become a value of all.
COMBINED = {"sum": "a sum", "mean": "a mean", "mixer": "a mixer"}


@runtime_checkable
class ActionValues(Protocol):
    """The one protocol: `values(observations, hidden) -> (N, A), hidden`."""

    def values(self, observations: Sequence[Any], hidden: Any) -> tuple[Any, Any]: ...


#: (observations, hidden) -> (N, A) values, hidden; what is remembered at first, and after actions; what a mixer makes.
Values: TypeAlias = Callable[[Sequence[Any], Any], tuple[Any, Any]]
Initial: TypeAlias = Callable[[], Any]
Acted: TypeAlias = Callable[[Any, Sequence[int | None]], Any]
Total: TypeAlias = Callable[[Floats, Sequence[Any]], Any]
#: From an observation to what was trained on; a field of `Network`; and what becomes one.
Observe: TypeAlias = Callable[[Any], Any]
Said: TypeAlias = Any
NetworkLike: TypeAlias = Union["Network", ActionValues, Callable[[Sequence[Any]], Any]]


def _nothing() -> Any:
    """Nothing is remembered."""
    return None


def _same(hidden: Any, actions: Sequence[int | None]) -> Any:
    """What was done is not remembered."""
    return hidden


@dataclass(frozen=True, eq=False, repr=False)
class Network(Brief):
    """Values of the N agents' own actions, by networks: (N, A) from what they observe and what they remember.

    Attributes
    ----------
    values : (observations (N,), hidden) -> (N, A) values, reward units, and hidden after. The observation of an agent
        that is away is None; what is said of it, and of actions that it may not take, is not read.
    initial : () -> hidden at the beginning of an episode.
    acted : (hidden, actions (N,)) -> hidden, for networks that read what was done last.
    combined : "sum" (VDN, independent learners with a reward each), "mean" (independent learners that are all paid the
        one reward), or "mixer" (QMIX).
    total : with a mixer, (values (N,) of the actions taken, observations (N,)) -> one value.
    recurrent : whether hidden carries the past, so that what an agent sees is its whole history.
    discount : gamma that it was trained with, or None: not known.
    horizon : steps after which training cut an episode, or None.
    through : whether training took values to go on beyond that cut.
    pay : "sum" or "mean" of the agents' rewards, what all were paid.
    reward_units : (mean, standard deviation) of rewards that were standardised; None: they were not, (nan, nan): they
        were, by numbers that nobody kept.
    name : as reports call it.
    """

    values: Values
    initial: Initial = _nothing
    acted: Acted = _same
    combined: str = "sum"
    total: Total | None = None
    recurrent: bool = False
    discount: float | None = None
    horizon: int | None = None
    through: bool = False
    pay: str = "sum"
    reward_units: tuple[float, float] | None = None
    name: str = "network"

    def __post_init__(self) -> None:
        if not callable(self.values):
            rule = "a function (observations, hidden) -> (N, A) values, hidden"
            raise InvalidInput.kind("values", self.values, rule, "Pass a function.")
        _check.choice("combined", self.combined, COMBINED)
        _check.choice("pay", self.pay, ("sum", "mean"))
        if (self.total is None) == (self.combined == "mixer"):
            got = f"combined={self.combined!r} {'without' if self.total is None else 'with'} total"
            rule = "a mixer, and nothing else, has a function total"
            raise InvalidInput("combined", got, rule, "Give combined='mixer' and total=, or neither.")
        if self.discount is not None:
            _check.discount(self.discount)
        if self.horizon is not None:
            _check.integer("horizon", self.horizon, low=1, high=LONGEST)

    def _brief(self) -> str:
        memory = ", with memory" if self.recurrent else ""
        return f"{self.name}: {COMBINED[self.combined]} of values of actions{memory}"


def network_of(given: NetworkLike) -> Network:
    """A network, an object with `values`, or a function of observations alone.

    Raises
    ------
    InvalidInput : nothing of these.
    """
    if type(given) is Network:
        return given
    if offers(given, ActionValues):
        found = {k: getattr(given, k) for k in ("values", "initial", "acted") if hasattr(given, k)}
        return Network(**found, recurrent="initial" in found, name=type(given).__name__)
    if callable(given):
        return Network(lambda seen, hidden: (given(seen), hidden), name=getattr(given, "__name__", "network"))
    rule = "it must be a me.Network, have values(observations, hidden), or be a function of observations -> (N, A)"
    raise InvalidInput("network", short(given), rule, "Files are read by me.read_pymarl and me.read_mlp.")


def rows(observations: Sequence[Any], observe: Observe | None = None) -> Floats:
    """(N, d) observations as rows of numbers, shorter ones filled up with zeros; of who is away all are 0."""
    found = [None if seen is None else _flat(seen, observe) for seen in observations]
    width = max((len(x) for x in found if x is not None), default=0)
    out = np.zeros((len(found), width))
    for row, x in zip(out, found, strict=True):
        if x is not None:
            row[: len(x)] = x
    return out


def _flat(seen: Any, observe: Callable[[Any], Any] | None) -> Floats:
    if observe is not None:
        seen = observe(seen)
    elif isinstance(seen, Mapping) and "action_mask" in seen:
        seen = {k: v for k, v in seen.items() if k != "action_mask"}
    try:
        return np.concatenate([a.ravel().astype(np.float64) for a in leaves(seen)])
    except (TypeError, ValueError) as e:
        rule = "networks read numbers"
        remedy = "Pass observe=, a function from an observation to a row of numbers."
        raise InvalidInput("observation", short(seen), rule, remedy) from e
