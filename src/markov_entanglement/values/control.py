"""Optimal and greedy policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Floats, Ints
from .._types import ArrayLike
from ..errors import InvalidInput, NoConvergence, TooLarge
from ..laws.source import demand, offers
from ..markov.build import induced_chain
from ..markov.chain import Chain
from ..markov.linear import LinearSystem, Solution
from ..model.policy import IndexPolicy, LocalPolicy, TablePolicy, UniformPolicy
from ..model.spaces import AT_SCALE, about, ravel, unravel
from ..model.system import System
from .decomposition import ValueDecomposition


def optimal_policy(mdp: System) -> TablePolicy:
    """An optimal deterministic policy for the discounted total reward, by policy iteration on joint states.

    An action is replaced as soon as another is better by more than rounding and the solver's residual can account for,
    relative to the spread of the rewards that the present policy collects: a reward of -1e9 that forbids a pair costs
    the others no digit, and a constant added to all rewards changes nothing.

    Parameters
    ----------
    mdp : a system with rewards and a discount.

    Returns
    -------
    TablePolicy : one joint action per joint state; ties go to the first action.

    Raises
    ------
    InvalidInput : the system has no rewards or no discount.
    TooLarge : the joint states or feasible pairs would not fit.

    >>> import markov_entanglement as me
    >>> system = me.gallery.build("circulant", n_arms=3, budget=1).system
    >>> me.optimal_policy(system)
    TablePolicy(64 joint states x 8 joint actions)
    """
    helps = "For a bandit use me.lp_priority or me.whittle_index."
    demand("mdp", mdp, System, "policy iteration needs joint states", helps)
    chain = induced_chain(mdp, UniformPolicy() if mdp.acts else None, mdp.ends and mdp.ends.anywhere)
    for name, given in (("rewards", mdp.rewards), ("discount", mdp.discount)):
        if given is None:
            remedy = (
                "Give rewards, and a discount; one near enough to 1 makes it best in the long run as well."
            )
            raise InvalidInput(name, "None", "an optimum needs rewards and a discount", remedy)
    assert mdp.rewards is not None and mdp.discount is not None
    reward = mdp.rewards.on_pairs(chain.pairs, mdp.spaces)
    gamma, carry = mdp.discount, chain.kernel.carry
    chosen = _first_best(chain, reward)
    for _ in range(200):
        paid = reward[chosen]
        middle = 0.5 * paid.max() + 0.5 * paid.min() if mdp.ends is None else 0.0
        found = _evaluate(chain, chosen, paid - middle, gamma)
        q = reward - middle + gamma * carry(found.x)
        better = _first_best(chain, q)
        lost = 4.0 * (found.residual + tol.EPSILON) * np.abs(paid - middle).max() / (1.0 - gamma)
        improves = q[better] > q[chosen] + lost
        if not improves.any():
            break
        chosen = np.where(improves, better, chosen)
    else:
        raise NoConvergence("policy iteration did not settle", None, float((q[better] - q[chosen]).max()))
    _, actions = mdp.spaces.split(chain.pairs[chosen])
    best = np.zeros(mdp.spaces.joint_states, dtype=np.int64)  # action 0 in terminal states
    best[mdp.spaces.state_index(chain.states)] = ravel(actions, mdp.spaces.n_actions)
    return _deterministic(best, mdp.spaces.joint_actions)


def _evaluate(chain: Chain, chosen: Ints, paid: Floats, gamma: float) -> Solution:
    carry, carried = chain.kernel.carry, chain.kernel.carried
    matrix = None if carried is None else sp.csr_array(gamma * carried[chosen])
    return LinearSystem(len(chosen), lambda v: gamma * carry(v)[chosen], matrix, gamma).solve(paid)


def _first_best(chain: Chain, q: Floats) -> Ints:
    """(S,) the first of the best pairs of each state."""
    best = np.maximum.reduceat(q, chain.choice.indptr[:-1])
    at = np.flatnonzero(q == best[chain.pair_state])
    return at[np.diff(chain.pair_state[at], prepend=-1) > 0]


def _deterministic(actions: Ints, n_actions: int) -> TablePolicy:
    n = len(actions)
    return TablePolicy(sp.csr_array((np.ones(n), (np.arange(n), actions)), shape=(n, n_actions)))


def greedy_policy(
    q: ArrayLike | Sequence[ArrayLike] | ValueDecomposition,
) -> TablePolicy | LocalPolicy | IndexPolicy:
    """The policy that is greedy in `q`.

    Parameters
    ----------
    q : an array (joint states, joint actions), -inf or NaN where an action is not available (no value, no choice); or
        one table (S_i, A_i) per agent, then each agent maximises its own; or a `ValueDecomposition`: with a budget
        the agents of largest gain Q_i(s_i, 1) - Q_i(s_i, 0) are served (an `IndexPolicy`), on resources (or a budget of
        more than two actions) the feasible joint action of largest sum is taken (a `TablePolicy`), else each agent
        maximises its own Q_i. Ties go to the first action; a local pair never visited is never chosen unless none of
        its state was, and then the first action is.

    Raises
    ------
    InvalidInput : a joint state without any available action, wrong shapes (flat tables, as in `local_q`), or entries
        that are masked, infinite or not real numbers.
    TooLarge : on resources, the feasible actions of all joint states would not fit.

    >>> import markov_entanglement as me
    >>> me.greedy_policy([[[0.0, 1.0], [2.0, 1.0]]]).tables[0].tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    if offers(q, ValueDecomposition):
        found: Any = q
        tables = [t.reshape(-1, a) for t, a in zip(found.local_q, found.chain.actions, strict=True)]
        limited = offers(found.chain, Chain) and found.chain.system.limits is not None
        if limited and not found.chain.system.ranked:
            return _feasible_best(found.chain.system, tables)
        if found.chain.budget is None:
            return LocalPolicy([_argmax_table(t) for t in tables])
        return IndexPolicy([_gain(t) for t in tables])
    if isinstance(q, list | tuple):
        each = [len(_check.shape_of(f"q[{i}]", t)) for i, t in enumerate(q)]
        if each and set(each) == {2}:
            return LocalPolicy([_argmax_table(_available(f"q[{i}]", t)) for i, t in enumerate(q)])
        if any(isinstance(t, np.ndarray) for t in q):
            raise InvalidInput(
                "q",
                f"{len(q)} flat arrays",
                "a local table is (S_i, A_i), a joint one is a single array",
                "Pass the decomposition itself, or t.reshape(S_i, A_i) of each table; or np.array(q) for joint states.",
            )
    table = _available("q", q)
    none = np.flatnonzero(np.isneginf(table).all(axis=1))
    if len(none):
        got = f"no available action in joint state {none[0]}"
        raise InvalidInput("q", got, "each row needs a finite entry", "Fill it.")
    return _deterministic(table.argmax(axis=1), table.shape[1])


