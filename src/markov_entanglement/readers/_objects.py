"""Matrices of decision processes as other libraries hold them -> systems. Accepted by shape; nothing is imported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, by, short
from ..model.mdp import JointChain, MultiAgentMDP
from ..model.reading import mean_reward
from ._given import discount_of, ends_of_numbers, flat_mdp, mean, precise, split, told


def from_mdp(
    object: Any,
    *,
    n_states: Sequence[int] | None = None,
    n_actions: Sequence[int] | None = None,
    discount: float | None = None,
    terminal: Any = None,
    restart: Any = None,
    normalize: bool = False,
) -> MultiAgentMDP | JointChain:
    """A system from an object with matrices `P[a][s, t]`, axes (actions, from-states, to-states), as pymdptoolbox holds
    them, or `Q[s, a, t]`, axes (from-states, actions, to-states), as QuantEcon holds them; or a chain `P[s, t]`.

    Parameters
    ----------
    object : with `.P`, `.R`, `.discount` (pymdptoolbox; `R` one vector (S,) per action, or (S,), (S, A), or (A, S, S)
        for rewards that depend on the next state); with `.Q`, `.R`, `.beta` (QuantEcon's `DiscreteDP`, dense or in
        pairs of state and action; a reward of -inf marks an action that is not available); or with `.P` and
        `.state_values` (QuantEcon's `MarkovChain`; each column of two-dimensional state values is an agent).
    n_states, n_actions : how the numbers of states and actions split into agents, row-major; None: one agent.
    discount : gamma in [0, 1); None: that of the object, or everything but values.
    terminal, restart : where tasks end and start again: state numbers, counted from 0, or as in `MultiAgentMDP`.
    normalize : divide every row by its sum, whatever that is; a warning says by how much the sums missed 1.

    Returns
    -------
    MultiAgentMDP, or JointChain for a chain.

    Raises
    ------
    InvalidInput : an object of another shape, sizes that do not fit, rows that are no laws.

    >>> import numpy as np, markov_entanglement as me
    >>> class Solver:
    ...     P, R, discount = np.full((2, 4, 4), 0.25), np.zeros((4, 2)), 0.9
    >>> me.from_mdp(Solver(), n_states=(2, 2), n_actions=(2, 1))
    MultiAgentMDP(2 agents, 4 joint states)
    """
    found = {k: getattr(object, k, None) for k in ("P", "Q", "R", "beta", "discount", "state_values")}
    if found["Q"] is not None and found["R"] is not None:
        matrices, pay = _discrete(object)
        said = found["beta"]
    elif found["P"] is not None and found["R"] is not None:
        if not isinstance(found["P"], list | tuple | np.ndarray) or getattr(found["P"], "ndim", 1) == 0:
            raise InvalidInput.kind("object.P", found["P"], "one matrix per action", "Pass them in a list.")
        matrices = [_square(f"object.P[{a}]", p) for a, p in enumerate(found["P"])]
        if not matrices:
            raise InvalidInput("object.P", "no matrix", "it must be one matrix per action", "Add them.")
        pay = rewards_of("object.R", found["R"], matrices)
        said = found["discount"]
    elif found["P"] is not None and hasattr(object, "state_values"):
        no_actions(n_actions)
        more = {"terminal": terminal, "restart": restart, "normalize": normalize}
        return _markov_chain(found["P"], found["state_values"], n_states, discount=discount, **more)
    else:
        rule = "it must have P, R and discount; or Q, R and beta; or P and state_values"
        raise InvalidInput("object", short(object), rule, "Pass arrays to me.MultiAgentMDP.")
    gamma = discount_of("object", discount, said)
    return flat_mdp(
        "object", matrices, pay, n_states=n_states, n_actions=n_actions, discount=gamma, terminal=terminal,
        restart=restart, normalize=normalize,
    )  # fmt: skip


def no_actions(n_actions: Any) -> None:
    """Refuse a split of actions where there are none."""
    if n_actions is not None:
        raise InvalidInput("n_actions", short(n_actions), "a chain has no actions", "Leave n_actions out.")


def _square(name: str, value: Any) -> sp.csr_array:
    shape = _check.shape_of(name, value)
    if len(shape) != 2 or shape[0] != shape[1]:
        rule = "it must be a matrix, from-states by to-states"
        raise InvalidInput(name, f"shape {by(shape)}", rule, "Give one matrix (S, S) per action.")
    return sp.csr_array(value if sp.issparse(value) else precise(name, value))


def rewards_of(name: str, value: Any, matrices: list[sp.csr_array]) -> Floats:
    """(S, A) expected rewards of (S,), (S, A), one vector (S,) per action, or one matrix (S, S) per action."""
    n, many = matrices[0].shape[0], len(matrices)
    listed = isinstance(value, list | tuple) and len(value) == many
    if listed and all(isinstance(r, np.ndarray) or sp.issparse(r) for r in value):
        parts = [r.toarray() if sp.issparse(r) and min(r.shape) == 1 else r for r in value]
        shapes = [_check.shape_of(f"{name}[{a}]", r) for a, r in enumerate(parts)]
        if all(s == (n, n) for s in shapes):
            return expected(name, parts, matrices)
        if all(np.prod(s) == n for s in shapes):
            return np.stack([_check.real(f"{name}[{a}]", np.ravel(r)) for a, r in enumerate(parts)], axis=1)
    table = value.toarray() if sp.issparse(value) else value
    shape = _check.shape_of(name, table)
    if shape == (many, n, n):
        return expected(name, list(table), matrices)
    if shape in ((n,), (n, 1), (1, n)):
        return np.repeat(_check.real(name, np.ravel(table))[:, None], many, axis=1)
    return _check.real(name, table, shape=(n, many))


def expected(name: str, pay: list[Any], matrices: list[sp.csr_array]) -> Floats:
    """(S, A) expectations over the next state of rewards (S, S) per action."""
    total = mean_reward(name, pay, matrices, "ASS")
    mass = np.stack([np.asarray(p.sum(axis=1, dtype=np.float64)).ravel() for p in matrices], axis=1)
    return mean(np.asarray(total, dtype=np.float64), mass)


def _discrete(given: Any) -> tuple[list[sp.csr_array], Floats]:
    """One matrix per action of a `DiscreteDP`, zero rows where an action is not available, and rewards (S, A)."""
    r, free = _rewards("object.R", given.R)
    shape = _check.shape_of("object.Q", given.Q)
    s, a = (getattr(given, k, None) for k in ("s_indices", "a_indices"))
    if s is None:
        if len(shape) != 3 or r.shape != shape[:2] or shape[0] != shape[2]:
            rule = "R is (S, A) and Q is (S, A, S)"
            raise InvalidInput("object.Q", f"shape {by(shape)}, R {by(r.shape)}", rule, "Check its axes.")
        s, a = (x.ravel() for x in np.indices(r.shape))
        rows = sp.csr_array(precise("object.Q", given.Q).reshape(r.size, shape[2]))
    else:
        if len(shape) != 2 or r.shape != shape[:1]:
            rule = "with s_indices, R is (pairs,) and Q is (pairs, S)"
            raise InvalidInput("object.Q", f"shape {by(shape)}, R {by(r.shape)}", rule, "Check its axes.")
        rows = sp.csr_array(given.Q if sp.issparse(given.Q) else precise("object.Q", given.Q))
        s = _indices("object.s_indices", s, len(r), shape[1])
        a = _indices("object.a_indices", a, len(r), len(r))
    n, many, r, free = rows.shape[1], int(a.max()) + 1, r.ravel(), free.ravel()
    pay = np.zeros((n, many))
    pay[s[free], a[free]] = r[free]
    put = [np.flatnonzero((a == k) & free) for k in range(many)]
    ones = np.ones(len(a), dtype=rows.dtype)
    picks = [sp.csr_array((ones[k], (s[k], k)), shape=(n, len(a))) for k in put]
    return [sp.csr_array(pick @ rows) for pick in picks], pay


def _rewards(name: str, value: Any) -> tuple[Floats, Bools]:
    """Rewards, 0 where they are -inf, and where they are not."""
    _check.shape_of(name, value)
    found = np.asarray(value)
    free = np.asarray(found != -np.inf)
    return _check.real(name, np.where(free, found, 0.0) if found.dtype.kind == "f" else found), free


def _indices(name: str, value: Any, count: int, size: int) -> Ints:
    """(count,) integers below `size`."""
    shape = _check.shape_of(name, value)
    found = np.asarray(value)
    if shape != (count,) or found.dtype.kind not in "iu" or not 0 <= found.min() <= found.max() < size:
        rule = f"it must be {count} integers in 0..{size - 1}, one per pair"
        raise InvalidInput(name, f"{found.dtype} entries of shape {by(shape)}", rule, "Mend them.")
    return found.astype(np.int64)


def _markov_chain(p: Any, values: Any, n_states: Any, **more: Any) -> JointChain:
    """A `MarkovChain`: one agent, the parts of its state numbers, or the columns of its state values."""
    matrix = _square("object.P", p)
    if not isinstance(values, np.ndarray) or values.ndim != 2 or n_states is not None:
        return flat_chain("object", matrix, n_states, values, **more)
    found = [np.unique(column, return_inverse=True) for column in values.T]
    sizes, local = tuple(len(names) for names, _ in found), np.stack([k for _, k in found], axis=1)
    count, order = len(values), np.lexsort(local.T[::-1])
    if count != matrix.shape[0] or math.prod(sizes) != count or len(np.unique(local, axis=0)) != count:
        got = f"{count} rows for {matrix.shape[0]} states, of {math.prod(sizes)} combinations"
        rule = "each combination of its columns is one state"
        raise InvalidInput("object.state_values", got, rule, "Choose a grid whose points are all there.")
    labels = {
        "states": [[f"{v:.6g}" if v.dtype.kind == "f" else str(v) for v in names] for names, _ in found]
    }
    chain = JointChain(matrix[order][:, order], sizes, labels=labels, **more)
    told("object", chain.rescaled)
    return chain


def flat_chain(name: str, matrix: Any, n_states: Any, names: Any = None, **more: Any) -> JointChain:
    """The chain of one matrix, whose numbers split into agents as said."""
    count = matrix.shape[0]
    sizes = split(name, "states", count, n_states)
    labels = None
    if names is not None and len(sizes) == 1:
        listed = isinstance(names, list | tuple) or (isinstance(names, np.ndarray) and names.ndim > 0)
        if not listed or len(names) != count:
            rule = f"it must name each of the {count} states"
            raise InvalidInput(f"{name}.state_values", short(names), rule, "Give one value per state.")
        labels = {"states": [[str(v) for v in names]]}
    ends = ends_of_numbers(more.pop("terminal"), more.pop("restart"), count)
    chain = JointChain(matrix, sizes, labels=labels, **ends, **more)
    told(name, chain.rescaled)
    return chain
