"""Factored systems (App. J.2): what an agent does next depends on the local pairs of its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from .._types import Kernels, LabelsLike, RewardsLike
from ..errors import InvalidInput, by, short
from .bound_policy import BoundPolicy, Product
from .budget_uniform import FreeUniform
from .policy import NeighbourPolicy
from .reading import Reading
from .resources import Resources
from .spaces import Labels, Spaces, about, ravel
from .system import System

if TYPE_CHECKING:
    from ..markov.chain import Chain
    from ..runs.agents import AgentChain
    from .nets import Net

#: Bytes of a kernel entry while a joint chain is made.
_ENTRY = 40


@dataclass(frozen=True, eq=False, repr=False, init=False)
class FactoredMDP(System):
    """Agents that read their neighbours (App. J.2), kernels `kernels[i][x_i, x_j, ..., t]`: (local pairs, next states).

    `P(s'|s,a) = prod_i P_i(s_i' | x_i, x_j, ...)`, where `x_j = s_j A_j + a_j` are the local pairs of the neighbours
    `neighbours[i] = (i, j, ...)`, the own agent first.

    Parameters
    ----------
    kernels : per agent (m_i, m_j, ..., S_i), `kernels[i][x_i, x_j, ..., t] = P_i(t | x_i, x_j, ...)`, one axis of local
        pairs for each of its neighbours in their order; one array (N, m_i, m_j, ..., S_i) where all have one shape; or
        a list of one kernel for all agents. An object that stands for many agents is checked and kept once.
    rewards : one table per agent, (S_i, A_i), (S_i,) or (m_i,); or one joint array (shared reward). Or None.
    neighbours : per agent the agents that its kernel reads, itself first.
    discount : gamma in [0, 1); None: everything but values.
    labels : display names, see `Labels`.
    normalize : divide every row by its sum, see `MultiAgentMDP`.

    Raises
    ------
    InvalidInput : neighbours that are no agents, or without the own one in front; a kernel whose axes are not those of
        its neighbours, as where one of the agents that it reads is missing among them; rows that are not laws; a bad
        discount.

    >>> import numpy as np, markov_entanglement as me
    >>> up = np.array([[0.05, 0.5], [0.4, 0.95]])  # [own state, state of the machine before]
    >>> kernel = np.stack([1 - up, up], axis=2)
    >>> ring = me.FactoredMDP([kernel] * 4, [[0, 1]] * 4, neighbours=[(i, (i - 1) % 4) for i in range(4)], discount=0.9)
    >>> me.entanglement(ring.under("uniform"), "atv").per_agent.round(6).tolist()
    [0.275, 0.275, 0.275, 0.275]

    Attributes
    ----------
    kernels : per agent (m_i, m_j, ..., S_i); neighbours : per agent a tuple.
    """

    kernels: tuple[Floats, ...]
    neighbours: tuple[tuple[int, ...], ...]
    usual = ""
    moves_itself = True

    def __init__(
        self,
        kernels: Kernels,
        rewards: RewardsLike = None,
        *,
        neighbours: Sequence[Sequence[int]],
        discount: float | None = None,
        labels: LabelsLike = None,
        normalize: bool = False,
    ) -> None:
        sets = _sets(neighbours)
        given = list(_check.sequence("kernels", kernels, "one (m_i, m_j, ..., S_i) array per agent"))
        if len(given) not in {1, len(sets)}:
            got, rule = f"{len(given)} kernels", f"there are {len(sets)} neighbour sets"
            raise InvalidInput("kernels", got, rule, "Give one for each, or a list of one for all agents.")
        given = [given[0]] * len(sets) if len(given) == 1 else given
        axes = "(own pair, pairs of the neighbours in order, next states)"
        reading = Reading(None, "", normalize, labels, axes)
        laws = _check.probabilities_of_each("kernels", given, None, reading.rows)
        spaces = _spaces(laws, sets)
        own = {"kernels": laws, "neighbours": sets}
        self._hold(spaces, Labels.of(labels, spaces), None, rewards, discount, reading, **own)

    def __repr__(self) -> str:
        return f"FactoredMDP({self.n_agents:,} agents, {about(self.spaces.joint_states)} joint states)"

    @cached_property
    def net(self) -> Net:
        from .nets import net

        return net(self.kernels, self.neighbours, self.spaces.pair_sizes)

    def factors(self, states: Ints, actions: Ints) -> list[tuple[Floats, Ints]]:
        """Of each law of which a joint row is the product: the table (rows, next), and the rows at (T, N), (T, N)."""
        pairs, sizes = self.spaces.local_pairs(states, actions), self.spaces.pair_sizes
        near = [(k, list(z)) for k, z in zip(self.kernels, self.neighbours, strict=True)]
        return [(k.reshape(-1, k.shape[-1]), ravel(pairs[:, z], [sizes[j] for j in z])) for k, z in near]

    def advance(
        self, states: Ints, actions: Ints, rng: np.random.Generator
    ) -> tuple[Ints, Floats | None, Bools]:
        from .nets import draw

        after = np.empty_like(states)
        draw(rng.random(states.shape), self.spaces.local_pairs(states, actions), self.net, after)
        return after, None, np.zeros(len(states), dtype=np.bool_)

    def feasible(self, states: Ints) -> sp.csr_array:
        """Mask (T, joint actions): all of them."""
        return Resources(self.spaces, None, ()).mask(states)

    def uniform(self) -> BoundPolicy:
        return FreeUniform(self.spaces, self.feasible)

    def neighbourly(self, policy: NeighbourPolicy) -> BoundPolicy:
        return Product(self.spaces, policy.tables, self.neighbours)

    def under(self, policy: Any = None, *, initial: Any = None) -> Chain | AgentChain:
        """The chain on joint pairs, see `System.under`; where its kernel would not fit, one whose "atv" is found from
        the neighbour sets, and whose other questions are answered by runs."""
        bound = self.bind(policy)
        starts = self._starts(initial)
        if self._fits(bound) or (initial is not None and starts is None):
            return super().under(bound, initial=initial)
        return self._stepped(bound, starts)

    def _stepped(self, bound: BoundPolicy, starts: tuple[Ints, Floats] | None) -> AgentChain:
        from ..runs.factored import FactoredChain

        return FactoredChain(self, bound, starts)

    def running(self, policy: Any = None) -> AgentChain:
        return self._stepped(self.bind(policy), None)

    def _fits(self, bound: BoundPolicy) -> bool:
        """Whether the kernel from the pairs that a policy allows to all joint states would fit."""
        room, states = math.log(tol.BYTES / _ENTRY), float(np.log(self.spaces.n_states).sum())
        if 2.0 * states > room or not isinstance(bound, Product):
            return 2.0 * states <= room
        allowed = [(t > 0).sum(axis=-1).reshape(t.shape[0], -1).max(axis=1).sum() for t in bound.tables]
        return states + float(np.log(allowed).sum()) <= room


def _sets(neighbours: Any) -> tuple[tuple[int, ...], ...]:
    """Validated neighbour sets: distinct agents, the own one first."""
    listed, found = _check.sequence("neighbours", neighbours, "the neighbours of each agent"), []
    if not len(listed):
        raise InvalidInput("neighbours", "none", "there must be one set per agent", "E.g. [(0, 1), (1, 0)].")
    for i, given in enumerate(listed):
        name, remedy = f"neighbours[{i}]", f"E.g. ({i},) for an agent that reads its own pair alone."
        if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray) or not len(given):
            raise InvalidInput.kind(name, given, f"the agents that agent {i} reads, itself first", remedy)
        one = tuple(int(j) if type(j) is int else _check.integer(name, j) for j in given)
        if min(one) < 0 or max(one) >= len(listed):
            raise InvalidInput(name, short(one), f"agents are 0..{len(listed) - 1}", "Mend it.")
        if len(set(one)) < len(one):
            remedy = "Leave one out, with its axis of the kernel."
            raise InvalidInput(name, short(one), "each agent is named once", remedy)
        if one[0] != i:
            rest = tuple(j for j in one if j != i)
            raise InvalidInput(name, short(one), "the own agent comes first",
                               f"Write {(i, *rest)}, and order the axes of kernels[{i}] alike.")  # fmt: skip
        found.append(one)
    return tuple(found)


def _spaces(laws: Sequence[Floats], sets: Sequence[tuple[int, ...]]) -> Spaces:
    """Local sizes by the first and last axes of the kernels; all axes must be those of the neighbours."""
    for i, (law, near) in enumerate(zip(laws, sets, strict=True)):
        if law.ndim != len(near) + 1:
            many = law.ndim - 1
            lacks = "too few: add each agent that the kernel reads" if many > len(near) else "too many"
            raise InvalidInput(f"kernels[{i}]", f"shape {by(law.shape)}, {many} axes of local pairs",
                               f"neighbours[{i}] = {short(near)} needs {len(near)}, and one of next states",
                               f"One axis for each agent that it reads; or neighbours[{i}] names {lacks}.")  # fmt: skip
        if law.shape[0] % law.shape[-1]:
            rule = "local pairs are local states times actions"
            raise InvalidInput(f"kernels[{i}]", f"{law.shape[0]} local pairs and {law.shape[-1]} next states", rule,
                               "Check its first and last axes.")  # fmt: skip
    pairs = [law.shape[0] for law in laws]
    for i, (law, near) in enumerate(zip(laws, sets, strict=True)):
        want = tuple(pairs[j] for j in near)
        if law.shape[:-1] != want:
            rule = f"agents {short(near)} have {by(want)} local pairs"
            raise InvalidInput(f"kernels[{i}]", f"{by(law.shape[:-1])} local pairs", rule,
                               f"Order its axes as neighbours[{i}].")  # fmt: skip
    return Spaces(tuple(law.shape[-1] for law in laws), tuple(law.shape[0] // law.shape[-1] for law in laws))
