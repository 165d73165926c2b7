"""Restless bandits (Def. 7.4): arms with two actions, exactly `budget` of them active at each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .._check import Floats, Ints, freeze
from .._labelled import aligned, named, names_of
from .._types import ArrayLike, Kernels, LabelsLike, PolicyLike, RewardsLike, Sizes
from ..errors import NO_DISCOUNT, InvalidInput, Unsupported, by, short
from ..laws.source import Model, Unit
from .policy import IndexPolicy, LPUpdatePolicy
from .ragged import UNUSED, of_several_sizes, own_states, wide_kernels, wide_labels, widened
from .reading import Reading, mean_reward
from .spaces import Labels, Spaces
from .words import as_policy

if TYPE_CHECKING:
    from ..bandits.chain import BanditChain
    from ..bandits.lp_update import ArmsChain


#: What a malformed kernel or reward of one arm type of several needs.
ONE_EACH = "Give every type kernels (2, S, S) and rewards (S,) or (S, 2) of its own number of states S."


@dataclass(frozen=True, eq=False, repr=False)
class RestlessBandit(Model):
    """Restless arms with kernels `kernels[a, s, t]`: (actions, states, next states), by type a leading axis of types.

    Arms of one type are alike; exactly `budget` arms are active (action 1) at each step.

    Parameters
    ----------
    kernels : (2, S, S) and `n_arms` an int; or (T, 2, S, S) and `n_arms` of length T; or a list of (2, S_t, S_t), types
        of different numbers of states: the smaller ones get states "(not used)" that nothing leads to.
        `kernels[..., a, s, t] = P(t | s, a)`; (2, S, S) may be a list of two matrices, dense, sparse or data frames.
    rewards : (S,), (S, 2), or by type (T, S), (T, S, 2); an axis of three may be 1: (T, S, 1), (1, S, 2). Or with next
        states, as the kernels have them, of which the mean is taken. Types of different sizes: a list of one table
        each. Units of reward per step and arm.
    n_arms : number of arms, or of arms of each type (0: none now).
    budget : number of active arms M, 0 <= M <= total number of arms.
    discount : gamma in [0, 1); None: everything but values.
    labels : display names of types, states and actions, see `Labels`; a flat list of states (actions) is shared.
    order : axes of the kernel of an arm: "ASS" (None, as above) or "SAS", states first.
    normalize : divide every row by its sum, see `MultiAgentMDP`.

    Raises
    ------
    InvalidInput : wrong or ambiguous shapes, rows that are not laws, a budget outside 0..N, non-integer counts.

    >>> import markov_entanglement as me
    >>> rest, serve = [[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.1, 0.9]]
    >>> me.RestlessBandit([rest, serve], [0, 1], n_arms=9, budget=3, discount=0.9)
    RestlessBandit(9 arms, budget 3)

    Attributes
    ----------
    kernels : (T, 2, S, S); rewards : (T, S, 2); n_arms : (T,) int64.
    """

    kernels: Floats
    rewards: Floats
    n_arms: _check.Ints
    budget: int
    discount: float | None
    labels: Labels
    reading: str
    rescaled: float | None

    def __init__(
        self,
        kernels: Kernels,
        rewards: RewardsLike,
        *,
        n_arms: int | Sizes,
        budget: int,
        discount: float | None = None,
        labels: LabelsLike = None,
        order: str | None = None,
        normalize: bool = False,
    ) -> None:
        reading = Reading(order, "ASS", normalize, labels)
        each = _kernels(kernels, reading)
        types, own, states = len(each), tuple(k.shape[-1] for k in each), max(k.shape[-1] for k in each)
        apart = min(own) < states
        k = wide_kernels(list(each)) if apart else each if isinstance(each, np.ndarray) else np.stack(each)
        given: Any = n_arms
        one = len(_check.shape_of("n_arms", given)) == 0
        listed = [("n_arms", given)] if one else [(f"n_arms[{t}]", n) for t, n in enumerate(given)]
        counts = [_check.integer(name, n, low=0, high=2**62) for name, n in listed]
        if len(counts) != types:
            got = f"{len(counts)} counts for {types} arm types"
            raise InvalidInput("n_arms", got, "one count per type", "Match them.")
        if not 0 < sum(counts) < 2**62:
            raise InvalidInput.range("n_arms", sum(counts), 1, "2^62")
        names = Labels.of(reading.labels(types), Spaces(own, (2,) * types))
        names = wide_labels(names, own, states) if apart else names
        object.__setattr__(self, "kernels", freeze(k))
        object.__setattr__(self, "rewards", freeze(_rewards(rewards, k, reading.order, names)))
        object.__setattr__(self, "n_arms", freeze(np.array(counts, dtype=np.int64)))
        object.__setattr__(self, "budget", _check.integer("budget", budget, low=0, high=sum(counts)))
        object.__setattr__(self, "discount", None if discount is None else _check.discount(discount))
        object.__setattr__(self, "labels", names)
        wider = f"; types have {min(own)} to {states} states, the smaller ones {UNUSED!r} beside their own"
        object.__setattr__(self, "reading", reading.sentence() + (wider if apart else ""))
        object.__setattr__(self, "rescaled", reading.shift)

    def __repr__(self) -> str:
        kinds = f" of {self.n_types} types" if self.n_types > 1 else ""
        return f"RestlessBandit({self.n_agents:,} arms{kinds}, budget {self.budget:,})"

    def under(
        self, policy: PolicyLike = None, *, initial: ArrayLike | None = None
    ) -> BanditChain | ArmsChain:
        """The chain of the counts under an index or uniform policy; nothing is enumerated before it is asked for.

        Parameters
        ----------
        policy : an `IndexPolicy` or `UniformPolicy`, or a word: "uniform", "whittle", "lp", "myopic"; or an
            `LPUpdatePolicy` ("lp-update"), under which arms are stepped one by one.

        Raises
        ------
        Unsupported : another kind of policy, or an initial state (the long run is that of the recurrent class).
        """
        from ..bandits.chain import BanditChain

        if initial is not None:
            rule = "a bandit is analysed in the long run"
            raise Unsupported("initial", short(initial), rule, "Leave it out.")
        given = as_policy(policy, self)
        if isinstance(given, LPUpdatePolicy):
            from ..bandits.lp_update import arms_under

            return arms_under(self, given)
        return BanditChain(self, given)

    def read_rewards(self, rewards: Any) -> Floats:
        """(T, S, 2) of rewards in any shape that the constructor takes."""
        return _rewards(rewards, self.kernels, "ASS", self.labels)

    @property
    def units(self) -> tuple[Unit, ...]:
        """(T,) the arm types."""
        arms = [int(n) for n in self.n_arms]
        types = self.labels.names or [f"type {t}" for t in range(len(arms))]
        names = [f"{n:,} arms" if len(arms) == 1 and not self.labels.names else f"{t}: {n:,} arms"
                 for t, n in zip(types, arms, strict=True)]  # fmt: skip
        return tuple(Unit(name, 2 * self.n_states, n) for name, n in zip(names, arms, strict=True))

    def local_names(self, t: int) -> tuple[list[str], list[str]]:
        """Display names of the states and actions of type t; actions without labels rest and serve."""
        states = [self.labels.state(t, s) for s in range(self.n_states)]
        return states, list((self.labels.actions and self.labels.actions[t]) or ("rest", "serve"))

    def own_states(self, t: int) -> int:
        """Number of states of type t that are its own; the others are "(not used)"."""
        return own_states(self.labels, t, self.n_states)

    def counted(self, name: str, value: Any) -> Ints:
        """(T, S) numbers of arms in each state, of a user's (T, S), or (S,) for one type."""
        types, states, arms = self.n_types, self.n_states, self.n_arms
        n: Any = value if isinstance(value, np.ndarray) else _check.real(name, value)
        if n.dtype.kind not in "iu":
            n = _check.real(name, n)
            if (off := n[n != np.floor(n)]).size:
                remedy = "Round them so that they add up."
                raise InvalidInput(name, f"{off[0]:g} arms", "counts must be integers", remedy)
        n = n.astype(np.int64)
        if n.shape == (states,) and types == 1:
            n = n[None]
        if n.shape != (types, states):
            raise InvalidInput(name, f"shape {n.shape}", f"counts must be ({types}, {states})",
                               "One row per arm type, one column per local state.")  # fmt: skip
        if n.min() < 0 or (n.sum(axis=1) != arms).any():
            got = f"a count of {n.min()}" if n.min() < 0 else f"{n.sum(axis=1).tolist()} arms"
            rule = f"counts are >= 0 and sum to {arms.tolist()}"
            raise InvalidInput(name, got, rule, "Mend the counts.")
        return np.array(n)

    def ranks(self, policy: IndexPolicy) -> tuple[Ints, ...]:
        """(S,) class of every state of each type, 0 is served first.

        Raises
        ------
        InvalidInput : a type has another number of states.
        """
        ranks = policy.ranks(self.n_types)
        for t, r in enumerate(ranks):
            if len(r) not in (own := self.own_states(t), self.n_states):
                got, rule = (
                    f"{len(r)} entries for arm type {self.labels.kind(t)}",
                    f"an arm has {own} local states",
                )
                raise InvalidInput("priority", got, rule, "One priority per local state.")
        return tuple(widened(r, 0, self.n_states) for r in ranks)

    @property
    def gamma(self) -> float:
        """The discount; `InvalidInput` where there is none."""
        if self.discount is None:
            raise InvalidInput.kind("discount", None, *NO_DISCOUNT)
        return self.discount

    @property
    def n_agents(self) -> int:
        """Total number of arms N."""
        return int(self.n_arms.sum())

    @property
    def n_types(self) -> int:
        """Number of arm types T."""
        return self.kernels.shape[0]

    @property
    def n_states(self) -> int:
        """Local states S of an arm."""
        return self.kernels.shape[2]


