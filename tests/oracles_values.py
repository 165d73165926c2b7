"""Checkers and random systems for joint distances, values and certificates. Nothing here imports the library.

Everything is written from the definitions, with plain loops over tuples, on an explicit transition matrix
`p` (n, n) over a list of joint pairs (tuples of local pairs).
"""

from __future__ import annotations

import itertools

import numpy as np
import scipy.optimize as so
import scipy.sparse as sp


def product(sizes):
    """Joint pairs of the full product, agent 0 slowest."""
    return list(itertools.product(*(range(k) for k in sizes)))


def stationary(p):
    """Stationary law of a chain with one recurrent class."""
    n = len(p)
    a = np.vstack([p.T - np.eye(n), np.ones((1, n))])
    mu = np.linalg.lstsq(a, np.append(np.zeros(n), 1.0), rcond=None)[0]
    return np.where(mu > 1e-12, mu, 0.0)


def reward_on(pairs, tables):
    return np.array([sum(t[k] for t, k in zip(tables, x, strict=True)) for x in pairs])


def q_values(p, r, gamma):
    return np.linalg.solve(np.eye(len(p)) - gamma * p, r)


def next_law(p, pairs, i, m):
    """`p_i(t|x)` by summation over joint next pairs."""
    law = np.zeros((len(pairs), m))
    for x in range(len(pairs)):
        for y, pair in enumerate(pairs):
            law[x, pair[i]] += p[x, y]
    return law


def local_transition(p, pairs, mu, i, m):
    """Eq. 2; NaN rows where mu_i is 0."""
    law, out = next_law(p, pairs, i, m), np.full((m, m), np.nan)
    for k in range(m):
        at = [x for x, pair in enumerate(pairs) if pair[i] == k]
        total = sum(mu[x] for x in at)
        if total > 0:
            out[k] = sum(mu[x] * law[x] for x in at) / total
    return out


def local_q(p, pairs, mu, tables, gamma):
    """Values of Meta Algorithm 1."""
    out = []
    for i, r in enumerate(tables):
        local = local_transition(p, pairs, mu, i, len(r))
        seen = ~np.isnan(local[:, 0])
        q = np.full(len(r), np.nan)
        q[seen] = np.linalg.solve(np.eye(seen.sum()) - gamma * local[np.ix_(seen, seen)], np.asarray(r)[seen])
        out.append(q)
    return out


def norms(f, mu):
    """L1(mu), sup on the recurrent pairs, L2(mu)."""
    at = mu > 0
    return {
        "mu": float(mu[at] @ np.abs(f[at])),
        "sup": float(np.abs(f[at]).max()),
        "l2": float(np.sqrt(mu[at] @ f[at] ** 2)),
    }


def tv(a, b):
    return 0.5 * float(np.abs(np.asarray(a) - np.asarray(b)).sum())


def atv_lp(p, pairs, i, m, mu=None, at=None):
    """`E_i` by `atv` (mu None) or `mu-atv`, one linear program per local pair."""
    law, total = next_law(p, pairs, i, m), 0.0
    for k in range(m):
        rows = [x for x, pair in enumerate(pairs) if pair[i] == k and (at is None or at[x])]
        if not rows:
            continue
        j = len(rows)
        # unknowns: q (m), d (j, m) >= q - law, and t >= sum of d for the maximum
        size = m + j * m + 1
        a, b = [], []
        for n, x in enumerate(rows):
            for c in range(m):
                row = np.zeros(size)
                row[c], row[m + n * m + c] = 1.0, -1.0
                a.append(row)
                b.append(law[x, c])
            if mu is None:
                row = np.zeros(size)
                row[m + n * m : m + (n + 1) * m] = 1.0
                row[-1] = -1.0
                a.append(row)
                b.append(0.0)
        cost = np.zeros(size)
        if mu is None:
            cost[-1] = 1.0
        else:
            for n, x in enumerate(rows):
                cost[m + n * m : m + (n + 1) * m] = mu[x]
        equal = np.zeros((1, size))
        equal[0, :m] = 1.0
        fun = so.linprog(cost, np.array(a), np.array(b), equal, [1.0], method="highs").fun
        total = max(total, fun) if mu is None else total + fun
    return total


