"""Compiled steps of agents: kernels of their own or a joint one, service by priority or by laws that are known.

All of it reads random numbers by position (run, step, agent), so that one step at a time and many at once are the same.
What a system does not have is an empty array, so that all systems share one compiled loop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .._check import Bools, Floats, Ints
from .._compiled import compiled
from .draws import BITS, bits, select

_UNIT = 2.0**-53
_S11 = np.uint64(11)


class Moves(NamedTuple):
    """Kernels of the agents' own, cumulative: row (s, a) of agent i begins at `first[i] + (s A_i + a) S_i`."""

    first: Ints  # (N,)
    states: Ints  # (N,) S_i
    actions: Ints  # (N,) A_i
    tails: Floats  # cumulative probabilities, infinite from the last outcome on


class Leaps(NamedTuple):
    """A joint kernel: row `a S + s` of joint action a and joint state s lists next joint states and their chances."""

    start: Ints  # (A S + 1,)
    target: Ints
    chance: Floats


class Service(NamedTuple):
    """Priorities on a budget: class of state s of agent i at `first[i] + s`, 0 is served first."""

    first: Ints  # (N,)
    classes: Ints
    most: int  # bits of a class
    budget: int


class Laws(NamedTuple):
    """A policy at joint states: number j has the actions from `start[place[j]]` on; -1: it was not asked there yet."""

    place: Ints  # (S,)
    start: Ints
    chance: Floats
    actions: Ints  # (K, N)


class Again(NamedTuple):
    """Where tasks end and how the next one starts."""

    terminal: Bools  # (S,)
    first: Ints  # (n, N)
    joint: Ints  # (n,)
    chance: Floats  # (n,)


class Numbers(NamedTuple):
    """Joint indices `sum_i s_i by_state[i]`, `sum_i a_i by_action[i]`, and all states of a joint kernel by theirs."""

    actions: Ints  # (N,) A_i
    by_state: Ints  # (N,)
    by_action: Ints  # (N,)
    listed: Ints  # (S, N)


class Plan(NamedTuple):
    """All that moves agents, for as many steps as one likes."""

    numbers: Numbers
    moves: Moves
    leaps: Leaps
    again: Again
    service: Service


_NONE = np.zeros(0, np.int64)
NO_MOVES, NO_LEAPS = Moves(_NONE, _NONE, _NONE, np.zeros(0)), Leaps(_NONE, _NONE, np.zeros(0))
NO_SERVICE, NO_LAWS = Service(_NONE, _NONE, 1, 0), Laws(_NONE, _NONE, np.zeros(0), np.zeros((0, 0), np.int64))
NO_END = Again(np.zeros(0, np.bool_), np.zeros((0, 0), np.int64), _NONE, np.zeros(0))


@compiled
def advance(keys, time, states, actions, moves, after):  # type: ignore[no-untyped-def]
    """Move all agents of all runs: fill `after` (R, N) from states and actions (R, N)."""
    runs, agents = states.shape
    for r in range(runs):
        for i in range(agents):
            size = moves.states[i]
            row = moves.first[i] + (states[r, i] * moves.actions[i] + actions[r, i]) * size
            u = (bits(keys[r], time * agents + i) >> _S11) * _UNIT
            t = 0
            if size <= 8:  # without a branch that cannot be foreseen
                for j in range(size - 1):
                    t += u >= moves.tails[row + j]
            else:
                while u >= moves.tails[row + t]:
                    t += 1
            after[r, i] = t


@compiled
def pick(key, time, lo, hi, chance):  # type: ignore[no-untyped-def]
    """Which of the chances lo..hi-1 comes true."""
    u = (bits(key, time) >> _S11) * _UNIT
    while lo < hi - 1 and u >= chance[lo]:
        u -= chance[lo]
        lo += 1
    return lo


@compiled
def leap(keys, time, rows, leaps, after):  # type: ignore[no-untyped-def]
    """Next joint states `after` (R,) from rows (R,) of a joint kernel."""
    for r in range(len(rows)):
        chosen = pick(keys[r], time, leaps.start[rows[r]], leaps.start[rows[r] + 1], leaps.chance)
        after[r] = leaps.target[chosen]


