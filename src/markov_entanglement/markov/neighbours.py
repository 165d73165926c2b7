"""Rows of factored systems by neighbour sets: Eq. 5 without the joint chain, at a cost of `exp(|Z|)`, not `exp(N)`.

The law of agent i's next pair, `P_i(s_i'|x_Z) E[pi_i(a_i'|s_i', ...)]`, depends on the local pairs of its neighbours
`Z_i`; where its policy reads the states of other agents, too, on those of *their* neighbours. One row stands for each
combination of these pairs that the policy allows. The combinations that recur are among them, and are all of them where
every agent concerned can go from any of its states to any other whatever the others do (a primitive graph), for then
any combination comes about from anywhere. Elsewhere the largest distance over the rows is an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import TooLarge, Unsupported, gib
from ..laws.rows import Rows
from ..laws.source import Kind, Source, Unit
from ..model.bound_policy import Product
from ..model.nets import Net
from ..model.system import System

#: Numbers of the laws of one block.
_BLOCK = 2**22


class Shape(NamedTuple):
    """How the agents that matter to one of them hang together; places count in `around`."""

    sizes: tuple[tuple[int, int], ...]  # local states and actions of each
    pairs: (
        int  # the first so many are those whose pairs its next law depends on; it is the first of them itself
    )
    moves: tuple[tuple[int, ...], ...]  # of each agent whose next state it reads: whose pairs that one reads
    reads: tuple[int, ...]  # whose states its policy reads
    others: tuple[tuple[int, ...], ...]  # of each of the first ones: whose states its policy reads


class Group(NamedTuple):
    """Agents of one shape."""

    shape: Shape
    who: Ints  # (n,)
    around: Ints  # (n, W) the agents that matter to each

    @property
    def combinations(self) -> int:
        """How many combinations of pairs there are."""
        return math.prod(s * a for s, a in self.shape.sizes[: self.shape.pairs])

    @property
    def keys(self) -> Ints:
        """(n combinations,) the own pair in each combination, of the k-th agent shifted by k times their number."""
        own = math.prod(self.shape.sizes[0])
        return np.repeat(np.arange(len(self.who) * own), self.combinations // own)


def groups(system: System, policy: Product, *, ahead: bool = True) -> list[Group]:
    """All agents by the shapes of what their next pairs depend on, or, not `ahead`, their next states alone."""
    near: Sequence[tuple[int, ...]] = system.neighbours  # type: ignore[attr-defined]
    sizes = list(zip(system.spaces.n_states, system.spaces.n_actions, strict=True))
    found: dict[tuple[Any, ...], tuple[list[int], list[Sequence[int]]]] = {}
    for i, read in enumerate(policy.reads):
        around: Sequence[int] = near[i]
        tied = _alone(len(around))
        if not policy.own:
            place: dict[int, int] = {}
            reads = read if ahead else (i,)
            moves = tuple(tuple(place.setdefault(k, len(place)) for k in near[j]) for j in reads)
            pairs = list(place)
            others = tuple(tuple(place.setdefault(k, len(place)) for k in policy.reads[j]) for j in pairs)
            around, tied = list(place), (len(pairs), moves, tuple(place[j] for j in reads), others)
        who, all_around = found.setdefault((tuple([sizes[j] for j in around]), tied), ([], []))
        who.append(i)
        all_around.append(around)
    return [Group(Shape(size, *tied), *map(np.array, lists)) for (size, tied), lists in found.items()]


@cache
def _alone(degree: int) -> tuple[Any, ...]:
    """The same of an agent with so many neighbours under a policy of each agent's own."""
    return degree, (tuple(range(degree)),), (0,), tuple((k,) for k in range(degree))


