"""Independent checkers for measures. Nothing here imports the library.

Each bound is valid whatever produced the answer that it judges: an upper bound is the objective at a law, a
lower bound comes from dual variables that are feasible by construction, summed without rounding (`fsum`).
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import accumulate

import numpy as np
import scipy.sparse as sp
from scipy.optimize import linprog


def total(values):
    """Sum of all entries, correctly rounded."""
    return math.fsum(np.asarray(values, dtype=float).ravel().tolist())


def is_law(q, tolerance=1e-13):
    """Entries >= 0 that sum to 1."""
    q = np.asarray(q)
    return bool(q.min() >= 0.0) and abs(total(q) - 1.0) <= tolerance


def tv(p, q):
    """Total variation between rows of p and q."""
    return 0.5 * np.abs(np.asarray(p) - q).sum(axis=-1)


def median_upper(laws, weights, q):
    """sum_k w_k TV(p_k, q)."""
    return 0.5 * total(weights[:, None] * np.abs(laws - q))


def median_lower(laws, weights, q):
    """A lower bound of min sum_k w_k TV(p_k, .), equal to it when q is a minimiser.

    For any y with |y_kj| <= w_k / 2 and any law r: sum_k w_k TV(p_k, r) >= sum_kj y_kj (r_j - p_kj)
    >= min_j Y_j - sum_kj y_kj p_kj, Y_j = sum_k y_kj. Complementary slackness with q fixes y_kj by the sign of
    q_j - p_kj; the ties of a column make Y_j as equal to one multiplier as they can.
    """
    half = 0.5 * weights[:, None]
    y = half * np.sign(q - laws)
    tied = half * (laws == q)
    fixed = np.array([total(c) for c in y.T])
    slack = np.array([total(c) for c in tied.T])
    used = q > 0
    nu = 0.5 * ((fixed - slack)[used].max() + (fixed + slack).min())
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(slack > 0, np.clip((nu - fixed) / slack, -1.0, 1.0), 0.0)
    y = y + part * tied
    return min(total(c) for c in y.T) - total(y * laws)


def median_gap(laws, weights, q):
    """Duality gap of q."""
    return median_upper(laws, weights, q) - median_lower(laws, weights, q)


def exact_median_value(laws, weights):
    """min over the simplex of sum_k w_k TV(p_k, .) in rational arithmetic: the maximum of its dual function.

    h(nu) = nu + sum_j min over x >= 0 of (f_j(x) - nu x), f_j(x) = 1/2 sum_k w_k |p_kj - x|, is concave and
    piecewise linear with kinks where a column's derivative jumps; the inner minimum is at 0 or at an entry.
    """
    laws = [[Fraction(x) for x in row] for row in laws]
    weights = [Fraction(w) for w in weights]
    columns = [list(c) for c in zip(*laws, strict=True)]
    whole = sum(weights)

    def part(column, x):
        return sum((w * abs(p - x) for w, p in zip(weights, column, strict=True)), Fraction(0)) / 2

    kinks = {-whole / 2, whole / 2}
    parts = []
    for column in columns:
        steps = accumulate(w for _, w in sorted(zip(column, weights, strict=True)))
        kinks.update(s - whole / 2 for s in steps)
        parts.append([(x, part(column, x)) for x in {Fraction(0), *column}])
    return max(nu + sum(min(f - nu * x for x, f in points) for points in parts) for nu in kinks)


def median_by_linprog(laws, weights):
    """The same minimum by a linear program in (q, s_kj >= |p_kj - q_j|)."""
    K, n = laws.shape
    eye, q_of = sp.eye_array(K * n), sp.vstack([sp.eye_array(n)] * K)
    a = sp.vstack([sp.hstack([q_of, -eye]), sp.hstack([-q_of, -eye])]).tocsr()
    b = np.concatenate([laws.ravel(), -laws.ravel()])
    cost = np.concatenate([np.zeros(n), 0.5 * np.repeat(weights, n)])
    one = np.concatenate([np.ones(n), np.zeros(K * n)])[None]
    answer = linprog(cost, A_ub=a, b_ub=b, A_eq=one, b_eq=[1.0], method="highs")
    assert answer.status == 0, answer.message
    return answer.fun


def centre_upper(laws, q):
    """max_k TV(p_k, q)."""
    return max(0.5 * total(np.abs(p - q)) for p in laws)


def centre_lower(laws):
    """A lower bound of min max_k TV(p_k, .), by weights u of the rows and their medians' duals.

    For u >= 0 of sum 1, 0 <= y_kj <= u_k and any law r: max_k TV(p_k, r) >= sum_kj y_kj (p_kj - r_j)
    >= sum_kj y_kj p_kj - max_j sum_k y_kj. A linear program proposes (u, y); the bound is recomputed from them.
    """
    K, n = laws.shape
    eye, u_of = sp.eye_array(K * n), sp.kron(sp.eye_array(K), np.ones((n, 1)))
    below = sp.hstack([eye, -u_of, sp.csr_array((K * n, 1))])
    column = sp.hstack([sp.hstack([sp.eye_array(n)] * K), sp.csr_array((n, K)), -np.ones((n, 1))])
    cost = np.concatenate([-laws.ravel(), np.zeros(K), [1.0]])
    one = np.concatenate([np.zeros(K * n), np.ones(K), [0.0]])[None]
    a = sp.vstack([below, column]).tocsr()
    answer = linprog(cost, A_ub=a, b_ub=np.zeros(K * n + n), A_eq=one, b_eq=[1.0], method="highs")
    assert answer.status == 0, answer.message
    u = np.maximum(answer.x[K * n : -1], 0.0)
    u /= total(u)
    y = np.clip(answer.x[: K * n].reshape(K, n), 0.0, u[:, None])
    return total(y * laws) - max(total(c) for c in y.T)
