"""Rows `state, action, next, probability, reward` of a table -> a kernel on joint states."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, TooLarge, gib, short
from ..model.spaces import about
from ._columns import Frame, Table, names_of, table_of
from ._given import laws, mean, state_flag
from ._roles import NAMES, agent_of, roles_of


@dataclass(frozen=True, eq=False)
class Kernel:
    """Some rows of a table as a kernel on joint states, of one agent or more.

    Attributes
    ----------
    name : what messages put before a state, the file and the agent.
    agents : names of the agents of a joint table, [""] of another.
    states, actions : names of the local states and actions of each agent.
    matrices : one (joint states, joint states) for each joint action.
    pay : (joint states, joint actions) expected rewards of the column `reward`, or None.
    """

    name: str
    agents: list[str]
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


def in_order(what: str, found: Sequence[str], given: Any = None) -> list[str]:
    """Names as `given`, or whole numbers by size, or others by their first appearance."""
    names = list(dict.fromkeys(found))
    if given is not None:
        order = names_of(what, given)
        odd = sorted({*names} ^ {*order})
        if odd:
            raise InvalidInput(
                what, short(odd[0]), "they are the names in the table, each once", "Mend the list."
            )
        return order
    whole = all(re.fullmatch(r"-?\d{1,18}", n, re.ASCII) for n in names)
    return sorted(names, key=int) if whole else names


def _indices(table: Table, heads: list[str], rows: Ints, names: list[list[str]]) -> Ints:
    """Joint index of each row by the names in its columns, row-major."""
    out = np.zeros(len(rows), dtype=np.int64)
    for head, known in zip(heads, names, strict=True):
        if head == "":  # an agent with one action
            continue
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
    return short(found[0]) if len(found) == 1 else f"({', '.join(map(short, found))})"


@dataclass(frozen=True)
class Orders:
    """The names of a table in the order that all its agents share, for each column of states and of actions."""

    states: list[list[str]]
    actions: list[list[str]]

    @classmethod
    def of(cls, table: Table, roles: dict[str, list[str]], given: dict[str, Any]) -> Orders:
        """Orders of the columns of states, with their columns of next states, and of actions."""
        pairs = zip(roles["state"], roles["next"], strict=True)
        states = [in_order("states", [*table.labels(s), *table.labels(t)], given["states"]) for s, t in pairs]
        acts = [table.labels(head) if head else ["0"] for head in roles.get("action", [])]
        return cls(states, [in_order("actions", column, given["actions"]) for column in acts])


def kernel_of(
    table: Table, roles: dict[str, list[str]], rows: Ints, agent: str, ends: Sequence[str], orders: Orders,
    normalize: bool,
) -> Kernel:  # fmt: skip
    """The kernel of some rows; `ends` are names of states that need no row of their own."""

    def own(order: list[str], *heads: str) -> list[str]:
        seen = {column[k] for column in (table.labels(h) for h in heads if h) for k in rows}
        return [n for n in order if n in seen] or order

    name = f"{table.name}, agent {short(agent)}" if agent else table.name
    acts = roles.get("action", [])
    pairs = zip(roles["state"], roles["next"], strict=True)
    states = [own(order, *pair) for order, pair in zip(orders.states, pairs, strict=True)]
    actions = [own(order, head) for order, head in zip(orders.actions, acts, strict=True)] or [["0"]]
    count, many = math.prod(map(len, states)), math.prod(map(len, actions))
    if count * many >= 2**31:
        raise TooLarge(name, f"{about(count * many)} joint states and actions", "2^31", "Merge states.")
    s, t = (_indices(table, roles[role], rows, states) for role in ("state", "next"))
    a = _indices(table, acts, rows, actions) if acts else np.zeros(len(rows), dtype=np.int64)
    _refuse_twice(table, rows, (s * many + a) * count + t, "transition")
    _refuse_empty(table.name, name, s, t, states, ends)
    head = roles["probability"][0]
    p = table.chances(head)[rows]
    used, row = np.unique(s * many + a, return_inverse=True)

    def named(k: int) -> str:
        at = f"{name}, state {_named(int(used[k]) // many, states)}"
        return at + (f", action {_named(int(used[k]) % many, actions)}" if acts else "")

    laws(table.name, p, row, len(used), normalize, named, lambda k: table.where(int(rows[k]), head))
    pay = None
    if "reward" in roles:
        r = table.numbers(roles["reward"][0])[rows]
        total, mass = (_check.sums_by(s * many + a, w, count * many) for w in (p * r, p))
        pay = mean(total, mass).reshape(count, many)
    matrices = [sp.csr_array((p[a == k], (s[a == k], t[a == k])), shape=(count, count)) for k in range(many)]
    agents = [agent_of(head) for head in roles["state"]] if len(states) > 1 else [""]
    return Kernel(name, agents, states, actions if acts else [], matrices, pay)


def _refuse_twice(table: Table, rows: Ints, key: Ints, what: str) -> None:
    order = np.argsort(key, kind="stable")
    twice = np.flatnonzero(np.diff(key[order]) == 0)
    if len(twice):
        first, again = (int(rows[order[twice[0] + d]]) for d in (0, 1))
        got = f"the same {what} as in {table.where(first).rsplit(', ', 1)[-1]}"
        remedy = "Drop one of them." if what == "reward" else "Drop or add them up."
        raise InvalidInput(table.where(again), got, f"each {what} stands once", remedy)


def _refuse_empty(
    table: str, name: str, s: Ints, t: Ints, states: list[list[str]], ends: Sequence[str]
) -> None:
    """A state without a row of its own: whoever reaches it would not know where to go."""
    known = range(len(states[0])) if len(states) == 1 else t
    for k in sorted(set(known) - set(s.tolist())):
        if not (len(states) == 1 and states[0][k] in ends):
            named = _named(int(k), states)
            rule = "a state that is reached needs rows of its own"
            remedy = (
                f"Add what follows {named}, e.g. itself with probability 1 where nothing changes any more"
            )
            if len(states) == 1 and name == table:
                typed = state_flag(table, "terminal", states[0][k])
                remedy += f", or say that a task ends there: terminal={named}{typed}"
            raise InvalidInput(name, f"no row for state {named}", rule, f"{remedy}.")


def pay_of(kernel: Kernel, rewards: Any, agent: str = "", agents: Sequence[str] = ()) -> Any:
    """(joint states, joint actions) rewards of the table that was given beside; arrays are left as they are.

    `agent` is one of the `agents` of a table with a column of them.
    """
    if rewards is None:
        return kernel.pay
    if kernel.pay is not None:
        raise InvalidInput(
            "rewards", short(rewards), f"{kernel.name} has a column of them", "Drop one of the two."
        )
    if not isinstance(rewards, str | os.PathLike | Mapping | Frame):
        return rewards
    table = table_of(rewards, "rewards")
    roles = roles_of(table, None, ["state", "reward"])
    own = {"state", "reward", *(["action"] if kernel.actions else []), *(["agent"] if agents else [])}
    for odd in [head for role, heads in roles.items() if role not in own for head in heads]:
        rule = f"rewards beside {kernel.name} have columns {', '.join(r for r in NAMES if r in own)}"
        raise InvalidInput(table.name, f"a column {short(odd)}", rule, "Drop that column.")
    whose = table.labels(roles["agent"][0]) if "agent" in roles else [agent] * len(table.lines)
    for k, name in enumerate(whose):
        if agents and name not in agents:
            raise InvalidInput.unknown(table.where(k, roles["agent"][0]), name, agents, "its agents are")
    rows = np.asarray([k for k, w in enumerate(whose) if w == agent], dtype=np.int64)
    heads = _in_order_of(kernel, table, roles)
    s = _indices(table, heads["state"], rows, kernel.states)
    value = table.numbers(roles["reward"][0])[rows]
    pay = np.full((kernel.matrices[0].shape[0], len(kernel.matrices)), np.nan)
    a = _indices(table, heads["action"], rows, kernel.actions) if "action" in heads else np.zeros_like(s)
    _refuse_twice(table, rows, s * len(kernel.matrices) + a, "reward")
    if "action" in heads:
        pay[s, a] = value
    else:
        pay[s] = value[:, None]
    missing = np.argwhere(np.isnan(pay) & kernel.available)
    if len(missing):
        named = _named(int(missing[0][0]), kernel.states)
        raise InvalidInput(table.name, f"no reward of state {named}", "every pair has one", "Add its row.")
    return np.nan_to_num(pay)


def _in_order_of(kernel: Kernel, table: Table, roles: dict[str, list[str]]) -> dict[str, list[str]]:
    """The columns of states and of actions of a table of rewards in the order of the kernel's agents."""
    mine = [agent_of(head) for head in roles["state"]] if len(roles["state"]) > 1 else [""]
    if sorted(mine) != sorted(kernel.agents):
        wanted = ", ".join(f"state_{a}" if a else "state" for a in kernel.agents)
        rule = f"columns of states are {wanted}, as in {kernel.name}"
        raise InvalidInput(
            table.name, f"columns {', '.join(roles['state'])}", rule, "Name one for each agent."
        )
    order = [mine.index(a) for a in kernel.agents]
    out: dict[str, list[str]] = {
        role: [roles[role][k] for k in order] for role in ("state", "action") if role in roles
    }
    for agent, head, names in zip(kernel.agents, out.get("action", ()), kernel.actions, strict=False):
        if head == "" and len(names) > 1:
            rule = "rewards of actions name the action of every agent"
            raise InvalidInput(table.name, f"no column action_{agent}", rule, "Add it.")
    return out