def joint_lp(law, support, sizes, mu=None):
    """`tv` (mu None) or `mu-tv`: P' on every row of the full product, no-signalling equations pair by pair.

    law: (len(support), K) laws over the full product; support: joint pairs of these rows.
    """
    pairs = product(sizes)
    n = len(pairs)
    at = {x: j for j, x in enumerate(pairs)}
    s = len(support)
    size = n * n + s * n + 1  # P', slack d >= law - P', maximum t
    er, ec, ev, eb = [], [], [], []

    def equation(terms, value):
        for c, v in terms:
            er.append(len(eb))
            ec.append(c)
            ev.append(v)
        eb.append(value)

    for x in range(n):
        equation([(x * n + y, 1.0) for y in range(n)], 1.0)
    for i, m in enumerate(sizes):
        for x in pairs:
            if x[i] == 0:
                continue
            first = (*x[:i], 0, *x[i + 1 :])
            for y in pairs:
                if y[i] == 0:
                    images = [at[(*y[:i], t, *y[i + 1 :])] for t in range(m)]
                    equation(
                        [(at[x] * n + c, 1.0) for c in images] + [(at[first] * n + c, -1.0) for c in images],
                        0.0,
                    )
    ur, uc, uv, ub = [], [], [], []
    for j, x in enumerate(support):
        for y in range(n):
            ur += [len(ub)] * 2
            uc += [at[tuple(x)] * n + y, n * n + j * n + y]
            uv += [-1.0, -1.0]
            ub.append(-law[j, y])
        if mu is None:
            ur += [len(ub)] * (n + 1)
            uc += [*range(n * n + j * n, n * n + (j + 1) * n), size - 1]
            uv += [1.0] * n + [-1.0]
            ub.append(0.0)
    cost = np.zeros(size)
    if mu is None:
        cost[-1] = 1.0
    else:
        cost[n * n : n * n + s * n] = np.repeat(mu, n)
    equal = sp.csr_array((ev, (er, ec)), shape=(len(eb), size))
    upper = sp.csr_array((uv, (ur, uc)), shape=(len(ub), size))
    return so.linprog(cost, upper, ub, equal, eb, method="highs").fun


def functional_limit(p, pairs, alphabet, rows, weights, tests):
    """The lower limit that weights and tests prove, from the inequality alone, over the full alphabets.

    Raises AssertionError when the functional proves nothing.
    """
    sizes = [len(a) for a in alphabet]
    columns = product(sizes)
    rows = [tuple(int(k) for k in x) for x in rows]
    where = {tuple(x): j for j, x in enumerate(pairs)}
    others = [{y: j for j, y in enumerate(product(sizes[:i] + sizes[i + 1 :]))} for i in range(len(sizes))]
    assert min(weights) >= 0 and abs(sum(weights) - 1) < 1e-9
    for x, w in zip(rows, weights, strict=True):
        assert x in where or w == 0
    gain = 0.0
    for j, x in enumerate(rows):
        for c in columns:
            score = sum(tests[i][j, others[i][c[:i] + c[i + 1 :]]] for i in range(len(sizes)))
            assert score >= -1e-12
            target = tuple(int(a[k]) for a, k in zip(alphabet, c, strict=True))
            if x in where and target in where:
                gain += p[where[x], where[target]] * min(max(score, 0.0), weights[j])
    best = 0.0
    for i in range(len(sizes)):
        groups = {}
        for j, x in enumerate(rows):
            key = x[:i] + x[i + 1 :]
            groups[key] = groups.get(key, 0.0) + np.asarray(tests[i][j])
        best += sum(float(np.max(g)) for g in groups.values())
    return gain - best


def no_signalling_violation(nearest, alphabet, rows):
    """Largest dependence of `sum_t P'(x, (t, y_{-i}))` on `x_i`, over the given rows."""
    sizes = [len(a) for a in alphabet]
    cube = nearest.reshape(len(rows), *sizes)
    worst = max(float(-nearest.min()), float(np.abs(nearest.sum(axis=1) - 1).max()))
    for i in range(len(sizes)):
        seen = {}
        for j, x in enumerate(rows):
            key = tuple(int(k) for n, k in enumerate(x) if n != i)
            marginal = cube[j].sum(axis=i)
            worst = max(worst, float(np.abs(marginal - seen.setdefault(key, marginal)).max()))
    return worst


