"""Planted systems with known answers, and checkers of certificates that share no code with the package.

Systems are raw arrays: `p` (n, n) on the full product of local pairs, row-major, `sizes`, and `rows`, the joint
indices on which the chain lives. Checkers work by loops over terms, dense solves, brute force over deterministic
maps, and linear programs in coordinates that the package does not use.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog


@dataclass(frozen=True, eq=False)
class Planted:
    """A transition with its answers.

    Attributes
    ----------
    kind : how it was made.
    p : (n, n) transition on the full product.
    rows : joint indices of the chain's pairs, ascending; closed under p.
    agentwise, verdict : "separable" or "entangled".
    """

    kind: str
    p: np.ndarray
    sizes: tuple[int, ...]
    rows: np.ndarray
    agentwise: str
    verdict: str


# ---- making systems -------------------------------------------------------------------------------------------


def kron_all(factors) -> np.ndarray:
    """`P_0 (x) P_1 (x) ...`."""
    out = np.ones((1, 1))
    for f in factors:
        out = np.kron(out, f)
    return out


def random_map(rng, m: int) -> np.ndarray:
    """A deterministic transition matrix."""
    return np.eye(m)[rng.integers(m, size=m)]


def box(rng, sizes: tuple[int, ...]) -> np.ndarray:
    """A Popescu-Rohrlich box between two agents, all others deterministic: separable, sparse, weights < 0 needed."""
    i, j = (int(k) for k in rng.choice(len(sizes), size=2, replace=False))
    others = [random_map(rng, m) for m in sizes]
    bits = [rng.integers(2, size=m) for m in sizes]  # the question that a local pair stands for
    ends = [rng.choice(m, size=2, replace=False) for m in sizes]  # the two answers
    n = math.prod(sizes)
    p = np.zeros((n, n))
    for x in itertools.product(*map(range, sizes)):
        for a in range(2):
            b = a ^ int(bits[i][x[i]] & bits[j][x[j]])
            to = [int(np.argmax(others[k][x[k]])) for k in range(len(sizes))]
            to[i], to[j] = int(ends[i][a]), int(ends[j][b])
            p[np.ravel_multi_index(x, sizes), np.ravel_multi_index(to, sizes)] += 0.5
    return p


def separable(rng, sizes: tuple[int, ...], sparse: bool) -> np.ndarray:
    """A separable transition, with negative weights."""
    n = math.prod(sizes)
    if sparse:
        parts = [box(rng, sizes) for _ in range(2)] + [kron_all([random_map(rng, m) for m in sizes])]
        w = rng.dirichlet(np.ones(len(parts)))
        return sum(a * b for a, b in zip(w, parts, strict=True))
    count = int(rng.integers(2, 7))
    w = rng.normal(size=count)
    p = sum(a * kron_all([rng.dirichlet(np.ones(m), size=m) for m in sizes]) for a in w / np.abs(w).sum())
    p = p + (1.0 - p.sum(axis=1)[0]) / n  # the rest of the weight on the uniform product
    shift = max(0.0, -n * float(p.min()))
    return (p + shift / n) / (1.0 + shift)


def nudge(rng, p: np.ndarray, sizes: tuple[int, ...], size: float) -> np.ndarray:
    """Move mass `size` in one row from one next pair to another: p_i changes by 2 size in that row, for some i."""
    q = p.copy()
    x = int(rng.integers(len(p)))
    source = int(rng.choice(np.flatnonzero(p[x] > 2.0 * size)))
    target = int(rng.choice(np.delete(np.arange(len(p)), source)))
    q[x, source] -= size
    q[x, target] += size
    return q


def nudge_pair(rng, p: np.ndarray, sizes: tuple[int, ...], size: float) -> np.ndarray | None:
    """In one row, correlate two agents by `size` and leave every single agent's law alone; None without room."""
    q = p.copy()
    x = int(rng.integers(len(p)))
    i, j = (int(k) for k in rng.choice(len(sizes), size=2, replace=False))
    for base in rng.permutation(len(p)):
        to = np.unravel_index(int(base), sizes)
        a = int(rng.choice(np.delete(np.arange(sizes[i]), to[i])))
        b = int(rng.choice(np.delete(np.arange(sizes[j]), to[j])))
        corners = []
        for u, v in ((to[i], to[j]), (a, b), (to[i], b), (a, to[j])):
            cell = list(to)
            cell[i], cell[j] = u, v
            corners.append(int(np.ravel_multi_index(cell, sizes)))
        if min(q[x, corners[2]], q[x, corners[3]]) > 2.0 * size:
            q[x, corners[:2]] += size
            q[x, corners[2:]] -= size
            return q
    return None


