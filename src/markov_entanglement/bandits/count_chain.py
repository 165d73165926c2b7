"""The exact chain of a restless bandit in counts.

Under an index policy (Def. 7.5) the joint pair chain of N exchangeable arms collapses to pairs `(n, z)` = (counts,
served counts); `mu`, the entanglement of an arm, its local values, the true values and every error norm depend on them
alone, exactly. Expectations are taken matrix-free (`CountOperator`, and `TypeOperator` where
no type has many arms), so 100 arms of four states (176,851 count states)
take a minute where the matrix has 6 10^9 non-zeros.

Any additive `D(n, z) = sum over arms of q(x_i) + const` has an exact error `Q - D` on the pairs. That of local TD grows
like sqrt(N). Corrected values take q from the slope `h = (I - gamma K)^{-1} rho` of the true values in the counts on
the affine piece of the mean-field fixed point; their error vanishes as N grows when the piece attracts and its marginal
class has one cell. If that class has several, served counts are random given the counts and the service of a cell is
curved in the counts: the error by state then grows like sqrt(N), the one by pair stays bounded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from .. import _check
from .. import _tolerance as tol
from .._check import Bools, Floats, Ints, freeze
from .._types import PolicyLike
from ..errors import TooLarge, Unsupported
from ..laws.rows import Rows
from ..laws.source import Alternatives, Kind, Source, Unit, demand
from ..markov.kernel import Kernel
from ..markov.states import WithStates
from ..measures.entanglement import Entanglement, local_entanglement
from ..model.bandit import RestlessBandit
from ..model.described import digest, policy_described, rewards_described
from ..model.rewards import Rewards
from ..model.spaces import about
from ..values.approximation import Approximation
from ..values.decomposition import ValueDecomposition, resolve_discount, value_decomposition
from .attractor import fixed_points
from .count_operator import Operator, predicted_bytes, refuse_above
from .count_space import (
    CountPairs,
    Small,
    activation,
    enumerate_pairs,
    guard_counts,
    number_of_pairs,
    ranked,
    ranks_of,
)
from .fluid import fluid, response
from .type_operator import count_operator, few_each


@dataclass(frozen=True, eq=False)
class CountKernel(Kernel):
    """`K` of counts: from pairs (n, z) to next counts, matrix-free but where few."""

    operator: Operator

    @property
    def shape(self) -> tuple[int, int]:
        return self.operator.n_pairs, self.operator.n_counts

    @cached_property
    def matrix(self) -> sp.csr_array | None:  # type: ignore[override]
        """The explicit matrix where the count states are few, else None."""
        return self.operator.matrix() if self.operator.n_counts <= tol.COUNT_DENSE else None

    def apply(self, f: Floats) -> Floats:
        if self.matrix is not None:
            return np.asarray(self.matrix @ f)
        if f.ndim == 1:
            return self.operator.expect(np.asarray(f))
        return np.stack([self.operator.expect(np.ascontiguousarray(c)) for c in f.T], axis=1)

    def apply_left(self, u: Floats) -> Floats:
        return self.operator.push(u) if self.matrix is None else np.asarray(u @ self.matrix)

    def support_left(self, u: Floats) -> Floats:
        return self.operator.reached_from(u > 0).astype(np.float64)

    def support(self, f: Floats) -> Floats:
        return self.operator.can_reach(f > 0).astype(np.float64)


class OfBandit(Source):
    """What every source of a bandit takes from it."""

    bandit: RestlessBandit
    policy: Any

    @property
    def units(self) -> tuple[Unit, ...]:
        """(T,) the arm types."""
        return self.bandit.units

    @property
    def discount(self) -> float | None:
        """gamma."""
        return self.bandit.discount

    def local_names(self, u: int) -> tuple[list[str], list[str]]:
        return self.bandit.local_names(u)

    def facts(self, pairs: int, word: str) -> dict[str, Any]:
        """The summary of a bandit with so many `pairs`, called by `word`."""
        return {
            "title": repr(self.bandit),
            "kind": "RestlessBandit",
            "agents": self.bandit.n_agents,
            "multiplicity": [u.multiplicity for u in self.units],
            "names": [u.name for u in self.units],
            "pairs": pairs if pairs < 2**63 else None,
            "pair_word": word,
            "local_pairs": [u.size for u in self.units],
            "state_names": [list(names) for names in self.bandit.labels.states] or None,
            "budget": self.bandit.budget,
            "policy": policy_described(self.policy) | {"digest": digest(ranks_of(self.bandit, self.policy))},
            "rewards": rewards_described(tuple(self.bandit.rewards)),
        }


@dataclass(frozen=True, eq=False, repr=False)
class CountChain(OfBandit, WithStates):
    """The chain of (counts, served counts) of a bandit under an index policy; made by `count_chain`.

    A cell is `type * S + state`, a local pair `2 s + a`. K count states, J pairs (J = K when the marginal class always
    has one cell).

    Attributes
    ----------
    bandit : the bandit; policy : its policy.
    ranks : (C,) class of every cell, 0 served first.
    states : the count states and pairs.
    operator : expectations over the next counts, matrix-free.
    """

    bandit: RestlessBandit
    policy: Any
    ranks: Ints
    states: CountPairs
    operator: Operator

    initial = None
    decoupled = True
    estimator = "exact count chain"
    words = ("bandit under this policy", "count states")
    remedy = "Mend the kernels of arms that split into several classes, or simulate from a start."

    def __repr__(self) -> str:
        return f"CountChain({self.bandit.n_agents:,} arms, {self.n_counts:,} count states, {self.n_pairs:,} pairs)"

    @property
    def actions(self) -> tuple[int, ...]:
        """(T,) two actions each."""
        return (2,) * self.bandit.n_types

    @property
    def budget(self) -> int:
        """Active arms M."""
        return self.bandit.budget

    @property
    def n_counts(self) -> int:
        """Number of count states K."""
        return len(self.states.counts)

    @property
    def counts(self) -> Ints:
        """(J, T, S) arms in each local state, per pair."""
        return self._shaped(self.states.counts[self.states.count])

    @property
    def served(self) -> Ints:
        """(J, T, S) active arms in each local state, per pair."""
        return self._shaped(self.states.served)

    def _shaped(self, a: Any) -> Ints:
        return freeze(a.astype(np.int64).reshape(len(a), self.bandit.n_types, self.bandit.n_states))

    @property
    def pair_state(self) -> Ints:  # type: ignore[override]
        """(J,) count state of each pair."""
        return self.states.count

    @cached_property
    def choice(self) -> sp.csr_array:
        """(K, J) law of the served counts given the counts."""
        starts = np.searchsorted(self.states.count, np.arange(self.n_counts + 1))
        entries = self.states.probability, np.arange(self.n_pairs), starts
        return sp.csr_array(entries, shape=(self.n_counts, self.n_pairs))

    @cached_property
    def kernel(self) -> Kernel:  # type: ignore[override]
        """From pairs to next counts."""
        return CountKernel(self.operator)

    @cached_property
    def features(self) -> sp.csr_array:
        """(J, M) arms at each local pair, type by type."""
        return self.states.features

    @property
    def middle(self) -> int:  # type: ignore[override]
        """Where arms are spread evenly."""
        return int(np.argmin(np.ptp(self.states.counts, axis=1)))

    def step_left(self, nu: Floats) -> Floats:
        """(K,) law of the counts one step after the law `nu` (K,)."""
        return self.operator.push(nu[self.states.count] * self.states.probability)

    @cached_property
    def transition(self) -> sp.csr_array:
        """(K, K) explicit transition matrix of the counts; `apply` needs no matrix."""
        return sp.csr_array(self.choice @ self.operator.matrix())

    @property
    def count_occupancy(self) -> Floats:
        """(K,) stationary law of the counts."""
        return self.stationary.law

    @property
    def recurrent_counts(self) -> Bools:
        """(K,) True on the recurrent count states."""
        return self.classes.recurrent

    def describe(self, state: int) -> str:
        """Counts, cell by cell."""
        return ", ".join(str(int(n)) for n in self.states.counts[state])

    def make_rows(self, u: int, kind: Kind) -> Rows:
        """Rows of an arm of type u: one per (pair of counts, x_i); for "policy" per (counts, s_i)."""
        u = _check.integer("t", u, low=0, high=self.bandit.n_types - 1)
        if kind == "kernel":  # arms move on their own kernels
            weight = self.rows(u).key_weight
            return Rows(np.arange(len(weight)), weight, self.local_kernel(u), len(weight))
        return self._policy_rows(u) if kind == "policy" else self._pair_rows(u)

    def _pair_rows(self, t: int) -> Rows:
        """Rows of Eq. 7: key `2 s + a`, law over `2 s' + a'`, one row per (n, z, s, a).

        A tagged arm at `x_i = (s, a)` moves to s' with chance `P_a(s, s')`, independently of the others; then it is
        served with the activation probability `rho` of its cell. Hence, `m'` being the next counts of the other arms,

            p_i((s', 1) | n, z, x_i) = P_a(s, s') E[ rho_{s'}(e_{s'} + m') ].

        Without a served arm `(n, z)` is a pair of the bandit with one arm and one unit of budget less; without a
        passive arm, one of the bandit with one arm less. So two smaller count operators give every such expectation.
        The only arm of a type is what the counts of its type say: their mean is its law.
        """
        bandit, states = self.bandit, self.bandit.n_states
        sources, cells = (self.states.passive, self.states.served), range(t * states, (t + 1) * states)
        alone = self._next_only(t) if bandit.n_arms[t] == 1 else None
        found = [(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros((0, 2 * states)))]
        for action, mine in enumerate(sources):
            if not mine[:, list(cells)].any():
                continue
            if alone is None:
                others = bandit.n_arms - (np.arange(bandit.n_types) == t)
                reduced = enumerate_pairs(others, states, self.ranks, self.budget - action)
                expected = self._expected_activation(reduced, t)
            for s, cell in enumerate(cells):
                at = np.flatnonzero(mine[:, cell])
                if alone is not None:
                    law = alone[at]
                else:
                    rest = [source[at] for source in sources]
                    rest[action][:, cell] -= 1
                    served, move = expected[reduced.positions(*rest)], bandit.kernels[t, action, s]
                    law = np.stack([move * (1.0 - served), move * served], axis=2)
                    law = law.reshape(len(at), 2 * states)
                weight = self.occupancy[at] * mine[at, cell] / int(bandit.n_arms[t])
                found.append((np.full(len(at), 2 * s + action, dtype=np.int64), weight, law))
        key, weight, law = (np.concatenate(part) for part in zip(*found, strict=True))
        return Rows(key, weight, law, 2 * states)

    def _next_only(self, t: int) -> Floats:
        """(J, 2 S) law of the next pair of the only arm of type t."""
        return super().carried_features(
            np.arange(2 * t * self.bandit.n_states, 2 * (t + 1) * self.bandit.n_states)
        )

    @cached_property
    def _activation(self) -> Floats:
        """(K, C) see `activation`."""
        return freeze(activation(self.states.counts, self.ranks, self.budget))

    def _of(self, t: int) -> Small:
        """(J, 2 S) arms of type t at each local pair."""
        cells = slice(t * self.bandit.n_states, (t + 1) * self.bandit.n_states)
        both = np.stack([self.states.passive[:, cells], self.states.served[:, cells]], axis=2)
        return both.reshape(self.n_pairs, -1)

    @cached_property
    def _at(self) -> Callable[[int], Ints]:
        """Per type, the pair of each of its rows of Eq. 7: passive arms first, state by state."""
        states = self.bandit.n_states
        order = [2 * s + a for a in (0, 1) for s in range(states)]
        return cache(lambda t: np.concatenate([np.flatnonzero(n) for n in self._of(t).T[order]]))

    @cached_property
    def _local(self) -> Callable[[int], Ints]:
        """Per type of one arm, (J,) the local pair of that arm."""
        return cache(lambda t: self._of(t).argmax(axis=1))

    def carried_features(self, local: Ints) -> Floats:
        """See `Space`; of the only arm of a type its rows."""
        out, width = np.empty((self.n_pairs, len(local))), 2 * self.bandit.n_states
        for t in np.unique(local // width).tolist():
            mine = np.flatnonzero(local // width == t)
            if self.bandit.n_arms[t] == 1:
                out[self._at(t)[:, None], mine] = self.rows(t).law[:, local[mine] - t * width]
            else:
                out[:, mine] = super().carried_features(local[mine])
        return out

    def _expected_activation(self, others: CountPairs, t: int) -> Floats:
        """(J, S) `E[rho_{s'}(e_{s'} + m')]` for every pair of the others and every s'."""
        kernels, states = self.bandit.kernels, self.bandit.n_states
        operator = count_operator(others, kernels)
        out = np.zeros((operator.n_pairs, states))
        for s in np.flatnonzero(kernels[t].any(axis=(0, 1))):
            joined = others.counts.copy()
            joined[:, t * states + s] += 1
            rho = activation(joined, self.ranks, self.budget)[:, t * states + s]
            out[:, s] = operator.expect(rho.copy())
        return np.clip(out, 0.0, 1.0)

    def _policy_rows(self, t: int) -> Rows:
        """Rows of Prop. 7.2: key s, law `pi(a|n, s)`, one row per (n, s) with `n_s > 0`."""
        mine, counts = slice(t * self.bandit.n_states, (t + 1) * self.bandit.n_states), self.states.counts
        at, key = np.nonzero(counts[:, mine])
        rho = self._activation[:, mine][at, key]
        weight = self.count_occupancy[at] * counts[:, mine][at, key] / max(int(self.bandit.n_arms[t]), 1)
        return Rows(key.astype(np.int64), weight, np.stack([1.0 - rho, rho], axis=1), self.bandit.n_states)

    def subsets(self, k: int) -> Iterable[tuple[int, ...]]:
        """Every k arm types, a type as often as it has arms."""
        groups = itertools.combinations_with_replacement(range(self.bandit.n_types), k)
        arms = self.bandit.n_arms
        return [g for g in groups if all(g.count(t) <= arms[t] for t in g)]

    def interaction(self, units: tuple[int, ...], at: Ints) -> sp.csr_array:
        """Products of the shares of arms at their local pairs, one of each of these types."""
        width, arms = 2 * self.bandit.n_states, self.bandit.n_arms
        out = np.ones((len(at), 1))
        for t in units:
            part = self.features[at][:, t * width : (t + 1) * width].toarray() / arms[t]
            out = (out[:, :, None] * part[:, None, :]).reshape(len(at), -1)
        return sp.csr_array(out)

    def contrasts(self, u: int) -> tuple[Floats, Floats, Floats] | None:
        """See `Space`: second moments of one and of two arms of type u."""
        arms, m = int(self.bandit.n_arms[u]), self.sizes[u]
        if arms < 2:
            return None
        if self.n_pairs * m * m * 8 > tol.BYTES:
            entries = (
                f"{self.n_pairs * m * m:,} entries ({self.n_pairs:,} pairs of counts x {m} x {m} local pairs)"
            )
            raise TooLarge("laws of two arms", entries, f"{tol.BYTES // 8:,} entries", "Take fewer arms.")
        n = self.features[:, u * m : (u + 1) * m].toarray()
        law = np.zeros((self.n_pairs, m, m))
        for x in range(m):  # rows stand pair by pair within each local pair
            law[n[:, x] > 0, x] = self.rows(u).law[self.rows(u).key == x]
        mu, both = self.occupancy, arms * (arms - 1)
        total, weighted = np.einsum("jx,jxt->jt", n, law), mu[:, None] * n
        one = np.diag(weighted.sum(axis=0))
        size = one / arms - (weighted.T @ n - one) / both
        ahead = np.einsum("jx,jxt->xt", weighted, law)
        image = ahead / arms - (weighted.T @ total - ahead) / both
        twice = np.einsum("jx,jxs,jxt->st", weighted, law, law)
        square = twice / arms - ((mu[:, None] * total).T @ total - twice) / both
        return size, image, square

    def summary(self) -> dict[str, Any]:
        """See `Source`."""
        return self.facts(self.n_pairs, "pairs of counts")

    def partner_rows(self, u: int, other: int) -> Rows | None:
        """The rows of an arm of type u that may also read the pair of one more arm, of type `other`."""
        arms, m = self.bandit.n_arms, self.sizes[other]
        if arms[u] == 0 or arms[other] - (u == other) <= 0:
            return None
        rows, at = self.rows(u), self._at(u)
        if arms[other] == 1:
            return rows.refine(self._local(other)[at], m)
        there = self._of(other)[at].astype(np.float64)
        if other == u:
            there[np.arange(len(at)), rows.key] -= 1.0
        row, y = np.nonzero(there)
        weight = rows.weight[row] * there[row, y] / there.sum(axis=1)[row]
        return Rows(rows.key[row], weight, rows.law[row], rows.n_keys).refine(y.astype(np.int64), m)

    def read_rewards(self, rewards: Any) -> Rewards:
        """One table `2 s + a` per arm type: the given rewards, in a shape that the bandit takes, or its own."""
        tables = self.bandit.rewards if rewards is None else self.bandit.read_rewards(rewards)
        return Rewards(tuple(t.reshape(-1) for t in tables), None)

    def reward(self, rewards: Rewards) -> Floats:
        """(J,) reward of all arms in one step at each pair."""
        assert rewards.local is not None
        return np.asarray(self.features @ np.concatenate(rewards.local))

    @property
    def rewards(self) -> Floats:
        """(J,) reward of all arms in one step at each pair."""
        return self.reward(self.read_rewards(None))

    def alternatives(self, rewards: Rewards, gamma: float, entries: float) -> Alternatives:
        """See `Space`: all served counts that use the budget, each with its share of the joint actions."""
        bandit, cells = self.bandit, self.states.counts.shape[1]
        many = number_of_pairs(bandit.n_arms, bandit.n_states, bandit.budget)
        if many * 2 * cells > entries:
            raise TooLarge("feasible served counts", about(many), f"{entries / 2 / cells:.3g} here",
                           "Ask for it: me.decision_loss(chain).")  # fmt: skip
        one_class = np.zeros(cells, dtype=np.int64)
        all_pairs = enumerate_pairs(bandit.n_arms, bandit.n_states, one_class, bandit.budget)
        features = all_pairs.features
        v = self.average(self.solve(self.reward(rewards), gamma).q)
        assert rewards.local is not None
        ahead = count_operator(all_pairs, bandit.kernels).expect(v)
        return Alternatives(
            state=all_pairs.count,
            q=features @ np.concatenate(rewards.local) + gamma * ahead,
            many=all_pairs.probability,
            features=features,
            weight=self.count_occupancy,
            served=all_pairs.served.astype(np.int64),
            present=self.states.counts.astype(np.int64),
            rest=np.tile(2 * np.arange(cells), (self.n_counts, 1)),
        )

    def local_kernel(self, u: int) -> Floats:
        """See `Space`: arms move on their own kernels."""
        return self.bandit.kernels[u].transpose(1, 0, 2).reshape(-1, self.bandit.n_states)

    @property
    def start(self) -> Floats:
        """(K,) the long run."""
        return self.count_occupancy

    @property
    def state_features(self) -> sp.csr_array:
        """(K, T S) arms in each local state."""
        return sp.csr_array(self.states.counts.astype(np.float64))

    def state_rows(self, u: int) -> Rows:
        """See `WithStates`; an arm is served with the chance of its cell."""
        rows, kernels = self.rows(u, "policy"), self.bandit.kernels[u]
        law = sum(rows.law[:, [a]] * kernels[a, rows.key] for a in (0, 1))
        return Rows(rows.key, rows.weight, np.asarray(law), rows.n_keys)

    @property
    def mu_atv(self) -> Entanglement:
        """Exact Eq. 7 of an arm of each type."""
        return local_entanglement(self, "mu-atv")

    @property
    def policy_entanglement(self) -> Entanglement:
        """Prop. 7.2 of an arm of each type: `min_pi' sum_n mu(n) TV(pi(.|n, s), pi'(.|s))`."""
        return local_entanglement(self, "policy")

    def local_values(self, discount: float | None = None) -> ValueDecomposition:
        """Sum of the local values `Q_i = (I - gamma P_i)^{-1} r_i` (what TD learns) beside the truth."""
        return self._local_values(resolve_discount(self, discount))

    @cached_property
    def _local_values(self) -> Callable[[float], ValueDecomposition]:
        return cache(lambda gamma: value_decomposition(self, None, gamma))

    def corrected_values(self, discount: float | None = None, *, table: str = "state") -> Approximation:
        """Additive values from the linear response of the mean field beside the truth.

        Parameters
        ----------
        discount : gamma in [0, 1); None takes the bandit's.
        table : "state", `D = sum_i h(s_i) + const`; or "pair", one step ahead of it,
            `D = sum_i r(x_i) + gamma sum_s' P(s'|x_i) h(s') + const`.

        Raises
        ------
        InvalidInput : another table, or a discount outside [0, 1).
        Unsupported : the affine piece grows faster than the discount, so that it has no slope.
        """
        _check.choice("table", table, ("state", "pair"))
        local_td = self.local_values(discount)
        h, gamma = self._slope(local_td.discount), local_td.discount
        if table == "state":
            q = np.repeat(h[:, :, None], 2, axis=2)
        else:
            q = self.bandit.rewards + gamma * np.einsum("tasu,tu->tsa", self.bandit.kernels, h)
        tables = tuple(freeze(t) for t in q.reshape(self.bandit.n_types, -1))
        given = {f.name: getattr(local_td, f.name) for f in fields(Approximation)}
        given |= {"kind": f"corrected by {table}", "local": tables, "shifts": (0.0,) * len(tables)}
        free = Approximation(**given)
        return replace(free, offset=float(self.occupancy @ free.residual))  # E_mu D = E_mu Q

    def _slope(self, discount: float) -> Floats:
        """(T, S) `h = (I - gamma K)^{-1} rho` at the mean-field fixed point nearest to the mean counts."""
        f = fluid(self.bandit, self.policy)
        mean = self.count_occupancy @ self.states.counts / self.bandit.n_agents
        points = [point.points[0].ravel() for point in fixed_points(f)[0]]
        m = min(points, key=lambda m: float(np.abs(m - mean).sum()))
        a, w = f.activation(m), f.shares(m, f.marginal_at(m)[-1])
        k = f.derivative(a, w)
        radius = float(np.abs(np.linalg.eigvals(k)).max())
        if discount * radius >= 1.0:
            raise Unsupported(
                "discount", f"gamma {discount} with spectral radius {radius:.6g} of the affine piece",
                "their product must be below 1 for the linear response to be discounted away",
                "Use local_values, or a smaller discount.",
            )  # fmt: skip
        return response(k, f.rewards, a, w, discount).reshape(f.shape)


def count_chain(bandit: RestlessBandit, policy: PolicyLike) -> CountChain:
    """The exact chain of a restless bandit in counts.

    Parameters
    ----------
    bandit : a `RestlessBandit`, one or several arm types.
    policy : `me.IndexPolicy` or `me.UniformPolicy`, or a word; equal priorities are served uniformly.

    Raises
    ------
    InvalidInput : not a bandit, or priorities of the wrong length.
    Unsupported : another policy, under which counts are not a chain.
    TooLarge : the count states or an intermediate space would not fit; told before allocation.

    >>> import markov_entanglement as me
    >>> P0 = [[.5, 0, 0, .5], [.5, .5, 0, 0], [0, .5, .5, 0], [0, 0, .5, .5]]
    >>> P1 = [list(column) for column in zip(*P0)]
    >>> arms = me.RestlessBandit([P0, P1], [-1, 0, 0, 1], n_arms=5, budget=1, discount=0.5)
    >>> chain = me.count_chain(arms, me.IndexPolicy([1, 2, 3, 0]))
    >>> [round(float(e.per_agent[0]), 6) for e in (chain.policy_entanglement, chain.mu_atv)]
    [0.081759, 0.039742]
    >>> round(chain.local_values().error("mu"), 6), round(chain.corrected_values().error("mu"), 6)
    (0.042994, 0.066535)
    """
    helps = "Make one with me.RestlessBandit(...)."
    demand("bandit", bandit, RestlessBandit, "it must be a RestlessBandit", helps)
    policy, ranks = ranked(bandit, policy)
    arms, size = bandit.n_arms, bandit.n_states
    if guard_counts(arms, size) > tol.COUNT_PREDICT and not few_each(arms, size):
        need = predicted_bytes(arms, size, ranks, bandit.budget, bandit.kernels)
        refuse_above(need, f"count operator of {bandit.n_agents} arms (predicted)")
    states = enumerate_pairs(arms, size, ranks, bandit.budget)
    return CountChain(bandit, policy, ranks, states, count_operator(states, bandit.kernels))
