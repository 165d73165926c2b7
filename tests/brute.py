"""Brute force on raw arrays: the other side of the contract. Nothing here reads what the library computed.

A `World` is a system under a policy as plain arrays: joint kernel, policy table, rewards, and (for tasks that end)
terminal joint states and a restart law. It enumerates joint pairs, forms the joint pair chain densely, and answers
every question from the definitions of the theory: explicit matrices, linear programs on raw laws, singular values.
Agents that are alike (the arms of a type) are still enumerated one by one; `units` only says who is alike, so that
answers in counts are compared with those of the labelled agents.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import numpy as np
from scipy.optimize import linprog

import oracles_values as oracle
from helpers import centre_lp, gth, median_lp

NORMS = ("mu", "sup", "l2")
Law = Callable[[tuple[int, ...]], dict[tuple[int, ...], float]]


class World:
    """A system under a policy as raw arrays, and every answer by brute force.

    Parameters
    ----------
    kernel : (S, A, S) over all joint states and actions, agent 0 slowest; rows of unavailable actions are 0.
    table : (S, A) policy.
    rewards : one (m_i,) table per agent; or one (S, A) array, a shared reward; or None.
    initial : (S,) law of the start, or None.
    terminal : (S,) True where the task has ended.
    restart : (S,) law of the next start after an end; None: `initial`.
    units : agents that are alike, one tuple per kind; a kind without agents is empty. None: all differ.
    """

    def __init__(
        self,
        n_states: Sequence[int],
        n_actions: Sequence[int],
        kernel: np.ndarray,
        table: np.ndarray,
        rewards: Sequence[np.ndarray] | np.ndarray | None,
        discount: float,
        *,
        initial: np.ndarray | None = None,
        terminal: np.ndarray | None = None,
        restart: np.ndarray | None = None,
        units: Sequence[Sequence[int]] | None = None,
    ) -> None:
        self.n_states, self.n_actions = tuple(n_states), tuple(n_actions)
        self.kernel, self.table, self.discount = kernel, table, discount
        self.rewards, self.initial, self.terminal = rewards, initial, terminal
        self.restart = initial if restart is None else restart
        self.n_agents = len(self.n_states)
        self.sizes = tuple(s * a for s, a in zip(self.n_states, self.n_actions, strict=True))
        self.units = tuple(map(tuple, units)) if units else tuple((i,) for i in range(self.n_agents))
        self.states = list(itertools.product(*map(range, self.n_states)))
        self.actions = list(itertools.product(*map(range, self.n_actions)))
        live = np.ones(len(self.states), dtype=bool) if terminal is None else ~terminal
        #: joint states of the chain: the live ones, or the closure of the starts
        self.kept = np.flatnonzero(live & (self._closure(live) if initial is not None else True))
        found = [(s, a) for s in self.kept for a in np.flatnonzero(table[s] > 0)]
        #: (n,) joint state and joint action of every joint pair
        self.state, self.action = (np.array(k) for k in zip(*found, strict=True))
        #: (n, N) local pairs
        self.pairs = np.array(
            [
                [u * k + v for u, v, k in zip(self.states[s], self.actions[a], self.n_actions, strict=True)]
                for s, a in found
            ]
        )
        self.n_pairs = len(found)
        #: (n,) pi(a|s), and (n, S) law of the next joint state, terminal ones included
        self.choice, self.ahead = table[self.state, self.action], kernel[self.state, self.action]

    def _closure(self, live: np.ndarray) -> np.ndarray:
        flow = np.einsum("sa,sat->st", self.table, self.kernel)
        seen = self.initial > 0
        if self.terminal is not None:
            seen = seen | (self.restart > 0)
        while True:
            grown = seen | (flow[seen & live] > 0).any(axis=0)
            if (grown == seen).all():
                return seen
            seen = grown

    # --- the chain ---------------------------------------------------------------------------------------

    @cached_property
    def ends(self) -> np.ndarray | None:
        """(n,) chance that the task ends in the next step; None where nothing ends."""
        return None if self.terminal is None else self.ahead[:, self.terminal].sum(axis=1)

    @cached_property
    def pc(self) -> np.ndarray:
        """(n, n) the part of the pair chain that goes on."""
        return self.ahead[:, self.state] * self.choice

    @cached_property
    def p(self) -> np.ndarray:
        """(n, n) the pair chain: after an end the next task starts."""
        if self.ends is None:
            return self.pc
        return self.pc + np.outer(self.ends, self.restart[self.state] * self.choice)

    @cached_property
    def classes(self) -> list[np.ndarray]:
        """Recurrent classes, by the transitive closure."""
        reach = self.p > 0
        for _ in range(max(1, math.ceil(math.log2(self.n_pairs))) + 1):
            reach = reach | (reach.astype(np.float32) @ reach.astype(np.float32) > 0)
        recurrent = [x for x in range(self.n_pairs) if reach[x, x] and reach[reach[x], x].all()]
        return [np.array(c) for c in {tuple(np.flatnonzero(reach[x])) for x in recurrent}]

    @cached_property
    def period(self) -> int:
        """Period of the (first) recurrent class, from the distances to its first pair."""
        members = self.classes[0]
        step, level, period = self.p[np.ix_(members, members)] > 0, {0: 0}, 0
        queue = [0]
        for x in queue:
            for y in np.flatnonzero(step[x]):
                if y in level:
                    period = math.gcd(period, level[x] + 1 - level[y])
                else:
                    level[y] = level[x] + 1
                    queue.append(y)
        return period

    @cached_property
    def mu(self) -> np.ndarray:
        """(n,) stationary law; the Cesàro limit from `initial` where there are several classes."""
        out = np.zeros(self.n_pairs)
        if len(self.classes) == 1:
            (members,) = self.classes
            out[members] = gth(self.p[np.ix_(members, members)])
            return out
        assert self.initial is not None, "several recurrent classes and no initial law"
        start = self.initial[self.state] * self.choice
        passing = np.ones(self.n_pairs, dtype=bool)
        passing[np.concatenate(self.classes)] = False
        t = np.flatnonzero(passing)
        visits = np.linalg.solve((np.eye(len(t)) - self.p[np.ix_(t, t)]).T, start[t])
        for c in self.classes:
            mass = start[c].sum() + visits @ self.p[np.ix_(t, c)].sum(axis=1)
            out[c] = mass * gth(self.p[np.ix_(c, c)])
        return out

    @cached_property
    def recurrent(self) -> np.ndarray:
        """(n,) recurrent pairs; those of positive occupancy when there is an initial law."""
        out = np.zeros(self.n_pairs, dtype=bool)
        out[np.concatenate(self.classes)] = True
        return out if self.initial is None else out & (self.mu > 0)

    # --- what one agent sees -----------------------------------------------------------------------------

    def _with_end(self, law: np.ndarray) -> np.ndarray:
        return law if self.ends is None else np.column_stack([law, self.ends])

    def law(self, i: int) -> np.ndarray:
        """(n, m_i) law of agent i's next pair; one more column, "ended", for tasks that end."""
        return self._with_end(self.pc @ np.eye(self.sizes[i])[self.pairs[:, i]])

    def kernel_law(self, i: int) -> np.ndarray:
        """(n, S_i) law of agent i's next state; one more column for tasks that end."""
        live = self.ahead[:, self.kept]
        return self._with_end(live @ np.eye(self.n_states[i])[[self.states[s][i] for s in self.kept]])

    def rows(self, i: int, kind: str = "pair") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Key, weight and law: "pair" (x_i; next pair), "kernel" (x_i; next state), "policy" (s_i; action)."""
        if kind == "policy":
            actions = np.array([self.actions[a][i] for a in self.action])
            hit = (self.state[:, None] == self.kept) * self.choice[:, None]
            key = np.array([self.states[s][i] for s in self.kept])
            return key, self.nu, hit.T @ np.eye(self.n_actions[i])[actions]
        return self.pairs[:, i], self.mu, self.law(i) if kind == "pair" else self.kernel_law(i)

    @cached_property
    def nu(self) -> np.ndarray:
        """State law under mu, over `kept`."""
        return np.array([self.mu[self.state == s].sum() for s in self.kept])

    def key_weight(self, i: int) -> np.ndarray:
        return np.bincount(self.pairs[:, i], self.mu, self.sizes[i])

    def mean_law(self, i: int) -> np.ndarray:
        """Eq. 2, NaN rows where never visited; the last column is "ended" for tasks that end."""
        law, w = self.law(i), self.key_weight(i)
        out = np.full((self.sizes[i], law.shape[1]), np.nan)
        for k in np.flatnonzero(w > 0):
            at = self.pairs[:, i] == k
            out[k] = self.mu[at] @ law[at] / w[k]
        return out

    # --- measures ----------------------------------------------------------------------------------------

    @cached_property
    def _measured(self) -> dict[object, float]:
        return {}

    def measure(self, i: int, distance: str, support: str = "recurrent") -> float:
        """E_i: "mu-atv", "atv", "policy", "kernel" or "spectral"."""
        found = self._measured
        if (i, distance, support) not in found:
            if distance == "spectral":
                value = oracle.spectral(self.pc, self.pairs.tolist(), self.mu, i, self.sizes[i])
            elif distance == "atv":
                at = self.recurrent if support == "recurrent" else np.ones(self.n_pairs, dtype=bool)
                value = worst(self.pairs[at, i], self.law(i)[at])
            else:
                value = mean(*self.rows(i, "pair" if distance == "mu-atv" else distance))
            found[i, distance, support] = value
        return found[i, distance, support]

    def per_unit(self, distance: str, support: str = "recurrent") -> np.ndarray:
        """E of one agent of each kind; NaN for a kind without agents."""
        return np.array([self.measure(u[0], distance, support) if u else np.nan for u in self.units])

    def joint_distance(self, distance: str) -> float:
        """`tv` over the recurrent pairs, or `mu-tv`: the linear program over transitions of the full product."""
        if distance not in self._measured:
            at = np.flatnonzero(self.recurrent)
            columns = np.ravel_multi_index(tuple(self.pairs.T), self.sizes)
            law = np.zeros((len(at), math.prod(self.sizes)))
            law[:, columns] = self.p[at]
            mu = None if distance == "tv" else self.mu[at]
            value = float(oracle.joint_lp(law, self.pairs[at].tolist(), self.sizes, mu))
            self._measured[distance] = value
        return self._measured[distance]

    def spread(self) -> float:
        """Largest TV between two laws that agent i cannot tell apart, over all i and all pairs of the chain."""
        worst = 0.0
        for i in range(self.n_agents):
            law = self.law(i)
            for k in np.unique(self.pairs[:, i]):
                at = law[self.pairs[:, i] == k]
                worst = max(worst, 0.5 * float(np.abs(at[:, None] - at[None]).sum(axis=-1).max()))
        return worst

    def remaining(self, i: int, j: int) -> float:
        """E_i (mu-atv) when agent i's model may also read agent j's pair."""
        key = self.pairs[:, i] * self.sizes[j] + self.pairs[:, j]
        return mean(key, self.mu, self.law(i))

    def per_pair(self, i: int) -> np.ndarray:
        """(m_i,) what every local pair adds to E_i."""
        key, law = self.pairs[:, i], self.law(i)
        return np.array([mean(key[key == k], self.mu[key == k], law[key == k]) for k in range(self.sizes[i])])

    @cached_property
    def vdn_gap(self) -> float:
        return oracle.vdn(self.pc, self.pairs.tolist(), self.mu, self.sizes)

    # --- values ------------------------------------------------------------------------------------------

    @cached_property
    def reward(self) -> np.ndarray:
        """(n,) reward of all agents together."""
        if isinstance(self.rewards, np.ndarray):
            return self.rewards[self.state, self.action]
        return self.add_up(self.rewards)

    @cached_property
    def local_rewards(self) -> tuple[np.ndarray, ...]:
        """The rewards of each agent; a shared one is split by least absolute deviations under mu."""
        if not isinstance(self.rewards, np.ndarray):
            return tuple(self.rewards)
        at = self.mu > 0
        phi = oracle.additive_features(self.pairs[at].tolist(), self.sizes)
        n, m = phi.shape
        cost = np.concatenate([np.zeros(m), self.mu[at]])
        a = np.block([[phi, -np.eye(n)], [-phi, -np.eye(n)]])
        b = np.concatenate([self.reward[at], -self.reward[at]])
        bounds = [(None, None)] * m + [(0, None)] * n
        found = linprog(cost, a, b, bounds=bounds, method="highs")
        assert found.status == 0, found.message
        return tuple(np.split(found.x[:m], np.cumsum(self.sizes)[:-1]))

    @cached_property
    def shared_error(self) -> float:
        """e(r): what no sum of local rewards explains, in L1(mu); 0 for local rewards."""
        if not isinstance(self.rewards, np.ndarray):
            return 0.0
        return self.norm(self.reward - self.add_up(self.local_rewards), "mu")

    def add_up(self, tables: Iterable[np.ndarray]) -> np.ndarray:
        return np.sum([np.asarray(t)[self.pairs[:, i]] for i, t in enumerate(tables)], axis=0)

    def q(self, discount: float | None = None, reward: np.ndarray | None = None) -> np.ndarray:
        """(n,) true values: they stop when the task ends."""
        g = self.discount if discount is None else discount
        return solve(np.eye(self.n_pairs) - g * self.pc, self.reward if reward is None else reward)

    def local_q(self, discount: float | None = None) -> tuple[np.ndarray, ...]:
        """Per agent (m_i,) values of Meta Algorithm 1; NaN where never visited."""
        g = self.discount if discount is None else discount
        out = []
        for i, r in enumerate(self.local_rewards):
            local = self.mean_law(i)[:, : self.sizes[i]]
            seen = np.flatnonzero(~np.isnan(local[:, 0]))
            q = np.full(self.sizes[i], np.nan)
            q[seen] = solve(np.eye(len(seen)) - g * local[np.ix_(seen, seen)], np.asarray(r)[seen])
            out.append(q)
        return tuple(out)

    def additive(self, discount: float | None = None) -> np.ndarray:
        """(n,) joint additive values on the support of mu (NaN elsewhere): `Pi_D (r + gamma P D - D) = 0`."""
        g, at = self.discount if discount is None else discount, np.flatnonzero(self.mu > 0)
        root = np.sqrt(self.mu[at])
        phi = root[:, None] * oracle.additive_features(self.pairs[at].tolist(), self.sizes)
        u, s, _ = np.linalg.svd(phi, full_matrices=False)
        u = u[:, s > 1e-10 * s[0]]
        step = root[:, None] * self.pc[np.ix_(at, at)] / root
        out = np.full(self.n_pairs, np.nan)
        d = u @ np.linalg.solve(np.eye(u.shape[1]) - g * u.T @ step @ u, u.T @ (root * self.reward[at]))
        out[at] = d / root
        return out

    def norm(self, f: np.ndarray, norm: str) -> float:
        return float(norm_of(f, self.mu, self.recurrent, norm))

    def errors(self, err: np.ndarray, q: np.ndarray) -> dict[str, float]:
        """Three norms, `relative_error` and `unexplained` of `err = Q - D`."""
        return errors(err, q, self.mu, self.recurrent)

    def bellman(self, d: np.ndarray, k: int, norm: str, discount: float | None = None) -> float:
        """`b_k = ||T^k D - D||`, T applied k times."""
        g = self.discount if discount is None else discount
        image = np.where(self.recurrent, d, 0.0)
        first = image
        for _ in range(k):
            image = np.where(self.recurrent, self.reward + g * self.pc @ image, 0.0)
        return self.norm(image - first, norm)

    # --- state values (App. B) -------------------------------------------------------------------------------

    @cached_property
    def by_state(self) -> World:
        """The state chain as a world of its own: one action, local pairs are local states."""
        flow = np.einsum("sa,sat->st", self.table, self.kernel)[:, None, :]
        rewards = self.state_rewards
        assert rewards is not None, "a reward depends on an action"
        one = np.ones((len(self.states), 1))
        return World(
            self.n_states, (1,) * self.n_agents, flow, one, rewards, self.discount,
            initial=self.initial, terminal=self.terminal, restart=self.restart, units=self.units,
        )  # fmt: skip

    @property
    def state_rewards(self) -> tuple[np.ndarray, ...] | np.ndarray | None:
        """The rewards as functions of local states; None where one depends on an action."""
        if self.rewards is None:
            return None
        if isinstance(self.rewards, np.ndarray):
            return self.rewards[:, :1] if np.ptp(self.rewards, axis=1).max() == 0 else None
        tables = [r.reshape(-1, a) for r, a in zip(self.rewards, self.n_actions, strict=True)]
        if max(np.ptp(t, axis=1).max() for t in tables) > 0:
            return None
        return tuple(t[:, 0] for t in tables)

    # --- bounds ----------------------------------------------------------------------------------------------

    def bounds(self, distances: Iterable[str]) -> dict[str, tuple[str, float | None]]:
        """Name -> norm and value of every bound that the measures support (None: convention, not computed).

        For tasks that end, values stop at 0: spans include 0, and the spectral bound does not subtract means.
        """
        g, two, names = self.discount, self.n_agents == 2, {}
        q = self.local_q()
        seen = [self.key_weight(i) > 0 for i in range(self.n_agents)]
        used = [np.asarray(r)[s] for r, s in zip(self.local_rewards, seen, strict=True)]
        zero = [] if self.ends is None else [0.0]
        top = [float(np.abs(r).max()) for r in used]
        half = [float(np.ptp(np.append(r, zero))) / 2 for r in used]
        slack = self.shared_error / (1 - g)
        shared, suffix = slack > 0, " + Prop. J.7" if slack > 0 else ""
        for d in distances:
            norm, name = _THEOREM[d][0], _THEOREM[d][1 if two else 2]
            if shared and norm == "sup":
                continue
            if d in ("tv", "mu-tv"):
                e = [self.joint_distance(d)] * self.n_agents
            else:
                e = [self.measure(i, d) for i in range(self.n_agents)]
            for words, size in (("", top), (", half spans", half)):
                value = 4 * g / (1 - g) ** 2 * float(np.dot(e, size)) + slack
                # the split of a shared reward fixes local rewards up to constants only
                names[name + suffix + words] = (norm, None if shared and not words else value)
        mean_tv, worst_tv = [], []
        for i in range(self.n_agents):
            gap = 0.5 * np.abs(self.law(i) - self.mean_law(i)[self.pairs[:, i]]).sum(axis=1)
            mean_tv.append(float(self.mu[self.mu > 0] @ gap[self.mu > 0]))
            worst_tv.append(float(gap[self.recurrent].max()))
        span = [float(np.ptp(np.append(t[s], zero))) for t, s in zip(q, seen, strict=True)]
        names["value spans (mu)"] = ("mu", g / (1 - g) * float(np.dot(mean_tv, span)) + slack)
        if not shared:
            names["value spans (sup)"] = ("sup", g / (1 - g) * float(np.dot(worst_tv, span)))
            total = 0.0
            for i, (t, s) in enumerate(zip(q, seen, strict=True)):
                w = self.key_weight(i)[s]
                centre = 0.0 if self.ends is not None else float(w @ t[s])
                total += self.measure(i, "spectral") * math.sqrt(float(w @ (t[s] - centre) ** 2))
            names["spectral"] = ("l2", g / (1 - g) * total)
        return names


_THEOREM = {
    "atv": ("sup", "Theorem 5.5", "Theorem H.2"),
    "mu-atv": ("mu", "Theorem 5.10", "Theorem 6.3"),
    "policy": ("mu", "Theorem 5.10 with Prop. 7.2", "Theorem 6.3 with Prop. 7.2"),
    "tv": ("sup", "Theorem 5.3", "Theorem H.2 with tv"),
    "mu-tv": ("mu", "Theorem 5.10 with mu-tv", "Theorem 6.3 with mu-tv"),
}


def solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`a x = b` with two steps of refinement whose residuals are taken in long doubles."""
    x = np.linalg.solve(a, b).astype(np.longdouble)
    exact, right = a.astype(np.longdouble), np.asarray(b).astype(np.longdouble)
    for _ in range(2):
        x = x + np.linalg.solve(a, (right - exact @ x).astype(np.float64))
    return x.astype(np.float64)


