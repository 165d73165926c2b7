"""How what a user gives for each value of a signal, or whatever the signal, becomes tables over states (z, s_i)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import _check
from .._check import Floats, freeze
from .._labelled import aligned
from ..errors import InvalidInput, by, short
from .reading import Reading
from .resources import Resource
from .signal import SignalSpaces
from .spaces import Labels, Spaces, about


def by_signal(name: str, table: Any, sizes: tuple[int, ...], n_signals: int) -> Floats | None:
    """A table (Z, *sizes), or (*sizes) whatever the signal, as (Z sizes[0], *sizes[1:]); None of any other shape."""
    shape = _check.shape_of(name, table)
    if shape == sizes:
        return np.concatenate([np.asarray(table)] * n_signals)
    if shape == (n_signals, *sizes):
        return np.reshape(table, (math.prod(shape[:2]), *sizes[1:]))
    return None


def signal_names(labels: Any) -> tuple[Any, Any]:
    """Display names without those of the signal, and these."""
    if isinstance(labels, Mapping) and "signals" in labels:
        rest = {k: v for k, v in labels.items() if k != "signals"}
        return rest, () if labels["signals"] is None else labels["signals"]
    return labels, ()


def read_signal(value: Any, reading: Reading) -> Floats:
    """(Z, Z) law of the next signal."""
    shape = _check.shape_of("signal", value)
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        rule = "a signal moves on its own: (signals, next signals)"
        remedy = "One that reads the agents is an agent: put it among those of a me.MultiAgentMDP, with one action."
        raise InvalidInput("signal", f"shape {by(shape)}", rule, remedy)
    reading.rows.zero = False
    return _check.probabilities("signal", value, shape=("Z", "Z"), rows=reading.rows)


def read_kernel(name: str, value: Any, agent: int, n_signals: int, reading: Reading) -> Floats:
    """(A, S, S), or (Z, A, S, S) where there is one for each signal."""
    if _check.depth(value) != 4:
        return reading.local(name, value, agent, zero=True)
    if len(value) != n_signals:
        rule = f"the signal has {n_signals} values"
        raise InvalidInput(
            name, f"{len(value)} kernels", rule, "Give (A, S, S), or one (A, S, S) for each of them."
        )
    each = [reading.local(f"{name}[{z}]", k, agent, zero=True) for z, k in enumerate(value)]
    odd = next((z for z, k in enumerate(each) if k.shape != each[0].shape), None)
    if odd is not None:
        raise InvalidInput.shape(f"{name}[{odd}]", each[odd].shape, each[0].shape)
    return freeze(np.stack(each))


def wide_kernel(kernel: Floats, n_signals: int) -> Floats:
    """(A, Z S, S) law of the next plain state given the signal and the state."""
    each = np.broadcast_to(kernel, (n_signals, *kernel.shape[-3:]))
    actions, states = kernel.shape[-3], kernel.shape[-1]
    return freeze(
        np.ascontiguousarray(each.transpose(1, 0, 2, 3)).reshape(actions, n_signals * states, states)
    )


def budgets_of(value: Any, plain: Spaces, n_signals: int) -> tuple[int | None, tuple[int, ...] | None]:
    """The budget where it is one number, and the budgets (Z,) where the signal changes it."""
    top = sum(a - 1 for a in plain.n_actions)
    if value is None or _check.shape_of("budget", value) == ():
        return None if value is None else _check.integer("budget", value, low=0, high=top), None
    value = _check.sequence("budget", value, "one number for each value of the signal")
    if len(value) != n_signals:
        rule = f"the signal has {n_signals} values"
        raise InvalidInput(
            "budget", f"{len(value)} budgets", rule, "Give one number, or one for each of them."
        )
    each = tuple(_check.integer(f"budget[{z}]", b, low=0, high=top) for z, b in enumerate(value))
    return (each[0], None) if len(set(each)) == 1 else (None, each)


def budget_resource(budgets: tuple[int, ...], spaces: SignalSpaces) -> Resource:
    """Actions sum to the budget of the signal."""
    costs = [
        np.tile(np.arange(a, dtype=np.float64), (w, 1))
        for w, a in zip(spaces.n_states, spaces.n_actions, strict=True)
    ]
    return Resource.of("budget", (*_less(costs, np.array(budgets, dtype=np.float64)), "=="), spaces)


def _less(costs: list[Floats], limits: Floats) -> tuple[list[Floats], float]:
    """Costs (Z S_i, A_i) and one limit that say the same as limits (Z,): the first agent pays what a signal takes."""
    most = float(limits.max())
    first = costs[0] + np.repeat(most - limits, len(costs[0]) // len(limits))[:, None]
    return [first, *costs[1:]], most


def wide_resources(value: Any, spaces: SignalSpaces) -> Any:
    """Constraints over states (z, s_i); what has no such form stays as it is, to be refused."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return value
    return [_wide_resource(f"resources[{k}]", r, spaces) for k, r in enumerate(value)]