def _kernels(value: Any, reading: Reading) -> Floats | list[Floats]:
    """(2, S_t, S_t) of each type, as the user gave them."""
    name, depth = "kernels", _check.depth(value)
    _check.known(name, value)
    listed = isinstance(value, list | tuple) and len(value) > 0
    if depth in (1, 2, 3) or (listed and all(_check.depth(k) == 2 for k in value)):
        return reading.local(name, value, actions=2)[None]
    apart = listed and (any(named(k) or any(map(sp.issparse, k)) for k in value) or of_several_sizes(value))
    if depth == 4 and not apart:
        reading.laws(f"{name}[0]", value[0], (2, None))
        laws = np.swapaxes(np.asarray(value), 1, 2) if reading.order == "SAS" else value
        return _check.probabilities(name, laws, shape=("T", 2, "S", "S"), rows=reading.rows)
    if not apart:
        _check.shape_of(name, value, ONE_EACH)
        raise InvalidInput.kind(
            name, value, "(2, S, S), or (T, 2, S, S)", "Give the laws of resting and of serving."
        )
    return [reading.local(f"{name}[{t}]", k, t, actions=2) for t, k in enumerate(value)]


def _own_rewards(value: Any, kernels: Floats, own: list[int], order: str, labels: Labels) -> Floats:
    """(T, S, 2) of one table for each type of its own number of states."""
    listed = _check.sequence("rewards", value, "one table per arm type")
    if len(listed) != len(own):
        raise InvalidInput("rewards", f"{len(listed)} tables", f"there are {len(own)} arm types", ONE_EACH)
    out = []
    for t, (r, k) in enumerate(zip(listed, own, strict=True)):
        mine = Labels((), ((labels.state_names(t) or ())[:k],), labels.actions[t : t + 1])
        try:
            table = _rewards(r, kernels[t : t + 1, :, :k, :k], order, mine)[0]
        except InvalidInput as e:
            raise InvalidInput(f"rewards[{t}]", e.got, e.rule, e.remedy) from None
        out.append(widened(table, 0, kernels.shape[-1]))
    return np.stack(out)