def _feasible_best(system: System, tables: list[Floats]) -> TablePolicy:
    """The feasible joint action of largest sum in every joint state, the first of several."""
    spaces, best = system.spaces, np.zeros(system.spaces.joint_states, dtype=np.int64)
    if spaces.joint_states * 8 * (spaces.n_agents + 4) > tol.BYTES:
        most = f"{tol.BYTES / 8 / (spaces.n_agents + 4):.3g}"
        raise TooLarge(
            "product of local states", f"{about(spaces.joint_states)} joint states", most, AT_SCALE
        )
    index = np.arange(spaces.joint_states)
    index = index if system.ends is None else np.delete(index, system.ends.terminal)
    states = spaces.states_at(index)
    mask = system.feasible(states)
    row, joint = np.repeat(np.arange(len(states)), np.diff(mask.indptr)), mask.indices.astype(np.int64)
    actions, total = unravel(joint, spaces.n_actions), np.zeros(len(joint))
    for i, t in enumerate(tables):
        total += np.where(np.isnan(t), -np.inf, t)[states[row, i], actions[:, i]]
    top = np.maximum.reduceat(total, mask.indptr[:-1])
    at = np.flatnonzero(total == top[row])
    at = at[np.diff(row[at], prepend=-1) > 0]
    best[index] = joint[at]
    return _deterministic(best, spaces.joint_actions)


def _available(name: str, value: Any) -> Floats:
    """A table with -inf where an action is not available: where the value is -inf or NaN."""
    if len(shape := _check.shape_of(name, value)) != 2:
        rule = "it must be (joint states, joint actions)"
        raise InvalidInput(name, f"shape {shape}", rule, "Or give one table per agent.")
    a = np.ma.asarray(value)
    gap = ~(a.data > -np.inf) if a.dtype.kind == "f" else np.zeros(a.shape, dtype=np.bool_)
    known = _check.real(name, np.ma.where(gap, 0.0, a) if gap.any() else a)
    return np.where(gap, -np.inf, known)


def _argmax_table(t: Floats) -> Floats:
    filled = np.where(np.isnan(t), -np.inf, t)
    return np.asarray(np.eye(t.shape[1])[filled.argmax(axis=1)])


def _gain(t: Floats) -> Floats:
    """Q(s, 1) - Q(s, 0); states whose gain was never observed come last."""
    gain = t[:, 1] - t[:, 0]
    seen = ~np.isnan(gain)
    lowest = float(gain[seen].min()) - 1.0 if seen.any() else 0.0
    return np.where(seen, gain, lowest)