def reachable(p: np.ndarray, start: int) -> np.ndarray:
    """The pairs that a chain from `start` visits."""
    seen, stack = {start}, [start]
    while stack:
        for y in np.flatnonzero(p[stack.pop()] > 0):
            if int(y) not in seen:
                seen.add(int(y))
                stack.append(int(y))
    return np.array(sorted(seen))


KINDS = (
    "separable", "entangled 1e-3", "entangled 1e-6", "pair 1e-3", "pair 1e-6", "random", "restricted", "cut"
)  # fmt: skip


def planted(rng, kind: str, n_agents: int, sparse: bool) -> Planted:
    """A random system of one kind, local pair counts 2 to 4."""
    sizes = tuple(int(k) for k in rng.integers(2, 5, size=n_agents))
    everything = np.arange(math.prod(sizes))
    if kind == "random":
        n = math.prod(sizes)
        p = rng.dirichlet(np.ones(n), size=n)
        if sparse:
            p = np.where(rng.random((n, n)) < 2.0 / n, p, 0.0)
            p[np.arange(n), rng.integers(n, size=n)] += 0.1
            p /= p.sum(axis=1, keepdims=True)
        return truth(kind, p, sizes, everything)
    if kind == "cut":
        return cut(rng, (2, 2, 2) if n_agents == 3 else tuple(int(k) for k in rng.integers(2, 4, size=2)))
    p = separable(rng, sizes, sparse)
    if kind == "restricted":
        p = sum(w * kron_all([random_map(rng, m) for m in sizes]) for w in rng.dirichlet(np.ones(2)))
        rows = reachable(p, int(rng.integers(len(p))))
        return Planted(kind, p, sizes, rows, "separable", "separable")
    size = 0.0 if kind == "separable" else float(kind.split()[1])
    if kind.startswith("pair") and n_agents > 2:
        q = nudge_pair(rng, p, sizes, size)
        if q is not None:
            return Planted(kind, q, sizes, everything, "separable", "entangled")
    if size > 0:
        return Planted(kind, nudge(rng, p, sizes, size), sizes, everything, "entangled", "entangled")
    return Planted(kind, p, sizes, everything, "separable", "separable")


def cut(rng, sizes: tuple[int, ...]) -> Planted:
    """A chain that sees part of the product, at times with one row changed; truth by a linear program."""
    maps = [kron_all([random_map(rng, m) for m in sizes]) for _ in range(2)]
    p = sum(w * part for w, part in zip(rng.dirichlet(np.ones(3)), [box(rng, sizes), *maps], strict=True))
    rows = reachable(p, int(rng.integers(len(p))))
    if rng.random() < 0.5:  # another law on the same pairs: any verdict may follow
        x = int(rng.choice(rows))
        p[x] = 0.0
        p[x, rows] = rng.dirichlet(np.ones(len(rows)))
        rows = reachable(p, x)
    verdict = "separable" if restricted_distance(p[rows], sizes, rows) < 1e-8 else "entangled"
    agentwise = "separable" if largest_difference(p[rows], sizes, rows) < 1e-9 else "entangled"
    return Planted("cut", p, sizes, rows, agentwise, verdict)


def truth(kind: str, p: np.ndarray, sizes: tuple[int, ...], rows: np.ndarray) -> Planted:
    """Answers by loops: the agent-wise one by comparing laws, Def. 6.2 on the full product by coordinates."""
    agentwise = "separable" if largest_difference(p[rows], sizes, rows) < 1e-9 else "entangled"
    verdict = agentwise
    if len(rows) == len(p) and len(sizes) > 2 and agentwise == "separable":
        verdict = "separable" if distance_to_span(p, sizes) < 1e-9 else "entangled"
    return Planted(kind, p, sizes, rows, agentwise, verdict)


