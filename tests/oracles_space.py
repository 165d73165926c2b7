"""Brute force on raw joint arrays, for every question that an enumerated system answers. numpy and scipy only.

Nothing here imports the library or shares code with it. Letters: n joint pairs, N agents, m_i local pairs,
S joint states, A joint actions, gamma the discount.

P       (n, n) transition matrix of the pairs (with restarts where tasks end).
carry   (n, n) continuing part of P, substochastic: values live on it. `carry is P` where nothing ends.
ends    (n,) chance that the task ends at a pair, or None: `P = carry + ends (x) restart`.
pairs   (n, N) local pair `s_i |A_i| + a_i` of each agent.
mu      (n,) occupancy, stationary for P; 0 on transient pairs.
tables  one (m_i,) array per agent.

A local pair with `mu_i = 0` has no value (NaN) and no part in any norm. Norms: "mu" = L1(mu), "l2" = L2(mu), "sup" =
largest over mu > 0.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, eye_array, hstack, kron, vstack
from scipy.stats import rankdata

# ---- the chain -------------------------------------------------------------------------------------------------


def product(sizes):
    """(prod sizes, N) all tuples, agent 0 slowest."""
    return np.array(list(itertools.product(*map(range, sizes))), dtype=int).reshape(-1, len(sizes))


def induced(kernel, table, n_states, n_actions, terminal=None, restart=None):
    """The chain on live joint pairs of a system under a policy.

    kernel (S, A, S), rows of zeros where an action is forbidden; table (S, A); n_states, n_actions per agent;
    terminal (S,) bool or None; restart (S,) law over live joint states (needed when a task can end).
    Returns dict: P, carry (n, n), ends (n,) or None, pairs (n, N), choice (n,) pi(a|s), state (n,) joint state.
    """
    states, actions = product(n_states), product(n_actions)
    live = np.ones(len(states), bool) if terminal is None else ~np.asarray(terminal, bool)
    index = [(s, a) for s in range(len(states)) for a in range(len(actions)) if live[s] and table[s, a] > 0]
    pairs = np.array([states[s] * np.array(n_actions) + actions[a] for s, a in index], dtype=int)
    carry = np.array([[kernel[s, a, t] * table[t, b] for t, b in index] for s, a in index])
    choice = np.array([table[s, a] for s, a in index])
    ends = None
    if terminal is not None:
        ends = np.array([kernel[s, a][~live].sum() for s, a in index])
    again = None if restart is None else np.array([restart[s] * table[s, a] for s, a in index])
    whole = carry if ends is None or not ends.any() else carry + np.outer(ends, again)
    state = np.array([s for s, _ in index])
    return {"P": whole, "carry": carry, "ends": ends, "pairs": pairs, "choice": choice, "state": state}


def reachable(P, start):
    """(n,) bool: pairs that can be reached from `start` (mask or law), the start included."""
    seen = np.asarray(start) > 0
    while True:
        more = seen | ((P[seen] > 0).any(axis=0))
        if (more == seen).all():
            return seen
        seen = more


def classes(P):
    """Recurrent classes, lists of positions, by Warshall's closure."""
    reach = np.asarray(P) > 0
    for k in range(len(reach)):
        reach = reach | (reach[:, k : k + 1] & reach[k : k + 1])
    found = []
    for x in range(len(reach)):
        if reach[x, x] and reach[reach[x], x].all() and not any(x in c for c in found):
            found.append([int(y) for y in np.flatnonzero(reach[x])])
    return found


def gth(P):
    """Stationary law of an irreducible P by state reduction, without a subtraction."""
    P, n = np.array(P, dtype=float), len(P)
    for k in range(n - 1, 0, -1):
        P[:k, k] /= P[k, :k].sum()
        P[:k, :k] += np.outer(P[:k, k], P[k, :k])
    mu = np.ones(n)
    for k in range(1, n):
        mu[k] = mu[:k] @ P[:k, k]
    return mu / mu.sum()


def stationary(P, initial=None):
    """(n,) occupancy: the one stationary law, or the Cesàro limit from `initial` (n,) when classes are several."""
    P, found = np.asarray(P), classes(P)
    if initial is None and len(found) > 1:
        raise ValueError("several classes: give the initial law")
    mu = np.zeros(len(P))
    inside = np.zeros(len(P), bool)
    inside[[x for c in found for x in c]] = True
    out = np.flatnonzero(~inside)
    for c in found:
        share = 1.0
        if len(found) > 1:
            hit = np.zeros(len(P))
            hit[c] = 1.0
            inner = np.eye(len(out)) - P[np.ix_(out, out)]
            hit[out] = np.linalg.solve(inner, P[np.ix_(out, c)].sum(axis=1)) if len(out) else []
            share = float(initial @ hit)
        mu[c] = share * gth(P[np.ix_(c, c)])
    return mu


