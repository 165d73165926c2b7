"""Policies on the spaces of one system: the form that engines see."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints
from ..errors import InvalidInput, TooLarge, Unsupported
from .policy import IndexPolicy, LocalPolicy, TablePolicy, UniformPolicy
from .spaces import Spaces, ravel, unravel

if TYPE_CHECKING:
    from .system import System


class BoundPolicy:
    """A policy on the spaces of one system; subclasses give `table`, the rest follows."""

    def __init__(self, spaces: Spaces) -> None:
        self.spaces = spaces

    def table(self, states: Ints) -> sp.csr_array:
        """Probabilities (T, joint actions), sparse, of the local states (T, N)."""
        raise NotImplementedError

    def law(self, state: Sequence[int]) -> dict[tuple[int, ...], float]:
        """Action tuple -> probability at one joint state."""
        row = sp.coo_array(self.table(np.asarray([state], dtype=np.int64)))
        actions = unravel(row.coords[1].astype(np.int64), self.spaces.n_actions)
        return {tuple(map(int, a)): float(p) for a, p in zip(actions, row.data, strict=True)}

    def marginals(self, states: Ints) -> list[Floats]:
        """`pi(a_i|s)`: one array (T, A_i) per agent."""
        coo = sp.coo_array(self.table(states))
        actions = unravel(coo.coords[1].astype(np.int64), self.spaces.n_actions)
        out = []
        for i, k in enumerate(self.spaces.n_actions):
            flat = coo.coords[0].astype(np.int64) * k + actions[:, i]
            out.append(_check.sums_by(flat, coo.data, len(states) * k).reshape(len(states), k))
        return out

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        """One joint action (T, N) per row of `states`."""
        table = self.table(states)
        u = rng.random(len(states))
        chosen = np.empty(len(states), dtype=np.int64)
        for t in range(len(states)):
            lo, hi = table.indptr[t], table.indptr[t + 1]
            k = np.searchsorted(np.cumsum(table.data[lo:hi]), u[t], side="right")
            chosen[t] = table.indices[min(lo + k, hi - 1)]
        return unravel(chosen, self.spaces.n_actions)


class _Table(BoundPolicy):
    def __init__(self, spaces: Spaces, matrix: sp.csr_array) -> None:
        super().__init__(spaces)
        self.matrix = matrix

    def table(self, states: Ints) -> sp.csr_array:
        return self.matrix[ravel(states, self.spaces.n_states)]


class _Uniform(BoundPolicy):
    def __init__(self, spaces: Spaces, feasible: Callable[[Ints], sp.csr_array]) -> None:
        super().__init__(spaces)
        self.feasible = feasible

    def table(self, states: Ints) -> sp.csr_array:
        t = sp.csr_array(self.feasible(states), dtype=np.float64)
        counts = np.diff(t.indptr)
        t.data = np.repeat(1.0 / np.maximum(counts, 1), counts)
        return t


class _Product(BoundPolicy):
    def __init__(self, spaces: Spaces, tables: tuple[Floats, ...]) -> None:
        super().__init__(spaces)
        shapes = tuple(t.shape for t in tables)
        want = tuple(zip(spaces.n_states, spaces.n_actions, strict=True))
        if shapes != want:
            raise InvalidInput(
                "policy",
                f"local tables of shapes {shapes}",
                f"they must be {want}",
                "Give one (S_i, A_i) table per agent.",
            )
        self.tables = tables

    def marginals(self, states: Ints) -> list[Floats]:
        return [t[states[:, i]] for i, t in enumerate(self.tables)]

    def table(self, states: Ints) -> sp.csr_array:
        out = np.ones((len(states), 1))
        guard_table(len(states), self.spaces)
        for m in self.marginals(states):
            out = (out[:, :, None] * m[:, None, :]).reshape(len(states), -1)
        return sp.csr_array(out)


class _FromLaw(BoundPolicy):
    """A user's callable or object with `law(state)`; each answer is validated."""

    def __init__(self, spaces: Spaces, law: Callable[[tuple[int, ...]], Any], user: Any) -> None:
        super().__init__(spaces)
        self._law = law
        self._user = user

    def table(self, states: Ints) -> sp.csr_array:
        rows, columns, data = [], [], []
        for t, s in enumerate(states):
            state = tuple(int(k) for k in s)
            try:
                law = self._law(state)
            except Exception as e:
                raise InvalidInput(
                    "policy",
                    f"{type(e).__name__}: {e} at state {state}",
                    "it must answer every joint state",
                    "Mend the policy.",
                ) from e
            if not isinstance(law, Mapping) or not law:
                raise InvalidInput(
                    "policy",
                    f"{law!r} at state {state}",
                    "it must return {action tuple: probability}",
                    "Give every joint state a law.",
                )
            total = 0.0
            for action, p in law.items():
                self._check_action(action, p, state)
                total += float(p)
                if p > 0:
                    rows.append(t)
                    columns.append(action)
                    data.append(float(p))
            if abs(total - 1.0) > tol.ROW_SUM:
                raise InvalidInput(
                    "policy",
                    f"probabilities that sum to {total:.9g} at state {state}",
                    "they must sum to 1",
                    "Divide them by their sum.",
                )
        index = ravel(
            np.asarray(columns, dtype=np.int64).reshape(-1, self.spaces.n_agents), self.spaces.n_actions
        )
        table = sp.csr_array((data, (rows, index)), shape=(len(states), self.spaces.joint_actions))
        return _rescale(table)

    def _check_action(self, action: Any, p: Any, state: tuple[int, ...]) -> None:
        sizes = self.spaces.n_actions
        if (
            not isinstance(action, tuple)
            or len(action) != len(sizes)
            or not all(isinstance(a, numbers.Integral) for a in action)
            or not all(0 <= a < k for a, k in zip(action, sizes, strict=True))
        ):
            raise InvalidInput(
                "policy",
                f"action {action!r} at state {state}",
                f"actions are tuples within the sizes {sizes}",
                "Mend the action.",
            )
        if _check.number(f"policy at state {state}", p) < 0:
            raise InvalidInput(
                "policy",
                f"probability {p} at state {state}",
                "probabilities are >= 0",
                "Mend that probability.",
            )

    def marginals(self, states: Ints) -> list[Floats]:
        if hasattr(self._user, "marginals"):
            return [
                _check.probabilities(f"policy.marginals[{i}]", m, shape=(len(states), k))
                for i, (m, k) in enumerate(
                    zip(self._user.marginals(states), self.spaces.n_actions, strict=True)
                )
            ]
        return super().marginals(states)


