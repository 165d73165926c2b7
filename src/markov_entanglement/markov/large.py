"""Chains of weakly coupled agents on all of their joint states, up to about 10^7 of them (10^8 on a device).

Nothing has a column for each agent, and nothing a row for each pair and a column for each local pair: what a question
needs of the joint pairs is made block by block, laws of next pairs key by key. Along the tree of
all agents but i, opened for its next state, `G_a'(s')` is the chance that agent i takes action a' in s', and

    p_i((s', a')|x) = P_i(s'|x_i) G_a'(s'; x_{-i}),

so that all laws of agent i cost one product per action, and its rows are told one local pair after another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, freeze, sums_by
from .._compiled import compiled
from .._work import in_threads, side_by_side
from ..errors import TooLarge, gib
from ..laws.rows import Medians, Rows
from ..laws.source import Kind
from ..model.bound_policy import BoundPolicy
from ..model.described import digest_of
from ..model.rewards import Rewards
from ..model.system import System
from .chain import Chain
from .classes import Classes
from .linear import LinearSystem, plain_steps
from .neighbours import powers
from .product import ProductKernel
from .tree import Places

#: Joint pairs of one block.
_BLOCK = 1 << 17


class Supported(NamedTuple):
    """The supported pairs of some joint states, state by state, in the order of joint actions."""

    actions: Ints  # (J, N) the joint actions in use, ascending
    code: Any  # (n,) which of them each pair takes, in few bytes
    state: Ints | None  # (n,) which of the states each pair belongs to; None: each has one pair
    chance: Floats | None  # (n,) `pi(a|s)`; None: all are 1
    entries: float  # of an explicit kernel, where they were counted


def choice_of(pair_state: Ints, chance: Floats | None, states: int) -> sp.csr_array:
    """(S, n) `pi(a|s)` of pairs that are listed state by state."""
    n = len(pair_state)
    data = np.ones(n) if chance is None else chance
    indptr = np.concatenate([[0], np.cumsum(np.bincount(pair_state, minlength=states))])
    return sp.csr_array((data, np.arange(n), indptr), shape=(states, n))


class RowsOfAgent:
    """The rows of one agent, those of one key after another.

    Parameters
    ----------
    kernel : (A, S, S) of the agent.
    ahead : for each of its actions but the first, (R, S) the chance `G_a(s)` that it takes it in its next state, after
        each of R beginnings of joint pairs, which leave it out.
    leaf, own, weight : (n,) of each joint pair its beginning, what the agent does there and its state, as the number
        `a S + s`, and the weight.
    listed : the same rows one by one, or refuses them.
    """

    ended = False

    def __init__(
        self,
        kernel: Floats,
        ahead: list[Floats],
        leaf: Places,
        own: Places,
        weight: Floats,
        listed: Callable[[], Rows],
    ) -> None:
        self.kernel, self.ahead, self._rows, self._listed = kernel, ahead, (leaf, own, weight), listed
        self.n_keys = kernel.shape[1] * kernel.shape[0]

    @property
    def mean_law(self) -> Floats:
        """(n_keys, m) weighted mean of the laws of each key (Eq. 2); NaN where the weight is 0."""
        a, s, _ = self.kernel.shape
        law, mass = np.zeros((s, a, s, a)), self.key_weight.reshape(s, a)
        for b, chance in enumerate(self.ahead, start=1):
            total = np.zeros((a * s, s))
            _weighted(*self._rows, chance, total)
            law[..., b] = total.reshape(a, s, s).transpose(1, 0, 2)
        law[..., 0] = np.maximum(mass[:, :, None] - law.sum(axis=3), 0.0)
        law *= self.kernel.transpose(1, 0, 2)[..., None]
        with np.errstate(invalid="ignore", divide="ignore"):
            law /= mass[:, :, None, None]
        law[mass == 0] = np.nan
        return law.reshape(s * a, -1)

    @cached_property
    def key_weight(self) -> Floats:
        """(n_keys,) total weight of each key."""
        actions, size, _ = self.kernel.shape
        _, own, weight = self._rows
        return freeze(sums_by(own, weight, self.n_keys).reshape(actions, size).T.reshape(-1))

    @cached_property
    def _by_key(self) -> tuple[Ints, Ints]:
        """The pairs in the order of `own`, and where those of each number end."""
        own = self._rows[1].astype(np.uint16 if self.n_keys < 1 << 16 else np.int32)  # few bytes sort fast
        return np.argsort(own, kind="stable"), np.cumsum(np.bincount(own, minlength=self.n_keys))

    def medians(self, medians: Medians) -> tuple[Floats, Floats]:
        """(n_keys, m) the weighted L1 median of the laws of each key, and (n_keys,) the distance from it."""
        _ = self._by_key  # before threads ask for it
        found = in_threads(
            lambda key: self._median(key[0], key[1], medians), [*np.ndindex(self.kernel.shape[1::-1])], None
        )
        return np.stack([law for law, _ in found]), np.array([value for _, value in found])

    def _median(self, s: int, a: int, medians: Medians) -> tuple[Floats, float]:
        """The same of the local pair (s, a).

        Of two actions one chance `G(s')` tells both, and `P(s'|s, a)` is common to all rows: the law made of the
        medians of G in each s' is nearest, for it is so entry by entry.
        """
        actions, size, _ = self.kernel.shape
        (leaf, _, weight), (order, ends), at = self._rows, self._by_key, a * size + s
        rows = order[ends[at - 1] if at else 0 : ends[at]]
        rows = rows[weight[rows] > 0]
        weight, own, n = weight[rows], self.kernel[a, s], len(rows)
        law = np.empty((size, n, actions))
        law[..., 0] = 1.0
        for b, chance in enumerate(self.ahead, start=1):
            law[..., b] = chance[leaf[rows]].T
            law[..., 0] -= law[..., b]
        law[..., 0] = np.maximum(law[..., 0], 0.0)
        if actions <= 2:
            starts = np.arange(0, n * size + 1, n) if n else np.zeros(size + 1, dtype=np.int64)
            q, value = medians(law.reshape(-1, actions), np.tile(weight, size), starts)
            return (q * own[:, None]).reshape(-1), float(value @ own)
        law = (law.transpose(1, 0, 2) * own[:, None]).reshape(n, -1)
        q, value = medians(law, weight, np.array([0, n]))
        return q[0], float(value[0])

    @property
    def weight(self) -> Floats:
        """(n,) of each row."""
        return self._rows[2]

    @property
    def where(self) -> Callable[[Any], Rows]:
        """See `Rows.where`; their laws (n, m) must fit."""
        return self._listed().where


@compiled
def _weighted(leaf, own, weight, chance, total):  # type: ignore[no-untyped-def]
    """total[own] += weight chance[leaf], rows (S,)."""
    for i in range(len(leaf)):
        w, at, to = weight[i], leaf[i], own[i]
        for s in range(total.shape[1]):
            total[to, s] += w * chance[at, s]


def _merged(key: Ints, weight: Floats, law: Floats, n_keys: int) -> tuple[Ints, Floats, Floats]:
    """Key, weight and law of rows with equal ones put together; laws of few different numbers."""
    label = key
    for column in law.T:
        _, code = np.unique(column, return_inverse=True)
        label = label * (int(code.max()) + 1) + code.reshape(-1)
    _, first, group = np.unique(label, return_index=True, return_inverse=True)
    return key[first], sums_by(group.reshape(-1), weight, len(first)), law[first]


def _common(laws: Floats) -> float:
    """The least `sum_t min(p(t), q(t))` of two laws (L, S)."""
    return min(float(np.minimum(laws, p).sum(axis=1).min()) for p in laws)


class LargeChain(Chain):
    """A chain whose kernel is a product of those of its agents; arrays (S, N) and (n, N) are made when they are asked
    for. Where the policy leaves one action in every state, functions of pairs are functions of states.
    """

    kernel: ProductKernel
    chance: Floats | None

    def __init__(
        self,
        system: System,
        policy: BoundPolicy,
        kernel: ProductKernel,
        chance: Floats | None,
        initial: Floats | None,
    ) -> None:
        own = {"system": system, "policy": policy, "kernel": kernel, "chance": chance, "initial": initial}
        for name, value in own.items():
            object.__setattr__(self, name, value)

    @property
    def _kernels(self) -> tuple[Floats, ...]:
        return self.kernel.kernels

    @property
    def single(self) -> bool:
        """Whether each joint state has one pair, which has its number."""
        return self.kernel.state is None

    @property
    def n_pairs(self) -> int:
        return len(self.kernel.code)

    @property
    def n_states(self) -> int:
        return self.spaces.joint_states

    @cached_property
    def states(self) -> Ints:
        """(S, N) local states of each joint state."""
        return freeze(self.spaces.states_at(np.arange(self.n_states)))

    @cached_property
    def pairs(self) -> Ints:  # type: ignore[override]
        """(n, N) local pair of each agent, for each joint pair."""
        return freeze(np.concatenate([pairs for _, pairs in self.blocks_of_pairs()]))

    @cached_property
    def pair_state(self) -> Ints:  # type: ignore[override]
        """(n,) joint state of each pair."""
        state = self.kernel.state
        return freeze(np.arange(self.n_pairs) if state is None else state)

    @cached_property
    def choice(self) -> sp.csr_array:
        """(S, n) sparse, `pi(a|s)`."""
        return choice_of(self.pair_state, self.chance, self.n_states)

    def _pairs_at(self, lo: int) -> tuple[slice, Ints]:
        """A block of joint pairs from number lo on, and their local pairs."""
        at, kernel = slice(lo, min(lo + _BLOCK, self.n_pairs)), self.kernel
        state = np.arange(at.start, at.stop) if kernel.state is None else kernel.state[at]
        return at, self.spaces.local_pairs(self.spaces.states_at(state), kernel.actions[kernel.code[at]])

    def blocks_of_pairs(self) -> Iterator[tuple[slice, Ints]]:
        """Blocks of joint pairs and their local pairs."""
        return map(self._pairs_at, range(0, self.n_pairs, _BLOCK))

    def _gathered(self, work: Callable[[slice, Ints], Any]) -> list[Any]:
        """What is made of each block, in order, by threads."""
        return side_by_side(lambda lo: work(*self._pairs_at(lo)), range(0, self.n_pairs, _BLOCK))

    def average(self, f: Floats) -> Floats:
        return f if self.single else super().average(f)

    def weigh(self, nu: Floats) -> Floats:
        return nu if self.single else super().weigh(nu)

    def on_pairs(self, marked: Bools) -> Bools:
        return marked if self.single else super().on_pairs(marked)

    @cached_property
    def _systems(self) -> Callable[[float], LinearSystem]:
        arrays = self.kernel.arrays
        if arrays.here:
            return super()._systems

        def system(gamma: float) -> LinearSystem:
            def ahead(v: Any) -> Any:
                return gamma * self._average_there(self.kernel.there.forward(v))

            def steps(b: Floats, goal: float) -> tuple[Floats, Floats, bool]:
                x, rest, done = plain_steps(ahead, arrays.of(b), goal, gamma)
                return arrays.back(x), arrays.back(rest), done

            def apply(v: Floats) -> Floats:
                return gamma * self.average(self.kernel.apply(v))

            return LinearSystem(self.n_states, apply, None, gamma, steps)

        return cache(system)

    def _average_there(self, f: Any) -> Any:
        """`average` where the products are computed: the first pairs of all states, the second ones of those that have
        them, and so on."""
        if self.single:
            return f
        (at, chance, _), *more = self._turns
        out = chance * f[at]
        for at, chance, state in more:
            out[state] += chance * f[at]
        return out

    @cached_property
    def _turns(self) -> list[tuple[Any, Any, Any]]:
        """Of the first pair of each state, the second, ...: which they are, their chance, and their states, there."""
        arrays, first = self.kernel.arrays, np.flatnonzero(np.diff(self.pair_state, prepend=-1))
        turn = np.arange(self.n_pairs) - first[self.pair_state]
        chance = np.ones(self.n_pairs) if self.chance is None else self.chance
        found = (np.flatnonzero(turn == k) for k in range(int(turn.max()) + 1))
        return [(arrays.of(at), arrays.of(chance[at]), arrays.of(self.pair_state[at])) for at in found]

    @property
    def proved_separable(self) -> str:
        return self.system.separable_under(self.policy)

    @cached_property
    def classes(self) -> Classes:
        """One where every agent can go from any of its states to any other whatever is done, and in as many steps."""
        for k in self._kernels:
            if not powers(np.asarray((k > 0).all(axis=0))[None]).all():
                return super().classes
        return Classes(freeze(np.zeros(self.n_states, dtype=np.int64)), 1)

    @cached_property
    def meeting(self) -> float:  # type: ignore[override]
        """Agents apart, each meets its copy with the chance that two of its laws have in common, whatever is done."""
        return math.prod(_common(k.reshape(-1, k.shape[2])) for k in self._kernels)

    @property
    def law_entries(self) -> float:
        return float(self.n_pairs) * sum(self.spaces.n_states)

    def sum_of(self, tables: Any) -> Floats:
        out, flat = np.empty(self.n_pairs), [np.asarray(t, dtype=np.float64) for t in tables]

        def add(at: slice, pairs: Ints) -> None:
            """The sum (B,) of one block."""
            total = flat[0][pairs[:, 0]]
            for u in range(1, len(flat)):
                total += flat[u][pairs[:, u]]
            out[at] = total

        self._gathered(add)
        return out

    def reward(self, rewards: Rewards) -> Floats:
        return super().reward(rewards) if rewards.local is None else self.sum_of(rewards.local)

    def key_weight(self, u: int) -> Floats:
        return super().key_weight(u) if self.fits(u) else self._key_weights[u]

    @cached_property
    def _key_weights(self) -> list[Floats]:
        mu, sizes = self.occupancy, self.sizes
        parts = self._gathered(
            lambda at, pairs: [sums_by(pairs[:, u], mu[at], m) for u, m in enumerate(sizes)]
        )
        return [freeze(np.sum(each, axis=0)) for each in zip(*parts, strict=True)]

    def second_moments(self) -> Floats:
        mu, sizes = self.occupancy, self.sizes
        first = np.concatenate([[0], np.cumsum(sizes)])

        def moments(at: slice, pairs: Ints) -> Floats:
            """(M, M) of one block, agents i <= j alone."""
            out = np.zeros((first[-1], first[-1]))
            for i, m in enumerate(sizes):
                for j in range(i, len(sizes)):
                    flat = pairs[:, i] * sizes[j] + pairs[:, j]
                    out[first[i] : first[i + 1], first[j] : first[j + 1]] = sums_by(
                        flat, mu[at], m * sizes[j]
                    ).reshape(m, -1)
            return out

        upper = sum(self._gathered(moments))
        return np.asarray(upper + np.triu(upper, 1).T)

    def moments_with(self, f: Floats) -> Floats:
        weight = self.occupancy * f
        parts = self._gathered(
            lambda at, pairs: np.concatenate(
                [sums_by(pairs[:, u], weight[at], m) for u, m in enumerate(self.sizes)]
            )
        )
        return np.asarray(sum(parts))

    def mean_law(self, u: int) -> Floats:
        return self._mean_laws[u]

    @cached_property
    def _mean_laws(self) -> list[Floats]:
        """Of all agents; their laws need not be listed for it."""
        return side_by_side(lambda u: freeze(self._seen_by(u).mean_law), range(self.n_agents))

    def make_rows(self, u: int, kind: Kind) -> Rows:
        """Where they are too many to be listed, equal ones of "policy" and "kernel" are one."""
        if self.fits(u) or kind == "pair":
            return super().make_rows(u, kind)
        spaces, weight = self.spaces, self.key_weight(u)
        s, a = spaces.n_states[u], spaces.n_actions[u]
        if kind == "kernel":
            law = self._kernels[u].transpose(1, 0, 2).reshape(s * a, s)
            return Rows(np.arange(s * a), weight, law, s * a)
        if self.single:
            return Rows(np.repeat(np.arange(s), a), weight, np.tile(np.eye(a), (s, 1)), s)
        nu, chance = self.stationary.law, np.stack([self._chance(u, k) for k in range(a)], axis=1)
        parts = side_by_side(
            lambda lo: _merged(self._local(u, lo), nu[lo : lo + _BLOCK], chance[lo : lo + _BLOCK], s),
            range(0, self.n_states, _BLOCK),
        )
        key, mass, law = (np.concatenate(each) for each in zip(*parts, strict=True))
        return Rows(key, mass, law, s).merge()

    def _local(self, u: int, lo: int) -> Ints:
        """Local states of agent u in a block of joint states."""
        behind = math.prod(self.spaces.n_states[u + 1 :])
        return np.arange(lo, min(lo + _BLOCK, self.n_states)) // behind % self.spaces.n_states[u]

    def _chance(self, u: int, a: int) -> Floats:
        """(S,) `pi(a_u = a|s)`."""
        taken = (self.kernel.actions[:, u] == a).astype(np.float64)[self.kernel.code]
        if self.chance is not None:
            taken *= self.chance
        return taken if self.single else sums_by(self.pair_state, taken, self.n_states)

    def blocks(self, kind: Kind = "pair", *, weighted: bool = True) -> Iterator[tuple[Any, Any]]:
        if kind != "pair" or not weighted:
            yield from super().blocks(kind, weighted=weighted)
            return
        for u in range(self.n_agents):
            yield [u], self._seen_by(u)

    def _seen_by(self, u: int) -> RowsOfAgent:
        """The rows of agent u, made for one local pair after another."""
        ahead, leaf = self._ahead(u, range(1, self.spaces.n_actions[u]))
        own, listed = self.kernel.own(u), lambda: self._listed(u)
        return RowsOfAgent(self._kernels[u], ahead, leaf, own, self.occupancy, listed)

    def _listed(self, u: int) -> Rows:
        """All rows of agent u, one by one."""
        if not self.fits(u):
            got = f"{self.n_pairs:,} laws over {self.sizes[u]:,} local pairs"
            raise TooLarge(
                "laws of an agent at once", got, gib(tol.BYTES / 4), "Ask for 'mu-atv' or 'policy'."
            )
        return self.rows(u)

    def _carried(self, i: int) -> Floats:
        size, actions = self.spaces.n_states[i], self.spaces.n_actions[i]
        ahead, leaf = self._ahead(i, range(actions))
        move, own = self._kernels[i].reshape(-1, size), self.kernel.own(i)
        law = np.empty((self.n_pairs, size, actions))

        def fill(lo: int) -> None:
            """The laws of a block of joint pairs."""
            at = slice(lo, lo + _BLOCK)
            for a, chance in enumerate(ahead):
                np.multiply(move[own[at]], chance[leaf[at]], out=law[at, :, a])

        side_by_side(fill, range(0, self.n_pairs, _BLOCK))
        return law.reshape(self.n_pairs, -1)

    def _ahead(self, u: int, actions: Iterable[int]) -> tuple[list[Floats], Places]:
        """Of each of these actions (R, S) the chance `G_a(s)` that agent u takes it in its next state, after each of R
        beginnings of joint pairs, which leave it out; and (n,) which of these each joint pair has."""
        kernel, others = self.kernel, [j for j in range(self.n_agents) if j != u]
        size = self.spaces.n_states[u]
        chances = [
            np.ascontiguousarray(np.moveaxis(self._chance(u, a).reshape(self.spaces.n_states), u, -1))
            for a in actions
        ]
        if not others:
            return [chance[None] for chance in chances], np.zeros(self.n_pairs, dtype=np.int32)
        tree, arrays = kernel.tree_of(others, opened=size), kernel.arrays
        there = arrays.on(tree)
        return [arrays.back(there.forward(arrays.of(chance.reshape(-1)))) for chance in chances], tree.leaf

    @property
    def _digest(self) -> dict[str, str]:
        blocks = (pairs for _, pairs in self.blocks_of_pairs())
        chance = np.ones(self.n_pairs) if self.chance is None else self.chance
        rest = ((a.shape, [a]) for a in (self.pair_state, chance))
        return {"digest": digest_of([((self.n_pairs, self.n_agents), blocks), *rest])}
