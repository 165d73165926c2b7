"""Random systems as raw arrays, and oracles by loops that share no code with the package.

A `Case` holds the raw arrays and the objects made from them; a `Truth` answers every question from the raw
arrays alone: explicit chain on pairs by loops, recurrent classes by Warshall's closure, stationary law by
state reduction (Grassmann, Taksar, Heyman), Eq. 2 by loops, E_i by one linear program per local pair,
values by a dense solve.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from hypothesis import strategies as st
from scipy.optimize import linprog

import markov_entanglement as me
from markov_entanglement.report import figures

KINDS = ("chain", "mdp", "weakly-coupled")


@contextmanager
def remembered_pictures() -> Iterator[None]:
    """The same picture of the same table is drawn once: most of many pages that differ little."""
    drawn: dict[Any, figures.Picture] = {}
    draw = figures.inline

    def inline(kind: figures.Kind, table: Any, key: str) -> figures.Picture:
        cells = {name: tuple(column) for name, column in table.columns.items()}
        asked = kind.title, key, repr((cells, table.notes, table.units, table.title, table.left_out))
        if asked not in drawn:
            drawn[asked] = draw(kind, table, key)
        return drawn[asked]

    figures.inline = inline  # type: ignore[assignment]
    try:
        yield
    finally:
        figures.inline = draw


@dataclass(frozen=True, eq=False)
class Case:
    """A system with a policy, and the raw arrays behind them.

    Attributes
    ----------
    kernel : (joint states, joint actions, joint states), rows of zeros on unavailable actions.
    table : (joint states, joint actions) policy.
    rewards : per agent (m_i,).
    """

    kind: str
    system: Any
    policy: Any
    kernel: np.ndarray
    table: np.ndarray
    n_states: tuple[int, ...]
    n_actions: tuple[int, ...]
    rewards: tuple[np.ndarray, ...]
    discount: float

    def __repr__(self) -> str:
        return f"Case({self.kind}, states {self.n_states}, actions {self.n_actions}, gamma {self.discount})"

    @cached_property
    def chain(self) -> Any:
        return self.system.under(self.policy)

    @cached_property
    def truth(self) -> Truth:
        return Truth(self.kernel, self.table, self.n_states, self.n_actions)


class Truth:
    """Brute force on the raw arrays; pairs are tuples of local pairs."""

    def __init__(
        self, kernel: np.ndarray, table: np.ndarray, n_states: tuple[int, ...], n_actions: tuple[int, ...]
    ) -> None:
        self.sizes = tuple(s * a for s, a in zip(n_states, n_actions, strict=True))
        self.states = list(itertools.product(*map(range, n_states)))
        self.actions = list(itertools.product(*map(range, n_actions)))
        self.index: list[tuple[int, int]] = []
        self.pairs: list[tuple[int, ...]] = []
        for s, state in enumerate(self.states):
            for a, action in enumerate(self.actions):
                if table[s, a] > 0:
                    self.index.append((s, a))
                    self.pairs.append(
                        tuple(u * k + v for u, v, k in zip(state, action, n_actions, strict=True))
                    )
        n = len(self.pairs)
        self.p = np.zeros((n, n))
        for x, (s, a) in enumerate(self.index):
            for y, (t, b) in enumerate(self.index):
                self.p[x, y] = kernel[s, a, t] * table[t, b]

    @cached_property
    def reach(self) -> np.ndarray:
        """(n, n) True where y is reachable from x in one or more steps."""
        r = self.p > 0
        for k in range(len(r)):
            r = r | (r[:, k : k + 1] & r[k : k + 1, :])
        return r

    @cached_property
    def classes(self) -> list[list[int]]:
        """Recurrent classes: x such that whatever x reaches reaches x."""
        r = self.reach
        recurrent = [x for x in range(len(r)) if r[x, x] and all(r[y, x] for y in np.flatnonzero(r[x]))]
        found: list[list[int]] = []
        for x in recurrent:
            for c in found:
                if r[c[0], x]:
                    c.append(x)
                    break
            else:
                found.append([x])
        return found

    @cached_property
    def mu(self) -> np.ndarray:
        (members,) = self.classes
        out = np.zeros(len(self.pairs))
        out[members] = gth(self.p[np.ix_(members, members)])
        return out

    @cached_property
    def recurrent(self) -> np.ndarray:
        out = np.zeros(len(self.pairs), dtype=bool)
        out[[x for c in self.classes for x in c]] = True
        return out

    def next_law(self, i: int) -> np.ndarray:
        out = np.zeros((len(self.pairs), self.sizes[i]))
        for x in range(len(self.pairs)):
            for y, pair in enumerate(self.pairs):
                out[x, pair[i]] += self.p[x, y]
        return out

    def local_transition(self, i: int) -> np.ndarray:
        """Eq. 2."""
        law, m = self.next_law(i), self.sizes[i]
        out = np.full((m, m), np.nan)
        for k in range(m):
            share = [x for x, pair in enumerate(self.pairs) if pair[i] == k and self.mu[x] > 0]
            if share:
                out[k] = sum(self.mu[x] * law[x] for x in share) / sum(self.mu[x] for x in share)
        return out

    def mu_atv(self, i: int) -> float:
        """Eq. 7, one linear program per local pair."""
        law, total = self.next_law(i), 0.0
        for k in range(self.sizes[i]):
            share = [x for x, pair in enumerate(self.pairs) if pair[i] == k and self.mu[x] > 0]
            total += median_lp(law[share], self.mu[share]) if share else 0.0
        return total

    def atv(self, i: int, over: np.ndarray | None = None) -> float:
        """Eq. 5 over the pairs in `over` (default: the recurrent ones)."""
        over = self.recurrent if over is None else over
        law, worst = self.next_law(i), 0.0
        for k in range(self.sizes[i]):
            share = [x for x, pair in enumerate(self.pairs) if pair[i] == k and over[x]]
            worst = max(worst, centre_lp(law[share]) if share else 0.0)
        return worst

    def reward(self, rewards: tuple[np.ndarray, ...]) -> np.ndarray:
        return np.array([sum(r[k] for r, k in zip(rewards, pair, strict=True)) for pair in self.pairs])

    def q(self, reward: np.ndarray, discount: float) -> np.ndarray:
        return np.linalg.solve(np.eye(len(self.p)) - discount * self.p, reward)

    def local_q(self, i: int, reward: np.ndarray, discount: float) -> np.ndarray:
        p = self.local_transition(i)
        seen = np.flatnonzero(~np.isnan(p[:, 0]))
        out = np.full(self.sizes[i], np.nan)
        out[seen] = np.linalg.solve(np.eye(len(seen)) - discount * p[np.ix_(seen, seen)], reward[seen])
        return out

    def position(self, chain: Any) -> np.ndarray:
        """Position in `chain.pairs` of each pair here; fails unless both hold the same pairs."""
        where = {tuple(map(int, pair)): k for k, pair in enumerate(chain.pairs)}
        assert len(where) == len(chain.pairs) and set(where) == set(self.pairs)
        return np.array([where[pair] for pair in self.pairs])


def gth(p: np.ndarray) -> np.ndarray:
    """Stationary law of an irreducible matrix by state reduction: no subtraction, hence entrywise exact."""
    p, n = p.copy(), len(p)
    for k in range(n - 1, 0, -1):
        p[:k, k] /= p[k, :k].sum()
        p[:k, :k] += np.outer(p[:k, k], p[k, :k])
    mu = np.zeros(n)
    mu[0] = 1.0
    for k in range(1, n):
        mu[k] = mu[:k] @ p[:k, k]
    return mu / mu.sum()


def median_lp(laws: np.ndarray, weights: np.ndarray) -> float:
    """`min_q sum_k w_k TV(p_k, q)` over the simplex: variables q, then the deviations d_kj."""
    k, n = laws.shape
    eye, spread = np.eye(n), np.tile(np.eye(n), (k, 1))
    dev = np.eye(k * n)
    a = np.block([[spread, -dev], [-spread, -dev]])
    b = np.concatenate([laws.ravel(), -laws.ravel()])
    cost = np.concatenate([np.zeros(n), 0.5 * np.repeat(weights, n)])
    one = np.concatenate([np.ones(n), np.zeros(k * n)])[None]
    del eye
    found = linprog(cost, A_ub=a, b_ub=b, A_eq=one, b_eq=[1.0], bounds=(0, None), method="highs")
    assert found.status == 0, found.message
    return float(found.fun)


def centre_lp(laws: np.ndarray) -> float:
    """`min_q max_k TV(p_k, q)`: variables q, the deviations d_kj, and the radius."""
    k, n = laws.shape
    spread, dev = np.tile(np.eye(n), (k, 1)), np.eye(k * n)
    zero = np.zeros((k * n, 1))
    sums = np.concatenate([np.zeros((k, n)), 0.5 * np.kron(np.eye(k), np.ones(n)), -np.ones((k, 1))], axis=1)
    a = np.concatenate([np.block([[spread, -dev, zero], [-spread, -dev, zero]]), sums])
    b = np.concatenate([laws.ravel(), -laws.ravel(), np.zeros(k)])
    cost = np.zeros(n + k * n + 1)
    cost[-1] = 1.0
    one = np.concatenate([np.ones(n), np.zeros(k * n + 1)])[None]
    found = linprog(cost, A_ub=a, b_ub=b, A_eq=one, b_eq=[1.0], bounds=(0, None), method="highs")
    assert found.status == 0, found.message
    return float(found.fun)


# --- random systems ---------------------------------------------------------------------------------


def random_laws(
    rng: np.random.Generator, shape: tuple[int, ...], sparse: bool, home: bool = True
) -> np.ndarray:
    """Rows of laws; sparse ones have about two targets. `home`: column 0 is always possible."""
    raw = rng.exponential(size=shape)
    if sparse:
        raw *= rng.random(shape) < min(1.0, 2.0 / shape[-1])
        raw[..., 0] += 0.05 if home else 0.0
        empty = raw.sum(axis=-1) == 0
        raw[empty, rng.integers(shape[-1])] = 1.0
    return raw / raw.sum(axis=-1, keepdims=True)


def product_kernel(kernels: list[np.ndarray]) -> np.ndarray:
    """Joint kernel (joint states, joint actions, joint states) of local ones (A_i, S_i, S_i), by loops."""
    states = list(itertools.product(*[range(k.shape[1]) for k in kernels]))
    actions = list(itertools.product(*[range(k.shape[0]) for k in kernels]))
    out = np.zeros((len(states), len(actions), len(states)))
    for s, state in enumerate(states):
        for a, action in enumerate(actions):
            for t, target in enumerate(states):
                out[s, a, t] = math.prod(
                    k[b, u, v] for k, b, u, v in zip(kernels, action, state, target, strict=True)
                )
    return out


def index_table(priority: list[np.ndarray], n_states: tuple[int, ...], budget: int) -> np.ndarray:
    """Policy table of an index policy: every subset that serves highest priorities first, all alike."""
    states = list(itertools.product(*map(range, n_states)))
    actions = list(itertools.product(*[range(2)] * len(n_states)))
    out = np.zeros((len(states), len(actions)))
    for s, state in enumerate(states):
        value = [p[k] for p, k in zip(priority, state, strict=True)]
        for a, action in enumerate(actions):
            if sum(action) != budget:
                continue
            served = [v for v, b in zip(value, action, strict=True) if b]
            rest = [v for v, b in zip(value, action, strict=True) if not b]
            if not served or not rest or min(served) >= max(rest):
                out[s, a] = 1.0
    return out / out.sum(axis=1, keepdims=True)


def build(
    kind: str,
    n_states: tuple[int, ...],
    n_actions: tuple[int, ...],
    policy: str,
    sparse: bool,
    seed: int,
    discount: float = 0.9,
    budget: int | None = None,
) -> Case:
    """A random case; joint state 0 is reachable from everywhere, so there is one recurrent class."""
    rng = np.random.default_rng(seed)
    if kind == "chain":
        n_states = tuple(s * a for s, a in zip(n_states, n_actions, strict=True))
        n_actions = (1,) * len(n_states)
    js, ja = math.prod(n_states), math.prod(n_actions)
    sizes = tuple(s * a for s, a in zip(n_states, n_actions, strict=True))
    rewards = tuple(rng.normal(size=m) for m in sizes)
    locals_ = [random_laws(rng, (a, s, s), sparse) for s, a in zip(n_states, n_actions, strict=True)]
    feasible = np.ones((js, ja), dtype=bool)
    if kind == "weakly-coupled":
        kernel = product_kernel(locals_)
        if budget is not None:
            sums = np.array([sum(a) for a in itertools.product(*map(range, n_actions))])
            feasible[:] = sums == budget
        system: Any = me.WeaklyCoupledMDP(locals_, rewards, discount=discount, budget=budget)
    else:
        kernel = random_laws(rng, (js, ja, js), sparse)
        if kind == "chain":
            p = kernel[:, 0]
            system = me.JointChain(
                sp.csr_array(p) if sparse else p, n_states, rewards=rewards, discount=discount
            )
        else:
            gone = rng.random((js, ja)) < 0.25
            gone[:, 0] = False
            if policy != "local":
                kernel[gone] = 0.0
                feasible &= ~gone
            given = [sp.csr_array(kernel[:, a]) for a in range(ja)] if sparse else kernel
            system = me.MultiAgentMDP(
                given, rewards, n_states=n_states, n_actions=n_actions, discount=discount
            )
    table, chosen = _policy(policy, rng, feasible, n_states, n_actions, sparse, budget)
    given_policy = None if kind == "chain" else chosen
    return Case(kind, system, given_policy, kernel, table, n_states, n_actions, rewards, discount)


def _policy(
    policy: str,
    rng: np.random.Generator,
    feasible: np.ndarray,
    n_states: tuple[int, ...],
    n_actions: tuple[int, ...],
    sparse: bool,
    budget: int | None,
) -> tuple[np.ndarray, Any]:
    if policy == "uniform":
        return feasible / feasible.sum(axis=1, keepdims=True), me.UniformPolicy()
    if policy == "local":
        tables = [random_laws(rng, (s, a), sparse) for s, a in zip(n_states, n_actions, strict=True)]
        out = np.ones((1, 1))
        for t in tables:
            out = np.kron(out, t)
        return out, me.LocalPolicy(tables)
    if policy == "index":
        assert budget is not None
        priority = [rng.integers(0, 3, size=s).astype(float) for s in n_states]
        return index_table(priority, n_states, budget), me.IndexPolicy(priority)
    raw = rng.exponential(size=feasible.shape) * feasible
    if sparse:
        raw *= rng.random(raw.shape) < 0.6
        empty = raw.sum(axis=1) == 0
        raw[empty, feasible.argmax(axis=1)[empty]] = 1.0
    table = raw / raw.sum(axis=1, keepdims=True)
    if policy == "table":
        return table, sp.csr_array(table) if sparse else table
    actions = list(itertools.product(*map(range, n_actions)))
    states = {s: k for k, s in enumerate(itertools.product(*map(range, n_states)))}

    def law(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        return {a: float(p) for a, p in zip(actions, table[states[state]], strict=True) if p > 0}

    return table, law


@st.composite
def cases(
    draw: st.DrawFn, kinds: tuple[str, ...] = KINDS, agents: tuple[int, int] = (1, 4), pairs: int = 48
) -> Case:
    """Random cases with at most `pairs` joint pairs on the full product; agents may differ in size."""
    kind = draw(st.sampled_from(kinds))
    n = draw(st.integers(*agents))
    n_states, n_actions, room = [], [], pairs
    for i in range(n):
        rest = 2 ** (n - 1 - i)
        s = draw(st.integers(1, max(1, min(4, room // rest))))
        a = draw(st.integers(1, max(1, min(3, room // rest // s))))
        n_states.append(s)
        n_actions.append(a)
        room //= s * a
    policy, budget = "uniform", None
    if kind == "weakly-coupled" and draw(st.booleans()):
        n_actions = [2] * n
        while math.prod(n_states) * 2**n > 2 * pairs:
            n_states[n_states.index(max(n_states))] -= 1
        budget = draw(st.integers(0, n))
        policy = draw(st.sampled_from(["uniform", "table", "callable", "index"]))
    elif kind != "chain":
        policy = draw(st.sampled_from(["uniform", "local", "table", "callable"]))
    return build(
        kind,
        tuple(n_states),
        tuple(n_actions),
        policy,
        draw(st.booleans()),
        draw(st.integers(0, 2**31)),
        draw(st.sampled_from([0.0, 0.5, 0.9, 0.99])),
        budget,
    )


def separable_chain(sizes: tuple[int, ...], terms: int, seed: int, signed: bool = False) -> np.ndarray:
    """`sum_j x_j P_0^(j) (x) ... (x) P_{N-1}^(j)`; `signed`: one weight is negative, entries stay >= 0."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(terms))
    factors = [[random_laws(rng, (m, m), False) for m in sizes] for _ in range(terms)]
    products = []
    for f in factors:
        out = np.ones((1, 1))
        for p in f:
            out = np.kron(out, p)
        products.append(out)
    mixed = np.asarray(sum(w * p for w, p in zip(weights, products, strict=True)))
    if signed:
        cut = 0.9 * float((mixed / products[0]).min())
        mixed = (mixed - cut * products[0]) / (1.0 - cut)
    return mixed
