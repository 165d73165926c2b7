"""What public functions take, by name; the checks are in `_check`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from .environments.policy import EnvironmentPolicy
    from .laws.source import Model, Source
    from .model.policy import (
        IndexPolicy,
        LocalPolicy,
        LPUpdatePolicy,
        NeighbourPolicy,
        TablePolicy,
        UniformPolicy,
    )
    from .model.spaces import Labels

__all__ = [
    "RNG",
    "ArrayLike",
    "Candidate",
    "ColumnsLike",
    "EnvironmentLike",
    "EnvironmentPolicyLike",
    "Grid",
    "Kernels",
    "LabelsLike",
    "LocalState",
    "LogLike",
    "PolicyLike",
    "RewardsLike",
    "Row",
    "RunnerLike",
    "Sizes",
    "Sparse",
    "Subject",
    "ViewsLike",
    "Work",
]  # fmt: skip


class Sparse(Protocol):
    """A sparse matrix of scipy."""

    def tocsr(self) -> Any:
        """It, by rows."""


class WithLaw(Protocol):
    """A policy of one's own that says its law."""

    @property
    def law(self) -> Callable[..., Mapping[Any, float]]:
        """State tuple, and the signal where there is one -> {action tuple: probability}."""


class WithMarginals(Protocol):
    """A policy of one's own for any number of agents."""

    @property
    def marginals(self) -> Callable[..., Sequence[ArrayLike]]:
        """States (T, N), and signals (T,) where there are some -> per agent (T, A_i) chances of its actions."""


#: A seed, or a generator that is used as it is.
RNG: TypeAlias = int | np.integer[Any] | np.random.Generator
#: A system, or a chain (what `system.under(policy)` returns).
Subject: TypeAlias = Union["Model", "Source"]
Word: TypeAlias = Literal[
    "uniform", "index", "whittle", "lp", "myopic", "lp-update", "optimal", "table", "local", "neighbour"
]
#: A word, a policy object, an array (joint states, joint actions), a callable, an object with a method of the protocol.
PolicyLike: TypeAlias = Union[
    Word, str, "UniformPolicy", "IndexPolicy", "LocalPolicy", "NeighbourPolicy", "LPUpdatePolicy", "TablePolicy",
    ArrayLike, Sparse, Callable[..., Mapping[Any, float]], WithLaw, WithMarginals, None,
]  # fmt: skip
#: One table per agent, or one joint array; sparse where it may be. Rewards also: (state, action) -> one number, with a
#: signal (state, z, action).
Kernels: TypeAlias = ArrayLike | Sparse | Sequence[ArrayLike | Sparse]
RewardsLike: TypeAlias = ArrayLike | Sequence[ArrayLike] | Callable[..., float] | None
#: An environment in PettingZoo's or Gymnasium's style; what its agents do; their local states of (env, agent).
EnvironmentLike: TypeAlias = object
EnvironmentPolicyLike: TypeAlias = Union[str, Callable[..., Any], "EnvironmentPolicy", None]
LocalState: TypeAlias = Callable[..., Any]
#: What logs are read from; one or several names of columns, numbers, or a function.
LogLike: TypeAlias = Any
ColumnsLike: TypeAlias = str | Sequence[str] | ArrayLike | Callable[[Any], Any] | None
#: Views: name -> parts of local states, or a list of parts and lists of them.
ViewsLike: TypeAlias = Mapping[str, ColumnsLike] | Sequence[ColumnsLike] | None
#: One size per agent.
Sizes: TypeAlias = Sequence[int] | NDArray[np.integer[Any]]
LabelsLike: TypeAlias = Union["Labels", Mapping[str, Sequence[str] | Sequence[Sequence[str]]], None]
#: Additive or other values: an array on pairs, one local table per unit, or a callable on tuples of local pairs.
Candidate: TypeAlias = ArrayLike | Sequence[ArrayLike] | Callable[[Any], float]


class DaskClient(Protocol):
    """A `dask.distributed.Client`."""

    @property
    def submit(self) -> Callable[..., Any]:
        """Give work to its cluster."""

    @property
    def scheduler(self) -> Any:
        """Its scheduler."""


#: "serial", "threads", "processes", "dask", the address of a scheduler, or a client.
RunnerLike: TypeAlias = str | DaskClient
#: Axis -> values, or a list of cells.
Grid: TypeAlias = Mapping[str, object] | Sequence[Mapping[str, object]]
#: A function of a cell, or the name of a question.
Work: TypeAlias = str | Callable[..., Any]
#: A cell of a sweep: what it says, what was found, and whether it failed.
Row: TypeAlias = dict[str, Any]
