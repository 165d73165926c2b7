"""Worlds: systems under a policy as raw arrays, whose every answer comes by brute force from `oracles_space`.

Nothing here reads what the library computed. A `World` holds the joint kernel, the policy table, rewards, and (for
tasks that end) terminal joint states and a restart law; it enumerates labelled joint pairs. Agents that are alike (the
arms of a type) are still enumerated one by one: `units` only says who is alike, so that answers in counts are compared
with those of the joint chain of the same arms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
from scipy.optimize import linprog

import oracles_space as o
import oracles_values

NORMS = ("mu", "sup", "l2")
Law = Callable[[tuple[int, ...]], dict[tuple[int, ...], float]]


class World:
    """A system under a policy as raw arrays, and every answer by brute force.

    Parameters
    ----------
    kernel : (S, A, S) over all joint states and actions, agent 0 slowest; rows of unavailable actions are 0.
    table : (S, A) policy.
    rewards : one (m_i,) table per agent; or one (S, A) array, a shared reward.
    initial : (S,) law of the start, or None.
    terminal : (S,) True where the task has ended.
    restart : (S,) law of the next start after an end; None: `initial`.
    units : agents that are alike, one tuple per kind; a kind without agents is empty. None: all differ.
    feasible : (S, A) mask of the actions that may be chosen; None: those with a kernel row.
    signals : number of values of a signal that all see, slowest in every local state; 0: there is none.
    locals_ : per agent (A_i, S_i, S_i), for systems that are weakly coupled.
    """

    def __init__(
        self,
        n_states: Sequence[int],
        n_actions: Sequence[int],
        kernel: np.ndarray,
        table: np.ndarray,
        rewards: Sequence[np.ndarray] | np.ndarray,
        discount: float,
        *,
        initial: np.ndarray | None = None,
        terminal: np.ndarray | None = None,
        restart: np.ndarray | None = None,
        units: Sequence[Sequence[int]] | None = None,
        feasible: np.ndarray | None = None,
        locals_: Sequence[np.ndarray] | None = None,
        signals: int = 0,
    ) -> None:
        self.n_states, self.n_actions = tuple(n_states), tuple(n_actions)
        self.kernel, self.table, self.discount, self.rewards = kernel, table, discount, rewards
        self.terminal, self.locals_, self.signals = terminal, locals_, signals
        self.feasible = kernel.sum(axis=2) > 0 if feasible is None else feasible
        self.n_agents = len(self.n_states)
        self.sizes = tuple(s * a for s, a in zip(self.n_states, self.n_actions, strict=True))
        self.units = tuple(map(tuple, units)) if units else tuple((i,) for i in range(self.n_agents))
        again = None if terminal is None else initial if restart is None else restart
        chain = o.induced(kernel, table, n_states, n_actions, terminal, again)
        keep, self.start = np.ones(len(chain["P"]), dtype=bool), None
        if initial is not None:
            starts = initial if again is None else initial + again
            keep = o.reachable(chain["P"], starts[chain["state"]] * chain["choice"])
            self.start = (initial[chain["state"]] * chain["choice"])[keep]
        #: (n, n) the pair chain, after an end the next task starts; (n, n) the part that goes on
        self.p, self.pc = (chain[k][np.ix_(keep, keep)] for k in ("P", "carry"))
        self.ends = None if terminal is None else chain["ends"][keep]
        #: (n, N) local pairs; (n,) joint state and pi(a|s) of every pair
        self.pairs, self.state, self.choice = (chain[k][keep] for k in ("pairs", "state", "choice"))
        self.n_pairs, self._cache = len(self.pairs), {}

    # --- the chain ---------------------------------------------------------------------------------------

    @cached_property
    def mu(self) -> np.ndarray:
        """(n,) stationary law; the Cesàro limit from `initial` where there are several classes."""
        return o.stationary(self.p, self.start)

    @cached_property
    def recurrent(self) -> np.ndarray:
        """(n,) recurrent pairs; those of positive occupancy when there is an initial law."""
        out = np.zeros(self.n_pairs, dtype=bool)
        out[list(itertools.chain(*o.classes(self.p)))] = True
        return out if self.start is None else out & (self.mu > 0)

    @property
    def period(self) -> int:
        """Period of the first recurrent class, from the distances to its first pair."""
        members = o.classes(self.p)[0]
        step, level, period = self.p[np.ix_(members, members)] > 0, {0: 0}, 0
        queue = [0]
        for x in queue:
            for y in map(int, np.flatnonzero(step[x])):
                if y in level:
                    period = math.gcd(period, level[x] + 1 - level[y])
                else:
                    level[y] = level[x] + 1
                    queue.append(y)
        return period

    # --- what one agent sees -----------------------------------------------------------------------------

    def law(self, i: int) -> np.ndarray:
        """(n, m_i) law of agent i's next pair; one more column, "ended", for tasks that end."""
        return o.next_laws(self.pc, self.pairs, i, self.sizes[i], self.ends)

    def rows(self, i: int, kind: str = "pair") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Key, weight and law: "pair" (x_i; next pair), "kernel" (x_i; next state), "policy" (s_i; action)."""
        if kind == "policy":
            return o.policy_laws(self.pairs, self.mu, self.n_actions, i)
        law = self.law(i)
        if kind == "kernel":
            states = law[:, : self.sizes[i]].reshape(self.n_pairs, -1, self.n_actions[i]).sum(axis=2)
            law = np.column_stack([states, law[:, self.sizes[i] :]])
        return self.pairs[:, i], self.mu, law

    def key_weight(self, i: int) -> np.ndarray:
        """(m_i,) mu_i."""
        return np.bincount(self.pairs[:, i], self.mu, self.sizes[i])

    def mean_law(self, i: int) -> np.ndarray:
        """Eq. 2, NaN rows where never visited; the last column is "ended" for tasks that end."""
        found = o.mean_law(self.law(i), self.pairs, self.mu, i)
        return np.pad(found, ((0, self.sizes[i] - len(found)), (0, 0)), constant_values=np.nan)

    # --- measures ----------------------------------------------------------------------------------------

    def measure(self, i: int, distance: str, support: str = "recurrent") -> float:
        """E_i: "mu-atv", "atv", "policy", "kernel" or "spectral"."""
        key = (i, distance, support)
        if key not in self._cache:
            if distance == "spectral":
                value = o.sigma(self.pc, self.pairs, self.mu, i)
            elif distance == "atv":
                over = self.recurrent if support == "recurrent" else np.ones(self.n_pairs)
                value = measure(self.pairs[:, i], over.astype(float), self.law(i), worst=True)
            else:
                value = measure(*self.rows(i, "pair" if distance == "mu-atv" else distance))
            self._cache[key] = value
        return self._cache[key]

    def per_unit(self, distance: str, support: str = "recurrent") -> np.ndarray:
        """E of one agent of each kind; NaN for a kind without agents."""
        return np.array([self.measure(u[0], distance, support) if u else np.nan for u in self.units])

    def joint_distance(self, distance: str) -> float:
        """`tv` over the recurrent pairs, or `mu-tv`: the linear program over transitions of the full product."""
        if distance not in self._cache:
            at = np.flatnonzero(self.recurrent)
            columns = np.ravel_multi_index(tuple(self.pairs.T), self.sizes)
            law = np.zeros((len(at), math.prod(self.sizes)))
            law[:, columns] = self.p[at]
            mu = None if distance == "tv" else self.mu[at]
            self._cache[distance] = float(
                oracles_values.joint_lp(law, self.pairs[at].tolist(), self.sizes, mu)
            )
        return self._cache[distance]

    def spread(self) -> float:
        """Largest TV between two laws that agent i cannot tell apart, over all i and all pairs of the chain."""
        return max(spread(self.pairs[:, i], self.law(i)) for i in range(self.n_agents))

    def remaining(self, i: int, j: int) -> float:
        """E_i (mu-atv) when agent i's model may also read agent j's pair."""
        if (i, j) not in self._cache:
            key = self.pairs[:, i] * self.sizes[j] + self.pairs[:, j]
            self._cache[i, j] = measure(key, self.mu, self.law(i))
        return self._cache[i, j]

    def per_pair(self, i: int) -> np.ndarray:
        """(m_i,) what every local pair adds to E_i."""
        key, law = self.pairs[:, i], self.law(i)
        return np.array([measure(key, np.where(key == k, self.mu, 0), law) for k in range(self.sizes[i])])

    @cached_property
    def vdn_gap(self) -> float:
        """Norm of `(I - Pi_D) P Pi_D`, D the sums of one table for each agent, alike or not."""
        return o.vdn_gap(self.pc, self.pairs, self.mu)

    # --- values ------------------------------------------------------------------------------------------

    @cached_property
    def reward(self) -> np.ndarray:
        """(n,) reward of all agents together."""
        if not isinstance(self.rewards, np.ndarray):
            return o.reward_on(self.pairs, self.rewards)
        actions = o.product(self.n_actions)
        mine = self.pairs % np.array(self.n_actions)
        return self.rewards[self.state, [int(np.flatnonzero((actions == a).all(axis=1))[0]) for a in mine]]

    @cached_property
    def local_rewards(self) -> tuple[np.ndarray, ...]:
        """The rewards of each agent; a shared one is split by least absolute deviations under mu."""
        if not isinstance(self.rewards, np.ndarray):
            return tuple(self.rewards)
        at = self.mu > 0
        phi = np.hstack([np.eye(m)[self.pairs[at, i]] for i, m in enumerate(self.sizes)])
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
        return o.norm(self.reward - o.reward_on(self.pairs, self.local_rewards), self.mu, "mu")

    def q(self, discount: float | None = None) -> np.ndarray:
        """(n,) true values: they stop when the task ends."""
        return o.joint_q(self.pc, self.reward, self.discount if discount is None else discount)

    def local_q(self, discount: float | None = None) -> list[np.ndarray]:
        """Per agent (m_i,) values of Meta Algorithm 1; NaN where never visited."""
        g = self.discount if discount is None else discount
        return o.local_q(self.pc, self.pairs, self.mu, self.local_rewards, g)

    def sum_q(self, discount: float | None = None) -> np.ndarray:
        """(n,) their sum."""
        return o.reward_on(self.pairs, self.local_q(discount))

    @property
    def best_sum(self) -> np.ndarray:
        """(n,) L2(mu) projection of Q on additive functions."""
        return o.project(self.q(), o.additive_columns(self.pairs, o.singles(self.pairs)), self.mu)

    def truth(self, discount: float | None = None) -> dict[str, float]:
        """Errors of the sum of local values by name."""
        return errors(self.q(discount), self.sum_q(discount), self.mu)

    @property
    def state_rewards(self) -> list[np.ndarray] | None:
        """The rewards (S_i,) as functions of local states; None where one depends on an action."""
        if isinstance(self.rewards, np.ndarray):
            return None
        tables = [r.reshape(-1, a) for r, a in zip(self.rewards, self.n_actions, strict=True)]
        return None if max(np.ptp(t, axis=1).max() for t in tables) > 0 else [t[:, 0] for t in tables]

    def state_spread(self) -> float:
        """`spread` of the state chain, over the recurrent joint states."""
        flow, states = o.state_chain(self.pc, self.pairs, self.choice, self.n_actions)
        local = self.pairs // np.array(self.n_actions)
        seen = {tuple(s) for s in local[self.recurrent].tolist()}
        at = np.array([tuple(s) in seen for s in states.tolist()])
        ends = None if self.ends is None else 1 - flow.sum(axis=1)
        return max(
            spread(states[at, i], o.next_laws(flow, states, i, None, ends)[at]) for i in range(self.n_agents)
        )

    # --- bounds and decisions --------------------------------------------------------------------------------

    def bounds(self, distances: Iterable[str]) -> dict[str, tuple[str, float | None]]:
        """Name -> norm and value of every bound that these measures support (None: left to convention).

        Values end at 0, so the spans of tasks that end count the value 0, and the spectral bound subtracts no mean.
        """
        g, slack, agents = self.discount, self.shared_error / (1 - self.discount), range(self.n_agents)
        weight = [self.key_weight(i) for i in agents]
        zero = [] if self.ends is None else [0.0]
        r = [np.asarray(t)[w > 0] for t, w in zip(self.local_rewards, weight, strict=True)]
        # the value of the signal at each visited local pair
        z = [np.arange(len(w))[w > 0] // (len(w) // max(self.signals, 1)) for w in weight]
        spans = [max(np.ptp([*t[k == v], *zero]) for v in set(k)) for t, k in zip(r, z, strict=True)]
        sizes = {"": [np.abs(t).max() for t in r], ", half spans": [x / 2 for x in spans]}
        found: dict[str, tuple[str, float | None]] = {}
        for d in distances:
            norm, two, many, seen = _THEOREM[d]
            if slack and norm == "sup":
                continue
            joint = d in ("tv", "mu-tv")
            e = [self.joint_distance(d) if joint else self.measure(i, d) for i in agents]
            for words, size in sizes.items():
                name = (
                    (seen if self.signals else two if self.n_agents == 2 else many)
                    + (" + Prop. J.7" if slack else "")
                    + words
                )
                # the split of a shared reward fixes the local ones up to constants only
                value = None if slack and not words else 4 * g / (1 - g) ** 2 * float(np.dot(e, size)) + slack
                found[name] = (norm, value)
        q, total = self.local_q(), {"mu": slack, "sup": 0.0, "l2": 0.0}
        for i, (t, w, k) in enumerate(zip(q, weight, z, strict=True)):
            t, w = t[w > 0], w[w > 0]
            span = max(float(np.ptp([*t[k == v], *zero])) for v in set(k))
            centre = 0.0 if zero else np.array([w[k == v] @ t[k == v] / w[k == v].sum() for v in k])
            for norm in ("mu", "sup"):
                e = o.plug_in(self.pc, self.pairs, self.mu, i, worst=norm == "sup", ends=self.ends)
                total[norm] += g / (1 - g) * e * span
            total["l2"] += g / (1 - g) * self.measure(i, "spectral") * math.sqrt(w @ (t - centre) ** 2)
        found["value spans (mu)"] = ("mu", total["mu"])
        if not slack:
            found |= {"value spans (sup)": ("sup", total["sup"]), "spectral": ("l2", total["l2"])}
        return found

    def best_pairs(self, upto: int) -> list[tuple[dict[tuple[int, int], float], float]]:
        """Greedily, what every pair of kinds would leave of Q beside additive functions and those before it, and the
        least of these; a pair of kinds has one function for all its pairs of agents."""
        one = [np.eye(m)[self.pairs[:, i]] for i, m in enumerate(self.sizes)]
        left = {}
        for (u, mine), (v, theirs) in itertools.combinations_with_replacement(enumerate(self.units), 2):
            both = [one[i][:, :, None] * one[j][:, None, :] for i in mine for j in theirs if i != j]
            if both:
                left[u, v] = np.sum(both, axis=0).reshape(self.n_pairs, -1)
        have, found, q = o.additive_columns(self.pairs, o.singles(self.pairs)), [], self.q()
        while left and len(found) < upto:
            shares = {}
            for pair, columns in left.items():
                fit = o.project(q, np.hstack([have, columns]), self.mu)
                shares[pair] = errors(q, fit, self.mu)["unexplained"]
            best = min(shares, key=lambda pair: shares[pair])
            found.append((shares, shares[best]))
            have = np.hstack([have, left.pop(best)])
        return found

    def decision(self) -> dict[str, float]:
        """Loss, its share of the spread of Q, share of right choices, share of visited states left out."""
        states, actions = o.product(self.n_states), o.product(self.n_actions)
        local = o.product(self.n_states)[:, None] * np.array(self.n_actions) + actions
        if isinstance(self.rewards, np.ndarray):
            reward = self.rewards
        else:
            reward = sum(np.asarray(r)[local[..., i]] for i, r in enumerate(self.rewards))
        q = o.q_on_actions(self.kernel, reward, self.table, self.discount, self.terminal)
        q = np.where(self.feasible, q, np.nan)
        tables = self.local_q()
        if self.locals_ is not None and self.ends is None:
            for i, (k, a) in enumerate(zip(self.locals_, self.n_actions, strict=True)):
                shape = (-1, a)
                tables[i] = o.look_ahead(
                    tables[i].reshape(shape), self.key_weight(i).reshape(shape), k,
                    np.asarray(self.local_rewards[i]).reshape(shape), self.discount,
                ).ravel()  # fmt: skip
        nu = np.bincount(self.state, self.mu, len(states))
        loss, right, excluded = o.decision_loss(q, tables, states, actions, nu, self.n_actions)
        share = loss / o.spread(self.q(), self.mu)
        return {"loss": loss, "share": share, "right": right, "excluded": excluded}


_THEOREM = {
    "atv": ("sup", "Theorem 5.5", "Theorem H.2", "Theorem J.3"),
    "mu-atv": ("mu", "Theorem 5.10", "Theorem 6.3", "Theorem J.3 in L1(mu)"),
    "policy": (
        "mu",
        "Theorem 5.10 with Prop. 7.2",
        "Theorem 6.3 with Prop. 7.2",
        "Theorem J.3 with Prop. J.4",
    ),
    "tv": ("sup", "Theorem 5.3", "Theorem H.2 with tv", "Theorem J.3 with tv"),
    "mu-tv": ("mu", "Theorem 5.10 with mu-tv", "Theorem 6.3 with mu-tv", "Theorem J.3 with mu-tv"),
}


def errors(q: np.ndarray, d: np.ndarray, mu: np.ndarray) -> dict[str, float]:
    """Three norms of `Q - D`, `relative_error` and `unexplained`; rounding is 0, anything over 0 is infinite."""
    out = {f"error_{k}": o.norm(q - d, mu, k) for k in NORMS}
    noise = 1e-12 * float(np.abs(q).max())
    shares = (out["error_mu"], o.norm(q, mu, "mu")), (o.spread(q - d, mu), o.spread(q, mu))
    for name, (part, whole) in zip(("relative_error", "unexplained"), shares, strict=True):
        out[name] = 0.0 if part <= noise else part / whole if whole > noise else math.inf
    return out


def different(
    key: np.ndarray, weight: np.ndarray, law: np.ndarray
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Every key with its different laws and their weights; labelled agents that are alike repeat many."""
    for k in np.unique(key[weight > 0]):
        at = np.flatnonzero((key == k) & (weight > 0))
        _, first, of = np.unique(np.round(law[at], 13), axis=0, return_index=True, return_inverse=True)
        yield int(k), law[at][first], np.bincount(of.ravel(), weight[at], len(first))