class _Index(BoundPolicy):
    def __init__(self, spaces: Spaces, policy: IndexPolicy, budget: int) -> None:
        super().__init__(spaces)
        if any(k != 2 for k in spaces.n_actions):
            raise Unsupported(
                "policy",
                f"local action counts {spaces.n_actions}",
                "an index policy needs two actions per agent",
                "Use another policy.",
            )
        self.ranks = policy.ranks(spaces.n_agents)
        for i, (r, k) in enumerate(zip(self.ranks, spaces.n_states, strict=True)):
            if len(r) != k:
                raise InvalidInput(
                    "priority",
                    f"{len(r)} entries for agent {i}",
                    f"agent {i} has {k} local states",
                    "One priority per local state.",
                )
        self.budget = budget

    def split(self, states: Ints) -> tuple[Ints, Ints, Ints]:
        """Masks (T, N) of agents served surely and of the marginal class, and how many of it are served."""
        rank = np.stack([r[states[:, i]] for i, r in enumerate(self.ranks)], axis=1)
        if self.budget == 0:
            none = np.zeros_like(rank)
            return none, none, none[:, 0]
        marginal = np.sort(rank, axis=1)[:, self.budget - 1 : self.budget]
        sure, tied = rank < marginal, rank == marginal
        return sure.astype(np.int64), tied.astype(np.int64), self.budget - sure.sum(axis=1)

    def marginals(self, states: Ints) -> list[Floats]:
        sure, tied, left = self.split(states)
        p = sure + tied * (left / np.maximum(tied.sum(axis=1), 1))[:, None]
        return [np.stack([1.0 - p[:, i], p[:, i]], axis=1) for i in range(self.spaces.n_agents)]

    def table(self, states: Ints) -> sp.csr_array:
        sure, tied, left = self.split(states)
        n = self.spaces.n_agents
        patterns, which = np.unique(sure + 2 * tied, axis=0, return_inverse=True)
        which = which.reshape(-1)
        base = 2 ** np.arange(n - 1, -1, -1, dtype=np.int64)
        first = np.zeros(len(patterns), dtype=np.int64)
        first[which] = left
        sizes = [math.comb(int((p == 2).sum()), int(k)) for p, k in zip(patterns, first, strict=True)]
        total = int(np.asarray(sizes, dtype=np.float64)[which].sum())
        if total * 16 > tol.BYTES:
            raise TooLarge(
                "policy table",
                f"{total:.3g} supported pairs",
                f"{tol.BYTES / 16:.3g}",
                "Use me.RestlessBandit, which works on counts.",
            )
        served = [
            np.array(
                [base[list(c)].sum() for c in itertools.combinations(np.flatnonzero(p == 2), int(k))],
                dtype=np.int64,
            )
            + base[p == 1].sum()
            for p, k in zip(patterns, first, strict=True)
        ]
        counts = np.asarray(sizes, dtype=np.int64)[which]
        indices = np.concatenate([np.sort(served[g]) for g in which]) if len(which) else np.zeros(0, int)
        data = np.repeat(1.0 / counts, counts)
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return sp.csr_array((data, indices, indptr), shape=(len(states), 2**n))

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        sure, tied, left = self.split(states)
        order = np.argsort(np.where(tied == 1, rng.random(tied.shape), 2.0), axis=1)
        place = np.argsort(order, axis=1)
        return sure + tied * (place < left[:, None])


