"""Matrices of decision processes as other libraries hold them -> systems. Accepted by shape; nothing is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._check import Floats
from ..errors import InvalidInput, by, short
from ..model.mdp import JointChain, MultiAgentMDP
from ._given import discount_of, ends_of_numbers, flat_mdp, split


def from_mdp(
    object: Any,
    *,
    n_states: Sequence[int] | None = None,
    n_actions: Sequence[int] | None = None,
    discount: float | None = None,
    terminal: Any = None,
    restart: Any = None,
) -> MultiAgentMDP | JointChain:
    """A system from an object with matrices `P[a][s, t]`, axes (actions, from-states, to-states), as pymdptoolbox holds
    them, or `Q[s, a, t]`, axes (from-states, actions, to-states), as QuantEcon holds them; or a chain `P[s, t]`.

    Parameters
    ----------
    object : with `.P`, `.R`, `.discount` (pymdptoolbox; `R` one vector (S,) per action, or (S,), (S, A), or (A, S, S)
        for rewards that depend on the next state); with `.Q`, `.R`, `.beta` (QuantEcon's `DiscreteDP`, dense or in
        pairs of state and action; a reward of -inf marks an action that is not available); or with `.P` and
        `.state_values` (QuantEcon's `MarkovChain`).
    n_states, n_actions : how the numbers of states and actions split into agents, row-major; None: one agent.
    discount : gamma in [0, 1); None: that of the object.
    terminal, restart : where tasks end and start again: state numbers, counted from 0, or as in `MultiAgentMDP`.

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
        matrices = [_square(f"object.P[{a}]", p) for a, p in enumerate(found["P"])]
        pay = rewards_of("object.R", found["R"], matrices)
        said = found["discount"]
    elif found["P"] is not None and hasattr(object, "state_values"):
        matrix = _square("object.P", found["P"])
        return flat_chain(
            "object",
            matrix,
            n_states,
            found["state_values"],
            discount=discount,
            terminal=terminal,
            restart=restart,
        )
    else:
        rule = "it must have P, R and discount; or Q, R and beta; or P and state_values"
        raise InvalidInput("object", short(object), rule, "Pass arrays to me.MultiAgentMDP.")
    gamma = discount_of("object", discount, None if said is None else float(said))
    return flat_mdp(
        "object", matrices, pay, n_states=n_states, n_actions=n_actions, discount=gamma, terminal=terminal,
        restart=restart,
    )  # fmt: skip


def _square(name: str, value: Any) -> sp.csr_array:
    shape = _check.shape_of(name, value)
    if len(shape) != 2 or shape[0] != shape[1]:
        rule = "it must be a matrix, from-states by to-states"
        raise InvalidInput(name, f"shape {by(shape)}", rule, "Give one matrix (S, S) per action.")
    return sp.csr_array(value if sp.issparse(value) else _check.real(name, value))


def rewards_of(name: str, value: Any, matrices: list[sp.csr_array]) -> Floats:
    """(S, A) expected rewards of (S,), (S, A), one vector (S,) per action, or one matrix (S, S) per action."""
    n, many = matrices[0].shape[0], len(matrices)
    if isinstance(value, list | tuple) and len(value) == many:
        parts = [r.toarray() if sp.issparse(r) and min(r.shape) == 1 else r for r in value]
        shapes = [_check.shape_of(f"{name}[{a}]", r) for a, r in enumerate(parts)]
        if all(s == (n, n) for s in shapes):
            return expected(parts, matrices)
        if all(np.prod(s) == n for s in shapes):
            return np.stack([_check.real(f"{name}[{a}]", np.ravel(r)) for a, r in enumerate(parts)], axis=1)
    table = value.toarray() if sp.issparse(value) else value
    shape = _check.shape_of(name, table)
    if shape == (many, n, n):
        return expected(table, matrices)
    if shape in ((n,), (n, 1), (1, n)):
        return np.repeat(_check.real(name, np.ravel(table))[:, None], many, axis=1)
    return _check.real(name, table, shape=(n, many))


def expected(pay: Any, matrices: list[sp.csr_array]) -> Floats:
    """(S, A) expectations over the next state of rewards (S, S) per action."""
    found = []
    for a, (r, p) in enumerate(zip(pay, matrices, strict=True)):
        dense = r if sp.issparse(r) else _check.real(f"rewards of action {a}", r)
        found.append(np.asarray(p.multiply(dense).sum(axis=1)).ravel())
    return np.stack(found, axis=1)


def _discrete(given: Any) -> tuple[list[sp.csr_array], Floats]:
    """One matrix per action of a `DiscreteDP`, zero rows where an action is not available, and rewards (S, A)."""
    r, q = np.asarray(given.R, dtype=np.float64), given.Q
    if getattr(given, "s_indices", None) is not None:
        s, a = (np.asarray(x, dtype=np.int64) for x in (given.s_indices, given.a_indices))
        rows = sp.csr_array(q)
    else:
        shape = _check.shape_of("object.Q", q)
        if len(shape) != 3 or r.shape != shape[:2] or shape[0] != shape[2]:
            rule = "R is (S, A) and Q is (S, A, S)"
            raise InvalidInput("object.Q", f"shape {by(shape)}, R {by(r.shape)}", rule, "Check its axes.")
        s, a = (x.ravel() for x in np.indices(r.shape))
        rows, r = sp.csr_array(np.asarray(q).reshape(r.size, shape[2])), r.ravel()
    n, many, free = rows.shape[1], int(a.max()) + 1, r > -np.inf
    pay = np.zeros((n, many))
    pay[s[free], a[free]] = r[free]
    put = [np.flatnonzero((a == k) & free) for k in range(many)]
    picks = [sp.csr_array((np.ones(len(k)), (s[k], k)), shape=(n, len(a))) for k in put]
    return [sp.csr_array(pick @ rows) for pick in picks], pay


def flat_chain(name: str, matrix: Any, n_states: Any, names: Any = None, **more: Any) -> JointChain:
    """The chain of one matrix, whose numbers split into agents as said."""
    count = matrix.shape[0]
    sizes = split(name, "states", count, n_states)
    labels = {"states": [[str(v) for v in names]]} if names is not None and len(sizes) == 1 else None
    ends = ends_of_numbers(more.pop("terminal"), more.pop("restart"), count)
    return JointChain(matrix, sizes, labels=labels, **ends, **more)
