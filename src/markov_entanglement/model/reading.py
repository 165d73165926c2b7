"""How the laws of a system are read: the order of their axes, rows that are rescaled on request, names on frames.

Letters: A actions, S states; "ASS" is `[a, s, t]`, "SAS" is `[s, a, t]`, each for `P(t | s, a)`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Floats
from .._labelled import Names, aligned, in_order, named, names_of
from ..errors import InvalidInput, TooLarge, by, gib
from .spaces import Labels

ORDERS = {"ASS": "(actions, states, next states)", "SAS": "(states, actions, next states)"}


class Reading:
    """What is said about the laws of one system, and what was found while they were read.

    Parameters
    ----------
    order : "ASS" or "SAS"; None: the one that is usual for the class.
    usual : the usual one; "" where there are no actions.
    normalize : whether every row is divided by its sum.
    labels : what the user gave as display names, not yet validated.
    axes : what the axes of kernels are, where they have no order to choose.
    """

    def __init__(self, order: Any, usual: str, normalize: Any, labels: Any, axes: str = "") -> None:
        self._axes = axes
        self.given = order is not None
        self.order = usual if order is None else _check.choice("order", order, ORDERS)
        self.rows = _check.rescaling(normalize)
        self._labels = labels
        self._names: dict[int, Names] = {}
        self._unclear = False

    @property
    def shift(self) -> float | None:
        """How far the row sums that were divided away missed 1 at most; None where nobody asked for that."""
        return self.rows.shift

    @property
    def _said(self) -> Mapping[str, Any]:
        """The display names that were given, as a mapping."""
        if isinstance(self._labels, Labels):
            return vars(self._labels)
        return self._labels if isinstance(self._labels, Mapping) else {}

    def labels(self, n_agents: int) -> Any:
        """The display names that were given, states completed by the names on frames."""
        given = self._labels
        if given is not None and not isinstance(given, Mapping | Labels):
            return given
        known = dict(self._said)
        found = [list(self._names.get(i) or ()) for i in range(n_agents)]
        if not any(n != [*map(str, range(len(n)))] for n in found) or known.get("states"):
            return given
        return known | {"states": found}

    def _wanted(self, agent: int, value: Any) -> Names:
        """Names of the states of an agent: the given ones, or those of the first frame, in one order for all agents."""
        states = self._said.get("states")
        if isinstance(states, list | tuple) and states:
            flat = all(isinstance(x, str) for x in states)
            mine = states if flat else states[agent] if agent < len(states) else ()
            return tuple(map(str, mine)) or None
        if self._names.get(agent) is None:
            axes = map(names_of, value if isinstance(value, list | tuple) else [value])
            own = next((in_order(found[-2]) for found in axes if len(found) > 1), None)
            alike = (n for n in self._names.values() if n and own and sorted(n) == sorted(own))
            self._names[agent] = next(alike, own)
        return self._names[agent]

    def matrix(self, name: str, value: Any, agents: int) -> Any:
        """A matrix of laws, the columns of a frame in the order of its rows; of a single agent these are its states."""
        _check.known(name, value)
        axes = names_of(value)
        rows = self._wanted(0, value) if agents == 1 else in_order(axes[0]) if axes else None
        return aligned(name, value, (rows, rows))

    def laws(self, name: str, value: Any, sizes: tuple[Any, Any], agent: int = 0) -> Any:
        """Laws in any container as a list of matrices, one for each action, or as an array (A, S, S).

        `sizes` are (A, S) where they are known, None where not.
        """
        _check.known(name, value)
        names, by_names = self._wanted(agent, value), named(value)
        value = aligned(name, value, (names, names))
        if _matrices(value):
            return self._listed(name, list(value), sizes, by_names)
        shape = _check.shape_of(name, value)
        actions, states = (n or letter for n, letter in zip(sizes, "AS", strict=True))
        want = {"ASS": (actions, states, states), "SAS": (states, actions, states)}
        other = next(o for o in ORDERS if o != self.order)
        fits = {o: _check.fits(shape, w) for o, w in want.items()}
        if fits[other] and not fits[self.order]:
            rule = f"it is read as {ORDERS[self.order]}"
            remedy = f"If it is {ORDERS[other]}, say order={other!r}."
            raise InvalidInput(name, f"shape {by(shape)}", rule, remedy)
        if not fits[self.order]:
            raise InvalidInput.shape(name, shape, want[self.order])
        self._unclear |= fits[other] and not self.given
        return np.swapaxes(np.asarray(value), 0, 1) if self.order == "SAS" else value

    def _listed(self, name: str, matrices: list[Any], sizes: tuple[Any, Any], by_names: bool) -> Any:
        """A list of matrices is one (S, S) for each action; of dense ones it may be one (A, S) for each state, unless
        the names of states stand along both axes."""
        actions, states = sizes
        shapes = [tuple(m.shape) for m in matrices]
        first, alike = shapes[0], len(set(shapes)) == 1
        square = [s == (states or s[0],) * 2 for s in shapes]
        by_action = all(square) and alike and len(shapes) == (actions or len(shapes))
        dense = not by_names and not any(map(sp.issparse, matrices))
        by_state = dense and alike and first == (actions or first[0], len(shapes))
        if by_action and by_state and not self.given:
            if self.order == "SAS":
                got, rule = (
                    f"a list of {len(shapes)} square matrices",
                    "it may list joint actions or joint states",
                )
                remedy = "Say order='ASS' for one matrix an action, order='SAS' for one a state."
                raise InvalidInput(name, got, rule, remedy)
            self._unclear = True
        if by_action and not (self.given and self.order == "SAS"):
            return matrices
        if by_state:
            return np.swapaxes(np.stack(matrices), 0, 1)
        if by_action:
            rule = "a list of matrices is one for each action"
            raise InvalidInput("order", f"'SAS' for {name}", rule, "Leave `order` out.")
        wrong = next((k for k, fits in enumerate(square) if not fits or shapes[k] != first), None)
        if wrong is not None:
            want = (states or first[0],) * 2
            raise InvalidInput.shape(f"{name}[{wrong}]", shapes[wrong], want)
        raise InvalidInput(
            name, f"{len(shapes)} matrices", f"there are {actions} actions", "Give one for each."
        )

    def local(
        self, name: str, value: Any, agent: int = 0, actions: int | None = None, *, zero: bool = False
    ) -> Floats:
        """Laws (A, S, S) of one agent; `zero` admits rows of zeros."""
        self.rows.zero = zero
        found = self.laws(name, value, (actions, None), agent)
        if _matrices(found):
            size = 8.0 * sum(math.prod(m.shape) for m in found)
            if size > tol.BYTES:
                remedy = "Use me.MultiAgentMDP, whose laws are sparse."
                raise TooLarge(name, f"{gib(size)} dense", gib(tol.BYTES), remedy)
            found = [m.toarray() if sp.issparse(m) else m for m in found]
        return _check.probabilities(name, found, shape=(actions, "S", "S"), rows=self.rows)

    def sentence(self) -> str:
        """What was read, in words."""
        axes = ORDERS[self.order] if self.order else self._axes
        words = f"kernels are {axes}" if axes else "transitions are (from, to)"
        if self._unclear:
            other = next(o for o in ORDERS if o != self.order)
            words += f", order={self.order!r}; their sizes fit order={other!r} as well, say which"
        if self.shift is not None:
            words += f"; rows were divided by their sums, which missed 1 by at most {self.shift:.3g}"
        return words


def _matrices(value: Any) -> bool:
    """Whether it is a list of matrices; nested lists are an array."""
    return isinstance(value, list | tuple) and any(
        sp.issparse(m) or (isinstance(m, np.ndarray) and m.ndim == 2) for m in value
    )


def _paid(name: str, value: Any) -> Any:
    """Finite rewards on next states, sparse where they came so."""
    if not sp.issparse(value):
        return _check.amounts(name, value)
    _check.amounts(name, value.data)
    return value


def mean_reward(
    name: str, value: Any, laws: Sequence[Any] | Floats, order: str, names: Names = None
) -> Floats | None:
    """(S, A) mean over next states of a reward on them, given in any container of laws; None: it is not one.

    `laws` are the (S, S) matrices of the actions; `order` is that of the axes where sizes cannot tell; `names` are
    those of the states.
    """
    by_names = named(value) and _check.depth(value) == 3
    if by_names:
        value = aligned(name, value, (names, names))
    actions, states = len(laws), laws[0].shape[0]
    listed = _matrices(value) and len(value) == actions and all(m.shape == (states, states) for m in value)
    if not listed and _check.depth(value) != 3:
        return None
    shape = () if listed else _check.shape_of(name, value)
    fits = [
        o
        for o, want in (("ASS", (actions, states, states)), ("SAS", (states, actions, states)))
        if shape == want
    ]
    if listed and (actions != states or by_names or any(map(sp.issparse, value))):
        fits = ["ASS"]
    reading = Reading(fits[0] if len(fits) == 1 else order, order, False, None)
    paid = [_paid(f"{name}[{k}]", r) for k, r in enumerate(reading.laws(name, value, (actions, states)))]
    means = [sp.csr_array(law).multiply(r).sum(axis=1) for law, r in zip(laws, paid, strict=True)]
    return np.stack([np.asarray(m).ravel() for m in means], axis=1)
