"""Policies on the spaces of one system: the form that engines see.

`table` is for exact chains; `marginals` and `sample` never form it, as its columns grow as 2^N. Where it would fit, one
uniform number decides the joint action, by inversion of its law; elsewhere each agent has a number of its own.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints
from ..errors import InvalidInput, TooLarge, Unsupported, gib
from .policy import IndexPolicy, LocalPolicy, LPUpdatePolicy, NeighbourPolicy, TablePolicy, UniformPolicy
from .spaces import AT_SCALE, Spaces, about, ravel, unravel

if TYPE_CHECKING:
    from .nets import Net
    from .system import System

#: Local states (T, N) -> their feasible joint actions, (T, joint actions).
Mask = Callable[[Ints], sp.csr_array]


class BoundPolicy:
    """A policy on the spaces of one system; subclasses give `table`, and what it is too large for."""

    #: What it was made of, for the `system` block of a result.
    told: Mapping[str, Any] = {}
    #: Whether what an agent does depends on no other agent's state.
    own = False
    #: Whether a decision takes milliseconds, so that no question asks for very many.
    costly = False

    @property
    def service(self) -> tuple[Sequence[Ints], int] | None:
        """Where agents with two actions are served by priority, ties alike: per agent the class (S_i,) of each state, 0
        first, and how many are served; else None."""
        return None

    def programs(self, decisions: int) -> tuple[int, int]:
        """How many linear programs so many decisions take, and unknowns of each."""
        return 0, 0

    def dear(self, decisions: int) -> bool:
        """Whether so many decisions take more than minutes."""
        programs, unknowns = self.programs(decisions)
        return programs * unknowns > tol.PLANNED

    def too_dear(self, question: str, decisions: int) -> TooLarge:
        """The refusal of a question that takes so many."""
        programs, unknowns = self.programs(decisions)
        size = f"{about(programs)} linear programs of {unknowns:,} unknowns"
        most = f"{about(int(tol.PLANNED / unknowns))} of them"
        remedy = "Ask me.compare what the policy earns, or take a shorter horizon, fewer arms or more that are alike."
        return TooLarge(question, size, most, remedy)

    @property
    def lawful(self) -> bool:
        """Whether it has laws over joint actions, not samples alone."""
        return True

    def __init__(self, spaces: Spaces) -> None:
        self.spaces = spaces

    def table(self, states: Ints) -> sp.csr_array:
        """Probabilities (T, joint actions), sparse, of the local states (T, N)."""
        raise NotImplementedError

    def support(self, states: Ints) -> tuple[Ints, Ints, Floats]:
        """The laws of all states in a row: state (K,), actions (K, N) in the order of joint actions, probability."""
        table = sp.csr_array(self.table(states))
        table.eliminate_zeros()
        table.sort_indices()
        row = np.repeat(np.arange(len(states), dtype=np.int64), np.diff(table.indptr))
        return row, unravel(table.indices.astype(np.int64), self.spaces.n_actions), table.data

    def law(self, state: Sequence[int]) -> dict[tuple[int, ...], float]:
        """Action tuple -> probability at one joint state."""
        _, actions, p = self.support(np.asarray([state], dtype=np.int64))
        return dict(zip(map(tuple, actions.tolist()), p.tolist(), strict=True))

    def marginals(self, states: Ints) -> list[Floats]:
        """`pi(a_i|s)`: one array (T, A_i) per agent."""
        (row, actions, p), t = self.support(states), len(states)
        sizes = enumerate(self.spaces.n_actions)
        return [_check.sums_by(row * k + actions[:, i], p, t * k).reshape(t, k) for i, k in sizes]

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        """One joint action (T, N) per row of `states`."""
        table, u = self.table(states), rng.random(len(states))
        rows = zip(itertools.pairwise(table.indptr.tolist()), u, strict=True)
        chosen = [table.indices[lo + _first_above(table.data[lo:hi], v)] for (lo, hi), v in rows]
        return unravel(np.array(chosen, dtype=np.int64), self.spaces.n_actions)


class _Table(BoundPolicy):
    def __init__(self, spaces: Spaces, matrix: sp.csr_array) -> None:
        super().__init__(spaces)
        self.matrix = matrix

    def table(self, states: Ints) -> sp.csr_array:
        return self.matrix[self.spaces.state_index(states)]


class Uniform(BoundPolicy):
    """Every feasible joint action alike, from their mask."""

    def __init__(self, spaces: Spaces, feasible: Mask) -> None:
        super().__init__(spaces)
        self.feasible = feasible

    def table(self, states: Ints) -> sp.csr_array:
        t = sp.csr_array(self.feasible(states), dtype=np.float64)
        counts = np.diff(t.indptr)
        t.data = np.repeat(1.0 / np.maximum(counts, 1), counts)
        return t


class Product(BoundPolicy):
    """Each agent draws its own action: `pi(a|s) = prod_i pi_i(a_i | s_i, s_j, ...)`, one table (S_i, S_j, ..., A_i) per
    agent, of the states of the agents `reads[i]`; None: its own alone."""

    def __init__(
        self, spaces: Spaces, tables: tuple[Floats, ...], reads: Sequence[tuple[int, ...]] | None = None
    ) -> None:
        super().__init__(spaces)
        self.own = reads is None
        self.reads = [(i,) for i in range(spaces.n_agents)] if reads is None else reads
        states, shapes = spaces.n_states, {i: t.shape for i, t in enumerate(tables)}
        both = enumerate(zip(self.reads, spaces.n_actions, strict=True))
        want = {i: (*(states[j] for j in read), a) for i, (read, a) in both}
        letters = "(S_i, A_i)" if self.own else "(S_i, S_j, ..., A_i)"
        for i in sorted(shapes | want):
            if shapes.get(i) != want.get(i):
                raise InvalidInput("policy", f"a local table of shape {shapes.get(i)} for agent {i}",
                                   f"it must be {want.get(i)}", f"Give one {letters} table per agent.")  # fmt: skip
        self.tables = tables

    def marginals(self, states: Ints) -> list[Floats]:
        both = zip(self.tables, self.reads, strict=True)
        return [t[tuple(states[:, j] for j in read)] for t, read in both]

    def table(self, states: Ints) -> sp.csr_array:
        if len(states) * self.spaces.joint_actions * 8 > tol.BYTES:
            size = f"{len(states)} states x {about(self.spaces.joint_actions)} joint actions"
            raise TooLarge("policy table", size, gib(tol.BYTES), AT_SCALE)
        out = np.ones((len(states), 1))
        for m in self.marginals(states):
            out = (out[:, :, None] * m[:, None, :]).reshape(len(states), -1)
        return sp.csr_array(out)

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        if self.spaces.joint_actions * 8 > tol.BYTES:
            from .nets import draw

            chosen = np.empty_like(states)
            draw(rng.random(states.shape), states, self.net, chosen)
            return chosen
        out, u = np.empty_like(states), rng.random(len(states))
        for i, law in enumerate(self.marginals(states)):
            out[:, i], u = invert(u, law)
        return out

    @cached_property
    def net(self) -> Net:
        """The tables, flat."""
        from .nets import net

        return net(self.tables, self.reads, self.spaces.n_states)


class _User(BoundPolicy):
    """A user's callable, or an object with some of `law`, `marginals`, `sample`; each answer is validated."""

    def __init__(self, spaces: Spaces, law: Callable[..., Any] | None, user: Any) -> None:
        super().__init__(spaces)
        self._law, self._user = law, user

    @property
    def lawful(self) -> bool:
        return self._law is not None

    def _laws(self, states: Ints) -> Iterator[tuple[Ints, Floats]]:
        """At each state the actions (K, N) of positive probability, in the order of joint actions, and their law."""
        if self._law is None:
            raise Unsupported("policy", f"a {type(self._user).__name__} without `law`", "its joint actions have no law",
                              "Give it law(state) -> {action tuple: probability}; me.simulate needs `sample` "
                              "only.")  # fmt: skip
        sizes, parts = self.spaces.n_actions, [part.tolist() for part in self.spaces.asked(states)]
        for row, asked in zip(states, zip(*parts, strict=True), strict=True):
            state = self.spaces.shown(row)
            try:
                law = self._law(*(tuple(x) if isinstance(x, list) else x for x in asked))
            except Exception as e:
                raise InvalidInput("policy", f"{type(e).__name__}: {e} at {state}",
                                   "it must answer every joint state", "Mend the policy.") from e  # fmt: skip
            if not isinstance(law, Mapping) or not law:
                raise InvalidInput("policy", f"{law!r} at {state}", "it must return {action tuple: probability}",
                                   "Give every joint state a law.")  # fmt: skip
            single = [np.asarray(p).dtype for p in law.values() if not isinstance(p, float | int)]
            unit = max(map(_check.unit_in, single), default=0.0)
            for action, p in law.items():
                if not isinstance(action, tuple) or len(action) != len(sizes) or not all(
                    isinstance(a, numbers.Integral) and 0 <= int(a) < k for a, k in zip(action, sizes, strict=True)
                ):  # fmt: skip
                    raise InvalidInput("policy", f"action {repr(action)[:60]} at {state}", "actions are tuples "
                                       f"within the sizes {str(sizes)[:60]}", "Mend the action.")  # fmt: skip
                if _check.number(f"policy at {state}", p) < -unit:
                    raise InvalidInput("policy", f"probability {p} at {state}", "probabilities are >= 0",
                                       "Mend that probability.")  # fmt: skip
            total = sum(map(float, law.values()))
            if abs(total - 1.0) > _check.row_slack(len(law), unit):
                raise InvalidInput("policy", f"probabilities that sum to {total:.9g} at {state}",
                                   "they must sum to 1", "Divide them by their sum.")  # fmt: skip
            taken = sorted((a, float(p)) for a, p in law.items() if p > 0)
            chance = np.array([p for _, p in taken])
            yield np.array([a for a, _ in taken], dtype=np.int64), chance / chance.sum()

    def support(self, states: Ints) -> tuple[Ints, Ints, Floats]:
        laws = list(self._laws(states))
        row = np.repeat(np.arange(len(laws)), np.array([len(p) for _, p in laws], dtype=np.int64))
        none = np.zeros((0, self.spaces.n_agents), dtype=np.int64)
        return row, np.concatenate([none, *(a for a, _ in laws)]), np.concatenate([[], *(p for _, p in laws)])

    def table(self, states: Ints) -> sp.csr_array:
        row, actions, p = self.support(states)
        index = ravel(actions, self.spaces.n_actions)
        return sp.csr_array((p, (row, index)), shape=(len(states), self.spaces.joint_actions))

    def marginals(self, states: Ints) -> list[Floats]:
        if not hasattr(self._user, "marginals"):
            return super().marginals(states)
        t, given = (
            len(states),
            zip(self._user.marginals(*self.spaces.asked(states)), self.spaces.n_actions, strict=True),
        )
        named = [(f"policy.marginals[{i}]", m, k) for i, (m, k) in enumerate(given)]
        return [_check.probabilities(name, m, shape=(t, k)) for name, m, k in named]

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        if hasattr(self._user, "sample"):
            drawn = np.asarray(self._user.sample(*self.spaces.asked(states), rng))
            fits = drawn.shape == states.shape and drawn.dtype.kind in "iu"
            if not fits or ((drawn < 0) | (drawn >= np.asarray(self.spaces.n_actions))).any():
                raise InvalidInput("policy.sample", f"{drawn.dtype} actions of shape {drawn.shape}", "it must be whole "
                                   f"numbers of shape {states.shape} within the agents' action counts", "Mend the "
                                   "policy.")  # fmt: skip
            return drawn.astype(np.int64)
        u = rng.random(len(states))
        return np.array([a[_first_above(p, v)] for (a, p), v in zip(self._laws(states), u, strict=True)])