def guard_table(n_states: int, spaces: Spaces) -> None:
    """Refuse a dense (states, joint actions) table that would not fit."""
    size = n_states * spaces.joint_actions
    if size * 8 > tol.BYTES:
        raise TooLarge(
            "policy table",
            f"{n_states} states x {spaces.joint_actions:.3g} joint actions",
            f"{tol.BYTES / 1024**3:.0f} GiB",
            "Use a policy with fewer supported actions.",
        )


def _rescale(table: sp.csr_array) -> sp.csr_array:
    sums = np.asarray(table.sum(axis=1)).ravel()
    table.data /= np.repeat(sums, np.diff(table.indptr))
    return table


def bind(policy: Any, system: System) -> BoundPolicy:
    """The policy on the spaces of `system`, in the one form that engines see."""
    spaces = system.spaces
    if isinstance(policy, BoundPolicy):
        return policy
    if isinstance(policy, UniformPolicy):
        return _Uniform(spaces, system.feasible)
    if isinstance(policy, LocalPolicy):
        return _Product(spaces, policy.tables)
    if isinstance(policy, IndexPolicy):
        budget = getattr(system, "budget", None)
        if budget is None:
            raise Unsupported(
                "policy",
                "IndexPolicy on a system without a budget",
                "an index policy serves until a budget is used",
                "Give the system a budget, or use another policy.",
            )
        return _Index(spaces, policy, budget)
    if hasattr(policy, "law"):
        return _FromLaw(spaces, policy.law, policy)
    if callable(policy):
        return _FromLaw(spaces, policy, policy)
    if policy is None:
        raise InvalidInput("policy", "None", "this system needs a policy", "E.g. me.UniformPolicy().")
    if isinstance(policy, str):
        raise InvalidInput(
            "policy",
            repr(policy),
            "it must be an array, a callable or a policy object",
            "E.g. me.UniformPolicy().",
        )
    table = policy.table if isinstance(policy, TablePolicy) else policy
    shape = (spaces.joint_states, spaces.joint_actions)
    return _Table(spaces, _check.sparse_probabilities("policy", table, shape))
