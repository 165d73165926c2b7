"""Kernels of RDDL problems: all states of a small one, or what a policy reaches."""

from __future__ import annotations

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


def chain_of(problem: Problem, policy: Any) -> tuple[Ints, sp.csr_array, Any, Ints]:
    """Pairs, transition, rewards and terminal pairs of a policy, on the states that it reaches from the first one.

    `policy` is a callable, state tuple -> {action tuple: probability}.
    """
    spaces, first = problem.spaces, tuple(problem.first.tolist())
    number, todo = {first: 0}, [first]
    pairs: list[Ints] = []
    pay: list[float] = []
    ahead: list[tuple[Ints, Floats]] = []
    first_pair, chance, over = [0], [], []
    for state in todo:  # grows while states are found
        end = bool(problem.sim.rddl.terminations) and problem.ended(np.array(state))
        law = {(0,) * len(state): 1.0} if end else _law(problem, policy, state)
        for action, p in law.items():
            subs = problem.put(np.array(state), np.array(action))
            if not end and not problem.allowed(subs):
                raise InvalidInput("policy", f"action {action} in state {state}", "a precondition forbids it",
                                   "Give it probability 0.")  # fmt: skip
            pay.append(0.0 if end else problem.pay(subs))
            row = np.eye(1) if end else product(problem.chances(subs)[None])
            to = np.flatnonzero(row[0]) if not end else np.array([0])
            reached = [state] if end else list(map(tuple, spaces.states_at(to).tolist()))
            for t in reached:
                if t not in number:
                    number[t] = len(number)
                    todo.append(t)
            ahead.append((np.array([number[t] for t in reached]), row[0][to]))
            pairs.append(spaces.local_pairs(np.array(state), np.array(action)))
            chance.append(p)
            over.append(end)
        first_pair.append(len(pairs))
        if sum(len(t) for t, _ in ahead[-1:]) * len(pairs) * 12 > tol.BYTES:
            raise TooLarge(
                problem.name, f"more than {len(pairs)} pairs", gib(tol.BYTES), "Take a smaller problem."
            )
    rows = np.repeat(np.arange(len(ahead)), [len(t) for t, _ in ahead])
    kernel = sp.csr_array((np.concatenate([p for _, p in ahead]), (rows, np.concatenate([t for t, _ in ahead]))),
                          shape=(len(pairs), len(number)))  # fmt: skip
    choice = sp.csr_array((np.array(chance), np.arange(len(pairs)), np.array(first_pair)))
    local = problem.rewards(np.array(pairs), np.array(pay))
    return (
        np.array(pairs),
        sp.csr_array(kernel @ choice),
        np.array(pay) if local is None else local,
        np.array(over),
    )


def _law(problem: Problem, policy: Any, state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
    """The policy's law in a state, of actions that there are."""
    given = policy(state)
    known = set(map(tuple, problem.joint_actions.tolist()))
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