class BudgetIndex(BoundPolicy):
    """Exactly `budget` of agents with two actions, by priority."""

    def __init__(self, spaces: Spaces, policy: IndexPolicy, budget: int) -> None:
        super().__init__(spaces)
        self.ranks = policy.ranks(spaces.n_agents)
        for i, (r, k) in enumerate(zip(self.ranks, spaces.n_states, strict=True)):
            if len(r) != k:
                raise InvalidInput("priority", f"{len(r)} entries for agent {i}", f"agent {i} has {k} local states",
                                   "One priority per local state.")  # fmt: skip
        self.budget = budget

    @property
    def service(self) -> tuple[Sequence[Ints], int]:
        return self.ranks, self.budget

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

    def support(self, states: Ints) -> tuple[Ints, Ints, Floats]:
        sure, tied, left = self.split(states)
        one = tied.sum(axis=1) == left  # whoever is tied is served
        if one.all():
            return np.arange(len(states)), sure + tied, np.ones(len(states))
        some = np.flatnonzero(~one)
        row, actions, p = self._shared(sure[some], tied[some], left[some])
        row, settled = np.concatenate([np.flatnonzero(one), some[row]]), sure[one] + tied[one]
        order = np.argsort(row, kind="stable")
        return (
            row[order],
            np.concatenate([settled, actions])[order],
            np.concatenate([np.ones(len(settled)), p])[order],
        )

    def _shared(self, sure: Ints, tied: Ints, left: Ints) -> tuple[Ints, Ints, Floats]:
        """The laws where some of those that are tied are served, any of them alike; see `support`."""
        patterns, which = np.unique(sure + 2 * tied, axis=0, return_inverse=True)
        which, few = which.reshape(-1), self.budget - (patterns == 1).sum(axis=1)
        sizes = [math.comb(int(m), int(k)) for m, k in zip((patterns == 2).sum(axis=1), few, strict=True)]
        total = sum(s * int(c) for s, c in zip(sizes, np.bincount(which), strict=True))
        if total * 16 > tol.BYTES:
            raise TooLarge("policy table", f"{about(total)} supported pairs of {self.spaces.n_agents} agents",
                           f"{tol.BYTES / 16:.3g}", AT_SCALE)  # fmt: skip
        laws = []
        for pattern, k, size in zip(patterns, few, sizes, strict=True):
            served = list(itertools.combinations(np.flatnonzero(pattern == 2).tolist(), int(k)))
            law = np.tile((pattern == 1).astype(np.int64), (size, 1))
            law[np.arange(size)[:, None], np.array(served[::-1], dtype=np.int64)] = 1
            laws.append(law)
        counts = np.asarray(sizes, dtype=np.int64)[which]
        row = np.repeat(np.arange(len(sure)), counts)
        first = (np.cumsum(sizes) - sizes)[which] - (np.cumsum(counts) - counts)
        return row, np.concatenate(laws)[first[row] + np.arange(len(row))], np.repeat(1.0 / counts, counts)

    def table(self, states: Ints) -> sp.csr_array:
        row, actions, p = self.support(states)
        indptr = np.searchsorted(row, np.arange(len(states) + 1))
        index = ravel(actions, self.spaces.n_actions)
        return sp.csr_array((p, index, indptr), shape=(len(states), self.spaces.joint_actions))

    def sample(self, states: Ints, rng: np.random.Generator) -> Ints:
        sure, tied, left = self.split(states)
        order = np.argsort(np.where(tied == 1, rng.random(tied.shape), 2.0), axis=1)
        place = np.argsort(order, axis=1)
        return sure + tied * (place < left[:, None])