def state_chain(P, pairs, choice, n_actions):
    """(T, states): `T(s, s') = sum_a pi(a|s) P(s'|s, a)` on the joint states met, states (S, N). P or carry."""
    local = np.asarray(pairs) // np.array(n_actions)
    states, of = np.unique(local, axis=0, return_inverse=True)
    member = np.zeros((len(states), len(pairs)))
    member[of.ravel(), np.arange(len(pairs))] = 1.0
    return (member * choice) @ P @ member.T, states


# ---- laws and measures -----------------------------------------------------------------------------------------


def local_size(pairs, i):
    """m_i as far as the pairs show it."""
    return int(np.max(pairs[:, i])) + 1


def next_laws(carry, pairs, i, m=None, ends=None):
    """(n, m) law of agent i's next pair given each joint pair; (n, m + 1) with "ended" last when `ends` is given."""
    m = local_size(pairs, i) if m is None else m
    law = np.zeros((len(pairs), m))
    for y, k in enumerate(pairs[:, i]):
        law[:, k] += carry[:, y]
    return law if ends is None else np.column_stack([law, ends])


def row_measure(key, weight, law, worst=False):
    """`sum_k min_q sum_x weight TV(law_x, q)` over the rows of each key; `worst`: `max_k min_q max_x TV(law_x, q)`.

    key (R,), weight (R,) >= 0, law (R, m). Rows of weight 0 are left out. One linear program per key.
    """
    key, weight, law = np.asarray(key), np.asarray(weight, dtype=float), np.asarray(law, dtype=float)
    total = 0.0
    for k in np.unique(key[weight > 0]):
        at = (key == k) & (weight > 0)
        mass = weight[at].sum()
        value = _least_tv(law[at], weight[at] / mass, worst)
        total = max(total, value) if worst else total + mass * value
    return total


def _least_tv(law, weight, worst):
    """min over laws q of the weighted mean, or the maximum, of TV(law_x, q): unknowns q, slacks d, maximum t."""
    R, m = law.shape
    slack = eye_array(R * m)
    a = [hstack([kron(np.ones((R, 1)), eye_array(m)), -slack, csr_array((R * m, 1))])]
    a += [hstack([-kron(np.ones((R, 1)), eye_array(m)), -slack, csr_array((R * m, 1))])]
    a += [hstack([csr_array((R, m)), kron(eye_array(R), 0.5 * np.ones((1, m))), -np.ones((R, 1))])]
    b = np.concatenate([law.ravel(), -law.ravel(), np.zeros(R)])
    if not worst:
        b[-R:] = np.inf
    cost = np.concatenate(
        [np.zeros(m), np.zeros(R * m) if worst else 0.5 * np.repeat(weight, m), [float(worst)]]
    )
    one = np.concatenate([np.ones(m), np.zeros(R * m + 1)])[None]
    keep = np.isfinite(b)
    answer = linprog(cost, vstack(a).tocsr()[keep], b[keep], one, [1.0], method="highs")
    assert answer.status == 0, answer.message
    return float(answer.fun)


def pair_measure(carry, pairs, mu, i, *, worst=False, ends=None, over=None):
    """`mu-atv` of agent i (Eq. 7), or `atv` (Eq. 5) when `worst`: over mu > 0, or over the mask `over`."""
    weight = np.asarray(mu if over is None else over, dtype=float)
    return row_measure(pairs[:, i], weight, next_laws(carry, pairs, i, ends=ends), worst)


def kernel_measure(carry, pairs, mu, i, n_actions, *, worst=False, ends=None, over=None):
    """`E_i^kernel`: rows (key x_i, law of the next local state s_i' given x). n_actions: |A_i| of agent i."""
    law = next_laws(carry, pairs, i)
    law = np.column_stack([law, np.zeros((len(law), -law.shape[1] % n_actions))])
    states = law.reshape(len(law), -1, n_actions).sum(axis=2)
    states = states if ends is None else np.column_stack([states, ends])
    return row_measure(pairs[:, i], np.asarray(mu if over is None else over, dtype=float), states, worst)


