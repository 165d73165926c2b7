"""Rows of an arm of a restless bandit from its exact count chain.

Tag one arm of type t at local pair `x_i = (s, a)` when the pair of counts is `(n, z)`. It moves to s' with chance
`P_a(s, s')`, independently of the others; then it is served with the activation probability of its cell. Hence

    p_i((s', 1) | n, z, x_i) = P_a(s, s') E[ rho_{s'}(e_{s'} + m') ],

`rho_x(n)` = activation probability in cell x given counts n, `m'` = next counts of the other arms. Removing a served
arm from `(n, z)` leaves a pair of the bandit with one arm and one unit of budget less; removing a passive arm leaves a
pair of the bandit with one arm less. So two smaller count operators give every such expectation, S functions each.
"""

from __future__ import annotations

import numpy as np

from .._check import Floats, Ints
from ..laws.rows import Rows
from ..model.bandit import RestlessBandit
from .count_operator import CountOperator
from .count_space import CountPairs, activation, enumerate_pairs


def count_rows(bandit: RestlessBandit, ranks: Ints, pairs: CountPairs, occupancy: Floats, t: int) -> Rows:
    """Rows of Eq. 7 for an arm of type t: key `2 s + a`, law over `2 s' + a'`, one row per (n, z, s, a)."""
    n_states, sources = bandit.n_states, (pairs.passive, pairs.served)
    cells = range(t * n_states, (t + 1) * n_states)
    found = [(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((0, 2 * n_states)))]
    for action, mine in enumerate(sources):
        if not mine[:, list(cells)].any():
            continue
        others = list(pairs.n_arms)
        others[t] -= 1
        reduced = enumerate_pairs(others, n_states, ranks, pairs.budget - action)
        expected = _expected_activation(bandit, ranks, reduced, pairs.budget, t)
        for s, cell in enumerate(cells):
            at = np.flatnonzero(mine[:, cell])
            rest = [source[at] for source in sources]
            rest[action][:, cell] -= 1
            served = expected[reduced.positions(*rest)]
            move = bandit.kernels[t, action, s]
            law = np.stack([move * (1.0 - served), move * served], axis=2).reshape(len(at), 2 * n_states)
            weight = occupancy[at] * mine[at, cell] / int(bandit.n_arms[t])
            found.append((np.full(len(at), 2 * s + action, dtype=np.int64), weight, law))
    key, weight, law = (np.concatenate(part) for part in zip(*found, strict=True))
    return Rows(key, weight, law, 2 * n_states)


def count_partner_rows(pairs: CountPairs, n_states: int, rows: Rows, t: int, other: int) -> Rows:
    """The rows of an arm of type t when its model may also read the pair of one more arm, of type `other`."""
    sources = (pairs.passive, pairs.served)
    mine, theirs = (range(k * n_states, (k + 1) * n_states) for k in (t, other))
    at = np.concatenate([np.flatnonzero(source[:, cell]) for source in sources for cell in mine])
    there = np.stack([source[:, list(theirs)] for source in sources], axis=2).reshape(len(pairs.count), -1)
    there = there[at].astype(np.float64)
    if other == t:
        there[np.arange(len(at)), rows.key] -= 1.0
    row, y = np.nonzero(there)
    weight = rows.weight[row] * there[row, y] / there.sum(axis=1)[row]
    return Rows(rows.key[row], weight, rows.law[row], rows.n_keys).refine(y.astype(np.int64), 2 * n_states)


def _expected_activation(
    bandit: RestlessBandit, ranks: Ints, others: CountPairs, budget: int, t: int
) -> Floats:
    """(J, S) `E[rho_{s'}(e_{s'} + m')]` for every pair of the others and every s'."""
    operator = CountOperator(others, bandit.kernels)
    out = np.zeros((operator.n_pairs, bandit.n_states))
    for s in range(bandit.n_states):
        cell = t * bandit.n_states + s
        if bandit.kernels[t, :, :, s].any():
            joined = others.counts.copy()
            joined[:, cell] += 1
            out[:, s] = operator.expect(activation(joined, ranks, budget)[:, cell].copy())
    return np.clip(out, 0.0, 1.0)


def count_policy_rows(
    bandit: RestlessBandit, ranks: Ints, pairs: CountPairs, count_occupancy: Floats, t: int
) -> Rows:
    """Rows of Prop. 7.2 for an arm of type t: key s, law `pi(a|n, s)`, one row per (n, s) with `n_s > 0`."""
    mine = slice(t * bandit.n_states, (t + 1) * bandit.n_states)
    at, key = np.nonzero(pairs.counts[:, mine])
    rho = activation(pairs.counts, ranks, pairs.budget)[:, mine][at, key]
    weight = count_occupancy[at] * pairs.counts[:, mine][at, key] / max(int(bandit.n_arms[t]), 1)
    return Rows(key.astype(np.int64), weight, np.stack([1.0 - rho, rho], axis=1), bandit.n_states)