def _wide_resource(name: str, value: Any, spaces: SignalSpaces) -> Any:
    keys = ("costs", "limit", "sense")
    if isinstance(value, Mapping) and set(value) == set(keys):
        value = tuple(value[k] for k in keys)
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        return value
    (costs, limit, sense), z, plain = value, spaces.n_signals, spaces.plain
    if isinstance(costs, Sequence | np.ndarray) and len(costs) == plain.n_agents and np.ndim(costs[0]) > 1:
        sizes = zip(costs, plain.n_states, plain.n_actions, strict=True)
        wide = [by_signal(f"{name}.costs[{i}]", c, (s, a), z) for i, (c, s, a) in enumerate(sizes)]
        costs = [c if w is None else w for c, w in zip(costs, wide, strict=True)]
    if np.ndim(limit) == 0:
        return costs, limit, sense
    limits = _check.nonnegative(f"{name}.limit", limit, shape=(z,))
    full = Resource.of(name, (costs, 0.0, sense), spaces)
    return (*_less(list(full.costs), limits), sense)


def wide_rewards(value: Any, spaces: SignalSpaces, labels: Labels) -> Any:
    """Rewards over the states (z, s_i), over joint states with the signal in front, or a function."""
    if callable(value):
        return value
    plain, z = spaces.plain, spaces.n_signals
    own = isinstance(value, list | tuple) and len(value) == plain.n_agents
    each = [_table(f"rewards[{i}]", r, i, spaces, labels) for i, r in enumerate(value)] if own else [None]
    if all(r is not None for r in each):
        return each
    depth = _check.depth(value)
    for shape in ((plain.joint_states, plain.joint_actions), (plain.joint_states,)):
        wide = (z * plain.joint_states, *shape[1:])
        joint = by_signal("rewards", value, shape, z) if depth in (len(shape), len(shape) + 1) else None
        if joint is not None or (depth == len(wide) and _check.shape_of("rewards", value) == wide):
            return value if joint is None else joint
    if own:
        i = next(i for i, r in enumerate(each) if r is None)
        s, a = plain.n_states[i], plain.n_actions[i]
        got = f"shape {by(_check.shape_of(f'rewards[{i}]', value[i]))}"
        rule = f"agent {i} needs ({s}, {a}) or ({s},), or ({z}, {s}, {a}) with one for each signal"
        raise InvalidInput(f"rewards[{i}]", got, rule, "Reshape it.")
    rule = (
        f"one table per agent ({plain.n_agents}), or one joint array of shape ({about(plain.joint_states)}, "
    )
    rule += f"{about(plain.joint_actions)}), the {z} signals in front or not"
    raise InvalidInput("rewards", short(value), rule, "Match one of the two.")


def _table(name: str, value: Any, i: int, spaces: SignalSpaces, labels: Labels) -> Any:
    """The reward table of an agent over (z, s_i), or None."""
    s, a, z = spaces.plain.n_states[i], spaces.plain.n_actions[i], spaces.n_signals
    value = aligned(name, value, (labels.state_names(i), labels.action_names(i))[: _check.depth(value)])
    shape = _check.shape_of(name, value)
    if shape in {(s, a), (z, s, a)}:
        return by_signal(name, value, (s, a), z)
    if shape in {(s,), (s * a,)}:
        return by_signal(name, np.broadcast_to(np.reshape(value, (s, -1)), (s, a)), (s, a), z)
    return value if shape in {(z * s, a), (z * s * a,)} else None
