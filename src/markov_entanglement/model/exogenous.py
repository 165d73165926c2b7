"""Agents that all see a signal which moves on its own (App. J.1): prices, orders, weather."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _check
from .._check import Bools, Floats, Ints
from .._types import ArrayLike, Kernels, LabelsLike, RewardsLike
from .bound_policy import BoundPolicy, BudgetIndex
from .limited import Limited
from .policy import IndexPolicy, LocalPolicy
from .reading import Reading
from .resources import Resources, read
from .rewards import Rewards
from .signal import BySignal, SignalSpaces, wide_labels
from .signal_reading import (
    budget_resource,
    budgets_of,
    by_signal,
    read_kernel,
    read_signal,
    signal_names,
    wide_kernel,
    wide_resources,
    wide_rewards,
)
from .spaces import Labels, Spaces, about

if TYPE_CHECKING:
    from ..markov.chain import Chain
    from ..runs.agents import AgentChain
    from .nets import Net


@dataclass(frozen=True, eq=False, repr=False, init=False)
class ExogenousMDP(Limited):
    """Agents that see a signal z (App. J.1), kernels `kernels[i][z, a, s, t]`: (signals, actions, states, next states).

    `P(z', s' | z, s, a) = signal[z, z'] prod_i P_i(s_i' | z, s_i, a_i)`: the signal is a Markov chain that nobody
    influences. Local values read the signal as well, `D(x, z) = sum_i Q_i(x_i, z)`: the local state of agent i is the
    pair (z, s_i), number `z S_i + s_i`, and all that is asked of chains is asked of these. `chain.blind()` is the same
    chain where local values may not see z.

    Parameters
    ----------
    kernels : per agent (A_i, S_i, S_i), or (Z, A_i, S_i, S_i) where the signal changes how it moves. A row of zeros
        marks an action that the state does not offer.
    rewards : one table per agent, (S_i, A_i) or (S_i,), or (Z, S_i, A_i); or one joint array (shared reward), (joint
        states, joint actions), or with the signals in front, or a callable `(state, z, action) -> number`. Or None.
    signal : (Z, Z), `signal[z, y] = P(y | z)`.
    discount : gamma in [0, 1); None: everything but values.
    budget : if given, the actions of all agents sum to it; an integer, or one for each value of the signal.
    resources : constraints, see `WeaklyCoupledMDP`; costs may be (Z, S_i, A_i), and limits one number for each signal.
    labels : display names, see `Labels`; and `signals`, one name for each value of the signal.
    normalize : divide every row by its sum, see `MultiAgentMDP`.

    Policies are callables `(state, z) -> {action tuple: probability}`, `state` the tuple of plain local states, and
    what `under` takes else: arrays (Z, joint states, joint actions); `LocalPolicy` with tables (S_i, A_i) or (Z, S_i,
    A_i); `IndexPolicy` with priorities (S_i,) or (Z, S_i). A joint state is `(state, z)`, e.g. `initial=((0, 1), 2)`.

    Raises
    ------
    InvalidInput : wrong shapes, rows that are not laws, a budget out of range, limits that no action meets, a bad
        discount, names that do not agree.

    >>> import numpy as np, markov_entanglement as me
    >>> price = [[0.9, 0.1], [0.5, 0.5]]
    >>> battery = [[[1.0, 0.0], [0.3, 0.7]], [[0.0, 1.0], [0.0, 1.0]]]
    >>> earned = [[[0.0, -0.2], [0.5, 0.5]], [[0.0, -0.8], [0.5, 0.5]]]
    >>> system = me.ExogenousMDP([battery] * 2, [earned] * 2, signal=price, budget=1, discount=0.9)
    >>> system
    ExogenousMDP(2 agents, 2 signals, 8 joint states)
    >>> def cheap(state, z):
    ...     return {(0, 1): 0.5, (1, 0): 0.5} if state[0] == state[1] else {(1 - state[0], 1 - state[1]): 1.0}
    >>> me.entanglement(system.under(cheap), "policy").per_agent.round(6).tolist()
    [0.075, 0.075]

    Attributes
    ----------
    kernels : per agent as given, (A_i, S_i, S_i) or (Z, A_i, S_i, S_i); signal : (Z, Z).
    budgets : (Z,) where the budget depends on the signal, else None.
    """

    kernels: tuple[Floats, ...]
    signal: Floats
    spaces: SignalSpaces
    budgets: tuple[int, ...] | None
    plain_labels: Labels
    signal_names: tuple[str, ...]
    usual = "ASS"
    moves_itself = True

    def __init__(
        self,
        kernels: Kernels,
        rewards: RewardsLike = None,
        *,
        signal: ArrayLike,
        discount: float | None = None,
        budget: int | Sequence[int] | None = None,
        resources: Sequence[object] | None = None,
        labels: LabelsLike = None,
        normalize: bool = False,
    ) -> None:
        listed = _check.per_agent("kernels", kernels, "one (A_i, S_i, S_i) array per agent")
        labels, signals = signal_names(labels)
        reading = Reading(None, self.usual, normalize, labels)
        law = read_signal(signal, reading)
        z = len(law)
        checked = tuple(read_kernel(f"kernels[{i}]", k, i, z, reading) for i, k in enumerate(listed))
        plain = Spaces(tuple(k.shape[-1] for k in checked), tuple(k.shape[-3] for k in checked))
        spaces = SignalSpaces.of(plain, z)
        named = Labels.of(reading.labels(plain.n_agents), plain)
        signals = Labels.strings("agents.signals", signals, z)
        budget, budgets = budgets_of(budget, plain, z)
        budget, each = read(wide_resources(resources, spaces), budget, spaces)
        moves = [wide_kernel(k, z) for k in checked]
        empty = [(m == 0).all(axis=2).T for m in moves]
        lacking = empty if any(e.any() for e in empty) else []
        varying = () if budgets is None else (budget_resource(budgets, spaces),)
        limits = None
        if budget is not None or each or varying or lacking:
            limits = Resources(spaces, budget, (*varying, *each), lacking)
        own = {
            "kernels": checked, "signal": law, "budget": budget, "budgets": budgets, "resources": each,
            "limits": limits, "plain_labels": named, "signal_names": signals,
        }  # fmt: skip
        self._hold(spaces, wide_labels(named, signals, spaces), None, rewards, discount, reading, **own)

    def __repr__(self) -> str:
        z, n = self.spaces.n_signals, about(self.spaces.joint_states)
        return f"ExogenousMDP({self.n_agents:,} agents, {z} signals, {n} joint states)"

    def signal_of(self, i: int) -> Ints:
        z = self.spaces.n_signals
        return np.repeat(np.arange(z), self.spaces.pair_sizes[i] // z)

    @property
    def decoupled(self) -> bool:
        """True: given the signal only the policy couples the agents, so that Prop. J.4 bounds E_i."""
        return True

    @cached_property
    def moves(self) -> tuple[Floats, ...]:
        """Per agent (A_i, Z S_i, S_i) law of the next plain state given the signal and its state."""
        return tuple(wide_kernel(k, self.spaces.n_signals) for k in self.kernels)

    @cached_property
    def own_laws(self) -> tuple[Floats, ...]:
        z = self.spaces.n_signals
        return tuple(
            np.einsum("zy,azst->azsyt", self.signal, m.reshape(len(m), z, -1, m.shape[2])).reshape(
                len(m), m.shape[1], -1
            )
            for m in self.moves
        )

    @cached_property
    def signal_blind(self) -> bool:
        """Whether every agent moves alike under all values of the signal."""
        return all(k.ndim == 3 or (k == k[:1]).all() for k in self.kernels)

    @property
    def plain_kernels(self) -> tuple[Floats, ...] | None:
        """Per agent (A_i, S_i, S_i) where none reads the signal; else None."""
        sizes = self.spaces.plain.n_states
        return tuple(m[:, :s] for m, s in zip(self.moves, sizes, strict=True)) if self.signal_blind else None

    def plain_names(self, i: int) -> tuple[list[str], list[str]]:
        """Display names of the local states without the signal, and of the actions."""
        states = [self.plain_labels.state(i, s) for s in range(self.spaces.plain.n_states[i])]
        return states, self.local_names(i)[1]

    def factors(self, states: Ints, actions: Ints) -> list[tuple[Floats, Ints]]:
        """Of each law of which a joint row is the product, the signal's first: the table (rows, next), and the rows at
        (T, N), (T, N)."""
        own = [
            (m.reshape(-1, m.shape[2]), actions[:, i] * m.shape[1] + states[:, i])
            for i, m in enumerate(self.moves)
        ]
        return [(self.signal, self.spaces.apart(states)[1]), *own]

    @cached_property
    def _nets(self) -> tuple[Net, Net]:
        from .nets import net

        tables = [m.transpose(1, 0, 2).reshape(-1, m.shape[2]) for m in self.moves]
        own = net(tables, [(i,) for i in range(self.n_agents)], self.spaces.pair_sizes)
        return own, net([self.signal], [(0,)], [self.spaces.n_signals])

    def advance(
        self, states: Ints, actions: Ints, rng: np.random.Generator
    ) -> tuple[Ints, Floats | None, Bools]:
        from .nets import draw

        (own, shared), signal = self._nets, self.spaces.apart(states)[1][:, None]
        ahead, plain = np.empty_like(signal), np.empty_like(states)
        draw(rng.random(signal.shape), signal, shared, ahead)
        draw(rng.random(states.shape), self.spaces.local_pairs(states, actions), own, plain)
        return self.spaces.together(plain, ahead[:, 0]), None, np.zeros(len(states), dtype=np.bool_)

    def begin(self, count: int, rng: np.random.Generator) -> Ints:
        plain = rng.integers(0, np.array(self.spaces.plain.n_states), (count, self.n_agents))
        return self.spaces.together(plain, rng.integers(0, self.spaces.n_signals, count))

    def split(self, states: Any) -> tuple[Ints, Ints]:
        """Plain local states (T, N) and signals (T,) of joint states (T, N), as a `Path` has them.

        >>> import markov_entanglement as me
        >>> system = me.ExogenousMDP([[[[1.0, 0.0], [0.0, 1.0]]]] * 2, signal=[[0.5, 0.5], [0.5, 0.5]])
        >>> states, signal = system.split([[2, 3], [1, 0]])
        >>> states.tolist(), signal.tolist()
        ([[0, 1], [1, 0]], [1, 0])
        """
        return self.spaces.apart(np.asarray(states, dtype=np.int64), "states")

    def whole_state(self, name: str, value: Any) -> Any:
        n, z = self.n_agents, self.spaces.n_signals
        if isinstance(value, list | tuple) and len(value) == 2 and not np.isscalar(value[0]):
            state, seen = value
            shape = _check.shape_of(name, state)
            if shape == (n,) and np.ndim(seen) == 0:
                number = self.signal_names.index(seen) if seen in self.signal_names else seen
                number = _check.integer(f"{name} signal", number, low=0, high=z - 1)
                plain = self.plain_labels.numbered(name, list(state))
                sizes = zip(plain, self.spaces.plain.n_states, strict=True)
                each = [
                    _check.integer(f"{name}[{i}]", s, low=0, high=k - 1) for i, (s, k) in enumerate(sizes)
                ]
                return tuple(number * k + s for s, k in zip(each, self.spaces.plain.n_states, strict=True))
        law: tuple[int, ...] = (z, self.spaces.plain.joint_states)
        return np.reshape(value, -1) if _check.shape_of(name, value) == law else value

    def under(self, policy: Any = None, *, initial: Any = None) -> Chain | AgentChain:
        """See `System.under`; a joint state is `(state, z)`, a law may be (Z, joint states)."""
        return super().under(
            policy, initial=None if initial is None else self.whole_state("initial", initial)
        )

    def bind(self, policy: Any) -> BoundPolicy:
        sizes, z = self.spaces.plain, self.spaces.n_signals
        if isinstance(policy, LocalPolicy) and len(policy.tables) == self.n_agents:
            each = zip(policy.tables, sizes.n_states, sizes.n_actions, strict=True)
            wide = [by_signal("tables", t, (s, a), z) for t, s, a in each]
            policy = LocalPolicy([t if w is None else w for t, w in zip(policy.tables, wide, strict=True)])
        elif isinstance(policy, list | tuple) or hasattr(policy, "__array__"):
            wide_table = by_signal("policy", policy, (sizes.joint_states, sizes.joint_actions), z)
            policy = policy if wide_table is None else wide_table
        return super().bind(policy)

    def uniform(self) -> BoundPolicy:
        if self.budgets is None or self._more:
            return super().uniform()
        return BySignal(self.spaces, tuple(self.on_budget(b) for b in self.budgets))

    def indexed(self, policy: IndexPolicy) -> BoundPolicy:
        wide = IndexPolicy([*self._priorities(policy)])
        if self.budgets is None or self._more or set(self.spaces.n_actions) != {2}:
            return super().indexed(wide)
        return BySignal(self.spaces, tuple(BudgetIndex(self.spaces, wide, b) for b in self.budgets))

    @property
    def _more(self) -> bool:
        """Whether more than the budgets limits what agents do."""
        return self.limits is not None and len(self.limits.resources) > 1

    def _priorities(self, policy: IndexPolicy) -> list[Floats]:
        """Priorities of each agent over its states (z, s_i)."""
        given = policy.priority * self.n_agents if policy.shared else policy.priority
        sizes = self.spaces.plain
        out = []
        for p, s, a in zip(given, sizes.n_states, sizes.n_actions, strict=False):
            shapes = [(s,)] if a == 2 else [(s, a - 1)]
            found = next(
                (
                    w
                    for shape in shapes
                    if (w := by_signal("priority", p, shape, self.spaces.n_signals)) is not None
                ),
                p,
            )
            out.append(found)
        return out if len(given) == self.n_agents else list(given)

    def forbidden(self, states: Ints, actions: Ints) -> tuple[Bools, str, str]:
        if self.budgets is not None:
            _, signal = self.spaces.apart(states)
            allowed = np.array(self.budgets)[signal]
            wrong: Bools = actions.sum(axis=1) != allowed
            if wrong.any():
                rule = f"the budget there is {allowed[wrong.argmax()]}, so actions must sum to it"
                return (
                    wrong,
                    rule,
                    "Move that mass to actions on the budget of that signal, or change the budget.",
                )
        return super().forbidden(states, actions)

    def _means(self, value: Any, order: str) -> Any:
        return value if isinstance(value, Rewards) else wide_rewards(value, self.spaces, self.plain_labels)
