"""Optimal and greedy policies."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from .._check import Floats, Ints
from ..errors import InvalidInput, NoConvergence, Unsupported
from ..markov.chain import Chain
from ..markov.linear import LinearSystem
from ..model.policy import IndexPolicy, LocalPolicy, TablePolicy, UniformPolicy
from ..model.spaces import ravel
from ..model.system import System
from .decomposition import ValueDecomposition


def optimal_policy(mdp: System) -> TablePolicy:
    """An optimal deterministic policy for the discounted total reward, by policy iteration on joint states.

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
    if not isinstance(mdp, System):
        raise Unsupported(
            "mdp",
            type(mdp).__name__,
            "policy iteration needs joint states",
            "For a bandit use me.lp_priority or me.whittle_index.",
        )
    chain = mdp.under(UniformPolicy() if mdp.acts else None, initial=mdp.ends and mdp.ends.anywhere)
    if mdp.rewards is None or mdp.discount is None:
        raise InvalidInput("mdp", "no rewards or no discount", "an optimum needs both", "Give them.")
    reward = mdp.rewards.on_pairs(chain.pairs, mdp.spaces)
    starts = chain.choice.indptr[:-1].astype(np.int64)
    chosen = _first_best(reward, starts)
    scale = float(np.abs(reward).max(initial=0.0)) / (1.0 - mdp.discount) or 1.0
    for _ in range(200):
        v = _evaluate(chain, chosen, reward, mdp.discount)
        q = reward + mdp.discount * chain.kernel.carry(v)
        better = _first_best(q, starts)
        improves = q[better] > q[chosen] + 1e-10 * scale
        if not improves.any():
            break
        chosen = np.where(improves, better, chosen)
    else:
        raise NoConvergence("policy iteration did not settle", None, float((q[better] - q[chosen]).max()))
    _, actions = mdp.spaces.split(chain.pairs[chosen])
    best = np.zeros(mdp.spaces.joint_states, dtype=np.int64)  # action 0 in terminal states
    best[mdp.spaces.state_index(chain.states)] = ravel(actions, mdp.spaces.n_actions)
    return _deterministic(best, mdp.spaces.joint_actions)


def _evaluate(chain: Chain, chosen: Ints, reward: Floats, discount: float) -> Floats:
    matrix = None
    if chain.kernel.carried is not None:
        matrix = sp.csr_array(discount * chain.kernel.carried[chosen])
    system = LinearSystem(len(chosen), lambda v: discount * chain.kernel.carry(v)[chosen], matrix, discount)
    return system.solve(reward[chosen]).x


def _first_best(q: Floats, starts: Ints) -> Ints:
    """Position of the first maximum within each run of `q`."""
    best = np.maximum.reduceat(q, starts)
    at = np.flatnonzero(q == np.repeat(best, np.diff([*starts, len(q)])))
    run = np.searchsorted(starts, at, side="right") - 1
    _, first = np.unique(run, return_index=True)
    return np.asarray(at[first])


def _deterministic(actions: Ints, n_actions: int) -> TablePolicy:
    n = len(actions)
    return TablePolicy(sp.csr_array((np.ones(n), (np.arange(n), actions)), shape=(n, n_actions)))


def greedy_policy(q: Any) -> TablePolicy | LocalPolicy | IndexPolicy:
    """The policy that is greedy in `q`.

    Parameters
    ----------
    q : an array (joint states, joint actions), -inf or NaN where an action is not available; or one table
        (S_i, A_i) per agent, then each agent maximises its own; or a `ValueDecomposition`: with a budget
        the agents of largest gain Q_i(s_i, 1) - Q_i(s_i, 0) are served (an `IndexPolicy`), else each agent
        maximises its own Q_i. Ties go to the first action; a local pair never visited is never chosen
        unless none of its state was, and then the first action is.

    Raises
    ------
    InvalidInput : a joint state without any available action, or wrong shapes.

    >>> import markov_entanglement as me
    >>> me.greedy_policy([[[0.0, 1.0], [2.0, 1.0]]]).tables[0].tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    if isinstance(q, ValueDecomposition):
        spaces = q.chain.system.spaces
        tables = [
            t.reshape(s, a) for t, s, a in zip(q.local_q, spaces.n_states, spaces.n_actions, strict=True)
        ]
        if getattr(q.chain.system, "budget", None) is None:
            return LocalPolicy([_argmax_table(t) for t in tables])
        return IndexPolicy([_gain(t) for t in tables])
    if isinstance(q, list | tuple) and q and all(np.ndim(t) == 2 for t in q):
        return LocalPolicy([_argmax_table(np.asarray(t, dtype=np.float64)) for t in q])
    table = np.asarray(q)
    if table.ndim != 2 or table.dtype.kind not in "biuf":
        raise InvalidInput(
            "q",
            f"an array of shape {table.shape} and type {table.dtype}",
            "it must be (joint states, joint actions)",
            "Or give one table per agent.",
        )
    filled = np.where(np.isnan(table), -np.inf, table)
    none = np.flatnonzero(~np.isfinite(filled).any(axis=1))
    if len(none):
        raise InvalidInput(
            "q", f"no available action in joint state {none[0]}", "each row needs a finite entry", "Fill it."
        )
    return _deterministic(filled.argmax(axis=1), table.shape[1])


def _argmax_table(t: Floats) -> Floats:
    filled = np.where(np.isnan(t), -np.inf, t)
    return np.asarray(np.eye(t.shape[1])[filled.argmax(axis=1)])


def _gain(t: Floats) -> Floats:
    """Q(s, 1) - Q(s, 0); states whose gain was never observed come last."""
    gain = t[:, 1] - t[:, 0]
    seen = ~np.isnan(gain)
    lowest = float(gain[seen].min()) - 1.0 if seen.any() else 0.0
    return np.where(seen, gain, lowest)