def measure(key: np.ndarray, weight: np.ndarray, law: np.ndarray, worst: bool = False) -> float:
    """`o.row_measure` on the different laws of each key; one law costs nothing."""
    parts = [(np.full(len(w), k), w, p) for k, p, w in different(key, weight, law) if len(w) > 1]
    return o.row_measure(*map(np.concatenate, zip(*parts, strict=True)), worst) if parts else 0.0


def spread(key: np.ndarray, law: np.ndarray) -> float:
    """Largest TV between two laws of one key."""
    found = different(key, np.ones(len(key)), law)
    return max(0.5 * float(np.abs(p[:, None] - p[None]).sum(axis=-1).max()) for _, p, _ in found)


# --- raw systems ---------------------------------------------------------------------------------------------


def kron_kernel(kernels: Sequence[np.ndarray]) -> np.ndarray:
    """(S, A, S) joint kernel of agents (A_i, S_i, S_i) that move on their own."""
    out = []
    for action in itertools.product(*[range(len(k)) for k in kernels]):
        out.append(oracles_values.kron([k[a] for k, a in zip(kernels, action, strict=True)]))
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


def mask(n_states: Sequence[int], of: Callable[[tuple[int, ...]], bool]) -> np.ndarray:
    """(S,) which joint states are `of` a kind."""
    return np.array([of(s) for s in itertools.product(*map(range, n_states))])
