"""Long transition tables, one transition a row -> systems."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from ..errors import InvalidInput, short
from ..model.bandit import RestlessBandit
from ..model.mdp import JointChain, MultiAgentMDP
from ..model.weakly_coupled import WeaklyCoupledMDP
from ._columns import Table, names_of
from ._given import MOST, flag, flat_mdp, split, told
from ._kernel import Kernel, Orders, in_order, kernel_of, pay_of
from ._roles import agent_of, roles_of


def long_table(table: Table, rewards: Any, given: dict[str, Any]) -> Any:
    """The system of a long table; `given` are the keywords of `from_table`."""
    roles = roles_of(table, given["columns"], ["state", "next", "probability"])
    if "action" not in roles:
        refuse(given, "actions", "n_actions", rule="the table has no column of actions")
    if "agent" in roles:
        return _several(table, roles, rewards, given)
    every = np.arange(len(table.lines), dtype=np.int64)
    ends = names_of("terminal", given["terminal"])
    kernel = kernel_of(table, roles, every, "", ends, Orders.of(table, roles, given), given["normalize"])
    pay = pay_of(kernel, rewards)
    if len(roles["state"]) > 1:
        taken = ("n_agents", "n_arms", "n_states", "n_actions")
        refuse(given, *taken, rule="each agent has its columns already")
    copies = next((k for k in ("n_arms", "n_agents") if given[k] is not None), None)
    if copies is not None:
        taken = ("n_states", "n_actions", "terminal", "restart")
        refuse(given, *taken, rule=f"{copies} makes agents of one table")
        n = _check.integer(copies, given[copies], low=1, high=MOST if copies == "n_agents" else None)
        many = 1 if copies == "n_arms" else n
        return _own(table.name, [kernel] * many, rewards if pay is rewards else [pay] * many, [], n, given)
    refuse(given, "budget", rule="one agent shares nothing")
    return _joint(table.name, kernel, pay, [agent_of(h) for h in roles["state"]], given)


def _joint(
    name: str, kernel: Kernel, pay: Any, agents: list[str], given: dict[str, Any]
) -> MultiAgentMDP | JointChain:
    """The system of one joint kernel."""
    one = len(kernel.states) == 1
    sizes: Any = given["n_states"], given["n_actions"]
    labels: Any = {"names": [] if one else agents, "states": kernel.states, "actions": kernel.actions}
    if any(n is not None and len(n) > 1 for n in sizes):
        _refuse_names(name, kernel)
        labels = None
    elif not one:
        sizes = [tuple(map(len, n)) or None for n in (kernel.states, kernel.actions)]
    ends = ends_of(kernel.states[0], given) if one else ends_of([], given)
    if not kernel.actions:
        states = split(name, "states", kernel.matrices[0].shape[0], sizes[0])
        matrix, pairs = kernel.matrices[0], None
        pay = pay[:, 0] if isinstance(pay, np.ndarray) and pay.shape == (matrix.shape[0], 1) else pay
        there = np.flatnonzero(kernel.available[:, 0])
        if len(there) < len(kernel.available) and not one:
            own = isinstance(pay, np.ndarray) and pay.shape == matrix.shape[:1]
            pairs, pay = np.stack(np.unravel_index(there, states), axis=1), pay[there] if own else pay
            matrix = sp.csr_array(matrix[there][:, there])
        return chain(name, matrix, states, pay, labels, ends, given, pairs)
    if pay is None:
        raise no_rewards(name)
    return flat_mdp(
        name, kernel.matrices, pay, n_states=sizes[0], n_actions=sizes[1], labels=labels,
        discount=given["discount"], normalize=given["normalize"], **ends,
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
    name: str,
    matrix: Any,
    sizes: tuple[int, ...],
    pay: Any,
    labels: Any,
    ends: dict[str, Any],
    given: dict[str, Any],
    pairs: Any = None,
) -> JointChain:
    """The chain of one matrix on joint states, or on those of them that are listed, `pairs`."""
    rewards = [pay] if len(sizes) == 1 and len(_check.shape_of("rewards", pay)) == 1 else pay
    more = {"discount": given["discount"], "normalize": given["normalize"], "labels": labels, "pairs": pairs}
    found = JointChain(matrix, sizes, rewards=rewards, **more, **ends)
    told(name, found.rescaled)
    return found


def _several(table: Table, roles: dict[str, list[str]], rewards: Any, given: dict[str, Any]) -> Any:
    """Agents on kernels of their own, one for each name in the column of agents."""
    rule = "the table has a column of agents, each on a kernel of its own"
    refuse(given, "n_states", "n_actions", "n_agents", "terminal", "restart", rule=rule)
    column = table.labels(roles["agent"][0])
    agents, whose = in_order("agents", column), np.asarray(column)
    if any(len(roles[r]) > 1 for r in roles):
        raise InvalidInput(table.name, "columns of agents and a column 'agent'", rule, "Keep one of the two.")
    orders, normalize = Orders.of(table, roles, given), given["normalize"]
    rows = [np.flatnonzero(whose == n) for n in agents]
    kernels = [
        kernel_of(table, roles, k, n, (), orders, normalize) for k, n in zip(rows, agents, strict=True)
    ]
    pays = [pay_of(kernel, rewards, n, agents) for kernel, n in zip(kernels, agents, strict=True)]
    return _own(table.name, kernels, rewards if pays[0] is rewards else pays, agents, given["n_arms"], given)


def _own(
    name: str, kernels: list[Kernel], rewards: Any, agents: list[str], n: Any, given: dict[str, Any]
) -> WeaklyCoupledMDP | RestlessBandit:
    """Agents, or arms where `n_arms` is given, on kernels of their own."""
    if rewards is None or (isinstance(rewards, list) and any(pay is None for pay in rewards)):
        raise no_rewards(name)
    labels: dict[str, Any] = {"names": agents, "states": [k.states[0] for k in kernels]}
    labels["actions"] = [k.actions[0] for k in kernels] if kernels[0].actions else []
    more: dict[str, Any] = {"discount": given["discount"], "normalize": given["normalize"], "labels": labels}
    dense = [k.dense for k in kernels]
    if given["n_arms"] is None:
        system = WeaklyCoupledMDP(dense, rewards, budget=given["budget"], **more)
        told(name, system.rescaled)
        return system
    for kernel in kernels:
        if len(kernel.matrices) != 2:
            rule = "an arm rests or is served: two actions, rest first"
            raise InvalidInput(kernel.name, f"{len(kernel.matrices)} actions", rule, "Leave n_arms out.")
    if given["budget"] is None:
        remedy = f"Say it: budget=2{flag(name, '--option budget=2')}."
        raise InvalidInput("budget", "nothing", "n_arms needs the number that is served at each step", remedy)
    if len(kernels) == 1:
        pay = rewards[0] if isinstance(rewards, list) and len(rewards) == 1 else rewards
        bandit = RestlessBandit(dense[0], pay, n_arms=n, budget=given["budget"], **more)
    else:
        counts = [int(n)] * len(kernels) if isinstance(n, int | np.integer) else n
        bandit = RestlessBandit(dense, rewards, n_arms=counts, budget=given["budget"], **more)
    told(name, bandit.rescaled)
    return bandit


def no_rewards(name: str) -> InvalidInput:
    """What is worth what: only a chain can do without."""
    typed = flag(name, "--option rewards=pay.csv")
    remedy = f"Add a column 'reward', or give rewards= a table of state, action, reward{typed}."
    return InvalidInput("rewards", "nothing", f"{name} does not say them", remedy)


def ends_of(states: list[str], given: dict[str, Any]) -> dict[str, Any]:
    """`terminal` and `restart` of the constructors, from names of states."""
    if not states:
        refuse(given, "terminal", "restart", rule="they name states of a table with one column of states")
    found: dict[str, Any] = {}
    for key in ("terminal", "restart"):
        names = names_of(key, given[key])
        for n in names:
            if n not in states:
                raise InvalidInput.unknown(key, n, states)
        if names:
            mask = np.isin(states, names)
            found[key] = mask if key == "terminal" else mask / mask.sum()
    return found


def refuse(given: dict[str, Any], *keys: str, rule: str) -> None:
    """Refuse options that make no sense with this table."""
    for key in keys:
        if given[key] is not None:
            raise InvalidInput(key, short(given[key]), rule, f"Leave {key} out.")
