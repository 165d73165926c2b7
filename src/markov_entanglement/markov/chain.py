"""The chain on joint pairs: `P^pi(x, x') = K(x, s') pi(a'|s')`, kept factored (see `space`).

`x = (s, a)` runs over the reachable pairs with `pi(a|s) > 0`, never over the full product.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Floats, Ints, freeze, sums_by
from ..errors import TooLarge, gib
from ..laws.rows import Rows
from ..laws.source import Alternatives, Joint, Kind, Runs, Unit
from ..model.bound_policy import BoundPolicy
from ..model.described import INSIDE, digest
from ..model.rewards import Rewards
from ..model.spaces import Spaces, ravel
from ..model.system import System
from .kernel import Kernel
from .states import WithStates

if TYPE_CHECKING:
    from .blind import BlindChain


@dataclass(frozen=True, eq=False, repr=False)
class AgentSpace(WithStates):
    """Joint pairs of agents with names, of a system under a policy; see `Chain` for its attributes."""

    system: System
    policy: BoundPolicy
    states: Ints
    pairs: Ints
    pair_state: Ints
    choice: sp.csr_array
    kernel: Kernel
    initial: Floats | None

    sampled = ("policy", "mu-atv")

    def __repr__(self) -> str:
        size = f"{self.n_states:,} joint states, {self.n_pairs:,} joint pairs"
        return f"{type(self).__name__}({self.n_agents:,} agents, {size})"

    @property
    def n_agents(self) -> int:
        """Number of agents N."""
        return self.system.n_agents

    @property
    def spaces(self) -> Spaces:
        """What each agent's local states and actions are."""
        return self.system.spaces

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """(N,) the agents."""
        name = self.system.labels.agent
        return tuple(Unit(name(i), m) for i, m in enumerate(self.spaces.pair_sizes))

    @property
    def decoupled(self) -> bool:
        """True when agents move on kernels of their own (Def. 7.1) and nothing ends."""
        return self.system.decoupled

    @cached_property
    def absorbed(self) -> str:
        """What to declare when tasks end though nobody said so; else "".

        They do where every run stops for good in one joint state though others are live, and where it ends among
        several in which the system's rewards are all 0 though others pay. Several that pay are an ordinary long run.
        """
        stuck, live = np.flatnonzero(self.classes.recurrent), ~self.classes.recurrent
        if self.ends is not None or not live.any():
            return ""
        rests = "stops for good in"
        if len(stuck) > self.classes.count:
            rewards, resting = self.system.rewards, self.classes.recurrent[self.pair_state]
            paid = np.zeros(1) if rewards is None else self.reward(rewards)
            if not paid.any() or paid[resting].any():
                return ""
            rests = "ends where nothing is paid any more, in"
        first = live if self.initial is None or not self.initial[live].any() else live & (self.initial > 0)
        shown, more = self.states[stuck[:4]].tolist(), ", ..." if len(stuck) > 4 else ""
        named = " or ".join(f"({self.describe(k)})" for k in stuck[:4])
        return (
            f"Every run {rests} {named}{more}, so the long run says nothing about the other {live.sum()} "
            f"joint states. If tasks end there, declare it: terminal={[tuple(x) for x in shown]}{more}, restart="
            f"{tuple(self.states[first.argmax()].tolist())} (or wherever the next one starts)."
        )

    def key_weight(self, u: int) -> Floats:
        return freeze(sums_by(self.pairs[:, u], self.occupancy, self.sizes[u]))

    def signal_of(self, u: int) -> Ints | None:
        return self.system.signal_of(u)

    @property
    def actions(self) -> tuple[int, ...]:
        return self.spaces.n_actions

    @property
    def reading(self) -> str:  # type: ignore[override]
        return self.system.reading

    @property
    def budget(self) -> int | None:
        return self.system.budget

    @property
    def discount(self) -> float | None:
        return self.system.discount

    @cached_property
    def features(self) -> sp.csr_array:
        """(n, M) one-hot local pairs of every agent; `D = features @ tables`."""
        return one_hot(self.pairs, self.sizes)

    def subsets(self, k: int) -> Iterable[tuple[int, ...]]:
        """Every k agents."""
        return itertools.combinations(range(self.n_agents), min(k, self.n_agents))

    def interaction(self, units: tuple[int, ...], at: Ints) -> sp.csr_array:
        """One-hot joint local pairs of these agents, those that occur."""
        sizes = [self.sizes[i] for i in units]
        joint = ravel(self.pairs[at][:, list(units)], sizes)
        seen, column = np.unique(joint, return_inverse=True)
        return one_hot(column.reshape(-1, 1), [len(seen)])

    def partner_rows(self, u: int, other: int) -> Rows | None:
        """The recurrent rows of agent u, the pair of another added to the key; None for itself."""
        if u == other:
            return None
        at = self.occupancy > 0
        return self.rows(u).where(at).refine(self.pairs[at, other], self.sizes[other])

    def local_names(self, u: int) -> tuple[list[str], list[str]]:
        return self.system.local_names(u)

    @property
    def stepped(self) -> Runs | None:
        """The same agents, stepped one by one."""
        from ..runs.agents import AgentRuns

        first = None if self.initial is None else (self.states, self.initial)
        return AgentRuns(self.system, self.policy if self.system.acts else None, first)

    def summary(self) -> dict[str, Any]:
        return {
            "title": repr(self.system),
            "kind": type(self.system).__name__,
            "agents": self.n_agents,
            "names": [u.name for u in self.units],
            "joint_states": self.n_states,
            "pairs": self.n_pairs,
            "recurrent_pairs": int(self.recurrent.sum()),
            "local_pairs": list(self.sizes),
            "budget": self.budget,
            "policy": dict(self.policy.told if self.system.acts else INSIDE) | self._digest,
            "rewards": None if self.system.rewards is None else self.system.rewards.summary(),
        }

    @property
    def _digest(self) -> dict[str, str]:
        """Tells laws of policies apart."""
        return {"digest": digest(self.pairs, self.pair_state, self.choice.data)}

    def point(self, x: int) -> tuple[int, ...]:
        """The local pairs of joint pair x."""
        return tuple(int(k) for k in self.pairs[x])

    def carried_features(self, local: Ints) -> Floats:
        """See `Space`: columns of the agents' next laws."""
        first = np.cumsum(self.sizes) - self.sizes
        mine = np.split(local, np.searchsorted(local, first[1:]))
        return np.concatenate([self.next_law(i)[:, at - first[i]] for i, at in enumerate(mine)], axis=1)

    def read_rewards(self, rewards: Any) -> Rewards:
        """The given rewards, or the system's.

        Raises
        ------
        InvalidInput : there are none, or malformed ones.
        """
        if rewards is None and self.system.rewards is not None:
            return self.system.rewards
        return self.system.read_rewards(rewards)

    def reward(self, rewards: Rewards) -> Floats:
        return rewards.on_pairs(self.pairs, self.system.spaces)

    def alternatives(self, rewards: Rewards, gamma: float, entries: float) -> Alternatives:
        from .build import alternatives

        return alternatives(self, rewards, gamma, entries)

    def local_kernel(self, u: int) -> Floats | None:
        kernels = self.system.own_laws if self.decoupled else None
        return None if kernels is None else kernels[u].transpose(1, 0, 2).reshape(self.sizes[u], -1)

    @property
    def start(self) -> Floats:
        """(S,) the initial law, or all joint states alike."""
        n = self.n_states
        return np.full(n, 1.0 / n) if self.initial is None else self.initial

    def describe(self, state: int) -> str:
        """A joint state by its labels."""
        labels = self.system.labels
        return ", ".join(labels.state(i, int(s)) for i, s in enumerate(self.states[state]))

    @cached_property
    def state_features(self) -> sp.csr_array:
        """(S, K) one-hot local states of every agent."""
        return one_hot(self.states, self.spaces.n_states)

    def state_rows(self, u: int) -> Rows:
        law, n = self.average(self.laws(u, "kernel").law), self.spaces.n_states[u]
        inside = self.recurrent[self.choice.indptr[:-1]]
        return Rows(self.states[:, u], self.stationary.law, law, n, inside, self.ends is not None)

    def agent_choice(self, i: int) -> Floats:
        """(S, m_i) law of agent i's local pair given the joint state: 1{s_i} pi(a_i|s)."""
        self._measure(i, self.n_states)
        flat = self.pair_state * self.sizes[i] + self.pairs[:, i]
        size = self.n_states * self.sizes[i]
        return sums_by(flat, self.choice.data, size).reshape(-1, self.sizes[i])

    def next_law(self, i: int) -> Floats:
        """(n, m_i) law of agent i's next pair, `p_i(t|x) = sum_{x': x'_i = t} P^pi(x, x')`.

        Where tasks end (n, m_i + 1): the part that goes on, and in the last column "ended".

        Raises
        ------
        TooLarge : the array would not fit.
        """
        return self._next_laws(i)

    @cached_property
    def _next_laws(self) -> Callable[[int], Floats]:
        @lru_cache(max(1, tol.BYTES // (16 * self.n_pairs * max(self.sizes))))
        def law_of(i: int) -> Floats:
            self._measure(i, self.n_pairs)
            law = self._carried(i)
            return freeze(law if self.ends is None else np.concatenate([law, self.ends[:, None]], axis=1))

        return law_of

    def _carried(self, i: int) -> Floats:
        """(n, m_i) what goes on of the law of agent i's next pair."""
        return self.kernel.carry(self.agent_choice(i))

    @property
    def listed(self) -> bool:
        return all(map(self.fits, range(self.n_agents)))

    def fits(self, i: int) -> bool:
        """Whether laws over the local pairs of agent i fit at all joint pairs."""
        return self._law_bytes(i, self.n_pairs) <= tol.BYTES // 4

    def _law_bytes(self, i: int, rows: int) -> int:
        return max(rows, self.n_states) * self.sizes[i] * 8

    def _measure(self, i: int, rows: int) -> None:
        """Refuse laws over the local pairs of agent i that would not fit."""
        size = self._law_bytes(i, rows)
        if size > tol.BYTES // 4:
            got = f"{rows:,} laws over {self.sizes[i]:,} local pairs, {gib(size)}"
            remedy = "Start from one joint state (`initial`), or coarsen the local states."
            raise TooLarge(f"laws of {self.units[i].name}", got, gib(tol.BYTES / 4), remedy)

    def make_rows(self, u: int, kind: Kind) -> Rows:
        weight = self.stationary.law if kind == "policy" else self.occupancy
        return replace(self.laws(u, kind), weight=weight)

    def laws(self, u: int, kind: Kind = "pair") -> Rows:
        """The same rows without weights, defined also where mu is not unique."""
        spaces, m = self.spaces, self.sizes[u]
        if kind == "policy":
            law = self.agent_choice(u).reshape(len(self.states), -1, spaces.n_actions[u]).sum(axis=1)
            first = self.choice.indptr[:-1]
            size = spaces.n_states[u]
            return Rows(self.states[:, u], np.zeros(len(law)), law, size, lambda: self.recurrent[first])
        law = self.next_law(u)
        if kind == "kernel":
            states = law[:, :m].reshape(len(law), -1, spaces.n_actions[u]).sum(axis=2)
            law = np.concatenate([states, law[:, m:]], axis=1)
        return Rows(
            self.pairs[:, u], np.zeros(len(law)), law, m, lambda: self.recurrent, self.ends is not None
        )


@dataclass(frozen=True, eq=False, repr=False)
class Chain(AgentSpace, Joint):
    """The induced chain of a system under a policy.

    Attributes
    ----------
    system : where it comes from.
    policy : the bound policy.
    states : (S, N) local states of each joint state of the chain.
    pairs : (n, N) local pair `x_i = s_i A_i + a_i` of each agent, for each joint pair of the chain.
    pair_state : (n,) row of `states` that each pair belongs to, ascending.
    choice : (S, n) sparse, `pi(a|s)`.
    kernel : `K`, from pairs to next joint states.
    initial : (S,) initial law over `states`, or None.
    """

    def merge(self, groups: Any) -> Chain:
        """The same chain when groups of agents count as one agent each.

        Nothing is approximated: joint pairs, steps and the occupancy stay; rewards of the members are summed. A group's
        local state lists those of its members in the order given, the first slowest; so does its action.

        Parameters
        ----------
        groups : lists of agents, by number or name, each agent in exactly one; their order is that of the new agents.

        Raises
        ------
        InvalidInput : an agent is in no group or in several, or is not there.
        TooLarge : a group with too many local pairs.

        >>> import markov_entanglement as me
        >>> chain = me.gallery.build("parity").chain()
        >>> two = chain.merge([(0, 1), (2,)])
        >>> two.sizes, len(two.pairs) == len(chain.pairs)
        ((4, 2), True)
        """
        from .merged import merged

        return merged(self, groups)

    def blind(self) -> BlindChain:
        """The same chain where local values may not see the signal of an `ExogenousMDP`.

        Raises
        ------
        Unsupported : the agents see no signal.
        """
        from .blind import blind

        return blind(self)


def one_hot(columns: Ints, sizes: Sequence[int]) -> sp.csr_array:
    """(n, sum of sizes) one-hot encoding of (n, N) columns, side by side."""
    n, agents = columns.shape
    first = np.concatenate([[0], np.cumsum(sizes)])
    at, starts = (columns + first[:-1]).ravel(), np.arange(0, n * agents + 1, agents)
    return sp.csr_array((np.ones(n * agents), at, starts), shape=(n, int(first[-1])))