def norm_of(f: np.ndarray, mu: np.ndarray, recurrent: np.ndarray, norm: str) -> float:
    if norm == "sup":
        return np.abs(f[recurrent]).max()
    at = mu > 0
    return mu[at] @ np.abs(f[at]) if norm == "mu" else math.sqrt(mu[at] @ f[at] ** 2)


def errors(err: np.ndarray, q: np.ndarray, mu: np.ndarray, recurrent: np.ndarray) -> dict[str, float]:
    at = mu > 0

    def sd(f: np.ndarray) -> float:
        return math.sqrt(mu[at] @ (f[at] - mu[at] @ f[at]) ** 2)

    out = {f"error_{k}": float(norm_of(err, mu, recurrent, k)) for k in NORMS}
    noise = 1e-12 * float(np.abs(q).max())
    shares = ((out["error_mu"], mu[at] @ np.abs(q[at])), (sd(err), sd(q)))
    for name, (part, whole) in zip(("relative_error", "unexplained"), shares, strict=True):
        out[name] = 0.0 if part <= noise else part / whole if whole > noise else math.inf
    return out


def _groups(key: np.ndarray, weight: np.ndarray, law: np.ndarray) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Different laws of every key, with their weights."""
    for k in np.unique(key):
        at = np.flatnonzero(key == k)
        _, first, which = np.unique(np.round(law[at], 13), axis=0, return_index=True, return_inverse=True)
        yield law[at][first], np.bincount(which.reshape(-1), weight[at], len(first))


def mean(key: np.ndarray, weight: np.ndarray, law: np.ndarray) -> float:
    """`min_M sum w TV(law, M(.|key))`, a linear program per key (two laws: the triangle inequality)."""
    total, on = 0.0, weight > 0
    for laws, w in _groups(key[on], weight[on], law[on]):
        if len(laws) == 2:
            total += float(w.min()) * oracle.tv(*laws)
        elif len(laws) > 2:
            total += median_lp(laws, w)
    return total


def worst(key: np.ndarray, law: np.ndarray) -> float:
    """`min_M max TV(law, M(.|key))`, a linear program per key (two laws: half their distance)."""
    out = 0.0
    for laws, _ in _groups(key, np.ones(len(key)), law):
        if len(laws) == 2:
            out = max(out, oracle.tv(*laws) / 2)
        elif len(laws) > 2:
            out = max(out, centre_lp(laws))
    return out


# --- raw systems ---------------------------------------------------------------------------------------------


def kron_kernel(kernels: Sequence[np.ndarray]) -> np.ndarray:
    """(S, A, S) joint kernel of agents (A_i, S_i, S_i) that move on their own."""
    out = []
    for action in itertools.product(*[range(len(k)) for k in kernels]):
        out.append(oracle.kron([k[a] for k, a in zip(kernels, action, strict=True)]))
    return np.stack(out, axis=1)


def table_of(law: Law, n_states: Sequence[int], n_actions: Sequence[int]) -> np.ndarray:
    """(S, A) table of a policy that is a plain function of the joint state."""
    actions = {a: k for k, a in enumerate(itertools.product(*map(range, n_actions)))}
    states = list(itertools.product(*map(range, n_states)))
    out = np.zeros((len(states), len(actions)))
    for s, state in enumerate(states):
        for action, chance in law(state).items():
            out[s, actions[action]] += chance
    return out


def serve(priority: Sequence[Sequence[float]], budget: int) -> Law:
    """Index policy: highest priorities first, the class where the budget runs out uniformly."""

    def law(state: tuple[int, ...]) -> dict[tuple[int, ...], float]:
        value = [p[s] for p, s in zip(priority, state, strict=True)]
        left, sure, last = budget, [], []
        for level in sorted(set(value), reverse=True):
            here = [i for i, v in enumerate(value) if v == level]
            if len(here) > left:
                last = here
                break
            sure += here
            left -= len(here)
        chosen = list(itertools.combinations(last, left)) if last else [()]
        hit = [{*sure, *c} for c in chosen]
        return {tuple(int(i in h) for i in range(len(state))): 1 / len(hit) for h in hit}

    return law


def laws(rng: np.random.Generator, *shape: int, zeros: float = 0.0) -> np.ndarray:
    """Random laws along the last axis; a share `zeros` of the entries is 0 and category 0 never is."""
    raw = rng.exponential(size=shape) * (rng.random(shape) >= zeros)
    raw[..., 0] += 0.05 if zeros else 0.0
    return raw / raw.sum(axis=-1, keepdims=True)