def _rewards(value: Any, kernels: Floats, order: str, labels: Labels) -> Floats:
    """(T, S, 2) of what the user gave."""
    name, types, states = "rewards", kernels.shape[0], kernels.shape[2]
    own = [own_states(labels, t, states) for t in range(types)]
    if min(own) < states and (_check.depth(value) == 0 or np.shape(value)[:2] != (types, states)):
        return _own_rewards(value, kernels, own, order, labels)
    if named(value) and len({labels.state_names(t) for t in range(types)}) > 1:
        rule, remedy = (
            "types of arms have states of different names",
            "Pass numbers, (T, S, 1) or (T, S, 2).",
        )
        raise InvalidInput(name, "names along its axes", rule, remedy)
    first, depth = labels.state_names(0), _check.depth(value)
    rows = (names_of(value) or (None,))[0]
    by_type = depth == 2 and bool(rows) and sorted(rows or ()) == sorted(labels.names)
    wanted = (labels.names, first) if by_type else (first, first if depth > 2 else labels.action_names(0))
    value = aligned(name, value, wanted[:depth])
    value = np.asarray(value)[:, :, None] if by_type else value
    shape: tuple[int, ...] = () if _check.depth(value) == 0 else np.shape(value)
    tables = len(shape) == 3 and shape[0] in (1, types) and shape[1] == states and shape[2] in (1, 2)
    each = value if len(shape) == 4 and shape[0] in (1, types) else [value]
    shared, laws = len(each) == 1, []
    if not tables and not (shared and mean_reward(name, each[0], kernels[0], order) is None):
        each = [*each] * types if shared else each
        laws = [mean_reward(name, r, k, order) for r, k in zip(each, kernels, strict=True)]
    means = [m for m in laws if m is not None]
    r = np.stack(means) if means else _check.amounts(name, value)
    if r.shape == (2, 2) == (types, states):
        rule = "it may be (S, A), the same for both types, or (T, S), the same for both actions"
        remedy = "Give (1, 2, 2) for the first, (2, 2, 1) for the second."
        raise InvalidInput("rewards", "shape 2x2", rule, remedy)
    if r.shape == (types, states) and types > 1:
        r = r[:, :, None]
    elif r.shape in {(states,), (1, states)}:
        r = r.reshape(1, states, 1)
    elif r.shape == (states, 2):
        r = r[None]
    if r.ndim != 3 or r.shape[0] not in (1, types) or r.shape[1] != states or r.shape[2] not in (1, 2):
        rule = f"it must be ({states},), ({states}, 2), ({types}, {states}) or ({types}, {states}, 2)"
        raise InvalidInput("rewards", f"shape {by(r.shape)}", rule, "Give one per local state (and action).")
    return np.array(np.broadcast_to(r, (types, states, 2)))