def largest_difference(law: np.ndarray, sizes: tuple[int, ...], rows: np.ndarray) -> float:
    """Largest `|p_i(.|x) - p_i(.|y)|_1` over agents and pairs with x_i = y_i, by loops."""
    local = np.stack(np.unravel_index(rows, sizes), axis=1)
    worst = 0.0
    for i, m in enumerate(sizes):
        marginal = next_law(law, sizes, i)
        for k in range(m):
            group = marginal[local[:, i] == k]
            for x, y in itertools.combinations(range(len(group)), 2):
                worst = max(worst, float(np.abs(group[x] - group[y]).sum()))
    return worst


def next_law(law: np.ndarray, sizes: tuple[int, ...], i: int) -> np.ndarray:
    """(rows, m_i) next-pair law of agent i, by summing columns one by one."""
    out = np.zeros((len(law), sizes[i]))
    for column, x in enumerate(itertools.product(*map(range, sizes))):
        out[:, x[i]] += law[:, column]
    return out


# ---- checking certificates ------------------------------------------------------------------------------------


def simple_basis(m: int) -> np.ndarray:
    """A basis of the matrices with equal row sums: one with all mass in the last column, and row-wise differences."""
    out = [np.tile(np.eye(m)[m - 1], (m, 1))]
    for k in range(m):
        for l in range(m - 1):
            d = np.zeros((m, m))
            d[k, l], d[k, m - 1] = 1.0, -1.0
            out.append(d)
    return np.array(out)


def span_matrix(sizes: tuple[int, ...]) -> np.ndarray:
    """(coordinates, n * n): tensor products of the simple bases."""
    bases = [simple_basis(m) for m in sizes]
    return np.array([kron_all(parts).ravel() for parts in itertools.product(*bases)])


def distance_to_span(p: np.ndarray, sizes: tuple[int, ...]) -> float:
    """Largest entry of P minus its least-squares fit in the span of separable matrices."""
    b = span_matrix(sizes)
    fit = np.linalg.lstsq(b.T, p.ravel(), rcond=None)[0]
    return float(np.abs(b.T @ fit - p.ravel()).max())


def check_decomposition(weights, factors, law, rows, sizes, *, mixture: bool = False) -> float:
    """Recompute a decomposition term by term; returns the largest L1 error of a row."""
    weights = np.asarray(weights)
    assert len(factors) == len(sizes)
    assert abs(weights.sum() - 1.0) <= 1e-10
    if mixture:
        assert weights.min() >= 0.0
    for f, m in zip(factors, sizes, strict=True):
        assert f.shape == (len(weights), m, m)
        assert f.min() >= 0.0
        assert np.abs(f.sum(axis=2) - 1.0).max() <= 1e-12
    local = np.stack(np.unravel_index(rows, sizes), axis=1)
    total = np.zeros((len(rows), math.prod(sizes)))
    for j, w in enumerate(weights):
        term = np.full((len(rows), 1), w)
        for i, f in enumerate(factors):
            term = np.einsum("ra,rb->rab", term, f[j][local[:, i]]).reshape(len(rows), -1)
        total += term
    error = float(np.abs(total - law).sum(axis=1).max())
    assert error <= 1e-10, f"the decomposition misses P by {error}"
    return error


def check_witness(witness, law, rows, sizes) -> float:
    """Recompute Q by a dense solve at the witness rewards; returns the gap."""
    n = len(rows)
    local = np.stack(np.unravel_index(rows, sizes), axis=1)
    assert all(np.all(r == 0.0) for k, r in enumerate(witness.rewards) if k != witness.agent)
    assert all(np.abs(r).max() <= 1.0 for r in witness.rewards)
    place = {tuple(int(v) for v in x): k for k, x in enumerate(local)}
    x, y = (place[tuple(int(v) for v in pair)] for pair in witness.pairs)
    assert local[x, witness.agent] == local[y, witness.agent]
    r = np.asarray(witness.rewards[witness.agent])[local[:, witness.agent]]
    q = np.linalg.solve(np.eye(n) - witness.discount * law[:, rows], r)
    gap = float(q[x] - q[y])
    assert gap > 0.0
    assert abs(gap - witness.gap) <= 1e-10 / (1.0 - witness.discount)
    return gap


