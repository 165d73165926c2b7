"""Long transition tables, one transition a row -> systems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, TooLarge, gib, short
from ..model.bandit import RestlessBandit
from ..model.mdp import JointChain, MultiAgentMDP
from ..model.spaces import about
from ..model.weakly_coupled import WeaklyCoupledMDP
from ._columns import Table, label, table_of
from ._given import discount_of, flat_mdp, laws, split

#: What a column holds -> its names, the first one the canonical one; letters of any case.
NAMES = {
    "agent": ("agent", "arm"),
    "state": ("state", "from", "source", "from_state", "s"),
    "action": ("action", "a"),
    "next": ("next", "next_state", "to", "target", "to_state"),
    "probability": ("probability", "prob", "p"),
    "reward": ("reward", "r"),
}
#: Columns of which joint tables have one for each agent: `state_left`, `state_right`.
_EACH = ("state", "action", "next")


def roles_of(table: Table, columns: dict[str, str] | None, wanted: Sequence[str]) -> dict[str, list[str]]:
    """What its columns hold -> their names in the table; nothing is left over, and `wanted` are there."""
    said = {label(head): role for role, head in (columns or {}).items()}
    for head, role in said.items():
        _check.choice("columns", role, NAMES)
        if head not in table.columns:
            raise InvalidInput.unknown("columns", head, table.columns, f"the columns of {table.name} are")
    found: dict[str, list[str]] = {}
    for head in table.columns:
        role = said.get(head) or _role(head)
        if role == "":
            known = ", ".join(names[0] for names in NAMES.values())
            remedy = f"Drop it, or say what a column holds: columns={{'state': {head!r}}}."
            raise InvalidInput(table.name, f"a column {head!r}", f"columns hold {known}", remedy)
        found.setdefault(role, []).append(head)
    for role, heads in found.items():
        if len(heads) > 1 and not (role in _EACH and all("_" in h for h in heads)):
            rule = f"one of them holds the {role}"
            raise InvalidInput(table.name, f"columns {', '.join(heads)}", rule, "Drop the others.")
    for role in wanted:
        if role not in found:
            remedy = f"Add it, name it columns={{{role!r}: ...}}, or bring it out of the index: frame.reset_index()."
            raise InvalidInput(table.name, f"columns {', '.join(table.columns)}", f"one must be {role!r}", remedy)
    return found


def _role(head: str) -> str:
    """What a column holds by its name; "" if its name says nothing."""
    low = head.lower()
    named = next((role for role, names in NAMES.items() if low in names), "")
    return named or next((role for role in _EACH if low.startswith(f"{role}_")), "")


def is_long(table: Table, columns: dict[str, str] | None) -> bool:
    """Whether it holds one transition a row."""
    return {"next", "probability"} & {*map(_role, table.columns), *(columns or {})} != set()


@dataclass(frozen=True, eq=False)
class Kernel:
    """Some rows of a table as a kernel on joint states, of one agent or more.

    Attributes
    ----------
    names : what messages put before a state, the file and the agent.
    states, actions : names of the local states and actions of each agent.
    matrices : one (joint states, joint states) for each joint action.
    pay : (joint states, joint actions) expected rewards of the column `reward`, or None.
    """

    name: str
    states: list[list[str]]
    actions: list[list[str]]
    matrices: list[sp.csr_array]
    pay: Floats | None

    @property
    def available(self) -> Bools:
        """(joint states, joint actions) whether the row is there."""
        return np.stack([np.diff(m.indptr) > 0 for m in self.matrices], axis=1)

    @property
    def dense(self) -> Floats:
        """(A, S, S) of one agent."""
        size = len(self.matrices) * self.matrices[0].shape[0] ** 2 * 8
        if size > tol.BYTES:
            raise TooLarge(self.name, f"{gib(size)} dense", gib(tol.BYTES), "Merge states.")
        return np.stack([m.toarray() for m in self.matrices])


def in_order(found: Sequence[str], given: Any = None) -> list[str]:
    """Names as `given`, or whole numbers by size, or others by their first appearance."""
    if given is not None:
        return [label(g) for g in given]
    names = list(dict.fromkeys(found))
    whole = all(n.lstrip("-").isdecimal() for n in names)
    return sorted(names, key=int) if whole else names


def _indices(table: Table, heads: list[str], rows: Ints, names: list[list[str]]) -> Ints:
    """Joint index of each row by the names in its columns, row-major."""
    out = np.zeros(len(rows), dtype=np.int64)
    for head, known in zip(heads, names, strict=True):
        at, column = {n: k for k, n in enumerate(known)}, table.labels(head)
        for j, k in enumerate(rows):
            if column[k] not in at:
                raise InvalidInput.unknown(table.where(int(k), head), column[k], known)
            out[j] = out[j] * len(known) + at[column[k]]
    return out


def _named(index: int, names: list[list[str]]) -> str:
    """A joint state or action by its names."""
    local = np.unravel_index(index, tuple(map(len, names)))
    found = [n[int(k)] for n, k in zip(names, local, strict=True)]
    return repr(found[0]) if len(found) == 1 else repr(tuple(found))


def kernel_of(
    table: Table, roles: dict[str, list[str]], rows: Ints, agent: str, ends: Sequence[str], given: dict[str, Any]
) -> Kernel:
    """The kernel of some rows; `ends` are names of states that need no row of their own."""

    def chosen(head: str) -> list[str]:
        column = table.labels(head)
        return [column[k] for k in rows]

    name = f"{table.name}, agent {agent!r}" if agent else table.name
    pairs = list(zip(roles["state"], roles["next"], strict=True))
    states = [in_order([*chosen(a), *chosen(b)], given["states"]) for a, b in pairs]
    acts = roles.get("action", [])
    actions = [in_order(chosen(head), given["actions"]) for head in acts] or [["0"]]
    count, many = math.prod(map(len, states)), math.prod(map(len, actions))
    if count * many >= 2**31:
        raise TooLarge(name, f"{about(count * many)} joint states and actions", "2^31", "Merge states.")
    s, t = (_indices(table, roles[role], rows, states) for role in ("state", "next"))
    a = _indices(table, acts, rows, actions) if acts else np.zeros(len(rows), dtype=np.int64)
    _refuse_twice(table, rows, (s * many + a) * count + t)
    _refuse_empty(name, s, t, states, ends)
    p = np.asarray(table.numbers(roles["probability"][0]))[rows]
    low = int(p.argmin())
    if p[low] < 0.0:
        where = table.where(int(rows[low]), roles["probability"][0])
        raise InvalidInput(where, f"{p[low]:g}", "probabilities are >= 0", "Mend that entry.")
    used, row = np.unique(s * many + a, return_inverse=True)

    def where(k: int) -> str:
        at = f"{name}, state {_named(int(used[k]) // many, states)}"
        return at + (f", action {_named(int(used[k]) % many, actions)}" if acts else "")

    p = laws(p, row, len(used), given["normalize"], where)
    pay = None
    if "reward" in roles:
        r = np.asarray(table.numbers(roles["reward"][0]))[rows]
        pay = _check.sums_by(s * many + a, p * r, count * many).reshape(count, many)
    matrices = [sp.csr_array((p[a == k], (s[a == k], t[a == k])), shape=(count, count)) for k in range(many)]
    return Kernel(name, states, actions if acts else [], matrices, pay)


def _refuse_twice(table: Table, rows: Ints, key: Ints) -> None:
    order = np.argsort(key, kind="stable")
    twice = np.flatnonzero(np.diff(key[order]) == 0)
    if len(twice):
        first, again = (int(rows[order[twice[0] + d]]) for d in (0, 1))
        got = f"the same transition as in {table.where(first).rsplit(', ', 1)[-1]}"
        raise InvalidInput(table.where(again), got, "each transition stands once", "Drop or add them up.")


def _refuse_empty(name: str, s: Ints, t: Ints, states: list[list[str]], ends: Sequence[str]) -> None:
    """A state without a row of its own: whoever reaches it would not know where to go."""
    known = range(len(states[0])) if len(states) == 1 else t
    for k in sorted(set(known) - set(s.tolist())):
        if not (len(states) == 1 and states[0][k] in ends):
            named = _named(int(k), states)
            rule = "a state that is reached needs rows of its own"
            remedy = f"Add what follows {named}, e.g. itself with probability 1 where nothing changes any more"
            if len(states) == 1:
                word = label(states[0][k])
                remedy += f", or say that a task ends there: terminal={word!r} (--option terminal={word})"
            raise InvalidInput(name, f"no row for state {named}", rule, f"{remedy}.")


def _pay(kernel: Kernel, rewards: Any, agent: str) -> Any:
    """(joint states, joint actions) rewards of the table that was given beside; arrays are left as they are."""
    if rewards is None or not (isinstance(rewards, str | Path | dict) or hasattr(rewards, "columns")):
        return kernel.pay if rewards is None else rewards
    if kernel.pay is not None:
        raise InvalidInput("rewards", "a table", f"{kernel.name} has rewards already", "Drop one of them.")
    table = table_of(rewards, "rewards")
    roles = roles_of(table, None, ["state", "reward"])
    whose = table.labels(roles["agent"][0]) if "agent" in roles else [agent] * len(table.lines)
    rows = np.asarray([k for k, w in enumerate(whose) if w == agent], dtype=np.int64)
    s = _indices(table, roles["state"], rows, kernel.states)
    value = np.asarray(table.numbers(roles["reward"][0]))[rows]
    pay = np.full((kernel.matrices[0].shape[0], len(kernel.matrices)), np.nan)
    if "action" in roles and kernel.actions:
        pay[s, _indices(table, roles["action"], rows, kernel.actions)] = value
    else:
        pay[s] = value[:, None]
    missing = np.argwhere(np.isnan(pay) & kernel.available)
    if len(missing):
        named = _named(int(missing[0][0]), kernel.states)
        raise InvalidInput(table.name, f"no reward of state {named}", "every pair has one", "Add its row.")
    return np.nan_to_num(pay)


def long_table(table: Table, rewards: Any, given: dict[str, Any]) -> Any:
    """The system of a long table; `given` are the keywords of `from_table`."""
    roles = roles_of(table, given["columns"], ["state", "next", "probability"])
    if "agent" in roles:
        return _several(table, roles, rewards, given)
    every = np.arange(len(table.lines), dtype=np.int64)
    ends = names_of(given["terminal"])
    kernel = kernel_of(table, roles, every, "", ends, given)
    pay = _pay(kernel, rewards, "")
    copies = next((k for k in ("n_arms", "n_agents") if given[k] is not None), None)
    if copies is not None:
        _refuse(given, "n_states", "n_actions", "terminal", "restart", rule=f"{copies} makes agents of one table")
        n = _check.integer(copies, given[copies], low=1)
        return _own(table.name, [kernel] * (1 if copies == "n_arms" else n), [pay], [], n, given)
    _refuse(given, "budget", rule="one agent shares nothing")
    return _joint(table.name, kernel, pay, given)


def _joint(name: str, kernel: Kernel, pay: Any, given: dict[str, Any]) -> MultiAgentMDP | JointChain:
    """The system of one joint kernel."""
    one = len(kernel.states) == 1
    sizes, labels = (given["n_states"], given["n_actions"]), {"states": kernel.states, "actions": kernel.actions}
    if any(n is not None and len(n) > 1 for n in sizes):
        _refuse_names(name, kernel)
        labels = {}
    elif not one:
        sizes = tuple(tuple(map(len, n)) or None for n in (kernel.states, kernel.actions))  # type: ignore[assignment]
    ends = ends_of(kernel.states[0], given) if one else ends_of([], given)
    if not kernel.actions:
        states = split(name, "states", kernel.matrices[0].shape[0], sizes[0])
        return chain(name, kernel.matrices[0], states, pay, labels, ends, given)
    if pay is None:
        raise no_rewards(name)
    return flat_mdp(
        name, kernel.matrices, pay, n_states=sizes[0], n_actions=sizes[1], labels=labels,
        discount=discount_of(name, given["discount"]), **ends,
    )  # fmt: skip


def _refuse_names(name: str, kernel: Kernel) -> None:
    """States and actions that are split into agents must be numbered 0, 1, 2, ..."""
    for what, names in (("states", kernel.states), ("actions", kernel.actions)):
        for found in names:
            if found != [str(k) for k in range(len(found))]:
                rule = f"n_{what} splits joint {what} that are numbered 0, 1, 2, ..."
                remedy = "Number them, or give each agent a column of its own: state_left, state_right, ..."
                raise InvalidInput(name, f"{what} {short(found)}", rule, remedy)


def chain(
    name: str, matrix: Any, sizes: tuple[int, ...], pay: Any, labels: Any, ends: dict[str, Any], given: dict[str, Any]
) -> JointChain:
    """The chain of one matrix on joint states."""
    if pay is not None and isinstance(pay, np.ndarray) and pay.ndim == 2:
        pay = pay[:, 0]
    rewards = [pay] if pay is not None and len(sizes) == 1 and np.ndim(pay) == 1 else pay
    found = given["discount"] if rewards is None else discount_of(name, given["discount"])
    return JointChain(matrix, sizes, rewards=rewards, discount=found, labels=labels, **ends)


def _several(table: Table, roles: dict[str, list[str]], rewards: Any, given: dict[str, Any]) -> Any:
    """Agents on kernels of their own, one for each name in the column of agents."""
    rule = "the table has a column of agents, each on a kernel of its own"
    _refuse(given, "n_states", "n_actions", "n_agents", "terminal", "restart", rule=rule)
    column = table.labels(roles["agent"][0])
    agents, whose = in_order(column), np.asarray(column)
    if any(len(roles[r]) > 1 for r in roles):
        raise InvalidInput(table.name, "columns of agents and a column 'agent'", rule, "Keep one of the two.")
    kernels = [kernel_of(table, roles, np.flatnonzero(whose == n), n, (), given) for n in agents]
    pays = [_pay(kernel, rewards, n) for kernel, n in zip(kernels, agents, strict=True)]
    n_arms = given["n_arms"]
    return _own(table.name, kernels, pays, agents, n_arms, given)


def _own(
    name: str, kernels: list[Kernel], pays: list[Any], agents: list[str], n: Any, given: dict[str, Any]
) -> WeaklyCoupledMDP | RestlessBandit:
    """Agents, or arms where `n_arms` is given, on kernels of their own."""
    if any(pay is None for pay in pays):
        raise no_rewards(name)
    same = [pays[0]] * len(kernels) if len(pays) < len(kernels) else pays
    rewards = same if all(isinstance(p, np.ndarray) and p.ndim == 2 for p in same) else same[0]
    labels: dict[str, Any] = {"names": agents, "states": [k.states[0] for k in kernels]}
    labels["actions"] = [k.actions[0] for k in kernels] if kernels[0].actions else []
    more = {"discount": discount_of(name, given["discount"]), "labels": labels}
    dense = [k.dense for k in kernels]
    if given["n_arms"] is None:
        return WeaklyCoupledMDP(dense, rewards, budget=given["budget"], **more)
    for kernel in kernels:
        if len(kernel.matrices) != 2:
            rule = "an arm rests or is served: two actions, rest first"
            raise InvalidInput(kernel.name, f"{len(kernel.matrices)} actions", rule, "Leave n_arms out.")
    if given["budget"] is None:
        remedy = "Say it: budget=2 (--option budget=2)."
        raise InvalidInput("budget", "nothing", "n_arms needs the number that is served at each step", remedy)
    arms = n if isinstance(n, int) else list(n)
    if len(kernels) == 1:
        return RestlessBandit(dense[0], rewards[0], n_arms=arms, budget=given["budget"], **more)
    counts = [arms] * len(kernels) if isinstance(arms, int) else arms
    return RestlessBandit(dense, rewards, n_arms=counts, budget=given["budget"], **more)


def no_rewards(name: str) -> InvalidInput:
    """What is worth what: only a chain can do without."""
    remedy = "Add a column 'reward', or give rewards= a table of state, action, reward (--option rewards=pay.csv)."
    return InvalidInput("rewards", "nothing", f"{name} does not say them", remedy)


def names_of(value: Any) -> list[str]:
    """One name, or several."""
    several = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
    return [] if value is None else [label(v) for v in (value if several else [value])]


def ends_of(states: list[str], given: dict[str, Any]) -> dict[str, Any]:
    """`terminal` and `restart` of the constructors, from names of states."""
    if not states:
        _refuse(given, "terminal", "restart", rule="they are names of states of tables with one column of states")
    found: dict[str, Any] = {}
    for key in ("terminal", "restart"):
        names = names_of(given[key])
        for n in names:
            if n not in states:
                raise InvalidInput.unknown(key, n, states)
        if names:
            mask = np.isin(states, names)
            found[key] = mask if key == "terminal" else mask / mask.sum()
    return found


def _refuse(given: dict[str, Any], *keys: str, rule: str) -> None:
    for key in keys:
        if given[key] is not None:
            raise InvalidInput(key, short(given[key]), rule, f"Leave {key} out.")