@compiled
def serve(keys, time, states, service, actions):  # type: ignore[no-untyped-def]
    """Fill `actions` (R, N): exactly `budget` agents are served, by priority, ties uniformly."""
    runs, agents = states.shape
    classes, buckets = np.empty(agents, np.int64), np.zeros(1 << BITS, np.int64)
    for r in range(runs):
        for i in range(agents):
            classes[i] = service.classes[service.first[i] + states[r, i]]
        cut = select(keys[r], time * agents, classes, service.most, service.budget, buckets)
        for i in range(agents):
            actions[r, i] = classes[i] < cut


@compiled
def act(keys, time, joint, states, actions, service, laws):  # type: ignore[no-untyped-def]
    """Fill `actions` (R, N) by priority, or from the laws of a policy where all are known; whether that was done."""
    if len(service.first) > 0:
        serve(keys, time, states, service, actions)
    if len(laws.place) > 0:
        for r in range(len(joint)):
            if laws.place[joint[r]] < 0:
                return False
        for r in range(len(joint)):
            row = laws.place[joint[r]]
            chosen = pick(keys[r], time, laws.start[row], laws.start[row + 1], laws.chance)
            for i in range(actions.shape[1]):
                actions[r, i] = laws.actions[chosen, i]
    return True


@compiled
def average(joint, states, wide, first, table, laws, out):  # type: ignore[no-untyped-def]
    """Fill `out` (R,) with means over actions of `sum_i table[first[i] + x_i]` where all laws are known; whether it is
    done."""
    for r in range(len(joint)):
        if laws.place[joint[r]] < 0:
            return False
    for r in range(len(joint)):
        row = laws.place[joint[r]]
        out[r] = 0.0
        for c in range(laws.start[row], laws.start[row + 1]):
            total = 0.0
            for i in range(states.shape[1]):
                total += table[first[i] + states[r, i] * wide[i] + laws.actions[c, i]]
            out[r] += laws.chance[c] * total
    return True


@compiled
def note(states, actions, wide, k, pairs):  # type: ignore[no-untyped-def]
    """Write down the local pairs of step k."""
    for r in range(states.shape[0]):
        for i in range(states.shape[1]):
            pairs[r, k, i] = states[r, i] * wide[i] + actions[r, i]


@compiled
def ride(keys, time, at, joint, states, actions, plan, laws, pairs, ended):  # type: ignore[no-untyped-def]
    """Make the steps from `at` on of all runs: fill pairs (R, B + 1, N) and ended (R, B), and leave the last joint
    states (R,), local states and actions (R, N) where the first ones are.

    Returns the number of the step that comes next, B at the end; negative where the policy must be asked before it.
    """
    numbers, moves, leaps, again, service = plan
    runs, agents = states.shape
    own, ends, many = len(moves.first) > 0, len(again.terminal) > 0, len(numbers.listed)
    after, rows = np.empty_like(states), np.empty(runs, np.int64)
    for k in range(at, ended.shape[1]):
        now = time + k - at
        if own:
            advance(keys[0], now, states, actions, moves, after)
            for r in range(runs):
                joint[r] = 0
                for i in range(agents):
                    states[r, i] = after[r, i]
                    joint[r] += after[r, i] * numbers.by_state[i]
        else:
            for r in range(runs):
                rows[r] = joint[r]
                for i in range(agents):
                    rows[r] += actions[r, i] * numbers.by_action[i] * many
            leap(keys[0], now, rows, leaps, joint)
            for r in range(runs):
                for i in range(agents):
                    states[r, i] = numbers.listed[joint[r], i]
        if ends:
            for r in range(runs):
                ended[r, k] = again.terminal[joint[r]]
                if ended[r, k]:
                    chosen = pick(keys[2, r], now, 0, len(again.chance), again.chance)
                    joint[r] = again.joint[chosen]
                    for i in range(agents):
                        states[r, i] = again.first[chosen, i]
        if not act(keys[1], now + 1, joint, states, actions, service, laws):
            return -(k + 1)
        note(states, actions, numbers.actions, k + 1, pairs)
    return ended.shape[1]
