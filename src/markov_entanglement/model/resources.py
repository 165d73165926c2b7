"""What joint actions may cost: at most M, knapsacks, several constraints; a budget is the shortest of them.

Feasible joint actions are listed agent by agent, for many joint states at once; a beginning that no ending can make
feasible is dropped at once, so that the work grows with the actions that are feasible and not with all there are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, TooLarge
from .spaces import AT_SCALE, Spaces, about

_FORM = 'a list of (costs, limit, "<=" or "==")'
_KEYS = ("costs", "limit", "sense")
#: Bytes that one listed joint action takes while it is listed, beside 24 for each resource.
_ACTION = 40
#: Different sums of costs up to which joint actions are counted before they are listed.
_SUMS = 20_000


@dataclass(frozen=True, eq=False, repr=False)
class Resource:
    """`sum_i costs[i][s_i, a_i] <= limit`, or `==`.

    Attributes
    ----------
    costs : per agent (S_i, A_i), >= 0.
    limit : units of the costs.
    sense : "<=" or "==".
    """

    costs: tuple[Floats, ...]
    limit: float
    sense: str

    def __repr__(self) -> str:
        return f"Resource({len(self.costs)} agents, {self.sense} {self.limit:g})"

    @classmethod
    def of(cls, name: str, value: Any, spaces: Spaces) -> Resource:
        """What the user gave: a tuple, or a mapping with the same names."""
        if isinstance(value, cls):
            value = (value.costs, value.limit, value.sense)
        if isinstance(value, Mapping):
            for key in value:
                if key not in _KEYS:
                    raise InvalidInput.unknown(f"{name}.{key}", key, _KEYS, "keys are", "an unknown key")
            value = tuple(value[k] for k in _KEYS if k in value)
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
            raise InvalidInput.kind(name, value, 'costs, a limit and "<=" or "=="',
                                    'E.g. ([0, 1], 2, "<="): at most two agents take action 1.')  # fmt: skip
        costs, limit, sense = value
        low = _check.number(f"{name}.limit", limit)
        if low < 0:
            raise InvalidInput.kind(f"{name}.limit", limit, ">= 0", "Costs are not negative either.")
        return cls(
            _costs(f"{name}.costs", costs, spaces), low, _check.choice(f"{name}.sense", sense, ("<=", "=="))
        )

    @property
    def unit(self) -> float | None:
        """The cost of one, where action a costs a times that, whatever the agent and its state; else None."""
        one = next((float(c[0, 1]) for c in self.costs if c.shape[1] > 1), 0.0)
        same = all(
            np.array_equal(c, np.broadcast_to(one * np.arange(c.shape[1]), c.shape)) for c in self.costs
        )
        return one if same and one > 0 else None

    def plain(self) -> dict[str, Any]:
        """As in a file: costs in the shortest form that says the same."""
        rows = [c[0] if (c == c[0]).all() else c for c in self.costs]
        first = rows[0]
        same = first.ndim == 1 and all(np.array_equal(r, first) for r in rows)
        return {"costs": first if same else rows, "limit": self.limit, "sense": self.sense}


def _costs(name: str, value: Any, spaces: Spaces) -> tuple[Floats, ...]:
    """Per agent (S_i, A_i) of (A,) for all, or of (A_i,) or (S_i, A_i) for each."""
    value = _check.sequence(name, value, "costs of each agent, or one list (A,) for all")
    n = spaces.n_agents
    shapes = [_check.shape_of(f"{name}[{i}]", v) for i, v in enumerate(value)]
    shared = bool(shapes) and all(s == () for s in shapes)
    if not shared and len(shapes) != n:
        rule = f"there are {n} agents"
        raise InvalidInput(name, f"{len(shapes)} lists", rule, "Give one for each, or one list (A,) for all.")
    out = []
    for i, (s, a) in enumerate(zip(spaces.n_states, spaces.n_actions, strict=True)):
        at = name if shared else f"{name}[{i}]"
        c = _check.nonnegative(at, value if shared else value[i])
        if c.shape not in {(a,), (s, a)}:
            rule = f"agent {i} has {s} local states and {a} actions"
            raise InvalidInput(at, f"{c.size} costs of shape {c.shape}", rule, f"Give ({a},) or ({s}, {a}).")
        out.append(_check.freeze(np.array(np.broadcast_to(c, (s, a)))))
    return tuple(out)


def read(value: Any, budget: int | None, spaces: Spaces) -> tuple[int | None, tuple[Resource, ...]]:
    """The budget and the other constraints of what the user gave; an equality on action numbers alone is a budget."""
    if value is None:
        return budget, ()
    if isinstance(value, Mapping | str) or not isinstance(value, Sequence):
        raise InvalidInput.kind("resources", value, _FORM, 'E.g. resources=[([0, 1], 2, "<=")].')
    if len(value) == 3 and isinstance(value[2], str):
        raise InvalidInput("resources", "one constraint", f"it must be {_FORM}", "Put it in a list: [(...)].")
    given = [Resource.of(f"resources[{k}]", v, spaces) for k, v in enumerate(value)]
    for k, r in enumerate(given):
        if (
            budget is None
            and r.sense == "=="
            and (one := r.unit) is not None
            and (r.limit / one).is_integer()
        ):
            top = sum(a - 1 for a in spaces.n_actions)
            budget = _check.integer(f"resources[{k}].limit", int(r.limit / one), low=0, high=top)
            del given[k]
            break
    return budget, tuple(given)


class Resources:
    """All constraints on the joint actions of one system, the budget first.

    `lacking` marks per agent (S_i, A_i) what a state does not offer: a constraint as well, at most none of it.
    """

    def __init__(
        self, spaces: Spaces, budget: int | None, each: Sequence[Resource], lacking: Sequence[Bools] = ()
    ) -> None:
        closed = [Resource(tuple(x.astype(np.float64) for x in lacking), 0.0, "<=")] if lacking else []
        self.lacking = tuple(lacking)
        self.spaces, self.budget, self.resources = spaces, budget, (*each, *closed)
        self.names = [*(f"resources[{k}]" for k in range(len(each))), *(["kernels"] * len(closed))]
        limits, senses = [r.limit for r in self.resources], [r.sense for r in self.resources]
        if budget is not None:
            self.names, limits, senses = ["budget", *self.names], [float(budget), *limits], ["==", *senses]
        self.limit = np.array(limits)
        self.exact = np.array([s == "==" for s in senses], dtype=np.bool_)
        if self.resources and self.fixed:
            self._refuse(np.zeros(spaces.n_agents, dtype=np.int64), "any state", sure=False)

    @cached_property
    def costs(self) -> list[Floats]:
        """Per agent (S_i, A_i, R)."""
        out = []
        for i, (s, a) in enumerate(zip(self.spaces.n_states, self.spaces.n_actions, strict=True)):
            own = [] if self.budget is None else [np.tile(np.arange(a, dtype=np.float64), (s, 1))]
            own += [r.costs[i] for r in self.resources]
            out.append(np.stack(own, axis=2) if own else np.zeros((s, a, 0)))
        return out

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, S, A, R) of the costs of all agents side by side."""
        spaces = self.spaces
        return spaces.n_agents, max(spaces.n_states), max(spaces.n_actions), len(self.limit)

    @cached_property
    def _padded(self) -> Floats:
        """The same side by side."""
        out = np.zeros(self.shape)
        for i, c in enumerate(self.costs):
            out[i, : c.shape[0], : c.shape[1]] = c
        return out

    @cached_property
    def slack(self) -> Floats:
        """(R,) rounding of a sum of costs."""
        most = sum((c.max(axis=(0, 1)) for c in self.costs), np.zeros(len(self.limit)))
        return np.asarray(tol.RESOURCE * np.maximum(most, self.limit))

    @cached_property
    def fixed(self) -> bool:
        """No cost depends on a state."""
        return all((c == c[:1]).all() for r in self.resources for c in r.costs)

    @property
    def at_most(self) -> int | None:
        """What the numbers of the actions may sum to, where that is all that is asked; else None."""
        one = self.resources[0].unit if len(self.limit) == 1 and not self.exact[0] else None
        top = sum(a - 1 for a in self.spaces.n_actions)
        return None if one is None else min(int((self.limit[0] + self.slack[0]) // one), top)

    def used(self, states: Ints, actions: Ints) -> Floats:
        """(T, R) what local states and actions (T, N) use of each resource."""
        if len(states) < self.spaces.n_agents and math.prod(self.shape) * 8 <= tol.BYTES:
            at = np.arange(self.spaces.n_agents), states, actions
            return np.asarray(self._padded[at].sum(axis=1))
        out = np.zeros((len(states), len(self.limit)))
        for i, c in enumerate(self.costs):
            out += c[states[:, i], actions[:, i]]
        return out

    def broken(self, states: Ints, actions: Ints) -> tuple[Bools, str]:
        """Which of the local states and actions (T, N) break a constraint; which one the first of them breaks."""
        used = self.used(states, actions)
        wrong = (used > self.limit + self.slack) | (self.exact & (used < self.limit - self.slack))
        bad: Bools = np.asarray(wrong.any(axis=1), dtype=np.bool_)
        if not bad.any():
            return bad, ""
        at = int(bad.argmax())
        r = int(wrong[at].argmax())
        if self.names[r] == "budget":
            return bad, f"the budget is {self.budget}, so actions must sum to it"
        if self.names[r] == "kernels":
            return bad, "an agent's action is not available there (its kernel row is empty)"
        sense = "all of it must be used" if self.exact[r] else "no more may be used"
        return (
            bad,
            f"it uses {used[at, r]:.6g} of {self.names[r]}, whose limit is {self.limit[r]:.6g}: {sense}",
        )

    @cached_property
    def count(self) -> float:
        """How many joint actions are feasible; inf where costs depend on a state, or too many sums of them differ."""
        if not len(self.limit) or not self.fixed:
            return math.inf if len(self.limit) else self.spaces.joint_actions
        sums, ways = np.zeros((1, len(self.limit))), np.ones(1)
        low, high = self._ends(np.zeros((1, self.spaces.n_agents), dtype=np.int64))
        for c in self.costs:
            low, high = low - c[0].min(axis=0), high - c[0].max(axis=0)
            new = sums[:, None] + c[0]
            at, a = np.nonzero(self._open(new, low, high))
            sums, where = np.unique(new[at, a], axis=0, return_inverse=True)
            ways = _check.sums_by(where.reshape(-1), ways[at], len(sums))
            if len(sums) > _SUMS:
                return math.inf
        return float(ways.sum())

    def _ends(self, states: Ints) -> tuple[Floats, Floats]:
        """(T, R) the least and the most that joint actions can use."""
        ends = np.zeros((2, len(states), len(self.limit)))
        for i, c in enumerate(self.costs):
            ends += np.stack([c.min(axis=1), c.max(axis=1)])[:, states[:, i]]
        return ends[0], ends[1]

    def _open(self, used: Floats, low: Floats, high: Floats) -> Bools:
        """(K, A) whether what was used (K, A, R) can still become feasible, if the rest uses low..high (K, R)."""
        over = used + low[:, None] > self.limit + self.slack
        short = self.exact & (used + high[:, None] < self.limit - self.slack)
        return np.asarray(~(over | short).any(axis=2))

    def actions(self, states: Ints) -> tuple[Ints, Ints]:
        """Row and joint index of every feasible joint action in the local states (T, N), ascending."""
        most = tol.BYTES // (_ACTION + 24 * max(len(self.limit), 1))
        total = self.spaces.joint_actions
        if total >= 2**62 or most < len(states) * self.count < math.inf:
            found = f"{about(int(self.count))} of {about(total)}" if total < 2**62 else about(total)
            raise TooLarge("feasible joint actions", found, f"{most:.3g}", AT_SCALE)
        row, joint = np.arange(len(states), dtype=np.int64), np.zeros(len(states), dtype=np.int64)
        used = np.zeros((len(states), len(self.limit)))
        low, high = self._ends(states)
        for i, (c, k) in enumerate(zip(self.costs, self.spaces.n_actions, strict=True)):
            if len(row) * k > most:
                raise TooLarge("feasible joint actions", f"more than {len(row):.3g} in {len(states)} states",
                               f"{most:.3g}", AT_SCALE)  # fmt: skip
            here = c[states[:, i]]
            low, high = low - here.min(axis=1), high - here.max(axis=1)
            new = used[:, None] + here[row]
            at, a = np.nonzero(self._open(new, low[row], high[row]))
            row, joint, used = row[at], joint[at] * k + a, new[at, a]
        return row, joint

    def mask(self, states: Ints) -> sp.csr_array:
        """Mask (T, joint actions) of the feasible actions in the local states (T, N); each must have one."""
        looked = np.zeros((1, self.spaces.n_agents), dtype=np.int64) if self.fixed else states
        row, joint = self.actions(looked)
        many = np.bincount(row, minlength=len(looked))
        if (many == 0).any():
            at = int((many == 0).argmax())
            self._refuse(looked[at], self.spaces.shown(looked[at]) if not self.fixed else "any state")
        if self.fixed:
            if len(states) * len(joint) * 16 > tol.BYTES:
                raise TooLarge("uniform policy", f"{len(states)} states x {len(joint)} joint actions",
                               f"{tol.BYTES / 16:.3g} pairs", "Use a policy with fewer supported actions.")  # fmt: skip
            many, joint = np.repeat(many, len(states)), np.tile(joint, len(states))
        indptr = np.concatenate([[0], np.cumsum(many)])
        return sp.csr_array(
            (np.ones(len(joint)), joint, indptr), shape=(len(states), self.spaces.joint_actions)
        )

    def _refuse(self, state: Ints, where: str, sure: bool = True) -> None:
        """Say why no joint action is feasible there: `sure`, there is none; else only if one resource shows it."""
        low, high = (x[0] for x in self._ends(state[None]))
        for r, name in enumerate(self.names):
            if low[r] > self.limit[r] + self.slack[r] and name == "kernels":
                rule = "an agent there has no action with a law"
                raise InvalidInput(
                    "kernels", f"empty rows for every action in {where}", rule, "Fill one of them."
                )
            if low[r] > self.limit[r] + self.slack[r]:
                rule = f"the cheapest one uses {low[r]:.6g} of {name}, whose limit is {self.limit[r]:.6g}"
                raise InvalidInput("resources", f"no feasible joint action in {where}", rule,
                                   "Raise the limit, or give an agent a cheaper action there.")  # fmt: skip
            if self.exact[r] and high[r] < self.limit[r] - self.slack[r]:
                rule = f"the dearest one uses {high[r]:.6g} of {name}, and all of {self.limit[r]:.6g} must be used"
                raise InvalidInput("resources", f"no feasible joint action in {where}", rule,
                                   f'Lower the limit, or write "<=" for "==" in {name}.')  # fmt: skip
        if sure:
            remedy = 'Raise the limits, and write "<=" for "=="'
            remedy += ", or lower the budget." if self.budget is not None else "."
            rule = f"none meets {' and '.join(self.names)}"
            raise InvalidInput("resources", f"no feasible joint action in {where}", rule, remedy)
