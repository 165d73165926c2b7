"""Kernels of RDDL problems: all states of a small one, or what a policy reaches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _tolerance as tol
from .._check import Bools, Floats, Ints
from ..errors import InvalidInput, TooLarge, gib, short
from ..model.spaces import about
from ._rddl import JOINT_ACTIONS, Problem


def product(chances: Floats) -> Floats:
    """(R, 2^B) laws over all states of chances (R, B) of the fluents, in the order of the binary numbers."""
    out = np.ones((len(chances), 1))
    for p in chances.T:
        out = (out[:, :, None] * np.stack([1.0 - p, p], axis=1)[:, None, :]).reshape(len(out), -1)
    return out


def system_of(problem: Problem) -> tuple[list[sp.csr_array], Any, Bools]:
    """Kernel (one matrix per joint action), rewards and mask of the terminal states of a small problem."""
    spaces = problem.spaces
    js, ja, actions = spaces.joint_states, spaces.joint_actions, problem.joint_actions
    size = js * js * len(actions) * 12
    if ja > JOINT_ACTIONS or size > tol.BYTES:
        got = f"{about(js)} states, {len(actions)} of {about(ja)} joint actions, {gib(size)}"
        raise TooLarge(problem.name, got, f"{gib(tol.BYTES)}, {JOINT_ACTIONS} joint actions",
                       "Give a policy: me.from_rddl(domain, instance, policy=...).")  # fmt: skip
    states = spaces.states_at(np.arange(js, dtype=np.int64))
    ended = np.array([bool(problem.sim.rddl.terminations) and problem.ended(s) for s in states])
    kernel = [sp.csr_array((js, js)) for _ in range(ja)]
    pay, pairs, joint = [], [], np.zeros((js, ja))
    for a in actions:
        rows = [(s, problem.put(state, a)) for s, state in enumerate(states)]
        rows = [(s, subs) for s, subs in rows if problem.allowed(subs)]
        if not rows:
            continue
        at, number = np.array([s for s, _ in rows]), int(spaces.action_index(a[None])[0])
        law = sp.csr_array(product(np.array([problem.chances(subs) for _, subs in rows])))
        put = sp.csr_array((np.ones(len(at)), (at, np.arange(len(at)))), shape=(js, len(at)))
        kernel[number] = sp.csr_array(put @ law)
        joint[at, number] = [problem.pay(subs) for _, subs in rows]
        pay.append(joint[at, number])
        pairs.append(spaces.local_pairs(states[at], np.broadcast_to(a, (len(at), len(a)))))
    local = problem.rewards(np.concatenate(pairs), np.concatenate(pay))
    return kernel, joint if local is None else local, ended


def chain_of(problem: Problem, policy: Any) -> tuple[Ints, sp.csr_array, Any, dict[str, Any]]:
    """Pairs, transition, rewards and ends of a policy, on the states that it reaches from the first one.

    `policy` is a callable, state tuple -> {action tuple: probability}.
    """
    spaces = problem.spaces
    if spaces.joint_states * 16 > tol.BYTES:
        raise TooLarge(
            problem.name, f"{about(spaces.joint_states)} states", gib(tol.BYTES), "Take a smaller problem."
        )
    number = np.full(spaces.joint_states, -1, dtype=np.int64)
    todo = [int(spaces.state_index(problem.first[None])[0])]
    number[todo[0]] = 0
    pairs: list[Ints] = []
    pay: list[float] = []
    ahead: list[tuple[Ints, Floats]] = []
    chance: list[float] = []
    over: list[bool] = []
    owner: list[int] = []
    entries = 0
    for here in todo:  # grows while states are found
        state = spaces.states_at(np.array([here]))[0]
        for action, p, end in _choices(problem, policy, state):
            subs = problem.put(state, action)
            law = np.eye(1, len(number), here)[0] if end else product(problem.chances(subs)[None])[0]
            to = np.flatnonzero(law)
            fresh = to[number[to] < 0]
            number[fresh] = np.arange(len(todo), len(todo) + len(fresh))
            todo += fresh.tolist()
            pairs.append(spaces.local_pairs(state, action))
            pay.append(problem.pay(subs))
            ahead.append((to, law[to]))
            chance.append(p)
            over.append(end)
            owner.append(int(number[here]))
            entries += len(to)
            if entries * 12 > tol.BYTES:
                got = f"more than {len(pairs)} pairs with {entries} next states"
                raise TooLarge(problem.name, got, gib(tol.BYTES), "Take a smaller problem.")
    many = np.arange(len(pairs))
    places = np.repeat(many, [len(to) for to, _ in ahead]), number[np.concatenate([to for to, _ in ahead])]
    kernel = sp.csr_array((np.concatenate([p for _, p in ahead]), places), shape=(len(pairs), len(todo)))
    choice = sp.csr_array((np.array(chance), (np.array(owner), many)), shape=(len(todo), len(pairs)))
    local = problem.rewards(np.array(pairs), np.array(pay))
    first = choice[[0]].toarray()[0]
    ends = {"terminal": np.array(over), "restart": first} if any(over) else {}
    return np.array(pairs), sp.csr_array(kernel @ choice), np.array(pay) if local is None else local, ends


def _choices(problem: Problem, policy: Any, state: Ints) -> Iterator[tuple[Ints, float, bool]]:
    """The actions of the policy in a state, their probabilities, and whether a task ends there."""
    if problem.sim.rddl.terminations and problem.ended(state):
        yield np.zeros_like(state), 1.0, True
        return
    for action, p in _law(problem, policy, tuple(state.tolist())).items():
        if not problem.allowed(problem.put(state, np.array(action))):
            got = f"action {action} in state {tuple(state.tolist())}"
            raise InvalidInput("policy", got, "a precondition forbids it", "Give it probability 0.")
        yield np.array(action), p, False


def _law(problem: Problem, policy: Any, state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """The policy's law in a state, of actions that there are."""
    given, known = policy(state), problem.known_actions
    try:
        law = {tuple(map(int, a)): float(p) for a, p in given.items()}
    except (AttributeError, TypeError, ValueError):
        rule = "it must be {action tuple: probability}"
        raise InvalidInput("policy", short(given), rule, "E.g. {(0, 1): 1.0}.") from None
    law = {a: p for a, p in law.items() if p != 0.0}
    if min(law.values(), default=-1.0) < 0.0 or abs(sum(law.values()) - 1.0) > tol.ROW_SUM:
        raise InvalidInput("policy", short(given), f"a law in state {state} sums to 1", "Mend the policy.")
    for action in law:
        if action not in known:
            raise InvalidInput("policy", f"action {action} in state {state}", "it is none of the problem's",
                               f"There are {len(known)}, e.g. {min(known)}.")  # fmt: skip
    return law