def policy_laws(pairs, mu, n_actions, i):
    """(key, weight, law) of the policy: key s_i, weight mu(s), law pi(a_i|s), one row per visited joint state.

    n_actions: one number per agent. `pi(a|s) = mu(s, a) / mu(s)`.
    """
    states, of = np.unique(np.asarray(pairs) // np.array(n_actions), axis=0, return_inverse=True)
    law = np.zeros((len(states), n_actions[i]))
    np.add.at(law, (of.ravel(), pairs[:, i] % n_actions[i]), mu)
    weight = law.sum(axis=1)
    at = weight > 0
    return states[at, i], weight[at], law[at] / weight[at, None]


def policy_measure(pairs, mu, n_actions, i, *, worst=False):
    """`E_i^policy`, the value of Prop. 7.2."""
    return row_measure(*policy_laws(pairs, mu, n_actions, i), worst)


def policy_or_system(carry, pairs, mu, n_actions, ends=None):
    """(pair, kernel, policy), each (N,), all by mean (mu-atv). Fails where pair <= kernel + policy does not hold."""
    agents = range(pairs.shape[1])
    pair = np.array([pair_measure(carry, pairs, mu, i, ends=ends) for i in agents])
    kernel = np.array([kernel_measure(carry, pairs, mu, i, n_actions[i], ends=ends) for i in agents])
    policy = np.array([policy_measure(pairs, mu, n_actions, i) for i in agents])
    assert (pair <= kernel + policy + 1e-8).all(), (pair, kernel, policy)
    return pair, kernel, policy


def plug_in(carry, pairs, mu, i, *, worst=False, ends=None):
    """`Ebar_i = sum_x mu(x) TV(p_i(.|x), P_i(.|x_i))`; `worst`: the largest over mu > 0."""
    law = next_laws(carry, pairs, i, ends=ends)
    mean = mean_law(law, pairs, mu, i)
    gap = 0.5 * np.abs(law - mean[pairs[:, i]]).sum(axis=1)
    return float(gap[mu > 0].max()) if worst else float(mu[mu > 0] @ gap[mu > 0])


def mean_law(law, pairs, mu, i):
    """(m_i, columns) mu-mean of the rows with x_i = k (Eq. 2); NaN where mu_i(k) = 0."""
    out = np.full((local_size(pairs, i), law.shape[1]), np.nan)
    for k in range(len(out)):
        at = (pairs[:, i] == k) & (mu > 0)
        if at.any():
            out[k] = mu[at] @ law[at] / mu[at].sum()
    return out


# ---- values ----------------------------------------------------------------------------------------------------


def reward_on(pairs, tables):
    """(n,) `sum_i r_i(x_i)`."""
    return sum(np.asarray(t)[pairs[:, i]] for i, t in enumerate(tables))


def joint_q(carry, r, gamma):
    """(n,) `(I - gamma carry)^{-1} r`."""
    return np.linalg.solve(np.eye(len(carry)) - gamma * np.asarray(carry), r)


def local_carry(carry, pairs, mu, i, m=None):
    """(m, m) continuing local transition of Eq. 2; NaN rows where mu_i is 0."""
    out = mean_law(next_laws(carry, pairs, i, m), pairs, mu, i)
    grown = np.full((out.shape[1], out.shape[1]), np.nan)
    grown[: len(out)] = out
    return grown


def local_q(carry, pairs, mu, tables, gamma):
    """One (m_i,) array per agent, `(I - gamma P_i^c)^{-1} r_i`; NaN where mu_i is 0."""
    found = []
    for i, r in enumerate(tables):
        local = local_carry(carry, pairs, mu, i, len(r))
        at = np.flatnonzero(~np.isnan(local[:, 0]))
        q = np.full(len(r), np.nan)
        q[at] = np.linalg.solve(np.eye(len(at)) - gamma * local[np.ix_(at, at)], np.asarray(r, float)[at])
        found.append(q)
    return found


def norm(f, mu, kind):
    """||f||: "mu", "l2" or "sup", on mu > 0."""
    at = mu > 0
    f, w = np.asarray(f)[at], mu[at]
    if kind == "sup":
        return float(np.abs(f).max())
    return float(w @ np.abs(f)) if kind == "mu" else math.sqrt(float(w @ f**2))


def spread(f, mu):
    """Standard deviation of f under mu."""
    at = mu > 0
    f, w = np.asarray(f)[at], mu[at]
    return math.sqrt(float(w @ (f - w @ f) ** 2))


def unexplained(q, d, mu):
    """`||err - mean||_2 / ||q - mean||_2` in L2(mu), err = q - d."""
    return spread(np.asarray(q) - d, mu) / spread(q, mu)


def additive_columns(pairs, subsets):
    """Indicator features of every combination met of the agents in each subset, (n, columns); () = constant."""
    blocks = []
    for subset in subsets:
        _, of = np.unique(pairs[:, list(subset)], axis=0, return_inverse=True)
        one = np.zeros((len(pairs), int(of.max()) + 1))
        one[np.arange(len(pairs)), of.ravel()] = 1.0
        blocks.append(one)
    return np.hstack(blocks)


def project(f, columns, mu):
    """(n,) L2(mu) least-squares fit of f by the columns, on mu > 0; NaN elsewhere."""
    at = mu > 0
    root = np.sqrt(mu[at])
    basis = columns[at]
    coefficients = np.linalg.lstsq(root[:, None] * basis, root * np.asarray(f)[at], rcond=1e-12)[0]
    out = np.full(len(mu), np.nan)
    out[at] = basis @ coefficients
    return out


def singles(pairs):
    """The subsets {0}, ..., {N-1}."""
    return [(i,) for i in range(pairs.shape[1])]


def error_budget(carry, pairs, mu, tables, gamma, candidate=None):
    """(error, floor, bias, unexplained_floor), L2(mu): `error^2 = floor^2 + bias^2`.

    candidate: additive values (n,), or one table per agent; None = local TD. `tables` are the rewards.
    """
    q = joint_q(carry, reward_on(pairs, tables), gamma)
    d = local_q(carry, pairs, mu, tables, gamma) if candidate is None else candidate
    d = reward_on(pairs, d) if isinstance(d, list | tuple) else np.asarray(d)
    fit = project(q, additive_columns(pairs, singles(pairs)), mu)
    floor, bias = norm(q - fit, mu, "l2"), norm(fit - d, mu, "l2")
    return norm(q - d, mu, "l2"), floor, bias, floor / spread(q, mu)


def interaction_orders(q, pairs, mu, upto=3):
    """(upto + 1,) `||q - Pi_k q|| / ||q - mean||` in L2(mu), Pi_k on sums of functions of k agents."""
    n, out = pairs.shape[1], []
    for k in range(upto + 1):
        subsets = itertools.combinations(range(n), min(k, n))
        fit = project(q, additive_columns(pairs, subsets), mu)
        out.append(norm(q - fit, mu, "l2") / spread(q, mu))
    return np.array(out)


def best_pairs(q, pairs, mu, upto):
    """Greedy: [((i, j), share left)], each step the pair whose joint function leaves least beside what is in already.

    Equal choices: the first in lexicographic order (within 1e-9).
    """
    chosen, left = [], list(itertools.combinations(range(pairs.shape[1]), 2))
    while left and len(chosen) < upto:
        shares = []
        for p in left:
            columns = additive_columns(pairs, [*singles(pairs), *(c for c, _ in chosen), p])
            shares.append(norm(q - project(q, columns, mu), mu, "l2") / spread(q, mu))
        k = next(j for j, s in enumerate(shares) if s <= min(shares) + 1e-9)
        chosen.append((left.pop(k), shares[k]))
    return chosen


def joint_additive(carry, pairs, mu, r, gamma):
    """(n,) projected Bellman solution on additive functions (LSTD, one-hot pairs of all agents, minimum norm).

    Solves `Phi' W (Phi - gamma carry Phi) w = Phi' W r`; NaN off mu > 0.
    """
    at = np.flatnonzero(mu > 0)
    phi, w = additive_columns(pairs[at], singles(pairs)), mu[at]
    inner = np.asarray(carry)[np.ix_(at, at)]
    a = phi.T @ (w[:, None] * (phi - gamma * inner @ phi))
    out = np.full(len(mu), np.nan)
    out[at] = phi @ np.linalg.lstsq(a, phi.T @ (w * np.asarray(r)[at]), rcond=1e-12)[0]
    return out


def operator_norm(carry, mu, columns):
    """Norm of `(I - Pi) carry Pi` in L2(mu), Pi the projection on the columns."""
    at = np.flatnonzero(mu > 0)
    root = np.sqrt(mu[at])
    u, s, _ = np.linalg.svd(root[:, None] * columns[at], full_matrices=False)
    u = u[:, s > 1e-10 * s[0]]
    inside = u @ u.T
    step = root[:, None] * np.asarray(carry)[np.ix_(at, at)] / root[None, :]
    return float(np.linalg.norm((np.eye(len(at)) - inside) @ step @ inside, 2))


def sigma(carry, pairs, mu, i):
    """sigma_i: norm of `(I - Pi_i) carry` on functions of x_i."""
    return operator_norm(carry, mu, additive_columns(pairs, [(i,)]))


def vdn_gap(carry, pairs, mu):
    """Norm of `(I - Pi_D) carry Pi_D`: 0 iff additive functions are invariant on the support of mu."""
    return operator_norm(carry, mu, additive_columns(pairs, singles(pairs)))


def v_decomposition(carry, pairs, mu, choice, n_actions, state_tables, gamma):
    """(states (S, N), V (S,), sum of local V (S,) or NaN, state law (S,)) for rewards of the state.

    state_tables: (S_i,) per agent; choice (n,) pi(a|s). Local V_i from Eq. 2 of the state chain under its own law.
    """
    inner, states = state_chain(carry, pairs, choice, n_actions)
    _, of = np.unique(np.asarray(pairs) // np.array(n_actions), axis=0, return_inverse=True)
    nu = np.bincount(of.ravel(), mu, len(states))
    v = joint_q(inner, reward_on(states, state_tables), gamma)
    return states, v, reward_on(states, local_q(inner, states, nu, state_tables, gamma)), nu


def certificate(carry, r, gamma, d, mu, steps=(1, 4, 16, 64)):
    """{norm: {k: (low, high)}}: `b_k / (1 + gamma^k)`, `b_k / (1 - gamma^k)`, `b_k = ||T^k D - D||`."""
    at = mu > 0
    inner, r = np.where(np.outer(at, at), carry, 0.0), np.where(at, r, 0.0)
    start = np.where(at, d, 0.0)
    out, image = {kind: {} for kind in ("mu", "sup", "l2")}, start
    for k in range(1, max(steps) + 1):
        image = r + gamma * inner @ image
        if k in steps:
            for kind in out:
                b = norm(image - start, mu, kind)
                out[kind][k] = (b / (1 + gamma**k), b / (1 - gamma**k))
    return out


def bounds(carry, pairs, mu, tables, gamma, ends=None):
    """{name: (norm, value)} of the paper and its improvements, from the definitions.

    With `ends` the value after the end is 0, so every span is that of the values *and 0*; half spans likewise; and
    the spectral bound reads `||Q_i||` instead of `||Q_i - mean||`.
    """
    agents = range(pairs.shape[1])
    seen = [np.unique(pairs[mu > 0, i]) for i in agents]
    q = [t[s] for t, s in zip(local_q(carry, pairs, mu, tables, gamma), seen, strict=True)]
    r = [np.asarray(t, float)[s] for t, s in zip(tables, seen, strict=True)]
    zero = [] if ends is None else [0.0]
    span = [float(np.ptp([*t, *zero])) for t in q]
    half = [float(np.ptp([*t, *zero])) / 2 for t in r]
    top = [float(np.abs(t).max()) for t in r]
    mean = [pair_measure(carry, pairs, mu, i, ends=ends) for i in agents]
    worst = [pair_measure(carry, pairs, mu, i, worst=True, ends=ends) for i in agents]
    size = []
    for i, (t, s) in enumerate(zip(q, seen, strict=True)):
        w = np.array([mu[pairs[:, i] == k].sum() for k in s])
        centre = 0.0 if ends is not None else w @ t
        size.append(math.sqrt(float(w @ (t - centre) ** 2)))
    c, g = 4 * gamma / (1 - gamma) ** 2, gamma / (1 - gamma)
    return {
        "Theorem 6.3": ("mu", c * float(np.dot(mean, top))),
        "Theorem 6.3, half spans": ("mu", c * float(np.dot(mean, half))),
        "Theorem H.2": ("sup", c * float(np.dot(worst, top))),
        "Theorem H.2, half spans": ("sup", c * float(np.dot(worst, half))),
        "value spans (mu)": (
            "mu",
            g * sum(plug_in(carry, pairs, mu, i, ends=ends) * span[i] for i in agents),
        ),
        "value spans (sup)": (
            "sup",
            g * sum(plug_in(carry, pairs, mu, i, worst=True, ends=ends) * span[i] for i in agents),
        ),
        "spectral": ("l2", g * sum(sigma(carry, pairs, mu, i) * size[i] for i in agents)),
    }


# ---- decisions -------------------------------------------------------------------------------------------------


def q_on_actions(kernel, rewards, table, gamma, terminal=None):
    """(S, A) `r + gamma K V^pi` on every joint action, NaN where the kernel row is zero (forbidden) or s is terminal.

    kernel (S, A, S), rewards (S, A), table (S, A); terminal states have value 0.
    """
    live = np.ones(len(table), bool) if terminal is None else ~np.asarray(terminal, bool)
    t = np.einsum("sa,sat->st", table, kernel) * live * live[:, None]
    v = np.where(
        live, np.linalg.solve(np.eye(len(t)) - gamma * t, np.where(live, (table * rewards).sum(1), 0)), 0
    )
    q = np.asarray(rewards) + gamma * kernel @ v
    return np.where((kernel.sum(axis=2) > 0) & live[:, None], q, np.nan)


def look_ahead(q, weight, kernel, rewards, gamma):
    """(S_i, A_i) local values with the pairs never visited (NaN) filled by one step of the agent's own kernel.

    q (S_i, A_i) with NaN; weight (S_i, A_i) mu_i; kernel (A_i, S_i, S_i); rewards (S_i, A_i). The value of the next
    local state is the policy's conditional mean there, `sum_a mu_i(t, a) q(t, a) / mu_i(t)`; NaN stays where that
    needs a state that is never visited.
    """
    visits = weight.sum(axis=1)
    v = np.full(len(q), np.nan)
    v[visits > 0] = np.nansum(weight * np.nan_to_num(q), axis=1)[visits > 0] / visits[visits > 0]
    out = np.array(q, dtype=float)
    for s, a in zip(*np.nonzero(np.isnan(q)), strict=True):
        step = kernel[a][s]
        used = step > 0
        out[s, a] = rewards[s, a] + gamma * step[used] @ v[used]
    return out


def decision_loss(q, local, states, actions, nu, n_actions):
    """(loss, right, excluded) of choosing a maximiser of `sum_i Q_i(s_i, a_i)`, ties averaged.

    q (S, A) true values, NaN where infeasible; local: tables (m_i,), NaN = unknown; states (S, N), actions (A, N);
    nu (S,) state law. A visited state in which a feasible action uses an unknown local value is left out: excluded =
    its share of nu; loss and right are means over the rest. `right` counts, within a tie, the share of true
    maximisers. Comparisons to 1e-9 of the largest value.
    """
    loss = right = excluded = 0.0
    close = 1e-9 * max(1e-300, float(np.nanmax(np.abs(q))))
    for s in np.flatnonzero(nu > 0):
        allowed = np.flatnonzero(~np.isnan(q[s]))
        code = states[s] * np.array(n_actions) + actions[allowed]
        guess = sum(np.asarray(t)[code[:, i]] for i, t in enumerate(local))
        if np.isnan(guess).any():
            excluded += nu[s]
            continue
        truth = q[s, allowed]
        chosen = truth[guess >= guess.max() - close]
        loss += nu[s] * (truth.max() - chosen.mean())
        right += nu[s] * float(np.mean(chosen >= truth.max() - close))
    rest = nu[nu > 0].sum() - excluded
    return (loss / rest, right / rest, excluded) if rest > 0 else (math.nan, math.nan, excluded)


def marginal_gains(q, actions):
    """(S, N) what serving agent i gains: mean of q over feasible actions with a_i = 1 minus that with a_i = 0.

    Where q is additive and the budget fixed, these gains are ordered as `Q_i(s_i, 1) - Q_i(s_i, 0)`. NaN where one of
    the two sets is empty.
    """
    out = np.full((len(q), actions.shape[1]), np.nan)
    for s in range(len(q)):
        feasible = ~np.isnan(q[s])
        for i in range(actions.shape[1]):
            yes, no = feasible & (actions[:, i] == 1), feasible & (actions[:, i] == 0)
            if yes.any() and no.any():
                out[s, i] = q[s, yes].mean() - q[s, no].mean()
    return out


def rank_correlation(guess, truth, nu):
    """nu-mean over states of Spearman's correlation over agents (mid-ranks); states with a constant side left out."""
    total = weight = 0.0
    for s in np.flatnonzero(nu > 0):
        if np.isnan(guess[s]).any() or np.isnan(truth[s]).any():
            continue
        a, b = (rankdata(np.round(f[s], 9)) for f in (guess, truth))
        if np.ptp(a) > 0 and np.ptp(b) > 0:
            total += nu[s] * float(np.corrcoef(a, b)[0, 1])
            weight += nu[s]
    return total / weight if weight > 0 else math.nan