def check_equation(equation, law, rows, sizes) -> float:
    """Recompute the two probabilities of a no-signalling equation; returns their difference."""
    local = [tuple(int(v) for v in x) for x in np.stack(np.unravel_index(rows, sizes), axis=1)]
    x, y = (local.index(tuple(int(v) for v in pair)) for pair in equation.pairs)
    assert all(local[x][i] == local[y][i] for i in equation.agents)
    values = [0.0, 0.0]
    for column, t in enumerate(itertools.product(*map(range, sizes))):
        if all(t[i] == v for i, v in zip(equation.agents, equation.next, strict=True)):
            values[0] += law[x, column]
            values[1] += law[y, column]
    assert np.allclose(values, equation.values, rtol=0.0, atol=1e-12)
    gap = values[0] - values[1]
    assert abs(gap - equation.gap) <= 1e-12
    return gap


def check_inequality(inequality, law, rows, sizes) -> float:
    """Minimise the inequality over the separable transitions, in coordinates of the span; returns the gap."""
    n = math.prod(sizes)
    c = np.zeros((n, n))
    c[rows] = inequality.coefficients
    assert np.abs(c).max() <= 1.0
    b = span_matrix(sizes)
    unit = np.zeros(len(b))
    unit[0] = 1.0  # the one basis element with row sum 1 in every factor
    others = [k for k in range(len(b)) if abs(b[k].sum()) > 0.5]
    assert others == [0]
    least = linprog(
        b @ c.ravel(), A_ub=-b.T, b_ub=np.zeros(n * n), A_eq=unit[None], b_eq=[1.0],
        bounds=[(None, None)] * len(b), method="highs",
    )  # fmt: skip
    assert least.status == 0
    value = float((inequality.coefficients * law).sum())
    assert abs(value - inequality.value) <= 1e-10
    assert inequality.bound <= least.fun + 1e-7
    return float(least.fun) - value


def check_bell(inequality, law, rows, sizes) -> float:
    """The bound by brute force over all products of deterministic maps; returns the gap."""
    c = np.asarray(inequality.coefficients)
    assert np.abs(c).max() <= 1.0
    local = np.stack(np.unravel_index(rows, sizes), axis=1)
    bound = -np.inf
    maps = [list(itertools.product(range(m), repeat=m)) for m in sizes]
    for f in itertools.product(*maps):
        image = tuple(np.array(f[i])[local[:, i]] for i in range(len(sizes)))
        bound = max(bound, float(c[np.arange(len(rows)), np.ravel_multi_index(image, sizes)].sum()))
    value = float((c * law).sum())
    assert abs(value - inequality.value) <= 1e-10
    assert bound <= inequality.bound + 1e-10
    return value - bound


def restricted_distance(law: np.ndarray, sizes: tuple[int, ...], rows: np.ndarray) -> float:
    """Least largest-entry distance from the rows to a separable transition on the full product, by linprog."""
    n, b = math.prod(sizes), span_matrix(sizes)
    at = (rows[:, None] * n + np.arange(n)).ravel()
    a = b[:, at].T
    one = np.ones((len(at), 1))
    top = np.hstack([-b.T, np.zeros((n * n, 1))])
    both = np.vstack([top, np.hstack([a, -one]), np.hstack([-a, -one])])
    rhs = np.concatenate([np.zeros(n * n), law.ravel(), -law.ravel()])
    unit = np.zeros((1, len(b) + 1))
    unit[0, 0] = 1.0
    cost = np.zeros(len(b) + 1)
    cost[-1] = 1.0
    bounds = [(None, None)] * len(b) + [(0.0, None)]
    out = linprog(cost, A_ub=both, b_ub=rhs, A_eq=unit, b_eq=[1.0], bounds=bounds, method="highs")
    assert out.status == 0
    return float(out.fun)


def check_answer(answer, system: Planted) -> None:
    """Verdicts against the planted ones, and every certificate recomputed."""
    law = system.p[system.rows]
    assert answer.agentwise in (system.agentwise, "undecided"), (system.kind, answer)
    assert answer.verdict in (system.verdict, "undecided"), (system.kind, answer)
    if answer.verdict == "separable":
        c = answer.certificate
        check_decomposition(c.weights, c.factors, law, system.rows, system.sizes)
    if answer.agentwise == "entangled":
        assert check_witness(answer.witness, law, system.rows, system.sizes) > 0.0
    if answer.verdict == "entangled":
        if answer.equation is not None:
            assert check_equation(answer.equation, law, system.rows, system.sizes) > 1e-9
        else:
            assert check_inequality(answer.inequality, law, system.rows, system.sizes) > 1e-9