@dataclass(frozen=True, eq=False, repr=False)
class NeighbourRows(Source):
    """A factored system under a policy of each agent's own or of its neighbours, by combinations of neighbours' pairs.

    Attributes
    ----------
    system, policy : the system and its policy; anywhere : whether runs may start in every joint state.
    """

    system: System
    policy: Product
    anywhere: bool = True

    estimator = "by combinations of neighbours' pairs"

    def __repr__(self) -> str:
        return f"NeighbourRows({self.system.n_agents:,} agents)"

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        name = self.system.labels.agent
        return tuple(Unit(name(i), m) for i, m in enumerate(self.system.spaces.pair_sizes))

    @property
    def discount(self) -> float | None:
        return self.system.discount

    def summary(self) -> dict[str, Any]:
        return {"title": repr(self.system)}

    @cached_property
    def groups(self) -> list[Group]:
        """All agents by their shapes."""
        return groups(self.system, self.policy)

    def rows(self, u: int, kind: Kind = "pair") -> Rows:
        """Rows with weights: what neighbour sets do not have."""
        rule = "how often combinations of neighbours' pairs occur is not known from neighbour sets"
        raise Unsupported(f"rows of kind {kind!r}", repr(self), rule, "Ask 'atv', or 'mu-atv' by runs.")

    def blocks(self, kind: Kind = "pair", *, weighted: bool = True) -> Iterator[tuple[Ints, Rows]]:
        """The agents of one shape together, some at a time, each with the rows of the combinations that are allowed."""
        if weighted or kind != "pair":
            self.rows(0, kind)
        for group in self.groups:
            for part in self.parts(group):
                yield part.who, self.block(part)

    def parts(self, group: Group) -> Iterator[Group]:
        """The group, some agents at a time; refused where the combinations of one would not fit."""
        shape = group.shape
        many = group.combinations * math.prod(shape.sizes[0])
        if many * 16 > tol.BYTES:
            name = f"neighbours of {self.units[int(group.who[0])].name}"
            raise TooLarge(name, f"laws at all combinations of their pairs, {gib(many * 16)}", gib(tol.BYTES),
                           "Give it fewer neighbours; 'policy' and values are still answered by runs.")  # fmt: skip
        size = max(1, _BLOCK // many)
        for lo in range(0, len(group.who), size):
            yield Group(shape, group.who[lo : lo + size], group.around[lo : lo + size])

    def block(self, part: Group) -> Rows:
        """The allowed combinations of some agents of one shape: weight 1, recurrent where all local states may be."""
        law, allowed = self.laws_of(part), self.allowed(part)
        here = self.allowed(part, self.lasting) if self._leaves else allowed
        n, _, m = law.shape
        keep = allowed.ravel()
        key = part.keys[keep]
        return Rows(key, np.ones(len(key)), law.reshape(-1, m)[keep], n * m, here.ravel()[keep])

    def laws_of(self, part: Group) -> Floats:
        """(n, combinations of pairs, m) laws of the next pairs of agents of one shape."""
        shape, n = part.shape, len(part.who)
        pair = [1 + k for k in range(shape.pairs)]
        ahead = {place: 1 + shape.pairs + k for k, place in enumerate(shape.reads)}
        last = 1 + shape.pairs + len(ahead)
        operands: list[Any] = []
        for place, read in zip(shape.reads, shape.moves, strict=True):
            wide = [math.prod(shape.sizes[k]) for k in read]
            law = tables(self._net, part.around[:, place], (*wide, shape.sizes[place][0]))
            operands += [law, [0, *(pair[k] for k in read), ahead[place]]]
        acts = (*(shape.sizes[k][0] for k in shape.reads), shape.sizes[0][1])
        operands += [tables(self.policy.net, part.who, acts), [0, *(ahead[k] for k in shape.reads), last]]
        found = np.einsum(*operands, [0, *pair, ahead[0], last], optimize=len(operands) > 4)
        return found.reshape(n, -1, math.prod(shape.sizes[0]))

    def allowed(self, part: Group, states: Bools | None = None) -> Bools:
        """(n, combinations of pairs) which the policy allows; `states`: among these local states (sum S_i,) alone."""
        shape, count = part.shape, len(part.shape.sizes)
        operands: list[Any] = []
        for k, read in enumerate(shape.others):
            wide = (*(shape.sizes[j][0] for j in read), shape.sizes[k][1])
            law = tables(self.policy.net, part.around[:, k], wide)
            operands += [(law > 0).astype(np.float64), [0, *(1 + j for j in read), 1 + count + k]]
        if states is not None:
            for k, (size, _) in enumerate(shape.sizes):
                at = self._place[part.around[:, k], None] + np.arange(size)
                operands += [states[at].astype(np.float64), [0, 1 + k]]
        out = [axis for k in range(shape.pairs) for axis in (1 + k, 1 + count + k)]
        found = np.einsum(*operands, [0, *out], optimize=len(operands) > 4)
        return np.asarray(found > 0).reshape(len(part.who), -1)

    @property
    def _net(self) -> Net:
        """The kernels, flat."""
        assert self.system.net is not None
        return self.system.net

    @cached_property
    def _place(self) -> Ints:
        """(N,) where the states of each agent begin in a row of all."""
        sizes = np.array(self.system.spaces.n_states, dtype=np.int64)
        return np.cumsum(sizes) - sizes

    @cached_property
    def _graphs(self) -> tuple[Bools, Bools]:
        """(sum S_i,) states in which an agent may be in the long run; (N,) agents that can go between any two of them
        whatever the others do."""
        lasting = np.ones(sum(self.system.spaces.n_states), dtype=np.bool_)
        free = np.zeros(self.system.n_agents, dtype=np.bool_)
        alone = self.groups if self.policy.own else groups(self.system, self.policy, ahead=False)
        for step in ("may", "must"):
            for group in alone:
                s = group.shape.sizes[0][0]
                for part in self.parts(group):
                    graph = self._graph(part, step == "must", lasting)
                    at = self._place[part.who][:, None] + np.arange(s)
                    far = powers(graph)
                    if step == "may":
                        lasting[at] = far.any(axis=1)
                    else:
                        here = lasting[at]
                        free[part.who] = (far | ~(here[:, :, None] & here[:, None, :])).all(axis=(1, 2))
        return lasting, free

    def _graph(self, part: Group, must: bool, lasting: Bools) -> Bools:
        """(n, S, S) whether an agent may go from one of its states to another; must: wherever the others may be in the
        long run and whatever they do then."""
        sizes, n = part.shape.sizes[: part.shape.pairs], len(part.who)
        wide = [k for size in sizes for k in size]
        law = tables(self._net, part.who, (*wide, sizes[0][0])) > 0
        allowed = self.allowed(part, lasting if must else None).reshape(n, *wide, 1)
        if not must:
            axes = tuple(range(2, law.ndim - 1))
            return np.asarray((law & allowed).any(axis=axes))
        act, acts, states = 2, tuple(range(4, law.ndim - 1, 2)), tuple(range(3, law.ndim - 1, 2))
        met: Any = allowed.any(axis=acts, keepdims=True)
        sure: Any = met & ~(allowed & ~law).any(axis=acts, keepdims=True)  # by that action of its own
        met = met.any(axis=act, keepdims=True)
        found = (sure.any(axis=act, keepdims=True) | ~met).all(axis=states, keepdims=True)
        found &= met.any(axis=states, keepdims=True)
        return np.asarray(found.reshape(n, sizes[0][0], sizes[0][0]))

    @property
    def lasting(self) -> Bools:
        """(sum S_i,) states in which each agent may be in the long run."""
        return self._graphs[0]

    @cached_property
    def _leaves(self) -> bool:
        return not self.lasting.all()

    def upper_bounds(self, support: str) -> Bools:
        """(N,) agents of which not all combinations are known to occur among these pairs."""
        out = np.zeros(self.system.n_agents, dtype=np.bool_)
        if support == "reachable" and self.anywhere:
            return out
        free = self._graphs[1] & (support == "recurrent" or not self._leaves)
        for group in self.groups:
            out[group.who] = ~free[group.around].all(axis=1)
        return out


def powers(graph: Bools) -> Bools:
    """(n, S, S) what a graph reaches in exactly 2^k >= S^2 steps: everything if it is primitive."""
    far, steps, s = graph, 1, graph.shape[1]
    while steps < s * s:
        far = np.asarray((far.astype(np.float32) @ far.astype(np.float32)) > 0)
        steps *= 2
    return far


def tables(net: Net, who: Ints, shape: tuple[int, ...]) -> Floats:
    """(n, ...) tables of some agents."""
    at = net.first[who][:, None] + np.arange(math.prod(shape))
    return net.law[at].reshape(len(who), *shape)