def _first_above(law: Floats, u: float) -> int:
    """The outcome of a law (K,) for a uniform number."""
    return min(int(np.searchsorted(np.cumsum(law), u, side="right")), len(law) - 1)


def invert(u: Floats, law: Floats) -> tuple[Ints, Floats]:
    """Outcomes (T,) of weights (T, A) for uniform numbers (T,), and what is left of these, again uniform."""
    tail = np.cumsum(law, axis=1)
    v = u * tail[:, -1]
    k = np.minimum((v[:, None] >= tail).sum(axis=1), law.shape[1] - 1)
    p = np.take_along_axis(law, k[:, None], axis=1)[:, 0]
    left = (v - (np.take_along_axis(tail, k[:, None], axis=1)[:, 0] - p)) / p
    return k, np.clip(left, 0.0, np.nextafter(1.0, 0.0))


def bind(policy: Any, system: System) -> BoundPolicy:
    """The policy on the spaces of `system`, in the one form that engines see."""
    spaces = system.spaces
    if isinstance(policy, BoundPolicy):
        return policy
    if isinstance(policy, UniformPolicy):
        return system.uniform()
    if isinstance(policy, LocalPolicy):
        return Product(spaces, policy.tables)
    if isinstance(policy, NeighbourPolicy):
        return system.neighbourly(policy)
    if isinstance(policy, IndexPolicy):
        return system.indexed(policy)
    if isinstance(policy, LPUpdatePolicy):
        from ..bandits.lp_update import LPUpdate

        return LPUpdate(system, policy)
    own = not hasattr(policy, "__array__") and (hasattr(policy, "sample") or hasattr(policy, "marginals"))
    if hasattr(policy, "law") or own or callable(policy):
        return _User(spaces, getattr(policy, "law", None if own else policy), policy)
    if policy is None:
        raise InvalidInput(
            "policy",
            "None",
            "this system needs a policy",
            "E.g. 'uniform' (me.UniformPolicy(), --policy uniform).",
        )
    table = policy.table if isinstance(policy, TablePolicy) else policy
    shape = (spaces.joint_states, spaces.joint_actions)
    if math.prod(shape) >= 2**62:
        raise TooLarge("policy table", f"{about(math.prod(shape))} entries", "2^62", AT_SCALE)
    if system.ends is not None:  # nobody acts in terminal states
        table = system.ends.seal(table, np.zeros_like(system.ends.terminal))
    return _Table(spaces, _check.sparse_probabilities("policy", table, shape))
