"""Tables of Gymnasium's toy-text environments: `env.unwrapped.P[s][a] = [(probability, next, reward, terminated)]`.

Accepted by shape; Gymnasium is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, TooLarge, gib, short
from ..model.mdp import MultiAgentMDP
from ..model.weakly_coupled import WeaklyCoupledMDP
from ._given import MOST, flat_mdp, law_of, mean, precise, told


def from_gymnasium(
    env: Any,
    *,
    n_states: Sequence[int] | None = None,
    n_actions: Sequence[int] | None = None,
    n_agents: int | None = None,
    discount: float | None = None,
    start: Any = None,
    ends: str = "stop",
    idle: bool = False,
    normalize: bool = False,
) -> MultiAgentMDP | WeaklyCoupledMDP:
    """A system from the table of an environment, `env.unwrapped.P[s][a] = [(probability, next, reward, terminated)]`.

    Parameters
    ----------
    env : one environment, or its table: one agent, or with `n_states` the agents (parts of the state) into which the
        state number splits. A list of environments: one walker on each, coupled only by the policy.
    n_states, n_actions : local sizes whose products are the numbers of states and actions, row-major (first slowest);
        Taxi is `n_states=(5, 5, 5, 4), n_actions=(6, 1, 1, 1)`.
    n_agents : that many walkers on the table of one environment.
    discount : gamma in [0, 1), which no environment says; None: everything but values.
    start : law of the first state (S,), or its number; None: `env.unwrapped.initial_state_distrib`.
    ends : "stop": values stop where `terminated` is True, and the next task starts afresh. "restart": the step that
        terminates leads to the start, and values go on. Walkers restart, each for itself.
    idle : walkers have an action 0 more, before those of the table: stay, and get nothing.
    normalize : divide every row by its sum, whatever that is; a warning says by how much the sums missed 1.

    Returns
    -------
    MultiAgentMDP, for a list or with `n_agents` a WeaklyCoupledMDP. Entries for the same next state add up; rewards
    `r(s, a, s')`, also those of the step that ends, are expectations over the next state. Time limits are
    no part of a table.

    Raises
    ------
    InvalidInput : no such table, no start; with "stop", a state that a start reaches and that is entered
        both by a step that terminates and by one that does not.

    >>> import markov_entanglement as me
    >>> coin = {0: {0: [(0.5, 0, 0.0, False), (0.5, 1, 1.0, True)]}, 1: {0: [(1.0, 1, 0.0, True)]}}
    >>> me.from_gymnasium(coin, discount=0.9, start=0).rewards.local
    (array([0.5, 0. ]),)
    """
    name = "env"
    _check.choice("ends", ends, ("stop", "restart"))
    _check.flag("idle", idle)
    if isinstance(env, Sequence) or n_agents is not None:
        for key, sizes in (("n_states", n_states), ("n_actions", n_actions)):
            if sizes is not None:
                raise InvalidInput(key, short(sizes), "each walker is one agent", f"Leave {key} out.")
        return _walkers(env, n_agents, start, idle, discount, normalize)
    if idle:
        raise InvalidInput(
            "idle", "True", "only walkers may idle", "Give a list of environments, or n_agents."
        )
    found = _Table.of(env, name)
    found.unused(start)
    if ends == "restart" and found.ended.any():
        return flat_mdp(
            name,
            found.restarted(found.start(start)),
            found.pay,
            n_states=n_states,
            n_actions=n_actions,
            discount=discount,
            normalize=normalize,
        )
    more: dict[str, Any] = {"normalize": normalize}
    if found.ended.any():
        law = found.start(start)
        more |= {"terminal": found.terminal(law), "restart": law}
    return flat_mdp(
        name, found.matrices(), found.pay, n_states=n_states, n_actions=n_actions, discount=discount, **more
    )


def _walkers(
    env: Any, n_agents: int | None, start: Any, idle: bool, discount: float | None, normalize: bool
) -> WeaklyCoupledMDP:
    """One agent on each table, which starts again by itself."""
    if n_agents is not None:
        n_agents = _check.integer("n_agents", n_agents, low=1, high=MOST)
    if isinstance(env, Sequence) and n_agents not in (None, len(env)):
        rule = f"the list has {len(env)} environments"
        raise InvalidInput("n_agents", short(n_agents), rule, "Leave n_agents out.")
    if isinstance(env, Sequence):
        named = [(f"env[{i}]", e) for i, e in enumerate(env)]
    else:
        named = [("env", env)] * int(n_agents or 1)
    made: dict[int, Any] = {}
    for name, one in named:
        if id(one) not in made:
            found = _Table.of(one, name)
            found.unused(start)
            size = found.n_states**2 * found.n_actions * 8
            if size > tol.BYTES:
                raise TooLarge(name, f"{gib(size)} dense", gib(tol.BYTES), "Choose a smaller environment.")
            kernel = found.restarted(found.start(start)) if found.ended.any() else found.matrices()
            dense, pay = np.stack([k.toarray() for k in kernel]), found.pay
            if idle:
                dense = np.concatenate([np.eye(found.n_states, dtype=dense.dtype)[None], dense])
                pay = np.concatenate([np.zeros((found.n_states, 1)), pay], axis=1)
            made[id(one)] = dense, pay
    pairs = [made[id(one)] for _, one in named]
    kernels, rewards = [k for k, _ in pairs], [pay for _, pay in pairs]
    system = WeaklyCoupledMDP(kernels, rewards, discount=discount, normalize=normalize)
    told("env", system.rescaled)
    return system


class _Table:
    """The entries of a table, one after the other: state, action, probability, next, reward, terminated."""

    def __init__(
        self, name: str, given: Any, n_states: int, n_actions: int, entries: list[tuple[Any, ...]]
    ) -> None:
        self.name, self.given, self.n_states, self.n_actions = name, given, n_states, n_actions
        s, a, p, t, r, d = zip(*entries, strict=True)
        self.s, self.a, self.t = (np.asarray(x, dtype=np.int64) for x in (s, a, t))
        self.p, self.r = precise(f"{name}.P", p), _check.real(f"{name}.P", r)
        self.ended: Bools = np.asarray(d, dtype=np.bool_) & (self.p > 0.0)

    @classmethod
    def of(cls, env: Any, name: str) -> _Table:
        """Read and check the table of an environment, or a table as such."""
        inner = getattr(env, "unwrapped", env)
        table = env if isinstance(env, Mapping) else getattr(inner, "P", None)
        if not isinstance(table, Mapping | list | tuple):
            rule = (
                "it must have a table env.unwrapped.P[state][action], as Gymnasium's toy-text environments do"
            )
            raise InvalidInput(
                name, short(env), rule, "Others can be given as a transition table: me.from_table."
            )
        entries, actions = [], 1
        for s in range(len(table)):
            by_action = _item(name, table, s)
            if not isinstance(by_action, Mapping | list | tuple):
                rule = "it must hold the entries of each action"
                raise InvalidInput(
                    f"{name}.P[{s}]", short(by_action), rule, "Give a list of entries per action."
                )
            keys = by_action if isinstance(by_action, Mapping) else range(len(by_action))
            for a in keys:
                actions = max(actions, _check.integer(f"{name}.P[{s}]", _whole(a), low=0, high=10**6) + 1)
                at = f"{name}.P[{s}][{a}]"
                if not isinstance(by_action[a], list | tuple):
                    rule = "it must be a list of (probability, next, reward, terminated)"
                    raise InvalidInput(at, short(by_action[a]), rule, "Mend it.")
                entries += [(s, a, *_entry(at, e, len(table))) for e in by_action[a]]
        if not entries:
            raise InvalidInput(f"{name}.P", "no entries", "each state has an action", "Fill the table.")
        return cls(name, inner, len(table), actions, entries)

    @property
    def pay(self) -> Floats:
        """(S, A) expected rewards."""
        at = self.s * self.n_actions + self.a
        total, mass = (
            _check.sums_by(at, w, self.n_states * self.n_actions) for w in (self.p * self.r, self.p)
        )
        return mean(total, mass).reshape(self.n_states, self.n_actions)

    def unused(self, start: Any) -> None:
        """Refuse a start that nothing leads to."""
        if start is not None and not self.ended.any():
            rule = f"no step of {self.name} terminates, so no task starts again"
            raise InvalidInput("start", short(start), rule, "Leave start out.")

    def matrices(self, keep: Bools | None = None) -> list[sp.csr_array]:
        """One (S, S) matrix per action of the entries to `keep` (None: all); what stands twice adds up."""
        keep = np.ones(len(self.s), dtype=np.bool_) if keep is None else keep
        shape = self.n_states, self.n_states
        at = [np.flatnonzero((self.a == a) & keep) for a in range(self.n_actions)]
        return [sp.csr_array((self.p[k], (self.s[k], self.t[k])), shape=shape) for k in at]

    def restarted(self, law: Floats) -> list[sp.csr_array]:
        """The matrices with what ends led to the start."""
        ends = [np.where(self.ended & (self.a == a), self.p, 0.0) for a in range(self.n_actions)]
        mass = [sp.csr_array(_check.sums_by(self.s, p, self.n_states)[:, None]) for p in ends]
        row, kind = sp.csr_array(law[None]), self.p.dtype
        both = zip(self.matrices(~self.ended), mass, strict=True)
        return [sp.csr_array(k + m @ row, dtype=kind) for k, m in both]

    def start(self, given: Any) -> Floats:
        """(S,) law of the first state."""
        value = getattr(self.given, "initial_state_distrib", None) if given is None else given
        if value is None:
            rule = "an episode ends, and nothing says where the next one starts"
            raise InvalidInput("start", "nothing", rule, "Give start=0, or a law over the states.")
        return law_of("start", value, self.n_states)

    def terminal(self, law: Floats) -> Ints:
        """States in which episodes end. Refuses one that is also entered without an end, where a start reaches that."""
        live = (self.p > 0.0) & ~self.ended
        at = np.unique(self.t[self.ended])
        seen = law > 0.0
        while True:
            more = seen.copy()
            more[self.t[live & seen[self.s]]] = True
            if (more == seen).all():
                break
            seen = more
        both = at[seen[at]]
        if len(both):
            got = f"state {both[0]}, in which an episode ends and also starts or goes on"
            rule = "a terminal state is entered by steps that terminate only"
            raise InvalidInput(f"{self.name}.P", got, rule, "Use ends='restart', or add a state for the end.")
        return at


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, np.integer) else value


def _item(name: str, table: Any, s: int) -> Any:
    try:
        return table[s]
    except (KeyError, IndexError):
        rule = f"its {len(table)} states are numbered 0, 1, 2, ..."
        raise InvalidInput(f"{name}.P", f"no state {s}", rule, "Number them.") from None


def _entry(name: str, entry: Any, n_states: int) -> tuple[Any, int, Any, bool]:
    """(probability, next, reward, terminated), checked."""
    try:
        p, t, r, d = entry
    except (TypeError, ValueError):
        rule = "an entry is (probability, next, reward, terminated)"
        raise InvalidInput(name, short(entry), rule, "Mend that entry.") from None
    found = _check.integer(name, _whole(t), low=0, high=n_states - 1)
    if not isinstance(d, bool | np.bool_):
        raise InvalidInput.kind(f"{name}, terminated", d, "True or False", "Mend that entry.")
    chance = _check.number(name, p)
    kept = p if isinstance(p, np.floating) else chance  # in its precision
    return kept, found, _check.number(name, r), bool(d)