def joint_attained(p, pairs, alphabet, rows, nearest, support, mu=None):
    """The distance that `nearest` attains, over the pairs of `support` (list of positions)."""
    sizes = [len(a) for a in alphabet]
    targets = [tuple(int(a[k]) for a, k in zip(alphabet, c, strict=True)) for c in product(sizes)]
    column = {y: j for j, y in enumerate(targets)}
    row = {tuple(int(k) for k in x): j for j, x in enumerate(rows)}
    out = []
    for x in support:
        law = np.zeros(len(targets))
        for y in range(len(pairs)):
            if p[x, y] > 0:
                law[column[tuple(pairs[y])]] += p[x, y]
        out.append(tv(law, nearest[row[tuple(pairs[x])]]))
    return max(out) if mu is None else float(sum(mu[x] * d for x, d in zip(support, out, strict=True)))


def additive_features(pairs, sizes):
    """One-hot local pairs of all agents, (n, sum m_i)."""
    phi = np.zeros((len(pairs), sum(sizes)))
    for row, x in zip(phi, pairs, strict=True):
        start = 0
        for k, m in zip(x, sizes, strict=True):
            row[start + k] = 1.0
            start += m
    return phi


def projection(phi, mu):
    """L2(mu) projection matrix on the span of phi's columns, on pairs with mu > 0."""
    root = np.sqrt(mu)[:, None]
    u, s, _ = np.linalg.svd(root * phi, full_matrices=False)
    u = u[:, s > 1e-10 * s[0]]
    return (u @ u.T) / root * root.T


def spectral(p, pairs, mu, i, m):
    """sigma_i from the operator itself: singular values of `(I - Pi_i) P Phi_i` in L2(mu)."""
    at = np.flatnonzero(mu > 0)
    w = mu[at]
    phi = additive_features([(pairs[x][i],) for x in at], (m,))
    pi = projection(phi, w)
    image = (np.eye(len(at)) - pi) @ p[np.ix_(at, at)] @ pi
    root = np.sqrt(w)
    return float(np.linalg.norm(root[:, None] * image / root[None, :], 2))


def vdn(p, pairs, mu, sizes):
    """Norm of `(I - Pi_D) P Pi_D` in L2(mu), by the matrices."""
    at = np.flatnonzero(mu > 0)
    w = mu[at]
    pi = projection(additive_features([pairs[x] for x in at], sizes), w)
    image = (np.eye(len(at)) - pi) @ p[np.ix_(at, at)] @ pi
    root = np.sqrt(w)
    return float(np.linalg.norm(root[:, None] * image / root[None, :], 2))


# ---- random systems ----


def laws(rng, rows, columns, density=1.0):
    """Random laws; `density` < 1 leaves about that share of the entries, at least one a row."""
    a = rng.dirichlet(np.ones(columns), size=rows)
    mask = rng.random((rows, columns)) < density
    mask[np.arange(rows), rng.integers(columns, size=rows)] = True
    a = np.where(mask, a + 1e-3, 0.0)
    return a / a.sum(axis=1, keepdims=True)


def kron(factors):
    out = np.ones((1, 1))
    for f in factors:
        out = np.kron(out, f)
    return out


def random_joint(rng, sizes, density=1.0):
    """A joint chain with one recurrent class: random laws and a little of a cycle through all pairs."""
    n = int(np.prod(sizes))
    p = laws(rng, n, n, density)
    return 0.98 * p + 0.02 * np.roll(np.eye(n), 1, axis=1) if density < 1 else p


def random_separable(rng, sizes, terms=3):
    """`sum_j x_j (x)_i P_i^(j)` with a negative weight, pushed to the boundary of the transitions."""
    base = kron([laws(rng, m, m) for m in sizes])
    direction = np.zeros_like(base)
    for w in rng.normal(size=terms):
        direction += w * (kron([laws(rng, m, m) for m in sizes]) - kron([laws(rng, m, m) for m in sizes]))
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(direction < 0, -base / direction, np.inf).min()
    return np.maximum(base + 0.999 * room * direction, 0.0)


def random_tables(rng, sizes):
    return [rng.normal(size=m) for m in sizes]
